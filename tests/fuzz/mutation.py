"""Real files made wrong: bytes flipped, cut, doubled, exchanged, and words put in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from hypothesis import strategies as st

__all__ = ["Edit", "edited", "edits", "mutated"]

#: What parsers stumble over, in any of the formats.
WORDS: tuple[bytes, ...] = (
    b"", b"\x00", b"\xff", b"\x80" * 9 + b"\x01", b"\xff" * 10, b"\xff\xff\xff\xff\x0f",
    b"\x00\x00\x00\x80", b"\xef\xbb\xbf", b"\x1b[31m", b"\r\n", b"\n", b"\t", b" ", b"\\", b'"',
    b"'", b"{", b"}", b"{" * 120, b"<", b">", b"[", b"]", b"[" * 3000, b":", b";", b",", b"-",
    b"#", b".", b"=", b"0", b"1", b"2", b"-1", b"3", b"7", b"2147483647", b"2147483648",
    b"4294967295", b"9223372036854775807", b"9" * 5000, b"0x" + b"f" * 5000, b"1e999", b"-1e999",
    b"1e-999", b"inf", b"nan", b"-nan", b"1.f", b"true", b"TRUE", b"\\u0000", b"\\777", b"\\x",
    b'"\xed\xa0\x80"', b"\xc3\x28", b"a." * 2000, b"name: ", b"type: ", b"bottom: ", b"top: ",
    b"layer {", b"layers {", b"layer { layer {", b"dim: ", b"input: ", b"input_dim: ",
    b"shape { dim: 0 }", b"kernel_size: ", b"kernel_h: 1", b"stride: ", b"pad: ", b"axis: ",
    b"dilation: ", b"group: ", b"num_output: ", b"include { phase: TRAIN }", b"global_pooling: ",
    b"transpose: true", b'"InnerProduct"', b'"Convolution"', b'"Pooling"', b'"Flatten"',
    b'"Reshape"', b'"Concat"', b'"Eltwise"', b'"Slice"', b'"BatchNorm"', b'"LSTM"', b'"data"',
    b'"Deconvolution"', b'"Reduction"', b'"Crop"', b'"SPP"', b'"Embed"', b'"ip1"', b"[model]",
    b"[preprocess]", b"'''", b'"""', b"mean = ", b"window = ", b"prototxt", b"(-1,)", b"'O'",
    b"|O", b"fortran_order", b"descr", b"(True,)", b"(0, 9223372036854775807)", b"\x01\x00v\x00",
    b"\x02\x00v\x00\x00\x00", b"\x03\x00\xff\xff\xff\xff", b"('<f4', (2,))", b"V0", b"'S0'",
    b"\x0a\x00", b"\x3a\x02\x0a\x00", b"\x5b", b"\x5c",
    b"\xa2\x06\x00", b"\x12\x00",
)  # fmt: skip


class Edit(NamedTuple):
    """One change: what, where (a fraction of 65536 of the length), how many bytes, what bytes."""

    kind: str
    place: int
    length: int
    data: bytes


edits = st.lists(
    st.builds(
        Edit,
        st.sampled_from(["put", "put", "over", "cut", "end", "double", "flip", "move"]),
        st.integers(0, 65535),
        st.one_of(st.integers(0, 8), st.integers(0, 600)),
        st.one_of(st.sampled_from(WORDS), st.binary(max_size=8)),
    ),
    max_size=6,
)


def edited(data: bytes, changes: Sequence[Edit]) -> bytes:
    """`data` with the changes made one after another."""
    mutable = bytearray(data)
    for kind, place, length, new in changes:
        at = place * (len(mutable) + 1) // 65536
        if kind == "put":
            mutable[at:at] = new
        elif kind == "over":
            mutable[at : at + len(new)] = new
        elif kind == "cut":
            del mutable[at : at + length]
        elif kind == "end":
            del mutable[at:]
        elif kind == "double":
            mutable[at:at] = mutable[at : at + length] * 3
        elif kind == "move":
            piece = mutable[at : at + length]
            del mutable[at : at + length]
            mutable[: 0 if at % 2 else 1] += piece
        elif at < len(mutable):
            mutable[at] ^= 1 << length % 8
    return bytes(mutable)


def mutated(seeds: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """Any of the seeds, changed in a few places or not at all."""
    return st.builds(edited, st.sampled_from(seeds), edits)
