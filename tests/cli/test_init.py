"""The command `init`."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from small_models import stored_bytes

import netsurgery as ns
from netsurgery.cli import run
from netsurgery.formats.caffemodel import Caffemodel
from netsurgery.formats.weights import open_weights

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


def test_it_reports_what_it_filled(capsys: pytest.CaptureFixture[str]) -> None:
    assert init() == 0
    assert capsys.readouterr() == (
        "param  filler    shape\n"
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
        layers = [(each.name, each.type, each.bottoms, each.tops) for each in model.layers]
        assert layers == [
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
        printed = capsys.readouterr().out
        assert "not the same" not in printed
        assert ("output p: could not be checked: none of its numbers is finite" in printed) is bool(
            more
        )
        first = "first blob that is not finite: ip of layer ip: 2 of 2 numbers are infinite or NaN"
        assert (first in printed) is bool(more)
        assert ("the nets are not verified" in printed) is bool(more)


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
            {"layer": "c", "index": 0, "shape": [4, 3, 3, 3], "filler": "xavier"},
            {"layer": "c", "index": 1, "shape": [4], "filler": "constant"},
            {"layer": "ip", "index": 0, "shape": [2, 144], "filler": "constant"},
        ],
        "seed": 9,
        "missing_from": None,
        "notes": ["weights without a filler are zeros, as in Caffe: ip"],
        "weights": "n.caffemodel",
        "bytes": None,
        "dry_run": True,
    }
    assert os.listdir() == ["n.prototxt"]
    assert init("--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["bytes"] == Path("n.caffemodel").stat().st_size


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ("no/n.caffemodel", "there is no folder no; make it first (mkdir -p)"),
        ("n.prototxt", "is an input too (n.prototxt); give the output another name"),
    ],
)
def test_a_dry_run_refuses_what_the_run_would(
    output: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for more in ([], ["--dry-run"]):
        assert init("-o", output, "--force", *more) == 1
        assert capsys.readouterr() == ("", f"error: {output}: {reason}\n")


def test_every_refusal_is_reported_at_once(capsys: pytest.CaptureFixture[str]) -> None:
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
        "this is a training net, whose layer 'x' (Data) reads it from files; "
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


def test_a_faulty_layer_of_a_fork_is_reported_once_with_the_reason(
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
        "error: n.prototxt: layer 's' (ShuffleChannel): 3 channels cannot be divided into 2 "
        "groups; layer 'n' (Normalize): norm_param has a field wrong, which is not known and "
        "may change everything after it; remove it if it changes nothing\n"
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
    assert seen.err.startswith(b"param  filler    shape\nc[0]   xavier    4x3x3x3\n")
    assert b"wrote" not in seen.err
    assert not (folder / "-").exists()
    assert run(["init", "n.prototxt", "-o", "-", "--json"]) == 2
    said = capfdbinary.readouterr()
    assert said.out == b""
    assert b"--json and a file cannot both go to standard output" in said.err


TWO = NET.replace('name: "ip"', 'name: "other"')


@pytest.mark.parametrize("form", [".caffemodel", ".caffemodel.h5"])
def test_only_what_is_missing_is_filled(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    """All that the model has, layers that the net lacks too, stays byte for byte."""
    assert run(["init", "n.prototxt", "-q", "-o", f"n{form}", "--seed", "1"]) == 0
    Path("two.prototxt").write_text(TWO.replace("bias_term: false", "weight_filler { value: 3 }"))
    done = ["init", "two.prototxt", "--missing", f"n{form}", "-o", f"two{form}"]
    assert run([*done, "--json", "--seed", "9"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert [(param["layer"], param["index"]) for param in record["params"]] == [
        ("other", 0),
        ("other", 1),
    ]
    assert record["missing_from"] == f"n{form}"
    old, new = stored_bytes(f"n{form}"), stored_bytes(f"two{form}")
    assert {name: new[name] for name in old} == old
    assert new.keys() - old.keys() == {"other"}
    assert np.frombuffer(new["other"][0], "<f4").tolist() == [3.0] * 288
    if form == ".caffemodel":
        before = Path("n.caffemodel").read_bytes()
        assert Path("two.caffemodel").read_bytes().startswith(before)
    # What was refused before is not now.
    assert run(["convert", "two.prototxt", f"n{form}", "-q", "--engine", "embedded"]) == 1
    assert run(["convert", "two.prototxt", f"two{form}", "-q", "--engine", "embedded"]) == 0


def test_a_layer_that_the_model_names_without_params_is_filled_where_it_is() -> None:
    assert init("-q") == 0
    Path("bare.prototxt").write_text(NET.replace('"InnerProduct"', '"Flatten"'))
    assert run(["init", "bare.prototxt", "-q", "-o", "bare.caffemodel"]) == 0
    done = ["init", "n.prototxt", "-q", "--missing", "bare.caffemodel", "-o", "full.caffemodel"]
    assert run(done) == 0
    with open_weights("full.caffemodel") as weights:
        assert [layer.name for layer in weights.layers] == ["x", "c", "r", "ip"]
    assert stored_bytes("full.caffemodel") == stored_bytes("n.caffemodel")


def test_a_param_that_is_shared_is_the_models() -> None:
    """The layer that is missing would else overwrite it where Caffe loads it last."""
    shared = NET.replace(
        'name: "ip"', 'name: "ip" param { name: "w" }').replace(
        "bias_term: false", 'bias_term: false weight_filler { type: "xavier" }')  # fmt: skip
    again = shared[shared.index('layer { name: "ip"') :].replace('name: "ip"', 'name: "again"')
    again = again.replace('top: "ip"', 'top: "again"').replace("bias_term: false ", "")
    Path("n.prototxt").write_text(shared)
    assert init("-q") == 0
    Path("n.prototxt").write_text(shared + again)
    done = ["init", "n.prototxt", "-q", "--missing", "n.caffemodel", "-o", "full.caffemodel"]
    assert run([*done, "--seed", "5"]) == 0
    full = stored_bytes("full.caffemodel")
    assert full["again"][0] == full["ip"][0]
    assert len(full["again"]) == 2


def test_a_model_that_lacks_nothing_is_copied(capsys: pytest.CaptureFixture[str]) -> None:
    assert init("-q") == 0
    done = ["init", "n.prototxt", "--missing", "n.caffemodel", "-o", "same.caffemodel"]
    assert run(done) == 0
    assert capsys.readouterr().out == (
        "note: n.caffemodel has params for every layer of the net\nwrote same.caffemodel\n"
    )
    assert Path("same.caffemodel").read_bytes() == Path("n.caffemodel").read_bytes()


def test_nothing_is_written_without_a_place(folder: Path) -> None:
    before = set(folder.iterdir())
    with ns.init("n.prototxt", seed=2) as result, result.net as net:
        assert str(result) == "3 params of 2 layers filled with seed 2"
        assert net.params["c"][1][...].tolist() == [0.5] * 4
        assert set(folder.iterdir()) == before
        result.save("saved.caffemodel")
        net.params["c"][1][...] = 7
        net.save("changed.caffemodel")
    ns.init("n.prototxt", "direct.caffemodel", seed=2)
    assert Path("saved.caffemodel").read_bytes() == Path("direct.caffemodel").read_bytes()
    with ns.Net("n.prototxt", "changed.caffemodel") as again:
        assert again.params["c"][1][...].tolist() == [7.0] * 4
    with ns.Net("n.prototxt") as bare, ns.init(bare, seed=2) as result:
        assert result.to_json()["weights"] is None
        assert "<td" in result._repr_html_()
