"""`netsurgery caffe install` and `netsurgery caffe info`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from netsurgery.cli import run
from netsurgery.engines import debian, discovery
from netsurgery.errors import InstallError

FACTS: dict[str, Any] = {
    "version": "1.0.0",
    "python_version": "3.9.2",
    "path": "/somewhere/caffe",
    "blas": "OpenBLAS",
    "blas_path": "/somewhere/libopenblas.so.0",
    "cuda": False,
    "layer_types": ["Convolution", "InnerProduct"],
    "landlock": 7,
    "unconfined": {"writes": "", "reads": "", "calls": "", "processes": "root has none"},
}


def interpreter(path: Path, facts: dict[str, object]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\ncat <<'END'\n{json.dumps(facts)}\nEND\n")
    path.chmod(0o755)
    return str(path)


@pytest.fixture(autouse=True)
def prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("NETSURGERY_CAFFE_PYTHON", raising=False)
    monkeypatch.setenv("NETSURGERY_CAFFE_PREFIX", str(tmp_path / "prefix"))
    monkeypatch.setattr(discovery, "_why_not_importable", lambda: "no module named caffe")
    return tmp_path / "prefix"


@pytest.fixture
def installed(prefix: Path) -> str:
    python = interpreter(prefix / "install/python", FACTS)
    (prefix / "install/stamp.json").write_text('{"suite": "bullseye"}')
    return python


def test_info_for_people(installed: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["caffe", "info"]) == 0
    assert capsys.readouterr().out == (
        f"this interpreter: {sys.executable}\n"
        "  not usable: no module named caffe\n"
        f"installed: {installed} (used)\n"
        "  Caffe        1.0.0 (/somewhere/caffe)\n"
        "  Python       3.9.2\n"
        "  BLAS         OpenBLAS (/somewhere/libopenblas.so.0)\n"
        "  CUDA         not compiled in: CPU only\n"
        "  confinement  writes     to what netsurgery hands it alone (Landlock 7)\n"
        "               reads      of itself, nets and weights alone (Landlock 7)\n"
        "               calls      no network, no other processes, no privileges (seccomp)\n"
        "               memory     by the net's size, files likewise (limits)\n"
        "               processes  not confined: root has none\n"
        "  layer types  2: Convolution, InnerProduct\n"
    )


def test_info_as_json(installed: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["caffe", "info", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["usable"] is True
    refused, used = answer["tried"]
    assert used == {
        "origin": "installed",
        "python": installed,
        "place": str(Path(installed).parents[1]),
        "usable": True,
        "used": True,
        "reason": None,
        **FACTS,
        "unconfined": {**FACTS["unconfined"], "memory": ""},
    }
    assert refused["reason"] == "no module named caffe"
    assert refused["version"] is None
    assert refused.keys() == used.keys()


def test_info_without_any(prefix: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["caffe", "info"]) == 1
    out, err = capsys.readouterr()
    assert out == (
        f"this interpreter: {sys.executable}\n"
        "  not usable: no module named caffe\n"
        f"installed: {prefix}\n"
        "  not usable: nothing installed there\n"
        "no Caffe to use; `netsurgery caffe install` gets one\n"
    )
    assert err == ""


def test_info_of_one_given_that_does_not_work(
    installed: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = interpreter(tmp_path / "bad", {"error": "import caffe: no libglog"})
    assert run(["caffe", "info", "--caffe-python", bad, "--json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["usable"] is False
    assert [(c["origin"], c["usable"], c["used"]) for c in answer["tried"]] == [
        ("--caffe-python", False, False),
        ("this interpreter", False, False),
        ("installed", True, False),
    ]
    assert answer["tried"][0]["reason"] == "import caffe: no libglog"
    assert run(["caffe", "info", "--caffe-python", bad]) == 1
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == f"no Caffe to use: --caffe-python alone counts; without it {installed} is used"


def test_info_quietly(installed: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["caffe", "info", "-q"]) == 0
    assert capsys.readouterr() == ("", "")


def test_info_of_a_caffe_that_says_little(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = FACTS | {"blas": None, "blas_path": None, "cuda": True, "layer_types": []}
    old |= {"landlock": 0, "unconfined": {"writes": "no Landlock: why"}}
    assert run(["caffe", "info", "--caffe-python", interpreter(tmp_path / "old", old)]) == 0
    out = capsys.readouterr().out
    assert "  BLAS         unknown\n" in out
    assert "  CUDA         compiled in\n" in out
    assert "  confinement  writes     not confined: no Landlock: why\n" in out
    assert "               reads      not confined: it does not say\n" in out
    assert "  layer types  0: this Caffe cannot list them\n" in out


def test_install_where_it_is_already(installed: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["caffe", "install"]) == 0
    assert capsys.readouterr() == (f"Caffe is already installed: {installed}\n", "")
    assert run(["caffe", "install", "-q"]) == 0
    assert capsys.readouterr() == ("", "")


def test_install_hands_its_options_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls: list[tuple[tuple[object, ...], dict[str, object]]] = []

    def install(*args: object, **options: object) -> Path:
        *places, _ = args  # and the progress
        report: Any = options.pop("report")
        report("a line")
        calls.append((tuple(places), options))
        return tmp_path / "python"

    monkeypatch.setattr(debian, "install_caffe", install)
    arguments = ["--prefix", str(tmp_path), "--mirror", "http://x/", "--suite", "buster"]
    assert run(["caffe", "install", *arguments, "--force", "--keep-downloads", "-v"]) == 0
    assert calls == [((tmp_path, "http://x/", "buster"), {"force": True, "keep_downloads": True})]
    assert capsys.readouterr() == (f"Caffe is ready: {tmp_path}/python\n", "a line\n")


def test_an_install_that_fails_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def install(*args: object, **options: object) -> Path:
        raise InstallError("no network")

    monkeypatch.setattr(debian, "install_caffe", install)
    assert run(["caffe", "install"]) == 1
    assert capsys.readouterr() == ("", "error: no network\n")


def test_progress_is_shown_on_a_terminal_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def install(*args: object, **options: object) -> Path:
        for progress in args[3:]:
            assert callable(progress)
            progress("downloading", 0.375)
        return tmp_path / "python"

    monkeypatch.setattr(debian, "install_caffe", install)
    assert run(["caffe", "install"]) == 0
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert run(["caffe", "install", "-q"]) == 0
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert run(["caffe", "install"]) == 0
    assert "downloading  [#########---------------]   37%" in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["install"], ["info"]])
def test_help_has_an_example(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["caffe", *words, "--help"]) == 0
    assert "Example:\n    netsurgery caffe " in capsys.readouterr().out
