"""Why a classifier gives its answer: a map of what each place of the picture does for a class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from netsurgery.io.argument_types import checks_arguments
from netsurgery.maps.class_names import LIKELIEST, ClassNames
from netsurgery.maps.classmap import ClassCount, ClassMap

if TYPE_CHECKING:
    from netsurgery.maps.map_text import TextStyle

__all__ = ["Explanation", "Method"]


@dataclass(frozen=True)
class Method:
    """How an explanation was made.

    name: "occlusion" or "grad-cam". sentence: what a value of the map is. scored: that in two or
    three words. facts: what else is in the record, by name.
    """

    name: str
    sentence: str
    scored: str
    facts: Mapping[str, Any]


@dataclass(frozen=True, eq=False, repr=False)
class Explanation(ClassMap):
    """What `classify_map` gives with `explain`: one plane of values for each explained class.

    values: float32 K x H x W, a plane for each of `numbers`, the classes explained. scores: their
    scores for the whole picture, of which a Softmax makes probabilities where
    `scores_are_probabilities`. method: how the map was made. It is drawn and written as any class
    map; its cells are places of the patch, or of the layer's map.

    >>> import netsurgery as ns
    >>> net, model = "prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel"
    >>> explanation = ns.classify_map(
    ...     "examples/digits_canvas.png", ns.Settings(net, model), explain=ns.Occlusion(8, 4),
    ...     engine="embedded",
    ... )
    >>> explanation.numbers, explanation.shape, explanation.scored
    ((10,), (7, 7), 'fall of the probability')
    >>> explanation.class_of(0), len(explanation.places())
    (10, 1)
    >>> explanation.drawn("max"), [row.number for row in explanation.summary()]
    ('10', [0])
    >>> explanation.score_name, explanation.facts(0), explanation.first_shown
    ('probability', ('probability 0.9999', 'highest 0.987'), 0)
    >>> explanation.listed_as, explanation.meaning.partition(" where ")[0]
    ('explained', 'the fall of the probability')
    >>> explanation.to_json()["classes"][0]["class"], len(explanation.to_text().splitlines())
    (10, 14)
    """

    numbers: tuple[int, ...] = ()
    scores: tuple[float, ...] = ()
    scores_are_probabilities: bool = False
    method: Method = field(kw_only=True)

    @property
    def scored(self) -> str:
        """What the values are called."""
        return self.method.scored

    @property
    def names(self) -> ClassNames:
        """How the classes are named: by their own numbers, of which there is a plane for some."""
        return ClassNames(self.classes, self.labels, self.blob, self.numbers)

    @property
    def background(self) -> None:
        """None: every place has its share in the answer."""
        return None

    @checks_arguments()
    def drawn(self, named: str) -> str:
        """What a picture shows that is asked for `named`: "max" is every class explained."""
        if named.strip().casefold() != LIKELIEST:
            return named
        return str(self.numbers[0]) if self.classes == 1 else "each"

    @checks_arguments()
    def class_of(self, plane: int) -> int:
        """The class that a plane of the values is of."""
        return self.numbers[plane]

    @property
    def first_shown(self) -> int:
        """The first class explained: no cell has a likeliest."""
        return 0

    @property
    def listed_as(self) -> str:
        """What its classes are, in a heading: "explained"."""
        return "explained"

    @property
    def meaning(self) -> str:
        """What a value of the map is, in a sentence."""
        return self.method.sentence

    @property
    def score_name(self) -> str:
        """What the classes' scores are called: "probability" or "score"."""
        return "probability" if self.scores_are_probabilities else "score"

    @checks_arguments()
    def facts(self, plane: int) -> tuple[str, str]:
        """What is said of a class: its score for the whole picture, and its map's highest value."""
        highest = float(self.values[plane].max())
        return f"{self.score_name} {self.scores[plane]:.4g}", f"highest {highest:.3g}"

    def summary(self) -> list[ClassCount]:
        """The classes explained, in the order in which they were named; `number` is the plane's."""
        counts = np.bincount(self.argmax().ravel(), minlength=self.classes)
        return [
            ClassCount(plane, self.label(plane), int(counts[plane]), float(values.max()))
            for plane, values in enumerate(self.values)
        ]

    def places(self) -> Sequence[tuple[int, int]]:
        """The cell of the highest value of each class, (row, column)."""
        columns = self.shape[1]
        return [divmod(int(values.argmax()), columns) for values in self.values]

    @checks_arguments()
    def to_json(self, top_k: int = 1) -> dict[str, Any]:
        """What `classify-map --json` prints of it; docs/json.md says what is in it. `top_k` changes
        nothing: the values of every cell are there."""
        from netsurgery.maps.explanation_record import explanation_record

        return explanation_record(self)

    @checks_arguments()
    def to_text(self, style: TextStyle | None = None, *, summary: bool = False) -> str:
        """It as text for people. summary: without the values of the cells."""
        from netsurgery.maps.explanation_record import explanation_text

        return explanation_text(self, style, summary=summary)

    def __str__(self) -> str:
        return self.to_text(summary=True)
