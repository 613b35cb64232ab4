"""Run the exported net where there is no netsurgery: NumPy, Pillow and ONNX Runtime are enough.

python run_elsewhere.py NET.onnx PICTURE
"""

from __future__ import annotations

import sys

import numpy as np
import onnxruntime
from PIL import Image


def main(model: str, picture: str) -> None:
    """Print the classes of the picture's windows, one letter or digit a cell."""
    pixels = np.asarray(Image.open(picture).convert("L"), np.float32) / 255
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    (declared,) = session.get_inputs()
    print("input", declared.name, declared.shape)
    (scores,) = session.run(["prob"], {"data": pixels[None, None]})
    print("output", scores.shape)
    for row in scores[0].argmax(axis=0):
        print("".join("." if number == 10 else str(number) for number in row))


if __name__ == "__main__":
    main(*sys.argv[1:])
