"""Both engines on the same net, random shapes, parameters, weights and inputs: how far apart?

    python tests/parity/conformance.py [CONFIGURATIONS [TYPE ...]]

prints two tables: layer type, configurations tried, largest relative difference. For a type of a
fork, which Caffe does not have, a reference written from the fork's definition stands for Caffe.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from math import prod
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from small_models import model_layer, write_model

from netsurgery.engines.contract import EngineOptions
from netsurgery.engines.ort import EmbeddedEngine, open_engine
from netsurgery.engines.pycaffe import CaffeNet, PycaffeEngine
from netsurgery.engines.pycaffe import open_engine as opened_caffe
from netsurgery.errors import NetsurgeryError
from netsurgery.net import types
from netsurgery.net.net import NetDefinition

__all__ = [
    "Engines",
    "Trial",
    "compare",
    "compare_reference",
    "difference",
    "engines",
    "measure",
    "param",
    "prototxt",
]

Array = NDArray[np.float32]
Shape = tuple[int, ...]

#: What an empty window of MAX pooling holds, and whatever else is too large to be compared.
HUGE = 1e38


@dataclass(frozen=True)
class Trial:
    """One layer to try.

    body: its fields but name, type, bottom and top. bottoms: the shapes. values: how each
    bottom is drawn: "normal", "positive", "distinct" (no two alike), "below N" (whole numbers),
    or "cont" (the sequence markers of a recurrent layer; "cont anywhere" where the first may go
    on), "boxes N SIZE" (regions of N pictures of that size), "places N" (no two alike below N in
    one map). tops: how many. positive_params: params that are drawn above 0. fixed_params: params
    that are one number throughout.
    """

    type: str
    body: str
    bottoms: tuple[Shape, ...]
    values: tuple[str, ...] = ("normal",)
    tops: int = 1
    in_place: bool = False
    positive_params: tuple[int, ...] = ()
    fixed_params: tuple[tuple[int, float], ...] = ()


@dataclass
class Engines:
    """Real Caffe, the embedded engine, and a folder for their files."""

    caffe: Callable[[], PycaffeEngine]
    embedded: EmbeddedEngine
    folder: Path
    tried: dict[str, int] = field(default_factory=dict)
    largest: dict[str, float] = field(default_factory=dict)


def prototxt(trial: Trial) -> str:
    """A net of inputs in0, in1 ... and the layer, its tops out0, out1 ..."""
    text = ""
    for i, shape in enumerate(trial.bottoms):
        dims = " ".join(f"dim: {dim}" for dim in shape)
        text += f'layer {{ name: "in{i}" type: "Input" top: "in{i}" '
        text += f"input_param {{ shape {{ {dims} }} }} }}\n"
    text += f'layer {{ name: "tried" type: "{trial.type}"'
    text += "".join(f' bottom: "in{i}"' for i in range(len(trial.bottoms)))
    text += "".join(f' top: "{top}"' for top in tops(trial))
    return f"{text} {trial.body} }}\n"


def tops(trial: Trial) -> list[str]:
    return ["in0"] if trial.in_place else [f"out{i}" for i in range(trial.tops)]


def drawn(how: str, shape: Shape, rng: np.random.Generator) -> Array:
    """Values of one bottom, away from the steps and poles of the functions tried (0, 0.5)."""
    kind, _, limit = how.partition(" ")
    if kind == "below":
        return rng.integers(0, int(limit), shape).astype(np.float32)
    if kind == "boxes":
        pictures, size = map(int, limit.split())
        return _boxes(pictures, size, shape, rng)
    if kind == "places":
        rows = [rng.permutation(int(limit))[: shape[2] * shape[3]] for _ in range(prod(shape[:2]))]
        return np.array(rows, np.float32).reshape(shape)
    if kind == "cont":
        # Whole sequences begin with 0; later zeros begin a new one.
        mask = (rng.random(shape) < 0.7).astype(np.float32)
        mask[0] *= limit == "anywhere"
        return mask
    if kind == "distinct":
        count = int(np.prod(shape))
        return (rng.permutation(count).reshape(shape) - count / 2 + 0.25).astype(np.float32)
    if kind == "ties":
        return rng.integers(0, 3, shape).astype(np.float32)
    values = rng.standard_normal(shape)
    values = np.abs(values) + 0.1 if kind == "positive" else values
    for step in (0.0, 0.5):
        near = np.abs(values - step) < 1e-3
        values = np.where(near, step + 2e-3, values)
    return values.astype(np.float32)


def _boxes(pictures: int, size: int, shape: Shape, rng: np.random.Generator) -> Array:
    """Rows of a picture's number and two corners, some of them outside or the wrong way round."""
    boxes = rng.integers(-size // 4, size + size // 4 + 1, (shape[0], 5)).astype(np.float32)
    boxes += rng.integers(0, 3, boxes.shape).astype(np.float32) / 4
    boxes[:, 0] = rng.integers(0, pictures, shape[0])
    return boxes.reshape(shape)


def difference(ours: Array, theirs: Array) -> float:
    """max|a - b| / max|b|; infinite where they differ in shape or in what is not finite."""
    if ours.shape != theirs.shape:
        return float("inf")
    odd = ~np.isfinite(theirs) | (np.abs(theirs) > HUGE)
    if not np.array_equal(ours[odd], theirs[odd], equal_nan=True):
        return float("inf")
    plain, ours_plain = theirs[~odd].astype(np.float64), ours[~odd].astype(np.float64)
    if not plain.size:
        return 0.0
    if not np.isfinite(ours_plain).all():
        return float("inf")
    return float(np.abs(plain - ours_plain).max() / max(np.abs(plain).max(), 1e-30))


def compare(engines: Engines, trial: Trial, seed: int) -> float:
    """The largest difference over the layer's tops; also, every blob's shape must agree."""
    rng = np.random.default_rng(seed)
    path, weights = engines.folder / "net.prototxt", engines.folder / "net.caffemodel"
    path.write_text(prototxt(trial))
    hows = (*trial.values, *["normal"] * len(trial.bottoms))
    inputs = {f"in{i}": drawn(hows[i], shape, rng) for i, shape in enumerate(trial.bottoms)}
    with engines.caffe().load(path) as theirs:
        randomize(theirs, trial, rng)
        theirs.save(weights)
        expected = theirs.forward(inputs, tops(trial))
        shapes = {name: shape for name, shape in theirs.blobs.items() if "_split_" not in name}
        with engines.embedded.load(path, weights) as ours:
            if dict(ours.blobs) != shapes:
                raise AssertionError(f"shapes {dict(ours.blobs)}, Caffe's {shapes}")
            actual = ours.forward(inputs, tops(trial))
    return max(difference(actual[top], expected[top]) for top in expected)


def randomize(net: CaffeNet, trial: Trial, rng: np.random.Generator) -> None:
    for layer, shapes in net.params.items():
        for index, shape in enumerate(shapes):
            net.set_param(layer, index, param(trial, index, shape, rng))


def param(trial: Trial, index: int, shape: Shape, rng: np.random.Generator) -> Array:
    values = rng.standard_normal(shape)
    if index in trial.positive_params:
        values = np.abs(values) + 0.1
    return np.asarray(np.full(shape, dict(trial.fixed_params).get(index, values)), np.float32)


def compare_reference(engines: Engines, kind: str, trial: Trial, seed: int) -> float:
    """The same between the embedded engine and the reference of a fork's type."""
    from parity.references import PARAMS, REFERENCES

    rng = np.random.default_rng(seed)
    path, weights = engines.folder / "net.prototxt", engines.folder / "net.caffemodel"
    path.write_text(prototxt(trial))
    layer = NetDefinition.read(path).layers[-1]
    hows = (*trial.values, *["normal"] * len(trial.bottoms))
    inputs = {f"in{i}": drawn(hows[i], shape, rng) for i, shape in enumerate(trial.bottoms)}
    shapes = PARAMS[kind](layer, list(trial.bottoms)) if kind in PARAMS else []
    params = [param(trial, index, shape, rng) for index, shape in enumerate(shapes)]
    write_model(weights, model_layer("tried", trial.type, *params))
    reference = REFERENCES[kind](layer, list(inputs.values()), params)
    with engines.embedded.load(path, weights) as ours:
        actual = ours.forward(inputs, tops(trial))
        for top, expected in zip(tops(trial), reference, strict=True):
            assert ours.blobs[top] == expected.shape, f"{ours.blobs[top]}, not {expected.shape}"
    return max(
        difference(actual[top], expected.astype(np.float32))
        for top, expected in zip(tops(trial), reference, strict=True)
    )


def measure(
    engines: Engines, kind: str, trials: st.SearchStrategy[Trial], count: int, within: float
) -> float:
    """Try `count` configurations; returns the largest difference.

    Against Caffe, or against the reference where the type is a fork's.

    Raises AssertionError for one that is more than `within` apart, or that an engine refuses.
    """
    engines.tried[kind], engines.largest[kind] = 0, 0.0

    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(trials, st.integers(0, 2**32 - 1))
    def attempt(trial: Trial, seed: int) -> None:
        try:
            if types.RECORDS[kind].origin == types.STOCK:
                apart = compare(engines, trial, seed)
            else:
                apart = compare_reference(engines, kind, trial, seed)
        except NetsurgeryError as error:
            raise AssertionError(f"{error}\n{prototxt(trial)}") from error
        engines.tried[kind] += 1
        assert apart <= within, f"{apart:.1e} apart\n{prototxt(trial)}"
        engines.largest[kind] = max(engines.largest[kind], apart)

    attempt()
    return engines.largest[kind]


@contextmanager
def engines(caffe: Callable[[], PycaffeEngine]) -> Iterator[Engines]:
    """The engines, opened and closed; `caffe` gives one that lives."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        yield Engines(caffe, stack.enter_context(open_engine(EngineOptions(threads=1))), folder)


def main(arguments: Sequence[str]) -> int:
    """Print the table; 1 if some type was too far apart."""
    from parity.configurations import TRIALS, tolerance
    from parity.fork_configurations import FORK_TRIALS

    count = int(arguments[0]) if arguments else 200
    bad = 0
    opened: list[PycaffeEngine] = []

    def live() -> PycaffeEngine:
        """A Caffe; a new one where a configuration that it refuses ended the last."""
        if not opened or not opened[-1].alive:
            opened.append(stack.enter_context(opened_caffe(EngineOptions(threads=1))))
        return opened[-1]

    with ExitStack() as stack, engines(live) as both:
        for trials in (TRIALS, FORK_TRIALS):
            chosen = [kind for kind in sorted(trials) if kind in (arguments[1:] or trials)]
            print("\n| layer type | configurations | largest difference |\n|---|---|---|")
            for kind in chosen:
                try:
                    apart = measure(both, kind, trials[kind], count, tolerance(kind))
                    print(f"| {kind} | {both.tried[kind]} | {apart:.1e} |", flush=True)
                except AssertionError as error:
                    bad = 1
                    print(f"| {kind} | FAILED | {error} |", flush=True)
    return bad


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
