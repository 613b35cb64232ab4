"""Outputs whole or not at all, whatever happens to the process; the code is in `torture`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent

Script = Callable[[str], str]


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """Runs lines with `torture` over a net of 1 MiB, in a process that has no threads to fork."""

    def run(lines: str) -> str:
        head = "from pathlib import Path\nfrom torture import *\ntorture = Torture(Path('.'), 1)\n"
        done = subprocess.run(
            [sys.executable, "-c", head + lines], cwd=tmp_path, capture_output=True, text=True,
            env={**os.environ, "PYTHONPATH": f"{TESTS}{os.pathsep}{TESTS.parent}"}, timeout=120,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_killed_a_hundred_times(tmp_path: Path) -> None:
    command = [sys.executable, str(TESTS / "torture.py"), str(tmp_path)]
    done = subprocess.run(
        [*command, "--megabytes", "64", "--rounds", "100", "--seed", "1"], capture_output=True,
        text=True, env={**os.environ, "PYTHONPATH": str(TESTS.parent)}, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    counts = re.search(r"^100 killed: (\d+) old, (\d+) between, (\d+) new$", done.stdout, re.M)
    assert counts is not None, done.stdout
    assert sum(map(int, counts.groups())) == 100
    assert int(counts[1]) > 10  # not all of them too late


@pytest.mark.parametrize("old", [False, True])
def test_killed_before_every_step(script: Script, old: bool) -> None:
    seen = script(
        f"seen = []\n"
        f"while seen[-1:] != ['done']:\n"
        f"    seen.append(torture.killed_at_step({old}, len(seen)))\n"
        f"    assert len(seen) < 500\n"
        f"torture.recovered()\n"
        f"print(*seen)"
    ).split()
    # First nothing was in place, then the weights, then all was; and each was seen.
    assert sorted(seen, key=["old", "between", "new", "done"].index) == seen
    assert set(seen) == {"old", "between", "new", "done"}


def test_what_the_killed_leave_is_cleared_away(script: Script) -> None:
    steps = script(
        "left = 0\n"
        "for step in range(0, 40, 4):\n"
        "    torture.killed_at_step(True, step)\n"
        "    left = max(left, len(torture.left()))\n"
        "torture.recovered()\n"
        "print(left)"
    )
    assert int(steps) > 0


def test_no_room(script: Script) -> None:
    said = script("print(torture.without_room(300_000), end='')")
    assert said == "error: out/model_full_conv.caffemodel: File too large\n"


def test_a_full_file_system(tmp_path: Path, script: Script) -> None:
    (tmp_path / "small").mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(tmp_path / "small")]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        said = script(
            "print(torture.finished(torture.start('-o', 'small')), torture.said(), end='')\n"
            "import os; print(os.listdir('small'))"
        )
    finally:
        subprocess.run(["umount", str(tmp_path / "small")], check=True)
    assert said == ("1 error: small/model_full_conv.caffemodel: No space left on device\n[]\n")


def test_several_at_once(script: Script) -> None:
    script("for _ in range(4): torture.together()")


def test_a_link_stays_and_its_target_is_replaced(script: Script) -> None:
    script(
        "import os\n"
        "torture.prepare(True)\n"
        "os.rename('out/model_full_conv.caffemodel', 'real')\n"
        "os.symlink('../real', 'out/model_full_conv.caffemodel')\n"
        "assert torture.finished(torture.start('--force')) == 0\n"
        "assert os.path.islink('out/model_full_conv.caffemodel')\n"
        "assert torture.check(True) == 'new'\n"
    )


def test_a_pipe_is_refused(script: Script) -> None:
    said = script(
        "import os\n"
        "os.mkfifo('out/net_full_conv.prototxt')\n"
        "assert torture.finished(torture.start('--force')) == 1\n"
        "print(torture.said(), os.listdir('out'))\n"
    )
    assert said == (
        "error: out/net_full_conv.prototxt: is not a regular file, which an output must be\n "
        "['net_full_conv.prototxt']\n"
    )
