"""The working state of an edit: a net and its params as the operations so far have left them.

Only the params that are asked for are read; everything else stays in its file until it is
written. Nothing here writes a file, so an edit that is refused leaves no trace.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING

from netsurgery.errors import SurgeryError
from netsurgery.formats.prototxt import Prototxt
from netsurgery.formats.textformat import Edits
from netsurgery.formats.weights import WeightsLayer, stored_shape
from netsurgery.io.memory import Claim, empty
from netsurgery.io.wording import counted
from netsurgery.net.known_fields import check_fields
from netsurgery.net.net import Layer, NetDefinition, Shape
from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.net.param_fit import other_shape
from netsurgery.net.shapes import Shapes, infer
from netsurgery.net.shared_params import Sharing
from netsurgery.surgery.difference.fields import FieldChange
from netsurgery.surgery.edit.changes import (
    LayerEvent,
    ParamChange,
    SavedParam,
    Step,
    layer_events,
    layer_fields,
)
from netsurgery.surgery.plan import Refusal, misnamed, namesake

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

__all__ = ["EditSession", "ParamKey", "UnfitParams", "refusal"]

_COMPUTING = "computing with the params that the operation changes"
#: What computing with a number of a param takes: copies in float64, products, the result.
_WIDE = 40

#: A param: its layer and its index.
ParamKey = tuple[str, int]


def refusal(layer: str, reason: str, remedy: str = "") -> SurgeryError:
    """The error to raise where an operation cannot be done to `layer`."""
    return SurgeryError(str(Refusal(layer, reason, remedy)))


class UnfitParams(SurgeryError):
    """A layer's params in the model are not those of its net."""


def _copied(layer: str, index: int, values: NDArray[np.floating]) -> Array:
    """An array of its own, float32."""
    array: Array = empty(values.shape, "f4", f"layer {layer!r}: a copy of its param {index}")
    array[...] = values
    return array


