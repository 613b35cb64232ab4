"""What runs nets: option, variable, netsurgery.toml, the user's configuration, in this order."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from every_command import COMMANDS, make_good
from fakes import FakeEngine
from lacking import with_owners

import netsurgery as ns
from netsurgery.cli import engine_options, run
from netsurgery.cli.engine_options import SPEEDS
from netsurgery.engines.contract import EngineOptions
from netsurgery.errors import EngineError
from netsurgery.formats.user_config import user_config

#: Commands that run nets.
RUNNING = [name for name, ways in COMMANDS.items() if "--engine" in ways[0]]
CHOICES = ("embedded", "caffe", "auto")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("NETSURGERY_ENGINE", raising=False)
    make_good()
    return tmp_path


@pytest.fixture
def chosen(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs a command up to where the engine is chosen, and gives its name."""

    def refuse(_: EngineOptions, **members: Any) -> EngineOptions:
        raise EngineError(f"chosen: {members['choice']}")

    def run_up_to(name: str, *more: str) -> str:
        words = COMMANDS[name][0].replace("NET", "good.prototxt")
        words = words.replace("--engine embedded", "")
        with monkeypatch.context() as patch:
            patch.setattr(engine_options, "replace", refuse)
            assert run([name, *words.split(), *more]) in (1, 2)
        return capsys.readouterr().err.rpartition("chosen: ")[2].split()[0]

    return run_up_to


