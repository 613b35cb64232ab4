"""The command `edit`."""

from __future__ import annotations

import difflib
import gc
import json
import os
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest

import netsurgery as ns
from netsurgery.cli import run
from netsurgery.formats.caffemodel import Caffemodel
from netsurgery.formats.weights import open_weights

IN = {"n.prototxt", "m.caffemodel"}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, repo_root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with the bundled net in it."""
    shutil.copy(repo_root / "prototxt" / "digits_deploy.prototxt", tmp_path / "n.prototxt")
    shutil.copy(repo_root / "models" / "digits" / "digits.caffemodel", tmp_path / "m.caffemodel")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def edit(*words: str) -> int:
    return run(["edit", "n.prototxt", "m.caffemodel", "-o", "o.caffemodel", *words])


def new_files() -> set[str]:
    return set(os.listdir()) - IN


def param(path: str, layer: str, index: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    with open_weights(path) as model:
        return np.array(model.layer(layer).blobs[index].numpy())


def test_it_reports_what_each_operation_does(capsys: pytest.CaptureFixture[str]) -> None:
    assert edit("conv1[1]+=1", "conv1[0][2]=gaussian:sigma=1", "save:ip2[1]=b.npy") == 0
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        "conv1[1]+=1",
        "  conv1[1]: 16 of 16 values change",
        "conv1[0][2]=gaussian:sigma=1",
        "  conv1[0]: 25 of 400 values change",
        "save:ip2[1]=b.npy",
        "  ip2[1]: 11 values saved to b.npy",
        "wrote o.caffemodel",
        "wrote b.npy",
    ]
    assert err == ""
    assert new_files() == {"o.caffemodel", "b.npy"}
    assert np.array_equal(np.load("b.npy"), param("m.caffemodel", "ip2", 1))
    bias = param("m.caffemodel", "conv1", 1)
    np.testing.assert_allclose(param("o.caffemodel", "conv1", 1), bias + 1, rtol=1e-6)


def test_every_byte_that_is_not_named_stays() -> None:
    assert edit("-q", "conv1[1][0]=1") == 0
    old, new = (Path(f"{name}.caffemodel").read_bytes() for name in "mo")
    assert len(old) == len(new)
    with Caffemodel.open("m.caffemodel") as model:
        (start, length) = model.layer("conv1").blobs[1].packed or (0, 0)
    different = [i for i, (a, b) in enumerate(zip(old, new, strict=True)) if a != b]
    assert different
    assert start <= min(different) <= max(different) < start + 4 <= start + length


def test_setting_again_gives_the_same_file() -> None:
    words = ["conv1[0]=normalize", "conv1[1]=0.5", "ip1[0]=prune:fraction=0.9"]
    assert edit("-q", *words) == 0
    again = ["edit", "n.prototxt", "o.caffemodel", "-o", "p.caffemodel", "-q", *words]
    assert run(again) == 0
    assert Path("o.caffemodel").read_bytes() == Path("p.caffemodel").read_bytes()


def test_json_says_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert edit("--json", "ip2[1]*=2") == 0
    assert json.loads(capsys.readouterr().out) == {
        "operations": [
            {
                "operation": "ip2[1]*=2",
                "name": "*=",
                "params": [
                    {
                        "layer": "ip2",
                        "index": 1,
                        "shape": [11],
                        "new_shape": [11],
                        "changed": 11,
                        "seed": None,
                        "what": "",
                    }
                ],
                "layers": [],
                "fields": [],
                "saved": [],
                "notes": [],
            }
        ],
        "notes": [],
        "weights": "o.caffemodel",
        "prototxt": None,
        "saved": [],
        "dry_run": False,
    }


def test_a_dry_run_shows_the_diff_and_writes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--prototxt-out", "o.prototxt", "outputs:ip2:keep=0,1", "save:ip2[0]=w.npy"]
    assert edit("--dry-run", *words) == 0
    out = capsys.readouterr().out
    assert new_files() == set()
    assert "would write o.caffemodel, w.npy, o.prototxt\n" in out
    shown = out[out.index("--- ") :]
    assert edit("-q", *words) == 0
    assert capsys.readouterr() == ("", "")
    old, new = Path("n.prototxt").read_text(), Path("o.prototxt").read_text()
    diff = difflib.unified_diff(
        old.splitlines(keepends=True), new.splitlines(keepends=True), "n.prototxt", "o.prototxt"
    )
    assert shown == "".join(diff)
    assert param("o.caffemodel", "ip2", 0).shape == (2, 96)
    assert np.array_equal(np.load("w.npy"), param("m.caffemodel", "ip2", 0)[:2])


def test_outputs_that_are_not_named(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["edit", "n.prototxt", "m.caffemodel"]
    assert run([*words, "ip2[1]=0"]) == 0
    assert new_files() == {"m_edited.caffemodel"}
    assert run([*words, "outputs:ip2:keep=0,1"]) == 1
    assert capsys.readouterr().err == (
        "error: m_edited.caffemodel: exists already; --force replaces it\n"
    )
    assert run([*words, "outputs:ip2:keep=0,1", "--force"]) == 0
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "wrote m_edited.caffemodel",
        "wrote n_edited.prototxt",
    ]
    assert new_files() == {"m_edited.caffemodel", "n_edited.prototxt"}
    Path("d").mkdir()
    assert run([*words, "outputs:ip2:keep=0,1", "-o", "d/o.caffemodel.h5"]) == 0
    assert sorted(os.listdir("d")) == ["n_edited.prototxt", "o.caffemodel.h5"]


def test_a_dry_run_says_what_exists(capsys: pytest.CaptureFixture[str]) -> None:
    Path("o.caffemodel").touch()
    assert edit("ip2[1]=0", "--dry-run") == 0
    assert "note: o.caffemodel exists already; --force replaces it\n" in capsys.readouterr().out
    assert edit("ip2[1]=0", "--dry-run", "--prototxt-out", "n.prototxt") == 1
    assert "n.prototxt: is an input too" in capsys.readouterr().err
    assert edit("ip2[1]=0", "--dry-run", "--prototxt-out", "no/n.prototxt") == 1
    assert "there is no folder no" in capsys.readouterr().err


def test_saving_alone_writes_no_weights(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["edit", "n.prototxt", "m.caffemodel", "save:ip2[1]=b.npy"]
    assert run([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["weights"] is None
    assert new_files() == {"b.npy"}
    assert run([*words, "--force", "-o", "o.caffemodel"]) == 0
    assert new_files() == {"b.npy", "o.caffemodel"}


def test_standard_output(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    words = ["edit", "n.prototxt", "m.caffemodel", "outputs:ip2:keep=0,1"]
    assert run([*words, "-o", "o.caffemodel", "--prototxt-out", "o.prototxt", "-q"]) == 0
    assert run([*words, "-o", "-", "--prototxt-out", "p.prototxt"]) == 0
    said = capfdbinary.readouterr()
    assert said.out == Path("o.caffemodel").read_bytes()
    assert b"wrote p.prototxt" in said.err
    assert Path("p.prototxt").read_bytes() == Path("o.prototxt").read_bytes()
    assert run([*words, "-o", "p.caffemodel", "--prototxt-out", "-"]) == 0
    assert capfdbinary.readouterr().out == Path("o.prototxt").read_bytes()
    assert run([*words, "-o", "-", "--prototxt-out", "-"]) == 1
    assert b"two outputs cannot both go to standard output" in capfdbinary.readouterr().err
    assert run([*words, "-o", "-", "--json"]) == 2


def test_a_prototxt_that_does_not_change_is_copied() -> None:
    assert edit("-q", "--prototxt-out", "o.prototxt", "ip2[1]=0") == 0
    assert Path("o.prototxt").read_bytes() == Path("n.prototxt").read_bytes()


def test_weights_as_hdf5(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["edit", "n.prototxt", "m.caffemodel", "-o", "o.caffemodel.h5", "-q", "ip2[1]=3"]
    assert run(words) == 0
    assert param("o.caffemodel.h5", "ip2", 1).tolist() == [3.0] * 11
    back = ["edit", "n.prototxt", "o.caffemodel.h5", "-o", "b.caffemodel", "-q", "ip2[1][0]=1"]
    assert run(back) == 0
    assert param("b.caffemodel", "ip2", 1).tolist() == [1.0, *[3.0] * 10]
    assert np.array_equal(param("m.caffemodel", "conv1", 0), param("b.caffemodel", "conv1", 0))


def test_all_or_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert edit("ip2[1]=3", "ip2[1]=wrong", "ip9[0]=1", "save:ip2[1]=b.npy") == 1
    err = capsys.readouterr().err
    assert err.startswith("error: ip2[1]=wrong: found 'wrong' after =, expected a number or npy")
    assert "; ip9[0]=1: layer 'ip9': the net has no such layer; did you mean ip1 or ip2?" in err
    assert err.count("\n") == 1
    assert new_files() == set()


def test_outputs_that_exist_need_force(capsys: pytest.CaptureFixture[str]) -> None:
    Path("b.npy").write_text("mine")
    assert edit("save:ip2[1]=b.npy") == 1
    assert capsys.readouterr().err == "error: b.npy: exists already; --force replaces it\n"
    assert new_files() == {"b.npy"}
    assert edit("-q", "--force", "save:ip2[1]=b.npy") == 0
    assert np.load("b.npy").shape == (11,)


def test_an_input_is_never_an_output(capsys: pytest.CaptureFixture[str]) -> None:
    before = Path("m.caffemodel").read_bytes()
    words = ["edit", "n.prototxt", "m.caffemodel", "-o", "m.caffemodel", "--force", "ip2[1]=0"]
    assert run(words) == 1
    assert "m.caffemodel: is an input too" in capsys.readouterr().err
    assert Path("m.caffemodel").read_bytes() == before


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("", "an empty operation"),
        ("ip2[1]=npy:no.npy", "ip2[1]=npy:no.npy: No such file or directory"),
        (
            "save:ip2[1]=b.txt",
            "save:ip2[1]=b.txt: found 'b.txt', expected a name that ends in .npy",
        ),
    ],
)
def test_what_is_wrong_is_named_once(
    word: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert edit(word) == 1
    assert capsys.readouterr().err == f"error: {message}\n"
    assert new_files() == set()


def test_the_order_of_mean_and_scale(capsys: pytest.CaptureFixture[str]) -> None:
    mean, scale = "fold-mean:0.5:padding=approximate", "fold-scale:2"
    note = (
        "note: fold-scale after fold-mean: the new net's input is x where the old one's was "
        "x * scale - mean; for Caffe's (x - mean) * scale give fold-scale first\n"
    )
    words = ["--prototxt-out", "o.prototxt", "--force"]
    assert edit(*words, scale, mean) == 0
    assert "fold-scale after" not in capsys.readouterr().out
    weights, bias = (param("m.caffemodel", "conv1", index) for index in range(2))
    expected = bias - 0.5 * (2 * weights).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(param("o.caffemodel", "conv1", 1), expected, rtol=1e-4, atol=1e-5)
    assert edit(*words, mean, scale) == 0
    assert note in capsys.readouterr().out
    expected = bias - 0.5 * weights.sum(axis=(1, 2, 3))
    np.testing.assert_allclose(param("o.caffemodel", "conv1", 1), expected, rtol=1e-4, atol=1e-5)


def test_the_library_does_the_same_in_memory() -> None:
    words = ["outputs:ip2:keep=0,1", "ip1[1]+=1", "save:ip2[0]=w.npy"]
    with ns.edit("n.prototxt", "m.caffemodel", words) as result:
        assert new_files() == set()
        assert (result.written, result.paths) == ((), None)
        assert str(result) == "3 operations: 3 params, 1 field changed"
        assert "ip1[1]" in result._repr_html_()
        with result.net as net:
            assert net.text == result.text
            assert net.params["ip2"][0].shape == (2, 96)
            assert net.forward()["prob"].shape == (1, 2)
        record = result.to_json()
        assert (record["dry_run"], record["weights"]) == (True, None)
        assert "num_output: 2" in record["diff"]
        assert result.save() == ("m_edited.caffemodel", "w.npy", "n_edited.prototxt")
        assert str(result).endswith("; wrote m_edited.caffemodel, w.npy, n_edited.prototxt")
        assert "diff" not in result.to_json()
    assert edit("-q", *words, "--prototxt-out", "o.prototxt", "--force") == 0
    for old, new in (("m_edited.caffemodel", "o.caffemodel"), ("n_edited.prototxt", "o.prototxt")):
        assert Path(old).read_bytes() == Path(new).read_bytes()


def test_an_open_net_is_edited_as_it_is_now() -> None:
    with ns.Net("n.prototxt", "m.caffemodel") as net:
        net.params["ip2"][1][...] = 3
        with ns.edit(net, operations="ip2[1]*=2") as result, result.net as edited:
            assert edited.params["ip2"][1].tolist() == [6] * 11
            assert result.save() == ("n_edited.caffemodel",)
        assert net.params["ip2"][1].tolist() == [3] * 11
    assert param("n_edited.caffemodel", "ip2", 1).tolist() == [6] * 11


def test_a_result_that_is_dropped_leaves_its_net() -> None:
    net = ns.edit("n.prototxt", "m.caffemodel", "ip2[1]=1").net
    gc.collect()
    with net:
        assert net.params["ip2"][1].tolist() == [1] * 11


@pytest.mark.parametrize("words", [[], ["--nonsense", "fold"]])
def test_wrong_usage_exits_with_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert edit(*words) == 2
    assert "(try netsurgery edit --help)" in capsys.readouterr().err


def test_the_examples_of_the_help_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["edit", "--help"]) == 0
    text = capsys.readouterr().out.replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines()]
    examples = [shlex.split(line)[1:] for line in lines if line.startswith("netsurgery edit")]
    assert len(examples) == 2
    assert "--prototxt-out" not in examples[1]
    net = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: [1,1,9,9] } } }\n'
    net += 'layer { name: "conv" type: "Convolution" bottom: "x" top: "conv" '
    net += "convolution_param { num_output: 3 kernel_size: 5 } }\n"
    for name in ("conv", "net"):
        Path(f"{name}.prototxt").write_text(net)
        assert run(["init", f"{name}.prototxt", "-o", f"{name}.caffemodel", "-q"]) == 0
    for words in examples:
        assert run(words) == 0
