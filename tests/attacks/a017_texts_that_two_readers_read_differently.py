"""A text is one net to who checks it and another to Caffe.

Idea: Names in pieces and escapes, comments, brackets of both kinds, lists, a mark of byte order, or
a text that only protobuf takes.

Verdict: read as protobuf reads it; what is not read here is not given to Caffe.
"""

from __future__ import annotations

from attacks.arena import Arena
from attacks.reaching import NET, Victims

NEEDS_CAFFE = True


def attack(arena: Arena) -> None:
    """Each spelling of the same layer."""
    victims = Victims(arena)
    param = f'hdf5_output_param {{ file_name: "{victims.file}" }}'
    ends = 'bottom: "data" bottom: "data"'
    read = (
        f'layer {{ type: "HDF5" "Output" {param} {ends} }}',
        f'layer {{ type: "\\110DF5\\x4futput" {param} {ends} }}',
        f"layer: < type: 'HDF5Output'; {param}, {ends} >",
        f'layer: [{{ type: "HDF5Output" {param} {ends} }}]',
        f'layer {{ # type: "ReLU"\n type: # "ReLU"\n "HDF5Output" {param} {ends} }}',
    )
    victims.whole(*(NET + text for text in read), words=["EffectRefused", "writes files"])
    not_read = (
        f'layer {{ type: "ReLU" type: "HDF5Output" {param} {ends} }}',
        f"layers {{ type: HDF5_OUTPUT {param} {ends} }}",
        f'layer {{ type: "HDF5Output" {param} {ends} ',
        f'layer {{ [caffe.type]: "HDF5Output" {param} {ends} }}',
    )
    victims.whole(*(NET + text for text in not_read), words=["PrototxtError", ".prototxt:"])
