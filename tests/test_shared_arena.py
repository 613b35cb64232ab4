"""Stages share the memory that their runs take: what they take together, and what stays of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from netsurgery.cli import run
from netsurgery.engines.contract import EngineOptions
from netsurgery.engines.ort import EmbeddedEngine
from netsurgery.formats.prototxt import Prototxt
from netsurgery.io.memory import left, parse_memory, set_max_memory
from netsurgery.net.memory import embedded_memory, embedded_work
from netsurgery.net.net import NetDefinition
from netsurgery.net.shapes import infer
from netsurgery.net.staging import Staging, find_stages
from netsurgery.net.tiles import EXACT_CELLS

_MIB = 1 << 20
_CONV = 'weight_filler { type: "msra" } kernel_size: 3 pad: 1'


def _conv(name: str, bottom: str, outputs: int) -> str:
    return (
        f'layer {{ name: "{name}" type: "Convolution" bottom: "{bottom}" top: "{name}" '
        f"convolution_param {{ num_output: {outputs} {_CONV} }} }}\n"
        f'layer {{ name: "{name}_relu" type: "ReLU" bottom: "{name}" top: "{name}" }}\n'
    )


def _pool(name: str, bottom: str) -> str:
    return (
        f'layer {{ name: "{name}" type: "Pooling" bottom: "{bottom}" top: "{name}" '
        "pooling_param { pool: MAX kernel_size: 2 stride: 2 } }\n"
    )


_HEAD = 'input: "data" input_shape { dim: 1 dim: 3 dim: 64 dim: 64 }\n'
_NET = (
    _HEAD + _conv("c1", "data", 16) + _conv("c2", "c1", 16) + _pool("p2", "c2")
    + _conv("c3", "p2", 32) + _conv("c4", "c3", 32) + _pool("p4", "c4")
    + _conv("c5", "p4", 64) + _conv("c6", "c5", 64) + _pool("p6", "c6")
    + _conv("c7", "p6", 96) + _conv("c8", "c7", 96) + _pool("p8", "c8")
    + _conv("c9", "p8", 96) + _conv("c10", "c9", 96)
)  # fmt: skip

#: Maps a picture in its own size within a limit: the limit, the growth of the peak of anonymous
#: memory, what is left of it when the mapper is closed, a note, and a digest of the map.
_MAPPED = r"""
import hashlib, json, re, sys
import numpy as np
import netsurgery as ns
from netsurgery.engines import ort_arena
def status():
    with open("/proc/self/status") as file:
        return {k: int(v) << 10 for k, v in re.findall(r"(\w+):\s+(\d+) kB", file.read())}
limit, tile, shared = sys.argv[1:]
if not shared:
    ort_arena.share = lambda settings: None
ns.set_max_memory(limit)
tile = int(tile) if tile.isdigit() else tile
engine = ns.EngineOptions("embedded", threads=1)
size = ns.PictureOptions("image", tile=tile)
picture = np.random.default_rng(0).integers(0, 256, (1500, 1500, 3), np.uint8)
settings = ns.Settings("net.prototxt", "net.caffemodel")
with ns.open_mapper(settings, engine, blob="c10", size=size) as mapper:
    mapper.load()
    before = status()["RssAnon"]
    result = mapper.map(picture)
    peak = status()["VmHWM"] - status()["RssFile"]
    digest = hashlib.sha256(result.values.tobytes()).hexdigest()
    note = result.notes.get("tiles", "")
    del result
    after = status()["RssAnon"]
print(json.dumps([peak - before, after - before, note, digest]))
"""


class _Mapped(NamedTuple):
    """What a child has measured."""

    peak: int
    after: int
    note: str
    digest: str


def _mapped(limit: str, tile: str, shared: bool = True) -> _Mapped:
    command = [sys.executable, "-c", _MAPPED, limit, tile, "shared" if shared else ""]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True, timeout=300)
    return _Mapped(*json.loads(done.stdout))


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    monkeypatch.chdir(tmp_path)
    Path("net.prototxt").write_text(_NET)
    assert run(["init", "net.prototxt", "-o", "net.caffemodel", "--seed", "1", "-q"]) == 0
    return tmp_path / "net.prototxt", tmp_path / "net.caffemodel"


@pytest.mark.skipif(sys.platform != "linux", reason="/proc says what a process takes")
@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("limit", ["140MiB", "250MiB"])
def test_stages_take_no_more_than_the_limit_and_give_it_back(limit: str) -> None:
    staged, whole = _mapped(limit, "auto"), _mapped("8GiB", "none")
    assert ", from '" in staged.note
    assert staged.digest == whole.digest
    assert staged.peak <= parse_memory(limit) < whole.peak
    assert staged.after <= staged.peak // 3 + 8 * _MIB
    apart = _mapped(limit, "auto", shared=False)
    assert (apart.note, apart.digest) == (staged.note, staged.digest)
    assert staged.peak < 0.95 * apart.peak


#: Runs a net at three sizes in turn: what is claimed for that, and the growth of the peak.
_IN_TURN = r"""
import json, re, sys
from pathlib import Path
import numpy as np
from netsurgery.engines.contract import EngineOptions
from netsurgery.engines.ort import EmbeddedEngine
from netsurgery.io.memory import left, set_max_memory
def status():
    with open("/proc/self/status") as file:
        return {k: int(v) << 10 for k, v in re.findall(r"(\w+):\s+(\d+) kB", file.read())}
