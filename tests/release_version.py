"""Whether the changelog, the code and a release's tag name the same version.

    python tests/release_version.py v1.2.3

The newest section of CHANGELOG.md is the version of the code. Its date is "unreleased" until there
is one; a tag wants a date.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

_SECTION = re.compile(r"^## \[(?P<version>[^\]]+)\] - (?P<date>.+)$", re.MULTILINE)
_DATE = re.compile(r"\d{4}-\d\d-\d\d")


def code_version(root: Path = ROOT) -> str:
    """The version in netsurgery/__init__.py, which is not imported."""
    text = (root / "netsurgery" / "__init__.py").read_text(encoding="utf-8")
    match = re.search(r'^__version__ = "([^"]+)"$', text, re.MULTILINE)
    return match[1] if match else "none"


def disagreements(tag: str | None = None, root: Path = ROOT) -> list[str]:
    """What does not agree, one line each. tag: that of a release, such as "v1.2.3"."""
    code = code_version(root)
    section = _SECTION.search((root / "CHANGELOG.md").read_text(encoding="utf-8"))
    if section is None:
        return ["CHANGELOG.md: no section `## [VERSION] - DATE`"]
    problems = []
    if section["version"] != code:
        problems.append(f"CHANGELOG.md begins with {section['version']}, the code is {code}")
    if section["date"] != "unreleased" and not _DATE.fullmatch(section["date"]):
        problems.append(f"CHANGELOG.md: {section['date']!r} is neither YYYY-MM-DD nor unreleased")
    if tag is not None and tag != f"v{code}":
        problems.append(f"the tag is {tag}, the code is {code}")
    if tag is not None and section["date"] == "unreleased":
        problems.append(f"CHANGELOG.md: {section['version']} has no date, and is tagged {tag}")
    return problems


if __name__ == "__main__":
    tag_argument = sys.argv[1] if len(sys.argv) > 1 else None
    sys.exit("\n".join(disagreements(tag_argument)) or 0)
