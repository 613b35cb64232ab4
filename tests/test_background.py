"""One idea of the background: named, or the class of more than half of the cells."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from drawn_maps import class_map, one_hot

import netsurgery as ns
from netsurgery.formats.labels import Labels
from netsurgery.maps.class_names import most_common_background

LABELS = Labels("w", ("n1 cat, puss", "n2 page", "n3 12"))


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ([0, 0, 0, 1], 0),
        ([0, 0, 1, 1], None),  # half is not more than half
        ([0, 1, 2, 2], None),
        ([2, 2, 2, 2], None),  # nothing stands out
        ([1], None),
    ],
)
def test_the_class_of_more_than_half_of_the_cells(cells: list[int], expected: int | None) -> None:
    mapped = class_map(one_hot([cells], 3))
    assert mapped.background == expected
    assert most_common_background(mapped.summary()) == expected
    assert mapped.to_json()["background"] == expected


@pytest.mark.parametrize(
    ("named", "expected"),
    [("none", None), ("None", None), ("2", 2), ("page", 1), ("PUSS", 0), ("n3", 2), ("12", None)],
)
def test_the_class_that_is_named(named: str, expected: int | None) -> None:
    mapped = class_map(one_hot([[0, 0, 0, 1]], 3), labels=LABELS, background_name=named)
    if named == "12":
        with pytest.raises(ns.NetError, match="class 12: blob 'prob' has 3 classes, 0 to 2"):
            _ = mapped.background
    else:
        assert mapped.background == expected


def test_a_name_that_is_none() -> None:
    mapped = class_map(one_hot([[0, 1]], 3), background_name="page")
    with pytest.raises(ns.NetError, match="'page' is neither a number nor none, and there are no"):
        _ = mapped.background


def settings_of(folder: Path, repo_root: Path, line: str) -> ns.Settings:
    root = repo_root.as_posix()
    (folder / "netsurgery.toml").write_text(
        f'[model]\nprototxt = "{root}/prototxt/digits_deploy.prototxt"\n'
        f'weights = "{root}/models/digits/digits.caffemodel"\n[classes]\n{line}\n'
    )
    return ns.read_settings(folder / "netsurgery.toml")


@pytest.mark.parametrize(
    ("line", "expected"),
    [("background = 3", "3"), ('background = "none"', "none"), ('background = "page"', "page")],
)
def test_settings_name_it(tmp_path: Path, repo_root: Path, line: str, expected: str) -> None:
    settings = settings_of(tmp_path, repo_root, line)
    assert settings.background == expected
    assert f'background = "{expected}"' in settings.to_toml(tmp_path)


@pytest.mark.parametrize("line", ["background = true", "background = -1", 'background = ""'])
def test_settings_that_name_none(tmp_path: Path, repo_root: Path, line: str) -> None:
    with pytest.raises(ns.SettingsError, match="expected a class: label in quotes, or number"):
        settings_of(tmp_path, repo_root, line)


def test_the_mapper_has_that_of_the_settings(tmp_path: Path, repo_root: Path) -> None:
    settings = settings_of(tmp_path, repo_root, "background = 3")
    picture = np.zeros((32, 32), np.uint8)
    with ns.open_mapper(settings, "embedded", blob="conv1") as mapper:
        assert mapper.map(picture).background == 3
    wrong = settings_of(tmp_path, repo_root, "background = 99")
    with pytest.raises(ns.NetError, match="class 99: blob 'conv1' has 16 classes, 0 to 15"):
        ns.open_mapper(wrong, "embedded", blob="conv1")


@pytest.mark.parametrize("value", ["99", '"sky"'])
def test_a_wrong_one_names_the_file_that_says_it(
    tmp_path: Path, repo_root: Path, value: str
) -> None:
    """Over all that find it wrong, in one form; not one of an option in its place."""
    wrong = settings_of(tmp_path, repo_root, f"background = {value}")
    picture, text = np.zeros((32, 32), np.uint8), str(tmp_path / "netsurgery.toml")
    net = (
        repo_root / "prototxt/digits_deploy.prototxt",
        repo_root / "models/digits/digits.caffemodel",
    )
    named = f"^{re.escape(text)}: background: class {re.escape(value.replace(chr(34), chr(39)))}"
    with pytest.raises(ns.NetsurgeryError, match=named):
        ns.classify_map(picture, wrong, blob="conv1", engine="embedded")
    with pytest.raises(ns.NetsurgeryError, match=named):
        ns.convert(*net, settings=wrong, engine="embedded")
    by_option = replace(wrong, background="98")
    with pytest.raises(ns.NetError, match=r"^class 98: blob 'conv1' has 16 classes, 0 to 15$"):
        ns.classify_map(picture, by_option, blob="conv1", engine="embedded")
    Path(text).unlink()  # what nothing says any more is not looked for
    with pytest.raises(ns.NetError, match=r"^class "):
        ns.classify_map(picture, wrong, blob="conv1", engine="embedded")


def test_a_conversion_keeps_it(tmp_path: Path, repo_root: Path) -> None:
    net = (
        repo_root / "prototxt/digits_deploy.prototxt",
        repo_root / "models/digits/digits.caffemodel",
    )
    labels = repo_root / "models/digits/digits_labels.txt"
    settings = ns.Settings(labels=labels, background="background")
    result = ns.convert(*net, tmp_path / "out", settings=settings, engine="embedded")
    assert ns.read_settings(result.paths.settings).background == "background"
    wrong = ns.Settings(labels=labels, background="sky")
    with pytest.raises(ns.FormatError, match="no label 'sky'"):
        ns.convert(*net, tmp_path / "other", settings=wrong, engine="embedded")
    assert not (tmp_path / "other").exists()
