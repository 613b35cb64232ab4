"""A map interpolated bilinearly to a finer grid, in layers that Caffe 1.0 has.

A Deconvolution whose weight falls in straight lines from its middle to 0, a cell away, of a group
for each channel, interpolates between the middles of cells; a Crop cuts its top to the size of the
grid. The map is padded with cells of 0 first (by an Im2col of a 1 x 1 window), so that there are
numbers for all of the grid: beyond the outermost middles they fall to 0 within a cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import TYPE_CHECKING

from netsurgery.net.net import Shape
from netsurgery.surgery.dense.crops import CropNames, layer_text, padded

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["GridPlacement", "Upsampling", "interpolated"]

#: A number along height, and one along width.
Steps = tuple[Fraction, Fraction]


@dataclass(frozen=True)
class Upsampling:
    """A Deconvolution that interpolates a map of `channels` channels bilinearly.

    blob: what comes of it, cut to the grid's size. stride, kernel: along height and width.
    """

    layer: str
    blob: str
    channels: int
    stride: tuple[int, int]
    kernel: tuple[int, int]

    @property
    def params(self) -> tuple[NDArray[np.float32], ...]:
        """Its weight alone."""
        return (self.weight(),)

    def weight(self) -> NDArray[np.float32]:
        """Its weight: straight lines from the middle down to 0, a stride away."""
        import numpy as np

        lines = []
        for stride, kernel in zip(self.stride, self.kernel, strict=True):
            apart = np.abs(np.arange(kernel) - (kernel - 1) / 2)
            lines.append(1 - apart / stride)
        shape = (self.channels, 1, *self.kernel)
        return np.ascontiguousarray(np.broadcast_to(np.outer(*lines).astype("<f4"), shape))


@dataclass(frozen=True)
class GridPlacement:
    """How a map is padded, spread and cropped, each along height and width."""

    stride: tuple[int, int]
    kernel: tuple[int, int]
    pad: tuple[int, int]
    offset: tuple[int, int]

    @classmethod
    def of(cls, stride: Steps, middle: Steps, cells: Shape, size: Shape) -> GridPlacement:
        """Where cells lie on a grid of `size` squares, all by height and width.

        stride: whole numbers of squares. middle: of the first cell, by the grid's edge: a whole
        number, or halfway between two.
        """
        axes = [_placed(*axis) for axis in zip(stride, middle, cells, size, strict=True)]
        steps, kernel, pad, offset = ((each[0], each[1]) for each in zip(*axes, strict=True))
        return cls(steps, kernel, pad, offset)


def _placed(step: Fraction, middle: Fraction, cells: int, size: int) -> tuple[int, int, int, int]:
    """Stride, kernel, cells of padding and squares to cut off, along an axis."""
    stride = int(step)
    # The middle of an even kernel lies between two squares, as that of cells may.
    kernel = 2 * stride if middle.denominator == 1 else 2 * stride - 1
    reach = Fraction(kernel, 2)
    # What is left behind the last cell may be a stride more at another size of the input.
    behind = size - (middle + stride * (cells - 1)) + stride
    pad = max(0, ceil((max(middle, behind) - reach) / stride))
    return stride, kernel, pad, int(reach + pad * stride - middle)


def interpolated(
    blob: str,
    size_of: str,
    to: tuple[str, str],
    channels: int,
    placement: GridPlacement,
    names: CropNames,
    rules: Sequence[str],
) -> tuple[Upsampling, list[str]]:
    """The Deconvolution for a map and a grid, and the layers' text.

    blob: the map. size_of: a blob of the grid's size. to: names for the Deconvolution and for the
    blob that comes of it all. rules: see `rules_beside`.
    """
    source, written = padded(blob, blob, placement.pad, names, rules)
    spread, cropped = (names.new(name) for name in to)
    (height, width), (down, across) = placement.kernel, placement.stride
    window = f"kernel_h: {height} kernel_w: {width} stride_h: {down} stride_w: {across}"
    param = f"num_output: {channels} group: {channels} bias_term: false {window}"
    written.append(layer_text(
        spread, 'type: "Deconvolution"', [source], [spread],
        f"param {{ lr_mult: 0 decay_mult: 0 }}\n  convolution_param {{ {param} }}", rules,
    ))  # fmt: skip
    offsets = f"axis: 2 offset: {placement.offset[0]} offset: {placement.offset[1]}"
    crop = f"crop_param {{ {offsets} }}"
    written.append(layer_text(cropped, 'type: "Crop"', [spread, size_of], [cropped], crop, rules))
    return Upsampling(spread, cropped, channels, placement.stride, placement.kernel), written
