"""``netsurgery convert``: a classifier made fully convolutional."""

from __future__ import annotations

import json
from pathlib import Path

import click

from netsurgery.cli import convert_report as report
from netsurgery.cli.options import (
    SIZE,
    dry_run_option,
    engine_options,
    force_option,
    json_option,
    quiet_option,
    state_options,
)
from netsurgery.cli.preprocess_options import preprocess_options
from netsurgery.cli.progress import bytes_written
from netsurgery.engines.contract import EngineOptions
from netsurgery.formats.settings import Settings
from netsurgery.jobs.convert import convert, output_places, rehearse
from netsurgery.net import NetState
from netsurgery.net.net import Net
from netsurgery.surgery.convolution.plan import plan_convolution

__all__ = ["command"]

FILE = click.Path(path_type=Path)


@click.command()
@click.argument("prototxt", metavar="DEPLOY.prototxt", type=FILE)
@click.argument("weights", metavar="MODEL.caffemodel", type=FILE)
@click.option("-o", "--output-dir", metavar="DIR", type=FILE, help="Where the outputs go.")
@click.option("--prototxt-out", metavar="FILE", type=FILE, help="The new prototxt.")
@click.option("--weights-out", metavar="FILE", type=FILE, help="The new caffemodel.")
@click.option(
    "--suffix", default="-conv", show_default=True, help="Put behind the converted layers' names."
)
@click.option(
    "--layers", metavar="NAME,NAME", help="Convert these InnerProduct layers only (default: all)."
)
@click.option(
    "--on-refusal",
    type=click.Choice(["stop", "skip"]),
    default="stop",
    show_default=True,
    help="What to do about a layer that cannot be converted: refuse all, or leave it as it is.",
)
@click.option(
    "--keep-global-pooling",
    is_flag=True,
    help="Leave a global pooling before the classifier; the map then has one cell.",
)
@state_options
@click.option("--input-size", type=SIZE, help="Size of the new input.")
@click.option(
    "--map-size",
    type=SIZE,
    help="Size of the map; the input follows: old size + total stride x (map - 1)  [default: 8x8]",
)
@click.option(
    "--verify",
    is_flag=True,
    help="Run both nets before anything is written, and every cell of the map against the "
    "classifier on its window; where they differ nothing is written.",
)
@dry_run_option
@preprocess_options
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
    suffix: str,
    layers: str | None,
    on_refusal: str,
    keep_global_pooling: bool,
    state: NetState,
    input_size: tuple[int, int] | None,
    map_size: tuple[int, int] | None,
    verify: bool,
    dry_run: bool,
    preprocess: Settings,
    engine: EngineOptions,
    as_json: bool,
    quiet: bool,
    force: bool,
) -> None:
    """Make a classifier fully convolutional.

    Each InnerProduct layer becomes a Convolution over the map before it, and its weights move
    with it. Run on a larger picture the new net gives a map: a class for every window. Writes
    DEPLOY_full_conv.prototxt and MODEL_full_conv.caffemodel, and a netsurgery.toml that tells
    classify-map how to use them.

    \b
    Example:
      netsurgery convert lenet.prototxt lenet.caffemodel --input-scale 0.00390625
    """
    if input_size and map_size:
        raise click.UsageError("--input-size and --map-size exclude each other")
    if verify and dry_run:
        raise click.UsageError("--verify and --dry-run exclude each other")
    plan = plan_convolution(
        Net.read(prototxt, state),
        suffix=suffix,
        layers=[name.strip() for name in layers.split(",")] if layers is not None else None,
        input_size=input_size,
        map_size=map_size,
        keep_global_pooling=keep_global_pooling,
        skip_refused=on_refusal == "skip",
    )
    places = output_places(
        prototxt,
        weights,
        folder=output_dir,
        prototxt_out=prototxt_out,
        weights_out=weights_out,
    )
    if dry_run:
        facts = report.facts(plan, places, rehearse(plan, weights, places, settings=preprocess))
    else:
        with bytes_written(quiet) as progress:
            made = convert(
                plan,
                weights,
                places,
                settings=preprocess,
                engine=engine,
                force=force,
                verify=verify,
                progress=progress,
            )
        facts = report.facts(plan, places, made)
    if as_json:
        click.echo(json.dumps(facts, indent=2))
    elif not quiet:
        report.show(facts)
