"""Preprocessing by name: in every command and call it does what its numbers do."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import netsurgery as ns
from netsurgery.cli import run
from netsurgery.cli.classify_map import command as classify_map
from netsurgery.cli.preprocess_options import PRESET
from netsurgery.drawing.scene import Text
from netsurgery.formats.found_settings import merged
from netsurgery.formats.presets import PRESETS, PresetName, find_preset
from netsurgery.formats.settings import as_settings
from netsurgery.maps.heatmap import map_scene

#: Messages are compared as the command words them.
pytestmark = pytest.mark.usefixtures("option_names")

NET = """
input: "data" input_shape { dim: [1, CHANNELS, 8, 8] }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "fc" type: "InnerProduct" bottom: "conv" top: "fc"
  inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }
"""
#: For each preset, the options that say the same.
NUMBERS = {
    "bvlc": "--raw-scale 255 --channel-swap 2,1,0 --mean 104,117,123",
    "bvlc-mean=mean.npy": "--raw-scale 255 --channel-swap 2,1,0 --mean mean.npy",
    "rgb01": "--raw-scale 1",
    "scaled": "--raw-scale 255 --input-scale 0.00390625",
    "mobilenet": "--raw-scale 255 --channel-swap bgr --mean 103.94,116.78,123.68 "
    "--input-scale 0.017",
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NETSURGERY_ENGINE", "embedded")
    for name, channels in (("color", 3), ("grey", 1)):
        Path(f"{name}.prototxt").write_text(NET.replace("CHANNELS", str(channels)))
        ns.init(f"{name}.prototxt", f"{name}.caffemodel")
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    Image.fromarray(pixels).save("cat.png")
    np.save("mean.npy", np.random.default_rng(1).uniform(90, 130, (3, 8, 8)).astype("f4"))
    return tmp_path


def net_of(preset: str) -> str:
    return "grey" if preset == "scaled" else "color"


def mapped(options: str, net: str) -> NDArray[np.float32]:
    words = f"cat.png --prototxt {net}.prototxt --weights {net}.caffemodel --blob conv"
    assert run(["classify-map", *f"{words} --npy map.npy -q --force {options}".split()]) == 0
    return np.load("map.npy")  # type: ignore[no-any-return]


def taken(options: str, net: str) -> NDArray[np.float32]:
    words = f"cat.png --prototxt {net}.prototxt --weights {net}.caffemodel --blob conv"
    assert run(["features", *f"{words} -o f.npy -q --force {options}".split()]) == 0
    return np.load("f.npy")  # type: ignore[no-any-return]


def converted(options: str, net: str) -> NDArray[np.float32]:
    files = f"{net}.prototxt {net}.caffemodel -o out"
    Path("out").mkdir(exist_ok=True)
    Path("out/netsurgery.toml").unlink(missing_ok=True)
    assert run(["convert", *f"{files} -q --force --map-size 1 {options}".split()]) == 0
    return ns.classify_map("cat.png", "out/netsurgery.toml", engine="embedded").values


@pytest.mark.parametrize("call", [mapped, taken, converted])
@pytest.mark.parametrize("preset", NUMBERS)
def test_a_preset_does_what_its_numbers_do(
    preset: str, call: Callable[[str, str], NDArray[np.float32]]
) -> None:
    net = net_of(preset)
    named, spelled = call(f"--preprocess {preset}", net), call(NUMBERS[preset], net)
    assert np.array_equal(named, spelled)
    if preset != "rgb01":  # which is what a net is fed without any
        assert not np.array_equal(named, call("", net))


@pytest.mark.parametrize("preset", [name for name in PRESETS if not PRESETS[name].mean_file])
def test_verify_takes_presets(preset: str, capsys: pytest.CaptureFixture[str]) -> None:
    def outputs(options: str) -> Any:
        pair = f"{net_of(preset)}.prototxt {net_of(preset)}.caffemodel"
        words = f"{pair} {pair} --image cat.png --json {options}"
        assert run(["verify", *words.split()]) == 0
        return json.loads(capsys.readouterr().out)["outputs"]

    assert outputs(f"--preprocess {preset}") == outputs(NUMBERS[preset])


@pytest.mark.parametrize("preset", get_args(PresetName))
def test_python_takes_presets(preset: PresetName) -> None:
    net = net_of(preset)
    mean = "mean.npy" if preset == "bvlc-mean" else None
    settings = ns.Settings(f"{net}.prototxt", f"{net}.caffemodel", mean=mean)
    option = f"{preset}={mean}" if mean else preset
    expected = mapped(f"--preprocess {option}", net)
    options: Any = {"preprocess": preset, "engine": "embedded"}
    by_map = ns.classify_map("cat.png", settings, blob="conv", **options)
    (by_maps,) = ns.classify_maps("cat.png", settings, blob="conv", **options)
    features = ns.features("cat.png", "conv", settings, **options)
    assert np.array_equal(by_map.values, expected)
    assert np.array_equal(by_maps.values, expected)
    assert np.array_equal(features["conv"].values, expected)


def test_single_values_win_over_the_preset() -> None:
    spelled = "--raw-scale 1 --channel-swap 2,1,0 --mean 104,117,123"
    assert np.array_equal(
        mapped("--preprocess bvlc --raw-scale 1", "color"), mapped(spelled, "color")
    )
    spelled = "--raw-scale 255 --channel-swap 2,1,0 --mean 1,2,3"
    assert np.array_equal(
        mapped("--preprocess bvlc --mean 1,2,3", "color"), mapped(spelled, "color")
    )
    both = ns.Settings(preprocess="mobilenet", input_scale=1)
    assert (both.raw_scale, both.input_scale) == (255, 1)


def test_a_netsurgery_toml_adds_nothing_to_a_preset() -> None:
    Path("netsurgery.toml").write_text("[preprocess]\ninput_scale = 0.5\nmean = [1, 2, 3]\n")
    plain = mapped("--preprocess bvlc", "color")
    assert np.array_equal(plain, mapped("--preprocess bvlc --ignore-config", "color"))
    assert not np.array_equal(plain, mapped("", "color"))
    over = merged(ns.Settings(preprocess="rgb01"), as_settings("netsurgery.toml"))
    assert (over.mean, over.raw_scale, over.input_scale) == (None, 1, None)
    # and the call's preset is in the place of what the settings say
    assert as_settings("netsurgery.toml", "bvlc").input_scale is None


def test_the_command_line_wins_over_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = mapped("--preprocess bvlc", "color")
    monkeypatch.setenv("NETSURGERY_INPUT_SCALE", "0.5")
    monkeypatch.setenv("NETSURGERY_MEAN", "1,2,3")
    assert np.array_equal(mapped("--preprocess bvlc", "color"), plain)
    monkeypatch.setenv("NETSURGERY_PREPROCESS", "bvlc")
    single = mapped("", "color")
    assert np.array_equal(
        single, mapped("--preprocess bvlc --input-scale 0.5 --mean 1,2,3", "color")
    )
    monkeypatch.delenv("NETSURGERY_INPUT_SCALE")
    monkeypatch.delenv("NETSURGERY_MEAN")
    assert np.array_equal(mapped("", "color"), plain)


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        ("--preprocess bvcl", 2, "no preset 'bvcl'; did you mean bvlc?"),
        ("--preprocess imagenet", 2, "its presets are bvlc, bvlc-mean, rgb01, scaled, mobilenet"),
        ("--preprocess bvlc=mean.npy", 2, "bvlc takes no file"),
        ("--preprocess bvlc-mean=", 2, "bvlc-mean takes the file's name"),
        ("--preprocess bvlc-mean", 2, "needs one mean, found none; name its file"),
        ("--preprocess bvlc-mean=mean.npy --mean 1,2,3", 2, "needs one mean, found two"),
        ("--preprocess bvlc-mean=no.npy", 1, "no.npy"),
        ("--preprocess scaled", 1, "preset scaled is of nets with a grey input"),
    ],
)
@pytest.mark.parametrize("command", ["classify-map", "features", "convert", "verify"])
def test_what_contradicts_itself_is_refused(
    command: str, options: str, code: int, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pair = "color.prototxt color.caffemodel"
    model = "--prototxt color.prototxt --weights color.caffemodel --blob conv"
    words = {
        "classify-map": f"cat.png {model} --npy out.npy",
        "features": f"cat.png {model} -o out.npy",
        "convert": f"{pair} -o out",
        "verify": f"{pair} {pair} --image cat.png",
    }[command]
    trouble = 2 if command == "verify" else code
    before = sorted(Path().iterdir())
    assert run([command, *f"{words} {options}".split()]) == trouble
    err = capsys.readouterr().err
    assert says in " ".join(err.split())
    assert "Traceback" not in err
    assert sorted(Path().iterdir()) == before


def test_python_refuses_what_is_no_preset() -> None:
    wrong: Any = "bvcl"
    with pytest.raises(ns.SettingsError, match="did you mean bvlc"):
        ns.Settings(preprocess=wrong)
    with pytest.raises(ns.SettingsError, match="needs a mean"):
        ns.Settings(preprocess="bvlc-mean")
    assert ns.Settings(preprocess="bvlc-mean", mean=[1, 2, 3]).channel_swap == (2, 1, 0)
    with pytest.raises(ns.SettingsError, match="color input"):
        ns.classify_map(
            "cat.png",
            ns.Settings("grey.prototxt", "grey.caffemodel"),
            blob="conv",
            preprocess="bvlc",
        )


def test_they_are_listed_with_their_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["presets"]) == 0
    table = capsys.readouterr().out
    assert [line.split()[0].split("=")[0] for line in table.splitlines()[1:]] == list(PRESETS)
    for number in ("104,117,123", "103.94,116.78,123.68", "0.017", "0.00390625"):
        assert number in table
    assert run(["presets", "--json"]) == 0
    records = json.loads(capsys.readouterr().out)["presets"]
    assert records == [preset.to_json() for preset in ns.presets()]
    assert run(["presets", "-q"]) == 0
    assert capsys.readouterr() == ("", "")


def test_the_names_are_one_list() -> None:
    assert tuple(PRESETS) == get_args(PresetName)
    assert all(find_preset(name).name == name for name in PRESETS)
    option = next(param for param in classify_map.params if param.name == "preset")
    assert all(name in str(getattr(option, "help", "")) for name in PRESETS)
    context: Any = None
    assert [item.value for item in PRESET.shell_complete(context, context, "bvlc")] == [
        "bvlc",
        "bvlc-mean",
    ]


def notes_of_map(options: str, net: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    words = f"cat.png --prototxt {net}.prototxt --weights {net}.caffemodel --blob conv"
    assert run(["classify-map", "cat.png", *words.split(), *options.split(), "--json"]) == 0
    out, err = capsys.readouterr()
    records = [json.loads(line) for line in out.splitlines()]
    assert records[0]["notes"] == records[1]["notes"]
    notes: list[str] = records[0]["notes"]
    assert err.splitlines().count(f"note: {notes[0]}" if notes else "") == len(notes[:1])
    return notes


def notes_of_features(options: str, net: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    words = f"cat.png --prototxt {net}.prototxt --weights {net}.caffemodel --blob conv -o f.npz"
    words = f"{words} --force --json {options}"
    assert run(["features", "cat.png", *words.split()]) == 0
    out, err = capsys.readouterr()
    first, second = json.loads(out)["images"]
    assert first["notes"] == second["notes"]
    notes: list[str] = first["notes"]
    assert err.splitlines() == [f"note: {note}" for note in notes]
    return notes


def notes_of_verify(options: str, net: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    pair = f"{net}.prototxt {net}.caffemodel"
    assert run(["verify", *f"{pair} {pair} --image cat.png --json {options}".split()]) == 0
    notes = json.loads(capsys.readouterr().out)["notes"]
    return [note for note in notes if "preprocessing" in note]


def notes_in_python(options: str, net: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    members: dict[str, dict[str, Any]] = {
        "": {},
        "--raw-scale 1": {"raw_scale": 1},
        "--mean 0": {"mean": 0},
        "--channel-swap 0,1,2": {"channel_swap": "rgb"},
        "--input-scale 1": {"input_scale": 1},
        "--preprocess rgb01": {"preprocess": "rgb01"},
    }
    model = (f"{net}.prototxt", f"{net}.caffemodel")
    settings = ns.Settings(*model, **members[options])
    class_map = ns.classify_map("cat.png", settings, blob="conv", engine="embedded")
    features = ns.features("cat.png", "conv", settings, engine="embedded")
    with ns.open_mapper(settings, "embedded", blob="conv") as mapper:
        assert mapper.map("cat.png").notes == class_map.notes == features.notes
    assert capsys.readouterr() == ("", "")
    return list(class_map.notes.values())


CALLERS = [notes_of_map, notes_of_features, notes_of_verify, notes_in_python]


@pytest.mark.parametrize("call", CALLERS)
def test_a_color_net_without_preprocessing_has_one_note(
    call: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    (note,) = call("", "color", capsys)
    assert note.startswith("no preprocessing: the net is fed RGB of 0..1, most color nets")
    assert "--preprocess bvlc" in note
    assert call("", "grey", capsys) == []


@pytest.mark.parametrize("call", CALLERS)
@pytest.mark.parametrize(
    "option",
    ["--raw-scale 1", "--mean 0", "--channel-swap 0,1,2", "--input-scale 1", "--preprocess rgb01"],
)
def test_any_preprocessing_silences_it(
    option: str, call: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(option, "color", capsys) == []


@pytest.mark.parametrize("call", [notes_of_map, notes_of_features, notes_of_verify])
def test_a_key_in_netsurgery_toml_silences_it(
    call: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    Path("netsurgery.toml").write_text("[preprocess]\nraw_scale = 1\n")
    assert call("", "color", capsys) == []
    assert call("--ignore-config", "color", capsys) != []


def test_the_picture_says_what_the_net_was_fed() -> None:
    """And nothing else differs: RGB of 0..1 is what the preset says, too."""
    model = ns.Settings("color.prototxt", "color.caffemodel")
    plain = ns.classify_map("cat.png", model, blob="conv", engine="embedded")
    named = ns.classify_map("cat.png", model, blob="conv", engine="embedded", preprocess="rgb01")
    assert np.array_equal(plain.values, named.values)
    plain_words, named_words = (
        [item.words for item in map_scene(mapped).items if isinstance(item, Text)]
        for mapped in (plain, named)
    )
    (place,) = (at for at, words in enumerate(named_words) if words.endswith("(height x width)"))
    rest = len(named_words) - place - 1
    assert plain_words[:place] == named_words[:place]
    assert plain_words[-rest:] == named_words[-rest:]
    note = " ".join(plain_words[place:-rest])
    assert note.startswith(f"{named_words[place]}; no preprocessing: the net is fed RGB of 0..1")
