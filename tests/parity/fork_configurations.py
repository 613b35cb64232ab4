"""Random configurations of every layer type of a fork that the embedded engine runs."""

from __future__ import annotations

from hypothesis import strategies as st
from parity.configurations import (
    Draw,
    body,
    elementwise,
    flag,
    images,
    maybe,
    number,
    shapes,
    whole,
)
from parity.conformance import Trial

__all__ = ["FORK_TRIALS"]

FILLER = st.just("{ type: 'constant' value: 1 }")


def filler(draw: Draw, name: str) -> str:
    return f"{name} {draw(FILLER)} " if draw(st.booleans()) else ""


@st.composite
def segnet_bn(draw: Draw) -> Trial:
    learn = draw(st.booleans())
    mode = draw(st.sampled_from(["", "bn_mode: LEARN "])) if learn else "bn_mode: INFERENCE "
    text = "scale_filler { value: 1 } " + filler(draw, "shift_filler") + mode
    # Of a batch of few numbers the variance is the difference of near values.
    shape = (draw(whole(2, 3)), draw(whole(1, 5)), draw(whole(3, 6)), draw(whole(3, 6)))
    if not learn:
        shape = draw(shapes(2, 4))
    tops = draw(whole(1, 3)) if learn else 1
    return Trial("BN", body("bn_param", text), (shape,), tops=tops)


@st.composite
def pspnet_bn(draw: Draw) -> Trial:
    text = "slope_filler { value: 1 } " + filler(draw, "bias_filler") + flag(draw, "frozen")
    text += maybe(draw, "eps", number(0.01, 1)) + maybe(draw, "momentum", number(0, 1))
    return Trial("BN", body("bn_param", text), (draw(shapes(2, 4)),), positive_params=(3,))


@st.composite
def nvcaffe_batch_norm(draw: Draw) -> Trial:
    text = draw(st.sampled_from(["scale_bias: true ", "scale_bias: false ", ""]))
    text += filler(draw, "scale_filler") + filler(draw, "bias_filler")
    text = text or "scale_bias: true "
    text += maybe(draw, "eps", st.sampled_from(["1e-7", "0.1"])) + flag(draw, "use_global_stats")
    return Trial(
        "BatchNorm",
        body("batch_norm_param", text),
        (draw(images(5)),),
        in_place=draw(st.booleans()),
        positive_params=(1,),
        fixed_params=((2, 1.0),),
    )


@st.composite
def face_normalize(draw: Draw) -> Trial:
    text = maybe(draw, "normalize_type", st.sampled_from(['"L1"', '"L2"']))
    text = body("normalize_param", text) if text or draw(st.booleans()) else ""
    return Trial("Normalize", text, (draw(shapes(2, 4)),), tops=draw(whole(1, 2)))


@st.composite
def ssd_normalize(draw: Draw) -> Trial:
    text = flag(draw, "across_spatial") + flag(draw, "channel_shared")
    text += maybe(draw, "eps", number(0.01, 1)) + filler(draw, "scale_filler")
    return Trial("Normalize", body("norm_param", text), (draw(shapes(2, 4)),))


@st.composite
def scaling_dropout(draw: Draw) -> Trial:
    text = draw(st.sampled_from(["scale_train: false ", "scale_train: 0 "]))
    text += maybe(draw, "dropout_ratio", number(0, 0.9))
    place = draw(st.booleans())
    return Trial("Dropout", body("dropout_param", text), (draw(shapes()),), in_place=place)


@st.composite
def reorg(draw: Draw) -> Trial:
    stride, (batch, fewer, height, width) = draw(whole(1, 3)), draw(images(3))
    back = flag(draw, "reverse")
    size = (height, width) if "true" in back else (height * stride, width * stride)
    shape = (batch, fewer * stride**2, *size)
    return Trial("Reorg", body("reorg_param", f"stride: {stride} {back}"), (shape,))


