"""Two nets run on the same inputs, and their blobs compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import reduce
from math import prod
from typing import TYPE_CHECKING

from netsurgery.engines.contract import LoadedNet
from netsurgery.net.net import NetDefinition, Shape
from netsurgery.surgery.difference.matching import first_writers
from netsurgery.verbs.array_difference import Difference, difference_between
from netsurgery.verbs.verify_inputs import Samples
from netsurgery.verbs.verify_map import compare_maps, plan_maps
from netsurgery.verbs.verify_means import mean_over
from netsurgery.verbs.verify_result import (
    BlobDifference,
    MapCheck,
    MapDifference,
    MeanCells,
    Unchecked,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from netsurgery.verbs.verify_inputs import Feed

    Array = NDArray[np.float32]

__all__ = ["NetPair"]


class NetPair:
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
        for net, expected in zip(loaded, (shapes, self._renamed(shapes)), strict=True):
            if dict(net.inputs) != dict(expected):
                net.reshape(expected)

    def _renamed(self, values: Mapping[str, Shape]) -> dict[str, Shape]:
        return {self.inputs[name]: value for name, value in values.items()}

    def _compared(
        self, feed: Feed, pairs: Mapping[str, str], means: Mapping[str, MeanCells]
    ) -> list[BlobDifference]:
        """How far apart the blobs are for one sample; of `means` the mean over these cells."""
        if not pairs:
            return []
        old, new = self.loaded
        before = old.forward(feed, list(pairs))
        renamed = {self.inputs[name]: array for name, array in feed.items()}
        after = new.forward(renamed, list(dict.fromkeys(pairs.values())))
        return [
            BlobDifference(
                self._layer(a), a, b, _difference(before[a], after[b], means.get(a)), means.get(a)
            )
            for a, b in pairs.items()
        ]

    def _layer(self, blob: str) -> str:
        return self.writers[blob].name if blob in self.writers else ""

    def outputs(
        self, samples: Samples, outputs: Mapping[str, str], means: Mapping[str, MeanCells]
    ) -> list[BlobDifference]:
        """Of every output the largest difference of all samples; of `means` that of the mean."""
        feeds = samples.feeds(self.nets[0], self.shapes)
        runs = [self._compared(feed, outputs, means) for feed in feeds]
        return [
            replace(
                blob[0], difference=reduce(Difference.joined, (each.difference for each in blob))
            )
            for blob in zip(*runs, strict=True)
        ]

    def first(
        self, samples: Samples, pairs: Mapping[str, str]
    ) -> tuple[BlobDifference | None, BlobDifference | None]:
        """The first blob that differs in any sample, and the first that is not finite in both."""
        order = {blob: index for index, blob in enumerate(pairs)}
        known = {blob: new for blob, new in pairs.items() if self._known(blob, new)}
        differing: list[BlobDifference] = []
        broken: list[BlobDifference] = []
        for feed in samples.feeds(self.nets[0], self.shapes):
            blobs = self._compared(feed, known, {})
            # The earliest of each sample's first is the first of all.
            differing += [b for b in blobs if not b.difference.within(self.tolerance)][:1]
            broken += [b for b in blobs if b.difference.not_finite][:1]
        first, second = (
            min(blobs, key=lambda each: order[each.blob], default=None)
            for blobs in (differing, broken)
        )
        return first, second

    def _known(self, blob: str, new_blob: str) -> bool:
        """Whether both engines have the blob, and as many numbers in either."""
        old, new = self.loaded
        shape, new_shape = old.blobs.get(blob), new.blobs.get(new_blob)
        return shape is not None and new_shape is not None and prod(shape) == prod(new_shape)

    def maps(
        self, samples: Samples, outputs: Mapping[str, str]
    ) -> tuple[list[MapDifference], list[Unchecked]]:
        """Of every output that is a map of a larger input; and those that cannot be compared."""
        plans = plan_maps(*self.nets, self.inputs, self.shapes, outputs)
        groups: dict[object, list[MapCheck]] = {}
        for check in plans:
            if isinstance(check, MapCheck):
                # Outputs of one geometry share the runs on all windows.
                groups.setdefault((check.shape, check.stride, check.cells), []).append(check)
        maps = [each for checks in groups.values() for each in self._maps(samples, checks)]
        return maps, [plan for plan in plans if isinstance(plan, Unchecked)]

    def _maps(self, samples: Samples, checks: Sequence[MapCheck]) -> list[MapDifference]:
        """Of outputs whose cells lie alike; each net runs once a sample for all of them."""
        name, shape = checks[0].input, checks[0].shape
        feeds = samples.large(self.nets[0], {name: shape})
        runs = [compare_maps(checks, *self.loaded, feed[name]) for feed in feeds]
        return [reduce(MapDifference.joined, same) for same in zip(*runs, strict=True)]


def _difference(before: Array, after: Array, mean: MeanCells | None) -> Difference:
    if mean is None:
        return difference_between(before, after)
    # Of the shapes of the blobs themselves.
    apart = difference_between(before, mean_over(after, mean))
    return replace(apart, new_shape=after.shape)
