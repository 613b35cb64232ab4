"""``netsurgery features``: blobs of a net as arrays."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from netsurgery.cli.map_outputs import is_folder, make_folder, stems
from netsurgery.cli.options import (
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
    pixel_options,
    with_settings_file,
)
from netsurgery.cli.printing import cell, echo, echo_failed, echo_json, echo_notes, echo_table
from netsurgery.cli.progress import Progress
from netsurgery.engines.contract import EngineOptions
from netsurgery.errors import NetsurgeryError, OutputError
from netsurgery.formats.found_settings import merged
from netsurgery.formats.settings import Settings
from netsurgery.io.files import Outputs
from netsurgery.io.targets import check_outputs
from netsurgery.net.state import NetState

if TYPE_CHECKING:
    from netsurgery.maps.features import Extractor, Features
    from netsurgery.verbs.features import FeatureFile

__all__ = ["command"]


@click.command()
@click.argument(
    "images", metavar="IMAGE...", nargs=-1, required=True, type=click.Path(allow_dash=True)
)
@click.option(
    "--blob",
    "blobs",
    metavar="NAME",
    multiple=True,
    required=True,
    help="A blob to take; may be given several times.",
)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Where the arrays go: .npz, .h5 (HDF5), or .npy for one blob of one image.",
)
@click.option(
    "--picture",
    metavar="FILE.png",
    type=click.Path(),
    help="Draw the blob's channels as a grid; a folder for several images or blobs.",
)
@model_options
@state_options
@pixel_options
@picture_options
@trust_option
@engine_options
@json_option
@quiet_option
@force_option
def command(
    images: tuple[str, ...],
    blobs: tuple[str, ...],
    output: Path | None,
    picture: str | None,
    prototxt: Path | None,
    weights: Path | None,
    state: NetState,
    preprocess: Settings,
    fit: str,
    antialias: bool,
    size: Any,
    trust_config: bool | None,
    engine: EngineOptions,
    as_json: bool,
    quiet: bool,
    force: bool,
) -> None:
    """Save blobs of a net as arrays, with where their cells lie; - is standard input.

    NAME is an image's name without its ending (two of one name are told apart by the ending, or a
    number). An array is float32, C x H x W for a map. Its geometry is beside it, along height and
    width: image_size, input_size, resized and placed (how the image lies in the input), stride,
    offset and field (cell i depends on the input's pixels from offset + i x stride on, field of
    them, padding included), window (the pixels from i x stride on that a cell stands for). What is
    not known, or not so (cells that each see the whole picture), is left out, null in JSON.

    \b
    .npz  NAME/BLOB, and NAME/BLOB:stride and the like
    .h5   dataset /NAME/BLOB, with the geometry as attributes
    .npy  the array alone, and the geometry in FILE.json

    An image that cannot be read is told and left out, and the exit code is then 1; the outputs
    hold the others. If none can be read nothing is written. Flags win over NETSURGERY_*
    variables, and those over netsurgery.toml.

    \b
    Example:
      netsurgery features cat.jpg --blob ip1-conv -o features.npz --picture grid.png
    """
    from netsurgery.maps.features import open_extractor
    from netsurgery.verbs.features import feature_paths

    if output is None and picture is None:
        raise click.UsageError("give --output, --picture, or both")
    blobs = tuple(dict.fromkeys(blobs))
    settings = with_settings_file(
        merged(replace(settings_of_state(state), prototxt=prototxt, weights=weights), preprocess),
        trust_config,
        quiet,
    )
    extractor = open_extractor(settings, engine, blobs, fit=fit, antialias=antialias, state=state)
    if not quiet:
        echo_notes(extractor.mapper.net.net.notes, err=True)
    paths = feature_paths(output, len(images), len(blobs)) if output else []
    inputs = [str(path) for path in (settings.prototxt, settings.weights) if path]
    inputs += [image for image in images if image != "-"]
    names = [cell(name) for name in stems(images)]
    pictures = _Pictures.plan(picture, names, blobs, inputs, force)
    pictures.check(paths)
    sizes = {"net": extractor.mapper.net.size, "image": None}
    size = sizes[size] if isinstance(size, str) else size
    run = _Run(extractor, images, names, size, quiet, Progress(len(images), quiet))
    with ExitStack() as stack:
        stack.enter_context(extractor)
        outputs = stack.enter_context(Outputs(paths, inputs=inputs, force=force))
        run.all(stack, [outputs[path] for path in paths], pictures)
        pictures.write()
    run.tell(as_json, [str(path) for path in paths] + sorted(pictures.made))
    if run.failed:
        raise click.exceptions.Exit(1)


@dataclass
class _Pictures:
    """The grids: drawn one after another, written together at the end."""

    paths: dict[tuple[str, str], str]
    folder: str | None
    inputs: Sequence[str]
    force: bool
    made: dict[str, bytes] = field(default_factory=dict)

    @classmethod
    def plan(
        cls,
        given: str | None,
        names: Sequence[str],
        blobs: Sequence[str],
        inputs: Sequence[str],
        force: bool,
    ) -> _Pictures:
        """Name every picture: FILE.png for one, FOLDER/NAME_BLOB.png for several."""
        made = cls({}, None, inputs, force)
        if given is None:
            return made
        if not is_folder("--picture", given, ".png", len(names) * len(blobs), "pictures"):
            made.paths[names[0], blobs[0]] = given
            return made
        made.folder = given
        keys = [(name, blob) for name in names for blob in blobs]
        flat = [f"{name}_{cell(blob)}".replace("/", "-") + ".png" for name, blob in keys]
        for key, name in zip(keys, stems(flat), strict=True):
            made.paths[key] = str(Path(given, f"{name.removesuffix('.png')}.png"))
        return made

    def check(self, others: Sequence[Path]) -> None:
        """Refuse, before any work, outputs that must not be written."""
        later = self.folder is not None and not os.path.isdir(self.folder)
        pictures = [] if later else list(self.paths.values())
        check_outputs([*others, *pictures], inputs=self.inputs, force=self.force)

    def draw(self, name: str, features: Features) -> None:
        """Draw one blob of one image, if it is to be drawn."""
        path = self.paths.get((name, features.blob))
        if path is None:
            return
        from netsurgery.maps.grid import draw_grid_png

        shape = " x ".join(map(str, features.values.shape))
        image = "standard input" if features.image == "-" else Path(features.image).name
        facts = f"{image}: {shape} (channels x height x width)"
        self.made[path] = draw_grid_png(features.values, features.blob, facts)

    def write(self) -> None:
        """Write all that were drawn, together or not at all."""
        if self.folder is not None and self.made:
            make_folder(self.folder)
        with Outputs(list(self.made), inputs=self.inputs, force=self.force) as outputs:
            for path, content in self.made.items():
                outputs[path].write(content)


@dataclass
class _Run:
    """The images, one after another."""

    extractor: Extractor
    images: Sequence[str]
    names: Sequence[str]
    size: tuple[int, int] | None
    quiet: bool
    progress: Progress
    found: list[dict[str, Any]] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    notes: set[str] = field(default_factory=set)

    def all(self, stack: ExitStack, outputs: Sequence[Any], pictures: _Pictures) -> None:
        """Every image; one that fails is told and the others go on, unless it is the only one."""
        from netsurgery.verbs.features import feature_file

        self.extractor.mapper.load()  # what ails the model is told once
        with ExitStack() as inner:
            file = inner.enter_context(feature_file(outputs)) if outputs else None
            for name, image in zip(self.names, self.images, strict=True):
                self.progress.step(image)
                try:
                    self.one(name, image, file, pictures)
                except OutputError:
                    raise
                except NetsurgeryError as error:
                    if len(self.images) == 1:
                        raise
                    self.failed.append(image)
                    self.progress.clear()
                    echo_failed(image, error)
        self.progress.clear()
        if self.failed:
            echo(f"{len(self.failed)} of {len(self.images)} images failed", err=True)
        if not self.found:
            raise click.exceptions.Exit(1)

    def one(self, name: str, image: str, file: FeatureFile | None, pictures: _Pictures) -> None:
        from netsurgery.maps.image import out_of_memory_named, read_picture

        with out_of_memory_named(image):
            several = self.extractor.extract(read_picture(image), self.size)
            for features in several:
                pictures.draw(name, features)
        for features in several:
            if file is not None:
                file.add(name, features)
            self.found.append({"name": name, **features.to_json()})
        mapper = self.extractor.mapper
        for note in (mapper.note, mapper.transformer.mean_for(several[0].placement.input)[1]):
            if note and note not in self.notes and not self.quiet:
                self.notes.add(note)
                self.progress.clear()
                echo_notes([note], err=True)

    def tell(self, as_json: bool, outputs: list[str]) -> None:
        """What was written, on standard output."""
        if as_json:
            facts = {
                "engine": self.extractor.mapper.engine,
                "outputs": outputs,
                "features": self.found,
                "failed": self.failed,
            }
            echo_json(facts)
        elif not self.quiet:
            rows = [("image", "blob", "shape", "stride", "field", "offset")]
            rows += [(one["name"], one["blob"], *_row(one)) for one in self.found]
            echo_table(rows, "llrrrr")
            for path in outputs:
                echo(f"wrote {path}")


def _row(one: dict[str, Any]) -> list[str]:
    shape = " x ".join(map(str, one["shape"]))
    pairs = [one[key] for key in ("stride", "field", "offset")]
    return [shape, *("" if pair is None else f"{pair[0]:g}, {pair[1]:g}" for pair in pairs)]
