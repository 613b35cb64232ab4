"""What annotations say of pictures, whatever file they are from.

Places are in pixels of the picture as a viewer shows it; pixel i covers [i, i + 1).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from netsurgery.errors import FormatError
from netsurgery.io.shape_text import shape_text

__all__ = ["AnnotatedPicture", "Annotations", "Box", "CocoIds", "TrueMask", "TrueObject"]

#: Left, top, right, bottom.
Box: TypeAlias = tuple[float, float, float, float]


@dataclass(frozen=True)
class TrueObject:
    """An object of the class `label`; a point is a box of size 0.

    >>> cat = TrueObject("cat", (10, 20, 50, 40))
    >>> cat.center, cat.size, cat.is_point
    ((30.0, 30.0), (40, 20), False)
    """

    label: str
    box: Box

    @property
    def center(self) -> tuple[float, float]:
        """Across and down."""
        left, top, right, bottom = self.box
        return (left + right) / 2, (top + bottom) / 2

    @property
    def size(self) -> tuple[float, float]:
        """Width and height."""
        left, top, right, bottom = self.box
        return right - left, bottom - top

    @property
    def is_point(self) -> bool:
        """Whether only its place is known."""
        return self.size == (0, 0)


@dataclass(frozen=True)
class TrueMask:
    """A picture of the same size whose pixels are the numbers of classes.

    names: of the numbers from 0 on. 255 stands for pixels that do not count, where it has no name.
    """

    path: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class AnnotatedPicture:
    """A picture's file and what is in it: objects, a mask, or `whole`, its class and nothing else.

    ignored: boxes that hold objects which were not marked one by one, or that do not count; what
    lies in them is neither an object nor background. size: height and width that the annotations
    say the picture has, if they do. name: what they call it. place: where they name its file, ""
    where it was looked for in a folder.
    """

    path: str
    objects: tuple[TrueObject, ...] = ()
    mask: TrueMask | None = None
    ignored: tuple[Box, ...] = ()
    size: tuple[int, int] | None = None
    name: str = ""
    whole: str | None = None
    place: str = field(default="", compare=False)

    def check_size(self, size: tuple[int, int]) -> None:
        """Raise FormatError where a picture of this height and width is not the one annotated.

        That is one of another size than the annotations say, or outside of which an object lies.
        """
        if self.size is not None and self.size != size:
            turned = self.size == size[::-1]
            why = "; was it turned since, or its EXIF orientation not heeded?" if turned else ""
            raise FormatError(
                f"{self.path}: {shape_text(size)} pixels, but its annotations are of a picture of "
                f"{shape_text(self.size)}{why}"
            )
        for thing in self.objects:
            left, top, right, bottom = thing.box
            if not (left <= size[1] and top <= size[0] and right >= 0 and bottom >= 0):
                box = ", ".join(f"{side:g}" for side in thing.box)
                raise FormatError(
                    f"{self.path}: the box {box} (left, top, right, bottom) of {thing.label!r} "
                    f"lies outside of the picture of {shape_text(size)}"
                )


class CocoIds(NamedTuple):
    """The ids of the pictures by their names, and of the classes."""

    images: dict[str, int]
    categories: dict[str, int]


@dataclass(frozen=True)
class Annotations:
    """The classes in the order of the annotations, and all pictures; source: where they are from.

    The class of every object is one of `classes`, and so is each name of a mask. ids: those of
    COCO's annotations, None for others. numbered: whether the classes are called by the net's own
    numbers, whatever its labels. missing: of the pictures whose file is not there, by its path,
    the error that says so.
    """

    classes: tuple[str, ...]
    pictures: tuple[AnnotatedPicture, ...]
    source: str = ""
    ids: CocoIds | None = None
    numbered: bool = False
    missing: Mapping[str, FormatError] = field(default_factory=dict)

    @property
    def of_wholes(self) -> bool:
        """Whether of every picture its class is known and nothing else."""
        return all(picture.whole is not None for picture in self.pictures)
