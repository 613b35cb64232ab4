"""Large kernels of Convolutions as the processor takes them, made once and mapped from then on.

ONNX Runtime's Convolution of `com.microsoft.nchwc` takes kernels in blocks of B outputs x B inputs,
B being 8 or 16, as many numbers as a register of the processor holds: O/B x I/B x H x W x B inputs
x B outputs. It is faster than with kernels as they lie in the caffemodel, O x I x H x W (`python -m
benchmarks.layouts`). ONNX Runtime makes that layout itself, in each session and each process, of
kernels that it may rewrite (`netsurgery.net.memory.REWRITTEN`); larger ones are laid out here, once
for all: in files of the user's cache, or of the process's own where there is none.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from netsurgery.engines.contract import EngineOptions
from netsurgery.engines.ort_session import Session
from netsurgery.errors import EngineError, OutputError
from netsurgery.export.graph import Constant, Graph, Node
from netsurgery.export.protobuf import ExternalData
from netsurgery.io.closeable import Closeable
from netsurgery.io.cores import cores
from netsurgery.io.mapping import watch
from netsurgery.io.memory import empty
from netsurgery.io.reader import Reader
from netsurgery.io.scratch import scratch_folder
from netsurgery.io.shape_text import shape_text
from netsurgery.io.user_cache import UserCache, boot_mark, user_cache
from netsurgery.net.memory import is_laid_out

if TYPE_CHECKING:
    from netsurgery.engines.contract import Array
    from netsurgery.io.segments import FileSource

__all__ = ["LaidOut", "lay_out"]

#: The domain of ONNX Runtime's operations on blobs in blocks of channels.
_NCHWC = "com.microsoft.nchwc"

#: Bytes of kernels that a thread lays out at a time.
_PART = 4 << 20


def lay_out(kernels: Array, block: int, write: Callable[[int, Array], None]) -> None:
    """Write kernels in blocks: `write` gets a place, in numbers, and those that belong there.

    Several threads call it. kernels: O x I x H x W, float32, O and I multiples of block.

    >>> kernels = np.arange(4, dtype=np.float32).reshape(2, 2, 1, 1)
    >>> lay_out(kernels, 2, lambda place, numbers: print(place, numbers.ravel()))
    0 [0. 2. 1. 3.]
    """
    outputs, inputs, height, width = kernels.shape
    parts = kernels.reshape(outputs // block, block, inputs // block, block, height, width)
    blocks = parts.transpose(0, 2, 4, 5, 3, 1)
    count = kernels[:block].size
    step = max(1, _PART // (4 * count))

    def write_some(start: int) -> None:
        write(start * count, np.ascontiguousarray(blocks[start : start + step]))

    with ThreadPoolExecutor(cores()) as threads:
        list(threads.map(write_some, range(0, len(blocks), step)))


class LaidOut(Closeable):
    """The large kernels of one file of weights, each laid out when the first session wants it."""

    def __init__(self, source: FileSource | None, size: int) -> None:
        """source: the file of weights; None for a net whose params are all computed.

        size: bytes of the kernels that may be laid out. Raises as `user_cache` does.
        """
        self._source, self._folders = source, ExitStack()
        cached = user_cache() if source is not None else None
        self._cache = cached if cached is not None and size <= cached.limit else None
        self._own: UserCache | None = None

    def graph(self, graph: Graph) -> Graph:
        """The graph with Convolutions of large kernels as ONNX Runtime runs them fastest."""
        convolutions = {
            node.name: node
            for node in graph.nodes
            if node.kind == "Conv"
            and node.attributes.get("group", 1) == 1
            and node.inputs[1] in graph.constants
            and is_laid_out(graph.constants[node.inputs[1]].shape)
        }
        block = _block() if convolutions else 0
        if not block:
            return graph
        changed = replace(graph, nodes=[], constants=dict(graph.constants))
        laid: dict[str, str] = {}
        for name in dict.fromkeys(node.inputs[1] for node in convolutions.values()):
            constant = graph.constants[name]
            kernels = self._kernels(constant, block)
            laid[name] = changed.constant(kernels, constant.shape, f"{name}/blocks")
        for node in graph.nodes:
            is_one = node.name in convolutions
            changed.nodes += _in_blocks(node, laid, changed) if is_one else [node]
        changed.drop_unused()
        return changed

    def _kernels(self, constant: Constant, block: int) -> Array | ExternalData:
        place = constant.data
        if isinstance(place, np.ndarray):  # in memory already
            return _in_memory(place, block)
        assert self._source is not None  # what is not in its file is an array
        kernels = Reader(self._source).floats(place.offset, constant.shape)
        path = self._file(self._source, kernels, place.offset, block)
        if path is None:
            return _in_memory(kernels, block)
        watch(path, place.length)  # which ONNX Runtime maps
        return ExternalData(0, place.length, path)

    def _file(self, source: FileSource, kernels: Array, offset: int, block: int) -> str | None:
        """The file with the kernels at `offset` of the weights laid out; None without room."""
        state, size = os.fstat(source.fd), kernels.nbytes
        file = (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)
        made_of = repr((*file, boot_mark(), offset, kernels.shape, block))
        name = hashlib.sha256(made_of.encode()).hexdigest()[:32]

        def write(fd: int) -> None:
            _write(fd, kernels, block)
            if source.written_to():
                raise OSError(f"{source.path}: changed while it was being read")

        for place in self._places():
            with suppress(OSError):
                return place.find(name, size) or place.make(name, size, write)
        return None

    def _places(self) -> Iterator[UserCache]:
        """The user's cache, and where that fails a folder of one's own while the net is open."""
        if self._own is None and self._cache is not None:
            yield self._cache
        if self._own is None:
            with suppress(OutputError):
                folder = self._folders.enter_context(scratch_folder())
                self._own = UserCache(folder, sys.maxsize)
        if self._own is not None:
            yield self._own

    def close(self) -> None:
        """Remove what is not for others. May be called again."""
        self._folders.close()


def _in_blocks(node: Node, laid: Mapping[str, str], graph: Graph) -> list[Node]:
    """A Convolution computed in blocks, between blobs as they are, with kernels laid out so."""
    bottom, name, *bias = node.inputs
    layer, _, _ = node.name.rpartition("/")
    split, joined = (graph.fresh(f"{layer}/{what}") for what in ("split", "joined"))
    channels = {"channels": graph.constants[name].shape[0]}
    return [
        Node("ReorderInput", (bottom,), (split,), {}, split, node.layer, _NCHWC),
        node._replace(inputs=(split, laid[name], *bias), outputs=(joined,), domain=_NCHWC),
        Node("ReorderOutput", (joined,), node.outputs, channels, joined, node.layer, _NCHWC),
    ]


def _write(fd: int, kernels: Array, block: int) -> None:
    one_at_a_time = Lock()

    def write(place: int, numbers: Array) -> None:
        data = numbers.data.cast("B")
        with one_at_a_time:
            os.lseek(fd, 4 * place, os.SEEK_SET)
            while data:
                data = data[os.write(fd, data) :]

    lay_out(kernels, block, write)


def _in_memory(kernels: Array, block: int) -> Array:
    laid: Array = empty(kernels.shape, "f4", f"kernels of {shape_text(kernels.shape)} in blocks")
    flat = laid.reshape(-1)

    def write(place: int, numbers: Array) -> None:
        flat[place : place + numbers.size] = numbers.reshape(-1)

    lay_out(kernels, block, write)
    return laid


@cache
def _block() -> int:
    """How many channels a block has here; 0 where ONNX Runtime does not work so, or otherwise.

    ONNX Runtime promises nothing of its layout: it is asked for the size of a block, and then
    whether it computes with kernels that are laid out here what it computes with others. Of whole
    numbers, so that no rounding hides a difference.
    """
    kernels = (np.arange(32 * 32 * 6) % 61).astype(np.float32).reshape(32, 32, 2, 3)
    pixels = np.arange(32 * 12, dtype=np.float32).reshape(1, 32, 3, 4)
    tops: dict[str, Sequence[int | str]] = {"blocks": (1, 32, 3, 4), "fast": (1, 32, 2, 2)}
    tops["plain"] = (1, 32, 2, 2)
    graph = Graph({"x": pixels.shape, "laid": kernels.shape, "kernels": kernels.shape}, tops)
    for node in (
        Node("ReorderInput", ("x",), ("blocks",), {}, "split", domain=_NCHWC),
        Node("Conv", ("blocks", "laid"), ("sums",), {}, "fast", domain=_NCHWC),
        Node("ReorderOutput", ("sums",), ("fast",), {"channels": 32}, "joined", domain=_NCHWC),
        Node("Conv", ("x", "kernels"), ("plain",), {}, "plain"),
    ):
        graph.nodes.append(node)
    try:
        session = Session(graph, None, EngineOptions("embedded", threads=1))
        feed = {"x": pixels, "kernels": kernels}
        order = session.run({**feed, "laid": kernels})[0].ravel()
        # All channels of the first block's first pixel come before its second pixel, 1.
        block = int(np.flatnonzero(order == 1)[0])
        if block not in (8, 16):
            return 0
        laid = _in_memory(kernels, block)
        _, fast, plain = session.run({**feed, "laid": laid})
    except EngineError:
        return 0
    return block if np.array_equal(fast, plain) else 0
