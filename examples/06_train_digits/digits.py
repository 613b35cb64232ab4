"""Windows of handwritten digits on paper: what the demo net is trained on and measured with.

Every picture here is grey, 0 black to 255 white, uint8. A window is 32 x 32, the net's input.
scikit-learn's digits are 8 x 8; one is drawn as a square tile, 22 to 28 pixels wide, whose
outer tenth on each side is empty. Classes 0 to 9 are the digits, 10 is background.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = [
    "BACKGROUND",
    "TILES",
    "WINDOW",
    "background_window",
    "digit_images",
    "digit_window",
    "draw",
    "for_tuning",
    "held_out",
    "paper",
    "tile",
    "to_grey",
    "windows",
]

Floats = NDArray[np.float64]
Grey = NDArray[np.uint8]

WINDOW = 32
BACKGROUND = 10
#: A digit whose center is at most this many pixels from the window's, down and across, counts.
NEAR = 5
#: One whose center is at least this far off, as the crow flies, is background. Nothing in between
#: is trained on.
FAR = 10
#: Widths of a drawn digit.
TILES = (22, 24, 26, 28)
#: A speck reaches this many pixels.
SPECK = 16


@cache
def digit_images() -> tuple[Floats, NDArray[np.int64]]:
    """scikit-learn's digits: 1797 x 8 x 8 of ink, 0 to 1, and the class of each."""
    from sklearn.datasets import load_digits  # type: ignore[import-untyped]

    digits = load_digits()
    return digits.images / 16.0, digits.target


@cache
def held_out() -> frozenset[int]:
    """The digits held out of training: every fifth of each class, by index."""
    _, classes = digit_images()
    return frozenset(
        int(index) for c in range(BACKGROUND) for index in np.flatnonzero(classes == c)[4::5]
    )


@cache
def for_tuning() -> frozenset[int]:
    """Every fifth of each class that is not held out: settings of a training are chosen by them."""
    _, classes = digit_images()
    learnt = np.array([i for i in range(len(classes)) if i not in held_out()])
    return frozenset(
        int(index) for c in range(BACKGROUND) for index in learnt[classes[learnt] == c][4::5]
    )


def paper(height: int, width: int, rng: np.random.Generator) -> Floats:
    """A sheet of light paper, height x width, 0 to 1: shading, grain, ruled lines, stains."""
    down, across = np.mgrid[0:height, 0:width].astype(np.float64)
    sheet = np.full((height, width), rng.uniform(0.80, 0.95))
    slope = rng.uniform(-0.0004, 0.0004, 2)
    sheet += slope[0] * (down - height / 2) + slope[1] * (across - width / 2)
    _rule(sheet, rng)
    for _ in range(rng.poisson(height * width / 20000)):
        _stain(sheet, down, across, rng)
    for _ in range(rng.poisson(height * width / 2500)):
        _speck(sheet, down, across, rng)
    return sheet + rng.normal(0, rng.uniform(0.008, 0.03), sheet.shape)


def _rule(sheet: Floats, rng: np.random.Generator) -> None:
    spacing = int(rng.integers(14, 30))
    sheet[int(rng.integers(spacing)) :: spacing] -= rng.uniform(0.0, 0.14)
    if rng.random() < 0.5:
        sheet[:, int(rng.integers(sheet.shape[1]))] -= rng.uniform(0.05, 0.2)


def _stain(sheet: Floats, down: Floats, across: Floats, rng: np.random.Generator) -> None:
    """The faint ring that a cup leaves; larger than any digit."""
    y, x = rng.uniform(0, sheet.shape[0]), rng.uniform(0, sheet.shape[1])
    distance = np.hypot(down - y, across - x) - rng.uniform(24, 45)
    sheet -= rng.uniform(0.05, 0.14) * np.exp(-((distance / rng.uniform(1.2, 2.5)) ** 2))


