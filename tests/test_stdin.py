"""Every input file of every command may be standard input, and is called <stdin> then."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from every_command import COMMANDS, GOOD, make_good
from PIL import ImageFont

import netsurgery as ns
from netsurgery.cli import cli, run
from netsurgery.cli.files import IMAGE, InputFile

#: What the lines of `COMMANDS` leave out.
MORE = {
    "classify-map": [
        "--mean mean.npy --labels labels.txt",
        "--font font.ttf --picture out.png",
        "-q --from list.txt --prototxt good.prototxt --weights good.caffemodel --blob conv "
        "--npy out.npy --engine embedded",
    ],
    "evaluate": ["--mean mean.npy --labels labels.txt --classes 1=b"],
    "features": [
        "--mean mean.npy",
        "-q --from list.txt --prototxt good.prototxt --weights good.caffemodel --blob conv "
        "-o out.npz --engine embedded",
    ],
    "transplant": ["good.prototxt good.caffemodel good.prototxt good.caffemodel -o out.caffemodel"],
    "init": ["good.prototxt --missing good.caffemodel -o out.caffemodel"],
    "upgrade": ["good.caffemodel -o out.caffemodel"],
    "diff": ["good.prototxt good.prototxt good.caffemodel good.caffemodel"],
    "inspect": ["good.caffemodel"],
    "verify": ["--image grey.png --mean mean.npy"],
}
#: The net of `COMMANDS`, and what `MORE` adds to the last of its lines.
LINES = [
    f"{command} {line}".replace("NET", "good.prototxt")
    for command in COMMANDS
    for line in [
        *COMMANDS[command],
        *(
            f"{COMMANDS[command][0]} {more}" if more.startswith("--") else more
            for more in MORE.get(command, ())
        ),
    ]
]
#: Commands whose outputs name the net's files for later.
NAMING_FILES = ("setup ", "train plan ")
#: Outputs that hold their inputs' names, or times.
NAMING = (".toml", ".npz", ".onnx", ".png")
FILES = (
    *("good.prototxt", "good.caffemodel", "grey.png", "mean.npy", "labels.txt", "font.ttf"),
    "list.txt",
)


#: Each line, and the place of each file in it.
CASES = [
    (line, place)
    for line in dict.fromkeys(LINES)
    for place, word in enumerate(line.split())
    if word in FILES and (not line.startswith(NAMING_FILES) or word == "grey.png")
]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "scratch"))
    monkeypatch.setattr("tempfile.tempdir", None)
    (tmp_path / "scratch").mkdir(mode=0o700)
    make_good(128)
    np.save("mean.npy", np.full((1, 8, 8), 0.5, np.float32))
    Path("labels.txt").write_text("a\nb\n")
    Path("list.txt").write_text("grey.png\n")
    font = ImageFont.load_default(10)
    assert isinstance(font, ImageFont.FreeTypeFont)
    Path("font.ttf").write_bytes(font.font_bytes)
    return tmp_path


def feed(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))


@pytest.mark.parametrize(("line", "place"), CASES)
def test_an_input_from_standard_input(
    line: str, place: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = line.split()
    name = words[place]
    code = run(words)
    expected = capsys.readouterr().out
    written = outputs()
    for file in written:
        Path(file).unlink()
    feed(monkeypatch, Path(name).read_bytes())
    assert run([*words[:place], "-", *words[place + 1 :], *forced(words)]) == code
    out, err = capsys.readouterr()
    assert "scratch" not in out + err
    assert os.listdir("scratch") == []
    if words[0] != "convert":  # whose report has times in it
        assert unnamed(out) == unnamed(expected)
    for file in written:
        again = Path(file)
        if words[0] == "convert" and not again.exists():  # it is named after the input
            again = Path(file.replace("good", "net" if place == 1 else "model"))
        assert written[file] == again.read_bytes() or file.endswith(NAMING)


def unnamed(text: str) -> list[str]:
    """The words of a report, with one name for all files."""
    return re.sub(
        r"<stdin>|(?<!\S)-(?!\S)|(good|grey|mean|labels|font)\.\w+|\b(stdin|grey)\b", "FILE", text
    ).split()


def outputs() -> dict[str, bytes]:
    names = [*Path().glob("out*"), *Path("out").glob("*")]
    return {str(path): path.read_bytes() for path in names if path.is_file()}


def forced(words: list[str]) -> list[str]:
    cannot = ("inspect", "check", "diff", "evaluate", "verify")
    shows = words[0] == "classify-map" and not {"--npy", "--picture"}.intersection(words)
    return [] if words[0] in cannot or shows else ["--force"]


@pytest.mark.parametrize(("line", "place"), CASES)
def test_what_is_wrong_with_it_is_called_stdin(
    line: str, place: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = line.split()
    text = b"layer { name: 1 2 3" if words[place].endswith(".prototxt") else b"\x00\x01\xff"
    text = b"" if words[place] == "list.txt" else text  # any bytes are names
    feed(monkeypatch, text)
    code = run([*words[:place], "-", *words[place + 1 :]])
    out, err = capsys.readouterr()
    assert code in (1, 2)
    assert "<stdin>" in out + err
    assert "scratch" not in out + err
    assert err.count("\n") <= 1
    assert os.listdir("scratch") == []


def test_the_lines_have_all_input_files() -> None:
    """Every argument and option of a kind of file, in each command that has it."""
    tried: dict[str, set[str]] = {}
    for line in LINES:
        name, *words = line.split()
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        with command.make_context(name, words, click.Context(cli), resilient_parsing=True) as ctx:
            names = {param.name or "" for param in file_params(command)}
            tried.setdefault(name, set()).update(each for each in names if ctx.params.get(each))
    for name, params in tried.items():
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        missing = {param.name for param in file_params(command)} - params
        # Of these the settings hold the names.
        assert missing <= ({"mean", "labels"} if name in ("convert", "setup") else set()), name


def file_params(command: click.Command) -> list[click.Parameter]:
    kinds = (InputFile, type(IMAGE))
    return [param for param in command.params if isinstance(param.type, kinds)]


@pytest.mark.parametrize(
    "line",
    [
        "verify - good.caffemodel - good.caffemodel",
        "convert - -",
        "classify-map - --prototxt - --weights good.caffemodel",
        "classify-map - -",
        "diff - -",
        "features - --blob conv -o out.npz --mean -",
        "edit - good.caffemodel conv[1]=npy:- -o out",
        "edit good.prototxt good.caffemodel conv[1]=npy:- conv[1]+=npy:- -o out",
    ],
)
def test_one_input_only(
    line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    feed(monkeypatch, GOOD.encode())
    assert run(line.split()) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: standard input (-) can be one of the inputs only (try netsurgery")
    assert os.listdir("scratch") == []


@pytest.mark.parametrize(
    "line",
    [
        "convert good.prototxt good.caffemodel --mean -",
        "convert good.prototxt good.caffemodel --labels -",
        "setup good.prototxt good.caffemodel --image grey.png --class 1 --labels -",
        "setup good.prototxt - --image grey.png --class 1",
        "setup - good.caffemodel --image grey.png --class 1",
    ],
)
def test_settings_cannot_name_standard_input(
    line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    feed(monkeypatch, Path("labels.txt").read_bytes())
    assert run(line.split()) == 2
    assert "give a file, not standard input" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("planned", "names"),
    [
        (
            lambda: ns.convert("-", "good.caffemodel", ".", dry_run=True),
            ["net_full_conv.prototxt", "good_full_conv.caffemodel"],
        ),
        (
            lambda: ns.edit("-", "good.caffemodel", "outputs:conv:drop=0", dry_run=True),
            ["net_edited.prototxt", "good_edited.caffemodel"],
        ),
        (
            lambda: ns.transplant(("good.prototxt", "good.caffemodel"), ("-", None), dry_run=True),
            [None, "net_transplanted.caffemodel"],
        ),
    ],
    ids=["convert", "edit", "transplant"],
)
def test_outputs_of_calls_with_standard_input_are_named_after_a_net(
    planned: Callable[[], Any], names: list[str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    feed(monkeypatch, Path("good.prototxt").read_bytes())
    with planned() as result:
        record = result.to_json()
    assert [record.get("prototxt"), record["weights"]] == names


def test_what_is_converted_from_standard_input_is_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    line = ["convert", "--engine", "embedded", "-q", "-o"]
    assert run([*line, "named", "good.prototxt", "good.caffemodel"]) == 0
    feed(monkeypatch, Path("good.prototxt").read_bytes())
    assert run([*line, "net", "-", "good.caffemodel"]) == 0
    feed(monkeypatch, Path("good.caffemodel").read_bytes())
    assert run([*line, "model", "good.prototxt", "-"]) == 0
    for name in ("named/good", "model/good"):
        text = Path(f"{name}_full_conv.prototxt").read_bytes()
        assert text == Path("net/net_full_conv.prototxt").read_bytes()
    for name in ("net/good", "model/model"):
        weights = Path(f"{name}_full_conv.caffemodel").read_bytes()
        assert weights == Path("named/good_full_conv.caffemodel").read_bytes()
    assert "scratch" not in Path("model/netsurgery.toml").read_text()


def test_weights_in_hdf5(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["init", "good.prototxt", "-o", "good.caffemodel.h5", "-q"]) == 0
    feed(monkeypatch, Path("good.caffemodel.h5").read_bytes())
    assert run(["convert", "good.prototxt", "-", "--engine", "embedded"]) == 0
    assert Path("model_full_conv.caffemodel.h5").exists()


def test_input_without_end_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Endless(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, buffer: object) -> int:
            return len(memoryview(buffer))  # type: ignore[arg-type]

    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BufferedReader(Endless())))
    assert run(["inspect", "-", "--max-memory", "64MiB"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("error: <stdin>: keeping it needs more than 6")
    assert os.listdir("scratch") == []


def test_standard_input_that_is_closed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", None)
    assert run(["inspect", "-"]) == 1
    assert capsys.readouterr().err == "error: <stdin>: is closed\n"


@pytest.mark.parametrize("verb", ["=", "+=", "-=", "*=", "/="])
def test_an_array_for_edit(
    verb: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save("bias.npy", np.array([3, 4], np.float32))
    words = ["edit", "good.prototxt", "good.caffemodel", "conv[1]+=1"]
    assert run([*words, f"conv[1]{verb}npy:bias.npy", "-o", "named"]) == 0
    capsys.readouterr()
    feed(monkeypatch, Path("bias.npy").read_bytes())
    assert run([*words, f"conv[1]{verb}npy:-", "-o", "piped", "--json"]) == 0
    out = capsys.readouterr().out
    assert "scratch" not in out
    assert f"conv[1]{verb}npy:<stdin>" in out
    assert Path("piped").read_bytes() == Path("named").read_bytes()


def test_an_array_that_is_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for content in (b"", b"no array", Path("mean.npy").read_bytes()):
        feed(monkeypatch, content)
        words = ["edit", "good.prototxt", "good.caffemodel", "conv[1]=npy:-", "-o", "out"]
        assert run(words) == 1
        err = capsys.readouterr().err
        assert err.startswith("error: conv[1]=npy:<stdin>: ") or err.startswith("error: <stdin>: ")
        assert err.count("\n") == 1


#: Every command with a folder for its outputs, up to the folder, and the call of the library.
FOLDERS: dict[str, Callable[[], object]] = {
    "convert good.prototxt good.caffemodel --engine embedded -o": lambda: ns.convert(
        "good.prototxt", "good.caffemodel", "-", engine="embedded"
    ),
    "convert good.prototxt good.caffemodel --dry-run -o": lambda: ns.convert(
        "good.prototxt", "good.caffemodel", "-", dry_run=True
    ),
    "setup good.prototxt good.caffemodel --image grey.png --class 0 --engine embedded -o": (
        lambda: ns.setup(
            "good.prototxt", "good.caffemodel", "grey.png", 0, folder="-", engine="embedded"
        )
    ),
}


@pytest.mark.parametrize("line", FOLDERS)
def test_a_folder_is_not_standard_output(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(os.listdir())
    assert run([*line.split(), "-"]) == 1
    assert "-: is standard output, expected a folder for the outputs" in capsys.readouterr().err
    with pytest.raises(ns.OutputError, match="-: is standard output, expected a folder"):
        FOLDERS[line]()
    assert sorted(os.listdir()) == before


def test_the_next_command_goes_into_a_folder_with_a_dash(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert (
        run([*"convert good.prototxt good.caffemodel --engine embedded".split(), "-o", "-x"]) == 0
    )
    assert "next: cd ./-x && netsurgery classify-map IMAGE" in capsys.readouterr().out


@pytest.mark.parametrize(
    "line",
    [
        "init good.prototxt -o ./-",
        "draw good.prototxt --format svg -o ./-",
        "convert good.prototxt good.caffemodel --engine embedded --weights-out ./-",
        "inspect good.caffemodel --param conv[0] --npy ./-",
    ],
)
def test_a_file_called_as_standard_output(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(line.split()) == 0
    assert f"wrote {Path().absolute() / '-'}\n" in capsys.readouterr().out
    assert Path("-").stat().st_size > 0


def test_a_file_called_as_standard_input(capsys: pytest.CaptureFixture[str]) -> None:
    Path("good.prototxt").rename("-")
    assert run(["inspect", "./-"]) == 0
    assert "total: " in capsys.readouterr().out
