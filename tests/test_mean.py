from __future__ import annotations

import io
import pickle
from pathlib import Path

import numpy as np
import pytest
from golden import V1, V2, floats

from netsurgery.errors import MeanError
from netsurgery.formats.mean import load_mean
from netsurgery.io.wire import delimited, packed_varints, varint_field

GENERAL = "a .npy file, a .binaryproto file or numbers such as 104,117,123"


def saved(folder: Path, array: object) -> Path:
    path = folder / "mean.npy"
    np.save(path, array)  # type: ignore[arg-type]
    return path


def refused(spec: str | Path) -> str:
    with pytest.raises(MeanError) as caught:
        load_mean(spec)
    return str(caught.value).removeprefix(f"{spec}: ")


@pytest.mark.parametrize(
    ("spec", "values"),
    [("104,117,123", [104, 117, 123]), (" 1.5 , -2e1,0", [1.5, -20, 0]), ("33", [33])],
)
def test_numbers(spec: str, values: list[float]) -> None:
    mean = load_mean(spec)
    assert mean.dtype == np.float32
    assert mean.tolist() == values


@pytest.mark.parametrize(
    ("shape", "read"),
    [
        ((3, 4, 5), (3, 4, 5)),
        ((1, 4, 5), (1, 4, 5)),
        ((1, 3, 4, 5), (3, 4, 5)),
        ((4, 5), (1, 4, 5)),
        ((3,), (3,)),
        ((), (1,)),
    ],
)
@pytest.mark.parametrize("kind", ["float32", "float64", ">f4", "uint8", "float16"])
def test_npy(tmp_path: Path, shape: tuple[int, ...], read: tuple[int, ...], kind: str) -> None:
    array = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(kind)
    mean = load_mean(saved(tmp_path, array))
    assert mean.dtype == np.float32
    assert mean.shape == read
    assert mean.ravel().tolist() == array.ravel().tolist()


def test_numbers_as_numbers() -> None:
    assert load_mean((1.5, -20.0, 0.1)).tolist() == load_mean("1.5,-20,0.1").tolist()


def test_npy_in_fortrans_order(tmp_path: Path) -> None:
    array = np.arange(60).reshape(3, 4, 5)
    assert (load_mean(saved(tmp_path, np.asfortranarray(array))) == array).all()


LEGACY = b"".join(varint_field(number, dim) for number, dim in enumerate((1, 3, 1, 2), 1))


@pytest.mark.parametrize(
    ("shape", "read"),
    [
        (LEGACY, (3, 1, 2)),
        (delimited(7, packed_varints(1, (1, 3, 1, 2))), (3, 1, 2)),
        (delimited(7, packed_varints(1, (3, 1, 2))), (3, 1, 2)),
        (delimited(7, packed_varints(1, (3, 2))), (1, 3, 2)),
        (delimited(7, packed_varints(1, (6,))), (6,)),
    ],
)
def test_binaryproto(tmp_path: Path, shape: bytes, read: tuple[int, ...]) -> None:
    path = tmp_path / "mean.binaryproto"
    path.write_bytes(shape + delimited(5, floats(1, 2, 3, 4, 5, 6)))
    mean = load_mean(str(path))
    assert mean.shape == read
    assert mean.ravel().tolist() == [1, 2, 3, 4, 5, 6]


def test_a_mean_does_not_hang_on_its_file(tmp_path: Path) -> None:
    path = tmp_path / "mean.binaryproto"
    path.write_bytes(LEGACY + delimited(5, floats(1, 2, 3, 4, 5, 6)))
    mean = load_mean(path)
    path.write_bytes(b"")
    assert mean.sum() == 21


@pytest.mark.parametrize("spec", ["mean.txt", "1,,2", "a,b", "", "104;117;123", "folder"])
def test_what_is_no_mean(spec: str) -> None:
    with pytest.raises(MeanError) as caught:
        load_mean(spec)
    name = spec or "''"
    assert str(caught.value) == f"{name}: No such file or directory; a mean is {GENERAL}"


@pytest.mark.parametrize("spec", ["nan", "1,inf,2", "1e39"])
def test_numbers_that_are_none(spec: str) -> None:
    assert refused(spec) == "holds values that are not finite float32 numbers"


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((2, 3, 4, 5)), "2x3x4x5: 2 means, expected one"),
        (
            np.zeros((1, 1, 3, 4, 5)),
            "1x1x3x4x5: a mean is channels x height x width, or channels",
        ),
        (np.zeros((3, 0, 5)), "3x0x5: a mean is channels x height x width, or channels"),
        (
            np.zeros((256, 256, 3)),
            "256x256x3: a mean is channels x height x width, this one has its channels last; "
            "turn it with .transpose(2, 0, 1)",
        ),
        (np.zeros(3, bool), "an array of bool, expected numbers"),
        (np.zeros(3, complex), "an array of complex128, expected numbers"),
        (np.array(["a"]), "an array of <U1, expected numbers"),
        (
            np.array([1, np.nan]),
            "holds values that are not finite float32 numbers",
        ),
    ],
)
def test_arrays_that_are_no_mean(tmp_path: Path, array: object, message: str) -> None:
    path = tmp_path / "mean.npy"
    with path.open("wb") as file:
        np.save(file, array)  # type: ignore[arg-type]
    assert refused(path) == message


