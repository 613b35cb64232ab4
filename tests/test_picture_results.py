"""`classify_maps` and `extract_features`: results one by one, and a job that writes files."""

from __future__ import annotations

import json
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import netsurgery as ns
from netsurgery.cli import run
from netsurgery.maps.classmap import ClassMap
from netsurgery.maps.features import Features
from netsurgery.verbs.features_result import NothingTaken

NET = ("prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel")
MODEL = ns.Settings(*NET)
PIXELS = np.random.default_rng(0).integers(0, 256, (40, 52), np.uint8)


@pytest.fixture(autouse=True)
def folder(bundled_nets: Path) -> None:
    for name in ("cat.png", "dog.png"):
        Image.fromarray(PIXELS).save(name)


def maps(images: Any, **options: Any) -> ns.ClassMaps:
    return ns.classify_maps(images, MODEL, blob="pool3", engine="embedded", **options)


def taken(images: Any, **options: Any) -> ns.ExtractedFeatures:
    return ns.extract_features(images, "pool3", MODEL, engine="embedded", **options)


OPENERS: dict[str, Callable[..., Any]] = {"classify_maps": maps, "extract_features": taken}
#: What each writes as files, a folder of pictures.
INTO = {"picture": "out/"}


def to_files(results: Any, **options: Any) -> Any:
    return results.to_files(outputs=INTO, **options)


def names(folder: str = "out") -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir())


@pytest.mark.parametrize("verb", OPENERS)
def test_they_come_one_by_one_and_the_last_closes(verb: str) -> None:
    results = OPENERS[verb](["cat.png", PIXELS])
    assert repr(results) == f"<{type(results).__name__} of {NET[0]}>"
    assert results.engine == ""
    assert [each.image for each in results] == ["cat.png", "array 1"]
    assert results.engine.startswith("embedded")
    assert list(results) == []
    with pytest.raises(ns.NetError, match=r"the net is closed$"):
        list(to_files(results))


@pytest.mark.parametrize("verb", [ns.classify_map, ns.features])
def test_one_picture_has_no_number(verb: Callable[..., Any]) -> None:
    blob = {"blob": "pool3"} if verb is ns.classify_map else {"blobs": "pool3"}
    assert verb(PIXELS, settings=MODEL, engine="embedded", **blob).image == "array"
    with pytest.raises(ns.ImageError, match=r"^array: an array of shape 1x40x52x1; "):
        verb(PIXELS[None, :, :, None], settings=MODEL, engine="embedded", **blob)


@pytest.mark.parametrize("verb", OPENERS)
def test_the_first_that_fails_ends_them(verb: str) -> None:
    results = OPENERS[verb](["cat.png", "none.png", "dog.png"])
    assert next(results).image == "cat.png"
    with pytest.raises(ns.ImageError, match=r"^none.png: No such file"):
        next(results)
    assert list(results) == []


@pytest.mark.parametrize("verb", OPENERS)
def test_left_early_they_are_closed(verb: str) -> None:
    with OPENERS[verb](["cat.png", "dog.png"]) as results:
        next(results)
    with pytest.raises(ns.NetError, match=r"the net is closed$"):
        next(results)


@pytest.mark.parametrize("verb", OPENERS)
def test_files_of_all_that_do_not_fail(verb: str) -> None:
    results = OPENERS[verb](image for image in ("cat.png", "none.png", PIXELS))
    job = to_files(results)
    assert job.images == ["cat.png", "none.png", "array 2"]
    good, failed, last = job
    assert (good.error, last.error) == (None, None)
    assert str(failed.error) == "none.png: No such file or directory"
    assert failed.to_json()["error"] == str(failed.error)
    assert [name[:3] for name in names()] == ["arr", "cat"]
    with pytest.raises(ns.NetError, match=r"the net is closed$"):
        next(iter(job))


@pytest.mark.parametrize("verb", OPENERS)
def test_the_files_are_those_of_the_command(verb: str) -> None:
    list(to_files(OPENERS[verb](["cat.png", "dog.png"])))
    command = ["classify-map"] if verb == "classify_maps" else ["features"]
    words = ["cat.png", "dog.png", "--prototxt", NET[0], "--weights", NET[1], "--blob", "pool3"]
    assert run([*command, *words, "--picture", "by-command", "--engine", "embedded", "-q"]) == 0
    assert names() == names("by-command")
    for name in names():
        assert Path("out", name).read_bytes() == Path("by-command", name).read_bytes()


