"""A net and its weights as one ONNX model, for as many input sizes as the net allows.

The graph is written at the net's own input shapes and once more at others. Where the two are the
same, operation by operation, it holds for any size, and the axes that differ are dynamic.
Caffe's preprocessing may be its first operations, so that it takes pixels.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from netsurgery import __version__
from netsurgery.errors import MeanError, NetsurgeryError, OutputError
from netsurgery.export import protobuf
from netsurgery.export.graph import Constant, Graph
from netsurgery.export.layers import NetParams, Prepare, check_types, write_net
from netsurgery.export.protobuf import ExternalData
from netsurgery.io.memory import Claim, claim_for
from netsurgery.io.segments import Bytes, FileRange, Segment, segments_length
from netsurgery.io.shape_text import shape_text
from netsurgery.io.wording import argument, counted
from netsurgery.net.memory import graph_memory
from netsurgery.net.net import NetDefinition, Shape
from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.net.shapes import Shapes, infer
from netsurgery.net.shuffle import of_any_size

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["LARGEST", "Export", "Preprocess", "export_net", "linked_location"]

#: protobuf's limit, and so that of an ONNX model with its weights inside.
LARGEST = 2**31 - 1

Axes = tuple["int | str", ...]

_IMAGE_AXES = ("batch", "channels", "height", "width")


@dataclass(frozen=True, eq=False)
class Export:
    """A net written as ONNX, its weights still in the caffemodel.

    inputs, outputs: shapes, a name for an axis that is dynamic. fixed: why height and width are
    not, None where they are.
    """

    model: NetWithWeights
    graph: Graph
    inputs: Mapping[str, Axes]
    outputs: Mapping[str, Axes]
    fixed: str | None

    def segments(self, location: str | None = None) -> list[Segment]:
        """The model as segments of a file: weights inside, or in `location` beside it.

        Raises OutputError for a model that would be over 2 GiB.
        """
        arrays = [c.data for c in self.graph.constants.values() if isinstance(c.data, np.ndarray)]
        what = f"{self.model.net.prototxt.path}: what is written of its params"
        claim_for(self, Claim(2 * sum(array.nbytes for array in arrays), what))
        graph = self.graph.encode(self.model.net.name, location)
        segments: list[Segment] = [
            FileRange(self.model.weights.source, piece.offset, piece.length)
            if isinstance(piece, ExternalData)
            else Bytes(piece)
            for piece in protobuf.model(graph, self._metadata(), __version__)
        ]
        size = segments_length(segments)
        if size > LARGEST:
            raise OutputError(
                f"the model would be {counted(size, 'byte')}, and ONNX takes at most "
                f"{LARGEST} in one file; "
                f"{argument('--weights-storage linked')} leaves the weights in the caffemodel"
            )
        return segments

    def _metadata(self) -> dict[str, str]:
        """Where the model came from."""
        metadata = {
            "source": "Caffe",
            "prototxt": Path(self.model.net.prototxt.path).name,
            "caffemodel": Path(self.model.path).name,
        }
        layers = dict.fromkeys(layer for layer, _ in self.graph.starts.values())
        if layers:
            metadata["starts"] = f"cont of {', '.join(layers)} must be 0 at the first step"
        # A file's name may hold bytes that are not UTF-8, a string of protobuf not.
        return {key: text.encode("utf-8", "replace").decode() for key, text in metadata.items()}


def export_net(
    model: NetWithWeights, prepare: Prepare | None = None, blobs: Sequence[str] = ()
) -> Export:
    """Write a net with its weights as ONNX; `prepare` puts operations before its inputs.

    blobs: what the model is to give, the net's outputs if empty.
    Raises NetError or PrototxtError, naming the layer, for a net that cannot be written or that
    the weights do not fit.
    """
    net = of_any_size(model.net, model.shapes)
    check_types(net, exporting=True)
    weights = NetParams(model)
    outputs_by_name = tuple(dict.fromkeys(blobs)) or net.outputs

    def written(shapes: Shapes) -> Graph:
        claim = Claim(graph_memory(net, shapes), f"{net.prototxt.path}: what its graph holds")
        return claim_for(graph(shapes), claim)

    def graph(shapes: Shapes) -> Graph:
        return write_net(net, shapes, outputs_by_name, weights.of, dynamic=True, prepare=prepare)

    shapes = model.shapes if net is model.net else infer(net)
    own = written(shapes)
    others, fixed = _freest(net, shapes, own, written)
    inputs = _axes(own.inputs, shapes, others)
    outputs = _axes(own.outputs, shapes, others)
    own.inputs, own.outputs = dict(inputs), dict(outputs)
    return Export(model, own, inputs, outputs, fixed)


def _freest(
    net: NetDefinition, shapes: Shapes, own: Graph, written: Callable[[Shapes], Graph]
) -> tuple[Shapes, str | None]:
    """Of the shapes to try those with most axes changed at which the graph is `own` all the same.

    And why height and width are not among the axes, None where they are.
    """
    fixed = None
    for larger in _others(net, shapes):
        try:
            others = infer(net, larger)
            why = _of_one_size(net, shapes, others) or _difference(own, written(others))
        except NetsurgeryError as error:
            why = f"at {', '.join(map(shape_text, larger.values()))}, {error}"
        if not why:
            return others, (fixed if _same_size(shapes, larger) else None)
        fixed = fixed or why
    return shapes, fixed


def _of_one_size(net: NetDefinition, shapes: Shapes, others: Shapes) -> str:
    """That a layer's params would need other shapes, as an InnerProduct's; "" for none."""
    for layer in net.layers:
        if shapes.params.get(layer.name) != others.params.get(layer.name):
            return f"layer {layer.name!r} ({layer.type}) takes one size"
    return ""


def _others(net: NetDefinition, shapes: Shapes) -> Iterator[dict[str, Shape]]:
    """Input shapes to try, those with most axes changed first."""
    inputs = {blob.name: shapes.of(blob.name) for blob in net.inputs}
    for more in ((1, 0, 37, 53), (0, 0, 37, 53), (1, 0, 0, 0)):
        yield {
            name: tuple(
                # All inputs get larger alike: those of one size may have to stay so.
                size + (more[axis] if len(shape) == 4 else more[0] if axis == 0 else 0)
                for axis, size in enumerate(shape)
            )
            for name, shape in inputs.items()
        }


def _same_size(shapes: Shapes, others: Mapping[str, Shape]) -> bool:
    """Whether heights and widths are the same."""
    return all(shapes.of(name)[2:] == shape[2:] for name, shape in others.items())


def _difference(first: Graph, second: Graph) -> str:
    """That a layer's operations are not the same in both graphs; "" where all are."""
    for a, b in zip_longest(first.nodes, second.nodes):
        same = a == b and all(
            _equal(first.constants.get(n), second.constants.get(n)) for n in a.inputs
        )
        if not same:
            return f"the graph of layer {(a or b).layer!r} depends on the input's size"
    return ""


