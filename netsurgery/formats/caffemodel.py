"""What is in a caffemodel: its layers and their param blobs, found without reading the weights.

A caffemodel is a NetParameter. Its layers are field 100 (LayerParameter, "V2" here) or, until
2015, field 2 (V1LayerParameter, whose type is a number); each is read, and written, in its own
dialect. Files of Caffe's first year, where a V1 layer wraps another, are refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from netsurgery.errors import CaffemodelError
from netsurgery.formats.blob import Span, StoredBlob, read_blob
from netsurgery.formats.generations import V1_TYPES
from netsurgery.io.closeable import Closeable
from netsurgery.io.memory import Claim
from netsurgery.io.nearest import did_you_mean
from netsurgery.io.reader import Reader, open_source
from netsurgery.io.segments import FileSource
from netsurgery.io.sniff import HEAD, refusal
from netsurgery.io.wire import Wire, WireField, WireReader
from netsurgery.io.wording import counted

__all__ = [
    "FIELDS",
    "Caffemodel",
    "FirstGeneration",
    "LayerFields",
    "ModelLayer",
    "PartCount",
    "Span",
    "StoredBlob",
    "check_parts",
]


class FirstGeneration(CaffemodelError):
    """A caffemodel of V0, which Caffe itself still reads."""


class LayerFields(NamedTuple):
    """Field numbers in one generation's layer message."""

    name: int
    type: int
    bottom: int
    top: int
    blobs: int
    param: int
    convolution_param: int
    inner_product_param: int
    embed_param: int | None


#: generation -> the numbers of a layer's fields. V1's `param` is a list of names, not messages.
FIELDS = {
    "V1": LayerFields(4, 5, 2, 3, 6, 1001, 10, 17, None),
    "V2": LayerFields(1, 2, 3, 4, 7, 6, 106, 117, 137),
}

NET_NAME, NET_V1, NET_V2 = 1, 2, 100
_V0_IN_V1 = 1
#: More layers than this, or more parts of one, are not a net.
_MANY = 100_000
#: The same for the parts of all layers, each of which takes memory, however empty.
_MANY_PARTS = 1_000_000
#: What is kept of a layer, and made of it by whoever reads it; the same of a name in it beside
#: its characters.
_LAYER_MEMORY, _NAME_MEMORY = 1500, 150
_GENERATIONS = {NET_V1: "V1", NET_V2: "V2"}
#: As upgrade_proto.cpp refuses it.
TWO_GENERATIONS = (
    "holds layers of two generations (fields 2 and 100); Caffe reads only files of one kind"
)


class PartCount:
    """Counts a model's layers, and their bottoms, tops and blobs, as they are read."""

    def __init__(self, reader: WireReader) -> None:
        self._reader, self._layers, self._parts = reader, 0, 0

    def add(self, parts: int, start: int) -> None:
        """Count a layer, at byte `start`. Raises CaffemodelError for more than any net has."""
        self._layers += 1
        self._parts += parts
        if self._layers > _MANY:
            raise self._reader.error(f"holds more than {_MANY} layers", start)
        if self._parts > _MANY_PARTS:
            what = f"holds layers with more than {_MANY_PARTS} bottoms, tops and blobs"
            raise self._reader.error(what, start)


def check_parts(reader: WireReader, count: int, start: int) -> None:
    """Raise CaffemodelError for more bottoms, tops and blobs than a layer, at `start`, has."""
    if count > _MANY:
        raise reader.error(f"a layer with more than {_MANY} bottoms, tops and blobs", start)


@dataclass(frozen=True, slots=True)
class ModelLayer:
    """One layer of a caffemodel, with blobs or without.

    type: Caffe 1.0's name for it ("InnerProduct"); a V1 number that nobody knows stays a number.
    generation: "V1" or "V2". start: byte offset of the layer's tag; body to end: its fields.
    """

    reader: WireReader = field(repr=False, compare=False)
    name: str
    type: str
    generation: str
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    blobs: tuple[StoredBlob, ...]
    start: int
    body: int
    end: int

    def param_bytes(self, number: int) -> bytes:
        """The message in field `number`, encoded; b"" where there is none.

        Several are joined, which to protobuf means the same as merging them. Raises
        CaffemodelError for a field that is not a message.
        """
        fields = [each for each in self.fields() if each.number == number]
        for each in fields:
            self.reader.expect(each, Wire.DELIMITED)
        length = sum(each.end - each.body for each in fields)
        # Once in pieces, and once joined.
        with Claim(2 * length, f"{self.reader.path}: field {number} of layer {self.name[:80]!r}"):
            return b"".join(self.reader.read(each.body, each.end) for each in fields)

    def fields(self) -> list[WireField]:
        """The layer's fields, in file order."""
        return self.reader.listed(self.reader.fields(self.body, self.end))


