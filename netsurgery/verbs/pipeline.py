"""Work on many pictures in three stages that overlap: prepare, run, finish.

A picture is prepared in a thread, ahead of its turn; run by the caller's thread, which alone uses
the net; and finished in another thread, while the net runs on the next. Results come in order. Of
how many pictures there is something in memory at once is fixed, and what memory does not suffice
for beside others, or beside what runs the net, is done again alone, so that no picture's result
depends on the others, and what took hours to run is not lost because it cannot be drawn.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Generic, TypeVar

from netsurgery.errors import MemoryLimitError, NetsurgeryError
from netsurgery.io.memory import without_frames

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

__all__ = ["AHEAD", "Pipeline"]

PipeItem = TypeVar("PipeItem")
Ready = TypeVar("Ready")
Ran = TypeVar("Ran")
PipeResult = TypeVar("PipeResult")
From = TypeVar("From")
To = TypeVar("To")

#: Threads of each of the outer stages; the net has as many of its own as there are cores.
_THREADS = min(4, max(1, (os.cpu_count() or 1) // 2))
#: Pictures that are prepared ahead of the one that is run, and that are finished behind it.
AHEAD = _THREADS + 1


@dataclass(eq=False)
class _Waiting(Generic[PipeItem, Ready]):
    """An item that is to be run; `future` has it prepared, where that is done ahead.

    error: what was raised in its place, by whoever gives the items.
    """

    item: PipeItem | None
    kept: bool
    future: Future[Ready] | None = None
    error: Exception | None = None


@dataclass(eq=False)
class _Behind(Generic[PipeItem, Ran, PipeResult]):
    """An item that was run, or failed; `future` has it finished, where a thread does that."""

    item: PipeItem | None
    ran: Ran | None = None
    error: Exception | None = None
    future: Future[PipeResult] | None = None


@dataclass(eq=False)
class Pipeline(Generic[PipeItem, Ready, Ran, PipeResult]):
    """The stages; `results` takes items through them.

    prepare, finish: called in threads; finish in the caller's where it is not worth_a_thread. run:
    called with whether nothing of other items is in memory. failed: the result of an item, from the
    NetsurgeryError that a stage has raised; it may raise. is_kept: whether an item stays as it is
    and can be prepared again. One that does not is worked on alone, and nothing behind it is asked
    for before its result has been taken. make_room: called in the caller's thread before an item is
    finished again that lacked memory. ahead: how many items are prepared ahead at most.
    at_once: how many are worth preparing at the same time by now; there are some threads anyway.
    """

    prepare: Callable[[PipeItem], Ready]
    run: Callable[[Ready, bool], Ran]
    finish: Callable[[Ran], PipeResult]
    failed: Callable[[PipeItem, NetsurgeryError], PipeResult]
    is_kept: Callable[[PipeItem], bool]
    worth_a_thread: bool = True
    make_room: Callable[[], None] = lambda: None
    ahead: int = AHEAD
    at_once: Callable[[], int] = lambda: 1
    _width: int = field(default=_THREADS, init=False)
    _waiting: deque[_Waiting[PipeItem, Ready]] = field(default_factory=deque, init=False)
    _behind: deque[_Behind[PipeItem, Ran, PipeResult]] = field(default_factory=deque, init=False)
    _opened: ExitStack = field(default_factory=ExitStack, init=False)

    def results(self, items: Iterable[PipeItem]) -> Generator[PipeResult, None, None]:
        """A result for each item, in order, made as they are asked for.

        Of `items`, at most `ahead` are asked for behind the one that is run. Closing it waits for
        what threads are at, and drops the rest.
        """
        source = iter(items)
        with self._opened:
            for queue in (self._waiting, self._behind):
                self._opened.callback(queue.clear)  # an error that is kept holds this frame
            while self._read_ahead(source):
                yield from self._results(self._is_due)
                yield from self._through(self._waiting.popleft())
            yield from self._results(lambda: True)

    def _widen(self) -> None:
        """Prepare as many items at once as may be by now, where any are prepared ahead."""
        count = self.at_once()
        if self.ahead and count > self._width:
            self._width, self.ahead = count, max(self.ahead, count + 1)
            self._ahead_pool = self._pool(count)

    def _read_ahead(self, source: Iterator[PipeItem]) -> bool:
        """Have the next items prepared; whether there are any."""
        self._widen()
        waiting = self._waiting
        while not waiting or (len(waiting) <= self.ahead and waiting[-1].kept):
            busy = bool(waiting or self._behind)  # else there is nothing to do meanwhile
            try:
                item = next(source)
                entry: _Waiting[PipeItem, Ready] = _Waiting(item, self.is_kept(item))
            except StopIteration:
                break
            except Exception as error:
                waiting.append(_Waiting(None, kept=False, error=error))
                break
            if busy and entry.kept and self.ahead:
                entry.future = _submitted(self._ahead_pool, self.prepare, item)
            waiting.append(entry)
        return bool(waiting)

    def _through(self, entry: _Waiting[PipeItem, Ready]) -> Iterator[PipeResult]:
        """Run an item and begin to finish it, and give what results must come before that."""
        if not entry.kept:
            yield from self._results(lambda: True)
        behind = self._ran(entry, alone=not self._is_anything_else())
        if behind is None:
            entry.future = None
            yield from self._results(lambda: True)
            self._drop_prepared()
            self.ahead = 0  # the next would lack memory, too
            behind = self._ran(entry, alone=True)
        assert behind is not None
        if self.worth_a_thread and self._waiting and behind.ran is not None:
            behind.future = _submitted(self._behind_pool, self.finish, behind.ran)
        self._behind.append(behind)
        del behind
        if not self.worth_a_thread or not entry.kept:
            yield from self._results(lambda: True)

    def _ran(
        self, entry: _Waiting[PipeItem, Ready], *, alone: bool
    ) -> _Behind[PipeItem, Ran, PipeResult] | None:
        """The item as it was run, or failed; None where others are in its way."""
        if entry.item is None:
            return _Behind(None, error=entry.error)
        try:
            ready = self.prepare(entry.item) if entry.future is None else entry.future.result()
            entry.future = None
            return _Behind(entry.item, self.run(ready, alone))
        except Exception as error:
            if not alone and _lacks_memory(error):
                return None
            return _Behind(entry.item, error=without_frames(error))

    def _is_anything_else(self) -> bool:
        """Whether there is something of other items in memory."""
        return bool(self._behind) or any(entry.future is not None for entry in self._waiting)

    def _drop_prepared(self) -> None:
        """Forget what was made of the items that wait; it is made again in their turn."""
        for entry in self._waiting:
            if entry.future is not None and not entry.future.cancel():
                entry.future.exception()  # waits for it
            entry.future = None

    def _is_due(self) -> bool:
        """Whether the first result behind is to be given before the next item is run."""
        first, coming = self._behind[0].future, self._waiting[0].future
        done = first is None or first.done()
        return done or len(self._behind) >= AHEAD or (coming is not None and not coming.done())

    def _results(self, is_due: Callable[[], bool]) -> Iterator[PipeResult]:
        while self._behind and is_due():
            yield self._result(self._behind.popleft())

    def _result(self, entry: _Behind[PipeItem, Ran, PipeResult]) -> PipeResult:
        if entry.ran is not None:
            try:
                return self.finish(entry.ran) if entry.future is None else entry.future.result()
            except NetsurgeryError as error:
                entry.error = without_frames(error)
            if _lacks_memory(entry.error):
                self._wait_for_others()
                self.make_room()
                try:
                    return self.finish(entry.ran)
                except NetsurgeryError as error:
                    entry.error = without_frames(error)
        assert entry.error is not None
        if entry.item is None or not isinstance(entry.error, NetsurgeryError):
            raise entry.error
        return self.failed(entry.item, entry.error)

    def _wait_for_others(self) -> None:
        """Wait until nothing else is done, and forget what may be."""
        for entry in self._behind:
            if entry.future is not None:
                entry.future.exception()
        self._drop_prepared()

    @cached_property
    def _ahead_pool(self) -> Executor:
        return self._pool(self._width)

    @cached_property
    def _behind_pool(self) -> Executor:
        return self._pool(_THREADS)

    def _pool(self, threads: int) -> Executor:
        from concurrent.futures import ThreadPoolExecutor

        pool = ThreadPoolExecutor(threads)
        self._opened.callback(pool.shutdown, cancel_futures=True)
        return pool


def _submitted(pool: Executor, work: Callable[[From], To], item: From) -> Future[To] | None:
    """What a thread makes of an item; None where the system has no thread for it."""
    try:
        return pool.submit(work, item)
    except RuntimeError:
        return None


def _lacks_memory(error: Exception) -> bool:
    return isinstance(error, MemoryLimitError) or isinstance(error.__cause__, MemoryError)
