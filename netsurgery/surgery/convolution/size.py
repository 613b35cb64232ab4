"""How large the inputs of a converted net become, and what keeps them from growing.

The size that gives the map asked for is held against the shapes that come out.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from fractions import Fraction
from math import ceil, prod
from typing import NamedTuple

from netsurgery.errors import PrototxtError, SurgeryError
from netsurgery.io.shape_text import shape_text, stride_text
from netsurgery.io.terminal import joined
from netsurgery.io.wording import argument, counted
from netsurgery.net import types
from netsurgery.net.field import fields
from netsurgery.net.net import MAX_DIM, Layer, NetDefinition, NetInput, Shape
from netsurgery.net.shapes import Shapes, ShapesAt
from netsurgery.net.smallest_size import with_smallest_size
from netsurgery.surgery.convolution.analysis import Analysis
from netsurgery.surgery.convolution.map_size import MapOf, size_for_map
from netsurgery.surgery.convolution.positions import compares_with_labels
from netsurgery.surgery.plan import Refusal, refuse

__all__ = ["Resize", "TargetSize", "check_target", "compared_with_labels", "resize"]

DEFAULT_MAP = (8, 8)

#: Each input is followed through the whole net; a net with more of them is not enlarged.
_MOST_INPUTS = 8


class Resize(NamedTuple):
    """An input, N x C x H x W, and what becomes of it.

    Its old H and W are the window of one cell of the map, but where the map is one that a global
    pooling took: there ``field`` (H, W) is, what a cell sees. ``stride`` (H, W) is from one cell's
    window to the next in input pixels, None where that is not known.
    """

    name: str
    old: Shape
    new: Shape
    stride: tuple[Fraction, Fraction] | None
    field: tuple[int, int] | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of the old input."""
        return self.old[2], self.old[3]

    @property
    def window(self) -> tuple[int, int]:
        """(H, W) of a cell's window."""
        return self.field or self.size


class TargetSize(NamedTuple):
    """The size of the new input, or of the map it is to give, each (H, W); None to leave open."""

    input_size: tuple[int, int] | None = None
    map_size: tuple[int, int] | None = None


def resize(
    net: NetDefinition, shapes_at: ShapesAt, analysis: Analysis, shapes: Shapes, target: TargetSize
) -> tuple[list[Resize], list[str]]:
    """The new shapes of the inputs that lead to what is converted, and what to say of them.

    shapes_at: those of the new net; shapes: those of the old one. Raises SurgeryError where the
    target cannot be reached.
    """
    compared = [layer for layer in analysis.behind if compares_with_labels(layer)]
    if compared:
        return [], _note_unresized(net, compared[0], target)
    driving = _driving_inputs(net, analysis, shapes)
    check_target(net, [declared.name for declared in driving], target)
    if len(driving) > _MOST_INPUTS and not target.input_size:
        return [], _too_many(net, driving, target)
    # What no layer computes: the net's inputs, and the tops of its data layers.
    sources = {
        blob: shape
        for blob, shape in shapes.blobs.items()
        if analysis.roots.get(blob) == frozenset({blob})
    }
    notes: list[str] = []
    resizes = []
    last: dict[str, str | None] = {}
    for declared in driving:
        if prod(shapes.blobs[declared.name]) > MAX_DIM:
            shape = shape_text(shapes.blobs[declared.name])
            what = f"input {declared.name!r} is {shape}: more than Caffe counts"
            raise declared.dims[0].error(what)
        strides = _moving_strides(shapes_at, declared.name, sources)
        old = shapes.blobs[declared.name]
        stride = _last(strides)
        new = _new_shape(net, declared, old, stride, target)
        resizes.append(Resize(declared.name, old, new, stride))
        last[declared.name] = next(reversed(strides), None)
        notes += _other_strides(strides)
    # Shapes at the new size decide: a param may depend on the size, or nothing may grow.
    fixed, moving = _effects(net, shapes_at, analysis, sources, resizes)
    if fixed and target != TargetSize():
        refuse(net.prototxt.path, fixed)
    if target == TargetSize() and (fixed or not moving):
        # No size was asked for: keep the old one rather than refuse.
        resizes = [resized._replace(new=(1, *resized.old[1:]), stride=None) for resized in resizes]
        return resizes, notes + _size_notes(resizes, str(fixed[0]) if fixed else _unmoved())
    resizes = [
        _giving_the_map(shapes_at, resized, last[resized.name], resizes, sources, target)
        for resized in resizes
    ]
    return _with_true_strides(shapes_at, sources, resizes), notes + _size_notes(resizes, "")


def _unmoved() -> str:
    resizes = f"{argument('--input-size')} resizes it all the same"
    return f"no output is known to grow with it; {resizes}"


def _note_unresized(net: NetDefinition, layer: Layer, target: TargetSize) -> list[str]:
    """What to say where a layer compares the map with labels of the old size."""
    refusal = compared_with_labels(layer)
    if target != TargetSize():
        refuse(net.prototxt.path, [refusal])
    return [f"the inputs stay as they are: layer {layer.name!r}: {refusal.reason}"]


