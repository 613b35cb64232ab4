"""What is in a net, its model, or both: layers, shapes, costs, fields, statistics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod

from netsurgery.errors import NetError
from netsurgery.formats.caffemodel import Caffemodel
from netsurgery.formats.weights import WeightsFile, WeightsLayer
from netsurgery.net.cost import NUMBER_BYTES, Total, costs, total
from netsurgery.net.field import ReceptiveField, fields
from netsurgery.net.net import Layer, NetDefinition, NetInput, Shape
from netsurgery.net.net_with_weights import NetWithWeights, ParamMismatch
from netsurgery.net.shapes import Shapes, describe, givable, infer
from netsurgery.net.state import NetState
from netsurgery.verbs.blob_statistics import BlobStatistics, statistics

__all__ = [
    "InputSize",
    "Inspection",
    "LayerReport",
    "Unknown",
    "inspect_net",
    "inspect_weights",
]


@dataclass(frozen=True)
class InputSize:
    """Another size for an input.

    name: the input's; None for the only one that is N x C x H x W, or that there is. dims: the
    whole shape, or height and width alone (one number for both) of an N x C x H x W.
    """

    name: str | None
    dims: Shape


@dataclass(frozen=True)
class LayerReport:
    """One layer. What is not known is None.

    shapes, fields: one for each top (a caffemodel alone tells none). params: the shape of each,
    by the prototxt, or by the model where the prototxt does not tell. multiply_adds, memory: see
    net.cost. statistics: one for each param in the model, where they were asked for.
    """

    name: str
    type: str
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    shapes: tuple[Shape | None, ...] = ()
    params: tuple[Shape, ...] | None = None
    multiply_adds: int | None = None
    memory: int | None = None
    fields: tuple[ReceptiveField | None, ...] = ()
    statistics: tuple[BlobStatistics, ...] = ()

    @property
    def count(self) -> int:
        """Numbers in the layer's params."""
        return sum(map(prod, self.params or ()))


@dataclass(frozen=True)
class Unknown:
    """Blobs whose shapes cannot be told, for one and the same reason."""

    reason: str
    blobs: tuple[str, ...]


