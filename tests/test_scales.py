"""`classify-map --scales`: maps of several scales on one grid."""

from __future__ import annotations

import json
import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import netsurgery as ns
from netsurgery.cli import run
from netsurgery.maps.between_cells import Between
from netsurgery.maps.combined import CombinedMaps
from netsurgery.maps.scales import parse_scales
from netsurgery.maps.transformer import place

Array = NDArray[np.float32]

#: A cell's first score is the mean of its window of 8 x 8 pixels, the second one twice that.
NET = """input: "x" input_shape { dim: [1, 1, 8, 8] }
layer { name: "mean" type: "Pooling" bottom: "x" top: "mean"
  pooling_param { pool: AVE kernel_size: 8 stride: 4 } }
layer { name: "c" type: "Convolution" bottom: "mean" top: "c"
  convolution_param { num_output: 2 kernel_size: 1 bias_term: false } }
"""
SIZE = (60, 84)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.prototxt").write_text(NET)
    ns.init("net.prototxt", "zero.caffemodel")
    with ns.Net("net.prototxt", "zero.caffemodel") as net:
        net.params["c"][0][...] = np.array([1, 2]).reshape(2, 1, 1, 1)
        net.save("w.caffemodel")
    Path("netsurgery.toml").write_text(
        '[model]\nprototxt = "net.prototxt"\nweights = "w.caffemodel"\n'
    )


def class_map(picture: Array, size: ns.PictureOptions, **more: Any) -> ns.ClassMap:
    return ns.classify_map(picture, "netsurgery.toml", size=size, engine="embedded", **more)


def interpolated(at: tuple[float, float], second: ns.ClassMap) -> Array | None:
    """The scores of another map at a place of the picture, (y, x), cell by cell; None for none."""
    boxes = second.windows()
    assert boxes is not None
    total = np.zeros(second.classes, np.float32)
    weights = []
    for axis in range(2):
        line = boxes[:, 0] if axis == 0 else boxes[0]
        middles = [(box[1 - axis] + box[3 - axis]) / 2 for box in line]
        stride = middles[1] - middles[0]
        if min(abs(at[axis] - middle) for middle in middles) > stride / 2 + 1e-6:
            return None
        place = min(max(at[axis], middles[0]), middles[-1])
        weights.append([max(0.0, 1 - abs(place - middle) / stride) for middle in middles])
    for row, down in enumerate(weights[0]):
        for column, across in enumerate(weights[1]):
            if down and across:
                total += down * across * second.values[:, row, column]
    return total


def combined(maps: list[ns.ClassMap], combine: str) -> Array:
    """What the first map is to become, cell by cell."""
    base, boxes = maps[0], maps[0].windows()
    assert boxes is not None
    result = np.empty_like(base.values)
    for row in range(base.shape[0]):
        for column in range(base.shape[1]):
            x0, y0, x1, y1 = boxes[row, column]
            at = ((y0 + y1) / 2, (x0 + x1) / 2)
            scores = [base.values[:, row, column]]
            scores += [s for second in maps[1:] if (s := interpolated(at, second)) is not None]
            result[:, row, column] = np.mean(scores, 0) if combine == "mean" else np.max(scores, 0)
    return result


@pytest.mark.parametrize(
    ("scales", "grid", "fit", "combine"),
    [
        ((0.7, 1, 1.4), 1, "warp", "mean"),
        ((0.7, 1, 1.4), 1, "pad", "max"),
        ((0.5, 1.3), 1.3, "crop", "mean"),
    ],
)
def test_it_is_what_a_loop_over_cells_gives(
    scales: tuple[float, ...], grid: float, fit: Any, combine: Any
) -> None:
    picture = np.random.default_rng(0).uniform(0, 1, (50, 90)).astype(np.float32)
    maps = []
    for scale in sorted(scales, key=lambda scale: scale != grid):
        size = (math.floor(SIZE[0] * scale + 0.5), math.floor(SIZE[1] * scale + 0.5))
        maps.append(class_map(picture, ns.PictureOptions(size, fit)))
    result = class_map(picture, ns.PictureOptions(SIZE, fit), scales=ns.Scales(scales, combine))
    np.testing.assert_allclose(result.values, combined(maps, combine), atol=1e-5)
    np.testing.assert_array_equal(result.windows(), maps[0].windows())
    assert not np.allclose(result.values, maps[0].values, atol=1e-3)


