"""What `check` says of Caffe 1.0 is what real Caffe does: it loads the net, or it does not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from small_models import model_layer, write_model

from netsurgery.engines.pycaffe import PycaffeEngine
from netsurgery.errors import NetsurgeryError
from netsurgery.io.wire import delimited, varint_field
from netsurgery.verbs.check import check

pytestmark = pytest.mark.caffe

NET = """name: "n" TOP
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: [1, 3, 8, 8] } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" LAYER
  convolution_param { num_output: 2 kernel_size: 3 CONV } }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool"
  pooling_param { kernel_size: 2 POOL } }
"""

BN = 'layer { name: "bn" type: "BatchNorm" bottom: "data" top: "bn" PARAMS }\n'

#: The rates of a BatchNorm's params: those that its three blobs have, and which are not 0.
RATES = [
    "".join(f"param {{ {rate} }} " for rate in rates)
    for rates in (
        [],
        ["lr_mult: 0"],
        ["lr_mult: 1"],
        ["decay_mult: 0"],
        ["lr_mult: 0", "lr_mult: 0"],
        ["lr_mult: 0", "lr_mult: 0.5"],
        ["lr_mult: 0", 'name: "m"'],
        ["lr_mult: 1", "lr_mult: 1", "lr_mult: 1"],
    )
]

#: What is put into the net, and where.
CHANGES = [
    ("TOP", ""),
    ("TOP", "strange: 1"),
    ("TOP", "force_backward: 2"),
    ("TOP", 'state { phase: TEST stage: "x" }'),
    ("TOP", "input: []"),
    ("LAYER", "kernel_size: 3"),
    ("LAYER", "blobs_lr: 1"),
    ("LAYER", "loss_weight: x"),
    ("LAYER", "phase: TST"),
    ("LAYER", "phase: 1"),
    ("LAYER", "phase: 7"),
    ("LAYER", "permute_param { }"),
    ("LAYER", "relu_param { negative_slope: 0.1 }"),
    ("LAYER", "param { lr_mult: 1 lr_mult: 2 }"),
    ("LAYER", "param { } param { }"),
    ("LAYER", "param { } param { } param { }"),
    ("LAYER", 'bottom: "nowhere"'),
    ("LAYER", 'bottom: "data"'),
    ("LAYER", 'top: "more"'),
    ("CONV", "hole: 2"),
    ("CONV", "pad: [1, 2]"),
    ("CONV", "pad: -1"),
    ("CONV", "pad: 1.5"),
    ("CONV", "pad: 0x1"),
    ("CONV", "group: 3"),
    ("CONV", "group: [1]"),
    ("CONV", "bias_term: 0"),
    ("CONV", "bias_term: 2"),
    ("CONV", "bias_term: True"),
    ("CONV", "engine: CAFFE"),
    ("CONV", 'engine: "CAFFE"'),
    ("CONV", "engine: MKLDNN"),
    ("CONV", "kernel_h: 3"),
    ("CONV", "stride: []"),
    ("CONV", "weight_filler { type: xavier }"),
    ("CONV", 'weight_filler { type: "xavier" std: 0x10 }'),
    ("CONV", 'weight_filler { type: "xavier" std: 1f }'),
    ("CONV", "weight_filler { strange: 1 }"),
    ("CONV", "weight_filler: 3"),
    ("POOL", "pool: MAX"),
    ("POOL", "pool: 1"),
    ("POOL", "pool: 9"),
    ("POOL", "pool: MXA"),
    ("POOL", "pad: 1 pad: 1"),
    ("POOL", "ceil_mode: false"),
    ("POOL", "stride: 5000000000"),
    ("POOL", "global_pooling: true"),
    ("POOL", "round_mode: FLOOR"),
]

#: The data of `wired`, a layer's blobs, and what is beside them.
WIRED = [
    ("a a", "a", ""),
    ("a b", "b", "eltwise_param { operation: PROD }"),
    ("b a", "b", "eltwise_param { operation: PROD }"),
    ("a b b", "b", "eltwise_param { operation: PROD }"),
    ("b b", "b", "eltwise_param { operation: PROD }"),
    ("b a", "c", 'param { name: "w" }'),
]

#: Types that are in place on what a layer makes, of a map.
IN_PLACE = ["AbsVal", "Flatten", "PReLU", "ReLU", "Reshape", "Split", "TanH"]

#: A layer that reads 'b' before the one that is in place on it, none, and one that reads it after.
OTHERS = [("e", "b", ""), ("", "", ""), ("", "", "b")]

#: Type, fields, and the shapes of its bottoms, of layers at the edge of what Caffe takes.
IMAGE = (2, 4, 8, 9)
STATE = "recurrent_param { num_output: 3 }"
EXPOSED = 'top: "z" recurrent_param { num_output: 3 expose_hidden: true }'
TWICE = 'top: "z" convolution_param { num_output: 2 kernel_size: 3 }'
LAYERS = [
    ("ArgMax", "argmax_param { axis: 1 top_k: 4 }", IMAGE),
    ("ArgMax", "argmax_param { axis: 1 top_k: 5 }", IMAGE),
    ("ArgMax", "argmax_param { top_k: 288 }", IMAGE),
    ("ArgMax", "argmax_param { top_k: 289 }", IMAGE),
    ("BatchNorm", "", (2, 4)),
    ("BatchNorm", "", (2,)),
    ("Bias", "", IMAGE, (4, 8)),
    ("Bias", "", IMAGE, (4, 9)),
    ("Bias", "", IMAGE, ()),
    ("Concat", "concat_param { axis: -1 }", IMAGE, IMAGE),
    ("Concat", "concat_param { concat_dim: -1 }", IMAGE, IMAGE),
    ("Convolution", TWICE, IMAGE, IMAGE),
    ("Convolution", TWICE, IMAGE, (2, 4, 8, 8)),
    ("Deconvolution", TWICE, IMAGE, IMAGE),
    ("Deconvolution", TWICE, IMAGE, (1, 4, 8, 9)),
    ("DummyData", 'top: "z" dummy_data_param { num: [2, 3] channels: 4 height: 5 width: 6 }'),
    ("DummyData", 'top: "z" dummy_data_param { num: [2, 3, 4] channels: 4 height: 5 width: 6 }'),
    ("DummyData", "dummy_data_param { num: 2 channels: 4 height: 5 }"),
    ("Eltwise", "eltwise_param { coeff: [1, 2] }", IMAGE, IMAGE),
    ("Eltwise", "eltwise_param { coeff: 1 }", IMAGE, IMAGE),
    ("Eltwise", "eltwise_param { coeff: [1, 2] operation: MAX }", IMAGE, IMAGE),
    ("Eltwise", "eltwise_param { coeff: [1, 2] operation: PROD }", IMAGE, IMAGE),
    ("Flatten", "flatten_param { axis: 3 end_axis: 2 }", IMAGE),
    ("Flatten", "flatten_param { axis: 3 end_axis: 1 }", IMAGE),
    ("LRN", "lrn_param { local_size: 3 }", IMAGE),
    ("LRN", "lrn_param { local_size: 4 }", IMAGE),
    ("LRN", "lrn_param { local_size: 4 norm_region: WITHIN_CHANNEL }", IMAGE),
    ("LRN", "", (2, 4)),
    ("LSTM", STATE, (5, 2, 7), (5, 2)),
    ("LSTM", STATE, (5, 2, 7), (5, 3)),
    ("LSTM", STATE, (5, 2, 7), (5, 2, 1)),
    ("LSTM", STATE, (5, 2, 7), (5, 2), (2, 3)),
    ("LSTM", STATE, (5, 2, 7), (5, 2), (1, 3)),
    ("RNN", EXPOSED, (5, 2, 7), (5, 2), (1, 2, 3)),
    ("RNN", EXPOSED, (5, 2, 7), (5, 2), (2, 1, 3)),
    ("Pooling", "pooling_param { kernel_size: 3 pad: 2 stride: 2 }", IMAGE),
    ("Pooling", "pooling_param { kernel_size: 2 pad: 2 stride: 2 }", IMAGE),
    ("Pooling", "pooling_param { kernel_h: 3 kernel_w: 2 pad_h: 1 pad_w: 2 }", IMAGE),
    ("Pooling", "pooling_param { kernel_size: 3 pad_h: 1 pad_w: 0 }", IMAGE),
    ("Pooling", "pooling_param { kernel_size: 3 pad_h: 1 }", IMAGE),
    ("Pooling", "pooling_param { kernel_size: 3 pool: STOCHASTIC }", IMAGE),
    ("Pooling", "pooling_param { kernel_size: 3 pool: STOCHASTIC pad: 1 }", IMAGE),
    ("Scale", "scale_param { axis: 0 }", IMAGE, (2,)),
    ("Scale", "scale_param { axis: 0 }", IMAGE, (4,)),
    ("Scale", "scale_param { axis: 3 }", IMAGE, (9, 1)),
    *(("SPP", f"spp_param {{ pyramid_height: {levels} }}", IMAGE) for levels in range(1, 6)),
    *(
        ("SPP", f"spp_param {{ pyramid_height: {levels} }}", (1, 1, 7, 24))
        for levels in range(1, 6)
    ),
]

LOADING = """
import json, os, sys
import caffe
found = []
with open(sys.argv[1]) as file:
    paths = json.load(file)
