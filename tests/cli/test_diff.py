"""The command `diff`: what it prints and with what it exits."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from run_alone import run_alone
from small_models import model_layer, sparse_model, write_hdf5, write_model

from netsurgery.cli import run

A, B = "deploy.prototxt", "deploy_full_conv.prototxt"
OLD, NEW = "digits.caffemodel", "digits_full_conv.caffemodel"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, repo_root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with the bundled net in it."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(repo_root / "prototxt" / "digits_deploy.prototxt", A)
    shutil.copy(repo_root / "models" / "digits" / "digits.caffemodel", OLD)
    return tmp_path


@pytest.fixture
def converted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what it becomes by convert."""
    assert run(["convert", A, OLD, "-q", "--engine", "embedded"]) == 0


def diff(capsys: pytest.CaptureFixture[str], *args: str, code: int = 1) -> list[str]:
    assert run(["diff", *args]) == code
    out, err = capsys.readouterr()
    assert err == ""
    return out.splitlines()


def trouble(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    assert run(["diff", *args]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    return err.strip().splitlines()[-1]


STRUCTURE = [
    'name: "Digits" -> "DigitsConv"',
    "layer data (Input): changed",
    "    input_param.shape.dim: [1, 1, 32, 32] -> [1, 1, 88, 88]",
    "layer ip1 -> ip1-conv (Convolution): renamed, changed",
    "    type: InnerProduct -> Convolution",
    "    inner_product_param -> convolution_param",
    "    convolution_param.kernel_size: (none) -> 2",
    "layer ip2 -> ip2-conv (Convolution): renamed, changed",
    "    type: InnerProduct -> Convolution",
    "    inner_product_param -> convolution_param",
    "    convolution_param.kernel_size: (none) -> 1",
    "blob ip1 -> ip1-conv",
    "blob ip2 -> ip2-conv",
]

PARAMS = [
    "param                            shape                max difference  relative  norm",
    "ip1[0] -> ip1-conv[0]  reshaped  96x128 -> 96x32x2x2               0         0     0",
    "ip2[0] -> ip2-conv[0]  reshaped  11x96 -> 11x96x1x1                0         0     0",
]


@pytest.mark.usefixtures("converted")
def test_a_net_before_and_after_convert(capsys: pytest.CaptureFixture[str]) -> None:
    assert diff(capsys, A, B) == ["different; layers: 2 renamed, 3 changed", *STRUCTURE]
    first = "different; layers: 2 renamed, 3 changed; params: 8 equal, 2 reshaped"
    assert diff(capsys, A, B, OLD, NEW) == [first, *STRUCTURE, *PARAMS]
    assert diff(capsys, A, OLD, B, NEW) == [first, *STRUCTURE, *PARAMS]


@pytest.mark.usefixtures("converted")
def test_two_models_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert diff(capsys, OLD, NEW) == [
        "different; layers: 2 renamed, 2 changed; params: 8 equal, 2 reshaped",
        *(line for line in STRUCTURE if "_param" not in line and "layer data" not in line),
        *PARAMS,
    ]


def test_the_same_net(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    commented = "# another comment\n" + Path(A).read_text().replace("\n", "  # here\n")
    (folder / "b").write_text(commented)
    assert diff(capsys, A, "b", code=0) == ["no difference: 15 layers"]
    lines = ["no difference: 15 layers; 10 params equal"]
    assert diff(capsys, A, "b", OLD, OLD, code=0) == lines
    assert diff(capsys, A, "b", "--text", code=0)[1:5] == [
        f"--- {A}",
        "+++ b",
        f"@@ -1,{len(Path(A).read_text().splitlines())} +1,{len(commented.splitlines())} @@",
        "-# Handwritten digits on paper: class 0 to 9, and 10 for background.",
    ]
    assert diff(capsys, A, "b", "-q", code=0) == []


def test_quiet_answers_by_the_exit_code(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    (folder / "b").write_text(Path(A).read_text().replace("kernel_size: 5", "kernel_size: 7"))
    assert diff(capsys, A, "b", "-q") == []
    assert diff(capsys, A, "b") == [
        "different; layers: 1 changed",
        "layer conv1 (Convolution): changed",
        "    convolution_param.kernel_size: 5 -> 7",
    ]


@pytest.mark.usefixtures("converted")
def test_json_says_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    facts = json.loads("\n".join(diff(capsys, A, B, OLD, NEW, "--json", "--text")))
    assert facts["files"] == [A, B, OLD, NEW]
    assert facts["same"] is False
    assert facts["fields"] == [{"path": "name", "old": '"Digits"', "new": '"DigitsConv"'}]
    assert facts["layers"][1] == {
        "name": "ip1",
        "new_name": "ip1-conv",
        "type": "InnerProduct",
        "new_type": "Convolution",
        "renamed": True,
        "moved": False,
        "changes": [
            {"path": "type", "old": "InnerProduct", "new": "Convolution"},
            {
                "path": "inner_product_param",
                "old": None,
                "new": None,
                "renamed_to": "convolution_param",
            },
            {"path": "convolution_param.kernel_size", "old": None, "new": "2"},
        ],
    }
    assert facts["renamed_blobs"] == {"ip1": "ip1-conv", "ip2": "ip2-conv"}
    assert [param["status"] for param in facts["params"]].count("equal") == 8
    assert facts["params"][6] == {
        "layer": "ip1",
        "new_layer": "ip1-conv",
        "index": 0,
        "status": "reshaped",
        "shape": [96, 128],
        "new_shape": [96, 32, 2, 2],
    }
    assert facts["text"].startswith(f"--- {A}\n+++ {B}\n")


def test_params(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    weight = np.arange(1, 7, dtype=np.float32).reshape(2, 3)
    changed = weight.copy()
    changed[1, 2] -= 3
    odd = np.array([1, np.nan], np.float32)
    a = [
        model_layer("same", "T", weight),
        model_layer("legacy", "T", weight, how="legacy"),
        model_layer("far", "T", weight),
        model_layer("size", "T", weight),
        model_layer("less", "T", weight, weight),
        model_layer("nan", "T", np.ones(2, np.float32)),
        model_layer("gone", "T", weight),
    ]
    b = [
        model_layer("same", "T", weight, how="double"),
        model_layer("legacy", "T", weight),
        model_layer("far", "T", changed),
        model_layer("size", "T", weight[:1]),
        model_layer("less", "T", weight),
        model_layer("nan", "T", odd),
        model_layer("come", "U", weight),
    ]
    write_model(folder / "a", *a)
    write_model(folder / "b", *b)
    assert diff(capsys, "a", "b") == [
        "different; layers: 1 added, 1 removed; params: 3 equal, 3 different, 2 removed, 1 added",
        "- layer gone (T)",
        "+ layer come (U)",
        "param               shape       max difference  relative  norm",
        "far[0]   different  2x3                      3       0.5     3",
        "size[0]  different  2x3 -> 1x3",
        "less[1]  removed    2x3",
        "nan[0]   different  2                      inf       inf   inf",
        "gone[0]  removed    2x3",
        "come[0]  added      2x3",
    ]
    params = json.loads("\n".join(diff(capsys, "a", "b", "--json")))["params"]
    assert params[2] == {
        "layer": "far",
        "new_layer": "far",
        "index": 0,
        "status": "different",
        "shape": [2, 3],
        "new_shape": [2, 3],
        "norm": 3.0,
        "max_abs": 3.0,
        "relative": 0.5,
        "unlike": 1,
    }
    assert (params[6]["norm"], params[6]["unlike"]) == (None, 1)


def test_hdf5_has_names_and_params_only(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    weight, bias = np.ones((2, 3), np.float32), np.ones(4, np.float32)
    layers = [
        model_layer("fc6", "InnerProduct", weight, bottoms=["x"], tops=["fc6"]),
        model_layer("relu", "ReLU", bottoms=["fc6"], tops=["fc6"]),
        model_layer("a", "Scale", bias, bottoms=["fc6"], tops=["a"]),
    ]
    write_model(folder / "m", *layers)
    write_hdf5(folder / "same", relu=[], fc6=[weight], a=[bias])
    write_hdf5(folder / "renamed", fc7=[weight * 2], a=[bias])
    assert diff(capsys, "m", "same", code=0) == ["no difference: 2 layers; 2 params equal"]
    assert diff(capsys, "same", "renamed") == [
        "different; layers: 1 renamed; params: 1 equal, 1 different",
        "layer fc6 -> fc7: renamed",
        "param                        shape  max difference  relative  norm",
        "fc6[0] -> fc7[0]  different  2x3                 1         1  2.45",
    ]


V0 = """
input: "x" input_dim: [1, 1, 8, 8]
layers { layer { name: "conv" type: "conv" num_output: 2 kernelsize: 3 blobs_lr: 1 }
         bottom: "x" top: "conv" }
layers { layer { name: "relu" type: "relu" } bottom: "conv" top: "conv" }
"""

OF_TODAY = """
input: "x" input_dim: [1, 1, 8, 8]
layer { name: "conv" type: "Convolution" bottom: "x" top: "conv" param { lr_mult: 1 }
        convolution_param { num_output: 2 kernel_size: %d } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
"""


def test_a_net_of_2013_is_compared_by_todays_words(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    (folder / "old").write_text(V0)
    (folder / "new").write_text(OF_TODAY % 3)
    assert diff(capsys, "old", "new", code=0) == ["no difference: 3 layers"]
    (folder / "new").write_text(OF_TODAY % 5)
    assert diff(capsys, "old", "new") == [
        "different; layers: 1 changed",
        "layer conv (Convolution): changed",
        "    convolution_param.kernel_size: 3 -> 5",
    ]


def test_a_prototxt_from_standard_input(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = Path(A).read_bytes().replace(b"kernel_size: 5", b"kernel_size: 7")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text)))
    lines = diff(capsys, A, "-", "--text")
    assert lines[1:5] == [
        "layer conv1 (Convolution): changed",
        "    convolution_param.kernel_size: 5 -> 7",
        f"--- {A}",
        "+++ <stdin>",
    ]
    assert trouble(capsys, "-", "-") == (
        "error: standard input (-) can be one of the inputs only (try netsurgery diff --help)"
    )


def test_a_name_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    layer = 'layer { name: "l" type: "DummyData" }'
    (folder / "a").write_text(f'name: "a" {layer}')
    (folder / "b").write_text(f'name: "a\\033[2J" {layer}')
    assert diff(capsys, "a", "b")[1] == 'name: "a" -> "a\\x1b[2J"'


def test_trouble_exits_with_two(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    tip = " (try netsurgery diff --help)"
    pairs = "error: expected two prototxts, two caffemodels or two of each; found"
    assert trouble(capsys, A) == f"{pairs} 1 of the first and 0 of the second{tip}"
    assert trouble(capsys, A, OLD) == f"{pairs} 1 of the first and 1 of the second{tip}"
    assert trouble(capsys, A, A, A) == f"{pairs} 3 of the first and 0 of the second{tip}"
    assert trouble(capsys, OLD, OLD, "--text") == (
        f"error: --text does nothing without a prototxt{tip}"
    )
    assert trouble(capsys, A, "nothing") == "error: nothing: No such file or directory"
    (folder / "broken").write_text("layer {")
    assert trouble(capsys, A, "broken") == (
        "error: broken:1:7: this message is never closed with }"
    )
    Path("short").write_bytes(Path(OLD).read_bytes()[:1000])
    assert "the file is cut short" in trouble(capsys, OLD, "short")


def test_memory_does_not_grow_with_the_models(folder: Path) -> None:
    peaks = []
    for name, rows in [("small", 4096), ("large", 65536)]:
        sparse_model(folder / name, layers=1, rows=rows, columns=1024)
        ran = run_alone("diff", name, name)
        assert ran.code == 0
        peaks.append(ran.peak)
    assert abs(peaks[1] - peaks[0]) < 16 << 20  # the numbers are 240 MiB more
