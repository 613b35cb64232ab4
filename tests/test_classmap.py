from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import FakeEngine

from netsurgery.engines.contract import EngineOptions
from netsurgery.errors import EngineFailed, FormatError, NetError, SettingsError
from netsurgery.formats.labels import Labels
from netsurgery.formats.settings import Settings
from netsurgery.maps.cell_geometry import Geometry
from netsurgery.maps.classmap import ClassCount, ClassMap
from netsurgery.maps.from_settings import open_mapper
from netsurgery.maps.image import Picture
from netsurgery.maps.map_source import MapSource
from netsurgery.maps.map_text import TextStyle, map_text, table_text
from netsurgery.maps.mapper import Mapper
from netsurgery.maps.picture_options import Fit
from netsurgery.maps.transformer import Transformer, place
from netsurgery.net.net_with_weights import NetWithWeights

#: Messages are compared as the command words them.
pytestmark = pytest.mark.usefixtures("option_names")

LABELS = Labels("words.txt", ("cat, tabby", "dog", "bird", "crane, digger"))

#: Three classes on 2 x 2 cells: 0, 2 / 2, 1.
VALUES = np.array(
    [[[0.7, 0.1], [0.2, 0.3]], [[0.1, 0.1], [0.2, 0.4]], [[0.2, 0.8], [0.6, 0.3]]], np.float32
)


def class_map(values: Any = VALUES, **changed: Any) -> ClassMap:
    options: dict[str, Any] = {
        "picture": Picture("p.png", np.zeros((360, 480, 3), np.uint8)),
        "values": values,
        "blob": "prob",
        "is_probability": True,
        "input": "data",
        "geometry": Geometry((32.0, 32.0), (227.0, 227.0), place((360, 480), (259, 259))),
    }
    return ClassMap(**{**options, **changed})


def test_argmax_and_top() -> None:
    mapped = class_map()
    assert mapped.argmax().tolist() == [[0, 2], [2, 1]]
    assert mapped.top(2)[:, 1, 1].tolist() == [1, 0]  # of equals the lowest number first
    assert mapped.top(9).shape == (3, 2, 2)
    assert class_map(np.zeros((99, 1, 1), np.float32)).top(4).ravel().tolist() == [0, 1, 2, 3]


def test_found_by_cells_then_value() -> None:
    assert [(f.number, f.cells, round(f.best, 3)) for f in class_map().summary()] == [
        (2, 2, 0.8),
        (0, 1, 0.7),
        (1, 1, 0.4),
    ]
    higher = class_map(np.array([[[0.1, 0.5]], [[0.9, 0.2]]], np.float32)).summary()
    assert [f.number for f in higher] == [1, 0]
    labelled = class_map(labels=Labels("w", ("a", "b", "c"))).summary()[0]
    assert labelled == ClassCount(2, "c", 2, labelled.best)


def test_windows_of_a_warped_image() -> None:
    """Input 259 x 259 shows 360 x 480: a window of 227 every 32, times 360/259 and 480/259."""
    windows = class_map().windows()
    assert windows is not None
    down, across = 360 / 259, 480 / 259
    assert np.allclose(windows[0, 0], [0, 0, 227 * across, 227 * down])
    assert np.allclose(windows[1, 1], [32 * across, 32 * down, 259 * across, 259 * down])
    assert np.allclose(windows[1, 1, 2:], [480, 360])


def test_windows_are_not_clipped() -> None:
    geometry = Geometry((32.0, 32.0), (227.0, 227.0), place((250, 250), (250, 250)))
    windows = geometry.windows(2, 2)
    assert windows is not None
    assert windows[1, 1].tolist() == [32, 32, 259, 259]


@pytest.mark.parametrize("fit", ["crop", "pad"])
def test_windows_with_the_aspect_ratio_kept(fit: Fit) -> None:
    """Square windows stay square, and the input's corners are where the fit put them."""
    geometry = Geometry((32.0, 32.0), (64.0, 64.0), place((300, 400), (96, 96), fit))
    windows = geometry.windows(2, 2)
    assert windows is not None
    sides = windows[:, :, 2:] - windows[:, :, :2]
    assert np.allclose(sides, 64 * (300 / 96 if fit == "crop" else 400 / 96))
    first, last = windows[0, 0, :2].tolist(), windows[1, 1, 2:].tolist()
    if fit == "crop":
        assert (first, last) == ([50, 0], [350, 300])
    else:
        assert (first, last) == ([0, -50], [400, 350])


