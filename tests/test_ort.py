"""The embedded engine: what it gives, and what it says where it cannot."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from golden import V1, V2, floats
from numpy.typing import NDArray

from netsurgery.cli import run
from netsurgery.engines import ort_session
from netsurgery.engines.contract import EngineOptions
from netsurgery.engines.ort import SESSIONS, EmbeddedEngine, open_engine
from netsurgery.engines.registry import open_engine as open_any
from netsurgery.errors import (
    CaffemodelError,
    EngineError,
    EngineFailed,
    EngineMissing,
    EngineTimeout,
    NetError,
    NetsurgeryError,
    PrototxtError,
)
from netsurgery.net import memory

#: Messages are compared as the command words them.
pytestmark = pytest.mark.usefixtures("option_names")

Array = NDArray[np.float32]

#: The net of the golden caffemodels: ip1 = 2 x 3, and a ReLU in place.
NET = """
input: "data" input_shape { dim: 1 dim: 3 }
layer { name: "ip1" type: "InnerProduct" bottom: "data" top: "ip1"
  inner_product_param { num_output: 2 } }
layer { name: "relu" type: "ReLU" bottom: "ip1" top: "ip1" }
layer { name: "double" type: "Power" bottom: "ip1" top: "double" power_param { scale: 2 } }
"""
WEIGHT = np.array([[1, 2, 3], [4, 5, 6]], np.float32)
BIAS = np.array([7, 8], np.float32)


@pytest.fixture
def engine() -> Iterator[EmbeddedEngine]:
    with open_engine(EngineOptions(threads=1)) as opened:
        yield opened


@pytest.fixture
def net(tmp_path: Path) -> Path:
    return written(tmp_path, NET)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "net.caffemodel"
    path.write_bytes(V2)
    return path


def written(folder: Path, text: str) -> Path:
    path = folder / "net.prototxt"
    path.write_text(text)
    return path


def test_nothing_is_written_in_the_home_folder(tmp_path: Path, net: Path, model: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    code = (
        "import sys; from pathlib import Path\n"
        "from netsurgery.engines.contract import EngineOptions\n"
        "from netsurgery.engines.ort import open_engine\n"
        "with open_engine(EngineOptions(threads=1)) as engine:\n"
        "    with engine.load(*map(Path, sys.argv[1:])) as net:\n"
        "        net.forward({}, ['ip1'])\n"
    )
    hidden = ("HOME", "XDG_", "ORT_")
    env = {k: v for k, v in os.environ.items() if not k.startswith(hidden)} | {"HOME": str(home)}
    done = subprocess.run(
        [sys.executable, "-c", code, net, model], env=env, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(home.rglob("*")) == []


def ip1(data: Array) -> Array:
    output: Array = np.maximum(data @ WEIGHT.T + BIAS, 0)
    return output


def row(*values: float) -> Array:
    return np.array([values], np.float32)


def test_runs_a_net(engine: EmbeddedEngine, net: Path, model: Path) -> None:
    assert engine.name == "embedded"
    assert engine.description == f"embedded (ONNX Runtime {ort_session.VERSION}), CPU"
    with engine.load(net, model) as loaded:
        assert loaded.inputs == {"data": (1, 3)}
        assert loaded.blobs == {"data": (1, 3), "ip1": (1, 2), "double": (1, 2)}
        assert loaded.params == {"ip1": ((2, 3), (2,))}
        data = row(1, -1, 2)
        outputs = loaded.forward({"data": data}, ["double", "data", "ip1"])
        assert list(outputs) == ["double", "data", "ip1"]
        np.testing.assert_array_equal(outputs["ip1"], ip1(data))
        np.testing.assert_array_equal(outputs["double"], 2 * ip1(data))
        np.testing.assert_array_equal(outputs["data"], data)


def test_a_blob_is_seen_after_its_last_writer(
    engine: EmbeddedEngine, net: Path, model: Path
) -> None:
    data = row(-9, -9, -9)
    assert (data @ WEIGHT.T + BIAS < 0).all()
    with engine.load(net, model) as loaded:
        assert not loaded.forward({"data": data}, ["ip1"])["ip1"].any()


def test_an_input_worked_on_in_place(engine: EmbeddedEngine, tmp_path: Path) -> None:
    text = (
        'input: "x" input_shape { dim: 2 }\nlayer { name: "r" type: "ReLU" bottom: "x" top: "x" }'
    )
    with engine.load(written(tmp_path, text)) as loaded:
        outputs = loaded.forward({"x": np.array([-1, 2], np.float32)}, ["x"])
    np.testing.assert_array_equal(outputs["x"], [0, 2])


def test_inputs_keep_what_they_had(engine: EmbeddedEngine, net: Path, model: Path) -> None:
    with engine.load(net, model) as loaded:
        np.testing.assert_array_equal(loaded.forward({}, ["ip1"])["ip1"], row(*BIAS))
        data = row(1, 2, 3)
        first = loaded.forward({"data": data}, ["ip1"])["ip1"]
        data[:] = 0
        np.testing.assert_array_equal(loaded.forward({}, ["ip1"])["ip1"], first)


def test_reshape(engine: EmbeddedEngine, net: Path, model: Path) -> None:
    data = np.arange(12, dtype=np.float32).reshape(4, 3)
    with engine.load(net, model) as loaded:
        loaded.forward({"data": row(1, 1, 1)}, ["ip1"])
        loaded.reshape({"data": (4, 3)})
        assert loaded.blobs["double"] == (4, 2)
        assert not loaded.forward({}, ["data"])["data"].any()
        np.testing.assert_array_equal(loaded.forward({"data": data}, ["ip1"])["ip1"], ip1(data))


def test_a_size_that_the_weights_do_not_fit(engine: EmbeddedEngine, net: Path, model: Path) -> None:
    with engine.load(net, model) as loaded:
        with pytest.raises(NetError) as caught:
            loaded.reshape({"data": (1, 4)})
        assert str(caught.value) == (
            f"layer 'ip1' (InnerProduct): param 0 is 2x3 in {model}, expected 2x4"
        )
        assert loaded.inputs == {"data": (1, 3)}
        np.testing.assert_array_equal(loaded.forward({}, ["ip1"])["ip1"], row(*BIAS))


def test_sessions_are_kept_and_closed(
    engine: EmbeddedEngine, net: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened_sessions: list[ort_session.Session] = []

    def counted(*arguments: Any) -> ort_session.Session:
        opened_sessions.append(ort_session.Session(*arguments))
        return opened_sessions[-1]

    monkeypatch.setattr("netsurgery.engines.ort.Session", counted)
    with engine.load(net, model) as loaded:
        for size in (1, 2, 1, 2):
            loaded.reshape({"data": (size, 3)})
            loaded.forward({}, ["ip1"])
        assert len(opened_sessions) == 2
        for size in range(1, SESSIONS + 2):
            loaded.reshape({"data": (size, 3)})
            loaded.forward({}, ["ip1"])
        assert len(opened_sessions) == SESSIONS + 1
        assert len(loaded._sessions) == SESSIONS


# How the weights reach ONNX Runtime.


def forms(monkeypatch: pytest.MonkeyPatch, refuse: bool = False) -> list[ort_session._Form]:
    """Watch what sessions are made of; `refuse` those that map the file."""
    seen: list[ort_session._Form] = []
    original = ort_session.Session._opened

    def watched(self: ort_session.Session, form: ort_session._Form) -> object:
        seen.append(form)
        if refuse and form.folder is not None:
            raise EngineFailed("a place that is refused")
        return original(self, form)

    monkeypatch.setattr(ort_session.Session, "_opened", watched)
    return seen


def result(engine: EmbeddedEngine, net: Path, model: Path) -> Array:
    with engine.load(net, model) as loaded:
        return loaded.forward({"data": row(1, 2, 3)}, ["ip1"])["ip1"]


def test_weights_stay_in_the_file(
    engine: EmbeddedEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However large the weights, the graph stays small: it names bytes of the real file."""
    big = np.random.default_rng(0).standard_normal((300, 400)).astype("<f4")
    blob = b"\x2a" + varint(big.nbytes) + big.tobytes() + b"\x3a\x06\x0a\x04\xac\x02\x90\x03"
    layer = b"\x0a\x03ip1" + b"\x3a" + varint(len(blob)) + blob
    real = tmp_path / "real"
    real.mkdir()
    (real / "big.caffemodel").write_bytes(b"\xa2\x06" + varint(len(layer)) + layer)
    (tmp_path / "link.caffemodel").symlink_to(real / "big.caffemodel")
    net = written(
        tmp_path,
        """
        input: "data" input_shape { dim: 1 dim: 400 }
        layer { name: "ip1" type: "InnerProduct" bottom: "data" top: "ip1"
          inner_product_param { num_output: 300 bias_term: false } }
        """,
    )
    seen = forms(monkeypatch)
    data = np.ones((1, 400), np.float32)
    with engine.load(net, tmp_path / "link.caffemodel") as loaded:
        output = loaded.forward({"data": data}, ["ip1"])["ip1"]
    np.testing.assert_allclose(output, data @ big.T, rtol=1e-4, atol=1e-4)
    place = os.path.relpath(real / "big.caffemodel", seen[0].folder)
    assert place.encode() in seen[0].model, "not by the link"
    assert len(seen[0].model) < 1000
    assert sorted(os.listdir(tmp_path)) == ["link.caffemodel", "net.prototxt", "real"]
    assert os.listdir(real) == ["big.caffemodel"]


def varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def test_large_kernels_stay_as_they_are(
    engine: EmbeddedEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run may give others in their place, and so ONNX Runtime copies none of them."""
    conv = """layer {{ name: "{0}" type: "Convolution" bottom: "{1}" top: "{0}"
      convolution_param {{ num_output: 16 kernel_size: {2}
      weight_filler {{ type: "xavier" }} }} }}"""
    net = written(
        tmp_path,
        'input: "data" input_shape { dim: [1, 16, 9, 9] }'
        + conv.format("small", "data", 3)
        + conv.format("large", "small", 5),
    )
    weights = tmp_path / "large.caffemodel"
    assert run(["init", str(net), "-o", str(weights), "--seed", "1", "-q"]) == 0
    data = np.random.default_rng(0).random((1, 16, 9, 9), np.float32)
    results = []
    for limit, sides in ((16 * 16 * 9 * 4, [5]), (16 * 16 * 25 * 4, []), (0, [3, 5])):
        monkeypatch.setattr(memory, "REWRITTEN", limit)
        with engine.load(net, weights) as loaded:
            results.append(loaded.forward({"data": data}, ["large"])["large"])
            ((session, _),) = loaded._sessions.values()
            kernels = session._session.get_overridable_initializers()
            assert [kernel.shape for kernel in kernels] == [[16, 16, side, side] for side in sides]
    for result in results[1:]:
        np.testing.assert_allclose(result, results[0], rtol=1e-5, atol=1e-6)


def test_a_place_that_is_refused(
    engine: EmbeddedEngine, net: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = forms(monkeypatch, refuse=True)
    np.testing.assert_array_equal(result(engine, net, model), ip1(row(1, 2, 3)))
    assert [form.folder is None for form in seen] == [False, True]
    assert sorted(array.shape for array in (seen[1].values or {}).values()) == [(2,), (2, 3)]


@pytest.mark.parametrize("refuse", [False, True])
def test_large_params_that_are_set_lie_beside_the_graph(
    engine: EmbeddedEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refuse: bool
) -> None:
    """Those that are not set stay in the file, or are mapped from it where it is refused."""
    monkeypatch.setattr(ort_session, "LARGE", 24)
    path = tmp_path / "net.caffemodel"
    path.write_bytes(V2)
    seen = forms(monkeypatch, refuse=refuse)
    with engine.load(written(tmp_path, NET), path) as loaded:
        loaded.set_param("ip1", 0, 10 * WEIGHT)
        blobs = loaded.forward({"data": row(1, 2, 3)}, ["ip1"])
        np.testing.assert_array_equal(blobs["ip1"], [[147, 328]])
        loaded.set_param("ip1", 0, -WEIGHT)
        assert loaded.forward({}, ["ip1"])["ip1"].tolist() == [[0, 0]]
    shapes = [(2, 3)] if not refuse else [(2,), (2, 3)]
    assert sorted(array.shape for array in (seen[-1].values or {}).values()) == shapes
    assert (seen[-1].folder is None) == refuse


@pytest.mark.parametrize("name", [b"linked.caffemodel", b"\xff.caffemodel", b"\xff linked"])
def test_large_params_beside_a_file_that_is_linked_or_oddly_named(
    engine: EmbeddedEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: bytes
) -> None:
    """One is set and lies beside the graph; the other is mapped from the file, wherever it is."""
    monkeypatch.setattr(ort_session, "LARGE", 24)
    path = tmp_path / os.fsdecode(name)
    path.write_bytes(V2)
    if b"linked" in name:
        os.link(path, tmp_path / "other.caffemodel")
    seen = forms(monkeypatch)
    with engine.load(written(tmp_path, NET), path) as loaded:
        before = loaded.forward({"data": row(1, 2, 3)}, ["ip1"])["ip1"]
        loaded.set_param("ip1", 0, 10 * WEIGHT)
        after = loaded.forward({}, ["ip1"])["ip1"]
    np.testing.assert_array_equal(before, ip1(row(1, 2, 3)))
    np.testing.assert_array_equal(after, [[147, 328]])
    shapes = [(2,), (2, 3)] if seen[-1].folder is None else [(2, 3)]
    assert sorted(array.shape for array in (seen[-1].values or {}).values()) == shapes
    assert seen[-1].folder is None or b"\xff" not in name


def test_a_name_that_is_no_text(engine: EmbeddedEngine, net: Path, tmp_path: Path) -> None:
    name = os.path.join(os.fsencode(tmp_path), b"\xff.caffemodel")
    Path(os.fsdecode(name)).write_bytes(V2)
    output = result(engine, net, Path(os.fsdecode(name)))
    np.testing.assert_array_equal(output, ip1(row(1, 2, 3)))


def test_numbers_with_a_tag_each_and_four_axes(
    engine: EmbeddedEngine, net: Path, tmp_path: Path
) -> None:
    """A file of 2014: 1 x 1 x 2 x 3 is the net's 2 x 3, and the bias has but one number."""
    path = tmp_path / "old.caffemodel"
    path.write_bytes(V1)
    with pytest.raises(NetError) as caught:
        engine.load(net, path)
    assert str(caught.value) == (
        f"layer 'ip1' (InnerProduct): param 1 is 1x1x1x1 in {path}, expected 2"
    )
    model_bytes = V1.replace(
        b"\x08\x01\x10\x01\x18\x02\x20\x03", b"\x08\x01\x10\x01\x18\x01\x20\x03"
    )
    model_bytes = model_bytes.replace(
        b"\x2a\x18" + floats(1, 2, 3, 4, 5, 6), b"\x2a\x0c" + floats(1, 2, 3)
    )
    model_bytes = model_bytes.replace(b"\x12\x4a", b"\x12\x3e").replace(b"\x32\x22", b"\x32\x16")
    path.write_bytes(model_bytes)
    single = written(tmp_path, NET.replace("num_output: 2", "num_output: 1"))
    assert result(engine, single, path) == [[1 + 4 + 9 + 7]]


def test_doubles(engine: EmbeddedEngine, tmp_path: Path) -> None:
    blob = b"\x42\x18" + struct.pack("<3d", 0.5, 2, 4) + b"\x3a\x04\x0a\x02\x01\x03"
    layer = b"\x0a\x03ip1" + b"\x3a" + varint(len(blob)) + blob
    path = tmp_path / "double.caffemodel"
    path.write_bytes(b"\xa2\x06" + varint(len(layer)) + layer)
    text = NET.replace("num_output: 2", "num_output: 1 bias_term: false")
    assert result(engine, written(tmp_path, text), path) == [[0.5 + 4 + 12]]


def test_a_file_that_changes(engine: EmbeddedEngine, net: Path, model: Path) -> None:
    with engine.load(net, model) as loaded:
        loaded.forward({}, ["ip1"])
        model.write_bytes(V2[:50])
        for blob in ("ip1", "double"):
            with pytest.raises(CaffemodelError, match="has changed since it was opened"):
                loaded.forward({}, [blob])


def test_layers_the_net_does_not_have(engine: EmbeddedEngine, tmp_path: Path, model: Path) -> None:
    text = """
    input: "data" input_shape { dim: 3 }
    layer { name: "a" type: "AbsVal" bottom: "data" top: "a" }
    """
    with engine.load(written(tmp_path, text), model) as loaded:
        assert loaded.params == {}


def test_params_shared_by_name(engine: EmbeddedEngine, tmp_path: Path, model: Path) -> None:
    """The file has but the first of the two layers that share."""
    text = """
    input: "data" input_shape { dim: 1 dim: 3 }
    layer { name: "ip1" type: "InnerProduct" bottom: "data" top: "a"
      param { name: "w" } param { name: "b" } inner_product_param { num_output: 2 } }
    layer { name: "other" type: "InnerProduct" bottom: "data" top: "b"
      param { name: "w" } param { name: "b" } inner_product_param { num_output: 2 } }
    """
    with engine.load(written(tmp_path, text), model) as loaded:
        outputs = loaded.forward({"data": row(1, 2, 3)}, ["a", "b"])
    np.testing.assert_array_equal(outputs["a"], ip1(row(1, 2, 3)))
    np.testing.assert_array_equal(outputs["b"], outputs["a"])


def test_params_that_are_set(engine: EmbeddedEngine, tmp_path: Path, model: Path) -> None:
    shared = NET.replace('type: "InnerProduct"', 'type: "InnerProduct" param { name: "w" }') + (
        'layer { name: "ip2" type: "InnerProduct" bottom: "data" top: "ip2" param { name: "w" }\n'
        "  inner_product_param { num_output: 2 bias_term: false } }"
    )
    before = model.read_bytes()
    loaded = engine.load(written(tmp_path, shared), model)
    values = np.array([[1, 0, 0], [0, 0, -1]], np.float32)
    x = np.array([[10, 20, 30]], np.float32)
    assert loaded.forward({"data": x}, ["ip2"])["ip2"].tolist() == [[140, 320]]
    loaded.set_param("ip2", 0, values)
    loaded.set_param("ip1", 1, np.array([0, 31], np.float32))
    values[...] = 0  # a copy was taken
    blobs = loaded.forward({}, ["ip1", "ip2"])
    assert (blobs["ip1"].tolist(), blobs["ip2"].tolist()) == ([[10, 1]], [[10, -30]])
    assert model.read_bytes() == before
    double: Any = np.zeros((2, 3))
    for layer, index, array, words in (
        ("ip1", 2, x, r"has no param ip1\[2\]; the layer has 2"),
        ("ip3", 0, x, r"no param ip3\[0\]; did you mean ip1 or ip2\?"),
        ("ip1", 0, x, "is 1x3; the net takes 2x3"),
        ("ip1", 0, double, "is float64; Caffe takes float32"),
        ("ip1", 0, np.float32(1), "is a single number; Caffe takes an array of float32"),
    ):
        with pytest.raises(EngineError, match=words):
            loaded.set_param(layer, index, array)


def test_without_weights(engine: EmbeddedEngine, tmp_path: Path) -> None:
    """Constant fillers, and what layers fill by themselves."""
    text = """
    input: "data" input_shape { dim: 1 dim: 3 }
    layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param {
      num_output: 2 weight_filler { type: "constant" value: 2 } bias_filler { value: 0.5 } } }
    layer { name: "s" type: "Scale" bottom: "ip" top: "s" scale_param { bias_term: true } }
    layer { name: "p" type: "PReLU" bottom: "s" top: "p" }
    """
    with engine.load(written(tmp_path, text)) as loaded:
        outputs = loaded.forward({"data": row(1, -2, -3)}, ["s", "p"])
    np.testing.assert_array_equal(outputs["s"], row(-7.5, -7.5))
    np.testing.assert_array_equal(outputs["p"], row(-7.5, -7.5) / 4)


def test_a_scale_factor_of_zero(engine: EmbeddedEngine, tmp_path: Path) -> None:
    """A BatchNorm that never saw a batch: mean 0, variance 0, as Caffe has it."""
    text = """
    input: "data" input_shape { dim: 1 dim: 2 }
    layer { name: "bn" type: "BatchNorm" bottom: "data" top: "bn" batch_norm_param { eps: 0.25 } }
    """
    with engine.load(written(tmp_path, text)) as loaded:
        output = loaded.forward({"data": row(1, -2)}, ["bn"])["bn"]
    np.testing.assert_array_equal(output, row(2, -4))


RECURRENT = """
input: "x" input_shape { dim: 3 dim: 2 dim: 4 }
input: "cont" input_shape { dim: 3 dim: 2 }
layer { name: "lstm" type: "LSTM" bottom: "x" bottom: "cont" top: "h"
  recurrent_param { num_output: 5 } }
"""


def test_state_from_the_forward_before(engine: EmbeddedEngine, tmp_path: Path) -> None:
    with engine.load(written(tmp_path, RECURRENT)) as loaded:
        cont = np.ones((3, 2), np.float32)
        cont[0] = 0
        assert loaded.forward({"cont": cont}, ["h"])["h"].shape == (3, 2, 5)
        cont[0, 1] = 1
        with pytest.raises(EngineError) as caught:
            loaded.forward({"cont": cont}, ["h"])
    assert str(caught.value) == (
        "layer 'lstm': the first row of cont is not 0, so that it goes on from the forward "
        "before; the embedded engine keeps no state (--engine caffe does)"
    )


# What is refused.


def layer(kind: str, rest: str = "") -> str:
    return (
        'input: "x" input_shape { dim: 1 dim: 3 dim: 4 dim: 4 }\n'
        f'layer {{ name: "l" type: "{kind}" bottom: "x" top: "y" {rest} }}'
    )


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (
            layer("Mystery"),
            "layer 'l' (Mystery): the embedded engine does not know this type; --engine caffe "
            "runs what your Caffe knows",
        ),
        (
            layer("PSROIPooling"),
            "layer 'l' (PSROIPooling): the embedded engine does not run this type of R-FCN; "
            "--engine caffe runs what your Caffe knows",
        ),
        (
            layer("EuclideanLoss"),
            "layer 'l' (EuclideanLoss): it is there for training; the embedded engine runs "
            "deploy nets, whose inputs are given (--engine caffe runs this one)",
        ),
        (
            layer("Data"),
            "layer 'l' (Data): it reads data of its own; the embedded engine runs deploy nets, "
            "whose inputs are given (--engine caffe runs this one)",
        ),
        (
            layer("InnerProduct", 'inner_product_param { num_output: 1 weight_filler '
                  '{ type: "xavier" } }'),
            "layer 'l' (InnerProduct): its filler 'xavier' draws at random; the embedded engine "
            "runs nets with their weights, which `netsurgery init` fills (--engine caffe runs "
            "this one)",
        ),
    ],
)  # fmt: skip
def test_nets_that_are_refused(
    engine: EmbeddedEngine, tmp_path: Path, text: str, what: str
) -> None:
    path = written(tmp_path, text)
    with pytest.raises(PrototxtError) as caught:
        engine.load(path)
    assert str(caught.value) == f"{path}:2:7: {what}"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (
            layer("Pooling", "pooling_param { pool: STOCHASTIC kernel_size: 2 }"),
            "layer 'l' (Pooling): pool STOCHASTIC; the embedded engine pools MAX and AVE "
            "(so does Caffe on a CPU)",
        ),
        (
            layer("DummyData", 'dummy_data_param { shape { dim: 1 } data_filler '
                  '{ type: "gaussian" } }').replace('bottom: "x"', ""),
            "layer 'l' (DummyData): filler 'gaussian', expected constant; only real Caffe takes "
            "others (--engine caffe, where a net is run)",
        ),
    ],
)  # fmt: skip
def test_layers_that_cannot_be_run(
    engine: EmbeddedEngine, tmp_path: Path, text: str, what: str
) -> None:
    path = written(tmp_path, text)
    with engine.load(path) as loaded, pytest.raises(PrototxtError) as caught:
        loaded.forward({}, ["y"])
    assert str(caught.value) == f"{path}:2:7: {what}"


