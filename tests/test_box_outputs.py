"""classify-map --boxes: its file, its pictures and its record, against loops written here."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import netsurgery as ns
from netsurgery.cli import run
from netsurgery.drawing.scene import ItemGroup, Rect, Text
from netsurgery.errors import MemoryLimitError, NetError, SettingsError
from netsurgery.maps.box_marks import MOST_BOXES
from netsurgery.maps.boxes import MapBox, with_boxes
from netsurgery.maps.classmap import ClassMap
from netsurgery.maps.heatmap import map_scene
from netsurgery.maps.picture_look import PictureLook
from netsurgery.verbs.outputs import OUTPUTS, MapView

WORDS = ["--background", "10", "--threshold", "0.6", "--overlap", "0.2"]
Box = tuple[float, float, float, float]


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory, repo_root: Path) -> Path:
    """A folder with the demo net over the whole canvas, and two pictures."""
    folder = tmp_path_factory.mktemp("digits")
    net, model = "prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel"
    ns.convert(repo_root / net, repo_root / model, folder, input_size=(192, 288), engine="embedded")
    canvas = Image.open(repo_root / "examples" / "digits_canvas.png").convert("L")
    canvas.save(folder / "a.png")
    canvas.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(folder / "b.png")
    (folder / "labels.txt").write_text("".join(f"d{number} digit\n" for number in range(11)))
    return folder


@pytest.fixture(autouse=True)
def in_the_folder(digits: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A folder of each test's own, from which the files are seen."""
    for path in digits.iterdir():
        os.link(path, tmp_path / path.name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NETSURGERY_ENGINE", "embedded")


def settings(background: str | None = "10") -> ns.Settings:
    read = ns.read_settings("netsurgery.toml")
    return replace(read, background=background, engine="embedded")


def classify(*words: str) -> int:
    return run(["classify-map", *words, "-q"])


def written(path: str) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = json.loads(Path(path).read_text())
    return records


def shared(first: Sequence[float], second: Sequence[float]) -> float:
    across = max(0, min(first[2], second[2]) - max(first[0], second[0]))
    both = across * max(0, min(first[3], second[3]) - max(first[1], second[1]))
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)]
    return both / (sum(areas) - both)


def by_loop(maps: Sequence[ClassMap], threshold: float, overlap: float) -> list[Any]:
    """Class, box and score of the windows that stay, of all maps of a picture together."""
    hits: list[tuple[int, Box, float]] = []
    for each in maps:
        windows = each.windows()
        assert windows is not None
        height, width = each.picture.size
        for at, number in np.ndenumerate(each.values.argmax(axis=0)):
            score = float(each.values[number, at[0], at[1]])
            left, top, right, bottom = windows[at].tolist()
            box = max(0, left), max(0, top), min(width, right), min(height, bottom)
            if number != 10 and score >= threshold and box[0] < box[2] and box[1] < box[3]:
                hits.append((int(number), box, score))
    stays: list[tuple[int, Box, float]] = []
    for hit in sorted(hits, key=lambda it: -it[2]):
        if all(shared(hit[1], it[1]) <= overlap for it in stays if it[0] == hit[0]):
            stays.append(hit)
    return stays


def as_found(records: Sequence[dict[str, Any]]) -> list[Any]:
    """Records as `by_loop` has boxes."""
    return [
        (each["category_id"], (x, y, x + width, y + height), each["score"])
        for each in records
        for x, y, width, height in [each["bbox"]]
    ]


def assert_same(result: list[Any], expected: list[Any]) -> None:
    assert [(it[0], it[2]) for it in result] == [(it[0], it[2]) for it in expected]
    np.testing.assert_allclose(
        [each[1] for each in result], [each[1] for each in expected], rtol=0, atol=1e-9
    )


