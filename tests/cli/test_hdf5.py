"""HDF5 weights in the commands that take weights."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from netsurgery.cli import run
from netsurgery.formats.weights import open_weights


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, repo_root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with the bundled net and its weights in both forms."""
    monkeypatch.setenv("NETSURGERY_ENGINE", "embedded")
    shutil.copy(repo_root / "prototxt" / "digits_deploy.prototxt", tmp_path / "deploy.prototxt")
    shutil.copy(
        repo_root / "models" / "digits" / "digits.caffemodel", tmp_path / "model.caffemodel"
    )
    monkeypatch.chdir(tmp_path)
    both = ["deploy.prototxt", "model.caffemodel", "deploy.prototxt", "-o", "model.caffemodel.h5"]
    assert run(["transplant", "-q", "--strict", *both]) == 0
    return tmp_path


def numbers(path: str) -> dict[str, list[tuple[tuple[int, ...], bytes]]]:
    with open_weights(path) as weights:
        return {
            layer.name: [(blob.shape, blob.numpy().tobytes()) for blob in layer.blobs]
            for layer in weights.layers
            if layer.blobs
        }


@pytest.mark.parametrize("form", ["", ".h5"])
@pytest.mark.parametrize("out", ["", ".h5"])
def test_convert_gives_the_same_from_and_to_each_form(form: str, out: str) -> None:
    assert run(["convert", "deploy.prototxt", "model.caffemodel", "-q", "-o", "plain"]) == 0
    places = ["-o", "made", "--weights-out", f"made/dense.caffemodel{out}"]
    assert run(["convert", "deploy.prototxt", f"model.caffemodel{form}", "-q", *places]) == 0
    expected = numbers("plain/model_full_conv.caffemodel")
    assert numbers(f"made/dense.caffemodel{out}") == expected
    assert expected["ip1-conv"][0][0] == (96, 32, 2, 2)
    text = Path("made/deploy_full_conv.prototxt").read_text()
    assert text == Path("plain/deploy_full_conv.prototxt").read_text()


def test_convert_answers_in_the_form_it_was_given(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["convert", "deploy.prototxt", "model.caffemodel.h5"]) == 0
    assert "wrote model_full_conv.caffemodel.h5" in capsys.readouterr().out
    with h5py.File("model_full_conv.caffemodel.h5") as file:
        assert file["data/ip1-conv/0"].shape == (96, 32, 2, 2)
        assert file["data/ip1-conv/0"].dtype == np.float32


def test_convert_shows_before_it_writes(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["convert", "deploy.prototxt", "model.caffemodel.h5", "--dry-run", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["weights"] == "model_full_conv.caffemodel.h5"
    assert facts["layers_sharing_params"] == facts["params_without_layer"] == []
    assert not os.path.exists("model_full_conv.caffemodel.h5")


def test_what_was_converted_gives_the_map(
    repo_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    maps = []
    for form in ("", ".h5"):
        arguments = ["deploy.prototxt", f"model.caffemodel{form}", "-q", "-o", f"as{form}"]
        assert run(["convert", *arguments, "--verify"]) == 0
        net = f"as{form}/deploy_full_conv.prototxt"
        weights = f"as{form}/model_full_conv.caffemodel{form}"
        picture = sorted((repo_root / "examples").rglob("*.png"))[0]
        capsys.readouterr()
        assert run(["classify-map", "--prototxt", net, "--weights", weights, str(picture)]) == 0
        maps.append(capsys.readouterr().out)
    assert maps[0] == maps[1]


def test_export_gives_the_same_from_both(capsys: pytest.CaptureFixture[str]) -> None:
    """The model names the file, so HDF5 gets the name of the other."""
    os.mkdir("hdf5")
    shutil.copy("model.caffemodel.h5", "hdf5/model.caffemodel")
    for folder in ("", "hdf5/"):
        arguments = ["deploy.prototxt", f"{folder}model.caffemodel", "-o", f"{folder}net.onnx"]
        assert run(["export", *arguments]) == 0, capsys.readouterr().err
    assert Path("net.onnx").read_bytes() == Path("hdf5/net.onnx").read_bytes()


def test_a_layer_missing_from_hdf5_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with h5py.File("model.caffemodel.h5", "a") as file:
        del file["data/conv2"]
    assert run(["convert", "deploy.prototxt", "model.caffemodel.h5"]) == 1
    message = "error: model.caffemodel.h5: no params for layer 'conv2' of deploy.prototxt; "
    assert capsys.readouterr().err == f"{message}netsurgery init --missing fills them on purpose\n"
    assert not Path("model_full_conv.caffemodel.h5").exists()


def test_a_file_cut_short_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    data = Path("model.caffemodel.h5").read_bytes()
    Path("model.caffemodel.h5").write_bytes(data[: len(data) // 2])
    before = sorted(os.listdir())
    assert run(["convert", "deploy.prototxt", "model.caffemodel.h5"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("error: model.caffemodel.h5: HDF5 that cannot be read: ")
    assert err.count("\n") == 1
    assert sorted(os.listdir()) == before
