"""``netsurgery.evaluate``: how right a net is about annotated pictures."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from netsurgery.engines.contract import AnyEngine
from netsurgery.errors import FormatError, NetsurgeryError, SettingsError
from netsurgery.formats.settings import as_settings
from netsurgery.io.argument_types import checks_arguments
from netsurgery.io.files import Outputs
from netsurgery.io.memory import Claim
from netsurgery.io.shape_text import shape_text
from netsurgery.io.wording import argument
from netsurgery.maps.box_rules import BoxRules, checked_box_scales
from netsurgery.maps.class_names import ClassNames
from netsurgery.maps.from_settings import open_mapper
from netsurgery.maps.picture_options import as_picture_options
from netsurgery.net.state import TEST, NetState
from netsurgery.open_net.arguments import AnyPath
from netsurgery.training.annotations import annotation_files, read_annotations
from netsurgery.training.box_score import BoxCounts
from netsurgery.training.class_match import match_classes
from netsurgery.training.coco_results import CocoBox, coco_ids
from netsurgery.training.coco_results import coco_results as as_coco_results
from netsurgery.training.missed_objects import missed_by_reason
from netsurgery.training.objects import AnnotatedPicture, Annotations, CocoIds
from netsurgery.training.picture_score import PictureScore, Scorer
from netsurgery.training.score import Confusion
from netsurgery.training.top_k import checked_top_k
from netsurgery.training.truth import TruthRules
from netsurgery.verbs.evaluate_result import ClassScore, NetEvaluation, PictureRow
from netsurgery.verbs.picture_results import opened_model, results_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from netsurgery.formats.presets import PresetName
    from netsurgery.formats.settings import Settings
    from netsurgery.maps.image import Picture
    from netsurgery.maps.mapper import Mapper
    from netsurgery.maps.picture_options import AnyPictureOptions
    from netsurgery.open_net.net import Net

__all__ = ["evaluate"]

#: Bytes of a box that is kept until all are written, and in the file.
_BOX = 600


@checks_arguments()
def evaluate(
    images: AnyPath,
    settings: Settings | AnyPath | None = None,
    *,
    annotations: AnyPath,
    classes: Mapping[str, str] | None = None,
    rules: TruthRules | None = None,
    boxes: BoxRules | None = None,
    box_scales: Iterable[float] = (1.0,),
    coco_results: AnyPath | None = None,
    net: Net | None = None,
    size: AnyPictureOptions | None = None,
    stride: int | None = None,
    blob: str | None = None,
    top_k: int | None = None,
    drop_labels: bool | None = None,
    preprocess: PresetName | None = None,
    engine: AnyEngine = "auto",
    state: NetState = TEST,
    force: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> NetEvaluation:
    """How right a net is about annotated pictures: the classes of its map's cells, and boxes.

    images: the folder of the pictures. annotations: COCO's JSON, a JSON of points and boxes,
    Caffe's list of pictures and class numbers (.txt), or a folder of Pascal VOC's files, of masks,
    or of a folder of pictures for each class. settings, net, size, stride, blob, drop_labels,
    preprocess, engine, state: as in `classify_maps`; the settings' background is the class of what
    is none of the annotated, and without one cells in which nothing is annotated do not count.
    Without a size the input is the window of one cell where the annotations are classes of whole
    pictures, and else the prototxt's.
    classes: which of the net's classes, by number or label, a class of the annotations is, "none"
    where it is not to count; the others are the net's of exactly the same name. For masks without a
    `classes.txt` its keys are the names of the masks' numbers, from 0 on. rules: which cells are of
    an object, see TruthRules. boxes: how boxes are made of the map, see BoxRules, to be compared
    with those annotated. box_scales: factors of the input's size at which boxes are looked for,
    together. top_k: count how many cells have their class among the K that score most, too, as
    Caffe's Accuracy layer does; None for 5 where the annotations are classes of whole pictures and
    the net has more, and else not. coco_results: a file for all boxes, in COCO's format of results.
    force: replace it. progress: called with the pictures done and their number.

    A picture that fails, or is not there, is a row with its error. Raises FormatError for broken
    annotations, where none of several pictures is there, and for classes that are none of the
    net's; SettingsError for a top_k above the number of the net's classes; what `classify_maps`
    raises of the net or the settings; OutputError; MemoryLimitError.

    >>> import json
    >>> import netsurgery as ns
    >>> boxes = [{"class": "3", "box": [17, 9, 47, 39]}, {"class": "4", "box": [137, 17, 167, 47]}]
    >>> truth = {"classes": ["3", "4"], "pictures": [{"file": "digits_canvas.png", "boxes": boxes}]}
    >>> with open("truth.json", "w") as file:
    ...     json.dump(truth, file)
    >>> model = "prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel"
    >>> with ns.convert(*model, input_size=(192, 288)).net as net:
    ...     result = ns.evaluate("examples", net=net, annotations="truth.json",
    ...                          boxes=ns.BoxRules(0.9), engine="embedded")
    >>> print(result)
    1 picture: 2 of 2 cells right
    >>> result.mean_average_precision
    1.0
    """
    if coco_results is not None and boxes is None:
        raise SettingsError(
            f"{argument('--coco-results')}: a file of boxes, but none are asked for "
            f"({argument('--boxes')})"
        )
    scales = checked_box_scales(box_scales)
    source, mapping = Path(annotations), dict(classes or {})
    read = read_annotations(source, Path(images), _mask_names(source, mapping), allow_missing=True)
    if boxes is not None:
        _check_have_boxes(read)
    drop = blob is not None if drop_labels is None else drop_labels
    with ExitStack() as stack:
        model, engine = opened_model(stack, net, engine)
        settings = as_settings(settings, preprocess)
        mapper = stack.enter_context(open_mapper(
            settings, engine, blob=blob, size=as_picture_options(size), stride=stride, boxes=boxes,
            box_scales=scales, drop_labels=drop, state=state, model=model,
        ))  # fmt: skip
        if read.of_wholes:
            options = mapper.transformer.options.or_size(_one_window(mapper) or "net")
            mapper.transformer = replace(mapper.transformer, options=options)
        if mapper.source.classes is None:
            mapper.load()  # which says what of the net is not known
        names = ClassNames(mapper.source.classes, mapper.labels, mapper.source.blob)
        own = mapper.background
        background = None if own is None else names.find_background(own)
        if read.numbered:
            mapping = {**{each: each for each in read.classes}, **mapping}
        numbers = match_classes(read.classes, names, mapping, read.source)
        k = checked_top_k(top_k, names.classes, of_wholes=read.of_wholes)
        scorer = Scorer(numbers, background, rules or TruthRules(), k)
        file = None if coco_results is None else os.fspath(coco_results)
        ids = None if file is None else coco_ids(read)
        outputs = (
            None
            if file is None
            else _outputs(file, [*mapper.source.model.files, *settings.files], read, force)
        )
        run = _Run(mapper, read, scorer, boxes, scales, ids)
        run.all(progress)
        written: tuple[str, ...] = ()
        if file is not None and outputs is not None and run.good:
            with outputs:
                outputs[file].write(as_coco_results(run.coco))
            written = (file,)
        return run.result(names, written)


def _one_window(mapper: Mapper) -> tuple[int, int] | None:
    """The input of which the map is one cell, as known of a classifier; None for other nets."""
    window = mapper.window
    return window if window and mapper.source.gives_one_cell(window) else None


def _mask_names(source: Path, mapping: Mapping[str, str]) -> tuple[str, ...] | None:
    """The names of masks' numbers that the caller gives, where their folder has none."""
    if not mapping or not os.path.isdir(source):
        return None
    files = annotation_files(source)
    named = not files or files[0].suffix == ".txt" or files[-1].suffix.lower() != ".png"
    return None if named else tuple(mapping)


