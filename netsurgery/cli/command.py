"""What all commands share: their options under headings in --help, and --max-memory."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from netsurgery.errors import NetsurgeryError
from netsurgery.io.memory import max_memory, parse_memory, set_max_memory

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

__all__ = [
    "BETWEEN",
    "BOXES",
    "CHANCE",
    "ENGINE",
    "EXIT_CODES",
    "EXPLANATION",
    "LARGE",
    "NET",
    "OTHER",
    "OUTPUT",
    "OWN",
    "PICTURE",
    "PREPROCESSING",
    "SOLVER",
    "TRAINING",
    "TRUTH",
    "Command",
    "Group",
    "WordType",
    "headed",
    "of_net",
    "split_list",
    "useless",
]

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

#: The headings, in the order of the help; options without one are under the first.
OWN, BOXES, TRUTH, CHANCE, TRAINING, SOLVER, NET, PREPROCESSING, *_LAST = HEADINGS = (
    "Options",
    "Boxes",
    "Truth of a cell",
    "Chance",
    "Training",
    "Solver",
    "Net",
    "Preprocessing",
    "Between cells, and at several scales",
    "Explanation of the answer",
    "Many or large images",
    "Picture",
    "Engine",
    "Output",
    "Other options",
)
BETWEEN, EXPLANATION, LARGE, PICTURE, ENGINE, OUTPUT, OTHER = _LAST
#: The meaning of exit codes, where a command does not state its own.
EXIT_CODES = {0: "Done.", 1: "An error: one line on standard error.", 2: "Wrong usage."}
#: A command with fewer options lists them all under the first heading.
_MANY = 11
#: Width of the column of option names in the help; a longer name is on its own line.
_COLUMN = 30


class WordType(click.ParamType[T]):
    """A word that `parse` reads, raising ValueError for others; `name` is its form in the help.

    words: those that shells complete. listed: whether there may be several, with commas between.
    """

    def __init__(
        self,
        name: str,
        parse: Callable[[str], T],
        words: Iterable[str] = (),
        *,
        listed: bool = False,
    ) -> None:
        self.name, self.parse, self.words, self.listed = name, parse, tuple(words), listed

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        return self.name  # click would make it upper case, and the words to type are not

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> T:
        if not isinstance(value, str):
            return value  # type: ignore[no-any-return]  # read already
        try:
            return self.parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem[str]]:
        from click.shell_completion import CompletionItem

        before, last = split_list(incomplete) if self.listed else ("", incomplete)
        words = [word for word in self.words if word not in before.split(",")]
        return [CompletionItem(f"{before}{word}") for word in words if word.startswith(last)]


def split_list(incomplete: str) -> tuple[str, str]:
    """What of a list is complete, with its last comma, and what is not."""
    before, comma, last = incomplete.rpartition(",")
    return before + comma, last


def headed(heading: str) -> Callable[[Callable[[F], F]], Callable[[F], F]]:
    """Put the options that a decorator adds under a heading of the help, but those under one."""

    def put(option: Any) -> None:
        option.heading = getattr(option, "heading", heading)

    def decorate(add_options: Callable[[F], F]) -> Callable[[F], F]:
        return _each_option(add_options, put)

    return decorate


def _each_option(
    add_options: Callable[[F], F], change: Callable[[click.Parameter], None]
) -> Callable[[F], F]:
    """The decorator, which changes the options that it adds."""

    @functools.wraps(add_options)
    def wrapped(command: F) -> F:
        # Where click's decorators leave params until `click.command` takes them.
        before = len(getattr(command, "__click_params__", ()))
        result = add_options(command)
        for param in getattr(result, "__click_params__", ())[before:]:
            change(param)
        return result

    return wrapped


def useless(
    reason: str, when: Callable[[Mapping[str, Any]], object]
) -> Callable[[Callable[[F], F]], Callable[[F], F]]:
    """Refuse the options that a decorator adds where they would do nothing.

    when: whether they do, by the values of all of the command's parameters; reason: the end of the
    message. Only what is on the command line is refused: a variable is set for many commands. An
    option may have several such conditions.
    """

    def add(option: Any) -> None:
        option.useless = [*getattr(option, "useless", ()), (reason, when)]

    def decorate(add_options: Callable[[F], F]) -> Callable[[F], F]:
        return _each_option(add_options, add)

    return decorate


def of_net(name: str) -> Callable[..., list[CompletionItem[str]]]:
    """The `shell_complete` of that name in `netsurgery.cli.net_names`, imported when it is used."""

    def complete(
        ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem[str]]:
        from netsurgery.cli import net_names

        items: list[CompletionItem[str]] = getattr(net_names, name)(ctx, param, incomplete)
        return items

    return complete


class Command(click.Command):
    """A command with --max-memory, and headings in its help where it has many options.

    exit_codes: code -> its meaning, where one differs from EXIT_CODES; the help lists them.
    """

    def __init__(
        self, *args: Any, exit_codes: Mapping[int, str] | None = None, **attrs: Any
    ) -> None:
        super().__init__(*args, **attrs)
        self.exit_codes = exit_codes or {}
        # After the command's own options in the help, where click adds --help at the end.
        self.params.append(_max_memory_option())

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            error.ctx = error.ctx or ctx  # click leaves it out for an option without its value
            raise

    def invoke(self, ctx: click.Context) -> Any:
        _refuse_useless(ctx)
        try:
            return super().invoke(ctx)
        except NetsurgeryError as error:
            from netsurgery.cli.usage import name_variables

            name_variables(error, ctx)
            raise

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if self.exit_codes:
            with formatter.section("Exit codes"):
                formatter.write_dl([(str(code), text) for code, text in self.exit_codes.items()])
        super().format_epilog(ctx, formatter)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        groups = {
            heading: [option.get_help_record(ctx) or ("", "") for option in options]
            for heading, options in self.option_groups(ctx).items()
        }
        widest = min(_COLUMN, max(len(name) for rows in groups.values() for name, _ in rows))
        for heading, rows in groups.items():
            with formatter.section(heading):
                # Padded, since write_dl measures each section by itself.
                formatter.write_dl([(name.ljust(widest), text) for name, text in rows], _COLUMN)

    def option_groups(self, ctx: click.Context) -> dict[str, list[click.Option]]:
        """Heading -> the options under it, in the order of the help."""
        options = [param for param in self.get_params(ctx) if isinstance(param, click.Option)]
        if len(options) < _MANY:
            return {OWN: options}
        groups: dict[str, list[click.Option]] = {heading: [] for heading in HEADINGS}
        for option in options:
            default = OTHER if "--help" in option.opts else OWN
            groups[getattr(option, "heading", default)].append(option)
        return {heading: members for heading, members in groups.items() if members}


def _refuse_useless(ctx: click.Context) -> None:
    """Raise UsageError for an option of the command line that does nothing in this call."""
    for param in ctx.command.params:
        if ctx.get_parameter_source(param.name or "") is not ParameterSource.COMMANDLINE:
            continue
        for reason, when in getattr(param, "useless", ()):
            if when(ctx.params):
                why = _with_variable(reason, ctx)
                off = ctx.params[param.name or ""] is False
                names = param.secondary_opts if off and param.secondary_opts else param.opts
                raise click.UsageError(f"{'/'.join(names)} does nothing {why}", ctx)


def _with_variable(reason: str, ctx: click.Context) -> str:
    """The reason, after an option whose value is from a variable with that variable's name."""
    from netsurgery.cli.usage import variable_of

    option, comma, rest = reason.partition(",")
    for param in ctx.command.params:
        variable = variable_of(ctx, param)
        if variable and set(param.opts).intersection(option.split()):
            option += f" (from {variable})"
    return f"{option}{comma}{rest}"


class Group(click.Group):
    """A group of such commands."""

    command_class = Command


def _max_memory_option() -> click.Option:
    """It holds while the command runs."""

    def hold(ctx: click.Context, _: click.Parameter, limit: int | None) -> None:
        # The limit is the process's, which may run other commands after this one, as in tests.
        ctx.call_on_close(functools.partial(set_max_memory, max_memory()))
        set_max_memory(limit)

    option: Any = click.Option(
        ["--max-memory"],
        type=WordType("SIZE", parse_memory),
        envvar="NETSURGERY_MAX_MEMORY",
        is_eager=True,  # before any option that reads a file
        expose_value=False,
        callback=hold,
        help="Limit on the memory for files, nets and options, such as 4GiB (default: three "
        "quarters of the free memory); what needs more is refused in advance.",
    )
    option.heading = OTHER
    return option  # type: ignore[no-any-return]
