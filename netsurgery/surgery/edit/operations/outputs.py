"""Outputs of a layer kept, dropped or added, and everything that depends on them adjusted.

``outputs:conv1:keep=0,2-5`` keeps these filters, in this order; ``outputs:conv1:drop=1,3-7``
drops these; ``outputs:fc8:add=5`` appends five of zeros, to be trained or filled by other
operations. The layers that read the outputs lose the matching inputs, BatchNorm, Scale and the
like the matching channels; layers joined by an Eltwise are all cut alike.

The new net gives what the old one gives with zeros in place of the weights that read a dropped
channel. Blobs that are outputs of the net keep their remaining values; a Softmax after them is
taken over what remains. An operation is refused where that would not hold: where a layer on the
way mixes all channels, or is not known. Normalization across channels (LRN, Normalize) changes
the remaining ones; ``:normalization=approximate``, appended, allows it, for nets that are trained
further.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from netsurgery.errors import SurgeryError
from netsurgery.io.wording import counted
from netsurgery.net.net import Layer
from netsurgery.surgery.edit.channel_types import channel_axis, is_weighted, outputs_of
from netsurgery.surgery.edit.cut_params import apply_cuts
from netsurgery.surgery.edit.cuts import NEW, Cut, Rows, identity
from netsurgery.surgery.edit.follow import APPROXIMATE, Follower
from netsurgery.surgery.edit.operations.record import Argument, Form, Operation
from netsurgery.surgery.edit.paths import path_through
from netsurgery.surgery.edit.session import EditSession, refusal
from netsurgery.surgery.edit.targets import layer_before

__all__ = ["OPERATIONS", "change_outputs", "cut_outputs"]

_EXPECTED = "keep=0,2-5, drop=1 or add=5"


def change_outputs(work: EditSession, argument: str) -> None:
    """``LAYER:keep=0,2-5``, ``LAYER:drop=1`` or ``LAYER:add=5``. Raises SurgeryError.

    After it ``:normalization=approximate`` passes layers that normalize across channels.
    """
    approximate = argument.endswith(APPROXIMATE)
    argument = argument.removesuffix(APPROXIMATE)
    names = [layer.name for layer in work.net.layers]
    name = layer_before(argument, names, ":") or argument.rpartition(":")[0]
    if not name:
        raise SurgeryError(f"expected outputs:LAYER:{_EXPECTED}{work.net.stage_hint}")
    layer = work.layer(name)
    change = argument[len(name) + 1 :]
    cut_outputs(work, layer, lambda old: _rows(change, old), approximate=approximate)


def cut_outputs(
    work: EditSession, layer: Layer, rows: Callable[[int], Rows], *, approximate: bool = False
) -> None:
    """Leave the layer those of its outputs that `rows` says, of how many there are.

    approximate: whether layers that normalize across channels may be passed. Raises SurgeryError
    naming the layer that stands in the way, and what `rows` raises.
    """
    name, follow = layer.name, Follower(work, layer, approximate=approximate)
    axis, old = _channels(follow, layer)
    cut = Cut(axis, rows(old), old)
    if cut.same:
        work.notes.append(f"every output of {name!r} stays as it is")
        return
    follow.follow(cut)
    results = set(work.net.outputs)  # before the cut: the net is another one after it
    apply_cuts(follow)
    work.notes += [
        f"layer {name!r} normalizes across the channels that are left: its values change"
        for name in follow.normalizing
    ]
    if any(blob.name in results for blob in follow.cuts):
        work.notes.append(f"the classes of {name!r} have changed; a file of labels has to follow")


def _channels(follow: Follower, layer: Layer) -> tuple[int, int]:
    """The axis of the layer's channels, and how many there are."""
    if not layer.tops or not layer.bottoms:
        raise refusal(layer.name, f"it is of type {layer.type}, which computes no outputs")
    if is_weighted(layer):
        return channel_axis(follow.work.shapes, layer), outputs_of(follow.work.shapes, layer)
    if len(layer.tops) > 1:
        raise refusal(
            layer.name, f"it has {counted(len(layer.tops), 'top')}; name a layer after it"
        )
    # Before any number of an output is held against axis 1, which may be another one's here.
    path_through(follow, layer)
    # Without weights of its own: the cut goes back to the layer that makes the channels.
    shape = follow.shape(follow.tops(layer)[0], layer)
    if len(shape) < 2:
        raise refusal(layer.name, "its top has no channels")
    return 1, shape[1]


def _rows(change: str, old: int) -> Rows:
    """For each new output the old one it is, `NEW` for a new one."""
    kind, _, value = change.partition("=")
    if kind == "add":
        if not re.fullmatch(r"[0-9]{1,7}", value) or int(value) == 0:
            raise SurgeryError(f"add={value}: expected how many, 1 or more, up to 9999999")
        return (*identity(old), *[NEW] * int(value))
    if kind not in ("keep", "drop"):
        raise SurgeryError(f"found {change!r}, expected {_EXPECTED}")
    rows: dict[int, None] = {}
    for row in _numbers(kind, value, old):
        if row in rows:
            raise SurgeryError(f"{kind}={value}: {row} is named twice")
        rows[row] = None
    if kind == "keep":
        return tuple(rows)
    if len(rows) == old:
        raise SurgeryError(f"{kind}={value}: all {old} would go; one has to stay")
    return tuple(row for row in range(old) if row not in rows)


def _numbers(kind: str, value: str, old: int) -> Iterator[int]:
    """The numbers that ``0,2-5`` lists. Raises SurgeryError."""
    for piece in value.split(","):
        ends = re.fullmatch(r"([0-9]{1,9})(?:-([0-9]{1,9}))?", piece)
        # (1, 0) is refused below
        first, last = (int(ends[1]), int(ends[2] or ends[1])) if ends else (1, 0)
        if not first <= last < old:
            raise SurgeryError(
                f"{kind}={value}: found {piece!r}, expected 0 to {old - 1}, or a range such as 0-1"
            )
        yield from range(first, last + 1)


OPERATIONS = (
    Operation(
        "outputs",
        change_outputs,
        (
            Form("outputs:LAYER:keep=0,4-9", "Only these outputs, in this order."),
            Form("outputs:LAYER:drop=1,3-7", "All outputs but these."),
            Form("outputs:LAYER:add=N", "N more outputs, of zeros."),
            Form(
                "outputs:LAYER:drop=1,3-7:normalization=approximate",
                "Any of these where LRN or Normalize across channels reads the outputs; inexact.",
            ),
        ),
        "outputs:conv2:drop=1,3-7",
        Argument.REQUIRED,
    ),
)
