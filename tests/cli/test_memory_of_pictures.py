"""A picture that is too much for the memory: it is named, and the others are done."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import FakeEngine
from PIL import Image

from netsurgery.cli import run
from netsurgery.engines.contract import EngineOptions
from netsurgery.errors import ImageError
from netsurgery.maps.image import Picture
from netsurgery.maps.map_source import MapSource
from netsurgery.maps.mapper import Mapper
from netsurgery.maps.transformer import Transformer
from netsurgery.net.net_with_weights import NetWithWeights

ROOT = Path(__file__).resolve().parents[2]
#: The net is that of the folder's netsurgery.toml.
NET = ["--engine", "embedded"]

#: Runs a command with as much address space as it has with the net loaded, and some MiB more.
LIMITED = """
import re, resource, sys
from netsurgery.cli import run
more, out, words = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
assert run([words[0], "a.png", *words[4:], *out.split()]) == 0
size = int(re.search(r"VmSize:\\s+(\\d+)", open("/proc/self/status").read())[1]) << 10
resource.setrlimit(resource.RLIMIT_AS, (size + (more << 20),) * 2)
sys.exit(run(words))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two small pictures, and between them one of 100 million pixels that only goes in whole."""
    small = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40), dtype=np.uint8))
    for name in ("a.png", "c.png"):
        small.save(tmp_path / name)
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.new("RGB", (10000, 10000)).save(tmp_path / "b.png", exif=turned)
    digits = [ROOT / "prototxt/digits_deploy.prototxt", ROOT / "models/digits/digits.caffemodel"]
    words = ["-o", str(tmp_path), "--engine", "embedded", "-q"]
    assert run(["convert", *map(str, digits), *words]) == 0
    return tmp_path


def in_child(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("NETSURGERY_")}
    environment.update(PYTHONPATH=str(ROOT), OPENBLAS_NUM_THREADS="1")
    return subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True
    )


COMMANDS = {
    "classify-map": (["--npy", "maps/"], "--npy one.npy", ["maps/a.npy", "maps/c.npy"]),
    "features": (
        ["--blob", "prob", "--picture", "grids/"],
        "--blob prob --picture one.png",
        ["grids/a_prob.png", "grids/c_prob.png"],
    ),
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("how", ["the budget", "the system"])
def test_a_batch_goes_on(folder: Path, command: str, how: str) -> None:
    options, arguments, written = COMMANDS[command]
    words = [
        command,
        "a.png",
        "b.png",
        "c.png",
        *options,
        *NET,
        "--size",
        "40x40",
        "-q",
    ]
    if how == "the budget":
        done = in_child(folder, "-m", "netsurgery", *words, "--max-memory", "300MiB")
        said = "b.png: decoding it needs 381.6 MiB of memory; 300.0 MiB may be used (--max-memory)"
    else:
        first = arguments + " --force --size 40x40 -q " + " ".join(NET)
        done = in_child(folder, "-c", LIMITED, "250", first, *words, "--max-memory", "64GiB")
        said = "b.png: not enough memory for this picture"
    assert len(done.stderr.splitlines()) == 2, done.stderr
    first_line, last_line = done.stderr.splitlines()
    assert first_line.startswith(f"error: {said}")
    assert last_line == "1 of 3 images failed"
    assert done.returncode == 1
    assert sorted(os.listdir(folder / Path(written[0]).parent)) == [Path(p).name for p in written]


@pytest.mark.parametrize("command", COMMANDS)
def test_one_alone_is_named(folder: Path, command: str) -> None:
    _, arguments, _ = COMMANDS[command]
    words = [command, "b.png", *arguments.split(), *NET, "-q", "--max-memory", "300MiB"]
    done = in_child(folder, "-m", "netsurgery", *words)
    assert done.returncode == 1
    assert done.stderr.startswith("error: b.png: decoding it needs")
    assert done.stderr.endswith(
        "; its EXIF orientation is 6; save it upright to have it read in strips\n"
    )
    assert len(done.stderr.splitlines()) == 1
    assert not list(folder.glob("one.*"))


PROTOTXT = """\
input: "data"
input_shape { dim: 1 dim: 3 dim: 8 dim: 8 }
layer { name: "pool" type: "Pooling" bottom: "data" top: "pool"
  pooling_param { pool: AVE kernel_size: 4 stride: 4 } }
"""


def test_memory_that_runs_out_in_the_engine(tmp_path: Path) -> None:
    """The picture is named, and the next one gets a new engine."""
    (tmp_path / "net.prototxt").write_text(PROTOTXT)
    calls: list[int] = []

    def forward(inputs: dict[str, Any]) -> dict[str, Any]:
        calls.append(1)
        if len(calls) == 1:
            raise MemoryError
        return {"pool": np.zeros((1, 3, 2, 2), np.float32)}

    engine = FakeEngine(forward, {"data": (1, 3, 8, 8)})
    mapper = Mapper(
        MapSource.of_map(NetWithWeights.open(tmp_path / "net.prototxt", tmp_path / "none")),
        Transformer(3),
        EngineOptions(),
        opener=engine.open,
    )
    picture = Picture("cat.png", np.zeros((8, 8, 3), np.uint8))
    with mapper:
        with pytest.raises(ImageError) as error:
            mapper.map(picture, "image")
        assert str(error.value) == "cat.png: not enough memory for this picture"
        assert mapper.map(picture, "image").shape == (2, 2)
