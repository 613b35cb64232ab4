"""Text of pictures in any script: its own, where a font has it, else in ASCII; never boxes."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawn_maps import class_map, drawn, one_hot
from PIL import Image, ImageDraw

from netsurgery.drawing import fonts
from netsurgery.drawing.fonts import Fonts, Glyphs, ascii_form, before_number, open_font
from netsurgery.drawing.pixels import to_pixels
from netsurgery.drawing.scene import ItemGroup, Scene
from netsurgery.errors import SettingsError
from netsurgery.formats.labels import Labels
from netsurgery.maps.boxes import MapBox, with_boxes
from netsurgery.maps.heatmap import map_scene

SCRIPTS = {
    "chinese": ("虎斑猫", "HuBanMao"),
    "greek": ("Ψάρι", "Psari"),
    "arabic": ("قطة", "qth"),
    "marks": ("x\u0301q\u0323", "xq"),
    "hindi": ("हिन्दी", "hindi"),
}


def dejavu() -> Path:
    font = next(Path("/usr/share/fonts").rglob("DejaVuSans.ttf"), None)
    return font or pytest.skip("no font DejaVu Sans here")


def alone() -> Fonts:
    """Pillow's own font, and none of the system's."""
    return Fonts(folders=[Path("/nowhere")])


@pytest.mark.parametrize("name", SCRIPTS)
def test_what_no_font_has_is_spelled_in_ascii(name: str) -> None:
    text, plain = SCRIPTS[name]
    assert ascii_form(text) == plain
    assert not alone().is_native(text)
    assert alone().readable(text) == plain


def test_plain_text_is_in_pillows_own_font() -> None:
    """So that a picture of it is the same everywhere."""
    own = Fonts()
    for text in ("tabby cat", "a-b_c/d (0.5)"):
        assert own.is_native(text)
        assert own.font(text, 14).getname() == alone().font(text, 14).getname()  # type: ignore[union-attr]


@pytest.mark.parametrize("anchor", ["la", "lm", "mm", "ra", "rs"])
@pytest.mark.parametrize("text", ["tabby, gj|", "WAVE", " ", "猫 cat"])
def test_text_is_drawn_as_pillow_draws_it(text: str, anchor: str) -> None:
    """Also the second time, when it is kept, and where it passes the edges."""
    fonts = Fonts()
    expected = Image.new("RGB", (120, 60), (250, 250, 248))
    scene = Scene(120, 60, fonts)
    for place, size in (
        ((60, 30), 13),
        ((60, 50), 13),
        ((9, 9), 13),
        ((-3, 2), 21),
        ((118, 58), 9),
    ):
        scene.text(place, text, size, (200, 30, 90), anchor)
        words = fonts.readable(text)
        pen = ImageDraw.Draw(expected)
        pen.text(place, words, (200, 30, 90), fonts.font(text, size), anchor)
    drawn = to_pixels(scene)
    assert np.array_equal(np.asarray(drawn), np.asarray(expected))
    assert text.isspace() or len(np.unique(np.asarray(drawn))) > 9


class FakeGlyphs(Glyphs):
    """A font that has some characters."""

    def __init__(self, characters: str) -> None:
        super().__init__(None)
        self.characters = characters

    def has(self, text: str) -> bool:
        return set(text) <= set(self.characters)


@pytest.mark.parametrize("raqm", [True, False])
@pytest.mark.parametrize("name", SCRIPTS)
def test_a_font_that_has_the_script_is_taken(
    name: str, raqm: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But letters that join, carry marks or run to the left need Raqm to be laid out."""
    text, plain = SCRIPTS[name]
    monkeypatch.setattr("PIL.features.check_feature", lambda feature: raqm)
    chosen = Fonts(FakeGlyphs(text), folders=[])
    native = raqm or name in ("chinese", "greek")
    assert chosen.is_native(text) == native
    assert chosen.readable(text) == (text if native else plain)


def test_marks_that_have_a_letter_of_their_own_are_composed() -> None:
    assert Fonts(FakeGlyphs("café"), folders=[]).readable("cafe\u0301") == "café"


def test_glyphs_of_a_real_font(tmp_path: Path) -> None:
    glyphs = Glyphs(str(dejavu()))
    assert glyphs.has("Ψάρι قطة x\u0301 Žluťoučký")
    assert not glyphs.has("猫")
    assert not glyphs.has("Ψ猫")
    assert glyphs.has("x\u200dx")  # a joiner, of which nothing is to be seen
    assert not glyphs.has("\u2800")  # nor of this one, which is no space
    folder = tmp_path / "deep" / "er"
    folder.mkdir(parents=True)
    shutil.copy(dejavu(), folder)
    assert Fonts(folders=[tmp_path]).readable("Ψάρι") == "Ψάρι"
    assert not Fonts(folders=[tmp_path / "nothing"]).is_native("Ψάρι")
    (folder / "NotoSans-Regular.ttf").write_bytes(b"broken")
    again = tmp_path / "deep"  # the fonts of `tmp_path` are known by now
    assert Fonts(folders=[again]).readable("猫") == "Mao"
    assert Fonts(folders=[again]).readable("Ψάρι") == "Ψάρι"


