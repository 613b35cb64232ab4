"""The cells of maps as a Parquet table, read back by others: DuckDB and pyarrow."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

import netsurgery as ns
from netsurgery.cli import run
from netsurgery.verbs.classify_map_result import MapResult
from netsurgery.verbs.outputs import parquet

NET = ("prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel")
WORDS = ["--prototxt", NET[0], "--weights", NET[1], "--engine", "embedded", "--blob", "pool3"]
LABELS = tuple(f"Nr. {number}, \u00e4" for number in range(32))
MODEL = ns.Settings(*NET, labels=LABELS)
COLUMNS = {
    "picture": "VARCHAR",
    "row": "INTEGER",
    "column": "INTEGER",
    "rank": "INTEGER",
    "window_top": "DOUBLE",
    "window_left": "DOUBLE",
    "window_height": "DOUBLE",
    "window_width": "DOUBLE",
    "class": "INTEGER",
    "label": "VARCHAR",
    "score": "FLOAT",
    "error": "VARCHAR",
}


@pytest.fixture(autouse=True)
def folder(bundled_nets: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (96, 64), np.uint8)
    Image.fromarray(pixels).save("cat.png")
    Image.fromarray(pixels.T).save("dog.png")
    Path("broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")


def written(images: Any, file: str = "cells.parquet", **options: Any) -> list[MapResult]:
    view = ns.MapView(top_k=options.pop("top_k", 1))
    maps = ns.classify_maps(images, MODEL, blob="pool3", engine="embedded", size="image", **options)
    return list(maps.to_files({"parquet": file}, view))


def rows(sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect() as database:
        return database.execute(sql).fetchall()


def test_every_cell_of_every_picture_as_duckdb_reads_it() -> None:
    names = ["cat.png", "broken.png", "dog.png"]
    results = written(names, top_k=3)
    kinds = rows("DESCRIBE SELECT * FROM 'cells.parquet'")
    assert {name: kind for name, kind, *_ in kinds} == COLUMNS
    table = iter(rows("SELECT * FROM 'cells.parquet'"))
    for result in results:
        if result.map is None:
            assert next(table) == ("broken.png", *[None] * 10, str(result.error))
            continue
        boxes, values = result.map.windows(), result.map.values
        assert boxes is not None
        for row, column in np.ndindex(*result.map.shape):
            x0, y0, x1, y1 = boxes[row, column].tolist()
            ordered = np.argsort(-values[:, row, column], kind="stable")[:3]
            for rank, number in enumerate(ordered.tolist(), 1):
                score = float(values[number, row, column])
                expected = (
                    *(result.image, row, column, rank, y0, x0, y1 - y0, x1 - x0),
                    *(number, LABELS[number], score, None),
                )
                assert next(table) == expected
    assert next(table, None) is None
    question = (
        "SELECT picture, count(*) FROM 'cells.parquet' WHERE score > 1 AND rank = 1 GROUP BY 1"
    )
    counts = {
        result.image: int((result.map.values.max(axis=0) > 1).sum())
        for result in results
        if result.map is not None
    }
    assert dict(rows(question)) == {name: count for name, count in counts.items() if count}


def test_as_pyarrow_reads_it_in_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "_GROUP", 100)
    results = written(["cat.png"] * 5)
    assert results[0].map is not None
    cells = int(np.prod(results[0].map.shape))
    with pq.ParquetFile("cells.parquet") as file:
        table = file.read()
        groups = [file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups)]
    assert table.num_rows == 5 * cells
    assert set(table.column("picture").to_pylist()) == {"cat.png"}
    # Whole pictures until there are enough rows.
    each = -(-100 // cells) * cells
    assert groups == [min(each, 5 * cells - start) for start in range(0, 5 * cells, each)]
    np.testing.assert_array_equal(
        table.column("class").to_numpy()[:cells], results[0].map.argmax().reshape(-1)
    )


def test_what_has_no_windows_or_labels() -> None:
    name = os.fsdecode(b"\xff.png")
    os.link("cat.png", name)
    size = ns.PictureOptions((32, 32))
    with ns.classify_maps(
        name, ns.Settings(*NET), blob="pool3", engine="embedded", size=size
    ) as maps:
        list(maps.to_files({"parquet": "cells.parquet"}))
    assert rows("SELECT DISTINCT picture, label FROM 'cells.parquet'") == [("\\udcff.png", None)]


def test_the_command_writes_it(capfd: pytest.CaptureFixture[str]) -> None:
    words = ["classify-map", "cat.png", "dog.png", "--parquet", "cells.parquet", *WORDS]
    assert run(words) == 0
    assert capfd.readouterr().out.endswith("wrote cells.parquet\n")
    first = Path("cells.parquet").read_bytes()
    assert run(words) == 1
    assert "cells.parquet: exists already; --force replaces it" in capfd.readouterr().err
    assert run([*words, "--force", "-q"]) == 0
    assert Path("cells.parquet").read_bytes() == first


def test_it_appears_whole_or_not_at_all() -> None:
    maps = ns.classify_maps(["cat.png", "dog.png"], MODEL, blob="pool3", engine="embedded")
    results = iter(maps.to_files({"parquet": "cells.parquet"}))
    assert next(results).error is None
    assert not Path("cells.parquet").exists()
    results.close()
    assert not Path("cells.parquet").exists()
    # Nor where every picture failed.
    assert [result.map for result in written(["broken.png", "none.png"])] == [None, None]
    assert sorted(path.name for path in Path().iterdir() if "parquet" in path.name) == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device of Linux")
def test_a_disk_that_is_full_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netsurgery.io.files.OutputFile.by_descriptor", "/dev/full")
    maps = ns.classify_maps(["cat.png", "dog.png"], MODEL, blob="pool3", engine="embedded")
    with pytest.raises(ns.OutputError, match=r"^cells.parquet: .*No space left"):
        list(maps.to_files({"parquet": "cells.parquet"}))
    assert not Path("cells.parquet").exists()


def test_a_disk_that_is_full_at_the_end_ends_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = pq.ParquetWriter.close

    def close(writer: pq.ParquetWriter) -> None:
        whole(writer)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pq.ParquetWriter, "close", close)
    maps = ns.classify_maps(["cat.png", "dog.png"], MODEL, blob="pool3", engine="embedded")
    with pytest.raises(ns.OutputError, match=r"^cells.parquet: No space left"):
        list(maps.to_files({"parquet": "cells.parquet"}))
    assert not Path("cells.parquet").exists()
