"""A net by whose text every input has a shape: what is run, converted or exported begins with it.

A data layer of a known shape becomes an Input layer in its place, in the author's own text; its
labels go, where no layer reads them. Shapes that were given are written where the text declares
them, so that from here on they are the net's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import NamedTuple

from netsurgery.formats.prototxt import Prototxt, insert_field, quoted, remove_field
from netsurgery.formats.textformat import Edits, Message, Scalar, TextField
from netsurgery.io.shape_text import shape_text
from netsurgery.net import types
from netsurgery.net.net import Layer, NetDefinition, NetInput, Shape
from netsurgery.net.shapes import Shapes, infer
from netsurgery.net.types.record import MANY, InputSource

__all__ = ["assume_input", "declare_inputs", "split_shapes", "why_no_input", "with_own_shapes"]


def declare_inputs(net: NetDefinition) -> NetDefinition:
    """`net` with Input layers for its data layers, and with the shapes given written out.

    The net itself where there is nothing to do. Its notes say what was done, and why a data layer
    stays: its shape is not known, or layers read its labels. A net of V1, which has no Input
    layers, is upgraded if it needs one. Raises what `infer` raises.
    """
    data, specified = _data_layers(net), dict(net.state.shapes)
    if not data and not specified:
        return net
    shapes = infer(net)
    plans = [_planned(net, shapes, layer) for layer in data]
    if not any(plan.tops for plan in plans) and not specified:
        notes = [plan.note for plan in plans if plan.note]
        return replace(net, notes=(*net.notes, *notes)) if notes else net
    if net.prototxt.generation == "V1" and any(plan.tops for plan in plans):
        # From the start: the plans are of the old text's layers.
        return declare_inputs(_upgraded(net))
    edits = net.prototxt.edits()
    written: set[str] = set()
    for plan in plans:
        written |= _replace_layer(edits, plan) if plan.tops else set()
    for layer in [layer for plan in plans for layer in plan.removed]:
        _remove_layer(edits, net, layer)
    written |= _write_dims(edits, net, specified)
    notes = [note for plan in plans for note in (*plan.notes(), *_of_other_states(net, plan))]
    return _edited(net, edits.apply(), written, notes)


def why_no_input(net: NetDefinition, *, fed: bool = True) -> str:
    """What to add to an error about inputs that are not there: which layers are in their place.

    Data layers, and why they make none; and where the net has to be `fed`, those that fill their
    blobs by themselves. "" for a net without them.
    """
    data = _data_layers(net)
    shapes = infer(net) if data else Shapes()
    for layer in data:
        why = shapes.unknown.get(layer.tops[0], "") or _planned(net, shapes, layer).note
        if why:
            return f"; {why}"
    for layer in net.layers if fed and not net.inputs else ():
        if layer.tops and not layer.bottoms and types.source(layer) is InputSource.CONSTANT:
            return (
                f"; layer {layer.name!r} ({layer.type}) fills {layer.tops[0]!r} by itself: write "
                "an Input layer of its shape in its place"
            )
    return ""


def _data_layers(net: NetDefinition) -> list[Layer]:
    """The layers that read data of their own: known to, or of an unknown type without bottoms."""
    return [
        layer
        for layer in net.layers
        if layer.tops
        and not layer.bottoms
        and types.source(layer) in (InputSource.DATA, InputSource.UNKNOWN)
    ]


def split_shapes(
    first: NetDefinition, second: NetDefinition
) -> tuple[NetDefinition, NetDefinition]:
    """Two nets read in one state, each with those of the shapes given that name a blob of its own.

    A shape that names a blob of neither stays with the first, whose `infer` refuses it.
    """
    own, others = with_own_shapes(first), with_own_shapes(second)
    idle = [pair for pair in first.state.shapes if pair not in others.state.shapes]
    return own.at(dict(idle)), others


def assume_input(net: NetDefinition, like: NetDefinition) -> NetDefinition:
    """`net` with its one input of unknown shape assumed to be as large as the one that `like` has.

    The net itself where that is not so on both sides. A note says what is assumed.
    """
    shapes, others = infer(net), infer(like)
    unknown = [blob for blob in _sources(net) if blob in shapes.origins]
    # Labels have a single axis: they are not a picture whose size could be taken.
    known = {b: others.blobs[b] for b in _sources(like) if len(others.blobs.get(b, ())) > 1}
    # With several inputs it would be a guess which is like which.
    if len(unknown) != 1 or len(known) != 1:
        return net
    ((blob, shape),) = known.items()
    note = (
        f"the shape of {unknown[0]!r} is not known; it is taken to be {shape_text(shape)}, as of "
    )
    assumed = net.at({unknown[0]: shape})
    return replace(assumed, notes=(*net.notes, f"{note}{blob!r} in {like.prototxt.path}"))


def _sources(net: NetDefinition) -> list[str]:
    """The net's inputs, and the first top of each layer that makes its numbers itself."""
    tops = [layer.tops[0] for layer in net.layers if layer.tops and not layer.bottoms]
    return list(dict.fromkeys([*(blob.name for blob in net.inputs), *tops]))


