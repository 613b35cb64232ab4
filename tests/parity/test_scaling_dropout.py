"""A Dropout of ``scale_train: false``: in TEST it multiplies its numbers by 1 - dropout_ratio.

Real Caffe 1.0 does not know the field. What such a net computes it computes without, when the next
layer's weight is multiplied instead.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import netsurgery as ns
from netsurgery.cli import run

FILLER = 'weight_filler { type: "gaussian" std: 0.5 } bias_filler { type: "constant" value: 0.3 }'
NET = f"""
layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ dim: [2, 3, 6, 6] }} }} }}
layer {{ name: "fc6" type: "InnerProduct" bottom: "data" top: "fc6"
  inner_product_param {{ num_output: 9 {FILLER} }} }}
layer {{ name: "relu6" type: "ReLU" bottom: "fc6" top: "fc6" }}
layer {{ name: "drop6" type: "Dropout" bottom: "fc6" top: DROPPED
  dropout_param {{ dropout_ratio: 0.3 FIELDS }} }}
layer {{ name: "fc7" type: "InnerProduct" bottom: DROPPED top: "fc7"
  inner_product_param {{ num_output: 4 {FILLER} }} }}
"""
KEPT = 0.7


def text(fields: str = "", top: str = "fc6") -> str:
    return NET.replace("DROPPED", f'"{top}"').replace("FIELDS", fields)


@pytest.fixture(autouse=True)
def nets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """fork.prototxt, usual.prototxt of Caffe 1.0, and params for both."""
    monkeypatch.chdir(tmp_path)
    Path("fork.prototxt").write_text(text("scale_train: false"))
    Path("usual.prototxt").write_text(text())
    ns.init("usual.prototxt", "w.caffemodel", seed=1)
    with ns.edit("usual.prototxt", "w.caffemodel", [f"fc7[0]*={KEPT}"]) as scaled:
        scaled.save("scaled.caffemodel")


def picture() -> dict[str, NDArray[np.float32]]:
    return {"data": np.random.default_rng(3).standard_normal((2, 3, 6, 6)).astype(np.float32)}


@pytest.mark.parametrize("top", ["fc6", "drop6"])
def test_an_open_net_has_the_numbers_of_the_forks_definition(top: str) -> None:
    Path("fork.prototxt").write_text(text("scale_train: false", top))
    (data,) = picture().values()
    with ns.Net("fork.prototxt", "w.caffemodel", engine="embedded") as net:
        values = net.forward(data=data, blobs=[top, "fc7"])
        params = [
            [np.array(net.params[name][i], np.float64) for i in (0, 1)] for name in ("fc6", "fc7")
        ]
    (weight, bias), (next_weight, next_bias) = params
    dropped = KEPT * np.maximum(data.reshape(2, -1) @ weight.T + bias, 0)
    np.testing.assert_allclose(values[top], dropped, rtol=1e-5, atol=1e-6)
    expected = dropped @ next_weight.T + next_bias
    np.testing.assert_allclose(values["fc7"], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.caffe
def test_it_is_real_caffes_net_of_another_weight() -> None:
    with ns.Net("fork.prototxt", "w.caffemodel", engine="embedded") as net:
        fork = net.forward(picture())["fc7"]
    with ns.Net("usual.prototxt", "scaled.caffemodel", engine="caffe") as net:
        caffe = net.forward(picture())["fc7"]
    assert np.abs(fork - caffe).max() <= 1e-5 * np.abs(caffe).max()


def test_verify_and_diff(capsys: pytest.CaptureFixture[str]) -> None:
    words = "verify fork.prototxt w.caffemodel usual.prototxt".split()
    assert run([*words, "w.caffemodel", "--engine", "embedded"]) == 1
    assert "first blob that differs: fc6 of layer fc6" in capsys.readouterr().out
    assert run([*words, "scaled.caffemodel", "--engine", "embedded"]) == 0
    assert run(["diff", "usual.prototxt", "fork.prototxt"]) == 1
    assert "dropout_param.scale_train: (none) -> false" in capsys.readouterr().out
    Path("true.prototxt").write_text(text("scale_train: true"))
    assert run(["diff", "usual.prototxt", "true.prototxt"]) == 0


@pytest.mark.parametrize(("fields", "followed"), [("", True), ("scale_train: false", False)])
def test_diff_looks_through_one_that_passes_its_numbers_on(fields: str, followed: bool) -> None:
    """fc7 under another name is found by its bottom, where a Dropout before it went."""
    Path("old.prototxt").write_text(text(fields, "drop6"))
    new = text(top="fc6").replace('"fc7"', '"score"')
    start, end = new.index('layer { name: "drop6"'), new.index('layer { name: "score"')
    more = 'layer { name: "other" type: "InnerProduct" bottom: "data" top: "other" }\n'
    Path("new.prototxt").write_text(new[:start] + more + new[end:])
    matched = ns.diff("old.prototxt", "new.prototxt").net.matched
    assert (("fc7", "score") in matched) is followed


def test_it_is_converted_and_exported() -> None:
    with ns.convert("fork.prototxt", "w.caffemodel", verify=True, engine="embedded") as result:
        result.save("out")
    assert "scale_train: false" in Path("out/fork_full_conv.prototxt").read_text()
    ns.export_onnx("fork.prototxt", "w.caffemodel").save("fork.onnx")
    import onnxruntime

    session = onnxruntime.InferenceSession("fork.onnx", providers=["CPUExecutionProvider"])
    (exported,) = session.run(["fc7"], picture())
    with ns.Net("fork.prototxt", "w.caffemodel", engine="embedded") as net:
        np.testing.assert_allclose(exported, net.forward(picture())["fc7"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ("scale_train: false dropout_ratio: 1", "dropout_ratio 1; expected at least 0 and below 1"),
        ("scale_train: false dropout_ratio: nan", "dropout_ratio nan; expected"),
        ("scale_train: maybe", "found maybe, expected true or false"),
        ("scale_train: false sample_weights_test: true", "a field sample_weights_test"),
    ],
)
def test_what_is_refused(fields: str, what: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("fork.prototxt").write_text(text().replace("dropout_ratio: 0.3", fields))
    assert run("export fork.prototxt w.caffemodel -o out.onnx".split()) == 1
    assert what in capsys.readouterr().err
    assert not Path("out.onnx").exists()
