"""An input of one pixel stands for a size that is set later: nothing is worked out of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_models import model_layer, write_model

import netsurgery as ns
from netsurgery.cli import run

#: As OpenPose's deploy nets: padded convolutions, and poolings that keep one cell of one.
POSE = """input: "image" input_shape { dim: [1, 3, 1, 1] }
layer { name: "c" type: "Convolution" bottom: "image" top: "c"
        convolution_param { num_output: 2 kernel_size: 3 pad: 1 } }
layer { name: "p" type: "Pooling" bottom: "c" top: "p" pooling_param { kernel_size: 2 stride: 2 } }
"""
GLOBAL = (
    POSE
    + """layer { name: "g" type: "Pooling" bottom: "p" top: "g"
        pooling_param { pool: AVE global_pooling: true } }
layer { name: "fc" type: "InnerProduct" bottom: "g" top: "fc"
        inner_product_param { num_output: 4 } }
"""
)
WHERE = "input 'image' is 1x1, which stands for a size that is set when the net is run"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(3)
    shapes = {"c": ((2, 3, 3, 3), (2,)), "fc": ((4, 2), (4,))}
    params = {
        name: [random.standard_normal(shape).astype("<f4") for shape in both]
        for name, both in shapes.items()
    }
    for name, text, layers in (("pose", POSE, ["c"]), ("global", GLOBAL, ["c", "fc"])):
        Path(f"{name}.prototxt").write_text(text)
        kinds = {"c": "Convolution", "fc": "InnerProduct"}
        stored = [model_layer(layer, kinds[layer], *params[layer]) for layer in layers]
        write_model(Path(f"{name}.caffemodel"), *stored)
    return tmp_path


def test_its_poolings_are_no_global_ones(place: Path) -> None:
    with pytest.raises(ns.SurgeryError, match="no InnerProduct layer; it is already convol"):
        ns.convert("pose.prototxt", "pose.caffemodel")


def test_a_window_as_large_as_its_map_is_refused(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["convert", "global.prototxt", "global.caffemodel", "-o", "out"]) == 1
    assert capsys.readouterr().err == (
        "error: global.prototxt: layer 'g': how large its window would be is not known: "
        f"{WHERE}; --input-shape image=NxCxHxW gives it\n"
    )
    assert not Path("out").exists()
    sized = ns.convert("global.prototxt", input_shapes={"image": (1, 3, 12, 16)}).plan
    assert (sized.windows, sized.inputs[0].new) == ({"g": (6, 8)}, (1, 3, 26, 30))
    # Without the pooling no size is needed.
    assert ns.convert("global.prototxt", before_pooling=True).plan.removed == ("g",)


@pytest.mark.parametrize(
    "words",
    [
        ["classify-map", "--summary"],
        ["classify-map", "--occlusion"],
        ["classify-map", "--stride", "1"],
        ["classify-map", "--scales", "1,2"],
        ["features", "--blob", "p", "-o", "p.npy"],
    ],
    ids=" ".join,
)
def test_no_picture_is_made_one_pixel(
    words: list[str], place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from PIL import Image

    Image.new("RGB", (16, 12)).save("cat.png")
    net = ["--prototxt", "pose.prototxt", "--weights", "pose.caffemodel", "--engine", "embedded"]
    command = [words[0], "cat.png", *words[1:], *net, "--input-scale", "1"]
    assert run(command) == 1
    assert capsys.readouterr().err == (
        f"error: pose.prototxt: {WHERE}; give --size image or --size 368x368\n"
    )
    if "--occlusion" not in words:  # whose net has to give one score
        assert run([*command, "--size", "image"]) == 0


def test_a_net_of_pixels_is_none() -> None:
    """Its windows are of one pixel, so a picture of one pixel says it all."""
    text = POSE.replace("kernel_size: 3 pad: 1", "kernel_size: 1")
    text = text[: text.index('layer { name: "p"')]
    from netsurgery.formats.prototxt import Prototxt
    from netsurgery.net.field import placeholder
    from netsurgery.net.net import NetDefinition
    from netsurgery.net.shapes import infer

    for form, answer in ((text, None), (POSE, "image")):
        net = NetDefinition.of(Prototxt.parse(form, "n.prototxt"))
        assert placeholder(net, infer(net)) == answer
