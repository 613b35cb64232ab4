"""The benchmark's own plumbing; what it measures is not tested."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # benchmarks/ is not installed

from benchmarks import gpu, table
from benchmarks.huge import BEGIN as HUGE
from benchmarks.huge import PLOT
from benchmarks.line_plot import Line, line_plot
from benchmarks.materials import SMALL, Materials, with_fillers
from benchmarks.measure import Run, Summary, alternate, run
from benchmarks.table import BEGIN, END, Row, at_least, at_most, pasted
from netsurgery.drawing.svg import to_svg
from netsurgery.engines.contract import EngineOptions

ROW = Row("2 x faster", "at least 4 x", False, "this", "1 s", "that: 2 s", "0.5 s")


def test_a_run_has_the_time_and_memory_of_its_process(tmp_path: Path) -> None:
    script = "import time; taken = b'x' * (200 << 20); time.sleep(0.2)"
    measured = run([sys.executable, "-c", script], tmp_path)
    assert measured.seconds >= 0.2
    assert measured.peak >= 200 << 20


def test_a_run_has_no_memory_but_its_own(tmp_path: Path) -> None:
    # What the measuring process holds would count as the child's: it has to be small.
    script = (
        "import sys; from pathlib import Path; from benchmarks.measure import run\n"
        f"print(run(['true'], Path({str(tmp_path)!r})).peak, 'numpy' in sys.modules)"
    )
    root = Path(__file__).resolve().parent.parent
    done = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True)
    peak, numpy = done.stdout.split()
    assert int(peak) < 40 << 20
    assert numpy == "False"


def test_a_run_that_fails_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="exit 1: not today"):
        run([sys.executable, "-c", "import sys; sys.exit('not today')"], tmp_path)


def test_turns_alternate_and_the_first_of_each_does_not_count() -> None:
    order = []

    def turn(name: str, seconds: list[float]) -> Run:
        order.append(name)
        return Run(seconds.pop(0), 7)

    first, second = [9.0, 1.0, 3.0, 2.0], [9.0, 4.0, 6.0, 8.0]
    timings = alternate([lambda: turn("a", first), lambda: turn("b", second)], 3)
    assert "".join(order) == "abababab"
    assert timings == [Summary(2.0, 7, 1.0, 3.0, 3), Summary(6.0, 7, 4.0, 8.0, 3)]


def test_without_a_count_the_first_turns_are_all() -> None:
    assert alternate([lambda: Run(5.0, 7)], 0) == [Summary(5.0, 7, 5.0, 5.0, 1)]


def test_ratios() -> None:
    assert at_least(10, 4.4, 0.2) == ("22 x faster", "at least 10 x", True)
    assert at_least(12, 900, 100, word="less") == ("9 x less", "at least 12 x", False)
    assert at_most(1.5, 0.2, 0.25) == ("1.25 times", "at most 1.5 times", True)
    assert at_most(1.5, 0.2, 0.31) == ("1.55 times", "at most 1.5 times", False)


@pytest.mark.parametrize(
    ("value", "text"), [(4.438, "4.44 s"), (0.1, "0.1 s"), (0.0463, "46.3 ms"), (0.0009, "0.9 ms")]
)
def test_seconds(value: float, text: str) -> None:
    assert table.seconds(value) == text


def test_sizes() -> None:
    assert [table.size(n) for n in (143_000, 243_861_926, 1_076_000_000)] == [
        "0.143 MB",
        "244 MB",
        "1.08 GB",
    ]


def test_the_table() -> None:
    assert table.table([ROW]).splitlines()[1:] == [
        "| --- | --- | --- | --- | --- | --- | --- |",
        "| 2 x faster | at least 4 x | **no** | this | 1 s | that: 2 s | 0.5 s |",
    ]


def test_the_table_takes_the_place_of_the_last_one() -> None:
    document = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    once = pasted(document, "new\n")
    assert once == f"before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"
    assert pasted(once, "new\n") == once


@pytest.mark.parametrize("document", ["none", BEGIN, f"{END} {BEGIN}"])
def test_a_document_without_a_place_is_left_alone(document: str) -> None:
    with pytest.raises(ValueError, match="has no '<!-- make bench writes from here -->' with"):
        pasted(document, "new")


def test_the_documented_table_has_its_place(repo_root: Path) -> None:
    document = (repo_root / "docs" / "performance.md").read_text()
    pasted(document, "new")
    assert table.table([])[:-1] in document
    assert "new" in pasted(document, "new", gpu.BEGIN).partition(gpu.BEGIN)[2]


def test_the_drawing_of_the_time_per_pixel() -> None:
    """Values from 0 up; every number has its place, and equal ratios are equally far apart."""
    lines = [Line("jpg", [(5, 40.0), (10, 30.0), (20, 30.0)]), Line("png", [(5, 90.0)])]
    root = ElementTree.fromstring(to_svg(line_plot(lines, "time")))
    texts = {each.text: each for each in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {"time", "jpg", "png", "0", "50", "200", "5", "10", "20"} <= set(texts)
    fives, tens, twenties = (float(texts[number].attrib["x"]) for number in ("5", "10", "20"))
    assert tens - fives == pytest.approx(twenties - tens, abs=0.1)
    dots = [
        each
        for each in root.iter("{http://www.w3.org/2000/svg}rect")
        if each.attrib["width"] == each.attrib["height"] == "6"
    ]
    heights = [float(each.attrib["y"]) for each in dots]
    assert heights[1] == heights[2] > heights[0] > heights[3]


def test_large_pictures_at_toy_size(repo_root: Path, tmp_path: Path) -> None:
    """The table and the drawing take their places; too much memory is an exit code of 1."""
    document = tmp_path / "performance.md"
    document.write_text(f"Before.\n\n{HUGE}\n{END}\n")
    command = [sys.executable, "-m", "benchmarks.huge", "--write", str(document), "700"]
    done = subprocess.run(command, cwd=repo_root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() in document.read_text()
    assert f"]({PLOT})" in document.read_text()
    assert [line.split(" |")[0] for line in done.stdout.splitlines()[2:]] == [
        f"| {kind} 700 x 700" for kind in ("jpg", "png", "tif")
    ]
    ElementTree.parse(tmp_path / PLOT)


def test_the_whole_benchmark_at_toy_size(repo_root: Path, tmp_path: Path) -> None:
    document = tmp_path / "performance.md"
    document.write_text(f"{BEGIN}\n{END}\n")
    command = [sys.executable, "-m", "benchmarks.bench", "--small", "--no-caffe", "--count", "0"]
    done = subprocess.run(
        [*command, "--folder", tmp_path, "--write", document],
        cwd=repo_root,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    written = document.read_text()
    assert done.stdout.strip() in written
    for what in ("| convert, 0.143 MB", "| peak memory of convert", "| `netsurgery --version` |"):
        assert what in written
    assert [path.name for path in tmp_path.iterdir()] == ["performance.md"]


def test_the_engines_at_toy_size(repo_root: Path, tmp_path: Path, caffe_python: str) -> None:
    command = [sys.executable, "-m", "benchmarks.engines", "--small", "--count", "0"]
    environment = {**os.environ, "NETSURGERY_CAFFE_PYTHON": caffe_python}
    done = subprocess.run(
        [*command, "--folder", tmp_path],
        cwd=repo_root,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    rows = [line.split(" | ")[0] for line in done.stdout.splitlines()[2:]]
    assert rows[:2] == ["| `convert`", "| `classify-map`, one picture"]
    assert len(rows) == 4
    assert list(tmp_path.iterdir()) == []


def test_without_a_gpu_a_line_says_so(
    repo_root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(repo_root)
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    document = tmp_path / "performance.md"
    gpu.main(["--write", str(document)])
    out, err = capfd.readouterr()
    assert out.startswith("nothing measured, no GPU: this ONNX Runtime is built without CUDA; ")
    assert (out.count("\n"), err) == (1, "")
    assert list(tmp_path.iterdir()) == []


def test_what_a_gpu_is_compared_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the CPU in its place: one row each, and no difference."""
    monkeypatch.setattr(gpu, "_RUNS", 1)
    materials, filled = Materials(tmp_path, SMALL), tmp_path / "filled.prototxt"
    filled.write_text(with_fillers(SMALL.prototxt.read_text()))
    materials.run("init", filled, "-o", materials.model, "-q")
    materials.dense[0].parent.mkdir()
    materials.run(*materials.converting(materials.classifier, materials.dense))
    rows = list(gpu.compare(materials, EngineOptions("embedded", threads=1)))
    assert [row.what.partition(" at ")[0] for row in rows] == [
        "one picture", "a batch of 8", "one picture", "a batch of 64", "a picture",
    ]  # fmt: skip
    assert all(row.difference <= 1e-6 and row.cpu > 0 and row.gpu > 0 for row in rows)