def test_tiles_share_the_windows_centers_and_do_not_overlap() -> None:
    geometry = Geometry((4.0, 8.0), (28.0, 20.0), place((100, 90), (100, 90)))
    tiles, windows = geometry.tiles(3, 4), geometry.windows(3, 4)
    assert tiles is not None
    assert windows is not None
    centers = [(boxes[:, :, :2] + boxes[:, :, 2:]) / 2 for boxes in (tiles, windows)]
    assert np.allclose(centers[0], centers[1])
    assert np.allclose(tiles[:, :-1, 2], tiles[:, 1:, 0])
    assert np.allclose(tiles[:-1, :, 3], tiles[1:, :, 1])


def test_places_that_are_not_known() -> None:
    geometry = Geometry(None, (28.0, 28.0), place((9, 9), (9, 9)))
    assert geometry.windows(2, 2) is None
    assert geometry.tiles(2, 2) is None
    facts = class_map(geometry=geometry).to_json()
    assert facts["windows"] is None


def test_json() -> None:
    record = class_map(labels=Labels("w", ("a", "b", "c")), engine="fake 1.0").to_json(top_k=2)
    down, across = 360 / 259, 480 / 259
    windows = record.pop("windows")
    assert windows["start"] == [0, 0]
    assert windows["stride"] == pytest.approx([32 * down, 32 * across])
    assert windows["size"] == pytest.approx([227 * down, 227 * across])
    assert record == {
        "image": "p.png",
        "image_size": [360, 480],
        "engine": {"name": "fake", "description": "fake 1.0", "note": None},
        "input": {"name": "data", "size": [259, 259]},
        "blob": "prob",
        "map_size": [2, 2],
        "class_count": 3,
        "is_probability": True,
        "background": None,
        "scales": None,
        "boxes": None,
        "summary": [
            {"class": 2, "label": "c", "cells": 2, "score": 0.8},
            {"class": 0, "label": "a", "cells": 1, "score": 0.7},
            {"class": 1, "label": "b", "cells": 1, "score": 0.4},
        ],
        "classes": [[[0, 2], [2, 1]], [[2, 0], [0, 0]]],
        "scores": [[[0.7, 0.8], [0.6, 0.4]], [[0.2, 0.1], [0.2, 0.3]]],
        "notes": [],
    }
    json.dumps(record, allow_nan=False)
    assert class_map().to_json()["summary"][0]["label"] is None


def test_windows_in_json_are_those_of_the_cells() -> None:
    shown = class_map()
    boxes, windows = shown.windows(), shown.to_json()["windows"]
    assert boxes is not None
    for row, column in np.ndindex(2, 2):
        top, left = (
            windows["start"][axis] + (row, column)[axis] * windows["stride"][axis]
            for axis in range(2)
        )
        box = [left, top, left + windows["size"][1], top + windows["size"][0]]
        assert boxes[row, column].tolist() == pytest.approx(box)


def test_json_of_scores_that_are_not_finite() -> None:
    values = np.array([[[np.inf]], [[-np.inf]]], np.float32)
    record = class_map(values, is_probability=False).to_json(top_k=5)
    assert record["classes"] == [[[0]], [[1]]]
    assert record["scores"] == [[[None]], [[None]]]
    assert record["summary"] == [{"class": 0, "label": None, "cells": 1, "score": None}]
    assert not record["is_probability"]


def test_nan_is_refused() -> None:
    values = VALUES.copy()
    values[1, 0, 1] = np.nan
    with pytest.raises(NetError) as error:
        class_map(values)
    assert str(error.value) == (
        "p.png: blob 'prob' holds NaN in 1 of 4 cells; check the weights and the preprocessing"
    )


def test_labels_must_fit() -> None:
    with pytest.raises(FormatError) as error:
        class_map(labels=LABELS)
    assert str(error.value) == "words.txt: 4 labels, but blob 'prob' has 3 classes"


@pytest.mark.parametrize(
    ("text", "number"), [("max", None), ("MAX", None), ("2", 2), ("tabby", 0), ("Dog", 1)]
)
def test_find_class(text: str, number: int | None) -> None:
    mapped = class_map(np.zeros((4, 1, 1), np.float32), labels=LABELS)
    assert mapped.find_class(text) == number


@pytest.mark.parametrize("text", ["\u00b2", "\u0663", "9" * 5000, "1_0", "+1", " 1", "-1", ""])
def test_what_is_no_number_of_a_class_is_sought_in_the_labels(text: str) -> None:
    with pytest.raises(NetError, match="neither a number nor max"):
        class_map().find_class(text)


