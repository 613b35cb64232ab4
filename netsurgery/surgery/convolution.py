"""InnerProduct layers rewritten as Convolution layers: the plan.

An InnerProduct over the C x H x W map of a bottom is a Convolution whose kernel is that whole
map: its O x (C*H*W) weights and the O x C x H x W weights of the Convolution are the same
row-major numbers. On a larger input it gives the classifier's answer for every window of the
input, total stride apart.

Requires: one N x C x H x W input of a declared shape. Of each InnerProduct: axis 1, and a bottom
that is a map, or that an InnerProduct converted before it made. Of the layers behind: that they
treat every position alike.
Ensures: at the original input size every blob has the shape it had (1 x 1 added where an
InnerProduct left no map), and no param changes its shape with the input size.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil

from netsurgery.errors import PrototxtError, SurgeryError
from netsurgery.formats.prototxt import Prototxt
from netsurgery.net.field import fields
from netsurgery.net.net import Layer, Net, NetInput, Shape
from netsurgery.net.shapes import Shapes, describe, infer
from netsurgery.surgery.convolution_text import Cast, rewrite
from netsurgery.surgery.plan import Refusal, refuse
from netsurgery.surgery.positions import why_not_behind

__all__ = ["ConvolutionPlan", "Move", "plan_convolution"]

DEFAULT_MAP = (8, 8)


@dataclass(frozen=True)
class Move:
    """The params of one InnerProduct and where they go.

    ``old`` and ``new`` are the shapes of its one or two params, weight first. ``transpose`` tells
    that the weight is stored K x O and has to be turned on the way.
    """

    layer: str
    target: str
    old: tuple[Shape, ...]
    new: tuple[Shape, ...]
    transpose: bool


@dataclass(frozen=True)
class ConvolutionPlan:
    """All that converting a net would do.

    text: the new prototxt.
    window: (H, W) of the old input: what one cell of the map classifies.
    stride: (H, W) from one cell's window to the next, in input pixels; None where not known.
    input: the input's name, and its new shape 1 x C x H x W.
    maps: every output of the new net and its shape at that input.
    renames: blob -> its new name.
    notes: what the user should know.
    """

    net: Net
    text: str
    moves: tuple[Move, ...]
    window: tuple[int, int]
    stride: tuple[Fraction, Fraction] | None
    input: tuple[str, Shape]
    maps: dict[str, Shape]
    renames: dict[str, str]
    notes: tuple[str, ...]


def plan_convolution(
    net: Net,
    *,
    suffix: str = "-conv",
    layers: Sequence[str] | None = None,
    input_size: tuple[int, int] | None = None,
    map_size: tuple[int, int] | None = None,
) -> ConvolutionPlan:
    """What converting `net` would do.

    suffix: put behind the names of the layers converted.
    layers: the InnerProduct layers to convert; None for all.
    input_size: (H, W) of the new input; None to take what gives a map of `map_size` cells
    (default 8 x 8): original size + total stride x (cells - 1).

    Raises SurgeryError naming each layer that stands in the way and why, PrototxtError where the
    net contradicts itself.
    """
    declared = _image_input(net)
    batch, channels, height, width = _shape4(net, declared)
    original = (1, channels, height, width)
    shapes = infer(net, {declared.name: original})
    casts = _casts(net, _chosen(net, layers), shapes)
    _check_names(net, casts, suffix)
    texts = _Texts(net, declared, casts, suffix)
    _ensure_same(net, texts.net(original), shapes, texts.renames, declared.name, original)
    stride = _stride(texts.net(original), declared.name)
    wanted = _wanted_size(net, (height, width), stride, input_size, map_size)
    notes = []
    fixed = _fixed(texts.net(original), declared.name, original, (1, channels, *wanted))
    if fixed and (input_size or map_size):
        refuse(net.prototxt.path, fixed)
    if fixed:
        notes.append(f"the input stays at {height}x{width}: {fixed[0]}")
        wanted = (height, width)
    shape = (1, channels, *wanted)
    made = texts.net(shape)
    blobs = infer(made).blobs
    maps = {blob: blobs[blob] for blob in made.outputs if blob in blobs}
    if stride is None and not input_size and not fixed:
        notes.append(
            f"the input stays at {height}x{width}: the outputs' total stride is not known, or they "
            "differ in it; --input-size makes it larger"
        )
    if batch != 1:
        notes.append(f"the input's batch of {batch} becomes 1")
    return ConvolutionPlan(
        net=net,
        text=made.prototxt.text,
        moves=tuple(_move(net, cast, suffix, shapes) for cast in casts),
        window=(height, width),
        stride=stride,
        input=(declared.name, shape),
        maps=maps,
        renames=texts.renames,
        notes=tuple(notes),
    )


class _Texts:
    """The new prototxt at whatever input shape."""

    def __init__(self, net: Net, declared: NetInput, casts: list[Cast], suffix: str) -> None:
        self._prototxt, self._declared = net.prototxt, declared
        self._casts, self._suffix, self._phase = casts, suffix, net.phase
        self.renames: dict[str, str] = {}

    def net(self, shape: Shape) -> Net:
        """The new net with its input at `shape`; PrototxtError where it contradicts itself."""
        text, self.renames = rewrite(
            self._prototxt, self._casts, self._suffix, self._declared, shape
        )
        return Net.of(Prototxt.parse(text, self._prototxt.path), self._phase)


def _image_input(net: Net) -> NetInput:
    path = net.prototxt.path
    if not net.inputs:
        raise SurgeryError(f"{path}: the net declares no input; give the deploy prototxt")
    if len(net.inputs) > 1:
        names = ", ".join(repr(i.name) for i in net.inputs)
        raise SurgeryError(f"{path}: found {len(net.inputs)} inputs ({names}), expected one")
    return net.inputs[0]


def _shape4(net: Net, declared: NetInput) -> Shape:
    if declared.shape is None or len(declared.shape) != 4:
        found = "no shape" if declared.shape is None else describe(declared.shape)
        raise SurgeryError(
            f"{net.prototxt.path}: input {declared.name!r} has {found}, expected N x C x H x W"
        )
    return declared.shape


def _chosen(net: Net, names: Sequence[str] | None) -> list[Layer]:
    """The InnerProduct layers to convert, in file order."""
    path = net.prototxt.path
    found = [layer for layer in net.layers if layer.type == "InnerProduct"]
    if not found:
        dense = any(layer.type == "Convolution" for layer in net.layers)
        already = "it is already convolutional" if dense else "there is nothing to convert"
        raise SurgeryError(f"{path}: the net has no InnerProduct layer; {already}")
    if names is None:
        return found
    for name in names:
        if net.layer(name).type != "InnerProduct":
            raise SurgeryError(
                f"{path}: layer {name!r} is of type {net.layer(name).type}, expected InnerProduct; "
                f"there are {', '.join(layer.name for layer in found)}"
            )
    return [layer for layer in found if layer.name in names]


def _casts(net: Net, chosen: list[Layer], shapes: Shapes) -> list[Cast]:
    """The kernel of each chosen layer; refuses what cannot be, all of it at once."""
    casts: list[Cast] = []
    refusals: list[Refusal] = []
    cast_blobs: set[str] = set()
    for layer in net.layers:
        if layer in chosen:
            cast = _kernel(net, layer, cast_blobs, shapes)
            casts += [cast] if isinstance(cast, Cast) else []
            refusals += [cast] if isinstance(cast, Refusal) else []
            cast_blobs.update(layer.tops)
        elif cast_blobs.intersection(layer.bottoms) and layer.type != "InnerProduct":
            reason = why_not_behind(layer, cast_blobs)
            refusals += [Refusal(layer.name, reason)] if reason else []
            cast_blobs.update(layer.tops)
    refuse(net.prototxt.path, refusals)
    return casts


def _kernel(net: Net, layer: Layer, cast_blobs: set[str], shapes: Shapes) -> Cast | Refusal:
    """The kernel that makes `layer` a Convolution, or why there is none."""
    if len(layer.bottoms) != 1:
        return Refusal(layer.name, f"{len(layer.bottoms)} bottoms, expected one")
    (bottom,) = layer.bottoms
    if bottom not in shapes.blobs:
        return Refusal(
            layer.name,
            f"the shape of its bottom {bottom!r} is not known: {shapes.unknown.get(bottom, '')}",
        )
    shape = shapes.blobs[bottom]
    axis = layer.param("inner_product_param").integer("axis", 1, -(2**31)) % max(len(shape), 1)
    if axis != 1:
        return Refusal(
            layer.name, f"axis {axis} of a {describe(shape)} bottom; only axis 1 leaves a map"
        )
    if len(shape) == 4:
        return Cast(layer, (shape[2], shape[3]))
    if bottom in cast_blobs and len(shape) == 2:
        return Cast(layer, (1, 1))
    maker = net.producer(layer, bottom)
    by = "the net's input" if maker is None else f"made by layer {maker.name!r} ({maker.type})"
    return Refusal(layer.name, f"its bottom {bottom!r} is {describe(shape)}, {by}: no map")


def _check_names(net: Net, casts: list[Cast], suffix: str) -> None:
    """Refuse a suffix that is empty or leads to a name that is taken."""
    if not suffix:
        raise SurgeryError("the suffix is empty: Caffe would load the old params by name")
    layers = {layer.name for layer in net.layers}
    blobs = {top for layer in net.layers for top in layer.tops}
    refusals = []
    for cast in casts:
        name = cast.layer.name + suffix
        taken = "layer" if name in layers else "blob" if name in blobs else ""
        if taken:
            refusals.append(
                Refusal(
                    cast.layer.name,
                    f"a {taken} named {name!r} is there already",
                    "try another --suffix",
                )
            )
    refuse(net.prototxt.path, refusals)


def _ensure_same(
    net: Net, made: Net, old: Shapes, renames: dict[str, str], name: str, shape: Shape
) -> None:
    """At the original size every blob is as it was, but for a 1 x 1 behind an InnerProduct."""
    new = infer(made, {name: shape})
    for blob, before in old.blobs.items():
        after = new.blobs.get(renames.get(blob, blob))
        if after not in (before, (*before, 1, 1)):
            found = "nothing known" if after is None else describe(after)
            raise SurgeryError(
                f"{net.prototxt.path}: blob {blob!r} was {describe(before)} and would be {found}"
            )


def _stride(made: Net, name: str) -> tuple[Fraction, Fraction] | None:
    """The total stride of the net's map; None where it cannot be told, or outputs disagree."""
    found = fields(made)
    strides = {found[o].stride for o in made.outputs if o in found and found[o].input == name}
    return strides.pop() if len(strides) == 1 else None


