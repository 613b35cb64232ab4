"""Grad-CAM: which places of a layer's map raise the score of a class, by its gradient.

After R. R. Selvaraju and others, "Grad-CAM: Visual Explanations from Deep Networks via
Gradient-based Localization" (2017). The weight of a channel is the mean over the map of the score's
gradient; the explanation is the sum of the channels by their weights, where that is above 0.

The score is what a Softmax at the net's end is given, not what it makes of it: the gradient of a
probability is also that of all other classes, and vanishes where the net is sure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from netsurgery.engines.contract import EngineOptions, LoadedNet, Shape, no_backward
from netsurgery.errors import EngineError, NetError
from netsurgery.formats.labels import Labels
from netsurgery.formats.prototxt import Prototxt
from netsurgery.io.shape_text import shape_text
from netsurgery.maps.cell_geometry import Geometry
from netsurgery.maps.explain import GradCam
from netsurgery.maps.explainer import Explainer, PlacedValues
from netsurgery.maps.explanation import Method
from netsurgery.maps.map_source import MapSource
from netsurgery.maps.transformer import Transformer
from netsurgery.net.field import place_cells
from netsurgery.net.needed import listed, needed, require_blobs, without
from netsurgery.net.net import NetDefinition
from netsurgery.net.net_with_weights import NetWithWeights

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

__all__ = ["GradCamExplainer"]

Size = tuple[int, int]


class GradCamExplainer(Explainer):
    """Explains by Grad-CAM; real Caffe runs the net."""

    def __init__(
        self,
        source: MapSource,
        transformer: Transformer,
        options: EngineOptions,
        grad_cam: GradCam,
        labels: Labels | None = None,
    ) -> None:
        """Raises NetError for a layer that is not a map before the scores, and EngineError where
        another engine is asked for than Caffe."""
        super().__init__(source, transformer, options, str(grad_cam.classes), labels)
        if options.choice == "embedded":
            raise EngineError(no_backward())
        self._score = _score_blob(source)
        self._layer = _map_blob(source, self._score, grad_cam.layer, self._size)
        self._beside = self._layer, self._score
        weights = source.model.path if source.model.has_weights else None
        model = NetWithWeights(_with_backward(source.net), None if weights is None else weights)
        self.source = replace(source, model=model)

    def load(self) -> LoadedNet:
        """The loaded net. Raises EngineError where it is not Caffe that has it."""
        loaded = super().load()
        if self._engine is not None and self._engine.name == "embedded":
            note = self.note
            self.unload()
            raise EngineError(no_backward(note))
        return loaded

    def _explained(
        self, data: Array, at: Geometry, blobs: Mapping[str, Array], numbers: Sequence[int]
    ) -> PlacedValues:
        channels = blobs[self._layer]
        maps = []
        for number in numbers:
            seed = np.zeros_like(blobs[self._score])
            seed.flat[number] = 1
            gradient = self._backward(self._score, seed, self._layer)
            maps.append(_weighted(channels[0], gradient[0]))
        size, cells = (data.shape[2], data.shape[3]), (channels.shape[2], channels.shape[3])
        return PlacedValues(
            np.stack(maps), self._layer, self._geometry(size, cells, at), self._method()
        )

    def _geometry(self, size: Size, cells: Size, at: Geometry) -> Geometry:
        """Where the map's cells lie; spread evenly over the input where no field says so."""
        placed = place_cells(self.source.net, self._layer, self.source.shape, size)
        if placed is not None:
            return Geometry.of(placed, at.placement)
        height, width = (float(Fraction(size[i], cells[i])) for i in range(2))
        return Geometry((height, width), (height, width), at.placement)

    def _method(self) -> Method:
        return Method(
            "grad-cam",
            f"Grad-CAM: what {self._layer} does for the score of the class in {self._score}, by "
            "the score's gradient",
            "Grad-CAM value",
            {"layer": self._layer, "score": self._score},
        )


def _weighted(channels: Array, gradient: Array) -> Array:
    """ReLU of the sum of the channels, each times the mean of its gradient."""
    weights = gradient.mean(axis=(1, 2), dtype=np.float64)
    total = np.einsum("c,chw->hw", weights, channels.astype(np.float64))
    values: Array = np.maximum(total, 0).astype(np.float32)
    return values


def _score_blob(source: MapSource) -> str:
    """What is differentiated. Raises NetError where a Softmax has overwritten it."""
    if not source.is_probability:
        return source.blob
    softmax = next(layer for layer in reversed(source.net.layers) if source.blob in layer.tops)
    if softmax.in_place:
        raise NetError(
            f"{source.net.prototxt.path}: layer {softmax.name!r} works in place, so the score that "
            "it is given is not there to be differentiated; give it a top of its own"
        )
    return softmax.bottoms[0]


def _map_blob(source: MapSource, score: str, named: str | None, size: Size) -> str:
    """The blob whose map it is, at an input of `size`: of the layer or blob named, or else the last
    one with a map."""
    layers, _ = needed(source.net, [score])
    tops = list(dict.fromkeys(top for layer in layers for top in layer.tops))
    maps = [top for top in tops if top != score and _is_map(source.map_shape(top, size))]
    if named is None:
        if not maps:
            raise NetError(f"{source.net.prototxt.path}: no blob before {score!r} is a map")
        return maps[-1]
    by_layer = {layer.name: layer.tops[0] for layer in layers}
    blob = named if named in tops else by_layer.get(named, named)
    if blob not in tops:
        require_blobs(source.net, [blob])  # which names the nearest
    if blob not in maps:
        shape = source.map_shape(blob, size)
        what = f"is {shape_text(shape)}, no map" if blob in tops else "is not before it"
        raise NetError(
            f"{source.net.prototxt.path}: blob {blob!r} {what}; Grad-CAM of {score!r} takes "
            f"{listed(maps) or 'none'}"
        )
    return blob


def _is_map(shape: Shape) -> bool:
    return len(shape) == 3 and shape[1] * shape[2] > 1


def _with_backward(net: NetDefinition) -> NetDefinition:
    """The net with `force_backward: true`: without a loss Caffe computes no gradients."""
    earlier = [field.value for field in net.prototxt.root.all("force_backward")]
    cleared = without(net.prototxt, earlier) if earlier else net.prototxt
    parsed = Prototxt.parse(f"{cleared.text}\nforce_backward: true\n", cleared.path)
    original = cleared.original or cleared.text
    prototxt = replace(parsed, bom=cleared.bom, original=original)
    return replace(NetDefinition.of(prototxt, net.state), notes=net.notes)
