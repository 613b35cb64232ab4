"""``netsurgery train``: a net learns from whole pictures, by every window of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from netsurgery.cli.command import LARGE, PREPROCESSING, Group, headed
from netsurgery.cli.files import (
    FILE_PATH,
    FOLDER_PATH,
    PROTOTXT,
    WEIGHTS,
    refuse_any_stdin,
)
from netsurgery.cli.options import (
    SIZE,
    NumberType,
    force_option,
    json_option,
    output_option,
    quiet_option,
    state_options,
    trust_option,
)
from netsurgery.cli.preprocess_options import MAP_SIZE, preprocess_options, with_settings_file
from netsurgery.cli.printing import echo, echo_json, echo_labelled, echo_notes, echo_table
from netsurgery.cli.progress import LateProgress
from netsurgery.cli.train_options import (
    augmentation_options,
    net_options,
    rule_options,
    solver_options,
)
from netsurgery.cli.train_report import report
from netsurgery.cli.train_run import run
from netsurgery.formats.settings import Settings

if TYPE_CHECKING:
    from netsurgery.net.state import NetState
    from netsurgery.verbs.train_plan_result import PlannedTraining

__all__ = ["command"]


@click.group(cls=Group)
def command() -> None:
    """Train a classifier by sliding windows: what every cell of its map should be.

    \b
    Example:
      netsurgery train plan lenet.prototxt lenet.caffemodel --annotations truth.json --images . \\
        -o plan
    """


@command.command()
@click.argument("net", metavar="NET.prototxt", type=PROTOTXT)
@click.argument("weights", metavar="MODEL.caffemodel", type=WEIGHTS)
@click.option(
    "--annotations",
    metavar="FILE|DIR",
    type=FILE_PATH,
    required=True,
    help="What is in the images: COCO's JSON, a JSON of points and boxes, Caffe's list of images "
    "and numbers of classes (.txt), or a folder of Pascal VOC's XML files, of masks (PNG), or of a "
    "folder of images for each class.",
)
@click.option(
    "--images", metavar="DIR", type=FOLDER_PATH, required=True, help="Folder of the images."
)
@output_option(
    "-o", "--output-dir", metavar="DIR", type=FOLDER_PATH, required=True, help="The plan's folder."
)
@click.option(
    "--classes",
    metavar="NAME,NAME",
    help="Names of the classes, in the order of a mask's numbers (default: from the annotations).",
)
@click.option(
    "--background-class",
    metavar="NAME",
    help="Class of what is none of them, by name or number (default: background).",
)
@rule_options
@augmentation_options
@click.option(
    "--input-size",
    type=SIZE,
    help="Size of the input to train  [default: for a map of 8x8; for images of one class each of "
    "one cell]",
)
@click.option(
    "--size",
    type=MAP_SIZE,
    help="Size of the input for a whole image: image (its own), net (that of --input-size), or "
    "HEIGHTxWIDTH; what is learnt is to be used at the same scale (default: image; for images of "
    "one class each that of a cell's window).",
)
@headed(PREPROCESSING)(
    click.option(
        "--fit",
        type=click.Choice(["warp", "crop", "pad"]),
        default="warp",
        show_default=True,
        help="How to fit a whole image to --size, as classify-map does.",
    )
)
@click.option(
    "--window",
    type=SIZE,
    help="Input size of the classifier that a fully convolutional net was (default: inferred).",
)
@click.option(
    "--hold-out",
    type=NumberType(min=0, max=1, max_open=True),
    default=0.1,
    show_default=True,
    metavar="X",
    help="Share of the images that are not learnt from.",
)
@headed(LARGE)(
    click.option(
        "--skip-broken",
        is_flag=True,
        help="Leave out images that are missing, cannot be read or are not as annotated, and name "
        "them in the plan (default: name them all, and write nothing).",
    )
)
@net_options
@solver_options
@click.option(
    "--pictures",
    type=click.IntRange(0),
    default=100,
    show_default=True,
    metavar="N",
    help="Draw the truth over the first N images.",
)
@state_options
@preprocess_options
@trust_option
@json_option
@quiet_option
@force_option
def plan(
    net: Path,
    weights: Path,
    annotations: Path,
    images: Path,
    output_dir: Path,
    classes: str | None,
    size: Any,
    fit: Any,
    window: tuple[int, int] | None,
    state: NetState,
    preprocess: Settings,
    trust_config: bool | None,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Plan a training by sliding windows, and draw its truth, to be looked at first.

    Every cell of the net's map learns the class of the object in its window. Writes into a new
    folder: train.prototxt and solver.prototxt, the truth of all images (truth.npz), drawings of it
    (pictures/), and plan.json. If the annotations' classes and the background are the net's own,
    its outputs are kept; otherwise the last layer begins from scratch, or with --keep-outputs
    gets more outputs.

    \b
    Example:
      netsurgery train plan lenet.prototxt lenet.caffemodel --annotations truth.json --images . \\
        -o plan
    """
    from netsurgery.maps.picture_options import PictureOptions
    from netsurgery.verbs.train_plan import train_plan

    refuse_any_stdin("a plan names its files")
    with LateProgress(quiet) as bar:
        result = train_plan(
            net,
            weights,
            output_dir,
            annotations=annotations,
            images=images,
            classes=None if classes is None else [name.strip() for name in classes.split(",")],
            size=PictureOptions(size, fit),
            settings=_settings(net, preprocess, window, trust_config),
            state=state,
            progress=bar.step_to,
            **options,
        )
    if not quiet:
        for error in result.plan.left_out.values():
            echo_labelled("warning", f"left out: {error}", err=True)
    if as_json:
        echo_json(result.to_json())
    elif not quiet:
        render(result)


def _settings(
    net: Path, flags: Settings, window: tuple[int, int] | None, trust: bool | None
) -> Settings:
    """The options, and what they leave out from the nearest netsurgery.toml of this net."""
    from dataclasses import replace

    flags = replace(flags, window=window)
    settings = with_settings_file(flags, trust)
    named = settings.prototxt
    return settings if named is not None and named.resolve() == net.resolve() else flags


def render(result: PlannedTraining) -> None:
    """Print the result for a person."""
    echo_table(result.table())
    for line in result.summary:
        echo(line)
    echo_notes(result.notes)
    for path in result.files:
        echo(f"wrote {path}")
    echo(f"next: {result.next}")


command.add_command(run)
command.add_command(report)