def test_five_axes_are_refused(engine: EmbeddedEngine, tmp_path: Path) -> None:
    text = """
    input: "x" input_shape { dim: 1 dim: 1 dim: 3 dim: 3 dim: 3 }
    layer { name: "c" type: "Convolution" bottom: "x" top: "y"
      convolution_param { num_output: 1 kernel_size: 1 } }
    """
    with engine.load(written(tmp_path, text)) as loaded, pytest.raises(PrototxtError) as caught:
        loaded.forward({}, ["y"])
    assert str(caught.value).endswith(
        "layer 'c' (Convolution): 3 spatial axes after axis 1 of a blob with 5 axes; expected N x "
        "C x H x W; only real Caffe takes others (--engine caffe, where a net is run)"
    )


def test_layers_the_weights_do_not_have(
    engine: EmbeddedEngine, tmp_path: Path, model: Path
) -> None:
    text = NET.replace('name: "ip1"', 'name: "ip2"')
    path = written(tmp_path, text)
    with pytest.raises(NetError) as caught:
        engine.load(path, model)
    assert str(caught.value).startswith(f"{model}: no params for layer 'ip2' of {path};")


def test_another_number_of_params(engine: EmbeddedEngine, tmp_path: Path, model: Path) -> None:
    text = NET.replace("num_output: 2", "num_output: 2 bias_term: false")
    with pytest.raises(NetError) as caught:
        engine.load(written(tmp_path, text), model)
    assert str(caught.value) == (
        f"layer 'ip1' (InnerProduct): {model} has 2 params for it, expected 1"
    )


