"""Play the attacks, all or those numbered, and print a verdict each; exit code 1 if one works.

python -m attacks [--list] [NUMBER ...]
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from attacks.arena import Arena
from attacks.scripts import Script, find_caffe_python, scripts

__all__ = ["main"]


def main(words: list[str]) -> int:
    """Play, or with --list only list, the scripts of these numbers; all if there is none."""
    listed = "--list" in words
    numbers = {int(word) for word in words if word != "--list"}
    chosen = [script for script in scripts() if not numbers or script.number in numbers]
    if listed:
        for script in chosen:
            print(script.row)
        return 0
    caffe = find_caffe_python()
    return max([_play(script, caffe) for script in chosen], default=0)


def _play(script: Script, caffe: str | None) -> int:
    if script.needs_caffe and caffe is None:
        print(f"{script.number:03}  not played: no real Caffe here  {script.title}")
        return 0
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="attack-") as folder:
        try:
            script.attack(Arena(Path(folder), caffe))
        except AssertionError as error:
            print(f"{script.number:03}  WORKS  {script.title}: {error}")
            return 1
    print(f"{script.number:03}  held ({time.monotonic() - began:.1f} s)  {script.title}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
