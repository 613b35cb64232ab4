"""One layer of a net, as its prototxt writes it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from netsurgery.errors import PrototxtError
from netsurgery.formats.generations import layer_type
from netsurgery.formats.textformat import Message, Scalar
from netsurgery.io.argument_types import checks_arguments

__all__ = ["MAX_DIM", "Layer", "Shape", "read_layer"]

Shape = tuple[int, ...]

#: DimCheckMode, which may be written as its number.
_PERMISSIVE = ("PERMISSIVE", "1")

#: Caffe's limits: a dimension is an int, an element count too.
MAX_DIM = 2**31 - 1


# By identity: layers are keys of dicts, and two that are written alike are two.
@dataclass(frozen=True, eq=False)
class Layer:
    """One layer: ``type`` is Caffe 1.0's name for it whatever the dialect says.

    >>> import netsurgery as ns
    >>> layer = ns.Net("prototxt/digits_deploy.prototxt").layers[1]
    >>> layer.name, layer.type, layer.bottoms, layer.shares_by_count(0)
    ('conv1', 'Convolution', ('data',), False)
    >>> layer.error("too wide").what
    "layer 'conv1' (Convolution): too wide"
    """

    index: int
    name: str
    type: str
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    message: Message = field(repr=False)

    @checks_arguments()
    def param(self, field: str) -> Message:
        """The layer's ``field { ... }``, or an empty message where it is left out."""
        message = self.message.message(field)
        return message or Message(self.message.source, self.message.start, self.message.start)

    @checks_arguments()
    def error(self, what: str) -> PrototxtError:
        """An error at this layer's place in the text."""
        return self.message.error(f"layer {self.name!r} ({self.type}): {what}")

    @cached_property
    def param_names(self) -> tuple[str, ...]:
        """The names under which the layer shares its params; "" for one it does not share."""
        # V1 has names alone, `param: "w"`; today each is a message.
        values = [field.value for field in self.message.all("param")]
        return tuple(
            value.string("name") if isinstance(value, Message) else value.as_string()
            for value in values
        )

    @checks_arguments()
    def shares_by_count(self, index: int) -> bool:
        """Whether param `index`, if shared, only has to be as many numbers (PERMISSIVE)."""
        params, modes = self._share_modes
        if index < len(params):
            return params[index].word("share_mode", "STRICT") in _PERMISSIVE
        return index < len(modes) and modes[index].as_word() in _PERMISSIVE

    @cached_property
    def _share_modes(self) -> tuple[list[Message], list[Scalar]]:
        # V1's modes are a list of their own beside that of the names, which are no messages.
        values = [field.value for field in self.message.all("param")]
        params = [value for value in values if isinstance(value, Message)]
        return params, self.message.scalars("blob_share_mode")

    @cached_property
    def in_place(self) -> bool:
        """Whether some top is one of the bottoms."""
        return not set(self.tops).isdisjoint(self.bottoms)

    @property
    def new_tops(self) -> list[str]:
        """The tops that are none of the bottoms."""
        bottoms = set(self.bottoms)
        return [top for top in self.tops if top not in bottoms]


def read_layer(index: int, message: Message, generation: str) -> Layer:
    """The layer that a message of a prototxt is. generation: "V1" or "V2", whose types it has."""
    return Layer(
        index=index,
        name=message.string("name"),
        type=layer_type(message, generation),
        bottoms=tuple(s.as_string() for s in message.scalars("bottom")),
        tops=tuple(s.as_string() for s in message.scalars("top")),
        message=message,
    )
