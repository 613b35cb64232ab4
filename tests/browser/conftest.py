from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from browsing import Shown, chromium, opened
from pages import page_of
from playwright.sync_api import Browser

from netsurgery.maps.classmap import ClassMap

Visit = Callable[..., Shown]


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Chromium, started once for the tests of this folder."""
    with chromium() as browser:
        yield browser


@pytest.fixture
def visit(browser: Browser, tmp_path: Path) -> Iterator[Visit]:
    """Opens a page of maps, or a file; what went wrong in it fails the test at its end."""
    with ExitStack() as stack:

        def open_page(*maps: ClassMap | Path, fragment: str = "", **options: Any) -> Shown:
            first = maps[0]
            if isinstance(first, Path):
                path = first
            else:
                path = tmp_path / f"map{len(list(tmp_path.iterdir()))}.html"
                path.write_text(page_of(*(each for each in maps if isinstance(each, ClassMap))))
            return stack.enter_context(opened(browser, path, fragment, **options))

        yield open_page
