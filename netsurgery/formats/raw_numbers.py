"""The numbers of NVIDIA's Caffe, raw bytes of a type of their own, written as Caffe 1.0 reads them.

float32 and double become `data` and `double_data`, their bytes a range of the old file; half has
no field in Caffe 1.0 and is widened to float32, exactly. The gradients (`raw_diff`) likewise.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from netsurgery.formats.blob import (
    DATA,
    DIFF,
    DOUBLE_DATA,
    DOUBLE_DIFF,
    RAW_DATA,
    RAW_DATA_TYPE,
    RAW_DIFF,
    RAW_DIFF_TYPE,
    Blob,
    Span,
    blob_fields,
    raw_width,
    read_blob,
)
from netsurgery.io.segments import Copy, Produced, Segment
from netsurgery.io.wire import WireReader

__all__ = ["RAW_FIELDS", "plain_numbers", "raw_blob"]

#: The fields of a BlobProto that Caffe 1.0 has not.
RAW_FIELDS = (RAW_DATA_TYPE, RAW_DIFF_TYPE, RAW_DATA, RAW_DIFF)


def raw_blob(reader: WireReader, start: int, end: int, where: str) -> Blob | None:
    """The blob of those bytes where its numbers are raw, else None. Raises CaffemodelError."""
    if not any(found.number == RAW_DATA for found in blob_fields(reader, start, end)):
        return None
    blob = read_blob(reader, start, end, where)
    return blob if blob.raw else None


def plain_numbers(blob: Blob) -> dict[int, Segment]:
    """Field number -> its bytes, instead of all RAW_FIELDS of a `raw` blob.

    Raises CaffemodelError for a diff of a type that no weight has, or of another count.
    """
    made = {DOUBLE_DATA if blob.width == 8 else DATA: _plain(blob)}
    diff = _raw_diff(blob)
    if diff is not None:
        made[DOUBLE_DIFF if diff.width == 8 else DIFF] = _plain(diff)
    return made


def _plain(blob: Blob) -> Segment:
    if blob.width != 2:
        (span,) = blob.spans
        return Copy(blob.reader.source, span.offset, span.count * blob.width)

    def widened() -> Iterator[memoryview]:
        for piece in blob._pieces():
            yield piece.data.cast("B")

    return Produced(4 * blob.count, widened)


def _raw_diff(blob: Blob) -> Blob | None:
    """The blob with its raw gradients for numbers; None where it has none."""
    fields = {found.number: found for found in blob_fields(blob.reader, blob.start, blob.end)}
    if RAW_DIFF not in fields or DIFF in fields or DOUBLE_DIFF in fields:
        return None
    found = fields[RAW_DIFF]
    width = raw_width(blob.reader, fields.get(RAW_DIFF_TYPE), found, blob.where)
    if found.end - found.body != blob.count * width:
        raise blob.reader.error(
            f"{blob.where}: {found.end - found.body} bytes of raw_diff for {blob.count} numbers of "
            f"{width} bytes each",
            found.start,
        )
    return replace(blob, width=width, spans=(Span(found.body, blob.count, width),))
