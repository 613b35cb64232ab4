"""`make demo`: what it runs works, and it ends with what to open and to look for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def test_the_demo(tmp_path: Path, repo_root: Path) -> None:
    folder = tmp_path / "out"
    done = subprocess.run(
        [sys.executable, str(repo_root / "examples/demo.py"), str(folder)],
        capture_output=True, text=True, env={**os.environ, "NETSURGERY_ENGINE": "embedded"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"next: cd {folder} && netsurgery classify-map IMAGE\n" in done.stdout
    last = done.stdout[done.stdout.index("\nOpen ") :]
    assert f"Open {folder}/digits_map.png." in last
    assert "10 of the 10 digits have their class at their place." in last
    for name in ("digits_map.png", "digits.diff"):
        assert name in last
        assert (folder / name).stat().st_size > 0
    assert "InnerProduct" in (folder / "digits.diff").read_text()
