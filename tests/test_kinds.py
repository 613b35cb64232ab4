"""Which files count as a prototxt."""

from __future__ import annotations

from pathlib import Path

import pytest

from netsurgery.cli import run
from netsurgery.formats.prototxt import is_prototxt


@pytest.mark.parametrize(
    ("head", "text"),
    [
        (b'layer { name: "a\x1bb" }', True),
        (b'\xef\xbb\xbf# by \x07 hand\n\n  input: "x"', True),
        (b"layer \x1b {", False),
        (b'layer { name: "a\0b" }', False),
        (b"\n\x08CaffeNet: {", False),
        (b"", False),
    ],
)
def test_text_begins_with_a_field(tmp_path: Path, head: bytes, text: bool) -> None:
    (tmp_path / "file").write_bytes(head)
    assert is_prototxt(tmp_path / "file") is text


def test_a_control_character_is_reported_with_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("ctl.prototxt").write_text('input: "x"\ninput_dim: [1, 2, \x1b 3, 4]\n')
    assert run(["inspect", "ctl.prototxt"]) == 1
    assert capsys.readouterr().err.startswith("error: ctl.prototxt:2:19: a stray '\\x1b'; ")
