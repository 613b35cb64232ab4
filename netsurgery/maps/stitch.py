"""A finer map of any net, by shift and stitch.

The net is run over the input without its first rows and columns, for each move by less than its
total stride, and the cells of these maps are put between each other. Every cell is what the net
says of the picture that begins there, padding included. Where a prototxt can say it,
`surgery.dense` writes a net that gives such a map in one run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from netsurgery.errors import NetError, NetsurgeryError
from netsurgery.io.memory import empty
from netsurgery.io.wording import counted
from netsurgery.maps.map_source import MapSource
from netsurgery.maps.row_blocks import map_memory
from netsurgery.net.cost import NUMBER_BYTES
from netsurgery.net.finer import cells_for_one, check_finer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

__all__ = ["Stitch"]

Size = tuple[int, int]


class _Move(NamedTuple):
    """One run: over the input from `start` on, of `size` pixels.

    cells: where its map's cells lie in the finer map, (rows, columns).
    """

    start: Size
    size: Size
    cells: tuple[slice, slice]


@dataclass(frozen=True)
class Stitch:
    """How an input gets a map with a cell every `stride` pixels.

    steps: moves along height and width. shape: rows and columns of the finer map, as many as all
    moves have cells for.
    """

    size: Size
    stride: int
    steps: Size
    shape: Size

    @classmethod
    def of(cls, source: MapSource, size: Size, stride: int) -> Stitch:
        """That of the source's map of an input of `size`.

        Raises NetError where the map's stride is not known, or cannot become this one.
        """
        cells, path = source.cells(size), source.net.prototxt.path
        if cells is None:
            raise NetError(f"{path}: the total stride of blob {source.blob!r} is not known")
        check_finer(path, source.blob, cells.stride, stride)
        steps = cells_for_one(cells.stride, stride)
        rows, columns = (_fewest(source, size, stride, steps[axis], axis) for axis in range(2))
        return cls(size, stride, steps, (rows, columns))

    @property
    def moves(self) -> Iterator[_Move]:
        """The runs, the first over the whole input, without those that give no cell."""
        for row in range(min(self.steps[0], self.shape[0])):
            for column in range(min(self.steps[1], self.shape[1])):
                top, left = row * self.stride, column * self.stride
                cells = slice(row, None, self.steps[0]), slice(column, None, self.steps[1])
                yield _Move((top, left), (self.size[0] - top, self.size[1] - left), cells)

    def memory(self, source: MapSource, size: Size) -> int:
        """Bytes of the input, a part of it, the finer map, and what is worked out of that.

        size: of a move, or of a smaller input in the place of this one, which takes its share.
        """
        shape = (source.classes or 0, *self.shape)
        whole = 2 * source.input_memory(self.size) + NUMBER_BYTES * prod(shape) + map_memory(shape)
        sides = [side + self.stride * step for side, step in zip(size, self.steps, strict=True)]
        return int(whole * min(1, prod(sides) / prod(self.size)))

    def run(self, data: Array, run: Callable[[Size, Array], Array], blob: str) -> Array:
        """The finer map of an input, 1 x C x rows x columns.

        run: gives the map of what is left of the input from a row and column on.
        """
        whole: Array | None = None
        for move in self.moves:
            top, left = move.start
            values = run(move.start, np.ascontiguousarray(data[:, :, top:, left:]))
            if whole is None:
                shape = (*values.shape[:2], *self.shape)
                whole = empty(shape, np.float32, f"the map of blob {blob!r}")
            part = whole[:, :, move.cells[0], move.cells[1]]
            part[...] = values[:, :, : part.shape[2], : part.shape[3]]
            del values  # before there are those of the next
        assert whole is not None
        return whole

    @property
    def note(self) -> str:
        """How the net was run, in a line."""
        count = sum(1 for _ in self.moves)
        return (
            f"the net was run {counted(count, 'time')}, over the picture moved by multiples of "
            f"{counted(self.stride, 'pixel')}; a net that `netsurgery dense` writes takes one run"
        )


def _fewest(source: MapSource, size: Size, stride: int, steps: int, axis: int) -> int:
    """Rows (axis 0) or columns up to the first that a move has no cell for."""
    return min(_cells(source, size, step * stride, axis) * steps + step for step in range(steps))


def _cells(source: MapSource, size: Size, moved: int, axis: int) -> int:
    """How many rows or columns the map has of the input without its first `moved`."""
    left = [size[0], size[1]]
    left[axis] -= moved
    try:
        shape = source.map_shape(source.blob, (left[0], left[1])) if left[axis] > 0 else ()
    except NetsurgeryError:
        # Too small for the net: that of the whole input is refused with more words.
        shape = ()
    return shape[1 + axis] if len(shape) == 3 else 0
