"""caffe.io is imported when something uses it, and only where a net may."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from netsurgery.engines import caffe_import
from netsurgery.engines.caffe_confine import own_places
from netsurgery.engines.contract import EngineOptions
from netsurgery.engines.probing import probe
from netsurgery.engines.pycaffe import open_engine
from netsurgery.errors import EngineMissing

#: As pycaffe imports it, in both ways.
INIT = "import caffe.io\nfrom . import io\nimport _ctypes as _caffe\nclass Net: pass\n"
SETS_MODE = "def set_mode_cpu(): pass\n"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pycaffe whose io cannot be imported."""
    folder = tmp_path / "caffe"
    folder.mkdir()
    (folder / "__init__.py").write_text(INIT + SETS_MODE)
    (folder / "io.py").write_text("raise ImportError('no skimage')\n")
    monkeypatch.setenv("NETSURGERY_CAFFE_PYTHONPATH", str(tmp_path))
    return folder


@pytest.fixture
def imported(package: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], ModuleType]]:
    """Imports that caffe into this process, its io put off, for the test."""
    monkeypatch.syspath_prepend(package.parent)
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def imports() -> ModuleType:
        caffe_import.put_off_pictures()
        return importlib.import_module("caffe")

    yield imports
    for name in ("caffe", "caffe.io"):
        sys.modules.pop(name, None)


def test_it_is_run_when_it_is_used(package: Path, imported: Callable[[], ModuleType]) -> None:
    (package / "io.py").write_text("RUNS = globals().get('RUNS', 0) + 1\nfrom os import sep\n")
    caffe = imported()
    assert "RUNS" not in vars(caffe.io)
    assert (caffe.io.RUNS, caffe.io.sep, caffe.io.RUNS) == (1, os.sep, 1)
    assert caffe.io is sys.modules["caffe.io"]
    assert type(caffe.io) is ModuleType
    assert caffe.io.__file__ == str(package / "io.py")
    with pytest.raises(AttributeError, match="none"):
        caffe.io.none  # noqa: B018


def test_a_name_that_is_imported_from_it_is_there(
    package: Path, imported: Callable[[], ModuleType]
) -> None:
    """As a fork's __init__ may import it."""
    (package / "__init__.py").write_text(INIT + "from .io import load_image\n")
    (package / "io.py").write_text("def load_image(): return 7\n")
    assert imported().load_image() == 7


def test_who_lists_all_modules_does_not_run_it(imported: Callable[[], ModuleType]) -> None:
    caffe = imported()
    assert own_places()
    assert not hasattr(caffe.io, "__path__")
    with pytest.raises(ImportError, match="no skimage"):
        caffe.io.load_image  # noqa: B018


def test_a_caffe_without_it_is_as_it_is(package: Path, imported: Callable[[], ModuleType]) -> None:
    (package / "io.py").unlink()
    with pytest.raises(ImportError, match=r"caffe\.io"):
        imported()


def test_the_probe_and_the_worker_do_without_it(package: Path) -> None:
    assert probe(sys.executable).path == str(package)
    with open_engine(EngineOptions(caffe_python=sys.executable)) as engine:
        assert engine.info()["file"] == str(package / "__init__.py")


def test_a_net_with_layers_in_python_has_it(package: Path) -> None:
    options = EngineOptions(caffe_python=sys.executable, allow=frozenset({"python"}))
    with pytest.raises(EngineMissing, match="import caffe: ImportError: no skimage"):
        open_engine(options)
    (package / "io.py").write_text("")
    with open_engine(options) as engine:
        assert engine.info()["file"] == str(package / "__init__.py")
