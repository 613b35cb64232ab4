"""A netsurgery.toml of another user rules what is run below it.

Idea: put one into a folder above many others' work, as /tmp or a scratch disk is; whoever runs
classify-map below it runs that net, with that preprocessing. Git had it as CVE-2022-24765.

Verdict: refused with its owner and the setting that allows it; --trust-config is the user's word.
"""

from __future__ import annotations

from attacks.arena import Arena
from attacks.strangers import as_strangers, classify, files_of_a_net


def attack(arena: Arena) -> None:
    """The file alone is a stranger's, then the folder; run in it and below it."""
    folder = files_of_a_net(arena, "scratch")
    below = folder / "mine"
    below.mkdir()
    assert classify(arena, below, env={}).code == 0, "one's own is not used"
    for theirs in (folder / "netsurgery.toml", folder):
        as_strangers(theirs)
        for place in (folder, below):
            done = classify(arena, place, env={})
            arena.one_line(done, words=["netsurgery.toml: not used, since", "--trust-config"])
    assert classify(arena, below, "--trust-config", env={}).code == 0
