from __future__ import annotations

import os
from pathlib import Path

import pytest

from netsurgery.errors import SettingsError
from netsurgery.formats.settings import Settings, find_settings, read_settings

FULL = """\
[model]
prototxt = "nets/deploy.prototxt"
weights = "/models/model.caffemodel"
window = [227, 227]
stages = ["deploy", "b"]
level = -2

[preprocess]
mean = [104, 117.5, 123]
raw_scale = 255
channel_swap = [2, 1, 0]
input_scale = 0.5

[classes]
labels = "../words.txt"
"""


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "netsurgery.toml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_everything_it_can_say(tmp_path: Path) -> None:
    path = write(tmp_path, FULL)
    assert read_settings(path) == Settings(
        prototxt=tmp_path / "nets/deploy.prototxt",
        weights=Path("/models/model.caffemodel"),
        window=(227, 227),
        stages=("deploy", "b"),
        level=-2,
        mean=(104.0, 117.5, 123.0),
        raw_scale=255.0,
        channel_swap=(2, 1, 0),
        input_scale=0.5,
        labels=tmp_path.parent / "words.txt",
        path=path,
    )


def test_paths_are_reported_without_dots_unless_a_link_is_before_them(tmp_path: Path) -> None:
    (tmp_path / "far" / "deep").mkdir(parents=True)
    (tmp_path / "near").mkdir()
    (tmp_path / "near" / "link").symlink_to(tmp_path / "far" / "deep")
    text = '[model]\nprototxt = "../a.prototxt"\nweights = "link/../b.caffemodel"\n'
    settings = read_settings(write(tmp_path / "near", text))
    assert str(settings.prototxt) == str(tmp_path / "a.prototxt")
    assert str(settings.weights) == str(tmp_path / "near" / "link" / ".." / "b.caffemodel")


def test_a_mean_may_be_a_file(tmp_path: Path) -> None:
    settings = read_settings(write(tmp_path, '[preprocess]\nmean = "mean.npy"\n'))
    assert settings.mean == tmp_path / "mean.npy"


def test_an_empty_file_says_nothing(tmp_path: Path) -> None:
    path = write(tmp_path, "")
    assert read_settings(path) == Settings(path=path)


