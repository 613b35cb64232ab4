"""Values out of files that others wrote, each checked, with errors that say where it stands."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from netsurgery.errors import FormatError
from netsurgery.io.argument_types import shown
from netsurgery.io.memory import Claim
from netsurgery.io.reader import read_text
from netsurgery.io.wording import counted
from netsurgery.training.objects import Box

__all__ = [
    "Record",
    "box_of_corners",
    "box_of_size",
    "checked_names",
    "picture_below",
    "read_record",
]

#: COCO's instances of 118,287 pictures have 0.45 GB.
_LONGEST = 1 << 31
#: What a file's text takes as Python's objects, at most, in bytes a character.
_TIMES = 14
#: No place in a picture is as far out.
_FAR = 1e9
_CORNERS = "left, top, right, bottom"


@dataclass(frozen=True)
class Record:
    """An object of a JSON file; place: what errors call it. whole_file: whether it is all of it."""

    values: Mapping[str, Any]
    place: str
    whole_file: bool = False

    @classmethod
    def of(cls, value: object, place: str) -> Record:
        """Raises FormatError for what is no object."""
        if not isinstance(value, dict):
            raise FormatError(f"{place}: found {shown(value)}, expected an object {{...}}")
        return cls(value, place)

    def at(self, key: str) -> str:
        """What errors call one of its values."""
        return f"{self.place}{': ' if self.whole_file else '.'}{key}"

    def error(self, key: str, expected: str) -> FormatError:
        """That its value is missing, or another than expected."""
        if key not in self.values:
            return FormatError(f"{self.place}: no {key!r}; expected {expected}")
        return FormatError(f"{self.at(key)}: found {shown(self.values[key])}, expected {expected}")

    def text(self, key: str) -> str:
        """A text of one line that is not empty."""
        value = self.values.get(key)
        if not isinstance(value, str) or not _is_line(value):
            raise self.error(key, "text of one line")
        return value.strip()

    def whole(self, key: str, *, least: int | None = None) -> int:
        """A whole number, from `least` on."""
        value: Any = self.values.get(key)
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not whole or (least is not None and not least <= value <= _FAR):
            raise self.error(key, f"a whole number{'' if least is None else f' from {least} on'}")
        return int(value)

    def number(self, key: str) -> float:
        """A number that may be a place in a picture."""
        value: Any = self.values.get(key)
        if not _is_number(value):
            raise self.error(key, "a number of pixels")
        return float(value)

    def numbers(self, key: str, count: int, what: str) -> tuple[float, ...]:
        """A list of so many numbers, which are `what`."""
        value = self.values.get(key)
        if not isinstance(value, list) or len(value) != count or not all(map(_is_number, value)):
            raise self.error(key, f"{counted(count, 'number')}, {what}")
        return tuple(map(float, value))

    def size(self) -> tuple[int, int] | None:
        """Height and width, or None where it has neither."""
        if "height" not in self.values and "width" not in self.values:
            return None
        return self.whole("height", least=1), self.whole("width", least=1)

    def records(self, key: str, *, optional: bool = False) -> Iterator[Record]:
        """The objects of a list; none where it may be missing and is."""
        value = self.values.get(key)
        if value is None and optional:
            return
        if not isinstance(value, list):
            raise self.error(key, "a list [...]")
        for number, item in enumerate(value):
            yield Record.of(item, f"{self.at(key)}[{number}]")


def _is_number(value: object) -> bool:
    # NaN is not less than anything, and an endless number is not less than this.
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= _FAR


def _is_line(text: str) -> bool:
    return bool(text.strip()) and text.strip().isprintable()


def read_record(path: Path) -> tuple[Record, Claim]:
    """The object that a JSON file holds, and the memory that it takes.

    Raises FormatError with line and column for what is not JSON, MemoryLimitError.
    """
    text = read_text(path, _LONGEST, FormatError, "annotations in JSON")
    if not text.strip():
        raise FormatError(f"{path}: is empty, expected annotations in JSON")
    claim = Claim(_TIMES * len(text), f"{path}: its annotations")
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        what = f"{error.msg[0].lower()}{error.msg[1:]}"
        place = f"{path}:{error.lineno}:{error.colno}"
        raise FormatError(f"{place}: broken JSON ({what})") from error
    except (ValueError, RecursionError) as error:
        what = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise FormatError(f"{path}: broken JSON ({' '.join(what.split())})") from error
    if not isinstance(value, dict):
        raise FormatError(f"{path}: JSON, but no object {{...}}; expected annotations")
    return Record(value, str(path), whole_file=True), claim


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number in JSON")


def checked_names(names: Iterable[str], place: Callable[[int], str]) -> tuple[str, ...]:
    """The names of classes, none of them empty or twice; place: what errors call name i."""
    checked: dict[str, int] = {}
    for number, name in enumerate(names):
        if not isinstance(name, str) or not _is_line(name):
            raise FormatError(
                f"{place(number)}: found {shown(name)}, expected the name of a class, text of one "
                "line without tabs"
            )
        name = name.strip()
        if name in checked:
            raise FormatError(
                f"{place(number)}: the class {name!r} is there twice; the first is "
                f"{place(checked[name])}"
            )
        checked[name] = number
    return tuple(checked)


def box_of_corners(corners: tuple[float, ...], place: str) -> Box:
    """A box by left, top, right, bottom. Raises FormatError where it has no pixels."""
    left, top, right, bottom = corners
    if not (left < right and top < bottom):
        listed = ", ".join(f"{corner:g}" for corner in corners)
        raise FormatError(
            f"{place}: the box {listed} ({_CORNERS}) has no pixels; "
            "expected left < right and top < bottom"
        )
    return left, top, right, bottom


def box_of_size(numbers: tuple[float, ...], place: str) -> Box:
    """A box by left, top, width, height. Raises FormatError where it has no pixels."""
    left, top, width, height = numbers
    if width <= 0 or height <= 0:
        raise FormatError(
            f"{place}: a box {width:g} wide and {height:g} high; expected left, top, width and "
            "height, the last two above 0"
        )
    return left, top, left + width, top + height


def picture_below(images: Path, name: str, place: str) -> Path:
    """The file of a picture that annotations name, which lies below `images`, if it is there.

    Raises FormatError, naming the place in the annotations, for a name that leads elsewhere.
    """
    parts = PurePosixPath(name).parts
    if PurePosixPath(name).is_absolute() or PureWindowsPath(name).anchor or ".." in parts:
        raise FormatError(
            f"{place}: the picture {shown(name)} would not lie below {images}; "
            "expected a name without .. and without a leading slash"
        )
    return images / name
