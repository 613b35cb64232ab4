"""Text in any script: for each line a font that has all of its glyphs, else its ASCII form.

Pillow's own font comes first, so that a picture of plain text does not depend on what is
installed; then DejaVu and Noto from the system's folders. No line is drawn with the boxes that
stand for glyphs a font does not have, nor in the wrong order: scripts that run from right to left,
that join their letters or put marks on them are laid out by Raqm, where Pillow has it.
"""

from __future__ import annotations

import io
import os
import sys
import unicodedata
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, features

from netsurgery.errors import SettingsError
from netsurgery.io.unreadable import check_file

__all__ = [
    "FONTS",
    "UNSEEN",
    "Font",
    "Fonts",
    "Glyphs",
    "Lettering",
    "ascii_form",
    "before_number",
    "open_font",
]

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

#: The beginnings of the names of fonts that may be taken, the first preferred.
_NAMES = ("DejaVuSans.ttf", "NotoSans-", "NotoSansCJK", "NotoSans", "NotoSerif", "NotoNaskh")
_ENDINGS = (".ttf", ".otf", ".ttc")
#: A weight other than the regular one.
_OTHER_WEIGHTS = ("Bold", "Black", "Light", "Thin", "Medium", "Italic", "Condensed", "Mono")
#: A font's glyphs are looked at in this size.
_PROBE = 16
#: No font has a glyph for it.
_NOBODYS = "\U0010ffff"
_LONGEST = 1000
#: Lines whose length is known, and lines that are known to be drawn: those of one picture stand on
#: the next one, too. Lines as drawn are kept up to a height, for the memory that they take.
_KEPT, _KEPT_DRAWN, _SMALL = 4096, 1024, 48
#: What says whether letters join, and after what a text goes on to the right; nothing is drawn for
#: them.
JOINERS, ONWARD = "\u200c\u200d", "\u200e"
UNSEEN = JOINERS + ONWARD


def ascii_form(text: str) -> str:
    """The text in ASCII, as nearly as letters allow.

    >>> ascii_form("猫"), ascii_form("Ψάρι")
    ('Mao', 'Psari')
    """
    import anyascii

    plain = anyascii.anyascii(text.encode("utf-16", "replace").decode("utf-16", "replace"))
    return "".join(c if " " <= c <= "~" else "?" for c in plain)


def before_number(text: str) -> str:
    """The text as it stands before a number, which keeps its place to the right of it.

    A text from right to left would have the number on its other side.

    >>> before_number("cat"), ascii(before_number("\u05d0"))
    ('cat', "'\\\\u200e\\\\u05d0\\\\u200e'")
    """
    return f"{ONWARD}{text}{ONWARD}" if any(map(_is_leftward, text)) else text


def _font_folders() -> list[Path]:
    home = Path(os.path.expanduser("~"))
    places: list[str | Path]
    if sys.platform == "darwin":
        places = ["/System/Library/Fonts", "/Library/Fonts", home / "Library/Fonts"]
    elif sys.platform == "win32":
        places = [Path(os.environ.get("WINDIR", "C:/Windows"), "Fonts")]
    else:
        data = os.environ.get("XDG_DATA_HOME") or home / ".local/share"
        places = [
            "/usr/share/fonts",
            "/usr/local/share/fonts",
            Path(data, "fonts"),
            home / ".fonts",
        ]
    return [Path(place) for place in places]


