"""The message says which setting to write, and a stranger chose the folder's name.

Idea: a folder called `a", "*` makes `trusted = ["/tmp/a", "*"]` of the advice, which is copied;
one with an escape sequence or a line break hides what it says.

Verdict: the name is written as one string of TOML, on one line, and nothing of it steers.
"""

from __future__ import annotations

from attacks.arena import Arena
from attacks.strangers import as_strangers, classify, files_of_a_net


def attack(arena: Arena) -> None:
    """Odd names of folders."""
    for name in ('a", "*', "b\nerror: all is well", "c\x1b[2Jd"):
        folder = files_of_a_net(arena, name)
        as_strangers(folder)
        done = classify(arena, folder, env={})
        arena.one_line(done, words=["not used, since"])
        assert '", "*' not in done.err.replace('\\"', "").partition("trusted = ")[2], done.err
        assert "\x1b" not in done.err
