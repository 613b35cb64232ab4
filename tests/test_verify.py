"""Two nets compared, on the embedded engine; cli/ and parity/ have more."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import netsurgery as ns
from netsurgery.cli import run
from netsurgery.engines.contract import EngineOptions
from netsurgery.errors import NetError
from netsurgery.formats.caffemodel import Caffemodel
from netsurgery.formats.prototxt import Prototxt
from netsurgery.net.net import NetDefinition
from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.verbs.array_difference import Difference, difference_between
from netsurgery.verbs.convert import convert
from netsurgery.verbs.verify import verify_models
from netsurgery.verbs.verify_inputs import Samples, pair_inputs
from netsurgery.verbs.verify_result import Verification

EMBEDDED = EngineOptions(choice="embedded")


def array(*values: float) -> Any:
    return np.array(values, np.float32)


@pytest.mark.parametrize(
    ("a", "b", "absolute", "relative"),
    [
        (array(1, -4), array(1, -4), 0, 0),
        (array(1, -4), array(1, -3), 1, 0.25),
        (array(0, 0), array(0, 0), 0, 0),
        (array(0, -0.0), array(-0.0, 0), 0, 0),
        (array(0, 0), array(0, 1), 1, math.inf),
        (array(1), array(1, 1), math.inf, math.inf),
        (array(1, math.nan), array(1, math.nan), 0, 0),
        (array(1, math.nan), array(1, math.inf), 0, 0),
        (array(2, math.nan, -math.inf), array(1, math.nan, -math.inf), 1, 0.5),
        (array(1, 2), array(1, math.nan), math.inf, math.inf),
        (array(2, math.inf), array(1, math.inf), 1, 0.5),
        (array(2, math.inf), array(2, -math.inf), math.inf, math.inf),
        (array(2, 3), array(2, math.inf), math.inf, math.inf),
        (array(), array(), 0, 0),
    ],
)
def test_gaps(a: Any, b: Any, absolute: float, relative: float) -> None:
    gap = difference_between(a, b)
    assert (gap.absolute, gap.relative) == (absolute, relative)
    assert gap.within(0) == (relative == 0)


def test_gaps_do_not_mind_shapes() -> None:
    numbers = np.arange(6, dtype=np.float32)
    gap = difference_between(numbers.reshape(1, 6), numbers.reshape(1, 6, 1, 1))
    assert (gap.relative, gap.shape, gap.new_shape) == (0, (1, 6), (1, 6, 1, 1))


def net(*inputs: str, layers: str = "") -> NetDefinition:
    text = "".join(
        f'input: "{name}" ' for name, _ in (name_and_shape.split("=") for name_and_shape in inputs)
    ) + "".join(
        f"input_shape {{ dim: [{shape.replace('x', ',')}] }} "
        for _, shape in (name_and_shape.split("=") for name_and_shape in inputs)
    )
    return NetDefinition.of(Prototxt.parse(text + layers, "net.prototxt"))


@pytest.mark.parametrize(
    ("old", "new", "names", "shapes"),
    [
        (["a=1x3x8x8"], ["a=1x3x8x8"], {"a": "a"}, {"a": (1, 3, 8, 8)}),
        (["a=64x3x8x9"], ["b=1x3x20x20"], {"a": "b"}, {"a": (1, 3, 8, 9)}),
        (["a=1x3x20x8"], ["a=1x3x8x20"], {"a": "a"}, {"a": (1, 3, 8, 8)}),
        (["a=4x5", "b=4x6"], ["b=2x6", "a=2x5"], {"a": "a", "b": "b"}, {"a": (2, 5), "b": (2, 6)}),
        (["a=1x5", "b=1x6"], ["c=1x5", "d=1x6"], {"a": "c", "b": "d"}, {"a": (1, 5), "b": (1, 6)}),
    ],
)
def test_inputs_are_paired(
    old: list[str], new: list[str], names: dict[str, str], shapes: dict[str, tuple[int, ...]]
) -> None:
    assert pair_inputs(net(*old), net(*new)) == (names, shapes)


def test_a_net_made_for_its_batch_alone_is_compared_at_that() -> None:
    """As nets are whose Reshape says the number of images."""
    fixed = 'layer { name: "r" type: "Reshape" bottom: "a" top: "r" reshape_param { shape { '
    fixed += "dim: 10 dim: 12 } } }"
    batched, single = net("a=10x3x2x2", layers=fixed), net("b=1x3x6x6")
    assert pair_inputs(batched, single) == ({"a": "b"}, {"a": (10, 3, 2, 2)})
    assert pair_inputs(single, batched) == ({"b": "a"}, {"b": (10, 3, 2, 2)})
    # Where no batch goes through both, it is the smaller one, and its error that is reported.
    against = net("a=7x3x2x2", layers=fixed.replace("dim: 10", "dim: 7"))
    assert pair_inputs(batched, against)[1] == {"a": (7, 3, 2, 2)}


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        (
            ["a=1x3x8x8"],
            ["a=1x1x8x8"],
            "input 'a' is 1x3x8x8 in net.prototxt, 1x1x8x8 in net.prototxt; "
            "the same input must go into both",
        ),
        (
            ["a=1x5"],
            ["a=1x6"],
            "input 'a' is 1x5 in net.prototxt, 1x6 in net.prototxt; "
            "the same input must go into both",
        ),
        (
            ["a=1x5"],
            ["a=1x5", "b=1x5"],
            "net.prototxt declares 1 input, net.prototxt 2; the same input must go into both nets",
        ),
        (
            ["a=1x5"],
            [],
            "net.prototxt declares no input; the same input must go into both nets",
        ),
        (
            [],
            [],
            "net.prototxt declares no input; the same input must go into both nets",
        ),
    ],
)
def test_inputs_that_cannot_be_the_same(old: list[str], new: list[str], what: str) -> None:
    with pytest.raises(NetError) as caught:
        pair_inputs(net(*old), net(*new))
    assert str(caught.value) == what


def test_random_inputs_are_the_same_every_time() -> None:
    definition = net("a=2x3")
    first, again = (
        list(Samples(random=3, seed=5).feeds(definition, {"a": (2, 3)})) for _ in range(2)
    )
    other_feed = next(Samples(random=1, seed=6).feeds(definition, {"a": (2, 3)}))
    assert len(first) == 3
    assert all((a["a"] == b["a"]).all() for a, b in zip(first, again, strict=True))
    assert len({feed["a"].tobytes() for feed in [*first, other_feed]}) == 4
    assert first[0]["a"].dtype == np.float32


def test_inputs_that_are_not_just_any_numbers() -> None:
    """Word numbers stay in the vocabulary; a sequence begins at its first step only."""
    layers = (
        'layer { name: "e" type: "Embed" bottom: "words" top: "e" '
        "embed_param { num_output: 2 input_dim: 4 } }"
        'layer { name: "l" type: "LSTM" bottom: "e" bottom: "cont" top: "l" '
        "recurrent_param { num_output: 3 } }"
    )
    definition = net("words=50x1", "cont=50x1", layers=layers)
    feed = next(Samples().feeds(definition, {"words": (50, 1), "cont": (50, 1)}))
    assert set(feed["words"].ravel()) == {0, 1, 2, 3}
    assert feed["cont"].ravel().tolist() == [0, *[1] * 49]


class Files(NamedTuple):
    """A prototxt and its weights."""

    prototxt: Path
    weights: Path


@pytest.fixture
def digits(repo_root: Path) -> Files:
    return Files(
        repo_root / "prototxt" / "digits_deploy.prototxt",
        repo_root / "models" / "digits" / "digits.caffemodel",
    )


@pytest.fixture
def full_conv(digits: Files, tmp_path: Path) -> Files:
    paths = convert(digits.prototxt, digits.weights, tmp_path, engine=EMBEDDED).paths
    return Files(paths.prototxt, paths.weights)


def tampered(
    model: Files, layer: str, value: float, folder: Path, *, blob: int = 0, at: int = 288
) -> Files:
    """A copy in which one number of a layer's params is another."""
    with Caffemodel.open(model.weights) as weights:
        packed = weights.layer(layer).blobs[blob].packed
        assert packed is not None
    content = bytearray(model.weights.read_bytes())
    start = packed[0] + 4 * at
    content[start : start + 4] = np.float32(value).tobytes()
    path = folder / f"tampered_{layer}.caffemodel"
    path.write_bytes(content)
    return model._replace(weights=path)


