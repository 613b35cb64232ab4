"""Output options of classify-map and features, one for each output in the registry."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from netsurgery.cli.command import BOXES, LARGE, OUTPUT, headed, useless
from netsurgery.cli.files import FilePathType
from netsurgery.io.wording import listed
from netsurgery.verbs.outputs import OUTPUTS, How, file_outputs

__all__ = ["output_flags", "output_options", "resume_option", "useless_without_output"]

F = TypeVar("F", bound=Callable[..., Any])


#: Of the outputs that have options of their own.
_HEADINGS = {"boxes": BOXES}


def output_options(how: How, *, dash: bool | None = None) -> Callable[[F], F]:
    """An option --NAME FILE for each output that is a file, of class maps or of features.

    dash: whether - is standard output; None where it is for class maps. The command gets `outputs`:
    name -> file, for the options used.
    """
    kinds = file_outputs(how)

    def decorate(command: F) -> F:
        @functools.wraps(command)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            named = {kind.name: kwargs.pop(kind.name) for kind in kinds}
            outputs = {name: file for name, file in named.items() if file is not None}
            return command(*args, outputs=outputs, **kwargs)

        decorated: Any = wrapped
        # Decorators apply from the last: reversed, the help has the registry's order.
        for kind in reversed(kinds):
            decorated = headed(_HEADINGS.get(kind.name, OUTPUT))(
                click.option(
                    f"--{kind.name}",
                    metavar=f"{'FOLDER' if kind.signs else 'FILE'}{kind.suffix}",
                    type=FilePathType(
                        as_typed=True, allow_dash=how == "of_map" if dash is None else dash
                    ),
                    help=kind.help,
                )
            )(decorated)
        return decorated  # type: ignore[no-any-return]

    return decorate


@headed(LARGE)
def resume_option(command: F) -> F:
    """--resume and --no-resume; the command gets `resume`."""
    add_option: Callable[[F], F] = click.option(
        "--resume/--no-resume",
        default=True,
        show_default=True,
        help="Where a run in tiles was ended before its outputs were whole, go on with what it has "
        "left beside them, if image, net and preprocessing are the same; or start from scratch.",
    )
    return useless("with --tile none", lambda values: values["tile"] == "none")(add_option)(command)


def output_flags(*hows: How) -> list[str]:
    """Those options: --npy, --picture."""
    return list(dict.fromkeys(f"--{kind.name}" for how in hows for kind in file_outputs(how)))


def useless_without_output(
    reading: str = "", unless: Callable[[Mapping[str, Any]], bool] = lambda values: False
) -> Callable[[Callable[[F], F]], Callable[[F], F]]:
    """Refuse the options that a decorator adds in calls without an output of a map they change.

    reading: what of `Output.reads` they are; they change every file without it. unless: where they
    do something in any case.
    """
    kinds = file_outputs("of_map")
    if reading:
        kinds = [kind for kind in OUTPUTS.values() if reading in kind.reads]
        kinds.sort(key=lambda kind: bool(kind.suffix))  # --json, then the files
    # The option --json is not in the registry, and its value has another name.
    names = [kind.name if kind.suffix else f"as_{kind.name}" for kind in kinds]
    # A job keeps the record of every picture.
    names += ["job"] if "as_json" in names else []

    def none_made(values: Mapping[str, Any]) -> bool:
        return not any(values.get(name) for name in names) and not unless(values)

    return useless(f"without {listed(f'--{kind.name}' for kind in kinds)}", none_made)
