"""A height and a width mean the same in every call, in whatever form they are given."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from every_command import GOOD
from PIL import Image

import netsurgery as ns
from netsurgery.maps.picture_options import PictureOptions


def _settings() -> ns.Settings:
    return ns.Settings("good.prototxt", "good.caffemodel")


def _input_of(result: Any) -> tuple[int, ...]:
    return tuple(result.plan.inputs[0].new[2:])


#: Each call that takes a size -> the (height, width) that it has made of one.
CALLS: dict[str, Callable[[Any], tuple[int, ...]]] = {
    "convert, map_size": lambda size: tuple(
        ns.convert("good.prototxt", map_size=size).plan.maps["prob"][2:]
    ),
    "convert, input_size": lambda size: _input_of(ns.convert("good.prototxt", input_size=size)),
    "classify_map": lambda size: (
        (
            ns.classify_map("grey.png", _settings(), size=size, blob="conv", engine="embedded")
        ).geometry.placement.input
    ),
    "features": lambda size: (
        (ns.features("grey.png", "conv", _settings(), size=size, engine="embedded"))[
            "conv"
        ].placement.input
    ),
    "PictureOptions": lambda size: PictureOptions(size).input_size((1, 2), (3, 4)),
    "Settings, window": lambda size: ns.Settings(window=size).window or (),
    "inspect": lambda size: (
        ns.inspect("good.prototxt", sizes={"data": size}).inputs["data"] or ()
    )[2:],
}
SIZES = [(12, 10), [12, 10], np.array([12, 10]), (12.0, 10.0), "12x10"]
SQUARES = [12, "12", np.int64(12), (12, 12)]
WRONG = ["Net", "8y8", (40, 50, 60), (0, 9), (8.5, 9), -3, True, (True, 9), 10**7, 1.5, object()]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("good.prototxt").write_text(GOOD)
    ns.init("good.prototxt", "good.caffemodel")
    Image.new("L", (9, 9), 7).save("grey.png")


@pytest.mark.parametrize("call", CALLS)
def test_every_form_is_taken(call: str) -> None:
    assert {CALLS[call](size) for size in SIZES} == {(12, 10)}
    assert {CALLS[call](size) for size in SQUARES} == {(12, 12)}


@pytest.mark.parametrize("call", [call for call in CALLS if call != "inspect"])
def test_what_is_no_size_is_refused_in_one_wording(call: str) -> None:
    for size in WRONG:
        with pytest.raises(ns.SettingsError) as caught:
            CALLS[call](size)
        assert f"size {size!r}: expected " in str(caught.value).replace("window", "size")
        assert str(caught.value).endswith(
            "(height, width) or one number for a square, from 1 to 1000000"
        )


def test_a_size_of_input_and_map_exclude_each_other() -> None:
    with pytest.raises(ns.SurgeryError, match="input_size and map_size exclude each other"):
        ns.convert("good.prototxt", map_size=(8, 8), input_size=(99, 99))