def compared(old: Files, new: Files, **options: Any) -> Verification:
    with NetWithWeights.open(*old) as old_net, NetWithWeights.open(*new) as new_net:
        return verify_models(old_net, new_net, Samples(), [EMBEDDED], **options)


def test_a_converted_net_is_the_same_function(digits: Files, full_conv: Files) -> None:
    verification = compared(digits, full_conv)
    assert verification.same
    assert verification.first_difference is None
    assert verification.explanation == ""
    assert verification.inputs == {"data": (1, 1, 32, 32)}
    pairs = [("ip2", "ip2-conv"), ("prob", "prob")]
    assert [(output.blob, output.new_blob) for output in verification.outputs] == pairs
    assert [(output.check.blob, output.check.new_blob) for output in verification.maps] == pairs
    assert {output.status for output in verification.params} == {"equal", "reshaped"}
    for class_map in verification.maps:
        assert class_map.check.reasons == ()
        assert class_map.check.shape == (1, 1, 88, 88)
        assert (class_map.check.stride, class_map.check.cells) == ((8, 8), (8, 8))
        assert (class_map.compared, class_map.agreeing) == (64, 64)
        assert class_map.difference.relative < 1e-5


def test_the_first_blob_that_departs_is_named(
    digits: Files, full_conv: Files, tmp_path: Path
) -> None:
    verification = compared(digits, tampered(full_conv, "conv2", 3.0, tmp_path))
    assert not verification.same
    assert verification.first_difference is not None
    assert (verification.first_difference.blob, verification.first_difference.layer) == (
        "conv2",
        "conv2",
    )
    different = [param for param in verification.params if param.status == "different"]
    assert [(param.layer, param.index) for param in different] == [("conv2", 0)]
    assert re.fullmatch(
        r"blob 'conv2' of layer 'conv2' is the first that differs, by \S+ relative; "
        r"'prob' differs by \S+",
        verification.explanation,
    )


