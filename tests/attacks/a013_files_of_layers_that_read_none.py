"""A layer that is not a data layer names a file all the same.

Idea: The mean of a MemoryData and the matrix of an InfogainLoss are read when the net is made; a
fork's field in a layer of Caffe's may be anything.

Verdict: known by the fields that name files; a string of an unknown field counts as one.
"""

from __future__ import annotations

from attacks.arena import Arena
from attacks.reaching import NET, Victims

NEEDS_CAFFE = True


def attack(arena: Arena) -> None:
    """A net is loaded whole."""
    victims = Victims(arena)
    memory = "memory_data_param { batch_size: 1 channels: 1 height: 2 width: 2 }"
    layers = (
        f'type: "MemoryData" top: "a" top: "b" {memory} '
        'transform_param { mean_file: "/dev/zero" }',
        'type: "InfogainLoss" bottom: "fc" bottom: "fc" top: "l" '
        'infogain_loss_param { source: "/dev/zero" }',
        'type: "ReLU" bottom: "fc" top: "r" relu_param { table: "/dev/zero" }',
    )
    nets = [NET + f'layer {{ name: "l" {layer} }}' for layer in layers]
    victims.whole(*nets, words=["layer 'l'", "'/dev/zero'", "allow=['reads'"])
