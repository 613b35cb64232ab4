"""A netsurgery.toml that nobody named is used where only the user could have written it."""

from __future__ import annotations

import ast
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from every_command import CALLS, COMMANDS, make_good
from lacking import as_root, with_owners
from PIL import Image

import netsurgery
from netsurgery.cli import run
from netsurgery.errors import NetsurgeryError, SettingsError, UntrustedError
from netsurgery.formats import user_config
from netsurgery.formats.found_settings import load_found, with_found
from netsurgery.formats.settings import SETTINGS_NAME, Settings, read_settings
from netsurgery.io import ownership
from netsurgery.net.state import TEST

pytestmark = with_owners

PACKAGE = Path(netsurgery.__file__).parent
#: What `check` finds in `GOOD` itself: no layer reads 'pool'.
UNREAD = ("structure", "note")

#: What a stranger would have: other pixels, another net, other labels.
STRANGE = """
[model]
prototxt = "strange.prototxt"
weights = "strange.caffemodel"
window = [5, 5]

[preprocess]
raw_scale = 0.5
mean = "strange.npy"

[classes]
labels = "strange.txt"
"""


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A net of one's own, a folder that others can write to, and no configuration yet."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "configuration"))
    monkeypatch.setenv("NETSURGERY_ENGINE", "embedded")
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    make_good()
    for name in ("strange.prototxt", "strange.caffemodel"):
        shutil.copy(f"good{Path(name).suffix}", name)
    Path("strange.txt").write_text("a\nb\nc\n")
    np.save("strange.npy", np.ones((1, 8, 8), np.float32))
    grey = np.arange(64, dtype=np.uint8).reshape(8, 8) * 3
    Image.fromarray(grey).save("grey.png")
    return folder


def configure(folder: Path, text: str) -> Path:
    path = folder.parent / "configuration" / "netsurgery" / "config.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def plant(folder: Path, text: str = STRANGE) -> Path:
    """A file of settings in a folder that others can write to."""
    folder.chmod(0o777)
    path = folder / SETTINGS_NAME
    path.write_text(text)
    return path


def words_of(name: str, way: str) -> list[str]:
    more = {"verify": ["--image", "grey.png"], "export": ["--with-preprocess"]}
    return [name, *way.replace("NET", "good.prototxt").split(), *more.get(name, [])]


WAYS = [(name, way) for name, ways in COMMANDS.items() for way in ways]

#: Those that look for settings, and the exit code of their refusal.
FINDS = {"classify-map": 1, "features": 1, "evaluate": 1, "train": 1, "export": 1, "verify": 2}


def outputs(capsys: pytest.CaptureFixture[str]) -> tuple[str, dict[str, bytes]]:
    """What was printed, the seconds left out, and what was written; the files are removed."""
    contents = {}
    for path in sorted([*Path().glob("out*"), *Path().glob("out/*")], reverse=True):
        if path.is_file():
            contents[str(path)] = path.read_bytes()
            path.unlink()
        else:
            path.rmdir()
    lines = capsys.readouterr().out.splitlines()
    return "\n".join(line for line in lines if not re.search(r"\d s\b", line)), contents


@pytest.mark.parametrize(("name", "way"), WAYS, ids=[f"{name} {way}" for name, way in WAYS])
def test_no_command_uses_what_others_can_write(
    own_folder: Path, capsys: pytest.CaptureFixture[str], name: str, way: str
) -> None:
    """It is refused, or what comes out is what comes out without the file."""
    words = words_of(name, way)
    if name in FINDS:
        own = plant(own_folder, "[preprocess]\nraw_scale = 2.0\n")
        own_folder.chmod(0o755)
        assert run(words) == 0  # one's own is used
        assert own.exists()
        own.unlink()
        outputs(capsys)
        plant(own_folder)
        assert run(words) == FINDS[name]
        error = capsys.readouterr().err
        assert error.startswith(
            f"error: {own_folder / SETTINGS_NAME}: not used, since {own_folder} can be "
        )
        assert "--trust-config" in error
        assert len(error.splitlines()) == 1
        assert not list(Path().glob("out*"))
        words.append("--ignore-config")
        (own_folder / SETTINGS_NAME).unlink()
        if name == "export":
            words = [word for word in words if word not in ("--with-preprocess", "--ignore-config")]
    expected = run(words), outputs(capsys)
    plant(own_folder)
    outcome = run(words), outputs(capsys)
    if name == "check":
        text = outcome[1][0]
        lines = [line for line in text.splitlines() if SETTINGS_NAME not in line]
        assert len(lines) == len(text.splitlines()) - 1  # the warning
        assert lines[1:] == expected[1][0].splitlines()[1:]  # behind the verdict
        return
    assert outcome == expected
    assert expected[0] == 0


