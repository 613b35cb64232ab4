"""Two tiny caffemodels, byte by byte, for tests."""

from __future__ import annotations

import struct

__all__ = ["V1", "V2", "floats"]


def floats(*values: float) -> bytes:
    """float32, little-endian."""
    return struct.pack(f"<{len(values)}f", *values)


#: A net "n" of one InnerProduct, 2 x 3 with a bias of 2, and a ReLU.
V2 = (
    b"\x0a\x01n"  # name
    b"\xa2\x06\x5d"  # layer, 93 bytes
    b"\x0a\x03ip1"  # name
    b"\x12\x0cInnerProduct"  # type
    b"\x1a\x04data"  # bottom
    b"\x22\x03ip1"  # top
    b"\x32\x05\x1d\x00\x00\x80\x3f"  # param, lr_mult 1
    b"\x3a\x20"  # blobs, 32 bytes
    b"\x2a\x18" + floats(1, 2, 3, 4, 5, 6) + b"\x3a\x04\x0a\x02\x02\x03"  # data; shape 2 3
    b"\x3a\x0f"  # blobs, 15 bytes
    b"\x2a\x08" + floats(7, 8) + b"\x3a\x03\x0a\x01\x02"  # data; shape 2
    b"\xaa\x07\x02\x08\x02"  # inner_product_param, num_output 2
    b"\xa2\x06\x13"  # layer, 19 bytes
    b"\x0a\x04relu"
    b"\x12\x04ReLU"
    b"\x1a\x02ip"
    b"\x22\x01r"
)

#: The same InnerProduct as Caffe wrote it in 2014; its name after its bottom and top.
V1 = (
    b"\x0a\x01n"  # name
    b"\x12\x4a"  # layers, 74 bytes
    b"\x12\x04data"  # bottom
    b"\x1a\x03ip1"  # top
    b"\x22\x03ip1"  # name
    b"\x28\x0e"  # type INNER_PRODUCT
    b"\x32\x22"  # blobs, 34 bytes
    b"\x08\x01\x10\x01\x18\x02\x20\x03"  # num 1, channels 1, height 2, width 3
    b"\x2a\x18"
    + floats(1, 2, 3, 4, 5, 6)  # data
    + b"\x32\x0d"  # blobs, 13 bytes
    b"\x08\x01\x10\x01\x18\x01\x20\x01"  # 1 x 1 x 1 x 1
    b"\x2d"
    + floats(7)  # data, the number with its own tag
    + b"\x8a\x01\x02\x08\x02"  # inner_product_param, num_output 2
)
