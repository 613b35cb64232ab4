"""Where the cells of a map lie in the net's input: a box for each, by `net.field` alone.

Cell (row, column) has the box that begins at start + (row, column) x stride. That is its window
where the net is a fully convolutional classifier: as large as the classifier's input, and the
first one, from 0 on, is that input, which gives one cell. Else it is the cell's field, or a window
of a given size about the middle of it: FCN's first layer pads by 100 to have more cells, so that
the first lies outside of the picture.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from netsurgery.errors import PrototxtError
from netsurgery.net.field import fields
from netsurgery.net.geometry import Field, Pair
from netsurgery.net.net import Net, Shape
from netsurgery.net.shapes import infer

__all__ = ["Cells", "place_cells"]

_ZERO = Fraction(0)


@dataclass(frozen=True)
class Cells:
    """Boxes of cells along height and width, in input pixels.

    field: what a cell depends on. start: of the box of cell (0, 0); size: of every box.
    classifies: the box is the window that the cell classifies, as a classifier of that input does.
    """

    field: Field
    start: Pair
    size: Pair
    classifies: bool

    @property
    def stride(self) -> Pair:
        """From one cell to the next."""
        return self.field.stride


def place_cells(
    net: Net, blob: str, declared: Shape, size: tuple[int, int], window: Shape | None = None
) -> Cells | None:
    """The boxes of the cells of `blob` at an input of `size`, or None where no field is known.

    declared: the shape of the net's one input, N x C x H x W, in the prototxt. window: the size of
    a box, as the classifier's input was; None to take declared size - stride x (cells - 1) where
    that is the input of a classifier, and else the field. Raises PrototxtError where an input of
    `size` does not go through the net.
    """
    (name,) = (one.name for one in net.inputs)
    known = fields(net, {name: (1, declared[1], *size)})
    if blob not in known:
        return None
    field = known[blob]
    box = window or _classifier_input(net, name, declared, blob)
    if box is None:
        return Cells(field, field.offset, field.size, False)
    high, wide = Fraction(box[0]), Fraction(box[1])
    one = _one_cell(net, {name: (1, declared[1], *box)}, blob)
    if one or (window and not _enlarges(net, known, blob, (_ZERO, _ZERO))):
        return Cells(field, (_ZERO, _ZERO), (high, wide), True)
    if window is None:
        return Cells(field, field.offset, field.size, False)
    start = field.middle[0] - high / 2, field.middle[1] - wide / 2
    return Cells(field, start, (high, wide), False)


def _classifier_input(net: Net, name: str, declared: Shape, blob: str) -> tuple[int, int] | None:
    """What is left of the declared input without the cells after the first, if that is an input."""
    at = {name: (1, *declared[1:])}
    known, cells = fields(net, at), infer(net, at).blobs.get(blob, ())
    if blob not in known or len(cells) != 4:
        return None
    stride = known[blob].stride
    high, wide = (declared[2 + i] - stride[i] * (cells[2 + i] - 1) for i in range(2))
    if min(high, wide) < 1 or {high.denominator, wide.denominator} != {1}:
        return None
    return None if _enlarges(net, known, blob, (high, wide)) else (int(high), int(wide))


def _enlarges(net: Net, known: Mapping[str, Field], blob: str, box: Pair) -> bool:
    """Whether a layer before `blob` pads to give more cells, as FCN's first does.

    Some of its windows lie in the padding alone, and on both sides that is more than the box.
    """
    ancestors = {blob}
    for layer in reversed(net.layers):
        if not ancestors.intersection(layer.tops):
            continue
        ancestors.update(layer.bottoms)
        before = next((known[bottom] for bottom in layer.bottoms if bottom in known), None)
        behind = next((known[top] for top in layer.tops if top in known), None)
        if before is None or behind is None or layer.in_place:
            continue
        for i in range(2):
            pad = before.offset[i] - behind.offset[i]
            reach = behind.size[i] - before.size[i] + before.stride[i]
            if pad >= reach and 2 * pad > box[i]:
                return True
    return False


def _one_cell(net: Net, inputs: Mapping[str, Shape], blob: str) -> bool:
    """Whether the blob has a single cell at these inputs."""
    try:
        return infer(net, inputs).blobs.get(blob, ())[2:] == (1, 1)
    except PrototxtError:
        return False
