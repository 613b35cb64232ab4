"""Kept values as whole numbers of a decimal step, and these as compressed text.

A value is shown as the nearest multiple of the step, so what the page says of a map is what the map
says, rounded; no value is off by more than half a step. The step is the finest of 1, 2 or 5 times a
power of ten whose text has at most 1.2 bytes for each value kept, base64 included.

The text is base64 of a zlib stream of five arrays of whole numbers, each as planes of bytes (the
lowest bytes of all its numbers first): the order of each cell's likeliest classes (4 bytes); how
many cells each class is kept of that is not shared (4), and which (4, each as its distance from the
one before, the first of a class from -1); the codes of the shared classes (2), and of the others
(2). Codes are written as differences in zigzag: for a shared class from the code of the cell above,
and of these differences from the one to the left (windows overlap, so its map is smooth); for
another class from the code before. All are modulo 2^16.
"""

from __future__ import annotations

import base64
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from netsurgery.maps.color_scale import finite_range

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from netsurgery.maps.classmap import ClassMap
    from netsurgery.maps.page.selection import Selection

    Codes = NDArray[np.uint16]

__all__ = ["BUDGET", "OVERHEAD", "Coded", "DecimalStep", "encode"]

#: Bytes of text for each value kept, at most; and for the stream itself.
BUDGET, OVERHEAD = 1.2, 1024

#: The finest step has no more multiples between the lowest and the highest value.
_FINEST = 10_000
#: Code 0 is -inf; the one above the highest value's is inf.
_MINUS_INFINITY = 0
_LEVEL = 9


@dataclass(frozen=True)
class DecimalStep:
    """Values as multiples of mantissa x 10^exponent (mantissa 1, 2 or 5), from `low` x step on.

    The code of the multiple m is m - low + 1; `last` is that of the highest value.
    """

    mantissa: int
    exponent: int
    low: int
    last: int

    @classmethod
    def finest(cls, low: float, high: float) -> DecimalStep:
        """The finest for values between `low` and `high`."""
        # Of values all alike, four digits.
        span = max(high - low, abs(low) / 1000, abs(high) / 1000, 1e-36)
        return cls._of(math.ceil(round(math.log10(span / _FINEST), 9)) * 3, low, high)

    @classmethod
    def _of(cls, number: int, low: float, high: float) -> DecimalStep:
        """Steps are numbered by size: 1, 2, 5, 10, 20 ... are 0, 1, 2, 3, 4 ..."""
        mantissa, exponent = (1, 2, 5)[number % 3], number // 3
        step = cls(mantissa, exponent, 0, 0)
        first, last = (int(np.rint(step.multiples(np.float64(v)))) for v in (low, high))
        return cls(mantissa, exponent, first, last - first + 1)

    def coarser(self, bits: float, low: float, high: float) -> DecimalStep:
        """A step with about `bits` fewer bits a value, at least the next one."""
        number = self.exponent * 3 + (1, 2, 5).index(self.mantissa)
        return self._of(number + max(1, round(bits * 3 * math.log10(2))), low, high)

    def multiples(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The values as multiples of the step, not rounded."""
        power = 10.0 ** abs(self.exponent)
        scaled = values * power if self.exponent < 0 else values / power
        return scaled / self.mantissa

    def value(self, code: int) -> float:
        """The value that a code stands for; -inf and inf are those beyond the first and last."""
        if not 1 <= code <= self.last:
            return math.inf if code else -math.inf
        multiple = (code - 1 + self.low) * self.mantissa
        power = float(10 ** abs(self.exponent))
        return multiple / power if self.exponent < 0 else multiple * power

    def codes(self, values: NDArray[np.float32]) -> Codes:
        """The codes of values, none of them NaN."""
        multiples = np.rint(self.multiples(values.astype(np.float64))) - self.low + 1
        np.clip(multiples, 1, self.last, out=multiples)  # a probability may be a bit above 1
        multiples[values == -np.inf] = _MINUS_INFINITY
        multiples[values == np.inf] = self.last + 1
        return multiples.astype(np.uint16)


@dataclass(frozen=True)
class Coded:
    """The text, and the step of the values in it."""

    step: DecimalStep
    text: str


def encode(class_map: ClassMap, selection: Selection) -> Coded:
    """The text of the values kept, at most BUDGET bytes for each and OVERHEAD for all.

    Raises MemoryLimitError.
    """
    low, high = (0.0, 1.0) if class_map.is_probability else finite_range(class_map.values)
    room = BUDGET * selection.size + OVERHEAD
    packer = zlib.compressobj(_LEVEL)
    head = b"".join(map(packer.compress, _where(selection)))
    step = DecimalStep.finest(low, high)
    while True:
        rest = packer.copy()
        body = b"".join(map(rest.compress, _codes(class_map, selection, step)))
        text = base64.b64encode(head + body + rest.flush()).decode("ascii")
        if len(text) <= room or step.last == 1:
            return Coded(step, text)
        step = step.coarser((len(text) - room) * 6 / selection.size, low, high)


def _where(selection: Selection) -> Iterator[bytes]:
    """The order of the likeliest classes, and the places of those kept of some cells."""
    yield from _planes(selection.order.astype(np.uint32))
    yield from _planes(selection.counts.astype(np.uint32))
    steps = np.diff(selection.places, prepend=-1)
    firsts = (np.cumsum(selection.counts) - selection.counts)[selection.counts > 0]
    steps[firsts] = selection.places[firsts] + 1
    yield from _planes(steps.astype(np.uint32))


def _codes(class_map: ClassMap, selection: Selection, step: DecimalStep) -> Iterator[bytes]:
    """The codes of the shared classes, then those of the others."""
    values = class_map.values
    flat = values.reshape(len(values), -1)
    shared = np.empty((selection.shared, *values.shape[1:]), np.int16)
    for plane, number in zip(shared, selection.classes, strict=False):
        plane[:] = step.codes(values[number]).view(np.int16)
    for axis in (1, 2):
        shared = np.diff(shared, axis=axis, prepend=np.int16(0))
    yield from _planes(_zigzag(shared))
    owner = np.repeat(selection.classes[selection.shared :], selection.counts)
    others = step.codes(flat[owner, selection.places]).view(np.int16)
    yield from _planes(_zigzag(np.diff(others, prepend=np.int16(0))))


def _zigzag(steps: NDArray[np.int16]) -> Codes:
    """0, -1, 1, -2, 2 ... as 0, 1, 2, 3, 4 ..."""
    return (steps << 1 ^ steps >> 15).view(np.uint16)


def _planes(numbers: NDArray[Any]) -> Iterator[bytes]:
    """The lowest bytes of all numbers, then the next."""
    width = numbers.dtype.itemsize
    little = numbers.astype(numbers.dtype.newbyteorder("<"), copy=False).reshape(-1)
    yield from np.ascontiguousarray(little.view(np.uint8).reshape(-1, width).T)
