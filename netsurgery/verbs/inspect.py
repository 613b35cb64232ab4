"""``netsurgery.inspect``: what is in a net, its weights, or both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netsurgery.errors import NetError
from netsurgery.formats.caffemodel import Caffemodel
from netsurgery.formats.weights import WeightsFile, WeightsLayer, open_weights
from netsurgery.io.argument_types import as_list, checks_arguments, shown
from netsurgery.io.shape_text import shape_text
from netsurgery.io.size import AnySize, as_shape, as_size
from netsurgery.io.wording import counted
from netsurgery.net.cost import NUMBER_BYTES, Total, total
from netsurgery.net.field import fields
from netsurgery.net.layer_table import LayerSummary, summarize
from netsurgery.net.net import NetDefinition, NetInput, Shape
from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.net.shapes import Shapes, givable, infer, unknown_shapes
from netsurgery.net.state import TEST, NetState
from netsurgery.open_net.arguments import AnyPath
from netsurgery.open_net.models import open_net_and_weights
from netsurgery.verbs.inspect_result import Inspection, LayerReport

if TYPE_CHECKING:
    from netsurgery.open_net.net import Net
    from netsurgery.verbs.blob_statistics import BlobStatistics
    from netsurgery.verbs.inspect_tiles import TilesReport

__all__ = ["NewInputSize", "inspect", "inspect_net", "inspect_weights"]


@dataclass(frozen=True)
class NewInputSize:
    """Another size for an input.

    name: the input's; None for the only one that is N x C x H x W, or that there is. dims: the
    whole shape, or height and width alone (one number for both) of an N x C x H x W.
    """

    name: str | None
    dims: Shape


@checks_arguments()
def inspect(
    net: Net | AnyPath,
    weights: AnyPath | None = None,
    *,
    sizes: Mapping[str, Shape | AnySize] | Sequence[NewInputSize] = (),
    input_shapes: Mapping[str, Shape] | None = None,
    state: NetState = TEST,
    fields: bool = False,
    statistics: bool = False,
) -> Inspection:
    """What is in a net, its weights, or both: layers, shapes, counts, costs.

    net: a prototxt, or weights alone, by its content; or an open net, with its present params, if
    it has any. sizes: input -> another shape, whole or (height, width), one number for a square.
    input_shapes: blob -> whole shape, (N, C, H, W) for pictures, for inputs and for tops whose
    shapes the net does not declare, such as a data layer's. state: phase, stages and level to read
    a prototxt in. fields: what a cell of each blob sees of the input, and tiles. statistics:
    minimum, maximum, mean, standard deviation, zeros, NaN and infinities of every param, for which
    all weights are read. Memory is in bytes, multiply-adds are those of one forward pass.

    >>> found = inspect("prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel")
    >>> print(found)
    Digits: 15 layers, 27,755 params (108.4 KiB), ..., 90.7 KiB of blobs; the weights fit
    >>> found.layers[1].name, found.layers[1].shapes, found.layers[1].params
    ('conv1', ((1, 16, 28, 28),), ((16, 1, 5, 5), (16,)))

    Raises PrototxtError, NetError for a size that fits no input and for a shape of a blob that
    takes none, CaffemodelError, and TypeError for an open net with other weights.
    """
    from netsurgery.formats.prototxt import is_prototxt

    if weights is None and isinstance(net, (str, Path)) and not is_prototxt(Path(net)):
        if sizes or input_shapes or fields:
            raise NetError(f"{net}: weights alone have no sizes and fields; give a prototxt too")
        with open_weights(net) as alone:
            return inspect_weights(alone, with_statistics=statistics)
    if isinstance(sizes, Mapping):
        sizes = [NewInputSize(name, _dims(name, dims)) for name, dims in sizes.items()]
    if not all(isinstance(size, NewInputSize) for size in as_list(sizes)):
        raise TypeError(f"sizes: found {shown(sizes)}, expected a mapping of inputs to sizes")
    whole = {
        blob: as_shape(shape, f"blob {blob!r}") for blob, shape in (input_shapes or {}).items()
    }
    with ExitStack() as stack:
        model = open_net_and_weights(stack, net, weights, state)
        return inspect_net(
            model,
            sizes=sizes,
            input_shapes=whole,
            with_fields=fields,
            with_statistics=statistics,
        )


def inspect_weights(model: WeightsFile, with_statistics: bool = False) -> Inspection:
    """What is in a file of weights alone: layers and params, no shapes of blobs, no costs.

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
    sizes: Sequence[NewInputSize] = (),
    input_shapes: Mapping[str, Shape] | None = None,
    with_fields: bool = False,
    with_statistics: bool = False,
) -> Inspection:
    """What is in a net, and how its weights fit it, where there are some.

    sizes: other shapes for its inputs. input_shapes: blob -> whole shape, for inputs and for tops
    whose shapes the net does not declare, such as a Data layer's. Raises NetError
    for a size that fits none, PrototxtError where shapes contradict each other, CaffemodelError
    where the file has changed.
    """
    net = model.net.at(input_shapes)
    inputs = _sized(net, sizes)
    shapes = infer(net, inputs)
    fit = model.fit_at(shapes)
    summaries = summarize(net, shapes, model.stored, fields(net, inputs) if with_fields else None)
    result = Inspection(
        prototxt=net.prototxt.path,
        weights=model.path if model.has_weights else None,
        name=net.name,
        generation=net.prototxt.generation,
        state=net.state,
        inputs={each.name: shapes.blobs.get(each.name) for each in net.inputs},
        outputs=net.outputs,
        layers=_layers(model, summaries, with_statistics),
        total=_total(total(net, shapes), summaries, shapes),
        unknown=unknown_shapes(shapes),
        missing=fit.missing,
        extra=model.extra,
        differing=tuple(fit.mismatches.values()),
        extra_statistics={
            name: _statistics(model.stored[name]) for name in model.extra if with_statistics
        },
        notes=net.notes,
        another_net=model.another_net(fit.expected),
        tiles=_tiles(net, inputs) if with_fields else None,
    )
    model.check_unchanged()
    return result


