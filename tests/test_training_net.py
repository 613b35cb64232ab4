"""The net that is trained, made of the author's text: its inputs, its losses, what is frozen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from netsurgery.engines.pycaffe import PycaffeEngine
from netsurgery.errors import NetError, PrototxtError, SurgeryError
from netsurgery.formats.prototxt import Prototxt
from netsurgery.net.net import NetDefinition
from netsurgery.net.shapes import infer
from netsurgery.net.state import NetState, Phase
from netsurgery.training.solver_text import SolverSettings, solver_text
from netsurgery.training.training_net import TrainingNet, training_net

#: A net of training: data by phase, a classifier on the way, accuracy, and what only TEST has.
TRAIN_VAL = """
name: "Small"  # kept
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TRAIN }
        transform_param { crop_size: 16 } data_param { source: "a_lmdb" batch_size: 4 } }
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TEST }
        transform_param { crop_size: 16 } data_param { source: "b_lmdb" batch_size: 2 } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
        param { name: "w" lr_mult: 1 }
        convolution_param { num_output: 4 kernel_size: 3 stride: 2 } }
layer { name: "bn1" type: "BatchNorm" bottom: "conv1" top: "conv1" }
layer { name: "scale1" type: "Scale" bottom: "conv1" top: "conv1" }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "pool" type: "Pooling" bottom: "conv1" top: "pool"
        pooling_param { pool: AVE kernel_size: 3 stride: 2 } }
layer { name: "aux" type: "InnerProduct" bottom: "pool" top: "aux"
        inner_product_param { num_output: 3 } }
layer { name: "loss1" type: "SoftmaxWithLoss" bottom: "aux" bottom: "label" top: "loss1"
        loss_weight: 0.25 }
layer { name: "conv2" type: "Convolution" bottom: "conv1" top: "conv2"
        convolution_param { num_output: 4 kernel_size: 3 } }
layer { name: "drop" type: "Dropout" bottom: "conv2" top: "conv2" }
layer { name: "fc" type: "InnerProduct" bottom: "conv2" top: "fc"
        inner_product_param { num_output: 3 } }
