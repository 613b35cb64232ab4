"""The losses of the cells of all held-out pictures, drawn into a folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from netsurgery.io.folders import make_folder
from netsurgery.io.output_folder import OutputFolder
from netsurgery.io.targets import one_line
from netsurgery.maps.image import read_picture
from netsurgery.training.evaluation import cell_losses
from netsurgery.training.feed import PlanFeed
from netsurgery.training.loss_picture import LossPicture
from netsurgery.training.plan_folder import picture_files

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

__all__ = ["LOSSES", "write_losses"]

#: Of a plan's folder.
LOSSES = "loss"


def write_losses(folder: Path, feed: PlanFeed, scores: Callable[[Array], Array]) -> str:
    """Draw the loss of each cell of the held-out pictures; the folder, which appears whole.

    scores: of a picture's input, 1 x K x h x w. Raises what reading a picture raises, OutputError.
    """
    path = str(folder / LOSSES)
    names = picture_files(list(feed.plan.held_out))
    paths = {each.name: each.path for each in feed.annotations.pictures}
    with OutputFolder(path, force=True) as output, one_line(path):
        for whole, name in zip(feed.held_out(), names, strict=True):
            picture = read_picture(paths[whole.name])
            geometry, shape = feed.maps.of_picture(picture.size)
            tiles = geometry.tiles(*shape)
            assert tiles is not None  # the grids have places
            losses = cell_losses(scores(whole.data)[0], whole.labels)
            place = Path(output.temporary) / name
            make_folder(str(place.parent))
            place.write_bytes(LossPicture(picture, losses, tiles).png())
    return path
