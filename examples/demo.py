"""The two jobs of netsurgery on the bundled net and picture; what comes out stays in demo/."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "demo"
PROTOTXT = "prototxt/digits_deploy.prototxt"
WEIGHTS = "models/digits/digits.caffemodel"
LABELS = "models/digits/digits_labels.txt"
PICTURE = "examples/digits_canvas.png"


def netsurgery(*words: str, folder: Path = ROOT, show: bool = True) -> str:
    """Run one command, show it and what it prints, and return what it prints."""
    if show:
        print(f"\n$ netsurgery {' '.join(words)}", flush=True)
    done = subprocess.run(
        [sys.executable, "-m", "netsurgery", *words], cwd=folder, stdout=subprocess.PIPE, text=True
    )
    if done.returncode:
        sys.exit(done.returncode)
    if show:
        print(done.stdout, end="", flush=True)
    return done.stdout


def main() -> None:
    """Convert the net, map the picture."""
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir()
    convert = ["convert", PROTOTXT, WEIGHTS, "--input-size", "192x288", "--labels", LABELS]
    facts = json.loads(netsurgery(*convert, "-o", "demo", "--dry-run", "--json", show=False))
    (OUT / "digits.diff").write_text(facts["diff"], encoding="utf-8")
    netsurgery(*convert, "-o", "demo")
    netsurgery("classify-map", f"../{PICTURE}", "--picture", "digits_map.png", folder=OUT)
    print("\nIn demo/:")
    for path in sorted(OUT.iterdir()):
        print(f"  {path.name}")


if __name__ == "__main__":
    main()