layer { name: "loss2" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss2" }
layer { name: "accuracy" type: "Accuracy" bottom: "fc" bottom: "label" top: "accuracy"
        include { phase: TEST } }
"""
SHAPES = {"data": (4, 1, 16, 16)}

DIGITS = "prototxt/digits_deploy.prototxt"
LABELS_AND_LOSS = """
layer { name: "of" type: "Input" top: "of" input_param { shape { dim: 1 } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip2" bottom: "of" top: "loss" }
"""

Make = Callable[..., TrainingNet]


@pytest.fixture
def make_net() -> Make:
    def make(text: str = TRAIN_VAL, **options: Any) -> TrainingNet:
        net = NetDefinition.of(Prototxt.parse(text, "net.prototxt"))
        shapes = {blob: shape for blob, shape in SHAPES.items() if text == TRAIN_VAL}
        return training_net(net.at(shapes), **{"size": (32, 24), "batch": 2, **options})

    return make


def test_a_net_of_training_gets_inputs_and_one_loss(make_net: Make) -> None:
    made_net = make_net()
    assert made_net.data == {"data": (2, 1, 32, 24)}
    assert made_net.labels == {"label": (2, 1, 9, 5)}
    assert made_net.losses == ("loss2",)
    assert "# kept" in made_net.text
    layers = [(layer.name, layer.type) for layer in made_net.net.layers]
    assert layers == [
        ("data", "Input"),
        ("conv1", "Convolution"),
        ("bn1", "BatchNorm"),
        ("scale1", "Scale"),
        ("relu1", "ReLU"),
        ("conv2", "Convolution"),
        ("drop", "Dropout"),
        ("fc-conv", "Convolution"),
        ("label", "Input"),
        ("loss2", "SoftmaxWithLoss"),
    ]
    assert [note for note in made_net.notes if "'loss1'" in note]


def test_its_deploy_net_ends_with_probabilities_in_every_phase(make_net: Make) -> None:
    made_net = make_net()
    deploy = made_net.deploy
    assert [layer.name for layer in deploy.layers][-2:] == ["fc-conv", "prob"]
    assert deploy.outputs == ("prob",)
    assert infer(deploy).blobs["prob"] == (1, 3, 9, 5)
    train = NetDefinition.of(deploy.prototxt, replace(deploy.state, phase="TRAIN"))
    assert [layer.name for layer in train.layers] == [layer.name for layer in deploy.layers]


def test_classifiers_on_the_way_have_labels_of_their_own_grid(make_net: Make) -> None:
    made_net = make_net(keep_auxiliary=True)
    assert made_net.labels == {"label-loss1": (2, 1, 5, 3), "label": (2, 1, 9, 5)}
    assert made_net.scores == ("aux-conv", "fc-conv")
    assert made_net.losses == ("loss1", "loss2")
    (loss,) = [layer for layer in made_net.net.layers if layer.name == "loss1"]
    assert loss.bottoms == ("aux-conv", "label-loss1")
    assert loss.message.number("loss_weight", 1.0) == 0.25
    assert "aux" not in made_net.deploy_text


@pytest.mark.parametrize(
    ("written", "weight"),
    [
        ("loss_weight: 0.123456789", 0.123456789),
        ('top: "prob" loss_weight: 0.5 loss_weight: 0', 0.5),
        ('top: "prob" loss_weight: [0.5, 0]', 0.5),
    ],
)
def test_a_loss_keeps_its_weight(written: str, weight: float) -> None:
    text = TRAIN_VAL.replace("loss_weight: 0.25", written)
    net = NetDefinition.of(Prototxt.parse(text)).at(SHAPES)
    made_net = training_net(net, size=(32, 24), keep_auxiliary=True)
    (loss,) = [layer for layer in made_net.net.layers if layer.name == "loss1"]
    assert loss.message.number("loss_weight", 1.0) == weight


def test_two_losses_on_one_grid_share_their_labels(make_net: Make) -> None:
    text = TRAIN_VAL.replace("conv2", "conv3").replace(
        'layer { name: "drop"',
        'layer { name: "fc2" type: "InnerProduct" bottom: "conv3" top: "fc2"'
        " inner_product_param { num_output: 3 } }"
        ' layer { name: "loss3" type: "SoftmaxWithLoss" bottom: "fc2" bottom: "label" }'
        ' layer { name: "drop"',
    )
    net = NetDefinition.of(Prototxt.parse(text)).at(SHAPES)
    made_net = training_net(net, size=(32, 24), keep_auxiliary=True)
    assert list(made_net.labels) == ["label-loss1", "label"]
    assert len(made_net.scores) == 3


def test_new_outputs_are_a_layer_that_no_weights_have(make_net: Make) -> None:
    made_net = make_net(outputs=5)
    layer = made_net.net.layer("fc-conv-5")
    assert made_net.renamed == {"fc-conv": "fc-conv-5"}
    assert layer.param("convolution_param").integer("num_output", 0) == 5
    assert layer.param("convolution_param").message("weight_filler") is not None
    assert infer(made_net.deploy).blobs["prob"] == (1, 5, 9, 5)
    same = make_net(outputs=3)
    assert not same.renamed
    assert same.text == make_net().text


@pytest.mark.parametrize("phase", ["TEST", "TRAIN"])
def test_a_net_that_is_one_in_one_phase_is_taken_as_it_was_read(
    repo_root: Path, phase: Phase
) -> None:
    text = (repo_root / DIGITS).read_text(encoding="utf-8")
    for more in ("", LABELS_AND_LOSS):
        own = text.replace('"Input"', f'"Input" include {{ phase: {phase} }}') + more
        state = NetState(phase=phase)
        net, same = (
            training_net(NetDefinition.of(Prototxt.parse(each), state), size=(48, 56))
            for each in (own, text + more)
        )
        assert net.text.split() == same.text.split()


def test_a_loss_that_fits_nothing_is_not_left_out(repo_root: Path) -> None:
    """It is for TRAIN alone, and there the text does not fit together."""
    text = (repo_root / DIGITS).read_text(encoding="utf-8")
    loss = LABELS_AND_LOSS.replace(
        '"SoftmaxWithLoss"', '"SoftmaxWithLoss" include { phase: TRAIN }'
    )
    net = NetDefinition.of(Prototxt.parse(text + loss.replace('"ip2"', '"ip3"')))
    with pytest.raises(PrototxtError, match="its bottom 'ip3' is made by no layer before it"):
        training_net(net, size=(48, 56))


def test_what_is_frozen_has_a_rate_of_zero(make_net: Make) -> None:
    net = make_net(freeze=["conv1", "fc"]).net
    rates = {
        layer.name: [param.number("lr_mult", 1.0) for param in layer.message.messages("param")]
        for layer in net.layers
        if layer.message.all("param")
    }
    assert rates == {"conv1": [0, 0], "fc-conv": [0, 0]}
    # The param is still shared under its name.
    assert net.layer("conv1").param_names == ("w", "")


def test_batch_norms_keep_their_statistics_unless_asked(make_net: Make) -> None:
    for options, stored in (({}, True), ({"train_batch_norm": True}, False)):
        layer = make_net(**options).net.layer("bn1")
        message = layer.message.message("batch_norm_param")
        assert message is not None
        assert message.boolean("use_global_stats", not stored) is stored
    frozen = make_net(train_batch_norm=True, freeze=["bn1"]).net.layer("bn1")
    assert frozen.param("batch_norm_param").boolean("use_global_stats", default=False)
    said = TRAIN_VAL.replace(
        'type: "BatchNorm"', 'type: "BatchNorm" batch_norm_param { use_global_stats: false }'
    )
    net = NetDefinition.of(Prototxt.parse(said)).at(SHAPES)
    again = training_net(net, size=(32, 24))
    assert "use_global_stats: true" in again.text
    assert "use_global_stats: false" not in again.text


DEPLOY = """
input: "data" input_shape { dim: 9 dim: 1 dim: 8 dim: 8 }
layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc"
        inner_product_param { num_output: 4 } }
layer { name: "softmax" type: "Softmax" bottom: "fc" top: "fc" }
"""


def test_a_softmax_in_place_goes_and_comes_back(make_net: Make) -> None:
    made_net = make_net(DEPLOY, size=(10, 11))
    assert made_net.score == "fc-conv"
    assert [layer.type for layer in made_net.net.layers] == [
        "Input",
        "Convolution",
        "Input",
        "SoftmaxWithLoss",
    ]
    assert made_net.deploy.layers[-1].name == "softmax"
    assert infer(made_net.deploy).blobs[made_net.deploy.outputs[0]] == (1, 4, 3, 4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{DEPLOY}layer {{ name: 's' type: 'Split' bottom: 'fc' top: 'a' top: 'b' }}", "'a', 'b'"),
        (TRAIN_VAL.replace("SoftmaxWithLoss", "HingeLoss"), "HingeLoss"),
        (TRAIN_VAL.replace("label", "data2"), "'data'"),
        (DEPLOY.replace("num_output: 4", "num_output: 4 axis: 2"), "'fc'"),
    ],
)
def test_what_cannot_be_trained_is_refused(text: str, message: str) -> None:
    net = NetDefinition.of(Prototxt.parse(text, "net.prototxt"))
    with pytest.raises(SurgeryError) as error:
        training_net(net, size=(16, 16))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_freezing_what_is_not_there_is_refused(make_net: Make) -> None:
    with pytest.raises(NetError, match="no layer named 'conv9'"):
        make_net(freeze=["conv9"])
    with pytest.raises(SurgeryError, match=r"'relu1' .*no params"):
        make_net(freeze=["relu1"])


def test_a_shared_param_is_frozen_in_all_layers_or_none() -> None:
    """Caffe takes no two rates of one param, and of one rate makes that of all who share it."""
    text = TRAIN_VAL.replace('top: "conv2"\n', 'top: "conv2" param { name: "v" }\n')
    text = text.replace(
        'layer { name: "drop" type: "Dropout" bottom: "conv2" top: "conv2" }',
        'layer { name: "conv3" type: "Convolution" bottom: "conv2" top: "conv3" '
        'param { name: "v" } convolution_param { num_output: 4 kernel_size: 3 } }',
    ).replace('"InnerProduct" bottom: "conv2"', '"InnerProduct" bottom: "conv3"')
    net = NetDefinition.of(Prototxt.parse(text, "net.prototxt")).at(SHAPES)
    for name, sharer in (("conv2", "conv3"), ("conv3", "conv2")):
        with pytest.raises(
            SurgeryError, match=f"'{name}' shares its param 0 with layer '{sharer}'"
        ):
            training_net(net, size=(32, 24), freeze=[name])
    both = training_net(net, size=(32, 24), freeze=["conv2", "conv3"]).net
    assert [both.layer(name).param_names for name in ("conv2", "conv3")] == [("v", "")] * 2


def test_new_outputs_and_some_layer_have_to_be_learnt(make_net: Make) -> None:
    """Outputs at random that stay at random, and a run that changes nothing, help nobody."""
    own = TRAIN_VAL.replace(
        'top: "fc"', 'top: "fc" param { lr_mult: 0 } param { lr_mult: 0 decay_mult: 0 }'
    )
    for text, options in (
        (TRAIN_VAL, {"outputs": 5, "freeze": ["fc"]}),  # from scratch
        (TRAIN_VAL, {"outputs": 5, "own_outputs": 3, "freeze": ["fc"]}),  # grown
        (TRAIN_VAL, {"outputs": 5, "keep_auxiliary": True, "freeze": ["aux"]}),
        (own, {"outputs": 5}),
    ):
        layer = "aux" if "keep_auxiliary" in options else "fc"
        net = NetDefinition.of(Prototxt.parse(text, "net.prototxt")).at(SHAPES)
        way = "but its lr_mult is 0" if text is own else "so it cannot be frozen; leave it out of"
        with pytest.raises(
            SurgeryError, match=f"layer '{layer}' has new outputs, .* learnt, {way}"
        ):
            training_net(net, size=(32, 24), **options)
    layers = ["conv1", "bn1", "scale1", "conv2", "fc"]
    with pytest.raises(SurgeryError, match="nothing would be learnt: the rate of every layer is 0"):
        make_net(freeze=layers)
    for learnt in ("scale1", "fc"):
        make_net(freeze=[name for name in layers if name != learnt])


def test_the_solver_says_what_it_is_given() -> None:
    text = solver_text(SolverSettings(0.02, 900, drop=300, momentum=0.5, decay=0.0, seed=7))
    for line in ("base_lr: 0.02", "stepsize: 300", "momentum: 0.5", "weight_decay: 0"):
        assert line in text.splitlines()
    for wrong in ({"rate": 0.0}, {"momentum": 1.0}, {"seed": -1}, {"steps": 0}, {"drop": 0}):
        with pytest.raises(NetError, match="expected"):
            SolverSettings(**wrong)


def softmax_loss(scores: np.ndarray, labels: np.ndarray, matrix: np.ndarray | None = None) -> float:
    """The mean over the cells with a label, cell by cell as it is defined."""
    total, count = 0.0, 0
    for n, _, y, x in np.argwhere(labels >= 0):
        cell = scores[n, :, y, x].astype(np.float64)
        log = cell - cell.max()
        log -= np.log(np.exp(log).sum())
        label = int(labels[n, 0, y, x])
        total += -log[label] if matrix is None else -(matrix[label] * log).sum()
        count += 1
    return total / count


@pytest.mark.caffe
@pytest.mark.parametrize("loss", ["softmax", "infogain"])
def test_the_losses_are_caffes_over_the_cells_that_count(
    make_net: Make, loss: Any, caffe_engine: PycaffeEngine
) -> None:
    made_net = make_net(keep_auxiliary=True, loss=loss)
    rng = np.random.default_rng(5)
    inputs = {"data": rng.normal(size=(2, 1, 32, 24)).astype(np.float32)}
    for name, shape in made_net.labels.items():
        inputs[name] = rng.integers(-1, 3, shape).astype(np.float32)
    matrix = rng.uniform(size=(3, 3)).astype(np.float32) if loss == "infogain" else None
    if matrix is not None:
        inputs[made_net.infogain] = matrix.reshape(1, 1, 3, 3)
    with caffe_engine.load(made_net.net) as net:
        for layer, shapes in net.params.items():
            for index, shape in enumerate(shapes):
                values = rng.normal(size=shape) / 5 if layer[0] in "cfa" else np.ones(shape)
                net.set_param(layer, index, values.astype(np.float32))
        out = net.forward(inputs, [*made_net.losses, *made_net.scores])
    for blob, score, label in zip(made_net.losses, made_net.scores, made_net.labels, strict=True):
        expected = softmax_loss(out[score], inputs[label], matrix)
        assert float(out[blob]) == pytest.approx(expected, rel=1e-4)


@pytest.mark.caffe
@pytest.mark.parametrize(
    ("path", "options"),
    [
        ("prototxt/digits_deploy.prototxt", {"size": (48, 56)}),
        ("examples/06_train_digits/train_val.prototxt", {"size": (48, 56), "outputs": 5}),
    ],
)
def test_nets_of_ours_load_in_caffe(
    path: str, options: dict[str, Any], repo_root: Path, caffe_engine: PycaffeEngine
) -> None:
    made_net = training_net(NetDefinition.read(repo_root / path), batch=2, **options)
    with caffe_engine.load(made_net.net) as net, caffe_engine.load(made_net.deploy) as deploy:
        assert net.blobs[made_net.score] == (2, made_net.outputs, 3, 4)
        assert deploy.params == net.params
