"""Types that move numbers: joined, cut, flattened, reordered, repeated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from math import prod

from netsurgery.io.wording import counted
from netsurgery.net import geometry
from netsurgery.net.effect import Effect
from netsurgery.net.geometry import ReceptiveField
from netsurgery.net.layer import Layer, Shape
from netsurgery.net.types.axes import axis_of, cut_axis
from netsurgery.net.types.elementwise import no_edges
from netsurgery.net.types.fields import free, images, same, with_size
from netsurgery.net.types.record import (
    MANY,
    NO_EFFECTS,
    NO_PARAMS,
    Channels,
    Count,
    EdgeRule,
    Effects,
    InPlace,
    InputSource,
    LayerType,
    Result,
    Role,
    ShapeRule,
    Signs,
    Space,
    Values,
)
from netsurgery.net.types.seen import FieldRule, Made, Seen, first_field, same_shape_field

__all__ = ["PERMUTE", "SHUFFLE", "TYPES", "moving", "permutation", "transposition"]


def _not_known(
    name: str, message: str | None, bottoms: Count, tops: Count, effects: Effects
) -> LayerType:
    """A type of Caffe 1.0 of whose layers no prototxt says what they do."""
    return LayerType(
        name=name,
        aliases=(),
        origin="Caffe 1.0",
        message=message,
        fields=(),
        shapes=None,
        bottoms=bottoms,
        tops=tops,
        roles=(Role.UNKNOWN,),
        in_place=InPlace.UNKNOWN,
        space=Space.UNKNOWN,
        window=None,
        field=None,
        edges=None,
        channels=Channels.UNKNOWN,
        values=Values.UNKNOWN,
        signs=Signs.ANY,
        source=InputSource.UNKNOWN,
        effects=effects,
        params=None,
        layout=None,
        affine=None,
        multiply_adds=None,
        training=False,
        runs=False,
    )


def moving(
    name: str,
    message: str | None,
    shapes: ShapeRule,
    *,
    origin: str = "Caffe 1.0",
    fields: tuple[str, ...] = (),
    bottoms: Count = (1, 1),
    tops: Count = (1, 1),
    roles: tuple[Role, ...] = (Role.VALUE,),
    in_place: InPlace = InPlace.ALLOWED,
    space: Space | Callable[[Layer], Space],
    channels: Channels | Callable[[Layer], Channels],
    values: Values,
    field: FieldRule | None,
    edges: EdgeRule = no_edges,
    signs: Signs = Signs.KEPT,
) -> LayerType:
    """The record of a type without params that only moves numbers, or picks some."""
    return LayerType(
        name=name,
        aliases=(),
        origin=origin,
        message=message,
        fields=fields,
        shapes=shapes,
        bottoms=bottoms,
        tops=tops,
        roles=roles,
        in_place=in_place,
        space=space,
        window=None,
        field=field,
        edges=edges,
        channels=channels,
        values=values,
        signs=signs,
        source=InputSource.NONE,
        effects=NO_EFFECTS,
        params=NO_PARAMS,
        layout=None,
        affine=None,
        multiply_adds=free,
        training=False,
        runs=True,
    )


def _concat(layer: Layer, bottoms: list[Shape]) -> Result:
    axis = cut_axis(layer, bottoms[0])
    for shape in bottoms[1:]:
        if len(shape) <= axis or with_size(shape, axis, 0) != with_size(bottoms[0], axis, 0):
            raise layer.error(f"bottoms {bottoms[0]} and {shape} differ elsewhere than axis {axis}")
    joined = sum(shape[axis] for shape in bottoms)
    return [with_size(bottoms[0], axis, joined)], []


def _slice(layer: Layer, bottoms: list[Shape]) -> Result:
    message, shape = layer.param("slice_param"), bottoms[0]
    axis = cut_axis(layer, shape)
    points = [s.as_int(0) for s in message.scalars("slice_point")]
    count = len(layer.tops)
    if not points:
        if not count or shape[axis] % count:
            noun = "channel" if axis == 1 else "number"
            what = counted(shape[axis], noun) + ("" if axis == 1 else f" on axis {axis}")
            raise layer.error(f"{what} cannot be divided into {counted(count, 'equal top')}")
        points = [shape[axis] // count * i for i in range(1, count)]
    edges = [0, *points, shape[axis]]
    sizes = [b - a for a, b in pairwise(edges)]
    if len(sizes) != count or min(sizes) <= 0:
        raise layer.error(
            f"slice points {points} do not cut {shape[axis]} into {counted(count, 'top')}"
        )
    return [with_size(shape, axis, size) for size in sizes], []


def _flatten(layer: Layer, bottoms: list[Shape]) -> Result:
    message, shape = layer.param("flatten_param"), bottoms[0]
    start = axis_of(layer, message, shape, 1)
    end = axis_of(layer, message, shape, -1, "end_axis")
    # Ending just before its axis it puts in one of 1; blob.hpp refuses to count backwards.
    if end < start - 1:
        raise layer.error(f"end_axis {end} is before axis {start}")
    # flatten_layer.cpp: end_axis is one of those that are flattened.
    return [(*shape[:start], prod(shape[start : end + 1]), *shape[end + 1 :])], []


def _reshape(layer: Layer, bottoms: list[Shape]) -> Result:
    message, shape = layer.param("reshape_param"), bottoms[0]
    dims = (message.message("shape") or message).scalars("dim")
    start = message.integer("axis", 0, -(2**31))
    # Caffe counts places between axes: -1 is the one after the last.
    start += len(shape) + 1 if start < 0 else 0
    axes = message.integer("num_axes", -1, -1)
    end = len(shape) if axes == -1 else start + axes
    if not 0 <= start <= end <= len(shape):
        raise layer.error(f"axes {start} to {end} of a blob with {counted(len(shape), 'axis')}")
    target = [dim.as_int(-1, 2**31 - 1) for dim in dims]
    for i, dim in enumerate(target):
        if dim == 0:
            if start + i >= len(shape):
                raise layer.error(f"dim 0 at {i} copies an axis that its bottom does not have")
            target[i] = shape[start + i]
    rest = prod(shape[start:end])
    if target.count(-1) > 1:
        raise layer.error("dim -1 is given twice")
    if -1 in target:
        known = prod(dim for dim in target if dim != -1)
        if not known or rest % known:
            raise layer.error(f"{counted(rest, 'element')} cannot be divided into {known}")
        target[target.index(-1)] = rest // known
    if prod(target) != rest:
        raise layer.error(
            f"{counted(prod(shape), 'element')} cannot become {(*shape[:start], *target)}"
        )
    return [(*shape[:start], *target, *shape[end:])], []


def _tile(layer: Layer, bottoms: list[Shape]) -> Result:
    message = layer.param("tile_param")
    axis = axis_of(layer, message, bottoms[0], 1)
    if not message.scalar("tiles"):
        raise layer.error("tiles is missing")
    return [with_size(bottoms[0], axis, bottoms[0][axis] * message.integer("tiles", 0, 1))], []


def _batch_reindex(layer: Layer, bottoms: list[Shape]) -> Result:
    return [(bottoms[1][0], *bottoms[0][1:])], []


def _silence(layer: Layer, bottoms: list[Shape]) -> Result:
    return [], []


def permutation(layer: Layer, axes: int) -> tuple[int, ...]:
    """The axes in their new order; those that are not named follow as they were."""
    named = [order.as_int(0, axes - 1) for order in layer.param("permute_param").scalars("order")]
    if len(set(named)) != len(named):
        raise layer.error(f"order {named} names an axis twice")
    return (*named, *(axis for axis in range(axes) if axis not in named))


def transposition(layer: Layer, axes: int) -> tuple[int, ...]:
    """The axes of the bottom in their new order: CTPN names all of them."""
    named = [dim.as_int(0, axes - 1) for dim in layer.param("transpose_param").scalars("dim")]
    if sorted(named) != list(range(axes)):
        raise layer.error(f"dim {named}; expected each axis from 0 to {axes - 1} once")
    return tuple(named)


def _permute(layer: Layer, bottoms: list[Shape]) -> Result:
    order = permutation(layer, len(bottoms[0]))
    return [tuple(bottoms[0][axis] for axis in order)], []


def _shuffle(layer: Layer, bottoms: list[Shape]) -> Result:
    message = layer.param("shuffle_channel_param")
    group, channels = message.integer("group", 1, 1), images(layer, bottoms[0])[1]
    if channels % group:
        raise layer.error(
            f"{counted(channels, 'channel')} cannot be divided into {counted(group, 'group')}"
        )
    return [bottoms[0]], []


def _concat_field(seen: Seen, layer: Layer) -> ReceptiveField | None:
    along = cut_axis(layer, seen.shapes[layer.bottoms[0]])
    return seen.values(layer.bottoms) if along < 2 else None


def _slice_field(seen: Seen, layer: Layer) -> Made:
    first = first_field(seen, layer)
    along = cut_axis(layer, seen.shapes[layer.bottoms[0]])
    if first is None or along < 2:
        return first
    fields: list[ReceptiveField | None] = []
    start = 0
    for top in layer.tops:
        fields.append(geometry.cropped(first, (start, 0) if along == 2 else (0, start)))
        start += seen.shapes[top][along]
    return fields


def _tile_channels(layer: Layer) -> Channels:
    axis = layer.param("tile_param").integer("axis", 1, -(2**31))
    return Channels.ALIKE if axis > 1 else Channels.MIXING


def _tile_field(seen: Seen, layer: Layer) -> ReceptiveField | None:
    """Repeats: one row or column becomes many that look at the same."""
    first, shape = first_field(seen, layer), seen.shapes[layer.bottoms[0]]
    axis = axis_of(layer, layer.param("tile_param"), shape, 1)
    if first is None or axis < 2:
        return first
    if len(shape) != 4 or shape[axis] != 1:
        return None
    height, width = first.stride
    # All the new rows, or columns, look at the one there was.
    stand = (Fraction(0), width) if axis == 2 else (height, Fraction(0))
    return replace(first, stride=stand)


SHUFFLE = moving(
    "ShuffleChannel",
    "shuffle_channel_param",
    _shuffle,
    origin="ShuffleNet",
    fields=("group",),
    in_place=InPlace.UNKNOWN,
    space=Space.POINTWISE,
    channels=Channels.MIXING,
    values=Values.MOVED,
    field=first_field,
)

PERMUTE = moving(
    "Permute",
    "permute_param",
    _permute,
    origin="SSD",
    fields=("order",),
    in_place=InPlace.UNKNOWN,
    space=Space.MIXING,
    channels=Channels.MIXING,
    values=Values.MOVED,
    field=None,
)

TYPES = (
    moving(
        "BatchReindex",
        None,
        _batch_reindex,
        bottoms=(2, 2),
        roles=(Role.VALUE, Role.INDEX),
        in_place=InPlace.LOSES,
        space=Space.POINTWISE,
        channels=Channels.ALIKE,
        values=Values.MOVED,
        field=first_field,
    ),
    moving(
        "Concat",
        "concat_param",
        _concat,
        bottoms=(1, MANY),
        space=Space.JOINING,
        channels=Channels.ALONG,
        values=Values.MOVED,
        field=_concat_field,
    ),
    # How many pictures it lets through is for its last bottom to say.
    _not_known("Filter", None, (2, MANY), (1, MANY), NO_EFFECTS),
    moving(
        "Flatten",
        "flatten_param",
        _flatten,
        in_place=InPlace.REFUSED,
        space=Space.MIXING,
        channels=Channels.MIXING,
        values=Values.KEPT,
        field=same_shape_field,
    ),
    PERMUTE,
    _not_known("Python", "python_param", (0, MANY), (0, MANY), (Effect.IMPORTS,)),
    moving(
        "Reshape",
        "reshape_param",
        _reshape,
        in_place=InPlace.REFUSED,
        space=Space.MIXING,
        channels=Channels.MIXING,
        values=Values.KEPT,
        field=same_shape_field,
    ),
    SHUFFLE,
    moving(
        "Silence",
        None,
        _silence,
        bottoms=(1, MANY),
        tops=(0, 0),
        roles=(Role.SIZE,),
        space=Space.POINTWISE,
        channels=Channels.ALIKE,
        values=Values.NONE,
        field=None,
    ),
    moving(
        "Slice",
        "slice_param",
        _slice,
        tops=(1, MANY),
        space=Space.POINTWISE,
        channels=Channels.ALONG,
        values=Values.MOVED,
        field=_slice_field,
    ),
    moving(
        "Split",
        None,
        same,
        tops=(1, MANY),
        in_place=InPlace.REFUSED,
        space=Space.POINTWISE,
        channels=Channels.ALIKE,
        values=Values.KEPT,
        field=first_field,
    ),
    moving(
        "Tile",
        "tile_param",
        _tile,
        space=Space.MIXING,
        channels=_tile_channels,
        values=Values.MOVED,
        field=_tile_field,
    ),
)
