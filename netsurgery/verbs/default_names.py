"""The names of outputs that nobody named: the input's own with an ending, in the current folder."""

from __future__ import annotations

from pathlib import Path

from netsurgery.formats.weights import is_hdf5_name

__all__ = ["default_prototxt", "default_weights"]


def default_prototxt(prototxt: str | Path, ending: str) -> Path:
    """``NET_ENDING.prototxt``; the net from standard input is called "net".

    >>> str(default_prototxt("nets/lenet.prototxt", "edited"))
    'lenet_edited.prototxt'
    """
    return Path(f"{_stem(prototxt)}_{ending}.prototxt")


def default_weights(weights: str | Path, ending: str) -> Path:
    """``MODEL_ENDING.caffemodel``, or ``.caffemodel.h5`` for what is read as HDF5.

    >>> str(default_weights("lenet.caffemodel.h5", "edited"))
    'lenet_edited.caffemodel.h5'
    """
    if is_hdf5_name(weights):
        return Path(f"{_stem(weights).removesuffix('.caffemodel')}_{ending}.caffemodel.h5")
    return Path(f"{_stem(weights)}_{ending}.caffemodel")


def _stem(path: str | Path) -> str:
    return "net" if str(path) in ("-", "standard input") else Path(path).stem
