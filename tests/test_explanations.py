"""Explanations of a classifier's answer, against what the net itself gives of changed inputs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import FakeEngine, FakeNet
from numpy.typing import NDArray
from pages import records
from PIL import Image

import netsurgery as ns
from netsurgery.cli import run
from netsurgery.drawing.scene import Text
from netsurgery.errors import EngineFailed
from netsurgery.maps.heatmap import map_scene
from netsurgery.maps.legend import entries
from netsurgery.maps.occlusion import starts

Array = NDArray[np.float32]

ROOT = Path(__file__).resolve().parent.parent
NET, MODEL = ROOT / "prototxt/digits_deploy.prototxt", ROOT / "models/digits/digits.caffemodel"
DIGITS = ROOT / "examples/digits_canvas.png"
SETTINGS = ns.Settings(NET, MODEL, labels=tuple("zero one two three four five".split() + ["x"] * 5))


@pytest.fixture(scope="module")
def picture() -> Array:
    """One of the digits, floats 0..1, which is the net's input as it is."""
    with Image.open(DIGITS) as image:
        pixels = np.asarray(image, np.float32) / 255
    # Where the net is not so sure that the last digits of its numbers are lost.
    digit: Array = pixels[20:52, 30:62].copy()
    return digit


def occluded(
    picture: Array, patch: tuple[int, int], stride: tuple[int, int], fill: float, engine: Any
) -> Array:
    """The definition, a run for each place: classes x rows x columns."""
    rows, columns = (
        1 + max(0, -(-(side - length) // step))
        for side, length, step in zip(picture.shape, patch, stride, strict=True)
    )
    with ns.Net(NET, MODEL, engine=engine) as net:

        def scores(pixels: Array) -> Array:
            return net.forward(data=pixels[np.newaxis, np.newaxis])["prob"].ravel()

        whole = scores(picture)
        falls = np.zeros((len(whole), rows, columns), np.float32)
        for row in range(rows):
            for column in range(columns):
                covered = picture.copy()
                for y in range(row * stride[0], min(32, row * stride[0] + patch[0])):
                    for x in range(column * stride[1], min(32, column * stride[1] + patch[1])):
                        covered[y, x] = fill
                falls[:, row, column] = whole - scores(covered)
    return falls


@pytest.mark.parametrize(
    ("engine", "patch", "stride"),
    [
        ("embedded", (9, 14), (5, 7)),
        ("embedded", (32, 8), (16, 8)),
        pytest.param("caffe", (14, 15), (9, 15), marks=pytest.mark.caffe),
    ],
)
def test_occlusion_is_the_fall_where_a_patch_covers_the_input(
    picture: Array, patch: tuple[int, int], stride: tuple[int, int], engine: Any
) -> None:
    expected = occluded(picture, patch, stride, 0.5, engine)
    named = ns.Occlusion(patch, stride, "3,five,0")
    explanation = ns.classify_map(picture, SETTINGS, explain=named, engine=engine)
    assert isinstance(explanation, ns.Explanation)
    assert explanation.numbers == (3, 5, 0)
    assert explanation.values.dtype == np.float32
    np.testing.assert_allclose(explanation.values, expected[[3, 5, 0]], rtol=0, atol=1e-5)
    windows = explanation.windows()
    assert windows is not None
    top, left = stride[0] * (len(windows) - 1), stride[1] * (len(windows[0]) - 1)
    assert windows[-1, -1].tolist() == [left, top, left + patch[1], top + patch[0]]
    assert top + patch[0] >= 32
    assert left + patch[1] >= 32


def test_the_likeliest_class_is_explained_where_none_is_named(picture: Array) -> None:
    explanation = ns.classify_map(picture, SETTINGS, explain=ns.Occlusion(), engine="embedded")
    assert isinstance(explanation, ns.Explanation)
    with ns.Net(NET, MODEL, engine="embedded") as net:
        scores = net.forward(data=picture[np.newaxis, np.newaxis])["prob"].ravel()
    assert explanation.numbers == (int(scores.argmax()),)
    assert explanation.scores == pytest.approx((float(scores.max()),))
    assert explanation.values.shape == (1, 15, 15)  # patches of 5 every 2 pixels


def test_the_patch_is_the_mean_or_the_middle_of_black_and_white(picture: Array) -> None:
    patch, stride = (16, 31), (16, 16)
    scaled = ns.Settings(NET, MODEL, raw_scale=255, input_scale=1 / 255)
    explain = ns.Occlusion(patch, stride, 10)
    explanation = ns.classify_map(picture, scaled, explain=explain, engine="embedded")
    expected = occluded(picture, patch, stride, 0.5, "embedded")[[10]]
    np.testing.assert_allclose(explanation.values, expected, rtol=0, atol=1e-5)
    less_mean = ns.Settings(NET, MODEL, mean=(0.2,))
    explanation = ns.classify_map(picture, less_mean, explain=explain, engine="embedded")
    expected = occluded(picture - np.float32(0.2), patch, stride, 0.0, "embedded")[[10]]
    np.testing.assert_allclose(explanation.values, expected, rtol=0, atol=1e-5)


def test_a_net_of_a_fixed_batch_is_run_one_by_one(picture: Array, tmp_path: Path) -> None:
    fixed = tmp_path / "fixed.prototxt"
    text = NET.read_text()
    last = text.rindex("layer {")
    bottom = text[last:].split('bottom: "')[1].split('"')[0]
    reshape = (
        f'layer {{ name: "r" type: "Reshape" bottom: "{bottom}" top: "r" '
        "reshape_param { shape { dim: [1, 11] } } }\n"
    )
    fixed.write_text(text[:last] + reshape + text[last:].replace(f'"{bottom}"', '"r"', 1))
    explain = ns.Occlusion(12, 10, "3")
    maps = [
        ns.classify_map(picture, ns.Settings(net, MODEL), explain=explain, engine="embedded")
        for net in (fixed, NET)
    ]
    np.testing.assert_allclose(maps[0].values, maps[1].values, rtol=0, atol=1e-5)


def test_every_pixel_is_covered_and_no_patch_begins_beyond() -> None:
    for side in range(1, 30):
        for patch in range(1, side + 1):
            for stride in range(1, patch + 1):
                begins = starts(side, patch, stride)
                assert begins[0] == 0
                assert begins[-1] + patch >= side > begins[-1]
                assert len(begins) == 1 or begins[-2] + patch < side


def test_outputs_of_an_explanation(
    picture: Array, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    explain = ns.Occlusion(16, 8, "3,1")
    outputs = {"npy": "x.npy", "picture": "x.svg", "html": "x.html"}
    maps = ns.classify_maps([picture], SETTINGS, explain=explain, engine="embedded")
    (result,) = maps.to_files(outputs)
    explanation = result.map
    assert isinstance(explanation, ns.Explanation)
    assert result.error is None
    np.testing.assert_array_equal(np.load("x.npy"), explanation.values)
    drawn = Path("x.svg").read_text()
    said = [", ".join(explanation.facts(plane)) for plane in range(2)]
    for words in ("each class explained", f"class 3: three, {said[0]}", f"class 1: one, {said[1]}"):
        assert words in drawn
    (on_page,) = records(Path("x.html").read_text())
    assert [row[:3] for row in on_page["classes"]] == [[3, "", "three"], [1, "", "one"]]
    assert (on_page["explained"], on_page["shown"]) == (said, 0)
    assert on_page["method"] == explanation.method.sentence
    record = result.to_json()
    assert [row["class"] for row in record["classes"]] == [3, 1]
    np.testing.assert_allclose(record["values"], explanation.values, rtol=1e-6)
    for row, values in zip(record["classes"], explanation.values, strict=True):
        assert values[tuple(row["cell"])] == values.max() == pytest.approx(row["highest"])
    image = explanation.to_picture("three")  # by its label, of two
    assert image.size[0] > 100
    with pytest.raises(ns.NetError, match="class 2: it is not explained, as 3, 1 of the classes"):
        explanation.to_picture("2")


def test_classes_explained_are_no_classes_of_cells(
    picture: Array, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All cells have a value of each: what counts is its score, and how high its values are."""
    monkeypatch.chdir(tmp_path)
    explain = ns.Occlusion(16, 8, "1,3")
    explanation = ns.classify_map(picture, SETTINGS, explain=explain, engine="embedded")
    assert isinstance(explanation, ns.Explanation)
    with ns.Net(NET, MODEL, engine="embedded") as net:
        scores = net.forward(data=picture[np.newaxis, np.newaxis])["prob"].ravel()
    facts = [
        (f"probability {scores[number]:.4g}", f"highest {values.max():.3g}")
        for number, values in zip((1, 3), explanation.values, strict=True)
    ]
    assert [explanation.facts(plane) for plane in range(2)] == facts
    explanation.to_picture("3").save("one.png")
    listed = entries(explanation, {}, 1)
    assert [(each.number, each.drawn) for each in listed] == [(3, True), (1, False)]
    assert [each.words(short=False) for each in reversed(listed)] == [
        ", ".join(each) for each in facts
    ]
    assert [each.words(short=True) for each in reversed(listed)] == [
        highest for _, highest in facts
    ]
    texts = [part.words for part in map_scene(explanation, "3").items if isinstance(part, Text)]
    assert "classes explained" in texts
    assert not [text for text in texts if "cells" in text]
    maps = explanation.to_text().split("\n\n")[1:3]
    assert [each.split("\n")[0] for each in maps] == ["class 1: one", "class 3: three"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"stride": 2}, "stride=2|stride is of a map of windows"),
        ({"scales": (1, 2)}, "scales is of a map of windows"),
        ({"boxes": ns.BoxRules()}, "boxes is of a map of windows"),
        ({"size": ns.PictureOptions(tile=20)}, "tile=20: an explanation is of the whole input"),
        (
            {"explain": ns.GradCam()},
            "the embedded engine does not have: use engine='caffe'",
        ),
        ({"explain": ns.GradCam("ip1"), "engine": "auto"}, "blob 'ip1' is 96, no map; Grad-CAM of"),
        ({"explain": ns.GradCam("prob"), "engine": "auto"}, "blob 'prob' is not before it"),
        ({"explain": ns.GradCam("conv9"), "engine": "auto"}, "no blob 'conv9'"),
        ({"explain": ns.GradCam(), "stride": 2}, "is of a map of windows, and this is one by grad"),
        ({"blob": "conv1"}, "blob 'conv1' is 16x28x28 at an input of 32x32; an explanation needs"),
        ({"explain": ns.Occlusion(classes="12")}, "class 12: blob 'prob' has 11 classes"),
        ({"explain": ns.Occlusion(classes="ten")}, "no label 'ten'"),
        ({"explain": ns.Occlusion(32)}, "a patch of 32x32 covers all of an input of 32x32"),
        ({"explain": ns.Occlusion(4, 5)}, "a stride of 5x5 leaves pixels between patches of 4x4"),
    ],
)
def test_what_an_explanation_cannot_be_of(
    picture: Array, wrong: dict[str, Any], message: str
) -> None:
    how: dict[str, Any] = {"explain": ns.Occlusion(8), "engine": "embedded"} | wrong
    with pytest.raises(ns.NetsurgeryError, match=message):
        ns.classify_map(picture, SETTINGS, **how)


@pytest.mark.parametrize("size", [(32, 32), "image"])
def test_a_net_of_maps_is_explained_at_the_input_of_one_cell(
    picture: Array, size: Any, tmp_path: Path
) -> None:
    converted = ns.convert(NET, MODEL, tmp_path, input_size=(40, 48), engine="embedded")
    explain = ns.Occlusion(8, classes="3")
    with pytest.raises(ns.NetError, match=r"is 11x2x3 at an input of 40x48; .* \(size\)$"):
        ns.classify_map(picture, converted.paths.settings, explain=explain, engine="embedded")
    explanation = ns.classify_map(
        picture, converted.paths.settings, explain=explain, size=size, engine="embedded"
    )
    expected = ns.classify_map(picture, SETTINGS, explain=explain, engine="embedded")
    np.testing.assert_allclose(explanation.values, expected.values, rtol=0, atol=1e-6)


def test_an_engine_that_fails_backward_is_not_used_again(
    picture: Array, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes = {"prob": (1, 11), "ip2": (1, 11), "pool3": (1, 4, 6, 6)}
    blobs = {name: np.ones(shape, np.float32) for name, shape in shapes.items()}
    engine = FakeEngine(lambda inputs: blobs, {"data": (1, 1, 32, 32)})

    def backward(self: FakeNet, top: str, gradient: Array, blob: str) -> Array:
        if engine.log.count("open") == 1:
            raise EngineFailed("the worker died")
        return blobs[blob]

    monkeypatch.setattr(FakeNet, "backward", backward)
    with ns.open_mapper(SETTINGS, explain=ns.GradCam()) as mapper:
        mapper.opener = engine.open
        with pytest.raises(EngineFailed):
            mapper.map(picture)
        assert engine.log[-2:] == ["net closed", "engine closed"]
        assert mapper.map(picture).values.tolist() == np.full((1, 6, 6), 4.0).tolist()
    assert len([entry for entry in engine.log if entry[0] == "forward"]) == 2  # one a picture


@pytest.mark.parametrize("classes", ["each", "", " ", None, True, 1.5, ["1"]])
def test_classes_that_cannot_be_explained(classes: Any) -> None:
    with pytest.raises(ns.SettingsError, match="classes "):
        ns.Occlusion(classes=classes)


@pytest.mark.parametrize("kind", ["npz", "zarr", "geotiff", "parquet"])
def test_an_output_that_has_no_form_for_explanations_is_refused(
    picture: Array, kind: str, tmp_path: Path
) -> None:
    maps = ns.classify_maps([picture], SETTINGS, explain=ns.Occlusion(), engine="embedded")
    with maps, pytest.raises(ns.OutputError, match=f"{kind} has no form for an explanation"):
        maps.to_files({kind: tmp_path / "x"})


def test_the_command_writes_what_the_library_gives(
    picture: Array, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    digit = tmp_path / "digit.png"
    Image.fromarray(np.rint(255 * picture).astype(np.uint8)).save(digit)
    model = ["--prototxt", str(NET), "--weights", str(MODEL), "--engine", "embedded"]
    how = ["--occlusion", "--patch", "12x8", "--stride", "6", "--class", "3,10"]
    npy, words = tmp_path / "x.npy", ["classify-map", str(digit), *model, *how]
    assert run([*words, "--npy", str(npy), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    expected = ns.classify_map(
        digit,
        ns.Settings(NET, MODEL),
        explain=ns.Occlusion((12, 8), 6, "3,10"),
        engine="embedded",
    )
    np.testing.assert_array_equal(np.load(npy), expected.values)
    assert record == {**expected.to_json(), "image": str(digit)}
    assert run(words) == 0
    assert capsys.readouterr().out.rstrip("\n") == expected.to_text()
