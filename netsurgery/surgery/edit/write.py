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

__all__ = ["EditPaths", "write_edit"]


@dataclass(frozen=True)
class EditPaths:
    """Where the weights and the prototxt go, None for no prototxt; one may be "-"."""

    weights: Path
    prototxt: Path | None = None


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
    weights = [] if paths is None else [str(paths.weights)]
    prototxt = [] if paths is None or paths.prototxt is None else [str(paths.prototxt)]
    written = [*weights, *plan.saved, *prototxt]
    with Outputs(written, inputs=model.files, force=force, stdout=True) as outputs:
        for name, array in plan.saved.items():
            outputs[name].write(npy_bytes(array))
        for name in prototxt:
            outputs[name].write(plan.new.prototxt.to_bytes())
        for name in weights:
            write_model(outputs[name], model, plan.change, progress)
    return tuple(written)
