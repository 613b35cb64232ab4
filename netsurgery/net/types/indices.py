"""Which numbers a bottom that is read as an INDEX may hold: words, rows, marks of a sequence.

A type whose indices are not known, or need more than their own bottom to make sense (boxes in a
picture), says None; one that is missing here is a mistake, which a test finds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from netsurgery.net.layer import Layer, Shape
from netsurgery.net.types import of

__all__ = ["INDICES", "Indices", "indices"]


@dataclass(frozen=True)
class Indices:
    """Whole numbers from 0 to `below` - 1.

    marks: they say whether a sequence goes on, first axis first: 0 where it begins.
    """

    below: int
    marks: bool = False


#: The layer and its bottoms' shapes -> what it takes; None: not known.
Rule: TypeAlias = Callable[[Layer, Sequence[Shape]], Indices] | None

_SEQUENCE = Indices(2, marks=True)

#: Type, by its record's name -> what its bottom of role INDEX takes.
INDICES: dict[str, Rule] = {
    "BatchReindex": lambda layer, bottoms: Indices(bottoms[0][0]),
    "Embed": lambda layer, bottoms: Indices(layer.param("embed_param").integer("input_dim", 1, 1)),
    "LSTM": lambda layer, bottoms: _SEQUENCE,
    # Of one step: whether the state that it is given counts.
    "LSTMUnit": lambda layer, bottoms: Indices(2),
    "PSROIPooling": None,
    "Proposal": None,
    "RNN": lambda layer, bottoms: _SEQUENCE,
    "ROIAlign": None,
    "ROIPooling": None,
    "Upsample": None,
}


def indices(layer: Layer, bottoms: Sequence[Shape]) -> Indices | None:
    """What the layer's bottom of role INDEX takes, at these shapes of its bottoms."""
    record = of(layer)
    rule = INDICES.get(record.name) if record else None
    return rule(layer, bottoms) if rule else None
