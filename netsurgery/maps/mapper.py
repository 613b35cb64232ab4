"""Runs one net over pictures, one after another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from netsurgery.engines.contract import Engine, EngineOptions
from netsurgery.errors import MemoryLimitError, NetError, NetsurgeryError
from netsurgery.formats.labels import Labels
from netsurgery.io.argument_types import checks_arguments
from netsurgery.io.closeable import in_turn
from netsurgery.io.shape_text import shape_text
from netsurgery.io.wording import argument
from netsurgery.maps.cell_geometry import Geometry
from netsurgery.maps.class_names import ClassNames
from netsurgery.maps.classmap import ClassMap
from netsurgery.maps.image import Picture, out_of_memory_named
from netsurgery.maps.large_file import open_picture
from netsurgery.maps.map_source import MapSource, refuse_blob
from netsurgery.maps.net_runner import NetRunner
from netsurgery.maps.picture_options import InputSize, TileSize
from netsurgery.maps.row_blocks import map_memory
from netsurgery.maps.transformer import Placement, Transformer, squeeze_note
from netsurgery.net.field import Cells
from netsurgery.net.shapes import TOO_MANY

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from netsurgery.maps.ahead import Ahead
    from netsurgery.maps.any_picture import AnyPicture
    from netsurgery.maps.box_rules import BoxSearch
    from netsurgery.maps.scales import Scales
    from netsurgery.maps.tile_store import TileStore
    from netsurgery.net.stages import StagedPlan

    Array = NDArray[np.float32]

__all__ = ["Mapper", "PictureBlobs", "plan_tiles"]

Size = tuple[int, int]


@dataclass(frozen=True)
class PictureBlobs:
    """Blobs of a picture, 1 x C x rows x columns where they are maps, and where it lies."""

    values: dict[str, Array]
    placement: Placement
    run_size: Size  # of what the net was run over at once: the input, or a tile of it


class Mapper(NetRunner):
    """A loaded net, from pictures to class maps; a context manager, which threads may share.

    After an engine that failed on one picture, the next picture gets a new one. Raises EngineError
    where no engine starts or the net does not load.

    >>> import netsurgery as ns
    >>> import numpy as np
    >>> net, model = "prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel"
    >>> with ns.open_mapper(ns.Settings(net, model), "embedded", blob="conv1") as mapper:
    ...     mapper.check_class("3")
    ...     picture = ns.read_picture("examples/digits_canvas.png")
    ...     mapper.check_size(picture, (32, 32))
    ...     mapper.make_input(picture)
    ...     mapper.load().inputs, mapper.map(picture).shape
    ...     mapper.run(np.zeros((1, 1, 32, 32), np.float32), ["conv1"])["conv1"].shape
    ({'data': (1, 1, 32, 32)}, (28, 28))
    (1, 16, 28, 28)
    """

    #: Whether its maps are explanations.
    explains = False

    def __init__(
        self,
        source: MapSource,
        transformer: Transformer,
        options: EngineOptions,
        *,
        window: Size | None = None,
        labels: Labels | None = None,
        background: str | None = None,
        stride: int | None = None,
        scales: Scales | None = None,
        boxes: BoxSearch | None = None,
        opener: Callable[[EngineOptions], Engine] | None = None,
    ) -> None:
        super().__init__(source, options, opener)
        self.transformer, self.labels = transformer, labels
        self.window, self.background = window, background
        if background is not None:
            self._names.find_background(background)
        self.stride, self.scales, self.boxes = stride, scales, boxes
        if boxes is not None:
            boxes.check(source)
        self._cells: dict[Size, Cells | None] = {}
        #: What was made of pictures before their turn; None where there is one alone.
        self.ahead: Ahead | None = None
        #: How the last picture was run in tiles, moved, or at which scales; "" where it was not.
        #: And what became of tiles that an earlier run left.
        self.tiled = self.stitched = self.scaled = self.resumed = ""
        #: Whether there is no other picture in memory. Tiles are chosen by what memory there is:
        #: beside others a MemoryLimitError is raised in their place.
        self.alone = True
        #: Called with the runs done and those in all, where a map takes many.
        self.step_to: Callable[[int, int], None] | None = None

    @checks_arguments()
    def check_class(self, text: str) -> None:
        """Raise, as a map's `names` would, for what names no class, before any work."""
        self._names.find_several(text)

    @property
    def _names(self) -> ClassNames:
        return ClassNames(self.source.classes, self.labels, self.source.blob)

    @in_turn
    def map(
        self, image: AnyPicture, size: InputSize | None = None, *, store: TileStore | None = None
    ) -> ClassMap:
        """The class map of a picture, in any form that `classify_map` takes.

        size: of the net's input, as in `classify_map`; None for the mapper's own. The batch is 1.
        store: where the map is put together if the net is run in tiles; the caller settles it.
        Raises NetError for a size the net cannot take and for NaN, and what the engine raises.
        """
        picture, boxes = open_picture(image), self.boxes
        if boxes is None:
            return self._mapped(picture, size, store)
        from netsurgery.maps.boxes import check_sizes, find_boxes, with_boxes
        from netsurgery.maps.scales import check_scaled

        exact, check = self._input_size(picture, size), partial(_too_large, self, picture)
        check_sizes(boxes, exact, lambda scaled: check_scaled(self.scales, scaled, check))
        class_map = self._mapped(picture, exact, store)
        with out_of_memory_named(picture.name):
            mapped = partial(self._mapped, picture)
            return with_boxes(class_map, find_boxes(class_map, boxes, exact, mapped))

    def _mapped(
        self, picture: Picture, size: InputSize | None, store: TileStore | None = None
    ) -> ClassMap:
        blob = self.source.blob
        with out_of_memory_named(picture.name):
            if self.scales is None:
                result = self._at(picture, size, store)
            else:
                result = self._at_scales(picture, self._input_size(picture, size), self.scales)
        values, placement = result.values[blob], result.placement
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
            scales=self.scales,
        )

    def _at(
        self, picture: Picture, size: InputSize | None, store: TileStore | None = None
    ) -> PictureBlobs:
        """The map at an input of `size`, with the stride that is asked for."""
        blob = self.source.blob
        if self.stride is None:
            result = self.blobs(picture, size, [blob], as_map=True, store=store)
        else:
            result = self._finer(picture, size, self.stride)
        if result.values[blob].ndim != 4:
            refuse_blob(blob, result.values[blob].shape, self.source.net)
        return result

    def _at_scales(self, picture: Picture, size: Size, scales: Scales) -> PictureBlobs:
        """The maps at inputs of `size` times each scale, as one on the grid of one of them."""
        from netsurgery.maps.combined import CombinedMaps
        from netsurgery.maps.scales import check_scaled, scale_named, scales_note

        blob, first, tiled = self.source.blob, None, []
        check_scaled(scales, size, partial(_too_large, self, picture))
        for scale, scaled in scales.sizes(size):
            with scale_named(argument(f"--scales {scale:g}")):
                result = self._at(picture, scaled)
            values = result.values.pop(blob)
            geometry = Geometry.of(self._placed(result.run_size), result.placement)
            if first is None:
                first, combined = result, CombinedMaps.begin(values[0], geometry, scales.combine)
            else:
                combined.add(values[0], geometry)
            del values  # before there are those of the next
            tiled += [f"at scale {scale:g} {self.tiled}"] if self.tiled else []
        assert first is not None
        self.tiled = "; ".join(tiled)
        self.scaled = scales_note(scales, combined.lacking)
        return replace(first, values={blob: combined.whole()})

    def notes(self, placement: Placement) -> dict[str, str]:
        """What to say of a picture that lies so in the input: kind -> a line.

        Kinds: "engine", "tiles", "resume", "stride", "scales", "preprocess" (written on the map's
        picture too), "mean", "shape".
        """
        notes = {
            "engine": self.note,
            "tiles": self.tiled,
            "resume": self.resumed,
            "stride": self.stitched,
            "scales": self.scaled,
            "preprocess": self.transformer.plain_note(),
            "mean": self.transformer.mean_for(placement.input)[1] or "",
            "shape": squeeze_note(placement),
        }
        return {kind: line for kind, line in notes.items() if line}

    def _placed(self, size: Size) -> Cells | None:
        """Where the map's cells lie at an input of `size`."""
        if size not in self._cells:
            cells = self.source.cells(size, self.window)
            self._cells[size] = cells and cells.every(self.stride) if self.stride else cells
        return self._cells[size]

    @checks_arguments()
    @in_turn
    def blobs(
        self,
        picture: Picture,
        size: InputSize | None,
        names: Sequence[str],
        *,
        as_map: bool = False,
        tile: TileSize | None = None,
        store: TileStore | None = None,
    ) -> PictureBlobs:
        """The blobs `names` of a picture; the net is run in tiles where the options say so.

        size: as in `map`. as_map: whether the first of the blobs is to become a class map. tile: as
        in PictureOptions; None for the mapper's own. store: as in `map`. Raises NetError for a size
        that the net cannot take, MemoryLimitError for one at which giving the blobs takes more
        memory than may be used, with a size that fits.
        """
        exact = self._input_size(picture, size)
        self.tiled = self.resumed = ""
        ready = None if self.ahead is None else self.ahead.blobs(picture, exact, names)
        if ready is not None:
            return PictureBlobs(*ready, exact)

        def cutting(size: Size, tile: Size) -> int:
            return self.transformer.cutter(picture, size).memory(tile)

        plan, store = plan_tiles(self, picture, exact, names, cutting, as_map, tile, store)
        if plan is None or store is None:
            data, placement = self._input(picture, exact)
            result = PictureBlobs(self.run(data, names), placement, exact)
            if self.ahead is not None:
                self.ahead.ran(exact, data, result.values)
            return result
        from netsurgery.maps.tile_identity import identify
        from netsurgery.maps.tile_runs import run_in_tiles

        transformer, engine = self.transformer, self.engine
        store.begin(lambda: identify(self.source, transformer, engine, picture, exact, names))
        self.resumed = store.note
        cutter = self.transformer.cutter(picture, exact)
        values = run_in_tiles(self, plan, store, cutter.cut)
        return PictureBlobs(values, cutter.placement, plan.representative)

    def _input_size(self, picture: Picture, size: InputSize | None) -> Size:
        """The size of the input for a picture."""
        options = self.transformer.options
        options = options if size is None else replace(options, size=size)
        return self.source.input_size(options, picture.size)

    def make_input(self, picture: Picture) -> None:
        """Make a picture's input ahead, as `Ahead.make`; another thread may run the net."""
        if self.ahead is None:
            from netsurgery.maps.ahead import Ahead

            self.ahead = Ahead(self)
        self.ahead.make(picture, self._input_size(picture, None), self.transformer)

    def _input(self, picture: Picture, size: Size) -> tuple[Array, Placement]:
        ready = None if self.ahead is None else self.ahead.input(picture, size)
        return ready or self.transformer.blob(picture, size)

    def _finer(self, picture: Picture, size: InputSize | None, stride: int) -> PictureBlobs:
        """The map with a cell every `stride` pixels, of runs over the input moved by less."""
        from netsurgery.maps.stitch import Stitch
        from netsurgery.maps.tile_runs import cutter, run_in_tiles

        names, exact = [self.source.blob], self._input_size(picture, size)
        self.check_size(picture, exact)
        stitch = Stitch.of(self.source, exact, stride)

        def cutting(size: Size, tile: Size) -> int:
            return stitch.memory(self.source, size)

        # Each before anything of the picture's size is allocated.
        plans = {
            move.start: plan_tiles(self, picture, move.size, names, cutting)
            for move in stitch.moves
        }
        first, _ = plans[0, 0]
        data, placement = self._input(picture, exact)
        self.tiled = self.resumed = ""

        def run(start: Size, moved: Array) -> Array:
            plan, store = plans.pop(start)  # whose map is kept no longer than it is needed
            if plan is None or store is None:
                return self.run(moved, names)[names[0]]
            return run_in_tiles(self, plan, store, cutter(moved))[names[0]]

        values = {names[0]: stitch.run(data, run, names[0])}
        self.stitched = stitch.note
        return PictureBlobs(values, placement, exact if first is None else first.representative)

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


