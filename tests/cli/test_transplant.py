"""The command `transplant`."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from small_models import stored_bytes

import netsurgery as ns
from netsurgery.cli import run


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, repo_root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with the bundled net, and the net that convert makes of it."""
    shutil.copy(repo_root / "prototxt" / "digits_deploy.prototxt", tmp_path / "deploy.prototxt")
    shutil.copy(
        repo_root / "models" / "digits" / "digits.caffemodel", tmp_path / "model.caffemodel"
    )
    monkeypatch.chdir(tmp_path)
    converted = ["--prototxt-out", "dense.prototxt", "--weights-out", "dense.caffemodel"]
    assert run(["convert", "deploy.prototxt", "model.caffemodel", "--engine", "embedded", "-q",
                *converted]) == 0  # fmt: skip
    return tmp_path


def transplant(*arguments: str) -> int:
    return run(["transplant", "deploy.prototxt", "model.caffemodel", *arguments])


def test_it_reports_every_param(capsys: pytest.CaptureFixture[str]) -> None:
    assert transplant("dense.prototxt", "-o", "out.caffemodel", "--suffix", "-conv") == 0
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        "from      shape      outcome   to           shape      reason",
        "conv1[0]  16x1x5x5   copied    conv1[0]     16x1x5x5",
        "conv1[1]  16         copied    conv1[1]     16",
        "conv2[0]  32x16x3x3  copied    conv2[0]     32x16x3x3",
        "conv2[1]  32         copied    conv2[1]     32",
        "conv3[0]  32x32x3x3  copied    conv3[0]     32x32x3x3",
        "conv3[1]  32         copied    conv3[1]     32",
        "ip1[0]    96x128     reshaped  ip1-conv[0]  96x32x2x2",
        "ip1[1]    96         copied    ip1-conv[1]  96",
        "ip2[0]    11x96      reshaped  ip2-conv[0]  11x96x1x1",
        "ip2[1]    11         copied    ip2-conv[1]  11",
        "8 copied, 2 reshaped",
        "wrote out.caffemodel",
    ]
    assert err == ""
    assert stored_bytes("out.caffemodel") == stored_bytes("dense.caffemodel")


@pytest.mark.parametrize("options", [[], ["--map", "ip1=ip1-conv", "--map", "ip2=ip2-conv"]])
def test_left_and_dropped(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert transplant("dense.prototxt", "-o", "out.caffemodel", "--json", *options) == 0
    facts = json.loads(capsys.readouterr().out)
    outcomes = {(param["outcome"], param["reason"]) for param in facts["params"]}
    if options:
        assert facts["counts"]["unmatched"] == facts["counts"]["dropped"] == 0
    else:
        assert outcomes == {
            ("copied", ""),
            ("unmatched", "absent: Caffe fills it"),
            ("dropped", "the target has no such layer"),
        }
        assert facts["layers_without_params"] == ["ip1-conv", "ip2-conv"]
    assert facts["params"][0] == {
        "outcome": "copied",
        "from": {"layer": "conv1", "index": 0},
        "to": {"layer": "conv1", "index": 0},
        "from_shape": [16, 1, 5, 5],
        "to_shape": [16, 1, 5, 5],
        "reason": "",
    }
    assert facts["bytes"] == os.stat("out.caffemodel").st_size
    assert (facts["weights"], facts["dry_run"]) == ("out.caffemodel", False)


def test_a_dry_run_writes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(os.listdir())
    assert transplant("dense.prototxt", "-o", "out.caffemodel", "--dry-run") == 0
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "6 copied, 4 dropped, 4 unmatched",
        "would write out.caffemodel",
    ]
    assert sorted(os.listdir()) == before
    assert transplant("dense.prototxt", "-o", "dense.caffemodel", "--dry-run") == 0
    said = capsys.readouterr().out
    assert "note: dense.caffemodel exists already; --force replaces it\n" in said


def test_hdf5_out_and_in(capsys: pytest.CaptureFixture[str]) -> None:
    assert transplant("deploy.prototxt", "-o", "m.caffemodel.h5", "-q") == 0
    assert stored_bytes("m.caffemodel.h5") == stored_bytes("model.caffemodel")
    arguments = ["deploy.prototxt", "m.caffemodel.h5", "deploy.prototxt", "-o", "b.caffemodel"]
    assert run(["transplant", *arguments, "-q", "--strict"]) == 0
    assert capsys.readouterr() == ("", "")
    assert stored_bytes("b.caffemodel") == stored_bytes("model.caffemodel")


def test_into_weights_that_are_there() -> None:
    arguments = ["dense.prototxt", "dense.caffemodel", "-o", "out.caffemodel", "-q", "--strict"]
    assert transplant(*arguments) == 0
    assert Path("out.caffemodel").read_bytes() == Path("dense.caffemodel").read_bytes()


def test_refusals(capsys: pytest.CaptureFixture[str]) -> None:
    text = Path("dense.prototxt").read_text()
    Path("dense.prototxt").write_text(text.replace("num_output: 16", "num_output: 8"))
    before = sorted(os.listdir())
    assert transplant("dense.prototxt", "-o", "out.caffemodel") == 1
    assert capsys.readouterr() == (
        "",
        "error: deploy.prototxt to dense.prototxt: layer 'conv1': param 0 is 16x1x5x5, expected "
        "8x1x5x5 (in 'conv1'); --slice copies the part that overlaps; layer 'conv1': param 1 is "
        "16, expected 8 (in 'conv1'); layer 'conv2': param 0 is 32x16x3x3, expected 32x8x3x3 "
        "(in 'conv2')\n",
    )
    assert sorted(os.listdir()) == before


