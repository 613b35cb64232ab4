"""A .npy file whose axes are not numbers, or overflow.

Idea: True is a number to Python, an axis of 0 makes any other pass as holding nothing, and numpy
has types of no bytes and types that bring axes of their own.

Verdict: one line each.
"""

from __future__ import annotations

from attacks.arena import ROOT, Arena

NET = ROOT / "prototxt" / "digits_deploy.prototxt"
MODEL = ROOT / "models" / "digits" / "digits.caffemodel"


def attack(arena: Arena) -> None:
    """Give each as a mean."""
    numbers = "'<f4'"
    for kind, shape in (
        (numbers, "(True,)"),
        (numbers, "(0, 99999999999999999999)"),
        (numbers, "(0, 4294967296, 4294967296)"),
        (numbers, "(-1,)"),
        (numbers, "(1.0,)"),
        (numbers, "3"),
        ("'V0'", "(9,)"),
        ("('<f4', (1000, 1000))", "(1,)"),
        ("[('a', '<f4', (9,))]", "(1,)"),
    ):
        head = f"{{'descr': {kind}, 'fortran_order': False, 'shape': {shape}}}\n".encode()
        file = b"\x93NUMPY\1\0" + len(head).to_bytes(2, "little") + head + bytes(64)
        evil = arena.write("evil.npy", file)
        arena.refused("convert", NET, MODEL, "--mean", evil, "-o", "out", words=["evil.npy: "])
