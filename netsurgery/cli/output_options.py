"""Output options of classify-map and features, one for each output in the registry."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Literal, TypeVar

import click

from netsurgery.cli.options import output_option
from netsurgery.verbs.outputs import OUTPUTS

__all__ = ["output_options"]

F = TypeVar("F", bound=Callable[..., Any])


def output_options(how: Literal["of_map", "of_features"]) -> Callable[[F], F]:
    """An option --NAME FILE for each output that is a file, of class maps or of features.

    The command gets `outputs`: name -> file, for the options used.
    """
    kinds = [kind for kind in OUTPUTS.values() if kind.suffix and getattr(kind, how)]

    def decorate(command: F) -> F:
        @functools.wraps(command)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            named = {kind.name: kwargs.pop(kind.name) for kind in kinds}
            outputs = {name: file for name, file in named.items() if file is not None}
            return command(*args, outputs=outputs, **kwargs)

        decorated: Any = wrapped
        # Decorators apply from the last: reversed, the help has the registry's order.
        for kind in reversed(kinds):
            decorated = output_option(
                f"--{kind.name}",
                metavar=f"FILE{kind.suffix}",
                type=click.Path(allow_dash=how == "of_map"),
                help=kind.help,
            )(decorated)
        return decorated  # type: ignore[no-any-return]

    return decorate
