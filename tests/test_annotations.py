"""Annotations of every kind, as they should be and broken."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from netsurgery.errors import BrokenImages, FormatError
from netsurgery.training.annotations import read_annotations
from netsurgery.training.objects import AnnotatedPicture, TrueMask, TrueObject

COCO: dict[str, Any] = {
    "images": [
        {"id": 7, "file_name": "a.png", "width": 60, "height": 40},
        {"id": 3, "file_name": "sub/b.png"},
    ],
    "categories": [{"id": 9, "name": "dog"}, {"id": 2, "name": "cat"}],
    "annotations": [
        {"image_id": 7, "category_id": 9, "bbox": [10, 5, 20, 10.5]},
        {"image_id": 7, "category_id": 2, "bbox": [0, 0, 60, 40], "iscrowd": 1},
        {"image_id": 7, "category_id": 2, "segmentation": [[1, 2, 9, 2, 5, 8], [4, 1, 5, 1, 5, 2]]},
    ],
}
POINTS: dict[str, Any] = {
    "classes": ["cat", "dog"],
    "pictures": [
        {
            "file": "a.png",
            "width": 60,
            "height": 40,
            "points": [{"class": "dog", "at": [3, 4.5]}],
            "boxes": [{"class": "cat", "box": [1, 2, 11, 12]}],
            "ignored": [[0, 30, 60, 40]],
        },
        {"file": "sub/b.png"},
    ],
}
VOC = """<annotation>
  <filename>a.png</filename>
  <size><width>60</width><height>40</height><depth>3</depth></size>
  <object>
    <name>dog</name>
    <bndbox><xmin>1</xmin><ymin>11</ymin><xmax>20</xmax><ymax>30</ymax></bndbox>
    <part><name>head</name><bndbox><xmin>1</xmin></bndbox></part>
  </object>
  <object>
    <name>cat</name><difficult>1</difficult>
    <bndbox><xmin>31</xmin><ymin>1</ymin><xmax>40</xmax><ymax>9.5</ymax></bndbox>
  </object>
