"""A prototxt of any generation read as a net."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from netsurgery.formats.prototxt import Prototxt
from netsurgery.net.net import Net
from netsurgery.net.state import TEST, NetState

__all__ = ["read_upgraded"]


def read_upgraded(path: Path | str, state: NetState = TEST) -> Net:
    """A prototxt ("-": from standard input) as a net; one of V0 is upgraded first, and says so.

    Nets of V1 are read as they are. Raises FormatError, PrototxtError or NetError.
    """
    found = Prototxt.read(path)
    if found.generation != "V0":
        return Net.of(found, state)
    # Most nets are of today.
    from netsurgery.surgery.upgrade.text import plan_upgrade

    new = replace(plan_upgrade(found).result, bom=found.bom)
    told = "the net is of Caffe's first generation (V0): it was upgraded first, as by `upgrade`"
    net = Net.of(new, state)
    return replace(net, notes=(told, *net.notes))
