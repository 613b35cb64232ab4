"""A caffemodel rewritten with some layers changed, everything else byte for byte the old.

What is not changed, unknown fields included, is copied as ranges of the old file; only the
changed fields, and the lengths of the messages around them, are new bytes. Fields keep their
order; a field that was not there before goes where its number puts it. Numbers that Caffe 1.0
would not find (NVCaffe's raw_data) are written where it does, in every layer.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from netsurgery.errors import CaffemodelError, OutputError
from netsurgery.formats.blob import (
    DATA,
    LEGACY,
    NUMBERS,
    RAW_FIELDS,
    SHAPE,
    Shape,
    StoredBlob,
    blob_fields,
    plain_numbers,
)
from netsurgery.formats.caffemodel import (
    FIELDS,
    NET_NAME,
    Caffemodel,
    LayerFields,
    ModelLayer,
)
from netsurgery.formats.caffemodel_new import (
    Chunks,
    NewBlob,
    blob_segments,
    numbers_segment,
    type_field,
)
from netsurgery.io.segments import Bytes, FileRange, FileSource, Segment, segments_length
from netsurgery.io.shape_text import shape_text
from netsurgery.io.wire import WireField, delimited, header, packed_varints, text_field
from netsurgery.io.wording import counted

__all__ = [
    "Chunks",
    "ExpectedLayer",
    "LayerChange",
    "check_written",
    "plain_blob",
    "planned",
    "rewrite",
]


class LayerChange(NamedTuple):
    """The changes to one layer; None or empty leaves a part as it is.

    name, type, bottoms, tops: the new ones; the type by its name of today, also for V1.
    shapes: a new shape, of the same count, for each blob, None to keep; may be shorter than the
    layer's blobs. data: blob index -> the new numbers, as many as before. messages: field number
    -> the message to have there, encoded; None for none. blobs: all of the layer's new blobs,
    however many and of whatever shape, instead of `shapes` and `data`. remove: the layer goes,
    its blobs with it.
    """

    name: str | None = None
    type: str | None = None
    bottoms: tuple[str, ...] | None = None
    tops: tuple[str, ...] | None = None
    shapes: tuple[Shape | None, ...] = ()
    data: Mapping[int, Chunks | FileRange] = MappingProxyType({})
    messages: Mapping[int, bytes | None] = MappingProxyType({})
    blobs: tuple[NewBlob, ...] | None = None
    remove: bool = False


class ExpectedLayer(NamedTuple):
    """What a written layer must be when it is read back."""

    name: str
    type: str
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    shapes: tuple[Shape, ...]


class _Pieces:
    """A list of segments; neighbours in the old file become one range again."""

    def __init__(self, source: FileSource) -> None:
        self.source = source
        self.segments: list[Segment] = []

    def add(self, data: bytes) -> None:
        last = self.segments[-1] if self.segments else None
        if isinstance(last, Bytes):
            self.segments[-1] = Bytes(last.data + data)
        elif data:
            self.segments.append(Bytes(data))

    def copy(self, start: int, end: int) -> None:
        last = self.segments[-1] if self.segments else None
        own = isinstance(last, FileRange) and last.source is self.source
        # An unchanged stretch is one range, and one call to the kernel, whatever its fields.
        if isinstance(last, FileRange) and own and last.offset + last.length == start:
            start = last.offset
            self.segments.pop()
        if start < end:
            self.segments.append(FileRange(self.source, start, end - start))

    def message(self, number: int, body: _Pieces) -> None:
        self.add(header(number, segments_length(body.segments)))
        self.extend(body)

    def extend(self, others: _Pieces) -> None:
        for segment in others.segments:
            # New numbers may be a range of another file.
            if isinstance(segment, FileRange) and segment.source is self.source:
                self.copy(segment.offset, segment.offset + segment.length)
            elif isinstance(segment, Bytes):
                self.add(segment.data)
            else:
                self.segments.append(segment)


def rewrite(
    model: Caffemodel, changes: Mapping[str, LayerChange], net_name: str | None = None
) -> list[Segment]:
    """The segments of the model with `changes` (old layer name -> change) made.

    Copies refer to the open model, which has to stay open until they are written. Raises
    CaffemodelError for a layer that is not there or not unique, a shape of another count, a
    blob index that is not there and a type that V1 has no number for.
    """
    # The ranges to copy are those of the file as it was opened.
    model.check_unchanged()
    # By place: layers that nobody changes may share a name.
    changed, removed = {}, set()
    for name, change in changes.items():
        layer = model.layer(name)
        if change.remove:
            removed.add(layer.start)
        else:
            changed[layer.start] = _layer_body(layer, change)
    for layer in model.layers:
        # Caffe 1.0 would find no numbers in these, though nothing else of them changes.
        if layer.start not in {*changed, *removed} and any(blob.raw for blob in layer.blobs):
            changed[layer.start] = _layer_body(layer, LayerChange())
    new_name = {} if net_name is None else {NET_NAME: [net_name]}
    reader = model.reader
    fields = reader.listed(
        entry for entry in reader.fields(0, reader.size) if entry.start not in removed
    )
    return _edited(model.source, fields, _texts(model.source, new_name), changed).segments


def _edited(
    source: FileSource,
    fields: Sequence[WireField],
    replaced: Mapping[int, _Pieces],
    rewritten: Mapping[int, _Pieces],
) -> _Pieces:
    """A message's fields, some of them replaced.

    replaced: field number -> what takes the place of all fields of that number, put where the
    first of them is. rewritten: a field's start -> the new body of that one message.
    """
    out = _Pieces(source)
    missing = sorted(set(replaced) - {entry.number for entry in fields})
    placed: set[int] = set()
    for entry in fields:
        # protobuf reads any order; its own writers go by number.
        while missing and missing[0] < entry.number:
            out.extend(replaced[missing.pop(0)])
        if entry.start in rewritten:
            out.message(entry.number, rewritten[entry.start])
        elif entry.number not in replaced:
            out.copy(entry.start, entry.end)
        elif entry.number not in placed:
            placed.add(entry.number)
            out.extend(replaced[entry.number])
    for number in missing:
        out.extend(replaced[number])
    return out


def _texts(source: FileSource, texts: Mapping[int, Iterable[str]]) -> dict[int, _Pieces]:
    """Field number -> string fields."""
    return {
        number: _literal(source, b"".join(text_field(number, text) for text in values))
        for number, values in texts.items()
    }


def _literal(source: FileSource, data: bytes) -> _Pieces:
    pieces = _Pieces(source)
    pieces.add(data)
    return pieces


def _layer_body(layer: ModelLayer, change: LayerChange) -> _Pieces:
    """The new body of a layer's message."""
    source, numbers = layer.reader.source, FIELDS[layer.generation]
    fields = layer.fields()
    replaced = {
        # An empty piece takes the field out.
        number: _literal(source, b"" if message is None else delimited(number, message))
        for number, message in change.messages.items()
    }
    replaced |= _texts(source, _new_texts(numbers, change))
    if change.blobs is not None:
        replaced[numbers.blobs] = _Pieces(source)
        replaced[numbers.blobs].segments += blob_segments(numbers.blobs, change.blobs)
    if change.type is not None:
        replaced[numbers.type] = _literal(source, _type_field(layer, change.type))
    # The n-th field of that number is blob n: `blobs` is repeated, and never packed.
    starts = [entry.start for entry in fields if entry.number == numbers.blobs]
    # Of new blobs nothing is left of the old, be they raw or not.
    bodies = {} if change.blobs is not None else _blobs(layer, change)
    rewritten = {starts[index]: blob for index, blob in bodies.items()}
    return _edited(source, fields, replaced, rewritten)


