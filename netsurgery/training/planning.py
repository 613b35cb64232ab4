"""From a net, annotations and options to a training plan, before any picture is opened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from netsurgery.engines.model_file import check_params
from netsurgery.errors import FormatError, PrototxtError, SettingsError, SurgeryError
from netsurgery.formats.labels import Labels, load_labels
from netsurgery.formats.settings import Settings
from netsurgery.io.shape_text import shape_text
from netsurgery.io.wording import argument
from netsurgery.maps.picture_options import InputSize
from netsurgery.net.net import NetDefinition
from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.net.shapes import infer
from netsurgery.surgery.convolution.weights import match_weights
from netsurgery.training.added_rows import added_rows, row_notes
from netsurgery.training.class_numbers import add_classes, number_classes
from netsurgery.training.objects import Annotations
from netsurgery.training.plan import (
    PlanOptions,
    TrainingPlan,
    checksums,
    held_out,
    preprocessing,
)
from netsurgery.training.solver_text import SolverSettings
from netsurgery.training.trained_maps import TrainedMaps
from netsurgery.training.training_net import TrainingNet, training_net

__all__ = ["PlanFiles", "make_plan"]

Size = tuple[int, int]

#: Cells along a side of the map that is trained, where nobody says.
_CELLS = 8


@dataclass(frozen=True)
class PlanFiles:
    """What a plan is made of."""

    net: Path
    model: Path
    annotations: Path
    images: Path


def make_plan(
    net: NetDefinition,
    files: PlanFiles,
    annotations: Annotations,
    options: PlanOptions,
    settings: Settings,
    solver: SolverSettings,
    input_size: Size | None,
) -> tuple[TrainingPlan, TrainedMaps, tuple[str, ...]]:
    """The plan, the maps of its training net, and what the user should know.

    Raises SurgeryError, NetError and PrototxtError for a net that cannot be trained so, FormatError
    and its children for settings that do not fit.
    """
    declared = input_size or _declared(net)
    own = training_net(net, size=declared, keep_auxiliary=options.keep_auxiliary)
    window = _window(own, settings.window)
    maps = TrainedMaps(own, window, options.size, declared)
    if annotations.of_wholes:
        one_cell = window if window and maps.source.gives_one_cell(window) else declared
        size = input_size or one_cell
        of_picture: InputSize = "net" if size == one_cell else one_cell
    else:
        size, of_picture = input_size or _enlarged(maps, declared), "image"
    options = replace(options, size=options.size.or_size(of_picture))
    labels = None if settings.labels is None else load_labels(settings.labels)
    background = options.background_class or _background(settings, labels)
    if annotations.numbered:
        labels = None
    known = (annotations.classes, own.outputs, labels, background)
    classes = (
        add_classes(*known, source=str(files.annotations))
        if options.keep_outputs
        else number_classes(*known)
    )
    paths = {
        name: str(getattr(files, name).absolute())
        for name in ("net", "model", "annotations", "images")
    }
    pixels = preprocessing(settings)
    plan = TrainingPlan(
        **paths,
        state=net.state,
        settings=pixels,
        options=options,
        solver=solver,
        names=classes.names,
        numbers=classes.numbers,
        background=classes.background,
        own_outputs=classes.own_outputs,
        input_size=size,
        window=window,
        weights=(),  # which are known when the cells are counted
        held_out=held_out(annotations.pictures, options.hold_out, solver.seed),
        left_out={},  # which are known when the pictures are opened
        files=_checksums(paths, pixels),
    )
    trained = plan.training_net(net)
    # What cannot be used is refused now, not by the run.
    _check_weights(trained, files.model)
    maps = plan.maps(trained)
    plain = plan.transformer(maps.channels).plain_note()
    _ = maps.grids
    rows = row_notes(added_rows(trained), solver.seed)
    notes = [*trained.notes, *classes.notes, *rows, plain]
    return plan, maps, tuple(dict.fromkeys(filter(None, notes)))


def _window(net: TrainingNet, said: Size | None) -> Size | None:
    """The classifier's input, None for a net that always had a map. said: by the settings.

    Raises SettingsError where they say another than that of a net that is converted now.
    """
    if net.plan is None:
        return said
    window = net.plan.inputs[0].window
    if said is not None and said != window:
        raise SettingsError(
            f"{argument(f'--window {shape_text(said)}')}: the input of the classifier is "
            f"{shape_text(window)}; leave it out"
        )
    return window


def _checksums(paths: Mapping[str, str], pixels: Mapping[str, object]) -> dict[str, str]:
    mean = pixels.get("mean")
    files: Sequence[str] = [paths["net"], paths["model"], paths["annotations"]]
    return checksums([*files, mean] if isinstance(mean, str) else files, paths["annotations"])


def _check_weights(net: TrainingNet, weights: Path) -> None:
    """Raise NetError for weights that lack a layer's params, or are of another net."""
    with NetWithWeights(net.base, weights) as model:
        if net.plan is None:
            check_params(model)
        else:
            match_weights(net.plan, NetWithWeights(net.plan.net, model.weights))


def _declared(net: NetDefinition) -> Size:
    """Height and width of the input of pictures that the net declares, in use or in training.

    Raises SurgeryError where it declares none.
    """
    for phase in ("TEST", "TRAIN"):
        try:
            read = NetDefinition.of(net.prototxt, replace(net.state, phase=phase))
        except PrototxtError:
            continue  # it is a net in the other alone
        sources = [top for layer in read.layers if not layer.bottoms for top in layer.tops]
        shapes = infer(read).blobs
        for name in [*(each.name for each in read.inputs), *sources]:
            shape = shapes.get(name, ())
            if len(shape) == 4 and shape[2:] != (1, 1):
                return shape[2], shape[3]
    raise SurgeryError(
        f"{net.prototxt.path}: declares no input of N x C x H x W; "
        f"{argument('--input-shape data=NxCxHxW')} gives it"
    )


def _enlarged(maps: TrainedMaps, declared: Size) -> Size:
    """The input that gives a map of some cells, where the declared one gives one."""
    grid = maps.grids[-1]
    height, width = (
        side if count > 1 else side + round(stride * (_CELLS - 1))
        for side, count, stride in zip(declared, grid.shape, grid.cells.stride, strict=True)
    )
    return height, width


def _background(settings: Settings, labels: Labels | None) -> str | None:
    """The name of the background that the settings have, None for none."""
    name = settings.background
    if name is None or name.strip().casefold() == "none":
        return None
    try:
        return name if labels is None else labels.short(labels.find(name))
    except FormatError:
        return name
