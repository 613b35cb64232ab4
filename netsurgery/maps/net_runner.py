"""A net that is loaded when it is first run, and again after an engine that failed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from netsurgery.engines.contract import Engine, EngineOptions, LoadedNet
from netsurgery.engines.registry import open_engine
from netsurgery.errors import EngineError, NetError
from netsurgery.io.closeable import Closeable
from netsurgery.maps.map_source import MapSource

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from netsurgery.net.stages import Stage, StagedPlan
    from netsurgery.net.staging import Staging
    from netsurgery.net.tiling import Untileable

    Array = NDArray[np.float32]

__all__ = ["NetRunner"]


class NetRunner(Closeable):
    """The net of a source, in an engine; a context manager.

    engine, note: one line about the engine that ran last, and why it was not another; "" before
    and if so. because: why it is not another, where others have chosen it. opener: starts the
    engine, None for `open_engine`. turn: see `in_turn`.
    """

    def __init__(
        self,
        source: MapSource,
        options: EngineOptions,
        opener: Callable[[EngineOptions], Engine] | None = None,
    ) -> None:
        self.source, self.options = source, options
        self.opener = opener or (lambda options: open_engine(options, [source.model]))
        self.engine = self.note = self.because = ""
        self._engine: Engine | None = None
        self._loaded: LoadedNet | None = None
        self._closed = False
        self.turn = threading.RLock()

    def run(self, blob: Array, names: Sequence[str]) -> dict[str, Array]:
        """Feed the net's input and return the blobs `names`; the input takes the blob's shape."""
        loaded = self.load()
        name = self.source.input.name
        with self._released_if_failed():
            if tuple(loaded.inputs[name]) != blob.shape:
                loaded.reshape({name: blob.shape})
            return loaded.forward({name: blob}, names)

    def at_once(
        self, names: Sequence[str], most: int
    ) -> tuple[int, Callable[[Array], dict[str, Array]]]:
        """`LoadedNet.at_once`, at the input's present shape."""
        count, forward = self.load().at_once(names, most)
        name = self.source.input.name
        return count, lambda blob: forward({name: blob})

    def _backward(self, top: str, gradient: Array, blob: str) -> Array:
        """`LoadedNet.backward`, at what `run` ran on last."""
        loaded = self.load()
        with self._released_if_failed():
            return loaded.backward(top, gradient, blob)

    @contextmanager
    def stages(self, plan: StagedPlan) -> Iterator[Callable[[Stage, Array], Mapping[str, Array]]]:
        """What runs the stages of a plan; those that are parts of the net are loaded meanwhile."""
        loaded, nets = self.load(), {}
        assert self._engine is not None
        with self._released_if_failed(), ExitStack() as stack:
            for stage in plan.stages:
                net = loaded
                if stage.net is not self.source.net:
                    net = self._engine.load(stage.net, Path(self.source.model.path), in_turn=True)
                    stack.enter_context(net)
                net.reshape({stage.input: stage.input_shape})
                nets[stage] = net
            yield lambda stage, pixels: nets[stage].forward({stage.input: pixels}, stage.blobs)

    @contextmanager
    def _released_if_failed(self) -> Iterator[None]:
        """Release the net and the engine where something fails, for a new one to be started."""
        try:
            yield
        except (EngineError, MemoryError):
            self.unload()
            raise

    @cached_property
    def find_stages(self) -> Callable[..., Staging | Untileable]:
        """`net.staging.find_stages`; what it gives is kept, as many pictures are of one size."""
        from netsurgery.net.staging import find_stages

        return lru_cache(maxsize=2)(find_stages)

    def load(self) -> LoadedNet:
        """The loaded net; the first call starts the engine. Raises NetError once it is closed."""
        if self._closed:
            raise NetError(f"{self.source.net.prototxt.path}: the net is closed")
        if self._loaded is None:
            self._engine = self.opener(self.options)
            self.engine = self._engine.description
            self.note = self._engine.note or self.because
            try:
                model = self.source.model
                self._loaded = self._engine.load(model.net, Path(model.path))
            except BaseException:
                self.unload()
                raise
        return self._loaded

    def close(self) -> None:
        """Close the net and the engine."""
        self._closed = True
        self.unload()

    def unload(self) -> None:
        """Give back all that the net and the engine take; the next run starts them again."""
        loaded, engine = self._loaded, self._engine
        self._loaded = self._engine = None
        try:
            if loaded is not None:
                loaded.close()
        finally:
            if engine is not None:
                engine.close()
