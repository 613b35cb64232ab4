"""Which class of a net each class of annotations is, by its name or as the caller says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from netsurgery.errors import FormatError
from netsurgery.io.nearest import did_you_mean
from netsurgery.io.wording import argument, counted
from netsurgery.maps.class_names import NO_BACKGROUND, ClassNames
from netsurgery.training.truth import IGNORED

__all__ = ["match_classes"]

#: Names that an error lists.
_LISTED = 4


def match_classes(
    classes: Sequence[str], names: ClassNames, mapping: Mapping[str, str], source: str
) -> dict[str, int]:
    """The net's class of each of the annotations' `classes`, IGNORED for what does not count.

    mapping: of some of them, by the number or the label of the net's class; "none" for what does
    not count. A class without one is the net's class of the same name, which is the whole label,
    its id or one of its names, or of that number where the net has no labels. source: the
    annotations, for errors. Raises FormatError where there is none, or several; NetError for a
    number that the net does not have.

    >>> from netsurgery.formats.labels import Labels
    >>> names = ClassNames(3, Labels("labels", ("n01 cat, puss", "n02 dog", "n03 page")), "prob")
    >>> match_classes(["dog", "puss", "cow"], names, {"cow": "none"}, "truth.json")
    {'dog': 1, 'puss': 0, 'cow': -1}
    """
    for name in mapping:
        if name not in classes:
            raise FormatError(
                f"{source}: no class {name!r}, of {argument('--classes')}"
                f"{did_you_mean(name, classes, 'classes')}"
            )
    own = _by_name(names)
    numbers: dict[str, int] = {}
    for name in classes:
        if name in mapping:
            numbers[name] = _mapped(mapping[name], names)
        elif matches := own.get(name):
            numbers[name] = _only(matches, name, names, source)
    unknown = [name for name in classes if name not in numbers]
    if unknown:
        raise FormatError(_unknown(unknown, names, source))
    return numbers


def _mapped(text: str, names: ClassNames) -> int:
    return IGNORED if text.strip().casefold() == NO_BACKGROUND else names.find(text, NO_BACKGROUND)


def _by_name(names: ClassNames) -> dict[str, list[int]]:
    """The net's classes of each name; without labels they are called by their numbers."""
    if names.labels is None:
        return {str(number): [number] for number in range(names.classes or 0)}
    own: dict[str, list[int]] = {}
    for number in range(len(names.labels)):
        for word in names.labels.words(number):
            own.setdefault(word, []).append(number)
    return own


def _only(matches: Sequence[int], name: str, names: ClassNames, source: str) -> int:
    if len(matches) > 1 and names.labels is not None:
        listed = "; ".join(f"{number} {names.labels[number]}" for number in matches[:_LISTED])
        raise FormatError(
            f"{source}: {counted(len(matches), 'class')} of the net are called {name!r}: {listed}; "
            f"say which it is, by number ({argument('--classes NAME=LABEL')})"
        )
    return matches[0]


def _unknown(unknown: Sequence[str], names: ClassNames, source: str) -> str:
    more = f" and {len(unknown) - _LISTED} more" if len(unknown) > _LISTED else ""
    listed = ", ".join(map(repr, unknown[:_LISTED])) + more
    without = "" if names.labels is not None else f", nor labels ({argument('--labels FILE')})"
    return (
        f"{source}: the net has no class {listed}{without}; say which of its classes that is, by "
        "number or label, or none for what is not to count "
        f"({argument('--classes NAME=LABEL')})"
    )
