"""Shapes: what is said where they cannot be. That they are Caffe's is shown in parity/."""

from __future__ import annotations

import pytest

from netsurgery.errors import NetsurgeryError, PrototxtError
from netsurgery.formats.prototxt import Prototxt
from netsurgery.net.net import NetDefinition, Shape
from netsurgery.net.shapes import Shapes, infer

#: Messages are compared as the command words them.
pytestmark = pytest.mark.usefixtures("option_names")


def shapes(layer: str, dims: str = "dim: [1, 4, 5, 6]") -> Shapes:
    text = (
        f'input: "x" input_shape {{ {dims} }}\nlayer {{ name: "l" bottom: "x" top: "y" {layer} }}'
    )
    return infer(NetDefinition.of(Prototxt.parse(text, "n.prototxt")))


def two(first: str, second: str) -> str:
    """For `shapes`: an input x and another, z."""
    return f'dim: [{first}] }} input: "z" input_shape {{ dim: [{second}]'


#: A layer, its inputs; its tops, its params. That they are Caffe's own is shown in parity/.
FOUND = [
    (
        'type: "Convolution" convolution_param { num_output: 6 group: 2 '
        "kernel_size: 2 dilation: 2 }",
        "dim: [1, 4, 5, 6]",
        [(1, 6, 3, 4)],
        [(6, 2, 2, 2), (6,)],
    ),
    (
        'type: "Deconvolution" convolution_param { num_output: 6 group: 2 kernel_h: 3 kernel_w: 2 '
        "stride_h: 2 stride_w: 3 pad_h: 1 pad_w: 0 }",
        "dim: [1, 4, 5, 6]",
        [(1, 6, 9, 17)],
        [(4, 3, 3, 2), (6,)],
    ),
    (
        'type: "Pooling" pooling_param { kernel_size: 2 stride: 3 pad: 1 }',
        "dim: [1, 4, 5, 6]",
        [(1, 4, 2, 3)],
        [],
    ),
    (
        # With padding along the one side, the last window of the other may go too.
        'type: "Pooling" pooling_param { kernel_h: 2 kernel_w: 1 stride_h: 1 stride_w: 4 '
        "pad_h: 1 pad_w: 0 }",
        "dim: [1, 4, 5, 6]",
        [(1, 4, 6, 2)],
        [],
    ),
    (
        'type: "Pooling" pooling_param { kernel_size: 2 stride: 2 ceil_mode: false }',
        "dim: [1, 4, 5, 6]",
        [(1, 4, 2, 3)],
        [],
    ),
    (
        'type: "Scale" scale_param { num_axes: -1 bias_term: true }',
        "dim: [1, 4, 5, 6]",
        [(1, 4, 5, 6)],
        [(4, 5, 6), (4, 5, 6)],
    ),
    (
        'type: "Bias" bias_param { axis: -3 num_axes: 2 }',
        "dim: [1, 4, 5, 6]",
        [(1, 4, 5, 6)],
        [(4, 5)],
    ),
    ('type: "Flatten" flatten_param { end_axis: 2 }', "dim: [1, 4, 5, 6]", [(1, 20, 6)], []),
    (
        'type: "Reshape" reshape_param { axis: -1 shape { dim: 1 } }',
        "dim: [1, 4, 5, 6]",
        [(1, 4, 5, 6, 1)],
        [],
    ),
    (
        'type: "Reshape" reshape_param { axis: 1 shape { dim: [0, -1] } }',
        "dim: [1, 4, 5, 6]",
        [(1, 4, 30)],
        [],
    ),
    ('type: "ArgMax" argmax_param { top_k: 3 }', "dim: [1, 4, 5, 6]", [(1, 1, 3, 1)], []),
    ('type: "ArgMax" argmax_param { out_max_val: true }', "dim: [2, 9]", [(2, 2, 1)], []),
    ('type: "Crop" bottom: "z"', two("1, 4, 5, 6", "7, 8, 3, 2"), [(1, 4, 3, 2)], []),
    ('type: "BatchReindex" bottom: "z"', two("5, 2, 3", "4"), [(4, 2, 3)], []),
    (
        'type: "LSTM" bottom: "z" recurrent_param { num_output: 3 }',
        two("5, 2, 7", "5, 2"),
        [(5, 2, 3)],
        [(12, 7), (12,), (12, 3)],
    ),
    (
        'type: "RNN" bottom: "z" recurrent_param { num_output: 3 }',
        two("5, 2, 7", "5, 2"),
        [(5, 2, 3)],
        [(3, 7), (3,), (3, 3), (3, 3), (3,)],
    ),
    (
        # The third bottom goes in at every step, the fourth is the state before.
        'type: "RNN" bottom: "z" bottom: "s" bottom: "h" top: "t" '
        "recurrent_param { num_output: 3 expose_hidden: true }",
        two("5, 2, 7", "5, 2") + '} input: "s" input_shape { dim: [2, 2] } input: "h" '
        "input_shape { dim: [1, 2, 3]",
        [(5, 2, 3), (1, 2, 3)],
        [(3, 7), (3,), (3, 2), (3, 3), (3, 3), (3,)],
    ),
]


