"""``netsurgery convert``: a classifier made fully convolutional."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from netsurgery.cli.command import BETWEEN, Command, headed, of_net, useless
from netsurgery.cli.engine_options import engine_hint, engine_options
from netsurgery.cli.files import FILE_PATH, FOLDER_PATH, PROTOTXT, WEIGHTS, refuse_stdin
from netsurgery.cli.options import (
    SIZE,
    draw_option,
    dry_run_option,
    force_option,
    json_option,
    output_option,
    quiet_option,
    state_options,
    trust_option,
)
from netsurgery.cli.preprocess_options import preprocess_options
from netsurgery.cli.printing import echo, echo_diff, echo_json, echo_notes, echo_table
from netsurgery.cli.progress import bytes_written
from netsurgery.engines.contract import EngineOptions
from netsurgery.formats.settings import Settings
from netsurgery.io.shape_text import shape_text, stride_text
from netsurgery.net.state import NetState

if TYPE_CHECKING:
    from netsurgery.verbs.convert_result import Conversion

__all__ = ["command"]


@click.command(cls=Command)
@click.argument("prototxt", metavar="DEPLOY.prototxt", type=PROTOTXT)
@click.argument("weights", metavar="MODEL.caffemodel", type=WEIGHTS)
@output_option(
    "-o",
    "--output-dir",
    metavar="DIR",
    type=FOLDER_PATH,
    help="Output folder (default: the current one).",
)
@output_option("--prototxt-out", metavar="FILE", type=FILE_PATH, help="Name of the new prototxt.")
@output_option("--weights-out", metavar="FILE", type=FILE_PATH, help="Name of the new caffemodel.")
@draw_option("Also draw the new net, with what changes: .svg, .png, .html, .mmd or .dot.")
@click.option(
    "--suffix",
    default="-conv",
    show_default=True,
    help="Suffix appended to the names of converted layers.",
)
@click.option(
    "--layers",
    metavar="NAME,NAME",
    shell_complete=of_net("complete_layers"),
    help="Convert these InnerProduct layers only (default: all).",
)
@click.option(
    "--on-refusal",
    type=click.Choice(["stop", "skip"]),
    default="stop",
    show_default=True,
    help="If a layer cannot be converted: stop, or skip that layer.",
)
@click.option(
    "--keep-global-pooling",
    is_flag=True,
    help="Keep a global pooling before the classifier; the map then has one cell.",
)
@click.option(
    "--before-pooling",
    is_flag=True,
    help="Remove a global pooling: a map of the classifier's scores at each place that it pooled "
    "(class activation map), whose mean is the score. The input keeps its size unless another is "
    "given.",
)
@state_options
@click.option("--input-size", type=SIZE, help="Size of the new net's input.")
@click.option(
    "--map-size",
    type=SIZE,
    help="Size of the class map; the input size is then old size + total stride x (map size - "
    "1)  [default: 8x8]",
)
@click.option(
    "--stride",
    type=click.IntRange(min=1),
    metavar="N",
    help="A cell every N pixels, for a finer map: N divides the net's total stride. The default "
    "input stays the same, and its map is finer. See `netsurgery dense`.",
)
@headed(BETWEEN)(
    click.option(
        "--upsample",
        is_flag=True,
        help="A score for each pixel of the input: interpolate the map bilinearly, by a "
        "Deconvolution of fixed weights and a Crop, as FCN-32s does.",
    )
)
@headed(BETWEEN)(
    useless("without --upsample", lambda values: not values["upsample"])(
        click.option(
            "--skip",
            "skips",
            multiple=True,
            metavar="LAYER",
            shell_complete=of_net("complete_layer"),
            help="With --upsample: add the finer map of this layer on the way, as in FCN-16s and "
            "FCN-8s, by a Convolution whose scores are zeros until it is trained; repeatable.",
        )
    )
)
@click.option(
    "--verify",
    is_flag=True,
    help="Run both nets first and compare every cell of the map with the classifier on its "
    "window, with --before-pooling the map's mean with its score; if they differ, write nothing.",
)
@dry_run_option
@preprocess_options
@trust_option
@engine_options
@json_option
@quiet_option
@force_option
def command(
    prototxt: Path,
    weights: Path,
    output_dir: Path | None,
    prototxt_out: Path | None,
    weights_out: Path | None,
    draw: Path | None,
    suffix: str,
    layers: str | None,
    on_refusal: str,
    keep_global_pooling: bool,
    before_pooling: bool,
    state: NetState,
    input_size: tuple[int, int] | None,
    map_size: tuple[int, int] | None,
    stride: int | None,
    upsample: bool,
    skips: tuple[str, ...],
    verify: bool,
    dry_run: bool,
    preprocess: Settings,
    trust_config: bool | None,  # of the file that names the engine
    engine: EngineOptions,
    as_json: bool,
    quiet: bool,
    force: bool,
) -> None:
    """Make a classifier fully convolutional.

    Each InnerProduct layer becomes a Convolution over the map before it, and takes its weights
    along. On a larger image the new net gives a map: a class for every window. Writes
    DEPLOY_full_conv.prototxt, MODEL_full_conv.caffemodel, and a netsurgery.toml from which
    classify-map takes the net and its preprocessing.

    \b
    Example:
      netsurgery convert lenet.prototxt lenet.caffemodel --preprocess scaled
    """
    from netsurgery.verbs.convert import convert

    if input_size and map_size:
        raise click.UsageError("--input-size and --map-size exclude each other")
    refuse_stdin(preprocess.mean, preprocess.labels)
    if verify and dry_run:
        raise click.UsageError("--verify and --dry-run exclude each other")
    if before_pooling and keep_global_pooling:
        raise click.UsageError("--before-pooling and --keep-global-pooling exclude each other")
    with bytes_written(quiet) as progress:
        result = convert(
            prototxt,
            weights,
            output_dir or Path(),
            prototxt_out=prototxt_out,
            weights_out=weights_out,
            draw=draw,
            suffix=suffix,
            layers=[name.strip() for name in layers.split(",")] if layers is not None else None,
            input_size=input_size,
            map_size=map_size,
            stride=stride,
            upsample=upsample,
            skip=skips,
            keep_global_pooling=keep_global_pooling,
            before_pooling=before_pooling,
            skip_refused=on_refusal == "skip",
            settings=preprocess,
            engine=engine,
            verify=verify,
            state=state,
            force=force,
            dry_run=dry_run,
            progress=progress,
        )
    if as_json:
        echo_json(result.to_json())
    elif not quiet:
        render(result)
    if not (dry_run or quiet):
        echo_notes(engine_hint(result.engine, "convert"), err=True)


def render(result: Conversion) -> None:
    """Print the result for a person."""
    record = result.to_json()
    echo_table(result.table())
    for blob, shape in record["maps"].items():
        echo(f"map {blob}: {shape_text(shape)}")
    for grown in record["inputs"]:
        stride = grown["stride"]
        every = f", one every {stride_text(stride)} pixels" if stride else ""
        of = f" in {grown['name']}" if len(record["inputs"]) > 1 else ""
        echo(f"window of a cell{of}: {shape_text(grown['window'])} pixels{every}")
    echo_notes(record["notes"])
    if result.verification is not None:
        for line in result.verification.verified_lines():
            echo(line)
    if record["dry_run"]:
        files = [record[key] for key in ("drawing", "weights", "settings", "prototxt")]
        echo(f"would write {', '.join(filter(None, files))}")
        echo_diff(f"\n{record['diff']}")
        return
    echo(f"by {record['engine']['description']} in {record['seconds']:.2f} s")
    for path in result.written:
        echo(f"wrote {path}")
    if result.next is not None:
        echo(f"next: {result.next}")
