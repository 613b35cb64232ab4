"""Weights of another net: every command that fits a model to a net says so first."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from every_command import COMMANDS, TRUTH

import netsurgery as ns
from netsurgery.cli import run
from netsurgery.net.net_with_weights import NetWithWeights

_CONV = 'convolution_param { num_output: %d kernel_size: 3 weight_filler { type: "xavier" } } }\n'
_DENSE = 'inner_product_param { num_output: %d weight_filler { type: "xavier" } } }\n'


def net(names: list[str], outputs: int) -> str:
    """Convolution layers and at last an InnerProduct, of these names."""
    text, bottom = 'input: "data" input_shape { dim: [1, 1, 12, 12] }\n', "data"
    for name in names:
        kind = "InnerProduct" if name == names[-1] else "Convolution"
        params = (_CONV if kind == "Convolution" else _DENSE) % outputs
        text += f'layer {{ name: "{name}" type: "{kind}" bottom: "{bottom}" top: "{name}" {params}'
        bottom = name
    return text


NAMES = ["conv1", "conv2", "conv3", "fc"]
#: The weights of a net of other names, and of one of the same names and other shapes.
OTHERS = {"names": (["a", "b", "c", "fc"], 6), "shapes": (NAMES, 7)}
HAS = {
    "names": "a (Convolution 6x1x3x3), b (Convolution 6x6x3x3), c (Convolution 6x6x3x3)",
    "shapes": "conv1 (Convolution 7x1x3x3), conv2 (Convolution 7x7x3x3), conv3 (Convolution "
    "7x7x3x3)",
}
INSTEAD = "conv1 (Convolution 4x1x3x3), conv2 (Convolution 4x4x3x3), conv3 (Convolution 4x4x3x3)"

#: Command -> (the words behind it, the exit code).
RUNS = {
    "convert": ("net wrong -o out --engine ENGINE", 1),
    "classify-map": (
        "grey.png --prototxt net --weights wrong --blob conv3 --engine ENGINE",
        1,
    ),
    "check": ("net wrong", 1),
    "inspect": ("net wrong", 1),
    "draw": ("net wrong -o net.svg", 0),
    "edit": ("net wrong conv1[0]*=2 -o out", 1),
    "export": ("net wrong -o out.onnx", 1),
    "transplant": ("net wrong net -o out", 1),
    "init": ("net --missing wrong -o out", 1),
    "verify": ("net right net wrong --engine ENGINE", 2),
    "features": ("grey.png --prototxt net --weights wrong --blob fc -o f.npz --engine ENGINE", 1),
    "evaluate": (
        ". --annotations truth.json --prototxt net --weights wrong --blob conv3 --engine ENGINE",
        1,
    ),
    "train": ("plan net wrong --annotations truth.json --images . -o plan", 1),
    "setup": ("net wrong --image grey.png --class 1 --engine ENGINE", 1),
}


@pytest.fixture(params=OTHERS)
def other_net(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> str:
    """Weights called wrong beside a net, and what they are of."""
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    Path("net").write_text(net(NAMES, 4))
    Path("other").write_text(net(*OTHERS[request.param]))
    assert run(["init", "net", "-o", "right", "-q"]) == 0
    assert run(["init", "other", "-o", "wrong", "-q"]) == 0
    Image.linear_gradient("L").resize((12, 12)).save("grey.png")
    Path("truth.json").write_text(TRUTH)
    return str(request.param)


CASES = [
    pytest.param(command, engine, marks=pytest.mark.caffe if engine == "caffe" else ())
    for command, (words, _) in RUNS.items()
    for engine in (["embedded", "caffe"] if "ENGINE" in words else ["embedded"])
]


@pytest.mark.parametrize(("command", "engine"), CASES)
def test_it_is_said_first(
    command: str,
    engine: str,
    other_net: str,
    request: pytest.FixtureRequest,
    capfd: pytest.CaptureFixture[str],
) -> None:
    if engine == "caffe":
        request.getfixturevalue("caffe_python")
    words, code = RUNS[command]
    capfd.readouterr()
    assert run([command, *words.replace("ENGINE", engine).split()]) == code
    captured = capfd.readouterr()
    lines = (captured.err or captured.out).splitlines()
    if command == "check":  # after its verdict
        lines = lines[1:]
    operation = r"(?:conv1\[0\]\*=2: layer 'conv1': )?"
    sentence = re.fullmatch(
        rf"\w+: {operation}wrong is of another net: of the ([34]) layers with params of net it "
        r"fits ([01]); instead of (.*?)(?: and 1 more)? it has (.*?)(?: and 1 more)?",
        lines[0],
    )
    assert sentence is not None, lines
    assert sentence.group(2) == "0"
    assert sentence.groups()[2:] == (INSTEAD, HAS[other_net])


def test_every_command_that_takes_a_net_with_a_model_is_here() -> None:
    takers = {
        command for command, several in COMMANDS.items() if any(".caffemodel" in w for w in several)
    }
    assert takers - {"upgrade", "diff"} <= set(RUNS)


@pytest.mark.parametrize("fitting", [2, 3])
def test_a_net_that_mostly_fits_is_not_another(fitting: int, other_net: str) -> None:
    """A fine-tuned net has new last layers; what does not fit is named as it is."""
    names = NAMES[:fitting] + [f"new{i}" for i in range(4 - fitting)]
    Path("tuned").write_text(net(names, 4))
    with NetWithWeights.open("tuned", "right") as model:
        assert model.another_net() == ""
        assert len(model.fit.missing) == 4 - fitting


@pytest.mark.parametrize(("layers", "another"), [(5, True), (6, False)])
def test_three_layers_that_do_not_fit_have_to_be_most_of_them(
    layers: int, another: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = [f"conv{number}" for number in range(layers)]
    Path("net").write_text(net(names, 4))
    assert run(["init", "net", "-o", "model", "-q"]) == 0
    Path("tuned").write_text(net([*names[:-3], "new1", "new2", "new3"], 4))
    with NetWithWeights.open("tuned", "model") as model:
        assert bool(model.another_net()) == another


def test_weights_without_params(other_net: str) -> None:
    Path("empty").write_text('input: "x" layer { name: "r" type: "ReLU" bottom: "x" top: "r" }')
    assert run(["init", "empty", "-o", "none", "-q"]) == 0
    with NetWithWeights.open("net", "none") as model:
        assert model.another_net().endswith(" it has no params")


def test_an_open_net_says_so_too(other_net: str) -> None:
    """Of a param that is not there, and of one of another shape."""
    with ns.Net("net", "wrong") as opened, pytest.raises(ns.NetsurgeryError) as caught:
        opened.params["conv1"][0]
    sentence = "wrong is of another net: of the 4 layers with params of net it fits 0; instead of "
    assert f"{sentence}{INSTEAD}" in str(caught.value)
    with ns.Net("net", "right") as opened, pytest.raises(ns.NetsurgeryError) as caught:
        opened.params["conv9"]
    assert "did you mean conv1" in str(caught.value)
