"""What reaches a terminal cannot steer it, whoever wrote it there."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import pytest
from every_command import COMMANDS, GOOD
from PIL import Image

from netsurgery.engines.worker_log import LastWords
from netsurgery.io.terminal import no_warnings, printable, unheard

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "netsurgery"

#: What a name may hold: sequences that colour, wipe, answer, rename the window; the same in eight
#: bits; characters that turn round, hide, stack up, or begin a line of their own.
STEERS = (
    "\x1b[31m\x1b[2J\x1b]0;title\x07\x1b[6n\x9b31m\x90q\x9c\x85\x7f\x08\r"
    "\u202e\u2066\u2069\u200b\u200e\ufeff\u2028\u2029\U000e0041\ue000e"
    + "\u0301" * 30
    + "\nSPOOFED"
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\n\tText_1", "plain\n\tText_1"),
        ("\x1b[31m\r\x7f\x00", "\\x1b[31m\\r\\x7f\\x00"),
        ("\x9b\x85\u2028", "\\x9b\\x85\\u2028"),
        ("\udc9b\udcff\ud800", "\\x9b\\xff\\ud800"),
        ("\u202egnp.exe\u2066", "\\u202egnp.exe\\u2066"),
        ("a\u200bb\ufeff\U000e0041", "a\\u200bb\\ufeff\\U000e0041"),
        ("äß漢字🐈", "äß漢字🐈"),
        ("e\u0301\u0323", "e\u0301\u0323"),
        ("e" + "\u0301" * 6, "e" + "\u0301" * 4 + "\\u0301\\u0301"),
    ],
)
def test_printable(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable(shown) == shown


#: The calls that write to a standard stream, and the files that may: the one way, the bar
#: that draws through it, and the two that run in Caffe's process, whose output is a pipe of ours.
WRITES = re.compile(
    r"\b(click\.(echo|secho|prompt|confirm|progressbar|echo_via_pager|pause|edit)|print|"
    r"sys\.(__)?std(out|err)(__)?(\.buffer)?\.(write|writelines)|os\.writev?\([12],)\b"
)
WRITERS = {
    "cli/printing.py",
    "cli/progress.py",
    "io/terminal.py",
    "engines/worker_log.py",
    "engines/caffe_probe.py",
    "engines/caffe_worker.py",
}


def test_nothing_is_printed_but_through_one_door() -> None:
    modules = set()
    for path in PACKAGE.rglob("*.py"):
        calls = [
            node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)
        ]
        if any(WRITES.match(ast.unparse(call)) for call in calls):
            modules.add(str(path.relative_to(PACKAGE)))
    assert modules <= WRITERS


#: Runs command lines one after another as the command does, with a line between them.
DRIVER = """
import json, os, sys
from netsurgery.cli import run
from netsurgery.cli.streams import name_streams
from netsurgery.io.terminal import own_standard_error
name_streams()
own_standard_error()
for number, (words, env) in enumerate(json.load(open("lines.json"))):
    os.write(2, b"\\n=== %d\\n" % number)
    os.environ.update(env)
    run([os.fsdecode(word.encode("latin-1")) for word in words])
    for name in env:
        del os.environ[name]
    for name in ("out", "out.caffemodel", "out.onnx", "out.npz", "out.npy", "out.prototxt"):
        if os.path.exists(name) and not os.path.isdir(name):
            os.unlink(name)
