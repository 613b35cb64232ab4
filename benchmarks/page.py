"""``python -m benchmarks.page``: how fluent the page of a large map is in Chromium.

    python -m benchmarks.page [--classes N] [--seconds S]

A picture of 4,000 x 3,000 pixels with 100,000 cells. The pointer goes over it in circles while
the browser draws; what counts is the time between frames, and the work that the page's own thread
does for each: as long as that is less than 16.7 ms, 60 frames a second are drawn.
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Page, sync_playwright

from netsurgery.maps.cell_geometry import Geometry
from netsurgery.maps.classmap import ClassMap
from netsurgery.maps.image import Picture
from netsurgery.maps.page.document import page
from netsurgery.maps.page.record import map_part
from netsurgery.maps.transformer import place

HEIGHT, WIDTH = 3000, 4000
ROWS, COLUMNS = 274, 365
FRAME = 1000 / 60

_COUNT_FRAMES = """() => {
  window.frames_drawn = [];
  const frame = (at) => { window.frames_drawn.push(at); requestAnimationFrame(frame); };
  requestAnimationFrame(frame);
}"""


def main(words: list[str] | None = None) -> None:
    """Make the page, move over it, and print what was measured."""
    parser = argparse.ArgumentParser(prog="page", description="Measure the page of a large map.")
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=5.0, help="of hovering")
    asked = parser.parse_args(words)
    class_map = large_map(asked.classes)
    started = time.perf_counter()
    content = page([map_part(class_map)])
    encoding = time.perf_counter() - started
    with tempfile.TemporaryDirectory(prefix="netsurgery-page-") as folder:
        path = Path(folder, "map.html")
        path.write_bytes(content)
        ready, deltas, work = hovered(path, asked.seconds)
    rows = {
        "map": f"{ROWS * COLUMNS:,} cells, {asked.classes} classes",
        "picture": f"{WIDTH:,} x {HEIGHT:,} pixels",
        "made in": f"{encoding:.1f} s",
        "page": f"{len(content) / 1e6:.1f} MB",
        "ready in": f"{ready:.2f} s",
        "frames while hovering": f"{1000 / statistics.fmean(deltas):.1f} a second",
        "time between frames": f"median {statistics.median(deltas):.1f} ms, "
        f"95 of 100 within {np.percentile(deltas, 95):.1f} ms, longest {max(deltas):.1f} ms",
        "work of the page a frame": f"{work:.1f} ms of {FRAME:.1f} ms",
        "load of the machine": f"{os.getloadavg()[0]:.1f} on {os.cpu_count()} cores",
    }
    for name, text in rows.items():
        print(f"{name:26} {text}")
    if work >= FRAME:
        sys.exit("the page's own work takes longer than a frame")


def large_map(classes: int) -> ClassMap:
    """Blobs of classes over all of a picture, as a net makes them: smooth from cell to cell."""
    random = np.random.default_rng(1)
    values = np.empty((classes, ROWS, COLUMNS), np.float32)
    for plane in values:
        plane[:] = _smooth(random.normal(size=(ROWS // 12 + 2, COLUMNS // 12 + 2)) * 4)
    values -= values.max(axis=0)
    np.exp(values, out=values)
    values /= values.sum(axis=0)
    down, across = np.mgrid[:HEIGHT, :WIDTH]
    shades = [down // 12 % 256, across // 16 % 256, (down * across // 7000) % 256]
    picture = Picture("large.png", np.stack(shades, -1).astype(np.uint8))
    stride = (HEIGHT / (ROWS + 4), WIDTH / (COLUMNS + 4))
    geometry = Geometry(stride, (5 * stride[0], 5 * stride[1]), place(picture.size, picture.size))
    return ClassMap(picture, values, "prob", True, "data", geometry)


def _smooth(coarse: Any) -> Any:
    """A plane of cells between the numbers of a coarser one."""
    rows = np.linspace(0, coarse.shape[0] - 1.001, ROWS)
    columns = np.linspace(0, coarse.shape[1] - 1.001, COLUMNS)
    top, left = rows.astype(int), columns.astype(int)
    down, across = (rows - top)[:, None], columns - left
    upper = coarse[top][:, left] * (1 - across) + coarse[top][:, left + 1] * across
    lower = coarse[top + 1][:, left] * (1 - across) + coarse[top + 1][:, left + 1] * across
    return upper * (1 - down) + lower * down


def hovered(path: Path, seconds: float) -> tuple[float, list[float], float]:
    """Seconds until the page is ready, ms between frames, and ms of its thread's work a frame."""
    arguments = ["--no-sandbox"] if os.getuid() == 0 else []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=arguments)
        view = browser.new_page(viewport={"width": 1600, "height": 1000})
        started = time.perf_counter()
        view.goto(path.as_uri())
        view.wait_for_selector("html[data-ready]", timeout=120_000)
        ready = time.perf_counter() - started
        deltas, work = _circled(view, seconds)
        browser.close()
    return ready, deltas, work


def _circled(view: Page, seconds: float) -> tuple[list[float], float]:
    box = view.locator("#stage").bounding_box()
    assert box is not None
    session = view.context.new_cdp_session(view)
    # The processor's time, so that other work on the machine does not count.
    session.send("Performance.setTimeDomain", {"timeDomain": "threadTicks"})
    session.send("Performance.enable")

    def busy() -> float:
        metrics = session.send("Performance.getMetrics")["metrics"]
        return next(float(each["value"]) for each in metrics if each["name"] == "TaskDuration")

    view.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    view.wait_for_timeout(300)
    view.evaluate(_COUNT_FRAMES)
    before, start = busy(), time.perf_counter()
    moves = 0
    while (spent := time.perf_counter() - start) < seconds:
        turn = spent * 2.1
        reach = 0.1 + 0.3 * abs(math.sin(spent / 3))
        x = box["x"] + box["width"] * (0.5 + reach * math.cos(turn))
        y = box["y"] + box["height"] * (0.5 + reach * math.sin(turn))
        view.mouse.move(x, y)
        moves += 1
    work = busy() - before
    frames: list[float] = view.evaluate("() => window.frames_drawn")
    assert moves > len(frames) / 4, f"only {moves} moves in {len(frames)} frames"
    deltas = np.diff(frames).tolist()
    return deltas, 1000 * work / len(frames)


if __name__ == "__main__":
    main()
