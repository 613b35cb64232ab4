"""How many colours a terminal has, and the codes that are sent to it."""

from __future__ import annotations

import io

import pytest

from netsurgery.cli.colors import color_count, paint


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


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


def test_greys_of_256() -> None:
    assert paint("x", (128, 128, 128), 256) == "\x1b[38;5;244mx\x1b[0m"