os.write(2, b"\\n=== end\\n")
"""

Line = tuple[list[bytes], dict[str, str]]


def quoted(text: str) -> str:
    """As a string of a prototxt."""
    return "".join(f"\\{byte:03o}" for byte in text.encode())


def steered(name: re.Match[str]) -> str:
    return f'"{name[1]}{quoted(STEERS)}"'


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Line]]:
    """A folder of hostile nets, pictures and names, and the command lines that meet them."""
    from netsurgery.cli import run

    folder = tmp_path_factory.mktemp("hostile")
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.chdir(folder)
    (folder / "good.prototxt").write_text(GOOD)
    assert run(["init", str(folder / "good.prototxt"), "-q", "-o", str(folder / "g")]) == 0
    (folder / "g").rename(folder / "good.caffemodel")
    Image.new("L", (8, 8), 128).save(folder / "grey.png")
    evil = STEERS.encode() + b"\x80\x9b31m\xff"
    (folder / os.fsdecode(evil + b".png")).write_bytes((folder / "grey.png").read_bytes())
    (folder / os.fsdecode(evil + b".txt")).write_text("one label\n")
    nets = {
        b"names": re.sub(r'"(conv|fc|prob|data|good)"', steered, GOOD),
        b"type": GOOD.replace("InnerProduct", f"Inner{quoted(STEERS)}"),
        b"field": GOOD.replace("xavier", f"xav{quoted(STEERS)}"),
        b"file": GOOD + f"# {STEERS}\nlayer {{ name: 'x' type: {STEERS} }}",
    }
    for name, text in nets.items():
        path = os.fsdecode(name + evil)
        (folder / path).write_bytes(text.encode())
    assert run(["init", os.fsdecode(b"names" + evil), "-q", "-o", "names.caffemodel"]) == 0
    lines: list[Line] = []
    for command, ways in COMMANDS.items():
        for way in ways:
            words = [command.encode(), *way.encode().split(b" ")]
            for name in nets:
                for more in ([], [b"--json"], [b"--dry-run"], [b"-v"]):
                    arguments = [name + evil if word == b"NET" else word for word in words]
                    if name == b"names" and b"NET good.caffemodel" in b" ".join(words):
                        arguments[words.index(b"NET") + 1] = b"names.caffemodel"
                    lines.append(([*arguments, *more], {}))
            replaced = [evil if word.startswith(b"out") else word for word in words]
            lines.append((replaced, {}))  # no such file NET, and an output of that name
        lines += [([command.encode(), b"--" + evil], {}), ([command.encode(), b"--help"], {})]
        lines.append(([command.encode(), evil], {"NETSURGERY_MAX_MEMORY": STEERS}))
        lines.append(([command.encode(), evil], {"NETSURGERY_ENGINE": STEERS}))
    picture = evil + b".png"
    map_of = [b"classify-map", picture, picture, b"none" + evil, b"--prototxt", b"good.prototxt"]
    map_of += [b"--weights", b"good.caffemodel", b"--engine", b"embedded", b"--blob", b"conv"]
    lines += [
        (map_of, {}),
        ([*map_of, b"--labels", evil + b".txt"], {}),
        ([*map_of[:-1], evil], {}),
        ([*map_of, b"-v", b"--json"], {}),
        ([b"diff", b"good.prototxt", b"names" + evil, b"--text"], {}),
        ([b"upgrade", b"names" + evil, b"-o", b"-"], {}),
        ([b"export", b"names" + evil, b"good.caffemodel", b"-o", evil + b".onnx"], {}),
        ([b"convert", b"good.prototxt", b"good.caffemodel", b"-o", evil, b"--layers", evil], {}),
        ([b"edit", b"good.prototxt", b"good.caffemodel", evil, b"-o", b"out.caffemodel"], {}),
        ([b"caffe", b"info", b"--caffe-python", evil], {}),
        ([b"caffe", b"info"], {"NETSURGERY_CAFFE_PYTHON": STEERS}),
        ([b"caffe", b"install", b"--mirror", evil], {}),
        ([b"caffe", b"install", b"--prefix", b"/dev/null/" + evil, b"--suite", evil], {}),
        ([evil], {}),
    ]
    monkeypatch.undo()
    return folder, lines


def output_of(folder: Path, lines: list[Line], *, terminal: bool) -> bytes:
    """All that the command lines print, on one pipe or one terminal."""
    as_json = [([word.decode("latin-1") for word in words], env) for words, env in lines]
    (folder / "lines.json").write_text(json.dumps(as_json))
    reader, writer = pair(terminal)
    printed = bytearray()

    def drain() -> None:
        try:
            while part := os.read(reader, 1 << 16):
                printed.extend(part)
        except OSError:  # EIO: nobody has the terminal any more
            pass

    thread = threading.Thread(target=drain)
    thread.start()
    environment = {k: v for k, v in os.environ.items() if not k.startswith("NETSURGERY_")}
    done = subprocess.run(
        [sys.executable, "-c", DRIVER],
        cwd=folder,
        env={**environment, "PYTHONPATH": str(ROOT), "TERM": "xterm"},
        stdin=subprocess.DEVNULL,
        stdout=writer,
        stderr=writer,
        timeout=300,
        check=False,
    )
    os.close(writer)
    thread.join()
    os.close(reader)
    assert done.returncode == 0, bytes(printed[-3000:])
    return bytes(printed)


def pair(terminal: bool) -> tuple[int, int]:
    if not terminal:
        return os.pipe()
    import pty
    import termios

    reader, writer = pty.openpty()
    settings = termios.tcgetattr(writer)
    settings[1] &= ~termios.OPOST  # newlines as they are
    termios.tcsetattr(writer, termios.TCSANOW, settings)
    return reader, writer


#: What we send to a terminal ourselves: a line wiped, a class in its colour, what is bold.
OURS = re.compile(r"\r\x1b\[K|\x1b\[([34]8;2;\d+;\d+;\d+|[34]8;5;\d+|[349]\d|10\d|[01;])+m")


@pytest.mark.parametrize("terminal", [False, True], ids=["a pipe", "a terminal"])
def test_no_name_steers_a_terminal(lines: tuple[Path, list[Line]], terminal: bool) -> None:
    folder, all_lines = lines
    printed = output_of(folder, all_lines, terminal=terminal).decode("utf-8")  # strictly
    parts = re.split(r"\n=== (\d+|end)\n", printed)[1:]
    assert parts[-2] == "end"
    shown = 0
    for number, part in zip(parts[:-2:2], parts[1:-2:2], strict=True):
        text = OURS.sub("", part) if terminal else part
        shown += "\\x1b[31m" in text or "\\u001b[31m" in text
        bad = [c for c in text if not c.isprintable() and c != "\n"]
        assert not bad, (all_lines[int(number)], bad, text)
        assert "\nSPOOFED" not in text, (all_lines[int(number)], text)
        assert "Traceback" not in text, (all_lines[int(number)], text)
    assert shown > len(all_lines) / 3


def test_the_workers_log_is_escaped_however_it_comes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Byte by byte, so that sequences and characters are cut; and a last one that is not whole."""
    reader, writer = os.pipe()
    words = LastWords(os.fdopen(reader, "rb"), live=True)
    for byte in "layer ä漢\x1b[31m\x9b\u202e\r\n".encode() + b"\xff\x9b\xe6\xbc":
        os.write(writer, bytes([byte]))
    os.close(writer)
    words.finish()
    shown = "layer ä漢\\x1b[31m\\x9b\\u202e\\r\n\\xff\\x9b\\xe6\\xbc"
    assert capsys.readouterr().err == shown


