"""Pictures of scores interpolated to pixels: which scores are drawn, and where."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import netsurgery as ns
from netsurgery.cli import run
from netsurgery.maps.classmap import ClassMap
from netsurgery.maps.map_colors import likeliest
from netsurgery.maps.pixel_map import pixel_map
from netsurgery.maps.upsampled import Upsampled


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def settings(repo_root: Path, tmp_path_factory: pytest.TempPathFactory) -> ns.Settings:
    paths = ns.convert(
        repo_root / "prototxt/digits_deploy.prototxt",
        repo_root / "models/digits/digits.caffemodel",
        tmp_path_factory.mktemp("map"), engine="embedded",
        settings=ns.Settings(preprocess="scaled"),
    ).paths  # fmt: skip
    return ns.read_settings(paths.settings)


@pytest.fixture(scope="module")
def canvas(repo_root: Path) -> str:
    return str(repo_root / "examples/digits_canvas.png")


def mapped(settings: ns.Settings, canvas: str, **options: Any) -> ClassMap:
    options = {"size": (96, 144)} | options
    return ns.classify_map(canvas, settings, engine="embedded", **options)


def at_pixels(class_map: ClassMap) -> np.ndarray[Any, Any]:
    return np.concatenate([block for _, block in Upsampled.of(class_map).blocks()], axis=1)


PADDED = ns.PictureOptions(size=(96, 96), fit="pad")


@pytest.mark.parametrize("options", [{}, {"scales": (0.8, 1)}, {"stride": 4}, {"size": PADDED}])
def test_it_has_the_scores_of_pixels_where_these_are(
    settings: ns.Settings, canvas: str, options: dict[str, Any]
) -> None:
    class_map = mapped(settings, canvas, **options)
    fine, expected = pixel_map(class_map), at_pixels(class_map)
    tiles = fine.geometry.tiles(*fine.shape)
    assert tiles is not None
    np.testing.assert_allclose(tiles[0, 0, 2:] - tiles[0, 0, :2], 1)  # each cell is a pixel
    left, top = np.rint(tiles[0, 0, :2]).astype(int)
    rows, columns = fine.shape
    np.testing.assert_allclose(
        fine.values, expected[:, top : top + rows, left : left + columns], atol=1e-6
    )
    assert np.isfinite(expected).all(axis=0).sum() == rows * columns  # and no pixel is left out
    assert fine.background == class_map.background


def test_many_classes_have_larger_squares(
    settings: ns.Settings, canvas: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class_map = mapped(settings, canvas)
    monkeypatch.setattr("netsurgery.maps.pixel_map._VALUES", 11 * 7000)
    fine, expected = pixel_map(class_map), at_pixels(class_map)
    tiles = fine.geometry.tiles(*fine.shape)
    assert tiles is not None
    # 192 x 288 pixels in squares of three are 6,144, of two 13,824.
    np.testing.assert_allclose(tiles[0, 0, 2:] - tiles[0, 0, :2], 3)
    left, top = np.rint(tiles[0, 0, :2]).astype(int) + 1  # the middle pixel of the first
    rows, columns = fine.shape
    middles = expected[:, top : top + 3 * rows : 3, left : left + 3 * columns : 3]
    np.testing.assert_allclose(fine.values, middles, atol=1e-6)
    monkeypatch.setattr("netsurgery.maps.pixel_map._VALUES", 11)
    assert pixel_map(class_map) is class_map  # its cells are smaller than such squares


def test_the_picture_shows_the_likeliest_class_of_each_pixel(
    settings: ns.Settings, canvas: str
) -> None:
    """In the colors that its cells have without it."""
    class_map = mapped(settings, canvas, size=(192, 288))
    colors = []
    for upsample in (None, "pixels"):
        look = ns.PictureLook(layout="map", alpha=1, width=688, upsample=upsample)
        picture = np.asarray(class_map.to_picture(look=look).convert("RGB"))
        colors.append({tuple(color) for color in picture.reshape(-1, 3).tolist()})
    shown = likeliest(class_map, ns.PictureLook()).by_class
    fine = pixel_map(class_map)
    first = [row.number for row in class_map.foreground()]
    again = likeliest(fine, ns.PictureLook(), first).by_class
    assert {number: again[number] for number in shown} == shown
    assert colors[0] != colors[1]


def test_the_command_draws_it_of_any_map(
    settings: ns.Settings, canvas: str, repo_root: Path
) -> None:
    net = ["--prototxt", str(settings.prototxt), "--weights", str(settings.weights)]
    words = ["classify-map", canvas, "--preprocess", "scaled", "--engine", "embedded", "-q"]
    classifier = ["--prototxt", str(repo_root / "prototxt/digits_deploy.prototxt"),
                  "--weights", str(repo_root / "models/digits/digits.caffemodel")]  # fmt: skip
    for name, more in {
        "max": net, "heat": [*net, "--class", "3"], "each": [*net, "--class", "each"],
        "panels": [*net, "--layout", "panels"], "why": [*classifier, "--occlusion"],
    }.items():  # fmt: skip
        drawn = [words + more + ["--picture", f"{name}{at}.png"] for at in range(2)]
        assert run(drawn[0]) == 0
        assert run([*drawn[1], "--upsample", "pixels"]) == 0
        assert Path(f"{name}0.png").read_bytes() != Path(f"{name}1.png").read_bytes()
    with pytest.raises(ns.SettingsError, match="upsample 'cells'"):
        ns.PictureLook(upsample="cells")  # type: ignore[arg-type]
