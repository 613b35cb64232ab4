"""`verify` in real Caffe, alone and against the embedded engine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import netsurgery as ns
from netsurgery.cli import run
from netsurgery.engines.contract import EngineChoice
from netsurgery.formats.caffemodel import Caffemodel

pytestmark = [pytest.mark.caffe, pytest.mark.usefixtures("option_names")]

NETS = {
    "digits": ("prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel"),
    "lenet": ("models/lenet/lenet.prototxt", "models/lenet/lenet_iter_10000.caffemodel"),
    "det2": ("models/mtcnn/det2.prototxt", "models/mtcnn/det2.caffemodel"),
}
V0 = """\
input: "data" input_dim: [1, 2, 9, 9]
layers { layer { name: "c" type: "conv" num_output: 4 kernelsize: 3 stride: 2
  weight_filler { type: "xavier" } } bottom: "data" top: "c" }
layers { layer { name: "fc" type: "innerproduct" num_output: 3 weight_filler { type: "xavier" } }
  bottom: "c" top: "fc" }
layers { layer { name: "prob" type: "softmax" } bottom: "fc" top: "prob" }
"""


def net_files(name: str, request: pytest.FixtureRequest) -> list[str]:
    """A net and its weights: prototxt, caffemodel."""
    root = request.getfixturevalue("repo_root" if name == "digits" else "shared_data")
    return [str(root / path) for path in NETS[name]]


def converted(old: list[str], folder: Path) -> list[str]:
    assert run(["convert", *old, "-o", str(folder), "-q", "--engine", "embedded"]) == 0
    return [
        str(folder / f"{Path(path).stem}_full_conv{suffix}")
        for path, suffix in zip(old, (".prototxt", ".caffemodel"), strict=True)
    ]


def verified(
    args: list[str], capsys: pytest.CaptureFixture[str], python: str, code: int = 0
) -> Any:
    assert run(["verify", *args, "--json", "--caffe-python", python]) == code
    return json.loads(capsys.readouterr().out)


def tamper(path: str, layer: str) -> None:
    with Caffemodel.open(path) as weights:
        packed = weights.layer(layer).blobs[1].packed
    assert packed is not None
    content = bytearray(Path(path).read_bytes())
    content[packed[0] : packed[0] + 4] = np.float32(7).tobytes()
    Path(path).write_bytes(content)


@pytest.mark.parametrize(
    ("name", "engines"),
    [("digits", "caffe,caffe"), ("digits", "caffe,embedded"), ("lenet", "embedded,caffe")],
)
def test_without_padding_every_cell_is_the_classifier(
    name: str,
    engines: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    caffe_python: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    old = net_files(name, request)
    facts = verified([*old, *converted(old, tmp_path), "--engines", engines], capsys, caffe_python)
    assert [engine["name"] for engine in facts["engines"].values()] == engines.split(",")
    assert facts["first_difference"] is None
    assert len(facts["maps"]) == 2
    for class_map in facts["maps"]:
        assert class_map["inexact_because"] == []
        assert class_map["map_size"] == [8, 8]
        assert class_map["top_class_agrees"] == class_map["cells"] == 64
        assert class_map["relative"] <= 1e-5


def test_a_pooling_that_hangs_over_makes_cells_depart(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    caffe_python: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    old = net_files("det2", request)
    args = [*old, *converted(old, tmp_path), "--engine", "caffe"]
    facts = verified(args, capsys, caffe_python)
    assert [param["blob"] for param in facts["outputs"]] == ["conv5-2", "conv5-1", "prob1"]
    assert all(param["relative"] <= 1e-5 for param in facts["outputs"])
    statuses = [param["status"] for param in facts["params"]]
    assert statuses.count("reshaped") == 3
    assert set(statuses) == {"equal", "reshaped"}
    for class_map in facts["maps"]:
        assert class_map["inexact_because"] == [
            "'pool1' has a last window that hangs over the edge"
        ]
        assert class_map["relative"] > 1e-3


@pytest.mark.parametrize(("layer", "blob"), [("conv2", "conv2"), ("conv4-conv", "conv4")])
def test_a_tampered_copy_is_found(
    layer: str,
    blob: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    caffe_python: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    old = net_files("det2", request)
    new = converted(old, tmp_path)
    tamper(new[1], layer)
    facts = verified([*old, *new, "--engine", "caffe"], capsys, caffe_python, 1)
    assert facts["first_difference"]["blob"] == blob
    different = [param["new_layer"] for param in facts["params"] if param["status"] == "different"]
    assert different == [layer]


def test_the_engines_agree_on_a_real_net(
    shared_data: Path, caffe_python: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shared_data / "models" / "squeezenet"
    net = [str(folder / "SqueezeNet_deploy.prototxt"), str(folder / "squeezenet.caffemodel")]
    args = ["--engines", "caffe,embedded", "--image", str(shared_data / "bvlc" / "cat.jpg")]
    ready = ["--raw-scale", "255", "--mean", "104,117,123", "--channel-swap", "2,1,0"]
    facts = verified([*net, *net, *args, *ready], capsys, caffe_python)
    assert facts["first_difference"] is None
    assert 0 < facts["outputs"][0]["relative"] <= 1e-5


def test_convert_verifies_in_caffe(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    caffe_python: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    old = net_files("det2", request)
    args = ["convert", *old, "--verify", "-o", str(tmp_path), "--json", "--engine", "caffe"]
    assert run([*args, "--caffe-python", caffe_python]) == 0
    facts = json.loads(capsys.readouterr().out)["verified"]
    assert facts["same"] is True
    assert facts["engines"]["first"]["description"].startswith("caffe 1.0.0")


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("engine", ["caffe", "embedded"])
def test_a_conversion_of_a_v0_net_is_verified(
    engine: EngineChoice, mark: str, caffe_python: str, tmp_path: Path
) -> None:
    net = tmp_path / "v0.prototxt"
    net.write_text(mark + V0, encoding="utf-8")
    ns.init(net, tmp_path / "m.caffemodel")
    options = ns.EngineOptions(engine, caffe_python=caffe_python)
    with ns.convert(
        net, tmp_path / "m.caffemodel", tmp_path / "new", verify=True, engine=options
    ) as conversion:
        assert conversion.verification is not None
        assert conversion.verification.verified
        assert [each.check.blob for each in conversion.verification.maps] == ["fc", "prob"]
