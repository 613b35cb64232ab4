"""Where the params of a net come from: a file of weights, by layer name, or the net's fillers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from math import prod

from netsurgery.errors import NetError, PrototxtError
from netsurgery.formats.textformat import Message
from netsurgery.formats.weights import WeightsBlob, stored_shape
from netsurgery.io.wording import argument, counted
from netsurgery.net import types
from netsurgery.net.net import Layer, NetDefinition, Shape
from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.net.param_fit import mismatch, other_shape

__all__ = ["ParamSources", "check_own_names"]


def check_own_names(net: NetDefinition) -> None:
    """Raise PrototxtError where params would not come to the layer that they are of.

    Caffe loads a layer's params into the first layer of its name, and saves those of all.
    """
    first: dict[str, Layer] = {}
    for layer in net.layers:
        owner = first.setdefault(layer.name, layer)
        if owner is not layer and _has_params(layer):
            raise layer.error(
                f"the layer in line {owner.message.error('').line} has the same name, and Caffe "
                "loads params by name into the first; give each its own"
            )


class ParamSources:
    """For each param of a net the blob that holds it, or the constant that fills it.

    Caffe finds params by the layer's name; what the file has for layers that the net lacks is
    left alone. Layers whose params bear the same name hold the same values: the file's last.
    """

    def __init__(self, model: NetWithWeights) -> None:
        """Without weights every param is filled, and with weights none.

        Raises PrototxtError (see `check_own_names`), and NetError for weights that lack a layer's
        params.
        """
        net = model.net
        check_own_names(net)
        if model.has_weights:
            model.refuse_lacking(
                {
                    layer.name: (None,) * len(types.params(layer) or ())
                    for layer in _with_params(net)
                }
            )
        self._whole = model
        self._net, self._model = net, model.weights if model.has_weights else None
        self._sharers: dict[str, list[tuple[Layer, int]]] = {}
        for layer in net.layers:
            for index, name in enumerate(layer.param_names):
                if name:
                    self._sharers.setdefault(name, []).append((layer, index))
        layers = () if self._model is None else self._model.layers
        self._place = {layer.name: place for place, layer in enumerate(layers)}
        self._stored = model.stored
        self._holders: dict[str, tuple[Layer, int]] = {}
        self._permissive: dict[str, bool] = {}
        # Reversed, so that of several layers of a name the first stays.
        self._first = {layer.name: layer for layer in reversed(net.layers)}

    def of(self, layer: Layer, shapes: tuple[Shape, ...]) -> tuple[WeightsBlob | float, ...]:
        """The sources of the layer's params, of exactly `shapes`; no weights are read.

        Raises NetError where the file's differ, naming layer, blob and both shapes, or that the
        weights are of another net, and
        PrototxtError where there is no file and the net's filler draws at random.
        """
        self._check_own(layer, shapes)
        names = [*layer.param_names]
        names += [""] * (len(shapes) - len(names))
        return tuple(
            self._source(*self._holder(layer, index, name), shape, len(shapes))
            for index, (name, shape) in enumerate(zip(names, shapes, strict=False))
        )

    def check(self, params: Mapping[str, tuple[Shape, ...]]) -> None:
        """Raise what `of` raises for any layer; `params` is layer -> shapes, as far as known."""
        for layer in self._net.layers:
            if layer.name in params:
                self.of(layer, params[layer.name])

    def _holder(self, layer: Layer, index: int, name: str) -> tuple[Layer, int, Layer]:
        """Whose param in the file it is: (layer, index), and the owner, whose fillers count."""
        if not name:
            return layer, index, layer
        sharers = self._sharers[name]
        if name not in self._holders:
            known = [pair for pair in sharers if pair[0].name in self._place]
            # Caffe loads layer by layer into the one blob they share: what comes last stays.
            last = max(known, key=lambda pair: self._place[pair[0].name]) if known else sharers[0]
            self._holders[name] = last
        return *self._holders[name], sharers[0][0]

    def _check_own(self, layer: Layer, shapes: tuple[Shape, ...]) -> None:
        """Raise NetError where what the file has under the layer's name is not of these shapes."""
        # What is stored under a name several layers bear goes to the first of them alone.
        if self._first[layer.name] is not layer or layer.name not in self._place:
            return
        if not shapes and layer.name not in self._stored:
            return
        assert self._model is not None
        blobs = self._model.layer(layer.name).blobs
        misfit = mismatch(layer.name, blobs, shapes)
        if misfit is None:
            return
        fitting = [i for i in misfit.wrong if self._as_many(layer, i, blobs[i], shapes[i])]
        wrong = tuple(index for index in misfit.wrong if index not in fitting)
        if wrong or not fitting:
            with suppress(PrototxtError):  # shapes that contradict each other at the declared size
                if reason := self._whole.another_net():
                    raise NetError(reason)
            raise self._unfit(layer, *misfit._replace(wrong=wrong).reasons(self._model.path))

    def _source(
        self, layer: Layer, index: int, owner: Layer, shape: Shape, count: int
    ) -> WeightsBlob | float:
        if self._model is None:
            return _filled(owner, index)
        path, blobs = self._model.path, self._model.layer(layer.name).blobs
        if len(blobs) <= index:
            what = f"{path} has {counted(len(blobs), 'param')} for it, expected {count}"
            raise self._unfit(layer, what)
        blob = blobs[index]
        fits = blob.shape == stored_shape(blob, shape)
        if not fits and not self._as_many(layer, index, blob, shape):
            raise self._unfit(layer, other_shape(index, blob.shape, shape, path))
        return blob

    def _as_many(self, layer: Layer, index: int, blob: WeightsBlob, shape: Shape) -> bool:
        """Whether the param is shared with any shape of as many numbers, and there are as many."""
        name = "".join(layer.param_names[index : index + 1])
        if name not in self._permissive:
            sharers = self._sharers.get(name, ())
            self._permissive[name] = any(each.shares_by_count(place) for each, place in sharers)
        return self._permissive[name] and prod(blob.shape) == prod(shape)

    def _unfit(self, layer: Layer, *reasons: str) -> NetError:
        return NetError(f"layer {layer.name!r} ({layer.type}): {'; '.join(reasons)}")


def _with_params(net: NetDefinition) -> Iterator[Layer]:
    return (layer for layer in net.layers if _has_params(layer))


def _has_params(layer: Layer) -> bool:
    return bool(types.params(layer))


def _filled(layer: Layer, index: int) -> float:
    """What the layer's own filler gives the param, if that is a constant."""
    message, fills = _filler_of(layer, index)
    # FillerParameter's own defaults: constant, and 0.
    kind = "constant" if message is None else message.string("type", "constant")
    if kind != "constant":
        raise layer.error(
            f"its filler {kind!r} draws at random; the embedded engine runs nets with their "
            "weights, which `netsurgery init` fills "
            f"({argument('--engine caffe')} runs this one)"
        )
    return fills if message is None else message.number("value", 0.0)


def _filler_of(layer: Layer, index: int) -> tuple[Message | None, float]:
    """The message that says how to fill param `index`, and what fills it without."""
    known = types.params(layer) or ()
    if index >= len(known):
        return None, 0.0
    param, field = known[index], types.message_of(layer)
    message = layer.param(field).message(param.filler) if field and param.filler else None
    return message, param.fills
