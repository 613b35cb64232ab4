"""The worker with real Caffe: what comes through it is what pycaffe has, bit for bit."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from netsurgery.engines.contract import EngineOptions
from netsurgery.engines.discovery import find_caffe
from netsurgery.engines.pycaffe import CaffeNet, ParamCopy, PycaffeEngine, open_engine
from netsurgery.errors import (
    CaffemodelError,
    EngineFailed,
    NetError,
    SurgeryError,
)

pytestmark = [pytest.mark.caffe, pytest.mark.usefixtures("option_names")]

Script = Callable[..., str]

ROOT = Path(__file__).resolve().parents[2]

HEAD = """
name: "small"
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 1 dim: 3 dim: 4 dim: 5 } } }
"""
CLASSIFIER = (
    HEAD
    + """
layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc"
  inner_product_param { num_output: 7 weight_filler { type: "xavier" }
                        bias_filler { type: "gaussian" std: 1 } TRANSPOSE } }
"""
)
DENSE = (
    HEAD
    + """
layer { name: "fc-conv" type: "Convolution" bottom: "data" top: "fc-conv"
  convolution_param { num_output: 7 kernel_h: 4 kernel_w: 5 } }
"""
)
NO_ENGINE = HEAD + (
    'layer { name: "r" type: "ReLU" bottom: "data" top: "r" relu_param { engine: CUDNN } }'
)


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / f"net{len(list(tmp_path.iterdir()))}.prototxt"
        path.write_text(text)
        return path

    return write


@pytest.fixture
def lenet(shared_data: Path) -> tuple[Path, Path]:
    folder = shared_data / "models" / "lenet"
    return folder / "lenet.prototxt", folder / "lenet_iter_10000.caffemodel"


def test_blobs_and_params_are_pycaffes_own(
    caffe_engine: PycaffeEngine, run_in_caffe: Script, lenet: tuple[Path, Path], tmp_path: Path
) -> None:
    image = np.random.default_rng(7).random((3, 1, 28, 28), np.float32)
    np.save(tmp_path / "image.npy", image)
    run_in_caffe(
        """
import sys, numpy, caffe
prototxt, weights, folder = sys.argv[1:]
net = caffe.Net(prototxt, weights, caffe.TEST)
net.blobs['data'].reshape(3, 1, 28, 28)
net.reshape()
net.blobs['data'].data[...] = numpy.load(folder + '/image.npy')
net.forward()
arrays = {'blob ' + name: blob.data for name, blob in net.blobs.items()}
for name, blobs in net.params.items():
    arrays.update(('param %s %d' % (name, i), blob.data) for i, blob in enumerate(blobs))
