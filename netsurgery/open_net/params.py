"""The params of an open net: layer -> its blobs, as numpy arrays that may be written to."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, overload

from netsurgery.errors import NetError, ParamMissing, PrototxtError, SurgeryError
from netsurgery.io.argument_types import shown
from netsurgery.io.nearest import did_you_mean
from netsurgery.io.shape_text import shape_text
from netsurgery.io.wording import counted
from netsurgery.net.net import Shape
from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.net.write_weights import ModelChange
from netsurgery.surgery.edit.session import EditSession

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    from netsurgery.open_net.arrays import ParamArray

    Array = NDArray[np.float32]

__all__ = ["LayerParams", "Params", "Store"]


class Store:
    """Where the arrays come from: two views of one file of weights.

    `original` is the file as it is; `arrays` are of a private mapping, which can be written to.
    """

    def __init__(self, model: NetWithWeights) -> None:
        self.model = model
        self.original = EditSession(model)
        self._private: EditSession | None = None
        self.arrays: dict[tuple[str, int], ParamArray] = {}
        self._views: dict[tuple[str, int], ParamArray] = {}
        self.counts = {
            layer.name: len(model.stored[layer.name].blobs)
            for layer in model.net.layers
            if layer.name in model.stored
        }

    @property
    def shown_path(self) -> str:
        """The file of weights, for messages; a temporary one has no name that says anything."""
        return self.model.known_path or "unsaved weights"

    def array(self, layer: str, index: int) -> ParamArray:
        """The one array of a param; layers that share it by name get the same.

        A layer that has it in a shape of its own gets a view of that shape.
        """
        self.model.check_unchanged()
        owner = self.original.net.sharing.owner((layer, index))
        if owner not in self.arrays:
            self.arrays.setdefault(owner, self._mapped(*owner))  # another thread's may be there
        array, shape = self.arrays[owner], self.shape(layer, index)
        if array.shape == shape:
            return array
        # share_mode PERMISSIVE asks for as many numbers alone (net.cpp, AppendParam).
        return self._views.setdefault((layer, index), array.reshape(shape).view(type(array)))

    def _mapped(self, layer: str, index: int) -> ParamArray:
        from netsurgery.open_net.arrays import ParamArray, open_privately

        if self._private is None:
            self._private = EditSession(open_privately(self.model))
        return self._private.peek_alone(layer, index).view(ParamArray)

    def shape(self, layer: str, index: int) -> Shape:
        """A param's shape, without its numbers where the net determines it."""
        known = self.original.shapes.params.get(layer, ())
        return known[index] if index < len(known) else self.original.peek_alone(layer, index).shape

    def changed(
        self, since: Mapping[tuple[str, int], Array] | None = None
    ) -> dict[tuple[str, int], Array]:
        """The params that are not what they were in `since`, or else in the file."""
        from netsurgery.open_net.arrays import bytes_differ

        before = since or {}
        return {
            owner: array
            for owner, array in self.arrays.items()
            if bytes_differ(array, before[owner] if owner in before else self._stored(owner))
        }

    def _stored(self, owner: tuple[str, int]) -> Array:
        return self.original.peek_alone(*owner)

    def change(self, changed: Mapping[tuple[str, int], Array]) -> ModelChange:
        """What the `changed` params come to in the file of weights.

        Raises CaffemodelError where the file has changed.
        """
        from netsurgery.surgery.edit.weights import layer_changes

        self.model.check_unchanged()
        # A session of its own: `original` has to go on giving what the file says.
        work = EditSession(self.model)
        work.arrays = {**changed}
        return ModelChange(self.model.net, layer_changes(work))

    def insist_finite(self, changed: Mapping[tuple[str, int], Array]) -> None:
        """Raise NetError where one of these has values NaN or infinite, finite in the file."""
        import numpy as np

        for (layer, index), array in changed.items():
            # What was NaN in the file already is the file's own affair: it may be saved again.
            was = np.isfinite(self.original.peek_alone(layer, index))
            bad = int(np.count_nonzero(was & ~np.isfinite(array)))
            if bad:
                raise NetError(
                    f"layer {layer!r}, param {index}: {counted(bad, 'value')} that became "
                    "NaN or infinite; nothing is saved"
                )

    def close(self) -> None:
        """Close the files; arrays that were handed out stay."""
        self.model.close()
        if self._private is not None:
            self._private.model.close()


