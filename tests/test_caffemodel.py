from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from caffe_schema import caffe_messages
from golden import V1, V2
from hypothesis import given, settings
from hypothesis import strategies as st

from netsurgery.errors import CaffemodelError
from netsurgery.formats.caffemodel import FIELDS, Caffemodel
from netsurgery.formats.generations import V1_TYPES
from netsurgery.io.segments import FileSource

TRAINED = [
    "landmark68_bn/result.caffemodel",
    "landmark68_bn/vgg_68_new.caffemodel",
    "lenet/lenet_iter_10000.caffemodel",
    "lenet_v1/lenet_iter_10000",
    "mtcnn/det1.caffemodel",
    "mtcnn/det2.caffemodel",
    "mtcnn/det3.caffemodel",
    "mtcnn/det4.caffemodel",
    "opencv/layer_convolution.caffemodel",
    "opencv/layer_deconvolution.caffemodel",
    "opencv/layer_inner_product.caffemodel",
    "plate/Linux_hyperlpr_CharacterRecognization.caffemodel",
    "plate/Linux_hyperlpr_HorizonalFinemapping.caffemodel",
    "squeezenet/squeezenet.caffemodel",
]


def write(folder: Path, data: bytes) -> Path:
    path = folder / "model.caffemodel"
    path.write_bytes(data)
    return path


def refused(path: Path) -> str:
    with pytest.raises(CaffemodelError) as caught:
        Caffemodel.open(path)
    assert caught.value.path == str(path)
    return str(caught.value).removeprefix(f"{path}: ")


def test_v2(tmp_path: Path) -> None:
    with Caffemodel.open(write(tmp_path, V2)) as model:
        assert (model.net_name, model.generation) == ("n", "V2")
        ip1, relu = model.layers
        assert (ip1.name, ip1.type, ip1.bottoms, ip1.tops) == (
            "ip1",
            "InnerProduct",
            ("data",),
            ("ip1",),
        )
        assert [blob.shape for blob in ip1.blobs] == [(2, 3), (2,)]
        assert [blob.legacy for blob in ip1.blobs] == [False, False]
        assert ip1.blobs[0].numpy().tolist() == [[1, 2, 3], [4, 5, 6]]
        assert ip1.blobs[1].numpy().tolist() == [7, 8]
        assert ip1.param_bytes(FIELDS["V2"].inner_product_param) == b"\x08\x02"
        assert ip1.param_bytes(FIELDS["V2"].convolution_param) == b""
        assert (relu.name, relu.type, relu.blobs) == ("relu", "ReLU", ())
        assert model.layer("relu") == relu


def test_v1(tmp_path: Path) -> None:
    with Caffemodel.open(write(tmp_path, V1)) as model:
        assert (model.net_name, model.generation) == ("n", "V1")
        (ip1,) = model.layers
        assert (ip1.name, ip1.type, ip1.bottoms, ip1.tops) == (
            "ip1",
            "InnerProduct",
            ("data",),
            ("ip1",),
        )
        assert [blob.shape for blob in ip1.blobs] == [(1, 1, 2, 3), (1, 1, 1, 1)]
        assert [blob.legacy for blob in ip1.blobs] == [True, True]
        assert ip1.blobs[0].numpy().tolist() == [[[[1, 2, 3], [4, 5, 6]]]]
        assert ip1.blobs[1].numpy().tolist() == [[[[7]]]]


def test_the_golden_bytes_are_what_protobuf_reads() -> None:
    net = caffe_messages().NetParameter
    v2, v1 = net.FromString(V2), net.FromString(V1)
    assert list(v2.layer[0].blobs[0].data) == [1, 2, 3, 4, 5, 6]
    assert v2.layer[0].param[0].lr_mult == 1
    assert [each.name for each in v2.layer] == ["ip1", "relu"]
    assert (v1.layers[0].name, v1.layers[0].type) == ("ip1", 14)
    assert list(v1.layers[0].blobs[1].data) == [7]


