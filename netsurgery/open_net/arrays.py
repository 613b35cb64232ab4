"""Params as arrays over a private mapping of their file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from netsurgery.errors import NetsurgeryError, SurgeryError
from netsurgery.formats.caffemodel import Caffemodel
from netsurgery.formats.hdf5 import Hdf5Weights
from netsurgery.io.segments import FileSource
from netsurgery.io.shape_text import shape_text
from netsurgery.io.wire import WireReader
from netsurgery.io.wording import counted
from netsurgery.net.net_with_weights import NetWithWeights

if TYPE_CHECKING:
    import mmap

    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float32]

__all__ = ["ParamArray", "bytes_differ", "number_array", "open_privately"]


def number_array(values: ArrayLike, where: str, error: type[NetsurgeryError]) -> NDArray[Any]:
    """The values as an array of real numbers; `error`, which begins with `where`, for others.

    numpy would drop imaginary parts with a mere warning, and read numbers out of text.
    """
    try:
        array = np.asarray(values)
    except ValueError as raised:  # lists of several lengths
        raise error(f"{where}: {raised}") from None
    if array.dtype.kind not in "biuf":
        raise error(f"{where}: found an array of {array.dtype}, expected numbers")
    return array


class ParamArray(np.ndarray[tuple[int, ...], np.dtype[np.float32]]):
    """A numpy array whose `flat` takes exactly as many numbers as there are, or one.

    numpy's own repeats too few and drops what is too many, without a word.
    """

    @property
    def data(self) -> ParamArray:  # type: ignore[override]
        """The array itself: ``net.params["fc8"][0].data`` is how pycaffe has it."""
        # It hides numpy's buffer of that name, which memoryview(array) still gives.
        return self

    @property
    def flat(self) -> Any:
        """The numbers in order, to be read or, as many of them, assigned."""
        return super().flat

    @flat.setter
    def flat(self, values: Any) -> None:
        array = number_array(values, f"a param of {shape_text(self.shape)}", SurgeryError)
        if array.ndim and array.size != self.size:
            raise SurgeryError(
                f"{counted(array.size, 'number')} for a param of {self.size} "
                f"({shape_text(self.shape)}); "
                "nothing is repeated or left out"
            )
        self[...] = array.reshape(self.shape) if array.ndim else array

    def __array_wrap__(self, array: Any, context: Any = None, return_scalar: Any = False) -> Any:
        """What is computed from params is a plain array, or number; only views are params."""
        # What `+=` ends with: the param itself, which `LayerParams.__setitem__` looks for.
        if array is self:
            return self
        return array[()] if array.ndim == 0 else np.asarray(array)

    def __reduce__(self) -> Any:
        # Unpickled it is a plain array, as is what is computed from it.
        return np.array(self).__reduce__()


class _PrivateSource(FileSource):
    """A file whose mapping can be written to: each page that is becomes the process's own."""

    def map(self) -> mmap.mmap:
        """The whole file, copied on write; the file itself never changes."""
        if self._map is None:
            self._map = self._mapped(private=True)
        return self._map


def open_privately(model: NetWithWeights) -> NetWithWeights:
    """The model once more, its arrays writable without a trace in the file.

    Raises CaffemodelError where the file has changed since.
    """
    # The file is opened by its name again, which may be another file's by now.
    model.check_unchanged()
    source = _PrivateSource(model.path)
    try:
        if isinstance(model.weights, Caffemodel):
            return NetWithWeights(model.net, Caffemodel(WireReader(source)))
        # In HDF5 Caffe saves a shared param under its owner alone (net.cpp, ToHDF5).
        return NetWithWeights(model.net, Hdf5Weights(source, model.net.sharing.owners))
    except BaseException:
        source.close()
        raise


def bytes_differ(left: Array, right: Array) -> bool:
    """Whether two float32 arrays of one shape differ in any bit; NaN equals itself, 0 not -0."""
    bits, against = (np.ascontiguousarray(each).view(np.uint32).ravel() for each in (left, right))
    # A million at a time: comparing makes an array as long as what is compared.
    step = 1 << 20
    return any(
        not np.array_equal(bits[at : at + step], against[at : at + step])
        for at in range(0, bits.size, step)
    )