def _equal(first: Constant | None, second: Constant | None) -> bool:
    if first is None or second is None:
        return first is second
    if first.shape != second.shape:
        return False
    if isinstance(first.data, ExternalData) or isinstance(second.data, ExternalData):
        return first.data is second.data or first.data == second.data
    return np.array_equal(first.data, second.data, equal_nan=True)


def _axes(
    values: Mapping[str, Sequence[int | str]], shapes: Shapes, others: Shapes
) -> dict[str, Axes]:
    """The shapes, with a name for every axis that differs."""
    axes = {}
    for name in values:
        # `_name_outputs` calls an output so where an input has the blob's name.
        blob = name.removesuffix("/top")
        shape, second = shapes.of(blob), others.of(blob)
        words = _IMAGE_AXES if len(shape) == 4 else tuple(f"axis{i}" for i in range(len(shape)))
        axes[name] = tuple(
            a if a == b else ("batch" if i == 0 else f"{blob}_{words[i]}")
            for i, (a, b) in enumerate(zip(shape, second, strict=True))
        )
    return axes


def linked_location(model: Path | str, output: Path | str) -> str:
    """Where the caffemodel is, as a model written at `output` may say.

    Raises OutputError where ONNX Runtime would refuse to follow: it takes files in the model's
    own folder or below, by their real names, and none with several names.
    """
    real = os.path.realpath(model)
    folder = os.path.dirname(os.path.realpath(output))
    if os.stat(real).st_nlink > 1:
        raise OutputError(
            f"{model}: has several hard links, and ONNX Runtime follows none of them; "
            f"use {argument('--weights-storage inside')}, or a copy of the file"
        )
    location = os.path.relpath(real, folder)
    if location.split(os.sep)[0] == os.pardir:
        raise OutputError(
            f"{output}: linked weights must lie in its folder or below, and {real} does not; "
            f"write it to {os.path.dirname(real)}, or use {argument('--weights-storage inside')}"
        )
    try:
        location.encode("utf-8")
    except UnicodeEncodeError:
        raise OutputError(
            f"{model!s}: its name is not UTF-8, which an ONNX model cannot hold; "
            f"use {argument('--weights-storage inside')}"
        ) from None
    return location


@dataclass(frozen=True, eq=False)
class Preprocess:
    """caffe.io.Transformer's steps after resizing, in its order.

    Pixels 0..255 become 0..1; channels are taken in the order `channel_swap`; times `raw_scale`;
    less `mean` (C values, in the net's own order); times `input_scale`. check: raises for an input
    of a number of channels that these are not for.
    """

    check: Callable[[int], None]
    channel_swap: tuple[int, ...] | None = None
    raw_scale: float = 1.0
    mean: NDArray[np.float32] | None = None
    input_scale: float = 1.0

    def __call__(self, graph: Graph, name: str, shape: Shape) -> str:
        """Put the steps after the graph's input `name`, N x C x H x W."""
        value, channels = name, shape[1] if len(shape) == 4 else 0
        if not channels:
            raise MeanError(f"input {name} is not N x C x H x W, so pixels cannot be made ready")
        self.check(channels)
        graph.layer = "preprocess"
        if self.channel_swap is not None:
            order = np.asarray(self.channel_swap, np.int64)
            value = _op(graph, "Gather", value, order, axis=1)
        # The usual 255 undoes the division by 255: pixels stay as they are.
        if self.raw_scale != 255:
            value = _op(graph, "Mul", value, np.float32(self.raw_scale / 255))
        if self.mean is not None:
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
