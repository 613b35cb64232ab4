"""A layer with another window: the prototxt. All is done by splices over the author's text."""

from __future__ import annotations

from netsurgery.formats.prototxt import insert_field
from netsurgery.formats.textformat import Edits, Message, Scalar
from netsurgery.net import types
from netsurgery.net.net import Layer
from netsurgery.net.windows import Window

__all__ = ["set_window"]


def set_window(edits: Edits, layer: Layer, old: Window, new: Window) -> None:
    """The numbers of the layer's window where they differ from the old ones."""
    name = types.message_of(layer)
    param = layer.message.message(name) if name else None
    assert param is not None
    _set(edits, param, "kernel_size", old.kernel, new.kernel)
    _set(edits, param, "stride", old.stride, new.stride)
    _set(edits, param, "pad", old.pad, new.pad)
    # DeepLab's name for it.
    holes = any(param.all(name) for name in ("hole", "hole_h", "hole_w"))
    _set(edits, param, "hole" if holes else "dilation", old.dilation, new.dilation)
    engine = param.scalar("engine")
    # layer_factory.cpp: a CUDNN convolution with a dilation ends Caffe.
    if engine is not None and engine.as_word() in ("CUDNN", "2") and set(new.dilation) != {1}:
        edits.replace(engine.start, engine.end, "CAFFE")


def _set(
    edits: Edits, param: Message, name: str, old: tuple[int, ...], new: tuple[int, ...]
) -> None:
    """One of a window's numbers, along height and width, in the author's own spelling."""
    if old == new:
        return
    sides = [param.scalar(f"{name.removesuffix('_size')}_{side}") for side in "hw"]
    listed = param.scalars(name)
    if any(sides):
        for side, number in zip(sides, new, strict=True):
            _put(edits, side, number)
    elif len(listed) == len(new) or (listed and len(set(new)) == 1):
        for scalar, number in zip(listed, new, strict=False):
            _put(edits, scalar, number)
    elif listed and name in ("stride", "pad", "hole"):
        (field,) = param.all(name)
        text = f"{name}_h: {new[0]} {name}_w: {new[1]}"
        edits.replace(field.start, field.end, text)
    elif listed:  # two of a repeated field
        (field,) = param.all(name)
        edits.replace(field.start, field.end, f"{name}: {new[0]} {name}: {new[1]}")
    else:
        numbers = new[:1] if len(set(new)) == 1 else new
        for number in numbers:
            insert_field(edits, param.fields[-1], f"{name}: {number}")


def _put(edits: Edits, scalar: Scalar | None, number: int) -> None:
    if scalar is not None:
        edits.replace(scalar.start, scalar.end, str(number))
