"""Edits of a net and its params: operations done one after another on one working state.

All of them or none: what cannot be done is told, every operation of it, and nothing is written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from netsurgery.errors import FormatError, NetError, SurgeryError
from netsurgery.formats.caffemodel_new import NewLayer
from netsurgery.formats.caffemodel_write import LayerChange
from netsurgery.net.net import NetDefinition
from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.surgery.edit.operations import ParamOperation, Structural, parse_operation
from netsurgery.surgery.edit.session import Change, EditSession
from netsurgery.surgery.edit.values import do_values, save_values
from netsurgery.surgery.edit.weights import added_layers, layer_changes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["EditPlan", "Step", "plan_edit"]


@dataclass(frozen=True)
class Step:
    """One operation, as it was given, and what it does."""

    operation: str
    effects: tuple[Change, ...]


@dataclass(frozen=True)
class EditPlan:
    """All that an edit would do.

    net, new: the net as it is and as it becomes. steps: the operations in order. changes: layer
    of the model -> what becomes of it. saved: file -> float32 array to write to it as .npy. notes:
    what the user should know. added: layers that the model has not.
    """

    net: NetDefinition
    new: NetDefinition
    steps: tuple[Step, ...]
    changes: dict[str, LayerChange]
    saved: dict[str, NDArray[np.float32]]
    notes: tuple[str, ...]
    added: tuple[NewLayer, ...] = ()

    @property
    def text(self) -> str | None:
        """The new prototxt, None where the net stays as it is."""
        return None if self.new is self.net else self.new.prototxt.text


def plan_edit(model: NetWithWeights, operations: Sequence[str]) -> EditPlan:
    """What the operations would do to a net and to its weights, which stay as they are.

    Only params that an operation names are read. The model has to stay open until the plan is
    carried out. Raises SurgeryError naming every operation that cannot be done and why; those
    behind one that would have changed the net's structure are not looked at any more.
    """
    work = EditSession(model)
    steps: list[Step] = []
    refusals: list[str] = []
    done: list[str] = []
    for word in operations:
        work.effects = []
        structural = True
        try:
            operation = parse_operation(word, work.net)
            structural = isinstance(operation, Structural)
            _do(work, operation)
            if isinstance(operation, Structural):
                done.append(operation.name)
        except (SurgeryError, FormatError, NetError) as error:
            refusals.append(_told(word, str(error)))
            if structural:
                break
        steps.append(Step(word, tuple(work.effects)))
    work.notes += _order_notes(done)
    if refusals:
        raise SurgeryError("; ".join(refusals))
    return EditPlan(
        net=model.net,
        new=work.net if work.text_changed else model.net,
        steps=tuple(steps),
        changes=layer_changes(work),
        saved=work.saved,
        notes=tuple(dict.fromkeys((*model.net.notes, *work.notes))),
        added=added_layers(work),
    )


def _told(word: str, why: str) -> str:
    """An operation and what is wrong; a file or option that ends the word is named once."""
    if not word:
        return why
    name, colon, rest = why.partition(": ")
    return f"{word}: {rest}" if colon and word.endswith(f":{name}") else f"{word}: {why}"


def _order_notes(done: Sequence[str]) -> list[str]:
    """What to know of the order in which mean and scale were folded."""
    if "fold-mean" not in done or "fold-scale" not in done[done.index("fold-mean") :]:
        return []
    return [
        "fold-scale after fold-mean: the new net's input is x where the old one's was "
        "x * scale - mean; for Caffe's (x - mean) * scale give fold-scale first"
    ]


def _do(work: EditSession, operation: ParamOperation | Structural) -> None:
    with work.working():
        if isinstance(operation, ParamOperation):
            (save_values if operation.verb == "save" else do_values)(work, operation)
        else:
            _structural()[operation.name](work, operation.argument)


def _structural() -> dict[str, Callable[[EditSession, str], None]]:
    from netsurgery.surgery.edit.channels import fold_mean, fold_scale, swap_input_channels
    from netsurgery.surgery.edit.fold import fold
    from netsurgery.surgery.edit.grey import grey_to_rgb, rgb_to_grey
    from netsurgery.surgery.edit.outputs import change_outputs
    from netsurgery.surgery.edit.split import split_batch_norm

    return {
        "fold": fold,
        "fold-mean": fold_mean,
        "fold-scale": fold_scale,
        "grey-to-rgb": grey_to_rgb,
        "outputs": change_outputs,
        "rgb-to-grey": rgb_to_grey,
        "split-batch-norm": split_batch_norm,
        "swap-input-channels": swap_input_channels,
    }
