"""What each type of layer does with a cut: which of its other blobs lose which channels.

Every rule takes the known cuts of a layer's blobs and adds those that follow, forwards and
backwards. A type without a rule is refused by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

from netsurgery.io.wording import counted
from netsurgery.net import types
from netsurgery.net.known_fields import check_fields
from netsurgery.net.net import Layer, Shape
from netsurgery.net.types.axes import cut_axis
from netsurgery.net.types.record import Channels, Role, Values
from netsurgery.surgery.edit.channel_types import (
    Path,
    channel_axis,
    gate_axes,
    gate_axis,
    group_of,
    looks_at_values,
    mixes,
    normalizes,
    outputs_of,
    param_axes,
    path_of,
    takes_all_behind,
    takes_size_from,
)
from netsurgery.surgery.edit.cuts import (
    NEW,
    Cut,
    even,
    expand,
    identity,
    reshaped,
    shuffled,
    split,
    unshuffled,
    whole_groups,
)
from netsurgery.surgery.edit.follow import APPROXIMATE, BlobChannels, Follower
from netsurgery.surgery.edit.session import refusal

__all__ = ["path_through", "relate"]

Rule = Callable[[Follower, Layer], None]


def relate(follow: Follower, layer: Layer) -> None:
    """Put the cuts that follow from those of the layer's blobs. Raises SurgeryError."""
    _check_sizes(follow, layer)
    if not _reads_values(follow, layer):
        return
    path = path_through(follow, layer)
    if any(cut.axis < 0 for cut in _cuts(follow, follow.bottoms(layer))):
        _behind_numbers(follow, layer, path)
        return
    _RULES[path](follow, layer)


def path_through(follow: Follower, layer: Layer) -> Path:
    """The way that channels take through the layer. Raises SurgeryError where none is known."""
    # What an unknown field does to channels nobody could follow.
    check_fields(layer)
    path = path_of(layer)
    if path is None and normalizes(follow.work.shapes, layer):
        path = _approximate(follow, layer)
    if path is None:
        raise follow.refusal(layer, _why_not(layer))
    return path


def _approximate(follow: Follower, layer: Layer) -> Path:
    """A normalization across channels, which changes the numbers of those that are left."""
    if not follow.approximate:
        raise follow.refusal(
            layer,
            "normalizes across channels: without some of them the others change; "
            f"{APPROXIMATE[1:]} after another colon allows it",
        )
    follow.normalizing[layer.name] = None
    return Path.SAME


def _why_not(layer: Layer) -> str:
    record = types.of(layer)
    if record is not None and record.training:
        return "is for training; give the deploy prototxt"
    if types.channels(layer) is Channels.MIXING:
        if types.values(layer) in (Values.KEPT, Values.MOVED):
            return "moves its channels in a way that is not followed"
        return "computes with several channels at once: without some of them the others change"
    if not layer.bottoms:
        return "takes its channels from no layer before it"
    return "treats its channels in a way that is not known"


def _check_sizes(follow: Follower, layer: Layer) -> None:
    """Refuse a cut of a blob whose size along that axis the layer takes."""
    for index, blob in enumerate(follow.bottoms(layer)):
        cut = follow.cuts.get(blob)
        if cut is None or looks_at_values(layer, index) or not layer.tops:
            continue
        if cut.axis > 1 or takes_size_from(follow.work.shapes, layer) <= cut.axis:
            raise follow.refusal(layer, f"takes the size of {blob.name!r} along axis {cut.axis}")


def _reads_values(follow: Follower, layer: Layer) -> bool:
    """Whether a blob with a cut is more to the layer than a size."""
    values = [
        blob for index, blob in enumerate(follow.bottoms(layer)) if looks_at_values(layer, index)
    ]
    return bool(_cuts(follow, (*values, *follow.tops(layer))))


def _cuts(follow: Follower, blobs: Sequence[BlobChannels]) -> list[Cut]:
    return [follow.cuts[blob] for blob in blobs if blob in follow.cuts]


