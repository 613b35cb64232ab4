"""BatchNorm, Scale and Bias folded into the Convolution or InnerProduct behind them.

Of y = W x' + b with x' = a x + c, a and c being one number for each channel, W' = W a is the new
weight and b' = b + W c the new bias: of an InnerProduct the sum is over all numbers of a channel's
map, which may have been flattened in between.

Requires: one reader at each step; channels on axis 1 of both; no padding where c is not 0, since
the zeros around a map get no c; c = 0 before a Deconvolution, whose cells sum it unequally often.
Ensures: the layer that read the last one's top reads the first one's bottom. Equal to 1e-5
relative: the weights are rounded once.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

from netsurgery.errors import PrototxtError, SurgeryError
from netsurgery.io.wording import counted
from netsurgery.net import types
from netsurgery.net.known_fields import check_fields
from netsurgery.net.net import Layer
from netsurgery.surgery.edit.affine_layers import (
    affine_before,
    check_affine,
    factor_and_shift,
    is_affine,
)
from netsurgery.surgery.edit.channel_types import spreads
from netsurgery.surgery.edit.channel_weights import (
    bottom_shape,
    by_channels,
    is_padded,
    note_bias,
    stored,
)
from netsurgery.surgery.edit.layer_text import other_phases_read
from netsurgery.surgery.edit.session import EditSession, UnfitParams, refusal

if TYPE_CHECKING:
    from collections.abc import Container

    import numpy as np
    from numpy.typing import NDArray

    Wide = NDArray[np.float64]

__all__ = ["Forwards", "find_forwards", "fold_forwards"]


@dataclass(frozen=True)
class Forwards:
    """A chain of affine layers, and the layer behind it that could take it up.

    between: the layers that only reshape, from the one that reads the chain's last top on.
    """

    chain: tuple[Layer, ...]
    between: tuple[Layer, ...]
    target: Layer

    @property
    def reader(self) -> Layer:
        """The layer that reads the chain's last top."""
        return (*self.between, self.target)[0]

    @property
    def bottom(self) -> str:
        """What it reads when the chain is gone."""
        return self.chain[0].bottoms[0]


def find_forwards(work: EditSession, layer: Layer, gone: Container[Layer]) -> Forwards | None:
    """The longest chain with `layer` in it before one with weights; None where none is behind it.

    gone: layers that are folded already, which are passed over. Raises UnfitParams.
    """
    chain, between = [layer], list[Layer]()
    onward = _onward(work, layer, gone)
    while onward is not None and is_affine(onward):
        chain.append(onward)
        onward = _onward(work, onward, gone)
    while onward is not None and _reshapes(onward):
        between.append(onward)
        onward = _onward(work, onward, gone)
    if onward is None or types.layout(onward) is None:
        return None
    before = affine_before(work, layer)
    while before is not None and before not in gone and _joins(work, before):
        chain.insert(0, before)
        before = affine_before(work, before)
    return Forwards(tuple(chain), tuple(between), onward)


def fold_forwards(work: EditSession, forwards: Forwards, gone: Container[Layer]) -> bool:
    """Fold the chain; True where the target had no bias and has one now.

    Raises SurgeryError, and PrototxtError for fields that are not known; nothing is changed then.
    """
    for layer in forwards.chain:
        _check_one_each(layer)
        check_affine(work, layer)
    _check_readers(work, forwards, gone)
    _check_target(work, forwards)
    repeats = _numbers_of_a_channel(work, forwards)
    vectors = factor_and_shift(work, forwards.chain, _channels(work, forwards.bottom))
    factor, shift = (vector.repeat(repeats) for vector in vectors)
    if shift.any():
        _check_shift(work, forwards.target)
    return _rewrite(work, forwards.target, factor, shift)


def _onward(work: EditSession, layer: Layer, gone: Container[Layer]) -> Layer | None:
    """The layer that reads its top, past those that are gone; of several one that leads on."""
    reader: Layer | None = layer
    while reader is layer or (reader is not None and reader in gone):
        readers = work.net.readers(reader, reader.tops[0]) if len(reader.tops) == 1 else ()
        reader = next(filter(_leads, readers), None)
    return reader


def _leads(layer: Layer) -> bool:
    affine = is_affine(layer) and len(layer.bottoms) == 1
    return affine or _reshapes(layer) or types.layout(layer) is not None