@pytest.mark.parametrize(
    ("inputs", "blobs", "what"),
    [
        ({"image": row(1, 2, 3)}, ["ip1"], "{net} has no input image; its inputs: data"),
        ({"data": row(1, 2)}, ["ip1"], "input data is 1x2; the net takes 1x3"),
        ({"data": row(1, 2, 3).astype(np.float64)}, ["ip1"], "input data is float64; "
         "Caffe takes float32"),
        ({"data": [1, 2, 3]}, ["ip1"], "input data is list; Caffe takes float32"),
        ({}, ["prob"], "{net} has no blob prob; there is data, ip1, double"),
    ],
)  # fmt: skip
def test_forward_refuses(
    engine: EmbeddedEngine,
    net: Path,
    model: Path,
    inputs: dict[str, Array],
    blobs: list[str],
    what: str,
) -> None:
    with engine.load(net, model) as loaded, pytest.raises(EngineError) as caught:
        loaded.forward(inputs, blobs)
    assert str(caught.value) == what.format(net=net)


@pytest.mark.parametrize(
    ("shapes", "what"),
    [
        ({"image": (1, 3)}, "{net} has no input image; its inputs: data"),
        ({"data": (0, 3)}, "input data cannot have the shape (0, 3)"),
    ],
)
def test_reshape_refuses(
    engine: EmbeddedEngine, net: Path, model: Path, shapes: dict[str, tuple[int, ...]], what: str
) -> None:
    with engine.load(net, model) as loaded, pytest.raises(EngineError) as caught:
        loaded.reshape(shapes)
    assert str(caught.value) == what.format(net=net)


