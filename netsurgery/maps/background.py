"""The background of a map: the class of all that is not looked for.

A net that finds things has such a class, or shows one that comes to the same: the page under the
digits, the road under the signs. Pictures do not paint it, and what they call the likeliest class
is the likeliest but for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from netsurgery.maps.classmap import ClassCount

__all__ = ["most_common_background"]


def most_common_background(rows: Sequence[ClassCount]) -> int | None:
    """The class that more than half of the cells show, None where there is none.

    rows: the table of the map's classes, most cells first. A class that all cells show is no
    background: nothing would stand out against it.
    """
    cells = sum(row.cells for row in rows)
    return rows[0].number if len(rows) > 1 and 2 * rows[0].cells > cells else None
