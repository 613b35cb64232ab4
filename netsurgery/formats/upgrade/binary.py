"""A binary net of an earlier Caffe, weights and all, written for Caffe 1.0.

The same steps as for a prototxt (`upgrade`), at the protobuf level: all but the weights is
rewritten, the weights are copied as ranges of the old file, so that memory does not grow with them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from netsurgery.errors import CaffemodelError, OutputError
from netsurgery.formats.caffemodel import (
    NET_NAME,
    NET_V1,
    NET_V2,
    TWO_GENERATIONS,
    PartCount,
    open_protobuf,
)
from netsurgery.formats.upgrade.inputs import input_steps, without_shape
from netsurgery.formats.upgrade.layers import SPEC_NUMBERS, V2_NUMBERS, OldLayer, read_old_layer
from netsurgery.formats.upgrade.splices import UpgradeStep, not_in_v0
from netsurgery.formats.upgrade.v0 import fold_padding
from netsurgery.formats.upgrade.v1 import zero_rates
from netsurgery.formats.upgrade.wire_fields import (
    COUNTED,
    JoinedParts,
    last_text,
    part,
    parts,
    plain_step,
)
from netsurgery.io.segments import FileRange, FileSource, Segment
from netsurgery.io.wire import Wire, WireField, WireReader, delimited, packed_varints, tag
from netsurgery.io.wording import counted

__all__ = ["BinaryUpgrade", "Outline", "check_upgraded", "plan_binary_upgrade"]

_INPUT, _INPUT_DIM, _STATE, _DEBUG, _INPUT_SHAPE = 3, 4, 6, 7, 8
#: What upgrade_proto.cpp does not carry over from a net of V0.
_NOT_IN_V0 = {_STATE: "state", _DEBUG: "debug_info"}
_SHAPE_DIM, _INPUT_PARAM_SHAPE = 1, 1
_DIMS = 4
#: What a byte of a packed number takes as one of Python's.
_NUMBER_MEMORY = 20
_ZERO = bytes(4)
_OUTLINED = {key: V2_NUMBERS[key] for key in ("name", "type", "bottom", "top", "blobs")}


@dataclass(frozen=True)
class Outline:
    """What is looked at when a written layer is read back; blobs: the bytes of each message."""

    name: str
    type: str
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    blobs: tuple[int, ...]


@dataclass(frozen=True)
class BinaryUpgrade:
    """The segments of the new file, which copy from the open old one, and what changes.

    generation: "V0", "V1" or "V2", of the old file. changes: empty where it is up to date; the
    segments are the old file then.
    """

    source: FileSource
    generation: str
    segments: tuple[Segment, ...]
    changes: tuple[UpgradeStep, ...]
    layers: tuple[Outline, ...]


class _Net:
    """A net's protobuf fields."""

    def __init__(self, source: FileSource) -> None:
        self.reader = WireReader(source)
        self.fields = self.reader.listed(self.reader.fields(0, source.size))
        for field in self.fields[:1]:
            # A mean's num and a SolverState's iter are numbers in field 1.
            if field.number == NET_NAME and field.wire != Wire.DELIMITED:
                raise self.reader.error("a number where a net has its name; no net", field.start)
        self.old, self.new = self.all(NET_V1), self.all(NET_V2)
        if self.old and self.new:
            second = max(self.old[0].start, self.new[0].start)
            raise self.reader.error(TWO_GENERATIONS, second)
        if not self.old and not self.new:
            raise self.reader.error("holds no layers, so it is not a caffemodel")

    def all(self, number: int) -> list[WireField]:
        return [field for field in self.fields if field.number == number]

    def texts(self, number: int) -> list[str]:
        return [self.reader.text(field) for field in self.all(number)]

    def integers(self, fields: list[WireField]) -> list[int]:
        """A repeated integer, packed or not."""
        out = []
        for field in fields:
            self.reader.expect(field, Wire.VARINT, Wire.DELIMITED)
            self.reader.claim.add(_NUMBER_MEMORY * (field.end - field.body))
            # A field that is not packed holds one such number, and is read alike.
            at = field.body
            while at < field.end:
                value, at = self.reader.varint(at, field.end)
                out.append(value)
        return out


@dataclass(frozen=True)
class _UpgradedLayer:
    """What becomes of a layer: a new `body`, or none where it is copied (V2) or goes (padding)."""

    body: JoinedParts | None
    changes: tuple[UpgradeStep, ...]
    outline: Outline | None


