"""What the benchmark works on: nets of a chosen size, random weights, a picture.

All of it is made by netsurgery's own commands, in a folder that goes away.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmarks.forwards import ROOT

__all__ = ["CAFFENET", "MEAN", "PREPROCESS", "SMALL", "Materials", "Scale", "with_fillers"]

#: Of the picture's channels, blue first, as CaffeNet takes them.
MEAN = "104.0,116.7,122.7"
PREPROCESS = ("--mean", MEAN, "--raw-scale", "255", "--channel-swap", "2,1,0")


_PICTURES = """\
import sys, numpy as np
from PIL import Image
random = np.random.default_rng(0)
for name in sys.argv[1:]:
    smooth = Image.fromarray(random.integers(0, 256, (12, 16, 3), np.uint8)).resize((500, 375))
    noise = random.normal(0, 3, (375, 500, 3))
    Image.fromarray(np.clip(smooth + noise, 0, 255).astype(np.uint8)).save(name, quality=90)
"""


@dataclass(frozen=True)
class Scale:
    """Sizes: the classifier's input, that of its 8 x 8 map, and how fc6 and fc7 become large.

    pictures: how many many are.
    """

    prototxt: Path
    window: int
    mapped: int
    widened: tuple[str, str]
    pictures: int


#: 61 million params; widened to 12,000 outputs each, fc6 and fc7 make it 269 million, 1 GiB.
CAFFENET = Scale(
    ROOT / "benchmarks" / "caffenet_sized.prototxt",
    227,
    451,
    ("num_output: 4096", "num_output: 12000"),
    200,
)
#: For trying the benchmark itself.
SMALL = Scale(
    ROOT / "prototxt" / "small_caffenet.prototxt",
    67,
    291,
    ("num_output: 64", "num_output: 128"),
    8,
)


@dataclass(frozen=True)
class Materials:
    """Files in `folder`; make() makes them."""

    folder: Path
    scale: Scale
    netsurgery: Path = field(default=Path(sys.executable).parent / "netsurgery")

    @property
    def model(self) -> Path:
        """The classifier's weights."""
        return self.folder / "model.caffemodel"

    @property
    def large(self) -> tuple[Path, Path]:
        """A wider classifier and its weights."""
        return self.folder / "large.prototxt", self.folder / "large.caffemodel"

    @property
    def classifier(self) -> tuple[Path, Path]:
        """The classifier and its weights."""
        return self.scale.prototxt, self.model

    @property
    def dense(self) -> tuple[Path, Path]:
        """The fully convolutional net and its weights."""
        folder = self.folder / "dense"
        return folder / "dense.prototxt", folder / "dense.caffemodel"

    @property
    def mapping(self) -> list[str]:
        """The options by which a command maps pictures with that net."""
        net, weights = map(str, self.dense)
        model = ["--prototxt", net, "--weights", weights, "--engine", "embedded"]
        return [*model, *PREPROCESS]

    @property
    def picture(self) -> Path:
        """A photograph's worth of pixels, 360 x 480."""
        return self.folder / "picture.jpg"

    @property
    def pictures(self) -> Path:
        """A list of pictures, each 375 x 500, as a camera makes them: smooth, with some noise."""
        return self.folder / "pictures.txt"

    @cached_property
    def environment(self) -> dict[str, str]:
        """This process's own, without what would change how netsurgery works.

        Bytecode is kept beside the rest, so that no Python, Caffe's own included, compiles its
        modules again in each run; likewise kernels that are laid out for the processor.
        """
        variables = {
            k: v for k, v in os.environ.items() if not k.startswith(("NETSURGERY_", "PYTHON"))
        }
        of_runs = {"PYTHONPYCACHEPREFIX": "bytecode", "NETSURGERY_CACHE": "cache"}
        folders = {name: str(self.folder / folder) for name, folder in of_runs.items()}
        return {**variables, **folders, "GLOG_minloglevel": "2"}

    def make(self) -> None:
        """Make the nets, their weights and the picture."""
        text = self.scale.prototxt.read_text()
        self.large[0].write_text(text.replace(*self.scale.widened))
        for prototxt, weights in (self.classifier, self.large):
            filled = self.folder / "filled.prototxt"
            filled.write_text(with_fillers(prototxt.read_text()))
            self.run("init", filled, "-o", weights, "--seed", 1, "-q")
        self.dense[0].parent.mkdir()
        self.run(*self.converting(self.classifier, self.dense))
        script = (
            "import sys, numpy as np; from PIL import Image\n"
            "random = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)\n"
            "Image.fromarray(random).resize((480, 360)).save(sys.argv[1])"
        )
        subprocess.run([sys.executable, "-c", script, str(self.picture)], check=True)
        folder = self.clear("pictures")
        names = [folder / f"{number:03}.jpg" for number in range(self.scale.pictures)]
        subprocess.run([sys.executable, "-c", _PICTURES, *map(str, names)], check=True)
        self.pictures.write_text("".join(f"{name}\n" for name in names))

    def converting(self, net: tuple[Path, Path], out: tuple[Path, Path]) -> list[str | Path]:
        """The words of `netsurgery convert` for a net, to two files."""
        places: list[str | Path] = ["--prototxt-out", out[0], "--weights-out", out[1]]
        return ["convert", *net, *places, *PREPROCESS, "--engine", "embedded", "-q"]

    def run(self, *words: object) -> str:
        """What a netsurgery command prints. Raises CalledProcessError."""
        command = [str(self.netsurgery), *map(str, words)]
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, check=True, stdout=subprocess.PIPE
        )
        return done.stdout.decode()

    def multiply_adds(self, net: Path, size: int) -> int:
        """Of one forward of a batch of one."""
        shape = f"1x3x{size}x{size}"
        record: dict[str, Any] = json.loads(self.run("inspect", net, "--size", shape, "--json"))
        return int(record["total"]["multiply_adds"])

    def clear(self, name: str) -> Path:
        """An empty folder `name`, what was in it not waiting to be written to the disk."""
        folder = self.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        os.sync()
        return folder


def with_fillers(text: str) -> str:
    """A net's text with a filler for every param; one that has fillers already stays."""
    if "weight_filler" in text:
        return text
    fillers = 'weight_filler { type: "xavier" } bias_filler { value: 0.1 }'
    return re.sub(r"num_output: \d+", rf"\g<0> {fillers}", text)