def _speck(sheet: Floats, down: Floats, across: Floats, rng: np.random.Generator) -> None:
    y, x = rng.uniform(0, sheet.shape[0]), rng.uniform(0, sheet.shape[1])
    # Further off it is less than a double's last bit.
    near = tuple(slice(max(0, int(at) - SPECK), int(at) + SPECK + 1) for at in (y, x))
    squared = (down[near] - y) ** 2 + (across[near] - x) ** 2
    sheet[near] -= rng.uniform(0.2, 0.7) * np.exp(-squared / rng.uniform(0.4, 2.0))


def tile(image: Floats, size: int, degrees: float = 0.0) -> Floats:
    """One 8 x 8 digit drawn size x size, turned a little: how much of each pixel is inked."""
    grown = Image.fromarray(np.pad(image, 1).astype(np.float32))
    grown = grown.resize((size, size), Image.Resampling.BICUBIC)
    if degrees:
        grown = grown.rotate(degrees, Image.Resampling.BICUBIC)
    return np.clip(1.15 * np.asarray(grown, dtype=np.float64), 0.0, 1.0)


def draw(sheet: Floats, ink: Floats, top: int, left: int, darkness: float) -> None:
    """Ink a tile onto a sheet, in place; what falls outside the sheet is cut off."""
    size = len(ink)
    y0, x0 = max(top, 0), max(left, 0)
    y1, x1 = min(top + size, sheet.shape[0]), min(left + size, sheet.shape[1])
    if y0 >= y1 or x0 >= x1:
        return
    ink = ink[y0 - top : y1 - top, x0 - left : x1 - left]
    sheet[y0:y1, x0:x1] *= 1.0 - darkness * ink


def to_grey(sheet: Floats) -> Grey:
    """0 to 1 as the bytes of a picture."""
    return np.round(np.clip(sheet, 0.0, 1.0) * 255).astype(np.uint8)


def _draw_digit(sheet: Floats, image: Floats, dy: int, dx: int, rng: np.random.Generator) -> None:
    """Draw a digit with its center (dy, dx) pixels from the window's."""
    size = int(rng.choice(TILES))
    ink = tile(image, size, rng.uniform(-7, 7))
    corner = (WINDOW - size) // 2
    draw(sheet, ink, corner + dy, corner + dx, rng.uniform(0.6, 0.95))


def _far_place(rng: np.random.Generator) -> tuple[int, int]:
    """A place whose digit the window must not name, though it may show part of it."""
    while True:
        dy, dx = (int(d) for d in rng.integers(-22, 23, 2))
        if math.hypot(dy, dx) >= FAR:
            return dy, dx


def digit_window(image: Floats, rng: np.random.Generator) -> Grey:
    """A window about one digit, at times with part of another at its edge: 32 x 32."""
    sheet = paper(WINDOW, WINDOW, rng)
    dy, dx = rng.integers(-NEAR, NEAR + 1, 2)
    _draw_digit(sheet, image, int(dy), int(dx), rng)
    return to_grey(sheet)


def background_window(images: Floats, rng: np.random.Generator) -> Grey:
    """A window about no digit: paper alone (2 of 5), or digits mostly outside it: 32 x 32."""
    sheet = paper(WINDOW, WINDOW, rng)
    for _ in range(int(rng.choice([0, 1, 2], p=[0.4, 0.4, 0.2]))):
        dy, dx = _far_place(rng)
        _draw_digit(sheet, images[rng.integers(len(images))], dy, dx, rng)
    return to_grey(sheet)


def windows(
    indices: Sequence[int], each: int, backgrounds: int, seed: int
) -> tuple[Grey, NDArray[np.int64]]:
    """`each` windows of every digit in `indices`, then background ones, and their classes.

    N x 1 x 32 x 32 and N. The background ones show parts of the same digits, of no others.
    """
    rng = np.random.default_rng(seed)
    images, classes = digit_images()
    shown = [digit_window(images[i], rng) for i in indices for _ in range(each)]
    labels = [int(classes[i]) for i in indices for _ in range(each)]
    shown += [background_window(images[list(indices)], rng) for _ in range(backgrounds)]
    labels += [BACKGROUND] * backgrounds
    return np.stack(shown)[:, None], np.array(labels, dtype=np.int64)