def test_a_score_that_is_a_known_function_of_the_picture() -> None:
    """Of a slope the mean of a window is the value of its middle, at every scale."""
    down, across = np.mgrid[:60, :84].astype(np.float32)
    picture = (down + 0.5) / 120 + (across + 0.5) / 200
    result = class_map(picture, ns.PictureOptions(SIZE), scales=(1, 0.5, 2))
    boxes = result.windows()
    assert boxes is not None
    middles = (boxes[..., :2] + boxes[..., 2:]) / 2
    expected = middles[..., 1] / 120 + middles[..., 0] / 200
    # Resizing bends a slope at the edge of the picture.
    inside = np.s_[2:-2, 2:-2]
    np.testing.assert_allclose(result.values[0][inside], expected[inside], atol=1e-3)
    np.testing.assert_allclose(result.values[1], 2 * result.values[0], rtol=1e-5)


def test_where_a_scale_has_no_cell_only_the_others_count() -> None:
    """At half the scale the outermost windows are twice as large, so their middles farther in."""
    picture = np.random.default_rng(0).uniform(0, 1, SIZE).astype(np.float32)
    alone = class_map(picture, ns.PictureOptions(SIZE))
    both = class_map(picture, ns.PictureOptions(SIZE), scales=(1, 0.25))
    # The first middles are 4 and 16 pixels from the edge, a stride of the second is 16.
    apart = np.abs(both.values - alone.values).max(0) > 1e-6
    assert apart[1:-1, 1:-1].all()
    assert not apart[0].any()
    assert "near the edge have only some of them" in both.notes["scales"]
    all_there = class_map(picture, ns.PictureOptions(SIZE), scales=(1, 1.5))
    assert all_there.notes["scales"] == (
        "scores are the mean of those at scales 1, 1.5, at the windows of 1"
    )


def test_a_single_row_and_cells_that_do_not_move() -> None:
    for middles in ([5.0], [5.0, 5.0]):
        between = Between.of(np.array([0.0, 5.0, 9.0]), np.array(middles))
        values = np.arange(len(middles), dtype=np.float32).reshape(1, -1, 1) + 3
        np.testing.assert_array_equal(between.rows(values).ravel(), 3)
        assert between.near.all()


def test_in_tiles_and_with_a_finer_stride() -> None:
    picture = np.random.default_rng(0).uniform(0, 1, SIZE).astype(np.float32)
    whole = class_map(picture, ns.PictureOptions(SIZE), scales=(1, 1.5))
    tiled = class_map(picture, ns.PictureOptions(SIZE, tile=40), scales=(1, 1.5))
    np.testing.assert_allclose(tiled.values, whole.values, atol=1e-6)
    assert "tiles" in tiled.notes
    finer = class_map(picture, ns.PictureOptions(SIZE), scales=(1, 1.5), stride=2)
    maps = [class_map(picture, ns.PictureOptions(size), stride=2) for size in (SIZE, (90, 126))]
    np.testing.assert_allclose(finer.values, combined(maps, "mean"), atol=1e-5)