#: A library in C that prints, as the command has it.
PRINTS = """
import ctypes, sys
from netsurgery.cli.streams import name_streams
from netsurgery.io.terminal import own_standard_error, say, unheard
name_streams()
own_standard_error() if sys.argv[1] == "command" else None
with unheard(shown=sys.argv[2] == "shown"):
    ctypes.CDLL(None).write(2, b"\\x1b[0;93mfrom C \\x1b]0;t\\x07\\x1b[m\\n", 24)
    say("error: from a handler \\x1b\\n")
ctypes.CDLL(None).write(2, b"after\\n", 6)
"""


@pytest.mark.parametrize(
    ("whose", "shown", "printed"),
    [
        ("command", "dropped", b"error: from a handler \\x1b\nafter\n"),
        ("command", "shown", b"error: from a handler \\x1b\nfrom C \\x1b]0;t\\x07\nafter\n"),
        (
            "program",
            "dropped",
            b"\x1b[0;93mfrom C \x1b]0;t\x07\x1b[m\nerror: from a handler \\x1b\nafter\n",
        ),
    ],
)
def test_what_a_library_in_c_prints(whose: str, shown: str, printed: bytes) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PRINTS, whose, shown],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=True,
    )
    assert done.stderr == printed


#: Threads that decode all the time, and messages meanwhile: none is lost, nothing of C is shown.
DECODES = """
import ctypes, sys, threading
from netsurgery.cli.printing import echo
from netsurgery.cli.streams import name_streams
from netsurgery.io.terminal import own_standard_error, unheard
name_streams()
own_standard_error()
library, done = ctypes.CDLL(None), threading.Event()
def decode():
    while not done.is_set():
        with unheard():
            library.write(2, b"from C\\n", 7)
threads = [threading.Thread(target=decode) for _ in range(3)]
for thread in threads:
    thread.start()
for number in range(2000):
    echo(f"message {number}", err=True)
done.set()
for thread in threads:
    thread.join()
library.write(2, b"after\\n", 6)
"""


