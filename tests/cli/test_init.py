"""The command `init`."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from netsurgery.cli import run
from netsurgery.formats.caffemodel import Caffemodel

NET = """\
name: "Small"
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: [1, 3, 8, 8] } } }
layer { name: "c" type: "Convolution" bottom: "x" top: "c" convolution_param { num_output: 4
  kernel_size: 3 weight_filler { type: "xavier" } bias_filler { value: 0.5 } } }
layer { name: "r" type: "ReLU" bottom: "c" top: "c" }
layer { name: "ip" type: "InnerProduct" bottom: "c" top: "ip" inner_product_param { num_output: 2
  bias_term: false } }
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "n.prototxt").write_text(NET)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def init(*options: str) -> int:
    return run(["init", "n.prototxt", "-o", "n.caffemodel", *options])


def test_it_tells_what_it_filled(capsys: pytest.CaptureFixture[str]) -> None:
    assert init() == 0
    assert capsys.readouterr() == (
        "c[0]   xavier    4x3x3x3\n"
        "c[1]   constant  4\n"
        "ip[0]  constant  2x144\n"
        "note: weights without a filler are zeros, as in Caffe: ip\n"
        "wrote n.caffemodel\n",
        "",
    )


def test_the_model_has_every_layer_as_the_net_has_it() -> None:
    assert init("-q", "--seed", "4") == 0
    with Caffemodel.open("n.caffemodel") as model:
        assert (model.net_name, model.generation) == ("Small", "V2")
        found = [(each.name, each.type, each.bottoms, each.tops) for each in model.layers]
        assert found == [
            ("x", "Input", (), ("x",)),
            ("c", "Convolution", ("x",), ("c",)),
            ("r", "ReLU", ("c",), ("c",)),
            ("ip", "InnerProduct", ("c",), ("ip",)),
        ]
        shapes = [[blob.shape for blob in each.blobs] for each in model.layers]
        assert shapes == [[], [(4, 3, 3, 3), (4,)], [], [(2, 144)]]
        assert model.layer("c").blobs[1].numpy().tolist() == [0.5] * 4
        assert 0 < abs(model.layer("c").blobs[0].numpy()).max() <= (3 / 27) ** 0.5 + 1e-6


