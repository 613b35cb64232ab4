"""A net that Caffe has loaded, in the worker: what netsurgery/engines/pycaffe.py hands out.

What a user can get wrong is checked here first, so that the message names the blob and Caffe need
not abort.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netsurgery.engines.caffe_claim import NetClaim
from netsurgery.engines.contract import Shape, check_array, check_shape
from netsurgery.engines.model_file import check_saved
from netsurgery.engines.worker_process import wire_path
from netsurgery.errors import EngineError, EngineFailed
from netsurgery.io.argument_types import checks_arguments
from netsurgery.io.closeable import Closeable
from netsurgery.io.memory import Claim, claim_for
from netsurgery.io.shape_text import shape_text

if TYPE_CHECKING:
    from netsurgery.engines.contract import Array
    from netsurgery.engines.pycaffe import Confinement, PycaffeEngine

__all__ = ["CaffeNet", "shape_of"]


class CaffeNet(Closeable):
    """A net inside the worker. Arrays go to it and come from it as copies."""

    def __init__(
        self,
        engine: PycaffeEngine,
        number: int,
        path: str,
        facts: Mapping[str, Any],
        claim: NetClaim,
        confinement: Confinement,
    ) -> None:
        """`facts` is the worker's answer to "load"; `number` is what it calls the net."""
        self.number, self.path, self._claim = number, path, claim
        self._engine, self._worker = engine, engine._worker
        self._handover, self._limits = confinement
        with self._worker.sense(f"loading {path}"):
            self._layers = [(str(name), str(kind)) for name, kind in facts["layers"]]
            self._params = {
                str(layer): tuple(map(shape_of, shapes)) for layer, shapes in facts["params"]
            }
            self._blobs = shapes_by_name(facts["blobs"])
            self._inputs = [str(name) for name in facts["inputs"]]
            if not self._blobs.keys() >= set(self._inputs):
                raise ValueError("an input is not a blob")
        self._open = True

    @property
    def inputs(self) -> Mapping[str, Shape]:
        """The input blobs and their present shapes, in file order."""
        return {name: self._blobs[name] for name in self._inputs}

    @property
    def blobs(self) -> Mapping[str, Shape]:
        """Every blob and its present shape, in file order (splits of Caffe's own included)."""
        return dict(self._blobs)

    @property
    def params(self) -> Mapping[str, tuple[Shape, ...]]:
        """Every layer with params, and the shape of each."""
        return dict(self._params)

    @property
    def layers(self) -> Sequence[tuple[str, str]]:
        """(name, type) of every layer Caffe made, in the order it runs them."""
        return list(self._layers)

    @checks_arguments()
    def reshape(self, shapes: Mapping[str, Shape]) -> None:
        """Give inputs new shapes; every other blob follows.

        What the inputs held is not to be relied on afterwards. Raises EngineError for a name
        or a shape that cannot be, EngineFailed when a layer refuses the shape: Caffe aborts
        then, and the engine is gone.
        """
        shapes = self._checked(shapes)
        self._check_open()
        self._limits.expect(self.number, self._claim.bound({**self.inputs, **shapes}))
        targets = ", ".join(f"{name} to {shape_text(shape)}" for name, shape in shapes.items())
        doing = f"reshaping {self.path}, {targets}"
        requested = [[name, list(shape)] for name, shape in shapes.items()]
        result = self._request("reshape", doing, shapes=requested)
        with self._worker.sense(doing):
            self._blobs.update(shapes_by_name(result["blobs"]))

    @checks_arguments()
    def memory(self, inputs: Mapping[str, Shape], blobs: Sequence[str]) -> int:
        """Bytes that running the net at these inputs takes at most, handing `blobs` back."""
        return self._claim.running({**self.inputs, **self._checked(inputs)}, blobs)

    @checks_arguments()
    def check_memory(
        self, inputs: Mapping[str, Shape], blobs: Sequence[str], more: int = 0
    ) -> None:
        """Raise MemoryLimitError where that, and `more` bytes, is more than may be used."""
        self._claim.check({**self.inputs, **self._checked(inputs)}, blobs, more)

    @checks_arguments()
    def at_once(
        self, blobs: Sequence[str], most: int
    ) -> tuple[int, Callable[[Mapping[str, Array]], dict[str, Array]]]:
        """One thread, and `forward`: Caffe's worker does one thing at a time."""
        return 1, partial(self.forward, blobs=blobs)

    def forward(self, inputs: Mapping[str, Array], blobs: Sequence[str]) -> dict[str, Array]:
        """Run the net once and return the blobs asked for by name, float32, the caller's own.

        An input must be float32 and have the present shape exactly. One that is not given keeps
        what it had, which is what a layer working in place on it made of it. A blob is seen
        after its last writer. Raises EngineError for inputs and names that do not fit.
        """
        arrays = self._fitting(inputs)
        for name in blobs:
            if name not in self._blobs:
                raise EngineError(
                    f"{self.path} has no blob {name}; there is {', '.join(self._blobs)}"
                )
        self._check_open()
        self._claim.grow(self.inputs, blobs)
        offsets = self._worker.put(arrays)
        feed = [[name, offset] for name, offset in zip(inputs, offsets, strict=True)]
        doing = f"running {self.path}"
        result = self._request("forward", doing, inputs=feed, blobs=list(blobs))
        taken = {}
        with self._worker.sense(doing):
            for name, (shape, offset) in zip(blobs, result["blobs"], strict=True):
                self._blobs[name] = shape_of(shape)
                taken[name] = self._worker.take(shape_of(shape), *shape_of([offset]))
        return taken

    @checks_arguments()
    def backward(self, top: str, gradient: Array, blob: str) -> Array:
        """The gradient of sum(`gradient` * `top`) as to `blob`, at what `forward` ran on last.

        Both are seen after their last writers. gradient: float32 of exactly the shape of `top`. The
        net's text has to say `force_backward: true`: Caffe leaves out what leads to no loss. Raises
        EngineError for blobs that are not there, and EngineFailed for a layer without a backward.
        """
        import numpy as np

        for name in (top, blob):
            if name not in self._blobs:
                raise EngineError(f"{self.path} has no blob {name}")
        check_array(f"gradient of {top}", gradient, self._blobs[top])
        self._check_open()
        (offset,) = self._worker.put([np.ascontiguousarray(gradient).reshape(gradient.shape)])
        doing = f"the backward pass of {self.path} from {top} to {blob}"
        result = self._request("backward", doing, top=top, blob=blob, offset=offset)
        with self._worker.sense(doing):
            ((shape, offset),) = result["blobs"]
            return self._worker.take(shape_of(shape), *shape_of([offset]))

    def param(self, layer: str, index: int) -> Array:
        """A copy of param `index` of `layer` (0 is the weight, 1 the bias, where there is one)."""
        self._check_param(layer, index)
        doing = f"reading layer {layer}"
        count = 4 * prod(self._params[layer][index])
        claim = Claim(count, f"{self.path}: param {index} of layer {layer!r}")
        result = self._request("param", doing, layer=layer, index=index)
        with self._worker.sense(doing):
            ((shape, offset),) = result["blobs"]
            return claim_for(self._worker.take(shape_of(shape), *shape_of([offset])), claim)

    @checks_arguments()
    def set_param(self, layer: str, index: int, array: Array) -> None:
        """Set param `index` of `layer` to `array`, float32 and of exactly its shape."""
        import numpy as np

        self._check_param(layer, index)
        check_array(f"param {index} of layer {layer}", array, self._params[layer][index])
        self._check_open()
        self._worker.put([np.ascontiguousarray(array).reshape(array.shape)])
        self._request("set_param", f"setting layer {layer}", layer=layer, index=index)

    def save(self, path: Path) -> None:
        """Write the net's params to `path` as Caffe's own save does, replacing what is there.

        Caffe does not notice a disk that fills up at the end, so the file is checked to be
        whole. Raises EngineFailed. Writing beside and renaming is the caller's business.
        """
        try:
            self._check_open()
            self._worker.check_alive()
            with self._handover.saved(path) as place:
                self._request("save", f"saving to {path}", path=wire_path(place))
        except EngineFailed as failed:
            if "SerializeToOstream" not in str(failed):
                raise
            raise EngineFailed(f"{path}: Caffe could not write it; is the disk full?") from None
        check_saved(path, len(self._layers))

    def _fitting(self, inputs: Mapping[str, Array]) -> list[Array]:
        """The inputs as the worker is given them. Raises EngineError for one that does not fit."""
        import numpy as np

        arrays = []
        for name, array in inputs.items():
            self._check_input(name)
            check_array(f"input {name}", array, self._blobs[name])
            arrays.append(np.ascontiguousarray(array).reshape(array.shape))
        return arrays

    def _checked(self, shapes: Mapping[str, Shape]) -> dict[str, Shape]:
        """The shapes of inputs, where those can have them. Raises EngineError."""
        for name in shapes:
            self._check_input(name)
        return {name: check_shape(name, shape) for name, shape in shapes.items()}

    def _check_input(self, name: str) -> None:
        if name not in self._inputs:
            known = ", ".join(f"{name} ({shape_text(self._blobs[name])})" for name in self._inputs)
            raise EngineError(f"{self.path} has no input {name}; its inputs: {known or 'none'}")

    def _check_param(self, layer: str, index: int) -> None:
        if layer not in self._params:
            known = ", ".join(self._params) or "none"
            raise EngineError(f"{self.path} has no params of a layer {layer}; those with: {known}")
        if not 0 <= index < len(self._params[layer]):
            count = len(self._params[layer])
            raise EngineError(f"layer {layer} has params 0 to {count - 1}, not {index}")

    def _check_open(self) -> None:
        if not self._open:
            raise EngineError(f"{self.path} was closed")

    def _request(self, op: str, doing: str, **fields: Any) -> dict[str, Any]:
        self._check_open()
        return self._engine._request(op, doing, net=self.number, **fields)

    def close(self) -> None:
        """Release the net; the engine stays open. May be called again."""
        if self._open and self._worker.alive:
            self._request("close", f"closing {self.path}")
            self._limits.forget(self.number)
        self._open = False
        self._claim.close()


def shapes_by_name(pairs: Sequence[tuple[str, Sequence[int]]]) -> dict[str, Shape]:
    return {str(name): shape_of(shape) for name, shape in pairs}


def shape_of(sizes: Sequence[int]) -> Shape:
    """The shape in an answer. Raises ValueError where it is none."""
    if not all(type(size) is int and size >= 0 for size in sizes):
        raise ValueError("a shape that is none")
    return tuple(sizes)