def _behind_numbers(follow: Follower, layer: Layer, path: Path) -> None:
    """The bottom holds the numbers of channels, which are other numbers now."""
    (cut, *_) = _cuts(follow, follow.bottoms(layer))
    if path not in (Path.SAME, Path.RESHAPED, Path.PERMUTED) or len(layer.bottoms) > 1:
        raise follow.refusal(layer, f"reads the numbers of channels from {cut.compared!r}")
    for top in follow.tops(layer):
        follow.put(top, cut, layer)


def _same(follow: Follower, layer: Layer) -> None:
    """A channel of the bottoms is that channel of the tops."""
    ties = list(_ties(follow, layer))
    cut = _of_the_value(follow, layer, ties)
    # A Softmax's shares change once a channel is gone: nothing may join or weigh them.
    if cut.compared and (len(layer.bottoms) > 1 or param_axes(follow, layer)):
        raise _after_comparison(follow, layer, cut)
    if why := mixes(follow.work.shapes, layer, cut.axis):
        raise follow.refusal(layer, why)
    for tie in ties:
        # The value itself, of no `axes`, has the cut on whichever axis it is.
        if 0 <= cut.axis - tie.shift < (tie.axes or cut.axis + 1):
            follow.put(tie.blob, cut.at(cut.axis - tie.shift), layer)


class _Tie(NamedTuple):
    """A blob with the channels of the value, whose axis `shift` is its axis 0.

    axes: how many of a gate's go with the value's; None for the value itself.
    """

    blob: BlobChannels
    shift: int = 0
    axes: int | None = None


def _of_the_value(follow: Follower, layer: Layer, ties: Sequence[_Tie]) -> Cut:
    """A cut of the layer's blobs, on the axis that the value has it on."""
    for index, blob in enumerate(follow.bottoms(layer)):
        tied = blob in [tie.blob for tie in ties]
        if blob in follow.cuts and not tied and looks_at_values(layer, index):
            raise follow.refusal(layer, f"reads {blob.name!r} as indices")
    tie = next(tie for tie in ties if tie.blob in follow.cuts)
    cut = follow.cuts[tie.blob]
    if tie.axes is not None and cut.axis >= tie.axes:
        raise follow.refusal(layer, f"has one number of {tie.blob.name!r} for all of an axis")
    return cut.at(cut.axis + tie.shift)


def _ties(follow: Follower, layer: Layer) -> Iterator[_Tie]:
    """The blobs that have the same channels."""
    bottoms, shapes = follow.bottoms(layer), follow.work.shapes
    for index, blob in enumerate(bottoms):
        role = types.roles(layer)[index]
        # A mask (SegNet's Upsample) goes number by number with the value, and loses the same ones.
        if role is Role.VALUE or (role is Role.INDEX and _alike(follow, bottoms[0], blob)):
            yield _Tie(blob)
        elif role is Role.GATE:
            yield _Tie(blob, gate_axis(shapes, layer), gate_axes(shapes, layer, blob.name))
    yield from map(_Tie, follow.tops(layer))


def _alike(follow: Follower, first: BlobChannels, second: BlobChannels) -> bool:
    shapes = follow.work.shapes.blobs
    return first.name in shapes and shapes[first.name] == shapes.get(second.name)


def _after_comparison(follow: Follower, layer: Layer, cut: Cut) -> Exception:
    return follow.refusal(
        layer,
        f"reads shares of all channels, from {cut.compared!r}, which would change",
    )


def _weighted(follow: Follower, layer: Layer) -> None:
    """Outputs are computed from all channels, or from all of a group."""
    bottoms, tops = follow.bottoms(layer), follow.tops(layer)
    inputs = _one_cut(follow, layer, bottoms)
    outputs = _one_cut(follow, layer, tops)
    axis = channel_axis(follow.work.shapes, layer)
    if inputs is not None:
        whole = takes_all_behind(layer)
        if inputs.axis != axis and not (whole and inputs.axis > axis):
            raise follow.refusal(layer, f"has its channels on axis {axis}, not {inputs.axis}")
        if inputs.compared:
            raise _after_comparison(follow, layer, inputs)
    if outputs is not None and outputs.axis != axis:
        raise follow.refusal(layer, f"has its outputs on axis {axis}, not {outputs.axis}")
    group = group_of(follow.work.shapes, layer)
    if group > 1:
        _grouped(follow, layer, inputs, outputs)


