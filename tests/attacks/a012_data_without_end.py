"""A data layer reads /dev/zero until no memory is left.

Idea: ImageData, WindowData and HDF5Data read the list of their files whole, whatever it is, and
a fork's other layers read what they name.

Verdict: cut, or refused; none of it is opened.
"""

from __future__ import annotations

from attacks.arena import Arena
from attacks.reaching import NET, Victims

NEEDS_CAFFE = True
SLOW = True


def attack(arena: Arena) -> None:
    """Each of them, beside and whole."""
    victims = Victims(arena)
    layers = [
        f'layer {{ name: "d" type: "{kind}" top: "a" top: "b" {message} '
        "transform_param { crop_size: 3 } }"
        for kind, message in (
            ("ImageData", 'image_data_param { source: "/dev/zero" }'),
            ("WindowData", 'window_data_param { source: "/dev/zero" batch_size: 1 }'),
            ("HDF5Data", 'hdf5_data_param { source: "/dev/zero" batch_size: 1 }'),
        )
    ]
    for layer in layers:
        victims.aside(layer)
    victims.whole(*(NET + layer for layer in layers), words=["reads files ('/dev/zero')"])
