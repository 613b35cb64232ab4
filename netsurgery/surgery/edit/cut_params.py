"""What cut blobs mean for the params and the text of the layers that read or make them.

What an edit overlooks, such as a Reshape that spells a size out, shows in the shapes inferred from
the new text before anything is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from netsurgery.errors import PrototxtError, SurgeryError
from netsurgery.formats.prototxt import insert_field
from netsurgery.formats.textformat import Edits
from netsurgery.io.shape_text import shape_text
from netsurgery.net.net import Layer, Shape
from netsurgery.net.types.axes import cut_axis
from netsurgery.surgery.edit.channel_types import (
    Path,
    channel_axis,
    group_of,
    inputs_first,
    is_weighted,
    param_axes,
    path_of,
    spreads,
    takes_all_behind,
)
from netsurgery.surgery.edit.cuts import (
    NEW,
    Cut,
    Rows,
    even,
    identity,
    merged,
    take,
    whole_groups,
)
from netsurgery.surgery.edit.follow import Follower
from netsurgery.surgery.edit.layer_text import other_phases_read, own_message
from netsurgery.surgery.edit.session import EditSession, refusal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

__all__ = ["apply_cuts", "cut_layer", "edit_as_expected", "own_params"]

#: Field numbers in ConvolutionParameter; num_output has the same one in the other messages.
_NUM_OUTPUT, _GROUP = 1, 5


def apply_cuts(follow: Follower) -> None:
    """Cut the params and the text of every layer that `follow` reached.

    Raises SurgeryError for params that are shared, or are not as the net has them, and where the
    new net would have other shapes than the cuts say.
    """
    net = follow.work.net
    edits = net.prototxt.edits()
    for layer in net.layers:
        if any(blob in follow.cuts for blob in (*follow.bottoms(layer), *follow.tops(layer))):
            cut_layer(follow, layer, edits)
    try:
        edit_as_expected(follow.work, edits, _new_shapes(follow))
    except SurgeryError as error:
        raise refusal(follow.seed.name, str(error)) from None


def _new_shapes(follow: Follower) -> dict[str, Shape]:
    """The new shape of every blob that is cut and whose shape is known."""
    expected = {}
    for layer in follow.work.net.layers:
        for blob in follow.tops(layer):
            cut = follow.cuts.get(blob)
            shape = follow.work.shapes.blobs.get(blob.name)
            if shape is not None and cut is not None and cut.axis >= 0:
                expected[blob.name] = _with(shape, cut)
    return expected


def _with(shape: Shape, cut: Cut) -> Shape:
    return (*shape[: cut.axis], len(cut.rows), *shape[cut.axis + 1 :])


def cut_layer(follow: Follower, layer: Layer, edits: Edits) -> None:
    """Cut one layer's params, and put into `edits` what changes in its text."""
    if is_weighted(layer):
        _cut_weighted(follow, layer, edits)
        return
    _cut_by_channel(follow, layer)
    if path_of(layer) is Path.DIVIDED:
        _move_points(follow, layer, edits)
    elif layer.message.message("reshape_param"):
        _set_dim(follow, layer, edits)


def own_params(work: EditSession, layer: Layer) -> list[Array]:
    """The layer's params. Raises SurgeryError for others than the net's, and for shared ones."""
    name = layer.name
    work.layer(name)
    count = work.count(name)
    work.refuse_shared(name, *range(count))
    return [work.peek(name, index) for index in range(count)]


def _cut_by_channel(follow: Follower, layer: Layer) -> None:
    """The params of layers such as BatchNorm and Scale."""
    axes = param_axes(follow, layer)
    if not axes:
        return
    cut = follow.cuts[follow.tops(layer)[0]]
    values = own_params(follow.work, layer)
    for index, axis in axes.items():
        follow.work.set_param(layer.name, index, take(values[index], cut.rows, axis))
        follow.work.describe(layer.name, index, _left(cut.rows, cut.old, "channels"))


def _left(rows: Rows, old: int, what: str) -> str:
    """ "3 of 4 outputs kept, 2 of zeros added"."""
    old_rows = [row for row in rows if row != NEW]
    order = "" if old_rows == sorted(old_rows) else ", in another order"
    count = len(rows) - len(old_rows)
    added = f", {count} of zeros added" if count else ""
    return f"{len(old_rows)} of {old} {what} kept{order}{added}"