def _wanted_size(
    net: Net,
    original: tuple[int, int],
    stride: tuple[Fraction, Fraction] | None,
    input_size: tuple[int, int] | None,
    map_size: tuple[int, int] | None,
) -> tuple[int, int]:
    if input_size is not None:
        return input_size
    if stride is None:
        if map_size is None:
            return original
        raise SurgeryError(
            f"{net.prototxt.path}: the total stride is not known, so no input size follows from "
            "--map-size; give --input-size"
        )
    cells = map_size or DEFAULT_MAP
    height, width = (n + ceil(s * (c - 1)) for n, s, c in zip(original, stride, cells, strict=True))
    return height, width


def _fixed(made: Net, name: str, original: Shape, wanted: Shape) -> list[Refusal]:
    """The layers whose params, or whose very existence, depend on the input's original size."""
    try:
        new = infer(made, {name: wanted})
    except PrototxtError as error:
        raise SurgeryError(
            f"an input of {describe(wanted[2:])} does not go through this net: {error}"
        ) from None
    old = infer(made, {name: original})
    return [
        Refusal(
            layer,
            f"its params are {_list(shapes)} at {describe(original[2:])} only",
            "an InnerProduct that is kept looks at the whole map",
        )
        for layer, shapes in old.params.items()
        if new.params.get(layer) != shapes
    ]


def _list(shapes: Iterable[Shape]) -> str:
    return " and ".join(describe(shape) for shape in shapes)


def _move(net: Net, cast: Cast, suffix: str, shapes: Shapes) -> Move:
    old = shapes.params[cast.layer.name]
    message = cast.layer.param("inner_product_param")
    transpose = message.boolean("transpose", False)
    inputs, outputs = old[0] if transpose else old[0][::-1]
    height, width = cast.kernel
    weight = (outputs, inputs // (height * width), height, width)
    return Move(cast.layer.name, cast.layer.name + suffix, old, (weight, *old[1:]), transpose)
