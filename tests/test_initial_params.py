"""What fills the params of a net, of layers of forks too."""

from __future__ import annotations

from netsurgery.formats.prototxt import Prototxt
from netsurgery.net import types
from netsurgery.net.net import NetDefinition
from netsurgery.net.types.record import ParamRole
from netsurgery.surgery.initial_params import plan_initial_params


def test_params_of_forks_layers() -> None:
    """SSD's Normalize has a scale, MobileNet's DepthwiseConvolution what a Convolution has."""
    plan = plan_initial_params(
        NetDefinition.of(
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


def test_statistics_with_which_a_net_can_be_run() -> None:
    """Of every type that has such params; Caffe's own zeros when they are asked for."""
    seen = 0
    for record in types.RECORDS.values():
        if callable(record.params) or record.params is None:
            continue
        roles = [param.role for param in record.params]
        if ParamRole.VARIANCE not in roles or record.shapes is None:
            continue
        net = NetDefinition.of(
            Prototxt.parse(
                'input: "x" input_shape { dim: [1, 4, 5, 6] } '
                f'layer {{ name: "b" type: "{record.name}" bottom: "x" top: "b" }}',
                "n.prototxt",
            )
        )
        if types.of(net.layers[0]) is not record:  # a fork's, recognised by its message
            continue
        seen += 1
        expected = {ParamRole.MEAN: 0.0, ParamRole.VARIANCE: 1.0, ParamRole.FACTOR: 1.0}
        for as_caffe in (False, True):
            plan = plan_initial_params(net, as_caffe=as_caffe)
            for role, param in zip(roles, plan.params, strict=True):
                if role in expected:
                    assert param.filler.value == (0.0 if as_caffe else expected[role]), role
            assert any("statistics are a mean of 0" in note for note in plan.notes) is not as_caffe
    assert seen
