"""A net of Caffe's first generation names its files in other fields.

Idea: V0 had types in small letters, `source` and `meanfile` beside them; Caffe upgrades such a net
by itself.

Verdict: upgraded first, as everywhere, and then looked at; Caffe gets what was looked at.
"""

from __future__ import annotations

from attacks.arena import Arena
from attacks.reaching import Victims

NEEDS_CAFFE = True
SLOW = True


def attack(arena: Arena) -> None:
    """Each type that reads or writes."""
    victims = Victims(arena)
    kinds = ("data", "images", "window_data", "hdf5_data")
    layers = [
        f'layers {{ layer {{ name: "l" type: "{kind}" source: "/dev/zero" batchsize: 1 }} '
        'top: "a" top: "b" }'
        for kind in kinds
    ]
    victims.whole(*layers, words=["EffectRefused", "layer 'l'", "reads"])
    output = f'layer {{ type: "hdf5_output" hdf5_output_param {{ file_name: "{victims.file}" }} }}'
    inputs = 'input: "a" input: "b" input_dim: [1, 1, 1, 1, 1, 1, 1, 1] '
    net = f'{inputs} layers {{ {output} bottom: "a" bottom: "b" }}'
    victims.whole(net, words=["writes files"])
