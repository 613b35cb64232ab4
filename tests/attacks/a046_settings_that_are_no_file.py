"""A netsurgery.toml that is a pipe, a device or a link to the user's secrets.

Idea: a pipe is waited for, a device has no end, and the line of a secret file that is not TOML
would be shown by the error, in a log that others read.

Verdict: only a regular file is looked at, and one that a stranger put there is not opened.
"""

from __future__ import annotations

import os

from attacks.arena import Arena
from attacks.strangers import as_strangers, classify, files_of_a_net


def attack(arena: Arena) -> None:
    """Each in a folder that is a stranger's."""
    secret = arena.write("secret", "secret = the-passphrase\n")
    secret.chmod(0o600)
    folder = files_of_a_net(arena, "scratch")
    as_strangers(folder)
    path = folder / "netsurgery.toml"
    for target in ("/dev/zero", "/dev/tty", None):
        path.unlink()
        if target is None:
            os.mkfifo(path)
        else:
            path.symlink_to(target)
        done = classify(arena, folder, env={})
        arena.one_line(done, words=["no prototxt and no weights to use"])
    path.unlink()
    path.symlink_to(secret)
    done = classify(arena, folder, env={})
    arena.one_line(done, words=["not used, since"])
    assert "passphrase" not in done.err
