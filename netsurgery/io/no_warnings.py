"""Python's warnings dropped, by several threads at once.

`warnings.catch_warnings` keeps the filters of the whole process and puts them back: where two
threads are in it, the second to enter puts back what the first has changed.
"""

from __future__ import annotations

import contextlib
import threading
import warnings
from collections.abc import Iterator

__all__ = ["no_warnings"]

_lock = threading.Lock()
_stack = contextlib.ExitStack()
_threads = 0


@contextlib.contextmanager
def no_warnings() -> Iterator[None]:
    """Drop warnings from when the first thread is here until the last has left."""
    global _threads
    with _lock:
        if _threads == 0:
            _stack.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")
        _threads += 1
    try:
        yield
    finally:
        with _lock:
            _threads -= 1
            if _threads == 0:
                _stack.close()
