"""What a converter, the function that writes one layer as ONNX operations, works on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from netsurgery.export.graph import Graph
from netsurgery.export.protobuf import Attribute, ExternalData
from netsurgery.io.wording import argument
from netsurgery.net.net import Layer, Shape

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["Converter", "LayerContext", "LayerParam", "only_caffe"]

_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True, eq=False)
class LayerParam:
    """One param of a layer, float32 in row-major order.

    ``range`` is where its bytes lie in the file of weights, where they lie there as ONNX wants
    them; ``read`` gives them as an array of ``shape`` whatever the file's own form.
    """

    shape: Shape
    range: ExternalData | None
    read: Callable[[], NDArray[np.float32]]


@dataclass(eq=False)
class LayerContext:
    """One layer and the graph it is written into.

    bottoms: the values of the layer's bottoms; shapes: their shapes; tops: the shapes its tops
    must have. ``dynamic`` asks for operations that work at other heights and widths as well.
    """

    graph: Graph
    layer: Layer
    bottoms: list[str]
    shapes: list[Shape]
    tops: list[Shape]
    params: tuple[LayerParam, ...]
    dynamic: bool = False

    @property
    def bottom(self) -> str:
        """The value of the first bottom."""
        return self.bottoms[0]

    @property
    def shape(self) -> Shape:
        """The shape of the first bottom."""
        return self.shapes[0]

    def op(self, kind: str, *inputs: str, **attributes: Attribute) -> str:
        """Add an operation with one output and return it."""
        return self.several(kind, inputs, 1, **attributes)[0]

    def several(
        self, kind: str, inputs: Sequence[str], count: int, **attributes: Attribute
    ) -> list[str]:
        """Add an operation with several outputs and return them."""
        for name, value in attributes.items():
            if isinstance(value, float) and not abs(value) <= _LARGEST:
                raise self.layer.error(f"{name} {value:g}; expected a number that float32 holds")
        return self.graph.several(kind, inputs, count, f"{self.layer.name}/{kind}", **attributes)

    def ints(self, values: ArrayLike) -> str:
        """A constant of whole numbers."""
        array = np.asarray(values, np.int64)
        return self.graph.constant(array, array.shape, f"{self.layer.name}/ints")

    def floats(self, values: ArrayLike) -> str:
        """A constant of float32."""
        with np.errstate(over="ignore"):  # a number too large is infinite, as in Caffe
            array = np.asarray(values, np.float32)
        return self.graph.constant(array, array.shape, f"{self.layer.name}/floats")

    def array(self, index: int) -> NDArray[np.float32]:
        """Param `index` as an array, to compute with."""
        return self.params[index].read()

    def param(self, index: int, shape: Shape | None = None) -> str:
        """Param `index` as a value, its bytes seen as of `shape` (its own by default)."""
        param = self.params[index]
        view = param.shape if shape is None else shape
        data = param.read().reshape(view) if param.range is None else param.range
        return self.graph.constant(data, view, f"{self.layer.name}/param{index}")

    def reshape(self, value: str, dims: Sequence[int]) -> str:
        """`value` with other dims: 0 keeps the axis at its place, -1 is what is left."""
        return self.op("Reshape", value, self.ints(dims))

    def scaled(self, value: str, factor: float) -> str:
        """`value` x `factor`."""
        return value if factor == 1 else self.op("Mul", value, self.floats(factor))


def only_caffe() -> str:
    """The way out of what Caffe's own layer takes and an ONNX graph cannot; an export has none."""
    return f"only real Caffe takes others ({argument('--engine caffe')}, where a net is run)"


#: Writes one layer; returns the value of each of its tops.
Converter = Callable[[LayerContext], list[str]]