def compared_with_labels(layer: Layer) -> Refusal:
    """Why a map that such a layer reads must not grow."""
    why = f"{layer.type} compares the map with labels, which do not grow with it"
    return Refusal(layer.name, why, "convert the deploy prototxt")


def _too_many(net: NetDefinition, driving: list[NetInput], target: TargetSize) -> list[str]:
    """What to say where more inputs lead to what is converted than sizes are worked out for."""
    many = f"{counted(len(driving), 'input')} lead to what is converted"
    most = f"sizes are worked out for at most {_MOST_INPUTS}"
    if target != TargetSize():
        raise SurgeryError(
            f"{net.prototxt.path}: {many}; {most}: leave out {argument('--map-size')}"
        )
    return [f"the inputs stay as they are: {many}, and {most}"]


def _size_notes(resizes: list[Resize], why_not: str) -> list[str]:
    notes = []
    if not resizes:
        notes.append("no input of the prototxt leads to what is converted, so none is resized")
    for resized in resizes:
        if why_not:
            height, width = resized.size
            notes.append(
                f"input {resized.name!r} stays at {shape_text((height, width))}: {why_not}"
            )
        if resized.old[0] != 1:
            notes.append(f"the batch of {resized.old[0]} of input {resized.name!r} becomes 1")
    return notes


def _driving_inputs(net: NetDefinition, analysis: Analysis, shapes: Shapes) -> list[NetInput]:
    """The inputs that the converted layers depend on and whose shape stands in the prototxt."""
    roots = {
        root for layer in analysis.changed for b in layer.bottoms for root in analysis.roots[b]
    }
    driving = [declared for declared in net.inputs if declared.name in roots and declared.dims]
    for declared in driving:
        shape = shapes.blobs[declared.name]
        if len(shape) != 4:
            raise SurgeryError(
                f"{net.prototxt.path}: input {declared.name!r} has {shape_text(shape)}, "
                "expected N x C x H x W"
            )
    return driving


def check_target(net: NetDefinition, driving: list[str], target: TargetSize) -> None:
    """Raise SurgeryError where no input leads to what is converted, or too many for one size."""
    if not driving and target != TargetSize():
        raise SurgeryError(
            f"{net.prototxt.path}: no input of the prototxt leads to what is converted, so there "
            "is none to resize"
        )
    if target.input_size and len(driving) > 1:
        names = ", ".join(map(repr, driving))
        raise SurgeryError(
            f"{net.prototxt.path}: {argument('--input-size')} is for one input, "
            f"found {len(driving)} ({names}); give {argument('--map-size')}"
        )


def _moving_strides(
    shapes_at: ShapesAt, name: str, sources: Mapping[str, Shape]
) -> dict[str, tuple[Fraction, Fraction]]:
    """The total stride of every output that moves with an input, as far as it is known.

    Without those that have one cell whatever the input's size, after a global pooling that is
    kept, unless there are no others.
    """
    known = fields(shapes_at.net, sources, of=name, shapes=shapes_at(sources))
    strides = {output: known[output].stride for output in shapes_at.net.outputs if output in known}
    growing = {
        output: stride
        for output, stride in strides.items()
        if not known[output].whole or _grows(shapes_at, name, sources, output)
    }
    return growing or strides


def _grows(shapes_at: ShapesAt, name: str, sources: Mapping[str, Shape], output: str) -> bool:
    """Whether an output has more cells of an input twice as large, or may have."""
    batch, channels, height, width = sources[name]
    try:
        # A size that the net refuses says nothing: then it may grow.
        larger = shapes_at({**sources, name: (batch, channels, 2 * height, 2 * width)})
    except PrototxtError:
        return True
    before, after = (shapes.blobs.get(output) for shapes in (shapes_at(sources), larger))
    return before is None or after is None or before[2:] != after[2:]


def _last(strides: Mapping[str, tuple[Fraction, Fraction]]) -> tuple[Fraction, Fraction] | None:
    """The total stride of the last output; None where no output is known to move."""
    return list(strides.values())[-1] if strides else None


def _other_strides(strides: Mapping[str, tuple[Fraction, Fraction]]) -> Iterator[str]:
    """The outputs whose cells are at other distances than the last one's, by that distance."""
    last, others = _last(strides), dict[tuple[Fraction, Fraction], list[str]]()
    for output, stride in strides.items():
        others.setdefault(stride, []).append(repr(output))
    for stride, outputs in others.items():
        if last is not None and stride != last:
            than = f"{stride_text(stride)}, not {stride_text(last)}"
            yield f"the total stride of {joined(outputs)} is {than}"


def _new_shape(
    net: NetDefinition,
    declared: NetInput,
    old: Shape,
    stride: tuple[Fraction, Fraction] | None,
    target: TargetSize,
) -> Shape:
    _, channels, height, width = old
    if target.input_size is not None:
        return (1, channels, *target.input_size)
    if stride is None:
        if target.map_size is None:
            return (1, channels, height, width)
        raise SurgeryError(
            f"{net.prototxt.path}: no output is known to move with input {declared.name!r}, so no "
            f"input size follows from {argument('--map-size')}; give {argument('--input-size')}"
        )
    rows, columns = target.map_size or DEFAULT_MAP
    # After a Deconvolution a stride may be a fraction of a pixel.
    height, width = height + ceil(stride[0] * (rows - 1)), width + ceil(stride[1] * (columns - 1))
    return (1, channels, height, width)


