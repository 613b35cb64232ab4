"""A picture is drawn while the net runs on the next one; results stay in order, and whole."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from drawn_maps import class_map, grey_picture

from netsurgery.errors import ImageError, MemoryLimitError, NetError, NetsurgeryError
from netsurgery.maps.classmap import ClassMap
from netsurgery.maps.image import Picture
from netsurgery.maps.tile_store import TileStore
from netsurgery.verbs.classify_map_result import MapJob
from netsurgery.verbs.outputs import OUTPUTS, MapView, Output
from netsurgery.verbs.outputs.files import MapFiles

WAIT = 20.0  # seconds, for what has to come


class FakeMapper:
    """Maps each picture as `run` says."""

    def __init__(self, run: Callable[[str], ClassMap]) -> None:
        self.run, self.ahead = run, None

    def load(self) -> None:
        pass

    def make_input(self, picture: Picture) -> None:
        pass

    def unload(self) -> None:
        pass

    def map(self, picture: Picture, *, store: TileStore | None) -> ClassMap:
        return self.run(picture.name)


def map_of(image: str) -> ClassMap:
    return class_map(np.ones((1, 2, 2)), Picture(image, grey_picture().pixels))


def job_of(
    folder: Path,
    images: list[str],
    run: Callable[[str], ClassMap],
    draw: Callable[[ClassMap, MapView], bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> MapJob:
    monkeypatch.setitem(OUTPUTS, "picture", Output("picture", ".png", of_map=draw))
    files = MapFiles.plan(images, {"picture": f"{folder}/maps/"})
    pictures = [(np.zeros((1, 1), np.uint8), name) for name in images]
    return MapJob(cast(Any, FakeMapper(run)), pictures, files, MapView(), ExitStack())


def test_the_net_runs_while_the_last_picture_is_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawing, running = threading.Event(), threading.Event()

    def run(image: str) -> ClassMap:
        if image == "b":
            assert drawing.wait(WAIT)  # that of a has begun
            running.set()
        return map_of(image)

    def draw(mapped: ClassMap, view: MapView) -> bytes:
        if mapped.image == "a":
            drawing.set()
            assert running.wait(WAIT)  # and it goes on while the net runs on b
        return mapped.image.encode()

    job = job_of(tmp_path, ["a", "b", "c"], run, draw, monkeypatch)
    results = list(job)
    assert [result.image for result in results] == ["a", "b", "c"]
    assert [result.error for result in results] == [None] * 3
    for name in "abc":
        assert (tmp_path / f"maps/{name}.png").read_text() == name


def test_what_fails_is_a_result_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(image: str) -> ClassMap:
        if image == "b":
            raise NetError("b: no map")
        return map_of(image)

    def draw(mapped: ClassMap, view: MapView) -> bytes:
        if mapped.image == "c":
            raise NetError("c: no picture")
        if mapped.image == "d":
            raise MemoryError
        return b"drawn"

    results = list(job_of(tmp_path, list("abcde"), run, draw, monkeypatch))
    assert [str(result.error or "") for result in results] == [
        "", "b: no map", "c: no picture", "d: not enough memory for this picture", "",
    ]  # fmt: skip
    assert [result.map is None for result in results] == [False, True, True, True, False]
    assert sorted(path.name for path in (tmp_path / "maps").iterdir()) == ["a.png", "e.png"]


@pytest.mark.parametrize("kind", ["budget", "system"])
def test_a_picture_without_memory_beside_another_is_mapped_alone(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished: list[str] = []
    tries: list[str] = []

    def refusal() -> NetsurgeryError:
        if kind == "budget":
            return MemoryLimitError("too large", what="b", needed=2, allowed=1, left=1)
        error = ImageError("b: not enough memory for this picture")
        error.__cause__ = MemoryError()
        return error

    tried = {name: threading.Event() for name in "bd"}

    def run(image: str) -> ClassMap:
        tries.append(image)
        if image in tried:
            tried[image].set()
        if image == "b" and "a" not in finished:
            raise refusal()
        if image == "d":
            raise refusal()
        return map_of(image)

    def draw(mapped: ClassMap, view: MapView) -> bytes:
        # Not done before the next has been tried.
        assert mapped.image == "b" or tried[chr(ord(mapped.image) + 1)].wait(WAIT)
        return b"drawn"

    job = job_of(tmp_path, list("abcd"), run, draw, monkeypatch)
    errors = []
    for result in job:
        finished.append(result.image)
        errors.append(result.error is None)
    assert tries == ["a", "b", "b", "c", "d", "d"]
    assert finished == list("abcd")
    assert errors == [True, True, True, False]


def test_results_that_are_not_asked_for_are_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_of(tmp_path, list("abc"), map_of, lambda mapped, view: b"drawn", monkeypatch)
    threads = threading.active_count()
    results = iter(job)
    assert next(results).image == "a"
    results.close()
    assert [path.name for path in (tmp_path / "maps").iterdir()] == ["a.png"]
    assert threading.active_count() == threads
