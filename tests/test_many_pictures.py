"""Many pictures at once give, byte for byte, what each would give by itself."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import netsurgery as ns
from netsurgery.cli import run
from netsurgery.io.memory import allowed
from netsurgery.maps.mapper import Mapper
from netsurgery.verbs.outputs import OUTPUTS, MapView
from netsurgery.verbs.outputs.files import as_bytes
from netsurgery.verbs.pipeline import AHEAD

NET = ("prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel")
MODEL = ns.Settings(*NET)
WORDS = ["--prototxt", NET[0], "--weights", NET[1], "--engine", "embedded", "--blob", "pool3"]

#: Pictures of several kinds and sizes, those that fail between them.
GOOD = ["a.png", "b.jpg", "c.png", "d.tif", "e.webp", "f.png"]
ALL = ["none.png", "a.png", "b.jpg", "broken.jpg", "c.png", "d.tif", "empty.png", "e.webp", "f.png"]


@pytest.fixture(autouse=True)
def folder(bundled_nets: Path) -> None:
    random = np.random.default_rng(0)

    def pixels(*shape: int) -> Any:
        return random.integers(0, 256, shape, np.uint8)

    Image.fromarray(pixels(40, 52)).save("a.png")
    Image.fromarray(pixels(64, 48, 3)).save("b.jpg")
    Image.fromarray(pixels(50, 50, 4)).save("c.png")
    Image.fromarray(pixels(33, 70)).save("d.tif")
    Image.fromarray(pixels(64, 48, 3)).save("e.webp")
    Image.fromarray(pixels(40, 52)).convert("P").save("f.png")
    Path("broken.jpg").write_bytes(Path("b.jpg").read_bytes()[:700])
    Path("empty.png").touch()


def one_by_one(kind: str, view: MapView, size: Any) -> Iterator[tuple[str, bytes]]:
    """What each good picture gives, with nothing done beside it."""
    make = OUTPUTS[kind].of_map
    assert make is not None
    with ns.open_mapper(MODEL, "embedded", blob="pool3", size=size) as mapper:
        for name in GOOD:
            yield name, as_bytes(make(mapper.map(ns.read_picture(name)), view))


@pytest.mark.parametrize("size", ["net", "image", ns.PictureOptions((48, 64), "pad")])
@pytest.mark.parametrize("kind", ["npy", "picture"])
def test_a_file_each(kind: str, size: Any) -> None:
    view = MapView("each" if kind == "picture" else "max")
    with ns.classify_maps(ALL, MODEL, blob="pool3", engine="embedded", size=size) as maps:
        results = list(maps.to_files({kind: "out/"}, view))
    assert [result.image for result in results] == ALL
    assert [result.image for result in results if result.error is None] == GOOD
    suffix = OUTPUTS[kind].suffix
    expected = {
        f"{Path(name).stem}{suffix}": content for name, content in one_by_one(kind, view, size)
    }
    assert {path.name: path.read_bytes() for path in Path("out").iterdir()} == expected


@pytest.mark.parametrize("words", [["--json"], ["--json", "--top-k", "3"], []])
def test_what_is_printed(words: list[str], capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    expected = []
    for name in GOOD:
        assert run(["classify-map", name, *WORDS, *words]) == 0
        expected.append(capfdbinary.readouterr().out)
    assert run(["classify-map", *ALL, *WORDS, *words]) == 1
    printed, errors = capfdbinary.readouterr()
    reported = [line for line in errors.decode().splitlines() if line.startswith("error: ")]
    assert [line.split(": ")[1] for line in reported] == [name for name in ALL if name not in GOOD]
    if not words:
        assert printed == b"\n".join(expected)
        return
    lines = printed.splitlines(keepends=True)
    assert [json.loads(line)["image"] for line in lines] == ALL
    assert [line for line in lines if b'"error"' not in line] == expected


@pytest.mark.caffe
def test_what_real_caffe_gives(
    caffe_python: str, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    words = [*WORDS, "--json", "--engine", "caffe", "--caffe-python", caffe_python]
    expected = []
    for name in GOOD:
        assert run(["classify-map", name, *words]) == 0
        expected.append(capfdbinary.readouterr().out)
    assert run(["classify-map", *ALL, *words]) == 1
    lines = capfdbinary.readouterr().out.splitlines(keepends=True)
    assert [line for line in lines if b'"error"' not in line] == expected


def test_a_page_of_all() -> None:
    list(ns.classify_maps(ALL, MODEL, blob="pool3", engine="embedded").to_files({"html": "p.html"}))
    join = OUTPUTS["html"].join
    assert join is not None
    parts = [part for _, part in one_by_one("html", MapView(), "net")]
    assert Path("p.html").read_bytes() == join(parts)


def test_features_of_all(capfd: pytest.CaptureFixture[str]) -> None:
    words = [word for word in WORDS if word not in ("--blob", "pool3")]
    blobs = ["--blob", "conv1", "--blob", "pool3"]
    names = [*ALL, "a.png"]
    together = ["features", *names, *blobs, *words, "-o", "all.npz", "--picture", "all", "-q"]
    assert run(together) == 1
    with np.load("all.npz") as all_of_them:
        for name in GOOD:
            stem = Path(name).stem
            alone = ["features", name, *blobs, *words, "-o", f"{stem}.npz", "--picture", stem, "-q"]
            assert run(alone) == 0
            with np.load(f"{stem}.npz") as alone_file:
                # A picture that is named twice keeps its ending.
                prefix = "a.png" if name == "a.png" else stem
                for key in alone_file:
                    of_all = all_of_them[key.replace(stem, prefix, 1)]
                    np.testing.assert_array_equal(alone_file[key], of_all)
            for file in Path(stem).iterdir():
                in_all = Path("all", file.name.replace(stem, prefix, 1))
                assert file.read_bytes() == in_all.read_bytes()
        assert {"a.png/pool3", "a.png-2/pool3"} <= set(all_of_them)


OPENERS: dict[str, Callable[..., Any]] = {
    "classify_maps": lambda images: ns.classify_maps(
        images, MODEL, blob="pool3", engine="embedded"
    ),
    "extract_features": lambda images: ns.extract_features(
        images, "pool3", MODEL, engine="embedded"
    ),
}


@pytest.mark.parametrize("verb", OPENERS)
def test_an_iterable_is_read_no_further_than_the_bound(verb: str) -> None:
    asked = 0

    def names() -> Iterator[str]:
        nonlocal asked
        for number in range(40):
            asked += 1
            yield GOOD[number % 6]

    threads = threading.active_count()
    with OPENERS[verb](names()) as results:
        assert asked == 0
        for number in range(12):
            assert next(results).image == GOOD[number % 6]
            assert asked <= number + 1 + AHEAD
    with pytest.raises(ns.NetError, match="is closed"):
        next(results)
    results.close()
    del results
    assert threading.active_count() == threads


@pytest.mark.parametrize("verb", OPENERS)
def test_a_buffer_that_is_filled_again_is_read_in_its_turn(verb: str) -> None:
    """As a camera's is: nothing of it is taken from behind the caller's back."""
    frames = np.random.default_rng(1).integers(0, 256, (5, 32, 32, 1), np.uint8)

    def camera() -> Iterator[Any]:
        buffer = np.empty((32, 32, 1), np.uint8)
        for frame in frames:
            buffer[...] = frame
            yield buffer

    def values(result: Any) -> Any:
        return result.values if verb == "classify_maps" else result["pool3"].values

    taken = [values(result).copy() for result in OPENERS[verb](camera())]
    expected = [values(result).copy() for result in OPENERS[verb](frames)]
    np.testing.assert_array_equal(taken, expected)
    assert len({each.tobytes() for each in taken}) == 5


@pytest.mark.usefixtures("fresh_budget")
def test_memory_is_in_use_for_a_fixed_number_of_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    side = 600
    Image.new("RGB", (side, side), "red").save("large.png")
    ns.set_max_memory("4GiB")
    monkeypatch.setattr(Mapper, "make_input", counting := Counting(Mapper.make_input))
    before = in_use()
    for _ in ns.classify_maps(["large.png"] * 40, MODEL, blob="pool3", engine="embedded"):
        counting.most = max(counting.most, in_use() - before)
    picture = 3 * side * side
    assert counting.calls == 40
    # What the engine takes is claimed, too: some pictures' worth.
    assert counting.most < (2 * AHEAD + 2) * picture + (64 << 20)


@pytest.mark.usefixtures("fresh_budget")
def test_an_error_that_is_kept_keeps_no_memory() -> None:
    Image.new("RGB", (600, 600), "red").save("large.png")
    ns.set_max_memory("4GiB")
    before = in_use()
    results = ns.classify_maps(
        ["large.png", "broken.jpg", *["large.png"] * 9], MODEL, blob="pool3", engine="embedded"
    )
    next(results)
    with pytest.raises(ns.ImageError) as caught:
        next(results)
    assert caught.value is not None
    assert in_use() - before < 3 * 600 * 600  # not one of the next


def in_use() -> int:
    from netsurgery.io.memory import _BUDGET

    assert allowed()
    return _BUDGET.taken


class Counting:
    """A method that counts its calls."""

    def __init__(self, method: Callable[..., Any]) -> None:
        self.method, self.calls, self.most = method, 0, 0

    def __get__(self, mapper: Any, kind: Any = None) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            self.calls += 1
            return self.method(mapper, *args)

        return call


@pytest.mark.usefixtures("fresh_budget")
def test_with_little_memory_each_is_mapped_alone() -> None:
    """A picture fits by itself, but not beside another; tiles are as if it were alone."""
    Image.fromarray(np.random.default_rng(2).integers(0, 256, (700, 900), np.uint8)).save("big.png")
    options: Any = {"size": "image", "blob": "pool3", "engine": "embedded"}
    ns.set_max_memory("100MiB")
    (alone,) = ns.classify_maps("big.png", MODEL, **options)
    expected, notes = alone.values, dict(alone.notes)
    del alone
    job = ns.classify_maps(["big.png"] * 5, MODEL, **options).to_files({"npy": "out/"})
    for result in job:
        assert result.error is None, result.error
        assert result.map is not None
        np.testing.assert_array_equal(result.map.values, expected)
        assert dict(result.map.notes) == notes
        del result
    assert "tiles" in notes


def command(*words: str) -> subprocess.Popen[bytes]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("NETSURGERY_")}
    return subprocess.Popen(
        [sys.executable, "-m", "netsurgery", "classify-map", *words, *WORDS],
        env={**inherited, "PYTHONPATH": str(Path(__file__).resolve().parent.parent)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_a_line_is_there_as_soon_as_its_picture_is_done() -> None:
    Path("list.txt").write_text("a.png\n" * 2000)
    process = command("--from", "list.txt", "--json")
    assert process.stdout is not None
    lines = [json.loads(process.stdout.readline()) for _ in range(20)]
    assert process.poll() is None
    assert {line["image"] for line in lines} == {"a.png"}
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode == 130


def test_a_closed_pipe_ends_it() -> None:
    Path("list.txt").write_text("a.png\nbroken.jpg\n" * 2000)
    process = command("--from", "list.txt", "--json", "--picture", "drawn", "-q")
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=20) == 141
    assert process.stderr is not None
    process.stderr.close()
    assert not [name for name in os.listdir("drawn") if name.endswith("netsurgery-tmp")]


def test_an_interrupt_ends_a_loop_in_python() -> None:
    """KeyboardInterrupt in the caller's code: threads are done, the net is closed."""
    threads = threading.active_count()

    def loop() -> None:
        with ns.classify_maps(GOOD * 5, MODEL, blob="pool3", engine="embedded") as results:
            for _ in results:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        loop()
    assert threading.active_count() == threads
