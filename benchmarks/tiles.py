"""What tiles cost and save: `classify-map` of a large input as one and in tiles.

    python -m benchmarks.tiles [HxW] [NAME...]

Each row is a process of its own, with one thread, that maps one picture of random pixels, by
default of 2851x2700. Measured are its CPU seconds from when the net is loaded and the peak of its
anonymous memory, which maps of weights are not part of; and whether the map has the very bits of
that of the whole.
"as one stage" is without cuts: each tile is run through the whole net. Names are those of the nets:
the bundled one, one of CaffeNet's size, a ResNet-50 and, where they lie beside this repository,
GoogLeNet and SqueezeNet. All but the first and the last have random weights.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.forwards import ROOT
from benchmarks.materials import CAFFENET, Materials, with_fillers
from benchmarks.peak import watch_peak
from benchmarks.resnet import resnet50

__all__ = ["SHARED", "dense", "main", "measure", "originals"]

SHARED = ROOT.parent / "shared" / "data"

#: How each net is run: the pixels of a tile, what may be used, and whether in stages.
_RUNS: tuple[tuple[str | int, str | None, bool], ...] = (
    ("none", None, True),
    (1100, None, False),
    (1100, None, True),
    ("auto", "1GiB", False),
    ("auto", "1GiB", True),
    ("auto", "400MiB", True),
)

Files = tuple[Path, Path]


def measure(
    net: Files, size: tuple[int, int], tile: Any, limit: str | None, staged: bool
) -> dict[str, Any]:
    """CPU seconds, peak bytes, the note on tiles and a digest of the map, in this process."""
    import numpy as np

    import netsurgery as ns
    from netsurgery.net import staging

    if not staged:
        vars(staging)["find_cuts"] = lambda *_: ()
    seen = watch_peak()
    ns.set_max_memory(limit)
    options = ns.PictureOptions("image", tile=tile)
    engine = ns.EngineOptions("embedded", threads=1)
    settings = ns.Settings(*net, raw_scale=255.0)
    with ns.open_mapper(settings, engine, size=options) as mapper:
        mapper.load()
        shape = (*size, 1 if mapper.source.channels == 1 else 3)
        picture = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        before = time.process_time()
        class_map = mapper.map(picture)
        seconds = time.process_time() - before
    return {
        "seconds": seconds,
        "peak": max(seen),
        "digest": hashlib.sha256(class_map.values.tobytes()).hexdigest(),
        "note": class_map.notes.get("tiles", ""),
    }


def originals(folder: Path) -> dict[str, tuple[Path, Path | None]]:
    """Name -> a net and its weights, None for random ones."""
    resnet = folder / "resnet50.prototxt"
    resnet.write_text(resnet50())
    squeezenet = SHARED / "models" / "squeezenet"
    nets: dict[str, tuple[Path, Path | None]] = {
        "digits": (
            ROOT / "prototxt/digits_deploy.prototxt",
            ROOT / "models/digits/digits.caffemodel",
        ),
        "CaffeNet's size": (CAFFENET.prototxt, None),
        "ResNet-50": (resnet, None),
        "GoogLeNet": (SHARED / "bvlc" / "bvlc_googlenet.prototxt", None),
        "SqueezeNet": (
            squeezenet / "SqueezeNet_deploy.prototxt",
            squeezenet / "squeezenet.caffemodel",
        ),
    }
    return {name: (net, weights) for name, (net, weights) in nets.items() if net.is_file()}


def dense(folder: Path, net: Path, weights: Path | None) -> Files:
    """The net made fully convolutional, and its weights."""
    materials = Materials(folder, CAFFENET)
    if weights is None:
        filled, weights = folder / "filled.prototxt", folder / "filled.caffemodel"
        filled.write_text(with_fillers(net.read_text()))
        materials.run("init", filled, "-o", weights, "--seed", 1, "-q")
    dense = folder / "dense.prototxt", folder / "dense.caffemodel"
    places: list[str | Path] = ["--prototxt-out", dense[0], "--weights-out", dense[1]]
    materials.run("convert", net, weights, *places, "--engine", "embedded", "-q")
    return dense


def main(words: list[str]) -> None:
    """A row for each net and way of running it."""
    if words[:1] == ["--child"]:
        net, weights, size, tile, limit, staged = words[1:]
        height, width = map(int, size.split("x"))
        side = int(tile) if tile.isdigit() else tile
        measured = measure(
            (Path(net), Path(weights)), (height, width), side, limit or None, staged == "staged"
        )
        print(json.dumps(measured))
        return
    sizes = [word for word in words if re.fullmatch(r"\d+x\d+", word)] or ["2851x2700"]
    names = [word for word in words if word not in sizes]
    columns = "tiles | arithmetic, times | CPU | CPU, times | anonymous memory | bits of the whole"
    print(f"| net, {sizes[0]} | {columns} |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as nets:
        for name, files in originals(Path(nets)).items():
            if not names or name in names:
                with tempfile.TemporaryDirectory() as folder:
                    _rows(name, dense(Path(folder), *files), sizes[0])


def _rows(name: str, files: Files, size: str) -> None:
    whole: dict[str, Any] = {}
    for tile, limit, staged in _RUNS:
        command = [sys.executable, "-m", "benchmarks.tiles", "--child", *map(str, files), size]
        done = subprocess.run(
            [*command, str(tile), limit or "", "staged" if staged else "as one stage"],
            cwd=ROOT, stdout=subprocess.PIPE, check=False,
        )  # fmt: skip
        if done.returncode:  # the reason is on standard error
            continue
        result = json.loads(done.stdout)
        whole = whole or result
        how = re.sub(r"^the net was run in |, [^,]* times the arith.*", "", result["note"])
        how = how.replace("'", "`") or "the whole"
        how += "" if staged else ", as one stage"
        times = re.findall(r"([\d.]+) times the arithmetic", result["note"]) or ["1.00"]
        print(
            f"| {name} | {how}{f' ({limit})' if limit else ''} | {times[0]} "
            f"| {result['seconds']:.1f} s "
            f"| {result['seconds'] / whole['seconds']:.2f} | {result['peak'] / 2**20:.0f} MiB "
            f"| {'yes' if result['digest'] == whole['digest'] else 'no'} |",
            flush=True,
        )


if __name__ == "__main__":
    main(sys.argv[1:])
