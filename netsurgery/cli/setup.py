"""``netsurgery setup``: the preprocessing of a net, found by pictures of known classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from netsurgery.cli.command import PREPROCESSING, Command, headed, of_net, useless
from netsurgery.cli.engine_options import engine_options
from netsurgery.cli.files import FOLDER_PATH, IMAGE, PROTOTXT, WEIGHTS, refuse_stdin
from netsurgery.cli.options import (
    force_option,
    json_option,
    output_option,
    quiet_option,
    state_options,
    trust_option,
)
from netsurgery.cli.preprocess_options import LABELS, PRESET, MeanType
from netsurgery.cli.printing import echo, echo_json, echo_notes, echo_table
from netsurgery.engines.contract import EngineOptions
from netsurgery.formats.found_settings import with_found
from netsurgery.formats.presets import Preset
from netsurgery.formats.settings import Settings
from netsurgery.net.state import NetState

__all__ = ["command"]

F = TypeVar("F", bound=Callable[..., Any])


def _asked_for_another(values: Mapping[str, Any]) -> bool:
    """Whether --preprocess names a preset that takes no file of a mean."""
    preset = values["preset"]
    return preset is not None and not preset[0].mean_file


@headed(PREPROCESSING)
def _preset_options(command: F) -> F:
    """What goes into netsurgery.toml: --preprocess, --mean, --labels."""
    labels = click.option(
        "--labels", metavar="FILE", type=LABELS, help="File of class names, one per line."
    )
    mean = useless("with --preprocess, but for bvlc-mean", _asked_for_another)(
        click.option(
            "--mean",
            metavar="FILE|B,G,R",
            type=MeanType(),
            help="Try bvlc-mean with this mean instead of bvlc.",
        )
    )
    preset = click.option(
        "--preprocess",
        "preset",
        type=PRESET,
        help="Write this preset, whatever the images suggest.",
    )
    return preset(mean(labels(command)))


@click.command(
    cls=Command,
    exit_codes={
        0: "netsurgery.toml was written.",
        1: "The pictures do not decide, or an error; nothing was written.",
        2: "Wrong usage.",
    },
)
# One pair of brackets around two arguments: both are given, or neither.
@click.argument("prototxt", metavar="[NET.prototxt", type=PROTOTXT, required=False)
@click.argument("weights", metavar="MODEL.caffemodel]", type=WEIGHTS, required=False)
@click.option(
    "--image",
    "images",
    metavar="FILE",
    multiple=True,
    required=True,
    type=IMAGE,
    help="Image of a known class; repeatable, each with its --class.",
)
@click.option(
    "--class",
    "classes",
    metavar="N|LABEL",
    multiple=True,
    required=True,
    shell_complete=of_net("complete_class"),
    help="Class of the image, by number or by a label of --labels.",
)
@click.option(
    "--blob",
    metavar="NAME",
    shell_complete=of_net("complete_blob"),
    help="Blob with the class scores (default: the top of the last layer, or what it looks at "
    "if it is an ArgMax).",
)
@output_option(
    "-o",
    "--output-dir",
    metavar="DIR",
    type=FOLDER_PATH,
    help="Folder for netsurgery.toml (default: that of NET).",
)
@_preset_options
@state_options
@trust_option
@engine_options
@json_option
@quiet_option
@force_option
def command(
    prototxt: Path | None,
    weights: Path | None,
    images: tuple[str, ...],
    classes: tuple[str, ...],
    labels: Path | None,
    mean: Path | tuple[float, ...] | None,
    preset: tuple[Preset, Path | None] | None,
    blob: str | None,
    output_dir: Path | None,
    state: NetState,
    trust_config: bool | None,
    engine: EngineOptions,
    as_json: bool,
    quiet: bool,
    force: bool,
) -> None:
    """Find a net's preprocessing from images of known classes.

    Tries the presets for the net's number of channels on the images (`netsurgery presets` lists
    them). The preset that puts the right class first in most images is written to netsurgery.toml.
    If none does for any image, two do equally often, or the best is hardly better than chance or
    than the next, nothing is written: give more images, or choose by --preprocess. An image that is
    nearly of one color is refused, since it fits no preset better than another. Without NET and
    MODEL, uses those of the nearest netsurgery.toml. The net may be a classifier or converted; of a
    map the mean over all cells counts. --force replaces an existing netsurgery.toml; what it says
    of the same net, such as labels, is kept.

    \b
    Example:
      netsurgery setup --image cat.jpg --class tabby --force
    """
    from netsurgery.verbs.setup import setup

    # netsurgery.toml names these files, and no pictures.
    refuse_stdin(prototxt, weights, labels, mean)
    if (prototxt is None) != (weights is None):
        raise click.UsageError("give the net and its weights, or neither for netsurgery.toml's")
    if prototxt is None or weights is None:
        prototxt, weights, folder = _configured_net(trust_config)
        output_dir = output_dir or folder
    if len(images) != len(classes):
        raise click.UsageError(f"{len(images)} --image and {len(classes)} --class; give as many")
    if preset is not None and preset[1] is not None:
        if mean is not None:
            raise click.UsageError("--preprocess and --mean both name a mean")
        mean = preset[1]
    result = setup(
        prototxt,
        weights,
        images,
        classes,
        labels=labels,
        mean=mean,
        preprocess=None if preset is None else preset[0].name,
        blob=blob,
        folder=output_dir,
        engine=engine,
        state=state,
        force=force,
    )
    if as_json:
        echo_json(result.to_json())
    elif not quiet:
        if result.engine_note:
            echo_notes([result.engine_note], err=True)
        echo_table(result.table())
    if result.path is None:
        # As an error: with --quiet and --json, too, it says why nothing was written.
        echo(result.verdict, err=True)
        raise click.exceptions.Exit(1)
    if not (as_json or quiet):
        echo(result.verdict)
        echo(f"wrote {result.path}")


def _configured_net(trust: bool | None) -> tuple[Path, Path, Path]:
    """The net and the weights of the nearest netsurgery.toml, and its folder."""
    from netsurgery.maps.from_settings import check_model

    settings = with_found(Settings(), Path(), trust=trust, keys=("prototxt", "weights"))
    prototxt, weights = check_model(settings)
    assert settings.path is not None
    return prototxt, weights, settings.path.parent
