"""Where the cells of a map lie in the picture.

Cell (row, column) of a map sees one window, a box of the net's input that `net.field` places.
`Geometry` brings it to pixels of the original picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from netsurgery.io.argument_types import checks_arguments
from netsurgery.maps.transformer import Placement

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from netsurgery.net.field import Cells

    Boxes = NDArray[np.float64]

__all__ = ["Geometry"]


@dataclass(frozen=True)
class Geometry:
    """Where cells lie.

    stride: input pixels from one cell to the next, window: the window's size in input pixels, both
    (height, width), or None where they are not known; placement: where the picture lies in the
    input; start: the first cell's window begins there, in input pixels.

    >>> import netsurgery as ns
    >>> net, model = "prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel"
    >>> with ns.open_mapper(ns.Settings(net, model), "embedded", blob="conv1") as mapper:
    ...     geometry = mapper.map("examples/digits_canvas.png").geometry
    >>> geometry.windows(2, 3).shape, geometry.tiles(2, 3).shape
    ((2, 3, 4), (2, 3, 4))
    """

    stride: tuple[float, float] | None
    window: tuple[float, float] | None
    placement: Placement
    start: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def of(cls, cells: Cells | None, placement: Placement) -> Geometry:
        """That of the cells placed, None where nothing is known of them."""
        if cells is None:
            return cls(None, None, placement)
        stride, window, start = (
            (float(height), float(width))
            for height, width in (cells.stride, cells.size, cells.start)
        )
        return cls(stride, window, placement, start)

    @checks_arguments()
    def windows(self, rows: int, columns: int) -> Boxes | None:
        """Each cell's window, rows x columns x 4: [x0, y0, x1, y1] in pixels of the picture.

        Half open and not clipped: a window may pass the picture's edge, by the net's padding, by
        Caffe's rounding up of poolings or by --fit. None where stride or window are not known.
        """
        if self.stride is None or self.window is None:
            return None
        return self._boxes(rows, columns, self.start, self.window)

    @checks_arguments()
    def tiles(self, rows: int, columns: int) -> Boxes | None:
        """Like `windows`, but each cell's share of the picture: a stride wide, about the window's
        center. Tiles do not overlap."""
        if self.stride is None or self.window is None:
            return None
        # Cells that do not move (a stride of 0) share all of their window.
        size = self.stride[0] or self.window[0], self.stride[1] or self.window[1]
        top, left = (self.start[i] + (self.window[i] - size[i]) / 2 for i in range(2))
        return self._boxes(rows, columns, (top, left), size)

    def _boxes(
        self, rows: int, columns: int, start: tuple[float, float], size: tuple[float, float]
    ) -> Boxes:
        assert self.stride is not None
        boxes = np.empty((rows, columns, 4))
        for axis, count in ((0, rows), (1, columns)):
            low = start[axis] + self.stride[axis] * np.arange(count, dtype=np.float64)
            shape = (count, 1) if axis == 0 else (1, count)
            boxes[:, :, 1 - axis] = self.placement.to_image(low, axis).reshape(shape)
            boxes[:, :, 3 - axis] = self.placement.to_image(low + size[axis], axis).reshape(shape)
        return boxes
