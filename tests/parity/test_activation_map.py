"""Class activation maps of real nets: their means are the classifier's scores, in both engines."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pytest
from random_weights import fill_randomly

import netsurgery as ns
from netsurgery.engines.pycaffe import PycaffeEngine
from netsurgery.verbs.verify_result import MeanCells

pytestmark = pytest.mark.caffe

WITHIN = 1e-5


class Case(NamedTuple):
    """A prototxt, its weights where there are real ones, and the blobs of the scores."""

    prototxt: str
    weights: str
    old: str
    new: str
    cells: tuple[int, int]


CASES = {
    "googlenet": Case(
        "bvlc/bvlc_googlenet.prototxt", "", "loss3/classifier", "loss3/classifier-conv", (7, 7)
    ),
    "resnet50": Case(
        "prototxts/yahoo__open_nsfw__nsfw_model_deploy.prototxt", "", "fc_nsfw", "fc_nsfw-conv",
        (7, 7),
    ),
    "squeezenet": Case(
        "models/squeezenet/SqueezeNet_deploy.prototxt", "models/squeezenet/squeezenet.caffemodel",
        "pool_final", "conv_final", (15, 15),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_mean_is_the_score(
    name: str,
    shared_data: Path,
    tmp_path: Path,
    live_caffe_engine: Callable[[], PycaffeEngine],
) -> None:
    case = CASES[name]
    prototxt, weights = shared_data / case.prototxt, shared_data / case.weights
    if not case.weights:
        # An eighth of the channels, which is as deep as before.
        text = re.sub(
            r"num_output: (\d+)",
            lambda match: f"num_output: {max(4, int(match[1]) // 8)}",
            prototxt.read_text(),
        )
        prototxt = tmp_path / "net.prototxt"
        prototxt.write_text(re.sub(r"dim: 10 dim: 3", "dim: 1 dim: 3", text))
        weights = fill_randomly(live_caffe_engine(), prototxt, tmp_path / "w.caffemodel")
    paths = ns.convert(
        prototxt, weights, tmp_path / "cam", before_pooling=True, engine="embedded"
    ).paths
    random = np.random.default_rng(0)
    for engine in ("embedded", "caffe"):
        with ns.Net(prototxt, weights, engine=engine) as net:
            (data,) = net.inputs
            shape = (1, *net.blobs[data].shape[1:])
            image = random.uniform(-100, 100, shape).astype(np.float32)
            score = net.forward({data: image}, blobs=[case.old])[case.old].ravel()
        with ns.Net(paths.prototxt, paths.weights, engine=engine) as net:
            values = net.forward({data: image}, blobs=[case.new])[case.new][0]
        assert values.shape[1:] == case.cells
        apart = np.abs(values.mean((1, 2), dtype=np.float64) - score).max()
        assert apart <= WITHIN * np.abs(score).max()


@pytest.mark.parametrize("engine", ["embedded", "caffe"])
def test_convert_verifies_what_it_writes(
    engine: Literal["embedded", "caffe"], shared_data: Path, repo_root: Path, tmp_path: Path
) -> None:
    """Of an activation map, here a finer one, the mean; of one interpolated to pixels the map."""
    case = CASES["squeezenet"]
    mean = ns.convert(
        shared_data / case.prototxt, shared_data / case.weights, tmp_path / "cam",
        before_pooling=True, stride=8, engine=engine, verify=True,
    ).verification  # fmt: skip
    demo = repo_root / "prototxt/digits_deploy.prototxt", repo_root / "models/digits"
    pixels = ns.convert(
        demo[0], demo[1] / "digits.caffemodel", tmp_path / "pixels",
        stride=4, upsample=True, engine=engine, verify=True,
    ).verification  # fmt: skip
    assert mean is not None
    assert pixels is not None
    assert (mean.verified, pixels.verified) == (True, True)
    (output,) = (each for each in mean.outputs if each.mean is not None)
    assert (output.blob, output.new_blob) == (case.old, case.new)
    assert output.mean == MeanCells(case.cells, (2, 2))
    assert 0 < output.difference.relative <= WITHIN
    (cells,) = pixels.maps
    assert (cells.check.new_blob, cells.compared, cells.agreeing) == ("ip2-conv", 225, 225)
    for verification in (mean, pixels):
        assert [engine in each for each in verification.engines] == [True, True]
