"""What running a net is estimated to take, against what it takes: `python -m benchmarks.memory`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from attacks.scripts import find_caffe_python
from lacking import lacking

from netsurgery.cli import run
from netsurgery.formats.prototxt import Prototxt
from netsurgery.net.memory import (
    REWRITTEN,
    caffe_loading,
    caffe_memory,
    embedded_memory,
    largest_size,
)
from netsurgery.net.net import NetDefinition
from netsurgery.net.shapes import infer

#: What is estimated beyond the numbers, for any net.
FIXED = {"caffe": 96 << 20, "embedded": 24 << 20}

CONV = 'convolution_param { num_output: 16 kernel_size: 3 pad: 1 weight_filler { type: "msra" } }'


def chain(*layers: str) -> str:
    """A net of an input and layers, each on the one before it."""
    text = 'name: "chain" input: "data" input_shape { dim: 1 dim: 3 dim: 500 dim: 700 }\n'
    bottom = "data"
    for index, layer in enumerate(layers):
        kind, _, rest = layer.partition(" ")
        top = bottom if kind.endswith("!") else f"b{index}"
        text += f'layer {{ name: "l{index}" type: "{kind.rstrip("!")}" bottom: "{bottom}" '
        text += f'top: "{top}" {rest} }}\n'
        bottom = top
    return text


NETS = {
    "convolutions": chain(*[f"Convolution {CONV}", "ReLU!"] * 5),
    "normalized": chain(
        f"Convolution {CONV}", "BatchNorm", "Scale! scale_param { bias_term: true }", "PReLU!",
        f"Convolution {CONV}", "LRN", "LRN lrn_param { norm_region: WITHIN_CHANNEL }", "MVN",
        "Softmax",
    ),
    "spread": chain(
        f"Convolution {CONV}", "Pooling pooling_param { pool: MAX kernel_size: 2 stride: 2 }",
        'Deconvolution convolution_param { num_output: 8 kernel_size: 4 stride: 2 pad: 1 '
        'weight_filler { type: "msra" } }', "Power", "Sigmoid",
    ),
    "inner": chain(
        "Pooling pooling_param { pool: AVE kernel_size: 50 stride: 50 }",
        'InnerProduct inner_product_param { num_output: 40000 weight_filler { type: "xavier" } }',
        'InnerProduct inner_product_param { num_output: 1000 weight_filler { type: "xavier" } }',
    ),
}  # fmt: skip


@pytest.mark.parametrize("engine", ["caffe", "embedded"])
@pytest.mark.parametrize("name", NETS)
def test_estimated_is_no_less_than_measured_and_not_far_more(
    tmp_path: Path, repo_root: Path, monkeypatch: pytest.MonkeyPatch, name: str, engine: str
) -> None:
    if engine == "caffe" and find_caffe_python() is None:
        lacking("no real Caffe to measure")
    monkeypatch.chdir(tmp_path)
    Path("net.prototxt").write_text(NETS[name])
    assert run(["init", "net.prototxt", "-o", "net.caffemodel", "-q"]) == 0
    command = [sys.executable, "-m", "benchmarks.memory", "--child", engine]
    files = [str(tmp_path / "net.prototxt"), str(tmp_path / "net.caffemodel"), "-"]
    done = subprocess.run(
        [*command, *files], cwd=repo_root, stdout=subprocess.PIPE, check=True, text=True
    )
    estimated, measured = json.loads(done.stdout)
    assert measured <= estimated, f"{measured >> 20} MiB measured, {estimated >> 20} estimated"
    assert estimated - FIXED[engine] <= 3 * measured + (8 << 20)


def read(text: str) -> NetDefinition:
    return NetDefinition.of(Prototxt.parse(text))


def test_caffe_keeps_every_blob_and_the_columns_of_each_convolution() -> None:
    net = read(chain(f"Convolution {CONV}", "ReLU!", "Flatten"))
    shapes = infer(net)
    pixels, params = 500 * 700, 16 * 3 * 9 + 16
    blobs = (3 + 16) * pixels  # the flattened one is the convolution's
    handed = 3 * pixels
    assert caffe_memory(net, shapes) - FIXED["caffe"] == 4 * (params + blobs + handed + 27 * pixels)
    assert caffe_loading(net, shapes) - FIXED["caffe"] == 8 * params


def test_the_embedded_engine_keeps_a_blob_until_its_last_reader() -> None:
    few, many = (read(chain(*[f"Convolution {CONV}"] * count)) for count in (3, 30))
    first, second = (embedded_memory(net, infer(net), net.outputs) for net in (few, many))
    assert second - first == 2 * 4 * 27 * 16 * 16 * 9  # its kernels, which are rewritten
    large = read(chain("Convolution " + CONV.replace("kernel_size: 3", "kernel_size: 149")))
    shapes, kernels = infer(large), 16 * 3 * 149 * 149
    assert 4 * kernels > REWRITTEN
    assert embedded_memory(large, shapes, large.outputs) < first
    copied = embedded_memory(few, infer(few), few.outputs, 1000)
    assert copied - first == 4 * 5 * 1000


def test_the_largest_size_keeps_the_proportions() -> None:
    for size, most in (((3000, 4000), 480_000), ((10, 5000), 70), ((1, 1), 1), ((7, 5), 1000)):

        def fits(size: tuple[int, int], most: int = most) -> bool:
            return size[0] * size[1] <= most

        height, width = largest_size(fits, size)
        assert fits((height, width))
        assert height <= size[0]
        assert width <= size[1]
    assert largest_size(lambda size: size[0] * size[1] <= 480_000, (3000, 4000)) == (600, 800)
    assert largest_size(lambda size: False, (30, 40)) == (0, 0)
