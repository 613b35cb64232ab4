"""Runs one net over pictures, one after another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from netsurgery.engines.contract import Engine, EngineOptions, LoadedNet
from netsurgery.engines.registry import open_engine
from netsurgery.errors import (
    EngineError,
    MemoryLimitError,
    NetError,
    NetsurgeryError,
    SettingsError,
)
from netsurgery.formats.labels import Labels, load_labels
from netsurgery.formats.mean import load_mean
from netsurgery.formats.settings import SETTINGS_NAME, Settings
from netsurgery.io.closeable import Closeable
from netsurgery.maps.classmap import ClassMap, Geometry, check_class, find_label, map_memory
from netsurgery.maps.image import Picture, out_of_memory_named
from netsurgery.maps.mapnet import MapNet, refuse_blob
from netsurgery.maps.transformer import Placement, Transformer
from netsurgery.net.field import Cells
from netsurgery.net.memory import largest_size
from netsurgery.net.net import Shape
from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.net.shapes import infer
from netsurgery.net.state import TEST, NetState

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

__all__ = ["Mapper", "check_model", "make_transformer", "open_mapper", "state_of"]

Size = tuple[int, int]

#: What a number of the input takes while a picture is brought to its size.
_INPUT = 12


def open_mapper(
    settings: Settings,
    options: EngineOptions,
    *,
    blob: str | None = None,
    fit: str = "warp",
    antialias: bool = True,
    drop_labels: bool = False,
    state: NetState = TEST,
) -> Mapper:
    """A mapper for the model and preprocessing of `settings`; no engine is started yet.

    drop_labels: leave out labels that are more or fewer than the blob's classes, as those of a
    netsurgery.toml are for any blob but the one they were meant for; else they are an error.
    state: the phase and the shapes to read the net with; stages and level are the settings'.
    Raises SettingsError without prototxt or weights, and what is wrong with any of the files:
    PrototxtError, NetError, MeanError, FormatError for labels that do not fit the blob.
    """
    prototxt, weights = check_model(settings)
    net = MapNet.read(prototxt, blob, state_of(settings, state))
    transformer = make_transformer(settings, net.channels, fit=fit, antialias=antialias)
    labels = None if settings.labels is None else load_labels(settings.labels)
    if labels is not None and net.classes is not None:
        if drop_labels and len(labels) != net.classes:
            labels = None
        else:
            labels.check(net.classes, net.blob)
    return Mapper(net, weights, transformer, options, window=settings.window, labels=labels)


def check_model(settings: Settings) -> tuple[Path, Path]:
    """The prototxt and the weights to use. Raises SettingsError where either is missing."""
    if settings.prototxt is None or settings.weights is None:
        missing = "prototxt" if settings.prototxt is None else "weights"
        raise SettingsError(
            f"no {missing} to use: give --prototxt and --weights, or run where there is a "
            f"{SETTINGS_NAME} (`netsurgery convert` writes one)"
        )
    if settings.prototxt.is_file() and not settings.weights.is_file():
        found = "is a folder" if settings.weights.is_dir() else "no such file"
        raise SettingsError(f"{settings.weights}: {found}; expected the net's weights")
    return settings.prototxt, settings.weights


def state_of(settings: Settings, state: NetState = TEST) -> NetState:
    """The state in which the net of `settings` is used: their stages and level, else `state`'s."""
    level = state.level if settings.level is None else settings.level
    stages = state.stages if settings.stages is None else tuple(settings.stages)
    return replace(state, level=level, stages=stages)


def make_transformer(
    settings: Settings, channels: int, *, fit: str = "warp", antialias: bool = True
) -> Transformer:
    """What makes pictures ready as `settings` say, for an input of `channels` (1 or 3) channels.

    Raises MeanError, and SettingsError for a channel swap that does not fit.
    """
    return Transformer(
        channels=channels,
        mean=None if settings.mean is None else load_mean(settings.mean),
        raw_scale=settings.raw_scale,
        channel_swap=settings.channel_swap,
        input_scale=settings.input_scale,
        fit=fit,
        antialias=antialias,
    )


