"""A conversion whose map is interpolated to a score for each pixel of the input, as FCN-32s does.

A Deconvolution whose weight falls in straight lines from its middle to 0, a stride away, of a group
for each channel, interpolates bilinearly between the middles of what cells see; a Crop cuts its top
to the input's size. The map is padded with cells of 0 first (by an Im2col of a 1 x 1 window), so
that there are pixels for all of the input: beyond the outermost middles scores fall to 0 within a
stride.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil
from typing import TYPE_CHECKING

from netsurgery.errors import SurgeryError
from netsurgery.formats.prototxt import Prototxt, insert_field, quoted
from netsurgery.io.shape_text import shape_text
from netsurgery.net import types
from netsurgery.net.field import ReceptiveField, fields
from netsurgery.net.net import Layer, NetDefinition, Shape
from netsurgery.net.shapes import infer
from netsurgery.surgery.convolution.plan import ConvolutionPlan
from netsurgery.surgery.dense.crops import CropNames, layer_text, padded, rules_beside
from netsurgery.surgery.plan import Refusal, refuse

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Upsampling", "with_upsampled_map"]


@dataclass(frozen=True)
class Upsampling:
    """A Deconvolution that interpolates a map of `channels` channels bilinearly.

    blob: what comes of it, cut to the input's size. stride, kernel: along height and width.
    """

    layer: str
    blob: str
    channels: int
    stride: tuple[int, int]
    kernel: tuple[int, int]

    @property
    def shape(self) -> Shape:
        """That of its weight."""
        return (self.channels, 1, *self.kernel)

    def weight(self) -> NDArray[np.float32]:
        """Its weight: straight lines from the middle down to 0, a stride away."""
        import numpy as np

        lines = []
        for stride, kernel in zip(self.stride, self.kernel, strict=True):
            apart = np.abs(np.arange(kernel) - (kernel - 1) / 2)
            lines.append(1 - apart / stride)
        return np.ascontiguousarray(np.broadcast_to(np.outer(*lines).astype("<f4"), self.shape))

    def chunks(self) -> Iterator[memoryview]:
        """The bytes of its weight."""
        yield self.weight().reshape(-1).data.cast("B")


def with_upsampled_map(plan: ConvolutionPlan) -> ConvolutionPlan:
    """The conversion with its map at every pixel of the input.

    Scores are interpolated, and a Softmax or an ArgMax behind them is taken of each pixel. Raises
    SurgeryError naming the layer that stands in the way and why.
    """
    net, path = plan.new, plan.new.prototxt.path
    writer, blob = _map_of(plan)
    if net.prototxt.generation == "V1":
        refuse(path, [Refusal(
            writer.name,
            "a Crop behind it has no name in a prototxt of V1",
            "`netsurgery upgrade` brings it up to date",
        )])  # fmt: skip
    inferred = infer(net)
    shapes, known = inferred.blobs, fields(net, shapes=inferred).get(blob)
    if known is None or len(plan.inputs) != 1 or known.input != plan.inputs[0].name:
        refuse(path, [Refusal(writer.name, f"where the cells of {blob!r} lie is not known")])
    assert known is not None
    refuse(path, [Refusal(writer.name, why) for why in [_why_not(known, blob)] if why])
    laid = _Laid.of(known, shapes[blob], shapes[known.input])
    upsampling, text = _written(net, writer, blob, known.input, laid, shapes[blob][1])
    new = NetDefinition.of(Prototxt.parse(text, path), net.state)
    after = infer(new).blobs
    note = (
        f"{blob!r} is interpolated to the {shape_text(shapes[known.input][2:])} pixels of "
        f"{known.input!r} by Deconvolution {upsampling.layer!r}"
    )
    if any(laid.pad):
        note += "; beyond the middles of the outermost cells' windows the scores fall to 0"
    return replace(
        plan,
        new=new,
        maps={name: after[name] for name in new.outputs if after.get(name)},
        notes=(*plan.notes, note),
        upsampling=upsampling,
    )


def _map_of(plan: ConvolutionPlan) -> tuple[Layer, str]:
    """The blob of scores to interpolate, and the layer that writes it last."""
    net = plan.new
    outputs = plan.activation_maps or tuple(plan.maps or net.outputs)
    if not outputs:
        raise SurgeryError(f"{net.prototxt.path}: the net has no output to interpolate")
    blob = outputs[-1]
    writer = net.last_writer(blob)
    assert writer is not None
    # Scores may be interpolated; probabilities and classes are made of them, pixel by pixel.
    while _made_of_scores(writer) and not writer.in_place:
        blob = writer.bottoms[0]
        before = net.producer(writer, blob)
        if before is None:
            raise SurgeryError(f"{net.prototxt.path}: no layer makes {blob!r}")
        writer = before
    if _made_of_scores(writer):
        refuse(net.prototxt.path, [Refusal(writer.name, "it works in place on the scores")])
    return writer, blob


def _made_of_scores(layer: Layer) -> bool:
    return types.is_a(layer, types.SOFTMAX) or types.is_a(layer, types.ARGMAX)


def _why_not(known: ReceptiveField, blob: str) -> str:
    if any(stride.denominator != 1 or stride < 1 for stride in known.stride):
        return f"the total stride of {blob!r} is no whole number of pixels"
    if set(known.stride) == {1}:
        return f"{blob!r} has a cell for each pixel already"
    if any(middle.denominator > 2 for middle in known.middle):
        return f"the cells of {blob!r} lie neither on pixels nor halfway between"
    return ""


@dataclass(frozen=True)
class _Laid:
    """How the map is padded, spread and cropped, each along height and width."""

    stride: tuple[int, int]
    kernel: tuple[int, int]
    pad: tuple[int, int]
    offset: tuple[int, int]

    @classmethod
    def of(cls, known: ReceptiveField, cells: Shape, size: Shape) -> _Laid:
        axes = [_laid(known, axis, cells[2 + axis], size[2 + axis]) for axis in range(2)]
        stride, kernel, pad, offset = ((each[0], each[1]) for each in zip(*axes, strict=True))
        return cls(stride, kernel, pad, offset)


def _laid(known: ReceptiveField, axis: int, cells: int, size: int) -> tuple[int, int, int, int]:
    """Stride, kernel, cells of padding and pixels to cut off, along an axis."""
    stride, middle = int(known.stride[axis]), known.middle[axis]
    # The middle of an even kernel lies between two pixels, as that of cells may.
    kernel = 2 * stride if middle.denominator == 1 else 2 * stride - 1
    reach = Fraction(kernel, 2)
    # What is left behind the last cell may be a stride more at another size of the input.
    behind = size - (middle + stride * (cells - 1)) + stride
    pad = max(0, ceil((max(middle, behind) - reach) / stride))
    return stride, kernel, pad, int(reach + pad * stride - middle)


def _written(
    net: NetDefinition, writer: Layer, blob: str, size: str, laid: _Laid, channels: int
) -> tuple[Upsampling, str]:
    """The Deconvolution, and the text with it behind `writer`, read by all that read the blob."""
    names, rules = CropNames(net), rules_beside(net, writer)
    source, written = padded(blob, blob, laid.pad, names, rules)
    spread, cropped = names.new(f"{blob}_spread"), names.new(f"{blob}_upsampled")
    (height, width), (down, across) = laid.kernel, laid.stride
    window = f"kernel_h: {height} kernel_w: {width} stride_h: {down} stride_w: {across}"
    param = f"num_output: {channels} group: {channels} bias_term: false {window}"
    written.append(layer_text(
        spread, 'type: "Deconvolution"', [source], [spread],
        f"param {{ lr_mult: 0 decay_mult: 0 }}\n  convolution_param {{ {param} }}", rules,
    ))  # fmt: skip
    offsets = f"axis: 2 offset: {laid.offset[0]} offset: {laid.offset[1]}"
    written.append(layer_text(
        cropped, 'type: "Crop"', [spread, size], [cropped], f"crop_param {{ {offsets} }}", rules
    ))  # fmt: skip
    edits = net.prototxt.edits()
    # In place or not: what comes behind the last writer reads the pixels.
    for layer in net.layers:
        for bottom in layer.message.scalars("bottom") if layer.index > writer.index else ():
            if bottom.as_string() == blob:
                edits.replace(bottom.start, bottom.end, quoted(cropped, bottom))
    insert_field(edits, net.prototxt.field_of(writer.message), "\n".join(written))
    return Upsampling(spread, cropped, channels, laid.stride, laid.kernel), edits.apply()
