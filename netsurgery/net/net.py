"""A net as Caffe sees it: layers with bottoms and tops, over a prototxt.

This is a read-only view; nothing here changes the text. A layer's own parameters stay in its
message and are read by whoever understands them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import zip_longest
from pathlib import Path

from netsurgery.errors import NetError, PrototxtError
from netsurgery.formats.prototxt import Prototxt, quoted
from netsurgery.formats.textformat import Message, Scalar
from netsurgery.io.nearest import did_you_mean
from netsurgery.io.wording import argument, counted, plural
from netsurgery.net import types
from netsurgery.net.blob_index import BlobIndex
from netsurgery.net.layer import MAX_DIM, Layer, Shape, read_layer
from netsurgery.net.shared_params import Sharing
from netsurgery.net.state import TEST, NetState

__all__ = ["MAX_DIM", "Layer", "NetDefinition", "NetInput", "Shape"]

#: Errors about one net that get a hint; each compares with all names.
_HINTS = 50


@dataclass(frozen=True, eq=False)
class NetInput:
    """One input blob; ``dims`` are the values in the text, in order, that an edit may replace.

    ``shape`` is None where the net declares none.

    >>> import netsurgery as ns
    >>> ns.Net("prototxt/digits_deploy.prototxt").view.inputs[0].shape
    (1, 1, 32, 32)
    """

    name: str
    shape: Shape | None
    dims: tuple[Scalar, ...] = field(repr=False)


@dataclass(frozen=True, eq=False)
class NetDefinition:
    """A net in one state: `layers` are those that it includes.

    `notes` is what its user should know of how it was read.
    """

    prototxt: Prototxt = field(repr=False)
    name: str
    inputs: tuple[NetInput, ...]
    layers: tuple[Layer, ...]
    state: NetState
    notes: tuple[str, ...] = ()

    @classmethod
    def read(cls, path: Path | str, state: NetState = TEST) -> NetDefinition:
        """Read a prototxt of any generation ("-": from standard input) as a net.

        One of V0 is upgraded first, and a note says so; V1 is read as it is. Raises FormatError,
        PrototxtError or NetError.
        """
        prototxt = Prototxt.read(path)
        if prototxt.generation != "V0":
            return cls.of(prototxt, state)
        # Most nets are of today.
        from netsurgery.formats.upgrade.text import plan_upgrade

        new = replace(plan_upgrade(prototxt).result, bom=prototxt.bom)
        net = cls.of(new, state)
        note = "the net is of Caffe's first generation (V0): it was upgraded first, as by `upgrade`"
        return replace(net, notes=(note, *net.notes))

    @classmethod
    def of(cls, prototxt: Prototxt, state: NetState = TEST, *, wired: bool = True) -> NetDefinition:
        """The net that `prototxt` describes in `state`, the text's own ``state { }`` merged in.

        wired: raise the first of its `wiring_errors`.
        """
        if prototxt.generation == "V0":
            raise prototxt.layers[0].error(
                "found a layer of Caffe's first generation (2013), expected layer { type: "
                '"..." }; `netsurgery upgrade` brings the file up to date'
            )
        state = state.within(prototxt.root)
        layers = tuple(
            # The index is the layer's place in the text, whatever the state leaves out.
            _read_layer(index, message, prototxt.generation)
            for index, message in enumerate(prototxt.layers)
            if state.includes(message)
        )
        inputs, left_out = _inputs(prototxt.root, layers)
        notes = (*left_out, *_of_one_name(layers))
        net = cls(prototxt, prototxt.name, inputs, layers, state, notes)
        for error in net.wiring_errors() if wired else ():
            raise error
        return net

    def layer(self, name: str) -> Layer:
        """The layer of this name. Raises NetError for none or several."""
        matches = self.named(name)
        if len(matches) != 1:
            many = "no layer" if not matches else counted(len(matches), "layer")
            hint = self.stage_hint if matches else self.name_hint(name)
            raise NetError(f"{self.prototxt.path}: {many} named {name!r}{hint}")
        return matches[0]

    def named(self, name: str) -> Sequence[Layer]:
        """The layers of this name, in file order; most often one."""
        return self._named.get(name, ())

    @cached_property
    def _named(self) -> dict[str, list[Layer]]:
        named: dict[str, list[Layer]] = {}
        for layer in self.layers:
            named.setdefault(layer.name, []).append(layer)
        return named

    @cached_property
    def _blobs(self) -> BlobIndex:
        return BlobIndex(self.layers)

    @cached_property
    def sharing(self) -> Sharing:
        """Which layers share params."""
        return Sharing(self.layers)

    @cached_property
    def blobs_elsewhere(self) -> Mapping[str, str]:
        """Blob -> the name of the first layer of another state that reads or makes it."""
        elsewhere: dict[str, str] = {}
        # By identity: layers of two states often bear one name.
        own = {id(layer.message) for layer in self.layers}
        for message in self.prototxt.layers:
            if id(message) not in own:
                for blob in (*message.scalars("bottom"), *message.scalars("top")):
                    elsewhere.setdefault(blob.as_string(), message.string("name"))
        return elsewhere

    def producer(self, layer: Layer, bottom: str) -> Layer | None:
        """The layer that writes `bottom` last before `layer` reads it; None for a net input."""
        return self._blobs.producer(layer.index, bottom)

    def readers(self, layer: Layer, top: str) -> tuple[Layer, ...]:
        """The layers that read `top` as `layer` left it, an in-place writer being the last."""
        return self._blobs.readers(layer.index, top)

    def last_writer(self, blob: str) -> Layer | None:
        """The layer that leaves `blob` as it is in the end; None where no layer writes it."""
        return self._blobs.last_writer(blob)

    def ranked_by(self, blob: str) -> Layer | None:
        """The ArgMax that makes the blob, of the numbers of classes and no scores; else None."""
        writer = self.last_writer(blob)
        return writer if writer is not None and types.is_a(writer, types.ARGMAX) else None

    def at(self, shapes: Mapping[str, Shape] | None) -> NetDefinition:
        """The same net with these shapes of blobs besides those given before."""
        return replace(self, state=self.state.at(shapes))

    @property
    def given_stages(self) -> tuple[str, ...]:
        """The stages of its state that its text does not itself name."""
        own = TEST.within(self.prototxt.root).stages
        return tuple(stage for stage in self.state.stages if stage not in own)

    @cached_property
    def outputs(self) -> tuple[str, ...]:
        """The blobs that no layer reads, in file order."""
        # Bottoms go before tops come: what a layer writes in place is open again.
        # net.cpp keeps them in a std::set, so that pycaffe lists them by name.
        open_blobs: dict[str, None] = {i.name: None for i in self.inputs}
        for layer in self.layers:
            for bottom in layer.bottoms:
                open_blobs.pop(bottom, None)
            open_blobs.update(dict.fromkeys(layer.tops))
        return tuple(open_blobs)

    @cached_property
    def stage_hint(self) -> str:
        """What to add to an error about something that is not there: the stages to try.

        "" where no rule names a stage, or one that is named is given.
        """
        named = self.state.untried(self.prototxt.layers)
        if not named:
            return ""
        stages = f"{plural('stage', len(named))} {', '.join(map(repr, named))}"
        return (
            f"; its layers have rules for the {stages}: try "
            f"{argument(f'--stage {named[0]}')}, or state "
            f"{{ stage: {quoted(named[0])} }} in the prototxt"
        )

    @cached_property
    def excluded(self) -> tuple[Layer, ...]:
        """The layers that its state leaves out, in file order."""
        return tuple(
            _read_layer(index, message, self.prototxt.generation)
            for index, message in enumerate(self.prototxt.layers)
            if not self.state.includes(message)
        )

    @cached_property
    def deploy_hint(self) -> str:
        """What to add to an error about a layer of training: the deploy net beside this one."""
        from netsurgery.net.deploy_net import deploy_hint

        return deploy_hint(self.prototxt.path)

    def hint(self, brings: Callable[[Layer], bool]) -> str:
        """The end of an error about something missing: which state has a layer that `brings` it.

        The stages to try, and the phase or level by which the first of these layers is included;
        "" where no other state has any.
        """
        return self._hint_by(filter(brings, self.excluded))

    def _hint_by(self, layers: Iterable[Layer]) -> str:
        for layer in layers:
            for option, what, state in self.state.others(layer.message):
                if state.includes(layer.message):
                    where = f"layer {layer.name!r} in line {layer.message.error('').line}"
                    return f"{self.stage_hint}; {where} is for {what}: try {option}"
        return self.stage_hint

    def blob_hint(self, blob: str) -> str:
        """What to add to an error about a blob that is not there: see `hint`; or a blob like it."""
        hint = self._hint_by(self._excluded_by[0].get(blob, ()))
        return hint or did_you_mean(blob, self.blob_names)

    @cached_property
    def blob_names(self) -> dict[str, None]:
        """The names of all blobs, the inputs first, in file order."""
        tops = (top for layer in self.layers for top in layer.tops)
        return dict.fromkeys((*(declared.name for declared in self.inputs), *tops))

    def name_hint(self, name: str) -> str:
        """What to add to an error about a layer that is not there: see `hint`; or one like it."""
        hint = self._hint_by(self._excluded_by[1].get(name, ()))
        return hint or did_you_mean(name, self._named, "layers")

    @cached_property
    def _excluded_by(self) -> tuple[dict[str, list[Layer]], dict[str, list[Layer]]]:
        """The layers that its state leaves out, by their tops and by their names."""
        tops: dict[str, list[Layer]] = {}
        names: dict[str, list[Layer]] = {}
        for layer in self.excluded:
            names.setdefault(layer.name, []).append(layer)
            for top in dict.fromkeys(layer.tops):
                tops.setdefault(top, []).append(layer)
        return tops, names

    def wiring_errors(self) -> Iterator[PrototxtError]:
        """Every bottom that is made by no layer before it, and every top that is made twice.

        Or that no layer of the text is for the net's state.
        """
        if self.prototxt.layers and not self.layers:
            what = f"no layer of the net is for the {self.state.phase} phase, from this one on"
            yield self.prototxt.layers[0].error(what + self.hint(lambda _: True))
        # An Input layer's tops are there from that layer on, declared inputs from the start.
        own = {top for layer in self.layers if types.is_input(layer) for top in layer.tops}
        available = {i.name for i in self.inputs if i.name not in own}
        # upgrade_proto.cpp puts the Input layer that it makes of these before all others.
        available.update(i.name for i in _declared_inputs(self.prototxt.root) if i.dims)
        hints: dict[str, str] = {}
        for layer in self.layers:
            for bottom in layer.bottoms:
                if bottom not in available:
                    what = f"its bottom {bottom!r} is made by no layer before it"
                    if bottom not in hints:
                        # A blob that many layers read is looked for once.
                        hints[bottom] = "" if len(hints) >= _HINTS else self.blob_hint(bottom)
                    yield layer.error(what + hints[bottom])
            for top in layer.new_tops:
                if top in available:
                    yield layer.error(
                        f"its top {top!r} is made by a layer before it too{self.stage_hint}"
                    )
            available.update(layer.tops)

    def refused_in_place(self) -> Iterator[PrototxtError]:
        """Every top that is a bottom of its layer, where Caffe does not take that for in place.

        Caffe takes a bottom of the top's own number, which no layer reads besides.
        """
        for layer in self.layers:
            for top, bottom in zip_longest(layer.tops, layer.bottoms):
                if top not in layer.bottoms:
                    continue
                maker = self.producer(layer, top)
                readers = self.readers(maker, top) if maker else self._blobs.readers(-1, top)
                # insert_splits.cpp calls each reader's copy otherwise, and the top stays as it is.
                if top != bottom or layer.bottoms.count(top) > 1 or readers != (layer,):
                    yield layer.error(
                        f"its top {top!r} is its bottom too, and not in place: Caffe takes that of "
                        "the same number, if nothing else reads it; give the top a name of its own"
                    )


def _read_layer(index: int, message: Message, generation: str) -> Layer:
    if generation == "V2" and not message.string("type"):
        raise message.error(f"layer {message.string('name')!r} has no type")
    return read_layer(index, message, generation)


def _of_one_name(layers: Sequence[Layer]) -> Iterator[str]:
    """What there is to say of layers that bear one name, in Caffe's eyes a net like any other."""
    named: dict[str, list[Layer]] = {}
    for layer in layers:
        named.setdefault(layer.name, []).append(layer)
    for name, several in named.items():
        if name and len(several) > 1:
            places = ", ".join(str(layer.message.error("").line) for layer in several)
            yield (
                f"the layers in lines {places} are all named {name!r}: Caffe loads params by name, "
                "into the first of them"
            )


