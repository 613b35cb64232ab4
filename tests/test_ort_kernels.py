"""Large kernels in the processor's layout: the same function, the same bits wherever they lie."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from test_ort import forms

import netsurgery as ns
from netsurgery.engines import ort_kernels
from netsurgery.engines.contract import EngineOptions
from netsurgery.engines.registry import open_engine
from netsurgery.io.user_cache import UserCache

Floats = NDArray[np.float32]

#: Kernels of 6.8 and 5.1 MiB, which two layers share.
NET = """
input: "data" input_shape { dim: [2, 128, 13, 11] }
layer { name: "fc6" type: "Convolution" bottom: "data" top: "fc6"
  convolution_param { num_output: 384 kernel_h: 6 kernel_w: 6 GEOMETRY
    weight_filler { type: "gaussian" std: 0.01 } bias_filler { type: "constant" value: 0.3 } } }
layer { name: "relu" type: "ReLU" bottom: "fc6" top: "fc6" }
layer { name: "fc7" type: "Convolution" bottom: "fc6" top: "fc7" param { name: "w" }
  convolution_param { num_output: 384 kernel_size: 3 pad: 1 bias_term: false
    weight_filler { type: "gaussian" std: 0.02 } } }
layer { name: "fc8" type: "Convolution" bottom: "fc7" top: "fc8" param { name: "w" }
  convolution_param { num_output: 384 kernel_size: 3 pad: 1 bias_term: false } }
"""


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    (folder / "net.prototxt").write_text(NET.replace("GEOMETRY", ""))
    ns.init(folder / "net.prototxt", folder / "net.caffemodel", seed=1)
    return folder / "net.caffemodel"


@pytest.fixture
def net(tmp_path: Path) -> Path:
    path = tmp_path / "net.prototxt"
    path.write_text(NET.replace("GEOMETRY", ""))
    return path


def forward(net: Path, weights: Path, blob: str = "fc8") -> Floats:
    with open_engine(EngineOptions("embedded")) as engine:
        loaded = engine.load(net, weights)
        x = np.random.default_rng(0).normal(size=loaded.inputs["data"]).astype(np.float32)
        return loaded.forward({"data": x}, [blob])[blob]


def cached_files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.netsurgery-cache"))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NETSURGERY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir(mode=0o700)
    return tmp_path / "cache"


@pytest.mark.parametrize("geometry", ["", "stride: 2 pad: 3", "dilation: 2 pad_h: 1 pad_w: 4"])
def test_it_is_the_same_function(
    geometry: str, net: Path, weights: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net.write_text(NET.replace("GEOMETRY", geometry))
    laid = forward(net, weights)
    assert len(cached_files(cache)) == 2, "fc6's, and those that fc7 and fc8 share"
    monkeypatch.setattr(ort_kernels, "_block", lambda: 0)
    plain = forward(net, weights)
    assert np.abs(laid - plain).max() <= 2e-6 * np.abs(plain).max()


def test_the_bits_do_not_depend_on_where_they_lie(
    net: Path, weights: Path, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = forward(net, weights)
    files = [(cache / name).stat() for name in cached_files(cache)]
    assert np.array_equal(forward(net, weights), first)
    again = [(cache / name).stat() for name in cached_files(cache)]
    assert [s.st_ino for s in again] == [s.st_ino for s in files], "made once"
    monkeypatch.setenv("NETSURGERY_CACHE", "none")
    assert np.array_equal(forward(net, weights), first)
    assert not list((tmp_path / "temporary").iterdir())


def full_disk(self: UserCache, name: str, size: int, write: Callable[[int], object]) -> str:
    if "cache" in self.folder.name:
        raise OSError(28, "No space left on device")
    return _make(self, name, size, write)


def full_disks(self: UserCache, name: str, size: int, write: Callable[[int], object]) -> str:
    raise OSError(28, "No space left on device")


_make = UserCache.make


@pytest.mark.parametrize("make", [full_disk, full_disks])
def test_without_room_each_process_has_its_own(
    make: Callable[..., object],
    net: Path,
    weights: Path,
    tmp_path: Path,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, seventh = forward(net, weights), forward(net, weights, "fc7")
    shutil.rmtree(cache)
    monkeypatch.setattr(UserCache, "make", make)
    assert np.array_equal(forward(net, weights), first)
    assert np.array_equal(forward(net, weights, "fc7"), seventh)
    assert not cached_files(cache)
    assert not list((tmp_path / "temporary").iterdir())


def test_a_net_that_is_too_large_keeps_nothing(
    net: Path, weights: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NETSURGERY_CACHE_SIZE", "10MiB")  # one of its kernels would fit
    forward(net, weights)
    assert not cached_files(cache)


def test_files_that_are_gone_are_made_again(net: Path, weights: Path, cache: Path) -> None:
    with open_engine(EngineOptions("embedded")) as engine:
        loaded = engine.load(net, weights)
        first = loaded.forward({}, ["fc8"])["fc8"]
        shutil.rmtree(cache)
        assert np.array_equal(loaded.forward({}, ["fc8"])["fc8"], first), "it is still mapped"
        assert np.array_equal(loaded.forward({}, ["fc8", "fc6"])["fc8"], first)
        assert len(cached_files(cache)) == 2


def test_a_changed_caffemodel_is_another(
    net: Path, weights: Path, tmp_path: Path, cache: Path
) -> None:
    weights = Path(shutil.copy(weights, tmp_path))
    before, state = forward(net, weights), weights.stat()
    with weights.open("r+b") as file:
        data = file.read()
        file.seek(len(data) // 8)  # among fc6's kernels
        file.write(np.float32(1).tobytes())
    os.utime(weights, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert not np.array_equal(forward(net, weights), before)


def test_files_that_are_refused_give_the_same_bits(
    net: Path, weights: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = forward(net, weights)
    seen = forms(monkeypatch, refuse=True)
    assert np.array_equal(forward(net, weights), expected)
    assert [form.folder is None for form in seen[-2:]] == [False, True]


def test_kernels_in_other_forms_give_the_same_bits(
    net: Path, weights: Path, tmp_path: Path, cache: Path
) -> None:
    ns.init(net, tmp_path / "net.h5", seed=1)
    assert np.array_equal(forward(net, tmp_path / "net.h5"), forward(net, weights))


def test_what_is_set_is_run_with(net: Path, weights: Path, cache: Path) -> None:
    with open_engine(EngineOptions("embedded")) as engine:
        loaded = engine.load(net, weights)
        before = loaded.forward({}, ["fc8"])["fc8"]
        loaded.set_param("fc6", 0, np.zeros(loaded.params["fc6"][0], np.float32))
        loaded.set_param("fc6", 1, np.zeros(loaded.params["fc6"][1], np.float32))
        assert before.any()
        assert not loaded.forward({}, ["fc8"])["fc8"].any()


def test_blocks() -> None:
    kernels = np.random.default_rng(0).normal(size=(32, 16, 3, 2)).astype(np.float32)
    laid = np.zeros(kernels.size, np.float32)

    def write(place: int, numbers: Floats) -> None:
        laid[place : place + numbers.size] += numbers.ravel()

    ort_kernels.lay_out(kernels, 8, write)
    blocks = laid.reshape(4, 2, 3, 2, 8, 8)
    for output, bottom, row, column in np.ndindex(*kernels.shape):
        at = (output // 8, bottom // 8, row, column, bottom % 8, output % 8)
        assert blocks[at] == kernels[output, bottom, row, column]
