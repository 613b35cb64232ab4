"""A net whose names are escape sequences, looked at with -v.

What is printed reaches the terminal of whoever looks: a sequence in a name could colour it, wipe
what was said before, have the terminal type an answer, or write a line that looks like one of ours.

Verdict: every name is shown with its control characters escaped, on one line.
"""

from __future__ import annotations

from attacks.arena import Arena

_NET = r"""
name: "n\033]0;title\007"
layer { name: "data\033[2J" type: "Input" top: "d\302\233m"
  input_param { shape { dim: 1 dim: 1 dim: 4 dim: 4 } } }
layer { name: "c\nnote: all is well\033[6n" type: "Pooling" bottom: "d\302\233m"
  top: "p\342\200\256" pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "odd" type: "T\r\033[1A" bottom: "p\342\200\256" top: "q" }
"""


def attack(arena: Arena) -> None:
    """Look at the net by every command that needs no weights."""
    net = arena.write("net\x1b[31m\u202e.prototxt", _NET)
    for words in (
        ["inspect", net],
        ["inspect", net, "--json"],
        ["check", net],
        ["diff", net, net],
        ["convert", net, "--dry-run"],
        ["export", net, "-o", arena.folder / "out\x1b[31m.onnx"],
        ["upgrade", net, "-o", arena.folder / "none\x1b[31m" / "out"],
    ):
        done = arena.run(*words)
        said = done.out + done.err
        assert said, words
        assert [c for c in said if not c.isprintable() and c != "\n"] == [], (words, said)
        assert "\nnote: all is well" not in said, (words, said)
