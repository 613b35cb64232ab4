"""The command `upgrade`."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path

import pytest
from caffe_schema import net_parameter

import netsurgery as ns
from netsurgery.cli import run
from netsurgery.formats.caffemodel import Caffemodel

OLD = """\
name: "n"
input: "data"  # pictures
input_dim: 1
input_dim: 2
input_dim: 4
input_dim: 4
layers {
  name: "ip"
  type: INNER_PRODUCT
  bottom: "data"
  top: "ip"
  blobs_lr: 1  # weights
  inner_product_param { num_output: 3 }
}
"""

NEW = """\
name: "n"
layer {
  name: "input"
  type: "Input"
  top: "data"  # pictures
  input_param {
    shape { dim: 1 dim: 2 dim: 4 dim: 4 }
  }
}
layer {
  name: "ip"
  type: "InnerProduct"
  bottom: "data"
  top: "ip"
  param { lr_mult: 1 }  # weights
  inner_product_param { num_output: 3 }
}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with a V1 net in it, as text and with weights."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "old.prototxt").write_text(OLD)
    net = net_parameter(OLD)
    blob = net.layers[0].blobs.add()
    blob.num = blob.channels = 1
    blob.height, blob.width = 3, 32
    blob.data.extend(range(96))
    (tmp_path / "old.caffemodel").write_bytes(net.SerializeToString())
    return tmp_path


def test_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["upgrade", "old.prototxt", "-o", "new.prototxt"]) == 0
    assert capsys.readouterr() == (
        "layer 'ip': `layers` becomes `layer`, INNER_PRODUCT becomes \"InnerProduct\"\n"
        "layer 'ip': blobs_lr: now in 1 `param { ... }`\n"
        "input 'data' becomes a layer Input\n"
        "wrote new.prototxt\n",
        "",
    )
    assert Path("new.prototxt").read_text() == NEW


