"""``netsurgery features``: blobs of a net as arrays."""

from __future__ import annotations

from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from netsurgery.cli.channel_options import channel_options
from netsurgery.cli.command import Command, of_net
from netsurgery.cli.engine_options import engine_hint, engine_options
from netsurgery.cli.files import FILE_PATH
from netsurgery.cli.options import (
    force_option,
    json_option,
    output_option,
    quiet_option,
    state_options,
    trust_option,
)
from netsurgery.cli.output_options import output_flags, output_options, resume_option
from netsurgery.cli.picture_lists import pictures_argument
from netsurgery.cli.preprocess_options import (
    echo_model,
    model_options,
    picture_options,
    pixel_options,
    settings_of_options,
    with_settings_file,
)
from netsurgery.cli.printing import (
    NotePrinter,
    echo,
    echo_failed,
    echo_json,
    echo_notes,
    echo_table,
)
from netsurgery.cli.progress import Progress
from netsurgery.engines.contract import EngineOptions
from netsurgery.formats.settings import Settings
from netsurgery.io.shape_text import shape_text
from netsurgery.io.table import Column, Table
from netsurgery.io.wording import counted, listed
from netsurgery.net.state import NetState

if TYPE_CHECKING:
    from netsurgery.maps.channel_view import ChannelView
    from netsurgery.maps.picture_options import PictureOptions
    from netsurgery.verbs.features_result import FeatureJob

__all__ = ["command"]


@click.command(
    cls=Command,
    exit_codes={
        0: "Done.",
        1: "An image could not be read, or an error.",
        2: "Wrong usage.",
    },
)
@pictures_argument
@click.option(
    "--blob",
    "blobs",
    metavar="NAME",
    multiple=True,
    required=True,
    shell_complete=of_net("complete_blob"),
    help="Blob to save; repeatable.",
)
@output_option(
    "-o",
    "--output",
    metavar="FILE",
    type=FILE_PATH,
    help="File for the arrays: .npz, .h5 (HDF5), or .npy for one blob of one image.",
)
@output_options("of_features")
@channel_options
@model_options
@state_options
@pixel_options
@picture_options
@trust_option
@engine_options
@json_option
@quiet_option
@resume_option
@force_option
def command(
    images: tuple[str, ...],
    lists: tuple[str, ...],
    blobs: tuple[str, ...],
    output: Path | None,
    outputs: dict[str, str],
    view: ChannelView,
    prototxt: Path | None,
    weights: Path | None,
    state: NetState,
    preprocess: Settings,
    size: PictureOptions,
    trust_config: bool | None,
    engine: EngineOptions,
    as_json: bool,
    quiet: bool,
    resume: bool,
    force: bool,
) -> None:
    """Save blobs of a net as arrays, with the position of their cells in the image.

    Arrays are float32, C x H x W for a map. Where they are depends on the file's ending; NAME is
    the image's file name without its own (images of the same name keep it, or get a number):

    \b
    .npz  NAME/BLOB, and NAME/BLOB:stride and the like
    .h5   dataset /NAME/BLOB, with the geometry as attributes
    .npy  the array alone, and the geometry in FILE.json

    The geometry of a blob, as [height, width]: image_size, input_size, resized and placed (where
    the image is in the input), stride, offset and field (cell i depends on the input pixels from
    offset + i x stride on, field of them, padding included), window (the pixels from i x stride on
    that a cell stands for). What is unknown or does not apply (cells that see the whole image) is
    left out, null in JSON.

    An image that cannot be read is reported and skipped; if none can be read nothing is written.
    Options override NETSURGERY_* variables, which override netsurgery.toml.

    \b
    Example:
      netsurgery features cat.jpg --blob ip1-conv -o features.npz --picture grid.png
    """
    from netsurgery.verbs.features import extract_features

    if output is None and not outputs:
        raise click.UsageError(f"give {listed(['--output', *output_flags('of_features')])}")
    flags = settings_of_options(preprocess, state, prototxt=prototxt, weights=weights)
    settings = with_settings_file(flags, trust_config)
    with extract_features(
        images, blobs, settings, size=size, engine=engine, state=state
    ) as extracted:
        job = extracted.to_files(output, outputs, view, inputs=lists, force=force, resume=resume)
        if not quiet:
            echo_model(flags, settings)
            echo_notes(extracted.notes, err=True)
        _FeaturePrinter(job, as_json, quiet).all()
    if not quiet:
        echo_notes(engine_hint(extracted.engine, "features"), err=True)


@dataclass
class _FeaturePrinter:
    """Prints the results, and at the end what was written."""

    job: FeatureJob
    as_json: bool
    quiet: bool
    records: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.notes = NotePrinter(self.quiet)

    def all(self) -> None:
        """Every result; where a picture failed the others are there too. Exits with 1 then."""
        total = len(self.job.images)
        failed = self.results(total)
        if failed and total > 1:
            echo(f"{failed} of {counted(total, 'image')} failed", err=True)
        if self.as_json:
            echo_json(self.job.to_json(self.records))
        elif not self.quiet and failed < total:
            echo_table(self.table())
            for path in self.job.written:
                echo(f"wrote {path}")
        if failed:
            raise click.exceptions.Exit(1)

    def results(self, total: int) -> int:
        """How many pictures failed; each one is reported."""
        from netsurgery.verbs.features_result import NothingTaken

        progress, failed = Progress(total, self.quiet, show_pos=True), 0
        # Closed on an error too, so that its outputs are dropped at once.
        with closing(iter(self.job)) as results, suppress(NothingTaken):
            progress.step_to(0, self.job.images[0])
            for done, result in enumerate(results, 1):
                progress.clear()
                self.records.append(result.to_json())
                failed += result.error is not None
                if result.error is not None:
                    if total == 1 and not self.as_json:
                        raise result.error
                    echo_failed(result.image, result.error, alone=total == 1)
                if result.features is not None:
                    self.notes.say(result.features.notes)
                if done < total:
                    progress.step_to(done, self.job.images[done])
        progress.clear()
        return failed

    def table(self) -> Table:
        """A line for each blob of each picture."""
        table = Table(
            (
                Column("image"),
                Column("blob", 1),
                Column("shape", 2, number=True),
                Column("stride", 3, number=True),
                Column("field", 4, number=True),
                Column("offset", 5, number=True),
            )
        )
        for record in self.records:
            for blob in record.get("blobs", ()):
                table.add(record["name"], blob["blob"], *_geometry(blob))
        return table


def _geometry(blob: dict[str, Any]) -> list[str]:
    pairs = [blob[key] for key in ("stride", "field", "offset")]
    texts = ["" if pair is None else f"{pair[0]:g}, {pair[1]:g}" for pair in pairs]
    return [shape_text(blob["shape"]), *texts]
