"""A net in Caffe's process answers in Caffe's place, and lies.

Idea: the command asks the process for shapes and arrays. Answer with what is not an answer: huge
shapes, so that the command takes all memory, negative ones, lists in place of names, nesting
without end, a message as long as a book.

Verdict: each lie is one line that says so, and the process is ended.
"""

from __future__ import annotations

import json

from attacks.arena import Arena
from attacks.foothold import net_with, run_net

FACTS: dict[str, object] = {"layers": [], "params": [], "inputs": [], "blobs": []}

LOADED = (
    json.dumps({"result": {}}),
    json.dumps({"error": {"kind": ["failed"], "text": "x"}}),
    json.dumps({"result": {**FACTS, "params": [["ip", [[-1, 4]]]]}}),
    json.dumps({"result": {**FACTS, "blobs": [["data", [1.5]]]}}),
    '{"result": ' + "[" * 100_000 + "]" * 100_000 + "}",
)
RUN = (
    json.dumps({"result": {"blobs": [[[1 << 40], 0]]}}),
    json.dumps({"result": {"blobs": [[[-4], 0]]}}),
    json.dumps({"result": {"blobs": [[[1], 1 << 70]]}}),
)
#: The answers before it are to start, to confine and, if it is run, to load.
ANSWER = """
import os, struct, sys
body = ('{"id": %d, ' + %r[1:]).encode()
data = struct.pack(">4sI", b"NSW1", len(body)) + body
while data:
    data = data[os.write(int(sys.argv[1]), data):]
"""


def attack(arena: Arena) -> None:
    """Try every lie."""
    for when, number, lies in (("load", 3, LOADED), ("forward", 4, RUN)):
        for lie in lies:
            done = run_net(arena, net_with(arena, ANSWER % (number, lie), when))
            assert done.code == 0, done.err
            assert len(done.out.splitlines()) == 1, done.out
            assert "gave an answer that makes no sense while " in done.out, (lie[:80], done.out)
            assert done.peak < 300 << 20, done.peak
    shout = json.dumps({"error": {"kind": "failed", "text": "x" * (1 << 20)}})
    done = run_net(arena, net_with(arena, ANSWER % (3, shout)))
    assert len(done.out) < 2000, len(done.out)