def test_find_class_refuses() -> None:
    with pytest.raises(NetError) as error:
        class_map().find_class("3")
    assert str(error.value) == "class 3: blob 'prob' has 3 classes, 0 to 2"
    with pytest.raises(NetError) as error:
        class_map().find_class("dog")
    assert str(error.value) == (
        "class 'dog' is neither a number nor max, and there are no labels (--labels FILE)"
    )


def test_text() -> None:
    values = np.zeros((101, 2, 3), np.float32)
    for at, number in zip(np.ndindex(2, 3), [7, 7, 100, 7, 55, 55], strict=True):
        values[number, at[0], at[1]] = 0.5
    shown = class_map(values)
    assert map_text(shown) == "  7   7 100\n  7  55  55"
    assert table_text(shown) == (
        "cells  class  best probability\n"
        "    3      7               0.5\n"
        "    2     55               0.5\n"
        "    1    100               0.5"
    )
    assert table_text(shown, most=1).splitlines()[1:] == [
        "    3      7               0.5",
        "and 2 more classes",
    ]
    assert str(shown) == ("p.png: input 259x259, map 2x3 of prob\n\n" + table_text(shown))
    assert repr(shown) == "<ClassMap of p.png: 2x3 cells of 'prob', 101 classes>"


def painted(text: str, rank: int | None, behind: int | None = None) -> str:
    place = f"{rank}" if behind is None else f"{rank},{behind}"
    return f"<{place}>" if len(text) < 3 else f"<{place}>*{len(text)}"


def test_text_with_labels_and_colour() -> None:
    shown = class_map(labels=Labels("w", ("a", "b", "see\x1b[2J")), is_probability=False)
    style = TextStyle(clean=lambda text: text.replace("\x1b", "?"))
    assert table_text(shown, style) == (
        "cells  class  best score  label\n"
        "    2      2         0.8  see?[2J\n"
        "    1      0         0.7  a\n"
        "    1      1         0.4  b"
    )
    assert map_text(shown, TextStyle(paint=painted)) == "<1> <0>\n<0> <2>"


def test_the_table_of_classes_fits_narrow_terminals() -> None:
    """Ids go first, then values, then cells; a label is cut, never a number or a short label."""
    lines = ("n02123045 tabby, tabby cat", "n02123159 tiger cat", "n02127052 lynx")
    shown = class_map(labels=Labels("w", lines), is_probability=False)

    def table(columns: int) -> str:
        return table_text(shown, TextStyle(columns, bold=lambda text: f"*{text}*"))

    assert table(80).splitlines()[:3] == [
        "*cells  class  best score  id         label*",
        "-----------------------------------------------------",
        "    2      2         0.8  n02127052  lynx",
    ]
    assert table(40).splitlines()[0] == "*cells  class  best score  label*"
    assert table(30).splitlines()[0] == "*cells  class  label*"
    assert table(20) == (
        "*class  label*\n--------------------\n    2  lynx\n    0  tabby, ...cat\n    1  tiger cat"
    )
    assert table(14).splitlines()[0] == "*class*"
    unnamed = class_map(labels=Labels("w", ("0", "1", "2")))
    for columns in range(5, 60):
        for each in (shown, unnamed):
            text = table_text(each, TextStyle(columns))
            assert max(map(len, text.splitlines())) <= columns
        assert "..." not in text


def one_hot(numbers: Any, classes: int) -> Any:
    return (np.arange(classes)[:, None, None] == np.asarray(numbers)).astype(np.float32)


def test_a_map_too_wide_for_the_terminal_is_a_character_a_cell() -> None:
    numbers = np.full((3, 30), 7)
    numbers[1, :4], numbers[2, -1] = 12, 3
    shown = class_map(one_hot(numbers, 13))
    assert map_text(shown, TextStyle(columns=89)).splitlines()[0] == " ".join([" 7"] * 30)
    lines = map_text(shown, TextStyle(columns=88)).splitlines()
    assert lines == ["." * 30, "aaaa" + "." * 26, "." * 29 + "b", "", ". 7  a 12  b 3"]


