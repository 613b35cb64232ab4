"""The diff of two texts leads from one to the other, and is difflib's where that is short."""

from __future__ import annotations

import difflib
import random
import re
from collections.abc import Sequence

import pytest

from netsurgery.formats.line_diff import unified


def patched(old: Sequence[str], diff: Sequence[str]) -> list[str]:
    """What the hunks of a unified diff make of a text; each line that it takes must be there."""
    lines: list[str] = []
    at = 0
    for line in diff[2:]:
        hunk = re.match(r"@@ -(\d+)(?:,(\d+))? \+", line)
        if hunk:
            count = 1 if hunk[2] is None else int(hunk[2])
            start = int(hunk[1]) - (1 if count else 0)
            lines += old[at:start]
            at = start
            continue
        if line[0] in " -":
            assert old[at] == line[1:]
            at += 1
        if line[0] in " +":
            lines.append(line[1:])
    return [*lines, *old[at:]]


@pytest.mark.parametrize("seed", range(300))
def test_a_diff_leads_from_one_text_to_the_other(seed: int) -> None:
    draw = random.Random(seed)
    kinds = draw.choice([2, 5, 30, 200])
    old = [f"{draw.randrange(kinds)}\n" for _ in range(draw.randrange(300))]
    new = list(old)
    for _ in range(draw.randrange(9)):
        if new and draw.random() < 0.5:
            new.pop(draw.randrange(len(new)))
        else:
            new.insert(draw.randrange(len(new) + 1), f"{draw.randrange(kinds)}\n")
    if draw.random() < 0.2:
        draw.shuffle(new)
    diff = list(unified(old, new, "a", "b"))
    assert patched(old, diff) == new
    assert bool(diff) == (old != new)


def test_it_is_what_difflib_writes() -> None:
    old = [f"line {number}\n" for number in range(40)]
    new = [*old[:5], "one more\n", *old[5:20], "another\n", *old[22:]]
    diff = list(unified(old, new, "a", "b"))
    assert diff == list(difflib.unified_diff(old, new, "a", "b"))
    assert list(unified([], ["x\n"], "a", "b")) == ["--- a\n", "+++ b\n", "@@ -0,0 +1 @@\n", "+x\n"]
