"""Somebody else allows what the net does: the environment, or a netsurgery.toml.

Idea: A variable that was set once for another net, or a key in the settings that come with the net.

Verdict: only the option of this one command allows anything.
"""

from __future__ import annotations

from attacks.arena import Arena
from attacks.reaching import COMMANDS, NET, Victims

NEEDS_CAFFE = True
SLOW = True


def attack(arena: Arena) -> None:
    """Every name that such a variable might have."""
    victims = Victims(arena)
    layer = (
        'layer { name: "out" type: "HDF5Output" bottom: "conv" bottom: "conv" '
        f'hdf5_output_param {{ file_name: "{victims.file}" }} }}'
    )
    arena.write("net.prototxt", NET + layer)
    names = ("NETSURGERY_ALLOW", "NETSURGERY_CONVERT_ALLOW", "NETSURGERY_VERIFY_ALLOW", "ALLOW")
    allowed = dict.fromkeys(names, "reads,writes,python")
    arena.write("netsurgery.toml", 'allow = "reads,writes,python"\n')
    for command in COMMANDS:
        victims.run(command, **allowed)
        victims.unharmed()
