"""Nets of as many layers as are asked for, in the shapes that ask most of whoever reads them.

A net is its text and its params, all zeros. `SHAPES` has a function a shape; `Written.save` puts
one into a folder, with its weights as a caffemodel or HDF5.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod
from pathlib import Path

from netsurgery.io.wire import delimited, packed_varints

__all__ = ["SHAPES", "Written"]

#: Shapes of a layer's params.
Params = tuple[tuple[int, ...], ...]

INPUT = (
    'layer { name: "data" type: "Input" top: "data" '
    "input_param { shape { dim: 1 dim: 1 dim: 4 dim: 4 } } }"
)
CONVOLUTION: Params = ((1, 1, 1, 1), (1,))


@dataclass
class Written:
    """A net's text, a line a layer, and (name, type, shapes of params) of those with params."""

    lines: list[str] = field(default_factory=list)
    params: list[tuple[str, str, Params]] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The prototxt."""
        return "\n".join([*self.lines, ""])

    @property
    def first_top(self) -> str:
        """The first top of the first layer with params."""
        name = self.params[0][0]
        line = next(each for each in self.lines if f'name: "{name}"' in each)
        return line.partition('top: "')[2].partition('"')[0]

    def rename(self, old: str, new: str) -> None:
        """Put `new` for `old` in all names."""
        self.lines = [re.sub(rf'"{old}(\d|")', rf'"{new}\1', line) for line in self.lines]
        self.params = [
            (re.sub(rf"^{old}(\d|$)", rf"{new}\1", name), kind, shapes)
            for name, kind, shapes in self.params
        ]

    def convolution(self, name: str, bottom: str, top: str, more: str = "") -> None:
        """A Convolution of one channel, 1 x 1."""
        own = f"convolution_param {{ num_output: 1 kernel_size: 1 {FILLER} }}"
        self.layer(name, "Convolution", bottom, top, f"{own} {more}")
        self.params.append((name, "Convolution", CONVOLUTION))

    def product(self, name: str, bottom: str, top: str, more: str = "", inputs: int = 2) -> None:
        """An InnerProduct of two outputs."""
        own = f"inner_product_param {{ num_output: 2 {FILLER} }}"
        self.layer(name, "InnerProduct", bottom, top, f"{own} {more}")
        self.params.append((name, "InnerProduct", ((2, inputs), (2,))))

    def layer(self, name: str, kind: str, bottom: str, top: str, more: str = "") -> None:
        """Any layer; several bottoms or tops have blanks between them."""
        blobs = [f'bottom: "{each}"' for each in bottom.split()]
        blobs += [f'top: "{each}"' for each in top.split()]
        self.lines.append(f'layer {{ name: "{name}" type: "{kind}" {" ".join(blobs)} {more} }}')

    def save(self, folder: Path, name: str, suffix: str = ".caffemodel") -> tuple[Path, Path]:
        """Write name.prototxt and its weights."""
        text, weights = folder / f"{name}.prototxt", folder / f"{name}{suffix}"
        text.write_text(self.text)
        if suffix == ".h5":
            self._save_hdf5(weights)
        else:
            weights.write_bytes(b"".join(map(_model_layer, *zip(*self.params, strict=True))))
        return text, weights

    def _save_hdf5(self, path: Path) -> None:
        import h5py
        import numpy as np

        with h5py.File(path, "w") as file:
            for name, _, shapes in self.params:
                group = file.require_group(f"data/{name}")
                for index, shape in enumerate(shapes):
                    if str(index) not in group:
                        group.create_dataset(str(index), data=np.zeros(shape, np.float32))


FILLER = 'weight_filler { type: "xavier" }'


def _model_layer(name: str, kind: str, shapes: Params) -> bytes:
    blobs = b"".join(
        delimited(7, delimited(7, packed_varints(1, shape)) + delimited(5, bytes(4 * prod(shape))))
        for shape in shapes
    )
    return delimited(100, delimited(1, name.encode()) + delimited(2, kind.encode()) + blobs)


def chain(count: int) -> Written:
    """Convolutions, one behind the other, each with a ReLU in place."""
    net = Written([INPUT])
    bottom = "data"
    for number in range(count // 2):
        net.convolution(f"conv{number}", bottom, f"conv{number}")
        net.layer(f"relu{number}", "ReLU", f"conv{number}", f"conv{number}")
        bottom = f"conv{number}"
    return net


def products(count: int) -> Written:
    """InnerProducts, one behind the other, each with a ReLU of its own."""
    net = Written([INPUT])
    net.product("fc", "data", "fc", inputs=16)
    bottom = "fc"
    for number in range(count // 2):
        net.layer(f"relu{number}", "ReLU", bottom, f"relu{number}")
        net.product(f"fc{number}", f"relu{number}", f"fc{number}")
        bottom = f"fc{number}"
    return net


def refused(count: int) -> Written:
    """InnerProducts that cannot be converted, for what the first of them reads is not a map."""
    net = Written([INPUT])
    net.layer("mix", "Softmax", "data", "mix", "softmax_param { axis: 2 }")
    net.product("fc", "mix", "fc", inputs=16)
    bottom = "fc"
    for number in range(count // 2):
        net.product(f"fc{number}", bottom, f"fc{number}")
        net.layer(f"norm{number}", "MVN", f"fc{number}", f"norm{number}")
        bottom = f"norm{number}"
    return net


def shared(count: int) -> Written:
    """InnerProducts that all have the params of the first."""
    net = Written([INPUT])
    net.product("fc", "data", "fc", inputs=16)
    bottom = "fc"
    for number in range(count):
        net.product(f"fc{number}", bottom, f"fc{number}", 'param { name: "w" } param { name: "b" }')
        bottom = f"fc{number}"
    return net


def shared_apart(count: int) -> Written:
    """Pairs of Convolutions far apart, each with the params of the other."""
    net = Written([INPUT])
    bottom = "data"
    for turn in range(2):
        for number in range(count // 2):
            name = f"conv{turn}_{number}"
            net.convolution(name, bottom, name, f'param {{ name: "w{number}" }}')
            bottom = name
    return net


def in_place(count: int) -> Written:
    """Layers that all write the one blob."""
    net = Written([INPUT])
    net.convolution("conv", "data", "conv")
    for number in range(count // 2):
        net.layer(f"relu{number}", "ReLU", "conv", "conv")
        net.layer(f"drop{number}", "Dropout", "conv", "conv")
    return net


def readers(count: int) -> Written:
    """One blob that all layers read."""
    net = Written([INPUT])
    for number in range(count // 2):
        net.convolution(f"conv{number}", "data", f"conv{number}")
        net.product(f"fc{number}", "data", f"fc{number}", inputs=16)
    return net


def inputs(count: int) -> Written:
    """Inputs, each with a reader."""
    net = Written()
    for number in range(count // 2):
        net.lines.append(INPUT.replace('"data"', f'"data{number}"'))
    for number in range(count // 2):
        net.product(f"fc{number}", f"data{number}", f"fc{number}", inputs=16)
    return net


def input_fields(count: int) -> Written:
    """The same in the way of Caffe's first years."""
    net = Written()
    for number in range(count // 2):
        net.lines.append(f'input: "data{number}" input_shape {{ dim: 1 dim: 1 dim: 4 dim: 4 }}')
    for number in range(count // 2):
        net.convolution(f"conv{number}", f"data{number}", f"conv{number}")
    return net


def one_name(count: int) -> Written:
    """Convolutions that all bear one name."""
    net = Written([INPUT])
    bottom = "data"
    for number in range(count):
        net.convolution("conv", bottom, f"conv{number}")
        bottom = f"conv{number}"
    return net


def fan(count: int) -> Written:
    """A Split of many tops, that an Eltwise and a Concat join."""
    net = Written([INPUT])
    tops = " ".join(f"part{number}" for number in range(count))
    net.layer("split", "Split", "data", tops)
    net.layer("sum", "Eltwise", tops, "sum")
    net.layer("all", "Concat", tops, "all")
    net.product("fc", "sum", "fc", inputs=16)
    net.product("fc1", "all", "fc1", inputs=16 * count)
    return net


def slices(count: int) -> Written:
    """A Slice of many tops, each to a Convolution, and a Concat of what they make."""
    net = Written([INPUT.replace("dim: 1 dim: 1 ", f"dim: 1 dim: {count} ")])
    net.layer("cut", "Slice", "data", " ".join(f"part{number}" for number in range(count)))
    for number in range(count):
        net.convolution(f"conv{number}", f"part{number}", f"conv{number}")
    net.layer("all", "Concat", " ".join(f"conv{number}" for number in range(count)), "all")
    net.product("fc", "all", "fc", inputs=16 * count)
    return net


def residual(count: int) -> Written:
    """Blocks of a Convolution, a BatchNorm, a Scale and a sum with what went into them."""
    net = Written([INPUT])
    net.convolution("conv", "data", "conv")
    bottom = "conv"
    for number in range(count // 4):
        net.convolution(f"conv{number}", bottom, f"conv{number}")
        net.layer(f"bn{number}", "BatchNorm", f"conv{number}", f"bn{number}")
        net.params.append((f"bn{number}", "BatchNorm", ((1,), (1,), (1,))))
        net.layer(
            f"scale{number}", "Scale", f"bn{number}", f"scale{number}",
            "scale_param { bias_term: true }",
        )  # fmt: skip
        net.params.append((f"scale{number}", "Scale", ((1,), (1,))))
        net.layer(f"sum{number}", "Eltwise", f"scale{number} {bottom}", f"sum{number}")
        bottom = f"sum{number}"
    return net


def inception(count: int) -> Written:
    """Blocks of two Convolutions side by side, joined and cut again."""
    net = Written([INPUT])
    bottom = "data"
    for number in range(count // 4):
        net.convolution(f"left{number}", bottom, f"left{number}")
        net.convolution(f"right{number}", bottom, f"right{number}")
        net.layer(f"all{number}", "Concat", f"left{number} right{number}", f"all{number}")
        net.layer(f"cut{number}", "Slice", f"all{number}", f"one{number} rest{number}")
        bottom = f"one{number}"
    return net


def joined(count: int) -> Written:
    """Maps that are flattened and joined, for one InnerProduct."""
    net = Written([INPUT])
    for number in range(count // 2):
        net.convolution(f"conv{number}", "data", f"conv{number}")
        net.layer(f"flat{number}", "Flatten", f"conv{number}", f"flat{number}")
    tops = [f"flat{number}" for number in range(count // 2)]
    net.layer("all", "Concat", " ".join(tops), "all")
    net.product("fc", "all", "fc", inputs=16 * len(tops))
    return net


def shuffles(count: int) -> Written:
    """Channel shuffles: a Reshape, a Permute and a Reshape each."""
    net = Written([INPUT.replace("dim: 1 dim: 1 ", "dim: 1 dim: 4 ")])
    bottom = "data"
    for number in range(count // 3):
        for step, kind, more in (
            ("a", "Reshape", "reshape_param { shape { dim: 1 dim: 2 dim: 2 dim: 4 dim: 4 } }"),
            ("b", "Permute", "permute_param { order: 0 order: 2 order: 1 order: 3 order: 4 }"),
            ("c", "Reshape", "reshape_param { shape { dim: 1 dim: 4 dim: 4 dim: 4 } }"),
        ):
            net.layer(f"{step}{number}", kind, bottom, f"{step}{number}", more)
            bottom = f"{step}{number}"
    net.product("fc", bottom, "fc", inputs=64)
    return net


def unknown(count: int) -> Written:
    """Layers of a type that nobody knows, and InnerProducts behind them."""
    net = Written([INPUT])
    bottom = "data"
    for number in range(count // 2):
        net.layer(f"new{number}", "Newest", bottom, f"new{number}")
        net.product(f"fc{number}", f"new{number}", f"fc{number}")
        bottom = f"new{number}"
    return net


def data_layers(count: int) -> Written:
    """Data layers with labels, each with a classifier and a loss."""
    net = Written()
    shape = "memory_data_param { batch_size: 1 channels: 1 height: 4 width: 4 }"
    for number in range(count // 3):
        net.layer(f"data{number}", "MemoryData", "", f"data{number} label{number}", shape)
        net.product(f"fc{number}", f"data{number}", f"fc{number}", inputs=16)
        net.layer(f"loss{number}", "SoftmaxWithLoss", f"fc{number} label{number}", f"loss{number}")
    return net


def excluded(count: int) -> Written:
    """Layers of the other phase between those of this."""
    net = Written([INPUT])
    bottom = "data"
    for number in range(count // 2):
        net.convolution(f"conv{number}", bottom, f"conv{number}")
        rule = "include { phase: TRAIN }"
        net.layer(f"drop{number}", "Dropout", f"conv{number}", f"drop{number}", rule)
        bottom = f"conv{number}"
    return net


def many_params(count: int) -> Written:
    """A layer with many params, in text and weights."""
    net = Written([INPUT])
    own = "parameter_param { shape { dim: 1 } }"
    net.layer("new", "Newest", "data", "new", "param { lr_mult: 1 } " * count + own)
    net.params.append(("new", "Newest", ((1,),) * count))
    net.convolution("conv", "data", "conv", "param { lr_mult: 1 } " * count)
    return net


def first_generation(count: int) -> Written:
    """A chain as it was written in 2013 (V0)."""
    net = Written(['input: "data" input_dim: 1 input_dim: 1 input_dim: 4 input_dim: 4'])
    bottom = "data"
    for number in range(count // 2):
        name = f"conv{number}"
        own = f'layer {{ name: "{name}" type: "conv" num_output: 1 kernelsize: 1 pad: 0 }}'
        net.lines.append(f'layers {{ {own} bottom: "{bottom}" top: "{name}" }}')
        own = f'layer {{ name: "relu{number}" type: "relu" }}'
        net.lines.append(f'layers {{ {own} bottom: "{name}" top: "{name}" }}')
        net.params.append((name, "Convolution", CONVOLUTION))
        bottom = name
    return net


def second_generation(count: int) -> Written:
    """A chain as it was written in 2014 (V1)."""
    net = Written(['input: "data" input_dim: 1 input_dim: 1 input_dim: 4 input_dim: 4'])
    bottom = "data"
    for number in range(count // 2):
        name = f"conv{number}"
        own = f"convolution_param {{ num_output: 1 kernel_size: 1 {FILLER} }}"
        blobs = f'bottom: "{bottom}" top: "{name}" blobs_lr: 1 blobs_lr: 2'
        net.lines.append(f'layers {{ name: "{name}" type: CONVOLUTION {blobs} {own} }}')
        net.lines.append(
            f'layers {{ name: "relu{number}" type: RELU bottom: "{name}" top: "{name}" }}'
        )
        net.params.append((name, "Convolution", CONVOLUTION))
        bottom = name
    return net


#: Name -> the net of about so many layers (or bottoms, tops, params).
SHAPES: dict[str, Callable[[int], Written]] = {
    each.__name__.replace("_", "-"): each
    for each in (
        chain,
        products,
        refused,
        shared,
        shared_apart,
        in_place,
        readers,
        inputs,
        input_fields,
        one_name,
        fan,
        slices,
        residual,
        inception,
        joined,
        shuffles,
        unknown,
        data_layers,
        excluded,
        many_params,
        first_generation,
        second_generation,
    )
}
