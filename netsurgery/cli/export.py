"""``netsurgery export``: a net and its weights as ONNX."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from netsurgery.cli.command import Command, of_net, useless
from netsurgery.cli.files import FILE_PATH, PROTOTXT, WEIGHTS, is_stdin
from netsurgery.cli.options import (
    force_option,
    is_printed,
    json_option,
    output_option,
    quiet_option,
    state_options,
    trust_option,
)
from netsurgery.cli.printing import echo, echo_json, echo_notes
from netsurgery.cli.progress import bytes_written
from netsurgery.errors import SettingsError
from netsurgery.formats.found_settings import with_found
from netsurgery.formats.settings import PIXEL_KEYS, SETTINGS_NAME, Settings
from netsurgery.net.state import NetState

if TYPE_CHECKING:
    from netsurgery.verbs.export import OnnxExport, WeightsStorage

__all__ = ["command"]


@click.command(cls=Command)
@click.argument("prototxt", metavar="NET.prototxt", type=PROTOTXT)
@click.argument("weights", metavar="MODEL.caffemodel", type=WEIGHTS)
@output_option(
    "-o",
    "--output",
    metavar="NET.onnx",
    type=FILE_PATH,
    required=True,
    help="ONNX model to write; - is standard output.",
)
@click.option(
    "--blob",
    "blobs",
    metavar="NAME",
    multiple=True,
    shell_complete=of_net("complete_blob"),
    help="Output of the model, instead of the net's outputs; repeatable.",
)
@click.option(
    "--weights-storage",
    type=click.Choice(["inside", "linked"]),
    default="inside",
    show_default=True,
    help="inside: one file. linked: a few KB that refer to the caffemodel, which must be in the "
    "model's folder or below.",
)
@click.option(
    "--with-preprocess",
    is_flag=True,
    help=f"Include the preprocessing of {SETTINGS_NAME}: the model takes RGB, 0..255.",
)
@state_options
@useless("without --with-preprocess", lambda values: not values["with_preprocess"])(trust_option)
@json_option
@quiet_option
@force_option
def command(
    prototxt: Path,
    weights: Path,
    output: Path,
    blobs: tuple[str, ...],
    weights_storage: WeightsStorage,
    with_preprocess: bool,
    state: NetState,
    trust_config: bool | None,
    as_json: bool,
    quiet: bool,
    force: bool,
) -> None:
    """Export a net with its weights to ONNX.

    Values keep the names of Caffe's blobs. Height, width and batch size are dynamic where the net
    allows it. With --blob only the layers that the blobs depend on are exported; the others may be
    of any type.

    \b
    Example:
      netsurgery export deploy.prototxt model.caffemodel -o model.onnx
    """
    from netsurgery.verbs.export import export_onnx

    printed = is_printed(output, as_json=as_json)
    settings = settings_for(prototxt, trust_config) if with_preprocess else None
    with bytes_written(quiet) as progress:
        result = export_onnx(
            prototxt,
            weights,
            output,
            blobs=blobs,
            weights_storage=weights_storage,
            preprocess=settings,
            state=state,
            force=force,
            progress=progress,
        )
    if as_json:
        echo_json(result.to_json())
    elif not quiet:
        render(result, err=printed)


def settings_for(prototxt: Path, trust_config: bool | None) -> Settings:
    """The settings in the prototxt's folder or above. Raises SettingsError for none."""
    if is_stdin(prototxt):
        raise SettingsError(
            f"standard input lies beside no {SETTINGS_NAME} that says how pictures are made ready; "
            "give the prototxt as a file, or leave out --with-preprocess"
        )
    # The pixels alone: the net is the one on the command line.
    settings = with_found(Settings(), prototxt.parent, trust=trust_config, keys=PIXEL_KEYS)
    if settings.path is None:
        raise SettingsError(
            f"no {SETTINGS_NAME} in the folder of {prototxt} or above it says how pictures are "
            "made ready; leave out --with-preprocess, or write one"
        )
    return settings


def render(result: OnnxExport, *, err: bool) -> None:
    """Print the result for a person; on standard error where the model itself goes to output."""
    for word, blobs in (("input", result.inputs), ("output", result.outputs)):
        for blob, axes in blobs.items():
            echo(f"{word} {blob}: [{', '.join(map(str, axes))}]", err=err)
    if result.fixed is not None:
        echo(f"height and width are fixed: {result.fixed}", err=err)
    echo_notes(result.notes, err=err)
    if not err:
        echo(f"wrote {result.path}")
