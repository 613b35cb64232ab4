"""Which numbers a bottom that is read as an INDEX may hold: words, rows, marks, boxes in a picture.

A type whose indices are not known says None; one that is missing here is a mistake, which a test
finds.
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

    marks: they say whether a sequence goes on, first axis first: 0 where it begins. picture: rows
    of five, such a number and then x0, y0, x1, y1 of a box in a picture of this height and width.
    """

    below: int
    marks: bool = False
    picture: tuple[float, float] | None = None


#: The layer and its bottoms' shapes -> what it takes; None: not known.
IndexRule: TypeAlias = Callable[[Layer, Sequence[Shape]], Indices] | None

_SEQUENCE = Indices(2, marks=True)


def _boxes(layer: Layer, bottoms: Sequence[Shape]) -> Indices:
    """Each box is in one picture of the batch, of which the map is a smaller one."""
    record = of(layer)
    message = layer.param(record.message) if record and record.message else None
    scale = message.number("spatial_scale", 1.0) if message else 1.0
    batch, _, height, width = bottoms[0]
    scale = scale if scale > 0 else 1.0
    return Indices(batch, picture=(height / scale, width / scale))


#: Type, by its record's name -> what its bottom of role INDEX takes.
INDICES: dict[str, IndexRule] = {
    "BatchReindex": lambda layer, bottoms: Indices(bottoms[0][0]),
    "Embed": lambda layer, bottoms: Indices(layer.param("embed_param").integer("input_dim", 1, 1)),
    "LSTM": lambda layer, bottoms: _SEQUENCE,
    # Of one step: whether the state that it is given counts.
    "LSTMUnit": lambda layer, bottoms: Indices(2),
    "PSROIPooling": _boxes,
    "Proposal": None,
    "RNN": lambda layer, bottoms: _SEQUENCE,
    "ROIAlign": _boxes,
    "ROIPooling": _boxes,
    "Upsample": None,
}


def indices(layer: Layer, bottoms: Sequence[Shape]) -> Indices | None:
    """What the layer's bottom of role INDEX takes, at these shapes of its bottoms."""
    record = of(layer)
    rule = INDICES.get(record.name) if record else None
    return rule(layer, bottoms) if rule else None
