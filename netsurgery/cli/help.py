"""``netsurgery help``: the help of a command."""

from __future__ import annotations

import click

from netsurgery.cli.command import Command
from netsurgery.cli.printing import echo_text

__all__ = ["command"]


@click.command(cls=Command)
@click.argument(
    "names",
    metavar="[COMMAND]...",
    nargs=-1,
    shell_complete=lambda ctx, _, start: ctx.find_root().command.shell_complete(
        ctx.find_root(), start
    ),
)
@click.pass_context
def command(ctx: click.Context, names: tuple[str, ...]) -> None:
    """Show the help of a command, or of netsurgery itself.

    \b
    Example:
      netsurgery help convert
    """
    context, target = ctx.find_root(), ctx.find_root().command
    for name in names:
        if not isinstance(target, click.Group):
            raise click.UsageError(f"{context.command_path} has no commands of its own")
        # Raises for an unknown name what `netsurgery NAME` raises.
        _, subcommand, _ = target.resolve_command(context, [name])
        assert subcommand is not None
        context, target = click.Context(subcommand, context, info_name=name), subcommand
    echo_text(target.get_help(context))