def plan_binary_upgrade(source: FileSource) -> BinaryUpgrade:
    """The net in `source` in today's dialect (V2, an Input layer).

    Raises CaffemodelError, with the offset, for what is not a net, what no Caffe knows and what
    Caffe's own upgrade would lose.
    """
    net = _Net(source)
    generation, layers = _old_layers(net) if net.old else ("V2", _new_layers(net))
    input_layer, changes = _input_layer(net, generation)
    left_out = {_INPUT, _INPUT_DIM, _INPUT_SHAPE} if net.all(_INPUT) else set()
    if generation == "V0":
        for number in (_STATE, _DEBUG):
            if net.all(number):
                left_out.add(number)
                changes.append(not_in_v0(_NOT_IN_V0[number]))
    steps = [change for layer in layers.values() for change in layer.changes] + changes
    outlines = [layer.outline for layer in layers.values() if layer.outline is not None]
    if input_layer:
        # Where `_written` puts it.
        outlines.insert(0, Outline("input", "Input", (), tuple(net.texts(_INPUT)), ()))
    segments: list[Segment] = [FileRange(source, 0, source.size)]
    if steps:
        segments = _written(net, layers, input_layer, left_out)
    return BinaryUpgrade(source, generation, tuple(segments), tuple(steps), tuple(outlines))


def _written(
    net: _Net, layers: dict[int, _UpgradedLayer], input_layer: bytes, left_out: set[int]
) -> list[Segment]:
    """The net's fields in their order, the Input layer before the first of the layers."""
    out = JoinedParts(net.reader.source)
    for field in net.fields:
        layer = layers.get(field.start)
        if layer is not None:
            out.add(input_layer)
            input_layer = b""  # it goes before the first layer alone
            if layer.body is not None:
                out.message(NET_V2, layer.body)
            elif field.number == NET_V2:
                out.copy(field.start, field.end)
        elif field.number not in left_out:
            out.copy(field.start, field.end)
    return out.done()


def _old_layers(net: _Net) -> tuple[str, dict[int, _UpgradedLayer]]:
    """The generation, and by their places the layers of V1, or of V0 without their paddings."""
    reader, count = net.reader, PartCount(net.reader)
    old = []
    for field in net.old:
        old.append(read_old_layer(reader, field))
        count.add(sum(each.name in COUNTED for each in old[-1].parts), field.start)
    generation = "V1" if all(layer.kind is None for layer in old) else "V0"
    if generation == "V0":
        for layer in old:
            if layer.kind is None:
                raise reader.error("found a layer of V1 among layers of V0", layer.start)
        pads = fold_padding(net.texts(_INPUT), [layer.v0_layer() for layer in old])
        old = [
            layer.padded(pads[index]) if index in pads else layer for index, layer in enumerate(old)
        ]
    transform = any(layer.transforms for layer in old)
    return generation, {layer.start: _converted(layer, transform) for layer in old}


def _converted(layer: OldLayer, transform: bool) -> _UpgradedLayer:
    if layer.kind == "padding":
        step = UpgradeStep(layer.name, "goes into the layers after it", ("layers",), "padding")
        return _UpgradedLayer(None, (step,), None)
    body, changes = layer.upgraded(layer.reader.source, transform)
    old = layer.v0_layer()
    blobs = tuple(each.length for each in layer.parts if each.name == "blobs")
    outline = Outline(layer.name, layer.type or "", old.bottoms, old.tops, blobs)
    return _UpgradedLayer(body, changes, outline)


def _new_layers(net: _Net) -> dict[int, _UpgradedLayer]:
    """The layers of V2; old BatchNorms, and those with NVIDIA's field numbers, are rewritten."""
    layers, count = {}, PartCount(net.reader)
    for field in net.new:
        outline = _outline(net.reader, field)
        count.add(len(outline.bottoms) + len(outline.tops) + len(outline.blobs), field.start)
        fields = net.reader.listed(net.reader.fields(field.body, field.end))
        blobs = {
            each.start: part(net.reader, each, "blobs")
            for each in fields
            if each.number == V2_NUMBERS["blobs"]
        }
        specs = _rates(net.reader, fields) if outline.type == "BatchNorm" else {}
        done = [zero_rates(outline.name)] if specs else []
        done += plain_step(outline.name, blobs.values())
        body = JoinedParts(net.reader.source)
        for each in fields:
            if each.start in blobs:
                body.field(each.number, blobs[each.start])
            elif each.start in specs:
                body.add(delimited(each.number, specs[each.start]))
            else:
                body.copy(each.start, each.end)
        layers[field.start] = _UpgradedLayer(body if done else None, tuple(done), outline)
    return layers


