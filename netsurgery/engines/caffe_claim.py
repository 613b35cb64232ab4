"""The memory that a net takes inside the worker, claimed before Caffe allocates it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence

from netsurgery.engines.contract import Shape
from netsurgery.errors import NetError, PrototxtError
from netsurgery.io.closeable import Closeable
from netsurgery.io.memory import Claim
from netsurgery.io.shape_text import shape_text
from netsurgery.net.memory import caffe_backward, caffe_loading, caffe_memory, caffe_training
from netsurgery.net.net import NetDefinition
from netsurgery.net.shapes import Shapes, ShapesAt

__all__ = ["NetClaim"]


class NetClaim(Closeable):
    """The claim of one net: the most that it has taken, until it is closed.

    Nothing is claimed for a net on a GPU.
    """

    def __init__(self, net: NetDefinition, *, gpu: bool, training: bool = False) -> None:
        """Claim what loading the net takes, or training it. Raises MemoryLimitError."""
        self._path = net.prototxt.path
        self._net = None if gpu else net
        self._training = training
        # Else Caffe runs no net backward that has no loss.
        self._backward = net.prototxt.root.boolean("force_backward", False)
        self._shapes_at = ShapesAt(net)
        self._claim = Claim(0, self._path)
        self._known: dict[object, int] = {}
        if self._net is not None:
            with contextlib.suppress(NetError, PrototxtError):
                shapes = self._shapes_at()
                count = (caffe_training if training else caffe_loading)(self._net, shapes)
                doing = "training" if training else "loading"
                self._claim.at_least(count, f"{self._path}: {doing} the net")

    def running(self, inputs: Mapping[str, Shape], blobs: Sequence[str]) -> int:
        """What running it at these inputs takes, handing `blobs` back."""
        key = tuple(sorted(inputs.items())), frozenset(blobs)
        if key not in self._known:
            self._known[key] = self._estimated(inputs, blobs)
        return self._known[key]

    def bound(self, inputs: Mapping[str, Shape]) -> int | None:
        """What the net takes at these inputs, all blobs handed back; None where it is not known."""
        if self._net is None:
            return None
        tops = [blob.name for blob in self._net.inputs]
        tops += [top for layer in self._net.layers for top in layer.tops]
        try:
            shapes = self._shapes(inputs)
        except (NetError, PrototxtError):
            return None
        return self.running(inputs, tops) if shapes.blobs.keys() >= set(tops) else None

    def _shapes(self, inputs: Mapping[str, Shape]) -> Shapes:
        assert self._net is not None
        own = {blob.name for blob in self._net.inputs}
        return self._shapes_at({k: v for k, v in inputs.items() if k in own})

    def _estimated(self, inputs: Mapping[str, Shape], blobs: Sequence[str]) -> int:
        if self._net is None:
            return 0
        try:
            if self._training:
                return caffe_training(self._net, self._shapes(inputs))
            if self._backward:
                return caffe_backward(self._net, self._shapes(inputs), blobs)
            return caffe_memory(self._net, self._shapes(inputs), blobs)
        except (NetError, PrototxtError):
            return 0

    def check(self, inputs: Mapping[str, Shape], blobs: Sequence[str], more: int) -> None:
        """Raise MemoryLimitError where what running it takes, and `more`, is not left."""
        before = self._claim.count
        self.grow(inputs, blobs, more)
        self._claim.at_most(before)

    def grow(self, inputs: Mapping[str, Shape], blobs: Sequence[str], more: int = 0) -> None:
        """Claim what running it takes. Raises MemoryLimitError."""
        sizes = ", ".join(f"{name} of {shape_text(shape)}" for name, shape in inputs.items())
        what = f"{self._path}: running the net with {sizes or 'no input'}"
        self._claim.at_least(self.running(inputs, blobs) + more, what)

    def close(self) -> None:
        """Give it back."""
        self._claim.close()
