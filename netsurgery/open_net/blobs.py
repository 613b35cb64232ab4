"""The blobs of an open net: their shapes, and what they hold before and after it has run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from netsurgery.errors import BlobMissing, NetError
from netsurgery.io.memory import empty
from netsurgery.io.nearest import did_you_mean
from netsurgery.io.shape_text import shape_text
from netsurgery.io.size import as_shape
from netsurgery.net import types
from netsurgery.net.net import NetDefinition, Shape
from netsurgery.net.shapes import Shapes, infer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float32]

__all__ = ["Blob", "BlobStore", "Blobs"]

#: How axes are called in messages, by their number: a picture, a map of columns, a row.
_AXES = {4: "NCHW", 3: "NCW", 2: "NC", 1: "N"}


class BlobStore:
    """What the blobs of a net hold: the inputs what the caller puts there, the others results.

    An array stays the same one for as long as its blob's shape does: it is written to, as Caffe
    writes to its blobs.
    """

    def __init__(self, net: NetDefinition) -> None:
        self.net = net
        self.inputs: dict[str, Array] = {}
        self.results: dict[str, Array] = {}
        self._declared: Shapes | None = None
        self._inferred: tuple[dict[str, Shape], Shapes] | None = None
        self._inputs = tuple(declared.name for declared in net.inputs)
        self.names = tuple(net.blob_names)

    @property
    def path(self) -> str:
        """The prototxt's name, for messages."""
        return self.net.prototxt.path

    @property
    def present(self) -> dict[str, Shape]:
        """Input -> its shape, of those that hold something."""
        return {name: array.shape for name, array in self.inputs.items()}

    def shapes(self, inputs: Mapping[str, Shape] | None = None) -> Shapes:
        """All shapes at the inputs' present ones, or at others. Raises PrototxtError, NetError."""
        sizes = {**self.present, **(inputs or {})}
        if not sizes:
            return self.declared()
        # One set of sizes is enough: a loop over the blobs asks at the same ones each time.
        if self._inferred is None or self._inferred[0] != sizes:
            self._inferred = sizes, infer(self.net, sizes)
        return self._inferred[1]

    def declared(self) -> Shapes:
        """All shapes as the prototxt declares them. Raises PrototxtError, NetError."""
        if self._declared is None:
            self._declared = infer(self.net)
        return self._declared

    def shape(self, blob: str) -> Shape:
        """A blob's present shape. Raises BlobMissing where it is not known."""
        shapes = self.shapes()
        if blob not in shapes.blobs:
            why = shapes.unknown.get(blob, "the net has no such blob")
            raise BlobMissing(f"{self.path}: the shape of blob {blob!r} is not known: {why}")
        return shapes.blobs[blob]

    def check(self, blob: str) -> None:
        """Raise BlobMissing for a name that no blob has."""
        if blob not in self.names:
            hint = did_you_mean(blob, self.names, "blobs")
            raise BlobMissing(f"{self.path}: no blob {blob!r}{hint}")

    def check_input(self, name: str) -> None:
        """Raise NetError for a name that no input has."""
        if name not in self._inputs:
            hint = did_you_mean(name, self._inputs, "inputs") or "; it has none"
            raise NetError(f"{self.path}: no input {name!r}{hint}{self.net.stage_hint}")

    def data(self, blob: str) -> Array:
        """The blob's array; zeros for an input that was given nothing. Raises BlobMissing."""
        if blob in self._inputs:
            if blob not in self.inputs:
                # The zeros that the net ran with, had it run: what it gave stays.
                self.inputs[blob] = self._zeros(blob, self.shape(blob))
            return self.inputs[blob]
        if blob not in self.results:
            raise BlobMissing(
                f"{self.path}: blob {blob!r} holds nothing yet; "
                f"net.forward(..., blobs=[{blob!r}]) computes it"
            )
        return self.results[blob]

    def reshape(self, shapes: Mapping[str, Sequence[int]]) -> None:
        """Give inputs other shapes, all or none: they hold zeros then, and the results are gone."""
        checked = {}
        for name, shape in shapes.items():
            self.check_input(name)
            sizes = checked[name] = as_shape(shape, f"{self.path}: input {name!r}")
            if min(sizes, default=1) < 1:
                raise NetError(
                    f"{self.path}: input {name!r}: found the shape {sizes}, expected sizes"
                )
        self._reshape(checked)

    def _reshape(self, shapes: Mapping[str, Shape]) -> None:
        """Give inputs these shapes: all of them, or none where there is no memory."""
        present = self.present
        arrays = {
            name: self._zeros(name, shape)
            for name, shape in shapes.items()
            if present.get(name) != shape
        }
        self.inputs.update(arrays)
        if arrays:
            self.results.clear()

    def _zeros(self, name: str, shape: Shape) -> Array:
        array: Array = empty(shape, "f4", f"{self.path}: input {name!r} of {shape_text(shape)}")
        array[...] = 0
        return array

    def put(self, arrays: Mapping[str, ArrayLike]) -> None:
        """Write arrays to inputs, which take their shapes: all of them, or none.

        Raises NetError, also for a net whose other inputs hold nothing, and for a size that the
        net's params do not fit; PrototxtError for one that the net cannot have.
        """
        import numpy as np

        converted = {name: self._converted(name, values) for name, values in arrays.items()}
        # Without arrays the net runs on what its inputs hold, and on zeros where that is nothing.
        for name in self._inputs if arrays else ():
            if name not in converted and name not in self.inputs:
                raise NetError(
                    f"{self.path}: nothing for input {name!r}; net.forward takes an array for each "
                    f"of {', '.join(self._inputs)}"
                )
        # All that can be refused is, before anything is written.
        shapes = {name: array.shape for name, array in converted.items()}
        self._check_params({**self.present, **shapes})
        self._reshape(shapes)
        for name, array in converted.items():
            with np.errstate(over="ignore"):  # too large a number is infinite, as in Caffe
                self.inputs[name][...] = array

    def _check_params(self, sizes: Mapping[str, Shape]) -> None:
        """Raise NetError where the params would have other shapes at these sizes of the inputs."""
        declared, needed = self.declared().params, self.shapes(sizes).params
        for layer in self.net.layers:
            # Not strict: at one of the two sizes the shapes may not be known, and are ().
            params = zip(declared.get(layer.name, ()), needed.get(layer.name, ()), strict=False)
            for own, shape in params:
                if own != shape:
                    # Caffe would abort in Reshape: "Input size incompatible with inner product
                    # parameters", for one (inner_product_layer.cpp).
                    inputs = ", ".join(f"{n!r} of {shape_text(size)}" for n, size in sizes.items())
                    fully = types.of(layer) is types.INNER_PRODUCT
                    hint = "; ns.convert makes a net that takes any size" if fully else ""
                    raise NetError(
                        f"{self.path}: with input {inputs} layer {layer.name!r} needs a param of "
                        f"{shape_text(shape)}, its own is {shape_text(own)}{hint}"
                    )

    def _converted(self, name: str, values: ArrayLike) -> NDArray[Any]:
        """The values as an array of numbers, and of a shape that the input can have."""
        from netsurgery.open_net.arrays import number_array

        self.check_input(name)
        array = number_array(values, f"{self.path}: input {name!r}", NetError)
        self._check_shape(name, array.shape)
        return array

    def _check_shape(self, name: str, shape: Shape) -> None:
        """Raise NetError for other axes or channels than the prototxt declares."""
        declared = self.declared().blobs.get(name)
        # Slices, as an input of one axis has no channels. The other sizes are free.
        if declared is None or (len(shape) == len(declared) and shape[1:2] == declared[1:2]):
            # A blob that never held a number has no data in Caffe, which aborts (blob.cpp).
            if 0 not in shape:
                return
            declared = declared or shape
        raise NetError(
            f"{self.path}: input {name!r}: found an array of shape {shape_text(shape)}, "
            f"expected {_pattern(declared)}{_remedy(shape, declared)}"
        )

    def keep(self, results: Mapping[str, Array]) -> None:
        """Let the blobs hold these results, which stay the caller's own."""
        for name, array in results.items():
            if name in self._inputs:  # it holds what the caller put there
                continue
            held = self.results.get(name)
            if held is None or held.shape != array.shape:
                self.results[name] = held = empty(
                    array.shape, "f4", f"{self.path}: blob {name!r} of {shape_text(array.shape)}"
                )
            held[...] = array


