"""The mean subtracted from an input: a value per channel, or one for every pixel."""

from __future__ import annotations

import math
from collections.abc import Sized
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from netsurgery.errors import CaffemodelError, FormatError, MeanError
from netsurgery.formats.blob import read_blob
from netsurgery.formats.caffemodel import NET_V1, NET_V2, open_protobuf
from netsurgery.formats.preprocess_values import MeanPicture
from netsurgery.io.memory import empty
from netsurgery.io.npy import read_npy
from netsurgery.io.reader import read_head
from netsurgery.io.shape_text import shape_text
from netsurgery.io.sniff import refusal
from netsurgery.io.unreadable import unreadable
from netsurgery.io.wire import Wire, WireReader
from netsurgery.io.wording import argument, counted

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["check_mean", "load_mean"]

#: A file, numbers as text, numbers, or an array.
Mean: TypeAlias = "str | Path | tuple[float, ...] | MeanPicture"


_EXPECTED = "a .npy file, a .binaryproto file or numbers such as 104,117,123"
#: A text of numbers is no longer than this.
_LONGEST_TEXT = 1 << 14
#: No input has more channels than this.
_CHANNELS = 10_000
_PRINTED = frozenset(range(0x20, 0x7F)) | frozenset(b"\t\r\n")


class _OtherFile(MeanError):
    """A file of another known kind."""


def load_mean(spec: Mean) -> NDArray[np.float32]:
    """The mean that `spec` says: float32, C x H x W, or C where it is one value a channel.

    A file whose content is that of numpy's .npy (C x H x W, H x W for grey, or C), of a
    .binaryproto as Caffe's compute_image_mean writes it, or a text of numbers, whatever its name;
    or numbers, as text with commas between ("104,117,123") or not, one a channel or one for all;
    or an array of C x H x W.
    Channels and scale are the net's own (B,G,R and 0..255 for most of Caffe's). Raises MeanError.
    """
    if isinstance(spec, MeanPicture):
        return _checked(spec.values, "the mean")
    if isinstance(spec, tuple):
        spec = ",".join(map(repr, spec))  # exact: repr keeps every bit of a float
    if isinstance(spec, str):
        values = _numbers(spec)
        if values is not None:
            return _checked(values, spec)
    name = str(spec)
    suffix = Path(name).suffix.lower()
    try:
        head = read_head(name, _LONGEST_TEXT + 1)
    except OSError as error:
        file, reason = unreadable(name, error, _EXPECTED)
        if isinstance(error, FileNotFoundError) and suffix not in (".npy", ".binaryproto"):
            reason += f"; a mean is {_EXPECTED}"
        raise MeanError(f"{file}: {reason}") from error
    return _checked(_content(name, head, suffix), name)


def check_mean(spec: Mean, channels: int, mean: Sized | None = None) -> None:
    """Raise MeanError for a mean that is not for an input of so many channels, or not to be read.

    mean: its values, where they are loaded. Numbers are only counted, which takes no numpy.
    """
    if mean is None:
        mean = spec if isinstance(spec, tuple) else load_mean(spec)
    count = len(mean)
    if count in (1, channels):
        return
    name = ",".join(f"{value:g}" for value in spec) if isinstance(spec, tuple) else str(spec)
    shown = "mean" if isinstance(spec, MeanPicture) else f"mean {name}"
    raise MeanError(
        f"{shown}: {counted(count, 'channel')}, but the net's input has {channels}; "
        f"{argument('--mean')} takes a number a channel, one for "
        f"all, or a file of {channels} x height x width"
    )


def _content(name: str, head: bytes, suffix: str) -> NDArray[np.generic]:
    """The array in a file that begins with `head`; `suffix` only names it in errors."""
    # PK is how a zip begins, which an .npz is: read_npy names it.
    if head.startswith((b"\x93NUMPY", b"PK")):
        return _npy(name)
    reason = refusal(head, _EXPECTED)
    if reason:
        raise _OtherFile(f"{name}: {reason}")
    values = None
    if len(head) <= _LONGEST_TEXT:
        # Commas, blanks or lines between them.
        words = head.decode("ascii", "replace").replace(",", " ").split()
        values = _numbers(",".join(words))
    if values is not None:
        return values
    try:
        return _binaryproto(name)
    except _OtherFile:
        raise
    except MeanError:
        if suffix == ".npy":
            return _npy(name)  # which says what is wrong with it
        raise


def _numbers(text: str) -> NDArray[np.float64] | None:
    """The numbers of "B,G,R"; None where it looks like a file's name."""
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        return None
    import numpy as np

    return np.array(values, dtype=np.float64)


def _npy(name: str) -> NDArray[np.generic]:
    try:
        return read_npy(name)
    except FormatError as error:
        raise MeanError(str(error)) from error


def _binaryproto(name: str) -> NDArray[np.float32]:
    try:
        with open_protobuf(name, _EXPECTED) as source:
            reader = WireReader(source)
            if all(byte in _PRINTED for byte in reader.head(_LONGEST_TEXT)):
                raise MeanError(f"{name}: is text, and not of numbers alone, expected {_EXPECTED}")
            what = _other_protobuf(reader)
            if what:
                raise _OtherFile(f"{name}: {what}, expected {_EXPECTED}")
            return read_blob(reader, 0, source.size, "the mean").numpy()
    except CaffemodelError as error:
        raise MeanError(str(error)) from error


def _other_protobuf(reader: WireReader) -> str:
    """What the file is where it is a net or a solver's state; "" for neither."""
    kinds = {(field.number, field.wire) for field in reader.fields(0, reader.size)}
    # A BlobProto's field 1, num, is a varint: a net's name is text, a SolverState's iter is not.
    if (NET_V2, Wire.DELIMITED) in kinds or {
        (1, Wire.DELIMITED),
        (NET_V1, Wire.DELIMITED),
    } <= kinds:
        return "is a net (a caffemodel)"
    if {(1, Wire.VARINT), (3, Wire.DELIMITED)} <= kinds:
        return "is the state of a solver (a .solverstate)"
    return ""


def _checked(array: NDArray[np.generic], name: str) -> NDArray[np.float32]:
    """The values as float32, C x H x W or C."""
    import numpy as np

    shape = array.shape
    if len(shape) == 4:
        if shape[0] != 1:
            raise MeanError(
                f"{name}: {shape_text(shape)}: {counted(shape[0], 'mean')}, expected one"
            )
        shape = shape[1:]
    if len(shape) == 2:
        shape = (1, *shape)
    if len(shape) == 3 and shape[0] > 4 and shape[2] in (1, 3, 4):
        raise MeanError(
            f"{name}: {shape_text(shape)}: a mean is channels x height x width, this one has its "
            "channels last; turn it with .transpose(2, 0, 1)"
        )
    if (
        len(shape) not in (0, 1, 3)
        or math.prod(shape) == 0
        or max(shape[:1], default=0) > _CHANNELS
    ):
        raise MeanError(
            f"{name}: {shape_text(shape)}: a mean is channels x height x width, or channels"
        )
    with np.errstate(over="ignore"):
        values: NDArray[np.float32] = empty(shape or (1,), "f4", f"{name}: its array")
        values[...] = array.reshape(values.shape)
    # A channel at a time: isfinite makes an array as long.
    if not all(np.isfinite(part).all() for part in values):
        raise MeanError(f"{name}: holds values that are not finite float32 numbers")
    return values
