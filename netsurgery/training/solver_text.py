"""The solver's prototxt: stochastic gradient descent with momentum, as Caffe's SolverParameter."""

from __future__ import annotations

from dataclasses import dataclass

from netsurgery.errors import NetError
from netsurgery.formats.prototxt import quoted
from netsurgery.io.argument_types import checks_arguments
from netsurgery.io.wording import argument

__all__ = ["SolverSettings", "solver_text"]

#: A seed is an int64 in Caffe, of which its random numbers take 32 bits.
MAX_SEED = 2**31 - 1


@checks_arguments()
@dataclass(frozen=True)
class SolverSettings:
    """How weights are changed, step by step.

    rate: of learning, at the beginning (base_lr). steps: how many. drop: after how many steps the
    rate becomes a tenth, again and again; None to keep it. momentum: what part of the last change
    is added to the next. decay: of weights (weight_decay). seed: of Caffe's random numbers.
    Raises NetError for a number that cannot be.

    >>> SolverSettings(rate=0.001, steps=800).momentum
    0.9
    """

    rate: float = 0.001
    steps: int = 1000
    drop: int | None = None
    momentum: float = 0.9
    decay: float = 0.0005
    seed: int = 1

    def __post_init__(self) -> None:
        _expect(0 < self.rate < float("inf"), argument("--rate"), self.rate, "a number above 0")
        _expect(0 < self.steps < 2**31, argument("--steps"), self.steps, "a number from 1 on")
        drop = self.drop is None or 0 < self.drop < 2**31
        _expect(drop, argument("--drop"), self.drop, "a number from 1 on")
        _expect(
            0 <= self.momentum < 1,
            argument("--momentum"),
            self.momentum,
            "a number from 0 to below 1",
        )
        _expect(
            0 <= self.decay < float("inf"), argument("--decay"), self.decay, "a number from 0 on"
        )
        _expect(
            0 <= self.seed <= MAX_SEED,
            argument("--seed"),
            self.seed,
            f"a number from 0 to {MAX_SEED}",
        )


def _expect(holds: bool, option: str, value: object, expected: str) -> None:
    if not holds:
        raise NetError(f"{option}: found {value}, expected {expected}")


def solver_text(settings: SolverSettings, *, net: str | None = None) -> str:
    """The solver's prototxt. It takes no snapshots by itself.

    net: the file with the training net, None where that is given besides.

    >>> print(solver_text(SolverSettings(rate=0.01, steps=100, drop=60)).splitlines()[0])
    base_lr: 0.01
    """
    policy = (
        ['lr_policy: "fixed"']
        if settings.drop is None
        else ['lr_policy: "step"', f"stepsize: {settings.drop}", "gamma: 0.1"]
    )
    lines = [
        *([] if net is None else [f"net: {quoted(net)}"]),
        f"base_lr: {settings.rate:.9g}",
        *policy,
        f"momentum: {settings.momentum:.9g}",
        f"weight_decay: {settings.decay:.9g}",
        f"max_iter: {settings.steps}",
        f"random_seed: {settings.seed}",
        "display: 0",
        # Only when it is asked for.
        "snapshot: 0",
        "snapshot_after_train: false",
        'type: "SGD"',
    ]
    return "".join(f"{line}\n" for line in lines)
