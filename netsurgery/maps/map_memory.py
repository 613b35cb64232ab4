"""What is worked out of a map takes so much memory."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from netsurgery.maps.row_blocks import SORTED_SHARE, block_values, place_type

if TYPE_CHECKING:
    from netsurgery.maps.classmap import ClassMap

__all__ = ["claim_more", "map_memory", "order_memory"]

#: What a cell takes in whatever is worked out of all cells, besides its class; what a cell and a
#: value take while rows of them are looked at, and a value that is sorted.
_CELL, _SEEN, _COMPARED, _SORTED = 2, 48, 5, 33


def map_memory(shape: tuple[int, ...]) -> int:
    """Bytes of what is worked out of a map of C x H x W values, beside them."""
    if len(shape) != 3:  # no map is made of another blob
        return 0
    values = block_values(shape)
    of_cell = place_type(shape[0]).itemsize + _CELL
    return _COMPARED * values + _SEEN * values // shape[0] + of_cell * prod(shape[1:])


def claim_more(class_map: ClassMap, needed: int, what: str) -> None:
    """Claim `needed` bytes for `what` is made of a map, besides those of the map itself.

    Raises MemoryLimitError.
    """
    memory = map_memory(class_map.values.shape)
    class_map.claim.at_least(memory + needed, f"{class_map.image}: {what}")


def order_memory(shape: tuple[int, ...], count: int) -> int:
    """Bytes of the order of each cell's `count` likeliest classes, and of what finds it."""
    return _SORTED * block_values(shape, SORTED_SHARE) + 8 * count * prod(shape[1:])
