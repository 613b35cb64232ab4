"""Channels cut out of nets: what is refused, and what becomes of text and records."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from caffe_schema import caffe_messages, net_parameter
from filling import initialize
from small_models import model_layer, write_model

from netsurgery.errors import SurgeryError
from netsurgery.formats.prototxt import Prototxt
from netsurgery.net.net import NetDefinition
from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.surgery.edit.plan import EditPlan, plan_edit
from netsurgery.surgery.edit.write import EditPaths, write_edit

INPUT = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: [1, 4, 6, 6] } } }\n'


def layer(kind: str, name: str, bottoms: str, more: str = "", top: str = "") -> str:
    reads = " ".join(f'bottom: "{bottom}"' for bottom in bottoms.split())
    makes = " ".join(f'top: "{each}"' for each in (top or name).split())
    return f'layer {{ name: "{name}" type: "{kind}" {reads} {makes} {more} }}\n'


def conv(name: str, bottom: str, outputs: int = 4, more: str = "", extra: str = "") -> str:
    param = f"convolution_param {{ num_output: {outputs} kernel_size: 1 {more} }} {extra}"
    return layer("Convolution", name, bottom, param)


FIRST = INPUT + conv("c", "x")


def planned(folder: Path, text: str, *operations: str) -> EditPlan:
    net = NetDefinition.of(Prototxt.parse(text, "n.prototxt"))
    initialize(net, folder / "m", seed=1)
    with NetWithWeights(net, folder / "m") as model:
        plan = plan_edit(model, operations)
        write_edit(plan, model, EditPaths(folder / "new", folder / "t"), force=True)
        return plan


LOST = "computes with several channels at once: without some of them the others change"


NORMALIZES = (
    "normalizes across channels: without some of them the others change; "
    "normalization=approximate after another colon allows it"
)


@pytest.mark.parametrize(
    ("behind", "word", "what"),
    [
        (layer("LRN", "n", "c"), "c:drop=0", f"layer 'n' (LRN) {NORMALIZES}"),
        (layer("Normalize", "n", "c"), "c:drop=0", f"layer 'n' (Normalize) {NORMALIZES}"),
        (
            layer("MVN", "n", "c", "mvn_param { across_channels: true }"),
            "c:drop=0",
            f"layer 'n' (MVN) {NORMALIZES}",
        ),
        (
            layer("Strange", "s", "c"),
            "c:drop=0",
            "layer 's' (Strange) treats its channels in a way that is not known",
        ),
        (
            layer("ReLU", "r", "c") + layer("SPP", "s", "r", "spp_param { pyramid_height: 2 }"),
            "c:drop=0",
            f"layer 's' (SPP) {LOST}",
        ),
        (
            layer("Eltwise", "e", "c x"),
            "c:drop=0",
            "layer 'e' (Eltwise) would cut 'x', an input of the net",
        ),
        (
            layer("DummyData", "d", "", "dummy_data_param { shape { dim: [1, 4, 6, 6] } }")
            + layer("Eltwise", "e", "c d"),
            "c:drop=0",
            "layer 'd' (DummyData) takes its channels from no layer before it",
        ),
        (
            layer("ReLU", "r", "c") + layer("Accuracy", "a", "r x", "include { phase: TRAIN }"),
            "c:drop=0",
            "layer 'a' of another phase or stage names 'r'",
        ),
        (
            conv("d", "c", 4, extra='param { name: "w" }')
            + conv("e", "x", 4, extra='param { name: "w" }'),
            "c:drop=0",
            "layer 'd': it shares its param 0 with layer 'e'",
        ),
        (
            conv("d", "c", 4, extra="include { phase: TEST }")
            + conv("d", "x", 4, extra="include { phase: TRAIN }"),
            "c:drop=0",
            "layer 'd': a layer of another phase or stage has its name",
        ),
        (
            conv("d", "c", 4, "group: 2"),
            "c:drop=0",
            "layer 'd' (Convolution) has 2 groups of 2 inputs, which would neither stay equal "
            "in size nor go whole",
        ),
        (
            conv("d", "c", 4, "group: 2"),
            "d:drop=0",
            "it (Convolution) has 2 groups of 2 outputs, which would neither stay equal in size "
            "nor go whole",
        ),
        (
            layer("ShuffleChannel", "s", "c", "shuffle_channel_param { group: 2 }"),
            "c:drop=0",
            "layer 's' (ShuffleChannel) shuffles 2 groups; 3 of 4 are left",
        ),
        (
            layer("Reshape", "s", "c", "reshape_param { shape { dim: [0, 2, 2, 6, 6] } }"),
            "c:drop=0",
            "layer 's' (Reshape) mixes its channels with other axes",
        ),
        (
            layer("Flatten", "f", "c", top="c").replace('"c" top: "c"', '"c" top: "c"'),
            "c:drop=0",
            "layer 'f' (Flatten) changes the shape of a blob in place",
        ),
        (
            layer("Concat", "j", "c x") + layer("Eltwise", "e", "j k").replace('"k"', '"j"')
            + conv("d", "j", 8) + layer("Eltwise", "f", "j d"),
            "d:keep=4,0,1,2,3,5,6,7",
            "layer 'j' (Concat) would have to mix the channels of several blobs",
        ),
        (
            layer("Slice", "s", "c", top="l r") + layer("Eltwise", "e", "l r"),
            "c:drop=0",
            "its channels 2 are joined with others that would go; name these too",
        ),
        (
            layer("Eltwise", "e", "c k").replace('"k"', '"c"') + conv("k", "x")
            + layer("Eltwise", "f", "c k") + layer("Slice", "s", "k", top="l r")
            + layer("Concat", "j", "r l") + layer("Eltwise", "g", "j c"),
            "c:keep=1,0,2,3",
            "layer 'j' (Concat) reaches 'l' on another way, with other channels or another order",
        ),
        (
            layer("SoftmaxWithLoss", "loss", "c x"),
            "c:drop=0",
            "layer 'loss' (SoftmaxWithLoss) is for training; give the deploy prototxt",
        ),
        (
            layer("Softmax", "p", "c") + conv("d", "p"),
            "c:drop=0",
            "layer 'd' (Convolution) reads shares of all channels, from 'p', which would "
            "change",
        ),
        (
            layer("Softmax", "p", "c") + layer("Eltwise", "e", "p x"),
            "c:drop=0",
            "layer 'e' (Eltwise) reads shares of all channels, from 'p'",
        ),
        (
            layer("ArgMax", "m", "c", "argmax_param { axis: 1 }") + conv("d", "m"),
            "c:drop=0",
            "layer 'd' (Convolution) reads the numbers of channels from 'm'",
        ),
        (
            layer("ArgMax", "m", "c", "argmax_param { axis: 1 top_k: 4 }"),
            "c:drop=0",
            "layer 'm' wants the best 4 of 3 outputs",
        ),
        (
            layer("Tile", "t", "c", "tile_param { tiles: 2 }"),
            "c:drop=0",
            "layer 't' (Tile) moves its channels in a way that is not followed",
        ),
        (
            layer("Crop", "k", "c x", "crop_param { axis: 1 }"),
            "c:drop=0",
            "layer 'k' (Crop) moves its channels in a way that is not followed",
        ),
        (
            layer("Permute", "p", "c", "permute_param { order: [0, 2, 3, 1] }")
            + layer("Pooling", "q", "p", "pooling_param { kernel_size: 1 }"),
            "c:drop=0",
            "layer 'q' (Pooling) does not treat axis 3 place by place",
        ),
        (
            layer("Permute", "p", "c", "permute_param { order: [0, 2, 3, 1] }") + conv("d", "p"),
            "c:drop=0",
            "layer 'd' (Convolution) has its channels on axis 1, not 3",
        ),
        (
            layer("Crop", "k", "x c", "crop_param { axis: 1 }"),
            "c:drop=0",
            "layer 'k' (Crop) takes the size of 'c' along axis 1",
        ),
        (
            layer("ReLU", "r", "c", "relu_param { upto: 6 }"),
            "c:drop=0",
            "n.prototxt:3:66: layer 'r' (ReLU): relu_param has a field upto, which is not known",
        ),
        (layer("Slice", "s", "c", top="l r"), "s:drop=0", "it has 2 tops; name a layer after it"),
        (layer("Silence", "s", "c").replace('top: "s"', ""), "s:drop=0", "computes no outputs"),
    ],
)  # fmt: skip
def test_what_cannot_be_followed_is_refused(
    tmp_path: Path, behind: str, word: str, what: str
) -> None:
    with pytest.raises(SurgeryError) as caught:
        planned(tmp_path, FIRST + behind, f"outputs:{word}")
    assert what in str(caught.value)
    assert str(caught.value).startswith((f"outputs:{word}: layer '", f"outputs:{word}: n.proto"))
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "behind",
    [
        layer("Strange", "s", "d") + layer("LRN", "n", "d"),
        layer("Silence", "s", "c").replace('top: "s"', ""),
        layer("Crop", "k", "x c", "crop_param { axis: 2 }"),
        layer("PriorBox", "k", "c x"),
        conv("e", "x", extra='param { name: "w" }') + conv("f", "x", extra='param { name: "w" }'),
    ],
)
def test_what_is_not_on_the_way_stops_nothing(tmp_path: Path, behind: str) -> None:
    """Nor does a layer that only takes a blob's size."""
    plan = planned(tmp_path, FIRST + conv("d", "c", 3) + behind, "outputs:c:drop=1-2")
    assert list(plan.changes) == ["c", "d"]
    assert plan.text == (FIRST + conv("d", "c", 3) + behind).replace(
        "num_output: 4", "num_output: 2", 1
    )
    assert plan.notes == plan.net.notes