def _pattern(declared: Shape) -> str:
    """``"N x 3 x H x W, such as 1x3x227x227"``."""
    letters = list(_AXES.get(len(declared), "N" + "?" * (len(declared) - 1)))
    letters[1:2] = map(str, declared[1:2])
    return f"{' x '.join(letters)}, such as {shape_text(declared)}"


def _remedy(shape: Shape, declared: Shape) -> str:
    """What makes such an array one that fits, where that is easily seen."""
    channels = declared[1:2]
    if len(declared) != 4 or 0 in shape:
        return ""
    if len(shape) == 3 and shape[:1] == channels:
        return "; x[None] adds the first axis"
    if len(shape) == 2 and channels == (1,):
        return "; x[None, None] adds the first two axes"
    if len(shape) == 3 and shape[2:] == channels:
        return "; x.transpose(2, 0, 1)[None] brings H x W x C into this order"
    if len(shape) == 4 and shape[3:] == channels:
        return "; x.transpose(0, 3, 1, 2) brings N x H x W x C into this order"
    return ""


class Blob:
    """One blob of an open net.

    >>> import netsurgery as ns
    >>> with ns.Net("prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel") as net:
    ...     net.blobs["data"].reshape(2, 1, 32, 32)
    ...     net.blobs["prob"].shape
    (2, 11)
    """

    def __init__(self, store: BlobStore, name: str) -> None:
        self._store, self.name = store, name

    @property
    def shape(self) -> Shape:
        """The shape (N, C, H, W) that the inputs' present shapes lead to.

        Raises a NetError with the reason where it cannot be inferred, PrototxtError where shapes
        contradict each other.
        """
        return self._store.shape(self.name)

    @property
    def data(self) -> Array:
        """The blob's float32 array, the same one until its shape changes.

        An input's is read by the next `forward`, and zeros at first. Another blob's is what the
        last `forward` wrote: the outputs, and the blobs that were named in a call. A NetError, a
        KeyError too, says that there is nothing yet.
        """
        return self._store.data(self.name)

    def reshape(self, *shape: int) -> None:
        """Give an input another shape, as pycaffe does; it holds zeros then.

        Every other blob follows by itself. Raises NetError for a blob that is not an input.
        """
        self._store.reshape({self.name: shape})

    def __repr__(self) -> str:
        shape = self._store.shapes().blobs.get(self.name)
        return f"<blob {self.name!r}: {'shape not known' if shape is None else shape_text(shape)}>"


class Blobs(Mapping[str, Blob]):
    """Blob -> its `shape` and `data`, in file order.

    A name that no blob has raises a NetError, which is a KeyError too.

    >>> import netsurgery as ns
    >>> net = ns.Net("prototxt/digits_deploy.prototxt")
    >>> net.blobs["conv1"].shape, "fc9" in net.blobs
    ((1, 16, 28, 28), False)
    """

    def __init__(self, store: BlobStore) -> None:
        self._store = store

    def __getitem__(self, blob: str) -> Blob:
        self._store.check(blob)
        return Blob(self._store, blob)

    def __iter__(self) -> Iterator[str]:
        return iter(self._store.names)

    def __len__(self) -> int:
        return len(self._store.names)

    def __repr__(self) -> str:
        known = self._store.shapes().blobs
        shapes = (f"{name!r}: {shape_text(known[name]) if name in known else '?'}" for name in self)
        return f"{{{'; '.join(shapes)}}}"
