"""Three stages that overlap: results in order, a bound on what is at work, nothing that hangs."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from netsurgery.errors import ImageError, MemoryLimitError, NetError, NetsurgeryError
from netsurgery.verbs import pipeline
from netsurgery.verbs.pipeline import AHEAD, Pipeline

WAIT = 20.0  # seconds, for what has to come

Pipe = Pipeline[Any, Any, Any, Any]


def same(item: Any) -> Any:
    return item


def stages(
    prepare: Callable[[Any], Any] = same,
    run: Callable[[Any, bool], Any] = lambda item, alone: item,
    finish: Callable[[Any], Any] = same,
    is_kept: Callable[[Any], bool] = lambda item: True,
    **options: Any,
) -> Pipe:
    """Failures are results: the item, and the error's text."""
    return Pipeline(
        prepare, run, finish, lambda item, error: (item, str(error)), is_kept, **options
    )


def lacking() -> MemoryLimitError:
    return MemoryLimitError("too large", what="it", needed=2, allowed=1, left=1)


def threads() -> int:
    return threading.active_count()


@pytest.fixture(autouse=True)
def no_threads_stay() -> Iterator[None]:
    before = threads()
    yield
    assert threads() == before


def test_results_are_in_order_whatever_takes_how_long() -> None:
    gates = [threading.Event() for _ in range(30)]

    def finish(item: int) -> int:
        # An even one waits for the next, where there is a thread for that.
        if item % 2 == 0 and pipeline._THREADS > 1:
            assert gates[item + 1].wait(WAIT)
        gates[item].set()
        return item * 10

    assert list(stages(finish=finish).results(range(30))) == [item * 10 for item in range(30)]


def test_the_next_is_prepared_and_the_last_finished_while_one_is_run() -> None:
    prepared, finished = threading.Event(), threading.Event()
    running = threading.Event()

    def prepare(item: int) -> int:
        if item == 2:
            assert running.wait(WAIT)
            prepared.set()
        return item

    def finish(item: int) -> int:
        if item == 0:
            assert running.wait(WAIT)
            finished.set()
        return item

    def run(item: int, alone: bool) -> int:
        if item == 1:
            running.set()
            assert prepared.wait(WAIT)
            assert finished.wait(WAIT)
        return item

    assert list(stages(prepare, run, finish).results(range(3))) == [0, 1, 2]


def test_the_caller_alone_runs() -> None:
    where: set[int] = set()

    def run(item: int, alone: bool) -> int:
        where.add(threading.get_ident())
        return item

    list(stages(run=run).results(range(10)))
    assert where == {threading.get_ident()}


def test_one_item_needs_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> Any:
        raise AssertionError("a thread was asked for")

    monkeypatch.setattr(Pipeline, "_pool", refuse)
    assert list(stages().results([7])) == [7]


@pytest.mark.parametrize("worth_a_thread", [True, False])
def test_what_is_at_work_at_once_is_bounded(worth_a_thread: bool) -> None:
    lock, inside, most = threading.Lock(), 0, 0

    def prepare(item: int) -> int:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        return item

    for _ in stages(prepare, worth_a_thread=worth_a_thread).results(range(50)):
        with lock:
            inside -= 1
    # Those ahead, the one that is run, and those behind it.
    assert 1 < most <= 2 * AHEAD + 1


def counted(items: Iterable[Any], asked: list[Any]) -> Iterator[Any]:
    for item in items:
        asked.append(item)
        yield item


def test_items_are_asked_for_no_further_than_the_bound() -> None:
    asked: list[int] = []
    results = stages(worth_a_thread=False).results(counted(range(50), asked))
    assert asked == []
    for number in range(20):
        assert next(results) == number
        assert len(asked) <= number + 1 + AHEAD
    results.close()


def test_what_does_not_stay_is_worked_on_alone() -> None:
    """A buffer that is filled again, a pipe: the next is asked for when the result is taken."""
    asked: list[str] = []
    alone_at: dict[str, bool] = {}

    def run(item: str, alone: bool) -> str:
        alone_at[item] = alone
        return item

    results = stages(run=run, is_kept=str.isupper).results(counted("AbCd", asked))
    assert next(results) == "A"
    assert asked == ["A", "b"]
    assert next(results) == "b"
    assert asked == ["A", "b"]
    assert list(results) == ["C", "d"]
    assert (alone_at["b"], alone_at["d"]) == (True, True)


def test_errors_of_every_stage_are_results_in_their_places() -> None:
    def failing(at: int) -> Callable[..., Any]:
        def stage(item: int, *_: Any) -> int:
            if item == at:
                raise ImageError(f"stage {at}")
            return item

        return stage

    results = list(stages(failing(2), failing(5), failing(8)).results(range(10)))
    assert results == [0, 1, (2, "stage 2"), 3, 4, (5, "stage 5"), 6, 7, (8, "stage 8"), 9]


@pytest.mark.parametrize("stage", ["prepare", "run", "finish", "source"])
@pytest.mark.parametrize("kind", [ZeroDivisionError, NetError])
def test_what_ends_it_is_raised_behind_the_results_before_it(
    stage: str, kind: type[Exception]
) -> None:
    def failing(item: int, *_: Any) -> int:
        if item == 3:
            raise kind("three")
        return item

    def source() -> Iterator[int]:
        yield from range(3)
        raise kind("three")

    def raised(item: int, error: Exception) -> Any:
        raise error

    options: dict[str, Any] = {} if stage == "source" else {stage: failing}
    pipe = stages(**options)
    pipe.failed = raised
    results = pipe.results(source() if stage == "source" else range(9))
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(kind, match="three"):
        next(results)
    assert list(results) == []


