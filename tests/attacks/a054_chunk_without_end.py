"""A chunk of HDF5 that unpacks without end.

Idea: the library unpacks a chunk as far as it goes, whatever size the dataset says that it has. A
chunk of 400 bytes is stored as 260 KB that unpack to 260 MB.

Verdict: each chunk is unpacked first without being kept, and refused where it is more.
"""

from __future__ import annotations

import zlib

import h5py
from attacks.arena import Arena

NET = """
input: "data" input_shape { dim: 1 dim: 100 }
layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc"
  inner_product_param { num_output: 100 bias_term: false } }
"""


def attack(arena: Arena) -> None:
    """Have the numbers read."""
    arena.write("net.prototxt", NET)
    packer = zlib.compressobj(9)
    bomb = b"".join(packer.compress(bytes(1 << 24)) for _ in range(16)) + packer.flush()
    with h5py.File(arena.folder / "bomb.caffemodel.h5", "w") as file:
        dataset = file.create_dataset("data/fc/0", (100, 100), "f4", chunks=(10, 10), compression=9)
        dataset.id.write_direct_chunk((0, 0), bomb)
    words = ["layer 'fc', blob 0: a chunk that unpacks to more than its 400 bytes"]
    for line in (
        "inspect net.prototxt bomb.caffemodel.h5 --stats",
        "edit net.prototxt bomb.caffemodel.h5 fc[0]*=2 -o out.caffemodel",
    ):
        done = arena.refused(*line.split(), words=words)
        assert done.peak < 200 << 20, done.peak
