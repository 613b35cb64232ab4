"""``netsurgery classify-map``: a class for every window of an image."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from netsurgery.cli.colors import Color, bold, color_count, kept_apart, paint
from netsurgery.cli.command import Command, useless
from netsurgery.cli.engine_options import engine_hint, engine_options
from netsurgery.cli.explain_options import explain_options, useless_when_explaining
from netsurgery.cli.files import refuse_any_stdin
from netsurgery.cli.job_options import job_options, run_job
from netsurgery.cli.map_picture_options import (
    background_option,
    class_option,
    map_picture_options,
    scales_options,
    upsample_option,
)
from netsurgery.cli.options import (
    box_options,
    force_option,
    is_printed,
    json_option,
    map_blob_option,
    quiet_option,
    state_options,
    trust_option,
    window_option,
)
from netsurgery.cli.output_options import output_options, resume_option, useless_without_output
from netsurgery.cli.picture_lists import pictures_argument
from netsurgery.cli.preprocess_options import (
    echo_model,
    model_options,
    picture_options,
    preprocess_options,
    settings_of_options,
    with_settings_file,
)
from netsurgery.cli.printing import (
    NotePrinter,
    cell,
    echo,
    echo_colored,
    echo_failed,
    echo_json_text,
    echo_notes,
    on_terminal,
    terminal_width,
)
from netsurgery.cli.progress import LateProgress, Progress
from netsurgery.engines.contract import EngineOptions
from netsurgery.formats.settings import Settings
from netsurgery.io.terminal import check_no_terminal, print_bytes
from netsurgery.io.wording import counted
from netsurgery.net.state import NetState
from netsurgery.verbs.outputs import OUTPUTS, MapView

if TYPE_CHECKING:
    from netsurgery.maps.classmap import ClassMap
    from netsurgery.maps.explain import Explain
    from netsurgery.maps.map_text import TextStyle
    from netsurgery.maps.picture_look import PictureLook
    from netsurgery.maps.picture_options import PictureOptions
    from netsurgery.maps.scales import Scales
    from netsurgery.verbs.classify_map_result import MapJob, MapResult

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
@model_options
@state_options
@preprocess_options
@picture_options
@useless_when_explaining("whose cells have windows of their own")(
    # Pixels lie between the middles of windows, in every file that has them.
    useless_without_output("window", unless=itemgetter("upsample"))(window_option)
)
@click.option(
    "--stride",
    type=click.IntRange(min=1),
    metavar="N",
    help="A cell every N pixels of the input, for a finer map: run the net over the image moved by "
    "each multiple of N below its total stride, which N divides. `netsurgery dense` writes a net "
    "that needs one run.",
)
@scales_options
@explain_options
@map_blob_option
@useless_when_explaining("whose classes are those of --class")(
    useless_without_output("top_k")(
        click.option(
            "--top-k",
            type=click.IntRange(min=1),
            default=1,
            show_default=True,
            metavar="K",
            envvar="NETSURGERY_TOP_K",
            help="With --json, --npz or --parquet: include the K likeliest classes of each cell.",
        )
    )
)
@useless("with -q, which prints no table", lambda values: values["quiet"])(
    useless("with --json, which has the table", lambda values: values["as_json"])(
        useless("with --job, which prints no map", lambda values: values["job"] is not None)(
            click.option(
                "--summary", is_flag=True, help="Print only the table of classes, not the map."
            )
        )
    )
)
@output_options("of_map")
@box_options
@class_option
@useless_when_explaining("which has no background")(background_option)
@map_picture_options
@useless_without_output("all_classes")(
    click.option(
        "--all-classes",
        is_flag=True,
        help="With --html: keep every class of every cell, not only the 20 likeliest of each and "
        "the 50 classes that matter most to the image.",
    )
)
@upsample_option
@trust_option
@engine_options
@job_options
@json_option
@quiet_option
@useless_without_output()(
    useless("with --job, which always goes on", lambda values: values["job"] is not None)(
        useless("with --stride, whose runs are not kept", lambda values: values["stride"])(
            useless("with --scales, whose runs are not kept", lambda values: values["scales"])(
                useless_when_explaining("which is not run in tiles")(resume_option)
            )
        )
    )
)
@useless_without_output()(force_option)
def command(
    images: tuple[str, ...],
    lists: tuple[str, ...],
    prototxt: Path | None,
    weights: Path | None,
    state: NetState,
    preprocess: Settings,
    size: PictureOptions,
    window: tuple[int, int] | None,
    stride: int | None,
    scales: Scales | None,
    explain: Explain | None,
    blob: str | None,
    top_k: int,
    summary: bool,
    outputs: dict[str, str],
    threshold: float | None,
    overlap: float,
    box_scales: tuple[float, ...],
    background: str | None,
    class_: str,
    all_classes: bool,
    upsample: Literal["pixels"] | None,
    look: PictureLook,
    trust_config: bool | None,
    engine: EngineOptions,
    job: Path | str | None,
    workers: int | None,
    on: str | None,
    as_json: bool,
    quiet: bool,
    resume: bool,
    force: bool,
) -> None:
    """Classify every window of an image, and print the map of classes.

    The net is fully convolutional, as convert makes it. Options override NETSURGERY_* variables,
    which override netsurgery.toml. Without any preprocessing the net is fed RGB values of 0..1,
    as by Caffe's own Classifier; most color nets need --preprocess bvlc.

    \b
    Example:
      netsurgery classify-map cat.jpg --picture map.png --class tabby
    """
    printed = is_printed(*outputs.values(), as_json=as_json)
    _import_numpy()
    from netsurgery.verbs.classify_map import classify_maps

    flags = settings_of_options(
        preprocess,
        state,
        prototxt=prototxt,
        weights=weights,
        window=window,
        background=background,
    )
    settings = with_settings_file(flags, trust_config)
    view = MapView(class_, top_k, all_classes, summary=summary, look=look, upsample=upsample)
    # those of the settings file are for its own blob
    drop_labels = blob is not None and flags.labels is None
    how: dict[str, Any] = {
        "size": size, "stride": stride, "scales": scales, "blob": blob,
        "drop_labels": drop_labels, "engine": engine, "state": state,
    }  # fmt: skip
    if "boxes" in outputs:
        from netsurgery.maps.box_rules import BoxRules

        how |= {"boxes": BoxRules(threshold, overlap), "box_scales": box_scales}
    if job is not None:
        from netsurgery.verbs.job import plan_job

        refuse_any_stdin("every worker of a job reads its files")
        planned = plan_job(
            images, settings, job, outputs=outputs, view=view, inputs=lists, force=force, **how
        )
        if not quiet:
            echo_model(flags, settings)
            hint = engine_hint(planned.engine, "classify-map")
            echo_notes([*planned.notes, *hint], err=True)
        run_job(planned, workers, on, engine, as_json=as_json, quiet=quiet, force=force)
        return
    with classify_maps(images, settings, explain=explain, **how) as maps:
        map_job = maps.to_files(outputs, view, inputs=lists, force=force, resume=resume)
        if not quiet:
            echo_model(flags, settings)
            echo_notes(maps.notes, err=True)
        if printed:
            check_no_terminal()
        _MapPrinter(map_job, as_json, quiet).all()
    if not quiet and not (explain is not None and explain.needs_caffe):
        echo_notes(engine_hint(maps.engine, "classify-map"), err=True)


def _import_numpy() -> None:
    """Import numpy without the threads of its BLAS, unless the user says how many.

    They begin by waiting busily for work, 20 ms of the cores that the net needs, and no large
    matrix is multiplied in this command. The variable is taken back: Caffe's process inherits it.
    """
    variable = "OPENBLAS_NUM_THREADS"
    if variable in os.environ:
        return
    os.environ[variable] = "1"
    try:
        import numpy  # noqa: F401
    finally:
        del os.environ[variable]


@dataclass
class _MapPrinter:
    """Prints the results, one after another."""

    job: MapJob
    as_json: bool
    quiet: bool
    printed: int = 0

    def __post_init__(self) -> None:
        self.notes = NotePrinter(self.quiet, records=self.as_json)

    def all(self) -> None:
        """Every result; where a picture failed the others are printed too. Exits with 1 then."""
        images, self.job.render = self.job.images, self.renderer()
        progress, failed = Progress(len(images), self.quiet, show_pos=True), 0
        within = LateProgress(self.quiet, show_pos=True)
        if len(images) == 1:
            self.job.step_to = within.step_to
        with closing(iter(self.job)) as results:  # what is written is not left half done
            for done, image in enumerate(images):
                progress.step_to(done, image)
                result = next(results)
                progress.clear()
                within.close()
                failed += result.map is None
                self.show_result(result)
                del result  # or its map would be there beside the next one
            next(results, None)  # the files that hold all pictures are written behind the last
        self.show_files(*self.job.of_all)
        if failed and len(images) > 1:
            echo(f"{failed} of {counted(len(images), 'image')} failed", err=True)
        if failed:
            raise click.exceptions.Exit(1)

    def show_result(self, result: MapResult) -> None:
        """Print what there is of one picture."""
        if result.map is None:
            self.failed(result)
            return
        from netsurgery.maps.classmap import said_notes

        self.notes.say(said_notes(result.map))
        if result.printed is not None:
            self.show_files(result.written, result.printed)
        elif result.text is not None:
            self.show_text(result.text, result.written)

    def failed(self, result: MapResult) -> None:
        """The error, and the record of the picture that has it. Raises that of the only picture."""
        assert result.error is not None
        alone = len(self.job.images) == 1
        if alone and not self.as_json:
            raise result.error
        if self.as_json:
            echo_json_text(json.dumps(result.to_json()))
        echo_failed(result.image, result.error, alone=alone)

    def renderer(self) -> Callable[[ClassMap], str] | None:
        """What makes the text of a map that is printed, beside the run on the next."""
        view = self.job.view
        if self.job.files.to_stdout or (self.quiet and not self.as_json):
            return None
        if self.as_json:
            # Else *.jpg may be one, or many; there is no stdout where it was closed at the start.
            pretty = len(self.job.images) == 1 and on_terminal(sys.stdout)
            return partial(_rendered, "json", view=replace(view, pretty=pretty))
        return partial(_rendered, "text", view=replace(view, style=_style()))

    def show_text(self, text: str, written: tuple[str, ...]) -> None:
        """The map on standard output, and which files were written."""
        if self.as_json:
            echo_json_text(text)
        else:
            if self.printed:
                echo()
            self.printed += 1
            echo_colored(text.rstrip("\n"))
            self.show_files(written)

    def show_files(self, written: tuple[str, ...], printed: bytes | None = None) -> None:
        """Which files were written, and the one that standard output is to get."""
        if printed is not None:
            print_bytes(io.BytesIO(printed))
        elif not (self.quiet or self.as_json or self.job.files.to_stdout):
            for path in written:
                echo(f"wrote {path}")


def _rendered(name: str, class_map: ClassMap, view: MapView) -> str:
    make = OUTPUTS[name].of_map
    assert make is not None
    content = make(class_map, view)
    assert isinstance(content, bytes)
    return content.decode("utf-8", "surrogateescape")


def _style() -> TextStyle:
    """How text looks on this standard output: as wide as a terminal, and in its colours."""
    from netsurgery.maps.map_text import TextStyle

    if not on_terminal(sys.stdout):
        return TextStyle(clean=cell)
    columns, count = terminal_width(), color_count()
    return TextStyle(columns, _painter(count), colored=count > 0, bold=bold, clean=cell)


def _painter(count: int) -> Callable[[str, int | None, int | None], str]:
    """Paints text in the colours of classes by their ranks; rare classes have none."""
    from netsurgery.maps.palette import CLASS_COLORS

    colors = kept_apart(CLASS_COLORS, count)

    def color(rank: int | None) -> Color | None:
        return None if rank is None or rank >= len(colors) else colors[rank]

    return lambda text, rank, behind: paint(text, color(rank), count, color(behind))
