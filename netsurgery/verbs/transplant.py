"""Params of one net put into another: from files to a file."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from netsurgery.io.files import Outputs
from netsurgery.net.inputs import assume_input, given_to_either
from netsurgery.net.net import NetDefinition
from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.net.state import TEST, NetState
from netsurgery.net.write_weights import write_model
from netsurgery.surgery.transplant.plan import NameRule, TransplantPlan, plan_transplant
from netsurgery.surgery.transplant.weights import model_change

__all__ = ["Transplantation", "planned_transplant", "transplant"]


@dataclass(frozen=True)
class Transplantation:
    """What was done: bytes written, and in how many seconds."""

    plan: TransplantPlan
    weights: Path
    written: int
    seconds: float


@contextmanager
def planned_transplant(
    source: tuple[Path, Path],
    target: tuple[Path, Path | None],
    rule: NameRule,
    *,
    state: NetState = TEST,
    cut: bool = False,
    strict: bool = False,
) -> Iterator[TransplantPlan]:
    """Open both nets and their weights, and plan; the files are closed with the context.

    source, target: prototxt and weights, the target's may be None. state: in which both nets are
    read, a shape being given to whichever has the blob; the input of a target without weights, if
    its shape is not known, is taken to be the source's. cut: where sizes differ, the
    part that overlaps goes. strict: every layer of the target must have its params. Raises
    FormatError, NetError, and SurgeryError with every refusal.
    """
    nets = given_to_either(
        NetDefinition.read(source[0], state), NetDefinition.read(target[0], state)
    )
    goal = nets[1] if target[1] is not None else assume_input(nets[1], nets[0])
    with NetWithWeights(nets[0], source[1]) as one, NetWithWeights(goal, target[1]) as other:
        yield plan_transplant(one, other, rule, cut=cut, strict=strict)


def transplant(
    plan: TransplantPlan,
    weights: Path,
    *,
    force: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Transplantation:
    """Write the planned weights to `weights`: HDF5 if its name ends in .h5, else a caffemodel.

    Where the target has a caffemodel and one is written, all that is not replaced is that file's,
    byte for byte; layers it lacked come at its end. Otherwise the file is new, its layers in the
    target net's order. progress: called with the number of bytes written. Raises OutputError;
    nothing is written then.
    """
    started = time.monotonic()
    source, target = plan.source.model, plan.target.model
    with Outputs([weights], inputs=[*source.files, *target.files], force=force) as outputs:
        written = write_model(outputs[weights], target, model_change(plan), progress)
        source.check_unchanged()
    return Transplantation(plan, weights, written, time.monotonic() - started)
