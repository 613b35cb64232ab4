"""A fork's normalization with scale and shift split into the layers that Caffe 1.0 has for it.

NVCaffe's BatchNorm and PSPNet's BN, scale (x - mean) / sqrt(variance + eps) + shift, become a
BatchNorm and a Scale; SegNet's BN in INFERENCE, scale x + shift, becomes a Scale.

Requires: the roles of the layer's params are known; none is shared.
Ensures: the same function with the same numbers: nothing is computed. The first of the two keeps
the layer's name, bottom and top; training settings (fillers, momentum, rates) are dropped.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from netsurgery.errors import SurgeryError
from netsurgery.formats.prototxt import Prototxt, insert_field, quoted, remove_field
from netsurgery.formats.textformat import Edits, TextField
from netsurgery.io.wording import counted
from netsurgery.net import types
from netsurgery.net.layer import Layer
from netsurgery.net.state import rule_fields
from netsurgery.net.types.record import ParamRole
from netsurgery.surgery.edit.operations.record import Form, Operation
from netsurgery.surgery.edit.session import EditSession, refusal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

__all__ = ["OPERATIONS", "is_split", "split_batch_norm"]


def split_batch_norm(work: EditSession, name: str) -> None:
    """Split the layer `name`; "" splits every layer that can be, and notes the others.

    Raises SurgeryError where `name` cannot be split.
    """
    if name:
        layer = work.layer(name)
        if not is_split(layer):
            raise refusal(
                name, f"it is not a normalization of a fork ({layer.type}): nothing to split"
            )
        edits = work.net.prototxt.edits()
        _split(work, layer, edits, _names(work))
        work.edited(edits)
        return
    names = [layer.name for layer in work.net.layers if is_split(layer)]
    if not names:
        work.notes.append("no normalization of a fork: nothing to split")
    edits, taken = work.net.prototxt.edits(), _names(work)
    for each in names:
        try:
            _split(work, work.layer(each), edits, taken)
        except SurgeryError as error:
            work.notes.append(f"not split: {error}")
    if edits:
        work.edited(edits)


def is_split(layer: Layer) -> bool:
    """Whether the layer is a fork's, and has a param for each channel's scale and shift."""
    record, params = types.of(layer), types.params(layer) or ()
    if record is None or record.origin == types.STOCK or record.affine is None:
        return False
    return {param.role for param in params} >= {ParamRole.SCALE, ParamRole.SHIFT}


def _split(work: EditSession, layer: Layer, edits: Edits, taken: set[str]) -> None:
    """Split one layer: its params, and what changes in its text, into `edits`."""
    _check(work, layer)
    values = _by_role(work, layer)
    measured = ParamRole.MEAN in values
    scale = _new_name(taken, layer.name) if measured else layer.name
    _rewrite_text(edits, work.net.prototxt, layer, scale if measured else "")
    work.remove(layer.name)
    if measured:
        import numpy as np

        # A factor of 1: Caffe 1.0 divides by its third param, and the fork did not.
        numbers = [values[ParamRole.MEAN], values[ParamRole.VARIANCE], np.ones(1, np.float32)]
        work.add(layer.name, *numbers)
    work.add(scale, values[ParamRole.SCALE], values[ParamRole.SHIFT])
    if measured:
        work.describe(scale, None, f"the scale and shift of {layer.name!r} ({_kind(layer)})")


def _kind(layer: Layer) -> str:
    record = types.of(layer)
    return record.name if record else layer.type


def _check(work: EditSession, layer: Layer) -> None:
    """Raise SurgeryError for a layer that is not one function of each channel's numbers."""
    record = types.of(layer)
    assert record is not None
    assert record.affine is not None
    if len(layer.bottoms) != 1 or len(layer.tops) != 1:
        raise refusal(
            layer.name, f"{counted(len(layer.tops), 'top')}; expected one bottom and one top"
        )
    bottom, top = (work.shapes.blobs.get(blob) for blob in (layer.bottoms[0], layer.tops[0]))
    if bottom != top or bottom is None:
        raise refusal(layer.name, "its top and bottom differ in shape, or that is not known")
    indices = range(work.count(layer.name))
    work.refuse_shared(layer.name, *indices)
    vectors = [work.peek(layer.name, index).ravel() for index in indices]
    try:
        # For its refusals alone: what it computes is left to the two layers in Caffe.
        record.affine(layer, lambda index: vectors[index].astype(float), bottom[1])
    except SurgeryError as error:
        raise refusal(layer.name, str(error)) from None


