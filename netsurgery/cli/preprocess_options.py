"""Preprocessing options, which convert saves to netsurgery.toml and maps use."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from netsurgery.cli.command import LARGE, NET, PREPROCESSING, WordType, headed, useless
from netsurgery.cli.files import PROTOTXT, WEIGHTS, InputFile
from netsurgery.cli.options import NumberType
from netsurgery.cli.printing import echo
from netsurgery.errors import SettingsError
from netsurgery.formats.limits import MAX_LABELS
from netsurgery.formats.preprocess_values import parse_channel_swap
from netsurgery.formats.presets import PRESETS, Preset, find_preset
from netsurgery.formats.settings import PIXEL_KEYS, Settings
from netsurgery.io.size import parse_size

if TYPE_CHECKING:
    from netsurgery.net.state import NetState

__all__ = [
    "LABELS",
    "MAP_SIZE",
    "MAX_PIXELS",
    "PRESET",
    "TILE",
    "MeanType",
    "annotated_picture_options",
    "echo_model",
    "model_options",
    "picture_options",
    "pixel_options",
    "preprocess_options",
    "settings_of_options",
    "with_settings_file",
]

LABELS = InputFile("labels.txt", ".txt", most=MAX_LABELS)

F = TypeVar("F", bound=Callable[..., Any])


class MeanType(InputFile):
    """A mean: a file's path, or numbers with commas between."""

    name = "mean"

    def __init__(self) -> None:
        super().__init__("mean", ".npy", ".binaryproto")

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, tuple):
            return value
        try:
            # A file whose name is a number is named as ./104.
            numbers = tuple(float(part) for part in value.split(","))
        except ValueError:
            return super().convert(value, param, ctx)
        if not all(map(math.isfinite, numbers)):
            self.fail(f"{value!r} holds a number that is not finite", param, ctx)
        return numbers


def _preset(text: str) -> tuple[Preset, Path | None]:
    """``"bvlc"``, or ``"bvlc-mean=FILE"`` with the file."""
    name, equals, file = text.partition("=")
    try:
        preset = find_preset(name)
    except SettingsError as error:
        raise ValueError(str(error)) from None
    if equals and not (preset.mean_file and file):
        what = "the file's name" if preset.mean_file else "no file, as bvlc-mean=FILE does"
        raise ValueError(f"{text[:60]!r}: {name} takes {what}")
    return preset, Path(file) if file else None


#: A preset's name, with the file of its mean where it takes one.
PRESET = WordType("PRESET", _preset, PRESETS)


def _preprocessing(preset: tuple[Preset, Path | None] | None, values: dict[str, Any]) -> Settings:
    """The Settings of a preset and of single values, which win over it.

    But a preset of the command line wins over a variable's value. Raises click's UsageError for
    two means, or none where the preset needs one.
    """
    if preset is None:
        return Settings(**values)
    source = click.get_current_context().get_parameter_source
    if source("preset") is not ParameterSource.ENVIRONMENT:
        for key in PIXEL_KEYS:
            if source(key) is ParameterSource.ENVIRONMENT:
                values[key] = None
    named, mean = preset
    if named.mean_file and (mean is None) == (values["mean"] is None):
        raise click.UsageError(
            f"--preprocess {named.name} needs one mean, found {'none' if mean is None else 'two'}; "
            f"name its file, as in --preprocess {named.name}=mean.npy"
        )
    if mean is not None:
        values["mean"] = mean
    return Settings(**values, preprocess=named.name)


