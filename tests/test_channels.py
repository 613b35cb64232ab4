"""What is folded into the first layers, and the outputs' own surgery: refusals and texts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from filling import initialize

from netsurgery.errors import SurgeryError
from netsurgery.formats.caffemodel import Caffemodel
from netsurgery.formats.prototxt import Prototxt
from netsurgery.net.net import NetDefinition
from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.surgery.edit.plan import EditPlan, plan_edit

INPUT = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: [1, %d, 6, 6] } } }\n'


def layer(kind: str, name: str, bottom: str, more: str = "") -> str:
    bottoms = " ".join(f'bottom: "{each}"' for each in bottom.split())
    tops = " ".join(f'top: "{each}"' for each in name.split())
    return f'layer {{ name: "{name.split()[0]}" type: "{kind}" {bottoms} {tops} {more} }}\n'


def conv(name: str, bottom: str, more: str = "") -> str:
    fill = 'weight_filler { type: "xavier" }'
    param = f"convolution_param {{ num_output: 4 kernel_size: 3 {fill} {more} }}"
    return layer("Convolution", name, bottom, param)


def ip(name: str, bottom: str, more: str = "") -> str:
    return layer("InnerProduct", name, bottom, f"inner_product_param {{ num_output: 3 }} {more}")


PLAIN = INPUT % 3 + conv("c", "x")


def planned(folder: Path, text: str, *operations: str) -> EditPlan:
    net = NetDefinition.of(Prototxt.parse(text, "n.prototxt"))
    initialize(net, folder / "m", seed=1)
    with NetWithWeights(net, folder / "m") as model:
        return plan_edit(model, operations)


def refused(folder: Path, text: str, word: str) -> str:
    with pytest.raises(SurgeryError) as caught:
        planned(folder, text, word)
    assert str(caught.value).startswith(f"{word}: ")
    return str(caught.value).removeprefix(f"{word}: ")


def test_every_first_layer_and_no_other_is_changed(tmp_path: Path) -> None:
    text = INPUT % 3 + layer("Pooling", "p", "x", "pooling_param { kernel_size: 1 }")
    text += layer("Power", "w", "p", "power_param { scale: 2 }") + conv("a", "w")
    text += ip("b", "x") + conv("later", "a")
    plan = planned(tmp_path, text, "swap-input-channels")
    assert list(plan.changes) == ["a", "b"]
    assert plan.text is None
    assert [param.what for param in plan.steps[0].params] == [
        "input channels in opposite order"
    ] * 2
    assert plan.notes == (
        "the net takes its channels in the opposite order now; its preprocessing has to follow "
        "(the channel swap)",
    )
    assert list(planned(tmp_path, text, "swap-input-channels:b").changes) == ["b"]


def test_swapping_twice_is_nothing(tmp_path: Path) -> None:
    written = []
    for times in (1, 2):
        chunks = planned(tmp_path, PLAIN, *["swap-input-channels"] * times).changes["c"].data[0]
        assert callable(chunks)
        written.append(b"".join(map(bytes, chunks())))
    with Caffemodel.open(tmp_path / "m") as model:
        before = model.layer("c").blobs[0].numpy()
    assert written == [np.ascontiguousarray(before[:, ::-1]).tobytes(), before.tobytes()]


SHARING = 'param { name: "w" }'


@pytest.mark.parametrize(
    ("text", "word", "what"),
    [
        (
            INPUT % 1 + conv("c", "x"),
            "swap-input-channels",
            "layer 'c': its input has 1 channel, expected 3",
        ),
        (
            INPUT % 3 + conv("c", "x", "group: 1").replace("num_output: 4", "num_output: 3")
            .replace("group: 1", "group: 3"),
            "swap-input-channels",
            "layer 'c': its channels are in groups, each with filters of its own",
        ),
        (
            INPUT % 3 + layer("Slice", "s t u", "x") + conv("c", "s"),
            "swap-input-channels",
            "layer 's': it (Slice) also reads the input, so the order of its channels "
            "cannot be changed",
        ),
        (
            INPUT % 3 + layer("BatchNorm", "b", "x") + conv("c", "b"),
            "fold-scale:2",
            "layer 'b': it (BatchNorm) also reads the input, so the scale of its values "
            "cannot be changed",
        ),
        (
            PLAIN + layer("Eltwise", "e", "x x"),
            "fold-mean:3",
            "layer 'e': it (Eltwise) also reads the input, so the mean of its values "
            "cannot be changed",
        ),
        (
            INPUT % 3 + layer("Dropout", "d", "x") + ip("i", "x"),
            "fold-scale:2",
            "the input is itself an output of the net, as 'd'",
        ),
        (
            INPUT % 3 + layer("Silence", "q", "x").replace('top: "q"', ""),
            "fold-scale:2",
            "no layer with weights reads the net's input 'x'",
        ),
        (
            INPUT % 3 + (INPUT % 3).replace('"x"', '"y"') + conv("c", "x"),
            "fold-scale:2",
            "the net has no one image among its inputs ('x', 'y')",
        ),
        (PLAIN, "fold-scale:a", "found 'a', expected a number other than 0"),
        (PLAIN, "fold-scale:0", "found '0', expected a number other than 0"),
        (PLAIN, "fold-mean:1,2", "layer 'c': a mean of 2; its bottom is 1x3x6x6"),
        (
            PLAIN,
            "fold-mean:none.npy",
            "No such file or directory",
        ),
        (
            INPUT % 3 + conv("c", "x", "pad: 1"),
            "fold-mean:3",
            "layer 'c': it is padded, so no bias gives the same at the borders; "
            "padding=approximate after another colon allows it",
        ),
        (
            INPUT % 3 + conv("c", "x").replace('"Convolution"', '"Deconvolution"'),
            "fold-mean:3",
            "layer 'c': the mean after a Deconvolution differs by position, so no bias "
            "can replace it",
        ),
        (
            INPUT % 3 + ip("a", "x", SHARING) + ip("b", "x", SHARING),
            "fold-scale:2",
            "layer 'a': it shares its param 0 with layer 'b'",
        ),
        (
            PLAIN,
            "swap-input-channels:none",
            "layer 'none': the net has no such layer; its layers are x, c",
        ),
        (
            PLAIN,
            "swap-input-channels:x",
            "layer 'x': it is of type Input, expected Convolution, Deconvolution, InnerProduct",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_folded_in_is_refused(
    tmp_path: Path, text: str, word: str, what: str
) -> None:
    assert refused(tmp_path, text, word) == what


def test_a_mean_picture_is_no_bias_of_a_convolution(tmp_path: Path) -> None:
    values = np.stack([np.full((6, 6), value) for value in (1.0, 2.0, 4.5)])
    np.save(tmp_path / "mean.npy", values)
    assert refused(tmp_path, PLAIN, f"fold-mean:{tmp_path / 'mean.npy'}") == (
        "layer 'c': a mean picture is not the same at every place of a Convolution; "
        "its values a channel are 1,2,4.5"
    )


def test_a_padded_mean_is_marked(tmp_path: Path) -> None:
    text = INPUT % 3 + conv("c", "x", "pad: 1")
    plan = planned(tmp_path, text, "fold-mean:3:padding=approximate")
    (param,) = plan.steps[0].params
    assert param.what == "bias less the mean's share (approximate at the borders: it is padded)"


def test_a_layer_without_bias_gets_one(tmp_path: Path) -> None:
    text = INPUT % 3 + conv("c", "x", "bias_term: false")
    plan = planned(tmp_path, text, "fold-mean:3")
    assert plan.text == text.replace(" bias_term: false ", " ")
    (_, bias) = plan.changes["c"].blobs or ()
    assert bias.shape == (4,)


GREY = INPUT % 1 + conv("c", "x", "pad: 1")


@pytest.mark.parametrize(
    "text",
    [
        INPUT % 3,
        'input: "x" input_dim: 1 input_dim: 3 input_dim: 6 input_dim: 6\n',
        'input: "x" input_shape { dim: 1 dim: 3 dim: 6 dim: 6 }\n',
    ],
)
def test_the_declared_channels_follow(tmp_path: Path, text: str) -> None:
    text += layer("Pooling", "p", "x", "pooling_param { kernel_size: 1 }") + conv("c", "p")
    plan = planned(tmp_path, text, "rgb-to-grey")
    first, rest = text.split("\n", 1)
    grey = first.replace("dim: [1, 3", "dim: [1, 1").replace("dim: 3", "dim: 1")
    assert grey != first
    assert plan.text == f"{grey}\n{rest}"
    (weight, _) = plan.changes["c"].blobs or ()
    assert weight.shape == (4, 1, 3, 3)
    assert planned(tmp_path, PLAIN, "rgb-to-grey", "grey-to-rgb").text is None


BLIND = {
    "a layer that only takes the size": layer("PriorBox", "b", "c x"),
    "a crop like the input": layer("Crop", "k", "c x", "crop_param { axis: 2 }"),
    "nothing at all": layer("Silence", "q", "x").replace('top: "q"', ""),
}


@pytest.mark.parametrize("word", ["swap-input-channels", "fold-scale:2", "fold-mean:3",
                                  "rgb-to-grey", "outputs:c:drop=1"])  # fmt: skip
@pytest.mark.parametrize("behind", list(BLIND))
def test_who_reads_a_size_stops_nothing(tmp_path: Path, behind: str, word: str) -> None:
    text = INPUT % 3 + conv("c", "x") + conv("d", "c", "pad: 1") + BLIND[behind]
    text = text.replace('bottom: "c" bottom: "x"', 'bottom: "d" bottom: "x"')
    assert "c" in planned(tmp_path, text.replace("kernel_size: 3", "kernel_size: 1"), word).changes


@pytest.mark.parametrize(
    ("text", "word", "what"),
    [
        (GREY, "rgb-to-grey", "the net's input 'x' has 1 channel, expected 3"),
        (PLAIN, "grey-to-rgb", "the net's input 'x' has 3 channels, expected 1"),
        (PLAIN, "rgb-to-grey:c", "found 'c' after the colon, expected nothing"),
        (GREY, "grey-to-rgb:gbr", "found 'gbr', expected bgr, rgb, mean or three numbers"),
        (GREY, "grey-to-rgb:1,2", "found '1,2', expected bgr, rgb, mean or three numbers"),
        (GREY, "grey-to-rgb:1,2,3,4", "found '1,2,3,4', expected bgr, rgb, mean or three numbers"),
        (
            PLAIN + layer("Eltwise", "e", "x x"),
            "rgb-to-grey",
            "layer 'e': it (Eltwise) also reads the input, so the number of its channels "
            "cannot be changed",
        ),
        (
            GREY + layer("Pooling", "p", "x", "pooling_param { kernel_size: 1 }") + conv("d", "p"),
            "grey-to-rgb",
            "layer 'p': it (Pooling) also reads the input, so the number of its channels "
            "cannot be changed",
        ),
        (
            INPUT % 3 + conv("c", "x", "group: 3").replace("num_output: 4", "num_output: 3"),
            "rgb-to-grey",
            "layer 'c': its channels are in groups, each with filters of its own",
        ),
        (
            INPUT % 3
            + conv("c", "x", "pad: 1")
            + layer("Crop", "k", "c x", "crop_param { axis: 1 }"),
            "rgb-to-grey",
            "blob 'k' would be 1x1x6x6, expected 1x3x6x6",
        ),
        (
            (INPUT % 3).replace('top: "x"', 'top: "x" top: "y"') + conv("c", "x"),
            "rgb-to-grey",
            "the net has no one image among its inputs ('x', 'y')",
        ),
        (
            PLAIN + layer("Data", "x", "", "include { phase: TRAIN }"),
            "rgb-to-grey",
            "layer 'x' of another phase or stage names 'x'",
        ),
        (
            INPUT % 3 + ip("a", "x", SHARING) + ip("b", "x", SHARING),
            "rgb-to-grey",
            "layer 'a': it shares its param 0 with layer 'b'",
        ),
    ],
)
def test_what_cannot_be_made_grey_is_refused(
    tmp_path: Path, text: str, word: str, what: str
) -> None:
    assert refused(tmp_path, text, word) == what


CLASSIFIER = INPUT % 3 + ip("fc", "x") + layer("Softmax", "p", "fc")


def test_only_num_output_changes_in_the_text(tmp_path: Path) -> None:
    plan = planned(tmp_path, CLASSIFIER, "outputs:fc:keep=2,0")
    assert plan.text == CLASSIFIER.replace("num_output: 3", "num_output: 2")
    assert [blob.shape for blob in plan.changes["fc"].blobs or ()] == [(2, 108), (2,)]
    assert plan.notes == ("the classes of 'fc' have changed; a file of labels has to follow",)
    grown = planned(tmp_path, CLASSIFIER, "outputs:fc:add=5", "fc[0][3:]=0.25")
    assert [blob.shape for blob in grown.changes["fc"].blobs or ()] == [(8, 108), (8,)]


@pytest.mark.parametrize(
    ("text", "word", "what"),
    [
        (
            CLASSIFIER,
            "outputs:fc",
            "expected outputs:LAYER:keep=0,2-5, ",
        ),
        (
            CLASSIFIER,
            "outputs:no:add=1",
            "layer 'no': the net has no such layer; its layers are x, fc, p",
        ),
        (CLASSIFIER, "outputs:fc:cut=1", "found 'cut=1', expected keep=0,2-5, drop=1 or add=5"),
        (CLASSIFIER, "outputs:fc:drop=1-1,1", "1 is named twice"),
        (CLASSIFIER, "outputs:fc:drop=0-2", "all 3 would go; one has to stay"),
        (
            CLASSIFIER,
            "outputs:fc:drop=2-1",
            "found '2-1', expected 0 to 2, or a range such as 0",
        ),
        (CLASSIFIER, "outputs:fc:keep=3", "found '3', expected 0 to 2"),
        (CLASSIFIER, "outputs:fc:keep=0,-1", "found '-1', expected 0 to 2"),
        (CLASSIFIER, "outputs:fc:keep=", "found '', expected 0 to 2"),
        (CLASSIFIER, "outputs:fc:keep=1,1", "1 is named twice"),
        (CLASSIFIER, "outputs:fc:add=0", "expected how many, 1 or more"),
        (CLASSIFIER, "outputs:fc:add=10000000", "expected how many, 1 or more, up to 9999999"),
        (
            # T x N x D: axis 1 is not that of its outputs, and says nothing of their numbers.
            'input: "x" input_shape { dim: [5, 2, 7] } input: "c" input_shape { dim: [5, 2] } '
            'layer { name: "seq" type: "LSTM" bottom: "x" bottom: "c" top: "seq" '
            "recurrent_param { num_output: 6 } }",
            "outputs:seq:drop=5",
            "layer 'seq': it (LSTM) computes with several channels at once",
        ),
        (
            CLASSIFIER,
            "outputs:p:add=1",
            "layer 'p': it (Softmax) compares all channels; name the layer with weights before it",
        ),
        (
            CLASSIFIER,
            "outputs:x:add=1",
            "layer 'x': it is of type Input, which computes no outputs",
        ),
        (
            CLASSIFIER + ip("next", "p"),
            "outputs:fc:add=1",
            "layer 'fc': layer 'next' (InnerProduct) reads shares of all channels, from 'p'",
        ),
        (
            CLASSIFIER + layer("Slice", "a b c", "fc"),
            "outputs:fc:drop=1",
            "layer 'fc': layer 'a' (Slice) is left without any channel of 'b'",
        ),
        (
            CLASSIFIER + layer("PReLU", "r", "p"),
            "outputs:fc:add=1",
            "layer 'fc': layer 'r' (PReLU) reads shares of all channels, from 'p'",
        ),
        (
            CLASSIFIER + layer("ArgMax", "m", "p", "argmax_param { top_k: 2 }"),
            "outputs:fc:keep=0",
            "layer 'fc': layer 'm' wants the best 2 of 1 output",
        ),
        (
            CLASSIFIER + layer("Accuracy", "acc", "fc x", "include { phase: TRAIN }"),
            "outputs:fc:keep=0",
            "layer 'fc': layer 'acc' of another phase or stage names its top 'fc'",
        ),
    ],
)
def test_outputs_that_others_count_on_are_refused(
    tmp_path: Path, text: str, word: str, what: str
) -> None:
    assert refused(tmp_path, text, word).startswith(what)


@pytest.mark.parametrize(
    "word",
    ["swap-input-channels", "swap-input-channels:c", "fold-scale:2", "fold-mean:3", "rgb-to-grey"],
)
def test_a_layer_of_another_phase_keeps_its_params(tmp_path: Path, word: str) -> None:
    """They are those of the layer of its name."""
    text = PLAIN + conv("c", "d").replace("layer {", "layer { include { phase: TRAIN }")
    said = refused(tmp_path, text, word)
    assert said == "layer 'c': a layer of another phase or stage has its name"
