"""The command line: one thin file a command, and the one place where errors become exit codes.

Exit codes: 0 done, 1 a NetsurgeryError (one line on stderr), 2 wrong usage, 141 broken pipe.
Signals are handled in `netsurgery.__main__`, before this is imported.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import importlib
import os
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from netsurgery import __version__
from netsurgery.cli.streams import STDOUT, give_up, name_streams
from netsurgery.errors import NetsurgeryError
from netsurgery.io.terminal import cell, own_standard_error, say
from netsurgery.io.wording import naming_options

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

__all__ = ["cli", "main"]

#: command -> (module under netsurgery.cli, one line of help). The modules are imported on use,
#: so that ``netsurgery --version`` costs no more than click.
COMMANDS = {
    "convert": ("convert", "Make a classifier fully convolutional: prototxt and weights."),
    "classify-map": ("classify_map", "Classify every window of an image, and draw the map."),
    "dense": ("dense", "Give the maps of a net a finer stride, with the same weights."),
    "inspect": ("inspect", "Show layers, shapes, params and costs, and whether weights fit."),
    "draw": ("draw", "Draw a net: SVG, PNG, HTML, Mermaid or DOT."),
    "check": ("check", "Check a net and its weights without running them."),
    "init": ("init", "Initialize a net's params with the fillers of its prototxt."),
    "edit": ("edit", "Edit params: set filters, fold BatchNorm, cut channels."),
    "export": ("export", "Export a net with its weights to ONNX."),
    "diff": ("diff", "Compare two nets or their weights, field by field."),
    "transplant": ("transplant", "Copy params from one net into another."),
    "upgrade": ("upgrade", "Upgrade a prototxt or caffemodel to Caffe 1.0."),
    "verify": ("verify", "Verify that two nets compute the same function."),
    "features": ("features", "Save blobs as arrays, with their position in the image."),
    "setup": ("setup", "Find a net's preprocessing from images of known classes."),
    "evaluate": ("evaluate", "Compare a net's map with what is annotated of images."),
    "train": ("train", "Train a classifier by sliding windows."),
    "job": ("job", "Look at a job of classify-map, go on with it, merge its outputs."),
    "presets": ("presets", "List the preprocessing presets of --preprocess."),
    "cache": ("cache", "Show, or delete, what is kept to run nets faster."),
    "caffe": ("caffe", "Install real Caffe, and choose what runs nets."),
    "completion": ("completion", "Print a completion script for bash, zsh or fish."),
    "help": ("help", "Show the help of a command."),
}


#: Set by a shell that asks for what completes a word.
COMPLETE = "_NETSURGERY_COMPLETE"

#: Allocations between two runs of Python's cyclic garbage collector; its own default is 700.
GARBAGE = 100_000


class ReaderGone(Exception):
    """Whoever read our output closed it. Click would end the process over an OSError."""


@contextlib.contextmanager
def _broken_pipe_as_reader_gone() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError as error:
        raise ReaderGone from error


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called."""

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        with _broken_pipe_as_reader_gone():  # --help and --version print here
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        with _broken_pipe_as_reader_gone():
            return super().invoke(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"netsurgery.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = module.command
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[str]]:
        from click.shell_completion import CompletionItem

        # click's own imports every command for its line of help.
        commands = [
            CompletionItem(name, help=line)
            for name, (_, line) in COMMANDS.items()
            if name.startswith(incomplete)
        ]
        # Past click.Group, which would add the commands again.
        return [*commands, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(
    cls=LazyGroup,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "max_content_width": 100,
    },
)
@click.version_option(__version__, "-V", "--version", prog_name="netsurgery")
def cli() -> None:
    """Net surgery for trained Caffe models.

    Any input file may be -, for standard input.

    \b
    Example:
      netsurgery convert deploy.prototxt model.caffemodel
      netsurgery classify-map cat.jpg
    """


def main() -> None:
    """Run the command line and exit with its code; no traceback reaches the user."""
    # Few of the objects are garbage: collecting less often, and not at exit, saves classify-map a
    # tenth of its time.
    gc.set_threshold(GARBAGE)
    name_streams()
    own_standard_error()
    code = run()
    gc.freeze()
    sys.exit(code)


def run(args: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    try:
        return _run(args)
    except (BrokenPipeError, ReaderGone):
        give_up(sys.stdout)
        # With 2>&1 it leads into the same pipe.
        give_up(sys.stderr)
        return 141


def _run(args: list[str] | None) -> int:
    words = sys.argv[1:] if args is None else args
    try:
        if COMPLETE in os.environ:
            from netsurgery.cli.completion import answer

            answer(cli)
            return 0
        with naming_options():
            code = cli.main(args=args, prog_name="netsurgery", standalone_mode=False)
        if sys.stdout is not None:  # it is None where it was closed before we began
            # Here its failure is reported; at exit Python would only end with 120.
            sys.stdout.flush()
        # The code of ctx.exit or of an Exit; what a command returns otherwise is no code.
        return code if isinstance(code, int) else 0
    except NetsurgeryError as error:
        return report(error, words)
    except click.ClickException as error:
        from netsurgery.cli.failure import report_usage

        return report_usage(error, words)
    except (KeyboardInterrupt, click.Abort):
        return 130
    # An OSError, too, but `run` ends with 141 for it.
    except BrokenPipeError:
        raise
    except OSError as error:
        if error.filename == STDOUT:
            give_up(sys.stdout)
            # The record of --json would go to standard output, too.
            words = []
        return report(NetsurgeryError(_refusal(error)), words)
    except ImportError as error:  # a library that is not whole, or no descriptor left to open it
        return report(NetsurgeryError(f"a library cannot be imported: {error}"), words)
    except MemoryError:
        return report(NetsurgeryError("out of memory"), words)


def report(error: NetsurgeryError, words: Sequence[str]) -> int:
    """Show an error of the command line `words`, and return its exit code."""
    try:
        from netsurgery.cli import failure
    except (ImportError, MemoryError, OSError):  # no descriptor is left to open it, perhaps
        say(f"error: {cell(str(error))}\n")
        # 2 for WrongOutput, which is wrong usage.
        return getattr(error, "exit_code", 1)
    return failure.report(error, words)


def _refusal(error: OSError) -> str:
    """What the system refuses, and of what where that is known; files have errors of their own."""
    why = error.strerror or str(error)
    if error.errno in (errno.EMFILE, errno.ENFILE):
        why += "; raise the limit on them (ulimit -n)"
    if isinstance(error.filename, (str, bytes)):
        return f"{os.fsdecode(error.filename)}: {why}"
    if isinstance(error, FileNotFoundError):  # os.getcwd()
        return f"the current folder: {why}; go to another"
    return why
