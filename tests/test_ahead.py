"""Of many pictures of one size each thread runs the net on its own: no bit may come of that."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import netsurgery as ns
from netsurgery.engines.ort import EmbeddedNet
from netsurgery.engines.pycaffe import PycaffeEngine
from netsurgery.errors import EngineError, EngineFailed
from netsurgery.maps import ahead
from netsurgery.maps.ahead import Ahead

NET = ("digits_deploy_full_conv.prototxt", "digits_full_conv.caffemodel")
MODEL = ns.Settings(*NET)
TWO = ns.EngineOptions("embedded", threads=2)
#: Enough for it to be worth it, and some in another place.
PICTURES = [
    np.random.default_rng(seed).integers(0, 256, (40, 52 - 8 * (seed % 2), 1), np.uint8)
    for seed in range(ahead._WORTH + 8)
]

Forward = Callable[[Mapping[str, Any]], dict[str, Any]]

pytestmark = pytest.mark.usefixtures("converted_net")


def maps(pictures: Iterable[Any], **options: Any) -> list[Any]:
    """Digits' scores at each cell."""
    results = ns.classify_maps(pictures, MODEL, **{"engine": TWO, "blob": "prob", **options})
    return [result.values.copy() for result in results]


def features(pictures: list[Any]) -> list[Any]:
    results = ns.extract_features(pictures, ["pool1", "prob"], MODEL, engine=TWO)
    return [np.concatenate([blob.values.ravel() for blob in each.values()]) for each in results]


