"""Pictures of which only their class is known: in a folder for each class, or in a list of Caffe's.

Such a list, which Caffe's ImageData layers read, has a line for each picture: its name below a root
folder, which a slash may begin, a space, and the number of its class, from 0 on.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from netsurgery.errors import FormatError, ImageError
from netsurgery.io.argument_types import shown
from netsurgery.io.nearest import did_you_mean
from netsurgery.io.reader import read_text
from netsurgery.maps.picture_list import listed
from netsurgery.training.objects import AnnotatedPicture, Annotations
from netsurgery.training.records import checked_names, picture_below

__all__ = ["class_folders", "pictures_of", "read_class_folders", "read_list"]

_LONGEST = 1 << 28
#: More classes than a net can have are a mistake.
_MOST = 1_000_000


def class_folders(folder: Path) -> list[Path]:
    """The folders in a folder, each that of a class, in the order of the alphabet."""
    return sorted(
        each for each in folder.iterdir() if os.path.isdir(each) and not each.name.startswith(".")
    )


def pictures_of(folder: Path) -> list[Path]:
    """The pictures in the folder of a class, and in those below. Raises FormatError for none."""
    try:
        return [Path(name) for name in listed([str(folder)], recursive=True, patterns=False)]
    except ImageError as error:
        raise FormatError(str(error)) from error


def read_class_folders(
    folders: Sequence[Path], images: Path, classes: tuple[str, ...]
) -> Annotations:
    """The pictures in the folders of classes, whose names are theirs. Raises FormatError.

    classes: their order; () for that of the alphabet.
    """
    source = folders[0].parent
    names = checked_names((folder.name for folder in folders), lambda i: str(folders[i]))
    for name in names:
        if classes and name not in classes:
            hint = did_you_mean(name, classes, "classes")
            raise FormatError(f"{source}: no class {name!r}, of the folder of that name{hint}")
    root = Path(os.path.abspath(images))
    if not Path(os.path.abspath(source)).is_relative_to(root):
        raise FormatError(
            f"{source}: has folders of classes with the pictures in them, which do not lie below "
            f"{images}, the folder of the pictures"
        )
    pictures = []
    for name, folder in zip(names, folders, strict=True):
        for path in pictures_of(folder):
            below = Path(os.path.abspath(path)).relative_to(root)
            pictures.append(AnnotatedPicture(str(path), whole=name, name=below.as_posix()))
    return Annotations(classes or names, tuple(pictures))


def read_list(path: Path, images: Path) -> Annotations:
    """The pictures in a list of Caffe's; the classes are called by their numbers, from 0 on.

    Raises FormatError.
    """
    expected = "a list of pictures and the numbers of their classes"
    text = read_text(path, _LONGEST, FormatError, expected)
    pictures, most = [], -1
    for row, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        place = f"{path}:{row}"
        name, number = _parsed(line, place)
        file = picture_below(images, name, place)
        pictures.append(AnnotatedPicture(str(file), whole=str(number), name=name, place=place))
        most = max(most, number)
    if not pictures:
        raise FormatError(f"{path}: is empty, expected {expected}, a line each")
    return Annotations(tuple(map(str, range(most + 1))), tuple(pictures), numbered=True)


def _parsed(line: str, place: str) -> tuple[str, int]:
    """A picture's name below the root folder, and the number of its class."""
    name, _, number = line.strip().rpartition(" ")
    name = name.strip().lstrip("/")
    if not name or not (number.isascii() and number.isdecimal()) or int(number) >= _MOST:
        raise FormatError(
            f"{place}: found {shown(line)}, expected a picture's name and the number of its class, "
            "as Caffe's ImageData layers read them"
        )
    return name, int(number)
