"""The library: open nets, and the commands' verbs as calls."""

from __future__ import annotations

import html
import mmap
import os
import pickle
import re
import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_models import model_layer, write_hdf5, write_model

import netsurgery as ns

EMBEDDED = ns.EngineOptions("embedded", threads=2)
TWO = """\
name: "two"  # by hand
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 1 dim: 2 dim: 6 dim: 6 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 3 kernel_size: 2 } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "fc" type: "InnerProduct" bottom: "conv" top: "fc"
  inner_product_param { num_output: 4 } }
"""
WEIGHT = np.arange(24, dtype=np.float32).reshape(3, 2, 2, 2)
BIAS = np.array([1, 2, 3], np.float32)
FC = np.arange(300, dtype=np.float32).reshape(4, 75)
FC_BIAS = np.zeros(4, np.float32)
#: What is called with arguments of wrong types.
LIBRARY: Any = ns


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, repo_root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with a small net and the bundled one in it."""
    monkeypatch.chdir(tmp_path)
    Path("two.prototxt").write_text(TWO)
    two("two.caffemodel")
    shutil.copy(repo_root / "prototxt/digits_deploy.prototxt", "digits.prototxt")
    shutil.copy(repo_root / "models/digits/digits.caffemodel", "digits.caffemodel")
    shutil.copy(repo_root / "models/digits/digits_labels.txt", "labels.txt")
    shutil.copy(repo_root / "examples/digits_canvas.png", "canvas.png")
    return tmp_path


def two(path: str, how: str = "packed") -> Path:
    return write_model(
        Path(path),
        model_layer("conv", "Convolution", WEIGHT, BIAS, bottoms=["data"], tops=["conv"], how=how),
        model_layer("other", "Convolution", WEIGHT, how=how),
        model_layer("fc", "InnerProduct", FC, FC_BIAS, bottoms=["conv"], tops=["fc"], how=how),
    )


def opened(weights: str | None = "two.caffemodel") -> ns.Net:
    return ns.Net("two.prototxt", weights)


def test_a_net_says_what_the_prototxt_says() -> None:
    with opened(None) as net:
        assert (net.name, net.text) == ("two", TWO)
        assert [(layer.name, layer.type) for layer in net.layers] == [
            ("data", "Input"),
            ("conv", "Convolution"),
            ("relu", "ReLU"),
            ("fc", "InnerProduct"),
        ]
        assert (net.inputs, net.outputs) == (("data",), ("fc",))
        assert {name: blob.shape for name, blob in net.blobs.items()} == {
            "data": (1, 2, 6, 6),
            "conv": (1, 3, 5, 5),
            "fc": (1, 4),
        }
        assert repr(net.blobs) == "{'data': 1x2x6x6; 'conv': 1x3x5x5; 'fc': 1x4}"
        assert repr(net) == "<Net 'two': two.prototxt, no weights>"


def test_shapes_and_fields_at_another_input() -> None:
    net = opened(None)
    assert net.shapes({"data": (2, 2, 9, 8)}).blobs["conv"] == (2, 3, 8, 7)
    assert net.fields()["conv"].size == (Fraction(2), Fraction(2))
    assert net.fields({"data": (1, 2, 9, 8)})["fc"].size == (Fraction(9), Fraction(8))
    with pytest.raises(ns.NetError) as caught:
        net.shapes({"image": (2, 2, 9, 8)})
    assert str(caught.value) == "two.prototxt: no input 'image'; its inputs are data"
    with pytest.raises(ns.PrototxtError, match="the input is too small"):
        net.shapes({"data": (1, 2, 0, 0)})


def test_params_are_those_of_the_file_in_the_nets_order() -> None:
    with opened() as net:
        assert list(net.params) == ["conv", "fc"]
        assert net.params["conv"].shapes == ((3, 2, 2, 2), (3,))
        assert [array.shape for array in net.params["fc"]] == [(4, 75), (4,)]
        assert net.params["conv"][-1].tolist() == [1, 2, 3]
        assert [array.ndim for array in net.params["conv"][:]] == [4, 1]
        np.testing.assert_array_equal(net.params["fc"][0], FC)
        assert repr(net.params) == "{'conv': 3x2x2x2, 3; 'fc': 4x75, 4}"
        assert repr(net.params["fc"]) == "<params of 'fc': 4x75, 4>"


def test_a_param_is_a_view_of_the_mapped_file() -> None:
    with opened() as net:
        array: Any = net.params["fc"][0]
        assert array is net.params["fc"][0]
        base: Any = array
        while isinstance(base, np.ndarray):
            base = base.base
        base = base.obj if isinstance(base, memoryview) else base
        assert isinstance(base, mmap.mmap)
    assert float(array.sum()) == FC.sum()  # the mapping outlives the net
    assert type(pickle.loads(pickle.dumps(array))) is np.ndarray


@pytest.mark.parametrize("how", ["packed", "single", "double", "legacy", "hdf5"])
def test_writing_changes_the_array_and_never_the_file(how: str) -> None:
    path = Path("other.caffemodel")
    if how == "hdf5":
        write_hdf5(path, conv=[WEIGHT, BIAS], fc=[FC, FC_BIAS])
    else:
        two(str(path), how)
    before = path.read_bytes()
    with opened(str(path)) as net:
        assert net.params["fc"][0].shape == (4, 75)
        assert net.changed() == []
        net.params["conv"][1] += 1
        net.params["fc"][0][2, 3] = -7
        assert net.changed() == ["conv", "fc"]
        net.save("new.caffemodel")
    assert path.read_bytes() == before
    with opened("new.caffemodel") as net:
        assert net.params["conv"][1].tolist() == [2, 3, 4]
        expected = FC.copy()
        expected[2, 3] = -7
        np.testing.assert_array_equal(net.params["fc"][0], expected)
        np.testing.assert_array_equal(net.params["conv"][0], WEIGHT)


def test_all_but_what_changed_is_saved_byte_for_byte() -> None:
    before = Path("two.caffemodel").read_bytes()
    with opened() as net:
        net.save("same.caffemodel", "same.prototxt")
        net.params["conv"][1][1] = 20
        net.save("new.caffemodel")
    assert Path("same.caffemodel").read_bytes() == before
    assert Path("same.prototxt").read_text() == TWO
    at = before.index(BIAS.tobytes(), before.index(WEIGHT.tobytes()) + WEIGHT.nbytes)
    new = np.array([1, 20, 3], np.float32).tobytes()
    assert Path("new.caffemodel").read_bytes() == before[:at] + new + before[at + 12 :]


def test_what_is_written_and_taken_back_is_no_change() -> None:
    with opened() as net:
        net.params["conv"][0][...] = np.nan
        assert net.changed() == ["conv"]
        net.params["conv"][0] = WEIGHT
        assert net.changed() == []
        net.params["fc"][1][...] = -0.0
        assert net.changed() == ["fc"]


def test_hdf5_out_and_in() -> None:
    with opened() as net:
        net.params["conv"][1] *= 2
        net.save("new.caffemodel.h5")
    with opened("new.caffemodel.h5") as net:
        assert net.params["conv"][1].tolist() == [2, 4, 6]
        net.params["conv"][1] *= 2
        net.save("again.caffemodel.h5")
    with opened("again.caffemodel.h5") as net:
        assert net.params["conv"][1].tolist() == [4, 8, 12]
        np.testing.assert_array_equal(net.params["fc"][0], FC)


def test_layers_that_share_a_param_see_one_array() -> None:
    text = TWO.replace('layer { name: "relu"', 'layer { name: "relu"').replace(
        'bottom: "data" top: "conv"\n', 'bottom: "data" top: "conv" param { name: "w" }\n'
    )
    text += (
        'layer { name: "twin" type: "Convolution" bottom: "data" top: "twin" param { name: "w" }\n'
        "  convolution_param { num_output: 3 kernel_size: 2 } }\n"
    )
    Path("shared.prototxt").write_text(text)
    write_model(
        Path("shared.caffemodel"),
        model_layer("conv", "Convolution", WEIGHT, BIAS),
        model_layer("twin", "Convolution", WEIGHT, BIAS),
    )
    with ns.Net("shared.prototxt", "shared.caffemodel") as net:
        assert net.params["twin"][0] is net.params["conv"][0]
        assert net.params["twin"][1] is not net.params["conv"][1]
        net.params["twin"][0][...] = 5
        net.save("new.caffemodel")
    with ns.Net(no_names(text), "new.caffemodel") as net:
        assert net.params["conv"][0].max() == net.params["twin"][0].min() == 5
        assert net.params["twin"][1].tolist() == [1, 2, 3]


def no_names(text: str) -> str:
    Path("apart.prototxt").write_text(text.replace('param { name: "w" }', ""))
    return "apart.prototxt"


def test_only_values_of_the_params_own_shape_are_taken() -> None:
    with opened() as net:
        with pytest.raises(ns.SurgeryError) as caught:
            net.params["conv"][0] = WEIGHT.reshape(3, 8)
        assert str(caught.value) == (
            "layer 'conv', param 0: found an array of shape 3x8, expected 3x2x2x2; reshape it first"
        )
        with pytest.raises(ns.SurgeryError) as caught:
            net.params["conv"][-1] = 1.0
        assert str(caught.value) == (
            "layer 'conv', param 1: found an array of shape scalar, expected 3"
        )
        assert net.changed() == []


def test_flat_repeats_and_truncates_nothing() -> None:
    with opened() as net:
        array: Any = net.params["fc"][0]
        for count in (299, 301, 75):
            with pytest.raises(ns.SurgeryError) as caught:
                array.flat = np.ones(count)
            assert str(caught.value) == (
                f"{count} numbers for a param of 300 (4x75); nothing is repeated or left out"
            )
        with pytest.raises(ns.SurgeryError):
            array[1].flat = [1, 2]
        assert net.changed() == []
        array.flat = FC[::-1].flat
        np.testing.assert_array_equal(array, FC[::-1].ravel().reshape(4, 75))
        array.flat = 3
        assert set(array.flat) == {3.0}


def test_what_is_computed_from_params_is_plain() -> None:
    with opened() as net:
        array = same = net.params["conv"][1]
        assert type(array * 2) is type(np.maximum(array, 2)) is np.ndarray
        assert type(array.sum()) is type(array.max()) is np.float32
        array += 1
        assert array is same
        assert net.changed() == ["conv"]


def test_params_that_are_not_there() -> None:
    with opened() as net:
        assert "conv" in net.params
        assert "other" not in net.params  # the model has it, the net does not
        assert net.params.get("relu") is None
        with pytest.raises(ns.NetError) as caught:
            _ = net.params["relu"]
        assert isinstance(caught.value, KeyError)
        assert str(caught.value) == (
            "two.caffemodel: no params for layer 'relu'; its layers with params are conv, fc"
        )
        with pytest.raises(ns.NetError) as caught:
            _ = net.params["fc"][2]
        assert isinstance(caught.value, IndexError)
        assert str(caught.value) == "layer 'fc': there is no param 2; it has 2"
    with opened(None) as net:
        assert (len(net.params), net.changed()) == (0, [])
        with pytest.raises(ns.NetError) as caught:
            _ = net.params["fc"]
        assert str(caught.value) == (
            "two.prototxt: opened without weights, so layer 'fc' has no params; ns.init fills them"
        )
        with pytest.raises(ns.NetError, match="opened without weights, so that none can be saved"):
            net.save("new.caffemodel")


def test_a_param_of_another_shape_than_the_nets_is_refused() -> None:
    write_model(Path("odd.caffemodel"), model_layer("fc", "InnerProduct", FC[:, :70], FC_BIAS))
    with opened("odd.caffemodel") as net, pytest.raises(ns.SurgeryError) as caught:
        _ = net.params["fc"][0]
    assert str(caught.value) == "layer 'fc': param 0 is 4x70 in the model, expected 4x75"


def test_a_closed_net_says_so() -> None:
    net = opened()
    net.close()
    for call in (lambda: net.params["fc"][0], lambda: net.save("new.caffemodel")):
        with pytest.raises(ns.NetError) as caught:
            call()
        assert str(caught.value) == "two.prototxt: the net is closed"
    assert not Path("new.caffemodel").exists()


def test_a_file_that_changed_is_not_saved() -> None:
    with opened() as net:
        net.params["fc"][1][...] = 1
        os.utime("two.caffemodel", ns=(1, 1))
        with pytest.raises(ns.CaffemodelError, match="has changed since it was opened"):
            net.save("new.caffemodel")
        with pytest.raises(ns.CaffemodelError, match="has changed since it was opened"):
            _ = net.params["conv"][0]
    assert not Path("new.caffemodel").exists()


def test_saving_replaces_nothing_unasked_and_never_its_own_files() -> None:
    with opened() as net:
        Path("there.caffemodel").write_text("old")
        with pytest.raises(ns.OutputError, match=r"there\.caffemodel: exists already"):
            net.save("there.caffemodel", "new.prototxt")
        assert not Path("new.prototxt").exists()
        net.save("there.caffemodel", force=True)
        for weights, prototxt in (("two.caffemodel", None), ("x.caffemodel", "two.prototxt")):
            with pytest.raises(ns.OutputError, match="is an input too"):
                net.save(weights, prototxt, force=True)
    assert Path("there.caffemodel").read_bytes() == Path("two.caffemodel").read_bytes()


def test_convert_classify_and_draw() -> None:
    conversion = ns.convert(
        "digits.prototxt", "digits.caffemodel", "out", input_size=(192, 288),
        settings=ns.Settings(labels=Path("labels.txt")), engine=EMBEDDED, verify=True,
    )  # fmt: skip
    assert conversion.plan.moves[0].new == ((96, 32, 2, 2), (96,))
    assert conversion.verification is not None
    assert conversion.verification.same
    class_map = ns.classify_map("canvas.png", conversion.paths.settings, engine=EMBEDDED)
    assert class_map.shape == class_map.argmax().shape == (21, 33)
    windows = class_map.windows()
    assert windows is not None
    assert windows[0, 0].tolist() == [0, 0, 32, 32]
    dense = ns.features(
        "canvas.png", "ip1-conv", conversion.paths.settings, size=(48, 40), engine=EMBEDDED
    )
    assert dense["ip1-conv"].values.shape == (96, 3, 2)
    picture = class_map.to_picture()
    assert picture.mode == "RGB"
    again = class_map.to_picture("7")
    assert again.width == picture.width
    assert again.tobytes() != picture.tobytes()
    with pytest.raises(ns.NetError, match="class 11: blob 'prob' has 11 classes, 0 to 10"):
        class_map.to_picture(11)


def test_settings_by_their_names_and_features() -> None:
    settings = ns.Settings(prototxt="digits.prototxt", weights="digits.caffemodel")
    extracted = ns.features("canvas.png", ["pool3", "ip1"], settings, engine=EMBEDDED)
    assert {name: of_picture.values.shape for name, of_picture in extracted.items()} == {
        "pool3": (32, 2, 2),
        "ip1": (96,),
    }
    assert extracted["pool3"].geometry()["stride"] == [8, 8]
    picture = ns.read_picture("canvas.png")
    of_picture = ns.features(picture, "conv1", settings, size=(32, 32), engine=EMBEDDED)
    assert of_picture["conv1"].values.shape == (16, 28, 28)
    with pytest.raises(ns.NetError, match="no blob 'fc9'"):
        ns.features(picture, ["fc9"], settings)


def test_init_and_edit() -> None:
    planned = ns.init("two.prototxt", "fresh.caffemodel", dry_run=True)
    assert [(param.layer, param.index, param.shape) for param in planned.params][:2] == [
        ("conv", 0, (3, 2, 2, 2)),
        ("conv", 1, (3,)),
    ]
    assert not Path("fresh.caffemodel").exists()
    ns.init("two.prototxt", "fresh.caffemodel", seed=3)
    result = ns.edit("two.prototxt", "fresh.caffemodel", ["conv[1]=4"], "new.caffemodel")
    assert [step.operation for step in result.steps] == ["conv[1]=4"]
    assert result.text == Path("two.prototxt").read_text()
    assert result.written == ("new.caffemodel",)
    assert opened("new.caffemodel").params["conv"][1].tolist() == [4, 4, 4]
    dry = ns.edit("two.prototxt", "fresh.caffemodel", "conv[1]=5", "dry.caffemodel", dry_run=True)
    assert len(dry.steps) == 1
    assert not Path("dry.caffemodel").exists()
    with pytest.raises(ns.SurgeryError):
        ns.edit("two.prototxt", "fresh.caffemodel", ["nothing[1]=4"], "no.caffemodel")


def test_transplant_into_the_text_of_a_full_conv_net() -> None:
    with opened() as net:
        Path("dense.prototxt").write_text(ns.convert(net, input_size=(6, 6)).text)
    done = ns.transplant(
        ("two.prototxt", "two.caffemodel"), ("dense.prototxt", None), "dense.caffemodel",
        names={"fc": "fc-conv"}, strict=True,
    )  # fmt: skip
    assert done.counts["copied"] == 3
    assert done.counts["reshaped"] == 1
    with ns.Net("dense.prototxt", "dense.caffemodel") as dense:
        np.testing.assert_array_equal(dense.params["fc-conv"][0], FC.reshape(4, 3, 5, 5))
    pair = ("two.prototxt", "two.caffemodel")
    same = ns.verify(pair, ("dense.prototxt", "dense.caffemodel"), random=2, engine=EMBEDDED)
    assert same.same
    assert same.samples == 2
    seen = ns.diff(pair, ("dense.prototxt", "dense.caffemodel"))
    assert [param.status for param in seen.params] == [
        "equal",
        "equal",
        "removed",
        "reshaped",
        "equal",
    ]


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (
            lambda a: LIBRARY.verify(a, a, seed=-1),
            ns.NetError,
            "seed -1: expected a whole number from 0",
        ),
        (
            lambda a: LIBRARY.verify(a, a, tolerance=-1),
            ns.NetError,
            "tolerance -1: expected a number",
        ),
        (
            lambda a: LIBRARY.verify_tiles(a, "cat.png", 48, tolerance=-1),
            ns.NetError,
            "tolerance -1: expected a number",
        ),
        (
            lambda a: LIBRARY.verify(a, a, tolerance=float("nan")),
            ns.NetError,
            "tolerance nan: expected",
        ),
        (
            lambda a: LIBRARY.verify(a, a, engine=()),
            ns.EngineError,
            "0 engines: expected one, or one for",
        ),
        (
            lambda a: LIBRARY.verify(a, a, engine=("auto",) * 3),
            ns.EngineError,
            "3 engines: expected one",
        ),
        (
            lambda a: LIBRARY.export_onnx(*a, weights_storage="x"),
            ns.OutputError,
            "'x': expected inside",
        ),
        (lambda a: LIBRARY.inspect(*a, sizes={"data": ()}), ns.PrototxtError, "layer 'conv1'"),
        (
            lambda a: LIBRARY.convert(*a, layers=[]),
            ns.SurgeryError,
            "layers: found none, expected one",
        ),
        (lambda a: LIBRARY.diff(a[:1], a), TypeError, "expected a prototxt, a file of weights"),
        (
            lambda a: LIBRARY.diff((a[0], None), a),
            TypeError,
            "expected a prototxt, a file of weights",
        ),
        (lambda a: LIBRARY.diff(3, 4), TypeError, "found 3, expected a prototxt"),
        (
            lambda a: LIBRARY.transplant(a, a, names=["ip1"]),
            TypeError,
            "names: found ['ip1'], expected",
        ),
        (
            lambda a: LIBRARY.transplant(a, a, names={"ip1": 3}),
            TypeError,
            "names: found 3, expected",
        ),
    ],
)
def test_what_no_call_takes_is_refused_by_name(
    call: Callable[[Any], Any], error: type[Exception], says: str, repo_root: Path
) -> None:
    files = (
        repo_root / "prototxt/digits_deploy.prototxt",
        repo_root / "models/digits/digits.caffemodel",
    )
    with pytest.raises(error, match=re.escape(says)):
        call(files)


def test_diff_of_one_kind_only() -> None:
    assert ns.diff("two.prototxt", "two.prototxt").same
    assert ns.diff("two.caffemodel", "two.caffemodel").same
    assert not ns.diff("two.caffemodel", "digits.caffemodel").same
    with pytest.raises(ns.NetError) as caught:
        ns.diff("two.prototxt", "two.caffemodel")
    assert str(caught.value) == (
        "a net can be compared with a net, weights with weights, or both with both"
    )


def test_inspect_a_net_its_weights_or_both() -> None:
    both = ns.inspect("two.prototxt", "two.caffemodel", statistics=True, fields=True)
    assert both.extra == ("other",)
    conv = next(layer for layer in both.layers if layer.name == "conv")
    assert (conv.statistics[1].mean, conv.count) == (2.0, 27)
    assert ns.inspect("two.caffemodel").total.params == 24 + 3 + 24 + 304
    assert ns.inspect("two.prototxt", sizes={"data": (6, 6)}).total.params == 27 + 304
    with pytest.raises(ns.NetError, match="weights alone have no sizes and fields"):
        ns.inspect("two.caffemodel", fields=True)


def test_shapes_that_no_prototxt_has_are_given() -> None:
    text = Path("two.prototxt").read_text()
    Path("data.prototxt").write_text(text.replace('type: "Input"', 'type: "Data"'))
    shapes = {"data": (1, 2, 5, 5)}
    inspection = ns.inspect("data.prototxt", "two.caffemodel", input_shapes=shapes)
    assert [layer.params for layer in inspection.layers] == [
        layer.params for layer in ns.inspect("two.prototxt", sizes={"data": (5, 5)}).layers
    ]
    with pytest.raises(ns.SurgeryError, match="the shape of 'data' is not known"):
        ns.init("data.prototxt", "fresh.caffemodel", dry_run=True)
    planned = ns.init("data.prototxt", "fresh.caffemodel", input_shapes=shapes, dry_run=True)
    assert planned.params[0].shape == (3, 2, 2, 2)
    for call in (
        lambda: ns.inspect("data.prototxt", input_shapes={"conv": (1, 2, 3, 4)}),
        lambda: ns.init("data.prototxt", "no.caffemodel", input_shapes={"conv": (1, 2, 3, 4)}),
    ):
        with pytest.raises(ns.NetError, match="a shape is given for 'conv', expected an input"):
            call()
    with pytest.raises(ns.NetError, match="weights alone have no sizes and fields"):
        ns.inspect("two.caffemodel", input_shapes=shapes)


def test_verify_on_a_picture() -> None:
    pair = ("digits.prototxt", "digits.caffemodel")
    verification = ns.verify(pair, pair, images=["canvas.png"], engine=(EMBEDDED, EMBEDDED))
    assert (verification.samples, verification.same) == (1, True)
    picture = ns.read_picture("canvas.png")
    verification = ns.verify(pair, pair, images=[picture.pixels, picture], engine=EMBEDDED)
    assert (verification.samples, verification.same) == (2, True)
    with pytest.raises(TypeError, match="picture 0: found int; expected a path"):
        ns.verify(pair, pair, images=[7])  # type: ignore[list-item]
    two = ("two.prototxt", "two.caffemodel")
    with pytest.raises(ns.ImageError, match="2 channels"):
        ns.verify(two, two, images=["canvas.png"])


@pytest.mark.parametrize("random", [0, -1])
def test_verify_on_nothing(random: int) -> None:
    pair = ("digits.prototxt", "digits.caffemodel")
    with pytest.raises(ns.NetError, match="expected 1 or more, or a picture"):
        ns.verify(pair, pair, random=random, engine=EMBEDDED)


def test_verify_reads_a_v0_net_for_pictures_too() -> None:
    Path("v0.prototxt").write_text(
        'input: "data" input_dim: 1 input_dim: 2 input_dim: 6 input_dim: 6\n'
        'layers { layer { name: "r" type: "relu" } bottom: "data" top: "r" }\n'
    )
    pair = ("v0.prototxt", "two.caffemodel")
    with pytest.raises(ns.ImageError, match="2 channels"):
        ns.verify(pair, pair, images=["canvas.png"])


def test_words_and_names_that_mean_nothing_are_reported() -> None:
    model = ns.Settings(prototxt=Path("digits.prototxt"), weights=Path("digits.caffemodel"))
    with pytest.raises(ns.SettingsError, match="fit 'fill': expected warp, crop, pad"):
        ns.PictureOptions(fit="fill")  # type: ignore[arg-type]
    with pytest.raises(ns.NetError, match="no blob is named"):
        ns.features("canvas.png", [], model, engine=EMBEDDED)
    with pytest.raises(ns.NetError, match="a shape is given for 'nope', expected an input"):
        ns.convert("two.prototxt", input_shapes={"nope": (1, 2, 6, 6)})


def test_one_layer_to_convert_may_be_named_alone() -> None:
    plan = ns.convert("two.prototxt", layers="fc").plan
    assert [move.layer for move in plan.moves] == ["fc"]


def test_upgrade_and_export() -> None:
    text = 'layers { name: "a" type: POWER bottom: "x" top: "y" }\n'
    Path("v1.prototxt").write_text(
        f'input: "x" input_dim: 1 input_dim: 1 input_dim: 2 input_dim: 2\n{text}'
    )
    dry = ns.upgrade("v1.prototxt", "v2.prototxt", dry_run=True)
    assert (dry.kind, dry.generation) == ("prototxt", "V1")
    assert not Path("v2.prototxt").exists()
    assert ns.upgrade("v1.prototxt", "v2.prototxt").steps == dry.steps
    assert ns.Net("v2.prototxt").layers[-1].type == "Power"
    onnx = ns.export_onnx("two.prototxt", "two.caffemodel", "two.onnx")
    assert onnx.written == ("two.onnx",)
    assert onnx.size == Path("two.onnx").stat().st_size


def test_engines_take_what_a_net_was_saved_to() -> None:
    with opened() as net:
        net.params["conv"][0][...] = 0
        net.params["conv"][1] = np.array([0, 1, -1], np.float32)
        net.save("new.caffemodel")
    blob = np.ones((1, 2, 7, 6), np.float32)
    with (
        ns.open_engine(EMBEDDED) as engine,
        engine.load(Path("two.prototxt"), Path("new.caffemodel")) as loaded,
    ):
        output = loaded.forward({"data": blob[:, :, :6]}, ["conv"])["conv"]
    assert output.mean(axis=(0, 2, 3)).tolist() == [0, 1, 0]


def test_the_readmes_example_runs(
    repo_root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The block of Python in the section "From Python", in a folder like the repository's root."""
    monkeypatch.setenv("NETSURGERY_CAFFE_PYTHON", str(repo_root / "no-caffe"))  # auto: embedded
    text = (repo_root / "README.md").read_text(encoding="utf-8")
    match = re.search(r"## From Python\n.*?```python\n(.*?)```", text, re.DOTALL)
    assert match is not None
    for name in ("prototxt", "models", "examples"):
        Path(name).symlink_to(repo_root / name)
    exec(compile(match[1], "README.md", "exec"), {"__name__": "readme"})
    assert capsys.readouterr().out.endswith("[ 0.  0. 32. 32.]\n(1, 11) (96, 128)\n")
    assert Path("map.png").stat().st_size > 10_000
    with ns.Net("smaller.prototxt", "smaller.caffemodel") as smaller:
        shapes = {name: [each.shape for each in its] for name, its in smaller.params.items()}
    assert shapes["conv1"][0][0] == shapes["conv2"][0][1] == 16 - 4
    assert shapes["ip1"][0][0] == shapes["ip2"][0][1] == 96 - 6
    same = ns.diff("digits.caffemodel", "less_background.caffemodel").params
    assert [(param.layer, param.index) for param in same if param.status != "equal"] == [("ip2", 1)]


