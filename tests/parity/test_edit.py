"""Structural edits judged by real Caffe: what the net gives for what it is given now."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from random_weights import fill_randomly

from netsurgery.engines.pycaffe import PycaffeEngine
from netsurgery.net.net import NetDefinition
from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.surgery.edit.plan import plan_edit
from netsurgery.surgery.edit.write import EditPaths, write_edit

pytestmark = pytest.mark.caffe

Array = NDArray[np.float32]

INPUT = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: [2, 3, 8, 7] } } }\n'

#: The first layers of nets, each reading the image; two of them at once in the last.
FIRST = {
    "convolution": ("Convolution", "kernel_size: 3 stride: 2"),
    "convolution without bias": ("Convolution", "kernel_size: 3 bias_term: false"),
    "inner product": ("InnerProduct", ""),
    "turned inner product": ("InnerProduct", "transpose: true bias_term: false"),
    "padded": ("Convolution", "kernel_size: 3 pad: 1"),
    "grouped": ("Convolution", "kernel_size: 3 group: 3"),
    "deconvolution": ("Deconvolution", "kernel_size: 3 stride: 2"),
}


def net_text(*names: str, behind: str = "") -> str:
    layers = []
    for name in names:
        kind, more = FIRST[name]
        param = "inner_product_param" if kind == "InnerProduct" else "convolution_param"
        layers.append(
            f'layer {{ name: "{name}" type: "{kind}" bottom: "x" top: "{name}" '
            f"{param} {{ num_output: 6 {more} }} }}\n"
        )
    drop = 'layer { name: "d" type: "Dropout" bottom: "x" top: "x" }\n'
    return INPUT + drop + "".join(layers) + behind


class Edited:
    """A random net before and after operations, and what each gives for an input."""

    def __init__(self, engine: PycaffeEngine, folder: Path) -> None:
        self.engine, self.folder = engine, folder

    def __call__(self, text: str, *operations: str, suffix: str = ".caffemodel") -> None:
        old = self.folder / "old.prototxt"
        old.write_text(text)
        weights = fill_randomly(self.engine, old, self.folder / "old.caffemodel")
        new = EditPaths(self.folder / f"new{suffix}", self.folder / "new.prototxt")
        with NetWithWeights.open(old, weights) as model:
            write_edit(plan_edit(model, operations), model, new, force=True)
        self.old, self.new = (old, weights), (self.folder / "new.prototxt", new.weights)

    def run(self, which: tuple[Path, Path], x: Array) -> dict[str, Array]:
        with self.engine.load(*which) as net:
            return net.forward({"x": x}, NetDefinition.read(which[0]).outputs)


@pytest.fixture
def edited(caffe_engine: PycaffeEngine, tmp_path: Path) -> Edited:
    return Edited(caffe_engine, tmp_path)


def image() -> Array:
    return np.random.default_rng(3).uniform(0, 255, (2, 3, 8, 7)).astype(np.float32)


MEAN = np.array([104.0, 117.0, 123.0], dtype=np.float32).reshape(3, 1, 1)
PICTURE = np.random.default_rng(4).uniform(90, 140, (3, 8, 7)).astype(np.float32)

#: operation -> (layers it is for, what the old net has to be given for the new one's x).
SAME: dict[str, tuple[list[str], Callable[[Array], Array]]] = {
    "swap-input-channels": (
        [name for name in FIRST if name != "grouped"],
        lambda x: np.ascontiguousarray(x[:, ::-1]),
    ),
    "fold-scale:0.017": (list(FIRST), lambda x: x * np.float32(0.017)),
    "fold-mean:104,117,123": (
        [name for name in FIRST if name not in ("padded", "deconvolution")],
        lambda x: x - MEAN,
    ),
    "fold-mean:42": (["convolution", "inner product"], lambda x: x - np.float32(42)),
    "fold-mean:mean.npy": (["inner product", "turned inner product"], lambda x: x - PICTURE),
}


@pytest.mark.parametrize("operation", list(SAME))
def test_the_preprocessing_is_in_the_weights_now(
    operation: str, edited: Edited, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("mean.npy", PICTURE)
    names, arguments = SAME[operation]
    edited(net_text(*names), operation)
    old, new = edited.run(edited.old, arguments(image())), edited.run(edited.new, image())
    assert list(old) == list(new) == names
    for name in names:
        size = np.abs(old[name]).max()
        assert np.abs(old[name] - new[name]).max() <= 2e-5 * size, name


def test_a_padded_mean_is_off_at_the_borders_alone(edited: Edited) -> None:
    edited(net_text("padded"), "fold-mean:104,117,123:padding=approximate")
    old, new = edited.run(edited.old, image() - MEAN), edited.run(edited.new, image())
    difference = np.abs(old["padded"] - new["padded"])
    assert difference[:, :, 1:-1, 1:-1].max() <= 2e-5 * np.abs(old["padded"]).max()
    assert difference.max() > 1


NOT_GROUPED = [name for name in FIRST if name != "grouped"]


def test_a_grey_picture_is_one_of_three_equal_channels(edited: Edited) -> None:
    edited(net_text(*NOT_GROUPED), "rgb-to-grey")
    grey = image()[:, :1]
    old, new = edited.run(edited.old, grey.repeat(3, axis=1)), edited.run(edited.new, grey)
    close(old, new)


@pytest.mark.parametrize(
    ("operation", "shares"),
    [
        ("grey-to-rgb", (0.114, 0.587, 0.299)),
        ("grey-to-rgb:bgr", (0.114, 0.587, 0.299)),
        ("grey-to-rgb:rgb", (0.299, 0.587, 0.114)),
        ("grey-to-rgb:mean", (1 / 3, 1 / 3, 1 / 3)),
        ("grey-to-rgb:1,-0.5,2e-1", (1, -0.5, 0.2)),
    ],
)
def test_a_color_picture_is_made_grey_by_the_net(
    operation: str, shares: tuple[float, ...], edited: Edited
) -> None:
    edited(net_text(*NOT_GROUPED).replace("[2, 3, 8, 7]", "[2, 1, 8, 7]"), operation)
    color = image()
    grey = np.tensordot(np.array(shares, dtype=np.float32), color, (0, 1))[:, None]
    close(edited.run(edited.old, grey), edited.run(edited.new, color))


def test_there_and_back_is_the_same_for_grey_pictures(edited: Edited) -> None:
    edited(net_text(*NOT_GROUPED), "rgb-to-grey", "grey-to-rgb")
    grey = image()[:, :1].repeat(3, axis=1)
    close(edited.run(edited.old, grey), edited.run(edited.new, grey))


def test_several_means_are_folded_in_before(edited: Edited) -> None:
    edited(net_text("convolution", "inner product"), "fold-mean:104,117,123", "rgb-to-grey")
    grey = image()[:, :1]
    close(edited.run(edited.old, grey.repeat(3, axis=1) - MEAN), edited.run(edited.new, grey))


def close(old: dict[str, Array], new: dict[str, Array]) -> None:
    assert list(old) == list(new)
    for name, values in old.items():
        size = np.abs(values).max()
        assert size > 0
        assert np.abs(values - new[name]).max() <= 2e-5 * size, name


BEHIND = """
layer { name: "r" type: "ReLU" bottom: "inner product" top: "inner product" }
layer { name: "p" type: "Softmax" bottom: "inner product" top: "p" }
"""


@pytest.mark.parametrize("name", ["inner product", "turned inner product", "convolution"])
def test_outputs_kept_and_added(name: str, edited: Edited) -> None:
    edited(net_text(name), f"outputs:{name}:keep=4,0,1", f"outputs:{name}:add=2")
    old, new = (edited.run(which, image())[name] for which in (edited.old, edited.new))
    assert new.shape == (2, 5, *old.shape[2:])
    np.testing.assert_allclose(new[:, :3], old[:, [4, 0, 1]], rtol=1e-5, atol=1e-3)
    assert not new[:, 3:].any()


def test_a_softmax_shares_out_what_is_left(edited: Edited) -> None:
    edited(net_text("inner product", behind=BEHIND), "outputs:inner product:keep=5,2")
    old, new = (
        edited.run(which, image() / np.float32(300))["p"] for which in (edited.old, edited.new)
    )
    expected = old[:, [5, 2]] / old[:, [5, 2]].sum(axis=1, keepdims=True)
    np.testing.assert_allclose(new, expected, rtol=1e-4, atol=1e-7)


def test_hdf5_out(edited: Edited) -> None:
    edited(net_text("convolution without bias"), "fold-mean:42", suffix=".caffemodel.h5")
    centered = image() - np.float32(42)
    old, new = edited.run(edited.old, centered), edited.run(edited.new, image())
    (name,) = old
    assert np.abs(old[name] - new[name]).max() <= 2e-5 * np.abs(old[name]).max()
