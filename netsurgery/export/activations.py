"""Layers that treat every element by itself."""

from __future__ import annotations

from math import inf, log

import numpy as np

from netsurgery.export.layer_context import Converter, LayerContext
from netsurgery.formats.textformat import Message
from netsurgery.net.types.elementwise import passed_on

__all__ = ["CONVERTERS"]


def _relu(ctx: LayerContext) -> list[str]:
    slope = ctx.layer.param("relu_param").number("negative_slope", 0.0)
    if slope == 0:
        return [ctx.op("Relu", ctx.bottom)]
    return [ctx.op("LeakyRelu", ctx.bottom, alpha=slope)]


def _prelu(ctx: LayerContext) -> list[str]:
    count = ctx.params[0].shape
    if ctx.layer.param("prelu_param").boolean("channel_shared", False):
        return [ctx.op("PRelu", ctx.bottom, ctx.param(0, (1,)))]
    # ONNX aligns shapes at the last axis: the ones put the slopes on the channels.
    return [ctx.op("PRelu", ctx.bottom, ctx.param(0, (*count, *[1] * (len(ctx.shape) - 2))))]


def _elu(ctx: LayerContext) -> list[str]:
    return [ctx.op("Elu", ctx.bottom, alpha=ctx.layer.param("elu_param").number("alpha", 1.0))]


def _linear(ctx: LayerContext, scale: float, shift: float) -> str:
    """shift + scale x bottom."""
    scaled = ctx.scaled(ctx.bottom, scale)
    return scaled if shift == 0 else ctx.op("Add", scaled, ctx.floats(shift))


def _log_of_base(ctx: LayerContext, message: Message) -> float:
    """The natural logarithm of ``base``, which is e where it is -1."""
    with np.errstate(over="ignore"):
        # As Caffe reads it: what a float cannot hold is infinite, and refused below.
        base = float(np.float32(message.number("base", -1.0)))
    if base == -1:
        return 1.0
    if not 0 < base < inf:
        raise ctx.layer.error(f"base {base:g}; expected -1 (for e) or a number above 0")
    return log(base)


def _exp(ctx: LayerContext) -> list[str]:
    """base^(shift + scale x)."""
    message = ctx.layer.param("exp_param")
    by = _log_of_base(ctx, message)
    with np.errstate(over="ignore"):
        outer = float(np.exp(np.float64(message.number("shift", 0.0) * by)))
    # Caffe's own split: e^(shift ln b) is a constant outside, scale ln b a factor inside.
    inner = ctx.scaled(ctx.bottom, message.number("scale", 1.0) * by)
    return [ctx.scaled(ctx.op("Exp", inner), outer)]


def _log(ctx: LayerContext) -> list[str]:
    """log_base(shift + scale x)."""
    message = ctx.layer.param("log_param")
    by = _log_of_base(ctx, message)
    if by == 0:
        raise ctx.layer.error("base 1; expected -1 (for e) or a number above 0, not 1")
    inner = _linear(ctx, message.number("scale", 1.0), message.number("shift", 0.0))
    return [ctx.scaled(ctx.op("Log", inner), 1 / by)]


def _power(ctx: LayerContext) -> list[str]:
    """(shift + scale x)^power."""
    message = ctx.layer.param("power_param")
    power, scale = message.number("power", 1.0), message.number("scale", 1.0)
    if power * scale == 0:
        # As Caffe does: 0 x a negative number is a signed zero, which Pow may treat differently.
        with np.errstate(all="ignore"):
            value = np.power(np.float32(message.number("shift", 0.0)), np.float32(power))
        return [ctx.op("Expand", ctx.floats(value), ctx.op("Shape", ctx.bottom))]
    base = _linear(ctx, scale, message.number("shift", 0.0))
    if power == 1:
        return [base]
    return [ctx.op("Pow", base, ctx.floats(power))]


