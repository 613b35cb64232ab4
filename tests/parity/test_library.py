"""What an open net saves, read by real Caffe."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import netsurgery as ns
from netsurgery.engines.pycaffe import PycaffeEngine

pytestmark = pytest.mark.caffe


@pytest.mark.parametrize("name", ["new.caffemodel", "new.caffemodel.h5"])
def test_caffe_runs_the_net_with_the_params_that_were_written(
    name: str, repo_root: Path, tmp_path: Path, caffe_engine: PycaffeEngine
) -> None:
    prototxt = repo_root / "prototxt/digits_deploy.prototxt"
    model = repo_root / "models/digits/digits.caffemodel"
    blob = np.random.default_rng(0).random((1, 1, 32, 32), np.float32)
    with ns.Net(prototxt, model) as net:
        net.params["ip2"][1] += np.arange(11, dtype=np.float32)
        net.params["ip2"][0][10] = 0
        bias = float(net.params["ip2"][1][10])
        net.save(tmp_path / name)
    with caffe_engine.load(prototxt, model) as loaded:
        before = loaded.forward({"data": blob}, ["ip1", "ip2"])
    with caffe_engine.load(prototxt, tmp_path / name) as loaded:
        after = loaded.forward({"data": blob}, ["ip1", "ip2"])
    np.testing.assert_array_equal(after["ip1"], before["ip1"])
    raised = (after["ip2"] - before["ip2"])[0, :10]
    np.testing.assert_allclose(raised, np.arange(10), atol=1e-5)
    assert after["ip2"][0, 10] == np.float32(bias)


def test_every_param_is_caffes_own(repo_root: Path, caffe_engine: PycaffeEngine) -> None:
    """Shapes and names, as `net.params` of pycaffe has them."""
    prototxt = repo_root / "prototxt/digits_deploy.prototxt"
    model = repo_root / "models/digits/digits.caffemodel"
    with ns.Net(prototxt, model) as net, caffe_engine.load(prototxt, model) as loaded:
        assert {name: params.shapes for name, params in net.params.items()} == loaded.params
        assert {name: blob.shape for name, blob in net.blobs.items()} == dict(loaded.blobs)
