"""Which bottoms and tops a layer may have: how many, and whether a top may be a bottom.

The numbers are those of Caffe 1.0's and the common forks' own definitions.
"""

from __future__ import annotations

from netsurgery.net import types
from netsurgery.net.layer import Layer
from netsurgery.net.types.record import MANY, InPlace

__all__ = ["check_blobs"]


def check_blobs(layer: Layer) -> None:
    """Raise PrototxtError for bottoms and tops that the layer's type does not take."""
    _check_counts(layer)
    both = [top for top in layer.tops if top in layer.bottoms]
    if both and types.in_place(layer) is InPlace.LOSES:
        raise layer.error(
            f"its top {both[0]!r} is its bottom too; Caffe would write into it before it has read "
            "it; give the top a name of its own"
        )


def _check_counts(layer: Layer) -> None:
    known = types.counts(layer)
    if known is None:
        return
    for what, count, (low, high) in (
        ("bottom", len(layer.bottoms), known[0]),
        ("top", len(layer.tops), known[1]),
    ):
        if not low <= count <= high:
            most = f"to {high}" if high < MANY else "or more"
            expected = str(low) if low == high else f"{low} {most}"
            raise layer.error(f"{count} {what}{'s' * (count != 1)}; it takes {expected}")
