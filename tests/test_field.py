"""Fields of cells, against figures that are known and against what the numbers themselves do."""

from __future__ import annotations

from pathlib import Path

import pytest

from netsurgery.formats.prototxt import Prototxt
from netsurgery.net import Net
from netsurgery.net.field import Field, fields

CAFFENET = {
    "conv1": (11, 4, 0),
    "pool1": (19, 8, 0),
    "conv2": (51, 8, -16),
    "pool2": (67, 16, -16),
    "conv3": (99, 16, -32),
    "conv5": (163, 16, -64),
    "pool5": (195, 32, -64),
    "fc6-conv": (355, 32, -64),
    "prob": (355, 32, -64),
}


def of(text: str) -> dict[str, Field]:
    header = 'input: "x" input_shape { dim: [1, 2, 12, 20] }\n'
    return fields(Net.of(Prototxt.parse(header + text)))


def along_height(field: Field) -> list[float]:
    return [float(field.size[0]), float(field.stride[0]), float(field.offset[0])]


def test_the_fields_of_caffenet(shared_data: Path) -> None:
    found = fields(Net.read(shared_data / "bvlc" / "bvlc_caffenet_full_conv.prototxt"))
    assert {blob: along_height(found[blob]) for blob in CAFFENET} == {
        blob: list(expected) for blob, expected in CAFFENET.items()
    }


def layer(kind: str, rest: str = "", bottom: str = "x", top: str = "y") -> str:
    return f'layer {{ name: "{top}" type: "{kind}" bottom: "{bottom}" top: "{top}" {rest} }}\n'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (layer("ReLU"), (1, 1, 0)),
        (layer("Convolution", "convolution_param { kernel_size: 3 dilation: 2 num_output: 1 }"),
         (5, 1, 0)),
        (layer("Pooling", "pooling_param { kernel_size: 3 stride: 2 pad: 1 }"), (3, 2, -1)),
        (layer("Pooling", "pooling_param { global_pooling: true }"), (12, 1, 0)),
        (layer("InnerProduct", "inner_product_param { num_output: 1 }"), (12, 1, 0)),
        (layer("LRN", "lrn_param { norm_region: WITHIN_CHANNEL local_size: 3 }"), (3, 1, -1)),
        (layer("Deconvolution", "convolution_param { kernel_size: 4 stride: 2 pad: 1 "
               "num_output: 1 }"), (2, 0.5, -1)),
        (layer("Deconvolution", "convolution_param { kernel_size: 3 stride: 2 num_output: 1 }"),
         (2, 0.5, -1)),
    ],
)  # fmt: skip
def test_one_layer(text: str, expected: tuple[float, float, float]) -> None:
    assert along_height(of(text)["y"]) == list(expected)


@pytest.mark.parametrize(("across", "whole"), [("true", True), ("false", False)])
def test_a_norm_over_all_positions_is_of_the_whole_map(across: str, whole: bool) -> None:
    found = of(layer("Normalize", f"norm_param {{ across_spatial: {across} }}"))["y"]
    assert (found.whole, along_height(found)) == (whole, [1, 1, 0])


def test_whole_map_layers_say_so() -> None:
    pooled = of(layer("Pooling", "pooling_param { global_pooling: true }"))["y"]
    assert pooled.whole
    assert [float(size) for size in pooled.size] == [12, 20]
    behind = layer("Convolution", "convolution_param { kernel_size: 1 num_output: 1 }", "y", "z")
    assert of(layer("Pooling", "pooling_param { global_pooling: true }") + behind)["z"].whole


def test_branches_join_as_their_hull_if_their_strides_agree() -> None:
    wide = layer("Convolution", "convolution_param { kernel_size: 5 pad: 2 num_output: 1 }")
    narrow = layer("Convolution", "convolution_param { kernel_size: 1 num_output: 1 }", top="z")
    join = 'layer { name: "j" type: "Concat" bottom: "y" bottom: "z" top: "j" }'
    assert along_height(of(wide + narrow + join)["j"]) == [5, 1, -2]
    pool = layer("Pooling", "pooling_param { kernel_size: 2 stride: 2 }", top="z")
    halves = "convolution_param { kernel_h: 7 kernel_w: 11 num_output: 2 }"
    assert "j" not in of(layer("Convolution", halves) + pool + join)
    odd = 'layer { name: "j" type: "Eltwise" bottom: "y" bottom: "z" top: "j" }'
    same = layer("ReLU")
    with pytest.raises(Exception, match="differ in shape"):
        of(same + pool + odd)


@pytest.mark.parametrize("kind", ["Permute", "Reshape", "LSTM", "Mystery"])
def test_what_no_window_describes_is_left_out(kind: str) -> None:
    param = "reshape_param { shape { dim: [1, -1, 2, 2] } }" if kind == "Reshape" else ""
    if kind == "LSTM":
        param = "recurrent_param { num_output: 3 }"
    assert "y" not in of(layer(kind, param))
    assert "y" not in of(layer("ReLU") + layer(kind, param, bottom="y"))