def _own_font(size: float) -> Font:
    """Pillow's own. It has no script that Raqm would be needed for, which takes its time."""
    font = ImageFont.load_default(size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        return font
    return ImageFont.truetype(
        io.BytesIO(font.font_bytes), size, layout_engine=ImageFont.Layout.BASIC
    )


class Glyphs:
    """A font in any size, and the characters that it has."""

    def __init__(self, path: str | None) -> None:
        """The font of a file, None for Pillow's own. Raises OSError."""
        self.path = path
        self._sizes: dict[float, Font] = {}
        self._known: dict[str, bool] = {}
        self.sized(_PROBE)

    def sized(self, size: float) -> Font:
        """The font `size` pixels high."""
        if size not in self._sizes:
            if self.path is None:
                self._sizes[size] = _own_font(size)
            else:
                self._sizes[size] = ImageFont.truetype(self.path, size)
        return self._sizes[size]

    def has(self, text: str) -> bool:
        """Whether it has a glyph for every character."""
        return all(self._has(character) for character in set(text))

    def _has(self, character: str) -> bool:
        if character not in self._known:
            # What stands for a missing glyph is the same for all of them; Pillow does not say
            # which characters a font has.
            drawn = self._drawn(character)
            self._known[character] = drawn != self._missing and (
                any(drawn[1]) or character.isspace() or character in UNSEEN
            )
        return self._known[character]

    @cached_property
    def _missing(self) -> tuple[tuple[int, int], bytes]:
        return self._drawn(_NOBODYS)

    def _drawn(self, character: str) -> tuple[tuple[int, int], bytes]:
        mask = self.sized(_PROBE).getmask(character)
        return mask.size, bytes(mask)


@dataclass(frozen=True, eq=False)
class Lettering:
    """A line of text as it covers pixels: an L image, and where that begins from its anchor."""

    ink: Image.Image
    left: int
    top: int


class Fonts:
    """The fonts that text is drawn with, the first preferred; the system's are found when needed.

    >>> fonts = Fonts()
    >>> fonts.readable("tabby"), fonts.cut("a long name", 14, 40)
    ('tabby', 'a lo...')
    """

    def __init__(self, first: Glyphs | None = None, folders: Sequence[Path] | None = None) -> None:
        self._folders = folders
        self._loaded = [*([] if first is None else [first]), Glyphs(None)]
        self._lines: dict[str, Glyphs | None] = {}
        self._lengths: dict[tuple[str, float], float] = {}
        self._drawn: dict[tuple[str, int, str], Lettering | None] = {}

    def readable(self, text: str) -> str:
        """The text as it can be drawn: one line, in its own script, or in ASCII."""
        return self._shown(text)[0]

    def is_native(self, text: str) -> bool:
        """Whether the text can be drawn in its own script."""
        return self._glyphs(_one_line(text)) is not None

    def length(self, text: str, size: float) -> float:
        """The width of a line in pixels."""
        if (text, size) not in self._lengths:
            words, glyphs = self._shown(text)
            if len(self._lengths) >= _KEPT:
                self._lengths.clear()
            self._lengths[text, size] = glyphs.sized(size).getlength(words)
        return self._lengths[text, size]

    def font(self, text: str, size: int) -> Font:
        """The font of a line."""
        return self._shown(text)[1].sized(size)

    def lettering(self, text: str, size: int, anchor: str) -> Lettering | None:
        """A line as it was drawn before; None the first time, since most are drawn but once."""
        key = text, size, anchor
        if size > _SMALL:
            return None
        if key not in self._drawn:
            if len(self._drawn) >= _KEPT_DRAWN:
                self._drawn.clear()
            self._drawn[key] = None
            return None
        lettering = self._drawn.get(key)
        if lettering is None:
            font = self.font(text, size)
            left, top, right, bottom = map(int, font.getbbox(text, anchor=anchor))
            ink = Image.new("L", (right - left, bottom - top))
            ImageDraw.Draw(ink).text((-left, -top), text, 255, font, anchor)
            lettering = self._drawn[key] = Lettering(ink, left, top)
        return lettering

    def is_common(self, text: str) -> bool:
        """Whether the first font, by which widths are the same on every machine, has all of it."""
        return text.isascii() or self._loaded[0].has(text)

    def fitted(self, text: str, size: int, room: float | None) -> str:
        """A line that was laid out by the first font, cut where another one needs more room."""
        return text if room is None or self.is_common(text) else self.cut(text, size, room)

    def cut(self, text: str, size: int, room: float | None) -> str:
        """The line as it can be drawn, ending in three dots where it is wider than `room`."""
        text = self.readable(text)
        if room is None or self.length(text, size) <= room:
            return text
        fits = bisect_left(
            range(len(text)), room, key=lambda n: self.length(text[:n] + "...", size)
        )
        return text[: max(0, fits - 1)].rstrip() + "..."

    def wrapped(self, text: str, size: int, room: float, most: int) -> list[str]:
        """Lines no wider than `room`, broken between words, at most `most`; at least one."""
        text = " ".join(self.readable(text).split())
        if self.length(text, size) <= room:
            return [text]
        lines, words = [""], text.split()
        for index, word in enumerate(words):
            longer = f"{lines[-1]} {word}".strip()
            if self.length(longer, size) <= room or not lines[-1]:
                lines[-1] = longer
            elif len(lines) < most:
                lines.append(word)
            else:
                lines[-1] = " ".join([lines[-1], *words[index:]])
                break
        return [self.cut(line, size, room) for line in lines]

    def _shown(self, text: str) -> tuple[str, Glyphs]:
        text = _one_line(text)
        glyphs = self._glyphs(text)
        return (ascii_form(text), self._loaded[0]) if glyphs is None else (text, glyphs)

    def _glyphs(self, text: str) -> Glyphs | None:
        """The first font that has all of the text, None where it cannot be drawn in its script."""
        if text.isascii():
            return self._loaded[0]
        if text not in self._lines:
            if len(self._lines) >= _KEPT:
                self._lines.clear()
            drawable = not _is_complex(text) or features.check_feature("raqm")
            fonts = (glyphs for glyphs in self._fonts() if glyphs.has(text))
            self._lines[text] = next(fonts, None) if drawable else None
        return self._lines[text]

    def _fonts(self) -> Iterator[Glyphs]:
        yield from self._loaded
        for path in _system_fonts(tuple(self._folders or _font_folders())):
            if (glyphs := _load(path)) is not None:
                yield glyphs


def _one_line(text: str) -> str:
    if text.isascii() and text.isprintable():
        return text[:_LONGEST]
    composed = unicodedata.normalize("NFC", text[:_LONGEST])
    return "".join(c if c.isprintable() or c in UNSEEN else "?" for c in composed)


def _is_leftward(char: str) -> bool:
    return unicodedata.bidirectional(char) in ("R", "AL")


def _is_complex(text: str) -> bool:
    """Whether letters join, carry marks or run from right to left."""
    return any(
        unicodedata.combining(c)
        or _is_leftward(c)
        or unicodedata.category(c) in ("Mn", "Mc")
        or c in JOINERS
        for c in text
    )


@cache
def _load(path: str) -> Glyphs | None:
    try:
        return Glyphs(path)
    except OSError:
        return None


@cache
def _system_fonts(folders: tuple[Path, ...]) -> list[str]:
    """The files of DejaVu and Noto, in regular weight, in the order of `_NAMES`."""
    fonts = []
    for folder in folders:
        for place, _, files in os.walk(folder):
            for name in files:
                rank = next((i for i, start in enumerate(_NAMES) if name.startswith(start)), None)
                regular = not any(weight in name for weight in _OTHER_WEIGHTS)
                if rank is not None and regular and name.lower().endswith(_ENDINGS):
                    fonts.append((rank, name, os.path.join(place, name)))
    return [path for _, _, path in sorted(fonts)]


def open_font(path: Path | str) -> Fonts:
    """The fonts of which a file is the first. Raises SettingsError where it is no font."""
    check_file(Path(path), "a font", SettingsError)
    try:
        return Fonts(Glyphs(str(path)))
    except OSError as error:
        raise SettingsError(f"{path}: not a font, expected TrueType or OpenType") from error


#: Those of pictures for which none was named.
FONTS = Fonts()
