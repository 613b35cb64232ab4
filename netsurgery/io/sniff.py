"""What a file that is not Caffe's is, by its first bytes: mostly a download gone wrong.

`refusal` words it, whatever was expected.
"""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["HDF5", "HDF5_SIGNATURE", "HEAD", "refusal", "what_it_is"]

#: How many of a file's first bytes are looked at.
HEAD = 512
#: What weights may be as well.
HDF5 = "an HDF5 file"
#: What a file of it begins with.
HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"


class _Kind(NamedTuple):
    """Files of one kind hold one of `starts` at `offset`, and match `pattern` where there is one.

    Compiling a pattern costs more than all comparisons, so few kinds have one.
    """

    what: str
    starts: tuple[bytes, ...]
    advice: str = ""
    offset: int = 0
    pattern: bytes = b""


_UNPACK = "unpack it first"
#: Their first bytes are compared without blanks before them, in lower case.
_TEXTS = (
    _Kind(
        "a git-lfs pointer, not the file it stands for",
        (b"version https://git-lfs",),
        "fetch that with 'git lfs pull'",
    ),
    _Kind(
        "a web page",
        (b"<!doctype", b"<html", b"<?xml", b"<head", b"<!--"),
        "the download of the file itself went wrong",
    ),
)
_ZIP = (b"PK\x03\x04",)
_BINARIES = (
    _Kind("a .npz archive", _ZIP, "take one .npy out of it", pattern=rb".{30}[^/]{0,200}\.npy"),
    _Kind("a PyTorch model", _ZIP, pattern=rb".{30}[^/]{1,200}/data\.pkl"),
    _Kind("a zip archive", _ZIP, _UNPACK),
    _Kind("a gzip file", (b"\x1f\x8b",), _UNPACK),
    _Kind("a bzip2 file", (b"BZh",), _UNPACK, pattern=rb"...[1-9](1AY&SY|\x17rE8P)"),
    _Kind("an xz file", (b"\xfd7zXZ\0",), _UNPACK),
    _Kind("a 7-Zip archive", (b"7z\xbc\xaf\x27\x1c",), _UNPACK),
    _Kind("a RAR archive", (b"Rar!\x1a\x07",), _UNPACK),
    _Kind("a tar archive", (b"ustar\0", b"ustar  \0"), _UNPACK, offset=257),
    _Kind("a PNG picture", (b"\x89PNG",)),
    _Kind("a JPEG picture", (b"\xff\xd8\xff",)),
    _Kind("a GIF picture", (b"GIF87a", b"GIF89a")),
    _Kind("a WebP picture", (b"RIFF",), pattern=rb".{8}WEBP"),
    _Kind("a TIFF picture", (b"II*\0", b"MM\0*")),
    _Kind("a PDF file", (b"%PDF-",)),
    _Kind(HDF5, (HDF5_SIGNATURE,)),
    _Kind("a NumPy array (.npy)", (b"\x93NUMPY",)),
    _Kind(
        "a Python pickle",
        (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"),
        "pickles are never read",
    ),
    _Kind("a MATLAB file", (b"MATLAB 5.0",)),
    _Kind("a TensorFlow Lite model", (b"TFL3",), offset=4, pattern=rb"..\0\0"),
    # ModelProto: ir_version, then its producer
    _Kind("an ONNX model", (b"\x08",), pattern=rb".[\3-\x14]\x12.(pytorch|netsurgery|.{0,9}onnx)"),
    # GraphDef: a node with a name and an operation
    _Kind(
        "a TensorFlow graph (.pb)", (b"\n",), pattern=rb"...?\n[\1-\x7f][\w./-]+\x12[\1-@][A-Z]\w+"
    ),
)


def _kind(head: bytes) -> _Kind | None:
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for kind in _TEXTS:
        if text.startswith(kind.starts):
            return kind
    for kind in _BINARIES:
        if head.startswith(kind.starts, kind.offset) and (
            not kind.pattern or re.match(kind.pattern, head, re.DOTALL)
        ):
            return kind
    return None


def what_it_is(head: bytes) -> str:
    r"""What a file that begins with `head` is; "" for one of Caffe's, perhaps, or an empty one.

    >>> what_it_is(b"PK\x03\x04")
    'a zip archive'
    """
    kind = _kind(head)
    return "" if kind is None else kind.what


def refusal(head: bytes, expected: str) -> str:
    r"""The reason to refuse a file that begins with `head`; "" as `what_it_is`.

    >>> refusal(b"PK\x03\x04", "a prototxt")
    'is a zip archive, expected a prototxt; unpack it first'
    """
    kind = _kind(head)
    if kind is None:
        return ""
    return f"is {kind.what}, expected {expected}{kind.advice and f'; {kind.advice}'}"
