"""Every command there is, for tests that hold all of them to a rule."""

from __future__ import annotations

import click

from netsurgery.cli import cli

__all__ = ["every_command"]


def every_command(group: click.Group = cli, prefix: str = "") -> dict[str, click.Command]:
    """Name, "convert" or "caffe install", -> command; groups are among them."""
    commands: dict[str, click.Command] = {}
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        commands[f"{prefix}{name}"] = command
        if isinstance(command, click.Group):
            commands |= every_command(command, f"{prefix}{name} ")
    return commands
