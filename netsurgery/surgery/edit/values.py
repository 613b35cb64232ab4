"""Operations on the numbers of a param blob, or of a part of it.

    =NUMBER  +=NUMBER  -=NUMBER  *=NUMBER  /=NUMBER      NUMBER, or npy:FILE of the same shape
    =zero  =clip:low=-1,high=1  =normalize[:l1|:sum]  =prune:fraction=0.5
    =KERNEL:options                                      `netsurgery.surgery.edit.filters`

Every `=` gives what it gave when it is done again; the others do not.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from netsurgery.errors import SurgeryError
from netsurgery.io.memory import Claim, claim_for
from netsurgery.io.npy import read_npy
from netsurgery.net import types
from netsurgery.net.shapes import describe
from netsurgery.net.types.record import Space, WeightLayout
from netsurgery.surgery.edit.filters import KERNELS, kernel
from netsurgery.surgery.edit.operations import ParamOperation, Target, axes_left
from netsurgery.surgery.edit.session import Change, EditSession, refusal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float32]
    Wide = NDArray[np.float64]

__all__ = ["do_values", "parse_number", "save_values"]

_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")

#: What computing with a value takes: copies in float64, products, the order of them.
_WIDE = 40

#: A norm that is this near 1 is 1, so that normalizing twice is normalizing once.
_NEAR = 1e-6


def parse_number(text: str) -> float | None:
    """The number that `text` spells, None where it spells none."""
    return float(text) if _NUMBER.fullmatch(text.strip()) else None


def save_values(work: EditSession, operation: ParamOperation) -> None:
    """Keep a param's present values to be written to a .npy file."""
    target, name = operation.target, operation.value
    values = _part(work.peek_alone(target.layer, target.blob), target)
    if name in work.saved:
        raise SurgeryError(f"{name} is saved to already")
    # As it is now, and as the bytes of a file.
    claim = Claim(2 * values.nbytes, f"{name}: a copy of {describe(values.shape)} values")
    work.saved[name] = claim_for(values.copy(), claim)
    what = f"{describe(values.shape)} values saved to {name}"
    work.effects.append(Change(target.layer, target.blob, what))


def do_values(work: EditSession, operation: ParamOperation) -> None:
    """Change a param as the operation says.

    Raises SurgeryError for what is not understood, does not fit, or gives NaN or infinity.
    """
    import numpy as np

    target = operation.target
    if not work.peek_alone(target.layer, target.blob).size:
        raise refusal(target.layer, f"param {target.blob} is empty")
    view = _part(work.param_alone(target.layer, target.blob), target)
    claim = Claim(_WIDE * view.size, f"layer {target.layer!r}: computing {target.text}")
    with claim, np.errstate(all="ignore"):
        new = np.asarray(_new_values(work, operation, view)).astype(np.float32)
    bad = int(new.size - np.count_nonzero(np.isfinite(new)))
    if bad:
        raise refusal(target.layer, f"{bad} values of {target.text} would be NaN or infinite")
    changed = int(np.count_nonzero(new != view))
    view[...] = new
    what = f"{changed} of {view.size} values change"
    work.effects.append(Change(target.layer, target.blob, what))


def _part(array: Array, target: Target) -> Array:
    """The chosen part, a view of the array (0 axes where one number is chosen)."""
    axes_left(array.shape, target.indices)
    view = array
    for position, index in enumerate(target.indices):
        last = position == len(target.indices) - 1
        # With ... even one number stays a view.
        view = view[(*index, ...) if last and ... not in index else index]
    return view


def _new_values(work: EditSession, operation: ParamOperation, view: Array) -> Wide | Array:
    verb, value = operation.verb, operation.value
    if not value:
        raise SurgeryError(f"nothing behind {verb}")
    name, _, options = value.partition(":")
    number = parse_number(value)
    if name == "npy":
        given = _from_npy(options, view)
        return given if verb == "=" else _arithmetic(verb, view, given)
    if number is not None:
        import numpy as np

        return np.full(view.shape, number) if verb == "=" else _arithmetic(verb, view, number)
    if verb == "=" and name in KERNELS:
        return _filled(work, operation.target, view, name, _options(name, options))
    if verb == "=" and name in _FUNCTIONS:
        target = operation.target
        axes = axes_left(work.peek_alone(target.layer, target.blob).shape, target.indices)
        return _FUNCTIONS[name](view, axes, options)
    expected = "a number or npy:FILE"
    if verb == "=":
        expected += f", {', '.join(_FUNCTIONS)}, or a kernel: {', '.join(KERNELS)}"
    raise SurgeryError(f"found {value!r} behind {verb}, expected {expected}")


def _arithmetic(verb: str, view: Array, value: Wide | float) -> Wide:
    import numpy as np

    old = view.astype(np.float64)
    made: Wide = {
        "+=": np.add, "-=": np.subtract, "*=": np.multiply, "/=": np.divide,
    }[verb](old, value)  # fmt: skip
    return made


def _from_npy(name: str, view: Array) -> Wide:
    import numpy as np

    if not name:
        raise SurgeryError("npy needs a file, as in npy:FILE.npy")
    given = read_npy(name)
    if given.shape != view.shape:
        raise SurgeryError(f"{name} is {describe(given.shape)}, expected {describe(view.shape)}")
    return given.astype(np.float64)