numpy.savez(folder + '/all.npz', **arrays)
""",
        *lenet,
        tmp_path,
    )
    net = caffe_engine.load(*lenet)
    net.reshape({"data": (3, 1, 28, 28)})
    ours = {f"blob {k}": v for k, v in net.forward({"data": image}, list(net.blobs)).items()}
    for layer, shapes in net.params.items():
        ours.update({f"param {layer} {i}": net.param(layer, i) for i in range(len(shapes))})
    with np.load(tmp_path / "all.npz") as theirs:
        assert sorted(theirs) == sorted(ours)
        for name, array in ours.items():
            np.testing.assert_array_equal(array, theirs[name], err_msg=name)


def test_names_shapes_and_types(caffe_engine: PycaffeEngine, write: Callable[[str], Path]) -> None:
    net = caffe_engine.load(write('input: "z" input_dim: 2 input_dim: 3 input_dim: 4 input_dim: 5 '
                                  'input: "a" input_dim: 2 input_dim: 1 input_dim: 4 input_dim: 5 '
                                  'layer { name: "both" type: "Concat" bottom: "a" bottom: "z" '
                                  'top: "cat" } layer { name: "r" type: "ReLU" bottom: "cat" '
                                  'top: "cat" } layer { name: "bn" type: "BatchNorm" '
                                  'bottom: "cat" top: "bn" }'))  # fmt: skip
    assert list(net.inputs.items()) == [("z", (2, 3, 4, 5)), ("a", (2, 1, 4, 5))]
    assert list(net.blobs) == ["z", "a", "cat", "bn"]
    assert net.params == {"bn": ((4,), (4,), (1,))}
    assert [name for name, _ in net.layers] == ["input", "both", "r", "bn"]
    net.reshape({"a": (1, 2, 2, 2), "z": (1, 2, 2, 2)})
    a = np.arange(-4, 4, dtype=np.float32).reshape(1, 2, 2, 2)
    z = np.full((1, 2, 2, 2), -1, np.float32)
    seen = net.forward({"z": z, "a": a}, ["cat", "a"])
    # In place: the blob is seen after its last writer.
    np.testing.assert_array_equal(seen["cat"], np.maximum(np.concatenate([a, z], 1), 0))
    np.testing.assert_array_equal(seen["a"], a)


def test_half_a_hundred_nets_at_once(
    caffe_engine: PycaffeEngine, write: Callable[[str], Path]
) -> None:
    path = write(CLASSIFIER.replace("TRANSPOSE", ""))
    nets = [caffe_engine.load(path) for _ in range(50)]
    for value, net in enumerate(nets):
        net.set_param("fc", 1, np.full(7, value, np.float32))
    for value, net in enumerate(nets):
        assert np.all(net.forward({}, ["fc"])["fc"] == value)
        net.close()


@pytest.mark.parametrize("transpose", [False, True])
def test_transplant_gives_the_same_answer(
    caffe_engine: PycaffeEngine, write: Callable[[str], Path], transpose: bool
) -> None:
    classifier = CLASSIFIER.replace("TRANSPOSE", "transpose: true" if transpose else "")
    original, target = caffe_engine.load(write(classifier)), caffe_engine.load(write(DENSE))
    weight = (60, 7) if transpose else (7, 60)
    moved = caffe_engine.transplant(original, target, [ParamCopy("fc", "fc-conv", transpose)])
    assert moved == [("fc", "fc-conv", [(weight, (7, 3, 4, 5)), ((7,), (7,))])]
    image = np.random.default_rng(8).random((1, 3, 4, 5), np.float32)
    score = original.forward({"data": image}, ["fc"])["fc"]
    cell = target.forward({"data": image}, ["fc-conv"])["fc-conv"]
    assert cell.shape == (1, 7, 1, 1)
    np.testing.assert_allclose(cell.reshape(1, 7), score, rtol=1e-5)


def test_transplant_refuses_other_sizes(
    caffe_engine: PycaffeEngine, write: Callable[[str], Path]
) -> None:
    original = caffe_engine.load(write(CLASSIFIER.replace("TRANSPOSE", "")))
    target = caffe_engine.load(write(DENSE.replace("kernel_h: 4", "kernel_h: 2")))
    with pytest.raises(SurgeryError) as caught:
        caffe_engine.transplant(original, target, [ParamCopy("fc", "fc-conv")])
    assert str(caught.value) == (
        "layer fc to layer fc-conv: param 0 is 7x60 (420 values), its place is 7x3x2x5 "
        "(210 values); nothing was copied"
    )
    target = caffe_engine.load(
        write(DENSE.replace("num_output: 7", "num_output: 7 bias_term: false"))
    )
    with pytest.raises(SurgeryError) as caught:
        caffe_engine.transplant(original, target, [ParamCopy("fc", "fc-conv")])
    assert str(caught.value) == (
        "layer fc to layer fc-conv: params to move: 2, places for them: 1; nothing was copied"
    )
    assert np.all(target.param("fc-conv", 0) == 0)


def test_saved_params_come_back_bit_for_bit(
    caffe_engine: PycaffeEngine, lenet: tuple[Path, Path], tmp_path: Path
) -> None:
    # Bytes that are not UTF-8 are a name like any other.
    folder = tmp_path / "a \udcff folder"
    folder.mkdir()
    prototxt, saved = Path(shutil.copy(lenet[0], folder)), folder / "again.caffemodel"
    net = caffe_engine.load(prototxt, lenet[1])
    net.save(saved)
    again = caffe_engine.load(prototxt, saved)
    for layer, shapes in net.params.items():
        for index in range(len(shapes)):
            assert again.param(layer, index).tobytes() == net.param(layer, index).tobytes()


def test_weights_in_hdf5(caffe_engine: PycaffeEngine, shared_data: Path) -> None:
    folder = shared_data / "models" / "cifar10_h5"
    weights = folder / "cifar10_small.caffemodel.h5"
    net = caffe_engine.load(folder / "cifar10_small.prototxt", weights)
    assert net.param("ip1", 0).shape == (10, 512)
    assert np.any(net.param("ip1", 0))


FORGETFUL = """
import gc, os, shutil, sys
from netsurgery import EngineOptions, open_engine
from pathlib import Path

