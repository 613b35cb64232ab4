"""A stranger writes whom to trust.

Idea: `trusted` in the settings themselves; in a configuration that others can write to; or in one
below the current folder, for a user without a home folder or with a relative XDG_CONFIG_HOME.

Verdict: settings have no such key, and the configuration is the user's own or not used.
"""

from __future__ import annotations

from attacks.arena import Arena
from attacks.strangers import NAMES_A_NET, as_strangers, classify, files_of_a_net

_TRUST_ALL = '[user]\ntrusted = ["*"]\n'


def attack(arena: Arena) -> None:
    """Plant `_TRUST_ALL` everywhere."""
    scratch = files_of_a_net(arena, "scratch")
    configuration = arena.write("configuration/netsurgery/config.toml", _TRUST_ALL).parent
    arena.write("scratch/netsurgery.toml", NAMES_A_NET + _TRUST_ALL)
    arena.one_line(classify(arena, scratch, env={}), words=["unknown section 'user'"])
    arena.write("scratch/netsurgery.toml", NAMES_A_NET)
    as_strangers(scratch)
    assert classify(arena, scratch, env={}).code == 0, "the configuration is not used"
    as_strangers(configuration)
    done = classify(arena, scratch, env={})
    arena.one_line(done, words=[f"{configuration}/config.toml: not used", "the user's own"])
    for folder in (".", ".config", "~/.config", "home/.config"):
        arena.write(f"scratch/{folder}/netsurgery/config.toml", _TRUST_ALL)
    for xdg, home in ((".", "home"), (None, "home"), (None, ""), ("~/.config", None)):
        done = classify(arena, scratch, env={"XDG_CONFIG_HOME": xdg, "HOME": home})
        arena.one_line(done, words=["netsurgery.toml: not used"])
