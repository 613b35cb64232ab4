"""Weights moved between nets that lay the same map in different orders."""

from __future__ import annotations

import json
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from small_models import model_layer, write_model

from netsurgery.cli import run
from netsurgery.errors import SurgeryError
from netsurgery.formats.weights import open_weights
from netsurgery.verbs.transplant import transplant

Array = NDArray[np.float32]

MAP = (4, 3, 2)
HEAD = (
    'input: "data" input_shape { dim: [1, 2, 7, 5] }\n'
    'layer { name: "c" type: "Convolution" bottom: "data" top: "c" '
    "convolution_param { num_output: 4 kernel_size: 3 stride: 2 } }\n"
)  # 4 x 3 x 2
WEIGHT = np.random.default_rng(1).standard_normal((5, *MAP)).astype("<f4")
BIAS = np.arange(5, dtype="<f4")
FIRST = np.random.default_rng(2).standard_normal((4, 2, 3, 3)).astype("<f4"), BIAS[:4]


def permute(order: tuple[int, ...]) -> str:
    axes = ", ".join(str(axis + 1) for axis in order)
    return (
        'layer { name: "p" type: "Permute" bottom: "c" top: "p" '
        f"permute_param {{ order: [0, {axes}] }} }}\n"
        'layer { name: "f" type: "Flatten" bottom: "p" top: "f" }\n'
    )


def fc(bottom: str, turned: bool = False, outputs: int = 5) -> str:
    more = "transpose: true" if turned else ""
    return (
        f'layer {{ name: "fc" type: "InnerProduct" bottom: "{bottom}" top: "fc" '
        f"inner_product_param {{ num_output: {outputs} {more} }} }}\n"
    )


CONVOLVED = (
    'layer { name: "fc" type: "Convolution" bottom: "c" top: "fc" '
    "convolution_param { num_output: 5 kernel_h: 3 kernel_w: 2 } }\n"
)


def laid(order: tuple[int, ...], turned: bool = False) -> Array:
    """The weight as an InnerProduct behind a Permute of this order has it."""
    rows = WEIGHT.transpose(0, *(axis + 1 for axis in order)).reshape(5, -1)
    return np.ascontiguousarray(rows.T if turned else rows)


#: A net -> its text behind HEAD, and the weight that makes all of them the same function.
NETS: dict[str, tuple[str, Array]] = {
    "convolution": (CONVOLVED, WEIGHT),
    "map": (fc("c"), laid((0, 1, 2))),
    "map, turned": (fc("c", turned=True), laid((0, 1, 2), turned=True)),
    **{
        f"{order}{', turned' * turned}": (permute(order) + fc("f", turned), laid(order, turned))
        for order in list(permutations(range(3)))[1:]
        for turned in (False, True)
    },
}


def written(folder: Path, name: str, text: str, weight: Array) -> tuple[Path, Path]:
    prototxt, model = folder / f"{name}.prototxt", folder / f"{name}.caffemodel"
    prototxt.write_text(HEAD + text)
    layers = model_layer("c", "Convolution", *FIRST), model_layer("fc", "X", weight, BIAS)
    return prototxt, write_model(model, *layers)


@pytest.mark.parametrize("target", NETS)
@pytest.mark.parametrize("source", NETS)
def test_every_net_into_every_other(source: str, target: str, tmp_path: Path) -> None:
    old = written(tmp_path, "old", *NETS[source])
    new = written(tmp_path, "new", NETS[target][0], np.zeros_like(NETS[target][1]))
    with transplant(old, (new[0], None), tmp_path / "out.caffemodel") as result:
        outcomes = {t.target: t.outcome for t in result.transfers}
    with open_weights(tmp_path / "out.caffemodel") as weights:
        params = {layer.name: [blob.numpy() for blob in layer.blobs] for layer in weights.layers}
    assert params["fc"][0].shape == NETS[target][1].shape
    assert params["fc"][0].tobytes() == NETS[target][1].tobytes()
    assert params["fc"][1].tobytes() == BIAS.tobytes()
    plain = {"convolution", "map", "map, turned"}
    moved = source.removesuffix(", turned") != target.removesuffix(", turned")
    both = {source, target} <= plain
    assert (outcomes["fc", 0] == "reordered") is (moved and not both)


