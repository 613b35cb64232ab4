"""A net and its params in the middle of an operation: what the steps of an edit change.

Only the params that are asked for are read; everything else stays in its file until it is
written. Nothing here writes a file, so that giving up leaves no trace.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from netsurgery.errors import SurgeryError
from netsurgery.formats.prototxt import Prototxt
from netsurgery.formats.textformat import Edits
from netsurgery.formats.weights import WeightsLayer, stored_shape
from netsurgery.io.memory import Claim, empty
from netsurgery.net.known_fields import check_fields
from netsurgery.net.net import Layer, NetDefinition, Shape
from netsurgery.net.net_with_weights import NetWithWeights, other_shape
from netsurgery.net.shapes import Shapes, infer
from netsurgery.surgery.plan import Refusal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

__all__ = ["Change", "EditSession", "Param", "UnfitParams", "refusal"]

_COMPUTING = "computing with the params that the operation changes"
#: What computing with a number of a param takes: copies in float64, products, the result.
_WIDE = 40

#: A param blob: its layer and its number.
Param = tuple[str, int]


@dataclass(frozen=True)
class Change:
    """What one operation does to one layer, or to one param blob of it (None for the layer)."""

    layer: str
    blob: int | None
    what: str


def refusal(layer: str, reason: str, remedy: str = "") -> SurgeryError:
    """The error to raise where an operation cannot be done to `layer`."""
    return SurgeryError(str(Refusal(layer, reason, remedy)))


class UnfitParams(SurgeryError):
    """A layer's params in the model are not those of its net."""


def _copied(layer: str, index: int, values: NDArray[np.floating]) -> Array:
    """An array of its own, float32."""
    made: Array = empty(values.shape, "f4", f"layer {layer!r}: a copy of its param {index}")
    made[...] = values
    return made


