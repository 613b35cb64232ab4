"""BatchNorm, Scale and Bias folded into the Convolution or InnerProduct before them.

A BatchNorm that uses its stored statistics gives (x - mean) / sqrt(variance + eps), mean and
variance being the first two params divided by the third (0 means that they are 0); a Scale gives
gamma * x + beta. After a layer that is linear in its weights both are that layer with other
weights: W' = a W and b' = a b + c, where a and c are one number for each output.

Requires: the layers follow each other, in place or not, in any file order that Caffe accepts; no
other layer reads the blobs between them; channels on axis 1; no param shared.
Ensures: the last layer's top keeps its name; the folded layers are gone from prototxt and model;
the first one has a bias. Equal to 1e-5 relative: the weights are rounded once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from netsurgery.errors import PrototxtError, SurgeryError
from netsurgery.io.wording import counted
from netsurgery.net import types
from netsurgery.net.known_fields import check_fields
from netsurgery.net.net import Layer
from netsurgery.net.types.record import ParamRole, WeightLayout
from netsurgery.surgery.edit.channel_types import outputs_of
from netsurgery.surgery.edit.layer_text import (
    give_bias,
    other_phases_read,
    own_message,
    param_message,
    remove_layer,
    rename_top,
)
from netsurgery.surgery.edit.operations.record import Form, Operation
from netsurgery.surgery.edit.session import EditSession, UnfitParams, refusal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Wide = NDArray[np.float64]

__all__ = ["OPERATIONS", "add_bias", "fold"]

#: Field number of bias_term in ConvolutionParameter and InnerProductParameter.
_BIAS_TERM = 2


def fold(work: EditSession, name: str) -> None:
    """Fold the layer `name`, and the Scale and Bias that follow it, into the layer before it.

    "" folds all that can be folded and notes the rest. Raises SurgeryError where `name` cannot
    be folded, and where params of what can be are not those of the net; when all have been folded
    already, "" changes nothing.
    """
    folding = _Folding(work)
    if name:
        layer = _affine(work, name)
        first = _first(work, layer)
        # A fold takes the whole chain from its first layer on; it has to reach the one named.
        if layer not in _chain(work, first):
            raise refusal(name, f"the layers from {first.name!r} to it have other readers too")
        folding.fold(first)
    else:
        folding.fold_all()
        if not any(map(_folds, work.net.layers)):
            work.notes.append("no BatchNorm, Scale or Bias: nothing to fold")
    folding.finish()


class _Folding:
    """Folds, one after another, by the net as it is; its text is changed once, when all are done.

    into: a layer that is folded -> the layer that takes it up.
    """

    def __init__(self, work: EditSession) -> None:
        self.work = work
        self.into: dict[Layer, Layer] = {}

    def fold_all(self) -> None:
        """Fold every chain that does not follow one that stays, and note what cannot be."""
        for layer in self.work.net.layers:
            if not _folds(layer) or layer in self.into or self._stays_before(layer):
                continue
            try:
                self.fold(layer)
            except UnfitParams:
                raise  # to leave it would pass over params of the model that the net lacks
            except (PrototxtError, SurgeryError) as error:
                self.work.notes.append(f"not folded: {error}")

    def _stays_before(self, layer: Layer) -> bool:
        """Whether the layer follows one that folding it would have begun with."""
        before = _before(self.work, layer)
        return before is not None and before not in self.into

    def fold(self, first: Layer) -> None:
        """Fold the chain that begins with `first`. Where that raises, nothing is changed."""
        work = self.work
        target = self._target(first)
        chain = _chain(work, first)
        for layer in chain:
            _check(work, layer)
        factor, shift = _numbers(work, chain, outputs_of(work.shapes, target))
        _rewrite_params(work, target, factor, shift)
        for layer in chain:
            self.into[layer] = target
            work.remove(layer.name)
            work.describe(layer.name, None, f"folded into {target.name!r}")

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
        if axis != 1 and axis + _axes(work, target.bottoms[0]) != 1:
            raise refusal(target.name, f"axis {axis}; only channels on axis 1 can be folded")
        work.refuse_shared(target.name, *range(work.count(target.name)))
        return target

    def finish(self) -> None:
        """Take the layers that are folded out of the text."""
        if not self.into:
            return
        edits = self.work.net.prototxt.edits()
        # Of a chain the last entry stays: its top is the one that is read on.
        last = {target: layer for layer, target in self.into.items()}
        for target, layer in last.items():
            give_bias(edits, target)
            if layer.tops != target.tops:
                rename_top(edits, target, layer.tops[0])
        for layer in self.into:
            remove_layer(edits, self.work.net, layer)
        self.work.edited(edits)


def _affine(work: EditSession, name: str) -> Layer:
    if not work.net.named(name):
        raise refusal(name, "the net has no such layer: nothing to fold, or it is folded already")
    layer = work.layer(name)
    if not _folds(layer):
        raise refusal(name, f"it is of type {layer.type}, expected BatchNorm, Bias, Scale")
    return layer


def _folds(layer: Layer) -> bool:
    """Whether it gives a factor and a shift for each channel."""
    record = types.of(layer)
    return record is not None and record.affine is not None


def _measured(layer: Layer) -> bool:
    """Whether it has statistics, as a BatchNorm has."""
    return ParamRole.MEAN in [param.role for param in types.params(layer) or ()]


def _first(work: EditSession, layer: Layer) -> Layer:
    """The layer that folding `layer` begins with: the BatchNorm before a Scale."""
    while True:
        before = _before(work, layer)
        if before is None:
            return layer
        layer = before


def _before(work: EditSession, layer: Layer) -> Layer | None:
    """The layer before it that is folded first; None where there is none."""
    before = work.net.producer(layer, layer.bottoms[0]) if layer.bottoms else None
    return before if before is not None and _folds(before) and len(before.bottoms) == 1 else None


def _chain(work: EditSession, first: Layer) -> list[Layer]:
    """`first` and the affine layers after it, while each has one reader."""
    chain = [first]
    while True:
        readers = work.net.readers(chain[-1], chain[-1].tops[0])
        # A second BatchNorm begins a chain of its own.
        if len(readers) != 1 or not _folds(readers[0]) or _measured(readers[0]):
            return chain
        if len(readers[0].bottoms) != 1 or other_phases_read(work.net, chain[-1].tops[0]):
            return chain
        chain.append(readers[0])


def _axes(work: EditSession, blob: str) -> int:
    """How many axes the blob has; 0 where that is not known."""
    return len(work.shapes.blobs.get(blob, ()))


def _check(work: EditSession, layer: Layer) -> None:
    """Refuse what is affine by another rule than one factor for each channel."""
    if work.net.prototxt.layer_names[layer.name] > 1:
        raise refusal(layer.name, "a layer of another phase or stage has its name")
    check_fields(layer)
    message = own_message(layer)
    axis, axes = message.integer("axis", 1, -(2**31)), message.integer("num_axes", 1, -1)
    if (axis != 1 and axis + _axes(work, layer.bottoms[0]) != 1) or axes != 1:
        raise refusal(layer.name, f"axis {axis}, num_axes {axes}; only axis 1 alone can be folded")


def _numbers(work: EditSession, chain: Sequence[Layer], outputs: int) -> tuple[Wide, Wide]:
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
        _note_bias(work, target)


def add_bias(work: EditSession, layer: Layer, values: Wide) -> None:
    """Give a layer of ``bias_term: false`` a bias: the param; `give_bias` does the text."""
    work.set_param(layer.name, 1, values)
    _note_bias(work, layer)


def _note_bias(work: EditSession, layer: Layer) -> None:
    work.fields.setdefault(layer.name, {})[_BIAS_TERM] = ()


OPERATIONS = (
    Operation(
        "fold",
        fold,
        (
            Form(
                "fold[:LAYER]",
                "A BatchNorm, and the Scale after it, into the layer before it; without LAYER "
                "every one that can be.",
            ),
        ),
        "fold:bn1",
    ),
)
