"""The options of how a class map is drawn: --class and --background, --layout and the like."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from netsurgery.cli.command import BETWEEN, PICTURE, WordType, headed, of_net, useless
from netsurgery.cli.explain_options import explains
from netsurgery.cli.files import InputFile
from netsurgery.cli.output_options import useless_without_output
from netsurgery.maps.class_names import EACH, LIKELIEST
from netsurgery.maps.picture_look import LEAST_WIDTH, MOST_WIDTH, PictureLook, value_range

__all__ = [
    "background_option",
    "class_option",
    "map_picture_options",
    "scales_options",
    "upsample_option",
]

F = TypeVar("F", bound=Callable[..., Any])


def background_option(command: F) -> F:
    """--background; the command gets `background`, None where it was left out."""
    nothing_shown = useless(
        "with -q, which prints no map, and without --json, --zarr, --picture, --html or --boxes",
        lambda values: (
            values["quiet"]
            and not any(values[name] for name in ("as_json", "zarr", "picture", "html", "boxes"))
        ),
    )
    add_option: Callable[[F], F] = click.option(
        "--background",
        metavar="N|LABEL|none",
        envvar="NETSURGERY_BACKGROUND",
        shell_complete=of_net("complete_class"),
        help="Class of all that is not looked for, which pictures and pages do not paint and which "
        "gives no box (default: from netsurgery.toml, else, but for boxes, the class that more "
        "than half of the cells show, if others show another).",
    )
    return nothing_shown(add_option)(command)


_CLASS = click.option(
    "--class",
    "class_",
    metavar="N|LABEL|max|each",
    default=LIKELIEST,
    show_default=True,
    envvar="NETSURGERY_CLASS",
    shell_complete=of_net("complete_class"),
    help="Class to draw as heat, by number or label; several with commas between, each in its "
    "color; each for a picture of every class found; max for the likeliest class of each cell. "
    "--html shows the class, or the first of several, until another is chosen; in --geotiff each "
    "of them has a band.",
)
_LAYOUT = useless("with --class each, which has a layout of its own", lambda it: _is_each(it))(
    click.option(
        "--layout",
        type=click.Choice(["overlay", "panels", "map"]),
        default="overlay",
        show_default=True,
        help="overlay: one large picture, the map on the image in grey. panels: the image, the "
        "overlay and the map in a row. map: the map alone, in the image's frame.",
    )
)
_WIDTH = click.option(
    "--width",
    type=click.IntRange(LEAST_WIDTH, MOST_WIDTH),
    metavar="PX",
    help="Width of the picture in pixels (default: what suits the image, 1200 at most).",
)
_ALPHA = useless(
    "with --layout map and one class, whose heat is on no image",
    lambda values: values["layout"] == "map" and _is_one(values),
)(
    click.option(
        "--alpha",
        type=click.FloatRange(0, 1),
        metavar="X",
        default=0.7,
        show_default=True,
        help="How opaque a cell is at most, 0 to 1.",
    )
)
_SMOOTH = click.option(
    "--smooth", is_flag=True, help="Interpolate colors bilinearly between the cells' centers."
)
_RANGE = click.option(
    "--range",
    "range_",
    type=WordType("LOW,HIGH", value_range),
    help="Values at the ends of the scale, the same for pictures to be compared (default: 0,1 for "
    "probabilities, else the map's own).",
)
_FONT = click.option(
    "--font",
    type=InputFile("font", ".ttf", ".otf", ".ttc"),
    envvar="NETSURGERY_FONT",
    help="TrueType or OpenType font of the text (default: Pillow's own, and DejaVu or Noto, if "
    "installed, for labels that it cannot show; labels no font has are spelled in ASCII).",
)


@headed(PICTURE)
def map_picture_options(command: F) -> F:
    """What a picture looks like; the command gets `look`."""

    @functools.wraps(command)
    def wrapped(
        *args: Any,
        layout: Any,
        width: int | None,
        alpha: float,
        smooth: bool,
        range_: tuple[float, float] | None,
        font: Path | None,
        **kwargs: Any,
    ) -> Any:
        look = PictureLook(layout, width, alpha, smooth, range_, font)
        return command(*args, look=look, **kwargs)

    decorated: Any = wrapped
    of_picture = useless_without_output("look")
    # Decorators apply from the last.
    for option in (_FONT, _RANGE, _SMOOTH, _ALPHA, _WIDTH, _LAYOUT):
        decorated = of_picture(option)(decorated)
    return decorated  # type: ignore[no-any-return]


def class_option(command: F) -> F:
    """--class; the command gets `class_`."""
    of_page = useless(
        "with --html and no --picture: the page has every class found to choose from",
        lambda values: (
            _is_each(values) and values["html"] and not (values["picture"] or values["geotiff"])
        ),
    )
    return of_page(useless_without_output("class_", unless=explains)(_CLASS))(command)


def _is_each(values: Mapping[str, Any]) -> bool:
    return str(values["class_"]).strip().casefold() == EACH


def _is_one(values: Mapping[str, Any]) -> bool:
    """Whether one class is drawn, as far as the words say: a label may have commas."""
    name = str(values["class_"]).strip().casefold()
    return name not in (EACH, LIKELIEST) and "," not in name


def _parsed_scales(text: str) -> tuple[float, ...]:
    from netsurgery.maps.scales import parse_scales

    return parse_scales(text)


_SCALES = click.option(
    "--scales",
    type=WordType("S,S", _parsed_scales),
    help="Map the image at several scales, as in 0.7,1,1.4, and give the mean of the maps at the "
    "windows of scale 1, or of the largest where 1 is not among them.",
)
_COMBINE = useless("without --scales", lambda values: not values["scales"])(
    click.option(
        "--combine",
        type=click.Choice(["mean", "max"]),
        default="mean",
        show_default=True,
        help="With --scales: the mean of the maps, or the largest score of each class.",
    )
)


@headed(BETWEEN)
def scales_options(command: F) -> F:
    """--scales and --combine; the command gets `scales`, None for one map."""

    @functools.wraps(command)
    def wrapped(*args: Any, scales: tuple[float, ...] | None, combine: Any, **kwargs: Any) -> Any:
        if scales is None:
            return command(*args, scales=None, **kwargs)
        from netsurgery.maps.scales import Scales

        return command(*args, scales=Scales(scales, combine), **kwargs)

    decorated: Any = wrapped
    return _SCALES(_COMBINE(decorated))  # type: ignore[no-any-return]


upsample_option = headed(BETWEEN)(
    useless_without_output("upsample")(
        click.option(
            "--upsample",
            type=click.Choice(["pixels"]),
            help="In --npy, --geotiff and --picture: the scores of every pixel of the image, "
            "interpolated bilinearly between the centers of the cells' windows; NaN, or not drawn, "
            "more than half a stride beyond the outermost.",
        )
    )
)
