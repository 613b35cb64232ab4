"""An engine that runs a function instead of a net, and a stream that is a terminal."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from netsurgery.engines.contract import EngineOptions, Shape
from netsurgery.io.closeable import Closeable
from netsurgery.net.net import NetDefinition
from netsurgery.net.state import TEST, NetState

__all__ = ["FakeEngine", "FakeNet", "Terminal"]

#: From the inputs by name to the blobs by name.
Run = Callable[[dict[str, Any]], dict[str, Any]]


class FakeNet(Closeable):
    """A net whose forward is a function; `log` notes every reshape and forward."""

    def __init__(self, run: Run, inputs: Mapping[str, Shape], log: list[Any]) -> None:
        self.run, self.shapes, self.log = run, dict(inputs), log

    @property
    def inputs(self) -> Mapping[str, Shape]:
        return dict(self.shapes)

    @property
    def blobs(self) -> Mapping[str, Shape]:
        zeros = {name: np.zeros(shape, np.float32) for name, shape in self.shapes.items()}
        computed = {name: blob.shape for name, blob in self.run(zeros).items()}
        return {**self.shapes, **computed}

    @property
    def params(self) -> Mapping[str, tuple[Shape, ...]]:
        return {}

    def reshape(self, shapes: Mapping[str, Shape]) -> None:
        self.log.append(("reshape", dict(shapes)))
        self.shapes.update(shapes)

    def memory(self, inputs: Mapping[str, Shape], blobs: Sequence[str]) -> int:
        return 0

    def check_memory(
        self, inputs: Mapping[str, Shape], blobs: Sequence[str], more: int = 0
    ) -> None:
        pass

    def forward(self, inputs: Mapping[str, Any], blobs: Sequence[str]) -> dict[str, Any]:
        for name, array in inputs.items():
            assert array.dtype == np.float32
            assert array.flags.c_contiguous
            assert array.shape == tuple(self.shapes[name])
        self.log.append(("forward", {name: array.copy() for name, array in inputs.items()}))
        computed = self.run(dict(inputs))
        return {name: np.asarray(computed[name], np.float32) for name in blobs}

    def at_once(
        self, blobs: Sequence[str], most: int
    ) -> tuple[int, Callable[[Mapping[str, Any]], dict[str, Any]]]:
        return 1, partial(self.forward, blobs=blobs)

    def backward(self, top: str, gradient: Any, blob: str) -> Any:
        raise NotImplementedError

    def set_param(self, layer: str, index: int, array: Any) -> None:
        self.log.append(("set_param", layer, index))

    def close(self) -> None:
        self.log.append("net closed")


class FakeEngine(Closeable):
    """Loads FakeNets; an opener as well: ``opener=engine.open``."""

    name = "fake"
    description = "fake 1.0"
    note = ""

    def __init__(self, run: Run, inputs: Mapping[str, Shape]) -> None:
        self.run, self.inputs = run, inputs
        self.log: list[Any] = []
        self.options: EngineOptions | None = None

    def open(self, options: EngineOptions, models: Sequence[Any] = ()) -> FakeEngine:
        self.options = options
        self.log.append("open")
        return self

    def load(
        self,
        net: Path | NetDefinition,
        weights: Path | None = None,
        *,
        state: NetState = TEST,
        in_turn: bool = False,
    ) -> FakeNet:
        path = Path(net.prototxt.path) if isinstance(net, NetDefinition) else net
        self.log.append(("load", path, weights))
        return FakeNet(self.run, self.inputs, self.log)

    def close(self) -> None:
        self.log.append("engine closed")


class Terminal(io.StringIO):
    """A text stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True
