"""Annotations of any kind that is known, in a file or a folder."""

from __future__ import annotations

import errno
import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from netsurgery.errors import BrokenImages, FormatError
from netsurgery.formats.labels import read_labels
from netsurgery.io.checksum import sha256_of
from netsurgery.io.memory import Claim, claim_for
from netsurgery.io.unreadable import check_file, check_folder, unreadable
from netsurgery.io.wording import counted
from netsurgery.training.objects import AnnotatedPicture, Annotations, Box, TrueMask, TrueObject
from netsurgery.training.records import checked_names, read_record
from netsurgery.training.whole_pictures import (
    class_folders,
    pictures_of,
    read_class_folders,
    read_list,
)

__all__ = [
    "AnnotatedPicture",
    "Annotations",
    "Box",
    "TrueMask",
    "TrueObject",
    "annotation_files",
    "annotations_checksum",
    "broken_images",
    "read_annotations",
]

_KINDS = (
    "COCO's JSON (images, annotations, categories), netsurgery's (classes, pictures), Caffe's list "
    "(.txt), or a folder of Pascal VOC's XML files, of masks (PNG), or of a folder for each class"
)
#: Where a folder has the names of its classes, one a line.
_CLASSES = "classes.txt"
#: Of a folder's files: Pascal VOC's, and masks.
_ENDINGS = (".xml", ".png")
#: The ending of Caffe's lists.
_LIST = ".txt"
#: Of so many pictures that are not there files of similar names are offered.
_HINTED = 20
#: Bytes that a picture and an object take, at most.
_PICTURE, _OBJECT = 2000, 600


def read_annotations(
    source: Path,
    images: Path,
    classes: Iterable[str] | None = None,
    *,
    allow_missing: bool = False,
) -> Annotations:
    """The annotations in a file or a folder, and the files of their pictures below `images`.

    source: a COCO file, a file of points and boxes (`training/points.py` has its form), Caffe's
    list, a folder of Pascal VOC's files, of masks, or of a folder for each class. classes: the
    names of the classes, for a folder; else they are those of its `classes.txt`, or but for masks
    those found. allow_missing: return annotations of which some pictures are not there, in their
    `missing`. No picture and no mask is opened; `AnnotatedPicture.check_size` and `open_mask` check
    that they are as the annotations say.

    Raises FormatError, in one line, for what is none of these, is broken, or names a picture that
    is not below `images`; BrokenImages, with all of them, for pictures that are not there;
    MemoryLimitError.

    >>> read_annotations(Path("examples/digits_canvas.json"), Path("examples"))
    Traceback (most recent call last):
    netsurgery.errors.FormatError: examples/digits_canvas.json: found height, width, window, \
stride, ...; expected COCO's JSON (images, annotations, categories), netsurgery's (classes, \
pictures), Caffe's list (.txt), or a folder of Pascal VOC's XML files, of masks (PNG), or of a \
folder for each class
    """
    check_folder(images, "that of the annotated pictures", FormatError)
    names = None if classes is None else _checked_classes(classes)
    read = _of_folder if os.path.isdir(source) else _of_file
    annotations = read(source, images, names)
    _check(annotations, source)
    missing = _missing(annotations, images)
    if missing and not allow_missing:
        raise broken_images(list(missing.values()), len(annotations.pictures))
    count = sum(len(picture.objects) + len(picture.ignored) for picture in annotations.pictures)
    memory = _PICTURE * len(annotations.pictures) + _OBJECT * count
    claim = Claim(memory, f"{source}: its annotations")
    return claim_for(replace(annotations, source=str(source), missing=missing), claim)


def broken_images(errors: Sequence[FormatError], total: int, hint: str = "") -> BrokenImages:
    """The error of some of so many pictures, by that of each; hint: what to try.

    >>> str(broken_images([FormatError("a.png: is empty"), FormatError("b.png: is empty")], 9))
    'a.png: is empty; 2 of 9 pictures cannot be used'
    """
    summary = f"{len(errors)} of {counted(total, 'picture')} cannot be used"
    summary += f"; {hint}" if hint else ""
    return BrokenImages(f"{errors[0]}; {summary}", errors=tuple(errors), summary=summary)


def _missing(annotations: Annotations, images: Path) -> dict[str, FormatError]:
    """By their paths, why pictures are not there. Raises FormatError where none of several is."""
    missing: dict[str, FormatError] = {}
    for picture in annotations.pictures:
        if picture.place and not os.path.isfile(picture.path):
            missing[picture.path] = _why_missing(picture, hint=len(missing) < _HINTED)
    if len(missing) == len(annotations.pictures) > 1:
        first = next(iter(missing.values()))
        raise FormatError(
            f"{first}; none of the {counted(len(missing), 'annotated picture')} lies below {images}"
        )
    return missing


