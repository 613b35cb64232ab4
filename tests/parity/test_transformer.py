"""The blob fed to the net against what real caffe.io makes of the same picture.

JPEG decoders differ between versions of libjpeg, so pictures reach caffe.io as PNG files written
from the pixels decoded here. scikit-image's `as_gray` has another name than caffe.io's `as_grey`.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from netsurgery.maps.image import read_picture
from netsurgery.maps.picture_options import PictureOptions
from netsurgery.maps.resize import resize
from netsurgery.maps.transformer import Transformer

pytestmark = pytest.mark.caffe

SCRIPT = """
import json, sys
import numpy as np
import skimage.io
import caffe

read = skimage.io.imread
skimage.io.imread = lambda name, as_grey=False: read(name, as_gray=as_grey)
for job in json.load(open(sys.argv[1])):
    image = caffe.io.load_image(job["image"], job["channels"] == 3)
    maker = caffe.io.Transformer({"data": (1, job["channels"], job["size"][0], job["size"][1])})
    maker.set_transpose("data", (2, 0, 1))
    if job.get("mean"):
        maker.set_mean("data", np.load(job["mean"]))
    for step in ("raw_scale", "channel_swap", "input_scale"):
        if job.get(step) is not None:
            getattr(maker, "set_" + step)("data", job[step])
    if job.get("antialias") is False:
        resize = caffe.io.resize
        caffe.io.resize = lambda *a, **k: resize(*a, anti_aliasing=False, **k)
    np.save(job["out"], maker.preprocess("data", image))
    if job.get("antialias") is False:
        caffe.io.resize = resize
"""


def caffe_blobs(python: str, folder: Path, jobs: list[dict[str, Any]]) -> list[Any]:
    """What caffe.io makes of each job, in one start of its interpreter."""
    for i, job in enumerate(jobs):
        job["out"] = str(folder / f"blob{i}.npy")
    (folder / "verbs.json").write_text(json.dumps(jobs))
    (folder / "run.py").write_text(SCRIPT)
    done = subprocess.run(
        [python, str(folder / "run.py"), str(folder / "verbs.json")],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "HOME": str(folder), "OMP_NUM_THREADS": "2"},
    )
    assert done.returncode == 0, done.stderr
    return [np.load(job["out"]) for job in jobs]


@pytest.fixture
def cats(shared_data: Path, tmp_path: Path) -> dict[int, str]:
    """BVLC's cat.jpg and cat_gray.jpg as PNG, by channels in the file."""
    pictures = {}
    for channels, name in ((3, "cat.jpg"), (1, "cat_gray.jpg")):
        pixels = read_picture(str(shared_data / "bvlc" / name)).pixels
        pictures[channels] = str(tmp_path / f"cat{channels}.png")
        Image.fromarray(pixels[:, :, 0] if channels == 1 else pixels).save(pictures[channels])
    return pictures


#: Smaller, larger, not square, one side shrunk and the other grown, one side kept, the same size.
SIZES = [
    (227, 227),
    (451, 451),
    (720, 960),
    (100, 700),
    (900, 64),
    (360, 100),
    (360, 480),
    (28, 28),
]


def test_cat_at_many_sizes(caffe_python: str, cats: dict[int, str], tmp_path: Path) -> None:
    jobs: list[dict[str, Any]] = [
        {"image": cats[have], "channels": want, "size": size, "raw_scale": 255.0}
        for have in (1, 3)
        for want in (1, 3)
        for size in SIZES
    ]
    for job, theirs in zip(jobs, caffe_blobs(caffe_python, tmp_path, jobs), strict=True):
        maker = Transformer(job["channels"], raw_scale=255.0)
        ours, _ = maker.blob(read_picture(job["image"]), tuple(job["size"]))
        assert ours.shape == (1, *theirs.shape)
        assert np.abs(ours[0] - theirs).max() < 1e-3, (job["channels"], job["size"])


def test_every_step_in_caffes_order(
    caffe_python: str, cats: dict[int, str], tmp_path: Path
) -> None:
    whole = np.random.default_rng(1).uniform(90, 130, (3, 200, 240)).astype(np.float32)
    for name, mean in (("whole", whole), ("each", np.array([104, 117, 123], np.float32))):
        np.save(tmp_path / f"{name}.npy", mean)
    jobs: list[dict[str, Any]] = [
        {
            "image": cats[3],
            "channels": 3,
            "size": (200, 240),
            "mean": str(tmp_path / f"{name}.npy"),
            "raw_scale": 255.0,
            "channel_swap": (2, 1, 0),
            "input_scale": 0.5,
        }
        for name in ("whole", "each")
    ]
    theirs = caffe_blobs(caffe_python, tmp_path, jobs)
    for job, blob in zip(jobs, theirs, strict=True):
        maker = Transformer(3, np.load(job["mean"]), 255.0, (2, 1, 0), 0.5)
        ours, _ = maker.blob(read_picture(job["image"]), (200, 240))
        assert np.abs(ours[0] - blob).max() < 1e-3


