"""``netsurgery.diff``: two nets, two models, or two of each compared, structure and params."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from netsurgery.errors import NetError, NetsurgeryError
from netsurgery.formats.blob import Shape
from netsurgery.formats.caffemodel import Caffemodel
from netsurgery.formats.prototxt import Prototxt, is_prototxt, quoted
from netsurgery.formats.upgrade.text import to_v1
from netsurgery.formats.weights import WeightsBlob, WeightsFile, open_weights
from netsurgery.io.argument_types import checked_argument, checks_arguments, shown
from netsurgery.io.targets import check_outputs
from netsurgery.net.net import NetDefinition
from netsurgery.net.state import TEST, NetState
from netsurgery.open_net.arguments import AnyPath
from netsurgery.open_net.models import is_net
from netsurgery.surgery.difference.compare import NetDifference, compare_nets, compare_records
from netsurgery.surgery.difference.fields import FieldChange
from netsurgery.surgery.difference.records import model_records, turned_layers
from netsurgery.verbs.diff_result import Comparison, ParamDifference

if TYPE_CHECKING:
    from netsurgery.formats.hdf5 import Shared
    from netsurgery.open_net.net import Net
    from netsurgery.verbs.blob_statistics import BlobDistance
    from netsurgery.verbs.draw_result import NetDrawing

__all__ = ["compare", "diff"]

PrototxtPair = tuple[Prototxt, Prototxt]
#: Of either net the layers that store their weight inputs x outputs.
TurnedLayers = tuple[Collection[str], Collection[str]]
AnySide: TypeAlias = "Net | AnyPath | tuple[AnyPath, AnyPath]"


@checks_arguments("diff((prototxt, weights), (prototxt, weights))")
def diff(
    old: AnySide,
    new: AnySide,
    *,
    strict: bool = False,
    text: bool = False,
    draw: AnyPath | None = None,
    state: NetState = TEST,
    force: bool = False,
) -> Comparison:
    """How a second net differs from a first: layers, their fields, their params.

    old, new: each is a prototxt, a file of weights, (prototxt, weights), or an open net, whose
    present params count; both of one kind. In the result, `net` has what was added, removed,
    renamed and changed, `params` whether each is equal, reshaped, transposed or different and by
    what norm; `same` sums it up. strict: a field that is written out at its default is a
    difference. text: the unified diff of the prototxts, too. draw: a file to draw the second net
    in, with what differs, as `NetDrawing.save` takes it; force: replace it if it exists. state: in
    which shapes are known, by which an axis counted from the end equals another; layers of every
    state are compared.

    >>> print(diff("prototxt/digits_deploy.prototxt", "prototxt/digits_deploy.prototxt"))
    no difference: 15 layers
    >>> old = "prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel"
    >>> print(diff(old, old))
    no difference: 15 layers; 10 params equal

    Raises FormatError, PrototxtError, CaffemodelError, NetError for two that are not of one kind,
    OutputError where `draw` cannot be written, and TypeError for what is none of these.
    """
    sides = old, new
    if len({_kind(side) for side in sides}) > 1:
        raise NetError("a net can be compared with a net, weights with weights, or both with both")
    has_net, has_weights = _kind(old)
    if text and not has_net:
        raise NetError("a diff of the text needs two prototxts")
    if draw is not None and not has_net:
        raise NetError("a drawing needs two prototxts")
    if draw is not None:
        check_outputs([draw], force=force)  # before any work; not one that is standard output
    nets = models = None
    with ExitStack() as stack:
        if has_net:
            nets = _prototxt(old), _prototxt(new)
            _check_shapes(nets, state)
        if has_weights:
            models = (
                _weights(stack, old, nets and nets[0], state),
                _weights(stack, new, nets and nets[1], state),
            )
        result = compare(nets, models, strict, state)
    if text and nets is not None:
        from netsurgery.formats.line_diff import text_diff

        result = replace(result, text=text_diff(nets[0], nets[1].text, nets[1].path))
    if draw is not None and nets is not None:
        _drawing(nets, result, state).save(draw, force=force, inputs=result.files)
        result = replace(result, drawing=str(draw))
    return result


def _drawing(nets: PrototxtPair, result: Comparison, state: NetState) -> NetDrawing:
    from netsurgery.verbs.draw import draw_difference

    params: dict[str, list[str]] = {}
    for param in result.params:
        if param.status == "different":
            params.setdefault(param.new_layer, []).append(f"param {param.index} differs")
    old, new = (_definition(net, state) for net in nets)
    return draw_difference(old, new, result.net, params)


def _definition(net: Prototxt, state: NetState) -> NetDefinition:
    """The net in `state`, without shapes that are given for blobs of the other net."""
    blobs = _blobs(net)
    shapes = tuple((blob, shape) for blob, shape in state.shapes if blob in blobs)
    return NetDefinition.of(to_v1(net).result, replace(state, shapes=shapes))


def _kind(side: AnySide) -> tuple[bool, bool]:
    """Whether there is a net, and whether there are weights. Raises TypeError for neither."""
    if is_net(side):
        return True, side.has_weights
    if isinstance(side, tuple) and len(side) == 2 and None not in side:
        for name, path in zip(("prototxt", "weights"), side, strict=True):
            checked_argument(name, path, "AnyPath")
        return True, True
    if not isinstance(side, (str, Path)):
        what = "a prototxt, a file of weights, (prototxt, weights) or an open net"
        raise TypeError(f"found {shown(side)}, expected {what}")
    return (True, False) if is_prototxt(Path(side)) else (False, True)


def _prototxt(side: AnySide) -> Prototxt:
    if is_net(side):
        return side.view.prototxt
    return Prototxt.read(Path(side[0] if isinstance(side, tuple) else side))


def _weights(stack: ExitStack, side: AnySide, net: Prototxt | None, state: NetState) -> WeightsFile:
    """The open weights, closed with `stack`. Raises CaffemodelError."""
    if is_net(side):
        return stack.enter_context(side.present_model()).weights
    path = Path(side[1] if isinstance(side, tuple) else side)
    return stack.enter_context(open_weights(path, None if net is None else _shared(net, state)))


def compare(
    nets: PrototxtPair | None,
    models: tuple[WeightsFile, WeightsFile] | None,
    strict: bool = False,
    state: NetState = TEST,
) -> Comparison:
    """Compare two prototxts, two open files of weights, or both.

    strict: a field that is written out at its default is a difference. state: in which shapes are
    worked out, and params are shared. Params are matched by the layers' names, new names included.
    Memory does not grow with the models. Raises FormatError, PrototxtError, CaffemodelError.
    """
    if models is None:
        assert nets is not None
        paths = str(nets[0].path), str(nets[1].path)
        return Comparison(paths, compare_nets(*nets, strict=strict, state=state), ())
    old, new = models
    if nets is None:
        net = _models(old, new)
    else:
        net = compare_nets(*nets, (_counts(old), _counts(new)), strict, state)
    turned = (turned_layers(nets[0]), turned_layers(nets[1])) if nets else ((), ())
    params = tuple(_params(old, new, dict(net.matched), turned))
    # After the last read: a file rewritten meanwhile was compared half old, half new.
    old.check_unchanged()
    new.check_unchanged()
    files = [*(str(each.path) for each in nets or ()), old.path, new.path]
    return Comparison(tuple(files), net, params)


def _check_shapes(nets: PrototxtPair, state: NetState) -> None:
    blobs = _blobs(nets[0]) | _blobs(nets[1])
    # One state reads both nets, so a blob of either will do.
    for blob, _ in state.shapes:
        if blob not in blobs:
            paths = f"{nets[0].path} and {nets[1].path}"
            raise NetError(f"{paths}: a shape is given for {blob!r}, a blob of neither")


def _blobs(net: Prototxt) -> set[str]:
    """Its inputs and tops, of every state."""
    return {
        scalar.as_string()
        for message in (net.root, *net.layers)
        for name in ("input", "top")
        for scalar in message.scalars(name)
    }


def _shared(net: Prototxt, state: NetState) -> Shared | None:
    """Which params the layers share, where the net can be read as one."""
    try:
        return NetDefinition.of(to_v1(net).result, state).sharing.owners
    # A prototxt that contradicts itself is compared all the same, field by field.
    except NetsurgeryError:
        return None


def _models(old: WeightsFile, new: WeightsFile) -> NetDifference:
    """By what both files have: HDF5 holds no more than names and params."""
    if not (isinstance(old, Caffemodel) and isinstance(new, Caffemodel)):
        return compare_records(model_records(old, bare=True), model_records(new, bare=True))
    same = old.net_name == new.net_name
    names = [] if same else [FieldChange("name", quoted(old.net_name), quoted(new.net_name))]
    return compare_records(model_records(old), model_records(new), names)


def _counts(model: WeightsFile) -> dict[str, tuple[int, ...]]:
    return {layer.name: tuple(blob.count for blob in layer.blobs) for layer in model.layers}


def _params(
    old: WeightsFile, new: WeightsFile, names: Mapping[str, str], turned: TurnedLayers
) -> Iterator[ParamDifference]:
    before, after = _bearing(old), _bearing(new)
    for (name, nth), blobs in before.items():
        target = names.get(name, name)
        stored = name in turned[0], target in turned[1]
        yield from _param_differences(name, target, blobs, after.pop((target, nth), ()), stored)
    for (name, _), blobs in after.items():
        yield from _param_differences(name, name, (), blobs)


def _bearing(model: WeightsFile) -> dict[tuple[str, int], Sequence[WeightsBlob]]:
    """(layer, how many of that name came before) -> its params."""
    # Caffe takes, and saves, several layers of one name: net.cpp does not compare them.
    result: dict[tuple[str, int], Sequence[WeightsBlob]] = {}
    before: Counter[str] = Counter()
    for layer in model.layers:
        if layer.blobs:
            result[layer.name, before[layer.name]] = layer.blobs
            before[layer.name] += 1
    return result


def _param_differences(
    name: str,
    new_name: str,
    old: Sequence[WeightsBlob],
    new: Sequence[WeightsBlob],
    turned: tuple[bool, bool] = (False, False),
) -> Iterator[ParamDifference]:
    for index in range(max(len(old), len(new))):
        blob = old[index] if index < len(old) else None
        new_blob = new[index] if index < len(new) else None
        shapes = (blob.shape if blob else None, new_blob.shape if new_blob else None)
        if blob is None or new_blob is None:
            status, apart = "removed" if blob else "added", None
        else:
            # A bias has one axis, however the weight is stored.
            status, apart = _compared(blob, new_blob, turned if index == 0 else (False, False))
        yield ParamDifference(name, new_name, index, status, *shapes, apart)


def _compared(
    old: WeightsBlob, new: WeightsBlob, turned: tuple[bool, bool]
) -> tuple[str, BlobDistance | None]:
    if old.count != new.count:
        return "different", None
    from netsurgery.verbs.blob_statistics import distance

    # Only a matrix can be turned: of a blob of other axes the net says what is not so.
    turned = turned[0] and len(old.shape) > 1, turned[1] and len(new.shape) > 1
    apart = distance(old, new, turned)
    if apart is not None:
        return "different", apart
    if turned[0] != turned[1]:
        return "transposed", None
    return ("equal" if _same_shape(old, new) else "reshaped"), None


def _same_shape(old: WeightsBlob, new: WeightsBlob) -> bool:
    """A legacy blob has four axes whatever the param has: ones in front do not count there."""
    if old.legacy == new.legacy:
        return old.shape == new.shape
    return _bare(old.shape) == _bare(new.shape)


def _bare(shape: Shape) -> Shape:
    """The shape without leading ones."""
    first = next((i for i, dim in enumerate(shape) if dim != 1), len(shape))
    return shape[first:]
