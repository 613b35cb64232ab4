"""What is wrong with a command line, on one line: the option, what it got, what it takes."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import Any

import click
from click.core import ParameterSource

from netsurgery.errors import NetsurgeryError
from netsurgery.io.nearest import did_you_mean, nearest, question
from netsurgery.io.wording import listed

__all__ = ["name_variables", "usage_help", "usage_line", "usage_message", "variable_of"]

#: How click's own types begin the message of a value they refuse.
_REFUSED = re.compile(r"(?s)(?P<value>'.*'|\".*\"|[^ ]+) is not (a valid|one of|in the range)")
#: Click's own types of one word or number.
_OF_CLICK = (
    click.Choice,
    click.types.BoolParamType,
    click.types.IntParamType,
    click.types.FloatParamType,
)
_EXTRA = re.compile(r"(?s)Got unexpected extra arguments? \((?P<words>.*)\)")


def usage_line(error: click.ClickException) -> str:
    """The error, and which help says more."""
    way_out = usage_help(error)
    return f"{usage_message(error)}{f' (try {way_out})' if way_out else ''}"


def usage_message(error: click.ClickException) -> str:
    """What is wrong."""
    message = _message(error)
    return message if message.endswith("...") else message.removesuffix(".")


def usage_help(error: click.ClickException) -> str | None:
    """The command that shows the help."""
    ctx = getattr(error, "ctx", None)
    return None if ctx is None else f"{ctx.command_path} --help"


def variable_of(ctx: click.Context | None, param: click.Parameter) -> str:
    """The environment variable that an option's value is from, "" where it is from elsewhere."""
    source = None if ctx is None else ctx.get_parameter_source(param.name or "")
    if source is not ParameterSource.ENVIRONMENT or param.envvar is None:
        return ""
    return param.envvar if isinstance(param.envvar, str) else next(iter(param.envvar))


def name_variables(error: NetsurgeryError, ctx: click.Context) -> None:
    """Add to the error's text the variable whose value it speaks of, where no option gave it."""
    for param in ctx.command.params:
        name = variable_of(ctx, param)
        # Click has refused a bad number or word by the variable's name.
        known = not name or isinstance(param.type, _OF_CLICK) or name in str(error)
        if not known and _speaks_of(str(error), os.environ.get(name, ""), param):
            error.args = (f"{error} (from {name})", *error.args[1:])


def _speaks_of(message: str, value: str, param: click.Parameter) -> bool:
    """Whether the value is in the message as a word of its own, and not by chance.

    A word of letters alone may be one of English: it is at the start, quoted, or behind what the
    option is of, as in "preset scaled".
    """
    # A number may be in any message.
    if not value or value.isdigit():
        return False
    before = rf"(?:^|['\"]|\b{param.name} )" if value.isalpha() else r"(?<![\w./-])"
    return re.search(rf"{before}{re.escape(value)}(?![\w./-])", message) is not None


def _message(error: click.ClickException) -> str:
    ctx = getattr(error, "ctx", None)
    if isinstance(error, click.NoSuchOption) and ctx is not None:
        return f"{error.option_name}: {_unknown_option(error.option_name, ctx.command)}"
    if isinstance(error, click.exceptions.NoSuchCommand) and ctx is not None:
        return f"{error.command_name}: {_unknown_command(error.command_name, ctx)}"
    if isinstance(error, click.exceptions.NoArgsIsHelpError) and ctx is not None:
        return f"{ctx.command_path}: expected a command: {', '.join(_commands(ctx))}"
    if isinstance(error, click.MissingParameter) and error.param is not None:
        kind = "argument" if isinstance(error.param, click.Argument) else "option"
        return f"missing {kind} {_name(error.param)}"
    if isinstance(error, click.BadParameter) and error.param is not None:
        name = variable_of(ctx, error.param) or _name(error.param)
        return f"{name}: {_bad_value(error.message, error.param.type)}"
    # The other BadOptionUsage is a flag with a value, which click's own words name.
    if isinstance(error, click.BadOptionUsage) and "requires" in error.message:
        return f"{error.option_name}: found nothing after it, expected its value"
    extra = _EXTRA.match(error.message)
    if extra is not None and ctx is not None:
        arguments = [_name(each) for each in ctx.command.params if isinstance(each, click.Argument)]
        return f"unexpected {extra['words']}; expected {' '.join(arguments) or 'options only'}"
    return error.format_message()


def _unknown_option(name: str, command: click.Command) -> str:
    # Without the hyphens, which all have and which make none more like another.
    options = {option.lstrip("-"): option for option in _options(command)}
    near = nearest(name.lstrip("-"), options)
    return f"no such option{question([options[each] for each in near])}"


def _unknown_command(name: str, ctx: click.Context) -> str:
    return f"no such command{did_you_mean(name, _commands(ctx), 'commands')}"


def _commands(ctx: click.Context) -> list[str]:
    return ctx.command.list_commands(ctx) if isinstance(ctx.command, click.Group) else []


def _options(command: click.Command) -> Iterable[str]:
    for param in command.params:
        if isinstance(param, click.Option):
            yield from (*param.opts, *param.secondary_opts)
    # click keeps it out of `params`.
    yield "--help"


def _name(param: click.Parameter) -> str:
    """How an option or argument is called in the help."""
    if isinstance(param, click.Argument):
        return param.metavar or (param.name or "").upper()
    return "/".join(param.opts)


def _bad_value(message: str, kind: click.ParamType[Any]) -> str:
    """What was found and expected, where it is a type of click's own that refuses the value."""
    refused = _REFUSED.match(message)
    if refused is None:
        return message
    value = refused["value"]
    if value[0] in "'\"":  # a literal, which is written as one again
        import ast

        value = ast.literal_eval(value)
    if isinstance(kind, click.Choice):
        choices = list(map(str, kind.choices))
        hint = did_you_mean(value, choices)
        return f"found {value!r}, expected {listed(choices)}{hint}"
    if isinstance(kind, (click.types.IntParamType, click.types.FloatParamType)):
        number = "a whole number" if isinstance(kind, click.types.IntParamType) else "a number"
        return f"found {value!r}, expected {number}{_range(kind)}"
    return message


def _range(kind: click.ParamType[Any]) -> str:
    low, high = getattr(kind, "min", None), getattr(kind, "max", None)
    if low is not None and high is not None:
        return f" from {low} to {high}"
    if low is not None:
        return f" above {low}" if getattr(kind, "min_open", False) else f" from {low} on"
    return ""
