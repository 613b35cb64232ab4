"""Top-k accuracy: whether a cell's class is among those of its K largest scores.

It is counted as Caffe's Accuracy layer does with `top_k`: a class that scores as much as the true
one stands before it, so equal scores are never luck. (Caffes before August 2017 had the higher
number first.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from netsurgery.errors import SettingsError
from netsurgery.io.wording import argument, counted
from netsurgery.maps.row_blocks import row_blocks

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["checked_top_k", "in_top_k"]

#: K where nobody says: that of ImageNet's challenges.
_USUAL = 5


def checked_top_k(asked: int | None, classes: int | None, *, of_wholes: bool) -> int | None:
    """K of a net of so many classes, None where top-k accuracy is not to be counted.

    asked: by the caller; without it, it is counted of pictures of one class each (`of_wholes`) that
    are given one of more classes. Raises SettingsError where there are fewer than K classes, as
    Caffe does.

    >>> checked_top_k(None, 1000, of_wholes=True), checked_top_k(None, 5, of_wholes=True)
    (5, None)
    """
    if asked is None:
        return _USUAL if of_wholes and classes is not None and classes > _USUAL else None
    if asked < 1 or (classes is not None and asked > classes):
        expected = "a number from 1 on"
        if classes is not None:
            expected = f"1 to {classes}, as the net has {counted(classes, 'class')}"
        raise SettingsError(f"{argument('--top-k')} {asked}: expected {expected}")
    return asked


def in_top_k(scores: NDArray[np.float32], labels: NDArray[np.int32], k: int) -> NDArray[np.bool_]:
    """Whether each cell's class is among those of its K largest scores, h x w.

    scores: C x h x w, none of them NaN. labels: the cells' classes, h x w; below 0 none, which is
    not among them.

    >>> scores = np.array([5, 7, 7, 1], np.float32).reshape(4, 1, 1)
    >>> [in_top_k(scores, np.array([[label]], np.int32), 2).item() for label in range(4)]
    [False, True, True, False]
    """
    result = np.zeros(labels.shape, np.bool_)
    for rows in row_blocks(scores.shape):
        known = labels[rows] >= 0
        own, of_cells = labels[rows][known], scores[:, rows][:, known]
        true = of_cells[own, np.arange(len(own))]
        # The true class is one of those that are as large.
        result[rows][known] = (of_cells >= true).sum(axis=0) <= k
    return result
