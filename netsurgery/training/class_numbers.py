"""Which output of the net each class of the annotations is, and whether its outputs are kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from netsurgery.errors import FormatError
from netsurgery.formats.labels import Labels
from netsurgery.io.wording import counted
from netsurgery.maps.class_names import class_number

__all__ = ["ClassNumbers", "number_classes"]

#: What the background is called where nobody says.
_BACKGROUND = "background"
#: Names that a note lists.
_LISTED = 6


@dataclass(frozen=True)
class ClassNumbers:
    """names: of all outputs, in their order. numbers: those of the annotations' classes.

    background: the number of what is none of them. outputs: how many the net is to have from
    scratch, None where its own are kept. notes: what the user should know.
    """

    names: tuple[str, ...]
    numbers: Mapping[str, int]
    background: int
    outputs: int | None
    notes: tuple[str, ...] = ()


def number_classes(
    classes: Sequence[str],
    outputs: int,
    labels: Labels | None = None,
    background: str | None = None,
) -> ClassNumbers:
    """The numbers of the annotations' `classes` in a net of so many outputs.

    labels: the net's; without them, or where they are more or fewer than its outputs, a class that
    is called by its number is that one. background:
    the name or number of the background's class, which may be one of the annotations', as a mask's
    is. Where the annotations' classes and the background are all of the net's, its outputs are
    kept; else they begin from scratch: the classes in their order, the background last.

    >>> number_classes(["0", "1"], 3, background="2").outputs
    >>> number_classes(["cat", "dog"], 1000).names
    ('cat', 'dog', 'background')
    """
    if labels is not None and len(labels) != outputs:
        labels = None
    name = _BACKGROUND if background is None else background
    named = dict.fromkeys([*classes, name])
    own = {each: _own_number(each, outputs, labels) for each in named}
    if set(own.values()) == set(range(outputs)) and len(own) == outputs:
        by_number = {number: each for each, number in own.items() if number is not None}
        if name not in classes and class_number(name) is not None:
            number = own[name] or 0
            by_number[number] = _BACKGROUND if labels is None else labels.short(number)
        numbers = {each: own[each] or 0 for each in classes}
        names = tuple(by_number[number] for number in range(outputs))
        return ClassNumbers(names, numbers, own[name] or 0, None)
    names = tuple(named)
    shown = [] if labels is None else [labels.short(number) for number in range(len(labels))]
    note = (
        f"the net has {counted(outputs, 'output')}{_some(shown)}, the "
        f"annotations {counted(len(classes), 'class')}{_some(classes)}: its last layer is replaced "
        f"by one of {counted(len(names), 'output')} that begins from scratch"
    )
    numbers = {each: number for number, each in enumerate(names) if each in classes}
    return ClassNumbers(names, numbers, names.index(name), len(names), (note,))


def _own_number(name: str, outputs: int, labels: Labels | None) -> int | None:
    """The net's own class of that name, or of that number; None where there is none."""
    number = class_number(name)
    if labels is not None:
        try:
            return labels.find(name)
        except FormatError:
            pass
    return number if number is not None and number < outputs else None


def _some(names: Sequence[str]) -> str:
    """The first of the names, in brackets; "" for none."""
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f" ({', '.join(names[:_LISTED])}{more})" if names else ""
