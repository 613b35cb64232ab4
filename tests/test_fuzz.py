"""What fuzzing found, kept; and the fuzzer itself, for a moment."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from fuzz.child import INSTRUMENTED
from fuzz.commands import COMMANDS, case_of
from fuzz.layers import LINES, Case
from fuzz.seeds import seeds
from fuzz.targets import TARGETS, run_target

TESTS = Path(__file__).resolve().parent
KEPT = sorted(path for path in (TESTS / "fuzz" / "regressions").glob("*/*") if path.is_file())


@pytest.fixture(autouse=True)
def current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NETSURGERY_ENGINE", "embedded")


@pytest.mark.parametrize("path", KEPT, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_what_was_found_once(path: Path) -> None:
    run_target(path.parent.name, path.read_bytes())


@pytest.mark.parametrize("target", sorted(set(TARGETS) - {"command", "layers", "upgrade"}))
def test_something_of_the_seeds_is_right(target: str) -> None:
    """Else everything would be refused at the door."""
    assert "" in {run_target(target, data) for data in seeds(target)}


@pytest.mark.parametrize("module", INSTRUMENTED)
def test_what_leads_the_fuzzer_is_there(module: str) -> None:
    assert importlib.util.find_spec(module) is not None


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_command_lines_on_the_seeds(words: list[str]) -> None:
    case_of(words).check()


@pytest.mark.parametrize("command", LINES)
def test_command_lines_on_nets_of_many_layers(command: str) -> None:
    Case(command, "chain", "readers", size=24, changes=3, seed=1).check()


BAD_TARGET = """
import sys
from pathlib import Path
from fuzz import child, targets
targets.TARGETS["labels"] = lambda data: {}[data] if data[:1] == b"z" else None
child.limit_memory = lambda: None
sys.argv[1:] = ["labels", "2", "1", "hypothesis", "findings"]
child.main()
"""


def test_a_failure_is_found_and_kept() -> None:
    done = subprocess.run(
        [sys.executable, "-c", BAD_TARGET], capture_output=True, text=True, check=False,
        env={"PYTHONPATH": f"{TESTS}:{TESTS.parent}", "PATH": "/usr/bin:/bin"}, timeout=120,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert done.stdout.startswith("found labels-")
    findings = [path for path in Path("findings").iterdir() if path.suffix != ".txt"]
    assert {path.read_bytes()[:1] for path in findings} == {b"z"}
