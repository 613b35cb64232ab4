"""Pictures as SVG: the same items as in pixels, names as text and never markup."""

from __future__ import annotations

import base64
import io
import xml.etree.ElementTree as ElementTree
from typing import Any

import numpy as np
import pytest
from drawn_maps import class_map, drawn, one_hot
from PIL import Image

from netsurgery.drawing.cells import cells_image
from netsurgery.drawing.scene import CellGrid, Text
from netsurgery.drawing.svg import to_svg
from netsurgery.formats.labels import Labels
from netsurgery.maps.heatmap import map_scene
from netsurgery.maps.image import Picture
from netsurgery.maps.palette import CLASS_COLORS
from netsurgery.maps.picture_look import PictureLook

NS = "{http://www.w3.org/2000/svg}"
HALF = np.zeros((5, 5), int)
HALF[:, 2:] = 1


def parsed(mapped: Any, classes: str = "max", **look: Any) -> ElementTree.Element:
    return ElementTree.fromstring(to_svg(map_scene(mapped, classes, PictureLook(**look))))


def box(element: ElementTree.Element) -> tuple[float, ...]:
    x, y, width, height = (float(element.attrib[key]) for key in ("x", "y", "width", "height"))
    return x, y, x + width, y + height


def test_cells_are_boxes_at_their_places() -> None:
    mapped = class_map(one_hot(HALF, 2), background_name="none")
    root, picture = parsed(mapped), drawn(mapped)
    x0, y0, x1, _ = picture.frames[0]
    cells = [each for each in root.iter(f"{NS}rect") if "fill-opacity" in each.attrib]
    assert len(cells) == 10  # a row has a box of either class
    first = box(cells[0])
    scale = (x1 - x0) / 120
    expected = (x0 + 10 * scale, y0 + 10 * scale, x0 + 50 * scale, y0 + 30 * scale)
    np.testing.assert_allclose(first, expected, atol=0.01)
    assert cells[0].attrib["fill"] == "#{:02x}{:02x}{:02x}".format(*CLASS_COLORS[1])
    assert float(cells[0].attrib["fill-opacity"]) == np.float64(0.698)


def test_lines_are_inside_the_regions() -> None:
    mapped = class_map(one_hot(HALF, 2), background_name="none")
    root = parsed(mapped)
    x0, _, x1, _ = drawn(mapped).frames[0]
    edge = x0 + 50 * (x1 - x0) / 120
    color = "#{:02x}{:02x}{:02x}".format(*CLASS_COLORS[1])
    paths = {each.attrib["stroke"]: each.attrib["d"] for each in root.iter(f"{NS}path")}
    places = [float(part.split()[0].lstrip("ML")) for part in paths[color].split("L")]
    assert max(places) <= edge
    assert len(paths) == 2


@pytest.mark.parametrize(("cells", "width"), [(30, 2), (100, 1), (140, 0)])
def test_lines_are_as_wide_as_those_of_pixels(cells: int, width: int) -> None:
    """Cells too small for them have none."""
    stripes = np.arange(cells).repeat(cells).reshape(cells, cells) % 2
    image = Picture("p.png", np.full((20 * cells, 20 * cells, 3), 128, np.uint8))
    mapped = class_map(one_hot(stripes, 2) / 2, image, background_name="none")
    paths = parsed(mapped, width=820).iter(f"{NS}path")
    assert {each.attrib["stroke-width"] for each in paths} == ({str(width)} if width else set())
    items = drawn(mapped, width=820).scene.items
    (grid,) = (item for item in items if isinstance(item, CellGrid))
    cover = np.asarray(cells_image(grid, 1.0))
    opaque = np.count_nonzero(cover[:, cover.shape[1] // 2, 3] == 255)
    assert round(opaque / (2 * cells)) == width  # above and below in each cell


def test_all_text_of_the_scene_is_there() -> None:
    mapped = class_map(one_hot(HALF, 2))
    texts = [item for item in map_scene(mapped).items if isinstance(item, Text)]
    written = list(parsed(mapped).iter(f"{NS}text"))
    assert [each.text for each in written] == [text.words for text in texts]
    for each, text in zip(written, texts, strict=True):
        assert abs(float(each.attrib["x"]) - text.at[0]) <= 0.006
        assert abs(float(each.attrib["y"]) - text.at[1]) <= text.size


def test_names_are_text_not_markup() -> None:
    evil = "</text><script>alert(1)</script> & <b>\x00\x08\ufffe"
    picture = Picture("<svg onload='x()'>&.png", np.zeros((120, 120, 3), np.uint8))
    mapped = class_map(
        one_hot(HALF, 2), picture, labels=Labels("w", (evil, "]]>")), background_name="none"
    )
    root = parsed(mapped)
    assert {each.tag.removeprefix(NS) for each in root.iter()} == {
        "svg", "title", "rect", "text", "image", "g", "path",
    }  # fmt: skip
    words = [each.text for each in root.iter(f"{NS}text")]
    assert "<svg onload='x()'>&.png" in words
    assert any(word is not None and word.startswith("</text><script>") for word in words)
    names = {name for each in root.iter() for name in each.attrib}
    assert not any(name.startswith("on") for name in names)


def embedded(root: ElementTree.Element) -> list[Image.Image]:
    images: list[Image.Image] = []
    for each in root.iter(f"{NS}image"):
        kind, data = each.attrib["href"].split(",")
        assert kind == "data:image/png;base64"
        images.append(Image.open(io.BytesIO(base64.b64decode(data))))
    return images


def test_the_image_is_embedded_and_no_larger_than_it_is() -> None:
    image, fed = embedded(parsed(class_map(one_hot(HALF, 2))))
    assert image.mode == "L"
    assert image.size == (120, 120)
    assert image.getextrema() == (128, 128)
    assert fed.mode == "RGB"


def test_many_cells_and_smooth_ones_are_an_image() -> None:
    values = one_hot(np.arange(40_000).reshape(200, 200) % 2, 2)
    many = parsed(class_map(values, background_name="none"))
    assert len(embedded(many)) == 3
    smooth = parsed(class_map(one_hot(HALF, 2)), "1", smooth=True)
    cover = embedded(smooth)[1]
    assert cover.mode == "RGBA"
    assert cover.getpixel((2, 2)) == (0, 0, 0, 0)


def test_the_size_is_that_of_the_pixels() -> None:
    mapped = class_map(one_hot(HALF, 2))
    root, pixels = parsed(mapped, width=1800), drawn(mapped, width=1800).pixels
    assert root.attrib["width"] == str(pixels.width) == "1800"
    assert abs(float(root.attrib["height"]) - pixels.height) < 1
