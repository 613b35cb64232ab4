"""What starting a command costs, counted in the modules that it imports.

A module of netsurgery takes a quarter of a millisecond or more, numpy fifty.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

NET = "prototxt/digits_deploy.prototxt"
MODEL = "models/digits/digits.caffemodel"

#: Libraries that cost more than all of netsurgery.
HEAVY = {"numpy", "PIL", "onnxruntime", "onnx", "h5py", "google.protobuf"}


class Start(NamedTuple):
    """The words of a command, and what it imports.

    most: so many modules of netsurgery at most; a few more than there are, for a module that is
    divided in two. never: modules, and packages, whose work is not this command's.
    """

    words: list[str]
    most: int
    heavy: frozenset[str] = frozenset()
    never: tuple[str, ...] = ()


VERBS = ("netsurgery.verbs", "netsurgery.surgery", "netsurgery.open_net", "netsurgery.export")
STARTS = {
    "version": Start(["--version"], 9, never=VERBS),
    "help": Start(["--help"], 9, never=VERBS),
    "help of convert": Start(["convert", "--help"], 70, never=VERBS),
    "convert": Start(
        ["convert", NET, MODEL, "--dry-run", "--engine", "embedded"],
        118,
        never=(
            "netsurgery.surgery.difference",
            "netsurgery.surgery.edit",
            "netsurgery.verbs.verify",
            "netsurgery.export",
            "netsurgery.open_net.net",
        ),
    ),
    "edit": Start(
        ["edit", NET, MODEL, "ip1[0]*=2", "--dry-run"],
        102,
        frozenset({"numpy"}),
        ("netsurgery.surgery.edit.operations.fold", "netsurgery.open_net.net", "netsurgery.export"),
    ),
    "inspect": Start(["inspect", NET], 82, never=("netsurgery.surgery", "netsurgery.open_net.net")),
    "diff": Start(
        ["diff", NET, NET],
        98,
        frozenset({"google.protobuf"}),
        ("netsurgery.surgery.edit", "netsurgery.verbs.blob_statistics", "netsurgery.open_net.net"),
    ),
    "upgrade": Start(["upgrade", NET, "--dry-run"], 78, never=("netsurgery.open_net.net",)),
}


def imported(words: list[str], folder: Path) -> set[str]:
    """The modules in a process that has run the command."""
    code = (
        "import json, sys; from netsurgery.cli import run; code = run(sys.argv[1:]); "
        "print(json.dumps([code, *sys.modules]), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=folder, capture_output=True, text=True, check=True
    )
    code, *modules = json.loads(done.stderr.splitlines()[-1])
    assert code == 0, done.stderr
    return set(modules)


@pytest.mark.parametrize("name", STARTS)
def test_a_command_imports_what_it_needs(name: str, repo_root: Path) -> None:
    start = STARTS[name]
    modules = imported(start.words, repo_root)
    own = sorted(module for module in modules if module.split(".")[0] == "netsurgery")
    assert modules & HEAVY == start.heavy
    barred = tuple(f"{module}." for module in start.never)
    assert [module for module in own if f"{module}.".startswith(barred)] == []
    assert len(own) <= start.most, own
