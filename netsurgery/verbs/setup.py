"""The preprocessing of a net that comes without any: presets tried on pictures of known classes."""

from __future__ import annotations

import html
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import log
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netsurgery.engines.contract import AnyEngine, as_engine_options, engine_record
from netsurgery.errors import FormatError, ImageError, NetError, SettingsError
from netsurgery.formats.found_settings import load_found, merged
from netsurgery.formats.labels import Labels, load_labels
from netsurgery.formats.preprocess_values import as_mean
from netsurgery.formats.presets import PRESETS, PresetName, find_preset
from netsurgery.formats.settings import SETTINGS_NAME, Settings
from netsurgery.io.argument_types import as_list, checked_argument, checks_arguments
from netsurgery.io.files import Outputs
from netsurgery.io.folders import check_output_folder, output_folders
from netsurgery.io.short_repr import ShortRepr
from netsurgery.io.table import Column, Table
from netsurgery.io.wording import argument, counted
from netsurgery.net.state import TEST, NetState
from netsurgery.open_net.arguments import AnyPath

if TYPE_CHECKING:
    from netsurgery.formats.preprocess_values import AnyMean
    from netsurgery.maps.any_picture import AnyPicture
    from netsurgery.maps.image import Picture
    from netsurgery.maps.mapper import Mapper
    from netsurgery.maps.preset_trials import Answer, Trial

__all__ = ["Setup", "setup"]

#: The standard deviation, of pixels of 0..255, that a picture must have for presets to be compared
#: by it. Caffe's own pictures, made paler or darker than that, are lost on SqueezeNet by any
#: preset; and blue alone is "jellyfish" to it, with probability 0.5, by one preset.
_LEAST_SPREAD = 5
#: How many times those of chance the odds of the right class are at least, in the mean of the
#: pictures, and how many times those by any other preset, in all.
_OVER_CHANCE, _OVER_NEXT = 10, 3


@dataclass(frozen=True, repr=False)
class Setup(ShortRepr):
    """Which preset fits a net, and the netsurgery.toml that was written.

    trials: of the presets, the best first. chosen: the preset's name, None where the pictures do
    not decide. verdict: why, in a line. settings: what the file at `path` says; both are None where
    none was written. engine: what ran the net, and engine_note why it was not another.

    >>> import netsurgery as ns
    >>> from PIL import Image
    >>> net, model = "prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel"
    >>> nine = Image.open("examples/digits_canvas.png").crop((104, 72, 136, 104))
    >>> result = ns.setup(net, model, nine, 9, folder=".", engine="embedded", force=True)
    >>> result.chosen, result.label(9)
    ('scaled', '')
    """

    trials: tuple[Trial, ...]
    chosen: PresetName | None
    verdict: str
    settings: Settings | None
    path: Path | None
    labels: Labels | None
    engine: str
    engine_note: str = ""

    def to_json(self) -> dict[str, Any]:
        """What `setup --json` prints; docs/json.md says what is in it."""
        return {
            "chosen": self.chosen,
            "verdict": self.verdict,
            "settings": None if self.path is None else str(self.path),
            "engine": engine_record(self.engine, self.engine_note),
            # `class_probabilities` makes probabilities of scores that are none.
            "is_probability": True,
            "trials": [
                {
                    "preset": trial.preset,
                    "right": trial.right,
                    "images": [self._record(answer) for answer in trial.answers],
                }
                for trial in self.trials
            ],
        }

    def _record(self, answer: Answer) -> dict[str, Any]:
        return {
            "image": answer.image,
            "class": answer.expected,
            "label": self.label(answer.expected) or None,
            "rank": answer.rank,
            "score": answer.probability,
            "first": {
                "class": answer.first,
                "label": self.label(answer.first) or None,
                "score": answer.first_probability,
            },
        }

    @checks_arguments()
    def label(self, number: int) -> str:
        """The label of a class, "" without labels."""
        return "" if self.labels is None else self.labels[number]

    def table(self) -> Table:
        """A row for each preset and picture: the place of its class, and which is first."""
        table = Table(
            (
                Column("preset"),
                Column("image", 1),
                Column("place", number=True),
                Column("probability", number=True),
                Column("first"),
            )
        )
        for trial in self.trials:
            for answer in trial.answers:
                number, label = str(answer.first), self.label(answer.first)
                first = number if label in ("", number) else f"{number} {label}"
                name = answer.image.rsplit("/", 1)[-1]
                place, score = str(answer.rank), f"{answer.probability:.2g}"
                table.add(trial.preset, name, place, score, first)
        return table

    def __str__(self) -> str:
        return self.verdict

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(self.verdict)}</p>{self.table().html()}"


