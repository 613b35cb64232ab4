"""netsurgery.toml: which model to use, and how pictures are made ready for it.

    [model]
    prototxt = "deploy_full_conv.prototxt"
    weights = "model_full_conv.caffemodel"
    window = [227, 227]               # height, width of the classifier's old input
    stages = ["deploy"]               # the net's state, where its layers have rules for one
    level = 1

    [preprocess]
    mean = [104.0, 117.0, 123.0]      # or a file: "mean.npy", "mean.binaryproto"
    raw_scale = 255.0
    channel_swap = [2, 1, 0]
    input_scale = 1.0

    [classes]
    labels = "synset_words.txt"

Every key may be left out. Paths are relative to the file's own folder. It can name files, numbers
and stages, and nothing it says is ever run.
"""

from __future__ import annotations

import importlib
import math
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netsurgery.errors import SettingsError
from netsurgery.io.reader import read_text

__all__ = ["SETTINGS_NAME", "Settings", "find_settings", "load_settings"]

SETTINGS_NAME = "netsurgery.toml"

#: Eleven keys; the parser's time grows with the square of a key's length.
MAX_BYTES = 1 << 16


@dataclass(frozen=True)
class Settings:
    """What a netsurgery.toml says; None where it says nothing.

    prototxt, weights, labels: paths, with the file's folder before them where it gave relative
    ones. window: height, width in pixels of the net's input. stages, level: of the net's state.
    mean: a path, or one number a channel in the net's channel order. raw_scale, input_scale:
    factors. channel_swap: for each channel of the net, the channel of the picture it comes from.
    path: the file itself.
    """

    prototxt: Path | None = None
    weights: Path | None = None
    window: tuple[int, int] | None = None
    stages: tuple[str, ...] | None = None
    level: int | None = None
    mean: Path | tuple[float, ...] | None = None
    raw_scale: float | None = None
    channel_swap: tuple[int, ...] | None = None
    input_scale: float | None = None
    labels: Path | None = None
    path: Path | None = None

    def to_toml(self, folder: Path | str) -> str:
        """The text of a settings file in `folder`, paths relative to it.

        Raises SettingsError for a path that TOML cannot hold.
        """
        text = []
        for section, keys in _KEYS.items():
            lines = [
                f"{key} = {_written(getattr(self, key), Path(folder))}\n"
                for key in keys
                if getattr(self, key) is not None
            ]
            if lines:
                text.append(f"[{section}]\n{''.join(lines)}")
        return "\n".join(text)


def find_settings(start: Path | str) -> Path | None:
    """The netsurgery.toml of the folder `start` or of the nearest folder above; None if none."""
    try:
        folder = Path(start).absolute()
    except OSError:  # the current folder was removed
        return None
    for place in (folder, *folder.parents):
        # Not Path.is_file, which raises where a folder may not be looked into.
        if os.path.isfile(place / SETTINGS_NAME):
            return place / SETTINGS_NAME
    return None


def load_settings(path: Path | str) -> Settings:
    """Read a settings file. Raises SettingsError, with the line, for what it should not hold."""
    path = Path(path)
    text = read_text(path, MAX_BYTES, SettingsError)
    # Python 3.10 has no tomllib; tomli is the same parser.
    tomllib = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(_syntax(path, str(error))) from error
    except ValueError as error:  # Python's own limit on the digits of a number
        raise SettingsError(f"{path}: a number of too many digits") from error
    except RecursionError as error:
        raise SettingsError(f"{path}: nested too deeply") from error
    return _Reader(path, text).settings(tables)


def _syntax(path: Path, message: str) -> str:
    """The parser's message, its place moved to the front."""
    place = re.search(r" \(at (?:line (\d+), column (\d+)|end of document)\)$", message)
    if place is None:
        return f"{path}: {message}"
    where = f":{place[1]}:{place[2]}" if place[1] else ""
    what = message[: place.start()] + ("" if place[1] else " at the end of the file")
    return f"{path}{where}: {what}"


