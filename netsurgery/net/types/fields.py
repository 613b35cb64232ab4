"""Fields that several types have, read as Caffe reads them."""

from __future__ import annotations

from math import prod

from netsurgery.formats.textformat import Message
from netsurgery.io.wording import counted
from netsurgery.net.layer import Layer, Shape
from netsurgery.net.types.record import ParamSpecs, Result

__all__ = [
    "alike",
    "as_image",
    "bias",
    "free",
    "images",
    "num_output",
    "per_weight",
    "same",
    "scalars",
    "with_size",
]


def num_output(layer: Layer, message: Message) -> int:
    """num_output, which must be there and be positive."""
    scalar = message.scalar("num_output")
    if scalar is None:  # Caffe's message has no default
        raise layer.error("num_output is missing")
    return scalar.as_int(1, 2**31 - 1)


def bias(message: Message, outputs: int) -> list[Shape]:
    """The bias param's shape, unless bias_term is false."""
    return [(outputs,)] if message.boolean("bias_term", True) else []


def same(layer: Layer, bottoms: list[Shape]) -> Result:
    """Shape rule: every top as the first bottom."""
    return [bottoms[0]] * len(layer.tops), []


def scalars(layer: Layer, bottoms: list[Shape]) -> Result:
    """Shape rule: every top without axes, as the losses of Caffe's."""
    return [()] * len(layer.tops), []


def free(layer: Layer, blobs: ParamSpecs) -> int:
    """Cost rule: no weights are applied."""
    return 0


def alike(layer: Layer, bottoms: list[Shape]) -> Shape:
    """The shape of the bottoms, which must be one for all."""
    for shape in bottoms[1:]:
        if shape != bottoms[0]:
            raise layer.error(f"its bottoms differ in shape: {bottoms[0]} and {shape}")
    return bottoms[0]


def images(layer: Layer, shape: Shape) -> Shape:
    """`shape`, which must be N x C x H x W."""
    if len(shape) != 4:
        raise layer.error(f"its bottom has {counted(len(shape), 'axis')}; expected N x C x H x W")
    return shape


def as_image(layer: Layer, shape: Shape) -> Shape:
    """`shape` with ones after it, N x C x H x W, as a Blob's num() ... width() have it."""
    if not 2 <= len(shape) <= 4:
        raise layer.error(
            f"its bottom has {counted(len(shape), 'axis')}; expected N x C, and at most H x W"
        )
    return (*shape, *[1] * (4 - len(shape)))


def with_size(shape: Shape, axis: int, size: int) -> Shape:
    """`shape` with another size along an axis."""
    return (*shape[:axis], size, *shape[axis + 1 :])


def per_weight(blobs: ParamSpecs, outputs: int) -> int:
    """Multiply-adds of a weight that is applied once for each cell of the tops."""
    # Top / outputs is the number of cells; the weight's count has channels / group in it.
    return sum(prod(top) // outputs * prod(blobs.params[0]) for top in blobs.tops)