set_max_memory("4GiB")
free, before = left(), status()["RssAnon"]
with EmbeddedEngine(EngineOptions("embedded", threads=1)) as engine:
    nets = []
    for blob, side in zip(sys.argv[1::2], map(int, sys.argv[2::2])):
        net = engine.load(Path("net.prototxt"), Path("net.caffemodel"), in_turn=True)
        net.reshape({"data": (1, 3, side, side)})
        nets.append((net, blob, side))
    for _ in range(3):
        for net, blob, side in nets:
            net.forward({"data": np.ones((1, 3, side, side), np.float32)}, [blob])
    print(json.dumps([free - left(), status()["VmHWM"] - status()["RssFile"] - before]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc says what a process takes")
@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(
    "words", ["c1 600 c10 610 p2 620", "c10 600 c10 620 c10 640", "c4 300 c1 900 c10 700"]
)
def test_what_is_left_by_one_net_fits_no_other_and_is_counted(words: str) -> None:
    """Blobs of other sizes may find no room in what is there: the memory claimed suffices."""
    command = [sys.executable, "-c", _IN_TURN, *words.split()]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True, timeout=300)
    claimed, peak = json.loads(done.stdout)
    assert peak <= claimed


def test_stages_that_run_in_turn_in_the_same_memory_compute_less() -> None:
    """The most that any takes while it runs is counted, and what all keep."""
    net = NetDefinition.of(Prototxt.parse(_NET))
    place = net, "data", (1, 3, 64, 64), (4000, 4003), ["c10"], embedded_memory
    apart, together = find_stages(*place), find_stages(*place, embedded_work)
    assert isinstance(apart, Staging)
    assert isinstance(together, Staging)
    tiles = {ends: apart.parts[ends].least(EXACT_CELLS + 1)[1] for ends in ((0, 1), (1, apart.end))}
    work = [together.parts[ends].work_of(tile) for ends, tile in tiles.items()]
    assert apart.plan(tiles).memory - together.plan(tiles).memory == min(work) > 0
    least, computed = apart.least(EXACT_CELLS + 1).memory, []
    for allowed in (2 * least, 3 * least, 4 * least):
        plans = [staging.within(allowed, EXACT_CELLS + 1) for staging in (apart, together)]
        assert all(plan is not None and plan.memory <= allowed for plan in plans)
        computed.append([plan.overhead for plan in plans if plan is not None])
    assert all(second <= first for first, second in computed)
    assert any(second < first - 0.01 for first, second in computed), computed


@pytest.mark.usefixtures("fresh_budget")
def test_nets_that_run_in_turn_are_counted_once(files: tuple[Path, Path]) -> None:
    """The larger of what their runs take, until the last of them is closed."""
    net = NetDefinition.read(files[0])
    set_max_memory("1GiB")
    free = left()
    with EmbeddedEngine(EngineOptions("embedded", threads=1)) as engine:
        apart = [engine.load(net, files[1]) for _ in range(2)]
        shared = [engine.load(net, files[1], in_turn=True) for _ in range(2)]
        read = free - left()
        sides = (256, 128)
        taken = []
        for nets in (apart, shared):
            before, results = left(), []
            for side, loaded in zip(sides, nets, strict=True):
                loaded.reshape({"data": (1, 3, side, side)})
                data = np.ones((1, 3, side, side), np.float32)
                results.append(loaded.forward({"data": data}, ["c10"])["c10"].tobytes())
            taken.append((before - left(), results))
        work = embedded_work(net, infer(net, {"data": (1, 3, 128, 128)}), ["c10"])
        assert taken[0][0] - taken[1][0] == work > 0
        assert taken[0][1] == taken[1][1]
        shared[0].close()
        shared[1].forward({"data": data}, ["c10"])
        for loaded in (*shared, *apart):
            loaded.close()
            loaded.close()
        assert free - left() <= read