def _tiles(net: NetDefinition, inputs: Mapping[str, Shape]) -> TilesReport | None:
    from netsurgery.verbs.inspect_tiles import report_tiles

    return report_tiles(net, inputs)


def _total(of_net: Total, layers: Sequence[LayerSummary], shapes: Shapes) -> Total:
    """The net's total, with the params that only the weights say anything of."""
    more = sum(layer.count for layer in layers if layer.name not in shapes.params)
    params = of_net.params + more
    return of_net._replace(params=params, param_memory=params * NUMBER_BYTES)


def _layers(
    model: NetWithWeights, summaries: Sequence[LayerSummary], with_statistics: bool
) -> tuple[LayerReport, ...]:
    result = []
    rest = dict(model.stored) if with_statistics else {}
    for layer in summaries:
        # Popped, since of several layers of one name the first has the statistics.
        stored = rest.pop(layer.name, None)
        own = () if stored is None else _statistics(stored)
        result.append(LayerReport(**vars(layer), statistics=own))
    return tuple(result)


def _statistics(layer: WeightsLayer) -> tuple[BlobStatistics, ...]:
    from netsurgery.verbs.blob_statistics import statistics

    return tuple(statistics(blob) for blob in layer.blobs)


def _dims(name: str, size: Any) -> Shape:
    """A whole shape as it is; all else as height and width."""
    whole = hasattr(size, "__len__") and not isinstance(size, str) and len(size) != 2
    return tuple(size) if whole else as_size(size, f"size of {name!r}:")


def _sized(net: NetDefinition, sizes: Sequence[NewInputSize]) -> dict[str, Shape]:
    """Input name -> its new shape."""
    result: dict[str, Shape] = {}
    declared = dict(net.state.shapes)
    for size in sizes:
        target = _sized_input(net, size)
        if target.name in result or target.name in declared:
            raise NetError(f"input {target.name!r} is given two sizes")
        result[target.name] = _new_shape(target, size.dims, net.prototxt.path)
    return result


def _new_shape(target: NetInput, dims: Shape, path: str) -> Shape:
    """One or two numbers are the height and width of an N x C x H x W, else all there is."""
    # No count of dims is -1: one or two of them are refused below.
    axes = -1 if target.shape is None else len(target.shape)
    if len(dims) not in (1, 2) or axes == len(dims):
        return dims
    if target.shape is None or axes != 4:
        shape = "no shape" if target.shape is None else shape_text(target.shape)
        raise NetError(
            f"{path}: input {target.name!r} has {shape}; a size of {shape_text(dims)} needs "
            f"N x C x H x W; give the whole shape, as in {target.name}=1x3x224x224"
        )
    return (*target.shape[:2], dims[0], dims[-1])  # one number is the side of a square


def _sized_input(net: NetDefinition, size: NewInputSize) -> NetInput:
    names = ", ".join(repr(each.name) for each in net.inputs)
    if size.name is not None:
        for each in net.inputs:
            if each.name == size.name:
                return each
        # A top whose shape the net does not say, such as a data layer's, is sized like an input.
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
    images = [each for each in net.inputs if each.shape is not None and len(each.shape) == 4]
    # One or two numbers are a height and width, for N x C x H x W alone.
    candidates = images if len(size.dims) <= 2 and images else list(net.inputs)
    if len(candidates) > 1:
        raise NetError(
            f"{net.prototxt.path}: the net has {counted(len(net.inputs), 'input')}, "
            f"{names}; say whose size "
            f"it is, as in {candidates[0].name}={shape_text(size.dims)}"
        )
    return candidates[0]
