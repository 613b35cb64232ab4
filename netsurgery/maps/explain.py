"""How the answer of a classifier is to be explained: which map is made, and of which classes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from netsurgery.errors import SettingsError
from netsurgery.io.argument_types import shown
from netsurgery.io.shape_text import shape_text
from netsurgery.io.size import AnySize, as_size
from netsurgery.io.wording import argument
from netsurgery.maps.class_names import EACH

__all__ = ["AnyClasses", "Explain", "GradCam", "Occlusion", "checked_classes", "refuse_with"]

#: Classes by number or label: one, several in one text with commas between, or "max" for the one
#: that the net answers with.
AnyClasses: TypeAlias = str | int

#: A patch's share of the input's shorter side, and its stride's of the patch.
_PATCHES, _STEPS = 7, 2


@dataclass(frozen=True)
class Occlusion:
    """How much the score of a class falls where a patch covers the input.

    patch: (height, width) of the patch in pixels of the input, one number for a square; None for a
    seventh of the input's shorter side. stride: pixels from one place of the patch to the next;
    None for half a patch. classes: those that are explained, by number or label, with commas
    between; "max" for the likeliest of the picture. Raises SettingsError for other values.

    >>> Occlusion().sizes((227, 227)), Occlusion((20, 40), 10).sizes((227, 227))
    (((32, 32), (16, 16)), ((20, 40), (10, 10)))
    """

    patch: AnySize | None = None
    stride: AnySize | None = None
    classes: AnyClasses = "max"

    #: The name of the method, and whether real Caffe alone can do it.
    method: ClassVar[str] = "occlusion"
    needs_caffe: ClassVar[bool] = False

    def __post_init__(self) -> None:
        for name in ("patch", "stride"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, as_size(value, name))
        object.__setattr__(self, "classes", checked_classes(self.classes))

    def sizes(self, size: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
        """(height, width) of the patch and its stride, for an input of `size`.

        Raises SettingsError for a patch that covers all of the input, and for a stride that leaves
        pixels between patches.
        """
        side = max(1, round(min(size) / _PATCHES))
        patch = (side, side) if self.patch is None else as_size(self.patch)
        half = (max(1, patch[0] // _STEPS), max(1, patch[1] // _STEPS))
        stride = half if self.stride is None else as_size(self.stride)
        if patch[0] >= size[0] and patch[1] >= size[1]:
            raise SettingsError(
                f"a patch of {shape_text(patch)} covers all of an input of {shape_text(size)}; "
                "expected a smaller one"
            )
        if stride[0] > patch[0] or stride[1] > patch[1]:
            raise SettingsError(
                f"a stride of {shape_text(stride)} leaves pixels between patches of "
                f"{shape_text(patch)}; expected at most the patch's sides"
            )
        return patch, stride


@dataclass(frozen=True)
class GradCam:
    """Which places of a layer's map raise the score of a class, by its gradient (Grad-CAM).

    layer: a layer or a blob whose top is a map; None for the last map before the scores. classes:
    as in `Occlusion`. What is differentiated is the score, which is what a Softmax at the net's end
    is given. It needs real Caffe. Raises SettingsError for other values.

    >>> GradCam("conv2", classes="3").layer
    'conv2'
    """

    layer: str | None = None
    classes: AnyClasses = "max"

    #: The name of the method, and whether real Caffe alone can do it.
    method: ClassVar[str] = "grad-cam"
    needs_caffe: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.layer is not None and not isinstance(self.layer, str):
            raise SettingsError(
                f"layer {shown(self.layer)}: expected the name of a layer or a blob"
            )
        object.__setattr__(self, "classes", checked_classes(self.classes))


#: Whatever explains.
Explain: TypeAlias = Occlusion | GradCam


def refuse_with(explain: Explain, **others: object) -> None:
    """Raise SettingsError for another option that is given, by name: maps alone have it."""
    for name, value in others.items():
        if value is not None:
            raise SettingsError(
                f"{argument(f'--{name}')} is of a map of windows, and this is one by "
                f"{explain.method}: leave it out"
            )


def checked_classes(classes: AnyClasses | Iterable[str | int]) -> str:
    """The classes as text. Raises SettingsError for "each", and for what names none."""
    number = hasattr(classes, "__index__") and not isinstance(classes, bool)
    text = str(classes) if number or isinstance(classes, str) else ""
    if not text.strip():
        raise SettingsError(
            f"classes {shown(classes)}: expected the number or the label of a class, several with "
            "commas between, or max"
        )
    if text.strip().casefold() == EACH:
        raise SettingsError(
            f"classes {text!r}: an explanation is of a class that is named, or of the likeliest "
            "(max)"
        )
    return text
