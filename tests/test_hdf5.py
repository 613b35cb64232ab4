"""Weights in Caffe's HDF5 form: files as Caffe writes them, and files that mean harm."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from netsurgery.errors import CaffemodelError, OutputError
from netsurgery.formats.caffemodel_new import NewBlob, NewLayer
from netsurgery.formats.hdf5 import Hdf5Weights, hdf5_segments
from netsurgery.io.segments import Bytes, FileRange, FileSource, segments_length, write_segments

WEIGHT = np.arange(6, dtype="<f4").reshape(2, 3)
BIAS = np.array([7, 8], dtype="<f4")


def hdf5_file(path: Path, fill: Callable[[Any], object], **options: Any) -> Path:
    """An HDF5 file with a group 'data' that `fill` fills."""
    with h5py.File(path, "w", **options) as file:
        fill(file.create_group("data"))
    return path


def ip(group: Any) -> None:
    group["ip/0"], group["ip/1"] = WEIGHT, BIAS


def refused(path: Path) -> str:
    with pytest.raises(CaffemodelError) as caught:
        Hdf5Weights.open(path)
    return str(caught.value).removeprefix(f"{path}: ")


def test_a_file_of_real_caffe(shared_data: Path) -> None:
    path = shared_data / "models" / "cifar10_h5" / "cifar10_small.caffemodel.h5"
    with Hdf5Weights.open(path) as weights, h5py.File(path) as file:
        bearing = {layer.name: layer for layer in weights.layers if layer.blobs}
        assert list(bearing) == ["conv1", "conv2", "conv3", "ip1"]
        assert [blob.shape for blob in weights.layer("ip1").blobs] == [(10, 512), (10,)]
        assert weights.layer("pool1").blobs == ()
        for name, layer in bearing.items():
            for index, blob in enumerate(layer.blobs):
                stored = file[f"data/{name}/{index}"][()]
                assert blob.numpy().tobytes() == stored.tobytes()
                assert blob.packed is not None
                offset, length = blob.packed
                assert path.read_bytes()[offset : offset + length] == stored.tobytes()


def test_layers_have_names_and_blobs_only(tmp_path: Path) -> None:
    path = hdf5_file(tmp_path / "a.h5", ip)
    with Hdf5Weights.open(path) as weights:
        (layer,) = weights.layers
        assert (layer.name, layer.type, layer.bottoms, layer.tops) == ("ip", "", (), ())
        assert weights.net_name == ""
        assert layer.blobs[0].where == "layer 'ip', blob 0"
        assert (layer.blobs[0].shape, layer.blobs[0].count) == ((2, 3), 6)
        assert not layer.blobs[0].numpy().flags.writeable
        with pytest.raises(CaffemodelError) as caught:
            weights.layer("fc")
    assert str(caught.value) == f"{path}: no layer is named 'fc'; its layers are ip"


@pytest.mark.parametrize(
    "options",
    [{"dtype": "<f8"}, {"dtype": ">f4"}, {"dtype": "<f2"}, {"chunks": (1, 3)},
     {"chunks": (2, 2), "compression": "gzip", "shuffle": True}],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("version", ["earliest", "latest"])
def test_other_ways_to_keep_numbers(tmp_path: Path, options: dict[str, Any], version: str) -> None:
    path = hdf5_file(
        tmp_path / "a.h5",
        lambda data: data.create_dataset("ip/0", data=WEIGHT, **options),
        libver=version,
    )
    with Hdf5Weights.open(path) as weights:
        (blob,) = weights.layer("ip").blobs
        assert blob.packed is None
        assert blob.numpy().dtype == np.float32
        assert np.array_equal(blob.numpy(), WEIGHT)


def test_a_user_block_in_front_is_no_part_of_the_places(tmp_path: Path) -> None:
    path = hdf5_file(tmp_path / "a.h5", ip, userblock_size=512)
    with Hdf5Weights.open(path) as weights:
        assert np.array_equal(weights.layer("ip").blobs[0].numpy(), WEIGHT)


def test_more_than_ten_params_keep_their_order(tmp_path: Path) -> None:
    def fill(data: Any) -> None:
        for index in range(12):
            data[f"lstm/{index}"] = np.float32(index)

    with Hdf5Weights.open(hdf5_file(tmp_path / "a.h5", fill)) as weights:
        blobs = weights.layer("lstm").blobs
        assert [float(blob.numpy()) for blob in blobs] == list(range(12))
        assert {blob.shape for blob in blobs} == {()}


def test_names_with_a_slash_are_groups_in_groups(tmp_path: Path) -> None:
    def fill(data: Any) -> None:
        data["loss3/classifier/0"] = WEIGHT
        data["a/0"], data["a/b/0"] = BIAS, WEIGHT

    with Hdf5Weights.open(hdf5_file(tmp_path / "a.h5", fill)) as weights:
        assert [layer.name for layer in weights.layers] == ["a", "a/b", "loss3/classifier"]
        assert weights.layer("a").blobs[0].shape == (2,)
        assert weights.layer("a/b").blobs[0].shape == (2, 3)


def test_params_that_caffe_kept_under_another_layer(tmp_path: Path) -> None:
    def fill(data: Any) -> None:
        ip(data)
        data["half/1"] = BIAS + 1
        data.create_group("twin")

    path = hdf5_file(tmp_path / "a.h5", fill)
    shared = {("twin", 0): ("ip", 0), ("twin", 1): ("ip", 1), ("half", 0): ("ip", 0)}
    with Hdf5Weights.open(path, shared) as weights:
        own = weights.layer("ip").blobs
        assert weights.layer("twin").blobs == own
        assert weights.layer("half").blobs[0] == own[0]
        assert weights.layer("half").blobs[1].numpy().tolist() == [8, 9]
    # What a layer has of its own is not taken from another.
    with Hdf5Weights.open(path, {**shared, ("half", 1): ("ip", 1)}) as weights:
        assert weights.layer("half").blobs[1].numpy().tolist() == [8, 9]
    assert refused(path) == (
        "layer 'half': it has no param 0, but 1; shared with another layer, perhaps; only "
        "the net's prototxt can say"
    )


def external(data: Any) -> None:
    data["ip"] = h5py.ExternalLink("/etc/passwd", "/data/ip")


def soft(data: Any) -> None:
    data["ip"] = h5py.SoftLink("/data/other")


def ring(data: Any) -> None:
    ip(data)
    data["ip/again"] = data["ip"]


def twice(data: Any) -> None:
    ip(data)
    data["jp"] = data["ip"]


def outside(data: Any) -> None:
    data.create_dataset("ip/0", (4,), "<f4", external=[("/etc/passwd", 0, 16)])


def virtual(data: Any) -> None:
    layout = h5py.VirtualLayout((4,), "<f4")
    layout[:] = h5py.VirtualSource("other.h5", "numbers", (4,))
    data.create_virtual_dataset("ip/0", layout)


def deep(data: Any) -> None:
    for _ in range(40):
        data = data.create_group("a")
    data["0"] = BIAS


HOSTILE: list[tuple[Callable[[Any], object], str]] = [
    (external, "'data/ip' is a link out of the file, which is not followed"),
    (soft, "'data/ip' is a soft link, which is not followed"),
    (ring, "layer 'ip/again': its group is in another place too"),
    (twice, "layer 'jp': its group is in another place too"),
    (outside, "layer 'ip', blob 0: its numbers are in another file, which is not read"),
    (virtual, "layer 'ip', blob 0: its numbers are in another file, which is not read"),
    (deep, f"layer '{'/'.join('a' * 33)}': more than 32 groups in each other"),
    (
        lambda data: data.create_dataset("ip/0", (1 << 20, 1 << 12), "<f4"),
        "layer 'ip', blob 0: a shape of 1048576x4096 is more than Caffe can count",
    ),
    (
        lambda data: data.create_dataset("ip/0", (1 << 28,), "<f4", chunks=(1 << 20,)),
        "layer 'ip', blob 0: 1073741824 bytes of numbers, of which the file has 0",
    ),
    (
        lambda data: data.create_dataset("ip/0", (1 << 28,), "<f4"),
        "layer 'ip', blob 0: 1073741824 bytes of numbers, of which the file has 0",
    ),
    (
        lambda data: data.create_dataset("ip/0", data=h5py.Empty("f4")),
        "layer 'ip', blob 0: a dataset without numbers",
    ),
    (
        lambda data: data.create_dataset("ip/0", data=[1, 2]),
        "layer 'ip', blob 0: numbers of type int64, expected float32 or float64",
    ),
    (
        lambda data: data.create_dataset("ip/0", data=b"text"),
        "layer 'ip', blob 0: numbers of type object, expected float32 or float64",
    ),
    (
        lambda data: data.create_dataset("ip/weight", data=BIAS),
        "'data/ip/weight': expected a param's number (0, 1, ...)",
    ),
    (
        lambda data: data.create_dataset("ip", data=BIAS),
        "'data/ip': expected the group of a layer",
    ),
    (
        lambda data: data.create_dataset("ip/00", data=BIAS),
        "'data/ip/00': expected a param's number (0, 1, ...)",
    ),
    (lambda data: data.create_group("ip"), "HDF5 without a single param, so no weights"),
    (
        lambda data: data.create_dataset("ip/0", data=np.ones(2, np.longdouble)),
        f"layer 'ip', blob 0: numbers of type {np.dtype(np.longdouble)}, expected float32 or "
        "float64",
    ),
]


@pytest.mark.parametrize(("fill", "what"), HOSTILE, ids=range(len(HOSTILE)))
def test_what_is_refused(tmp_path: Path, fill: Callable[[Any], object], what: str) -> None:
    assert refused(hdf5_file(tmp_path / "a.h5", fill)) == what


def test_other_files_that_are_hdf5(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["data"] = BIAS
    assert refused(path) == (
        "HDF5 in which 'data' is an array: inputs for an HDF5Data layer, perhaps, no weights"
    )
    with h5py.File(path, "w") as file:
        file["model_weights/dense"] = BIAS
    assert refused(path) == (
        "HDF5 without a group 'data', where Caffe keeps params; found 'model_weights'"
    )
    with h5py.File(path, "w") as file:
        file["learned_net"], file["iter"] = "net.caffemodel.h5", 3
    assert refused(path) == "HDF5 of a solver (.solverstate.h5), not of weights"


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    whole = hdf5_file(tmp_path / "a.h5", ip).read_bytes()
    path = tmp_path / "cut.h5"
    for length in range(8, len(whole), 97):
        path.write_bytes(whole[:length])
        assert refused(path).startswith("HDF5 that cannot be read: ")
    path.unlink()
    assert refused(path) == "No such file or directory"
    path.mkdir()
    assert refused(path) == "is a folder, expected a caffemodel"


def test_numbers_behind_the_end_of_the_file(tmp_path: Path) -> None:
    path = hdf5_file(tmp_path / "a.h5", ip)
    with h5py.File(path) as file:
        offset = file["data/ip/0"].id.get_offset()
    data = path.read_bytes()
    assert data.count(offset.to_bytes(8, "little")) == 1
    path.write_bytes(data.replace(offset.to_bytes(8, "little"), (1 << 40).to_bytes(8, "little")))
    assert refused(path) == (
        "HDF5 that cannot be read: invalid dataset size, likely file corruption"
    )


def test_a_file_replaced_before_it_is_indexed(tmp_path: Path) -> None:
    path, replacement = hdf5_file(tmp_path / "a.h5", ip), hdf5_file(tmp_path / "b.h5", ip)
    with FileSource(path) as source:
        replacement.replace(path)
        with pytest.raises(CaffemodelError, match="has changed since it was opened"):
            Hdf5Weights(source)


def test_what_is_refused_is_closed(tmp_path: Path) -> None:
    path = hdf5_file(tmp_path / "a.h5", lambda data: data.create_group("ip"))
    refused(path)
    before = len(os.listdir("/dev/fd"))
    refused(path)
    assert len(os.listdir("/dev/fd")) == before


def test_a_file_that_changes_is_noticed(tmp_path: Path) -> None:
    path = hdf5_file(tmp_path / "a.h5", ip)
    with Hdf5Weights.open(path) as weights:
        blob = weights.layer("ip").blobs[0]
        path.write_bytes(b"other")
        for asked in (blob.numpy, weights.check_unchanged):
            with pytest.raises(CaffemodelError) as caught:
                asked()
            assert str(caught.value) == f"{path}: has changed since it was opened"


def chunks(array: Any) -> Callable[[], list[bytes]]:
    return lambda: [array.tobytes()]


def layer(name: str, *arrays: Any) -> NewLayer:
    return NewLayer(name, "X", (), (), tuple(NewBlob(a.shape, chunks(a)) for a in arrays))


def written(path: Path, layers: list[NewLayer]) -> Path:
    segments = hdf5_segments(path, layers, path.name)
    with path.open("r+b") as file:
        assert write_segments(file.fileno(), segments) == segments_length(segments)
    return path


def test_what_is_written_is_what_h5py_reads(tmp_path: Path) -> None:
    nothing = np.zeros((0, 3), "<f4")
    layers = [layer("z", WEIGHT, BIAS), layer("relu"), layer("a", np.float32(5), nothing)]
    layers += [layer("not utf-8: \udcff", BIAS), layer("in/a/relu")]
    path = written(tmp_path / "a.h5", layers)
    with h5py.File(path) as file:
        assert np.array_equal(file["data/z/0"][()], WEIGHT)
        assert np.array_equal(file["data/z/1"][()], BIAS)
        assert file["data/a/0"][()] == 5
        assert file["data/a/1"].shape == (0, 3)
        assert set(file["data"]) == {"z", "relu", "a", b"not utf-8: \xff"}
        assert file["data/z/0"].dtype == "<f4"
    with Hdf5Weights.open(path) as weights:
        assert np.array_equal(weights.layer("not utf-8: \udcff").blobs[0].numpy(), BIAS)
        assert weights.layer("a").blobs[1].numpy().shape == (0, 3)


def test_the_same_weights_are_the_same_bytes(tmp_path: Path) -> None:
    layers = [layer("b", WEIGHT), layer("a", BIAS)]
    first, second = (written(tmp_path / name, layers) for name in ("a.h5", "b.h5"))
    assert first.read_bytes() == second.read_bytes()
    assert first.read_bytes()[8] == 0  # the first superblock, which every HDF5 reads


def test_numbers_are_ranges_between_a_few_bytes(tmp_path: Path) -> None:
    big = np.zeros(1 << 20, "<f4")
    source = written(tmp_path / "a.h5", [layer("a", big)])
    with Hdf5Weights.open(source) as weights:
        (blob,) = weights.layer("a").blobs
        assert blob.packed is not None
        data = FileRange(weights.source, *blob.packed)
        new = NewLayer("a", "", (), (), (NewBlob(blob.shape, data),))
        segments = hdf5_segments(tmp_path / "b.h5", [new], "b.h5")
        assert data in segments
        literal = [segment for segment in segments if isinstance(segment, Bytes)]
        assert segments_length(literal) < 10_000


@pytest.mark.parametrize("name", ["loss3/classifier", "/abs", "", ".", "a\0b"])
def test_names_that_caffe_would_not_find_again(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError) as caught:
        written(tmp_path / "a.h5", [layer(name, BIAS)])
    assert str(caught.value) == (
        f"a.h5: layer {name!r}: Caffe finds no layer of that name in HDF5 again; "
        "write a .caffemodel"
    )


def test_two_layers_of_one_name(tmp_path: Path) -> None:
    with pytest.raises(OutputError) as caught:
        written(tmp_path / "a.h5", [layer("a", BIAS), layer("a", BIAS)])
    assert str(caught.value) == "a.h5: two layers are named 'a'; HDF5 has place for one"
