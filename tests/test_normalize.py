"""SSD's Normalize behind a converted InnerProduct, run by the embedded engine: Caffe has none."""

from __future__ import annotations

from pathlib import Path

import pytest

from netsurgery.cli import run

NET = """\
input: "data" input_dim: [1, 2, 6, 6]
layer { name: "ip1" type: "InnerProduct" bottom: "data" top: "ip1"
  inner_product_param { num_output: 6 weight_filler { type: "xavier" } } }
layer { name: "norm" type: "Normalize" bottom: "ip1" top: "norm"
  norm_param { across_spatial: ACROSS channel_shared: SHARED
    scale_filler { type: "gaussian" std: 4 } } }
layer { name: "ip2" type: "InnerProduct" bottom: "norm" top: "ip2"
  inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NETSURGERY_ENGINE", "embedded")


def make(across: str, shared: str) -> None:
    Path("net.prototxt").write_text(NET.replace("ACROSS", across).replace("SHARED", shared))
    assert run(["init", "-q", "net.prototxt", "-o", "net.caffemodel", "--seed", "3"]) == 0


@pytest.mark.parametrize("shared", ["true", "false"])
def test_each_cell_is_the_classifier_on_its_window(
    shared: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """--verify runs the old net on each window of the new one's input."""
    make("false", shared)
    assert run(["convert", "net.prototxt", "net.caffemodel", "--verify"]) == 0
    out = capsys.readouterr().out
    assert "verified: output ip2 agrees, to " in out
    assert "verified: map ip2-conv has each window's top class in 64 of 64 cells, to " in out
    assert "not meant to be equal" not in out


def test_a_norm_over_all_positions_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    make("true", "true")
    assert run(["convert", "net.prototxt", "net.caffemodel"]) == 1
    assert capsys.readouterr().err == (
        "error: net.prototxt: layer 'norm': a Normalize looks at the whole map at once\n"
    )


@pytest.mark.parametrize("more", ["", "normalize_param { normalize_type: 'L1' }"])
def test_that_of_the_face_forks(more: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It has no params, and takes a vector for a map of one cell."""
    text = NET.replace(
        NET[NET.index("  norm_param") : NET.index('layer { name: "ip2"')], f"{more} }}\n"
    )
    Path("net.prototxt").write_text(text)
    assert run(["init", "-q", "net.prototxt", "-o", "net.caffemodel", "--seed", "3"]) == 0
    assert run(["convert", "net.prototxt", "net.caffemodel", "--verify"]) == 0
    out = capsys.readouterr().out
    assert "verified: map ip2-conv has each window's top class in 64 of 64 cells, to " in out
    assert run(["export", "net.prototxt", "net.caffemodel", "-o", "net.onnx"]) == 0


def test_a_param_for_one_that_has_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """A model of SSD's Normalize, and a text that says nothing of it."""
    make("false", "true")
    text = Path("net.prototxt").read_text()
    start, end = text.index("  norm_param"), text.index('layer { name: "ip2"')
    Path("bare.prototxt").write_text(text[:start] + "}\n" + text[end:])
    assert run(["verify", "net.prototxt", "net.caffemodel", "bare.prototxt", "net.caffemodel"]) == 2
    error = "layer 'norm' (Normalize): net.caffemodel has 1 param for it, expected 0"
    assert error in capsys.readouterr().err
