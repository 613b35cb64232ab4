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
    ("PREPROCESS", "bvlc"): "preset bvlc is of nets with a color input, of 3 channels; this net's "
    "has 1; `netsurgery presets` lists the others (from NETSURGERY_PREPROCESS)\n",
    ("PROTOTXT", "none"): "error: none: No such file or directory (from NETSURGERY_PROTOTXT)\n",
    ("CAFFE_PYTHON", "none"): "error: NETSURGERY_CAFFE_PYTHON: none: no such file, and no such",
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
    engine = "caffe" if name == "CAFFE_PYTHON" else "embedded"
    monkeypatch.setenv("NETSURGERY_ENGINE", engine)
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


#: Variable, value -> a command with an error in which the value stands by chance.
BY_CHANCE = {
    ("THREADS", "2"): "convert bad.prototxt m.caffemodel",
    ("GPU", "2"): "convert bad.prototxt m.caffemodel",
    ("TIMEOUT", "2"): "convert bad.prototxt m.caffemodel",
    ("TOP_K", "1"): "classify-map ../cat.jpg --mean 1,2",
    ("ENGINE", "caffe"): "classify-map ../cat.jpg --engine caffe --caffe-python none",
    ("ENGINE", "embedded"): "classify-map embedded",
    ("ANTIALIAS", "no"): "classify-map ../cat.jpg --blob pool9",
    ("CLASS", "blob"): "classify-map ../cat.jpg --blob pool9",
    ("CLASS", "9"): "classify-map ../cat.jpg --labels 9",
    ("BLOB", "file"): "classify-map ../cat.jpg --prototxt none.txt",
    ("BLOB", "none"): "classify-map ../cat.jpg --prototxt none.txt",
    ("SIZE", "net"): "classify-map ../cat.jpg --mean 1,2",
    ("LABELS", "bad"): "convert bad.prototxt m.caffemodel",
    ("LABELS", "bad.proto"): "convert bad.prototxt m.caffemodel",
    ("LABELS", "prototxt"): "convert bad.prototxt m.caffemodel",
    ("MEAN", "cat.jpg"): "classify-map ../cat.jpg.txt --mean 1",
}


@pytest.mark.parametrize(("name", "value"), BY_CHANCE, ids="=".join)
def test_a_variable_is_not_named_by_chance(
    name: str,
    value: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folder)
    Path("bad.prototxt").write_text('name: "a"\nlayer { name { } }\n')
    monkeypatch.setenv(f"NETSURGERY_{name}", value)
    assert run(BY_CHANCE[name, value].split()) == 1
    err = capsys.readouterr().err
    assert value in err
    assert "(from NETSURGERY" not in err