def test_values_that_became_nan_are_not_saved() -> None:
    with opened() as net:
        net.params["conv"][1][1:] = [np.nan, -np.inf]
        with pytest.raises(ns.NetError) as caught:
            net.save("new.caffemodel")
        assert str(caught.value) == (
            "layer 'conv', param 1: 2 values that became NaN or infinite; nothing is saved"
        )
        assert not Path("new.caffemodel").exists()
        net.params["conv"][1][1:] = 0
        net.save("new.caffemodel")


def test_nan_that_the_file_has_is_kept() -> None:
    bias = np.array([1, np.nan, 3], np.float32)
    write_model(Path("nan.caffemodel"), model_layer("conv", "Convolution", WEIGHT, bias))
    with opened("nan.caffemodel") as net:
        net.params["conv"][1][0] = 5
        net.save("new.caffemodel")
    with opened("new.caffemodel") as net:
        np.testing.assert_array_equal(net.params["conv"][1], [5, np.nan, 3])


def test_a_blob_that_is_not_there_is_reported() -> None:
    Path("two.prototxt").write_text(TWO + 'layer { name: "w" type: "Warp" top: "w" bottom: "fc" }')
    with opened(None) as net:
        with pytest.raises(ns.NetError) as caught:
            net.blobs["zz"]
        assert isinstance(caught.value, KeyError)
        assert str(caught.value) == "two.prototxt: no blob 'zz'; its blobs are data, conv, fc, w"
        with pytest.raises(ns.BlobMissing, match="shape of blob 'w' is not known: layer 'w' is of"):
            _ = net.blobs["w"].shape
        assert repr(net.blobs["w"]) == "<blob 'w': shape not known>"
        assert net.blobs.get("zz") is None


