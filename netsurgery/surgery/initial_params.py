"""Which filler fills which param of a net, as Caffe 1.0 sets a layer up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from netsurgery.errors import SurgeryError
from netsurgery.net.net import Layer, Net, Shape
from netsurgery.net.param_sources import check_own_names
from netsurgery.net.shape_rules import RULES
from netsurgery.net.shapes import Shapes, describe, infer, remedy
from netsurgery.net.unknown_shapes import unknown_sources
from netsurgery.surgery.fillers import Filler, read_filler, why_not
from netsurgery.surgery.plan import Refusal

__all__ = ["InitialParam", "InitialPlan", "plan_initial_params"]

_ZERO, _ONE, _QUARTER = Filler(value=0.0), Filler(value=1.0), Filler(value=0.25)

#: type -> (its parameter message, [(filler field, default) of params 0 and 1]).
_FILLED = {
    "Convolution": ("convolution_param", [("weight_filler", _ZERO), ("bias_filler", _ZERO)]),
    "Deconvolution": ("convolution_param", [("weight_filler", _ZERO), ("bias_filler", _ZERO)]),
    "DepthwiseConvolution": (
        "convolution_param",
        [("weight_filler", _ZERO), ("bias_filler", _ZERO)],
    ),
    "InnerProduct": ("inner_product_param", [("weight_filler", _ZERO), ("bias_filler", _ZERO)]),
    "Embed": ("embed_param", [("weight_filler", _ZERO), ("bias_filler", _ZERO)]),
    "Bias": ("bias_param", [("filler", _ZERO)]),
    "Scale": ("scale_param", [("filler", _ONE), ("bias_filler", _ZERO)]),
    "Normalize": ("norm_param", [("scale_filler", _ONE)]),
    "PReLU": ("prelu_param", [("filler", _QUARTER)]),
}

#: Types whose params all begin as zeros, whatever the prototxt says.
_ZEROS = ("BatchNorm", "Parameter")
_RECURRENT = ("LSTM", "RNN")


@dataclass(frozen=True)
class InitialParam:
    """One param to fill: `key` names its stream of random numbers, one for all who share it."""

    layer: str
    index: int
    shape: Shape
    filler: Filler
    key: str


@dataclass(frozen=True)
class InitialPlan:
    """All that giving `net` its first params would do; `notes` is what the user should know."""

    net: Net
    params: tuple[InitialParam, ...]
    notes: tuple[str, ...]


def plan_initial_params(net: Net, input_shapes: Mapping[str, Shape] | None = None) -> InitialPlan:
    """The filler and shape of every param of `net`.

    input_shapes: blob -> shape, for inputs whose shape the prototxt does not tell, such as a Data
    layer's top. Raises SurgeryError naming every layer whose params cannot be filled, and every
    blob without a shape that others wait for; PrototxtError where the net contradicts itself;
    NetError for a shape of a blob that takes none.
    """
    net = net.at(input_shapes)
    check_own_names(net)
    shapes = infer(net)
    unknown: list[Layer] = []
    refusals: list[Refusal] = []
    params: list[InitialParam] = []
    notes = list(net.notes)
    owners: dict[str, InitialParam] = {}
    for layer in net.layers:
        own = shapes.params_of(layer)
        if own:
            for param in _params(layer, own):
                found = owners.setdefault(param.key, param)
                why = why_not(found.filler, found.shape) or _why_not_shared(found, param)
                refusals += [Refusal(layer.name, f"param {param.index}: {why}")] if why else []
                same = InitialParam(layer.name, param.index, found.shape, found.filler, param.key)
                params.append(same)
        elif layer.type in (*_FILLED, *_ZEROS, *_RECURRENT) and _bears(layer):
            unknown.append(layer)
        elif layer.type not in RULES and layer.bottoms:
            notes.append(
                f"layer {layer.name!r} is of type {layer.type}; params it may have are not filled"
            )
    _refuse(net, shapes, unknown, refusals)
    zeros = [p.layer for p in params if p.index == 0 and p.filler == _ZERO and len(p.shape) > 1]
    if zeros:
        notes.append(f"weights without a filler are zeros, as in Caffe: {', '.join(zeros)}")
    return InitialPlan(net, tuple(params), tuple(notes))


def _refuse(
    net: Net, shapes: Shapes, unknown: Sequence[Layer], refusals: Sequence[Refusal]
) -> None:
    """Raise SurgeryError for what has no shape, each cause once, and for all refusals."""
    sources = unknown_sources(net, shapes, unknown)
    told = [
        f"{whose}: the shape of {blob!r} is not known; {remedy(blob)}"
        for blob, whose in sources.items()
    ]
    behind = {blob for each in unknown for blob in (*each.bottoms, *each.tops)}
    told += dict.fromkeys(fault.what for blob, fault in shapes.faults.items() if blob in behind)
    if unknown and not told:
        told = [
            str(Refusal(each.name, "the shapes of its params are not known")) for each in unknown
        ]
    if told or refusals:
        raise SurgeryError(f"{net.prototxt.path}: " + "; ".join([*told, *map(str, refusals)]))


def _bears(layer: Layer) -> bool:
    """Whether the layer has params of its own: a Scale or Bias of two bottoms may have none."""
    if layer.type == "Scale" and len(layer.bottoms) > 1:
        return layer.param("scale_param").boolean("bias_term", False)
    return layer.type != "Bias" or len(layer.bottoms) == 1


def _why_not_shared(owner: InitialParam, param: InitialParam) -> str:
    if owner.shape == param.shape:
        return ""
    mine, theirs = describe(param.shape), describe(owner.shape)
    return f"it is {mine} and shared with layer {owner.layer!r}, where it is {theirs}"


def _params(layer: Layer, shapes: tuple[Shape, ...]) -> Iterator[InitialParam]:
    names = layer.param_names
    for index, shape in enumerate(shapes):
        shared = names[index] if index < len(names) else ""
        key = f"shared {shared}" if shared else f"layer {layer.name}, param {index}"
        yield InitialParam(layer.name, index, shape, _filler(layer, index, shape), key)


def _filler(layer: Layer, index: int, shape: Shape) -> Filler:
    if layer.type in _ZEROS:
        return _ZERO
    if layer.type in _RECURRENT:
        field = "bias_filler" if len(shape) == 1 else "weight_filler"
        return read_filler(layer.param("recurrent_param").message(field), _ZERO)
    message, fillers = _FILLED[layer.type]
    # A Scale whose factors are its second bottom has its bias as param 0.
    skipped = layer.type == "Scale" and len(layer.bottoms) > 1
    field, default = fillers[index + skipped]
    return read_filler(layer.param(message).message(field), default)
