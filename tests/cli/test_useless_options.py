"""An option that would do nothing in a call is refused, by one rule; a variable is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from netsurgery.cli import run

PAIR = ["a.prototxt", "a.caffemodel"]

#: A call -> what is said of it.
CALLS = {
    ("convert", *PAIR, "--gpu", "0", "--engine", "embedded"): "--gpu does nothing with --engine em",
    ("convert", *PAIR, "--threads", "2", "--engine", "embedded"): "--threads does nothing with",
    ("convert", *PAIR, "--timeout", "9", "--engine", "embedded"): "--timeout does nothing with",
    ("convert", *PAIR, "--allow", "reads", "--engine", "embedded"): "--allow does nothing with",
    ("classify-map", "x.png", "--caffe-python", "p", "--engine", "embedded"): "--caffe-python does",
    (
        "features",
        "x.png",
        "--blob",
        "b",
        "--allow",
        "reads",
        "--engine",
        "embedded",
    ): "--allow does",
    ("verify", *PAIR, *PAIR, "--caffe-python", "p", "--engine", "embedded"): "--caffe-python does",
    ("classify-map", "x.png", "--top-k", "3"): "--top-k does nothing without --json",
    ("classify-map", "x.png", "--summary", "--json"): "--summary does nothing with --json",
    ("classify-map", "x.png", "--class", "3"): "--class does nothing without --picture",
    ("features", "x", "--blob", "b", "--size", "image", "--fit", "pad"): "--fit does nothing with",
    ("classify-map", "x.png", "--size", "image", "--fit", "crop"): "--fit does nothing with --size",
    ("verify", *PAIR, *PAIR, "--mean", "1,2,3"): "--mean does nothing without --image",
    ("verify", *PAIR, *PAIR, "--trust-config"): "--trust-config does nothing without --image",
    ("verify", *PAIR, *PAIR, "--image", "x", "--seed", "3"): "--seed does nothing with --image",
    ("export", *PAIR, "-o", "o", "--ignore-config"): "does nothing without --with-preprocess",
}
#: Calls in which the same options have a meaning: what is said is about the files.
USEFUL = [
    ("convert", *PAIR, "--gpu", "0", "--engine", "embedded", "--verify"),
    ("convert", *PAIR, "--gpu", "0"),
    ("classify-map", "x.png", "--gpu", "0", "--threads", "2", "--engine", "embedded"),
    ("classify-map", "x.png", "--top-k", "3", "--json"),
    ("classify-map", "x.png", "--size", "8x8", "--fit", "crop"),
    ("classify-map", "x.png", "--class", "3", "--picture", "o.png"),
    ("verify", *PAIR, *PAIR, "--caffe-python", "p", "--engines", "caffe,embedded"),
    ("verify", *PAIR, *PAIR, "--mean", "1,2,3", "--image", "x"),
    ("verify", *PAIR, *PAIR, "--image", "x", "--seed", "3", "--random", "1"),
    ("verify", *PAIR, *PAIR, "--seed", "3"),
    ("export", *PAIR, "-o", "o", "--ignore-config", "--with-preprocess"),
]


@pytest.mark.parametrize("call", CALLS, ids=" ".join)
def test_refused(
    call: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NETSURGERY_ENGINE", raising=False)
    assert run(list(call)) == 2
    assert CALLS[call] in capsys.readouterr().err


@pytest.mark.parametrize("call", USEFUL, ids=" ".join)
def test_not_refused(
    call: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NETSURGERY_ENGINE", raising=False)
    assert run(list(call)) != 0
    assert "does nothing" not in capsys.readouterr().err


def test_a_variable_is_for_many_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NETSURGERY_TOP_K", "3")
    monkeypatch.setenv("NETSURGERY_GPU", "0")
    monkeypatch.setenv("NETSURGERY_ENGINE", "embedded")
    assert run(["convert", *PAIR]) == 1
    assert run(["classify-map", "x.png"]) == 1
    assert run(["convert", *PAIR, "--gpu", "0"]) == 2
    assert capsys.readouterr().err.count("does nothing") == 1
