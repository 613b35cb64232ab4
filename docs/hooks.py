"""What the documentation's pages get when the site is built: links into the repository, names.

The pages are read in the repository too, where `../CHANGELOG.md` is a file beside them; on the
site it is a page of the repository.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

import netsurgery

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"(?<=\]\()(?!https?:|#)([^)#\s]+)(?=[)#])")
#: Package of a public name -> the heading it is under.
TITLES = {
    "verbs": "Verbs and their results",
    "surgery": "Verbs and their results",
    "open_net": "Open nets",
    "net": "Open nets",
    "formats": "Pictures, maps and features",
    "maps": "Pictures, maps and features",
    "training": "Training",
    "engines": "Engines",
    "io": "Limits",
    "errors": "Errors",
}
NAMES = "<!-- every public name -->"


def on_page_markdown(markdown: str, *, page: Any, config: Any, **_: Any) -> str:
    """The page's text as the site needs it."""
    folder = posixpath.join("docs", posixpath.dirname(page.file.src_uri))

    def target(match: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(folder, match[1]))
        if path.startswith("docs/") and (ROOT / path).is_file() and not path.endswith(".py"):
            return match[1]  # a page or a file of the site's own
        kind = "tree" if (ROOT / path).is_dir() else "blob"
        return f"{config.repo_url}/{kind}/main/{path}"

    return LINK.sub(target, markdown.replace(NAMES, public_names()))


def public_names() -> str:
    """A heading for each part of the library, and under it what is documented of its names."""
    parts: dict[str, list[str]] = {title: [] for title in TITLES.values()}
    for module, names in vars(netsurgery)["_MODULES"].items():
        parts[TITLES[module.partition(".")[0]]] += names.split()
    lines = []
    for title, names in parts.items():
        lines += [f"## {title}", ""]
        lines += [f"::: netsurgery.{name}\n" for name in sorted(names, key=str.lower)]
    return "\n".join(lines)
