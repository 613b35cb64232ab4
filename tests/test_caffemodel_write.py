from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from caffe_schema import caffe_messages
from golden import V1, V2, floats
from hypothesis import given, settings
from hypothesis import strategies as st

from netsurgery.errors import CaffemodelError, OutputError
from netsurgery.formats.caffemodel import FIELDS, Caffemodel
from netsurgery.formats.caffemodel_new import NewBlob
from netsurgery.formats.caffemodel_write import (
    ExpectedLayer,
    LayerChange,
    check_written,
    planned,
    rewrite,
)
from netsurgery.io.segments import FileRange, segments_length, write_segments
from netsurgery.io.wire import delimited, header, varint_field

Changes = Mapping[str, LayerChange]

#: fc -> conv: the surgery all this is for.
TO_CONVOLUTION = {
    "V2": LayerChange(
        name="ip1-conv",
        type="Convolution",
        tops=("ip1-conv",),
        shapes=((2, 1, 1, 3),),
        messages={117: None, 106: varint_field(1, 2) + varint_field(4, 3)},
    ),
    "V1": LayerChange(
        name="ip1-conv",
        type="Convolution",
        tops=("ip1-conv",),
        shapes=((2, 1, 1, 3),),
        messages={17: None, 10: varint_field(1, 2) + varint_field(4, 3)},
    ),
}


def rewritten(folder: Path, data: bytes, changes: Changes, name: str | None = None) -> bytes:
    (folder / "old").write_bytes(data)
    with Caffemodel.open(folder / "old") as model, (folder / "new").open("w+b") as out:
        write_segments(out.fileno(), rewrite(model, changes, name))
        expected = planned(model, changes)
    check_written(folder / "new", expected)
    return (folder / "new").read_bytes()


def refused(folder: Path, data: bytes, changes: Changes) -> str:
    with pytest.raises(CaffemodelError) as caught:
        rewritten(folder, data, changes)
    return str(caught.value).removeprefix(f"{folder / 'old'}: ")


@pytest.mark.parametrize("data", [V1, V2])
@pytest.mark.parametrize("changes", [{}, {"ip1": LayerChange()}])
def test_nothing_changed_is_the_same_bytes(tmp_path: Path, data: bytes, changes: Changes) -> None:
    assert rewritten(tmp_path, data, changes) == data


