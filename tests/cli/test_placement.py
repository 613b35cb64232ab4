"""Every command that says where cells lie says the same: inspect, features and classify-map."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from map_cells import cells_of
from PIL import Image

import netsurgery
from netsurgery.cli import run

FILLED = 'weight_filler { type: "gaussian" std: 0.1 }'


def layer(kind: str, top: str, bottoms: str, param: str = "") -> str:
    reads = "".join(f' bottom: "{bottom}"' for bottom in bottoms.split())
    return f'layer {{ name: "{top}" type: "{kind}"{reads} top: "{top}" {param} }}\n'


def conv(top: str, bottom: str, rest: str, kind: str = "Convolution") -> str:
    return layer(kind, top, bottom, f"convolution_param {{ num_output: 3 {rest} {FILLED} }}")


HEAD = 'input: "data" input_shape { dim: [1, 1, 40, 60] }\n'
#: FCN's padding, a pooling that rounds up, dilation; scores on a grid and brought to each pixel.
FCN = (
    HEAD
    + conv("conv1", "data", "kernel_size: 7 stride: 2 pad: 50")
    + layer("Pooling", "pool1", "conv1", "pooling_param { kernel_size: 3 stride: 2 }")
    + conv("conv2", "pool1", "kernel_size: 3 dilation: 2 pad: 2")
    + conv("grid", "conv2", "kernel_size: 5")
    + conv("up", "grid", "kernel_size: 7 stride: 4", "Deconvolution")
    + layer("Crop", "crop", "up data", "crop_param { axis: 2 offset: 40 }")
    + layer("Interp", "interp", "grid", "interp_param { zoom_factor: 4 }")
    + layer("Upsample", "upsample", "grid", "upsample_param { scale: 4 }")
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: the net with weights, and a picture of its input's size."""
    for name in list(os.environ):
        if name.startswith("NETSURGERY_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("NETSURGERY_ENGINE", "embedded")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.prototxt").write_text(FCN)
    assert run(["init", "net.prototxt", "-o", "net.caffemodel", "-q"]) == 0
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60), np.uint8)).save("p.png")
    return tmp_path


MODEL = ["--prototxt", "net.prototxt", "--weights", "net.caffemodel"]


def facts(args: list[str], capsys: pytest.CaptureFixture[str]) -> Any:
    assert run([*args, "--json", "-q"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("blob", ["grid", "up", "crop", "interp", "upsample"])
def test_all_say_the_same(folder: Path, capsys: pytest.CaptureFixture[str], blob: str) -> None:
    layers = facts(["inspect", "net.prototxt", "--field"], capsys)["layers"]
    (field,) = next(item["fields"] for item in layers if item["name"] == blob)
    args = ["features", "p.png", *MODEL, "--blob", blob, "-o", "f.npz", "--size", "image"]
    (image,) = facts(args, capsys)["images"]
    (feature,) = image["blobs"]
    assert {key: feature[key] for key in ("stride", "offset", "field", "window")} == {
        "stride": field["stride"],
        "offset": field["offset"],
        "field": field["size"],
        "window": None,
    }
    args = ["classify-map", "p.png", *MODEL, "--blob", blob, "--size", "image"]
    for cell in cells_of(facts(args, capsys)):
        at = cell.column, cell.row
        low = [field["offset"][1 - i] + field["stride"][1 - i] * at[i] for i in range(2)]
        high = [low[i] + field["size"][1 - i] for i in range(2)]
        assert cell.window == pytest.approx([*low, *high])
    with netsurgery.Net("net.prototxt", "net.caffemodel") as net:
        of_python = net.fields()[blob]
    assert [float(each) for each in of_python.offset] == field["offset"]
    assert run(["classify-map", "p.png", *MODEL, "--blob", blob, "--size", "image", "-q",
                "--picture", "map.png"]) == 0  # fmt: skip


def test_the_first_cell_lies_where_the_padding_begins(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = ["classify-map", "p.png", *MODEL, "--blob", "conv1", "--size", "image"]
    assert next(cells_of(facts(args, capsys))).window == [-50, -50, -43, -43]
    first = next(cells_of(facts([*args, "--window", "17x9"], capsys)))
    assert first.window == [-51, -55, -42, -38]


GATED = (
    HEAD
    + conv("conv1", "data", "kernel_size: 3 stride: 2")
    + layer("Pooling", "pooled", "conv1", "pooling_param { pool: AVE global_pooling: true }")
    + layer("Reshape", "gate", "pooled", "reshape_param { shape { dim: [0, 0] } }")
    + layer("Scale", "scaled", "conv1 gate", "scale_param { axis: 0 }")
)


def test_cells_behind_a_gate_see_the_whole_picture(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("net.prototxt").write_text(GATED)
    assert run(["init", "net.prototxt", "-o", "net.caffemodel", "-q", "--force"]) == 0
    layers = facts(["inspect", "net.prototxt", "--field"], capsys)["layers"]
    whole = {each["name"]: each["fields"][0]["whole"] for each in layers if each["fields"][0]}
    assert whole == {"conv1": False, "pooled": True, "scaled": True}
    args = ["features", "p.png", *MODEL, "--size", "image", "-o", "f.npz"]
    (image,) = facts([*args, "--blob", "scaled", "--blob", "pooled"], capsys)["images"]
    scaled, pooled = (
        {key: blob[key] for key in ("stride", "offset", "field")} for blob in image["blobs"]
    )
    assert scaled == {"stride": [2, 2], "offset": None, "field": None}
    assert pooled == {"stride": [2, 2], "offset": [0, 0], "field": [39, 59]}