def _new_texts(numbers: LayerFields, change: LayerChange) -> dict[int, tuple[str, ...]]:
    texts: dict[int, tuple[str, ...]] = {}
    if change.name is not None:
        texts[numbers.name] = (change.name,)
    if change.bottoms is not None:
        texts[numbers.bottom] = change.bottoms
    if change.tops is not None:
        texts[numbers.top] = change.tops
    return texts


def _type_field(layer: ModelLayer, kind: str) -> bytes:
    try:
        return type_field(layer.generation, kind)
    except ValueError:
        raise layer.reader.error(
            f"layer {layer.name!r}: this model is of an old kind (V1), which has no type {kind!r}",
            layer.start,
        ) from None


def _blobs(layer: ModelLayer, change: LayerChange) -> dict[int, _Pieces]:
    """Blob index -> its new body, of those that change."""
    shapes = {index: shape for index, shape in enumerate(change.shapes) if shape is not None}
    for index in sorted({*shapes, *change.data}):
        if not 0 <= index < len(layer.blobs):
            raise layer.reader.error(
                f"layer {layer.name!r}: there is no blob {index}, only {len(layer.blobs)}",
                layer.start,
            )
    raw = {index for index, blob in enumerate(layer.blobs) if blob.raw}
    return {
        index: _blob(layer.blobs[index], shapes.get(index), change.data.get(index))
        for index in sorted({*shapes, *change.data, *raw})
    }


