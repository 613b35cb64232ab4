"""The fields of layers that are known, and what is said of others."""

from __future__ import annotations

from pathlib import Path

import pytest

from netsurgery.cli import run
from netsurgery.errors import PrototxtError
from netsurgery.export.layers import CONVERTERS, check_types
from netsurgery.formats.prototxt import Prototxt
from netsurgery.formats.schema.index import caffe_fields, fields_of_forks, forks
from netsurgery.net import types
from netsurgery.net.known_fields import check_fields, unknown_fields
from netsurgery.net.net import NetDefinition
from netsurgery.net.shapes import infer

#: Messages are compared as the command words them.
pytestmark = pytest.mark.usefixtures("option_names")

#: Types whose layers take nothing, or whose own definition checks its fields.
WITHOUT = {"AbsVal", "BNLL", "BatchReindex", "Silence", "Split"}
WITHOUT_OF_FORKS = {"Axpy", "HardSwish", "Mish", "Softplus", "Softsign"}


@pytest.mark.parametrize("name", sorted(types.RECORDS))
def test_records_name_what_the_schemas_have(name: str) -> None:
    record = types.RECORDS[name]
    stock = record.origin == types.STOCK
    names = {fork.name for fork in forks()}
    assert stock or record.origin in names
    if record.message is None:
        return
    message = caffe_fields("LayerParameter").get(record.message)
    assert message if stock else True
    message = message or fields_of_forks("LayerParameter")[record.message]
    assert all(field in fields_of_forks(message) for field in record.fields)


@pytest.mark.parametrize("kind", sorted(CONVERTERS))
def test_every_type_has_its_message(kind: str) -> None:
    record = types.record(kind)
    assert record is not None
    assert (record.message is None) == (kind in WITHOUT | WITHOUT_OF_FORKS)


@pytest.mark.parametrize("version", ["layer", "layers"])
def test_a_field_of_a_fork_is_refused(version: str) -> None:
    kind = '"Convolution"' if version == "layer" else "CONVOLUTION"
    text = f"""input: "x" input_dim: [1, 1, 5, 5]
    {version} {{ name: "c" type: {kind} bottom: "x" top: "y"
      convolution_param {{ num_output: 1 kernel_size: 3
        pad_l: 1 }} }}"""
    with pytest.raises(PrototxtError) as caught:
        check_types(NetDefinition.of(Prototxt.parse(text, "n.prototxt")))
    assert str(caught.value) == (
        "n.prototxt:4:9: layer 'c' (Convolution): convolution_param has a field pad_l, which is "
        "not known (Synopsys Caffe has it) and may change everything after it; remove it if it "
        "changes nothing"
    )


PADDED = """input: "data" input_dim: [1, 1, 8, 8]
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 1 kernel_size: 3 PAD weight_filler { type: "xavier" } } }
layer { name: "fc" type: "InnerProduct" bottom: "conv" top: "fc"
  inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
"""
BLAME = (
    "layer 'conv' (Convolution): convolution_param has a field pad_l, which is not known (Synopsys "
    "Caffe has it) and may change everything after it; remove it if it changes nothing"
)


