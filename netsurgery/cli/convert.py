"""``netsurgery convert``: a classifier made fully convolutional."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from netsurgery.cli.command import Command, of_net
from netsurgery.cli.files import PROTOTXT, WEIGHTS, refuse_stdin
from netsurgery.cli.options import (
    SIZE,
    dry_run_option,
    engine_hint,
    engine_options,
    force_option,
    json_option,
    output_option,
    quiet_option,
    state_options,
)
from netsurgery.cli.preprocess_options import preprocess_options
from netsurgery.cli.printing import echo, echo_diff, echo_json, echo_notes, echo_table
from netsurgery.cli.progress import bytes_written
from netsurgery.engines.contract import EngineOptions
from netsurgery.formats.line_diff import text_diff
from netsurgery.formats.settings import Settings
from netsurgery.io.shape_text import shape_text
from netsurgery.net import NetState
from netsurgery.net.net import NetDefinition
from netsurgery.surgery.convolution.plan import ConvolutionPlan, plan_convolution
from netsurgery.verbs.conversion import (
    Conversion,
    DryRun,
    OutputPaths,
    check_conversion,
    output_paths,
    write_conversion,
)
from netsurgery.verbs.verify_result import verified_lines

__all__ = ["command", "render", "to_json"]

FILE = click.Path(path_type=Path)


@click.command(cls=Command)
@click.argument("prototxt", metavar="DEPLOY.prototxt", type=PROTOTXT)
@click.argument("weights", metavar="MODEL.caffemodel", type=WEIGHTS)
@output_option("-o", "--output-dir", metavar="DIR", type=FILE, help="Where the outputs go.")
@output_option("--prototxt-out", metavar="FILE", type=FILE, help="The new prototxt.")
@output_option("--weights-out", metavar="FILE", type=FILE, help="The new caffemodel.")
@click.option(
    "--suffix", default="-conv", show_default=True, help="Put behind the converted layers' names."
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
    refuse_stdin(preprocess.mean, preprocess.labels)
    if verify and dry_run:
        raise click.UsageError("--verify and --dry-run exclude each other")
    plan = plan_convolution(
        NetDefinition.read(prototxt, state),
        suffix=suffix,
        layers=[name.strip() for name in layers.split(",")] if layers is not None else None,
        input_size=input_size,
        map_size=map_size,
        keep_global_pooling=keep_global_pooling,
        skip_refused=on_refusal == "skip",
    )
    paths = output_paths(
        prototxt,
        weights,
        folder=output_dir,
        prototxt_out=prototxt_out,
        weights_out=weights_out,
    )
    if dry_run:
        facts = to_json(plan, paths, check_conversion(plan, weights, paths, settings=preprocess))
    else:
        with bytes_written(quiet) as progress:
            made = write_conversion(
                plan,
                weights,
                paths,
                settings=preprocess,
                engine=engine,
                force=force,
                verify=verify,
                progress=progress,
            )
        facts = to_json(plan, paths, made)
    if as_json:
        echo_json(facts)
    elif not quiet:
        render(facts)
    if not (dry_run or quiet):
        echo_notes(engine_hint(made.engine, "convert"), err=True)


def to_json(plan: ConvolutionPlan, paths: OutputPaths, made: Conversion | DryRun) -> dict[str, Any]:
    """Everything there is to tell; a dry run tells the diff too."""
    found: dict[str, Any] = {
        "layers": [
            {
                "layer": move.layer,
                "target": move.target,
                "old": [list(old) for old in move.old],
                "new": [list(new) for new in move.new],
                "transpose": move.transpose,
                **({"reordered": True} if move.columns is not None else {}),
            }
            for move in plan.moves
        ],
        "renamed_blobs": plan.renames,
        "windows": {layer: list(size) for layer, size in plan.windows.items()},
        "removed_layers": list(plan.removed),
        "inputs": [
            {
                "name": one.name,
                "old": list(one.old),
                "new": list(one.new),
                "window": list(one.window),
                "stride": None if one.stride is None else [float(step) for step in one.stride],
            }
            for one in plan.inputs
        ],
        "maps": {blob: list(shape) for blob, shape in plan.maps.items()},
        "layers_without_params": list(made.weights.missing),
        "params_without_layer": list(made.weights.extra),
        "notes": [*_bom(plan), *plan.notes, *_notes(made)],
        "prototxt": str(paths.prototxt),
        "weights": str(paths.weights),
        "settings": None if made.settings_note else str(paths.settings),
    }
    if isinstance(made, DryRun):
        diff = text_diff(plan.net.prototxt, plan.text, str(paths.prototxt))
        return {**found, "dry_run": True, "diff": diff}
    found |= {"dry_run": False, "engine": made.engine, "seconds": round(made.seconds, 3)}
    return found if made.verified is None else {**found, "verified": made.verified.to_json()}


def _bom(plan: ConvolutionPlan) -> list[str]:
    told = "the prototxt's byte order mark, which Caffe cannot read, is not written"
    return [told] if plan.net.prototxt.bom else []


def _notes(made: Conversion | DryRun) -> list[str]:
    notes = [made.engine_note] if isinstance(made, Conversion) and made.engine_note else []
    notes += made.weights.notes
    extra = ", ".join(repr(name) for name in made.weights.extra)
    if extra and isinstance(made, Conversion):
        kept = made.engine == "embedded"
        fate = "kept in the new one" if kept else "lost: Caffe saves the net's own layers only"
        notes.append(f"params of layers that the net has not ({extra}) are {fate}")
    elif extra:
        notes.append(f"the model has params of layers that the net has not: {extra}")
    if made.settings_note:
        notes.append(made.settings_note)
    if isinstance(made, DryRun):
        notes += [f"{path} exists already; --force replaces it" for path in made.existing]
    return notes


def render(found: dict[str, Any]) -> None:
    """Print the facts for a person."""
    rows = [("layer", "params", "becomes", "params")]
    for layer in found["layers"]:
        old, new = (", ".join(map(shape_text, layer[key])) for key in ("old", "new"))
        rows.append((layer["layer"], old, layer["target"], new))
    rows += [(i["name"], shape_text(i["old"]), "", shape_text(i["new"])) for i in found["inputs"]]
    echo_table(rows)
    for blob, shape in found["maps"].items():
        echo(f"map {blob}: {shape_text(shape)}")
    for given in found["inputs"]:
        window, stride = shape_text(given["window"]), given["stride"]
        every = (
            ""
            if stride is None
            else f", one every {shape_text(f'{step:g}' for step in stride)} pixels"
        )
        of = f" in {given['name']}" if len(found["inputs"]) > 1 else ""
        echo(f"window of a cell{of}: {window} pixels{every}")
    echo_notes(found["notes"])
    if found["dry_run"]:
        echo(f"would write {', '.join(_outputs(found))}")
        echo_diff(f"\n{found['diff']}")
        return
    for line in verified_lines(found["verified"]) if "verified" in found else ():
        echo(line)
    echo(f"by {found['engine']} in {found['seconds']:.2f} s")
    for path in _outputs(found):
        echo(f"wrote {path}")


def _outputs(found: dict[str, Any]) -> list[str]:
    return [found[key] for key in ("weights", "settings", "prototxt") if found[key] is not None]
