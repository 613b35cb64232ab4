"""Two spellings of one meaning are no difference; real Caffe is the judge of what is one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from netsurgery.cli import run
from netsurgery.formats.prototxt import Prototxt
from netsurgery.formats.schema.meaning import known_fields
from netsurgery.surgery.difference.compare import compare_nets

#: (type, one spelling, another, which Caffe reads as the same layer), on a bottom of 2x4x8x8.
EQUAL = [
    *(
        ("Convolution", "convolution_param { num_output: 2 kernel_size: 3 }", more)
        for more in (
            "convolution_param { num_output: 2 kernel_size: 3 stride: 1 pad: 0 dilation: 1 }",
            "convolution_param { num_output: 2 kernel_size: 3 bias_term: true group: 1 axis: 1 }",
            "convolution_param { num_output: 2 kernel_size: [3, 3] stride: [1, 1] pad: [0, 0] }",
            "convolution_param { num_output: 2 kernel_h: 3 kernel_w: 3 stride_h: 1 stride_w: 1 }",
            "convolution_param { num_output: 2 kernel_size: 3 pad_h: 0 pad_w: 0 engine: 0 }",
            "convolution_param { num_output: 2 kernel_size: 3 axis: -3 dilation: [1, 1] }",
            'convolution_param { num_output: 2 kernel_size: 3 bias_filler { type: "constant" } }',
            "convolution_param { num_output: 2 kernel_size: 3 bias_filler { value: 0 max: 1 } }",
            "convolution_param { num_output: 2 kernel_size: 3 } param { lr_mult: 1 }",
            "convolution_param { num_output: 2 kernel_size: 3 } param { } param { decay_mult: 1 }",
            "convolution_param { num_output: 2 kernel_size: 3 } loss_weight: 0",
        )
    ),
    (
        "Convolution",
        "convolution_param { num_output: 2 kernel_size: [3, 1] pad_h: 1 }",
        "convolution_param { num_output: 2 kernel_h: 3 kernel_w: 1 pad_h: 1 pad_w: 0 }",
    ),
    (
        "Convolution",
        "convolution_param { num_output: 2 kernel_size: 2 stride_h: 2 stride_w: 2 }",
        "convolution_param { num_output: 2 kernel_size: 2 stride: [2] }",
    ),
    *(
        ("Pooling", "pooling_param { kernel_size: 2 }", f"pooling_param {{ {more} }}")
        for more in (
            "kernel_size: 2 stride: 1 pad: 0 pool: MAX",
            "kernel_h: 2 kernel_w: 2 pool: 0 round_mode: CEIL",
            "kernel_size: 2 stride_h: 1 stride_w: 1 pad_h: 0 pad_w: 0 global_pooling: false",
        )
    ),
    (
        "InnerProduct",
        "inner_product_param { num_output: 3 }",
        "inner_product_param { num_output: 3 axis: -3 bias_term: true transpose: false }",
    ),
    ("Softmax", "softmax_param { axis: 3 }", "softmax_param { axis: -1 }"),
    ("Softmax", "", "softmax_param { axis: -3 engine: DEFAULT }"),
    ("Concat", "", "concat_param { concat_dim: 1 }"),
    ("Concat", "concat_param { concat_dim: 2 }", "concat_param { axis: -2 }"),
    ("Flatten", "", "flatten_param { end_axis: 3 }"),
    (
        "Reshape",
        "reshape_param { shape { dim: [1, 1] } axis: 4 }",
        "reshape_param { shape { dim: [1, 1] } axis: -1 }",
    ),
    ("Eltwise", "", "eltwise_param { operation: SUM coeff: [1, 1] stable_prod_grad: true }"),
    ("ReLU", "", "relu_param { negative_slope: 0 }"),
    ("ReLU", "", "relu_param { }"),
    ("LRN", "", "lrn_param { local_size: 5 alpha: 1 beta: 75e-2 k: 1. }"),
    (
        "BatchNorm",
        "",
        "param { lr_mult: 0 } param { lr_mult: 0 decay_mult: 0 } param { lr_mult: 0 }",
    ),
    ("BatchNorm", "", "batch_norm_param { moving_average_fraction: 0.999 eps: 1e-5 }"),
    ("Scale", "", "scale_param { axis: -3 num_axes: 1 bias_term: false }"),
    ("Power", "power_param { scale: 2 }", "power_param { scale: 2 power: 1 shift: 0 }"),
    ("Dropout", "dropout_param { dropout_ratio: 0.5 }", ""),
    ("Crop", "crop_param { offset: 1 }", "crop_param { axis: 2 offset: 1 }"),
]

#: As close, and not the same to Caffe.
DIFFERENT = [
    (
        "Convolution",
        "convolution_param { num_output: 2 kernel_size: 3 }",
        "convolution_param { num_output: 2 kernel_size: 3 stride: 2 }",
    ),
    (
        "Convolution",
        "convolution_param { num_output: 2 kernel_h: 3 kernel_w: 1 }",
        "convolution_param { num_output: 2 kernel_h: 1 kernel_w: 3 }",
    ),
    (
        "Convolution",
        "convolution_param { num_output: 2 kernel_size: 3 pad_h: 1 }",
        "convolution_param { num_output: 2 kernel_size: 3 pad: 1 }",
    ),
    ("Pooling", "pooling_param { kernel_size: 2 }", "pooling_param { kernel_size: 2 pool: AVE }"),
    ("Scale", "", "scale_param { filler { } }"),
    ("PReLU", "", "prelu_param { filler { } }"),
    ("Eltwise", "", "eltwise_param { coeff: [1, 2] }"),
    ("Softmax", "", "softmax_param { axis: -1 }"),
    (
        "Reshape",
        "reshape_param { shape { dim: -1 } axis: 3 }",
        "reshape_param { shape { dim: -1 } axis: -1 }",
    ),
]

TWO = ("Concat", "Eltwise", "Crop")


def net(kind: str, fields: str) -> str:
    bottoms = 'bottom: "data"' + (' bottom: "other"' if kind in TWO else "")
    size = 6 if kind == "Crop" else 8
    filled = 'num_output: 2 weight_filler { type: "gaussian" std: 1 } kernel'
    fields = fields.replace("num_output: 2 kernel", filled)
    return f"""
layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ dim: [2, 4, 8, 8] }} }} }}
layer {{ name: "other" type: "Input" top: "other"
  input_param {{ shape {{ dim: [2, 4, {size}, {size}] }} }} }}
layer {{ name: "quiet" type: "Silence" bottom: "other" }}
layer {{ name: "l" type: "{kind}" {bottoms} top: "l" {fields} }}
"""


def same(first: str, second: str, strict: bool = False) -> bool:
    return compare_nets(Prototxt.parse(first), Prototxt.parse(second), strict=strict).same


@pytest.mark.parametrize(("kind", "first", "second"), EQUAL)
def test_one_meaning(kind: str, first: str, second: str) -> None:
    assert same(net(kind, first), net(kind, second))
    assert same(net(kind, second), net(kind, first))
    assert not same(net(kind, first), net(kind, second), strict=True)


@pytest.mark.parametrize(("kind", "first", "second"), DIFFERENT)
def test_two_meanings(kind: str, first: str, second: str) -> None:
    assert not same(net(kind, first), net(kind, second))
    assert not same(net(kind, second), net(kind, first))


def test_real_caffe_reads_them_so(run_in_caffe: Callable[..., str], tmp_path: Path) -> None:
    """The same outputs, number by number, of the same random weights; or others, or no shape."""
    nets = [[net(kind, first), net(kind, second)] for kind, first, second in (*EQUAL, *DIFFERENT)]
    (tmp_path / "nets.json").write_text(json.dumps(nets))
    script = """
import json, os, sys
os.environ['GLOG_minloglevel'] = '3'
import caffe, numpy
def out(text, folder):
    path = os.path.join(folder, 'net.prototxt')
    with open(path, 'w') as file:
        file.write(text)
    caffe.set_random_seed(1)
    net = caffe.Net(path, caffe.TEST)
    for name in ('data', 'other'):
        shape = net.blobs[name].data.shape
        net.blobs[name].data[...] = numpy.random.RandomState(0).randn(*shape)
    net.forward()
    return net.blobs['l'].data.copy()
folder = sys.argv[1]
with open(os.path.join(folder, 'nets.json')) as file:
    pairs = json.load(file)
found = []
for one, other in pairs:
    a, b = out(one, folder), out(other, folder)
    found.append(a.shape == b.shape and bool((a == b).all()))
