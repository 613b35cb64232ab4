"""The last few of what is worked out."""

from __future__ import annotations

from functools import partial

import pytest

from netsurgery.io.recent import Recent


def test_what_was_asked_for_last_is_kept() -> None:
    made: list[str] = []

    def upper(key: str) -> str:
        made.append(key)
        return key.upper()

    recent = Recent[str](most=2)
    assert [recent.get(key, partial(upper, key)) for key in "abacab"] == list("ABACAB")
    assert made == ["a", "b", "c", "b"]


def test_what_cannot_be_worked_out_is_tried_again() -> None:
    recent = Recent[int]()
    with pytest.raises(ZeroDivisionError):
        recent.get(0, lambda: 1 // 0)
    assert recent.get(0, lambda: 1) == 1
