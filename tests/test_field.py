"""Fields of cells, against figures that are known and against what the numbers themselves do."""

from __future__ import annotations

from pathlib import Path

import pytest

from netsurgery.formats.prototxt import Prototxt
from netsurgery.net.field import ReceptiveField, fields
from netsurgery.net.net import NetDefinition

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


def of(text: str) -> dict[str, ReceptiveField]:
    header = 'input: "x" input_shape { dim: [1, 2, 12, 20] }\n'
    return fields(NetDefinition.of(Prototxt.parse(header + text)))


def along_height(field: ReceptiveField) -> list[float]:
    return [float(field.size[0]), float(field.stride[0]), float(field.offset[0])]


def test_the_fields_of_caffenet(shared_data: Path) -> None:
    placed = fields(NetDefinition.read(shared_data / "bvlc" / "bvlc_caffenet_full_conv.prototxt"))
    assert {blob: along_height(placed[blob]) for blob in CAFFENET} == {
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
               "num_output: 1 }"), (2.5, 0.5, -1)),
        # Cell 0 sees [-1, 1), cell 1 [-1, 1) + 1/2: the interval for both is as large as needed.
        (layer("Deconvolution", "convolution_param { kernel_size: 3 stride: 2 num_output: 1 }"),
         (2, 0.5, -1)),
        (layer("Deconvolution", "convolution_param { kernel_size: 3 dilation: 3 stride: 3 "
               "num_output: 1 }"), (3, 1 / 3, -2)),
        (layer("Crop", 'bottom: "x" crop_param { offset: 0 }'), (1, 1, 0)),
        (layer("Interp", "interp_param { zoom_factor: 2 }"), (2, 0.5, -0.5)),
        (layer("Interp", "interp_param { shrink_factor: 11 }"), (1, 11, 0)),
        (layer("Interp", "interp_param { height: 1 width: 1 }"), (1, 0, 0)),
        (layer("Interp", "interp_param { pad_beg: -2 pad_end: -1 height: 9 width: 9 }"),
         (1, 1, 2)),
        (layer("Upsample", "upsample_param { scale: 4 }"), (1.75, 0.25, -0.75)),
        (layer("Im2col", "convolution_param { kernel_size: 3 pad: 1 }"), (3, 1, -1)),
        (layer("Slice", "slice_param { axis: 1 }"), (1, 1, 0)),
        (layer("Tile", "tile_param { axis: 1 tiles: 2 }"), (1, 1, 0)),
        (layer("Reshape", "reshape_param { shape { dim: [0, 0, 12, 20] } }"), (1, 1, 0)),
    ],
)  # fmt: skip
def test_one_layer(text: str, expected: tuple[float, float, float]) -> None:
    assert along_height(of(text)["y"]) == list(expected)


@pytest.mark.parametrize(
    "text",
    [
        layer("Softmax", "softmax_param { axis: 2 }"),
        layer("MVN"),
        layer("Normalize", "norm_param { }"),
        layer("BatchNorm", "batch_norm_param { use_global_stats: false }"),
        layer("Pooling", "pooling_param { global_pooling: true }"),
        layer("InnerProduct", "inner_product_param { num_output: 1 }"),
        layer("Reduction", "reduction_param { axis: 2 }"),
        layer("Reduction", "reduction_param { axis: 1 }"),
        layer("ArgMax"),
        layer("SPP", "spp_param { pyramid_height: 2 }"),
    ],
)
def test_what_looks_at_all_positions_is_of_the_whole_map(text: str) -> None:
    assert of(text)["y"].whole


@pytest.mark.parametrize(
    "text",
    [
        layer("Softmax"),
        layer("Softmax", "softmax_param { axis: -3 }"),
        layer("BatchNorm"),
        layer("LRN"),
        layer("ArgMax", "argmax_param { axis: 1 }"),
        layer("Scale"),
        layer("PReLU"),
    ],
)
def test_what_looks_at_one_position_is_not(text: str) -> None:
    assert of(text)["y"] == ReceptiveField("x")