def test_a_deep_net_of_batch_norms_is_the_same_function_as_itself(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With Caffe's zeros every layer multiplies by 316, and what overflows is said to."""
    text = NET.replace('layer { name: "r" type: "ReLU" bottom: "c" top: "c" }', "")
    for i in range(20):
        text += f'layer {{ name: "b{i}" type: "BatchNorm" bottom: "ip" top: "ip" }}\n'
    text += 'layer { name: "p" type: "Softmax" bottom: "ip" top: "p" }\n'
    text = text.replace("bias_term: false", 'bias_term: false weight_filler { type: "xavier" }')
    Path("n.prototxt").write_text(text)
    both = ["n.prototxt", "n.caffemodel"] * 2
    for more, code in (([], 0), (["--as-caffe", "--force"], 2)):
        assert init("-q", *more) == 0
        assert run(["verify", *both, "--engine", "embedded"]) == code
        told = capsys.readouterr().out
        assert "not the same" not in told
        assert ("output p: could not be checked: none of its numbers is finite" in told) is bool(
            more
        )
        first = "first blob that is not finite: ip of layer ip: 2 of 2 numbers are infinite or NaN"
        assert (first in told) is bool(more)
        assert ("the nets are not verified" in told) is bool(more)


def test_a_seed_gives_the_same_file_and_another_another() -> None:
    files = []
    for seed in ("1", "1", "2"):
        assert init("-q", "--force", "--seed", seed) == 0
        files.append(Path("n.caffemodel").read_bytes())
    assert files[0] == files[1] != files[2]


def test_json_and_dry_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert init("--json", "--dry-run", "--seed", "9") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts == {
        "params": [
            {"layer": "c", "blob": 0, "shape": [4, 3, 3, 3], "filler": "xavier"},
            {"layer": "c", "blob": 1, "shape": [4], "filler": "constant"},
            {"layer": "ip", "blob": 0, "shape": [2, 144], "filler": "constant"},
        ],
        "seed": 9,
        "notes": ["weights without a filler are zeros, as in Caffe: ip"],
        "weights": "n.caffemodel",
        "bytes": None,
        "dry_run": True,
    }
    assert os.listdir() == ["n.prototxt"]
    assert init("--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["bytes"] == Path("n.caffemodel").stat().st_size


def test_every_refusal_is_told_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    text = NET.replace('"xavier"', '"xaver"').replace("bias_term: false", "weight_filler { "
    'type: "uniform" sparse: 1 } bias_term: false')  # fmt: skip
    Path("n.prototxt").write_text(text)
    assert init() == 1
    assert capsys.readouterr().err == (
        "error: n.prototxt: layer 'c': param 0: filler type 'xaver' is none of Caffe 1.0's: "
        "bilinear, constant, gaussian, msra, positive_unitball, uniform, xavier; layer 'ip': "
        "param 0: sparse belongs to the filler gaussian, not to uniform\n"
    )
    assert os.listdir() == ["n.prototxt"]


def test_params_whose_shape_is_not_known_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    Path("n.prototxt").write_text(NET.replace('type: "Input"', 'type: "Data"'))
    assert init() == 1
    assert capsys.readouterr().err == (
        "error: n.prototxt: layer 'x' (Data): the shape of 'x' is not known; "
        "--input-shape x=NxCxHxW gives it\n"
    )
    assert init("--input-shape", "c=1x3x8x8") == 1
    assert capsys.readouterr().err == (
        "error: n.prototxt: a shape is given for 'c', expected an input, the top of a "
        "data layer or a blob whose shape is not known: 'x'\n"
    )
    assert os.listdir() == ["n.prototxt"]
    assert init("-q", "--input-shape", "x=1x3x8x8") == 0
    with Caffemodel.open("n.caffemodel") as model:
        assert model.layer("ip").blobs[0].shape == (2, 144)


def test_a_faulty_layer_of_a_fork_is_told_once_with_the_reason(
    capsys: pytest.CaptureFixture[str],
) -> None:
    fork = (
        'layer { name: "s" type: "ShuffleChannel" bottom: "x" top: "s"\n'
        "  shuffle_channel_param { group: 2 } }\n"
        'layer { name: "n" type: "Normalize" bottom: "x" top: "n" norm_param { wrong: 7 } }\n'
    )
    behind = [
        f'layer {{ name: "{name}" type: "Convolution" bottom: "{bottom}" top: "{name}"\n'
        "  convolution_param { num_output: 1 kernel_size: 1 } }\n"
        for name, bottom in (("c", "s"), ("d", "c"), ("e", "n"))
    ]
    Path("n.prototxt").write_text(NET.split("\n")[1] + fork + "".join(behind))
    assert init() == 1
    assert capsys.readouterr().err == (
        "error: n.prototxt: layer 's' (ShuffleChannel): 3 channels do not fall into 2 groups; "
        "layer 'n' (Normalize): norm_param has a field wrong, which is not known and "
        "may change all that is behind it; take it out if it changes nothing\n"
    )


def test_shared_params_of_two_shapes_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    share = 'inner_product_param { bias_term: false num_output: %d } param { name: "w" }'
    layers = [
        f'layer {{ name: "{name}" type: "InnerProduct" bottom: "x" top: "{name}" {share % size} }}'
        for name, size in (("a", 2), ("b", 3))
    ]
    Path("n.prototxt").write_text("\n".join([NET.split("\n")[1], *layers]))
    assert init() == 1
    assert capsys.readouterr().err == (
        "error: n.prototxt: layer 'b': param 0: it is 3x192 and shared with layer 'a', where it "
        "is 2x192\n"
    )


def test_an_output_that_exists_needs_force(capsys: pytest.CaptureFixture[str]) -> None:
    Path("n.caffemodel").write_text("mine")
    assert init() == 1
    error = "error: n.caffemodel: exists already, with another content; --force replaces it\n"
    assert capsys.readouterr().err == error
    assert Path("n.caffemodel").read_text() == "mine"


def test_the_same_params_again_need_no_force(folder: Path) -> None:
    assert init("-q", "--seed", "3") == 0
    before = (folder / "n.caffemodel").stat()
    assert init("-q", "--seed", "3") == 0
    assert (folder / "n.caffemodel").stat() == before
    assert init("-q", "--seed", "4") == 1
    assert (folder / "n.caffemodel").stat() == before


@pytest.mark.parametrize("options", [["--seed", "-1"], ["--seed", "x"], ["--nonsense"]])
def test_wrong_usage_exits_with_2(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert init(*options) == 2
    assert "(try netsurgery init --help)" in capsys.readouterr().err


def test_standard_output(capfdbinary: pytest.CaptureFixture[bytes], folder: Path) -> None:
    assert run(["init", "n.prototxt", "-o", "-"]) == 0
    seen = capfdbinary.readouterr()
    assert init("-q") == 0
    assert seen.out == (folder / "n.caffemodel").read_bytes()
    assert seen.err.startswith(b"c[0]   xavier    4x3x3x3\n")
    assert b"wrote" not in seen.err
    assert not (folder / "-").exists()
    assert run(["init", "n.prototxt", "-o", "-", "--json"]) == 2
    said = capfdbinary.readouterr()
    assert said.out == b""
    assert b"--json and -o - both print; give the output a file" in said.err