</annotation>
"""


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder's `images`, with two pictures."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images/sub").mkdir(parents=True)
    for name in ("a.png", "sub/b.png"):
        Image.new("L", (60, 40)).save(tmp_path / "images" / name)
    return Path("images")


def written(value: object) -> Path:
    path = Path("truth.json")
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return path


def voc(text: str = VOC, name: str = "VOC/Annotations/a.xml") -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return Path("VOC")


def masks(names: str | None = "ground\ncat\n", stem: str = "a") -> Path:
    folder = Path("masks")
    folder.mkdir(exist_ok=True)
    Image.fromarray(np.zeros((40, 60), np.uint8)).save(folder / f"{stem}.png")
    if names is not None:
        (folder / "classes.txt").write_text(names)
    return folder


def test_coco(images: Path) -> None:
    annotations = read_annotations(written(COCO), images)
    assert annotations.classes == ("cat", "dog")  # by their ids
    objects = TrueObject("dog", (10, 5, 30, 15.5)), TrueObject("cat", (1, 1, 9, 8))
    assert annotations.pictures == (
        AnnotatedPicture(
            "images/a.png", objects, ignored=((0, 0, 60, 40),), size=(40, 60), name="a.png"
        ),
        AnnotatedPicture("images/sub/b.png", name="sub/b.png"),
    )


def test_points_and_boxes(images: Path) -> None:
    annotations = read_annotations(written(POINTS), images)
    assert annotations.classes == ("cat", "dog")
    objects = TrueObject("dog", (3, 4.5, 3, 4.5)), TrueObject("cat", (1, 2, 11, 12))
    assert objects[0].is_point
    assert objects[1].center == (6, 7)
    assert annotations.pictures == (
        AnnotatedPicture(
            "images/a.png", objects, ignored=((0, 30, 60, 40),), size=(40, 60), name="a.png"
        ),
        AnnotatedPicture("images/sub/b.png", name="sub/b.png"),
    )


@pytest.mark.parametrize("declaration", ["", '<?xml version="1.0" encoding="UTF-8"?>\n', "\ufeff"])
@pytest.mark.parametrize("name", ["VOC/Annotations/a.xml", "VOC/a.xml"])
def test_voc(images: Path, declaration: str, name: str) -> None:
    annotations = read_annotations(voc(declaration + VOC, name), images)
    assert annotations.classes == ("dog",)  # what does not count names no class
    (picture,) = annotations.pictures
    assert picture.objects == (TrueObject("dog", (0, 10, 20, 30)),)
    assert picture.ignored == ((30, 0, 40, 9.5),)
    assert picture.size == (40, 60)
    assert read_annotations(Path("VOC"), images, ["cat", "dog"]).classes == ("cat", "dog")


def test_masks(images: Path) -> None:
    annotations = read_annotations(masks(), images)
    assert annotations.classes == ("ground", "cat")
    mask = TrueMask("masks/a.png", ("ground", "cat"))
    assert annotations.pictures == (AnnotatedPicture("images/a.png", mask=mask, name="a.png"),)
    assert read_annotations(masks(None), images, ["x", "y"]).classes == ("x", "y")


def test_classes_in_another_order(images: Path) -> None:
    for value in (COCO, POINTS):
        assert read_annotations(written(value), images, ["dog", "cat"]).classes == ("dog", "cat")
        with pytest.raises(FormatError, match=r"its classes are cat, dog; found dog, cow given"):
            read_annotations(written(value), images, ["dog", "cow"])


def changed(value: dict[str, Any], path: str, to: object) -> dict[str, Any]:
    """A copy with one value replaced, or left out for ...; path: keys and numbers with dots."""
    result = copy.deepcopy(value)
    *outer, last = [int(key) if key.isdigit() else key for key in path.split(".")]
    inner: Any = result
    for key in outer:
        inner = inner[key]
    if to is ...:
        del inner[last]
    else:
        inner[last] = to
    return result


#: What is wrong with a JSON file, and the end of its one line.
BROKEN_JSON: list[tuple[dict[str, Any], str, object, str]] = [
    (COCO, "images", ..., ": no 'images'; expected a list [...]"),
    (POINTS, "pictures", [], "truth.json: annotations of no picture"),
    (COCO, "images", [], "truth.json: annotations[0].image_id: no 7 among the ids of 'images'"),
    (COCO, "categories", [], "annotations[0].category_id: no 9 among the ids of 'categories'"),
    (COCO, "images.0", 3, "images[0]: found 3, expected an object {...}"),
    (COCO, "images.0.id", "7", "images[0].id: found '7', expected a whole number"),
    (COCO, "images.1.id", 7, "images[1].id: 7 is the id of truth.json: images[0], too"),
    (COCO, "images.0.width", 0, "images[0].width: found 0, expected a whole number from 1 on"),
    (COCO, "images.0.height", ..., "images[0]: no 'height'; expected a whole number from 1 on"),
    (COCO, "images.0.file_name", "../a.png", "expected a name without .. and without a leading"),
    (COCO, "images.0.file_name", "/etc/passwd", "'/etc/passwd' would not lie below images"),
    (COCO, "images.0.file_name", "C:\\a.png", "would not lie below images"),
    (COCO, "images.0.file_name", "b.png", "file_name: images/b.png: No such file or directory"),
    (COCO, "images.0.file_name", "aa.png", "No such file or directory; did you mean a.png?"),
    (COCO, "images.0.file_name", "sub", "images/sub: is a folder, expected a picture"),
    (COCO, "images.0.file_name", "a\0.png", "expected text of one line"),
    (COCO, "images.1.file_name", "a.png", "the picture images/a.png is annotated 2 times"),
    (COCO, "categories.0.name", "cat", "categories[0].name: the class 'cat' is there twice"),
    (COCO, "categories.0.name", " ", "categories[0].name: found ' ', expected text of one line"),
    (COCO, "annotations.0.image_id", 8, "annotations[0].image_id: no 8 among the ids of 'images'"),
    (COCO, "annotations.0.image_id", True, "image_id: found True, expected a whole number"),
    (COCO, "annotations.0.bbox", [1, 2, 3], "bbox: found [1, 2, 3], expected 4 numbers, left, top"),
    (COCO, "annotations.0.bbox", [1, 2, 0, 3], "bbox: a box 0 wide and 3 high"),
    (COCO, "annotations.0.bbox", [1, 2, "3", 3], "expected 4 numbers, left, top, width and height"),
    (COCO, "annotations.0.bbox", [1, 2, 1e300, 3], "expected 4 numbers"),
    (COCO, "annotations.0.bbox", ..., "annotations[0]: no 'bbox'; expected 4 numbers"),
    (
        COCO,
        "annotations.2.segmentation",
        [[1, 2, 3]],
        "segmentation[0]: found [1, 2, 3], ",
    ),
    (COCO, "annotations.2.segmentation", [[1, 2] * 3], "segmentation: a box 0 wide and 0 high"),
    (POINTS, "classes", [], "classes: found [], expected a list of the classes' names"),
    (POINTS, "classes", ["cat", "cat"], "classes[1]: the class 'cat' is there twice; the first is"),
    (POINTS, "classes", ["cat", 1], "classes[1]: found 1, expected the name of a class"),
    (POINTS, "classes", ["a\tb"], "expected the name of a class, text of one line without tabs"),
    (
        POINTS,
        "pictures.1.box",
        [],
        "pictures[1]: no list 'box' is known of a picture; did you mean",
    ),
    (POINTS, "pictures.1.cats", [], "picture; its lists are boxes, points, ignored"),
    (POINTS, "pictures.0.file", 1, "pictures[0].file: found 1, expected text of one line"),
    (POINTS, "pictures.0.points.0.class", "dgo", "class: no class 'dgo'; did you mean dog?"),
    (POINTS, "pictures.0.points.0.at", [3], "points[0].at: found [3], expected 2 numbers, x and y"),
    (POINTS, "pictures.0.boxes.0.box", [11, 2, 1, 12], "has no pixels; expected left < right"),
    (POINTS, "pictures.0.boxes", {}, "boxes: found {}, expected a list [...]"),
    (POINTS, "pictures.0.ignored", [3], "ignored[0].box: found 3, expected 4 numbers"),
]


def refused(source: Path, images: Path, classes: list[str] | None = None) -> str:
    with pytest.raises(FormatError) as error:
        read_annotations(source, images, classes)
    line = str(error.value)
    assert "\n" not in line
    assert len(line) < 400
    return line


@pytest.mark.parametrize(
    ("value", "path", "to", "words"),
    BROKEN_JSON,
    ids=range(len(BROKEN_JSON)),
)
def test_broken_json_annotations_are_one_line(
    images: Path, value: dict[str, Any], path: str, to: object, words: str
) -> None:
    line = refused(written(changed(value, path, to)), images)
    assert line.startswith("truth.json")
    assert words in line


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "truth.json: is empty"),
        ('{"images": [}', "truth.json:1:13: broken JSON (expecting value)"),
        ("[" * 100_000, "truth.json: broken JSON (nested too deeply)"),
        ('{"images": NaN}', "truth.json: broken JSON (NaN is not a number in JSON)"),
        ('{"images": 1' + "0" * 5000 + "}", "truth.json: broken JSON"),
        ("[1, 2]", "truth.json: JSON, but no object {...}; expected annotations"),
        ("{}", "truth.json: found {}; expected COCO's JSON"),
        ('{"a": 1, "b": 2}', "truth.json: found a, b; expected COCO's JSON"),
        ("<!doctype html>", "a web page"),
    ],
)
def test_what_is_no_json_of_annotations_is_one_line(images: Path, text: str, words: str) -> None:
    assert words in refused(written(text), images)


#: Of each kind annotations of a.png, b.png and c.png, and the places that name the last two.
NAMING: dict[str, tuple[Callable[[], Path], list[str]]] = {
    "coco": (
        lambda: written(with_missing(COCO, "images", "file_name")),
        [f"truth.json: images[{number}].file_name" for number in (1, 2)],
    ),
    "points": (
        lambda: written(with_missing(POINTS, "pictures", "file")),
        [f"truth.json: pictures[{number}].file" for number in (1, 2)],
    ),
    "voc": (
        lambda: {
            voc(VOC.replace("a.png", f"{name}.png"), f"VOC/Annotations/{name}.xml")
            for name in "abc"
        }.pop(),
        [f"VOC/Annotations/{name}.xml:1" for name in "bc"],
    ),
    "list": (lambda: listed("/a.png 0\nb.png 1\nc.png 1\n"), ["list.txt:2", "list.txt:3"]),
}


def with_missing(value: dict[str, Any], key: str, name: str) -> dict[str, Any]:
    """The same of three pictures, the second and the third of which are not there."""
    result: dict[str, Any] = json.loads(json.dumps(value))
    first = result[key][0]
    result[key] = [first, *({**first, name: f"{each}.png", "id": 70} for each in "bc")]
    result[key][2]["id"] = 71
    if "annotations" in result:
        result["annotations"] = [each for each in result["annotations"] if each["image_id"] == 7]
    return result


def listed(text: str) -> Path:
    Path("list.txt").write_text(text)
    return Path("list.txt")


@pytest.mark.parametrize("kind", NAMING)
def test_all_pictures_that_are_not_there_are_named(images: Path, kind: str) -> None:
    make, places = NAMING[kind]
    source = make()
    lines = [
        f"{place}: images/{name}.png: No such" for place, name in zip(places, "bc", strict=True)
    ]
    with pytest.raises(BrokenImages) as raised:
        read_annotations(source, images)
    errors = list(map(str, raised.value.errors))
    assert len(errors) == 2
    assert all(map(str.startswith, errors, lines))
    assert str(raised.value) == f"{errors[0]}; 2 of 3 pictures cannot be used"
    read = read_annotations(source, images, allow_missing=True)
    assert len(read.pictures) == 3
    assert list(map(str, read.missing.values())) == errors
    assert list(read.missing) == ["images/b.png", "images/c.png"]


def test_where_no_picture_is_there_the_folder_is_doubted(images: Path, tmp_path: Path) -> None:
    """In one line, however many there are."""
    source = listed("".join(f"{number}.jpg 0\n" for number in range(1000)))
    for allow_missing in (False, True):
        with pytest.raises(FormatError) as raised:
            read_annotations(source, images, allow_missing=allow_missing)
        assert str(raised.value).startswith("list.txt:1: images/0.jpg: No such file or directory")
        assert str(raised.value).endswith("; none of the 1000 annotated pictures lies below images")


def test_similar_names_are_not_looked_for_without_end(
    images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder of ten thousands takes long to look through."""
    looks: list[str] = []
    monkeypatch.setattr(
        "netsurgery.training.annotations.check_file", lambda path, *_: looks.append(path)
    )
    (images / "folder.jpg").mkdir()
    lines = "".join(f"{number}.jpg 0\n" for number in range(500))
    source = listed(f"a.png 0\n{lines}folder.jpg 0\n")
    assert len(read_annotations(source, images, allow_missing=True).missing) == 501
    assert len(looks) == 21
    assert looks[-1] == "images/folder.jpg"