def test_a_notebook_shows_the_layers_of_a_net() -> None:
    for weights in ("two.caffemodel", None):
        with opened(weights) as net:
            table = net._repr_html_()
            assert html.escape(repr(net)) in table
            cells = re.findall(r"<t[dh][^>]*>([^<]*)<", table)
            for cell in ("layer", "conv", "Convolution", "1x3x5x5", "3x2x2x2, 3", "4x75, 4"):
                assert cell in cells
    with opened("two.caffemodel") as net:
        net.forward(data=np.ones((9, 2, 6, 6)), engine=EMBEDDED)
        assert ">9x3x5x5<" in net._repr_html_()


def test_a_net_of_stages() -> None:
    rules = TWO.replace('bottom: "conv" top: "fc"', 'bottom: "conv" top: "fc" include { RULE }')
    Path("staged.prototxt").write_text(rules.replace("RULE", 'stage: "deploy" min_level: 1'))
    with ns.Net("staged.prototxt") as net:
        assert "fc" not in net.blobs
    for stages in ("deploy", ["deploy", "other"]):
        with ns.Net("staged.prototxt", "two.caffemodel", stages=stages, level=1) as net:
            assert net.blobs["fc"].shape == (1, 4)
            assert [move.layer for move in ns.convert(net).plan.moves] == ["fc"]
    with pytest.raises(ns.NetError, match="found the phase 'TSET', expected TEST or TRAIN"):
        ns.Net("staged.prototxt", phase="tset")  # type: ignore[arg-type]


