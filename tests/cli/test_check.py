"""The command `check`: what it finds, where, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from netsurgery.cli import run

NET = """name: "n"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: [1, 3, 8, 8] } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 2 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool"
  pooling_param { global_pooling: true } }
layer { name: "fc" type: "InnerProduct" bottom: "pool" top: "fc"
  inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
"""
RUNS = ["embedded engine: can run it", "Caffe 1.0: can run it"]
SHAPES = ["inputs: data 1x3x8x8", "outputs: prob 1x4"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("good.prototxt").write_text(NET)
    assert run(["init", "-q", "good.prototxt", "-o", "m.caffemodel"]) == 0
    return tmp_path


def checked(
    capsys: pytest.CaptureFixture[str], net: str, *more: str, code: int = 0, name: str = "n"
) -> list[str]:
    """The lines printed for a net after the verdict; nothing on standard error."""
    verdict, *lines = printed(capsys, net, *more, code=code, name=name)
    assert verdict.startswith(f"{name}: ")
    assert ("no error" in verdict) == (code == 0)
    return lines


def printed(
    capsys: pytest.CaptureFixture[str], net: str, *more: str, code: int = 0, name: str = "n"
) -> list[str]:
    Path(name).write_text(net)
    capsys.readouterr()
    assert run(["check", name, *more]) == code
    out, err = capsys.readouterr()
    assert err == ""
    return out.splitlines()


def facts(capsys: pytest.CaptureFixture[str], net: str, *more: str, code: int = 0) -> Any:
    return json.loads("\n".join(printed(capsys, net, *more, "--json", code=code)))


def test_a_net_with_nothing_to_say_of(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, NET) == ["n: no error", *SHAPES, *RUNS]
    assert printed(capsys, NET, "m.caffemodel") == [
        "n: no error; the weights fit",
        *SHAPES,
        *RUNS,
    ]
    assert printed(capsys, NET, "-q") == []


def test_fields_and_values_that_no_caffe_has(capsys: pytest.CaptureFixture[str]) -> None:
    net = NET.replace("kernel_size: 3", "kernel_sise: 3").replace(
        "global_pooling: true", "pool: MXA"
    )
    net = net.replace(
        '{ type: "xavier" } } }\nlayer { name: "prob"', '{ std: x } } }\nlayer { name: "prob"'
    )
    verdict, *lines = printed(capsys, net, code=1)
    assert verdict == "n: 3 errors, 1 warning"
    assert lines[:3] == [
        "error: n:4:37: ConvolutionParameter of Caffe 1.0 has no field kernel_sise; did you mean "
        "kernel_size?",
        "error: n:6:25: found MXA, expected MAX, AVE or STOCHASTIC for pool; did you mean MAX?",
        "error: n:8:60: found x, expected a number for std",
    ]


def test_what_only_forks_have(capsys: pytest.CaptureFixture[str]) -> None:
    """A field whose meaning is known here is a note, another a warning."""
    dilated = NET.replace("kernel_size: 3", "kernel_size: 3 hole: 2")
    where = "n:4:52: ConvolutionParameter of Caffe 1.0 has no field hole; DeepLab has it"
    assert checked(capsys, dilated) == [
        f"note: {where}",
        *SHAPES,
        RUNS[0],
        f"Caffe 1.0: cannot run it: {where}",
    ]
    padded = checked(capsys, NET.replace("kernel_size: 3", "kernel_size: 3 pad_l: 2"))
    assert padded[0] == (
        "warning: n:4:52: ConvolutionParameter of Caffe 1.0 has no field pad_l; Synopsys Caffe has "
        "it"
    )
    assert padded[1].startswith(
        "warning: no shape of 'conv', 'pool', 'fc', 'prob': line 4: layer 'conv' "
    )
    assert padded[3] == "outputs: prob ?"
    assert padded[4].startswith(
        "embedded engine: cannot run it: n:4:52: layer 'conv' (Convolution)"
    )


def test_types_that_caffe_does_not_have(capsys: pytest.CaptureFixture[str]) -> None:
    def first(kind: str, more: str = "", code: int = 0) -> str:
        layer = f'layer {{ name: "x" type: "{kind}" bottom: "conv" top: "x" {more} }}\n'
        return checked(capsys, NET + layer, code=code)[0]

    at = "n:10:7: layer 'x': Caffe 1.0 has no layer type"
    assert first("Permute", "permute_param { order: 0 }") == f"note: {at} 'Permute'; SSD has it"
    assert first("Convolutoin", code=1) == f"error: {at} 'Convolutoin'; did you mean Convolution?"
    assert first("Zigzag") == f"warning: {at} 'Zigzag', nor has any fork that is known here"
    assert first("Correlation", "correlation_param { kernel_size: 1 }") == (
        f"warning: {at} 'Correlation'; FlowNet2 has it, and what it does is not known here"
    )
    # A type that Caffe 1.0 has too is another by its fields.
    drop = 'layer { name: "d" type: "Dropout" bottom: "conv" top: "d" dropout_param { %s } }\n'
    fork = checked(capsys, NET + drop % "scale_train: false")
    assert (
        fork[1] == "note: n:10:7: layer 'd': by its fields it is R-FCN's Dropout, not Caffe 1.0's"
    )
    assert "by its fields" not in "".join(checked(capsys, NET + drop % "scale_train: true"))
    # What is in a fork's own message is held against the fork's schema.
    assert first("Permute", "permute_param { ordr: 0 }", code=1) == (
        "error: n:10:75: PermuteParameter of SSD, NVCaffe, Intel Caffe or 4 others has no field "
        "ordr; did you mean order?"
    )


def test_every_blob_that_is_not_made_or_made_twice(capsys: pytest.CaptureFixture[str]) -> None:
    net = NET.replace('bottom: "pool"', 'bottom: "pol"').replace('top: "prob"', 'top: "conv"')
    lines = checked(capsys, net, code=1)
    assert lines[:2] == [
        "error: n:7:7: layer 'fc' (InnerProduct): its bottom 'pol' is made by no layer before it; "
        "did you mean pool?",
        "error: n:9:7: layer 'prob' (Softmax): its top 'conv' is made by a layer before it too",
    ]
    first = lines[0].removeprefix("error: ")
    assert f"embedded engine: cannot run it: {first} (and 1 more)" in lines
    two = NET.replace('bottom: "fc"', 'bottom: "fc" bottom: "data"')
    assert checked(capsys, two, code=1)[0] == (
        "error: n:9:7: layer 'prob' (Softmax): 2 bottoms; it takes 1"
    )


def test_shapes_that_contradict_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    net = NET.replace("kernel_size: 3", "kernel_size: 9")
    assert checked(capsys, net, code=1)[0].startswith("error: n:3:7: layer 'conv' (Convolution): ")


def test_unread_tops_and_inputs(capsys: pytest.CaptureFixture[str]) -> None:
    net = NET.replace(
        'layer { name: "prob"',
        'layer { name: "more" type: "ReLU" bottom: "conv" top: "more" }\nlayer { name: "prob"',
    )
    assert checked(capsys, net)[0] == (
        "note: top 'more' of layer 'more' (ReLU) is read by no layer: it is an output of the net"
    )


def test_params_that_do_not_fit(capsys: pytest.CaptureFixture[str]) -> None:
    net = NET.replace("num_output: 4", "num_output: 5").replace('"conv"', '"conv0"')
    verdict, *lines = printed(capsys, net, "m.caffemodel", code=1)
    assert verdict == "n: 3 errors, 1 note; the weights do not fit"
    assert lines[:3] == [
        "error: m.caffemodel: no params for layer 'conv0'",
        "error: layer 'fc': param 0 is 4x2 in m.caffemodel, expected 5x2",
        "error: layer 'fc': param 1 is 4 in m.caffemodel, expected 5",
    ]
    assert lines[3] == (
        "note: m.caffemodel: params of a layer 'conv', which the net does not have; Caffe skips "
        "them"
    )
    assert "embedded engine: cannot run it: the weights do not fit" in lines
    assert facts(capsys, net, "m.caffemodel", code=1)["fits"] is False
    assert facts(capsys, NET, "m.caffemodel")["fits"] is True
    assert facts(capsys, NET)["fits"] is None


SETTINGS = '[model]\nprototxt = "n"\nweights = "m.caffemodel"\n[preprocess]\n'


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            "mean = [1.0, 2.0]\n",
            "mean 1,2: 2 channels, but the net's input has 3; --mean takes a number a "
            "channel, one for all, or a file of 3 x height x width",
        ),
        (
            "channel_swap = [1, 0]\n",
            "channel swap 1,0: the net's input has 3 channels; expected each of 0..2 once",
        ),
        ("raw_scale = 0.0\n", "a scale of 0 leaves nothing of a picture"),
        ('[classes]\nlabels = "l"\n', "l: 3 labels, but blob 'prob' has 4 classes"),
        ('[classes]\nlabels = "none"\n', "none: No such file or directory"),
        ("[classes]\nbackground = 4\n", "class 4: blob 'prob' has 4 classes, 0 to 3"),
        ('[classes]\nbackground = "sky"\n', "class 'sky' is neither a number nor none, and there "),
    ],
)
def test_settings_that_do_not_fit(
    more: str, message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "l").write_text("a\nb\nc\n")
    (folder / "netsurgery.toml").write_text(SETTINGS + more)
    errors = [finding["message"] for finding in facts(capsys, NET, code=1)["findings"]]
    assert len(errors) == 1
    assert errors[0].startswith(str(folder / "netsurgery.toml"))
    assert message in errors[0]


def test_settings_of_this_net(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "l").write_text("a\nb\nc\nd\n")
    (folder / "netsurgery.toml").write_text(
        SETTINGS + 'mean = [1.0, 2.0, 3.0]\n[classes]\nlabels = "l"\n'
    )
    report = facts(capsys, NET)
    assert report["fits"] is True
    assert Path(report["weights"]).name == "m.caffemodel"
    (folder / "other").mkdir()
    checked(capsys, NET, name="other/n")
    assert facts(capsys, NET, "m.caffemodel")["settings"] == str(folder / "netsurgery.toml")
    (folder / "netsurgery.toml").write_text("[model]\nprototxt = 3\n")
    assert facts(capsys, NET, code=1)["findings"][0]["kind"] == "settings"
    (folder / "netsurgery.toml").write_text('[model]\nprototxt = "other"\nweights = "nowhere"\n')
    assert facts(capsys, NET)["settings"] is None
    (folder / "netsurgery.toml").write_text('[model]\nprototxt = "n"\nweights = "nowhere"\n')
    (error,) = facts(capsys, NET, code=1)["findings"]
    assert "nowhere" in error["message"]


def test_a_mean_of_another_size_is_noted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(folder / "mean.npy", np.ones((3, 5, 5), np.float32))
    (folder / "netsurgery.toml").write_text(SETTINGS + 'mean = "mean.npy"\n')
    (note,) = facts(capsys, NET)["findings"]
    assert (note["kind"], note["level"]) == ("settings", "note")
    assert note["message"].endswith(
        "the mean is 5x5, the input 8x8: its mean per channel is subtracted (1, 1, 1)"
    )


def test_deprecated_spellings(capsys: pytest.CaptureFixture[str], repo_root: Path) -> None:
    net = """input: "data" input_dim: [1, 4, 8, 8]
layers { name: "conv" type: CONVOLUTION bottom: "data" top: "conv" blobs_lr: 1
  convolution_param { num_output: 2 kernel_size: 3 } }
layers { name: "slice" type: SLICE bottom: "conv" top: "a" top: "b" slice_param { slice_dim: 1 } }
layers { name: "cat" type: CONCAT bottom: "a" bottom: "b" top: "c" concat_param { concat_dim: 1 } }
"""
    assert checked(capsys, net) == [
        "note: layer 'conv': `layers` becomes `layer`, CONVOLUTION becomes \"Convolution\" "
        "(`netsurgery upgrade`)",
        "note: layer 'conv': blobs_lr: now in 1 `param { ... }` (`netsurgery upgrade`)",
        "note: layer 'slice': `layers` becomes `layer`, SLICE becomes \"Slice\" "
        "(`netsurgery upgrade`)",
        "note: n:4:83: slice_dim is deprecated; write axis",
        "note: n:5:83: concat_dim is deprecated; write axis",
        "note: ... and 2 more that `netsurgery upgrade` changes",
        "inputs: data 1x4x8x8",
        "outputs: c 1x2x6x6",
        *RUNS,
    ]


def test_a_net_of_2013(capsys: pytest.CaptureFixture[str], shared_data: Path) -> None:
    (net,) = (shared_data / "prototxts").glob("*V0_2013*")
    report = facts(capsys, net.read_text())
    assert (report["generation"], report["errors"]) == ("V0", 0)
    assert any(finding["kind"] == "deprecated" for finding in report["findings"])
    assert report["engines"]["embedded"]["runs"] is True


def test_json_has_every_place(capsys: pytest.CaptureFixture[str]) -> None:
    report = facts(capsys, NET.replace("kernel_size", "kernel_sise"), code=1)
    assert (report["ok"], report["errors"], report["prototxt"]) == (False, 1, "n")
    first = report["findings"][0]
    assert (first["kind"], first["level"], first["layer"]) == ("schema", "error", "conv")
    assert (first["line"], first["column"]) == (4, 37)
    assert report["engines"]["Caffe 1.0"]["runs"] is False


def test_states_and_shapes(capsys: pytest.CaptureFixture[str]) -> None:
    net = NET.replace('top: "data" input_param { shape { dim: [1, 3, 8, 8] } }', 'top: "data"')
    net = net.replace('type: "Input"', 'type: "Data" include { phase: TRAIN }')
    assert checked(capsys, net, code=1)[0].startswith("error: n:3:7: layer 'conv' (Convolution): ")
    lines = checked(capsys, net, "--phase", "TRAIN")
    assert lines[0].startswith("warning: no shape of 'data', 'conv'")
    lines = printed(
        capsys, net, "--phase", "TRAIN", "--input-shape", "data=1x3x8x8", "m.caffemodel"
    )
    assert lines[0].endswith("; the weights fit")
    assert "outputs: prob 1x4" in lines


def test_trouble_exits_with_two(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    def trouble(*words: str) -> str:
        assert run(["check", *words]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        return err.strip().splitlines()[-1]

    (folder / "broken").write_text("layer {")
    capsys.readouterr()
    assert trouble("broken").startswith("error: broken:1:7: ")
    assert trouble("nowhere").startswith("error: nowhere: ")
    (folder / "solver").write_text('net: "x" base_lr: 1')
    assert trouble("solver") == "error: solver: is a solver, not a net; its net is 'x'"
    assert trouble("m.caffemodel").startswith("error: expected a prototxt")
    (folder / "torn").write_bytes(Path("m.caffemodel").read_bytes()[:100])
    assert trouble("good.prototxt", "torn").startswith("error: torn: ")


def test_which_engines_run_it(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    """A data layer of a known shape is run as an input; Caffe needs what it reads."""
    data = 'type: "ImageData" top: "data" top: "label" image_data_param { source: "list" '
    net = NET.replace(
        'type: "Input" top: "data" input_param { shape { dim: [1, 3, 8, 8] } }',
        data + "new_height: 8 new_width: 8 }",
    )
    assert net != NET
    engines = facts(capsys, net)["engines"]
    assert engines["embedded"] == {"runs": True, "reasons": []}
    assert engines["Caffe 1.0"]["reasons"] == [
        "n:2:7: layer 'data' (ImageData): there is no 'list', which it reads"
    ]
    (folder / "list").write_text("x.png 0\n")
    assert facts(capsys, net)["engines"]["Caffe 1.0"]["runs"] is True
    trained = NET.replace('type: "Softmax"', 'type: "SoftmaxWithLoss" bottom: "data"')
    reasons = facts(capsys, trained)["engines"]["embedded"]["reasons"]
    assert "it is there for training" in reasons[0]


def test_weights_that_caffe_does_not_take(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["init", "-q", "good.prototxt", "-o", "m.caffemodel.h5"]) == 0
    report = facts(capsys, NET, "m.caffemodel.h5")
    assert report["engines"]["Caffe 1.0"]["runs"] is True
    Path("m.caffemodel.h5").rename("m.hdf")
    report = facts(capsys, NET, "m.hdf")
    assert (report["fits"], report["engines"]["embedded"]["runs"]) == (True, True)
    assert "a name that ends in .h5" in report["engines"]["Caffe 1.0"]["reasons"][0]


def test_what_layers_do_to_files_and_modules(capsys: pytest.CaptureFixture[str]) -> None:
    code = (
        'layer { name: "x" type: "Python" bottom: "prob" top: "x" python_param { module: "m" } }\n'
    )
    out = (
        'layer { name: "o" type: "HDF5Output" bottom: "x" bottom: "x" '
        'hdf5_output_param { file_name: "f" } }'
    )
    lines = checked(capsys, NET + code + out)
    permission = "real Caffe is given it only with --allow"
    assert f"note: n:10:7: layer 'x' (Python): imports code ('m'); {permission} python" in lines
    assert f"note: n:11:7: layer 'o' (HDF5Output): writes files ('f'); {permission} writes" in lines
    kinds = [finding["kind"] for finding in facts(capsys, NET + code + out)["findings"]]
    assert kinds.count("effects") == 2


def test_a_place_is_named_once(capsys: pytest.CaptureFixture[str]) -> None:
    """What the schema has against a value is what the shapes are not known for."""
    lines = checked(capsys, NET.replace("kernel_size: 3", "kernel_size: 1.5"), code=1)
    wrong = "n:4:50: found 1.5, expected a whole number"
    assert lines == [
        f"error: {wrong} for kernel_size",
        f"embedded engine: cannot run it: {wrong}",
        f"Caffe 1.0: cannot run it: {wrong}",
    ]


def test_a_place_is_named_once_where_there_is_no_net(capsys: pytest.CaptureFixture[str]) -> None:
    net = NET.replace('name: "pool"', 'name: "pool" include { phase: NOPE }')
    assert checked(capsys, net, code=1) == [
        "error: n:5:39: found NOPE, expected TRAIN or TEST for phase"
    ]


def test_a_type_that_a_fork_added_to_v1(capsys: pytest.CaptureFixture[str]) -> None:
    """DeepLab's nets of 2014 have INTERP, which is Interp today."""
    net = """layers { name: "up" type: INTERP bottom: "x" top: "y" interp_param { zoom_factor: 2 } }
input: "x" input_dim: [1, 1, 3, 3]"""
    report = facts(capsys, net)
    assert report["outputs"] == {"y": [1, 1, 5, 5]}
    assert report["engines"]["embedded"]["runs"] is True
    assert [finding["level"] for finding in report["findings"]] == ["note"] * 4
    assert run(["upgrade", "n", "-o", "new"]) == 0
    assert 'type: "Interp"' in Path("new").read_text()


def test_forks_fields_in_layers_that_are_not_known(capsys: pytest.CaptureFixture[str]) -> None:
    """Of an unknown type, and of another phase: what the field means there is not known."""
    field = "convolution_param { hole: 2 }"
    zigzag = f'layer {{ name: "x" type: "Zigzag" bottom: "conv" top: "x" {field} }}'
    trained = f'layer {{ name: "t" type: "Convolution" include {{ phase: TRAIN }} {field} }}'
    for layer in (zigzag, trained):
        schema = [
            finding
            for finding in facts(capsys, NET + layer)["findings"]
            if "hole" in finding["message"]
        ]
        assert [finding["level"] for finding in schema] == ["warning"]
    layer = 'layer { name: "x" type: "BNN" bottom: "conv" top: "x" }'
    assert "no layer type 'BNN'; did you mean BN?" in checked(capsys, NET + layer, code=1)[0]


def test_layers_that_the_weights_have_more(capsys: pytest.CaptureFixture[str]) -> None:
    net = "\n".join(line for line in NET.splitlines() if '"prob"' not in line)
    net = net.partition('layer { name: "fc"')[0]
    report = facts(capsys, net, "m.caffemodel")
    assert report["fits"] is True
    assert [finding["layer"] for finding in report["findings"]] == ["fc"]


def test_layers_of_one_name(capsys: pytest.CaptureFixture[str]) -> None:
    lines = checked(capsys, NET.replace('name: "prob"', 'name: "pool"'))
    assert lines[0].startswith("note: the layers in lines 5, 9 are all named 'pool'")


def test_an_input_that_nothing_reads(capsys: pytest.CaptureFixture[str]) -> None:
    net = NET + 'input: "more" input_shape { dim: 1 }'
    assert "warning: input 'more' is read by no layer" in checked(capsys, net)


def test_stages_of_the_settings(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net = NET.replace('bottom: "fc" top: "prob"', 'bottom: "fc" top: "prob" include { stage: "s" }')
    (folder / "netsurgery.toml").write_text('[model]\nprototxt = "n"\nstages = ["s"]\n')
    report = facts(capsys, net)
    assert (report["stages"], report["outputs"]) == (["s"], {"prob": [1, 4]})
    report = facts(capsys, net, "--stage", "t")
    assert (report["stages"], report["outputs"]) == (["t"], {"fc": [1, 4]})


def test_a_type_that_v1_does_not_have_is_named_once(capsys: pytest.CaptureFixture[str]) -> None:
    net = (
        'input: "x" input_dim: [1, 1, 3, 3]\nlayers { name: "l" type: POOLIN bottom: "x" top: "y" }'
    )
    findings = facts(capsys, net, code=1)["findings"]
    places = [(finding["line"], finding["column"]) for finding in findings if finding["line"]]
    assert len(places) == len(set(places))
    assert findings[0]["message"].endswith("for type; did you mean POOLING?")


def test_an_input_without_a_shape(capsys: pytest.CaptureFixture[str]) -> None:
    net = NET.replace(" input_param { shape { dim: [1, 3, 8, 8] } }", "")
    engine = facts(capsys, net)["engines"]["embedded"]
    assert engine["runs"] is False
    assert engine["reasons"][0].startswith("the shape of blob 'prob' is not known: ")
    assert facts(capsys, net, "--input-shape", "data=1x3x8x8")["engines"]["embedded"]["runs"]
