"""Modules of a stranger's are imported in the place of Caffe's.

Idea: the user works in a folder that came with the net. In it lie caffe.py, numpy.py and
sitecustomize.py; the environment names the folder, or a file to run, for the user's own Python.

Verdict: neither the current folder nor any variable of Python's reaches Caffe's interpreter.
"""

from __future__ import annotations

import sys

from attacks.arena import ROOT, Arena
from attacks.foothold import CLIENT, FAKE, net_with


def attack(arena: Arena) -> None:
    """Plant modules, and look whether any was imported."""
    mark = arena.folder / "imported"
    planted = f"open({str(mark)!r}, 'w'); raise ImportError('planted')"
    for name in ("caffe", "numpy", "json", "sitecustomize", "usercustomize"):
        arena.write(f"{name}.py", planted)
    net = net_with(arena, "import sys; raise ValueError([p for p in sys.path if 'planted' in p])")
    folder = str(arena.folder)
    env = {
        "PYTHONPATH": f"{ROOT}:{arena.folder / 'planted'}",
        "PYTHONSTARTUP": f"{folder}/caffe.py",
        "PYTHONINSPECT": "1",
        "NETSURGERY_CAFFE_PYTHONPATH": str(FAKE),
    }
    # -I: the command itself is not what is attacked here.
    client = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{CLIENT}"
    done = arena.command([sys.executable, "-I", "-c", client, str(net)], env=env)
    assert "ValueError: []" in done.out, done
    assert not mark.exists(), "a planted module was run"
