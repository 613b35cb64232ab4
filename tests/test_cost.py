"""Multiply-adds and memory, against sums done by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from netsurgery.formats.prototxt import Prototxt
from netsurgery.net.cost import Cost, Total, costs, total
from netsurgery.net.net import NetDefinition
from netsurgery.net.shapes import infer


def net_of(layers: str, dims: str = "dim: [2, 4, 5, 6]") -> NetDefinition:
    text = f'input: "x" input_shape {{ {dims} }}\n{layers}'
    return NetDefinition.of(Prototxt.parse(text, "n.prototxt"))


def costs_of(layers: str, dims: str = "dim: [2, 4, 5, 6]") -> list[Cost]:
    net = net_of(layers, dims)
    return list(costs(net, infer(net)))


def cost_of(layer: str, dims: str = "dim: [2, 4, 5, 6]") -> Cost:
    (cost,) = costs_of(f'layer {{ name: "l" bottom: "x" top: "y" {layer} }}', dims)
    return cost


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (
            'type: "Convolution" convolution_param { num_output: 6 kernel_size: 3 }',
            (2 * 6 * 3 * 4) * (3 * 3 * 4),
        ),
        (
            'type: "Convolution" convolution_param '
            "{ num_output: 6 kernel_h: 1 kernel_w: 3 group: 2 stride: 2 }",
            (2 * 6 * 3 * 2) * (1 * 3 * 2),
        ),
        (
            'type: "Deconvolution" convolution_param '
            "{ num_output: 6 kernel_size: 4 stride: 2 group: 2 }",
            (2 * 4 * 5 * 6) * (4 * 4 * 3),
        ),
        ('type: "InnerProduct" inner_product_param { num_output: 7 }', 2 * 7 * 4 * 5 * 6),
        (
            'type: "InnerProduct" inner_product_param { num_output: 7 transpose: true axis: 2 }',
            (2 * 4 * 7) * (5 * 6),
        ),
        (
            'type: "DepthwiseConvolution" convolution_param '
            "{ num_output: 4 kernel_size: 3 group: 4 }",
            (2 * 4 * 3 * 4) * (3 * 3),
        ),
        ('type: "ReLU6"', 0),
        ('type: "Pooling" pooling_param { kernel_size: 2 }', 0),
        ('type: "BatchNorm"', 0),
        ('type: "PReLU"', 0),
    ],
)
def test_multiply_adds(layer: str, expected: int) -> None:
    assert cost_of(layer).multiply_adds == expected


def test_a_convolution_of_two_bottoms_costs_twice() -> None:
    layer = 'type: "Convolution" convolution_param { num_output: 6 kernel_size: 3 }'
    (cost,) = costs_of(f'layer {{ name: "l" bottom: ["x", "x"] top: ["y", "z"] {layer} }}')
    assert cost.multiply_adds == 2 * (2 * 6 * 3 * 4) * (3 * 3 * 4)
    assert cost.memory == 2 * 4 * (2 * 6 * 3 * 4)


RECURRENT = """
input: "x" input_shape { dim: [7, 2, 5] }
input: "cont" input_shape { dim: [7, 2] }
input: "static" input_shape { dim: [2, 3] }
layer { name: "l" type: "%s" bottom: "x" bottom: "cont" %s top: "h"
        recurrent_param { num_output: 4 } }
"""


@pytest.mark.parametrize(
    ("kind", "static", "expected"),
    [
        ("LSTM", "", 7 * 2 * (16 * 5 + 16 * 4)),
        ("LSTM", 'bottom: "static"', 7 * 2 * (16 * 5 + 16 * 4) + 2 * 16 * 3),
        ("RNN", "", 7 * 2 * (4 * 5 + 4 * 4 + 4 * 4)),
        ("RNN", 'bottom: "static"', 7 * 2 * (4 * 5 + 4 * 4 + 4 * 4) + 2 * 4 * 3),
    ],
)
def test_recurrent_layers(kind: str, static: str, expected: int) -> None:
    net = NetDefinition.of(Prototxt.parse(RECURRENT % (kind, static)))
    assert [cost.multiply_adds for cost in costs(net, infer(net))] == [expected]


MEMORY = """
layer { name: "a" type: "ReLU" bottom: "x" top: "a" }
layer { name: "b" type: "Dropout" bottom: "a" top: "a" }
layer { name: "c" type: "Flatten" bottom: "a" top: "c" }
layer { name: "d" type: "Slice" bottom: "a" top: "d" top: "e" }
"""


def test_memory_counts_each_blob_once() -> None:
    size = 4 * 2 * 4 * 5 * 6
    assert [cost.memory for cost in costs_of(MEMORY)] == [size, 0, 0, size]
    net = net_of(MEMORY)
    assert total(net, infer(net)) == Total(0, 0, 0, 3 * size, complete=True)


SHARED = """
layer { name: "a" type: "InnerProduct" bottom: "x" top: "a" param { name: "w" } param { }
        inner_product_param { num_output: 3 } }
layer { name: "b" type: "InnerProduct" bottom: "x" top: "b" param { name: "w" }
        inner_product_param { num_output: 3 } }
"""


def test_params_shared_by_name_count_once() -> None:
    net = net_of(SHARED)
    assert [layer.param_names for layer in net.layers] == [("w", ""), ("w",)]
    assert total(net, infer(net)).params == 3 * 120 + 3 + 3
    old = SHARED.replace("layer {", "layers {").replace('"InnerProduct"', "INNER_PRODUCT")
    old = old.replace('param { name: "w" } param { }', 'param: "w" param: ""')
    old = old.replace('param { name: "w" }', 'param: "w"')
    net = net_of(old)
    assert [layer.param_names for layer in net.layers] == [("w", ""), ("w",)]
    assert total(net, infer(net)).params == 3 * 120 + 3 + 3


def test_what_is_not_known_is_none_and_the_sums_say_so() -> None:
    layers = """
    layer { name: "a" type: "InnerProduct" bottom: "x" top: "a"
            inner_product_param { num_output: 3 } }
    layer { name: "b" type: "Forked" bottom: "a" top: "b" }
    layer { name: "c" type: "InnerProduct" bottom: "b" top: "c"
            inner_product_param { num_output: 3 } }
    layer { name: "d" type: "ReLU" bottom: "c" top: "d" }
    """
    assert costs_of(layers) == [
        Cost(2 * 3 * 120, 24),
        Cost(None, None),
        Cost(None, None),
        Cost(0, None),
    ]
    net = net_of(layers)
    sums = total(net, infer(net))
    assert sums == Total(363, 4 * 363, 2 * 3 * 120, 4 * 240 + 24, complete=False)


def test_caffenet_costs_what_is_known_of_it(shared_data: Path) -> None:
    net = NetDefinition.read(shared_data / "bvlc" / "bvlc_reference_caffenet.prototxt")
    sums = total(net, infer(net, {"data": (1, 3, 227, 227)}))
    assert (sums.params, sums.multiply_adds) == (60_965_224, 724_406_816)
    assert sums.complete
