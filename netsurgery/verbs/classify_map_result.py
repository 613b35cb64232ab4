"""What `classify_maps` gives: maps one after another, or a job that writes files of each."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from netsurgery.errors import NetsurgeryError, OutputError
from netsurgery.io.argument_types import checks_arguments
from netsurgery.io.memory import Claim
from netsurgery.io.wording import argument, listed
from netsurgery.maps.picture_look import picture_suffix
from netsurgery.open_net.arguments import AnyPath
from netsurgery.verbs.outputs import OUTPUTS, Content, MapView, file_outputs
from netsurgery.verbs.outputs.files import MapFiles, as_bytes, named_files
from netsurgery.verbs.outputs.record import MapTable
from netsurgery.verbs.picture_results import PictureResults, results_of

if TYPE_CHECKING:
    from netsurgery.maps.any_picture import AnyPicture
    from netsurgery.maps.classmap import ClassMap
    from netsurgery.maps.image import Picture
    from netsurgery.maps.mapper import Mapper
    from netsurgery.maps.tile_store import TileStore

__all__ = ["ClassMaps", "MapJob", "MapResult"]


class ClassMaps(PictureResults["ClassMap"]):
    """The class maps of pictures, made one by one as they are asked for; a context manager.

    The last one closes the net, and so does the first picture that fails. notes: what to know of
    the net, before any picture.

    >>> import netsurgery as ns
    >>> settings = ns.Settings("prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel")
    >>> pictures = ["examples/digits_canvas.png", "none.png"]
    >>> maps = ns.classify_maps(pictures, settings, blob="conv1", engine="embedded")
    >>> for result in maps.to_files({"npy": "maps/"}):
    ...     print(result.image, result.written or result.error)
    examples/digits_canvas.png ('maps/digits_canvas.npy',)
    none.png none.png: No such file or directory
    """

    def __init__(
        self,
        mapper: Mapper,
        images: AnyPicture | Iterable[AnyPicture],
        opened: ExitStack,
        files: Sequence[str],
        notes: Sequence[str] = (),
    ) -> None:
        """opened: closes the mapper, and whatever else is open for it. files: the settings'."""
        super().__init__(mapper, mapper.map, images, opened, files, notes)

    @checks_arguments()
    def to_files(
        self,
        outputs: Mapping[str, AnyPath] | None = None,
        view: MapView | None = None,
        *,
        inputs: Iterable[AnyPath] = (),
        force: bool = False,
        resume: bool = True,
    ) -> MapJob:
        """The job of writing files of all maps; iterating it does that.

        It gives a result for each picture, and goes on where one fails: the result has the error.
        outputs: name of an output, "npy" or "picture" -> its file, a folder for several pictures,
        or "-" for `MapResult.printed`; "html" is one file for all pictures, written behind the
        last. So is "boxes", of those that `classify_maps` was asked for, else those of
        `BoxRules()`. view: what of a map is shown. inputs: files that are not replaced, besides
        the net's, the settings' and the pictures'. force: replace files that exist. resume: where
        a process that made the same files was ended while it ran the net in tiles, go on with what
        it has left. Whatever can be refused is before any engine starts. Raises OutputError, and
        NetError for a class that the net does not have.
        """
        view = view or MapView()
        self._check_outputs(outputs or {})
        self._mapper.check_class(view.class_)
        if "boxes" in (outputs or {}):
            from netsurgery.maps.box_rules import BoxSearch

            (self._mapper.boxes or BoxSearch()).check(self._mapper.source)
        pictures = self._pictures()
        images = [image for _, image in pictures]
        font = [] if view.look.font is None else [view.look.font]
        read = self._inputs([*images, *inputs, *font])
        files = MapFiles.plan(images, named_files("of_map", outputs), inputs=read, force=force)
        view = replace(view, suffix=picture_suffix(files.paths.get("picture", ())))
        return MapJob(self._mapper, pictures, files, view, self._opened, resume)

    def _check_outputs(self, outputs: Mapping[str, AnyPath]) -> None:
        """Raise OutputError for an output that shows no explanations."""
        if self._mapper.explains:
            for kind in outputs:
                if kind in OUTPUTS and not OUTPUTS[kind].explains:
                    files = [each for each in file_outputs("of_map") if each.explains]
                    shown = listed(argument(f"--{each.name}") for each in files)
                    raise OutputError(
                        f"{argument(f'--{kind}')} has no form for an explanation; {shown} has one"
                    )


@dataclass(frozen=True)
class MapResult:
    """What became of one picture: its map, or the error that it failed with.

    written: the files. printed: what standard output is to get. text: what the job's `render` makes
    of the map.
    """

    image: str
    map: ClassMap | None = None
    error: NetsurgeryError | None = None
    written: tuple[str, ...] = ()
    printed: bytes | None = None
    text: str | None = None

    def to_json(self, top_k: int = 1) -> dict[str, Any]:
        """The map's record, or the picture's name and the error."""
        if self.map is not None:
            return self.map.to_json(top_k)
        return {"image": self.image, "error": str(self.error)}


#: A result, and the outputs made of it, by kind.
_MapOutputs = tuple[MapResult, dict[str, Content]]


