"""A net that has taken over Caffe's process: code of the attacker's runs there, as that process.

The Caffe is the fake one of the tests, whose nets may hold code, and so this is the worst that any
layer of any Caffe can come to. The code is Python, and what it prints is what it got.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from attacks.arena import ROOT, Arena, Done

__all__ = ["CLIENT", "FAKE", "inside", "net_with", "run_net", "tries"]

FAKE = ROOT / "tests" / "fake_caffe"

_NET = (
    'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: [1, 1, 2, 2] } } }'
)

CLIENT = """
import sys
from pathlib import Path
from netsurgery.engines.contract import EngineOptions
from netsurgery.engines.pycaffe import open_engine
from netsurgery.errors import EngineFailed
allow = frozenset(sys.argv[2:])
with open_engine(EngineOptions(caffe_python=sys.executable, allow=allow)) as engine:
    try:
        with engine.load(Path(sys.argv[1])) as net:
            net.forward({}, ["sum"])
    except EngineFailed as failed:
        print(failed)
"""


def net_with(arena: Arena, code: str, when: str = "load") -> Path:
    """A net that runs the code when it is loaded, or run ("forward")."""
    lines = [f"#|{line}" for line in code.strip().splitlines()]
    return arena.write("net.prototxt", "\n".join([f"# {when} run", *lines, _NET, ""]))


def run_net(arena: Arena, net: Path, *allow: str) -> Done:
    """Load a net in the fake Caffe and run it."""
    env = {"NETSURGERY_CAFFE_PYTHONPATH": str(FAKE), "HOME": str(arena.folder / "home")}
    return arena.command([sys.executable, "-c", CLIENT, str(net), *allow], env=env, memory=0)


def inside(arena: Arena, code: str, *allow: str, when: str = "load") -> str:
    """What is said of a net that runs the code in Caffe's process."""
    done = run_net(arena, net_with(arena, code, when), *allow)
    assert done.code == 0, done.err
    return done.out


def tries(arena: Arena, attempts: Sequence[str], *allow: str) -> dict[str, str]:
    """What became of each expression, evaluated in Caffe's process: its value, or the error."""
    code = f"""
import ctypes, errno, os, signal, socket, subprocess, sys, threading
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *arguments):
    if getattr(libc, name)(*arguments) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return "done"
found = []
for attempt in {list(attempts)!r}:
    try:
        found.append(repr(eval(attempt)))
    except Exception as error:
        found.append(type(error).__name__)
raise ValueError("|".join(found))
"""
    said = inside(arena, code, *allow).strip()
    assert "ValueError: " in said, said
    outcomes = said.partition("ValueError: ")[2].partition("; its process may take")[0].split("|")
    assert len(outcomes) == len(attempts), said
    return dict(zip(attempts, outcomes, strict=True))
