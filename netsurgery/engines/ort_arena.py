"""Memory that nets which run in turn take in turn.

ONNX Runtime gives every session an arena, which keeps what a run took for the next one. Of the
stages of a tiled input one runs at a time: with an arena of all of them together a stage works in
the memory that the one before has left, instead of taking its own beside it.
"""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from netsurgery.io.memory import Claim

if TYPE_CHECKING:
    import onnxruntime as ort

__all__ = ["SharedArena", "share", "shrink"]

#: For what is made once in the process.
_LOCK = threading.Lock()
#: ONNX Runtime's words for an arena that grows as a session's own does: by powers of two.
_POWERS_OF_TWO = 0


class SharedArena:
    """What some nets take while they run, counted once; all of it is given back with the last."""

    def __init__(self) -> None:
        self._nets = 0
        self._claim: Claim | None = None

    def join(self) -> None:
        """A net more that runs in it."""
        self._nets += 1

    def reserve(self, count: int, what: str) -> None:
        """A run takes so many bytes. Raises MemoryLimitError where they are more than is left."""
        if self._claim is None:
            self._claim = Claim(count, what)
        self._claim.at_least(count, what)

    def leave(self) -> None:
        """A net less: its sessions are closed."""
        self._nets -= 1
        if not self._nets and self._claim is not None:
            shrink()
            self._claim.close()
            self._claim = None


def share(settings: ort.SessionOptions) -> None:
    """Have a session take what its runs need from the arena that sessions share.

    Its params lie elsewhere: among what a run takes they would keep that from being given back.
    """
    with _LOCK:
        _smallest_session()
    _enter(settings)
    settings.add_session_config_entry("session.use_device_allocator_for_initializers", "1")


def shrink() -> None:
    """Give back what the shared arena keeps and no run uses: it outlives the sessions."""
    import onnxruntime as ort

    options = ort.RunOptions()
    options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    with _LOCK:
        session = _smallest_session()
    session.run(None, {"x": np.zeros(1, np.float32)}, options)


def _enter(settings: ort.SessionOptions) -> None:
    settings.add_session_config_entry("session.use_env_allocators", "1")


@lru_cache(maxsize=1)
def _smallest_session() -> ort.InferenceSession:
    """One that is run to have the shared arena shrink; the first call makes that arena.

    ONNX Runtime shrinks an arena at the end of a run, and never the first block of it. Run before
    all others, this session takes that one: a MiB, not what a picture's first blob needs.
    """
    import onnxruntime as ort

    from netsurgery import __version__
    from netsurgery.export import protobuf
    from netsurgery.export.graph import Graph, Node

    memory = ort.OrtMemoryInfo(
        "Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT
    )
    arena = ort.OrtArenaCfg({"arena_extend_strategy": _POWERS_OF_TWO})
    ort.create_and_register_allocator(memory, arena)
    graph = Graph({"x": (1,)}, {"y": (1,)}, [Node("Exp", ("x",), ("y",), {}, "y")])
    settings = ort.SessionOptions()
    settings.intra_op_num_threads = 1
    settings.log_severity_level = 4
    _enter(settings)
    model = protobuf.join(protobuf.model(graph.encode("nothing"), {}, __version__))
    session = ort.InferenceSession(model, settings, providers=["CPUExecutionProvider"])
    session.run(None, {"x": np.zeros(1, np.float32)})
    return session
