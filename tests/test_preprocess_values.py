"""`Settings` takes values as people have them, and holds one form of each."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from netsurgery.errors import SettingsError
from netsurgery.formats.labels import load_labels
from netsurgery.formats.mean import load_mean
from netsurgery.formats.preprocess_values import MeanPicture
from netsurgery.formats.settings import Settings, as_settings

BGR = (104.0, 117.0, 123.0)


@pytest.mark.parametrize(
    "mean", ["104,117,123", [104, 117, 123], BGR, np.array(BGR), np.array(BGR).reshape(1, 3, 1, 1)]
)
def test_a_mean_of_numbers_in_any_form(mean: Any) -> None:
    assert Settings(mean=mean).mean == BGR
    assert hash(Settings(mean=mean)) == hash(Settings(mean=BGR))


@pytest.mark.parametrize("mean", [7, 7.0, np.float32(7), np.array(7), [7], "7"])
def test_one_number_for_all_channels(mean: Any) -> None:
    assert Settings(mean=mean).mean == (7.0,)


@pytest.mark.parametrize("shape", [(3, 4, 5), (1, 3, 4, 5)])
def test_a_mean_picture_in_memory(shape: tuple[int, ...]) -> None:
    values = np.arange(60).reshape(shape)
    mean = Settings(mean=values).mean
    assert isinstance(mean, MeanPicture)
    np.testing.assert_array_equal(load_mean(mean), values.reshape(3, 4, 5).astype(np.float32))
    assert replace(Settings(mean=values), raw_scale=2) != Settings()
    with pytest.raises(SettingsError, match=r"netsurgery.toml cannot hold a mean picture; write"):
        Settings(mean=values).to_toml(".")


@pytest.mark.parametrize("swap", ["2,1,0", "bgr", "BGR", [2, 1, 0], (2, 1, 0), np.array([2, 1, 0])])
def test_a_channel_swap_in_any_form(swap: Any) -> None:
    assert Settings(channel_swap=swap).channel_swap == (2, 1, 0)
    assert Settings(channel_swap="rgb").channel_swap == (0, 1, 2)


def test_labels_in_a_list() -> None:
    settings = Settings(labels=["cat", " a  dog "])
    assert settings.labels == ("cat", " a  dog ")
    assert settings.labels is not None
    assert load_labels(settings.labels).lines == ("cat", "a dog")
    assert Settings(labels="words.txt").labels == Path("words.txt")
    with pytest.raises(SettingsError, match=r"netsurgery.toml cannot hold labels; write them"):
        settings.to_toml(".")


def test_paths_and_stages_as_text() -> None:
    settings = Settings("a.prototxt", "a.caffemodel", stages="deploy", mean="m.npy")
    assert settings.prototxt == Path("a.prototxt")
    assert settings.weights == Path("a.caffemodel")
    assert settings.stages == ("deploy",)
    assert settings.mean == Path("m.npy")
    assert as_settings(settings) is settings
    assert as_settings(None) == Settings()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"mean": [1, "x"]}, "mean [1, 'x']: expected a file, a number, one number a channel, or"),
        ({"mean": [1, np.nan]}, "mean [1, nan]: expected a file"),
        ({"mean": object}, "mean <class 'object'>: expected a file"),
        ({"mean": np.array(["x"])}, "mean: an array of <U1, expected one of numbers"),
        ({"channel_swap": "bgrr"}, "channel_swap: 'bgrr' is not each channel once, as in 2,1,0 or"),
        ({"channel_swap": (2, 1)}, "channel_swap (2, 1): expected each channel once, as in (2, 1"),
        ({"channel_swap": 2}, "channel_swap: 'int' object is not iterable"),
        ({"labels": [1, 2]}, "labels [1, 2]: expected a file, or one text a class"),
        ({"labels": 7}, "labels 7: expected a file, or one text a class"),
        ({"raw_scale": np.nan}, "raw_scale nan: expected a finite number"),
        ({"input_scale": np.inf}, "input_scale inf: expected a finite number"),
    ],
)
def test_values_of_another_kind(values: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError) as error:
        Settings(**values)
    assert str(error.value).startswith(message)
