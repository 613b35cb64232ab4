"""Caffe's own solver inside the worker: its steps, its state, where numbers stop being finite; and
the backward pass of a net alone.

A step is what ``solver.step(1)`` does. Random numbers (those of Dropout) are seeded before each, so
that a step follows from its seed and the state before it alone: Caffe can save momentum, but not
how far its random numbers are. Between the gradients and the update
every gradient is looked at; where one is not finite the step is called off, and the weights stay.

The state is written as Caffe's own ``.solverstate``, which Caffe restores. pycaffe does not hand
out momentum, but plain gradient descent leaves its last update in the gradients' place, and that is
what it keeps as momentum.

It stands alone beside caffe_worker.py, which loads it by its path: the standard library and numpy,
in the syntax of Python 2.7 and 3.5 at once.
"""

from __future__ import absolute_import, division, print_function

import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, List, Optional, Tuple

    from netsurgery.engines.caffe_channel import CHUNK, Refused
else:
    from caffe_channel import CHUNK, Refused

__all__ = ["TrainingSolver", "backward"]

#: Field numbers of SolverState, BlobProto and BlobShape in Caffe's caffe.proto.
ITERATION, HISTORY, STEP = 1, 3, 4
DATA, SHAPE, DIM = 5, 7, 1
VARINT, BYTES = 0, 2


class StepCalledOff(Exception):
    """A gradient or a loss is not a number; raised inside a step to call it off."""


class TrainingSolver(object):
    """One solver and its net."""

    def __init__(self, caffe, numpy, path):
        # type: (Any, Any, Any) -> None
        if not all(hasattr(caffe, name) for name in ("get_solver", "set_random_seed")):
            raise Refused("failed", "this pycaffe is too old to train a net")
        self.caffe, self.numpy = caffe, numpy
        self.solver = caffe.get_solver(path)
        self.net = self.solver.net
        self.losses = []  # type: List[str]
        self.broken = None  # type: Optional[Dict[str, Any]]
        if not hasattr(self.solver, "add_callback"):
            raise Refused("failed", "this pycaffe is too old to train a net: no callbacks")
        self.solver.add_callback(lambda: None, self.look)

    def step(self, seed, losses):
        # type: (int, List[str]) -> Optional[Dict[str, Any]]
        """One step; where numbers stop being finite where that began, and no step is made."""
        self.losses, self.broken = losses, None
        self.caffe.set_random_seed(seed)
        try:
            self.solver.step(1)
        except Exception:
            if self.broken is None:
                raise
        return self.broken

    def look(self):
        # type: () -> None
        """Called by Caffe when gradients are there and nothing is updated yet."""
        blobs = self.net.blobs
        gradient = self.broken_gradient()
        if gradient is None and all(self.finite(blobs[name].data) for name in self.losses):
            return
        # A ReLU makes 0 of a NaN, so that only the gradients may show it.
        self.broken = self.broken_value() or gradient
        if self.broken is None:
            self.broken = {"layer": "", "blob": self.losses[0], "what": "blob"}
        # What comes out of Caffe may be another exception; the finding is kept.
        raise StepCalledOff()

    def finite(self, array):
        # type: (Any) -> bool
        """Whether all of it is; a sum is not where any number is not."""
        with self.numpy.errstate(all="ignore"):
            if self.numpy.isfinite(array.sum()):
                return True
        # Finite numbers may have too large a sum.
        return bool(self.numpy.isfinite(array).all())

    def broken_value(self):
        # type: () -> Optional[Dict[str, Any]]
        """The first layer with a param, or that makes a blob, with a number that is not finite."""
        names, blobs = self.net._blob_names, self.net._blobs
        for index, layer in enumerate(self.net._layer_names):
            if not all(self.finite(blob.data) for blob in self.net.layers[index].blobs):
                return {"layer": text(layer), "blob": "", "what": "param"}
            for top in self.net._top_ids(index):
                if not self.finite(blobs[top].data):
                    return {"layer": text(layer), "blob": text(names[top]), "what": "blob"}
        return None

    def broken_gradient(self):
        # type: () -> Optional[Dict[str, Any]]
        """The last layer, where gradients come first, with one that is not finite."""
        for index in reversed(range(len(self.net.layers))):
            if not all(self.finite(blob.diff) for blob in self.net.layers[index].blobs):
                layer = text(self.net._layer_names[index])
                return {"layer": layer, "blob": "", "what": "gradient"}
        return None

    def learnable(self):
        # type: () -> List[Any]
        """The params in the order in which Caffe keeps momentum: those shared once."""
        seen, params = set(), []
        for layer in self.net.layers:
            for blob in layer.blobs:
                place = blob.data.__array_interface__["data"][0]
                if place not in seen:
                    seen.add(place)
                    params.append(blob)
        return params

    def save(self, path):
        # type: (Any) -> None
        """Write the state after a step as Caffe writes a .solverstate."""
        with open(path, "wb") as file:
            file.write(number(ITERATION, int(self.solver.iter)))
            for blob in self.learnable():
                diff = self.numpy.ascontiguousarray(blob.diff, "<f4")
                dims = b"".join(varint(int(size)) for size in diff.shape)
                shape = field(SHAPE, field(DIM, dims))
                data = tag(DATA, BYTES) + varint(diff.nbytes)
                length = len(shape) + len(data) + diff.nbytes
                file.write(tag(HISTORY, BYTES) + varint(length) + shape + data)
                raw = memoryview(diff.reshape(-1).view(self.numpy.uint8))
                for start in range(0, len(raw), CHUNK):
                    file.write(raw[start : start + CHUNK])
            file.write(number(STEP, 0))

    def restore(self, path):
        # type: (Any) -> int
        """Have Caffe read a state; which step it is of."""
        self.solver.restore(path)
        return int(self.solver.iter)


def backward(net, top, blob, fill):
    # type: (Any, str, str, Callable[[Any], None]) -> None
    """Run the net backward, from the gradient of `top` to that of `blob` behind its last writer.

    A layer in place makes a blob's gradient that of what it was given: the last writer of `blob`,
    and all before it, are left out. A Split of Caffe's own, which adds gradients up, is behind it.
    fill: puts the gradient of `top` into its array.
    """
    names, count = [text(name) for name in net._blob_names], len(net.layers)
    ends = [
        max(layer for layer in range(count) if names.index(name) in list(net._top_ids(layer)))
        for name in (top, blob)
    ]
    if ends[0] <= ends[1]:
        raise Refused("failed", "blob %s does not depend on blob %s" % (top, blob))
    # Of blobs that lead elsewhere a gradient may be left that was asked for before.
    used = {number for layer in range(ends[1], ends[0] + 1) for number in net._top_ids(layer)}
    for number in used:
        net._blobs[number].diff[...] = 0
    fill(net._blobs[names.index(top)].diff)
    net._backward(ends[0], ends[1] + 1)


def text(name):
    # type: (Any) -> str
    """A name of Caffe's as text: Python 2 has it as bytes."""
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)


def varint(value):
    # type: (int) -> bytes
    """A whole number as protobuf writes it."""
    parts = []
    while value > 0x7F:
        parts.append(struct.pack("B", value & 0x7F | 0x80))
        value >>= 7
    return b"".join(parts) + struct.pack("B", value)


def tag(number, kind):
    # type: (int, int) -> bytes
    return varint(number << 3 | kind)


def number(field, value):
    # type: (int, int) -> bytes
    return tag(field, VARINT) + varint(value)


def field(number, value):
    # type: (int, bytes) -> bytes
    return tag(number, BYTES) + varint(len(value)) + value