def plain_blob(blob: StoredBlob) -> list[Segment]:
    """The body of a `raw` blob's message with its numbers where Caffe 1.0 reads them.

    Raises CaffemodelError for a raw_diff that does not fit the numbers.
    """
    return _blob(blob, None, None).segments


def _blob(blob: StoredBlob, shape: Shape | None, data: Chunks | FileRange | None) -> _Pieces:
    """The new body of a blob's message.

    A new shape is written as a BlobShape and the four old dimensions are dropped: Caffe looks at
    those first. A diff stays with numbers that stay; that of replaced ones belongs to an order
    that is no more, and is dropped.
    """
    source = blob.reader.source
    replaced: dict[int, _Pieces] = {}
    if shape is not None:
        _check_shape(blob, shape)
        replaced |= {number: _Pieces(source) for number in LEGACY}
        replaced[SHAPE] = _literal(source, delimited(SHAPE, packed_varints(1, shape)))
    if data is not None:
        replaced |= {number: _Pieces(source) for number in (*NUMBERS, *RAW_FIELDS)}
        # Doubles too become float32: it is what Caffe computes in.
        replaced[DATA].add(header(DATA, 4 * blob.count))
        replaced[DATA].segments.append(numbers_segment(NewBlob(blob.shape, data)))
    elif blob.raw:
        replaced |= {number: _Pieces(source) for number in RAW_FIELDS}
        for number, segment in plain_numbers(blob).items():
            replaced[number] = _literal(source, header(number, segment.length))
            replaced[number].segments.append(segment)
    return _edited(
        source, blob.reader.listed(blob_fields(blob.reader, blob.start, blob.end)), replaced, {}
    )


def _check_shape(blob: StoredBlob, shape: Shape) -> None:
    # Two negative axes may come to the right count.
    if min(shape, default=0) < 0 or math.prod(shape) != blob.count:
        raise blob.reader.error(
            f"{blob.where}: {counted(blob.count, 'number')} of shape "
            f"{shape_text(blob.shape)} cannot be "
            f"{shape_text(shape)}",
            blob.start,
        )


def planned(model: Caffemodel, changes: Mapping[str, LayerChange]) -> tuple[ExpectedLayer, ...]:
    """What `rewrite` with the same changes has to come to, layer by layer in file order."""
    both = [(layer, changes.get(layer.name, LayerChange())) for layer in model.layers]
    return tuple(_planned(layer, change) for layer, change in both if not change.remove)


def _planned(layer: ModelLayer, change: LayerChange) -> ExpectedLayer:
    blobs = layer.blobs if change.blobs is None else change.blobs
    shapes = [blob.shape for blob in blobs]
    for index, shape in enumerate(change.shapes):
        shapes[index] = shapes[index] if shape is None else shape
    return ExpectedLayer(
        name=layer.name if change.name is None else change.name,
        type=layer.type if change.type is None else change.type,
        bottoms=layer.bottoms if change.bottoms is None else change.bottoms,
        tops=layer.tops if change.tops is None else change.tops,
        shapes=tuple(shapes),
    )


def check_written(path: str | Path, expected: Sequence[ExpectedLayer]) -> None:
    """Read a written caffemodel's structure back and compare. Raises OutputError.

    Opening it checks every length against every shape; the weights are not read.
    """
    try:
        with Caffemodel.open(path) as model:
            written = planned(model, {})
    except CaffemodelError as error:
        raise OutputError(f"what was written cannot be read back: {error}") from error
    if len(written) != len(expected):
        raise OutputError(
            f"{path}: written with {counted(len(written), 'layer')}, expected {len(expected)}"
        )
    for index, (layer, plan) in enumerate(zip(written, expected, strict=True)):
        if layer != plan:
            raise OutputError(
                f"{path}: layer {index}, {layer.name!r}, was written otherwise than planned"
            )
