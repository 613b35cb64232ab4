"""The files that an edit writes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from netsurgery.io.files import Outputs
from netsurgery.io.npy import npy_bytes
from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.net.write_weights import write_model
from netsurgery.surgery.edit.plan import EditPlan

__all__ = ["EditPaths", "output_files", "write_edit"]


@dataclass(frozen=True)
class EditPaths:
    """Where the weights and the prototxt go, None for no prototxt; one may be "-"."""

    weights: Path
    prototxt: Path | None = None


def output_files(plan: EditPlan, paths: EditPaths | None) -> tuple[str, ...]:
    """The files that `write_edit` writes: the weights, the params that are saved, the prototxt."""
    weights = [] if paths is None else [str(paths.weights)]
    prototxt = [] if paths is None or paths.prototxt is None else [str(paths.prototxt)]
    return (*weights, *plan.saved, *prototxt)


def write_edit(
    plan: EditPlan,
    model: NetWithWeights,
    paths: EditPaths | None,
    *,
    force: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[str, ...]:
    """Write what `plan` says; returns the files written.

    What no operation named is copied byte for byte where both files are caffemodels. paths: None
    to write nothing but the params that operations save. `model` is the one that the plan was made
    with. progress: called with the bytes of weights written so far and those in all. Raises
    OutputError; nothing is written then.
    """
    files = output_files(plan, paths)
    inputs = [*model.files, *plan.read]
    with Outputs(files, inputs=inputs, force=force, stdout=True) as outputs:
        for name, array in plan.saved.items():
            outputs[name].write(npy_bytes(array))
        if paths is not None and paths.prototxt is not None:
            outputs[paths.prototxt].write(plan.new.prototxt.to_bytes())
        if paths is not None:
            write_model(outputs[paths.weights], model, plan.change, progress)
    return files
