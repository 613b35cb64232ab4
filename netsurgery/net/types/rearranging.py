"""Types of forks that put numbers elsewhere: Reorg, Reverse, Pad, Transpose."""

from __future__ import annotations

from netsurgery.io.shape_text import shape_text
from netsurgery.io.wording import counted
from netsurgery.net import geometry
from netsurgery.net.geometry import ReceptiveField
from netsurgery.net.layer import Layer, Shape
from netsurgery.net.types.fields import images
from netsurgery.net.types.record import Channels, InPlace, Result, Signs, Space, Values
from netsurgery.net.types.seen import Seen, first_field
from netsurgery.net.types.shaping import moving, transposition

__all__ = ["TYPES", "paddings", "reorg", "reversed_axes"]


def reorg(layer: Layer) -> tuple[int, bool]:
    """How many cells of height and of width become channels, or, where reversed, channels cells."""
    message = layer.param("reorg_param")
    if not message.all("stride"):
        raise layer.error("stride is missing")
    return message.integer("stride", 1, 1), message.boolean("reverse", False)


def _reorg(layer: Layer, bottoms: list[Shape]) -> Result:
    (batch, channels, height, width), (stride, back) = images(layer, bottoms[0]), reorg(layer)
    if channels % stride**2:
        raise layer.error(
            f"{counted(channels, 'channel')} cannot be divided into "
            f"{shape_text((stride, stride))} parts"
        )
    if back:
        return [(batch, channels // stride**2, height * stride, width * stride)], []
    if height % stride or width % stride:
        raise layer.error(
            f"{shape_text((height, width))} does not fall into parts of "
            f"{shape_text((stride, stride))}"
        )
    return [(batch, channels * stride**2, height // stride, width // stride)], []


def reversed_axes(layer: Layer, axes: int) -> tuple[int, ...]:
    """The axes whose order is turned round; forks differ in what it is where none is named."""
    named = [axis.as_int(-axes, axes - 1) for axis in layer.param("reverse_param").scalars("axis")]
    if not named:
        raise layer.error("axis is missing, of which CTPN's Reverse and others make different ones")
    if len({axis % axes for axis in named}) != len(named):
        raise layer.error(f"axis {named} names one twice")
    return tuple(sorted(axis % axes for axis in named))


def _reverse(layer: Layer, bottoms: list[Shape]) -> Result:
    """Whichever axes are meant where none is named."""
    if layer.param("reverse_param").all("axis"):
        reversed_axes(layer, len(bottoms[0]))
    return [bottoms[0]], []


def _turns(layer: Layer, *axes: int) -> bool:
    """Whether Reverse may name another axis than these: one from the end may be any."""
    named = layer.param("reverse_param").scalars("axis")
    return any(axis.as_int(-(2**31)) not in axes for axis in named)


def _reverse_space(layer: Layer) -> Space:
    """What was flattened has its positions on axis 1. Without an axis it may be 0, or none."""
    return Space.MIXING if _turns(layer, 0) else Space.POINTWISE


def _reverse_channels(layer: Layer) -> Channels:
    return Channels.MIXING if _turns(layer, 0, 2, 3) else Channels.ALIKE


def _reverse_field(seen: Seen, layer: Layer) -> ReceptiveField | None:
    if not layer.param("reverse_param").all("axis"):
        return first_field(seen, layer)
    axes = reversed_axes(layer, len(seen.shapes[layer.bottoms[0]]))
    return first_field(seen, layer) if set(axes) <= {0, 1} else None


def paddings(layer: Layer, axes: int) -> list[tuple[int, int]]:
    """What Pad puts before and after each axis."""
    each = [size.as_int(0) for size in layer.param("pad_param").scalars("paddings")]
    if len(each) != 2 * axes:
        raise layer.error(
            f"{counted(len(each), 'padding')} for {counted(axes, 'axis')}; expected two for each"
        )
    return list(zip(each[::2], each[1::2], strict=True))


def _pad(layer: Layer, bottoms: list[Shape]) -> Result:
    shape, around = bottoms[0], paddings(layer, len(bottoms[0]))
    top = tuple(size + sum(more) for size, more in zip(shape, around, strict=True))
    return [top], []


def _pads_channels(layer: Layer) -> Channels:
    """The channels stay at their places unless some are put before or after them."""
    each = [size.as_int(0) for size in layer.param("pad_param").scalars("paddings")]
    # Two numbers for each axis, those of the batch first.
    return Channels.MIXING if any(each[2:4]) else Channels.ALIKE


def _pad_field(seen: Seen, layer: Layer) -> ReceptiveField | None:
    first, shape = first_field(seen, layer), seen.shapes[layer.bottoms[0]]
    around = paddings(layer, len(shape))
    # Padding before is a crop of less than nothing: cell i is the bottom's cell i - before.
    return first and geometry.cropped(first, (-around[2][0], -around[3][0]))


def _pad_edges(layer: Layer, size: Shape) -> str:
    return (
        "pads"
        if any(size.as_int(0) for size in layer.param("pad_param").scalars("paddings"))
        else ""
    )


def _transpose(layer: Layer, bottoms: list[Shape]) -> Result:
    return [tuple(bottoms[0][axis] for axis in transposition(layer, len(bottoms[0])))], []


TYPES = (
    moving(
        "Pad",
        "pad_param",
        _pad,
        origin="Synopsys Caffe",
        fields=("paddings", "constant_values"),
        in_place=InPlace.LOSES,
        space=Space.RESAMPLING,
        channels=_pads_channels,
        values=Values.MOVED,
        field=_pad_field,
        edges=_pad_edges,
        signs=Signs.ANY,  # its constant
    ),
    moving(
        "Reorg",
        "reorg_param",
        _reorg,
        origin="Caffe YOLO",
        fields=("stride", "reverse"),
        in_place=InPlace.LOSES,
        space=Space.MIXING,
        channels=Channels.MIXING,
        values=Values.MOVED,
        field=None,
    ),
    moving(
        "Reverse",
        "reverse_param",
        _reverse,
        origin="CTPN",
        fields=("axis",),
        in_place=InPlace.LOSES,
        space=_reverse_space,
        channels=_reverse_channels,
        values=Values.MOVED,
        field=_reverse_field,
    ),
    moving(
        "Transpose",
        "transpose_param",
        _transpose,
        origin="CTPN",
        fields=("dim",),
        in_place=InPlace.LOSES,
        space=Space.MIXING,
        channels=Channels.MIXING,
        values=Values.MOVED,
        field=None,
    ),
)
