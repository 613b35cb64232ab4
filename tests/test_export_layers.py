"""The graphs: valid ONNX for every layer type, and the same for any size where they say so."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from parity.configurations import TRIALS, convolution, lrn, mvn, pooling
from parity.conformance import Trial, difference, prototxt, tops
from parity.fork_configurations import FORK_TRIALS

from netsurgery.errors import PrototxtError
from netsurgery.export import protobuf
from netsurgery.export.graph import Graph
from netsurgery.export.layers import CONVERTERS, NetParams, write_net
from netsurgery.formats.prototxt import Prototxt
from netsurgery.net.needed import needed
from netsurgery.net.net import NetDefinition
from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.net.shapes import infer

Array = NDArray[np.float32]

few = settings(
    max_examples=int(os.environ.get("NETSURGERY_CONFORMANCE", "25")),
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def net_of(text: str) -> NetDefinition:
    return NetDefinition.of(Prototxt.parse(text, "net.prototxt"))


def graph_of(net: NetDefinition, outputs: list[str], *, dynamic: bool = False) -> Graph:
    return write_net(net, infer(net), outputs, NetParams(NetWithWeights(net)).of, dynamic=dynamic)


def model_of(graph: Graph) -> bytes:
    return protobuf.join(protobuf.model(graph.encode("net"), {"why": "a test"}, "0"))


def run(graph: Graph, feed: dict[str, Array]) -> list[Array]:
    quiet = ort.SessionOptions()
    quiet.log_severity_level = 4
    return list(ort.InferenceSession(model_of(graph), quiet).run(list(graph.outputs), feed))


ALL_TRIALS = {**TRIALS, **FORK_TRIALS}


@pytest.mark.parametrize("kind", sorted(ALL_TRIALS))
def test_valid_onnx(kind: str) -> None:
    """onnx.checker, shape inference included, agrees with the shapes that are declared."""

    @few
    @given(ALL_TRIALS[kind])
    def valid(trial: Trial) -> None:
        net = net_of(prototxt(trial))
        for dynamic in (False, True):
            graph = graph_of(net, tops(trial), dynamic=dynamic)
            model = onnx.load_from_string(model_of(graph))
            onnx.checker.check_model(model, full_check=True)
            assert model.metadata_props[0].key == "why"

    valid()


def test_every_converter_is_tried() -> None:
    assert set(CONVERTERS) - {"Silence"} == set(ALL_TRIALS)


SLIDING = {
    "Convolution": convolution("Convolution"),
    "Deconvolution": convolution("Deconvolution"),
    "LRN": lrn(),
    "MVN": mvn(),
    "Pooling": pooling(),
}


#: Operations that must have been among those tried: windows cut at the end, and outside the map.
SLIDING_KINDS = {"Pooling": {"AveragePool", "MaxPool", "Pad", "Shape", "Expand"}}


@pytest.mark.parametrize("kind", sorted(SLIDING))
def test_one_graph_for_any_size(kind: str) -> None:
    """A graph written at one size gives at another what the graph of that size gives."""

    # Enough draws that every operator of SLIDING_KINDS is among them, whatever the seed.
    @settings(few, max_examples=max(60, few.max_examples))
    @given(SLIDING[kind], st.integers(0, 9), st.integers(0, 9))
    def agrees(trial: Trial, more_h: int, more_w: int) -> None:
        shape = trial.bottoms[0]
        larger = (*shape[:2], shape[2] + more_h, shape[3] + more_w)
        larger_trial = replace(trial, bottoms=(larger,) * len(trial.bottoms))
        at_own = graph_of(net_of(prototxt(trial)), tops(trial), dynamic=True)
        at_other = graph_of(net_of(prototxt(larger_trial)), tops(trial), dynamic=True)
        if at_own.nodes != at_other.nodes or not same(at_own, at_other):
            return  # `export` calls these fixed
        any_size = {name: (*axes[:2], "h", "w") for name, axes in at_own.inputs.items()}
        at_own.inputs = dict(any_size)
        at_own.outputs = {name: (*axes[:2], f"{name}h", f"{name}w")
                          for name, axes in at_own.outputs.items()}  # fmt: skip
        exact = graph_of(net_of(prototxt(larger_trial)), tops(trial))
        random = np.random.default_rng(0)
        feed = {name: random.standard_normal(larger).astype(np.float32) for name in exact.inputs}
        for ours, expected in zip(run(at_own, feed), run(exact, feed), strict=True):
            assert difference(ours, expected) <= 1e-5
        operators.update(o.kind for o in at_own.nodes)

    operators: set[str] = set()
    agrees()
    assert operators >= SLIDING_KINDS.get(kind, set())


def same(first: Graph, second: Graph) -> bool:
    return all(
        np.array_equal(
            np.asarray(first.constants[name].data), np.asarray(second.constants[name].data)
        )
        for name in first.constants
    )


def test_a_crop_follows_its_second_bottom() -> None:
    text = """
    input: "a" input_shape { dim: 1 dim: 2 dim: 9 dim: 9 }
    input: "b" input_shape { dim: 1 dim: 2 dim: 5 dim: 4 }
    layer { name: "c" type: "Crop" bottom: "a" bottom: "b" top: "c"
      crop_param { axis: 2 offset: 1 offset: 2 } }
    """
    graph = graph_of(net_of(text), ["c"], dynamic=True)
    graph.inputs = {name: (1, 2, f"{name}h", f"{name}w") for name in "ab"}
    graph.outputs = {"c": (1, 2, "h", "w")}
    a = np.arange(2 * 9 * 9, dtype=np.float32).reshape(1, 2, 9, 9)
    (output,) = run(graph, {"a": a, "b": np.zeros((1, 2, 3, 6), np.float32)})
    np.testing.assert_array_equal(output, a[:, :, 1:4, 2:8])


NET = """
input: "x" input_shape { dim: 1 dim: 2 }
layer { name: "a" type: "ReLU" bottom: "x" top: "a" }
layer { name: "b" type: "TanH" bottom: "a" top: "b" }
layer { name: "a in place" type: "Power" bottom: "a" top: "a" power_param { shift: 1 } }
layer { name: "c" type: "Eltwise" bottom: "a" bottom: "b" top: "c" }
layer { name: "d" type: "AbsVal" bottom: "x" top: "d" }
"""


def test_only_what_is_needed() -> None:
    net = net_of(NET)
    assert [layer.name for layer in needed(net, ["b"])[0]] == ["a", "b"]
    assert [layer.name for layer in needed(net, ["a"])[0]] == ["a", "a in place"]
    assert [layer.name for layer in needed(net, ["d"])[0]] == ["d"]
    assert needed(net, ["x"]) == ([], ["x"])


def test_values_are_called_as_blobs() -> None:
    """The blob a is its last writer's; what was there before has a name of its own."""
    graph = graph_of(net_of(NET), ["c", "a", "x"])
    kinds = {o.outputs[0]: o.kind for o in graph.nodes}
    assert kinds["a"] == "Add"
    assert kinds["b"] == "Tanh"
    assert list(graph.outputs) == ["c", "a", "x/top"]
    outputs = run(graph, {"x": np.array([[-1, 2]], np.float32)})
    np.testing.assert_allclose(outputs[0], [[1, 3 + np.tanh(2)]], rtol=1e-6)
    np.testing.assert_array_equal(outputs[1], [[1, 3]])
    np.testing.assert_array_equal(outputs[2], [[-1, 2]])


