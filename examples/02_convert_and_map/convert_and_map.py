"""Make a classifier fully convolutional, map a picture, and list what is on it.

    python convert_and_map.py FOLDER

Writes the converted net and map.png into FOLDER.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import netsurgery as ns

ROOT = Path(__file__).resolve().parents[2]
NET = ROOT / "prototxt/digits_deploy.prototxt"
MODEL = ROOT / "models/digits/digits.caffemodel"
LABELS = ROOT / "models/digits/digits_labels.txt"
PICTURE = ROOT / "examples/digits_canvas.png"


def main(folder: Path) -> None:
    """Convert, map, draw, and hold the map against what was drawn on the sheet."""
    settings = ns.Settings(labels=LABELS)
    conversion = ns.convert(
        NET, MODEL, folder, input_size=(192, 288), settings=settings, force=True
    )
    for move in conversion.plan.moves:
        print(f"{move.layer} {move.old[0]} -> {move.target} {move.new[0]}")

    class_map = ns.classify_map(PICTURE, conversion.paths.settings)
    class_map.to_picture().save(folder / "map.png")
    print("a map of", " x ".join(map(str, class_map.shape)), "cells")

    truth = json.loads(PICTURE.with_suffix(".json").read_text())
    classes = class_map.argmax()
    for digit in truth["digits"]:
        row, column = digit["cell"]
        print(f"at row {row:2}, column {column:2}: {classes[row, column]}, drawn {digit['digit']}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
