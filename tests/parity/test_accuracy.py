"""Top-k accuracy against the Accuracy layer of real Caffe: of any scores, and of pictures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import netsurgery as ns
from netsurgery.engines.contract import EngineOptions
from netsurgery.engines.pycaffe import PycaffeEngine
from netsurgery.maps.transformer import Transformer
from netsurgery.net.net import NetDefinition
from netsurgery.training.top_k import in_top_k

pytestmark = pytest.mark.caffe

NET, MODEL = "prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel"
C, H, W = 7, 9, 11


@pytest.mark.parametrize("k", [1, 2, 5, 7])
@pytest.mark.parametrize("values", [3, 1000])
def test_equal_scores_count_as_in_caffes_layer(
    k: int, values: int, caffe_engine: PycaffeEngine, tmp_path: Path
) -> None:
    """Of all cells, and of each class; with 3 values most cells have several classes that tie."""
    (tmp_path / "net.prototxt").write_text(
        f'layer {{ name: "scores" type: "Input" top: "scores" input_param {{ shape {{ '
        f"dim: [1, {C}, {H}, {W}] }} }} }}\n"
        f'layer {{ name: "labels" type: "Input" top: "labels" input_param {{ shape {{ '
        f"dim: [1, 1, {H}, {W}] }} }} }}\n"
        'layer { name: "accuracy" type: "Accuracy" bottom: "scores" bottom: "labels" '
        f'top: "accuracy" top: "by_class" accuracy_param {{ top_k: {k} ignore_label: -1 }} }}\n'
    )
    rng = np.random.default_rng(values)
    scores = rng.integers(0, values, (C, H, W)).astype(np.float32)
    labels = rng.integers(-1, C - 1, (H, W), np.int32)  # no cell is of the last class
    inputs = {"scores": scores[np.newaxis], "labels": labels[np.newaxis, np.newaxis]}
    with caffe_engine.load(NetDefinition.read(tmp_path / "net.prototxt")) as net:
        caffe = net.forward(
            {name: each.astype(np.float32) for name, each in inputs.items()},
            ["accuracy", "by_class"],
        )
    hits = in_top_k(scores, labels, k)
    assert hits.sum() / (labels >= 0).sum() == pytest.approx(float(caffe["accuracy"]), abs=1e-6)
    by_class = np.bincount(labels[hits], minlength=C) / np.maximum(
        1, np.bincount(labels[labels >= 0], minlength=C)
    )
    np.testing.assert_allclose(by_class, caffe["by_class"], atol=1e-6)
    assert (k == C) == (hits[labels >= 0].all())


@pytest.mark.parametrize("k", [1, 2, 3, 5, 11])
def test_the_accuracy_of_pictures_is_caffes(
    k: int, repo_root: Path, caffe_python: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That of the classifier itself, with an Accuracy layer behind it."""
    monkeypatch.chdir(tmp_path)
    lines = cut_digits(repo_root)
    Path("list.txt").write_text("".join(f"{name} {label}\n" for name, label in lines))
    Path("net.prototxt").write_text(
        (repo_root / NET).read_text()
        + '\nlayer { name: "label" type: "Input" top: "label" input_param { shape { dim: 1 } } }\n'
        'layer { name: "accuracy" type: "Accuracy" bottom: "prob" bottom: "label" top: "accuracy" '
        f"accuracy_param {{ top_k: {k} }} }}\n"
    )
    transformer = Transformer(1)
    data = [transformer.blob(ns.read_picture(name), (32, 32))[0] for name, _ in lines]
    engine = EngineOptions("caffe", caffe_python=caffe_python)
    with ns.Net("net.prototxt", repo_root / MODEL, engine=engine) as net:
        label = np.array([number for _, number in lines], np.float32)
        caffe = float(net.forward(data=np.concatenate(data), label=label)["accuracy"])
    ns.convert(repo_root / NET, repo_root / MODEL, ".", engine="embedded")
    for each in ("embedded", engine):
        result = ns.evaluate(
            ".", "netsurgery.toml", annotations="list.txt", size=(32, 32), top_k=k, engine=each
        )
        assert result.top_k_accuracy == pytest.approx(caffe, abs=1e-6)
    assert k == 11 or 0.2 < caffe < 1


def cut_digits(repo_root: Path) -> list[tuple[str, int]]:
    """Windows on the demo's digits, more and more beside them: files here, and what they are of."""
    canvas = np.asarray(Image.open(repo_root / "examples/digits_canvas.png").convert("L"))
    digits = json.loads((repo_root / "examples/digits_canvas.json").read_text())["digits"]
    lines = []
    for digit in digits:
        left, top, right, bottom = map(int, digit["box"])
        row = min(max(0, (top + bottom) // 2 - 16), canvas.shape[0] - 32)
        for aside in (0, 8, 12, 16):
            column = min(max(0, (left + right) // 2 - 16 + aside), canvas.shape[1] - 32)
            name = f"{digit['digit']}_{aside}.png"
            Image.fromarray(canvas[row : row + 32, column : column + 32]).save(name)
            lines.append((name, int(digit["digit"])))
    return lines
