"""A weight transposed, or its columns picked and put into another order, without computing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from netsurgery.formats.caffemodel_new import Chunks
from netsurgery.formats.weights import WeightsBlob
from netsurgery.io.memory import Claim
from netsurgery.net.order import Order, places

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Columns = NDArray[np.int64]

__all__ = ["gathered", "taken", "to_natural", "to_order", "transposed"]

#: Bytes of a piece; a single row may take more.
_AT_ONCE = 4 << 20


def to_natural(order: Order, first: int = 0) -> Columns:
    """Which column goes where, so that columns in `order` come to lie channel by channel.

    first: where they begin. Element j is the column that goes to place j.
    """
    import numpy as np

    # The argsort of a permutation is its inverse.
    return first + np.argsort(places(order))


def to_order(source: Order, target: Order) -> Columns:
    """The same for columns in the order `source` that shall lie in the order `target`."""
    # First into C, H, W, from there into the target's order.
    return to_natural(source)[places(target)]


def taken(weight: NDArray[np.float32], columns: Columns, *, turned: bool) -> NDArray[np.float32]:
    """The columns of a weight of two axes, kept K x O where `turned`: outputs x columns."""
    return (weight.T if turned else weight)[:, columns]


def gathered(
    blob: WeightsBlob,
    matrix: tuple[int, int],
    columns: Callable[[], Columns],
    *,
    turned: tuple[bool, bool] = (False, False),
) -> Chunks:
    """The columns of a weight, seen as `matrix` as it is stored, a few rows at a time.

    turned: whether the weight is kept inputs x outputs, and whether the result shall be.
    """

    def chunks() -> Iterator[memoryview]:
        import numpy as np

        # Asked here, so that a plan of many layers holds no index arrays.
        picked, values = columns(), blob.numpy().reshape(matrix)
        weight = values.T if turned[0] else values
        outputs = matrix[1] if turned[0] else matrix[0]
        # Pieces run along the axis that the result is written in.
        across = outputs if turned[1] else len(picked)
        step = max(1, _AT_ONCE // (4 * max(across, 1)))
        with _pieces_of(blob, across, len(picked)):
            for start in range(0, len(picked) if turned[1] else outputs, step):
                if turned[1]:
                    some = weight[:, picked[start : start + step]].T
                else:
                    some = weight[start : start + step][:, picked]
                yield np.ascontiguousarray(some, dtype="<f4").data.cast("B")

    return chunks


def transposed(blob: WeightsBlob, matrix: tuple[int, int]) -> Chunks:
    """The blob, seen as rows x columns, as columns x rows, a few rows at a time."""
    rows, columns = matrix
    step = max(1, _AT_ONCE // (4 * max(rows, 1)))

    def chunks() -> Iterator[memoryview]:
        import numpy as np

        values = blob.numpy().reshape(rows, columns)
        with _pieces_of(blob, rows):
            for start in range(0, columns, step):
                yield np.ascontiguousarray(values[:, start : start + step].T).data.cast("B")

    return chunks


def _pieces_of(blob: WeightsBlob, row: int, picked: int = 0) -> Claim:
    """What a piece takes, of one row at least, and the columns that are picked."""
    what = f"{blob.reader.path}: rearranging {blob.where}"
    # 24: where the columns lie, the argsort of that and the result, each int64.
    return Claim(3 * max(_AT_ONCE, 4 * row) + 24 * picked, what)
