"""The numbers of a param blob summed up, and of two compared, a piece at a time.

Memory does not grow with the blob, but for HDF5 that is compressed. Sums are taken in float64.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from netsurgery.formats.blob import StoredBlob
from netsurgery.formats.weights import WeightsBlob
from netsurgery.io.wording import counted
from netsurgery.surgery.columns import transposed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float32]

__all__ = ["BlobDistance", "BlobStatistics", "array_statistics", "distance", "statistics"]

#: Bytes of a file read at once: a million float32.
_AT_ONCE = 4 << 20


@dataclass(frozen=True)
class BlobStatistics:
    """Of one blob: minimum, maximum, mean and standard deviation of its finite numbers.

    They are NaN where there is no finite number. std is that of the whole, sum / n. zeros counts
    negative zeros too; bytes are those of the numbers in a caffemodel, of float32 in HDF5.
    """

    count: int
    min: float
    max: float
    mean: float
    std: float
    zeros: int
    nans: int
    infs: int
    bytes: int

    def to_json(self) -> dict[str, float | None]:
        """The numbers by their names; None for what is not finite."""
        return {key: value if math.isfinite(value) else None for key, value in vars(self).items()}


@dataclass(frozen=True)
class BlobDistance:
    """How far the numbers of one blob are from those of another, of the same count.

    norm: the Euclidean norm of the difference. max_abs: the largest absolute difference.
    relative: max_abs / the largest absolute value of the first blob; infinite where that is 0.
    unlike: how many numbers differ. All are infinite where a NaN or an infinity meets anything
    else; NaN equals NaN, and -0 equals 0.
    """

    norm: float
    max_abs: float
    relative: float
    unlike: int


def statistics(blob: WeightsBlob) -> BlobStatistics:
    """Sum up the blob's numbers. Raises CaffemodelError where the file has changed since."""
    width = blob.width if isinstance(blob, StoredBlob) else 4
    return _summed(_pieces(blob), blob.count, blob.count * width)


def array_statistics(values: Numbers) -> BlobStatistics:
    """The same of an array, float32."""
    return _summed(iter([values.reshape(-1)]), values.size, values.nbytes)


def _summed(
    pieces: Iterator[NDArray[np.float32] | NDArray[np.float64]], size: int, stored: int
) -> BlobStatistics:
    import numpy as np

    zeros = nans = infs = count = 0
    low, high, mean, squares = math.inf, -math.inf, 0.0, 0.0
    for piece in pieces:
        finite = piece[np.isfinite(piece)]
        missing = int(np.isnan(piece).sum())
        nans += missing
        infs += piece.size - finite.size - missing
        if not finite.size:
            continue
        zeros += finite.size - int(np.count_nonzero(finite))
        low, high = min(low, float(finite.min())), max(high, float(finite.max()))
        # double_data may hold numbers beyond 1e154, whose squares overflow; std is not finite then.
        with np.errstate(over="ignore", invalid="ignore"):
            part = finite.astype(np.float64)
            own = float(part.mean())
            part -= own
            # Two means and two sums of squares joined (Chan, Golub and LeVeque, 1979).
            step, joined = own - mean, count + part.size
            squares += _sum_of_squares(part) + step * step * count * part.size / joined
            mean += step * part.size / joined
        count = joined
    return BlobStatistics(
        count=size,
        min=low if count else math.nan,
        max=high if count else math.nan,
        mean=mean if count else math.nan,
        std=math.sqrt(squares / count) if count else math.nan,
        zeros=zeros,
        nans=nans,
        infs=infs,
        bytes=stored,
    )


def distance(
    first: WeightsBlob, second: WeightsBlob, turned: tuple[bool, bool] = (False, False)
) -> BlobDistance | None:
    """How far apart the numbers are, as Caffe would load them (float32); None where nowhere.

    The shapes may differ, the counts must not. turned: which of them is a weight that is stored
    inputs x outputs; if only one is, its numbers are taken as outputs x inputs. Raises
    CaffemodelError where a file has changed.
    """
    if first.count != second.count:
        raise ValueError(f"{counted(first.count, 'number')} against {second.count}")
    import numpy as np

    squares, most, unlike = 0.0, 0.0, 0
    both = all(turned)
    left, right = (
        _by_outputs(blob) if stored and not both else _singles(blob)
        for blob, stored in zip((first, second), turned, strict=True)
    )
    for a, b in _paired(left, right):
        # A NaN equals nothing, so a piece that holds one is looked at below.
        if (a == b).all():
            continue
        differ = (a != b) & ~(np.isnan(a) & np.isnan(b))
        unlike += int(np.count_nonzero(differ))
        with np.errstate(invalid="ignore"):
            apart = np.abs(a[differ].astype(np.float64) - b[differ])
        # A NaN against a number is an infinite distance: it must not make the norm a NaN.
        apart[np.isnan(apart)] = math.inf
        most = max(most, float(apart.max(initial=0.0)))
        squares += _sum_of_squares(apart)
    if not unlike:
        return None
    # The first blob is read again only where the two differ.
    largest = _largest(first)
    relative = most / largest if largest else math.inf
    return BlobDistance(math.sqrt(squares), most, relative, unlike)


def _sum_of_squares(values: NDArray[np.float64]) -> float:
    import numpy as np

    # Not np.dot: the threads of its BLAS wait busily for each other, which takes longer.
    return float(np.einsum("i,i->", values, values))


def _largest(blob: WeightsBlob) -> float:
    """The largest absolute value of the finite numbers, 0 for none."""
    import numpy as np

    pieces = (np.abs(piece[np.isfinite(piece)]) for piece in _singles(blob))
    return max((float(piece.max(initial=0.0)) for piece in pieces), default=0.0)


def _paired(left: Iterator[Numbers], right: Iterator[Numbers]) -> Iterator[tuple[Numbers, Numbers]]:
    """Pieces of equal length of both, however each is cut."""
    import numpy as np

    a = b = np.empty(0, np.float32)
    while True:
        a = a if a.size else next(left, a)
        b = b if b.size else next(right, b)
        size = min(a.size, b.size)
        # The counts are equal, so both are at their end.
        if not size:
            return
        yield a[:size], b[:size]
        a, b = a[size:], b[size:]


def _by_outputs(blob: WeightsBlob) -> Iterator[Numbers]:
    """The numbers of a weight that is stored inputs x outputs, output by output."""
    import numpy as np

    inputs, outputs = blob.shape[-2:]
    for piece in transposed(blob, (inputs, outputs))():
        yield np.frombuffer(piece, "<f4")


def _singles(blob: WeightsBlob) -> Iterator[Numbers]:
    import numpy as np

    for piece in _pieces(blob):
        with np.errstate(over="ignore"):
            # As Caffe's Blob::FromProto narrows double_data; what is beyond float32 is infinite.
            yield piece.astype(np.float32)


def _pieces(blob: WeightsBlob) -> Iterator[NDArray[np.float32] | NDArray[np.float64]]:
    """The numbers in order, about a million at a time."""
    import numpy as np

    if isinstance(blob, StoredBlob):
        yield from blob._pieces()
    elif blob.packed is None:  # HDF5 in chunks, which its library reads whole
        yield blob.numpy().ravel()
    else:
        offset, length = blob.packed
        for start in range(0, length, _AT_ONCE):
            size = min(_AT_ONCE, length - start)
            raw = blob.reader.source.pread(size, offset + start)
            # pread returns fewer bytes where the file was truncated since.
            if len(raw) < size:
                raise blob.reader.error("has changed since it was opened")
            yield np.frombuffer(raw, "<f4")
