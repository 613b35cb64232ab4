"""A net with its weights, and whether the two fit each other.

Caffe loads a layer's params by its name, all of them or none: a layer whose params in the weights
are more, fewer or of other shapes than the net's makes it give up. Here such a layer stops only
what reads its params; see `NetWithWeights.fit`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from netsurgery.errors import NetError, NetsurgeryError
from netsurgery.formats.weights import (
    WeightsFile,
    WeightsLayer,
    open_weights,
)
from netsurgery.io.argument_types import checked_argument
from netsurgery.io.closeable import Closeable
from netsurgery.net import types
from netsurgery.net.known_fields import unknown_fields
from netsurgery.net.net import NetDefinition
from netsurgery.net.param_fit import (
    ParamFit,
    ParamMismatch,
    ParamShapes,
    another_net,
    lacking,
    mismatch,
    refuse_lacking,
)
from netsurgery.net.shapes import Shapes, infer
from netsurgery.net.state import TEST, NetState

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["NetWithWeights"]


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

        Raises what `Net.read` raises, and TypeError for weights that are no file's name; what is
        wrong with the file shows when it is read.
        """
        prototxt = checked_argument("prototxt", prototxt, "AnyPath")
        weights = checked_argument("weights", weights, "AnyPath | None")
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
    def known_path(self) -> str | None:
        """The name of the weights' file; None where there are none, or none that a user knows."""
        return self._path

    @property
    def weights(self) -> WeightsFile:
        """The open weights.

        Raises CaffemodelError where they cannot be read, NetError where there are none or the
        model is closed.
        """
        path = self.path
        self._check_open()
        if self._file is None:
            self._file = open_weights(path, self.net.sharing.owners)
        return self._file

    @property
    def files(self) -> list[str]:
        """The names of the prototxt and of the weights, where there are some."""
        return [self.net.prototxt.path, *([] if self._path is None else [self._path])]

    def check_unchanged(self) -> None:
        """Raise NetError once it is closed, CaffemodelError if the weights have changed since."""
        self._check_open()
        if self._file is not None:
            self._file.check_unchanged()

    def _check_open(self) -> None:
        if self._closed:
            raise NetError(f"{self.net.prototxt.path}: the net is closed")

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
        # net.cpp copies them one after another into the one layer of the net.
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
            # Their number is known without their shapes: enough to say that one is missing.
            elif known is not None and not unknown_fields(layer):
                expected.setdefault(layer.name, (None,) * len(known))
        mismatches: dict[str, ParamMismatch] = {}
        for name, params in expected.items():
            blobs = self.stored[name].blobs if name in self.stored else None
            # What the file lacks is no mismatch: Caffe leaves it as the fillers made it.
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

    def another_net(self, expected: Mapping[str, ParamShapes] | None = None) -> str:
        """That the weights are of another net, and what they have instead; "" where they are not.

        expected: layer -> the shapes of its params, by default at the inputs that the net declares.
        """
        if not self.has_weights:
            return ""
        known = self.fit.expected if expected is None else expected
        return another_net(self.net, self.path, known, self.stored)

    def refuse_lacking(self, expected: Mapping[str, ParamShapes]) -> None:
        """Raise NetError where the weights lack a layer's params, or are of another net.

        What converts, runs or writes a net with its weights asks this, whatever the engine.
        """
        known = expected
        if lacking(self.net, {name: len(shapes) for name, shapes in expected.items()}, self.stored):
            with suppress(NetsurgeryError):  # the shapes are for the message alone
                known = {name: self.fit.expected.get(name, expected[name]) for name in expected}
        refuse_lacking(self.net, self.path, known, self.stored)
