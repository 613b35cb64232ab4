"""An operation on a net's structure, or on several of its params at once."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import NamedTuple

from netsurgery.surgery.edit.session import EditSession

__all__ = ["Argument", "Form", "Operation"]


class Argument(Enum):
    """Whether something follows the operation's name, after a colon."""

    NONE = "none"
    OPTIONAL = "optional"
    REQUIRED = "required"


class Form(NamedTuple):
    """One way to write an operation, and what it does then; a line of the help."""

    syntax: str
    help: str


class Operation(NamedTuple):
    """``NAME`` or ``NAME:ARGUMENT``.

    apply: (session, argument) -> None; raises SurgeryError, FormatError or NetError where it
    cannot be done, before it has changed anything. forms: how it is written, for the help.
    example: one that can be typed as it is. structural: whether the prototxt changes.
    """

    name: str
    apply: Callable[[EditSession, str], None]
    forms: tuple[Form, ...]
    example: str
    argument: Argument = Argument.OPTIONAL
    structural: bool = True