@checks_arguments()
def setup(
    prototxt: AnyPath,
    weights: AnyPath,
    images: AnyPicture | Iterable[AnyPicture],
    classes: int | str | Sequence[int | str],
    *,
    labels: AnyPath | None = None,
    mean: AnyMean | None = None,
    preprocess: PresetName | None = None,
    blob: str | None = None,
    folder: AnyPath | None = None,
    engine: AnyEngine = "auto",
    state: NetState = TEST,
    force: bool = False,
) -> Setup:
    """Try the presets on pictures of known classes; write the netsurgery.toml of the one that fits.

    images: pictures as `classify_map` takes them, one or several, and in classes what is in each, a
    number or a label of the file `labels`. A preset fits if more pictures have their class first
    than by any other, with a probability well above chance and above the other presets'; else
    nothing is written. A picture that is nearly of one color is refused: what a net says of it
    depends on the net alone. mean: try "bvlc-mean" with it in the place of "bvlc". preprocess:
    write this preset, whatever fits and whatever is in the pictures. blob: the classes' scores, or
    a map of them, of which the mean over its cells counts (default: the last layer's top). folder:
    where the file goes (default: the net's own). force: replace one that is there; what it says of
    the same net, its window, state and labels, is used and kept. engine, state: as in
    `classify_map`.

    Raises NetError where the net has no such class, FormatError for labels that do not fit,
    ImageError for a picture of one color, SettingsError for a mean that no preset in question
    takes, and what `classify_map` raises.

    >>> import netsurgery as ns
    >>> from PIL import Image
    >>> net, model = "prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel"
    >>> nine = Image.open("examples/digits_canvas.png").crop((104, 72, 136, 104))
    >>> result = ns.setup(net, model, nine, 9, folder=".", engine="embedded", force=True)
    >>> result.chosen, result.settings.raw_scale
    ('scaled', 255.0)
    """
    from netsurgery.maps.any_picture import as_picture, each_picture
    from netsurgery.maps.preset_trials import try_presets

    place = Path(prototxt).parent if folder is None else Path(folder)
    check_output_folder(place)
    path = place / SETTINGS_NAME
    # `merged` fills in what is None, not what is empty.
    stated = Settings(stages=state.stages or None, level=state.level or None, labels=labels)
    base = merged(stated, _earlier(path, Path(prototxt)))
    base = replace(base, prototxt=Path(prototxt), weights=Path(weights))
    named = list(each_picture(images))
    if os.path.exists(path):
        files = [os.fspath(image) for image, _ in named if isinstance(image, (str, os.PathLike))]
        inputs = [prototxt, weights, *replace(base, mean=as_mean(mean)).files, *files]
        Outputs([path], inputs=inputs, force=force)  # refuses before anything runs
    pictures = [as_picture(image, name) for image, name in named]
    with _open_mapper(base, engine, blob, state) as mapper:
        names = None if base.labels is None else load_labels(base.labels)
        expected = _numbers(classes, names, mapper)
        if not pictures or len(pictures) != len(expected):
            raise NetError(
                f"{counted(len(pictures), 'picture')} of "
                f"{counted(len(expected), 'class')}; give as many"
            )
        candidates = _candidates(base, mean, preprocess, mapper.source.channels)
        # Before the net runs: a name that TOML cannot hold is refused.
        texts = {name: each.to_toml(path.parent) for name, each in candidates.items()}
        # At the size of the old input a converted net is the classifier.
        if preprocess is None:
            _check_spread(pictures, mapper.source.channels, base.window or mapper.source.size)
        trials = try_presets(mapper, candidates, pictures, expected, base.window)
        ran, note = mapper.engine, mapper.note
    chosen, verdict = (preprocess, f"{preprocess} was asked for") if preprocess else _choose(trials)
    settings = None
    if chosen is not None:
        settings = candidates[chosen]
        with output_folders([path]), Outputs([path], force=force) as outputs:
            outputs[path].write(texts[chosen].encode())
    written = None if settings is None else path
    return Setup(tuple(trials), chosen, verdict, settings, written, names, ran, note)


def _open_mapper(
    settings: Settings, engine: AnyEngine, blob: str | None, state: NetState
) -> Mapper:
    from netsurgery.maps.from_settings import make_transformer, open_model
    from netsurgery.maps.map_source import MapSource
    from netsurgery.maps.mapper import Mapper

    source = MapSource.of_classes(open_model(settings, state), blob)
    # In place until `try_presets` sets that of each preset.
    transformer = make_transformer(Settings(), source.channels)
    return Mapper(source, transformer, as_engine_options(engine, settings.engine))


def _check_spread(pictures: Sequence[Picture], channels: int, size: tuple[int, int]) -> None:
    """Raise ImageError for a picture that is nearly of one color: no net knows what is in it."""
    from netsurgery.maps.preset_trials import pixel_spread

    for picture in pictures:
        spread = pixel_spread(picture, channels, size)
        if spread < _LEAST_SPREAD:
            raise ImageError(
                f"{picture.shown}: nearly of one color, which says nothing about the "
                f"preprocessing: its pixels have a standard deviation of {spread:.2g} of 255, "
                f"expected {_LEAST_SPREAD} or more; give another picture, or "
                f"{argument('--preprocess NAME')} writes a preset unchecked"
            )


