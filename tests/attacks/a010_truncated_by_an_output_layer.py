"""An HDF5Output truncates any file of the user's.

Idea: Caffe opens the file that the layer names when it makes the net, before anything runs, and
what was there is gone.

Verdict: cut from what Caffe is given; a net taken whole is refused by name, with the option.
"""

from __future__ import annotations

from attacks.arena import Arena
from attacks.reaching import NET, Victims

NEEDS_CAFFE = True
SLOW = True


def attack(arena: Arena) -> None:
    """Beside what is wanted, and in a net that is loaded whole."""
    victims = Victims(arena)
    layer = (
        'layer { name: "out" type: "HDF5Output" bottom: "data" bottom: "data" '
        f'hdf5_output_param {{ file_name: "{victims.file}" }} }}'
    )
    victims.aside(layer)
    victims.whole(NET + layer, words=["layer 'out' (HDF5Output) writes files", "allow=['writes']"])