class _Reader:
    """Turns the parsed tables into Settings, or points at what is wrong with them."""

    def __init__(self, path: Path, text: str) -> None:
        self.path, self.lines = path, text.splitlines()

    def settings(self, tables: dict[str, Any]) -> Settings:
        found: dict[str, Any] = {}
        for section, table in tables.items():
            if section not in _KEYS:
                known = ", ".join(f"[{name}]" for name in _KEYS)
                what = "section" if isinstance(table, dict) else "key"
                raise self.error(section, None, f"unknown {what} {section!r}; expected {known}")
            if not isinstance(table, dict):
                raise self.error(section, None, f"{section} is not a section; write [{section}]")
            for key, value in table.items():
                found[key] = self.value(section, key, value)
        return Settings(**found, path=self.path)

    def value(self, section: str, key: str, value: Any) -> Any:
        if key not in _KEYS[section]:
            known = ", ".join(_KEYS[section])
            raise self.error(section, key, f"unknown key {key!r} in [{section}]; expected {known}")
        try:
            made = _KEYS[section][key](value)
        except ValueError as error:
            raise self.error(section, key, f"{key}: {error}") from None
        return _plain(self.path.parent / made) if isinstance(made, Path) else made

    def error(self, section: str, key: str | None, what: str) -> SettingsError:
        return SettingsError(f"{self.path}:{self.line(section, key)}: {what}")

    def line(self, section: str, key: str | None) -> int:
        """The line of a section or of a key in it; the parser tells no places."""
        header = re.compile(rf"\s*\[\[?\s*{_quoted(section)}\s*[\].]")
        own = re.compile(rf"\s*{_quoted(section)}\s*[.=]")
        inside = False
        for number, line in enumerate(self.lines, 1):
            if re.match(r"\s*\[", line):
                inside = bool(header.match(line))
                last = rf"\.\s*{_quoted(key or '')}\s*\]"
                found = inside and (key is None or re.search(last, line))
            elif inside and key:
                found = re.match(rf"\s*{_quoted(key)}\s*[.=]", line)
            else:
                found = own.match(line) and (key is None or re.search(_quoted(key), line))
            if found:
                return number
        return 1


def _plain(path: Path) -> Path:
    """`path` without its "..", where that leads to the same file: not behind a symbolic link."""
    short = os.path.normpath(path)
    return Path(short) if os.path.realpath(short) == os.path.realpath(path) else path


def _quoted(word: str) -> str:
    """A pattern for a TOML key: bare or in quotes."""
    return rf"""["']?{re.escape(word)}["']?"""


def _path(value: Any) -> Path:
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError(f"found {_seen(value)}, expected a file's path in quotes")
    return Path(value)


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False


def _number(value: Any) -> float:
    if not _is_number(value):
        raise ValueError(f"found {_seen(value)}, expected a number")
    return float(value)


def _mean(value: Any) -> Path | tuple[float, ...]:
    if isinstance(value, str) and value:
        return _path(value)
    if isinstance(value, list) and value and all(map(_is_number, value)):
        return tuple(map(float, value))
    raise ValueError(
        f"found {_seen(value)}, expected a file's path in quotes or a list of numbers, "
        "one a channel"
    )


def _is_count(value: Any, low: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= 1_000_000


def _window(value: Any) -> tuple[int, int]:
    if isinstance(value, list) and len(value) == 2 and all(_is_count(n, 1) for n in value):
        return value[0], value[1]
    raise ValueError(f"found {_seen(value)}, expected [height, width], whole numbers from 1")


def _stages(value: Any) -> tuple[str, ...]:
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return tuple(value)
    raise ValueError(f'found {_seen(value)}, expected a list of names, as in ["deploy"]')


def _level(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and -(2**31) <= value < 2**31:
        return value
    raise ValueError(f"found {_seen(value)}, expected a whole number from -2^31 to 2^31 - 1")


def _swap(value: Any) -> tuple[int, ...]:
    counts = isinstance(value, list) and bool(value) and all(_is_count(n, 0) for n in value)
    if counts and sorted(value) == list(range(len(value))):
        return tuple(value)
    raise ValueError(f"found {_seen(value)}, expected each channel once, as in [2, 1, 0]")


def _seen(value: Any) -> str:
    if isinstance(value, dict):
        return "a table"
    try:
        text = repr(value)
    except RecursionError:
        return "a value nested too deeply"
    return text if len(text) <= 60 else f"{text[:57]}..."


_KEYS: dict[str, dict[str, Callable[[Any], Any]]] = {
    "model": {
        "prototxt": _path,
        "weights": _path,
        "window": _window,
        "stages": _stages,
        "level": _level,
    },
    "preprocess": {
        "mean": _mean,
        "raw_scale": _number,
        "channel_swap": _swap,
        "input_scale": _number,
    },
    "classes": {"labels": _path},
}


def _written(value: Any, folder: Path) -> str:
    """A value as TOML."""
    if isinstance(value, Path):
        return _string(_relative(value, folder))
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, tuple):
        return f"[{', '.join(_written(item, folder) for item in value)}]"
    return repr(value)


def _relative(path: Path, folder: Path) -> str:
    # ".." leads from where a folder really is; the file's own name may be a link, and stays.
    place = Path(os.path.realpath(path.parent), path.name)
    try:
        return Path(os.path.relpath(place, os.path.realpath(folder))).as_posix()
    except ValueError:  # another drive
        return place.as_posix()


def _string(text: str) -> str:
    if any(0xD800 <= ord(c) < 0xE000 for c in text):
        raise SettingsError(f"{text!r}: not a name that {SETTINGS_NAME} can hold (not UTF-8)")
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + re.sub(r"[\x00-\x1f\x7f]", lambda c: f"\\u{ord(c[0]):04x}", escaped) + '"'
