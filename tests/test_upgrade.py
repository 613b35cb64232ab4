"""Old nets brought up to date; what Caffe's own upgrade makes of them is judged in parity/."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from caffe_schema import caffe_messages, net_parameter
from upgrade_nets import NETS, every_v0_field, random_net

from netsurgery.errors import CaffemodelError, OutputError, PrototxtError
from netsurgery.formats.caffemodel import Caffemodel
from netsurgery.formats.prototxt import Prototxt
from netsurgery.formats.upgrade import layers as field_numbers
from netsurgery.formats.upgrade.binary import check_upgraded, plan_binary_upgrade
from netsurgery.formats.upgrade.text import plan_upgrade
from netsurgery.io.segments import Bytes, FileRange, FileSource
from netsurgery.net.net import NetDefinition
from netsurgery.verbs.upgrade import upgrade


def upgraded(text: str) -> str:
    return plan_upgrade(Prototxt.parse(text, "n.prototxt")).text


def test_v1_keeps_comments_order_and_layout() -> None:
    assert (
        upgraded(NETS["V1 rates"])
        == """\
layer {
  name: "ip"  # x
  type: "InnerProduct"
  # rates
  param { name: "shared_w" share_mode: PERMISSIVE lr_mult: 1 decay_mult: 1 }  # w
  param { name: 'shared_b' lr_mult: 2.5e-1 decay_mult: 0 }  # b
  # decays
  # none
  loss_weight: 1 loss_weight: 0.5
  inner_product_param { num_output: 3 }
  include { phase: TRAIN min_level: 1 }
  exclude { phase: TEST stage: "x" }
  blobs { num: 1 channels: 1 height: 1 width: 2 data: 1 data: 2 }
}
"""
    )


def test_v0_keeps_comments_order_and_layout() -> None:
    assert (
        upgraded(NETS["V0 in lines"])
        == """\
layer {
  name: "input"
  type: "Input"
  top: "data"
  input_param {
    shape { dim: 1 dim: 3 dim: 8 dim: 8 }
  }
}
layer {  # a layer
  # inside
  # its name
  name: "conv1"  # named
  type: "Convolution"
  param { lr_mult: 1. decay_mult: 1. }  # lr w
  param { lr_mult: 2. }
  # decay
  convolution_param {
    num_output: 96  # many
    kernel_size: 3
    # the stride
    stride: 4
    weight_filler {
      type: "gaussian" # g
      std: 0.01
    }
  }
  # end
  # closed
  bottom: "data"
  top: "conv1"
}
# pad it
# padding
layer {
	name: "pool"
	type: "Pooling"
	pooling_param { pool: AVE kernel_size: 3
		pad: 2
	}
	bottom: "conv1"
	top: "pool"
}
"""
    )


def test_data_layers_keep_their_lines_where_they_move() -> None:
    assert upgraded(NETS["V1 transformations"]).startswith(
        """\
layer {
  name: "d"
  type: "Data"
  data_param {
    source: "s"  # src
    # cropping
    batch_size: 3
  }
  include { phase: TRAIN }
  transform_param {
    mean_file: "m"  # mean
    crop_size: 3
    mirror: 1
    # old
    scale: 3
    # not
    mean_value: 3
  }
}
layer { type: "ImageData" image_data_param { new_height: 3 } """
        """transform_param { mean_file: "m" scale: 0.5 } }
