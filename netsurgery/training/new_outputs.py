"""Another number of classes: the layer that makes the scores begins from scratch, or grows."""

from __future__ import annotations

from dataclasses import dataclass

from netsurgery.errors import SurgeryError
from netsurgery.formats.prototxt import insert_field, quoted
from netsurgery.formats.textformat import Edits
from netsurgery.io.wording import argument, counted, with_article
from netsurgery.net import types
from netsurgery.net.layer import Layer
from netsurgery.net.net import NetDefinition
from netsurgery.net.types.record import Channels

__all__ = [
    "Classifier",
    "check_growth",
    "find_classifier",
    "give_outputs",
    "has_random_filler",
]

#: The filler of a new layer that has none: Caffe's own default is 0 for all weights.
_FILLER = 'weight_filler { type: "xavier" }'


@dataclass(frozen=True)
class Classifier:
    """The layer that makes the channels of the scores, and how many these are.

    behind: the layers between it and the scores that have params for each channel.
    """

    layer: Layer
    outputs: int
    behind: tuple[Layer, ...] = ()


def find_classifier(net: NetDefinition, score: str) -> Classifier:
    """The last layer before `score` that decides how many channels it has.

    Raises SurgeryError where that is none with ``num_output``.
    """
    maker, behind = net.last_writer(score), list[Layer]()
    while maker is not None and len(maker.bottoms) == 1 and _passes_channels(maker):
        behind += [maker] if types.params(maker) else []
        maker = net.producer(maker, maker.bottoms[0])
    message = maker.message.message(types.message_of(maker) or "") if maker else None
    outputs = message.scalar("num_output") if message else None
    if maker is None or outputs is None:
        what = f"layer {maker.name!r} ({maker.type})" if maker else "an input"
        raise SurgeryError(
            f"{net.prototxt.path}: the scores {score!r} come of {what}, expected a "
            f"{types.CONVOLUTION.name} or {types.INNER_PRODUCT.name}, which may get others; a net "
            "that has the classes and the background as its outputs is trained as it is"
        )
    return Classifier(maker, outputs.as_int(), tuple(behind))


def _passes_channels(layer: Layer) -> bool:
    return types.channels(layer) in (Channels.ALIKE, Channels.BY_CHANNEL, Channels.ALONG)


def give_outputs(edits: Edits, classifier: Classifier, outputs: int, name: str) -> None:
    """Write `outputs` and the `name` into the layer, and a filler for its weight.

    Raises SurgeryError for a layer that shares its params, which are of another number, and for
    one behind it that has params of that number.
    """
    layer = classifier.layer
    if any(layer.param_names):
        raise layer.error("it shares its params with another layer, so its outputs cannot change")
    for scale in classifier.behind:
        raise scale.error(
            f"it has params for each of {counted(classifier.outputs, 'output')} of {layer.name!r}, "
            "so these cannot change"
        )
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
    if not has_random_filler(layer):
        for field in message.all("weight_filler"):
            edits.replace(field.start, field.end, _FILLER)
        if not message.all("weight_filler"):
            insert_field(edits, number, _FILLER)


def check_growth(classifier: Classifier, own_outputs: int) -> None:
    """Raise SurgeryError for a layer to which none can be added behind so many of its own."""
    layer = classifier.layer
    if classifier.outputs != own_outputs:
        raise layer.error(
            f"it has {counted(classifier.outputs, 'output')}, the last classifier {own_outputs}: "
            "which of its classes are those is not known; leave out "
            f"{argument('--keep-outputs')} or {argument('--keep-auxiliary')}"
        )
    if not types.is_a(layer, types.CONVOLUTION):
        expected = f"{with_article(types.CONVOLUTION.name)} or {types.INNER_PRODUCT.name}"
        raise layer.error(
            f"outputs cannot be added to {with_article(layer.type)}, expected {expected}; "
            f"leave out {argument('--keep-outputs')}"
        )
    groups = layer.param("convolution_param").integer("group", 1)
    if groups != 1:
        raise layer.error(
            f"its outputs are in {counted(groups, 'group')}, each of its own inputs, so none can "
            f"be added behind them; leave out {argument('--keep-outputs')}"
        )


def has_random_filler(layer: Layer) -> bool:
    """Whether the layer's weight has a filler that does not make all outputs alike."""
    filler = layer.param(types.message_of(layer) or "").message("weight_filler")
    return filler is not None and filler.string("type", "constant") != "constant"
