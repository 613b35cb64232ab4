"""COCO's annotations: pictures, categories and boxes in one JSON file.

Classes are in the order of the categories' ids. An object with `iscrowd: 1` stands for many that
nobody marked one by one: its box does not count. One without `bbox` has the box of its polygons.
"""

from __future__ import annotations

from pathlib import Path

from netsurgery.errors import FormatError
from netsurgery.io.argument_types import shown
from netsurgery.training.objects import AnnotatedPicture, Annotations, Box, CocoIds, TrueObject
from netsurgery.training.records import Record, box_of_size, checked_names, picture_below

__all__ = ["read_coco"]

_BOX = "left, top, width and height in pixels"


def read_coco(record: Record, images: Path) -> Annotations:
    """The annotations of a COCO file that is read already. Raises FormatError."""
    names = _categories(record)
    objects: dict[int, list[TrueObject]] = {}
    ignored: dict[int, list[Box]] = {}
    pictures = _pictures(record)
    for annotation in record.records("annotations"):
        picture = _known(annotation, "image_id", pictures, "images")
        category = _known(annotation, "category_id", names, "categories")
        box = _box(annotation)
        if annotation.values.get("iscrowd", 0) in (1, True):
            ignored.setdefault(picture, []).append(box)
        else:
            objects.setdefault(picture, []).append(TrueObject(names[category], box))
    return Annotations(
        classes=tuple(names.values()),
        pictures=tuple(
            AnnotatedPicture(
                path=str(picture_below(images, each.text("file_name"), each.at("file_name"))),
                objects=tuple(objects.get(number, ())),
                ignored=tuple(ignored.get(number, ())),
                size=each.size(),
                name=each.text("file_name"),
                place=each.at("file_name"),
            )
            for number, each in pictures.items()
        ),
        ids=CocoIds(
            {each.text("file_name"): number for number, each in pictures.items()},
            {name: number for number, name in names.items()},
        ),
    )


def _categories(record: Record) -> dict[int, str]:
    """Names by id, in the order of the ids."""
    by_id: dict[int, Record] = {}
    for category in record.records("categories"):
        _enter(by_id, category)
    ordered = dict(sorted(by_id.items()))
    records = list(ordered.values())
    names = checked_names(
        [category.text("name") for category in records], lambda i: records[i].at("name")
    )
    return dict(zip(ordered, names, strict=True))


def _pictures(record: Record) -> dict[int, Record]:
    by_id: dict[int, Record] = {}
    for picture in record.records("images"):
        _enter(by_id, picture)
    return by_id


def _enter(by_id: dict[int, Record], record: Record) -> None:
    number = record.whole("id")
    if number in by_id:
        raise FormatError(f"{record.at('id')}: {number} is the id of {by_id[number].place}, too")
    by_id[number] = record


def _known(
    annotation: Record, key: str, known: dict[int, Record] | dict[int, str], where: str
) -> int:
    number = annotation.whole(key)
    if number not in known:
        raise FormatError(f"{annotation.at(key)}: no {number} among the ids of {where!r}")
    return number


def _box(annotation: Record) -> Box:
    if annotation.values.get("bbox"):
        return box_of_size(annotation.numbers("bbox", 4, _BOX), annotation.at("bbox"))
    polygons = annotation.values.get("segmentation")
    if not isinstance(polygons, list) or not polygons:
        raise annotation.error("bbox", f"4 numbers, {_BOX}")
    places: list[float] = []
    for number, polygon in enumerate(polygons):
        count = len(polygon) if isinstance(polygon, list) else 0
        if count < 6 or count % 2:
            raise FormatError(
                f"{annotation.at('segmentation')}[{number}]: found {shown(polygon)}, expected a "
                "polygon, x and y of three points or more"
            )
        record = Record({f"segmentation[{number}]": polygon}, annotation.place)
        places += record.numbers(f"segmentation[{number}]", count, "x and y of each point")
    left, top = min(places[::2]), min(places[1::2])
    width, height = max(places[::2]) - left, max(places[1::2]) - top
    return box_of_size((left, top, width, height), annotation.at("segmentation"))
