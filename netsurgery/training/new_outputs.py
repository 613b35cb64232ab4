"""Another number of classes: the layer that makes the scores, under a name that no weights have."""

from __future__ import annotations

from dataclasses import dataclass

from netsurgery.errors import SurgeryError
from netsurgery.formats.prototxt import insert_field, quoted
from netsurgery.formats.textformat import Edits, Message
from netsurgery.net import types
from netsurgery.net.layer import Layer
from netsurgery.net.net import NetDefinition
from netsurgery.net.types.record import Channels

__all__ = ["Classifier", "find_classifier", "give_outputs"]

#: The filler of a new layer that has none: Caffe's own default is 0 for all weights.
_FILLER = 'weight_filler { type: "xavier" }'


@dataclass(frozen=True)
class Classifier:
    """The layer that makes the channels of the scores, and how many these are."""

    layer: Layer
    outputs: int


def find_classifier(net: NetDefinition, score: str) -> Classifier:
    """The last layer before `score` that decides how many channels it has.

    Raises SurgeryError where that is none with ``num_output``.
    """
    maker = net.last_writer(score)
    while maker is not None and len(maker.bottoms) == 1 and _passes_channels(maker):
        maker = net.producer(maker, maker.bottoms[0])
    message = maker.message.message(types.message_of(maker) or "") if maker else None
    outputs = message.scalar("num_output") if message else None
    if maker is None or outputs is None:
        what = f"layer {maker.name!r} ({maker.type})" if maker else "an input"
        raise SurgeryError(
            f"{net.prototxt.path}: the scores {score!r} come of {what}, expected a "
            f"{types.CONVOLUTION.name} or {types.INNER_PRODUCT.name}"
        )
    return Classifier(maker, outputs.as_int())


def _passes_channels(layer: Layer) -> bool:
    return types.channels(layer) in (Channels.ALIKE, Channels.BY_CHANNEL, Channels.ALONG)


def give_outputs(edits: Edits, classifier: Classifier, outputs: int, name: str) -> None:
    """Write `outputs` and the new `name` into the layer, and a filler for its weight.

    Raises SurgeryError for a layer that shares its params, which are of another number.
    """
    layer = classifier.layer
    if any(layer.param_names):
        raise layer.error("it shares its params with another layer, so its outputs cannot change")
    own, message = (
        layer.message.scalar("name"),
        layer.message.message(types.message_of(layer) or ""),
    )
    assert own is not None
    assert message is not None
    edits.replace(own.start, own.end, quoted(name, own))
    number = message.single("num_output")
    assert number is not None
    edits.replace(number.value.start, number.value.end, str(outputs))
    if not _is_random(message):
        for field in message.all("weight_filler"):
            edits.replace(field.start, field.end, _FILLER)
        if not message.all("weight_filler"):
            insert_field(edits, number, _FILLER)


def _is_random(message: Message) -> bool:
    """Whether the weight has a filler that is not a constant."""
    filler = message.message("weight_filler")
    return filler is not None and filler.string("type", "constant") != "constant"
