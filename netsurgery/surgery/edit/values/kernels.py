"""Designed kernels as values of filters: ``conv[0][2]=gaussian:sigma=1``."""

from __future__ import annotations

import re
from functools import partial

from netsurgery.errors import SurgeryError
from netsurgery.io.shape_text import shape_text
from netsurgery.net import types
from netsurgery.net.types.record import Space, WeightLayout
from netsurgery.surgery.edit.filters import KERNELS, kernel
from netsurgery.surgery.edit.session import refusal
from netsurgery.surgery.edit.values.record import (
    Form,
    NewValues,
    Part,
    Value,
    number_options,
    parse_options,
)

__all__ = ["VALUES"]


def _compute(name: str, part: Part, text: str) -> NewValues:
    """The kernel in every filter selected, on the channels selected; the others stay."""
    import numpy as np

    options = parse_options(name, text)
    target, layer, shape = part.target, part.layer, part.shape
    slides = types.space(layer) in (Space.SLIDING, Space.SPREADING)
    if not slides or types.layout(layer) is None or target.index or len(shape) != 4:
        raise refusal(
            target.layer,
            f"param {target.index} is {shape_text(shape)} ({layer.type}); {name} fills the H x W "
            "filters of a Convolution's or Deconvolution's weights",
        )
    axes = part.axes
    if axes[-2:] != [2, 3]:
        raise SurgeryError(f"{target.text} does not keep both axes of its filters' H x W")
    channels = options.pop("channels", None)
    height, width = part.values.shape[-2:]
    try:
        plane = kernel(name, height, width, number_options(name, options))
    except SurgeryError as error:
        draws = name == "gaussian" and "sigma" not in options
        hint = "; with std= it draws Caffe's filler of that name" if draws else ""
        raise SurgeryError(f"{target.text}: {error}{hint}") from None
    new = part.values.copy()
    if channels is None:
        new[...] = plane
        return NewValues(new)
    # A Deconvolution's weight has its input channels first.
    axis = 1 if types.layout(layer) is WeightLayout.OUTPUTS_FIRST else 0
    if axis not in axes or part.values.shape[axes.index(axis)] != shape[axis]:
        raise SurgeryError(f"{target.text} selects channels already; leave out channels=")
    first = np.moveaxis(new, axes.index(axis), 0)  # a view, channels first
    for channel in _channels(channels, shape[axis]):
        first[channel] = plane
    return NewValues(new)


def _channels(text: str, count: int) -> list[int]:
    channels = []
    for piece in text.split(","):
        if not re.fullmatch(r"[0-9]{1,9}", piece) or int(piece) >= count:
            raise SurgeryError(f"channels={text}: found {piece!r}, expected 0 to {count - 1}")
        channels.append(int(piece))
    return channels


def _value(name: str) -> Value:
    kind = KERNELS[name]
    needed = [f"{option}={option[0].upper()}" for option in kind.needs]
    optional = [f"{option}={value:g}" for option, value in kind.defaults.items()]
    syntax = name + (f":{','.join(needed)}" if needed else "")
    syntax += f"[,{','.join(optional)}]" if optional else ""
    example = ",".join(f"{option}={value:g}" for option, value in kind.needs.items())
    fits = "" if kind.sizes == "any size" else f" Fits {kind.sizes}."
    return Value(
        name,
        partial(_compute, name),
        (Form(syntax, f"{kind.help}{fits}"),),
        f"{name}:{example}" if example else name,
        (*kind.needs, *kind.defaults, "channels"),
    )


VALUES = tuple(map(_value, KERNELS))
