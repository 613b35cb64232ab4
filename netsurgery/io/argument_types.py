"""What callers of the library give is of the types that parameters take, or a TypeError.

Python takes any object for a flag: antialias="no" would be true. Booleans, numbers, text, names of
files, mappings, functions and the library's own options are therefore checked at run time, by the
annotations of their parameters.
"""

from __future__ import annotations

import functools
import inspect
import numbers
import operator
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from netsurgery.errors import FormatError
from netsurgery.io.terminal import cell
from netsurgery.io.wording import counted, listed

__all__ = [
    "as_list",
    "as_names",
    "checked_argument",
    "checks_arguments",
    "shown",
    "whole_numbers",
]

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
    "Augmentation": "an Augmentation",
    "BoxRules": "a BoxRules",
    "ChannelView": "a ChannelView",
    "GradCam": "a GradCam",
    "NetWithWeights": "an open model",
    "Occlusion": "an Occlusion",
    "SolverSettings": "a SolverSettings",
    "TextStyle": "a TextStyle",
    "TruthRules": "a TruthRules",
}
#: The library's own classes, by name: to import them here would be the wrong way.
_CLASSES = _EXPECTED.keys() - {"bool", "int", "float", "str", "None"}
#: Names of types, by what they stand for. Which text it may be, the function itself says.
_ALIASES = {"Explain": "GradCam | Occlusion"} | dict.fromkeys(
    (
        "ChannelScale", "Combine", "EngineChoice", "Fit", "FormatName", "Layout",
        "Literal['RGB', 'L']", "Literal['pixels']", "MaskRule", "Phase", "PresetName",
        "ValueColors", "WeightsStorage",
    ),
    "str",
)  # fmt: skip
_BY_POSITION = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_SEVERAL = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
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
    listed = as_list(names)
    for name in listed:
        if not isinstance(name, str):
            raise TypeError(f"{what}: found {shown(name)}, expected text")
    return listed


def as_list(values: Any) -> list[Any]:
    """The values of any iterable; text, and what is none, is a single one.

    >>> as_list("fc6"), as_list(range(2)), as_list(7)
    (['fc6'], [0, 1], [7])
    """
    if isinstance(values, str):
        return [values]
    try:
        return list(values)
    except TypeError:  # only then it is known: an array of no axes is an Iterable
        return [values]


def checked_argument(name: str, value: Any, annotation: str) -> Any:
    """The value as a type of Python's that the annotation names; as it is for an annotation with
    other words. Raises TypeError, which begins with `name`, where it is of none.

    >>> checked_argument("classes", "kit fox", "int | str")
    'kit fox'
    """
    check = _check_of(annotation)
    return value if check is None else check(name, value)


def _as_path(value: Any) -> str | Path:
    """Text and paths as they are, another package's path as a Path.

    Raises TypeError for anything else, ValueError for what no file can be called.
    """
    path = value if isinstance(value, (str, Path)) else Path(_path_of(value))
    if b"\0" in os.fsencode(path):
        raise ValueError
    return path


def _path_of(value: Any) -> str:
    name = value.__fspath__() if isinstance(value, os.PathLike) else None
    if not isinstance(name, str):
        raise TypeError
    return name


