"""Run a command under a limit of memory, and say how much it had: from a process that is small.

    python limited.py MEMORY FILE COMMAND ...

MEMORY is bytes of address space, 0 for no limit. FILE gets the peak of the command's memory in
bytes, or of the largest process that it waited for. A process counts what its maker had when it
was forked, so that one forked by a test would seem as large as the test.
"""

from __future__ import annotations

import os
import resource
import sys


def main(memory: int, file: str, command: list[str]) -> int:
    """The exit code is the command's, 128 + n where signal n ended it."""
    child = os.fork()
    if not child:
        if memory:
            resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
        os.execvp(command[0], command)
    _, status, usage = os.wait4(child, 0)
    with open(file, "w", encoding="ascii") as report:
        report.write(str(usage.ru_maxrss << 10))
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2], sys.argv[3:]))
