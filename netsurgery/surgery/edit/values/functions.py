"""Values computed from those that a param has: zero, clip, normalize, prune."""

from __future__ import annotations

import math

from netsurgery.errors import SurgeryError
from netsurgery.net import types
from netsurgery.surgery.edit.values.record import (
    Form,
    NewValues,
    Part,
    Value,
    no_options,
    number_options,
    parse_options,
)

__all__ = ["VALUES"]

#: A norm that is this near 1 is 1, so that normalizing twice is normalizing once.
_NEAR = 1e-6


def _zero(part: Part, options: str) -> NewValues:
    import numpy as np

    no_options("zero", options)
    return NewValues(np.zeros_like(part.values))


def _clip(part: Part, options: str) -> NewValues:
    """Nothing below low, nothing above high; one of them may be left out."""
    import numpy as np

    limits = number_options("clip", parse_options("clip", options))
    unknown = sorted(set(limits) - {"low", "high"})
    if unknown or not limits:
        what = f"found {unknown[0]}" if unknown else "found neither"
        raise SurgeryError(f"clip takes low and high; {what}")
    low, high = limits.get("low", -math.inf), limits.get("high", math.inf)
    if low > high:
        raise SurgeryError(f"clip: low={low:g} is above high={high:g}")
    return NewValues(np.clip(part.values, np.float32(low), np.float32(high)))


def _normalize(part: Part, options: str) -> NewValues:
    """Each filter (each index of its axis) divided by its norm: l2 (default), l1, or its sum."""
    import numpy as np

    kind = options or "l2"
    if kind not in ("l1", "l2", "sum"):
        raise SurgeryError(f"normalize:{kind}, expected l1, l2 or sum")
    old, axis = part.values.astype(np.float64), _filter_axis(part)
    # One filter alone has lost its axis, and is one row.
    moved = np.moveaxis(old, part.axes.index(axis), 0) if axis in part.axes else old[np.newaxis]
    rows = moved.reshape(len(moved), -1)
    norms = {
        "l1": lambda: np.abs(rows).sum(axis=1),
        "l2": lambda: np.sqrt((rows**2).sum(axis=1)),
        "sum": lambda: rows.sum(axis=1),
    }[kind]()
    if not norms.all():
        row = int(np.flatnonzero(norms == 0)[0])
        raise SurgeryError(f"normalize: the {kind} of filter {row} of those selected is 0")
    norms[np.abs(norms - 1) <= _NEAR] = 1
    new = (rows / norms[:, None]).reshape(moved.shape)
    return NewValues(np.moveaxis(new, 0, part.axes.index(axis)) if axis in part.axes else new[0])


def _filter_axis(part: Part) -> int:
    """The axis along which a param has its filters: the outputs', which not all keep first."""
    return int(part.target.index == 0 and types.keeps_turned(part.layer))


def _prune(part: Part, options: str) -> NewValues:
    """The fraction of the values that have the least magnitude become 0."""
    import numpy as np

    numbers = number_options("prune", parse_options("prune", options))
    if set(numbers) != {"fraction"} or not 0 <= numbers["fraction"] <= 1:
        raise SurgeryError("prune needs a fraction from 0 to 1, as in prune:fraction=0.5")
    flat = part.values.ravel().copy()
    # Stable: of equal magnitudes the same ones go on every machine.
    order = np.argsort(np.abs(flat), kind="stable")
    flat[order[: math.floor(numbers["fraction"] * flat.size)]] = 0
    return NewValues(flat.reshape(part.values.shape))


VALUES = (
    Value("zero", _zero, (Form("zero", "All values 0."),), "zero"),
    Value(
        "clip",
        _clip,
        (
            Form(
                "clip:low=L,high=H",
                "Values below L become L, above H become H; one may be left out.",
            ),
        ),
        "clip:low=-1,high=1",
    ),
    Value(
        "normalize",
        _normalize,
        (
            Form(
                "normalize[:l1|:sum]", "Each filter divided by its l2 norm, its l1 norm or its sum."
            ),
        ),
        "normalize",
    ),
    Value(
        "prune",
        _prune,
        (Form("prune:fraction=F", "The fraction F of the values of least magnitude becomes 0."),),
        "prune:fraction=0.5",
    ),
)
