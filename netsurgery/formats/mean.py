"""The mean that is taken from an input: a value a channel, or one for every pixel."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from netsurgery.errors import CaffemodelError, FormatError, MeanError
from netsurgery.formats.blob import read_blob, shape_text
from netsurgery.formats.caffemodel import open_protobuf
from netsurgery.io.npy import read_npy
from netsurgery.io.wire import WireReader

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["load_mean"]


def load_mean(spec: str | Path | tuple[float, ...]) -> NDArray[np.float32]:
    """The mean that `spec` says: float32, C x H x W, or C where it is one value a channel.

    A .npy file (C x H x W, H x W for grey, or C), a .binaryproto file as Caffe's
    compute_image_mean writes it, or numbers, as text with commas between ("104,117,123") or
    not, one a channel or one for all. Channels and scale are the net's own (B,G,R and 0..255 for
    most of Caffe's). Raises MeanError.
    """
    if isinstance(spec, tuple):
        spec = ",".join(map(repr, spec))
    if isinstance(spec, str):
        values = _numbers(spec)
        if values is not None:
            return _checked(values, spec)
    name = str(spec)
    load = {".npy": _npy, ".binaryproto": _binaryproto}.get(Path(name).suffix.lower())
    if load is None:
        raise MeanError(
            f"{name}: a mean is a .npy file, a .binaryproto file or numbers such as 104,117,123"
        )
    return _checked(load(name), name)


def _numbers(text: str) -> NDArray[np.float64] | None:
    """The numbers of "B,G,R"; None where it looks like a file's name."""
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        return None
    import numpy as np

    return np.array(values, dtype=np.float64)


def _npy(name: str) -> NDArray[np.generic]:
    import numpy as np

    try:
        return np.array(read_npy(name))
    except FormatError as error:
        raise MeanError(str(error)) from error


def _binaryproto(name: str) -> NDArray[np.float32]:
    import numpy as np

    try:
        with open_protobuf(name) as source:
            return np.array(read_blob(WireReader(source), 0, source.size, "the mean").numpy())
    except CaffemodelError as error:
        raise MeanError(str(error)) from error


def _checked(found: NDArray[np.generic], name: str) -> NDArray[np.float32]:
    """As float32, C x H x W or C."""
    import numpy as np

    shape = found.shape
    if len(shape) == 4:
        if shape[0] != 1:
            raise MeanError(f"{name}: {shape_text(shape)}: {shape[0]} means; one is wanted")
        shape = shape[1:]
    if len(shape) == 2:
        shape = (1, *shape)
    if len(shape) == 3 and shape[0] > 4 and shape[2] in (1, 3, 4):
        raise MeanError(
            f"{name}: {shape_text(shape)}: a mean is channels x height x width, this one has its "
            "channels last; turn it with .transpose(2, 0, 1)"
        )
    if len(shape) not in (0, 1, 3) or math.prod(shape) == 0:
        raise MeanError(
            f"{name}: {shape_text(shape)}: a mean is channels x height x width, or channels"
        )
    with np.errstate(over="ignore"):
        values: NDArray[np.float32] = found.astype(np.float32).reshape(shape or (1,))
    if not np.isfinite(values).all():
        raise MeanError(f"{name}: holds values that are no finite float32 numbers")
    return values
