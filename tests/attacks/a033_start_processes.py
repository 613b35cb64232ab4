"""A net in Caffe's process starts others: a bomb of forks, or one that outlives the command.

Idea: fork until nothing else runs, start a program, or leave a child in a session of its own that
is not killed with the command.

Verdict: no process can be started; threads can, which BLAS needs.
"""

from __future__ import annotations

from attacks.arena import Arena
from attacks.foothold import tries


def attack(arena: Arena) -> None:
    """Start what must not be, and a thread."""
    attempts = [
        "os.fork()",
        "os.forkpty()",
        "subprocess.run(['/bin/true'])",
        "os.system('true') or 'ran'",
        "os.posix_spawn('/bin/true', ['true'], {})",
        "os.execv('/bin/true', ['true'])",
        "os.setsid()",
    ]
    thread = "[t.start() or t.join() for t in [threading.Thread(target=int)]]"
    outcomes = tries(arena, [*attempts, thread])
    assert outcomes.pop(thread) == "[None]", outcomes
    # system() says so by its status.
    assert outcomes.pop("os.system('true') or 'ran'") not in ("'ran'", "0"), outcomes
    assert set(outcomes.values()) == {"PermissionError"}, outcomes
