"""Old nets to upgrade: one for each thing that an upgrade does, and random ones."""

from __future__ import annotations

import random
from collections.abc import Callable

from netsurgery.formats.generations import V0_TYPES, V1_WORDS
from netsurgery.formats.upgrade.layers import V0_NUMBERS
from netsurgery.formats.upgrade.v0 import home, left_out

__all__ = ["NETS", "every_v0_field", "random_net"]

NETS = {
    "inputs with comments": """\
# head
name: "n"  # the name
# The input
input: "data"  # in
# batch
input_dim: 10  # N
input_dim: 3
# size
input_dim: 227 # H
input_dim: 227
force_backward: true
layer { name: "x" }
""",
    "inputs behind the layers": 'layer { name: "x" }\ninput: "a"\n# dims\ninput_dim: 1\n'
    "input_dim: 2 # c\ninput_dim: 3\ninput_dim: 4\n",
    "inputs in one line": 'input: "a  b" input_shape { dim: 1 dim: 3 } layer { name: "x   y" }',
    "inputs in Windows lines": '  input: "a"\r\n  input_shape {\r\n    dim: 1\r\n'
    '    dim: 3  # three\r\n  }  # end\r\n\r\n  input: "b"\r\n  input_shape { dim: 4 }\r\n'
    '  layer {\r\n      name: "x"\r\n  }',
    "inputs in lists": 'input: ["a", "b"] input_dim: [1,2,3,4,5,6,7,8] layer { name: "x" }',
    "too many dims": 'input: "a" input_dim: [1, 2, 3, 4, 5] layer { name: "x" }',
    "too many shapes": 'input: "a" input_shape { dim: 3 } input_shape { dim: 4 } layer { }',
    "dims and shapes": 'input: "a" input_shape { dim: 3 } input_dim: [1, 2, 3, 4] layer { }',
    "an input without a shape": 'input: "a"\nlayer { name: "x" }',
    "an input beside a layer that makes it": 'input: "a"\nlayer { name: "in" type: "Input" '
    'top: "a" input_param { shape { dim: 2 } } }',
    "detection in other layers": 'layers { layer { name: "d" type: "data" batchsize: 2 '
    'det_crop_mode: "warp" # all of it\n det_context_pad: 16 } top: "d" }\n'
    'layers { layer { name: "r" type: "relu" det_fg_threshold: 0.5 } bottom: "d" top: "d" }',
    "dims without an input": 'input_dim: 3 layer { name: "x" }',
    "V1 types by word and number": "".join(
        f"layers {{ type: {word} }} layers {{ type: {number} }}\n"
        for number, word in enumerate(V1_WORDS)
    ),
    "V1 without a type": 'layers { name: "t" }',
    "V1 in a list": 'layers: [ { name: "d" type: DATA data_param { scale: 2 mirror: true } },'
    ' { type: RELU blobs_lr: 1 weight_decay: [1, 2] param: "p" blob_share_mode: 1 } ]\n'
    'input_shape: < dim: 1 # one\ndim: [2, 3] >\ninput: "q"\n',
    "V1 rates": """\
layers {
  name: "ip"  # x
  type: INNER_PRODUCT
  # rates
  blobs_lr: 1  # w
  blobs_lr: 2.5e-1  # b
  # decays
  weight_decay: 1
  weight_decay: 0  # none
  param: "shared_w"
  param: 'shared_b'
  blob_share_mode: PERMISSIVE
  loss_weight: 1 loss_weight: 0.5
  inner_product_param { num_output: 3 }
  include { phase: TRAIN min_level: 1 }
  exclude { phase: TEST stage: "x" }
  blobs { num: 1 channels: 1 height: 1 width: 2 data: 1 data: 2 }
}
""",
    "V1 more rates than decays": "layers {\n  weight_decay: 1\n  blobs_lr: 3 blobs_lr: 2\n}\n",
    "V1 transformations": """\
layers {
  name: "d"
  type: DATA
  data_param {
    source: "s"  # src
    mean_file: "m"  # mean
    # cropping
    crop_size: 3
    batch_size: 3
    mirror: 1
  }
  include { phase: TRAIN }
  transform_param {
    # old
    scale: 3
    mirror: false  # not
    mean_value: 3
  }
}
layers { type: IMAGE_DATA image_data_param { mean_file: "m" new_height: 3 scale: 0.5 } }
layers {
  type: WINDOW_DATA
  window_data_param {
    mean_file: "m"
    crop_size: 3  # c
  }
}
layers { type: HDF5_DATA data_param { scale: 2 } }
layers { type: DATA data_param { scale: 2 } transform_param { scale: 3 mean_value: 1 } }
""",
    "V2 keeps its data_param": 'layer { type: "Data" data_param { scale: 2 mirror: true } }',
    "V0 in lines": """\
input: "data"
input_dim: 1
input_dim: 3
input_dim: 8
input_dim: 8
layers {  # a layer
  layer {  # inside
    # its name
    name: "conv1"  # named
    type: "conv"
    num_output: 96  # many
    kernelsize: 3
    blobs_lr: 1.  # lr w
    # the stride
    stride: 4
    weight_filler {
      type: "gaussian" # g
      std: 0.01
    }
    blobs_lr: 2.
    weight_decay: 1.  # decay
    # end
  }  # closed
  bottom: "data"
  top: "conv1"
}
layers {
  # pad it
  layer { name: "pad1" type: "padding" pad: 2 }  # padding
  bottom: "conv1" top: "pad1"
}
layers {
	layer {
		name: "pool"
		type: "pool" pool: AVE kernelsize: 3 }
	bottom: "pad1"
	top: "pool"
}
""",
    "V0 in one line": 'input: "d" input_dim: [1, 2, 3, 4] '
    'layers { layer { name: "c" type: "conv" num_output: 3 group: 2 biasterm: false '
    'blobs_lr: [1, 2] } bottom: "d" top: "c" }',
    "V0 comments behind fields": 'layers { layer { type: "conv" num_output: 3 # c\n'
    ' blobs_lr: 1 # d\n } top: "z" }\nlayers { layer { type: "relu" name: "r" # d\n } top: "z" }',
    "V0 paddings": 'input: "d" '
    'layers { layer { name: "p" type: "padding" pad: 2 } bottom: "d" top: "p" } '
    'layers { layer { name: "c" type: "conv" pad: 1 } bottom: "p" top: "c" } '
    'layers { layer { name: "q" type: "pool" } bottom: "p" top: "p" } '
    'layers { layer { name: "r" type: "relu" } bottom: "p" top: "p" } '
    'layers { layer { name: "o" type: "padding" } bottom: "p" top: "o" } '
    'layers { layer { name: "c2" type: "conv" } bottom: "o" top: "z" }',
    "V0 what nothing reads": 'layers { layer { name: "i" type: "images" new_num: 3 # n\n '
    "new_height: 3 shuffle_images: true new_channels: 3 } } debug_info: true state { level: 3 }",
    "V1 with empty lists": 'layers { name: "a" type: RELU bottom: [] top: "b" blobs_lr: [] '
    "weight_decay: [ ] param: [] blob_share_mode: [] include: [] } "
    'layers [{ name: "c" type: CONVOLUTION blobs_lr: [] weight_decay: [1, 2] param: [] top: [] }]',
    "V0 with empty lists": 'layers { layer { name: "a" type: "data" } top: "x" blobs_lr: [] } '
    'layers { layer { name: "b" type: "conv" num_output: 3 blobs_lr: [] kernelsize: 3 '
    'weight_decay: [ # none\n ] stride: 2 } bottom: "x" bottom: [] top: "b" weight_decay: [] }',
    "inputs with empty lists": 'input: [] input: "a" input_dim: [] input_shape { dim: [] dim: 3 } '
    'input_shape: [] layer { name: "a" type: "ReLU" bottom: "a" top: "b" param [] }',
    "V0 without a type": 'layers { layer { name: "x" } top: "a" } layers { layer { } top: "b" }',
    "BatchNorm with rates": """\
layer {
  name: "b"
  type: "BatchNorm"
  param { lr_mult: 0 }
  param {
    lr_mult: 1  # one
    name: "q"
  }
  param { }
}
layer { type: "BatchNorm" param { lr_mult: 3 } param { lr_mult: 3 } }
layer { type: "BatchNorm" param: [{ lr_mult: 3 }, { decay_mult: 3 }, { name: "z" }] }
layer { type: "Scale" param { lr_mult: 3 } param { lr_mult: 3 } param { lr_mult: 3 } }
""",
    "BatchNorm with more rates": 'layer { type: "BatchNorm" '
    "param { lr_mult: 3 } param { lr_mult: 3 } param { lr_mult: 3 } param { lr_mult: 3 } }",
    "BatchNorm with rates of 0": 'layer { type: "BatchNorm" param { lr_mult: 0 decay_mult: 0. }'
    " param { lr_mult: 0 decay_mult: 0 } param { decay_mult: 0 lr_mult: 0 } }",
    "nothing": "",
}