def test_byte_order_mark_and_crlf(tmp_path: Path) -> None:
    path = write(tmp_path, b"\xef\xbb\xbf" + FULL.replace("\n", "\r\n").encode())
    assert read_settings(path).window == (227, 227)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[model]\nprotoxt = 'a'\n", "2: unknown key 'protoxt' in [model]; expected prototxt, "
         "weights, window, stages, level"),
        ("# [moodel]\n\n[moodel]\na = 1\n", "3: unknown section 'moodel'; expected [model], "
         "[preprocess], [classes], [engine]"),
        ("mean = 1\n", "1: unknown key 'mean'; expected [model], [preprocess], [classes], "
         "[engine]"),
        ("\nmodel = 'a.caffemodel'\n", "2: model is not a section; write [model]"),
        ("[[model]]\nprototxt = 'a'\n", "1: model is not a section; write [model]"),
        ("[classes]\n[preprocess]\nlabels = 'x'\n", "3: unknown key 'labels' in [preprocess]; "
         "expected mean, raw_scale, channel_swap, input_scale"),
        ("classes.lables = 'x'\n", "1: unknown key 'lables' in [classes]; expected labels, "
         "background"),
        ("[model]\nx.y = 1\n", "2: unknown key 'x' in [model]; expected prototxt, weights, "
         "window, stages, level"),
        ("\n[model.run]\nx = 1\n", "2: unknown key 'run' in [model]; expected prototxt, weights, "
         "window, stages, level"),
        ("\nmodel = { run = 'sh' }\n", "2: unknown key 'run' in [model]; expected prototxt, "
         "weights, window, stages, level"),
        ('[model]\n"weights" = 3\n', "2: weights: found 3, expected a file's path in quotes"),
        ("[model]\nweights = ''\n", "2: weights: found '', expected a file's path in quotes"),
        ("[model]\nwindow = [0, 3]\n", "2: window: found [0, 3], expected [height, width], whole "
         "numbers from 1"),
        ("[model]\nwindow = 227\n", "2: window: found 227, expected [height, width], whole "
         "numbers from 1"),
        ("[model]\nstages = 'deploy'\n", "2: stages: found 'deploy', expected a list of names, "
         "as in [\"deploy\"]"),
        ("[model]\nstages = [1]\n", "2: stages: found [1], expected a list of names, as in "
         "[\"deploy\"]"),
        ("[model]\nlevel = true\n", "2: level: found True, expected a whole number from -2^31 to "
         "2^31 - 1"),
        ("[model]\nlevel = 2147483648\n", "2: level: found 2147483648, expected a whole number "
         "from -2^31 to 2^31 - 1"),
        ('[classes]\nlabels = "a\\u0000b"\n', "2: labels: found 'a\\x00b', expected a "
         "file's path in quotes"),
        ("[preprocess]\nraw_scale = true\n", "2: raw_scale: found True, expected a number"),
        ("[preprocess]\nraw_scale = nan\n", "2: raw_scale: found nan, expected a number"),
        ("[preprocess]\ninput_scale = '2'\n", "2: input_scale: found '2', expected a number"),
        ("[preprocess]\nmean = []\n", "2: mean: found [], expected a file's path in quotes or a "
         "list of numbers, one a channel"),
        ("[preprocess]\nmean = [1, inf]\n", "2: mean: found [1, inf], expected a file's path in "
         "quotes or a list of numbers, one a channel"),
        ("[preprocess]\nchannel_swap = [2, 1, 1]\n", "2: channel_swap: found [2, 1, 1], expected "
         "each channel once, as in [2, 1, 0]"),
        ("[preprocess]\nchannel_swap = [1.0, 0.0]\n", "2: channel_swap: found [1.0, 0.0], expected "
         "each channel once, as in [2, 1, 0]"),
    ],
)  # fmt: skip
def test_every_mistake_has_its_line(tmp_path: Path, text: str, said: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(SettingsError) as error:
        read_settings(path)
    assert str(error.value) == f"{path}:{said}"


def test_syntax_errors_have_line_and_column(tmp_path: Path) -> None:
    path = write(tmp_path, "[model]\nweights = \n")
    with pytest.raises(SettingsError) as error:
        read_settings(path)
    assert str(error.value) == f"{path}:2:11: Invalid value"


def test_syntax_error_at_the_end(tmp_path: Path) -> None:
    path = write(tmp_path, "[model")
    with pytest.raises(SettingsError) as error:
        read_settings(path)
    assert str(error.value).startswith(f"{path}: ")
    assert str(error.value).endswith(" at the end of the file")


def test_not_text(tmp_path: Path) -> None:
    path = write(tmp_path, b"[model]\n\n\xff")
    with pytest.raises(SettingsError) as error:
        read_settings(path)
    assert str(error.value) == f"{path}:3: not UTF-8 text, expected settings as TOML"


def test_a_folder(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as error:
        read_settings(tmp_path)
    assert str(error.value) == f"{tmp_path}: is a folder, expected settings as TOML"


def test_found_here_or_above(tmp_path: Path) -> None:
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    path = write(tmp_path, "")
    assert find_settings(below) == path
    nearer = write(tmp_path / "a", "")
    assert find_settings(below) == nearer


def test_a_folder_of_that_name_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "a" / "netsurgery.toml").mkdir(parents=True)
    assert find_settings(tmp_path / "a") == find_settings(tmp_path)
    path = write(tmp_path, "")
    assert find_settings(tmp_path / "a") == path


def test_no_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert find_settings(Path()) is None


def test_what_is_written_reads_back(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    settings = Settings(
        prototxt=out / 'we"ird \\ na\tme.prototxt',
        weights=tmp_path / "ünï.caffemodel",
        window=(66, 16),
        stages=('a "b"', ""),
        level=-(2**31),
        mean=(104.00698793, 1e-9),
        raw_scale=1 / 256,
        channel_swap=(2, 1, 0),
        input_scale=0.0078125,
        labels=tmp_path / "a" / "labels.txt",
    )
    text = settings.to_toml(out)
    assert 'weights = "../ünï.caffemodel"\n' in text
    read = read_settings(write(out, text))
    for name in ("window", "stages", "level", "mean", "raw_scale", "channel_swap", "input_scale"):
        assert getattr(read, name) == getattr(settings, name)
    for name in ("prototxt", "weights", "labels"):
        assert os.path.normpath(getattr(read, name)) == str(getattr(settings, name))


def test_the_text_is_laid_out_by_section(tmp_path: Path) -> None:
    settings = Settings(prototxt=tmp_path / "d.prototxt", mean=tmp_path / "m.npy", raw_scale=255.0)
    assert settings.to_toml(tmp_path) == (
        '[model]\nprototxt = "d.prototxt"\n\n[preprocess]\nmean = "m.npy"\nraw_scale = 255.0\n'
    )
    assert Settings().to_toml(tmp_path) == ""


def test_relative_paths_and_folders_reached_by_links(tmp_path: Path) -> None:
    """ ".." leads from the real folder, whatever name it was reached by."""
    (tmp_path / "deep" / "real").mkdir(parents=True)
    (tmp_path / "link").symlink_to("deep/real")
    (tmp_path / "m.caffemodel").touch()
    text = Settings(weights=tmp_path / "m.caffemodel").to_toml(tmp_path / "link")
    assert text == '[model]\nweights = "../../m.caffemodel"\n'
    read = read_settings(write(tmp_path / "link", text))
    assert read.weights is not None
    assert read.weights.is_file()


def test_a_file_that_is_a_link_keeps_its_own_name(tmp_path: Path) -> None:
    (tmp_path / "v2.txt").touch()
    (tmp_path / "labels.txt").symlink_to("v2.txt")
    text = Settings(labels=tmp_path / "labels.txt").to_toml(tmp_path)
    assert text == '[classes]\nlabels = "labels.txt"\n'


def test_a_name_that_is_not_text(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"not a name that netsurgery\.toml can hold"):
        Settings(weights=tmp_path / "a\udcff").to_toml(tmp_path)
