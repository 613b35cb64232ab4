"""A share of the pairs leaves out no row and no column."""

from __future__ import annotations

import dealt
import pytest


@pytest.mark.parametrize("share", [1, 2, 3])
def test_each_has_its_share(share: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dealt, "WHOLE", False)
    pairs = dealt.dealt(range(7), "abc", share)
    assert len(pairs) == -(-21 // share)
    assert {row for row, _ in pairs} == set(range(7))
    assert {column for _, column in pairs} == set("abc")
    monkeypatch.setattr(dealt, "WHOLE", True)
    assert len(set(dealt.dealt(range(7), "abc", share))) == 21


def test_a_share_that_would_leave_some_out_is_none() -> None:
    with pytest.raises(AssertionError, match="left out"):
        dealt.dealt(range(7), "abc", 4)
