"""Every layer type that can be written as ONNX, and a net written layer by layer.

Params come from a caffemodel by layer name, or from the net's own fillers.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from netsurgery.export import (
    activations,
    convolution,
    forks,
    normalization,
    pooling,
    recurrent,
    shaping,
)
from netsurgery.export.graph import Graph
from netsurgery.export.layer_context import Converter, LayerContext, LayerParam
from netsurgery.export.protobuf import ExternalData
from netsurgery.io.memory import empty
from netsurgery.io.shape_text import shape_text
from netsurgery.io.wording import argument
from netsurgery.net import types
from netsurgery.net.known_fields import check_blobs, check_fields
from netsurgery.net.needed import needed
from netsurgery.net.net import Layer, NetDefinition, Shape
from netsurgery.net.param_sources import ParamSources
from netsurgery.net.shapes import Shapes
from netsurgery.net.types.record import InputSource

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from netsurgery.formats.weights import WeightsBlob
    from netsurgery.net.net_with_weights import NetWithWeights

__all__ = ["CONVERTERS", "NetParams", "check_type", "check_types", "write_net"]

CONVERTERS: dict[str, Converter] = {
    **activations.CONVERTERS,
    **convolution.CONVERTERS,
    **forks.CONVERTERS,
    **normalization.CONVERTERS,
    **pooling.CONVERTERS,
    **recurrent.CONVERTERS,
    **shaping.CONVERTERS,
}

#: Gives the params of a layer, of the shapes named.
ParamsOf = Callable[[Layer, tuple[Shape, ...]], tuple[LayerParam, ...]]

#: Gives the value that a blob has, made from the graph's input of its name and shape.
Prepare = Callable[[Graph, str, Shape], str]


def check_types(net: NetDefinition, *, exporting: bool = False) -> None:
    """Raise PrototxtError for the first layer that only Caffe itself, or a fork of it, can run.

    exporting: say it of a net that is to be written, for which no other engine can be asked.
    """
    for layer in net.layers:
        check_type(net, layer, exporting=exporting)


def check_type(net: NetDefinition, layer: Layer, *, exporting: bool = False) -> None:
    """The same for one layer of the net."""
    record = types.of(layer)
    if record is None or not record.runs:
        raise layer.error(_why_not(net, layer, exporting))
    check_fields(layer)
    check_blobs(layer)


def _why_not(net: NetDefinition, layer: Layer, exporting: bool) -> str:
    record = types.of(layer)
    if types.source(layer) is InputSource.DATA:
        why = "it reads data of its own"
    elif record.training if record else layer.type.endswith("Loss"):
        why = "it is there for training"
    else:
        which = f"run this type of {record.origin}" if record else "know this type"
        if exporting:
            from netsurgery.export.way_out import blobs_instead  # most nets need none

            return f"export does not {which.replace('run', 'write')}{blobs_instead(net, layer)}"
        return (
            f"the embedded engine does not {which}; "
            f"{argument('--engine caffe')} runs what your Caffe knows"
        )
    if exporting:
        return f"{why}; a deploy net, whose inputs are given, can be exported"
    return (
        f"{why}; the embedded engine runs deploy nets, whose inputs are given "
        f"({argument('--engine caffe')} runs this one)"
    )


def write_net(
    net: NetDefinition,
    shapes: Shapes,
    outputs: Sequence[str],
    params_of: ParamsOf,
    *,
    dynamic: bool = False,
    prepare: Prepare | None = None,
) -> Graph:
    """The graph that computes the blobs `outputs`, called by their names, at `shapes`.

    `prepare` puts operations between an input of the graph and the blob of that name.

    Raises NetError for a shape that is not known, and PrototxtError, naming the layer, for what
    cannot be written.
    """
    # Blobs' names are kept free for `_name_outputs`.
    graph = Graph(taken=set(shapes.blobs))
    layers, inputs = needed(net, outputs)
    values = {name: name for name in inputs}
    known = {name: shapes.of(name) for name in inputs}
    graph.inputs = dict(known)
    if prepare is not None:
        values = {name: prepare(graph, name, shape) for name, shape in known.items()}
    for layer in layers:
        graph.layer = layer.name
        ctx = LayerContext(
            graph=graph,
            layer=layer,
            bottoms=[values[bottom] for bottom in layer.bottoms],
            shapes=[known[bottom] for bottom in layer.bottoms],
            tops=[shapes.of(top) for top in layer.tops],
            params=params_of(layer, shapes.params_of(layer)),
            dynamic=dynamic,
        )
        _check_elements(ctx)
        tops = _converter(layer)(ctx)
        values.update(zip(layer.tops, tops, strict=True))
        known.update(zip(layer.tops, ctx.tops, strict=True))
    _name_outputs(graph, values, known, outputs)
    return graph


def _converter(layer: Layer) -> Converter:
    record = types.of(layer)
    assert record is not None
    return CONVERTERS[record.name]


def _check_elements(ctx: LayerContext) -> None:
    for name, shape in (
        *zip(ctx.layer.bottoms, ctx.shapes, strict=True),
        *zip(ctx.layer.tops, ctx.tops, strict=True),
    ):
        if 0 in shape:
            raise ctx.layer.error(f"blob {name!r} is {shape_text(shape)}: there is nothing in it")


def _name_outputs(
    graph: Graph, values: Mapping[str, str], known: Mapping[str, Shape], outputs: Sequence[str]
) -> None:
    """Call every value by its blob's name; outputs become values of their own."""
    names: dict[str, str] = {}
    for blob in outputs:
        value = values[blob]
        # An ONNX output is made by a node, and one value cannot be two outputs.
        if value in graph.inputs or value in graph.constants or value in names:
            value = graph.several("Identity", [value], 1, f"{blob}/Identity")[0]
        # An input that a layer works on in place is an input and an output of one name.
        names[value] = graph.fresh(f"{blob}/top") if blob in graph.inputs else blob
        graph.outputs[value] = known[blob]
    for blob, value in values.items():
        taken = blob in graph.inputs or blob in names.values()
        if value not in names and value not in graph.inputs and not taken:
            names[value] = blob
    graph.rename(names)
    graph.drop_unused()


