"""The two jobs of netsurgery on the bundled net and picture; what comes out stays in demo/.

It goes elsewhere with the name of a new folder: ``demo.py FOLDER``.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
#: The one folder that is cleared first.
DEMO = ROOT / "demo"
PROTOTXT = "prototxt/digits_deploy.prototxt"
WEIGHTS = "models/digits/digits.caffemodel"
LABELS = "models/digits/digits_labels.txt"
PICTURE = ROOT / "examples/digits_canvas.png"

LOOK = """
Open {folder}/digits_map.png. It is the sheet in grey, each cell in the color of the class that the
net sees in the 32x32 pixels around it. Look for a patch of color on every digit, and for nothing on
the rings, dots and lines: those are background, the class that most cells show, and not painted.
{right} of the {all} digits have their class at their place.

{folder}/digits_map.html is the same map for a browser: point at it to see what the net sees where.

{folder}/digits.diff is what became of the prototxt: look for InnerProduct, now Convolution.
Next, one of your own pictures:  cd {folder} && netsurgery classify-map IMAGE --picture map.png"""


def netsurgery(*words: str, folder: Path = ROOT, show: bool = True) -> str:
    """Run one command, show it and what it prints, and return what it prints."""
    if show:
        print(f"\n$ netsurgery {' '.join(words)}", flush=True)
    command = [sys.executable, "-m", "netsurgery", *words]
    stderr = None if show else subprocess.PIPE
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=stderr, text=True)
    if done.returncode:
        sys.exit(done.stderr or done.returncode)
    if show:
        print(done.stdout, end="", flush=True)
    return done.stdout


def main(name: str) -> None:
    """Convert the net, map the picture, and say what to look for."""
    folder = ROOT / name
    if folder == DEMO:
        shutil.rmtree(folder, ignore_errors=True)
    try:
        folder.mkdir()
    except OSError as error:
        sys.exit(f"{folder}: {error.strerror}; expected the name of a new folder")
    convert = ["convert", PROTOTXT, WEIGHTS, "--input-size", "192x288", "--labels", LABELS]
    plan = json.loads(netsurgery(*convert, "-o", name, "--dry-run", "--json", show=False))
    (folder / "digits.diff").write_text(plan["diff"], encoding="utf-8")
    netsurgery(*convert, "-o", name)
    picture = PICTURE if folder.parent != ROOT else Path("..", PICTURE.relative_to(ROOT))
    outputs = ("--picture", "digits_map.png", "--html", "digits_map.html")
    netsurgery("classify-map", str(picture), *outputs, folder=folder)
    record = json.loads(
        netsurgery("classify-map", str(picture), "--json", folder=folder, show=False)
    )
    digits = json.loads(PICTURE.with_suffix(".json").read_text())["digits"]
    right = sum(
        record["classes"][0][row][column] == digit["digit"]
        for digit in digits
        for row, column in [digit["cell"]]
    )
    print(LOOK.format(folder=name, right=right, all=len(digits)))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else DEMO.name)
