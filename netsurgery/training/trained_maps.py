"""Where the cells of a training net's labels lie, in its input and in pictures."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from netsurgery.errors import NetError
from netsurgery.maps.cell_geometry import Geometry
from netsurgery.maps.map_source import MapSource
from netsurgery.maps.picture_options import PictureOptions
from netsurgery.maps.transformer import place
from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.training.batches import LabelGrid

if TYPE_CHECKING:
    from netsurgery.training.training_net import TrainingNet

__all__ = ["TrainedMaps"]

Size = tuple[int, int]


@dataclass(frozen=True)
class TrainedMaps:
    """The maps of a training net.

    window: the input of the classifier that it was, None for a net that always had a map. options:
    how large the input is made for a picture; map_size: what these call "net".
    """

    net: TrainingNet
    window: Size | None
    options: PictureOptions
    map_size: Size

    @property
    def train_size(self) -> Size:
        """Height and width of the input that is trained."""
        ((_, _, height, width),) = self.net.data.values()
        return height, width

    @property
    def channels(self) -> int:
        """Channels of the input."""
        ((_, channels, _, _),) = self.net.data.values()
        return channels

    @cached_property
    def _sources(self) -> dict[str, MapSource]:
        """The source of the scores that each input of labels is for."""
        net = self.net.net
        sources: dict[str, MapSource] = {}
        for layer in net.layers:
            if set(layer.tops) & set(self.net.losses):
                score, labels = layer.bottoms[:2]
                sources.setdefault(labels, MapSource.of_map(NetWithWeights(net, None), score))
        return sources

    @property
    def source(self) -> MapSource:
        """That of the main scores."""
        return self._sources[list(self.net.labels)[-1]]

    @property
    def grids(self) -> tuple[LabelGrid, ...]:
        """Every input of labels, the main one last. Raises NetError for cells without places."""
        grids = []
        for name, shape in self.net.labels.items():
            source = self._sources[name]
            cells = source.cells(self.train_size, self.window)
            if cells is None:
                raise NetError(
                    f"blob {source.blob!r}: the net does not say its total stride, so its cells "
                    "cannot be placed on pictures"
                )
            grids.append(LabelGrid(name, cells, (shape[2], shape[3])))
        return tuple(grids)

    def input_size(self, picture: Size) -> Size:
        """Height and width of the input for the map of a whole picture."""
        return self.options.input_size(self.map_size, picture)

    def of_picture(self, picture: Size) -> tuple[Geometry, Size]:
        """Where the cells of a whole picture's map lie, and its rows and columns.

        Raises NetError and PrototxtError for a picture whose input is too small for the net.
        """
        size, source = self.input_size(picture), self.source
        source.check(size)
        rows, columns = source.map_shape(source.blob, size)[1:]
        cells = source.cells(size, self.window)
        return Geometry.of(cells, place(picture, size, self.options.fit)), (rows, columns)