def _reshapes(layer: Layer) -> bool:
    one_each = len(layer.bottoms) == len(layer.tops) == 1
    # In place the shape before is no longer known.
    return one_each and types.reshapes(layer) and not layer.in_place


def _joins(work: EditSession, before: Layer) -> bool:
    """Whether a layer in front of the chain can be folded with it."""
    try:
        _check_one_each(before)
        check_affine(work, before)
        factor_and_shift(work, [before], _channels(work, before.bottoms[0]))
    except UnfitParams:
        raise
    except (PrototxtError, SurgeryError):
        return False
    blob = before.tops[0]
    return len(work.net.readers(before, blob)) == 1 and not other_phases_read(work.net, blob)


def _channels(work: EditSession, blob: str) -> int:
    """How many channels the blob has; 0, which no param fits, where that is not known."""
    shape = work.shapes.blobs.get(blob, ())
    return shape[1] if len(shape) > 1 else 0


def _check_one_each(layer: Layer) -> None:
    for count, what in ((len(layer.bottoms), "bottom"), (len(layer.tops), "top")):
        if count != 1:
            raise refusal(layer.name, f"it has {counted(count, what)}, expected one")


def _check_readers(work: EditSession, forwards: Forwards, gone: Container[Layer]) -> None:
    """Refuse what reads on the way too, or would read something else when the chain is gone."""
    net = work.net
    way = (*forwards.chain, *forwards.between)
    for layer, onward in zip(way, (*way[1:], forwards.target), strict=True):
        blob = layer.tops[0]
        for reader in net.readers(layer, blob):
            if reader is not onward and reader not in gone:
                raise refusal(layer.name, f"layer {reader.name!r} reads its top {blob!r} too")
        if name := other_phases_read(net, blob):
            raise refusal(
                layer.name, f"layer {name!r} of another phase or stage names its top {blob!r}"
            )
    origin = net.producer(forwards.chain[0], forwards.bottom)
    writer = net.producer(forwards.reader, forwards.bottom)
    if writer is not None and writer is not origin and writer not in forwards.chain:
        raise refusal(
            forwards.chain[0].name,
            f"layer {writer.name!r} works in place on its bottom {forwards.bottom!r}, before "
            f"{forwards.reader.name!r} would read it",
        )


def _check_target(work: EditSession, forwards: Forwards) -> None:
    target = forwards.target
    _check_one_each(target)
    check_fields(target)
    bottom_shape(work, target)
    work.refuse_shared(target.name, *range(work.count(target.name)))


def _numbers_of_a_channel(work: EditSession, forwards: Forwards) -> int:
    """How many channels of the target's bottom are one of the chain's: more where it is flattened.

    Raises SurgeryError where they do not go into each other.
    """
    blobs = work.shapes.blobs
    before, after = blobs.get(forwards.bottom, ()), bottom_shape(work, forwards.target)
    last = blobs.get(forwards.chain[-1].tops[0], ())
    if len(before) < 2 or before != last:
        raise refusal(forwards.chain[0].name, "its bottom and top are not known to have one shape")
    cells, cells_after = prod(before[2:]), prod(after[2:])
    if before[0] != after[0] or not cells_after or cells % cells_after:
        raise refusal(
            forwards.target.name,
            f"the channels of its bottom are not those of {forwards.bottom!r}, or parts of them",
        )
    return cells // cells_after


def _check_shift(work: EditSession, target: Layer) -> None:
    if spreads(target):
        raise refusal(
            target.name,
            "a shift after a Deconvolution differs by position, so no bias can replace it",
        )
    if is_padded(work, target):
        raise refusal(target.name, "it is padded, so no bias gives the same at the borders")


def _rewrite(work: EditSession, target: Layer, factor: Wide, shift: Wide) -> bool:
    import numpy as np

    old = work.peek(target.name, 0)
    weight = by_channels(work, target, old.astype(np.float64))
    group, _, channels, _ = weight.shape
    grouped = (group, 1, channels, 1)
    carried = (weight * shift.reshape(grouped)).sum(axis=(2, 3)).ravel()
    params = {0: stored(target, weight * factor.reshape(grouped), old.shape)}
    gains_bias = bool(shift.any()) and work.count(target.name) == 1
    if gains_bias:
        params[1] = carried
    elif shift.any():
        bias = work.peek(target.name, 1)
        params[1] = bias + carried.reshape(bias.shape)
    work.set_params(target.name, params)
    if gains_bias:
        note_bias(work, target)
    return gains_bias
