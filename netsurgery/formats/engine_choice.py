"""The engines by name, and the section of both configuration files that chooses one.

[engine]
name = "embedded"                 # or "caffe"; "auto" is Caffe where there is one
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

if TYPE_CHECKING:
    from netsurgery.formats.toml import Keys

__all__ = ["ENGINE_KEYS", "EngineChoice", "as_engine_choice"]

#: "auto" is Caffe where there is one that knows the net.
EngineChoice = Literal["auto", "caffe", "embedded"]


def as_engine_choice(value: Any) -> EngineChoice:
    """The value, where it is an engine's name. Raises ValueError."""
    choices: dict[str, EngineChoice] = {choice: choice for choice in get_args(EngineChoice)}
    if not isinstance(value, str) or value not in choices:
        from netsurgery.formats.toml import quoted_value

        raise ValueError(f"found {quoted_value(value)}, expected {', '.join(choices)}")
    return choices[value]


ENGINE_KEYS: Keys = {"engine": {"name": as_engine_choice}}