def _giving_the_map(
    shapes_at: ShapesAt,
    resized: Resize,
    output: str | None,
    all_: list[Resize],
    sources: Mapping[str, Shape],
    target: TargetSize,
) -> Resize:
    """The input at the size that gives the map wanted, or no smaller one where none was asked for.

    output: the last that is known to move with the input, None where none is.
    The stride alone does not say: it holds for an input of the old size, and windows are rounded.
    Raises SurgeryError where no size near by gives the map asked for.
    """
    if target.input_size is not None or resized.stride is None or output is None:
        return resized
    others = {another.name: another.new for another in all_ if another is not resized}
    of = MapOf(shapes_at, resized.name, output, {**sources, **others})
    asked = target.map_size or DEFAULT_MAP
    exactly = target.map_size is not None
    size = size_for_map(
        of, (resized.new[2], resized.new[3]), resized.stride, asked, exactly=exactly
    )
    return resized._replace(new=(*resized.new[:2], *size))


def _with_true_strides(
    shapes_at: ShapesAt, sources: Mapping[str, Shape], resizes: list[Resize]
) -> list[Resize]:
    """The strides that hold at the new size as well, of maps that grow; others are not known.

    An interpolation keeps its corners in place, so that its stride may change with the size.
    """
    after = {**sources, **{resized.name: resized.new for resized in resizes}}
    checked = []
    for resized in resizes:
        strides = _moving_strides(shapes_at, resized.name, after)
        true = _last(strides) == resized.stride and _is_larger(
            shapes_at, resized.name, sources, after, strides
        )
        checked.append(resized if true else resized._replace(stride=None))
    return checked


def _is_larger(
    shapes_at: ShapesAt,
    name: str,
    sources: Mapping[str, Shape],
    after: Mapping[str, Shape],
    outputs: Collection[str],
) -> bool:
    """Whether the last of the outputs has more cells at the new size, or of a larger input."""
    output = list(outputs)[-1] if outputs else ""
    before, behind = (shapes_at(shapes).blobs.get(output) for shapes in (sources, after))
    changed = before is not None and behind is not None and before[2:] != behind[2:]
    return changed or _grows(shapes_at, name, sources, output)


def _effects(
    net: NetDefinition,
    shapes_at: ShapesAt,
    analysis: Analysis,
    sources: Mapping[str, Shape],
    resizes: list[Resize],
) -> tuple[list[Refusal], bool]:
    """The layers whose params have their shape at the old sizes only; whether any output grows."""
    before = shapes_at(sources)
    try:
        after = shapes_at({**sources, **{resized.name: resized.new for resized in resizes}})
    except PrototxtError as error:
        sizes = ", ".join(f"{shape_text(resized.new[2:4])}" for resized in resizes)
        reason = _in_the_original(net, shapes_at.net, analysis, error)
        if len(resizes) == 1:
            reason = with_smallest_size(
                reason, _goes_through(shapes_at, sources, resizes[0]), (1, 1)
            )
        raise SurgeryError(f"an input of {sizes} does not go through this net: {reason}") from None
    products = {
        product.name for product in shapes_at.net.layers if types.is_a(product, types.INNER_PRODUCT)
    }
    fixed = [
        Refusal(
            layer,
            f"its params are {' and '.join(map(shape_text, shapes))} at that size only",
            "an InnerProduct that is kept looks at the whole map" if layer in products else "",
        )
        for layer, shapes in before.params.items()
        if after.params.get(layer) != shapes
    ]
    known = [blob for blob in shapes_at.net.outputs if blob in before.blobs and blob in after.blobs]
    return fixed, any(before.blobs[blob][2:] != after.blobs[blob][2:] for blob in known)


def _goes_through(
    shapes_at: ShapesAt, sources: Mapping[str, Shape], resized: Resize
) -> Callable[[tuple[int, int]], bool]:
    """Whether the input at a (height, width) goes through the net."""

    def works(size: tuple[int, int]) -> bool:
        try:
            shapes_at({**sources, resized.name: (*resized.new[:2], *size)})
        except PrototxtError:
            return False
        return True

    return works


def _in_the_original(
    net: NetDefinition, new_net: NetDefinition, analysis: Analysis, error: PrototxtError
) -> PrototxtError:
    """The error of a layer of the new net, at that layer's place in the author's own text."""
    # The new net has the layers of the old in their order; a split one is its branches and a sum.
    parts = {split.layer: len(split.branches) + 1 for split in analysis.splits}
    remaining = (layer for layer in net.layers if layer not in analysis.removed_flattens)
    stay = [layer for layer in remaining for _ in range(parts.get(layer, 1))]
    for old, new in zip(stay, new_net.layers, strict=True):
        # An error names its layer in its words alone.
        if error.what.startswith(new.error("").what):
            return old.error(error.what.removeprefix(new.error("").what))
    return error
