"""Every public function and class has an example in its docstring, and so has every method.

tests/test_docstrings.py runs them all.
"""

from __future__ import annotations

import builtins
import inspect
import re
from collections.abc import Iterator
from typing import Any

import pytest

import netsurgery as ns

#: Types that all callers know, and names of the standard library's and numpy's.
KNOWN = {
    *ns.__all__, *dir(builtins), "Any", "AnyEngine", "AnyPath", "AnyPicture", "Array", "ArrayLike",
    "Boxes", "Callable", "Image", "InputSize", "Iterable", "Iterator", "Literal", "Mapping",
    "NDArray", "Numbers", "Path", "Self", "Sequence", "Shape", "Size",
}  # fmt: skip

#: Methods that mean the same in every class.
ALIKE = {"close", "to_json", "table", "plan_outputs"}


def documented() -> Iterator[tuple[str, str]]:
    """Each public name, and each method of a public class: what to find, and the text to search.

    A method may stand in its class's example. One that takes or gives what is not public serves
    the package itself.
    """
    for name in ns.__all__:
        value = getattr(ns, name)
        if inspect.isfunction(value):
            yield name, inspect.getdoc(value) or ""
        elif inspect.isclass(value) and not issubclass(value, BaseException):
            own = examples(inspect.getdoc(value) or "")
            yield name, own
            for member, method in vars(value).items():
                if is_public(member, method):
                    more = examples(inspect.getdoc(method) or "")
                    yield (
                        f"{name}.{member}",
                        "\n".join(
                            line for line in (own + more).splitlines() if f".{member}(" in line
                        ),
                    )


def examples(text: str) -> str:
    return "".join(line + "\n" for line in text.splitlines() if re.match(r"\s*(>>>|\.\.\.) ", line))


def is_public(name: str, method: Any) -> bool:
    function = getattr(method, "__func__", method)
    if name.startswith("_") or name in ALIKE or not inspect.isfunction(function):
        return False
    types = " ".join(map(str, function.__annotations__.values()))
    return set(re.findall(r"[A-Z]\w+", re.sub(r"'[^']*'|\"[^\"]*\"", "", types))) <= KNOWN


@pytest.mark.parametrize(("name", "text"), list(documented()), ids=lambda each: each[:40].strip())
def test_it_has_an_example(name: str, text: str) -> None:
    assert ">>> " in text or "... " in text, f"{name}: no example in its docstring"


def test_methods_are_looked_at() -> None:
    names = {name for name, _ in documented()}
    assert {"Net.save", "ClassMap.argmax", "Conversion.save", "convert", "Settings"} <= names
    assert "NetState.within" not in names  # takes a message of the text