def test_outputs_are_as_careful_as_everywhere(capsys: pytest.CaptureFixture[str]) -> None:
    Path("out.caffemodel").write_bytes(b"mine")
    assert transplant("deploy.prototxt", "-o", "out.caffemodel") == 1
    assert capsys.readouterr().err == (
        "error: out.caffemodel: exists already; --force replaces it\n"
    )
    assert Path("out.caffemodel").read_bytes() == b"mine"
    assert transplant("deploy.prototxt", "-o", "out.caffemodel", "--force", "-q") == 0
    for name in ("model.caffemodel", "deploy.prototxt"):
        assert transplant("deploy.prototxt", "-o", name, "--force") == 1
        assert capsys.readouterr().err == (
            f"error: {name}: is an input too ({name}); give the output another name\n"
        )


def test_names_with_an_equals_sign(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("deploy", "dense"):
        path = Path(f"{name}.prototxt")
        path.write_text(path.read_text().replace('name: "conv1"', 'name: "a=b"'))
    assert run(["transplant", "dense.prototxt", "dense.caffemodel", "deploy.prototxt", "-o", "o",
                "--map", "a=b=conv2", "--dry-run"]) == 1  # fmt: skip
    assert "layer 'a=b': named in --map, but there are no params of it to take" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (["--map", "ip1"], "--map takes LAYER=LAYER, not 'ip1'"),
        (["--map", "=ip1"], "--map takes LAYER=LAYER, not '=ip1'"),
        (["--map", "a=b", "--map", "a=c"], "--map names 'a' twice"),
    ],
)
def test_wrong_usage(options: list[str], what: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert transplant("deploy.prototxt", "-o", "out", *options) == 2
    assert what in capsys.readouterr().err


def test_an_output_that_is_not_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert transplant("dense.prototxt", "--suffix", "-conv") == 0
    assert capsys.readouterr().out.endswith("wrote dense_transplanted.caffemodel\n")
    assert transplant("dense.prototxt", "dense.caffemodel", "--suffix", "-conv") == 1
    assert "dense_transplanted.caffemodel: exists already" in capsys.readouterr().err
    assert transplant("deploy.prototxt", "model.caffemodel", "-q") == 0
    assert stored_bytes("model_transplanted.caffemodel") == stored_bytes("model.caffemodel")


def test_standard_output(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert transplant("dense.prototxt", "--suffix", "-conv", "-o", "out.caffemodel", "-q") == 0
    assert transplant("dense.prototxt", "--suffix", "-conv", "-o", "-") == 0
    said = capfdbinary.readouterr()
    assert said.out == Path("out.caffemodel").read_bytes()
    assert b"8 copied, 2 reshaped" in said.err
    assert transplant("dense.prototxt", "-o", "-", "--json") == 2


def test_the_library_does_the_same_in_memory() -> None:
    before = sorted(os.listdir())
    with (
        ns.Net("deploy.prototxt", "model.caffemodel") as source,
        ns.transplant(source, ("dense.prototxt", None), suffix="-conv") as result,
    ):
        source.params["ip2"][1][...] = 7  # after the plan: not of the result
        assert str(result) == "8 copied, 2 reshaped"
        assert result.to_json()["dry_run"]
        with result.net as net:
            assert net.params["ip2-conv"][0].shape == (11, 96, 1, 1)
            assert net.forward()["prob"].shape == (1, 11, 8, 8)
        html = result._repr_html_()
        assert "<td" in html
        assert "ip2-conv[0]" in html
    assert sorted(os.listdir()) == before
    with ns.Net("deploy.prototxt", "model.caffemodel") as source:
        source.params["ip2"][1][...] = 7
        with ns.transplant(source, ("dense.prototxt", None), suffix="-conv") as result:
            assert result.save("out.caffemodel") == result.written == ("out.caffemodel",)
            assert str(result) == "8 copied, 2 reshaped; wrote out.caffemodel"
    with ns.Net("dense.prototxt", "out.caffemodel") as net:
        assert net.params["ip2-conv"][1].tolist() == [7] * 11


def test_its_help_has_an_example_that_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["transplant", "--help"]) == 0
    assert "--suffix -conv" in capsys.readouterr().out
    Path("lenet.prototxt").symlink_to("deploy.prototxt")
    Path("lenet.caffemodel").symlink_to("model.caffemodel")
    Path("lenet_full_conv.prototxt").symlink_to("dense.prototxt")
    example = "lenet.prototxt lenet.caffemodel lenet_full_conv.prototxt -o out --suffix -conv"
    assert run(["transplant", "-q", *example.split()]) == 0


def test_nothing_copied_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(os.listdir())
    assert transplant("deploy.prototxt", "-o", "out.caffemodel", "--prefix", "a/") == 1
    assert capsys.readouterr() == (
        "",
        "error: deploy.prototxt to deploy.prototxt: nothing would be copied; layer 'conv1', for "
        "example, would go to 'a/conv1': the target has no such layer\n",
    )
    assert sorted(os.listdir()) == before