class Caffemodel(Closeable):
    """An open caffemodel: `layers` in file order. Close it, or use it as a context manager."""

    def __init__(self, reader: WireReader) -> None:
        self.reader, self.source, self.path = reader, reader.source, reader.path
        self.net_name = ""
        layers: list[ModelLayer] = []
        count = PartCount(reader)
        for entry in reader.fields(0, reader.size):
            if entry.number == NET_NAME:
                self.net_name = _net_name(reader, entry)
            elif entry.number in _GENERATIONS:
                layers.append(_model_layer(reader, entry))
                last = layers[-1]
                count.add(len(last.bottoms) + len(last.tops) + len(last.blobs), entry.start)
                if layers[0].generation != layers[-1].generation:
                    raise reader.error(TWO_GENERATIONS, entry.start)
        if not layers:
            raise reader.error("holds no layers, so it is not a caffemodel")
        self.layers = tuple(layers)
        self._named: dict[str, list[ModelLayer]] = {}
        for layer in layers:
            self._named.setdefault(layer.name, []).append(layer)
        self.generation = layers[0].generation

    @classmethod
    def open(cls, path: str | Path) -> Caffemodel:
        """Open a caffemodel and index it; the weights are not read.

        Raises CaffemodelError where it is something else, is cut short or contradicts itself.
        """
        source = open_protobuf(path)
        try:
            return cls(WireReader(source))
        # Whatever is raised, Ctrl-C included: nobody else has the file to close it.
        except BaseException:
            source.close()
            raise

    def layer(self, name: str) -> ModelLayer:
        """The layer of that name. Raises CaffemodelError where there is none, or several."""
        matches = self._named.get(name, [])
        if len(matches) != 1:
            if matches:
                raise self.reader.error(f"{counted(len(matches), 'layer')} are named {name!r}")
            hint = did_you_mean(name, self._named, "layers")
            raise self.reader.error(f"no layer is named {name!r}{hint}")
        return matches[0]

    def check_unchanged(self) -> None:
        """Raise CaffemodelError if the file is not what it was when it was opened."""
        self.reader.check_unchanged()

    def close(self) -> None:
        """Close the file; arrays that were handed out stay valid."""
        self.source.close()


def _net_name(reader: WireReader, entry: WireField) -> str:
    if entry.wire == Wire.VARINT:
        raise reader.error(
            "begins with a number where a net has its name: a mean (.binaryproto) or a "
            ".solverstate, perhaps, but no caffemodel",
            entry.start,
        )
    return reader.text(entry)


def _model_layer(reader: WireReader, layer: WireField) -> ModelLayer:
    reader.expect(layer, Wire.DELIMITED)
    reader.claim.add(_LAYER_MEMORY)
    generation = _GENERATIONS[layer.number]
    numbers = FIELDS[generation]
    name = kind = ""
    bottoms, tops, blobs = [], [], []
    # The fields may come in any order, and of a scalar given twice the last counts (protobuf).
    # The blobs wait for the name, which their errors give.
    for entry in reader.fields(layer.body, layer.end):
        if entry.number == numbers.name:
            name = _text(reader, entry)
        elif entry.number == numbers.type:
            kind = _type(reader, entry, generation)
        elif entry.number == numbers.bottom:
            bottoms.append(_text(reader, entry))
        elif entry.number == numbers.top:
            tops.append(_text(reader, entry))
        elif entry.number == numbers.blobs:
            reader.expect(entry, Wire.DELIMITED)
            blobs.append((entry.body, entry.end))
        check_parts(reader, len(bottoms) + len(tops) + len(blobs), layer.start)
        if generation == "V1" and entry.number == _V0_IN_V1:
            raise FirstGeneration(
                "its layers are of Caffe's first generation (V0), which is not read; "
                "`netsurgery upgrade` brings the file up to date",
                path=reader.path,
                offset=layer.start,
            )
    return ModelLayer(
        reader=reader,
        name=name,
        type=kind,
        generation=generation,
        bottoms=tuple(bottoms),
        tops=tuple(tops),
        blobs=tuple(
            read_blob(reader, *blob, f"layer {name!r}, blob {index}")
            for index, blob in enumerate(blobs)
        ),
        start=layer.start,
        body=layer.body,
        end=layer.end,
    )


def _text(reader: WireReader, entry: WireField) -> str:
    """A name, its memory claimed: one character may make four bytes of each."""
    reader.claim.add(_NAME_MEMORY + 4 * (entry.end - entry.body))
    return reader.text(entry)


def _type(reader: WireReader, entry: WireField, generation: str) -> str:
    if generation == "V2":
        return _text(reader, entry)
    reader.expect(entry, Wire.VARINT)
    # A fork's number: the layer can be copied, whatever it is.
    return V1_TYPES[entry.value] if entry.value < len(V1_TYPES) else str(entry.value)


def open_protobuf(path: str | Path, expected: str = "a caffemodel") -> FileSource:
    """Open a protobuf binary. Raises CaffemodelError, saying what the file is instead."""
    source = open_source(path, expected)
    try:
        reader = Reader(source)
        head = reader.head(HEAD)
        reason = refusal(head, expected)
        if not head:
            reason = f"is empty, expected {expected}"
        elif not reason and _is_text(head):
            reason = f"is text, a prototxt perhaps, expected {expected}"
        if reason:
            raise reader.error(reason)
    except CaffemodelError:
        source.close()
        raise
    return source


def _is_text(head: bytes) -> bool:
    # Printable is not enough, a short binary may be; text begins with a field or a comment.
    text = re.fullmatch(rb"[\t\r\n\x20-\x7e\x80-\xff]+", head) is not None
    return text and re.match(rb"(\xef\xbb\xbf)?\s*(#|\w+\s*[:{])", head) is not None