def test_without_antialiasing(caffe_python: str, cats: dict[int, str], tmp_path: Path) -> None:
    jobs: list[dict[str, Any]] = [
        {"image": cats[3], "channels": 3, "size": size, "raw_scale": 255.0, "antialias": False}
        for size in SIZES
    ]
    for job, theirs in zip(jobs, caffe_blobs(caffe_python, tmp_path, jobs), strict=True):
        maker = Transformer(3, raw_scale=255.0, options=PictureOptions(antialias=False))
        ours, _ = maker.blob(read_picture(job["image"]), tuple(job["size"]))
        assert np.abs(ours[0] - theirs).max() < 1e-3, job["size"]


def test_antialiasing_matters(cats: dict[int, str]) -> None:
    """At 227 the two differ by tens of grey levels: the parity above distinguishes them."""
    pixels = read_picture(cats[3]).pixels
    apart = resize(pixels, (227, 227)) - resize(pixels, (227, 227), antialias=False)
    assert np.abs(apart).max() > 20


@pytest.mark.parametrize("shade", [0, 77, 255])
def test_constant_picture(caffe_python: str, tmp_path: Path, shade: int) -> None:
    """caffe.io leaves a picture of one value alone instead of dividing by its range, 0."""
    name = str(tmp_path / "flat.png")
    Image.new("RGB", (31, 17), (shade,) * 3).save(name)
    jobs: list[dict[str, Any]] = [
        {"image": name, "channels": 3, "size": size, "raw_scale": 255.0}
        for size in ((8, 40), (40, 8))
    ]
    for job, theirs in zip(jobs, caffe_blobs(caffe_python, tmp_path, jobs), strict=True):
        ours, _ = Transformer(3, raw_scale=255.0).blob(read_picture(name), tuple(job["size"]))
        assert np.abs(ours[0] - theirs).max() < 1e-3


def test_every_kind_of_pixel(caffe_python: str, tmp_path: Path) -> None:
    """Grey, alpha, palette, 16 bit, 1 bit: read as load_image reads them, grey and in colour."""
    random = np.random.default_rng(2)
    rgba = random.integers(0, 256, (23, 19, 4), dtype=np.uint8)
    colour = Image.fromarray(np.ascontiguousarray(rgba[:, :, :3]))
    colour.save(tmp_path / "rgb.png")
    Image.fromarray(rgba).save(tmp_path / "rgba.png")
    Image.fromarray(rgba).convert("LA").save(tmp_path / "la.png")
    Image.fromarray(np.ascontiguousarray(rgba[:, :, 0])).save(tmp_path / "grey.png")
    Image.fromarray(random.integers(0, 65536, (23, 19)).astype(np.uint16)).save(
        tmp_path / "sixteen.png"
    )
    colour.quantize(16).save(tmp_path / "palette.png")
    colour.convert("1").save(tmp_path / "bits.png")
    greys = Image.fromarray(rgba[:, :, 0] % 16, "P")
    greys.putpalette([level for shade in range(16) for level in 3 * (9 * shade,)])
    for name, paletted in (("colors", colour.quantize(16)), ("greys", greys)):
        paletted.save(tmp_path / f"{name}.gif")
        for suffix in ("png", "gif"):
            paletted.save(tmp_path / f"{name}_clear.{suffix}", transparency=3)
    greys.save(tmp_path / "greys_faint.png", transparency=bytes(range(0, 256, 16)))
    jobs: list[dict[str, Any]] = [
        {"image": str(path), "channels": channels, "size": (23, 19), "raw_scale": 255.0}
        for path in sorted(tmp_path.glob("*.*"))
        for channels in (1, 3)
    ]
    assert len(jobs) == 28
    for job, theirs in zip(jobs, caffe_blobs(caffe_python, tmp_path, jobs), strict=True):
        maker = Transformer(job["channels"], raw_scale=255.0)
        ours, _ = maker.blob(read_picture(job["image"]), (23, 19))
        assert np.abs(ours[0] - theirs).max() < 1e-3, (job["image"], job["channels"])