def test_what_is_said(tmp_path: Path) -> None:
    text = FIRST + layer("BatchNorm", "n", "c") + conv("d", "n", 3)
    plan = planned(tmp_path, text, "outputs:c:keep=3,0", "outputs:c:keep=0-1", "outputs:d:add=2")
    assert [[f"{p.layer}[{p.index}]: {p.what}" for p in step.params] for step in plan.steps] == [
        [
            "c[0]: 2 of 4 outputs kept, in another order",
            "c[1]: 2 of 4 outputs kept, in another order",
            "n[0]: 2 of 4 channels kept, in another order",
            "n[1]: 2 of 4 channels kept, in another order",
            "d[0]: 2 of 4 inputs kept, in another order",
        ],
        [],
        [
            "d[0]: 3 of 3 outputs kept, 2 of zeros added",
            "d[1]: 3 of 3 outputs kept, 2 of zeros added",
        ],
    ]
    assert plan.notes == (
        "every output of 'c' stays as it is",
        "the classes of 'd' have changed; a file of labels has to follow",
    )


def test_the_text_follows(tmp_path: Path) -> None:
    text = FIRST + (
        conv("d", "c", 4, "group: 4")
        + layer("Slice", "s", "d", top="l r")
        + layer("Slice", "t", "d", "slice_param { axis: 1 slice_point: 1 }", top="m n")
        + layer("Reshape", "f", "d", "reshape_param { shape { dim: [1, 4, 36, 1] } }")
    )
    plan = planned(tmp_path, text, "outputs:d:drop=2")
    expected = text.replace("num_output: 4", "num_output: 3").replace("group: 4", "group: 3")
    expected = expected.replace('top: "r" ', 'top: "r" slice_param { slice_point: 2 } ')
    assert plan.text == expected.replace("[1, 4, 36, 1]", "[1, 3, 36, 1]")
    changed = [(layer, field.path, field.old, field.new) for layer, field in plan.steps[0].fields]
    assert changed == [
        ("c", "convolution_param.num_output", "4", "3"),
        ("d", "convolution_param.num_output", "4", "3"),
        ("d", "convolution_param.group", "4", "3"),
        ("s", "slice_param", None, "{ slice_point: 2 }"),
        ("f", "reshape_param.shape.dim", "[1, 4, 36, 1]", "[1, 3, 36, 1]"),
    ]


