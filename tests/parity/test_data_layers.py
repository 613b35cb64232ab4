"""Data layers have the shapes in real Caffe that their text says, on pictures made here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import netsurgery
from netsurgery.engines.contract import EngineChoice
from netsurgery.engines.pycaffe import PycaffeEngine
from netsurgery.errors import NetsurgeryError
from netsurgery.net.net import NetDefinition
from netsurgery.net.shapes import infer

pytestmark = pytest.mark.caffe

SIZES = "image_data_param { source: 'S' batch_size: 5 new_height: 12 new_width: 16 %s }"

#: A layer's type and text, and the shape of its first top. S stands for its source.
LAYERS = [
    ("MemoryData", "memory_data_param { batch_size: 4 channels: 2 height: 6 width: 7 }"),
    (
        "MemoryData",  # cropped when pictures are added, to the size that is declared
        "memory_data_param { batch_size: 1 channels: 3 height: 5 width: 5 } "
        "transform_param { crop_size: 4 }",
    ),
    ("ImageData", SIZES % ""),
    ("ImageData", SIZES % "is_color: false"),
    ("ImageData", SIZES % "" + " transform_param { crop_size: 9 }"),
    (
        "ImageData",
        "image_data_param { source: 'S' is_color: false } transform_param { crop_size: 9 }",
    ),
    (
        "WindowData",
        "window_data_param { source: 'S' batch_size: 3 } transform_param { crop_size: 8 }",
    ),
]


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Type -> a file for its `source`: a list of one picture, and one of its windows."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("pictures")
    picture = folder / "p.png"
    Image.new("RGB", (20, 18), (10, 20, 30)).save(picture)
    (folder / "list").write_text(f"{picture} 0\n")
    (folder / "windows").write_text(f"# 0\n{picture}\n3\n18\n20\n2\n1 1.0 0 0 9 9\n0 0.0 5 5 9 9\n")
    return {"ImageData": folder / "list", "WindowData": folder / "windows"}


@pytest.mark.parametrize(("kind", "text"), LAYERS)
def test_shapes_of_data_and_labels(
    kind: str, text: str, sources: dict[str, Path], tmp_path: Path, allowed_caffe: PycaffeEngine
) -> None:
    text = text.replace("'S'", f'"{sources.get(kind)}"')
    path = tmp_path / "net.prototxt"
    path.write_text(f'layer {{ name: "d" type: "{kind}" top: "data" top: "label" {text} }}\n')
    shapes = infer(NetDefinition.read(path))
    assert shapes.unknown == {}
    with allowed_caffe.load(path) as net:
        assert shapes.blobs == dict(net.blobs)


def test_a_layer_of_2014_has_its_crop_in_its_own_message(
    sources: dict[str, Path], tmp_path: Path, allowed_caffe: PycaffeEngine
) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(
        'layers { name: "d" type: WINDOW_DATA top: "data" top: "label" window_data_param { '
        f'source: "{sources["WindowData"]}" batch_size: 3 crop_size: 8 }} }}\n'
    )
    with allowed_caffe.load(path) as net:
        assert (
            infer(NetDefinition.read(path)).blobs
            == dict(net.blobs)
            == {"data": (3, 3, 8, 8), "label": (3,)}
        )


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("MemoryData", "memory_data_param { batch_size: 4 channels: 2 height: 6 }"),
        ("ImageData", "image_data_param { source: 'S' new_height: 5 }"),
        ("ImageData", SIZES % "" + " transform_param { crop_size: 13 }"),
        ("ImageData", "image_data_param { source: 'S' batch_size: 0 new_height: 5 new_width: 5 }"),
        ("WindowData", "window_data_param { source: 'S' batch_size: 3 }"),
    ],
)
def test_sizes_that_caffe_refuses_are_not_known(
    kind: str,
    text: str,
    sources: dict[str, Path],
    tmp_path: Path,
    refusal_of_caffe: Callable[[Path], str],
) -> None:
    text = text.replace("'S'", f'"{sources.get(kind)}"')
    path = tmp_path / "net.prototxt"
    path.write_text(f'layer {{ name: "d" type: "{kind}" top: "data" top: "label" {text} }}\n')
    shapes = infer(NetDefinition.read(path))
    assert "data" in shapes.unknown
    assert refusal_of_caffe(path)


def test_an_input_without_dims_beside_a_layer_of_its_name(
    tmp_path: Path, caffe_engine: PycaffeEngine, refusal_of_caffe: Callable[[Path], str]
) -> None:
    layer = 'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }'
    once, twice = tmp_path / "once.prototxt", tmp_path / "twice.prototxt"
    once.write_text(f'input: "x" {layer}')
    twice.write_text(f'input: "x" input_shape {{ dim: 2 dim: 3 }} {layer}')
    with caffe_engine.load(once) as net:
        assert infer(NetDefinition.read(once)).blobs == dict(net.blobs) == {"x": (2, 3)}
    with pytest.raises(NetsurgeryError):
        NetDefinition.read(twice)
    assert "multiple sources" in refusal_of_caffe(twice)


#: Deploys in which the data layer was left.
DEPLOYS = {
    "MemoryData": "memory_data_param { batch_size: 2 channels: 3 height: 9 width: 9 }",
    "ImageData": 'image_data_param { source: "gone" new_height: 9 new_width: 9 }',
    "WindowData": 'window_data_param { source: "gone" batch_size: 1 } '
    "transform_param { crop_size: 9 }",
    "Data": 'data_param { source: "gone" batch_size: 4 }',
}


@pytest.mark.parametrize("engine", ["caffe", "embedded"])
@pytest.mark.parametrize("kind", DEPLOYS)
def test_a_deploy_that_begins_with_a_data_layer_is_converted(
    kind: str,
    engine: EngineChoice,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caffe_python: str,
) -> None:
    """The result grows, is the same function in either engine, and gives a map of a picture."""
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    Path("net.prototxt").write_text(
        f'layer {{ name: "data" type: "{kind}" top: "data" top: "label" {DEPLOYS[kind]} }}\n'
        'layer { name: "c" type: "Convolution" bottom: "data" top: "c" convolution_param '
        '{ num_output: 4 kernel_size: 3 stride: 2 weight_filler { type: "xavier" } } }\n'
        'layer { name: "fc" type: "InnerProduct" bottom: "c" top: "fc" inner_product_param '
        '{ num_output: 3 weight_filler { type: "xavier" } } }\n'
        'layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }\n'
    )
    shapes = {"data": (4, 3, 9, 9)} if kind == "Data" else None
    netsurgery.init("net.prototxt", "net.caffemodel", input_shapes=shapes)
    options = netsurgery.EngineOptions(choice=engine, caffe_python=caffe_python)
    conversion = netsurgery.convert(
        "net.prototxt", "net.caffemodel", ".", map_size=(4, 5), input_shapes=shapes,
        verify=True, engine=options,
    )  # fmt: skip
    assert conversion.verification is not None
    assert conversion.verification.verified
    assert [net_input.new for net_input in conversion.plan.inputs] == [(1, 3, 15, 17)]
    Image.fromarray(np.full((15, 17, 3), 90, np.uint8)).save("p.png")
    cells = netsurgery.classify_map("p.png", "netsurgery.toml", engine=options)
    assert cells.values.shape == (3, 4, 5)
    state = netsurgery.NetState().at(shapes)
    old, new = (
        ("net.prototxt", "net.caffemodel"),
        (conversion.paths.prototxt, conversion.paths.weights),
    )
    verification = netsurgery.verify(old, new, engine=options, state=state)
    assert verification.verified
    netsurgery.export_onnx("net.prototxt", "net.caffemodel", "net.onnx", state=state)
