"""A type of 2014 is written as a number, in octal.

Idea: protobuf reads 011 as 9, which is HDF5_DATA; who reads it as eleven takes it for an Im2col.

Verdict: read as protobuf reads it.
"""

from __future__ import annotations

from attacks.arena import Arena
from attacks.reaching import Victims

NEEDS_CAFFE = True


def attack(arena: Arena) -> None:
    """Every data layer by its number, in three ways."""
    victims = Victims(arena)
    words = [
        word for number in (5, 9, 10, 12, 24) for word in (str(number), f"0{number:o}", hex(number))
    ]
    nets = [f'layers {{ name: "l" type: {word} top: "a" }}' for word in words]
    victims.whole(*nets, words=["EffectRefused", "layer 'l'", "allow="])
