"""Types that put a map on another grid: Crop, Interp, Upsample."""

from __future__ import annotations

from collections.abc import Callable

from netsurgery.io.shape_text import shape_text
from netsurgery.io.wording import counted
from netsurgery.net import geometry
from netsurgery.net.geometry import ReceptiveField
from netsurgery.net.layer import Layer, Shape
from netsurgery.net.types.axes import axis_of
from netsurgery.net.types.elementwise import no_edges
from netsurgery.net.types.fields import alike, free, images
from netsurgery.net.types.record import (
    NO_EFFECTS,
    NO_PARAMS,
    Channels,
    Count,
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
from netsurgery.net.types.seen import FieldRule, Seen, first_field
from netsurgery.net.windows import Window

__all__ = ["TYPES", "crop_offsets", "interp_crop", "upsample_factors"]


def _resampling(
    name: str,
    message: str,
    shapes: ShapeRule,
    *,
    origin: str,
    fields: tuple[str, ...],
    bottoms: Count,
    roles: tuple[Role, ...],
    in_place: InPlace,
    channels: Channels | Callable[[Layer], Channels] = Channels.ALIKE,
    values: Values,
    field: FieldRule | None,
) -> LayerType:
    return LayerType(
        name=name,
        aliases=(),
        origin=origin,
        message=message,
        fields=fields,
        shapes=shapes,
        bottoms=bottoms,
        tops=(1, 1),
        roles=roles,
        in_place=in_place,
        space=Space.RESAMPLING,
        window=None,
        field=field,
        edges=no_edges,
        channels=channels,
        values=values,
        signs=Signs.KEPT if values is Values.MOVED else Signs.ANY,
        source=InputSource.NONE,
        effects=NO_EFFECTS,
        params=NO_PARAMS,
        layout=None,
        affine=None,
        multiply_adds=free,
        training=False,
        runs=True,
    )


def _crop_channels(layer: Layer) -> Channels:
    """Some may be left out where an axis before the rows is named; one from the end may be any."""
    axis = layer.param("crop_param").integer("axis", 2, -(2**31))
    return Channels.ALIKE if axis >= 2 else Channels.MIXING


def _crop(layer: Layer, bottoms: list[Shape]) -> Result:
    shape, like = bottoms
    axis = axis_of(layer, layer.param("crop_param"), shape, 2)
    if len(like) < len(shape):
        raise layer.error(f"its bottoms have {len(shape)} and {counted(len(like), 'axis')}")
    for index, start in enumerate(crop_offsets(layer, axis, len(shape)), axis):
        end = start + like[index]
        if end > shape[index]:
            raise layer.error(f"the crop ends at {end} of axis {index}, which has {shape[index]}")
    return [(*shape[:axis], *like[axis : len(shape)])], []


def crop_offsets(layer: Layer, axis: int, axes: int) -> list[int]:
    """Where each of the axes cropped, of `axis` and those after it, begins."""
    offsets = [offset.as_int(0) for offset in layer.param("crop_param").scalars("offset")] or [0]
    if len(offsets) not in (1, axes - axis):
        raise layer.error(
            f"{counted(len(offsets), 'offset')} for "
            f"{counted(axes - axis, 'axis')} from axis {axis} on"
        )
    return offsets * (axes - axis) if len(offsets) == 1 else offsets


def interp_crop(layer: Layer) -> tuple[int, int]:
    """Rows and columns that Interp leaves out before and after its bottom."""
    message = layer.param("interp_param")
    low = -(2**31)
    return -message.integer("pad_beg", 0, low, 0), -message.integer("pad_end", 0, low, 0)


_INTERP = ("height", "width", "zoom_factor", "shrink_factor", "pad_beg", "pad_end")


def _interp(layer: Layer, bottoms: list[Shape]) -> Result:
    message, shape = layer.param("interp_param"), images(layer, bottoms[0])
    sizes = [size - sum(interp_crop(layer)) for size in shape[2:]]
    shrink, zoom = (message.integer(f"{name}_factor", 1, 1) for name in ("shrink", "zoom"))
    names = {name for name in _INTERP if message.scalar(name)}
    factors = names & {"shrink_factor", "zoom_factor"}
    # One factor alone wins over height and width, and these over both factors.
    if len(factors) != 1 and {"height", "width"} <= names:
        target = [message.integer(name, 0, 1) for name in ("height", "width")]
    elif factors:
        target = [(size - 1) // shrink + 1 for size in sizes]
        target = [size + (size - 1) * (zoom - 1) for size in target]
    else:
        raise layer.error("expected height and width, or zoom_factor, or shrink_factor")
    if min(sizes) < 1:
        raise layer.error(f"pad_beg and pad_end leave nothing of {shape_text(shape[2:4])}")
    return [(*shape[:2], *target)], []


_UPSAMPLE = (
    *("scale", "scale_h", "scale_w", "pad_out_h", "pad_out_w"),
    *("upsample_h", "upsample_w"),
)


def upsample_factors(layer: Layer) -> tuple[int, int]:
    """How many times higher and wider."""
    message = layer.param("upsample_param")
    both = message.integer("scale", 2, 1)
    return message.integer("scale_h", both, 1), message.integer("scale_w", both, 1)


def _upsample(layer: Layer, bottoms: list[Shape]) -> Result:
    shape, factors = images(layer, bottoms[0]), upsample_factors(layer)
    message = layer.param("upsample_param")
    if len(bottoms) == 1:
        if not message.scalar("scale") or len(message.fields) > 1:
            raise layer.error("expected scale alone, or a second bottom that says where values go")
        return [(*shape[:2], shape[2] * factors[0], shape[3] * factors[1])], []
    alike(layer, bottoms)
    size = [
        message.integer(f"upsample_{side}", shape[2 + i] * factors[i] - _left_out(layer, side), 1)
        for i, side in enumerate("hw")
    ]
    return [(*shape[:2], *size)], []


def _left_out(layer: Layer, side: str) -> int:
    """SegNet's pad_out_h and pad_out_w: bools, one row or column less."""
    return int(layer.param("upsample_param").boolean(f"pad_out_{side}", False))


def _crop_field(seen: Seen, layer: Layer) -> ReceptiveField | None:
    """Its second bottom gives the size alone."""
    first = first_field(seen, layer)
    axis = axis_of(layer, layer.param("crop_param"), seen.shapes[layer.bottoms[0]], 2)
    if first is None:
        return None
    # The axes before `axis` stay whole, as if cropped from 0 on.
    rows, columns = ([0] * axis + crop_offsets(layer, axis, 4))[2:]
    return geometry.cropped(first, (rows, columns))


def _interp_field(seen: Seen, layer: Layer) -> ReceptiveField | None:
    first, (before, behind) = first_field(seen, layer), interp_crop(layer)
    (rows, columns), resampled = seen.size(layer.bottoms[0]), seen.size(layer.tops[0])
    size = (rows - before - behind, columns - before - behind)
    # pad_beg goes for rows and columns alike.
    return first and geometry.resampled(geometry.cropped(first, (before, before)), size, resampled)


def _upsample_field(seen: Seen, layer: Layer) -> ReceptiveField | None:
    """Values are repeated, or put back to where a Pooling took them from, says the second bottom.

    Where that Pooling is not known, nor are the cells that can reach one; nor if what it pooled is
    of another size, since the places are numbered row by row.
    """
    if len(layer.bottoms) == 1:
        first, factors = first_field(seen, layer), upsample_factors(layer)
        return first and geometry.spread(first, Window(factors, factors, (0, 0), (1, 1)))
    mask, read = seen.masks.get(layer.bottoms[1]), seen.values(layer.bottoms)
    if read is None or mask is None or mask[1] != seen.size(layer.tops[0]):
        return None
    return geometry.spread(read, mask[0])


TYPES = (
    _resampling(
        "Crop",
        "crop_param",
        _crop,
        origin="Caffe 1.0",
        fields=(),
        bottoms=(2, 2),
        roles=(Role.VALUE, Role.SIZE),
        in_place=InPlace.ALLOWED,
        channels=_crop_channels,
        values=Values.MOVED,
        field=_crop_field,
    ),
    _resampling(
        "Interp",
        "interp_param",
        _interp,
        origin="DeepLab",
        fields=_INTERP,
        bottoms=(1, 1),
        roles=(Role.VALUE,),
        in_place=InPlace.UNKNOWN,
        values=Values.CHANGED,
        field=_interp_field,
    ),
    _resampling(
        "Upsample",
        "upsample_param",
        _upsample,
        origin="SegNet",
        fields=_UPSAMPLE,
        bottoms=(1, 2),
        roles=(Role.VALUE, Role.INDEX),
        in_place=InPlace.UNKNOWN,
        values=Values.MOVED,
        field=_upsample_field,
    ),
)
