"""Types whose output is a weight times their bottom: Convolution, InnerProduct, Embed, Im2col."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from netsurgery.io.shape_text import sides_text
from netsurgery.io.wording import counted
from netsurgery.net import geometry
from netsurgery.net.geometry import ReceptiveField
from netsurgery.net.layer import Layer, Shape
from netsurgery.net.types.axes import axis_of
from netsurgery.net.types.elementwise import no_edges
from netsurgery.net.types.fields import alike, bias, free, images, num_output, per_weight
from netsurgery.net.types.record import (
    MANY,
    NO_EFFECTS,
    NO_PARAMS,
    Channels,
    Count,
    InPlace,
    InputSource,
    KnownParams,
    LayerType,
    ParamRole,
    ParamSpec,
    ParamSpecs,
    Result,
    Role,
    Signs,
    Space,
    Values,
    WeightLayout,
)
from netsurgery.net.types.seen import Made, Seen, whole_field
from netsurgery.net.windows import Window, conv_window, deconv_out

__all__ = ["CONVOLUTION", "INNER_PRODUCT", "TYPES", "padded"]

_WEIGHT = ParamSpec(ParamRole.WEIGHT, "weight_filler", 0.0, linear=True)
_BIAS = ParamSpec(ParamRole.BIAS, "bias_filler", 0.0, linear=True)

#: DeepLab's name for dilation.
_HOLE = ("hole", "hole_h", "hole_w")


def _convolution(layer: Layer, bottoms: list[Shape]) -> Result:
    message = layer.param("convolution_param")
    axis = axis_of(layer, message, bottoms[0], 1)
    window = conv_window(layer, len(bottoms[0]) - axis - 1)
    outputs, group = _outputs(layer, bottoms, axis)
    channels = bottoms[0][axis]
    top = (*bottoms[0][:axis], outputs, *window.convolved(bottoms[0][axis + 1 :]))
    weight = (outputs, channels // group, *window.kernel)
    return [top] * len(bottoms), [weight, *bias(message, outputs)]


def _depthwise(layer: Layer, bottoms: list[Shape]) -> Result:
    """A group for each channel, and as many outputs: some forks read neither number."""
    channels, message = images(layer, bottoms[0])[1], layer.param("convolution_param")
    for name in ("group", "num_output"):
        count = message.integer(name, channels, 1)
        if count != channels:
            raise layer.error(
                f"{name} {count}; a depthwise one of {counted(channels, 'channel')} has as many"
            )
    window = conv_window(layer, 2)
    tops = [(*b[:2], *window.convolved(b[2:])) for b in bottoms]
    return tops, [(channels, 1, *window.kernel), *bias(message, channels)]


def _depthwise_cost(layer: Layer, blobs: ParamSpecs) -> int:
    return per_weight(blobs, blobs.params[0][0])


def _deconvolution(layer: Layer, bottoms: list[Shape]) -> Result:
    message = layer.param("convolution_param")
    axis = axis_of(layer, message, bottoms[0], 1)
    window = conv_window(layer, len(bottoms[0]) - axis - 1)
    outputs, group = _outputs(layer, bottoms, axis)
    channels = bottoms[0][axis]
    top = (*bottoms[0][:axis], outputs, *deconv_out(window, bottoms[0][axis + 1 :]))
    # base_conv_layer.cpp, reverse_dimensions: the weight of the convolution that it undoes.
    weight = (channels, outputs // group, *window.kernel)
    return [top] * len(bottoms), [weight, *bias(message, outputs)]


def _outputs(layer: Layer, bottoms: list[Shape], axis: int) -> tuple[int, int]:
    """num_output and group, which must divide it and the channels."""
    message, channels = layer.param("convolution_param"), alike(layer, bottoms)[axis]
    outputs, group = num_output(layer, message), message.integer("group", 1, 1)
    if channels % group or outputs % group:
        raise layer.error(
            f"group {group} does not divide both its {counted(channels, 'channel')} and "
            f"its {counted(outputs, 'output')}"
        )
    return outputs, group


def _im2col(layer: Layer, bottoms: list[Shape]) -> Result:
    message = layer.param("convolution_param")
    axis = axis_of(layer, message, bottoms[0], 1)
    window = conv_window(layer, len(bottoms[0]) - axis - 1)
    tops = []
    for shape in bottoms:
        # im2col_layer.cpp: a channel for each number of the window.
        columns = shape[axis] * prod(window.kernel)
        tops.append((*shape[:axis], columns, *window.convolved(shape[axis + 1 :])))
    return tops, []


def _inner_product(layer: Layer, bottoms: list[Shape]) -> Result:
    message = layer.param("inner_product_param")
    outputs = num_output(layer, message)
    axis = axis_of(layer, message, bottoms[0], 1)
    inputs = prod(bottoms[0][axis:])
    weight = (inputs, outputs) if _layout(layer) is WeightLayout.TURNED else (outputs, inputs)
    return [(*bottoms[0][:axis], outputs)] * len(layer.tops), [weight, *bias(message, outputs)]


def _embed(layer: Layer, bottoms: list[Shape]) -> Result:
    message = layer.param("embed_param")
    outputs, words = num_output(layer, message), message.integer("input_dim", 0, 1)
    # A row for each word: the other way round than an InnerProduct's weight.
    return [(*bottoms[0], outputs)], [(words, outputs), *bias(message, outputs)]


def _window(layer: Layer, size: Shape) -> Window:
    return conv_window(layer, len(size))


def _whole_window(layer: Layer, size: Shape) -> Window:
    ones = (1,) * len(size)
    return Window(size, ones, (0,) * len(size), ones)


def padded(pad: Shape) -> str:
    """ "pads by 3", "pads by 3x0", or "" for no padding."""
    if not any(pad):
        return ""
    return f"pads by {sides_text(pad)}"


def _pads(layer: Layer, size: Shape) -> str:
    return padded(conv_window(layer, len(size)).pad)


def _spreads(layer: Layer, size: Shape) -> str:
    return "spreads cells past the window's edge"


def _layout(layer: Layer) -> WeightLayout:
    turned = layer.param("inner_product_param").boolean("transpose", False)
    return WeightLayout.TURNED if turned else WeightLayout.OUTPUTS_FIRST


def _convolution_params(layer: Layer) -> KnownParams:
    biased = layer.param("convolution_param").boolean("bias_term", True)
    return (_WEIGHT, _BIAS) if biased else (_WEIGHT,)


def _inner_product_params(layer: Layer) -> KnownParams:
    biased = layer.param("inner_product_param").boolean("bias_term", True)
    return (_WEIGHT, _BIAS) if biased else (_WEIGHT,)


def _embed_params(layer: Layer) -> KnownParams:
    table = ParamSpec(ParamRole.TABLE, "weight_filler", 0.0, linear=False)
    biased = layer.param("embed_param").boolean("bias_term", True)
    return (
        (table, ParamSpec(ParamRole.BIAS, "bias_filler", 0.0, linear=False)) if biased else (table,)
    )


def _one_top_each(layer: Layer) -> Count:
    return len(layer.bottoms), len(layer.bottoms)


def _convolution_cost(layer: Layer, blobs: ParamSpecs) -> int:
    return per_weight(blobs, layer.param("convolution_param").integer("num_output", 1, 1))


def _inner_product_cost(layer: Layer, blobs: ParamSpecs) -> int:
    return per_weight(blobs, layer.param("inner_product_param").integer("num_output", 1, 1))


def _deconvolution_cost(layer: Layer, blobs: ParamSpecs) -> int:
    """Each of the weight's channels is applied at every place of the bottom."""
    weight = blobs.params[0]
    return sum(prod(shape) // weight[0] * prod(weight) for shape in blobs.bottoms)


def _inner_product_field(seen: Seen, layer: Layer) -> ReceptiveField | None:
    shape = seen.shapes[layer.bottoms[0]]
    axis = axis_of(layer, layer.param("inner_product_param"), shape, 1)
    # At axis 3 it makes N x C x H x outputs, whose last axis is not of cells.
    return whole_field(seen, layer) if axis < 3 else None


def _sliding_field(seen: Seen, layer: Layer) -> Made:
    return _windowed(seen, layer, geometry.slid)


def _spreading_field(seen: Seen, layer: Layer) -> Made:
    return _windowed(seen, layer, geometry.spread)


def _windowed(
    seen: Seen, layer: Layer, act: Callable[[ReceptiveField, Window], ReceptiveField]
) -> Made:
    """Every top is of the bottom at its place."""
    # Along other axes than 2 and 3 its windows have other numbers.
    if axis_of(layer, layer.param("convolution_param"), seen.shapes[layer.bottoms[0]], 1) != 1:
        return None
    window = conv_window(layer, 2) if seen.is_map(layer.bottoms[0]) else None
    known = [seen.known.get(bottom) for bottom in layer.bottoms]
    return [field and act(field, window) if window else None for field in known]


CONVOLUTION = LayerType(
    name="Convolution",
    aliases=(),
    origin="Caffe 1.0",
    message="convolution_param",
    fields=_HOLE,
    shapes=_convolution,
    bottoms=(1, MANY),
    tops=_one_top_each,
    roles=(Role.VALUE,),
    in_place=InPlace.LOSES,
    space=Space.SLIDING,
    window=_window,
    field=_sliding_field,
    edges=_pads,
    channels=Channels.MIXING,
    values=Values.CHANGED,
    signs=Signs.ANY,
    source=InputSource.NONE,
    effects=NO_EFFECTS,
    params=_convolution_params,
    layout=WeightLayout.OUTPUTS_FIRST,
    affine=None,
    multiply_adds=_convolution_cost,
    training=False,
    runs=True,
)

_DEPTHWISE = LayerType(
    name="DepthwiseConvolution",
    aliases=("DepthwiseConv", "ConvolutionDepthwise"),
    origin="MobileNet",
    message="convolution_param",
    fields=(),
    shapes=_depthwise,
    bottoms=(1, MANY),
    tops=_one_top_each,
    roles=(Role.VALUE,),
    in_place=InPlace.UNKNOWN,
    space=Space.SLIDING,
    window=_window,
    field=_sliding_field,
    edges=_pads,
    channels=Channels.BY_CHANNEL,
    values=Values.CHANGED,
    signs=Signs.ANY,
    source=InputSource.NONE,
    effects=NO_EFFECTS,
    params=_convolution_params,
    layout=WeightLayout.OUTPUTS_FIRST,
    affine=None,
    multiply_adds=_depthwise_cost,
    training=False,
    runs=True,
)

_DECONVOLUTION = LayerType(
    name="Deconvolution",
    aliases=(),
    origin="Caffe 1.0",
    message="convolution_param",
    fields=_HOLE,
    shapes=_deconvolution,
    bottoms=(1, MANY),
    tops=_one_top_each,
    roles=(Role.VALUE,),
    in_place=InPlace.LOSES,
    space=Space.SPREADING,
    window=_window,
    field=_spreading_field,
    edges=_spreads,
    channels=Channels.MIXING,
    values=Values.CHANGED,
    signs=Signs.ANY,
    source=InputSource.NONE,
    effects=NO_EFFECTS,
    params=_convolution_params,
    layout=WeightLayout.INPUTS_FIRST,
    affine=None,
    multiply_adds=_deconvolution_cost,
    training=False,
    runs=True,
)

_IM2COL = LayerType(
    name="Im2col",
    aliases=(),
    origin="Caffe 1.0",
    message="convolution_param",
    fields=_HOLE,
    shapes=_im2col,
    bottoms=(1, 1),
    tops=(1, 1),
    roles=(Role.VALUE,),
    in_place=InPlace.ALLOWED,
    space=Space.SLIDING,
    window=_window,
    field=_sliding_field,
    edges=_pads,
    channels=Channels.MIXING,
    values=Values.MOVED,
    signs=Signs.ANY,
    source=InputSource.NONE,
    effects=NO_EFFECTS,
    params=NO_PARAMS,
    layout=None,
    affine=None,
    multiply_adds=free,
    training=False,
    runs=True,
)

INNER_PRODUCT = LayerType(
    name="InnerProduct",
    aliases=(),
    origin="Caffe 1.0",
    message="inner_product_param",
    fields=(),
    shapes=_inner_product,
    bottoms=(1, 1),
    tops=(1, 1),
    roles=(Role.VALUE,),
    in_place=InPlace.LOSES,
    space=Space.WHOLE,
    window=_whole_window,
    field=_inner_product_field,
    edges=no_edges,
    channels=Channels.MIXING,
    values=Values.CHANGED,
    signs=Signs.ANY,
    source=InputSource.NONE,
    effects=NO_EFFECTS,
    params=_inner_product_params,
    layout=_layout,
    affine=None,
    multiply_adds=_inner_product_cost,
    training=False,
    runs=True,
)

_EMBED = LayerType(
    name="Embed",
    aliases=(),
    origin="Caffe 1.0",
    message="embed_param",
    fields=(),
    shapes=_embed,
    bottoms=(1, 1),
    tops=(1, 1),
    roles=(Role.INDEX,),
    in_place=InPlace.ALLOWED,
    space=Space.MIXING,
    window=None,
    field=None,
    edges=no_edges,
    channels=Channels.MIXING,
    values=Values.CHANGED,
    signs=Signs.ANY,
    source=InputSource.NONE,
    effects=NO_EFFECTS,
    params=_embed_params,
    layout=None,
    affine=None,
    multiply_adds=free,
    training=False,
    runs=True,
)

TYPES = (
    CONVOLUTION,
    _DECONVOLUTION,
    _DEPTHWISE,
    _EMBED,
    _IM2COL,
    INNER_PRODUCT,
)
