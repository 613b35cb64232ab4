"""``netsurgery verify``: do two nets answer the same?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from netsurgery.cli.colors import BAD, DOUBTFUL, GOOD
from netsurgery.cli.command import Command, WordType, useless
from netsurgery.cli.diff import trouble_is_two
from netsurgery.cli.engine_options import engine_options
from netsurgery.cli.files import IMAGE, PROTOTXT, WEIGHTS
from netsurgery.cli.options import (
    NumberType,
    json_option,
    quiet_option,
    seed_option,
    state_options,
    trust_option,
)
from netsurgery.cli.preprocess_options import pixel_options
from netsurgery.cli.printing import echo, echo_json, echo_notes, echo_table
from netsurgery.engines.contract import EngineOptions
from netsurgery.formats.engine_choice import EngineChoice, as_engine_choice
from netsurgery.formats.found_settings import with_found
from netsurgery.formats.settings import PIXEL_KEYS, Settings
from netsurgery.net.state import NetState

if TYPE_CHECKING:
    from netsurgery.verbs.verify_result import Verification
    from netsurgery.verbs.verify_tiles import TilesVerification

__all__ = ["command"]


def two_engines(text: str) -> tuple[EngineChoice, EngineChoice]:
    """``"caffe,embedded"`` is ("caffe", "embedded"). Raises ValueError."""
    try:
        first, second = map(as_engine_choice, text.split(","))
    except ValueError:  # another number of them, too
        expected = ", ".join(get_args(EngineChoice))
        raise ValueError(f"{text!r} is not two of {expected}, as in caffe,embedded") from None
    return first, second


_for_pairs = useless("with --tiles, which compares one net", lambda values: values["tiles"])
_for_pictures = useless("without --image", lambda values: not values["images"])


@click.command(
    cls=Command,
    exit_codes={
        0: "All outputs, and the map where it must agree, are within --tolerance.",
        1: "An output, or a map, differs by more.",
        2: "A map or an output could not be compared, an error, or wrong usage.",
    },
)
@trouble_is_two()
@click.argument("prototxt_a", metavar="A.prototxt", type=PROTOTXT)
@click.argument("weights_a", metavar="A.caffemodel", type=WEIGHTS)
@click.argument("prototxt_b", metavar="[B.prototxt]", type=PROTOTXT, required=False)
@click.argument("weights_b", metavar="[B.caffemodel]", type=WEIGHTS, required=False)
@useless("without --image, on which tiles are compared", lambda values: not values["images"])(
    click.option(
        "--tiles",
        type=click.IntRange(min=1),
        metavar="PX",
        help="Compare A in tiles of at most PX pixels a side with A over the whole --image, at its "
        "own size; takes no B.",
    )
)
@click.option(
    "--image",
    "images",
    metavar="FILE",
    multiple=True,
    type=IMAGE,
    help="Compare on this image; repeatable.",
)
@_for_pairs(
    click.option(
        "--random",
        type=click.IntRange(min=1),
        metavar="N",
        help="Compare on N inputs of normally distributed random numbers  [default: 1, or none "
        "with --image]",
    )
)
@useless(
    "with --image and no --random", lambda values: values["images"] and values["random"] is None
)(seed_option("For the random numbers."))
@click.option(
    "--tolerance",
    type=NumberType(min=0),
    # verbs.verify.TOLERANCE, which the help does without importing.
    default=1e-5,
    show_default=True,
    metavar="X",
    help="Largest relative difference of a blob, max|a-b| / max|a|, that counts as equal.",
)
@_for_pairs(
    click.option(
        "--engines",
        type=WordType("A,B", two_engines, get_args(EngineChoice), listed=True),
        help="Run A in one engine and B in another, as in caffe,embedded; overrides --engine.",
    )
)
@state_options
@_for_pictures(pixel_options)
@trust_option
@engine_options
@json_option
@quiet_option
def command(
    prototxt_a: Path,
    weights_a: Path,
    prototxt_b: Path | None,
    weights_b: Path | None,
    tiles: int | None,
    images: tuple[str, ...],
    random: int | None,
    seed: int,
    tolerance: float,
    engines: tuple[EngineChoice, EngineChoice] | None,
    state: NetState,
    preprocess: Settings,
    trust_config: bool | None,
    engine: EngineOptions,
    as_json: bool,
    quiet: bool,
) -> None:
    """Verify that two nets compute the same function.

    Both run on the same inputs, of the size they share: if one declares a larger input, it is
    shrunk to the other's. Compared are their outputs, and the input of a final Softmax, Sigmoid,
    TanH or ArgMax, which would hide differences. The first blob of A that differs is reported even
    if no output does, and params are compared value by value; neither affects the result. A value
    that is infinite or NaN in one net only is a difference; those in both, at the same places, are
    reported, and the others compared.

    If B is A made fully convolutional, every cell of its map of a larger input is also compared
    with A's answer on the cell's window. If a layer of A pads, or the last window of a pooling
    hangs over the edge, the two differ by design: where A has padding, the map has the neighboring
    pixels, for every cell and not only at the border. The map is then reported but does not affect
    the result; otherwise it must agree as the outputs must. A map of B that could not be compared
    is reported with the reason.

    If B has in its map the scores that a global pooling of A takes the mean of, as `convert
    --before-pooling` makes it, the mean over the same cells is compared with A's score; a Softmax
    behind, which B takes of each cell, is not.

    With --tiles one net is compared with itself: run over an image in tiles, as classify-map and
    features run it where the whole needs too much memory, and over the whole.

    Images are preprocessed by --mean and the like, else as the nearest netsurgery.toml says.

    \b
    Example:
      netsurgery verify deploy.prototxt model.caffemodel \\
        deploy_full_conv.prototxt model_full_conv.caffemodel --image cat.jpg
      netsurgery verify deploy_full_conv.prototxt model_full_conv.caffemodel \\
        --tiles 64 --image large.png
    """
    if images:
        preprocess = with_found(preprocess, Path(), trust=trust_config, keys=PIXEL_KEYS)
    if tiles is not None:
        if prototxt_b is not None:
            raise click.UsageError(f"--tiles compares one net; found another, {prototxt_b}")
        from netsurgery.verbs.verify_tiles import verify_tiles

        compared = verify_tiles(
            (prototxt_a, weights_a),
            images,
            tiles,
            settings=preprocess,
            tolerance=tolerance,
            engine=engine,
            state=state,
        )
        if as_json:
            echo_json(compared.to_json())
        elif not quiet:
            render_tiles(compared)
        raise click.exceptions.Exit(0 if compared.same else 1)
    if prototxt_b is None or weights_b is None:
        missing = "B.prototxt" if prototxt_b is None else "B.caffemodel"
        raise click.UsageError(f"missing argument {missing}")
    from netsurgery.verbs.verify import verify

    each = [replace(engine, choice=choice) for choice in engines or (engine.choice,)]
    result = verify(
        (prototxt_a, weights_a),
        (prototxt_b, weights_b),
        images=images,
        random=random,
        seed=seed,
        settings=preprocess,
        tolerance=tolerance,
        engine=(each[0], each[-1]) if engines else each[0],
        state=state,
    )
    if as_json:
        echo_json(result.to_json())
    elif not quiet:
        render(result)
    raise click.exceptions.Exit(0 if result.verified else 2 if result.same else 1)


def render_tiles(result: TilesVerification) -> None:
    """Print the result of --tiles for a person, the verdict first."""
    echo(str(result), color=GOOD if result.same else BAD)
    echo(f"by {result.engine}")
    echo_table(result.table())
    echo_notes(result.lines())


def render(result: Verification) -> None:
    """Print the result for a person, the verdict first."""
    echo(str(result), color=GOOD if result.verified else DOUBTFUL if result.same else BAD)
    echo(result.conditions)
    unequal = result.unequal_outputs
    colors = [BAD if each in unequal else None for each in result.outputs]
    if result.outputs:
        echo_table(result.table(), colors=colors)
    for line in result.lines():
        echo(line)
    echo_notes(result.all_notes)
