"""A scene of shapes and texts, as pixels and as SVG: both show the same."""

from __future__ import annotations

import io
from itertools import groupby
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from drawn_maps import class_map
from PIL import Image

import netsurgery as ns
from netsurgery.drawing.arrow import Arrow
from netsurgery.drawing.colors import PAPER, Tone
from netsurgery.drawing.fonts import FONTS
from netsurgery.drawing.picture_file import encoded
from netsurgery.drawing.pixels import to_pixels
from netsurgery.drawing.scene import Item, ItemGroup, Line, Rect, Scene, Text
from netsurgery.drawing.svg import to_svg
from netsurgery.maps.channel_view import ChannelView
from netsurgery.maps.grid import blob_scene
from netsurgery.maps.heatmap import map_scene
from netsurgery.maps.param_picture import param_scene
from netsurgery.maps.picture_look import PictureLook
from netsurgery.training.curves import curves
from netsurgery.training.run_log import History

SVG = "{http://www.w3.org/2000/svg}"
RED, BLUE = Tone("red", "#c80a1e", "#ff8080"), (10, 20, 200)
SCALES = [1, 2, 3]


def drawn(*items: Item, scale: float = 1) -> Image.Image:
    return to_pixels(Scene(60, 40, scale=scale, items=list(items)))


def element(item: Item, tag: str) -> ElementTree.Element:
    """The first of its elements that is not the paper."""
    svg = to_svg(Scene(60, 40, items=[item], tones=[RED], title="a < b"))
    return list(ElementTree.fromstring(svg).iter(SVG + tag))[1 if tag == "rect" else 0]


@pytest.mark.parametrize("scale", SCALES)
def test_the_line_of_a_box_is_inside_its_edge(scale: int) -> None:
    item = Rect((10, 10, 50, 30), BLUE, RED, thick=2)
    picture = drawn(item, scale=scale)
    row = [picture.getpixel((x, 20 * scale)) for x in range(60 * scale)]
    runs = [(color, len(list(same))) for color, same in groupby(row)]
    widths = [PAPER, RED, BLUE, RED, PAPER], [10, 2, 36, 2, 10]
    assert runs == [(color, scale * width) for color, width in zip(*widths, strict=True)]
    rect = element(item, "rect")
    assert [rect.get(key) for key in ("x", "width", "stroke-width")] == ["11", "38", "2"]
    assert (rect.get("stroke"), rect.get("fill")) == ("#c80a1e", "#0a14c8")


@pytest.mark.parametrize("scale", SCALES)
def test_dashes_of_a_box_are_where_its_line_would_be(scale: int) -> None:
    item = Rect((10, 10, 50, 30), None, RED, thick=2, dashed=True)
    picture = drawn(item, scale=scale)
    edge = [picture.getpixel((x, 11 * scale)) for x in range(12 * scale, 48 * scale)]
    assert set(edge) == {RED, PAPER}
    inner = picture.crop((13 * scale, 13 * scale, 47 * scale, 27 * scale)).getcolors()
    assert inner == [(34 * 14 * scale**2, PAPER)]
    assert element(item, "rect").get("stroke-dasharray") == "5 4"


@pytest.mark.parametrize("scale", SCALES)
def test_an_arrow_has_a_line_and_a_head(scale: int) -> None:
    item = Arrow(((5, 20), (50, 20)), RED)
    picture = drawn(item, scale=scale)
    assert picture.getpixel((20 * scale, 20 * scale)) == RED
    assert picture.getpixel((44 * scale, 22 * scale)) == RED  # the head alone is so wide
    assert picture.getpixel((20 * scale, 23 * scale)) == PAPER
    assert picture.getpixel((52 * scale, 20 * scale)) == PAPER
    assert element(item, "path").get("d") == "M5 20L50 20"


