"""Whether two nets are the same function: outputs, params, and a map against its windows."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING

from netsurgery.engines.contract import Engine, EngineOptions, LoadedNet
from netsurgery.engines.registry import open_engine
from netsurgery.errors import NetError
from netsurgery.net import types
from netsurgery.net.effects import harmless
from netsurgery.net.inputs import declare_inputs, split_shapes
from netsurgery.net.net import NetDefinition, Shape
from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.net.shapes import describe
from netsurgery.surgery.difference.matching import first_writers, pair_blobs, same_order
from netsurgery.verbs.diff import ParamDifference, compare
from netsurgery.verbs.verify_gaps import Difference, gap_between, order_notes, settle_order
from netsurgery.verbs.verify_inputs import Samples, pair_inputs
from netsurgery.verbs.verify_map import MapCheck, MapGap, Unchecked, compare_maps, plan_maps

if TYPE_CHECKING:
    from netsurgery.verbs.verify_inputs import Feed

__all__ = ["TOLERANCE", "BlobGap", "Verification", "verify"]

#: The largest relative difference that rounding explains.
TOLERANCE = 1e-5


@dataclass(frozen=True)
class BlobGap:
    """A blob of the first net, its partner in the second, and how far apart they are.

    layer: the layer of the first net that makes the blob; "" for an input.
    """

    layer: str
    blob: str
    other: str
    gap: Difference


@dataclass(frozen=True)
class Verification:
    """What comparing found.

    engines: what ran the first net and the second. inputs: the first net's, and the shapes both
    were given. pictures, random: how many of the samples were pictures and how many random
    numbers. outputs: of every output, and of what goes into a Softmax or the like that makes one
    (which would hide differences), the largest gap of all samples. departs: the first blob, in
    file order, that is further apart than `tolerance`; it may be inside, and no output with it.
    maps: of the outputs, where the second net is full-conv; unchecked: those that it gives of its
    own input, and outputs, that could not be compared. notes: what the user should know.
    not_finite: the first blob with numbers that are not finite in either net.
    """

    engines: tuple[str, str]
    inputs: Mapping[str, Shape]
    pictures: int
    random: int
    tolerance: float
    outputs: tuple[BlobGap, ...]
    departs: BlobGap | None
    params: tuple[ParamDifference, ...]
    maps: tuple[MapGap, ...]
    notes: tuple[str, ...] = ()
    unchecked: tuple[Unchecked, ...] = ()
    not_finite: BlobGap | None = None

    @property
    def samples(self) -> int:
        """How many inputs were compared."""
        return self.pictures + self.random

    @property
    def same(self) -> bool:
        """Whether every output agrees, and every map compared that has no reason not to."""
        outputs = all(one.gap.within(self.tolerance) for one in self.outputs)
        return outputs and all(
            one.check.reasons or one.gap.within(self.tolerance) for one in self.maps
        )

    @property
    def verified(self) -> bool:
        """Whether all agrees, and nothing was left that could not be compared."""
        return self.same and not self.unchecked

    @property
    def worst(self) -> str:
        """What departs, in a line; "" where nothing does."""
        outputs = [one for one in self.outputs if not one.gap.within(self.tolerance)]
        if self.departs is not None:
            first = self.departs
            told = f"blob {first.blob!r} of layer {first.layer!r} is the first that departs, by "
            told += f"{first.gap.relative:.3g} relative"
            return told + "".join(
                f"; {one.blob!r} does by {one.gap.relative:.3g}" for one in outputs[-1:]
            )
        maps = [m for m in self.maps if not m.check.reasons and not m.gap.within(self.tolerance)]
        return "".join(
            f"cells of the map {m.check.other!r} differ by {m.gap.relative:.3g} relative from "
            "the classifier on their windows"
            for m in maps[:1]
        )


def verify(
    old: NetWithWeights,
    new: NetWithWeights,
    samples: Samples,
    engines: Sequence[EngineOptions],
    *,
    tolerance: float = TOLERANCE,
) -> Verification:
    """Run both nets on the same inputs and compare.

    engines: one for both, or one for each. Raises NetError where the nets' inputs or outputs
    cannot be set side by side, what is wrong with a file, and what an engine raises.
    """
    nets = _read(old, new, frozenset().union(*(one.allow for one in engines)))
    inputs, shapes = pair_inputs(*nets)
    found = compare((nets[0].prototxt, nets[1].prototxt), (old.weights, new.weights))
    pairs = pair_blobs(*nets, found.net.blobs)
    outputs = _pair_outputs(nets, pairs)
    with ExitStack() as stack:
        models = NetWithWeights(nets[0], old.weights), NetWithWeights(nets[1], new.weights)
        opened = _opened(engines, models, stack)
        loaded = tuple(
            stack.enter_context(engine.load(model.net, Path(model.path)))
            for engine, model in zip(opened, models, strict=True)
        )
        runner = _Runner(nets, (loaded[0], loaded[1]), inputs, shapes, tolerance)
        gaps = runner.outputs(samples, outputs)
        departs, not_finite = runner.first(samples, same_order(*nets, pairs))
        maps, unchecked = runner.maps(samples, outputs)
        params = settle_order(models, found.params)
        return Verification(
            (opened[0].description, opened[1].description),
            shapes,
            len(samples.pictures),
            samples.random,
            tolerance,
            tuple(gaps),
            departs,
            params,
            tuple(maps),
            _once(
                *(engine.note for engine in opened),
                samples.note,
                *_notes(nets, shapes, inputs, outputs, [*maps, *unchecked]),
                *_not_seen(nets, outputs),
                *order_notes(params),
                *_blank(gaps),
            ),
            (*unchecked, *_empty(gaps)),
            not_finite,
        )


def _read(
    old: NetWithWeights, new: NetWithWeights, allow: Collection[str]
) -> tuple[NetDefinition, NetDefinition]:
    """Both nets, with Input layers for data layers; shapes given go to whichever has the blob."""
    one, other = old.net, new.net
    if one.state.shapes == other.state.shapes:
        one, other = split_shapes(one, other)
    return _compared(one, allow), _compared(other, allow)


def _compared(net: NetDefinition, allow: Collection[str]) -> NetDefinition:
    """The net, with Input layers for data layers.

    Where layers do more than is allowed, it is what the net makes of its inputs: what is only
    written somewhere, or read and given to no layer, is not compared.
    """
    made = declare_inputs(net)
    tops = [top for layer in made.layers if layer.bottoms for top in layer.tops]
    return harmless(made, [*(one.name for one in made.inputs), *tops], allow)


def _once(*notes: str) -> tuple[str, ...]:
    """The notes, without empty ones and without those said before: both files may be one."""
    return tuple(dict.fromkeys(filter(None, notes)))


def _opened(
    options: Sequence[EngineOptions], models: Sequence[NetWithWeights], stack: ExitStack
) -> tuple[Engine, Engine]:
    """An engine for each of the two models, or the same one twice."""
    each = [models] if len(options) == 1 else [[model] for model in models]
    engines = [
        stack.enter_context(open_engine(one, run)) for one, run in zip(options, each, strict=True)
    ]
    return engines[0], engines[-1]


def _pair_outputs(
    nets: tuple[NetDefinition, NetDefinition], pairs: Mapping[str, str]
) -> dict[str, str]:
    """Each output of the first net, and what it may hide -> its partner in the second.

    By matched layers; those left over in file order, where both nets have as many. Raises NetError
    for an output without a partner.
    """
    found = {blob: pairs[blob] for blob in nets[0].outputs if blob in pairs}
    rest = [blob for blob in nets[0].outputs if blob not in found]
    taken = set(found.values())
    free = [blob for blob in nets[1].outputs if blob not in taken]
    if rest and len(rest) == len(free):
        found |= zip(rest, free, strict=True)
    elif rest:
        told = [", ".join(map(repr, net.outputs)) for net in nets]
        raise NetError(
            f"output {rest[0]!r} of {nets[0].prototxt.path} has no partner in "
            f"{nets[1].prototxt.path}: the outputs are {told[0]} and {told[1]}"
        )
    if not found:
        raise NetError(f"{nets[0].prototxt.path}: the net has no output that could be compared")
    ordered: dict[str, str] = {}
    for blob in nets[0].outputs:
        ordered |= _hidden(nets, blob, found[blob])
        ordered[blob] = found[blob]
    return ordered


def _hidden(nets: tuple[NetDefinition, NetDefinition], blob: str, other: str) -> dict[str, str]:
    """What goes into the layers that make two outputs, where these hide differences."""
    one, two = nets[0].last_writer(blob), nets[1].last_writer(other)
    if one is None or two is None or one.in_place or two.in_place:
        return {}
    hiding = one.type == two.type and types.hides_values(one)
    return {one.bottoms[0]: two.bottoms[0]} if hiding else {}


def _not_seen(nets: tuple[NetDefinition, NetDefinition], outputs: Mapping[str, str]) -> list[str]:
    """Outputs made by a layer that hides differences, in place, so that none can be seen."""
    notes = []
    for blob in nets[0].outputs:
        writers = nets[0].last_writer(blob), nets[1].last_writer(outputs[blob])
        for one in writers:
            if one is not None and one.in_place and types.hides_values(one):
                notes.append(
                    f"{one.type} {one.name!r} makes {blob!r} in place and may hide differences: "
                    "what goes into it was not compared"
                )
                break
    return notes


def _notes(
    nets: tuple[NetDefinition, NetDefinition],
    shapes: Mapping[str, Shape],
    inputs: Mapping[str, str],
    outputs: Mapping[str, str],
    maps: Sequence[MapGap | Unchecked],
) -> list[str]:
    notes = [f"{net.prototxt.path}: {note}" for net in nets for note in net.notes]
    taken = set(outputs.values())
    for blob in nets[1].outputs:
        if blob not in taken:
            notes.append(f"{nets[1].prototxt.path} has an output more, {blob!r}")
    declared = {one.name: one.shape for one in nets[1].inputs}
    for name, shape in shapes.items():
        own = declared[inputs[name]]
        if own is not None and own[2:] != shape[2:] and not maps:
            notes.append(
                f"{nets[1].prototxt.path} declares {describe(own)}, but no output is known to be "
                "a map of which each cell is the first net's answer on one window"
            )
    for one in nets[0].inputs:
        smaller = shapes[one.name]
        if one.shape is not None and one.shape[2:] != smaller[2:] and not maps:
            notes.append(
                f"{nets[0].prototxt.path} declares {describe(one.shape)}, compared at "
                f"{describe(smaller)}: what it gives of a larger input is compared only where it "
                "is the second net"
            )
    return notes


def _blank(gaps: Sequence[BlobGap]) -> list[str]:
    """Outputs that agree because there is nothing in them."""
    return [
        f"{one.blob!r} is 0 throughout, which tells little; has the first net its weights?"
        for one in gaps
        if one.gap.largest == 0 == one.gap.absolute and not one.gap.empty
    ]


def _empty(gaps: Sequence[BlobGap]) -> list[Unchecked]:
    """Outputs of which nothing could be compared."""
    return [
        Unchecked(one.blob, one.other, "none of its numbers is finite in either net", "output")
        for one in gaps
        if one.gap.empty
    ]


class _Runner:
    """Both nets, loaded."""

    def __init__(
        self,
        nets: tuple[NetDefinition, NetDefinition],
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
            replace(same[0], gap=reduce(Difference.joined, (one.gap for one in same)))
            for same in zip(*runs, strict=True)
        ]

    def first(
        self, samples: Samples, pairs: Mapping[str, str]
    ) -> tuple[BlobGap | None, BlobGap | None]:
        """The first blob that departs in any sample, and the first that is not finite in both."""
        order = {blob: index for index, blob in enumerate(pairs)}
        known = {blob: other for blob, other in pairs.items() if self._known(blob, other)}
        departing: list[BlobGap] = []
        broken: list[BlobGap] = []
        for feed in samples.feeds(self.nets[0], self.shapes):
            gaps = self._gaps(feed, known)
            departing += [one for one in gaps if not one.gap.within(self.tolerance)][:1]
            broken += [one for one in gaps if one.gap.not_finite][:1]
        firsts = (
            min(found, key=lambda one: order[one.blob], default=None)
            for found in (departing, broken)
        )
        return next(firsts), next(firsts)

    def _known(self, blob: str, other: str) -> bool:
        """Whether both engines have the blob, and as many numbers in either."""
        from math import prod

        one, two = (net.blobs.get(b) for net, b in zip(self.loaded, (blob, other), strict=True))
        return one is not None and two is not None and prod(one) == prod(two)

    def maps(
        self, samples: Samples, outputs: Mapping[str, str]
    ) -> tuple[list[MapGap], list[Unchecked]]:
        """Of every output that is a map of a larger input; and those that cannot be compared."""
        plans = plan_maps(*self.nets, self.inputs, self.shapes, outputs)
        groups: dict[object, list[MapCheck]] = {}
        for check in plans:
            if isinstance(check, MapCheck):
                groups.setdefault((check.shape, check.stride, check.cells), []).append(check)
        gaps = [gap for checks in groups.values() for gap in self._maps(samples, checks)]
        return gaps, [one for one in plans if isinstance(one, Unchecked)]

    def _maps(self, samples: Samples, checks: Sequence[MapCheck]) -> list[MapGap]:
        """Of outputs whose cells lie alike; each net runs once a sample for all of them."""
        name, shape = checks[0].input, checks[0].shape
        feeds = samples.large(self.nets[0], {name: shape})
        runs = [compare_maps(checks, *self.loaded, feed[name]) for feed in feeds]
        return [reduce(MapGap.joined, same) for same in zip(*runs, strict=True)]