class NetParams:
    """What a net's layers hold; see `netsurgery.net.param_sources`."""

    def __init__(self, model: NetWithWeights) -> None:
        self._sources, self._sharing = ParamSources(model), model.net.sharing
        self._replaced: dict[tuple[str, int], NDArray[np.float32]] = {}

    def replace(self, layer: str, index: int, array: NDArray[np.float32]) -> None:
        """Give a copy of `array` for this param, and for those that share it, from now on."""
        owner = self._sharing.owner((layer, index))
        values = self._replaced.get(owner)
        if values is None or values.shape != array.shape:
            values = empty(array.shape, "f4", f"layer {layer!r}: a copy of its param {index}")
            self._replaced[owner] = values
        values[...] = array

    def of(self, layer: Layer, shapes: tuple[Shape, ...]) -> tuple[LayerParam, ...]:
        """The layer's params, of exactly `shapes`.

        Raises NetError where the file's differ, naming layer, blob and both shapes, and
        PrototxtError where neither the file nor the net says what a param holds.
        """
        sources = self._sources.of(layer, shapes)
        return tuple(
            self._param(source, shape, (layer.name, index))
            for index, (source, shape) in enumerate(zip(sources, shapes, strict=True))
        )

    def _param(
        self, source: WeightsBlob | float, shape: Shape, param: tuple[str, int]
    ) -> LayerParam:
        values = self._replaced.get(self._sharing.owner(param))
        if values is None:
            return _param(source, shape)
        return LayerParam(shape, None, lambda: values.reshape(shape))


def _param(source: WeightsBlob | float, shape: Shape) -> LayerParam:
    if isinstance(source, float):
        return LayerParam(shape, None, functools.partial(_filled, source, shape))
    packed = None if source.packed is None else ExternalData(*source.packed)
    return LayerParam(shape, packed, functools.partial(_read, source, shape))


def _filled(value: float, shape: Shape) -> NDArray[np.float32]:
    array: NDArray[np.float32] = empty(shape, "f4", f"an array of {shape_text(shape)} for a param")
    array[...] = value
    return array


def _read(blob: WeightsBlob, shape: Shape) -> NDArray[np.float32]:
    return np.ascontiguousarray(blob.numpy(), np.float32).reshape(shape)