@pytest.mark.parametrize(("layer", "dims", "tops", "params"), FOUND)
def test_shapes_of_tops_and_params(
    layer: str, dims: str, tops: list[Shape], params: list[Shape]
) -> None:
    inferred = shapes(layer, dims)
    assert [inferred.blobs[top] for top in ("y", "t") if top in inferred.blobs] == tops
    assert list(inferred.params.get("l", ())) == params


def test_of_layers_of_one_name_the_first_has_the_params() -> None:
    dense = 'type: "InnerProduct" bottom: "x" inner_product_param { num_output: %d } }'
    inferred = shapes(
        dense.replace('bottom: "x" ', "") % 2
        + 'layer { name: "l" top: "z" '
        + dense.removesuffix("}") % 3
    )
    assert inferred.params == {"l": ((2, 120), (2,))}


def test_what_was_known_of_a_blob_goes_where_nobody_knows_what_becomes_of_it() -> None:
    inferred = flat('layer { name: "m" type: "ShuffleChannel" bottom: "ip" top: "ip" }')
    assert "ip" not in inferred.blobs
    assert "ShuffleChannel" in inferred.unknown["ip"]


def test_a_layer_of_an_unknown_type_in_place_keeps_the_shape_of_its_blob() -> None:
    inferred = shapes(
        'type: "ReLU" } layer { name: "m" type: "Mystery" bottom: "y" bottom: "x" top: "y" top: "z"'
    )
    assert inferred.blobs["y"] == inferred.blobs["x"]
    assert inferred.unknown == {
        "z": "layer 'm' is of type Mystery, which Caffe 1.0 gives no fixed shape; "
        "--input-shape z=NxCxHxW gives it"
    }


def test_an_unknown_type_in_place_on_an_unknown_blob_is_not_blamed_for_it() -> None:
    inferred = shapes(
        'type: "Mystery" } layer { name: "m" type: "Other" bottom: "y" top: "y" } '
        'layer { name: "r" type: "ReLU" bottom: "y" top: "z"'
    )
    assert inferred.unknown["y"] == inferred.unknown["z"]
    assert "type Mystery" in inferred.unknown["y"]
    assert all("--input-shape y=" in why for why in inferred.unknown.values())


def test_bottoms_that_have_to_be_alike() -> None:
    with pytest.raises(PrototxtError, match=r"differ in shape: \(2, 3\) and \(2, 4\)"):
        shapes('type: "Eltwise" bottom: "z"', two("2, 3", "2, 4"))


@pytest.mark.parametrize("kind", ["Scale", "Bias"])
@pytest.mark.parametrize(
    ("axis", "second", "part"),
    [(0, "1, 16", "1x4"), (1, "1, 4", "4x5"), (-1, "6, 1", "6"), (3, "5", "6")],
)
def test_a_gate_has_the_shape_of_what_it_goes_with(
    kind: str, axis: int, second: str, part: str
) -> None:
    layer = f'type: "{kind}" bottom: "z" {kind.lower()}_param {{ axis: {axis} }}'
    fitting = part.replace("x", ", ")
    assert shapes(layer, two("1, 4, 5, 6", fitting)).blobs["y"] == (1, 4, 5, 6)
    with pytest.raises(PrototxtError) as caught:
        shapes(layer, two("1, 4, 5, 6", second))
    gate = second.replace(", ", "x")
    assert caught.value.what == (
        f"layer 'l' ({kind}): from axis {axis % 4} on its first bottom is {part}, its second "
        f"{gate}; expected the same"
    )


