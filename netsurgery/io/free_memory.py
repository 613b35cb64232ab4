"""How much more memory this process can allocate, according to the system.

The least of what the machine has, what the process's control groups allow (a container's limit is
one) and what its own limits (``ulimit -v``, ``ulimit -d``) leave. Without Linux's files half of
the machine's memory, and 2 GiB where even that is not known.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

__all__ = ["free_memory"]

_UNKNOWN = 2 << 30


def free_memory(root: Path = Path("/")) -> int:
    """Bytes; `root` is where proc and sys are."""
    sizes = [*_machine(root), *_groups(root), *_limits(root)]
    return max(0, min(sizes))


def _machine(root: Path) -> Iterator[int]:
    match = re.search(r"^MemAvailable:\s*(\d+) kB$", _read(root / "proc/meminfo"), re.MULTILINE)
    if match:
        yield int(match[1]) << 10
        return
    try:
        yield os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (AttributeError, OSError, ValueError):  # no such function on Windows
        yield _UNKNOWN


def _groups(root: Path) -> Iterator[int]:
    """What the process's control groups, and those around them, have left."""
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            mount, names = "sys/fs/cgroup", ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            mount = "sys/fs/cgroup/memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        # In a container the path may be the host's; the container's own group is then the mount.
        inside = PurePosixPath(path.lstrip("/"))
        for group in (inside, *inside.parents):
            yield from _group(root / mount / group, *names)


def _group(folder: Path, limit: str, usage: str, cache: str) -> Iterator[int]:
    """A group without a limit has a word there, or a number beyond any machine."""
    allowed, used = _read(folder / limit).strip(), _read(folder / usage).strip()
    if allowed.isdigit() and used.isdigit():
        # Pages of files that nobody has used lately are given up when memory runs short.
        idle = re.search(rf"^{cache} (\d+)$", _read(folder / "memory.stat"), re.MULTILINE)
        yield int(allowed) - int(used) + (int(idle[1]) if idle else 0)


def _limits(root: Path) -> Iterator[int]:
    try:
        import resource
    except ImportError:  # Windows
        return
    used = _read(root / "proc/self/statm").split()
    for limit, place in ((resource.RLIMIT_AS, 0), (resource.RLIMIT_DATA, 5)):
        allowed, _ = resource.getrlimit(limit)
        if allowed != resource.RLIM_INFINITY:
            pages = int(used[place]) if len(used) > place else 0
            yield allowed - pages * resource.getpagesize()


def _read(path: Path) -> str:
    try:
        return path.read_text("ascii", "replace")
    except OSError:
        return ""