@dataclass(eq=False)
class MapJob:
    """Pictures to be mapped, and where the outputs go; iterating it does that.

    It gives a result for each picture, in order, as they are asked for; behind the last it writes
    the files that hold all pictures, but those that failed, and closes the net. The next pictures
    are read and the last ones drawn meanwhile; nothing is written that is not asked for. of_all:
    these files, and what standard output is to get of them. render: what makes the `text` of a
    result, beside its files. step_to: called with how much of an explanation is done, and with all
    there is to do.
    """

    mapper: Mapper
    pictures: Sequence[tuple[AnyPicture, str]]
    files: MapFiles
    view: MapView
    opened: ExitStack
    resume: bool = True
    of_all: tuple[tuple[str, ...], bytes | None] = ((), None)
    render: Callable[[ClassMap], str] | None = None
    step_to: Callable[[int, int], None] | None = None
    _tables: dict[str, MapTable] = field(default_factory=dict, init=False)
    _stores: dict[int, TileStore] = field(default_factory=dict, init=False)
    _good: int = field(default=0, init=False)

    @cached_property
    def images(self) -> list[str]:
        """What the pictures are called."""
        return [name for _, name in self.pictures]

    def __iter__(self) -> Generator[MapResult, None, None]:
        """The results, in order; pictures are read and drawn while the net runs on others."""
        self.mapper.step_to = self.step_to
        with (
            self.opened,
            suppress(_NothingMapped),
            self._settled(),
            self.files.tables() as self._tables,
        ):
            if len(self.pictures) > 1:
                self.mapper.load()  # what is wrong with the model is not each picture's fault
            results = results_of(
                self.mapper,
                self.pictures,
                self._run,
                self._with_outputs,
                lambda name, error: (MapResult(name, error=error), {}),
                held=True,
                worth_a_thread=bool(self.files.paths or self.render),
            )
            with closing(results):
                for index in range(len(self.pictures)):
                    # Of no name: the map would be there beside the next one.
                    yield self._written(index, *next(results))
            self.of_all = self._joined()
            if not self._good:
                raise _NothingMapped  # within, so that no table appears

    def _run(self, number: int, picture: Picture) -> MapResult:
        from netsurgery.maps.classmap import HoldsNaN

        store = self.files.store(number, resume=self.resume)
        if store is not None:
            self._stores[number] = store
        try:
            return MapResult(picture.name, self.mapper.map(picture, store=store))
        except HoldsNaN as error:  # its values are written, to see where
            return MapResult(picture.name, error=error)
        except NetsurgeryError as error:
            self._settle(number, error)
            raise

    def _settle(self, number: int, error: NetsurgeryError | None) -> None:
        """What a picture's tiles have left goes, or is kept after an error that may pass."""
        store = self._stores.pop(number, None)
        if store is not None:
            store.settle(error)

    @contextmanager
    def _settled(self) -> Iterator[None]:
        """At the end no tiles are left; where that does not come, what they have given is kept."""
        try:
            yield
        except BaseException:
            for store in self._stores.values():
                store.close()
            raise
        for number in list(self._stores):
            self._settle(number, None)

    def _with_outputs(self, result: MapResult) -> _MapOutputs:
        """The outputs of a picture, by kind."""
        from netsurgery.maps.classmap import HoldsNaN

        def outputs(how: str, *what: Any) -> dict[str, Content]:
            makers = ((kind, getattr(OUTPUTS[kind], how)) for kind in self.files.paths)
            return {kind: make(*what) for kind, make in makers if make is not None}

        if result.map is None:
            assert isinstance(result.error, HoldsNaN)
            return result, outputs("of_values", result.error.values)
        text = None if self.render is None else self.render(result.map)
        return replace(result, text=text), outputs("of_map", result.map, self.view)

    def _written(self, index: int, result: MapResult, outputs: dict[str, Content]) -> MapResult:
        parts = {kind: as_bytes(outputs.pop(kind)) for kind in self._parts if kind in outputs}
        rows = {kind: as_bytes(outputs.pop(kind)) for kind in self._tables if kind in outputs}
        try:
            self._claim.add(2 * sum(map(len, parts.values())))  # the file is as large again
            written, printed = self.files.write(index, outputs)
        except NetsurgeryError as error:
            result = MapResult(result.image, error=result.error or error)
        else:
            result = replace(result, written=written, printed=printed)
            for kind, part in parts.items():
                self._parts[kind].append(part)
        is_whole = self.files.count > 1 or not (self._parts or self._tables)
        if is_whole or result.error is not None:  # else a file that is written at the end is of it
            self._settle(index, result.error)
        self._good += result.error is None
        for kind, table in self._tables.items():
            of_error = OUTPUTS[kind].of_error
            if result.error is None:
                table.add(rows[kind])
            elif of_error is not None:
                table.add(of_error(result.image, result.error))
        return result

    @cached_property
    def _parts(self) -> dict[str, list[bytes]]:
        """What there is already of the files that hold all pictures, by kind."""
        return {kind: [] for kind in self.files.joined}

    @cached_property
    def _claim(self) -> Claim:
        return Claim(0, "what is to be written of all images")

    def _joined(self) -> tuple[tuple[str, ...], bytes | None]:
        contents = {
            kind: join(parts)
            for kind, parts in self._parts.items()
            if parts and (join := OUTPUTS[kind].join) is not None
        }
        written, printed = self.files.write(0, contents) if contents else ((), None)
        tables = tuple(self.files.paths[kind][0] for kind in self._tables) if self._good else ()
        return (*written, *tables), printed


class _NothingMapped(Exception):
    """Every picture failed, and each has said why."""