os.environ['GLOG_minloglevel'] = '3'
for path in paths:
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        try:
            caffe.Net(str(path), caffe.TEST)
        except BaseException:
            os._exit(1)
        os._exit(0)
    found.append(os.waitpid(child, 0)[1] == 0)
print(json.dumps(found))
"""


def loaded(run_in_caffe: Callable[..., str], paths: list[Path], folder: Path) -> list[bool]:
    """Which of the prototxts real Caffe loads."""
    (folder / "paths.json").write_text(json.dumps([str(path) for path in paths]))
    loads: list[bool] = json.loads(run_in_caffe(LOADING, folder / "paths.json").splitlines()[-1])
    return loads


def said(path: Path) -> bool:
    """Whether `check` says that Caffe 1.0 runs it."""
    try:
        return check(path).engines["Caffe 1.0"].runs
    except (NetsurgeryError, KeyError):
        return False


def test_nets_of_every_kind(run_in_caffe: Callable[..., str], tmp_path: Path) -> None:
    paths = []
    for number, (place, text) in enumerate(CHANGES):
        paths.append(tmp_path / f"{number}.prototxt")
        net = NET.replace(place, text)
        for kind in ("TOP", "LAYER", "CONV", "POOL"):
            net = net.replace(f" {kind}", "")
        paths[-1].write_text(net)
    real = loaded(run_in_caffe, paths, tmp_path)
    wrong = [
        change for change, path, it in zip(CHANGES, paths, real, strict=True) if said(path) != it
    ]
    assert wrong == []
    assert 12 < sum(real) < 30


def test_rates_of_a_batch_norms_statistics(
    run_in_caffe: Callable[..., str], tmp_path: Path
) -> None:
    paths = []
    for number, rates in enumerate(RATES):
        paths.append(tmp_path / f"{number}.prototxt")
        net = NET + BN.replace("PARAMS", rates)
        for place in ("TOP", "LAYER", "CONV", "POOL"):
            net = net.replace(f" {place}", "")
        paths[-1].write_text(net)
    real = loaded(run_in_caffe, paths, tmp_path)
    assert [said(path) for path in paths] == real
    assert {True, False} <= set(real)


def power(bottom: str, top: str) -> str:
    """A layer; none without a bottom."""
    name = f"of {bottom} to {top}"
    fields = f'name: "{name}" type: "Power" bottom: "{bottom}" top: "{top}"'
    return f"layer {{ {fields} }}\n" if bottom else ""


def test_layers_in_place(run_in_caffe: Callable[..., str], tmp_path: Path) -> None:
    """Caffe goes by the number of the bottom, and by who else reads it."""
    paths: list[Path] = []
    data = 'layer { name: "a" type: "Input" top: "a" input_param { shape { dim: [2, 3] } } }\n'
    for bottoms, top, fields in WIRED:
        for before, read, after in OTHERS:
            reads = " ".join(f'bottom: "{bottom}"' for bottom in bottoms.split())
            tried = f'layer {{ name: "tried" type: "Eltwise" {reads} top: "{top}" {fields} }}\n'
            paths.append(tmp_path / f"{len(paths)}.prototxt")
            around = power("a", "b") + power(read, before) + tried + power(after, "f")
            paths[-1].write_text(data + around)
    real = loaded(run_in_caffe, paths, tmp_path)
    assert [said(path) for path in paths] == real
    assert {True, False} <= set(real)


def test_layers_at_the_edge(run_in_caffe: Callable[..., str], tmp_path: Path) -> None:
    paths: list[Path] = []
    for kind, fields, *shapes in LAYERS:
        text = bottoms = ""
        for name, shape in zip("abc", shapes, strict=False):
            dims = f"input_param {{ shape {{ dim: {list(shape)} }} }}"
            text += f'layer {{ name: "{name}" type: "Input" top: "{name}" {dims} }}\n'
            bottoms += f'bottom: "{name}" '
        paths.append(tmp_path / f"{len(paths)}.prototxt")
        paths[-1].write_text(
            f'{text}layer {{ name: "y" type: "{kind}" {bottoms}top: "y" {fields} }}\n'
        )
    real = loaded(run_in_caffe, paths, tmp_path)
    wrong = [layer for layer, path, it in zip(LAYERS, paths, real, strict=True) if said(path) != it]
    assert wrong == []
    assert sum(real) > 20 < len(real) - sum(real)


def test_types_in_place(run_in_caffe: Callable[..., str], tmp_path: Path) -> None:
    paths = [tmp_path / f"{kind}.prototxt" for kind in IN_PLACE]
    for path in paths:
        net = NET.replace('name: "pool"', 'name: "tried"')
        for place in ("TOP", "LAYER", "CONV", "POOL"):
            net = net.replace(f" {place}", "")
        tried = f'layer {{ name: "t" type: "{path.stem}" bottom: "pool" top: "pool" }}\n'
        path.write_text(net + tried)
    real = loaded(run_in_caffe, paths, tmp_path)
    assert [said(path) for path in paths] == real
    assert {True, False} <= set(real)


MODELS = {
    "its own": ("packed", b""),
    "raw": ("raw", b""),
    "raw half": ("raw half", b""),
    "Ristretto's quantization": ("packed", delimited(148, varint_field(1, 8))),
    "a broken message": ("packed", delimited(106, b"\x08")),
    "a field that nobody knows": ("packed", delimited(5000, b"\x08")),
}


@pytest.mark.parametrize("name", MODELS)
def test_weights_that_caffe_cannot_read(
    name: str, tmp_path: Path, caffe_engine: PycaffeEngine
) -> None:
    net = tmp_path / "net.prototxt"
    text = NET
    for place in ("TOP", "LAYER", "CONV", "POOL"):
        text = text.replace(f" {place}", "")
    net.write_text(text)
    weight, bias = np.ones((2, 3, 3, 3), np.float32), np.ones(2, np.float32)
    how, strange = MODELS[name]
    layer_of_v2 = delimited(100, delimited(1, b"other") + strange)
    conv = model_layer("conv", "Convolution", weight, bias, how=how)
    path = write_model(tmp_path / "m.caffemodel", conv, layer_of_v2)
    engine = check(net, path).engines["Caffe 1.0"]
    try:
        caffe_engine.load(net, path)
        runs = True
    except NetsurgeryError:
        runs = False
    assert engine.runs is runs
    assert runs is (name in ("its own", "a field that nobody knows"))


def test_nets_of_others(
    run_in_caffe: Callable[..., str], tmp_path: Path, shared_data: Path, repo_root: Path
) -> None:
    paths = sorted([*(repo_root / "prototxt").glob("*.prototxt"), *shared_data.rglob("*.prototxt")])
    real = loaded(run_in_caffe, paths, tmp_path)
    # Whether Caffe's Python has the module of a Python layer is not asked; check says so.
    wrong = [path for path, it in zip(paths, real, strict=True) if said(path) != it]
    assert [path for path in wrong if "python_param" not in path.read_text()] == []
    assert {True, False} <= set(real)
