"""A net with its weights, and whether the two fit each other.

Caffe loads a layer's params by its name, all of them or none: a layer whose params in the weights
are more, fewer or of other shapes than the net's makes it give up. Here such a layer stops only
what reads its params; see `Model.fit`.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from netsurgery.errors import NetError
from netsurgery.formats.weights import (
    WeightsBlob,
    WeightsFile,
    WeightsLayer,
    open_weights,
    stored_shape,
)
from netsurgery.io.closeable import Closeable
from netsurgery.io.shape_text import shape_text
from netsurgery.net import types
from netsurgery.net.known_fields import unknown_fields
from netsurgery.net.net import NetDefinition, Shape
from netsurgery.net.shapes import Shapes, infer
from netsurgery.net.state import TEST, NetState

if TYPE_CHECKING:
    from typing_extensions import Self

#: The shapes of a layer's params in order, None for one that is not known.
ParamShapes = tuple[Shape | None, ...]

#: How many layers a message names.
_NAMED = 5

__all__ = [
    "NetWithWeights",
    "ParamFit",
    "ParamMismatch",
    "lacking",
    "mismatch",
    "other_shape",
    "refuse_lacking",
]


@dataclass(frozen=True)
class ParamMismatch:
    """A layer whose params in the weights are not those of the net.

    net, model: their shapes in order, None for one that the net leaves open. wrong: which have
    another shape; none where there are more or fewer.
    """

    layer: str
    net: ParamShapes
    model: tuple[Shape, ...]
    wrong: tuple[int, ...] = ()

    def reasons(self, where: str = "the model") -> list[str]:
        """What is wrong: the number of params, or else each that has another shape."""
        if len(self.net) != len(self.model):
            has, expected = len(self.model), len(self.net)
            return [f"{where} has {has} params for it, expected {expected}"]
        return [
            other_shape(index, self.model[index], self.net[index], where) for index in self.wrong
        ]


def other_shape(index: int, stored: Shape, expected: Shape | None, where: str = "the model") -> str:
    """What is wrong with a param that is stored in another shape."""
    known = "?" if expected is None else shape_text(expected)
    return f"param {index} is {shape_text(stored)} in {where}, expected {known}"


def mismatch(
    layer: str, blobs: Sequence[WeightsBlob], shapes: Sequence[Shape | None]
) -> ParamMismatch | None:
    """How the params stored for a layer differ from those that its net has; None if they fit.

    The one comparison of number and shapes: whatever computes from a layer's params, or gives
    them to an engine, asks it first.
    """
    wrong: tuple[int, ...] = ()
    if len(blobs) == len(shapes):
        wrong = tuple(
            index
            for index, (blob, shape) in enumerate(zip(blobs, shapes, strict=True))
            if shape is not None and blob.shape != stored_shape(blob, shape)
        )
        if not wrong:
            return None
    return ParamMismatch(layer, tuple(shapes), tuple(blob.shape for blob in blobs), wrong)


def lacking(
    net: NetDefinition, counts: Mapping[str, int], stored: Container[str]
) -> tuple[str, ...]:
    """The layers whose params are in no weights that have those of the layers `stored`.

    counts: layer -> how many params it has. A layer that is not stored is no trouble where each of
    its params is shared with one that is. Caffe would leave the params of the others as its fillers
    made them, without a word: random numbers, or zeros.
    """
    sharing, held = net.sharing, net.sharing.stored_in(stored)
    return tuple(
        name
        for name, count in counts.items()
        if count
        and name not in stored
        and not all(sharing.owner((name, index)) in held for index in range(count))
    )


def refuse_lacking(net: NetDefinition, weights: str, layers: Sequence[str]) -> None:
    """Raise NetError for the layers that the weights lack, if there are any.

    What converts, runs or writes a net with its weights asks this, whatever the engine.
    """
    if not layers:
        return
    named = ", ".join(map(repr, layers[:_NAMED]))
    more = f" and {len(layers) - _NAMED} more" if len(layers) > _NAMED else ""
    raise NetError(
        f"{weights}: no params for layer{'s' if len(layers) > 1 else ''} {named}{more} of "
        f"{net.prototxt.path}; netsurgery init --missing fills them on purpose"
    )


@dataclass(frozen=True)
class ParamFit:
    """How the weights of a model fit its net.

    expected: layer -> the shapes of its params, () for none; a layer whose
    number of params is unknown is not in it. missing: layers with params that the weights lack.
    sharing: others that they lack, but each of whose params is that of a layer that they have.
    mismatches: layer -> how its params in the weights differ from the net's.
    """

    expected: Mapping[str, ParamShapes]
    missing: tuple[str, ...]
    sharing: tuple[str, ...]
    mismatches: Mapping[str, ParamMismatch]


class NetWithWeights(Closeable):
    """A net and its weights, or a net alone; a context manager.

    The weights are opened, and their index read, when they are first asked for.
    """

    def __init__(self, net: NetDefinition, weights: WeightsFile | Path | str | None = None) -> None:
        """weights: a file's name, a file that is open already (and closed with this), or None."""
        self.net = net
        self._file: WeightsFile | None = None
        self._path: str | None = None
        if isinstance(weights, (str, Path)):
            self._path = str(weights)
        elif weights is not None:
            self._file, self._path = weights, weights.path
        self._closed = False

    @classmethod
    def open(
        cls, prototxt: Path | str, weights: Path | str | None = None, state: NetState = TEST
    ) -> Self:
        """The net of a prototxt ("-": from standard input) in `state`, with its weights or without.

        Raises what `Net.read` raises; what is wrong with the weights shows when they are read.
        """
        return cls(NetDefinition.read(prototxt, state), weights)

    @property
    def has_weights(self) -> bool:
        """Whether weights were given; without any the params are what the fillers give."""
        return self._path is not None

    @property
    def path(self) -> str:
        """The name of the weights' file. Raises NetError where there are none."""
        if self._path is None:
            raise NetError(f"{self.net.prototxt.path}: no weights are given")
        return self._path

    @property
    def weights(self) -> WeightsFile:
        """The open weights.

        Raises CaffemodelError where they cannot be read, NetError where there are none or the
        model is closed.
        """
        path = self.path
        if self._closed:
            raise NetError(f"{self.net.prototxt.path}: the net is closed")
        if self._file is None:
            self._file = open_weights(path, self.net.sharing.owners)
        return self._file

    @property
    def files(self) -> list[str]:
        """The names of the prototxt and of the weights, where there are some."""
        return [self.net.prototxt.path, *([] if self._path is None else [self._path])]

    def check_unchanged(self) -> None:
        """Raise CaffemodelError if the weights are not what they were when they were opened."""
        if self._file is not None:
            self._file.check_unchanged()

    def close(self) -> None:
        """Close the weights; arrays that were handed out stay valid."""
        self._closed = True
        if self._file is not None:
            self._file.close()

    @cached_property
    def shapes(self) -> Shapes:
        """The net's shapes at the inputs that it declares. Raises PrototxtError."""
        return infer(self.net)

    @cached_property
    def stored(self) -> Mapping[str, WeightsLayer]:
        """Name -> the layer in the weights, of those with params; of several the one Caffe keeps.

        That is the last. Empty without weights.
        """
        if not self.has_weights:
            return {}
        return {name: copies[-1] for name, copies in self.copies.items()}

    @cached_property
    def copies(self) -> Mapping[str, Sequence[WeightsLayer]]:
        """Name -> the layers of that name in the weights, in file order, of those with params."""
        by_name: dict[str, list[WeightsLayer]] = {}
        for layer in self.weights.layers:
            if layer.blobs:
                by_name.setdefault(layer.name, []).append(layer)
        return by_name

    @cached_property
    def places(self) -> Mapping[str, int]:
        """Name -> the place of the last layer of that name among those with params."""
        return {layer.name: at for at, layer in enumerate(self.weights.layers) if layer.blobs}

    @cached_property
    def extra(self) -> tuple[str, ...]:
        """The layers with params in the weights that are not in the net."""
        names = {layer.name for layer in self.net.layers}
        return tuple(name for name in self.stored if name not in names)

    @cached_property
    def fit(self) -> ParamFit:
        """How weights and net fit, at the inputs that the net declares. Raises PrototxtError."""
        return self.fit_at(self.shapes)

    def fit_at(self, shapes: Shapes) -> ParamFit:
        """How weights and net fit where the net has these shapes."""
        expected: dict[str, ParamShapes] = dict(shapes.params)
        for layer in self.net.layers:
            known = types.params(layer)
            if not shapes.why_no_params(layer):
                expected.setdefault(layer.name, ())
            elif known is not None and not unknown_fields(layer):
                expected.setdefault(layer.name, (None,) * len(known))
        mismatches: dict[str, ParamMismatch] = {}
        for name, params in expected.items():
            blobs = self.stored[name].blobs if name in self.stored else None
            wrong = None if blobs is None else mismatch(name, blobs, params)
            if wrong is not None:
                mismatches[name] = wrong
        if not self.has_weights:
            return ParamFit(expected, (), (), mismatches)
        counts = {name: len(params) for name, params in expected.items()}
        missing = lacking(self.net, counts, self.stored)
        absent = (name for name, count in counts.items() if count and name not in self.stored)
        sharing = tuple(name for name in absent if name not in missing)
        return ParamFit(expected, missing, sharing, mismatches)
