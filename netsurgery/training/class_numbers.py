"""Which output of the net each class of the annotations is, and whether its outputs are kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from netsurgery.errors import FormatError
from netsurgery.formats.labels import Labels
from netsurgery.io.wording import argument, counted
from netsurgery.maps.class_names import class_number

__all__ = ["ClassNumbers", "add_classes", "number_classes"]

#: What the background is called where nobody says.
_BACKGROUND = "background"
#: Names that a note lists.
_LISTED = 6


@dataclass(frozen=True)
class ClassNumbers:
    """names: of all outputs, in their order. numbers: those of the annotations' classes.

    background: the number of what is none of them. own_outputs: how many of all, the first, are the
    net's own; 0 where all begin from scratch. notes: what the user should know.
    """

    names: tuple[str, ...]
    numbers: Mapping[str, int]
    background: int
    own_outputs: int
    notes: tuple[str, ...] = ()


def number_classes(
    classes: Sequence[str],
    outputs: int,
    labels: Labels | None = None,
    background: str | None = None,
) -> ClassNumbers:
    """The numbers of the annotations' `classes` in a net of so many outputs.

    labels: the net's; without them, or where they are more or fewer than its outputs, which a note
    says, a class that is called by its number is that one. background: the name or number of the
    background's class, which may be one of the annotations', as a mask's is. Where the annotations'
    classes and the background are all of the net's, its outputs are kept; else they begin from
    scratch: the classes in their order, the background last.

    >>> number_classes(["0", "1"], 3, background="2").own_outputs
    3
    >>> number_classes(["cat", "dog"], 1000).names
    ('cat', 'dog', 'background')
    """
    unused: tuple[str, ...] = ()
    if labels is not None and len(labels) != outputs:
        unused = (f"{_misfit(labels, outputs)}: they are not used",)
        labels = None
    name = _BACKGROUND if background is None else background
    named = dict.fromkeys([*classes, name])
    own = {each: _own_number(each, outputs, labels) for each in named}
    shown = name
    if name not in classes and class_number(name) is not None:
        number = own[name]
        shown = _BACKGROUND if labels is None or number is None else labels.short(number)
    if set(own.values()) == set(range(outputs)) and len(own) == outputs:
        by_number = {number: each for each, number in own.items() if number is not None}
        by_number[own[name] or 0] = shown
        numbers = {each: own[each] or 0 for each in classes}
        names = tuple(by_number[number] for number in range(outputs))
        return ClassNumbers(names, numbers, own[name] or 0, outputs, unused)
    names = tuple(dict.fromkeys([*classes, shown]))
    before = [] if labels is None else [labels.short(number) for number in range(len(labels))]
    note = (
        f"the net has {counted(outputs, 'output')}{_some(before)}, the "
        f"annotations {counted(len(classes), 'class')}{_some(classes)}: its last layer is replaced "
        f"by one of {counted(len(names), 'output')} that begins from scratch; "
        f"{argument('--keep-outputs')} keeps those that it has"
    )
    numbers = {each: number for number, each in enumerate(names) if each in classes}
    return ClassNumbers(names, numbers, names.index(shown), 0, (note, *unused))


def add_classes(
    classes: Sequence[str],
    outputs: int,
    labels: Labels | None = None,
    background: str | None = None,
    source: str = "the annotations",
) -> ClassNumbers:
    """The numbers of the annotations' `classes` in a net that keeps its outputs.

    Classes that it has keep their numbers, and so do those that the annotations lack; the others
    come behind them in their order, the background last. labels, background: as in
    `number_classes`. source: the annotations, for errors.

    Raises FormatError where it is not known which classes the net has, or which of them one is.

    >>> from netsurgery.formats.labels import Labels
    >>> labels = Labels("labels", ("cat", "dog", "page"))
    >>> added = add_classes(["cow", "cat"], 3, labels, background="page")
    >>> added.names, dict(added.numbers), added.background, added.own_outputs
    (('cat', 'dog', 'page', 'cow'), {'cow': 3, 'cat': 0}, 2, 3)
    """
    name = _BACKGROUND if background is None else background
    named = dict.fromkeys([*classes, name])
    own = _own_numbers(named, outputs, labels, source)
    _refuse_one_for_two({each: own[each] for each in classes}, labels, source)
    new = [each for each in named if own[each] is None]
    numbers = {
        each: outputs + new.index(each) if number is None else number
        for each, number in own.items()
    }
    names = [*_own_names(outputs, labels), *new]
    if labels is None:
        names[numbers[name]] = _BACKGROUND if name not in classes else name
    unseen = outputs - len(set(numbers.values()) & set(range(outputs)))
    return ClassNumbers(
        tuple(names),
        {each: numbers[each] for each in classes},
        numbers[name],
        outputs,
        tuple(_added_notes(outputs, new, unseen)),
    )


def _own_numbers(
    named: Iterable[str], outputs: int, labels: Labels | None, source: str
) -> dict[str, int | None]:
    """The net's own number of each class, None for those that it does not have."""
    if labels is not None and len(labels) != outputs:
        raise FormatError(f"{_misfit(labels, outputs)}: which classes these are is not known")
    own = {each: _own_number(each, outputs, labels) for each in named}
    for each, number in own.items():
        if number is not None:
            continue
        if labels is None:
            raise FormatError(
                f"{source}: whether the net has a class {each!r} is not known, as it has no labels "
                f"({argument('--labels FILE')})"
            )
        if same := labels.matching(each):
            listed = "; ".join(labels[number] for number in same[:_LISTED])
            raise FormatError(
                f"{source}: {counted(len(same), 'class')} of the net are called {each!r}: "
                f"{listed}; give the class a name that only one of them has, such as its whole line"
            )
    return own


