"""Commands that a signal ends: a sample of what `signalled` does at random moments, and more."""

from __future__ import annotations

import contextlib
import os
import pty
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from signalled import COMMANDS, SIGNALS, Signalled, catches

ROOT = Path(__file__).resolve().parent.parent
NET = ROOT / "prototxt" / "digits_deploy.prototxt"

#: A forward pass of it takes many seconds.
SLOW = """
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 1 dim: 1 dim: 2048 dim: 2048 } } }
layer { name: "a" type: "Convolution" bottom: "data" top: "a"
  convolution_param { num_output: 128 kernel_size: 9 weight_filler { type: "xavier" } } }
layer { name: "b" type: "Convolution" bottom: "a" top: "b"
  convolution_param { num_output: 128 kernel_size: 9 weight_filler { type: "xavier" } } }
"""


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.caffe] if "Caffe" in name else []) for name in COMMANDS],
)
def test_nothing_is_left_at_any_moment(tmp_path: Path, name: str) -> None:
    random.seed(name)
    signalled = Signalled(tmp_path, megabytes=16)
    seconds, new = signalled.learn(name)
    for turn in range(6):
        delay = (turn + random.random()) / 6 * seconds
        number = SIGNALS[turn % 3]
        signalled.round(name, number, delay, new, old=bool(turn % 2), twice=turn > 3)


def environment() -> dict[str, str]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("NETSURGERY_")}
    return {**inherited, "PYTHONPATH": str(ROOT), "NETSURGERY_ENGINE": "embedded"}


def running(folder: Path, *words: str, before: str = "") -> subprocess.Popen[str]:
    """A command under way, which has its handlers; the shell does `before` first."""
    process = subprocess.Popen(
        ["sh", "-c", f'{before} exec "$@"', "sh", sys.executable, "-m", "netsurgery", *words],
        cwd=folder,
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(process, lambda: catches(process.pid, signal.SIGIO) is not None)  # the last
    return process


def wait_for(process: subprocess.Popen[str], what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not what():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.parametrize(
    ("number", "code"),
    [
        *[("SIGTERM", 143), ("SIGHUP", 129), ("SIGINT", 130), ("SIGQUIT", 131), ("SIGXCPU", 152)],
        *[("SIGUSR1", 138), ("SIGUSR2", 140), ("SIGALRM", 142), ("SIGVTALRM", 154)],
        *[("SIGPROF", 155), ("SIGPWR", 158), ("SIGIO", 157)],
    ],
)
def test_the_exit_code_is_128_and_the_signals_number(
    tmp_path: Path, number: str, code: int
) -> None:
    process = running(tmp_path, "inspect", "-")
    process.send_signal(getattr(signal, number))
    assert process.communicate(timeout=30) == ("", "")
    assert process.returncode == code


@pytest.mark.parametrize("name", ["HUP", "INT", "TERM"])
def test_a_signal_that_was_ignored_stays_so(tmp_path: Path, name: str) -> None:
    """As nohup has it, and a shell for what it puts into the background."""
    process = running(tmp_path, "inspect", "-", before=f"trap '' {name};")
    process.send_signal(getattr(signal, f"SIG{name}"))
    out, err = process.communicate(NET.read_text(), timeout=30)
    assert (process.returncode, err) == (0, "")
    assert "ip1" in out


def test_a_net_that_runs_is_not_waited_for(tmp_path: Path) -> None:
    """ONNX Runtime is at it for many seconds, and Python's handlers would wait."""
    (tmp_path / "slow.prototxt").write_text(SLOW)
    (tmp_path / "one.png").write_bytes((ROOT / "examples" / "digits_canvas.png").read_bytes())
    command = ["init", "slow.prototxt", "-o", "slow.caffemodel", "-q"]
    subprocess.run(
        [sys.executable, "-m", "netsurgery", *command], cwd=tmp_path, env=environment(), check=True
    )
    words = "features one.png --prototxt slow.prototxt --weights slow.caffemodel --blob b -o o.npz"
    process = running(tmp_path, *words.split())
    maps = Path(f"/proc/{process.pid}/maps")
    wait_for(process, lambda: "slow.caffemodel" in maps.read_text())
    time.sleep(1.0)
    sent = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 143
    assert time.monotonic() - sent < 3
    assert process.communicate() == ("", "")
    assert sorted(os.listdir(tmp_path)) == ["one.png", "slow.caffemodel", "slow.prototxt"]


#: What an installed `netsurgery` does, in which Ctrl-C comes as the n-th module is imported.
INTERRUPTED = """
import os, sys
from netsurgery.__main__ import main
left = int(sys.argv.pop(1))
def interrupt(event, args):
    global left
    if event == "import":
        left -= 1
        if left == -1:
            os.kill(os.getpid(), 2)
sys.addaudithook(interrupt)
main()
"""


def without_site() -> tuple[list[str], dict[str, str]]:
    """Python that has imported nothing at its start, as an editable installation may have."""
    path = os.pathsep.join([str(ROOT), *filter(os.path.isabs, sys.path)])
    return [sys.executable, "-S", "-c"], {**environment(), "PYTHONPATH": path}


@pytest.mark.parametrize("number", [0, 1, 2, 3, *range(4, 60, 7)])
def test_an_interrupted_import_is_silent(number: int) -> None:
    python, env = without_site()
    command = [*python, INTERRUPTED, str(number), "--version"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=30)
    assert done.returncode in (130, -signal.SIGINT)
    assert (done.stdout, done.stderr) == ("", "")


def test_nothing_is_imported_before_interrupts_are_seen_to() -> None:
    """There Python itself prints the traceback of an interrupt, in the middle of an import."""
    code = (
        "import os, sys; before = set(sys.modules); import netsurgery.__main__;"
        "print(*sorted(set(sys.modules) - before))"
    )
    python, env = without_site()
    done = subprocess.run([*python, code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["__future__", "netsurgery", "netsurgery.__main__"]


def test_the_library_installs_no_handlers(tmp_path: Path) -> None:
    code = f"""
import signal
before = [signal.getsignal(number) for number in signal.valid_signals()]
import netsurgery
netsurgery.inspect({str(NET)!r})
assert before == [signal.getsignal(number) for number in signal.valid_signals()]
"""
    subprocess.run([sys.executable, "-c", code], env=environment(), check=True, timeout=30)


def test_the_prompt_does_not_come_behind_a_bar(tmp_path: Path) -> None:
    terminal, theirs = pty.openpty()
    pictures = [str(ROOT / "examples" / "digits_canvas.png")] * 50
    net = ["--prototxt", str(NET), "--weights", str(ROOT / "models/digits/digits.caffemodel")]
    process = subprocess.Popen(
        [sys.executable, "-m", "netsurgery", "classify-map", *pictures, *net, "--blob", "pool1"],
        cwd=tmp_path,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=theirs,
    )
    os.close(theirs)
    said = os.read(terminal, 1 << 16)
    while b"/50" not in said:
        said += os.read(terminal, 1 << 16)
    process.terminate()
    assert process.wait(30) == 143
    with contextlib.suppress(OSError):  # the end of a terminal's output
        while part := os.read(terminal, 1 << 16):
            said += part
    os.close(terminal)
    assert said.endswith(b"\n")
