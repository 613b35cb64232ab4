"""Channels cut out of nets, judged by real Caffe and by the embedded engine.

A net without some channels gives what it gave with zeros in place of the weights that read them.
Which weights those are is written out here for every net.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from filling import initialize
from numpy.typing import NDArray

from netsurgery.engines.contract import EngineOptions
from netsurgery.engines.ort import EmbeddedEngine, open_engine
from netsurgery.engines.pycaffe import PycaffeEngine
from netsurgery.formats.weights import open_weights
from netsurgery.net.net import NetDefinition
from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.surgery.edit.plan import plan_edit
from netsurgery.surgery.edit.write import EditPaths, write_edit

Array = NDArray[np.float32]
#: Layer, param, and the part of it to make 0.
Zero = tuple[str, int, tuple[slice | list[int], ...]]
ALL = slice(None)


def net(*layers: str, shape: str = "[2, 3, 12, 12]") -> str:
    top = f'layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ dim: {shape} }} }} }}'
    return "\n".join([top, *layers]) + "\n"


def layer(kind: str, name: str, bottoms: str, more: str = "", top: str = "") -> str:
    reads = " ".join(f'bottom: "{bottom}"' for bottom in bottoms.split())
    makes = " ".join(f'top: "{each}"' for each in (top or name).split())
    return f'layer {{ name: "{name}" type: "{kind}" {reads} {makes} {more} }}'


def conv(name: str, bottom: str, outputs: int, more: str = "", kind: str = "Convolution") -> str:
    size = "" if "kernel_size" in more else "kernel_size: 3 pad: 1"
    param = f"num_output: {outputs} {size} {more} {FILL}"
    return layer(kind, name, bottom, f"convolution_param {{ {param} }}")


def dense(name: str, bottom: str, outputs: int, more: str = "") -> str:
    param = f"num_output: {outputs} {more} {FILL}"
    return layer("InnerProduct", name, bottom, f"inner_product_param {{ {param} }}")


FILL = 'weight_filler { type: "xavier" } bias_filler { type: "uniform" min: -0.5 max: 0.5 }'
RANDOM = '{ type: "uniform" min: 0.5 max: 1.5 }'


def norm(name: str, blob: str) -> str:
    """BatchNorm, Scale and ReLU in place."""
    scale = f"scale_param {{ bias_term: true filler {RANDOM} bias_filler {RANDOM} }}"
    return "\n".join(
        [
            layer("BatchNorm", f"{name}/bn", blob, top=blob),
            layer("Scale", f"{name}/scale", blob, scale, top=blob),
            layer("ReLU", f"{name}/relu", blob, top=blob),
        ]
    )


MAX2 = "pooling_param { kernel_size: 2 stride: 2 }"
GLOBAL = "pooling_param { pool: AVE global_pooling: true }"

LENET = net(
    conv("conv1", "x", 5),
    layer("Pooling", "pool1", "conv1", MAX2),
    conv("conv2", "pool1", 6, "group: 1"),
    layer("Pooling", "pool2", "conv2", MAX2),
    dense("ip1", "pool2", 7),
    layer("ReLU", "relu1", "ip1", top="ip1"),
    dense("ip2", "ip1", 4, "transpose: true"),
    layer("Softmax", "prob", "ip2"),
)
RESIDUAL = net(
    conv("c0", "x", 6),
    norm("c0", "c0"),
    conv("a1", "c0", 5, "bias_term: false"),
    norm("a1", "a1"),
    conv("a2", "a1", 6, "bias_term: false"),
    norm("a2", "a2"),
    layer("Eltwise", "sum1", "c0 a2"),
    layer("ReLU", "sum1/relu", "sum1", top="sum1"),
    conv("b2", "sum1", 6),
    layer("Eltwise", "sum2", "sum1 b2", "eltwise_param { coeff: 1 coeff: -0.5 }"),
    layer("Pooling", "gap", "sum2", GLOBAL),
    dense("fc", "gap", 3),
)
INCEPTION = net(
    conv("stem", "x", 4),
    conv("one", "stem", 3, "kernel_size: 1"),
    conv("three", "stem", 4),
    layer("Pooling", "pool", "stem", "pooling_param { kernel_size: 3 stride: 1 pad: 1 }"),
    conv("proj", "pool", 2, "kernel_size: 1"),
    layer("Concat", "cat", "one three proj"),
    layer("PReLU", "prelu", "cat", f"prelu_param {{ filler {RANDOM} }}", top="cat"),
    layer("Bias", "bias", "cat", f"bias_param {{ filler {RANDOM} }}", top="cat"),
    conv("next", "cat", 5),
    layer("Flatten", "flat", "cat"),
    dense("side", "flat", 3),
)
DEPTHWISE = net(
    conv("first", "x", 6),
    norm("first", "first"),
    conv("dw", "first", 6, "group: 6"),
    norm("dw", "dw"),
    conv("up", "dw", 12, "group: 6"),
    conv("pw", "up", 5, "kernel_size: 1"),
)
GATED = net(
    conv("body", "x", 4),
    layer("Pooling", "squeeze", "body", GLOBAL),
    conv("down", "squeeze", 2, "kernel_size: 1"),
    layer("ReLU", "down/relu", "down", top="down"),
    conv("gate", "down", 4, "kernel_size: 1"),
    layer("Sigmoid", "sig", "gate"),
    layer("Reshape", "row", "sig", "reshape_param { shape { dim: 0 dim: 4 } }"),
    layer("Scale", "excite", "body row", "scale_param { axis: 0 bias_term: true "
          f"bias_filler {RANDOM} }}"),
    conv("last", "excite", 3),
)  # fmt: skip
HALVES = net(
    conv("both", "x", 8),
    layer("Slice", "cut", "both", "slice_param { slice_point: 4 }", top="l r"),
    layer("Eltwise", "max", "l r", "eltwise_param { operation: MAX }"),
    conv("last", "max", 3),
)
GROUPS = net(
    conv("c1", "x", 8),
    conv("c2", "c1", 6, "group: 2"),
    conv("c3", "c2", 4, "kernel_size: 4 stride: 2 pad: 1 group: 2", kind="Deconvolution"),
    layer("Crop", "crop", "c3 x", "crop_param { offset: 2 }"),
    conv("c4", "crop", 3),
)
AUTO = net(
    dense("enc", "x", 6),
    layer("Sigmoid", "enc/sig", "enc", top="enc"),
    dense("code", "enc", 5, "transpose: true bias_term: false"),
    layer("Reshape", "map", "code", "reshape_param { shape { dim: 0 dim: 5 dim: 1 dim: 1 } }"),
    conv("dec", "map", 4, "kernel_size: 3", kind="Deconvolution"),
    layer("Power", "power", "dec", "power_param { power: 2 shift: 0.5 }"),
    layer("LRN", "within", "power", "lrn_param { norm_region: WITHIN_CHANNEL local_size: 3 }"),
    layer("MVN", "mvn", "within"),
    layer("Tile", "tile", "mvn", "tile_param { axis: 2 tiles: 2 }"),
    layer("Reduction", "rows", "tile", "reduction_param { axis: 3 }"),
    dense("out", "rows", 3, "axis: 1"),
)
WORDS = net(
    layer("ArgMax", "word", "x", "argmax_param { axis: 1 }"),
    layer("Embed", "embed", "word", f"embed_param {{ num_output: 5 input_dim: 3 {FILL} }}"),
    dense("out", "embed", 2, "axis: 4"),
)
OF_FORKS = net(
    conv("c1", "x", 6),
    layer("ShuffleChannel", "shuffle", "c1", "shuffle_channel_param { group: 3 }"),
    layer("ReLU6", "six", "shuffle"),
    layer("DepthwiseConvolution", "dw", "six",
          f"convolution_param {{ num_output: 6 group: 6 kernel_size: 3 {FILL} }}"),
    layer("Permute", "perm", "dw", "permute_param { order: 0 order: 2 order: 3 order: 1 }"),
    layer("Flatten", "flat", "perm"),
    dense("fc", "flat", 3),
)  # fmt: skip
DEPTHWISE_OF_FORKS = net(
    conv("c1", "x", 6),
    layer(
        "BN",
        "segnet",
        "c1",
        f"bn_param {{ bn_mode: INFERENCE scale_filler {RANDOM} shift_filler {RANDOM} }}",
    ),
    layer(
        "BN",
        "pspnet",
        "segnet",
        f"bn_param {{ slope_filler {RANDOM} bias_filler {RANDOM} frozen: true }}",
    ),
    layer("ConvolutionDepthwise", "dw", "pspnet", f"convolution_param {{ kernel_size: 3 {FILL} }}"),
    layer(
        "BatchNorm",
        "nv",
        "dw",
        f"batch_norm_param {{ scale_filler {RANDOM} bias_filler {RANDOM} }}",
    ),
    layer("Transpose", "turn", "nv", "transpose_param { dim: 0 dim: 3 dim: 1 dim: 2 }"),
    layer("Flatten", "flat", "turn", "flatten_param { axis: 2 }"),
    dense("fc", "flat", 3, "axis: 2"),
)
AXPY = net(
    conv("body", "x", 4),
    conv("rest", "x", 4),
    layer("Pooling", "squeeze", "body", GLOBAL),
    conv("gate", "squeeze", 4, "kernel_size: 1"),
    layer("Axpy", "sum", "gate body rest"),
    layer("Interp", "large", "sum", "interp_param { zoom_factor: 2 }"),
    conv("last", "large", 3),
)


@dataclass(frozen=True)
class Case:
    """zeros: weights that read the removed channels. cut: output -> its old channels that stay.

    layers: those whose params change, "" for a group that does.
    """

    text: str
    operation: str
    zeros: Sequence[Zero]
    layers: str
    cut: dict[str, tuple[int, list[int]]] = field(default_factory=dict)
    forks: bool = False


def maps(channels: Sequence[int], size: int) -> list[int]:
    """The columns of an InnerProduct behind maps of `size` cells."""
    return [channel * size + cell for channel in channels for cell in range(size)]


CASES = {
    "lenet conv1": Case(
        LENET, "outputs:conv1:drop=1,3-4", [("conv2", 0, (ALL, [1, 3, 4]))], "conv1 conv2"
    ),
    "lenet conv2": Case(
        LENET, "outputs:conv2:keep=5,0,2", [("ip1", 0, (ALL, maps([1, 3, 4], 9)))], "conv2 ip1"
    ),
    "lenet ip1": Case(LENET, "outputs:ip1:drop=0-4", [("ip2", 0, ([0, 1, 2, 3, 4],))], "ip1 ip2"),
    "lenet pool1": Case(
        LENET, "outputs:pool1:drop=0", [("conv2", 0, (ALL, [0]))], "conv1 conv2"
    ),
    "residual stem": Case(
        RESIDUAL,
        "outputs:c0:drop=1,4",
        [("a1", 0, (ALL, [1, 4])), ("b2", 0, (ALL, [1, 4])), ("fc", 0, (ALL, [1, 4]))],
        "c0 c0/bn c0/scale a1 a2 a2/bn a2/scale b2 fc",
    ),
    "residual branch": Case(
        RESIDUAL,
        "outputs:b2:keep=5,3,0",
        [(name, 0, (ALL, [1, 2, 4])) for name in ("a1", "b2", "fc")],
        "c0 c0/bn c0/scale a1 a2 a2/bn a2/scale b2 fc",
    ),
    "residual inside": Case(
        RESIDUAL, "outputs:a1:drop=0", [("a2", 0, (ALL, [0]))], "a1 a1/bn a1/scale a2"
    ),
    "residual sum": Case(
        RESIDUAL,
        "outputs:sum1:drop=5",
        [(name, 0, (ALL, [5])) for name in ("a1", "b2", "fc")],
        "c0 c0/bn c0/scale a1 a2 a2/bn a2/scale b2 fc",
    ),
    "inception branch": Case(
        INCEPTION,
        "outputs:three:drop=1-2",
        [("next", 0, (ALL, [4, 5])), ("side", 0, (ALL, maps([4, 5], 144)))],
        "three prelu bias next side",
    ),
    "inception all": Case(
        INCEPTION,
        "outputs:cat:drop=0,6,8",
        [("next", 0, (ALL, [0, 6, 8])), ("side", 0, (ALL, maps([0, 6, 8], 144)))],
        "one three proj prelu bias next side",
    ),
    "inception stem": Case(
        INCEPTION,
        "outputs:stem:keep=0-2",
        [(name, 0, (ALL, [3])) for name in ("one", "three", "proj")],
        "stem one three proj",
    ),
    "depthwise before": Case(
        DEPTHWISE,
        "outputs:first:drop=0,3",
        [("pw", 0, (ALL, [0, 1, 6, 7]))],
        "first first/bn first/scale dw dw/bn dw/scale up pw",
    ),
    "depthwise itself": Case(
        DEPTHWISE,
        "outputs:dw:keep=4,1",
        [("pw", 0, (ALL, [0, 1, 4, 5, 6, 7, 10, 11]))],
        "first first/bn first/scale dw dw/bn dw/scale up pw",
    ),
    "depthwise multiplied": Case(
        DEPTHWISE,
        "outputs:up:drop=2-3",
        [("pw", 0, (ALL, [2, 3]))],
        "first first/bn first/scale dw dw/bn dw/scale up pw",
    ),
    "multiplied evenly": Case(
        DEPTHWISE,
        "outputs:up:keep=0,3,4,7,8,10",
        [("pw", 0, (ALL, [1, 2, 5, 6, 9, 11]))],
        "up pw",
    ),
    "gated": Case(
        GATED,
        "outputs:body:drop=2",
        [("down", 0, (ALL, [2])), ("last", 0, (ALL, [2]))],
        "body down gate excite last",
    ),
    "gate": Case(
        GATED,
        "outputs:gate:keep=3,0,1",
        [("down", 0, (ALL, [2])), ("last", 0, (ALL, [2]))],
        "body down gate excite last",
    ),
    "halves": Case(
        HALVES, "outputs:max:drop=1", [("last", 0, (ALL, [1]))], "both last"
    ),
    "halves named": Case(
        HALVES, "outputs:both:keep=0,2,4,6", [("last", 0, (ALL, [1, 3]))], "both last"
    ),
    "groups evenly": Case(
        GROUPS, "outputs:c1:drop=1,6", [("c2", 0, ([0, 1, 2], [1])), ("c2", 0, ([3, 4, 5], [2]))],
        "c1 c2",
    ),
    "whole group": Case(GROUPS, "outputs:c1:drop=0-3", [("c4", 0, (ALL, [0, 1]))], "c1 c2 c3 c4"),
    "group of deconvolution": Case(
        GROUPS, "outputs:c3:drop=1,3", [("c4", 0, (ALL, [1, 3]))], "c3 c4"
    ),
    "into deconvolution": Case(
        GROUPS, "outputs:c2:keep=0,2,3,4", [("c3", 0, ([1, 5],))], "c2 c3"
    ),
    "code": Case(AUTO, "outputs:code:drop=0,2", [("dec", 0, ([0, 2],))], "code dec"),
    "encoder": Case(AUTO, "outputs:enc:keep=5,1", [("code", 0, ([0, 2, 3, 4],))], "enc code"),
    "decoder": Case(
        AUTO, "outputs:dec:drop=3", [("out", 0, (ALL, maps([3], 6)))], "dec out"
    ),
    "words": Case(WORDS, "outputs:embed:drop=1,4", [("out", 0, (ALL, [1, 4]))], "embed out"),
    "an output": Case(
        AUTO, "outputs:out:keep=2,0", [], "out", {"out": (1, [2, 0])}
    ),
    "shuffled": Case(
        OF_FORKS,
        "outputs:c1:keep=0-2",
        [("fc", 0, (ALL, [6 * cell + c for cell in range(100) for c in (2, 4, 5)]))],
        "c1 dw fc",
        forks=True,
    ),
    "depthwise of forks": Case(
        DEPTHWISE_OF_FORKS,
        "outputs:c1:keep=5,1,2",
        [("fc", 0, (ALL, maps([0, 3, 4], 10)))],
        "c1 segnet pspnet dw nv fc",
        forks=True,
    ),
    "axpy": Case(
        AXPY,
        "outputs:rest:drop=0,3",
        [("gate", 0, (ALL, [0, 3])), ("last", 0, (ALL, [0, 3]))],
        "body rest gate last",
        forks=True,
    ),
}  # fmt: skip


#: More channels of zeros: the net gives what it gave.
GROWN = {
    "lenet": (LENET, "outputs:conv1:add=3"),
    "lenet dense": (LENET, "outputs:conv2:add=2"),
    "residual": (RESIDUAL, "outputs:b2:add=2"),
    "inception": (INCEPTION, "outputs:one:add=2"),
    "depthwise": (DEPTHWISE, "outputs:first:add=1"),
    "groups": (GROUPS, "outputs:c1:add=4"),
    "gated": (GATED, "outputs:gate:add=1"),
}


class Nets:
    """The old net with zeros where the removed channels are read, and the new one."""

    def __init__(self, folder: Path, case: Case) -> None:
        self.old, self.new = folder / "old.prototxt", folder / "new.prototxt"
        self.weights, self.cut = folder / "old.caffemodel", folder / "new.caffemodel"
        self.zeroed = folder / "zeroed.caffemodel"
        self.old.write_text(case.text)
        view = NetDefinition.read(self.old)
        initialize(view, folder / "filled.caffemodel", seed=3)
        self._edit(folder / "filled.caffemodel", self.weights, *statistics(view))
        with NetWithWeights(view, self.weights) as model:
            plan = plan_edit(model, [case.operation])
            self.changed = {name for name, change in plan.changes.items()}
            write_edit(plan, model, EditPaths(self.cut, self.new))
        self._edit(self.weights, self.zeroed, *zeros(self.weights, case.zeros, folder))

    def _edit(self, source: Path, target: Path, *operations: str) -> None:
        with NetWithWeights.open(self.old, source) as model:
            plan = plan_edit(model, operations)
            write_edit(plan, model, EditPaths(target))


def statistics(view: NetDefinition) -> list[str]:
    """Means, variances and factors for BatchNorms, which begin as zeros."""
    parts = ("[0]=0.25", "[0][1]=-0.5", "[0][4]=1", "[1]=2", "[1][0]=3", "[1][3]=0.5")
    factors = {
        each.name: 1 if each.param("batch_norm_param").fields else 2  # NVCaffe's is 1
        for each in view.layers
        if each.type == "BatchNorm"
    }
    return [
        operation
        for name, factor in factors.items()
        for operation in (*(f"{name}{part}" for part in parts), f"{name}[2]={factor}")
    ]


def zeros(weights: Path, parts: Sequence[Zero], folder: Path) -> list[str]:
    """Operations that put zeros into the parts."""
    operations = []
    with open_weights(weights) as model:
        arrays: dict[tuple[str, int], Array] = {}
        for name, index, where in parts:
            whole = arrays.setdefault((name, index), model.layer(name).blobs[index].numpy().copy())
            grid = tuple(
                range(*axis.indices(size)) if isinstance(axis, slice) else axis
                for axis, size in zip((*where, *[ALL] * whole.ndim), whole.shape, strict=False)
            )
            whole[np.ix_(*grid)] = 0
    for number, ((name, index), array) in enumerate(arrays.items()):
        np.save(folder / f"{number}.npy", array)
        operations.append(f"{name}[{index}]=npy:{folder / f'{number}.npy'}")
    return operations


def run(engine: PycaffeEngine | EmbeddedEngine, prototxt: Path, weights: Path) -> dict[str, Array]:
    view = NetDefinition.read(prototxt)
    x = np.random.default_rng(5).standard_normal((2, 3, 12, 12)).astype(np.float32)
    with engine.load(prototxt, weights) as loaded:
        return dict(loaded.forward({"x": x}, view.outputs))


@pytest.mark.caffe
@pytest.mark.parametrize("name", [name for name, case in CASES.items() if not case.forks])
def test_real_caffe_gives_the_same(name: str, caffe_engine: PycaffeEngine, tmp_path: Path) -> None:
    compare(CASES[name], caffe_engine, tmp_path)


@pytest.mark.parametrize("name", list(CASES))
def test_the_embedded_engine_gives_the_same(name: str, tmp_path: Path) -> None:
    compare(CASES[name], open_engine(EngineOptions()), tmp_path)


def compare(case: Case, engine: PycaffeEngine | EmbeddedEngine, folder: Path) -> None:
    nets = Nets(folder, case)
    old, new = run(engine, nets.old, nets.zeroed), run(engine, nets.new, nets.cut)
    assert nets.changed == set(case.layers.split())
    assert list(new) == list(old)
    for name, values in old.items():
        axis, remaining = case.cut.get(name, (0, [0, 1]))
        expected = np.take(values, remaining, axis)
        size = np.abs(expected).max()
        assert size > 0
        assert new[name].shape == expected.shape
        assert np.abs(new[name] - expected).max() <= 3e-6 * max(size, 1), name
    before = run(engine, nets.old, nets.weights)
    assert case.cut or any(np.abs(before[name] - old[name]).max() > 1e-3 for name in old), (
        "the zeros have to change something, or nothing is shown"
    )


def test_folded_before_or_behind_is_the_same(tmp_path: Path) -> None:
    """Operations work on what those before them left."""
    results = []
    for number, words in enumerate((["fold", CUT_AND_GROWN], [CUT_AND_GROWN, "fold"])):
        folder = tmp_path / str(number)
        folder.mkdir()
        nets = Nets(folder, Case(RESIDUAL, words[0], zeros=[], layers=""))
        with NetWithWeights(NetDefinition.read(nets.new), nets.cut) as model:
            plan = plan_edit(model, words[1:])
            write_edit(plan, model, EditPaths(folder / "m", folder / "t"))
        results.append(run(open_engine(EngineOptions()), folder / "t", folder / "m"))
    (first, second) = (list(each.values()) for each in results)
    for expected, actual in zip(first, second, strict=True):
        assert np.abs(expected - actual).max() <= 1e-5 * np.abs(expected).max()


CUT_AND_GROWN = "outputs:a2:drop=1-2"


@pytest.mark.caffe
@pytest.mark.parametrize("name", list(GROWN))
def test_added_channels_change_nothing(
    name: str, caffe_engine: PycaffeEngine, tmp_path: Path
) -> None:
    nets = Nets(tmp_path, Case(*GROWN[name], zeros=[], layers=""))
    old, new = (
        run(caffe_engine, *which) for which in ((nets.old, nets.weights), (nets.new, nets.cut))
    )
    assert len(nets.changed) > 1
    for blob, values in old.items():
        assert np.abs(new[blob] - values).max() <= 3e-6 * max(np.abs(values).max(), 1), blob
