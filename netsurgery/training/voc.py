"""Pascal VOC's annotations: an XML file for each picture, with the names of its objects.

VOC counts pixels from 1 and its corners are the first and the last pixel, so that `xmin` 1 and
`xmax` 10 are a box from 0 to 10. An object that is marked `difficult` does not count, neither as an
object nor as background. The parts of an object are not read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

from netsurgery.errors import FormatError
from netsurgery.io.argument_types import shown
from netsurgery.io.memory import Claim
from netsurgery.io.nearest import did_you_mean
from netsurgery.io.reader import read_whole
from netsurgery.io.unreadable import unreadable
from netsurgery.training.objects import AnnotatedPicture, Annotations, Box, TrueObject
from netsurgery.training.records import Record, box_of_corners, checked_names, picture_below

__all__ = ["read_voc"]

_LONGEST = 1 << 24
#: What a file's text takes as elements, at most, in bytes a character.
_TIMES = 200
_CORNERS = ("xmin", "ymin", "xmax", "ymax")


def read_voc(files: Sequence[Path], images: Path, classes: tuple[str, ...]) -> Annotations:
    """The annotations of XML files, one of each picture. Raises FormatError.

    classes: their order; () for those that are found, in the order of the alphabet.
    """
    pictures = tuple(_picture(path, images, classes) for path in files)
    labels = sorted({thing.label for picture in pictures for thing in picture.objects})
    return Annotations(classes or checked_names(labels, lambda _: files[0].parent.name), pictures)


@dataclass
class _Element:
    """An element of an XML file; place: file and line. pieces: its text, as it was found."""

    name: str
    place: str
    pieces: list[str] = field(default_factory=list)
    children: list[_Element] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    def all(self, name: str) -> list[_Element]:
        return [child for child in self.children if child.name == name]

    def find(self, name: str) -> _Element | None:
        return next(iter(self.all(name)), None)

    def value(self, name: str) -> str:
        """The text of a child that has to be there."""
        child = self.find(name)
        if child is None or not child.text.strip():
            raise FormatError(f"{self.place}: no <{name}> in <{self.name}>")
        return child.text.strip()

    def number(self, name: str) -> float:
        """The number in a child that has to be there."""
        text = self.value(name)
        child = self.find(name)
        assert child is not None
        try:
            return Record({name: float(text)}, child.place).number(name)
        except (ValueError, FormatError):
            raise FormatError(
                f"{child.place}: <{name}> holds {shown(text)}, expected a number of pixels"
            ) from None


def _picture(path: Path, images: Path, classes: tuple[str, ...]) -> AnnotatedPicture:
    root = _parse(path)
    if root.name != "annotation":
        raise FormatError(f"{root.place}: <{root.name}>, expected Pascal VOC's <annotation>")
    name = root.value("filename")
    objects, ignored = [], []
    for element in root.all("object"):
        label = " ".join(element.value("name").split())
        if classes and label not in classes:
            hint = did_you_mean(label, classes, "classes")
            raise FormatError(f"{element.place}: no class {label!r}{hint}")
        box = _box(element)
        difficult = element.find("difficult")
        if difficult is not None and difficult.text.strip() == "1":
            ignored.append(box)
        else:
            objects.append(TrueObject(label, box))
    return AnnotatedPicture(
        path=str(picture_below(images, name, root.place)),
        objects=tuple(objects),
        ignored=tuple(ignored),
        size=_size(root),
        name=name,
        place=root.place,
    )


def _box(element: _Element) -> Box:
    box = element.find("bndbox")
    if box is None:
        raise FormatError(f"{element.place}: no <bndbox> in <object>")
    left, top, right, bottom = map(box.number, _CORNERS)
    return box_of_corners((left - 1, top - 1, right, bottom), box.place)


def _size(root: _Element) -> tuple[int, int] | None:
    """Height and width; some tools write 0 where they do not know."""
    size = root.find("size")
    if size is None:
        return None
    height, width = size.number("height"), size.number("width")
    if height == width == 0:
        return None
    if min(height, width) < 1 or not (height.is_integer() and width.is_integer()):
        raise FormatError(f"{size.place}: a picture {width:g} wide and {height:g} high")
    return int(height), int(width)


def _parse(path: Path) -> _Element:
    try:
        data = read_whole(path, _LONGEST)
    except OSError as error:
        raise FormatError(": ".join(unreadable(path, error, "annotations in XML"))) from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise FormatError(f"{path}:{line}: not UTF-8 text, expected annotations in XML") from error
    # Entities, by which a small file becomes endless or reads others, need a document type.
    for word in ("<!DOCTYPE", "<!ENTITY"):
        if word in text:
            line = text[: text.index(word)].count("\n") + 1
            raise FormatError(f"{path}:{line}: {word} is not read; expected plain XML")
    with Claim(_TIMES * len(text), f"{path}: its annotations"):
        return _TreeBuilder(path).build(text)


class _TreeBuilder:
    """Makes elements of what expat finds; it calls nothing by itself, however deep they lie."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # The encoding is said, so that no declaration changes what was looked for above.
        self._parser = expat.ParserCreate("utf-8")
        self._open = [_Element("", str(path))]
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters

    def build(self, text: str) -> _Element:
        try:
            self._parser.Parse(text, True)
        except expat.ExpatError as error:
            what = expat.ErrorString(error.code)
            place = f"{self._path}:{error.lineno}:{error.offset + 1}"
            raise FormatError(f"{place}: broken XML ({what})") from error
        return self._open[0].children[0]

    def _start(self, name: str, _: dict[str, str]) -> None:
        element = _Element(name, f"{self._path}:{self._parser.CurrentLineNumber}")
        self._open[-1].children.append(element)
        self._open.append(element)

    def _end(self, _: str) -> None:
        self._open.pop()

    def _characters(self, text: str) -> None:
        self._open[-1].pieces.append(text)
