"""Which pictures are meant: names as they are given, lists of names, folders and patterns.

The order is the caller's: of each name in turn, what it stands for. A picture that is named twice
is there twice.
"""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Iterable, Iterator

from netsurgery.errors import ImageError
from netsurgery.io.memory import Claim
from netsurgery.io.sniff import refusal
from netsurgery.io.terminal import STDIN
from netsurgery.io.unreadable import unreadable

__all__ = ["PICTURE_ENDINGS", "listed", "read_list"]

#: Of the files that are taken from a folder.
PICTURE_ENDINGS = (
    *(".jpg", ".jpeg", ".png", ".bmp", ".gif", ".pbm", ".pgm", ".pnm", ".ppm"),
    *(".tif", ".tiff", ".webp"),
)

#: A longer list is refused: 2^28 bytes, some millions of names.
_LIMIT = 1 << 28
#: What a name takes as its bytes, as text and in a list, at most so many times.
_COPIES = 8
_EXPECTED = "a list of pictures"


def listed(
    names: Iterable[str], *, recursive: bool = False, patterns: bool = True
) -> Iterator[str]:
    """The pictures that `names` stand for.

    recursive: a folder stands for the pictures in it and in the folders below, by their endings,
    without what begins with a dot. patterns: "*.jpg", or "**/*.jpg" for all folders below, stands
    for the files of such names, in their order, as it does for most shells; for itself where there
    are none. Raises ImageError for a folder without pictures, or that cannot be read.
    """
    for name in names:
        if recursive and os.path.isdir(name):
            yield from _in_folder(name)
        elif patterns and glob.has_magic(name) and not os.path.lexists(name):
            yield from _matching(name) or [name]
        else:
            yield name


def _in_folder(folder: str) -> Iterator[str]:
    def refuse(error: OSError) -> None:
        raise ImageError(f"{error.filename}: {error.strerror}") from error

    empty = True
    for place, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if name.lower().endswith(PICTURE_ENDINGS) and not name.startswith("."):
                empty = False
                yield os.path.join(place, name)
    if empty:
        raise ImageError(f"{folder}: holds no picture; looked for {', '.join(PICTURE_ENDINGS)}")


def _matching(pattern: str) -> list[str]:
    names = glob.iglob(pattern, recursive=True)
    return sorted(name for name in names if not os.path.isdir(name))


def read_list(path: str) -> list[str]:
    """The names in a list, a line each, or with a zero byte behind each; "-" is standard input.

    Raises ImageError for what is not a list, and for an empty one.
    """
    shown = STDIN if path == "-" else path
    content = _content(path, shown)
    with Claim(_COPIES * len(content), f"{shown}: its names"):
        if reason := refusal(content[:4096], _EXPECTED):
            raise ImageError(f"{shown}: {reason}")
        if content.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise ImageError(
                f"{shown}: is UTF-16, expected {_EXPECTED} in UTF-8; in PowerShell: "
                "... | Out-File -Encoding utf8 LIST"
            )
        names = [os.fsdecode(name) for name in _names(content.removeprefix(b"\xef\xbb\xbf"))]
    if not names:
        raise ImageError(f"{shown}: is empty, expected {_EXPECTED}, a line each")
    # A name, not standard input.
    return [os.path.join(".", name) if name == "-" else name for name in names]


def _names(content: bytes) -> list[bytes]:
    """Without empty ones; a line may end as on Windows."""
    if b"\0" in content:
        return [name for name in content.split(b"\0") if name]
    lines = (line.removesuffix(b"\r") for line in content.split(b"\n"))
    return [line for line in lines if line]


def _content(path: str, shown: str) -> bytes:
    try:
        if path == "-":
            if sys.stdin is None:
                raise ImageError(f"{STDIN}: is closed")
            content = sys.stdin.buffer.read(_LIMIT + 1)
        else:
            with open(path, "rb") as file:
                content = file.read(_LIMIT + 1)
    except OSError as error:
        name, reason = unreadable(path, error, _EXPECTED)
        raise ImageError(f"{name}: {reason}") from error
    except ValueError as error:  # a zero byte in the name
        raise ImageError(f"{path!r}: not a file name (it holds a zero byte)") from error
    if len(content) > _LIMIT:
        raise ImageError(f"{shown}: more than {_LIMIT} bytes, expected {_EXPECTED}")
    return content
