"""The reference of the command line, from the commands: docs/commands.md and the man pages.

    python docs/command_reference.py

writes them; tests/test_command_reference.py compares the files in the repository with the commands.
"""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from netsurgery import __version__
from netsurgery.cli import COMMANDS, cli
from netsurgery.cli.command import EXIT_CODES, Command

__all__ = ["Page", "man_page", "markdown", "outputs", "pages"]

ROOT = Path(__file__).resolve().parent.parent

#: Codes that end any command.
_ENDS = {
    130: "Ended by Ctrl-C; by another signal, 128 + its number.",
    141: "The reader of the output went away.",
}


@dataclass(frozen=True)
class Option:
    """An option: its names and value, what its help says, and its variable of the environment."""

    names: str
    text: str
    variable: str | None


@dataclass(frozen=True)
class Page:
    """A command as its reference has it. blocks: (whether it is preformatted, text)."""

    name: str
    summary: str
    usage: str
    blocks: list[tuple[bool, str]]
    example: str
    options: dict[str, list[Option]]
    exit_codes: dict[int, str]
    commands: dict[str, str]

    @property
    def file(self) -> str:
        """The name of its man page, without ending."""
        return self.name.replace(" ", "-")

    @property
    def variables(self) -> dict[str, str]:
        """Environment variable -> the option that it stands for."""
        return {
            option.variable: option.names
            for options in self.options.values()
            for option in options
            if option.variable is not None
        }


def pages() -> list[Page]:
    """All of them, `netsurgery` itself first."""
    return list(_pages(click.Context(cli, info_name="netsurgery", help_option_names=_HELP), ""))


_HELP = cli.context_settings["help_option_names"]


def _pages(context: click.Context, summary: str) -> Iterator[Page]:
    command = context.command
    groups = (isinstance(command, click.Group) and command.list_commands(context)) or []
    inner = []
    for name in groups:
        assert isinstance(command, click.Group)
        subcommand = command.get_command(context, name)
        assert subcommand is not None
        line = COMMANDS[name][1] if command is cli else subcommand.get_short_help_str(100)
        inner.append((click.Context(subcommand, context, info_name=name), line))
    blocks, example = _blocks(command.help or "")
    yield Page(
        context.command_path,
        summary or blocks[0][1],
        " ".join([context.command_path, *command.collect_usage_pieces(context)]),
        blocks,
        example,
        _options(command, context),
        {**EXIT_CODES, **getattr(command, "exit_codes", {})},
        {str(each.info_name): line for each, line in inner},
    )
    for each, line in inner:
        yield from _pages(each, line)


def _blocks(text: str) -> tuple[list[tuple[bool, str]], str]:
    """The help's paragraphs without the examples, and those."""
    blocks, examples = [], []
    for block in re.split(r"\n\s*\n", inspect.cleandoc(text)):
        if block.startswith("\b\nExample"):
            examples.append(textwrap.dedent(block.split("\n", 2)[2]))
        elif block.startswith("\b\n"):
            blocks.append((True, block[2:]))
        else:
            blocks.append((False, " ".join(block.split())))
    return blocks, "\n".join(examples)


def _options(command: click.Command, context: click.Context) -> dict[str, list[Option]]:
    if isinstance(command, Command):
        groups = command.option_groups(context)
    else:
        options = [each for each in command.get_params(context) if isinstance(each, click.Option)]
        groups = {"Options": options}
    return {
        heading: [_option(each, context) for each in group] for heading, group in groups.items()
    }


def _option(option: click.Option, context: click.Context) -> Option:
    names, text = option.get_help_record(context) or ("", "")
    variable = option.envvar if isinstance(option.envvar, str) else None
    return Option(names, " ".join(text.split()), variable)


_HEAD = """\
# Commands

The reference of the command line. `netsurgery help COMMAND` prints the same on a terminal, and
`man netsurgery-COMMAND` where the package's man pages are installed. Ctrl-C ends a command with
exit code 130, other signals with 128 + their number; 141 means that the reader of the output went
away.
"""


def markdown() -> str:
    """docs/commands.md."""
    return "\n".join([_HEAD, *(line for page in pages() for line in _section(page))])