def _numbers(
    classes: int | str | Sequence[int | str], labels: Labels | None, mapper: Mapper
) -> list[int]:
    from netsurgery.maps.class_names import check_class, class_number

    source = mapper.source
    # In a list of other classes a label has another number.
    if labels is not None and source.classes is not None:
        labels.check(source.classes, source.blob)
    numbers = []
    for each in as_list(classes):
        text = str(checked_argument("classes", each, "int | str"))
        number = class_number(text)
        if number is None:
            if labels is None:
                raise NetError(
                    f"class {text!r}: expected a number from 0, or a label, for "
                    f"which there is no file ({argument('--labels FILE')})"
                )
            number = labels.find(text)
        if source.classes is not None:
            check_class(number, source.classes, source.blob)
        numbers.append(number)
    return numbers


def _candidates(
    base: Settings, mean: AnyMean | None, preprocess: PresetName | None, channels: int
) -> dict[PresetName, Settings]:
    """The presets to try, and the settings of each: those of the net's channels."""
    of_channels = [preset for preset in PRESETS.values() if preset.channels == channels]
    asked = of_channels
    if preprocess is not None:
        asked = [find_preset(preprocess)]
        asked[0].check_channels(channels)
    mean = as_mean(mean)
    if mean is not None and not any(preset.mean_file for preset in asked):
        names = " or ".join(preset.name for preset in asked)
        raise SettingsError(f"preset {names} takes no other mean; leave out {argument('--mean')}")
    bvlc = "bvlc" if mean is None else "bvlc-mean"
    # They differ in the mean alone: one of them is tried, and what the call asks for.
    others = {"bvlc", "bvlc-mean"} - {bvlc, preprocess}
    return {
        preset.name: replace(base, mean=mean if preset.mean_file else None, preprocess=preset.name)
        for preset in of_channels
        if preset.name not in others
    }


def _choose(trials: Sequence[Trial]) -> tuple[PresetName | None, str]:
    """The preset that fits, None where none does or several do as well; and why."""
    # `try_presets` returns the best first.
    best = trials[0]
    equal = [trial.preset for trial in trials if trial.right == best.right]
    if not best.right:
        place = min(answer.rank for answer in best.answers)
        return None, (
            f"no preset fits: none puts the class first, the nearest is {best.preset} with place "
            f"{place}; are class and labels right? "
            f"{argument(f'--preprocess {best.preset}')} writes it anyway"
        )
    if len(equal) > 1:
        return None, (
            f"undecided: by {' and '.join(equal)} alike {_standing(best)}; more pictures may "
            f"decide, or {argument(f'--preprocess {best.preset}')} writes that one"
        )
    doubt = _doubt(best, trials[1:])
    if doubt:
        return None, (
            f"not sure: by {best.preset} {_standing(best)}, {doubt}; other or more pictures may "
            f"decide, or {argument(f'--preprocess {best.preset}')} writes it anyway"
        )
    after = f"; by the next, {trials[1].preset}, {_standing(trials[1])}" if trials[1:] else ""
    return best.preset, f"{best.preset} fits: {_standing(best)}{after}"


def _doubt(best: Trial, others: Sequence[Trial]) -> str:
    """Why the best is not clearly so: hardly better than chance, or than the next; "" if it is."""
    # Evidence is in log odds: what multiplies odds is added to it.
    if best.evidence < len(best.answers) * log(_OVER_CHANCE):
        return f"hardly better than chance, which is {1 / best.classes:.2g}"
    near = max(others, key=lambda trial: trial.evidence, default=None)
    if near is not None and best.evidence - near.evidence < log(_OVER_NEXT):
        return f"hardly better than by {near.preset}, by which {_standing(near)}"
    return ""


def _standing(trial: Trial) -> str:
    """How far a preset has the classes first."""
    count = len(trial.answers)
    if count > 1:
        return f"the class is first in {trial.right} of {counted(count, 'picture')}"
    answer = trial.answers[0]
    place = "first" if answer.rank == 1 else f"at place {answer.rank}"
    return f"the class is {place} (probability {answer.probability:.2g})"


def _earlier(path: Path, prototxt: Path) -> Settings:
    """What is kept of the file that is replaced: all but the preprocessing, of the same net."""
    if not os.path.exists(path):
        return Settings()
    keys = ["prototxt", "window", "stages", "level", "labels", "background", "engine"]
    try:
        # None: of a file that others can change (an UntrustedError) nothing is kept.
        earlier = load_found(path, None, keys)
    except FormatError:
        return Settings()
    same = earlier.prototxt is not None and earlier.prototxt.resolve() == prototxt.resolve()
    return replace(earlier, path=None) if same else Settings()
