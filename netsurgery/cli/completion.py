"""``netsurgery completion``: completion of words in bash, zsh and fish.

The shell's script runs netsurgery with `COMPLETE` set, and `answer` prints the matches. Files are
completed by the shell itself, by the endings of their kind. bash splits words at = and : too, so
that its script hands over the whole line, to be split here. The words after the cursor, which may
name the net, are the context's `obj`.
"""

from __future__ import annotations

import os
import re

import click
from click import shell_completion
from click.shell_completion import CompletionItem, ShellComplete

from netsurgery.cli import COMPLETE
from netsurgery.cli.command import Command
from netsurgery.cli.printing import echo_text

__all__ = ["answer", "command"]

_BASH = """\
%(complete_func)s() {
    local IFS=$'\\n' current="${COMP_WORDS[COMP_CWORD]}" line kind value ending
    [[ $current == [=:] ]] && current=""
    for line in $(COMP_TEXT="${COMP_LINE:0:COMP_POINT}" COMP_AFTER="${COMP_LINE:COMP_POINT}" \\
            COMP_BREAKS="$COMP_WORDBREAKS" \\
            %(complete_var)s=bash_complete "$1" 2>/dev/null); do
        kind="${line%%%%,*}" value="${line#*,}"
        if [[ $kind == plain ]]; then
            COMPREPLY+=("$value")
            [[ $value == *[=:] ]] && compopt -o nospace
        elif [[ $kind == endings ]]; then
            for ending in ${value//|/$'\\n'}; do
                COMPREPLY+=($(compgen -f -X "!*$ending" -- "$current"))
            done
            compopt -o filenames -o plusdirs
        elif [[ $kind == dir ]]; then
            compopt -o dirnames
        else
            compopt -o default
        fi
    done
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""


def _words_after(text: str) -> list[str]:
    """The whole words in the text after the cursor, which may stand in the middle of one."""
    words = shell_completion.split_arg_string(text)
    return words if text[:1].isspace() else words[1:]


class Bash(shell_completion.BashComplete):
    """Splits the line itself, since bash ends words at = and :."""

    source_template = _BASH

    def get_completion_args(self) -> tuple[list[str], str]:
        text = os.environ["COMP_TEXT"]
        words = shell_completion.split_arg_string(text)
        incomplete = words.pop() if words and not text[-1:].isspace() else ""
        breaks = "[" + re.escape("".join(set("=:") & set(os.environ["COMP_BREAKS"]))) + "]"
        # click completes the value of --option=value alone.
        value = incomplete.partition("=")[2] if incomplete.startswith("--") else incomplete
        self._shown = max((match.end() for match in re.finditer(breaks, value)), default=0)
        self.ctx_args["obj"] = _words_after(os.environ.get("COMP_AFTER", ""))
        return words[1:], incomplete

    def format_completion(self, item: CompletionItem[str]) -> str:
        value = item.value
        if item.type == "plain":
            value = re.sub(r"([\s'\"\\$`&|;<>()])", r"\\\1", value[self._shown :])
        return f"{item.type},{value}"


class Zsh(shell_completion.ZshComplete):
    """Click's, with files completed by their endings, and with the words after the cursor."""

    source_template = shell_completion.ZshComplete.source_template.replace(
        'COMP_WORDS="${words[*]}"',
        'COMP_WORDS="${words[1,CURRENT]}" COMP_AFTER=" ${words[CURRENT+1,-1]}"',
    ).replace(
        '        elif [[ "$type" == "dir" ]]; then',
        '        elif [[ "$type" == "endings" ]]; then\n'
        '            _files -g "*(${key})(-.)"\n'
        '        elif [[ "$type" == "dir" ]]; then',
    )

    def get_completion_args(self) -> tuple[list[str], str]:
        self.ctx_args["obj"] = _words_after(os.environ.get("COMP_AFTER", ""))
        return super().get_completion_args()


class Fish(shell_completion.FishComplete):
    """Click's, with files completed by their endings, and with the words after the cursor."""

    source_template = shell_completion.FishComplete.source_template.replace(
        "COMP_WORDS=(commandline -cp)", "COMP_LINE=(commandline -p) COMP_WORDS=(commandline -cp)"
    ).replace(
        '        else if test $metadata[1] = "plain";',
        '        else if test $metadata[1] = "endings";\n'
        '            for ending in (string split "|" $metadata[2]);\n'
        "                __fish_complete_suffix $ending;\n"
        "            end;\n"
        '        else if test $metadata[1] = "plain";',
    )

    def get_completion_args(self) -> tuple[list[str], str]:
        line, before = os.environ.get("COMP_LINE", ""), os.environ["COMP_WORDS"]
        self.ctx_args["obj"] = _words_after(line[len(before) :])
        return super().get_completion_args()


SHELLS: dict[str, type[ShellComplete]] = {"bash": Bash, "zsh": Zsh, "fish": Fish}


def answer(cli: click.Command) -> None:
    """Print the matches for a half-written line; nothing on any error.

    Somebody is typing: there is no room for messages.
    """
    try:
        shell = SHELLS[os.environ[COMPLETE].removesuffix("_complete")]
        echo_text(shell(cli, {}, "netsurgery", COMPLETE).complete())
    except Exception:
        pass


@click.command(cls=Command)
@click.argument("shell", type=click.Choice(list(SHELLS)))
def command(shell: str) -> None:
    """Print a completion script for a shell.

    Completes commands, options, files by their endings, and the layers, blobs, params and labels
    of the net on the command line.

    \b
    bash  netsurgery completion bash > ~/.local/share/bash-completion/completions/netsurgery
    zsh   netsurgery completion zsh > DIRECTORY/_netsurgery, with DIRECTORY in $fpath
    fish  netsurgery completion fish > ~/.config/fish/completions/netsurgery.fish

    \b
    Example:
      netsurgery completion bash
    """
    cli = click.get_current_context().find_root().command
    words = SHELLS[shell](cli, {}, "netsurgery", COMPLETE)
    echo_text(words.source_template % words.source_vars())
