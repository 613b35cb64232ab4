"""A training run: step after step, looked at and saved on the way, in a folder.

A run that was killed goes on from its newest snapshot and ends with the same weights and the same
log as one that was not, bit for bit where the engine has one thread. The batch of a step follows
from its number, so do the solver's random numbers, and a snapshot has the rest.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from netsurgery.engines.pycaffe import CaffeNet, PycaffeEngine
from netsurgery.engines.solver import CaffeSolver
from netsurgery.errors import TrainingError
from netsurgery.io.cleanup import Undo
from netsurgery.io.cleanup import step as undisturbed
from netsurgery.io.wording import argument
from netsurgery.training.evaluation import Evaluation, HeldOut, evaluate
from netsurgery.training.run_log import LoggedStep, RunLog, read_log
from netsurgery.training.snapshots import Snapshot, newest, save_snapshot, snapshots
from netsurgery.training.solver_text import SolverSettings, solver_text
from netsurgery.training.training_net import TrainingNet

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

__all__ = ["Feed", "RunOutcome", "Schedule", "TrainingProgress", "TrainingTask", "run_training"]

#: The speed shown is that of so many of the last steps.
_RECENT = 50


class Feed(Protocol):
    """Gives the inputs of each step, which follow from its number alone."""

    def inputs(self, step: int) -> Mapping[str, Array]:
        """The inputs of a step, by blob; the first is step 0."""

    def held_out(self) -> Iterator[HeldOut]:
        """The pictures that are held out of training, each time from scratch."""


@dataclass(frozen=True)
class Schedule:
    """When a run is looked at and saved: each after so many steps, and at the end."""

    evaluate: int
    snapshot: int


@dataclass(frozen=True)
class TrainingTask:
    """All that a run does.

    weights: what it begins with, a caffemodel for `net`; layers that it lacks begin as their
    fillers say. identity: what a snapshot must be of to go on from it.
    """

    net: TrainingNet
    weights: Path
    solver: SolverSettings
    feed: Feed
    schedule: Schedule
    identity: str


@dataclass(frozen=True)
class TrainingProgress:
    """How far a training run is.

    step: how many steps are done, of `steps`. losses: of the last step, by name, None before the
    first. cells_a_second: cells that counted, of the last steps; None before there are some.
    seconds_left: None where it is not known yet. evaluation: what was found after this step, if it
    was looked at.

    >>> TrainingProgress(3, 10, {"loss": 0.25}, 16000.0, 1.5).loss
    0.25
    """

    step: int
    steps: int
    losses: Mapping[str, float] | None
    cells_a_second: float | None
    seconds_left: float | None
    evaluation: Evaluation | None = None

    @property
    def loss(self) -> float | None:
        """The main loss of the last step."""
        return None if self.losses is None else list(self.losses.values())[-1]


@dataclass(frozen=True)
class RunOutcome:
    """What became of a run: `finished`, or after how many steps it was stopped.

    before, after: what the held-out pictures said; None without any.
    """

    step: int
    finished: bool
    before: Evaluation | None
    after: Evaluation | None
    notes: tuple[str, ...]


class Trained(NamedTuple):
    """What a finished run gives: what saves the weights to a path, and the scores of an input."""

    save: Callable[[Path], None]
    scores: Callable[[Array], Array]


#: Called after each step and each evaluation; False stops the run, which is then saved.
Watch = Callable[[TrainingProgress], object]


def run_training(
    task: TrainingTask,
    folder: Path,
    engine: PycaffeEngine,
    *,
    resume: bool,
    finish: Callable[[Trained], None],
    watch: Watch | None = None,
    say: Callable[[str], None] | None = None,
) -> RunOutcome:
    """Train until the last step, or until `watch` returns False.

    folder: gets the log and the snapshots. resume: go on from the newest snapshot; else a folder
    with one is refused. finish: called in the end with what is trained; where it is interrupted, a
    resumed run calls it again. say: called, where a signal ends the process, with the words that
    the run was saved.

    Raises TrainingError where numbers stop being finite, naming the layer, and for snapshots of
    another plan; EngineError, OutputError.
    """
    with (
        _TrainingRun(task, folder, engine, resume=resume, watch=watch) as run,
        run.saved_at_signals(say),
    ):
        finished = run.train()
        if finished:
            finish(Trained(run.solver.save, run.scores))
        return run.outcome(finished=finished)


class _TrainingRun:
    """One process's part of a run."""

    def __init__(
        self,
        task: TrainingTask,
        folder: Path,
        engine: PycaffeEngine,
        *,
        resume: bool,
        watch: Watch | None,
    ) -> None:
        self.task, self.folder, self._watch = task, folder, watch
        self._from, self.notes = self._begin(folder, task.identity, resume=resume)
        self._speed = _Speed()
        with ExitStack() as stack:
            self.solver = stack.enter_context(self._solver(engine))
            self._deploy: CaffeNet = stack.enter_context(engine.load(task.net.deploy))
            self.solver.lend(self._deploy)
            self._log = stack.enter_context(RunLog(folder, self.solver.steps))
            self._ahead = stack.enter_context(_Ahead(task.feed))
            self._saved = self.solver.steps
            self._evaluations = self._earlier()
            self._stack = stack.pop_all()

    @staticmethod
    def _begin(folder: Path, identity: str, *, resume: bool) -> tuple[Snapshot | None, list[str]]:
        if resume:
            return newest(folder, identity)
        saved = snapshots(folder)
        if saved:
            raise TrainingError(
                f"{folder}: holds a run that is at step {saved[0].step}; {argument('--resume')} "
                f"goes on with it, {argument('--force')} begins from scratch"
            )
        return None, []

    def _solver(self, engine: PycaffeEngine) -> CaffeSolver:
        task = self.task
        text = solver_text(task.solver)
        if self._from is None:
            return engine.solver(task.net.net, text, task.weights)
        solver = engine.solver(task.net.net, text, self._from.model)
        solver.restore(self._from.state, self._from.step)
        return solver

    def _earlier(self) -> list[Evaluation]:
        """The evaluations before this process's part."""
        return read_log(self.folder).evaluations if self.solver.steps else []

    def __enter__(self) -> _TrainingRun:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    @contextmanager
    def saved_at_signals(self, say: Callable[[str], None] | None) -> Iterator[None]:
        """Meanwhile a signal that ends the process saves the run first."""

        def save() -> None:
            # Nothing to go on from before the first step.
            if self.save() and say is not None:
                say(f"saved after step {self.solver.steps} of {self.task.solver.steps}")

        # Early, and made after the worker: it is run before that is killed.
        undo = Undo(save, early=True)
        try:
            yield
        finally:
            undo.forget()

    def train(self) -> bool:
        """All steps that are left; False where `watch` has stopped it."""
        schedule, last = self.task.schedule, self.task.solver.steps
        goes_on = True
        if self._due(self.solver.steps) and not self._evaluated(self.solver.steps):
            goes_on = self._evaluate()
        while goes_on and self.solver.steps < last:
            losses = self._step()
            done = self.solver.steps
            goes_on = self._tell(losses)
            if self._due(done):
                goes_on &= self._evaluate(losses)
            if done % schedule.snapshot == 0 or done == last or not goes_on:
                self.save()
        return self.solver.steps == last

    def _due(self, step: int) -> bool:
        return step % self.task.schedule.evaluate == 0 or step == self.task.solver.steps

    def _evaluated(self, step: int) -> bool:
        return any(each.step == step for each in self._evaluations)

    def _step(self) -> Mapping[str, float]:
        number = self.solver.steps
        began = time.monotonic()
        inputs = self._ahead.take(number, more=number + 1 < self.task.solver.steps)
        labels = inputs[list(self.task.net.labels)[-1]]
        cells = int((labels >= 0).sum())
        # A signal waits for the step's end: the worker answers one request at a time.
        with undisturbed:
            result = self.solver.step(inputs, self.task.net.losses, self.task.solver.seed + number)
            if result.broken is None:
                self._log.add(LoggedStep(self.solver.steps, result.losses, cells))
        self._speed.add(time.monotonic() - began, cells)
        if result.broken is not None:
            # Gradients are in the place of momentum now, so this step is not saved.
            raise self._broken(f"step {number + 1}", str(result.broken))
        return result.losses

    def _broken(self, when: str, where: str) -> TrainingError:
        """What to raise where numbers stop being finite."""
        saved = "nothing was saved yet"
        if self._saved:
            saved = f"the newest snapshot is of step {self._saved}"
        return TrainingError(
            f"{self.task.net.base.prototxt.path}: {when}: numbers are not finite any more, first "
            f"{where}; {saved}; try a lower {argument('--rate')}"
        )

    def _tell(
        self, losses: Mapping[str, float] | None, evaluation: Evaluation | None = None
    ) -> bool:
        """Whether the run is to go on."""
        if self._watch is None:
            return True
        steps, done = self.task.solver.steps, self.solver.steps
        left = self._speed.seconds(steps - done)
        speed = self._speed.cells_a_second
        return (
            self._watch(TrainingProgress(done, steps, losses, speed, left, evaluation)) is not False
        )

    def _evaluate(self, losses: Mapping[str, float] | None = None) -> bool:
        """Look at the pictures that are held out; whether the run is to go on."""
        pictures = self.task.feed.held_out()
        evaluation = evaluate(self.scores, pictures, self.task.net.outputs, self.solver.steps)
        if not evaluation.pictures:
            return True
        for name, loss in evaluation.pictures.items():
            if math.isnan(loss):
                raise self._broken(f"after step {self.solver.steps}", f"scores of {name}")
        with undisturbed:
            self._log.add_evaluation(evaluation)
            self._evaluations.append(evaluation)
        return self._tell(losses, evaluation)

    def scores(self, data: Array) -> Array:
        """The scores of an input with the weights as they are now, 1 x K x h x w."""
        (name,) = self._deploy.inputs
        with undisturbed:
            if self._deploy.inputs[name] != data.shape:
                self._deploy.reshape({name: data.shape})
            return self._deploy.forward({name: data}, [self.task.net.score])[self.task.net.score]

    def save(self) -> bool:
        """Save what was learnt since the last snapshot; whether anything was."""
        steps = self.solver.steps
        if steps == self._saved:
            return steps > 0
        save_snapshot(Snapshot(self.folder, steps), self.task.identity, self._write)
        self._saved = steps
        return True

    def _write(self, model: Path, state: Path) -> None:
        self.solver.save(model)
        self.solver.save_state(state)

    def outcome(self, *, finished: bool) -> RunOutcome:
        """What became of it."""
        evaluations = self._evaluations
        return RunOutcome(
            self.solver.steps,
            finished,
            evaluations[0] if evaluations else None,
            evaluations[-1] if evaluations else None,
            tuple(self.notes),
        )


