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

from netsurgery.cli import COMMANDS

NET = "prototxt/digits_deploy.prototxt"
MODEL = "models/digits/digits.caffemodel"
IMAGE = "examples/digits_canvas.png"

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


#: What reads nets and works on them: no help needs it.
WORK = (
    *("netsurgery.formats.prototxt", "netsurgery.net.net", "netsurgery.net.types"),
    *("netsurgery.verbs", "netsurgery.surgery", "netsurgery.open_net", "netsurgery.export"),
)
STARTS = {
    "version": Start(["--version"], 9, never=WORK),
    "help": Start(["--help"], 9, never=WORK),
    "presets": Start(["presets"], 22, never=WORK),
    "caffe use": Start(["caffe", "use", "--help"], 25, never=WORK),
    "help of convert": Start(["convert", "--help"], 44, never=WORK),
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
    "classify-map": Start(
        f"classify-map {IMAGE} --prototxt {NET} --weights {MODEL} --blob pool1 "
        "--engine embedded".split(),
        164,
        frozenset({"numpy", "PIL", "onnxruntime"}),
        ("netsurgery.surgery", "netsurgery.open_net.net", "netsurgery.maps.grid"),
    ),
    "upgrade": Start(["upgrade", NET, "--dry-run"], 60, never=("netsurgery.open_net.net",)),
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


#: Of it, what the help of a command lists: the operations of edit, the outputs of maps.
LISTED = {
    "edit": ("netsurgery.formats.prototxt", "netsurgery.net", "netsurgery.surgery"),
    "classify-map": ("netsurgery.verbs.outputs",),
    "features": ("netsurgery.verbs.outputs",),
    "job": ("netsurgery.verbs.outputs",),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_help_imports_nothing_that_works_on_nets(name: str, repo_root: Path) -> None:
    modules = imported([name, "--help"], repo_root)
    barred = tuple(f"{module}." for module in WORK)
    listed = tuple(f"{module}." for module in LISTED.get(name, ()))
    work = {f"{module}." for module in modules if f"{module}.".startswith(barred)}
    packages = {module for module in work if any(each.startswith(module) for each in listed)}
    assert {module for module in work - packages if not module.startswith(listed)} == set()
    assert not modules & HEAVY


@pytest.mark.parametrize("name", STARTS)
def test_a_command_imports_what_it_needs(name: str, repo_root: Path) -> None:
    start = STARTS[name]
    modules = imported(start.words, repo_root)
    own = sorted(module for module in modules if module.split(".")[0] == "netsurgery")
    assert modules & HEAVY == start.heavy
    barred = tuple(f"{module}." for module in start.never)
    assert [module for module in own if f"{module}.".startswith(barred)] == []
    assert len(own) <= start.most, own
