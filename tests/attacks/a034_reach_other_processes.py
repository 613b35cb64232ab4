"""A net in Caffe's process kills, traces or limits other processes of the user's.

Idea: the command that started it is the user's own process: kill it, read its memory, lower its
limits or its priority; take away others' shared memory; send datagrams to what listens under a
name; or raise one's own limits.

Verdict: it reaches no process but itself, and its limits stay.
"""

from __future__ import annotations

from attacks.arena import Arena
from attacks.foothold import tries


def attack(arena: Arena) -> None:
    """Reach for the parent, and for limits."""
    attempts = [
        "os.kill(os.getppid(), signal.SIGSTOP)",
        "os.kill(os.getppid(), 0)",
        "os.kill(-1, 0)",
        "os.killpg(os.getpgid(os.getppid()), 0)",
        "call('ptrace', 16, os.getppid(), 0, 0)",
        "call('process_vm_readv', os.getppid(), 0, 0, 0, 0, 0)",
        "os.pidfd_open(os.getppid())",
        "call('prlimit', os.getppid(), 7, (ctypes.c_ulong * 2)(3, 3), None)",
        "call('setrlimit', 7, (ctypes.c_ulong * 2)(3, 3))",
        "call('unshare', 0x10000000)",
        "call('mount', b'none', b'/', b'tmpfs', 0, None)",
        "os.setuid(os.getuid())",
        # Neither by name nor by number: datagrams, shared memory, priorities.
        "socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)",
        "call('shmat', 1, None, 0)",
        "call('shmctl', 1, 0, None)",
        "call('semctl', 1, 0, 0)",
        "call('msgctl', 1, 0, None)",
        "call('setpriority', 0, os.getppid(), 19)",
        "os.sched_setscheduler(os.getppid(), 3, os.sched_param(0))",
    ]
    own = "os.kill(os.getpid(), 0)"
    outcomes = tries(arena, [*attempts, own])
    assert outcomes.pop(own) == "None", outcomes
    assert set(outcomes.values()) == {"PermissionError"}, outcomes