def test_binary(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["upgrade", "old.caffemodel", "-o", "new.caffemodel"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "layer 'ip': `layers` becomes `layer`, type 14 becomes \"InnerProduct\"",
        "layer 'ip': blobs_lr: now in 1 `param { ... }`",
        "input 'data' becomes a layer Input",
        "wrote new.caffemodel",
    ]
    with Caffemodel.open("new.caffemodel") as model:
        assert [(layer.name, layer.type) for layer in model.layers] == [
            ("input", "Input"),
            ("ip", "InnerProduct"),
        ]
        assert model.layers[1].blobs[0].numpy().ravel().tolist() == list(range(96))


def test_the_content_says_what_it_is() -> None:
    os.rename("old.prototxt", "old")
    os.rename("old.caffemodel", "old.prototxt")
    assert run(["upgrade", "old", "-o", "text", "-q"]) == 0
    assert run(["upgrade", "old.prototxt", "-o", "weights", "-q"]) == 0
    assert Path("text").read_text() == NEW
    with Caffemodel.open("weights") as model:
        assert model.generation == "V2"


@pytest.mark.parametrize("kind", ["prototxt", "caffemodel"])
def test_what_is_up_to_date_is_written_as_it_is(
    kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["upgrade", f"old.{kind}", "-o", f"new.{kind}", "-q"]) == 0
    assert capsys.readouterr() == ("", "")
    assert run(["upgrade", f"new.{kind}", "-o", f"same.{kind}"]) == 0
    assert capsys.readouterr().out == f"new.{kind}: already up to date\nwrote same.{kind}\n"
    assert Path(f"same.{kind}").read_bytes() == Path(f"new.{kind}").read_bytes()


def test_a_dry_run_shows_the_diff_and_writes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["upgrade", "old.prototxt", "-o", "new.prototxt", "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[3:6] == ["would write new.prototxt", "--- old.prototxt", "+++ new.prototxt"]
    assert "-  type: INNER_PRODUCT" in lines
    assert '+  type: "InnerProduct"' in lines
    assert run(["upgrade", "old.caffemodel", "--dry-run", "-q"]) == 0
    assert sorted(os.listdir()) == ["old.caffemodel", "old.prototxt"]


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ("no/new", "there is no folder no; make it first (mkdir -p)"),
        ("{}", "is an input too ({}); give the output another name"),
    ],
)
@pytest.mark.parametrize("old", ["old.prototxt", "old.caffemodel"])
def test_a_dry_run_refuses_what_the_run_would(
    old: str, output: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    output, reason = output.format(old), reason.format(old)
    for more in ([], ["--dry-run"]):
        assert run(["upgrade", old, "-o", output, "--force", *more]) == 1
        assert capsys.readouterr() == ("", f"error: {output}: {reason}\n")


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["upgrade", "old.prototxt", "--dry-run", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report.pop("diff").startswith("--- old.prototxt\n+++ upgraded\n")
    assert report.pop("steps") == [
        {
            "layer": "ip",
            "fields": ["type"],
            "before": "INNER_PRODUCT",
            "after": "InnerProduct",
            "what": '`layers` becomes `layer`, INNER_PRODUCT becomes "InnerProduct"',
        },
        {
            "layer": "ip",
            "fields": ["blobs_lr"],
            "before": "blobs_lr: 1",
            "after": "param { lr_mult: 1 }",
            "what": "blobs_lr: now in 1 `param { ... }`",
        },
        {
            "layer": None,
            "fields": ["input", "input_dim"],
            "before": "'data'",
            "after": "Input",
            "what": "input 'data' becomes a layer Input",
        },
    ]
    assert report == {
        "input": "old.prototxt",
        "kind": "prototxt",
        "generation": "V1",
        "up_to_date": False,
        "output": None,
        "dry_run": True,
    }


def test_standard_input_and_output(
    monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(OLD.encode())))
    assert run(["upgrade", "-", "-o", "-"]) == 0
    out, err = capsysbinary.readouterr()
    assert out.decode() == NEW
    assert err.decode().endswith("input 'data' becomes a layer Input\n")


def test_a_caffemodel_to_standard_output(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert run(["upgrade", "old.caffemodel", "-o", "-"]) == 0
    seen = capfdbinary.readouterr()
    assert run(["upgrade", "old.caffemodel", "-o", "new.caffemodel", "-q"]) == 0
    assert seen.out == Path("new.caffemodel").read_bytes()
    assert seen.err.decode().endswith("input 'data' becomes a layer Input\n")


def test_a_terminal_gets_text_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("netsurgery.io.terminal._on_terminal", lambda: True)
    assert run(["upgrade", "old.caffemodel", "-o", "-"]) == 1
    assert "standard output is a terminal, and what is written is not text" in (
        capsys.readouterr().err
    )
    assert run(["upgrade", "old.prototxt", "-o", "-", "-q"]) == 0
    assert capsys.readouterr().out == NEW


def test_nothing_is_written_without_a_place(folder: Path) -> None:
    before = set(folder.iterdir())
    with ns.upgrade("old.prototxt") as result:
        assert (result.text, result.written) == (NEW, ())
        assert result.net.layers[1].type == "InnerProduct"
        assert str(result) == "prototxt of V1: 3 steps"
        assert "blobs_lr" in result._repr_html_()
    with ns.upgrade("old.caffemodel") as model:
        assert set(folder.iterdir()) == before
        with pytest.raises(ns.NetError, match="a caffemodel alone has no prototxt"):
            _ = model.net
        assert model.save("saved.caffemodel") == ("saved.caffemodel",)
    assert run(["upgrade", "old.caffemodel", "-o", "new.caffemodel", "-q"]) == 0
    assert Path("saved.caffemodel").read_bytes() == Path("new.caffemodel").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["old.prototxt", "-o", "old.caffemodel"], "old.caffemodel: exists already; --force "
         "replaces it"),
        (["old.prototxt", "-o", "old.prototxt", "--force"], "old.prototxt: is an input too "
         "(old.prototxt); give the output another name"),
        (["none", "-o", "new"], "none: No such file or directory"),
        (["broken.prototxt", "-o", "new"], "broken.prototxt:2:16: found FOO, expected a type of "
         "Caffe's V1, as CONVOLUTION"),
        (["mixed.prototxt", "-o", "new"], "mixed.prototxt:2:1: `layer` here and `layers` in line "
         "1; Caffe reads only files of one kind"),
        (["mean.binaryproto", "-o", "new"], "mean.binaryproto: byte 0: a number where a net has "
         "its name; no net"),
        (["empty", "-o", "new"], "empty: is empty, expected a caffemodel"),
    ],
)  # fmt: skip
def test_refused(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("broken.prototxt").write_text("\nlayers { type: FOO }")
    Path("mixed.prototxt").write_text("layers { }\nlayer { }")
    Path("mean.binaryproto").write_bytes(b"\x08\x01\x10\x03\x18\x01\x20\x01")
    Path("empty").write_bytes(b"")
    before = sorted(os.listdir())
    assert run(["upgrade", *arguments]) == 1
    assert capsys.readouterr() == ("", f"error: {message}\n")
    assert sorted(os.listdir()) == before


def test_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["upgrade", "old.prototxt"]) == 2
    assert "missing option -o/--output, or --dry-run" in capsys.readouterr().err
    assert run(["upgrade", "old.prototxt", "-o", "-", "--json"]) == 2
    assert "--json and a file cannot both go to standard output" in capsys.readouterr().err


def test_convert_upgrades_a_v0_net_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    Path("v0.prototxt").write_text(
        'input: "data" input_dim: [1, 2, 4, 4]\n'
        'layers { layer { name: "ip" type: "innerproduct" num_output: 3 biasterm: false }\n'
        'bottom: "data" top: "ip" }\n'
    )
    command = ["convert", "v0.prototxt", "old.caffemodel", "--dry-run"]
    assert run([*command, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["layers"][0]["params"][0]["new_shape"] == [3, 2, 4, 4]
    assert report["notes"][0] == (
        "the net is of Caffe's first generation (V0): it was upgraded first, as by `upgrade`"
    )


def test_convert_answers_a_v1_net_in_v1(capsys: pytest.CaptureFixture[str]) -> None:
    text = OLD.replace("num_output: 3", "num_output: 3 bias_term: false")
    Path("old.prototxt").write_text(text)
    command = ["convert", "old.prototxt", "old.caffemodel", "--engine", "embedded", "-q"]
    assert run(command) == 0
    content = Path("old_full_conv.prototxt").read_text()
    assert "layers {" in content
    assert "type: CONVOLUTION" in content
    with Caffemodel.open("old_full_conv.caffemodel") as model:
        assert model.generation == "V1"