class EditSession:
    """model: the net and its weights as they were. net: as it is now.

    notes: what the user should know. saved: file name -> array to write beside the outputs.
    read_files: the files that operations take values from.
    fields: layer -> {field number: values} to change in the layer's own record in the model (none
    removes the field). added: layers whose params are all new, the model having none of that name
    or those being removed.
    """

    def __init__(self, model: NetWithWeights) -> None:
        self.model, self.net = model, model.net
        self.notes: list[str] = []
        self.saved: dict[str, Array] = {}
        self.read_files: list[str] = []
        self.removed: dict[str, None] = {}
        self.added: dict[str, None] = {}
        self.fields: dict[str, dict[int, tuple[int, ...]]] = {}
        self.arrays: dict[ParamKey, Array] = {}
        self._shapes: Shapes | None = None
        self._copies: dict[ParamKey, ParamKey | None] = {}
        self._working = Claim(0, _COMPUTING)
        self._params: dict[ParamKey, ParamChange] = {}
        self._saves: list[SavedParam] = []
        self._whats: dict[tuple[str, int | None], str] = {}

    def run(self, word: str, name: str, operation: Callable[[], None]) -> Step:
        """Carry out one operation; returns what it changed. Raises what it raises.

        What it computes with the params that it reads is freed at its end.
        """
        before, noted = self.net, len(self.notes)
        self._params, self._saves, self._whats = {}, [], {}
        try:
            operation()
        finally:
            self._working.close()
        events: tuple[LayerEvent, ...] = ()
        fields: tuple[tuple[str | None, FieldChange], ...] = ()
        if self.net is not before:
            events = tuple(
                event._replace(what=self._whats.get((event.layer, None), ""))
                for event in layer_events(before, self.net)
            )
            fields = tuple(layer_fields(before, self.net))
        params = tuple(
            replace(change, what=self._whats.get(key, change.what))
            for key, change in self._params.items()
        )
        notes = tuple(self.notes[noted:])
        return Step(word, name, params, events, fields, tuple(self._saves), notes)

    def describe(self, layer: str, index: int | None, what: str) -> None:
        """Say what the operation does to a param, or (None) why a layer is removed or added."""
        self._whats[layer, index] = what

    def dropped(self) -> dict[str, int]:
        """How many numbers of each layer's params the operation has dropped so far."""
        counts: dict[str, int] = {}
        for change in self._params.values():
            count = 0 if change.shape is None else prod(change.shape) - prod(change.new_shape)
            if count > 0:
                counts[change.layer] = counts.get(change.layer, 0) + count
        return counts

    def record(self, change: ParamChange) -> None:
        """Take note of a param that was changed in place."""
        key = (change.layer, change.index)
        earlier = self._params.get(key)
        self._params[key] = change if earlier is None else earlier.followed_by(change)

    def save(self, layer: str, index: int, file: str, values: Array) -> None:
        """Have a param, or a part of it, written to a file beside the outputs.

        Raises SurgeryError where the file is named already.
        """
        if file in self.saved:
            raise SurgeryError(f"{file} is saved to already")
        self.saved[file] = values
        self._saves.append(SavedParam(layer, index, values.shape, file))

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
        if wrong := misnamed(self.net, name):
            raise SurgeryError(str(wrong))
        return self.net.layer(name)

    def stored(self, name: str) -> WeightsLayer:
        """The layer's params in the model. Raises SurgeryError where it has none, or twice."""
        copies = self.model.copies.get(name, ())
        if len(copies) != 1:
            count = f"the model has {counted(len(copies), 'layer')} of that name"
            lacking = self.model.another_net() or "the model has no params for it"
            raise refusal(name, count if copies else lacking)
        return copies[0]

    def refuse_namesakes(self, layer: str) -> None:
        """Raise SurgeryError where a layer of another phase or stage has the name, and so the
        params."""
        if shared := namesake(self.net, layer):
            raise SurgeryError(str(shared))

    def refuse_shared(self, layer: str, *indices: int) -> None:
        """Raise SurgeryError where another layer shares one of these params of the layer.

        By the params' names or, in another phase or stage, by its own.
        """
        self.refuse_namesakes(layer)
        for index in indices:
            if name := self.net.sharing.other_layer((layer, index)):
                raise refusal(layer, f"it shares its param {index} with layer {name!r}")

    def peek(self, layer: str, index: int) -> Array:
        """A param as it is now, in the net's shape; not to be written to.

        Raises SurgeryError where the model lacks it, and where any param of the layer does not
        fit the net: what is computed from some of them would lose the others.
        """
        self.check_params(layer)
        values = self.peek_alone(layer, index)
        self._working.add(_WIDE * values.size)
        return values

    def peek_alone(self, layer: str, index: int) -> Array:
        """The same, to be read or changed by itself, whatever the layer's other params are.

        Raises SurgeryError where the model lacks it, or has it in another shape than the net.
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
        differing = self.model.fit.mismatches.get(layer)
        if differing is not None:
            reason = self.model.another_net() or "; ".join(differing.reasons())
            raise UnfitParams(str(Refusal(layer, reason)))

    def set_param(self, layer: str, index: int, values: NDArray[np.floating]) -> None:
        """Give a param new values, of whatever shape, or a layer one param more.

        Raises SurgeryError for values that float32 cannot hold.
        """
        self.set_params(layer, {index: values})

    def set_params(self, layer: str, params: Mapping[int, NDArray[np.floating]]) -> None:
        """The same for several params of the layer: for all of them or, where it raises, none."""
        import numpy as np

        # Checked before any is set: for all of them, or for none.
        new: dict[ParamKey, Array] = {}
        for index, values in params.items():
            with np.errstate(over="ignore"):
                array = _copied(layer, index, values)
            bad = int(array.size - np.count_nonzero(np.isfinite(array)))
            if bad:
                raise refusal(
                    layer, f"{counted(bad, 'value')} of its param {index} would be NaN or infinite"
                )
            new[layer, index] = array
        for (_, index), array in new.items():
            owner = self.net.sharing.owner((layer, index))
            self.record(_change(layer, index, self._present(owner), array))
            self.arrays[owner] = array

    def _present(self, param: ParamKey) -> Array | None:
        """The param as it is now, None where there is none."""
        # A layer that is added under a removed one's name has none of its params.
        if param in self.arrays or param[0] in self.removed:
            return self.arrays.get(param)
        try:
            return self._stored(*param)
        except SurgeryError:
            return None

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
        own = self._expected(last, number, blob.shape)
        expected = self._expected(layer, index, own)
        # Layers may share a param each in a shape of its own, of as many numbers.
        if blob.shape != stored_shape(blob, own) or prod(own) != prod(expected):
            reason = self.model.another_net() or other_shape(index, blob.shape, expected)
            raise refusal(layer, reason)
        return blob.numpy().reshape(expected)

    def _last_copy(self, layer: str, index: int) -> ParamKey:
        """The param's last copy in the model, of the layers that share it."""
        owner = self.net.sharing.owner((layer, index))
        if owner not in self._copies:
            places = self.model.places
            stored = [each for each in self.net.sharing.sharers(owner) if each[0] in places]
            self._copies[owner] = max(stored, key=lambda each: places[each[0]], default=None)
        return self._copies[owner] or (layer, index)

    def _expected(self, layer: str, index: int, stored: Shape) -> Shape:
        """The param's shape in the net; as it is stored where the net does not say."""
        known = self.shapes.params.get(layer, ())
        return known[index] if index < len(known) else stored

    def edited(self, edits: Edits) -> None:
        """The net becomes what its edited text says. Raises PrototxtError, NetError."""
        self.read(edits.apply())

    def read(self, text: str) -> None:
        """The net becomes what `text` says. Raises PrototxtError, NetError."""
        prototxt, before = Prototxt.parse(text, self.net.prototxt.path), self.net.sharing
        self.net = NetDefinition.of(prototxt, self.net.state)
        self._shapes = None
        # The new text may share other params.
        self._copies = {}
        self.arrays = dict(self._inherited(before))

    def _inherited(self, before: Sharing) -> Iterator[tuple[ParamKey, Array]]:
        """The changed params as the new text has them: of what it shares no more, those left."""
        for param, array in self.arrays.items():
            left = [each for each in before.sharers(param) if self.net.named(each[0])]
            if left:
                yield self.net.sharing.owner(left[0]), array

    def remove(self, layer: str) -> None:
        """Forget a layer that is to leave the net, and the params that no other one has."""
        self.removed[layer] = None
        self.added.pop(layer, None)
        stored = max((len(each.blobs) for each in self.model.copies.get(layer, ())), default=0)
        for index in range(self._behind(layer, stored)):
            sharers = self.net.sharing.sharers((layer, index))
            if all(name in self.removed for name, _ in sharers):
                self.arrays.pop(sharers[0], None)

    def add(self, layer: str, *params: NDArray[np.floating]) -> None:
        """Give the net's layer `layer`, which the model no longer has, params of its own."""
        self.added[layer] = None
        for index, values in enumerate(params):
            self.set_param(layer, index, values)

    def changed(self) -> Mapping[str, Mapping[int, Array]]:
        """Layer of the model -> {number of its param: its new values}."""
        changed: dict[str, dict[int, Array]] = {}
        for param, array in self.arrays.items():
            # Caffe loads each sharer's copy over the one before, so all have to be the new one.
            for name, index in self.net.sharing.sharers(param):
                if name in self.model.stored and name not in self.added:
                    changed.setdefault(name, {})[index] = array
        return changed


def _change(layer: str, index: int, old: Array | None, new: Array) -> ParamChange:
    import numpy as np

    if old is None or old.shape != new.shape:
        shape = None if old is None else old.shape
        return ParamChange(layer, index, shape, new.shape, None)
    return ParamChange(layer, index, old.shape, new.shape, int(np.count_nonzero(old != new)))
