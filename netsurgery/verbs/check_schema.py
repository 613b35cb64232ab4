"""What the schemas say of a net: fields, values and layer types that only forks have, or no Caffe.

And what is written as an earlier Caffe had it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from netsurgery.formats.generations import layer_type
from netsurgery.formats.prototxt import Prototxt
from netsurgery.formats.schema.index import caffe_fields, forks_with
from netsurgery.formats.schema.problems import Problem, problems
from netsurgery.formats.textformat import Message
from netsurgery.formats.upgrade.text import TextUpgrade
from netsurgery.io.nearest import did_you_mean
from netsurgery.net import types
from netsurgery.net.known_fields import unknown_fields
from netsurgery.net.layer import Layer
from netsurgery.net.net import NetDefinition
from netsurgery.net.types.record import LayerType
from netsurgery.verbs.check_result import Finding

__all__ = ["deprecated_findings", "schema_findings"]

#: Fields of Caffe 1.0 that its own comments call deprecated, and what to write.
_DEPRECATED = {
    ("ConcatParameter", "concat_dim"): "axis",
    ("SliceParameter", "slice_dim"): "axis",
    ("LossParameter", "normalize"): "normalization",
    ("DummyDataParameter", "num"): "shape",
    ("DummyDataParameter", "channels"): "shape",
    ("DummyDataParameter", "height"): "shape",
    ("DummyDataParameter", "width"): "shape",
}


def schema_findings(text: Prototxt, net: NetDefinition | None) -> Iterator[Finding]:
    """Every field and value that is not Caffe 1.0's, and every type of layer.

    A field of a fork whose meaning is known here is a note, of another fork's a warning.
    """
    # The layers of a V0 net are those of its upgraded text, at other places.
    known = {} if net is None or net.prototxt is not text else _known(net)
    for problem in problems(text.root):
        layer = _layer_at(text, problem.at)
        if layer is not None and problem.forks and _is_of_type(problem, layer, text.generation):
            continue
        level = "warning" if problem.forks else "error"
        unknown = known.get(layer)
        # Of a type without a record no field's meaning is known.
        inside = unknown is None or any(start <= problem.at < end for start, end in unknown)
        if problem.forks and not inside:
            level = "note"
        name = None if layer is None else layer.string("name")
        yield Finding.of("schema", level, problem.error, name)
    yield from _types(text)


def _is_of_type(problem: Problem, layer: Message, generation: str) -> bool:
    """Whether it is the message of a type that Caffe 1.0 does not have: the type says it all."""
    kind = layer_type(layer, generation)
    record = _record(layer, kind)
    own = [record.message] if record is not None else _params_of(kind)
    return problem.path.rpartition(".")[2] in own


def _record(message: Message, kind: str) -> LayerType | None:
    """What is known of the type of a layer, of whichever phase."""
    return types.of(Layer(0, "", kind, (), (), message))


def _known(net: NetDefinition) -> dict[Message | None, list[tuple[int, int]]]:
    """Each layer whose type has a record -> where the fields are whose meaning is not known."""
    return {
        layer.message: [(field.start, field.end) for field in unknown_fields(layer)]
        for layer in net.layers
        if types.of(layer) is not None
    }


def _layer_at(text: Prototxt, at: int) -> Message | None:
    return next((layer for layer in text.layers if layer.start <= at < layer.end), None)


def _types(text: Prototxt) -> Iterator[Finding]:
    """Layers of a type that Caffe 1.0 does not have."""
    for message in text.layers:
        kind = layer_type(message, text.generation)
        record = _record(message, kind)
        # A layer without a type is an error of structure, which `check` reports.
        if not kind or (record is not None and record.origin == types.STOCK):
            continue
        name, place = message.string("name"), f"layer {message.string('name')!r}: "
        level, who = "warning", ""
        what = f"Caffe 1.0 has no layer type {kind!r}"
        if record is not None:
            level, who = "note", f"; {record.origin} has it"
            own = types.record(kind)
            if own is not None and own.origin == types.STOCK:
                what, who = f"by its fields it is {record.origin}'s {kind}, not Caffe 1.0's", ""
        else:
            forks = [
                fork for field in _params_of(kind) for fork in forks_with("LayerParameter", field)
            ]
            # Records of types that share a name add the fork, as in BN (SegNet).
            hint = did_you_mean(kind, [known.partition(" (")[0] for known in types.RECORDS])
            if forks:
                who = f"; {forks[0]} has it, and what it does is not known here"
            # A name one slip from a known one is a mistake; another may be some fork's.
            elif hint:
                level, who = "error", hint
            else:
                who = ", nor has any fork that is known here"
        yield Finding.of(
            "schema",
            level,
            message.error(f"{place}{what}{who}"),
            name,
        )


def _params_of(kind: str) -> list[str]:
    """The fields that would hold the parameters of a type: ROIPooling's roi_pooling_param."""
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z][a-z0-9]*|[a-z0-9]+", kind)
    # Caffe's names follow no rule: PReLU has prelu_param, ROIPooling of a fork roi_pooling_param.
    return [f"{'_'.join(words).lower()}_param", f"{kind.lower()}_param"]


def deprecated_findings(text: Prototxt, upgrade: TextUpgrade) -> Iterator[Finding]:
    """What is written as an earlier Caffe had it, and what rewrites it."""
    for change in upgrade.changes:
        yield Finding(
            "deprecated",
            "note",
            f"{change} (`netsurgery upgrade`)",
            change.layer,
        )
    yield from _fields(text, text.root, "NetParameter")


def _fields(text: Prototxt, message: Message, name: str) -> Iterator[Finding]:
    kinds = caffe_fields(name)
    for field in message.fields:
        new = _DEPRECATED.get((name, field.name))
        if new is not None:
            what = f"{field.name} is deprecated; write {new}"
            error = text.root.source.error(what, field.start)
            layer = _layer_at(text, field.start)
            own = None if layer is None else layer.string("name")
            yield Finding.of("deprecated", "note", error, own)
        if isinstance(field.value, Message) and kinds.get(field.name):
            yield from _fields(text, field.value, kinds[field.name])