def _options(name: str, text: str) -> dict[str, str]:
    """``sigma=1,channels=0,2`` is {"sigma": "1", "channels": "0,2"}."""
    found: dict[str, str] = {}
    last = ""
    for piece in text.split(",") if text else []:
        key, equals, value = piece.partition("=")
        if equals and key in found:
            raise SurgeryError(f"{name}: {key} is given twice")
        if equals:
            found[key], last = value, key
        elif last:
            found[last] += f",{piece}"
        else:
            raise SurgeryError(f"{name}: found {piece!r}, expected OPTION=VALUE")
    return found


def _numbers(name: str, options: Mapping[str, str]) -> dict[str, float]:
    made = {}
    for key, text in options.items():
        number = parse_number(text)
        if number is None:
            raise SurgeryError(f"{name}: {key}={text}, expected a number")
        made[key] = number
    return made


def _filled(
    work: EditSession, target: Target, view: Array, name: str, options: dict[str, str]
) -> Array:
    """A designed kernel in every filter chosen, on the channels chosen; the others stay."""
    import numpy as np

    layer = work.layer(target.layer)
    slides = types.space(layer) in (Space.SLIDING, Space.SPREADING)
    shape = work.peek_alone(target.layer, target.blob).shape
    if not slides or types.layout(layer) is None or target.blob or len(shape) != 4:
        raise refusal(
            target.layer,
            f"param {target.blob} is {describe(shape)} ({layer.type}); {name} fills the H x W "
            "filters of a Convolution's or Deconvolution's weights",
        )
    axes = axes_left(shape, target.indices)
    if axes[-2:] != [2, 3]:
        raise SurgeryError(f"{target.text} has lost an axis of its filters' H x W")
    channels = options.pop("channels", None)
    try:
        made = kernel(name, view.shape[-2], view.shape[-1], _numbers(name, options))
    except SurgeryError as error:
        raise SurgeryError(f"{target.text}: {error}") from None
    new: Array = view.copy()
    if channels is None:
        new[...] = made
        return new
    axis = 1 if types.layout(layer) is WeightLayout.OUTPUTS_FIRST else 0
    if axis not in axes or view.shape[axes.index(axis)] != shape[axis]:
        raise SurgeryError(f"{target.text} has chosen channels already; leave out channels=")
    first = np.moveaxis(new, axes.index(axis), 0)  # a view, channels first
    for channel in _channels(channels, shape[axis]):
        first[channel] = made
    return new


def _channels(text: str, count: int) -> list[int]:
    made = []
    for piece in text.split(","):
        if not re.fullmatch(r"[0-9]{1,9}", piece) or int(piece) >= count:
            raise SurgeryError(f"channels={text}: found {piece!r}, expected 0 to {count - 1}")
        made.append(int(piece))
    return made


def _zero(view: Array, axes: list[int], options: str) -> Array:
    _no_options("zero", options)
    import numpy as np

    return np.zeros_like(view)


def _no_options(name: str, options: str) -> None:
    if options:
        raise SurgeryError(f"{name} takes no options; found {options!r}")


def _clip(view: Array, axes: list[int], options: str) -> Array:
    """Nothing below low, nothing above high; one of them may be left out."""
    import numpy as np

    given = _numbers("clip", _options("clip", options))
    unknown = sorted(set(given) - {"low", "high"})
    if unknown or not given:
        found = f"found {unknown[0]}" if unknown else "found neither"
        raise SurgeryError(f"clip takes low and high; {found}")
    low, high = given.get("low", -math.inf), given.get("high", math.inf)
    if low > high:
        raise SurgeryError(f"clip: low={low:g} is above high={high:g}")
    made: Array = np.clip(view, np.float32(low), np.float32(high))
    return made


def _normalize(view: Array, axes: list[int], options: str) -> Wide:
    """Each filter (each index of axis 0) divided by its norm: l2 (default), l1, or its sum."""
    import numpy as np

    kind = options or "l2"
    if kind not in ("l1", "l2", "sum"):
        raise SurgeryError(f"normalize:{kind}, expected l1, l2 or sum")
    old = view.astype(np.float64)
    # One filter alone has lost axis 0, and is one row.
    rows = old.reshape(len(old) if 0 in axes else 1, -1)
    norms = {
        "l1": lambda: np.abs(rows).sum(axis=1),
        "l2": lambda: np.sqrt((rows**2).sum(axis=1)),
        "sum": lambda: rows.sum(axis=1),
    }[kind]()
    if not norms.all():
        row = int(np.flatnonzero(norms == 0)[0])
        raise SurgeryError(f"normalize: the {kind} of filter {row} of those chosen is 0")
    norms[np.abs(norms - 1) <= _NEAR] = 1
    made: Wide = (rows / norms[:, None]).reshape(view.shape)
    return made


def _prune(view: Array, axes: list[int], options: str) -> Array:
    """The given fraction of the values, those of least magnitude, become 0."""
    import numpy as np

    given = _numbers("prune", _options("prune", options))
    if set(given) != {"fraction"} or not 0 <= given["fraction"] <= 1:
        raise SurgeryError("prune needs a fraction from 0 to 1, as in prune:fraction=0.5")
    flat = view.ravel().copy()
    order = np.argsort(np.abs(flat), kind="stable")
    flat[order[: math.floor(given["fraction"] * flat.size)]] = 0
    made: Array = flat.reshape(view.shape)
    return made


_FUNCTIONS: dict[str, Callable[[Array, list[int], str], Wide | Array]] = {
    "clip": _clip,
    "normalize": _normalize,
    "prune": _prune,
    "zero": _zero,
}
