"""What mutation starts from: the project's own files, others' where they lie beside it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from netsurgery.io.wire import delimited, header, packed_varints, varint_field

__all__ = ["PICTURE", "PROTOTXT", "SETTINGS", "blob", "layer", "model", "seeds"]

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared" / "data"

PROTOTXT = b"""\
name: "Tiny"
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 1 dim: 1 dim: 8 dim: 8 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 2 kernel_size: 3 } }  # 6 x 6
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool"
  pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "ip1" type: "InnerProduct" bottom: "pool" top: "ip1"
  inner_product_param { num_output: 4 } }
layer { name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2"
  inner_product_param { num_output: 3 } }
layer { name: "prob" type: "Softmax" bottom: "ip2" top: "prob" }
"""

SETTINGS = b"""\
[model]
prototxt = "deploy.prototxt"
weights = "model.caffemodel"
window = [8, 8]

[preprocess]
mean = "mean.npy"
raw_scale = 255.0
channel_swap = [0]
input_scale = 0.5

[classes]
labels = "labels.txt"
"""

#: Trees of `owners`: all one's own, through links, and what a stranger may change.
OWN_TREE = b"""\
dir a 755 0
dir a/b 700 0
file a/netsurgery.toml 644 0
file a/n 600 0
find a/b
--
[model]
prototxt = "n"
weights = "b/missing"
--
"""

LINKED_TREE = b"""\
dir tmp 1777 0
dir tmp/own 755 0
file tmp/own/netsurgery.toml 644 0
dir theirs 755 1
link theirs/l ../tmp/own 1
link l tmp/own 0
link ll l 0
find ll
--
[classes]
labels = "../own/../own/x"
--
[user]
trusted = []
"""

STRANGE_TREE = b"""\
dir config 755 0
dir config/netsurgery 777 0
file config/netsurgery/config.toml 644 0
dir tmp 1777 0
dir tmp/x 755 1
link tmp/link x 0
file tmp/netsurgery.toml 644 0
file tmp/x/netsurgery.toml 646 0
find tmp/link
--
[preprocess]
mean = "link/mean"
--
[user]
trusted = ["*"]
"""

HELD_TREE = b"""\
dir a 755 1
dir a/b 755 0
file a/b/netsurgery.toml 644 0
find a/b
--
--
"""

V1_PROTOTXT = b"""\
input: 'data' input_dim: 1; input_dim: 1, input_dim: 8 input_dim: 8
layers < name: "ip" type: INNER_PRODUCT bottom: "data" top: "ip" blobs_lr: [1, 2.5e-1f]
  inner_product_param: { num_output: 0x3 } >
layers { type: 20 name: "pr" 'ob' bottom: "ip" top: "pr\\157b" }
"""

V0_PROTOTXT = b"""\
input: "data" input_dim: 1 input_dim: 1 input_dim: 8 input_dim: 8
layers { layer { name: "conv" type: "conv" num_output: 2 kernelsize: 3 pad: 1 }
  bottom: "data" top: "conv" }
layers { layer { name: "ip" type: "innerproduct" num_output: 3 } bottom: "conv" top: "ip" }
"""


def blob(*shape: int, legacy: bool = False) -> bytes:
    """A BlobProto of small numbers."""
    count = int(np.prod(shape))
    numbers = np.linspace(-1, 1, count, dtype="<f4").tobytes()
    if legacy:
        four = (1,) * (4 - len(shape)) + shape
        return b"".join(varint_field(i + 1, n) for i, n in enumerate(four)) + delimited(5, numbers)
    return delimited(7, packed_varints(1, shape)) + delimited(5, numbers)


def layer(name: str, kind: str, *blobs: bytes) -> bytes:
    """A layer of today, as a field of the net."""
    body = delimited(1, name.encode()) + delimited(2, kind.encode())
    return delimited(100, body + b"".join(delimited(7, each) for each in blobs))


def model() -> bytes:
    """The weights of `PROTOTXT`."""
    return delimited(1, b"Tiny") + b"".join(
        (
            layer("conv", "Convolution", blob(2, 1, 3, 3), blob(2)),
            layer("ip1", "InnerProduct", blob(4, 18), blob(4)),
            layer("ip2", "InnerProduct", blob(3, 4), blob(3)),
        )
    )


def old_model() -> bytes:
    """A model of 2014, with a blob of unpacked floats and one of doubles."""
    floats = b"".join(b"\x2d" + number.tobytes() for number in np.ones((192, 1), "<f4"))
    doubles = delimited(8, np.ones(3, "<f8").tobytes())
    blobs = (
        b"".join(varint_field(i, n) for i, n in enumerate((1, 1, 3, 64), 1)) + floats,
        b"".join(varint_field(i, n) for i, n in enumerate((1, 1, 1, 3), 1)) + doubles,
    )
    body = delimited(4, b"ip") + varint_field(5, 14) + b"".join(delimited(6, b) for b in blobs)
    return delimited(1, b"Old") + delimited(2, body) + header(99, 0)


def raw_model() -> bytes:
    """A model of NVIDIA's Caffe: raw float with a diff, double and half."""
    blobs = [
        delimited(7, packed_varints(1, (4,)))
        + varint_field(10, kind)
        + delimited(12, np.linspace(-1, 1, 4).astype(dtype).tobytes())
        for kind, dtype in ((0, "<f8"), (1, "<f4"), (2, "<f2"))
    ]
    diff = varint_field(11, 2) + delimited(13, bytes(8))
    return delimited(1, b"Raw") + layer("ip", "InnerProduct", blobs[1] + diff, *blobs)


