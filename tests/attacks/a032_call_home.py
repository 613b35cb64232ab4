"""A net in Caffe's process sends what it has seen somewhere.

Idea: open sockets of every kind: TCP, UDP, raw, netlink, and local ones, behind which a daemon of
root's may listen (docker.sock).

Verdict: no socket can be made.
"""

from __future__ import annotations

from attacks.arena import Arena
from attacks.foothold import tries


def attack(arena: Arena) -> None:
    """Make sockets from inside, with --allow as well: the network is never allowed."""
    attempts = [
        "socket.socket()",
        "socket.socket(type=socket.SOCK_DGRAM)",
        "socket.socket(socket.AF_INET6)",
        "socket.socket(socket.AF_UNIX)",
        "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
        "socket.create_connection(('127.0.0.1', 9))",
        "call('syscall', 425, 1, 0)",  # io_uring_setup
    ]
    for allow in ((), ("reads", "writes", "python")):
        outcomes = tries(arena, attempts, *allow)
        assert set(outcomes.values()) == {"PermissionError"}, outcomes
