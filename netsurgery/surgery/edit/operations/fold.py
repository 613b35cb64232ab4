"""BatchNorm, Scale and Bias folded into the Convolution or InnerProduct next to them.

After a layer that is linear in its weights, y = a x + c is that layer with other weights: W' = a W
and b' = a b + c, where a and c are one number for each output. What does not follow such a layer
is folded into one behind it, where that is exact: see `fold_forwards`.

Requires: the layers follow each other, in place or not, in any file order that Caffe accepts; no
other layer reads the blobs between them; channels on axis 1; no param shared.
Ensures: the last layer's top keeps its name; the folded layers are gone from prototxt and model;
the first one has a bias. Equal to 1e-5 relative: the weights are rounded once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from netsurgery.errors import PrototxtError, SurgeryError
from netsurgery.io.wording import counted
from netsurgery.net import types
from netsurgery.net.known_fields import check_fields
from netsurgery.net.net import Layer
from netsurgery.net.types.record import ParamRole, WeightLayout
from netsurgery.surgery.edit.affine_layers import (
    affine_before,
    axes_of,
    check_affine,
    factor_and_shift,
    is_affine,
)
from netsurgery.surgery.edit.channel_types import outputs_of
from netsurgery.surgery.edit.channel_weights import note_bias
from netsurgery.surgery.edit.fold_forwards import Forwards, find_forwards, fold_forwards
from netsurgery.surgery.edit.layer_text import (
    give_bias,
    other_phases_read,
    own_message,
    param_message,
    remove_layer,
    rename_bottom,
    rename_top,
)
from netsurgery.surgery.edit.operations.record import Form, Operation
from netsurgery.surgery.edit.session import EditSession, UnfitParams, refusal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    Wide = NDArray[np.float64]

__all__ = ["OPERATIONS", "fold"]


def fold(work: EditSession, name: str) -> None:
    """Fold the layer `name`, and the Scale and Bias that follow it, into the layer before it.

    Into the layer behind them where that before cannot take them up. "" folds all that can be
    folded and notes the rest. Raises SurgeryError where `name` cannot be folded, and where params
    of what can be are not those of the net; when all have been folded already, "" changes nothing.
    """
    folding = _Folding(work)
    if name:
        folding.fold_named(_affine(work, name))
    else:
        folding.fold_all()
        if not any(map(is_affine, work.net.layers)):
            work.notes.append("no BatchNorm, Scale or Bias: nothing to fold")
    folding.finish()


class _Folding:
    """Folds, one after another, by the net as it is; its text is changed once, when all are done.

    into: a layer that is folded -> the layer before that takes it up. forwards: what is folded into
    a layer behind. gone: the layers that are folded, either way. new_biases: the layers that get a
    bias from what was before them.
    """

    def __init__(self, work: EditSession) -> None:
        self.work = work
        self.into: dict[Layer, Layer] = {}
        self.forwards: list[Forwards] = []
        self.gone: dict[Layer, None] = {}
        self.new_biases: dict[Layer, None] = {}

    def fold_named(self, layer: Layer) -> None:
        """Fold the chain with `layer` in it. Raises SurgeryError, PrototxtError."""
        first = _first(self.work, layer)
        try:
            # A fold takes the whole chain from its first layer on; it has to reach the one named.
            if layer not in _chain(self.work, first):
                why = f"the layers from {first.name!r} to it have other readers too"
                raise refusal(layer.name, why)
            self.fold(first)
        except UnfitParams:
            raise
        except (PrototxtError, SurgeryError) as error:
            forwards = find_forwards(self.work, layer, self.gone)
            refused = "" if forwards is None else self._refused_forwards(forwards)
            if forwards is None or refused:
                raise _both(error, refused) from None

    def fold_all(self) -> None:
        """Fold every chain that does not follow one that stays, and note what cannot be."""
        refused: dict[Layer, PrototxtError | SurgeryError] = {}
        for layer in self.work.net.layers:
            if not is_affine(layer) or layer in self.into or self._stays_before(layer):
                continue
            try:
                self.fold(layer)
            except UnfitParams:
                raise  # to leave it would pass over params of the model that the net lacks
            except (PrototxtError, SurgeryError) as error:
                refused[layer] = error
        reasons = self._all_forwards()
        for layer, refused_before in refused.items():
            if layer not in self.gone:
                why = _both(refused_before, reasons.get(layer, ""))
                self.work.notes.append(f"not folded: {why}")

    def _all_forwards(self) -> dict[Layer, str]:
        """Fold what is left into the layers behind; why that cannot be, by the layer that stays."""
        reasons: dict[Layer, str] = {}
        # The last first: what is folded into a layer leaves the one before next to it.
        for layer in reversed(self.work.net.layers):
            if not is_affine(layer) or layer in self.gone or layer in reasons:
                continue
            forwards = find_forwards(self.work, layer, self.gone)
            if forwards is None:
                reasons.update(dict.fromkeys(self._up_to(layer), ""))
            elif why := self._refused_forwards(forwards):
                reasons.update(dict.fromkeys(forwards.chain, why))
        return reasons

    def _up_to(self, layer: Layer) -> Iterator[Layer]:
        """The layer, and the affine layers that it follows."""
        before: Layer | None = layer
        while before is not None and before not in self.gone:
            yield before
            before = affine_before(self.work, before)

    def _refused_forwards(self, forwards: Forwards) -> str:
        """Fold a chain into the layer behind it; "", or why it cannot be."""
        try:
            gains_bias = fold_forwards(self.work, forwards, self.gone)
        except UnfitParams:
            raise
        except (PrototxtError, SurgeryError) as error:
            return str(error)
        self.forwards.append(forwards)
        if gains_bias:
            self.new_biases[forwards.target] = None
        self._take_out(forwards.chain, forwards.target)
        return ""

    def _stays_before(self, layer: Layer) -> bool:
        """Whether the layer follows one that folding it would have begun with."""
        before = affine_before(self.work, layer)
        return before is not None and before not in self.into

    def _take_out(self, chain: Sequence[Layer], target: Layer) -> None:
        for layer in chain:
            self.gone[layer] = None
            self.work.remove(layer.name)
            self.work.describe(layer.name, None, f"folded into {target.name!r}")

    def fold(self, first: Layer) -> None:
        """Fold the chain that begins with `first`. Where that raises, nothing is changed."""
        work = self.work
        target = self._target(first)
        chain = _chain(work, first)
        for layer in chain:
            check_affine(work, layer)
        factor, shift = factor_and_shift(work, chain, outputs_of(work.shapes, target))
        _rewrite_params(work, target, factor, shift)
        self.into.update(dict.fromkeys(chain, target))
        self._take_out(chain, target)

    def _target(self, first: Layer) -> Layer:
        """The layer to fold into. Raises SurgeryError, saying what stands between."""
        work = self.work
        if len(first.bottoms) != 1 or len(first.tops) != 1:
            raise refusal(
                first.name, f"it has {counted(len(first.bottoms), 'bottom')}, expected one"
            )
        bottom = first.bottoms[0]
        before = work.net.producer(first, bottom)
        # After a layer that was folded this is what took it up, since the text still has both.
        target = self.into.get(before, before) if before is not None else None
        if before is None or target is None or types.layout(target) is None:
            kind = f"of layer {before.name!r} ({before.type})" if before else "the net's input"
            raise refusal(
                first.name,
                f"its bottom {bottom!r} is {kind}; it folds into a Convolution or InnerProduct",
            )
        if len(target.tops) != 1 or len(target.bottoms) != 1:
            raise refusal(
                target.name,
                f"it has {counted(len(target.tops), 'top')}; only one can be folded into",
            )
        readers = work.net.readers(before, bottom)
        # Two are enough: one of them is not `first`.
        others = [layer.name for layer in readers[:2] if layer is not first]
        if others:
            raise refusal(first.name, f"layer {others[0]!r} reads its bottom {bottom!r} too")
        if reader := other_phases_read(work.net, bottom):
            raise refusal(
                first.name,
                f"layer {reader!r} of another phase or stage names its bottom {bottom!r}",
            )
        check_fields(target)
        axis = own_message(target).integer("axis", 1, -(2**31))
        if axis != 1 and axis + axes_of(work, target.bottoms[0]) != 1:
            raise refusal(target.name, f"axis {axis}; only channels on axis 1 can be folded")
        work.refuse_shared(target.name, *range(work.count(target.name)))
        return target

    def finish(self) -> None:
        """Take the layers that are folded out of the text."""
        if not self.gone:
            return
        edits = self.work.net.prototxt.edits()
        # Of a chain the last entry stays: its top is the one that is read on.
        last = {target: layer for layer, target in self.into.items()}
        for target, layer in last.items():
            if layer.tops != target.tops:
                rename_top(edits, target, layer.tops[0])
        for forwards in self.forwards:
            if forwards.bottom not in forwards.reader.bottoms:
                rename_bottom(edits, forwards.reader, forwards.bottom)
        for target in {**last, **self.new_biases}:
            give_bias(edits, target)
        for layer in self.gone:
            remove_layer(edits, self.work.net, layer)
        self.work.edited(edits)


def _both(error: PrototxtError | SurgeryError, forwards: str) -> PrototxtError | SurgeryError:
    """Why a layer can be folded neither into the one before it nor into the one behind it."""
    if not forwards or isinstance(error, PrototxtError) or forwards == str(error):
        return error
    return SurgeryError(f"{error}; nor into the one behind it: {forwards}")


def _affine(work: EditSession, name: str) -> Layer:
    if not work.net.named(name):
        raise refusal(name, "the net has no such layer: nothing to fold, or it is folded already")
    layer = work.layer(name)
    if not is_affine(layer):
        raise refusal(name, f"it is of type {layer.type}, expected BatchNorm, Bias, Scale")
    return layer


def _measured(layer: Layer) -> bool:
    """Whether it has statistics, as a BatchNorm has."""
    return ParamRole.MEAN in [param.role for param in types.params(layer) or ()]


def _first(work: EditSession, layer: Layer) -> Layer:
    """The layer that folding `layer` begins with: the BatchNorm before a Scale."""
    while True:
        before = affine_before(work, layer)
        if before is None:
            return layer
        layer = before


def _chain(work: EditSession, first: Layer) -> list[Layer]:
    """`first` and the affine layers after it, while each has one reader."""
    chain = [first]
    while True:
        readers = work.net.readers(chain[-1], chain[-1].tops[0])
        # A second BatchNorm begins a chain of its own.
        if len(readers) != 1 or not is_affine(readers[0]) or _measured(readers[0]):
            return chain
        if len(readers[0].bottoms) != 1 or other_phases_read(work.net, chain[-1].tops[0]):
            return chain
        chain.append(readers[0])


def _rewrite_params(work: EditSession, target: Layer, factor: Wide, shift: Wide) -> None:
    import numpy as np

    weight = work.peek(target.name, 0).astype(np.float64)
    if types.layout(target) is WeightLayout.INPUTS_FIRST:
        group = param_message(target).integer("group", 1, 1)
        # A Deconvolution's outputs are axis 1 of each group's block.
        blocks = weight.reshape(group, weight.shape[0] // group, weight.shape[1], -1)
        scaled = blocks * factor.reshape(group, 1, -1, 1)
    elif types.keeps_turned(target):
        scaled = weight * factor
    else:
        scaled = weight.reshape(len(factor), -1) * factor[:, None]
    scaled = scaled.reshape(weight.shape)
    if work.count(target.name) > 1:
        old = work.peek(target.name, 1)
        moved = old * factor.reshape(old.shape) + shift.reshape(old.shape)
        work.set_params(target.name, {0: scaled, 1: moved})
    else:
        work.set_params(target.name, {0: scaled, 1: shift})
        note_bias(work, target)


OPERATIONS = (
    Operation(
        "fold",
        fold,
        (
            Form(
                "fold[:LAYER]",
                "A BatchNorm, and the Scale after it, into the layer before it, or else into the "
                "one behind it; without LAYER every one that can be.",
            ),
        ),
        "fold:bn1",
    ),
)
