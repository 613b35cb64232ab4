"""The lines in which two texts differ, in time proportional to the texts.

The fewest differing lines take the product of both texts' lines to find. Here lines that are there
once in either text, and in the same order, hold the two together; what lies between two of them is
compared in full where it is short, and else shown as replaced.
"""

from __future__ import annotations

import difflib
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from netsurgery.io.terminal import cell

if TYPE_CHECKING:
    from netsurgery.formats.prototxt import Prototxt

__all__ = ["text_diff", "unified"]

#: Between lines that hold texts together this many lines of one times those of the other are
#: compared in full.
_SHORT = 4_000

#: An old and a new place, and how many lines from there are the same.
Block = tuple[int, int, int]


def text_diff(old: Prototxt, new: str, name: str) -> str:
    """The unified diff to the text `new`, called `name`; comments and layout included."""
    before, after = (text.splitlines(keepends=True) for text in (old.original or old.text, new))
    lines = unified(before, after, cell(str(old.path)), cell(name))
    return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)


def unified(old: Sequence[str], new: Sequence[str], name: str, new_name: str) -> Iterator[str]:
    """The unified diff of the lines, as difflib's own."""
    matcher = _Matcher(old, new)
    groups = list(matcher.get_grouped_opcodes(3))
    if groups:
        yield f"--- {name}\n"
        yield f"+++ {new_name}\n"
    for group in groups:
        first, last = group[0], group[-1]
        yield f"@@ -{_range(first[1], last[2])} +{_range(first[3], last[4])} @@\n"
        for tag, i1, i2, j1, j2 in group:
            if tag == "equal":
                yield from (f" {line}" for line in old[i1:i2])
                continue
            yield from (f"-{line}" for line in old[i1:i2])
            yield from (f"+{line}" for line in new[j1:j2])


def _range(start: int, stop: int) -> str:
    """How a hunk says which lines it is of: the first, and how many."""
    count = stop - start
    if count == 1:
        return str(start + 1)
    return f"{start + 1 if count else start},{count}"


class _Matcher(difflib.SequenceMatcher[str]):
    """difflib's own, but for how the lines that are the same are found."""

    def __init__(self, old: Sequence[str], new: Sequence[str]) -> None:
        super().__init__(None, "", "")  # difflib indexes nothing: the lines are matched below
        self.a, self.b = old, new

    def get_matching_blocks(self) -> list[difflib.Match]:
        """The runs of lines that are the same, in order, and an empty one at the end."""
        blocks: list[Block] = []
        for block in _blocks(self.a, self.b):
            if (
                blocks
                and blocks[-1][0] + blocks[-1][2] == block[0]
                and (blocks[-1][1] + blocks[-1][2] == block[1])
            ):
                blocks[-1] = (*blocks[-1][:2], blocks[-1][2] + block[2])
            else:
                blocks.append(block)
        blocks.append((len(self.a), len(self.b), 0))
        return [difflib.Match(*block) for block in blocks]


def _blocks(old: Sequence[str], new: Sequence[str]) -> Iterator[Block]:
    i = j = 0
    for at, place in [*_anchors(old, new), (len(old), len(new))]:
        if at < i or place < j:
            continue  # it lies in what the one before it was the beginning of
        yield from _between(old, new, (i, at), (j, place))
        i, j = at, place
        while i < len(old) and j < len(new) and old[i] == new[j]:
            i, j = i + 1, j + 1
        if i > at:
            yield at, place, i - at


def _anchors(old: Sequence[str], new: Sequence[str]) -> list[tuple[int, int]]:
    """The beginning, and the most of the lines there once in either text that rise in both."""
    once = [{line for line, count in Counter(text).items() if count == 1} for text in (old, new)]
    places = {line: j for j, line in enumerate(new) if line in once[1]}
    pairs = [(i, places[line]) for i, line in enumerate(old) if line in once[0] and line in places]
    ends: list[int] = []  # the least place that a rising run of so many pairs ends at
    last: list[int] = []  # which pair that is
    before: list[int] = []
    for number, (_, j) in enumerate(pairs):
        rank = bisect_left(ends, j)
        ends[rank : rank + 1], last[rank : rank + 1] = [j], [number]
        before.append(last[rank - 1] if rank else -1)
    anchors, number = [], last[-1] if last else -1
    while number >= 0:
        anchors.append(pairs[number])
        number = before[number]
    return [(0, 0), *anchors[::-1]]


def _between(
    old: Sequence[str], new: Sequence[str], old_range: tuple[int, int], new_range: tuple[int, int]
) -> Iterator[Block]:
    """The same lines of two parts: those at their ends, and where it is short all."""
    (i, end), (j, last) = old_range, new_range
    same = 0
    while end - same > i and last - same > j and old[end - same - 1] == new[last - same - 1]:
        same += 1
    end, last = end - same, last - same
    if 0 < (end - i) * (last - j) <= _SHORT:
        inside = difflib.SequenceMatcher(None, old[i:end], new[j:last], autojunk=False)
        for at, place, count in inside.get_matching_blocks()[:-1]:
            yield i + at, j + place, count
    if same:
        yield end, last, same
