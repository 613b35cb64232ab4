"""netsurgery's own annotations: a JSON file of points, boxes, or both.

    {"classes": ["cat", "dog"],
     "pictures": [{"file": "a.jpg", "width": 640, "height": 480,
                   "points": [{"class": "cat", "at": [320, 200]}],
                   "boxes": [{"class": "dog", "box": [10, 20, 110, 90]}],
                   "ignored": [[0, 400, 640, 480]]}]}

`at` is x and y of the middle of an object; `box` and each of `ignored` are left, top, right and
bottom. All are in pixels from the upper left corner. Only "file" has to be there. A picture may
have more under other names, but no lists, which may be meant as objects.
"""

from __future__ import annotations

from pathlib import Path

from netsurgery.errors import FormatError
from netsurgery.io.nearest import did_you_mean
from netsurgery.training.objects import AnnotatedPicture, Annotations, TrueObject
from netsurgery.training.records import Record, box_of_corners, checked_names, picture_below

__all__ = ["read_points"]

#: The lists that a picture may have.
_LISTS = ("boxes", "points", "ignored")
_BOX = "left, top, right and bottom in pixels"


def read_points(record: Record, images: Path) -> Annotations:
    """The annotations of such a file that is read already. Raises FormatError."""
    listed = record.values.get("classes")
    if not isinstance(listed, list) or not listed:
        raise record.error("classes", "a list of the classes' names")
    classes = checked_names(listed, lambda i: f"{record.at('classes')}[{i}]")
    return Annotations(
        classes=classes,
        pictures=tuple(
            AnnotatedPicture(
                path=str(picture_below(images, picture.text("file"), picture.at("file"))),
                objects=(*_points(picture, classes), *_boxes(picture, classes)),
                ignored=tuple(
                    box_of_corners(each.numbers("box", 4, _BOX), each.place)
                    for each in _lists(picture, "ignored")
                ),
                size=picture.size(),
                name=picture.text("file"),
                place=picture.at("file"),
            )
            for picture in map(_checked, record.records("pictures"))
        ),
    )


def _checked(picture: Record) -> Record:
    """Raises FormatError for a list that would not be read: what it has would be background."""
    for key, value in picture.values.items():
        if isinstance(value, list) and key not in _LISTS and key != "file":
            hint = did_you_mean(key, _LISTS, "lists")
            raise FormatError(f"{picture.place}: no list {key!r} is known of a picture{hint}")
    return picture


def _points(picture: Record, classes: tuple[str, ...]) -> list[TrueObject]:
    objects = []
    for point in picture.records("points", optional=True):
        x, y = point.numbers("at", 2, "x and y in pixels")
        objects.append(TrueObject(_class(point, classes), (x, y, x, y)))
    return objects


def _boxes(picture: Record, classes: tuple[str, ...]) -> list[TrueObject]:
    return [
        TrueObject(
            _class(each, classes),
            box_of_corners(each.numbers("box", 4, _BOX), each.at("box")),
        )
        for each in picture.records("boxes", optional=True)
    ]


def _lists(picture: Record, key: str) -> list[Record]:
    """A list of lists, each as the "box" of a record."""
    value = picture.values.get(key, [])
    if not isinstance(value, list):
        raise picture.error(key, "a list of boxes")
    return [Record({"box": each}, f"{picture.at(key)}[{i}]") for i, each in enumerate(value)]


def _class(record: Record, classes: tuple[str, ...]) -> str:
    name = record.text("class")
    if name not in classes:
        hint = did_you_mean(name, classes, "classes")
        raise FormatError(f"{record.at('class')}: no class {name!r}{hint}")
    return name
