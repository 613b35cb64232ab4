"""The command `export`: files that ONNX Runtime opens and runs, and what is refused."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray

import netsurgery as ns
from netsurgery.cli import run
from netsurgery.engines.contract import EngineOptions
from netsurgery.engines.ort import open_engine

Array = NDArray[np.float32]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, repo_root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with the bundled classifier in it."""
    monkeypatch.setenv("NETSURGERY_ENGINE", "embedded")
    shutil.copy(repo_root / "prototxt" / "digits_deploy.prototxt", tmp_path / "deploy.prototxt")
    shutil.copy(
        repo_root / "models" / "digits" / "digits.caffemodel", tmp_path / "model.caffemodel"
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


CLASSIFIER = ("deploy.prototxt", "model.caffemodel")
FULL_CONV = ("deploy_full_conv.prototxt", "model_full_conv.caffemodel")


def export(files: tuple[str, str], *options: str) -> int:
    return run(["export", *files, *options])


def opened(path: str) -> ort.InferenceSession:
    onnx.checker.check_model(path, full_check=True)
    return ort.InferenceSession(path)


def embedded(files: tuple[str, str], data: Array, blob: str) -> Array:
    with (
        open_engine(EngineOptions()) as engine,
        engine.load(Path(files[0]), Path(files[1])) as net,
    ):
        (name,) = net.inputs
        net.reshape({name: data.shape})
        return net.forward({name: data}, [blob])[blob]


def pictures(*shape: int) -> Array:
    return np.random.default_rng(0).random(shape).astype(np.float32)


def facts(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    document: dict[str, object] = json.loads(capsys.readouterr().out)
    return document


@pytest.fixture
def full_conv(capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    assert run(["convert", *CLASSIFIER]) == 0
    capsys.readouterr()
    return FULL_CONV


def test_a_classifier(capsys: pytest.CaptureFixture[str]) -> None:
    """Its InnerProduct takes one size, but as many pictures at once as one likes."""
    assert export(CLASSIFIER, "-o", "net.onnx") == 0
    session = opened("net.onnx")
    (net_input,), (net_output,) = session.get_inputs(), session.get_outputs()
    assert capsys.readouterr().out == (
        f"input {net_input.name}: [batch, {', '.join(map(str, net_input.shape[1:]))}]\n"
        f"output {net_output.name}: [batch, {net_output.shape[1]}]\n"
        "height and width are fixed: layer 'ip1' (InnerProduct) takes one size\n"
        "wrote net.onnx\n"
    )
    for count in (1, 3):
        data = pictures(count, *net_input.shape[1:])
        (actual,) = session.run(None, {net_input.name: data})
        np.testing.assert_allclose(actual, embedded(CLASSIFIER, data, net_output.name), atol=1e-6)


def test_a_full_conv_net(full_conv: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert export(full_conv, "-o", "net.onnx", "--json") == 0
    reported = facts(capsys)
    assert reported["fixed_size"] is None
    assert reported["bytes"] == os.path.getsize("net.onnx")
    session = opened("net.onnx")
    (net_input,), (net_output,) = session.get_inputs(), session.get_outputs()
    assert reported["inputs"] == {net_input.name: net_input.shape}
    assert net_input.shape[2:] == [f"{net_input.name}_height", f"{net_input.name}_width"]
    for height, width in ((84, 84), (61, 75)):
        data = pictures(2, net_input.shape[1], height, width)
        (actual,) = session.run(None, {net_input.name: data})
        np.testing.assert_allclose(actual, embedded(full_conv, data, net_output.name), atol=1e-6)


def test_metadata() -> None:
    assert export(CLASSIFIER, "-o", "net.onnx", "-q") == 0
    metadata = ort.InferenceSession("net.onnx").get_modelmeta()
    assert metadata.producer_name == "netsurgery"
    assert metadata.custom_metadata_map == {
        "source": "Caffe",
        "prototxt": "deploy.prototxt",
        "caffemodel": "model.caffemodel",
    }


def test_linked_weights(folder: Path, full_conv: tuple[str, str]) -> None:
    """In the caffemodel's own folder, and one above it."""
    assert export(full_conv, "-o", "net.onnx", "--weights-storage", "linked", "-q") == 0
    assert os.path.getsize("net.onnx") < 10_000 < os.path.getsize(full_conv[1])
    inner = folder / "inner"
    inner.mkdir()
    shutil.move(full_conv[1], inner / "m.caffemodel")
    files = (full_conv[0], "inner/m.caffemodel")
    assert export(files, "-o", "net.onnx", "--weights-storage", "linked", "-q", "--force") == 0
    session = opened("net.onnx")
    (net_input,), (net_output,) = session.get_inputs(), session.get_outputs()
    data = pictures(1, net_input.shape[1], 64, 64)
    (actual,) = session.run(None, {net_input.name: data})
    np.testing.assert_allclose(actual, embedded(files, data, net_output.name), atol=1e-6)


def test_linked_weights_elsewhere(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "other").mkdir()
    assert export(CLASSIFIER, "-o", "other/net.onnx", "--weights-storage", "linked") == 1
    assert capsys.readouterr().err == (
        "error: other/net.onnx: linked weights must lie in its folder or below, and "
        f"{folder}/model.caffemodel does not; write it to {folder}, or use --weights-storage "
        "inside\n"
    )
    assert os.listdir(folder / "other") == []


def test_linked_weights_with_two_names(capsys: pytest.CaptureFixture[str]) -> None:
    os.link("model.caffemodel", "second.caffemodel")
    assert export(CLASSIFIER, "-o", "net.onnx", "--weights-storage", "linked") == 1
    assert capsys.readouterr().err == (
        "error: model.caffemodel: has several hard links, and ONNX Runtime follows none of them; "
        "use --weights-storage inside, or a copy of the file\n"
    )
    assert not os.path.exists("net.onnx")


def test_linked_weights_of_an_odd_name(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    odd = os.fsdecode(b"\xff.caffemodel")
    shutil.move("model.caffemodel", odd)
    files = ("deploy.prototxt", odd)
    assert export(files, "-o", "net.onnx", "--weights-storage", "linked") == 1
    assert capsys.readouterr().err == (
        "error: \\xff.caffemodel: its name is not UTF-8, which an ONNX model cannot hold; "
        "use --weights-storage inside\n"
    )
    assert export(files, "-o", "net.onnx", "-q") == 0
    opened("net.onnx")


def test_preprocessing_inside(full_conv: tuple[str, str]) -> None:
    """RGB, 0..255, becomes what the transformer makes of it: here one channel of grey."""
    Path("netsurgery.toml").write_text(
        "[preprocess]\nmean = [0.25]\nraw_scale = 0.5\nchannel_swap = [0]\ninput_scale = 3.0\n"
    )
    assert export(full_conv, "-o", "net.onnx", "--with-preprocess", "-q") == 0
    session = opened("net.onnx")
    (net_input,), (net_output,) = session.get_inputs(), session.get_outputs()
    pixels = np.round(255 * pictures(1, net_input.shape[1], 70, 64))
    (actual,) = session.run(None, {net_input.name: pixels})
    ready = (pixels / 255 * np.float32(0.5) - np.float32(0.25)) * 3
    expected = embedded(full_conv, ready.astype(np.float32), net_output.name)
    np.testing.assert_allclose(actual, expected, atol=1e-5)


def test_channels_and_means_of_colour(folder: Path) -> None:
    """RGB to BGR, then one mean a channel; the mean is a file of a value for every pixel."""
    net = 'input: "x" input_shape { dim: 1 dim: 3 dim: 4 dim: 4 }\n'
    net += 'layer { name: "a" type: "Power" bottom: "x" top: "y" }\n'
    Path("deploy.prototxt").write_text(net)
    mean = np.arange(3 * 2 * 2, dtype=np.float32).reshape(3, 2, 2)
    np.save("mean.npy", mean)
    Path("netsurgery.toml").write_text(
        '[preprocess]\nmean = "mean.npy"\nraw_scale = 255.0\nchannel_swap = [2, 1, 0]\n'
    )
    assert export(CLASSIFIER, "-o", "net.onnx", "--with-preprocess", "-q") == 0
    pixels = np.round(255 * pictures(2, 3, 5, 6))
    (actual,) = opened("net.onnx").run(None, {"x": pixels})
    expected = pixels[:, ::-1] - mean.mean(axis=(1, 2)).reshape(3, 1, 1)
    np.testing.assert_allclose(actual, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("settings", "notes"),
    [
        (
            {},
            [
                "the preprocessing has no step: the net is fed RGB of 0..1, most color nets of "
                "Caffe expect BGR of 0..255 less a mean; `netsurgery setup` finds the preset that "
                "fits"
            ],
        ),
        ({"raw_scale": 1.0}, []),
        ({"mean": [1.0, 2.0, 3.0]}, []),
        (
            {"mean": "mean.npy"},
            [
                "the mean is 2x2, the model's input of any size: its mean per channel is "
                "subtracted (1.5, 5.5, 9.5)"
            ],
        ),
    ],
)
def test_what_is_said_of_the_preprocessing(
    settings: dict[str, Any], notes: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each once, by the command and in Python: none that is asked for, and one that is reduced."""
    net = 'input: "x" input_shape { dim: 1 dim: 3 dim: 4 dim: 4 }\n'
    net += 'layer { name: "a" type: "Power" bottom: "x" top: "y" }\n'
    Path("deploy.prototxt").write_text(net)
    np.save("mean.npy", np.arange(3 * 2 * 2, dtype=np.float32).reshape(3, 2, 2))
    with ns.export_onnx(*CLASSIFIER, preprocess=ns.Settings(**settings)) as result:
        assert list(result.notes) == notes
    written = [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
    Path("netsurgery.toml").write_text("\n".join(["[preprocess]", *written]))
    assert export(CLASSIFIER, "-o", "net.onnx", "--with-preprocess") == 0
    printed = capsys.readouterr().out.splitlines()
    assert [line for line in printed if "note" in line] == [f"note: {note}" for note in notes]


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        (
            "channel_swap = [2, 1, 0]",
            "{folder}/netsurgery.toml: channel_swap: channel swap 2,1,0: the net's input has one "
            "channel; leave it out",
        ),
        (
            "mean = [1.0, 2.0]",
            "{folder}/netsurgery.toml: mean: mean 1,2: 2 channels, but the net's input has 1; "
            "--mean takes a number a channel, one for all, or a file of 1 x height x width",
        ),
        (
            "raw_scale = 0.0",
            "{folder}/netsurgery.toml: raw_scale: a scale of 0 leaves nothing of a picture",
        ),
    ],
)
def test_settings_that_do_not_fit(
    folder: Path, capsys: pytest.CaptureFixture[str], settings: str, what: str
) -> None:
    Path("netsurgery.toml").write_text(f"[preprocess]\n{settings}\n")
    assert export(CLASSIFIER, "-o", "net.onnx", "--with-preprocess") == 1
    assert capsys.readouterr().err == f"error: {what.format(folder=folder)}\n"
    assert not os.path.exists("net.onnx")


def test_standard_input_has_no_settings(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not those of the folder that keeps it, nor of one above."""
    monkeypatch.setenv("TMPDIR", str(folder / "scratch"))
    monkeypatch.setattr("tempfile.tempdir", None)
    Path("scratch").mkdir(mode=0o700)
    Path("scratch/netsurgery.toml").write_text("[preprocess]\nraw_scale = 255.0\n")
    Path("netsurgery.toml").write_text("[preprocess]\nraw_scale = 255.0\n")
    for more in ([], ["--trust-config"]):
        content = io.BytesIO(Path("deploy.prototxt").read_bytes())
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(content))
        files = ("-", "model.caffemodel")
        assert export(files, "-o", "net.onnx", "--with-preprocess", *more) == 1
        assert capsys.readouterr().err == (
            "error: standard input lies beside no netsurgery.toml that says how pictures are made "
            "ready; give the prototxt as a file, or leave out --with-preprocess\n"
        )
        assert not os.path.exists("net.onnx")


def test_a_preset_of_other_nets() -> None:
    with pytest.raises(ns.SettingsError, match="preset mobilenet is of nets with a color input"):
        ns.export_onnx(*CLASSIFIER, preprocess=ns.Settings(preprocess="mobilenet"))


def test_an_output_that_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    Path("net.onnx").write_text("mine")
    assert export(CLASSIFIER, "-o", "net.onnx") == 1
    assert capsys.readouterr().err == "error: net.onnx: exists already; --force replaces it\n"
    assert Path("net.onnx").read_text() == "mine"
    assert export(CLASSIFIER, "-o", "net.onnx", "--force", "-q") == 0


def test_a_net_whose_graph_depends_on_the_size(capsys: pytest.CaptureFixture[str]) -> None:
    net = 'input: "x" input_shape { dim: 1 dim: 3 dim: 9 dim: 9 }\n'
    net += 'layer { name: "p" type: "SPP" bottom: "x" top: "y" spp_param { pyramid_height: 2 } }\n'
    Path("deploy.prototxt").write_text(net)
    assert export(CLASSIFIER, "-o", "net.onnx") == 0
    assert capsys.readouterr().out == (
        "input x: [batch, 3, 9, 9]\n"
        "output y: [batch, 15]\n"
        "height and width are fixed: the graph of layer 'p' depends on the input's size\n"
        "wrote net.onnx\n"
    )


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        ("Python", "export does not write this type of Caffe 1.0"),
        (
            "Accuracy",
            "it is there for training; a deploy net, whose inputs are given, can be exported",
        ),
        (
            "ImageData",
            "it reads data of its own; a deploy net, whose inputs are given, can be exported",
        ),
    ],
)
def test_a_net_that_cannot_be_written(
    capsys: pytest.CaptureFixture[str], kind: str, what: str
) -> None:
    net = 'input: "x" input_shape { dim: 1 dim: 3 dim: 9 dim: 9 }\n'
    net += 'layer { name: "p" type: "TYPE" bottom: "x" top: "y" }\n'.replace("TYPE", kind)
    Path("deploy.prototxt").write_text(net)
    assert export(CLASSIFIER, "-o", "net.onnx") == 1
    assert capsys.readouterr().err == (f"error: deploy.prototxt:2:7: layer 'p' ({kind}): {what}\n")


DETECTING = """\
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: [1, 3, 9, 9] } } }
layer { name: "loc" type: "Convolution" bottom: "data" top: "loc"
        convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "a" type: "Flatten" bottom: "loc" top: "a" }
layer { name: "b" type: "Sigmoid" bottom: "a" top: "the b" }
layer { name: "out" type: "TYPE" BOTTOMS top: "out" }
layer { name: "after" type: "Power" bottom: "out" top: "after" }
layer { name: "beside" type: "TanH" bottom: "loc" top: "beside" }
"""
WHAT_IT_READS, LAST = "what it reads can be exported", "the last blob that can be exported"


@pytest.mark.parametrize(
    ("kind", "reads", "words", "blobs", "what"),
    [
        ("DetectionOutput", ["a", "the b", "data"], "--blob a --blob 'the b'", ["a", "the b"],
         WHAT_IT_READS),
        ("Python", ["the b"], "--blob 'the b'", ["the b"], WHAT_IT_READS),
        ("Mystery", ["a"], "--blob a", ["a"], WHAT_IT_READS),
        ("Python", ["data"], "--blob beside", ["beside"], LAST),
        ("Python", ["data", "loc", "a", "the b", "out0", "out1"], "--blob beside", ["beside"],
         LAST),
    ],
)  # fmt: skip
def test_what_can_be_exported_instead(
    kind: str,
    reads: list[str],
    words: str,
    blobs: list[str],
    what: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    more = "".join(
        f'layer {{ name: "{name}" type: "TanH" bottom: "loc" top: "{name}" }}\n'
        for name in reads
        if name.startswith("out")
    )
    bottoms = " ".join(f'bottom: "{blob}"' for blob in reads)
    before, out = DETECTING.split('layer { name: "out"')
    out = 'layer { name: "out"' + out.replace("TYPE", kind).replace("BOTTOMS", bottoms)
    Path("net.prototxt").write_text(before + more + out)
    Path("before.prototxt").write_text(before)
    ns.init("before.prototxt", "net.caffemodel")
    files = "net.prototxt", "net.caffemodel"
    assert export(files, "-o", "net.onnx") == 1
    err = capsys.readouterr().err
    assert f": layer 'out' ({kind}): export does not " in err
    assert err.endswith(f"; {what}: {words}\n")
    with pytest.raises(ns.PrototxtError, match=rf"; {what}: blobs={re.escape(str(blobs))}$"):
        ns.export_onnx(*files)
    # What it names can be done.
    assert export(files, "-o", "net.onnx", *shlex.split(words)) == 0
    assert [output.name for output in opened("net.onnx").get_outputs()] == blobs


def test_more_than_onnx_holds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("netsurgery.export.onnx.LARGEST", 1000)
    assert export(CLASSIFIER, "-o", "net.onnx") == 1
    err = capsys.readouterr().err
    assert err.startswith("error: the model would be ")
    assert err.endswith(
        " bytes, and ONNX takes at most 1000 in one file; --weights-storage linked leaves the "
        "weights in the caffemodel\n"
    )
    assert not os.path.exists("net.onnx")


def test_standard_output(folder: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert export(CLASSIFIER, "-o", "-") == 0
    seen = capfdbinary.readouterr()
    assert export(CLASSIFIER, "-o", "net.onnx", "-q") == 0
    assert seen.out == (folder / "net.onnx").read_bytes()
    assert seen.err.startswith(b"input data: [batch, 1, 32, 32]\n")
    assert b"wrote" not in seen.err
    assert export(CLASSIFIER, "-o", "-", "--json") == 2
    assert export(CLASSIFIER, "-o", "-", "--weights-storage", "linked") == 1
    assert capfdbinary.readouterr().out == b""
    assert not (folder / "-").exists()


def test_nothing_is_written_without_a_place(folder: Path) -> None:
    before = set(folder.iterdir())
    with ns.export_onnx(*CLASSIFIER) as result:
        assert str(result) == "input data: [batch, 1, 32, 32]; output prob: [batch, 11]"
        assert set(folder.iterdir()) == before
        assert result.save("saved.onnx") == ("saved.onnx",)
        assert "saved.onnx" in repr(result.to_json())
        assert "batch" in result._repr_html_()
    assert export(CLASSIFIER, "-q", "-o", "direct.onnx") == 0
    assert Path("saved.onnx").read_bytes() == Path("direct.onnx").read_bytes()


def test_an_open_net_is_exported_with_its_present_params() -> None:
    with ns.Net(*CLASSIFIER) as net:
        net.params["ip2"][0][...] = 0
        net.params["ip2"][1][...] = np.arange(11)
        ns.export_onnx(net, output="net.onnx")
    (scores,) = opened("net.onnx").run(None, {"data": pictures(1, 1, 32, 32)})
    expected = np.exp(np.arange(11.0)) / np.exp(np.arange(11.0)).sum()
    np.testing.assert_allclose(scores[0], expected, rtol=1e-5)


@pytest.mark.parametrize("force", [[], ["--force"]])
def test_the_ending_of_another_format_is_refused(
    force: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("old.pb").write_text("kept")
    for name in ("net.pb", "old.pb"):
        assert export(CLASSIFIER, "-o", name, *force) == 2
        assert capsys.readouterr().err == (
            f"error: {name}: expected a name ending in .onnx, which is what is written\n"
        )
    assert Path("old.pb").read_text() == "kept"