def test_verbs_say_what_they_take() -> None:
    pair = ("two.prototxt", "two.caffemodel")
    takers: list[Callable[..., Any]] = [ns.convert, ns.export_onnx, ns.inspect, ns.edit]
    with opened() as net:
        net.params["conv"][1][0] += 1
        for take in takers:
            with pytest.raises(TypeError) as caught:
                take(net, "two.caffemodel")
            assert str(caught.value) == "an open net has its weights; found others, expected none"
    takers.append(ns.init)
    for take in takers:
        with pytest.raises(TypeError, match="found 7, expected a prototxt or an open net"):
            take(7)
    weights_takers: list[Callable[[], Any]] = [
        lambda: ns.convert(pair[0], 7),  # type: ignore[arg-type]
        lambda: ns.draw(pair[0], 7),  # type: ignore[arg-type]
        lambda: ns.edit(pair[0], 7, "conv[0]=0"),  # type: ignore[arg-type]
        lambda: ns.export_onnx(pair[0], 7),  # type: ignore[arg-type]
        lambda: ns.inspect(pair[0], 7),  # type: ignore[arg-type]
        lambda: ns.Net(pair[0], 7),  # type: ignore[arg-type]
        lambda: ns.verify(pair, (pair[0], 7)),  # type: ignore[arg-type]
    ]
    for call in weights_takers:
        with pytest.raises(TypeError, match=r"^weights: found 7, expected a file's name$"):
            call()
    with pytest.raises(ns.SurgeryError, match="found no operation"):
        ns.edit(*pair)
    for wrong in ("two.prototxt", ("two.prototxt",), None):
        with pytest.raises(TypeError, match=r"expected \(prototxt, weights\) or an open net"):
            ns.transplant(pair, wrong)  # type: ignore[arg-type]
