"""Caffe's own solver in the worker, as netsurgery drives it: a net that is trained step by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from netsurgery.engines.caffe_net import CaffeNet, shape_of
from netsurgery.engines.worker_process import wire_path
from netsurgery.errors import EngineError, EngineFailed

if TYPE_CHECKING:
    from netsurgery.engines.contract import Array

__all__ = ["CaffeSolver", "NotFinite", "StepResult"]

#: A seed of Caffe's is an unsigned int.
_SEEDS = 2**32


@dataclass(frozen=True)
class NotFinite:
    """Where a step's numbers stopped being finite: the layer, and what of it.

    what: "param", "blob" (that it makes) or "gradient" (of its params). blob: its name.
    """

    layer: str
    what: str
    blob: str = ""

    def __str__(self) -> str:
        if self.what == "blob":
            return f"blob {self.blob!r} of layer {self.layer!r}"
        return f"a {self.what} of layer {self.layer!r}"


@dataclass(frozen=True)
class StepResult:
    """A step's losses, by their blobs; broken: why it was called off, None where it was made."""

    losses: Mapping[str, float]
    broken: NotFinite | None


class CaffeSolver(CaffeNet):
    """A net inside the worker with Caffe's solver over it. Its step 0 is the first."""

    #: How many steps were made; and whether the last one was called off.
    steps = 0
    _called_off = False

    def step(self, inputs: Mapping[str, Array], losses: Sequence[str], seed: int) -> StepResult:
        """One step on these inputs: forward, backward, and the update.

        seed: of the step's random numbers, any whole number from 0 on. Where a loss or a gradient
        is not finite no param changes. Raises EngineError for inputs that do not fit.
        """
        arrays = self._fitting(inputs)
        self._check_open()
        offsets = self._worker.put(arrays)
        feed = [[name, offset] for name, offset in zip(inputs, offsets, strict=True)]
        doing = f"training {self.path}, step {self.steps + 1}"
        result = self._request("step", doing, inputs=feed, blobs=list(losses), seed=seed % _SEEDS)
        with self._worker.sense(doing):
            values = {}
            for name, (shape, offset) in zip(losses, result["blobs"], strict=True):
                values[name] = float(self._worker.take(shape_of(shape), *shape_of([offset])).sum())
            broken = result["broken"]
            if broken is not None:
                where = (str(broken[key]) for key in ("layer", "what", "blob"))
                self._called_off = True
                return StepResult(values, NotFinite(*where))
        self._called_off = False
        self.steps += 1
        return StepResult(values, None)

    def save_state(self, path: Path) -> None:
        """Write the momentum and the step's number as Caffe's own .solverstate.

        Raises EngineFailed, and EngineError before the first step, when there is none, and after
        one that was called off, when it is lost.
        """
        if not self.steps or self._called_off:
            why = "the last step was called off" if self.steps else "no step was made"
            raise EngineError(f"{self.path}: {why}, so there is no state to save")
        self._check_open()
        self._worker.check_alive()
        with self._handover.saved(path) as place:
            self._request("save_state", f"saving to {path}", path=wire_path(place))

    def restore(self, path: Path, steps: int) -> None:
        """Go on from a .solverstate after so many steps; the params are those it is trained with.

        Raises EngineFailed where Caffe refuses it, or it is of another step.
        """
        doing = f"restoring {path}"
        with self._handover.weights(path) as place:
            assert place is not None
            result = self._request("restore", doing, path=wire_path(place))
        with self._worker.sense(doing):
            (step,) = shape_of([result["step"]])
        if step != steps:
            raise EngineFailed(f"{path}: is of step {step}, expected step {steps}")
        self.steps = steps

    def lend(self, net: CaffeNet) -> None:
        """Have another net of the same engine and layers run with these params from now on."""
        self._check_open()
        net._request("share", f"sharing the params of {self.path}", source=self.number)
