"""The prototxt of a ResNet-50, with the normalizations merged into the convolutions before them."""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["resnet50"]

#: (blocks, channels within a block, stride of the first) of each group.
_GROUPS = ((3, 64, 1), (4, 128, 2), (6, 256, 2), (3, 512, 2))


def resnet50() -> str:
    """A classifier of 1000 classes for pictures of 224 x 224."""
    return "".join(_layers())


def _layers() -> Iterator[str]:
    yield 'name: "resnet50" input: "data" input_shape { dim: [1, 3, 224, 224] }\n'
    yield _convolution("conv1", "data", 64, 7, 2) + _relu("conv1")
    yield _layer("Pooling", "pool1", "conv1", "pooling_param { kernel_size: 3 stride: 2 }")
    bottom = "pool1"
    for group, (blocks, channels, stride) in enumerate(_GROUPS, 2):
        for block in range(blocks):
            name = f"res{group}{chr(ord('a') + block)}"
            yield from _block(name, bottom, channels, stride if block == 0 else 1, block == 0)
            bottom = name
    yield _layer("Pooling", "pool5", bottom, "pooling_param { pool: AVE kernel_size: 7 stride: 1 }")
    yield _layer("InnerProduct", "fc1000", "pool5", "inner_product_param { num_output: 1000 }")
    yield _layer("Softmax", "prob", "fc1000")


def _block(name: str, bottom: str, channels: int, stride: int, projects: bool) -> Iterator[str]:
    """1 x 1, 3 x 3 and 1 x 1, added to what they were made of, or to a projection of it."""
    shortcut = bottom
    if projects:
        shortcut = f"{name}_branch1"
        yield _convolution(shortcut, bottom, 4 * channels, 1, stride)
    for letter, count, kernel in ("a", channels, 1), ("b", channels, 3), ("c", 4 * channels, 1):
        top = f"{name}_branch2{letter}"
        yield _convolution(top, bottom, count, kernel, stride if letter == "a" else 1)
        yield _relu(top) if letter != "c" else ""
        bottom = top
    yield _layer("Eltwise", name, f"{shortcut} {bottom}") + _relu(name)


def _convolution(top: str, bottom: str, count: int, kernel: int, stride: int) -> str:
    sides = f"kernel_size: {kernel} stride: {stride} pad: {kernel // 2}"
    return _layer(
        "Convolution", top, bottom, f"convolution_param {{ num_output: {count} {sides} }}"
    )


def _relu(blob: str) -> str:
    return f'layer {{ name: "{blob}_relu" type: "ReLU" bottom: "{blob}" top: "{blob}" }}\n'


def _layer(kind: str, top: str, bottoms: str, param: str = "") -> str:
    reads = "".join(f' bottom: "{bottom}"' for bottom in bottoms.split())
    return f'layer {{ name: "{top}" type: "{kind}"{reads} top: "{top}" {param} }}\n'