def test_a_renamed_layer_departs_too(digits: Files, full_conv: Files, tmp_path: Path) -> None:
    verification = compared(digits, tampered(full_conv, "ip1-conv", 30.0, tmp_path, blob=1, at=3))
    assert verification.first_difference is not None
    assert (verification.first_difference.blob, verification.first_difference.new_blob) == (
        "ip1",
        "ip1-conv",
    )


def test_numbers_that_are_not_finite_in_both_are_said_to_be(digits: Files, tmp_path: Path) -> None:
    """And are no reason to call the nets different; where nothing else is there, nor the same."""
    broken = tampered(digits, "ip2", math.nan, tmp_path)
    verification = compared(broken, broken)
    assert verification.not_finite is not None
    assert (verification.not_finite.blob, verification.not_finite.difference.not_finite) == (
        "ip2",
        1,
    )
    assert verification.first_difference is None
    by_blob = {output.blob: output.difference for output in verification.outputs}
    assert (by_blob["ip2"].not_finite, by_blob["ip2"].relative) == (1, 0)
    # Of ip2 one number is NaN, and so is all of the Softmax behind it.
    assert by_blob["prob"].empty
    assert (verification.same, verification.verified) == (True, False)
    assert [(output.blob, output.what) for output in verification.unchecked] == [("prob", "output")]
    assert not any("is all zeros" in note for note in verification.notes)


def test_numbers_that_are_not_finite_in_one_net_depart(digits: Files, tmp_path: Path) -> None:
    verification = compared(digits, tampered(digits, "ip2", math.nan, tmp_path))
    assert not verification.same
    assert verification.not_finite is None
    assert verification.outputs[0].difference.relative == math.inf
    apart = "numbers that are finite in one net only"
    assert verification.explanation == (
        f"blob 'ip2' of layer 'ip2' is the first that differs, {apart}; 'prob' differs, {apart}"
    )


def test_other_shapes_are_named(full_conv: Files, tmp_path: Path) -> None:
    """A map and a finer one: no number says how far they are apart."""
    finer = tmp_path / "finer.prototxt"
    ns.dense(full_conv.prototxt, finer, stride=4)
    verification = compared(full_conv, Files(finer, full_conv.weights))
    assert not verification.same
    assert verification.explanation == "'ip2-conv' differs, 1x11x8x8 in A, 1x11x15x15 in B"
    *_, row = verification.table().lines()
    assert row.split() == ["prob", "prob", "1x11x8x8", "->", "1x11x15x15", "shapes", "differ"]


def test_tolerance(digits: Files, tmp_path: Path) -> None:
    tampered_net = tampered(digits, "conv2", 3.0, tmp_path)
    far = max(output.difference.relative for output in compared(digits, tampered_net).outputs)
    assert far > 1e-5
    assert compared(digits, tampered_net, tolerance=far).same
    assert not compared(digits, tampered_net, tolerance=far / 2).same