class _Rows(NamedTuple):
    """A weight's rows and columns: what is left of `old`; `groups` of them, each an old one."""

    outputs: Rows
    inputs: Rows
    old: tuple[int, int]
    groups: Rows


def _cut_weighted(follow: Follower, layer: Layer, edits: Edits) -> None:
    """A layer's weight, bias, num_output and group."""
    work, name, group = follow.work, layer.name, group_of(follow.work.shapes, layer)
    weight, *bias = own_params(work, layer)
    blocks = _by_group(layer, weight, group)
    rows = _rows(follow, layer, blocks)
    work.set_param(name, 0, _back(layer, _cut_blocks(blocks, rows)))
    what = [
        _left(left, old, noun)
        for left, old, noun in zip(
            (rows.outputs, rows.inputs), rows.old, ("outputs", "inputs"), strict=True
        )
        if left != identity(old)
    ]
    work.describe(name, 0, "; ".join(what))
    if rows.outputs != identity(rows.old[0]):
        for index, values in enumerate(bias, 1):
            work.set_param(name, index, take(values, rows.outputs, 0))
            work.describe(name, index, what[0])
        _set_number(follow, layer, edits, "num_output", _NUM_OUTPUT, len(rows.outputs))
    if len(rows.groups) != group:
        _set_number(follow, layer, edits, "group", _GROUP, len(rows.groups))


def _set_number(
    follow: Follower, layer: Layer, edits: Edits, field: str, number: int, value: int
) -> None:
    scalar = own_message(layer).scalar(field)
    if scalar is None:  # a fork's, which has one for each channel
        return
    edits.replace(scalar.start, scalar.end, str(value))
    follow.work.fields.setdefault(layer.name, {})[number] = (value,)


def _rows(follow: Follower, layer: Layer, blocks: Array) -> _Rows:
    """What the cuts of the layer's first bottom and top leave of the weight."""
    inputs, outputs = (
        follow.cuts.get(blobs[0]) for blobs in (follow.bottoms(layer), follow.tops(layer))
    )
    group, sizes = blocks.shape[0], blocks.shape[1:3]
    old = (group * sizes[0], group * sizes[1])
    left = [
        identity(old[0]) if outputs is None else outputs.rows,
        identity(old[1]) if inputs is None else _columns(follow, layer, inputs),
    ]
    cut_into = [rows for rows, size in zip(left, sizes, strict=True) if not even(rows, size, group)]
    groups = identity(group)
    if group > 1 and cut_into:
        size = sizes[left.index(cut_into[0])]
        # `paths` has refused what is neither even nor whole.
        groups = whole_groups(cut_into[0], size) or groups
    return _Rows(left[0], left[1], old, groups)


def _columns(follow: Follower, layer: Layer, cut: Cut) -> Rows:
    """Of an InnerProduct, whose axes are all one after `axis`, the columns; of others `cut`."""
    axis, blob = channel_axis(follow.work.shapes, layer), follow.bottoms(layer)[0]
    if not takes_all_behind(layer):
        return cut.rows
    shape = follow.shape(blob, layer)
    return merged(cut, shape, axis, len(shape)).rows


