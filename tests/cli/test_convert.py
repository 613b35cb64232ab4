"""The command `convert`, at the protobuf level: Caffe's part in it is judged in parity/."""

from __future__ import annotations

import difflib
import io
import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from small_models import model_layer

import netsurgery as ns
from netsurgery.cli import run
from netsurgery.errors import EngineFailed
from netsurgery.formats.caffemodel import Caffemodel
from netsurgery.formats.prototxt import Prototxt
from netsurgery.formats.settings import read_settings
from netsurgery.io.files import Outputs
from netsurgery.verbs.conversion import _save

WEIGHTS, PROTOTXT, SETTINGS = (
    "model_full_conv.caffemodel",
    "deploy_full_conv.prototxt",
    "netsurgery.toml",
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, repo_root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with the bundled net in it, as deploy.prototxt and model.caffemodel."""
    monkeypatch.setenv("NETSURGERY_ENGINE", "embedded")
    shutil.copy(repo_root / "prototxt" / "digits_deploy.prototxt", tmp_path / "deploy.prototxt")
    shutil.copy(
        repo_root / "models" / "digits" / "digits.caffemodel", tmp_path / "model.caffemodel"
    )
    shutil.copy(repo_root / "models" / "digits" / "digits_labels.txt", tmp_path / "labels.txt")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def convert(*options: str) -> int:
    return run(["convert", "deploy.prototxt", "model.caffemodel", *options])


def new_files() -> set[str]:
    return set(os.listdir()) - {"deploy.prototxt", "model.caffemodel", "labels.txt"}


def test_it_prints_a_table_and_says_what_it_wrote(capsys: pytest.CaptureFixture[str]) -> None:
    assert convert() == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[:6] == [
        "layer  params      becomes   params",
        "ip1    96x128, 96  ip1-conv  96x32x2x2, 96",
        "ip2    11x96, 11   ip2-conv  11x96x1x1, 11",
        "data   1x1x32x32             1x1x88x88",
        "map prob: 1x11x8x8",
        "window of a cell: 32x32 pixels, one every 8 x 8 pixels",
    ]
    assert lines[6].startswith("by embedded in ")
    assert lines[7:] == [
        *(f"wrote {name}" for name in (WEIGHTS, SETTINGS, PROTOTXT)),
        "next: netsurgery classify-map IMAGE",
    ]
    assert err == ""
    assert new_files() == {WEIGHTS, SETTINGS, PROTOTXT}


def test_what_it_wrote_is_a_net_and_its_weights() -> None:
    assert convert() == 0
    with Caffemodel.open(WEIGHTS) as new, Caffemodel.open("model.caffemodel") as old:
        assert new.net_name == "DigitsConv"
        moved, before = new.layer("ip1-conv"), old.layer("ip1")
        assert moved.type == "Convolution"
        assert moved.tops == ("ip1-conv",)
        assert [blob.shape for blob in moved.blobs] == [(96, 32, 2, 2), (96,)]
        assert moved.blobs[0].numpy().tobytes() == before.blobs[0].numpy().tobytes()
        relu = next(layer for layer in new.layers if layer.name == "relu4")
        assert (relu.bottoms, relu.tops) == (("ip1-conv",), ("ip1-conv",))


def test_json_says_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert convert("--json", "--map-size", "3x5") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["layers"][0] == {
        "name": "ip1",
        "new_name": "ip1-conv",
        "params": [
            {"index": 0, "shape": [96, 128], "new_shape": [96, 32, 2, 2]},
            {"index": 1, "shape": [96], "new_shape": [96]},
        ],
        "transposed": False,
        "reordered": False,
    }
    assert facts["inputs"] == [
        {
            "name": "data",
            "shape": [1, 1, 32, 32],
            "new_shape": [1, 1, 48, 64],
            "window": [32, 32],
            "stride": [8.0, 8.0],
        }
    ]
    assert facts["maps"] == {"prob": [1, 11, 3, 5]}
    engine = {"name": "embedded", "description": "embedded", "note": None}
    assert (facts["engine"], facts["dry_run"], facts["diff"]) == (engine, False, None)
    assert facts["next"] == "netsurgery classify-map IMAGE"
    assert (facts["weights"], facts["prototxt"]) == (WEIGHTS, PROTOTXT)


@pytest.mark.parametrize(
    "place", [["-o", "out"], ["-o", "a b"], ["-o", "."], ["-o", "out", "-n"], ["-o", "out", "-y"]]
)
def test_the_next_command_runs(
    place: list[str], capsys: pytest.CaptureFixture[str], repo_root: Path
) -> None:
    """As it is printed, but for the picture; also where a netsurgery.toml was there."""
    options = place[2:]
    if options:
        Path("out").mkdir()
        name = "other.prototxt" if options == ["-n"] else PROTOTXT
        Path("out", SETTINGS).write_text(
            f'[model]\nprototxt = "{name}"\nweights = "{WEIGHTS}"\n[preprocess]\nraw_scale = 1\n'
        )
        place = place[:2]
    assert convert(*place, "--input-scale", "0.5") == 0
    next_command = capsys.readouterr().out.splitlines()[-1].removeprefix("next: ")
    picture = repo_root / "examples" / "digits_canvas.png"
    bin_folder = str(Path(sys.executable).parent)
    done = subprocess.run(
        next_command.replace("IMAGE", shlex.quote(str(picture))),
        shell=True, capture_output=True, text=True,
        env={**os.environ, "PATH": f"{bin_folder}:{os.environ['PATH']}"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "map" in done.stdout
    assert ("--prototxt" in next_command) is (options == ["-n"])


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_verified_outputs_are_compared_with_the_net_that_was_read(
    mark: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = Path("deploy.prototxt").read_text()
    Path("deploy.prototxt").write_bytes(mark + old.encode())
    read, parse = [], Prototxt.parse

    def counted(text: str, path: str = "<text>") -> Prototxt:
        read.append(text.removeprefix("\ufeff"))
        return parse(text, path)

    monkeypatch.setattr(Prototxt, "parse", counted)
    assert convert("-q", "--engine", "embedded") == 0
    without = read.count(old)
    read.clear()
    assert convert("-q", "--force", "--engine", "embedded", "--verify") == 0
    assert read.count(old) == without


def test_a_plan_that_is_to_be_verified_is_refused() -> None:
    with pytest.raises(ns.SurgeryError, match="verify and dry_run exclude each other"):
        ns.convert("deploy.prototxt", "model.caffemodel", "out", verify=True, dry_run=True)
    assert new_files() == set()


def test_nothing_is_written_without_a_place() -> None:
    """The result has the net; what it saves is what the command writes."""
    files = "deploy.prototxt", "model.caffemodel"
    with ns.convert(*files, map_size=(3, 5), engine="embedded", verify=True) as result:
        assert (result.written, new_files(), result.engine) == ((), set(), "")
        assert result.verification is not None
        assert result.verification.verified
        with result.net as net:
            assert net.blobs["prob"].shape == (1, 11, 3, 5)
            assert net.params["ip1-conv"][0].shape == (96, 32, 2, 2)
            assert new_files() == set()
            assert result.save("out") == tuple(
                f"out/{name}" for name in (WEIGHTS, SETTINGS, PROTOTXT)
            )
            net.params["ip2-conv"][1][...] = 4
            net.save("changed.caffemodel", "changed.prototxt")
        record = result.to_json()
    assert convert("-q", "-o", "again", "--map-size", "3x5") == 0
    for name in (WEIGHTS, SETTINGS, PROTOTXT):
        assert Path("out", name).read_bytes() == Path("again", name).read_bytes()
    assert record["prototxt"] == f"out/{PROTOTXT}"
    assert record["next"] == "cd out && netsurgery classify-map IMAGE"
    with ns.Net("changed.prototxt", "changed.caffemodel") as net:
        assert set(net.params["ip2-conv"][1].tolist()) == {4.0}


def test_an_open_net_is_converted_with_its_present_params() -> None:
    with ns.Net("deploy.prototxt", "model.caffemodel") as net:
        net.params["ip2"][1][...] = 7
        with ns.convert(net) as result, result.net as new:
            assert set(new.params["ip2-conv"][1].tolist()) == {7.0}
            assert result.save("out")[0] == "out/deploy_full_conv.caffemodel"
        assert set(net.params["ip2"][1].tolist()) == {7.0}
    with ns.Net(f"out/{PROTOTXT}", "out/deploy_full_conv.caffemodel") as saved:
        assert set(saved.params["ip2-conv"][1].tolist()) == {7.0}


def test_a_net_alone_is_planned() -> None:
    with ns.convert("deploy.prototxt", input_size=(40, 48)) as result:
        assert str(result) == "ip1, ip2 fully convolutional; map prob: 1x11x2x3"
        assert len(repr(result.to_json())) > len(str(result))
        assert "ip1-conv" in result._repr_html_()
        assert result.net.blobs["prob"].shape == (1, 11, 2, 3)
        with pytest.raises(ns.NetError, match="no weights are given"):
            result.save("out")
    assert new_files() == set()


def test_quiet_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    assert convert("-q") == 0
    assert capsys.readouterr() == ("", "")


def test_a_dry_run_shows_the_diff_and_writes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert convert("--dry-run") == 0
    out = capsys.readouterr().out
    assert new_files() == set()
    shown = out[out.index("--- ") :]
    assert convert("-q") == 0
    old, new = Path("deploy.prototxt").read_text(), Path(PROTOTXT).read_text()
    diff = difflib.unified_diff(
        old.splitlines(keepends=True), new.splitlines(keepends=True), "deploy.prototxt", PROTOTXT
    )
    assert shown == "".join(diff)
    assert f"would write {WEIGHTS}, {SETTINGS}, {PROTOTXT}" in out
    assert convert("--dry-run") == 0
    assert f"note: {WEIGHTS} exists already; --force replaces it" in capsys.readouterr().out


@pytest.mark.parametrize("flag", [["--labels", "none.txt"], ["--mean", "1,2,3"]])
def test_a_dry_run_refuses_what_the_run_would(
    flag: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert convert("--dry-run", *flag) == 1
    assert capsys.readouterr().out == ""


def test_a_dry_run_refuses_the_folders_that_the_run_would(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for folder in ("no/such", "deploy.prototxt/in"):
        reason = f"there is no folder {folder}; make it first (mkdir -p)"
        for more in ([], ["--dry-run"]):
            assert convert("-o", folder, *more) == 1
            assert capsys.readouterr() == ("", f"error: {folder}/{WEIGHTS}: {reason}\n")
        assert new_files() == set()
    assert convert("-o", "new", "--dry-run") == 0


def test_a_prototxt_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    text = Path("deploy.prototxt").read_bytes()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text)))
    assert run(["convert", "-", "model.caffemodel", "-q"]) == 0
    assert new_files() == {WEIGHTS, SETTINGS, "net_full_conv.prototxt"}
    assert convert("-q", "--force") == 0
    assert Path("net_full_conv.prototxt").read_bytes() == Path(PROTOTXT).read_bytes()


def test_a_byte_order_mark_is_said_and_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    text = Path("deploy.prototxt").read_bytes()
    Path("deploy.prototxt").write_bytes(b"\xef\xbb\xbf" + text)
    assert convert() == 0
    assert "note: the prototxt's byte order mark, which Caffe" in capsys.readouterr().out
    assert Path(PROTOTXT).read_bytes().startswith(b"#")


def test_where_the_outputs_go() -> None:
    assert convert("-q", "-o", "there") == 0
    assert set(os.listdir("there")) == {WEIGHTS, SETTINGS, PROTOTXT}
    os.mkdir("nets")
    named = ["--prototxt-out", "nets/a.prototxt", "--weights-out", "b.caffemodel"]
    assert convert("-q", *named) == 0
    assert set(os.listdir("nets")) == {"a.prototxt", SETTINGS}
    settings = read_settings(Path("nets") / SETTINGS)
    assert settings.weights is not None
    assert settings.weights.resolve() == Path("b.caffemodel").resolve()


def test_a_folder_made_for_nothing_is_taken_away(capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy("labels.txt", "other.caffemodel")
    assert run(["convert", "deploy.prototxt", "other.caffemodel", "-o", "there"]) == 1
    text = Path("deploy.prototxt").read_text().replace("num_output: 96", "num_output: 95")
    Path("deploy.prototxt").write_text(text)
    assert convert("-o", "there") == 1
    assert new_files() == {"other.caffemodel"}
    assert convert("-o", "no/such/place") == 1
    assert "param 0" in capsys.readouterr().err


def test_suffix_and_layers(capsys: pytest.CaptureFixture[str]) -> None:
    assert convert("--suffix", "_fc", "--layers", " ip1 ") == 0
    out = capsys.readouterr().out
    assert "ip1_fc" in out
    assert "ip2_fc" not in out
    assert "note: input 'data' stays at 32x32: layer 'ip2': its params are 11x96 and 11" in out
    assert 'name: "ip2"' in Path(PROTOTXT).read_text()


def test_a_training_net_is_given_its_inputs_shape(capsys: pytest.CaptureFixture[str]) -> None:
    text = Path("deploy.prototxt").read_text()
    start, end = text.index("layer {"), text.index("layer {", text.index("layer {") + 1)
    data = 'layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TRAIN } }\n'
    Path("deploy.prototxt").write_text(text[:start] + data + text[end:])
    assert convert("--phase", "TRAIN") == 1
    assert "--input-shape data=NxCxHxW gives it" in capsys.readouterr().err
    assert convert("--phase", "TRAIN", "--input-shape", "data=7x1x32x32") == 0
    out = capsys.readouterr().out
    assert (
        "note: data layer 'data' (Data) becomes an Input of 7x1x32x32, without its 'label'" in out
    )
    assert "note: the batch of 7 of input 'data' becomes 1" in out
    text = Path("deploy_full_conv.prototxt").read_text()
    assert 'type: "Input" input_param { shape { dim: 1 dim: 1 dim: 88 dim: 88 } }' in text
    assert "label" not in text


def test_layers_that_cannot_be_converted_can_be_skipped(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = Path("deploy.prototxt").read_text()
    odd = 'layer { name: "odd" type: "Reduction" bottom: "ip2" top: "odd" }\n'
    Path("deploy.prototxt").write_text(text + odd)
    assert convert() == 1
    assert "layer 'odd': a Reduction may not treat every position of a map alike" in (
        capsys.readouterr().err
    )
    assert new_files() == set()
    assert convert("--on-refusal", "skip") == 0
    out = capsys.readouterr().out
    assert "note: left as it is: layer 'odd': a Reduction may not" in out
    assert "note: input 'data' stays at 32x32: layer 'ip2': its params are 11x96" in out
    assert 'name: "ip1-conv"' in Path(PROTOTXT).read_text()
    assert 'name: "ip2"' in Path(PROTOTXT).read_text()


def test_the_settings_remember_the_preprocessing() -> None:
    flags = ["--mean", "0.25", "--raw-scale", "255", "--channel-swap", "0"]
    assert convert("-q", *flags, "--input-scale", "0.5", "--labels", "labels.txt") == 0
    settings = read_settings(SETTINGS)
    assert settings.prototxt == Path(PROTOTXT)
    assert settings.weights == Path(WEIGHTS)
    assert settings.window == (32, 32)
    assert settings.mean == (0.25,)
    assert (settings.raw_scale, settings.input_scale) == (255.0, 0.5)
    assert settings.channel_swap == (0,)
    assert settings.labels == Path("labels.txt")


def test_settings_that_are_there_are_kept(capsys: pytest.CaptureFixture[str]) -> None:
    Path(SETTINGS).write_text("[classes]\nlabels = 'mine.txt'\n")
    assert convert() == 0
    out = capsys.readouterr().out
    assert f"note: {SETTINGS} is there already and was kept as it is\n" in out
    assert f"wrote {SETTINGS}" not in out
    assert Path(SETTINGS).read_text() == "[classes]\nlabels = 'mine.txt'\n"


def test_settings_of_another_net_are_reported(capsys: pytest.CaptureFixture[str]) -> None:
    Path(SETTINGS).write_text("[model]\nprototxt = 'lenet_full_conv.prototxt'\n")
    assert convert("--raw-scale", "255") == 0
    assert (
        f"note: {SETTINGS} is there already and was kept as it is: it names another net, "
        "lenet_full_conv.prototxt; the preprocessing given now is not in it\n"
    ) in capsys.readouterr().out


def test_names_that_toml_cannot_hold_leave_it_out(capsys: pytest.CaptureFixture[str]) -> None:
    odd = os.fsdecode(b"\xff.prototxt")
    os.rename("deploy.prototxt", odd)
    assert run(["convert", odd, "model.caffemodel"]) == 0
    assert "note: no netsurgery.toml is written: " in capsys.readouterr().out
    assert new_files() - {odd} == {WEIGHTS, os.fsdecode(b"\xff_full_conv.prototxt")}


def test_outputs_that_exist_need_force(capsys: pytest.CaptureFixture[str]) -> None:
    Path(WEIGHTS).write_bytes(b"mine")
    assert convert() == 1
    assert capsys.readouterr().err == f"error: {WEIGHTS}: exists already; --force replaces it\n"
    assert new_files() == {WEIGHTS}
    assert Path(WEIGHTS).read_bytes() == b"mine"
    assert convert("-q", "--force") == 0
    assert Path(WEIGHTS).stat().st_size > 10_000


def test_an_input_is_never_an_output(capsys: pytest.CaptureFixture[str]) -> None:
    before = Path("model.caffemodel").read_bytes()
    assert convert("--force", "--weights-out", "model.caffemodel") == 1
    assert "model.caffemodel" in capsys.readouterr().err
    assert Path("model.caffemodel").read_bytes() == before
    assert new_files() == set()


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (
            ["--layers", "ip9"],
            "error: deploy.prototxt: no layer named 'ip9'; did you mean ip1 or ip2?\n",
        ),
        (
            ["--layers", "conv1"],
            "error: deploy.prototxt: layer 'conv1' is of type Convolution, expected InnerProduct; "
            "there are ip1, ip2\n",
        ),
        (["--suffix", ""], "error: the suffix is empty: Caffe would load the old params by name\n"),
        (["--mean", "none.npy"], "error: none.npy: No such file or directory\n"),
        (
            ["--mean", "1,2,3"],
            "error: mean 1,2,3: 3 channels, but the net's input has 1; --mean takes a number a "
            "channel, one for all, or a file of 1 x height x width\n",
        ),
        (
            ["--channel-swap", "2,1,0"],
            "error: channel swap 2,1,0: the net's input has one channel; leave it out\n",
        ),
        (["--labels", "none.txt"], "error: none.txt: No such file or directory\n"),
    ],
)
def test_refusals_are_one_line_and_leave_nothing(
    options: list[str], what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert convert(*options) == 1
    assert capsys.readouterr() == ("", what)
    assert new_files() == set()


@pytest.mark.parametrize(
    "options",
    [["--input-size", "0x5"], ["--input-size", "big"], ["--map-size", "2", "--input-size", "9"],
     ["--channel-swap", "1,1"], ["--nonsense"], ["--input-shape", "data"], ["--engine", "other"]],
)  # fmt: skip
def test_wrong_usage_exits_with_2(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert convert(*options) == 2
    assert "(try netsurgery convert --help)" in capsys.readouterr().err
    assert new_files() == set()


def test_a_net_that_is_convolutional_already(capsys: pytest.CaptureFixture[str]) -> None:
    assert convert("-q") == 0
    assert run(["convert", PROTOTXT, WEIGHTS]) == 1
    assert capsys.readouterr().err == (
        f"error: {PROTOTXT}: the net has no InnerProduct layer; it is already convolutional\n"
    )
    assert run(["convert", PROTOTXT, WEIGHTS, "--stride", "2", "--upsample"]) == 1
    assert capsys.readouterr().err.endswith(
        "it is already convolutional; `netsurgery dense` makes its map finer (--stride 2); "
        "`netsurgery classify-map` interpolates its map (--upsample pixels)\n"
    )


@pytest.mark.parametrize(
    ("edit", "what"),
    [
        (
            ("num_output: 96", "num_output: 95"),
            "error: model.caffemodel: layer 'ip1': param 0 is 96x128 in the model, expected "
            "95x128; layer 'ip1': param 1 is 96 in the model, expected 95; "
            "layer 'ip2': param 0 is 11x96 in the model, expected 11x95\n",
        ),
        (
            ('name: "ip1"', 'name: "fc1"'),
            "error: model.caffemodel: no params for layer 'fc1' of deploy.prototxt; layer 'ip1', "
            "which the net does not have, has params of its shapes: name it 'ip1' if it is the "
            "same layer; netsurgery init --missing fills them on purpose\n",
        ),
        (
            ("num_output: 96", "num_output: 96 bias_term: false"),
            "error: model.caffemodel: layer 'ip1': the model has 2 params for it, expected 1\n",
        ),
    ],
)
def test_weights_that_do_not_fit_the_net(
    edit: tuple[str, str], what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = Path("deploy.prototxt").read_text()
    assert edit[0] in text
    Path("deploy.prototxt").write_text(text.replace(*edit))
    assert convert() == 1
    assert capsys.readouterr() == ("", what)
    assert new_files() == set()


@pytest.mark.parametrize("more", [["--engine", "embedded"], ["--dry-run"]])
def test_layers_without_params_are_refused(
    more: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    text = Path("deploy.prototxt").read_text()
    Path("deploy.prototxt").write_text(text.replace('name: "conv2"', 'name: "other"'))
    assert run(["convert", "deploy.prototxt", "model.caffemodel", *more]) == 1
    words = (
        "error: model.caffemodel: no params for layer 'other' of deploy.prototxt; layer "
        "'conv2', which the net does not have, has params of its shapes: name it 'conv2' if it is "
        "the same layer; "
    )
    assert capsys.readouterr() == ("", f"{words}netsurgery init --missing fills them on purpose\n")
    assert new_files() == set()


def test_params_without_layer_are_reported(capsys: pytest.CaptureFixture[str]) -> None:
    extra = model_layer("aux", "Bias", np.ones(3, "f4"))
    Path("model.caffemodel").write_bytes(Path("model.caffemodel").read_bytes() + extra)
    assert convert() == 0
    out = capsys.readouterr().out
    assert "note: params of layers that are not in the net ('aux') are kept in the new one\n" in out
    with Caffemodel.open(WEIGHTS) as new:
        assert len(new.layer("aux").blobs) == 1


def test_files_given_the_wrong_way_round(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["convert", "model.caffemodel", "deploy.prototxt"]) == 1
    assert capsys.readouterr().err == (
        "error: model.caffemodel: is binary data, expected a prototxt; "
        "are the prototxt and the caffemodel exchanged?\n"
    )


def test_broken_downloads(shared_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("age_net_html.caffemodel", "gtsrb_lfs_pointer.caffemodel"):
        assert run(["convert", "deploy.prototxt", str(shared_data / "broken" / name)]) == 1
        err = capsys.readouterr().err
        assert err.startswith("error: ")
        assert err.count("\n") == 1
    assert new_files() == set()


@pytest.mark.parametrize("option", ["--prototxt-out", "--weights-out"])
def test_outputs_that_go_together_do_not_go_to_standard_output(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(tmp_path.iterdir())
    assert run(["convert", "deploy.prototxt", "model.caffemodel", option, "-"]) == 1
    assert capsys.readouterr() == (
        "",
        "error: -: this output does not go to standard output; "
        "name a file (./- for one called -)\n",
    )
    assert sorted(tmp_path.iterdir()) == before


def test_what_caffe_could_not_save_is_recognised_by_its_own_name(tmp_path: Path) -> None:
    def save(path: Path) -> None:
        raise EngineFailed(f"{path}: Caffe could not write it; is the disk full?")

    out = tmp_path / "new.caffemodel"
    with Outputs([out]) as outputs, pytest.raises(EngineFailed) as caught:
        _save(save, outputs[out])
    assert str(caught.value) == f"{out}: Caffe could not write it; is the disk full?"


def test_the_phase_in_lower_case(capsys: pytest.CaptureFixture[str]) -> None:
    assert convert("-q", "--phase", "train", "--verify") == 1
    assert "converted in the TRAIN phase cannot be verified" in capsys.readouterr().err
    assert new_files() == set()
    assert convert("-q", "--phase", "train") == 0
    assert new_files() == {WEIGHTS, PROTOTXT, SETTINGS}


@pytest.mark.parametrize("options", [[], ["--input-shape", "data=2x1x8x8"]])
def test_what_cannot_be_verified_is_said_of_the_outputs(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, options: list[str]
) -> None:
    """Of a net that reads its labels, by the names of the files that the user knows."""
    net = tmp_path / "labelled.prototxt"
    net.write_text(
        'layer { name: "d" type: "MemoryData" top: "data" top: "label"\n'
        "  memory_data_param { batch_size: 2 channels: 1 height: 8 width: 8 } }\n"
        'layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc"\n'
        "  inner_product_param { num_output: 3 } }\n"
        'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" }\n'
    )
    model = str(tmp_path / "labelled.caffemodel")
    assert run(["init", "-q", str(net), "-o", model]) == 0
    out = str(tmp_path / "out")
    args = ["convert", str(net), model, "-o", out, "--engine", "embedded", "--verify"]
    assert run([*args, *options]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"error: {net} declares no input; the same input must go into both")
    assert "netsurgery-tmp" not in error
    assert error.count("data layer 'd' stays") == 1
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())
