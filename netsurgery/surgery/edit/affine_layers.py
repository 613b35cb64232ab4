"""Layers that give a factor and a shift for each channel: BatchNorm, Scale, Bias.

A BatchNorm that uses its stored statistics gives (x - mean) / sqrt(variance + eps), mean and
variance being the first two params divided by the third (0 means that they are 0); a Scale gives
gamma * x + beta.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from netsurgery.errors import SurgeryError
from netsurgery.io.wording import counted
from netsurgery.net import types
from netsurgery.net.known_fields import check_fields
from netsurgery.net.net import Layer
from netsurgery.net.types.record import ParamRole
from netsurgery.surgery.edit.layer_text import own_message
from netsurgery.surgery.edit.session import EditSession, refusal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Wide = NDArray[np.float64]

__all__ = ["affine_before", "axes_of", "check_affine", "factor_and_shift", "is_affine"]


def is_affine(layer: Layer) -> bool:
    """Whether it gives a factor and a shift for each channel."""
    record = types.of(layer)
    return record is not None and record.affine is not None


def affine_before(work: EditSession, layer: Layer) -> Layer | None:
    """The layer before it that is folded first; None where there is none."""
    before = work.net.producer(layer, layer.bottoms[0]) if layer.bottoms else None
    return before if before is not None and is_affine(before) and len(before.bottoms) == 1 else None


def axes_of(work: EditSession, blob: str) -> int:
    """How many axes the blob has; 0 where that is not known."""
    return len(work.shapes.blobs.get(blob, ()))


def check_affine(work: EditSession, layer: Layer) -> None:
    """Refuse what is affine by another rule than one factor for each channel."""
    work.refuse_namesakes(layer.name)
    check_fields(layer)
    message = own_message(layer)
    axis, axes = message.integer("axis", 1, -(2**31)), message.integer("num_axes", 1, -1)
    if (axis != 1 and axis + axes_of(work, layer.bottoms[0]) != 1) or axes != 1:
        raise refusal(layer.name, f"axis {axis}, num_axes {axes}; only axis 1 alone can be folded")


def factor_and_shift(work: EditSession, chain: Sequence[Layer], outputs: int) -> tuple[Wide, Wide]:
    """a and c of y = a x + c, one for each of the outputs."""
    import numpy as np

    factor, shift = np.ones(outputs), np.zeros(outputs)
    for layer in chain:
        times, plus = _of_one(work, layer, outputs)
        # t (a x + c) + p = (t a) x + (t c + p).
        factor, shift = factor * times, shift * times + plus
    return factor, shift


def _of_one(work: EditSession, layer: Layer, outputs: int) -> tuple[Wide, Wide]:
    record, params = types.of(layer), types.params(layer) or ()
    assert record is not None
    assert record.affine is not None
    vectors = [
        _vector(work, layer, index, 1 if param.role is ParamRole.FACTOR else outputs)
        for index, param in enumerate(params)
    ]
    try:
        return record.affine(layer, vectors.__getitem__, outputs)
    except SurgeryError as error:
        raise refusal(layer.name, str(error)) from None


def _vector(work: EditSession, layer: Layer, index: int, size: int) -> Wide:
    import numpy as np

    values = work.peek(layer.name, index)
    if values.size != size:
        raise refusal(
            layer.name, f"its param {index} has {counted(values.size, 'value')}, expected {size}"
        )
    return values.reshape(size).astype(np.float64)