@st.composite
def reverse(draw: Draw) -> Trial:
    shape = draw(shapes())
    axes = draw(st.sets(whole(0, len(shape) - 1), min_size=1))
    named = [axis - len(shape) if draw(st.booleans()) else axis for axis in sorted(axes)]
    return Trial("Reverse", body("reverse_param", f"axis: {named}"), (shape,))


@st.composite
def pad(draw: Draw) -> Trial:
    shape = draw(shapes())
    sizes = [draw(whole(0, 3)) for _ in range(2 * len(shape))]
    text = f"paddings: {sizes} " + maybe(draw, "constant_values", number(-2, 2))
    return Trial("Pad", body("pad_param", text), (shape,))


@st.composite
def permuting(draw: Draw, kind: str, field: str, name: str) -> Trial:
    shape = draw(shapes())
    order = draw(st.permutations(range(len(shape))))
    if kind == "Permute":
        order = order[: draw(whole(0, len(shape)))]
    return Trial(kind, body(field, f"{name}: {list(order)}" if order else ""), (shape,))


@st.composite
def shuffle(draw: Draw) -> Trial:
    group, (batch, channels, height, width) = draw(whole(1, 4)), draw(images(4))
    text = f"group: {group}" if group > 1 or draw(st.booleans()) else ""
    shape = (batch, channels * group, height, width)
    return Trial("ShuffleChannel", body("shuffle_channel_param", text), (shape,))


@st.composite
def interp(draw: Draw) -> Trial:
    batch, channels, height, width = draw(images(6))
    sizes = f"height: {draw(whole(1, 12))} width: {draw(whole(1, 12))} "
    shrink, zoom = f"shrink_factor: {draw(whole(1, 3))} ", f"zoom_factor: {draw(whole(1, 3))} "
    text = draw(
        st.sampled_from([sizes, shrink, zoom, sizes + shrink, shrink + zoom, sizes + shrink + zoom])
    )
    for name in ("pad_beg", "pad_end"):
        text += maybe(draw, name, whole(-2, 0))
    return Trial("Interp", body("interp_param", text), ((batch, channels, height + 4, width + 4),))


@st.composite
def upsample(draw: Draw) -> Trial:
    if draw(st.booleans()):
        text = body("upsample_param", f"scale: {draw(whole(1, 4))}")
        return Trial("Upsample", text, (draw(images(5)),))
    shape = draw(images(5))
    cells = [2 * n for n in shape[2:]]
    text = draw(st.sampled_from(["", "scale: 2 "]))
    if draw(st.booleans()):
        cells = [n + draw(whole(0, 3)) for n in cells]
        text = f"upsample_h: {cells[0]} upsample_w: {cells[1]} "
    else:
        for i, side in enumerate("hw"):
            cut = draw(st.sampled_from(["", "true", "false", "1", "0"]))
            text += f"pad_out_{side}: {cut} " if cut else ""
            cells[i] -= cut in ("true", "1")
    values = ("normal", f"places {cells[0] * cells[1]}")
    return Trial("Upsample", body("upsample_param", text), (shape, shape), values)


@st.composite
def axpy(draw: Draw) -> Trial:
    shape = draw(shapes(3, 4))
    ones = draw(st.sampled_from([(), (1,) * (len(shape) - 2)]))
    return Trial("Axpy", "", ((*shape[:2], *ones), shape, shape))


@st.composite
def depthwise(draw: Draw, kind: str) -> Trial:
    size, pad, dilation = draw(whole(1, 3)), draw(whole(0, 2)), draw(whole(1, 2))
    least = max(1, dilation * (size - 1) + 1 - 2 * pad)
    channels = draw(whole(1, 5))
    text = f"kernel_size: {size} pad: {pad} dilation: {dilation} " + flag(draw, "bias_term")
    text += maybe(draw, "stride", whole(1, 3))
    named = [f"num_output: {channels} ", f"group: {channels} "]
    text += "".join(each for each in named if draw(st.booleans()))
    shape = (draw(whole(1, 2)), channels, draw(whole(least, 8)), draw(whole(least, 8)))
    return Trial(kind, body("convolution_param", text), (shape,))


