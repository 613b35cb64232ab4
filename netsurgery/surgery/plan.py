"""What every surgery's plan is made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from netsurgery.errors import SurgeryError
from netsurgery.io.terminal import joined
from netsurgery.net.net import NetDefinition

__all__ = ["Refusal", "misnamed", "namesake", "refuse"]

#: How many refusals one error names.
_NAMED = 3


class Refusal(NamedTuple):
    """Why a change cannot be made: the layer, what is wrong with it, and a way out if any.

    cause: what is behind the reason, and perhaps behind those of other layers.
    """

    layer: str
    reason: str
    remedy: str = ""
    cause: str = ""

    def __str__(self) -> str:
        return self.text()

    def text(self, others: Sequence[str] = ()) -> str:
        """All of it on one line; `others` are layers that the same cause stops."""
        too = f" (so too for {joined([repr(name) for name in others])})" if others else ""
        cause = f": {self.cause}" if self.cause else ""
        remedy = f"; {self.remedy}" if self.remedy else ""
        return f"layer {self.layer!r}: {self.reason}{too}{cause}{remedy}"


def misnamed(net: NetDefinition, name: str) -> Refusal | None:
    """Why no layer is meant by `name`, or more than one; None where it is one."""
    count = len(net.named(name))
    if count == 1:
        return None
    missing = f"the net has no such layer{net.name_hint(name)}"
    return Refusal(name, f"the net has {count} of them" if count else missing)


def namesake(net: NetDefinition, name: str) -> Refusal | None:
    """Why params under the layer's name cannot change, nor their name: others have them too.

    Those of another phase or stage; None where there are none.
    """
    if net.prototxt.layer_names[name] == len(net.named(name)):
        return None
    return Refusal(name, "a layer of another phase or stage has its name")


def refuse(path: str, refusals: Sequence[Refusal]) -> None:
    """Raise SurgeryError for the refusals, if there are any; a common cause is named once.

    Of many the first are named, and how many more there are: an error is one line.
    """
    by_cause: dict[str, list[Refusal]] = {}
    for number, refusal in enumerate(refusals):
        # Refusals without a cause are never put together.
        by_cause.setdefault(refusal.cause or str(number), []).append(refusal)
    texts = [first.text([each.layer for each in rest]) for first, *rest in by_cause.values()]
    if len(texts) > _NAMED + 1:  # "and 1 more" would save nothing
        texts = [*texts[:_NAMED], f"and {len(texts) - _NAMED} more"]
    if texts:
        raise SurgeryError(f"{path}: {'; '.join(texts)}")
