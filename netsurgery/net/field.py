"""What a cell of each blob sees of the net's input: the walk over the layers; and where cells lie.

`net.geometry` has the arithmetic; the records of `net.types` say which of it each layer does.

`place_cells` gives cell (row, column) of a map the box that begins at start + (row, column) x
stride. That is its window where the net is a fully convolutional classifier: as large as the
classifier's input, and the first one, from 0 on, is that input, which gives one cell. Else it is
the cell's field, or a window of a given size about the middle of it: FCN's first layer pads by 100
to have more cells, so that the first lies outside of the picture. A class activation map, in front
of a global pooling, is no such classifier: what one cell of it comes of is smaller than its field
by far, and lies beside the middle of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from fractions import Fraction
from typing import NamedTuple

from netsurgery.errors import PrototxtError
from netsurgery.net import types
from netsurgery.net.geometry import Pair, ReceptiveField
from netsurgery.net.known_fields import unknown_fields
from netsurgery.net.net import Layer, NetDefinition, Shape
from netsurgery.net.shapes import Shapes, givable, infer
from netsurgery.net.shuffle import channel_shuffles
from netsurgery.net.types import POOLING
from netsurgery.net.types.record import Role
from netsurgery.net.types.seen import Seen

__all__ = ["Cells", "ReceptiveField", "fields", "layer_fields", "place_cells", "placeholder"]


def fields(
    net: NetDefinition,
    inputs: Mapping[str, Shape] | None = None,
    *,
    of: str | None = None,
    shapes: Shapes | None = None,
) -> dict[str, ReceptiveField]:
    """The field of every blob whose cells depend on one input by windows that move evenly.

    of: the input in which the fields lie, as if the others were constants; None for all of them.
    shapes: those at `inputs`, where they are known already. A blob that mixes positions in a way
    no window describes (Reshape, Permute, layers that are not understood), or that meets another
    of different stride, is left out.
    """
    shapes = infer(net, inputs) if shapes is None else shapes
    seen = _seen_inputs(net, shapes, (*givable(net, shapes), *(inputs or {})), of)
    for _ in _walk(net, shapes, seen):
        pass
    return seen.known


def placeholder(net: NetDefinition, shapes: Shapes) -> str | None:
    """The input of a single pixel that windows of several pixels look at; None for other nets.

    Its size is set when the net is run, as in OpenPose's deploy nets, so nothing may be worked out
    of it: no map, no window, no picture's size. A net of 1x1 windows alone takes single pixels, and
    has none. shapes: the net's.

    >>> from netsurgery.formats.prototxt import Prototxt
    >>> text = 'input: "image" input_shape { dim: [1, 3, 1, 1] } layer { name: "c" bottom: "image" '
    >>> text += 'top: "c" type: "Convolution" convolution_param { num_output: 2 kernel_size: %s } }'
    >>> nets = [NetDefinition.of(Prototxt.parse(text % kernel)) for kernel in ("3 pad: 1", "1")]
    >>> [placeholder(net, infer(net)) for net in nets]
    ['image', None]
    """
    pixels = [each.name for each in net.inputs if shapes.blobs.get(each.name, ())[2:] == (1, 1)]
    if not pixels:
        return None
    known = fields(net, shapes=shapes).values()
    return next((each.input for each in known if each.input in pixels and max(each.size) > 1), None)


def layer_fields(
    net: NetDefinition, shapes: Shapes
) -> Iterator[tuple[Layer, dict[str, ReceptiveField | None]]]:
    """Each layer that depends on the inputs, and the field of each of its tops: None if not known.

    In file order: a layer in place has the field of what it makes of its blob. A channel shuffle of
    several layers is its last.
    """
    seen = _seen_inputs(net, shapes, givable(net, shapes))
    for layer in _walk(net, shapes, seen):
        tops = {top: seen.known.get(top) for top in layer.tops if seen.depends(top)}
        if tops:
            yield layer, tops


def _seen_inputs(
    net: NetDefinition, shapes: Shapes, inputs: Iterable[str], of: str | None = None
) -> Seen:
    seen = Seen(shapes.blobs, net.state.phase == "TRAIN")
    for name in inputs:
        if len(shapes.blobs.get(name, ())) == 4 and of in (None, name):
            seen.known[name] = ReceptiveField(name)
    return seen


def _walk(net: NetDefinition, shapes: Shapes, seen: Seen) -> Iterator[Layer]:
    """Each layer, when `seen` has what is known behind it; of a channel shuffle the last alone."""
    shuffles = {layer: group for group in channel_shuffles(net, shapes) for layer in group.layers}
    before: dict[Layer, ReceptiveField | None] = {}
    for layer in net.layers:
        shuffle = shuffles.get(layer)
        # Reshape and Permute by themselves lose the field; remember it for the shuffle's end.
        if shuffle is not None and layer is shuffle.layers[0]:
            before[shuffle.layers[2]] = seen.known.get(shuffle.bottom)
        if layer.bottoms:
            _step(layer, seen)
        shuffled = before.get(layer)
        if shuffled is not None:  # the three together move no cell
            seen.known[layer.tops[0]] = shuffled
            seen.lost.discard(layer.tops[0])
        if shuffle is None or layer is shuffle.layers[2]:
            yield layer


def _step(layer: Layer, seen: Seen) -> None:
    """The fields of the layer's tops."""
    record = types.of(layer)
    reads = [
        blob
        for blob, role in zip(layer.bottoms, types.roles(layer), strict=True)
        if role is not Role.SIZE and seen.depends(blob)
    ]
    answered = all(blob in seen.shapes for blob in (*layer.bottoms, *layer.tops))
    known = types.is_whole(layer) and not unknown_fields(layer)
    rule = record.field if record and known else None
    result = rule(seen, layer) if reads and answered and rule else None
    several = result if isinstance(result, list) else [result] * len(layer.tops)
    # In place a top replaces what its name meant before, also where there is no field now.
    for top, field in zip(layer.tops, several, strict=True):
        seen.known.pop(top, None)
        seen.lost.discard(top)
        seen.masks.pop(top, None)
        if field is not None:
            seen.known[top] = field
        elif reads:
            seen.lost.add(top)
    if record and record.window and len(layer.tops) > 1 and answered and types.is_a(layer, POOLING):
        # A later Upsample undoes exactly this window, which the mask remembers.
        size = seen.size(layer.bottoms[0])
        seen.masks[layer.tops[1]] = record.window(layer, size), size


