"""Commands that a signal ends at random moments: whole outputs or old ones, and nothing left.

    python tests/signalled.py FOLDER --rounds 60 --seed 0 [--only edit]

Each command runs as a user runs it, in a folder and with a TMPDIR of its own. Every other round
there are old outputs, which --force replaces; every third round the signal comes twice. After each
the exit code has to be 128 + n, or 0 where it came too late, each output the old one, the new one
or none, with nothing beside them, TMPDIR empty, and no process alive that the command started.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from test_debian import Machine
from torture import NET, write_model

__all__ = ["COMMANDS", "SIGNALS", "Signalled", "catches"]

ROOT = Path(__file__).resolve().parent.parent
SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
OLD = b"old"
#: Every process of a command has it in its environment, by which it is found.
_MARK = "NETSURGERY_TEST_RUN"
_SECONDS = 60.0

NET_OF_DIGITS = f"{ROOT}/prototxt/digits_deploy.prototxt"
DIGITS = f"{ROOT}/models/digits/digits.caffemodel"
PICTURES = " ".join(f"{number}.png" for number in range(6))
_MAPS = f"{PICTURES} --prototxt {NET_OF_DIGITS} --weights {DIGITS} --blob pool1 -q --force"

#: What the user would call -> the words; outputs go to the folder ``out``, big.* are made here.
COMMANDS = {
    "convert": "convert big.prototxt big.caffemodel -o out -q --force",
    "convert by Caffe": f"convert {NET_OF_DIGITS} {DIGITS} -o out -q --force --engine caffe",
    "edit": "edit big.prototxt big.caffemodel fc[0]*=2 -o out/new.caffemodel -q --force",
    "classify-map": f"classify-map {_MAPS} --picture out",
    "classify-map into a table": f"classify-map {_MAPS} --parquet out/new.parquet",
    "features": f"features {_MAPS} -o out/new.npz",
    "export": "export big.prototxt big.caffemodel -o out/new.onnx -q --force",
    "caffe install": "caffe install --prefix out --force -q --mirror http://mirror.example/debian",
}

#: For ``caffe install`` the machine is a fake one, which has no keys and little room.
_FAKE_MACHINE = """
from pathlib import Path
from netsurgery.__main__ import main
from netsurgery.engines import apt, debian
apt.KEYRINGS, debian.SPACE = (Path("keyring"),), 1000
main()
"""


class Signalled:
    """Inputs in `folder`, and what becomes of commands on them that a signal ends."""

    def __init__(self, folder: Path, *, megabytes: int = 64) -> None:
        self.folder, self.out, self.scratch = folder, folder / "out", folder / "scratch"
        self.scratch.mkdir()
        (folder / "big.prototxt").write_text(NET % (megabytes * 256))
        write_model(folder / "big.caffemodel", megabytes * 256)
        for name in PICTURES.split():
            shutil.copy(ROOT / "examples" / "digits_canvas.png", folder / name)
        (folder / "keyring").touch()
        self.machine = Machine(folder)
        self.beside = set(os.listdir(folder))

    def environment(self, mark: str) -> dict[str, str]:
        """Of a command: the embedded engine, the fake machine's tools, and a mark to find it by."""
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("NETSURGERY_")}
        return {
            "NETSURGERY_ENGINE": "embedded",
            **inherited,
            **{k: v for k, v in os.environ.items() if k.startswith("NETSURGERY_CAFFE")},
            _MARK: mark,
            "PYTHONPATH": str(ROOT),
            "TMPDIR": str(self.scratch),
            "FAKE": str(self.machine.fake),
            "PATH": f"{self.machine.bin}{os.pathsep}{os.environ['PATH']}",
        }

    def start(self, name: str, mark: str) -> subprocess.Popen[str]:
        """Begin a command."""
        for number in SIGNALS:  # a handler of ours is no obstacle, but what is ignored is inherited
            if signal.getsignal(number) is signal.SIG_IGN:
                signal.signal(number, signal.SIG_DFL)
        fake = ["-c", _FAKE_MACHINE] if name == "caffe install" else ["-m", "netsurgery"]
        return subprocess.Popen(
            [sys.executable, *fake, *COMMANDS[name].split()],
            cwd=self.folder,
            env=self.environment(mark),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def learn(self, name: str) -> tuple[float, dict[str, bytes]]:
        """Seconds that a command takes when it is left alone, and its outputs."""
        taken = []
        for _ in range(2):  # the second has the files in memory
            self.prepare(name, old=False)
            began = time.monotonic()
            process = self.start(name, "learning")
            _, said = process.communicate(timeout=_SECONDS)
            assert process.returncode == 0, said
            taken.append(time.monotonic() - began)
        return taken[-1], self.outputs()

    def outputs(self) -> dict[str, bytes]:
        """What lies in the folder of outputs; of an install, which is a folder, its stamp."""
        if not self.out.exists():
            return {}
        caches = {".lock", ".downloads"}  # from which an install goes on
        return {
            path.name: self._content(path) for path in self.out.iterdir() if path.name not in caches
        }

    def _content(self, path: Path) -> bytes:
        if path.name == "install":
            assert os.access(path / "python", os.X_OK), "half an install"
            return (path / "stamp.json").read_bytes()
        return path.read_bytes()

    def prepare(self, name: str, *, old: bool, new: Mapping[str, bytes] | None = None) -> None:
        """Old outputs, or none: then a folder to put them into is missing, where one is made."""
        shutil.rmtree(self.out, ignore_errors=True)
        if name == "caffe install" and old:
            (self.out / "install").mkdir(parents=True)
            (self.out / "install/python").write_text("")
            (self.out / "install/python").chmod(0o755)
            (self.out / "install/stamp.json").write_bytes(b'{"suite": "bullseye"}')
        elif not name.startswith("convert") or old:
            self.out.mkdir()
        if old and name != "caffe install":
            for each in _replaced(new or {}):
                (self.out / each).write_bytes(OLD)

    def round(
        self,
        name: str,
        number: int,
        delay: float,
        new: Mapping[str, bytes],
        *,
        old: bool,
        twice: bool,
    ) -> str:
        """End a command by a signal after `delay` seconds and check; says what was there then."""
        self.prepare(name, old=old, new=new)
        mark = f"{os.getpid()}-{time.monotonic_ns()}"
        process = self.start(name, mark)
        time.sleep(delay)
        ours = catches(process.pid, number)
        process.send_signal(number)
        if twice:
            time.sleep(random.uniform(0, 0.02))
            process.send_signal(number)
        _, said = process.communicate(timeout=_SECONDS)
        alive = _alive(mark)
        assert not alive, f"alive: {alive}"
        code = process.returncode
        if ours is not None:  # else Python never reached our first line, or was gone
            assert code in (0, 128 + number), f"exit code {code}: {said}"
            expected = ["", "stopped; run it again to go on from what was downloaded\n"]
            assert said in expected[: 1 + (name == "caffe install")], said
        return self.check(name, code, new, old=old)

    def check(self, name: str, code: int, new: Mapping[str, bytes], *, old: bool) -> str:
        """Raise AssertionError unless all is well."""
        assert os.listdir(self.scratch) == [], f"in TMPDIR: {os.listdir(self.scratch)}"
        beside = set(os.listdir(self.folder)) - self.beside - {"out"}
        assert not beside, f"beside the inputs: {beside}"
        outputs = self.outputs()
        assert outputs or name == "caffe install" or not self.makes_folder(name, old), (
            "an empty folder"
        )
        assert set(outputs) <= set(new), f"left over: {set(outputs) - set(new)}"
        fresh = [each for each in outputs if outputs[each] == new[each]]
        before = b'{"suite": "bullseye"}' if name == "caffe install" else OLD
        for each in set(outputs) - set(fresh):
            assert old, f"{each} is not what it should be"
            assert outputs[each] == before, f"{each} is neither old nor new"
        gone = _replaced(new) - set(outputs) if old else set()
        assert not gone, f"gone: {gone}"
        if code == 0:
            assert set(fresh) >= set(new), f"done, and no new {set(new) - set(fresh)}"
            return "done"
        return "all new" if len(fresh) == len(new) else "some new" if fresh else "old"

    def makes_folder(self, name: str, old: bool) -> bool:
        """Whether the command makes the folder of outputs, and it is there."""
        return name.startswith("convert") and not old and self.out.exists()


def _replaced(outputs: Iterable[str]) -> set[str]:
    """Those that --force replaces: a netsurgery.toml that says something else is left alone."""
    return set(outputs) - {"netsurgery.toml"}


def catches(pid: int, number: int) -> bool | None:
    """Whether the process has a handler for the signal; None where it has none, or is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return None
    (caught,) = [line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:")]
    signals = (number, signal.SIGQUIT)  # Python itself catches SIGINT from its start on
    return all(int(caught, 16) >> (each - 1) & 1 for each in signals) or None


def _alive(mark: str) -> list[str]:
    """Processes that have the mark in their environment, but for dead ones not yet waited for."""
    alive = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            if f"{_MARK}={mark}".encode() in (folder / "environ").read_bytes():
                alive.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return alive


def main() -> None:
    """Signal, and count what was seen."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=60, help="of each signal and command")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--only", choices=COMMANDS, action="append")
    options = parser.parse_args()
    random.seed(options.seed)
    signalled = Signalled(options.folder.resolve())
    print(f"--seed {options.seed}", flush=True)
    for name in options.only or COMMANDS:
        seconds, new = signalled.learn(name)
        for number in SIGNALS:
            seen = {"old": 0, "some new": 0, "all new": 0, "done": 0}
            for turn in range(options.rounds):
                delay = random.uniform(0, 1.05 * seconds)
                old, twice = bool(turn % 2), turn % 3 == 0
                seen[signalled.round(name, number, delay, new, old=old, twice=twice)] += 1
            counts = ", ".join(f"{count} {what}" for what, count in seen.items())
            print(
                f"{name} ({seconds:.2f} s), {number.name} x {options.rounds}: {counts}", flush=True
            )


if __name__ == "__main__":
    main()
