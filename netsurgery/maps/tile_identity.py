"""What the tiles of a run are of: whether tiles of an earlier run can be gone on with."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np

from netsurgery import __version__
from netsurgery.io.checksum import sha256_of, size_and_time
from netsurgery.io.shape_text import shape_text
from netsurgery.maps.rows import row_bands

if TYPE_CHECKING:
    from netsurgery.maps.image import Picture
    from netsurgery.maps.map_source import MapSource
    from netsurgery.maps.rows import PixelRows
    from netsurgery.maps.transformer import Transformer

__all__ = ["identify"]

#: A file of more bytes is known by its size and its time: reading it would take seconds.
_READ = 1 << 30


def identify(
    source: MapSource,
    transformer: Transformer,
    engine: str,
    picture: Picture,
    size: tuple[int, int],
    blobs: Sequence[str],
) -> dict[str, str]:
    """All that the numbers of the blobs depend on, by what a message calls it.

    engine: what runs the net, as it describes itself. size: of the input.
    """
    model = source.model
    return {
        "version of netsurgery": __version__,
        "engine": engine,
        "net": _hashed(model.net.prototxt.text.encode("utf-8", "surrogateescape")),
        "state of the net": repr(model.net.state),
        "weights": _of_file(model.path) if model.has_weights else "",
        "image": _of_pixels(picture.rows),
        "preprocessing": _of_transformer(transformer),
        "input size": shape_text(size),
        "blobs": repr(list(blobs)),
    }


def _hashed(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _of_file(path: str) -> str:
    """A file by its content, or a very large one by its size and time."""
    return size_and_time(path) if os.path.getsize(path) > _READ else sha256_of(path)


def _of_pixels(pixels: PixelRows) -> str:
    """All the pixels that the net sees, some rows at a time."""
    digest = hashlib.sha256(f"{pixels.shape} {pixels.kind}".encode())
    for rows in row_bands(pixels):
        digest.update(np.ascontiguousarray(rows).data)
    return digest.hexdigest()


def _of_transformer(transformer: Transformer) -> str:
    """All its steps but for the size of tiles, which changes no number."""
    steps = {field.name: getattr(transformer, field.name) for field in fields(transformer)}
    options = steps.pop("options")
    mean = steps.pop("mean")
    of_mean = None if mean is None else (mean.shape, _hashed(np.ascontiguousarray(mean).tobytes()))
    return repr((steps, of_mean, options.fit, options.antialias))