def test_a_map_wider_than_the_terminal_has_characters_is_sampled() -> None:
    """No line is longer than the terminal, whatever the map; nor is the legend's."""
    random = np.random.default_rng(0)
    shown = class_map(one_hot(random.integers(0, 99, (50, 201)), 99))
    for columns in (20, 40, 67, 100):
        lines = map_text(shown, TextStyle(columns=columns)).splitlines()
        assert max(map(len, lines)) <= columns
        step = -(-201 // columns)
        assert lines.index("") == len(range(step // 2, 50, step))
    assert "? 36 more classes" in " ".join(lines)


def test_half_blocks_show_two_rows_a_line() -> None:
    numbers = np.array([[0] * 30, [1] * 30, [0] * 29 + [2]])
    shown = class_map(one_hot(numbers, 3), background_name="none")
    style = TextStyle(columns=40, paint=painted, colored=True)
    first, second = map_text(shown, style).splitlines()
    assert first == "<0,1>*30"
    assert second == "<0>*29<2>"


def test_the_background_has_no_colour_in_text() -> None:
    """And the other classes have those of the picture."""
    numbers = np.array([[0] * 30, [1] * 30, [0] * 29 + [2], [0] * 30])
    shown = class_map(one_hot(numbers, 3))
    colored = TextStyle(columns=40, paint=painted, colored=True)
    assert map_text(shown, colored).splitlines() == ["<0>*30", "<None>*29<1>"]
    assert map_text(shown, TextStyle(columns=70, paint=painted)).splitlines()[2].endswith("<1>")
    assert table_text(shown, TextStyle(paint=painted)).splitlines()[1].split()[1] == "<None>*5"
    named = class_map(one_hot(numbers, 3), background_name="2")
    lines = map_text(named, TextStyle(columns=40)).splitlines()
    assert lines[:3] == ["a" * 30, "b" * 30, "a" * 29 + "."]
    assert lines[-1] == ". 2  a 0  b 1"


def test_what_a_notebook_shows() -> None:
    shown = class_map(labels=Labels("w", ("a", "b", "<c>")))
    png, text = shown._repr_png_(), shown._repr_html_()
    assert png is not None
    assert png.startswith(b"\x89PNG")
    assert '<td style="text-align: left">&lt;c&gt;</td>' in text
    assert "src='data:image/png;base64,iVBOR" in text
    unplaced = class_map(geometry=Geometry(None, None, place((9, 9), (9, 9))))
    assert unplaced._repr_png_() is None
    assert "<img" not in unplaced._repr_html_()


PROTOTXT = """\
name: "tiny"
input: "data"
input_shape { dim: 10 dim: 3 dim: 12 dim: 16 }
layer { name: "pool" type: "Pooling" bottom: "data" top: "pool"
  pooling_param { pool: AVE kernel_size: 4 stride: 4 } }
layer { name: "flat" type: "Flatten" bottom: "pool" top: "flat" }
layer { name: "prob" type: "Softmax" bottom: "pool" top: "prob" }
"""


def net_of(folder: Path, text: str = PROTOTXT, blob: str | None = None) -> MapSource:
    (folder / "deploy.prototxt").write_text(text)
    return MapSource.of_map(NetWithWeights.open(folder / "deploy.prototxt", folder / "w"), blob)


def placed(net: MapSource, size: tuple[int, int]) -> tuple[float, float, float]:
    """Stride, start and size of the cells' boxes along the height."""
    cells = net.cells(size)
    assert cells is not None
    return float(cells.stride[0]), float(cells.start[0]), float(cells.size[0])


def test_what_a_net_says(tmp_path: Path) -> None:
    net = net_of(tmp_path)
    assert (net.input.name, net.channels, net.size) == ("data", 3, (12, 16))
    assert (net.blob, net.is_probability, net.classes) == ("prob", True, 3)
    assert placed(net, (12, 16)) == (4, 0, 4)
    assert not net_of(tmp_path, blob="pool").is_probability
    in_place = PROTOTXT.replace('bottom: "pool" top: "prob"', 'bottom: "pool" top: "pool"')
    assert net_of(tmp_path, in_place, "pool").is_probability


def test_caffenets_window_and_stride(shared_data: Path) -> None:
    """BVLC's own full_conv net: 451 x 451 gives 8 x 8 cells of 227 every 32."""
    path = shared_data / "bvlc" / "bvlc_caffenet_full_conv.prototxt"
    net = MapSource.of_map(NetWithWeights.open(path))
    assert net.size == (451, 451)
    assert placed(net, net.size) == (32, 0, 227)
    assert net.is_probability


@pytest.mark.parametrize("axis", ["axis: 2", "axis: -1"])
def test_a_softmax_over_places_makes_no_probabilities_of_classes(tmp_path: Path, axis: str) -> None:
    last = '"Softmax" bottom: "pool" top: "prob"'
    net = net_of(tmp_path, PROTOTXT.replace(last, f"{last} softmax_param {{ {axis} }}"))
    assert not net.is_probability


@pytest.mark.parametrize(
    ("old", "new", "blob", "said"),
    [
        ("", "", "nope", "{path}: no blob 'nope'; --blob takes pool, prob"),
        ("", "", "flat", "blob 'flat' is 10x36, not N x C x H x W (a classifier becomes fully "
         "convolutional by `netsurgery convert`); --blob takes pool, prob"),
        ("dim: 3 ", "dim: 4 ", None, "{path}: the input 'data' is 10x4x12x16; a picture "
         "needs N x 1 x H x W (grey) or N x 3 x H x W"),
        ("input_shape { dim: 10 dim: 3 dim: 12 dim: 16 }\n", "", None,
         "{path}: the prototxt declares no shape for its input 'data'; "
         "--input-shape data=NxCxHxW gives it"),
        ('top: "prob"', 'top: "prob" top: "more"', None, "{path}: the last layer, 'prob', has "
         "several tops; choose one with --blob: prob, more"),
    ],
)  # fmt: skip
def test_nets_that_are_refused(
    tmp_path: Path, old: str, new: str, blob: str | None, said: str
) -> None:
    with pytest.raises(NetError) as error:
        net_of(tmp_path, PROTOTXT.replace(old, new) if old else PROTOTXT, blob)
    said = said.replace("10x36", "1x36").replace("{path}", str(tmp_path / "deploy.prototxt"))
    assert str(error.value) == said


def test_several_inputs_are_refused(tmp_path: Path) -> None:
    """Those that the map depends on."""
    text = 'input: "a" input_shape { dim: 1 } input: "b" input_shape { dim: 1 }\n'
    both = 'layer { name: "x" type: "Eltwise" bottom: "a" bottom: "b" top: "x" }\n'
    with pytest.raises(NetError) as error:
        net_of(tmp_path, text + both)
    assert str(error.value) == (
        f"{tmp_path / 'deploy.prototxt'}: the net has 2 inputs, 'a', 'b'; "
        "a picture can be fed to one only"
    )


def test_an_input_that_the_map_does_not_depend_on_is_left_out(tmp_path: Path) -> None:
    text = (
        PROTOTXT + 'layer { name: "l" type: "Input" top: "l" input_param { shape { dim: 7 } } }\n'
    )
    text += 'layer { name: "loss" type: "Martian" bottom: "prob" bottom: "l" top: "loss" }\n'
    net = net_of(tmp_path, text, "prob")
    assert (net.input.name, [layer.name for layer in net.net.layers][-1]) == ("data", "prob")
    with pytest.raises(NetError) as error:
        net_of(tmp_path, text)
    assert "the net has 2 inputs, 'data', 'l'; a picture" in str(error.value)


def tiny_mapper(
    folder: Path, run: Any, text: str = PROTOTXT, **options: Any
) -> tuple[Mapper, FakeEngine]:
    engine = FakeEngine(run, {"data": (10, 3, 12, 16)})
    net = net_of(folder, text)
    return Mapper(net, Transformer(3), EngineOptions(), opener=engine.open, **options), engine


def pooled(inputs: dict[str, Any]) -> dict[str, Any]:
    """Stands for the net: 4 x 4 means."""
    data = inputs["data"]
    count, channels, high, wide = data.shape
    cells = data.reshape(count, channels, high // 4, 4, wide // 4, 4).mean(axis=(3, 5))
    return {"pool": cells, "prob": cells}


RED = np.zeros((24, 32, 3), np.uint8)
RED[:12, :, 2] = 200
RED[12:, :, 0] = 100


def test_a_map_of_a_picture(tmp_path: Path) -> None:
    mapper, engine = tiny_mapper(tmp_path, pooled)
    with mapper:
        mapped = mapper.map(Picture("p", RED), (12, 16))
        assert mapped.shape == (3, 4)
        assert mapped.argmax().tolist() == [[2] * 4, [2] * 4, [0] * 4]
        assert mapper.engine == "fake 1.0"
    assert engine.log[0] == "open"
    assert engine.log[1] == ("load", tmp_path / "deploy.prototxt", tmp_path / "w")
    assert engine.log[2] == ("reshape", {"data": (1, 3, 12, 16)})
    assert engine.log[-2:] == ["net closed", "engine closed"]


def test_reshaped_only_when_the_size_changes(tmp_path: Path) -> None:
    mapper, engine = tiny_mapper(tmp_path, pooled)
    with mapper:
        for size in ((12, 16), "net", "image", (24, 32), None):
            mapper.map(Picture("p", RED), size)
    shapes = [entry[1]["data"] for entry in engine.log if entry[0] == "reshape"]
    assert shapes == [(1, 3, 12, 16), (1, 3, 24, 32), (1, 3, 12, 16)]
    assert engine.log.count("open") == 1


def test_another_engine_after_one_that_failed(tmp_path: Path) -> None:
    failures = [EngineFailed("Check failed: it died")]

    def run(inputs: dict[str, Any]) -> dict[str, Any]:
        if failures:
            raise failures.pop()
        return pooled(inputs)

    mapper, engine = tiny_mapper(tmp_path, run)
    with mapper:
        with pytest.raises(EngineFailed):
            mapper.map(Picture("p", RED), (12, 16))
        assert mapper.map(Picture("p", RED), (12, 16)).shape == (3, 4)
    assert engine.log.count("open") == engine.log.count("engine closed") == 2


def test_an_input_too_small_is_reported_before_the_engine(tmp_path: Path) -> None:
    text = PROTOTXT.replace('"Pooling"', '"Convolution"').replace("pool: AVE", "num_output: 3")
    mapper, engine = tiny_mapper(
        tmp_path, pooled, text.replace("pooling_param", "convolution_param")
    )
    with pytest.raises(NetError) as error:
        mapper.map(Picture("p", RED), (2, 2))
    assert str(error.value) == (
        f"p: 24x32 pixels, as an input of 2x2 (--size): {tmp_path / 'deploy.prototxt'}:4:7: layer "
        "'pool' (Convolution): its top 'pool' would be 1x3x-1x-1: the input is too small; "
        "the smallest that works is 4x4"
    )
    assert engine.log == []


def test_a_blob_the_prototxt_says_nothing_of(tmp_path: Path) -> None:
    mapper, _ = tiny_mapper(tmp_path, lambda inputs: {"prob": np.zeros((1, 5))})
    with pytest.raises(NetError, match=r"blob 'prob' is 1x5, not N x C x H x W"):
        mapper.map(Picture("p", RED), (12, 16))


def test_window_given_wins(tmp_path: Path) -> None:
    mapper, _ = tiny_mapper(tmp_path, pooled, window=(6, 8))
    with mapper:
        windows = mapper.map(Picture("p", RED), "image").windows()
    assert windows is not None
    assert windows[1, 1].tolist() == [4, 4, 12, 10]


def test_make_mapper_needs_a_model(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as error:
        open_mapper(Settings(), EngineOptions())
    assert str(error.value) == (
        "no prototxt and no weights to use: give --prototxt FILE and --weights FILE, or "
        "run where there is a netsurgery.toml (`netsurgery convert` writes one)"
    )
    (tmp_path / "d.prototxt").write_text(PROTOTXT)
    with pytest.raises(SettingsError, match=r"^no weights to use: "):
        open_mapper(Settings(prototxt=tmp_path / "d.prototxt"), EngineOptions())
    settings = Settings(prototxt=tmp_path / "d.prototxt", weights=tmp_path / "none")
    with pytest.raises(SettingsError) as error:
        open_mapper(settings, EngineOptions())
    assert str(error.value) == f"{tmp_path / 'none'}: No such file or directory"
    settings = Settings(prototxt=tmp_path / "d.prototxt", weights=tmp_path)
    with pytest.raises(SettingsError) as error:
        open_mapper(settings, EngineOptions())
    assert str(error.value) == f"{tmp_path}: is a folder, expected a caffemodel"


def test_labels_are_checked_before_any_engine(tmp_path: Path) -> None:
    for name, text in (("d.prototxt", PROTOTXT), ("w", "x"), ("words", "a\nb\n")):
        (tmp_path / name).write_text(text)
    settings = Settings(
        prototxt=tmp_path / "d.prototxt", weights=tmp_path / "w", labels=tmp_path / "words"
    )
    with pytest.raises(FormatError) as error:
        open_mapper(settings, EngineOptions())
    assert str(error.value) == (f"{tmp_path / 'words'}: 2 labels, but blob 'prob' has 3 classes")
