"""NVIDIA's raw numbers, written where Caffe 1.0 reads them; real Caffe judges in parity/."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from caffe_schema import caffe_messages
from golden import floats
from small_models import RAW, model_layer, stored_bytes, write_model

import netsurgery as ns
from netsurgery.cli import run
from netsurgery.engines import ort
from netsurgery.engines.contract import EngineOptions
from netsurgery.errors import CaffemodelError
from netsurgery.export.layers import NetParams
from netsurgery.formats.caffemodel import Caffemodel
from netsurgery.formats.caffemodel_new import NewBlob
from netsurgery.formats.caffemodel_write import LayerChange, check_written, planned, rewrite
from netsurgery.io.segments import Computed, FileRange, write_segments
from netsurgery.io.wire import delimited, header, packed_varints, varint_field
from netsurgery.net.net_with_weights import NetWithWeights

SHAPE = delimited(7, packed_varints(1, (2,)))
HALVES = np.array([1, -0.5], "<f2").tobytes()
DOUBLES = np.array([1, 0.1], "<f8").tobytes()

#: A BlobProto of NVIDIA's Caffe -> the same in Caffe 1.0.
GOLDEN = {
    "float": (
        SHAPE + varint_field(10, 1) + delimited(12, floats(1, 2)),
        delimited(5, floats(1, 2)) + SHAPE,
    ),
    "double": (
        SHAPE + varint_field(10, 0) + delimited(12, DOUBLES),
        SHAPE + delimited(8, DOUBLES),
    ),
    "half": (
        SHAPE + varint_field(10, 2) + delimited(12, HALVES),
        delimited(5, floats(1, -0.5)) + SHAPE,
    ),
    "with a diff": (
        SHAPE
        + varint_field(10, 2)
        + varint_field(11, 1)
        + delimited(12, HALVES)
        + delimited(13, floats(3, 4)),
        delimited(5, floats(1, -0.5)) + delimited(6, floats(3, 4)) + SHAPE,
    ),
    "with a half diff": (
        varint_field(10, 1)
        + varint_field(11, 2)
        + SHAPE
        + delimited(12, floats(1, 2))
        + delimited(13, HALVES),
        delimited(5, floats(1, 2)) + delimited(6, floats(1, -0.5)) + SHAPE,
    ),
    "with empty data and unknown fields": (
        delimited(5, b"")
        + SHAPE
        + varint_field(10, 1)
        + delimited(12, floats(1, 2))
        + b"\xa2\x01\0",
        delimited(5, floats(1, 2)) + SHAPE + b"\xa2\x01\0",
    ),
    "twice": (
        delimited(12, floats(9)) + SHAPE + varint_field(10, 1) + delimited(12, floats(1, 2)),
        delimited(5, floats(1, 2)) + SHAPE,
    ),
    "beside data, which counts": (
        delimited(5, floats(3, 4)) + SHAPE + varint_field(10, 1) + delimited(12, floats(1, 2)),
        delimited(5, floats(3, 4)) + SHAPE + varint_field(10, 1) + delimited(12, floats(1, 2)),
    ),
}


def layer(*blobs: bytes) -> bytes:
    fields = delimited(1, b"a") + delimited(2, b"Bias")
    return delimited(100, fields + b"".join(delimited(7, blob) for blob in blobs))


@pytest.mark.parametrize("name", GOLDEN)
@pytest.mark.parametrize("how", ["rewrite", "upgrade"])
def test_the_bytes(name: str, how: str, tmp_path: Path) -> None:
    """Everything else of the file stays; so does what follows the layer."""
    raw, plain = GOLDEN[name]
    tail = layer(delimited(5, floats(7)) + delimited(7, packed_varints(1, (1,))))
    old, new = tmp_path / "old.caffemodel", tmp_path / "new.caffemodel"
    old.write_bytes(delimited(1, b"net") + layer(raw, raw) + tail)
    if how == "upgrade":
        assert run(["upgrade", "-q", str(old), "-o", str(new)]) == 0
    else:
        with Caffemodel.open(old) as model, new.open("w+b") as out:
            write_segments(out.fileno(), rewrite(model, {}))
    assert new.read_bytes() == delimited(1, b"net") + layer(plain, plain) + tail


def test_protobuf_reads_what_was_written(tmp_path: Path) -> None:
    """By Caffe 1.0's own definition, for which raw_data is an unknown field."""
    values = np.array([[0, 1, -0.5], [0.25, 8, 3]], np.float32)
    for how in RAW:
        path = write_model(tmp_path / "old", model_layer("a", "Bias", values, how=how))
        (tmp_path / "new").unlink(missing_ok=True)
        assert run(["upgrade", "-q", str(path), "-o", str(tmp_path / "new")]) == 0
        net = caffe_messages().NetParameter.FromString((tmp_path / "new").read_bytes())
        (blob,) = net.layer[0].blobs
        assert list(blob.double_data or blob.data) == values.ravel().tolist()
        assert (
            not caffe_messages().NetParameter.FromString(path.read_bytes()).layer[0].blobs[0].data
        )


