"""Every layer type, over random configurations: the embedded engine computes what Caffe does.

NETSURGERY_CONFORMANCE is how many configurations of each type are tried.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from parity.configurations import TRIALS, tolerance
from parity.conformance import Engines, difference, engines, measure
from parity.fork_configurations import FORK_TRIALS
from parity.references import PARAMS, REFERENCES

from netsurgery.engines.pycaffe import PycaffeEngine
from netsurgery.export.layers import CONVERTERS
from netsurgery.net import types

COUNT = int(os.environ.get("NETSURGERY_CONFORMANCE", "25"))

#: Types that Caffe runs and that compute nothing: there is nothing to compare.
NOTHING = {"Silence"}


@pytest.fixture(scope="module")
def both(live_caffe_engine: Callable[[], PycaffeEngine]) -> Iterator[Engines]:
    with engines(live_caffe_engine) as opened:
        yield opened


@pytest.mark.caffe
@pytest.mark.parametrize("kind", sorted(TRIALS))
def test_embedded_agrees_with_caffe(both: Engines, kind: str) -> None:
    apart = measure(both, kind, TRIALS[kind], COUNT, tolerance(kind))
    assert both.tried[kind] >= min(COUNT, 10)
    assert apart <= tolerance(kind)


@pytest.fixture(scope="module")
def embedded() -> Iterator[Engines]:
    def no_caffe() -> PycaffeEngine:
        raise AssertionError("a fork's type is held against its reference")

    with engines(no_caffe) as opened:
        yield opened


@pytest.mark.parametrize("kind", sorted(FORK_TRIALS))
def test_embedded_agrees_with_a_forks_definition(embedded: Engines, kind: str) -> None:
    apart = measure(embedded, kind, FORK_TRIALS[kind], COUNT, tolerance(kind))
    assert embedded.tried[kind] >= min(COUNT, 10)
    assert apart <= tolerance(kind)


def test_every_type_of_a_fork_that_runs_has_a_reference() -> None:
    running = {kind for kind, each in types.RECORDS.items() if each.runs}
    of_forks = {kind for kind in running if types.RECORDS[kind].origin != types.STOCK}
    assert of_forks == set(FORK_TRIALS) == set(REFERENCES)
    with_params = {kind for kind in of_forks if types.RECORDS[kind].params != ()}
    assert with_params == set(PARAMS)


def test_the_docs_have_a_row_for_each_type() -> None:
    text = (Path(__file__).parents[2] / "docs" / "conformance.md").read_text("utf-8")
    rows = {line.split(" | ")[0].strip("| ") for line in text.splitlines() if " | 200 | " in line}
    assert rows == {*TRIALS, *FORK_TRIALS}


#: What Caffe has and the embedded engine refuses: data of their own, training, code in Python,
#: and shapes that depend on values.
REFUSED = set(
    """
    Accuracy ContrastiveLoss Data EuclideanLoss Filter HDF5Data HDF5Output HingeLoss ImageData
    InfogainLoss LSTMUnit MemoryData MultinomialLogisticLoss Python SigmoidCrossEntropyLoss
    SoftmaxWithLoss WindowData
    """.split()
)


@pytest.mark.caffe
def test_every_type_of_caffe_is_tried_or_refused(caffe_engine: PycaffeEngine) -> None:
    of_caffe = set(caffe_engine.info()["layer_types"])
    assert set(CONVERTERS) & of_caffe - NOTHING == set(TRIALS)
    assert of_caffe - set(CONVERTERS) - {"Input"} == REFUSED


def test_difference_is_relative_and_strict() -> None:
    array = np.array([1, 2, 4], np.float32)
    assert difference(array + np.float32(0.5), array) == 0.125
    assert difference(array[:2], array) == float("inf")
    odd = np.array([1, np.nan, -3.4e38], np.float32)
    assert difference(odd, odd) == 0
    assert difference(np.array([1, 2, -3.4e38], np.float32), odd) == float("inf")
    assert difference(odd, array) == float("inf")
