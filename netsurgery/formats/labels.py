"""Label files: one class per line, in the order of the net's output.

``n01440764 tench, Tinca tinca``: an id, then names separated by commas. If every line
begins with an id (at most one letter, then digits) and more text follows it, those are the ids;
otherwise the lines have none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from netsurgery.errors import FormatError
from netsurgery.formats.limits import MAX_LABELS
from netsurgery.io.memory import Claim, claim_for
from netsurgery.io.nearest import did_you_mean
from netsurgery.io.reader import read_text
from netsurgery.io.wording import counted

__all__ = ["Labels", "load_labels", "read_labels"]

_LABEL_FORMS = "; expected a whole line, its id, or one of its names"

#: What a line takes with its parts, and how often its characters are kept, four bytes each.
_LINE_MEMORY, _COPIES = 600, 12

_ID = re.compile(r"([A-Za-z]?\d+)\s+(\S.*)")


@dataclass(frozen=True)
class Labels:
    """The lines of a label file, stripped; line i names class i."""

    path: str
    lines: tuple[str, ...]

    def __getitem__(self, number: int) -> str:
        return self.lines[number]

    def __len__(self) -> int:
        return len(self.lines)

    @cached_property
    def _parts(self) -> list[tuple[str, str]]:
        """(id, names) of each line; an id is "" where the file has none."""
        # All or none: where others have no id, "4 x 4" is a name.
        matches = [_ID.fullmatch(line) for line in self.lines]
        if all(matches):
            return [(match[1], match[2]) for match in matches if match]
        return [("", line) for line in self.lines]

    def short(self, number: int) -> str:
        """The first name of a class, without its id."""
        return self._parts[number][1].split(",")[0].strip()

    def split(self, number: int) -> tuple[str, str]:
        """The id of a class, "" where the file has none, and its names."""
        return self._parts[number]

    def check(self, classes: int, blob: str) -> None:
        """Raise FormatError unless there is a label for each of the blob's classes."""
        if len(self.lines) != classes:
            raise FormatError(
                f"{self.path}: {counted(len(self.lines), 'label')}, but blob {blob!r} "
                f"has {counted(classes, 'class')}"
            )

    def matching(self, text: str) -> list[int]:
        """The classes whose line, id, or one of whose names is `text`, case-blind."""
        word = text.strip().casefold()
        return [
            number
            for number in range(len(self.lines))
            if word in map(str.casefold, self.words(number))
        ]

    def find(self, text: str) -> int:
        """The only class that `matching` gives.

        Raises FormatError for none and, listing them, for several.
        """
        matches = self.matching(text)
        if len(matches) == 1:
            return matches[0]
        if not matches:
            names = [name for line in range(len(self.lines)) for name in self.words(line)]
            hint = did_you_mean(text, names) or _LABEL_FORMS
            raise FormatError(f"{self.path}: no label {text!r}{hint}")
        listed = "; ".join(f"{number} {self.lines[number]}" for number in matches)
        raise FormatError(
            f"{self.path}: {counted(len(matches), 'label')} match {text!r}: {listed}; "
            "give the class's number or its whole line"
        )

    def words(self, number: int) -> list[str]:
        """What finds a class, as the file spells it: its line, its id and its names."""
        identity, names = self._parts[number]
        words = [self.lines[number], identity, *map(str.strip, names.split(","))]
        return [word for word in dict.fromkeys(words) if word]


def load_labels(labels: Path | tuple[str, ...]) -> Labels:
    """The labels of a file, or those in the list itself. Raises what `read_labels` raises."""
    if isinstance(labels, Path):
        return read_labels(labels)
    lines = tuple(" ".join(label.split()) for label in labels)
    if "" in lines:
        raise FormatError(f"labels: that of class {lines.index('')} is empty")
    return Labels("labels", lines)


def read_labels(path: Path | str) -> Labels:
    """Read a label file: UTF-8 text, empty lines at its end left out.

    Raises FormatError: no such file, not text, longer than 64 MiB, no labels, an empty line
    between others.
    """
    text = read_text(path, MAX_LABELS, FormatError, "one label a line")
    count = text.count("\n") + text.count("\r") + 1
    claim = Claim(_LINE_MEMORY * count + _COPIES * len(text), f"{path}: the list of its labels")
    if "\0" in text:
        raise FormatError(f"{path}: not text, expected one label a line")
    # Not splitlines, to which a form feed or U+2028 inside a label ends a line.
    lines = [line.strip() for line in re.split(r"\r\n|\r|\n", text.rstrip())]
    if lines == [""]:
        raise FormatError(f"{path}: is empty, expected one label a line")
    if "" in lines:
        raise FormatError(f"{path}:{lines.index('') + 1}: an empty line, expected a label")
    return claim_for(Labels(str(path), tuple(lines)), claim)