@pytest.mark.parametrize("name", CALLS)
def test_no_call_uses_what_others_can_write(own_folder: Path, name: str) -> None:
    """The library looks for settings in `check` only."""
    plant(own_folder, "[nonsense")
    report = CALLS[name](Path("good.prototxt"), TEST)
    if isinstance(report, netsurgery.Check):
        levels = [(finding.kind, finding.level) for finding in report.findings]
        assert levels == [("settings", "warning"), UNREAD]


def test_the_library_is_asked_to_trust(own_folder: Path) -> None:
    plant(own_folder, '[model]\nprototxt = "good.prototxt"\nweights = "good.caffemodel"\n')
    assert netsurgery.check("good.prototxt").weights is None
    assert netsurgery.check("good.prototxt", trust_config=True).weights == str(
        own_folder / "good.caffemodel"
    )
    (note,) = netsurgery.check("good.prototxt", trust_config=False).findings
    assert (note.kind, note.level) == UNREAD


@pytest.mark.parametrize("name", FINDS)
def test_the_flag_and_the_users_configuration_allow_it(
    own_folder: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    (way,) = COMMANDS[name][:1]
    words = words_of(name, way)
    plant(own_folder, "[preprocess]\nraw_scale = 2.0\n")
    assert run([*words, "--trust-config"]) == 0
    flagged = outputs(capsys)
    for trusted in (str(own_folder), str(own_folder / SETTINGS_NAME), str(own_folder.parent), "*"):
        configure(own_folder, f"[user]\ntrusted = ['{trusted}']\n")
        assert run(words) == 0
        assert outputs(capsys) == flagged
    configure(own_folder, f"[user]\ntrusted = ['{own_folder.parent / 'other'}']\n")
    assert run(words) == FINDS[name]


def test_what_the_message_says_to_write_allows_it(
    own_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also behind links, and for a name that is meant to be read as more than one."""
    for name in ("plain", 'a", "*', "back\\slash", "line\nbreak"):
        folder = tmp_path / name
        folder.mkdir()
        plant(folder, "[preprocess]\nraw_scale = 2.0\n")
        link = tmp_path / "link"
        link.unlink(missing_ok=True)
        link.symlink_to(folder)
        (tmp_path / "file").unlink(missing_ok=True)
        (tmp_path / "file").symlink_to(folder / SETTINGS_NAME)
        for path in (folder / SETTINGS_NAME, link / SETTINGS_NAME, tmp_path / "file"):
            configure(own_folder, "")
            with pytest.raises(UntrustedError) as refused:
                load_found(path, None)
            message = str(refused.value)
            setting = message[message.index("trusted = ") :].rpartition(" under [user] in ")[0]
            configure(own_folder, f"[user]\n{setting}\n")
            assert load_found(path, None).raw_scale == 2.0
            assert read_settings(path).raw_scale == 2.0
            with pytest.raises(UntrustedError):
                load_found(plant(own_folder), None)
            own_folder.chmod(0o755)


def test_it_is_not_opened(own_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = plant(own_folder, "[nonsense")
    with pytest.raises(UntrustedError):
        with_found(Settings(), own_folder)
    with pytest.raises(SettingsError, match=SETTINGS_NAME):
        with_found(Settings(), own_folder, trust=True)
    path.unlink()
    os.mkfifo(path)
    assert with_found(Settings(), own_folder, trust=True).path is None


@pytest.mark.parametrize("key", ["prototxt", "weights", "mean", "labels"])
def test_a_file_that_it_names_is_held_to_the_same(
    own_folder: Path, tmp_path: Path, key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Relative names, through folders and links, or not there yet; a whole path is one's word."""
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    theirs.chmod(0o777)
    (theirs / "x").touch()
    Path("link").symlink_to(theirs)
    section = {"mean": "preprocess", "labels": "classes"}.get(key, "model")
    for name in ("../theirs/x", "link/x", "link/missing", str(theirs / "x")):
        path = own_folder / SETTINGS_NAME
        path.write_text(f"[{section}]\n{key} = '{name}'\n")
        if name.startswith("/"):
            assert getattr(load_found(path, None), key) == theirs / "x"
            continue
        with pytest.raises(UntrustedError) as refused:
            load_found(path, None)
        message = str(refused.value)
        assert f", which {path} names: not used, since {theirs} can be written by others" in message
        assert getattr(load_found(path, True), key).name == Path(name).name
        configure(own_folder, f"[user]\ntrusted = ['{theirs}']\n")
        assert load_found(path, None).path == path
        configure(own_folder, "")
        # What is given besides is not asked for.
        good: dict[str, Any] = {key: Path("good")}
        assert getattr(with_found(Settings(**good), own_folder), key) == Path("good")


def test_what_is_given_whole_leaves_nothing_to_look_for(own_folder: Path) -> None:
    plant(own_folder)
    settings = Settings(mean=(1.0,), raw_scale=1.0, channel_swap=(0,), input_scale=1.0)
    keys = ("mean", "raw_scale", "channel_swap", "input_scale")
    assert with_found(settings, own_folder, keys=keys) is settings


@pytest.mark.parametrize("umask", [0o022, 0o002, 0o077])
def test_what_convert_wrote_is_ones_own(
    own_folder: Path,
    umask: int,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With umask 002 everything is its group's to write, which is the user's alone."""
    monkeypatch.setattr(ownership, "_is_private", lambda group, own: group == os.getegid())
    before = os.umask(umask)
    try:
        words = "convert good.prototxt good.caffemodel -o made -q --input-scale 0.5".split()
        assert run(words) == 0
    finally:
        os.umask(before)
    os.chdir("made")
    assert run(["classify-map", "../grey.png", "-q"]) == 0, capsys.readouterr().err


def test_convert_writes_the_whole_path_of_what_others_can_change(
    own_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The user named it once and is asked no more; what is one's own stays relative."""
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    shutil.copy("strange.txt", theirs / "labels")
    theirs.chmod(0o777)
    np.save("mean.npy", np.ones((1, 8, 8), np.float32))
    words = "convert good.prototxt good.caffemodel -o made -q --mean mean.npy --labels".split()
    assert run([*words, "../theirs/labels"]) == 0
    text = Path("made", SETTINGS_NAME).read_text()
    assert f'labels = "{theirs / "labels"}"\n' in text
    assert 'mean = "../mean.npy"\n' in text
    os.chdir("made")
    assert run(["classify-map", "../grey.png", "-q"]) == 0, capsys.readouterr().err


def test_convert_beside_what_others_can_write(
    own_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plant(own_folder, "[nonsense")
    assert run(["convert", "good.prototxt", "good.caffemodel", "-o", "."]) == 0
    message = (
        "was kept as it is, but other users can change it: it is used with --trust-config only"
    )
    assert message in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[user]\ntrusted = '/srv'\n", "2: trusted: found '/srv', expected a list of absolute "
         'paths in quotes, or ["*"] for everything'),
        ("[user]\ntrusted = ['srv']\n", "2: trusted: found ['srv'], expected a list of absolute "
         'paths in quotes, or ["*"] for everything'),
        ("[user]\ntrusted = [1]\n", "2: trusted: found [1], expected a list of absolute paths in "
         'quotes, or ["*"] for everything'),
        ("[user]\ntrsted = []\n", "2: unknown key 'trsted' in [user]; expected trusted"),
        ("[model]\n", "1: unknown section 'model'; expected [user], [engine]"),
    ],
)  # fmt: skip
def test_mistakes_in_the_users_configuration(own_folder: Path, text: str, said: str) -> None:
    path = configure(own_folder, text)
    plant(own_folder)
    with pytest.raises(SettingsError) as error:
        with_found(Settings(), own_folder)
    assert str(error.value) == f"{path}:{said}"


def test_the_users_configuration_is_the_users(own_folder: Path) -> None:
    path = configure(own_folder, "[user]\ntrusted = ['*']\n")
    path.parent.chmod(0o777)
    plant(own_folder)
    with pytest.raises(UntrustedError) as error:
        with_found(Settings(), own_folder)
    assert str(error.value) == (
        f"{path}: not used, since {path.parent} can be written by others; expected the user's own "
        "configuration, which nobody else can change"
    )


@pytest.mark.parametrize("folder", ["~/.config/netsurgery", "netsurgery", None])
def test_a_user_without_a_home_has_no_configuration(
    own_folder: Path, monkeypatch: pytest.MonkeyPatch, folder: str | None
) -> None:
    """Then platformdirs raises RuntimeError, or gives a path relative to the current folder."""
    import platformdirs

    def without_home(name: str, appauthor: bool) -> str:
        if folder is None:
            raise RuntimeError("could not determine the home directory")
        return folder

    monkeypatch.setattr(platformdirs, "user_config_dir", without_home)
    assert user_config.user_config() is None
    (own_folder / (folder or "x")).mkdir(parents=True)
    (own_folder / (folder or "x") / "config.toml").write_text("[user]\ntrusted = ['*']\n")
    plant(own_folder)
    with pytest.raises(UntrustedError) as error:
        with_found(Settings(), own_folder)
    assert str(error.value).endswith("--ignore-config goes on without it")


def test_home_in_the_configuration(own_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(own_folder.parent))
    configure(own_folder, "[user]\ntrusted = ['~/here']\n")
    plant(own_folder, "[preprocess]\nraw_scale = 2.0\n")
    assert with_found(Settings(), own_folder).raw_scale == 2.0


def calls(names: Sequence[str]) -> Iterator[tuple[str, str]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        for item in ast.walk(ast.parse(path.read_text())):
            if isinstance(item, ast.Call) and isinstance(item.func, ast.Name | ast.Attribute):
                called = item.func.id if isinstance(item.func, ast.Name) else item.func.attr
                if called in names:
                    yield path.relative_to(PACKAGE).as_posix(), called


def test_settings_are_found_and_read_in_one_place() -> None:
    """Who reads a file that nobody named asks `found_settings`; the library's are named."""
    assert set(calls(["find_settings", "read_settings", "read_settings_keys"])) == {
        ("formats/found_settings.py", "find_settings"),
        ("formats/found_settings.py", "read_settings_keys"),
        ("formats/settings.py", "read_settings_keys"),
        ("formats/settings_fit.py", "read_settings_keys"),  # one that was found, to word an error
        ("verbs/check.py", "find_settings"),  # and reads it by load_found
        ("formats/settings.py", "read_settings"),
    }


@as_root
def test_another_users_file_for_real(own_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = own_folder / SETTINGS_NAME
    path.write_text(STRANGE)
    os.chown(path, 4_000_000_123, -1)
    assert run(["classify-map", "grey.png"]) == 1
    error = capsys.readouterr().err
    config = own_folder.parent / "configuration" / "netsurgery" / "config.toml"
    assert error == (
        f"error: {path}: not used, since it belongs to another user (uid 4000000123); "
        "--trust-config uses it, --ignore-config goes on without it; "
        f'trusted = ["{own_folder}"] under [user] in {config} allows it for good\n'
    )
    assert issubclass(UntrustedError, NetsurgeryError)