def test_the_models_record_follows(tmp_path: Path) -> None:
    """A caffemodel holds the layers' own messages too: num_output and group."""
    text = FIRST + conv("d", "c", 4, "group: 4 bias_term: false")
    text += layer("InnerProduct", "i", "d", "inner_product_param { num_output: 5 }")
    text += layer("ArgMax", "w", "x", "argmax_param { axis: 1 }")
    text += layer("Embed", "e", "w", "embed_param { num_output: 3 input_dim: 4 }")
    net = NetDefinition.of(Prototxt.parse(text, "n.prototxt"))
    initialize(net, tmp_path / "filled", seed=1)
    record = caffe_messages().NetParameter.FromString((tmp_path / "filled").read_bytes())
    for each, written in zip(record.layer, net_parameter(text).layer, strict=True):
        blobs = list(each.blobs)
        each.CopyFrom(written)
        each.blobs.extend(blobs)
    (tmp_path / "m").write_bytes(record.SerializeToString())
    with NetWithWeights(net, tmp_path / "m") as model:
        plan = plan_edit(model, ["outputs:c:drop=0", "outputs:i:keep=0-1", "outputs:e:add=1"])
        write_edit(plan, model, EditPaths(tmp_path / "new", tmp_path / "t"))
    new = caffe_messages().NetParameter.FromString((tmp_path / "new").read_bytes())
    assert plan.text is not None
    for each, written in zip(new.layer, net_parameter(plan.text).layer, strict=True):
        assert each.convolution_param == written.convolution_param
        assert each.inner_product_param == written.inner_product_param
        assert each.embed_param == written.embed_param