def test_a_slice_along_the_height_shifts_its_tops() -> None:
    tops = 'top: "z" slice_param { axis: 2 slice_point: 5 }'
    placed = of(layer("Convolution", "convolution_param { kernel_size: 1 stride: 1 num_output: 1 }",
                     top="c") + layer("Slice", tops, bottom="c"))  # fmt: skip
    assert [along_height(placed[blob]) for blob in "yz"] == [[1, 1, 0], [1, 1, 5]]


POOL = layer("Pooling", "pooling_param { global_pooling: true }", top="p")
TO_VECTOR = layer("Reshape", "reshape_param { shape { dim: [0, 0] } }", "p", "g")
CONV = layer("Convolution", "convolution_param { kernel_size: 3 stride: 2 num_output: 2 }")


@pytest.mark.parametrize(
    "gate",
    [
        POOL + TO_VECTOR
        + layer("Scale", 'bottom: "g" scale_param { axis: 0 bias_term: false }', "y", "z"),
        POOL + TO_VECTOR + layer("Bias", 'bottom: "g" bias_param { axis: 0 }', "y", "z"),
        POOL + layer("Axpy", 'bottom: "y" bottom: "y"', "p", "z"),
        layer("Permute", "permute_param { order: 0 order: 1 order: 3 order: 2 }", top="p")
        + layer("Reduction", "reduction_param { axis: 2 }", "p", "g")
        + layer("Scale", 'bottom: "g" scale_param { axis: 0 }', "y", "z"),
    ],
)  # fmt: skip
def test_a_gate_of_the_whole_map_is_seen_by_every_cell(gate: str) -> None:
    placed = of(CONV + gate)["z"]
    assert (placed.whole, along_height(placed)) == (True, [3, 2, 0])


def test_a_gate_that_is_a_map_is_joined() -> None:
    gate = layer("Convolution", "convolution_param { kernel_size: 5 pad: 1 stride: 2 "
                  "num_output: 2 }", top="g")  # fmt: skip
    placed = of(CONV + gate + layer("Scale", 'bottom: "g" scale_param { axis: 0 }', "y", "z"))["z"]
    assert (placed.whole, along_height(placed)) == (False, [5, 2, -1])
    mixed = layer("Permute", "permute_param { order: 0 order: 1 order: 3 order: 2 }", "g", "m")
    back = layer("Reshape", "reshape_param { shape { dim: [0, 2, 5, 9] } }", "m", "n")
    scaled = layer("Scale", 'bottom: "n" scale_param { axis: 0 }', "y", "z")
    assert "z" not in of(CONV + gate + mixed + back + scaled)


def test_a_gate_that_reads_no_picture_changes_nothing() -> None:
    constant = 'layer { name: "g" type: "DummyData" top: "g" dummy_data_param { shape { dim: [1, 2'
    constant += "] } } }\n"
    scaled = layer("Scale", 'bottom: "g" scale_param { axis: 0 bias_term: false }', "y", "z")
    assert of(CONV + constant + scaled)["z"] == of(CONV)["y"]


def test_global_features_brought_to_the_size_of_a_map_are_the_whole_picture() -> None:
    up = layer("Interp", "interp_param { height: 5 width: 9 }", "p", "u")
    join = 'layer { name: "j" type: "Concat" bottom: "y" bottom: "u" top: "j" }'
    placed = of(CONV + POOL + up + join)["j"]
    assert (placed.whole, along_height(placed)) == (True, [3, 2, 0])
    rows = layer("Tile", "tile_param { axis: 2 tiles: 5 }", "p", "r")
    tiled = layer("Tile", "tile_param { axis: 3 tiles: 9 }", "r", "u")
    assert of(CONV + POOL + rows + tiled + join)["j"] == placed


def test_what_a_layer_only_takes_the_size_of_is_no_part_of_the_field() -> None:
    deconv = layer("Deconvolution", "convolution_param { kernel_size: 4 stride: 2 num_output: 1 }",
                   "y", "d")  # fmt: skip
    crop = layer("Crop", 'bottom: "x" crop_param { axis: 2 offset: 0 offset: 1 }', "d", "z")
    placed = of(CONV.replace("kernel_size: 3", "kernel_size: 2") + deconv + crop)
    assert placed["z"].offset == (placed["d"].offset[0], placed["d"].offset[1] + 1)
    assert placed["z"].size == placed["d"].size
    prior = layer("PriorBox", 'bottom: "x" prior_box_param { min_size: 3 }', "y", "b")
    assert "b" not in of(CONV + prior)