class _Speed:
    """How fast the last steps were, with the waits for their pictures."""

    def __init__(self) -> None:
        self._recent: deque[tuple[float, int]] = deque(maxlen=_RECENT)

    def add(self, seconds: float, cells: int) -> None:
        self._recent.append((seconds, cells))

    @property
    def _time(self) -> float:
        return sum(seconds for seconds, _ in self._recent)

    @property
    def cells_a_second(self) -> float | None:
        return sum(cells for _, cells in self._recent) / self._time if self._time else None

    def seconds(self, steps: int) -> float | None:
        """What so many steps take."""
        return steps * self._time / len(self._recent) if self._recent else None


class _Ahead:
    """Makes the inputs of the next step while the worker is at this one."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._pool = ThreadPoolExecutor(1)
        self._next: tuple[int, Future[Mapping[str, Array]]] | None = None

    def take(self, step: int, *, more: bool) -> Mapping[str, Array]:
        """The inputs of the step; `more`: that of the next one will be asked for."""
        ready = self._next
        inputs = ready[1].result() if ready and ready[0] == step else self._feed.inputs(step)
        self._next = (step + 1, self._pool.submit(self._feed.inputs, step + 1)) if more else None
        return inputs

    def __enter__(self) -> _Ahead:
        return self

    def __exit__(self, *error: object) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
