"""The command that comes next, as it is typed."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable
from pathlib import Path

from netsurgery.engines.contract import EngineOptions
from netsurgery.io.wording import argument, naming_options

__all__ = ["command_in", "engine_words"]


def command_in(folder: Path, words: Iterable[str]) -> str:
    """The command where a folder is the current one, whose netsurgery.toml is then found.

    >>> command_in(Path("a plan"), ["netsurgery", "classify-map", "IMAGE"])
    "cd 'a plan' && netsurgery classify-map IMAGE"
    """
    command = shlex.join(words)
    if _is_current(folder):
        return command
    # cd would take it for an option, or - for the folder before.
    name = f"./{folder}" if str(folder).startswith("-") else str(folder)
    return f"cd {shlex.quote(name)} && {command}"


def engine_words(options: EngineOptions) -> list[str]:
    """The options of how an engine runs, but for which it is and what it shows; none of defaults.

    >>> engine_words(EngineOptions("caffe", threads=1, allow=frozenset({"writes", "reads"})))
    ['--threads', '1', '--allow', 'reads,writes']
    """
    usual = EngineOptions()
    with naming_options():  # a command is typed, also where Python names it
        values = {
            argument("--caffe-python"): options.caffe_python,
            argument("--gpu"): options.gpu,
            argument("--timeout"): (
                None if options.timeout == usual.timeout else f"{options.timeout:g}"
            ),
            argument("--threads"): options.threads,
            argument("--allow"): ",".join(sorted(options.allow)) or None,
        }
    return [
        word
        for option, value in values.items()
        if value is not None
        for word in (option, str(value))
    ]


def _is_current(folder: Path) -> bool:
    # All is written by now: a folder that cannot be looked at is named, and that is all.
    try:
        return os.path.samefile(folder, os.curdir)
    except OSError:
        return False
