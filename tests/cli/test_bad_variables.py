"""A bad value that came from an environment variable names the variable, not an option."""

from __future__ import annotations

from pathlib import Path

import pytest
from usage_folder import make_folder

from netsurgery.cli import run

#: Variable, value -> what is said by classify-map, in a folder with a converted net.
VALUES = {
    ("ENGINE", "gpu"): "error: NETSURGERY_ENGINE: found 'gpu', expected auto, caffe or embedded",
    ("TIMEOUT", "soon"): "error: NETSURGERY_TIMEOUT: found 'soon', expected a number above 0",
    ("SIZE", "big"): "error: NETSURGERY_SIZE: 'big' is not HEIGHTxWIDTH, net or image",
    ("TOP_K", "0"): "error: NETSURGERY_TOP_K: found '0', expected a whole number from 1 on",
    ("RAW_SCALE", "x"): "error: NETSURGERY_RAW_SCALE: found 'x', expected a number",
    ("CHANNEL_SWAP", "1"): "error: NETSURGERY_CHANNEL_SWAP: '1' is not each channel once",
    ("FIT", "wrap"): "error: NETSURGERY_FIT: found 'wrap', expected warp, crop or pad; did you",
    ("MAX_MEMORY", "much"): "error: NETSURGERY_MAX_MEMORY: ",
    ("LABELS", "no.txt"): "error: no.txt: No such file or directory (from NETSURGERY_LABELS)\n",
    ("MEAN", "no.npy"): "error: no.npy: No such file or directory (from NETSURGERY_MEAN)\n",
    ("WEIGHTS", "no.h5"): "error: no.h5: No such file or directory (from NETSURGERY_WEIGHTS)\n",
    ("BLOB", "pool9"): "(from NETSURGERY_BLOB)\n",
    ("CLASS", "eight"): "(from NETSURGERY_CLASS)\n",
    ("MEAN", "1,2,3"): "(from NETSURGERY_MEAN)\n",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    parent = tmp_path_factory.mktemp("variables")
    make_folder(parent)
    return parent / "lc"


@pytest.mark.parametrize(("name", "value"), VALUES, ids="=".join)
def test_the_variable_is_named(
    name: str,
    value: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("NETSURGERY_ENGINE", "embedded")
    monkeypatch.setenv(f"NETSURGERY_{name}", value)
    code = run(["classify-map", "../cat.jpg"])
    err = capsys.readouterr().err.partition("error: ")
    assert code in (1, 2)
    assert VALUES[name, value] in "".join(err[1:])


def test_an_option_wins_and_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("NETSURGERY_LABELS", "no.txt")
    assert run(["classify-map", "../cat.jpg", "--labels", "none.txt"]) == 1
    assert "error: none.txt: No such file or directory\n" in capsys.readouterr().err
