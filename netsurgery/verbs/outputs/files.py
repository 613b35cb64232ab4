"""Where the outputs of several pictures go: a file for one, a folder for several.

Where an output is one file for all pictures, it is a file in any case.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from netsurgery.errors import OutputError
from netsurgery.io.files import OutputFile, Outputs
from netsurgery.io.targets import STDOUT, FileSet, WrongOutput, check_outputs, wrong_ending
from netsurgery.io.wording import argument
from netsurgery.maps.picture_look import PICTURE_SUFFIXES
from netsurgery.open_net.arguments import AnyPath
from netsurgery.verbs.outputs import OUTPUTS, Content, FolderContent, How, file_outputs
from netsurgery.verbs.outputs.record import MapTable, trouble_named

if TYPE_CHECKING:
    from netsurgery.maps.tile_store import TileStore

__all__ = ["MapFiles", "is_folder", "named_files", "stems"]


@dataclass(eq=False)
class MapFiles:
    """The outputs of each picture, by kind ("npy", "picture"); "-" is standard output.

    Of a kind that is one file for all pictures there is one. inputs: files that no output may
    replace. repeatable: as of `Outputs`. count: how many pictures there are. in_parts: of such a
    kind too there is a file for each picture, its part. make_store: what `store` gives in the
    place of a TileStore.
    """

    paths: dict[str, list[str]]
    inputs: FileSet
    force: bool = False
    repeatable: bool = False
    count: int = 1
    folders: set[str] = field(default_factory=set)
    in_parts: bool = False
    make_store: Callable[..., TileStore] | None = None

    @property
    def joined(self) -> list[str]:
        """The kinds that are one file for all pictures, made of their parts at the end."""
        return [] if self.in_parts else [kind for kind in self.paths if OUTPUTS[kind].join]

    @classmethod
    def plan(
        cls,
        images: Sequence[str],
        outputs: Mapping[str, str],
        *,
        inputs: Iterable[str] = (),
        force: bool = False,
        repeatable: bool = False,
        besides: Sequence[str] = (),
    ) -> MapFiles:
        """Name every output and refuse, before any work, those that must not be written.

        outputs: kind -> the name that was given. inputs: the files of the images are among them.
        besides: files that are written as well. Raises OutputError, and WrongOutput for what
        contradicts itself.
        """
        printed = [argument(f"--{kind}") for kind, name in outputs.items() if name == STDOUT]
        if len(printed) > 1:
            raise WrongOutput(f"{' and '.join(printed)} cannot both go to standard output")
        files = cls({}, FileSet(inputs), force, repeatable, len(images))
        for kind, name in outputs.items():
            output = OUTPUTS[kind]
            output.check_library()
            if output.table is not None and name == STDOUT:
                raise WrongOutput(
                    f"{argument(f'--{kind}')} -: a table is written in pieces; name a file"
                )
            joined = output.is_one_file
            if joined and (os.path.isdir(name) or name.endswith(("/", os.sep))):
                raise WrongOutput(f"{argument(f'--{kind}')} {name}: is a folder; expected a file")
            files.paths[kind] = files._named(images[:1] if joined else images, kind, name)
        files._check(besides)
        return files

    def _named(self, images: Sequence[str], kind: str, name: str) -> list[str]:
        suffix, is_store = OUTPUTS[kind].suffix, bool(OUTPUTS[kind].signs)
        option = argument(f"--{kind}")
        if name == STDOUT and is_store:
            raise WrongOutput(f"{option} -: is written into a folder, not to standard output")
        if name == STDOUT and len(images) > 1:
            raise WrongOutput(f"{option} -: several images need a folder")
        if name == STDOUT or not is_folder(
            option, name, suffix, len(images), "images", is_store=is_store
        ):
            return [name]
        self.folders.add(name)
        return [str(Path(name, stem + suffix)) for stem in stems(images)]

    def _check(self, besides: Sequence[str]) -> None:
        """Folders that do not exist yet are made later: nothing in them can be in the way."""
        later = {Path(folder) for folder in self.folders if not os.path.isdir(folder)}
        files = list[str]()
        for kind, paths in self.paths.items():
            places = [path for path in paths if path != STDOUT and Path(path).parent not in later]
            if signs := OUTPUTS[kind].signs:
                from netsurgery.io.output_folder import check_output_folders

                check_output_folders(places, signs, inputs=self.inputs, force=self.force)
            else:
                files += places
        check_outputs([*files, *besides], inputs=self.inputs, force=self.force or self.repeatable)

    def outputs(self, paths: Sequence[str]) -> Outputs:
        """Those files, which appear together and replace what these may. Raises OutputError."""
        return Outputs(paths, inputs=self.inputs, force=self.force, repeatable=self.repeatable)

    @contextmanager
    def tables(self) -> Iterator[dict[str, MapTable]]:
        """The tables of all pictures, by kind; they appear at the end, all or none."""
        tables = [] if self.in_parts else [kind for kind in self.paths if OUTPUTS[kind].table]
        paths = {kind: self.paths[kind][0] for kind in tables}
        with ExitStack() as stack:
            outputs = stack.enter_context(self.outputs(list(paths.values())))
            yield {
                kind: stack.enter_context(table(outputs[path]))
                for kind, path in paths.items()
                if (table := OUTPUTS[kind].table) is not None
            }

    @property
    def to_stdout(self) -> bool:
        """Whether standard output belongs to a file."""
        return any(STDOUT in paths for paths in self.paths.values())

    def store(self, index: int, *, resume: bool) -> TileStore | None:
        """Where picture `index`'s map is put together if its net is run in tiles.

        Beside one of its files, its .npy if it has one; of a kind that is one file for all pictures
        only where there is one picture. None without any.
        """
        alone = self.count == 1
        own = {
            kind: paths[index]
            for kind, paths in self.paths.items()
            if (alone or not OUTPUTS[kind].is_one_file) and paths[index] != STDOUT
        }
        if not own:
            return None
        from netsurgery.maps.tile_store import TileStore

        make = self.make_store or TileStore
        return make(own.get("npy", next(iter(own.values()))), resume=resume)

    def write(
        self, index: int, contents: Mapping[str, Content]
    ) -> tuple[tuple[str, ...], bytes | None]:
        """Write picture `index`'s outputs, of the kinds in `contents`, together or not at all.

        Returns the files, and the bytes that standard output is to get.
        """
        content = {
            paths[index]: contents[kind] for kind, paths in self.paths.items() if kind in contents
        }
        if self.folders and content:  # of pictures that all failed no folder is left
            from netsurgery.io.folders import make_folder

            for folder in self.folders:
                make_folder(folder)
        printed = content.pop(STDOUT, None)
        with ExitStack() as stack:
            files = [path for path, each in content.items() if not isinstance(each, FolderContent)]
            outputs = stack.enter_context(self.outputs(files))
            for path, each in content.items():
                if isinstance(each, FolderContent):
                    self._fill(stack, path, each)
                else:
                    put(each, outputs[path])
        return tuple(content), None if printed is None else as_bytes(printed)

    def _fill(self, stack: ExitStack, path: str, content: FolderContent) -> None:
        """Write an output that is a folder; it takes its place with the stack."""
        from netsurgery.io.output_folder import OutputFolder

        folder = stack.enter_context(OutputFolder(path, force=self.force))
        with trouble_named(path):
            content.write(folder.temporary)


def put(content: Content, output: OutputFile) -> None:
    """Write an output's content."""
    if isinstance(content, bytes):
        output.write(content)
    else:
        assert not isinstance(content, FolderContent)
        content(output)