@headed(PREPROCESSING)
def pixel_options(command: F) -> F:
    """--preprocess, --mean, --raw-scale, --channel-swap, --input-scale.

    The command gets `preprocess`: Settings with those members alone, None where left out.
    """

    @click.option(
        "--preprocess",
        "preset",
        type=PRESET,
        envvar="NETSURGERY_PREPROCESS",
        help="Preprocessing preset: bvlc, bvlc-mean=FILE, rgb01, scaled or mobilenet, listed by "
        "`netsurgery presets`. The options below override its single values.",
    )
    @click.option(
        "--mean",
        metavar="FILE|B,G,R",
        type=MeanType(),
        envvar="NETSURGERY_MEAN",
        help="Mean to subtract after --raw-scale: a .npy or .binaryproto file, or one number per "
        "channel in the net's channel order.",
    )
    @click.option(
        "--raw-scale",
        type=NumberType(finite=True),
        metavar="X",
        envvar="NETSURGERY_RAW_SCALE",
        help="Factor for the pixel values, which are 0..1; 255 for most Caffe nets (default: "
        "none).",
    )
    @click.option(
        "--channel-swap",
        type=WordType("2,1,0", parse_channel_swap),
        envvar="NETSURGERY_CHANNEL_SWAP",
        help="Channel order: 2,1,0 or bgr turns RGB into BGR, which most Caffe nets expect "
        "(default: none).",
    )
    @click.option(
        "--input-scale",
        type=NumberType(finite=True),
        metavar="X",
        envvar="NETSURGERY_INPUT_SCALE",
        help="Factor applied after the mean is subtracted (default: none).",
    )
    @functools.wraps(command)
    def wrapped(
        *args: Any,
        preset: tuple[Preset, Path | None] | None,
        mean: Path | tuple[float, ...] | None,
        raw_scale: float | None,
        channel_swap: tuple[int, ...] | None,
        input_scale: float | None,
        **kwargs: Any,
    ) -> Any:
        values = {
            "mean": mean,
            "raw_scale": raw_scale,
            "channel_swap": channel_swap,
            "input_scale": input_scale,
        }
        return command(*args, preprocess=_preprocessing(preset, values), **kwargs)

    return wrapped  # type: ignore[return-value]


@headed(PREPROCESSING)
def preprocess_options(command: F) -> F:
    """`pixel_options` and --labels, which `preprocess` holds too."""

    @pixel_options
    @click.option(
        "--labels",
        metavar="FILE",
        type=LABELS,
        envvar="NETSURGERY_LABELS",
        help="File of class names, one per line.",
    )
    @functools.wraps(command)
    def wrapped(*args: Any, preprocess: Settings, labels: Path | None, **kwargs: Any) -> Any:
        return command(*args, preprocess=replace(preprocess, labels=labels), **kwargs)

    return wrapped  # type: ignore[return-value]


def settings_of_options(preprocess: Settings, state: NetState, **others: Any) -> Settings:
    """What a netsurgery.toml may say too, as far as options gave it.

    others: the options besides `pixel_options` and `state_options`, by the members of Settings.
    """
    from netsurgery.formats.found_settings import merged

    # Not `state.level`, which is 0 where it was left out.
    level = click.get_current_context().params.get("level")
    return merged(Settings(stages=state.stages or None, level=level, **others), preprocess)


def with_settings_file(flags: Settings, trust_config: bool | None) -> Settings:
    """`flags`, and what they leave out from the nearest netsurgery.toml."""
    from netsurgery.formats.found_settings import with_found

    return with_found(flags, Path(), trust=trust_config)


def echo_model(flags: Settings, settings: Settings) -> None:
    """Print, to standard error, which weights are used where the command line did not name any."""
    if flags.weights is None and settings.weights is not None:
        echo(f"model: {settings.weights} (from {settings.path})", err=True)


_SIZES = ("net", "image")


def _map_size(text: str) -> str | tuple[int, int]:
    if text.lower() in _SIZES:
        return text.lower()
    try:
        return parse_size(text)
    except ValueError as error:
        raise ValueError(f"{error}, net or image") from None


MAP_SIZE = WordType("net|image|HxW", _map_size, _SIZES)

_TILES = ("auto", "none")


def _tile(text: str) -> str | int:
    if text.lower() in _TILES:
        return text.lower()
    if not (text.isascii() and text.isdigit() and 0 < len(text) < 8 and int(text) > 0):
        raise ValueError(f"{text[:60]!r} is not a number of pixels from 1 up, auto or none")
    return int(text)


TILE = WordType("auto|none|PX", _tile, _TILES)


def _max_pixels(text: str) -> int:
    from netsurgery.maps.picture_limits import parse_pixels

    return parse_pixels(text)


