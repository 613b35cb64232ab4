"""The blobs of an open net: their shapes, by name."""

from __future__ import annotations

from typing import NoReturn

from netsurgery.errors import NetError
from netsurgery.net.net import Shape
from netsurgery.net.shapes import Shapes

__all__ = ["BlobMissing", "Blobs"]


class BlobMissing(NetError, KeyError):
    """There is no such blob, or its shape cannot be told."""

    def __str__(self) -> str:
        return Exception.__str__(self)  # KeyError's would quote it


class Blobs(dict[str, Shape]):
    """Blob -> its shape (N, C, H, W), in file order.

    One that is not in it raises a NetError that says why, which is a KeyError too.
    """

    def __init__(self, shapes: Shapes, path: str) -> None:
        super().__init__(shapes.blobs)
        self._unknown, self._path = shapes.unknown, path

    def __missing__(self, blob: str) -> NoReturn:
        if blob in self._unknown:
            raise BlobMissing(
                f"{self._path}: the shape of blob {blob!r} is not known: {self._unknown[blob]}"
            )
        names = ", ".join(map(repr, self)) or "none whose shape is known"
        raise BlobMissing(f"{self._path}: no blob {blob!r}; the net has {names}")
