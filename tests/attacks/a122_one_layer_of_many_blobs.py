"""One layer with tens of thousands of tops, and a net on one line.

Idea: 4,000 layers are an ordinary net; what looks at each top of one layer among all of its tops,
or at each finding among all findings, takes the square of their number.

Verdict: four times as many take four times as long.
"""

from __future__ import annotations

from attacks.arena import Arena

SLOW = True

_DATA = (
    'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: [1, 1, 2, 2] } } }'
)


def attack(arena: Arena) -> None:
    """Read what took minutes."""
    tops = " ".join(f'top: "y{number}"' for number in range(60_000))
    arena.write(
        "tops.prototxt", f'{_DATA} layer {{ name: "x" type: "Split" bottom: "data" {tops} }}'
    )
    done = arena.run("inspect", "tops.prototxt", seconds=30)
    assert done.code == 0, done.err
    layers = " ".join(
        f'layers {{ name: "x{n}" type: RELU bottom: "data" top: "y{n}" }}' for n in range(15_000)
    )
    arena.write("line.prototxt", f'input: "data" input_dim: [1, 1, 8, 8] {layers}')
    done = arena.run("check", "line.prototxt", seconds=45)
    assert done.code == 0, done.err
