"""A net in Caffe's process changes the user's files.

Idea: truncate, replace, rename, remove, link, and take away the mode of files of the user's: in the
home folder, beside the net, the net itself, in the folder for temporary files.

Verdict: nothing can be written; what Caffe saves goes through a file without a name.
"""

from __future__ import annotations

from pathlib import Path

from attacks.arena import Arena
from attacks.foothold import net_with, tries

OUTSIDE = [Path("/tmp/netsurgery-attack-31"), Path("/dev/shm/attack-31")]


def attack(arena: Arena) -> None:
    """Change files from inside; leave none behind where it works."""
    try:
        change_files(arena)
    finally:
        for place in OUTSIDE:
            place.unlink(missing_ok=True)


def change_files(arena: Arena) -> None:
    """Try every way."""
    mine = repr(str(arena.write("home/thesis.tex", "years")))
    net, beside = repr(str(arena.folder / "net.prototxt")), repr(str(arena.folder / "new"))
    attempts = [
        f"open({mine}, 'w')",
        f"open({mine}, 'a')",
        f"os.open({mine}, os.O_RDONLY | os.O_TRUNC)",
        f"os.truncate({mine}, 0)",
        f"os.remove({mine})",
        f"os.rename({mine}, {beside})",
        f"os.link({mine}, {beside})",
        f"os.chmod({mine}, 0)",
        f"os.utime({mine}, (0, 0))",
        f"os.setxattr({mine}, 'user.x', b'x')",
        f"open({net}, 'w')",
        f"open({beside}, 'w')",
        f"os.mkdir({beside})",
        f"os.symlink('/etc', {beside})",
        f"os.mkfifo({beside})",
        "open('relative', 'w')",
        *(f"open({str(place)!r}, 'w')" for place in OUTSIDE),
        "open('/proc/self/oom_score_adj', 'w').write('-1000')",
    ]
    net_with(arena, "")
    before = {k: v for k, v in arena.files().items() if k != "net.prototxt"}
    outcomes = tries(arena, attempts)
    denied = ("PermissionError", "FileNotFoundError")
    assert all(outcome in denied for outcome in outcomes.values()), outcomes
    after = {k: v for k, v in arena.files().items() if k != "net.prototxt"}
    assert after == before, "files changed"
    assert tries(arena, attempts[1:2], "writes")[attempts[1]].startswith("<_io"), "no such test"
