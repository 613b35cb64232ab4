from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from netsurgery.cli import run
from netsurgery.cli.verify import command as verify_command
from netsurgery.formats.caffemodel import Caffemodel
from netsurgery.verbs.verify import TOLERANCE

OLD = ["deploy.prototxt", "model.caffemodel"]
NEW = ["deploy_full_conv.prototxt", "model_full_conv.caffemodel"]

PADDED = """
input: "data" input_shape { dim: [1, 1, 8, 8] }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool"
  pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "fc" type: "InnerProduct" bottom: "pool" top: "fc"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
"""


@pytest.fixture
def folder(tmp_path: Path, repo_root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: the bundled net, and what convert made of it."""
    for name in list(os.environ):
        if name.startswith("NETSURGERY_") and name != "NETSURGERY_CAFFE_PYTHON":
            monkeypatch.delenv(name)
    monkeypatch.setenv("NETSURGERY_ENGINE", "embedded")
    monkeypatch.chdir(tmp_path)
    digits = repo_root / "prototxt" / "digits_deploy.prototxt"
    (tmp_path / "deploy.prototxt").write_bytes(digits.read_bytes())
    weights = repo_root / "models" / "digits" / "digits.caffemodel"
    (tmp_path / "model.caffemodel").write_bytes(weights.read_bytes())
    assert run(["convert", *OLD, "-q"]) == 0
    return tmp_path


def tamper(path: str, layer: str, value: float) -> None:
    with Caffemodel.open(path) as weights:
        packed = weights.layer(layer).blobs[0].packed
    assert packed is not None
    content = bytearray(Path(path).read_bytes())
    start = packed[0] + 4 * 288
    content[start : start + 4] = np.float32(value).tobytes()
    Path(path).write_bytes(content)


def as_json(args: list[str], capsys: pytest.CaptureFixture[str], code: int = 0) -> Any:
    assert run(["verify", *args, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def test_the_same_function(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["verify", *OLD, *NEW]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "no difference in the outputs on 1 random input (tolerance 1e-05 relative)"
    assert lines[1].startswith("1 random input for data 1x1x32x32, by embedded (ONNX Runtime ")
    assert lines[2].split() == ["output", "in", "B", "shape", "max", "difference", "relative"]
    assert [line.split()[:5] for line in lines[3:5]] == [
        ["ip2", "ip2-conv", "1x11", "->", "1x11x1x1"],
        ["prob", "prob", "1x11", "->", "1x11x1x1"],
    ]
    assert lines[5] == "params: 8 equal, 2 reshaped"
    assert lines[8] == (
        "map prob: 8x8 cells of an input of 1x1x88x88, each against A on its window of 32x32:"
    )
    assert lines[9].startswith("    top class agrees in 64 of 64, max difference ")
    assert len(lines) == 10


def test_nets_without_a_map(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["verify", *OLD, *OLD]) == 0
    assert capsys.readouterr().out.splitlines()[2:] == [
        "output  in B  shape  max difference  relative",
        "ip2     ip2   1x11                0         0",
        "prob    prob  1x11                0         0",
        "params: 10 equal",
    ]


def test_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    facts = as_json([*OLD, *NEW, "--random", "2"], capsys)
    assert facts["same"] is True
    assert facts["samples"] == 2
    assert facts["inputs"] == {"data": [1, 1, 32, 32]}
    assert facts["first_difference"] is None
    class_map = facts["maps"][1]
    assert class_map["top_class_agrees"] == class_map["cells"] == 64
    assert class_map["inexact_because"] == []
    assert {(param["layer"], param["status"]) for param in facts["params"]} >= {
        ("conv1", "equal"),
        ("ip1", "reshaped"),
    }


def test_a_tampered_copy(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tamper(NEW[1], "conv2", 3.0)
    assert run(["verify", *OLD, *NEW]) == 1
    out = capsys.readouterr().out
    assert "first blob that differs: conv2 of layer conv2, by " in out
    assert "params: 7 equal, 2 reshaped, 1 different (conv2[0])\n" in out
    assert out.startswith("not the same function (tolerance 1e-05 relative)\n")
    facts = as_json([*OLD, *NEW], capsys, 1)
    assert facts["same"] is False
    assert facts["first_difference"]["layer"] == "conv2"
    assert run(["verify", *OLD, *NEW, "--tolerance", "1e9"]) == 0


def test_what_agrees_is_not_called_the_same(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Caffemodel.open(OLD[1]) as weights:
        value = weights.layer("conv2").blobs[0].numpy().flat[288]
    Path("other.caffemodel").write_bytes(Path(OLD[1]).read_bytes())
    tamper("other.caffemodel", "conv2", np.nextafter(value, np.float32(9)))
    tampered_net = [OLD[0], "other.caffemodel"]
    assert run(["verify", *OLD, *tampered_net, "--random", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "params: 9 equal, 1 different (conv2[0])"
    assert lines[0] == (
        "no difference in the outputs on 2 random inputs; params differ (tolerance 1e-05 relative)"
    )


def test_inner_blobs_that_differ_are_reported(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    layer = 'layer { name: "%s" type: "Power" bottom: "%s" top: "%s" power_param { scale: %s } }\n'
    for name, scales in (("a", (2, 1)), ("b", (1, 2))):
        text = 'input: "x" input_shape { dim: [1, 1, 4, 4] }\n'
        text += layer % ("p", "x", "p", scales[0]) + layer % ("q", "p", "q", scales[1])
        Path(f"{name}.prototxt").write_text(text)
        assert run(["init", f"{name}.prototxt", "-o", f"{name}.caffemodel", "-q"]) == 0
    capsys.readouterr()
    nets = [f"{name}.{kind}" for name in "ab" for kind in ("prototxt", "caffemodel")]
    assert run(["verify", *nets]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].startswith("first blob that differs: p of layer p, by ")
    assert lines[0] == (
        "no difference in the outputs on 1 random input; internal blobs differ while the outputs "
        "agree (tolerance 1e-05 relative)"
    )


def test_nan_is_null_in_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tamper(NEW[1], "conv2", float("nan"))
    facts = as_json([*OLD, *NEW], capsys, 1)
    assert facts["first_difference"]["relative"] is None
    assert facts["outputs"][-1]["absolute"] is None


def test_quiet(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["verify", *OLD, *NEW, "-q"]) == 0
    tamper(NEW[1], "conv2", 3.0)
    assert run(["verify", *OLD, *NEW, "-q"]) == 1
    assert capsys.readouterr() == ("", "")


def test_pictures(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed in range(2):
        pixels = np.random.default_rng(seed).integers(0, 256, (40, 50), np.uint8)
        Image.fromarray(pixels).save(f"{seed}.png")
    facts = as_json([*OLD, *NEW, "--image", "0.png", "--image", "1.png"], capsys)
    assert facts["samples"] == 2
    assert [class_map["cells"] for class_map in facts["maps"]] == [128, 128]
    assert as_json([*OLD, *NEW, "--image", "0.png", "--random", "3"], capsys)["samples"] == 4
    assert run(["verify", *OLD, *NEW, "--image", "0.png", "--random", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("1 picture and 3 random inputs for data 1x1x32x32, by embedded")


def test_pictures_are_made_ready_as_the_settings_say(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.fromarray(np.full((40, 40), 255, np.uint8)).save("white.png")
    args = [*OLD, *OLD, "--image", "white.png"]
    with Path("netsurgery.toml").open("a") as file:
        file.write("[preprocess]\nmean = [1, 2]\n")
    assert run(["verify", *args]) == 2
    assert capsys.readouterr().err == (
        f"error: {folder}/netsurgery.toml: mean: mean 1,2: 2 channels, but the net's input has 1; "
        "--mean takes a number a channel, one for all, or a file of 1 x height x width\n"
    )
    assert run(["verify", *args, "--mean", "0.5", "-q"]) == 0


def test_padding_is_reported_and_does_not_decide(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("padded.prototxt").write_text(PADDED)
    padded = ["padded.prototxt", "padded.caffemodel"]
    assert run(["init", padded[0], "-o", padded[1], "-q", "--seed", "1"]) == 0
    assert run(["convert", *padded, "-q"]) == 0
    converted = [f"padded_full_conv.{kind}" for kind in ("prototxt", "caffemodel")]
    (class_map,) = as_json([*padded, *converted], capsys)["maps"]
    assert class_map["inexact_because"] == ["'conv' pads by 1"]
    assert class_map["relative"] > 0.01
    assert run(["verify", *padded, *converted]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "no difference in the outputs on 1 random input (tolerance 1e-05 relative)"
    assert lines[-2:] == [
        "    not meant to be equal: 'conv' pads by 1",
        "    (there A meets the edge of its window, and the map the pixels beyond it)",
    ]


@pytest.mark.parametrize(
    ("args", "what"),
    [
        (["nowhere.prototxt", OLD[1], *NEW], "nowhere.prototxt: No such file or directory"),
        ([OLD[0], "nowhere", *NEW], "nowhere: No such file or directory"),
        ([*OLD, *NEW, "--image", "nowhere.png"], "nowhere.png: No such file or directory"),
        ([OLD[1], OLD[0], *NEW], None),
    ],
)
def test_trouble_is_two(
    folder: Path, args: list[str], what: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["verify", *args]) == 2
    seen = capsys.readouterr()
    assert seen.out == ""
    assert seen.err.count("\n") == 1
    assert what is None or seen.err == f"error: {what}\n"


@pytest.mark.parametrize(
    "args", [["--engines", "caffe"], ["--engines", "caffe,x"], ["--random", "0"], ["--seed", "-1"]]
)
def test_wrong_usage(folder: Path, args: list[str]) -> None:
    assert run(["verify", *OLD, *NEW, *args]) == 2


def test_two_engines(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    facts = as_json([*OLD, *NEW, "--engines", "embedded,embedded"], capsys)
    assert [facts["engines"][each]["name"] for each in ("first", "second")] == ["embedded"] * 2


def test_convert_verifies(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["convert", *OLD, "--verify", "-o", "out"]) == 0
    out = capsys.readouterr().out
    assert "verified: output prob agrees, to " in out
    assert "verified: map prob has each window's top class in 64 of 64 cells, to " in out
    assert run(["convert", *OLD, "--verify", "-o", "again", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["verified"]["same"] is True


def test_convert_writes_nothing_where_the_nets_differ(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from netsurgery.verbs import conversion as job

    move = job._move

    def broken(plan: Any, model: Any, outputs: Any, places: Any, *rest: Any) -> Any:
        by = move(plan, model, outputs, places, *rest)
        tamper(outputs[places.weights].temporary, "conv2", 3.0)
        return by

    monkeypatch.setattr(job, "_move", broken)
    before = sorted(os.listdir())
    assert run(["convert", *OLD, "--verify", "-o", "out"]) == 1
    assert sorted(os.listdir()) == before
    err = capsys.readouterr().err
    assert err.startswith(
        "error: the converted net is not the same function: "
        "blob 'conv2' of layer 'conv2' is the first that differs, by "
    )


def test_verify_and_dry_run_exclude_each_other(folder: Path) -> None:
    assert run(["convert", *OLD, "--verify", "--dry-run"]) == 2


def test_a_tolerance_is_a_number(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["verify", *OLD, *NEW, "--tolerance", "nan"]) == 2
    assert "--tolerance: 'nan' is not a number" in capsys.readouterr().err


CONV = (
    'layer { name: "c" type: "Convolution" bottom: "x" top: "c" convolution_param { num_output: 3 '
)
CONV += 'kernel_size: 3 stride: 3 weight_filler { type: "xavier" } } }\n'
SHRUNK = (
    'input: "x" input_shape { dim: [1, 1, 21, 21] }\n'
    + CONV
    + 'layer { name: "i" type: "Interp" bottom: "c" top: "i" interp_param { %s } }\n'
    + 'layer { name: "fc" type: "InnerProduct" bottom: "i" top: "fc" inner_product_param { '
    + 'num_output: 4 weight_filler { type: "xavier" } } }\n'
)


@pytest.mark.parametrize(
    ("interp", "size", "why"),
    [
        ("zoom_factor: 2", "39x39", "its total stride is 1.5 x 1.5 pixels, no whole number"),
        ("shrink_factor: 2", "38x38",
         "its total stride at an input of 1x1x38x38 is not that at the window"),
    ],
)  # fmt: skip
def test_a_map_that_cannot_be_compared_is_not_verified(
    folder: Path, capsys: pytest.CaptureFixture[str], interp: str, size: str, why: str
) -> None:
    Path("s.prototxt").write_text(SHRUNK % interp)
    old = ["s.prototxt", "s.caffemodel"]
    assert run(["init", old[0], "-o", old[1], "-q"]) == 0
    assert run(["convert", *old, "--input-size", size, "--verify", "--force"]) == 0
    said = f"not verified: map fc-conv could not be checked: {why}"
    out = capsys.readouterr().out
    assert said in out
    assert "verified: output fc agrees" in out
    assert "verified: map" not in out.replace(said, "")
    new = ["s_full_conv.prototxt", "s_full_conv.caffemodel"]
    assert run(["verify", *old, *new]) == 2
    lines = capsys.readouterr().out.splitlines()
    assert f"map fc-conv: could not be checked: {why}" in lines
    assert "a map could not be checked, so the nets are not verified" in lines[0]
    facts = as_json([*old, *new], capsys, 2)
    assert facts["same"] is None
    assert facts["unchecked"] == [
        {"blob": "fc", "new_blob": "fc-conv", "what": "map", "reason": why}
    ]
    tamper_last(new[1])
    assert run(["verify", *old, *new, "-q"]) == 1


def tamper_last(path: str) -> None:
    with Caffemodel.open(path) as weights:
        packed = weights.layer("fc-conv").blobs[0].packed
    assert packed is not None
    content = bytearray(Path(path).read_bytes())
    content[packed[0] : packed[0] + 4] = np.float32(9).tobytes()
    Path(path).write_bytes(content)


def test_a_map_of_two_inputs_is_not_verified(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each grows; which windows of the two a cell is of, nothing says."""
    text = CONV.replace("num_output", "bias_term: false num_output")
    both = text + text.replace('"x"', '"y"').replace('"c"', '"d"')
    both += 'layer { name: "j" type: "Eltwise" bottom: "c" bottom: "d" top: "j" }\n'
    head = "".join(f'input: "{name}" input_shape {{ dim: [1, 1, 9, 9] }} ' for name in "xy")
    dense = SHRUNK.splitlines()[-1].replace('bottom: "i"', 'bottom: "j"')
    Path("two.prototxt").write_text(f"{head}\n{both}{dense}\n")
    old = ["two.prototxt", "two.caffemodel"]
    assert run(["init", old[0], "-o", old[1], "-q"]) == 0
    assert run(["convert", *old, "--map-size", "2x2", "--verify", "-q"]) == 0
    new = ["two_full_conv.prototxt", "two_full_conv.caffemodel"]
    facts = as_json([*old, *new], capsys, 2)
    why = "a window can be cut out of one input, N x C x H x W, only"
    assert facts["unchecked"] == [
        {"blob": "fc", "new_blob": "fc-conv", "what": "map", "reason": why}
    ]


def test_cells_between_those_of_a_layer_before_are_not_meant_to_be_equal(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (SHRUNK % "zoom_factor: 2").replace("stride: 3", "stride: 2")
    Path("s.prototxt").write_text(text)
    old = ["s.prototxt", "s.caffemodel"]
    assert run(["init", old[0], "-o", old[1], "-q"]) == 0
    assert run(["convert", *old, "--map-size", "3x3", "--verify"]) == 0
    reason = "'c' has a cell every 2 x 2 pixels only"
    assert "not verified: map fc-conv has each" in capsys.readouterr().out
    new = ["s_full_conv.prototxt", "s_full_conv.caffemodel"]
    (class_map,) = as_json([*old, *new], capsys)["maps"]
    assert class_map["inexact_because"] == [reason]
    assert class_map["relative"] > 1e-3


def test_a_padded_map_is_not_called_verified(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("padded.prototxt").write_text(PADDED)
    padded = ["padded.prototxt", "padded.caffemodel"]
    assert run(["init", padded[0], "-o", padded[1], "-q", "--seed", "1"]) == 0
    assert run(["convert", *padded, "--verify"]) == 0
    maps = [line for line in capsys.readouterr().out.splitlines() if "verified: map" in line]
    assert len(maps) == 1
    assert maps[0].startswith("not verified: map ")
    assert maps[0].endswith("(not meant to be equal: 'conv' pads by 1)")


def test_the_command_and_the_call_have_one_tolerance() -> None:
    (option,) = (each for each in verify_command.params if each.name == "tolerance")
    assert option.default == TOLERANCE
