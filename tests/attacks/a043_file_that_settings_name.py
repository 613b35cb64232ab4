"""The settings are the user's own, the net that they name is not.

Idea: they say `nets/net.prototxt`, and `nets` is a link into a shared folder, or a folder that a
stranger can write to: the net is replaced there.

Verdict: what is named by a relative path is held to the same; a whole path is the user's word.
"""

from __future__ import annotations

from attacks.arena import Arena
from attacks.strangers import NAMES_A_NET, as_strangers, classify, files_of_a_net


def attack(arena: Arena) -> None:
    """Through a link, by .., and where the file is not there yet."""
    own = files_of_a_net(arena, "own")
    theirs = files_of_a_net(arena, "theirs")
    as_strangers(theirs)
    (own / "link").symlink_to(theirs)
    for name in ("link/net.prototxt", "../theirs/net.prototxt", "link/later.prototxt"):
        arena.write("own/netsurgery.toml", NAMES_A_NET.replace("net.prototxt", name))
        done = classify(arena, own, env={})
        arena.one_line(done, words=[", which ", " names: not used, since ", str(theirs)])
    whole = NAMES_A_NET.replace("net.prototxt", str(theirs / "net.prototxt"))
    arena.write("own/netsurgery.toml", whole)
    assert classify(arena, own, env={}).code == 0
