"""``netsurgery.train_plan``: what a net is to be trained with, made ready and drawn.

The folder appears whole or not at all; no input is changed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from netsurgery.errors import FormatError, SettingsError
from netsurgery.formats.settings import Settings, as_settings
from netsurgery.io.argument_types import as_names, checks_arguments
from netsurgery.io.output_folder import OutputFolder, check_output_folders
from netsurgery.io.size import AnySize, as_size
from netsurgery.io.unreadable import check_file
from netsurgery.io.wording import argument
from netsurgery.maps.picture_options import AnyPictureOptions, as_picture_options
from netsurgery.net.net import NetDefinition
from netsurgery.net.state import TEST, NetState
from netsurgery.open_net.arguments import AnyPath
from netsurgery.training.annotations import read_annotations
from netsurgery.training.augment import Augmentation
from netsurgery.training.plan import PLAN, PlanOptions
from netsurgery.training.plan_folder import PlanWriter
from netsurgery.training.plan_lock import alone_with
from netsurgery.training.planning import PlanFiles, make_plan
from netsurgery.training.solver_text import SolverSettings
from netsurgery.training.truth import TruthRules
from netsurgery.verbs.train_plan_result import PlannedTraining

__all__ = ["train_plan"]


@checks_arguments()
def train_plan(
    net: AnyPath,
    weights: AnyPath,
    folder: AnyPath,
    *,
    annotations: AnyPath,
    images: AnyPath,
    classes: str | Iterable[str] | None = None,
    background_class: str | None = None,
    rules: TruthRules | None = None,
    augmentation: Augmentation | None = None,
    background: float = 0.15,
    input_size: AnySize | None = None,
    size: AnyPictureOptions | None = None,
    batch: int = 8,
    hold_out: float = 0.1,
    balance: bool = False,
    background_weight: float = 1,
    keep_outputs: bool = False,
    keep_auxiliary: bool = False,
    freeze: str | Iterable[str] = (),
    train_batch_norm: bool = False,
    solver: SolverSettings | None = None,
    settings: Settings | AnyPath | None = None,
    state: NetState = TEST,
    skip_broken: bool = False,
    pictures: int = 100,
    force: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> PlannedTraining:
    """Plan the training of a classifier by sliding windows, in a folder, to be looked at first.

    net, weights: a prototxt, in use or of training, and its caffemodel. folder: must not exist, or
    be a plan's, with force. annotations: COCO's JSON, a JSON of points and boxes, Caffe's list of
    pictures and class numbers (.txt), or a folder of Pascal VOC's files, of masks, or of a folder
    of pictures for each class; images: the folder of their pictures. classes: the annotations'
    names, in the order of a mask's numbers. background_class: the name or number of the class of
    what is none of them. rules: which cells are of an object, see TruthRules; augmentation: how
    pictures are changed at random. background: the share of background cells that counts in each
    step. input_size: (height, width) that is trained; None for what gives a map of 8 x 8, or of one
    cell where the annotations are classes of whole pictures. size: how large the input of a whole
    picture is, as in `classify_map`; None for the window of one cell where the annotations are
    classes of whole pictures, and else "image". batch: pictures a step. hold_out: the share of
    pictures that are not learnt from. balance: weigh classes by how rare their cells are, by an
    InfogainLoss. background_weight: how many times as much as another's a background cell's loss
    counts, by an InfogainLoss: more for fewer false finds and more misses. keep_outputs: keep those
    that the net has, with their weights, and add one for each class that its labels do not have.
    keep_auxiliary: train the classifiers on the way, too. freeze: layers that stay as they are.
    train_batch_norm: take the statistics of each batch. solver: how weights change; its seed is
    that of all chance. settings: preprocessing, labels and the window of a net that is fully
    convolutional already.
    state: in which the prototxt is read. skip_broken: leave out pictures that are not there, cannot
    be read or are not as annotated; the plan names them. pictures: how many are drawn. progress:
    called with the pictures done and their number.

    >>> import json
    >>> import netsurgery as ns
    >>> with open("examples/digits_canvas.json") as file:
    ...     digits = json.load(file)["digits"]
    >>> boxes = [{"class": str(each["digit"]), "box": each["box"]} for each in digits]
    >>> truth = {"classes": [str(digit) for digit in range(10)],
    ...          "pictures": [{"file": "digits_canvas.png", "boxes": boxes}]}
    >>> with open("truth.json", "w") as file:
    ...     json.dump(truth, file)
    >>> plan = ns.train_plan("prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel",
    ...                      "plan", annotations="truth.json", images="examples",
    ...                      background_class="10", rules=ns.TruthRules(scale=(0.5, 1.2)))
    >>> plan.outputs, plan.input_size
    (11, (88, 88))

    Raises FormatError for broken annotations, BrokenImages, with all of them, for pictures that
    cannot be used, SurgeryError for a net that cannot be trained so, SettingsError, NetError,
    PrototxtError, OutputError, MemoryLimitError; TrainingError where the plan to be replaced is
    being run. Nothing is written then.
    """
    _check_numbers(background, hold_out, background_weight, batch, pictures)
    files = PlanFiles(*map(Path, (net, weights, annotations, images)))
    settings = as_settings(settings)
    named = [*(str(path) for path in vars(files).values()), *settings.files]
    check_output_folders([os.fspath(folder)], [PLAN], inputs=named, force=force)
    check_file(files.model, "a caffemodel", FormatError)
    options = PlanOptions(
        classes=None if classes is None else tuple(as_names(classes, "classes")),
        background_class=background_class,
        rules=rules or TruthRules(),
        augmentation=augmentation or Augmentation(),
        background=background,
        size=as_picture_options(size),
        batch=batch,
        hold_out=hold_out,
        balance=balance,
        background_weight=float(background_weight),
        keep_outputs=keep_outputs,
        keep_auxiliary=keep_auxiliary,
        freeze=tuple(as_names(freeze, "freeze")),
        train_batch_norm=train_batch_norm,
    )
    trained_size = None if input_size is None else as_size(input_size, "input_size")
    definition = NetDefinition.read(files.net, state)
    read = read_annotations(files.annotations, files.images, options.classes, allow_missing=True)
    plan, maps, notes = make_plan(
        definition,
        files,
        read,
        options,
        settings,
        solver or SolverSettings(),
        trained_size,
    )
    writer = PlanWriter(plan, maps, pictures, skip_broken=skip_broken)
    with alone_with(Path(folder)), OutputFolder(os.fspath(folder), force=force) as output:
        plan = writer.write(output, read, progress)
    notes = (*notes, *writer.tally.notes(plan.numbers, plan.background))
    return PlannedTraining(str(folder), plan, maps.net, writer.tally, writer.drawn, notes)


def _check_numbers(
    background: float, hold_out: float, background_weight: float, batch: int, pictures: int
) -> None:
    """Raise SettingsError for numbers that cannot be."""
    shares = {argument("--background"): background, argument("--hold-out"): hold_out}
    for option, share in shares.items():
        if not 0 <= share <= 1:
            raise SettingsError(f"{option} {share:g}: expected a share of 1")
    if hold_out == 1:
        raise SettingsError(f"{argument('--hold-out')} 1: nothing would be left to learn from")
    if not 0.01 <= background_weight <= 100:
        raise SettingsError(
            f"{argument('--background-weight')} {background_weight:g}: expected a number from 0.01 "
            "to 100"
        )
    if not 1 <= batch <= 100_000:
        raise SettingsError(f"{argument('--batch')} {batch}: expected a number from 1 on")
    if pictures < 0:
        raise SettingsError(f"{argument('--pictures')} {pictures}: expected a number from 0 on")
