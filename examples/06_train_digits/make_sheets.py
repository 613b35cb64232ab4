"""Draw sheets of digits at known places, as pictures that a net is trained with, or judged by.

    python examples/06_train_digits/make_sheets.py FOLDER [--count 60] [--size 256x384]
                                                   [--digits trained] [--seed 1]

Writes FOLDER/sheet000.png and so on, and FOLDER/sheets.json, which says the middle and the class of
every digit. --digits says which are drawn: those that the demo net was trained on, or those held
out of that; "tuning" are a fifth of the trained ones, and "rest" the others.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from digits import (
    BACKGROUND,
    TILES,
    Grey,
    digit_images,
    draw,
    for_tuning,
    held_out,
    paper,
    tile,
    to_grey,
)
from PIL import Image

__all__ = ["Digits", "digits_of", "make_sheets", "sheet"]

#: Which digits are drawn.
Digits: TypeAlias = Literal["trained", "held-out", "tuning", "rest"]

#: Pixels of a sheet for each place tried for a digit; how far apart two middles are at least.
AREA, APART = 600, 24


def sheet(
    size: tuple[int, int], rng: np.random.Generator, indices: list[int]
) -> tuple[Grey, list[dict[str, Any]]]:
    """A sheet of that height and width, and the class and middle (x, y) of every digit on it."""
    page = paper(*size, rng)
    images, classes = digit_images()
    places: list[tuple[float, float]] = []
    points = []
    most = size[0] * size[1] // AREA
    for _ in range(int(rng.integers(most // 4, most + 1))):
        side = int(rng.choice(TILES))
        top, left = (int(rng.integers(0, room - side + 1)) for room in size)
        x, y = left + side / 2, top + side / 2
        if any(max(abs(x - across), abs(y - down)) < APART for across, down in places):
            continue
        index = int(rng.choice(indices))
        draw(page, tile(images[index], side, rng.uniform(-7, 7)), top, left, rng.uniform(0.6, 0.95))
        places.append((x, y))
        points.append({"class": str(int(classes[index])), "at": [x, y]})
    return to_grey(page), points


def digits_of(which: Digits) -> list[int]:
    """Their indices."""
    trained = set(range(len(digit_images()[0]))) - held_out()
    chosen: dict[Digits, Collection[int]] = {
        "trained": trained,
        "held-out": held_out(),
        "tuning": for_tuning(),
        "rest": trained - for_tuning(),
    }
    return sorted(chosen[which])


def make_sheets(
    folder: Path, count: int, size: tuple[int, int], *, seed: int, digits: Digits
) -> None:
    """Write so many sheets of these digits, and their annotations."""
    rng = np.random.default_rng(seed)
    indices = digits_of(digits)
    folder.mkdir(exist_ok=True)
    pictures = []
    for number in range(count):
        pixels, points = sheet(size, rng, indices)
        name = f"sheet{number:03}.png"
        Image.fromarray(pixels).save(folder / name)
        pictures.append({"file": name, "width": size[1], "height": size[0], "points": points})
    record = {"classes": [str(c) for c in range(BACKGROUND)], "pictures": pictures}
    (folder / "sheets.json").write_text(json.dumps(record), encoding="utf-8")


def main() -> None:
    """Write the sheets."""
    parser = argparse.ArgumentParser(description="Draw sheets of digits at known places.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--size", default="256x384", metavar="HEIGHTxWIDTH")
    parser.add_argument("--digits", choices=get_args(Digits), default="trained")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    height, width = map(int, options.size.split("x"))
    size = height, width
    make_sheets(options.folder, options.count, size, seed=options.seed, digits=options.digits)


if __name__ == "__main__":
    main()
