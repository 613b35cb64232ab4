"""Every table of the command line: none is wider than the terminal, and all is there on a pipe."""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from drawn_maps import class_map
from fakes import Terminal

import netsurgery as ns
from netsurgery.cli import run
from netsurgery.cli.printing import echo_table
from netsurgery.formats.labels import Labels
from netsurgery.io.table import CellPaint, Column, Table, rule_under
from netsurgery.maps.map_text import TextStyle, table_text
from netsurgery.training.evaluation import Evaluation
from netsurgery.training.run_log import LoggedStep, RunLog
from netsurgery.verbs.train_result import Training

#: Command -> the words behind it; NAME stands for a layer of a long name.
COMMANDS = {
    "inspect": ["net model", "net model --field --stats", "model", "net"],
    "diff": ["net other model weights"],
    "verify": ["net model net weights --engine embedded"],
    "dense": ["full_conv --stride 2 --dry-run"],
    "convert": ["net model --dry-run", "net model -o out --engine embedded"],
    "init": ["net -o new.caffemodel --force"],
    "transplant": ["net model other -o moved.caffemodel --force"],
    "features": ["grey.png --prototxt net --weights model --blob conv1 -o f.npz --force "
                 "--engine embedded --raw-scale 1"],
    "classify-map": ["grey.png --prototxt net --weights model --blob conv3 --engine embedded "
                     "--labels names --summary --raw-scale 1"],
    "presets": [""],
    "train": ["plan net model --annotations truth.json --images . -o out --pictures 0 --force"],
    "train run": ["plan"],
    "train report": ["plan"],
    "evaluate": [". --annotations boxes.json --prototxt net --weights model --blob conv3 --boxes "
                 "--threshold 0 --classes a_class_of_a_rather_long_name=3 --engine embedded"],
    "setup": ["net model --image grey.png --class 3 --engine embedded --force"],
}  # fmt: skip

_COLOR = re.compile(r"\x1b\[[\d;]*m")


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, repo_root: Path) -> Path:
    """A net with long names and one that differs, with their weights, and a picture."""
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    text = (repo_root / "prototxt" / "digits_deploy.prototxt").read_text()
    for name in ("conv2", "ip1"):
        text = text.replace(f'"{name}"', f'"{name}_of_the_branch_with_a_rather_long_name"')
    Path("net").write_text(text)
    Path("other").write_text(re.sub(r'"ip2"', '"another_name"', text))
    for seed, (net, weights) in enumerate((("net", "model"), ("net", "weights"))):
        assert run(["init", net, "-o", weights, "--seed", str(seed), "-q"]) == 0
    Path("full_conv").write_text(ns.convert("net", "model").text)
    Image.linear_gradient("L").resize((40, 40)).save("grey.png")
    classes = [f"class {i} of a rather long name" for i in range(12)]
    truth = {"classes": classes, "pictures": [{"file": "grey.png"}]}
    Path("truth.json").write_text(json.dumps(truth))
    Path("boxes.json").write_text(
        json.dumps({**truth, "classes": ["a_class_of_a_rather_long_name"]})
    )
    labels = (f"n{i} class {i} of a rather long name {i * 'x'}\n" for i in range(32))
    Path("names").write_text("".join(labels))
    training = planned_training()
    monkeypatch.setattr("netsurgery.verbs.train.train", lambda folder, **options: training)
    return tmp_path


def planned_training() -> Training:
    """A plan of a long class name with the log of a run, and what such a run returns."""
    name = "a_class_of_a_rather_long_name"
    picture = {"file": "grey.png", "boxes": [{"class": name, "box": [4, 4, 28, 28]}]}
    Path("drawn.json").write_text(json.dumps({"classes": [name], "pictures": [picture]}))
    solver = ns.SolverSettings(steps=2)
    ns.train_plan(
        "net", "model", "plan", annotations="drawn.json", images=".", pictures=0, solver=solver
    )
    before = Evaluation(0, np.array([[1, 3], [0, 6]]), 2.0, {"grey.png": 2.0})
    after = Evaluation(2, np.array([[3, 1], [2, 4]]), 0.5, {"grey.png": 0.5})
    with RunLog(Path("plan"), 0) as log:
        log.add_evaluation(before)
        log.add(LoggedStep(1, {"loss": 1.0}, 5))
        log.add(LoggedStep(2, {"loss": 0.5}, 5))
        log.add_evaluation(after)
    return Training("plan", 2, 2, ("background", name), before, after, (), "Caffe")


