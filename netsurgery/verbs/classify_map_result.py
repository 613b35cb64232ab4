"""What `classify_maps` gives: maps one after another, or a job that writes files of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from netsurgery.errors import MemoryLimitError, NetsurgeryError
from netsurgery.io.argument_types import checks_arguments
from netsurgery.io.memory import Claim
from netsurgery.maps.picture_look import picture_suffix
from netsurgery.open_net.arguments import AnyPath
from netsurgery.verbs.outputs import OUTPUTS, MapView
from netsurgery.verbs.outputs.files import MapFiles, named_files
from netsurgery.verbs.picture_results import PictureResults

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

    from netsurgery.maps.any_picture import AnyPicture
    from netsurgery.maps.classmap import ClassMap
    from netsurgery.maps.mapper import Mapper

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
        notes: Sequence[str] = (),
    ) -> None:
        """opened: closes the mapper, and whatever else is open for it."""
        super().__init__(mapper, mapper.map, images, opened, notes)

    @checks_arguments()
    def to_files(
        self,
        outputs: Mapping[str, AnyPath] | None = None,
        view: MapView | None = None,
        *,
        force: bool = False,
    ) -> MapJob:
        """The job of writing files of all maps; iterating it does that.

        It gives a result for each picture, and goes on where one fails: the result has the error.
        outputs: name of an output, "npy" or "picture" -> its file, a folder for several pictures,
        or "-" for `MapResult.printed`; "html" is one file for all pictures, written behind the
        last. view: what of a map is shown. force: replace files that exist. Whatever can be refused
        is before any engine starts. Raises OutputError, and NetError for a class that the net does
        not have.
        """
        view = view or MapView()
        self._mapper.check_class(view.class_)
        pictures = self._pictures()
        images = [image for _, image in pictures]
        inputs = self._inputs(images)
        if view.look.font is not None:
            inputs.append(str(view.look.font))
        files = MapFiles.plan(images, named_files("of_map", outputs), inputs=inputs, force=force)
        view = replace(view, suffix=picture_suffix(files.paths.get("picture", ())))
        return MapJob(self._mapper, pictures, files, view, self._opened)


@dataclass(frozen=True)
class MapResult:
    """What became of one picture: its map, or the error that it failed with.

    written: the files. printed: what standard output is to get.
    """

    image: str
    map: ClassMap | None = None
    error: NetsurgeryError | None = None
    written: tuple[str, ...] = ()
    printed: bytes | None = None

    def to_json(self, top_k: int = 1) -> dict[str, Any]:
        """The map's record, or the picture's name and the error."""
        if self.map is not None:
            return self.map.to_json(top_k)
        return {"image": self.image, "error": str(self.error)}


@dataclass(eq=False)
class MapJob:
    """Pictures to be mapped, and where the outputs go; iterating it does that.

    It gives a result for each picture, in order, as they are asked for; behind the last it writes
    the files that hold all pictures, but those that failed, and closes the net. of_all: these
    files, and what standard output is to get of them.
    """

    mapper: Mapper
    pictures: Sequence[tuple[AnyPicture, str]]
    files: MapFiles
    view: MapView
    opened: ExitStack
    of_all: tuple[tuple[str, ...], bytes | None] = ((), None)

    @cached_property
    def images(self) -> list[str]:
        """What the pictures are called."""
        return [name for _, name in self.pictures]

    def __iter__(self) -> Iterator[MapResult]:
        """The results, in order; a picture is drawn while the net runs on the next."""
        from concurrent.futures import ThreadPoolExecutor

        with self.opened, ThreadPoolExecutor(1) as pool:
            if len(self.pictures) > 1:
                self.mapper.load()  # what is wrong with the model is not each picture's fault
            drawn: list[Callable[[], MapResult]] = []  # at most one, which has its map
            for index, image in enumerate(self.images):
                begun = self._begin(index, image, pool, alone=not drawn)
                if drawn:
                    yield drawn.pop()()
                if begun is None:
                    begun = self._begin(index, image, pool, alone=True)
                assert begun is not None
                drawn.append(begun)
                del begun
                if not self.files.paths:  # nothing is drawn that the next could wait for
                    yield drawn.pop()()
            if drawn:
                yield drawn.pop()()
            self.of_all = self._joined()

    @cached_property
    def _parts(self) -> dict[str, list[bytes]]:
        """What there is already of the files that hold all pictures, by kind."""
        return {kind: [] for kind in self.files.joined}

    @cached_property
    def _claim(self) -> Claim:
        return Claim(0, "what is to be written of all images")

    def _begin(
        self, index: int, name: str, pool: Executor, *, alone: bool
    ) -> Callable[[], MapResult] | None:
        """Run the net on a picture and have its outputs made; the result waits for and writes them.

        None where there is no memory for it beside the picture that is being drawn.
        """
        from netsurgery.maps.any_picture import as_picture
        from netsurgery.maps.classmap import HoldsNaN
        from netsurgery.maps.image import out_of_memory_named

        try:
            with out_of_memory_named(name):
                class_map = self.mapper.map(as_picture(self.pictures[index][0], name))
        except HoldsNaN as error:  # its values are written, to see where
            contents = pool.submit(self._outputs, name, "of_values", error.values)
            return partial(self._finish, index, contents, MapResult(name, error=error))
        except NetsurgeryError as error:
            memory = isinstance(error, MemoryLimitError) or isinstance(error.__cause__, MemoryError)
            return partial(MapResult, name, error=error) if alone or not memory else None
        contents = pool.submit(self._outputs, name, "of_map", class_map, self.view)
        return partial(self._finish, index, contents, MapResult(name, class_map))

    def _outputs(self, name: str, how: str, *what: Any) -> dict[str, bytes]:
        """The outputs of a picture, by kind."""
        from netsurgery.maps.image import out_of_memory_named

        with out_of_memory_named(name):
            return {
                kind: make(*what)
                for kind in self.files.paths
                if (make := getattr(OUTPUTS[kind], how)) is not None
            }

    def _finish(
        self, index: int, contents: Future[dict[str, bytes]], result: MapResult
    ) -> MapResult:
        try:
            outputs = contents.result()
            parts = {kind: outputs.pop(kind) for kind in self._parts if kind in outputs}
            self._claim.add(2 * sum(map(len, parts.values())))  # the file is as large again
            written, printed = self.files.write(index, outputs)
        except NetsurgeryError as error:
            return MapResult(result.image, error=result.error or error)
        for kind, part in parts.items():
            self._parts[kind].append(part)
        return replace(result, written=written, printed=printed)

    def _joined(self) -> tuple[tuple[str, ...], bytes | None]:
        contents = {
            kind: join(parts)
            for kind, parts in self._parts.items()
            if parts and (join := OUTPUTS[kind].join) is not None
        }
        return self.files.write(0, contents) if contents else ((), None)
