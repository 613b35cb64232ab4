"""A net of an earlier Caffe written for Caffe 1.0, in the author's own text: the prototxt.

What changes is what Caffe's own upgrade changes, in its order: V0 to V1, the transformation of
data layers, V1 to V2, input fields, BatchNorm. The message that comes of it is the same; comments,
order, indentation and the fields of forks stay.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from netsurgery.errors import PrototxtError
from netsurgery.formats.prototxt import Prototxt
from netsurgery.formats.textformat import Message
from netsurgery.formats.upgrade.inputs import check_inputs, upgrade_inputs, upgrade_transforms
from netsurgery.formats.upgrade.splices import UpgradeStep
from netsurgery.formats.upgrade.v0 import upgrade_v0
from netsurgery.formats.upgrade.v1 import upgrade_batch_norm, upgrade_v1_layer

__all__ = ["TextUpgrade", "UpgradeStep", "plan_upgrade", "to_v1"]


@dataclass(frozen=True)
class TextUpgrade:
    """What becomes of a prototxt: its new `text`, and the `changes` made to it, in order.

    changes: empty where the net is up to date; the text is the author's then, unchanged.
    """

    prototxt: Prototxt
    text: str
    changes: tuple[UpgradeStep, ...]

    @cached_property
    def result(self) -> Prototxt:
        """The new text as a document, under the old one's path; without a byte order mark."""
        if self.text == self.prototxt.text:
            return replace(self.prototxt, bom=False)
        return Prototxt.parse(self.text, self.prototxt.path)


def plan_upgrade(prototxt: Prototxt) -> TextUpgrade:
    """The net of `prototxt` in today's dialect (V2, an Input layer).

    Raises PrototxtError, with the line, for what no Caffe knows or what Caffe's own upgrade would
    lose.
    """
    old = to_v1(prototxt)
    document, changes = old.result, list(old.changes)
    edits = document.edits()
    for field in document.root.all("layers"):
        if isinstance(field.value, Message):
            steps = upgrade_v1_layer(edits, field, field.value)
            changes += steps if prototxt.generation == "V1" else steps[1:]  # reported already
    changes += upgrade_transforms(edits, document.root.messages("layers"))
    for layer in document.root.messages("layer"):
        changes += upgrade_batch_norm(edits, layer)
    changes += upgrade_inputs(edits, document)
    if prototxt.bom:
        what = "the byte order mark, which Caffe cannot read, is left out"
        changes.append(UpgradeStep(None, what, before="U+FEFF"))
    return _checked(TextUpgrade(prototxt, edits.apply(), tuple(changes)))


def _checked(upgrade: TextUpgrade) -> TextUpgrade:
    """Nothing is written that cannot be read, whatever the layout that led to it."""
    try:
        _ = upgrade.result
    except PrototxtError as error:
        raise PrototxtError(
            f"its layout is too unusual to be upgraded in place ({error.what}); put each field "
            "on a line of its own",
            path=upgrade.prototxt.path,
        ) from None
    return upgrade


def to_v1(prototxt: Prototxt) -> TextUpgrade:
    """A V0 net in V1, the first step of its upgrade; any other as it is. Raises PrototxtError."""
    if prototxt.generation != "V0":
        return TextUpgrade(prototxt, prototxt.text, ())
    # Errors give the author's lines, not those of the text in between.
    check_inputs(prototxt.root)
    shape = prototxt.root.all("input_shape")
    if shape:
        raise prototxt.root.source.error(
            "found input_shape in a V0 net, where Caffe does not read it; expected input_dim",
            shape[0].start,
        )
    text, changes = upgrade_v0(prototxt)
    return _checked(TextUpgrade(prototxt, text, tuple(changes)))