def test_messages_pass_by_threads_whose_libraries_print() -> None:
    done = subprocess.run(
        [sys.executable, "-c", DECODES],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert done.stderr.decode().splitlines() == [*(f"message {n}" for n in range(2000)), "after"]


def test_what_is_shown_of_a_thread_is_shown_when_another_began_without(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("netsurgery.io.terminal._owned", True)
    with unheard():
        os.write(2, b"dropped\n")
        with unheard(shown=True):
            os.write(2, b"shown\n")
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "shown\nafter\n"


def test_warnings_are_dropped_until_the_last_thread_is_done() -> None:
    inside, may_leave = threading.Event(), threading.Event()

    def second() -> None:
        with no_warnings:
            inside.set()
            may_leave.wait(20)

    thread = threading.Thread(target=second)
    filters = warnings.filters
    with no_warnings:
        thread.start()
        assert inside.wait(20)
    warnings.warn("dropped: the other is still there", stacklevel=1)
    may_leave.set()
    thread.join()
    assert warnings.filters is filters
    with pytest.warns(UserWarning, match="heard"):
        warnings.warn("heard", stacklevel=1)


def test_a_damaged_tiff_is_one_line(lines: tuple[Path, list[Line]]) -> None:
    """libtiff prints of it by itself."""
    folder, _ = lines
    Image.new("L", (64, 64)).save(folder / "whole.tif", compression="packbits")
    content = (folder / "whole.tif").read_bytes()
    offset = int.from_bytes(content[4:8], "little")
    (folder / "cut.tif").write_bytes(content[:8] + b"\x7f" * (offset - 8) + content[offset:])
    with Image.open(folder / "cut.tif") as image, pytest.raises(OSError, match="decoder"):
        image.load()
    words = "classify-map cut.tif --prototxt good.prototxt --weights good.caffemodel --blob conv"
    printed = output_of(folder, [(words.encode().split(), {})], terminal=False)
    assert printed.count(b"\n") == 5, printed
    assert b"error: cut.tif: broken picture" in printed


#: Outputs that may go to standard output, and whether they are text.
STREAMED = {
    "init good.prototxt -o -": False,
    "export good.prototxt good.caffemodel -o -": False,
    "classify-map grey.png --prototxt good.prototxt --blob conv --npy - "
    "--weights good.caffemodel": False,
    "upgrade good.prototxt -o -": True,
}


@pytest.mark.parametrize("line", STREAMED)
def test_what_is_no_text_does_not_go_to_a_terminal(
    lines: tuple[Path, list[Line]], line: str
) -> None:
    folder, _ = lines
    alone: list[Line] = [(line.encode().split(), {})]
    refused = b"standard output is a terminal, and what is written is not text: name a file"
    label = b"\x1b[31merror:\x1b[0m "
    assert (label + refused in output_of(folder, alone, terminal=True)) is not STREAMED[line]
    assert refused not in output_of(folder, alone, terminal=False)


def test_real_caffes_log_is_escaped(lines: tuple[Path, list[Line]], caffe_python: str) -> None:
    folder, _ = lines
    net = b"names" + STEERS.encode() + b"\x80\x9b31m\xff"
    words = [b"convert", net, b"names.caffemodel", b"-o", b"new", b"--engine", b"caffe", b"-v"]
    chosen = {"NETSURGERY_CAFFE_PYTHON": caffe_python}
    printed = output_of(folder, [(words, chosen)], terminal=False).decode("utf-8")
    assert "Creating Layer conv\\x1b[31m" in printed
    assert [c for c in printed if not c.isprintable() and c not in "\n\t"] == []
