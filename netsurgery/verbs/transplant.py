"""Params of one net put into another: from files to a file."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from netsurgery.io.files import Outputs
from netsurgery.net.inputs import assume_input, split_shapes
from netsurgery.net.net import NetDefinition
from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.net.state import TEST, NetState
from netsurgery.net.write_weights import write_model
from netsurgery.open_net.arguments import AnyPath, as_path
from netsurgery.surgery.transplant.plan import NameRule, TransplantPlan, plan_transplant
from netsurgery.surgery.transplant.weights import model_change

__all__ = ["Transplantation", "planned_transplant", "transplant", "write_transplant"]


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
    nets = split_shapes(NetDefinition.read(source[0], state), NetDefinition.read(target[0], state))
    goal = nets[1] if target[1] is not None else assume_input(nets[1], nets[0])
    with NetWithWeights(nets[0], source[1]) as one, NetWithWeights(goal, target[1]) as other:
        yield plan_transplant(one, other, rule, cut=cut, strict=strict)


def write_transplant(
    plan: TransplantPlan,
    weights: Path,
    *,
    force: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Transplantation:
    """Write the planned weights to `weights`: HDF5 if its name ends in .h5, else a caffemodel.

    Where the target has a caffemodel and one is written, all that is not replaced is that file's,
    byte for byte; layers it lacked come at its end. Otherwise the file is new, its layers in the
    target net's order. progress: called with the bytes written and those in all. Raises
    OutputError; nothing is written then.
    """
    started = time.monotonic()
    source, target = plan.source.model, plan.target.model
    with Outputs([weights], inputs=[*source.files, *target.files], force=force) as outputs:
        written = write_model(outputs[weights], target, model_change(plan), progress)
        source.check_unchanged()
    return Transplantation(plan, weights, written, time.monotonic() - started)


def transplant(
    source: tuple[AnyPath, AnyPath],
    target: tuple[AnyPath, AnyPath | None],
    weights_out: AnyPath,
    *,
    names: Mapping[str, str] | None = None,
    prefix: str = "",
    suffix: str = "",
    cut: bool = False,
    strict: bool = False,
    state: NetState = TEST,
    force: bool = False,
    dry_run: bool = False,
) -> TransplantPlan:
    """Put the params of one net into another, layers matched by name.

    source, target: (prototxt, weights) each; the target's weights may be None, and what nothing
    comes for is then left for Caffe to fill. A param goes where it has the same shape, or the same
    numbers in another (O x C*H*W of an InnerProduct in O x C x H x W); one of another size is
    refused, never repeated or cut, unless `cut` asks for the part that overlaps. names: layer ->
    target layer, "" for none. prefix, suffix: put before or behind every other name. strict:
    every layer of the target must have its params. state: phase, stages, level and shapes to read
    both nets in.

    The plan's `transfers` tell each param's outcome: copied, reshaped, transposed, reordered,
    sliced, dropped or unmatched. Raises SurgeryError with every refusal, FormatError, NetError,
    OutputError.
    """
    rule = NameRule(dict(names or {}), prefix, suffix)
    one = (Path(source[0]), Path(source[1]))
    other = (Path(target[0]), as_path(target[1]))
    with planned_transplant(one, other, rule, state=state, cut=cut, strict=strict) as plan:
        if not dry_run:
            write_transplant(plan, Path(weights_out), force=force)
    return plan