def test_the_larger_net_may_come_first(digits: Files, full_conv: Files) -> None:
    verification = compared(full_conv, digits)
    assert verification.same
    assert verification.inputs == {"data": (1, 1, 32, 32)}
    assert verification.maps == ()
    assert verification.notes == (
        f"{full_conv.prototxt} declares 1x1x88x88, compared at 1x1x32x32: what it gives of a "
        "larger input is compared only where it is the second net",
    )


def test_a_map_decides_unless_there_is_a_reason(digits: Files, full_conv: Files) -> None:
    verification = compared(digits, full_conv)
    class_map = verification.maps[0]
    apart = replace(
        class_map,
        difference=Difference(
            class_map.difference.shape, class_map.difference.new_shape, 1.0, 0.25
        ),
    )
    wrong = replace(verification, maps=(apart,))
    assert not wrong.same
    assert wrong.explanation == (
        "cells of the map 'ip2-conv' differ by 0.25 relative from the classifier on their windows"
    )
    padded = replace(apart, check=replace(apart.check, reasons=("'conv1' pads by 1",)))
    assert replace(verification, maps=(padded,)).same


def test_a_net_that_is_small_but_grows(digits: Files, full_conv: Files) -> None:
    """Its own input is no larger than A's: a map of a few cells is asked for all the same."""
    text = full_conv.prototxt.read_text().replace("dim: 88 dim: 88", "dim: 32 dim: 32")
    full_conv.prototxt.write_text(text)
    class_map, _ = compared(digits, full_conv).maps
    assert class_map.check.shape == (1, 1, 48, 48)
    assert class_map.check.cells == (3, 3)


def test_a_classifier_gives_no_map(digits: Files) -> None:
    verification = compared(digits, digits)
    assert verification.same
    assert verification.maps == ()
    assert verification.outputs[0].difference.absolute == 0


def test_outputs_of_other_names_are_paired_in_order(digits: Files, tmp_path: Path) -> None:
    text = digits.prototxt.read_text()
    path = tmp_path / "renamed.prototxt"
    path.write_text(text.replace('top: "prob"', 'top: "answer"'))
    verification = compared(digits, Files(path, digits.weights))
    assert [(output.blob, output.new_blob) for output in verification.outputs] == [
        ("ip2", "ip2"),
        ("prob", "answer"),
    ]
    assert verification.same


def test_nets_without_outputs_are_not_the_same_for_that(digits: Files, tmp_path: Path) -> None:
    path = tmp_path / "silent.prototxt"
    text = digits.prototxt.read_text()
    path.write_text(text + 'layer { name: "s" type: "Silence" bottom: "prob" }\n')
    silent = Files(path, digits.weights)
    with pytest.raises(NetError, match=r"silent\.prototxt: the net has no output that could be"):
        compared(silent, silent)


def test_an_output_without_a_partner(digits: Files, tmp_path: Path) -> None:
    text = digits.prototxt.read_text()
    path = tmp_path / "split.prototxt"
    path.write_text(
        text.replace('top: "prob"', 'top: "a"')
        + 'layer { name: "again" type: "TanH" bottom: "ip2" top: "b" }\n'
    )
    verification = compared(digits, Files(path, digits.weights))
    assert verification.outputs[-1].new_blob == "a"  # the layer of its name makes it
    with pytest.raises(NetError) as caught:
        compared(Files(path, digits.weights), digits)
    assert str(caught.value) == (
        f"output 'b' of {path} has no partner in {digits.prototxt}: "
        "the outputs are 'a', 'b' and 'prob'"
    )


def test_outputs_more_are_reported(digits: Files, tmp_path: Path) -> None:
    path = tmp_path / "more.prototxt"
    path.write_text(
        digits.prototxt.read_text() + 'layer { name: "t" type: "TanH" bottom: "ip2" top: "t" }\n'
    )
    assert compared(digits, Files(path, digits.weights)).notes == (
        f"{path} has one more output, 't'",
    )


def test_a_softmax_hides_no_difference(digits: Files, tmp_path: Path) -> None:
    """Where one class is certain beyond float32, its probability is 1 whatever its score."""
    sure = []
    for score in (1e4, 2e4):
        folder = tmp_path / str(score)
        folder.mkdir()
        sure.append(tampered(digits, "ip2", score, folder, blob=1, at=10))
    verification = compared(*sure)
    scores, prob = verification.outputs
    assert prob.difference.relative == 0
    assert scores.difference.relative > 0.5
    assert not verification.same