def with_own_shapes(net: NetDefinition) -> NetDefinition:
    """The net with those of the shapes given that name a blob of its own."""
    shapes = tuple(pair for pair in net.state.shapes if pair[0] in net.blob_names)
    return replace(net, state=replace(net.state, shapes=shapes))


def _edited(
    net: NetDefinition, text: str, written: set[str], notes: Sequence[str]
) -> NetDefinition:
    old = net.prototxt
    prototxt = Prototxt.parse(text, old.path)
    # The author's text goes along: a diff is against that.
    prototxt = replace(prototxt, bom=old.bom, original=old.original or old.text)
    left = tuple(pair for pair in net.state.shapes if pair[0] not in written)
    edited = NetDefinition.of(prototxt, replace(net.state, shapes=left))
    return replace(edited, notes=(*net.notes, *notes))


def _upgraded(net: NetDefinition) -> NetDefinition:
    from netsurgery.formats.upgrade.text import plan_upgrade

    old = net.prototxt
    new = replace(plan_upgrade(old).result, bom=old.bom, original=old.original or old.text)
    note = "the net is of Caffe's second generation (V1), which has no Input layer: it was upgraded"
    return replace(NetDefinition.of(new, net.state), notes=(*net.notes, note))


class _Plan(NamedTuple):
    """What becomes of a data layer: an Input with `tops` and their shapes, or, without, itself.

    dropped: its tops that no layer reads. removed: the layers that read nothing but those. note:
    why it stays, "" where that needs no word.
    """

    layer: Layer
    tops: Mapping[str, Shape] = MappingProxyType({})
    dropped: tuple[str, ...] = ()
    removed: tuple[Layer, ...] = ()
    note: str = ""

    def notes(self) -> Iterator[str]:
        if not self.tops:
            yield from [self.note] if self.note else []
            return
        shapes = " and ".join(map(shape_text, self.tops.values()))
        note = f"data layer {self.layer.name!r} ({self.layer.type}) becomes an Input of {shapes}"
        if self.dropped:
            note += f", without its {', '.join(map(repr, self.dropped))}"
        prepares = self.layer.param("transform_param").fields
        if prepares:
            fields = ", ".join(dict.fromkeys(field.name for field in prepares))
            note += f"; what its transform_param did ({fields}) is for whoever feeds it"
        yield note
        for layer in self.removed:
            yield f"layer {layer.name!r} ({layer.type}) reads nothing else and is removed"


def _planned(net: NetDefinition, shapes: Shapes, layer: Layer) -> _Plan:
    """The Input that takes the layer's place, if its shape is known and nobody reads labels."""
    readers = {top: net.readers(layer, top) for top in layer.tops}
    counts = types.counts(layer)
    several = counts is None or counts[1][1] >= MANY  # no top is set apart for labels
    labels = () if several else layer.tops[1:]
    idle = {
        top: reading
        for top, reading in readers.items()
        # A Silence makes nothing of what it reads, and goes with it.
        if top in labels or not any(reader.tops for reader in reading)
    }
    removed = []
    for top, reading in idle.items():
        for reader in reading:
            if reader.tops or not set(reader.bottoms) <= set(idle):
                what = f"layer {reader.name!r} ({reader.type}) reads its top {top!r}"
                return _Plan(layer, note=f"data layer {layer.name!r} stays: {what}")
            removed.append(reader)
    read = [top for top in layer.tops if top not in idle]
    known = {top: shapes.blobs[top] for top in read if top in shapes.blobs}
    if not read or len(known) < len(read):
        lacks = next((top for top in read if top not in known), "")
        why = shapes.unknown.get(lacks, "")
        return _Plan(layer, note=f"data layer {layer.name!r} stays: {why}" if known else "")
    return _Plan(layer, known, tuple(idle), tuple(dict.fromkeys(removed)))


def _of_other_states(net: NetDefinition, plan: _Plan) -> Iterator[str]:
    """What there is to say of layers that another state includes, and that read dropped labels."""
    for message in net.prototxt.layers:
        read = [bottom.as_string() for bottom in message.scalars("bottom")]
        lost = [top for top in plan.dropped if top in read]
        if plan.tops and lost and not net.state.includes(message):
            name, line = message.string("name"), message.error("").line
            yield f"layer {name!r} in line {line}, which another state includes, reads {lost[0]!r}"