def test_a_layer_of_several_bottoms_and_tops_keeps_them_apart() -> None:
    wide = layer("Convolution", "convolution_param { kernel_size: 3 pad: 1 num_output: 2 }")
    twice = layer("Convolution", 'bottom: "x" top: "b" convolution_param { kernel_size: 1 '
                  "num_output: 1 }", "y", "a")  # fmt: skip
    placed = of(wide + twice)
    assert along_height(placed["a"]) == [3, 1, -1]
    assert along_height(placed["b"]) == [1, 1, 0]


def test_windows_over_other_axes_are_of_no_map() -> None:
    over_channels = "axis: 0 num_output: 1 kernel_size: [1, 3, 3]"
    assert "y" not in of(layer("Convolution", f"convolution_param {{ {over_channels} }}"))


def test_unpooling_puts_values_back_where_its_pooling_took_them() -> None:
    pool = layer("Pooling", 'top: "m" pooling_param { kernel_size: 2 stride: 2 }', top="p")
    narrow = layer("Convolution", "convolution_param { kernel_size: 1 num_output: 2 }", "p", "c")
    wide = layer("Convolution", "convolution_param { kernel_size: 3 pad: 1 num_output: 2 }",
                 "p", "c")  # fmt: skip
    back = layer("Upsample", 'bottom: "m" upsample_param { scale: 2 }', "c", "u")
    # Cell j is of the window of cell j / 2, so it sees pixels j - 1 to j + 1.
    assert along_height(of(pool + narrow + back)["u"]) == [3, 1, -1]
    assert along_height(of(pool + wide + back)["u"]) == [7, 1, -3]
    odd = layer("Upsample", 'bottom: "m" upsample_param { upsample_h: 12 upsample_w: 18 }', "c",
                "u")  # fmt: skip
    assert "u" not in of(pool + narrow + odd)  # places are numbered in rows of 20
    stray = layer("Upsample", 'bottom: "c" upsample_param { scale: 2 }', "c", "u")
    assert "u" not in of(pool + narrow + stray)


def test_fcn_places_its_scores_on_the_pixels() -> None:
    """Of FCN-32s the middle of a cell's field is the middle of a pixel, as its authors meant it."""
    conv = "convolution_param {{ kernel_size: {} pad: {} num_output: 1 }}"
    text, bottom = "", "x"
    for block, count in enumerate((2, 2, 3, 3, 3), 1):
        for i in range(count):
            pad = 100 if block == i + 1 == 1 else 1
            text += layer("Convolution", conv.format(3, pad), bottom, f"conv{block}_{i}")
            bottom = f"conv{block}_{i}"
        text += layer("Pooling", "pooling_param { kernel_size: 2 stride: 2 }", bottom, f"p{block}")
        bottom = f"p{block}"
    text += layer("Convolution", conv.format(7, 0), bottom, "fc6")
    text += layer("Deconvolution", "convolution_param { kernel_size: 64 stride: 32 num_output: 1 }",
                  "fc6", "up")  # fmt: skip
    text += layer("Crop", 'bottom: "x" crop_param { axis: 2 offset: 19 }', "up", "score")
    placed = of(text)
    assert along_height(placed["fc6"]) == [404, 32, -189]
    assert along_height(placed["score"])[1:] == [1, -233]
    assert [float(middle) for middle in placed["score"].middle] == [0.5, 0.5]


@pytest.mark.parametrize(("across", "whole"), [("true", True), ("false", False)])
def test_a_norm_over_all_positions_is_of_the_whole_map(across: str, whole: bool) -> None:
    placed = of(layer("Normalize", f"norm_param {{ across_spatial: {across} }}"))["y"]
    assert (placed.whole, along_height(placed)) == (whole, [1, 1, 0])


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
    marks = ""
    if kind == "LSTM":
        param = 'bottom: "z" recurrent_param { num_output: 3 }'
        marks = 'input: "z" input_shape { dim: [1, 2] }\n'
    assert "y" not in of(marks + layer(kind, param))
    assert "y" not in of(marks + layer("ReLU") + layer(kind, param, bottom="y"))
