"""Fields of cells: Caffe's own coord_map, and what changed pixels change in Caffe itself.

The pixels of one row or column are raised far above all others, and every weight is positive, so
that whatever depends on them shows it. A cell must depend on pixels of its field alone, and between
them the cells must depend on the first and the last of theirs.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from netsurgery.cli import run
from netsurgery.engines.contract import Engine, EngineOptions
from netsurgery.engines.ort import open_engine
from netsurgery.engines.pycaffe import PycaffeEngine
from netsurgery.errors import PrototxtError
from netsurgery.formats.prototxt import Prototxt
from netsurgery.net import types
from netsurgery.net.field import ReceptiveField, fields
from netsurgery.net.net import NetDefinition
from netsurgery.net.shapes import infer

#: Messages are compared as the command words them.
pytestmark = pytest.mark.usefixtures("option_names")

Rng = np.random.Generator

#: How many drawn nets are tried.
COORD_MAPS, PIXELS = 80, 60

FILLER = 'weight_filler { type: "uniform" min: 0.5 max: 1.5 }'


def layer(kind: str, top: str, bottoms: str, param: str = "") -> str:
    reads = "".join(f' bottom: "{bottom}"' for bottom in bottoms.split())
    return f'layer {{ name: "{top}" type: "{kind}"{reads} top: "{top}" {param} }}\n'


def conv(top: str, bottom: str, rest: str, kind: str = "Convolution") -> str:
    param = f"convolution_param {{ num_output: 2 bias_term: false {rest} {FILLER} }}"
    return layer(kind, top, bottom, param)


def pool(top: str, bottom: str, rest: str) -> str:
    return layer("Pooling", top, bottom, f"pooling_param {{ {rest} }}")


@dataclass(frozen=True)
class Drawn:
    """A drawn net: its text, and its layers as (type, parameters) for Caffe's NetSpec."""

    size: tuple[int, int]
    text: str
    layers: tuple[tuple[str, dict[str, Any]], ...]

    @property
    def last(self) -> str:
        return f"t{len(self.layers)}" if self.layers else "x"

    def phases(self, axis: int) -> int:
        """After how many cells they see the same again: the stride of the Deconvolution."""
        strides = [each["stride"][axis] for kind, each in self.layers if kind == "Deconvolution"]
        return max(strides, default=1)

    @property
    def header(self) -> str:
        return f'input: "x" input_shape {{ dim: [1, 2, {self.size[0]}, {self.size[1]}] }}\n'

    def net(self) -> NetDefinition:
        return NetDefinition.of(Prototxt.parse(self.header + self.text))

    def map_size(self) -> tuple[int, int] | None:
        """Rows and columns of the last blob; None where the input is too small."""
        try:
            shape = infer(self.net()).blobs[self.last]
        except PrototxtError:
            return None
        return shape[2], shape[3]

    def then(self, kind: str, params: dict[str, Any], text: str) -> Drawn:
        return Drawn(self.size, self.text + text, (*self.layers, (kind, params)))


def two(rng: Rng, low: int, high: int) -> list[int]:
    """A number for height and width, or one for each."""
    both = rng.integers(low, high, 2).tolist()
    return [int(n) for n in (both if rng.random() < 0.4 else both[:1] * 2)]


def spelled(name: str, values: list[int]) -> str:
    return " ".join(
        f"{name}: {value}" for value in (values if len(set(values)) > 1 else values[:1])
    )


def slide(rng: Rng, drawn: Drawn, most: int, strides: int = 4) -> Drawn:
    """Another Convolution or Pooling; the first Convolution may pad by much, as FCN's does."""
    top, bottom = f"t{len(drawn.layers) + 1}", drawn.last
    kernel, stride = two(rng, 1, 5), two(rng, 1, strides)
    if rng.random() < 0.5:
        dilation, pad = two(rng, 1, 3), two(rng, 0, most)
        params = {"kernel_size": kernel, "stride": stride, "pad": pad, "dilation": dilation}
        text = conv(top, bottom, " ".join(spelled(name, each) for name, each in params.items()))
        return drawn.then("Convolution", params, text)
    side, step, pad_ = kernel[0], stride[0], int(rng.integers(0, kernel[0]))
    of_pool = {"kernel_size": side, "stride": step, "pad": pad_}
    how = "MAX" if rng.random() < 0.5 else "AVE"
    text = pool(top, bottom, f"pool: {how} kernel_size: {side} stride: {step} pad: {pad_}")
    return drawn.then("Pooling", of_pool, text)


