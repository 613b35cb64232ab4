"""An open net in an engine, which is started when the net is run and stays for the next time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from netsurgery.engines.contract import Engine, EngineOptions, LoadedNet
from netsurgery.errors import EngineFailed, EngineTimeout
from netsurgery.io.closeable import Closeable
from netsurgery.io.memory import empty
from netsurgery.net.net import Shape
from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.open_net.params import Store

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

__all__ = ["Runner"]


class Runner(Closeable):
    """One net, loaded in the engine that was asked for last.

    Its params are those of the file, and then those that were changed since: they go to the engine
    as arrays, each time that they have changed again.
    """

    def __init__(self, model: NetWithWeights, store: Store | None) -> None:
        self._model, self._store = model, store
        self._options: EngineOptions | None = None
        self._engine: Engine | None = None
        self._loaded: LoadedNet | None = None
        self._sent: dict[tuple[str, int], Array] = {}

    def forward(
        self, options: EngineOptions, inputs: Mapping[str, Array], blobs: Sequence[str]
    ) -> dict[str, Array]:
        """Run the net once, in the engine of these options; inputs that are left out are zeros."""
        try:
            loaded = self._ready(options)
            self._send_params(loaded)
            shapes: dict[str, Shape] = {
                name: array.shape
                for name, array in inputs.items()
                if loaded.inputs.get(name) != array.shape
            }
            if shapes:
                loaded.reshape(shapes)
            return loaded.forward(inputs, blobs)
        except (EngineFailed, EngineTimeout):
            self.close()  # Caffe's process may be gone: the next run starts one
            raise

    @property
    def engine(self) -> Engine | None:
        """The engine that is running, if any."""
        return self._engine

    def _ready(self, options: EngineOptions) -> LoadedNet:
        if self._loaded is None or options != self._options:
            from netsurgery.engines.registry import open_engine

            self.close()
            weights = Path(self._model.path) if self._model.has_weights else None
            self._engine = open_engine(options, [self._model])
            try:
                self._loaded = self._engine.load(self._model.net, weights)
            except BaseException:
                self.close()
                raise
            self._options = options
        return self._loaded

    def _send_params(self, loaded: LoadedNet) -> None:
        changed = self._store.changed(self._sent) if self._store is not None else {}
        for (layer, index), array in changed.items():
            what = f"layer {layer!r}: its param {index} as the engine has it"
            values = self._sent.get((layer, index))
            values = empty(array.shape, "f4", what) if values is None else values
            # A copy of its own: the user's array may change before the next comparison.
            values[...] = array
            # Who shares a param may have it in a shape of its own.
            loaded.set_param(layer, index, values.reshape(loaded.params[layer][index]))
            self._sent[layer, index] = values

    def close(self) -> None:
        """End the engine; running the net starts one again."""
        if self._engine is not None:
            self._engine.close()
        self._engine = self._loaded = self._options = None
        # A new engine begins with the file's params: whatever was changed has to go to it again.
        self._sent.clear()
