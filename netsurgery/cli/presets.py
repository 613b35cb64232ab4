"""``netsurgery presets``: the preprocessing that --preprocess names."""

from __future__ import annotations

import click

from netsurgery.cli.command import Command
from netsurgery.cli.options import json_option, quiet_option
from netsurgery.cli.printing import echo_json, echo_table
from netsurgery.formats.presets import Preset, presets

__all__ = ["command"]


@click.command(cls=Command)
@json_option
@quiet_option
def command(as_json: bool, quiet: bool) -> None:
    """List the preprocessing presets of --preprocess, with their values.

    Pixels are RGB values of 0..1. They are multiplied by the raw scale, put into the net's channel
    order, reduced by the mean, and multiplied by the input scale. --raw-scale, --channel-swap,
    --mean and --input-scale override single values of a preset.

    \b
    Example:
      netsurgery presets
    """
    if as_json:
        echo_json({"presets": [preset.to_json() for preset in presets()]})
    elif not quiet:
        from netsurgery.io.table import Column, Table

        columns = (
            Column("preset"),
            Column("channels", 1, number=True),
            Column("raw scale", number=True),
            Column("order"),
            Column("mean"),
            Column("input scale", number=True),
            Column("nets", 2),
        )
        echo_table(Table(columns, list(map(_row, presets()))))


def _row(preset: Preset) -> tuple[str, ...]:
    order = "grey" if preset.channels == 1 else "BGR" if preset.channel_swap else "RGB"
    mean = "FILE" if preset.mean_file else ",".join(f"{value:g}" for value in preset.mean or ())
    name = f"{preset.name}=FILE" if preset.mean_file else preset.name
    scales = ("" if v is None else f"{v:g}" for v in (preset.raw_scale, preset.input_scale))
    raw_scale, input_scale = scales
    return name, str(preset.channels), raw_scale, order, mean, input_scale, preset.nets
