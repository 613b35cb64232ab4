"""Which layers a net's state includes; parity/test_state.py has Caffe judge the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from netsurgery.cli import run
from netsurgery.errors import NetError, NetsurgeryError, PrototxtError
from netsurgery.formats.prototxt import Prototxt
from netsurgery.net.net import NetDefinition
from netsurgery.net.state import NetState

#: Messages are compared as the command words them.
pytestmark = pytest.mark.usefixtures("option_names")

TWO_STAGES = """
layer { name: "a" type: "Data" top: "x" include { stage: "a" } }
layer { name: "b" type: "Data" top: "x" exclude { not_stage: "b" } }
layer { name: "r" type: "ReLU" bottom: "x" top: "y" }
"""


def net(text: str, *state_arguments: object) -> NetDefinition:
    return NetDefinition.of(Prototxt.parse(text, "n.prototxt"), NetState(*state_arguments))  # type: ignore[arg-type]


def is_included(rules: str, *state_arguments: object, state: str = "") -> bool:
    layer = f'layer {{ name: "r" type: "ReLU" bottom: "x" top: "y" {rules} }}'
    always = 'layer { name: "s" type: "ReLU" bottom: "x" top: "z" }'
    return len(net(f'{state} input: "x" {layer} {always}', *state_arguments).layers) > 1


@pytest.mark.parametrize(
    ("rules", "state_arguments", "expected"),
    [
        ("include { }", ("TEST",), True),
        ("exclude { }", ("TEST",), False),
        ("include { phase: 1 }", ("TEST",), True),
        ("include { stage: 'a' }", ("TEST", 0, ("a",)), True),
        ("include { stage: 'a' stage: 'b' }", ("TEST", 0, ("a",)), False),
        ("include { stage: 'a' } include { stage: 'b' }", ("TEST", 0, ("b",)), True),
        ("include { not_stage: 'a' }", ("TEST",), True),
        ("include { not_stage: 'a' not_stage: 'b' }", ("TEST", 0, ("b",)), False),
        ("exclude { stage: 'a' phase: TRAIN }", ("TEST", 0, ("a",)), True),
        ("include { min_level: 2 max_level: 3 }", ("TEST", 1), False),
        ("include { min_level: 2 max_level: 3 }", ("TEST", 2), True),
        ("include { min_level: 2 max_level: 3 }", ("TEST", 4), False),
        ("include { max_level: -2 }", ("TEST", -2), True),
    ],
)
def test_every_kind_of_rule(
    rules: str, state_arguments: tuple[object, ...], expected: bool
) -> None:
    assert is_included(rules, *state_arguments) is expected


def test_the_texts_own_state_adds_stages_and_no_more() -> None:
    state = "state { phase: TRAIN level: 3 stage: 'own' }"
    assert net(state, "TEST", 2, ("own", "given")).state == NetState("TEST", 2, ("own", "given"))
    assert is_included(
        "include { stage: 'own' stage: 'given' }", "TEST", 0, ("given",), state=state
    )
    assert not is_included("include { phase: TRAIN }", "TEST", state=state)
    assert not is_included("include { min_level: 3 }", "TEST", state=state)


@pytest.mark.parametrize(
    ("rules", "what"),
    [
        (
            "include { } exclude { }",
            "layer 'r' has include and exclude rules; Caffe takes rules of one kind",
        ),
        ("include { phase: BOTH }", "found BOTH, expected TRAIN or TEST"),
        (
            "exclude { stages: 'a' }",
            "found stages, expected one of phase, min_level, max_level, stage, not_stage",
        ),
    ],
)
def test_rules_that_caffe_refuses(rules: str, what: str) -> None:
    with pytest.raises(NetsurgeryError, match=f": {what}$"):
        is_included(rules)


def test_a_state_that_caffe_refuses() -> None:
    with pytest.raises(
        NetsurgeryError, match=r"found stages, expected one of phase, level, stage$"
    ):
        net("state { stages: 'a' }")


def test_no_such_phase_and_no_such_level() -> None:
    with pytest.raises(NetError, match="found the phase 'TSET', expected TEST or TRAIN"):
        NetState("TSET")  # type: ignore[arg-type]
    with pytest.raises(NetError, match="found the level 2147483648, expected one from"):
        NetState(level=2**31)


HINT = (
    "; its layers have rules for the stages 'a', 'b': try --stage a, or state "
    '{ stage: "a" } in the prototxt'
)


def test_what_follows_from_stages_says_so() -> None:
    for stages in ((), ("c",)):
        with pytest.raises(NetsurgeryError) as caught:
            net(TWO_STAGES, "TEST", 0, stages)
        assert str(caught.value) == (
            "n.prototxt:4:7: layer 'r' (ReLU): its bottom 'x' is made by no layer before it" + HINT
        )
    assert [layer.name for layer in net(TWO_STAGES, "TEST", 0, ("b",)).layers] == ["b", "r"]
    lost = TWO_STAGES.replace('bottom: "x"', 'bottom: "z"')
    with pytest.raises(NetsurgeryError) as caught:
        net(lost, "TEST", 0, ("a",))
    assert "stage" not in str(caught.value)


def test_one_top_for_two_stages() -> None:
    text = (
        'input: "x" layer { name: "y1" type: "ReLU" bottom: "x" top: "y" exclude { stage: "a" } }\n'
        'layer { name: "y2" type: "ReLU" bottom: "x" top: "y" }'
    )
    with pytest.raises(NetsurgeryError) as caught:
        net(text)
    assert str(caught.value) == (
        "n.prototxt:2:7: layer 'y2' (ReLU): its top 'y' is made by a layer before it too; its "
        "layers have rules for the stage 'a': try --stage a, or state "
        '{ stage: "a" } in the prototxt'
    )
    assert [layer.name for layer in net(text, "TEST", 0, ("a",)).layers] == ["y2"]


def test_a_layer_of_the_other_phase_is_named() -> None:
    train = 'layer { name: "d" type: "DummyData" top: "x" include { phase: TRAIN } }\n'
    level = train.replace("phase: TRAIN", "min_level: 2")
    relu = 'layer { name: "r" type: "ReLU" bottom: "x" top: "y" }'
    for text, what in (
        (train + relu, "layer 'd' in line 1 is for training (phase TRAIN): try --phase train"),
        (level + relu, "layer 'd' in line 1 is for level 2: try --level 2"),
    ):
        with pytest.raises(NetsurgeryError) as caught:
            net(text)
        assert str(caught.value).endswith(f"is made by no layer before it; {what}")
    with pytest.raises(
        NetsurgeryError, match="no layer named 'd'; layer 'd' in line 2 is for train"
    ):
        net('input: "x"\n' + train.replace('"x"', '"z"') + relu).layer("d")
    with pytest.raises(NetsurgeryError, match="is for the phase TEST: try --phase test"):
        net(train.replace("TRAIN", "TEST") + relu, "TRAIN")


@pytest.mark.parametrize(
    "words",
    [
        "convert it ph.caffemodel",
        "features p.png --prototxt it --weights ph.caffemodel --blob fc -o f.npz",
        "classify-map p.png --prototxt it --weights ph.caffemodel --blob fc",
        "edit it ph.caffemodel fc[0]*=2 -o x.caffemodel",
        "edit it ph.caffemodel outputs:fc:keep=1 -o x.caffemodel",
        "export it ph.caffemodel --blob fc -o x.onnx",
        "transplant it ph.caffemodel it -o x.caffemodel --map fc=c",
        "transplant it ph.caffemodel it -o x.caffemodel --map c=fc",
    ],
)
def test_what_another_phase_has_is_named_by_every_command(
    words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("it").write_text(
        'layer { name: "data" type: "Input" top: "data" '
        "input_param { shape { dim: [1, 3, 9, 9] } } }\n"
        'layer { name: "c" type: "Convolution" bottom: "data" top: "c" '
        "convolution_param { num_output: 4 kernel_size: 3 } }\n"
        'layer { name: "fc" type: "InnerProduct" bottom: "c" top: "fc" '
        "inner_product_param { num_output: 3 } include { phase: TRAIN } }\n"
    )
    assert run(["init", "it", "-o", "ph.caffemodel", "-q"]) == 0
    assert run(words.split()) == 1
    hint = "layer 'fc' in line 3 is for training (phase TRAIN): try --phase train"
    assert hint in capsys.readouterr().err


def test_a_net_without_a_layer_in_its_state_is_named_as_one_for_training() -> None:
    text = 'layer { name: "a" type: "ReLU" bottom: "x" top: "a" include { phase: TRAIN } }'
    with pytest.raises(PrototxtError, match=r"no layer of the net is for the TEST phase.*--phase"):
        NetDefinition.of(Prototxt.parse('input: "x"\n' + text, "n"))
    assert (
        len(NetDefinition.of(Prototxt.parse('input: "x"\n' + text, "n"), NetState("TRAIN")).layers)
        == 1
    )