BOMB = '<!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;">]>' + VOC


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "a.xml:1:1: broken XML (no element found)"),
        (VOC.replace("</name>", "", 1), "a.xml:8:5: broken XML (mismatched tag)"),
        (BOMB, "a.xml:1: <!DOCTYPE is not read; expected plain XML"),
        ('<?xml version="1.0" encoding="utf-16"?>' + VOC, ""),
        (VOC.replace("dog", "&dog;"), "broken XML (undefined entity)"),
        (
            VOC.replace("annotation>", "html>"),
            "a.xml:1: <html>, expected Pascal VOC's",
        ),
        (VOC.replace("filename", "file"), "a.xml:1: no <filename> in <annotation>"),
        (VOC.replace("a.png", "../images/a.png"), "'../images/a.png' would not lie below images"),
        (VOC.replace("<name>dog</name>", "<name> </name>"), "a.xml:4: no <name> in <object>"),
        (VOC.replace("bndbox", "box"), "a.xml:4: no <bndbox> in <object>"),
        (VOC.replace("<xmax>20</xmax>", ""), "a.xml:6: no <xmax> in <bndbox>"),
        (
            VOC.replace(">20<", ">wide<"),
            "a.xml:6: <xmax> holds 'wide', expected a number",
        ),
        (VOC.replace(">20<", ">nan<"), "a.xml:6: <xmax> holds 'nan', expected a number of pixels"),
        (
            VOC.replace(">20<", ">0<"),
            "a.xml:6: the box 0, 10, 0, 30 (left, top, right,",
        ),
        (VOC.replace(">60<", ">-60<"), "a.xml:3: a picture -60 wide and 40 high"),
    ],
)
def test_broken_voc_annotations_are_one_line(images: Path, text: str, words: str) -> None:
    source = voc(text)
    if not words:  # what the declaration says of its encoding is not heeded
        assert len(read_annotations(source, images).pictures) == 1
    else:
        assert words in refused(source, images)