def test_an_error_of_the_source_is_never_a_result() -> None:
    def source() -> Iterator[int]:
        yield 0
        raise NetError("of the source")

    results = stages().results(source())
    assert next(results) == 0
    with pytest.raises(NetError, match="of the source"):
        next(results)


def test_closed_early_it_waits_for_what_is_done_and_drops_the_rest() -> None:
    begun: list[int] = []

    def prepare(item: int) -> int:
        begun.append(item)
        return item

    results = stages(prepare).results(range(100))
    assert next(results) == 0
    results.close()
    assert len(begun) <= 2 * AHEAD + 2


@pytest.mark.parametrize("stage", ["prepare", "run"])
def test_what_lacks_memory_beside_others_is_done_again_alone(stage: str) -> None:
    tries: list[tuple[int, bool]] = []
    drawn = threading.Event()

    def finish(item: int) -> int:
        if item == 0:
            assert drawn.wait(WAIT)  # so that it is still there when 1 is tried
        return item

    def at_first(item: int, alone: bool) -> int:
        tries.append((item, alone))
        if item == 1 and len([each for each, _ in tries if each == 1]) == 1:
            drawn.set()
            raise lacking()
        return item

    def prepare(item: int) -> int:
        return at_first(item, False) if stage == "prepare" else item

    def run(item: int, alone: bool) -> int:
        if stage == "run":
            at_first(item, alone)
        elif item == 1:
            tries.append((item, alone))
        return item

    assert list(stages(prepare, run, finish).results(range(5))) == [0, 1, 2, 3, 4]
    assert tries.count((1, True)) == 1


def test_what_lacks_memory_alone_failed() -> None:
    def run(item: int, alone: bool) -> int:
        if item == 2:
            raise lacking()
        return item

    results = list(stages(run=run).results(range(5)))
    assert results[2] == (2, "too large")
    assert results[:2] + results[3:] == [0, 1, 3, 4]


def test_what_lacks_memory_to_be_finished_is_finished_when_nothing_else_is_done() -> None:
    tries = 0

    def finish(item: int) -> int:
        nonlocal tries
        if item == 1:
            tries += 1
            if tries == 1:
                raise lacking()
        return item

    assert list(stages(finish=finish).results(range(6))) == list(range(6))
    assert tries == 2


def test_without_threads_it_is_done_by_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> Any:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert list(stages().results(range(10))) == list(range(10))


@pytest.mark.parametrize("stage", ["run", "finish", "both"])
def test_an_error_keeps_nothing_of_the_calls_that_it_came_through(stage: str) -> None:
    """As of an item that lacks memory: the next one has that of its arrays."""

    class Large:
        pass

    alive: weakref.WeakSet[Large] = weakref.WeakSet()
    errors: list[NetsurgeryError] = []

    def large() -> Large:
        alive.add(held := Large())
        return held

    def run(item: int, alone: bool) -> Large:
        held = large()
        if item == 1 and stage != "finish":
            raise lacking() from MemoryError("of the system")
        return held

    def finish(ran: Large) -> str:
        if stage != "run":
            raise lacking()
        return "done"

    def failed(item: int, error: NetsurgeryError) -> str:
        errors.append(error)
        return str(error)

    gc.disable()
    try:
        pipe: Pipe = Pipeline(same, run, finish, failed, lambda item: True)
        for _ in pipe.results(range(4)):
            pass
        assert len(errors) == {"run": 1, "finish": 4, "both": 4}[stage]
        assert not alive
    finally:
        gc.enable()


def test_errors_may_be_of_each_other() -> None:
    first, second = lacking(), lacking()
    first.__cause__, second.__cause__ = second, first

    def run(item: int, alone: bool) -> int:
        raise first

    assert list(stages(run=run).results(range(2))) == [(0, "too large"), (1, "too large")]


def test_more_threads_prepare_once_that_is_worth_it() -> None:
    """Three at once, where each waits for two others."""
    together, done = threading.Barrier(3), list[int]()

    def prepare(item: int) -> int:
        if item >= 12:
            together.wait(WAIT)
        return item

    def run(item: int, alone: bool) -> int:
        done.append(item)
        return item

    pipe = stages(prepare, run, at_once=lambda: 3 if done else 1)
    assert list(pipe.results(range(30))) == list(range(30))


def test_nothing_is_prepared_ahead_again_that_lacked_memory() -> None:
    def run(item: int, alone: bool) -> int:
        if item == 3 and not alone:
            raise lacking()
        return item

    pipe = stages(run=run, at_once=lambda: 3)
    assert list(pipe.results(range(9))) == list(range(9))
    assert pipe.ahead == 0


def test_it_is_gone_with_its_results() -> None:
    """What it holds, a net for instance, is not left to the collector of cycles."""
    gc.disable()
    try:
        pipe = stages()
        list(pipe.results(range(5)))
        state = weakref.ref(pipe)
        del pipe
        assert state() is None
    finally:
        gc.enable()