class LayerParams(Sequence["ParamArray"]):
    """The params of one layer: 0 the weights, 1 the bias where there is one.

    Each is a float32 array of the net's own shape: O x C/group x H x W for a Convolution, O x I
    for an InnerProduct (I x O where it is transposed), O for a bias. It is a view of the file's
    bytes until something is written to it, and then a copy of the pages that were; the file does
    not change. Assigning, ``params["fc6"][0] = values``, writes all of it and takes exactly its
    shape. ``params["fc6"][0].data`` is the same array, as pycaffe has it.

    >>> import netsurgery as ns
    >>> with ns.Net("prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel") as net:
    ...     net.params["ip1"].shapes
    ((96, 128), (96,))
    """

    def __init__(self, store: Store, layer: str) -> None:
        self._store, self._layer = store, layer

    @property
    def shapes(self) -> tuple[Shape, ...]:
        """The shape of each, without reading its numbers."""
        return tuple(self._store.shape(self._layer, index) for index in range(len(self)))

    def __len__(self) -> int:
        return self._store.counts[self._layer]

    @overload
    def __getitem__(self, index: int) -> ParamArray: ...
    @overload
    def __getitem__(self, index: slice) -> list[ParamArray]: ...
    def __getitem__(self, index: int | slice) -> ParamArray | list[ParamArray]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        return self._store.array(self._layer, self._number(index))

    def __setitem__(self, index: int, values: ArrayLike) -> None:
        from netsurgery.open_net.arrays import number_array

        array = self[index]
        if values is array:  # what `params[0] += 1` ends with
            return
        where = f"layer {self._layer!r}, param {self._number(index)}"
        new = number_array(values, where, SurgeryError)
        if new.shape != array.shape:
            hint = "; reshape it first" if new.size == array.size else ""
            raise SurgeryError(
                f"{where}: found an array of shape {shape_text(new.shape)}, "
                f"expected {shape_text(array.shape)}{hint}"
            )
        array[...] = new

    def __iter__(self) -> Iterator[ParamArray]:
        return (self[index] for index in range(len(self)))

    def __repr__(self) -> str:
        return f"<params of {self._layer!r}: {', '.join(map(shape_text, self.shapes))}>"

    def _number(self, index: int) -> int:
        if isinstance(index, bool) or not hasattr(index, "__index__"):
            what = "params have numbers, 0 the weights and 1 the bias"
            raise TypeError(f"{what}; found {shown(index)}")
        index, count = operator.index(index), len(self)
        if not -count <= index < count:
            raise ParamMissing(f"layer {self._layer!r}: there is no param {index}; it has {count}")
        return index % count


class Params(Mapping[str, LayerParams]):
    """Layer -> its params, for the layers of the net that have some in the weights, in file order.

    A layer that has none raises a NetError, which is a KeyError too.

    >>> import netsurgery as ns
    >>> with ns.Net("prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel") as net:
    ...     list(net.params)
    ['conv1', 'conv2', 'conv3', 'ip1', 'ip2']
    """

    def __init__(self, store: Store | None, path: str) -> None:
        self._store, self._path = store, path

    def __getitem__(self, layer: str) -> LayerParams:
        if self._store is None:
            raise ParamMissing(
                f"{self._path}: opened without weights, so layer {layer!r} has no params; "
                "ns.init fills them"
            )
        if layer not in self._store.counts:
            if any(each.name == layer for each in self._store.model.net.layers):
                with suppress(PrototxtError):  # shapes that contradict each other
                    if reason := self._store.model.another_net():
                        raise ParamMissing(reason)
            hint = did_you_mean(layer, self._store.counts, "layers with params")
            raise ParamMissing(f"{self._store.shown_path}: no params for layer {layer!r}{hint}")
        return LayerParams(self._store, layer)

    def __iter__(self) -> Iterator[str]:
        return iter(() if self._store is None else self._store.counts)

    def __len__(self) -> int:
        return 0 if self._store is None else len(self._store.counts)

    # Not Mapping's, which tries and catches: the error's hints may infer all shapes.
    def __contains__(self, layer: Any) -> bool:
        return self._store is not None and layer in self._store.counts

    def __repr__(self) -> str:
        lines = (f"{layer!r}: {', '.join(map(shape_text, self[layer].shapes))}" for layer in self)
        return f"{{{'; '.join(lines)}}}"