def as_bytes(content: Content) -> bytes:
    """An output's content as standard output gets it. Raises OutputError, MemoryLimitError."""
    if isinstance(content, bytes):
        return content
    from netsurgery.io.memory import Claim
    from netsurgery.io.scratch import scratch_folder

    with scratch_folder() as folder:
        path = str(folder / "output")
        with Outputs([path]) as outputs:
            put(content, outputs[path])
        with open(path, "rb") as file, Claim(os.path.getsize(path), "what is written"):
            return file.read()


def named_files(how: How, outputs: Mapping[str, AnyPath] | None) -> dict[str, str]:
    """Name of an output -> its file or folder, as text. Raises WrongOutput for another name."""
    known = [output.name for output in file_outputs(how)]
    for name in outputs or {}:
        if name not in known:
            raise WrongOutput(f"output {name!r}: expected {', '.join(known)}")
    return {name: os.fspath(place) for name, place in (outputs or {}).items()}


def is_folder(
    option: str, name: str, suffix: str, count: int, what: str, *, is_store: bool = False
) -> bool:
    """Whether the outputs go into a folder `name`; else the only one is the file `name`.

    what: what there are `count` of. suffix: the ending of its files; a picture has any of those of
    pictures. is_store: whether the output is itself a folder. Raises OutputError where a file is
    in the folder's place, WrongOutput for a file where a folder is needed, and for one of another
    kind.
    """
    kinds = PICTURE_SUFFIXES if suffix in PICTURE_SUFFIXES else (suffix,)
    fits = name.lower().endswith(kinds)
    folder = name.endswith(("/", os.sep)) or (os.path.isdir(name) and not (is_store and fits))
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
        if not count:
            raise WrongOutput(f"{option} {name}: there are no {what}, expected one or more")
        raise WrongOutput(
            f"{option} {name}: several {what} need a folder; {name}/ for one of this name"
        )
    return True


def _in_the_way(folder: str) -> Path | None:
    """The file in the place of a folder, or of one above it; None where it can be made."""
    places = [Path(folder), *Path(folder).parents]
    return next(
        (each for each in places if os.path.lexists(each) and not os.path.isdir(each)), None
    )


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
