"""Signals come in a hail, so that one meets the clean-up of another.

Idea: what a handler undoes may itself be interrupted; a second and a hundredth signal, of several
kinds, arrive while temporary files are being removed or outputs put in place.

Verdict: the first one ends the command; what comes then finds nothing to disturb.
"""

from __future__ import annotations

import contextlib
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from attacks.arena import ROOT, Arena
from torture import NET, write_model

KINDS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT)


def attack(arena: Arena) -> None:
    """Some conversions of 64 MiB, each under a hail that begins later than the last."""
    arena.write("net.prototxt", NET % (64 * 256))
    write_model(arena.folder / "model.caffemodel", 64 * 256)
    before = arena.files()
    words = ["convert", "net.prototxt", "model.caffemodel", "-o", "out", "--engine", "embedded"]
    for turn in range(12):
        process = subprocess.Popen(
            [sys.executable, "-m", "netsurgery", *words],
            cwd=arena.folder,
            env={"PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        status = Path(f"/proc/{process.pid}/status")
        while process.poll() is None and not _handles(status, signal.SIGQUIT):
            time.sleep(0.001)
        time.sleep(0.02 * turn)
        while process.poll() is None:
            process.send_signal(random.choice(KINDS))
        _, said = process.communicate(timeout=30)
        # By the signal itself where it came as the interpreter was ending: all was done then.
        ended = {0, *(128 + number for number in KINDS), *(-number for number in KINDS)}
        assert process.returncode in ended, (process.returncode, said)
        assert said == b"", said
        if process.returncode:
            assert _without_whole_outputs(arena.files()) == before, "something is left"
        for name in ("net_full_conv.prototxt", "netsurgery.toml", "model_full_conv.caffemodel"):
            (arena.folder / "out" / name).unlink(missing_ok=True)
        with contextlib.suppress(FileNotFoundError):
            (arena.folder / "out").rmdir()


def _handles(status: Path, number: int) -> bool:
    with contextlib.suppress(OSError):
        for line in status.read_text().splitlines():
            if line.startswith("SigCgt:"):
                return bool(int(line.split()[1], 16) >> (number - 1) & 1)
    return False


def _without_whole_outputs(files: dict[str, str]) -> dict[str, str]:
    """All three are in place where the signal came behind that step; else none is."""
    outputs = {name for name in files if name.startswith("out")}
    if len(outputs) == 4 and not any("tmp" in name for name in outputs):
        return {name: digest for name, digest in files.items() if name not in outputs}
    return files