def plan_tiles(
    mapper: Mapper,
    picture: Picture,
    size: Size,
    names: Sequence[str],
    cutting: Callable[[Size, Size], int],
    as_map: bool = False,
    tile: TileSize | None = None,
    store: TileStore | None = None,
) -> tuple[StagedPlan | None, TileStore | None]:
    """The tiles for an input of `size`, and where the blobs `names` are put together, `store` if it
    is one; None where the net is run over the whole.

    cutting: what the picture takes, for an input of a size, while tiles of another are cut from it.
    as_map: whether the first of the blobs is to become a class map. tile: as in PictureOptions;
    None for the mapper's own. The engine is asked before anything of the picture's size is
    allocated.
    """
    source, tile = mapper.source, tile or mapper.transformer.options.tile

    def besides(size: Size) -> int:
        """What the picture takes as an input, and the map."""
        of_map = map_memory(source.map_shape(names[0], size)) if as_map else 0
        return max(source.input_memory(size), cutting(size, size)) + of_map

    refusal: MemoryLimitError | NetError | None = _too_large(mapper, picture, size)
    loaded = mapper.load()
    if refusal is None and not (isinstance(tile, int) and max(size) > tile):
        try:
            loaded.check_memory(source.inputs(size), names, besides(size))
        except MemoryLimitError as error:
            refusal = error
        else:
            return None, None
    from netsurgery.maps.tile_store import TileStore
    from netsurgery.maps.tiled import Tiler

    try:
        if refusal is not None and not mapper.alone:
            raise MemoryLimitError(str(refusal), what=picture.shown, needed=0, allowed=0, left=0)
        store = store or TileStore(blobs=len(names))
        tiler = Tiler(mapper, names, as_map, besides, cutting, store)
        return tiler.plan(picture, size, tile, refusal), store
    finally:
        del refusal  # which knows this call, and so the picture: its memory would be kept


def _too_large(mapper: Mapper, picture: Picture, size: Size) -> NetError | None:
    """Why an input of `size` cannot be run as one, where tiles may help; None where it can.

    Raises NetError as `Mapper.check_size` for one that is too small.
    """
    try:
        mapper.check_size(picture, size)
    except NetError as error:
        if not str(error).endswith(TOO_MANY):
            raise
        return error
    return None