@pytest.mark.parametrize("verb", OPENERS)
def test_outputs_are_refused_before_any_engine(verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def started(*_: Any) -> Any:
        raise AssertionError("an engine was started")

    monkeypatch.setattr("netsurgery.maps.net_runner.open_engine", started)
    Path("there.png").write_bytes(b"old")
    refused: list[tuple[dict[str, Any], str]] = [
        ({"outputs": {"picture": "there.png"}}, r"^there.png: exists already"),
        ({"outputs": {"picture": "cat.png"}, "force": True}, r"^cat.png: .*input"),
        ({"outputs": {"picture": "out.npz"}}, r"picture.* out.npz: expected a name ending in .png"),
        ({"outputs": {"pictures": "out"}}, r"^output 'pictures': expected .*picture"),
        ({"outputs": {"json": "out.json"}}, r"^output 'json': expected .*picture"),
    ]
    if verb == "classify_maps":
        wrong = ns.MapView("32")
        refused.append(({"view": wrong}, "class 32: blob 'pool3' has 32 classes, 0 to 31"))
    else:
        refused.append(({"output": "f.mat"}, r"^f.mat: expected a name ending in .npy"))
    for options, message in refused:
        with OPENERS[verb](["cat.png"]) as results, pytest.raises(ns.NetsurgeryError) as caught:
            results.to_files(**options)
        assert caught.match(message)
    with pytest.raises(ns.OutputError, match=r"several .* need a folder"):
        OPENERS[verb](["cat.png", "dog.png"]).to_files(outputs={"picture": Path("two.png")})
    assert Path("there.png").read_bytes() == b"old"
    assert not Path("out").exists()


@pytest.mark.parametrize("verb", OPENERS)
def test_files_that_exist_are_replaced_by_force(verb: str) -> None:
    list(to_files(OPENERS[verb](["cat.png"])))
    with pytest.raises(ns.OutputError, match="exists already"):
        to_files(OPENERS[verb](["cat.png"]))
    list(to_files(OPENERS[verb](["cat.png"]), force=True))


@pytest.mark.parametrize("verb", OPENERS)
def test_one_whose_drawing_lacks_memory_fails_by_its_name(
    verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: Any = {"classify_maps": ClassMap, "extract_features": Features}[verb]
    draw = drawn.picture_file

    def draw_if_small(result: Any, *args: Any, **options: Any) -> Any:
        if result.image == "cat.png":
            raise MemoryError
        return draw(result, *args, **options)

    monkeypatch.setattr(drawn, "picture_file", draw_if_small)
    cat, dog = to_files(OPENERS[verb](["cat.png", "dog.png"]))
    assert str(cat.error) == "cat.png: not enough memory for this picture"
    assert dog.error is None


def test_a_map_is_dropped_before_the_next_is_made() -> None:
    with maps(["cat.png", "dog.png"]) as opened:
        results = iter(opened.to_files())
        first = next(results).map
        assert first is not None
        dropped = weakref.ref(first)
        del first
        assert dropped() is None
        assert next(results).map is not None


def test_what_standard_output_is_to_get() -> None:
    (result,) = maps("cat.png").to_files({"npy": "-"})
    assert result.map is not None
    assert (result.printed or b"").endswith(result.map.values.tobytes())
    assert result.written == ()


def test_a_view_of_a_class() -> None:
    for class_ in ("max", "7"):
        list(maps("cat.png").to_files({"picture": f"{class_}.png"}, ns.MapView(class_)))
    assert Path("max.png").read_bytes() != Path("7.png").read_bytes()


def test_features_in_one_file() -> None:
    with taken(["cat.png", "none.png", PIXELS]) as opened:
        job = opened.to_files(Path("all.npz"))
        records = [result.to_json() for result in job]
    assert json.loads(json.dumps(job.to_json(records)))["outputs"] == ["all.npz"]
    assert job.written == ["all.npz"]
    expected = ns.features("cat.png", "pool3", MODEL, engine="embedded")["pool3"].values
    with np.load("all.npz") as file:
        np.testing.assert_array_equal(file["cat/pool3"], expected)
        np.testing.assert_array_equal(file["array 2/pool3"], expected)
        assert not any(name.startswith("none") for name in file)


def test_where_no_picture_can_be_taken_nothing_is_written() -> None:
    job = taken(["none.png"]).to_files("all.npz", INTO)
    with pytest.raises(NothingTaken, match=r"^no picture could be taken; nothing is written$"):
        assert [result.error for result in job] == []
    assert not Path("all.npz").exists()
    assert not Path("out").exists()


@pytest.mark.parametrize("labels", ["words.txt", ("a", "b")])
def test_labels_that_do_not_fit_are_dropped_with_a_note_or_refused(labels: Any) -> None:
    Path("words.txt").write_text("a\nb\n")
    settings = ns.Settings(*NET, labels=labels)
    for drop in (None, True):
        with ns.classify_maps([], settings, blob="pool3", drop_labels=drop) as opened:
            what = "words.txt does" if labels == "words.txt" else "the labels do"
            assert opened.notes == [f"{what} not fit blob 'pool3': left out"]
    with pytest.raises(ns.FormatError, match="2 labels, but blob 'pool3' has 32 classes"):
        ns.classify_maps([], settings, blob="pool3", drop_labels=False)
