"""`features` in real Caffe: the blobs that pycaffe itself computes, and fields that are true."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from netsurgery.cli import run
from netsurgery.engines.pycaffe import PycaffeEngine

pytestmark = [pytest.mark.caffe, pytest.mark.usefixtures("option_names")]

READY = ["--raw-scale", "255", "--mean", "104,117,123", "--channel-swap", "2,1,0"]


def test_both_engines_give_the_same_features(
    shared_data: Path, tmp_path: Path, caffe_python: str
) -> None:
    folder = shared_data / "models" / "squeezenet"
    args = ["features", str(shared_data / "bvlc" / "cat.jpg"), "--size", "227x307", "-q"]
    args += ["--prototxt", str(folder / "SqueezeNet_deploy.prototxt")]
    args += ["--weights", str(folder / "squeezenet.caffemodel"), *READY]
    args += ["--blob", "conv1", "--blob", "fire9/concat"]
    for engine in ("caffe", "embedded"):
        python = ["--caffe-python", caffe_python] if engine == "caffe" else []
        out = ["-o", str(tmp_path / f"{engine}.npz"), "--engine", engine]
        assert run([*args, *out, *python]) == 0
    with (
        np.load(tmp_path / "caffe.npz") as by_caffe,
        np.load(tmp_path / "embedded.npz") as by_embedded,
    ):
        assert by_caffe.files == by_embedded.files
        for key in by_caffe.files:
            apart = np.abs(by_caffe[key] - by_embedded[key]).max()
            assert apart <= 1e-5 * np.abs(by_caffe[key]).max(), key
        assert by_caffe["cat/conv1"].shape == (96, 111, 151)


def test_a_cell_depends_on_its_field_and_on_nothing_else(
    shared_data: Path, tmp_path: Path, caffe_engine: PycaffeEngine, caffe_python: str
) -> None:
    folder = shared_data / "models" / "squeezenet"
    prototxt, weights = folder / "SqueezeNet_deploy.prototxt", folder / "squeezenet.caffemodel"
    args = ["features", str(shared_data / "bvlc" / "cat.jpg"), "--blob", "fire4/concat", "-q"]
    args += ["--prototxt", str(prototxt), "--weights", str(weights), *READY]
    args += ["-o", str(tmp_path / "f.npy"), "--engine", "caffe", "--caffe-python", caffe_python]
    assert run(args) == 0
    values = np.load(tmp_path / "f.npy")
    facts = json.loads((tmp_path / "f.json").read_text())
    row, column = 12, 13
    steps = zip(facts["offset"], (row, column), facts["stride"], strict=True)
    top, left = (int(start + at * step) for start, at, step in steps)
    high, wide = map(int, facts["field"])
    assert run([*args[:2], "--blob", "data", *args[4:-6], "-o", str(tmp_path / "x.npy")]) == 0
    image = np.load(tmp_path / "x.npy")[np.newaxis]
    outside = np.random.default_rng(0).standard_normal(image.shape).astype(np.float32) * 100
    outside[:, :, top : top + high, left : left + wide] = image[
        :, :, top : top + high, left : left + wide
    ]
    inside = image.copy()
    inside[:, :, top, left] += 100
    inside[:, :, top + high - 1, left + wide - 1] += 100
    with caffe_engine.load(prototxt, weights) as net:
        unchanged, changed = (
            net.forward({"data": blob}, ["fire4/concat"])["fire4/concat"][0, :, row, column]
            for blob in (outside, inside)
        )
    own = values[:, row, column]
    assert np.abs(unchanged - own).max() <= 1e-5 * np.abs(own).max()
    assert np.abs(changed - own).max() > 1e-4 * np.abs(own).max()
