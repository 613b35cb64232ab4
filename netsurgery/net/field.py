"""What a cell of a blob sees of the net's input: stride, offset and size of its field.

Cell i of a blob (along one axis) depends on the input pixels [offset + stride x i, offset +
stride x i + size), padding included. Behind a window of extent e, stride s and padding p:

    size' = size + (e - 1) x stride,   offset' = offset - p x stride,   stride' = stride x s

and behind a deconvolution, which spreads every cell over e cells s apart, stride' = stride / s.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

from netsurgery.net.net import Layer, Net, Shape
from netsurgery.net.shapes import Shapes, infer
from netsurgery.net.windows import Window, conv_window, lrn_window, pool_window

__all__ = ["Field", "fields"]

_ZERO, _ONE = Fraction(0), Fraction(1)


@dataclass(frozen=True)
class Field:
    """The field of a blob's cells; each member is (along height, along width), in input pixels.

    ``input`` names the net's input it lies in. ``whole`` tells that some layer on the way looks at
    the whole map at once (InnerProduct, global pooling, within-map normalization): the field then
    holds for the input shapes given, and moves with nothing.
    """

    input: str
    stride: tuple[Fraction, Fraction] = (_ONE, _ONE)
    offset: tuple[Fraction, Fraction] = (_ZERO, _ZERO)
    size: tuple[Fraction, Fraction] = (_ONE, _ONE)
    whole: bool = False


def fields(net: Net, inputs: Mapping[str, Shape] | None = None) -> dict[str, Field]:
    """The field of every N x C x H x W blob that depends on one input by sliding windows alone.

    A blob that mixes positions in a way no window describes (Reshape, Permute, layers that are
    not understood), or that meets another of different stride, is left out.
    """
    shapes = infer(net, inputs)
    found: dict[str, Field] = {}
    for name in (*(declared.name for declared in net.inputs), *(inputs or {})):
        if len(shapes.blobs.get(name, ())) == 4:
            found[name] = Field(name)
    for layer in net.layers:
        if not layer.bottoms:
            continue
        field = _behind(layer, found, shapes)
        for top in layer.tops:
            if field is None:
                found.pop(top, None)
            else:
                found[top] = field
    return found


#: Layers whose cell depends on the bottoms' cell at the same place alone.
_POINTWISE = frozenset(
    """
    AbsVal ArgMax BNLL BatchNorm Bias Clip Concat Dropout ELU Eltwise Exp Log PReLU Power ReLU
    ReLU6 Scale ShuffleChannel Sigmoid Slice Softmax Split Swish TanH Threshold
    """.split()
)


def _behind(layer: Layer, found: dict[str, Field], shapes: Shapes) -> Field | None:
    """The field of the layer's tops."""
    spatial = [bottom for bottom in layer.bottoms if bottom in found]
    if not spatial:
        return None
    first = found[layer.bottoms[0]] if layer.bottoms[0] in found else found[spatial[0]]
    if layer.type == "LRN":
        window = lrn_window(layer)
        return first if window is None else _slid(first, window)
    if layer.type == "Normalize":
        across = layer.param("norm_param").boolean("across_spatial", True)
        return replace(first, whole=first.whole or across)
    if layer.type in _POINTWISE:
        several = layer.type in ("Concat", "Eltwise")
        return _joined([found.get(b) for b in layer.bottoms]) if several else first
    size = shapes.blobs.get(layer.bottoms[0], ())[2:] or (1, 1)
    if len(size) != 2:
        return None
    if layer.type in ("Convolution", "DepthwiseConvolution", "Im2col"):
        return _slid(first, conv_window(layer, 2))
    if layer.type == "Pooling":
        whole = layer.param("pooling_param").boolean("global_pooling", False)
        return _slid(first, pool_window(layer, size), whole)
    if layer.type == "Deconvolution":
        return _spread(first, conv_window(layer, 2))
    if layer.type == "InnerProduct":
        return _slid(first, Window(size, (1, 1), (0, 0), (1, 1)), whole=True)
    return None


def _slid(field: Field, window: Window, whole: bool = False) -> Field:
    """The field behind a convolution or pooling."""
    axes = range(2)
    return Field(
        field.input,
        _pair(field.stride[i] * window.stride[i] for i in axes),
        _pair(field.offset[i] - window.pad[i] * field.stride[i] for i in axes),
        _pair(field.size[i] + (window.extent[i] - 1) * field.stride[i] for i in axes),
        field.whole or whole,
    )


def _spread(field: Field, window: Window) -> Field:
    """The field behind a deconvolution: ceil(extent / stride) cells reach each of its cells."""
    axes = range(2)
    reach = [-(-window.extent[i] // window.stride[i]) for i in axes]
    stride = _pair(field.stride[i] / window.stride[i] for i in axes)
    return Field(
        field.input,
        stride,
        _pair(field.offset[i] + (window.pad[i] - window.extent[i] + 1) * stride[i] for i in axes),
        _pair(field.size[i] + (reach[i] - 1) * field.stride[i] for i in axes),
        field.whole,
    )


def _joined(fields: list[Field | None]) -> Field | None:
    """The field of a blob made of several: the hull, where the strides agree.

    Of several inputs it names the first.
    """
    known = [field for field in fields if field is not None]
    if len(known) != len(fields) or len({f.stride for f in known}) != 1:
        return None
    axes = range(2)
    start = _pair(min(f.offset[i] for f in known) for i in axes)
    end = [max(f.offset[i] + f.size[i] for f in known) for i in axes]
    size = _pair(end[i] - start[i] for i in axes)
    return Field(known[0].input, known[0].stride, start, size, any(f.whole for f in known))


def _pair(values: Iterable[Fraction]) -> tuple[Fraction, Fraction]:
    height, width = values
    return height, width
