"""docs/commands.md and the man pages are those of the commands."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import click
import pytest
from command_tree import every_command
from lacking import needs

ROOT = Path(__file__).resolve().parent.parent
MAN = sorted((ROOT / "man").glob("*.1"))


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    path = ROOT / "docs" / "command_reference.py"
    spec = importlib.util.spec_from_file_location("command_reference", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["command_reference"] = module  # a dataclass looks there for its module
    spec.loader.exec_module(module)
    return module


def test_the_files_are_those_of_the_commands(reference: ModuleType) -> None:
    """Run `make reference` where this fails."""
    files = reference.outputs()
    assert {path for path in files if path.suffix == ".1"} == set(MAN)
    stale = [path.name for path, text in files.items() if path.read_text("utf-8") != text]
    assert stale == []


@pytest.mark.parametrize("name", every_command())
def test_a_command_is_documented_with_all_its_options(name: str) -> None:
    section = (
        (ROOT / "docs/commands.md")
        .read_text()
        .split(f"\n## netsurgery {name}\n")[1]
        .split("\n## ")[0]
    )
    page = (ROOT / "man" / f"netsurgery-{name.replace(' ', '-')}.1").read_text()
    assert "```sh\nnetsurgery " in section
    assert ".SH EXAMPLES" in page
    for param in every_command()[name].params:
        if isinstance(param, click.Option):
            assert param.opts[-1] in section
            assert param.opts[-1].replace("-", "\\-") in page
            if param.envvar:
                assert str(param.envvar) in section
                assert f".B {param.envvar}\n" in page


@pytest.mark.parametrize("page", MAN, ids=lambda page: page.stem)
def test_man_reads_the_pages(page: Path) -> None:
    needs("man")
    done = subprocess.run(
        ["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", str(page)], capture_output=True
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_mandoc_finds_nothing_wrong_in_the_pages() -> None:
    needs("mandoc")
    command = ["mandoc", "-Tlint", "-Wwarning", *map(str, MAN)]
    lines = subprocess.run(command, capture_output=True, text=True).stdout.splitlines()
    assert [line for line in lines if "missing date" not in line] == []
