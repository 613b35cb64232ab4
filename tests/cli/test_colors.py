"""How many colours a terminal has, and the codes that are sent to it."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from fakes import Terminal

from netsurgery.cli import run
from netsurgery.cli.colors import BAD, GOOD, bold, color_count, kept_apart, mark, paint
from netsurgery.maps.palette import CLASS_COLORS


@pytest.mark.parametrize(
    ("variables", "count"),
    [
        ({"TERM": "xterm"}, 16),
        ({"TERM": "xterm-256color"}, 256),
        ({"TERM": "xterm-256color", "COLORTERM": "truecolor"}, 1 << 24),
        ({"TERM": "screen", "COLORTERM": "24bit"}, 1 << 24),
        ({"TERM": "xterm-direct"}, 1 << 24),
        ({"TERM": "xterm", "COLORTERM": "yes"}, 16),
        ({"TERM": "dumb", "COLORTERM": "truecolor"}, 0),
        ({"TERM": "xterm-256color", "NO_COLOR": "1"}, 0),
    ],
)
def test_count(variables: dict[str, str], count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TERM", "COLORTERM", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert color_count(Terminal()) == count
    assert color_count(io.StringIO()) == 0


@pytest.mark.parametrize(
    ("count", "front", "both"),
    [
        (0, "x", "x"),
        (16, "\x1b[91mx\x1b[0m", "\x1b[91;40mx\x1b[0m"),
        (256, "\x1b[38;5;196mx\x1b[0m", "\x1b[38;5;196;48;5;16mx\x1b[0m"),
        (1 << 24, "\x1b[38;2;250;0;0mx\x1b[0m", "\x1b[38;2;250;0;0;48;2;0;0;0mx\x1b[0m"),
    ],
)
def test_paint(count: int, front: str, both: str) -> None:
    assert paint("x", (250, 0, 0), count) == front
    assert paint("x", (250, 0, 0), count, (0, 0, 0)) == both
    assert paint("x", None, count) == "x"


@pytest.mark.parametrize("count", [16, 256, 1 << 24])
def test_classes_have_different_colors_on_every_terminal(count: int) -> None:
    """And none that may be the terminal's own, in which nothing would be seen."""
    codes = [paint("", color, count) for color in kept_apart(CLASS_COLORS, count)]
    assert len(set(codes)) == len(CLASS_COLORS)
    grounds = [(0, 0, 0), (229, 229, 229), (255, 255, 255)]
    assert not set(codes) & {paint("", ground, count) for ground in grounds}


def test_more_colors_than_a_terminal_has_are_the_nearest() -> None:
    greens = [(0, step, 0) for step in range(100, 240, 7)]
    shown = kept_apart(greens, 16)
    assert len(set(shown)) == 13
    assert set(shown).issuperset({(0, 205, 0), (0, 255, 0), (127, 127, 127)})


def test_greys_of_256() -> None:
    assert paint("x", (128, 128, 128), 256) == "\x1b[38;5;244mx\x1b[0m"


def test_marks_are_the_terminals_own_colors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its user has chosen them; and none is on a pipe."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert mark("x", BAD, Terminal()) == "\x1b[31mx\x1b[0m"
    assert mark("x", GOOD, Terminal()) == "\x1b[32mx\x1b[0m"
    assert mark("x", None, Terminal()) == "x"
    assert mark("x", BAD, io.StringIO()) == "x"
    assert bold("x", Terminal()) == "\x1b[1mx\x1b[0m"
    monkeypatch.setenv("NO_COLOR", "1")
    assert mark("x", BAD, Terminal()) == bold("x", Terminal()) == "x"


RED, GREEN, YELLOW, CYAN = ("\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[36m")
NET = """input: "x" input_shape { dim: [1, 4] }
layer { name: "fc" type: "InnerProduct" bottom: "x" top: "fc"
  inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
"""


@pytest.mark.parametrize(
    ("words", "code", "expected"),
    [
        ("diff net net", 0, [f"{GREEN}no difference"]),
        ("diff net other --text", 1, [f"{RED}different; ", f"{RED}-lay", f"{GREEN}+lay", CYAN]),
        ("diff net cut m m", 1, [f"{RED}- layer prob"]),
        ("diff cut net", 1, [f"{GREEN}+ layer prob"]),
        ("diff m n", 1, [f"{YELLOW}fc[0]  different"]),
        ("verify net m net m --engine embedded", 0, [f"{GREEN}no difference"]),
        ("verify net m net n --engine embedded", 1, [f"{RED}not the same", f"{RED}prob  "]),
        ("check net m", 0, [f"{GREEN}net: no error, 1 note; the weights fit"]),
        ("check wrong m", 1, [f"{RED}wrong: 1 error", f"{RED}error:\x1b[0m wrong:3"]),
        ("check zigzag", 0, [f"{YELLOW}warning:\x1b[0m zigzag:4", f"{CYAN}note:\x1b[0m "]),
        ("inspect nowhere", 1, [f"{RED}error:\x1b[0m nowhere: No such"]),
    ],
)
def test_verdicts_and_errors_are_colored(
    words: str,
    code: int,
    expected: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    last = NET.splitlines()[-1]
    Path("net").write_text(NET)
    Path("other").write_text(NET.replace('name: "prob"', 'name: "p"'))
    Path("cut").write_text(NET.replace(last, ""))
    Path("wrong").write_text(NET.replace("num_output", "num_outptu"))
    zigzag = 'layer { name: "z" type: "Zigzag" bottom: "fc" top: "z" }\n'
    Path("zigzag").write_text(NET.replace(last, zigzag + last))
    for name in "mn":
        assert run(["init", "net", "-o", name, "--seed", str(ord(name)), "-q"]) == 0
    monkeypatch.setenv("TERM", "xterm")
    for name in ("NO_COLOR", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    out, plain = "", ""
    for kind in (Terminal, io.StringIO):
        streams = kind(), kind()
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", streams[0])
            patch.setattr(sys, "stderr", streams[1])
            assert run(words.split()) == code
        out, plain = plain, "".join(stream.getvalue() for stream in streams)
    assert "\x1b" not in plain
    for text in expected:
        assert text in out
