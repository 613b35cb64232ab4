"""Where the outputs of several pictures go: a file for one, a folder for several.

Where an output is one file for all pictures, it is a file in any case.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from netsurgery.errors import OutputError
from netsurgery.io.files import Outputs
from netsurgery.io.targets import STDOUT, WrongOutput, check_links, check_outputs, wrong_ending
from netsurgery.io.wording import argument
from netsurgery.maps.picture_look import PICTURE_SUFFIXES
from netsurgery.open_net.arguments import AnyPath
from netsurgery.verbs.outputs import OUTPUTS, How, file_outputs

__all__ = ["MapFiles", "is_folder", "make_folder", "named_files", "stems"]


@dataclass(frozen=True)
class MapFiles:
    """The outputs of each picture, by kind ("npy", "picture"); "-" is standard output.

    Of a kind that is one file for all pictures there is one. inputs: files that no output may
    replace. in_parts: of such a kind too there is a file for each picture, its part.
    """

    paths: dict[str, list[str]]
    inputs: list[str]
    force: bool = False
    folders: set[str] = field(default_factory=set)
    in_parts: bool = False

    @property
    def joined(self) -> list[str]:
        """The kinds that are one file for all pictures."""
        return [kind for kind in self.paths if OUTPUTS[kind].join is not None and not self.in_parts]

    @classmethod
    def plan(
        cls,
        images: Sequence[str],
        outputs: Mapping[str, str],
        *,
        inputs: Iterable[str] = (),
        force: bool = False,
    ) -> MapFiles:
        """Name every output and refuse, before any work, those that must not be written.

        outputs: kind -> the name that was given. Raises OutputError, and WrongOutput for what
        contradicts itself.
        """
        printed = [argument(f"--{kind}") for kind, name in outputs.items() if name == STDOUT]
        if len(printed) > 1:
            raise WrongOutput(f"{' and '.join(printed)} cannot both go to standard output")
        files = cls({}, [*inputs, *(image for image in images if image != "-")], force)
        for kind, name in outputs.items():
            joined = OUTPUTS[kind].join is not None
            if joined and (os.path.isdir(name) or name.endswith(("/", os.sep))):
                raise WrongOutput(f"{argument(f'--{kind}')} {name}: is a folder; expected a file")
            files.paths[kind] = files._named(images[:1] if joined else images, kind, name)
        files._check()
        return files

    def _named(self, images: Sequence[str], kind: str, name: str) -> list[str]:
        suffix = OUTPUTS[kind].suffix
        if name == STDOUT and len(images) > 1:
            raise WrongOutput(f"{argument(f'--{kind}')} -: several images need a folder")
        if name == STDOUT or not is_folder(
            argument(f"--{kind}"), name, suffix, len(images), "images"
        ):
            return [name]
        self.folders.add(name)
        return [str(Path(name, stem + suffix)) for stem in stems(images)]

    def _check(self) -> None:
        """Folders that do not exist yet are made later: nothing in them can be in the way."""
        later = {Path(folder) for folder in self.folders if not os.path.isdir(folder)}
        files = [path for paths in self.paths.values() for path in paths if path != STDOUT]
        check_outputs(
            [path for path in files if Path(path).parent not in later],
            inputs=self.inputs,
            force=self.force,
        )

    @property
    def to_stdout(self) -> bool:
        """Whether standard output belongs to a file."""
        return any(STDOUT in paths for paths in self.paths.values())

    def write(
        self, index: int, contents: Mapping[str, bytes]
    ) -> tuple[tuple[str, ...], bytes | None]:
        """Write picture `index`'s outputs, of the kinds in `contents`, together or not at all.

        Returns the files, and the bytes that standard output is to get.
        """
        content = {
            paths[index]: contents[kind] for kind, paths in self.paths.items() if kind in contents
        }
        for folder in self.folders:
            make_folder(folder)
        files = tuple(path for path in content if path != STDOUT)
        with Outputs(files, inputs=self.inputs, force=self.force) as outputs:
            for path in files:
                outputs[path].write(content[path])
        return files, content.get(STDOUT)


def named_files(how: How, outputs: Mapping[str, AnyPath] | None) -> dict[str, str]:
    """Name of an output -> its file or folder, as text. Raises WrongOutput for another name."""
    known = [output.name for output in file_outputs(how)]
    for name in outputs or {}:
        if name not in known:
            raise WrongOutput(f"output {name!r}: expected {', '.join(known)}")
    return {name: os.fspath(place) for name, place in (outputs or {}).items()}


def is_folder(option: str, name: str, suffix: str, count: int, what: str) -> bool:
    """Whether the outputs go into a folder `name`; else the only one is the file `name`.

    what: what there are `count` of. suffix: the ending of its files; a picture has any of those of
    pictures. Raises OutputError where a file is in the folder's place,
    WrongOutput for a file where a folder is needed, and for one of another kind.
    """
    folder = os.path.isdir(name) or name.endswith(("/", os.sep))
    kinds = PICTURE_SUFFIXES if suffix in PICTURE_SUFFIXES else (suffix,)
    fits = name.lower().endswith(kinds)
    if count == 1 and not folder:
        if not fits:
            raise wrong_ending(f"{option} {name}", kinds)
        return False
    if (file := _in_the_way(name)) is not None:
        why = f"several {what} need a folder for {option}"
        raise OutputError(
            f"{file}: is a file; {why if count > 1 else f'{option} {name} needs a folder'}"
        )
    if fits and not folder:
        raise WrongOutput(
            f"{option} {name}: several {what} need a folder; {name}/ for one of this name"
        )
    return True


def _in_the_way(folder: str) -> Path | None:
    """The file in the place of a folder, or of one above it; None where it can be made."""
    places = [Path(folder), *Path(folder).parents]
    return next((each for each in places if os.path.lexists(each) and not each.is_dir()), None)


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
    results = []
    for name, stem in zip(names, stems, strict=True):
        base = stem if shared[stem.casefold()] == 1 else name
        unique = base
        while unique.casefold() in taken:
            numbers[base.casefold()] += 1
            unique = f"{base}-{numbers[base.casefold()] + 1}"
        taken.add(unique.casefold())
        results.append(unique)
    return results
