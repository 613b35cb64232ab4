"""The page of a map, as text; tests/browser/ has what a browser makes of it."""

from __future__ import annotations

import base64
import json
import re
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import FakeEngine
from pages import HOSTILE, Values, elements, made_map, page_of, records, softmax
from PIL import Image

from netsurgery.cli import run
from netsurgery.errors import MemoryLimitError, NetError
from netsurgery.io.memory import set_max_memory
from netsurgery.maps.cell_geometry import Geometry
from netsurgery.maps.classmap import ClassMap
from netsurgery.maps.page import document
from netsurgery.maps.page.codes import BUDGET, OVERHEAD
from netsurgery.maps.transformer import place

PAGE = Path(document.__file__).parent
RANDOM = np.random.default_rng(7)


def smooth(classes: int, rows: int, columns: int) -> Any:
    """Scores that change little from cell to cell, as those of a net do."""
    coarse = RANDOM.normal(size=(classes, rows // 4 + 2, columns // 4 + 2)) * 3
    fine = coarse.repeat(4, axis=1).repeat(4, axis=2)
    blurred: Any = sum(np.roll(fine, shift, axis) for axis in (1, 2) for shift in range(4)) / 8
    return blurred[:, :rows, :columns]


MAPS = {
    "one class": made_map(smooth(1, 20, 30)),
    "two, even": made_map(np.zeros((2, 9, 9)), probability=True),
    "all alike": made_map(np.full((3, 9, 9), -7.25)),
    "few": made_map(softmax(smooth(11, 21, 33) * 9), probability=True),
    "scores": made_map(smooth(1000, 24, 30)),
    "probabilities": made_map(softmax(smooth(1000, 24, 30) * 3), probability=True),
    "noise of one": made_map(RANDOM.random((1, 40, 40)), probability=True),
    "noise of two": made_map(RANDOM.random((2, 40, 40)), probability=True),
    "noise of six": made_map(RANDOM.normal(size=(6, 40, 40)) * 1e6),
    "noise of 51": made_map(RANDOM.normal(size=(51, 20, 20)) * 1e-6),
    "noise of 1000": made_map(RANDOM.normal(size=(1000, 20, 20))),
    "saturated": made_map(RANDOM.random((30, 12, 12)) < 0.1, probability=True),
    "one cell": made_map(RANDOM.normal(size=(70, 1, 1))),
}


@pytest.fixture(params=MAPS)
def any_map(request: pytest.FixtureRequest) -> ClassMap:
    return MAPS[request.param]


@pytest.mark.parametrize("all_classes", [False, True])
def test_a_value_is_the_map_s_rounded_to_the_step(any_map: ClassMap, all_classes: bool) -> None:
    (record,) = records(page_of(any_map, all_classes=all_classes))
    values = Values(record)
    expected = any_map.values.reshape(any_map.classes, -1).astype(np.float64)
    present = np.isfinite(values.values)
    off = np.abs(values.values - expected)[present]
    assert off.max() <= values.step * (0.5 + 1e-6)
    top = any_map.top(20).reshape(-1, expected.shape[1])
    assert present[top, np.arange(expected.shape[1])].all()
    assert present.all(axis=1).sum() >= min(any_map.classes, 50)
    assert present.all() or not all_classes


def test_the_likeliest_classes_are_the_map_s_in_its_order(any_map: ClassMap) -> None:
    (record,) = records(page_of(any_map))
    order = Values(record).order
    assert (order == any_map.top(len(order)).reshape(order.shape)).all()
    table = any_map.summary()
    rows = [row for row in record["classes"] if row[3]]
    rows.sort(key=lambda row: (-row[3], -row[4], row[0]))
    assert [(row[0], row[3], row[4]) for row in rows] == [
        (row.number, row.cells, row.best) for row in table
    ]


@pytest.mark.parametrize("all_classes", [False, True])
def test_the_text_is_within_its_bound(any_map: ClassMap, all_classes: bool) -> None:
    """Even of noise, whose step is coarser then."""
    (record,) = records(page_of(any_map, all_classes=all_classes))
    assert len(record["values"]) <= BUDGET * Values(record).count + OVERHEAD
    assert (BUDGET, OVERHEAD) == (1.2, 1024)


def test_the_step_of_a_smooth_map_is_fine() -> None:
    steps = {name: Values(records(page_of(MAPS[name]))[0]).step for name in MAPS}
    assert steps["few"] == steps["probabilities"] == 0.0001
    assert steps["scores"] <= np.ptp(MAPS["scores"].values) / 400
    assert steps["noise of 1000"] <= np.ptp(MAPS["noise of 1000"].values) / 8


def test_infinite_scores_have_codes_of_their_own() -> None:
    values = RANDOM.normal(size=(3, 6, 6))
    values[0, 0, 0], values[1, 0, 1] = np.inf, -np.inf
    (record,) = records(page_of(made_map(values)))
    read = Values(record)
    low, last = record["step"][2:]
    codes = np.rint(read.values / read.step) - low + 1
    assert codes[0, 0] == last + 1
    assert codes[1, 1] == 0
    assert [row[4] for row in record["classes"] if row[0] == 0] == [None]


def test_the_class_asked_for_is_kept_of_every_cell() -> None:
    shown = MAPS["scores"]
    rare = int(shown.values.max(axis=(1, 2)).argmin())
    (record,) = records(page_of(shown, number=rare))
    assert record["classes"][record["shown"]][0] == rare
    assert np.isfinite(Values(record).values[rare]).all()
    assert records(page_of(shown))[0]["shown"] is None


def test_the_background_is_what_most_cells_show() -> None:
    values = np.zeros((3, 2, 3))
    values[2, 0] = values[1, 1] = 1
    assert records(page_of(made_map(values)))[0]["background"] is None
    values[2, 1, 0] = 2
    (record,) = records(page_of(made_map(values)))
    assert record["classes"][record["background"]][0] == 2
    values[2] = 3
    assert records(page_of(made_map(values)))[0]["background"] is None


def test_the_values_of_one_class_are_shown() -> None:
    assert records(page_of(MAPS["one class"]))[0]["shown"] == 0
    assert records(page_of(MAPS["two, even"]))[0]["shown"] is None


def test_the_picture_is_bounded() -> None:
    large = made_map(RANDOM.random((2, 300, 20)), stride=10.0)
    (record,) = records(page_of(large))
    assert record["size"] == [3014, 214]
    for name, side in (("picture", 2048), ("small", 144)):
        head, _, text = record[name].partition(";base64,")
        image = Image.open(BytesIO(base64.b64decode(text)))
        assert max(image.size) == side
        assert head == f"data:image/{str(image.format).lower()}"


def hostile_map() -> ClassMap:
    values = RANDOM.random((len(HOSTILE), 4, 5))
    return made_map(values, labels=HOSTILE, name=f"folder/{HOSTILE[1]}.png")


def test_names_are_text() -> None:
    text = page_of(hostile_map())
    plain = page_of(made_map(RANDOM.random((len(HOSTILE), 4, 5))))
    assert [tag for tag, _ in elements(plain)] == [tag for tag, _ in elements(text)]
    (record,) = records(text)
    assert {row[2] for row in record["classes"]} == set(HOSTILE)
    assert record["name"] == f"folder/{HOSTILE[1]}.png"


def test_script_and_style_are_small() -> None:
    assert len(document.script()) + len(document.style()) < 60_000
    assert sorted(path.stem for path in PAGE.glob("script/*.js")) == sorted(document.SCRIPTS)


def test_every_element_that_the_script_names_exists() -> None:
    markup = (PAGE / "page.html").read_text()
    named = set(re.findall(r'byId\("([\w-]+)"\)', document.script()))
    identities = re.findall(r'\bid="([\w-]+)"', markup)
    assert len(identities) == len(set(identities))
    assert named <= set(identities)


def test_cells_without_places_are_refused() -> None:
    unplaced = made_map(RANDOM.random((2, 3, 3)))
    geometry = Geometry(None, None, place((9, 9), (9, 9)))
    object.__setattr__(unplaced, "geometry", geometry)
    with pytest.raises(NetError, match="does not say its total stride"):
        unplaced.to_html()


def test_its_memory_is_claimed(fresh_budget: None) -> None:
    large = made_map(np.zeros((400, 60, 60)))
    set_max_memory(20 << 20)
    with pytest.raises(MemoryLimitError, match="its map as HTML needs"):
        large.to_html(all_classes=True)


def test_in_python_and_in_a_notebook() -> None:
    shown = made_map(RANDOM.random((3, 4, 5)), labels=("a", "b", "<c>"))
    assert shown.to_html("b") == page_of(shown, number=1)
    assert shown.to_html(all_classes=True) == page_of(shown, all_classes=True)
    text = shown._repr_html_()
    frame = re.search(r'<iframe title="class map of ([^"]*)" sandbox="([^"]*)"', text)
    assert frame is not None
    assert frame[1] == "cat.png"  # as its heading says
    assert "allow-same-origin" not in frame[2]
    assert "<details><summary>as a picture</summary><img" in text
    large = made_map(np.zeros((80, 180, 180)))
    assert "<iframe" not in large._repr_html_()
    assert "<img" in large._repr_html_()


PROTOTXT = """\
input: "data"
input_shape { dim: 1 dim: 3 dim: 8 dim: 8 }
layer { name: "pool" type: "Pooling" bottom: "data" top: "pool"
  pooling_param { pool: AVE kernel_size: 4 stride: 4 } }
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: a model, three pictures and one that is none."""

    def pooled(inputs: dict[str, Any]) -> dict[str, Any]:
        data = inputs["data"]
        count, channels, height, width = data.shape
        blocks = data.reshape(count, channels, height // 4, 4, width // 4, 4)
        return {"pool": blocks.mean(axis=(3, 5))}

    engine = FakeEngine(pooled, {"data": (1, 3, 8, 8)})
    monkeypatch.setattr("netsurgery.maps.net_runner.open_engine", engine.open)
    monkeypatch.chdir(tmp_path)
    Path("deploy.prototxt").write_text(PROTOTXT)
    Path("model.caffemodel").write_bytes(b"\x0a\x01a")
    Path("netsurgery.toml").write_text(
        '[model]\nprototxt = "deploy.prototxt"\nweights = "model.caffemodel"\n'
    )
    for name in ("a.png", "b.png", "c.png"):
        Image.fromarray(RANDOM.integers(0, 255, (8, 8, 3), np.uint8)).save(name)
    Path("bad.png").write_text("no picture")
    return tmp_path


def test_one_file_for_all_pictures(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["classify-map", "a.png", "b.png", "c.png", "--html", "map.html"]) == 0
    assert capsys.readouterr().out.endswith("\nwrote map.html\n")
    text = (folder / "map.html").read_text()
    assert [record["name"] for record in records(text)] == ["a.png", "b.png", "c.png"]
    assert run(["classify-map", "a.png", "--html", "map.html"]) == 1
    assert "exists already" in capsys.readouterr().err
    assert run(["classify-map", "a.png", "--html", "map.html", "--force", "-q"]) == 0
    assert capsys.readouterr().out == ""


def test_what_fails_is_left_out(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["classify-map", "a.png", "bad.png", "--html", "map.html", "--json"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert ["error" in json.loads(line) for line in lines] == [False, True]
    assert [each["name"] for each in records((folder / "map.html").read_text())] == ["a.png"]
    for images in (["bad.png"], ["bad.png", "bad.png"]):
        assert run(["classify-map", *images, "--html", "none.html"]) == 1
        assert not (folder / "none.html").exists()
    assert run(["classify-map", "bad.png", "bad.png", "--picture", "folder/", "--html", "x.html"])
    assert not (folder / "folder").exists()


def test_on_standard_output(folder: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert run(["classify-map", "a.png", "b.png", "--html", "-", "--class", "2"]) == 0
    maps = records(capfdbinary.readouterr().out.decode())
    assert [(each["name"], each["shown"], each["classes"][0][0]) for each in maps] == [
        ("a.png", 0, 2),
        ("b.png", 0, 2),
    ]
