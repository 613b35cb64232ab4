"""A name that nothing has gets the nearest one that something has, wherever names are given."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from usage_folder import LENET

import netsurgery as ns
from netsurgery.cli import run
from netsurgery.formats.labels import load_labels
from netsurgery.formats.weights import open_weights
from netsurgery.net.net import NetDefinition

#: Command line -> the end of its error.
COMMANDS = {
    "convert NET MODEL --layers ip3 -o out": "did you mean ip1 or ip2?",
    "convert NET MODEL --layers fc6 -o out": "; its layers are data, conv1, pool1, conv2, pool2, "
    "ip1 and 3 more",
    "edit NET MODEL ipl[0]*=2 -o out.caffemodel": "did you mean ip1 or ip2?",
    "edit NET MODEL ip1[0]=gausian -o out.caffemodel": "did you mean gaussian?",
    "edit NET MODEL foldd -o out.caffemodel": "did you mean fold?",
    "transplant NET MODEL NET --map ip1=ip3 -o out.caffemodel": "did you mean ip1 or ip2?",
    "export NET MODEL --blob prop -o out.onnx": "did you mean prob?",
    "features grey.png --prototxt NET --weights MODEL --blob pol1 -o o.npz": "did you mean pool1?",
    "classify-map grey.png --prototxt NET --weights MODEL --blob conv3": "did you mean conv1 or "
    "conv2?",
    "inspect lenett": "did you mean lenet?",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NETSURGERY_ENGINE", "embedded")
    Path("lenet").write_text(LENET)
    ns.init("lenet", "lenet.caffemodel")
    Image.new("L", (28, 28), 7).save("grey.png")
    return tmp_path


@pytest.mark.parametrize("line", COMMANDS)
def test_commands(line: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = line.replace("NET", "lenet").replace("MODEL", "lenet.caffemodel").split()
    assert run(words) == 1
    assert capsys.readouterr().err.endswith(f"{COMMANDS[line]}\n")


#: What is asked for by a name of no thing -> the end of the error.
CALLS: dict[str, tuple[Callable[[], object], str]] = {
    "layer of a net": (
        lambda: NetDefinition.read("lenet").layer("conv3"),
        "no layer named 'conv3'; did you mean conv1 or conv2?",
    ),
    "layer of a model": (
        lambda: open_weights("lenet.caffemodel").layer("ip3"),
        "no layer is named 'ip3'; did you mean ip1 or ip2?",
    ),
    "label": (
        lambda: load_labels(("tabby cat", "tiger cat, tiger", "dog")).find("tabby cats"),
        "no label 'tabby cats'; did you mean tabby cat?",
    ),
    "bottom": (
        lambda: NetDefinition.read("typo"),
        "its bottom 'pol2' is made by no layer before it; did you mean pool2?",
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_calls(name: str, folder: Path) -> None:
    Path("typo").write_text(LENET.replace('bottom: "pool2"', 'bottom: "pol2"'))
    call, end = CALLS[name]
    with pytest.raises(ns.NetsurgeryError) as caught:
        call()
    assert str(caught.value).endswith(end)


def test_a_blob_that_comes_later_is_no_misspelling(folder: Path) -> None:
    Path("late").write_text(LENET.replace('bottom: "data"', 'bottom: "ip1"'))
    with pytest.raises(ns.NetsurgeryError) as caught:
        NetDefinition.read("late")
    assert str(caught.value).endswith("its bottom 'ip1' is made by no layer before it")


@pytest.mark.parametrize(
    "word",
    ["conv3[0]=0", "outputs:conv3:keep=0", "save:conv3[0]=a.npy", "swap-input-channels:conv3"],
)
def test_a_layer_of_another_phase_is_named_and_no_other(
    word: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And not conv1 and conv2, which are like it."""
    layer = 'layer { name: "conv3" type: "ReLU" bottom: "ip1" top: "a" include { phase: TRAIN } }'
    Path("phases").write_text(LENET + layer)
    assert run(["edit", "phases", "lenet.caffemodel", word, "--dry-run"]) == 1
    line = LENET.count("\n") + 1
    assert capsys.readouterr().err.endswith(
        f"layer 'conv3': the net has no such layer; layer 'conv3' in line {line} is for training "
        "(phase TRAIN): try --phase train\n"
    )
