"""The transformer by itself; against real caffe.io it is tested in parity/test_transformer.py."""

from __future__ import annotations

import re
from typing import Any, get_args

import numpy as np
import pytest
from numpy.typing import NDArray

from netsurgery.errors import ImageError, MeanError, NetsurgeryError, SettingsError
from netsurgery.formats.settings import Settings
from netsurgery.maps.from_settings import make_transformer
from netsurgery.maps.image import Picture
from netsurgery.maps.picture_options import Fit, PictureOptions
from netsurgery.maps.resize import resize
from netsurgery.maps.transformer import Placement, Transformer, place, squeeze_note

#: Messages are compared as the command words them.
pytestmark = pytest.mark.usefixtures("option_names")

Array = NDArray[np.float64]

RGB = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)


def picture(pixels: Any = RGB) -> Picture:
    return Picture("p", pixels)


def test_nothing_said_is_0_to_1_rgb() -> None:
    blob, placement = Transformer(3).blob(picture(), (6, 8))
    assert blob.dtype == np.float32
    assert blob.shape == (1, 3, 6, 8)
    assert np.allclose(blob[0], RGB.transpose(2, 0, 1) / 255, atol=1e-7)
    assert placement == Placement((6, 8), (6, 8), (6, 8), (0, 0))


def test_order_of_the_steps() -> None:
    """(pixel x raw scale - mean) x input scale, the mean in the order after the swap."""
    mean = np.array([10, 20, 30], np.float32)
    maker = Transformer(3, mean, raw_scale=255, channel_swap=(2, 1, 0), input_scale=0.5)
    blob, _ = maker.blob(picture(), (6, 8))
    expected = (RGB[:, :, ::-1].transpose(2, 0, 1) - mean[:, None, None]) * 0.5
    assert np.allclose(blob[0], expected, atol=1e-4)


def test_swap_takes_each_channel_from_where_it_says() -> None:
    blob, _ = Transformer(3, channel_swap=(1, 2, 0)).blob(picture(), (6, 8))
    assert np.allclose(blob[0, 0], RGB[:, :, 1] / 255, atol=1e-7)
    assert np.allclose(blob[0, 2], RGB[:, :, 0] / 255, atol=1e-7)


@pytest.mark.parametrize("resized", [(6, 8), (9, 5)])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("kind", "top"), [("u1", 255.0), ("u2", 65535.0), ("f4", 1.0)])
def test_each_step_is_of_single_precision(
    kind: str, top: float, channels: int, resized: tuple[int, int]
) -> None:
    """Bit for bit: a float32 for each pixel, and after each step another."""
    pixels = (np.random.default_rng(2).random((6, 8, channels)) * top).astype(kind)
    blob, _ = Transformer(3, raw_scale=255, channel_swap=(2, 0, 1)).blob(picture(pixels), resized)
    for plane, channel in zip(blob[0], (2, 0, 1), strict=True):
        values = np.broadcast_to(resize(pixels, resized), (*resized, 3))[:, :, channel]
        values = values / np.float32(top) * np.float32(255)
        np.testing.assert_array_equal(plane, values)


def test_whole_mean_of_the_input_size_is_subtracted_pixel_by_pixel() -> None:
    mean = np.random.default_rng(1).random((3, 6, 8)).astype(np.float32)
    maker = Transformer(3, mean)
    assert maker.mean_for((6, 8))[1] is None
    blob, _ = maker.blob(picture(), (6, 8))
    assert np.allclose(blob[0], RGB.transpose(2, 0, 1) / 255 - mean, atol=1e-6)


def test_mean_of_another_size_is_reduced_and_said() -> None:
    mean = np.zeros((3, 4, 4), np.float32)
    mean[:, 0] = np.array([4, 8, 12]).reshape(3, 1)
    maker = Transformer(3, mean)
    values, note = maker.mean_for((6, 8))
    assert values is not None
    assert values.reshape(-1).tolist() == [1, 2, 3]
    assert note == ("the mean is 4x4, the input 6x8: its mean per channel is subtracted (1, 2, 3)")
    blob, _ = maker.blob(picture(), (6, 8))
    expected = RGB.transpose(2, 0, 1) / 255 - np.array([1, 2, 3]).reshape(3, 1, 1)
    assert np.allclose(blob[0], expected, atol=1e-6)