@pytest.mark.parametrize("command", ["convert", "verify"])
def test_an_unknown_field_is_blamed_where_weights_do_not_fit(
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The fork pads, so its InnerProduct has more weights than the shapes say here."""
    monkeypatch.chdir(tmp_path)
    Path("fork.prototxt").write_text(PADDED.replace("PAD", "pad_l: 1"))
    Path("as_trained.prototxt").write_text(PADDED.replace("PAD", "pad: 1"))
    assert run(["init", "-q", "as_trained.prototxt", "-o", "net.caffemodel"]) == 0
    fork = ["fork.prototxt", "net.caffemodel"]
    if command == "verify":
        assert run(["verify", *fork, *fork, "--engine", "embedded"]) == 2
        assert "convolution_param has a field pad_l" in capsys.readouterr().err
        return
    assert run(["convert", *fork, "--engine", "embedded"]) == 1
    error = capsys.readouterr().err
    assert "layer 'fc': the shape of its bottom 'conv' is not known" in error
    assert BLAME in error


def test_an_unknown_field_is_blamed_where_shapes_contradict() -> None:
    net = PADDED.replace("PAD", "pad_l: 1") + (
        'layer { name: "r" type: "Reshape" bottom: "conv" top: "r" '
        "reshape_param { shape { dim: [1, 64] } } }"
    )
    shapes = infer(NetDefinition.of(Prototxt.parse(net, "n.prototxt")))
    assert set(shapes.unknown) == {"conv", "fc", "r"}
    assert set(shapes.unknown.values()) == {f"line 3: {BLAME}; --input-shape conv=NxCxHxW gives it"}
    assert "fc" not in shapes.params


def test_only_what_depends_on_the_layer_is_unknown() -> None:
    beside = PADDED.replace("PAD", "pad_l: 1") + (
        'layer { name: "other" type: "InnerProduct" bottom: "data" top: "other" '
        "inner_product_param { num_output: 2 } }"
    )
    shapes = infer(NetDefinition.of(Prototxt.parse(beside, "n.prototxt")))
    assert shapes.blobs["other"] == (1, 2)
    assert shapes.params == {"other": ((2, 64), (2,))}


@pytest.mark.parametrize(
    ("kind", "message", "unknown"),
    [
        ("Convolution", "convolution_param { kernel_size: 3 hole: 2 pad_l: 1 }", ["pad_l"]),
        ("Pooling", "pooling_param { kernel_size: 3 ceil_mode: false }", []),
        ("InnerProduct", "inner_product_param { normalize: true }", ["normalize"]),
        ("Upsample", "upsample_param { scale: 2 mode: 1 }", ["mode"]),
        ("Interp", "interp_param { zoom_factor: 2 }", []),
        ("Strange", "strange_param { zoom_factor: 2 }", []),
        ("Convolution", "convolution_param { weight_filler { strange: 1 } }", []),
        ("Reshape", "reshape_param { shape { dim: 1 dims: 2 } }", ["dims"]),
        ("ReLU6", "relu6_param { negative_slope: 1 }", ["negative_slope"]),
        (
            "Normalize",
            "norm_param { eps: 1 } normalize_param { bp_norm: true }",
            ["normalize_param"],
        ),
        ("ReLU", "permute_param { order: 1 } forward_type: FLOAT16 blobs_lr: 1", []),
        ("Convolution", "strange_param { a: 1 } strange: 1", []),
        ("Convolution", "pad: 1 convolution_param { kernel_size: 3 }", ["pad"]),
        ("Convolution", "hole: 1 convolution_param { kernel_size: 3 }", ["hole"]),
        ("Convolution", "convoluton_param { pad: 1 }", ["convoluton_param"]),
        ("Convolution", "convolution_params { pad: 1 }", ["convolution_params"]),
        ("Convolution", "deconvolution: 1", []),
        ("Pooling", "pooling_param { pool: MXA round_mode: FLOOR }", ["pool"]),
        ("Pooling", "pooling_param { pool: 1 } ", []),
        ("Pooling", "pooling_param { pool: 0x1 }", []),
        ("Pooling", "pooling_param { pool: 7 }", ["pool"]),
        ("Pooling", 'pooling_param { pool: "MAX" }', ["pool"]),
        ("Pooling", "pooling_param { pool: AVE_TF }", ["pool"]),
        ("Eltwise", "eltwise_param { operation: SUMM }", ["operation"]),
        ("LRN", "lrn_param { norm_region: X engine: CUDNN }", ["norm_region"]),
        ("ReLU", "relu_param { engine: MKLDNN }", []),
        ("ReLU", "relu_param { engine: FAST }", ["engine"]),
        ("InnerProduct", "inner_product_param { engine: MKLDNN }", []),
        ("Threshold", "threshold_param { engine: MKLDNN }", ["engine"]),
        ("AbsVal", "absval_param { a: 1 }", ["absval_param"]),
        ("Data", "data_param { batch_size: 1 shuffle: true }", ["shuffle"]),
    ],
)
def test_fields_that_the_definition_of_a_type_does_not_have(
    kind: str, message: str, unknown: list[str]
) -> None:
    text = f'layer {{ name: "l" type: "{kind}" {message} }}'
    layer = NetDefinition.of(Prototxt.parse(text)).layer("l")
    assert [field.name for field in unknown_fields(layer)] == unknown


@pytest.mark.parametrize(
    ("field", "place", "what"),
    [
        (
            "pool: MXA",
            "31",
            "found MXA, expected MAX, AVE or STOCHASTIC for pool; did you mean MAX?",
        ),
        (
            "pool: AVE_TF",
            "31",
            "found AVE_TF, expected MAX, AVE or STOCHASTIC for pool; Synopsys Caffe takes it",
        ),
        (
            "kernal_size: 2",
            "25",
            "pooling_param has a field kernal_size, which is not known (did you mean kernel_size?) "
            "and may change everything after it; remove it if it changes nothing",
        ),
        (
            "zzz: 2",
            "25",
            "pooling_param has a field zzz, which is not known and may change everything after "
            "it; remove it if it changes nothing",
        ),
    ],
)
def test_what_is_said_of_them(field: str, place: str, what: str) -> None:
    text = f'layer {{ name: "l" type: "Pooling"\nbottom: "x" pooling_param {{ {field} }} }}'
    (layer,) = NetDefinition.of(Prototxt.parse(text, "n"), wired=False).layers
    with pytest.raises(PrototxtError) as caught:
        check_fields(layer)
    assert str(caught.value).startswith(f"n:2:{int(place) + 4}: layer 'l' (Pooling): ")
    assert str(caught.value).endswith(f"(Pooling): {what}")
