"""The operations of an edit as words: which operation a word means, and of what.

LAYER[INDEX]VERB  LAYER[INDEX][SLICES]VERB    a param or a part of it: `netsurgery...targets`
NAME  NAME:ARGUMENT                           an operation of `OPERATIONS`
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from netsurgery.errors import SurgeryError
from netsurgery.io.nearest import did_you_mean
from netsurgery.net.net import NetDefinition
from netsurgery.surgery.edit.operations import OPERATIONS, Argument, Operation
from netsurgery.surgery.edit.targets import Target, layer_before, parse_target

__all__ = ["Assignment", "NamedOperation", "parse_operation"]

_VERB = re.compile(r"([+\-*/]?=)(.*)", re.DOTALL)
_NAME_ENDS = re.compile(r"[\[=:]")
_LIKE_A_PARAM = re.compile(r"[^=:]*\[[0-9]+\]")


@dataclass(frozen=True)
class Assignment:
    """``conv[0][2]=gaussian:sigma=1``: `verb` is "=", "+=", "-=", "*=" or "/="."""

    target: Target
    verb: str
    value: str


@dataclass(frozen=True)
class NamedOperation:
    """``fold:bn1``: an operation of the registry and what follows its colon, "" for nothing."""

    operation: Operation
    argument: str


def parse_operation(word: str, net: NetDefinition) -> Assignment | NamedOperation:
    """The operation that `word` means. Raises SurgeryError where it means none."""
    if not word:
        raise SurgeryError("an empty operation")
    names = [layer.name for layer in net.layers]
    # Targets first: a layer may be called as an operation is, and fold[0]=0 means the layer.
    parsed = parse_target(word, names)
    if parsed is not None:
        target, rest = parsed
        verb = _VERB.fullmatch(rest)
        if verb is None:
            raise SurgeryError(f"found {rest!r} after {target.text}, expected =, +=, -=, *= or /=")
        return Assignment(target, verb[1], verb[2])
    name, colon, argument = word.partition(":")
    operation = OPERATIONS.get(name)
    if operation is None:
        raise SurgeryError(_not_known(word, net, names))
    if operation.argument is Argument.NONE and argument:
        raise SurgeryError(f"found {argument!r} after the colon, expected nothing")
    if operation.argument is Argument.REQUIRED and not argument:
        raise SurgeryError(f"{name} needs an argument after a colon, as in {operation.example}")
    if colon and not argument:
        raise SurgeryError(f"nothing after {word}")
    return NamedOperation(operation, argument)


def _not_known(word: str, net: NetDefinition, names: Sequence[str]) -> str:
    if word in names or layer_before(word, names, "=+-*/") is not None:
        return "found a layer without an index; LAYER[0] is its weights, LAYER[1] its bias"
    name = _NAME_ENDS.split(word)[0]
    if _LIKE_A_PARAM.match(word):
        return f"layer {name!r}: the net has no such layer{net.name_hint(name)}"
    operations = f"; expected LAYER[INDEX] or one of {', '.join(OPERATIONS)}"
    return f"no operation {name!r}{did_you_mean(name, OPERATIONS) or operations}"
