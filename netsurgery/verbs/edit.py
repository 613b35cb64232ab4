"""``netsurgery.edit``: params, and the structure around them, changed by operations.

Outputs appear whole or not at all, inputs are never changed, and an output that exists is an error
without `force`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netsurgery.errors import SurgeryError
from netsurgery.io.argument_types import as_names, checks_arguments
from netsurgery.io.targets import wrote
from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.net.state import TEST, NetState
from netsurgery.open_net.arguments import AnyPath, as_path
from netsurgery.open_net.models import open_net_and_weights
from netsurgery.surgery.edit.changes import Step
from netsurgery.surgery.edit.plan import EditPlan, plan_edit
from netsurgery.surgery.edit.write import EditPaths, output_files, write_edit
from netsurgery.verbs.default_names import default_prototxt, default_weights, existing_outputs
from netsurgery.verbs.open_result import OpenResult

if TYPE_CHECKING:
    from netsurgery.io.table import Table
    from netsurgery.open_net.net import Net

__all__ = ["Edit", "edit"]


class Edit(OpenResult):
    """What the operations of `edit` do, and the edited net.

    paths: where weights and prototxt go, None as long as they go nowhere. written: the files
    written last. The input's weights stay open until this is closed or collected.

    >>> import netsurgery as ns
    >>> net, model = "prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel"
    >>> with ns.edit(net, model, "ip1[1]=0") as result:
    ...     result.save("zeros.caffemodel")
    ('zeros.caffemodel',)
    """

    noun = "edit"

    def __init__(self, plan: EditPlan, model: NetWithWeights, source: ExitStack) -> None:
        super().__init__(source, model)
        self.plan, self._model = plan, model
        self.paths: EditPaths | None = None
        self.written: tuple[str, ...] = ()
        self._output_notes: tuple[str, ...] = ()

    @property
    def steps(self) -> tuple[Step, ...]:
        """The operations in order, each with the params, fields and layers that it changes."""
        return self.plan.steps

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know."""
        return (*self.plan.notes, *self._output_notes)

    @property
    def text(self) -> str:
        """The prototxt of the edited net."""
        return self.plan.new.prototxt.text

    # Once, as each time writes another temporary file.
    @cached_property
    def net(self) -> Net:
        """The edited net, open, with its weights in a temporary file; the caller's to close."""
        from netsurgery.net.scratch_model import changed_model
        from netsurgery.open_net.net import Net

        self.check_open()
        return Net.of_model(changed_model(self._model, self.plan.change))

    @checks_arguments()
    def save(
        self,
        weights_out: AnyPath | None = None,
        prototxt_out: AnyPath | None = None,
        *,
        force: bool = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> tuple[str, ...]:
        """Write the edited weights, the prototxt where it changes, and the params to be saved.

        weights_out: default ``MODEL_edited.caffemodel`` in the current folder, or nothing where
        the operations only save params; "-" is standard output. prototxt_out: default
        ``NET_edited.prototxt`` beside the weights where the structure changes, else nothing.
        progress: called with the bytes of weights written so far and those in all. Returns the
        files written. What was changed in `net` is written by its own `save`, not here. Raises
        OutputError; nothing is written then.
        """
        self.check_open()
        paths = self._outputs(as_path(weights_out), as_path(prototxt_out))
        written = write_edit(self.plan, self._model, paths, force=force, progress=progress)
        self.paths, self.written, self._output_notes = paths, written, ()
        return self.written

    @checks_arguments()
    def plan_outputs(
        self, weights_out: AnyPath | None = None, prototxt_out: AnyPath | None = None
    ) -> None:
        """Set `paths` to where `save` would write, and say in `notes` what exists already.

        `written` is () again. Raises OutputError where it could not.
        """
        paths = self._outputs(as_path(weights_out), as_path(prototxt_out))
        notes = existing_outputs(
            output_files(self.plan, paths), [*self._model.files, *self.plan.read]
        )
        self.paths, self.written, self._output_notes = paths, (), notes

    def _outputs(self, weights: Path | None, prototxt: Path | None) -> EditPaths | None:
        path = self.plan.net.prototxt.path
        if weights is None and prototxt is None and all(s.name == "save" for s in self.steps):
            return None
        if weights is None:
            weights = default_weights(self._model.known_path or path, "edited")
        if prototxt is None and self.plan.text is not None:
            prototxt = weights.parent / default_prototxt(path, "edited")
        return EditPaths(weights, prototxt)

    def to_json(self) -> dict[str, Any]:
        """As `netsurgery edit --json` prints it."""
        prototxt = None if self.paths is None else self.paths.prototxt
        record: dict[str, Any] = {
            "operations": [step.to_json() for step in self.steps],
            "notes": list(self.notes),
            "weights": None if self.paths is None else str(self.paths.weights),
            "prototxt": None if prototxt is None else str(prototxt),
            "saved": list(self.plan.saved),
            "dry_run": not self.written,
        }
        if not self.written:
            from netsurgery.formats.line_diff import text_diff

            old = self.plan.net.prototxt
            name = str(prototxt or default_prototxt(old.path, "edited"))
            record["diff"] = text_diff(old, self.text, name)
        return record

    def __str__(self) -> str:
        return f"{self.plan}{wrote(self.written)}"

    def table(self) -> Table:
        """A row for each change, those of an operation below it."""
        from netsurgery.io.table import Column, Table

        table = Table((Column("operation"), Column("of"), Column("change")))
        for step in self.steps:
            for row, cells in enumerate(step.rows()):
                table.add(step.operation if not row else "", *cells)
        return table


@checks_arguments()
def edit(
    net: Net | AnyPath,
    weights: AnyPath | None = None,
    operations: str | Iterable[str] = (),
    weights_out: AnyPath | None = None,
    prototxt_out: AnyPath | None = None,
    *,
    state: NetState = TEST,
    force: bool = False,
    dry_run: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Edit:
    """Change params, and the structure around them, by the operations of ``netsurgery edit``.

    net: a prototxt, with its weights; or an open net, without, whose present params count and
    whose own stay as they are. operations: one or several, carried out from left to right, all or
    none: ``"conv1[0][2]=gaussian:sigma=1"``, ``"conv1[0]=msra:seed=1"``, ``"fold"``. weights_out,
    prototxt_out: the files to write, see `Edit.save`; without both nothing is written. state:
    phase, stages, level and shapes to read a prototxt in. dry_run: write nothing, see
    `Edit.plan_outputs`.
    progress: as in `Edit.save`.

    >>> import netsurgery as ns
    >>> paths = "prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel"
    >>> with ns.edit(*paths, ["ip1[0]=prune:fraction=0.5", "outputs:ip2:drop=10"]) as result:
    ...     print(result)
    ...     print(result.net.params["ip2"][0].shape)
    2 operations: 3 params, 1 field changed
    (10, 96)

    Raises SurgeryError with every operation that cannot be done and why, FormatError, NetError,
    OutputError, and TypeError for an open net with other weights; nothing is written then.
    """
    words = as_names(operations, "operations")
    with ExitStack() as stack:
        model = open_net_and_weights(stack, net, weights, state, finite=True)
        if not words:
            raise SurgeryError("found no operation, expected one at least, such as 'fold'")
        result = Edit(plan_edit(model, words), model, stack.pop_all())
    if dry_run:
        result.plan_outputs(weights_out, prototxt_out)
    elif weights_out is not None or prototxt_out is not None:
        result.save(weights_out, prototxt_out, force=force, progress=progress)
    return result
