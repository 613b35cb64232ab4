"""How messages name what the caller can give: an option of the command, an argument in Python."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

__all__ = ["argument", "naming_options"]

#: Where the argument's name is not the option's. Of an engine they are those of EngineOptions.
_NAMES = {
    "--map": "names",
    "--slice": "cut",
    "--stage": "stages",
    "--input-shape": "input_shapes",
    "--max-memory": "set_max_memory",
}
_FLAGS = {"--as-caffe", "--force", "--verify"}
#: Whose values are several.
_LISTS = {"--allow", "--stage"}
_SIZE = re.compile(r"(\d+)x(\d+)")
#: A blob and its shape, or a layer and nothing.
_MAPPING = re.compile(r"(?s)'?(.+?)=(NxCxHxW)?'?")

_options = False


@contextlib.contextmanager
def naming_options() -> Iterator[None]:
    """While a command runs, messages name its options."""
    global _options
    before, _options = _options, True
    try:
        yield
    finally:
        _options = before


def argument(option: str) -> str:
    """An option as the caller would give it.

    >>> argument("--size 24x32"), argument("--engine embedded"), argument("--labels FILE")
    ('size=(24, 32)', "engine='embedded'", 'labels')
    >>> argument("--force"), argument("--map-size"), argument("--stage deploy")
    ('force=True', 'map_size', "stages=['deploy']")
    """
    if _options:
        return option
    flag, _, value = option.partition(" ")
    name = _NAMES.get(flag, flag[2:].replace("-", "_"))
    if flag in _FLAGS:
        return f"{name}=True"
    if not value or value.isupper():
        return name
    if match := _SIZE.fullmatch(value):
        return f"{name}=({match[1]}, {match[2]})"
    if match := _MAPPING.fullmatch(value):
        return f"{name}={{{match[1]!r}: {'(N, C, H, W)' if match[2] else repr('')}}}"
    if flag in _LISTS:
        return f"{name}={value.split(',')}"
    return f"{name}={value if value.isdecimal() else repr(value)}"
