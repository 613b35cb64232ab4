"""Classifiers written in other ways, converted: real Caffe judges, cell by cell where it can."""

from __future__ import annotations

from pathlib import Path

import pytest
from random_weights import fill_randomly

from netsurgery.engines.contract import EngineChoice, EngineOptions
from netsurgery.engines.pycaffe import PycaffeEngine
from netsurgery.verbs.convert import convert
from netsurgery.verbs.convert_result import Conversion

pytestmark = pytest.mark.caffe

INPUT = 'input: "data" input_shape { dim: [2, 3, 18, 20] }\n'
CONV = """
layer { name: "c" type: "Convolution" bottom: "data" top: "c"
  convolution_param { num_output: 6 kernel_size: 4 stride: 2 } }
"""  # 6 x 8 x 9


def fc(name: str, bottom: str, outputs: int = 5, more: str = "") -> str:
    return (
        f'layer {{ name: "{name}" type: "InnerProduct" bottom: "{bottom}" top: "{name}" '
        f"inner_product_param {{ num_output: {outputs} {more} }} }}\n"
    )


def pool(param: str, bottom: str = "c", top: str = "p") -> str:
    return (
        f'layer {{ name: "{top}" type: "Pooling" bottom: "{bottom}" top: "{top}" '
        f"pooling_param {{ {param} }} }}\n"
    )


def squeeze(reader: str) -> str:
    """Squeeze and excitation, `reader` with the gate and the map."""
    return (
        pool("pool: AVE global_pooling: true", top="g")
        + fc("g1", "g", 2)
        + 'layer { name: "r" type: "ReLU" bottom: "g1" top: "g1" }\n'
        + fc("g2", "g1", 6)
        + 'layer { name: "s" type: "Sigmoid" bottom: "g2" top: "g2" }\n'
        + reader
        + pool("pool: AVE global_pooling: true", bottom="e")
        + fc("fc", "p")
    )


FC = fc("a", "p")
MEAN = """
layer { name: "p" type: "Reduction" bottom: "c" top: "p"
  reduction_param { operation: MEAN axis: 2 } }
"""
SCALE = """
layer { name: "e" type: "Scale" bottom: "c" bottom: "g2" top: "e" scale_param { axis: 0 } }
"""


def flatten(bottom: str, top: str) -> str:
    return f'layer {{ name: "{top}" type: "Flatten" bottom: "{bottom}" top: "{top}" }}\n'


def conv(bottom: str, top: str, param: str) -> str:
    return (
        f'layer {{ name: "{top}" type: "Convolution" bottom: "{bottom}" top: "{top}" '
        f"convolution_param {{ num_output: 3 {param} }} }}\n"
    )


def concat(bottoms: str, top: str) -> str:
    named = " ".join(f'bottom: "{bottom}"' for bottom in bottoms.split())
    return f'layer {{ name: "{top}" type: "Concat" {named} top: "{top}" }}\n'


DEEPID = (
    conv("c", "d", "kernel_h: 3 kernel_w: 2")
    + flatten("c", "f")
    + flatten("d", "g")
    + concat("f g", "h")
)
#: A branch whose cells are twice, and one whose cells are three times as far apart.
COARSER = (
    conv("c", "d", "kernel_size: 2 stride: 2")
    + conv("c", "e", "kernel_h: 2 kernel_w: 3 stride_h: 2 stride_w: 3")
    + "".join(flatten(blob, f"{blob}f") for blob in "cde")
    + concat("cf df", "h1")
    + concat("h1 ef", "h")
)
VECTOR = fc("a", "c", 4) + flatten("c", "f") + concat("a f", "h")
NAMED = (
    'layer { name: "b" type: "InnerProduct" bottom: "h" top: "scores" '
    "inner_product_param { num_output: 4 bias_term: false } }\n"
)

#: A net -> whether every cell of its map has to be the classifier on the cell's window.
FORMS = {
    "pooling of the map": (pool("pool: AVE kernel_h: 8 kernel_w: 9 stride: 9") + FC, True),
    "pooling past the map": (pool("pool: AVE kernel_size: 10 stride: 11") + FC, True),
    "maximum of the map": (pool("kernel_h: 8 kernel_w: 9 stride: 9") + FC, True),
    "mean": (MEAN + FC, True),
    "gate of inner products": (squeeze(SCALE), False),
    "two maps": (DEEPID + fc("fc", "h") + fc("last", "fc"), True),
    "two maps, turned": (DEEPID + fc("fc", "h", 5, "transpose: true"), True),
    "two maps, without bias": (DEEPID + NAMED, True),
    "three maps on three grids": (COARSER + fc("fc", "h"), True),
    "a map and scores": (VECTOR + fc("fc", "h"), True),
    "a map and what a map is pooled to": (
        pool("global_pooling: true")
        + flatten("c", "f")
        + flatten("p", "g")
        + concat("f g", "h")
        + fc("fc", "h"),
        True,
    ),
}


@pytest.fixture(params=FORMS)
def form(
    request: pytest.FixtureRequest, tmp_path: Path, caffe_engine: PycaffeEngine
) -> tuple[Path, Path, bool]:
    """A prototxt, random weights for it, and whether its map is exact."""
    text, exact = FORMS[request.param]
    prototxt = tmp_path / "net.prototxt"
    prototxt.write_text(INPUT + CONV + text)
    return prototxt, fill_randomly(caffe_engine, prototxt, tmp_path / "m.caffemodel"), exact


def converted(
    form: tuple[Path, Path, bool], mover: EngineChoice, caffe_python: str, *, verify: bool = False
) -> Conversion:
    """Convert by one engine, and have it say whether it is the same function."""
    prototxt, weights, _ = form
    options = EngineOptions(choice=mover, caffe_python=caffe_python)
    return convert(prototxt, weights, prototxt.parent / mover, engine=options, verify=verify)


def test_caffe_moves_and_finds_the_same_function(
    form: tuple[Path, Path, bool], caffe_python: str
) -> None:
    conversion = converted(form, "caffe", caffe_python, verify=True)
    assert conversion.verification is not None
    assert conversion.verification.same
    (class_map,) = conversion.verification.maps
    assert class_map.compared > 1
    assert class_map.check.blob == conversion.plan.net.outputs[0]
    if form[2]:
        assert class_map.difference.within(conversion.verification.tolerance)
    else:
        assert "a layer looks at the whole map at once" in class_map.check.reasons
        assert class_map.difference.absolute > 0


def test_the_wire_gives_the_same_params_as_caffe(
    form: tuple[Path, Path, bool], caffe_python: str, caffe_engine: PycaffeEngine
) -> None:
    both = [converted(form, mover, caffe_python).paths for mover in ("caffe", "embedded")]
    assert both[0].prototxt.read_bytes() == both[1].prototxt.read_bytes()
    with (
        caffe_engine.load(both[0].prototxt, both[0].weights) as by_caffe,
        caffe_engine.load(both[1].prototxt, both[1].weights) as embedded_net,
    ):
        assert by_caffe.params == embedded_net.params
        for layer, shapes in by_caffe.params.items():
            for index in range(len(shapes)):
                assert (
                    by_caffe.param(layer, index).tobytes()
                    == embedded_net.param(layer, index).tobytes()
                )