def _by_group(layer: Layer, weight: Array, group: int) -> Array:
    """The weight as group x outputs of the group x inputs of the group x the rest."""
    blocks: Array
    # A Deconvolution's weight is inputs x outputs of a group (base_conv_layer.cpp), so that its
    # groups are blocks of inputs.
    if spreads(layer):
        blocks = weight.reshape(group, weight.shape[0] // group, *weight.shape[1:]).swapaxes(1, 2)
    elif inputs_first(layer):
        blocks = weight.T[None]
    else:
        blocks = weight.reshape(group, weight.shape[0] // group, *weight.shape[1:])
    return blocks


def _back(layer: Layer, blocks: Array) -> Array:
    """The inverse of `_by_group`, for however many groups, outputs and inputs."""
    weight: Array
    if inputs_first(layer):
        weight = blocks[0].T
    else:
        blocks = blocks.swapaxes(1, 2) if spreads(layer) else blocks
        weight = blocks.reshape(blocks.shape[0] * blocks.shape[1], *blocks.shape[2:])
    return weight


def _cut_blocks(blocks: Array, rows: _Rows) -> Array:
    """The rows and columns that are left of every group."""
    import numpy as np

    count = len(rows.groups)
    outputs, inputs = len(rows.outputs) // count, len(rows.inputs) // count
    result = np.zeros((count, outputs, inputs, *blocks.shape[3:]), dtype=blocks.dtype)
    # Groups have no weights between them, so each is cut by itself.
    for new, old in enumerate(rows.groups):
        if old == NEW:
            continue
        parts = (
            _local(rows.outputs[new * outputs : (new + 1) * outputs], old * blocks.shape[1]),
            _local(rows.inputs[new * inputs : (new + 1) * inputs], old * blocks.shape[2]),
        )
        result[new] = take(take(blocks[old], parts[0], 0), parts[1], 1)
    return result


def _local(rows: Rows, start: int) -> Rows:
    return tuple(NEW if row == NEW else row - start for row in rows)


# Text


def _move_points(follow: Follower, layer: Layer, edits: Edits) -> None:
    """Where a Slice cuts, if it is along the channels."""
    bottom, tops = follow.bottoms(layer)[0], follow.tops(layer)
    message = layer.param("slice_param")
    points = message.scalars("slice_point")
    cut = follow.cuts[bottom]
    if cut.axis != cut_axis(layer, follow.shape(bottom, layer)):
        return
    sizes = [
        len(follow.cuts[top].rows) if top in follow.cuts else follow.shape(top, layer)[cut.axis]
        for top in tops
    ]
    new = list(accumulate(sizes))[:-1]
    if points:
        for point, value in zip(points, new, strict=True):
            edits.replace(point.start, point.end, str(value))
    elif len(set(sizes)) > 1:
        text = " ".join(f"slice_point: {value}" for value in new)
        # Without slice points the tops were equal; now they have to be written out.
        fields = message.fields or layer.message.all("top")
        insert_field(edits, fields[-1], text if message.fields else f"slice_param {{ {text} }}")
    else:
        return


def _set_dim(follow: Follower, layer: Layer, edits: Edits) -> None:
    """A Reshape that writes out how many channels there are."""
    cut = follow.cuts.get(follow.tops(layer)[0])
    message = layer.param("reshape_param")
    dims = (message.message("shape") or message).scalars("dim")
    axes = len(follow.shape(follow.bottoms(layer)[0], layer))
    start = message.integer("axis", 0, -(2**31))
    # Caffe's Reshape counts places between axes, of which there is one more.
    start += axes + 1 if start < 0 else 0
    if cut is None or not 0 <= cut.axis - start < len(dims):
        return
    dim = dims[cut.axis - start]
    # 0 copies a size and -1 infers one (reshape_layer.cpp): they follow by themselves.
    if dim.as_int(-1) > 0:
        edits.replace(dim.start, dim.end, str(len(cut.rows)))


def edit_as_expected(
    work: EditSession, edits: Edits, blobs: Mapping[str, Shape], *, maps_grow: bool = False
) -> None:
    """The net becomes what its edited text says.

    blobs: the new shape of each blob whose shape changes. Every other blob keeps its shape, and
    every param has the shape that it has in the session. maps_grow: maps may have more rows and
    columns than that, if no layer of another phase or stage names them. Raises SurgeryError where
    that is not so.
    """
    # Before the edit, while `work.shapes` are the old net's.
    expected = {**work.shapes.blobs, **blobs}
    params = dict(work.shapes.params)
    for (name, index), array in work.arrays.items():
        if index < len(params.get(name, ())):
            params[name] = (*params[name][:index], array.shape, *params[name][index + 1 :])
    work.edited(edits)
    try:
        shapes = work.shapes
    except PrototxtError as error:
        raise SurgeryError(f"the net would not fit together any more: {error}") from None
    for name, shape in expected.items():
        new = shapes.blobs.get(name)
        if new != shape and not (maps_grow and _grown(shape, new)):
            what = "of no known shape" if new is None else shape_text(new)
            raise SurgeryError(f"blob {name!r} would be {what}, expected {shape_text(shape)}")
        if new != shape and (reader := other_phases_read(work.net, name)):
            raise SurgeryError(
                f"layer {reader!r} of another phase or stage names {name!r}, whose map would grow"
            )
    for name, its in params.items():
        if shapes.params.get(name) != its:
            raise SurgeryError(f"the shapes of layer {name!r}'s params would depend on it")


def _grown(shape: Shape, new: Shape | None) -> bool:
    """Whether `new` is a map of at least as many rows and columns, and as many channels."""
    same = new is not None and (len(new), new[:2]) == (len(shape), shape[:2])
    return new is not None and same and all(a <= b for a, b in zip(shape, new, strict=True))
