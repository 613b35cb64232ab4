"""Weights for nets that have none: random, and scaled so that no blob dies or explodes."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from netsurgery.engines.pycaffe import PycaffeEngine
from netsurgery.net.state import TEST, NetState

__all__ = ["fill_randomly", "thin"]


def fill_randomly(
    engine: PycaffeEngine, prototxt: Path, path: Path, seed: int = 0, *, state: NetState = TEST
) -> Path:
    """Save a caffemodel at `path` in which every param of the net in `state` is random."""
    random = np.random.default_rng(seed)
    with engine.load(prototxt, state=state) as net:
        kinds = dict(net.layers)
        for layer, shapes in net.params.items():
            for index, shape in enumerate(shapes):
                if kinds[layer] == "BatchNorm":
                    # Means around 0, variances and the scale factor above 0.
                    values = random.uniform(0.5, 1.5, shape) - (1.0 if index == 0 else 0.0)
                elif index == 0 and len(shape) > 1:
                    fan_in = int(np.prod(shape[1:]))
                    values = random.standard_normal(shape) * np.sqrt(2 / fan_in)
                else:
                    values = random.standard_normal(shape) * 0.1
                net.set_param(layer, index, values.astype(np.float32))
        net.save(path)
    return path


def thin(text: str) -> str:
    """The net with an eighth of its channels, which is as deep as before."""
    return re.sub(r"num_output: (\d+)", lambda m: f"num_output: {max(4, int(m[1]) // 8)}", text)
