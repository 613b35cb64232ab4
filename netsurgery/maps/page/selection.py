"""Which classes of which cells a page keeps.

Of every cell the likeliest, `MOST`; and of every cell the classes that matter most to the picture,
`SHARED` of them, so that their heat is whole. Everything is ordered as the map orders it: the
higher value first, of equals the lower number.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from netsurgery.maps.classmap import ClassMap

    Array = NDArray[np.float32]
    Numbers = NDArray[np.intp]

__all__ = ["FIRST", "MOST", "SHARED", "Selection", "select"]

#: The likeliest classes of a cell whose values are kept, and those whose order is kept too.
MOST, FIRST = 20, 5
#: Classes that are kept of every cell.
SHARED = 50


@dataclass(frozen=True, eq=False)
class Selection:
    """What is kept of a map whose cells are numbered row by row.

    classes: the kept classes' numbers; the first `shared` of them are kept of every cell. cells:
    of how many cells each is the likeliest, in the order of `classes`; best: its highest value in
    these, or in all where there are none. order: FIRST (or all) x cells, the likeliest classes as
    places in `classes`. counts: for each class after the first `shared`, of how many cells it is
    kept; places: those cells, ascending for each class, one class after another.
    """

    classes: Numbers
    shared: int
    cells: Numbers
    best: Array
    order: Numbers
    counts: Numbers
    places: Numbers

    @property
    def size(self) -> int:
        """How many values are kept."""
        return self.shared * int(self.order.shape[1]) + len(self.places)


def select(
    class_map: ClassMap, *, all_classes: bool = False, number: int | None = None
) -> Selection:
    """What a page keeps of a map.

    all_classes: every class of every cell. number: a class that is kept of every cell in any case.
    """
    values = class_map.values.reshape(class_map.classes, -1)
    top = class_map.top(min(MOST, len(values))).reshape(-1, values.shape[1])
    cells = np.bincount(top[0], minlength=len(values))
    best = values.max(axis=1)
    best_where_top = np.full(len(values), -np.inf, np.float32)
    np.maximum.at(best_where_top, top[0], values[top[0], np.arange(len(top[0]))])
    best = np.where(cells > 0, best_where_top, best)
    listed = [row.number for row in class_map.summary()]
    others = np.argsort(-best, kind="stable")
    ranked = np.concatenate([listed, others[~np.isin(others, listed)]]).astype(np.intp)
    if number is not None:
        ranked = np.concatenate([[number], ranked[ranked != number]])
    shared = ranked if all_classes else ranked[:SHARED]
    places_of = np.full(len(values), -1)
    places_of[shared] = np.arange(len(shared))
    sparse = np.zeros(len(values), bool)
    sparse[top] = True
    sparse[shared] = False
    rest = ranked[sparse[ranked]]
    places_of[rest] = np.arange(len(shared), len(shared) + len(rest))
    order = places_of[top]
    rank, place = np.nonzero(order >= len(shared))
    owner = order[rank, place]
    by_class = np.lexsort((place, owner))
    classes = np.concatenate([shared, rest])
    return Selection(
        classes=classes,
        shared=len(shared),
        cells=cells[classes],
        best=best[classes],
        order=order[:FIRST],
        counts=np.bincount(owner - len(shared), minlength=len(rest)),
        places=place[by_class],
    )