class Mapper(Closeable):
    """A loaded net, from pictures to class maps; a context manager.

    After an engine that failed on one picture, the next picture gets a new one. Raises EngineError
    where no engine starts or the net does not load.
    """

    def __init__(
        self,
        net: MapNet,
        weights: Path,
        transformer: Transformer,
        options: EngineOptions,
        *,
        window: Size | None = None,
        labels: Labels | None = None,
        opener: Callable[[EngineOptions], Engine] | None = None,
    ) -> None:
        self.net, self.weights, self.transformer = net, weights, transformer
        self.options, self.labels = options, labels
        self.opener = opener or (
            lambda given: open_engine(given, [NetWithWeights(net.net, weights)])
        )
        self.window = window
        self._cells: dict[Size, Cells | None] = {}
        #: One line about the engine that ran last, and why it was not another; "" before and if so.
        self.engine = self.note = ""
        self._engine: Engine | None = None
        self._loaded: LoadedNet | None = None

    def check_class(self, text: str) -> None:
        """Raise, as `ClassMap.find_class` would, for what no class can be, before any work."""
        if text.isascii() and text.isdigit():
            if self.net.classes is not None:
                check_class(int(text), self.net.classes, self.net.blob)
        elif text.strip().casefold() != "max":
            find_label(text, self.labels)

    def map(self, picture: Picture, size: Size | None = None) -> ClassMap:
        """The class map of a picture.

        The net's input is made `size`, or as large as the picture where it is None; its batch 1.
        Raises NetError for a size the net cannot take and for NaN, and what the engine raises.
        """
        size = picture.size if size is None else size
        with out_of_memory_named(picture.name):
            blob, placement = self.prepare(picture, size, [self.net.blob], as_map=True)
            made = self.run(blob, [self.net.blob])[self.net.blob]
        if made.ndim != 4:
            refuse_blob(self.net.blob, made.shape, self.net.net)
        return ClassMap(
            image=picture.name,
            values=made[0],
            blob=self.net.blob,
            scored=self.net.scored,
            input=self.net.input.name,
            geometry=Geometry.of(self._placed(placement.input), placement),
            labels=self.labels,
        )

    def _placed(self, size: Size) -> Cells | None:
        """Where the map's cells lie at an input of `size`."""
        if size not in self._cells:
            self._cells[size] = self.net.cells(size, self.window)
        return self._cells[size]

    def prepare(
        self, picture: Picture, size: Size, names: Sequence[str], *, as_map: bool = False
    ) -> tuple[Array, Placement]:
        """The net's input of `size` for the picture, and where the picture lies in it.

        as_map: whether the first of the blobs `names` is to become a class map.
        Raises NetError for a size that the net cannot take, MemoryLimitError for one at which
        giving the blobs `names` takes more memory than may be used, with a size that fits.
        """
        self.check_size(picture, size)
        self._check_memory(size, names, as_map)
        return self.transformer.blob(picture, size)

    def _check_memory(self, size: Size, names: Sequence[str], as_map: bool) -> None:
        """Ask the engine, before anything of the picture's size is made."""
        loaded = self.load()

        def shapes(size: Size) -> dict[str, Shape]:
            return {self.net.input.name: (1, self.net.channels, *size)}

        def besides(size: Size) -> int:
            """What is made of the picture, and of the map."""
            shape = infer(self.net.net, shapes(size)).blobs.get(names[0], ()) if as_map else ()
            return _INPUT * prod((self.net.channels, *size)) + map_memory(shape[1:])

        def fits(size: Size) -> bool:
            try:
                return loaded.memory(shapes(size), names) + besides(size) <= error.left
            except NetsurgeryError:  # smaller than the net takes
                return True

        try:
            loaded.check_memory(shapes(size), names, besides(size))
        except MemoryLimitError as found:
            error = found
            height, width = largest_size(fits, size)
            try:
                self.net.check((height, width))
            except NetsurgeryError:
                raise error from None
            raise error.more(f"; --size {height}x{width} fits") from None

    def check_size(self, picture: Picture, size: Size) -> None:
        """Raise NetError, naming picture and layer, where an input of `size` is too small."""
        try:
            self.net.check(size)
        except NetsurgeryError as error:
            name = "standard input" if picture.name == "-" else picture.name
            (high, wide), (rows, columns) = picture.size, size
            raise NetError(
                f"{name}: {high}x{wide} pixels, as an input of {rows}x{columns} (--size): {error}"
            ) from error

    def run(self, blob: Array, names: Sequence[str]) -> dict[str, Array]:
        """Feed the net's input and return the blobs `names`; the input takes the blob's shape."""
        loaded = self.load()
        name = self.net.input.name
        try:
            if tuple(loaded.inputs[name]) != blob.shape:
                loaded.reshape({name: blob.shape})
            return loaded.forward({name: blob}, names)
        except (EngineError, MemoryError):
            self.close()
            raise

    def load(self) -> LoadedNet:
        """The loaded net; the first call starts the engine."""
        if self._loaded is None:
            self._engine = self.opener(self.options)
            self.engine, self.note = self._engine.description, self._engine.note
            try:
                self._loaded = self._engine.load(self.net.net, self.weights)
            except BaseException:
                self.close()
                raise
        return self._loaded

    def close(self) -> None:
        """Let go of the net and the engine."""
        loaded, engine = self._loaded, self._engine
        self._loaded = self._engine = None
        try:
            if loaded is not None:
                loaded.close()
        finally:
            if engine is not None:
                engine.close()
