"""A folder of nets, models, pictures and files that are something else, as a user may have them."""

from __future__ import annotations

import gzip
import io
import os
import shutil
import tarfile
import zipfile
from pathlib import Path

import netsurgery

__all__ = ["LENET", "make_folder"]

ROOT = Path(__file__).resolve().parents[1]

#: A net with LeNet's layers and tops; narrower, for speed.
LENET = """
name: "LeNet"
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 64 dim: 1 dim: 28 dim: 28 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 4 kernel_size: 5 weight_filler { type: "xavier" } } }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1"
  pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "conv2" type: "Convolution" bottom: "pool1" top: "conv2"
  convolution_param { num_output: 5 kernel_size: 5 weight_filler { type: "xavier" } } }
layer { name: "pool2" type: "Pooling" bottom: "conv2" top: "pool2"
  pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "ip1" type: "InnerProduct" bottom: "pool2" top: "ip1"
  inner_product_param { num_output: 50 weight_filler { type: "xavier" } } }
layer { name: "relu1" type: "ReLU" bottom: "ip1" top: "ip1" }
layer { name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2"
  inner_product_param { num_output: 10 weight_filler { type: "xavier" } } }
layer { name: "prob" type: "Softmax" bottom: "ip2" top: "prob" }
"""

_DATA = """
layer { name: "mnist" type: "Data" top: "data" top: "label" include { phase: %s }
  transform_param { scale: 0.00390625 } data_param { source: "db" batch_size: 64 } }
"""
_LOSS = """
layer { name: "accuracy" type: "Accuracy" bottom: "ip2" bottom: "label" top: "accuracy"
  include { phase: TEST } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip2" bottom: "label" top: "loss" }
"""
_COLOR = """
name: "CIFAR10"
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 1 dim: 3 dim: 16 dim: 16 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 3 kernel_size: 5 weight_filler { type: "xavier" } } }
layer { name: "ip1" type: "InnerProduct" bottom: "conv1" top: "ip1"
  inner_product_param { num_output: 10 weight_filler { type: "xavier" } } }
layer { name: "prob" type: "Softmax" bottom: "ip1" top: "prob" }
"""
_PAGE = b"<!DOCTYPE html>\n<html><head><title>Not Found</title></head></html>\n"
_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize 44720\n" % (b"a" * 64)


def train_val() -> str:
    """LeNet as it is trained: data layers of two phases, an accuracy and a loss."""
    layers = LENET.partition("layer ")[2].partition("layer ")[2]
    middle = "layer " + layers.partition('layer { name: "prob"')[0]
    return 'name: "LeNet"\n' + _DATA % "TRAIN" + _DATA % "TEST" + middle + _LOSS


def make_folder(folder: Path) -> None:
    """Write all of them to `folder`; its subfolder lc has lenet, converted."""
    previous = os.getcwd()
    os.chdir(folder)
    try:
        _nets()
        _others()
        _pictures()
        _means()
        settings = netsurgery.Settings(input_scale=0.00390625)
        engine = netsurgery.EngineOptions(choice="embedded")
        netsurgery.convert(
            "lenet.prototxt", "lenet_iter_10000.caffemodel", "lc", settings=settings, engine=engine
        )
    finally:
        os.chdir(previous)


def _nets() -> None:
    shutil.copy(ROOT / "prototxt" / "digits_deploy.prototxt", ".")
    shutil.copy(ROOT / "models" / "digits" / "digits.caffemodel", ".")
    Path("lenet.prototxt").write_text(LENET)
    Path("lenet_train_test.prototxt").write_text(train_val())
    Path("lenet_solver.prototxt").write_text('net: "lenet_train_test.prototxt"\nbase_lr: 0.01\n')
    Path("cifar10_small.prototxt").write_text(_COLOR)
    netsurgery.init("lenet.prototxt", "lenet_iter_10000.caffemodel", seed=1)
    netsurgery.init("cifar10_small.prototxt", "cifar10_small.caffemodel.h5", seed=1)
    Path("digits_labels.txt").write_text("".join(f"{number}\n" for number in range(10)))
    Path("five.txt").write_text("a\nb\nc\nd\ne\n")
    lines = [f"n{number:08} name {number}, other {number}\n" for number in range(1000)]
    Path("synset_words.txt").write_text("".join(lines))


def _others() -> None:
    net, model = Path("lenet.prototxt"), Path("lenet_iter_10000.caffemodel")
    Path("lenet.prototxt.gz").write_bytes(gzip.compress(net.read_bytes()))
    with zipfile.ZipFile("lenet.zip", "w") as archive:
        archive.write(net)
        archive.write(model)
    with tarfile.open("lenet.tar.gz", "w:gz") as tar:
        tar.add(net)
        tar.add(model)
    Path("age_net_html.caffemodel").write_bytes(_PAGE)
    Path("gtsrb_lfs_pointer.caffemodel").write_bytes(_POINTER)
    Path("trunc.caffemodel").write_bytes(model.read_bytes()[:-1000])
    Path("empty.caffemodel").touch()
    Path("empty.prototxt").touch()
    Path("noperm.prototxt").write_text(LENET)
    Path("noperm.prototxt").chmod(0)
    for name in ("adir", "FOLDER", "outdir"):
        Path(name).mkdir()


def _pictures() -> None:
    from PIL import Image

    canvas = ROOT / "examples" / "digits_canvas.png"
    shutil.copy(canvas, ".")
    with Image.open(canvas) as image:
        image.convert("L").resize((48, 36)).save("cat.jpg")
    Path("cat.jpg.txt").write_text("a cat\n")
    Path("digits_canvas.png.gz").write_bytes(gzip.compress(canvas.read_bytes()))


def _means() -> None:
    import numpy as np

    grey = np.full((1, 28, 28), 0.5, np.float32)
    np.save("ilsvrc_2012_mean.npy", np.full((3, 256, 256), 110, np.float32))
    np.save("mean_hwc.npy", np.full((256, 256, 3), 110, np.float32))
    np.save("mean_c128.npy", np.full(128, 110, np.float32))
    np.save("mean_str.npy", np.array(["104", "117"]))
    np.save("mean_obj.npy", np.array([grey, None], dtype=object), allow_pickle=True)
    np.savez("mean.npz", mean=grey)
    buffer = io.BytesIO()
    np.save(buffer, grey)
