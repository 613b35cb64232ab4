"""The values that a param can be set to by name: the registry of them.

A new value is a `Value` in a module of this package; a new module has its line in `GROUPS`.
"""

from __future__ import annotations

from netsurgery.surgery.edit.values import fillers, functions, kernels
from netsurgery.surgery.edit.values.record import Value, parse_options

__all__ = ["GROUPS", "VALUES", "find_value"]

#: A heading of the help -> the values under it.
GROUPS: dict[str, tuple[Value, ...]] = {
    "Values": functions.VALUES,
    "Kernels": kernels.VALUES,
    "Fillers": fillers.VALUES,
}

VALUES: tuple[Value, ...] = tuple(value for values in GROUPS.values() for value in values)


def find_value(name: str, options: str) -> Value | None:
    """The value of that name; of two (gaussian, a kernel and a filler) the one of the options."""
    matches = [value for value in VALUES if value.name == name]
    if len(matches) < 2:
        return next(iter(matches), None)
    named = set(parse_options(name, options))
    return max(matches, key=lambda value: len(named.intersection(value.options)))
