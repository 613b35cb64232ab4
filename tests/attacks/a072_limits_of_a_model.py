"""A caffemodel of as many layers as it may have takes hours.

Idea: a hundred thousand layers are allowed. Give them, all of one name, then all of others, with
a param each.

Verdict: each takes as long as the first.
"""

from __future__ import annotations

from attacks.arena import Arena

from netsurgery.io.wire import delimited, packed_varints

LAYERS = 100_000
SLOW = True


def attack(arena: Arena) -> None:
    """Read them, compare them, bring them up to date."""
    blob = delimited(7, delimited(7, packed_varints(1, (1,))) + delimited(5, bytes(4)))
    for name in ("same", "layer{}"):
        layers = (
            delimited(100, delimited(1, name.format(i).encode()) + delimited(2, b"Scale") + blob)
            for i in range(LAYERS)
        )
        model = arena.write("a.caffemodel", b"".join(layers))
        for command in (
            ("inspect", model),
            ("diff", model, model),
            ("upgrade", model, "-o", "out.caffemodel", "--force"),
        ):
            done = arena.run(*command, seconds=240)
            assert done.code == 0, done.err