@pytest.mark.parametrize(
    ("generation", "message"), [("V1", "V1LayerParameter"), ("V2", "LayerParameter")]
)
def test_field_numbers_are_caffes(generation: str, message: str) -> None:
    fields = getattr(caffe_messages(), message).DESCRIPTOR.fields_by_name
    numbers = FIELDS[generation]._asdict()
    own = {name: field.number for name, field in fields.items()}
    assert numbers == {name: own.get(name) for name in numbers}


def test_v1_types_are_caffes() -> None:
    types = caffe_messages().V1LayerParameter.DESCRIPTOR.enum_types_by_name["LayerType"]
    known = {value.number: value.name.replace("_", "").lower() for value in types.values}
    assert known.pop(0) == "none"
    assert known.pop(21) == "softmaxloss"
    assert V1_TYPES[21] == "SoftmaxWithLoss"
    assert {number: V1_TYPES[number].lower() for number in known} == known
    assert len(V1_TYPES) == len(types.values)


def test_a_v1_type_nobody_knows_is_its_number(tmp_path: Path) -> None:
    for number in (len(V1_TYPES), 99):
        data = V1.replace(b"\x28\x0e", bytes([0x28, number]))
        with Caffemodel.open(write(tmp_path, data)) as model:
            assert model.layers[0].type == str(number)


def test_more_than_any_net_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netsurgery.formats.caffemodel._MANY", 3)
    Caffemodel.open(write(tmp_path, b"\xa2\x06\x00" * 3)).close()
    what = "byte 9: holds more than 3 layers"
    assert refused(write(tmp_path, b"\xa2\x06\x00" * 4)) == what
    what = "byte 0: a layer with more than 3 bottoms, tops and blobs"
    assert refused(write(tmp_path, b"\xa2\x06\x08" + b"\x3a\x00" * 4)) == what


@pytest.mark.parametrize("data", [b"GIF: 89a", V2[:-1], b"\x1f\x8b", V2])
def test_what_is_refused_is_closed(tmp_path: Path, data: bytes) -> None:
    path, before = write(tmp_path, data), len(os.listdir("/dev/fd"))
    if data == V2:
        Caffemodel.open(path).close()
    else:
        refused(path)
    assert len(os.listdir("/dev/fd")) == before


def test_layers_of_one_name(tmp_path: Path) -> None:
    path = write(tmp_path, V2 + V2)
    with Caffemodel.open(path) as model:
        assert len(model.layers) == 4
        with pytest.raises(CaffemodelError) as caught:
            model.layer("ip1")
        assert str(caught.value) == f"{path}: 2 layers are named 'ip1'"
        with pytest.raises(CaffemodelError) as caught:
            model.layer("ip2")
        assert str(caught.value) == f"{path}: no layer is named 'ip2'; did you mean ip1?"


def test_params_in_several_pieces_are_one(tmp_path: Path) -> None:
    data = b"\xa2\x06\x0a\xd2\x06\x02\x08\x01\xd2\x06\x02\x18\x05"
    with Caffemodel.open(write(tmp_path, data)) as model:
        assert model.layers[0].param_bytes(106) == b"\x08\x01\x18\x05"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty, expected a caffemodel"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
            "is a git-lfs pointer, not the file it stands for, expected a caffemodel; "
            "fetch that with 'git lfs pull'",
        ),
        (
            b"\n<!DOCTYPE html>\n<html>",
            "is a web page, expected a caffemodel; the download of the file itself went wrong",
        ),
        (
            b"\x89HDF\r\n\x1a\n\0\0",
            "is an HDF5 file, expected a caffemodel",
        ),
        (b"\x1f\x8b\x08", "is a gzip file, expected a caffemodel; unpack it first"),
        (b"PK\x03\x04", "is a zip archive, expected a caffemodel; unpack it first"),
        (
            b"\xef\xbb\xbf# a net\nname: 'n'\n",
            "is text, a prototxt perhaps, expected a caffemodel",
        ),
        (
            b"layer {\n  name: 'ip1'\n}\n",
            "is text, a prototxt perhaps, expected a caffemodel",
        ),
        (b"\x0a\x01n", "holds no layers, so it is not a caffemodel"),
        (
            b"\x08\x01\x10\x03",
            "byte 0: begins with a number where a net has its name: a mean (.binaryproto) or a "
            ".solverstate, perhaps, but no caffemodel",
        ),
        (
            b"\x12\x02\x0a\x00",
            "byte 0: its layers are of Caffe's first generation (V0), which is not read; "
            "`netsurgery upgrade` brings the file up to date",
        ),
        (
            V1 + V2[3:],
            "byte 79: holds layers of two generations (fields 2 and 100); Caffe reads only "
            "files of one kind",
        ),
        (b"\xa0\x06\x01", "byte 0: field 100 has wire type 0 instead of 2"),
        (V2[:-1], "byte 99: field 100 has 19 bytes, 18 are left: the file is cut short"),
    ],
)
def test_what_is_no_caffemodel(tmp_path: Path, data: bytes, message: str) -> None:
    assert refused(write(tmp_path, data)) == message