def test_entities_cannot_hide_behind_an_encoding(images: Path) -> None:
    source = voc()
    Path("VOC/Annotations/a.xml").write_bytes(b"\xff\xfe" + BOMB.encode("utf-16-le"))
    assert "a.xml:1: not UTF-8 text" in refused(source, images)
    Path("VOC/Annotations/a.xml").write_bytes(
        b'<?xml version="1.0" encoding="utf-7"?>' + BOMB.replace("<", "+ADw-").encode()
    )
    assert "broken XML" in refused(source, images)


def test_deep_xml_does_no_harm(images: Path) -> None:
    deep = "<annotation>" * 50_000 + "</annotation>" * 50_000
    assert "no <filename>" in refused(voc(deep), images)


def test_long_text_in_xml_is_read_at_once(images: Path) -> None:
    start = time.process_time()
    lines = "x\n" * 500_000
    source = voc(VOC.replace("</annotation>", f"<comment>{lines}</comment></annotation>"))
    assert read_annotations(source, images).pictures[0].name == "a.png"
    assert time.process_time() - start < 20  # a minute, where each line copies those before it


def no_classes(images: Path) -> tuple[Path, Path, list[str] | None]:
    return masks(None), images, None


#: What is wrong with folders, files and arguments.
BROKEN_FOLDERS: list[tuple[Callable[[Path], tuple[Path, Path, list[str] | None]], str]] = [
    (no_classes, "masks: the masks' numbers have no names; expected classes.txt beside them"),
    (
        lambda i: (masks("a\n\nb\n"), i, None),
        "masks/classes.txt:2: an empty line",
    ),
    (lambda i: (masks("a\na\n"), i, None), "masks/classes.txt:2: the class 'a' is there twice"),
    (
        lambda i: (masks(stem="c"), i, None),
        "masks/c.png: expected one picture c.* in",
    ),
    (
        lambda i: (masks(), Path("none"), None),
        "none: is not a folder, expected that of",
    ),
    (lambda i: (Path("truth.jsn"), i, None), "truth.jsn: No such file or directory"),
    (lambda i: (i / "sub/..", Path("masks"), None), "masks: is not a folder"),
    (lambda i: (masks(), i, []), "classes: found none, expected the names of the classes"),
    (lambda i: (masks(), i, ["a", "a"]), "classes: name 2: the class 'a' is there twice"),
    (lambda i: (voc(), i, ["cat", "dgo"]), "a.xml:4: no class 'dog'; did you mean dgo?"),
]


@pytest.mark.parametrize(("make", "words"), BROKEN_FOLDERS, ids=range(len(BROKEN_FOLDERS)))
def test_broken_folders_are_one_line(
    images: Path,
    make: Callable[[Path], tuple[Path, Path, list[str] | None]],
    words: str,
) -> None:
    assert words in refused(*make(images))


def test_folders_of_both_kinds_or_none_are_refused(images: Path) -> None:
    Path("empty").mkdir()
    assert "empty: found neither .xml nor .png files; expected" in refused(Path("empty"), images)
    voc(VOC, "masks/a.xml")
    assert "masks: found both .xml and .png files" in refused(masks(), images)


def test_two_pictures_of_a_masks_name_are_refused(images: Path) -> None:
    Image.new("L", (60, 40)).save(images / "a.bmp")
    assert "expected one picture a.* in images, found a.bmp, a.png" in refused(masks(), images)