def test_one_mean_for_all_channels() -> None:
    blob, _ = Transformer(3, np.array([0.25], np.float32)).blob(picture(), (6, 8))
    assert np.allclose(blob[0], RGB.transpose(2, 0, 1) / 255 - 0.25, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "kind", "said"),
    [
        ({"channels": 4}, ImageError, "the net's input has 4 channels; a picture gives 1 (grey) or "
         "3 (RGB)"),
        ({"channels": 3, "mean": np.zeros((4, 4), np.float32)}, MeanError,
         "a mean of shape (4, 4); expected C or C x H x W"),
        ({"channels": 1, "channel_swap": (2, 1, 0)}, SettingsError,
         "channel swap 2,1,0: the net's input has one channel; leave it out"),
        ({"channels": 3, "channel_swap": (1, 0)}, SettingsError,
         "channel swap 1,0: the net's input has 3 channels; expected each of 0..2 once"),
    ],
)  # fmt: skip
def test_what_cannot_be(options: dict[str, Any], kind: type[NetsurgeryError], said: str) -> None:
    with pytest.raises(kind) as error:
        Transformer(**options)
    assert str(error.value) == said


@pytest.mark.parametrize(
    ("image", "fit", "resized", "offset"),
    [
        ((360, 480), "warp", (227, 227), (0, 0)),
        ((360, 480), "crop", (227, 303), (0, -38)),
        ((360, 480), "pad", (170, 227), (28, 0)),
        ((480, 360), "crop", (303, 227), (-38, 0)),
        ((480, 360), "pad", (227, 170), (0, 28)),
        ((1, 100000), "pad", (1, 227), (113, 0)),
        ((227, 227), "crop", (227, 227), (0, 0)),
    ],
)
def test_place(
    image: tuple[int, int], fit: Fit, resized: tuple[int, int], offset: tuple[int, int]
) -> None:
    assert place(image, (227, 227), fit) == Placement(image, (227, 227), resized, offset)


@pytest.mark.parametrize("fit", ["warp", "crop", "pad"])
@pytest.mark.parametrize("size", [(97, 55), (300, 301)])
def test_a_dot_lands_where_the_placement_says(fit: Fit, size: tuple[int, int]) -> None:
    """A bright disc's center of mass in the blob, mapped back, is the disc's center."""
    at = np.array([70.0, 100.0])
    y, x = np.mgrid[0:150, 0:210]
    disc = (np.hypot(y + 0.5 - at[0], x + 0.5 - at[1]) < 9) * np.uint8(255)
    blob, placement = Transformer(1, options=PictureOptions(fit=fit)).blob(
        picture(disc[:, :, np.newaxis]), size
    )
    weights = blob[0, 0]
    rows, columns = np.mgrid[0 : size[0], 0 : size[1]]
    center = [float((axis + 0.5).ravel() @ weights.ravel() / weights.sum())
              for axis in (rows, columns)]  # fmt: skip
    seen = [placement.to_image(np.array(center[axis]), axis) for axis in range(2)]
    assert np.allclose(seen, at, atol=0.2)


def test_crop_is_the_middle_of_the_whole_resized() -> None:
    blob, _ = Transformer(3, options=PictureOptions(fit="crop")).blob(picture(), (4, 4))
    assert np.allclose(blob[0].transpose(1, 2, 0), resize(RGB, (4, 5))[:, 0:4] / 255, atol=1e-6)


