"""`edit split-batch-norm`: a fork's normalization as the layers that Caffe 1.0 has for it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from parity.references import PARAMS, REFERENCES
from small_models import model_layer, write_model

from netsurgery.engines.contract import EngineOptions
from netsurgery.engines.ort import open_engine
from netsurgery.engines.pycaffe import PycaffeEngine
from netsurgery.errors import SurgeryError
from netsurgery.formats.weights import open_weights
from netsurgery.net import types
from netsurgery.net.net import NetDefinition
from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.surgery.edit.plan import EditPlan, plan_edit
from netsurgery.surgery.edit.write import EditPaths, write_edit

Array = NDArray[np.float32]

NVCAFFE = "type: 'BatchNorm' param { lr_mult: 1 } batch_norm_param { scale_filler { } eps: 1e-7 }"
PSPNET = "type: 'BN' bn_param { slope_filler { } bias_filler { } frozen: true eps: 0.25 }"
SEGNET = "type: 'BN' bn_param { bn_mode: INFERENCE scale_filler { } }"
KINDS = [NVCAFFE, PSPNET, SEGNET]

HEAD = 'name: "n"\ninput: "x" input_shape { dim: [2, 3, 5, 4] }\n'


def net_and_weights(
    folder: Path, layer: str, *, factor: float = 1.0, more: str = ""
) -> tuple[Path, Path]:
    """A net of that layer, from x to y, and its random weights."""
    net, weights = folder / "net.prototxt", folder / "net.caffemodel"
    net.write_text(f"{HEAD}layer {{ name: 'b' bottom: 'x' top: 'y' {layer} }}  # mine\n{more}")
    split_layer = next(each for each in NetDefinition.read(net).layers if each.name == "b")
    write_model(weights, model_layer("b", split_layer.type, *params(net, factor)))
    return net, weights


def params(net: Path, factor: float = 1.0) -> list[Array]:
    layer = next(each for each in NetDefinition.read(net).layers if each.name == "b")
    record, rng = types.of(layer), np.random.default_rng(3)
    assert record is not None
    values = []
    for shape in PARAMS[record.name](layer, [(2, 3, 5, 4)]):
        values.append((rng.random(shape) + 0.5).astype(np.float32))
        if shape == (1,):
            values[-1][:] = factor
    return values


def edit(net: Path, weights: Path, *operations: str) -> tuple[EditPlan, EditPaths]:
    places = EditPaths(net.parent / "new.caffemodel", net.parent / "new.prototxt")
    with NetWithWeights.open(net, weights) as model:
        plan = plan_edit(model, operations)
        write_edit(plan, model, places, force=True)
    return plan, places


def picture() -> Mapping[str, Array]:
    return {"x": np.random.default_rng(1).standard_normal((2, 3, 5, 4)).astype(np.float32)}


def expected(net: Path) -> Array:
    layer = next(each for each in NetDefinition.read(net).layers if each.name == "b")
    record = types.of(layer)
    assert record is not None
    (top,) = REFERENCES[record.name](layer, [picture()["x"]], params(net))
    return top.astype(np.float32)


@pytest.mark.parametrize("layer", KINDS)
def test_it_is_the_same_function_of_the_same_numbers(tmp_path: Path, layer: str) -> None:
    net, weights = net_and_weights(tmp_path, layer)
    plan, places = edit(net, weights, "split-batch-norm")
    assert plan.notes == ()
    assert places.prototxt is not None
    new = NetDefinition.read(places.prototxt)
    assert all(types.is_stock(each) for each in new.layers)
    stored = {p.tobytes() for p in params(net)} | {np.ones(1, np.float32).tobytes()}
    with open_weights(places.weights) as model:
        items = [blob.numpy().tobytes() for each in model.layers for blob in each.blobs]
    assert set(items) <= stored
    with (
        open_engine(EngineOptions(threads=1)) as engine,
        engine.load(places.prototxt, places.weights) as ran,
    ):
        top = ran.forward(picture(), ["y"])["y"]
    np.testing.assert_allclose(top, expected(net), rtol=1e-4, atol=1e-5)


@pytest.mark.caffe
@pytest.mark.parametrize("layer", KINDS)
def test_caffe_reads_it(tmp_path: Path, layer: str, caffe_engine: PycaffeEngine) -> None:
    net, weights = net_and_weights(tmp_path, layer)
    _, places = edit(net, weights, "split-batch-norm:b")
    assert places.prototxt is not None
    with caffe_engine.load(places.prototxt, places.weights) as ran:
        top = ran.forward(picture(), ["y"])["y"]
    np.testing.assert_allclose(top, expected(net), rtol=1e-4, atol=1e-5)


def test_the_text(tmp_path: Path) -> None:
    net, weights = net_and_weights(tmp_path, "include { phase: TEST } " + NVCAFFE)
    plan, _ = edit(net, weights, "split-batch-norm")
    assert plan.text == (
        f"{HEAD}layer {{ name: 'b' bottom: 'x' top: 'y' include {{ phase: TEST }} "
        "type: 'BatchNorm' }  # mine\n"
        'layer { name: "b_scale" type: "Scale" bottom: "y" top: "y" include { phase: TEST } '
        "scale_param { bias_term: true } }\n"
    )
    net, weights = net_and_weights(tmp_path, PSPNET)
    plan, _ = edit(net, weights, "split-batch-norm")
    assert plan.text is not None
    assert "type: 'BatchNorm' batch_norm_param { eps: 0.25 } }  # mine\n" in plan.text
    net, weights = net_and_weights(tmp_path, SEGNET)
    plan, _ = edit(net, weights, "split-batch-norm")
    assert plan.text == (
        f"{HEAD}layer {{ name: 'b' bottom: 'x' top: 'y' "
        "type: 'Scale' scale_param { bias_term: true } }  # mine\n"
    )


def test_it_changes_nothing_when_done_again(tmp_path: Path) -> None:
    net, weights = net_and_weights(tmp_path, NVCAFFE)
    once, _ = edit(net, weights, "split-batch-norm")
    twice, _ = edit(net, weights, "split-batch-norm", "split-batch-norm")
    assert twice.text == once.text
    assert twice.notes == ("no normalization of a fork: nothing to split",)


def test_a_name_that_is_taken(tmp_path: Path) -> None:
    more = "layer { name: 'b_scale' type: 'ReLU' bottom: 'y' top: 'z' }\n"
    net, weights = net_and_weights(tmp_path, NVCAFFE, more=more)
    plan, _ = edit(net, weights, "split-batch-norm")
    assert [layer.name for layer in plan.added] == ["b", "b_scale2"]


def test_it_folds_afterwards(tmp_path: Path) -> None:
    """What was added is read, and goes, like all else."""
    net, weights = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    net.write_text(
        f"{HEAD}layer {{ name: 'c' type: 'Convolution' bottom: 'x' top: 'c' convolution_param "
        "{ num_output: 3 kernel_size: 1 } }\n"
        f"layer {{ name: 'b' bottom: 'c' top: 'y' {PSPNET} }}"
    )
    kernel, bias = np.ones((3, 3, 1, 1), np.float32), np.zeros(3, np.float32)
    write_model(
        weights, model_layer("c", "Convolution", kernel, bias), model_layer("b", "BN", *params(net))
    )
    plan, places = edit(net, weights, "split-batch-norm", "fold")
    assert plan.added == ()
    slope, shift, mean, variance = (p.ravel() for p in params(net))
    factor = slope / np.sqrt(variance + 0.25)
    with open_weights(places.weights) as model:
        assert [layer.name for layer in model.layers] == ["c"]
        weight, bias = (blob.numpy() for blob in model.layer("c").blobs)
    np.testing.assert_allclose(
        weight, np.broadcast_to(factor.reshape(3, 1, 1, 1), (3, 3, 1, 1)), rtol=1e-6
    )
    np.testing.assert_allclose(bias, shift - mean * factor, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("layer", "factor", "what"),
    [
        ("type: 'BatchNorm'", 1.0, "'b': it is not a normalization of a fork (BatchNorm): nothing"),
        (NVCAFFE, 0.5, "its param 2 is 0.5, expected 1"),
        ("type: 'BN' bn_param { scale_filler { } }", 1.0, "bn_mode is not INFERENCE"),
        ("param { name: 'p' } " + PSPNET, 1.0, "it shares its param 0 with layer 'other'"),
    ],
)
def test_refusals(tmp_path: Path, layer: str, factor: float, what: str) -> None:
    more = ""
    if "'p'" in layer:
        more = f"layer {{ name: 'other' bottom: 'x' top: 'z' {layer} }}\n"
    forks = "filler" in layer
    net, weights = (
        net_and_weights(tmp_path, layer, factor=factor, more=more) if forks else stock(tmp_path)
    )
    with pytest.raises(SurgeryError) as caught:
        edit(net, weights, "split-batch-norm:b")
    assert what in str(caught.value)


def stock(folder: Path) -> tuple[Path, Path]:
    net, weights = folder / "net.prototxt", folder / "net.caffemodel"
    net.write_text(f"{HEAD}layer {{ name: 'b' bottom: 'x' top: 'y' type: 'BatchNorm' }}\n")
    three = np.ones(3, np.float32)
    return net, write_model(
        weights, model_layer("b", "BatchNorm", three, three, np.ones(1, np.float32))
    )


def test_all_that_can_be_are_split_and_the_rest_is_noted(tmp_path: Path) -> None:
    learning = "layer { name: 'l' type: 'BN' bottom: 'y' top: 'z' bn_param { scale_filler { } } }\n"
    net, weights = net_and_weights(tmp_path, PSPNET, more=learning)
    values = [np.ones((1, 3, 1, 1), np.float32)] * 2
    write_model(weights, model_layer("b", "BN", *params(net)), model_layer("l", "BN", *values))
    plan, _ = edit(net, weights, "split-batch-norm")
    assert [layer.name for layer in plan.added] == ["b", "b_scale"]
    assert len(plan.notes) == 1
    assert plan.notes[0].startswith("not split: layer 'l': bn_mode is not INFERENCE")