def test_params_that_the_net_does_not_have_are_no_params_to_cut(tmp_path: Path) -> None:
    """A bias of a layer that has none would be lost."""
    net = NetDefinition.of(Prototxt.parse(FIRST + conv("d", "c"), "n.prototxt"))
    initialize(net, tmp_path / "m", seed=1)
    net_without_params = NetDefinition.of(
        Prototxt.parse(FIRST + conv("d", "c", 4, "bias_term: false"), "n.prototxt")
    )
    with (
        NetWithWeights(net_without_params, tmp_path / "m") as model,
        pytest.raises(SurgeryError) as caught,
    ):
        plan_edit(model, ["outputs:c:drop=0"])
    assert "layer 'd': the model has 2 params for it, expected 1" in str(caught.value)


def test_blobs_of_old_files_have_their_params_shapes(tmp_path: Path) -> None:
    """Those too that do not change: as a shape, four axes would be another one."""
    text = FIRST + layer("InnerProduct", "i", "c", "inner_product_param { num_output: 5 }")
    shapes = {"c": [(4, 4, 1, 1), (4,)], "i": [(5, 144), (5,)]}
    layers = [
        model_layer(name, "", *(np.ones(shape, np.float32) for shape in its), how="legacy")
        for name, its in shapes.items()
    ]
    write_model(tmp_path / "m", *layers)
    net = NetDefinition.of(Prototxt.parse(text, "n.prototxt"))
    with NetWithWeights(net, tmp_path / "m") as model:
        plan = plan_edit(model, ["outputs:c:drop=0"])
        write_edit(plan, model, EditPaths(tmp_path / "new", tmp_path / "t"))
    with NetWithWeights(NetDefinition.read(tmp_path / "t"), tmp_path / "new") as new:
        assert not new.fit.mismatches
        assert [blob.shape for blob in new.stored["i"].blobs] == [(5, 108), (5,)]


def test_as_many_numbers_of_another_shape_are_another_shape(tmp_path: Path) -> None:
    text = FIRST + conv("d", "c", 2, "bias_term: false") + layer("Softmax", "p", "d")
    net = NetDefinition.of(Prototxt.parse(text, "n.prototxt"))
    initialize(net, tmp_path / "m", seed=1)
    with NetWithWeights(net, tmp_path / "m") as model:
        plan = plan_edit(model, ["outputs:c:keep=0-1", "outputs:d:add=2"])
        write_edit(plan, model, EditPaths(tmp_path / "new", tmp_path / "t"))
    with NetWithWeights(NetDefinition.read(tmp_path / "t"), tmp_path / "new") as new:
        assert [blob.shape for blob in new.stored["d"].blobs] == [(4, 2, 1, 1)]


def test_a_normalization_lets_pass_what_is_said_to_be_approximate(tmp_path: Path) -> None:
    text = (
        FIRST + layer("LRN", "l", "c") + layer("MVN", "m", "l", "mvn_param { across_channels: 1 }")
    )
    text += layer("Normalize", "n", "m", "norm_param { channel_shared: false }") + conv("d", "n", 2)
    plan = planned(tmp_path, text, "outputs:c:drop=0,2:normalization=approximate")
    assert plan.text == text.replace("num_output: 4", "num_output: 2")
    assert list(plan.changes) == ["c", "n", "d"]
    assert [note.split(":")[0] for note in plan.notes] == [
        f"layer {name!r} normalizes across the channels that are left" for name in "lmn"
    ]
    with NetWithWeights(NetDefinition.read(tmp_path / "t"), tmp_path / "new") as new:
        assert not new.fit.mismatches
    exact = planned(tmp_path, FIRST + conv("d", "c"), "outputs:c:drop=0:normalization=approximate")
    assert exact.notes == exact.net.notes


def test_the_factor_of_a_batch_norm_of_one_channel_is_not_one_a_channel(tmp_path: Path) -> None:
    plan = planned(
        tmp_path, INPUT + conv("c", "x", 1) + layer("BatchNorm", "n", "c"), "outputs:c:add=2"
    )
    changes = {each.index: each.new_shape for each in plan.steps[0].params if each.layer == "n"}
    assert changes == {0: (3,), 1: (3,)}


def test_a_mask_loses_the_channels_of_what_it_goes_with(tmp_path: Path) -> None:
    pool = layer("Pooling", "p", "c", "pooling_param { kernel_size: 2 stride: 2 }", "p mask")
    up = layer("Upsample", "u", "p mask", "upsample_param { scale: 2 }")
    plan = planned(tmp_path, FIRST + pool + up + conv("d", "u", 3), "outputs:c:drop=1")
    assert {(p.layer, p.index): p.new_shape for p in plan.steps[0].params} == {
        ("c", 0): (3, 4, 1, 1), ("c", 1): (3,), ("d", 0): (3, 3, 1, 1),
    }  # fmt: skip
