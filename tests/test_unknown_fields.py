"""A field or value that no definition has is never read as if it were not there, by any command."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from every_command import COMMANDS, GOOD, make_good

from netsurgery.cli import run
from netsurgery.formats.prototxt import Prototxt
from netsurgery.net.cost import costs
from netsurgery.net.edges import edge_effects
from netsurgery.net.field import fields
from netsurgery.net.net import NetDefinition
from netsurgery.net.order import last_orders
from netsurgery.net.shapes import infer

#: What is put into the convolution, and what names it in a refusal.
STRANGE = {
    "zzz: 1": "zzz",
    "kernel_sise: 3": "did you mean kernel_size?",
    "pad_l: 1": "Synopsys Caffe has it",
    "engine: FOO": "found FOO, expected DEFAULT, CAFFE or CUDNN for engine",
    "} convoluton_param { pad: 1": "convoluton_param",
    "} pad: 1 convolutional { x: 1": "a field pad,",
}

#: These do not compute with the layer: its params or its text are kept, compared or shown.
KEEPING = {
    ("edit", "NET good.caffemodel conv[0]*=2 -o out.caffemodel"): 0,
    ("transplant", "NET good.caffemodel good.prototxt -o out.caffemodel"): 0,
    ("upgrade", "NET -o out.prototxt"): 0,
    ("diff", "NET good.prototxt"): 1,
    ("diff", "good.prototxt NET"): 1,
    ("inspect", "NET"): 0,
    ("inspect", "NET good.caffemodel"): 0,
}
LINES = [(name, words) for name, several in COMMANDS.items() for words in several]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    make_good()
    return tmp_path


def test_what_keeps_it_is_a_command() -> None:
    assert set(KEEPING) <= set(LINES)


@pytest.mark.parametrize("strange", STRANGE)
@pytest.mark.parametrize(("command", "words"), LINES)
def test_every_command(
    command: str, words: str, strange: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It refuses and names the field, or it does not compute with the layer."""
    text = GOOD.replace("kernel_size: 3", f"kernel_size: 3 {strange}")
    assert text != GOOD
    (folder / "it.prototxt").write_text(text)
    before = sorted(os.listdir())
    code = run([command, *words.replace("NET", "it.prototxt").split()])
    out, err = capsys.readouterr()
    if command == "inspect":
        assert code == 0
        assert STRANGE[strange] in out
        assert "1x2x6x6" not in out
        return
    if command == "draw":
        drawing = Path("out.svg" if "svg" in words else "out.html").read_text()
        assert code == 0
        assert STRANGE[strange] in out
        assert "1x2x6x6" not in drawing
        return
    if (command, words) in KEEPING:
        assert code == KEEPING[command, words]
        return
    trouble = {"verify": 2, "check": 0 if "Synopsys" in STRANGE[strange] else 1}
    assert code == trouble.get(command, 1)
    assert STRANGE[strange] in (out if command == "check" else err)
    if command != "check":
        assert re.search(r"it\.prototxt:\d+:\d+: |line \d+: ", err)
    assert sorted(os.listdir()) == before


@pytest.mark.parametrize("strange", ["zzz: 1", "engine: FOO", "pad_l: 1"])
def test_a_shape_that_is_given_makes_nothing_else_known(strange: str) -> None:
    """What a cell of the layer sees, and how it treats an edge, depends on the field too."""
    text = GOOD.replace("kernel_size: 3", f"kernel_size: 3 {strange}")
    net = NetDefinition.of(Prototxt.parse(text)).at({"conv": (1, 2, 7, 7)})
    shapes = infer(net)
    assert shapes.blobs["prob"] == (1, 3)
    assert "conv" not in shapes.params
    assert set(fields(net)) == {"data"}
    (effect,) = edge_effects(net, shapes, "conv")
    assert "not known" in effect.why
    assert costs(net, shapes)[1].multiply_adds is None
    stock = NetDefinition.of(Prototxt.parse(GOOD))
    assert set(fields(stock)) == {"data", "conv", "fc", "pool", "prob"}
    assert edge_effects(stock, infer(stock), "conv") == []


def test_a_layer_of_another_type_gets_no_params_of_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """normalize: true divides by the weight's norm, which a Convolution does not."""
    window = "inner_product_param { num_output: 3"
    convolved = GOOD.replace('"fc" type: "InnerProduct"', '"fc" type: "Convolution"')
    convolved = convolved.replace(window, "convolution_param { kernel_size: 6 num_output: 3")
    (folder / "to.prototxt").write_text(convolved)
    (folder / "from.prototxt").write_text(GOOD.replace(window, f"{window} normalize: true"))
    words = "good.caffemodel to.prototxt -o out.caffemodel".split()
    assert run(["transplant", "good.prototxt", *words]) == 0
    assert run(["transplant", "from.prototxt", *words, "--force"]) == 1
    err = capsys.readouterr().err
    assert err.count("has a field normalize, which is not known (caffe-windows has it)") == 1


@pytest.mark.parametrize("kind", ["Permute", "Flatten", "Slice"])
def test_in_which_order_its_numbers_lie_is_not_known_either(kind: str) -> None:
    own = {"Permute": "order: [0, 2, 3, 1]", "Flatten": "axis: 1", "Slice": "axis: 1"}[kind]
    text = f"""input: "x" input_shape {{ dim: [1, 2, 3, 4] }}
    layer {{ name: "l" type: "{kind}" bottom: "x" top: "y"
      {kind.lower()}_param {{ {own} STRANGE }} }}"""
    known = NetDefinition.of(Prototxt.parse(text.replace("STRANGE", "")))
    assert "y" in last_orders(known, infer(known))
    shape = infer(known).blobs["y"]
    net = NetDefinition.of(Prototxt.parse(text.replace("STRANGE", "zzz: 1"))).at({"y": shape})
    assert "y" not in last_orders(net, infer(net))


def test_what_both_nets_have_alike_goes_from_one_to_the_other(folder: Path) -> None:
    """Its params are copied as they are: nothing is computed with them."""
    strange = GOOD.replace("kernel_size: 3", "kernel_size: 3 zzz: 1")
    (folder / "one.prototxt").write_text(strange)
    (folder / "other.prototxt").write_text(strange.replace('"good"', '"other"'))
    words = "transplant one.prototxt good.caffemodel other.prototxt -o out.caffemodel"
    assert run(words.split()) == 0
