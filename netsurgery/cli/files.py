"""The files that commands read: their kinds, and - for standard input."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from netsurgery.cli.command import useless
from netsurgery.cli.printing import show_as
from netsurgery.errors import NetsurgeryError
from netsurgery.formats.limits import MAX_PROTOTXT
from netsurgery.io.terminal import STDIN
from netsurgery.io.wording import counted

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

__all__ = [
    "ARRAY",
    "DRAWING",
    "FILE_PATH",
    "FOLDER_PATH",
    "IMAGE",
    "LIST",
    "NET_OR_WEIGHTS",
    "PROTOTXT",
    "WEIGHTS",
    "FilePathType",
    "FolderPathType",
    "InputFile",
    "for_nets",
    "for_weights",
    "is_stdin",
    "net_and_weights",
    "prototxt_and_weights",
    "refuse_any_stdin",
    "refuse_stdin",
    "take_stdin",
]

_META = "netsurgery.stdin"


def by_endings(endings: Sequence[str]) -> list[CompletionItem[str]]:
    """What has the shell complete files with these endings, all files for none."""
    from click.shell_completion import CompletionItem

    return [CompletionItem("|".join(endings), "endings") if endings else CompletionItem("", "file")]


class FilePathType(click.Path):
    """A file's path; an empty one, which Path would take for the current folder, is refused.

    endings: those that files of the kind have, for completion. as_typed: keep the path's text.
    """

    what = "file"

    def __init__(self, *endings: str, as_typed: bool = False, **attrs: Any) -> None:
        super().__init__(path_type=None if as_typed else Path, **attrs)
        self.endings = endings

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            self.fail(f"expected a {self.what}'s name, found an empty one", param, ctx)
        path: Any = super().convert(value, param, ctx)
        # Path turns ./-, a file's name, into -, which is standard input or output.
        return path.absolute() if str(path) == "-" != value else path

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem[str]]:
        return by_endings(self.endings)


class FolderPathType(FilePathType):
    """A folder's path, by the same rule."""

    what = "folder"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem[str]]:
        from click.shell_completion import CompletionItem

        return [CompletionItem(incomplete, "dir")]


class InputFile(FilePathType):
    """A file to read; - is standard input, `most` bytes of it, in a file called `stdin_name`."""

    def __init__(self, stdin_name: str, *endings: str, most: int = sys.maxsize) -> None:
        super().__init__(*endings)
        self.stdin_name, self.most = stdin_name, most

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        # Completion parses resiliently, and must not wait for standard input.
        if value != "-" or ctx is None or ctx.resilient_parsing:
            return super().convert(value, param, ctx)
        from netsurgery.io.stdin import stdin_as_file

        take_stdin(ctx)
        # The root is closed after errors in parsing the command's own words, too.
        path = ctx.find_root().with_resource(stdin_as_file(self.stdin_name, self.most))
        ctx.meta[_META] = path
        show_as(path, STDIN)
        return path


class TypedFile(FilePathType):
    """A file's path as it was typed; - is standard input, which its reader reads."""

    def __init__(self, *endings: str) -> None:
        super().__init__(*endings, as_typed=True, allow_dash=True)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "-" and ctx is not None:
            take_stdin(ctx)
        return super().convert(value, param, ctx)


PROTOTXT = InputFile("net.prototxt", ".prototxt", ".pbtxt", most=MAX_PROTOTXT)
WEIGHTS = InputFile("model.caffemodel", ".caffemodel", ".h5")
NET_OR_WEIGHTS = InputFile("net.prototxt", *PROTOTXT.endings, *WEIGHTS.endings)
ARRAY = InputFile("array.npy", ".npy")
IMAGE = TypedFile(  # as in `netsurgery.maps.picture_list`, which is not imported for it
    *(".jpg", ".jpeg", ".png", ".bmp", ".gif", ".pbm", ".pgm", ".pnm", ".ppm"),
    *(".tif", ".tiff", ".webp"),
)
#: Names of pictures.
LIST = TypedFile(".txt", ".lst")
#: A drawing to write, in the form that its ending says.
DRAWING = FilePathType(".svg", ".png", ".html", ".mmd", ".dot")
FILE_PATH = FilePathType()
FOLDER_PATH = FolderPathType()


def take_stdin(ctx: click.Context) -> None:
    """Record that an input is standard input. Raises UsageError for a second one."""
    if _META in ctx.meta:
        raise click.UsageError("standard input (-) can be one of the inputs only", ctx)
    # A picture's reader reads it; for other files `InputFile` puts the path here.
    ctx.meta[_META] = None


def refuse_stdin(*named: object) -> None:
    """Raise UsageError if a path that is written to netsurgery.toml is standard input."""
    if any(map(is_stdin, named)):
        raise click.UsageError("netsurgery.toml names this input: give a file, not standard input")


def refuse_any_stdin(why: str) -> None:
    """Raise UsageError if any input of this call is standard input."""
    if _META in click.get_current_context().meta:
        raise click.UsageError(f"{why}: give a file, not standard input")


def _all(paths: Iterable[Path], *, prototxts: bool) -> bool:
    """Whether all files are prototxts, or all are weights; False where one cannot be read."""
    from netsurgery.formats.prototxt import is_prototxt

    try:
        return all(is_prototxt(path) == prototxts for path in paths)
    except NetsurgeryError:
        return False


#: For options of a command with `files` that need a prototxt, or weights, among them.
for_nets = useless("without a prototxt", lambda values: _all(values["files"], prototxts=False))
for_weights = useless("without a caffemodel", lambda values: _all(values["files"], prototxts=True))


def is_stdin(path: object) -> bool:
    """Whether a path of this call is standard input."""
    ctx = click.get_current_context(silent=True)
    # In `meta` None stands for what is read later; a path of None is an option that was left out.
    return ctx is not None and path is not None and ctx.meta.get(_META) == path


def prototxt_and_weights(files: tuple[Path, ...]) -> tuple[Path | None, Path | None]:
    """(prototxt, caffemodel) of one or two files; raises UsageError for two of a kind."""
    from netsurgery.formats.prototxt import is_prototxt

    prototxts = [path for path in files if is_prototxt(path)]
    models = [path for path in files if path not in prototxts]
    if len(files) > 2 or len(prototxts) > 1 or len(models) > 1:
        raise click.UsageError(
            f"expected one prototxt, one caffemodel or one of each; found "
            f"{counted(len(prototxts), 'prototxt')} and {counted(len(models), 'caffemodel')}"
        )
    return next(iter(prototxts), None), next(iter(models), None)


def net_and_weights(files: tuple[Path, ...]) -> tuple[Path, Path | None]:
    """The same where the prototxt must be there; raises UsageError else."""
    prototxt, weights = prototxt_and_weights(files)
    if prototxt is None:
        raise click.UsageError("expected a prototxt, and its caffemodel if you like")
    return prototxt, weights
