"""A netsurgery.toml that is one key of thirty thousand parts.

Idea: TOML's parser keeps every beginning of a dotted key: 60 KB took 3.5 GB and half a minute.

Verdict: a line of so many dots is refused before it is parsed.
"""

from __future__ import annotations

from attacks.arena import Arena


def attack(arena: Arena) -> None:
    """Be found in the current folder, in forms that all mean the same to the parser."""
    for text in [
        f"{'.'.join(30_000 * 'a')} = 1",
        f"[{'.'.join(30_000 * 'a')}]",
        f"x = {{ {'.'.join(30_000 * 'a')} = 1 }}",
    ]:
        arena.write("netsurgery.toml", text)
        done = arena.refused("classify-map", "x.png", words=["netsurgery.toml:1: ", "dots"])
        assert done.peak < 200 << 20, done.peak
