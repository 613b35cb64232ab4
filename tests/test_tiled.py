"""classify-map and features in tiles: what they give, when they do it, and what they refuse."""

from __future__ import annotations

import gc
import json
import re
from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import netsurgery as ns
from netsurgery.cli import run
from netsurgery.errors import MemoryLimitError, NetError
from netsurgery.maps import bands
from netsurgery.maps.bands import plan_bands
from netsurgery.maps.mapper import Mapper
from netsurgery.maps.tile_store import TileStore
from netsurgery.net import shapes
from netsurgery.net.tiles import AxisTiles

#: Messages are compared as the command words them.
pytestmark = pytest.mark.usefixtures("option_names")

Array = NDArray[np.float32]

#: Of the demo net at 300 x 407 pixels: the whole needs more, tiles do not.
LITTLE = "32MiB"


@pytest.fixture
def folder(converted_net: Path) -> Path:
    """With the converted demo net and a large grey picture."""
    noise = np.random.default_rng(0).integers(0, 255, (300, 407)).astype(np.uint8)
    Image.fromarray(noise).save("large.png")
    return converted_net


def settings() -> ns.Settings:
    return ns.Settings("digits_deploy_full_conv.prototxt", "digits_full_conv.caffemodel")


def classify(*words: str) -> int:
    call = [
        "classify-map",
        "large.png",
        "--size",
        "image",
        "--engine",
        "embedded",
        "--threads",
        "1",
    ]
    return run([*call, *words, "--npy", "map.npy", "--force"])