MAX_PIXELS = WordType("N|HxW", _max_pixels)


@headed(NET)
def model_options(command: F) -> F:
    """--prototxt and --weights; the command gets `prototxt` and `weights`, None where left out."""
    prototxt = click.option(
        "--prototxt",
        metavar="FILE",
        type=PROTOTXT,
        envvar="NETSURGERY_PROTOTXT",
        help="Prototxt of the net (default: from netsurgery.toml in this folder or above).",
    )
    weights = click.option(
        "--weights",
        metavar="FILE",
        type=WEIGHTS,
        envvar="NETSURGERY_WEIGHTS",
        help="Caffemodel of the net (default: from netsurgery.toml).",
    )
    return prototxt(weights(command))


def _size_option(words: str, **more: Any) -> Callable[[Any], Any]:
    """--size; words: the end of its help. more: click's own options."""
    return click.option(
        "--size",
        type=MAP_SIZE,
        envvar="NETSURGERY_SIZE",
        help="Size of the net's input: net (from the prototxt), image (the image's own), or "
        f"HEIGHTxWIDTH{words}.",
        **more,
    )


@headed(PREPROCESSING)
def picture_options(command: F) -> F:
    """--fit, --antialias, --size and --tile: `size` of the command, PictureOptions.

    And --max-pixels, which holds while the command runs.
    """
    return _add_picture_options(command, _size_option("", default="net", show_default=True))


@headed(PREPROCESSING)
def annotated_picture_options(command: F) -> F:
    """The same for annotated pictures: without --size PictureOptions have none."""
    default = " (default: net; for images of one class each that of a cell's window)"
    return _add_picture_options(command, _size_option(default))


def _add_picture_options(command: F, size: Callable[[Any], Any]) -> F:
    for_resizing = useless(
        "with --size image, which resizes nothing", lambda values: values["size"] == "image"
    )
    fit = for_resizing(
        click.option(
            "--fit",
            type=click.Choice(["warp", "crop", "pad"]),
            default="warp",
            show_default=True,
            envvar="NETSURGERY_FIT",
            help="How to fit the image to the net's input: warp scales each side separately, as "
            "Caffe does; crop and pad keep the aspect ratio and crop the excess or pad with "
            "zeros.",
        )
    )
    antialias = for_resizing(
        click.option(
            "--antialias/--no-antialias",
            default=True,
            show_default=True,
            envvar="NETSURGERY_ANTIALIAS",
            help="Blur before shrinking, as caffe.io does with a current scikit-image; with those "
            "of Caffe's time it did not.",
        )
    )
    tile = headed(LARGE)(
        click.option(
            "--tile",
            type=TILE,
            default="auto",
            show_default=True,
            envvar="NETSURGERY_TILE",
            help="Run the net in overlapping tiles, with the same result: tiles of at most PX "
            "pixels a side, none, or auto, which uses tiles where the whole needs more than "
            "--max-memory.",
        )
    )

    most = headed(LARGE)(
        click.option(
            "--max-pixels",
            type=MAX_PIXELS,
            envvar="NETSURGERY_MAX_PIXELS",
            help="Pixels that an image may have, and an input in tiles that it is enlarged to, a "
            "number or HEIGHTxWIDTH (default: 134217728); an image that does not fit the memory is "
            "read in strips, by the extra netsurgery[huge].",
        )
    )

    @functools.wraps(command)
    def wrapped(
        *args: Any,
        size: Any,
        fit: Any,
        antialias: bool,
        tile: Any,
        max_pixels: int | None,
        **kwargs: Any,
    ) -> Any:
        from netsurgery.maps.picture_options import PictureOptions

        options = PictureOptions(size, fit, antialias, tile)
        if max_pixels is None:
            return command(*args, size=options, **kwargs)
        from netsurgery.maps.picture_limits import set_max_pixels

        set_max_pixels(max_pixels)
        try:
            return command(*args, size=options, **kwargs)
        finally:
            set_max_pixels(None)

    # click lists the outermost decorator's option first.
    return fit(antialias(size(tile(most(wrapped)))))  # type: ignore[no-any-return]
