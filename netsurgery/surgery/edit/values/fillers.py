"""Caffe's fillers as values: ``conv1[0]=msra:seed=1`` draws what `init` would draw.

A part of a param gets the values that the whole of it would have there.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from netsurgery.errors import SurgeryError
from netsurgery.io.memory import empty
from netsurgery.surgery.edit.session import refusal
from netsurgery.surgery.edit.targets import part_of
from netsurgery.surgery.edit.values.record import (
    Form,
    NewValues,
    Part,
    Value,
    number_options,
    parse_options,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from netsurgery.surgery.fillers import Filler

__all__ = ["VALUES"]

_SEED = re.compile(r"[0-9]{1,18}")
_SPARSE = re.compile(r"-1|[0-9]{1,9}")


def _compute(name: str, part: Part, text: str) -> NewValues:
    from netsurgery.surgery.fillers import why_not

    options = parse_options(name, text)
    known = _OPTIONS[name]
    for option in options:
        if option not in known:
            raise SurgeryError(f"{name} has no option {option!r}; it takes {', '.join(known)}")
    seed = _seed(name, options.pop("seed", "0"))
    filler = _filler(name, options)
    # A param without axes is one output of one input.
    shape = part.shape or (1,)
    why = why_not(filler, shape)
    if why:
        raise refusal(part.target.layer, f"param {part.target.index}: {why}")
    # Always the whole param, so that a part gets the numbers that the whole would have there.
    whole = _filled(filler, part, seed)
    random = name != "constant"
    return NewValues(
        part_of(whole, part.target),
        f"{name}, seed {seed}" if random else "",
        seed if random else None,
    )


def _filled(filler: Filler, part: Part, seed: int) -> NDArray[np.float32]:
    from netsurgery.surgery.fillers import fill, stream_key

    layer, index = part.layer, part.target.index
    whole: NDArray[np.float32] = empty(
        part.shape, "f4", f"layer {layer.name!r}: {filler.type} for its param {index}"
    )
    flat = whole.reshape(-1)
    start = 0
    for piece in fill(filler, part.shape or (1,), seed, stream_key(layer, index)):
        flat[start : start + piece.size] = piece
        start += piece.size
    return whole


def _seed(name: str, text: str) -> int:
    if not _SEED.fullmatch(text):
        raise SurgeryError(f"{name}: seed={text}, expected a whole number, 0 or more")
    return int(text)


def _filler(name: str, options: dict[str, str]) -> Filler:
    from netsurgery.surgery.fillers import VARIANCE_NORMS, Filler

    filler = Filler(name)
    norm = options.pop("variance_norm", filler.variance_norm).upper()
    if norm not in VARIANCE_NORMS:
        expected = ", ".join(VARIANCE_NORMS)
        raise SurgeryError(f"{name}: variance_norm={norm}, expected one of {expected}")
    sparse = options.pop("sparse", "-1")
    if not _SPARSE.fullmatch(sparse):
        raise SurgeryError(f"{name}: sparse={sparse}, expected a whole number")
    numbers: dict[str, Any] = number_options(name, options)
    return replace(filler, variance_norm=norm, sparse=int(sparse), **numbers)


_NORM = "fan_in (the default), fan_out or average"

#: Filler -> (syntax, help, example).
_FORMS = {
    "constant": ("constant:value=V", "The value V, 0 by default.", "constant:value=0.1"),
    "gaussian": (
        "gaussian:std=S[,mean=M,sparse=N,seed=K]",
        "Normal with standard deviation S; sparse: about N values of an output are not 0.",
        "gaussian:std=0.01,seed=1",
    ),
    "uniform": (
        "uniform[:min=A,max=B,seed=K]",
        "Uniform from A (0 by default) to B (1).",
        "uniform:min=-0.1,max=0.1,seed=1",
    ),
    "xavier": (
        "xavier[:variance_norm=NORM,seed=K]",
        f"Uniform with variance 1 / n (Glorot and Bengio 2010); n: {_NORM}.",
        "xavier:seed=1",
    ),
    "msra": (
        "msra[:variance_norm=NORM,seed=K]",
        f"Normal with variance 2 / n (He et al. 2015); n: {_NORM}.",
        "msra:seed=1",
    ),
    "positive_unitball": (
        "positive_unitball[:seed=K]",
        "Uniform and positive; the values of each output sum to 1.",
        "positive_unitball:seed=1",
    ),
}

_OPTIONS: dict[str, tuple[str, ...]] = {
    "constant": ("value",),
    "gaussian": ("mean", "std", "sparse", "seed"),
    "uniform": ("min", "max", "seed"),
    "xavier": ("variance_norm", "seed"),
    "msra": ("variance_norm", "seed"),
    "positive_unitball": ("seed",),
}

VALUES = tuple(
    Value(name, partial(_compute, name), (Form(syntax, text),), example, _OPTIONS[name])
    for name, (syntax, text, example) in _FORMS.items()
)