def _replace_layer(edits: Edits, plan: _Plan) -> set[str]:
    """Write the Input in the data layer's own lines; the blobs that are declared so."""
    message = plan.layer.message
    kind = message.single("type")
    if kind is None or not isinstance(kind.value, Scalar):
        return set()
    edits.replace(kind.value.start, kind.value.end, quoted(types.INPUT.name, kind.value))
    _keep_tops(edits, message, plan)
    shapes = " ".join(_shape("shape", shape) for shape in plan.tops.values())
    input_param = f"input_param {{ {shapes} }}"
    own = message.single(types.message_of(plan.layer) or "")
    if own is None:
        insert_field(edits, kind, input_param)
    else:
        edits.replace(own.start, own.end, input_param)
    for element in message.fields:
        # An Input reads none of them, and a mean_file left behind would count as a file it reads.
        if element.name.endswith("_param") and element is not own:
            remove_field(edits, element)
    return set(plan.tops)


def _keep_tops(edits: Edits, message: Message, plan: _Plan) -> None:
    tops = [element for element in message.all("top") if isinstance(element.value, Scalar)]
    if any(element.in_list for element in tops):
        # No element of a list can be taken out by itself: the first list gets all, the others go.
        names = ", ".join(quoted(top) for top in plan.tops)
        for start, end in dict.fromkeys((element.start, element.end) for element in tops):
            edits.replace(start, end, f"top: [{names}]" if (start, end) == _first(tops) else "")
        return
    for element, name in zip(tops, plan.layer.tops, strict=True):
        if name not in plan.tops:
            remove_field(edits, element)


def _first(fields: Sequence[TextField]) -> tuple[int, int]:
    return fields[0].start, fields[0].end


def _remove_layer(edits: Edits, net: NetDefinition, layer: Layer) -> None:
    for element in net.prototxt.root.all("layer"):
        if element.value is layer.message:
            if element.in_list:
                raise layer.error("a layer in a list is to go; write `layer { ... }` each")
            remove_field(edits, element)


def _shape(name: str, shape: Shape) -> str:
    return f"{name} {{ {' '.join(f'dim: {dim}' for dim in shape)} }}"


def _write_dims(edits: Edits, net: NetDefinition, specified: Mapping[str, Shape]) -> set[str]:
    """Write the shapes given for inputs that the text declares; the blobs that are declared so."""
    written: set[str] = set()
    sharing: dict[tuple[int, ...], list[NetInput]] = {}
    for blob in net.inputs:
        if blob.dims:
            sharing.setdefault(tuple(dim.start for dim in blob.dims), []).append(blob)
    for several in sharing.values():
        shapes = {specified.get(blob.name, blob.shape) for blob in several}
        shape = shapes.pop()
        if shapes or shape is None or len(shape) != len(several[0].dims):
            continue  # one shape for several tops, or of other axes: it stays with the state
        for dim, size in zip(several[0].dims, shape, strict=True):
            if dim.as_int() != size:
                edits.replace(dim.start, dim.end, str(size))
        written.update(blob.name for blob in several)
    return written | _write_missing(edits, net, specified)


def _write_missing(edits: Edits, net: NetDefinition, specified: Mapping[str, Shape]) -> set[str]:
    """Declare the shapes given for inputs that have none in the text."""
    written: set[str] = set()
    for layer in net.layers:
        kind = layer.message.single("type")
        # All tops or none: input_layer.cpp takes no shape, one, or one for each top.
        bare = layer.type == types.INPUT.name and not layer.param("input_param").messages("shape")
        if bare and kind is not None and set(layer.tops) <= set(specified):
            shapes = " ".join(_shape("shape", specified[top]) for top in layer.tops)
            own = layer.message.single("input_param")
            if own is None:
                insert_field(edits, kind, f"input_param {{ {shapes} }}")
            else:
                edits.replace(own.start, own.end, f"input_param {{ {shapes} }}")
            written.update(layer.tops)
    root = net.prototxt.root
    names = [scalar.as_string() for scalar in root.scalars("input")]
    if (
        names
        and not (root.all("input_dim") or root.all("input_shape"))
        and set(names) <= set(specified)
    ):
        last = root.all("input")[-1]
        lines = [_shape("input_shape", specified[name]) for name in names]
        for line in lines:  # insertions at one place keep their order
            insert_field(edits, last, line)
        written.update(names)
    return written
