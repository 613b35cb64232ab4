"""``netsurgery.verify_tiles``: whether a net run in tiles gives what it gives of the whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from netsurgery.engines.contract import AnyEngine, as_engine_options, engine_record
from netsurgery.errors import NetError
from netsurgery.formats.settings import Settings, as_settings
from netsurgery.io.argument_types import checks_arguments
from netsurgery.io.shape_text import shape_text
from netsurgery.io.short_repr import ShortRepr
from netsurgery.io.table import Column, Table
from netsurgery.io.wording import counted
from netsurgery.net.inputs import declare_inputs
from netsurgery.net.state import TEST, NetState
from netsurgery.open_net.arguments import AnyPath
from netsurgery.open_net.models import AnyModel, open_model
from netsurgery.verbs.array_difference import Difference, difference_between
from netsurgery.verbs.verify import TOLERANCE, check_tolerance

if TYPE_CHECKING:
    from netsurgery.maps.any_picture import AnyPicture
    from netsurgery.maps.image import Picture
    from netsurgery.maps.mapper import Mapper

__all__ = ["TiledPicture", "TilesVerification", "verify_tiles"]


@dataclass(frozen=True)
class TiledPicture:
    """A picture whose blobs were compared: blob -> how far the tiles' is from the whole's.

    input_size: (height, width) of the input. note: the tiles that it was run in.
    """

    image: str
    input_size: tuple[int, int]
    note: str
    blobs: dict[str, Difference]


@dataclass(frozen=True, repr=False)
class TilesVerification(ShortRepr):
    """What became of pictures run in tiles and as one, by one engine.

    >>> import netsurgery as ns
    >>> net, model = "prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel"
    >>> with ns.convert(net, model).net as dense:
    ...     result = ns.verify_tiles(dense, "examples/digits_canvas.png", 48, engine="embedded")
    >>> result.same, len(list(result.lines())), len(result.to_json()["images"])
    (True, 1, 1)
    """

    pictures: tuple[TiledPicture, ...]
    tolerance: float
    engine: str
    engine_note: str = ""
    notes: tuple[str, ...] = ()

    @property
    def same(self) -> bool:
        """Whether every blob agrees to the tolerance."""
        return all(
            each.within(self.tolerance) and not each.empty
            for picture in self.pictures
            for each in picture.blobs.values()
        )

    @property
    def exact(self) -> bool:
        """Whether every number is the same."""
        differences = (each for picture in self.pictures for each in picture.blobs.values())
        return all(each.absolute == 0 for each in differences)

    def __str__(self) -> str:
        images = counted(len(self.pictures), "image")
        if not self.same:
            return f"tiles and the whole differ on {images}"
        if self.exact:
            return f"every number of the tiles is that of the whole on {images}"
        return (
            f"no difference between tiles and the whole on {images} "
            f"(tolerance {self.tolerance:g} relative)"
        )

    def table(self) -> Table:
        """Each blob of each picture."""
        table = Table(_COLUMNS)
        for picture in self.pictures:
            for blob, each in picture.blobs.items():
                size, shape = shape_text(picture.input_size), shape_text(each.shape)
                distances = (f"{each.absolute:.3g}", f"{each.relative:.3g}")
                table.add(picture.image, size, blob, shape, *distances)
        return table

    def lines(self) -> Iterator[str]:
        """The tiles of each picture, and notes."""
        yield from (f"{picture.image}: {picture.note}" for picture in self.pictures)
        yield from filter(None, (self.engine_note, *self.notes))

    def to_json(self) -> dict[str, Any]:
        """What `verify --tiles --json` prints."""
        return {
            "same": self.same,
            "exact": self.exact,
            "engine": engine_record(self.engine, self.engine_note),
            "tolerance": self.tolerance,
            "images": [
                {
                    "image": picture.image,
                    "input_size": list(picture.input_size),
                    "tiles": picture.note,
                    "outputs": [
                        {
                            "blob": blob,
                            "shape": list(each.shape),
                            **each.to_json(),
                            "not_finite": each.not_finite,
                        }
                        for blob, each in picture.blobs.items()
                    ],
                }
                for picture in self.pictures
            ],
            "notes": list(self.notes),
        }


_COLUMNS = (
    Column("image"),
    Column("input", 2),
    Column("output", 1),
    Column("shape", 2),
    Column("max difference", 1, number=True),
    Column("relative", 1, number=True),
)


@checks_arguments()
def verify_tiles(
    net: AnyModel,
    images: AnyPicture | Iterable[AnyPicture],
    tile: int,
    *,
    settings: Settings | AnyPath | None = None,
    tolerance: float = TOLERANCE,
    engine: AnyEngine = "auto",
    state: NetState = TEST,
) -> TilesVerification:
    """Run a net over pictures of their own size, as one and in tiles, and compare its outputs.

    net: (prototxt, weights), or an open net. images: one picture or several of what `classify_map`
    takes, preprocessed as `settings` say. tile: the most pixels along a side of a tile. tolerance:
    the largest max|a-b| / max|a| over an output that is no difference. engine, state: as in
    `classify_map`.

    Raises NetError for a net that cannot be run in tiles, with the layer, for tiles that are too
    small, for a picture that is no larger than one tile, and for a negative tolerance;
    MemoryLimitError where the whole needs too much; what `classify_map` raises.

    >>> import netsurgery as ns
    >>> with ns.convert("prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel") as c:
    ...     verify_tiles(c.net, "examples/digits_canvas.png", 48, engine="embedded").same
    True
    """
    from netsurgery.maps.any_picture import as_pictures
    from netsurgery.maps.from_settings import make_transformer
    from netsurgery.maps.map_source import MapSource
    from netsurgery.maps.mapper import Mapper
    from netsurgery.maps.picture_options import PictureOptions

    check_tolerance(tolerance)
    settings = as_settings(settings)
    with ExitStack() as stack:
        model = open_model(stack, net, state)
        source = MapSource.of_blobs(model, _outputs(model.net.outputs, model.net.prototxt.path))
        transformer = make_transformer(
            settings, source.channels, PictureOptions("image", tile=tile)
        )
        options = as_engine_options(engine, settings.engine)
        mapper = stack.enter_context(Mapper(source, transformer, options))
        names = declare_inputs(model.net).outputs
        pictures = tuple(_compared(mapper, each, names, tile) for each in as_pictures(images))
        if not pictures:
            raise NetError("no picture to compare on")
        notes = transformer.plain_note()
        return TilesVerification(
            pictures, tolerance, mapper.engine, mapper.note, (notes,) if notes else ()
        )


def _outputs(outputs: tuple[str, ...], path: str) -> tuple[str, ...]:
    if not outputs:
        raise NetError(f"{path}: the net has no output that could be compared")
    return outputs


def _compared(mapper: Mapper, picture: Picture, names: tuple[str, ...], tile: int) -> TiledPicture:
    from netsurgery.maps.image import out_of_memory_named

    if max(picture.size) <= tile:
        raise NetError(
            f"{picture.shown}: {shape_text(picture.size)} pixels; expected more than one tile of "
            f"{tile}"
        )
    with out_of_memory_named(picture.name):
        tiled = mapper.blobs(picture, None, names)
        note = mapper.tiled
        whole = mapper.blobs(picture, None, names, tile="none")
        blobs = {name: difference_between(whole.values[name], tiled.values[name]) for name in names}
    return TiledPicture(picture.name, whole.placement.input, note, blobs)
