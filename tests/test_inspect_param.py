"""One param of weights: printed, written as .npy, and drawn."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_models import model_layer, write_hdf5, write_model

import netsurgery as ns
from netsurgery.cli import run
from netsurgery.drawing.scene import Bitmap, Text
from netsurgery.formats.caffemodel import Caffemodel
from netsurgery.maps.param_picture import draw_param, param_scene

NET, MODEL = "prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel"


@pytest.fixture(autouse=True)
def folder(bundled_nets: Path) -> Path:
    """The current folder, with the bundled net in it."""
    return bundled_nets


def test_the_values_are_those_of_the_weights() -> None:
    result = ns.inspect_param(NET, "conv2[0]", MODEL)
    with Caffemodel.open(MODEL) as weights:
        stored = weights.layer("conv2").blobs[0].numpy()
        assert (result.values == stored).all()
    assert (result.layer, result.index, result.type) == ("conv2", 0, "Convolution")
    assert result.statistics.max == stored.max()
    assert result.statistics.count == stored.size
    alone = ns.inspect_param(MODEL, "conv2[0][3:5, 0]")
    assert alone.shape == (2, 3, 3)
    assert (alone.values == stored[3:5, 0]).all()
    assert alone.statistics.min == stored[3:5, 0].min()


def test_a_param_of_hdf5_and_one_of_four_axes() -> None:
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    write_hdf5(Path("m.h5"), ip=[values])
    assert (ns.inspect_param("m.h5", "ip[0]").values == values).all()
    Path("net").write_text(
        'input: "x" input_shape { dim: [1, 3] } layer { name: "ip" type: "InnerProduct" '
        'bottom: "x" top: "y" inner_product_param { num_output: 2 bias_term: false } }'
    )
    write_model(Path("old"), model_layer("ip", "InnerProduct", values, how="legacy"))
    assert ns.inspect_param("old", "ip[0]").shape == (1, 1, 2, 3)
    assert ns.inspect_param("net", "ip[0]", "old").shape == (2, 3)


def test_what_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["inspect", NET, MODEL, "--param", "conv1[1]"]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head == (
        "conv1[1] of Convolution conv1: 16, min -0.7234, max 0.3385, mean 0.02206, std 0.2788"
    )
    assert "\n".join(lines) == ns.inspect_param(MODEL, "conv1[1]").numbers()
    assert len(lines) == 2
    for param in ("conv1[0]", "conv2[0]", "conv3[0]", "ip1[0]"):
        assert run(["inspect", MODEL, "--param", param]) == 0
        assert len(capsys.readouterr().out.splitlines()) < 45
    assert run(["inspect", MODEL, "--param", "conv1[1]", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record == ns.inspect_param(MODEL, "conv1[1]").to_json()
    assert (record["layer"], record["index"], record["shape"]) == ("conv1", 1, [16])
    assert run(["inspect", MODEL, "--param", "conv1[1]", "-q"]) == 0
    assert capsys.readouterr() == ("", "")


def test_what_is_written(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    words = ["inspect", MODEL, "--param", "conv1[0]", "--npy", "f.npy", "--picture", "f.png"]
    assert run(words) == 0
    assert capfdbinary.readouterr().out.endswith(b"wrote f.npy\nwrote f.png\n")
    values = np.load("f.npy")
    assert (values == ns.inspect_param(MODEL, "conv1[0]").values).all()
    assert values.dtype == np.float32
    with Image.open("f.png") as picture:
        assert picture.format == "PNG"
        assert min(picture.size) > 300
    assert run(words) == 1
    assert b"f.npy: exists already; --force replaces it" in capfdbinary.readouterr().err
    assert run([*words, "--force", "-q"]) == 0


def test_standard_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stream = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr("sys.stdout", stream)
    picture = str(tmp_path / "f.png")
    words = ["inspect", MODEL, "--param", "conv1[0]", "--npy", "-", "--picture", picture]
    assert run(words) == 0
    content = stream.buffer.getvalue()
    assert np.load(io.BytesIO(content)).shape == (16, 1, 5, 5)
    headline, *written = capsys.readouterr().err.splitlines()
    assert headline.startswith("conv1[0] of Convolution conv1: 16x1x5x5")
    assert written == [f"wrote {picture}"]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ("MODEL --param conv9[0]", 1, "no params for layer 'conv9'; did you mean conv1, "),
        ("MODEL --param conv2", 1, "found 'conv2', expected LAYER[INDEX], as in conv2[0]"),
        ("MODEL --param [0]", 1, "found '[0]', expected LAYER[INDEX], as in conv1[0]"),
        ("MODEL --param conv1[0]x", 1, "found 'conv1[0]x', expected LAYER[INDEX], as in conv1[0]"),
        ("MODEL --param conv1[7]", 1, "no param conv1[7]; layer 'conv1' has 2, the last is conv1"),
        ("MODEL --param conv1[0][99]", 1, "index 99 of 16 in a 16x1x5x5 param"),
        ("MODEL --param relu1[0]", 1, "no params for layer 'relu1'; its layers with params are "),
        ("NET --param conv1[0]", 2, "error: --param does nothing without a caffemodel (try"),
        ("NET MODEL --param conv1[0] --stats", 2, "error: --stats does nothing with --param (try"),
        ("NET MODEL --param conv1[0] --size 9", 2, "error: --size does nothing with --param (try"),
        ("NET MODEL --param conv1[0] --field", 2, "error: --field does nothing with --param (try"),
        ("MODEL --npy x", 2, "error: --npy does nothing without --param (try"),
        ("MODEL --picture x", 2, "error: --picture does nothing without --param (try"),
        ("MODEL --param conv1[0] --phase TRAIN", 2, "error: --phase does nothing without a proto"),
        ("MODEL --param conv1[0] --npy x --picture x", 1, "x: the values and the picture need a"),
        ("MODEL --param conv1[0] --npy MODEL --force", 1, "is an input"),
        (
            "MODEL --param conv9[0] --npy - --json",
            2,
            "error: --json and a file cannot both go to standard output (try",
        ),
        (
            "MODEL --param conv1[0] --npy - --json",
            2,
            "error: --json and a file cannot both go to standard output (try",
        ),
    ],
)
def test_what_is_refused(
    words: str, code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    names = words.replace("NET", NET).replace("MODEL", MODEL).split()
    assert run(["inspect", *names]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert err.count("\n") == 1
    assert not Path("x").exists()


def pixels(values: np.ndarray) -> np.ndarray:
    """The picture's pixels below its title."""
    return np.asarray(draw_param(values.astype(np.float32), "title"))[80:].astype(int)