layer {
  type: "WindowData"
  window_data_param {
  }
  transform_param {
    mean_file: "m"
    crop_size: 3  # c
  }
}
"""
    )


def test_inputs_take_the_files_own_indentation_and_line_ends() -> None:
    assert upgraded(NETS["inputs in Windows lines"]) == (
        '  layer {\r\n      name: "input"\r\n      type: "Input"\r\n      top: "a"\r\n'
        '      top: "b"\r\n      input_param {\r\n          shape {\r\n            dim: 1\r\n'
        "            dim: 3  # three\r\n          }  # end\r\n          shape { dim: 4 }\r\n"
        '      }\r\n  }\r\n\r\n  layer {\r\n      name: "x"\r\n  }'
    )


def test_what_forks_added_stays() -> None:
    text = upgraded('layers { type: RELU fork_param { x: 1 } } fork: [1, 2] input: "d"')
    assert text == 'layer { type: "ReLU" fork_param { x: 1 } } fork: [1, 2]'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "layers { blobs_lr: [1]\n, type: RELU }",
            'layer { param { lr_mult: 1 }\n, type: "ReLU" }',
        ),
        (
            "layers { weight_decay: 1; blobs_lr: 2 # c\n ; type: RELU }",
            'layer { param { lr_mult: 2 decay_mult: 1 } # c\n ; type: "ReLU" }',
        ),
        (
            "layers { layer { type: 'relu'scale: 3 } top: \"a\"}",
            'layer { type: "ReLU" transform_param { scale: 3 } top: "a"}',
        ),
        ("layers<layer:<name:'x'>>", "layer<name:'x'>"),
        (
            "layers {\n  type: RELU\n  blobs_lr: []  # none\n  weight_decay: [\n  ]\n"
            "  top: []\n}\n",
            'layer {\n  type: "ReLU"\n  # none\n  top: []\n}\n',
        ),
        (
            "layers { blobs_lr: [] type: RELU weight_decay: 1 param: []; }",
            'layer { param { decay_mult: 1 } type: "ReLU" }',
        ),
        ("layers { layer { } }", "layer {  }"),
    ],
)
def test_odd_layouts(text: str, expected: str) -> None:
    assert upgraded(text) == expected


@pytest.mark.parametrize("seed", range(60))
def test_no_line_ends_in_blanks_that_the_author_did_not_have(seed: int) -> None:
    blanks = re.compile(r"[ \t]+(?=\r?\n|$)")
    text = blanks.sub("", random_net(seed))
    assert not blanks.search(upgraded(text))


@pytest.mark.parametrize("seed", range(60))
def test_every_comment_stays_and_a_second_time_changes_nothing(seed: int) -> None:
    text = random_net(seed)
    plan = plan_upgrade(Prototxt.parse(text))
    comments = re.findall(r"# comment \d+\.", text)
    assert sorted(re.findall(r"# comment \d+\.", plan.text)) == sorted(comments)
    assert plan.changes
    net = net_parameter(plan.text)
    assert not net.layers
    assert not net.input
    assert [layer.type for layer in net.layer].count("Input") == 1
    again = plan_upgrade(plan.result)
    assert (again.text, again.changes) == (plan.text, ())


def test_a_net_of_today_is_left_alone(repo_root: Path) -> None:
    for path in sorted((repo_root / "prototxt").glob("*.prototxt")):
        prototxt = Prototxt.read(path)
        plan = plan_upgrade(prototxt)
        assert (
            (plan.text == prototxt.text) == (not plan.changes) == (not prototxt.root.all("input"))
        )


def test_a_text_is_parsed_once_as_it_was_and_once_as_it_becomes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    today = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 2 } } }'
    old = 'input: "x" input_shape { dim: 1 dim: 2 }'
    marked = f"\ufeff{today}"
    path, texts = tmp_path / "net.prototxt", []
    parse = Prototxt.parse

    def counted(text: str, path: str = "<text>") -> Prototxt:
        texts.append(text)
        return parse(text, path)

    monkeypatch.setattr(Prototxt, "parse", counted)
    for text, parsed in (
        (today, [today]),
        (marked, [marked]),
        (old, [old, upgraded(old)]),
    ):
        texts.clear()
        path.write_text(text, encoding="utf-8")
        with upgrade(path) as result, result.net as net:
            assert net.view.prototxt.bom is False
            assert net.shapes().blobs == {"x": (1, 2)}
        assert texts == parsed


def test_a_byte_order_mark_is_said_and_not_written() -> None:
    plan = plan_upgrade(Prototxt.parse('\ufefflayer { name: "x" }'))
    assert list(map(str, plan.changes)) == [
        "the byte order mark, which Caffe cannot read, is left out"
    ]
    assert plan.text == 'layer { name: "x" }'


def test_the_changes_are_reported() -> None:
    plan = plan_upgrade(Prototxt.parse(NETS["V0 paddings"] + "input_dim: [1, 2, 3, 4]"))
    assert list(map(str, plan.changes))[1:3] == [
        "layer 'c': takes the padding of layer 'p', 2",
        'layer \'q\': V0\'s `layers { layer }` becomes one `layer`, "pool" becomes "Pooling"',
    ]
    assert str(plan.changes[-1]) == "input 'd' becomes a layer Input"


INPUT = 'input: "d" input_dim: [1, 2, 3, 4] '
PAD = 'layers { layer { name: "p" type: "padding" } bottom: "d" top: "p" } '

REFUSED = {
    "layers { type: FOO }": "1:16: found FOO, expected a type of Caffe's V1, as CONVOLUTION",
    "layers { type: 40 }": "1:16: found 40, expected a type of Caffe's V1, as CONVOLUTION",
    "layers { type: -1 }": "1:16: found -1, expected a type of Caffe's V1, as CONVOLUTION",
    'layers { type: "RELU" }': '1:16: found "RELU", expected a type of Caffe\'s V1, as CONVOLUTION',
    "layers { blobs_lr: x }": "1:20: found x, expected a number",
    "layers { blob_share_mode: SOME }": "1:27: found SOME, expected STRICT or PERMISSIVE",
    "layers { param { lr_mult: 3 } }": "1:16: found a message, expected a value for param",
    'input: "a" input: "b" input_shape { dim: 3 } layer { }': "1:35: 1 input_shape for 2 inputs",
    'input: "a" input_dim: 3 layer { }': "1:12: 1 input_dim for 1 input; each takes four",
    'input: "a"\nlayers { layer { } }\ninput_dim: 3': "3:1: 1 input_dim for 1 input; each "
    "takes four",
    'input: "a" input_shape { dim: 3 } layers { layer { } }': "1:12: found input_shape in a V0 "
    "net, where Caffe does not read it; expected input_dim",
    INPUT + PAD + 'layers { layer { name: "r" type: "relu" } bottom: "p" }': "1:111: layer 'r' "
    "(relu) reads what the padding layer 'p' makes; only a conv or pool alone can take a "
    "padding over",
    INPUT + 'layers { layer { name: "p" type: "padding" } top: "p" }': "1:43: layer 'p': a "
    "padding layer has one bottom and one top",
    INPUT + "layers: [{ layer { type: 'padding' } bottom: 'd' top: 'p' }]": "1:36: a padding "
    "layer in a list; write `layers { ... }` each",
    'layers { layer { name: "p" type: "relu" } bottom: "z" }': "1:8: layer 'p': its bottom 'z' "
    "is made by no layer before it",
    'layers { layer { type: "relu" num_output: 3 } }': "1:31: found num_output in a V0 layer of "
    "type 'relu', which has no such field",
    'layers { layer { type: "relu" fork: 3 } }': "1:31: found fork in a V0 layer of type 'relu', "
    "which has no such field",
    'layers { layer { type: "wat" } }': "1:24: found the V0 type 'wat', which Caffe never had",
    'layers { layer { type: "relu" } loss_weight: 3 }': "1:33: found loss_weight beside `layer`, "
    "expected bottom or top; V0 has all else inside `layer { ... }`",
    "layers { layer { } } layers { type: RELU }": "1:29: found a layer without `layer { ... }` "
    "among layers of V0 that have it",
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_not_understood_is_refused(text: str) -> None:
    with pytest.raises(PrototxtError) as caught:
        upgraded(text)
    assert str(caught.value) == f"n.prototxt:{REFUSED[text]}"


def numbers(message: Any) -> dict[str, int]:
    return {field.name: field.number for field in message.fields}


def test_the_numbers_are_caffes() -> None:
    schema = caffe_messages()
    layer = schema.LayerParameter.DESCRIPTOR
    assert numbers(schema.V0LayerParameter.DESCRIPTOR) == field_numbers.V0_NUMBERS
    assert numbers(schema.V1LayerParameter.DESCRIPTOR) == field_numbers.V1_NUMBERS
    assert numbers(schema.ParamSpec.DESCRIPTOR) == field_numbers.SPEC_NUMBERS
    assert field_numbers.V2_NUMBERS.items() <= numbers(layer).items()
    for param, fields in field_numbers.PARAM_NUMBERS.items():
        assert fields.items() <= numbers(layer.fields_by_name[param].message_type).items()
    assert field_numbers.V1_NUMBERS.keys() - field_numbers.V2_NUMBERS.keys() == {
        "layer",
        "blobs_lr",
        "weight_decay",
        "blob_share_mode",
    }


def write(folder: Path, net: Any) -> Path:
    path = folder / "old.caffemodel"
    path.write_bytes(net if isinstance(net, bytes) else net.SerializeToString())
    return path


def in_binary(folder: Path, net: Any) -> Any:
    """The net after the upgrade of its binary form."""
    path = folder / "new.caffemodel"
    upgrade(write(folder, net), path, force=True)
    return caffe_messages().NetParameter.FromString(path.read_bytes())


@pytest.mark.parametrize("name", [name for name in NETS if "layer" in NETS[name]])
def test_text_and_binary_agree(name: str, tmp_path: Path) -> None:
    text = Prototxt.parse(NETS[name]).text
    assert str(in_binary(tmp_path, net_parameter(text))) == str(net_parameter(upgraded(text)))


def test_text_and_binary_agree_on_random_nets(tmp_path: Path) -> None:
    for text in [every_v0_field(), *map(random_net, range(60))]:
        assert str(in_binary(tmp_path, net_parameter(text))) == str(net_parameter(upgraded(text)))


@pytest.mark.parametrize("generation", ["V0", "V1"])
def test_weights_are_copied_as_they_lie(generation: str, tmp_path: Path) -> None:
    net = caffe_messages().NetParameter()
    for index in range(3):
        layer = net.layers.add()
        if generation == "V0":
            layer = layer.layer
            layer.type = "innerproduct"
        else:
            layer.type = 14
        layer.name = f"ip{index}"
        blob = layer.blobs.add()
        blob.num = blob.channels = 1
        blob.height, blob.width = 100, 200
        blob.data.extend(range(20000))
    path = write(tmp_path, net)
    source = FileSource(path)
    plan = plan_binary_upgrade(source)
    source.close()
    copied = [segment.length for segment in plan.segments if isinstance(segment, FileRange)]
    written = [len(segment.data) for segment in plan.segments if isinstance(segment, Bytes)]
    assert plan.generation == generation
    assert len(copied) == 3
    assert min(copied) >= 80000
    assert sum(written) < 200
    in_binary(tmp_path, net)
    with Caffemodel.open(tmp_path / "new.caffemodel") as upgraded_model:
        assert [(layer.name, layer.type) for layer in upgraded_model.layers] == [
            (f"ip{index}", "InnerProduct") for index in range(3)
        ]
        for layer in upgraded_model.layers:
            assert (layer.blobs[0].shape, layer.blobs[0].legacy) == ((1, 1, 100, 200), True)
            assert layer.blobs[0].numpy().ravel().tolist() == list(range(20000))


def test_a_binary_net_of_today_is_copied_byte_for_byte(repo_root: Path, tmp_path: Path) -> None:
    path = repo_root / "models" / "digits" / "digits.caffemodel"
    assert upgrade(path, tmp_path / "new.caffemodel").steps == ()
    assert (tmp_path / "new.caffemodel").read_bytes() == path.read_bytes()


def test_fields_that_v1_does_not_have_are_reported(tmp_path: Path) -> None:
    layer = b"\x22\x01a" + b"\xa0\x06\x05"  # name "a", field 100
    source = FileSource(write(tmp_path, b"\x12" + bytes([len(layer)]) + layer))
    plan = plan_binary_upgrade(source)
    source.close()
    assert list(map(str, plan.changes)) == [
        "layer 'a': `layers` becomes `layer`",
        "layer 'a': field 100, which V1 does not have, is left out",
    ]


REFUSED_BINARY = {
    "layers { type: RELU } layer { }": "byte 4: holds layers of two generations (fields 2 and "
    "100); Caffe reads only files of one kind",
    'name: "n"': "holds no layers, so it is not a caffemodel",
    'input: "a" input: "b" input_shape { dim: 3 } layer { }': "byte 0: 1 input_shape for 2 inputs",
    'input: "a" input_dim: 3 layer { }': "byte 0: 1 input_dim for 1 input; each takes four",
    'input: "a" input_shape { dim: 3 } layers { layer { } }': "byte 4: input_shape in a V0 net, "
    "where Caffe does not read it",
    'layers { layer { name: "p" type: "relu" } bottom: "z" }': "byte 0: layer 'p': its bottom "
    "'z' is made by no layer before it",
    'layers { layer { name: "p" type: "relu" num_output: 3 } }': "byte 0: layer 'p': found "
    "num_output in a V0 layer of type 'relu', which has no such field",
    'layers { layer { type: "wat" } }': "byte 0: found the V0 type 'wat', which Caffe never had",
    "layers { layer { } loss_weight: 3 }": "byte 0: found loss_weight beside a V0 layer's "
    "`layer`, expected bottom or top",
    "layers { layer { } } layers { type: RELU }": "byte 4: found a layer of V1 among layers of V0",
}


@pytest.mark.parametrize("text", REFUSED_BINARY)
def test_what_is_not_understood_is_refused_in_binary(text: str, tmp_path: Path) -> None:
    source = FileSource(write(tmp_path, net_parameter(text)))
    with pytest.raises(CaffemodelError) as caught:
        plan_binary_upgrade(source)
    source.close()
    assert str(caught.value) == f"{source.path}: {REFUSED_BINARY[text]}"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            b"\x12\x07\x22\x01a\x28\x80\x01",
            "byte 0: field 2 has 7 bytes, 6 are left: the file is cut short",
        ),
        (
            b"\x12\x05\x22\x01a\x28\x7f",
            "byte 0: layer 'a': found the type 127, expected a type of Caffe's V1, at most 39",
        ),
        (b"\x08\x01\x12\x00", "byte 0: a number where a net has its name; no net"),
        (b"\x12\x02\x2a\x00", "byte 0: layer '': its type is not a number of V1's"),
        (b"\x12\x02\x38\x01", "byte 2: field 7 has wire type 0 instead of 5 or 2"),
        (b"\x12\x02\x30\x01", "byte 2: field 6 has wire type 0 instead of 2"),
    ],
)
def test_broken_models(data: bytes, message: str, tmp_path: Path) -> None:
    source = FileSource(write(tmp_path, data))
    with pytest.raises(CaffemodelError) as caught:
        plan_binary_upgrade(source)
    source.close()
    assert str(caught.value) == f"{source.path}: {message}"


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    source = FileSource(write(tmp_path, net_parameter('layers { name: "a" type: RELU }')))
    plan = plan_binary_upgrade(source)
    source.close()
    replacement = tmp_path / "other.caffemodel"
    replacement.write_bytes(net_parameter('layer { name: "b" type: "ReLU" }').SerializeToString())
    with pytest.raises(OutputError) as caught:
        check_upgraded(replacement, plan)
    assert str(caught.value) == f"{replacement}: was written otherwise than planned"


def test_a_net_of_v0_is_read_as_one_of_today(tmp_path: Path) -> None:
    path = tmp_path / "v0.prototxt"
    path.write_text(NETS["V0 in lines"])
    net = NetDefinition.read(path)
    assert [(layer.name, layer.type) for layer in net.layers] == [
        ("input", "Input"),
        ("conv1", "Convolution"),
        ("pool", "Pooling"),
    ]
    assert net.notes == (
        "the net is of Caffe's first generation (V0): it was upgraded first, as by `upgrade`",
    )
    path.write_text('layers { name: "r" type: RELU }')
    net = NetDefinition.read(path)
    assert (net.prototxt.generation, net.notes) == ("V1", ())
