"""A text that differs from itself in every way keeps the diff of lines busy.

Idea: finding the fewest lines that differ takes the product of both texts' lines. Give a text of
ever the same few lines, in an order that nothing matches.

Verdict: what has no line of its own to hold on to is shown as replaced, in linear time.
"""

from __future__ import annotations

import random

from attacks.arena import Arena

LINES = 30_000


def attack(arena: Arena) -> None:
    """Two nets of the same comments in other orders, and one that dry runs print."""
    draw = random.Random(0)
    net = 'input: "data" input_dim: 1 input_dim: 1 input_dim: 4 input_dim: 4\n'
    layer = 'layers { name: "ip" type: INNER_PRODUCT bottom: "data" top: "ip" %s }\n'
    layer %= "inner_product_param { num_output: 2 }"
    for name in ("a", "b"):
        comments = "".join(f"# {draw.randrange(500)}\n" for _ in range(LINES))
        arena.write(f"{name}.prototxt", net + comments + layer + comments)
    for command, code in (
        (("diff", "a.prototxt", "b.prototxt", "--text"), 0),
        (("upgrade", "a.prototxt", "--dry-run"), 0),
    ):
        done = arena.run(*command, seconds=15)
        assert done.code == code, done.err