def test_a_bold_text_is_darker() -> None:
    plain, bold = (
        drawn(Text((5, 30), "Hill", 14, anchor="ls", bold=bold), scale=2) for bold in (False, True)
    )
    sums = [sum(image.convert("L").tobytes()) for image in (plain, bold)]
    assert sums[1] < sums[0]
    assert element(Text((5, 30), "Hill", 14, bold=True), "text").get("font-weight") == "bold"


def test_a_text_takes_the_width_that_it_was_laid_out_to_have() -> None:
    for width, expected in ((33.125, "33.12"), (None, f"{FONTS.length('tabby', 14):g}")):
        text = element(Text((5, 5), "tabby", 14, width=width), "text")
        assert text.get("textLength") == expected


@pytest.mark.parametrize("words", ["Жук", "卷积", "תא"])
def test_a_text_of_another_font_does_not_fill_the_room_of_the_widest(words: str) -> None:
    text = element(Text((5, 5), words, 14, width=80.0), "text")
    assert (text.get("textLength"), text.text) == (None, words)


def test_tones_have_another_colour_in_the_dark() -> None:
    svg = to_svg(Scene(60, 40, items=[Line((0, 0), (9, 9), RED)], tones=[RED], title="a < b"))
    assert "@media (prefers-color-scheme:dark){.netsurgery-net .f-red{fill:#ff8080}" in svg
    line = element(Line((0, 0), (9, 9), RED), "line")
    assert (line.get("class"), line.get("stroke")) == ("s-red", "#c80a1e")
    assert "<title>a &lt; b</title>" in svg
    assert "prefers-color-scheme" not in to_svg(Scene(60, 40))


def test_a_group_says_what_its_items_are_of() -> None:
    inner = Rect((10, 10, 50, 30), BLUE)
    group = ItemGroup("box", [inner], 'a "b"\n\x1b<c>', {"key": "<7>"})
    inside = element(group, "g")
    assert (inside.get("class"), inside.get("data-key")) == ("box", "<7>")
    assert inside.findtext(f"{SVG}title") == 'a "b"\n\\x1b<c>'
    assert inside.find(f"{SVG}rect") is not None
    assert drawn(group).tobytes() == drawn(inner).tobytes()


def test_a_png_says_how_many_pixels_an_inch_has() -> None:
    for dpi in (None, 192):
        with Image.open(io.BytesIO(encoded(Scene(60, 40), ".png", dpi))) as picture:
            stored = picture.info.get("dpi", (None,))[0]
            assert stored is None if dpi is None else abs(stored - dpi) < 0.1
            picture.verify()


def test_an_svg_says_what_it_shows(tmp_path: Path) -> None:
    """WCAG 1.1.1: to who cannot see an image nothing in it is text, but for its title."""
    mapped = class_map(np.eye(3)[:, :, None] * np.ones(4))
    values = np.ones((2, 3, 4), np.float32)
    net = tmp_path / "net.prototxt"
    net.write_text('layer { name: "d" type: "Input" top: "d" input_param { shape { dim: 1 } } }')
    scenes = {
        "grey.png: likeliest class of each cell, drawn": map_scene(mapped),
        "grey.png: likeliest class of each cell,": map_scene(
            mapped, look=PictureLook(layout="panels")
        ),
        "grey.png: probability of class 1": map_scene(mapped, "1"),
        "grey.png: probability of 2 classes,": map_scene(mapped, "1,2"),
        "grey.png: probability of each class found,": map_scene(mapped, "each"),
        "conv: cat: 2x3x4 (": blob_scene(values, "conv", "cat", ChannelView()),
        "fc[0] of m: 2x12: a row for each": param_scene(values.reshape(2, 12), "fc[0] of m"),
        "plan: losses by step": curves(History(), "plan"),
    }
    texts = {title: to_svg(scene) for title, scene in scenes.items()}
    for title, text in {**texts, "net": ns.draw(net).svg()}.items():
        root = ElementTree.fromstring(text)
        assert root.get("role") == "img"
        assert (root[0].tag, (root[0].text or "")[: len(title)]) == (SVG + "title", title)
