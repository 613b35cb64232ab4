"""The file is another by the time that Caffe opens it.

Idea: A prototxt in a folder that somebody else can write to is swapped between the check and the
load, again and again.

Verdict: Caffe is given the text that was checked, and never the file.
"""

from __future__ import annotations

from attacks.arena import Arena
from attacks.reaching import NET, Victims

NEEDS_CAFFE = True
SLOW = True


def attack(arena: Arena) -> None:
    """A neighbour swaps the net without pause while it is loaded."""
    victims = Victims(arena)
    param = f'hdf5_output_param {{ file_name: "{victims.file}" }}'
    evil = f'layer {{ type: "HDF5Output" bottom: "data" bottom: "data" {param} }}'
    arena.write("swap.py", SWAP.format(good=NET, evil=NET + evil))
    arena.write("net.prototxt", NET)
    done = victims.run_python("swap.py")
    assert done.code == 0, done.err
    assert "loaded" in done.out, "never loaded: nothing was tried"
    assert "refused" in done.out, "never swapped: nothing was tried"
    victims.unharmed()


SWAP = """
import os, threading
from pathlib import Path
import netsurgery
texts = [{good!r}, {evil!r}]
over = threading.Event()

def swap():
    while not over.is_set():
        for text in texts:
            Path("next").write_text(text)
            os.replace("next", "net.prototxt")

neighbour = threading.Thread(target=swap)
neighbour.start()
try:
    with netsurgery.open_engine(netsurgery.EngineOptions(choice="caffe")) as engine:
        for _ in range(300):
            try:
                engine.load(Path("net.prototxt")).close()
                print("loaded")
            except netsurgery.EffectRefused:
                print("refused")
finally:
    over.set()
    neighbour.join()
"""
