"""A class map: what a fully convolutional net says about every window of a picture."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from netsurgery.errors import NetError
from netsurgery.formats.labels import Labels
from netsurgery.io.argument_types import checks_arguments
from netsurgery.io.memory import Claim
from netsurgery.io.shape_text import shape_text
from netsurgery.io.short_repr import short_repr
from netsurgery.io.wording import counted
from netsurgery.maps.class_names import LIKELIEST, ClassNames, most_common_background
from netsurgery.maps.row_blocks import (
    argmax_by_rows,
    claim_more,
    map_memory,
    order_memory,
    row_blocks,
    top_by_rows,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

    from netsurgery.maps.boxes import MapBox
    from netsurgery.maps.cell_geometry import Geometry
    from netsurgery.maps.image import Picture
    from netsurgery.maps.map_text import TextStyle
    from netsurgery.maps.picture_look import PictureLook
    from netsurgery.maps.scales import Scales

    Array = NDArray[np.float32]
    Boxes = NDArray[np.float64]
    Numbers = NDArray[np.intp]

__all__ = ["ClassCount", "ClassMap", "HoldsNaN", "said_notes"]

#: Rows of the table of classes in a map as text.
_SUMMARY = 10


class HoldsNaN(NetError):
    """A map with NaN in it has no likeliest classes; `values`, C x H x W, are there to look at."""

    def __init__(self, what: str, values: Array) -> None:
        super().__init__(what)
        self.values = values


@dataclass(frozen=True)
class ClassCount:
    """A class that is the likeliest of some cell: how many cells, and its highest score there."""

    number: int
    label: str
    cells: int
    best: float


@dataclass(frozen=True, eq=False, repr=False)
class ClassMap:
    """What a fully convolutional net says of every window of a picture.

    picture: what the map is of. values: float32 C x H x W, no NaN. blob: the blob they are from.
    is_probability: whether a Softmax over the classes made the blob; else its values are scores.
    input: the name of the net's input. geometry: where the cells lie. engine: what ran the net.
    notes: what to know of this map, by kind. background_name: the class that was named as the
    background, "none" for no class, None where nothing was said. channels: of the net's input, 1
    or 3. scales: those whose maps these are, None for one. boxes: those found in the picture, the
    surest first, None where none were looked for. Raises HoldsNaN for values with NaN.

    As text it is a short summary; in a notebook it is a page to explore.

    >>> import netsurgery as ns
    >>> paths = "prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel"
    >>> result = ns.convert(*paths, "map", input_size=(192, 288))
    >>> settings = ns.read_settings("map/netsurgery.toml")
    >>> class_map = ns.classify_map("examples/digits_canvas.png", settings, engine="embedded")
    >>> class_map.shape, class_map.argmax().shape, class_map.top(3).shape
    ((21, 33), (21, 33), (3, 21, 33))
    >>> class_map.windows()[0, 0].tolist(), class_map.find_class("7"), class_map.label(7)
    ([0.0, 0.0, 32.0, 32.0], 7, '')
    >>> class_map.to_picture("7").save("sevens.png")
    >>> class_map.background, class_map.picture_file("each", suffix=".svg")[:4]
    (10, b'<svg')
    >>> class_map.class_of(7), class_map.drawn("max"), class_map.first_shown
    (7, 'max', None)
    >>> class_map.scored, class_map.listed_as, class_map.meaning, class_map.facts(7)
    ('probability', 'found', '', None)
    >>> len(class_map.to_text().splitlines()), len(class_map.to_text(summary=True).splitlines())
    (35, 12)
    """

    picture: Picture
    values: Array
    blob: str
    is_probability: bool
    input: str
    geometry: Geometry
    labels: Labels | None = None
    engine: str = ""
    notes: Mapping[str, str] = field(default_factory=dict)
    background_name: str | None = None
    channels: int = 3
    scales: Scales | None = None
    boxes: tuple[MapBox, ...] | None = None

    #: The memory of what is worked out of the values.
    claim: Claim = field(init=False)

    def __post_init__(self) -> None:
        claim = Claim(map_memory(self.values.shape), f"{self.image}: its map")
        object.__setattr__(self, "claim", claim)
        bad = self._cells_with_nan()
        if bad:
            raise HoldsNaN(
                f"{self.image}: blob {self.blob!r} holds NaN in {bad} of "
                f"{counted(math.prod(self.shape), 'cell')}; check the weights and the "
                "preprocessing",
                self.values,
            )
        if self.labels is not None:
            self.labels.check(self.classes, self.blob)

    def _cells_with_nan(self) -> int:
        return sum(
            int(np.isnan(self.values[:, rows]).any(axis=0).sum())
            for rows in row_blocks(self.values.shape)
        )

    @property
    def image(self) -> str:
        """The picture's name."""
        return self.picture.name

    @property
    def scored(self) -> str:
        """What the values are called: "probability" or "score"."""
        return "probability" if self.is_probability else "score"

    @property
    def classes(self) -> int:
        """C, the number of classes."""
        return int(self.values.shape[0])

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return int(self.values.shape[1]), int(self.values.shape[2])

    def argmax(self) -> Numbers:
        """The likeliest class of each cell, H x W; of equals the lowest number."""
        return self.likeliest.astype(np.intp)

    @cached_property
    def likeliest(self) -> NDArray[np.unsignedinteger[Any]]:
        """`argmax` in the smallest type, kept; not to be written to."""
        numbers = argmax_by_rows(self.values)
        numbers.setflags(write=False)
        return numbers

    @checks_arguments()
    def top(self, count: int) -> Numbers:
        """The `count` likeliest classes of each cell, likeliest first, count x H x W."""
        if count == 1:  # a sort of a large map takes seconds
            return self.argmax()[np.newaxis]
        needed = order_memory(self.values.shape, count)
        claim_more(self, needed, "the order of its classes")
        return top_by_rows(self.values, count)

    @checks_arguments()
    def class_of(self, plane: int) -> int:
        """The class that a plane of the values is of: the one with its number."""
        return plane

    @checks_arguments()
    def drawn(self, named: str) -> str:
        """What a picture shows that is asked for `named`, as `to_picture` takes it."""
        return named

    @property
    def first_shown(self) -> int | None:
        """The plane that a page shows first, unasked; None for the likeliest class of each cell."""
        return None

    @property
    def listed_as(self) -> str:
        """What its classes are, in a heading: "found"."""
        return "found"

    @property
    def meaning(self) -> str:
        """What a value of the map is, in a sentence; "" where `scored` says it."""
        return ""

    @checks_arguments()
    def facts(self, plane: int) -> tuple[str, str] | None:
        """What is said of a class in two parts; None where it is how many cells show it."""
        return None

    @checks_arguments()
    def label(self, number: int) -> str:
        """The class's line of the labels, or "" without labels."""
        return "" if self.labels is None else self.labels[number]

    @checks_arguments()
    def find_class(self, text: str) -> int | None:
        """The class that "max" (None: the likeliest of each cell), a number or a label names.

        Raises NetError for a number that the blob does not have, FormatError for no label or
        several.
        """
        return None if text.strip().casefold() == LIKELIEST else self.names.find(text)

    @property
    def names(self) -> ClassNames:
        """How the classes are named."""
        return ClassNames(self.classes, self.labels, self.blob)

    @cached_property
    def background(self) -> int | None:
        """The class of all that is not looked for, None where there is none.

        The one that `background_name` names ("none" for no class), else the class that more than
        half of the cells show, if others show another. Raises as `find_class`.
        """
        if self.background_name is not None:
            return self.names.find_background(self.background_name)
        return most_common_background(self.summary())

    def windows(self) -> Boxes | None:
        """Each cell's window in the picture, H x W x 4; None where it is not known."""
        return self.geometry.windows(*self.shape)

    def summary(self) -> list[ClassCount]:
        """The classes that are the likeliest of some cell, most cells first."""
        return list(self._summary)

    @cached_property
    def _summary(self) -> Sequence[ClassCount]:
        cells = np.zeros(self.classes, np.int64)
        best = np.full(self.classes, -np.inf, np.float32)
        for rows in row_blocks(self.values.shape):
            numbers, scores = self.likeliest[rows].ravel(), self.values[:, rows].max(axis=0).ravel()
            cells += np.bincount(numbers, minlength=self.classes)
            np.maximum.at(best, numbers, scores)
        counts = [
            ClassCount(number, self.label(number), int(cells[number]), float(best[number]))
            for number in np.flatnonzero(cells).tolist()
        ]
        return sorted(counts, key=lambda row: (-row.cells, -row.best, row.number))

    def foreground(self) -> list[ClassCount]:
        """`summary` without the background: the classes that have colours, in their order."""
        return [row for row in self.summary() if row.number != self.background]

    @checks_arguments()
    def to_picture(
        self, number: int | str | None = None, *, look: PictureLook | None = None
    ) -> Image.Image:
        """The map on its picture, the input and the classes beside it; a Pillow image.

        number: "max" (None) for the likeliest class of each cell, but for the background's cells,
        which are not painted; a class by its number or label, whose values are drawn as heat;
        several with commas between, each in its colour; "each" for a picture of each class found.
        look: layout, width and scale. Raises NetError where the cells' places are not known or
        there is no such class.
        """
        from netsurgery.maps.heatmap import draw_map
        from netsurgery.maps.picture_look import PictureLook

        return draw_map(self, number, look or PictureLook())

    @checks_arguments()
    def picture_file(
        self,
        number: int | str | None = None,
        *,
        look: PictureLook | None = None,
        suffix: str = ".png",
    ) -> bytes:
        """`to_picture` as the bytes of a file: .png, .jpg, .webp or .svg."""
        from netsurgery.drawing.picture_file import encoded
        from netsurgery.maps.heatmap import map_scene
        from netsurgery.maps.picture_look import PictureLook

        return encoded(map_scene(self, number, look or PictureLook()), suffix)

    @checks_arguments()
    def to_html(self, number: int | str | None = None, *, all_classes: bool = False) -> str:
        """A page for a browser to explore the map: one file of text, which needs no network.

        number: the class shown first, by its number or label; None for each cell's likeliest.
        all_classes: keep every class of every cell, not only the 20 likeliest of each and the 50
        classes that matter most to the picture. The text is ASCII; a value kept takes at most 1.2
        bytes of it, rounded to a decimal step, which the page names. Raises NetError where the
        cells' places are not known or there is no such class, MemoryLimitError.

        >>> import netsurgery as ns
        >>> net, model = "prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel"
        >>> with ns.open_mapper(ns.Settings(net, model), "embedded", blob="conv1") as mapper:
        ...     class_map = mapper.map("examples/digits_canvas.png")
        >>> with open("map.html", "w") as file:
        ...     file.write(class_map.to_html()) < 200_000
        True
        """
        from netsurgery.maps.page.document import page
        from netsurgery.maps.page.record import map_part

        chosen = None if number is None else self.find_class(str(number))
        return page([map_part(self, number=chosen, all_classes=all_classes)]).decode("ascii")

    @checks_arguments()
    def to_json(self, top_k: int = 1) -> dict[str, Any]:
        """What `classify-map --json` prints of this map; docs/json.md says what is in it.

        top_k: how many of the likeliest classes of each cell.
        """
        from netsurgery.maps.map_record import map_record

        return map_record(self, top_k)

    @checks_arguments()
    def to_text(self, style: TextStyle | None = None, *, summary: bool = False) -> str:
        """It as text for people: the classes of the cells and a table of them, or `summary` alone.

        style: its width and colors (none by default).
        """
        from netsurgery.maps.map_text import whole_text

        return whole_text(self, style, summary=summary)

    def __str__(self) -> str:
        from netsurgery.maps.map_text import summary_text

        return summary_text(self, _SUMMARY)

    def __repr__(self) -> str:
        kind, cells = type(self).__name__, f"{shape_text(self.shape)} cells of {self.blob!r}"
        return short_repr(f"{kind} of {self.image}: {cells}, {counted(self.classes, 'class')}")

    def _repr_png_(self) -> bytes | None:
        return None if self.geometry.window is None else self.picture_file()

    def _repr_html_(self) -> str:
        from netsurgery.maps.map_record import map_html

        return map_html(self, self._repr_png_())


def said_notes(class_map: ClassMap) -> dict[str, str]:
    """What is to be said of a map, by kind: its notes, and "windows" of what its record lacks."""
    notes = dict(class_map.notes)
    if class_map.geometry.window is None:
        notes["windows"] = (
            f"the total stride of blob {class_map.blob!r} is not known: cells have no windows"
        )
    return notes
