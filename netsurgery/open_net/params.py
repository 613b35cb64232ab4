"""The params of an open net: layer -> its blobs, as numpy arrays that may be written to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, overload

from netsurgery.errors import NetError, SurgeryError
from netsurgery.net.net import Shape
from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.net.scratch_model import ScratchModel
from netsurgery.net.shapes import describe
from netsurgery.surgery.edit.session import EditSession

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float32]

__all__ = ["LayerParams", "ParamMissing", "Params", "Store"]


class ParamMissing(NetError, KeyError, IndexError):
    """There is no such layer with params, or no param of that number."""

    def __str__(self) -> str:
        return Exception.__str__(self)  # KeyError's would quote it


class Store:
    """Where the arrays come from: two views of one file of weights.

    `kept` is the file as it is; `mine` maps it privately, so that its arrays can be written to.
    """

    def __init__(self, model: NetWithWeights) -> None:
        self.model = model
        self.kept = EditSession(model)
        self.closed = False
        self._private: EditSession | None = None
        self.mine: dict[tuple[str, int], Array] = {}
        self.counts = {
            layer.name: len(model.stored[layer.name].blobs)
            for layer in model.net.layers
            if layer.name in model.stored
        }

    @property
    def shown_path(self) -> str:
        """The file of weights, for messages; a temporary one has no name that says anything."""
        return "unsaved weights" if isinstance(self.model, ScratchModel) else self.model.path

    def array(self, layer: str, index: int) -> Array:
        """The one array of a param; layers that share it by name get the same."""
        self.insist_open()
        owner = self.kept.net.sharing.owner((layer, index))
        if owner not in self.mine:
            self.mine[owner] = self._mapped(layer, index)
        return self.mine[owner]

    def _mapped(self, layer: str, index: int) -> Array:
        from netsurgery.open_net.arrays import ParamArray, open_privately

        if self._private is None:
            self._private = EditSession(open_privately(self.model))
        found = self._private.peek_alone(layer, index)
        if not found.flags.writeable:
            found = found.copy()
        array: Array = found.view(ParamArray)
        return array

    def shape(self, layer: str, index: int) -> Shape:
        """A param's shape, without its numbers where the net tells it."""
        known = self.kept.shapes.params.get(layer, ())
        return known[index] if index < len(known) else self.kept.peek_alone(layer, index).shape

    def changed(self) -> dict[tuple[str, int], Array]:
        """The params that are no more what the file has."""
        from netsurgery.open_net.arrays import bytes_differ

        return {
            owner: array
            for owner, array in self.mine.items()
            if bytes_differ(array, self.kept.peek_alone(*owner))
        }

    def insist_finite(self, changed: Mapping[tuple[str, int], Array]) -> None:
        """Raise NetError where a param has values NaN or infinite that the file has not so."""
        import numpy as np

        for (layer, index), array in changed.items():
            was = np.isfinite(self.kept.peek_alone(layer, index))
            bad = np.count_nonzero(was & ~np.isfinite(array))
            if bad:
                raise NetError(
                    f"layer {layer!r}, param {index}: {bad} values that became NaN or infinite; "
                    "nothing is saved"
                )

    def insist_open(self) -> None:
        """Raise NetError after close()."""
        if self.closed:
            raise NetError(f"{self.model.net.prototxt.path}: the net is closed")

    def close(self) -> None:
        """Let go of the files; arrays that were handed out stay."""
        self.closed = True
        self.model.close()
        if self._private is not None:
            self._private.model.close()


class LayerParams(Sequence["Array"]):
    """The params of one layer: 0 the weights, 1 the bias where there is one.

    Each is a float32 array of the net's own shape: O x C/group x H x W for a Convolution, O x I
    for an InnerProduct (I x O where it is transposed), O for a bias. It is a view of the file's
    bytes until something is written to it, and then a copy of the pages that were; the file does
    not change. Assigning, ``params["fc6"][0] = values``, writes all of it and takes exactly its
    shape.
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
    def __getitem__(self, index: int) -> Array: ...
    @overload
    def __getitem__(self, index: slice) -> list[Array]: ...
    def __getitem__(self, index: int | slice) -> Array | list[Array]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        return self._store.array(self._layer, self._number(index))

    def __setitem__(self, index: int, values: ArrayLike) -> None:
        import numpy as np

        array = self[index]
        if values is array:  # what `params[0] += 1` ends with
            return
        found = np.asarray(values)
        if found.shape != array.shape:
            hint = "; reshape it first" if found.size == array.size else ""
            raise SurgeryError(
                f"layer {self._layer!r}, param {self._number(index)}: found an array of "
                f"{describe(found.shape)}, expected {describe(array.shape)}{hint}"
            )
        array[...] = found

    def __iter__(self) -> Iterator[Array]:
        return (self[index] for index in range(len(self)))

    def __repr__(self) -> str:
        return f"<params of {self._layer!r}: {', '.join(map(describe, self.shapes))}>"

    def _number(self, index: int) -> int:
        count = len(self)
        if not -count <= index < count:
            raise ParamMissing(f"layer {self._layer!r}: there is no param {index}; it has {count}")
        return index % count


class Params(Mapping[str, LayerParams]):
    """Layer -> its params, for the layers of the net that have some in the weights, in file order.

    A layer that has none raises a NetError, which is a KeyError too.
    """

    def __init__(self, store: Store | None, path: str) -> None:
        self._store, self._path = store, path

    def __getitem__(self, layer: str) -> LayerParams:
        if self._store is None:
            raise ParamMissing(
                f"{self._path}: no weights were given, so layer {layer!r} has no params"
            )
        if layer not in self._store.counts:
            names = ", ".join(map(repr, self._store.counts)) or "none"
            raise ParamMissing(
                f"{self._store.shown_path}: no params for layer {layer!r}; those of the net's "
                f"layers that have some are {names}"
            )
        return LayerParams(self._store, layer)

    def __iter__(self) -> Iterator[str]:
        return iter(() if self._store is None else self._store.counts)

    def __len__(self) -> int:
        return 0 if self._store is None else len(self._store.counts)

    def __contains__(self, layer: Any) -> bool:
        return self._store is not None and layer in self._store.counts

    def __repr__(self) -> str:
        told = (f"{layer!r}: {', '.join(map(describe, self[layer].shapes))}" for layer in self)
        return f"{{{'; '.join(told)}}}"
