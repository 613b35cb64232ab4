"""The real Caffe of this machine, as `netsurgery caffe` finds and describes it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from lacking import lacking

from netsurgery.cli import run
from netsurgery.engines import debian
from netsurgery.engines.discovery import find_caffe

pytestmark = pytest.mark.caffe


def test_the_probe_describes_it(caffe_python: str) -> None:
    caffe = find_caffe()
    assert caffe.python == caffe_python
    assert caffe.version.startswith("1.0")
    assert {"Convolution", "InnerProduct", "Pooling", "Softmax"} <= set(caffe.layer_types)
    assert Path(caffe.path, "__init__.py").is_file()
    assert caffe.blas is not None
    assert caffe.blas_path is not None
    assert Path(caffe.blas_path).is_file()


def test_info_says_which_one_is_used(caffe_python: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["caffe", "info", "--json"]) == 0
    used = [
        candidate for candidate in json.loads(capsys.readouterr().out)["tried"] if candidate["used"]
    ]
    assert [candidate["python"] for candidate in used] == [caffe_python]


@pytest.fixture
def installed() -> str:
    python = debian.installed_python()
    if python is None:
        lacking("`netsurgery caffe install` was not run on this machine")
    return python


def test_a_second_install_does_nothing(installed: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = Path(installed).parent.stat()
    assert run(["caffe", "install"]) == 0
    after = Path(installed).parent.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert capsys.readouterr().out == f"Caffe is already installed: {installed}\n"


def test_the_installed_one_is_debians(installed: str) -> None:
    caffe = find_caffe(installed)
    assert (caffe.version, caffe.python_version[:3]) == ("1.0.0", "3.9")
    assert caffe.blas == "OpenBLAS"
    assert caffe.cuda is False
    assert len(caffe.layer_types) == 61


def test_its_children_run_on_the_machines_own_libraries(installed: str) -> None:
    code = "import subprocess; print(subprocess.check_output(['cat', '/proc/self/maps']).decode())"
    said = subprocess.run([installed, "-c", code], capture_output=True, text=True, check=True)
    assert "libc.so" in said.stdout
    assert str(Path(installed).parent) not in said.stdout


def test_bvlcs_examples_come_with_it(installed: str) -> None:
    folder = debian.caffe_documentation()
    assert folder is not None
    assert (folder / "examples/images/cat.jpg").is_file()