@pytest.mark.parametrize(
    ("words", "options", "sizes"),
    [
        ([], {}, [(192, 288)]),
        (["--stride", "4"], {"stride": 4}, [(192, 288)]),
        (["--scales", "0.8,1"], {"scales": (0.8, 1.0)}, [(192, 288)]),
        (["--box-scales", "0.5,1.5"], {}, [(96, 144), (288, 432)]),
    ],
)
def test_the_file_has_the_boxes_of_a_loop_over_windows(
    words: list[str], options: dict[str, Any], sizes: list[tuple[int, int]]
) -> None:
    assert classify("a.png", "--boxes", "o.json", *words, *WORDS) == 0
    maps = [ns.classify_map("a.png", settings(), size=size, **options) for size in sizes]
    expected = by_loop(maps, 0.6, 0.2)
    assert len(expected) >= 10
    records = written("o.json")
    assert_same(as_found(records), expected)
    assert {(each["image_id"], each["file_name"]) for each in records} == {(1, "a.png")}
    assert all(list(each) == [*KEYS] for each in records)
    boxes = ns.classify_map(
        "a.png", settings(), boxes=ns.BoxRules(0.6, 0.2), **options,
        box_scales=[size[0] / 192 for size in sizes],
    ).boxes  # fmt: skip
    assert boxes is not None
    assert_same([(it.number, it.box, it.score) for it in boxes], expected)


def test_box_scales_are_of_the_input_whatever_the_scales_of_maps() -> None:
    sizes = [(192, 288), (288, 432)]
    maps = [ns.classify_map("a.png", settings(), size=size, scales=(0.8,)) for size in sizes]
    assert classify("a.png", "--boxes", "o.json", "--scales", "0.8", "--box-scales", "1,1.5",
                    *WORDS) == 0  # fmt: skip
    assert_same(as_found(written("o.json")), by_loop(maps, 0.6, 0.2))


def test_a_box_scale_too_small_is_refused_before_the_net_is_run() -> None:
    with ns.open_mapper(settings(), boxes=ns.BoxRules(), box_scales=(1, 0.1)) as mapper:
        with pytest.raises(NetError, match=r"at box_scales='0\.1'$"):
            mapper.map("a.png")
        assert mapper.engine == ""


@pytest.mark.parametrize(
    ("scales", "message"),
    [
        (2, "box_scales: found 2, expected numbers, as in (0.5, 1)"),
        (["a", 1], "box_scales: found 'a', 1, expected factors of the input's size, 0.01 to 100"),
        ([True], "box_scales: found True, expected"),
        ([None], "box_scales: found None, expected"),
        ("2", "box_scales: found '2', expected"),
        ([10**400], "box_scales: found 1000"),
        ([], "box_scales: found none, expected"),
    ],
)
def test_what_is_no_box_scale(scales: Any, message: str) -> None:
    with pytest.raises(SettingsError, match=f"^{re.escape(message)}"):
        ns.classify_map("a.png", settings(), boxes=ns.BoxRules(), box_scales=scales)


KEYS = "image_id", "file_name", "category_id", "bbox", "score"


def test_they_are_those_of_evaluate() -> None:
    """Of all pictures, over several scales; of what is not annotated evaluate has none."""
    pictures = [{"file": name} for name in ("b.png", "a.png")]
    classes = [str(number) for number in range(10)]
    Path("truth.json").write_text(json.dumps({"classes": classes, "pictures": pictures}))
    words = [*WORDS, "--box-scales", "1,1.5"]
    call = ["evaluate", ".", "--annotations", "truth.json", "--boxes", "-q", *words]
    assert run([*call, "--coco-results", "evaluated.json"]) == 0
    assert classify("b.png", "a.png", "--boxes", "o.json", *words) == 0
    evaluated = written("evaluated.json")
    assert {each["image_id"] for each in evaluated} == {1, 2}
    # There the ids are those of the annotations, from 1 on: here the net's classes, from 0 on.
    expected = [{**each, "category_id": each["category_id"] - 1} for each in evaluated]
    names = {1: "b.png", 2: "a.png"}
    assert written("o.json") == [
        {**each, "file_name": names[each["image_id"]]} for each in expected
    ]