def test_a_layer_of_v1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw, plain = GOLDEN["half"]
    old = tmp_path / "old"
    old.write_bytes(delimited(2, delimited(4, b"a") + varint_field(5, 14) + delimited(6, raw)))
    assert run(["upgrade", str(old), "-o", str(tmp_path / "new")]) == 0
    printed = capsys.readouterr().out
    assert "layer 'a': raw_data of 1 blob (NVIDIA's Caffe) becomes data\n" in printed
    fields = delimited(1, b"a") + delimited(2, b"InnerProduct") + delimited(7, plain)
    assert (tmp_path / "new").read_bytes() == delimited(100, fields)
    with Caffemodel.open(old) as model, (tmp_path / "rewritten").open("w+b") as out:
        write_segments(out.fileno(), rewrite(model, {}))
    fields = delimited(4, b"a") + varint_field(5, 14) + delimited(6, plain)
    assert (tmp_path / "rewritten").read_bytes() == delimited(2, fields)


def test_what_changes_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = tmp_path / "old"
    old.write_bytes(layer(GOLDEN["float"][0], GOLDEN["half"][0]))
    assert run(["upgrade", str(old), "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert printed == "layer 'a': raw_data of 2 blobs (NVIDIA's Caffe) becomes data\n"
    assert run(["upgrade", str(old), "-o", str(tmp_path / "new"), "-q"]) == 0
    assert run(["upgrade", str(tmp_path / "new"), "--dry-run"]) == 0
    assert "already up to date" in capsys.readouterr().out


def test_floats_and_doubles_are_copied_as_they_lie(tmp_path: Path) -> None:
    """Ranges of the old file, whose memory does not grow with it; half is computed."""
    values = np.zeros((3, 5), np.float32)
    for how, kind in (("raw", FileRange), ("raw double", FileRange), ("raw half", Computed)):
        path = write_model(tmp_path / "m", model_layer("a", "Bias", values, how=how))
        with Caffemodel.open(path) as model:
            segments = rewrite(model, {})
            numbers = max(segments, key=lambda segment: segment.length)
            assert isinstance(numbers, kind)
            assert numbers.length == 15 * (8 if how == "raw double" else 4)


def test_the_embedded_engine_maps_raw_floats_where_they_lie(tmp_path: Path) -> None:
    """As ranges of the file, like any other float32; doubles and halves are read."""
    net = tmp_path / "n.prototxt"
    net.write_text(
        'input: "x" input_shape { dim: [1, 3] } layer { name: "a" type: "InnerProduct" '
        'bottom: "x" top: "y" inner_product_param { num_output: 2 bias_term: false } }'
    )
    values = np.array([[1, 2, 3], [0.5, 0, -4]], np.float32)
    for how in RAW:
        path = write_model(tmp_path / "m", model_layer("a", "InnerProduct", values, how=how))
        with NetWithWeights.open(net, path) as model:
            (param,) = NetParams(model).of(model.net.layers[0], ((2, 3),))
            assert (param.range is not None) is (how == "raw")
        with ort.open_engine(EngineOptions()) as engine, engine.load(net, path) as loaded:
            output = loaded.forward({"x": np.ones((1, 3), np.float32)}, ["y"])["y"]
        assert output.tolist() == [[6, -3.5]]


def test_new_numbers_leave_nothing_raw(tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(layer(GOLDEN["with a diff"][0]))
    change = LayerChange(data={0: lambda: [floats(8, 9)]}, shapes=((1, 2),))
    with Caffemodel.open(tmp_path / "m") as model, (tmp_path / "n").open("w+b") as out:
        write_segments(out.fileno(), rewrite(model, {"a": change}))
    shape = delimited(7, packed_varints(1, (1, 2)))
    assert (tmp_path / "n").read_bytes() == layer(delimited(5, floats(8, 9)) + shape)


def test_a_new_shape_for_raw_numbers(tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(layer(GOLDEN["half"][0]))
    with Caffemodel.open(tmp_path / "m") as model, (tmp_path / "n").open("w+b") as out:
        write_segments(out.fileno(), rewrite(model, {"a": LayerChange(shapes=((2, 1),))}))
    shape = delimited(7, packed_varints(1, (2, 1)))
    assert (tmp_path / "n").read_bytes() == layer(delimited(5, floats(1, -0.5)) + shape)


def test_new_blobs_leave_nothing_raw(tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(layer(GOLDEN["half"][0], GOLDEN["float"][0]))
    change = LayerChange(blobs=(NewBlob((3,), lambda: [floats(7, 8, 9)]),))
    with Caffemodel.open(tmp_path / "m") as model, (tmp_path / "n").open("w+b") as out:
        write_segments(out.fileno(), rewrite(model, {"a": change}))
        check_written(tmp_path / "n", planned(model, {"a": change}))
    shape = delimited(7, packed_varints(1, (3,)))
    assert (tmp_path / "n").read_bytes() == layer(shape + delimited(5, floats(7, 8, 9)))


@pytest.mark.parametrize("how", RAW)
@pytest.mark.parametrize(
    "operation",
    ["outputs:c:drop=1", "outputs:f:add=2", "decimate:c:kernel=2", "fold:s", "rgb-to-grey"],
)
def test_an_edit_of_raw_numbers_is_that_of_plain_ones(
    operation: str, how: str, tmp_path: Path
) -> None:
    """Operations that write other params than there were, layer by layer beside raw ones."""
    net = tmp_path / "n.prototxt"
    net.write_text(
        'input: "x" input_shape { dim: [1, 3, 5, 5] } layer { name: "c" type: "Convolution" '
        'bottom: "x" top: "c" convolution_param { num_output: 4 kernel_size: 3 bias_term: false } }'
        ' layer { name: "s" type: "Scale" bottom: "c" top: "c" scale_param { bias_term: true } } '
        'layer { name: "f" type: "InnerProduct" bottom: "c" top: "f" '
        "inner_product_param { num_output: 2 } }"
    )
    shapes: dict[str, list[tuple[int, ...]]] = {
        "c": [(4, 3, 3, 3)],
        "s": [(4,), (4,)],
        "f": [(2, 36), (2,)],
    }
    kinds = {"c": "Convolution", "s": "Scale", "f": "InnerProduct"}
    random = np.random.default_rng(1)
    params = {
        name: [(random.integers(-64, 64, shape) / 64).astype(np.float32) for shape in own]
        for name, own in shapes.items()
    }
    results = []
    for each in (how, "packed"):
        layers = [model_layer(name, kinds[name], *own, how=each) for name, own in params.items()]
        model = write_model(tmp_path / f"{each}.caffemodel", *layers)
        with ns.edit(net, model, [operation]) as result:
            new = tmp_path / f"{each}-new.caffemodel"
            result.save(new, tmp_path / f"{each}-new.prototxt")
        results.append(stored_bytes(new))
    assert results[0] == results[1]
    assert results[0] != stored_bytes(model)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (varint_field(11, 1) + delimited(13, b"1234567"), "7 bytes of raw_diff for 2 numbers of 4"),
        (varint_field(11, 4) + delimited(13, bytes(8)), "raw_diff of type UINT (raw_diff_type,"),
        (delimited(13, bytes(8)), "raw_diff of no type (raw_diff_type,"),
    ],
)
def test_diffs_that_are_refused(fields: bytes, message: str, tmp_path: Path) -> None:
    """Only where they would have to be written again: weights need no diff to be read."""
    (tmp_path / "m").write_bytes(layer(GOLDEN["float"][0] + fields))
    with Caffemodel.open(tmp_path / "m") as model:
        assert model.layers[0].blobs[0].numpy().tolist() == [1, 2]
        with pytest.raises(CaffemodelError) as caught:
            rewrite(model, {})
    assert f"layer 'a', blob 0: {message}" in str(caught.value)


def test_a_hostile_length_costs_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shape = delimited(7, packed_varints(1, (2**30,)))
    blob = shape + varint_field(10, 2) + header(12, 2**31)
    old = tmp_path / "old"
    old.write_bytes(layer(blob))
    for command in (["upgrade", str(old), "-o", "new"], ["inspect", str(old)]):
        assert run(command) == 1
        assert "field 12 has 2147483648 bytes, 0 are left" in capsys.readouterr().err