def test_both_nets_agree(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, target = NETS["(1, 2, 0)"], NETS["convolution"]
    old = written(tmp_path, "old", *source)
    new = written(tmp_path, "new", target[0], np.zeros_like(target[1]))
    out = tmp_path / "out.caffemodel"
    ends = [str(path) for path in (*old, new[0])]
    assert run(["transplant", *ends, "-o", str(out)]) == 0
    assert "1 reordered" in capsys.readouterr().out
    assert run(["verify", *ends, str(out), "--engine", "embedded"]) == 0
    printed = capsys.readouterr().out
    assert "params: 3 equal, 1 reordered\n" in printed
    assert (
        "note: the columns of 'fc' lie in another order in the second net, which the same "
        "function needs: the two nets lay out the map before it differently"
    ) in printed
    assert run(["verify", *ends, str(out), "--engine", "embedded", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert [param["status"] for param in facts["params"]] == [
        "equal",
        "equal",
        "reordered",
        "equal",
    ]


@pytest.mark.parametrize("pair", [("map, turned", "convolution"), ("map", "map, turned")])
def test_a_weight_stored_inputs_by_outputs_is_the_same(
    pair: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = (written(tmp_path, str(i), *NETS[name]) for i, name in enumerate(pair))
    wrong_weight = NETS[pair[1]][1].copy()
    wrong_weight.flat[-1] += 1
    wrong = written(tmp_path, "wrong", NETS[pair[1]][0], wrong_weight)
    for old, new, code, words in (
        (first, second, 0, "params: 3 equal, 1 transposed\n"),
        (second, first, 0, "params: 3 equal, 1 transposed\n"),
        (first, wrong, 1, "params: 3 equal, 1 different (fc[0])\n"),
    ):
        ends = [str(path) for path in (*old, *new)]
        assert run(["verify", *ends, "--engine", "embedded"]) == code
        assert words in capsys.readouterr().out
    ends = [str(path) for path in (*first, *second)]
    assert run(["verify", *ends, "--engine", "embedded", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert sorted(param["status"] for param in facts["params"]) == ["equal"] * 3 + ["transposed"]


def test_numbers_that_differ_are_different_in_any_order(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = written(tmp_path, "old", *NETS["(1, 2, 0)"])
    changed = WEIGHT.copy()
    changed[4, 3, 2, 1] += 1
    new = written(tmp_path, "new", CONVOLVED, changed)
    ends = [str(path) for path in (*old, *new)]
    assert run(["verify", *ends, "--engine", "embedded"]) == 1
    assert "params: 3 equal, 1 different (fc[0])" in capsys.readouterr().out


def refused(tmp_path: Path, source: str, target: str, shape: tuple[int, ...]) -> str:
    old = written(tmp_path, "old", source, WEIGHT.reshape(5, -1))
    new = written(tmp_path, "new", target, np.zeros(shape, "<f4"))
    with pytest.raises(SurgeryError) as caught:
        transplant(old, new)
    return str(caught.value).split(": ", 1)[1]


def test_another_map_is_refused(tmp_path: Path) -> None:
    """2 x 4 x 3 has as many numbers."""
    smaller_head = HEAD.replace("num_output: 4", "num_output: 2").replace("7, 5", "9, 7")
    target = smaller_head[len(HEAD.splitlines()[0]) + 1 :].replace('"c"', '"d"') + fc("d")
    target = target.replace('bottom: "data"', 'bottom: "e"')
    wide = 'input: "e" input_shape { dim: [1, 2, 9, 7] }\n'
    message = refused(tmp_path, permute((1, 2, 0)) + fc("f"), wide + target, (5, 24))
    assert message == (
        "layer 'fc': param 0 is for a window of 4x3x2, expected one for 2x4x3 (in 'fc')"
    )


def test_an_order_that_is_lost_is_refused(tmp_path: Path) -> None:
    lost = (
        'layer { name: "r" type: "Reshape" bottom: "c" top: "r" '
        "reshape_param { shape { dim: [0, 2, 2, -1, 1] } } }\n"
        'layer { name: "p" type: "Permute" bottom: "r" top: "p" '
        "permute_param { order: [0, 2, 1] } }\n"
        'layer { name: "f" type: "Flatten" bottom: "p" top: "f" }\n'
    )
    message = refused(tmp_path, lost + fc("f"), CONVOLVED, WEIGHT.shape)
    assert message == (
        "layer 'fc': param 0: the order of the columns of one of the two is not known (in 'fc')"
    )
    old = written(tmp_path, "old", lost + fc("f"), WEIGHT.reshape(5, -1))
    with transplant(old, (old[0], None)) as result:  # to itself it goes
        assert result.counts["copied"] == 4


def test_fewer_outputs_are_cut_only_where_columns_lie_alike(tmp_path: Path) -> None:
    permuted = permute((1, 2, 0)) + fc("f")
    less = permute((1, 2, 0)) + fc("f", outputs=3)
    old = written(tmp_path, "old", permuted, WEIGHT.reshape(5, -1))
    prototxt, model = tmp_path / "less.prototxt", tmp_path / "less.caffemodel"
    prototxt.write_text(HEAD + less)
    small = model_layer("fc", "X", np.zeros((3, 24), "<f4"), BIAS[:3])
    write_model(model, model_layer("c", "Convolution", *FIRST), small)
    with transplant(old, (prototxt, model), cut=True) as result:
        assert result.counts["sliced"] == 2
    prototxt.write_text(HEAD + fc("c", outputs=3))
    with pytest.raises(SurgeryError, match="param 0 is 5x24, expected 3x24 with columns in order"):
        transplant(old, (prototxt, model), cut=True)
