"""What goes when a process ends before its work does; in processes of their own, since they end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from processes import alive

HEAD = """
import os, signal, subprocess, sys, threading, time
from netsurgery.io.children import kill_others, run, start
from netsurgery.io.cleanup import Undo, end, end_after_step, step
from netsurgery.io.scratch import scratch_folder
IN_A_GROUP = (
    "import os, subprocess; nowhere = subprocess.DEVNULL; print(subprocess.Popen("
    "['sleep', '60'], preexec_fn=os.setpgrp, stdout=nowhere, stderr=nowhere).pid)"
)
"""


def ended(lines: str, *, tmpdir: str | None = None) -> tuple[int, str]:
    """Exit code and output of a process that runs the lines."""
    done = subprocess.run(
        [sys.executable, "-u", "-c", HEAD + lines],
        stdout=subprocess.PIPE,
        text=True,
        timeout=30,
        check=False,
        env=None if tmpdir is None else {"TMPDIR": tmpdir},
    )
    return done.returncode, done.stdout


def test_the_last_made_goes_first_and_processes_before_all() -> None:
    assert ended("""
Undo(lambda: print("folder"))
Undo(lambda: print("process"), early=True)
Undo(lambda: 1 / 0)
Undo(lambda: print("file in it"))
Undo(lambda: print("kept")).forget()
done = Undo(lambda: print("at once"))
done(); done()
end(143)
""") == (143, "at once\nprocess\nfile in it\nfolder\n")


def test_nothing_runs_beside_the_end() -> None:
    """Neither what asks for a step then, nor another end, nor what stands after a step."""
    assert ended("""
Undo(lambda: (time.sleep(0.3), print("undone")))
def work():
    with step:
        end_after_step(130)
        print("the step's rest")
    print("what comes after it")
threading.Thread(target=lambda: (time.sleep(0.1), end(1), print("another end"))).start()
work()
""") == (130, "the step's rest\nundone\n")


def test_the_end_waits_for_a_step_of_another_thread() -> None:
    assert ended("""
threading.Thread(target=lambda: (time.sleep(0.1), end(129))).start()
with step, step:
    time.sleep(0.4)
    print("whole")
time.sleep(5)
print("more")
""") == (129, "whole\n")


@pytest.mark.parametrize(
    "lines",
    [
        """
process, _ = start(["sh", "-c", "sleep 60 & echo $!; wait"], stdout=subprocess.PIPE, text=True)
print(process.stdout.readline(), end="")
end(143)
""",
        """
print(run(["sh", "-c", "sleep 60 >/dev/null 2>&1 & echo $!"]).stdout, end="")
""",
        """
print(run([sys.executable, "-c", IN_A_GROUP]).stdout)
""",
        """
os.setsid()
exec(IN_A_GROUP)
kill_others()
""",
    ],
    ids=["end", "the command's own end", "a process group of its own", "its leader's order"],
)
def test_a_process_goes_with_all_it_started(lines: str) -> None:
    _, sleeper = ended(lines)
    assert not alive(int(sleeper))


def test_a_scratch_folder_goes_although_somebody_writes_into_it(tmp_path: Path) -> None:
    assert ended(
        """
with scratch_folder() as folder:
    def write():
        for number in range(3000):
            try:
                (folder / str(number)).touch()
            except OSError:
                break
    threading.Thread(target=write).start()
    end(143)
""",
        tmpdir=str(tmp_path),
    ) == (143, "")
    assert os.listdir(tmp_path) == []


def test_without_a_place_for_scratch_folders() -> None:
    _, out = ended("""
import tempfile
from netsurgery.errors import OutputError
tempfile.gettempdir = lambda: "/nowhere"
tempfile.tempdir = "/nowhere"
try:
    with scratch_folder():
        pass
except OutputError as error:
    print(error)
""")
    assert out == (
        "no folder for temporary files: No such file or directory; TMPDIR names another\n"
    )
