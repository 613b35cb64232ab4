"""A text of some lines declares params, filters and constants of gigabytes.

Idea: nothing of what is declared is in a file, so that no file's size limits it: a bilinear filter
of 22000 x 22000, a constant blob of 2^31 numbers, boxes for every pixel of an input, an input
itself.

Verdict: each is refused with what it needs, before it is made.
"""

from __future__ import annotations

from attacks.arena import Arena

_FILLER = 'weight_filler { type: "bilinear" }'
_NETS = {
    "filter": f"""
input: "data" input_shape {{ dim: 1 dim: 1 dim: 22000 dim: 22000 }}
layer {{ name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param {{ num_output: 1 kernel_size: 22000 {_FILLER} }} }}
""",
    "constant": """
layer { name: "dummy" type: "DummyData" top: "dummy"
  dummy_data_param { shape { dim: 1 dim: 1 dim: 46340 dim: 46340 } } }
layer { name: "pool" type: "Pooling" bottom: "dummy" top: "pool"
  pooling_param { kernel_size: 2 } }
""",
    "input": """
input: "data" input_shape { dim: 1 dim: 1 dim: 46000 dim: 46000 }
layer { name: "relu" type: "ReLU" bottom: "data" top: "relu" }
""",
}


def attack(arena: Arena) -> None:
    """Have each made."""
    for name, text in _NETS.items():
        arena.write(f"{name}.prototxt", text)
    arena.write("none.caffemodel", b"\xa2\x06\x03\x0a\x01x")
    for line in (
        "init filter.prototxt -o out.caffemodel",
        "export constant.prototxt none.caffemodel -o out.onnx",
        "verify input.prototxt none.caffemodel input.prototxt none.caffemodel --engine embedded",
    ):
        code = 2 if line.startswith("verify") else 1
        words = [*line.split(), "--max-memory", "1GiB"]
        done = arena.refused(*words, code=code, words=["GiB of memory; 1.0 GiB may be used"])
        assert done.peak < 200 << 20, done.peak
