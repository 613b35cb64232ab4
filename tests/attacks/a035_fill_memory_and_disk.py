"""A net in Caffe's process takes all memory, or fills the disk by way of the files it is handed.

Idea: the net is of four numbers, and the process asks for as much as there is: memory, a sparse
file of a TiB, bytes without end, more open files; and raises its limits first.

Verdict: memory and files are bounded by the net's size, from outside, and the limits stay.
"""

from __future__ import annotations

from attacks.arena import Arena
from attacks.foothold import inside, tries

#: Bytes until no more can be written to the file that a save goes through.
FILL = """
import os, sys
count = 0
try:
    with open("/proc/self/fd/" + sys.argv[3], "wb", 0) as file:
        while count < 1 << 32:
            count += file.write(bytes(1 << 20))
except OSError as error:
    raise ValueError("%s after %d" % (error.errno, count))
"""


def attack(arena: Arena) -> None:
    """Take what there is, from inside."""
    attempts = {
        "len(bytearray(1 << 35))": "MemoryError",
        "open('/proc/self/fd/' + sys.argv[3], 'wb').truncate(1 << 40)": "OSError",
        "os.memfd_create('x')": "PermissionError",
        "[os.dup(1) for _ in range(300)]": "OSError",
        "__import__('resource').setrlimit(9, (-1, -1))": "ValueError",
    }
    outcomes = tries(arena, list(attempts))
    assert outcomes == attempts, outcomes
    said = inside(arena, FILL)
    written = int(said.rpartition(" after ")[2])
    assert "27 after" in said, said
    assert written < 1 << 29, said
