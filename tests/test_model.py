"""A net with its weights, and what reads params that are not those of the net."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
from small_models import model_layer, write_hdf5, write_model

from netsurgery.cli import run
from netsurgery.errors import CaffemodelError, NetError
from netsurgery.formats import weights as formats
from netsurgery.formats.textformat import parse
from netsurgery.io.files import OutputFile
from netsurgery.net import net_with_weights as models
from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.net.shapes import infer

NET = """
name: "n" input: "data" input_shape { dim: [1, 3, 8, 8] }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 CONV } }
layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "bn" }
layer { name: "scale" type: "Scale" bottom: "bn" top: "bn" SCALE }
layer { name: "relu" type: "ReLU" bottom: "bn" top: "bn" }
layer { name: "fc" type: "InnerProduct" bottom: "bn" top: "fc"
  inner_product_param { num_output: 5 FC } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
"""
BARE = {"CONV": "bias_term: false", "SCALE": "", "FC": "bias_term: false"}
BIASED = {"CONV": "", "SCALE": "scale_param { bias_term: true }", "FC": ""}


def text(params_kept: dict[str, str]) -> str:
    net_text = NET
    for word, value in params_kept.items():
        net_text = net_text.replace(word, value)
    return net_text


def biased(*layers: str) -> str:
    """The net in which these layers have a bias, "CONV", "SCALE" and "FC"."""
    return text({word: (BIASED if word in layers else BARE)[word] for word in BARE})


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("net.prototxt").write_text(biased())
    return tmp_path


def model_of(*layers: str) -> str:
    """A model in which these layers have a bias, unlike those of net.prototxt."""
    Path("as_trained.prototxt").write_text(biased(*layers))
    assert run(["init", "-q", "as_trained.prototxt", "-o", "m.caffemodel", "--force"]) == 0
    return "m.caffemodel"


def with_five_params(path: str) -> None:
    """Give the BatchNorm of a model the scale and bias that NVCaffe's has."""
    from caffe_schema import caffe_messages

    net = caffe_messages().NetParameter.FromString(Path(path).read_bytes())
    (bn,) = (layer for layer in net.layer if layer.name == "bn")
    for _ in range(2):
        bn.blobs.add(data=[1.0] * 4).shape.dim.append(4)
    Path(path).write_bytes(net.SerializeToString())


def edit(operation: str) -> list[str]:
    return ["edit", "net.prototxt", "m.caffemodel", "-o", "e", "--prototxt-out", "e.txt", operation]


VERIFY = ["verify", *["net.prototxt", "m.caffemodel"] * 2, "--engine", "embedded"]
CONVERT = ["convert", "net.prototxt", "m.caffemodel", "-o", "o", "--engine", "embedded"]
EXPORT = ["export", "net.prototxt", "m.caffemodel", "-o", "e.onnx"]
FILL = ["init", "net.prototxt", "--missing", "m.caffemodel", "-o", "e"]
FROM, ONTO = (
    ["transplant", *pair, "-o", "e"]
    for pair in (
        ["net.prototxt", "m.caffemodel", "net.prototxt", "whole.caffemodel"],
        ["net.prototxt", "whole.caffemodel", "net.prototxt", "m.caffemodel"],
    )
)


@pytest.mark.parametrize(
    ("layer", "command"),
    [
        ("SCALE", edit("fold")),
        ("SCALE", edit("fold:scale")),
        ("SCALE", edit("fold:bn")),
        ("SCALE", edit("outputs:conv:keep=0,1")),
        ("CONV", edit("fold")),
        ("CONV", edit("fold-mean:1,2,3")),
        ("CONV", edit("fold-scale:2")),
        ("CONV", edit("swap-input-channels")),
        ("CONV", edit("swap-input-channels:conv")),
        ("CONV", edit("outputs:conv:keep=0,1")),
        ("CONV", edit("rgb-to-grey")),
        ("FC", edit("outputs:fc:keep=0,1")),
        ("FC", edit("outputs:conv:drop=0")),
        ("FC", CONVERT),
        ("FC", FROM),
        ("FC", ONTO),
        ("FC", FILL),
        ("SCALE", VERIFY),
        ("SCALE", EXPORT),
        ("BN", VERIFY),
        ("BN", EXPORT),
        ("BN", FILL),
        ("BN", edit("fold")),
        ("BN", edit("fold:bn")),
        ("BN", edit("outputs:conv:keep=0,1")),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value[:1] + value[7:8]),
)
def test_whatever_computes_from_a_layers_params_holds_them_against_the_net(
    folder: Path, capsys: pytest.CaptureFixture[str], layer: str, command: list[str]
) -> None:
    """One param more in the model than in the net, two for a BatchNorm: none is thrown away."""
    model_of()
    Path("m.caffemodel").rename("whole.caffemodel")
    with_five_params(model_of()) if layer == "BN" else model_of(layer)
    before = sorted(folder.iterdir())
    assert run(command) == (2 if command is VERIFY else 1)
    message = capsys.readouterr().err
    name = {"SCALE": "scale", "CONV": "conv", "FC": "fc", "BN": "bn"}[layer]
    has, expected = (5, 3) if layer == "BN" else (2, 1)
    assert f"layer {name!r}" in message
    assert f" has {has} params for it, expected {expected}" in message
    assert sorted(folder.iterdir()) == before


def test_layers_that_an_operation_does_not_touch_do_not_stop_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with_five_params(model_of())
    assert run(edit("outputs:fc:keep=0,1")) == 0
    assert run([*edit("conv[0]*=2"), "--force"]) == 0
    capsys.readouterr()
    assert run(CONVERT) == 0
    note = "layer 'bn': the model has 5 params for it, expected 3: kept as it is in the model"
    assert note in " ".join(capsys.readouterr().out.split())
    for path in ("e", "o/m_full_conv.caffemodel"):
        with (
            NetWithWeights.open("net.prototxt", path) as written_net,
            NetWithWeights.open("net.prototxt", "m.caffemodel") as model,
        ):
            new, old = written_net.stored["bn"].blobs, model.stored["bn"].blobs
            assert [blob.numpy().tolist() for blob in new] == [b.numpy().tolist() for b in old]


@pytest.mark.parametrize("suffix", ["", ".h5"])
def test_a_transplant_keeps_layers_that_it_does_not_touch(
    folder: Path, capsys: pytest.CaptureFixture[str], suffix: str
) -> None:
    """The BatchNorm is in either net: in the source it goes nowhere, in the target it stays."""
    Path(model_of()).rename("whole.caffemodel")
    with_five_params(model_of())
    Path("other.prototxt").write_text(biased().replace('name: "bn"', 'name: "other"'))
    odd, whole = ["net.prototxt", "m.caffemodel"], ["other.prototxt", "whole.caffemodel"]
    assert run(["init", "-q", "other.prototxt", "-o", "whole.caffemodel", "--force"]) == 0
    what = "the model has 5 params for it, expected 3".replace("the model", "m.caffemodel")
    assert run(["transplant", *odd, *whole, "-o", f"a{suffix}"]) == 0
    assert f"layer 'bn': {what}: left out" in " ".join(capsys.readouterr().out.split())
    assert run(["transplant", *whole, *odd, "-o", f"b{suffix}"]) == 0
    assert f"layer 'bn': {what}: kept as it is" in " ".join(capsys.readouterr().out.split())
    with NetWithWeights.open("other.prototxt", f"a{suffix}") as written:
        assert "bn" not in written.stored
    with NetWithWeights.open("net.prototxt", f"b{suffix}") as written:
        assert len(written.stored["bn"].blobs) == 5


def test_a_new_file_has_the_nets_shapes(folder: Path) -> None:
    """A blob of 2014 has four axes, whatever the param has; in HDF5 Caffe wants the param's own."""
    from caffe_schema import caffe_messages

    net = caffe_messages().NetParameter.FromString(Path(model_of()).read_bytes())
    for layer in net.layer:
        for blob in layer.blobs:
            sizes = [*[1] * (4 - len(blob.shape.dim)), *blob.shape.dim]
            blob.num, blob.channels, blob.height, blob.width = sizes
            blob.ClearField("shape")
    Path("m.caffemodel").write_bytes(net.SerializeToString())
    assert run(["edit", "net.prototxt", "m.caffemodel", "-o", "e.h5", "conv[0]*=2"]) == 0
    with NetWithWeights.open("net.prototxt", "e.h5") as written:
        shapes = {
            name: [blob.shape for blob in written.stored[name].blobs] for name in written.stored
        }
        assert shapes == {name: [*of] for name, of in written.fit.expected.items() if of}


def test_weights_are_opened_when_they_are_asked_for(folder: Path) -> None:
    with NetWithWeights.open("net.prototxt", "absent.caffemodel") as model:
        assert model.net.name == "n"
        assert model.files == ["net.prototxt", "absent.caffemodel"]
        with pytest.raises(CaffemodelError):
            _ = model.weights
    with NetWithWeights.open("net.prototxt") as alone:
        assert not alone.has_weights
        assert alone.stored == {}
        assert alone.fit.missing == ()
        with pytest.raises(NetError):
            _ = alone.weights
    model_of()
    with NetWithWeights.open("net.prototxt", "m.caffemodel") as model:
        pass
    with pytest.raises(NetError):
        _ = model.weights


@pytest.mark.parametrize("command", [CONVERT, edit("fold"), EXPORT, VERIFY[:3]], ids=lambda c: c[0])
def test_weights_are_walked_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    """Beside what is read back of the outputs."""
    model_of()
    opened: list[str] = []
    original = formats.open_weights

    def counted(path: str, *more: object) -> object:
        opened.append(str(path))
        return original(path, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(models, "open_weights", counted)
    if command[0] == "verify":
        command = ["inspect", *command[1:3]]
    assert run(command) == 0
    assert opened.count("m.caffemodel") == 1


def test_opening_a_model_costs_no_numpy(folder: Path) -> None:
    model_of()
    code = (
        "import sys; from netsurgery.net.net_with_weights import NetWithWeights\n"
        "with NetWithWeights.open('net.prototxt', 'm.caffemodel') as model: model.fit\n"
        "print('numpy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def calls(function: Callable[..., object], command: list[str]) -> int:
    """How often the function is called while the command runs."""
    code, count = function.__code__, 0

    def profile(frame: FrameType, event: str, _: object) -> None:
        nonlocal count
        count += event == "call" and frame.f_code is code

    sys.setprofile(profile)
    try:
        assert run(command) == 0
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize(
    ("command", "parsed", "inferred"),
    [
        (CONVERT, 2, 3),
        ([*CONVERT[:-2], "--dry-run"], 2, 3),
        (edit("fold"), 2, 1),
        (edit("conv[0]*=2"), 1, 1),
        (["transplant", *CONVERT[1:3], *CONVERT[1:3], "-o", "e"], 2, 2),
        (["inspect", *CONVERT[1:3]], 1, 1),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_net_is_parsed_and_its_shapes_inferred_no_more_than_needed(
    folder: Path, command: list[str], parsed: int, inferred: int
) -> None:
    """A convert parses the old net and the new; it infers the old, the new and the new grown."""
    model_of()
    writes = command[0] != "inspect" and "--dry-run" not in command
    forced = ["--force"] if writes else []
    assert calls(parse, [*command, *forced]) == parsed
    assert calls(infer, [*command, *forced]) == inferred


def test_how_many_params_a_layer_has_is_known_without_the_inputs_shape(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model_of("SCALE")
    text = biased().replace("input_shape { dim: [1, 3, 8, 8] }", "")
    Path("net.prototxt").write_text(text)
    assert run(edit("fold")) == 1
    assert "'scale': the model has 2 params for it, expected 1" in capsys.readouterr().err
    with NetWithWeights.open("net.prototxt", "m.caffemodel") as model:
        assert list(model.fit.mismatches) == ["scale"]
        assert model.fit.mismatches["scale"].net == (None,)
        assert model.fit.expected["bn"] == (None, None, None)


PACKAGE = Path(__file__).resolve().parent.parent / "netsurgery"


def users(name: str) -> set[str]:
    """The modules outside formats/ that import this name."""
    modules = set()
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text()
        for item in ast.walk(ast.parse(text)) if name in text else ():
            if isinstance(item, ast.ImportFrom) and name in {each.name for each in item.names}:
                modules.add(path.relative_to(PACKAGE).as_posix())
    return {path for path in modules if not path.startswith("formats/")}


def test_who_has_a_net_opens_its_weights_by_model() -> None:
    """The others have weights alone: of two files, of one, or what Caffe has just saved."""
    without_a_net = {
        "cli/net_names.py",
        "verbs/conversion.py",
        "verbs/diff.py",
        "verbs/inspect.py",
        "verbs/inspect_param.py",
    }
    assert users("open_weights") == {"net/net_with_weights.py", *without_a_net}
    assert users("shared_params") <= {
        "verbs/diff.py",
        "open_net/arrays.py",
        "surgery/edit/session.py",
        "surgery/transplant/plan.py",
    }


def test_one_function_writes_a_changed_model() -> None:
    """`init` and what Caffe saved are new models, of no other file."""
    assert users("write_weights") == {
        "net/write_weights.py",
        "verbs/conversion.py",
        "verbs/init.py",
    }
    texts = {"surgery/convolution/plan.py", "surgery/dense/plan.py"}  # rewrite a prototxt
    assert users("rewrite") - texts == {"net/write_weights.py"}
    assert users("check_written") == {"net/write_weights.py"}


def test_params_are_looked_at_alone_only_where_one_alone_is_meant() -> None:
    """Whatever computes from several of a layer's params reads them by `peek`, which checks."""
    lenient = {"peek_alone", "param_alone"}
    modules = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if any(name in path.read_text() for name in lenient)
        for item in ast.walk(ast.parse(path.read_text()))
        if isinstance(item, ast.Attribute) and item.attr in lenient
    }
    assert modules == {
        "open_net/params.py",
        "surgery/edit/operations/save.py",
        "surgery/edit/values/assign.py",
        "surgery/edit/values/record.py",
        "surgery/edit/session.py",
    }


SHARING = """
input: "x" input_shape { dim: [1, 4] }
layer { name: "a" type: "InnerProduct" bottom: "x" top: "a" param { name: "w" }
  inner_product_param { num_output: 4 bias_term: false } }
layer { name: "b" type: "InnerProduct" bottom: "a" top: "b" param { name: "w" }
  inner_product_param { num_output: 4 bias_term: false } }
layer { name: "c" type: "InnerProduct" bottom: "b" top: "c" param { name: "w" } param { name: "b" }
  inner_product_param { num_output: 4 } }
"""


@pytest.mark.parametrize(("remaining", "sharing"), [("a", "b"), ("b", "a"), ("c", "ab")])
def test_params_that_another_layer_brings_are_not_missing(
    folder: Path, remaining: str, sharing: str
) -> None:
    """Caffe loads them for whichever layer the file has; the bias is c's alone."""
    from caffe_schema import caffe_messages

    Path("net.prototxt").write_text(SHARING)
    assert run(["init", "-q", "net.prototxt", "-o", "m.caffemodel"]) == 0
    net = caffe_messages().NetParameter.FromString(Path("m.caffemodel").read_bytes())
    for layer in [layer for layer in net.layer if layer.name not in (remaining, "x")]:
        net.layer.remove(layer)
    Path("m.caffemodel").write_bytes(net.SerializeToString())
    with NetWithWeights.open("net.prototxt", "m.caffemodel") as model:
        assert model.fit.sharing == tuple(sharing)
        assert model.fit.missing == (() if remaining == "c" else ("c",))


UPGRADE = ["upgrade", "m.caffemodel", "-o", "e"]
INIT = ["init", "net.prototxt", "-o", "e"]
TRANSPLANT = ["transplant", *CONVERT[1:3], *CONVERT[1:3], "-o", "e"]
ONTO_NONE = ["transplant", *CONVERT[1:3], "net.prototxt", "-o", "e"]


@pytest.mark.parametrize(
    "command",
    [CONVERT, edit("fold"), edit("conv[0]*=2"), TRANSPLANT, ONTO_NONE, UPGRADE, INIT],
    ids=lambda command: command[0],
)
def test_no_model_is_written_that_caffe_could_not_read(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: list[str],
) -> None:
    """protobuf, and so Caffe, reads 2 GiB at most; here as if it were 100 bytes."""
    model_of()
    before = sorted(folder.iterdir())
    monkeypatch.setattr(formats, "_LARGEST_CAFFEMODEL", 100)
    assert run(command) == 1
    assert "Caffe reads at most 100 of a caffemodel" in capsys.readouterr().err
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize("command", [CONVERT, edit("fold"), TRANSPLANT], ids=lambda c: c[0])
def test_what_was_written_is_read_back(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: list[str],
) -> None:
    """A disk that loses what it was given is found out before any output appears."""
    model_of()
    before = sorted(folder.iterdir())
    original = OutputFile.write_segments

    def cut_short(output: OutputFile, *args: Any) -> int:
        written = original(output, *args)
        os.truncate(output.temporary, written - 7)
        return written

    monkeypatch.setattr(OutputFile, "write_segments", cut_short)
    assert run(command) == 1
    assert "what was written cannot be read back" in capsys.readouterr().err
    assert sorted(folder.iterdir()) == before


def test_of_a_layer_with_an_unknown_field_no_params_are_expected(folder: Path) -> None:
    """They may be others for that field."""
    model_of()
    Path("net.prototxt").write_text(biased().replace("kernel_size: 3", "kernel_size: 3 odd: 1"))
    with NetWithWeights.open("net.prototxt", "m.caffemodel") as model:
        assert "conv" not in model.fit.expected
        assert model.fit.expected["bn"] == (None, None, None)
        assert not model.fit.mismatches


@pytest.mark.parametrize("command", [CONVERT, edit("fold"), TRANSPLANT], ids=lambda c: c[0])
def test_a_model_that_changes_while_it_is_read_is_given_up(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: list[str],
) -> None:
    model_of()
    before = sorted(folder.iterdir())
    original = OutputFile.write_segments

    def meanwhile(output: OutputFile, *args: Any) -> int:
        written = original(output, *args)
        Path("m.caffemodel").write_bytes(Path("m.caffemodel").read_bytes() + b"\n\0")
        return written

    monkeypatch.setattr(OutputFile, "write_segments", meanwhile)
    assert run(command) == 1
    assert "has changed since" in capsys.readouterr().err
    assert sorted(folder.iterdir()) == before


def test_a_new_file_has_what_became_of_each_layer(folder: Path) -> None:
    """Layers that are folded are gone; of two of a name the one with params, or the first."""
    from caffe_schema import caffe_messages

    again = 'layer { name: "relu" type: "ReLU" bottom: "prob" top: "prob" }\n'
    Path("net.prototxt").write_text(biased() + again)
    net = caffe_messages().NetParameter.FromString(Path(model_of()).read_bytes())
    net.layer.insert(0, type(net.layer[0])(name="conv", type="Convolution"))
    net.layer.add(name="auxiliary", type="InnerProduct").blobs.add(data=[3.0]).shape.dim.append(1)
    Path("m.caffemodel").write_bytes(net.SerializeToString())
    command = edit("fold")
    command[command.index("e")] = "e.h5"
    assert run(command) == 0
    with NetWithWeights.open("e.txt", "e.h5") as written:
        assert {name: len(written.stored[name].blobs) for name in written.stored} == {
            "conv": 2,
            "fc": 1,
            "auxiliary": 1,
        }
        assert written.extra == ("auxiliary",)


@pytest.mark.parametrize(
    "operation",
    [
        "fold:bn",
        "fold-mean:1,2,3",
        "fold-scale:2",
        "swap-input-channels",
        "rgb-to-grey",
        "outputs:conv:keep=0,1",
    ],
)
def test_nothing_is_computed_from_a_layer_with_an_unknown_field(
    folder: Path, capsys: pytest.CaptureFixture[str], operation: str
) -> None:
    model_of()
    odd = biased().replace("num_output: 4", "num_output: 4 odd: 1")
    Path("net.prototxt").write_text(odd)
    before = sorted(folder.iterdir())
    assert run(edit(operation)) == 1
    message = capsys.readouterr().err
    assert "'conv'" in message
    assert "odd" in message
    assert "net.prototxt:4" in message or "line 4" in message
    assert sorted(folder.iterdir()) == before


def test_fold_passes_over_a_layer_with_an_unknown_field(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model_of()
    Path("net.prototxt").write_text(biased().replace("num_output: 4", "num_output: 4 odd: 1"))
    assert run(edit("fold")) == 0
    printed = capsys.readouterr().out
    assert "not folded" in printed
    assert "odd" in printed
    assert Path("e").read_bytes() == Path("m.caffemodel").read_bytes()


def test_layers_of_one_name_without_params_are_nobodys_trouble(folder: Path) -> None:
    from caffe_schema import caffe_messages

    net = caffe_messages().NetParameter.FromString(Path(model_of()).read_bytes())
    net.layer.add(name="relu", type="ReLU")
    Path("m.caffemodel").write_bytes(net.SerializeToString())
    assert run(EXPORT) == 0


BY_COUNT = """
input: "x" input_shape { dim: [1, 4, 3, 3] }
layer { name: "a" type: "InnerProduct" bottom: "x" top: "a" param { name: "w" }
  inner_product_param { num_output: 5 bias_term: false } }
layer { name: "c" type: "Convolution" bottom: "x" top: "c" param { name: "w" MODE }
  convolution_param { num_output: 5 kernel_size: 3 bias_term: false } }
"""


@pytest.mark.parametrize("weights", ["m.h5", "m.caffemodel"])
@pytest.mark.parametrize(("mode", "status"), [("share_mode: PERMISSIVE", 0), ("", 1)])
def test_a_shared_param_is_of_its_layers_shape_or_shared_by_count(
    folder: Path, capsys: pytest.CaptureFixture[str], mode: str, status: int, weights: str
) -> None:
    """HDF5 of Caffe's has a shared param once, in the shape that its first layer has."""
    Path("net.prototxt").write_text(BY_COUNT.replace("MODE", mode))
    weight = np.arange(180, dtype=np.float32).reshape(5, 36)
    write_hdf5(Path("m.h5"), a=[weight], c=[])
    write_model(Path("m.caffemodel"), model_layer("a", "InnerProduct", weight))
    export = ["export", "net.prototxt", weights, "-o", "e.onnx"]
    assert run(export) == status
    if status:
        message = capsys.readouterr().err
        assert f"param 0 is 5x36 in {weights}, expected 5x4x3x3" in message
