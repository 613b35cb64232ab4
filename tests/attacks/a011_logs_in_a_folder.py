"""A database layer leaves files in any folder.

Idea: LEVELDB writes LOG and LOCK into the folder that it is to read, and LMDB its lock, whether or
not a database is there.

Verdict: cut, or refused for both reading and writing.
"""

from __future__ import annotations

from attacks.arena import Arena
from attacks.reaching import NET, Victims

NEEDS_CAFFE = True
SLOW = True


def attack(arena: Arena) -> None:
    """Both kinds, in the folder of the user."""
    victims = Victims(arena)
    layers = [
        'layer { name: "db" type: "Data" top: "more" data_param '
        f'{{ source: "{victims.folder}" batch_size: 1 backend: {backend} }} }}'
        for backend in ("LEVELDB", "LMDB")
    ]
    for layer in layers:
        victims.aside(layer)
    message = "layer 'db' (Data) reads and writes files"
    victims.whole(*(NET + layer for layer in layers), words=[message, "allow=['reads', 'writes']"])
