"""Which of the files that were named is a prototxt and which a caffemodel, told by content."""

from __future__ import annotations

import re
from pathlib import Path

from netsurgery.io.reader import Reader, open_source

__all__ = ["is_prototxt"]

_HEAD = 512
_TEXT = re.compile(rb"[\t\n\v\f\r\x20-\x7e\x80-\xff]*")
#: A field's name and what follows it, behind comments; protobuf's own tags look otherwise.
_FIELD = re.compile(rb"(?:\xef\xbb\xbf)?(?:\s|#[^\n]*\n)*[A-Za-z_]\w*\s*[:{]")


def is_prototxt(path: Path) -> bool:
    """Whether the file begins as text does, well written or not; all else counts as weights.

    What a download leaves behind under a model's name, a web page or a git-lfs pointer, counts
    as weights too, so that it is named.

    Standard input, "-", is taken for a prototxt: weights are read at any place of their file.
    Raises FormatError for a file that cannot be read.
    """
    if str(path) == "-":
        return True
    with open_source(path) as source:
        head = Reader(source).head(_HEAD)
    stand_in = head.lstrip().lower().startswith((b"<", b"version https://git-lfs"))
    # A control character by mistake is the parser's to tell, with its place.
    begins_with_field = b"\0" not in head and _FIELD.match(head) is not None
    text = begins_with_field or _TEXT.fullmatch(head) is not None
    return bool(head) and text and not stand_in
