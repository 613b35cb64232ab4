"""Which names are taken for one that was mistyped."""

from __future__ import annotations

import difflib

import pytest

from netsurgery.io.nearest import did_you_mean, nearest

LAYERS = ["conv1", "pool1", "conv2", "ip1", "relu1", "ip2", "prob"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ip3", ("ip1", "ip2")),
        ("Conv1", ("conv1",)),
        ("porb", ("prob",)),
        ("cnov2", ("conv2",)),
        ("fc6", ()),
        ("soft", ()),
        ("pro", ("prob",)),
        ("", ()),
        ("x" * 1_000_000, ()),
    ],
)
def test_nearest_layers(name: str, expected: tuple[str, ...]) -> None:
    assert nearest(name, LAYERS) == expected


def test_a_longer_name_begins_with_it() -> None:
    names = ["ip1-conv", "ip2-conv", "prob"]
    assert nearest("ip1", names) == ("ip1-conv",)
    assert nearest("ip", names) == ()


def test_an_underscore_is_a_hyphen() -> None:
    assert nearest("classify_map", ["classify-map", "convert"]) == ("classify-map",)


def test_the_end_of_a_message() -> None:
    assert did_you_mean("ip3", LAYERS) == "; did you mean ip1 or ip2?"
    assert did_you_mean("a1", ["a2", "a3", "a4", "a5"]) == ""
    assert did_you_mean("fc1", ["fc2", "fc3", "fc4", "fc5"]) == "; did you mean fc2, fc3 or fc4?"
    assert did_you_mean("fc6", LAYERS) == ""
    assert did_you_mean("fc6", LAYERS[:2], "layers") == "; its layers are conv1, pool1"
    listed = "conv1, pool1, conv2, ip1, relu1, ip2 and 1 more"
    assert did_you_mean("fc6", LAYERS, "layers") == f"; its layers are {listed}"
    assert did_you_mean("fc6", [], "layers") == ""


def test_of_many_names_some_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = 0
    ratio = difflib.SequenceMatcher.ratio

    def counted(matcher: difflib.SequenceMatcher[str]) -> float:
        nonlocal compared
        compared += 1
        return ratio(matcher)

    monkeypatch.setattr(difflib.SequenceMatcher, "ratio", counted)
    did_you_mean("res" * 30, [f"{'res' * 30}{number}" for number in range(100_000)])
    assert compared == 1000
