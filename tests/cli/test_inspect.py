"""The command `inspect`: what it prints, what it takes, and what it costs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from run_alone import run_alone
from small_models import model_layer, sparse_model, write_hdf5, write_model

from netsurgery.cli import run


@pytest.fixture
def digits(repo_root: Path) -> tuple[str, str]:
    """The bundled net: prototxt and caffemodel."""
    return (
        str(repo_root / "prototxt" / "digits_deploy.prototxt"),
        str(repo_root / "models" / "digits" / "digits.caffemodel"),
    )


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def inspected(capsys: pytest.CaptureFixture[str], *args: str, code: int = 0) -> list[str]:
    """The lines printed; nothing on standard error."""
    assert run(["inspect", *args]) == code
    out, err = capsys.readouterr()
    assert err == ""
    return out.splitlines()


def refused(capsys: pytest.CaptureFixture[str], *args: str, code: int = 1) -> str:
    assert run(["inspect", *args]) == code
    out, err = capsys.readouterr()
    assert out == ""
    return err.strip().splitlines()[-1]


def test_a_net_and_its_weights(capsys: pytest.CaptureFixture[str], digits: tuple[str, str]) -> None:
    lines = inspected(capsys, *digits)
    assert lines[:5] == [
        "layer  type          bottoms  tops   shapes      params          count  multiply-adds"
        "    memory",
        "data   Input                  data   1x1x32x32                                       "
        "   4.0 KiB",
        "conv1  Convolution   data     conv1  1x16x28x28  16x1x5x5, 16      416        313,600"
        "  49.0 KiB",
        "relu1  ReLU          conv1    conv1  1x16x28x28",
        "pool1  Pooling       conv1    pool1  1x16x14x14                                      "
        "  12.2 KiB",
    ]
    assert lines[-1] == (
        "total: 15 layers, 27,755 params (108.4 KiB), 1,137,952 multiply-adds, 90.7 KiB of blobs"
    )
    assert len(lines) == 17


def test_hdf5_weights(capsys: pytest.CaptureFixture[str], written: Path) -> None:
    (written / "n").write_text(
        """
        input: "x" input_shape { dim: [1, 4] }
        layer { name: "a" type: "InnerProduct" bottom: "x" top: "a"
                inner_product_param { num_output: 2 } }
        layer { name: "b" type: "InnerProduct" bottom: "x" top: "b" param { name: "w" }
                inner_product_param { num_output: 2 bias_term: false } }
        layer { name: "c" type: "InnerProduct" bottom: "x" top: "c" param { name: "w" }
                inner_product_param { num_output: 2 bias_term: false } }
        """
    )
    ones = np.ones((2, 4), np.float32)
    write_hdf5(written / "m", a=[ones, np.arange(2, dtype=np.float32)], b=[ones], c=[])
    lines = inspected(capsys, "n", "m", "--stats")
    assert lines[6:11] == [
        "param  min  max  mean  std  zeros  NaN  Inf  bytes",
        "a[0]     1    1     1    0      0    0    0     32",
        "a[1]     0    1   0.5  0.5      1    0    0      8",
        "b[0]     1    1     1    0      0    0    0     32",
        "c[0]     1    1     1    0      0    0    0     32",
    ]
    assert lines[-1] == "total: 3 layers, 18 params (72 B), 24 multiply-adds, 40 B of blobs"
    assert inspected(capsys, "m")[:2] == [
        "layer  type  bottoms  tops  params  count",
        "a                           2x4, 2     10",
    ]


def test_a_net_of_2013(capsys: pytest.CaptureFixture[str], written: Path) -> None:
    (written / "n").write_text(
        'layers { layer { name: "r" type: "relu" } bottom: "x" top: "r" } '
        'input: "x" input_dim: [1, 1, 2, 2]'
    )
    lines = inspected(capsys, "n")
    assert lines[2].split() == ["r", "ReLU", "x", "r", "1x1x2x2", "16", "B"]
    note = "the net is of Caffe's first generation (V0): it was upgraded first, as by `upgrade`"
    assert lines[3] == f"note: {note}"
    assert json.loads("\n".join(inspected(capsys, "n", "--json")))["notes"] == [note]


def test_which_file_is_which_is_recognised_by_content(
    capsys: pytest.CaptureFixture[str], digits: tuple[str, str], written: Path
) -> None:
    (written / "weights.prototxt").write_bytes(Path(digits[1]).read_bytes())
    (written / "net.caffemodel").write_bytes(
        b"\xef\xbb\xbf# a net\n" + Path(digits[0]).read_bytes()
    )
    expected = inspected(capsys, *digits)
    assert inspected(capsys, "weights.prototxt", "net.caffemodel") == expected
    assert inspected(capsys, "net.caffemodel") == expected


def test_a_model_alone(capsys: pytest.CaptureFixture[str], digits: tuple[str, str]) -> None:
    lines = inspected(capsys, digits[1])
    assert lines[0] == "layer  type          bottoms  tops   params          count"
    assert lines[2] == "conv1  Convolution   data     conv1  16x1x5x5, 16      416"
    assert lines[-1] == "total: 15 layers, 27,755 params (108.4 KiB)"


def test_fields(capsys: pytest.CaptureFixture[str], digits: tuple[str, str]) -> None:
    lines = inspected(capsys, digits[0], "--field")
    assert lines[0].endswith("memory        field  stride  offset")
    assert lines[7].split()[-3:] == ["12x12", "4x4", "0x0"]
    assert lines[15].split()[-4:] == ["32x32", "whole", "8x8", "0x0"]
    facts = json.loads("\n".join(inspected(capsys, digits[0], "--field", "--json")))
    (pool2,) = (layer for layer in facts["layers"] if layer["name"] == "pool2")
    assert pool2["fields"] == [
        {
            "input": "data",
            "size": [12.0, 12.0],
            "stride": [4.0, 4.0],
            "offset": [0.0, 0.0],
            "whole": False,
        }
    ]


def test_statistics(capsys: pytest.CaptureFixture[str], written: Path) -> None:
    weight = np.array([[0, 1, np.nan], [-3, 2, np.inf]], np.float32)
    nothing = np.full(2, np.nan, np.float32)
    write_model(written / "m", model_layer("ip", "InnerProduct", weight, nothing))
    lines = inspected(capsys, "m", "--stats")
    assert lines[3:6] == [
        "param  min  max  mean     std  zeros  NaN  Inf  bytes",
        "ip[0]   -3    2     0  1.8708      1    1    1     24",
        "ip[1]    -    -     -       -      0    2    0      8",
    ]
    facts = json.loads("\n".join(inspected(capsys, "m", "--stats", "--json")))
    weights, bias = facts["layers"][0]["statistics"]
    assert weights == {
        "count": 6,
        "min": -3.0,
        "max": 2.0,
        "mean": 0.0,
        "std": pytest.approx(np.sqrt(3.5)),
        "zeros": 1,
        "nans": 1,
        "infs": 1,
        "bytes": 24,
    }
    assert (bias["min"], bias["mean"], bias["std"], bias["nans"]) == (None, None, None, 2)


def test_json_says_the_same(capsys: pytest.CaptureFixture[str], digits: tuple[str, str]) -> None:
    facts = json.loads("\n".join(inspected(capsys, *digits, "--json")))
    assert (facts["prototxt"], facts["weights"]) == digits
    assert (facts["name"], facts["generation"], facts["phase"]) == ("Digits", "V2", "TEST")
    assert facts["inputs"] == {"data": [1, 1, 32, 32]}
    assert facts["outputs"] == ["prob"]
    assert facts["layers"][1] == {
        "name": "conv1",
        "type": "Convolution",
        "bottoms": ["data"],
        "tops": ["conv1"],
        "shapes": [[1, 16, 28, 28]],
        "params": [[16, 1, 5, 5], [16]],
        "count": 416,
        "multiply_adds": 313600,
        "bytes": 50176,
    }
    assert facts["total"] == {
        "layers": 15,
        "params": 27755,
        "param_bytes": 111020,
        "multiply_adds": 1137952,
        "bytes": 92888,
        "complete": True,
    }
    alone = json.loads("\n".join(inspected(capsys, digits[1], "--json")))
    assert alone["total"]["params"] == 27755
    assert alone["total"]["multiply_adds"] is None
    assert alone["layers"][1]["params"] == [[16, 1, 5, 5], [16]]


def test_quiet_is_quiet(capsys: pytest.CaptureFixture[str], digits: tuple[str, str]) -> None:
    assert inspected(capsys, *digits, "-q") == []


def test_other_sizes(capsys: pytest.CaptureFixture[str], digits: tuple[str, str]) -> None:
    for size, shape in [("40x56", "1x1x40x56"), ("40", "1x1x40x40"), ("data=4x1x40x56",) * 2]:
        lines = inspected(capsys, digits[0], "--size", size)
        assert lines[1].split()[3] == shape.removeprefix("data=")
    lines = inspected(capsys, *digits, "--size", "40", code=1)
    assert lines[-2] == (
        "note: params of layer 'ip1': 96x288, 96 in the net, 96x128, 96 in the model"
    )


def test_fits_is_said_of_a_net_with_its_weights(
    capsys: pytest.CaptureFixture[str], digits: tuple[str, str]
) -> None:
    assert json.loads("\n".join(inspected(capsys, *digits, "--json")))["fits"] is True
    for alone in digits:
        assert json.loads("\n".join(inspected(capsys, alone, "--json")))["fits"] is None
    inspected(capsys, *digits, "--size", "40", "-q", code=1)


TWO = """
input: "a" input_shape { dim: [1, 3, 8, 8] }
input: "b" input_shape { dim: [2, 5] }
layer { name: "p" type: "Power" bottom: "b" top: "p" }
"""


def test_sizes_of_several_inputs(capsys: pytest.CaptureFixture[str], written: Path) -> None:
    (written / "n").write_text(TWO)
    lines = inspected(capsys, "n")
    assert lines[1:3] == [
        "a      (input)           a     1x3x8x8",
        "b      (input)           b     2x5",
    ]
    lines = inspected(capsys, "n", "--size", "16x9", "--size", "b=1x3")
    assert [line.split()[3] for line in lines[1:3]] == ["1x3x16x9", "1x3"]
    assert refused(capsys, "n", "--size", "d=16") == (
        "error: n: no input 'd'; the net has 'a', 'b'"
    )
    assert refused(capsys, "n", "--size", "b=16") == (
        "error: n: input 'b' has 2x5; a size of 16 needs N x C x H x W; "
        "give the whole shape, as in b=1x3x224x224"
    )
    assert refused(capsys, "n", "--size", "1x2x3") == (
        "error: n: the net has 2 inputs, 'a', 'b'; say whose size it is, as in a=1x2x3"
    )
    assert refused(capsys, "n", "--size", "a=16", "--size", "16") == (
        "error: input 'a' is given two sizes"
    )
    assert refused(capsys, "n", "--size", "a=100000x100000x3x3") == (
        "error: input 'a' of 100000x100000x3x3: more than Caffe counts"
    )


def test_inputs_without_shapes(capsys: pytest.CaptureFixture[str], written: Path) -> None:
    (written / "n").write_text(
        'input: "a" input: "b" layer { name: "r" type: "ReLU" bottom: "b" top: "r" }'
    )
    lines = inspected(capsys, "n")
    assert lines[1] == "a      (input)           a     ?"
    assert lines[-3:] == [
        "note: no shape of 'a': the prototxt declares no shape for this input; "
        "--input-shape a=NxCxHxW gives it",
        "note: no shape of 'b', 'r': the prototxt declares no shape for this input; "
        "--input-shape b=NxCxHxW gives it",
        "total: 1 layer, 0 params (0 B), at least 0 multiply-adds, at least 0 B of blobs",
    ]
    lines = inspected(capsys, "n", "--size", "a=1x2x1", "--size", "b=1x2x3")
    assert lines[-1] == "total: 1 layer, 0 params (0 B), 0 multiply-adds, 56 B of blobs"
    assert refused(capsys, "n", "--size", "a=16") == (
        "error: n: input 'a' has no shape; a size of 16 needs N x C x H x W; "
        "give the whole shape, as in a=1x3x224x224"
    )
    (written / "none").write_text('layer { name: "d" type: "Data" top: "x" }')
    assert refused(capsys, "none", "--size", "16") == (
        "error: none: a size is given, but the net declares no input; give a layer's top a whole "
        "shape, as in x=1x3x224x224"
    )


@pytest.mark.parametrize(
    "size", ["0x3", "x", "1xx3", "a", "1x2x-3", "1x2x3x0", "²", "a=", "1" * 11]
)
def test_sizes_that_are_none(
    capsys: pytest.CaptureFixture[str], digits: tuple[str, str], size: str
) -> None:
    message = refused(capsys, digits[0], "--size", size, code=2)
    assert "is not HEIGHTxWIDTH, nor a whole shape like 1x3x227x227" in message


def test_how_a_model_fits_its_net(capsys: pytest.CaptureFixture[str], written: Path) -> None:
    (written / "n").write_text(
        """
        input: "x" input_shape { dim: [1, 4] }
        layer { name: "a" type: "InnerProduct" bottom: "x" top: "a"
                inner_product_param { num_output: 2 } }
        layer { name: "b" type: "InnerProduct" bottom: "x" top: "b"
                inner_product_param { num_output: 2 bias_term: false } }
        layer { name: "c" type: "InnerProduct" bottom: "x" top: "c"
                inner_product_param { num_output: 3 } }
        layer { name: "d" type: "Forked" bottom: "c" top: "d" }
        """
    )
    ones = np.ones((2, 4), np.float32)
    model = [
        model_layer("b", "InnerProduct", ones, how="legacy"),
        model_layer("c", "InnerProduct", ones),
        model_layer("d", "Forked", np.ones(5, np.float32)),
        model_layer("e\x1b", "InnerProduct", ones),
        model_layer("f", "ReLU"),
    ]
    write_model(written / "m", *model)
    lines = inspected(capsys, "n", "m", code=1)
    assert lines[-5:] == [
        "note: no shape of 'd': layer 'd' is of type Forked, which Caffe 1.0 gives no fixed shape"
        "; --input-shape d=NxCxHxW gives it",
        "note: the model has no params for layer 'a'",
        "note: the model has params of layer 'e\\x1b', which the net does not have",
        "note: params of layer 'c': 3x4, 3 in the net, 2x4 in the model",
        "total: 4 layers, 38 params (152 B), at least 28 multiply-adds, at least 44 B of blobs",
    ]
    facts = json.loads("\n".join(inspected(capsys, "n", "m", "--json", "--stats", code=1)))
    assert facts["fits"] is False
    assert facts["layers_without_params"] == ["a"]
    assert facts["params_without_layer"] == ["e\x1b"]
    assert facts["differing"] == [{"layer": "c", "net": [[3, 4], [3]], "model": [[2, 4]]}]
    assert facts["layers"][3]["params"] == [[5]]
    assert facts["extra_statistics"]["e\x1b"][0]["max"] == 1.0


def test_names_cannot_break_the_table(capsys: pytest.CaptureFixture[str], written: Path) -> None:
    (written / "n").write_text(
        'layer { name: "a\\nb\\033[2J" type: "Split" bottom: "x\\t" '
        + " ".join(f'top: "t{i}"' for i in range(9))
        + ' } input: "x\\t" input_shape { dim: 3 }'
    )
    lines = inspected(capsys, "n")
    assert len(lines) == 4
    assert lines[1].split() == ["x\\t", "(input)", "x\\t", "3"]
    assert lines[2].startswith("a\\nb\\x1b[2J  Split    x\\t      t0, t1, t2, t3, 5 more  3, 3, 3,")


def test_phases(capsys: pytest.CaptureFixture[str], written: Path) -> None:
    (written / "n").write_text(
        """
        layer { name: "d" type: "Data" top: "x" include { phase: TRAIN } }
        layer { name: "d" type: "DummyData" top: "x" include { phase: TEST }
                dummy_data_param { shape { dim: 3 } } }
        """
    )
    assert inspected(capsys, "n")[1].split() == ["d", "DummyData", "x", "3", "12", "B"]
    assert inspected(capsys, "n", "--phase", "train")[1].split()[:4] == ["d", "Data", "x", "?"]


def test_stages_and_levels(capsys: pytest.CaptureFixture[str], written: Path) -> None:
    (written / "n").write_text(
        """
        state { stage: "own" }
        layer { name: "a" type: "Data" top: "x" include { stage: "a" stage: "own" } }
        layer { name: "b" type: "Data" top: "x" include { stage: "b" min_level: 2 } }
        layer { name: "r" type: "ReLU" bottom: "x" top: "y" }
        """
    )
    assert inspected(capsys, "n", "--stage", "a")[1].split()[0] == "a"
    both = inspected(capsys, "n", "--stage", "b", "--stage", "c", "--level", "2", "--json")
    facts = json.loads("\n".join(both))
    assert [layer["name"] for layer in facts["layers"]] == ["b", "r"]
    assert (facts["phase"], facts["level"], facts["stages"]) == ("TEST", 2, ["own", "b", "c"])
    assert "made by no layer before it" in refused(capsys, "n", "--stage", "b")


def test_usage(capsys: pytest.CaptureFixture[str], digits: tuple[str, str], written: Path) -> None:
    tip = " (try netsurgery inspect --help)"
    both = "error: expected one prototxt, one caffemodel or one of each; found"
    two = f"{both} 2 prototxts and 0 caffemodels{tip}"
    assert refused(capsys, digits[0], digits[0], code=2) == two
    two = f"{both} 1 prototxt and 2 caffemodels{tip}"
    assert refused(capsys, *digits, digits[1], code=2) == two
    useless = "does nothing without a"
    for words in (["--field"], ["--size", "3"], ["--phase", "TEST"], ["--param", "a", "--level=1"]):
        option = words[-1].partition("=")[0] if len(words) > 2 else words[0]
        need = f"error: {option} {useless} prototxt{tip}"
        assert refused(capsys, digits[1], *words, code=2) == need
    for words in (["--stats"], ["--param", "conv1[0]"]):
        need = f"error: {words[0]} {useless} caffemodel{tip}"
        assert refused(capsys, digits[0], *words, code=2) == need
    either = "expected a prototxt or a caffemodel"
    assert refused(capsys, "nothing") == "error: nothing: No such file or directory"
    assert refused(capsys, str(written)) == f"error: {written}: is a folder, {either}"
    (written / "page").write_text("<!DOCTYPE html><p>")
    assert refused(capsys, "page") == (
        "error: page: is a web page, expected a prototxt or a caffemodel; "
        "the download of the file itself went wrong"
    )
    (written / "empty").write_text("")
    assert refused(capsys, "empty") == "error: empty: is empty, expected a caffemodel"


def test_a_model_of_a_gigabyte_takes_little_memory(written: Path) -> None:
    sparse_model(written / "m", layers=4, rows=65536, columns=1024)
    ran = run_alone("inspect", "m", "--json")
    assert json.loads(ran.out)["total"]["param_bytes"] == 1 << 30
    assert (ran.code, ran.numpy) == (0, False)
    assert ran.peak < 64 << 20


def test_statistics_take_no_more_memory_for_more_numbers(written: Path) -> None:
    peaks = []
    for name, rows in [("small", 4096), ("large", 65536)]:
        sparse_model(written / name, layers=1, rows=rows, columns=1024)
        peaks.append(run_alone("inspect", name, "--stats").peak)
    assert abs(peaks[1] - peaks[0]) < 16 << 20  # the numbers are 240 MiB more


def test_the_shape_of_a_data_layer(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("n").write_text(
        'layer { name: "d" type: "Data" top: "data" top: "label" }\n'
        'layer { name: "c" type: "Convolution" bottom: "data" top: "c" '
        "convolution_param { num_output: 4 kernel_size: 3 } }\n"
    )
    printed = inspected(capsys, "n", "--size", "data=1x3x8x8", "--field")
    assert any("1x4x6x6" in line and "3x3" in line for line in printed)
    assert inspected(capsys, "n", "--input-shape", "data=1x3x8x8", "--field") == printed
    assert any("1x5" in x for x in inspected(capsys, "n", "--input-shape", "label=1x5"))
    assert refused(capsys, "n", "--size", "8") == (
        "error: n: a size is given, but the net declares no input; give a layer's top a whole "
        "shape, as in data=1x3x224x224"
    )
    assert refused(capsys, "n", "--input-shape", "c=1x3x8x8") == (
        "error: n: a shape is given for 'c', expected an input, the top of a data layer or a "
        "blob whose shape is not known: 'data', 'label'"
    )


def test_tiles(capsys: pytest.CaptureFixture[str], tmp_path: Path, digits: tuple[str, str]) -> None:
    """What is said of them is what classify-map makes of it."""
    assert run(["convert", *digits, "-o", str(tmp_path), "-q", "--engine", "embedded"]) == 0
    (net,) = map(str, tmp_path.glob("*.prototxt"))
    lines = inspected(capsys, net, "--field", "--size", "1001x1503")
    said = next(line for line in lines if line.startswith("tiles of an input of 1001x1503"))
    assert "begin at multiples of 8x8 and overlap by 25x31; the smallest is 33x39, and" in said
    record = json.loads(
        "\n".join(inspected(capsys, net, "--field", "--size", "1001x1503", "--json"))
    )
    tiles = record["tiles"]
    assert (tiles["stride"], tiles["overlap"], tiles["smallest"]) == ([8, 8], [25, 31], [33, 39])
    *parts, whole = tiles["costs"]
    assert whole["tile"] == [1001, 1503]
    assert (whole["count"], whole["overhead"]) == (1, 1)
    assert tiles["cuts"] == ["pool1", "pool2", "pool3"]
    assert "; cut into stages at 'pool1', 'pool2', 'pool3', the net needs less overlap" in said
    for cost in parts:
        assert cost["count"] > 1 < cost["overhead"]
        assert cost["bytes"] < whole["bytes"]
        height, width = cost["tile"]
        # Of the net as one, or of what lies before the cut.
        stride = 2 ** tiles["cuts"].index(cost["cuts"][0]) * 2 if cost["cuts"] else 8
        assert (height % stride, width % stride) == (1001 % stride, 1503 % stride)
    assert ["pool2"] in [cost["cuts"] for cost in parts]
    assert f"{whole['bytes'] / 2**20:.1f} MiB" in "\n".join(lines)


def test_tiles_of_the_size_that_is_declared_are_those_of_a_large_input(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, digits: tuple[str, str]
) -> None:
    assert run(["convert", *digits, "-o", str(tmp_path), "-q", "--engine", "embedded"]) == 0
    (net,) = map(str, tmp_path.glob("*.prototxt"))
    assert any("an input of 4096x4096 begin" in line for line in inspected(capsys, net, "--field"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('layer { name: "m" type: "MVN" bottom: "x" top: "m" }',
         "no tiles: layer 'm' (MVN) looks at the whole map"),
        ('input: "z" input_shape { dim: [1, 3, 16, 16] }\n'
         'layer { name: "e" type: "Eltwise" bottom: "x" bottom: "z" top: "e" }', ""),
    ],
)  # fmt: skip
def test_no_tiles(text: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net = tmp_path / "n.prototxt"
    net.write_text('input: "x" input_shape { dim: [1, 3, 16, 16] }\n' + text)
    lines = [line for line in inspected(capsys, str(net), "--field") if "tiles" in line]
    assert lines == [said] * bool(said)
