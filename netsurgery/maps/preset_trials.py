"""Which preset makes a net name the classes that are in pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log, prod
from typing import TYPE_CHECKING

import numpy as np

from netsurgery.errors import NetError
from netsurgery.io.shape_text import shape_text
from netsurgery.maps.from_settings import make_transformer
from netsurgery.maps.image import Picture
from netsurgery.maps.mapper import Mapper

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from netsurgery.formats.presets import PresetName
    from netsurgery.formats.settings import Settings
    from netsurgery.maps.picture_options import InputSize

__all__ = ["Answer", "Trial", "class_probabilities", "pixel_spread", "try_presets"]

#: Noise that is finer than this, in pixels a side, no net sees.
_LARGEST = 256
#: Stands for a probability of 0 where its logarithm is taken.
_TINY = 1e-30
#: As sure as float32 can be; the odds of 1 are without end.
_SURE = 1 - 1e-7


@dataclass(frozen=True)
class Answer:
    """What the net says of one picture: the class in it, and the class that comes first.

    rank: of the expected class, 1 for the first. probability, first_probability: of the expected
    class and of the first one.
    """

    image: str
    expected: int
    rank: int
    probability: float
    first: int
    first_probability: float


@dataclass(frozen=True)
class Trial:
    """A preset, and the net's answer for each picture made ready by it; one of `classes`."""

    preset: PresetName
    answers: tuple[Answer, ...]
    classes: int

    @property
    def right(self) -> int:
        """How many pictures have the expected class first."""
        return sum(answer.rank == 1 for answer in self.answers)

    @property
    def likelihood(self) -> float:
        """The mean logarithm of the expected classes' probabilities."""
        logs = [log(max(answer.probability, _TINY)) for answer in self.answers]
        return sum(logs) / len(logs)

    @property
    def evidence(self) -> float:
        """How far the expected classes are above chance: their log odds, less chance's, in all.

        No picture counts less than 0, or one of a wrong class would outweigh all others.
        """
        chance = _log_odds(1 / self.classes)
        return sum(max(0, _log_odds(answer.probability) - chance) for answer in self.answers)


def try_presets(
    mapper: Mapper,
    presets: Mapping[PresetName, Settings],
    pictures: Sequence[Picture],
    classes: Sequence[int],
    size: InputSize | None = None,
) -> list[Trial]:
    """A trial of each of `presets` on the pictures, whose classes are known; the best first.

    The best has most pictures right, and of several such the largest likelihood. The mapper keeps
    the last preset. size: as in `Mapper.map`. Raises what the engine raises, and NetError for a
    blob that has no score for each class.
    """
    trials = []
    for name, settings in presets.items():
        options = mapper.transformer.options
        mapper.transformer = make_transformer(settings, mapper.source.channels, options)
        answers, counts = zip(
            *(
                _answer(mapper, picture, expected, size)
                for picture, expected in zip(pictures, classes, strict=True)
            ),
            strict=True,
        )
        trials.append(Trial(name, answers, counts[0]))
    return sorted(trials, key=lambda trial: (-trial.right, -trial.likelihood))


def pixel_spread(picture: Picture, channels: int, size: tuple[int, int]) -> float:
    """How far the picture is from one colour, as a net with an input of `size` sees it.

    The standard deviation of pixels of 0..255, in the channel where it is largest.
    """
    height, width = (min(side, _LARGEST) for side in size)
    pixels, _ = picture.channels(channels)
    small = np.asarray(Picture(picture.name, pixels).thumbnail((height, width)))
    return float(small.std(axis=(0, 1)).max())


def _answer(
    mapper: Mapper, picture: Picture, expected: int, size: InputSize | None
) -> tuple[Answer, int]:
    """The answer, and of how many classes it is one."""
    blob = mapper.source.blob
    values = mapper.blobs(picture, size, [blob]).values[blob]
    if values.ndim not in (2, 4) or len(values) != 1:
        raise NetError(
            f"blob {blob!r} is {shape_text(values.shape)}; expected a score for each class"
        )
    probabilities = class_probabilities(values[0], mapper.source.is_probability)
    first = int(probabilities.argmax())
    own = float(probabilities[expected])
    rank = int(np.count_nonzero(probabilities >= own))  # no class is first among equals
    answer = Answer(picture.name, expected, rank, own, first, float(probabilities[first]))
    return answer, len(probabilities)


def _log_odds(probability: float) -> float:
    clipped = min(max(probability, _TINY), _SURE)
    return log(clipped / (1 - clipped))


def class_probabilities(values: NDArray[np.float32], is_probability: bool) -> NDArray[np.float64]:
    """The probability of each class, of C or C x H x W scores; of a map the mean over its cells.

    Scores that are not probabilities yet go through a softmax. NaN counts as 0.

    >>> class_probabilities(np.zeros(4, np.float32), is_probability=False).tolist()
    [0.25, 0.25, 0.25, 0.25]
    """
    scores = values.reshape(len(values), prod(values.shape[1:])).astype(np.float64)
    if not is_probability:
        scores = np.where(np.isnan(scores), -np.inf, scores)
        with np.errstate(all="ignore"):
            scores = np.exp(scores - scores.max(axis=0))
            scores /= scores.sum(axis=0)
    mean: NDArray[np.float64] = np.nan_to_num(scores).mean(axis=1)
    return mean
