"""A training run: its log and snapshots, going on, and how it ends."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.train_nets import CASES, falls
from netsurgery.engines.contract import EngineOptions
from netsurgery.engines.pycaffe import PycaffeEngine, open_engine
from netsurgery.errors import FormatError, MemoryLimitError, TrainingError
from netsurgery.io.memory import set_max_memory
from netsurgery.net.net import NetDefinition
from netsurgery.training.evaluation import Evaluation, HeldOut, cell_losses, evaluate, worst
from netsurgery.training.initial_weights import initial_weights
from netsurgery.training.run import (
    RunOutcome,
    Schedule,
    TrainingProgress,
    TrainingTask,
    run_training,
)
from netsurgery.training.run_log import LOG, LoggedStep, RunLog, read_log
from netsurgery.training.snapshots import Snapshot, newest, save_snapshot, snapshots
from netsurgery.training.solver_text import SolverSettings
from netsurgery.training.training_net import TrainingNet, training_net

STEPS = 12


class Squares:
    """Pictures of noise with a bright square in some cells, whose class that is."""

    def __init__(self, net: TrainingNet, *, spoilt: int | None = None) -> None:
        self.net, self.spoilt = net, spoilt

    def inputs(self, step: int) -> Mapping[str, Any]:
        rng = np.random.default_rng([3, step])
        (name, shape), (label, cells) = *self.net.data.items(), *self.net.labels.items()
        data = rng.normal(0, 0.1, shape).astype(np.float32)
        labels = rng.integers(-1, 11, cells).astype(np.float32)
        for n, _, row, column in np.argwhere(labels == 3):
            data[n, :, 8 * row + 12 : 8 * row + 20, 8 * column + 12 : 8 * column + 20] = 1
        if step == self.spoilt:
            data[0, 0, 0, 0] = np.inf
        return {name: data, label: labels}

    def held_out(self) -> Iterator[HeldOut]:
        for number in (100, 101):
            inputs = self.inputs(number)
            data, labels = inputs["data"], inputs["label"]
            yield HeldOut(f"picture {number}", data[:1], labels[0, 0].astype(np.int32))


@pytest.fixture(scope="module")
def task(repo_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrainingTask]:
    read = NetDefinition.read(repo_root / "prototxt/digits_deploy.prototxt")
    net = training_net(read, size=(48, 40), batch=2)
    solver = SolverSettings(rate=0.01, steps=STEPS, seed=5)
    with initial_weights(net, repo_root / "models/digits/digits.caffemodel") as weights:
        yield TrainingTask(net, weights, solver, Squares(net), Schedule(5, 4), "this plan")


@pytest.fixture(scope="module")
def engine(caffe_python: str) -> Iterator[PycaffeEngine]:
    with open_engine(EngineOptions("caffe", caffe_python=caffe_python, threads=1)) as engine:
        yield engine


def run(
    task: TrainingTask,
    folder: Path,
    engine: PycaffeEngine,
    *,
    stop: int = STEPS,
    resume: bool = False,
) -> tuple[RunOutcome, list[TrainingProgress]]:
    seen: list[TrainingProgress] = []

    def watch(progress: TrainingProgress) -> bool:
        seen.append(progress)
        return progress.step < stop or progress.evaluation is not None

    outcome = run_training(
        task,
        folder,
        engine,
        resume=resume,
        finish=lambda trained: trained.save(folder / "out.caffemodel"),
        watch=watch,
    )
    return outcome, seen


@pytest.mark.caffe
def test_a_run_that_goes_on_ends_as_one_that_was_never_stopped(
    task: TrainingTask, engine: PycaffeEngine, tmp_path: Path
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for folder in (whole, parts):
        folder.mkdir()
    outcome, seen = run(task, whole, engine)
    assert outcome.finished
    assert [each.step for each in seen if each.evaluation] == [0, 5, 10, 12]
    assert [each.step for each in seen if not each.evaluation] == list(range(1, 13))
    assert seen[-1].seconds_left == 0
    # Stopped between two snapshots; then killed, as it were, after a snapshot.
    stopped, _ = run(task, parts, engine, stop=3)
    assert (stopped.step, stopped.finished) == (3, False)
    assert not (parts / "out.caffemodel").exists()
    run(task, parts, engine, stop=9, resume=True)
    snapshots(parts)[0].remove()
    with open(parts / LOG, "ab") as log:
        log.write(b'{"step": 10, "losses"')
    resumed, seen = run(task, parts, engine, resume=True)
    assert [each.step for each in seen if not each.evaluation] == list(range(9, 13))
    assert (parts / "out.caffemodel").read_bytes() == (whole / "out.caffemodel").read_bytes()
    assert (parts / LOG).read_bytes() == (whole / LOG).read_bytes()
    assert resumed.before is not None
    assert outcome.before is not None
    np.testing.assert_array_equal(resumed.before.counts, outcome.before.counts)
    # The newest two are kept, and nothing else.
    assert [each.step for each in snapshots(parts)] == [12, 8]
    assert len(list((parts / "snapshots").iterdir())) == 6


@pytest.mark.caffe
def test_what_is_seen_of_the_held_out_pictures_may_stop_a_run(
    task: TrainingTask, engine: PycaffeEngine, tmp_path: Path
) -> None:
    def stopped(at: int, *, resume: bool) -> RunOutcome:
        return run_training(
            task,
            tmp_path,
            engine,
            resume=resume,
            finish=lambda trained: None,
            watch=lambda progress: progress.evaluation is None or progress.step < at,
        )

    assert (stopped(0, resume=False).step, snapshots(tmp_path)) == (0, [])
    outcome = stopped(3, resume=False)
    assert (outcome.step, outcome.finished) == (5, False)
    assert [each.step for each in snapshots(tmp_path)] == [5, 4]
    # It is not looked at again where it goes on, and the last look stops nothing.
    assert stopped(10, resume=True).step == 10
    assert stopped(STEPS, resume=True).finished
    assert [each.step for each in read_log(tmp_path).evaluations] == [0, 5, 10, 12]


@pytest.mark.caffe
def test_the_loss_of_what_is_held_out_falls(
    task: TrainingTask, engine: PycaffeEngine, tmp_path: Path
) -> None:
    outcome, _ = run(task, tmp_path, engine)
    assert outcome.before is not None
    assert outcome.after is not None
    assert outcome.after.loss < outcome.before.loss
    history = read_log(tmp_path)
    assert [step.step for step in history.steps] == list(range(1, STEPS + 1))
    assert history.evaluations[-1].loss == outcome.after.loss


@pytest.mark.caffe
def test_the_time_left_is_that_of_slow_pictures_too(
    task: TrainingTask, engine: PycaffeEngine, tmp_path: Path
) -> None:
    class Slow(Squares):
        def inputs(self, step: int) -> Mapping[str, Any]:
            time.sleep(0.2)
            return super().inputs(step)

        def held_out(self) -> Iterator[HeldOut]:
            return iter(())

    _, seen = run(replace(task, feed=Slow(task.net)), tmp_path, engine, stop=3)
    assert seen[-1].step == 3
    left = seen[-1].seconds_left
    assert left is not None
    assert left > 0.15 * (STEPS - 3)


@pytest.mark.caffe
def test_a_new_run_does_not_take_the_place_of_another(
    task: TrainingTask, engine: PycaffeEngine, tmp_path: Path
) -> None:
    run(task, tmp_path, engine, stop=4)
    with pytest.raises(TrainingError, match=r"holds a run that is at step 4; resume=True goes on"):
        run(task, tmp_path, engine)
    with pytest.raises(TrainingError, match="the snapshot of step 4 is left out: it is of another"):
        run(replace(task, identity="another plan"), tmp_path, engine, resume=True)


@pytest.mark.caffe
def test_numbers_that_run_away_stop_the_run_with_the_layer(
    task: TrainingTask, engine: PycaffeEngine, tmp_path: Path
) -> None:
    spoilt = replace(task, feed=Squares(task.net, spoilt=6))
    with pytest.raises(TrainingError) as error:
        run(spoilt, tmp_path, engine)
    words = str(error.value)
    assert "step 7: numbers are not finite any more, first blob 'data' of layer 'data'" in words
    assert "the newest snapshot is of step 4" in words
    assert [each.step for each in snapshots(tmp_path)] == [4]
    assert [step.step for step in read_log(tmp_path).steps] == list(range(1, 7))


@pytest.mark.caffe
def test_a_last_step_that_runs_away_is_no_result(
    task: TrainingTask, engine: PycaffeEngine, tmp_path: Path
) -> None:
    """Its own loss and gradients are finite; what they make of the weights is not."""
    wild = replace(task, solver=replace(task.solver, rate=1e30, steps=1))
    with pytest.raises(TrainingError) as error:
        run(wild, tmp_path, engine)
    words = "after step 1: numbers are not finite any more, first scores of picture 100; nothing"
    assert words in str(error.value)
    assert not snapshots(tmp_path)
    assert not (tmp_path / "out.caffemodel").exists()
    assert [each.step for each in read_log(tmp_path).evaluations] == [0]


@pytest.mark.caffe
def test_a_net_from_scratch_learns_eight_pictures(repo_root: Path, caffe_python: str) -> None:
    """`make train-nets` has larger nets."""
    case = replace(CASES["demo"], size=48, batch=4)
    assert falls(case, repo_root / case.path, 100, threads=1).halved


def test_a_snapshot_is_whole_or_none(tmp_path: Path) -> None:
    def write(model: Path, state: Path) -> None:
        model.write_bytes(b"weights")
        state.write_bytes(b"momentum")

    def fail(model: Path, state: Path) -> None:
        model.write_bytes(b"weights")
        raise TrainingError("the disk is full")

    for step in (3, 4, 5):
        save_snapshot(Snapshot(tmp_path, step), "plan", write)
    with pytest.raises(TrainingError):
        save_snapshot(Snapshot(tmp_path, 6), "plan", fail)
    names = sorted(path.name for path in (tmp_path / "snapshots").iterdir())
    endings = ("caffemodel", "json", "solverstate")
    assert names == [f"step-{step:08d}.{ending}" for step in (4, 5) for ending in endings]
    snapshot, notes = newest(tmp_path, "plan")
    assert snapshot == Snapshot(tmp_path, 5)
    assert not notes
    snapshot.state.write_bytes(b"momentun")
    snapshot, notes = newest(tmp_path, "plan")
    assert snapshot == Snapshot(tmp_path, 4)
    assert notes == [
        "the snapshot of step 5 is left out: step-00000005.solverstate is not what was written"
    ]
    # The one that is damaged is not kept in the place of one that is whole.
    save_snapshot(Snapshot(tmp_path, 4), "plan", write)
    assert [each.step for each in snapshots(tmp_path)] == [4]
    snapshot.record.write_text("{")
    with pytest.raises(TrainingError, match="no other to go on from"):
        newest(tmp_path, "plan")


def test_a_log_goes_on_where_it_is_whole(tmp_path: Path) -> None:
    evaluation = Evaluation(2, np.array([[3, 1], [0, 2]]), 0.5, {"a": 0.5})
    with RunLog(tmp_path, 0) as log:
        for step in (1, 2, 3):
            log.add(LoggedStep(step, {"loss": 1 / step}, 7))
            if step == 2:
                log.add_evaluation(evaluation)
    whole = (tmp_path / LOG).read_bytes()
    with RunLog(tmp_path, 2) as log:
        log.add(LoggedStep(3, {"loss": 1 / 3}, 7))
    assert (tmp_path / LOG).read_bytes() == whole
    history = read_log(tmp_path)
    assert [step.cells for step in history.steps] == [7, 7, 7]
    assert history.evaluations[0].to_json() == evaluation.to_json()
    with RunLog(tmp_path, 0):
        pass
    assert not (tmp_path / LOG).read_bytes()


@pytest.mark.parametrize(
    "line",
    [
        '{"step": 1, "losses": {}, "cells": 1}',
        '{"step": 1, "losses": {"loss": NaN}, "cells": 1}',
        '{"step": 1, "losses": {"loss": 1}, "cells": Infinity}',
        f'{{"step": 1, "losses": {{"loss": 1{"0" * 400}}}, "cells": 1}}',
        '{"step": 1, "evaluation": {"step": 1, "loss": Infinity, "counts": [[1]], "pictures": {}}}',
        '{"step": 1, "evaluation": {"step": 1, "loss": 1, "counts": [[1], []], "pictures": {}}}',
    ],
    ids=range(6),
)
def test_a_line_that_no_run_has_written_is_refused(line: str, tmp_path: Path) -> None:
    (tmp_path / LOG).write_text(f"{line}\n")
    with pytest.raises(FormatError, match=rf"{LOG}:1: this is no .* of a training run"):
        read_log(tmp_path)


def test_losses_of_cells_are_of_the_memory_that_may_be_used(fresh_budget: None) -> None:
    scores, labels = np.zeros((1000, 40, 50), np.float32), np.zeros((40, 50), np.int32)
    set_max_memory("79MB")
    with pytest.raises(MemoryLimitError, match="the loss of a picture's cells needs"):
        cell_losses(scores, labels)
    set_max_memory("81MB")
    assert cell_losses(scores, labels) == pytest.approx(np.log(1000))


def test_what_is_found_is_what_a_count_by_hand_finds() -> None:
    rng = np.random.default_rng(2)
    pictures = [
        HeldOut(
            str(number),
            rng.normal(size=(1, 4, 3, 5)).astype(np.float32),
            rng.integers(-1, 4, (3, 5)).astype(np.int32),
        )
        for number in range(3)
    ]
    evaluation = evaluate(lambda data: data, pictures, 4, 7)
    counts, losses = np.zeros((4, 4), int), []
    for picture in pictures:
        for row in range(3):
            for column in range(5):
                label = picture.labels[row, column]
                scores = picture.data[0, :, row, column].astype(float)
                if label >= 0:
                    counts[label, scores.argmax()] += 1
                    losses.append(-np.log(np.exp(scores[label]) / np.exp(scores).sum()))
    np.testing.assert_array_equal(evaluation.counts, counts)
    assert evaluation.loss == pytest.approx(np.mean(losses))
    for number, figures in enumerate(evaluation.classes):
        assert figures.true == counts[number].sum()
        assert figures.recall == counts[number, number] / counts[number].sum()
        assert figures.precision == counts[number, number] / counts[:, number].sum()
    assert worst(evaluation, 1)[0][1] == max(evaluation.pictures.values())
    again = Evaluation.from_json(json.loads(json.dumps(evaluation.to_json())), "log")
    assert again.to_json() == evaluation.to_json()
    assert np.isnan(cell_losses(pictures[0].data[0], np.full((3, 5), -1, np.int32))).all()
