from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from fakes import FakeEngine
from PIL import Image

from netsurgery.engines.contract import EngineOptions
from netsurgery.errors import NetError, OutputError
from netsurgery.formats.settings import Settings
from netsurgery.io.files import Outputs
from netsurgery.maps.features import Extractor, Features, open_extractor
from netsurgery.maps.image import Picture
from netsurgery.maps.picture_options import PictureOptions
from netsurgery.verbs.features_result import ImageFeatures, collection_files, find_collection

#: Messages are compared as the command words them.
pytestmark = pytest.mark.usefixtures("option_names")

PROTOTXT = """\
input: "data"
input_shape { dim: 10 dim: 1 dim: 12 dim: 12 }
layer { name: "conv/a" type: "Convolution" bottom: "data" top: "conv/a"
  convolution_param { num_output: 2 kernel_size: 3 pad: 1 } }
layer { name: "pool" type: "Pooling" bottom: "conv/a" top: "pool"
  pooling_param { pool: AVE kernel_size: 4 stride: 4 } }
layer { name: "fc" type: "InnerProduct" bottom: "pool" top: "fc"
  inner_product_param { num_output: 3 } }
"""


def forward(inputs: dict[str, Any]) -> dict[str, Any]:
    """Stands for the net: twice the input and its negative, and 4 x 4 means of them."""
    data = inputs["data"]
    count, _, high, wide = data.shape
    conv = np.concatenate([2 * data, -data], axis=1)
    pool = conv.reshape(count, 2, high // 4, 4, wide // 4, 4).mean(axis=(3, 5))
    return {"conv/a": conv, "pool": pool, "fc": np.ones((count, 3))}


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    fake_engine = FakeEngine(forward, {"data": (10, 1, 12, 12)})
    monkeypatch.setattr("netsurgery.maps.net_runner.open_engine", fake_engine.open)
    return fake_engine


@pytest.fixture
def settings(tmp_path: Path, engine: FakeEngine) -> Settings:
    (tmp_path / "net.prototxt").write_text(PROTOTXT)
    (tmp_path / "net.caffemodel").write_text("weights")
    return Settings(prototxt=tmp_path / "net.prototxt", weights=tmp_path / "net.caffemodel")


def extractor(settings: Settings, *blobs: str, **options: Any) -> Extractor:
    return open_extractor(settings, EngineOptions(), blobs, **options)


def picture(high: int = 12, wide: int = 12) -> Picture:
    pixels = np.random.default_rng(0).integers(0, 256, (high, wide, 1), np.uint8)
    return Picture("folder/cat.png", pixels)


def test_several_blobs_of_one_forward(settings: Settings, engine: FakeEngine) -> None:
    with extractor(settings, "pool", "conv/a", "pool") as opened:
        pool, conv = opened.extract(picture(), (12, 12))
    assert [entry[0] for entry in engine.log if isinstance(entry, tuple)].count("forward") == 1
    assert (pool.blob, conv.blob) == ("pool", "conv/a")
    assert pool.values.shape == (2, 3, 3)
    assert conv.values.shape == (2, 12, 12)
    pixels = picture().pixels[:, :, 0].astype(np.float32) / 255
    assert conv.values[0] == pytest.approx(2 * pixels)


def test_geometry(settings: Settings) -> None:
    """A cell of pool sees 4 pixels and one more on each side, which begins in the padding."""
    with extractor(settings, "pool", size=PictureOptions(fit="pad")) as opened:
        (pool,) = opened.extract(picture(6, 12), (24, 24))
    assert pool.geometry() == {
        "image_size": [6, 12],
        "input_size": [24, 24],
        "resized": [12, 24],
        "placed": [6, 0],
        "stride": [4, 4],
        "offset": [-1, -1],
        "field": [6, 6],
        "window": [4, 4],
    }
    assert pool.to_json()["shape"] == [2, 6, 6]


def test_the_size_of_the_picture(settings: Settings) -> None:
    with extractor(settings, "pool") as opened:
        (pool,) = opened.extract(picture(16, 20), "image")
    assert pool.values.shape == (2, 4, 5)


def test_a_blob_that_is_no_map_has_no_geometry_of_cells(settings: Settings) -> None:
    with extractor(settings, "fc") as opened:
        (fc,) = opened.extract(picture(), (12, 12))
    assert fc.values.tolist() == [1, 1, 1]
    known = {name for name, value in fc.geometry().items() if value is not None}
    assert known == {"image_size", "input_size", "resized", "placed"}


def test_the_input_is_a_blob(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(inputs: dict[str, Any]) -> dict[str, Any]:
        return {**forward(inputs), **inputs}

    engine = FakeEngine(run, {"data": (10, 1, 12, 12)})
    monkeypatch.setattr("netsurgery.maps.net_runner.open_engine", engine.open)
    with extractor(settings, "data") as opened:
        (data,) = opened.extract(picture(), (12, 12))
    assert data.geometry()["field"] == [1, 1]


def test_a_blob_that_is_not_there(settings: Settings) -> None:
    for blob, hint in (("conv", "did you mean conv/a?"), ("none", "it has conv/a, pool, fc")):
        with pytest.raises(NetError) as caught:
            extractor(settings, blob)
        assert str(caught.value) == f"{settings.prototxt}: no blob {blob!r}; {hint}"


def test_an_input_that_is_too_small(settings: Settings) -> None:
    assert settings.prototxt is not None
    settings.prototxt.write_text(PROTOTXT.replace(" pad: 1", ""))
    with extractor(settings, "pool") as opened, pytest.raises(NetError) as error:
        opened.extract(picture(), (2, 2))
    assert "as an input of 2x2 (--size): " in str(error.value)


def test_what_a_notebook_shows(settings: Settings) -> None:
    pool, fc = features(settings, "pool", "fc")
    assert repr(pool) == "<Features of folder/cat.png: blob 'pool', 2x3x3>"
    for drawn in (pool, fc):
        png = drawn._repr_png_()
        assert png is not None
        with Image.open(io.BytesIO(png)) as read:
            assert read.format == "PNG"
            np.testing.assert_array_equal(np.asarray(read), np.asarray(drawn.to_picture()))
    assert pool.to_picture().size > fc.to_picture().size
    empty = Features("cat.png", "five", np.ones((2, 3, 4, 5, 6), np.float32), None, None,
                     pool.placement)  # fmt: skip
    assert empty._repr_png_() is None
    both = ImageFeatures("cat.png", [pool, fc])
    assert str(both) == "features of cat.png\npool: 2x3x3\nfc: 3"
    assert list(both) == ["pool", "fc"]


def features(settings: Settings, *blobs: str) -> list[Features]:
    with extractor(settings, *blobs) as opened:
        return opened.extract(picture(), (12, 12))


def written(path: Path, extracted: list[Features], names: tuple[str, ...] = ("cat",)) -> None:
    collection = find_collection(path, len(names) * len(extracted))
    paths = collection_files(path, collection)
    with (
        Outputs(paths) as outputs,
        collection.open([outputs[features_of_blob] for features_of_blob in paths]) as file,
    ):
        for name in names:
            for features_of_blob in extracted:
                file.add(name, features_of_blob)


def test_npz(settings: Settings, tmp_path: Path) -> None:
    extracted = features(settings, "conv/a", "fc")
    written(tmp_path / "f.npz", extracted, ("cat", "dog"))
    with np.load(tmp_path / "f.npz") as file:
        assert (file["dog/conv/a"] == extracted[0].values).all()
        assert file["dog/conv/a"].dtype == np.float32
        assert file["cat/fc"].tolist() == [1, 1, 1]
        assert file["cat/conv/a:offset"].tolist() == [-1, -1]
        assert file["cat/fc:image_size"].tolist() == [12, 12]
        assert "cat/fc:stride" not in file
        assert len(file.files) == 2 * (9 + 5)


def test_npz_is_the_same_every_time(settings: Settings, tmp_path: Path) -> None:
    for name in ("a.npz", "b.npz"):
        written(tmp_path / name, features(settings, "pool"))
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


@pytest.mark.parametrize("ending", ["h5", "hdf5"])
def test_hdf5(settings: Settings, tmp_path: Path, ending: str) -> None:
    extracted = features(settings, "conv/a", "fc")
    written(tmp_path / f"f.{ending}", extracted, ("cat", "dog"))
    with h5py.File(tmp_path / f"f.{ending}") as file:
        dataset = file["dog/conv/a"]
        assert (dataset[()] == extracted[0].values).all()
        assert dataset.dtype == np.float32
        assert dataset.attrs["image"] == "folder/cat.png"
        assert dataset.attrs["offset"].tolist() == [-1, -1]
        assert dataset.attrs["field"].tolist() == [3, 3]
        assert "stride" not in file["cat/fc"].attrs


def test_a_name_that_hdf5_has_no_place_for(settings: Settings, tmp_path: Path) -> None:
    """A blob may be called as the folder of another."""
    conv, pool = features(settings, "conv/a", "pool")
    object.__setattr__(pool, "blob", "conv")
    with pytest.raises(OutputError) as caught:
        written(tmp_path / "f.h5", [conv, pool])
    assert str(caught.value).startswith(f"{tmp_path / 'f.h5'}: ")
    assert not (tmp_path / "f.h5").exists()


def test_npy(settings: Settings, tmp_path: Path) -> None:
    (extracted,) = features(settings, "pool")
    written(tmp_path / "f.npy", [extracted])
    assert (np.load(tmp_path / "f.npy") == extracted.values).all()
    facts = json.loads((tmp_path / "f.json").read_text())
    assert facts == json.loads(json.dumps(extracted.to_json()))
    assert (facts["image"], facts["blob"]) == ("folder/cat.png", "pool")


@pytest.mark.parametrize(
    ("name", "images", "blobs", "what"),
    [
        ("f.npy", 2, 1, "a .npy holds one blob of one image, found 2; give a .npz or .h5"),
        ("f.npy", 1, 3, "a .npy holds one blob of one image, found 3; give a .npz or .h5"),
        ("f.mat", 1, 1, "expected a name ending in .npy, .npz, .h5 or .hdf5"),
        ("npz", 1, 1, "expected a name ending in .npy, .npz, .h5 or .hdf5"),
    ],
)
def test_names_that_cannot_be(name: str, images: int, blobs: int, what: str) -> None:
    with pytest.raises(OutputError) as caught:
        find_collection(Path(name), images * blobs)
    assert str(caught.value) == f"{name}: {what}"