_VALUES = {
    **{"weight_filler": '{ type: "xavier" }', "bias_filler": "{ value: 0.5 }"},
    **{"blobs": "{ data: 1.5 num: 1 channels: 1 height: 1 width: 1 }"},
    **{"hdf5_output_param": '{ file_name: "f" }', "pool": "AVE", "source": '"s"'},
    **{"meanfile": '"m"', "det_crop_mode": '"warp"', "biasterm": "false", "mirror": "true"},
    **{"shuffle_images": "true"},
}


def every_v0_field() -> str:
    """A V0 net with a layer for every type and every field that the type has."""
    lines = []
    for kind in V0_TYPES:
        for field in V0_NUMBERS:
            if field not in ("name", "type") and (home(kind, field) or left_out(kind, field)):
                value = _VALUES.get(field, "3")
                mark = " " if value.startswith("{") else ": "
                inner = f'name: "{kind}.{field}" type: "{kind}" {field}{mark}{value}'
                lines.append(f"layers {{ layer {{ {inner} }} }}\n")
    return "".join(lines)


class _Writer:
    """Fields in every layout that text format allows; each comment bears its own number."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.newline = self.random.choice(["\n", "\n", "\r\n"])
        self.count = 0

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def comment(self) -> str:
        self.count += 1
        return f"# comment {self.count}.{self.newline}"

    def gap(self, depth: int) -> str:
        if self.chance(0.3):
            return " "
        if self.chance(0.15):
            return f" {self.comment()}{'  ' * depth}"
        between = f"{'  ' * depth}{self.comment()}" if self.chance(0.1) else ""
        return f"{self.newline}{between}{'  ' * depth}"

    def message(self, name: str, fields: list[str], depth: int) -> str:
        opened, closed = self.random.choice([("{", "}"), ("{", "}"), ("<", ">")])
        mark = self.random.choice([" ", ": ", ""])
        inside = "".join(self.gap(depth + 1) + field for field in fields)
        return f"{name}{mark}{opened}{inside}{self.gap(depth)}{closed}"

    def some(self, fields: list[str], most: int = 4) -> list[str]:
        picked = self.random.sample(fields, self.random.randint(0, min(most, len(fields))))
        self.random.shuffle(picked)
        return picked

    def repeated(self, name: str, values: list[str]) -> list[str]:
        if self.chance(0.2):
            return [f"{name}: [{', '.join(values)}]"]
        end = self.random.choice(["", "", ";", ","])
        return [f"{name}: {value}{end}" for value in values]

    def merge(self, *runs: list[str]) -> list[str]:
        """The runs mixed, each in its own order."""
        rest = [list(run) for run in runs if run]
        out = []
        while rest:
            run = self.random.choice(rest)
            out.append(run.pop(0))
            rest = [run for run in rest if run]
        return out

    def rates(self) -> list[str]:
        fields = [self.repeated(key, self.numbers()) for key in ("blobs_lr", "weight_decay")]
        return self.merge(*fields)

    def numbers(self) -> list[str]:
        return [self.random.choice(["1", "2.", "0.5", "1e-3", "0"]) for _ in range(self.die(3))]

    def die(self, sides: int) -> int:
        return self.random.randint(0, sides)

    def v1_layer(self, index: int) -> str:
        word = self.random.choice(list(V1_WORDS)[1:])
        kind = word if self.chance(0.8) else str(list(V1_WORDS).index(word))
        data = ['source: "a#b"', "scale: 0.5", 'mean_file: "m"', "crop_size: 3", "mirror: true"]
        names = [f'"w#{i}"' for i in range(self.die(2))]
        modes = [self.random.choice(["STRICT", "PERMISSIVE", "1"]) for _ in range(self.die(2))]
        blocks = [
            self.message("data_param", self.some(data), 1),
            self.message("image_data_param", self.some(data), 1),
            self.message("transform_param", self.some(["scale: 3", "mean_value: 2"]), 1),
            self.message("include", self.some(["phase: TRAIN", "min_level: 3"]), 1),
        ]
        fields = self.merge(
            [f"type: {kind}", f'name: "l{index}"'],
            self.rates(),
            self.repeated("param", names),
            self.repeated("blob_share_mode", modes),
            self.some(blocks),
            self.repeated("loss_weight", self.numbers()),
        )
        return self.message("layers", fields, 0)

    def v0_layer(self, index: int) -> str:
        kind = self.random.choice(list(V0_TYPES))
        possible = [
            f"{field}{'' if field.endswith('filler') else ':'} {_VALUES.get(field, '3')}"
            for field in V0_NUMBERS
            if home(kind, field) not in (None, ("", field))
        ]
        fields = self.merge(
            [f'name: "l{index}"', f"type: '{kind}'"], self.some(possible, 8), self.rates()
        )
        top = f'top: "t{index}"' if self.chance(0.5) else "bottom: 'data'"
        return self.message("layers", self.merge([self.message("layer", fields, 1)], [top]), 0)

    def inputs(self) -> list[str]:
        if self.chance(0.5):
            return ["input: 'data'", *self.repeated("input_dim", ["1", "3", "0x10", "8"])]
        shape = self.message("input_shape", self.repeated("dim", ["1", "2", "3"]), 0)
        return ["input: 'data'", shape, 'input: "more"', "input_shape { }"]

    def net(self, layer: Callable[[int], str], inputs: list[str]) -> str:
        layers = [layer(index) for index in range(self.random.randint(1, 6))]
        ahead = self.chance(0.5)
        fields = [*inputs, *layers] if ahead else self.merge(inputs, layers)
        return "".join(field + self.gap(0) for field in ['name: "n#n"', *fields])


def random_net(seed: int) -> str:
    """A V0 (odd seeds) or V1 net in a mixed layout, each comment with a number of its own."""
    writer = _Writer(seed)
    if seed % 2:
        names = ["input: 'data'", *writer.repeated("input_dim", ["1", "3", "8", "8"])]
        return writer.net(writer.v0_layer, names)
    return writer.net(writer.v1_layer, writer.inputs())
