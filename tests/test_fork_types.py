"""Types of forks: which of several a text means, their shapes, and what they refuse."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from netsurgery.engines.contract import EngineOptions
from netsurgery.engines.ort import open_engine
from netsurgery.errors import NetError, PrototxtError, SurgeryError
from netsurgery.export.layers import check_types
from netsurgery.formats.prototxt import Prototxt
from netsurgery.net import types
from netsurgery.net.known_fields import unknown_fields
from netsurgery.net.net import Layer, NetDefinition
from netsurgery.net.shapes import infer

pytestmark = pytest.mark.usefixtures("option_names")

Shape = tuple[int, ...]
BATCH: tuple[Shape, ...] = ((2, 8, 6, 4),)


def net_of(layer: str, *bottoms: Shape) -> NetDefinition:
    """A net of inputs in0, in1 ... and one layer, its top out."""
    text = ""
    for i, shape in enumerate(bottoms):
        dims = " ".join(f"dim: {dim}" for dim in shape)
        text += f'input: "in{i}" input_shape {{ {dims} }}\n'
    reads = " ".join(f'bottom: "in{i}"' for i in range(len(bottoms)))
    tops = "" if "top:" in layer else 'top: "out" '
    return NetDefinition.of(
        Prototxt.parse(f"{text} layer {{ name: 'l' {reads} {tops}{layer} }}", "n")
    )


def layer_of(text: str, *bottoms: Shape) -> Layer:
    return net_of(text, *(bottoms or BATCH)).layers[-1]


def kind(text: str) -> str | None:
    record = types.of(layer_of(text))
    return record.name if record else None


TWO = "param { lr_mult: 1 } param { lr_mult: 1 } "


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("type: 'BN' bn_param { bn_mode: INFERENCE }", "BN (SegNet)"),
        ("type: 'BN' bn_param { scale_filler { } }", "BN (SegNet)"),
        ("type: 'BN' bn_param { shift_filler { } }", "BN (SegNet)"),
        (f"type: 'BN' {TWO}", "BN (SegNet)"),
        ("type: 'BN' bn_param { slope_filler { } bias_filler { } }", "BN (PSPNet)"),
        *(
            (f"type: 'BN' bn_param {{ {field} }}", "BN (PSPNet)")
            for field in ("momentum: 0.9", "eps: 1", "frozen: true", "engine: CUDNN")
        ),
        (f"type: 'BN' {TWO} {TWO}", "BN (PSPNet)"),
        ("type: 'BN'", None),
        ("type: 'BN' bn_param { bn_mode: INFERENCE frozen: true }", None),
        ("type: 'BatchNorm'", "BatchNorm"),
        ("type: 'BatchNorm' batch_norm_param { eps: 1 use_global_stats: true }", "BatchNorm"),
        *(
            (f"type: 'BatchNorm' batch_norm_param {{ {field} }}", "BatchNorm (NVCaffe)")
            for field in ("scale_bias: true", "scale_filler { }", "bias_filler { }")
        ),
        ("type: 'BatchNorm' batch_norm_param { scale_bias: false }", "BatchNorm (NVCaffe)"),
        *(
            (f"type: 'Dropout' dropout_param {{ {fields} }}", "Dropout (R-FCN)")
            for fields in ("scale_train: false", "dropout_ratio: 0.2 scale_train: 0")
        ),
        *(
            (f"type: 'Dropout' dropout_param {{ {fields} }}", "Dropout")
            for fields in ("", "scale_train: true", "scale_train: maybe")
        ),
        ("type: 'Normalize'", "Normalize (face)"),
        ("type: 'Normalize' normalize_param { normalize_type: 'L1' }", "Normalize (face)"),
        ("type: 'Normalize' norm_param { }", "Normalize"),
        ("type: 'DepthwiseConv'", "DepthwiseConvolution"),
        ("type: 'ConvolutionDepthwise'", "DepthwiseConvolution"),
        ("type: 'SELU'", "SeLU"),
    ],
)
def test_a_text_says_which_type_it_means(text: str, name: str | None) -> None:
    assert kind(text) == name


def test_what_one_fork_has_is_unknown_in_the_others() -> None:
    assert not unknown_fields(layer_of("type: 'BN' bn_param { frozen: true eps: 1 }"))
    layer = layer_of("type: 'BN' bn_param { bn_mode: INFERENCE decay: 1 }")
    assert [field.name for field in unknown_fields(layer)] == ["decay"]
    layer = layer_of("type: 'BatchNorm' batch_norm_param { disable_mean: true }")
    assert [field.name for field in unknown_fields(layer)] == ["disable_mean"]


PRIORS = "type: 'PriorBox' prior_box_param { min_size: 30 max_size: 60 aspect_ratio: 2 flip: "


@pytest.mark.parametrize(
    ("text", "bottoms", "top"),
    [
        ("type: 'BN' bn_param { bn_mode: INFERENCE }", ((2, 8),), (2, 8, 1, 1)),
        ("type: 'BN' bn_param { frozen: true }", ((2, 8),), (2, 8)),
        ("type: 'Normalize'", ((2, 8),), (2, 8, 1, 1)),
        ("type: 'Reorg' reorg_param { stride: 2 }", BATCH, (2, 32, 3, 2)),
        ("type: 'Reorg' reorg_param { stride: 2 reverse: true }", BATCH, (2, 2, 12, 8)),
        ("type: 'Reverse' reverse_param { axis: 0 }", BATCH, (2, 8, 6, 4)),
        ("type: 'Pad' pad_param { paddings: [0,0,0,0,1,2,3,4] }", BATCH, (2, 8, 9, 11)),
        ("type: 'Transpose' transpose_param { dim: [1, 0, 2, 3] }", BATCH, (8, 2, 6, 4)),
        ("type: 'SELU'", BATCH, (2, 8, 6, 4)),
        (
            "type: 'ROIPooling' roi_pooling_param { pooled_h: 7 pooled_w: 6 }",
            (*BATCH, (30, 5)),
            (30, 8, 7, 6),
        ),
        (
            "type: 'ROIAlign' roi_align_param { pooled_h: 7 pooled_w: 6 }",
            (*BATCH, (30, 5, 1, 1)),
            (30, 8, 7, 6),
        ),
        (
            "type: 'PSROIPooling' psroi_pooling_param { output_dim: 2 group_size: 2 "
            "spatial_scale: 1 }",
            (*BATCH, (30, 5)),
            (30, 2, 2, 2),
        ),
        (PRIORS + "true }", (*BATCH, (1, 3, 300, 300)), (1, 2, 6 * 4 * 4 * 4)),
        (PRIORS + "false }", (*BATCH, (1, 3, 300, 300)), (1, 2, 6 * 4 * 3 * 4)),
        ("type: 'MultiBoxLoss'", (*BATCH, *BATCH, *BATCH, *BATCH), ()),
        ("type: 'SmoothL1Loss'", (*BATCH, *BATCH), ()),
    ],
)
def test_shapes_are_those_of_the_fork(text: str, bottoms: tuple[Shape, ...], top: Shape) -> None:
    net = net_of(text, *bottoms)
    assert infer(net).of("out") == top
    record = types.of(net.layers[-1])
    assert record is not None
    if record.runs:
        check_types(net)
    else:
        with pytest.raises(PrototxtError, match=record.name):
            check_types(net)


def test_a_reverse_of_no_axis_has_a_shape_and_does_not_run(tmp_path: Path) -> None:
    net = net_of("type: 'Reverse'", *BATCH)
    assert infer(net).of("out") == BATCH[0]
    path = tmp_path / "net.prototxt"
    path.write_text(net.prototxt.text)
    with (
        open_engine(EngineOptions(threads=1)) as engine,
        engine.load(path) as loaded,
        pytest.raises(PrototxtError, match="axis is missing"),
    ):
        loaded.forward({"in0": np.zeros(BATCH[0], np.float32)}, ["out"])


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("type: 'DetectionOutput' detection_output_param { num_classes: 3 }", 3),
        ("type: 'Proposal' proposal_param { feat_stride: 8 }", 3),
        ("type: 'YoloDetectionOutput'", 1),
        ("type: 'Yolov3DetectionOutput'", 2),
    ],
)
def test_a_shape_that_values_say_is_not_known(text: str, count: int) -> None:
    net = net_of(text, *BATCH * count)
    shapes = infer(net)
    with pytest.raises(NetError, match="it depends on the numbers that the layer reads; --input-"):
        shapes.of("out")
    assert not shapes.why_no_params(net.layers[-1])


@pytest.mark.parametrize("kind", ["DepthwiseConvolution", "DepthwiseConv", "ConvolutionDepthwise"])
def test_a_depthwise_convolution_has_a_group_for_each_channel(kind: str) -> None:
    net = net_of(f"type: '{kind}' convolution_param {{ kernel_size: 3 }}", *BATCH)
    shapes = infer(net)
    assert shapes.params["l"] == ((8, 1, 3, 3), (8,))
    assert shapes.of("out") == (2, 8, 4, 2)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("type: 'BN' bn_param { bn_mode: GUESS }", "bn_mode GUESS; expected LEARN or INFERENCE"),
        ("type: 'Normalize' normalize_param { normalize_type: 'L3' }", "expected L2 or L1"),
        ("type: 'Reorg'", "stride is missing"),
        ("type: 'Reorg' reorg_param { stride: 4 }", "cannot be divided into 4x4 parts"),
        ("type: 'Reverse' reverse_param { axis: [1, -3] }", "names one twice"),
        ("type: 'Pad' pad_param { paddings: 1 }", "1 padding for 4 axes"),
        ("type: 'Transpose' transpose_param { dim: 1 }", "expected each axis from 0 to 3 once"),
        ("type: 'ConvolutionDepthwise' convolution_param { kernel_size: 3 group: 2 }",
         "group 2; a depthwise one of 8 channels has as many"),
        ("type: 'ConvolutionDepthwise' convolution_param { kernel_size: 3 num_output: 4 }",
         "num_output 4"),
    ],
)  # fmt: skip
def test_what_a_fork_refuses_makes_the_shape_unknown(text: str, what: str) -> None:
    with pytest.raises(PrototxtError, match="layer 'l'") as caught:
        infer(net_of(text, *BATCH)).of("out")
    assert what in caught.value.what


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ("", "min_size is missing"),
        ("min_size: 0", "min_size 0; expected a number above 0"),
        ("min_size: 4 max_size: [5, 6]", "2 max_size for 1 min_size"),
        ("min_size: 4 max_size: 4", "max_size 4 is not above min_size 4"),
        ("min_size: 4 variance: [1, 2]", "2 variance; expected 1 or 4"),
        ("min_size: 4 step: 1 step_h: 1 step_w: 1", "step is given beside step_h or step_w"),
        ("min_size: 4 img_h: 1", "img_h 1 and img_w 0; expected both above 0"),
    ],
)
def test_what_a_prior_box_refuses(fields: str, what: str) -> None:
    net = net_of(f"type: 'PriorBox' prior_box_param {{ {fields} }}", *BATCH, (1, 3, 30, 30))
    with pytest.raises(PrototxtError) as caught:
        infer(net).of("out")
    assert what in caught.value.what


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("type: 'ROIPooling' roi_pooling_param { pooled_h: 7 }", "pooled_h or pooled_w is missing"),
        ("type: 'ROIPooling' roi_pooling_param { pooled_h: 7 pooled_w: 7 }",
         "rows of 8; expected 5 numbers a region"),
        ("type: 'PSROIPooling' psroi_pooling_param { output_dim: 2 group_size: 3 "
         "spatial_scale: 1 }", "8 channels; expected 18, output_dim x group_size^2"),
        ("type: 'PSROIPooling' psroi_pooling_param { output_dim: 2 }", "group_size is missing"),
    ],
)  # fmt: skip
def test_what_pooled_regions_refuse(text: str, what: str) -> None:
    with pytest.raises(PrototxtError) as caught:
        infer(net_of(text, *BATCH, (3, 8))).of("out")
    assert what in caught.value.what


def test_a_statistic_that_forks_read_otherwise_is_refused() -> None:
    """Caffe 1.0 divides by BatchNorm's third param, NVCaffe does not."""
    layer = layer_of("type: 'BatchNorm' batch_norm_param { scale_bias: true }")
    record = types.of(layer)
    assert record is not None
    assert record.affine is not None
    params = [np.ones(8), np.ones(8), np.full(1, 0.5), np.ones(8), np.ones(8)]
    with pytest.raises(SurgeryError, match=r"its param 2 is 0\.5, expected 1"):
        record.affine(layer, lambda index: params[index], 8)


def test_a_prototxt_of_a_detector_has_its_shapes(tmp_path: Path) -> None:
    text = """
    input: "data" input_shape { dim: 1 dim: 3 dim: 32 dim: 32 }
    layer { name: "c" type: "Convolution" bottom: "data" top: "c"
      convolution_param { num_output: 8 kernel_size: 3 } }
    layer { name: "p" type: "PriorBox" bottom: "c" bottom: "data" top: "p"
      prior_box_param { min_size: 4 } }
    layer { name: "d" type: "DetectionOutput" bottom: "c" bottom: "c" bottom: "p" top: "d" }
    layer { name: "s" type: "Silence" bottom: "d" }
    """
    shapes = infer(NetDefinition.of(Prototxt.parse(text, "n")))
    assert shapes.of("p") == (1, 2, 30 * 30 * 4)
    assert list(shapes.unknown) == ["d"]
