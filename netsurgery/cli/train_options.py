"""The options of `train plan`: which cells are of an object, chance, and how weights change.

`evaluate` has the first of them, too.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import click

from netsurgery.cli.command import CHANCE, OWN, SOLVER, TRAINING, TRUTH, WordType, headed, of_net
from netsurgery.cli.options import NumberType

__all__ = ["augmentation_options", "net_options", "rule_options", "solver_options", "truth_options"]

F = TypeVar("F", bound=Callable[..., Any])


def _range(text: str) -> tuple[float, float]:
    """``"0.7-1.4"``: the least and the most."""
    low, dash, high = text.partition("-")
    try:
        if dash:
            return float(low), float(high)
    except ValueError:
        pass
    raise ValueError(f"{text[:60]!r} is not LOW-HIGH, as in 0.7-1.4")


RANGE = WordType("LOW-HIGH", _range)
SHARE = NumberType(min=0, max=1)


@headed(TRUTH)
def truth_options(command: F) -> F:
    """--near, --far, --scale and --mask; the command gets `rules`."""

    @click.option(
        "--near",
        type=NumberType(min=0, finite=True),
        default=0.15,
        show_default=True,
        metavar="X",
        help="A cell is of an object's class where the object's center is at most so far from its "
        "window's, as a part of the window's size.",
    )
    @click.option(
        "--far",
        type=NumberType(min=0, finite=True),
        default=0.3,
        show_default=True,
        metavar="X",
        help="A cell is background where no object's center is as near as this; those in between "
        "do not count.",
    )
    @click.option(
        "--scale",
        type=RANGE,
        default="0.7-1.4",
        show_default=True,
        help="Sizes of objects, as parts of the window's size, whose class a cell may be of.",
    )
    @click.option(
        "--mask",
        type=click.Choice(["center", "majority"]),
        default="center",
        show_default=True,
        help="With masks: the class of a cell is that of the pixel at its window's center, or of "
        "most of the window's pixels.",
    )
    @functools.wraps(command)
    def wrapped(
        *args: Any, near: float, far: float, scale: tuple[float, float], mask: Any, **kwargs: Any
    ) -> Any:
        from netsurgery.training.truth import TruthRules

        return command(*args, rules=TruthRules(near, far, scale, mask), **kwargs)

    return wrapped  # type: ignore[return-value]


@headed(TRUTH)
def rule_options(command: F) -> F:
    """The same, and --background; the command gets `rules` and `background`."""
    background = click.option(
        "--background",
        type=SHARE,
        default=0.15,
        show_default=True,
        metavar="X",
        help="Share of the background's cells that count in each step.",
    )
    return truth_options(background(command))


@headed(CHANCE)
def augmentation_options(command: F) -> F:
    """--flip, --scales, --color and --around; the command gets `augmentation`."""

    @click.option("--flip", is_flag=True, help="Mirror pictures left to right half of the time.")
    @click.option(
        "--scales",
        type=RANGE,
        default="0.9-1.1",
        show_default=True,
        help="Factors that pictures are scaled by at random.",
    )
    @click.option(
        "--color",
        type=SHARE,
        default=0.1,
        show_default=True,
        metavar="X",
        help="Change brightness, contrast and saturation at random by up to this part.",
    )
    @click.option(
        "--around",
        type=SHARE,
        default=0.5,
        show_default=True,
        metavar="X",
        help="Share of the crops that are made around an object.",
    )
    @functools.wraps(command)
    def wrapped(
        *args: Any,
        flip: bool,
        scales: tuple[float, float],
        color: float,
        around: float,
        **kwargs: Any,
    ) -> Any:
        from netsurgery.training.augment import Augmentation

        return command(*args, augmentation=Augmentation(flip, scales, color, around), **kwargs)

    return wrapped  # type: ignore[return-value]


@headed(TRAINING)
def net_options(command: F) -> F:
    """--batch, --balance and --background-weight, and what of the net is trained."""

    @click.option(
        "--batch",
        type=click.IntRange(1, 4096),
        default=8,
        show_default=True,
        metavar="N",
        help="Images a step.",
    )
    @click.option(
        "--balance",
        is_flag=True,
        help="Weigh each class by how rare its cells are, by an InfogainLoss.",
    )
    @click.option(
        "--background-weight",
        type=NumberType(min=0.01, max=100),
        default=1.0,
        show_default=True,
        metavar="X",
        help="Have a background cell's loss count X times as much as another's, by an "
        "InfogainLoss: more for fewer false finds and more misses.",
    )
    @click.option(
        "--keep-outputs",
        is_flag=True,
        help="Keep the net's outputs, with their weights, and add one behind them for each class "
        "that its labels do not have (default: the last layer begins from scratch).",
    )
    @click.option(
        "--keep-auxiliary", is_flag=True, help="Train the classifiers on the way to the last, too."
    )
    @click.option(
        "--freeze",
        metavar="NAME,NAME",
        shell_complete=of_net("complete_layers"),
        help="Layers that stay as they are.",
    )
    @click.option(
        "--train-batch-norm",
        is_flag=True,
        help="Take BatchNorm's statistics from each batch (default: they stay as they are).",
    )
    @functools.wraps(command)
    def wrapped(*args: Any, freeze: str | None, **kwargs: Any) -> Any:
        names = [] if freeze is None else [name.strip() for name in freeze.split(",")]
        return command(*args, freeze=names, **kwargs)

    return wrapped  # type: ignore[return-value]


@headed(SOLVER)
def solver_options(command: F) -> F:
    """--rate, --steps, --drop, --momentum, --decay and --seed; the command gets `solver`."""

    @click.option(
        "--rate",
        type=NumberType(min=0, min_open=True, finite=True),
        default=0.001,
        show_default=True,
        metavar="X",
        help="Learning rate.",
    )
    @click.option(
        "--steps",
        type=click.IntRange(1, 2**31 - 1),
        default=1000,
        show_default=True,
        metavar="N",
        help="Steps, each with a batch.",
    )
    @click.option(
        "--drop",
        type=click.IntRange(1, 2**31 - 1),
        metavar="N",
        help="Make the rate a tenth each time after N steps (default: keep it).",
    )
    @click.option(
        "--momentum",
        type=NumberType(min=0, max=1, max_open=True),
        default=0.9,
        show_default=True,
        metavar="X",
        help="Part of the last change that is added to the next.",
    )
    @click.option(
        "--decay",
        type=NumberType(min=0, finite=True),
        default=0.0005,
        show_default=True,
        metavar="X",
        help="Weight decay.",
    )
    @headed(OWN)(
        click.option(
            "--seed",
            type=click.IntRange(0, 2**31 - 1),
            default=1,
            show_default=True,
            metavar="N",
            help="Seed of all that is left to chance.",
        )
    )
    @functools.wraps(command)
    def wrapped(
        *args: Any,
        rate: float,
        steps: int,
        drop: int | None,
        momentum: float,
        decay: float,
        seed: int,
        **kwargs: Any,
    ) -> Any:
        from netsurgery.training.solver_text import SolverSettings

        solver = SolverSettings(rate, steps, drop, momentum, decay, seed)
        return command(*args, solver=solver, **kwargs)

    return wrapped  # type: ignore[return-value]
