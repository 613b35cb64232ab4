"""The nets in prototxt/: real Caffe takes each, sees the shapes we see, and runs it converted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from random_weights import fill_randomly

from netsurgery.cli import run
from netsurgery.engines.pycaffe import PycaffeEngine
from netsurgery.net.net import NetDefinition
from netsurgery.net.shapes import infer
from netsurgery.surgery.convolution.plan import plan_convolution

pytestmark = [pytest.mark.caffe, pytest.mark.usefixtures("option_names")]

NETS = sorted(p.stem for p in (Path(__file__).parents[2] / "prototxt").glob("*.prototxt"))
#: An InnerProduct over what Flatten made has no map to be convolved.
FLAT = {"flatten"}


@pytest.mark.parametrize("name", NETS)
def test_caffe_loads_it_with_the_shapes_we_infer(
    name: str, repo_root: Path, caffe_engine: PycaffeEngine
) -> None:
    path = repo_root / f"prototxt/{name}.prototxt"
    ours = infer(NetDefinition.read(path))
    with caffe_engine.load(path) as net:
        # Caffe also lists the copies it makes of a blob with several readers.
        theirs = {blob: shape for blob, shape in net.blobs.items() if "_split_" not in blob}
        assert theirs == ours.blobs
        assert dict(net.params) == {layer: tuple(shapes) for layer, shapes in ours.params.items()}


@pytest.mark.parametrize("name", [name for name in NETS if name not in FLAT])
def test_converted_it_answers_as_before(
    name: str, repo_root: Path, caffe_engine: PycaffeEngine, tmp_path: Path
) -> None:
    path = repo_root / f"prototxt/{name}.prototxt"
    weights = fill_randomly(caffe_engine, path, tmp_path / f"{name}.caffemodel")
    where = ["-o", str(tmp_path), "--engine", "embedded", "-q"]
    assert run(["convert", str(path), str(weights), *where]) == 0

    plan = plan_convolution(NetDefinition.read(path))
    (net_input,) = plan.inputs
    blob, shape = net_input.name, (1, *net_input.old[1:])
    picture = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    converted = tmp_path / f"{name}_full_conv.prototxt", tmp_path / f"{name}_full_conv.caffemodel"
    with caffe_engine.load(path, weights) as old, caffe_engine.load(*converted) as new:
        assert dict(new.inputs) == {blob: net_input.new}
        old.reshape({blob: shape})
        new.reshape({blob: shape})
        for output in plan.net.outputs:
            renamed = plan.renames.get(output, output)
            before = old.forward({blob: picture}, [output])[output]
            after = new.forward({blob: picture}, [renamed])[renamed]
            assert after.shape == (*before.shape, 1, 1)
            assert np.abs(after[..., 0, 0] - before).max() <= 1e-5 * np.abs(before).max()