def test_ids_count_the_pictures_and_a_job_writes_the_same() -> None:
    """Those that fail, too; one that is named twice is two."""
    Path("broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    words = ["a.png", "broken.png", "b.png", "a.png", "--labels", "labels.txt", *WORDS]
    assert classify(*words, "--boxes", "one.json") == 1
    records = written("one.json")
    assert {(each["image_id"], each["file_name"]) for each in records} == {
        (1, "a.png"), (3, "b.png"), (4, "a.png"),
    }  # fmt: skip
    assert all(each["category_name"] == f"d{each['category_id']} digit" for each in records)
    job = ["--job", "job", "--workers", "1", "--json"]
    assert run(["classify-map", *words, *job, "--boxes", "many.json", "-q"]) == 1
    assert Path("many.json").read_bytes() == Path("one.json").read_bytes()
    assert run(["job", "merge", "job", "--boxes", "again.json", "-q"]) == 0
    assert Path("again.json").read_bytes() == Path("one.json").read_bytes()


def test_a_map_made_in_tiles_has_the_same_boxes(capsys: pytest.CaptureFixture[str]) -> None:
    whole = ["--size", "image", "--tile", "none", "--boxes", "whole.json"]
    assert classify("a.png", *whole, *WORDS, "--json") == 0
    expected = json.loads(capsys.readouterr().out)
    tiled = ["--size", "image", "--tile", "96", "--boxes", "tiled.json"]
    assert run(["classify-map", "a.png", *tiled, *WORDS, "--json"]) == 0
    printed = capsys.readouterr()
    record = json.loads(printed.out)
    assert "note: the net was run in 12 tiles of " in printed.err
    assert Path("tiled.json").read_bytes() == Path("whole.json").read_bytes()
    assert record["boxes"] == expected["boxes"]


def test_the_record_has_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert classify("a.png", "--json") == 0
    assert json.loads(capsys.readouterr().out)["boxes"] is None
    words = ["--boxes", "o.json", "--labels", "labels.txt", "--json", *WORDS]
    assert classify("a.png", *words) == 0
    record = json.loads(capsys.readouterr().out)
    records = written("o.json")
    boxes = [(each["class"], each["box"]) for each in record["boxes"]]
    assert boxes == [(number, list(box)) for number, box, _ in as_found(records)]
    assert [each["label"] for each in record["boxes"]] == [it["category_name"] for it in records]
    scores = np.array([each["score"] for each in record["boxes"]], np.float32)
    assert scores.tolist() == [each["score"] for each in records]


def test_without_a_named_background_every_class_gives_boxes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    note = "note: no class of the net is said to be the background (--background): every class"
    assert run(["classify-map", "a.png", "--boxes", "all.json", "--summary"]) == 0
    assert note in capsys.readouterr().err
    assert 10 in {each["category_id"] for each in written("all.json")}
    words = ["--summary", "--background", "none", "--force"]
    assert run(["classify-map", "a.png", "--boxes", "same.json", *words]) == 0
    assert note not in capsys.readouterr().err
    assert written("same.json") == written("all.json")


def test_python_gets_those_of_the_usual_rules() -> None:
    (result,) = ns.classify_maps("a.png", settings()).to_files({"boxes": "o.json"})
    assert result.map is not None
    assert result.map.boxes is None  # nobody asked for them beside the file
    assert_same(as_found(written("o.json")), by_loop([result.map], 0.5, 0.3))
    maps = ns.classify_maps("a.png", settings(), blob="ip2-conv")
    with pytest.raises(NetError, match=r"^blob 'ip2-conv' has scores.*\(threshold\)$"):
        maps.to_files({"boxes": "scores.json"})


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--boxes", "o.json", "--blob", "ip2-conv"], 1,
         "blob 'ip2-conv' has scores, not probabilities: say from which score on a cell gives a "
         "box (--threshold)"),
        (["--boxes", "o.json", "--box-scales", "0.1"], 1,
         "the smallest that works is 25x25; at --box-scales 0.1"),
        (["--boxes", "o.json", "--box-scales", "1,0"], 1,
         "--box-scales: found 1, 0, expected factors of the input's size, 0.01 to 100"),
        (["--boxes", "o.json", "--box-scales", "x"], 2, "'x' is not X,X, as in 0.5,1,2"),
        (["--boxes", "o.txt"], 2, "--boxes o.txt: expected a name ending in .json"),
        (["--boxes", "-"], 2, "--boxes -: a table is written in pieces; name a file"),
        (["--boxes", "labels.txt"], 2, "--boxes labels.txt: expected a name ending in .json"),
        (["--boxes", "there.json"], 1, "there.json: exists already"),
        (["--overlap", "0.5"], 2, "--overlap does nothing without --boxes"),
        (["--boxes", "o.json", "--overlap", "1.5"], 2, "--overlap"),
    ],
)  # fmt: skip
def test_what_is_refused(
    words: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """On one line, and nothing is written."""
    Path("there.json").write_text("mine")
    before = sorted(os.listdir())
    assert classify("a.png", *words) == code
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert sorted(os.listdir()) == before
    assert Path("there.json").read_text() == "mine"


def test_no_file_where_no_picture_could_be_read() -> None:
    assert classify("gone.png", "none.png", "--boxes", "o.json") == 1
    assert not Path("o.json").exists()
    assert classify("gone.png", "a.png", "--boxes", "o.json", "--threshold", "1.5") == 1
    assert Path("o.json").read_text() == "[\n]\n"


def test_boxes_are_counted_as_memory() -> None:
    class_map = ns.classify_map("a.png", settings())
    boxes = [MapBox(1, 0.5, (0.0, 0.0, 9.0, 9.0))] * 20_000
    make = OUTPUTS["boxes"].of_map
    assert make is not None
    ns.set_max_memory("24MiB")
    try:
        many = with_boxes(class_map, boxes)
        with pytest.raises(MemoryLimitError, match=r"^a\.png: its boxes as JSON needs "):
            make(many, MapView())
        with pytest.raises(MemoryLimitError, match=r"^a\.png: its map as JSON needs "):
            many.to_json()
        with pytest.raises(MemoryLimitError):
            with_boxes(class_map, boxes * 20)
    finally:
        ns.set_max_memory(None)


def marks(class_map: ClassMap, classes: str = "max", **look: Any) -> tuple[list[Box], list[str]]:
    """The boxes on a map's picture, in pixels of the sheet, and the texts on it."""
    items = map_scene(class_map, classes, PictureLook(**look)).items
    groups = [each for each in items if isinstance(each, ItemGroup) and each.name == "box"]
    first = [each.items[0] for each in groups]
    boxes = [each.box for each in first if isinstance(each, Rect)]
    return boxes, [each.words for each in items if isinstance(each, Text)]


def test_a_picture_shows_each_box_at_its_place_with_its_name() -> None:
    bare = ns.classify_map("a.png", replace(settings(), labels=Path("labels.txt")))
    boxes = [
        MapBox(3, 0.987, (96.0, 48.0, 192.0, 96.0)),
        MapBox(7, 0.5, (0.0, 0.0, 288.0, 192.0)),
    ]
    class_map = with_boxes(bare, boxes)
    assert marks(bare)[0] == []
    places, texts = marks(class_map)
    assert {"digit 0.99", "digit 0.50", "2 boxes found"}.issubset(texts)
    whole, part = places  # the surest is drawn last
    x0, y0, x1, y1 = whole
    assert part == pytest.approx(
        (x0 + (x1 - x0) / 3, y0 + (y1 - y0) / 4, x0 + (x1 - x0) * 2 / 3, y0 + (y1 - y0) / 2)
    )
    assert [len(marks(class_map, layout=each)[0]) for each in ("panels", "map")] == [2, 2]
    own, texts = marks(class_map, "3")
    assert len(own) == 1
    assert "2 boxes found, 1 drawn" in texts
    assert len(marks(class_map, "3,7")[0]) == 2
    assert len(marks(class_map, "each")[0]) == 2
    for suffix in (".png", ".svg"):
        drawn = class_map.picture_file(suffix=suffix)
        assert drawn != bare.picture_file(suffix=suffix)


def test_a_picture_has_the_surest_of_many_and_none_of_what_it_does_not_paint() -> None:
    class_map = ns.classify_map("a.png", settings(None))
    assert class_map.background == 10
    place = 0.0, 0.0, 32.0, 32.0
    several = [MapBox(10, 0.9, place), MapBox(3, 0.8, place)]
    boxes, texts = marks(with_boxes(class_map, several))
    assert len(boxes) == 1
    assert "2 boxes found, 1 drawn" in texts
    many = [MapBox(3, 1 - number / 1000, place) for number in range(MOST_BOXES + 5)]
    boxes, texts = marks(with_boxes(class_map, many))
    assert len(boxes) == MOST_BOXES
    assert f"{MOST_BOXES + 5} boxes found, {MOST_BOXES} drawn" in texts
