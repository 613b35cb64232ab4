"""Caffe's own command-line tools, out of the tree that `netsurgery caffe install` unpacked."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import tempfile
from pathlib import Path

from netsurgery.engines.debian import installed_python

__all__ = ["caffe_tool", "run_tool"]


def caffe_tool(name: str) -> list[str] | None:
    """The words that run the tool, on that tree's loader and libraries; None if it is not there.

    The launcher of the tree's Python ends with the command that starts it; a tool is started so.
    """
    python = installed_python()
    if python is None:
        return None
    root = Path(os.path.realpath(python)).parent / "root"
    tool = root / "usr" / "bin" / name
    last = Path(python).read_text().splitlines()[-1]
    words = re.sub(r'"\$root"|\$root', lambda _: shlex.quote(str(root)), last)
    loader = shlex.split(words)[1:4]  # exec LOADER --library-path FOLDERS PYTHON "$@"
    return [*loader, str(tool)] if tool.exists() else None


def run_tool(tool: list[str], *arguments: object) -> tuple[int, str]:
    """Its exit status and what it says; without leaving a core where it aborts, or its logs."""
    command = ["sh", "-c", 'ulimit -c 0; exec "$@"', "sh", *tool, *map(str, arguments)]
    with tempfile.TemporaryDirectory() as logs:
        done = subprocess.run(
            command,
            env={**os.environ, "GLOG_log_dir": logs},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    return done.returncode, done.stderr
