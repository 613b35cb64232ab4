"""A classifier's outputs cut down to some, or grown by more.

``outputs:fc8:keep=281,282`` keeps these rows of the weight and of the bias, in this order;
``outputs:fc8:add=5`` puts five rows of zeros behind the others, to be trained or filled by other
operations. Cut rows give the same numbers as before; a Softmax behind them shares out the rest.

Refused where what follows depends on how many channels there are, or on which is which.
"""

from __future__ import annotations

import re

from netsurgery.errors import PrototxtError, SurgeryError
from netsurgery.net.net import Layer
from netsurgery.net.shape_rules import keeps_turned
from netsurgery.surgery.edit.layer_text import PARAM, other_phases_read, set_outputs
from netsurgery.surgery.edit.operations import layer_before
from netsurgery.surgery.edit.workpiece import Effect, Workpiece, stop

__all__ = ["change_outputs"]

#: Layers that do with each channel what they did, however many there are.
_INDIFFERENT = frozenset(
    """
    AbsVal ArgMax BNLL Clip Dropout ELU Exp Flatten Log Pooling Power ReLU Sigmoid Silence Softmax
    Split Swish TanH Threshold
    """.split()
)

#: Field number of num_output in ConvolutionParameter and InnerProductParameter.
_NUM_OUTPUT = 1


def change_outputs(work: Workpiece, argument: str) -> None:
    """``LAYER:keep=0,2`` or ``LAYER:add=5``. Raises SurgeryError."""
    name = layer_before(argument, [layer.name for layer in work.net.layers], ":")
    if name is None:
        raise SurgeryError("found no layer of the net, expected outputs:LAYER:keep=0,2 or :add=5")
    layer = work.layer(name)
    if layer.type not in ("Convolution", "InnerProduct"):
        raise stop(name, f"it is of type {layer.type}, expected Convolution or InnerProduct")
    message = layer.param(PARAM[layer.type])
    if message.integer("group", 1, 1) != 1:
        raise stop(name, "its outputs are in groups")
    old = message.integer("num_output", 0)
    rows = _rows(argument[len(name) + 1 :], old)
    _check_behind(work, layer, len(rows))
    work.refuse_shared(name, *range(work.count(name)))
    _take_rows(work, layer, rows)
    _set_text(work, layer, len(rows))
    work.notes.append(f"the classes of {name!r} have changed; a file of labels has to follow")


def _rows(change: str, old: int) -> list[int | None]:
    """For each new output the old one it is, None for a new one."""
    kind, _, value = change.partition("=")
    if kind == "add":
        if not re.fullmatch(r"[0-9]{1,7}", value) or int(value) == 0:
            raise SurgeryError(f"add={value}: expected how many, 1 or more")
        return [*range(old), *[None] * int(value)]
    if kind != "keep":
        raise SurgeryError(f"found {change!r}, expected keep=0,2 or add=5")
    rows: list[int | None] = []
    for piece in value.split(","):
        if not re.fullmatch(r"[0-9]{1,9}", piece) or int(piece) >= old:
            raise SurgeryError(f"keep={value}: found {piece!r}, expected 0 to {old - 1}")
        if int(piece) in rows:
            raise SurgeryError(f"keep={value}: {piece} is named twice")
        rows.append(int(piece))
    return rows


def _check_behind(work: Workpiece, layer: Layer, outputs: int) -> None:
    blobs = set(layer.tops)
    for top in layer.tops:
        if other := other_phases_read(work.net, top):
            raise stop(
                layer.name, f"layer {other!r} of another phase or stage names its top {top!r}"
            )
    for reader in work.net.layers:
        if reader.index > layer.index and blobs.intersection(reader.bottoms):
            _check_reader(layer, reader, outputs)
            blobs.update(reader.tops)


def _check_reader(layer: Layer, reader: Layer, outputs: int) -> None:
    shared = reader.param("prelu_param").boolean("channel_shared", False)
    if reader.type not in _INDIFFERENT and not (reader.type == "PReLU" and shared):
        what = f"layer {reader.name!r} ({reader.type}) behind it depends on its outputs"
        raise stop(layer.name, what)
    best = reader.param("argmax_param").integer("top_k", 1, 1)
    if best > outputs:
        raise stop(layer.name, f"layer {reader.name!r} wants the best {best} of {outputs} outputs")


def _take_rows(work: Workpiece, layer: Layer, rows: list[int | None]) -> None:
    import numpy as np

    taken = np.array([0 if row is None else row for row in rows])
    new = np.array([row is None for row in rows])
    for index in range(work.count(layer.name)):
        axis = 1 if keeps_turned(layer) and index == 0 else 0
        values = np.moveaxis(work.peek(layer.name, index), axis, 0)[taken]
        values[new] = 0
        work.set_param(layer.name, index, np.moveaxis(values, 0, axis))
        what = f"{np.count_nonzero(~new)} outputs kept, {np.count_nonzero(new)} of zeros added"
        work.effects.append(Effect(layer.name, index, what))


def _set_text(work: Workpiece, layer: Layer, outputs: int) -> None:
    edits = work.net.prototxt.edits()
    set_outputs(edits, layer, outputs)
    before = dict(work.shapes.params)
    work.edited(edits)
    work.fields.setdefault(layer.name, {})[_NUM_OUTPUT] = outputs
    try:
        after = work.shapes.params
    except PrototxtError as error:
        raise stop(layer.name, f"the net does not go together any more: {error}") from None
    for name, shapes in before.items():
        if name != layer.name and after.get(name) != shapes:
            raise stop(layer.name, f"the params of layer {name!r} depend on its outputs")