def test_nothing_changed_is_one_range(tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(V2)
    with Caffemodel.open(tmp_path / "old") as model:
        assert rewrite(model, {}) == [FileRange(model.source, 0, len(V2))]


def test_v2_to_convolution(tmp_path: Path) -> None:
    assert (
        rewritten(tmp_path, V2, {"ip1": TO_CONVOLUTION["V2"]}, "nConv")
        == (
            b"\x0a\x05nConv"
            b"\xa2\x06\x6a"
            b"\x0a\x08ip1-conv"
            b"\x12\x0bConvolution"
            b"\x1a\x04data"
            b"\x22\x08ip1-conv"
            b"\x32\x05\x1d\x00\x00\x80\x3f"
            b"\x3a\x22"
            b"\x2a\x18" + floats(1, 2, 3, 4, 5, 6) + b"\x3a\x06\x0a\x04\x02\x01\x01\x03"
            b"\x3a\x0f"
            b"\x2a\x08" + floats(7, 8) + b"\x3a\x03\x0a\x01\x02"
            b"\xd2\x06\x04\x08\x02\x20\x03"
        )
        + V2[99:]
    )


def test_v1_to_convolution(tmp_path: Path) -> None:
    assert rewritten(tmp_path, V1, {"ip1": TO_CONVOLUTION["V1"]}) == (
        b"\x0a\x01n"
        b"\x12\x55"
        b"\x12\x04data"
        b"\x1a\x08ip1-conv"
        b"\x22\x08ip1-conv"
        b"\x28\x04"
        b"\x32\x22"
        b"\x2a\x18" + floats(1, 2, 3, 4, 5, 6) + b"\x3a\x06\x0a\x04\x02\x01\x01\x03"
        b"\x32\x0d"
        b"\x08\x01\x10\x01\x18\x01\x20\x01"
        b"\x2d" + floats(7) + b"\x52\x04\x08\x02\x20\x03"
    )


@pytest.mark.parametrize("generation", ["V1", "V2"])
def test_protobuf_reads_what_was_written(tmp_path: Path, generation: str) -> None:
    data = {"V1": V1, "V2": V2}[generation]
    new = rewritten(tmp_path, data, {"ip1": TO_CONVOLUTION[generation]})
    net = caffe_messages().NetParameter.FromString(new)
    layer = (net.layers or net.layer)[0]
    assert (layer.name, layer.type) == (
        "ip1-conv",
        4 if generation == "V1" else "Convolution",
    )
    assert list(layer.blobs[0].shape.dim) == [2, 1, 1, 3]
    assert not layer.blobs[0].HasField("num")
    assert list(layer.blobs[0].data) == [1, 2, 3, 4, 5, 6]
    assert list(layer.convolution_param.kernel_size) == [3]
    assert not layer.HasField("inner_product_param")


def test_unknown_fields_stay_where_they_are(tmp_path: Path) -> None:
    group = b"\xa3\x1f\x10\x01\xa4\x1f"  # number 500, with a field in it
    odd = delimited(5000, b"a fork's") + group
    layer = odd + delimited(1, b"ip1") + odd + delimited(2, b"InnerProduct") + odd
    data = odd + delimited(100, layer) + odd
    expected = odd + delimited(1, b"ip2") + odd + delimited(2, b"InnerProduct") + odd
    assert rewritten(tmp_path, data, {"ip1": LayerChange(name="ip2")}) == (
        odd + delimited(100, expected) + odd
    )


def test_a_field_that_was_not_there_goes_where_its_number_puts_it(tmp_path: Path) -> None:
    data = delimited(100, delimited(4, b"top")) + delimited(5000, b"")
    change = LayerChange(name="n", type="T", bottoms=("a", "b"), messages={106: b""})
    assert rewritten(tmp_path, data, {"": change}, "net") == delimited(1, b"net") + delimited(
        100,
        b"".join(
            delimited(number, text)
            for number, text in [(1, b"n"), (2, b"T"), (3, b"a"), (3, b"b"), (4, b"top")]
        )
        + delimited(106, b""),
    ) + delimited(5000, b"")


def test_a_message_takes_the_place_of_all_of_its_number(tmp_path: Path) -> None:
    first, second = delimited(106, b"\x08\x01"), delimited(106, b"\x08\x02")
    data = delimited(100, delimited(1, b"x") + first + delimited(117, b"") + second)
    change = LayerChange(messages={106: b"\x08\x03"})
    assert rewritten(tmp_path, data, {"x": change}) == delimited(
        100, delimited(1, b"x") + delimited(106, b"\x08\x03") + delimited(117, b"")
    )


def test_names_of_any_bytes(tmp_path: Path) -> None:
    data = delimited(100, delimited(1, b"\xff\xfe") + delimited(3, b"\xfd"))
    changes = {"\udcff\udcfe": LayerChange(name="\udcffé", bottoms=("\udcfd", "x"))}
    assert rewritten(tmp_path, data, changes) == delimited(
        100,
        delimited(1, b"\xff\xc3\xa9") + delimited(3, b"\xfd") + delimited(3, b"x"),
    )


def blob_model(*fields: bytes) -> bytes:
    return delimited(100, delimited(1, b"x") + delimited(7, b"".join(fields)))


SHAPE23 = delimited(7, b"\x0a\x02\x02\x03")
SIX = delimited(5, floats(1, 2, 3, 4, 5, 6))
DIFF = delimited(6, floats(9, 9, 9, 9, 9, 9))


def test_new_numbers(tmp_path: Path) -> None:
    turned = floats(1, 4, 2, 5, 3, 6)
    change = LayerChange(shapes=((3, 2),), data={0: lambda: [turned[:5], turned[5:]]})
    assert rewritten(tmp_path, blob_model(SHAPE23, SIX, DIFF), {"x": change}) == blob_model(
        delimited(7, b"\x0a\x02\x03\x02"), delimited(5, turned)
    )


def test_a_diff_stays_with_numbers_that_stay(tmp_path: Path) -> None:
    change = LayerChange(shapes=((6,),))
    assert rewritten(tmp_path, blob_model(SIX, DIFF, SHAPE23), {"x": change}) == blob_model(
        SIX, DIFF, delimited(7, b"\x0a\x01\x06")
    )


def test_new_numbers_from_the_same_place_of_another_file(tmp_path: Path) -> None:
    """Ranges of two files stay two, also where the one ends where the other begins."""
    changed = V2.replace(floats(1, 2, 3, 4, 5, 6), floats(*range(90, 96)))
    (tmp_path / "other").write_bytes(changed)
    with Caffemodel.open(tmp_path / "other") as model:
        offset, length = model.layers[0].blobs[0].packed or (0, 0)
        change = LayerChange(data={0: FileRange(model.source, offset, length)})
        assert rewritten(tmp_path, V2, {"ip1": change}) == changed


def test_new_numbers_for_doubles_and_scattered_floats(tmp_path: Path) -> None:
    change = LayerChange(data={0: lambda: [floats(7)]})
    shape_piece = delimited(7, b"\x0a\x01\x01")
    double = delimited(8, bytes(8))
    for fields in (
        [shape_piece, double],
        [double, shape_piece, delimited(9, bytes(8))],
        [b"\x2d1234", shape_piece],
    ):
        new = rewritten(tmp_path, blob_model(*fields), {"x": change})
        blob = caffe_messages().NetParameter.FromString(new).layer[0].blobs[0]
        assert list(blob.data) == [7]
        assert not blob.double_data
        assert not blob.double_diff
        assert list(blob.shape.dim) == [1]


def test_a_blob_without_axes(tmp_path: Path) -> None:
    data = blob_model(delimited(5, floats(1)), delimited(7, b"\x0a\x01\x01"))
    assert rewritten(tmp_path, data, {"x": LayerChange(shapes=((),))}) == blob_model(
        delimited(5, floats(1)), delimited(7, b"")
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            LayerChange(shapes=((2, 2),)),
            "layer 'ip1', blob 0: 6 numbers of shape 2x3 cannot be 2x2",
        ),
        (
            LayerChange(shapes=((-2, -3),)),
            "layer 'ip1', blob 0: 6 numbers of shape 2x3 cannot be -2x-3",
        ),
        (
            LayerChange(shapes=(None, None, (1,))),
            "layer 'ip1': there is no blob 2, only 2",
        ),
        (
            LayerChange(data={-1: lambda: []}),
            "layer 'ip1': there is no blob -1, only 2",
        ),
    ],
)
def test_changes_that_cannot_be(tmp_path: Path, change: LayerChange, message: str) -> None:
    assert refused(tmp_path, V2, {"ip1": change}).split(": ", 1)[1] == message


