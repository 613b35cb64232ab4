"""How a command ends when what it writes to, or whoever started it, is gone."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NET = str(ROOT / "prototxt" / "digits_deploy.prototxt")
MODEL = str(ROOT / "models" / "digits" / "digits.caffemodel")
IMAGE = str(ROOT / "examples" / "digits_canvas.png")


def environment() -> dict[str, str]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("NETSURGERY_")}
    return {**inherited, "PYTHONPATH": str(ROOT), "NETSURGERY_ENGINE": "embedded"}


def with_a_closed_reader(folder: Path, *args: str, both: bool = False) -> tuple[int, bytes]:
    """Exit code and standard error of a command whose output nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "netsurgery", *args],
            cwd=folder,
            env=environment(),
            stdout=writer,
            stderr=writer if both else subprocess.PIPE,
            timeout=60,
        )
    finally:
        os.close(writer)
    return done.returncode, done.stderr or b""


@pytest.mark.parametrize(
    "args",
    [
        ["--help"],
        ["--version"],
        ["convert", "--help"],
        ["inspect", NET],
        ["inspect", NET, MODEL, "--json"],
        ["classify-map", IMAGE, "--blob", "pool1"],
        ["classify-map", IMAGE, "-q", "--blob", "pool1", "--npy", "-"],
        ["classify-map", IMAGE, "--blob", "pool1", "-q", "--json"],
        ["classify-map", IMAGE, "--blob", "pool1", "-q", "--picture", "-"],
    ],
    ids=lambda args: " ".join(arg for arg in args if not arg.startswith("/")),
)
def test_a_reader_that_left_is_no_error(tmp_path: Path, args: list[str]) -> None:
    if args[0] == "classify-map":
        args = [*args, "--prototxt", NET, "--weights", MODEL, "--fit", "pad"]
    assert with_a_closed_reader(tmp_path, *args) == (141, b"")


def test_errors_that_nobody_reads(tmp_path: Path) -> None:
    assert with_a_closed_reader(tmp_path, "inspect", "none.prototxt", both=True)[0] == 141


@pytest.mark.parametrize(
    ("closed", "words"),
    [
        (">&-", [IMAGE]),
        (">&-", [IMAGE, "--json"]),
        ("2>&-", [IMAGE, IMAGE]),
    ],
    ids=["a map", "a map as JSON", "a bar"],
)
def test_a_stream_that_was_closed_at_the_start(
    tmp_path: Path, closed: str, words: list[str]
) -> None:
    net = ["--prototxt", NET, "--weights", MODEL, "--blob", "pool1", "--fit", "pad"]
    command = [sys.executable, "-m", "netsurgery", "classify-map", *words, *net]
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {closed}', "sh", *command],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_standard_error_that_has_no_room(tmp_path: Path) -> None:
    """What was to be said is lost; what was to be done is done."""
    for words, code in (["inspect", "none"], 1), (["convert", NET, MODEL, "-o", "out"], 0):
        with open("/dev/full", "w") as full:
            command = [sys.executable, "-m", "netsurgery", *words]
            done = subprocess.run(command, cwd=tmp_path, env=environment(), stderr=full)
        assert done.returncode == code


#: Ctrl-C while the first imports run, as the command starts.
EARLY = """
import os, signal, sys
class CtrlC:
    def find_spec(name, path=None, target=None):
        if name == "click":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, CtrlC)
sys.argv[1:] = ["--version"]
from {module} import {function}
sys.exit({function}())
"""


def test_ctrl_c_while_the_command_is_imported(tmp_path: Path) -> None:
    text = (ROOT / "pyproject.toml").read_text()
    match = re.search(r'^netsurgery = "([\w.]+):(\w+)"$', text, re.MULTILINE)
    assert match is not None
    done = subprocess.run(
        [sys.executable, "-c", EARLY.format(module=match[1], function=match[2])],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")


def in_a_removed_folder(folder: Path, *args: str) -> tuple[int, str]:
    """Exit code and standard error; Python finds its modules in `folder`, too."""
    (folder / "gone").mkdir()
    script = f"cd gone && rmdir ../gone && exec {shlex.quote(sys.executable)} -m netsurgery "
    done = subprocess.run(
        ["sh", "-c", script + shlex.join(args)],
        cwd=folder,
        env={**environment(), "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])},
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stderr


def test_a_removed_current_folder_is_no_matter(tmp_path: Path) -> None:
    """Where no relative path is given; looking for Caffe looks at the current folder."""
    hook = "import sys\nsys.path.append('__editable__.own.finder')\n"  # of an editable installation
    (tmp_path / "sitecustomize.py").write_text(hook)
    code, errors = in_a_removed_folder(tmp_path, "caffe", "info", "-q")
    assert errors == ""
    assert code in (0, 1)  # whether there is a Caffe


def test_a_removed_current_folder_that_is_needed(tmp_path: Path) -> None:
    assert in_a_removed_folder(tmp_path, "convert", NET, MODEL) == (
        1,
        "error: the current folder: No such file or directory; go to another\n",
    )
