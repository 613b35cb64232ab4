"""Runs in tiles that are ended before they are done: the same call goes on where they were."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

import netsurgery as ns
from netsurgery.cli import run
from netsurgery.engines.ort import EmbeddedNet
from netsurgery.errors import EngineFailed, OutputError
from netsurgery.io import kept_file
from netsurgery.maps.tile_journal import TileJournal
from netsurgery.maps.tile_store import TileStore
from netsurgery.net import staging
from netsurgery.verbs.outputs import files, parquet

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="has no kill -9")

#: How many runs are killed; `make kills` sets it.
KILLS = int(os.environ.get("NETSURGERY_KILLS", "2"))

#: Has each tile noted in a file, and take some time; in one stage, but where STAGED is set.
DRIVER = """
import os, sys, time
from pathlib import Path
from netsurgery.engines.ort import EmbeddedNet
from netsurgery.net import staging
if "STAGED" not in os.environ:
    staging.find_cuts = lambda *_: ()
forward = EmbeddedNet.forward
def run(self, *args):
    time.sleep(0.004)
    with open("tiles.log", "a") as file:
        file.write("tile\\n")
    return forward(self, *args)
EmbeddedNet.forward = run
"""
COMMAND = DRIVER + "from netsurgery.cli import run\nsys.exit(run(sys.argv[1:]))\n"
CALL = (
    DRIVER
    + """
import netsurgery as ns
options = ns.PictureOptions("image", tile=64)
maps = ns.classify_maps(["big.png"], "netsurgery.toml", size=options, engine="embedded")
for result in maps.to_files({"npy": "map.npy", "npz": "top.npz"}, force=True):
    assert result.error is None, result.error
