"""``netsurgery cache``: the files that the embedded engine keeps to save work."""

from __future__ import annotations

import click

from netsurgery.cli.command import Command
from netsurgery.cli.options import json_option, quiet_option
from netsurgery.cli.printing import echo, echo_json

__all__ = ["command"]


@click.command(cls=Command)
@click.option("--clear", is_flag=True, help="Delete the files.")
@json_option
@quiet_option
def command(clear: bool, as_json: bool, quiet: bool) -> None:
    """Show, or delete, the kernels that are kept in the processor's layout.

    The embedded engine runs Convolutions with large kernels faster when those lie as the processor
    takes them. It lays them out when it first runs a net, and keeps them in the user's cache
    folder, for all processes and until the machine is started again. Those of a caffemodel that
    has changed are laid out again. Those that were used longest ago are deleted when all together
    are larger than NETSURGERY_CACHE_SIZE (default: 2GiB). NETSURGERY_CACHE is another folder, or
    none: then each process makes them for itself, in a temporary folder. Results are the same.

    \b
    Example:
      netsurgery cache
      netsurgery cache --clear
    """
    from contextlib import nullcontext

    from netsurgery.io.memory import size_text
    from netsurgery.io.targets import one_line
    from netsurgery.io.user_cache import user_cache
    from netsurgery.io.wording import counted

    cache = user_cache()
    with nullcontext() if cache is None else one_line(str(cache.folder)):
        deleted = cache.clear() if clear and cache is not None else 0
        files = [] if cache is None else cache.files()
    size, limit = sum(file.size for file in files), 0 if cache is None else cache.limit
    if as_json:
        counts = {"files": len(files), "bytes": size, "limit": limit, "deleted": deleted}
        echo_json({"folder": None if cache is None else str(cache.folder), **counts})
    elif quiet:
        return
    elif cache is None:
        echo("no cache: NETSURGERY_CACHE is none, others can write to its folder, or no home")
    elif clear:
        echo(f"{size_text(deleted)} deleted from {cache.folder}")
    else:
        of = f"{size_text(size)} of at most {size_text(limit)}"
        echo(f"{counted(len(files), 'file')}, {of}, in {cache.folder}")
