"""Every error crosses to another process, and is copied, as it is."""

from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import netsurgery as ns
from netsurgery.maps.any_picture import NotAPicture


def kinds(root: type[ns.NetsurgeryError] = ns.NetsurgeryError) -> Iterator[type[Exception]]:
    yield root
    for kind in root.__subclasses__():
        yield from kinds(kind)


def example(kind: type[Exception]) -> Exception:
    """An error of that kind, with a value for each of its own arguments."""
    own = {
        name: 7 if each.annotation.startswith("int") else f"some {name}"
        for name, each in inspect.signature(kind.__init__).parameters.items()
        if each.kind is each.KEYWORD_ONLY
    }
    return kind("the text", **own)


ALL = {kind.__name__: kind for kind in kinds()}


def test_the_kinds() -> None:
    errors = {name for name in ns.__all__ if name.endswith(("Error", "Missing", "Failed"))}
    assert errors | {"EffectRefused", "EngineTimeout", NotAPicture.__name__} <= {*ALL}


@pytest.mark.parametrize("name", ALL)
def test_an_error_is_pickled_and_copied_whole(name: str) -> None:
    error = example(ALL[name])
    copiers: list[Callable[[Any], Any]] = [
        lambda each: pickle.loads(pickle.dumps(each)),
        copy.copy,
        copy.deepcopy,
    ]
    for copied in copiers:
        copy_of_it = copied(error)
        assert type(copy_of_it) is type(error)
        assert (str(copy_of_it), copy_of_it.args, vars(copy_of_it)) == (
            str(error),
            error.args,
            vars(error),
        )