def test_a_font_that_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"no\.ttf: No such file"):
        open_font(tmp_path / "no.ttf")
    (tmp_path / "bad.ttf").write_bytes(b"no font")
    with pytest.raises(SettingsError, match=r"bad\.ttf: not a font, expected TrueType or OpenType"):
        open_font(tmp_path / "bad.ttf")


def test_a_real_font_that_is_named() -> None:
    assert open_font(dejavu()).font("plain", 14).getname()[0] == "DejaVu Sans"  # type: ignore[union-attr]


@pytest.mark.parametrize("text", ["\x1b[2J", "a\nb", "\udcff", "\u202eabc", "\U0010ffff"])
def test_what_is_no_text_is_a_question_mark(text: str) -> None:
    shown = Fonts().readable(text)
    assert shown.isprintable()
    assert "?" in shown
    assert "\u202e" not in shown


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_picture_has_the_number_and_the_ascii_name_where_no_font_has_the_label(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, plain = SCRIPTS[name]
    numbers = np.zeros((5, 5), int)
    numbers[:, 3:] = 1
    mapped: Any = class_map(one_hot(numbers, 2), labels=Labels("w", ("plain", text)))
    monkeypatch.setattr("PIL.features.check_feature", lambda feature: True)
    monkeypatch.setattr(fonts, "FONTS", alone())
    monkeypatch.setattr("netsurgery.drawing.scene.FONTS", alone())
    picture = drawn(mapped)
    assert list(picture.tags()) == ["plain", "1"]
    assert plain in picture.words
    assert all(words.isascii() for words in picture.words)
    monkeypatch.setattr(fonts, "FONTS", Fonts(FakeGlyphs(text), folders=[]))
    assert text in drawn(mapped).words


@pytest.mark.parametrize("name", ["\u05db\u05dc\u05d1", "\u0642\u0637\u0629", "cat"])
def test_a_number_stays_to_the_right_of_a_name(name: str) -> None:
    """Also where the name runs to the left, and where it begins the line."""
    own = Fonts(Glyphs(str(dejavu())))

    def ink(text: str) -> Any:
        image = Image.new("L", (400, 60))
        ImageDraw.Draw(image).text((10, 10), own.readable(text), 255, own.font(text, 30))
        return image.crop(image.getbbox())

    number = ink("15")
    for start in ("", "class 3: "):
        line = ink(f"{start}{before_number(name)}, 15")
        end = line.crop((line.width - number.width, 0, line.width, line.height))
        same = end.crop(end.getbbox()).resize(number.size)
        assert np.abs(np.subtract(same, number, dtype=float)).mean() < 25


def test_pictures_keep_counts_and_scores_after_the_names_of_classes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("PIL.features.check_feature", lambda feature: True)
    name = "\u05db\u05dc\u05d1"
    numbers = np.zeros((5, 5), int)
    numbers[0, 0] = 1
    own = str(dejavu())
    mapped = class_map(one_hot(numbers, 2), labels=Labels("w", (name, name)))
    boxed = with_boxes(mapped, [MapBox(1, 0.93, (20.0, 20.0, 60.0, 60.0))])
    words = [*drawn(boxed, font=own).words, *drawn(mapped, "each", font=own).words]
    background = before_number(f"class 0: {name}")
    assert f"not painted: the background, {background}, 24 of 25 cells" in words
    assert f"{before_number(f'class 1: {name}')}, 1 cell" in words
    assert f"{before_number(name)} 0.93" in words
    titles = [item.title for item in map_scene(boxed).items if isinstance(item, ItemGroup)]
    assert titles == [f"{before_number(f'class 1: {name}')}, 0.93"]


def test_cut_and_wrapped() -> None:
    own = alone()
    room = own.length("on the image", 14)
    assert own.wrapped("on the image of it", 14, room, 3) == ["on the image", "of it"]
    assert own.wrapped("", 14, room, 3) == [""]
    long = own.wrapped("on the image of it and of them and of that", 14, room, 2)
    assert len(long) == 2
    assert long[1].startswith("of it")
    assert long[1].endswith("...")
    assert all(own.length(line, 14) <= room for line in own.wrapped("w" * 99, 14, room, 3))
