"""Inputs that are small as files, or sparse, and ask for more memory than 64 MiB."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import h5py
import numpy as np
from every_command import GOOD

from netsurgery.io.wire import delimited, header, packed_varints, varint_field

__all__ = ["NETS", "TEXTS", "WEIGHTS", "npy", "sparse"]


def sparse(path: Path, head: bytes, length: int, tail: bytes = b"") -> None:
    """A file of `head`, `length` zeros that take no room on the disk, and `tail`."""
    with path.open("wb") as file:
        file.write(head)
        file.truncate(len(head) + length)
        file.seek(0, os.SEEK_END)
        file.write(tail)


def npy(path: Path, shape: tuple[int, ...], kind: str = "<f8") -> None:
    head = repr({"descr": kind, "fortran_order": False, "shape": shape}).ljust(117) + "\n"
    size = int(np.prod(shape)) * np.dtype(kind).itemsize
    sparse(path, b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode(), size)


def _layer(name: str, *blobs: bytes, kind: bytes = b"Convolution") -> bytes:
    body = delimited(1, name.encode()) + delimited(2, kind)
    return delimited(100, body + b"".join(delimited(7, blob) for blob in blobs))


def many_fields(path: Path) -> None:
    """A text of two million fields."""
    path.write_text(GOOD + "# more\n" + "unknown: 1 " * 1_000_000)


def many_messages(path: Path) -> None:
    """A text of messages without anything in them."""
    path.write_text(GOOD + "layer{}" * 1_000_000)


def many_elements(path: Path) -> None:
    """One list without end."""
    path.write_text(GOOD + "unknown: [" + "1," * 4_000_000 + "1]")


def empty_blobs(path: Path) -> None:
    """Layers of nothing but empty blobs, four bytes each."""
    blobs = (b"\x3a\x02\x08\x00" * 90_000,) * 10
    path.write_bytes(b"".join(delimited(100, delimited(1, b"x") + each) for each in blobs))


def many_names(path: Path) -> None:
    """Layers of nothing but tops."""
    path.write_bytes(delimited(100, delimited(1, b"x") + b"\x22\x01a" * 90_000) * 10)


def many_layers(path: Path) -> None:
    """Layers of nothing."""
    path.write_bytes(delimited(100, b"") * 90_000)


def wide_names(path: Path) -> None:
    """Names of which one character makes all others four times as wide."""
    name = "\U0001f600".encode() + b"a" * (1 << 20)
    path.write_bytes(delimited(100, delimited(1, name[: 1 << 20])) * 30)


def many_pieces(path: Path) -> None:
    """Blobs whose numbers have a field each."""
    pieces = delimited(5, bytes(4)) * 60_000
    blob = delimited(7, packed_varints(1, (60_000,))) + pieces
    path.write_bytes(_layer("x", *[blob] * 6))


def unknown_fields(path: Path) -> None:
    """A model with 660,000 fields that nobody knows."""
    path.write_bytes(_layer("conv") + varint_field(99, 0) * 660_000)


def fields_of_a_layer(path: Path) -> None:
    """A layer with 660,000 fields that nobody knows."""
    path.write_bytes(delimited(100, delimited(1, b"conv") + varint_field(99, 0) * 660_000))


def old_fields(path: Path) -> None:
    """A layer of V1 with fields that V1 does not have."""
    path.write_bytes(delimited(2, delimited(4, b"x") + varint_field(15000, 0) * 330_000))


def old_rates(path: Path) -> None:
    """Layers of V1 with rates for blobs that they do not have."""
    rates = delimited(7, bytes(1 << 18))
    path.write_bytes(delimited(2, delimited(4, b"x") + varint_field(5, 18) + rates) * 8)


def compressed_params(path: Path) -> None:
    """HDF5 of zeros that shrink a thousandfold, for `WIDE`."""
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset(
            "data/fc/0", (1000, 20_000), "f8", chunks=(100, 20_000), compression=9
        )
        for row in range(0, 1000, 100):
            dataset[row : row + 100] = np.zeros((100, 20_000))


def bomb_in_a_chunk(path: Path) -> None:
    """HDF5 with a chunk of 400 bytes, for `WIDE`, that unpacks to 200 MB."""
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset(
            "data/fc/0", (1000, 20_000), "f4", chunks=(10, 10), compression=9
        )
        dataset.id.write_direct_chunk((0, 0), zlib.compress(bytes(200_000_000), 9))
        for row in range(10, 1000, 10):
            dataset[row, 0] = 1


def many_links(path: Path) -> None:
    """HDF5 of groups without end."""
    with h5py.File(path, "w", libver="latest") as file:
        data = file.create_group("data")
        for index in range(40_000):
            data.create_group(f"layer{index}")


def wide_params(path: Path) -> None:
    """The params of `WIDE` as doubles, so that they have to be copied to be used."""
    blob = delimited(7, packed_varints(1, (1000, 20_000))) + header(8, 160_000_000)
    inside = delimited(1, b"fc") + delimited(2, b"InnerProduct")
    inside += header(7, len(blob) + 160_000_000) + blob
    sparse(path, header(100, len(inside) + 160_000_000) + inside, 160_000_000)


def labels(path: Path) -> None:
    """Labels of a letter each."""
    path.write_text("a\n" * 2_000_000)


def mean_npy(path: Path) -> None:
    """A mean of 200 MB that takes no room."""
    npy(path, (1, 5000, 5000))


def mean_binaryproto(path: Path) -> None:
    """The same as Caffe's own."""
    dims = b"".join(varint_field(i, n) for i, n in enumerate((1, 1, 5000, 5000), 1))
    sparse(path, dims + header(8, 200_000_000), 200_000_000)


