"""How long commands take by the number of layers: four times the layers, four times the time.

python -m benchmarks.layers [--shapes chain,shared] [--commands diff] [--sizes 1000,4000,16000]

Whole commands are called in this process, so that starting Python does not count, and garbage is
looked for as rarely as by the command. A time is the least of several, of the processor; the last
column is a layer's time in the largest net by that in the smallest.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import io
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.many_layers import SHAPES, Written
from netsurgery.cli import GARBAGE

__all__ = ["LINES", "folder_of", "main", "run", "words"]

#: Command -> its words, for net a and weights a, and net b in which some layers have other names;
#: FIRST and LAST are layers with params, BLOB is the first one's top, grey.png a picture,
#: truth.json annotates it.
LINES: dict[str, str] = {
    "inspect": "inspect a.prototxt a.caffemodel",
    "inspect --field": "inspect a.prototxt --field --json",
    "check": "check a.prototxt a.caffemodel",
    "convert --dry-run": "convert a.prototxt a.caffemodel --dry-run --on-refusal skip",
    "convert": "convert a.prototxt a.caffemodel -o out --on-refusal skip --force",
    "dense": "dense a.prototxt --stride 1 -o dense.prototxt --force",
    "diff": "diff a.prototxt a.caffemodel b.prototxt b.caffemodel",
    "diff --text": "diff a.prototxt b.prototxt --text",
    "draw": "draw a.prototxt -o net.svg --force",
    "draw --fold": "draw a.prototxt -o net.svg --fold --force",
    "upgrade": "upgrade a.prototxt -o out.prototxt --force",
    "export": "export a.prototxt a.caffemodel -o out.onnx --force",
    "init": "init a.prototxt -o out.caffemodel --force",
    "edit --dry-run": "edit a.prototxt a.caffemodel LAST[0]*=2 -o out.caffemodel --dry-run",
    "edit fold": "edit a.prototxt a.caffemodel fold -o out.h5 --prototxt-out out --force",
    "edit outputs": (
        "edit a.prototxt a.caffemodel outputs:FIRST:add=1 -o out.caffemodel --prototxt-out out "
        "--force"
    ),
    "transplant --dry-run": (
        "transplant a.prototxt a.caffemodel a.prototxt -o out.caffemodel --dry-run"
    ),
    "transplant": (
        "transplant a.prototxt a.caffemodel b.prototxt b.caffemodel -o out.caffemodel --force"
    ),
    "features": (
        "features grey.png --prototxt a.prototxt --weights a.caffemodel --blob BLOB -o out.npz "
        "--force"
    ),
    "classify-map": (
        "classify-map grey.png --prototxt a.prototxt --weights a.caffemodel --blob BLOB "
        "--npy out.npy --force"
    ),
    "setup": (
        "setup a.prototxt a.caffemodel --image grey.png --class 0 --blob BLOB "
        "--preprocess scaled --force"
    ),
    "evaluate": (
        "evaluate . --annotations truth.json --prototxt a.prototxt --weights a.caffemodel "
        "--blob BLOB --classes x=none"
    ),
    "train plan": (
        "train plan a.prototxt a.caffemodel --annotations truth.json --images . -o plan "
        "--pictures 0 --force"
    ),
    "verify": "verify a.prototxt a.caffemodel a.prototxt a.caffemodel",
}

_TRUTH = '{"classes": ["x"], "pictures": [{"file": "grey.png"}]}'

#: 1: `diff` has found a difference, `check` an error.
_DONE = (0, 1)

_SIZES = (1000, 4000, 16000)
#: Of verify most is the engine's own time: it runs a net that keeps every blob.
_NOT_TIMED = ("verify",)


@contextlib.contextmanager
def folder_of(shape: str, size: int) -> Iterator[Written]:
    """Go to a folder with the nets a and b of this shape and size, their weights and a picture."""
    from PIL import Image

    before = os.getcwd()
    with tempfile.TemporaryDirectory() as name:
        os.chdir(name)
        try:
            net, second = SHAPES[shape](size), SHAPES[shape](size)
            second.rename("fc", "full")
            second.rename("conv", "convolved")
            net.save(Path(), "a")
            second.save(Path(), "b")
            Image.new("L", (8, 8), 7).save("grey.png")
            Path("truth.json").write_text(_TRUTH)
            yield net
        finally:
            os.chdir(before)


def words(command: str, net: Written) -> list[str]:
    """The words of one of `LINES` for this net."""
    names = {"FIRST": net.params[0][0], "LAST": net.params[-1][0], "BLOB": net.first_top}
    return [_filled(word, names) for word in LINES[command].split()]


def _filled(word: str, names: Mapping[str, str]) -> str:
    for name, value in names.items():
        word = word.replace(name, value)
    return word


def collect_as_the_command_does() -> None:
    """Have Python look for garbage as seldom as in the command, not after 700 new objects."""
    from netsurgery.cli import GARBAGE

    gc.set_threshold(GARBAGE)


def run(line: Sequence[str]) -> tuple[int, str]:
    """The exit code of a command line, and what it prints on standard error."""
    from netsurgery.cli import run as run_command

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        return run_command(list(line)), err.getvalue()


def _least(line: Sequence[str], times: int) -> float:
    measured = []
    for _ in range(times):
        gc.collect()
        started = time.process_time()
        code, err = run(line)
        measured.append(time.process_time() - started)
        if code not in _DONE:
            raise SystemExit(f"{' '.join(line)}: exit code {code}: {err}")
    return min(measured)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.layers", description=__doc__)
    parser.add_argument("--shapes", default="chain")
    parser.add_argument("--commands", default="")
    parser.add_argument("--sizes", default=",".join(map(str, _SIZES)))
    args = parser.parse_args()
    os.environ["NETSURGERY_ENGINE"] = "embedded"
    collect_as_the_command_does()
    gc.set_threshold(GARBAGE)
    sizes = [int(size) for size in args.sizes.split(",")]
    shapes = list(SHAPES) if args.shapes == "all" else args.shapes.split(",")
    commands = [command for command in LINES if command not in _NOT_TIMED]
    commands = args.commands.split(",") if args.commands else commands
    print("| shape | command |" + "".join(f" {size:,} |" for size in sizes) + " a layer |")
    print("|---|---|" + "---|" * (len(sizes) + 1))
    for shape in shapes:
        for command in commands:
            taken = []
            for size in sizes:
                with folder_of(shape, size) as net:
                    line = words(command, net)
                    run(line)  # imports
                    taken.append(_least(line, 3 if size <= sizes[0] else 2))
            ratio = taken[-1] / taken[0] * sizes[0] / sizes[-1]
            cells = "".join(f" {seconds:.2f} s |" for seconds in taken)
            print(f"| {shape} | `{command}` |{cells} {ratio:.2f} x |", flush=True)


if __name__ == "__main__":
    main()