def test_a_gate_of_one_number_goes_with_all() -> None:
    mean = 'type: "Reduction" reduction_param { axis: 0 } }\n'
    gated = 'layer { name: "s" type: "Scale" bottom: "x" bottom: "y" top: "s" scale_param { axis: 9'
    assert shapes(f"{mean}{gated} }}").blobs["s"] == (1, 4, 5, 6)


def test_a_bottom_of_too_few_axes() -> None:
    with pytest.raises(
        PrototxtError, match=r"found bottoms 3; this layer takes more, or more axes"
    ):
        shapes('type: "SPP" spp_param { pyramid_height: 2 }', "dim: 3")


@pytest.mark.parametrize(
    ("layer", "what"),
    [
        ('type: "Convolution"', "kernel_size is missing"),
        ('type: "Convolution" convolution_param { kernel_size: 1 }', "num_output is missing"),
        (
            'type: "Convolution" convolution_param { kernel_size: 7 num_output: 1 }',
            "its top 'y' would be 1x1x-1x-1: the input is too small",
        ),
        (
            'type: "Convolution" convolution_param { kernel_size: 1 num_output: 2 group: 3 }',
            "group 3 does not divide both its 4 channels and its 2 outputs",
        ),
        (
            'type: "Convolution" convolution_param { kernel_size: [1, 1, 1] num_output: 2 }',
            "3 kernel_size for 2 spatial axes",
        ),
        (
            'type: "Convolution" convolution_param { kernel_size: 1 kernel_h: 1 num_output: 2 }',
            "kernel_size and kernel_h or kernel_w are both given",
        ),
        (
            'type: "Convolution" convolution_param { kernel_h: 1 num_output: 2 }',
            "kernel_h and kernel_w must both be given",
        ),
        ('type: "InnerProduct"', "num_output is missing"),
        (
            'type: "InnerProduct" inner_product_param { num_output: 1 axis: 4 }',
            "axis 4 of a blob with 4 axes",
        ),
        (
            'type: "Pooling" pooling_param { global_pooling: true kernel_size: 2 }',
            "global_pooling and kernel_size are both given",
        ),
        (
            'type: "Slice" top: "z" slice_param { slice_point: 4 }',
            "slice points [4] do not cut 4 into 2 tops",
        ),
        ('type: "Slice" top: "z" top: "w"', "4 channels cannot be divided into 3 equal tops"),
        (
            'type: "Reshape" reshape_param { shape { dim: [0, -1, 7] } }',
            "120 elements cannot be divided into 7",
        ),
        ('type: "Reshape" reshape_param { shape { dim: [-1, -1] } }', "dim -1 is given twice"),
        (
            'type: "Reshape" reshape_param { shape { dim: [1, 7] } }',
            "120 elements cannot become (1, 7)",
        ),
        (
            'type: "Convolution" convolution_param { kernel_size: 1 num_output: 3 group: 2 }',
            "group 2 does not divide both its 4 channels and its 3 outputs",
        ),
        (
            'type: "Convolution" convolution_param { kernel_h: 1 kernel_w: 1 num_output: 3 '
            "axis: 2 }",
            "kernel_h and kernel_w with 1 spatial axis",
        ),
        (
            'type: "InnerProduct" inner_product_param { num_output: 1 axis: -5 }',
            "axis -5 of a blob with 4 axes",
        ),
        (
            'type: "Pooling" pooling_param { kernel_size: 7 stride: 2 }',
            "its top 'y' would be 1x4x-1x1: the input is too small",
        ),
        (
            'type: "Pooling" pooling_param { kernel_size: 2 pad_h: 2 pad_w: 1 }',
            "pad 2x1 of windows of 2x2; expected less than those",
        ),
        (
            'type: "Pooling" pooling_param { kernel_size: 2 pad_h: 1 }',
            "pad_h and pad_w must both be given",
        ),
        (
            'type: "Pooling" pooling_param { kernel_size: 2 pad: 1 pool: STOCHASTIC }',
            "pool STOCHASTIC takes no pad",
        ),
        (
            'type: "SPP" spp_param { pyramid_height: 4 }',
            "5x6 is too small for a pyramid_height of 4",
        ),
        (
            'type: "Flatten" flatten_param { axis: 3 end_axis: 1 }',
            "end_axis 1 is before axis 3",
        ),
        (
            'type: "DummyData" top: "z" top: "w" dummy_data_param { num: 2 num: 3 channels: 4 '
            "height: 5 width: 6 }",
            "2 num for 3 tops",
        ),
    ],
)
def test_shapes_that_cannot_be(layer: str, what: str) -> None:
    with pytest.raises(NetsurgeryError) as caught:
        shapes(layer)
    kind = layer.split('"')[1]
    assert str(caught.value) == f"n.prototxt:2:7: layer 'l' ({kind}): {what}"


