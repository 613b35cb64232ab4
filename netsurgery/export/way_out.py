"""What of a net can be exported, where one of its layers cannot."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from netsurgery.errors import PrototxtError
from netsurgery.export.layers import check_type
from netsurgery.io.wording import argument
from netsurgery.net import types
from netsurgery.net.layer import Layer
from netsurgery.net.net import NetDefinition

__all__ = ["blobs_instead"]

#: The most bottoms that are named; DetectionOutput reads three.
_MOST = 4


def blobs_instead(net: NetDefinition, layer: Layer) -> str:
    """Which blobs could be asked for instead of what `layer`, which cannot be written, makes.

    To be added to an error; "" where no layer makes one.
    """
    good = _exportable(net)
    reads = [bottom for bottom in dict.fromkeys(layer.bottoms) if bottom in good]
    if 0 < len(reads) <= _MOST:
        return f"; what it reads can be exported: {_asked_for(reads)}"
    if good:
        return f"; the last blob that can be exported: {_asked_for(list(good)[-1:])}"
    return ""


def _asked_for(blobs: Sequence[str]) -> str:
    return argument(
        " ".join(f"--blob {shlex.quote(blob)}" for blob in blobs), f"blobs={list(blobs)}"
    )


def _exportable(net: NetDefinition) -> dict[str, None]:
    """The blobs that depend on layers alone that can be written, those written last at the end."""
    good: dict[str, None] = {}
    bad: set[str] = set()
    for layer in net.layers:
        if types.is_input(layer):
            continue
        writable = bad.isdisjoint(layer.bottoms) and _is_writable(net, layer)
        for top in layer.tops:
            good.pop(top, None)
            if writable:
                good[top] = None
            else:
                bad.add(top)
    return good


def _is_writable(net: NetDefinition, layer: Layer) -> bool:
    try:
        check_type(net, layer)
    except PrototxtError:
        return False
    return True
