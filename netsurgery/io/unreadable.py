"""Why a file cannot be read, in one wording for all files: the system's reason and what to try."""

from __future__ import annotations

import errno
import itertools
import os
import re
from pathlib import Path

from netsurgery.errors import NetsurgeryError
from netsurgery.io.nearest import did_you_mean, nearest, question

__all__ = ["as_url", "check_file", "check_folder", "local_path", "unreadable", "url_in"]

#: As a `Path` has it, slashes may be lost.
_URL = re.compile(r"(?i)(https?|ftp|file|s3|gs):(/+)")
#: The beginning of any URL, also of one in another: filecache::s3://.
_ANY_URL = re.compile(r"(?i)(?:[a-z][a-z0-9+.-]*::)*[a-z][a-z0-9+.-]*://")
#: Names of a folder that are looked at.
_MOST = 20_000
#: Names that a message offers.
_OFFERED = 3


def url_in(path: str | Path) -> str:
    """The URL that stands for a path, whole; "" where it is none.

    >>> url_in(Path("https://example.com/deploy.prototxt"))
    'https://example.com/deploy.prototxt'
    >>> url_in("file:/maps.job")
    'file:///maps.job'
    """
    match = _URL.match(str(path))
    if match is None:
        return ""
    # With one slash, or all, a file's has no host, and its path begins with the last.
    slashes = "///" if match[1].lower() == "file" and len(match[2]) != 2 else "//"
    return f"{match[1]}:{slashes}{str(path)[match.end() :]}"


def as_url(path: str | os.PathLike[str]) -> str:
    """A path that is a URL of any kind, as text; "" for any other.

    >>> as_url("sftp://host/maps.job"), as_url("maps.job")
    ('sftp://host/maps.job', '')
    """
    text = os.fspath(path)
    return text if _ANY_URL.match(text) else url_in(text)


def local_path(path: str | os.PathLike[str]) -> str:
    """The path of a URL that leads to a file of this machine; anything else as it is.

    >>> local_path("file:///maps/a.png"), local_path("simplecache::file:///a.png")
    ('/maps/a.png', '/a.png')
    >>> local_path("a.png"), local_path("s3://bucket/a.png")
    ('a.png', 's3://bucket/a.png')
    """
    protocols, _, rest = as_url(path).rpartition("://")
    is_local = protocols.rpartition("::")[2].lower() in ("file", "local")
    return rest if is_local else os.fspath(path)


def unreadable(path: str | Path, error: OSError, expected: str) -> tuple[str, str]:
    """How to call the file that the system refused to open or read, and why.

    expected: what should be in it, as "a prototxt".
    """
    url = url_in(path)
    if url:
        return url, "is a URL, not a file; download it first"
    name = str(path).replace("\0", "\\0") or "''"
    if os.path.isdir(name):
        return name, f"is a folder, expected {expected}"
    reason = error.strerror or str(error)
    if isinstance(error, FileNotFoundError):
        reason += _beside(name)
    return name, reason


def check_file(path: str | Path, expected: str, error: type[NetsurgeryError]) -> None:
    """Raise `error` where the path leads to no regular file, in the words of `unreadable`."""
    if os.path.isfile(path):
        return
    reason = OSError(errno.EINVAL, "is not a regular file")
    if not os.path.exists(path):
        reason = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    raise error(": ".join(unreadable(path, reason, expected)))


def check_folder(path: str | Path, expected: str, error: type[NetsurgeryError]) -> None:
    """Raise `error` where the path leads to no folder; expected: as "that of the pictures"."""
    if url := url_in(path):
        raise error(f"{url}: is a URL, not a folder; expected {expected}")
    if not os.path.isdir(path):
        raise error(f"{path}: is not a folder, expected {expected}")


def _beside(name: str) -> str:
    """Which file of the same folder may have been meant."""
    folder, base = os.path.split(name)
    try:
        with os.scandir(folder or ".") as entries:
            files = [entry.name for entry in itertools.islice(entries, _MOST) if entry.is_file()]
    except OSError:
        return ""
    # What most names end in makes none of them alike; it is what is left out first, too.
    stem, suffix = os.path.splitext(base)
    by_stem: dict[str, list[str]] = {}
    for each in sorted(files):
        if each.endswith(suffix) and each != base:
            by_stem.setdefault(os.path.splitext(each)[0], []).append(each)
    near = [each for near_stem in nearest(stem, by_stem) for each in by_stem[near_stem]]
    alike = [each for each in near if os.path.splitext(each)[1] == suffix] or near
    others = [each for each in files if not (suffix and each.endswith(suffix))]
    return question(alike[:_OFFERED]) or did_you_mean(base, others)
