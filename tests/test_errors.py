"""Every error crosses to another process, and is copied, as it is."""

from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import netsurgery as ns
from netsurgery.maps.any_picture import NotAPicture
from netsurgery.maps.classmap import HoldsNaN


def kinds(root: type[ns.NetsurgeryError] = ns.NetsurgeryError) -> Iterator[type[Exception]]:
    yield root
    for kind in root.__subclasses__():
        yield from kinds(kind)


def example(kind: type[Exception]) -> Exception:
    """An error of that kind, with a value for each argument besides the text."""
    own = list(inspect.signature(kind.__init__).parameters.values())[2:]
    values = {
        each.name: 7 if each.annotation.startswith("int") else f"some {each.name}"
        for each in own
        if each.kind is not each.VAR_KEYWORD
    }
    return kind("the text", **values)


def test_every_error_is_pickled_and_copied_whole() -> None:
    known = {*kinds()}
    assert {ns.PrototxtError, ns.MemoryLimitError, ns.ParamMissing, HoldsNaN, NotAPicture} <= known
    copiers: list[Callable[[Any], Any]] = [
        lambda each: pickle.loads(pickle.dumps(each)),
        copy.copy,
        copy.deepcopy,
    ]
    for kind in known:
        error = example(kind)
        for copied in copiers:
            result = copied(error)
            assert type(result) is kind
            assert (str(result), result.args, vars(result)) == (str(error), error.args, vars(error))
