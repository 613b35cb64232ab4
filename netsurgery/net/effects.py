"""What a net's layers do outside it when Caffe loads or runs them, and a net without that.

A prototxt is anybody's text, and Caffe does what it says: an HDF5Output truncates the file that it
names, an ImageData reads what it names, a Python layer imports what it names. What a type does its
record says, what a layer does besides the fields that name files (`types/naming.py`). A type or
a field that is not known may do any of it.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from netsurgery.errors import EffectRefused
from netsurgery.formats.prototxt import Prototxt
from netsurgery.formats.textformat import TextField
from netsurgery.formats.texttree import shortened
from netsurgery.io.wording import argument, counted
from netsurgery.net import types
from netsurgery.net.effect import Effect
from netsurgery.net.inputs import declare_inputs
from netsurgery.net.needed import only_needed, without
from netsurgery.net.net import Layer, NetDefinition
from netsurgery.net.types.naming import ALL, named
from netsurgery.net.types.record import Effects, LayerType, ask

__all__ = ["Reach", "effects_of", "harmless", "option", "permitted", "reach"]

#: How many names a message lists.
_LISTED = 2

_UNKNOWN = "is not known, and may read, write and import"


class Reach(NamedTuple):
    """A layer that reaches out of its net.

    names: the files, folders and modules that its text names; a list so named may name more.
    known: whether its type is, and every field that may name something; else it may do anything.
    """

    layer: Layer
    effects: Effects
    names: tuple[str, ...]
    known: bool

    def beyond(self, allow: Collection[str]) -> bool:
        """Whether it does more than the user allows."""
        return any(effect.value not in allow for effect in self.effects)

    @property
    def does(self) -> str:
        """What it does, in words: ``writes files ('out.h5')``."""
        files = " and ".join(
            effect.value for effect in self.effects if effect is not Effect.IMPORTS
        )
        done = [f"{files} files"] if files else []
        done += ["imports code"] if Effect.IMPORTS in self.effects else []
        what = " and ".join(done) if self.known else _UNKNOWN
        named = ", ".join(shortened(repr(name)) for name in self.names[:_LISTED])
        more = f" and {len(self.names) - _LISTED} more" if len(self.names) > _LISTED else ""
        return what + (f" ({named}{more})" if named else "")


def reach(layer: Layer) -> Reach | None:
    """What the layer does outside its net; None where that is nothing."""
    record = types.of(layer)
    naming = list(named(_read_by(layer, record)))
    effects = {effect for name in naming for effect in name.effects}
    effects.update(ALL if record is None else ask(record.effects, layer))
    if not effects:
        return None
    return Reach(
        layer,
        tuple(effect for effect in Effect if effect in effects),
        tuple(dict.fromkeys(name.value for name in naming)),
        record is not None and all(name.known for name in naming),
    )


def _read_by(layer: Layer, record: LayerType | None) -> list[TextField]:
    """The fields of a layer without the messages of other types, which it does not read."""
    fields = layer.message.fields
    # A type that is not known may read any of them.
    if record is None:
        return fields
    return [
        field for field in fields if field.name == record.message or field.name not in _messages()
    ]


@functools.cache
def _messages() -> frozenset[str | None]:
    return frozenset(record.message for record in types.RECORDS.values())


def effects_of(net: NetDefinition) -> list[Reach]:
    """The layers of the net, in its state, that reach out of it, in file order."""
    return _reaching(net.layers)


def _reaching(layers: Iterable[Layer]) -> list[Reach]:
    return [effects for effects in map(reach, layers) if effects is not None]


def harmless(net: NetDefinition, blobs: Sequence[str], allow: Collection[str]) -> NetDefinition:
    """The net; where layers of it do more than is allowed, only what `blobs` depend on.

    Data layers of known shapes are Input layers then. What is left may still reach out of the net.
    """
    if not any(effects.beyond(allow) for effects in effects_of(net)):
        return net
    # In this order: a data layer stays one where a loss reads its labels.
    return declare_inputs(only_needed(net, blobs))


def permitted(
    net: NetDefinition, allow: Collection[str], types_of_caffe: Collection[str]
) -> Prototxt:
    """The text of the net to give to a Caffe, which knows these types (none: not known which).

    Layers of other states that do more than is allowed are left out of it. Raises EffectRefused
    for one of this state. Caffe itself refuses a type that it does not have.
    """
    read = NetDefinition.of(net.prototxt, net.state, wired=False)
    # An unknown type of V1 is a word of its enum, which a list of names does not have.
    run = types_of_caffe if net.prototxt.generation == "V2" else ()
    wrong = [
        effects
        for effects in effects_of(read)
        if effects.beyond(allow) and (effects.known or not run or effects.layer.type in run)
    ]
    if wrong:
        raise _refusal(wrong, allow)
    idle = [effects.layer.message for effects in _reaching(read.excluded) if effects.beyond(allow)]
    return without(net.prototxt, idle) if idle else net.prototxt


def option(words: Collection[str]) -> str:
    """The option that allows these: ``--allow reads,writes``."""
    allowed = ",".join(effect.value for effect in Effect if effect.value in words)
    return argument(f"--allow {allowed}")


def _refusal(wrong: Sequence[Reach], allow: Collection[str]) -> EffectRefused:
    """The error: the first layer, and the option that allows what all of them do."""
    needed = {effect.value for reach in wrong for effect in reach.effects} | set(allow)
    layer, does = wrong[0].layer, wrong[0].does
    place = layer.message.error("")
    many = (
        f", one of {counted(len(wrong), 'layer')} that reach out of the net"
        if len(wrong) > 1
        else ""
    )
    return EffectRefused(
        f"{place.path}:{place.line}:{place.column}: layer {layer.name!r} ({layer.type}) {does}"
        f"{many}: real Caffe runs such a net only with {option(needed)}"
    )
