"""What is open until it is closed, and can stand in a ``with``; and threads that share it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    import threading

    from typing_extensions import Self

__all__ = ["Closeable", "in_turn"]

T = TypeVar("T", bound=Callable[..., Any])


class Closeable(Protocol):
    """Something with a `close`, which leaving the ``with`` calls."""

    def close(self) -> None:
        """Release what is held. May be called again."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class _TakesTurns(Protocol):
    """What `in_turn` needs: a lock that a thread may take again."""

    turn: threading.RLock


def in_turn(method: T) -> T:
    """Decorate a method that one thread at a time may be in, of all that are decorated.

    A net is reshaped, run and read in three steps: another thread's input would come between.
    """

    @functools.wraps(method)
    def waiting(self: _TakesTurns, *args: Any, **kwargs: Any) -> Any:
        with self.turn:
            return method(self, *args, **kwargs)

    return waiting  # type: ignore[return-value]
