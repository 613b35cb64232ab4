"""Time and what is printed grow with the net, not with its square.

Every line of netsurgery that a command runs is counted, for a net, one of twice the layers and
one of four times: a line that looks at every layer for every layer is seen at once, however cheap
it is, and nothing depends on a clock. What C functions go through is timed by `benchmarks.layers`.
Each command is run on every tenth shape of nets, and each shape has a tenth of the commands;
`make lines` runs all on all.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, TypeAlias

import pytest
from every_command import COMMANDS

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # benchmarks/ is not installed

from benchmarks.layers import LINES, folder_of, run, words
from benchmarks.many_layers import SHAPES
from netsurgery.cli import run as run_command
from netsurgery.diagram.typeface import text_width
from netsurgery.drawing.fonts import FONTS, Fonts

#: What sys.settrace takes.
Tracer: TypeAlias = Callable[[FrameType, str, Any], Any]

_OURS = f"{os.sep}netsurgery{os.sep}"
_SIZE = 8
#: Every how manyth command a shape has.
_SHARE = int(os.environ.get("NETSURGERY_LINES", "10"))
#: A line may be run so many times more for what begins only in larger nets.
_SLACK = 70


@pytest.fixture(autouse=True)
def _embedded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETSURGERY_ENGINE", "embedded")


def test_every_command_is_among_those_measured() -> None:
    assert {line.split()[0] for line in LINES.values()} == set(COMMANDS)


def _commands(shape: str) -> list[str]:
    """The commands of a shape, others for each of some neighbours."""
    return list(LINES)[list(SHAPES).index(shape) % _SHARE :: _SHARE]


def test_every_command_has_shapes_and_every_shape_commands() -> None:
    had = Counter(command for shape in SHAPES for command in _commands(shape))
    assert set(had) == set(LINES)
    assert min(had.values()) >= len(SHAPES) // _SHARE


@pytest.mark.parametrize("shape", SHAPES)
def test_no_line_is_run_for_every_pair_of_layers(shape: str) -> None:
    counts: dict[str, list[Counter[str]]] = {command: [] for command in _commands(shape)}
    for size in (_SIZE, 2 * _SIZE, 4 * _SIZE):
        with folder_of(shape, size) as net:
            for command in counts:
                if size == _SIZE:
                    run(words(command, net))  # what is imported and kept the first time
                counts[command].append(_lines_run(words(command, net)))
    steep = [
        f"{command}: {place} {[each[place] for each in several]}"
        for command, several in counts.items()
        for place in _steep(*several)
    ]
    assert not steep, "\n".join(steep)


def _steep(small: Counter[str], middle: Counter[str], large: Counter[str]) -> Iterator[str]:
    """The places that are met more than some two and a half times as often by twice the layers."""
    for place, count in large.items():
        if count - middle[place] > 2.5 * max(middle[place] - small[place], 0) + _SLACK:
            yield place


def _lines_run(line: list[str]) -> Counter[str]:
    """file:line -> how many times the command runs it, lettering all of its text again."""
    text_width.cache_clear()
    vars(FONTS).update(vars(Fonts()))
    files: dict[str, Counter[int]] = {}
    tracers: dict[str, Tracer | None] = {}

    def tracer(path: str) -> Tracer | None:
        if _OURS not in path:
            return None
        lines = files[path] = Counter()

        def local(frame: FrameType, event: str, _: Any) -> Any:
            if event == "line":
                lines[frame.f_lineno] += 1
            return local

        return local

    def entered(frame: FrameType, _: str, __: Any) -> Any:
        path = frame.f_code.co_filename
        if path not in tracers:
            tracers[path] = tracer(path)
        return tracers[path]

    before = sys.gettrace()
    sys.settrace(entered)
    try:
        run(line)
    finally:
        sys.settrace(before)
    return Counter({
        f"{path.rpartition(_OURS)[2]}:{number}": count
        for path, lines in files.items()
        for number, count in lines.items()
    })  # fmt: skip


def test_an_endless_name_makes_one_cell_long_and_no_column(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "n" * (1 << 16)
    net = SHAPES["chain"](200)
    path = tmp_path / "a.prototxt"
    path.write_text(net.text.replace('"conv7"', f'"{name}"'))
    assert run_command(["inspect", str(path)]) == 0
    table = capsys.readouterr().out.splitlines()
    assert all(len(line) < 1000 for line in table)
    assert any("nnn...nnn" in line for line in table)
    assert run_command(["inspect", str(path), "--json"]) == 0
    assert name in {layer["name"] for layer in json.loads(capsys.readouterr().out)["layers"]}
