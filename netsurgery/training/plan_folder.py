"""A plan's folder, which appears whole or not at all.

DIR/plan.json        all that a run does
DIR/train.prototxt   the net that is trained
DIR/solver.prototxt  how its weights change
DIR/truth.npz        the labels of each picture's map, by the picture's name
DIR/pictures/        the truth drawn over the pictures
"""

from __future__ import annotations

import json
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from netsurgery.errors import FormatError, NetsurgeryError
from netsurgery.io.folders import make_folder
from netsurgery.io.memory import without_frames
from netsurgery.io.output_folder import OutputFolder
from netsurgery.io.targets import one_line
from netsurgery.io.wording import argument
from netsurgery.maps.image import read_picture
from netsurgery.training.annotations import broken_images
from netsurgery.training.objects import AnnotatedPicture, Annotations
from netsurgery.training.plan import PLAN, TRAIN, TrainingPlan
from netsurgery.training.solver_text import solver_text
from netsurgery.training.trained_maps import TrainedMaps
from netsurgery.training.truth import Truth, open_truth, true_cells, why_missed
from netsurgery.training.truth_picture import TruthPicture
from netsurgery.training.truth_tally import TruthTally

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from netsurgery.maps.cell_geometry import Geometry
    from netsurgery.maps.image import Picture

__all__ = ["PICTURES", "SOLVER", "TRUTH", "PlanWriter", "picture_files"]

SOLVER, TRUTH, PICTURES = "solver.prototxt", "truth.npz", "pictures"


Size = tuple[int, int]


