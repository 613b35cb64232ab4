"""Where the files of a class map go: one file for one picture, a folder for several."""

from __future__ import annotations

import io
import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click

from netsurgery.errors import OutputError
from netsurgery.io.files import Outputs
from netsurgery.io.targets import check_links, check_outputs
from netsurgery.io.terminal import check_no_terminal, print_bytes

__all__ = ["MapFiles", "is_folder", "make_folder", "stems"]


@dataclass(frozen=True)
class MapFiles:
    """The outputs of each picture, by kind ("npy", "picture"); "-" is standard output.

    inputs: files that no output may replace.
    """

    paths: dict[str, list[str]]
    inputs: list[str]
    force: bool = False
    folders: set[str] = field(default_factory=set)

    @classmethod
    def plan(
        cls,
        images: Sequence[str],
        npy: str | None,
        picture: str | None,
        *,
        inputs: Iterable[str] = (),
        force: bool = False,
    ) -> MapFiles:
        """Name every output and refuse, before any work, those that must not be written.

        Raises OutputError, and click's UsageError for what contradicts itself.
        """
        if npy == picture == "-":
            raise click.UsageError("--npy and --picture cannot both go to standard output")
        made = cls({}, [*inputs, *(image for image in images if image != "-")], force)
        for kind, suffix, given in (("npy", ".npy", npy), ("picture", ".png", picture)):
            if given is not None:
                made.paths[kind] = made._named(images, kind, suffix, given)
        made._check()
        return made

    def _named(self, images: Sequence[str], kind: str, suffix: str, given: str) -> list[str]:
        if given == "-" and len(images) > 1:
            raise click.UsageError(f"--{kind} -: several images need a folder")
        if given == "-" or not is_folder(f"--{kind}", given, suffix, len(images), "images"):
            return [given]
        self.folders.add(given)
        return [str(Path(given, name + suffix)) for name in stems(images)]

    def _check(self) -> None:
        """Folders that are not there yet are made later: nothing in them can be in the way."""
        if self.to_stdout:
            check_no_terminal("what is written")
        later = {Path(folder) for folder in self.folders if not os.path.isdir(folder)}
        files = [path for paths in self.paths.values() for path in paths if path != "-"]
        check_outputs(
            [path for path in files if Path(path).parent not in later],
            inputs=self.inputs,
            force=self.force,
        )

    @property
    def to_stdout(self) -> bool:
        """Whether standard output belongs to a file."""
        return any("-" in paths for paths in self.paths.values())

    def write(self, index: int, makers: dict[str, Callable[[], bytes]]) -> list[str]:
        """Write picture `index`'s outputs, of the kinds in `makers`, together or not at all.

        Returns the files.
        """
        content = {
            paths[index]: makers[kind]() for kind, paths in self.paths.items() if kind in makers
        }
        for folder in self.folders:
            make_folder(folder)
        files = [path for path in content if path != "-"]
        with Outputs(files, inputs=self.inputs, force=self.force) as outputs:
            for path in files:
                outputs[path].write(content[path])
        if "-" in content:
            print_bytes(io.BytesIO(content["-"]))
        return files


def is_folder(option: str, given: str, suffix: str, count: int, what: str) -> bool:
    """Whether the outputs go into a folder `given`; else the only one is the file `given`.

    what: what there are `count` of. Raises OutputError where a file is in the folder's place,
    click's UsageError for a file where a folder is needed, and for one of another kind.
    """
    folder = os.path.isdir(given) or given.endswith(("/", os.sep))
    fits = given.lower().endswith(suffix)
    if count == 1 and not folder:
        if not fits:
            raise click.UsageError(f"{option} {given}: expected a name ending in {suffix}")
        return False
    if os.path.lexists(given) and not os.path.isdir(given):
        raise OutputError(f"{given}: is a file; several {what} need a folder for {option}")
    if fits and not folder:
        raise click.UsageError(
            f"{option} {given}: several {what} need a folder; {given}/ for one of this name"
        )
    return True


def make_folder(path: str) -> None:
    """Make a folder where there is none. Raises OutputError."""
    check_links(path)
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{path}: {error.strerror}") from error


def stems(images: Sequence[str]) -> list[str]:
    """A name for each image, no two the same even where case does not count.

    The file's name without its ending; with it where two share the first; numbered where that is
    shared too.
    """
    names = [Path("stdin" if image == "-" else image).name for image in images]
    stems = [Path(name).stem for name in names]
    shared = Counter(stem.casefold() for stem in stems)
    taken: set[str] = set()
    numbers = Counter[str]()
    made = []
    for name, stem in zip(names, stems, strict=True):
        base = stem if shared[stem.casefold()] == 1 else name
        chosen = base
        while chosen.casefold() in taken:
            numbers[base.casefold()] += 1
            chosen = f"{base}-{numbers[base.casefold()] + 1}"
        taken.add(chosen.casefold())
        made.append(chosen)
    return made
