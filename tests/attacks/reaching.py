"""What attacks of a net on files and modules share: the net, its victims, all that runs nets."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from attacks.arena import Arena, Done

__all__ = ["COMMANDS", "NET", "Victims"]

NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: [1, 1, 8, 8] } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 2 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "fc" type: "InnerProduct" bottom: "conv" top: "fc"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
"""

MODULE = "open(%r, 'w').close()\n"

GIVEN = "--prototxt net.prototxt --weights good.caffemodel"
COMMANDS = (
    "convert net.prototxt good.caffemodel --force -o out",
    "verify net.prototxt good.caffemodel good.prototxt good.caffemodel",
    f"features grey.png {GIVEN} --blob conv --force -o out.npz --engine caffe",
    f"classify-map grey.png {GIVEN} --blob conv --force --npy out.npy --engine caffe",
)


class Victims:
    """A file and a folder of the user's, and a module that leaves a file when it is imported."""

    def __init__(self, arena: Arena) -> None:
        from PIL import Image

        self.arena = arena
        self.file = arena.write("victim", "the user's own\n")
        self.folder = arena.folder / "folder"
        self.folder.mkdir()
        self.imported = arena.folder / "imported"
        arena.write("modules/marker.py", MODULE % str(self.imported))
        arena.write("marker.py", MODULE % str(self.imported))
        arena.write("good.prototxt", NET)
        Image.new("L", (8, 8), 9).save(arena.folder / "grey.png")
        assert self.run("init good.prototxt -o good.caffemodel --seed 1").code == 0

    def run(self, command: str, **more: str) -> Done:
        """Run a command with the Caffe there is, and the module on every path that there is."""
        modules = str(self.arena.folder / "modules")
        env = {"NETSURGERY_CAFFE_PYTHONPATH": modules, **more}
        if self.arena.caffe_python is not None:
            env["NETSURGERY_CAFFE_PYTHON"] = self.arena.caffe_python
        return self.arena.run(*command.split(), env=env, memory=0)

    def unharmed(self) -> None:
        """Fail where any of them is not what it was."""
        assert self.file.read_text() == "the user's own\n", "the file was written"
        assert not list(self.folder.iterdir()), "something was put into the folder"
        assert not self.imported.exists(), "the module was imported"

    def aside(self, layers: str) -> None:
        """Give every command a net that has `layers` besides: Caffe does without them."""
        self.arena.write("net.prototxt", NET + layers)
        for command in COMMANDS:
            done = self.run(command)
            self.unharmed()
            assert done.code == 0, f"{command}: {done.err}"
            by_caffe = "--engine caffe" in command or "caffe 1.0" in done.out
            assert by_caffe, f"{command}: not by Caffe: {done.out}"

    def whole(self, *texts: str, words: Sequence[str]) -> None:
        """Give each text to what takes a net whole: it is refused in one line that has `words`."""
        names = [f"net{index}.prototxt" for index in range(len(texts))]
        for name, text in zip(names, texts, strict=True):
            self.arena.write(name, text)
        done = self.run_python(str(self.arena.write("load.py", LOAD)), *names)
        self.unharmed()
        lines = done.out.splitlines()
        assert len(lines) == len(texts), done.err
        for line, text in zip(lines, texts, strict=True):
            for word in words:
                assert word in line, f"no {word!r} in {line!r}, of {text}"

    def run_python(self, *command: str) -> Done:
        """Run a program of the user's that uses the library."""
        env = {"NETSURGERY_CAFFE_PYTHONPATH": str(self.arena.folder / "modules")}
        env["NETSURGERY_CAFFE_PYTHON"] = self.arena.caffe_python or ""
        return self.arena.command([sys.executable, *command], env=env, memory=0)


LOAD = """
import sys
from pathlib import Path
import netsurgery
with netsurgery.open_engine(netsurgery.EngineOptions(choice="caffe")) as engine:
    for name in sys.argv[1:]:
        try:
            engine.load(Path(name))
            print("loaded")
        except netsurgery.NetsurgeryError as error:
            print(f"{type(error).__name__}: {error}")
"""
