"""Layers of Caffe's forks against a reference written from each fork's definition."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from netsurgery.engines.contract import EngineOptions
from netsurgery.engines.ort import open_engine
from netsurgery.errors import PrototxtError

Array = NDArray[np.float32]
Shape = tuple[int, ...]


def run(folder: Path, layer: str, *bottoms: Array) -> Array:
    """The top of a layer over these bottoms; its shape is checked against the rule's."""
    path = folder / "net.prototxt"
    text = ""
    for i, bottom in enumerate(bottoms):
        dims = " ".join(f"dim: {dim}" for dim in bottom.shape)
        text += f'input: "in{i}" input_shape {{ {dims} }}\n'
    text += "layer { name: 'l' top: 'out' "
    text += " ".join(f"bottom: 'in{i}'" for i in range(len(bottoms)))
    path.write_text(f"{text} {layer} }}")
    with open_engine(EngineOptions(threads=1)) as engine, engine.load(path) as net:
        output = net.forward({f"in{i}": bottom for i, bottom in enumerate(bottoms)}, ["out"])["out"]
        assert output.shape == net.blobs["out"]
    return output


def drawn(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def test_relu6(tmp_path: Path) -> None:
    x = 5 * drawn(2, 3, 4, 5)
    np.testing.assert_array_equal(run(tmp_path, "type: 'ReLU6'", x), np.clip(x, 0, 6))


@pytest.mark.parametrize(
    ("order", "axes"),
    [("", (0, 1, 2, 3)), ("order: [0, 2, 3, 1]", (0, 2, 3, 1)), ("order: 3", (3, 0, 1, 2))],
)
def test_permute(tmp_path: Path, order: str, axes: Shape) -> None:
    """SSD's: axes that are not named follow."""
    x = drawn(2, 3, 4, 5)
    output = run(tmp_path, f"type: 'Permute' permute_param {{ {order} }}", x)
    np.testing.assert_array_equal(output, x.transpose(axes))


def normalized(x: Array, across: bool, eps: float, scale: float) -> Array:
    """SSD's: norms are of all channels, at one place or at all places."""
    output = np.empty_like(x)
    for n in range(len(x)):
        if across:
            output[n] = x[n] / np.sqrt((x[n].astype(np.float64) ** 2).sum() + eps)
        else:
            for i, j in np.ndindex(*x.shape[2:]):
                place = x[n, :, i, j].astype(np.float64)
                output[n, :, i, j] = place / np.sqrt((place**2).sum() + eps)
    output *= np.float32(scale)
    return output


@pytest.mark.parametrize("across", [True, False])
@pytest.mark.parametrize("shared", [True, False])
def test_normalize(tmp_path: Path, across: bool, shared: bool) -> None:
    x = drawn(2, 3, 4, 5)
    text = (
        f"type: 'Normalize' norm_param {{ across_spatial: {str(across).lower()} eps: 0.25 "
        f"channel_shared: {str(shared).lower()} scale_filler {{ value: 20 }} }}"
    )
    np.testing.assert_allclose(run(tmp_path, text, x), normalized(x, across, 0.25, 20), rtol=1e-5)


def test_normalize_by_default(tmp_path: Path) -> None:
    x = drawn(1, 3, 4, 5)
    output = run(tmp_path, "type: 'Normalize' norm_param { }", x)
    np.testing.assert_allclose(output, normalized(x, True, 1e-10, 1), rtol=1e-5)


def interpolated(x: Array, height: int, width: int) -> Array:
    """DeepLab's: the corners lie on the corners, and between them everything is linear."""
    output = np.empty((*x.shape[:2], height, width), np.float32)
    steps = [
        (old - 1) / (new - 1) if new > 1 else 0.0
        for old, new in zip(x.shape[2:], (height, width), strict=True)
    ]
    for i, j in np.ndindex(height, width):
        y0, x0 = int(steps[0] * i), int(steps[1] * j)
        dy, dx = steps[0] * i - y0, steps[1] * j - x0
        y1, x1 = min(y0 + 1, x.shape[2] - 1), min(x0 + 1, x.shape[3] - 1)
        upper = (1 - dx) * x[:, :, y0, x0] + dx * x[:, :, y0, x1]
        lower = (1 - dx) * x[:, :, y1, x0] + dx * x[:, :, y1, x1]
        output[:, :, i, j] = (1 - dy) * upper + dy * lower
    return output


@pytest.mark.parametrize(
    ("fields", "crop", "size"),
    [
        ("height: 9 width: 13", (0, 0), (9, 13)),
        ("height: 3 width: 2", (0, 0), (3, 2)),
        ("height: 1 width: 1", (0, 0), (1, 1)),
        ("zoom_factor: 3", (0, 0), (19, 13)),
        ("shrink_factor: 2", (0, 0), (4, 3)),
        ("shrink_factor: 2 zoom_factor: 3", (0, 0), (10, 7)),
        ("zoom_factor: 2 pad_beg: -1 pad_end: -2", (1, 2), (7, 3)),
        ("height: 7 width: 5", (0, 0), (7, 5)),
    ],
)
def test_interp(tmp_path: Path, fields: str, crop: tuple[int, int], size: tuple[int, int]) -> None:
    x = drawn(2, 3, 7, 5)
    output = run(tmp_path, f"type: 'Interp' interp_param {{ {fields} }}", x)
    cut = x[:, :, crop[0] : 7 - crop[1], crop[0] : 5 - crop[1]]
    np.testing.assert_allclose(output, interpolated(cut, *size), rtol=1e-4, atol=1e-5)


def test_upsample_repeats(tmp_path: Path) -> None:
    """YOLO's."""
    x = drawn(2, 3, 2, 4)
    output = run(tmp_path, "type: 'Upsample' upsample_param { scale: 3 }", x)
    np.testing.assert_array_equal(output, x.repeat(3, axis=2).repeat(3, axis=3))


@pytest.mark.parametrize(
    ("fields", "size"),
    [("scale: 2", (6, 8)), ("upsample_h: 5 upsample_w: 7", (5, 7)),
     ("scale_h: 2 scale_w: 3 pad_out_h: 1", (5, 12))],
)  # fmt: skip
def test_upsample_with_a_mask(tmp_path: Path, fields: str, size: tuple[int, int]) -> None:
    """SegNet's: values go back to where their maxima were."""
    x, random = drawn(2, 3, 3, 4), np.random.default_rng(1)
    count = size[0] * size[1]
    mask = np.stack([random.permutation(count)[:12] for _ in range(6)]).astype(np.float32)
    expected = np.zeros((6, count), np.float32)
    for row in range(6):
        expected[row, mask[row].astype(int)] = x.reshape(6, 12)[row]
    output = run(
        tmp_path, f"type: 'Upsample' upsample_param {{ {fields} }}", x, mask.reshape(x.shape)
    )
    np.testing.assert_array_equal(output, expected.reshape(2, 3, *size))


def test_pooling_and_upsample_undo_each_other(tmp_path: Path) -> None:
    """The mask of Caffe's own Pooling is what Upsample takes."""
    path = tmp_path / "net.prototxt"
    path.write_text("""
    input: "x" input_shape { dim: 1 dim: 2 dim: 4 dim: 6 }
    layer { name: "p" type: "Pooling" bottom: "x" top: "p" top: "m"
      pooling_param { kernel_size: 2 stride: 2 } }
    layer { name: "u" type: "Upsample" bottom: "p" bottom: "m" top: "u" }
    """)
    x = drawn(1, 2, 4, 6)
    with open_engine(EngineOptions(threads=1)) as engine, engine.load(path) as net:
        output = net.forward({"x": x}, ["u"])["u"]
    maxima = output != 0
    assert maxima.sum() == 12
    np.testing.assert_array_equal(output[maxima], x[maxima])


def test_shuffle_channel(tmp_path: Path) -> None:
    x = drawn(2, 6, 3, 2)
    output = run(tmp_path, "type: 'ShuffleChannel' shuffle_channel_param { group: 2 }", x)
    np.testing.assert_array_equal(output, x[:, [0, 3, 1, 4, 2, 5]])


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 1, 1)])
def test_axpy(tmp_path: Path, shape: Shape) -> None:
    """SENet's: a x + y, a for each channel."""
    a, x, y = drawn(*shape), drawn(2, 3, 4, 5, seed=1), drawn(2, 3, 4, 5, seed=2)
    output = run(tmp_path, "type: 'Axpy'", a, x, y)
    np.testing.assert_allclose(output, a.reshape(2, 3, 1, 1) * x + y, rtol=1e-5, atol=1e-6)