def test_padding_is_zero_whatever_the_mean() -> None:
    mean = np.full((3, 8, 8), 100, np.float32)
    for chosen in (mean, mean[:, 0, 0], None):
        maker = Transformer(
            3, chosen, raw_scale=255, input_scale=2, options=PictureOptions(fit="pad")
        )
        blob, placement = maker.blob(picture(), (8, 8))
        assert placement.offset == (1, 0)
        assert np.all(blob[0, :, 0] == 0)
        assert np.all(blob[0, :, 7] == 0)
        seen = RGB.transpose(2, 0, 1) - (0.0 if chosen is None else 100.0)
        assert np.allclose(blob[0, :, 1:7], seen * 2, atol=1e-3)


def test_a_very_long_picture_needs_little_memory() -> None:
    """Cropping 1 x 20000 to 64 x 64 does not make the 64 x 1280000 in between."""
    blob, placement = Transformer(1, options=PictureOptions(fit="crop")).blob(
        picture(np.tile(np.arange(20000, dtype=np.uint16) % 200, (1, 1))[:, :, np.newaxis]),
        (64, 64),
    )
    assert placement.resized == (64, 1280000)
    assert blob.shape == (1, 1, 64, 64)


def test_the_net_is_not_handed_the_picture_itself() -> None:
    pixels = RGB.copy()
    maker = Transformer(3, raw_scale=2.0)
    blob, _ = maker.blob(picture(pixels), (6, 8))
    two, _ = maker.blob(picture(pixels), (6, 8))
    assert np.array_equal(blob, two)
    assert np.array_equal(pixels, RGB)


@pytest.mark.parametrize(
    ("channels", "mean", "said"),
    [
        (3, np.zeros(2), "mean 0,0: 2 channels, but the net's input has 3; --mean takes a number a "
         "channel, one for all, or a file of 3 x height x width"),
        (1, np.zeros((3, 4, 4)), "mean: 3 channels, but the net's input has 1; --mean takes a "
         "number a channel, one for all, or a file of 1 x height x width"),
    ],
)  # fmt: skip
def test_a_mean_of_other_channels(channels: int, mean: Any, said: str) -> None:
    with pytest.raises(MeanError) as error:
        make_transformer(Settings(mean=mean), channels)
    assert str(error.value) == said


def test_a_mean_lies_under_the_padding_too() -> None:
    """The same pixel of the mean is subtracted wherever the picture lies."""
    mean = np.arange(3 * 6 * 8, dtype=np.float32).reshape(3, 6, 8)
    black = picture(np.zeros((3, 8, 3), np.uint8))
    blob, placement = Transformer(3, mean, options=PictureOptions(fit="pad")).blob(black, (6, 8))
    assert placement.offset == (1, 0)
    assert np.array_equal(blob[0, :, 1:4], -mean[:, 1:4])
    assert not blob[0, :, [0, 4, 5]].any()


def test_a_swap_names_each_channel_once() -> None:
    with pytest.raises(SettingsError, match=r"channel swap 0,0,1: .* expected each of 0\.\.2 once"):
        Transformer(3, channel_swap=(0, 0, 1))


@pytest.mark.parametrize(
    ("image", "size", "words"),
    [
        (
            (360, 480),
            (227, 227),
            "360x480 is made 227x227, 1.33 times too narrow.*--size 227x303",
        ),
        ((480, 360), (227, 227), "480x360 is made 227x227, 1.33 times too flat; .*--size 303x227"),
        ((100, 112), (50, 50), "1.12 times too narrow"),
        ((100, 109), (50, 50), ""),
        ((109, 100), (50, 50), ""),
        ((7, 1000), (7, 1000), ""),
    ],
)
def test_a_note_where_the_shape_is_changed(
    image: tuple[int, int], size: tuple[int, int], words: str
) -> None:
    note = squeeze_note(place(image, size))
    assert re.search(words, note)
    assert bool(note) == bool(words)
    for fit in get_args(Fit):
        assert fit == "warp" or not squeeze_note(place(image, size, fit))
    if note:
        height, width = map(int, note.split("--size ")[-1].split(" ")[0].split("x"))
        assert height >= size[0]
        assert width >= size[1]
        assert not squeeze_note(place(image, (height, width)))