@pytest.mark.parametrize(
    ("layer", "what"),
    [
        (
            'type: "Eltwise" bottom: "x" eltwise_param { coeff: 1 }',
            "layer 'l' (Eltwise): 1 coeff for 2 bottoms",
        ),
        (
            'type: "Exp" exp_param { base: 0 }',
            "layer 'l' (Exp): base 0; expected -1 (for e) or a number above 0",
        ),
        (
            'type: "Log" log_param { base: 1 }',
            "layer 'l' (Log): base 1; expected -1 (for e) or a number above 0, not 1",
        ),
        (
            'type: "Clip" clip_param { min: 0 }',
            "layer 'l' (Clip): clip_param must give min and max",
        ),
        (
            'type: "LRN" lrn_param { local_size: 4 }',
            "layer 'l' (LRN): local_size 4; LRN takes odd sizes",
        ),
        (
            'type: "ArgMax" argmax_param { top_k: 7 }',
            "layer 'l' (ArgMax): top_k 7 of 6 elements",
        ),
        (
            'type: "Reduction" reduction_param { operation: MAX }',
            "layer 'l' (Reduction): found MAX, expected SUM, ASUM, SUMSQ or MEAN for operation",
        ),
        (
            'type: "Crop" bottom: "x" crop_param { axis: 1 offset: 1 }',
            "layer 'l' (Crop): the crop ends at 4 of axis 1, which has 3",
        ),
    ],
)
def test_layers_that_contradict_themselves(layer: str, what: str) -> None:
    text = (
        'input: "x" input_shape { dim: 1 dim: 3 dim: 2 dim: 1 }\n'
        f'layer {{ name: "l" bottom: "x" top: "y" {layer} }}'
    )
    with pytest.raises(PrototxtError) as caught:
        graph_of(net_of(text), ["y"])
    assert caught.value.what == what
