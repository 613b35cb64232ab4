"""Any blob of a net as dense features of a picture, and where its cells lie in the picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from netsurgery.engines.contract import EngineOptions
from netsurgery.errors import NetError
from netsurgery.formats.settings import Settings
from netsurgery.io.closeable import Closeable
from netsurgery.maps.image import Picture, out_of_memory_named
from netsurgery.maps.mapnet import MapNet
from netsurgery.maps.mapper import Mapper, check_model, make_transformer, state_of
from netsurgery.maps.transformer import Placement
from netsurgery.net.field import Cells, ReceptiveField
from netsurgery.net.state import TEST, NetState

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

__all__ = ["Extractor", "Features", "open_extractor"]

Size = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Features:
    """One blob of one picture.

    values: float32 C x H x W, or whatever the blob has behind its batch of one. field: what a cell
    depends on, in input pixels; window: the (height, width) of the input pixels that a cell stands
    for, as a classifier does for its input; both None where they are not known. placement: where
    the picture lies in the input.
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
        Of several cells that each depend on the whole picture (behind the gate of a squeeze and
        excitation), field and offset are None.
        """
        put, field = self.placement, self.field
        seen = None if field is not None and field.whole and self._moves(field) else field
        made: dict[str, list[float] | None] = {
            "image_size": list(put.image),
            "input_size": list(put.input),
            "resized": list(put.resized),
            "placed": list(put.offset),
        }
        made["stride"] = None if field is None else [float(v) for v in field.stride]
        made["offset"] = None if seen is None else [float(v) for v in seen.offset]
        made["field"] = None if seen is None else [float(v) for v in seen.size]
        made["window"] = None if self.window is None else list(self.window)
        return made

    def _moves(self, field: ReceptiveField) -> bool:
        """Whether there are cells whose fields differ."""
        cells = zip(self.values.shape[-2:], field.stride, strict=True)
        return any(count > 1 and stride for count, stride in cells)

    def to_json(self) -> dict[str, Any]:
        """Everything but the values, as plain values."""
        return {
            "image": self.image,
            "blob": self.blob,
            "shape": list(self.values.shape),
            **self.geometry(),
        }


class Extractor(Closeable):
    """A loaded net, from pictures to several of its blobs at once; a context manager."""

    def __init__(self, mapper: Mapper, blobs: Sequence[str]) -> None:
        """The mapper's net gives all of `blobs`."""
        self.mapper = mapper
        self.blobs = tuple(dict.fromkeys(blobs))
        self._nets = {blob: replace(mapper.net, blob=blob) for blob in self.blobs}
        self._cells: dict[tuple[str, Size], Cells | None] = {}

    def extract(self, picture: Picture, size: Size | None = None) -> list[Features]:
        """The blobs of a picture, in the order asked for.

        The net's input is made `size`, or as large as the picture where it is None; its batch 1.
        Raises NetError for a size the net cannot take, and what the engine raises.
        """
        size = picture.size if size is None else size
        with out_of_memory_named(picture.name):
            blob, placement = self.mapper.prepare(picture, size, self.blobs)
            made = self.mapper.run(blob, self.blobs)
        return [self._features(picture, name, made[name], placement) for name in self.blobs]

    def _features(self, picture: Picture, blob: str, made: Array, placement: Placement) -> Features:
        values = made[0] if made.ndim > 1 and made.shape[0] == 1 else made
        cells = self._placed(blob, placement.input) if made.ndim == 4 else None
        if cells is None:
            return Features(picture.name, blob, values, None, None, placement)
        window = (float(cells.size[0]), float(cells.size[1])) if cells.classifies else None
        return Features(picture.name, blob, values, cells.field, window, placement)

    def _placed(self, blob: str, size: Size) -> Cells | None:
        """Where the cells of a blob lie at an input of `size`."""
        if (blob, size) not in self._cells:
            self._cells[blob, size] = self._nets[blob].cells(size)
        return self._cells[blob, size]

    def close(self) -> None:
        """Let go of the net and the engine."""
        self.mapper.close()


def open_extractor(
    settings: Settings,
    options: EngineOptions,
    blobs: Sequence[str],
    *,
    fit: str = "warp",
    antialias: bool = True,
    state: NetState = TEST,
) -> Extractor:
    """An extractor for the model and preprocessing of `settings`; no engine is started yet.

    state: the phase and the shapes to read the net with; stages and level are the settings'.

    Raises SettingsError without prototxt or weights, what is wrong with any of the files, and
    NetError for a blob that the net has not, and for no blob at all.
    """
    prototxt, weights = check_model(settings)
    if not blobs:
        raise NetError("no blob is named, so there is nothing to take")
    net = MapNet.for_blobs(prototxt, blobs, state_of(settings, state))
    transformer = make_transformer(settings, net.channels, fit=fit, antialias=antialias)
    return Extractor(Mapper(net, weights, transformer, options), blobs)