#: Blobs that hold the numbers of the input: its own, and those of layers that move none.
MOVED = """
input: "data" input_shape { dim: 2 dim: 2 dim: 3 dim: 3 }
layer { name: "flat" type: "Flatten" bottom: "data" top: "flat" }
layer { name: "split" type: "Split" bottom: "data" top: "s1" top: "s2" }
layer { name: "silence" type: "Silence" bottom: "s2" }
layer { name: "drop" type: "Dropout" bottom: "s1" top: "drop" }
layer { name: "relu" type: "ReLU" bottom: "data" top: "data" }
"""


def test_inputs_are_copied_and_results_are_not_written_to(
    engine: EmbeddedEngine, tmp_path: Path
) -> None:
    """An input is kept in the memory of the one before, which no result lies in."""
    random = np.random.default_rng(0)
    wide = random.standard_normal((2, 2, 5, 7)).astype(np.float32)
    first, second = wide[:, :, 1:4, 2:5], wide[:, ::-1, 2:, ::3]
    expected = first.copy()
    with engine.load(written(tmp_path, MOVED)) as loaded:
        blobs = [*loaded.blobs]
        results = loaded.forward({"data": first}, blobs)
        copies = {blob: array.copy() for blob, array in results.items()}
        for blob in set(blobs) - {"data"}:
            np.testing.assert_array_equal(results[blob].ravel(), expected.ravel())
        first[:] = 7
        for blob, array in loaded.forward({}, blobs).items():
            np.testing.assert_array_equal(array, copies[blob])
        moved = loaded.forward({"data": second}, ["flat"])["flat"]
        np.testing.assert_array_equal(moved.ravel(), second.ravel())
        for blob, array in results.items():
            np.testing.assert_array_equal(array, copies[blob])


