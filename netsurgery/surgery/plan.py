"""What every surgery's plan is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netsurgery.errors import SurgeryError

__all__ = ["Refusal", "refuse"]


@dataclass(frozen=True)
class Refusal:
    """Why a change cannot be made: the layer, what is wrong with it, and a way out if any."""

    layer: str
    reason: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"layer {self.layer!r}: {self.reason}" + (f"; {self.remedy}" if self.remedy else "")


def refuse(path: str, refusals: Sequence[Refusal]) -> None:
    """Raise SurgeryError naming every refusal, if there is any."""
    if refusals:
        raise SurgeryError(f"{path}: " + "; ".join(str(refusal) for refusal in refusals))