"""
)
CLASSIFY = (
    "classify-map big.png --engine embedded --size image --tile 64 -q --npy map.npy --npz top.npz "
    "--force"
).split()
#: Rows of tiles, and tiles in a row, of big.png.
ROWS = 11
JOURNAL, TILES = ".map.npy.netsurgery-journal", ".map.npy.netsurgery-tiles"


class Prepared(NamedTuple):
    """What all tests begin with, made once: each has a copy.

    inputs: a folder with the converted demo net and a picture of 11 x 11 tiles; ended: the same
    after a call that ended when it had four rows of tiles. whole: what a run that nobody ends
    writes.
    """

    inputs: Path
    ended: Path
    whole: dict[str, bytes]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, repo_root: Path) -> Prepared:
    folder = tmp_path_factory.mktemp("prepared")
    inputs, ended = folder / "inputs", folder / "ended"
    inputs.mkdir()
    net = repo_root / "prototxt/digits_deploy.prototxt"
    ns.convert(net, repo_root / "models/digits/digits.caffemodel", inputs, engine="embedded")
    with Image.open(repo_root / "examples/digits_canvas.png") as canvas:
        pixels = np.asarray(canvas.convert("L"))
    Image.fromarray(np.tile(pixels, (3, 2))[:464, :464]).save(inputs / "big.png")
    shutil.copytree(inputs, ended)
    shutil.copytree(inputs, folder / "whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(staging, "find_cuts", lambda *_: ())
        patch.chdir(folder / "whole")
        assert run(CLASSIFY) == 0
        whole = outputs()
        patch.chdir(ended)
        run_until(4, patch)
        assert rows_done() == 4
    return Prepared(inputs, ended, whole)


@pytest.fixture
def folder(prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with the inputs."""
    monkeypatch.setattr(staging, "find_cuts", lambda *_: ())  # one stage, as in DRIVER
    shutil.copytree(prepared.inputs, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def outputs() -> dict[str, bytes]:
    return {name: Path(name).read_bytes() for name in ("map.npy", "top.npz")}


def left() -> list[str]:
    return sorted(path.name for path in Path().iterdir() if "netsurgery-" in path.name)


def rows_done() -> int:
    """Rows of tiles that the journal has."""
    try:
        return max(0, Path(JOURNAL).read_bytes().count(b"\n") - 1)
    except FileNotFoundError:
        return 0


def tiles_run_so_far() -> int:
    return Path("tiles.log").read_text().count("\n") if Path("tiles.log").exists() else 0


def tiles_run() -> int:
    count = tiles_run_so_far()
    Path("tiles.log").unlink(missing_ok=True)
    return count


def started(script: str, arguments: Sequence[str] = ()) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", script, *arguments], stderr=subprocess.PIPE)


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 60
    while not condition() and process.poll() is None:
        assert time.monotonic() < until
        time.sleep(0.001)


@pytest.fixture
def expected(prepared: Prepared, folder: Path) -> dict[str, bytes]:
    """What a run that nobody ends writes; in the current folder there are the inputs alone."""
    return prepared.whole


@pytest.mark.parametrize(("script", "arguments"), [(COMMAND, CLASSIFY), (CALL, ())], ids=["c", "p"])
@pytest.mark.parametrize("seed", range(KILLS))
def test_killed_at_any_moment(
    seed: int, script: str, arguments: Sequence[str], expected: dict[str, bytes]
) -> None:
    """Twice, at some row of tiles; what is not in the journal is one row at most."""
    moments = random.Random(seed)
    for _ in range(2):
        before, target = rows_done(), moments.randint(0, ROWS)
        with started(script, arguments) as process:
            wait_for(lambda: rows_done() >= target, process)  # noqa: B023
            time.sleep(moments.uniform(0, 0.06))
            process.kill()
        assert process.returncode in (0, -signal.SIGKILL)
        if Path("map.npy").exists():  # it was done
            break
        assert before + tiles_run() / ROWS - rows_done() <= 1
    before = 0 if Path("map.npy").exists() else rows_done()
    Path("tiles.log").unlink(missing_ok=True)
    with started(script, arguments) as process:
        pass
    assert process.returncode == 0
    assert tiles_run() == (ROWS - before) * ROWS
    assert outputs() == expected
    assert left() == []


def test_killed_in_stages(expected: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither stage is run again for what there is, but for a band between them."""
    monkeypatch.setenv("STAGED", "yes")
    with started(COMMAND, CLASSIFY) as process:
        assert process.wait(60) == 0
    assert outputs() == expected
    whole = tiles_run()
    for name in expected:
        Path(name).unlink()
    with started(COMMAND, CLASSIFY) as process:
        wait_for(lambda: tiles_run_so_far() >= 3 * whole // 4, process)
        process.kill()
    assert rows_done() > 0
    Path("tiles.log").unlink()
    with started(COMMAND, CLASSIFY) as process:
        assert process.wait(60) == 0
    assert tiles_run() < whole // 2
    assert outputs() == expected
    assert left() == []


def test_ctrl_c_keeps_and_says_so(expected: dict[str, bytes]) -> None:
    command = DRIVER + "from netsurgery.__main__ import main\nsys.exit(main())\n"
    with started(command, CLASSIFY) as process:
        wait_for(lambda: rows_done() >= 3, process)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said == b"map.npy: what is done is kept; the same command goes on with it\n"
    assert left() == [JOURNAL, TILES]
    assert run([*CLASSIFY, "--no-resume"]) == 0
    assert outputs() == expected
    assert left() == []


def run_until(rows: int, monkeypatch: pytest.MonkeyPatch, command: list[str] = CLASSIFY) -> None:
    """A call that ends when it has done so many rows of tiles."""
    whole = EmbeddedNet.forward
    with monkeypatch.context() as patch:
        count = 0

        def failing(self: EmbeddedNet, *args: object) -> object:
            nonlocal count
            count += 1
            if count > rows * ROWS:
                raise EngineFailed("the engine died")
            return whole(self, *args)  # type: ignore[arg-type]

        patch.setattr(EmbeddedNet, "forward", failing)
        assert run(command) == 1


@pytest.fixture
def ended(prepared: Prepared, folder: Path) -> dict[str, bytes]:
    """After a call that ended when it had four rows of tiles."""
    shutil.copytree(prepared.ended, folder, dirs_exist_ok=True)
    return prepared.whole


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """An item for each tile that is run."""
    log: list[int] = []
    whole = EmbeddedNet.forward

    def logged(self: EmbeddedNet, *args: object) -> object:
        log.append(1)
        return whole(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(EmbeddedNet, "forward", logged)
    return log


@pytest.mark.parametrize("output", ["page.html", "cells.parquet"])
def test_a_file_of_all_pictures_that_is_not_written_loses_nothing(
    output: str, folder: Path, runs: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is made when the map of the last picture is done, and the disk may be full by then."""
    command = [word for word in CLASSIFY if word not in ("--npy", "map.npy", "--npz", "top.npz")]
    command += [f"--{Path(output).suffix[1:]}", output]

    def full(*args: object) -> None:
        raise OutputError(f"{output}: no space")

    with monkeypatch.context() as patch:
        patch.setattr(parquet.ParquetTable, "close", full)
        patch.setattr(files, "put", full)
        assert run(command) == 1
    assert not Path(output).exists()
    assert len(left()) == 2
    count = len(runs)
    assert run(command) == 0
    assert Path(output).exists()
    assert (len(runs), left()) == (count, [])


def said(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [line for line in capsys.readouterr().err.splitlines() if "earlier run" in line]


LOUD = [word for word in CLASSIFY if word != "-q"]


def test_an_engine_that_died_loses_nothing(
    ended: dict[str, bytes], runs: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert run(LOUD) == 0
    assert said(capsys) == [
        "note: went on with what an earlier run had left of map.npy: 36% was done"
    ]
    assert len(runs) == ROWS * (ROWS - 4)
    assert outputs() == ended
    assert left() == []


@pytest.mark.parametrize(
    "command",
    [
        [*LOUD, "--json"],
        "features big.png --blob prob --engine embedded --size image --tile 64 -o map.npy --force "
        "--json".split(),
    ],
    ids=["classify-map", "features"],
)
def test_a_record_does_not_say_that_it_went_on(
    command: list[str],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(command) == 0
    whole = capsys.readouterr()
    run_until(4, monkeypatch, command)
    assert rows_done() == 4
    capsys.readouterr()
    assert run(command) == 0
    assert capsys.readouterr().out == whole.out


def test_a_page_does_not_say_that_it_went_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = [*CLASSIFY, "--html", "page.html"]
    assert run(command) == 0
    whole = Path("page.html").read_bytes()
    run_until(4, monkeypatch, command)
    assert rows_done() == 4
    assert run(command) == 0
    assert Path("page.html").read_bytes() == whole


def change_picture() -> None:
    with Image.open("big.png") as image:
        pixels = np.asarray(image).copy()
    pixels[0, 0] ^= 255
    Image.fromarray(pixels).save("big.png")


def change_weights() -> None:
    path = Path("digits_full_conv.caffemodel")
    content = bytearray(path.read_bytes())
    content[-40] ^= 1
    path.write_bytes(content)


def change_net() -> None:
    path = Path("digits_deploy_full_conv.prototxt")
    path.write_text(path.read_text().replace("kernel_size: 5", "kernel_size:  5", 1))


@pytest.mark.parametrize(
    ("change", "more", "why"),
    [
        (change_picture, [], "the image changed"),
        (change_weights, [], "the weights changed"),
        (change_net, [], "the net changed"),
        (None, ["--raw-scale", "2"], "the preprocessing changed"),
        (None, ["--size", "464x456"], "the input size changed"),
        (None, ["--blob", "pool2"], "the net and blobs changed"),
        (None, ["--no-resume"], "--no-resume was given"),
        (Path(TILES).unlink, [], "their file is not there any more"),
        (lambda: Path(TILES).write_bytes(b"short"), [], "their file is not there any more"),
    ],
    ids=["image", "weights", "net", "preprocessing", "size", "blob", "no-resume", "gone", "short"],
)
@pytest.mark.usefixtures("option_names")
def test_what_is_of_something_else_is_not_gone_on_with(
    change: Callable[[], object] | None,
    more: list[str],
    why: str,
    ended: dict[str, bytes],
    runs: list[int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    if change is not None:
        change()
    capsys.readouterr()
    assert run([*LOUD, *more]) == 0
    (line,) = said(capsys)
    assert line.startswith("note: did not go on with what an earlier run had left of map.npy, ")
    assert why in line
    assert left() == []
    resumed = outputs()
    assert run([*LOUD, *more]) == 0
    assert outputs() == resumed
    assert len(runs) % 2 == 0


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        (lambda lines: b"", 0),
        (lambda lines: b"".join(lines)[:-1], 3),
        (lambda lines: b"".join(lines) + b'{"prob": [[11, 5', 4),
        (lambda lines: b"".join(lines) + b"\xff\n", 4),
        (lambda lines: lines[0], 0),
        (lambda lines: lines[0] + b'{"prob": [[11, 55, 55], 99]}\n', 0),
        (lambda lines: lines[0] + b'{"prob": [[11, 55], 9]}\n', 0),
        (lambda lines: lines[0] + b'{"prob": [[11, 1e9, 55], 9]}\n', 0),
        (lambda lines: lines[0] + b'{"prob": 9}\n', 0),
        (lambda lines: lines[0] + b"[]\n", 0),
        (lambda lines: b"[]\n", 0),
        (lambda lines: os.urandom(100), 0),
    ],
)
def test_a_journal_that_is_not_whole(
    content: Callable[[list[bytes]], bytes],
    rows: int,
    ended: dict[str, bytes],
    runs: list[int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    journal = Path(JOURNAL)
    journal.write_bytes(content(journal.read_bytes().splitlines(keepends=True)))
    capsys.readouterr()
    assert run(LOUD) == 0
    notes = said(capsys)
    assert len(notes) == (rows > 0)  # a line that is none says nothing that could be given up
    assert all(note.startswith("note: went on with ") for note in notes)
    assert outputs() == ended
    assert len(runs) == ROWS * (ROWS - rows)
    assert left() == []


def test_what_follows_half_a_line_counts(
    ended: dict[str, bytes], runs: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    with open(JOURNAL, "ab") as journal:
        journal.write(b'{"prob": [[11, 5')
    run_until(2, monkeypatch)
    assert rows_done() == 6
    runs.clear()
    assert run(CLASSIFY) == 0
    assert len(runs) == ROWS * (ROWS - 6)
    assert outputs() == ended


def test_no_more_is_left_out_than_is_done() -> None:
    """Not even one row of cells, which tiles of another size may begin with."""
    store = TileStore()
    store.make("prob", (1, 2, 9, 9))
    store.add({"prob": 4})
    assert store.has({"prob": 4})
    assert not store.has({"prob": 5})
    assert not store.has({"prob": 4, "conv1": 1})


def test_a_row_is_in_the_journal_once_its_cells_are_on_the_disk(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut, unlike `kill -9`, loses what is not: then the journal must not have it."""
    steps: list[str] = []

    def log(owner: Any, name: str, step: str) -> None:
        whole = getattr(owner, name)

        def logged(*args: Any) -> Any:
            steps.append(step)
            return whole(*args)

        monkeypatch.setattr(owner, name, logged)

    log(kept_file._Mapping, "flush", "cells")
    log(TileJournal, "_append", "line")
    log(os, "fsync", "synced")
    assert run(CLASSIFY) == 0
    assert steps == ["line", "synced", *["cells", "line", "synced"] * ROWS]


def test_another_size_of_tiles_goes_on_too(ended: dict[str, bytes], runs: list[int]) -> None:
    """What may be used of the memory, and with it the size, may differ from run to run."""
    assert run([*CLASSIFY, "--tile", "120"]) == 0
    part, mixed = len(runs), np.load("map.npy")
    assert run([*CLASSIFY, "--tile", "120", "--no-resume"]) == 0
    assert part < len(runs) - part
    assert np.allclose(mixed, np.load("map.npy"), rtol=0, atol=1e-6)


def test_two_at_once_are_refused(expected: dict[str, bytes]) -> None:
    with started(COMMAND, CLASSIFY) as process:
        wait_for(lambda: rows_done() >= 1, process)
        options = ns.PictureOptions("image", tile=64)
        maps = ns.classify_maps("big.png", "netsurgery.toml", size=options, engine="embedded")
        (result,) = maps.to_files({"npy": "map.npy"}, force=True)
        assert isinstance(result.error, OutputError)
        assert str(result.error) == "map.npy: another process is writing it"
    assert process.returncode == 0
    assert outputs() == expected


def test_a_file_that_is_in_the_way(expected: dict[str, bytes], tmp_path: Path) -> None:
    """A link in the place of a journal is not followed."""
    target = tmp_path / "precious"
    target.write_text("precious")
    Path(JOURNAL).symlink_to(target)
    assert run(CLASSIFY) == 1
    assert target.read_text() == "precious"


def test_a_map_with_nan_leaves_its_values_alone(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = EmbeddedNet.forward

    def broken(self: EmbeddedNet, inputs: Any, names: Sequence[str]) -> Any:
        blobs = whole(self, inputs, names)
        blobs[names[0]][0, 3, 0, 0] = np.nan
        return blobs

    monkeypatch.setattr(EmbeddedNet, "forward", broken)
    assert run(CLASSIFY) == 1
    assert "holds NaN in" in capsys.readouterr().err
    assert np.isnan(np.load("map.npy")[3]).sum() > 0
    assert not Path("top.npz").exists()
    assert left() == []


@pytest.mark.parametrize("file", ["f.npy", "f.npz", "f.h5"])
def test_features(
    file: str, folder: Path, runs: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = ["--blob", "conv1"] if file == "f.npy" else ["--blob", "conv1", "--blob", "ip1-conv"]
    line = ["features", "big.png", *blobs, "--engine", "embedded", "-q", "--size", "image"]
    line += ["--tile", "64", "--prototxt", "digits_deploy_full_conv.prototxt"]
    line += ["--weights", "digits_full_conv.caffemodel"]
    assert run([*line, "-o", file]) == 0
    count = len(runs)
    whole = EmbeddedNet.forward
    with monkeypatch.context() as patch:

        def failing(self: EmbeddedNet, *args: object) -> object:
            if len(runs) >= count + count // 2:
                raise EngineFailed("the engine died")
            return whole(self, *args)  # type: ignore[arg-type]

        patch.setattr(EmbeddedNet, "forward", failing)
        uninterrupted = f"g{Path(file).suffix}"
        assert run([*line, "-o", uninterrupted]) == 1
    assert not Path(uninterrupted).exists()
    before = len(runs)
    assert run([*line, "-o", uninterrupted]) == 0
    assert 0 < len(runs) - before < count
    assert Path(uninterrupted).read_bytes() == Path(file).read_bytes()
    assert left() == []


def test_the_journal_says_what_the_map_is_of(ended: dict[str, bytes]) -> None:
    record = json.loads(Path(JOURNAL).read_bytes().splitlines()[0])
    assert {"engine", "net", "weights", "image", "preprocessing"} < set(record)