def values_npy(path: Path) -> None:
    """New values for the params of `WIDE`."""
    npy(path, (1000, 20_000))


#: Of these every command that reads a net is given one, as its net.
TEXTS = (many_messages, many_fields, many_elements)

#: And of these, as its weights.
WEIGHTS = (
    empty_blobs, fields_of_a_layer, many_layers, many_names, many_pieces, old_fields, old_rates,
    unknown_fields, wide_names, many_links,
)  # fmt: skip

#: Nets by their names: what they declare is large, the text is small.
NETS = {
    "wide": """
input: "data" input_shape { dim: 1 dim: 20000 dim: 1 dim: 1 }
layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc"
  inner_product_param { num_output: 1000 bias_term: false weight_filler { type: "xavier" } } }
""",
    "large": """
input: "data" input_shape { dim: 1 dim: 1 dim: 4000 dim: 4000 }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 2 kernel_size: 3 weight_filler { type: "xavier" } } }
""",
    "filter": """
input: "data" input_shape { dim: 1 dim: 1 dim: 6000 dim: 6000 }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 1 kernel_size: 6000 weight_filler { type: "bilinear" } } }
""",
    "unitball": """
input: "data" input_shape { dim: 1 dim: 20000000 }
layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc"
  inner_product_param { num_output: 2 weight_filler { type: "positive_unitball" } } }
""",
    "constant": """
layer { name: "dummy" type: "DummyData" top: "dummy"
  dummy_data_param { shape { dim: 1 dim: 1 dim: 5000 dim: 5000 } } }
layer { name: "conv" type: "Convolution" bottom: "dummy" top: "conv"
  convolution_param { num_output: 2 kernel_size: 3 weight_filler { type: "xavier" } } }
""",
    "priors": """
input: "data" input_shape { dim: 1 dim: 3 dim: 3000 dim: 3000 }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 2 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "priors" type: "PriorBox" bottom: "conv" bottom: "data" top: "priors"
  prior_box_param { min_size: 30 } }
""",
    "permuted": """
input: "data" input_shape { dim: 1 dim: 3 dim: 2000 dim: 2000 }
layer { name: "permute" type: "Permute" bottom: "data" top: "permute"
  permute_param { order: 0 order: 2 order: 3 order: 1 } }
layer { name: "fc" type: "InnerProduct" bottom: "permute" top: "fc"
  inner_product_param { num_output: 1 weight_filler { type: "xavier" } } }
""",
}
