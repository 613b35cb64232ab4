"""Caffe's fillers as values of an edit: what they draw, and that they draw it again."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import netsurgery as ns
from netsurgery.errors import SurgeryError
from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.surgery.edit.plan import plan_edit
from netsurgery.surgery.edit.values.fillers import VALUES

INPUT = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: [1, 3, 9, 9] } } }\n'
CONV = (
    'layer {{ name: "{name}" type: "Convolution" bottom: "x" top: "{name}" {extra}'
    "convolution_param {{ num_output: 40 kernel_size: 5 weight_filler {{ {filler} }} }} }}\n"
)
SHAPE = (40, 3, 5, 5)


def model(folder: Path, text: str, seed: int = 7) -> tuple[Path, Path]:
    """A net and the weights that `init` gives it."""
    prototxt, weights = folder / "n.prototxt", folder / "n.caffemodel"
    prototxt.write_text(text)
    ns.init(prototxt, weights, seed=seed, force=True)
    return prototxt, weights


def conv(name: str = "conv", filler: str = 'type: "constant"', extra: str = "") -> str:
    return CONV.format(name=name, filler=filler, extra=extra)


def edited(paths: tuple[Path, Path], *operations: str, layer: str = "conv") -> NDArray[np.float32]:
    with NetWithWeights.open(*paths) as opened:
        chunks = plan_edit(opened, operations).changes[layer].data[0]
        assert callable(chunks)
        raw = b"".join(map(bytes, chunks()))
    return np.frombuffer(raw, "<f4").reshape(SHAPE)


@pytest.mark.parametrize(
    ("value", "filler"),
    [
        ("constant:value=0.25", 'type: "constant" value: 0.25'),
        ("gaussian:std=0.01,seed=5", 'type: "gaussian" std: 0.01'),
        ("gaussian:mean=3,sparse=4,seed=5", 'type: "gaussian" mean: 3 sparse: 4'),
        ("uniform:seed=5", 'type: "uniform"'),
        ("uniform:min=-2,max=-1,seed=5", 'type: "uniform" min: -2 max: -1'),
        ("xavier:seed=5", 'type: "xavier"'),
        ("xavier:seed=5,variance_norm=average", 'type: "xavier" variance_norm: AVERAGE'),
        ("msra:seed=5", 'type: "msra"'),
        ("msra:variance_norm=FAN_OUT,seed=5", 'type: "msra" variance_norm: FAN_OUT'),
        ("positive_unitball:seed=5", 'type: "positive_unitball"'),
        ("bilinear", 'type: "bilinear"'),
    ],
)
def test_an_edit_draws_what_init_draws(tmp_path: Path, value: str, filler: str) -> None:
    plain, filled = tmp_path / "plain", tmp_path / "filled"
    plain.mkdir()
    filled.mkdir()
    drawn = edited(model(plain, INPUT + conv()), f"conv[0]={value}")
    with ns.Net(*model(filled, INPUT + conv(filler=filler), seed=5)) as net:
        np.testing.assert_array_equal(drawn, np.asarray(net.params["conv"][0][...]))


def test_the_numbers_are_the_same_everywhere(tmp_path: Path) -> None:
    """Held to what they were when this was written, on whatever machine that was."""
    values = edited(model(tmp_path, INPUT + conv()), "conv[0]=msra:seed=1")
    assert hashlib.sha256(values.tobytes()).hexdigest().startswith(GOLDEN)
    assert values.std() == pytest.approx((2 / 75) ** 0.5, rel=0.05)


GOLDEN = "b23e991f432a6d82"


def test_a_part_gets_what_the_whole_has_there(tmp_path: Path) -> None:
    paths = model(tmp_path, INPUT + conv())
    whole = edited(paths, "conv[0]=xavier:seed=3")
    part = edited(paths, "conv[0][2:4,...,1:-1]=xavier:seed=3")
    np.testing.assert_array_equal(part[2:4, ..., 1:-1], whole[2:4, ..., 1:-1])
    assert np.count_nonzero(part) == 2 * 3 * 5 * 3


def test_layers_have_numbers_of_their_own_and_shared_params_the_same(tmp_path: Path) -> None:
    shared = 'param { name: "w" } '
    text = INPUT + conv("a") + conv("b") + conv("c", extra=shared) + conv("d", extra=shared)
    paths = model(tmp_path, text)
    alone = {name: edited(paths, f"{name}[0]=msra:seed=1", layer=name) for name in "abcd"}
    assert not np.array_equal(alone["a"], alone["b"])
    np.testing.assert_array_equal(alone["c"], alone["d"])


def test_a_seed_that_is_left_out_is_zero_and_reported(tmp_path: Path) -> None:
    paths = model(tmp_path, INPUT + conv())
    np.testing.assert_array_equal(
        edited(paths, "conv[0]=msra"), edited(paths, "conv[0]=msra:seed=0")
    )
    with NetWithWeights.open(*paths) as opened:
        (step,) = plan_edit(opened, ["conv[0]=msra"]).steps
    assert step.params[0].seed == 0
    assert list(step.lines())[1] == "  conv[0]: 3000 of 3000 values change (msra, seed 0)"


@pytest.mark.parametrize(
    ("value", "what"),
    [
        ("msra:seed=-1", "msra: seed=-1, expected a whole number, 0 or more"),
        ("msra:seed=x", "msra: seed=x, expected a whole number, 0 or more"),
        ("msra:std=1", "msra has no option 'std'; it takes variance_norm, seed"),
        ("constant:seed=1", "constant has no option 'seed'; it takes value"),
        ("msra:variance_norm=out", "msra: variance_norm=OUT, expected one of FAN_IN, FAN_OUT, "),
        ("gaussian:std=0", "layer 'conv': param 0: gaussian with std 0; expected more than 0"),
        ("gaussian:std=a", "gaussian: std=a, expected a number"),
        ("gaussian:std=1,sparse=50", "layer 'conv': param 0: sparse: 50 of 40 outputs; "),
        ("gaussian:std=1,sparse=a", "gaussian: sparse=a, expected a whole number"),
        ("gaussian", "conv[0]: gaussian needs sigma, as in gaussian:sigma=1; with std= it draws"),
        ("uniform:min=2,max=1", "layer 'conv': param 0: uniform from 2 to 1; expected min <= max"),
        ("mrsa", "found 'mrsa' after =, expected a number or npy:FILE; values zero, "),
    ],
)
def test_refusals(tmp_path: Path, value: str, what: str) -> None:
    paths = model(tmp_path, INPUT + conv())
    with NetWithWeights.open(*paths) as opened, pytest.raises(SurgeryError) as caught:
        plan_edit(opened, [f"conv[0]={value}"])
    assert str(caught.value).startswith(f"conv[0]={value}: {what}")


def test_a_mistyped_filler_is_guessed(tmp_path: Path) -> None:
    paths = model(tmp_path, INPUT + conv())
    with NetWithWeights.open(*paths) as opened, pytest.raises(SurgeryError) as caught:
        plan_edit(opened, ["conv[0]=xaver"])
    assert str(caught.value).endswith("; did you mean xavier?")


def test_a_bias_and_a_single_number_are_filled_too(tmp_path: Path) -> None:
    bias = f'{INPUT}{conv()}layer {{ name: "p" type: "PReLU" bottom: "conv" top: "p" '
    bias += "prelu_param { channel_shared: true } }\n"
    paths = model(tmp_path, bias)
    for target in ("conv[1]", "p[0]"):
        for value in VALUES:
            with NetWithWeights.open(*paths) as opened:
                (step,) = plan_edit(opened, [f"{target}={value.example}"]).steps
            assert step.params[0].changed, (target, value.name)