net, weights, python = sys.argv[1:]
engine = open_engine(EngineOptions(choice="caffe", caffe_python=python))
engine.load(Path(net), Path(weights))
other = Path(shutil.copy(weights, "other.caffemodel.h5"))
loaded = engine.load(Path(net), other)  # which the worker may not open itself
assert any(Path(os.environ["TMPDIR"]).glob("netsurgery-*/weights.h5")), "no relay"
kept = [loaded]
kept.append(kept)
gc.freeze()  # nor does Python come to collect it
"""


def test_an_engine_that_nobody_closes_leaves_no_folder(
    tmp_path: Path, caffe_python: str, shared_data: Path
) -> None:
    folder = shared_data / "models" / "cifar10_h5"
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    script = tmp_path / "forgetful.py"
    script.write_text(FORGETFUL)
    net, weights = folder / "cifar10_small.prototxt", folder / "cifar10_small.caffemodel.h5"
    subprocess.run(
        [sys.executable, script, net, weights, caffe_python],
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(temporary), "PYTHONPATH": str(ROOT)},
        check=True,
        timeout=120,
    )
    assert not list(temporary.iterdir())


def test_what_caffe_says_when_it_gives_up(caffe_python: str, write: Callable[[str], Path]) -> None:
    unknown_field = write('layer {\n  name: "a" type: "Silence" typo: 1\n}\n')
    no_engine = write(NO_ENGINE)
    said = {
        (no_engine, None): (
            f"Caffe gave up loading {no_engine}: Layer r has unknown engine. "
            "(layer_factory.cpp:211)"
        ),
        (unknown_field, None): (
            f"Caffe gave up loading {unknown_field}: Check failed: ReadProtoFromTextFile("
            f"param_file, param) Failed to parse NetParameter file: {unknown_field} "
            "(upgrade_proto.cpp:90); Error parsing text-format caffe.NetParameter: 2:33: "
            'Message type "caffe.LayerParameter" has no field named "typo".'
        ),
    }
    options = EngineOptions(caffe_python=caffe_python, threads=1)
    for turn in range(4):
        for (prototxt, weights), message in said.items():
            with open_engine(options) as engine:
                with pytest.raises(EngineFailed) as caught:
                    engine.load(prototxt, weights)
                assert str(caught.value) == message, turn
                assert not engine.alive
                assert not Path(f"/proc/{engine.pid}").exists()


def test_weights_of_another_net(
    caffe_engine: PycaffeEngine, lenet: tuple[Path, Path], shared_data: Path, tmp_path: Path
) -> None:
    det2 = shared_data / "models" / "mtcnn" / "det2.caffemodel"
    with pytest.raises(NetError) as caught:
        caffe_engine.load(lenet[0], det2)
    assert str(caught.value) == (
        f"{det2} is of another net: of the 4 layers with params of {lenet[0]} it fits 0; "
        "instead of ip1 (InnerProduct 500x800), ip2 (InnerProduct 10x500), "
        "conv1 (Convolution 20x1x5x5) and 1 more it has conv1 (Convolution 28x3x3x3), "
        "prelu1 (PReLU 28), conv2 (Convolution 48x28x3x3) and 8 more"
    )
    # Caffe itself would leave a layer of another name as its fillers made it.
    renamed = tmp_path / "renamed.prototxt"
    renamed.write_text(lenet[0].read_text().replace('"ip2"', '"fc8"'))
    with pytest.raises(NetError) as missing:
        caffe_engine.load(renamed, lenet[1])
    assert str(missing.value).startswith(f"{lenet[1]}: no params for layer 'fc8' of {renamed};")
    with caffe_engine.load(renamed, lenet[1], partial=True) as net:
        assert np.any(net.param("conv1", 0))
    assert caffe_engine.alive


def test_weights_that_caffe_would_take_without_a_word(
    caffe_engine: PycaffeEngine, run_in_caffe: Script, lenet: tuple[Path, Path], shared_data: Path
) -> None:
    html = shared_data / "broken" / "age_net_html.caffemodel"
    run_in_caffe(
        "import sys, caffe; caffe.Net(sys.argv[1], sys.argv[2], caffe.TEST)", lenet[0], html
    )
    with pytest.raises(CaffemodelError) as caught:
        caffe_engine.load(lenet[0], html)
    assert str(caught.value) == (
        f"{html}: is a web page, expected a caffemodel; the download of the file itself went wrong"
    )
    assert caffe_engine.alive


def test_a_size_the_classifier_cannot_take(caffe_python: str, write: Callable[[str], Path]) -> None:
    path = write(CLASSIFIER.replace("TRANSPOSE", ""))
    with open_engine(EngineOptions(caffe_python=caffe_python)) as engine:
        net = engine.load(path)
        with pytest.raises(EngineFailed) as caught:
            net.reshape({"data": (1, 3, 8, 8)})
    assert str(caught.value) == (
        f"Caffe gave up reshaping {path}, data to 1x3x8x8: Check failed: K_ == new_K "
        "(60 vs. 192) Input size incompatible with inner product parameters. "
        "(inner_product_layer.cpp:64)"
    )


def test_a_python_layer_that_is_not_there(caffe_python: str, write: Callable[[str], Path]) -> None:
    path = write('layer { name: "p" type: "Python" top: "p" '
                 'python_param { module: "no_such" layer: "L" } }')  # fmt: skip
    options = EngineOptions(caffe_python=caffe_python, allow=frozenset({"python"}))
    with open_engine(options) as engine:
        with pytest.raises(EngineFailed) as caught:
            engine.load(path)
        assert str(caught.value) == (
            f"Caffe gave up loading {path}: ModuleNotFoundError: No module named 'no_such'"
        )
        assert engine.alive


def run_for_long(net: CaffeNet) -> None:
    for _ in range(10_000):
        net.forward({}, [])


def test_killed_from_outside_while_it_runs(caffe_python: str, write: Callable[[str], Path]) -> None:
    wide = HEAD.replace("dim: 4 dim: 5", "dim: 300 dim: 300")
    path = write(wide + 'layer { name: "c" type: "Convolution" bottom: "data" top: "c" '
                 'convolution_param { num_output: 8 kernel_size: 9 } }')  # fmt: skip
    for _ in range(3):
        with open_engine(EngineOptions(caffe_python=caffe_python, threads=1)) as engine:
            net = engine.load(path)
            threading.Timer(0.3, os.kill, (engine.pid, signal.SIGKILL)).start()
            with pytest.raises(EngineFailed) as caught:
                run_for_long(net)
            assert str(caught.value) == (
                "Caffe's process was killed by SIGKILL (out of memory, perhaps) while running "
                f"{path}"
            )
            assert not Path(f"/proc/{engine.pid}").exists()


def test_gpu(caffe_python: str) -> None:
    """A Caffe without CUDA says so; one with CUDA and a device runs on it."""
    options = EngineOptions(caffe_python=caffe_python, gpu=0)
    if find_caffe(caffe_python).cuda:
        with open_engine(options) as engine:
            assert engine.description.endswith(f"GPU 0 ({caffe_python})")
        return
    with pytest.raises(EngineFailed) as caught:
        open_engine(options)
    assert str(caught.value) == (
        f"this Caffe ({caffe_python}) is compiled without CUDA; leave out --gpu, "
        "or choose another with --caffe-python"
    )
