"""The arithmetic of cuts, against numpy doing the same to an array."""

from __future__ import annotations

from math import prod

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from netsurgery.surgery.edit.cuts import (
    NEW,
    Cut,
    even,
    expand,
    identity,
    reshaped,
    shuffled,
    split,
    take,
    unshuffled,
    whole_groups,
)

Array = NDArray[np.float32]


def numbered(*shape: int) -> Array:
    """An array of numbers from 1, so that zeros are new."""
    return np.arange(1, prod(shape) + 1, dtype=np.float32).reshape(shape)


@st.composite
def rows_of(draw: st.DrawFn, size: int) -> tuple[int, ...]:
    """Some of `size` channels in any order, and perhaps new ones behind them."""
    rows = draw(st.lists(st.integers(0, size - 1), min_size=1, max_size=size, unique=True))
    return (*rows, *[NEW] * draw(st.integers(0, 2)))


@given(st.data())
def test_behind_a_reshape_are_the_blocks_of_what_is_left(data: st.DataObject) -> None:
    """Both ways: axes merged, and one axis taken apart."""
    shape = tuple(data.draw(st.lists(st.integers(1, 4), min_size=2, max_size=5)))
    axis = data.draw(st.integers(0, len(shape) - 1))
    assume(shape[axis] > 1)
    start = data.draw(st.integers(0, axis))
    end = data.draw(st.integers(axis + 1, len(shape)))
    flattened = (*shape[:start], prod(shape[start:end]), *shape[end:])
    cut = Cut(axis, data.draw(rows_of(shape[axis])), shape[axis])
    blocks = reshaped(cut, shape, flattened)
    assert blocks is not None
    assert blocks.old == flattened[blocks.axis]
    whole = numbered(*shape)
    left = take(whole, cut.rows, axis)
    new = (*left.shape[:start], prod(left.shape[start:end]), *left.shape[end:])
    np.testing.assert_array_equal(
        left.reshape(new), take(whole.reshape(flattened), blocks.rows, blocks.axis)
    )
    back = reshaped(blocks, flattened, shape)
    assert back is not None
    np.testing.assert_array_equal(take(whole, back.rows, back.axis).reshape(left.shape), left)


def test_a_cut_through_blocks_or_across_axes_is_none() -> None:
    assert reshaped(Cut(1, (0, 1, 5), 8), (2, 8), (2, 2, 4)) is None
    assert reshaped(Cut(0, (1,), 2), (2, 3), (3, 2)) is None
    assert reshaped(Cut(1, (4, 5, 6, 7), 8), (1, 8), (1, 2, 4)) == Cut(1, (1,), 2)
    assert reshaped(Cut(1, (1, 3, 5, 7), 8), (1, 8), (1, 4, 2)) == Cut(2, (1,), 2)


@given(st.data())
def test_a_shuffle_of_what_is_left(data: st.DataObject) -> None:
    group, size = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 4))
    old = group * size

    def shuffle(array: Array) -> Array:
        return np.ascontiguousarray(array.reshape(group, -1).T).reshape(array.shape)

    rows = data.draw(rows_of(old))
    blocks = shuffled(rows, old, group)
    assert (blocks is None) == bool(len(rows) % group)
    if blocks is not None:
        whole = numbered(old)
        np.testing.assert_array_equal(
            shuffle(take(whole, rows, 0)), take(shuffle(whole), blocks, 0)
        )
        assert unshuffled(blocks, old, group) == rows
    assert (unshuffled(rows, old, group) is None) == bool(len(rows) % group)


@given(st.data())
def test_joined_channels_are_split_as_they_were_joined(data: st.DataObject) -> None:
    sizes = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    parts = [data.draw(rows_of(size)) for size in sizes]
    starts = np.cumsum([0, *sizes])
    joined = tuple(
        NEW if row == NEW else int(start) + row
        for part, start in zip(parts, starts, strict=False)
        for row in part
    )
    assert split(joined, sizes) == parts


def test_mixed_channels_are_not_split() -> None:
    assert split((0, 3, 1), [2, 2]) is None
    assert split((NEW, 0, NEW, 3, NEW), [2, 2]) == [(NEW, 0, NEW), (1, NEW)]


@given(st.integers(1, 4), st.integers(1, 4), st.data())
def test_groups_that_go_whole(size: int, count: int, data: st.DataObject) -> None:
    groups = data.draw(rows_of(count))
    assert whole_groups(expand(groups, size), size) == groups


def test_groups_that_are_cut_into() -> None:
    assert whole_groups((0, 2), 2) is None
    assert whole_groups((1, 0), 2) is None
    assert whole_groups((0, 1, 2), 2) is None
    assert even((0, 3), 2, 2)
    assert even((1, NEW, 2, NEW), 2, 2)
    assert not even((0, 1), 2, 2)
    assert not even((0, 1, 2), 2, 2)


@pytest.mark.parametrize(
    ("first", "second", "both"),
    [
        ((0, 2, 3), (1, 2, 3), (2, 3)),
        ((0, 1), (2, 3), ()),
        ((1, 0), (1, 0), (1, 0)),
        ((1, 0), (0, 1), None),
        ((0, 1, 2, 3, NEW), (0, 1), None),
    ],
)
def test_cuts_that_meet(
    first: tuple[int, ...], second: tuple[int, ...], both: tuple[int, ...] | None
) -> None:
    met = Cut(1, first, 4).met(Cut(1, second, 4, "softmax"))
    assert met == (None if both is None else Cut(1, both, 4, "softmax"))
    assert Cut(1, first, 4).met(Cut(2, first, 4)) is None


def test_what_a_cut_does() -> None:
    assert Cut(1, identity(3), 3).same
    assert Cut(1, (0, 2), 3).removes_only
    assert not Cut(1, (2, 0), 3).removes_only
    assert not Cut(1, (0, NEW), 3).removes_only
