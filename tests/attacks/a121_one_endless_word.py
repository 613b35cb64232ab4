"""A prototxt of one endless name, or of nothing but comments.

Idea: what reads text by regular expressions keeps a place to come back to for each repeat: some
hundred bytes for every character of a name, or for every comment.

Verdict: memory is some times the text's size, whatever it is made of.
"""

from __future__ import annotations

from attacks.arena import Arena

_SIZE = 6 << 20
_NET = (
    'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: [1, 1, 2, 2] } } }'
)


def attack(arena: Arena) -> None:
    """Write texts of 6 MiB, and have them read."""
    for text in [
        f'name: "{_SIZE * "x"}"\n{_NET}',
        f'name: "{_SIZE * "x"}',
        _SIZE // 2 * "#\n" + _NET,
        'name: "' + _SIZE // 2 * r"\n" + f'"\n{_NET}',
    ]:
        net = arena.write("net.prototxt", text)
        done = arena.run("inspect", net, memory=0)
        assert done.peak < 300 << 20, (text[:20], done.peak)
        assert done.code == 0 or len(done.err.splitlines()) == 1, done.err
