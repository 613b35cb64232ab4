"""`Net.forward` against pycaffe itself: the same edits and the same arrays give the same blobs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import netsurgery as ns
from netsurgery.engines.contract import EngineChoice

pytestmark = pytest.mark.caffe

#: What a user of pycaffe would write; `net` is theirs, or ours.
EDITS = """
def edited_outputs(net, images, run):
    seen = [run(net, images)]
    net.params['conv1'][1].data[0] = 1.
    net.params['conv1'][0].data[1:3] = 0
    seen.append(run(net, images))
    net.params['ip2'][0].data[...] *= 2
    net.params['ip1'][0].data.flat = net.params['ip1'][0].data[::-1].flat
    seen.append(run(net, images * 0.5))
    return seen
"""
PYCAFFE = f"""
import sys, numpy, caffe
{EDITS}
def run(net, images):
    net.blobs['data'].reshape(*images.shape)
    net.reshape()
    net.blobs['data'].data[...] = images
    net.forward()
    return [net.blobs[name].data.copy() for name in ('conv1', 'ip1', 'prob')]

prototxt, weights, folder = sys.argv[1:]
net = caffe.Net(prototxt, weights, caffe.TEST)
images = numpy.load(folder + '/images.npy')
seen = edited_outputs(net, images, run)
numpy.savez(folder + '/seen.npz', *[blob for blobs in seen for blob in blobs])
print(list(net.blobs), list(net.params), list(net.inputs), list(net.outputs))
print(sorted(net.forward(data=images)))
"""


@pytest.mark.parametrize("engine", ["caffe", "embedded", "auto"])
def test_edits_and_runs_are_pycaffes_own(
    engine: EngineChoice,
    repo_root: Path,
    run_in_caffe: Callable[..., str],
    caffe_python: str,
    tmp_path: Path,
) -> None:
    paths = (
        repo_root / "prototxt/digits_deploy.prototxt",
        repo_root / "models/digits/digits.caffemodel",
    )
    images = np.random.default_rng(3).integers(0, 255, (4, 1, 32, 32), np.uint8)
    np.save(tmp_path / "images.npy", images)
    said = run_in_caffe(PYCAFFE, *paths, tmp_path).splitlines()
    names: dict[str, Callable[..., list[list[np.ndarray]]]] = {}
    exec(EDITS, names)

    def run(net: ns.Net, images: np.ndarray) -> list[np.ndarray]:
        results = net.forward(data=images, blobs=["conv1", "ip1"])
        return [results[name] for name in ("conv1", "ip1", "prob")]

    options = ns.EngineOptions(engine, caffe_python=caffe_python, threads=1)
    with ns.Net(*paths, engine=options) as net:
        seen = names["edited_outputs"](net, images, run)
        assert net.engine.startswith("embedded" if engine == "embedded" else "caffe 1.0")
        assert said[0] == " ".join(
            str(list(each)) for each in (net.blobs, net.params, net.inputs, net.outputs)
        )
        assert said[1] == str(sorted(net.forward(data=images)))
    with np.load(tmp_path / "seen.npz") as theirs:
        pycaffes = [theirs[f"arr_{number}"] for number in range(9)]
    for ours, own in zip((blob for blobs in seen for blob in blobs), pycaffes, strict=True):
        if engine == "embedded":
            np.testing.assert_allclose(ours, own, rtol=1e-4, atol=1e-4 * max(abs(own).max(), 1))
        else:
            np.testing.assert_array_equal(ours, own)


def test_an_edit_that_is_in_no_file_is_run_by_caffe(
    repo_root: Path, caffe_python: str, tmp_path: Path
) -> None:
    """And the engine goes on after it gave up on another shape."""
    paths = (
        repo_root / "prototxt/digits_deploy.prototxt",
        repo_root / "models/digits/digits.caffemodel",
    )
    images = np.random.default_rng(3).random((2, 1, 32, 32))
    options = ns.EngineOptions("caffe", caffe_python=caffe_python, threads=1)
    with ns.Net(*paths, engine=options) as net:
        net.params["ip2"][1][...] = np.arange(11) * 1000
        edited = net.forward(data=images)["prob"]
        assert edited.argmax(axis=1).tolist() == [10, 10]
        with pytest.raises(ns.NetError, match=r"ns\.convert makes a net that takes any size"):
            net.forward(data=np.ones((1, 1, 40, 40)))
        np.testing.assert_array_equal(net.forward(data=images)["prob"], edited)
        embedded = net.forward(data=images, engine="embedded")["prob"]
        np.testing.assert_allclose(embedded, edited, atol=1e-5)
        net.save(tmp_path / "saved.caffemodel")
    with ns.Net(paths[0], tmp_path / "saved.caffemodel", engine=options) as net:
        np.testing.assert_array_equal(net.forward(data=images)["prob"], edited)


NETS = sorted(path.name for path in (Path(__file__).parents[2] / "prototxt").glob("*.prototxt"))


@pytest.mark.parametrize("name", NETS)
def test_every_blob_of_every_net_is_the_same_in_both_engines(
    name: str, repo_root: Path, caffe_python: str
) -> None:
    """With params that were filled and changed in memory, and three pictures at once."""
    rng = np.random.default_rng(5)
    with ns.init(repo_root / "prototxt" / name, seed=5).net as net:
        for params in net.params.values():
            for array in params:
                values = rng.standard_normal(array.shape) * (2 / array[0].size) ** 0.5
                array[...] = values if array.ndim > 1 else 0.5 + np.abs(values)  # a variance, say
        images = {blob: rng.standard_normal((3, *net.blobs[blob].shape[1:])) for blob in net.inputs}
        blobs = [blob for blob in net.blobs if blob not in net.inputs]
        caffe = ns.EngineOptions("caffe", caffe_python=caffe_python, threads=1)
        theirs = net.forward(images, blobs=blobs, engine=caffe)
        ours = net.forward(images, blobs=blobs, engine="embedded")
        for blob in blobs:
            scale = max(float(np.abs(theirs[blob]).max()), 1e-3)
            np.testing.assert_allclose(ours[blob], theirs[blob], atol=1e-4 * scale, err_msg=blob)
            assert net.blobs[blob].shape == theirs[blob].shape
