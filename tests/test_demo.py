"""`make demo`: what it runs works, and it ends with what to open and to look for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def demo(repo_root: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(repo_root / "examples/demo.py"), str(folder)],
        capture_output=True, text=True, env={**os.environ, "NETSURGERY_ENGINE": "embedded"},
    )  # fmt: skip


def test_the_demo(tmp_path: Path, repo_root: Path) -> None:
    folder = tmp_path / "out"
    done = demo(repo_root, folder)
    assert done.returncode == 0, done.stderr
    assert f"next: cd {folder} && netsurgery classify-map IMAGE\n" in done.stdout
    last = done.stdout[done.stdout.index("\nOpen ") :]
    assert f"Open {folder}/digits_map.png." in last
    assert "10 of the 10 digits have their class at their place." in last
    for name in ("digits_map.png", "digits_map.html", "digits.diff"):
        assert name in last
        assert (folder / name).stat().st_size > 0
    assert "InnerProduct" in (folder / "digits.diff").read_text()


def test_the_demo_clears_no_folder_that_it_is_given(tmp_path: Path, repo_root: Path) -> None:
    (tmp_path / "kept").write_text("mine")
    for folder, reason in ((tmp_path, "File exists"), (tmp_path / "no/one", "No such file")):
        done = demo(repo_root, folder)
        assert done.returncode == 1
        assert done.stderr.startswith(f"{folder}: {reason}")
        assert done.stderr.endswith("; expected the name of a new folder\n")
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
