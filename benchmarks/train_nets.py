"""``python -m benchmarks.train_nets``: training nets made of well-known ones learn eight pictures.

    python -m benchmarks.train_nets [--only NAME] [--steps 100] [--data FOLDER]

Each prototxt is made a training net of five classes, its weights are drawn at random (of
SqueezeNet they are there), and Caffe's solver goes over eight pictures again and again; the class
of every cell is the direction of its picture's stripes. The mean loss of the last steps has to be
less than half of that of the first, and less than a guess costs: ln 5 for each of the net's losses.
The prototxts of other projects are looked for in FOLDER, by default ../shared/data. VGG16 takes
longest.
"""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from netsurgery.engines.contract import EngineOptions
from netsurgery.engines.pycaffe import open_engine
from netsurgery.engines.solver import CaffeSolver
from netsurgery.net.net import NetDefinition
from netsurgery.training.initial_weights import initial_weights
from netsurgery.training.solver_text import SolverSettings, solver_text
from netsurgery.training.training_net import TrainingNet, training_net

__all__ = ["Case", "falls", "main"]

ROOT = Path(__file__).resolve().parent.parent
PICTURES, OUTPUTS = 8, 5

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Case:
    """A net to train: its prototxt, the size of its pictures, and how fast it learns.

    shape: of its data, where the text does not say it. auxiliary: whether it has other losses.
    weights: a caffemodel beside the prototxt to begin with; "" for weights at random.
    """

    path: str
    size: int
    rate: float
    batch: int = 2
    shape: tuple[int, ...] | None = None
    auxiliary: bool = False
    weights: str = ""


CASES = {
    "demo": Case("prototxt/digits_deploy.prototxt", 64, 0.01, batch=8),
    "SqueezeNet": Case(
        "models/squeezenet/SqueezeNet_deploy.prototxt", 243, 0.001,
        weights="squeezenet.caffemodel",
    ),
    "CaffeNet": Case("bvlc/bvlc_reference_caffenet.prototxt", 259, 0.002),
    "GoogLeNet": Case(
        "prototxts/BVLC__caffe__models_bvlc_googlenet_train_val.prototxt", 256, 0.001,
        shape=(8, 3, 224, 224), auxiliary=True,
    ),
    "VGG16": Case(
        "prototxts/IntelLabs__SkimCaffe__models_vgg_VGG_ILSVRC_16_layers_deploy.prototxt",
        256, 0.002,
    ),
}  # fmt: skip


def main(words: list[str] | None = None) -> None:
    """Train all of them, and say how the loss falls; exits with 1 where it does not."""
    parser = argparse.ArgumentParser(prog="train_nets", description="Train well-known nets.")
    parser.add_argument("--only", choices=CASES, action="append")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data")
    asked = parser.parse_args(words)
    failed = False
    for name in asked.only or CASES:
        began = time.monotonic()
        place = ROOT if name == "demo" else asked.data
        losses = falls(CASES[name], place / CASES[name].path, asked.steps)
        failed |= not losses.halved
        seconds = time.monotonic() - began
        print(f"{name:12} {losses}, {seconds:.0f} s", flush=True)
    sys.exit(1 if failed else 0)


@dataclass(frozen=True)
class Losses:
    """The sum of the losses of each step, and what it is where every class is as likely."""

    steps: list[float]
    guess: float

    @property
    def first(self) -> float:
        return float(np.mean(self.steps[:4]))

    @property
    def last(self) -> float:
        return float(np.mean(self.steps[-8:]))

    @property
    def halved(self) -> bool:
        """Whether it fell below half of what it was, and below a guess."""
        return self.last < min(self.first / 2, self.guess)

    def __str__(self) -> str:
        return f"loss {self.first:.3f} -> {self.last:.3f} (a guess: {self.guess:.3f})"


def falls(case: Case, path: Path, steps: int, threads: int | None = None) -> Losses:
    """How the loss falls in these steps."""
    net = NetDefinition.read(path)
    if case.shape is not None:
        net = net.at({"data": case.shape})
    trained = training_net(
        net, size=(case.size, case.size), batch=case.batch, outputs=OUTPUTS,
        keep_auxiliary=case.auxiliary,
    )  # fmt: skip
    solver = SolverSettings(rate=case.rate, steps=steps, momentum=0.9, decay=0.0005)
    with ExitStack() as stack:
        weights = None
        if case.weights:
            weights = stack.enter_context(initial_weights(trained, path.parent / case.weights))
        engine = stack.enter_context(open_engine(EngineOptions("caffe", threads=threads)))
        running = stack.enter_context(engine.solver(trained.net, solver_text(solver), weights))
        if weights is None:
            draw_weights(running, scoring(trained))
        losses = []
        for step in range(steps):
            result = running.step(inputs(trained, step), trained.losses, step)
            if result.broken is not None:
                raise SystemExit(f"{path}: {result.broken} at step {step + 1}")
            losses.append(sum(result.losses.values()))
    return Losses(losses, float(np.log(OUTPUTS)) * len(trained.losses))


def scoring(net: TrainingNet) -> set[str]:
    """The layers that make the scores."""
    return {layer.name for layer in net.net.layers if set(layer.tops) & set(net.scores)}


def draw_weights(net: CaffeSolver, small: set[str]) -> None:
    """Weights at random, as large as msra's filler makes them; deploy nets have no fillers.

    small: layers whose weights are a hundredth, so that their scores are about equal at first.
    """
    rng = np.random.default_rng(1)
    for layer, (weight, *_) in net.params.items():
        scale = np.sqrt(2 / np.prod(weight[1:])) * (0.01 if layer in small else 1)
        net.set_param(layer, 0, (scale * rng.standard_normal(weight)).astype(np.float32))


def inputs(net: TrainingNet, step: int) -> dict[str, Array]:
    """The pictures of a step in turn, each of stripes and some noise, and their labels."""
    ((name, shape),) = net.data.items()
    rng = np.random.default_rng(7)
    noise = rng.normal(0, 0.2, (PICTURES, *shape[1:])).astype(np.float32)
    numbers = [(step * shape[0] + each) % PICTURES for each in range(shape[0])]
    data = np.stack([noise[each] for each in numbers])
    classes = [each % OUTPUTS for each in numbers]
    rows, columns = np.indices(shape[2:])
    for picture, label in zip(data, classes, strict=True):
        # Stripes of a direction of their own.
        angle = np.pi * label / OUTPUTS
        picture += np.sin((np.cos(angle) * rows + np.sin(angle) * columns) * 2 * np.pi / 8)
    labels = {
        blob: np.broadcast_to(np.array(classes, np.float32)[:, None, None, None], of).copy()
        for blob, of in net.labels.items()
    }
    return {name: data, **labels}


if __name__ == "__main__":
    main()
