"""The params of a net: from a caffemodel by layer name, or from the net's own fillers."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np

from netsurgery.export.protobuf import FileRange
from netsurgery.export.site import Param
from netsurgery.net.net import Layer, Shape
from netsurgery.net.param_sources import ParamSources

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from netsurgery.formats.weights import WeightsBlob
    from netsurgery.net.model import Model

__all__ = ["Weights"]


class Weights:
    """What a net's layers hold; see `netsurgery.net.param_sources`."""

    def __init__(self, model: Model) -> None:
        self._sources = ParamSources(model)

    def of(self, layer: Layer, shapes: tuple[Shape, ...]) -> tuple[Param, ...]:
        """The layer's params, of exactly `shapes`.

        Raises NetError where the file's differ, naming layer, blob and both shapes, and
        PrototxtError where neither the file nor the net says what a param holds.
        """
        sources = self._sources.of(layer, shapes)
        return tuple(map(_param, sources, shapes))


def _param(source: WeightsBlob | float, shape: Shape) -> Param:
    if isinstance(source, float):
        data = np.full(shape, source, np.float32)
        return Param(shape, None, lambda: data)
    packed = None if source.packed is None else FileRange(*source.packed)
    return Param(shape, packed, functools.partial(_read, source, shape))


def _read(blob: WeightsBlob, shape: Shape) -> NDArray[np.float32]:
    return np.ascontiguousarray(blob.numpy(), np.float32).reshape(shape)
