"""Draw sheets of digits at known places, as pictures that a net is trained with, or judged by.

    python examples/06_train_digits/make_sheets.py FOLDER [--count 60] [--held-out] [--seed 1]

Writes FOLDER/sheet000.png and so on, and FOLDER/sheets.json, which says the middle and the class of
every digit. --held-out takes the digits that the demo net was not trained on.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from digits import BACKGROUND, TILES, Grey, digit_images, draw, held_out, paper, tile, to_grey
from PIL import Image

__all__ = ["make_sheets", "sheet"]

HEIGHT, WIDTH = 384, 512
#: Places tried for digits at most, and how many pixels apart their middles are at least.
MOST, APART = 320, 24


def sheet(rng: np.random.Generator, indices: list[int]) -> tuple[Grey, list[dict[str, Any]]]:
    """A sheet, 384 x 512 uint8, and the class and the middle (x, y) of every digit on it."""
    page = paper(HEIGHT, WIDTH, rng)
    images, classes = digit_images()
    places: list[tuple[float, float]] = []
    points = []
    for _ in range(int(rng.integers(MOST // 4, MOST + 1))):
        size = int(rng.choice(TILES))
        top, left = (int(rng.integers(0, side - size + 1)) for side in (HEIGHT, WIDTH))
        x, y = left + size / 2, top + size / 2
        if any(max(abs(x - other), abs(y - down)) < APART for other, down in places):
            continue
        index = int(rng.choice(indices))
        draw(page, tile(images[index], size, rng.uniform(-7, 7)), top, left, rng.uniform(0.6, 0.95))
        places.append((x, y))
        points.append({"class": str(int(classes[index])), "at": [x, y]})
    return to_grey(page), points


def make_sheets(folder: Path, count: int, *, seed: int, judged: bool) -> None:
    """Write so many sheets and their annotations. judged: of digits that are held out."""
    rng = np.random.default_rng(seed)
    out = held_out()
    indices = sorted(out if judged else set(range(len(digit_images()[0]))) - out)
    folder.mkdir(exist_ok=True)
    pictures = []
    for number in range(count):
        pixels, points = sheet(rng, indices)
        name = f"sheet{number:03}.png"
        Image.fromarray(pixels).save(folder / name)
        pictures.append({"file": name, "width": WIDTH, "height": HEIGHT, "points": points})
    record = {"classes": [str(c) for c in range(BACKGROUND)], "pictures": pictures}
    (folder / "sheets.json").write_text(json.dumps(record), encoding="utf-8")


def main() -> None:
    """Write the sheets."""
    parser = argparse.ArgumentParser(description="Draw sheets of digits at known places.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--held-out", action="store_true", help="digits the net never saw")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    make_sheets(options.folder, options.count, seed=options.seed, judged=options.held_out)


if __name__ == "__main__":
    main()
