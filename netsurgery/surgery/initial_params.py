"""Which filler fills which param of a net, as Caffe 1.0 sets a layer up."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from netsurgery.errors import SurgeryError
from netsurgery.io.shape_text import shape_text
from netsurgery.io.wording import argument
from netsurgery.net import types
from netsurgery.net.net import Layer, NetDefinition, Shape
from netsurgery.net.param_sources import check_own_names
from netsurgery.net.shapes import Shapes, infer, remedy
from netsurgery.net.types.record import ParamRole, ParamSpec
from netsurgery.surgery.fillers import Filler, read_filler, stream_key, why_not
from netsurgery.surgery.plan import Refusal

__all__ = ["InitialParam", "InitialPlan", "plan_initial_params", "unknown_sources"]

_ZERO = Filler(value=0.0)

#: Statistics that a net can be run with: Caffe begins with zeros and divides by them.
_STATISTICS = {ParamRole.VARIANCE: 1.0, ParamRole.FACTOR: 1.0}


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

    net: NetDefinition
    params: tuple[InitialParam, ...]
    notes: tuple[str, ...]


def plan_initial_params(
    net: NetDefinition,
    *,
    as_caffe: bool = False,
    layers: Collection[str] | None = None,
    shapes: Shapes | None = None,
) -> InitialPlan:
    """The filler and shape of every param of `net`.

    as_caffe: fill the variance and the factor of a BatchNorm with zeros, as Caffe does before it
    trains; else with ones, so that the net can be run and the layer changes next to nothing.
    layers: those to fill alone, None for all. shapes: the net's, where they are known. Raises
    SurgeryError naming every layer whose params cannot be filled, and every blob without a shape
    that others wait for; PrototxtError where the net contradicts itself.
    """
    check_own_names(net)
    shapes = infer(net) if shapes is None else shapes
    unknown: list[Layer] = []
    refusals: list[Refusal] = []
    params: list[InitialParam] = []
    notes = list(net.notes)
    owners: dict[str, InitialParam] = {}
    chosen = [layer for layer in net.layers if layers is None or layer.name in layers]
    for layer in chosen:
        own = shapes.params_of(layer)
        if own:
            for param in _params(layer, own, as_caffe):
                owner = owners.setdefault(param.key, param)
                why = why_not(owner.filler, owner.shape) or _why_not_shared(owner, param)
                refusals += [Refusal(layer.name, f"param {param.index}: {why}")] if why else []
                # Caffe's sharers take the owner's values, whatever their own fillers say.
                same = InitialParam(layer.name, param.index, owner.shape, owner.filler, param.key)
                params.append(same)
        elif types.params(layer):
            unknown.append(layer)
        # Without bottoms it brings data, and no data layer of Caffe has params.
        elif types.params(layer) is None and layer.bottoms:
            notes.append(
                f"layer {layer.name!r} is of type {layer.type}; params it may have are not filled"
            )
    _refuse(net, shapes, unknown, refusals)
    # Of one axis it is a bias or a BatchNorm's mean, which begin with zeros anyway.
    zeros = [p.layer for p in params if p.index == 0 and p.filler == _ZERO and len(p.shape) > 1]
    if zeros:
        notes.append(f"weights without a filler are zeros, as in Caffe: {', '.join(zeros)}")
    statistics = [layer.name for layer in chosen if not as_caffe and _has_statistics(layer)]
    if statistics:
        notes.append(
            "statistics are a mean of 0 and a variance of 1, not Caffe's zeros "
            f"({argument('--as-caffe')}): " + ", ".join(statistics)
        )
    return InitialPlan(net, tuple(params), tuple(notes))


def _has_statistics(layer: Layer) -> bool:
    return any(param.role in _STATISTICS for param in types.params(layer) or ())


def _refuse(
    net: NetDefinition, shapes: Shapes, unknown: Sequence[Layer], refusals: Sequence[Refusal]
) -> None:
    """Raise SurgeryError for what has no shape, each cause once, and for all refusals.

    A field that stands in the way by itself is a PrototxtError, which has its line and column.
    """
    sources = unknown_sources(net, shapes, unknown)
    problems = [
        f"{whose}: the shape of {blob!r} is not known; {shapes.unknown.get(blob) or remedy(blob)}"
        for blob, whose in sources.items()
    ]
    # A fork's layer that is not as its definition has it: what is wrong with it is the cause.
    behind = {blob for each in unknown for blob in (*each.bottoms, *each.tops)}
    faults = dict.fromkeys(fault for blob, fault in shapes.faults.items() if blob in behind)
    if len(faults) == 1 and not problems and not refusals:
        raise next(iter(faults))
    problems += dict.fromkeys(fault.what for fault in faults)
    if unknown and not problems:
        problems = [
            str(Refusal(each.name, "the shapes of its params are not known")) for each in unknown
        ]
    if problems or refusals:
        raise SurgeryError(f"{net.prototxt.path}: " + "; ".join([*problems, *map(str, refusals)]))


def _why_not_shared(owner: InitialParam, param: InitialParam) -> str:
    if owner.shape == param.shape:
        return ""
    mine, theirs = shape_text(param.shape), shape_text(owner.shape)
    return f"it is {mine} and shared with layer {owner.layer!r}, where it is {theirs}"


def _params(layer: Layer, shapes: tuple[Shape, ...], as_caffe: bool) -> Iterator[InitialParam]:
    known = types.params(layer) or ()
    for index, (shape, param) in enumerate(zip(shapes, known, strict=True)):
        key = stream_key(layer, index)
        fills = param.fills if as_caffe else _STATISTICS.get(param.role, param.fills)
        yield InitialParam(layer.name, index, shape, _filler(layer, param, fills), key)


def _filler(layer: Layer, param: ParamSpec, fills: float) -> Filler:
    message, default = types.message_of(layer), Filler(value=fills)
    if message is None or not param.filler:
        return default
    return read_filler(layer.param(message).message(param.filler), default)


def unknown_sources(
    net: NetDefinition, shapes: Shapes, layers: Iterable[Layer]
) -> Mapping[str, str]:
    """Blob -> whose it is: where it begins that the shapes of these layers are not known.

    Each once, in file order of the layers, however many of them wait for it.
    """
    origins: dict[str, str] = {}
    for layer in layers:
        for blob, source in _sources(net, shapes, layer):
            whose = "input" if source is None else f"layer {source.name!r} ({source.type})"
            origins.setdefault(blob, whose)
    return origins


def _sources(
    net: NetDefinition, shapes: Shapes, layer: Layer
) -> Iterator[tuple[str, Layer | None]]:
    """Each blob before `layer` of an unknown shape of its own, with the layer that makes it."""
    seen: set[tuple[int, str]] = set()
    waiting = [(layer, bottom) for bottom in layer.bottoms if bottom in shapes.unknown]
    while waiting:
        reader, blob = waiting.pop()
        maker = net.producer(reader, blob)
        # By reader too: a blob worked on in place has a maker before each of them.
        if (reader.index, blob) in seen:
            continue
        seen.add((reader.index, blob))
        if maker is None or types.is_input(maker):
            yield blob, None
        elif blob in shapes.origins and blob not in shapes.faults:
            yield blob, maker
        else:
            waiting += [(maker, each) for each in maker.bottoms if each in shapes.unknown]
