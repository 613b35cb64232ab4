"""What is made of pictures before their turn: the net's inputs, and what it gives of them.

A run of the net has all threads work at each layer and wait for one another, and for the one whose
core reads the next picture meanwhile. Of many pictures of one size it is faster for each thread to
run the net on a picture of its own. But how many threads share a matrix product may decide in which
order its numbers are added. So the net is run in the common way until a picture was run in both:
where a single bit differs, nothing is run ahead.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from threading import get_ident
from typing import TYPE_CHECKING, NamedTuple
from weakref import WeakKeyDictionary

from netsurgery.errors import NetsurgeryError
from netsurgery.io.memory import Claim, claim_for

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from netsurgery.maps.image import Picture
    from netsurgery.maps.net_runner import NetRunner
    from netsurgery.maps.transformer import Placement, Transformer

    Array = NDArray[np.float32]
    Forward = Callable[[Array], dict[str, Array]]

__all__ = ["Ahead"]

Size = tuple[int, int]

#: Threads that run the net at once, at most: each has the blobs of a picture in memory.
_MOST = 8
#: Pictures that have to be to come, or where that is not known to have been, for it to be tried:
#: making a second session and running a picture once more take as long as some of them gain.
_WORTH = 32


class _Made(NamedTuple):
    """What was made of a picture: its input, or what the net gave of that."""

    placement: Placement
    data: Array | None
    values: dict[str, Array]


class Ahead:
    """What was made of pictures ahead; threads make it, and the one that runs the net takes it.

    at_once: how many threads run the net at the same time, 1 where they work at each run together.
    """

    def __init__(self, runner: NetRunner, pictures: int | None = None) -> None:
        """pictures: how many are to come, None where that is not known."""
        self.at_once = 1
        self._runner, self._thread = runner, get_ident()
        self._made: WeakKeyDictionary[Picture, _Made] = WeakKeyDictionary()
        self._runs: Counter[Size] = Counter()
        self._try_at = 2 if pictures is not None and pictures > _WORTH else _WORTH
        self._forwards: dict[Size, Forward | None] = {}
        self._has_threads = False

    def make(self, picture: Picture, size: Size, transformer: Transformer) -> None:
        """Make a picture's input, or run the net on it.

        Only at a size at which the net was run over a whole input before: nothing is made that may
        be refused, or cut into tiles. Raises MemoryLimitError.
        """
        is_ahead = get_ident() != self._thread
        self._has_threads |= is_ahead
        if size not in self._runs:
            return
        data, placement = transformer.blob(picture, size)
        values = self._forwarded(data, size) if is_ahead else {}
        if values:
            self._made[picture] = _Made(placement, None, values)
            return
        claim = Claim(data.nbytes, f"{picture.shown}: the input made of it")
        self._made[picture] = _Made(placement, claim_for(data, claim), {})

    def _forwarded(self, data: Array, size: Size) -> dict[str, Array]:
        """What the net gives; none where it is to be run in its turn, which says what is wrong."""
        forward = self._forwards.get(size)
        if forward is None:
            return {}
        try:
            values = forward(data)
            for blob, array in values.items():
                claim_for(array, Claim(array.nbytes, f"the blob {blob} of a picture"))
        except (NetsurgeryError, MemoryError):
            self._forwards[size] = None
            return {}
        return values

    def blobs(
        self, picture: Picture, size: Size, names: Sequence[str]
    ) -> tuple[dict[str, Array], Placement] | None:
        """The blobs `names` at an input of `size`; None where the net is to be run for them."""
        self._thread = get_ident()
        ready = self._made.get(picture)
        if ready is None or ready.placement.input != size:
            return None
        if ready.data is not None:  # made before others were run ahead
            ready = ready._replace(values=self._forwarded(ready.data, size))
        if list(ready.values) != list(names):
            return None
        del self._made[picture]
        return ready.values, ready.placement

    def input(self, picture: Picture, size: Size) -> tuple[Array, Placement] | None:
        """A picture's input, of which a whole run is to come; None where it is not made yet."""
        self._runs[size] += 1
        ready = self._made.pop(picture, None)
        if ready is None or ready.data is None or ready.placement.input != size:
            return None
        return ready.data, ready.placement

    def ran(self, size: Size, data: Array, values: Mapping[str, Array]) -> None:
        """The net gave `values`: have threads run it by themselves, where that gives the same."""
        is_due = self._runs[size] >= self._try_at and size not in self._forwards
        if not (is_due and self._has_threads):
            return
        self._forwards[size] = None
        with suppress(NetsurgeryError, MemoryError):
            count, forward = self._runner.at_once(list(values), _MOST)
            if count > 1 and _are_same(values, forward(data)):
                self._forwards[size], self.at_once = forward, max(self.at_once, count)


def _are_same(values: Mapping[str, Array], again: Mapping[str, Array]) -> bool:
    """Whether no bit differs."""
    return all(array.tobytes() == again[name].tobytes() for name, array in values.items())
