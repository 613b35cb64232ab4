"""Maps for tests of their page, what stands in a page's text, and a reader of its values."""

from __future__ import annotations

import base64
import json
import re
import zlib
from html.parser import HTMLParser
from typing import Any

import numpy as np

from netsurgery.formats.labels import Labels
from netsurgery.maps.cell_geometry import Geometry
from netsurgery.maps.classmap import ClassMap
from netsurgery.maps.image import Picture
from netsurgery.maps.page.document import page
from netsurgery.maps.page.record import map_part
from netsurgery.maps.transformer import place

#: Names that would be markup, script, or a text of the other direction.
HOSTILE = (
    "<script>window.broken = 1</script>",
    "</script><img src=x onerror='window.broken = 1'>",
    "\"quoted\" 'twice' `thrice` \\ back",
    "<!-- open",
    "]]> & &lt; &#60; {{script}} ${1}",
    "line\u2028and\u2029paragraph",
    "\u202eright to left\u202c \u0634\u0645\u0633",
    "a lone \udc80 surrogate",
    "\U0001f431 cat",
)


def softmax(values: Any) -> Any:
    powers = np.exp(values - values.max(axis=0))
    return powers / powers.sum(axis=0)


def made_map(
    values: Any,
    *,
    labels: tuple[str, ...] | None = None,
    name: str = "folder/cat.png",
    probability: bool = False,
    stride: float = 8.0,
    window: float = 24.0,
) -> ClassMap:
    """A map of C x H x W values; its windows lie every `stride` pixels of the picture.

    It holds none of the budget of memory: modules keep such maps for as long as tests run.
    """
    values = np.asarray(values, np.float32)
    size = tuple(round(window + stride * (count - 1)) for count in values.shape[1:])
    down, across = np.mgrid[: size[0], : size[1]]
    pixels = np.stack([down % 256, across % 256, (down + across) % 256], -1).astype(np.uint8)
    class_map = ClassMap(
        Picture(name, pixels),
        values,
        "prob",
        probability,
        "data",
        Geometry((stride, stride), (window, window), place(pixels.shape[:2], pixels.shape[:2])),
        None if labels is None else Labels("labels", labels),
        "an engine",
    )
    class_map.claim.close()
    return class_map


def page_of(*maps: ClassMap, **options: Any) -> str:
    """The page of these maps."""
    parts = [map_part(each, **options) for each in maps]
    for each in maps:
        each.claim.close()
    return page(parts).decode("ascii")


def records(text: str) -> list[dict[str, Any]]:
    """What is said of each map in a page."""
    parts = re.findall(r'<script type="application/json" class="map">(.*?)</script>', text, re.S)
    return [json.loads(record) for record in parts]


def elements(text: str) -> list[tuple[str, dict[str, str | None]]]:
    """The tags of a page, each with its attributes."""
    opened: list[tuple[str, dict[str, str | None]]] = []

    class Tags(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            opened.append((tag, dict(attrs)))

    Tags().feed(text)
    return opened


class Values:
    """A map's values as they are in a page, read by the description in codes.py."""

    def __init__(self, record: dict[str, Any]) -> None:
        self.bytes = zlib.decompress(base64.b64decode(record["values"]))
        self.at = 0
        rows, columns = record["map"]
        cells, shared = rows * columns, record["shared"]
        numbers = [row[0] for row in record["classes"]]
        first = min(5, record["classCount"])
        #: The likeliest classes of each cell.
        self.order = np.array(numbers)[self._array(4, first * cells)].reshape(first, cells)
        counts = self._array(4, len(numbers) - shared)
        steps = self._array(4, int(counts.sum()))
        mantissa, exponent, low, self.last = record["step"]
        #: Half of it is how far a value may be off.
        self.step = mantissa * 10.0**exponent
        #: Values by class and cell; NaN where none is kept.
        self.values = np.full((record["classCount"], cells), np.nan)
        planes = self._steps(shared * cells).reshape(shared, rows, columns)
        codes = planes.cumsum(axis=1).cumsum(axis=2).reshape(shared, cells) % (1 << 16)
        self.values[numbers[:shared]] = (codes + low - 1) * self.step
        others, start = self._steps(len(steps)).cumsum() % (1 << 16), 0
        for number, count in zip(numbers[shared:], counts, strict=True):
            places = np.cumsum(steps[start : start + count]) - 1
            self.values[number, places] = (others[start : start + count] + low - 1) * self.step
            start += count
        assert self.at == len(self.bytes)

    @property
    def count(self) -> int:
        return int(np.isfinite(self.values).sum())

    def _array(self, width: int, count: int) -> Any:
        planes = np.frombuffer(self.bytes, np.uint8, width * count, self.at).reshape(width, count)
        self.at += width * count
        return sum(plane.astype(np.int64) << 8 * at for at, plane in enumerate(planes))

    def _steps(self, count: int) -> Any:
        steps = self._array(2, count)
        return np.where(steps % 2, -(steps + 1) // 2, steps // 2)