def test_blocks_of_rows_are_one_map(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    values, more = (
        random.uniform(0, 1, (3, *size)).astype(np.float32) for size in ((9, 8), (6, 5))
    )
    results = []
    for block in (1 << 20, 1):
        monkeypatch.setattr("netsurgery.maps.row_blocks._BLOCK", block)
        maps = CombinedMaps.begin(values, geometry(4, 8), "mean")
        maps.add(more, geometry(6, 10))
        results.append(maps.whole())
    np.testing.assert_array_equal(results[0], results[1])


def geometry(stride: float, window: float) -> ns.Geometry:
    return ns.Geometry((stride, stride), (window, window), place((40, 40), (40, 40)))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--scales", "0.7,x"], "expected numbers with commas between, as 0.7,1,1.4"),
        (["--scales", "nan"], "scale nan: expected a number above 0, at most 10"),
        (["--scales", "14"], "scale 14.0: expected a number above 0, at most 10"),
        (["--scales", "1,1"], "scales 1, 1: expected 1 to 16 different numbers"),
        (["--combine", "max"], "--combine does nothing without --scales"),
        (["--scales", "1,2", "--npy", "m.npy", "--no-resume"],
         "--no-resume does nothing with --scales"),
    ],
)  # fmt: skip
def test_a_wrong_command_line(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["classify-map", "a.png", *words]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_wrong_scales_in_python() -> None:
    wrong: list[Any] = [(), (0,), (float("inf"),), ("1",), (True,)]
    for scales in wrong:
        with pytest.raises((ns.SettingsError, TypeError)):
            ns.Scales(scales)
    with pytest.raises((ns.SettingsError, TypeError)):
        ns.Scales((1,), combine="sum")  # type: ignore[arg-type]
    assert parse_scales("2,0.5") == (2, 0.5)
    with pytest.raises(ns.SettingsError, match=r"scales 1.5: expected numbers, as in \(0.7, 1"):
        class_map(np.zeros(SIZE, np.float32), ns.PictureOptions(SIZE), scales=1.5)


@pytest.mark.parametrize("scales", [np.array([0.5, 1], np.float32), [Fraction(1, 2), np.int64(1)]])
def test_scales_of_any_numbers_are_written_as_json(scales: Any) -> None:
    result = class_map(np.zeros(SIZE, np.float32), ns.PictureOptions(SIZE), scales=scales)
    record = json.loads(json.dumps(result.to_json()))
    assert record["scales"]["scales"] == [float(scale) for scale in scales]
    assert record["scales"]["grid"] == 1
    assert hash(result.scales) == hash(ns.Scales(tuple(map(float, scales))))


def test_a_scale_that_the_net_cannot_take_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    save_picture("a.png")
    words = ["classify-map", "a.png", "--size", "60x84", "--engine", "embedded"]
    assert run([*words, "--scales", "1,0.02"]) == 1
    assert "; at --scales 0.02" in capsys.readouterr().err


def test_scales_are_refused_before_the_net_is_run_at_any(monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[object] = []
    monkeypatch.setattr("netsurgery.maps.net_runner.NetRunner.run", lambda *_: runs.append(0))
    with pytest.raises(ns.NetError, match=r"as an input of 1x2 .* at scales='0.02'"):
        class_map(np.zeros(SIZE, np.float32), ns.PictureOptions(SIZE), scales=(1, 0.02))
    assert not runs


def test_tiles_of_each_scale_are_noted() -> None:
    picture = np.zeros(SIZE, np.float32)
    notes = class_map(picture, ns.PictureOptions(SIZE, tile=40), scales=(1, 1.5, 0.4)).notes
    first, second = notes["tiles"].split("; ")
    assert first.startswith("at scale 1 the net was run in ")
    assert second.startswith("at scale 1.5 the net was run in ")
    # The last one was run as a whole.
    assert "tiles" in class_map(picture, ns.PictureOptions(SIZE, tile=40), scales=(1, 0.4)).notes


def test_the_scale_that_takes_too_much_memory_is_named() -> None:
    ns.set_max_memory("30MiB")
    try:
        options = ns.PictureOptions((300, 400), tile="none")
        with pytest.raises(ns.MemoryLimitError, match="fits, for the input at scales=5"):
            class_map(np.zeros(SIZE, np.float32), options, scales=(1, 5))
    finally:
        ns.set_max_memory(None)


def save_picture(name: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, SIZE).astype(np.uint8)
    Image.fromarray(pixels).save(name)


def test_every_output_of_a_map_of_several_scales(capsys: pytest.CaptureFixture[str]) -> None:
    save_picture("a.png")
    words = ["classify-map", "a.png", "--size", "60x84", "--engine", "embedded"]
    words += ["--scales", "1,1.5", "--combine", "max"]
    outputs = ["--picture", "m.png", "--html", "m.html", "--npy", "m.npy", "--npz", "m.npz"]
    assert run([*words, *outputs, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["scales"] == {"scales": [1, 1.5], "combine": "max", "grid": 1}
    assert record["map_size"] == [14, 20]
    assert "the largest of those at scales 1, 1.5" in " ".join(record["notes"])
    expected = ns.classify_map(
        "a.png", "netsurgery.toml", size=SIZE, scales=ns.Scales((1, 1.5), "max"), engine="embedded"
    ).values
    np.testing.assert_array_equal(np.load("m.npy"), expected)
    assert run([*words, "--npy", "job.npy", "--job", "a.job", "-q"]) == 0
    np.testing.assert_array_equal(np.load("job.npy"), expected)
    capsys.readouterr()
    assert run([*words[:-2], "--npy", "again.npy", "--job", "a.job", "-q"]) == 1
    assert "holds a job of another plan (its " in capsys.readouterr().err


def test_a_blob_whose_cells_lie_nowhere() -> None:
    """A Reshape mixes positions."""
    text = (
        NET
        + """layer { name: "r" type: "Reshape" bottom: "c" top: "r"
      reshape_param { shape { dim: 0 dim: 1 dim: 2 dim: -1 } } }"""
    )
    Path("net.prototxt").write_text(text)
    with pytest.raises(ns.NetError, match="maps of several scales cannot be laid over each other"):
        ns.classify_map(np.zeros(SIZE, np.float32), "netsurgery.toml", scales=(1, 2))