def _why_missing(picture: AnnotatedPicture, *, hint: bool) -> FormatError:
    """hint: whether to look for files with similar names, which takes long in a large folder."""
    error: Exception = FormatError(f"{picture.path}: {os.strerror(errno.ENOENT)}")
    try:
        if hint or os.path.exists(picture.path):
            check_file(picture.path, "a picture", FormatError)
    except (FormatError, ValueError) as raised:  # a null character is a ValueError
        error = raised
    return FormatError(f"{picture.place}: {error}")


def _checked_classes(classes: Iterable[str]) -> tuple[str, ...]:
    names = checked_names(classes, lambda number: f"classes: name {number + 1}")
    if not names:
        raise FormatError("classes: found none, expected the names of the classes")
    return names


def _of_file(source: Path, images: Path, classes: tuple[str, ...] | None) -> Annotations:
    from netsurgery.training.coco import read_coco
    from netsurgery.training.points import read_points

    if source.suffix.lower() == _LIST:
        annotations = read_list(source, images)
        return annotations if classes is None else _in_order(annotations, classes, source)
    record, _claim = read_record(source)
    if "images" in record.values or "annotations" in record.values:
        annotations = read_coco(record, images)
    elif "pictures" in record.values:
        annotations = read_points(record, images)
    else:
        keys = list(record.values)
        listed = ", ".join(keys[:4]) + (", ..." if len(keys) > 4 else "") if keys else "{}"
        raise FormatError(f"{source}: found {listed}; expected {_KINDS}")
    return annotations if classes is None else _in_order(annotations, classes, source)


def _in_order(annotations: Annotations, classes: tuple[str, ...], source: Path) -> Annotations:
    """The same annotations, with the classes in the order given."""
    if set(annotations.classes) != set(classes):
        raise FormatError(
            f"{source}: its classes are {', '.join(annotations.classes)}; "
            f"found {', '.join(classes)} given for them"
        )
    return replace(annotations, classes=classes)


def annotation_files(folder: Path) -> list[Path]:
    """The files of a folder that annotations are read from, its `classes.txt` among them.

    All are XML or all masks, but for that one; where there are only folders of classes none else is
    read. Raises FormatError for others.
    """
    inner = folder / "Annotations"
    folder = inner if os.path.isdir(inner) else folder
    try:
        files = sorted(path for path in folder.iterdir() if os.path.isfile(path))
    except OSError as error:
        raise FormatError(": ".join(unreadable(folder, error, "annotations"))) from error
    read = [path for path in files if path.suffix.lower() in _ENDINGS]
    kinds = {path.suffix.lower() for path in read}
    if len(kinds) != 1 and (kinds or not class_folders(folder)):
        what = "both" if kinds else "neither"
        raise FormatError(
            f"{folder}: found {what} .xml {'and' if kinds else 'nor'} .png files; expected {_KINDS}"
        )
    return [*(path for path in files if path.name == _CLASSES), *read]


def annotations_checksum(folder: Path) -> str:
    """The SHA-256 of all that annotations in a folder are read from, names of pictures included."""
    digest = hashlib.sha256()
    files = annotation_files(folder)
    for file in files:
        digest.update(f"{file.name} {sha256_of(file)}\n".encode())
    if not _but_classes(files):
        for each in class_folders(folder):
            for path in pictures_of(each):
                digest.update(os.fsencode(path.relative_to(folder)) + b"\n")
    return digest.hexdigest()


def _but_classes(files: Iterable[Path]) -> list[Path]:
    return [path for path in files if path.name != _CLASSES]


def _of_folder(source: Path, images: Path, classes: tuple[str, ...] | None) -> Annotations:
    from netsurgery.training.masks import read_masks
    from netsurgery.training.voc import read_voc

    files = _but_classes(annotation_files(source))
    names = classes if classes is not None else _beside(files[0].parent if files else source)
    if not files:
        return read_class_folders(class_folders(source), images, names)
    read = read_voc if files[0].suffix.lower() == ".xml" else read_masks
    return read(files, images, names)


def _beside(folder: Path) -> tuple[str, ...]:
    """The names in the folder's own file of them, () where it has none."""
    path = folder / _CLASSES
    if not os.path.isfile(path):
        return ()
    lines = read_labels(path).lines
    return checked_names(lines, lambda number: f"{path}:{number + 1}")


def _check(annotations: Annotations, source: Path) -> None:
    if not annotations.pictures:
        raise FormatError(f"{source}: annotations of no picture")
    if not annotations.classes:
        count = counted(len(annotations.pictures), "picture")
        raise FormatError(f"{source}: annotations of {count}, but of no class")
    path, times = Counter(picture.path for picture in annotations.pictures).most_common(1)[0]
    if times > 1:
        raise FormatError(f"{source}: the picture {path} is annotated {counted(times, 'time')}")
