"""``netsurgery evaluate``: how right a net is about annotated images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from netsurgery.cli.command import BOXES, Command, WordType, headed, of_net, useless
from netsurgery.cli.engine_options import engine_hint, engine_options
from netsurgery.cli.files import FILE_PATH, FOLDER_PATH
from netsurgery.cli.options import (
    box_options,
    force_option,
    json_option,
    map_blob_option,
    output_option,
    quiet_option,
    state_options,
    trust_option,
    useless_without_boxes,
    window_option,
)
from netsurgery.cli.preprocess_options import (
    annotated_picture_options,
    echo_model,
    model_options,
    preprocess_options,
    settings_of_options,
    with_settings_file,
)
from netsurgery.cli.printing import echo, echo_failed, echo_json, echo_notes, echo_table
from netsurgery.cli.progress import LateProgress
from netsurgery.cli.train_options import truth_options
from netsurgery.engines.contract import EngineOptions
from netsurgery.formats.settings import Settings
from netsurgery.io.wording import counted
from netsurgery.net.state import NetState

if TYPE_CHECKING:
    from netsurgery.maps.picture_options import PictureOptions
    from netsurgery.training.truth import TruthRules
    from netsurgery.verbs.evaluate_result import NetEvaluation

__all__ = ["command"]


def _named_class(text: str) -> tuple[str, str]:
    name, equals, label = text.partition("=")
    if not (name.strip() and equals and label.strip()):
        raise ValueError(f"{text[:60]!r} is not NAME=LABEL, as in person=pedestrian or person=3")
    return name.strip(), label.strip()


@click.command(
    cls=Command,
    exit_codes={
        0: "Done.",
        1: "An image could not be read, or an error.",
        2: "Wrong usage.",
    },
)
@click.argument("images", metavar="IMAGES", type=FOLDER_PATH)
@click.option(
    "--annotations",
    metavar="FILE|DIR",
    type=FILE_PATH,
    required=True,
    help="What is in the images of the folder IMAGES: COCO's JSON, a JSON of points and boxes, "
    "Caffe's list of images and numbers of classes (.txt), or a folder of Pascal VOC's XML files, "
    "of masks (PNG), or of a folder of images for each class.",
)
@click.option(
    "--classes",
    type=WordType("NAME=LABEL", _named_class),
    multiple=True,
    help="Which class of the net, by label or number, a class of the annotations is, none if it "
    "is not to count (default: the one of exactly the same name); repeatable. For masks without "
    "classes.txt they name the masks' numbers, from 0 on.",
)
@click.option(
    "--background",
    metavar="N|LABEL|none",
    envvar="NETSURGERY_BACKGROUND",
    shell_complete=of_net("complete_class"),
    help="Class of the net for what is none of the annotated (default: from netsurgery.toml, else "
    "none: cells in which nothing is annotated do not count).",
)
@headed(BOXES)(
    click.option(
        "--boxes",
        is_flag=True,
        help="Find boxes, the windows of cells that are sure of a class, and compare them with "
        "those annotated: average precision of those above the threshold, and how many are of no "
        "object.",
    )
)
@box_options
@truth_options
@click.option(
    "--top-k",
    type=click.IntRange(min=1),
    metavar="K",
    help="Count how many cells have their class among the K that score most, too, as Caffe's "
    "Accuracy layer does (default: 5 for images of one class each, if the net has more classes).",
)
@model_options
@window_option
@click.option(
    "--stride",
    type=click.IntRange(min=1),
    metavar="N",
    help="A cell every N pixels of the input, as classify-map does.",
)
@map_blob_option
@state_options
@preprocess_options
@annotated_picture_options
@trust_option
@engine_options
@useless_without_boxes(
    output_option(
        "--coco-results",
        metavar="FILE.json",
        type=FILE_PATH,
        help="File for the boxes, in COCO's format of results.",
    )
)
@json_option
@quiet_option
@useless("without --coco-results", lambda values: values["coco_results"] is None)(force_option)
def command(
    images: Path,
    annotations: Path,
    classes: tuple[tuple[str, str], ...],
    background: str | None,
    boxes: bool,
    threshold: float | None,
    overlap: float,
    box_scales: tuple[float, ...],
    rules: TruthRules,
    top_k: int | None,
    prototxt: Path | None,
    weights: Path | None,
    window: tuple[int, int] | None,
    stride: int | None,
    blob: str | None,
    state: NetState,
    preprocess: Settings,
    size: PictureOptions,
    trust_config: bool | None,
    engine: EngineOptions,
    coco_results: Path | None,
    as_json: bool,
    quiet: bool,
    force: bool,
) -> None:
    """Compare a net's map with what is annotated of images.

    IMAGES is their folder. Of all cells that are of a class: how many got it, and of each class
    precision, recall and the intersection over union, with masks of their pixels. With --boxes
    average precision at an overlap of 0.5. An image that cannot be read is reported and skipped.
    Options override NETSURGERY_* variables, which override netsurgery.toml.

    \b
    Example:
      netsurgery evaluate . --annotations truth.json --classes a=7
    """
    from netsurgery.maps.box_rules import BoxRules
    from netsurgery.verbs.evaluate import evaluate

    flags = settings_of_options(
        preprocess,
        state,
        prototxt=prototxt,
        weights=weights,
        window=window,
        background=background,
    )
    settings = with_settings_file(flags, trust_config)
    if not quiet:
        echo_model(flags, settings)
    with LateProgress(quiet, show_pos=True) as bar:
        result = evaluate(
            images,
            settings,
            annotations=annotations,
            classes=dict(classes),
            rules=rules,
            boxes=BoxRules(threshold, overlap) if boxes else None,
            box_scales=box_scales,
            coco_results=coco_results,
            size=size,
            stride=stride,
            blob=blob,
            top_k=top_k,
            # those of the settings file are for its own blob
            drop_labels=blob is not None and flags.labels is None,
            engine=engine,
            state=state,
            force=force,
            progress=bar.step_to,
        )
    _show(result, as_json, quiet)


def _show(result: NetEvaluation, as_json: bool, quiet: bool) -> None:
    """Print the result; where an image failed exit with 1, or raise the error of the only one."""
    total, failed = len(result.pictures), result.failed
    for row in failed:
        assert row.error is not None
        if total == 1 and not as_json:
            raise row.error
        echo_failed(row.image, row.error, alone=total == 1)
    if failed and total > 1:
        echo(f"{len(failed)} of {counted(total, 'image')} failed", err=True)
    if as_json:
        echo_json(result.to_json())
    elif not quiet and len(failed) < total:
        echo_table(result.table())
        for line in result.lines():
            echo(line)
        for path in result.written:
            echo(f"wrote {path}")
    if not quiet:
        echo_notes([*result.notes, *engine_hint(result.engine, "classify-map")], err=True)
    if failed:
        raise click.exceptions.Exit(1)
