"""Draw the demo's picture: held-out digits at known places on one sheet of paper.

    python examples/06_train_digits/make_canvas.py [FOLDER]

Writes digits_canvas.png and digits_canvas.json into FOLDER (default: the folder above this one).
Each digit stands where the window of one cell of the map is centered on it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from digits import TILES, WINDOW, digit_images, draw, held_out, paper, tile, to_grey
from PIL import Image

__all__ = ["canvas"]

HEIGHT, WIDTH = 192, 288
#: The demo net's total stride: cell (row, column) sees the window at (8 * row, 8 * column).
STRIDE = 8
SEED = 20
#: (row, column) of the cell centered on each digit, 0 to 9 in a shuffled order.
CELLS = ((1, 2), (0, 9), (2, 17), (1, 27), (8, 5), (9, 13), (8, 23), (15, 1), (16, 18), (17, 29))
ORDER = (3, 1, 4, 7, 5, 9, 2, 6, 8, 0)


def canvas() -> tuple[Any, dict[str, Any]]:
    """The picture, 192 x 288 uint8, and the truth: class, cell and box of every digit."""
    rng = np.random.default_rng(SEED)
    sheet = paper(HEIGHT, WIDTH, rng)
    images, classes = digit_images()
    candidates = sorted(held_out())
    digits = []
    for (row, column), digit in zip(CELLS, ORDER, strict=True):
        index = int(rng.choice([i for i in candidates if classes[i] == digit]))
        size = int(rng.choice(TILES))
        corner = (WINDOW - size) // 2
        top, left = row * STRIDE + corner, column * STRIDE + corner
        ink = tile(images[index], size, rng.uniform(-7, 7))
        draw(sheet, ink, top, left, rng.uniform(0.6, 0.95))
        box = [left, top, left + size, top + size]
        digits.append({"digit": digit, "box": box, "cell": [row, column], "index": index})
    truth = {"height": HEIGHT, "width": WIDTH, "window": WINDOW, "stride": STRIDE}
    return to_grey(sheet), {**truth, "digits": digits}


def main() -> None:
    """Write the picture and the truth."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1]
    picture, truth = canvas()
    Image.fromarray(picture).save(folder / "digits_canvas.png", optimize=True)
    rows = ",\n    ".join(json.dumps(each) for each in truth.pop("digits"))
    head = json.dumps(truth, indent=2).rstrip("}\n")
    text = f'{head},\n  "digits": [\n    {rows}\n  ]\n}}\n'
    (folder / "digits_canvas.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
