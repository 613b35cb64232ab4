"""Any blob of a net as dense features of a picture, and where its cells lie in the picture."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netsurgery.engines.contract import AnyEngine, as_engine_options
from netsurgery.errors import NetError
from netsurgery.formats.settings import Settings, as_settings
from netsurgery.io.argument_types import as_names, checks_arguments
from netsurgery.io.closeable import Closeable
from netsurgery.io.shape_text import shape_text
from netsurgery.io.short_repr import short_repr
from netsurgery.maps.channel_view import ChannelView
from netsurgery.maps.from_settings import make_transformer, open_model
from netsurgery.maps.image import Picture, out_of_memory_named, picture_title
from netsurgery.maps.large_file import open_picture
from netsurgery.maps.map_source import MapSource
from netsurgery.maps.mapper import Mapper, PictureBlobs
from netsurgery.maps.picture_options import AnyPictureOptions, InputSize, as_picture_options
from netsurgery.maps.transformer import Placement
from netsurgery.net.field import Cells, ReceptiveField
from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.net.state import TEST, NetState

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from netsurgery.drawing.scene import Scene
    from netsurgery.maps.any_picture import AnyPicture
    from netsurgery.maps.tile_store import TileStore

    Array = NDArray[np.float32]

__all__ = ["Extractor", "Features", "open_extractor"]

Size = tuple[int, int]
_ALL = ChannelView()


@dataclass(frozen=True, eq=False, repr=False)
class Features:
    """One blob of one picture; in a notebook it is drawn, channel by channel.

    values: float32 C x H x W, or whatever the blob has after its batch of one. field: what a cell
    depends on, in input pixels; window: the (height, width) of the input pixels that a cell stands
    for, as a classifier does for its input; both None where they are not known. placement: where
    the picture lies in the input.

    >>> import netsurgery as ns
    >>> settings = ns.Settings("prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel")
    >>> canvas = "examples/digits_canvas.png"
    >>> features = ns.features(canvas, "conv1", settings, engine="embedded")["conv1"]
    >>> features.values.shape, features.geometry()["field"]
    ((16, 28, 28), [5.0, 5.0])
    >>> features.to_picture().mode, features.to_png()[:4]
    ('RGB', b'\\x89PNG')
    >>> features.picture_file(ns.ChannelView(channels=(5, 0)), ".svg")[:4]
    b'<svg'
    """

    image: str
    blob: str
    values: Array
    field: ReceptiveField | None
    window: tuple[float, float] | None
    placement: Placement

    def geometry(self) -> dict[str, list[float] | None]:
        """Where the cells lie; each value is [along height, along width] in pixels, or None.

        image_size: the picture's. input_size: the net's input's. resized and placed: the picture
        is scaled to `resized` and put at `placed` in the input. stride: input pixels from cell to
        cell. field and offset: cell i depends on the input's pixels offset + i x stride to that
        plus field (padding included, so that offset may be negative). window: cell i stands for
        pixels i x stride to that plus window, the classifier's old input for its own maps; None
        where an input of that size would not give one cell (the field is all there is to say).
        Of several cells that each depend on the whole picture (after the gate of a squeeze and
        excitation), field and offset are None.
        """
        placement, field = self.placement, self.field
        own = None if field is not None and field.whole and self._moves(field) else field
        return {
            "image_size": list(placement.image),
            "input_size": list(placement.input),
            "resized": list(placement.resized),
            "placed": list(placement.offset),
            "stride": None if field is None else [float(v) for v in field.stride],
            "offset": None if own is None else [float(v) for v in own.offset],
            "field": None if own is None else [float(v) for v in own.size],
            "window": None if self.window is None else list(self.window),
        }

    def _moves(self, field: ReceptiveField) -> bool:
        """Whether there are cells whose fields differ."""
        cells = zip(self.values.shape[-2:], field.stride, strict=True)
        return any(count > 1 and stride for count, stride in cells)

    @checks_arguments()
    def to_picture(self, view: ChannelView = _ALL) -> Image.Image:
        """The channels side by side, with their numbers; a Pillow image.

        view: which channels, in what order, on what scale; by default all of them on one scale.
        Raises NetError for values that are not channels, and for a channel that is not there.
        """
        from netsurgery.drawing.pixels import to_pixels

        return to_pixels(self._scene(view))

    @checks_arguments()
    def to_png(self, view: ChannelView = _ALL) -> bytes:
        """`to_picture` as the bytes of a PNG file."""
        return self.picture_file(view)

    @checks_arguments()
    def picture_file(self, view: ChannelView = _ALL, suffix: str = ".png") -> bytes:
        """`to_picture` as the bytes of a file: .png, .jpg, .webp or .svg."""
        from netsurgery.drawing.picture_file import encoded

        return encoded(self._scene(view), suffix)

    def _scene(self, view: ChannelView) -> Scene:
        from netsurgery.maps.grid import blob_scene

        return blob_scene(self.values, self.blob, picture_title(self.image), view)

    def _repr_png_(self) -> bytes | None:
        try:
            return self.to_png()
        except NetError:  # its shape is not a picture's
            return None

    def __repr__(self) -> str:
        return short_repr(
            f"Features of {self.image}: blob {self.blob!r}, {shape_text(self.values.shape)}"
        )

    def to_json(self) -> dict[str, Any]:
        """Everything but the values, as plain values."""
        return {
            "image": self.image,
            "blob": self.blob,
            "shape": list(self.values.shape),
            **self.geometry(),
        }


class Extractor(Closeable):
    """A loaded net, from pictures to several of its blobs at once; a context manager.

    Threads may share it.

    >>> import netsurgery as ns
    >>> net, model = "prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel"
    >>> blobs = ["conv1", "pool1"]
    >>> with ns.open_extractor(ns.Settings(net, model), "embedded", blobs) as extractor:
    ...     [each.values.shape for each in extractor.extract("examples/digits_canvas.png")]
    [(16, 28, 28), (16, 14, 14)]
    """

    def __init__(self, mapper: Mapper, blobs: str | Iterable[str]) -> None:
        """The mapper's net gives all of `blobs`."""
        self.mapper = mapper
        self.blobs = tuple(dict.fromkeys(as_names(blobs, "blobs")))
        self._sources = {blob: replace(mapper.source, blob=blob) for blob in self.blobs}
        self._cells: dict[tuple[str, Size], Cells | None] = {}

    def extract(
        self, image: AnyPicture, size: InputSize | None = None, *, store: TileStore | None = None
    ) -> list[Features]:
        """The blobs of a picture, in the order asked for.

        image, size, store: as in `Mapper.map`. The batch is 1. Raises NetError for a size the net
        cannot take, and what the engine raises.
        """
        picture = open_picture(image)
        with out_of_memory_named(picture.name):
            result = self.mapper.blobs(picture, size, self.blobs, store=store)
        return [self._features(picture, blob, result) for blob in self.blobs]

    def _features(self, picture: Picture, blob: str, result: PictureBlobs) -> Features:
        batch, placement = result.values[blob], result.placement
        values = batch[0] if batch.ndim > 1 and batch.shape[0] == 1 else batch
        cells = self._placed(blob, result.run_size) if batch.ndim == 4 else None
        if cells is None:
            return Features(picture.name, blob, values, None, None, placement)
        window = (float(cells.size[0]), float(cells.size[1])) if cells.classifies else None
        return Features(picture.name, blob, values, cells.field, window, placement)

    def _placed(self, blob: str, size: Size) -> Cells | None:
        """Where the cells of a blob lie at an input of `size`."""
        if (blob, size) not in self._cells:
            self._cells[blob, size] = self._sources[blob].cells(size)
        return self._cells[blob, size]

    def close(self) -> None:
        """Close the net and the engine."""
        self.mapper.close()


@checks_arguments()
def open_extractor(
    settings: Settings | str | Path,
    engine: AnyEngine,
    blobs: str | Iterable[str],
    *,
    size: AnyPictureOptions = "net",
    state: NetState = TEST,
    model: NetWithWeights | None = None,
) -> Extractor:
    """An extractor for the model and preprocessing of `settings`; no engine is started yet.

    All arguments are as in `features`, and model as in `open_mapper`. Raises SettingsError without
    prototxt or weights, what is wrong with any of the files, and NetError for a blob that the net
    does not have, and for no blob at all.

    >>> net, model = "prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel"
    >>> with open_extractor(Settings(net, model), "embedded", ["conv1", "prob"]) as extractor:
    ...     [blob.values.shape for blob in extractor.extract("examples/digits_canvas.png")]
    [(16, 28, 28), (11,)]
    """
    settings = as_settings(settings)
    names = as_names(blobs, "blobs")
    if not names:
        raise NetError("no blob is named, so there is nothing to take")
    source = MapSource.of_blobs(model or open_model(settings, state), names)
    transformer = make_transformer(settings, source.channels, as_picture_options(size))
    return Extractor(Mapper(source, transformer, as_engine_options(engine, settings.engine)), names)
