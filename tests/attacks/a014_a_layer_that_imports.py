"""A layer in Python imports any module: code is run by a text file.

Idea: type: "Python" imports what it names, from every folder on the path, the current one perhaps,
or out of the standard library, where `antigravity` opens a browser.

Verdict: cut, or refused with the module's name and the option.
"""

from __future__ import annotations

from attacks.arena import Arena
from attacks.reaching import NET, Victims

NEEDS_CAFFE = True
SLOW = True


def attack(arena: Arena) -> None:
    """A module in the current folder and on the path."""
    victims = Victims(arena)
    layer = (
        'layer { name: "code" type: "Python" bottom: "data" '
        'python_param { module: "marker" layer: "L" } }'
    )
    victims.aside(layer)
    modules = ("marker", "antigravity", "this", "idlelib.idle")
    nets = [NET + layer.replace("marker", module) for module in modules]
    victims.whole(*nets, words=["layer 'code' (Python) imports code ('", "allow=['python']"])
