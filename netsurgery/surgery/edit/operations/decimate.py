"""A layer with fewer weights: every k-th position of its kernel, and some of its outputs.

So DeepLab made the large fc6 of VGG small before it trained on: of 7 x 7 positions 3 x 3 remain,
three apart, and 1024 of 4096 outputs. ``decimate:fc6-conv:kernel=3:outputs=1024`` keeps the
positions 0, 3 and 6 of rows and of columns, with a dilation of 3, and the outputs 0, 4, ... 4092.
What reads the outputs is cut to match, as by ``outputs``.

Each cell of the old map is there, and is what the old net gives with zeros for all weights that
are dropped. That is another function: the net is meant to be trained further.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from netsurgery.errors import SurgeryError
from netsurgery.io.shape_text import shape_text, sides_text
from netsurgery.io.wording import counted, plural
from netsurgery.net import types
from netsurgery.net.net import Layer, Shape
from netsurgery.net.types.record import WeightLayout
from netsurgery.net.windows import Window, conv_window
from netsurgery.surgery.edit.channel_types import channel_axis, is_weighted, outputs_of
from netsurgery.surgery.edit.cut_params import edit_as_expected, own_params
from netsurgery.surgery.edit.cuts import Rows, identity
from netsurgery.surgery.edit.decimation import Decimation, decimation, numbers_text
from netsurgery.surgery.edit.follow import APPROXIMATE
from netsurgery.surgery.edit.layer_text import own_message
from netsurgery.surgery.edit.operations.outputs import cut_outputs
from netsurgery.surgery.edit.operations.record import Argument, Form, Operation
from netsurgery.surgery.edit.session import EditSession, refusal
from netsurgery.surgery.edit.targets import layer_before
from netsurgery.surgery.window_text import set_window

__all__ = ["OPERATIONS", "decimate"]

_EXPECTED = "kernel=3, kernel=3x2, outputs=1024 or pick=first"
#: What changes of ConvolutionParameter, and its field numbers (caffe.proto).
_FIELDS = {
    "pad": 3, "kernel_size": 4, "pad_h": 9, "pad_w": 10, "kernel_h": 11, "kernel_w": 12,
    "dilation": 18,
}  # fmt: skip


class _Decimate(NamedTuple):
    """What is to remain: of the kernel height and width, None for all; of the outputs how many."""

    kernel: tuple[int, int] | None
    outputs: int | None
    first: bool
    approximate: bool


def decimate(work: EditSession, argument: str) -> None:
    """``LAYER:kernel=3:outputs=1024``, either or both. Raises SurgeryError.

    ``:pick=first`` keeps the first outputs instead of evenly spaced ones.
    """
    names = [layer.name for layer in work.net.layers]
    name = layer_before(argument, names, ":") or argument.partition(":")[0]
    layer = work.layer(name)
    request = _request(argument[len(name) + 1 :])
    if not is_weighted(layer):
        raise refusal(name, f"it is of type {layer.type}, which has no weights")
    old_outputs = outputs_of(work.shapes, layer)
    thinned = None if request.kernel is None else _decimation(work, layer, request.kernel)
    if request.outputs is not None:
        rows = _outputs(request, old_outputs)
        cut_outputs(work, layer, lambda _: rows, approximate=request.approximate)
    if thinned is not None and thinned[1].window == thinned[0]:
        work.notes.append(f"the kernel of {name!r} stays as it is")
        thinned = None
    if thinned is not None:
        _cut_kernel(work, work.layer(name), *thinned)
    _describe(work, layer, request, old_outputs, thinned)


def _request(options: str) -> _Decimate:
    """What the options after the layer's name ask for. Raises SurgeryError."""
    fields: dict[str, str] = {}
    approximate = f":{options}".endswith(APPROXIMATE)
    options = f":{options}".removesuffix(APPROXIMATE)
    for option in options.split(":")[1:]:
        name, _, value = option.partition("=")
        pattern = {
            "kernel": r"([1-9][0-9]{0,5})(x[1-9][0-9]{0,5})?",
            "outputs": "[1-9][0-9]{0,8}",
            "pick": "first|even",
        }.get(name)
        if pattern is None or not re.fullmatch(pattern, value):
            raise SurgeryError(f"found {option!r}, expected {_EXPECTED}")
        if name in fields:
            raise SurgeryError(f"{option}: {name} is named twice")
        fields[name] = value
    if not fields.keys() & {"kernel", "outputs"}:
        raise SurgeryError("expected decimate:LAYER:kernel=3:outputs=1024, or one of both")
    if "pick" in fields and "outputs" not in fields:
        raise SurgeryError("pick says which outputs remain, and outputs= how many")
    if approximate and "outputs" not in fields:
        raise SurgeryError(
            "normalization=approximate is of layers that read fewer outputs, and outputs= how many"
        )
    sides = [int(side) for side in fields.get("kernel", "").split("x") if side]
    return _Decimate(
        (sides[0], sides[-1]) if sides else None,
        int(fields["outputs"]) if "outputs" in fields else None,
        fields.get("pick") == "first",
        approximate,
    )