def _by_role(work: EditSession, layer: Layer) -> Mapping[ParamRole, Array]:
    """The layer's params as vectors, by what they are."""
    params = types.params(layer) or ()
    return {
        param.role: work.peek(layer.name, index).reshape(-1).copy()
        for index, param in enumerate(params)
    }


def _names(work: EditSession) -> set[str]:
    """The names of the layers of net and model."""
    # The model's too: Caffe would load its layer of that name into the new Scale.
    return {*work.net.prototxt.layer_names, *(layer.name for layer in work.model.weights.layers)}


def _new_name(taken: set[str], name: str) -> str:
    """A name for the layer to add, which is taken from then on."""
    new, count = f"{name}_scale", 1
    while new in taken:
        count += 1
        new = f"{name}_scale{count}"
    taken.add(new)
    return new


def _rewrite_text(edits: Edits, prototxt: Prototxt, layer: Layer, scale: str) -> None:
    """Write the layer as a BatchNorm with a Scale of that name after it; "": as a Scale."""
    kind = layer.message.scalar("type")
    assert kind is not None
    record = types.BATCH_NORM if scale else types.SCALE
    edits.replace(kind.start, kind.end, quoted(record.name, kind))
    if scale:
        _keep_eps(edits, layer)
        text = _scale_text(prototxt.text, layer, scale)
        insert_field(edits, prototxt.field_of(layer.message), text)
    else:
        _replace_own(edits, layer, f"{types.SCALE.message} {{ bias_term: true }}")
    # Rates of the old params: the new layers have others in another order.
    for each in layer.message.all("param"):
        remove_field(edits, each)


def _own(layer: Layer) -> TextField | None:
    return layer.message.single(types.message_of(layer) or "")


def _replace_own(edits: Edits, layer: Layer, text: str) -> None:
    """Put `text`, "" for nothing, in the place of the layer's own message."""
    own, kind = _own(layer), layer.message.single("type")
    assert kind is not None
    if own is None:
        if text:
            edits.insert(kind.end, f" {text}")
    elif text:
        edits.replace(own.start, own.end, text)
    else:
        remove_field(edits, own)


def _keep_eps(edits: Edits, layer: Layer) -> None:
    """Of the layer's own message eps stays, as Caffe 1.0 has to have it, and a stock true flag."""
    eps = types.added_to_variance(layer)
    # Nine digits give every float32 back.
    text = "" if eps == _DEFAULT_EPS else f"{types.BATCH_NORM.message} {{ eps: {eps:.9g} }}"
    _replace_own(edits, layer, text)


#: What Caffe 1.0's BatchNorm adds to the variance where no eps is given.
_DEFAULT_EPS = 1e-5


def _scale_text(text: str, layer: Layer, name: str) -> str:
    """The Scale after the layer, in place, under the layer's own phase rules."""
    top = quoted(layer.tops[0])
    rules = [text[rule.start : rule.end] for rule in rule_fields(layer.message)]
    fields = [
        f"name: {quoted(name)}",
        f"type: {quoted(types.SCALE.name)}",
        f"bottom: {top}",
        f"top: {top}",
        *rules,
        f"{types.SCALE.message} {{ bias_term: true }}",
    ]
    return f"layer {{ {' '.join(fields)} }}"


OPERATIONS = (
    Operation(
        "split-batch-norm",
        split_batch_norm,
        (
            Form(
                "split-batch-norm[:LAYER]",
                "A BatchNorm with scale and bias (NVCaffe) or a BN (PSPNet, SegNet) into the "
                "BatchNorm and Scale of Caffe 1.0; without LAYER every one.",
            ),
        ),
        "split-batch-norm",
    ),
)
