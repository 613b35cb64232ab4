"""How pictures are made ready for the net: options that convert writes down and maps use."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import click

from netsurgery.cli.options import FILE_PATH, FilePathType, WordType, whole_numbers
from netsurgery.cli.printing import echo
from netsurgery.formats.settings import Settings, find_settings, load_settings

__all__ = ["merged", "pixel_options", "preprocess_options", "with_settings_file"]

F = TypeVar("F", bound=Callable[..., Any])


class MeanType(FilePathType):
    """A mean: a file's path, or numbers with commas between."""

    name = "mean"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, tuple):
            return value
        try:
            numbers = tuple(float(part) for part in value.split(","))
        except ValueError:
            return super().convert(value, param, ctx)
        if not all(map(math.isfinite, numbers)):
            self.fail(f"{value!r} holds a number that is not finite", param, ctx)
        return numbers


def channels(text: str) -> tuple[int, ...]:
    """``"2,1,0"`` is (2, 1, 0): each of 0, 1, ... once. Raises ValueError."""
    order = whole_numbers(text, ",", 1_000_000)
    if not order or sorted(order) != list(range(len(order))):
        raise ValueError(f"{text!r} is not each channel once, as in 2,1,0")
    return order


def pixel_options(command: F) -> F:
    """--mean, --raw-scale, --channel-swap, --input-scale.

    The command gets `preprocess`: Settings with those members alone, None where not given.
    """

    @click.option(
        "--mean",
        metavar="FILE|B,G,R",
        type=MeanType(),
        envvar="NETSURGERY_MEAN",
        help="Subtracted after --raw-scale: a .npy or .binaryproto file, or a number a channel "
        "in the net's own order.",
    )
    @click.option(
        "--raw-scale",
        type=float,
        metavar="X",
        envvar="NETSURGERY_RAW_SCALE",
        help="Multiplies pixels, which are 0..1; 255 for most of Caffe's nets (default: none).",
    )
    @click.option(
        "--channel-swap",
        type=WordType("2,1,0", channels),
        envvar="NETSURGERY_CHANNEL_SWAP",
        help="The order of channels; 2,1,0 makes RGB the BGR of most of Caffe's nets "
        "(default: none).",
    )
    @click.option(
        "--input-scale",
        type=float,
        metavar="X",
        envvar="NETSURGERY_INPUT_SCALE",
        help="Multiplies what is left after the mean (default: none).",
    )
    @functools.wraps(command)
    def wrapped(
        *args: Any,
        mean: Path | tuple[float, ...] | None,
        raw_scale: float | None,
        channel_swap: tuple[int, ...] | None,
        input_scale: float | None,
        **kwargs: Any,
    ) -> Any:
        preprocess = Settings(
            mean=mean,
            raw_scale=_finite("--raw-scale", raw_scale),
            channel_swap=channel_swap,
            input_scale=_finite("--input-scale", input_scale),
        )
        return command(*args, preprocess=preprocess, **kwargs)

    return wrapped  # type: ignore[return-value]


def preprocess_options(command: F) -> F:
    """`pixel_options` and --labels, which `preprocess` holds too."""

    @pixel_options
    @click.option(
        "--labels",
        metavar="FILE",
        type=FILE_PATH,
        envvar="NETSURGERY_LABELS",
        help="The classes' names, one a line.",
    )
    @functools.wraps(command)
    def wrapped(*args: Any, preprocess: Settings, labels: Path | None, **kwargs: Any) -> Any:
        return command(*args, preprocess=replace(preprocess, labels=labels), **kwargs)

    return wrapped  # type: ignore[return-value]


def _finite(option: str, value: float | None) -> float | None:
    if value is not None and not math.isfinite(value):
        raise click.BadParameter(f"{value} is not a finite number", param_hint=repr(option))
    return value


def merged(over: Settings, under: Settings) -> Settings:
    """`over`, and what it leaves out from `under`."""
    names = Settings.__dataclass_fields__
    values = {name: getattr(over, name) for name in names}
    return Settings(
        **{name: getattr(under, name) if v is None else v for name, v in values.items()}
    )


def with_settings_file(given: Settings, quiet: bool) -> Settings:
    """`given`, and what it leaves out from the nearest netsurgery.toml."""
    path = find_settings(Path())
    if path is None:
        return given
    settings = merged(given, load_settings(path))
    if given.weights is None and settings.weights is not None and not quiet:
        echo(f"model: {settings.weights} (from {path})", err=True)
    return settings
