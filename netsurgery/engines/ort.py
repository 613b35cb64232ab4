"""The embedded engine: a Caffe net run by ONNX Runtime, without Caffe.

A net becomes an ONNX graph of a few KB for the input shapes and blobs asked for. Its weights are
not copied, but for small kernels: they are external data of the graph, ranges of bytes inside the
caffemodel, which ONNX Runtime maps.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from netsurgery.engines.contract import EngineOptions, Shape, check_array, check_shape, no_backward
from netsurgery.engines.ort_session import VERSION, Session, find_cuda, providers
from netsurgery.errors import EngineError, MemoryLimitError, PrototxtError
from netsurgery.export.layers import NetParams, check_types, write_net
from netsurgery.io.argument_types import checks_arguments
from netsurgery.io.closeable import Closeable
from netsurgery.io.memory import Claim, left
from netsurgery.io.nearest import did_you_mean
from netsurgery.io.shape_text import shape_text
from netsurgery.io.wording import counted
from netsurgery.net.cost import NUMBER_BYTES, distinct_params
from netsurgery.net.memory import embedded_memory, embedded_work, is_laid_out
from netsurgery.net.net import NetDefinition
from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.net.shapes import Shapes, infer
from netsurgery.net.state import TEST, NetState

if TYPE_CHECKING:
    from netsurgery.engines.contract import Array
    from netsurgery.engines.ort_arena import SharedArena
    from netsurgery.engines.ort_kernels import LaidOut

    #: Inputs by name, with their shapes.
    _Inputs = tuple[tuple[str, Shape], ...]

__all__ = ["EmbeddedEngine", "EmbeddedNet", "open_engine"]

#: Sessions kept for one net; each is for some input shapes and some blobs.
SESSIONS = 16


def open_engine(options: EngineOptions, note: str = "") -> EmbeddedEngine:
    """The embedded engine; `note` says why it and not Caffe, where that is to be said.

    Raises EngineMissing for a GPU that this ONNX Runtime cannot use.
    """
    providers(options.gpu)
    if options.gpu is not None:
        find_cuda(options.verbose)
    return EmbeddedEngine(options, note)


class EmbeddedEngine(Closeable):
    """ONNX Runtime as an engine."""

    name = "embedded"

    def __init__(self, options: EngineOptions, note: str = "") -> None:
        self.options, self.note = options, note
        self._nets: list[EmbeddedNet] = []
        self._arena: SharedArena | None = None

    @property
    def description(self) -> str:
        """One line for a summary: "embedded (ONNX Runtime 1.31.1), CPU"."""
        device = "CPU" if self.options.gpu is None else f"GPU {self.options.gpu}"
        return f"embedded (ONNX Runtime {VERSION}), {device}"

    @checks_arguments()
    def load(
        self,
        net: Path | NetDefinition,
        weights: Path | None = None,
        *,
        state: NetState = TEST,
        in_turn: bool = False,
    ) -> EmbeddedNet:
        """Load a net, of a prototxt in `state`; without weights its params are as its fillers give.

        A `Net` is loaded as it is. The phase is TEST: what else training computes is Caffe's alone.
        in_turn: those that are loaded so share the memory that a run takes.

        Raises FormatError and its children for files that cannot be read, and NetError or
        PrototxtError, naming the layer, for a net that this engine cannot run or that the
        weights do not fit.
        """
        path, state = (
            (net.prototxt.path, net.state) if isinstance(net, NetDefinition) else (net, state)
        )
        if state.phase != "TEST":
            raise EngineError(f"{path}: this engine runs nets in the TEST phase only")
        model = NetWithWeights(
            net if isinstance(net, NetDefinition) else NetDefinition.read(net, state), weights
        )
        try:
            check_types(model.net)
        except PrototxtError as error:
            # Where Caffe was passed over, the way out is not to ask for it.
            raise (error.more(f" ({self.note})") if self.note else error) from None
        try:
            loaded = EmbeddedNet(self, model, self._arena_for(in_turn))
        except BaseException:
            model.close()
            raise
        self._nets = [*(net for net in self._nets if net.open), loaded]
        return loaded

    def _arena_for(self, in_turn: bool) -> SharedArena | None:
        """What runs of a net take their memory from, None for one of each session's own."""
        if not in_turn or self.options.gpu is not None:
            return None
        from netsurgery.engines.ort_arena import SharedArena

        self._arena = self._arena or SharedArena()
        return self._arena

    def close(self) -> None:
        """Release every net."""
        while self._nets:
            self._nets.pop().close()