def _one_cut(follow: Follower, layer: Layer, blobs: Sequence[BlobChannels]) -> Cut | None:
    """The cut of several blobs that the same weights are for."""
    cuts = _cuts(follow, blobs)
    for blob in blobs if cuts else ():
        follow.put(blob, cuts[0], layer)
    return cuts[0] if cuts else None


def _grouped(follow: Follower, layer: Layer, inputs: Cut | None, outputs: Cut | None) -> None:
    """Every group loses as many channels, or whole groups go, inputs and outputs."""
    axis, group = channel_axis(follow.work.shapes, layer), group_of(follow.work.shapes, layer)
    old = (
        follow.shape(follow.bottoms(layer)[0], layer)[axis],
        outputs_of(follow.work.shapes, layer),
    )
    blobs = (follow.bottoms(layer), follow.tops(layer))
    for side, cut in enumerate((inputs, outputs)):
        size, opposite = old[side] // group, old[1 - side]
        if cut is None or even(cut.rows, size, group):
            continue
        groups = whole_groups(cut.rows, size)
        if groups is None:
            raise follow.refusal(
                layer,
                f"has {counted(group, 'group')} of "
                f"{counted(size, ('input', 'output')[side])}, "
                "which would neither stay equal in size nor go whole",
            )
        for blob in blobs[1 - side]:
            follow.put(blob, Cut(axis, expand(groups, opposite // group), opposite), layer)


def _joined(follow: Follower, layer: Layer) -> None:
    """The top's channels are those of all bottoms, one after another."""
    _parted(follow, layer, follow.tops(layer)[0], follow.bottoms(layer))


def _divided(follow: Follower, layer: Layer) -> None:
    """The tops' channels are those of the bottom, one after another."""
    _parted(follow, layer, follow.bottoms(layer)[0], follow.tops(layer))


def _parted(
    follow: Follower, layer: Layer, whole: BlobChannels, parts: Sequence[BlobChannels]
) -> None:
    axis = cut_axis(layer, follow.shape(whole, layer))
    # Along another axis than it joins, it treats every blob alike.
    if any(cut.axis != axis for cut in _cuts(follow, (whole, *parts))):
        _same(follow, layer)
        return
    sizes = [follow.shape(part, layer)[axis] for part in parts]
    cut = follow.cuts.get(whole)
    if cut is not None:
        pieces = split(cut.rows, sizes)
        if pieces is None:
            raise follow.refusal(layer, "would have to mix the channels of several blobs")
        for part, piece, size in zip(parts, pieces, sizes, strict=True):
            follow.put(part, Cut(axis, piece, size, cut.compared), layer)
    rows: list[int] = []
    # Not strict: the last sum is where the whole ends, and no part begins.
    for part, start, size in zip(parts, accumulate([0, *sizes]), sizes, strict=False):
        its = follow.cuts[part].rows if part in follow.cuts else identity(size)
        rows += [NEW if row == NEW else start + row for row in its]
    compared = "".join(cut.compared for cut in _cuts(follow, parts)[:1])
    follow.put(whole, Cut(axis, tuple(rows), sum(sizes), compared), layer)


def _reshaped(follow: Follower, layer: Layer) -> None:
    """The same numbers on other axes."""
    (bottom, *_), (top, *_) = follow.bottoms(layer), follow.tops(layer)
    if layer.in_place:
        raise follow.refusal(layer, "changes the shape of a blob in place")
    for start, end in ((bottom, top), (top, bottom)):
        cut = follow.cuts.get(start)
        if cut is not None:
            shapes = {blob: follow.shape(blob, layer) for blob in (start, end)}
            result = reshaped(cut, shapes[start], shapes[end])
            if result is not None:
                left = {start: cut.left_of(shapes[start]), end: result.left_of(shapes[end])}
            if result is None or not _flattens(layer, left[bottom], left[top]):
                raise follow.refusal(layer, "mixes its channels with other axes")
            follow.put(end, result, layer)


def _flattens(layer: Layer, bottom: Shape, top: Shape) -> bool:
    """Whether a Flatten makes the one shape of the other; other layers' text is made to.

    Where axes of one number are joined, the sizes from before do not say which those are.
    """
    record = types.of(layer)
    if record is None or record.shapes is None or record.message != "flatten_param":
        return True
    (shape, *_), _ = record.shapes(layer, [bottom])
    return shape == top


def _permuted(follow: Follower, layer: Layer) -> None:
    """The same numbers with their axes in another order."""
    (bottom, *_), (top, *_) = follow.bottoms(layer), follow.tops(layer)
    if layer.in_place:
        raise follow.refusal(layer, "changes the shape of a blob in place")
    order = types.axis_order(layer, len(follow.shape(bottom, layer)))
    if bottom in follow.cuts:
        cut = follow.cuts[bottom]
        follow.put(top, cut.at(order.index(cut.axis)), layer)
    if top in follow.cuts:
        cut = follow.cuts[top]
        follow.put(bottom, cut.at(order[cut.axis]), layer)


def _shuffled(follow: Follower, layer: Layer) -> None:
    """The channels of each group in turn."""
    group = layer.param("shuffle_channel_param").integer("group", 1, 1)
    (bottom, *_), (top, *_) = follow.bottoms(layer), follow.tops(layer)
    for start, end, reorder in ((bottom, top, shuffled), (top, bottom, unshuffled)):
        cut = follow.cuts.get(start)
        if cut is not None:
            rows = reorder(cut.rows, cut.old, group) if cut.axis == 1 else None
            if rows is None:
                left = f"{len(cut.rows)} of {cut.old}"
                raise follow.refusal(layer, f"shuffles {counted(group, 'group')}; {left} are left")
            follow.put(end, cut._replace(rows=rows), layer)


def _shared(follow: Follower, layer: Layer) -> None:
    """Each channel's share of them all: a Softmax."""
    (bottom, *_), (top, *_) = follow.bottoms(layer), follow.tops(layer)
    cut = _compared(follow, layer, layer.param("softmax_param").integer("axis", 1, -(2**31)))
    if cut is None:
        return
    follow.put(top, cut._replace(compared=layer.name), layer)
    # Cut further by what reads it, the top would lack shares that are still computed.
    if follow.cuts[top].rows != follow.cuts[bottom].rows:
        raise _all_compared(follow, layer)


def _ranked(follow: Follower, layer: Layer) -> None:
    """The numbers of the largest channels: an ArgMax."""
    message = layer.param("argmax_param")
    axis = message.integer("axis", 0, -(2**31)) if message.scalar("axis") else None
    cut = _compared(follow, layer, axis)
    if cut is None:
        return
    best = message.integer("top_k", 1, 1)
    # Caffe would abort: top_k is at most the size of the axis (argmax_layer.cpp).
    if best > len(cut.rows):
        what = f"layer {layer.name!r} wants the best {best} of {counted(len(cut.rows), 'output')}"
        raise refusal(follow.seed.name, what)
    follow.put(follow.tops(layer)[0], Cut(-1, (), 0, layer.name), layer)


def _compared(follow: Follower, layer: Layer, axis: int | None) -> Cut | None:
    """The bottom's cut on the axis that is compared along, None where it is on another one."""
    cut = follow.cuts.get(follow.bottoms(layer)[0])
    if axis is not None and axis < 0:
        axis %= len(follow.shape(follow.bottoms(layer)[0], layer))
    its = cut or _cuts(follow, follow.tops(layer))[0]
    if axis is not None and its.axis >= 0 and its.axis != axis:
        _same(follow, layer)
        return None
    if cut is None:
        raise _all_compared(follow, layer)
    return cut


def _all_compared(follow: Follower, layer: Layer) -> Exception:
    return follow.refusal(
        layer, "compares all channels; name the layer with weights before it instead"
    )


_RULES: dict[Path, Rule] = {
    Path.COMPARED: _shared,
    Path.DIVIDED: _divided,
    Path.JOINED: _joined,
    Path.PERMUTED: _permuted,
    Path.RANKED: _ranked,
    Path.RESHAPED: _reshaped,
    Path.SAME: _same,
    Path.SHUFFLED: _shuffled,
    Path.WEIGHTED: _weighted,
}