def test_a_softmax_in_place_is_said_to_hide_what_goes_into_it(
    digits: Files, tmp_path: Path
) -> None:
    path = tmp_path / "in_place.prototxt"
    text = digits.prototxt.read_text()
    path.write_text(text.replace('top: "prob"', 'top: "ip2"'))
    verification = compared(Files(path, digits.weights), Files(path, digits.weights))
    assert [(output.blob, output.new_blob) for output in verification.outputs] == [("ip2", "ip2")]
    assert verification.notes == (
        "Softmax 'prob' makes 'ip2' in place and may hide differences: what goes into it was not "
        "compared",
    )


def test_a_blob_that_departs_within_is_reported_and_does_not_decide(
    digits: Files, tmp_path: Path
) -> None:
    """Twice the numbers, and half the weights behind them."""
    text = digits.prototxt.read_text()
    at = text.index('layer { name: "prob"')
    scaled = []
    for name, factors in (("a", (1, 1)), ("b", (2, 0.5))):
        path = tmp_path / f"{name}.prototxt"
        first, two = (f"power_param {{ scale: {factor} }}" for factor in factors)
        path.write_text(
            text[:at] + f'layer {{ name: "up" type: "Power" bottom: "ip2" top: "up" {first} }}\n'
            f'layer {{ name: "down" type: "Power" bottom: "up" top: "down" {two} }}\n'
            'layer { name: "prob" type: "Softmax" bottom: "down" top: "prob" }\n'
        )
        scaled.append(Files(path, digits.weights))
    verification = compared(*scaled)
    assert verification.same
    assert verification.first_difference is not None
    assert (
        verification.first_difference.blob,
        verification.first_difference.difference.relative,
    ) == ("up", 1)
    assert verification.explanation == (
        "blob 'up' of layer 'up' is the first that differs, by 1 relative"
    )


def test_an_output_with_nothing_in_it_is_reported(tmp_path: Path) -> None:
    """Nets are equal, too, where nothing was put into either."""
    path = tmp_path / "zero.prototxt"
    path.write_text(
        'input: "x" input_shape { dim: [1, 3] }\n'
        'layer { name: "fc" type: "InnerProduct" bottom: "x" top: "fc" '
        "inner_product_param { num_output: 2 } }\n"
    )
    assert run(["init", str(path), "-o", str(tmp_path / "zero.caffemodel"), "-q"]) == 0
    zero = Files(path, tmp_path / "zero.caffemodel")
    verification = compared(zero, zero)
    assert verification.same
    assert verification.notes == ("'fc' is all zeros; does the first net have its weights?",)


def test_a_net_for_one_batch_alone_is_compared_without_a_map(tmp_path: Path) -> None:
    path = tmp_path / "batch.prototxt"
    path.write_text(
        'input: "x" input_shape { dim: [4, 1, 6, 6] }\n'
        'layer { name: "flat" type: "Reshape" bottom: "x" top: "flat" '
        "reshape_param { shape { dim: [4, 36] } } }\n"
        'layer { name: "fc" type: "InnerProduct" bottom: "flat" top: "fc" '
        'inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }\n'
    )
    assert run(["init", str(path), "-o", str(tmp_path / "batch.caffemodel"), "-q"]) == 0
    verification = compared(*[Files(path, tmp_path / "batch.caffemodel")] * 2)
    assert verification.same
    assert verification.inputs == {"x": (4, 1, 6, 6)}
    assert verification.maps == ()


def test_a_map_without_a_finite_number_is_not_said_to_agree(
    repo_root: Path, tmp_path: Path
) -> None:
    """All cells overflow alike in both nets, and of nothing the first class is the best."""
    prototxt = repo_root / "prototxt/digits_deploy.prototxt"
    spoiled = tmp_path / "spoiled.caffemodel"
    with ns.Net(prototxt, repo_root / "models/digits/digits.caffemodel") as opened:
        opened.params["ip1"][1][:] = 3e38
        opened.params["ip2"][0][:] = 10
        opened.save(spoiled)
    result = convert(prototxt, spoiled, tmp_path / "o", engine=EMBEDDED, verify=True)
    assert result.verification is not None
    assert result.verification.maps == ()
    unchecked = {(each.what, each.new_blob): each.why for each in result.verification.unchecked}
    why = "none of its numbers is finite in either net"
    assert unchecked == dict.fromkeys(product(["map", "output"], ["ip2-conv", "prob"]), why)
