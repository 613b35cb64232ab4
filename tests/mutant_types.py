"""A pytest plugin that takes one answer of one layer type away: NETSURGERY_MUTANT=Scale.roles.

Loaded by tests/mutate_types.py alone.
"""

from __future__ import annotations

import os
from dataclasses import fields, replace
from typing import Any

from netsurgery.net import types
from netsurgery.net.types.record import (
    Channels,
    InPlace,
    InputSource,
    LayerType,
    Role,
    Signs,
    Space,
    Values,
)

__all__ = ["MUTANTS", "without"]

#: What each answer becomes; a flag becomes its opposite.
_GONE: dict[str, Any] = {
    "aliases": (),
    "message": None,
    "fields": (),
    "shapes": None,
    "bottoms": (0, 2**31),
    "tops": (0, 2**31),
    "roles": (Role.UNKNOWN,),
    "in_place": InPlace.UNKNOWN,
    "space": Space.UNKNOWN,
    "window": None,
    "field": None,
    "edges": None,
    "channels": Channels.UNKNOWN,
    "values": Values.UNKNOWN,
    "signs": Signs.ANY,
    "source": InputSource.UNKNOWN,
    "params": None,
    "layout": None,
    "affine": None,
    "multiply_adds": None,
}


def without(record: LayerType, name: str) -> LayerType:
    """The record without this answer."""
    gone: Any = _GONE[name] if name in _GONE else not getattr(record, name)
    answer: dict[str, Any] = {name: gone}
    return replace(record, **answer)


#: Every answer that would be another one without.
MUTANTS = [
    f"{kind}.{each.name}"
    for kind, record in types.RECORDS.items()
    for each in fields(LayerType)
    if each.name not in ("name", "origin")
    and getattr(without(record, each.name), each.name) != getattr(record, each.name)
]


def _mutate(mutant: str) -> None:
    kind, name = mutant.split(".")
    old = types.RECORDS[kind]
    types.RECORDS[kind] = new = without(old, name)
    for known, record in list(types._NAMES.items()):
        if record is old:
            if known == kind or name != "aliases":
                types._NAMES[known] = new
            else:
                del types._NAMES[known]
    for constant in types.__all__:
        if getattr(types, constant, None) is old:
            setattr(types, constant, new)


if "NETSURGERY_MUTANT" in os.environ:
    _mutate(os.environ["NETSURGERY_MUTANT"])