def _rates(reader: WireReader, fields: list[WireField]) -> dict[int, bytes]:
    """The `param` messages of a BatchNorm that lists three, by their places, with rates of 0.

    Empty where nothing changes.
    """
    specs = [field for field in fields if field.number == V2_NUMBERS["param"]]
    rates = {number: _ZERO for key, number in SPEC_NUMBERS.items() if key.endswith("_mult")}
    zero = b"".join(tag(number, Wire.FIXED32) + data for number, data in rates.items())
    # upgrade_proto.cpp sees to layers with three `param { }`, and to no others.
    if len(specs) != 3:
        return {}
    specs_now, changed = {}, False
    for field in specs:
        reader.expect(field, Wire.DELIMITED)
        inside = reader.listed(reader.fields(field.body, field.end))
        # Of a field given twice the last counts, as in protobuf.
        values = {each.number: reader.read(each.body, each.end) for each in inside}
        changed = changed or any(values.get(number) != _ZERO for number in rates)
        rest = [each for each in inside if each.number not in rates]
        specs_now[field.start] = b"".join(reader.read(each.start, each.end) for each in rest) + zero
    return specs_now if changed else {}


def _input_layer(net: _Net, generation: str) -> tuple[bytes, list[UpgradeStep]]:
    """The input fields as an encoded Input layer, b"" for none."""
    names, shapes = net.texts(_INPUT), net.all(_INPUT_SHAPE)
    dims = net.integers(net.all(_INPUT_DIM))
    if not names:
        return b"", []
    at = net.all(_INPUT)[0].start
    # upgrade_proto.cpp copies `input` and `input_dim` of V0, and no input_shape.
    if shapes and generation == "V0":
        raise net.reader.error("input_shape in a V0 net, where Caffe does not read it", at)
    if shapes and len(shapes) < len(names):
        raise net.reader.error(f"{len(shapes)} input_shape for {counted(len(names), 'input')}", at)
    if dims and not shapes and len(dims) < _DIMS * len(names):
        what = f"{len(dims)} input_dim for {counted(len(names), 'input')}; each takes four"
        raise net.reader.error(what, at)
    listed = ", ".join(map(repr, names))
    if not shapes and not dims:
        # A caffemodel that named its inputs alone: upgrade_proto.cpp takes the names out.
        return b"", [without_shape(listed)]
    body = delimited(V2_NUMBERS["name"], b"input") + delimited(V2_NUMBERS["type"], b"Input")
    for name in names:
        body += delimited(V2_NUMBERS["top"], name.encode("utf-8", "surrogateescape"))
    inside = b"".join(
        delimited(_INPUT_PARAM_SHAPE, shape) for shape in _shapes(net, shapes, dims, len(names))
    )
    body += delimited(V2_NUMBERS["input_param"], inside)
    return delimited(NET_V2, body), input_steps(listed, len(names), len(shapes), len(dims))


def _shapes(net: _Net, shapes: list[WireField], dims: list[int], count: int) -> Iterator[bytes]:
    """The first `count` shapes, each an encoded BlobShape."""
    for index in range(count):
        if shapes:
            net.reader.expect(shapes[index], Wire.DELIMITED)
            yield net.reader.read(shapes[index].body, shapes[index].end)  # both are a BlobShape
        else:
            own = dims[_DIMS * index : _DIMS * (index + 1)]
            yield packed_varints(_SHAPE_DIM, tuple(own))


def _outline(reader: WireReader, layer: WireField) -> Outline:
    reader.expect(layer, Wire.DELIMITED)
    known, _ = parts(reader, layer, _OUTLINED)
    texts = {
        key: tuple(each.text for each in known if each.name == key) for key in ("bottom", "top")
    }
    blobs = tuple(each.length for each in known if each.name == "blobs")
    name, kind = last_text(known, "name"), last_text(known, "type")
    return Outline(name, kind, texts["bottom"], texts["top"], blobs)


def check_upgraded(path: Path | str, upgrade: BinaryUpgrade) -> None:
    """Read the written net's structure back and compare it with the plan. Raises OutputError."""
    try:
        with open_protobuf(path) as source:
            reader = WireReader(source)
            fields = reader.fields(0, source.size)
            written = tuple(_outline(reader, each) for each in fields if each.number == NET_V2)
    except CaffemodelError as error:
        raise OutputError(f"what was written cannot be read back: {error}") from error
    if written != upgrade.layers:
        raise OutputError(f"{path}: was written otherwise than planned")