def test_closed(engine: EmbeddedEngine, net: Path, model: Path) -> None:
    loaded = engine.load(net, model)
    engine.close()
    with pytest.raises(EngineError, match="was closed"):
        loaded.forward({}, ["ip1"])
    loaded.close()


def test_a_run_leaves_no_thread(engine: EmbeddedEngine, net: Path, model: Path) -> None:
    with engine.load(net, model) as loaded:
        threads = threading.active_count()
        loaded.forward({}, ["ip1"])
        assert threading.active_count() == threads


def test_a_limit_of_time(tmp_path: Path) -> None:
    text = """
    input: "x" input_shape { dim: 4 dim: 256 dim: 64 dim: 64 }
    layer { name: "c" type: "Convolution" bottom: "x" top: "y"
      convolution_param { num_output: 256 kernel_size: 3 } }
    layer { name: "d" type: "Convolution" bottom: "y" top: "z"
      convolution_param { num_output: 256 kernel_size: 3 } }
    """
    with (
        open_engine(EngineOptions(timeout=0.001, threads=1)) as engine,
        engine.load(written(tmp_path, text)) as loaded,
        pytest.raises(EngineTimeout) as caught,
    ):
        loaded.forward({}, ["z"])
    assert str(caught.value) == "the net did not run within 0.001 s"


