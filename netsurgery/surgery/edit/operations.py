"""The operations of an edit as words: what a word asks for, and of which layer.

    LAYER[BLOB]VERB           LAYER[BLOB][SLICES]VERB         a param blob, or a part of it
    save:LAYER[BLOB]=FILE.npy                                 write it to a file
    fold   fold:LAYER         swap-input-channels[:LAYER]
    fold-mean:MEAN            fold-scale:NUMBER
    rgb-to-grey               grey-to-rgb[:bgr|:rgb|:mean|:0.1,0.6,0.3]
    outputs:LAYER:keep=0,2-5  :drop=1  :add=5                 structure

Names hold ``/``, ``-``, ``=``, ``:`` and brackets, so the layer is the longest name of the net
that the text begins with.
Slices, ``[2]``, ``[:, 0]``, ``[..., 1:-1, 1:-1]``, are read by hand, never evaluated: whole
numbers, ``a:b:c`` and ``...`` with commas between.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import EllipsisType

from netsurgery.errors import SurgeryError
from netsurgery.net.net import NetDefinition, Shape
from netsurgery.net.shapes import describe

__all__ = [
    "Index",
    "ParamOperation",
    "Structural",
    "Target",
    "axes_left",
    "layer_before",
    "parse_index",
    "parse_operation",
]

_BLOB = re.compile(r"\[([0-9]{1,6})\]")
_GROUP = re.compile(r"\[([^\[\]]*)\]")
_VERB = re.compile(r"([+\-*/]?=)(.*)", re.DOTALL)

#: Operations that are no param's: name -> whether something has to follow the colon.
_STRUCTURAL = {
    "fold": False,
    "fold-mean": True,
    "fold-scale": True,
    "grey-to-rgb": False,
    "outputs": True,
    "rgb-to-grey": False,
    "split-batch-norm": False,
    "swap-input-channels": False,
}


@dataclass(frozen=True)
class Target:
    """A param blob of a layer, or the part of it that `indices` choose, one after another."""

    layer: str
    blob: int
    indices: tuple[Index, ...]
    text: str


@dataclass(frozen=True)
class ParamOperation:
    """``conv[0][2]=gaussian:sigma=1``: `verb` is "=", "+=", "-=", "*=", "/=" or "save"."""

    target: Target
    verb: str
    value: str


@dataclass(frozen=True)
class Structural:
    """``fold:bn1``: a name and what follows its colon, "" for nothing."""

    name: str
    argument: str


def parse_operation(word: str, net: NetDefinition) -> ParamOperation | Structural:
    """The operation that `word` asks for. Raises SurgeryError where it is none."""
    if not word:
        raise SurgeryError("an empty operation")
    names = [layer.name for layer in net.layers]
    name, colon, argument = word.partition(":")
    begun = _target(word, names)
    if begun is not None:
        target, rest = begun
        verb = _VERB.fullmatch(rest)
        if verb is None:
            raise SurgeryError(f"found {rest!r} behind {target.text}, expected =, +=, -=, *= or /=")
        return ParamOperation(target, verb[1], verb[2])
    if name == "save" and colon:
        return _save(argument, names)
    if name in _STRUCTURAL:
        if _STRUCTURAL[name] and not argument:
            raise SurgeryError(f"{name} needs something behind a colon")
        if colon and not argument:
            raise SurgeryError(f"nothing behind {word}")
        return Structural(name, argument)
    raise SurgeryError(
        _not_known(word, names) + net.hint(lambda layer: word.startswith(f"{layer.name}["))
    )


def _not_known(word: str, names: list[str]) -> str:
    if word in names or layer_before(word, names, "=+-*/") is not None:
        return "found a layer without a blob; write LAYER[0] for its weights, LAYER[1] for its bias"
    known = ", ".join(["save", *_STRUCTURAL])
    return (
        "it begins neither with LAYER[BLOB] of a layer of the net nor with one of "
        f"{known}; layers: {', '.join(names[:12])}{' ...' if len(names) > 12 else ''}"
    )


def _save(argument: str, names: list[str]) -> ParamOperation:
    begun = _target(argument, names)
    if begun is None:
        raise SurgeryError("save needs a param, as in save:LAYER[0]=FILE.npy")
    target, rest = begun
    if not rest.startswith("=") or len(rest) == 1:
        raise SurgeryError(f"save needs a file, as in save:{target.text}=FILE.npy")
    if not rest.lower().endswith(".npy"):
        raise SurgeryError(f"found {rest[1:]!r}, expected a name that ends in .npy")
    return ParamOperation(target, "save", rest[1:])


def layer_before(text: str, names: Iterable[str], marks: str) -> str | None:
    """The longest of `names` that `text` begins with and one of `marks` follows; None if none."""
    found = [name for name in names if name and text.startswith(tuple(name + m for m in marks))]
    return max(found, key=len, default=None)


def _target(text: str, names: list[str]) -> tuple[Target, str] | None:
    """The target that `text` begins with and what follows it; None where it begins with none."""
    begins = [name for name in names if _BLOB.match(text, len(name)) and text.startswith(name)]
    if not begins:
        return None
    name = max(begins, key=len)
    blob = _BLOB.match(text, len(name))
    assert blob is not None
    at = blob.end()
    indices = []
    while group := _GROUP.match(text, at):
        indices.append(parse_index(group[1]))
        at = group.end()
    return Target(name, int(blob[1]), tuple(indices), text[:at]), text[at:]


#: What stands between one pair of brackets.
Index = tuple[int | slice | EllipsisType, ...]

_WHOLE = re.compile(r"[+-]?[0-9]{1,9}")


def parse_index(text: str) -> Index:
    """The index that `text`, what stands between the brackets, spells. Raises SurgeryError."""
    return tuple(_item(item.strip(), text) for item in text.split(","))


def _item(item: str, text: str) -> int | slice | EllipsisType:
    if item == "...":
        return ...
    if _WHOLE.fullmatch(item):
        return int(item)
    parts = [part.strip() for part in item.split(":")]
    if len(parts) in (2, 3) and all(not part or _WHOLE.fullmatch(part) for part in parts):
        numbers = [int(part) if part else None for part in parts]
        if numbers[2:] == [0]:
            raise SurgeryError(f"[{text}]: a step of 0")
        return slice(*numbers)
    raise SurgeryError(f"[{text}]: found {item!r}, expected a number, a:b, a:b:c or ...")


def axes_left(shape: Shape, groups: Sequence[Index]) -> list[int]:
    """The axes of `shape` that are left when one index after another is taken of it.

    Raises SurgeryError, naming the index, for one that is out of range or has more axes than
    there are, and where nothing at all is left.
    """
    axes, sizes = list(range(len(shape))), list(shape)
    for group in groups:
        items = _spelled_out(group, sizes)
        kept = []
        for position, item in enumerate(items):
            size = sizes[position]
            if isinstance(item, int):
                if not -size <= item < size:
                    raise SurgeryError(f"index {item} of {size} in a {describe(shape)} blob")
            else:
                kept.append((axes[position], len(range(*item.indices(size)))))
        axes, sizes = [axis for axis, _ in kept], [size for _, size in kept]
        if 0 in sizes:
            raise SurgeryError(f"nothing of a {describe(shape)} blob is chosen")
    return axes


def _spelled_out(group: Index, sizes: list[int]) -> list[int | slice]:
    """One item for each axis: the ellipsis, or what is left out at the end, as full slices."""
    given: list[int | slice] = [item for item in group if not isinstance(item, EllipsisType)]
    dots = len(group) - len(given)
    if dots > 1:
        raise SurgeryError("two ... in one pair of brackets")
    missing = len(sizes) - len(given)
    if missing < 0:
        raise SurgeryError(f"{len(given)} indices for {len(sizes)} axes")
    at = group.index(...) if dots else len(given)
    return [*given[:at], *[slice(None)] * missing, *given[at:]]