def test_a_layer_that_is_not_there(tmp_path: Path) -> None:
    assert (
        refused(tmp_path, V2, {"ip2": LayerChange()})
        == "no layer is named 'ip2'; did you mean ip1?"
    )


def test_a_type_v1_does_not_have(tmp_path: Path) -> None:
    assert refused(tmp_path, V1, {"ip1": LayerChange(type="BatchNorm")}) == (
        "byte 3: layer 'ip1': this model is of an old kind (V1), which has no type 'BatchNorm'"
    )


def test_a_model_that_changed(tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(V2)
    with Caffemodel.open(tmp_path / "old") as model:
        (tmp_path / "old").write_bytes(V1)
        with pytest.raises(CaffemodelError, match="has changed since it was opened"):
            rewrite(model, {})


def test_what_was_written_otherwise_than_planned(tmp_path: Path) -> None:
    path = tmp_path / "new"
    path.write_bytes(V2)
    facts = [
        ExpectedLayer("ip1", "InnerProduct", ("data",), ("ip1",), ((2, 3), (2,))),
        ExpectedLayer("relu", "ReLU", ("ip",), ("r",), ()),
    ]
    check_written(path, facts)
    for wrong in (facts[:1], [*facts, facts[1]]):
        with pytest.raises(OutputError) as caught:
            check_written(path, wrong)
        assert str(caught.value) == f"{path}: written with 2 layers, expected {len(wrong)}"
    with pytest.raises(OutputError) as caught:
        check_written(path, [facts[0]._replace(shapes=((3, 2), (2,))), facts[1]])
    assert str(caught.value) == f"{path}: layer 0, 'ip1', was written otherwise than planned"
    path.write_bytes(V2[:-1])
    with pytest.raises(OutputError, match=r"^what was written cannot be read back: .*cut short$"):
        check_written(path, facts)


@given(
    name=st.text(max_size=200),
    tops=st.none() | st.lists(st.text(max_size=9), max_size=3).map(tuple),
    count=st.sampled_from([1, 2, 60, 5000]),
    unknown=st.binary(max_size=200),
)
@settings(max_examples=60, deadline=None)
def test_lengths_around_a_change_come_out_right(
    tmp_path_factory: pytest.TempPathFactory,
    name: str,
    tops: tuple[str, ...] | None,
    count: int,
    unknown: bytes,
) -> None:
    net = caffe_messages().NetParameter(name="net")
    for number in range(3):
        layer = net.layer.add(name=f"fc{number}", type="InnerProduct", top=["a"])
        blob = layer.blobs.add(data=[number] * count)
        blob.shape.dim.extend([1, count])
    data = net.SerializeToString() + delimited(777, unknown)
    change = LayerChange(name=name, tops=tops, shapes=((1, count, 1, 1),))
    new: Any = net.__class__.FromString(
        rewritten(tmp_path_factory.getbasetemp(), data, {"fc1": change})
    )
    expected = net.__class__.FromString(data)
    middle = expected.layer[1]
    middle.name = name
    if tops is not None:
        middle.top[:] = tops
    middle.blobs[0].shape.dim[:] = [1, count, 1, 1]
    assert new == expected


@pytest.mark.parametrize("name", ["lenet/lenet_iter_10000.caffemodel", "lenet_v1/lenet_iter_10000"])
def test_a_trained_net_keeps_its_weights(shared_data: Path, tmp_path: Path, name: str) -> None:
    data = (shared_data / "models" / name).read_bytes()
    changes = {
        "ip1": LayerChange(name="a", type="Convolution", shapes=((500, 50, 4, 4),)),
        "ip2": LayerChange(name="b", type="Convolution", shapes=((10, 500, 1, 1),)),
    }
    rewritten(tmp_path, data, changes)
    with Caffemodel.open(tmp_path / "old") as old, Caffemodel.open(tmp_path / "new") as new:
        assert [layer.name for layer in old.layers if layer.blobs][-2:] == ["ip1", "ip2"]
        assert [layer.name for layer in new.layers if layer.blobs][-2:] == ["a", "b"]
        for old_layer, new_layer in zip(old.layers, new.layers, strict=True):
            for before, after in zip(old_layer.blobs, new_layer.blobs, strict=True):
                assert before.numpy().tobytes() == after.numpy().tobytes()
        assert new.layer("a").blobs[0].shape == (500, 50, 4, 4)


REWRITE = """
import resource, sys
from netsurgery.formats.caffemodel import Caffemodel
from netsurgery.formats.caffemodel_write import LayerChange, check_written, planned, rewrite
from netsurgery.io.files import Outputs
change = {"fc": LayerChange(name="conv", shapes=((64, 1 << 20, 1, 1),))}
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with Caffemodel.open(sys.argv[1]) as model, Outputs([sys.argv[2]]) as outputs:
    outputs[sys.argv[2]].write_segments(rewrite(model, change))
    check_written(outputs[sys.argv[2]].temporary, planned(model, change))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_memory_does_not_grow_with_the_model(tmp_path: Path) -> None:
    numbers = 64 << 20
    blob_head = delimited(7, b"\x0a\x04\x40" + b"\x80\x80\x40")  # shape 64x1048576
    data_head = header(5, 4 * numbers)
    layer_head = delimited(1, b"fc") + header(7, len(blob_head) + len(data_head) + 4 * numbers)
    length = len(layer_head) + len(blob_head) + len(data_head) + 4 * numbers
    with (tmp_path / "big").open("wb") as file:
        file.write(header(100, length) + layer_head + blob_head + data_head)
        file.truncate(file.tell() + 4 * numbers)
    done = subprocess.run(
        [sys.executable, "-c", REWRITE, tmp_path / "big", tmp_path / "new"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) < 8 * 1024  # KiB
    assert (tmp_path / "new").stat().st_size == (tmp_path / "big").stat().st_size + 4
    (tmp_path / "new").unlink()


def test_the_length_is_known_before_writing(tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(V2)
    with Caffemodel.open(tmp_path / "old") as model:
        length = segments_length(rewrite(model, {"ip1": TO_CONVOLUTION["V2"]}))
    assert length == len(rewritten(tmp_path, V2, {"ip1": TO_CONVOLUTION["V2"]}))
    assert FIELDS["V2"].inner_product_param == 117


def test_a_removed_layer_leaves_every_other_byte(tmp_path: Path) -> None:
    first = V2.index(b"\xa2\x06")
    assert rewritten(tmp_path, V2, {"ip1": LayerChange(remove=True)}) == V2[:first] + V2[99:]


@pytest.mark.parametrize(("data", "number"), [(V1, 6), (V2, 7)])
def test_new_blobs_may_have_any_number_and_shape(tmp_path: Path, data: bytes, number: int) -> None:
    values = [[1.0, 2.0], [3.0], [4.0, 5.0, 6.0]]
    shapes: list[tuple[int, ...]] = [(2, 1), (1,), (1, 3)]
    blobs = tuple(
        NewBlob(shape, lambda held=held: [floats(*held)])  # type: ignore[misc]
        for shape, held in zip(shapes, values, strict=True)
    )
    new = rewritten(tmp_path, data, {"ip1": LayerChange(blobs=blobs)})
    assert b"".join(_written(number, *each) for each in zip(shapes, values, strict=True)) in new
    with Caffemodel.open(tmp_path / "new") as model:
        layer = model.layer("ip1")
        assert [blob.shape for blob in layer.blobs] == shapes
        assert [blob.numpy().ravel().tolist() for blob in layer.blobs] == values


def _written(number: int, shape: tuple[int, ...], values: list[float]) -> bytes:
    body = delimited(7, delimited(1, bytes(shape))) + delimited(5, floats(*values))
    return delimited(number, body)