def test_no_code_is_run_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mean.npy"
    np.save(path, np.array([{}], dtype=object), allow_pickle=True)
    assert refused(path).startswith("not a .npy file of numbers (")


def test_broken_npy(tmp_path: Path) -> None:
    path = saved(tmp_path, np.zeros((3, 4, 5)))
    whole = path.read_bytes()
    for length in (0, 3, 8, 40, 130, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert refused(path).startswith("not a .npy file of numbers (")
    path.write_bytes(whole.replace(b"(3, 4, 5)", b"(3, 4, 9" + b"9" * 1 + b")"))
    assert refused(path).startswith("not a .npy file of numbers (")
    path.write_bytes(b"a text")
    assert refused(path).startswith("not a .npy file of numbers (")


def test_an_archive(tmp_path: Path) -> None:
    path = tmp_path / "mean.npy"
    with path.open("wb") as file:
        np.savez(file, mean=np.zeros(3))
    assert refused(path) == "is a .npz archive, expected one array (.npy); take one .npy out of it"


@pytest.mark.parametrize("name", ["absent.npy", "absent.binaryproto"])
def test_no_such_file(tmp_path: Path, name: str) -> None:
    assert refused(tmp_path / name) == "No such file or directory"


def test_broken_binaryproto(tmp_path: Path) -> None:
    path = tmp_path / "mean.binaryproto"
    whole = LEGACY + delimited(5, floats(1, 2, 3, 4, 5, 6))
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert refused(path)
    path.write_bytes(b"\x0a\x01n")
    assert refused(path) == "byte 0: field 1 has wire type 2 instead of 0"
    path.write_bytes(b"<html>")
    assert (
        refused(path)
        == f"is a web page, expected {GENERAL}; the download of the file itself went wrong"
    )
    path.write_bytes(whole.replace(b"\x08\x01", b"\x08\x02", 1))
    assert refused(path) == ("byte 0: the mean: 6 numbers for shape 2x3x1x2, which takes 12")


VALUES = np.arange(6, dtype=np.float32).reshape(3, 1, 2)


def contents() -> dict[str, bytes]:
    """The same mean in each of its ways."""
    npy = io.BytesIO()
    np.save(npy, VALUES)
    shape = delimited(7, packed_varints(1, (3, 1, 2)))
    numbers = [float(value) for value in VALUES.ravel()]
    return {
        "npy": npy.getvalue(),
        "binaryproto": LEGACY + delimited(5, floats(*numbers)),
        "raw half": shape + varint_field(10, 2) + delimited(12, VALUES.astype("<f2").tobytes()),
    }


@pytest.mark.parametrize("kind", contents())
@pytest.mark.parametrize("name", ["m.npy", "m.binaryproto", "m.npz", "m.txt", "m.mean", "m", "33"])
def test_a_mean_is_what_is_in_its_file(kind: str, name: str, tmp_path: Path) -> None:
    """Whatever it is called."""
    (tmp_path / name).write_bytes(contents()[kind])
    assert load_mean(tmp_path / name).tolist() == VALUES.tolist()
    assert load_mean(str(tmp_path / name)).tolist() == VALUES.tolist()


@pytest.mark.parametrize(
    "text", ["104,117,123", " 104, 117 ,123\n", "104\n117\r\n123\n", "104 117 123"]
)
@pytest.mark.parametrize("name", ["m.txt", "m.npy", "m.binaryproto"])
def test_a_text_of_numbers(text: str, name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(text.encode())
    assert load_mean(tmp_path / name).tolist() == [104, 117, 123]


@pytest.mark.parametrize("name", ["m.npy", "m.binaryproto", "m.txt"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"MATLAB 5.0 MAT-file, Platform: x\0\0", f"is a MATLAB file, expected {GENERAL}"),
        (pickle.dumps([1]), f"is a Python pickle, expected {GENERAL}; pickles are never read"),
        (b"\x89HDF\r\n\x1a\n" + bytes(40), f"is an HDF5 file, expected {GENERAL}"),
        (V1, f"is a net (a caffemodel), expected {GENERAL}"),
        (V2, f"is a net (a caffemodel), expected {GENERAL}"),
        (
            varint_field(1, 10) + delimited(2, b"n.caffemodel") + delimited(3, b""),
            f"is the state of a solver (a .solverstate), expected {GENERAL}",
        ),
        (
            b"PK\x03\x04" + bytes(40),
            "is a zip archive, expected one array (.npy); unpack it first",
        ),
    ],
)
def test_what_else_is_called_what_it_is(
    name: str, content: bytes, message: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    assert refused(tmp_path / name) == message


def test_caffes_own_mean(shared_data: Path) -> None:
    from_npy = load_mean(shared_data / "bvlc" / "ilsvrc_2012_mean.npy")
    from_binaryproto = load_mean(str(shared_data / "bvlc" / "imagenet_mean.binaryproto"))
    assert from_npy.shape == (3, 256, 256)
    assert (from_npy == from_binaryproto).all()
    assert from_npy.mean(axis=(1, 2)) == pytest.approx([104.007, 116.669, 122.679], abs=1e-3)
    grey = load_mean(shared_data / "models" / "lenet_v1" / "mnist_mean.binaryproto")
    assert grey.shape == (1, 28, 28)