class EmbeddedNet(Closeable):
    """A net, its weights, and the sessions made for the shapes and blobs asked for."""

    def __init__(
        self, engine: EmbeddedEngine, model: NetWithWeights, arena: SharedArena | None
    ) -> None:
        """arena: as of `EmbeddedEngine._arena_for`."""
        self._engine, self._net, self._model = engine, model.net, model
        self._arena = arena
        self._names = dict.fromkeys(blob.name for blob in model.net.inputs)
        self._weights = NetParams(model)
        self._shapes = model.shapes
        self._sessions: OrderedDict[object, tuple[Session, Claim]] = OrderedDict()
        self._held: dict[str, Array] = {}
        # By the shapes of the inputs: what many runs at one size would work out again.
        self._inferred = lru_cache(SESSIONS)(partial(_infer, self._net))
        self._needed = lru_cache(SESSIONS)(partial(_memory, self._net))
        self.open = True
        self._copied = self._check_params()
        self._kernels = self._laid_out()
        if arena is not None:
            arena.join()

    def _laid_out(self) -> LaidOut | None:
        numbers = distinct_params(self._net, self._shapes, is_laid_out)
        if not numbers or self._engine.options.gpu is not None:
            return None
        from netsurgery.engines.ort_kernels import LaidOut

        source = self._model.weights.source if self._model.has_weights else None
        return LaidOut(source, NUMBER_BYTES * numbers)

    def _check_params(self) -> int:
        """Every layer's params are there and fit, before anything is run.

        Returns how many of their numbers are not mapped from the file of weights.
        """
        return sum(
            prod(param.shape)
            for layer in self._net.layers
            for param in self._weights.of(layer, self._shapes.params_of(layer))
            if param.range is None
        )

    @property
    def inputs(self) -> Mapping[str, Shape]:
        """The input blobs and their present shapes, in file order."""
        return {blob.name: self._shapes.of(blob.name) for blob in self._net.inputs}

    @property
    def blobs(self) -> Mapping[str, Shape]:
        """Every blob and its present shape, in file order."""
        return dict(self._shapes.blobs)

    @property
    def params(self) -> Mapping[str, tuple[Shape, ...]]:
        """Every layer with params, and the shape of each."""
        return dict(self._shapes.params)

    @checks_arguments()
    def reshape(self, shapes: Mapping[str, Shape]) -> None:
        """Give inputs new shapes; every other blob follows.

        An input whose shape changes holds zeros until it is given. Raises EngineError for an
        input that is not there or a shape that cannot be, PrototxtError or NetError, naming the
        layer, where the net or its weights cannot follow.
        """
        shapes_now = self._shapes_at(shapes)
        for layer in self._net.layers:
            self._weights.of(layer, shapes_now.params_of(layer))
        self._shapes = shapes_now
        self._held = {k: v for k, v in self._held.items() if v.shape == shapes_now.blobs.get(k)}

    def _shapes_at(self, shapes: Mapping[str, Shape]) -> Shapes:
        """The net's shapes with some inputs at others than now."""
        return self._inferred(self._inputs_at(shapes))

    def _inputs_at(self, shapes: Mapping[str, Shape]) -> _Inputs:
        """The shapes of all inputs, as far as they are known."""
        present = {blob.name: self._shapes.blobs.get(blob.name) for blob in self._net.inputs}
        for name, shape in shapes.items():
            self._check_input(name)
            present[name] = check_shape(name, shape)
        return tuple((name, shape) for name, shape in present.items() if shape is not None)

    @checks_arguments()
    def memory(self, inputs: Mapping[str, Shape], blobs: Sequence[str]) -> int:
        """Bytes that running the net at these inputs takes at most, handing `blobs` back."""
        if self._engine.options.gpu is not None:
            return 0  # the memory is the GPU's
        return self._needed(self._inputs_at(inputs), tuple(blobs), self._copied)

    @checks_arguments()
    def check_memory(
        self, inputs: Mapping[str, Shape], blobs: Sequence[str], more: int = 0
    ) -> None:
        """Raise MemoryLimitError where that, and `more` bytes, is more than may be used."""
        self._claimed({**self.inputs, **inputs}, blobs, more).close()

    def _claimed(self, inputs: Mapping[str, Shape], blobs: Sequence[str], more: int = 0) -> Claim:
        """What running the net takes; sessions that were kept make room for it."""
        sizes = ", ".join(f"{name} of {shape_text(shape)}" for name, shape in inputs.items())
        what = f"{self._net.prototxt.path}: running the net with {sizes or 'no input'}"
        count = self.memory(inputs, blobs) + more
        work = 0 if self._arena is None else self._work(inputs, blobs)
        while True:
            try:
                if self._arena is not None:
                    self._arena.reserve(work, what)
                return Claim(count - work, what)
            except MemoryLimitError:
                if not self._sessions:
                    raise
                self._sessions.popitem(last=False)

    def _work(self, inputs: Mapping[str, Shape], blobs: Sequence[str]) -> int:
        """What of `memory` is free again between runs."""
        shapes = self._inferred(self._inputs_at(inputs))
        return embedded_work(self._net, shapes, tuple(blobs))

    def forward(self, inputs: Mapping[str, Array], blobs: Sequence[str]) -> dict[str, Array]:
        """Run what the blobs asked for depend on and return them, the caller's own.

        An input must be float32 and have the present shape exactly. One that is not given keeps
        what it was given last. A blob is seen after its last writer. Raises EngineError for
        inputs and names that do not fit, CaffemodelError if the weights have changed since,
        EngineTimeout, and EngineFailed.
        """
        if not self.open:
            raise EngineError(f"{self._net.prototxt.path} was closed")
        for name, array in inputs.items():
            self._check_input(name)
            check_array(f"input {name}", array, self._shapes.of(name))
        for name in blobs:
            if name not in self._shapes.blobs:
                if name in self._shapes.unknown:
                    self._shapes.of(name)
                known = ", ".join(self._shapes.blobs)
                raise EngineError(f"{self._net.prototxt.path} has no blob {name}; there is {known}")
        # Sessions map the file: what is written into it now would be computed with.
        self._model.check_unchanged()
        for name, array in inputs.items():
            self._hold(name, array)
        names = tuple(dict.fromkeys(blobs))
        session = self._session(names)
        feed = {name: self._input(name) for name in session.inputs}
        arrays = session.run(feed)
        return dict(zip(names, arrays, strict=True))

    @checks_arguments()
    def at_once(
        self, blobs: Sequence[str], most: int
    ) -> tuple[int, Callable[[Mapping[str, Array]], dict[str, Array]]]:
        """How many threads, `most` or fewer, may run the net at its present shapes at once; and
        what they call for it, with inputs of their own.

        They take at most half of the memory that is left, and what `forward` took; it takes that
        again when it is called again. One thread, and `forward`, where memory or the options allow
        no more.
        """
        from netsurgery.io.cores import cores

        options, names = self._engine.options, tuple(dict.fromkeys(blobs))
        threads, key = options.threads or cores(), (tuple(self.inputs.items()), names)
        needed = self.memory(self.inputs, names)
        count = min(threads, most, left() // max(1, 2 * needed))
        if options.gpu is not None or count < 2:
            return 1, partial(self.forward, blobs=names)
        self._sessions.pop(key, None)
        what = f"{self._net.prototxt.path}: running the net {counted(count, 'time')} at once"
        claim = Claim(count * needed, what)
        session = self._make_session(names, replace(options, threads=threads // count))
        self._sessions[key, count] = session, claim
        return count, partial(self._run_at_once, (key, count), names)

    def _run_at_once(
        self, key: object, names: Sequence[str], inputs: Mapping[str, Array]
    ) -> dict[str, Array]:
        """Run the session that is kept by `key`; several threads may."""
        session, _ = self._sessions.get(key, (None, None))
        if session is None:
            raise EngineError(f"{self._net.prototxt.path}: it is run by one thread at a time again")
        self._model.check_unchanged()
        feed = {n: inputs[n] if n in inputs else self._input(n) for n in session.inputs}
        return dict(zip(names, session.run(feed), strict=True))

    @checks_arguments()
    def backward(self, top: str, gradient: Array, blob: str) -> Array:
        """Raises EngineError: this engine has no backward pass."""
        raise EngineError(no_backward(self._engine.note))

    @checks_arguments()
    def set_param(self, layer: str, index: int, array: Array) -> None:
        """Have the net run with a copy of `array`, float32 and of exactly the param's shape.

        Every layer that shares the param sees it; the file of weights stays as it is.
        """
        shapes = self._shapes.params.get(layer, ())
        if not 0 <= index < len(shapes):
            known = did_you_mean(layer, self._shapes.params, "layers with params")
            why = known if not shapes else f"; the layer has {len(shapes)}"
            raise EngineError(f"{self._net.prototxt.path} has no param {layer}[{index}]{why}")
        check_array(f"param {index} of layer {layer}", array, shapes[index])
        self._sessions.clear()  # which compute with the memory that is written to now
        self._weights.replace(layer, index, array)
        self._copied = self._check_params()

    def _hold(self, name: str, array: Array) -> None:
        """Keep a copy: the caller may change an array that a later forward still needs.

        It takes the memory of the one before, which is there, page by page.
        """
        if name in self._held:
            np.copyto(self._held[name], array)
        else:
            self._held[name] = np.array(array, np.float32, order="C")

    def _input(self, name: str) -> Array:
        shape = self._shapes.of(name)
        if name not in self._held:
            self._held[name] = np.zeros(shape, np.float32)
        return self._held[name]

    def _session(self, blobs: tuple[str, ...]) -> Session:
        key = (tuple(self.inputs.items()), blobs)
        if key not in self._sessions:
            claim = self._claimed(self.inputs, blobs)
            self._sessions[key] = self._make_session(blobs, self._engine.options), claim
            if len(self._sessions) > SESSIONS:
                self._sessions.popitem(last=False)
        self._sessions.move_to_end(key)
        return self._sessions[key][0]

    def _make_session(self, blobs: tuple[str, ...], options: EngineOptions) -> Session:
        graph = write_net(self._net, self._shapes, blobs, self._weights.of)
        weights = self._model.weights if self._model.has_weights else None
        if self._kernels is not None:
            graph = self._kernels.graph(graph)
        return Session(graph, weights, options, self._arena is not None)

    def _check_input(self, name: str) -> None:
        if name not in self._names:
            known = ", ".join(self._names) or "none"
            raise EngineError(f"{self._net.prototxt.path} has no input {name}; its inputs: {known}")

    def close(self) -> None:
        """Release the net and its weights. May be called again."""
        was_open, self.open = self.open, False
        self._sessions.clear()
        self._model.close()
        if self._kernels is not None:
            self._kernels.close()
        if was_open and self._arena is not None:
            self._arena.leave()


def _infer(net: NetDefinition, inputs: _Inputs) -> Shapes:
    return infer(net, dict(inputs))


def _memory(net: NetDefinition, inputs: _Inputs, blobs: tuple[str, ...], copied: int) -> int:
    return embedded_memory(net, _infer(net, inputs), blobs, copied)
