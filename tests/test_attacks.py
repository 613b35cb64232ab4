"""The attacks that take seconds, played; `make attacks` plays all of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from attacks.arena import ROOT, Arena
from attacks.scripts import Script, find_caffe_python, scripts
from lacking import lacking

ALL = scripts()


@pytest.mark.parametrize(
    "script", [each for each in ALL if not each.slow], ids=lambda each: each.name
)
def test_an_attack_does_not_work(tmp_path: Path, script: Script) -> None:
    caffe = find_caffe_python()
    if script.needs_caffe and caffe is None:
        lacking("no real Caffe to attack")
    script.attack(Arena(tmp_path, caffe))


def test_numbers_are_used_once() -> None:
    numbers = [script.number for script in ALL]
    assert len(set(numbers)) == len(numbers)


def test_the_docs_list_all_and_no_others() -> None:
    lines = (ROOT / "docs" / "trust.md").read_text().splitlines()
    start = lines.index("| script | idea | verdict |") + 2
    assert lines[start : lines.index("", start)] == [script.row for script in ALL]
