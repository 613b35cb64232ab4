"""Many refusals in one error: the first of them, and how many more."""

from __future__ import annotations

import pytest

from netsurgery.errors import SurgeryError
from netsurgery.surgery.plan import Refusal, refuse


def text(refusals: list[Refusal]) -> str:
    with pytest.raises(SurgeryError) as caught:
        refuse("net", refusals)
    return str(caught.value)


def test_a_few_are_all_named() -> None:
    refusals = [Refusal(name, "wrong") for name in "abcd"]
    assert text(refusals) == "net: " + "; ".join(f"layer {name!r}: wrong" for name in "abcd")


def test_of_many_the_first_are_named() -> None:
    refusals = [Refusal(f"layer_of_a_long_name_{i}", "wrong") for i in range(100)]
    assert text(refusals).endswith("layer 'layer_of_a_long_name_2': wrong; and 97 more")
    assert len(text(refusals)) < 200


def test_a_common_cause_is_named_once() -> None:
    refusals = [Refusal(f"l{i}", "no shape", cause="no input") for i in range(9)]
    assert text(refusals) == (
        "net: layer 'l0': no shape (so too for 'l1', 'l2', 'l3', 'l4', 4 more): no input"
    )
