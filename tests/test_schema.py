"""The schemas of Caffe 1.0 and its forks, and texts held against them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pool, message_factory, text_format
from others_data import ServedPath

from netsurgery.errors import PrototxtError
from netsurgery.formats.schema import descriptors, index
from netsurgery.formats.schema.descriptors import CAFFE, descriptor, is_repeated, message_name
from netsurgery.formats.schema.problems import NET, problems
from netsurgery.formats.textformat import parse

FOLDER = Path(index.__file__).parent


def test_the_files_are_what_the_tables_make(tmp_path: Path, repo_root: Path) -> None:
    command = [sys.executable, str(repo_root / "schema" / "make.py"), str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True)
    names = {path.name for path in tmp_path.iterdir()}
    stored = {path.name for path in FOLDER.iterdir() if path.suffix in (".desc", ".json")}
    assert stored == names | {"caffe.desc"}
    tables = {f"{path.stem}.desc" for path in (repo_root / "schema").glob("*.toml")}
    assert tables <= names
    for name in names:
        assert (tmp_path / name).read_bytes() == (FOLDER / name).read_bytes(), name


def reachable(name: str, key: str = CAFFE, seen: set[str] | None = None) -> set[str]:
    """The names of the messages that a message of this name can hold."""
    seen = set() if seen is None else seen
    message = descriptor(name, key)
    if message is not None and name not in seen:
        seen.add(name)
        for field in message.fields:
            if field.message_type is not None:
                reachable(message_name(field.message_type), key, seen)
    return seen


def kinds(name: str, key: str) -> dict[str, str]:
    message = descriptor(name, key)
    return {
        field.name: message_name(field.message_type) if field.message_type is not None else ""
        for field in (message.fields if message is not None else ())
    }


def test_the_index_says_what_the_descriptors_say() -> None:
    for name in reachable(NET) | reachable("SolverParameter"):
        assert index.caffe_fields(name) == kinds(name, CAFFE)
    for fork in index.forks():
        for name in reachable(NET, fork.key) | set(fork.fields):
            whole, own = kinds(name, fork.key), kinds(name, CAFFE)
            more = {field: kind for field, kind in whole.items() if field not in own}
            assert fork.fields.get(name, {}) == more, (fork.name, name)


#: One thing of each fork, with its number, type and default as the fork's caffe.proto has them.
FACTS = [
    ("ssd", "PermuteParameter", "order", 1, "uint32", None),
    ("ssd", "NormalizeParameter", "eps", 4, "float", 1e-10),
    ("ssd", "PriorBoxParameter", "offset", 13, "float", 0.5),
    ("ssd", "LayerParameter", "norm_param", 206, "NormalizeParameter", None),
    ("deeplab", "ConvolutionParameter", "hole", 17, "uint32", 1),
    ("deeplab", "InterpParameter", "pad_beg", 5, "int32", 0),
    ("deeplab_v2", "DenseCRFParameter", "output_probability", 7, "bool", True),
    ("segnet", "UpsampleParameter", "pad_out_h", 4, "bool", False),
    ("segnet", "BNParameter", "bn_mode", 3, "BNMode", 0),
    ("enet", "UpsampleParameter", "scale", 1, "uint32", 2),
    ("pspnet", "BNParameter", "slope_filler", 1, "FillerParameter", None),
    ("pspnet", "BNParameter", "eps", 4, "float", 1e-5),
    ("nvcaffe", "BatchNormParameter", "scale_bias", 7, "bool", False),
    ("nvcaffe", "BlobProto", "raw_data", 12, "bytes", None),
    ("intel", "ConvolutionParameter", "relu", 19, "bool", False),
    ("intel", "ConvolutionParameter", "conv_algorithm", 21, "string", "direct"),
    ("yolo", "PriorBoxParameter", "clip", 5, "bool", True),
    ("tsn", "ConvolutionParameter", "dilation", 16, "uint32", 1),
    ("rfcn", "PSROIPoolingParameter", "group_size", 3, "int32", None),
    ("rfcn", "ROIPoolingParameter", "spatial_scale", 3, "float", 1.0),
    ("yolo", "PoolingParameter", "ceil_mode", 13, "bool", True),
    ("mobilenet_yolo", "UpsampleParameter", "scale", 1, "int32", 1),
    ("mobilenet", "ReLU6Parameter", "negative_slope", 1, "float", 0.0),
    ("shufflenet", "ShuffleChannelParameter", "group", 1, "uint32", 1),
    ("caffe_windows", "InnerProductParameter", "normalize", 7, "bool", False),
    ("sphereface", "MarginInnerProductParameter", "type", 2, "MarginType", 0),
    ("caffe_face", "CenterLossParameter", "num_output", 1, "uint32", None),
    ("greentea", "PoolingParameter", "dilation", 13, "uint64", None),
    ("ristretto", "QuantizationParameter", "bw_layer_in", 3, "uint32", 32),
    ("tsn", "BNParameter", "frozen", 5, "bool", False),
    ("ctpn", "TransposeParameter", "dim", 1, "int32", None),
    ("openpose", "LayerParameter", "cpm_transform_param", 147, "CPMTransformationParameter", None),
    ("flownet2", "CorrelationParameter", "max_displacement", 4, "uint32", None),
    ("synopsys", "ConvolutionParameter", "pad_l", 26, "int32", 0),
]


@pytest.mark.parametrize(("key", "message", "field", "number", "kind", "default"), FACTS)
def test_what_forks_have(
    key: str, message: str, field: str, number: int, kind: str, default: object
) -> None:
    of = descriptor(message, key)
    assert of is not None
    field_descriptor = of.fields_by_name[field]
    assert field_descriptor.number == number
    named = field_descriptor.message_type or field_descriptor.enum_type
    type_name = kind if named is None else named.name
    types = "double float int64 uint64 int32 fixed64 fixed32 bool string group message bytes uint32"
    assert (type_name if named is not None else types.split()[field_descriptor.type - 1]) == kind
    assert (field_descriptor.default_value if field_descriptor.has_default_value else None) == (
        pytest.approx(default) if isinstance(default, float) else default
    )


def test_every_fork_has_its_fact() -> None:
    assert {fork.key for fork in index.forks()} == {fact[0] for fact in FACTS} | {"senet"}


def test_caffe_is_what_real_caffe_says(run_in_caffe: Callable[..., str]) -> None:
    script = """
