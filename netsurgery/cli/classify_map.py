"""``netsurgery classify-map``: a class for every window of an image."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from netsurgery.cli.map_outputs import MapFiles
from netsurgery.cli.options import (
    SIZE,
    engine_options,
    force_option,
    json_option,
    quiet_option,
    settings_of_state,
    state_options,
    trust_option,
)
from netsurgery.cli.preprocess_options import (
    model_options,
    picture_options,
    preprocess_options,
    with_settings_file,
)
from netsurgery.cli.printing import (
    cell,
    echo,
    echo_colored,
    echo_failed,
    echo_json_text,
    echo_notes,
    stdout_in_color,
)
from netsurgery.cli.progress import Progress
from netsurgery.engines.contract import EngineOptions
from netsurgery.errors import NetsurgeryError
from netsurgery.formats.found_settings import merged
from netsurgery.formats.settings import Settings
from netsurgery.net.state import NetState

if TYPE_CHECKING:
    from netsurgery.maps.classmap import ClassMap
    from netsurgery.maps.image import Picture
    from netsurgery.maps.mapper import Mapper

__all__ = ["command"]

OUTPUT = click.Path(allow_dash=True)


@click.command()
@click.argument(
    "images", metavar="IMAGE...", nargs=-1, required=True, type=click.Path(allow_dash=True)
)
@model_options
@state_options
@preprocess_options
@picture_options
@click.option(
    "--window",
    type=SIZE,
    envvar="NETSURGERY_WINDOW",
    help="Input size of the classifier before it was converted (default: what netsurgery.toml "
    "says, else worked out from the net; the field of a cell where that is no classifier's input).",
)
@click.option(
    "--blob",
    metavar="NAME",
    envvar="NETSURGERY_BLOB",
    help="The blob that holds the map (default: the top of the last layer).",
)
@click.option(
    "--top-k",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="K",
    envvar="NETSURGERY_TOP_K",
    help="With --json: the K likeliest classes of each cell.",
)
@click.option(
    "--npy",
    metavar="FILE.npy",
    type=OUTPUT,
    help="Write the whole map, float32 C x H x W; a folder for several images.",
)
@click.option(
    "--picture",
    metavar="FILE.png",
    type=OUTPUT,
    help="Draw the image, the map as heat, and the map on the image; a folder for several images.",
)
@click.option(
    "--class",
    "class_",
    metavar="N|LABEL|max",
    default="max",
    show_default=True,
    envvar="NETSURGERY_CLASS",
    help="What --picture shows as heat: a class by number or label, or the likeliest of each cell.",
)
@trust_option
@engine_options
@json_option
@quiet_option
@force_option
def command(
    images: tuple[str, ...],
    prototxt: Path | None,
    weights: Path | None,
    state: NetState,
    preprocess: Settings,
    fit: str,
    antialias: bool,
    size: Any,
    window: tuple[int, int] | None,
    blob: str | None,
    top_k: int,
    npy: str | None,
    picture: str | None,
    class_: str,
    trust_config: bool | None,
    engine: EngineOptions,
    as_json: bool,
    quiet: bool,
    force: bool,
) -> None:
    """Print a class for every window of an image; - is standard input.

    The net is a fully convolutional one, as convert makes them. Flags win over NETSURGERY_*
    variables, and those over netsurgery.toml. Without --mean, --raw-scale, --channel-swap and
    --input-scale the net is fed plain 0..1 RGB values, as by Caffe's own Classifier.

    \b
    Example:
      netsurgery classify-map cat.jpg --picture map.png --class tabby
    """
    _import_numpy()
    from netsurgery.maps.mapper import open_mapper

    given = merged(
        replace(settings_of_state(state), prototxt=prototxt, weights=weights, window=window),
        preprocess,
    )
    settings = with_settings_file(given, trust_config, quiet)
    drop = blob is not None and given.labels is None  # those of the settings file, for its own blob
    mapper = open_mapper(
        settings, engine, blob=blob, fit=fit, antialias=antialias, drop_labels=drop, state=state
    )
    if not quiet:
        echo_notes(mapper.net.net.notes, err=True)
    if settings.labels is not None and mapper.labels is None and not quiet:
        echo(f"note: {settings.labels} does not fit blob {blob!r}: left out", err=True)
    mapper.check_class(class_)
    inputs = [str(path) for path in (settings.prototxt, settings.weights) if path]
    files = MapFiles.plan(images, npy, picture, inputs=inputs, force=force)
    if as_json and files.to_stdout:
        raise click.UsageError("--json and a file cannot both go to standard output")
    sizes = {"net": mapper.net.size, "image": None}
    size = sizes[size] if isinstance(size, str) else size
    progress = Progress(len(images), quiet)
    run = _Run(mapper, files, len(images), size, class_, top_k, as_json, quiet, progress)
    with mapper:
        run.all(images)


def _import_numpy() -> None:
    """Import numpy without the threads of its BLAS, unless the user says how many.

    They begin by waiting busily for work, 20 ms of the cores that the net wants, and no large
    matrix is multiplied here. The variable is taken back: Caffe's process inherits it.
    """
    variable = "OPENBLAS_NUM_THREADS"
    if variable in os.environ:
        return
    os.environ[variable] = "1"
    try:
        import numpy  # noqa: F401
    finally:
        del os.environ[variable]


@dataclass(frozen=True)
class _Run:
    """The images, one after another."""

    mapper: Mapper
    files: MapFiles
    total: int
    size: tuple[int, int] | None
    class_: str
    top_k: int
    as_json: bool
    quiet: bool
    progress: Progress
    notes: set[str] = field(default_factory=set)

    def all(self, images: tuple[str, ...]) -> None:
        """Every image; one that fails is told and the others go on, and the exit code is 1."""
        if self.total == 1:
            self.one(0, images[0])
            return
        self.mapper.load()  # what ails the model is told once
        failed = 0
        for index, image in enumerate(images):
            self.progress.step(image)
            try:
                self.one(index, image)
            except NetsurgeryError as error:
                failed += 1
                self.progress.clear()
                echo_failed(image, error)
        self.progress.clear()
        if failed:
            echo(f"{failed} of {self.total} images failed", err=True)
            raise click.exceptions.Exit(1)

    def one(self, index: int, image: str) -> None:
        from netsurgery.maps.image import out_of_memory_named

        with out_of_memory_named(image):
            self._one(index, image)

    def _one(self, index: int, image: str) -> None:
        from netsurgery.io.npy import npy_bytes
        from netsurgery.maps.classmap import HoldsNaN
        from netsurgery.maps.image import read_picture

        picture = read_picture(image)
        try:
            found = self.mapper.map(picture, self.size)
        except HoldsNaN as error:
            values = error.values
            self.files.write(index, {"npy": lambda: npy_bytes(values)})  # to see where the NaN are
            raise
        written = self.files.write(
            index,
            {
                "npy": lambda: npy_bytes(found.values),
                "picture": lambda: _png(found, picture, self.class_),
            },
        )
        self.progress.clear()
        self.tell(found)
        if not self.files.to_stdout:
            self.show(index, found, written)

    def tell(self, found: ClassMap) -> None:
        """Notes on standard error, each once."""
        _, note = self.mapper.transformer.mean_for(found.geometry.placement.input)
        unplaced = f"the total stride of blob {found.blob!r} is not known: cells have no windows"
        unplaced = unplaced if self.as_json and found.windows() is None else ""
        for text in (self.mapper.note, note, unplaced):
            if text and text not in self.notes and not self.quiet:
                self.notes.add(text)
                echo_notes([text], err=True)

    def show(self, index: int, found: ClassMap, written: list[str]) -> None:
        """The map on standard output, and which files were written."""
        if self.as_json:
            # Else *.jpg may be one, or many; there is no stdout where it was closed at the start.
            pretty = self.total == 1 and sys.stdout is not None and sys.stdout.isatty()
            facts = {"engine": self.mapper.engine, **found.to_json(self.top_k)}
            echo_json_text(_json_text(facts, pretty))
        elif not self.quiet:
            if index:
                echo()
            _print(found, self.mapper.engine)
            for path in written:
                echo(f"wrote {path}")


def _png(found: ClassMap, picture: Picture, class_: str) -> bytes:
    from netsurgery.maps.heatmap import draw_png

    return draw_png(found, picture, found.find_class(class_))


def _json_text(facts: dict[str, Any], pretty: bool) -> str:
    """One line, or for people one line a cell."""
    if not pretty:
        return json.dumps(facts, allow_nan=False)
    cells = ",\n".join(f"    {json.dumps(cell, allow_nan=False)}" for cell in facts.pop("cells"))
    return f'{json.dumps(facts, indent=2)[:-2]},\n  "cells": [\n{cells}\n  ]\n}}'


def _print(found: ClassMap, engine: str) -> None:
    from netsurgery.maps.classmap import found_text, map_text

    color = stdout_in_color()
    (height, width), (rows, columns) = found.geometry.placement.input, found.shape
    name = "standard input" if found.image == "-" else found.image
    echo(f"{name}: input {height}x{width}, map {rows}x{columns} of {found.blob}, by {engine}")
    echo_colored(map_text(found, color))
    echo()
    echo_colored(found_text(found, color, cell))
