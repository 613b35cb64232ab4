"""Every call that takes pictures takes them in any form, and every size means the same in each."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import netsurgery as ns

NET = ("prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel")
MODEL = ns.Settings(*NET)
PIXELS = np.random.default_rng(0).integers(0, 256, (40, 52), np.uint8)


@pytest.fixture(autouse=True)
def folder(bundled_nets: Path) -> None:
    Image.fromarray(PIXELS).save("cat.png")


def mapped(image: Any, size: Any) -> Any:
    options = {"size": size, "blob": "pool3", "engine": "embedded"}
    return ns.classify_map(image, MODEL, **options).values


def streamed(image: Any, size: Any) -> Any:
    options = {"size": size, "blob": "pool3", "engine": "embedded"}
    first, second = ns.classify_maps([image, "cat.png"], MODEL, **options)
    assert second.image == "cat.png"
    return first.values


def by_mapper(image: Any, size: Any) -> Any:
    with ns.open_mapper(MODEL, "embedded", blob="pool3") as mapper:
        return mapper.map(image, size).values


def by_mapper_opened_so(image: Any, size: Any) -> Any:
    with ns.open_mapper(MODEL, "embedded", blob="pool3", size=size) as mapper:
        return mapper.map(image).values


def taken(image: Any, size: Any) -> Any:
    return ns.features(image, "pool3", MODEL, size=size, engine="embedded")["pool3"].values


def extracted(image: Any, size: Any) -> Any:
    options = {"size": size, "engine": "embedded"}
    first, second = ns.extract_features([image, "cat.png"], "pool3", MODEL, **options)
    assert second.image == "cat.png"
    return first["pool3"].values


def by_extractor_opened_so(image: Any, size: Any) -> Any:
    with ns.open_extractor(MODEL, "embedded", ["pool3"], size=size) as extractor:
        return extractor.extract(image)[0].values


def by_extractor(image: Any, size: Any) -> Any:
    with ns.open_extractor(MODEL, "embedded", ["pool3"]) as extractor:
        return extractor.extract(image, size)[0].values


CALLS: dict[str, Callable[[Any, Any], Any]] = {
    "classify_map": mapped,
    "classify_maps": streamed,
    "Mapper.map": by_mapper,
    "open_mapper": by_mapper_opened_so,
    "features": taken,
    "extract_features": extracted,
    "Extractor.extract": by_extractor,
    "open_extractor": by_extractor_opened_so,
}
FORMS: dict[str, Callable[[], Any]] = {
    "text": lambda: "cat.png",
    "path": lambda: Path("cat.png"),
    "image": lambda: Image.open("cat.png"),
    "bytes": lambda: Path("cat.png").read_bytes(),
    "file": lambda: io.BytesIO(Path("cat.png").read_bytes()),
    "array": lambda: PIXELS,
    "column": lambda: PIXELS[:, :, np.newaxis],
    "floats": lambda: PIXELS / 255,
    "picture": lambda: ns.read_picture("cat.png"),
}


@pytest.mark.parametrize("call", CALLS)
def test_any_form_of_a_picture(call: str) -> None:
    expected = CALLS[call]("cat.png", "net")
    for form, picture in FORMS.items():
        np.testing.assert_allclose(CALLS[call](picture(), "net"), expected, atol=1e-5, err_msg=form)
    with pytest.raises(TypeError, match="found int; expected a path"):
        CALLS[call](7, "net")


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("size", "cells"), [("net", (2, 2)), ("image", (3, 5)), ((32, 56), (2, 5))]
)
def test_sizes_mean_the_same(call: str, size: Any, cells: tuple[int, int]) -> None:
    """pool3 has a cell every 8 pixels."""
    assert CALLS[call](PIXELS, size).shape[1:] == cells


TAKING_OPTIONS = [call for call in CALLS if call not in ("Mapper.map", "Extractor.extract")]


@pytest.mark.parametrize("call", TAKING_OPTIONS)
def test_how_a_picture_is_fitted_goes_with_the_size(call: str) -> None:
    options = [
        ns.PictureOptions((32, 32)),
        ns.PictureOptions((32, 32), "crop"),
        ns.PictureOptions((32, 32), "pad"),
        ns.PictureOptions((32, 32), antialias=False),
    ]
    by_options = [CALLS[call](PIXELS, each) for each in options]
    np.testing.assert_array_equal(by_options[0], CALLS[call](PIXELS, (32, 32)))
    for number, values in enumerate(by_options):
        assert not any(np.allclose(values, earlier) for earlier in by_options[:number])


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("size", ["nett", (32,), (0, 32), -32, (32.5, 32)])
def test_no_other_size(call: str, size: Any) -> None:
    with pytest.raises(ns.SettingsError, match=r"expected 'net', 'image', \(height, width\) or"):
        CALLS[call](PIXELS, size)


def test_verify_takes_them_too() -> None:
    images = [picture() for picture in FORMS.values()]
    result = ns.verify(NET, NET, images=images, engine=ns.EngineOptions("embedded"))
    assert (result.samples, result.same) == (len(FORMS), True)
    alone = ns.verify(NET, NET, images=PIXELS, engine=ns.EngineOptions("embedded"))
    assert alone.samples == 1


def test_a_failing_picture_ends_the_stream_and_closes_the_net() -> None:
    maps = ns.classify_maps(["cat.png", "none.png", "cat.png"], MODEL, blob="pool3")
    assert next(maps).image == "cat.png"
    with pytest.raises(ns.ImageError, match=r"^none.png: No such file"):
        next(maps)
    assert list(maps) == []


def test_what_is_wrong_with_the_net_is_raised_at_once() -> None:
    with pytest.raises(ns.NetError, match="no blob 'nope'"):
        ns.classify_maps([], MODEL, blob="nope")


def test_a_mean_and_labels_in_memory_are_those_of_their_files() -> None:
    mean = np.random.default_rng(1).random((1, 28, 28))
    np.save("mean.npy", mean)
    names = [f"class {number}" for number in range(32)]
    Path("labels.txt").write_text("\n".join(names))
    files, values = (
        ns.classify_map(
            PIXELS,
            ns.Settings(*NET, mean=mean_given, labels=labels, raw_scale=2),
            blob="pool3",
            engine="embedded",
        )
        for mean_given, labels in (("mean.npy", "labels.txt"), (mean, names))
    )
    np.testing.assert_array_equal(files.values, values.values)
    assert files.summary() == values.summary()
    assert values.find_class("class 7") == 7
    assert not np.array_equal(values.values, mapped(PIXELS, "net"))


def test_an_open_net_takes_the_place_of_a_model() -> None:
    """With its present params, which no file holds, and its engine."""
    with ns.Net(*NET, engine="embedded") as net:
        net.params["conv1"][1][...] = 1
        net.save("edited.caffemodel")
        saved = ns.Settings(NET[0], "edited.caffemodel", raw_scale=2)
        of_net = ns.Settings(raw_scale=2)
        options: dict[str, Any] = {"blob": "pool3", "engine": "embedded"}
        expected = ns.classify_map(PIXELS, saved, **options).values
        assert not np.allclose(ns.classify_map(PIXELS, MODEL, **options).values, expected)
        maps = ns.classify_maps([PIXELS, "cat.png"], of_net, net=net, blob="pool3")
        for class_map in maps:
            np.testing.assert_array_equal(class_map.values, expected)
            assert class_map.engine.startswith("embedded")
        blobs = ns.features(PIXELS, "pool3", of_net, net=net)
        np.testing.assert_array_equal(blobs["pool3"].values, expected)
        net.params["conv1"][1][...] = 0
        assert not np.allclose(
            ns.classify_map(PIXELS, of_net, net=net, blob="pool3").values, expected
        )
    with pytest.raises(ns.SettingsError, match="no prototxt and no weights to use"):
        ns.classify_map(PIXELS)