print(json.dumps(found))
"""
    answers = json.loads(run_in_caffe(script, tmp_path).splitlines()[-1])
    assert answers == [True] * len(EQUAL) + [False] * len(DIFFERENT)


def test_axes_of_blobs_of_unknown_shape_stay_as_they_are() -> None:
    text = 'layer { name: "x" type: "Strange" top: "x" } layer { name: "l" type: "Softmax" '
    text += 'bottom: "x" top: "l" softmax_param { axis: AXIS } }'
    assert not same(text.replace("AXIS", "3"), text.replace("AXIS", "-1"))
    assert same(text.replace("AXIS", "-1"), text.replace("AXIS", "-1"))


@pytest.mark.parametrize(
    ("a", "b", "equal"),
    [
        (
            'loss_param { normalization: VALID } type: "SoftmaxWithLoss"',
            'type: "SoftmaxWithLoss"',
            0,
        ),
        ('loss_weight: 1 type: "SoftmaxWithLoss"', 'type: "SoftmaxWithLoss"', 1),
        ('loss_weight: 1 type: "Softmax"', 'type: "Softmax"', 0),
        ('batch_norm_param { use_global_stats: false } type: "BatchNorm"', 'type: "BatchNorm"', 0),
        ('param { lr_mult: 0 } type: "Scale"', 'type: "Scale"', 0),
        ('param { name: "w" lr_mult: 1 } type: "Scale"', 'param { name: "w" } type: "Scale"', 0),
        (
            'type: "C" convolution_param { hole: 2 }',
            'type: "C" convolution_param { dilation: 2 }',
            1,
        ),
        ('type: "C" convolution_param { hole: 1 }', 'type: "C"', 1),
        (
            'type: "C" convolution_param { hole_h: 2 hole_w: 3 }',
            'type: "C" convolution_param { dilation: [2, 3] }',
            1,
        ),
        ('type: "C" convolution_param { hole: 2 }', 'type: "C" convolution_param { }', 0),
        ('type: "C" convolution_param { hole_h: 2 }', 'type: "C" convolution_param { hole: 2 }', 0),
        ('type: "S" slice_param { slice_dim: 2 }', 'type: "S" slice_param { axis: 2 }', 1),
        ('type: "S" param { share_mode: STRICT }', 'type: "S"', 1),
        ('type: "S" param { share_mode: PERMISSIVE }', 'type: "S"', 0),
        ('type: "C" convolution_param { bias_term: 1 }', 'type: "C"', 1),
        ('type: "C" convolution_param { bias_term: 0 }', 'type: "C"', 0),
        ('type: "BatchNorm" param { name: "m" lr_mult: 0 }', 'type: "BatchNorm"', 0),
        (
            'type: "C" convolution_param { pad_h: 1 pad_w: 0 }',
            'type: "C" convolution_param { pad_h: 1 }',
            1,
        ),
        (
            'type: "C" convolution_param { hole: 2 hole_h: 3 }',
            'type: "C" convolution_param { dilation: 2 hole_h: 3 }',
            0,
        ),
        ('type: "P" permute_param { order: 0 }', 'type: "P" permute_param { order: [0] }', 1),
        # SSD's default, and no other fork's.
        ('type: "N" norm_param { channel_shared: true }', 'type: "N" norm_param { }', 1),
        ('type: "U" upsample_param { scale: 2 }', 'type: "U" upsample_param { }', 0),
        ('type: "U" upsample_param { pad_out_h: false }', 'type: "U"', 1),
        ('type: "U" upsample_param { pad_out_h: true }', 'type: "U"', 0),
        (
            'type: "P" pooling_param { kernel_size: 2 ceil_mode: true }',
            'type: "P" pooling_param { kernel_size: 2 }',
            1,
        ),
        ('type: "A" argmax_param { axis: 0 }', 'type: "A" argmax_param { }', 0),
        ('type: "A" strange_param { a: 1 }', 'type: "A" strange_param { a: 1 b: 0 }', 0),
        ('type: "A" strange_param { }', 'type: "A"', 0),
        ('type: "A" include { }', 'type: "A"', 0),
    ],
)
def test_what_is_left_out_and_what_is_not(a: str, b: str, equal: int) -> None:
    first, second = (f'layer {{ name: "l" {fields} }}' for fields in (a, b))
    assert same(first, second) == bool(equal)


def test_an_axis_that_is_not_there_stays_as_it_is() -> None:
    assert not same(net("Softmax", "softmax_param { axis: -9 }"), net("Softmax", ""))
    text = net("Softmax", "softmax_param { axis: -9 }")
    difference = compare_nets(Prototxt.parse(net("Softmax", "")), Prototxt.parse(text))
    assert difference.layers[0].changes[0].new == "{ axis: -9 }"


def test_fields_of_the_net() -> None:
    assert same("force_backward: false", "")
    assert not same("force_backward: false", "", strict=True)
    assert not same("force_backward: true", "")
    assert same("state { level: 0 }", "")


def test_where_forks_differ_nothing_is_known() -> None:
    """SegNet's Upsample has another default scale than MobileNet-YOLO's; numbers of other kinds."""
    assert known_fields("UpsampleParameter")["scale"].default is None
    assert known_fields("UpsampleParameter")["scale_h"].default is None
    assert known_fields("UpsampleParameter")["pad_out_h"].default is False
    assert known_fields("ConvolutionParameter")["hole"].default == 1
    assert known_fields("NoSuchMessage") == {}


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = tmp_path / "a.prototxt", tmp_path / "b.prototxt"
    old.write_text(net("Convolution", EQUAL[0][1]))
    new.write_text(net("Convolution", EQUAL[0][2]))
    assert run(["diff", str(old), str(new)]) == 0
    assert capsys.readouterr().out == "no difference: 4 layers\n"
    assert run(["diff", str(old), str(new), "--strict"]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "different; layers: 1 changed",
        "layer l (Convolution): changed",
        "    convolution_param.stride: (none) -> 1",
        "    convolution_param.pad: (none) -> 0",
        "    convolution_param.dilation: (none) -> 1",
    ]