def spread(rng: Rng, drawn: Drawn) -> Drawn:
    """A Deconvolution, and perhaps a Crop behind it."""
    kernel, stride = two(rng, 1, 6), two(rng, 1, 4)
    pad = [int(rng.integers(0, side)) for side in kernel]
    params = {"kernel_size": kernel, "stride": stride, "pad": pad}
    top = f"t{len(drawn.layers) + 1}"
    rest = " ".join(spelled(name, each) for name, each in params.items())
    drawn = drawn.then("Deconvolution", params, conv(top, drawn.last, rest, "Deconvolution"))
    size = drawn.map_size()
    if size is None or rng.random() < 0.4:
        return drawn
    offset = [int(rng.integers(0, max(side // 4, 1))) for side in size]
    rows, columns = (side - start for side, start in zip(size, offset, strict=True))
    like = f"input_param {{ shape {{ dim: [1, 1, {rows}, {columns}] }} }}"
    top = f"t{len(drawn.layers) + 1}"
    text = f'layer {{ name: "like{top}" type: "Input" top: "like{top}" {like} }}\n'
    text += layer("Crop", top, f"{drawn.last} like{top}",
                  f"crop_param {{ axis: 2 {spelled('offset', offset)} }}")  # fmt: skip
    return drawn.then("Crop", {"axis": 2, "offset": offset}, text)


def draw(seed: int) -> Drawn:
    """Windows that slide, then perhaps one that spreads, then perhaps one that slides by one."""
    rng = np.random.default_rng(seed)
    while True:
        drawn = Drawn((int(rng.integers(20, 41)), int(rng.integers(20, 41))), "", ())
        for number in range(int(rng.integers(1, 4))):
            drawn = slide(rng, drawn, most=20 if number == 0 and rng.random() < 0.3 else 4)
        if rng.random() < 0.6:
            drawn = spread(rng, drawn)
            if rng.random() < 0.5:
                drawn = slide(rng, drawn, most=3, strides=2)
        size = drawn.map_size()
        if size is not None and min(size) >= 2:
            return drawn


COORD_MAP = """
import json, sys
from caffe import layers as L
from caffe.coord_map import coord_map_from_to

answers = []
for chain in json.loads(sys.argv[1]):
    data = top = L.Input()
    for kind, params in chain:
        if kind == "Crop":
            top = L.Crop(top, L.Input(), crop_param=params)
        else:
            top = getattr(L, kind)(top, **params)
    axis, scale, shift = coord_map_from_to(data, top)
    answers.append([[float(n) for n in each.tolist() * 2][:2] for each in (scale, shift)])
print(json.dumps(answers))
"""


@pytest.mark.caffe
def test_the_middles_of_fields_are_where_caffes_coord_map_puts_cells(
    run_in_caffe: Callable[..., str],
) -> None:
    nets = [draw(seed) for seed in range(COORD_MAPS)]
    answers = json.loads(run_in_caffe(COORD_MAP, json.dumps([drawn.layers for drawn in nets])))
    assert {kind for drawn in nets for kind, _ in drawn.layers} >= {
        "Convolution", "Pooling", "Deconvolution", "Crop",
    }  # fmt: skip
    for drawn, (scale, shift) in zip(nets, answers, strict=True):
        field = fields(drawn.net())[drawn.last]
        for axis in range(2):
            # coord_map counts pixels by their middles: cell = scale x pixel + shift.
            assert float(field.stride[axis]) == pytest.approx(1 / scale[axis]), drawn.text
            middle = float(field.middle[axis]) - 0.5
            assert middle == pytest.approx(-shift[axis] / scale[axis]), drawn.text


FUSED = """
import json, sys
from caffe import layers as L
from caffe.coord_map import crop

x = L.Input()
low = L.Pooling(L.Convolution(x, kernel_size=3, pad=100), kernel_size=2, stride=2)
high = L.Pooling(L.Convolution(low, kernel_size=3, pad=1), kernel_size=2, stride=2)
score = L.Convolution(high, kernel_size=7)
up = L.Deconvolution(score, kernel_size=4, stride=2)
skip = crop(low, up)
fused = L.Eltwise(up, skip)
out = crop(L.Deconvolution(fused, kernel_size=4, stride=2), x)
offsets = [each.fn.params["crop_param"]["offset"] for each in (skip, out)]
print(json.dumps([[int(n) for n in offset] for offset in offsets]))
"""


@pytest.mark.caffe
def test_what_caffes_coord_map_crops_to_fit_lies_alike(run_in_caffe: Callable[..., str]) -> None:
    """FCN-16s in small, its offsets worked out by Caffe: the branches' cells are concentric."""
    skip, out = json.loads(run_in_caffe(FUSED))
    text = (
        'input: "x" input_shape { dim: [1, 2, 40, 40] }\n'
        + conv("c1", "x", "kernel_size: 3 pad: 100")
        + pool("low", "c1", "kernel_size: 2 stride: 2")
        + conv("c2", "low", "kernel_size: 3 pad: 1")
        + pool("high", "c2", "kernel_size: 2 stride: 2")
        + conv("score", "high", "kernel_size: 7")
        + conv("up", "score", "kernel_size: 4 stride: 2", "Deconvolution")
        + layer("Crop", "skip", "low up", f"crop_param {{ axis: 2 offset: {skip[0]} }}")
        + layer("Eltwise", "fused", "up skip")
        + conv("big", "fused", "kernel_size: 4 stride: 2", "Deconvolution")
        + layer("Crop", "out", "big x", f"crop_param {{ axis: 2 offset: {out[0]} }}")
    )
    placed = fields(NetDefinition.of(Prototxt.parse(text)))
    assert placed["up"].middle == placed["skip"].middle == placed["fused"].middle
    assert (placed["out"].stride, placed["out"].middle) == (
        (Fraction(1), Fraction(1)),
        (Fraction(1, 2), Fraction(1, 2)),
    )


#: What a pixel grows by, and what is not a rounding of it.
FAR, NEAR = 1000.0, 1e-3


class Pixels:
    """Which pixels of the input each cell of a blob depends on, by changing them one by one."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self.engine, self.folder = engine, folder

    def seen(self, text: str, blob: str, sign: float = 1.0) -> list[list[set[int]]]:
        """Along height, then along width: for each row (column) of cells the rows of pixels."""
        path, weights = self.folder / "net.prototxt", self.folder / "net.caffemodel"
        path.write_text(text)
        assert run(["init", str(path), "-o", str(weights), "-q", "--force"]) == 0
        net = NetDefinition.of(Prototxt.parse(text))
        declared = net.inputs[0].shape
        assert declared is not None
        _, channels, height, width = declared
        rng = np.random.default_rng(0)
        base = rng.uniform(0.5, 1.5, (1, channels, height, width)).astype(np.float32)
        batch = np.repeat(base, 1 + height + width, axis=0)
        far = sign * FAR * base[0]
        for row in range(height):
            batch[1 + row, :, row] += far[:, row]
        for column in range(width):
            batch[1 + height + column, :, :, column] += far[:, :, column]
        others = {
            net_input.name: np.arange(np.prod(net_input.shape), dtype=np.float32).reshape(
                net_input.shape
            )
            for net_input in net.inputs[1:]
            if net_input.shape is not None
        }
        with self.engine.load(path, weights) as loaded:
            loaded.reshape({"x": batch.shape})
            values = loaded.forward({"x": batch, **others}, [blob])[blob]
        values = values.reshape(*values.shape, *[1] * (4 - values.ndim))
        changed = np.abs(values - values[:1]) > NEAR
        rows, columns = changed[1 : 1 + height], changed[1 + height :]
        down, across = rows.any(axis=(1, 3)), columns.any(axis=(1, 2))
        return [[set(np.flatnonzero(cell)) for cell in each.T] for each in (down, across)]


def held(
    field: ReceptiveField, seen: list[list[set[int]]], size: tuple[int, int], what: str
) -> int:
    """Hold what was seen against the field; gives along how many axes it reached both its ends.

    Cells whose field passes the picture's edge cannot show all of it.
    """
    reached = 0
    for axis, cells in enumerate(seen):
        first, last = [], []
        for number, pixels in enumerate(cells):
            low = field.offset[axis] + field.stride[axis] * number
            high = low + field.size[axis]
            if pixels:
                assert min(pixels) >= low, f"{what}: cell {number} sees {sorted(pixels)}"
                assert max(pixels) + 1 <= high, f"{what}: cell {number} sees {sorted(pixels)}"
            if low >= 0 and high <= size[axis] and pixels:
                first.append(min(pixels) - low)
                last.append(high - 1 - max(pixels))
        reached += bool(first) and min(first) == min(last) == 0
    return reached


@pytest.fixture
def in_caffe(caffe_engine: PycaffeEngine, tmp_path: Path) -> Pixels:
    return Pixels(caffe_engine, tmp_path)


def header(height: int, width: int) -> str:
    return f'input: "x" input_shape {{ dim: [1, 2, {height}, {width}] }}\n'


@pytest.mark.caffe
def test_cells_of_drawn_nets_see_their_fields_and_no_more(in_caffe: Pixels) -> None:
    reached = possible = 0
    for seed in range(1000, 1000 + PIXELS):
        drawn = draw(seed)
        field = fields(drawn.net())[drawn.last]
        seen = in_caffe.seen(drawn.header + drawn.text, drawn.last)
        both = held(field, seen, drawn.size, f"{field}\n{drawn.text}")
        expected = sum(
            cells_within(field, len(seen[axis]), drawn.size, axis) >= drawn.phases(axis)
            for axis in range(2)
        )
        assert both >= expected, f"{field}\n{drawn.text}"
        reached, possible = reached + both, possible + expected
    assert possible > PIXELS  # of 2 x PIXELS: enough of them say something


def cells_within(field: ReceptiveField, cells: int, size: tuple[int, int], axis: int) -> int:
    """How many cells have their whole field within the picture."""
    starts = [field.offset[axis] + field.stride[axis] * number for number in range(cells)]
    return sum(start >= 0 and start + field.size[axis] <= size[axis] for start in starts)


C = conv("c", "x", "kernel_size: 3 stride: 2")
GLOBAL = pool("g", "c", "pool: AVE global_pooling: true")
VECTOR = layer("Reshape", "v", "g", "reshape_param { shape { dim: [0, 0] } }")
WIDE = conv("w", "x", "kernel_size: 7 stride: 2 pad: 2")

#: Layers of Caffe's own whose cells see part of the picture. The blob is the last layer's.
PARTS = {
    "fcn's padding": conv("a", "x", "kernel_size: 3 pad: 50 stride: 2")
    + pool("b", "a", "kernel_size: 3 stride: 2"),
    "dilation": conv("a", "x", "kernel_size: 3 dilation: 3") + conv("b", "a", "kernel_size: 2"),
    "kernels of two sides": conv("a", "x", "kernel_h: 2 kernel_w: 5 stride_h: 3 stride_w: 1"),
    "a pooling that rounds up": pool("a", "x", "kernel_size: 3 stride: 4"),
    "an average that rounds up": pool("a", "x", "pool: AVE kernel_size: 5 stride: 3 pad: 2"),
    "lrn within channels": layer(
        "LRN", "a", "x", "lrn_param { norm_region: WITHIN_CHANNEL local_size: 5 }"
    ),
    "lrn across channels": layer("LRN", "a", "x", "lrn_param { local_size: 3 }"),
    "im2col": layer(
        "Im2col", "a", "x", "convolution_param { kernel_size: 3 dilation: 2 pad: 1 stride: 2 }"
    ),
    "deconvolution": C + conv("d", "c", "kernel_size: 5 stride: 2 pad: 1", "Deconvolution"),
    "deconvolution, dilated": C
    + conv("d", "c", "kernel_size: 3 stride: 3 dilation: 2", "Deconvolution"),
    "deconvolution, twice": C
    + conv("d", "c", "kernel_size: 4 stride: 2", "Deconvolution")
    + conv("e", "d", "kernel_size: 3 stride: 3", "Deconvolution"),
    "crop": C
    + conv("d", "c", "kernel_size: 4 stride: 2", "Deconvolution")
    + layer("Crop", "e", "d c", "crop_param { offset: 7 offset: 3 }"),
    "crop along the width": C + layer("Crop", "e", "x c", "crop_param { axis: 3 offset: 5 }"),
    "slice along the height": layer("Split", "s", "x")
    + 'layer { name: "n" type: "Slice" bottom: "s" top: "m" top: "n" '
    + "slice_param { axis: 2 slice_point: 9 } }\n",
    "branches": C + WIDE + layer("Concat", "j", "c w"),
    "branches that are added": C + WIDE + layer("Eltwise", "j", "c w"),
    "a gate for each position": C + WIDE + layer("Scale", "j", "c w", "scale_param { axis: 0 }"),
    "softmax over channels": layer("Power", "p", "x", "power_param { scale: 0.0005 }")
    + layer("Softmax", "s", "p"),
    "several bottoms": C
    + WIDE
    + 'layer { name: "t" type: "Convolution" bottom: "w" bottom: "c" top: "u" top: "t" '
    + f"convolution_param {{ num_output: 2 kernel_size: 4 {FILLER} }} }}\n",
    "what gives a size only": C + layer("Crop", "e", "x c", "crop_param { offset: 2 }"),
}
#: And such as see all of it.
WHOLES = {
    "global pooling": C + GLOBAL,
    "inner product": C
    + layer("InnerProduct", "f", "c", f"inner_product_param {{ num_output: 2 {FILLER} }}"),
    "reduction": C + layer("Reduction", "r", "c", "reduction_param { axis: 2 }"),
    "mvn": C + layer("MVN", "m", "c"),
    "spatial softmax": layer("Power", "p", "x", "power_param { scale: 0.001 }")
    + layer("Softmax", "s", "p", "softmax_param { axis: 2 }")
    + layer("Softmax", "t", "s", "softmax_param { axis: 3 }")
    + layer("Power", "u", "t", "power_param { scale: 10000 }"),
    "a gate": C + GLOBAL + VECTOR + layer("Scale", "s", "c v", "scale_param { axis: 0 }"),
    "a gate that is added": C
    + GLOBAL
    + VECTOR
    + layer("Bias", "b", "c v", "bias_param { axis: 0 }"),
    "tiles": C
    + GLOBAL
    + layer("Tile", "t", "g", "tile_param { axis: 2 tiles: 3 }")
    + layer("Tile", "u", "t", "tile_param { axis: 3 tiles: 2 }"),
    "spatial pyramid": layer("SPP", "s", "x", "spp_param { pyramid_height: 1 pool: AVE }"),
}
#: Layers of forks, which the embedded engine runs.
FORKS = {
    "interp by a factor": C + layer("Interp", "i", "c", "interp_param { zoom_factor: 3 }"),
    "interp to a size": C + layer("Interp", "i", "c", "interp_param { height: 31 width: 12 }"),
    "interp that shrinks": layer("Interp", "i", "x", "interp_param { shrink_factor: 4 }"),
    "interp that cuts": C
    + layer("Interp", "i", "c", "interp_param { zoom_factor: 2 pad_beg: -2 pad_end: -1 }"),
    "upsample": C + layer("Upsample", "u", "c", "upsample_param { scale: 3 }"),
    "upsample, then convolved": C
    + layer("Upsample", "u", "c", "upsample_param { scale: 2 }")
    + conv("v", "u", "kernel_size: 3 pad: 1"),
    "unpooling": 'layer { name: "p" type: "Pooling" bottom: "x" top: "p" top: "m" '
    + "pooling_param { kernel_size: 2 stride: 2 } }\n"
    + layer("Upsample", "u", "p m", "upsample_param { upsample_h: 29 upsample_w: 33 }"),
    "normalize": layer("Normalize", "n", "x", "norm_param { across_spatial: false }"),
    "depthwise": layer(
        "DepthwiseConvolution",
        "d",
        "x",
        f"convolution_param {{ num_output: 2 group: 2 kernel_size: 3 stride: 2 {FILLER} }}",
    ),
    "depthwise of another name": layer(
        "ConvolutionDepthwise",
        "d",
        "x",
        f"convolution_param {{ num_output: 2 kernel_size: 3 pad: 1 {FILLER} }}",
    ),
    "pad": layer("Pad", "q", "x", "pad_param { paddings: [0, 0, 0, 0, 2, 1, 0, 3] }")
    + conv("c", "q", "kernel_size: 3"),
    "hole": conv("c", "x", "kernel_size: 3 hole: 3")
    + conv("d", "c", "kernel_size: 2 hole_h: 1 hole_w: 2"),
    "channels shuffled": layer("ShuffleChannel", "s", "x", "shuffle_channel_param { group: 2 }"),
}
FORKS_WHOLES = {
    "normalize": C + layer("Normalize", "n", "c", "norm_param { across_spatial: true }"),
    "a gate by axpy": C + GLOBAL + layer("Axpy", "a", "g c c"),
    "pooled and brought back": C
    + GLOBAL
    + layer("Interp", "i", "g", "interp_param { height: 5 width: 6 }"),
}


#: Types whose cells see one cell each, of numbers that do not saturate.
SMALL = layer("Power", "p", "x", "power_param { scale: 0.001 }")
POINTS = {
    "AbsVal": SMALL + layer("AbsVal", "a", "p"),
    "ArgMax": SMALL + layer("ArgMax", "a", "p", "argmax_param { axis: 1 out_max_val: true }"),
    "BNLL": SMALL + layer("BNLL", "a", "p"),
    "BatchNorm": SMALL + layer("BatchNorm", "a", "p"),
    "BatchReindex": 'input: "i" input_shape { dim: 63 }\n' + layer("BatchReindex", "a", "x i"),
    "Clip": SMALL + layer("Clip", "a", "p", "clip_param { min: 0 max: 9 }"),
    "Dropout": SMALL + layer("Dropout", "a", "p"),
    "ELU": SMALL + layer("ELU", "a", "p"),
    "Exp": SMALL + layer("Exp", "a", "p"),
    "Flatten": layer("Flatten", "a", "x", "flatten_param { axis: 1 end_axis: 1 }"),
    "Log": layer("Power", "p", "x", "power_param { power: 2 }") + layer("Log", "a", "p"),
    "PReLU": SMALL + layer("PReLU", "a", "p"),
    "ReLU": SMALL + layer("ReLU", "a", "p"),
    "ReLU6": SMALL + layer("ReLU6", "a", "p"),
    "Reshape": layer("Reshape", "a", "x", "reshape_param { shape { dim: [0, 2, 29, 33] } }"),
    "Sigmoid": SMALL + layer("Sigmoid", "a", "p"),
    "Swish": SMALL + layer("Swish", "a", "p"),
    "TanH": SMALL + layer("TanH", "a", "p"),
    "Threshold": SMALL + layer("Threshold", "a", "p", "threshold_param { threshold: 0.1 }"),
}
#: And such of forks.
FORKS_POINTS = {
    "bn of pspnet": SMALL
    + layer("BN", "a", "p", "bn_param { slope_filler { value: 1 } frozen: true }"),
    "bn of segnet": SMALL
    + layer("BN", "a", "p", "bn_param { bn_mode: INFERENCE scale_filler { value: 1 } }"),
    "batch norm of nvcaffe": SMALL
    + layer(
        "BatchNorm", "a", "p", "batch_norm_param { scale_bias: true scale_filler { value: 1 } }"
    ),
    "normalize of faces": SMALL
    + layer("Normalize", "a", "p", 'normalize_param { normalize_type: "L2" }'),
    "dropout of r-fcn": SMALL + layer("Dropout", "a", "p", "dropout_param { scale_train: 0 }"),
    "reverse": layer("Reverse", "a", "x", "reverse_param { axis: 1 }"),
    **{
        name: SMALL + layer(name, "a", "p")
        for name in ("HardSigmoid", "HardSwish", "Mish", "SeLU", "Softplus", "Softsign")
    },
    "ReLU6": POINTS.pop("ReLU6"),
}


def of_the_last(pixels: Pixels, layers: str) -> tuple[ReceptiveField, list[list[set[int]]]]:
    """The field of the last layer's last top, and what its cells see whichever way pixels go."""
    text = header(29, 33) + layers
    net = NetDefinition.of(Prototxt.parse(text))
    blob = net.layers[-1].tops[-1]
    ways = [pixels.seen(text, blob, sign) for sign in (1.0, -1.0)]
    seen = [[a | b for a, b in zip(*axes, strict=True)] for axes in zip(*ways, strict=True)]
    return fields(net)[blob], seen


def hold_part(pixels: Pixels, layers: str) -> None:
    field, seen = of_the_last(pixels, layers)
    assert not field.whole
    assert held(field, seen, (29, 33), str(field)) == 2, f"{field} {seen}"


def hold_whole(pixels: Pixels, layers: str) -> None:
    field, seen = of_the_last(pixels, layers)
    assert field.whole
    for axis, size in enumerate((29, 33)):
        assert all(cell == set(range(size)) for cell in seen[axis])


@pytest.mark.caffe
@pytest.mark.parametrize("name", POINTS)
def test_cells_that_see_one_cell(in_caffe: Pixels, name: str) -> None:
    hold_part(in_caffe, POINTS[name])


@pytest.mark.parametrize("name", FORKS_POINTS)
def test_cells_of_forks_that_see_one_cell(tmp_path: Path, name: str) -> None:
    with open_engine(EngineOptions(threads=1)) as engine:
        hold_part(Pixels(engine, tmp_path), FORKS_POINTS[name])


def test_every_type_with_a_field_is_tried() -> None:
    tried = set()
    for nets in (POINTS, PARTS, WHOLES, FORKS, FORKS_POINTS, FORKS_WHOLES):
        for text in nets.values():
            net = NetDefinition.of(Prototxt.parse(header(29, 33) + text))
            tried |= {record.name for record in map(types.of, net.layers) if record}
    assert {name for name, record in types.RECORDS.items() if record.field} - tried == set()


@pytest.mark.caffe
@pytest.mark.parametrize("name", PARTS)
def test_cells_see_their_field(in_caffe: Pixels, name: str) -> None:
    hold_part(in_caffe, PARTS[name])


@pytest.mark.caffe
@pytest.mark.parametrize("name", WHOLES)
def test_cells_of_the_whole_map_see_all(in_caffe: Pixels, name: str) -> None:
    hold_whole(in_caffe, WHOLES[name])


@pytest.mark.parametrize("name", FORKS)
def test_cells_behind_forks_layers_see_their_field(tmp_path: Path, name: str) -> None:
    with open_engine(EngineOptions(threads=1)) as engine:
        hold_part(Pixels(engine, tmp_path), FORKS[name])


@pytest.mark.parametrize("name", FORKS_WHOLES)
def test_cells_of_the_whole_map_of_forks_see_all(tmp_path: Path, name: str) -> None:
    with open_engine(EngineOptions(threads=1)) as engine:
        hold_whole(Pixels(engine, tmp_path), FORKS_WHOLES[name])