_ZERO = Fraction(0)


class Cells(NamedTuple):
    """Boxes of cells along height and width, in input pixels.

    field: what a cell depends on. start: of the box of cell (0, 0); size: of every box.
    classifies: the box is the window that the cell classifies, as a classifier of that input does.
    """

    field: ReceptiveField
    start: Pair
    size: Pair
    classifies: bool

    @property
    def stride(self) -> Pair:
        """From one cell to the next."""
        return self.field.stride

    def every(self, pixels: int) -> Cells:
        """The cells of a finer map: the first is the same, the others lie so far apart."""
        step = Fraction(pixels)
        return self._replace(field=replace(self.field, stride=(step, step)))


def place_cells(
    net: NetDefinition,
    blob: str,
    declared: Shape,
    size: tuple[int, int],
    window: Shape | None = None,
) -> Cells | None:
    """The boxes of the cells of `blob` at an input of `size`, or None where no field is known.

    declared: the shape of the net's one input, N x C x H x W, in the prototxt. window: the size of
    a box, as the classifier's input was; None to take declared size - stride x (cells - 1) where
    that is the input of a classifier, and else the field. Raises PrototxtError where an input of
    `size` does not go through the net.
    """
    (name,) = (source.name for source in net.inputs)
    known = fields(net, {name: (1, declared[1], *size)})
    if blob not in known:
        return None
    field = known[blob]
    box = window or _classifier_input(net, name, declared, blob)
    if box is None:
        return Cells(field, field.offset, field.size, False)
    height, width = Fraction(box[0]), Fraction(box[1])
    box_of_one = _one_cell(net, {name: (1, declared[1], *box)}, blob)
    # With a box of 0 any layer counts that pads by its window's reach or more.
    if box_of_one or (window and not _enlarges(net, known, blob, (_ZERO, _ZERO))):
        return Cells(field, (_ZERO, _ZERO), (height, width), True)
    if window is None:
        return Cells(field, field.offset, field.size, False)
    start = field.middle[0] - height / 2, field.middle[1] - width / 2
    return Cells(field, start, (height, width), False)


def _classifier_input(
    net: NetDefinition, name: str, declared: Shape, blob: str
) -> tuple[int, int] | None:
    """What is left of the declared input without the cells after the first, if that is an input."""
    at = {name: (1, *declared[1:])}
    known, cells = fields(net, at), infer(net, at).blobs.get(blob, ())
    if blob not in known or len(cells) != 4:
        return None
    stride = known[blob].stride
    height, width = (declared[2 + i] - stride[i] * (cells[2 + i] - 1) for i in range(2))
    # No input: nothing is left or, where the stride is a fraction, part of a pixel.
    if min(height, width) < 1 or {height.denominator, width.denominator} != {1}:
        return None
    if not all(_lies_about(known[blob].middle[i], side) for i, side in enumerate((height, width))):
        return None
    return None if _enlarges(net, known, blob, (height, width)) else (int(height), int(width))


def _lies_about(middle: Fraction, side: Fraction) -> bool:
    """Whether a box of `side` from 0 on lies about the middle of what its cell sees.

    Within a quarter of it: rounding in the layers before moves the middle by a part of a stride.
    """
    return abs(middle - side / 2) <= side / 4


def _enlarges(
    net: NetDefinition, known: Mapping[str, ReceptiveField], blob: str, box: Pair
) -> bool:
    """Whether a layer before `blob` pads to give more cells, as FCN's first does.

    Some of its windows lie in the padding alone, and on both sides that is more than the box.
    """
    ancestors = {blob}
    for layer in reversed(net.layers):
        if not ancestors.intersection(layer.tops):
            continue
        # File order suffices: a blob's writers come before its readers.
        ancestors.update(layer.bottoms)
        before = next((known[bottom] for bottom in layer.bottoms if bottom in known), None)
        after = next((known[top] for top in layer.tops if top in known), None)
        if before is None or after is None or layer.in_place:
            continue
        for i in range(2):
            # In input pixels: the layer's padding, and its window's extent (see `geometry.slid`).
            pad = before.offset[i] - after.offset[i]
            reach = after.size[i] - before.size[i] + before.stride[i]
            if pad >= reach and 2 * pad > box[i]:
                return True
    return False


def _one_cell(net: NetDefinition, inputs: Mapping[str, Shape], blob: str) -> bool:
    """Whether the blob has a single cell at these inputs."""
    try:
        return infer(net, inputs).blobs.get(blob, ())[2:] == (1, 1)
    except PrototxtError:
        return False
