"""``netsurgery draw``: a net as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from netsurgery.cli.command import Command
from netsurgery.cli.files import DRAWING, NET_OR_WEIGHTS, net_and_weights
from netsurgery.cli.options import (
    force_option,
    is_printed,
    json_option,
    output_option,
    quiet_option,
    state_options,
)
from netsurgery.cli.printing import echo, echo_json, echo_notes
from netsurgery.diagram.format_names import FormatName
from netsurgery.net.state import NetState

if TYPE_CHECKING:
    from netsurgery.verbs.draw_result import NetDrawing

__all__ = ["command"]


@click.command(cls=Command)
@click.argument(
    "files",
    metavar="NET.prototxt [MODEL.caffemodel]",
    nargs=-1,
    required=True,
    type=NET_OR_WEIGHTS,
)
@output_option(
    "-o",
    "--output",
    metavar="FILE",
    type=DRAWING,
    help="Drawing to write, as its ending says: .svg, .png, .html, .mmd (Mermaid) or .dot; - is "
    "standard output (default: NET.svg in the current folder).",
)
@output_option(
    "--format",
    "form",
    type=click.Choice(get_args(FormatName)),
    help="Write this form, whatever the ending.",
)
@click.option("--field", "fields", is_flag=True, help="Show the receptive field and its stride.")
@click.option(
    "--fold",
    is_flag=True,
    help="Draw blocks that repeat once, in a frame that says how often.",
)
@state_options
@json_option
@quiet_option
@force_option
def command(
    files: tuple[Path, ...],
    output: Path | None,
    form: FormatName | None,
    fields: bool,
    fold: bool,
    state: NetState,
    as_json: bool,
    quiet: bool,
    force: bool,
) -> None:
    """Draw a net: layers as boxes colored by kind, blobs as edges with their shapes.

    Layers that compute in place are in the box of the layer before them. A box has the kernel,
    stride and padding, the number of params and the multiply-adds of its layers. An SVG is light or
    dark as its reader prefers; HTML is one page without a network, to zoom, to search for a layer,
    and to read its lines of the prototxt. MODEL is needed only for params that the prototxt does
    not determine. Needs the library graphlay: pip install 'netsurgery[draw]'.

    \b
    Example:
      netsurgery draw deploy.prototxt -o net.html
    """
    from netsurgery.verbs.draw import draw

    prototxt, weights = net_and_weights(files)
    printed = is_printed(output, as_json=as_json)
    result = draw(prototxt, weights, state=state, fields=fields, fold=fold)
    result.save(output, format=form, force=force)
    if as_json:
        echo_json(result.to_json())
    elif not quiet:
        render(result, err=printed)


def render(result: NetDrawing, *, err: bool) -> None:
    """Print the result for a person; on standard error where the drawing goes to output."""
    echo_notes(result.notes, err=err)
    echo(str(result), err=err)
