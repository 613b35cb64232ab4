"""Edits of a net and its weights: the new files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from netsurgery.errors import SurgeryError
from netsurgery.io.files import Outputs
from netsurgery.io.npy import npy_bytes
from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.net.write_weights import ModelChange, write_model
from netsurgery.surgery.edit.plan import EditPlan

__all__ = ["EditPaths", "check_edit_paths", "write_edit"]


@dataclass(frozen=True)
class EditPaths:
    """Where the outputs go; `prototxt` is None where no new prototxt is wanted."""

    weights: Path
    prototxt: Path | None = None


def check_edit_paths(plan: EditPlan, paths: EditPaths) -> None:
    """Raise SurgeryError where the net changes and its new prototxt has no place to go."""
    if plan.text is not None and paths.prototxt is None:
        raise SurgeryError(
            f"{plan.net.prototxt.path}: the net's structure changes with its weights; "
            "say where the new prototxt goes with --prototxt-out"
        )


def write_edit(
    plan: EditPlan,
    model: NetWithWeights,
    paths: EditPaths,
    *,
    force: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[str, ...]:
    """Write what `plan` says; returns the files written.

    What no operation named is copied byte for byte where both files are caffemodels. `model` is
    the one that the plan was made with. progress: called with the bytes of weights written and
    those in all. Raises SurgeryError, OutputError; nothing is written then.
    """
    check_edit_paths(plan, paths)
    written: list[str | Path] = [paths.weights, *plan.saved]
    written += [] if paths.prototxt is None else [paths.prototxt]
    with Outputs(written, inputs=model.files, force=force) as outputs:
        for name, array in plan.saved.items():
            outputs[name].write(npy_bytes(array))
        if paths.prototxt is not None:
            outputs[paths.prototxt].write(plan.new.prototxt.to_bytes())
        change = ModelChange(plan.new, plan.changes, plan.added)
        write_model(outputs[paths.weights], model, change, progress)
    return tuple(map(str, written))