def test_a_limit_longer_than_clocks_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = []

    class Timer(threading.Timer):
        def __init__(self, limit: float, stop: Callable[[], None]) -> None:
            limits.append(limit)
            super().__init__(limit, stop)

    monkeypatch.setattr(threading, "Timer", Timer)
    text = 'input: "x" input_shape { dim: 1 } layer { name: "y" type: "ReLU" bottom: "x" top: "y" }'
    with (
        open_engine(EngineOptions(timeout=1e12)) as engine,
        engine.load(written(tmp_path, text)) as loaded,
    ):
        loaded.forward({}, ["y"])
    assert limits == [threading.TIMEOUT_MAX]


def test_how_long_threads_wait_busily_changes_no_bit(
    repo_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = repo_root / "prototxt" / "digits_deploy.prototxt"
    weights = repo_root / "models" / "digits" / "digits.caffemodel"
    data, results = np.random.default_rng(0).random((8, 1, 32, 32), np.float32), []
    for spin in (ort_session.SPIN, 0, 5000):
        monkeypatch.setattr(ort_session, "SPIN", spin)
        with (
            open_engine(EngineOptions(threads=2)) as engine,
            engine.load(net, weights) as loaded,
        ):
            loaded.reshape({"data": data.shape})
            results.append(loaded.forward({"data": data}, ["ip2"])["ip2"])
            ((session, _),) = loaded._sessions.values()
        settings = session._session.get_session_options()
        assert settings.get_session_config_entry("session.intra_op.spin_duration_us") == str(spin)
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


def test_gpu_without_the_gpu_build(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = ["CPUExecutionProvider"]
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: cpu)
    with pytest.raises(EngineMissing) as caught:
        open_engine(EngineOptions(gpu=0))
    assert str(caught.value) == (
        "this ONNX Runtime is built without CUDA; for --gpu: pip uninstall onnxruntime && "
        "pip install 'onnxruntime-gpu[cuda,cudnn]' (the two cannot live together)"
    )


def test_gpu_takes_the_device_and_full_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    both = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: both)
    assert ort_session.providers(3) == [
        ("CUDAExecutionProvider", {"device_id": "3", "use_tf32": "0"}),
        "CPUExecutionProvider",
    ]


