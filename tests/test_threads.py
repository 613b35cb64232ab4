"""Threads that share an open net, a mapper or an extractor get the answers of their own inputs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import netsurgery as ns
from netsurgery.engines.ort import EmbeddedNet

Array = NDArray[np.float32]

DIGITS = "prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel"
SETTINGS = ns.Settings(*DIGITS)
THREADS = 4


@contextmanager
def net() -> Iterator[Callable[[Array], Any]]:
    with ns.Net(*DIGITS, engine="embedded") as net:
        yield lambda picture: net.forward(data=np.stack([picture[None]] * picture.shape[0]))["prob"]


@contextmanager
def mapper() -> Iterator[Callable[[Array], Any]]:
    with ns.open_mapper(SETTINGS, "embedded", blob="conv1", size="image") as mapper:
        yield lambda picture: mapper.map(picture).values


@contextmanager
def explainer() -> Iterator[Callable[[Array], Any]]:
    with ns.open_mapper(SETTINGS, "embedded", explain=ns.Occlusion(16)) as mapper:
        yield lambda picture: mapper.map(picture).values


@contextmanager
def extractor() -> Iterator[Callable[[Array], Any]]:
    with ns.open_extractor(SETTINGS, "embedded", ["conv1"], size="image") as extractor:
        yield lambda picture: extractor.extract(picture)[0].values


SHARED = [net, mapper, explainer, extractor]


@pytest.mark.parametrize("shared", SHARED)
def test_each_thread_gets_its_own(
    shared: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    forward, inside, met = EmbeddedNet.forward, [], []

    def watched(self: EmbeddedNet, *args: Any) -> dict[str, Array]:
        inside.append(self)
        met.append(len(inside))
        time.sleep(0.001)  # time for the others to come in, if they can
        try:
            return forward(self, *args)
        finally:
            inside.remove(self)

    random = np.random.default_rng(5)
    pictures = [random.random((32, 32), np.float32) for _ in range(8 * THREADS)]
    with shared() as run:
        expected = [run(picture) for picture in pictures]
        monkeypatch.setattr(EmbeddedNet, "forward", watched)
        with ThreadPoolExecutor(THREADS) as pool:
            results = list(pool.map(run, pictures))
    assert len(met) >= len(pictures)
    assert {*met} == {1}  # one at a time, however the threads happened to be scheduled
    for result, own in zip(results, expected, strict=True):
        np.testing.assert_array_equal(result, own)
