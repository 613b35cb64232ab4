"""A caffemodel is cut short while a net runs on it.

Idea: the weights are mapped, not read; whoever owns the file makes it shorter at the right moment,
and the next look at a weight is a bus error: no message, and temporary files left.

Verdict: one line names the file, exit code 1, nothing is left.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from attacks.arena import ROOT, Arena

NET = """
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 1 dim: 1 dim: 32 dim: 32 } } }
layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc"
  inner_product_param { num_output: 4096 weight_filler { type: "constant" value: 1 } } }
layer { name: "out" type: "InnerProduct" bottom: "fc" top: "out"
  inner_product_param { num_output: 4096 weight_filler { type: "constant" value: 1 } } }
"""


#: Some come too late, on a busy machine most.
_TURNS, _ENOUGH = 20, 3


def attack(arena: Arena) -> None:
    """Cut it as soon as it is mapped."""
    net, model = arena.write("net.prototxt", NET), arena.folder / "model.caffemodel"
    picture = ROOT / "examples" / "digits_canvas.png"
    words = ["features", str(picture), "--prototxt", "net.prototxt", "--weights", str(model)]
    words += ["--blob", "out", "-o", "out.npz", "-q", "--engine", "embedded"]
    met = 0
    for _ in range(_TURNS):
        if met == _ENOUGH:
            break
        assert arena.run("init", net, "-q", "-o", model, "--force").code == 0
        before = set(arena.files())
        process = subprocess.Popen(
            [sys.executable, "-m", "netsurgery", *words],
            cwd=arena.folder,
            env={"PYTHONPATH": str(ROOT)},
            stderr=subprocess.PIPE,
            text=True,
        )
        maps = Path(f"/proc/{process.pid}/maps")
        while process.poll() is None and "model.caffemodel" not in maps.read_text():
            pass  # the moment is short
        process.send_signal(signal.SIGSTOP)
        os.truncate(model, 4096)
        process.send_signal(signal.SIGCONT)
        said = process.communicate(timeout=60)[1]
        if process.returncode == 0:  # it was done already
            (arena.folder / "out.npz").unlink()
            continue
        met += 1
        assert process.returncode == 1, (process.returncode, said)
        assert said.startswith("error: "), said
        assert said.count("\n") == 1, said
        assert "became shorter" in said or "has changed" in said, said
        assert set(arena.files()) == before, "something is left"
    assert met, "never in time"
