"""What a net's prototxt says about the maps it gives: input, blob, classes, cells."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from netsurgery.errors import NetError, NetsurgeryError
from netsurgery.net import types
from netsurgery.net.field import Cells, place_cells
from netsurgery.net.inputs import declare_inputs, why_no_input
from netsurgery.net.needed import listed, only_needed, require_blobs
from netsurgery.net.net import NetDefinition, NetInput, Shape
from netsurgery.net.shapes import Shapes, infer, remedy
from netsurgery.net.state import TEST, NetState

__all__ = ["MapNet", "refuse_blob"]

Size = tuple[int, int]


@dataclass(frozen=True, eq=False)
class MapNet:
    """A net of one image input, and the blob to take the map from.

    The net is what the blob depends on, or several blobs; all else of its prototxt may be anything.
    """

    net: NetDefinition
    input: NetInput
    shape: Shape
    blob: str

    @classmethod
    def read(cls, prototxt: Path | str, blob: str | None = None, state: NetState = TEST) -> MapNet:
        """Read a net; `blob` is the map's, or else the top of the file's last layer.

        Raises PrototxtError, FormatError, and NetError: not one input of N x C x H x W with one or
        three channels, no such blob, a blob that is not N x C x H x W.
        """
        net = NetDefinition.read(prototxt, state)
        chosen = _last_top(net) if blob is None else blob
        if chosen not in _blobs(net):
            _image_input(declare_inputs(net))
            what = f"{net.prototxt.path}: no blob {chosen!r}; {_candidates(net)}"
            raise NetError(f"{what}{net.blob_hint(chosen)}")
        made = cls.of(net, [chosen])
        made._check_blob(net)
        return made

    @classmethod
    def for_blobs(
        cls, prototxt: Path | str, blobs: Sequence[str], state: NetState = TEST
    ) -> MapNet:
        """Read a net whose `blobs` need be no maps. Raises as `read`."""
        net = NetDefinition.read(prototxt, state)
        require_blobs(net, blobs)
        return cls.of(net, blobs)

    @classmethod
    def of(cls, net: NetDefinition, blobs: Sequence[str]) -> MapNet:
        """The net's part that gives `blobs`; `blob` is the first of them. Raises NetError."""
        part = declare_inputs(only_needed(net, blobs))
        part = part if part.inputs else declare_inputs(net)  # the picture is fed, but goes nowhere
        found, shape = _image_input(part)
        return cls(part, found, shape, blobs[0])

    @property
    def channels(self) -> int:
        """Channels of the input, 1 or 3."""
        return self.shape[1]

    @property
    def size(self) -> Size:
        """Height and width of the input that the prototxt declares."""
        return self.shape[2], self.shape[3]

    @property
    def scored(self) -> str:
        """ "probability" where a Softmax over the channels is the last to write the blob."""
        writers = [layer for layer in self.net.layers if self.blob in layer.tops]
        if not writers or not types.is_a(writers[-1], types.SOFTMAX):
            return "score"
        axis = writers[-1].param("softmax_param").integer("axis", 1, -4)
        return "probability" if axis in (1, -3) else "score"

    def check(self, size: Size) -> None:
        """Raise, naming the layer, where an input of `size` is too small for the net."""
        self._shapes(size)

    def _shapes(self, size: Size) -> Shapes:
        return infer(self.net, self._at(size))

    def _at(self, size: Size) -> Mapping[str, Shape]:
        return {self.input.name: (1, self.channels, *size)}

    @cached_property
    def classes(self) -> int | None:
        """Channels of the blob, where the prototxt tells them."""
        shape = self._shapes(self.size).blobs.get(self.blob, ())
        return shape[1] if len(shape) == 4 else None

    def cells(self, size: Size, window: Size | None = None) -> Cells | None:
        """The boxes of the blob's cells at an input of `size`, or None where they are not known.

        window: the size of a box, as the classifier's old input was; None to work it out.
        """
        return place_cells(self.net, self.blob, self.shape, size, window)

    def _check_blob(self, whole: NetDefinition) -> None:
        shape = self._shapes(self.size).blobs.get(self.blob)
        if shape is not None and len(shape) != 4:
            refuse_blob(self.blob, shape, whole)


def refuse_blob(blob: str, shape: Shape, net: NetDefinition) -> None:
    """Raise NetError for a blob that is not N x C x H x W, naming those of `net` that are."""
    told = " x ".join(map(str, shape)) or "a single number"
    raise NetError(
        f"blob {blob!r} is {told}, not N x C x H x W (a classifier becomes fully convolutional by "
        f"`netsurgery convert`); {_candidates(net)}"
    )


def _blobs(net: NetDefinition) -> list[str]:
    """Every blob, the inputs first."""
    return list(
        dict.fromkeys((*_inputs(net), *(top for layer in net.layers for top in layer.tops)))
    )


def _inputs(net: NetDefinition) -> list[str]:
    return [one.name for one in net.inputs]


def _candidates(net: NetDefinition) -> str:
    try:
        shapes = infer(net).blobs
    except NetsurgeryError:  # of what is not asked for, perhaps
        shapes = {}
    names = [name for name, shape in shapes.items() if len(shape) == 4]
    names = [name for name in names if name not in _inputs(net)]
    return f"--blob takes {listed(names)}" if names else "the net has no blob that is"


def _image_input(net: NetDefinition) -> tuple[NetInput, Shape]:
    path = net.prototxt.path
    if not net.inputs:
        raise NetError(
            f"{path}: the net declares no input; expected a deploy prototxt{why_no_input(net)}"
            f"{net.stage_hint}"
        )
    if len(net.inputs) > 1:
        raise NetError(
            f"{path}: the net has {len(net.inputs)} inputs, {_named(net.inputs)}; "
            "a picture can be fed to one only"
        )
    found = net.inputs[0]
    if found.shape is None:
        raise NetError(
            f"{path}: the prototxt declares no shape for its input {found.name!r}; "
            f"{remedy(found.name)}"
        )
    if len(found.shape) != 4 or 0 in found.shape[1:] or found.shape[1] not in (1, 3):
        told = " x ".join(map(str, found.shape))
        raise NetError(
            f"{path}: the input {found.name!r} is {told}; "
            "a picture needs N x 1 x H x W (grey) or N x 3 x H x W"
        )
    return found, found.shape


def _named(inputs: Iterable[NetInput]) -> str:
    return ", ".join(repr(one.name) for one in inputs)


def _last_top(net: NetDefinition) -> str:
    layer = next((layer for layer in reversed(net.layers) if layer.tops), None)
    if layer is None:
        raise NetError(f"{net.prototxt.path}: the net has no layers with tops")
    if len(layer.tops) > 1:
        raise NetError(
            f"{net.prototxt.path}: the last layer, {layer.name!r}, has several tops; "
            f"choose one with --blob: {', '.join(layer.tops)}"
        )
    return layer.tops[0]