def _outputs(request: _Decimate, old: int) -> Rows:
    """The outputs that remain, evenly spaced or the first ones. Raises SurgeryError."""
    count = request.outputs or old
    if count > old:
        raise SurgeryError(f"outputs={count}: expected 1 to {old}, as many as there are")
    return identity(count) if request.first else tuple(i * old // count for i in range(count))


def _decimation(
    work: EditSession, layer: Layer, kernel: tuple[int, int]
) -> tuple[Window, Decimation]:
    """The layer's window, and what becomes of it. Raises SurgeryError."""
    if types.is_a(layer, types.INNER_PRODUCT):
        raise refusal(
            layer.name,
            "an InnerProduct has no kernel",
            "`netsurgery convert` makes it a Convolution, whose kernel is the map that it looks at",
        )
    convolves = types.layout(layer) is WeightLayout.OUTPUTS_FIRST and types.takes_dilation(layer)
    if not convolves:
        raise refusal(layer.name, f"it is of type {layer.type}, whose kernel takes no dilation")
    axes = len(work.shapes.of(layer.bottoms[0])) - channel_axis(work.shapes, layer) - 1
    if axes != 2:
        raise refusal(layer.name, f"its kernel has {counted(axes, 'axis')}, not height and width")
    old = conv_window(layer, axes)
    if any(new > side for new, side in zip(kernel, old.kernel, strict=True)):
        raise refusal(
            layer.name, f"its kernel is {shape_text(old.kernel)}, smaller than {shape_text(kernel)}"
        )
    return old, decimation(old, kernel)


def _cut_kernel(work: EditSession, layer: Layer, old: Window, thinned: Decimation) -> None:
    """Leave the layer's weight and text the positions that remain. Raises SurgeryError."""
    (rows, columns), new = thinned.positions, thinned.window
    weight, *_ = own_params(work, layer)
    part = weight[:, :, rows.start : rows.stop : rows.step]
    work.set_param(layer.name, 0, part[..., columns.start : columns.stop : columns.step])
    edits = work.net.prototxt.edits()
    set_window(edits, layer, old, new)
    size = work.shapes.of(layer.bottoms[0])[-2:]
    grows = new.convolved(size) != old.convolved(size)
    before = work.shapes.of(layer.tops[0])
    try:
        edit_as_expected(work, edits, {}, maps_grow=grows)
    except SurgeryError as error:
        raise refusal(layer.name, str(error)) from None
    param = own_message(work.layer(layer.name))
    work.fields.setdefault(layer.name, {}).update(
        (number, tuple(scalar.as_int(0) for scalar in param.scalars(name)))
        for name, number in _FIELDS.items()
    )
    if grows:
        work.notes.append(_grown(layer, before, work.shapes.of(layer.tops[0]), thinned))


def _grown(layer: Layer, before: Shape, after: Shape, thinned: Decimation) -> str:
    """What to know of a map that has more cells: smaller windows fit in more places."""
    sizes = f"from {shape_text(before[-2:])} to {shape_text(after[-2:])}"
    note = f"the new window of {layer.name!r} is smaller than the old one: its map grows {sizes}"
    if any(thinned.moved):
        row, column = thinned.moved
        note += f"; the old first cell is that of row {row}, column {column}"
    return note


def _describe(
    work: EditSession,
    layer: Layer,
    request: _Decimate,
    old_outputs: int,
    thinned: tuple[Window, Decimation] | None,
) -> None:
    """Say which weights remain, and that the net computes something else without the others."""
    dropped = work.dropped()
    if not dropped:
        return
    every = request.outputs in (None, old_outputs)
    outputs = [] if every else [_outputs_text(request, old_outputs)]
    positions = [] if thinned is None else [_positions_text(*thinned)]
    work.describe(layer.name, 0, "; ".join([*outputs, *positions]))
    if outputs and (layer.name, 1) in work.arrays:
        work.describe(layer.name, 1, outputs[0])
    counts = ", ".join(
        f"{counted(count, 'number', ',')} of {name!r}" for name, count in dropped.items()
    )
    work.notes.append(
        f"decimate changes what the net computes: {counts} dropped; it gives what the old "
        "net gives with zeros for them; train it further"
    )


def _outputs_text(request: _Decimate, old: int) -> str:
    count = request.outputs or old
    if request.first:
        return f"outputs kept: the first {count} of {old}"
    if old % count == 0:
        which = f"{numbers_text(range(0, old, old // count))} of {old}"
    else:
        which = f"{old} x i / {count}, rounded down, for i from 0 to {count - 1}"
    return f"outputs kept: {which}"


def _positions_text(old: Window, thinned: Decimation) -> str:
    (rows, columns), (height, width), window = thinned.positions, old.kernel, thinned.window
    row, column = plural("row", len(rows)), plural("column", len(columns))
    which = (
        f"{row} and {column} {numbers_text(rows)} of {height}"
        if (rows, height) == (columns, width)
        else f"{row} {numbers_text(rows)} of {height}, {column} {numbers_text(columns)} of {width}"
    )
    return (
        f"{which} of the kernel kept, at dilation {sides_text(window.dilation)} and pad "
        f"{sides_text(window.pad)}"
    )


OPERATIONS = (
    Operation(
        "decimate",
        decimate,
        (
            Form(
                "decimate:LAYER:kernel=3",
                "Every k-th position of the kernel, dilated to cover the window that it covered, "
                "as DeepLab's fc6; to be trained further.",
            ),
            Form(
                "decimate:LAYER:kernel=3:outputs=1024",
                "And so many outputs, evenly spaced; each option also by itself.",
            ),
            Form(
                "decimate:LAYER:outputs=1024:pick=first",
                "The first outputs instead.",
            ),
        ),
        "decimate:conv2:kernel=2:outputs=6",
        Argument.REQUIRED,
    ),
)
