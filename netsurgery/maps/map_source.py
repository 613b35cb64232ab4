"""What a net's prototxt says about the maps it gives: input, blob, classes, cells."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import prod
from typing import TYPE_CHECKING

from netsurgery.errors import NetError, NetsurgeryError, PrototxtError
from netsurgery.io.shape_text import shape_text
from netsurgery.io.wording import argument, counted
from netsurgery.net import types
from netsurgery.net.field import Cells, place_cells, placeholder
from netsurgery.net.inputs import declare_inputs, why_no_input
from netsurgery.net.needed import listed, only_needed, require_blobs
from netsurgery.net.net import NetDefinition, NetInput, Shape
from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.net.shapes import Shapes, infer, remedy
from netsurgery.net.smallest_size import with_smallest_size

if TYPE_CHECKING:
    from netsurgery.maps.picture_options import PictureOptions

__all__ = ["MapSource", "refuse_blob"]

Size = tuple[int, int]

#: Bytes that a number of the input takes while a picture is brought to its size.
_INPUT = 12

#: Sizes of the input whose shapes are kept.
_SIZES = 16


@dataclass(frozen=True, eq=False)
class MapSource:
    """A net with its weights, the input that a picture is fed to, and the blob to take.

    model: the part of the net that the blob depends on, or several blobs; all else of its prototxt
    may be anything. shape: the input's, N x C x H x W.
    """

    model: NetWithWeights
    input: NetInput
    shape: Shape
    blob: str

    @classmethod
    def of_map(cls, model: NetWithWeights, blob: str | None = None) -> MapSource:
        """The source of a class map; `blob` holds it, or else the top of the file's last layer.

        Of an ArgMax it is what that looks at: the numbers of classes are no scores. Losses and
        accuracies do not count as last. Raises NetError: not one input of N x C x H x W with one or
        three channels, no such blob, a blob that is not N x C x H x W, or an ArgMax's.
        """
        net = model.net
        name = _last_scores(net) if blob is None else blob
        if name not in net.blob_names:
            _image_input(declare_inputs(net))
            what = f"{net.prototxt.path}: no blob {name!r}{net.blob_hint(name)}"
            raise NetError(what if what.endswith("?") else f"{what}; {_candidates(net)}")
        _refuse_numbers(net, name)
        source = cls._of(model, [name])
        source._check_blob(net)
        return source

    @classmethod
    def of_classes(cls, model: NetWithWeights, blob: str | None = None) -> MapSource:
        """The source of the classes' scores, of a map or not; `blob` as for `of_map`.

        Raises NetError as `of_blobs`, and for a blob of an ArgMax.
        """
        name = _last_scores(model.net) if blob is None else blob
        source = cls.of_blobs(model, [name])
        _refuse_numbers(model.net, name)
        return source

    @classmethod
    def of_blobs(cls, model: NetWithWeights, blobs: Sequence[str]) -> MapSource:
        """The source of `blobs`, which need not be maps. Raises as `of_map`."""
        require_blobs(model.net, blobs)
        return cls._of(model, blobs)

    @classmethod
    def _of(cls, model: NetWithWeights, blobs: Sequence[str]) -> MapSource:
        net = model.net
        part = declare_inputs(only_needed(net, blobs))
        part = part if part.inputs else declare_inputs(net)  # the picture is fed, but goes nowhere
        image, shape = _image_input(part)
        weights = model.path if model.has_weights else None
        return cls(NetWithWeights(part, weights), image, shape, blobs[0])

    @property
    def net(self) -> NetDefinition:
        """The part of the net that is run."""
        return self.model.net

    @property
    def channels(self) -> int:
        """Channels of the input, 1 or 3."""
        return self.shape[1]

    @property
    def size(self) -> Size:
        """Height and width of the input that the prototxt declares."""
        return self.shape[2], self.shape[3]

    def input_size(self, options: PictureOptions, picture: Size) -> Size:
        """Height and width of the input for a picture of size `picture`.

        Raises NetError where that is to be the declared size, and it only holds a place.
        """
        unset = options.size in (None, "net") and self.size == (1, 1)
        if unset and placeholder(self.net, self._shapes(self.size)) is not None:
            raise NetError(
                f"{self.net.prototxt.path}: input {self.input.name!r} is 1x1, which stands for a "
                f"size that is set when the net is run; give {argument('--size image')} or "
                f"{argument('--size 368x368')}"
            )
        return options.input_size(self.size, picture)

    @property
    def is_probability(self) -> bool:
        """Whether a Softmax over the channels is the last to write the blob."""
        writers = [layer for layer in self.net.layers if self.blob in layer.tops]
        if not writers or not types.is_a(writers[-1], types.SOFTMAX):
            return False
        return writers[-1].param("softmax_param").integer("axis", 1, -4) in (1, -3)

    def check(self, size: Size) -> None:
        """Raise where an input of `size` is too small for the net.

        The error names the layer and the smallest size that is not.
        """
        try:
            self._shapes(size)
        except PrototxtError as error:
            raise with_smallest_size(error, self._works, size) from error

    def _works(self, size: Size) -> bool:
        try:
            self._shapes(size)
        except NetsurgeryError:
            return False
        return True

    def input_memory(self, size: Size) -> int:
        """Bytes that a picture takes while it is brought to an input of `size`."""
        return _INPUT * prod((self.channels, *size))

    def map_shape(self, blob: str, size: Size) -> Shape:
        """The shape of a blob at an input of `size`, without its batch; () where it is not known.

        Raises PrototxtError.
        """
        return self._shapes(size).blobs.get(blob, ())[1:]

    def inputs(self, size: Size) -> dict[str, Shape]:
        """The net's input, of a batch of one."""
        return {self.input.name: (1, self.channels, *size)}

    def _shapes(self, size: Size) -> Shapes:
        return self._inferred((1, self.channels, *size))

    @cached_property
    def _inferred(self) -> Callable[[Shape], Shapes]:
        """By the input's shape: many pictures have the same."""
        net, name = self.net, self.input.name
        return lru_cache(_SIZES)(lambda shape: infer(net, {name: shape}))

    @cached_property
    def classes(self) -> int | None:
        """Channels of the blob, or values of a vector, where the prototxt says how many."""
        shape = self._shapes(self.size).blobs.get(self.blob, ())
        return shape[1] if len(shape) in (2, 4) else None

    def cells(self, size: Size, window: Size | None = None) -> Cells | None:
        """The boxes of the blob's cells at an input of `size`, or None where they are not known.

        window: the size of a box, as the classifier's old input was; None to work it out.
        """
        return place_cells(self.net, self.blob, self.shape, size, window)

    def gives_one_cell(self, size: Size) -> bool:
        """Whether the map of an input of `size` is a single cell, as for a classifier's own input.

        A window that is only inferred may be that of a net that always had a map, whose cells see
        more than their window: no picture is to be made as small.
        """
        try:
            return self.map_shape(self.blob, size)[1:] == (1, 1)
        except NetsurgeryError:
            return False

    def _check_blob(self, whole: NetDefinition) -> None:
        shape = self._shapes(self.size).blobs.get(self.blob)
        if shape is not None and len(shape) != 4:
            refuse_blob(self.blob, shape, whole)


