"""What nets take to run, estimated (`net/memory.py`) and measured, in both engines.

    python -m benchmarks.memory [NET MODEL HxW|-]...

Each row is a process of its own that loads the net, gives its input that size ("-": leaves it as
the net declares it) and runs it twice.
Measured is the growth of the peak of the process's anonymous memory, and of the worker's where
there is one, from when the engine is ready and has no net. Without arguments: the bundled net and,
where they lie beside this repository, others' nets.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from netsurgery.engines.contract import EngineChoice, EngineOptions
from netsurgery.engines.registry import open_engine
from netsurgery.errors import EngineMissing
from netsurgery.io.memory import size_text
from netsurgery.net.net import NetDefinition

__all__ = ["main", "measure"]

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared" / "data" / "models"


Size = tuple[int, int]


@dataclass(frozen=True)
class _Case:
    """A net, its weights, and the sides of its input."""

    folder: Path
    net: str
    model: str
    sides: tuple[int, ...]


_CASES = (
    _Case(SHARED / "squeezenet", "SqueezeNet_deploy", "squeezenet", (227, 700, 2000)),
    _Case(SHARED / "mtcnn", "det1", "det1", (200, 1500)),
    _Case(SHARED / "landmark68_bn", "deploy_68_new", "vgg_68_new", (60,)),
)


def measure(engine: str, prototxt: str, weights: str, size: Size | None) -> tuple[int, int]:
    """Bytes estimated and measured, in this process, for one input of that size or as declared."""
    import numpy as np

    net = NetDefinition.read(prototxt)
    with open_engine(EngineOptions(cast(EngineChoice, engine))) as opened:
        before = _peaks(opened)
        loaded = opened.load(net, Path(weights))
        (name, shape), *_ = loaded.inputs.items()
        if size is not None:
            shape = (1, *shape[1:2], *size)
            loaded.reshape({name: shape})
        pixels = np.random.RandomState(0).uniform(-120, 130, shape).astype(np.float32)
        estimated = loaded.memory(loaded.inputs, net.outputs)
        for _ in range(2):
            loaded.forward({name: pixels}, net.outputs)
        after = _peaks(opened)
    return estimated, after - before


def _peaks(engine: object) -> int:
    """Peaks of anonymous memory: of what a file is mapped to nothing is counted."""
    worker = getattr(engine, "_worker", None)
    return sum(map(_peak, ["self", *([worker.pid] if worker else [])]))


def _peak(pid: object) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    sizes = {key: int(value) << 10 for key, value in re.findall(r"(\w+):\s+(\d+) kB", status)}
    return sizes["VmHWM"] - sizes["RssFile"]


def _cases(words: list[str]) -> Iterator[tuple[str, str, str]]:
    if words:
        yield from zip(words[::3], words[1::3], words[2::3], strict=True)
        return
    for case in _CASES:
        if case.folder.is_dir():
            net, model = (
                str(case.folder / name)
                for name in (f"{case.net}.prototxt", f"{case.model}.caffemodel")
            )
            yield from ((net, model, f"{side}x{side}") for side in case.sides)


def main(words: list[str]) -> None:
    """A row for each case and engine."""
    if words[:1] == ["--child"]:
        engine, net, model, size = words[1:]
        height, width = (0, 0) if size == "-" else map(int, size.split("x"))
        try:
            print(json.dumps(measure(engine, net, model, (height, width) if height else None)))
        except EngineMissing:
            print("null")
        return
    print(f"{'net':24} {'size':>11} {'engine':9} {'estimated':>11} {'measured':>11} {'times':>6}")
    for net, model, size in _cases(words):
        for engine in ("caffe", "embedded"):
            command = [sys.executable, "-m", "benchmarks.memory", "--child", engine, net, model]
            completed = subprocess.run(
                [*command, size], cwd=ROOT, stdout=subprocess.PIPE, check=True
            )
            result = json.loads(completed.stdout)
            if result:
                estimated, measured = result
                print(
                    f"{Path(net).stem[:24]:24} {size:>11} {engine:9} {size_text(estimated):>11} "
                    f"{size_text(measured):>11} {estimated / measured:6.2f}"
                )


if __name__ == "__main__":
    main(sys.argv[1:])
