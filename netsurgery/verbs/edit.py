"""Params and the structure around them changed by operations: from files to files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.net.state import TEST, NetState
from netsurgery.open_net.arguments import AnyPath, as_path
from netsurgery.surgery.edit.plan import EditPlan, plan_edit
from netsurgery.surgery.edit.write import EditPaths, check_edit_paths, write_edit

__all__ = ["edit"]


def edit(
    prototxt: AnyPath,
    weights: AnyPath,
    operations: Sequence[str],
    weights_out: AnyPath,
    prototxt_out: AnyPath | None = None,
    *,
    state: NetState = TEST,
    force: bool = False,
    dry_run: bool = False,
) -> EditPlan:
    """Change params, and the structure around them, by the operations of ``netsurgery edit``.

    operations: done from left to right, all or none; ``conv[0][2]=gaussian:sigma=1``,
    ``conv[1]+=1``, ``fold``, ``outputs:conv2:drop=1,3-7``. `Net` is the way to numbers of one's
    own; this one knows kernels and structure. prototxt_out: needed where the structure changes.
    state: phase, stages, level and shapes to read the net in.

    The plan's `steps` tell what each operation did, `text` is the new prototxt (None where it is
    the old). Raises SurgeryError with every operation that cannot be done and why, FormatError,
    NetError, OutputError; nothing is written then.
    """
    if isinstance(operations, str):
        operations = [operations]
    paths = EditPaths(Path(weights_out), as_path(prototxt_out))
    with NetWithWeights.open(prototxt, weights, state) as model:
        plan = plan_edit(model, operations)
        check_edit_paths(plan, paths)
        if not dry_run:
            write_edit(plan, model, paths, force=force)
    return plan
