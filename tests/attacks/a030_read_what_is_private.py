"""A net in Caffe's process reads the user's files.

Idea: whatever a net's layers are tricked into, they run as the user: read a key in the home folder,
list it, read what other processes were started with, and follow a link laid beside the net.

Verdict: only the interpreter, its Caffe, the net and its weights can be read.
"""

from __future__ import annotations

from attacks.arena import Arena
from attacks.foothold import tries


def attack(arena: Arena) -> None:
    """Read from inside; what the user gave, and what is the system's, is read all the same."""
    key = arena.write("home/.ssh/id_rsa", "secret")
    link = arena.folder / "link"
    link.symlink_to(key)
    private = [
        f"open({str(key)!r}).read()",
        f"open({str(link)!r}).read()",
        f"os.listdir({str(arena.folder / 'home')!r})",
        "open('/etc/passwd').read()",
        "open('/proc/%d/environ' % os.getppid()).read()",
        "open('/proc/1/cmdline').read()",
        "os.open('/dev/mem', os.O_RDONLY)",
    ]
    outcomes = tries(arena, [*private, "len(open('/usr/bin/env', 'rb').read(4))"])
    assert outcomes.pop("len(open('/usr/bin/env', 'rb').read(4))") == "4", outcomes
    assert all(
        outcome in ("PermissionError", "FileNotFoundError") for outcome in outcomes.values()
    ), outcomes
    assert outcomes[private[0]] == outcomes[private[2]] == "PermissionError", outcomes
    # It is the confinement that stops it: with --allow reads the same is read.
    assert tries(arena, private[:1], "reads")[private[0]] == "'secret'"
