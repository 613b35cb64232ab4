"""Jobs and what other commands of maps can do: tables, stores, finer maps, going on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from killed_jobs import JOB
from PIL import Image, ImageFont

from netsurgery.cli import run

EMBEDDED = ["--engine", "embedded"]


@pytest.fixture(autouse=True)
def folder(converted_net: Path) -> None:
    """A current folder with a converted net, two pictures of different sizes and one of none."""
    numbers = np.random.default_rng(0)
    for name, shape in (("a.png", (64, 80)), ("c.png", (52, 47))):
        Image.fromarray(numbers.integers(0, 256, shape, np.uint8)).save(name)
    Path("b.png").write_bytes(b"\x89PNG\r\n\x1a\n")


def classify(*words: str) -> int:
    return run(["classify-map", *words, *EMBEDDED, "--size", "image"])


def rows(path: str) -> list[dict[str, Any]]:
    table: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return table


def test_the_table_has_the_rows_of_one_process(capsys: pytest.CaptureFixture[str]) -> None:
    """The picture that is broken and the one that is not there too, each in its place."""
    words = ["a.png", "b.png", "gone.png", "c.png", "--top-k", "2"]
    assert classify(*words, "--parquet", "one.parquet", "-q") == 1
    job = [*words, "--job", JOB, "--workers", "2"]
    assert classify(*job, "--parquet", "many.parquet", "-q") == 1
    expected = rows("one.parquet")
    failed = [row["picture"] for row in expected if row["error"] is not None]
    assert failed == ["b.png", "gone.png"]
    assert len(expected) > len(failed)
    assert rows("many.parquet") == expected
    assert run(["job", "merge", JOB, "--parquet", "again.parquet", "-q"]) == 0
    assert rows("again.parquet") == expected
    assert pq.read_schema("again.parquet") == pq.read_schema("one.parquet")


@pytest.mark.parametrize("how", [[], ["--job", JOB, "--workers", "1"]])
def test_no_table_where_every_picture_failed(how: list[str]) -> None:
    assert classify("b.png", "gone.png", *how, "--parquet", "none.parquet", "-q") == 1
    assert not Path("none.parquet").exists()


@pytest.mark.parametrize("place", ["x.zarr", "stores/"])
def test_a_store_is_refused(place: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(os.listdir())
    assert classify("a.png", "--job", JOB, "--zarr", place) in (1, 2)
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    assert f"--zarr {place}: is a folder; an output of a job is a file" in error
    assert sorted(os.listdir()) == before


@pytest.mark.parametrize("stride", [1, 2])
def test_a_finer_map_is_that_of_one_process(stride: int) -> None:
    words = ["a.png", "c.png", "--stride", str(stride), "-q"]
    assert classify("a.png", "c.png", "--npy", "coarse/", "-q") == 0
    assert classify(*words, "--npy", "one/") == 0
    assert classify(*words, "--npy", "many/", "--job", JOB, "--workers", "1") == 0
    for name in ("a.npy", "c.npy"):
        assert np.load(f"one/{name}").size > np.load(f"coarse/{name}").size
        assert Path(f"many/{name}").read_bytes() == Path(f"one/{name}").read_bytes()


def test_however_much_memory_a_worker_has(capsys: pytest.CaptureFixture[str]) -> None:
    """That of one process is enough for the whole, a part of it for tiles."""
    numbers = np.random.default_rng(0).integers(0, 256, (300, 407), np.uint8)
    Image.fromarray(numbers).save("large.png")
    words = ["large.png", "a.png", "--max-memory", "60MiB", "--threads", "1", "--json"]
    words += ["--tile", "auto"]

    def outputs(name: str, *job: str) -> dict[str, bytes | str]:
        files = ["--npy", f"{name}/", "--html", f"{name}.html", "--parquet", f"{name}.parquet"]
        assert classify(*words, *files, *job) == 0
        paths = [f"{name}.html", f"{name}.parquet", f"{name}/large.npy", f"{name}/a.npy"]
        printed = capsys.readouterr()
        assert ("the net was run in" in printed.err) == (name == "two")
        contents = {path.removeprefix(name): Path(path).read_bytes() for path in paths}
        return {**contents, "records": printed.out}

    single = outputs("single")
    for name, workers in ("one", "1"), ("two", "2"):
        by_workers = outputs(name, "--job", f"{name}.job", "--workers", workers)
        assert {key for key in single if by_workers[key] != single[key]} == set()


def test_a_font_is_opened_where_something_is_drawn(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a worker in the folder of the plan, not by whoever looks at the job elsewhere."""
    font = ImageFont.load_default(10)
    assert isinstance(font, ImageFont.FreeTypeFont)
    Path("own.ttf").write_bytes(font.font_bytes)
    words = ["a.png", "--picture", "a.svg", "--font", "own.ttf"]
    assert classify(*words, "--job", JOB, "--workers", "1", "-q") == 0
    job, drawn = Path(JOB).absolute(), Path("a.svg").read_bytes()
    assert classify(*words, "--force") == 0
    assert Path("a.svg").read_bytes() == drawn
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert run(["job", "status", str(job), "-q"]) == 0
    assert run(["job", "merge", str(job), "--picture", "again.svg", "-q"]) == 0
    assert Path("again.svg").read_bytes() == drawn


def test_another_stride_is_another_job(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["a.png", "--job", JOB, "--workers", "1", "-q"]
    assert classify(*words, "--stride", "2") == 0
    assert classify(*words) == 1
    assert f"{JOB}: holds a job of another plan (its stride)" in capsys.readouterr().err


@pytest.mark.parametrize("outputs", [[], ["--npy", "a.npy"]])
def test_a_job_is_not_begun_from_scratch(
    outputs: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(os.listdir())
    assert classify("a.png", *outputs, "--job", JOB, "--no-resume") == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "--no-resume" in error
    assert "--job" in error
    assert sorted(os.listdir()) == before
