"""A param written to a file of its own, as it is at that point of the edit."""

from __future__ import annotations

from netsurgery.errors import SurgeryError
from netsurgery.io.memory import Claim, claim_for
from netsurgery.io.shape_text import shape_text
from netsurgery.surgery.edit.operations.record import Argument, Form, Operation
from netsurgery.surgery.edit.session import EditSession
from netsurgery.surgery.edit.targets import parse_target, part_of

__all__ = ["OPERATIONS", "save"]


def save(session: EditSession, argument: str) -> None:
    """``LAYER[INDEX]=FILE.npy``, or a part of the param. Raises SurgeryError."""
    parsed = parse_target(argument, [layer.name for layer in session.net.layers])
    if parsed is None:
        name, bracket, _ = argument.partition("[")
        if bracket:
            session.layer(name)  # says which may have been meant
        raise SurgeryError("save needs a param, as in save:LAYER[0]=FILE.npy")
    target, rest = parsed
    if not rest.startswith("=") or len(rest) == 1:
        raise SurgeryError(f"save needs a file, as in save:{target.text}=FILE.npy")
    name = rest[1:]
    if not name.lower().endswith(".npy"):
        raise SurgeryError(f"found {name!r}, expected a name that ends in .npy")
    values = part_of(session.peek_alone(target.layer, target.index), target)
    # As it is now, and as the bytes of a file.
    claim = Claim(2 * values.nbytes, f"{name}: a copy of {shape_text(values.shape)} values")
    session.save(target.layer, target.index, name, claim_for(values.copy(), claim))


OPERATIONS = (
    Operation(
        "save",
        save,
        (Form("save:LAYER[INDEX]=FILE.npy", "Write the param, or a part of it, as it is then."),),
        "save:conv1[0]=filters.npy",
        Argument.REQUIRED,
        structural=False,
    ),
)
