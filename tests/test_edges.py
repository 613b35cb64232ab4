from __future__ import annotations

from pathlib import Path

import pytest

from netsurgery.formats.prototxt import Prototxt
from netsurgery.net.edges import edge_effects
from netsurgery.net.net import NetDefinition
from netsurgery.net.shapes import infer

HEAD = 'input: "x" input_shape { dim: [1, 2, 9, 9] }\n'


def effects(text: str, blob: str = "y") -> list[str]:
    net = NetDefinition.of(Prototxt.parse(HEAD + text))
    return [str(effect) for effect in edge_effects(net, infer(net), blob)]


def layer(kind: str, param: str, bottom: str = "x", top: str = "y") -> str:
    return f'layer {{ name: "l{top}" type: "{kind}" bottom: "{bottom}" top: "{top}" {param} }}\n'


def conv(param: str) -> str:
    return f"convolution_param {{ num_output: 2 {param} }}"


def pool(param: str) -> str:
    return f"pooling_param {{ pool: MAX {param} }}"


@pytest.mark.parametrize(
    ("kind", "param", "expected"),
    [
        ("Convolution", conv("kernel_size: 3"), []),
        ("Convolution", conv("kernel_size: 3 pad: 1"), ["'ly' pads by 1"]),
        ("Convolution", conv("kernel_size: 3 pad_h: 0 pad_w: 2"), ["'ly' pads by 0x2"]),
        ("Convolution", conv("kernel_size: 3 stride: 4"), []),  # leaves pixels out, adds none
        ("Pooling", pool("kernel_size: 3 stride: 2"), []),
        ("Pooling", pool("kernel_size: 3 stride: 2 pad: 1"), ["'ly' pads by 1"]),
        (
            "Pooling",
            pool("kernel_size: 2 stride: 2"),
            ["'ly' has a last window that hangs over the edge"],
        ),
        ("Pooling", pool("kernel_size: 2 stride: 2 round_mode: FLOOR"), []),
        ("Pooling", pool("global_pooling: true"), []),
        (
            "Deconvolution",
            conv("kernel_size: 4 stride: 2"),
            ["'ly' spreads cells past the window's edge"],
        ),
        ("LRN", "lrn_param { local_size: 3 }", []),
        (
            "LRN",
            "lrn_param { local_size: 3 norm_region: WITHIN_CHANNEL }",
            ["'ly' normalizes over neighbours, with padding"],
        ),
        ("ReLU", "", []),
    ],
)
def test_each_kind_of_layer(kind: str, param: str, expected: list[str]) -> None:
    assert effects(layer(kind, param)) == expected


def test_only_layers_on_the_way_count() -> None:
    text = layer("Convolution", conv("kernel_size: 3 pad: 1"), top="a")
    text += layer("Convolution", conv("kernel_size: 3 pad: 2"), top="b")
    text += layer("ReLU", "", bottom="a")
    assert effects(text) == ["'la' pads by 1"]


def test_padding_on_one_number_is_padding_too() -> None:
    text = layer("Pooling", pool("global_pooling: true"), top="a")
    text += layer("Convolution", conv("kernel_size: 3 pad: 1"), bottom="a")
    assert effects(text) == ["'ly' pads by 1"]


def test_the_bundled_net_has_no_edges(repo_root: Path) -> None:
    net = NetDefinition.read(repo_root / "prototxt" / "digits_deploy.prototxt")
    assert edge_effects(net, infer(net), "prob") == []