import json
from caffe.proto import caffe_pb2
print(json.dumps({
    name: [
        [f.name, f.number, f.type, f.label, str(f.default_value) if f.has_default_value else None]
        for f in message.fields
    ]
    for name, message in caffe_pb2.DESCRIPTOR.message_types_by_name.items()
}))
"""
    for name, fields in json.loads(run_in_caffe(script)).items():
        of = descriptor(name)
        assert of is not None
        assert [
            [
                field.name,
                field.number,
                field.type,
                3 if is_repeated(field) else 2 if descriptors.is_required(field) else 1,
                str(field.default_value) if field.has_default_value else None,
            ]
            for field in of.fields
        ] == fields, name


def test_protobufs_own_pool_knows_nothing_of_ours() -> None:
    assert [message_name(of) for key in descriptors.schema_keys() if (of := descriptor(NET, key))]
    for key in descriptors.schema_keys():
        with pytest.raises(KeyError):
            descriptor_pool.Default().FindFileByName(f"netsurgery/{key}.proto")


#: Values of every kind, right for one type or another.
VALUES = """
    1 -1 1.5 true t True TRAIN MAX "x" [1,2] [] 0x10 1e3 5000000000 inf -inf nan 1f 99 'y' -0
    3000000000 1.0 0. f 2 "a"'b'
