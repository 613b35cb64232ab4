"""Fuzz every target for a while: ``make fuzz SECONDS=60``.

Two children at a time, each with one target and one engine: hypothesis, and atheris where it is
installed and the target takes bytes. What they find is in build/fuzz; the exit code is 1 then. The
seed is printed, and --seed repeats a run of hypothesis.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fuzz.targets import TARGETS

TESTS = Path(__file__).resolve().parents[1]
FINDINGS = TESTS.parent / "build" / "fuzz"
#: Coverage leads nowhere where the work is done by a library of C.
BY_ATHERIS = ("prototxt", "upgrade", "wire", "caffemodel", "binaryproto", "settings", "labels")
_AT_ONCE = 2
_CHATTER = ("INFO: ", "WARNING: Failed to find", "#", '"')
_GRACE = 120


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="for all targets together")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("targets", nargs="*", choices=[*TARGETS, []], metavar="TARGET")
    return parser.parse_args()


def plan(targets: list[str]) -> list[tuple[str, str, int]]:
    """(target, engine, its share of the time); command lines get the most."""
    has_atheris = importlib.util.find_spec("atheris") is not None
    if not has_atheris:
        print("no atheris for this Python (pip install '.[fuzz]'): hypothesis alone")
    turns = [(target, "hypothesis", 4 if target == "command" else 1) for target in targets]
    return turns + [(t, "atheris", 1) for t in targets if has_atheris and t in BY_ATHERIS]


def fuzz(target: str, engine: str, seconds: float, seed: int) -> bool:
    """One child; True if it found nothing."""
    with tempfile.TemporaryDirectory(prefix="netsurgery-fuzz-") as scratch:
        command = [sys.executable, "-m", "fuzz.child", target, f"{seconds:.1f}", str(seed), engine]
        env = {**os.environ, "PYTHONPATH": f"{TESTS}:{TESTS.parent}", "OMP_NUM_THREADS": "1"}
        try:
            done = subprocess.run(
                [*command, str(FINDINGS)], cwd=scratch, env=env, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, text=True, errors="replace", timeout=seconds + _GRACE,
                check=False,
            )  # fmt: skip
            code, said = done.returncode, done.stdout
        except subprocess.TimeoutExpired as late:
            code, said = -1, (late.stdout or b"").decode(errors="replace") + "\nnever ended"
        _report(target, engine, Path(scratch), said)
        has_finding = any(line.startswith("found ") for line in said.splitlines())
        if code not in (0, 1) or (code and not has_finding):
            _keep_last(target, engine, Path(scratch), code)
    return code == 0 and not has_finding


def _report(target: str, engine: str, scratch: Path, said: str) -> None:
    """What the child said, but for libFuzzer's own chatter, and how many cases it tried."""
    count = scratch / "count"
    tried = count.read_text() if count.exists() else "fewer than 50 cases"
    lines = [line for line in said.splitlines() if line and not line.startswith(_CHATTER)]
    print("\n".join([*lines[-40:], f"{target} by {engine}: {tried}"]), flush=True)


def _keep_last(target: str, engine: str, scratch: Path, code: int) -> None:
    """The case that a child died of."""
    FINDINGS.mkdir(parents=True, exist_ok=True)
    path = FINDINGS / f"{target}-died-{time.time_ns()}"
    if (scratch / "current").exists():
        shutil.copy(scratch / "current", path)
    print(f"{target} by {engine} ended with {code}; its last case is {path}", flush=True)


def main() -> None:
    """Fuzz what was asked for, and report."""
    options = arguments()
    turns = plan(options.targets or list(TARGETS))
    share = options.seconds * _AT_ONCE / sum(weight for _, _, weight in turns)
    print(f"fuzzing for {options.seconds:g} seconds, --seed {options.seed}", flush=True)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        results = list(
            pool.map(lambda turn: fuzz(turn[0], turn[1], share * turn[2], options.seed), turns)
        )
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
