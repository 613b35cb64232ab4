"""diff of a weight stored K x O (`transpose: true`) and of one stored O x K."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from small_models import model_layer, write_hdf5, write_model

import netsurgery as ns
from netsurgery.cli import run
from netsurgery.surgery import columns
from netsurgery.verbs import blob_statistics

Array = NDArray[np.float32]

INPUT = 'input: "x" input_dim: 1 input_dim: 2 input_dim: 3 input_dim: 2\n'
FC = (
    'layer { name: "fc" type: "InnerProduct" bottom: "x" top: "fc" '
    "inner_product_param { num_output: %d %s } }\n"
)
V1 = FC.replace("layer {", "layers {").replace('"InnerProduct"', "INNER_PRODUCT")
CONVOLVED = (
    'layer { name: "fc" type: "Convolution" bottom: "x" top: "fc" '
    "convolution_param { num_output: 5 kernel_h: 3 kernel_w: 2 } }\n"
)
TURNED = "transpose: true"
WEIGHT = np.random.default_rng(1).standard_normal((5, 12)).astype("<f4")
STORED: dict[str, tuple[str, Array]] = {
    "O x K": (FC % (5, ""), WEIGHT),
    "K x O": (FC % (5, TURNED), WEIGHT.T.copy()),
    "K x O of V1": (V1 % (5, TURNED), WEIGHT.T.copy()),
    "O x C x H x W": (CONVOLVED, WEIGHT.reshape(5, 2, 3, 2)),
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def written(
    name: str, text: str, weight: Array, kind: Literal["caffemodel", "h5"] = "caffemodel"
) -> tuple[str, str]:
    Path(f"{name}.prototxt").write_text(INPUT + text)
    path = Path(f"{name}.caffemodel{'' if kind == 'caffemodel' else '.h5'}")
    bias = np.arange(weight.shape[1 if TURNED in text else 0], dtype="<f4")
    if kind == "h5":
        write_hdf5(path, fc=[weight, bias])
    else:
        write_model(path, model_layer("fc", "InnerProduct", weight, bias))
    return f"{name}.prototxt", str(path)


@pytest.mark.parametrize("kind", ["caffemodel", "h5"])
@pytest.mark.parametrize("new", STORED)
@pytest.mark.parametrize("old", STORED)
def test_the_same_function(old: str, new: str, kind: Literal["caffemodel", "h5"]) -> None:
    first, second = written("a", *STORED[old], kind), written("b", *STORED[new])
    result = ns.diff(first, second)
    weight, bias = result.params
    turned = old.startswith("K x O") != new.startswith("K x O")
    shapes = {STORED[name][1].shape for name in (old, new)}
    expected = "transposed" if turned else "equal" if len(shapes) == 1 else "reshaped"
    assert (weight.status, weight.distance, bias.status) == (expected, None, "equal")
    # How it is stored is a difference all the same, of the text and of the params.
    assert result.same is (expected == "equal")


def test_the_words(capsys: pytest.CaptureFixture[str]) -> None:
    first, second = written("a", *STORED["O x K"]), written("b", *STORED["K x O"])
    assert run(["diff", *first, *second]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "different; layers: 1 changed; params: 1 equal, 1 transposed",
        "layer fc (InnerProduct): changed",
        "    inner_product_param.transpose: (none) -> true",
        "param              shape         max difference  relative  norm",
        "fc[0]  transposed  5x12 -> 12x5               0         0     0",
    ]


@pytest.mark.parametrize("at_once", [16, 48, 4 << 20])
@pytest.mark.parametrize(("old", "new"), [("O x K", "K x O"), ("K x O", "O x C x H x W")])
def test_what_differs_is_as_far_apart_as_in_one_storage(
    old: str, new: str, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (columns, blob_statistics):
        monkeypatch.setattr(module, "_AT_ONCE", at_once)
    wrong = WEIGHT.copy()
    wrong[3, 7] += 2
    wrong[0, 1] = np.nan
    text, weight = STORED[new]
    changed = wrong.T if "transpose" in text else wrong.reshape(weight.shape)
    before = written("a", *STORED[old])
    apart = ns.diff(before, written("b", text, np.ascontiguousarray(changed))).params[0]
    plain = written("c", *STORED["O x K"]), written("d", STORED["O x K"][0], wrong)
    assert apart.status == "different"
    assert apart.distance == ns.diff(*plain).params[0].distance
    assert apart.distance is not None
    assert apart.distance.unlike == 2


def test_a_square_weight_of_the_same_bytes_is_another_function(
    capsys: pytest.CaptureFixture[str],
) -> None:
    square = np.random.default_rng(2).standard_normal((12, 12)).astype("<f4")
    first, second = written("a", FC % (12, ""), square), written("b", FC % (12, TURNED), square)
    assert ns.diff(first, second).params[0].status == "different"
    assert run(["verify", *first, *second, "--engine", "embedded"]) == 1
    assert "1 different (fc[0])" in capsys.readouterr().out


def test_a_transpose_that_cannot_be_read_is_compared_as_it_is_stored() -> None:
    first = written("a", *STORED["O x K"])
    second = written("b", FC % (5, "transpose: maybe"), WEIGHT)
    assert [param.status for param in ns.diff(first, second).params] == ["equal", "equal"]