def _one_of(own: str, take: Callable[[Any], Any] = _as_path) -> Callable[[Any], Any]:
    """Takes instances of a class of that name, and what `take` does."""
    return lambda value: value if own in _class_names(value) else take(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _function(value: Any) -> Any:
    if not callable(value):
        raise TypeError
    return value


class _Wrong(TypeError):
    """One of several values that is not what all of them should be."""

    def __init__(self, value: object) -> None:
        super().__init__(value)
        self.value = value


def _each(take: Callable[[Any], Any], value: Any) -> Any:
    try:
        return take(value)
    except TypeError:
        raise _Wrong(value) from None


def _mapping(take: Callable[[Any], Any] | None = None) -> Callable[[Any], Any]:
    """Takes mappings of text, to what `take` takes."""

    def mapping(value: Any) -> Any:
        if not isinstance(value, Mapping):
            raise TypeError
        for key in value:
            _each(_text, key)
        return value if take is None else {key: _each(take, value[key]) for key in value}

    return mapping


def _paths(value: Any) -> list[str | Path]:
    if isinstance(value, str):
        raise TypeError
    return [_each(_as_path, each) for each in value]


def _several(word: str, count: int | None = None) -> Callable[[Any], Any]:
    """Takes what can be iterated over, of so many values of a word of `_EXPECTED`."""

    def several(value: Any) -> Any:
        taken = tuple(_each(lambda value: _checked("", value, (word,)), each) for each in value)
        if isinstance(value, str) or len(taken) != (count or len(taken)):
            raise TypeError
        return taken

    return several


class _TypeCheck(NamedTuple):
    """What a parameter takes besides None: how a message calls it, and the value as it is passed
    on. `take` raises TypeError for what it is not, and ValueError for a value that none can be.
    """

    expected: str
    take: Callable[[Any], Any]


_PATH = _TypeCheck("a file's name", _as_path)
_SETTINGS = _TypeCheck("Settings or a file's name", _one_of("Settings"))
_SHAPES = _TypeCheck("a mapping of names to shapes", _mapping())
_PROGRESS = _TypeCheck("a function", _function)
#: Annotations, without None, that are checked as a whole.
_KINDS = {
    "AnyPath": _PATH,
    "Path": _TypeCheck("a file's name", lambda value: Path(_as_path(value))),
    "Path | str": _PATH,
    "str | Path": _PATH,
    "Net | AnyPath": _TypeCheck("a prototxt or an open net", _one_of("Net")),
    "Settings | AnyPath": _SETTINGS,
    "Settings | str | Path": _SETTINGS,
    "Path | NetDefinition": _TypeCheck("a prototxt or a NetDefinition", _one_of("NetDefinition")),
    "AnyEngine": _TypeCheck("an engine's name or EngineOptions", _one_of("EngineOptions", _text)),
    "Mapping[str, Shape]": _SHAPES,
    "Mapping[str, tuple[int, ...]]": _SHAPES,
    "Iterable[AnyPath]": _TypeCheck("names of files", _paths),
    "Mapping[str, AnyPath]": _TypeCheck("a mapping of names to files' names", _mapping(_as_path)),
    "Mapping[str, str]": _TypeCheck("a mapping of names to names", _mapping(_text)),
    "tuple[float, float]": _TypeCheck("two numbers", _several("float", 2)),
    "tuple[int, ...]": _TypeCheck("whole numbers", _several("int")),
    "Callable[[TrainingProgress], object]": _PROGRESS,
    "Callable[[int, int], None]": _PROGRESS,
    "OnBytes": _PROGRESS,
    "OnProgress": _PROGRESS,
    "Report": _PROGRESS,
}


def _taken(name: str, value: Any, kind: _TypeCheck, none: bool) -> Any:
    if value is None and none:
        return None
    try:
        return kind.take(value)
    except (TypeError, ValueError) as error:
        wrong = error.value if isinstance(error, _Wrong) else value
        message = f"{name}: found {shown(wrong)}, expected {kind.expected}"
        raise (TypeError if isinstance(error, TypeError) else FormatError)(message) from None


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
        with suppress(OverflowError):  # of a whole number that no float holds
            return float(value)
    elif not _CLASSES.intersection(words).isdisjoint(_class_names(value)):
        return value
    expected = listed(_EXPECTED[word] for word in words)
    raise TypeError(f"{name}: found {shown(value)}, expected {expected}")


def _checking(function: T, call: str) -> T:
    where = function.__qualname__.removesuffix(".__init__")

    @functools.cache  # at the first call, for many functions are imported that are never called
    def expected() -> tuple[list[tuple[int, str, Callable[[str, Any], Any]]], list[str]]:
        parameters = inspect.signature(function).parameters
        checked = [
            (place, key, check)
            for place, (key, each) in enumerate(parameters.items())
            if each.kind not in _SEVERAL and (check := _check_of(str(each.annotation)))
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
        for place, key, check in checked:
            if key in kwargs:
                kwargs[key] = check(key, kwargs[key])
            elif place < len(args):
                values[place] = check(key, args[place])
        return function(*values, **kwargs)

    return wrapper  # type: ignore[return-value]


def _check_of(annotation: str) -> Callable[[str, Any], Any] | None:
    """What checks an argument of that annotation, None for one that is checked where it is used."""
    core = annotation.removesuffix(" | None")
    if core in _KINDS:
        return functools.partial(_taken, kind=_KINDS[core], none=core != annotation)
    words = tuple(annotation.replace(core, _ALIASES.get(core, core)).split(" | "))
    return functools.partial(_checked, words=words) if set(words) <= _EXPECTED.keys() else None


def _class_names(value: object) -> list[str]:
    return [each.__name__ for each in type(value).__mro__]


def whole_numbers(values: Iterable[Any]) -> tuple[int, ...] | None:
    """The values as Python's whole numbers; None where one of them is none.

    >>> whole_numbers([1, 3]), whole_numbers([1, True]), whole_numbers([1, 3.0])
    ((1, 3), None, None)
    """
    listed = tuple(values)
    return tuple(map(operator.index, listed)) if all(map(_is_int, listed)) else None


def _is_int(value: Any) -> bool:
    if not hasattr(value, "__index__") or getattr(value, "ndim", 0) != 0 or _is_bool(value):
        return False
    dtype = getattr(value, "dtype", None)
    return dtype is None or dtype.kind in "iu"  # an array of None has an __index__, too


def _is_bool(value: object) -> bool:
    numpy = sys.modules.get("numpy")  # without it nothing is numpy's
    return isinstance(value, bool) or (numpy is not None and isinstance(value, numpy.bool_))
