"""docs/gallery.md: its commands run, and its pictures show what they draw today."""

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
    spec = importlib.util.spec_from_file_location("gallery", repo_root / "docs/gallery.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["gallery"] = module  # where its dataclass is looked for
    spec.loader.exec_module(module)
    return module


def test_the_page_is_what_the_command_writes(gallery: Any) -> None:
    assert gallery.PAGE.read_text(encoding="utf-8") == gallery.page()
    files = {figure.file for figure in gallery.FIGURES}
    assert files == {path.name for path in gallery.PICTURES.iterdir()}


def test_the_pictures_show_what_is_drawn_today(
    gallery: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the means of squares of 8 pixels, so that a font's or a codec's version does not count."""
    monkeypatch.chdir(tmp_path)
    for figure, path in gallery.draw(tmp_path):
        with Image.open(path) as drawn, Image.open(gallery.PICTURES / figure.file) as stored:
            assert drawn.size == stored.size, figure.name
            small = (drawn.width // 8, drawn.height // 8)
            now, then = (
                np.asarray(each.convert("RGB").resize(small, Image.Resampling.BOX), float)
                for each in (drawn, stored)
            )
        assert np.abs(now - then).max() < 16, figure.name
        assert now.std() > 5, figure.name
