"""How users name classes: by number, by label, several of them, or by a word for more than one.

One class may be the background, that of all that is not looked for. A net that finds things has
such a class, or shows one that comes to the same: the page under the digits, the road under the
signs. Pictures do not paint it, and what they call the likeliest class is the likeliest but for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from netsurgery.errors import FormatError, NetError
from netsurgery.formats.labels import Labels
from netsurgery.io.wording import argument, counted

if TYPE_CHECKING:
    from netsurgery.maps.classmap import ClassCount

__all__ = [
    "EACH",
    "LIKELIEST",
    "NO_BACKGROUND",
    "ClassNames",
    "check_class",
    "class_number",
    "most_common_background",
]

#: The words that are no class: the likeliest of each cell, each class found, no background.
LIKELIEST, EACH, NO_BACKGROUND = "max", "each", "none"
#: Digits of a class's number: no blob has more channels.
_DIGITS = 10


@dataclass(frozen=True)
class ClassNames:
    """The classes of a blob, as far as they are known: their number, and their labels.

    numbers: of a map that has planes for some classes alone, the class of each plane; then a class
    is found as its plane, and the labels are those of the planes.

    >>> names = ClassNames(3, Labels("labels", ("cat, puss", "dog", "10")), "prob")
    >>> names.find("2"), names.find("Puss"), names.find_several("dog,0"), names.find_several("max")
    (2, 0, (1, 0), None)
    """

    classes: int | None
    labels: Labels | None
    blob: str
    numbers: tuple[int, ...] | None = None

    def find(self, text: str, otherwise: str = LIKELIEST) -> int:
        """The class that a number or a label names; `otherwise`: the word that would be none.

        Raises NetError for a number that the blob does not have and for a label where there are
        none, FormatError for no label or several.
        """
        number = class_number(text)
        if number is not None and self.numbers is not None:
            return self._plane(number, self.numbers)
        if number is not None:
            return number if self.classes is None else check_class(number, self.classes, self.blob)
        if self.labels is None:
            raise NetError(
                f"class {text!r} is neither a number nor {otherwise}, and there are no labels "
                f"({argument('--labels FILE')})"
            )
        return self.labels.find(text)

    def find_several(self, text: str) -> tuple[int, ...] | None:
        """The classes named, commas between them; None for "max" and "each".

        A label that has commas of its own is one class. Raises as `find`, and NetError for "max" or
        "each" beside others.
        """
        if text.strip().casefold() in (LIKELIEST, EACH):
            return None
        try:
            return (self.find(text),)
        except (FormatError, NetError):
            if "," not in text:
                raise
        parts = [part.strip() for part in text.split(",")]
        for word in (LIKELIEST, EACH):
            if word in map(str.casefold, parts):
                raise NetError(f"class {text!r}: {word} is not one of several, it stands alone")
        return tuple(dict.fromkeys(map(self.find, parts)))

    def _plane(self, number: int, numbers: tuple[int, ...]) -> int:
        if number not in numbers:
            explained = ", ".join(map(str, numbers))
            raise NetError(f"class {number}: it is not explained, as {explained} of the classes")
        return numbers.index(number)

    def find_background(self, text: str) -> int | None:
        """The class that is the background; None for "none". Raises as `find`."""
        if text.strip().casefold() == NO_BACKGROUND:
            return None
        return self.find(text, NO_BACKGROUND)


def class_number(text: str) -> int | None:
    """The number that the text is; None for what may be a label.

    >>> class_number("281"), class_number("tabby"), class_number("-1")
    (281, None, None)
    """
    # isdigit takes what int() refuses, such as "²", and int() refuses more than 4300 digits.
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _DIGITS else None


def check_class(number: int, classes: int, blob: str) -> int:
    """`number`, where the blob has that class. Raises NetError."""
    if number >= classes:
        known = (
            "one class, 0" if classes == 1 else f"{counted(classes, 'class')}, 0 to {classes - 1}"
        )
        raise NetError(f"class {number}: blob {blob!r} has {known}")
    return number


def most_common_background(rows: Sequence[ClassCount]) -> int | None:
    """The class that more than half of the cells show, None where there is none.

    rows: the table of the map's classes, most cells first. A class that all cells show is no
    background: nothing would stand out against it.
    """
    cells = sum(row.cells for row in rows)
    return rows[0].number if len(rows) > 1 and 2 * rows[0].cells > cells else None