def test_depthwise_convolution(tmp_path: Path) -> None:
    """One kernel a channel; here each sums its window and adds a half."""
    x = drawn(2, 3, 5, 6)
    text = (
        "type: 'DepthwiseConvolution' convolution_param { num_output: 3 group: 3 kernel_size: 3 "
        "weight_filler { type: 'constant' value: 1 } bias_filler { value: 0.5 } }"
    )
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(2, 3))
    expected = windows.sum(axis=(4, 5)) + 0.5
    np.testing.assert_allclose(run(tmp_path, text, x), expected, rtol=1e-4, atol=1e-5)


def pooled(x: Array, up: bool, pick: Callable[[Array], float]) -> Array:
    """Kernel 3, stride 2: windows cut at the end are counted only when rounding up."""
    cells = [(-(-(n - 3) // 2) if up else (n - 3) // 2) + 1 for n in x.shape[2:]]
    output = np.empty((*x.shape[:2], *cells), np.float32)
    for n, c, i, j in np.ndindex(output.shape):
        output[n, c, i, j] = pick(x[n, c, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3])
    return output


@pytest.mark.parametrize("up", [True, False])
@pytest.mark.parametrize("method", ["MAX", "AVE"])
def test_ceil_mode(tmp_path: Path, up: bool, method: str) -> None:
    x = drawn(1, 2, 8, 9)
    text = (
        f"type: 'Pooling' pooling_param {{ pool: {method} kernel_size: 3 stride: 2 "
        f"ceil_mode: {str(up).lower()} }}"
    )
    expected = pooled(x, up, np.max if method == "MAX" else np.mean)
    np.testing.assert_allclose(run(tmp_path, text, x), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("layer", "what"),
    [
        ("'ReLU6' relu_param { negative_slope: 1 }", "relu_param has a field negative_slope; "
         "expected none"),
        ("'Permute' permute_param { order: [1, 1] }", "order [1, 1] names an axis twice"),
        (
            "'Permute' permute_param { axis: 1 }",
            "permute_param has a field axis, which is not known and may change everything after "
            "it; remove it if it changes nothing",
        ),
        ("'Interp'", "expected height and width, or zoom_factor, or shrink_factor"),
        ("'Interp' interp_param { zoom_factor: 2 pad_beg: -4 }",
         "pad_beg and pad_end leave nothing of 4x4"),
        ("'Upsample'", "expected scale alone, or a second bottom that says where values go"),
        ("'ShuffleChannel' shuffle_channel_param { group: 2 }",
         "3 channels cannot be divided into 2 groups"),
        ("'Axpy'", "1 bottom; it takes 3"),
    ],
)  # fmt: skip
def test_forks_refuse(tmp_path: Path, layer: str, what: str) -> None:
    with pytest.raises(PrototxtError) as caught:
        run(tmp_path, f"type: {layer}", drawn(1, 3, 4, 4))
    kind = layer.split("'")[1]
    assert caught.value.what == f"layer 'l' ({kind}): {what}"


@pytest.mark.parametrize("across", [True, False])
@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 4)])
def test_a_normalize_of_fewer_axes(tmp_path: Path, across: bool, shape: Shape) -> None:
    """SSD's takes two axes and more; those that are missing count as one."""
    x = drawn(*shape)
    text = f"type: 'Normalize' norm_param {{ across_spatial: {str(across).lower()} }}"
    whole = x.reshape(*shape, *[1] * (4 - len(shape)))
    expected = normalized(whole, across, 1e-10, 1).reshape(shape)
    np.testing.assert_allclose(run(tmp_path, text, x), expected, rtol=1e-5)


def test_a_normalize_of_one_axis_is_not_run(tmp_path: Path) -> None:
    with pytest.raises(PrototxtError, match="more, or more axes"):
        run(tmp_path, "type: 'Normalize' norm_param { }", drawn(2))
