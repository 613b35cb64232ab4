"""Which positions of a kernel remain when it becomes smaller, and where the new one then lies.

Positions at equal distances can stand in a prototxt: the distance is a dilation. Of the kernels of
k positions n remain, every s-th, s as large as fits; they lie in the middle of the old kernel. What
the padding cannot make up for moves the map: it gets cells before its old first one.
"""

from __future__ import annotations

from typing import NamedTuple

from netsurgery.io.wording import listed
from netsurgery.net.windows import Window

__all__ = ["Decimation", "decimation", "numbers_text"]


class Decimation(NamedTuple):
    """positions: those of the kernel that remain, of rows and of columns. window: the new one.

    moved: how many rows and columns of cells the new map has before the old first cell.
    """

    positions: tuple[range, range]
    window: Window
    moved: tuple[int, int]


class _AxisPositions(NamedTuple):
    positions: range
    pad: int
    dilation: int
    moved: int


def decimation(old: Window, kernel: tuple[int, int]) -> Decimation:
    """`old` with a kernel of `kernel` of its positions, at most as many as it has.

    DeepLab's fc6, and its dilation:

    >>> fc6 = Window((7, 7), (1, 1), (0, 0), (1, 1))
    >>> positions, window, moved = decimation(fc6, (3, 3))
    >>> [list(each) for each in positions], window.dilation, window.pad, moved
    ([[0, 3, 6], [0, 3, 6]], (3, 3), (0, 0), (0, 0))
    """
    rows, columns = (
        _axis(size, count, stride, pad, dilation)
        for size, stride, pad, dilation, count in zip(*old, kernel, strict=True)
    )
    window = Window(kernel, old.stride, (rows.pad, columns.pad), (rows.dilation, columns.dilation))
    return Decimation((rows.positions, columns.positions), window, (rows.moved, columns.moved))


def _axis(size: int, count: int, stride: int, pad: int, dilation: int) -> _AxisPositions:
    step = (size - 1) // (count - 1) if count > 1 else 1
    first = (size - 1 - step * (count - 1)) // 2
    # Cells are a stride apart: each old one is there if the map moves by whole ones.
    while max(0, first * dilation - pad) % stride:
        first -= 1
    before = first * dilation
    return _AxisPositions(
        range(first, first + step * (count - 1) + 1, step),
        max(0, pad - before),
        dilation * step,
        max(0, before - pad) // stride,
    )


def numbers_text(numbers: range) -> str:
    """Equally spaced numbers in words.

    >>> numbers_text(range(0, 7, 3)), numbers_text(range(0, 4096, 4)), numbers_text(range(2, 4))
    ('0, 3 and 6', '0, 4, ... and 4092', '2 and 3')
    """
    words = [str(number) for number in (numbers if len(numbers) < 8 else numbers[:2])]
    words += ["...", str(numbers[-1])] if len(numbers) >= 8 else []
    return listed(words, "and")
