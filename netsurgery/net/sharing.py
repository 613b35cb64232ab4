"""Params that layers share by giving them one name."""

from __future__ import annotations

from netsurgery.net.net import Net

__all__ = ["shared_params"]


def shared_params(net: Net) -> dict[tuple[str, int], tuple[str, int]]:
    """(layer, param) -> the (layer, param) it shares: the first, in file order, of that name.

    Params without a name, and the first ones themselves, are not in it.
    """
    owners: dict[str, tuple[str, int]] = {}
    shared = {}
    for layer in net.layers:
        for index, name in enumerate(layer.param_names):
            if name and owners.setdefault(name, (layer.name, index)) != (layer.name, index):
                shared[layer.name, index] = owners[name]
    return shared