def picture(kind: str, mode: str = "RGB", size: tuple[int, int] = (9, 7)) -> bytes:
    """A small picture that is not of one colour."""
    ramp = np.arange(size[0] * size[1] * 4, dtype=np.uint32).reshape(size[1], size[0], 4) * 7 % 256
    image = Image.fromarray(ramp[:, :, :3].astype(np.uint8))
    deep = Image.fromarray((ramp[:, :, 0] * 257).astype(np.uint16))
    image = deep if mode == "I;16" else image.convert(mode)
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


PICTURE = picture("PNG", "L", (8, 8))


def npy(array: NDArray[Any], version: tuple[int, int] = (1, 0)) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, array, version)
    return file.getvalue()


def hdf5() -> bytes:
    import h5py

    file = io.BytesIO()
    with h5py.File(file, "w") as hdf5_file:
        hdf5_file["data/conv/0"], hdf5_file["data/conv/1"] = (
            np.ones((2, 1, 3, 3), "f4"),
            np.ones(2, "f4"),
        )
        hdf5_file["data/ip1/0"] = np.ones((4, 18), np.float32)
        hdf5_file["data/ip1/1"] = np.ones(4, np.float64)
        hdf5_file["data/ip2/1"] = np.zeros(3, np.float32)
        hdf5_file.create_group("data/relu")
        hdf5_file.create_dataset(
            "data/ip2/0", data=np.ones((3, 4), "f4"), chunks=True, compression=1
        )
    return file.getvalue()


def _read(folder: Path, *patterns: str, largest: int = 50_000) -> Iterator[bytes]:
    for pattern in patterns:
        for path in sorted(folder.glob(pattern)):
            if path.is_file() and path.stat().st_size <= largest:
                yield path.read_bytes()


def _pictures() -> Iterator[bytes]:
    for kind, mode in (
        *(("PNG", mode) for mode in ("L", "RGB", "RGBA", "P", "1", "I;16")),
        *(("JPEG", mode) for mode in ("L", "RGB", "CMYK")),
        *(("TIFF", mode) for mode in ("RGB", "L", "F")),
        *((kind, "RGB") for kind in ("BMP", "PPM", "WEBP", "GIF")),
    ):
        yield picture(kind, mode)


def seeds(target: str) -> list[bytes]:
    """The seeds of a target, at least one, the smallest first."""
    corpus = {
        "prototxt": lambda: [
            PROTOTXT, V1_PROTOTXT, V0_PROTOTXT,
            *_read(ROOT / "prototxt", "*.prototxt"),
            *_read(SHARED, "prototxts/*", "bvlc/*.prototxt", "models/*/*.prototxt"),
        ],
        "caffemodel": lambda: [
            model(), old_model(), raw_model(),
            *_read(SHARED, "models/opencv/*.caffemodel", "broken/*"),
        ],
        "wire": lambda: [model(), old_model(), b"\x0b\x13\x14\x0c", blob(2, 2)],
        "hdf5": lambda: [hdf5()],
        "npy": lambda: [
            npy(np.ones((3, 2, 2), np.float32)), npy(np.arange(3)), npy(np.eye(3, dtype=">f8")),
            *(npy(np.ones((1, 2, 2), "<f4", order="F"), (version, 0)) for version in (2, 3)),
        ],
        "binaryproto": lambda: [
            blob(1, 3, 2, 2, legacy=True), blob(3, 2, 2),
            *_read(SHARED, "models/lenet_v1/*.binaryproto"),
        ],
        "image": lambda: [*_pictures(), *_read(SHARED, "models/lenet_v1/*.png")],
        "settings": lambda: [SETTINGS, b"[preprocess]\nmean = [1.0, 2]\n", b"model.prototxt='a'\n"],
        "owners": lambda: [OWN_TREE, LINKED_TREE, STRANGE_TREE, HELD_TREE],
        "signals": lambda: [bytes([7 * i, i, 40 * i, 0, i]) for i in (1, 3, 6)],
        "labels": lambda: [b"n01 tench, Tinca\nn02 goldfish\n", b"zero\r\none\r\n\xe2\x82\xac\n"],
    }[target]()  # fmt: skip
    return sorted(set(corpus), key=len)
