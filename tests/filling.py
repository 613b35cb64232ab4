"""Weights for nets that are in no file."""

from __future__ import annotations

from pathlib import Path

from netsurgery.net.net import NetDefinition
from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.open_net.net import Net
from netsurgery.verbs.init import init

__all__ = ["initialize"]


def initialize(net: NetDefinition, weights: Path, *, seed: int, as_caffe: bool = False) -> None:
    """Write what the net's fillers give."""
    with Net.of_model(NetWithWeights(net)) as opened:
        init(opened, weights, seed=seed, as_caffe=as_caffe, force=True)
