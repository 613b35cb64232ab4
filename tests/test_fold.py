"""Folding: what the text and the model become, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from caffe_schema import caffe_messages

import netsurgery as ns
from netsurgery.errors import SurgeryError
from netsurgery.formats.prototxt import Prototxt
from netsurgery.net.net import NetDefinition
from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.surgery.edit.plan import plan_edit
from netsurgery.surgery.edit.write import EditPaths, write_edit

BEFORE = """\
name: "N"  # mine
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: [1, 2, 5, 5] } } }

# the first one
layer {
  name: "c"  # c
  type: "Convolution"
  bottom: "x"
  top: "c"
  convolution_param {
    num_output: 2
    bias_term: false  # BatchNorm has one
    kernel_size: 1
  }
}

# normalized
# as in the paper
layer {
  name: "bn"
  type: "BatchNorm"
  bottom: "c"
  top: "bn"
  batch_norm_param { eps: 0.75 }
}  # bn

layer { name: "s" type: "Scale" bottom: "bn" top: "s" scale_param { bias_term: true } }
layer { name: "r" type: "ReLU" bottom: "s" top: "s" }  # last
"""

AFTER = """\
name: "N"  # mine
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: [1, 2, 5, 5] } } }

# the first one
layer {
  name: "c"  # c
  type: "Convolution"
  bottom: "x"
  top: "s"
  convolution_param {
    num_output: 2
    kernel_size: 1
  }
}

