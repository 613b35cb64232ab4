"""A pooling whose windows have gaps, in layers that Caffe 1.0 has: BVLC's Pooling has no dilation.

The largest of k rows, d apart, is the largest of k crops of the map, each of which begins d rows
after the one before; then the same of columns. All have the size of the last: what is behind the
first (k - 1) d rows, which a Slice gives of a map of any size. A mean is the sum of their k-ths.
An Im2col of a 1 x 1 window puts zeros around a map, and does nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence

from netsurgery.formats.prototxt import quoted
from netsurgery.net import types
from netsurgery.net.net import Layer, NetDefinition
from netsurgery.net.state import rule_fields
from netsurgery.net.windows import Window
from netsurgery.surgery.dense.walk import DenseLayer

__all__ = ["CropNames", "layer_text", "padded", "pooling_by_crops", "rules_beside"]

_AXES = ("rows", "columns")


class CropNames:
    """Names for layers and their tops that none of the net has, in any of its states."""

    def __init__(self, net: NetDefinition) -> None:
        layers = net.prototxt.layers
        tops = [top.as_string() for layer in layers for top in layer.scalars("top")]
        self._taken = {*net.prototxt.layer_names, *tops, *(each.name for each in net.inputs)}

    def new(self, name: str) -> str:
        """`name`, or that with a number where there is one already."""
        number, chosen = 1, name
        while chosen in self._taken:
            number += 1
            chosen = f"{name}_{number}"
        self._taken.add(chosen)
        return chosen


def pooling_by_crops(net: NetDefinition, each: DenseLayer, names: CropNames) -> str:
    """The layers that do what a Pooling of the window `each.new` would, which end in its top."""
    layer, window = each.layer, each.new
    assert window is not None
    rules = rules_beside(net, layer)
    bottom, written = padded(layer.bottoms[0], layer.name, window.pad, names, rules)
    axes = [axis for axis in range(2) if window.kernel[axis] > 1]
    for axis in axes:
        stem = f"{layer.name}_{_AXES[axis]}"
        crops, text = _crops(bottom, axis, window, stem, names, rules)
        # The last one has the Pooling's own name and top.
        bottom = layer.name if axis == axes[-1] else names.new(stem)
        top = layer.tops[0] if axis == axes[-1] else bottom
        joined = _joined(types.pooled_by(layer), window.kernel[axis])
        written += [*text, layer_text(bottom, 'type: "Eltwise"', crops, [top], joined, rules)]
    return "\n".join(written)


def rules_beside(net: NetDefinition, layer: Layer) -> list[str]:
    """The fields that say in which states a layer is there, for those that stand beside it."""
    source = net.prototxt.text
    return [source[rule.start : rule.end] for rule in rule_fields(layer.message)]


def padded(
    bottom: str, stem: str, pad: Sequence[int], names: CropNames, rules: Sequence[str]
) -> tuple[str, list[str]]:
    """The blob that is `bottom` with cells of 0 around it, and the layer for that, if any."""
    if not any(pad):
        return bottom, []
    top = names.new(f"{stem}_padded")
    param = f"convolution_param {{ kernel_size: 1 pad_h: {pad[0]} pad_w: {pad[1]} }}"
    return top, [layer_text(top, 'type: "Im2col"', [bottom], [top], param, rules)]


def _crops(
    bottom: str, axis: int, window: Window, stem: str, names: CropNames, rules: Sequence[str]
) -> tuple[list[str], list[str]]:
    """The tops that are parts of `bottom`, as many as the window has rows; their layers."""
    kernel, step = window.kernel[axis], window.dilation[axis]
    unread, last = names.new(f"{stem}_unread"), names.new(f"{stem}_{kernel - 1}")
    cuts = f"slice_param {{ axis: {axis + 2} slice_point: {(kernel - 1) * step} }}"
    slice_, silence = names.new(f"{stem}_slice"), names.new(f"{stem}_silence")
    written = [
        layer_text(slice_, 'type: "Slice"', [bottom], [unread, last], cuts, rules),
        layer_text(silence, 'type: "Silence"', [unread], [], "", rules),
    ]
    crops = []
    for number in range(kernel - 1):
        crop = names.new(f"{stem}_{number}")
        offsets = f"offset: {number * step}" + (" offset: 0" if axis == 0 else "")
        where = f"crop_param {{ axis: {axis + 2} {offsets} }}"
        written.append(layer_text(crop, 'type: "Crop"', [bottom, last], [crop], where, rules))
        crops.append(crop)
    return [*crops, last], written


def _joined(operation: str | None, count: int) -> str:
    """By an Eltwise: the largest of them, or their mean."""
    factors = f" coeff: {1 / count:.9g}" * count if operation == "SUM" else ""
    return f"eltwise_param {{ operation: {operation}{factors} }}"


def layer_text(
    name: str,
    kind: str,
    bottoms: Sequence[str],
    tops: Sequence[str],
    param: str,
    rules: Sequence[str],
) -> str:
    """A layer's text; kind: the field of its type, param: those of its own, "" for none."""
    fields = [
        f"name: {quoted(name)}",
        kind,
        *(f"bottom: {quoted(bottom)}" for bottom in bottoms),
        *(f"top: {quoted(top)}" for top in tops),
        *([param] if param else []),
        *rules,
    ]
    return "\n".join(["layer {", *(f"  {field}" for field in fields), "}"])
