"""Explanation by occlusion: a grey patch is moved over the input, and the net is run again.

After Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks" (2014). The patch is
put onto the preprocessed input, so that its value is exactly the grey named, and no resizing blurs
its edge. It begins at every multiple of the stride, and the last one at the far edge or beyond it:
every pixel is covered at least once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from netsurgery.engines.contract import EngineOptions
from netsurgery.errors import MemoryLimitError, NetsurgeryError
from netsurgery.formats.labels import Labels
from netsurgery.io.memory import Claim
from netsurgery.io.shape_text import shape_text
from netsurgery.io.wording import counted
from netsurgery.maps.cell_geometry import Geometry
from netsurgery.maps.explain import Occlusion
from netsurgery.maps.explainer import Explainer, PlacedValues
from netsurgery.maps.explanation import Method
from netsurgery.maps.map_source import MapSource
from netsurgery.maps.transformer import Transformer
from netsurgery.net.shapes import infer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

__all__ = ["OcclusionExplainer", "grey", "starts"]

#: Inputs that are run at once, at most.
_BATCH = 16


class OcclusionExplainer(Explainer):
    """Explains by occlusion."""

    def __init__(
        self,
        source: MapSource,
        transformer: Transformer,
        options: EngineOptions,
        occlusion: Occlusion,
        labels: Labels | None = None,
    ) -> None:
        super().__init__(source, transformer, options, str(occlusion.classes), labels)
        self._occlusion = occlusion
        if transformer.options.size != "image":
            occlusion.sizes(self._size)

    def _explained(
        self, data: Array, at: Geometry, blobs: Mapping[str, Array], numbers: Sequence[int]
    ) -> PlacedValues:
        size = (data.shape[2], data.shape[3])
        patch, stride = self._occlusion.sizes(size)
        rows, columns = (starts(size[i], patch[i], stride[i]) for i in range(2))
        corners = [(row, column) for row in rows for column in columns]
        fill = grey(self.transformer)
        chosen = list(numbers)
        whole = self._scores(blobs, data)[0, chosen]
        falls = np.empty((len(corners), len(chosen)), np.float32)
        for first, covered in self._batches(data, corners, patch, fill):
            last = first + len(covered)
            scores = self._scores(self.run(covered, [self.source.blob]), covered)
            falls[first:last] = whole - scores[:, chosen]
            if self.step_to is not None:
                self.step_to(last, len(corners))
        cells = len(rows), len(columns)
        return PlacedValues(
            falls.T.reshape(len(chosen), *cells).copy(),
            self.source.blob,
            Geometry(
                (float(stride[0]), float(stride[1])), (float(patch[0]), float(patch[1])),
                at.placement,
            ),
            self._method(patch, stride, fill),
        )  # fmt: skip

    def _batches(
        self, data: Array, corners: Sequence[tuple[int, int]], patch: tuple[int, int], fill: float
    ) -> Iterator[tuple[int, Array]]:
        """The input with the patch at some corners, and the number of the first of them."""
        count = self._batch(data.shape, len(corners))
        with Claim(count * data.nbytes, f"{counted(count, 'input')} of {shape_text(data.shape)}"):
            for first in range(0, len(corners), count):
                part = corners[first : first + count]
                covered = np.repeat(data, len(part), axis=0)
                for channels, (row, column) in zip(covered, part, strict=True):
                    channels[:, row : row + patch[0], column : column + patch[1]] = fill
                yield first, covered

    def _batch(self, shape: tuple[int, ...], most: int) -> int:
        """How many inputs are run at once: 1 where the net's text fixes the batch, and fewer where
        the memory is not there."""
        count = min(_BATCH, most)
        if not self._takes(count, shape):
            return 1
        loaded, name = self.load(), self.source.input.name
        while count > 1:
            inputs = {name: (count, *shape[1:])}
            try:
                loaded.check_memory(inputs, [self.source.blob], 4 * int(np.prod(inputs[name])))
            except MemoryLimitError:
                count //= 2
            else:
                break
        return count

    def _takes(self, count: int, shape: tuple[int, ...]) -> bool:
        """Whether the net gives as many rows of scores as it has inputs of a batch."""
        batch = {self.source.input.name: (count, *shape[1:])}
        try:
            return infer(self.source.net, batch).blobs.get(self.source.blob, ())[:1] == (count,)
        except NetsurgeryError:
            return False

    def _method(self, patch: tuple[int, int], stride: tuple[int, int], fill: float) -> Method:
        score = "probability" if self.source.is_probability else "score"
        return Method(
            "occlusion",
            f"the fall of the {score} where a patch of {shape_text(patch)} covers the input; "
            f"from one place to the next it is {shape_text(stride)} pixels",
            f"fall of the {score}",
            {"patch": list(patch), "stride": list(stride), "fill": fill},
        )


def starts(side: int, patch: int, stride: int) -> range:
    """Where patches begin along a side: the last reaches its end, or beyond.

    >>> list(starts(10, 4, 2)), list(starts(11, 4, 2)), list(starts(3, 4, 2))
    ([0, 2, 4, 6], [0, 2, 4, 6, 8], [0])
    """
    return range(0, side - patch + stride, stride) if side > patch else range(1)


def grey(transformer: Transformer) -> float:
    """The value of the patch in the preprocessed input: the mean, which is 0 once it is subtracted;
    else the middle of white and black."""
    if transformer.mean is not None:
        return 0.0
    raw = 1.0 if transformer.raw_scale is None else transformer.raw_scale
    scale = 1.0 if transformer.input_scale is None else transformer.input_scale
    return 0.5 * raw * scale
