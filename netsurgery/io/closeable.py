"""What is open until it is closed, and can stand in a ``with``."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Closeable"]


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
