"""Caffe's fillers: the distributions that a prototxt names for params before training.

The rules are Caffe 1.0's (include/caffe/filler.hpp), the random numbers are not: they come from
numpy's PCG64, one stream for each param, so that a seed gives the same params everywhere and a
layer's own do not change when another is added.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from netsurgery.formats.textformat import Message
from netsurgery.io.memory import Claim
from netsurgery.io.shape_text import shape_text
from netsurgery.io.wording import counted
from netsurgery.net.net import Layer, Shape

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["FILLERS", "VARIANCE_NORMS", "Filler", "fill", "read_filler", "stream_key", "why_not"]

#: The filler types of Caffe 1.0.
FILLERS = ("bilinear", "constant", "gaussian", "msra", "positive_unitball", "uniform", "xavier")

VARIANCE_NORMS = ("FAN_IN", "FAN_OUT", "AVERAGE")
#: Values in a piece. A part of what a seed means: a sparse filler draws normal and uniform
#: numbers by turns, piece by piece.
_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class Filler:
    """A FillerParameter, with Caffe's defaults.

    value: of constant. min, max: of uniform. mean, std: of gaussian. sparse: of gaussian, how
    many weights an output should keep on the average, -1 for all. variance_norm: of xavier and
    msra, "FAN_IN", "FAN_OUT" or "AVERAGE".
    """

    type: str = "constant"
    value: float = 0.0
    min: float = 0.0
    max: float = 1.0
    mean: float = 0.0
    std: float = 1.0
    sparse: int = -1
    variance_norm: str = "FAN_IN"


def read_filler(message: Message | None, default: Filler) -> Filler:
    """The filler of `message` (``weight_filler { ... }``); `default` where there is none.

    Raises PrototxtError for a field that is not a number, or a variance_norm unknown to Caffe.
    """
    if message is None:
        return default
    norm = message.word("variance_norm", "FAN_IN")
    # Text format takes an enum's number for its word.
    norm = dict(zip("012", VARIANCE_NORMS, strict=True)).get(norm, norm)
    if norm not in VARIANCE_NORMS:
        raise message.error(f"found variance_norm {norm}, expected {', '.join(VARIANCE_NORMS)}")
    return Filler(
        type=message.string("type", "constant"),
        value=message.number("value", 0.0),
        min=message.number("min", 0.0),
        max=message.number("max", 1.0),
        mean=message.number("mean", 0.0),
        std=message.number("std", 1.0),
        sparse=message.integer("sparse", -1, -(2**31)),
        variance_norm=norm,
    )


def why_not(filler: Filler, shape: Shape) -> str:
    """Why `filler` cannot fill a blob of `shape`, as Caffe would abort over it; "" if it can."""
    if filler.type not in FILLERS:
        return f"filler type {filler.type!r} is none of Caffe 1.0's: {', '.join(FILLERS)}"
    if filler.sparse != -1 and filler.type != "gaussian":
        return f"sparse belongs to the filler gaussian, not to {filler.type}"
    # Caffe draws a mask of this probability, and aborts where it is above 1 (math_functions.cpp).
    if filler.sparse < -1 or (filler.sparse >= 0 and filler.sparse > shape[0]):
        return (
            f"sparse: {filler.sparse} of {counted(shape[0], 'output')}; expected -1 to {shape[0]}"
        )
    if filler.type == "uniform" and not filler.min <= filler.max:
        return f"uniform from {filler.min:g} to {filler.max:g}; expected min <= max"
    if filler.type == "gaussian" and not filler.std > 0:
        return f"gaussian with std {filler.std:g}; expected more than 0"
    if filler.type == "bilinear" and (len(shape) != 4 or shape[2] != shape[3]):
        return f"bilinear fills square filters; the blob is {shape_text(shape)}"
    numbers = (filler.value, filler.min, filler.max, filler.mean, filler.std)
    # Just below the largest float32; NaN is not below it either.
    if not all(abs(number) < 3.4e38 for number in numbers):
        return "a filler's number is not a finite float32"
    return ""


def stream_key(layer: Layer, index: int) -> str:
    """What names the stream of random numbers of a param: the same for all layers that share it."""
    # A part of what a seed means: another spelling would be another stream, and other numbers.
    names = layer.param_names
    shared = names[index] if index < len(names) else ""
    return f"shared {shared}" if shared else f"layer {layer.name}, param {index}"


def fill(filler: Filler, shape: Shape, seed: int, key: str) -> Iterator[NDArray[np.float32]]:
    """The values of a blob of `shape`, float32, row-major, in pieces of 1 M values at most.

    seed: the user's. key: what names the param, so that each has a stream of its own. The pieces
    of a positive_unitball are whole rows. `why_not` has to have nothing against it.
    """
    import numpy as np

    random = np.random.Generator(np.random.PCG64(_entropy(seed, key)))
    count = math.prod(shape)
    if filler.type == "positive_unitball":
        row = max(_AT_ONCE, math.prod(shape[1:]))
        with Claim(24 * row, f"{key}: a row of {counted(math.prod(shape[1:]), 'value')}"):
            yield from _unit_rows(random, shape)
    elif filler.type == "bilinear":
        from netsurgery.surgery.edit.filters import bilinear

        with Claim(24 * shape[2] ** 2, f"{key}: a filter of {shape_text((shape[2], shape[2]))}"):
            plane = bilinear(shape[2]).astype(np.float32).ravel()
            for _ in range(shape[0] * shape[1]):
                yield plane
    else:
        for start in range(0, count, _AT_ONCE):
            yield _piece(random, filler, shape, min(_AT_ONCE, count - start)).astype(np.float32)


def _entropy(seed: int, key: str) -> list[int]:
    # Not hash(), which differs from process to process: a seed gives the same params everywhere.
    digest = hashlib.sha256(f"{seed}\0{key}".encode("utf-8", "surrogateescape")).digest()
    return [int.from_bytes(digest[i : i + 4], "little") for i in range(0, 32, 4)]


def _piece(
    random: np.random.Generator, filler: Filler, shape: Shape, count: int
) -> NDArray[np.float64]:
    import numpy as np

    if filler.type == "constant":
        return np.full(count, filler.value)
    if filler.type == "uniform":
        return random.uniform(filler.min, filler.max, count)
    if filler.type == "xavier":
        # Uniform numbers of [-a, a] have the variance a^2 / 3.
        limit = math.sqrt(3 / _fan(filler, shape))
        return random.uniform(-limit, limit, count)
    if filler.type == "msra":
        return random.normal(0.0, math.sqrt(2 / _fan(filler, shape)), count)
    values = random.normal(filler.mean, filler.std, count)
    if filler.sparse >= 0:
        # Each weight is kept with this probability, whatever becomes of the others.
        values *= random.random(count) < filler.sparse / shape[0]
    return values


def _fan(filler: Filler, shape: Shape) -> float:
    """The variance's divisor, from the blob's shape alone, as Caffe computes it.

    Glorot and Bengio 2010 (xavier) and He et al. 2015 (msra) count the inputs and outputs of a
    unit; Caffe takes count / axis 0 and count / axis 1, also where the weight is kept K x O.
    """
    count = math.prod(shape)
    fan_in = count / shape[0]
    # Caffe's channels() of a blob of one axis is 1.
    fan_out = count / shape[1] if len(shape) > 1 else float(count)
    both = {"FAN_IN": fan_in, "FAN_OUT": fan_out, "AVERAGE": (fan_in + fan_out) / 2}
    return both[filler.variance_norm]


def _unit_rows(random: np.random.Generator, shape: Shape) -> Iterator[NDArray[np.float32]]:
    """Uniform in [0, 1), each row of axis 0 divided by its sum."""
    import numpy as np

    width = max(1, math.prod(shape[1:]))
    step = max(1, _AT_ONCE // width)
    for start in range(0, shape[0], step):
        rows = random.random((min(step, shape[0] - start), width))
        yield (rows / rows.sum(axis=1, keepdims=True)).astype(np.float32).ravel()
