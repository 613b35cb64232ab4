"""What holds of every page: the policy allows what is in it, and it makes no code of data."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

import numpy as np
import pytest
from pages import HOSTILE, elements, made_map, page_of

import netsurgery as ns

PACKAGE = Path(ns.__file__).parent
#: What pages are made of.
FILES = sorted(
    path
    for room in ("diagram", "maps")
    for path in (PACKAGE / room).rglob("*")
    if path.suffix not in ("", ".py", ".pyc")
)


def map_page() -> str:
    values = np.random.default_rng(3).random((len(HOSTILE), 4, 5))
    return page_of(made_map(values, labels=HOSTILE, name=f"folder/{HOSTILE[1]}.png"))


def net_page() -> str:
    return ns.draw(PACKAGE.parent / "prototxt" / "digits_deploy.prototxt").html()


#: Each page, with the sources of images it allows and the addresses in its attributes.
PAGES = {"map": (map_page, "data: blob:", ["data:,"]), "net": (net_page, "'none'", [])}


@pytest.mark.parametrize("kind", PAGES)
def test_a_page_allows_its_own_script_and_styles_alone(kind: str) -> None:
    make, images, addresses = PAGES[kind]
    page = make()
    match = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert match is not None
    policy = dict(part.split(" ", 1) for part in match[1].split("; "))
    for tag in ("script", "style"):
        parts = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        hashes = [
            f"'sha256-{base64.b64encode(hashlib.sha256(part.encode()).digest()).decode()}'"
            for part in parts
        ]
        assert hashes
        assert policy.pop(f"{tag}-src").split() == hashes
        data = page.count(f'<{tag} type="application/json"')
        assert page.count(f"<{tag}") == len(parts) + data
    assert policy.pop("img-src") == images
    assert policy == dict.fromkeys(("default-src", "base-uri", "form-action"), "'none'")
    attributes = [each for _, several in elements(page) for each in several.items()]
    assert not any(name.startswith("on") or name == "style" for name, _ in attributes)
    places = ("src", "href", "action", "data")
    assert [value for name, value in attributes if name in places] == addresses
    # The name of a language is no place.
    assert set(re.findall(r"https?://[^\"' ]+", page)) <= {"http://www.w3.org/2000/svg"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_what_a_page_is_made_of_is_ascii(path: Path) -> None:
    text = path.read_bytes()
    assert text.isascii()
    assert b"\r" not in text


@pytest.mark.parametrize(
    "path",
    [path for path in FILES if path.suffix == ".js"],
    ids=lambda path: str(path.relative_to(PACKAGE)),
)
def test_a_script_makes_no_code_and_no_markup_of_data(path: Path) -> None:
    text = path.read_text()
    sinks = r"eval|Function|innerHTML|outerHTML|insertAdjacent|document\.write|setTimeout\([\"'`]"
    requests = r"\bfetch\(|XMLHttpRequest|WebSocket|EventSource|sendBeacon|import\(|https?:"
    match = re.search(rf"(?<!\w)({sinks}|{requests}|srcdoc|DOMParser|javascript:|cssText)", text)
    assert match is None, match
    assert len(text.splitlines()) <= 350


def test_a_wheel_has_all_that_a_page_is_made_of(repo_root: Path) -> None:
    settings = (repo_root / "pyproject.toml").read_text()
    patterns = re.findall(r'"((?:maps|diagram)/[^"]*\*[^"]*)"', settings)
    installed = {path for pattern in patterns for path in PACKAGE.glob(pattern)}
    assert installed == set(FILES)