def _threshold(ctx: LayerContext) -> list[str]:
    level = ctx.layer.param("threshold_param").number("threshold", 0.0)
    return [ctx.op("Cast", ctx.op("Greater", ctx.bottom, ctx.floats(level)), to=1)]  # FLOAT


def _clip(ctx: LayerContext) -> list[str]:
    message = ctx.layer.param("clip_param")
    if not (message.scalar("min") and message.scalar("max")):
        raise ctx.layer.error("clip_param must give min and max")
    low = message.number("min", 0.0)
    # Where min is above max Caffe gives min, and ONNX max.
    high = max(low, message.number("max", 0.0))
    return [ctx.op("Clip", ctx.bottom, ctx.floats(low), ctx.floats(high))]


def _swish(ctx: LayerContext) -> list[str]:
    """x sigmoid(beta x)."""
    beta = ctx.layer.param("swish_param").number("beta", 1.0)
    return [ctx.op("Mul", ctx.bottom, ctx.op("Sigmoid", ctx.scaled(ctx.bottom, beta)))]


def _selu(ctx: LayerContext) -> list[str]:
    """lambda x above 0, lambda alpha (e^x - 1) below."""
    message = ctx.layer.param("selu_param")
    alpha, factor = message.number("alpha", 1.67326324), message.number("lambda", 1.050700987)
    return [ctx.op("Selu", ctx.bottom, alpha=alpha, gamma=factor)]


def _hard_sigmoid(ctx: LayerContext) -> list[str]:
    """alpha x + beta, between 0 and 1."""
    message = ctx.layer.param("hard_sigmoid_param")
    alpha, beta = message.number("alpha", 0.2), message.number("beta", 0.5)
    return [ctx.op("HardSigmoid", ctx.bottom, alpha=alpha, beta=beta)]


def _hard_swish(ctx: LayerContext) -> list[str]:
    """x / 6, multiplied by x + 3 between 0 and 6."""
    shifted = ctx.op("Add", ctx.bottom, ctx.floats(3.0))
    gate = ctx.op("Clip", shifted, ctx.floats(0.0), ctx.floats(6.0))
    return [ctx.op("Div", ctx.op("Mul", ctx.bottom, gate), ctx.floats(6.0))]


def _mish(ctx: LayerContext) -> list[str]:
    """x tanh(log(1 + e^x))."""
    gate = ctx.op("Tanh", ctx.op("Softplus", ctx.bottom))
    return [ctx.op("Mul", ctx.bottom, gate)]


def _plain(kind: str) -> Converter:
    """A layer that is one operation of ONNX as it stands."""
    return lambda ctx: [ctx.op(kind, ctx.bottom)]


def _as_it_is(ctx: LayerContext) -> list[str]:
    """Every top is the bottom: Dropout at test time, Split."""
    return [ctx.bottom] * len(ctx.tops)


def _scaling_dropout(ctx: LayerContext) -> list[str]:
    """x (1 - dropout_ratio), of ``scale_train: false``."""
    return [ctx.scaled(ctx.bottom, passed_on(ctx.layer))]


def _nothing(ctx: LayerContext) -> list[str]:
    return []


CONVERTERS: dict[str, Converter] = {
    "AbsVal": _plain("Abs"),
    "BNLL": _plain("Softplus"),
    "Clip": _clip,
    "Dropout": _as_it_is,
    "Dropout (R-FCN)": _scaling_dropout,
    "ELU": _elu,
    "Exp": _exp,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _hard_swish,
    "Log": _log,
    "Mish": _mish,
    "PReLU": _prelu,
    "Power": _power,
    "ReLU": _relu,
    "SeLU": _selu,
    "Sigmoid": _plain("Sigmoid"),
    "Silence": _nothing,
    "Softplus": _plain("Softplus"),
    "Softsign": _plain("Softsign"),
    "Split": _as_it_is,
    "Swish": _swish,
    "TanH": _plain("Tanh"),
    "Threshold": _threshold,
}
