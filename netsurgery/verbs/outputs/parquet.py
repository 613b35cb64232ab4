"""The cells of all pictures as one Parquet table, written as the pictures are done.

A part is a picture's rows as a stream of Arrow's; the file has them in groups of many rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from netsurgery.errors import NetsurgeryError
from netsurgery.io.files import OutputFile
from netsurgery.io.names import escaped
from netsurgery.verbs.outputs.record import MapTable, MapView, Output, trouble_named

if TYPE_CHECKING:
    from netsurgery.maps.classmap import ClassMap

__all__ = ["OUTPUT"]

#: Rows that are written together: what readers of Parquet skip or read at once.
_GROUP = 1 << 17
#: What a row takes while it is made.
_ROW = 200


def _schema() -> Any:
    import pyarrow as pa

    windows = [f"window_{part}" for part in ("top", "left", "height", "width")]
    return pa.schema(
        [
            ("picture", pa.string()),
            ("row", pa.int32()),
            ("column", pa.int32()),
            ("rank", pa.int32()),
            *((name, pa.float64()) for name in windows),
            ("class", pa.int32()),
            ("label", pa.string()),
            ("score", pa.float32()),
            ("error", pa.string()),
        ]
    )


def _of_map(class_map: ClassMap, view: MapView) -> bytes:
    """Cell by cell, row by row; of each the `top_k` likeliest classes, the likeliest first."""
    import numpy as np
    import pyarrow as pa

    from netsurgery.maps.row_blocks import claim_more

    (rows, columns), ranks = class_map.shape, min(view.top_k, class_map.classes)
    count = rows * columns * ranks
    claim_more(class_map, _ROW * count + 16 * class_map.values.size, "its map as Parquet")
    top = class_map.top(ranks)
    scores = np.take_along_axis(class_map.values, top, axis=0)
    row, column, rank = np.indices((rows, columns, ranks), np.int32).reshape(3, -1)
    numbers = top.transpose(1, 2, 0).reshape(-1)
    boxes, windows = class_map.windows(), [pa.nulls(count, pa.float64())] * 4
    if boxes is not None:
        x0, y0, x1, y1 = np.repeat(boxes.reshape(-1, 4), ranks, axis=0).T
        windows = [y0, x0, y1 - y0, x1 - x0]
    labels = pa.nulls(count, pa.string())
    if class_map.labels is not None:
        named = {number: escaped(class_map.label(number)) for number in set(numbers.tolist())}
        labels = [named[number] for number in numbers.tolist()]
    values = [
        pa.repeat(escaped(class_map.image), count), row, column, rank + np.int32(1), *windows,
        numbers.astype(np.int32), labels, scores.transpose(1, 2, 0).reshape(-1),
        pa.nulls(count, pa.string()),
    ]  # fmt: skip
    return _part(values)


def _of_error(image: str, error: NetsurgeryError) -> bytes:
    """One row, which has the picture and the error."""
    known = {"picture": escaped(image), "error": escaped(str(error))}
    return _part([[known.get(name)] for name in _schema().names])


def _part(values: list[Any]) -> bytes:
    import pyarrow as pa

    schema, sink = _schema(), pa.BufferOutputStream()
    arrays = [pa.array(each, field.type) for each, field in zip(values, schema, strict=True)]
    with pa.ipc.new_stream(sink, schema) as stream:
        stream.write_batch(pa.record_batch(arrays, schema))
    content: bytes = sink.getvalue().to_pybytes()
    return content


class ParquetTable(MapTable):
    """The table in the making."""

    def __init__(self, output: OutputFile) -> None:
        import pyarrow.parquet as pq

        self._path = output.path
        self._batches: list[Any] = []
        self._rows = 0
        with trouble_named(self._path):
            self._writer = pq.ParquetWriter(output.by_descriptor, _schema())

    def add(self, part: bytes) -> None:
        import pyarrow as pa

        self._batches += pa.ipc.open_stream(part)
        self._rows += self._batches[-1].num_rows
        if self._rows >= _GROUP:
            self._write()

    def _write(self) -> None:
        import pyarrow as pa

        if self._batches:
            with trouble_named(self._path):
                table = pa.Table.from_batches(self._batches)
                self._writer.write_table(table, row_group_size=self._rows)
        self._batches, self._rows = [], 0

    def close(self) -> None:
        self._write()
        with trouble_named(self._path):
            self._writer.close()


OUTPUT = Output(
    "parquet",
    ".parquet",
    "Write a table of all images, a row for each cell: its place, window, class, label and score; "
    "also a row for an image that failed, with its error.",
    of_map=_of_map,
    of_error=_of_error,
    table=ParquetTable,
    needs=("pyarrow", "parquet"),
    reads=("top_k", "window"),
)
