"""The attack scripts of this folder, found by their names."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from attacks.arena import Arena

from netsurgery.engines.discovery import locate_caffe
from netsurgery.errors import EngineMissing

__all__ = ["Script", "find_caffe_python", "scripts"]

_NAME = re.compile(r"a(\d{3})_\w+")


@dataclass(frozen=True)
class Script:
    """One attack: title and verdict are one line each, out of its docstring."""

    number: int
    name: str
    title: str
    verdict: str
    attack: Callable[[Arena], None]
    slow: bool
    needs_caffe: bool

    @property
    def row(self) -> str:
        """What docs/trust.md lists of it."""
        return f"| {self.number} | {self.title} | {self.verdict} |"


def scripts() -> list[Script]:
    """Every script, by number. Raises ValueError for one without title or verdict."""
    names = [path.stem for path in Path(__file__).parent.glob("a*.py")]
    return [_script(name) for name in sorted(names) if _NAME.fullmatch(name)]


def _script(name: str) -> Script:
    module = importlib.import_module(f"attacks.{name}")
    idea, mark, verdict = (module.__doc__ or "").partition("Verdict:")
    title = idea.strip().split("\n")[0]
    if not (title and mark and verdict.strip()):
        raise ValueError(f"{name}: its docstring needs a title and a `Verdict:`")
    return Script(
        number=int(name[1:4]),
        name=name,
        title=title.rstrip("."),
        verdict=" ".join(verdict.split()),
        attack=module.attack,
        slow=getattr(module, "SLOW", False),
        needs_caffe=getattr(module, "NEEDS_CAFFE", False),
    )


def find_caffe_python() -> str | None:
    """The interpreter that has real Caffe, or None."""
    try:
        return locate_caffe()
    except EngineMissing:
        return None
