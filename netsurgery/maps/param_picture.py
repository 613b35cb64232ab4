"""A param drawn: its filters side by side, or a matrix, in colours that show the sign."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netsurgery.drawing.pixels import to_pixels
from netsurgery.io.shape_text import shape_text
from netsurgery.maps.grid import grid_scene

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from netsurgery.drawing.scene import Scene

__all__ = ["draw_param", "param_scene"]

#: Rows of filters, one for each output, are no longer or higher than this many times the other.
_SLIM = 4


def draw_param(values: NDArray[np.float32], title: str) -> Image.Image:
    """`param_scene` as pixels."""
    return to_pixels(param_scene(values, title))


def param_scene(values: NDArray[np.float32], title: str) -> Scene:
    """The picture of a param, 0 in the middle of its scale.

    Filters over three channels are drawn in colours, the channels taken for blue, green and red,
    as Caffe's reference nets have them, and 0 is grey. Of other filters, O x C x H x W, each
    O-th row has those over the C channels where that is not too long a row. A matrix is drawn
    with a row for each output; of vectors and 1 x 1 filters each number is a tile. Raises NetError
    for a param without numbers.
    """
    shape = shape_text(values.shape)
    if values.ndim == 4 and values.shape[1] == 3 and values.shape[2:] != (1, 1):
        subtitle = f"{shape}: channels 0, 1, 2 as blue, green, red; 0 is grey"
        return grid_scene(values[:, ::-1], title, subtitle, facts=_spread(values), signed=True)
    tiles, columns, what = _tiles(values)
    subtitle = f"{shape}{what}"
    return grid_scene(tiles, title, subtitle, facts=_spread(values), signed=True, columns=columns)


def _spread(values: NDArray[np.float32]) -> str:
    import numpy as np

    finite = values[np.isfinite(values)].astype(np.float64)
    if not finite.size:
        return ""
    return f"mean {finite.mean():.3g}, deviation {finite.std():.3g}"


def _tiles(values: NDArray[np.float32]) -> tuple[NDArray[np.float32], int | None, str]:
    """The tiles, T x H x W; how many are in a row, None for any number; and what they are."""
    if values.ndim >= 4 and values.shape[-2:] != (1, 1):
        outputs = values.shape[0]
        tiles = values.reshape(-1, *values.shape[-2:])
        per_output = len(tiles) // outputs
        if per_output > 1 and 1 / _SLIM <= per_output / outputs <= _SLIM:
            return tiles, per_output, ": a row for each output, a column for each channel"
        return tiles, None, ""
    matrix = values.reshape(values.shape[0], -1) if values.ndim > 1 else values.reshape(1, -1)
    rows, columns = matrix.shape
    if rows > 1 and columns > 1 and rows * columns > 64 * 64:
        return matrix[None], None, ": a row for each output"
    if min(rows, columns) > 1:
        return matrix.reshape(-1, 1, 1), columns, ": a row for each output"
    return matrix.reshape(-1, 1, 1), None, ""
