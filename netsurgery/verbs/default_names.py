"""Where outputs go: default names, the input's own with an ending, and what is there already."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from netsurgery.formats.weights import is_hdf5_name
from netsurgery.io.targets import STDOUT, check_outputs
from netsurgery.io.terminal import STDIN
from netsurgery.io.wording import argument

__all__ = [
    "default_drawing",
    "default_prototxt",
    "default_weights",
    "existing_notes",
    "existing_outputs",
]


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
        # `stem` takes away .h5 alone.
        return Path(f"{_stem(weights).removesuffix('.caffemodel')}_{ending}.caffemodel.h5")
    return Path(f"{_stem(weights)}_{ending}.caffemodel")


def default_drawing(prototxt: str | Path, ending: str) -> Path:
    """``NET.svg``, for the ending ``.svg``.

    >>> str(default_drawing("nets/lenet.prototxt", ".svg"))
    'lenet.svg'
    """
    return Path(f"{_stem(prototxt)}{ending}")


def existing_outputs(paths: Sequence[str | Path], inputs: Iterable[str | Path]) -> tuple[str, ...]:
    """A note for each of these outputs that exists.

    Raises OutputError for what could not be written even with `force`.
    """
    files = [path for path in map(str, paths) if path != STDOUT]
    check_outputs(files, inputs=inputs, force=True)
    return existing_notes(files)


def existing_notes(files: Iterable[str | Path]) -> tuple[str, ...]:
    """A note for each of these files that exists."""
    return tuple(
        f"{path} exists already; {argument('--force')} replaces it"
        for path in files
        if os.path.exists(path)
    )


def _stem(path: str | Path) -> str:
    # As a call names standard input, and as messages name what was read from it.
    return "net" if str(path) in ("-", STDIN) else Path(path).stem
