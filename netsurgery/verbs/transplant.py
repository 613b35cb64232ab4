"""``netsurgery.transplant``: params of one net copied into another.

Outputs appear whole or not at all, inputs are never changed, and an output that exists is an error
without `force`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netsurgery.io.argument_types import checks_arguments
from netsurgery.io.files import Outputs
from netsurgery.io.shape_text import shape_text
from netsurgery.io.table import Column, Table
from netsurgery.io.targets import wrote
from netsurgery.net.inputs import assume_input, split_shapes
from netsurgery.net.net import NetDefinition, Shape
from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.net.state import TEST, NetState
from netsurgery.net.write_weights import write_model
from netsurgery.open_net.arguments import AnyPath, as_path
from netsurgery.open_net.models import AnyModel, check_model
from netsurgery.surgery.transplant.plan import (
    NameRule,
    ParamKey,
    Transfer,
    TransplantPlan,
    plan_transplant,
)
from netsurgery.surgery.transplant.weights import model_change
from netsurgery.verbs.default_names import default_weights, existing_outputs
from netsurgery.verbs.open_result import OpenResult

if TYPE_CHECKING:
    from netsurgery.open_net.net import Net

__all__ = ["Transplantation", "transplant"]


class Transplantation(OpenResult):
    """What a transplant does to each param, and the target net with its new params.

    weights: where they go, None as long as they go nowhere. written: the file written last, () for
    none; size: its bytes, seconds: the time it took, None where nothing was written. The inputs'
    weights stay open until this is closed or collected.

    >>> import netsurgery as ns
    >>> source = "prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel"
    >>> with ns.transplant(source, (source[0], None)) as result:
    ...     result.save("moved.caffemodel")
    ('moved.caffemodel',)
    """

    noun = "transplantation"

    def __init__(self, plan: TransplantPlan, source: ExitStack) -> None:
        super().__init__(source, plan.source.model, plan.target.model)
        self.plan = plan
        self.weights: Path | None = None
        self.written: tuple[str, ...] = ()
        self.size: int | None = None
        self.seconds: float | None = None
        self._output_notes: tuple[str, ...] = ()

    @property
    def transfers(self) -> tuple[Transfer, ...]:
        """Every param of both nets and its outcome, those of the target first, in its order."""
        return self.plan.transfers

    @property
    def counts(self) -> dict[str, int]:
        """Outcome -> how many params have it."""
        return self.plan.counts

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know."""
        return (*self.plan.notes, *self._output_notes)

    @cached_property
    def net(self) -> Net:
        """The target net, open, with its weights in a temporary file; the caller's to close."""
        from netsurgery.net.scratch_model import changed_model
        from netsurgery.open_net.net import Net

        self.check_open()
        return Net.of_model(changed_model(self.plan.target.model, model_change(self.plan)))

    @checks_arguments()
    def save(
        self,
        weights_out: AnyPath | None = None,
        *,
        force: bool = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> tuple[str, ...]:
        """Write the target's new weights; returns the file written.

        weights_out: HDF5 if it ends in .h5, "-" is standard output; default
        ``TO_transplanted.caffemodel`` in the current folder, named after the target's weights or,
        without those, its prototxt. progress: called with the bytes written so far and those in
        all. What was changed in `net` is written by its own `save`, not here. Raises OutputError;
        nothing is written then.
        """
        self.check_open()
        weights = as_path(weights_out) or self._default()
        started = time.monotonic()
        self.size = _write(self.plan, weights, force=force, progress=progress)
        self.seconds = time.monotonic() - started
        self.weights, self.written, self._output_notes = weights, (str(weights),), ()
        return self.written

    @checks_arguments()
    def plan_outputs(self, weights_out: AnyPath | None = None) -> None:
        """Set `weights` to where `save` would write, and say in `notes` if it exists already.

        `written` is () again. Raises OutputError where it could not.
        """
        weights = as_path(weights_out) or self._default()
        inputs = [*self.plan.source.model.files, *self.plan.target.model.files]
        self._output_notes = existing_outputs([weights], inputs)
        self.weights, self.written, self.size, self.seconds = weights, (), None, None

    def _default(self) -> Path:
        target = self.plan.target.model
        return default_weights(target.known_path or target.net.prototxt.path, "transplanted")

    def table(self) -> Table:
        """A row for each param."""
        table = Table(
            (
                Column("from"),
                Column("shape", 2),
                Column("outcome"),
                Column("to"),
                Column("shape", 2),
                Column("reason", 1),
            )
        )
        for transfer in self.transfers:
            table.add(
                *_cells(transfer.source, transfer.old),
                transfer.outcome,
                *_cells(transfer.target, transfer.new),
                transfer.reason,
            )
        return table

    def to_json(self) -> dict[str, Any]:
        """As `netsurgery transplant --json` prints it."""
        return {
            "params": [transfer.to_json() for transfer in self.transfers],
            "counts": self.counts,
            "layers_without_params": list(self.plan.absent),
            "params_without_layer": list(self.plan.target.model.extra),
            "notes": list(self.notes),
            "weights": None if self.weights is None else str(self.weights),
            "bytes": self.size,
            "seconds": None if self.seconds is None else round(self.seconds, 3),
            "dry_run": not self.written,
        }

    def __str__(self) -> str:
        return f"{self.plan}{wrote(self.written)}"


def _cells(param: ParamKey | None, shape: Shape | None) -> tuple[str, str]:
    return (
        "" if param is None else f"{param[0]}[{param[1]}]",
        "" if shape is None else shape_text(shape),
    )


@checks_arguments("transplant((prototxt, weights), (prototxt, weights), weights_out)")
def transplant(
    source: AnyModel,
    target: AnyModel,
    weights_out: AnyPath | None = None,
    *,
    names: Mapping[str, str] | None = None,
    prefix: str = "",
    suffix: str = "",
    cut: bool = False,
    strict: bool = False,
    state: NetState = TEST,
    force: bool = False,
    dry_run: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Transplantation:
    """Copy the params of one net into another, layers matched by name.

    source, target: (prototxt, weights) each, or an open net, whose present params count; neither
    changes. The target's weights may be None, and what is unmatched is then left for Caffe to
    fill. A param goes where it has the same shape, or the same numbers in another (O x C*H*W of an
    InnerProduct in O x C x H x W); one of another size is refused, never repeated or cut, unless
    `cut` asks for the part that overlaps. names: layer -> target layer, "" for none. prefix,
    suffix: put before or after every other name. strict: every layer of the target must have its
    params. weights_out: the file to write, see `Transplantation.save`; without it nothing is
    written. state: phase, stages, level and shapes to read prototxts in. dry_run: write nothing,
    see `Transplantation.plan_outputs`. progress: as in `Transplantation.save`.

    >>> import netsurgery as ns
    >>> net = "prototxt/digits_deploy.prototxt"
    >>> with ns.transplant((net, "models/digits/digits.caffemodel"), (net, None)) as result:
    ...     print(result)
    ...     print(result.net.params["ip2"][0].shape)
    10 copied
    (11, 96)

    Raises SurgeryError with every refusal, FormatError, NetError, OutputError, and TypeError for
    what is neither a pair nor an open net.
    """
    rule = NameRule(dict(names or {}), prefix, suffix)
    with ExitStack() as stack:
        models = _opened(stack, source, target, state)
        plan = plan_transplant(*models, rule, cut=cut, strict=strict)
        result = Transplantation(plan, stack.pop_all())
    if dry_run:
        result.plan_outputs(weights_out)
    elif weights_out is not None:
        result.save(weights_out, force=force, progress=progress)
    return result


def _opened(
    stack: ExitStack, source: AnyModel, target: AnyModel, state: NetState
) -> tuple[NetWithWeights, NetWithWeights]:
    """Both models, closed with `stack`.

    Of the state's shapes each net gets those that name a blob of its own. The input of a target
    without weights, if its shape is not known, is assumed to be the source's.
    """
    sides = (source, target)
    # Both before any file is read: a wrong call is a TypeError, whatever the files hold.
    for side in sides:
        check_model(side)
    nets = [
        NetDefinition.read(side[0], state) if isinstance(side, tuple) else side.view
        for side in sides
    ]
    # An open net is in its own state, to which no shapes are added.
    if all(isinstance(side, tuple) for side in sides):
        nets = list(split_shapes(*nets))
    if isinstance(target, tuple) and target[1] is None:
        nets[1] = assume_input(nets[1], nets[0])
    first, second = (
        NetWithWeights(net, as_path(side[1]))
        if isinstance(side, tuple)
        # NaN among changed params is refused as by `Net.save`: it would be written.
        else side.present_model(finite=True)
        for side, net in zip(sides, nets, strict=True)
    )
    return stack.enter_context(first), stack.enter_context(second)


def _write(
    plan: TransplantPlan,
    weights: Path,
    *,
    force: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Write the planned weights, HDF5 or a caffemodel by the name; returns the bytes.

    Where the target has a caffemodel and one is written, all that is not replaced is that file's,
    byte for byte; layers it lacked come at its end. Otherwise the file is new, its layers in the
    target net's order. progress: called with the bytes written so far and those in all. Raises
    OutputError; nothing is written then.
    """
    source, target = plan.source.model, plan.target.model
    inputs = [*source.files, *target.files]
    with Outputs([weights], inputs=inputs, force=force, stdout=True) as outputs:
        written = write_model(outputs[weights], target, model_change(plan), progress)
        # Before the output appears: it holds ranges of the source.
        source.check_unchanged()
    return written