@pytest.mark.parametrize("verbose", [False, True])
def test_what_is_said_of_cuda_is_for_verbose(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], verbose: bool
) -> None:
    """ONNX Runtime prints what it does not find, and on standard output at that."""
    both = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    severities: list[int] = []
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: both)
    monkeypatch.setattr("onnxruntime.preload_dlls", lambda: print("no libcudart"))
    monkeypatch.setattr("onnxruntime.set_default_logger_severity", severities.append)
    open_engine(EngineOptions(gpu=0, verbose=verbose)).close()
    assert severities == ([] if verbose else [4])
    assert capsys.readouterr() == ("", "no libcudart\n" if verbose else "")


def test_on_a_gpu_or_why_not(repo_root: Path) -> None:
    """With CUDA and a GPU the bundled net runs on it, to 1e-4 of what the CPU gives."""
    net = repo_root / "prototxt" / "digits_deploy.prototxt"
    weights = repo_root / "models" / "digits" / "digits.caffemodel"

    def outputs_on(gpu: int | None) -> NDArray[np.float32]:
        with open_engine(EngineOptions(gpu=gpu)) as engine, engine.load(net, weights) as loaded:
            shape = loaded.inputs["data"]
            data = np.random.default_rng(0).random(shape, np.float32)
            return loaded.forward({"data": data}, ["ip2"])["ip2"]

    if Path("/dev/nvidia0").exists() and "CUDA" in " ".join(ort.get_available_providers()):
        expected = outputs_on(None)
        assert np.abs(outputs_on(0) - expected).max() <= 1e-4 * np.abs(expected).max()
    else:
        with pytest.raises(EngineError, match=r"without CUDA|cannot use GPU 0"):
            outputs_on(0)


def test_by_name() -> None:
    with open_any(EngineOptions(choice="embedded")) as engine:
        assert engine.name == "embedded"


def test_the_digits(engine: EmbeddedEngine, repo_root: Path, tmp_path: Path) -> None:
    """The bundled classifier, also where a copy of it lies."""
    prototxt = repo_root / "prototxt" / "digits_deploy.prototxt"
    weights = repo_root / "models" / "digits" / "digits.caffemodel"
    copy = tmp_path / "copy.caffemodel"
    shutil.copy(weights, copy)
    results = []
    for path in (weights, copy):
        with engine.load(prototxt, path) as loaded:
            (name,) = loaded.inputs
            data = np.random.default_rng(0).random(loaded.inputs[name]).astype(np.float32)
            last = [*loaded.blobs][-1]
            results.append(loaded.forward({name: data}, [last])[last])
    assert results[0].sum() == pytest.approx(len(results[0]), rel=1e-5)
    np.testing.assert_array_equal(results[0], results[1])


def test_nothing_of_onnx_leaks(engine: EmbeddedEngine, net: Path, model: Path) -> None:
    """What ONNX Runtime raises reaches the user as one line of ours."""
    with engine.load(net, model) as loaded:
        session = loaded._session(("ip1",))
        with pytest.raises(NetsurgeryError, match=r"^ONNX Runtime gave up: .*data"):
            session.run({"data": np.zeros((1, 7), np.float32)})


def test_a_layer_that_fails_as_it_runs_is_named(engine: EmbeddedEngine, tmp_path: Path) -> None:
    path = written(
        tmp_path,
        'input: "words" input_shape { dim: 1 dim: 2 }\n'
        'layer { name: "look/up" type: "Embed" bottom: "words" top: "out"\n'
        "  embed_param { num_output: 3 input_dim: 5 weight_filler { value: 1 } } }",
    )
    message = r"gave up at layer 'look/up': .*out of data bounds"
    with engine.load(path) as net, pytest.raises(EngineFailed, match=message):
        net.forward({"words": row(1, 7)}, ["out"])