def _section(page: Page) -> Iterator[str]:
    yield f"## {page.name}\n"
    yield f"```text\n{page.usage}\n```\n"
    for preformatted, text in page.blocks:
        yield f"```text\n{text}\n```\n" if preformatted else f"{_filled(_marked(text))}\n"
    if page.example:
        yield f"```sh\n{page.example}\n```\n"
    if page.commands:
        yield "| command | |\n|---|---|"
        for name, text in page.commands.items():
            yield f"| [`{name}`](#{page.file}-{name}) | {_marked(text)} |"
        yield ""
    for heading, options in page.options.items():
        yield f"**{heading}**\n"
        yield from map(_listed, options)
        yield ""
    yield "**Exit codes**\n"
    for code, text in page.exit_codes.items():
        yield f"- `{code}`: {_marked(text)}"
    yield ""


def _listed(option: Option) -> str:
    variable = f" Environment: `{option.variable}`." if option.variable else ""
    return _filled(f"- `{option.names}`: {_marked(option.text)}{variable}", "  ")


def _filled(text: str, indent: str = "") -> str:
    # A "-" that began a line would be an item of a list: it stays with the word before.
    lines = textwrap.fill(
        text.replace(" - ", "\0- "),
        100,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return lines.replace("\0", " ")


def _marked(text: str) -> str:
    """Text of a help as markdown: nothing in it is markup but what stands between backquotes."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(
        part if i % 2 else re.sub(r"([\\*_<>\[\]|#])", r"\\\1", part)
        for i, part in enumerate(parts)
    )


def man_page(page: Page, every: list[Page]) -> str:
    """The page in troff's man macros."""
    title = page.file.upper()
    lines = [
        f'.TH "{title}" 1 "" "netsurgery {__version__}" "User Commands"',
        ".SH NAME",
        f"{_troff(page.file)} \\- {_troff(page.summary.rstrip('.'))}",
        ".SH SYNOPSIS",
        f".B {_troff(page.name)}",
        _troff(page.usage.removeprefix(page.name).strip()),
        ".SH DESCRIPTION",
    ]
    for preformatted, text in page.blocks:
        lines += [".nf", _troff(text), ".fi", ".PP"] if preformatted else [_troff(text), ".PP"]
    lines.pop()  # none stands before a heading
    if page.commands:
        lines.append(".SH COMMANDS")
        for name, text in page.commands.items():
            lines += [".TP", f".BR {_troff(f'{page.file}-{name}')} (1)", _troff(text)]
    lines.append(".SH OPTIONS")
    for heading, options in page.options.items():
        if len(page.options) > 1:
            lines.append(f".SS {heading}")
        for option in options:
            lines += [".TP", f".B {_troff(option.names)}", _troff(option.text)]
    lines.append(".SH EXIT STATUS")
    for code, text in (page.exit_codes | _ENDS).items():
        lines += [".TP", f".B {code}", _troff(text)]
    if page.variables:
        lines.append(".SH ENVIRONMENT")
        for variable, names in page.variables.items():
            lines += [".TP", f".B {variable}", f"Stands for {_troff(names)}."]
    if page.example:
        lines += [".SH EXAMPLES", ".nf", _troff(page.example), ".fi"]
    others = [each.file for each in every if each.file != page.file]
    near = others if page.file == "netsurgery" else ["netsurgery"]
    lines += [".SH SEE ALSO"]
    lines += [f".BR {_troff(name)} (1){'' if name == near[-1] else ','}" for name in near]
    return "\n".join(lines) + "\n"


def _troff(text: str) -> str:
    """Text with what troff would read as its own escaped; a hyphen is one that can be copied."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return "\n".join(f"\\&{line}" if line[:1] in (".", "'") else line for line in text.split("\n"))


def outputs() -> dict[Path, str]:
    """File -> its content."""
    every = pages()
    return {
        ROOT / "docs" / "commands.md": markdown(),
        **{ROOT / "man" / f"{page.file}.1": man_page(page, every) for page in every},
    }


def main() -> None:
    """Write the files, and remove pages of commands that are gone."""
    files = outputs()
    (ROOT / "man").mkdir(exist_ok=True)
    for old in (ROOT / "man").glob("*.1"):
        if old not in files:
            old.unlink()
    for path, content in files.items():
        path.write_text(content, "utf-8")


if __name__ == "__main__":
    main()
