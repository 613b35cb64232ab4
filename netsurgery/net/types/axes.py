"""The axis that a layer's message names."""

from __future__ import annotations

from netsurgery.formats.textformat import Message
from netsurgery.io.wording import counted
from netsurgery.net.layer import Layer, Shape

__all__ = ["axis_of", "cut_axis"]


def axis_of(layer: Layer, message: Message, shape: Shape, default: int, name: str = "axis") -> int:
    """The axis that `message` names, counted from the front; raises where there is none."""
    axis = message.integer(name, default, -(2**31))
    if not -len(shape) <= axis < len(shape):
        raise layer.error(f"{name} {axis} of a blob with {counted(len(shape), 'axis')}")
    return axis % len(shape)  # as Blob::CanonicalAxisIndex: -1 is the last


def cut_axis(layer: Layer, shape: Shape) -> int:
    """Where a Concat joins or a Slice cuts; ``axis`` was ``concat_dim`` and ``slice_dim`` once."""
    kind = layer.type.lower()
    message, old = layer.param(f"{kind}_param"), f"{kind}_dim"
    named = old if message.scalar(old) else "axis"
    # concat_layer.cpp and slice_layer.cpp refuse both, even if they agree.
    if message.scalar(old) and message.scalar("axis"):
        raise layer.error(f"axis and {old} are both given")
    if named == old:
        message.integer(old, 1)  # the old field does not count from the end
    return axis_of(layer, message, shape, 1, named)