@pytest.mark.parametrize("name", RUNNING)
def test_the_order(name: str, chosen: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen(name) == "auto"
    assert run(["caffe", "use", "embedded", "-q"]) == 0
    assert chosen(name) == "embedded"
    Path("../netsurgery.toml").write_text('[engine]\nname = "caffe"\n')
    assert chosen(name) == "caffe"
    monkeypatch.setenv("NETSURGERY_ENGINE", "embedded")
    assert chosen(name) == "embedded"
    assert chosen(name, "--engine", "auto") == "auto"
    monkeypatch.delenv("NETSURGERY_ENGINE")
    Path("../netsurgery.toml").write_text('[engine]\nname = "auto"\n')
    assert chosen(name) == "auto"
    assert run(["caffe", "forget", "-q"]) == 0
    Path("../netsurgery.toml").unlink()
    assert chosen(name) == "auto"


def test_a_file_that_is_ignored_chooses_nothing(chosen: Any) -> None:
    Path("netsurgery.toml").write_text('[engine]\nname = "embedded"\n')
    assert chosen("features", "--ignore-config") == "auto"
    Path("netsurgery.toml").chmod(0o666)  # others can change it
    assert chosen("convert") == "auto"


@pytest.mark.parametrize("name", RUNNING)
def test_one_that_cannot_be_read_or_trusted_can_be_gone_round(name: str, chosen: Any) -> None:
    path = Path("netsurgery.toml")
    path.write_text('[engine]\nname = "gpu"\n')
    assert chosen(name, "--ignore-config") == "auto"
    path.write_text('[engine]\nname = "embedded"\n')
    path.chmod(0o666)
    assert chosen(name) == "auto"
    assert chosen(name, "--ignore-config") == "auto"
    assert chosen(name, "--trust-config") == "embedded"


#: Calls that need no netsurgery.toml but for the engine, and those that refuse it by themselves.
SKIPPING = {
    "convert": "good.prototxt good.caffemodel -o out --force --layers fc",
    "verify": "good.prototxt good.caffemodel good.prototxt good.caffemodel",
    "setup": "good.prototxt good.caffemodel --image grey.png --class 0 --blob prob "
    "--preprocess scaled -o out --force",
}
REFUSING = ["classify-map", "features", "evaluate"]


@with_owners
@pytest.mark.parametrize("name", [*SKIPPING, *REFUSING])
def test_one_that_is_skipped_is_named_once(
    name: str, capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    assert set(RUNNING) == {*SKIPPING, *REFUSING}
    words = SKIPPING.get(name) or COMMANDS[name][0].replace("NET", "good.prototxt")
    call = [name, *words.replace("--engine embedded", "").split()]
    path = folder / "here" / "netsurgery.toml"
    path.write_text('[engine]\nname = "embedded"\n')
    path.chmod(0o666)

    def named(code: int, *more: str) -> list[str]:
        assert run([*call, *more]) == code
        return [line for line in capsys.readouterr().err.splitlines() if str(path) in line]

    expected = f"{path}: not used, since it can be "
    (line,) = named(1 if name in REFUSING else 0)
    label = "error" if name in REFUSING else "note"
    assert line.startswith(f"{label}: {expected}")
    assert "--trust-config uses it, --ignore-config goes on without it" in line
    if name in REFUSING:
        return
    assert named(0, "--ignore-config") == named(0, "-q") == []
    assert named(0, "--trust-config") == named(0, "--engine", "embedded") == []
    if name == "convert":
        assert named(0, "--dry-run") == []


def test_a_configuration_of_others_is_named_too(capsys: pytest.CaptureFixture[str]) -> None:
    path = user_config()
    assert path is not None
    path.parent.mkdir(parents=True)
    path.write_text('[engine]\nname = "gpu"\n')
    path.chmod(0o666)
    assert run(["verify", *SKIPPING["verify"].split()]) == 0
    assert capsys.readouterr().err.startswith(f"note: {path}: not used, since ")


@pytest.mark.parametrize("name", RUNNING)
def test_a_configuration_that_cannot_be_read(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = user_config()
    assert path is not None
    path.parent.mkdir(parents=True)
    path.write_text('[engine]\nname = "gpu"\n')
    words = COMMANDS[name][0].replace("NET", "good.prototxt").replace("--engine embedded", "")
    assert run([name, *words.split()]) == (2 if name == "verify" else 1)
    err = capsys.readouterr().err
    assert f"{path}:2: name: found 'gpu', expected auto, caffe, embedded\n" in err


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('[engine]\nname = "embeded"\n', ":2: name: found 'embeded', expected auto, caffe"),
        ('[engine]\nuse = "embedded"\n', ":2: "),
        ('[engin]\nname = "embedded"\n', ":1: "),
        ('[engine]\nname = "embedded"\n[model]\nwindow = 8\n', ":4: window: "),
    ],
)
@pytest.mark.parametrize("name", [*RUNNING, "check"])
def test_a_netsurgery_toml_that_cannot_be_read(
    name: str, text: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("netsurgery.toml").write_text(text)
    before = sorted(os.listdir())
    words = COMMANDS[name][0].replace("NET", "good.prototxt").replace("--engine embedded", "")
    assert run([name, *words.split()]) == (2 if name == "verify" else 1)
    captured = capsys.readouterr()
    assert f"netsurgery.toml{reason}" in (captured.out if name == "check" else captured.err)
    assert sorted(os.listdir()) == before


def test_python_takes_it_from_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def opened(options: EngineOptions, models: Any = ()) -> Any:
        asked.append(options.choice)
        raise EngineError("no engine")

    monkeypatch.setattr("netsurgery.maps.net_runner.open_engine", opened)
    Path("netsurgery.toml").write_text(
        '[model]\nprototxt = "good.prototxt"\nweights = "good.caffemodel"\n'
        '[engine]\nname = "embedded"\n'
    )
    calls: list[tuple[str, Any]] = [
        ("embedded", lambda: ns.classify_map("grey.png", "netsurgery.toml", blob="conv")),
        ("embedded", lambda: ns.features("grey.png", "conv", "netsurgery.toml")),
        (
            "caffe",
            lambda: ns.features("grey.png", "conv", "netsurgery.toml", engine="caffe"),
        ),
        (
            "caffe",
            lambda: ns.features(
                "grey.png", "conv", ns.Settings("good.prototxt", "good.caffemodel", engine="caffe")
            ),
        ),
    ]
    for _, call in calls:
        with pytest.raises(EngineError, match="no engine"):
            call()
    assert asked == [expected for expected, _ in calls]


def test_settings_keep_it(tmp_path: Path) -> None:
    text = ns.Settings(raw_scale=255, engine="embedded").to_toml(".")
    assert text == '[preprocess]\nraw_scale = 255.0\n\n[engine]\nname = "embedded"\n'
    Path("netsurgery.toml").write_text(text)
    assert ns.read_settings("netsurgery.toml").engine == "embedded"
    wrong: Any = "gpu"
    with pytest.raises(ns.SettingsError, match="engine: found 'gpu', expected auto, caffe"):
        ns.Settings(engine=wrong)
    Path("netsurgery.toml").write_text('[engine]\nname = "onnx"\n')
    with pytest.raises(ns.SettingsError, match=r"toml:2: name: found 'onnx', expected auto, caffe"):
        ns.read_settings("netsurgery.toml")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", '[engine]\nname = "caffe"\n'),
        (
            '# mine\n[user]\ntrusted = ["/srv"]\n',
            '# mine\n[user]\ntrusted = ["/srv"]\n\n[engine]\nname = "caffe"\n',
        ),
        (
            '[engine]  # quick\nname = "embedded"\n[user]\ntrusted = ["*"]\n',
            '[engine]  # quick\nname = "caffe"\n[user]\ntrusted = ["*"]\n',
        ),
        ("[engine] # [mine]\n", '[engine] # [mine]\nname = "caffe"\n'),
        (" [ engine ]\n\n[user]\n", ' [ engine ]\nname = "caffe"\n\n[user]\n'),
        ('["engine"]\nname = "auto"\n', '["engine"]\nname = "caffe"\n'),
        (
            '[engine]\n# quick\n"name"="embedded"\n[user]\ntrusted = ["*"]\n',
            '[engine]\nname = "caffe"\n# quick\n[user]\ntrusted = ["*"]\n',
        ),
        ('engine.name = "embedded"\n', None),
        ('engine = { name = "embedded" }\n', None),
        ("engine = {}\n", None),
        ('[user]\ntrusted = ["""\n/srv\nname = x"""]\n', None),
        ('[user]\ntrusted = ["""/srv\n[engine]\n/x"""]\n', None),
    ],
)
def test_use_keeps_all_other_lines(
    before: str, after: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    path = user_config()
    assert path is not None
    path.parent.mkdir(parents=True)
    if before:
        path.write_text(before)
    code = run(["caffe", "use"])
    out, err = capsys.readouterr()
    if after is None:
        assert code == 1
        expected = "the engine is not a line name = ... under [engine]; edit it by hand"
        assert err == f"error: {path}: {expected}\n"
        assert path.read_text() == before
        return
    assert (code, err) == (0, "")
    assert out == f"nets are run by --engine caffe from now on (in {path})\n"
    assert path.read_text() == after
    assert run(["caffe", "use"]) == 0  # again is nothing new
    assert path.read_text() == after
    assert run(["caffe", "forget"]) == 0
    assert path.read_text() == after.replace('name = "caffe"\n', "")


def test_forget_writes_nothing_where_nothing_was_chosen() -> None:
    assert run(["caffe", "forget", "-q"]) == 0
    path = user_config()
    assert path is not None
    assert not path.exists()


@with_owners
def test_a_configuration_of_others_is_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    path = user_config()
    assert path is not None
    path.parent.mkdir(parents=True)
    path.write_text("")
    path.chmod(0o666)
    assert run(["caffe", "use", "embedded"]) == 1
    assert "expected the user's own configuration" in capsys.readouterr().err
    assert path.read_text() == ""


def test_a_folder_that_cannot_be_made(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", "/dev/null")
    assert run(["caffe", "use", "embedded"]) == 1
    assert capsys.readouterr().err == "error: /dev/null/netsurgery: Not a directory\n"


def fake(monkeypatch: pytest.MonkeyPatch, description: str) -> None:
    def run_net(inputs: dict[str, Any]) -> dict[str, Any]:
        return {"conv": np.zeros((1, 2, 6, 6), np.float32)}

    engine = FakeEngine(run_net, {"data": (1, 1, 8, 8)})
    engine.description = description
    monkeypatch.setattr("netsurgery.maps.net_runner.open_engine", engine.open)


MAP = "grey.png --prototxt good.prototxt --weights good.caffemodel --blob conv"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("classify-map", MAP),
        ("classify-map", f"grey.png {MAP} --json"),
        ("features", f"{MAP} -o f.npy"),
    ],
)
def test_what_took_caffe_says_once_that_there_is_another_way(
    name: str,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def hints(*more: str) -> list[str]:
        force = ["--force"] if " -o " in words else []
        assert run([name, *words.split(), *force, *more]) == 0
        return [line for line in capsys.readouterr().err.splitlines() if "Caffe was used" in line]

    fake(monkeypatch, "caffe 1.0.0, CPU (python)")
    (hint,) = hints()
    assert "--engine embedded gives the same" in hint
    assert f"about {SPEEDS[name][1]} times faster" in hint
    for silent in (["-q"], ["--engine", "auto"], ["--engine", "caffe"], ["--gpu", "0"]):
        assert hints(*silent) == []
    for engine in ("caffe", "auto"):
        assert run(["caffe", "use", engine, "-q"]) == 0
        assert hints() == []
    assert run(["caffe", "forget", "-q"]) == 0
    fake(monkeypatch, "embedded (ONNX Runtime)")
    assert hints() == []


def test_convert_says_it_too(caffe_python: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["convert", "good.prototxt", "good.caffemodel", "-o", "out", "--force"]
    assert run([*words, "--caffe-python", caffe_python]) == 0
    err = capsys.readouterr().err
    assert err.count("note: Caffe was used; --engine embedded gives the same params") == 1
    assert run([*words, "--engine", "embedded"]) == 0
    assert "Caffe was used" not in capsys.readouterr().err


def test_the_speeds_are_those_that_were_measured(repo_root: Path) -> None:
    text = (repo_root / "docs" / "performance.md").read_text()
    rows = re.findall(r"^\| `([\w-]+)`[^|]*\|[^|]*\|[^|]*\| ([\d.]+) \|$", text, re.MULTILINE)
    measured: dict[str, float] = {}
    for name, ratio in rows:
        measured.setdefault(name, float(ratio))
    assert measured.keys() == SPEEDS.keys()
    assert {name: times for name, (_, times) in SPEEDS.items()} == {
        name: int(ratio) for name, ratio in measured.items()
    }
