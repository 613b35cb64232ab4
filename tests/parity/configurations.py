"""Random configurations of every layer type that both Caffe 1.0 and the embedded engine run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from parity.conformance import Trial

__all__ = ["TRIALS", "tolerance"]

Draw = Callable[[st.SearchStrategy[Any]], Any]
Shape = tuple[int, ...]

#: Types whose arithmetic loses more: powers, exponentials, differences of near values.
LOOSE = frozenset(
    """
    BNLL BatchNorm ELU Exp LRN LSTM Log MVN Mish Power RNN SeLU Sigmoid Softmax Swish TanH
    """.split()
) | {"BN (PSPNet)", "BN (SegNet)", "BatchNorm (NVCaffe)"}


def tolerance(kind: str) -> float:
    """The largest relative difference that is not a fault."""
    return 1e-4 if kind in LOOSE else 1e-5


def whole(low: int, high: int) -> st.SearchStrategy[int]:
    return st.integers(low, high)


def number(low: float, high: float) -> st.SearchStrategy[str]:
    """A number with two decimals, as text."""
    return st.integers(round(low * 100), round(high * 100)).map(lambda n: f"{n / 100:g}")


def shapes(low: int = 1, high: int = 4, largest: int = 6) -> st.SearchStrategy[Shape]:
    return st.lists(whole(1, largest), min_size=low, max_size=high).map(tuple)


def images(largest: int = 9) -> st.SearchStrategy[Shape]:
    """N x C x H x W."""
    return st.tuples(whole(1, 3), whole(1, 6), whole(1, largest), whole(1, largest))


def axis(draw: Draw, axes: int) -> int:
    """An axis, counted from either end."""
    chosen: int = draw(whole(-axes, axes - 1))
    return chosen


def maybe(draw: Draw, name: str, value: st.SearchStrategy[Any]) -> str:
    """The field, or nothing at all: the default."""
    return f"{name}: {draw(value)} " if draw(st.booleans()) else ""


def flag(draw: Draw, name: str) -> str:
    return maybe(draw, name, st.sampled_from(["true", "false"]))


def body(field: str, text: str) -> str:
    return f"{field} {{ {text} }}"


def elementwise(
    kind: str,
    field: str = "",
    *choices: tuple[str, st.SearchStrategy[Any]],
    values: str = "normal",
    in_place: bool = True,
) -> st.SearchStrategy[Trial]:
    """A layer that treats every element by itself."""

    @st.composite
    def trial(draw: Draw) -> Trial:
        text = "".join(maybe(draw, name, strategy) for name, strategy in choices)
        return Trial(
            kind,
            body(field, text) if field else "",
            (draw(shapes()),),
            (values,),
            in_place=in_place and draw(st.booleans()),
        )

    return trial()


def pair(draw: Draw, name: str, short: str, low: int, high: int) -> tuple[str, tuple[int, int]]:
    """``name`` for both axes, or one for each."""
    if draw(st.booleans()):
        size = draw(whole(low, high))
        return f"{name}: {size} ", (size, size)
    h, w = draw(whole(low, high)), draw(whole(low, high))
    return f"{short}_h: {h} {short}_w: {w} ", (h, w)


@st.composite
def convolution(draw: Draw, kind: str) -> Trial:
    kernel, (kh, kw) = pair(draw, "kernel_size", "kernel", 1, 4)
    pad, (ph, pw) = pair(draw, "pad", "pad", 0, 2)
    stride, _ = pair(draw, "stride", "stride", 1, 3)
    dilation = draw(whole(1, 2))
    group = draw(st.sampled_from([1, 1, 2, 3]))
    least = [max(1, dilation * (k - 1) + 1 - 2 * p) for k, p in ((kh, ph), (kw, pw))]
    if kind == "Deconvolution":
        least = [1 + 2 * max(ph, pw)] * 2
    size = [draw(whole(low, low + 6)) for low in least]
    count = draw(whole(1, 2)) if kind != "Im2col" else 1
    channels = group * draw(whole(1, 3))
    text = kernel + pad + stride + f"dilation: {dilation} "
    if kind != "Im2col":
        text += f"num_output: {group * draw(whole(1, 4))} group: {group} "
        text += flag(draw, "bias_term")
    shape = (draw(whole(1, 3)), channels, *size)
    return Trial(kind, body("convolution_param", text), (shape,) * count, tops=count)


@st.composite
def inner_product(draw: Draw) -> Trial:
    shape = draw(shapes(1, 4))
    outputs = draw(whole(1, 8))
    text = f"num_output: {outputs} axis: {axis(draw, len(shape))} "
    text += flag(draw, "bias_term") + flag(draw, "transpose")
    # One sum of values of both signs may come out near nothing; of several hardly the largest.
    single = outputs < 3
    return Trial(
        "InnerProduct",
        body("inner_product_param", text),
        (shape,),
        ("positive" if single else "normal",),
        positive_params=(0, 1) if single else (),
    )


@st.composite
def pooling(draw: Draw) -> Trial:
    shape = draw(images(12))
    method = draw(st.sampled_from(["MAX", "AVE"]))
    text = f"pool: {method} "
    tops = draw(whole(1, 2)) if method == "MAX" else 1
    values = "distinct" if tops == 2 else "normal"
    if draw(whole(0, 5)) == 0:
        return Trial("Pooling", body("pooling_param", text + "global_pooling: true"), (shape,))
    kernel, (kh, kw) = pair(draw, "kernel_size", "kernel", 1, 5)
    pad, (ph, pw) = "", (0, 0)
    if min(kh, kw) > 1 and draw(st.booleans()):
        pad, (ph, pw) = pair(draw, "pad", "pad", 0, min(kh, kw) - 1)
    stride, _ = pair(draw, "stride", "stride", 1, 4)
    shape = (*shape[:2], max(shape[2], kh - 2 * ph), max(shape[3], kw - 2 * pw))
    text += kernel + pad + stride
    return Trial("Pooling", body("pooling_param", text), (shape,), (values,), tops)


@st.composite
def lrn(draw: Draw) -> Trial:
    region = draw(st.sampled_from(["ACROSS_CHANNELS", "WITHIN_CHANNEL"]))
    text = f"norm_region: {region} local_size: {draw(st.sampled_from([1, 3, 5, 7]))} "
    text += f"alpha: {draw(number(0, 2))} beta: {draw(number(0.1, 1))} "
    if region == "ACROSS_CHANNELS":
        text += maybe(draw, "k", number(1, 3))
    return Trial("LRN", body("lrn_param", text), (draw(images()),))


@st.composite
def batch_norm(draw: Draw) -> Trial:
    text = maybe(draw, "eps", number(0.01, 1)) + flag(draw, "use_global_stats")
    # The variance of a batch of one is nothing but noise: at least six elements a channel.
    shape = (draw(whole(2, 3)), *draw(shapes(1, 1)), draw(whole(3, 5)), draw(whole(1, 5)))
    low = draw(st.sampled_from([2, 3, 4]))
    if low == 2 and "false" not in text:
        shape = shape[:2]
    if low == 3:
        shape = (*shape[:2], shape[2])
    in_place = draw(st.booleans())
    return Trial(
        "BatchNorm", body("batch_norm_param", text), (shape,), in_place=in_place,
        positive_params=(1, 2),
    )  # fmt: skip


@st.composite
def scale_or_bias(draw: Draw, kind: str, field: str) -> Trial:
    if draw(st.integers(0, 3)) == 0:  # as in most nets: one number for each channel
        text = flag(draw, "bias_term") if kind == "Scale" else ""
        return Trial(kind, body(field, text), (draw(shapes(2, 4)),), in_place=draw(st.booleans()))
    shape = draw(shapes(1, 4))
    first = draw(whole(0, len(shape) - 1))
    end = draw(whole(first, len(shape)))
    text = f"axis: {first - draw(st.sampled_from([0, len(shape)]))} "
    text += flag(draw, "bias_term") if kind == "Scale" else ""
    in_place = draw(st.booleans())
    if draw(st.booleans()):
        count = draw(st.sampled_from([end - first, -1])) if end == len(shape) else end - first
        return Trial(kind, body(field, text + f"num_axes: {count}"), (shape,), in_place=in_place)
    end = max(end, first + 1)
    return Trial(kind, body(field, text), (shape, shape[first:end]), in_place=in_place)


@st.composite
def prelu(draw: Draw) -> Trial:
    text = flag(draw, "channel_shared")
    return Trial(
        "PReLU", body("prelu_param", text), (draw(shapes(2, 4)),), in_place=draw(st.booleans())
    )


@st.composite
def power(draw: Draw) -> Trial:
    """With whole powers of anything, or any power of what is above 0."""
    choice = draw(st.booleans())
    text = f"power: {draw(whole(0, 3)) if choice else draw(number(-2, 2))} "
    text += maybe(draw, "scale", number(0.5, 2)) + maybe(draw, "shift", number(0, 2))
    values = "normal" if choice else "positive"
    return Trial("Power", body("power_param", text), (draw(shapes()),), (values,))


@st.composite
def power_of_nothing(draw: Draw) -> Trial:
    text = f"power: {draw(number(0, 2))} scale: 0 shift: {draw(number(0.1, 2))}"
    return Trial("Power", body("power_param", text), (draw(shapes()),))


@st.composite
def softmax(draw: Draw) -> Trial:
    shape = draw(shapes(1, 4))
    text = f"axis: {axis(draw, len(shape))}" if len(shape) < 2 or draw(st.booleans()) else ""
    return Trial("Softmax", body("softmax_param", text), (shape,), in_place=draw(st.booleans()))


@st.composite
def argmax(draw: Draw) -> Trial:
    shape = draw(shapes(2, 4))
    text = flag(draw, "out_max_val")
    count = 1
    for dim in shape[1:]:
        count *= dim
    if draw(st.booleans()):
        chosen = axis(draw, len(shape))
        text += f"axis: {chosen} "
        count = shape[chosen]
    text += f"top_k: {draw(whole(1, count))} "
    values = draw(st.sampled_from(["normal", "ties"]))
    return Trial("ArgMax", body("argmax_param", text), (shape,), (values,))


@st.composite
def concat(draw: Draw) -> Trial:
    shape = draw(shapes(1, 4))
    chosen = draw(whole(0, len(shape) - 1))
    sizes = draw(st.lists(whole(1, 5), min_size=1, max_size=4))
    bottoms = tuple((*shape[:chosen], n, *shape[chosen + 1 :]) for n in sizes)
    name = "concat_dim" if draw(whole(0, 3)) == 0 else "axis"
    counted = chosen if name == "concat_dim" else chosen - draw(st.sampled_from([0, len(shape)]))
    return Trial("Concat", body("concat_param", f"{name}: {counted}"), bottoms)


@st.composite
def sliced(draw: Draw) -> Trial:
    shape = draw(shapes(1, 4))
    chosen = draw(whole(0, len(shape) - 1))
    sizes = draw(st.lists(whole(1, 4), min_size=1, max_size=4))
    equal = draw(st.booleans())
    sizes = [sizes[0]] * len(sizes) if equal else sizes
    points = [sum(sizes[: i + 1]) for i in range(len(sizes) - 1)]
    text = f"axis: {chosen - draw(st.sampled_from([0, len(shape)]))} "
    text += "" if equal else "".join(f"slice_point: {point} " for point in points)
    bottom = (*shape[:chosen], sum(sizes), *shape[chosen + 1 :])
    return Trial("Slice", body("slice_param", text), (bottom,), tops=len(sizes))


@st.composite
def eltwise(draw: Draw) -> Trial:
    shape, count = draw(shapes()), draw(whole(2, 4))
    operation = draw(st.sampled_from(["PROD", "SUM", "MAX"]))
    text = f"operation: {operation} "
    if operation == "SUM" and draw(st.booleans()):
        text += "".join(f"coeff: {draw(number(-2, 2))} " for _ in range(count))
    return Trial("Eltwise", body("eltwise_param", text), (shape,) * count)


@st.composite
def flatten(draw: Draw) -> Trial:
    shape = draw(shapes(1, 5))
    start = draw(whole(0, len(shape) - 1))
    end = draw(whole(start, len(shape) - 1))
    text = f"axis: {start - draw(st.sampled_from([0, len(shape)]))} "
    text += f"end_axis: {end - draw(st.sampled_from([0, len(shape)]))}"
    return Trial("Flatten", body("flatten_param", text), (shape,))


@st.composite
def reshape(draw: Draw) -> Trial:
    """Some run of axes becomes other dims: kept, joined, inferred or split in factors."""
    shape = draw(shapes(1, 4))
    start = draw(whole(0, len(shape)))
    axes = draw(whole(0, len(shape) - start))
    rest = 1
    for dim in shape[start : start + axes]:
        rest *= dim
    way = draw(st.sampled_from(["same", "zeros", "joined", "inferred", "ones"]))
    old = list(shape[start : start + axes])
    dims = {
        "same": old[::-1],
        "zeros": [0] * axes,
        "joined": [rest],
        "inferred": [-1],
        "ones": [1, rest, 1],
    }[way]
    if way == "zeros" and axes and draw(st.booleans()):
        dims[-1] = -1
    text = body("shape", " ".join(f"dim: {dim}" for dim in dims))
    counted = start - draw(st.sampled_from([0, len(shape) + 1]))
    text += f" axis: {counted} num_axes: {axes}"
    return Trial("Reshape", body("reshape_param", text), (shape,))


@st.composite
def reduction(draw: Draw) -> Trial:
    shape = draw(shapes())
    text = f"operation: {draw(st.sampled_from(['SUM', 'ASUM', 'SUMSQ', 'MEAN']))} "
    text += f"axis: {axis(draw, len(shape))} " + maybe(draw, "coeff", number(-2, 2))
    # Sums of values of both signs may come out near nothing.
    return Trial("Reduction", body("reduction_param", text), (shape,), ("positive",))


@st.composite
def tile(draw: Draw) -> Trial:
    shape = draw(shapes())
    text = f"axis: {axis(draw, len(shape))} tiles: {draw(whole(1, 4))}"
    return Trial("Tile", body("tile_param", text), (shape,))


@st.composite
def crop(draw: Draw) -> Trial:
    shape = draw(shapes(1, 4))
    first = draw(whole(0, len(shape) - 1))
    like = tuple(
        draw(whole(1, dim)) if i >= first else draw(whole(1, 4)) for i, dim in enumerate(shape)
    )
    room = [dim - target for dim, target in zip(shape, like, strict=True)][first:]
    offsets = [draw(whole(0, spare)) for spare in room]
    if draw(st.booleans()):
        offsets = [draw(whole(0, min(room)))]
    text = f"axis: {first - draw(st.sampled_from([0, len(shape)]))} "
    text += "".join(f"offset: {offset} " for offset in offsets)
    return Trial("Crop", body("crop_param", text), (shape, like))


@st.composite
def mvn(draw: Draw) -> Trial:
    text = flag(draw, "normalize_variance") + flag(draw, "across_channels")
    text += maybe(draw, "eps", number(0.01, 1))
    # Of one element alone the deviation is 0, and so is everything but noise.
    shape = (draw(whole(1, 3)), draw(whole(1, 3)), draw(whole(3, 6)), draw(whole(2, 6)))
    return Trial("MVN", body("mvn_param", text), (shape,))


@st.composite
def spp(draw: Draw) -> Trial:
    levels = draw(whole(1, 3))
    text = f"pyramid_height: {levels} pool: {draw(st.sampled_from(['MAX', 'AVE']))}"
    least = 2**levels
    shape = (draw(whole(1, 3)), draw(whole(1, 4)), *(draw(whole(least, 20)) for _ in range(2)))
    return Trial("SPP", body("spp_param", text), (shape,))


@st.composite
def embed(draw: Draw) -> Trial:
    words = draw(whole(1, 9))
    text = f"num_output: {draw(whole(1, 6))} input_dim: {words} " + flag(draw, "bias_term")
    return Trial("Embed", body("embed_param", text), (draw(shapes()),), (f"below {words}",))


@st.composite
def batch_reindex(draw: Draw) -> Trial:
    shape = draw(shapes())
    return Trial("BatchReindex", "", (shape, (draw(whole(1, 7)),)), ("normal", f"below {shape[0]}"))


@st.composite
def parameter(draw: Draw) -> Trial:
    dims = " ".join(f"dim: {dim}" for dim in draw(shapes()))
    return Trial("Parameter", body("parameter_param", body("shape", dims)), ())


@st.composite
def dummy_data(draw: Draw) -> Trial:
    count = draw(whole(1, 3))
    texts = [
        body("shape", " ".join(f"dim: {dim}" for dim in draw(shapes())))
        for _ in range(draw(st.sampled_from([1, count])))
    ]
    texts += [
        body("data_filler", f'type: "constant" value: {draw(number(-3, 3))}')
        for _ in range(draw(st.sampled_from([0, 1, count])))
    ]
    return Trial("DummyData", body("dummy_data_param", " ".join(texts)), (), tops=count)


@st.composite
def clip(draw: Draw) -> Trial:
    text = f"min: {draw(number(-1, 0))} max: {draw(number(0, 1))}"
    return Trial("Clip", body("clip_param", text), (draw(shapes()),), in_place=draw(st.booleans()))


@st.composite
def copies(draw: Draw, kind: str) -> Trial:
    if kind == "Split":
        return Trial(kind, "", (draw(shapes()),), tops=draw(whole(1, 3)))
    text = body("dropout_param", maybe(draw, "dropout_ratio", number(0.1, 0.9)))
    return Trial(kind, text, (draw(shapes()),), in_place=draw(st.booleans()))


@st.composite
def recurrent(draw: Draw, kind: str) -> Trial:
    """T x N x ... sequences, with and without a static input and states given and taken."""
    steps, streams, outputs = draw(whole(1, 4)), draw(whole(1, 3)), draw(whole(1, 4))
    bottoms = [(steps, streams, *draw(shapes(1, 2, 4))), (steps, streams)]
    if draw(st.booleans()):
        bottoms.append((streams, *draw(shapes(1, 2, 4))))
    exposed = draw(st.booleans())
    states = {"LSTM": 2, "RNN": 1}[kind] if exposed else 0
    bottoms += [(1, streams, outputs)] * states
    text = f"num_output: {outputs} expose_hidden: {'true' if exposed else 'false'} "
    text += "weight_filler { type: 'constant' } bias_filler { type: 'constant' }"
    values = ("normal", "cont anywhere" if exposed else "cont")
    return Trial(kind, body("recurrent_param", text), tuple(bottoms), values, tops=1 + states)


ABOVE = st.sampled_from(["0.5", "2", "2.5", "10"])

TRIALS: dict[str, st.SearchStrategy[Trial]] = {
    "AbsVal": elementwise("AbsVal", in_place=False),
    "ArgMax": argmax(),
    "BNLL": elementwise("BNLL"),
    "BatchNorm": batch_norm(),
    "BatchReindex": batch_reindex(),
    "Bias": scale_or_bias("Bias", "bias_param"),
    "Clip": clip(),
    "Concat": concat(),
    "Convolution": convolution("Convolution"),
    "Crop": crop(),
    "Deconvolution": convolution("Deconvolution"),
    "Dropout": copies("Dropout"),
    "DummyData": dummy_data(),
    "ELU": elementwise("ELU", "elu_param", ("alpha", number(0, 2))),
    "Eltwise": eltwise(),
    "Embed": embed(),
    "Exp": elementwise(
        "Exp", "exp_param", ("base", ABOVE), ("scale", number(-1, 1)), ("shift", number(-1, 1))
    ),
    "Flatten": flatten(),
    "Im2col": convolution("Im2col"),
    "InnerProduct": inner_product(),
    "LRN": lrn(),
    "LSTM": recurrent("LSTM"),
    "Log": elementwise(
        "Log",
        "log_param",
        ("base", ABOVE),
        ("scale", number(0.5, 2)),
        ("shift", number(0.5, 2)),
        values="positive",
    ),
    "MVN": mvn(),
    "PReLU": prelu(),
    "Parameter": parameter(),
    "Pooling": pooling(),
    "Power": st.one_of(power(), power(), power_of_nothing()),
    "RNN": recurrent("RNN"),
    "ReLU": elementwise("ReLU", "relu_param", ("negative_slope", number(-1, 2))),
    "Reduction": reduction(),
    "Reshape": reshape(),
    "SPP": spp(),
    "Scale": scale_or_bias("Scale", "scale_param"),
    "Sigmoid": elementwise("Sigmoid"),
    "Slice": sliced(),
    "Softmax": softmax(),
    "Split": copies("Split"),
    "Swish": elementwise("Swish", "swish_param", ("beta", number(-2, 2))),
    "TanH": elementwise("TanH"),
    "Threshold": elementwise("Threshold", "threshold_param", ("threshold", st.just("0.5"))),
    "Tile": tile(),
}
