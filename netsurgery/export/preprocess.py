"""Caffe's preprocessing as the first operations of a graph that takes pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from netsurgery.errors import MeanError
from netsurgery.export.graph import Graph
from netsurgery.net.net import Shape

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Preprocess"]


@dataclass(frozen=True, eq=False)
class Preprocess:
    """caffe.io.Transformer's steps behind resizing, in its order.

    Pixels 0..255 become 0..1; channels are taken in the order `channel_swap`; times `raw_scale`;
    less `mean` (C values, in the net's own order); times `input_scale`.
    """

    channel_swap: tuple[int, ...] | None = None
    raw_scale: float = 1.0
    mean: NDArray[np.float32] | None = None
    input_scale: float = 1.0

    def __call__(self, graph: Graph, name: str, shape: Shape) -> str:
        """Put the steps behind the graph's input `name`, N x C x H x W."""
        value, channels = name, shape[1] if len(shape) == 4 else 0
        if not channels:
            raise MeanError(f"input {name} is no N x C x H x W, so pixels cannot be made ready")
        graph.layer = "preprocess"
        if self.channel_swap is not None:
            order = np.asarray(self.channel_swap, np.int64)
            if len(order) != channels:
                raise MeanError(
                    f"channel_swap names {len(order)} channels, input {name} has {channels}"
                )
            value = _op(graph, "Gather", value, order, axis=1)
        if self.raw_scale != 255:
            value = _op(graph, "Mul", value, np.float32(self.raw_scale / 255))
        if self.mean is not None:
            if self.mean.size not in (1, channels):
                raise MeanError(
                    f"the mean has {self.mean.size} channels, input {name} has {channels}"
                )
            value = _op(graph, "Sub", value, self.mean.astype(np.float32).reshape(-1, 1, 1))
        if self.input_scale != 1:
            value = _op(graph, "Mul", value, np.float32(self.input_scale))
        return value


def _op(
    graph: Graph,
    kind: str,
    value: str,
    constant: NDArray[np.float32] | NDArray[np.int64] | np.float32,
    **attributes: int,
) -> str:
    array = np.asarray(constant)
    name = graph.constant(array, array.shape, f"preprocess/{kind}")
    return graph.several(kind, [value, name], 1, f"preprocess/{kind}", **attributes)[0]