def refuse_blob(blob: str, shape: Shape, net: NetDefinition) -> None:
    """Raise NetError for a blob that is not N x C x H x W, naming those of `net` that are."""
    raise NetError(
        f"blob {blob!r} is {shape_text(shape)}, not N x C x H x W (a classifier becomes fully "
        f"convolutional by `netsurgery convert`); {_candidates(net)}"
    )


def _inputs(net: NetDefinition) -> list[str]:
    return [declared.name for declared in net.inputs]


def _candidates(net: NetDefinition) -> str:
    try:
        shapes = infer(net).blobs
    except NetsurgeryError:  # of what is not asked for, perhaps
        shapes = {}
    names = [name for name, shape in shapes.items() if len(shape) == 4]
    names = [name for name in names if name not in _inputs(net)]
    return f"{argument('--blob')} takes {listed(names)}" if names else "the net has no blob that is"


def _image_input(net: NetDefinition) -> tuple[NetInput, Shape]:
    path = net.prototxt.path
    if not net.inputs:
        raise NetError(
            f"{path}: the net declares no input; expected a deploy prototxt{why_no_input(net)}"
            f"{net.stage_hint}"
        )
    if len(net.inputs) > 1:
        raise NetError(
            f"{path}: the net has {counted(len(net.inputs), 'input')}, {_named(net.inputs)}; "
            "a picture can be fed to one only"
        )
    image = net.inputs[0]
    if image.shape is None:
        raise NetError(
            f"{path}: the prototxt declares no shape for its input {image.name!r}; "
            f"{remedy(image.name)}"
        )
    if len(image.shape) != 4 or 0 in image.shape[1:] or image.shape[1] not in (1, 3):
        raise NetError(
            f"{path}: the input {image.name!r} is {shape_text(image.shape)}; "
            "a picture needs N x 1 x H x W (grey) or N x 3 x H x W"
        )
    return image, image.shape


def _named(inputs: Iterable[NetInput]) -> str:
    return ", ".join(repr(declared.name) for declared in inputs)


def _last_scores(net: NetDefinition) -> str:
    """The top of the file's last layer, or what that looks at where it is an ArgMax.

    Losses and accuracies, of which a training net has several at its end, do not count.
    """
    layers = [layer for layer in reversed(net.layers) if layer.tops]
    layer = next((layer for layer in layers if not types.is_for_training(layer)), None)
    layer = layer or next(iter(layers), None)
    if layer is None:
        raise NetError(f"{net.prototxt.path}: the net has no layers with tops")
    if len(layer.tops) > 1:
        raise NetError(
            f"{net.prototxt.path}: the last layer, {layer.name!r}, has several tops; "
            f"choose one with {argument('--blob')}: {', '.join(layer.tops)}"
        )
    ranks = net.ranked_by(layer.tops[0])
    return layer.tops[0] if ranks is None else ranks.bottoms[0]


def _refuse_numbers(net: NetDefinition, blob: str) -> None:
    """Raise NetError for a blob of the numbers of classes, which are no scores."""
    ranks = net.ranked_by(blob)
    if ranks is not None:
        raise NetError(
            f"{net.prototxt.path}: blob {blob!r} holds class numbers, made by layer "
            f"{ranks.name!r} ({ranks.type}), not scores; {argument(f'--blob {ranks.bottoms[0]}')} "
            "has those"
        )
