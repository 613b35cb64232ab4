"""Real Caffe, confined: what its own layers would do is stopped, should a net get that far.

netsurgery gives Caffe no such net unless it is allowed to; so the text is put past it here.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from netsurgery.engines import limits, pycaffe
from netsurgery.engines.contract import EngineOptions
from netsurgery.engines.pycaffe import PycaffeEngine
from netsurgery.errors import EngineFailed
from netsurgery.net.net import NetDefinition

BLOB = """
layer { name: "b" type: "DummyData" top: "b" dummy_data_param { shape { dim: 1 dim: 3 } } }
layer { name: "label" type: "DummyData" top: "label" dummy_data_param { shape { dim: 1 } } }
"""
LAYERS = {
    "HDF5Output": 'bottom: "b" bottom: "label" hdf5_output_param { file_name: "%s/victim" }',
    "HDF5Data": 'top: "h" hdf5_data_param { source: "%s/victim" batch_size: 1 }',
    "ImageData": 'top: "i" top: "l" image_data_param { source: "%s/victim" }',
    "WindowData": 'top: "w" top: "l" window_data_param { source: "%s/victim" }',
    "Data": 'top: "d" data_param { source: "%s/db" backend: LEVELDB batch_size: 1 }',
}


@pytest.fixture
def engine(caffe_python: str, monkeypatch: pytest.MonkeyPatch) -> PycaffeEngine:
    monkeypatch.setattr(pycaffe, "permitted", lambda net, allow, types: net.prototxt)
    return pycaffe.open_engine(EngineOptions(caffe_python=caffe_python))


@pytest.mark.parametrize("kind", LAYERS)
def test_a_layer_that_reaches_out(kind: str, engine: PycaffeEngine, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine\n")
    (tmp_path / "db").mkdir()
    layer = f'layer {{ name: "x" type: "{kind}" {LAYERS[kind] % tmp_path} }}'
    (tmp_path / "net.prototxt").write_text(BLOB + layer)
    net = NetDefinition.read(tmp_path / "net.prototxt")
    with engine, pytest.raises(EngineFailed, match=r"Failed to open|File is empty"):
        engine.load(net).forward({}, ["b"])
    assert victim.read_text() == "mine\n"
    assert list((tmp_path / "db").iterdir()) == []


def test_a_layer_in_python_reaches_no_module_of_the_users(
    engine: PycaffeEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own.py").write_text("class L: pass")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    layer = 'layer { name: "p" type: "Python" top: "p" python_param { module: "own" layer: "L" } }'
    Path("net.prototxt").write_text(layer)
    with engine, pytest.raises(EngineFailed, match="No module named 'own'"):
        engine.load(NetDefinition.read(Path("net.prototxt")))


def test_memory_that_runs_out_is_said(
    engine: PycaffeEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "_HEADROOM", 400 << 20)
    monkeypatch.setattr(limits, "_TIMES", 0)
    (tmp_path / "net.prototxt").write_text(
        'layer { name: "data" type: "Input" top: "data" '
        "input_param { shape { dim: [1, 64, 1024, 1024] } } }\n"
        'layer { name: "relu" type: "ReLU" bottom: "data" top: "relu" }\n'
    )
    image = np.zeros((1, 64, 1024, 1024), np.float32)
    with engine, pytest.raises(EngineFailed) as caught:
        engine.load(NetDefinition.read(tmp_path / "net.prototxt")).forward({"data": image}, [])
    assert "host allocation of size" in str(caught.value)
    assert str(caught.value).endswith("; its process may take 400.0 MiB for nets of these shapes")