def test_a_type_that_is_not_known_hides_only_what_is_behind_it() -> None:
    inferred = shapes('type: "Mystery"')
    assert inferred.blobs == {"x": (1, 4, 5, 6)}
    with pytest.raises(NetsurgeryError, match="layer 'l' is of type Mystery"):
        inferred.of("y")
    with pytest.raises(NetsurgeryError, match="the net has no such blob"):
        inferred.of("nothing")


def test_numbers_too_large_for_caffe_are_refused() -> None:
    with pytest.raises(NetsurgeryError, match="more than Caffe counts"):
        shapes('type: "Tile" tile_param { tiles: 2000000000 }')


def test_a_net_without_a_declared_shape_is_reported() -> None:
    inferred = infer(NetDefinition.of(Prototxt.parse('input: "x"')))
    assert inferred.unknown == {
        "x": "the prototxt declares no shape for this input; --input-shape x=NxCxHxW gives it"
    }


def test_one_level_of_a_pyramid_is_a_pooling() -> None:
    """Nothing is flattened; real Caffe gives N x C x 1 x 1."""
    single_level = shapes('type: "SPP" spp_param { pyramid_height: 1 pool: MAX }')
    assert single_level.blobs["y"] == (1, 4, 1, 1)
    two = shapes('type: "SPP" spp_param { pyramid_height: 2 pool: MAX }')
    assert two.blobs["y"] == (1, 20)


def test_a_static_input_beside_states_given() -> None:
    """x, cont, the static input, h and c: the static input has a param of its own."""
    text = "".join(
        f'input: "{name}" input_shape {{ {dims} }}\n'
        for name, dims in {
            "x": "dim: [3, 2, 5]",
            "cont": "dim: [3, 2]",
            "still": "dim: [2, 7]",
            "h": "dim: [1, 2, 4]",
            "c": "dim: [1, 2, 4]",
        }.items()
    )
    text += (
        'layer { name: "l" type: "LSTM" bottom: ["x", "cont", "still", "h", "c"] '
        'top: ["y", "hT", "cT"] recurrent_param { num_output: 4 expose_hidden: true } }'
    )
    inferred = infer(NetDefinition.of(Prototxt.parse(text, "n.prototxt")))
    assert inferred.params["l"] == ((16, 5), (16,), (16, 7), (16, 4))
    assert inferred.blobs["hT"] == (1, 2, 4)


def flat(layers: str) -> Shapes:
    """The layers `layers` behind an InnerProduct's top, ip of 1 x 5."""
    text = (
        'input: "x" input_shape { dim: [1, 4, 5, 6] } layer { name: "ip" type: "InnerProduct" '
        f'bottom: "x" top: "ip" inner_product_param {{ num_output: 5 }} }} {layers}'
    )
    return infer(NetDefinition.of(Prototxt.parse(text, "n.prototxt")))


def test_a_normalize_over_a_flat_blob_keeps_its_shape() -> None:
    inferred = flat(
        'layer { name: "l" type: "Normalize" bottom: "ip" top: "y" '
        "norm_param { channel_shared: false } }"
    )
    assert (inferred.blobs["y"], inferred.params["l"], inferred.unknown) == ((1, 5), ((5,),), {})


def test_a_layer_that_is_not_its_forks_hides_only_what_is_behind_it() -> None:
    inferred = flat(
        'layer { name: "l" type: "ShuffleChannel" bottom: "ip" top: "y" } '
        'layer { name: "r" type: "ReLU" bottom: "y" top: "z" }'
    )
    why = "layer 'l' (ShuffleChannel): its bottom has 2 axes; expected N x C x H x W"
    assert inferred.blobs == {"x": (1, 4, 5, 6), "ip": (1, 5)}
    assert inferred.unknown == dict.fromkeys(
        "yz", f"line 1: {why}; --input-shape y=NxCxHxW gives it"
    )
    with pytest.raises(PrototxtError) as caught:
        inferred.of("z")
    assert caught.value.what == why
