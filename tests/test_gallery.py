"""The pictures of the documents show what is drawn today; docs/gallery.md: its commands run."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="module")
def gallery(repo_root: Path) -> Any:
    """docs/gallery.py."""
    return module_of(repo_root / "docs/gallery.py")


def module_of(path: Path) -> Any:
    """A program of the documents, as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # where its dataclass is looked for
    spec.loader.exec_module(module)
    return module


def test_the_page_is_what_the_command_writes(gallery: Any) -> None:
    assert gallery.PAGE.read_text(encoding="utf-8") == gallery.page()
    files = {figure.file for figure in gallery.FIGURES}
    assert files == {path.name for path in gallery.PICTURES.iterdir()}


def test_the_pictures_show_what_is_drawn_today(
    gallery: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for figure, path in gallery.draw(tmp_path):
        with Image.open(path) as drawn:
            assert_alike(drawn, gallery.PICTURES / figure.file)


def test_the_picture_of_finer_maps_shows_what_is_drawn_today(repo_root: Path) -> None:
    finer_maps = module_of(repo_root / "docs/finer_maps.py")
    assert_alike(finer_maps.draw(), finer_maps.PICTURE)


def assert_alike(drawn: Image.Image, path: Path) -> None:
    """By the means of squares of 8 pixels, so that a font's or a codec's version does not count."""
    with Image.open(path) as stored:
        assert drawn.size == stored.size, path
        small = (drawn.width // 8, drawn.height // 8)
        now, then = (
            np.asarray(each.convert("RGB").resize(small, Image.Resampling.BOX), float)
            for each in (drawn, stored)
        )
    assert np.abs(now - then).max() < 16, path
    assert now.std() > 5, path
