"""Settings that do not fit a net: every call names the file that says them, in one form."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import netsurgery as ns

PICTURE = np.zeros((32, 32), np.uint8)


def brought_to_a_net(settings: ns.Settings) -> list[str]:
    """What each call that brings pictures to a net says of the settings."""
    assert settings.prototxt is not None
    assert settings.weights is not None
    net = settings.prototxt, settings.weights
    errors = []
    for call in (
        lambda: ns.classify_map(PICTURE, settings, blob="conv1", engine="embedded"),
        lambda: ns.extract_features(PICTURE, "conv1", settings, engine="embedded"),
        lambda: ns.verify(net, net, images=PICTURE, settings=settings, engine="embedded"),
        lambda: ns.convert(*net, settings=settings, engine="embedded"),
        lambda: ns.export_onnx(*net, preprocess=settings),
    ):
        with pytest.raises(ns.FormatError) as raised:
            call()
        errors.append(str(raised.value))
    return errors


@pytest.mark.parametrize(
    ("key", "value", "option", "what"),
    [
        ("mean", "[1, 2]", (3.0, 4.0), "mean {}: 2 channels, but the net's input has 1"),
        ("mean", '"none.npy"', Path("other.npy"), "{}: No such file or directory"),
        ("channel_swap", "[1, 0]", (2, 1, 0), "channel swap {}: the net's input has one channel"),
    ],
)
def test_the_file_is_named_but_for_what_an_option_says(
    tmp_path: Path, repo_root: Path, key: str, value: str, option: Any, what: str
) -> None:
    path, root = tmp_path / "netsurgery.toml", repo_root.as_posix()
    path.write_text(
        f'[model]\nprototxt = "{root}/prototxt/digits_deploy.prototxt"\n'
        f'weights = "{root}/models/digits/digits.caffemodel"\n[preprocess]\n{key} = {value}\n'
    )
    of_file = ns.read_settings(path)
    for settings, before in (
        (of_file, f"{path}: {key}: "),
        (replace(of_file, **{key: option}), ""),
    ):
        said = getattr(settings, key)
        shown = ",".join(f"{each:g}" for each in said) if isinstance(said, tuple) else said
        for error in brought_to_a_net(settings):
            assert re.match(re.escape(before + what.format(shown)), error), error


def test_a_scale_of_0_is_no_files_where_none_says_it() -> None:
    net = "prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel"
    with pytest.raises(ns.SettingsError, match=r"^a scale of 0 leaves nothing of a picture$"):
        ns.export_onnx(*net, preprocess=ns.Settings(raw_scale=0))
    errors = brought_to_a_net(ns.Settings(*net, input_scale=0))
    assert set(errors) == {"a scale of 0 leaves nothing of a picture"}
