"""A layer is out of the net by the rules, but not by those of this Caffe.

Idea: Rules of phase, level and stage, and the text's own state, decide which layers count; an old
Caffe takes the level of the text, a fork may have rules of its own.

Verdict: layers of other states that reach out are not in what Caffe is given; those of this one are
refused.
"""

from __future__ import annotations

from attacks.arena import Arena
from attacks.reaching import NET, Victims

from netsurgery.net.effects import permitted
from netsurgery.net.net import NetDefinition

NEEDS_CAFFE = True
SLOW = True


def attack(arena: Arena) -> None:
    """With the rules met and not met."""
    victims = Victims(arena)
    param = f'hdf5_output_param {{ file_name: "{victims.file}" }}'
    rules = ("exclude { phase: TEST }", "include { min_level: 1 }", 'include { stage: "s" }')
    layers = [
        f'layer {{ type: "HDF5Output" {rule} bottom: "data" bottom: "data" {param} }}'
        for rule in rules
    ]
    victims.aside("\n".join(layers))
    definition = permitted(NetDefinition.read(arena.folder / "net.prototxt"), (), ())
    assert "HDF5Output" not in definition.text
    net = f'state {{ stage: "s" }} {NET} {layers[-1]}'
    victims.whole(net, words=["writes files", "allow=['writes']"])