def test_what_cannot_be_opened(tmp_path: Path) -> None:
    assert refused(tmp_path / "absent") == "No such file or directory"
    assert refused(tmp_path) == "is a folder, expected a caffemodel"
    with pytest.raises(CaffemodelError, match=r"^a\\0b: not a file name"):
        Caffemodel.open("a\0b")


def test_cut_short_at_any_byte(tmp_path: Path) -> None:
    whole = 99  # where the first layer ends: a shorter model, but a model
    for data in (V2, V1):
        for length in range(len(data)):
            if data is V2 and length == whole:
                continue
            assert refused(write(tmp_path, data[:length])), length


def test_damaged_at_any_byte(tmp_path: Path) -> None:
    """Either it is still a model, or it is refused; nothing else happens."""
    read = 0
    for data in (V2, V1):
        for at in range(len(data)):
            for value in (0x00, 0x7F, 0x80, 0xFF):
                damaged = data[:at] + bytes([value]) + data[at + 1 :]
                try:
                    with Caffemodel.open(write(tmp_path, damaged)) as model:
                        for layer in model.layers:
                            read += sum(blob.numpy().size for blob in layer.blobs)
                except CaffemodelError:
                    continue
    assert read > 0


def test_a_changed_file_is_noticed(tmp_path: Path) -> None:
    path = write(tmp_path, V2)
    with Caffemodel.open(path) as model:
        model.check_unchanged()
        path.write_bytes(V2[:50])
        for check in (model.check_unchanged, model.layers[0].blobs[0].numpy):
            with pytest.raises(CaffemodelError) as caught:
                check()
            assert str(caught.value) == f"{path}: has changed since it was opened"


def test_a_file_that_cannot_be_mapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: FileSource) -> None:
        raise OSError(errno.ENODEV, "No such device")

    path = write(tmp_path, V2)
    monkeypatch.setattr(FileSource, "map", refuse)
    with Caffemodel.open(path) as model, pytest.raises(CaffemodelError) as caught:
        model.layers[0].blobs[0].numpy()
    assert str(caught.value) == f"{path}: cannot be mapped: No such device"


def test_arrays_outlive_the_model(tmp_path: Path) -> None:
    with Caffemodel.open(write(tmp_path, V2)) as model:
        array = model.layers[0].blobs[0].numpy()
    assert array.tolist() == [[1, 2, 3], [4, 5, 6]]
    assert not array.flags.writeable


def test_others_broken_files(shared_data: Path) -> None:
    assert "web page" in refused(shared_data / "broken" / "age_net_html.caffemodel")
    assert "git-lfs pointer" in refused(shared_data / "broken" / "gtsrb_lfs_pointer.caffemodel")


def test_half_precision(shared_data: Path) -> None:
    """A model of NVIDIA's Caffe: half numbers, of the size they would have as float32."""
    import numpy as np

    path = shared_data / "models" / "half" / "fast_det2_half.caffemodel"
    with Caffemodel.open(path) as model:
        blobs = [blob for layer in model.layers for blob in layer.blobs if blob.raw]
        assert len(blobs) == 12
        assert {blob.width for blob in blobs} == {2}
        raw = path.read_bytes()
        for blob in blobs:
            (span,) = blob.spans
            half = np.frombuffer(raw, "<f2", span.count, span.offset)
            assert np.isfinite(half).all()
            np.testing.assert_array_equal(blob.numpy().ravel(), half)


