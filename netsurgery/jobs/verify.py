"""Whether two nets are the same function: outputs, params, and a map against its windows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING

from netsurgery.engines.contract import Engine, EngineOptions, LoadedNet
from netsurgery.engines.registry import open_engine
from netsurgery.errors import NetError
from netsurgery.jobs.diff import ParamDifference, compare
from netsurgery.jobs.verify_gaps import Gap, gap_between
from netsurgery.jobs.verify_inputs import Samples, pair_inputs
from netsurgery.jobs.verify_map import MapGap, compare_map, plan_map
from netsurgery.net.net import Net, Shape
from netsurgery.net.shapes import Shapes, describe, infer
from netsurgery.surgery.blob_pairs import first_writers, pair_blobs

if TYPE_CHECKING:
    from netsurgery.jobs.verify_inputs import Feed

__all__ = ["TOLERANCE", "BlobGap", "Model", "Verification", "verify"]

#: The largest relative difference that rounding explains.
TOLERANCE = 1e-5


@dataclass(frozen=True)
class Model:
    """A net and its weights."""

    prototxt: Path
    weights: Path


@dataclass(frozen=True)
class BlobGap:
    """A blob of the first net, its partner in the second, and how far apart they are.

    layer: the layer of the first net that makes the blob; "" for an input.
    """

    layer: str
    blob: str
    other: str
    gap: Gap


@dataclass(frozen=True)
class Verification:
    """What comparing found.

    engines: what ran the first net and the second. inputs: the first net's, and the shapes both
    were given. outputs: of every output the largest gap of all samples. departs: the first blob,
    in file order, that is further apart than `tolerance`, where an output is. maps: of a full-conv
    second net. notes: what the user should know.
    """

    engines: tuple[str, str]
    inputs: Mapping[str, Shape]
    samples: int
    tolerance: float
    outputs: tuple[BlobGap, ...]
    departs: BlobGap | None
    params: tuple[ParamDifference, ...]
    maps: tuple[MapGap, ...]
    notes: tuple[str, ...] = ()

    @property
    def same(self) -> bool:
        """Whether every output agrees, and every map that has no reason not to."""
        outputs = all(one.gap.within(self.tolerance) for one in self.outputs)
        return outputs and all(
            one.check.reasons or one.gap.within(self.tolerance) for one in self.maps
        )

    @property
    def worst(self) -> str:
        """What departs most, and where that begins; "" where nothing departs."""
        outputs = [one for one in self.outputs if not one.gap.within(self.tolerance)]
        if outputs:
            one = max(outputs, key=lambda one: one.gap.relative)
            first = self.departs or one
            return (
                f"output {one.blob!r} differs by {one.gap.relative:.3g} relative, and the first "
                f"blob that departs is {first.blob!r} of layer {first.layer!r}"
            )
        maps = [m for m in self.maps if not m.check.reasons and not m.gap.within(self.tolerance)]
        return "".join(
            f"cells of the map {m.check.other!r} differ by {m.gap.relative:.3g} relative from "
            "the classifier on their windows"
            for m in maps[:1]
        )


def verify(
    old: Model,
    new: Model,
    samples: Samples,
    engines: Sequence[EngineOptions],
    *,
    tolerance: float = TOLERANCE,
) -> Verification:
    """Run both nets on the same inputs and compare.

    engines: one for both, or one for each. Raises NetError where the nets' inputs or outputs
    cannot be set side by side, what is wrong with a file, and what an engine raises.
    """
    nets = (Net.read(old.prototxt), Net.read(new.prototxt))
    inputs, shapes = pair_inputs(*nets)
    found = compare((nets[0].prototxt, nets[1].prototxt), (old.weights, new.weights))
    pairs = pair_blobs(*nets, found.net.blobs)
    outputs = _pair_outputs(nets, pairs, _shapes(nets, inputs, shapes))
    with ExitStack() as stack:
        opened = _opened(engines, stack)
        loaded = tuple(
            stack.enter_context(engine.load(model.prototxt, model.weights))
            for engine, model in zip(opened, (old, new), strict=True)
        )
        runner = _Runner(nets, (loaded[0], loaded[1]), inputs, shapes, tolerance)
        gaps = runner.outputs(samples, outputs)
        apart = any(not one.gap.within(tolerance) for one in gaps)
        departs = runner.departs(samples, pairs) if apart else None
        maps = runner.maps(samples, outputs)
        return Verification(
            (opened[0].description, opened[1].description),
            shapes,
            len(samples),
            tolerance,
            tuple(gaps),
            departs,
            found.params,
            tuple(maps),
            tuple(_notes(nets, shapes, inputs, outputs, maps)),
        )


def _opened(options: Sequence[EngineOptions], stack: ExitStack) -> tuple[Engine, Engine]:
    """Two engines, or the same one twice."""
    engines = [stack.enter_context(open_engine(one)) for one in options]
    return engines[0], engines[-1]


def _shapes(
    nets: tuple[Net, Net], inputs: Mapping[str, str], shapes: Mapping[str, Shape]
) -> tuple[Shapes, Shapes]:
    return infer(nets[0], shapes), infer(nets[1], {inputs[k]: v for k, v in shapes.items()})


def _pair_outputs(
    nets: tuple[Net, Net], pairs: Mapping[str, str], shapes: tuple[Shapes, Shapes]
) -> dict[str, str]:
    """Each output of the first net -> its partner in the second.

    By matched layers; those left over in file order, where both nets have as many. Raises NetError
    for an output without a partner.
    """
    found = {blob: pairs[blob] for blob in nets[0].outputs if blob in pairs}
    rest = [blob for blob in nets[0].outputs if blob not in found]
    free = [blob for blob in nets[1].outputs if blob not in found.values()]
    if rest and len(rest) == len(free):
        found |= zip(rest, free, strict=True)
    elif rest:
        told = [", ".join(map(repr, net.outputs)) for net in nets]
        raise NetError(
            f"output {rest[0]!r} of {nets[0].prototxt.path} has no partner in "
            f"{nets[1].prototxt.path}: the outputs are {told[0]} and {told[1]}"
        )
    return {blob: found[blob] for blob in nets[0].outputs}


def _notes(
    nets: tuple[Net, Net],
    shapes: Mapping[str, Shape],
    inputs: Mapping[str, str],
    outputs: Mapping[str, str],
    maps: Sequence[MapGap],
) -> list[str]:
    notes = []
    for blob in nets[1].outputs:
        if blob not in outputs.values():
            notes.append(f"{nets[1].prototxt.path} has an output more, {blob!r}")
    declared = {one.name: one.shape for one in nets[1].inputs}
    for name, shape in shapes.items():
        own = declared[inputs[name]]
        if own is not None and own[2:] != shape[2:] and not maps:
            notes.append(
                f"{nets[1].prototxt.path} declares {describe(own)}, but no output is known to be "
                "a map of which each cell is the first net's answer on one window"
            )
    return notes


class _Runner:
    """Both nets, loaded."""

    def __init__(
        self,
        nets: tuple[Net, Net],
        loaded: tuple[LoadedNet, LoadedNet],
        inputs: Mapping[str, str],
        shapes: Mapping[str, Shape],
        tolerance: float,
    ) -> None:
        self.nets, self.loaded, self.inputs, self.shapes = nets, loaded, inputs, shapes
        self.tolerance = tolerance
        self.writers = first_writers(nets[0])
        for net, wanted in zip(loaded, (shapes, self._renamed(shapes)), strict=True):
            if dict(net.inputs) != dict(wanted):
                net.reshape(wanted)

    def _renamed(self, values: Mapping[str, Shape]) -> dict[str, Shape]:
        return {self.inputs[name]: value for name, value in values.items()}

    def _gaps(self, feed: Feed, pairs: Mapping[str, str]) -> list[BlobGap]:
        """How far apart the blobs are for one sample."""
        old, new = self.loaded
        one = old.forward(feed, list(pairs))
        renamed = {self.inputs[name]: array for name, array in feed.items()}
        other = new.forward(renamed, list(dict.fromkeys(pairs.values())))
        return [
            BlobGap(self._layer(a), a, b, gap_between(one[a], other[b])) for a, b in pairs.items()
        ]

    def _layer(self, blob: str) -> str:
        return self.writers[blob].name if blob in self.writers else ""

    def outputs(self, samples: Samples, outputs: Mapping[str, str]) -> list[BlobGap]:
        """Of every output the largest gap of all samples."""
        runs = [self._gaps(feed, outputs) for feed in samples.feeds(self.nets[0], self.shapes)]
        return [
            BlobGap(
                first.layer, first.blob, first.other, reduce(Gap.joined, (one.gap for one in same))
            )
            for first, *rest in zip(*runs, strict=True)
            for same in [[first, *rest]]
        ]

    def departs(self, samples: Samples, pairs: Mapping[str, str]) -> BlobGap | None:
        """The first blob that departs in any sample."""
        order = {blob: index for index, blob in enumerate(pairs)}
        first: BlobGap | None = None
        known = {blob: other for blob, other in pairs.items() if self._known(blob, other)}
        for feed in samples.feeds(self.nets[0], self.shapes):
            for one in self._gaps(feed, known):
                if one.gap.within(self.tolerance):
                    continue
                if first is None or order[one.blob] < order[first.blob]:
                    first = one
                break
        return first

    def _known(self, blob: str, other: str) -> bool:
        """Whether both engines have the blob, and as many numbers in either."""
        from math import prod

        one, two = (net.blobs.get(b) for net, b in zip(self.loaded, (blob, other), strict=True))
        return one is not None and two is not None and prod(one) == prod(two)

    def maps(self, samples: Samples, outputs: Mapping[str, str]) -> list[MapGap]:
        """Of every output that is a map of a larger input."""
        made = []
        for pair in outputs.items():
            check = plan_map(*self.nets, self.inputs, self.shapes, pair)
            if check is None:
                continue
            feeds = samples.large(self.nets[0], {check.input: check.shape})
            gaps = (compare_map(check, *self.loaded, feed[check.input]) for feed in feeds)
            made.append(reduce(MapGap.joined, gaps))
        return made
