"""Options that several commands share, each a decorator."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

from netsurgery.cli.command import BOXES, NET, OTHER, OUTPUT, WordType, headed, of_net, useless
from netsurgery.io.size import parse_size
from netsurgery.net.state import NetState, Phase

if TYPE_CHECKING:
    from pathlib import Path

    from netsurgery.net.net import Shape

__all__ = [
    "NAMED_SHAPE",
    "SIZE",
    "NumberType",
    "box_options",
    "draw_option",
    "dry_run_option",
    "force_option",
    "is_printed",
    "json_option",
    "map_blob_option",
    "output_option",
    "quiet_option",
    "seed_option",
    "state_options",
    "trust_option",
    "useless_without_boxes",
    "whole_numbers",
    "window_option",
]

F = TypeVar("F", bound=Callable[..., Any])


def whole_numbers(text: str, mark: str, most: int) -> tuple[int, ...]:
    """The numbers from 0 to `most` that are in `text` with `mark` between; () for all else."""
    parts = text.split(mark)
    # isdigit takes "²", and int() raises for more than 4300 digits.
    if not all(part.isascii() and part.isdigit() and len(part) <= 10 for part in parts):
        return ()
    numbers = tuple(map(int, parts))
    return numbers if max(numbers) <= most else ()


def _named_shape(text: str) -> tuple[str, Shape]:
    blob, _, dims = text.rpartition("=")
    shape = whole_numbers(dims.lower(), "x", 1_000_000)
    if not (blob and shape and all(shape)):
        raise ValueError(f"{text!r} is not BLOB=NxCxHxW, as in data=1x3x227x227")
    return blob, shape


SIZE = WordType("HxW", parse_size)
NAMED_SHAPE = WordType("BLOB=NxCxHxW", _named_shape)


class LevelType(click.IntRange):
    """An int32, as in Caffe; its range is not shown in the help."""

    def __init__(self) -> None:
        super().__init__(-(2**31), 2**31 - 1)

    def _describe_range(self) -> str:
        return ""


class NumberType(click.FloatRange):
    """A number in a range; NaN, which click takes for inside any range, is not.

    finite: infinity, which is not a value of a pixel, is not either.
    """

    def __init__(self, *, finite: bool = False, **limits: Any) -> None:
        super().__init__(**limits)
        self._finite = finite

    def _describe_range(self) -> str:
        limited = self.min is not None or self.max is not None
        return super()._describe_range() if limited else ""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if math.isnan(number) or (self._finite and math.isinf(number)):
            self.fail(f"{value!r} is not a{' finite' if self._finite else ''} number", param, ctx)
        return number


def is_printed(*outputs: Path | str | None, as_json: bool, dry_run: bool = False) -> bool:
    """Whether one of the outputs goes to standard output, as none does in a dry run.

    Raises click's UsageError where --json does so too.
    """
    from netsurgery.io.targets import STDOUT

    printed = STDOUT in map(str, outputs) and not dry_run
    if printed and as_json:
        raise click.UsageError("--json and a file cannot both go to standard output")
    return printed


def seed_option(text: str) -> Callable[[F], F]:
    """--seed, with `text` as its help; the command gets `seed`."""
    return click.option(
        "--seed",
        type=click.IntRange(min=0),
        default=0,
        show_default=True,
        metavar="N",
        help=text,
    )


@headed(NET)
def state_options(command: F) -> F:
    """--phase, --stage, --level and --input-shape: how a net is read; the command gets `state`."""

    @click.option(
        "--phase",
        type=click.Choice(["TEST", "TRAIN"], case_sensitive=False),
        default="TEST",
        show_default=True,
        help="Phase to use when the net has phase rules.",
    )
    @click.option(
        "--stage",
        "stages",
        metavar="NAME",
        multiple=True,
        help="Stage for the include and exclude rules of layers; repeatable.",
    )
    @click.option(
        # No default: netsurgery.toml may have a level, which an explicit 0 overrides.
        "--level",
        type=LevelType(),
        metavar="N",
        help="Level for the min_level and max_level rules of layers  [default: 0]",
    )
    @click.option(
        "--input-shape",
        "input_shapes",
        type=NAMED_SHAPE,
        multiple=True,
        shell_complete=of_net("complete_input_shape"),
        help="Shape of an input, of a data layer's top, or of a blob whose shape cannot be "
        "inferred; repeatable.",
    )
    @functools.wraps(command)
    def wrapped(
        *args: Any,
        phase: Phase,
        stages: tuple[str, ...],
        level: int | None,
        input_shapes: tuple[tuple[str, Shape], ...],
        **kwargs: Any,
    ) -> Any:
        # The last of a blob counts, as of an option that is given twice.
        shapes = tuple(dict(input_shapes).items())
        state = NetState(phase, level or 0, stages, shapes)
        return command(*args, state=state, **kwargs)

    return wrapped  # type: ignore[return-value]


def window_option(command: F) -> F:
    """--window of a map; the command gets `window`, None where it was left out."""
    return click.option(
        "--window",
        type=SIZE,
        envvar="NETSURGERY_WINDOW",
        help="Input size of the classifier before conversion (default: from netsurgery.toml, else "
        "inferred from the net; else the receptive field of a cell).",
    )(command)


def map_blob_option(command: F) -> F:
    """--blob of a map; the command gets `blob`, None where it was left out."""
    return click.option(
        "--blob",
        metavar="NAME",
        envvar="NETSURGERY_BLOB",
        shell_complete=of_net("complete_blob"),
        help="Blob with the map (default: the top of the last layer, or what it looks at if it is "
        "an ArgMax).",
    )(command)


@headed(OTHER)
def trust_option(command: F) -> F:
    """--trust-config and --ignore-config; the command gets `trust_config`, None for neither."""
    return click.option(
        "--trust-config/--ignore-config",
        "trust_config",
        default=None,
        help="Use the nearest netsurgery.toml even if other users can change it, or use none "
        "(default: use it if only you can change it).",
    )(command)


def output_option(*names: str, **attrs: Any) -> Callable[[F], F]:
    """An option that stands with the others about outputs in the help."""
    return headed(OUTPUT)(click.option(*names, **attrs))


def draw_option(text: str) -> Callable[[F], F]:
    """--draw, with `text` as its help; the command gets `draw`."""
    from netsurgery.cli.files import DRAWING

    return output_option("--draw", metavar="FILE", type=DRAWING, help=text)


def dry_run_option(command: F) -> F:
    """--dry-run; the command gets `dry_run`."""
    text = "Show what would be done, with a diff of the prototxt if it changes; write nothing."
    return output_option("--dry-run", is_flag=True, help=text)(command)


def json_option(command: F) -> F:
    """--json; the command gets `as_json`."""
    return output_option("--json", "as_json", is_flag=True, help="Print the result as JSON.")(
        command
    )


def quiet_option(command: F) -> F:
    """-q; the command gets `quiet`."""
    return output_option("-q", "--quiet", is_flag=True, help="Print errors only.")(command)


@useless("with -o -, which is standard output", lambda values: _printed_alone(values))
def force_option(command: F) -> F:
    """--force; the command gets `force`."""
    return output_option("--force", is_flag=True, help="Overwrite existing outputs.")(command)


def _printed_alone(values: Mapping[str, Any]) -> bool:
    """Whether standard output is the one output; edit may write a prototxt beside the weights."""
    output = values.get("output") or values.get("weights_out")
    return str(output) == "-" and "prototxt_out" not in values


useless_without_boxes = useless("without --boxes", lambda values: not values["boxes"])


def _box_scales(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"{text[:60]!r} is not X,X, as in 0.5,1,2") from None


_THRESHOLD = click.option(
    "--threshold",
    type=NumberType(finite=True),
    metavar="X",
    help="With --boxes: the least score of a cell's class for a box (default: 0.5, of "
    "probabilities).",
)
_OVERLAP = click.option(
    "--overlap",
    type=NumberType(min=0, max=1),
    default=0.3,
    show_default=True,
    metavar="X",
    help="With --boxes: of two boxes of a class that share more than this part of their union, "
    "drop the one of the lower score.",
)
_BOX_SCALES = click.option(
    "--box-scales",
    type=WordType("X,X", _box_scales),
    default="1",
    show_default=True,
    help="With --boxes: factors of the input's size at which boxes are looked for, together.",
)


@headed(BOXES)
def box_options(command: F) -> F:
    """--threshold, --overlap and --box-scales; the command gets values of these names."""
    # Decorators apply from the last.
    for option in (_BOX_SCALES, _OVERLAP, _THRESHOLD):
        command = useless_without_boxes(option)(command)
    return command