@pytest.mark.parametrize("name", TRAINED)
def test_trained_models_as_protobuf_reads_them(shared_data: Path, name: str) -> None:
    path = shared_data / "models" / name
    agree(Caffemodel.open(path), caffe_messages().NetParameter.FromString(path.read_bytes()))


def agree(model: Caffemodel, net: Any) -> None:
    """The same net by our reading and by protobuf's, bit for bit."""
    import numpy as np

    layers = net.layers or net.layer
    assert model.net_name == net.name
    assert [layer.name for layer in model.layers] == [layer.name for layer in layers]
    for ours, theirs in zip(model.layers, layers, strict=True):
        kind = V1_TYPES[theirs.type] if model.generation == "V1" else theirs.type
        assert (ours.type, ours.bottoms, ours.tops) == (
            kind,
            tuple(theirs.bottom),
            tuple(theirs.top),
        )
        assert len(ours.blobs) == len(theirs.blobs)
        for blob, proto in zip(ours.blobs, theirs.blobs, strict=True):
            legacy = (proto.num, proto.channels, proto.height, proto.width)
            assert blob.shape == (legacy if blob.legacy else tuple(proto.shape.dim))
            data = np.array(proto.double_data or proto.data, np.float32)
            assert blob.numpy().tobytes() == data.tobytes()


names = st.text(max_size=6)
shapes = st.lists(st.integers(0, 3), max_size=4)
values = st.floats(width=32)


@st.composite
def blobs(draw: st.DrawFn) -> Any:
    proto = caffe_messages().BlobProto()
    shape = draw(shapes)
    count = 1
    for dim in shape:
        count *= dim
    numbers = draw(st.lists(values, min_size=count, max_size=count))
    proto.shape.dim.extend(shape)
    getattr(proto, draw(st.sampled_from(["data", "double_data"]))).extend(numbers)
    if draw(st.booleans()):
        proto.diff.extend(numbers)
    return proto


@st.composite
def nets(draw: st.DrawFn) -> Any:
    net = caffe_messages().NetParameter()
    net.name = draw(names)
    if draw(st.booleans()):
        net.input.append("data")
    v1 = draw(st.booleans())
    for _ in range(draw(st.integers(1, 3))):
        layer = net.layers.add() if v1 else net.layer.add()
        layer.name = draw(names)
        layer.type = draw(st.integers(0, 39) if v1 else names)
        layer.bottom.extend(draw(st.lists(names, max_size=2)))
        layer.top.extend(draw(st.lists(names, max_size=2)))
        layer.inner_product_param.num_output = draw(st.integers(0, 2**32 - 1))
        layer.blobs.extend(draw(st.lists(blobs(), max_size=2)))
    return net


@given(net=nets())
@settings(max_examples=100, deadline=None)
def test_any_net_as_protobuf_writes_it(tmp_path_factory: pytest.TempPathFactory, net: Any) -> None:
    path = write(tmp_path_factory.getbasetemp(), net.SerializeToString())
    with Caffemodel.open(path) as model:
        agree(model, net)


@given(data=st.binary(max_size=80))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_refused_or_read(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = write(tmp_path_factory.getbasetemp(), b"\xa2\x06" + bytes([len(data)]) + data)
    said = ""
    try:
        Caffemodel.open(path).close()
    except CaffemodelError as error:
        said = str(error)
    assert "\n" not in said


def test_indexing_needs_no_numpy(tmp_path: Path) -> None:
    script = (
        "import sys; from netsurgery.formats.caffemodel import Caffemodel; "
        "Caffemodel.open(sys.argv[1]); print('numpy' in sys.modules)"
    )
    path = write(tmp_path, V2)
    done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("False\n", "")
