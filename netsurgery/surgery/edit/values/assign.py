"""Assignments to a param, or to a part of it.

    =NUMBER  +=NUMBER  -=NUMBER  *=NUMBER  /=NUMBER    NUMBER, or npy:FILE of the same shape
    =NAME  =NAME:OPTIONS                               a value of `VALUES`

Every `=` gives the same again when it is repeated; the others do not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from netsurgery.errors import SurgeryError
from netsurgery.io.memory import Claim
from netsurgery.io.nearest import did_you_mean
from netsurgery.io.npy import read_npy
from netsurgery.io.shape_text import shape_text
from netsurgery.io.wording import counted
from netsurgery.surgery.edit.changes import ParamChange
from netsurgery.surgery.edit.session import EditSession, refusal
from netsurgery.surgery.edit.targets import Target, part_of
from netsurgery.surgery.edit.values.record import NewValues, Part, parse_number

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Wide = NDArray[np.float64]

__all__ = ["assign"]

#: What computing with a value takes: copies in float64, products, the order of them.
_WIDE = 40


def assign(session: EditSession, target: Target, verb: str, value: str) -> None:
    """Change a param, or a part of it, as ``TARGET VERB VALUE`` says.

    Raises SurgeryError for what is not understood, does not fit, or gives NaN or infinity.
    """
    import numpy as np

    param = session.param_alone(target.layer, target.index)
    if not param.size:
        raise refusal(target.layer, f"param {target.index} is empty")
    view = part_of(param, target)
    claim = Claim(_WIDE * view.size, f"layer {target.layer!r}: computing {target.text}")
    # What overflows, or is divided by 0, is counted below and refused.
    with claim, np.errstate(all="ignore"):
        values = _new_values(Part(session, target, view), verb, value)
        new = np.asarray(values.array).astype(np.float32)
    bad = int(new.size - np.count_nonzero(np.isfinite(new)))
    if bad:
        raise refusal(
            target.layer, f"{counted(bad, 'value')} of {target.text} would be NaN or infinite"
        )
    # Counted before the view, which is the param itself, gets the new values.
    changed = int(np.count_nonzero(new != view))
    view[...] = new
    session.record(
        ParamChange(
            target.layer,
            target.index,
            param.shape,
            param.shape,
            changed,
            values.what,
            values.seed,
        )
    )


def _new_values(part: Part, verb: str, value: str) -> NewValues:
    if not value:
        raise SurgeryError(f"nothing after {verb}")
    name, _, options = value.partition(":")
    number = parse_number(value)
    if name == "npy":
        return _combined(part, verb, _from_npy(options, part))
    if number is not None:
        return _combined(part, verb, number)
    known = None
    if verb == "=":
        from netsurgery.surgery.edit.values.registry import find_value

        known = find_value(name, options)
    if known is None:
        raise SurgeryError(f"found {value!r} after {verb}, expected {_expected(verb, name)}")
    return known.compute(part, options)


def _expected(verb: str, name: str) -> str:
    expected = "a number or npy:FILE"
    if verb != "=":
        return expected
    from netsurgery.surgery.edit.values.registry import GROUPS, VALUES

    names = ", ".join(
        f"{heading.lower()} {', '.join(value.name for value in values)}"
        for heading, values in GROUPS.items()
    )
    return f"{expected}; {names}" + did_you_mean(name, [value.name for value in VALUES])


def _combined(part: Part, verb: str, operand: Wide | float) -> NewValues:
    import numpy as np

    if verb == "=":
        return NewValues(np.broadcast_to(operand, part.values.shape))
    function = {
        "+=": np.add, "-=": np.subtract, "*=": np.multiply, "/=": np.divide,
    }[verb]  # fmt: skip
    # In float64, so that the result is rounded once, to float32.
    return NewValues(function(part.values.astype(np.float64), operand))


def _from_npy(name: str, part: Part) -> Wide:
    import numpy as np

    if not name:
        raise SurgeryError("npy needs a file, as in npy:FILE.npy")
    array, expected = read_npy(name), part.values.shape
    part.session.read_files.append(name)
    if array.shape != expected:
        raise SurgeryError(f"{name} is {shape_text(array.shape)}, expected {shape_text(expected)}")
    return array.astype(np.float64)