@pytest.fixture
def ran_ahead(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the threads in which the net was run on a picture ahead, one for each."""
    threads: list[str] = []
    forwarded = Ahead._forwarded

    def counting(self: Ahead, *words: Any) -> Any:
        values = forwarded(self, *words)
        threads.extend([threading.current_thread().name] if values else [])
        return values

    monkeypatch.setattr(Ahead, "_forwarded", counting)
    return threads


@pytest.fixture
def forwards(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Forward], Forward]], None]:
    """Have what threads call to run the net be another function, made of it."""
    at_once = EmbeddedNet.at_once

    def change(with_fault: Callable[[Forward], Forward]) -> None:
        def changed(self: EmbeddedNet, *words: Any) -> tuple[int, Forward]:
            count, forward = at_once(self, *words)
            return count, with_fault(forward)

        monkeypatch.setattr(EmbeddedNet, "at_once", changed)

    return change


@pytest.mark.parametrize("give", [maps, features])
def test_many_give_the_bits_of_each_by_itself(
    give: Callable[[list[Any]], list[Any]], ran_ahead: list[str]
) -> None:
    together = give(PICTURES)
    assert len(ran_ahead) > ahead._WORTH
    assert len(set(ran_ahead)) > 1
    count = len(ran_ahead)
    alone = [values for picture in PICTURES for values in give([picture])]
    assert len(ran_ahead) == count
    for each, single in zip(together, alone, strict=True):
        np.testing.assert_array_equal(each, single)


def test_each_size_is_tried_by_itself(ran_ahead: list[str]) -> None:
    together = maps(PICTURES, size="image")
    assert len(ran_ahead) > ahead._WORTH
    alone = [maps([picture], size="image")[0] for picture in PICTURES]
    assert len({each.shape for each in together}) == 2
    for each, single in zip(together, alone, strict=True):
        np.testing.assert_array_equal(each, single)


def test_how_many_come_need_not_be_known(ran_ahead: list[str]) -> None:
    files = [f"{number}.png" for number in range(len(PICTURES))]
    for file, picture in zip(files, PICTURES, strict=True):
        Image.fromarray(picture[..., 0]).save(file)
    together = maps(iter(files))
    assert 0 < len(ran_ahead) <= len(files) - ahead._WORTH
    np.testing.assert_array_equal(together, maps(PICTURES))


def test_what_may_change_behind_the_next_is_not_run_ahead(ran_ahead: list[str]) -> None:
    assert len(maps(iter(PICTURES))) == len(PICTURES)
    assert not ran_ahead


def test_a_few_are_not_worth_it(ran_ahead: list[str]) -> None:
    assert len(maps(PICTURES[: ahead._WORTH])) == ahead._WORTH
    assert not ran_ahead


def test_one_thread_runs_on_one_picture(ran_ahead: list[str]) -> None:
    assert maps(PICTURES, engine=ns.EngineOptions("embedded", threads=1))
    assert not ran_ahead


def test_a_bit_that_differs_stops_it(
    forwards: Callable[[Callable[[Forward], Forward]], None], ran_ahead: list[str]
) -> None:
    """It would be another digit of one score of one cell."""

    def with_fault(forward: Forward) -> Forward:
        def changed(inputs: Mapping[str, Any]) -> dict[str, Any]:
            values = forward(inputs)
            first = values["prob"].reshape(-1)[:1]
            first[...] = np.nextafter(first, np.float32(1))
            return values

        return changed

    expected = maps(PICTURES)
    assert ran_ahead
    ran_ahead.clear()
    forwards(with_fault)
    np.testing.assert_array_equal(maps(PICTURES), expected)
    assert not ran_ahead


@pytest.mark.parametrize("error", [EngineFailed("it broke"), MemoryError()])
def test_a_thread_that_fails_leaves_it_to_the_common_way(
    forwards: Callable[[Callable[[Forward], Forward]], None],
    ran_ahead: list[str],
    error: Exception,
) -> None:
    calls: list[None] = []

    def with_fault(forward: Forward) -> Forward:
        def failing(inputs: Mapping[str, Any]) -> dict[str, Any]:
            calls.append(None)
            if len(calls) > 10:
                raise error
            return forward(inputs)

        return failing

    expected = maps(PICTURES)
    ran_ahead.clear()
    forwards(with_fault)
    np.testing.assert_array_equal(maps(PICTURES), expected)
    assert 0 < len(ran_ahead) < 10


def test_threads_get_what_their_own_inputs_give() -> None:
    with ns.open_engine(TWO) as engine, engine.load(*map(Path, NET)) as net:
        net.reshape({"data": (1, 1, 80, 96)})
        inputs = [
            {"data": np.random.default_rng(seed).random((1, 1, 80, 96), np.float32)}
            for seed in range(24)
        ]
        expected = [net.forward(each, ["prob", "pool1"]) for each in inputs]
        count, forward = net.at_once(["prob", "pool1"], 8)
        assert count == 2
        results: dict[int, dict[str, Any]] = {}

        def run(first: int) -> None:
            for number in range(first, len(inputs), 4):
                results[number] = forward(inputs[number])

        threads = [threading.Thread(target=run, args=(first,)) for first in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for number, values in enumerate(expected):
            for blob, array in values.items():
                np.testing.assert_array_equal(results[number][blob], array)


@pytest.mark.usefixtures("fresh_budget")
def test_they_take_no_memory_that_something_else_needs() -> None:
    with ns.open_engine(TWO) as engine, engine.load(*map(Path, NET)) as net:
        net.reshape({"data": (1, 1, 32, 32)})
        needed = net.memory({}, ["prob"])
        ns.set_max_memory(3 * needed)
        assert net.at_once(["prob"], 8)[0] == 1
        ns.set_max_memory(6 * needed)
        count, forward = net.at_once(["prob"], 8)
        assert count == 2
        zeros = {"data": np.zeros((1, 1, 32, 32), np.float32)}
        assert forward(zeros)["prob"].shape == (1, 11, 1, 1)
        net.reshape({"data": (1, 1, 320, 320)})
        ns.set_max_memory(net.memory({}, ["prob"]) + needed)
        net.check_memory({}, ["prob"])
        with pytest.raises(EngineError, match="one thread at a time"):
            forward(zeros)


@pytest.mark.usefixtures("fresh_budget")
def test_a_param_that_is_set_is_that_of_all() -> None:
    with ns.open_engine(TWO) as engine, engine.load(*map(Path, NET)) as net:
        _, forward = net.at_once(["prob"], 8)
        net.set_param("ip2-conv", 1, np.zeros(11, np.float32))
        with pytest.raises(EngineError, match="one thread at a time"):
            forward({"data": np.zeros((1, 1, 32, 32), np.float32)})


@pytest.mark.caffe
def test_in_caffe_they_take_turns(caffe_engine: PycaffeEngine) -> None:
    with caffe_engine.load(*map(Path, NET)) as net:
        count, forward = net.at_once(["prob"], 8)
        assert count == 1
        zeros = {"data": np.zeros(net.inputs["data"], np.float32)}
        expected = net.forward(zeros, ["prob"])["prob"]
        np.testing.assert_array_equal(forward(zeros)["prob"], expected)