class EditSession:
    """model: the net and its weights as they were. net: as it is now.

    effects, notes: what was done since `take_effects`, and to be told. saved: file name -> array
    to write beside the outputs. fields: layer -> {field number: value} to change in the layer's
    own record in the model (None takes the field out). added: layers whose params are all new,
    the model's of that name being removed or not there.
    """

    def __init__(self, model: NetWithWeights) -> None:
        self.model, self.net = model, model.net
        self.effects: list[Change] = []
        self.notes: list[str] = []
        self.saved: dict[str, Array] = {}
        self.removed: dict[str, None] = {}
        self.added: dict[str, None] = {}
        self.fields: dict[str, dict[int, int | None]] = {}
        self.arrays: dict[Param, Array] = {}
        self._shapes: Shapes | None = None
        self._copies: dict[Param, Param | None] = {}
        self._working = Claim(0, _COMPUTING)

    @contextmanager
    def working(self) -> Iterator[None]:
        """One operation: what it computes with the params that it looks at goes at its end."""
        try:
            yield
        finally:
            self._working.close()

    @property
    def shapes(self) -> Shapes:
        """The shapes of the net as it is now."""
        if self._shapes is None:
            unchanged = self.net is self.model.net
            self._shapes = self.model.shapes if unchanged else infer(self.net)
        return self._shapes

    @property
    def text_changed(self) -> bool:
        """Whether the prototxt is not the one it was."""
        return self.net.prototxt.text != self.model.net.prototxt.text

    def layer(self, name: str) -> Layer:
        """The layer of that name. Raises SurgeryError."""
        found = self.net.named(name)
        if len(found) != 1:
            many = "the net has no such layer" if not found else f"the net has {len(found)} of them"
            raise refusal(name, many)
        return found[0]

    def stored(self, name: str) -> WeightsLayer:
        """The layer's params in the model. Raises SurgeryError where it has none, or twice."""
        found = self.model.copies.get(name, ())
        if len(found) != 1:
            many = f"the model has {len(found)} layers of that name"
            raise refusal(name, many if found else "the model has no params for it")
        return found[0]

    def refuse_shared(self, layer: str, *indices: int) -> None:
        """Raise SurgeryError where another layer shares one of these params of the layer."""
        for index in indices:
            if name := self.net.sharing.other_layer((layer, index)):
                raise refusal(layer, f"it shares its param {index} with layer {name!r}")

    def peek(self, layer: str, index: int) -> Array:
        """A param as it is now, in the net's shape; not to be written to.

        Raises SurgeryError where the model has it not, and where any param of the layer is not
        as the net has it: what is computed from some of them would lose the others.
        """
        self.check_params(layer)
        found = self.peek_alone(layer, index)
        self._working.add(_WIDE * found.size)
        return found

    def peek_alone(self, layer: str, index: int) -> Array:
        """The same, to be looked at or changed by itself: the layer's others may be as they like.

        Raises SurgeryError where the model has it not, or in another shape than the net.
        """
        owner = self.net.sharing.owner((layer, index))
        return self.arrays[owner] if owner in self.arrays else self._stored(layer, index)

    def param_alone(self, layer: str, index: int) -> Array:
        """The same, float32 and to be written to: whoever shares the param sees it."""
        owner = self.net.sharing.owner((layer, index))
        if owner not in self.arrays:
            self.arrays[owner] = _copied(layer, index, self._stored(layer, index))
        return self.arrays[owner]

    def check_params(self, layer: str) -> None:
        """Raise SurgeryError where the layer's params in the model are not those of its net.

        And PrototxtError for a field of the layer that is not known: it may be why.
        """
        check_fields(self.layer(layer))
        found = self.model.fit.mismatches.get(layer)
        if found is not None and layer not in self.added:
            raise UnfitParams(str(Refusal(layer, "; ".join(found.reasons()))))

    def set_param(self, layer: str, index: int, values: NDArray[np.floating]) -> None:
        """Give a param new values, of whatever shape, or a layer one param more.

        Raises SurgeryError for values that float32 cannot hold.
        """
        self.set_params(layer, {index: values})

    def set_params(self, layer: str, params: Mapping[int, NDArray[np.floating]]) -> None:
        """The same for several params of the layer: for all of them or, where it raises, none."""
        import numpy as np

        new: dict[Param, Array] = {}
        for index, values in params.items():
            with np.errstate(over="ignore"):
                array = _copied(layer, index, values)
            bad = int(array.size - np.count_nonzero(np.isfinite(array)))
            if bad:
                raise refusal(layer, f"{bad} values of its param {index} would be NaN or infinite")
            new[self.net.sharing.owner((layer, index))] = array
        self.arrays.update(new)

    def count(self, layer: str) -> int:
        """How many params the layer has now. Raises what `check_params` raises."""
        self.check_params(layer)
        return self._behind(layer, 0 if layer in self.added else len(self.stored(layer).blobs))

    def _behind(self, layer: str, count: int) -> int:
        """How many params the layer has: `count`, and those that it was given besides."""
        while (layer, count) in self.arrays:
            count += 1
        return count

    def _stored(self, layer: str, index: int) -> Array:
        """The param as the model has it; of several copies the one that Caffe would load last."""
        last, number = self._last_copy(layer, index)
        blobs = self.stored(last).blobs
        if not 0 <= number < len(blobs):
            raise refusal(layer, f"there is no param {index}; it has {len(blobs)}")
        blob = blobs[number]
        wanted = self._wanted(layer, index, blob.shape)
        if blob.shape != stored_shape(blob, wanted):
            raise refusal(layer, other_shape(index, blob.shape, wanted))
        return blob.numpy().reshape(wanted)

    def _last_copy(self, layer: str, index: int) -> Param:
        """The param's last copy in the model: which of those that share it is there last."""
        owner = self.net.sharing.owner((layer, index))
        if owner not in self._copies:
            places = self.model.places
            there = [each for each in self.net.sharing.sharers(owner) if each[0] in places]
            last = max(there, key=lambda each: places[each[0]], default=None)
            self._copies[owner] = last
        return self._copies[owner] or (layer, index)

    def _wanted(self, layer: str, index: int, stored: Shape) -> Shape:
        """The param's shape in the net; as it is stored where the net does not tell."""
        known = self.shapes.params.get(layer, ())
        return known[index] if index < len(known) else stored

    def edited(self, edits: Edits) -> None:
        """The net becomes what its edited text says. Raises PrototxtError, NetError."""
        self.read(edits.apply())

    def read(self, text: str) -> None:
        """The net becomes what `text` says. Raises PrototxtError, NetError."""
        prototxt = Prototxt.parse(text, self.net.prototxt.path)
        self.net = NetDefinition.of(prototxt, self.net.state)
        self._shapes = None
        self._copies = {}

    def remove(self, layer: str) -> None:
        """Forget a layer that has left the net, and its params."""
        self.removed[layer] = None
        self.added.pop(layer, None)
        stored = max((len(each.blobs) for each in self.model.copies.get(layer, ())), default=0)
        for index in range(self._behind(layer, stored)):
            self.arrays.pop((layer, index), None)

    def add(self, layer: str, *params: NDArray[np.floating]) -> None:
        """Give the net's layer `layer`, which the model has not any more, params of its own."""
        self.added[layer] = None
        for index, values in enumerate(params):
            self.set_param(layer, index, values)

    def changed(self) -> Mapping[str, Mapping[int, Array]]:
        """Layer of the model -> {number of its param: its new values}."""
        found: dict[str, dict[int, Array]] = {}
        for param, array in self.arrays.items():
            for name, index in self.net.sharing.sharers(param):
                if name in self.model.stored and name not in self.added:
                    found.setdefault(name, {})[index] = array
        return found