layer { name: "r" type: "ReLU" bottom: "s" top: "s" }  # last
"""


def model_of(path: Path, **more: list[list[float]]) -> Path:
    """A model for BEFORE, or for other layers, made by protobuf itself."""
    blobs = {
        "c": [[1.0, 2.0, 3.0, 4.0]],
        "bn": [[4.0, 8.0], [0.5, 13.0], [2.0]],
        "s": [[1.0, 10.0], [5.0, 6.0]],
    } | more
    shapes = {4: [2, 2, 1, 1]}
    net = caffe_messages().NetParameter(name="N")
    net.layer.add(name="x", type="Input", top=["x"])
    for name, values in blobs.items():
        kind = {"c": "Convolution", "bn": "BatchNorm"}.get(name, "Scale")
        layer = net.layer.add(name=name, type=kind, top=[name])
        if name == "c":
            layer.convolution_param.num_output = 2
            layer.convolution_param.bias_term = False
            layer.convolution_param.kernel_size.append(1)
        for each in values:
            layer.blobs.add(data=each).shape.dim.extend(shapes.get(len(each), [len(each)]))
    path.write_bytes(net.SerializeToString())
    return path


def fold(folder: Path, text: str, *operations: str, **more: list[list[float]]) -> EditPaths:
    places = EditPaths(folder / "new.caffemodel", folder / "new.prototxt")
    net = NetDefinition.of(Prototxt.parse(text, "n.prototxt"))
    with NetWithWeights(net, model_of(folder / "old.caffemodel", **more)) as model:
        write_edit(plan_edit(model, operations), model, places, force=True)
    return places


@pytest.mark.parametrize("word", ["fold", "fold:bn", "fold:s"])
def test_text_and_numbers(tmp_path: Path, word: str) -> None:
    folded = fold(tmp_path, BEFORE, word)
    assert folded.prototxt is not None
    assert folded.prototxt.read_text() == AFTER
    net = caffe_messages().NetParameter.FromString(folded.weights.read_bytes())
    assert [layer.name for layer in net.layer] == ["x", "c"]
    (conv,) = (layer for layer in net.layer if layer.name == "c")
    # mean 2 and 4, variance 0.25 and 6.5, eps 0.75: deviations 1 and sqrt 7.25.
    second = 10 / 7.25**0.5
    weights, bias = (np.array(blob.data) for blob in conv.blobs)
    np.testing.assert_allclose(weights, [1, 2, 3 * second, 4 * second], rtol=1e-6)
    np.testing.assert_allclose(bias, [5 - 2, 6 - 4 * second], rtol=1e-6)
    assert list(conv.top) == ["s"]
    assert not conv.convolution_param.HasField("bias_term")
    assert conv.convolution_param.num_output == 2


def test_windows_lines_stay(tmp_path: Path) -> None:
    folded = fold(tmp_path, BEFORE.replace("\n", "\r\n"), "fold")
    assert folded.prototxt is not None
    assert folded.prototxt.read_bytes() == AFTER.replace("\n", "\r\n").encode()


def test_folding_its_own_result_changes_nothing(tmp_path: Path) -> None:
    first = fold(tmp_path, BEFORE, "fold")
    assert first.prototxt is not None
    again = EditPaths(tmp_path / "2.caffemodel", tmp_path / "2.prototxt")
    with NetWithWeights.open(first.prototxt, first.weights) as model:
        plan = plan_edit(model, ["fold"])
        step = plan.steps[0]
        assert (step.params, step.layers, step.fields) == ((), (), ())
        assert plan.text is None
        write_edit(plan, model, again)
    assert again.weights.read_bytes() == first.weights.read_bytes()
    assert again.prototxt is not None
    assert again.prototxt.read_bytes() == first.prototxt.read_bytes()


def test_one_line_of_layers(tmp_path: Path) -> None:
    text = BEFORE.replace("\n", " ").replace("# mine ", "").replace("# the first one ", "")
    for comment in ("# c ", "# BatchNorm has one ", "# normalized # as in the paper ", "# bn "):
        text = text.replace(comment, "")
    folded = fold(tmp_path, text.replace("# last ", ""), "fold")
    assert folded.prototxt is not None
    assert [layer.name for layer in NetDefinition.read(folded.prototxt).layers] == ["x", "c", "r"]


def refused(folder: Path, text: str, *operations: str, **more: list[list[float]]) -> str:
    with pytest.raises(SurgeryError) as caught:
        fold(folder, text, *operations, **more)
    assert not (folder / "new.caffemodel").exists()
    return str(caught.value)


def reader(bottom: str, more: str = "") -> str:
    return f'layer {{ name: "other" type: "TanH" bottom: "{bottom}" top: "other" {more} }}\n'


TRAIN = "include { phase: TRAIN }"


@pytest.mark.parametrize(
    ("text", "word", "what"),
    [
        (
            BEFORE,
            "fold:none",
            "layer 'none': the net has no such layer: nothing to fold, or it is folded already",
        ),
        (BEFORE, "fold:r", "layer 'r': it is of type ReLU, expected BatchNorm, Bias, Scale"),
        (BEFORE + reader("c"), "fold:bn", "layer 'bn': layer 'other' reads its bottom 'c' too"),
        (
            BEFORE + reader("c", TRAIN),
            "fold:bn",
            "layer 'bn': layer 'other' of another phase or stage names its bottom 'c'",
        ),
        (
            BEFORE + reader("bn"),
            "fold:s",
            "layer 's': the layers from 'bn' to it have other readers too",
        ),
        (
            BEFORE.replace('type: "Convolution"', 'type: "TanH"'),
            "fold:bn",
            "layer 'bn': its bottom 'c' is of layer 'c' (TanH); it folds into a Convolution or "
            "InnerProduct",
        ),
        (
            BEFORE.replace('bottom: "c"', 'bottom: "x"'),
            "fold:bn",
            "layer 'bn': its bottom 'x' is of layer 'x' (Input); it folds into a Convolution or "
            "InnerProduct",
        ),
        (
            BEFORE.replace("eps: 0.75", "use_global_stats: false"),
            "fold:bn",
            "layer 'bn': use_global_stats: false: its statistics are each batch's own",
        ),
        (
            BEFORE.replace("bias_term: true", "axle: 1"),
            "fold:bn",
            "n.prototxt:27:69: layer 's' (Scale): scale_param has a field axle, which is not known "
            "and may change everything after it; remove it if it changes nothing",
        ),
        (
            BEFORE.replace("bias_term: true", "axis: 2"),
            "fold:bn",
            "layer 's': axis 2, num_axes 1; only axis 1 alone can be folded",
        ),
        (
            BEFORE.replace("kernel_size: 1", "kernel_size: 1 axis: 2"),
            "fold:bn",
            "layer 'c': axis 2; only channels on axis 1 can be folded",
        ),
        (
            BEFORE + reader("x", TRAIN).replace("other", "bn"),
            "fold:bn",
            "layer 'bn': a layer of another phase or stage has its name",
        ),
        (
            BEFORE + reader("x", TRAIN).replace('name: "other"', 'name: "c"'),
            "fold:bn",
            "layer 'c': a layer of another phase or stage has its name",
        ),
    ],
)
def test_what_cannot_be_folded_is_refused(tmp_path: Path, text: str, word: str, what: str) -> None:
    assert refused(tmp_path, text, word) == f"{word}: {what}"


def test_numbers_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    assert refused(tmp_path, BEFORE, "fold:bn", bn=[[4.0, 8.0], [0.5, -13.0], [2.0]]) == (
        "fold:bn: layer 'bn': variance + eps of channel 1 is not above 0"
    )
    assert refused(tmp_path, BEFORE, "fold:bn", bn=[[4.0], [0.5], [2.0]]) == (
        "fold:bn: layer 'bn': param 0 is 1 in the model, expected 2; "
        "param 1 is 1 in the model, expected 2"
    )
    assert refused(tmp_path, BEFORE, "fold:bn", bn=[]) == (
        "fold:bn: layer 'bn': the model has no params for it"
    )
    huge = [[3e38, 3e38], [5.0, 6.0]]
    assert refused(tmp_path, BEFORE, "c[0]*=100", "fold:bn", s=huge) == (
        "fold:bn: layer 'c': 4 values of its param 0 would be NaN or infinite"
    )


def test_all_folds_what_it_can_and_notes_the_rest(tmp_path: Path) -> None:
    text = BEFORE + 'layer { name: "lone" type: "Scale" bottom: "x" top: "l" }\n'
    net = NetDefinition.of(Prototxt.parse(text, "n.prototxt"))
    path = model_of(tmp_path / "m", lone=[[1.0, 2.0]])
    with NetWithWeights(net, path) as model:
        plan = plan_edit(model, ["fold"])
    assert plan.text is not None
    assert 'name: "lone"' in plan.text
    assert plan.text.startswith(AFTER)
    assert plan.notes == (
        "not folded: layer 'lone': its bottom 'x' is of layer 'x' (Input); it folds into a "
        "Convolution or InnerProduct",
    )


SHARING_SCALES = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: [1, 2, 6, 6] } } }
layer { name: "c" type: "Convolution" bottom: "x" top: "c"
  convolution_param { num_output: 2 kernel_size: 1 weight_filler { type: "xavier" } } }
layer { name: "s" type: "Scale" bottom: "c" top: "c" param { name: "g" }
  scale_param { filler { type: "constant" value: 3 } } }
layer { name: "r" type: "ReLU" bottom: "c" top: "r" }
layer { name: "t" type: "Scale" bottom: "r" top: "t" param { name: "g" } }
"""


@pytest.mark.parametrize("model", ["m.caffemodel", "m.caffemodel.h5"])
@pytest.mark.parametrize("words", [["t[0]=5"], ["s[0]=5"], []])
@pytest.mark.parametrize("fold", ["fold:s", "fold"])
def test_a_shared_param_outlives_the_layer_that_is_folded(
    tmp_path: Path, words: list[str], fold: str, model: str
) -> None:
    """As it was set before, under the name of either layer."""
    net, weights = tmp_path / "n.prototxt", tmp_path / model
    net.write_text(SHARING_SCALES)
    ns.init(net, weights)
    picture = np.random.default_rng(0).normal(size=(1, 2, 6, 6))
    with ns.edit(net, weights, words or ["s[0]*=1"]) as set_first, set_first.net as opened:
        expected = opened.forward(x=picture)["t"]
    with ns.edit(net, weights, [*words, fold]) as result, result.net as opened:
        assert [layer.name for layer in opened.layers] == ["x", "c", "r", "t"]
        assert opened.params["t"][0].tolist() == [5.0 if words else 3.0] * 2
        np.testing.assert_allclose(opened.forward(x=picture)["t"], expected, rtol=1e-5)