def test_the_sign_has_a_colour() -> None:
    """Red above 0, blue below it, and as dark for as far."""
    image = pixels(np.array([[-1.0, 0.0, 1.0], [0, 0, 0]]))
    below, zero, above = (image[20, 60 + 66 * column] for column in range(3))
    assert below[2] > below[0] + 50
    assert above[0] > above[2] + 50
    assert abs(below.sum() - above.sum()) < 40
    assert zero.min() > 240


def test_filters_over_three_channels_are_in_colours() -> None:
    """The last channel is red, as Caffe's nets read pictures, and 0 is grey."""
    values = np.zeros((2, 3, 5, 5))
    values[0, 2] = 1
    image = pixels(values)
    first, second = image[100, 100], image[100, 600]
    assert first[0] == 255
    assert 126 <= first[1] == first[2] <= 129
    assert len(set(second)) == 1
    assert 126 <= second[0] <= 129


@pytest.mark.parametrize(
    "shape",
    [(1,), (16,), (1, 7), (96, 128), (300, 2000), (8, 1, 1, 1), (8, 4, 1, 1), (8, 3, 1, 1),
     (8, 4, 3, 3), (2, 64, 3, 3), (64, 2, 3, 5), (4, 3, 7, 7), (2, 3, 3, 3, 3), (200, 100, 3, 3)],
)  # fmt: skip
def test_every_shape_is_drawn(shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    picture = draw_param(values, "title")
    assert 100 < min(picture.size) <= max(picture.size) < 2500
    assert draw_param(values * 0, "zeros").size == picture.size


@pytest.mark.parametrize("shape", [(50, 20, 5, 5), (8, 4, 3, 3), (10,), (4, 3, 7, 7)])
def test_all_that_is_said_of_a_param_stands_over_it(shape: tuple[int, ...]) -> None:
    """Also on a narrow sheet: in several lines, above the numbers."""
    values = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    scene = param_scene(values, "title")
    (top,) = {item.box[1] for item in scene.items if isinstance(item, Bitmap)}
    texts = [item for item in scene.items if isinstance(item, Text) and item.at[1] < top - 8]
    said = " ".join(text.words for text in texts)
    assert said.endswith(f"mean {values.mean():.3g}, deviation {values.std():.3g}")
    assert (
        max(text.at[0] + scene.fonts.length(text.words, text.size) for text in texts) < scene.width
    )


def test_nan_is_grey() -> None:
    image = pixels(np.array([[np.nan, 1.0], [1, 1]]))
    assert len(set(image[20, 60])) == 1
    assert 130 < image[20, 60, 0] < 170


def test_a_notebook_shows_the_picture() -> None:
    html = ns.inspect_param(MODEL, "conv1[0]")._repr_html_()
    assert '<img src="data:image/png;base64,' in html
    assert "16x1x5x5" in html
