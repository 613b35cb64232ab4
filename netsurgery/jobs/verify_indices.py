"""Numbers for those parts of a net's inputs that are read as indices, wherever they are read.

An LSTM's marks, or an Embed's words, may be a slice of an input, or several inputs joined and
reshaped. Which number of an input comes to which place is seen by sending places through the
layers between, which move numbers and change none, in the embedded engine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from netsurgery.errors import NetsurgeryError
from netsurgery.net import types
from netsurgery.net.net import Layer, Net, NetInput, Shape
from netsurgery.net.shapes import Shapes, infer
from netsurgery.net.types.indices import Indices, indices
from netsurgery.net.types.record import Role, Values

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Places = NDArray[np.intp]

__all__ = ["draw_indices"]

_MOVING = (Values.KEPT, Values.PASSED, Values.MOVED)
#: float32 counts to 2**24; places are sent in two parts.
_PART = 1 << 12


class _Read(NamedTuple):
    """A blob that `layer` reads as indices."""

    layer: Layer
    blob: str
    takes: Indices


def draw_indices(
    net: Net, shapes: Mapping[str, Shape], random: np.random.Generator
) -> Iterator[tuple[str, Places, NDArray[np.float64]]]:
    """(input, places in it, counted row by row, the numbers to put there).

    The last one counts where places are read twice: those that take least, marks last.
    """
    if not any(Role.INDEX in types.roles(layer) for layer in net.layers):
        return  # and a net made for one size needs no shapes at another
    at = infer(net, shapes)
    reads = sorted(_reads(net, at), key=lambda read: (read.takes.marks, -read.takes.below))
    for read in reads:
        numbers = _draw(read.takes, at.of(read.blob), random).reshape(-1)
        for name, (places, targets) in _origins(net, at, read).items():
            yield name, places, numbers[targets]


def _reads(net: Net, at: Shapes) -> Iterator[_Read]:
    for layer in net.layers:
        if any(bottom not in at.blobs for bottom in layer.bottoms):
            continue
        takes = indices(layer, [at.of(bottom) for bottom in layer.bottoms])
        for bottom, role in zip(layer.bottoms, types.roles(layer), strict=True):
            if role is Role.INDEX and takes is not None:
                yield _Read(layer, bottom, takes)


def _draw(takes: Indices, shape: Shape, random: np.random.Generator) -> NDArray[np.float64]:
    import numpy as np

    if not takes.marks:
        return random.integers(0, takes.below, shape).astype("f8")
    marks = np.ones(shape)
    marks[:1] = 0
    return marks


def _origins(net: Net, at: Shapes, read: _Read) -> dict[str, tuple[Places, Places]]:
    """Input -> the places in it, and the places of the blob, that hold the same numbers."""
    import numpy as np

    part, names = _moving_part(net, at, read)
    if not names:
        return {}
    if not part.layers:
        every = np.arange(np.prod(at.of(read.blob), dtype=np.intp))
        return dict.fromkeys(names, (every, every))
    try:
        return _sent(part, at, read.blob, names)
    except NetsurgeryError:  # of a type that this engine does not run: no place is known
        return {}


def _moving_part(net: Net, at: Shapes, read: _Read) -> tuple[Net, list[str]]:
    """The layers before it that move what the blob holds, and which of the net's inputs they read.

    The part's inputs are what its first layers read, computed or not. No input is named where a
    blob is read both before and after a layer has computed it anew in place.
    """
    wanted, layers, made = {read.blob}, list[Layer](), set[str]()
    for layer in reversed(net.layers):
        own = wanted.intersection(layer.tops)
        if layer.index >= read.layer.index or types.is_input(layer) or not own:
            continue
        wanted.difference_update(layer.tops)
        if _moves(layer):
            wanted.update(layer.bottoms)
            layers.append(layer)
        else:
            made |= own
    inputs = tuple(NetInput(name, at.of(name), ()) for name in sorted(wanted | made))
    part = replace(net, inputs=inputs, layers=tuple(layers[::-1]))
    return part, [] if wanted & made else [one.name for one in net.inputs if one.name in wanted]


def _moves(layer: Layer) -> bool:
    return types.values(layer) in _MOVING and Role.INDEX not in types.roles(layer)


def _sent(
    part: Net, at: Shapes, blob: str, names: Sequence[str]
) -> dict[str, tuple[Places, Places]]:
    import numpy as np

    from netsurgery.engines.contract import EngineOptions
    from netsurgery.engines.ort import open_engine

    found = {}
    zeros = {one.name: np.zeros(at.of(one.name), np.float32) for one in part.inputs}
    with open_engine(EngineOptions()) as engine, engine.load(part) as loaded:
        for name in names:
            every = np.arange(zeros[name].size).reshape(zeros[name].shape)
            high, low, there = (
                loaded.forward({**zeros, name: sent.astype(np.float32)}, [blob])[blob]
                for sent in (every // _PART, every % _PART, np.ones_like(every))
            )
            targets = np.flatnonzero(there == 1)
            places = high.astype(np.intp) * _PART + low.astype(np.intp)
            found[name] = (places.reshape(-1)[targets], targets)
    return found
