"""What fills the params of a net, of layers of forks too."""

from __future__ import annotations

from netsurgery.formats.prototxt import Prototxt
from netsurgery.net import Net
from netsurgery.surgery.initial_params import plan_initial_params


def test_params_of_forks_layers() -> None:
    """SSD's Normalize has a scale, MobileNet's DepthwiseConvolution what a Convolution has."""
    plan = plan_initial_params(
        Net.of(
            Prototxt.parse(
                'input: "x" input_shape { dim: [1, 4, 5, 6] } '
                'layer { name: "n" type: "Normalize" bottom: "x" top: "n" norm_param { } } '
                'layer { name: "m" type: "Normalize" bottom: "x" top: "m" norm_param { '
                "channel_shared: false scale_filler { value: 20 } } } "
                'layer { name: "d" type: "DepthwiseConvolution" bottom: "x" top: "d" '
                "convolution_param { num_output: 4 group: 4 kernel_size: 3 "
                'weight_filler { type: "msra" } } }',
                "n.prototxt",
            )
        )
    )
    assert [(p.layer, p.shape, p.filler.type, p.filler.value) for p in plan.params] == [
        ("n", (), "constant", 1.0),
        ("m", (4,), "constant", 20.0),
        ("d", (4, 1, 3, 3), "msra", 0.0),
        ("d", (4,), "constant", 0.0),
    ]
