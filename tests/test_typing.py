"""What a type checker says of calls of the library: right ones pass, misspelled words do not."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

from lacking import lacking

RIGHT = [
    'ns.Net("n.prototxt", phase="TRAIN").shapes({"data": (1, 3, 4, 4)})',
    'ns.NetState("TRAIN", 1).at({"data": (1, 3, 4, 4)})',
    'ns.classify_map("p.png", "n.toml", engine="embedded", size="image")',
    'ns.classify_map("p.png", "n.toml", size=ns.PictureOptions((451, 451), "crop"))',
    'ns.classify_map(Path("p.png"), ns.Settings(mean=[1, 2, 3]), size=(451, 451))',
    'ns.classify_map(np.zeros((4, 4), np.uint8), "n.toml", engine=ns.EngineOptions("caffe"))',
    'ns.classify_map(b"...", ns.Settings(labels=["a", "b"], channel_swap="bgr"))',
    'for class_map in ns.classify_maps(["p.png", np.zeros((4, 4))], "n.toml"): class_map.argmax()',
    'ns.classify_maps("p.png", "n.toml").to_files({"npy": Path("m")}, ns.MapView("7"))',
    'ns.features("p.png", "conv1", "n.toml", engine="auto")["conv1"].values.mean()',
    'for blobs in ns.extract_features(["p.png"], "conv1", "n.toml"): blobs["conv1"].geometry()',
    'ns.extract_features("p.png", "conv1", "n.toml").to_files("f.npz", {"picture": "grids/"})',
    'ns.Settings(mean=np.zeros((3, 4, 4)), raw_scale=255)',
    'ns.PictureOptions("net", "pad", antialias=False)',
    'net = ns.Net("n.prototxt", "n.caffemodel", engine="embedded")',
    'net.forward(data=np.zeros((1, 3, 4, 4)), blobs=["conv"], engine="caffe")["conv"].mean()',
    'net.params["fc"][0].data[0] = 1.0',
    'net.params["fc"][0] = net.params["fc"][0][::-1]',
    'net.blobs["data"].data[...] = net.blobs["conv"].data.sum()',
]  # fmt: skip

WRONG = {
    'ns.classify_map("p.png", "n.toml", engine="embeded")': r"Literal\['embeded'\]",
    'ns.classify_maps(["p.png"], "n.toml", engine="embeded")': r"Literal\['embeded'\]",
    'ns.features("p.png", "conv1", "n.toml", engine="embeded")': r"Literal\['embeded'\]",
    'ns.convert("n.prototxt", "n.caffemodel", engine="embeded")': r"Literal\['embeded'\]",
    'ns.verify(("a", "b"), ("c", "d"), engine="embeded")': r"Literal\['embeded'\]",
    'ns.Net("n.prototxt", engine="embeded")': r"Literal\['embeded'\]",
    'ns.Net("n.prototxt").forward(engine="embeded")': r"Literal\['embeded'\]",
    'ns.open_mapper("n.toml", "embeded")': r"Literal\['embeded'\]",
    'ns.open_mapper("n.toml", size="picture")': r"Literal\['picture'\]",
    'ns.open_extractor("n.toml", "auto", "conv1", size="picture")': r"Literal\['picture'\]",
    'ns.EngineOptions("embeded")': r"Literal\['embeded'\]",
    'ns.classify_map("p.png", "n.toml", size="picture")': r"Literal\['picture'\]",
    'ns.classify_map("p.png", "n.toml", size=ns.PictureOptions(fit="fill"))': r"Literal\['fill'\]",
    'ns.classify_map(7, "n.toml")': r'"int"',
    'ns.NetState("TSET")': r"Literal\['TSET'\]",
    'ns.NetState("test")': r"Literal\['test'\]",
    'ns.Net("n.prototxt", phase="test")': r"Literal\['test'\]",
    'ns.PictureOptions(antialias="no")': r'"str"',
    'ns.EngineOptions(verbose="no")': r'"str"',
    "ns.Settings(mean=object())": r'"object"',
    'ns.PictureOptions("net", "fill")': r"Literal\['fill'\]",
}


def test_words_are_literals(tmp_path: Path, repo_root: Path) -> None:
    if importlib.util.find_spec("mypy") is None:
        lacking("no mypy; `pip install .[dev]` brings it")
    head = ["from pathlib import Path", "import numpy as np", "import netsurgery as ns"]
    (tmp_path / "calls.py").write_text("\n".join([*head, *RIGHT, *WRONG, ""]))
    options = ["--strict", "--no-error-summary", "--cache-dir", str(repo_root / ".mypy_cache")]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options, str(tmp_path / "calls.py")],
        capture_output=True,
        text=True,
        cwd=repo_root,
        check=False,
    )
    errors = re.findall(r"calls\.py:(\d+): error: (.*)", done.stdout)
    first = len(head) + len(RIGHT) + 1
    assert sorted({int(line) for line, _ in errors}) == list(range(first, first + len(WRONG)))
    for line, call in enumerate(WRONG, first):
        said = " ".join(message for number, message in errors if int(number) == line)
        assert re.search(WRONG[call], said), call