def _misfit(labels: Labels, outputs: int) -> str:
    expected = counted(outputs, "output")
    return f"{labels.path}: {counted(len(labels), 'label')}, but the net has {expected}"


def _refuse_one_for_two(own: Mapping[str, int | None], labels: Labels | None, source: str) -> None:
    by_number: dict[int, str] = {}
    for each, number in own.items():
        if number is None:
            continue
        first = by_number.setdefault(number, each)
        if first != each:
            line = number if labels is None else repr(labels[number])
            raise FormatError(
                f"{source}: the classes {first!r} and {each!r} are one class of the net, {line}; "
                "give one of them another name"
            )


def _own_names(outputs: int, labels: Labels | None) -> list[str]:
    """The names of the net's own classes; without ids, which new classes have none of.

    Where two classes have the same names each has its whole line.
    """
    if labels is None:
        return [str(number) for number in range(outputs)]
    names = [labels.split(number)[1] for number in range(outputs)]
    counts = Counter(names)
    return [name if counts[name] == 1 else labels[number] for number, name in enumerate(names)]


def _added_notes(outputs: int, new: Sequence[str], unseen: int) -> Iterator[str]:
    added = [f"{each} is {outputs + index}" for index, each in enumerate(new)]
    yield (
        f"the net's {counted(outputs, 'output')} keep their numbers and weights; behind them "
        f"{counted(len(new), 'new output')}{_some(added)}"
    )
    if unseen:
        yield (
            f"{counted(unseen, 'output')} of the net are no class of the annotations: they learn "
            "that no cell is of them"
        )


def _own_number(name: str, outputs: int, labels: Labels | None) -> int | None:
    """The net's own class of that name, or of that number; None where there is none."""
    matches = [] if labels is None else labels.matching(name)
    if len(matches) == 1:
        return matches[0]
    number = class_number(name)
    return number if number is not None and number < outputs else None


def _some(names: Sequence[str]) -> str:
    """The first of the names, in brackets; "" for none."""
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f" ({', '.join(names[:_LISTED])}{more})" if names else ""