@pytest.mark.usefixtures("folder", "fresh_budget")
@pytest.mark.parametrize("words", [["--tile", "190"], ["--max-memory", LITTLE]], ids=" ".join)
def test_a_map_of_tiles_has_the_bits_of_the_whole(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert classify("--tile", "none") == 0
    whole, printed = np.load("map.npy"), capsys.readouterr()
    assert "note" not in printed.err
    assert classify(*words) == 0
    tiled, printed_of_tiles = np.load("map.npy"), capsys.readouterr()
    assert tiled.tobytes() == whole.tobytes()
    assert printed_of_tiles.out == printed.out
    assert re.search(
        r"note: the net was run in \d tiles of \d+x\d+"
        r"(, from 'pool2' on in \d tiles? of \d+x\d+)?, "
        r"1\.\d\d times the arithmetic, with the numbers of the whole$",
        printed_of_tiles.err,
        re.MULTILINE,
    )


@pytest.mark.usefixtures("folder", "fresh_budget")
def test_what_was_run_is_drawn_though_running_takes_all_memory(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The net is given back for its map to be drawn, and loaded again for the next picture."""
    assert classify("--picture", "of_whole.png", "-q") == 0
    call = ["--tile", "auto", "--max-memory", LITTLE, "-q", "--picture", "of_tiles.png"]
    with monkeypatch.context() as patched:
        patched.setattr(Mapper, "unload", lambda mapper: None)
        assert classify(*call) == 1
        assert "may be used (--max-memory)" in capsys.readouterr().err
    gc.collect()  # what the error knows
    assert classify(*call) == 0
    assert Path("of_tiles.png").read_bytes() == Path("of_whole.png").read_bytes()
    words = ["--json", "--size", "image", "--max-memory", LITTLE, "--engine", "embedded"]
    assert run(["classify-map", "large.png", "large.png", "--picture", "maps/", *words]) == 0
    first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert first["classes"] == second["classes"]


@pytest.mark.usefixtures("folder")
def test_what_is_small_enough_is_run_as_one(capsys: pytest.CaptureFixture[str]) -> None:
    for tile in ("auto", "407", "5000"):
        assert classify("--tile", tile) == 0
        assert "note" not in capsys.readouterr().err


@pytest.mark.usefixtures("folder")
def test_many_threads_share_out_the_cells_of_a_tile(capsys: pytest.CaptureFixture[str]) -> None:
    """Of few cells each thread has too few, and adds them in another order."""
    for threads, ends in ("1", "of the whole"), ("16", "of the whole to rounding"):
        assert classify("--tile", "60", "--threads", threads) == 0
        assert capsys.readouterr().err.strip().endswith(ends)


@pytest.mark.usefixtures("folder")
def test_the_json_says_so_where_bits_may_differ(capsys: pytest.CaptureFixture[str]) -> None:
    """Else it is that of the whole: with more memory there would be no tiles."""
    assert classify("--tile", "none", "--json") == 0
    whole = capsys.readouterr().out
    assert classify("--tile", "190", "--json") == 0
    assert capsys.readouterr().out == whole
    assert classify("--tile", "60", "--threads", "16", "--json") == 0
    (note,) = json.loads(capsys.readouterr().out)["notes"]
    assert note.startswith("the net was run in")
    assert note.endswith(" to rounding")


@pytest.mark.usefixtures("folder")
def test_several_blobs_have_the_bits_of_the_whole() -> None:
    """Of different strides, and one whose tiles are smaller than the last layer's need."""
    names = ["conv1", "pool2", "ip1-conv", "prob"]

    def taken(tile: Any) -> ns.ImageFeatures:
        size = ns.PictureOptions("image", tile=tile)
        engine = ns.EngineOptions("embedded", threads=1)
        return ns.features("large.png", names, settings(), size=size, engine=engine)

    whole, tiled = taken("none"), taken(190)
    assert [*whole.notes] == []
    assert [*tiled.notes] == ["tiles"]
    for name in names:
        assert tiled[name].values.tobytes() == whole[name].values.tobytes()
        assert tiled[name].geometry() == whole[name].geometry()


@pytest.mark.usefixtures("folder", "fresh_budget")
@pytest.mark.parametrize("memory", ["28MiB", "32MiB", "36MiB"])
def test_blobs_share_the_memory(memory: str) -> None:
    """Together they may take what one of them may: the others lie in files."""
    names, engine = ["conv1", "pool1"], ns.EngineOptions("embedded", threads=1)
    whole = ns.features("large.png", names, settings(), size="image", engine=engine)
    ns.set_max_memory(memory)
    tiled = ns.features("large.png", names, settings(), size="image", engine=engine)
    assert [*tiled.notes] == ["tiles"]
    for name in names:
        np.testing.assert_allclose(tiled[name].values, whole[name].values, rtol=1e-5, atol=1e-5)


def finer_map() -> ns.ClassMap:
    options = ns.EngineOptions("embedded", threads=1)
    return ns.classify_map(
        "large.png", settings(), blob="pool1", stride=1, size="image", engine=options
    )


@pytest.mark.usefixtures("folder", "fresh_budget")
@pytest.mark.parametrize("memory", ["50MiB", "65MiB", "80MiB"])
def test_a_finer_map_is_counted(memory: str) -> None:
    """It is there while the net is run again; the maps that it is put together from are not."""
    whole = finer_map().values.copy()
    ns.set_max_memory(memory)
    finer = finer_map()
    assert ("tiles" in finer.notes) == (memory != "80MiB")
    np.testing.assert_allclose(finer.values, whole, rtol=1e-5, atol=1e-5)


@pytest.mark.usefixtures("folder", "fresh_budget")
def test_a_finer_map_that_does_not_fit() -> None:
    """That is known before the net is run, and a size is named."""
    ns.set_max_memory("40MiB")
    with pytest.raises(MemoryLimitError, match=r"running the net .*; --size \d+x\d+ fits$"):
        finer_map()


@pytest.mark.usefixtures("fresh_budget")
def test_a_map_in_a_file_whose_blocks_are_not_laid_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("os.posix_fallocate", raising=False)
    ns.set_max_memory("1MiB")
    shape = (1, 2, 300, 300)
    assert TileStore().memory(prod(shape)) == 0
    array = TileStore().make("map", shape)
    array[...] = 1
    assert array.sum() == prod(shape)


@pytest.mark.usefixtures("folder", "fresh_budget")
def test_an_early_blob_where_a_later_one_is_loaded() -> None:
    """Its tiles are smaller than the rest of the net takes, and that is not run."""
    picture = ns.read_picture("large.png")
    engine = ns.EngineOptions("embedded", threads=1)
    with ns.open_mapper(settings(), engine, blob="prob") as mapper:
        whole = mapper.blobs(picture, "image", ["conv1"]).values["conv1"]
        tiled = mapper.blobs(picture, "image", ["conv1"], tile=24)
        assert "in 330 tiles of 24x23, 1.0" in mapper.tiled
        assert tiled.values["conv1"].tobytes() == whole.tobytes()


@pytest.mark.usefixtures("folder", "fresh_budget")
def test_memory_is_given_back() -> None:
    """The nets of the stages are closed with the picture: the next one has as much."""
    engine = ns.EngineOptions("embedded", threads=1)
    with ns.open_mapper(settings(), engine, size=ns.PictureOptions("image")) as mapper:
        ns.set_max_memory(LITTLE)
        notes = [mapper.map(picture).notes["tiles"] for picture in ["large.png"] * 3]
        gc.collect()
    assert len(set(notes)) == 1


@pytest.mark.usefixtures("folder")
def test_tiles_in_caffe(caffe_python: str) -> None:
    engine = ns.EngineOptions("caffe", caffe_python=caffe_python)

    def of(tile: Any) -> Array:
        size = ns.PictureOptions("image", tile=tile)
        class_map = ns.classify_map("large.png", settings(), size=size, engine=engine)
        assert ("to rounding" in class_map.notes.get("tiles", "")) == (tile != "none")
        return class_map.values

    np.testing.assert_allclose(of(190), of("none"), atol=1e-5)


@pytest.mark.usefixtures("folder", "fresh_budget")
def test_the_size_that_is_named_fits(capsys: pytest.CaptureFixture[str]) -> None:
    """In tiles where they are allowed, and as one where they are not."""
    for words in ([], ["--tile", "none"]):
        assert classify(*words, "--max-memory", "26MiB") == 1
        size = re.search(r"; --size (\d+x\d+) fits$", capsys.readouterr().err.strip())
        assert size
        gc.collect()  # what the refused call had claimed
        call = ["classify-map", "large.png", "--engine", "embedded", "--max-memory", "26MiB", "-q"]
        call += ["--npy", "map.npy", "--force"]
        height, width = map(int, size[1].split("x"))
        assert run([*call, "--size", size[1], *words]) == 0
        assert run([*call, "--size", f"{height * 5 // 4}x{width * 5 // 4}", *words]) == 1


@pytest.mark.usefixtures("folder")
def test_more_numbers_than_caffe_counts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of the whole: the blobs of tiles are smaller."""
    assert classify("--tile", "none") == 0
    whole = np.load("map.npy")
    monkeypatch.setattr(shapes, "MAX_DIM", 16 * 296 * 403 - 1)  # conv1 has one more
    assert classify("--tile", "none") == 1
    assert (
        capsys.readouterr()
        .err.strip()
        .endswith("'conv1' would be 1x16x296x403: more than Caffe counts")
    )
    for words in [], ["--tile", "190"]:
        assert classify(*words) == 0
        assert np.load("map.npy").tobytes() == whole.tobytes()


@pytest.mark.usefixtures("folder", "fresh_budget")
def test_more_numbers_than_caffe_counts_in_little_memory(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What is wrong is the whole, whatever tiles would take."""
    assert classify("--size", "100000x100000", "--max-memory", "64MiB") == 1
    printed = capsys.readouterr().err.strip()
    assert re.search(r"100000x100000: more than Caffe counts; --size (\d+)x\1 fits$", printed)


@pytest.mark.usefixtures("folder")
def test_a_picture_is_not_enlarged_beyond_what_pictures_may_have(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In tiles any size fits, a mistyped one too."""
    size = ["--size", "306x411", "--tile", "190"]
    assert classify(*size, "--max-pixels", "306x410") == 1
    words = (
        "large.png: an input of 306x411 made of 300x407 is more than 125460 pixels (--max-pixels)"
    )
    assert words in capsys.readouterr().err
    assert classify(*size, "--max-pixels", "306x411") == 0
    assert classify("--tile", "190", "--max-pixels", "300x407") == 0  # as large as it is


@pytest.mark.usefixtures("folder")
def test_tiles_of_a_size_that_cannot_be(capsys: pytest.CaptureFixture[str]) -> None:
    """The smallest is that of the first stage, up to pool1."""
    assert classify("--tile", "6") == 1
    smallest = "tiles of 6 pixels a side, expected at least 7, the smallest that gives a cell"
    assert smallest in capsys.readouterr().err
    Image.open("large.png").crop((0, 0, 83, 60)).save("large.png")  # of few such tiles
    assert classify("--tile", "7") == 0
    assert "to rounding" in capsys.readouterr().err


@pytest.mark.parametrize("words", ["0", "-1", "1.5", "most", "99999999"])
def test_no_tile(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["classify-map", "x.png", "--tile", words]) == 2
    assert "is not a number of pixels from 1 up, auto or none" in capsys.readouterr().err


@pytest.mark.usefixtures("fresh_budget")
def test_a_net_that_looks_at_the_whole_map(folder: Path) -> None:
    """The layer is named, where tiles are asked for and where only they would fit."""
    net = folder / "whole.prototxt"
    text = (folder / "digits_deploy_full_conv.prototxt").read_text()
    net.write_text(text + '\nlayer { name: "norm" type: "MVN" bottom: "ip2-conv" top: "norm" }\n')
    named = ns.Settings(net, "digits_full_conv.caffemodel")

    def mapped(tile: Any) -> ns.ClassMap:
        size = ns.PictureOptions("image", tile=tile)
        return ns.classify_map("large.png", named, blob="norm", size=size, engine="embedded")

    assert mapped("auto").notes == {}
    with pytest.raises(
        NetError, match=r"be run in tiles: layer 'norm' \(MVN\) looks at the whole map$"
    ):
        mapped(190)
    ns.set_max_memory(LITTLE)
    expected = (
        r"; --size \d+x\d+ fits; it cannot be run in tiles: layer 'norm' \(MVN\) looks at the "
        r"whole map$"
    )
    with pytest.raises(MemoryLimitError, match=expected):
        mapped("auto")


def test_a_net_that_interpolates(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Places between cells are rounded by how far they lie from the first, which tiles change."""
    monkeypatch.setattr(bands, "_ROWS", 64)
    net = folder / "finer.prototxt"
    text = (folder / "digits_deploy_full_conv.prototxt").read_text()
    net.write_text(
        f'{text}\nlayer {{ name: "y" type: "Interp" bottom: "ip2-conv" top: "y" '
        "interp_param { zoom_factor: 3 } }\n"
    )
    noise = np.random.default_rng(0).integers(0, 255, (430, 260)).astype(np.uint8)
    Image.fromarray(noise).save("tall.png")
    named = ns.Settings(net, "digits_full_conv.caffemodel")
    options, engine = ns.PictureOptions("image", tile=190), ns.EngineOptions("embedded", threads=1)
    with ns.open_mapper(named, engine, blob="y", size=options) as mapper:
        picture = ns.read_picture("tall.png")
        tiles = mapper.map(picture).values
        assert mapper.tiled.endswith(", with the numbers of the whole to rounding")
        whole = mapper.blobs(picture, None, ["y"], tile="none").values["y"][0]
        np.testing.assert_allclose(tiles, whole, atol=1e-4)
        assert plan_bands(mapper, picture) is None
    report = ns.inspect(net, fields=True).tiles
    assert report is not None
    assert report.to_json()["smallest_exact"] is None
    assert "and they give the numbers of the whole to rounding" in str(report)


#: What `verify` needs of the converted net.
VERIFY = (
    "verify digits_deploy_full_conv.prototxt digits_full_conv.caffemodel --image large.png".split()
)


@pytest.mark.usefixtures("folder")
def test_verify_has_the_bits(capsys: pytest.CaptureFixture[str]) -> None:
    call = [*VERIFY, "--engine", "embedded", "--threads", "1", "--tiles"]
    assert run([*call, "190"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "every number of the tiles is that of the whole on 1 image"
    assert lines[3].split() == ["large.png", "300x407", "prob", "1x11x35x48", "0", "0"]
    assert lines[4].startswith("note: large.png: the net was run in 6 tiles of ")
    assert run([*call, "190", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["same"], record["exact"]) == (True, True)
    assert record["images"][0]["outputs"][0]["absolute"] == 0
    assert run([*call, "190", "-q"]) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.usefixtures("folder")
def test_verify_in_caffe(caffe_python: str, capsys: pytest.CaptureFixture[str]) -> None:
    call = [*VERIFY, "--engine", "caffe", "--caffe-python", caffe_python, "--tiles", "190"]
    assert run([*call, "--tolerance", "1e-5", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["same"]
    assert record["images"][0]["outputs"][0]["relative"] <= 1e-5


@pytest.mark.usefixtures("folder")
def test_verify_finds_what_differs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Tiles that overlap by less than they have to."""
    exact = AxisTiles.cuts

    def shifted(self: AxisTiles, tile: int) -> Iterator[Mapping[str, tuple[slice, slice]]]:
        for cuts in exact(self, tile):
            ((blob, (cells, source)),) = cuts.items()
            start = max(0, source.start - 1)
            yield {blob: (cells, slice(start, start + source.stop - source.start))}

    monkeypatch.setattr(AxisTiles, "cuts", shifted)
    assert run([*VERIFY, "--engine", "embedded", "--tiles", "190"]) == 1
    printed = capsys.readouterr().out
    assert printed.startswith("tiles and the whole differ on 1 image\n")


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("words", "code", "expected"),
    [
        ("--tiles 6", 2, "found tiles of 6 pixels a side, expected at least 7"),
        ("--tiles 5000", 2, "large.png: 300x407 pixels; expected more than one tile of 5000"),
        ("--tiles 190 --random 2", 2, "--random does nothing with --tiles, which compares one net"),
        ("--tiles 190 --engines caffe,embedded", 2, "--engines does nothing with --tiles"),
        ("", 2, "missing argument B.prototxt"),
    ],
)
def test_verify_refuses(
    words: str, code: int, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = [] if "--engines" in words else ["--engine", "embedded"]
    assert run([*VERIFY, *engine, *words.split()]) == code
    captured = capsys.readouterr()
    assert expected in captured.err
    assert captured.out == ""


@pytest.mark.usefixtures("folder")
def test_verify_takes_one_net_for_tiles(capsys: pytest.CaptureFixture[str]) -> None:
    net, model = VERIFY[1:3]
    assert run(["verify", net, model, net, model, "--tiles", "190", "--image", "large.png"]) == 2
    assert f"--tiles compares one net; found another, {net}" in capsys.readouterr().err
    assert run(["verify", net, model, "--tiles", "190"]) == 2
    assert "--tiles does nothing without --image" in capsys.readouterr().err
