"""A page of maps in real Chromium, and what a test asks of it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from lacking import lacking, needs
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

__all__ = ["LOOKS", "Shown", "chromium", "opened", "violations"]

_WIDE, _NARROW = {"width": 1280, "height": 800}, {"width": 360, "height": 740}
#: Options of the browser in which every page is looked at.
LOOKS: dict[str, dict[str, Any]] = {
    f"{width}, {scheme}": {"viewport": size, "color_scheme": scheme}
    for width, size in (("wide", _WIDE), ("narrow", _NARROW))
    for scheme in ("light", "dark")
}
#: Success criteria of WCAG 2.2, levels A and AA, that can be checked by rules.
_TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]

#: Milliseconds in which a page must be ready, and that one waits until the address has the view.
_READY, _SAVED = 20_000, 500
_DRAWN = "html[data-ready]"


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, without a window."""
    needs("chromium")
    program = shutil.which("chromium")
    # Debian has it draw as for a GPU; where there is none, that takes twice as long.
    arguments = ["--disable-gpu"]
    if hasattr(os, "getuid") and os.getuid() == 0:
        arguments.append("--no-sandbox")  # which does not start for root
    with sync_playwright() as driver:
        try:
            browser = driver.chromium.launch(executable_path=program, args=arguments)
        except Exception as error:
            lacking(f"no Chromium that starts: {error}")
        yield browser
        browser.close()


@dataclass
class Shown:
    """A page that is open. problems: what it logged as an error, and every request but for it."""

    page: Page
    problems: list[str] = field(default_factory=list)

    def element(self, selector: str) -> Locator:
        return self.page.locator(selector)

    def text(self, selector: str) -> str:
        """What is written there, once all that has changed is drawn."""
        self.settled()
        return self.element(selector).inner_text()

    def box(self, selector: str) -> tuple[float, float, float, float]:
        """x, y, width, height on the screen."""
        box = self.element(selector).bounding_box()
        assert box is not None, selector
        return box["x"], box["y"], box["width"], box["height"]

    def settled(self) -> None:
        """Wait until what has changed is drawn."""
        frames = (
            "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
        )
        self.page.evaluate(frames)

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Where a place in the picture, in its pixels, is on the screen."""
        left, top, across, down = self._placed()
        return left + x * across, top + y * down

    def under(self, x: float, y: float) -> tuple[float, float]:
        """The place in the picture that is there on the screen."""
        left, top, across, down = self._placed()
        return (x - left) / across, (y - top) / down

    def _placed(self) -> tuple[float, float, float, float]:
        """The picture's corner on the screen, and how large its pixels are there."""
        left, top, width, height = self.box("#world")
        size: list[int] = self.page.evaluate(
            "() => JSON.parse(document.querySelector('script.map').textContent).size"
        )
        return left, top, width / size[1], height / size[0]

    def point(self, x: float, y: float) -> None:
        """Move the pointer to a place in the picture."""
        self.page.mouse.move(*self.at(x, y))
        self.settled()

    def titled(self, name: str) -> None:
        """Wait until the picture of this name is open."""
        expect(self.page).to_have_title(f"{name} - class map")
        self.settled()

    def press(self, *keys: str) -> None:
        """Press keys while the map has the focus."""
        self.element("#stage").focus()
        for key in keys:
            self.page.keyboard.press(key)
        self.settled()

    def slide(self, selector: str, value: float) -> None:
        self.element(selector).fill(str(value))
        self.settled()

    def scores(self) -> list[tuple[str, str]]:
        """The likeliest classes of the cell in hand, as they are shown."""
        self.settled()
        rows = self.element("#cell-classes .score:visible")
        names, values = (rows.locator(part).all_inner_texts() for part in ("bdi", ".value"))
        return list(zip(names, values, strict=True))

    def lines(self) -> list[str]:
        """The names in the list of classes."""
        return self.element("#classes .class .name").all_inner_texts()

    def painted(self) -> Any:
        """The alpha of every cell, row by row."""
        self.settled()
        return self.page.evaluate(
            """() => {
              const heat = document.getElementById("heat");
              const copy = new OffscreenCanvas(heat.width, heat.height);
              const context = copy.getContext("2d", { willReadFrequently: true });
              context.drawImage(heat, 0, 0);
              const { data } = context.getImageData(0, 0, heat.width, heat.height);
              return [...data].filter((_, at) => at % 4 === 3);
            }"""
        )

    def link(self) -> str:
        """The address of the page once the view is in it."""
        self.page.wait_for_timeout(_SAVED)
        return self.page.url


@contextmanager
def opened(
    browser: Browser, path: Path, fragment: str = "", ready: str = _DRAWN, **options: Any
) -> Iterator[Shown]:
    """A page of this file; nothing may go wrong in it until it is closed.

    ready: what must be there before it is asked anything. options: of the browser's context, such
    as viewport, color_scheme and has_touch.
    """
    options.setdefault("viewport", {"width": 1280, "height": 800})
    context = browser.new_context(**options)
    shown = Shown(context.new_page())
    page, problems = shown.page, shown.problems
    page.on("pageerror", lambda error: problems.append(f"error: {error}"))
    page.on("console", lambda line: problems.append(f"console: {line.text}"))
    address = path.as_uri()

    def requested(url: str) -> None:
        if url.partition("#")[0] != address and not url.startswith(("data:", "blob:")):
            problems.append(f"request: {url}")

    page.on("request", lambda request: requested(request.url))
    page.goto(f"{address}{fragment}")
    if options.get("java_script_enabled", True):
        page.wait_for_selector(ready, timeout=_READY)
        shown.settled()
    yield shown
    context.close()
    assert problems == []


def violations(page: Page) -> list[str]:
    """What axe-core finds wrong with a page for people who see, point or read otherwise."""
    result = Axe().run(page, options={"runOnly": {"type": "tag", "values": _TAGS}})
    assert "color-contrast" in {rule["id"] for rule in result.response["passes"]}
    return [
        f"{rule['id']}: {node['target']} {node['failureSummary']}"
        for rule in result.response["violations"]
        for node in rule["nodes"]
    ]
