"""What a library prints gets into the user's file, where standard error was closed.

Idea: the next file that is opened gets the lowest free number, 2, and whatever C code says on
standard error, a warning of libpng's or protobuf's say, is written into the output.

Verdict: 0 to 2 lead nowhere then, and no file gets their numbers.
"""

from __future__ import annotations

import sys

from attacks.arena import ROOT, Arena

NET = ROOT / "prototxt" / "digits_deploy.prototxt"
MODEL = ROOT / "models" / "digits" / "digits.caffemodel"
#: Imported at the start: from then on every opening is followed by words on 0, 1 and 2.
LOUD = """
import ctypes, os
libc, real = ctypes.CDLL(None), os.open
def loud(*args, **options):
    descriptor = real(*args, **options)
    for number in range(3):
        libc.write(number, b"WORDS", 5)
    return descriptor
os.open = loud
"""


def attack(arena: Arena) -> None:
    """Close them one by one and all together; the outputs are what they are without."""
    loud = arena.write("loud/sitecustomize.py", LOUD).parent
    words = ["-m", "netsurgery", "edit", str(NET), str(MODEL), "conv1[0]*=2", "-q", "--force"]
    assert arena.run(*words[2:], "-o", "quiet.caffemodel").code == 0
    quiet = (arena.folder / "quiet.caffemodel").read_bytes()
    for closed in ("2>&-", ">&-", "<&-", "<&- >&- 2>&-"):
        shell = f'exec "$@" {closed}'
        command = ["sh", "-c", shell, "sh", sys.executable, *words, "-o", "out.caffemodel"]
        done = arena.command(command, env={"PYTHONPATH": f"{loud}:{ROOT}"})
        assert done.code == 0, done
        assert (arena.folder / "out.caffemodel").read_bytes() == quiet, closed