class PlanWriter:
    """Works out the truth of every picture, and writes it and the plan."""

    def __init__(
        self, plan: TrainingPlan, maps: TrainedMaps, drawn: int, *, skip_broken: bool
    ) -> None:
        """drawn: how many pictures of the truth are made, of the first pictures.

        skip_broken: leave out the pictures that cannot be used, which the plan then names.
        """
        self._plan, self._maps, self._most = plan, maps, drawn
        self.drawn, self._skip_broken = 0, skip_broken
        self._broken: dict[str, FormatError] = {}
        self._held_out = frozenset(plan.held_out)
        self.tally = TruthTally(plan.names)

    def write(
        self,
        folder: OutputFolder,
        annotations: Annotations,
        progress: Callable[[int, int], None] | None = None,
    ) -> TrainingPlan:
        """Fill the folder; the plan that is in it, with the weights of its classes.

        A picture that is too small for the net has no map to be judged by, so none is held out.
        Raises BrokenImages, with all of them, for pictures that cannot be used and are not to be
        left out, and where nothing would be left to learn from; MemoryLimitError, OutputError.
        """
        place, count = Path(folder.temporary), len(annotations.pictures)
        files = picture_files([picture.name for picture in annotations.pictures[: self._most]])
        with (
            one_line(folder.path),
            zipfile.ZipFile(place / TRUTH, "w", zipfile.ZIP_DEFLATED) as archive,
        ):
            for number, picture in enumerate(annotations.pictures):
                png = place / PICTURES / files[number] if number < self._most else None
                opened = self._opened(picture, annotations)
                if opened is not None and (self._skip_broken or not self._broken):
                    self._add(picture, *opened, archive, png)
                if progress is not None:
                    progress(number + 1, count)
        self._refuse_broken(annotations)
        unused = {*self.tally.small, *self._broken}
        held_out = tuple(name for name in self._plan.held_out if name not in unused)
        left_out = {name: str(error) for name, error in self._broken.items()}
        plan, options = (
            replace(self._plan, held_out=held_out, left_out=left_out),
            self._plan.options,
        )
        if options.weighs_classes:
            weights = self.tally.weights(
                plan.background,
                options.background,
                balance=options.balance,
                background_weight=options.background_weight,
            )
            plan = replace(plan, weights=weights)
        texts = {
            PLAN: json.dumps(plan.to_json(), indent=1) + "\n",
            TRAIN: self._maps.net.text,
            SOLVER: solver_text(plan.solver, net=TRAIN),
        }
        with one_line(folder.path):
            for name, text in texts.items():
                (place / name).write_bytes(text.encode())
        return plan

    def _opened(
        self, annotated: AnnotatedPicture, annotations: Annotations
    ) -> tuple[Picture, Truth] | None:
        """A picture and its truth; None, and its error is kept, where it cannot be used."""
        try:
            if annotated.path in annotations.missing:
                raise annotations.missing[annotated.path]
            picture = read_picture(annotated.path)
            return picture, open_truth(annotated, picture.size, self._plan.numbers)
        except FormatError as error:
            self._broken[annotated.name] = without_frames(error)
            return None

    def _refuse_broken(self, annotations: Annotations) -> None:
        """Raise BrokenImages for pictures that cannot be used, unless they are to be left out."""
        names = {picture.name for picture in annotations.pictures}
        learnt = names - self._held_out - self._broken.keys()
        if not self._broken or (self._skip_broken and learnt):
            return
        hint = "nothing would be left to learn from"
        if learnt:
            hint = f"{argument('--skip-broken')} leaves them out"
        raise broken_images(list(self._broken.values()), len(names), hint)

    def _add(
        self,
        annotated: AnnotatedPicture,
        picture: Picture,
        truth: Truth,
        archive: zipfile.ZipFile,
        png: Path | None,
    ) -> None:
        tally = self.tally
        try:
            geometry, shape = self._maps.of_picture(picture.size)
        except NetsurgeryError:
            tally.small.append(annotated.name)
            geometry, shape = None, (0, 0)
        labels, missed = self._labels(truth, geometry, shape)
        names = [thing.label for thing in truth.objects]
        tally.add(
            labels,
            names,
            [missed.get(i, "") for i in range(len(names))],
            learnt=annotated.name not in self._held_out,
        )
        if not (truth.objects or truth.ignored or truth.mask is not None):
            tally.empty.append(annotated.name)
        member = zipfile.ZipInfo(f"{annotated.name}.npy")
        member.compress_type = archive.compression  # which it does not take from the archive
        with archive.open(member, "w") as file:
            np.lib.format.write_array(file, labels, allow_pickle=False)
        if png is not None and geometry is not None:
            self._draw(png, picture, truth, geometry, labels, missed)

    def _labels(
        self, truth: Truth, geometry: Geometry | None, shape: Size
    ) -> tuple[NDArray[np.int32], dict[int, str]]:
        """The labels of a picture's cells, and the objects that none of them got, and why."""
        if geometry is None:
            small = dict.fromkeys(range(len(truth.objects)), "in a picture smaller than a window")
            return np.zeros(shape, np.int32), small
        windows = geometry.windows(*shape)
        assert windows is not None  # the grids have places
        rules = self._plan.options.rules
        cells = true_cells(truth, windows, self._plan.background, rules)
        return cells.labels, dict(why_missed(truth, cells.owners, windows, rules))

    def _draw(
        self,
        path: Path,
        picture: Picture,
        truth: Truth,
        geometry: Geometry,
        labels: NDArray[np.int32],
        missed: dict[int, str],
    ) -> None:
        tiles = geometry.tiles(*labels.shape)
        assert tiles is not None
        plan = self._plan
        drawing = TruthPicture(picture, truth, labels, tiles, plan.names, plan.background, missed)
        make_folder(str(path.parent))
        path.write_bytes(drawing.png())
        self.drawn += 1


def picture_files(names: Sequence[str]) -> list[str]:
    """The files of the drawn pictures: the pictures' own names, which end in .png.

    >>> picture_files(["a.jpg", "b/c.png", "d.png", "d.jpg"])
    ['a.png', 'b/c.png', 'd.png.png', 'd.jpg.png']
    """
    stems = [str(PurePosixPath(name).with_suffix("")) for name in names]
    counts = Counter(stems)
    files = [
        f"{stem if counts[stem] == 1 else name}.png"
        for stem, name in zip(stems, names, strict=True)
    ]
    return files if len(set(files)) == len(files) else [f"{name}.png" for name in names]
