"""A class for every window of a picture: of one, of many with the net loaded once, or as a job.

The job, `plan_maps`, is what the command runs: it names every output before any work, goes on
where a picture fails, and gives a result for each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from netsurgery.engines.contract import AnyEngine
from netsurgery.errors import MemoryLimitError, NetsurgeryError
from netsurgery.formats.settings import as_settings
from netsurgery.io.closeable import Closeable
from netsurgery.maps.picture_look import picture_suffix
from netsurgery.net.state import TEST, NetState
from netsurgery.open_net.arguments import AnyPath
from netsurgery.verbs.outputs import OUTPUTS, MapView
from netsurgery.verbs.outputs.files import MapFiles

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

    from netsurgery.formats.presets import PresetName
    from netsurgery.formats.settings import Settings
    from netsurgery.maps.any_picture import AnyPicture
    from netsurgery.maps.classmap import ClassMap
    from netsurgery.maps.mapper import Mapper
    from netsurgery.maps.picture_options import Fit, InputSize, PictureOptions
    from netsurgery.net.net_with_weights import NetWithWeights
    from netsurgery.open_net.net import Net

__all__ = ["MapJob", "MapResult", "classify_map", "classify_maps", "plan_maps"]


def classify_map(
    image: AnyPicture,
    settings: Settings | AnyPath | None = None,
    *,
    net: Net | None = None,
    size: InputSize = "net",
    blob: str | None = None,
    fit: Fit = "warp",
    antialias: bool = True,
    preprocess: PresetName | None = None,
    engine: AnyEngine = "auto",
    state: NetState = TEST,
) -> ClassMap:
    """A class for every window of a picture.

    image: a path, a Pillow image, the bytes of a file, a binary file, or an array, H x W or H x W x
    1, 3 or 4, of uint8 or of floats 0..1. settings: a netsurgery.toml (`convert` writes one), or
    what it would say: model and preprocessing. net: an open net instead of the model that the
    settings name; its present params count. size: of the net's input, "net" (what the prototxt
    declares), "image" (the picture's own) or (height, width) in pixels, one number for a square.
    blob: the one that holds the map (default: the last layer's top); labels that are more or fewer
    than its classes are dropped where a blob is named. fit: "warp", "crop" or "pad". antialias:
    smooth before shrinking, as caffe.io does today. preprocess: a preset, such as "bvlc" (`presets`
    has them all), in the place of the settings' own preprocessing. engine: what runs the net,
    "auto" (the open net's own engine, or real Caffe where there is one that knows the net),
    "caffe", "embedded" or EngineOptions. state: the phase and the shapes to read the net in; the
    settings' stages and level win over its own.

    The map's `values` are float32 C x H x W, probabilities 0..1 where a Softmax made them.
    Raises SettingsError, ImageError (which is a TypeError too for what is not a picture),
    MeanError, PrototxtError, NetError, EngineError.

    >>> import netsurgery as ns
    >>> net, model = "prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel"
    >>> conversion = ns.convert(net, model, "converted", engine=ns.EngineOptions("embedded"))
    >>> settings = conversion.paths.settings
    >>> class_map = ns.classify_map("examples/digits_canvas.png", settings, engine="embedded")
    >>> class_map.argmax().shape
    (8, 8)
    >>> with ns.convert(net, model).net as open_net:  # before anything is written
    ...     ns.classify_map("examples/digits_canvas.png", net=open_net, engine="embedded").shape
    (8, 8)
    """
    maps = classify_maps(
        [image], settings, net=net, size=size, blob=blob, fit=fit, antialias=antialias,
        preprocess=preprocess, engine=engine, state=state,
    )  # fmt: skip
    (class_map,) = maps
    return class_map


def classify_maps(
    images: AnyPicture | Iterable[AnyPicture],
    settings: Settings | AnyPath | None = None,
    *,
    net: Net | None = None,
    size: InputSize = "net",
    blob: str | None = None,
    fit: Fit = "warp",
    antialias: bool = True,
    preprocess: PresetName | None = None,
    engine: AnyEngine = "auto",
    state: NetState = TEST,
) -> Iterator[ClassMap]:
    """`classify_map` of many pictures, one map after another, with the net loaded once.

    images: an iterable of what `classify_map` takes, read one by one, an array N x H x W x C, or
    one picture. settings, net, size, blob, fit, antialias, preprocess, engine, state: as in
    `classify_map`.

    The maps come as they are asked for. Raises what `classify_map` raises, at once for what is
    wrong with the net or the settings; the first picture that fails ends it.

    >>> import numpy as np, netsurgery as ns
    >>> net, model = "prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel"
    >>> pictures = np.zeros((3, 28, 28, 1), np.float32)
    >>> maps = ns.classify_maps(pictures, ns.Settings(net, model), blob="conv1", engine="embedded")
    >>> [class_map.shape for class_map in maps]
    [(28, 28), (28, 28), (28, 28)]
    """
    from netsurgery.maps.mapper import open_mapper

    with ExitStack() as stack:
        model, engine = opened_model(stack, net, engine)
        mapper = open_mapper(
            as_settings(settings, preprocess), engine, blob=blob, size=size, fit=fit,
            antialias=antialias, drop_labels=blob is not None, state=state, model=model,
        )  # fmt: skip
        stack.enter_context(mapper)
        return _each_map(mapper, images, stack.pop_all())


def opened_model(
    stack: ExitStack, net: Net | None, engine: AnyEngine
) -> tuple[NetWithWeights | None, AnyEngine]:
    """An open net's model as it is now, closed with the stack, and what is to run it."""
    if net is None:
        return None, engine
    # The net's own engine counts only where this call asks for none.
    own = engine == "auto" and net.engine_options.choice != "auto"
    return stack.enter_context(net.present_model()), net.engine_options if own else engine


def _each_map(
    mapper: Mapper, images: AnyPicture | Iterable[AnyPicture], opened: ExitStack
) -> Iterator[ClassMap]:
    from netsurgery.maps.any_picture import as_pictures

    with opened:
        for picture in as_pictures(images):
            yield mapper.map(picture)


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


class MapJob(Closeable):
    """Pictures to be mapped by one net, and where the outputs go; a context manager.

    notes: what to know of the net, before any picture.
    """

    def __init__(
        self, mapper: Mapper, images: Sequence[str], files: MapFiles, view: MapView
    ) -> None:
        self.mapper, self.images, self.files, self.view = mapper, images, files, view
        self.notes: list[str] = list(mapper.source.net.notes)

    def results(self) -> Iterator[MapResult]:
        """A result for each picture, in order; one is drawn while the net runs on the next."""
        from concurrent.futures import ThreadPoolExecutor

        if len(self.images) > 1:
            self.mapper.load()  # what is wrong with the model is not each picture's fault
        with ThreadPoolExecutor(1) as pool:
            finish: Callable[[], MapResult] | None = None
            for index, image in enumerate(self.images):
                begun = self._begin(index, image, pool, alone=finish is None)
                if finish is not None:
                    yield finish()
                    finish = None  # which has the map
                finish = begun or self._begin(index, image, pool, alone=True)
            if finish is not None:
                yield finish()

    def _begin(
        self, index: int, image: str, pool: Executor, *, alone: bool
    ) -> Callable[[], MapResult] | None:
        """Run the net on a picture and have its outputs made; the result waits for and writes them.

        None where there is no memory for it beside the picture that is being drawn.
        """
        from netsurgery.maps.classmap import HoldsNaN
        from netsurgery.maps.image import out_of_memory_named

        try:
            with out_of_memory_named(image):
                class_map = self.mapper.map(image)
        except HoldsNaN as error:  # its values are written, to see where
            contents = pool.submit(self._outputs, image, "of_values", error.values)
            return partial(self._finish, index, contents, MapResult(image, error=error))
        except NetsurgeryError as error:
            memory = isinstance(error, MemoryLimitError) or isinstance(error.__cause__, MemoryError)
            return partial(MapResult, image, error=error) if alone or not memory else None
        contents = pool.submit(self._outputs, image, "of_map", class_map, self.view)
        return partial(self._finish, index, contents, MapResult(image, class_map))

    def _outputs(self, image: str, how: str, *what: Any) -> dict[str, bytes]:
        """The outputs of a picture, by kind."""
        from netsurgery.maps.image import out_of_memory_named

        with out_of_memory_named(image):
            return {
                kind: make(*what)
                for kind in self.files.paths
                if (make := getattr(OUTPUTS[kind], how)) is not None
            }

    def _finish(
        self, index: int, contents: Future[dict[str, bytes]], result: MapResult
    ) -> MapResult:
        try:
            written, printed = self.files.write(index, contents.result())
        except NetsurgeryError as error:
            return MapResult(result.image, error=result.error or error)
        return replace(result, written=written, printed=printed)

    def close(self) -> None:
        """Close the net and the engine."""
        self.mapper.close()


def plan_maps(
    images: Sequence[str],
    settings: Settings,
    engine: AnyEngine,
    options: PictureOptions,
    *,
    blob: str | None = None,
    drop_labels: bool = False,
    state: NetState = TEST,
    view: MapView | None = None,
    outputs: Mapping[str, str] | None = None,
    force: bool = False,
) -> MapJob:
    """The job of mapping the files `images`; what can be refused is, before any engine starts.

    drop_labels: leave out labels that do not fit the blob, with a note. outputs: name of an output
    that is a file -> its file, a folder for several images, or "-" for standard output; force:
    replace files that exist. Raises what `classify_map` raises, OutputError, and WrongOutput for
    outputs that contradict each other.
    """
    from netsurgery.maps.mapper import open_mapper

    mapper = open_mapper(
        settings, engine, blob=blob, size=options.size, fit=options.fit,
        antialias=options.antialias, drop_labels=drop_labels, state=state,
    )  # fmt: skip
    view = view or MapView()
    mapper.check_class(view.class_)
    inputs = [str(path) for path in (settings.prototxt, settings.weights, view.look.font) if path]
    named = {kind: (OUTPUTS[kind].suffix, name) for kind, name in (outputs or {}).items()}
    files = MapFiles.plan(images, named, inputs=inputs, force=force)
    view = replace(view, suffix=picture_suffix(files.paths.get("picture", ())))
    job = MapJob(mapper, images, files, view)
    if settings.labels is not None and mapper.labels is None:
        job.notes.append(f"{settings.labels} does not fit blob {blob!r}: left out")
    return job
