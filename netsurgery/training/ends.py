"""Where a net ends: the scores that a loss is put on, and the layers behind them.

A net of training says it itself, by its losses; one that is in use ends with the probabilities
that a softmax makes of its scores. What is behind the scores, or for something else than them,
goes: the losses, accuracies and softmaxes, and the data's labels with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from netsurgery.errors import SurgeryError
from netsurgery.formats.prototxt import remove_field
from netsurgery.formats.textformat import Edits
from netsurgery.io.terminal import joined
from netsurgery.net import types
from netsurgery.net.layer import Layer
from netsurgery.net.needed import needed
from netsurgery.net.net import NetDefinition
from netsurgery.net.state import rule_fields
from netsurgery.net.types.training import (
    ACCURACY,
    INFOGAIN_LOSS,
    MULTINOMIAL_LOSS,
    SOFTMAX_LOSS,
)
from netsurgery.surgery.edit.layer_text import remove_layer

__all__ = ["Ends", "Score", "find_ends", "is_loss", "only_main", "without_ends"]

#: The losses that a softmax over classes is trained with.
_OF_CLASSES = (INFOGAIN_LOSS, MULTINOMIAL_LOSS, SOFTMAX_LOSS)


@dataclass(frozen=True)
class Score:
    """A blob of scores, one channel a class, and the loss on it.

    loss: the name of the loss layer. weight: how much the loss counts.
    """

    blob: str
    loss: str
    weight: float = 1.0


@dataclass(frozen=True)
class Ends:
    """The scores of a net, the main ones last.

    softmax: (name, top) of the layer that makes probabilities of the main scores.
    layers: those that the scores depend on, its inputs among them. notes: what else the net had.
    """

    scores: tuple[Score, ...]
    softmax: tuple[str, str]
    layers: tuple[Layer, ...]
    notes: tuple[str, ...] = ()


def find_ends(net: NetDefinition, *, keep_auxiliary: bool) -> Ends:
    """The scores of `net`, which is in the state that it is trained in.

    keep_auxiliary: train the classifiers on the way as well, if the net has any.
    Raises SurgeryError for a net without scores, or with several and nothing to distinguish them.
    """
    losses = [layer for layer in net.layers if is_loss(layer)]
    of_classes = [layer for layer in losses if types.of(layer) in _OF_CLASSES]
    if losses and not of_classes:
        kinds = joined([f"{layer.name!r} ({layer.type})" for layer in losses])
        raise SurgeryError(
            f"{net.prototxt.path}: found the loss {kinds}, expected one over classes, such as "
            f"{SOFTMAX_LOSS.name}"
        )
    notes = [f"loss {layer.name!r} is left out" for layer in losses if layer not in of_classes]
    if of_classes:
        scores, softmax = _of_losses(net, of_classes), ("prob", "prob")
        if len(scores) > 1 and not keep_auxiliary:
            names = joined([repr(score.loss) for score in scores[:-1]])
            notes.append(f"loss {names} on the way is left out, with the layers for it alone")
            scores = scores[-1:]
    else:
        scores, softmax, left_out = _of_outputs(net)
        notes += left_out
    layers = _scored_layers(net, scores)
    return Ends(tuple(scores), softmax, tuple(layers), tuple(notes))


def is_loss(layer: Layer) -> bool:
    """Whether the layer computes a loss, over classes or another."""
    record = types.of(layer)
    if record is None or record is ACCURACY:
        return False
    return record.training and record.tops != (0, 0)  # HDF5Output, which only writes


def _of_losses(net: NetDefinition, losses: Sequence[Layer]) -> list[Score]:
    scores = []
    for layer in losses:
        weights = layer.message.scalars("loss_weight")  # one a top; the loss is the first
        blob = _behind_softmax(net, layer, layer.bottoms[0])[0]
        scores.append(Score(blob, layer.name, weights[0].as_float() if weights else 1.0))
    return scores


def _behind_softmax(
    net: NetDefinition, reader: Layer | None, blob: str
) -> tuple[str, Layer | None]:
    """The scores that the blob is the probabilities or the best class of, and its softmax."""
    softmax = None
    maker = net.producer(reader, blob) if reader else net.last_writer(blob)
    while maker is not None and (
        types.is_a(maker, types.SOFTMAX) or types.is_a(maker, types.ARGMAX)
    ):
        softmax = maker if types.is_a(maker, types.SOFTMAX) else softmax
        blob = maker.bottoms[0]
        maker = net.producer(maker, blob)
    return blob, softmax


def _of_outputs(net: NetDefinition) -> tuple[list[Score], tuple[str, str], list[str]]:
    """The scores of a net without losses, its softmax, and what there is to say of the rest."""
    scores = {}
    for output in net.outputs:
        maker = net.last_writer(output)
        if maker is not None and maker.bottoms:
            scores[output] = _behind_softmax(net, None, output)
    by_softmax = {output: each for output, each in scores.items() if each[1] is not None}
    chosen = by_softmax or scores
    if len({blob for blob, _ in chosen.values()}) != 1:
        what = joined([repr(output) for output in chosen]) or "none"
        raise SurgeryError(
            f"{net.prototxt.path}: found the outputs {what}, expected one with scores or "
            "probabilities of classes; remove the layers of the others from the prototxt"
        )
    blob, softmax = next(iter(chosen.values()))
    others = [output for output in scores if output not in chosen]
    notes = [f"output {joined([repr(each) for each in others])} is left out"] if others else []
    names = ("prob", "prob") if softmax is None else (softmax.name, softmax.tops[0])
    return [Score(blob, "loss")], names, notes


def only_main(net: NetDefinition, ends: Ends) -> Ends:
    """The ends of `net`, which has nothing behind its scores, with the main scores alone."""
    scores = ends.scores[-1:]
    return replace(ends, scores=scores, layers=tuple(_scored_layers(net, scores)))


def _scored_layers(net: NetDefinition, scores: Sequence[Score]) -> list[Layer]:
    """The layers that the scores depend on, and the inputs of these, in file order."""
    # A softmax in place writes the scores' own blob, behind them.
    ends = [each for each in net.layers if _is_end(net, each)]
    before = NetDefinition(
        net.prototxt, net.name, net.inputs, tuple(x for x in net.layers if x not in ends), net.state
    )
    layers, inputs = needed(before, [score.blob for score in scores])
    sources = [
        layer
        for layer in before.layers
        if types.is_input(layer) and not set(inputs).isdisjoint(layer.tops)
    ]
    return sorted([*sources, *layers], key=lambda layer: layer.index)


def _is_end(net: NetDefinition, layer: Layer) -> bool:
    """Whether the layer is a softmax, or picks classes, and nothing but ends is behind it."""
    if not (types.is_a(layer, types.SOFTMAX) or types.is_a(layer, types.ARGMAX)):
        return False
    readers = [reader for top in layer.tops for reader in net.readers(layer, top)]
    return all(
        getattr(types.of(reader), "training", False) or _is_end(net, reader) for reader in readers
    )


def without_ends(net: NetDefinition, ends: Ends) -> str:
    """The text of the net with nothing behind the scores, nor of other states, nor rules for any.

    What it includes now is all that there is, so it is the same net in every state.
    """
    layers, edits = set(ends.layers), net.prototxt.edits()
    read = {bottom for layer in ends.layers for bottom in layer.bottoms}
    read |= {score.blob for score in ends.scores}
    for layer in (*net.layers, *net.excluded):
        field = net.prototxt.field_of(layer.message)
        if field.in_list:
            raise layer.error("the layers are in a list; write `layer { ... }` each")
        if layer not in layers:
            remove_layer(edits, net, layer)
            continue
        for rule in rule_fields(layer.message):
            remove_field(edits, rule)
        if types.is_input(layer) and not read.issuperset(layer.tops):
            _keep_tops(edits, layer, [top for top in layer.tops if top in read])
    for field in net.prototxt.root.all("state"):
        remove_field(edits, field)
    return edits.apply()


def _keep_tops(edits: Edits, layer: Layer, tops: Sequence[str]) -> None:
    """Leave an Input layer those of its tops, and their shapes."""
    shapes = layer.param("input_param").all("shape")
    for number, top in enumerate(layer.message.all("top")):
        if layer.tops[number] not in tops:
            remove_field(edits, top)
            if len(shapes) > 1:
                remove_field(edits, shapes[number])