def _check_have_boxes(annotations: Annotations) -> None:
    """Raise FormatError where boxes cannot be compared with what is annotated."""
    for picture in annotations.pictures:
        what = "a mask" if picture.mask is not None else ""
        if any(thing.is_point for thing in picture.objects):
            what = "points"
        if what:
            raise FormatError(
                f"{annotations.source}: {picture.name} is annotated by {what}, with which boxes "
                f"cannot be compared; leave out {argument('--boxes')}"
            )


def _outputs(file: str, files: Sequence[str], annotations: Annotations, force: bool) -> Outputs:
    """The file of results, refused before any work where it would replace something.

    files: the net's and the settings'.
    """
    inputs = [*files, *(each.path for each in annotations.pictures)]
    source = Path(annotations.source)
    inputs += [annotations.source] if os.path.isfile(source) else map(str, annotation_files(source))
    return Outputs([file], inputs=inputs, force=force)


@dataclass(eq=False)
class _Run:
    """Scores all pictures; `rows` and the sums grow in their order."""

    mapper: Mapper
    annotations: Annotations
    scorer: Scorer
    boxes: BoxRules | None
    scales: Sequence[float]
    ids: CocoIds | None
    rows: list[PictureRow] = field(default_factory=list)
    cells: Confusion | None = None
    pixels: Confusion | None = None
    counts: dict[int, BoxCounts] = field(default_factory=dict)
    missed: Counter[tuple[str, str]] = field(default_factory=Counter)
    coco: list[CocoBox] = field(default_factory=list)
    notes: dict[str, str] = field(default_factory=dict)
    in_top_k: NDArray[np.int64] = field(init=False)
    _present: Sequence[AnnotatedPicture] = field(default=(), init=False)
    _claim: Claim = field(default_factory=lambda: Claim(0, "the boxes to be written"), init=False)

    def __post_init__(self) -> None:
        self.in_top_k = np.zeros(len(self.scorer.classes) + 1, np.int64)

    @property
    def good(self) -> int:
        """How many pictures did not fail."""
        return sum(row.error is None for row in self.rows)

    def all(self, progress: Callable[[int, int], None] | None) -> None:
        """Score every picture; one that fails is a row with its error."""
        pictures, missing = self.annotations.pictures, self.annotations.missing
        self._present = [picture for picture in pictures if picture.path not in missing]
        self.mapper.load()  # what is wrong with the model is not each picture's fault
        results = results_of(
            self.mapper,
            [(picture.path, picture.path) for picture in self._present],
            self._scored,
            lambda score: score,
            lambda _, error: error,
            held=True,
            worth_a_thread=False,
        )
        with closing(results):
            for done, picture in enumerate(pictures):
                if progress is not None:
                    progress(done, len(pictures))
                self._enter(picture, missing.get(picture.path) or next(results))

    def _scored(self, number: int, picture: Picture) -> PictureScore | NetsurgeryError:
        annotated, mapper = self._present[number], self.mapper
        annotated.check_size(picture.size)
        class_map = mapper.map(picture)
        for kind, note in class_map.notes.items():
            if kind != "engine":
                self.notes.setdefault(kind, note)
        return self.scorer.score(annotated, class_map)

    def _enter(self, picture: AnnotatedPicture, score: PictureScore | NetsurgeryError) -> None:
        if isinstance(score, NetsurgeryError):
            self.rows.append(PictureRow(picture.path, error=score))
            return
        false = self._wrong_background(score.cells)
        self.cells = score.cells if self.cells is None else self.cells + score.cells
        in_k = None
        if score.in_top_k is not None:
            self.in_top_k += score.in_top_k
            in_k = int(score.in_top_k.sum())
        if score.pixels is not None:
            self.pixels = score.pixels if self.pixels is None else self.pixels + score.pixels
        self.missed.update(score.missed)
        for number, count in score.objects.items():
            self.counts.setdefault(number, BoxCounts()).objects += count
        for hit, outcome in score.boxes:
            self.counts.setdefault(hit.number, BoxCounts()).add(hit.score, outcome)
            if self.ids is not None:
                self._claim.add(_BOX)
                category = self._category(hit.number)
                image = self.ids.images[picture.name]
                self.coco.append(CocoBox(image, category, hit.box, hit.score))
        outcomes = [each.outcome for each in score.boxes] if self.boxes is not None else None
        self.rows.append(PictureRow(picture.path, score.cells.totals, in_k, false, outcomes))

    def _wrong_background(self, cells: Confusion) -> int | None:
        """How many cells of the background got another class; None where there is no background."""
        own = self.scorer.background
        return None if own is None else cells.wrong_for(self.scorer.classes.index(own))

    def _category(self, number: int) -> int:
        """The id of the first of the annotations' classes that is the net's `number`."""
        assert self.ids is not None
        name = next(name for name, own in self.scorer.numbers.items() if own == number)
        return self.ids.categories[name]

    def result(self, names: ClassNames, written: tuple[str, ...]) -> NetEvaluation:
        """All that came out."""
        scorer = self.scorer
        empty = np.zeros((len(scorer.classes) + 1, len(scorer.classes) + 1), np.int64)
        cells = self.cells or Confusion(empty)
        classes = tuple(
            ClassScore(
                number,
                tuple(name for name, own in scorer.numbers.items() if own == number),
                None if names.labels is None else names.labels[number],
                cells.figures[place],
                None if scorer.top_k is None else int(self.in_top_k[place]),
                None if self.pixels is None else self.pixels.figures[place],
                self.counts.get(number, BoxCounts()) if self._has_boxes(number) else None,
            )
            for place, number in enumerate(scorer.classes)
        )
        notes = [*self.mapper.source.net.notes, *self.notes.values(), *self._notes_on_truth()]
        return NetEvaluation(
            source=self.annotations.source,
            engine=self.mapper.engine,
            engine_note=self.mapper.note,
            size=self.mapper.transformer.options.exact_size(self.mapper.source.size),
            background=scorer.background,
            classes=classes,
            cells=cells,
            top_k=scorer.top_k,
            pixels=self.pixels,
            missed=self.missed,
            boxes=self.boxes,
            box_scales=tuple(self.scales),
            pictures=tuple(self.rows),
            written=written,
            notes=tuple(notes),
        )

    def _notes_on_truth(self) -> Iterator[str]:
        if self.annotations.of_wholes:
            if missed_by_reason(self.missed)["too large"]:
                window = _one_window(self.mapper)
                size = "HxW" if window is None else shape_text(window)
                yield (
                    "pictures are larger than the windows of their map; "
                    f"{argument(f'--size {size}')} makes each as large as one"
                )
        elif self.scorer.background is None and any(
            each.mask is None for each in self.annotations.pictures
        ):
            yield (
                "no class of the net is said to be the background "
                f"({argument('--background')}): cells in which nothing is annotated do not count"
            )

    def _has_boxes(self, number: int) -> bool:
        """Whether boxes of the class are counted: asked for, and of a class that is annotated."""
        return self.boxes is not None and number in self.scorer.numbers.values()
