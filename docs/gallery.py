"""The gallery, docs/gallery.md: every kind of picture, each with the command that draws it.

    python docs/gallery.py

runs the commands, in a folder that goes away, and writes the page and its pictures.
"""

from __future__ import annotations

import contextlib
import io
import os
import shlex
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from netsurgery.cli import run

__all__ = ["FIGURES", "PAGE", "Figure", "draw", "page"]

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/gallery.md"
PICTURES = ROOT / "docs/gallery"

#: What makes the fully convolutional net, and a net of filters written by hand.
PREPARATION = """\
netsurgery convert prototxt/digits_deploy.prototxt models/digits/digits.caffemodel \\
    --input-size 192x288 --labels models/digits/digits_labels.txt -o digits
netsurgery init examples/01_designer_filters/filters.prototxt -o random.caffemodel --seed 1
netsurgery edit examples/01_designer_filters/filters.prototxt random.caffemodel \\
    -o designed.caffemodel 'conv[0][0]=gaussian:sigma=1' 'conv[0][1:]=zero' \\
    'conv[0][1,:,1:-1,1:-1]=sobel-y' 'conv[0][2,:,1:-1,1:-1]=sobel-x'
cd digits
"""
MAP = "netsurgery classify-map ../examples/digits_canvas.png --picture"
FEATURES = "netsurgery features ../examples/digits_canvas.png --picture"
DIGITS = (
    "--prototxt ../prototxt/digits_deploy.prototxt --weights ../models/digits/digits.caffemodel"
)
FILTERS = "--prototxt ../examples/01_designer_filters/filters.prototxt"


@dataclass(frozen=True)
class Figure:
    """name: of the file. title, text: on the page. command: but for the file's name, {}."""

    name: str
    title: str
    text: str
    command: str

    @property
    def file(self) -> str:
        """The picture's name."""
        return f"{self.name}.webp"

    @property
    def line(self) -> str:
        """The whole command."""
        return self.command.format(self.file)


FIGURES = (
    Figure(
        "overlay",
        "What is where",
        "The image in grey, each cell at its place in the color of its class, the more opaque the "
        "surer the net is. The class that most cells show is taken for the background and not "
        "painted. Beside it is the image as the net gets it.",
        f"{MAP} {{}}",
    ),
    Figure(
        "background",
        "With the background",
        "`--background none` paints all cells; another class may be named as well.",
        f"{MAP} {{}} --background none",
    ),
    Figure(
        "class",
        "One class",
        "Its values as heat, on the scale beside the picture.",
        f"{MAP} {{}} --class 2",
    ),
    Figure(
        "smooth",
        "Smooth",
        "`--smooth` interpolates between the centers of the cells, and says so.",
        f"{MAP} {{}} --class 2 --smooth",
    ),
    Figure(
        "several",
        "Several classes",
        "Each in its color, as opaque as its value is high.",
        f"{MAP} {{}} --class 3,5,8",
    ),
    Figure(
        "each",
        "Each class found",
        "All on one scale; `--range` sets it, for pictures that are to be compared.",
        f"{MAP} {{}} --class each",
    ),
    Figure(
        "panels",
        "In panels",
        "The image, the map on it, and the map alone: how sure the net is of the likeliest class "
        "but the background.",
        f"{MAP} {{}} --layout panels",
    ),
    Figure(
        "map",
        "The map alone",
        "In the frame of the image, with the number of each cell's class.",
        f"{MAP} {{}} --layout map",
    ),
    Figure(
        "features",
        "Channels of a blob",
        "Most active first, each with its number; blue is below 0, red above.",
        f"{FEATURES} {{}} {DIGITS} --blob conv1 --sort",
    ),
    Figure(
        "channels",
        "Some channels, each on its own scale",
        "As of large nets, whose channels differ much.",
        f"{FEATURES} {{}} {DIGITS} --blob pool1 --channels 0-3,12 --scale channel",
    ),
    Figure(
        "designer",
        "Filters written by hand",
        "What a blur and two edge filters make of the page, in grey, from the least value to the "
        "greatest, as BVLC's net surgery notebook shows them.",
        f"{FEATURES} {{}} {FILTERS} --weights ../designed.caffemodel --size image --blob conv "
        "--colors grey",
    ),
    Figure(
        "param",
        "The filters of a layer",
        "Blue is below 0, red above; filters over three channels are drawn in colors.",
        "netsurgery inspect ../models/digits/digits.caffemodel --param conv1[0] --picture {}",
    ),
)


def page() -> str:
    """The page's text."""
    parts = [
        "<!-- by python docs/gallery.py -->\n"
        "# Gallery\n\n"
        "Every kind of picture that netsurgery draws, with the command that drew it, on what the\n"
        "repository brings. The name's ending chooses `.png`, `.jpg`, `.webp` or `.svg`. First:\n\n"
        f"```sh\n{PREPARATION}```\n"
    ]
    for figure in FIGURES:
        parts.append(
            f"## {figure.title}\n\n{figure.text}\n\n```sh\n{figure.line}\n```\n\n"
            f"![{figure.title}](gallery/{figure.file})\n"
        )
    return "\n".join(parts)


def draw(folder: Path) -> Iterator[tuple[Figure, Path]]:
    """Run all commands in `folder`; each figure and its picture."""
    for name in ("prototxt", "models", "examples"):
        (folder / name).symlink_to(ROOT / name)
    _run(PREPARATION.replace("\\\n", "").removesuffix("cd digits\n"), folder)
    for figure in FIGURES:
        _run(figure.line, folder / "digits")
        yield figure, folder / "digits" / figure.file


def _run(lines: str, folder: Path) -> None:
    for line in lines.splitlines():
        words = shlex.split(line)[1:]
        engine = [] if words[0] in ("init", "edit", "inspect") else ["--engine", "embedded"]
        before = Path.cwd()
        os.chdir(folder)
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                code = run([*words, *engine, "-q"])
        finally:
            os.chdir(before)
        if code:
            raise SystemExit(f"{line}: exit code {code}")


def main() -> None:
    """Write the page and its pictures."""
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for figure, picture in draw(Path(folder)):
            shutil.copy(picture, PICTURES / figure.file)
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
