"""A command in a process of its own, to see what memory it takes."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass

__all__ = ["Ran", "run_alone"]

# ru_maxrss begins with what the process that started this one had; VmHWM does not.
_CODE = """
import json, sys
from netsurgery.cli import run
code = run(sys.argv[1:])
with open("/proc/self/status") as status:
    peak = next(int(line.split()[1]) << 10 for line in status if line.startswith("VmHWM"))
print(json.dumps([code, peak, "numpy" in sys.modules]), file=sys.stderr)
"""


@dataclass(frozen=True)
class Ran:
    """Exit code, standard output, peak of resident memory in bytes, whether numpy was imported."""

    code: int
    out: str
    peak: int
    numpy: bool


def run_alone(*args: str) -> Ran:
    """Run ``netsurgery args`` in the current folder."""
    command = [sys.executable, "-c", _CODE, *args]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    code, peak, numpy = json.loads(done.stderr.splitlines()[-1])
    return Ran(code, done.stdout, peak, numpy)