""".split()


def texts(field: str) -> Iterator[str]:
    yield f"{field} {{}}"
    yield from (f"{field}: {value}" for value in VALUES)
    yield from (f"{field}: {value} {field}: {value}" for value in ("1", "true", "{}"))


@pytest.mark.parametrize("name", sorted(reachable(NET)))
def test_types_are_read_as_protobuf_reads_them(name: str) -> None:
    """Every field with every kind of value: there is a problem where protobuf has one."""
    of = descriptor(name)
    assert of is not None
    message: Any = message_factory.GetMessageClass(of)
    for field in of.fields:
        for text in texts(field.name):
            try:
                right = text_format.Parse(text, message()).IsInitialized()
            except text_format.ParseError:
                right = False
            assert (list(problems(parse(text), name)) == []) == right, text


def messages(text: str) -> list[str]:
    return [str(problem.error) for problem in problems(parse(text, "n.prototxt"))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            'layer { type: "Convolution"\n convolution_param { kernel_sise: 3 } }',
            "2:22: ConvolutionParameter of Caffe 1.0 has no field kernel_sise; "
            "did you mean kernel_size?",
        ),
        (
            "layer { convolution_param { hole: 2 } }",
            "1:29: ConvolutionParameter of Caffe 1.0 has no field hole; DeepLab has it",
        ),
        (
            "layer { convolution_param { holes: 2 } }",
            "1:29: ConvolutionParameter of Caffe 1.0 has no field holes; did you mean hole, a "
            "field of DeepLab?",
        ),
        (
            "layer { pooling_param { zzz: 2 } }",
            "1:25: PoolingParameter of Caffe 1.0 has no field zzz",
        ),
        (
            "layer { pooling_param { zzz: [] } }",
            "1:25: PoolingParameter of Caffe 1.0 has no field zzz",
        ),
        (
            "layer { lr_mult: 1 }",
            "1:9: LayerParameter of Caffe 1.0 has no field lr_mult; it belongs in param { }",
        ),
        (
            'layer { type: "Pooling" kernel_size: 3 }',
            "1:25: LayerParameter of Caffe 1.0 has no field kernel_size; it belongs in "
            "pooling_param { }",
        ),
        (
            "layer { blobs_lr: 1 }",
            "1:9: LayerParameter of Caffe 1.0 has no field blobs_lr; it is a field of V1's "
            "`layers { }`",
        ),
        (
            "layer { pooling_param { pool: MXA } }",
            "1:31: found MXA, expected MAX, AVE or STOCHASTIC for pool; did you mean MAX?",
        ),
        (
            'layer { pooling_param { pool: "MAX" } }',
            '1:31: found "MAX", expected MAX, AVE or STOCHASTIC for pool; did you mean MAX, '
            "without quotes?",
        ),
        (
            "layer { relu_param { engine: MKLDNN } }",
            "1:30: found MKLDNN, expected DEFAULT, CAFFE or CUDNN for engine; Intel Caffe takes it",
        ),
        (
            "layer { pooling_param { pad: 1 pad: 2 } }",
            "1:32: pad is given twice here; Greentea takes it",
        ),
        (
            "layer { pooling_param { global_pooling: 2 } }",
            "1:41: found 2, expected true or false for global_pooling",
        ),
        (
            "layer { dropout_param { dropout_ratio: half } }",
            "1:40: found half, expected a number for dropout_ratio",
        ),
        (
            "layer { convolution_param { weight_filler { type: xavier } } }",
            "1:51: found xavier, expected a quoted string for type",
        ),
        (
            "layer { convolution_param { num_output { } } }",
            "1:40: found a message, expected a whole number for num_output",
        ),
        (
            "layer { convolution_param { weight_filler: 3 } }",
            "1:44: found 3, expected weight_filler { ... }",
        ),
        (
            "layer { convolution_param { num_output: -4 } }",
            "1:41: found -4, expected a number from 0 to 4294967295 for num_output",
        ),
        ('name: ["x"]', "1:1: name takes one value, without [ ]"),
        ("layer { clip_param { min: 1 } }", "1:20: ClipParameter without max"),
    ],
)
def test_what_is_said(text: str, expected: str) -> None:
    assert messages(text) == [f"n.prototxt:{expected}"]


def test_a_message_of_forks_is_held_against_theirs() -> None:
    first, second, third = messages(
        'layer { type: "Permute" permute_param { order: [0, 2] order: true ordr: 1 } }'
    )
    assert "; SSD, NVCaffe, Intel Caffe and 4 others have it" in first
    assert second == "n.prototxt:1:62: found true, expected a whole number for order"
    assert third == (
        "n.prototxt:1:67: PermuteParameter of SSD, NVCaffe, Intel Caffe or 4 others has no field "
        "ordr; did you mean order?"
    )


def test_a_value_that_one_of_the_forks_takes_is_no_problem_of_its_type() -> None:
    """SegNet's scale is a uint32, MobileNet-YOLO's an int32."""
    (unknown,) = messages("layer { upsample_param { scale: -1 } }")
    assert "has no field upsample_param" in unknown


def test_names_and_depths_of_problems() -> None:
    text = "layer { convolution_param { weight_filler { sd: 1 } hole: 2 } }"
    first, second = problems(parse(text))
    assert (first.path, first.forks) == ("layer.convolution_param.weight_filler.sd", ())
    assert (second.path, second.forks) == ("layer.convolution_param.hole", ("DeepLab",))
    assert text[second.at :].startswith("hole")


def test_real_nets_of_caffe_have_no_problems(shared_data: Path) -> None:
    nets = sorted((shared_data / "bvlc").rglob("*.prototxt"))
    assert len(nets) > 4
    for path in nets:
        assert messages(path.read_text()) == []


def test_real_nets_are_judged_as_protobuf_judges_them(shared_data: Path, tmp_path: Path) -> None:
    message: Any = message_factory.GetMessageClass(descriptor(NET))
    seen = set()
    paths = sorted(shared_data.rglob("*.prototxt"))
    if isinstance(shared_data, ServedPath):  # no fork's net is among those
        fork = tmp_path / "fork.prototxt"
        fork.write_text('layer { name: "p" type: "Pooling" pooling_param { ceil_mode: false } }')
        paths.append(fork)
    for path in paths:
        text = path.read_text("utf-8", "surrogateescape").removeprefix("\ufeff")
        try:
            text_format.Parse(text, message())
            right = True
        except text_format.ParseError:
            right = False
        try:
            assert (messages(text) == []) == right, path
        except PrototxtError:
            assert not right, path
        seen.add(right)
    assert seen == {True, False}


def test_the_index_needs_neither_protobuf_nor_numpy() -> None:
    code = (
        "import sys; from netsurgery.formats.schema.index import caffe_fields; "
        "assert caffe_fields('NetParameter'); "
        "print([m for m in sys.modules if m.startswith('google') or m == 'numpy'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_docs_name_every_fork(repo_root: Path) -> None:
    docs = (repo_root / "docs" / "formats.md").read_text()
    for fork in index.forks():
        source = re.search(
            'source = "(.+)"', (repo_root / "schema" / f"{fork.key}.toml").read_text()
        )
        assert source is not None
        assert f"| {fork.name} | {source[1]} |" in docs