@st.composite
def roi_pooling(draw: Draw) -> Trial:
    scale, shape = draw(st.sampled_from(["", "0.5", "0.0625", "1"])), draw(images(9))
    text = f"pooled_h: {draw(whole(1, 4))} pooled_w: {draw(whole(1, 4))} "
    text += f"spatial_scale: {scale}" if scale else ""
    size = int(max(shape[2:]) / float(scale or 1))
    boxes = (draw(whole(1, 4)), 5, *draw(st.sampled_from([(), (1, 1)])))
    values = ("normal", f"boxes {shape[0]} {size}")
    return Trial("ROIPooling", body("roi_pooling_param", text), (shape, boxes), values)


def sizes(draw: Draw, name: str, low: int, high: int) -> str:
    """One for both sides, one each, or none."""
    height, width = draw(whole(low, high)), draw(whole(low, high))
    both = f"img_size: {height} " if name == "img" else f"{name}: {height} "
    return str(draw(st.sampled_from(["", both, f"{name}_h: {height} {name}_w: {width} "])))


@st.composite
def prior_box(draw: Draw) -> Trial:
    count = draw(whole(1, 2))
    least = [draw(number(2, 9)) for _ in range(count)]
    text = "".join(f"min_size: {size} " for size in least)
    if draw(st.booleans()):
        text += "".join(f"max_size: {float(size) + 2} " for size in least)
    for _ in range(draw(whole(0, 3))):
        text += f"aspect_ratio: {draw(st.sampled_from(['1', '2', '3', '0.5']))} "
    text += flag(draw, "flip") + flag(draw, "clip") + maybe(draw, "offset", number(0, 1))
    text += sizes(draw, "img", 20, 40) + sizes(draw, "step", 1, 8)
    for _ in range(draw(st.sampled_from([0, 1, 4]))):
        text += f"variance: {draw(number(0.1, 1))} "
    return Trial("PriorBox", body("prior_box_param", text), (draw(images(4)), draw(images(20))))


FORK_TRIALS: dict[str, st.SearchStrategy[Trial]] = {
    "Axpy": axpy(),
    "BN (PSPNet)": pspnet_bn(),
    "BN (SegNet)": segnet_bn(),
    "BatchNorm (NVCaffe)": nvcaffe_batch_norm(),
    "DepthwiseConvolution": st.one_of(
        depthwise("DepthwiseConvolution"),
        depthwise("DepthwiseConv"),
        depthwise("ConvolutionDepthwise"),
    ),
    "Dropout (R-FCN)": scaling_dropout(),
    "HardSigmoid": elementwise(
        "HardSigmoid", "hard_sigmoid_param", ("alpha", number(0.1, 1)), ("beta", number(0, 1))
    ),
    "HardSwish": elementwise("HardSwish"),
    "Interp": interp(),
    "Mish": elementwise("Mish"),
    "Normalize": ssd_normalize(),
    "Normalize (face)": face_normalize(),
    "Pad": pad(),
    "Permute": permuting("Permute", "permute_param", "order"),
    "PriorBox": prior_box(),
    "ROIPooling": roi_pooling(),
    "ReLU6": elementwise("ReLU6"),
    "Reorg": reorg(),
    "Reverse": reverse(),
    "SeLU": st.sampled_from(["SeLU", "SELU", "SeLu"]).flatmap(
        lambda kind: elementwise(
            kind, "selu_param", ("lambda", number(0.5, 2)), ("alpha", number(0.5, 2))
        )
    ),
    "ShuffleChannel": shuffle(),
    "Softplus": elementwise("Softplus"),
    "Softsign": elementwise("Softsign"),
    "Transpose": permuting("Transpose", "transpose_param", "dim"),
    "Upsample": upsample(),
}