def _inputs(
    root: Message, layers: tuple[Layer, ...]
) -> tuple[tuple[NetInput, ...], tuple[str, ...]]:
    """The net's inputs, and what there is to say of those that Caffe does not read."""
    makers = {top: layer for layer in layers for top in layer.new_tops}
    declared = tuple(_declared_inputs(root))
    idle = [blob.name for blob in declared if not blob.dims and blob.name in makers]
    notes = tuple(
        f"input {name!r} has no dims and is left out, as by Caffe: layer {makers[name].name!r} "
        "makes it"
        for name in idle
    )
    read = [blob for blob in declared if blob.dims or blob.name not in idle]
    return (*read, *_input_layers(layers)), notes


def _input_layers(layers: tuple[Layer, ...]) -> Iterator[NetInput]:
    for layer in layers:
        if not types.is_input(layer):
            continue
        shapes = layer.param("input_param").messages("shape")
        if len(shapes) not in (0, 1, len(layer.tops)):
            raise layer.error(
                f"{counted(len(shapes), 'shape')} for {counted(len(layer.tops), 'top')}"
            )
        for i, top in enumerate(layer.tops):
            if shapes:
                # input_layer.cpp: a single shape is that of all tops.
                yield _input(top, tuple(shapes[i if len(shapes) > 1 else 0].scalars("dim")))
            else:
                yield NetInput(top, None, ())


def _declared_inputs(root: Message) -> Iterator[NetInput]:
    """``input: "data"`` with four ``input_dim`` or one ``input_shape`` each."""
    names = [scalar.as_string() for scalar in root.scalars("input")]
    shapes, dims = root.messages("input_shape"), root.scalars("input_dim")
    if shapes and dims:
        raise shapes[0].error("input_shape and input_dim are both given; Caffe takes one of them")
    if shapes and len(shapes) != len(names):
        raise shapes[0].error(f"{len(shapes)} input_shape for {counted(len(names), 'input')}")
    if dims and len(dims) != 4 * len(names):
        raise dims[0].error(
            f"{len(dims)} input_dim for {counted(len(names), 'input')}; each takes four"
        )
    for i, name in enumerate(names):
        own = shapes[i].scalars("dim") if shapes else dims[4 * i : 4 * i + 4]
        yield _input(name, tuple(own)) if own else NetInput(name, None, ())


def _input(name: str, dims: tuple[Scalar, ...]) -> NetInput:
    return NetInput(name, tuple(dim.as_int(0, MAX_DIM) for dim in dims), dims)