def printed(words: list[str], monkeypatch: pytest.MonkeyPatch, width: int | None) -> list[str]:
    """What a command prints, on a terminal of that width or on a pipe."""
    stream = io.StringIO() if width is None else Terminal()
    monkeypatch.setenv("COLUMNS", str(width or 80))
    monkeypatch.setenv("TERM", "xterm")
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", stream)
        assert run(words) in (0, 1, 2)
    return stream.getvalue().splitlines()


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("width", [20, 30, 40, 60, 80, 120])
def test_a_table_fits_the_terminal(
    files: Path, command: str, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables: list[list[str]] = []
    lines = Table.lines

    def recorded(
        table: Table, width: int | None = None, paint: CellPaint | None = None
    ) -> list[str]:
        tables.append(lines(table, width))
        return lines(table, width, paint)

    monkeypatch.setattr(Table, "lines", recorded)
    for number, words in enumerate(COMMANDS[command]):
        out = printed([*command.split(), *words.split()], monkeypatch, width)
        assert len(tables) > number
        for head, *rows in tables:
            assert max(map(len, (head, *rows))) <= width
        # The header is in bold, and a rule is below it.
        head = tables[-1][0]
        at = out.index(f"\x1b[1m{head}\x1b[0m")
        assert set(out[at + 1]) == {"-"}
        assert len(out[at + 1]) == max(map(len, tables[-1]))


@pytest.mark.parametrize("command", COMMANDS)
def test_a_table_on_a_pipe_is_whole_and_plain(
    files: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables: list[Table] = []
    lines = Table.lines

    def recorded(
        table: Table, width: int | None = None, paint: CellPaint | None = None
    ) -> list[str]:
        tables.append(table)
        assert width is None
        return lines(table, width, paint)

    monkeypatch.setattr(Table, "lines", recorded)
    for words in COMMANDS[command]:
        out = printed([*command.split(), *words.split()], monkeypatch, None)
        assert not _COLOR.search("\n".join(out))
        titles = [column.title for column in tables[-1].columns]
        assert any(all(title in line for title in titles) for line in out)


def test_every_command_with_a_table_is_here(repo_root: Path) -> None:
    folder = repo_root / "netsurgery" / "cli"
    users = {
        path.stem.replace("train_", "train ").replace("_", "-")
        for path in folder.glob("*.py")
        if re.search(r"^ +echo_table\(", path.read_text(), re.MULTILINE)
    }
    # The table of classes is drawn with the map: its class numbers have the map's colours.
    assert users - {"printing"} | {"classify-map"} == set(COMMANDS)


COLUMNS = (Column("layer"), Column("type", 2), Column("shape", 1), Column("count", 3, number=True))


def test_columns_go_by_their_rank() -> None:
    table = Table(COLUMNS)
    table.add("inception_4a/1x1_reduce", "Convolution", "1x3x227x227", "1,234,567")
    assert table.lines() == [
        "layer                    type         shape            count",
        "inception_4a/1x1_reduce  Convolution  1x3x227x227  1,234,567",
    ]
    heads = {width: table.lines(width)[0].split() for width in (60, 55, 40, 27, 8)}
    assert heads[60] == heads[55] == ["layer", "type", "shape", "count"]
    assert heads[40] == ["layer", "type", "shape"]
    assert heads[27] == ["layer", "shape"]
    assert heads[8] == ["layer"]
    assert table.lines(55)[1].startswith("inception_...educe  Conv")
    for width in range(1, 70):
        assert max(map(len, table.lines(width))) <= width


def test_numbers_are_right_aligned_and_never_cut() -> None:
    table = Table((Column("a"), Column("n", number=True)))
    table.add("x" * 30, "123,456")
    table.add("y", "7")
    assert table.lines(20) == [
        "a                  n",
        "xxxxxx...xx  123,456",
        "y                  7",
    ]


def test_wide_letters_count_twice() -> None:
    table = Table((Column("class"), Column("n", number=True)))
    table.add("猫", "1")
    table.add("cat", "2")
    assert table.lines() == ["class  n", "猫     1", "cat    2"]


def test_parts_of_a_hundred_say_so() -> None:
    """Before and after a training: what stands beside cells, which are counted."""
    counts = np.array([[1, 3], [0, 6]]), np.array([[4, 0], [1, 5]])
    before, after = (Evaluation(step, each, 1.0, {}) for step, each in enumerate(counts))
    trained = Training("plan", 1, 1, ("a", "b"), before, after, (), "Caffe")
    assert trained.table().rows == [
        ("a", "4", "25.00%", "100.00%", "100.00%", "80.00%"),
        ("b", "6", "100.00%", "83.33%", "66.67%", "100.00%"),
    ]


@pytest.mark.parametrize(
    ("name", "width"),
    [("猫", 2), ("e\u0301", 1), ("\u0e41\u0e21\u0e31\u0e27", 3), ("\u26a0\ufe0f", 1)],
)
def test_marks_take_no_column(name: str, width: int) -> None:
    """Those of Latin letters, and of scripts whose signs have no class as combining ones."""
    table = Table((Column("name"), Column("n", number=True)))
    table.add(name, "1")
    table.add("cat", "2")
    lines = table.lines()
    assert lines == ["name  n", f"{name}{' ' * (4 - width)}  1", "cat   2"]
    assert rule_under(lines) == "-------"


def test_the_line_under_a_header_is_as_wide_as_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of every command's table, and of the classes of a map: letters may take two columns."""
    monkeypatch.setenv("NO_COLOR", "1")
    name = "\u732b" * 10
    table = Table((Column("name"),))
    table.add(name)
    stream = Terminal()
    monkeypatch.setattr(sys, "stdout", stream)
    echo_table(table)
    mapped = class_map(np.ones((1, 2, 2)), labels=Labels("w", (name,)))
    classes = table_text(mapped, TextStyle(columns=80)).splitlines()
    assert stream.getvalue().splitlines() == ["name", "-" * 20, name]
    assert classes[2].endswith(name)
    assert classes[1] == "-" * (len(classes[2]) + 10)


def test_html_has_every_column_and_escapes() -> None:
    table = Table(COLUMNS)
    table.add("<b>", "T", "1x2", "3")
    html = table.html()
    assert "&lt;b&gt;" in html
    assert html.count("<th") - html.count("<thead") == 4
    assert html.count("text-align: right") == 2
