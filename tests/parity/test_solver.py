"""Caffe's own solver in the worker: its steps, its state, and numbers that are none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from netsurgery.engines.contract import EngineOptions
from netsurgery.engines.pycaffe import PycaffeEngine, RefusedToLoad, open_engine
from netsurgery.engines.solver import CaffeSolver, NotFinite
from netsurgery.errors import EngineError, EngineFailed
from netsurgery.formats.prototxt import Prototxt
from netsurgery.net.net import NetDefinition
from netsurgery.training.solver_text import SolverSettings, solver_text
from netsurgery.training.training_net import TrainingNet, training_net

pytestmark = pytest.mark.caffe

#: Two layers share their weight, one is frozen, one draws at random, one has statistics.
NET = """
input: "data" input_shape { dim: 2 dim: 1 dim: 9 dim: 9 }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
        convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "bn" type: "BatchNorm" bottom: "conv1" top: "conv1" }
layer { name: "conv2" type: "Convolution" bottom: "conv1" top: "conv2" param { name: "w" }
        convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "drop" type: "Dropout" bottom: "conv2" top: "conv2" }
layer { name: "conv3" type: "Convolution" bottom: "conv2" top: "conv3" param { name: "w" }
        convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "score" type: "InnerProduct" bottom: "conv3" top: "score"
        inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
"""
SOLVER = solver_text(SolverSettings(rate=0.02, drop=7, seed=4))
STEPS, HALF = 16, 9


@pytest.fixture(scope="module")
def net() -> TrainingNet:
    read = NetDefinition.of(Prototxt.parse(NET, "net.prototxt"))
    return training_net(read, size=(10, 12), batch=2, freeze=["conv1"], train_batch_norm=True)


@pytest.fixture(scope="module")
def batches(net: TrainingNet) -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(3)
    return [
        {
            "data": rng.normal(size=net.data["data"]).astype(np.float32),
            "label": rng.integers(-1, 3, net.labels["label"]).astype(np.float32),
        }
        for _ in range(STEPS)
    ]


@pytest.fixture(scope="module")
def engine(caffe_python: str) -> Iterator[PycaffeEngine]:
    with open_engine(EngineOptions("caffe", caffe_python=caffe_python, threads=1)) as engine:
        yield engine


def trained(
    solver: CaffeSolver,
    net: TrainingNet,
    batches: list[dict[str, np.ndarray]],
    first: int,
    last: int,
) -> list[float]:
    losses = []
    for number in range(first, last):
        result = solver.step(batches[number], net.losses, 4 + number)
        assert result.broken is None
        losses.append(result.losses["loss"])
    return losses


def params(solver: CaffeSolver) -> dict[str, np.ndarray]:
    return {
        f"{layer}:{index}": solver.param(layer, index)
        for layer, shapes in solver.params.items()
        for index in range(len(shapes))
    }


def test_steps_and_state_are_caffes_own(
    net: TrainingNet,
    batches: list[dict[str, np.ndarray]],
    engine: PycaffeEngine,
    run_in_caffe: Callable[..., str],
    tmp_path: Path,
) -> None:
    with engine.solver(net.net, SOLVER) as solver:
        losses = trained(solver, net, batches, 0, HALF)
        solver.save_state(tmp_path / "ours.solverstate")
        np.savez(tmp_path / "ours.npz", **cast("Any", params(solver)))
    for name in ("data", "label"):
        np.save(tmp_path / f"{name}.npy", np.stack([batch[name] for batch in batches]))
    (tmp_path / "solver.prototxt").write_text(
        f'{SOLVER}net_param {{\n{net.text}}}\nsnapshot_prefix: "{tmp_path}/theirs"\n'
    )
    printed = run_in_caffe(
        """
import sys, numpy, caffe
from caffe.proto import caffe_pb2
folder, steps = sys.argv[1], int(sys.argv[2])
data, label = numpy.load(folder + '/data.npy'), numpy.load(folder + '/label.npy')
solver = caffe.get_solver(folder + '/solver.prototxt')
for step in range(steps):
    caffe.set_random_seed(4 + step)
    solver.net.blobs['data'].data[...] = data[step]
    solver.net.blobs['label'].data[...] = label[step]
    solver.step(1)
    print('loss', float(solver.net.blobs['loss'].data))
solver.snapshot()
ours = numpy.load(folder + '/ours.npz')
names = [(name, i, b.data) for name, bs in solver.net.params.items() for i, b in enumerate(bs)]
for name, index, values in names:
    assert numpy.array_equal(values, ours['%s:%d' % (name, index)]), name
states = []
for path in ('theirs_iter_%d.solverstate' % steps, 'ours.solverstate'):
    states.append(caffe_pb2.SolverState())
    states[-1].ParseFromString(open(folder + '/' + path, 'rb').read())
theirs, mine = states
assert theirs.iter == mine.iter
assert len(theirs.history) == len(mine.history)
for a, b in zip(theirs.history, mine.history):
    assert list(a.shape.dim) == list(b.shape.dim)
    assert numpy.array_equal(numpy.array(a.data, 'f'), numpy.array(b.data, 'f'))
assert any(numpy.any(h.data) for h in mine.history)
print('same')
""",
        tmp_path,
        HALF,
    )
    lines = printed.split("\n")
    assert "same" in lines
    theirs = [float(line.split()[1]) for line in lines if line.startswith("loss")]
    assert losses == theirs


def test_going_on_from_a_state_is_bit_for_bit_the_same(
    net: TrainingNet, batches: list[dict[str, np.ndarray]], engine: PycaffeEngine, tmp_path: Path
) -> None:
    weights, state = tmp_path / "half.caffemodel", tmp_path / "half.solverstate"
    with engine.solver(net.net, SOLVER) as solver:
        begun = params(solver)
        with pytest.raises(EngineError, match="no step was made"):
            solver.save_state(state)
        trained(solver, net, batches, 0, HALF)
        solver.save(weights)
        solver.save_state(state)
        losses = trained(solver, net, batches, HALF, STEPS)
        whole = params(solver)
    with engine.solver(net.net, SOLVER, weights) as solver:
        with pytest.raises(EngineFailed, match="of step 9, expected step 8"):
            solver.restore(state, HALF - 1)
        solver.restore(state, HALF)
        assert trained(solver, net, batches, HALF, STEPS) == losses
        resumed = params(solver)
    for name, values in whole.items():
        np.testing.assert_array_equal(resumed[name], values, err_msg=name)
    # What is frozen stays, what is not changes, and a param that is shared is one.
    assert np.array_equal(begun["conv1:0"], whole["conv1:0"])
    assert not np.array_equal(begun["conv2:1"], whole["conv2:1"])
    assert np.array_equal(whole["conv2:0"], whole["conv3:0"])


def test_a_net_that_params_are_lent_to_follows_every_step(
    net: TrainingNet, batches: list[dict[str, np.ndarray]], engine: PycaffeEngine
) -> None:
    with engine.solver(net.net, SOLVER) as solver, engine.load(net.deploy) as deploy:
        solver.lend(deploy)
        before = deploy.forward({"data": batches[0]["data"][:1]}, ["prob"])["prob"]
        trained(solver, net, batches, 0, 2)
        after = deploy.forward({"data": batches[0]["data"][:1]}, ["prob"])["prob"]
        assert not np.array_equal(before, after)
        np.testing.assert_array_equal(deploy.param("score-conv", 0), solver.param("score-conv", 0))


def test_a_step_with_numbers_that_are_none_is_called_off(
    net: TrainingNet, batches: list[dict[str, np.ndarray]], engine: PycaffeEngine, tmp_path: Path
) -> None:
    # Statistics that are kept: those of a batch would be spoilt before the step is called off.
    read = NetDefinition.of(Prototxt.parse(NET, "net.prototxt"))
    kept_statistics = training_net(read, size=(10, 12), batch=2)
    with engine.solver(kept_statistics.net, SOLVER) as solver:
        trained(solver, net, batches, 0, 1)
        before = params(solver)
        data = batches[1]["data"].copy()
        data[0, 0, 4, 4] = np.nan
        broken = solver.step({"data": data, "label": batches[1]["label"]}, net.losses, 5)
        assert broken.broken == NotFinite("input", "blob", "data")
        assert solver.steps == 1
        with pytest.raises(EngineError, match="the last step was called off"):
            solver.save_state(tmp_path / "lost.solverstate")
        for name, values in params(solver).items():
            np.testing.assert_array_equal(values, before[name], err_msg=name)
        solver.set_param("conv3", 1, np.array([0, np.inf, 0, 0], np.float32))
        broken = solver.step(batches[1], net.losses, 5)
        assert broken.broken == NotFinite("conv3", "param")
        assert str(broken.broken) == "a param of layer 'conv3'"
        solver.set_param("conv3", 1, np.zeros(4, np.float32))
        solver.set_param("score-conv", 0, np.full((3, 4, 3, 3), 3e38, np.float32))
        broken = solver.step(batches[1], net.losses, 5)
        assert broken.broken is not None
        assert broken.broken.layer == "score-conv"


def test_what_cannot_be_is_said(
    net: TrainingNet, batches: list[dict[str, np.ndarray]], engine: PycaffeEngine, tmp_path: Path
) -> None:
    with engine.solver(net.net, SOLVER) as solver:
        with pytest.raises(EngineError, match="no input labels"):
            solver.step({"labels": batches[0]["label"]}, net.losses, 1)
        with pytest.raises(EngineError, match="input data is 1x1x10x12; the net takes 2x1x10x12"):
            solver.step({"data": batches[0]["data"][:1]}, net.losses, 1)
        with pytest.raises(EngineFailed, match="nothing"):
            engine.solver(net.net, SOLVER, tmp_path / "nothing.caffemodel")
    with (
        open_engine(EngineOptions("caffe", threads=1)) as own,
        pytest.raises(RefusedToLoad, match="net"),
    ):
        own.solver(net.net, SOLVER.replace("SGD", "None"))
