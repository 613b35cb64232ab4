"""A training net is called one, once, with the deploy net that lies beside it."""

from __future__ import annotations

from pathlib import Path

import pytest
from usage_folder import LENET, train_val

import netsurgery as ns
from netsurgery.cli import run
from netsurgery.net.deploy_net import deploy_hint

#: Every command that has to know the net's shapes, NET being the training net.
LINES = [
    "convert NET model -o out",
    "export NET model -o out.onnx",
    "init NET -o out.caffemodel",
    "features grey.png --prototxt NET --weights model --blob ip1 -o out.npz",
    "classify-map grey.png --prototxt NET --weights model",
    "verify NET model NET model",
    "inspect NET",
]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NETSURGERY_ENGINE", "embedded")
    Path("lenet.prototxt").write_text(LENET)
    Path("lenet_train_test.prototxt").write_text(train_val())
    ns.init("lenet.prototxt", "model")
    Image.new("L", (28, 28), 7).save("grey.png")
    return tmp_path


@pytest.mark.parametrize("line", LINES)
def test_every_command_says_so_once(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = run(line.replace("NET", "lenet_train_test.prototxt").split())
    assert code != 0 or line.startswith("inspect")
    said = "".join(capsys.readouterr())
    assert said.count("this is a training net, whose layer 'mnist' (Data) reads it from files") == 1
    assert said.count("; lenet.prototxt may be its deploy net") == 1
    assert said.count("--input-shape data=NxCxHxW gives it") == 1


def test_both_layers_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["convert", "lenet_train_test.prototxt", "model", "-o", "out"]) == 1
    assert capsys.readouterr().err.startswith(
        "error: lenet_train_test.prototxt: layer 'ip1': the shape of its bottom 'pool2' is not "
        "known (so too for 'ip2'): this is a training net"
    )


@pytest.mark.parametrize(
    ("training", "deploy"),
    [
        ("train_val", "deploy"),
        ("alexnet_train_val", "alexnet_deploy"),
        ("alexnet_train_val", "deploy"),
        ("net-train", "net-deploy"),
        ("lenet_solver", "lenet"),
        ("net", "deploy"),
        ("deploy", "deploy_deploy"),
    ],
)
def test_deploy_nets_beside(training: str, deploy: str, tmp_path: Path) -> None:
    path = tmp_path / "nets" / f"{training}.prototxt"
    path.parent.mkdir()
    path.touch()
    assert deploy_hint(str(path)) == ""
    beside = path.with_name(f"{deploy}.prototxt")
    beside.touch()
    assert deploy_hint(str(path)) == f"; {beside} may be its deploy net"
