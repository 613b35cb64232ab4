"""The plan of an edit: operations carried out one after another on one session.

All of them or none: every operation that cannot be done is reported, and nothing is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from netsurgery.errors import CaffemodelError, FormatError, NetError, SurgeryError
from netsurgery.formats.caffemodel_new import NewLayer
from netsurgery.formats.caffemodel_write import LayerChange
from netsurgery.io.short_repr import ShortRepr
from netsurgery.io.wording import counted
from netsurgery.net.net import NetDefinition
from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.net.write_weights import ModelChange
from netsurgery.surgery.edit.changes import Step
from netsurgery.surgery.edit.session import EditSession
from netsurgery.surgery.edit.syntax import Assignment, NamedOperation, parse_operation
from netsurgery.surgery.edit.values.assign import assign
from netsurgery.surgery.edit.weights import added_layers, layer_changes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["EditPlan", "plan_edit"]


@dataclass(frozen=True, repr=False)
class EditPlan(ShortRepr):
    """All that an edit would do.

    net, new: the net before and after. steps: the operations in order. changes: layer
    of the model -> what becomes of it. saved: file -> float32 array to write to it as .npy. notes:
    what the user should know. read: the files that operations take values from. added: layers that
    the model lacks.

    >>> import netsurgery as ns
    >>> net, model = "prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel"
    >>> with ns.edit(net, model, "ip1[1]=0") as result:
    ...     [step.operation for step in result.plan.steps]
    ['ip1[1]=0']
    """

    net: NetDefinition
    new: NetDefinition
    steps: tuple[Step, ...]
    changes: dict[str, LayerChange]
    saved: dict[str, NDArray[np.float32]]
    notes: tuple[str, ...]
    read: tuple[str, ...] = ()
    added: tuple[NewLayer, ...] = ()

    @property
    def text(self) -> str | None:
        """The new prototxt, None where the net stays as it is."""
        return None if self.new is self.net else self.new.prototxt.text

    @property
    def change(self) -> ModelChange:
        """What becomes of the model."""
        return ModelChange(self.new, self.changes, self.added)

    def __str__(self) -> str:
        counts = {
            "param": len({(p.layer, p.index) for step in self.steps for p in step.params}),
            "field": len({(at, f.path) for step in self.steps for at, f in step.fields}),
            "layer": len({event.layer for step in self.steps for event in step.layers}),
        }
        things = [counted(n, word) for word, n in counts.items() if n]
        count = len(self.steps)
        return f"{counted(count, 'operation')}: {', '.join(things) or 'nothing'} changed"


def plan_edit(model: NetWithWeights, operations: Sequence[str]) -> EditPlan:
    """What the operations would do to a net and to its weights, which stay as they are.

    Only params that an operation names are read. The model has to stay open until the plan is
    carried out. Raises SurgeryError naming every operation that cannot be done and why; those
    after one that would have changed the net's structure are not looked at any more; and
    CaffemodelError for weights that cannot be read.
    """
    session = EditSession(model)
    steps: list[Step] = []
    refusals: list[str] = []
    for word in operations:
        try:
            operation = parse_operation(word, session.net)
        except SurgeryError as error:
            refusals.append(_refused(word, str(error)))
            continue
        try:
            steps.append(_run(session, word, operation))
        except CaffemodelError:  # of the weights, whatever is to be done with them
            raise
        except (SurgeryError, FormatError, NetError) as error:
            refusals.append(_refused(word, str(error)))
            # Later words may name what it would have made; errors about that would mislead.
            if isinstance(operation, NamedOperation) and operation.operation.structural:
                break
    session.notes += _order_notes([step.name for step in steps])
    if refusals:
        raise SurgeryError("; ".join(refusals))
    return EditPlan(
        net=model.net,
        # By identity `EditPlan.text` knows that the text is as it was.
        new=session.net if session.text_changed else model.net,
        steps=tuple(steps),
        changes=layer_changes(session),
        saved=session.saved,
        notes=tuple(
            dict.fromkeys(filter(None, (model.another_net(), *model.net.notes, *session.notes)))
        ),
        read=tuple(session.read_files),
        added=added_layers(session),
    )


def _run(session: EditSession, word: str, operation: Assignment | NamedOperation) -> Step:
    if isinstance(operation, NamedOperation):
        name = operation.operation.name
        run = partial(operation.operation.apply, session, operation.argument)
    else:
        name = operation.verb
        run = partial(assign, session, operation.target, operation.verb, operation.value)
    return session.run(word, name, run)


def _refused(word: str, why: str) -> str:
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
