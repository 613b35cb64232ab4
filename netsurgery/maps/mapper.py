"""Runs one net over pictures, one after another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from netsurgery.engines.contract import (
    AnyEngine,
    Engine,
    EngineOptions,
    LoadedNet,
    as_engine_options,
)
from netsurgery.engines.registry import open_engine
from netsurgery.errors import (
    EngineError,
    MemoryLimitError,
    NetError,
    NetsurgeryError,
)
from netsurgery.formats.found_settings import file_named
from netsurgery.formats.labels import Labels, load_labels
from netsurgery.formats.settings import Settings, as_settings
from netsurgery.io.argument_types import checks_arguments
from netsurgery.io.closeable import Closeable
from netsurgery.io.shape_text import shape_text
from netsurgery.io.wording import argument
from netsurgery.maps.any_picture import as_picture
from netsurgery.maps.class_names import ClassNames
from netsurgery.maps.classmap import ClassMap, Geometry, map_memory
from netsurgery.maps.from_settings import make_transformer, open_model
from netsurgery.maps.image import Picture, out_of_memory_named
from netsurgery.maps.map_source import MapSource, refuse_blob
from netsurgery.maps.picture_options import (
    AnyPictureOptions,
    InputSize,
    TileSize,
    as_picture_options,
)
from netsurgery.maps.transformer import Placement, Transformer, squeeze_note
from netsurgery.net.field import Cells
from netsurgery.net.memory import caffe_memory, embedded_memory
from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.net.shapes import TOO_MANY
from netsurgery.net.state import TEST, NetState

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from netsurgery.maps.any_picture import AnyPicture
    from netsurgery.net.stages import Stage, StagedPlan

    Array = NDArray[np.float32]

__all__ = ["Mapper", "PictureBlobs", "open_mapper"]

Size = tuple[int, int]


@dataclass(frozen=True)
class PictureBlobs:
    """Blobs of a picture, 1 x C x rows x columns where they are maps, and where it lies.

    run_size: height and width of what the net was run over at once, the input or a tile of it.
    """

    values: dict[str, Array]
    placement: Placement
    run_size: Size


@checks_arguments()
def open_mapper(
    settings: Settings | str | Path,
    engine: AnyEngine = "auto",
    *,
    blob: str | None = None,
    size: AnyPictureOptions = "net",
    drop_labels: bool = False,
    state: NetState = TEST,
    model: NetWithWeights | None = None,
) -> Mapper:
    """A mapper for the model and preprocessing of `settings`; no engine is started yet.

    settings, engine, blob, size, state: as in `classify_map`. drop_labels: leave out labels that
    are more or fewer than the blob's classes, as those of a netsurgery.toml are for any blob but
    the one they were meant for; else they are an error. model: an open net and weights, instead of
    those that the settings name; the caller closes it after the mapper.

    Raises SettingsError without prototxt or weights, and what is wrong with any of the files:
    PrototxtError, NetError, MeanError, FormatError for labels that do not fit the blob.

    >>> net, model = "prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel"
    >>> with open_mapper(Settings(net, model), "embedded", blob="conv1") as mapper:
    ...     mapper.map("examples/digits_canvas.png").shape
    (28, 28)
    """
    settings = as_settings(settings)
    source = MapSource.of_map(model or open_model(settings, state), blob)
    transformer = make_transformer(settings, source.channels, as_picture_options(size))
    labels = _fitting_labels(settings, source, drop_labels)
    options = as_engine_options(engine, settings.engine)
    # Without the labels that it was meant for, a background named by one means nothing.
    background = None if settings.labels and labels is None else settings.background
    with file_named(settings, "background"):
        return Mapper(
            source, transformer, options, window=settings.window, labels=labels,
            background=background,
        )  # fmt: skip


def _fitting_labels(settings: Settings, source: MapSource, drop: bool) -> Labels | None:
    labels = None if settings.labels is None else load_labels(settings.labels)
    if labels is None or source.classes is None or len(labels) == source.classes:
        return labels
    if not drop:
        labels.check(source.classes, source.blob)
    return None


class Mapper(Closeable):
    """A loaded net, from pictures to class maps; a context manager.

    After an engine that failed on one picture, the next picture gets a new one. Raises EngineError
    where no engine starts or the net does not load.

    >>> import netsurgery as ns
    >>> import numpy as np
    >>> net, model = "prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel"
    >>> with ns.open_mapper(ns.Settings(net, model), "embedded", blob="conv1") as mapper:
    ...     mapper.check_class("3")
    ...     picture = ns.read_picture("examples/digits_canvas.png")
    ...     mapper.check_size(picture, (32, 32))
    ...     mapper.load().inputs, mapper.map(picture).shape
    ...     mapper.run(np.zeros((1, 1, 32, 32), np.float32), ["conv1"])["conv1"].shape
    ({'data': (1, 1, 32, 32)}, (28, 28))
    (1, 16, 28, 28)
    """

    def __init__(
        self,
        source: MapSource,
        transformer: Transformer,
        options: EngineOptions,
        *,
        window: Size | None = None,
        labels: Labels | None = None,
        background: str | None = None,
        opener: Callable[[EngineOptions], Engine] | None = None,
    ) -> None:
        self.source, self.transformer = source, transformer
        self.options, self.labels = options, labels
        self.opener = opener or (lambda options: open_engine(options, [source.model]))
        self.window, self.background = window, background
        if background is not None:
            self._names.find_background(background)
        self._cells: dict[Size, Cells | None] = {}
        #: One line about the engine that ran last, and why it was not another; "" before and if so.
        self.engine = self.note = ""
        #: How the last picture was run in tiles; "" where it was run as one.
        self.tiled = ""
        self._engine: Engine | None = None
        self._loaded: LoadedNet | None = None
        self._closed = False

    @checks_arguments()
    def check_class(self, text: str) -> None:
        """Raise, as a map's `names` would, for what names no class, before any work."""
        self._names.find_several(text)

    @property
    def _names(self) -> ClassNames:
        return ClassNames(self.source.classes, self.labels, self.source.blob)

    def map(self, image: AnyPicture, size: InputSize | None = None) -> ClassMap:
        """The class map of a picture, in any form that `classify_map` takes.

        size: of the net's input, as in `classify_map`; None for the mapper's own. The batch is 1.
        Raises NetError for a size the net cannot take and for NaN, and what the engine raises.
        """
        picture = as_picture(image)
        blob = self.source.blob
        with out_of_memory_named(picture.name):
            result = self.blobs(picture, size, [blob], as_map=True)
        values, placement = result.values[blob], result.placement
        if values.ndim != 4:
            refuse_blob(blob, values.shape, self.source.net)
        return ClassMap(
            picture=picture,
            values=values[0],
            blob=blob,
            is_probability=self.source.is_probability,
            input=self.source.input.name,
            geometry=Geometry.of(self._placed(result.run_size), placement),
            labels=self.labels,
            engine=self.engine,
            notes=self.notes(placement),
            background_name=self.background,
            channels=self.source.channels,
        )

    def notes(self, placement: Placement) -> dict[str, str]:
        """What to say of a picture that lies so in the input: kind -> a line.

        Kinds: "engine", "tiles", "preprocess" (which is written on the map's picture too), "mean",
        "shape".
        """
        notes = {
            "engine": self.note,
            "tiles": self.tiled,
            "preprocess": self.transformer.plain_note(),
            "mean": self.transformer.mean_for(placement.input)[1] or "",
            "shape": squeeze_note(placement),
        }
        return {kind: line for kind, line in notes.items() if line}

    def _placed(self, size: Size) -> Cells | None:
        """Where the map's cells lie at an input of `size`."""
        if size not in self._cells:
            self._cells[size] = self.source.cells(size, self.window)
        return self._cells[size]

    @checks_arguments()
    def blobs(
        self,
        picture: Picture,
        size: InputSize | None,
        names: Sequence[str],
        *,
        as_map: bool = False,
        tile: TileSize | None = None,
    ) -> PictureBlobs:
        """The blobs `names` of a picture; the net is run in tiles where the options say so.

        size: as in `map`. as_map: whether the first of the blobs is to become a class map. tile: as
        in PictureOptions; None for the mapper's own. Raises NetError for a size that the net cannot
        take, MemoryLimitError for one at which giving the blobs takes more memory than may be used,
        with a size that fits.
        """
        options = self.transformer.options
        options = options if size is None else replace(options, size=size)
        exact = options.input_size(self.source.size, picture.size)
        plan = self._plan(picture, exact, names, as_map, tile or options.tile)
        data, placement = self.transformer.blob(picture, exact)
        self.tiled = ""
        if plan is None:
            return PictureBlobs(self.run(data, names), placement, exact)
        from netsurgery.maps.tiled import cutter, in_memory, run_stages, tiles_note

        self.tiled = tiles_note(plan, self.engine, self.options)
        with self._stages(plan) as run:
            values = run_stages(plan, cutter(data), run, in_memory)
        return PictureBlobs(values, placement, plan.representative)

    def _plan(
        self, picture: Picture, size: Size, names: Sequence[str], as_map: bool, tile: TileSize
    ) -> StagedPlan | None:
        """The tiles for an input of `size`; None where the net is run over the whole.

        The engine is asked before anything of the picture's size is allocated.
        """
        source = self.source

        def besides(size: Size) -> int:
            """What the picture takes as an input, and the map."""
            of_map = map_memory(source.map_shape(names[0], size)) if as_map else 0
            return source.input_memory(size) + of_map

        refusal: MemoryLimitError | NetError | None = None
        try:
            self.check_size(picture, size)
        except NetError as error:
            if not str(error).endswith(TOO_MANY):  # which alone tiles may help with
                raise
            refusal = error
        loaded = self.load()
        if refusal is None and not (isinstance(tile, int) and max(size) > tile):
            try:
                loaded.check_memory(source.inputs(size), names, besides(size))
            except MemoryLimitError as error:
                refusal = error
            else:
                return None
        from netsurgery.maps.tiled import Tiler

        memory = caffe_memory if self.engine.startswith("caffe") else embedded_memory
        tiler = Tiler(source, loaded, names, as_map, besides, memory, self.options)
        return tiler.plan(size, tile, refusal)

    @contextmanager
    def _stages(self, plan: StagedPlan) -> Iterator[Callable[[Stage, Array], Mapping[str, Array]]]:
        """What runs the stages of a plan; those that are parts of the net are loaded meanwhile."""
        loaded, nets = self.load(), {}
        assert self._engine is not None
        try:
            with ExitStack() as stack:
                for stage in plan.stages:
                    net = loaded
                    if stage.net is not self.source.net:
                        net = self._engine.load(stage.net, Path(self.source.model.path))
                        stack.enter_context(net)
                    net.reshape({stage.input: stage.input_shape})
                    nets[stage] = net
                yield lambda stage, pixels: nets[stage].forward({stage.input: pixels}, stage.blobs)
        except (EngineError, MemoryError):
            self._unload()
            raise

    def check_size(self, picture: Picture, size: Size) -> None:
        """Raise NetError, naming picture and layer, where an input of `size` is too small."""
        try:
            self.source.check(size)
        except NetsurgeryError as error:
            shown, target = shape_text(picture.size), shape_text(size)
            raise NetError(
                f"{picture.shown}: {shown} pixels, as an input of {target} "
                f"({argument('--size')}): {error}"
            ) from error

    def run(self, blob: Array, names: Sequence[str]) -> dict[str, Array]:
        """Feed the net's input and return the blobs `names`; the input takes the blob's shape."""
        loaded = self.load()
        name = self.source.input.name
        try:
            if tuple(loaded.inputs[name]) != blob.shape:
                loaded.reshape({name: blob.shape})
            return loaded.forward({name: blob}, names)
        except (EngineError, MemoryError):
            self._unload()
            raise

    def load(self) -> LoadedNet:
        """The loaded net; the first call starts the engine. Raises NetError once it is closed."""
        if self._closed:
            raise NetError(f"{self.source.net.prototxt.path}: the net is closed")
        if self._loaded is None:
            self._engine = self.opener(self.options)
            self.engine, self.note = self._engine.description, self._engine.note
            try:
                model = self.source.model
                self._loaded = self._engine.load(model.net, Path(model.path))
            except BaseException:
                self._unload()
                raise
        return self._loaded

    def close(self) -> None:
        """Close the net and the engine."""
        self._closed = True
        self._unload()

    def _unload(self) -> None:
        loaded, engine = self._loaded, self._engine
        self._loaded = self._engine = None
        try:
            if loaded is not None:
                loaded.close()
        finally:
            if engine is not None:
                engine.close()
