"""Layers that treat every element by itself."""

from __future__ import annotations

from math import inf, log

import numpy as np

from netsurgery.export.layer_context import Converter, LayerContext
from netsurgery.formats.textformat import Message

__all__ = ["EMITTERS"]


def _relu(site: LayerContext) -> list[str]:
    slope = site.layer.param("relu_param").number("negative_slope", 0.0)
    if slope == 0:
        return [site.op("Relu", site.bottom)]
    return [site.op("LeakyRelu", site.bottom, alpha=slope)]


def _prelu(site: LayerContext) -> list[str]:
    count = site.params[0].shape
    if site.layer.param("prelu_param").boolean("channel_shared", False):
        return [site.op("PRelu", site.bottom, site.param(0, (1,)))]
    return [site.op("PRelu", site.bottom, site.param(0, (*count, *[1] * (len(site.shape) - 2))))]


def _elu(site: LayerContext) -> list[str]:
    return [site.op("Elu", site.bottom, alpha=site.layer.param("elu_param").number("alpha", 1.0))]


def _linear(site: LayerContext, scale: float, shift: float) -> str:
    """shift + scale x bottom."""
    made = site.scaled(site.bottom, scale)
    return made if shift == 0 else site.op("Add", made, site.floats(shift))


def _log_of_base(site: LayerContext, message: Message) -> float:
    """The natural logarithm of ``base``, which is e where it is -1."""
    with np.errstate(over="ignore"):
        base = float(np.float32(message.number("base", -1.0)))
    if base == -1:
        return 1.0
    if not 0 < base < inf:
        raise site.layer.error(f"base {base:g}; expected -1 (for e) or a number above 0")
    return log(base)


def _exp(site: LayerContext) -> list[str]:
    """base^(shift + scale x)."""
    message = site.layer.param("exp_param")
    by = _log_of_base(site, message)
    with np.errstate(over="ignore"):
        outer = float(np.exp(np.float64(message.number("shift", 0.0) * by)))
    inner = site.scaled(site.bottom, message.number("scale", 1.0) * by)
    return [site.scaled(site.op("Exp", inner), outer)]


def _log(site: LayerContext) -> list[str]:
    """log_base(shift + scale x)."""
    message = site.layer.param("log_param")
    by = _log_of_base(site, message)
    if by == 0:
        raise site.layer.error("base 1; expected -1 (for e) or a number above 0, not 1")
    inner = _linear(site, message.number("scale", 1.0), message.number("shift", 0.0))
    return [site.scaled(site.op("Log", inner), 1 / by)]


def _power(site: LayerContext) -> list[str]:
    """(shift + scale x)^power."""
    message = site.layer.param("power_param")
    power, scale = message.number("power", 1.0), message.number("scale", 1.0)
    if power * scale == 0:
        # As Caffe does: 0 x a negative number is a zero that Pow may tell by its sign.
        with np.errstate(all="ignore"):
            value = np.power(np.float32(message.number("shift", 0.0)), np.float32(power))
        return [site.op("Expand", site.floats(value), site.op("Shape", site.bottom))]
    made = _linear(site, scale, message.number("shift", 0.0))
    if power == 1:
        return [made]
    return [site.op("Pow", made, site.floats(power))]


def _threshold(site: LayerContext) -> list[str]:
    level = site.layer.param("threshold_param").number("threshold", 0.0)
    return [site.op("Cast", site.op("Greater", site.bottom, site.floats(level)), to=1)]


def _clip(site: LayerContext) -> list[str]:
    message = site.layer.param("clip_param")
    if not (message.scalar("min") and message.scalar("max")):
        raise site.layer.error("clip_param must give min and max")
    low = message.number("min", 0.0)
    # Where min is above max Caffe gives min, and ONNX max.
    high = max(low, message.number("max", 0.0))
    return [site.op("Clip", site.bottom, site.floats(low), site.floats(high))]


def _swish(site: LayerContext) -> list[str]:
    """x sigmoid(beta x)."""
    beta = site.layer.param("swish_param").number("beta", 1.0)
    return [site.op("Mul", site.bottom, site.op("Sigmoid", site.scaled(site.bottom, beta)))]


def _selu(site: LayerContext) -> list[str]:
    """lambda x above 0, lambda alpha (e^x - 1) below."""
    message = site.layer.param("selu_param")
    alpha, factor = message.number("alpha", 1.67326324), message.number("lambda", 1.050700987)
    return [site.op("Selu", site.bottom, alpha=alpha, gamma=factor)]


def _hard_sigmoid(site: LayerContext) -> list[str]:
    """alpha x + beta, between 0 and 1."""
    message = site.layer.param("hard_sigmoid_param")
    alpha, beta = message.number("alpha", 0.2), message.number("beta", 0.5)
    return [site.op("HardSigmoid", site.bottom, alpha=alpha, beta=beta)]


def _hard_swish(site: LayerContext) -> list[str]:
    """x / 6, multiplied by x + 3 between 0 and 6."""
    shifted = site.op("Add", site.bottom, site.floats(3.0))
    gate = site.op("Clip", shifted, site.floats(0.0), site.floats(6.0))
    return [site.op("Div", site.op("Mul", site.bottom, gate), site.floats(6.0))]


def _mish(site: LayerContext) -> list[str]:
    """x tanh(log(1 + e^x))."""
    gate = site.op("Tanh", site.op("Softplus", site.bottom))
    return [site.op("Mul", site.bottom, gate)]


def _plain(kind: str) -> Converter:
    """A layer that is one operation of ONNX as it stands."""
    return lambda site: [site.op(kind, site.bottom)]


def _as_it_is(site: LayerContext) -> list[str]:
    """Every top is the bottom: Dropout at test time, Split."""
    return [site.bottom] * len(site.tops)


def _nothing(site: LayerContext) -> list[str]:
    return []


EMITTERS: dict[str, Converter] = {
    "AbsVal": _plain("Abs"),
    "BNLL": _plain("Softplus"),
    "Clip": _clip,
    "Dropout": _as_it_is,
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
