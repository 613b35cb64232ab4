"""Who can use the page: axe-core's rules, keys alone, two widths, dark, paper, a screen reader."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browsing import LOOKS, Shown, violations
from pages import made_map, page_of, softmax
from PIL import Image

RANDOM = np.random.default_rng(5)
NAMES = tuple(
    f"n{number:08d} a rather long name of class {number}, another" for number in range(60)
)
MAP = made_map(softmax(RANDOM.normal(size=(60, 10, 14)) * 3), labels=NAMES, probability=True)
OTHER = made_map(RANDOM.normal(size=(4, 6, 6)), name="dog.png")


@pytest.fixture(params=LOOKS)
def shown(request: pytest.FixtureRequest, visit: Any) -> Shown:
    page: Shown = visit(MAP, OTHER, **LOOKS[request.param])
    return page


def test_no_rule_of_accessibility_is_broken(shown: Shown) -> None:
    assert violations(shown.page) == []
    shown.press("ArrowDown", "Enter")
    shown.element("#classes input").nth(1).check(force=True)
    shown.element("summary").click()
    shown.settled()
    assert violations(shown.page) == []
    shown.element("#search").fill("nothing")
    shown.element("#open-help").click()
    assert violations(shown.page) == []


def test_everything_fits_its_width(shown: Shown) -> None:
    widths = "[document.documentElement.scrollWidth, window.innerWidth]"
    scroll, room = shown.page.evaluate(widths)
    assert scroll <= room
    left, top, width, height = shown.box("#world")
    x, y, across, down = shown.box("#stage")
    assert x - 1 <= left
    assert left + width <= x + across + 1
    assert y - 1 <= top
    assert top + height <= y + down + 1
    assert max(width / across, height / down) == pytest.approx(1, abs=0.01)
    small = [
        button.get_attribute("id")
        for button in shown.element("button:visible").all()
        if (box := button.bounding_box()) is None or min(box["width"], box["height"]) < 24
    ]
    assert small == []  # WCAG 2.5.8


def test_it_looks_as_it_should(shown: Shown, request: pytest.FixtureRequest) -> None:
    """The paper has the scheme's lightness, the stage holds the picture with its map."""
    dark = "dark" in request.node.callspec.id
    screen = Image.open(io.BytesIO(shown.page.screenshot())).convert("RGB")
    paper = np.asarray(screen)[2, 2].mean()
    assert paper < 40 if dark else paper > 220
    stage = np.asarray(Image.open(io.BytesIO(shown.element("#world").screenshot())).convert("RGB"))
    assert len(np.unique(stage.reshape(-1, 3), axis=0)) > 500


#: Where Tab goes, from the top of the page; of each list one place is enough.
STOPS = [
    "copy-link",
    "save-view",
    "open-help",
    "stage",
    "zoom-out",
    "zoom-fit",
    "zoom-in",
    "pictures",
    "pictures",
    "pin",
    "save-cell",
    "opacity",
    "threshold",
    "background",
    "smooth",
    "search",
    "classes",
    "SUMMARY",
]


def test_tab_goes_everywhere_and_shows_where_it_is(visit: Any) -> None:
    shown = visit(MAP, OTHER, fragment="#cell=3,4")
    where = """() => {
      const active = document.activeElement;
      const holder = active.closest("#pictures, #classes");
      const drawn = active.closest("label.class") ?? active;
      const { outlineStyle, outlineWidth } = getComputedStyle(drawn);
      return [holder?.id || active.id || active.tagName, outlineStyle, parseFloat(outlineWidth)];
    }"""
    stops = []
    for _ in STOPS:
        shown.page.keyboard.press("Tab")
        name, style, width = shown.page.evaluate(where)
        stops.append(name)
        assert style != "none", name
        assert width >= 2, name
    assert stops == STOPS


def test_a_class_is_chosen_by_keys_alone(visit: Any) -> None:
    shown = visit(MAP)
    shown.press("/")
    shown.page.keyboard.press("Tab")
    shown.page.keyboard.press("ArrowDown")
    shown.settled()
    assert shown.text("#shown").startswith("probability of a rather long name")
    shown.page.keyboard.press("ArrowUp")
    shown.settled()
    assert shown.text("#shown") == "likeliest class of each cell"
    shown.element("#open-help").focus()
    shown.page.keyboard.press("Enter")
    assert shown.element("#help").is_visible()
    shown.page.keyboard.press("Escape")
    assert shown.element("#help").is_hidden()
    assert shown.page.evaluate("document.activeElement.id") == "open-help"


def test_a_screen_reader_is_told(visit: Any) -> None:
    shown = visit(MAP)
    tree = shown.element("body").aria_snapshot()
    for part in (
        '- application "Map of cat.png, 10 rows and 14 columns of cells"',
        '- heading "cat.png" [level=1]',
        '- slider "Opacity"',
        '- slider "Threshold"',
        '- combobox "Background"',
        '- searchbox "Search the classes by name or number"',
        '- radiogroup "Classes"',
        '- radio "Likeliest of each cell" [checked]',
    ):
        assert part in tree, tree
    assert shown.element("#threshold").get_attribute("aria-valuetext") == "none"
    assert shown.element("#said").get_attribute("role") == "status"


def test_on_paper(visit: Any) -> None:
    shown = visit(MAP)
    shown.press("ArrowDown", "+", "+")
    shown.page.emulate_media(media="print")
    for hidden in (".actions", ".zoom", ".view", "#search"):
        assert shown.element(hidden).is_hidden()
    _, _, width, _ = shown.box("#world")
    room = shown.page.evaluate("window.innerWidth")
    assert width <= room
    assert shown.page.pdf(format="A4").startswith(b"%PDF")


def test_without_scripts_it_says_so(visit: Any) -> None:
    shown = visit(MAP, java_script_enabled=False)
    assert "switched off" in shown.element("noscript").inner_text()


def test_what_cannot_be_read_is_said(visit: Any, tmp_path: Path) -> None:
    path = tmp_path / "cut.html"
    path.write_text(page_of(MAP).replace('"values":"', '"values":"AAAA'))
    shown = visit(path, ready="#trouble:not([hidden])")
    assert shown.text("#trouble").startswith("The map cannot be shown: ")
