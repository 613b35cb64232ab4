"""A small builder of ONNX graphs: operations, constants, values named after Caffe's blobs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from netsurgery.export import protobuf
from netsurgery.export.protobuf import Attribute, ExternalData, Piece
from netsurgery.net.net import Shape

__all__ = ["Constant", "Graph", "Node"]


class Node(NamedTuple):
    """A node of an ONNX graph, and the layer it is part of.

    ``name`` is its first output's original name, before that was renamed after a blob: it contains
    the layer's name. ``domain``: whose operation it is, "" for ONNX's own.
    """

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Attribute]
    name: str
    layer: str = ""
    domain: str = ""


@dataclass(frozen=True, eq=False)
class Constant:
    """A value known beforehand: an array, or float32 in a range of the file of weights."""

    shape: Shape
    data: np.ndarray[Any, Any] | ExternalData


@dataclass(eq=False)
class Graph:
    """Operations in the order they run, over named values.

    ``inputs`` and ``outputs`` are value -> shape; an axis of a shape may be a name: dynamic.
    ``starts`` are values that must be 0 for the graph to hold, with the layer that says so and
    their shape: see recurrent.py. ``layer`` is the layer being written. ``last``: the number after
    the last fresh name of each hint.
    """

    inputs: dict[str, Sequence[int | str]] = field(default_factory=dict)
    outputs: dict[str, Sequence[int | str]] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    constants: dict[str, Constant] = field(default_factory=dict)
    starts: dict[str, tuple[str, Shape]] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)
    last: dict[str, int] = field(default_factory=dict)
    layer: str = ""

    def fresh(self, hint: str) -> str:
        """A value name that nothing has yet; `hint` itself where it is free."""
        # Counting goes on from the last: from 1 it would be quadratic in the uses of a hint.
        name, count = hint, self.last.get(hint, 1)
        while name in self.taken:
            count += 1
            name = f"{hint}_{count}"
        self.taken.add(name)
        self.last[hint] = count
        return name

    def several(
        self, kind: str, inputs: Sequence[str], count: int, hint: str, **attributes: Attribute
    ) -> list[str]:
        """Add an operation with `count` outputs and return their names."""
        outputs = tuple(self.fresh(hint) for _ in range(count))
        self.nodes.append(Node(kind, tuple(inputs), outputs, attributes, outputs[0], self.layer))
        return list(outputs)

    def constant(self, data: np.ndarray[Any, Any] | ExternalData, shape: Shape, hint: str) -> str:
        """Add a constant and return its name."""
        name = self.fresh(hint)
        self.constants[name] = Constant(shape, data)
        return name

    def drop_unused(self) -> None:
        """Leave out constants that no operation takes."""
        taken = {name for o in self.nodes for name in o.inputs}
        self.constants = {name: c for name, c in self.constants.items() if name in taken}

    def rename(self, names: Mapping[str, str]) -> None:
        """Call the values that are keys of `names` by what it says there."""

        def renamed(old: Iterable[str]) -> tuple[str, ...]:
            return tuple(names.get(name, name) for name in old)

        self.nodes = [
            o._replace(inputs=renamed(o.inputs), outputs=renamed(o.outputs)) for o in self.nodes
        ]
        self.constants = {names.get(k, k): v for k, v in self.constants.items()}
        self.outputs = {names.get(k, k): v for k, v in self.outputs.items()}
        self.starts = {names.get(k, k): v for k, v in self.starts.items()}

    def encode(self, name: str, location: str | None = None) -> list[Piece]:
        """The GraphProto; file ranges become external data in `location`, or pieces inside."""
        pieces: list[Piece] = [
            protobuf.field(
                1, protobuf.node(o.kind, o.inputs, o.outputs, o.attributes, o.name, o.domain)
            )
            for o in self.nodes
        ]
        # onnx.checker refuses a graph without a name.
        pieces.append(protobuf.field(2, name or "net"))
        for key, constant in self.constants.items():
            pieces += _initializer(key, constant, location)
        for number, values in ((11, self.inputs), (12, self.outputs)):
            pieces += [
                protobuf.field(number, protobuf.value_info(key, shape))
                for key, shape in values.items()
            ]
        return pieces


def _initializer(name: str, constant: Constant, location: str | None) -> list[Piece]:
    data = constant.data
    if isinstance(data, ExternalData):
        if location is not None:
            tensor = protobuf.external_tensor(name, constant.shape, location, data)
            return [protobuf.field(5, tensor)]
        return protobuf.message(5, protobuf.tensor(name, protobuf.FLOAT, constant.shape, [data]))
    kind = protobuf.INT64 if data.dtype == np.int64 else protobuf.FLOAT
    little = data.astype(data.dtype.newbyteorder("<"), copy=False)
    return protobuf.message(5, protobuf.tensor(name, kind, constant.shape, [little.tobytes()]))
