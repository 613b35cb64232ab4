"""What callers of the library give is of the types that parameters take, or a TypeError.

Python takes any object for a flag: antialias="no" would be true. Booleans, numbers, text and the
library's own options are therefore checked at run time, by the annotations of their parameters.
"""

from __future__ import annotations

import functools
import inspect
import numbers
import operator
import sys
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from netsurgery.io.terminal import cell
from netsurgery.io.wording import counted, listed

__all__ = ["as_names", "checked_argument", "checks_arguments", "shown", "whole_numbers"]

T = TypeVar("T", bound=Callable[..., Any])

#: What an annotation's words are in a message.
_EXPECTED = {
    "bool": "True or False",
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "None": "None",
    "Net": "an open net",
    "NetState": "a NetState",
    "MapView": "a MapView",
    "PictureLook": "a PictureLook",
}
#: The library's own classes, by name: to import them here would be the wrong way.
_CLASSES = {"Net", "NetState", "MapView", "PictureLook"}
_BY_POSITION = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_MOST = 60


def checks_arguments(call: str = "") -> Callable[[T], T]:
    """Decorate a public function, or a class of options, whose arguments must be of their types.

    An argument of another type is a TypeError: "seed: found True, expected a whole number". numpy's
    booleans and numbers are taken and become Python's. Each further argument by position is a
    TypeError that ends with `call`: how to give what the caller may have meant.

    >>> @checks_arguments()
    ... def fill(seed: int | None = None) -> None:
    ...     pass
    >>> fill(seed=True)
    Traceback (most recent call last):
    TypeError: seed: found True, expected a whole number or None
    """

    def decorate(called: T) -> T:
        if not isinstance(called, type):
            return _checking(called, call)
        init = called.__dict__["__init__"]
        setattr(called, "__init__", _checking(init, call))  # noqa: B010
        return called

    return decorate


def shown(value: object) -> str:
    """A value in a message: its `repr`, on one line and not endless.

    >>> shown([1, 2] * 20)
    '[1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 1..., 1, 2, 1, 2, 1, 2]'
    """
    return cell(repr(value), _MOST)


def as_names(names: str | Iterable[str], what: str) -> list[str]:
    """The names in order, of any iterable; text is a single name.

    what: the argument's name. Raises TypeError for anything else.
    """
    if isinstance(names, str):
        return [names]
    listed = list(names) if isinstance(names, Iterable) else [names]
    for name in listed:
        if not isinstance(name, str):
            raise TypeError(f"{what}: found {shown(name)}, expected text")
    return listed


def checked_argument(name: str, value: Any, annotation: str) -> Any:
    """The value as a type of Python's that the annotation names; as it is for an annotation with
    other words. Raises TypeError, which begins with `name`, where it is of none.

    >>> checked_argument("classes", "kit fox", "int | str")
    'kit fox'
    """
    words = _words(annotation)
    return _checked(name, value, words) if words else value


def _checked(name: str, value: Any, words: tuple[str, ...]) -> Any:
    if value is None and "None" in words:
        return value
    if isinstance(value, str) and "str" in words:
        return value
    if _is_bool(value):
        if "bool" in words:
            return bool(value)
    elif "int" in words and _is_int(value):
        return operator.index(value)
    elif "float" in words and isinstance(value, numbers.Real):
        return float(value)
    elif not _CLASSES.intersection(words).isdisjoint(_class_names(value)):
        return value
    expected = listed(_EXPECTED[word] for word in words)
    raise TypeError(f"{name}: found {shown(value)}, expected {expected}")


def _checking(function: T, call: str) -> T:
    where = function.__qualname__.removesuffix(".__init__")

    @functools.cache  # at the first call, for many functions are imported that are never called
    def expected() -> tuple[list[tuple[int, str, tuple[str, ...]]], list[str]]:
        parameters = inspect.signature(function).parameters
        checked = [
            (place, key, words)
            for place, (key, each) in enumerate(parameters.items())
            if (words := _words(str(each.annotation)))
        ]
        return checked, [key for key, each in parameters.items() if each.kind in _BY_POSITION]

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        checked, positional = expected()
        own = positional[:1] == ["self"]
        if len(args) > len(positional):
            taken = ", ".join(positional[own:]) or "none"
            how = call and f"; call it as {call}"
            raise TypeError(
                f"{where}: found {counted(len(args) - own, 'argument')} by "
                f"position, expected {taken}{how}"
            )
        values = list(args)
        for place, key, words in checked:
            if key in kwargs:
                kwargs[key] = _checked(key, kwargs[key], words)
            elif place < len(args):
                values[place] = _checked(key, args[place], words)
        return function(*values, **kwargs)

    return wrapper  # type: ignore[return-value]


def _words(annotation: str) -> tuple[str, ...]:
    """The words of an annotation that is checked, () for all others."""
    words = tuple(annotation.split(" | "))
    return words if set(words) <= _EXPECTED.keys() else ()


def _class_names(value: object) -> list[str]:
    return [each.__name__ for each in type(value).__mro__]


def whole_numbers(values: Iterable[Any]) -> tuple[int, ...] | None:
    """The values as Python's whole numbers; None where one of them is none.

    >>> whole_numbers([1, 3]), whole_numbers([1, True]), whole_numbers([1, 3.0])
    ((1, 3), None, None)
    """
    listed = tuple(values)
    return tuple(map(operator.index, listed)) if all(map(_is_int, listed)) else None


def _is_int(value: object) -> bool:
    return hasattr(value, "__index__") and not getattr(value, "ndim", 0) and not _is_bool(value)


def _is_bool(value: object) -> bool:
    numpy = sys.modules.get("numpy")  # without it nothing is numpy's
    return isinstance(value, bool) or (numpy is not None and isinstance(value, numpy.bool_))