@dataclass(frozen=True)
class Inspection:
    """All there is to tell of a net.

    prototxt, weights: the files looked at. inputs: blob -> shape. missing: layers with params
    that the model has not; extra: layers with params in the model that the net has not. notes:
    what there is to say of how the net was read.
    """

    prototxt: str | None
    weights: str | None
    name: str
    generation: str
    state: NetState | None
    inputs: Mapping[str, Shape | None]
    outputs: tuple[str, ...]
    layers: tuple[LayerReport, ...]
    total: Total
    unknown: tuple[Unknown, ...] = ()
    missing: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    differing: tuple[ParamMismatch, ...] = ()
    extra_statistics: Mapping[str, tuple[BlobStatistics, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def fits(self) -> bool | None:
        """Whether Caffe would load the weights into the net; None for one of them alone.

        Params of layers that the net does not have are no hindrance: Caffe leaves them.
        """
        if self.prototxt is None or self.weights is None:
            return None
        return not self.missing and not self.differing


def inspect_weights(model: WeightsFile, with_statistics: bool = False) -> Inspection:
    """What a file of weights tells alone: layers and params, no shapes of blobs, no costs.

    Raises CaffemodelError where the file has changed since it was opened.
    """
    layers = tuple(
        LayerReport(
            name=layer.name,
            type=layer.type,
            bottoms=layer.bottoms,
            tops=layer.tops,
            params=tuple(blob.shape for blob in layer.blobs),
            statistics=_statistics(layer) if with_statistics else (),
        )
        for layer in model.layers
    )
    model.check_unchanged()
    count = sum(layer.count for layer in layers)
    return Inspection(
        prototxt=None,
        weights=model.path,
        name=model.net_name,
        generation=model.generation if isinstance(model, Caffemodel) else "HDF5",
        state=None,
        inputs={},
        outputs=(),
        layers=layers,
        total=Total(count, count * NUMBER_BYTES, 0, 0, complete=False),
    )


def inspect_net(
    model: NetWithWeights,
    *,
    sizes: Sequence[InputSize] = (),
    input_shapes: Mapping[str, Shape] | None = None,
    with_fields: bool = False,
    with_statistics: bool = False,
) -> Inspection:
    """What a net tells, and how its weights fit it, where there are some.

    sizes: other shapes for its inputs. input_shapes: blob -> whole shape, for inputs and for tops
    that the net does not tell, such as a Data layer's. Raises NetError for a size that fits none,
    PrototxtError where shapes contradict each other, CaffemodelError where the file has changed.
    """
    net = model.net.at(input_shapes)
    inputs = _sized(net, sizes)
    shapes = infer(net, inputs)
    fit = model.fit_at(shapes)
    seen = fields(net, inputs) if with_fields else None
    layers = _layers(net, shapes, seen, model.stored, with_statistics)
    found = Inspection(
        prototxt=net.prototxt.path,
        weights=model.path if model.has_weights else None,
        name=net.name,
        generation=net.prototxt.generation,
        state=net.state,
        inputs={one.name: shapes.blobs.get(one.name) for one in net.inputs},
        outputs=net.outputs,
        layers=layers,
        total=_total(total(net, shapes), layers, shapes),
        unknown=_unknown(shapes),
        missing=fit.missing,
        extra=model.extra,
        differing=tuple(fit.mismatches.values()),
        extra_statistics={
            name: _statistics(model.stored[name]) for name in model.extra if with_statistics
        },
        notes=net.notes,
    )
    model.check_unchanged()
    return found


def _total(of_net: Total, layers: Sequence[LayerReport], shapes: Shapes) -> Total:
    """The net's total, and the params that only the model tells of."""
    more = sum(layer.count for layer in layers if layer.name not in shapes.params)
    params = of_net.params + more
    return replace(of_net, params=params, param_memory=params * NUMBER_BYTES)


def _layers(
    net: NetDefinition,
    shapes: Shapes,
    seen: Mapping[str, ReceptiveField] | None,
    there: Mapping[str, WeightsLayer],
    with_statistics: bool,
) -> tuple[LayerReport, ...]:
    made = []
    rest = dict(there)  # the first layer of a name has what the model has for it
    for layer, cost in zip(net.layers, costs(net, shapes), strict=True):
        in_model = rest.pop(layer.name, None)
        made.append(
            LayerReport(
                name=layer.name,
                type=layer.type,
                bottoms=layer.bottoms,
                tops=layer.tops,
                shapes=tuple(shapes.blobs.get(top) for top in layer.tops),
                params=_params(layer, shapes, in_model),
                multiply_adds=cost.multiply_adds,
                memory=cost.memory,
                fields=tuple(seen.get(top) for top in layer.tops) if seen is not None else (),
                statistics=_statistics(in_model) if in_model and with_statistics else (),
            )
        )
    return tuple(made)


def _params(
    layer: Layer, shapes: Shapes, in_model: WeightsLayer | None
) -> tuple[Shape, ...] | None:
    if shapes.params_of(layer):
        return shapes.params_of(layer)
    if in_model is not None:
        return tuple(blob.shape for blob in in_model.blobs)
    return None if shapes.why_no_params(layer) else ()


def _statistics(layer: WeightsLayer) -> tuple[BlobStatistics, ...]:
    return tuple(statistics(blob) for blob in layer.blobs)


def _unknown(shapes: Shapes) -> tuple[Unknown, ...]:
    """Each reason once, with the blobs it holds for."""
    reasons: dict[str, list[str]] = {}
    for blob, reason in shapes.unknown.items():
        reasons.setdefault(reason, []).append(blob)
    return tuple(Unknown(reason, tuple(blobs)) for reason, blobs in reasons.items())


def _sized(net: NetDefinition, sizes: Sequence[InputSize]) -> dict[str, Shape]:
    """Input name -> its new shape."""
    made: dict[str, Shape] = {}
    given = dict(net.state.shapes)
    for size in sizes:
        found = _sized_input(net, size)
        if found.name in made or found.name in given:
            raise NetError(f"input {found.name!r} is given two sizes")
        made[found.name] = _new_shape(found, size.dims, net.prototxt.path)
    return made


def _new_shape(found: NetInput, dims: Shape, path: str) -> Shape:
    """One or two numbers are the height and width of an N x C x H x W, else all there is."""
    axes = -1 if found.shape is None else len(found.shape)
    if len(dims) > 2 or axes == len(dims):
        return dims
    if found.shape is None or axes != 4:
        told = "no shape" if found.shape is None else describe(found.shape)
        raise NetError(
            f"{path}: input {found.name!r} has {told}; a size of {describe(dims)} needs "
            f"N x C x H x W; give the whole shape, as in {found.name}=1x3x224x224"
        )
    return (*found.shape[:2], dims[0], dims[-1])


def _sized_input(net: NetDefinition, size: InputSize) -> NetInput:
    names = ", ".join(repr(one.name) for one in net.inputs)
    if size.name is not None:
        for one in net.inputs:
            if one.name == size.name:
                return one
        if size.name in givable(net, infer(net)):
            return NetInput(size.name, None, ())
        raise NetError(
            f"{net.prototxt.path}: no input {size.name!r}; the net has {names or 'no inputs'}"
            f"{net.stage_hint}"
        )
    if not net.inputs:
        tops = givable(net, infer(net))
        way = f"; give a layer's top a whole shape, as in {tops[0]}=1x3x224x224" if tops else ""
        raise NetError(
            f"{net.prototxt.path}: a size is given, but the net declares no input{way}"
            f"{net.stage_hint}"
        )
    images = [one for one in net.inputs if one.shape is not None and len(one.shape) == 4]
    candidates = images if len(size.dims) <= 2 and images else list(net.inputs)
    if len(candidates) > 1:
        raise NetError(
            f"{net.prototxt.path}: the net has {len(net.inputs)} inputs, {names}; say whose size "
            f"it is, as in {candidates[0].name}={describe(size.dims)}"
        )
    return candidates[0]
