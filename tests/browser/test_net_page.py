"""What the page of a net does in real Chromium: zoom, search, prototxt lines; who can use it."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browsing import LOOKS, Shown, violations
from pages import HOSTILE
from PIL import Image

import netsurgery as ns
from netsurgery.net.net import NetDefinition

DIGITS = Path(__file__).resolve().parents[2] / "prototxt" / "digits_deploy.prototxt"
#: What the script gives the boxes last.
READY = ".box[tabindex]"


class NetPage:
    """The page of a net that is open, and what a test asks of it."""

    def __init__(self, shown: Shown) -> None:
        self.shown, self.page, self.text = shown, shown.page, shown.text

    def width(self) -> float:
        """Of the drawing, in pixels of the screen."""
        self.shown.settled()
        return self.shown.box("main svg")[2]

    def own_width(self) -> float:
        """Of the drawing at full size."""
        return float(self.shown.element("main svg").evaluate("svg => svg.viewBox.baseVal.width"))

    def box_of(self, layer: str) -> Any:
        name = f".layer[data-name={json.dumps(layer)}]"
        return self.page.locator(".box", has=self.page.locator(name))

    def layers_with(self, mark: str) -> list[str]:
        """The layers in the boxes with this mark."""
        names: list[str] = self.page.locator(f".box.{mark} .layer").evaluate_all(
            "layers => layers.map(layer => layer.dataset.name)"
        )
        return names

    def lines(self) -> list[str]:
        """The prototxt lines that are shown, a text for each layer."""
        self.shown.settled()
        return self.page.locator("#about pre").all_text_contents()

    def place(self, layer: str) -> tuple[float, float]:
        """The middle of the layer's box on the screen."""
        box = self.box_of(layer).locator("> rect").first.bounding_box()
        assert box is not None
        return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def in_view(self, layer: str) -> bool:
        left, top, width, height = self.shown.box("main")
        x, y = self.place(layer)
        return left < x < left + width and top < y < top + height


@pytest.fixture
def net_page(visit: Any, tmp_path: Path) -> Any:
    """Draws a net as a page and opens that."""

    def open_page(prototxt: Path = DIGITS, **options: Any) -> NetPage:
        path = tmp_path / "net.html"
        path.write_text(ns.draw(prototxt).html())
        return NetPage(visit(path, ready=READY, **options))

    return open_page


def test_it_opens_with_the_net_and_a_hint(net_page: Any) -> None:
    net = net_page()
    assert net.text("h1") == "Digits"
    assert net.page.title() == "Digits"
    layers = net.page.locator(".box .layer").evaluate_all("all => all.map(it => it.dataset.name)")
    assert sorted(layers) == sorted(each.name for each in NetDefinition.read(DIGITS).layers)
    assert net.text("#about").startswith("Point at a box to read its lines of the prototxt")
    assert net.lines() == []


def test_the_wheel_zooms_about_the_pointer(net_page: Any) -> None:
    net = net_page(viewport={"width": 900, "height": 500})
    net.page.get_by_role("button", name="100 %").click()
    net.page.locator("main").evaluate("main => main.scrollTo(0, 100)")
    before = net.width()
    box = "pool2"
    assert net.in_view(box)
    x, y = net.place(box)
    net.page.mouse.move(x, y)
    net.page.mouse.wheel(0, 40)  # scrolls
    net.page.wait_for_timeout(200)
    assert net.width() == before
    assert net.place(box) == pytest.approx((x, y - 40), abs=1)
    net.page.mouse.move(x, y - 40)
    net.page.keyboard.down("Control")
    for step in (-240, -240, 150):
        net.page.mouse.wheel(0, step)
        net.shown.settled()
        assert net.place(box) == pytest.approx((x, y - 40), abs=2)
    net.page.keyboard.up("Control")
    assert net.width() == pytest.approx(before * np.exp(330 / 300), rel=0.01)


def test_buttons_and_keys_zoom_alike(net_page: Any) -> None:
    net = net_page(viewport={"width": 900, "height": 500})
    sizes = []
    keys = {"Zoom in": "+", "Zoom out": "-", "All": "0", "100 %": "1"}
    for name in keys:
        net.page.get_by_role("button", name="100 %").click()
        net.page.get_by_role("button", name=name, exact=True).click()
        by_button = net.width()
        net.page.get_by_role("button", name="100 %").click()
        net.page.keyboard.press(keys[name])
        assert net.width() == by_button
        sizes.append(by_button / net.own_width())
    assert sizes[:2] == pytest.approx([1.25, 0.8], rel=0.01)
    assert sizes[3] == pytest.approx(1, rel=0.01)
    net.page.keyboard.press("0")
    net.shown.settled()
    left, top, width, height = net.shown.box("main")
    x, y, across, down = net.shown.box("main svg")
    assert x >= left - 1
    assert y >= top - 1
    assert x + across <= left + width + 1
    assert y + down <= top + height + 1
    for _ in range(40):
        net.page.keyboard.press("-")
    assert net.width() == pytest.approx(0.05 * net.own_width(), abs=1)


def test_dragging_moves_and_clicks_nothing(net_page: Any) -> None:
    net = net_page(viewport={"width": 900, "height": 500})
    for _ in range(4):
        net.page.keyboard.press("+")
    net.page.get_by_role("searchbox").fill("conv2")  # brings it into view
    net.page.keyboard.press("Escape")
    x, y = net.place("conv2")
    assert net.in_view("conv2")
    net.page.mouse.move(x, y)
    net.page.mouse.down()
    net.page.mouse.move(x - 50, y + 40, steps=50)  # slowly
    net.page.mouse.up()
    net.shown.settled()
    assert net.place("conv2") == pytest.approx((x - 50, y + 40), abs=2)
    assert "conv2" in net.layers_with("shown")
    assert net.in_view("pool1")
    net.page.mouse.move(*net.place("pool1"))
    net.shown.settled()
    assert net.layers_with("shown") == ["pool1"]  # nothing was kept


def test_a_layer_is_searched_and_marked(net_page: Any) -> None:
    net = net_page(viewport={"width": 900, "height": 400})
    names = [each.name for each in NetDefinition.read(DIGITS).layers]
    convolutions = [name for name in names if "conv" in name]
    assert len(convolutions) > 1
    net.page.keyboard.press("/")
    net.page.keyboard.type("CONV")
    assert net.text("#count") == f"{len(convolutions)} found"
    assert {name for name in net.layers_with("found") if "conv" in name} == set(convolutions)
    assert convolutions[0] in net.layers_with("shown")
    assert net.in_view(convolutions[0])
    net.page.keyboard.press("Enter")
    assert convolutions[0] not in net.layers_with("shown")
    assert net.in_view(net.layers_with("shown")[0])
    net.page.keyboard.press("Escape")
    assert net.layers_with("found") == []
    assert net.text("#count") == ""
    assert net.lines() == []
    search = net.page.get_by_role("searchbox", name="Search")
    search.fill(names[-1])
    assert net.in_view(names[-1])
    assert names[-1] in net.layers_with("shown")


def test_a_search_of_none_says_so(net_page: Any) -> None:
    net = net_page()
    search = net.page.get_by_role("searchbox", name="Search")
    search.fill("conv1")
    assert net.layers_with("found") != []
    search.fill("no such layer")
    assert net.text("#count") == "0 found"
    assert net.layers_with("found") == []
    search.press("Enter")
    assert net.text("#count") == "0 found"


def test_pointing_and_focus_show_the_layer_s_own_lines(net_page: Any) -> None:
    net = net_page()
    layers = {each.name: each for each in NetDefinition.read(DIGITS).layers}
    source = DIGITS.read_text().splitlines()
    net.page.keyboard.press("0")
    for name in layers:
        net.page.mouse.move(*net.place(name))
        lines, heads = net.lines(), net.page.locator("#about h2").all_inner_texts()
        assert any(f'name: "{name}"' in text for text in lines)
        inside = (
            net.box_of(name)
            .locator(".layer")
            .evaluate_all("layers => layers.map(layer => layer.dataset.name)")
        )
        assert [head.partition(", line ")[0] for head in heads] == inside
        for head, text in zip(heads, lines, strict=True):
            line = int(head.partition(", line ")[2])
            assert text.splitlines() == source[line - 1 : line - 1 + len(text.splitlines())]
        net.page.mouse.move(2, 2)
        net.box_of(next(iter(layers))).focus()
        assert net.lines() != lines or name in net.layers_with("shown")
        net.box_of(name).focus()
        assert net.lines() == lines
    key = net.box_of("conv1").get_attribute("data-key")
    net.page.mouse.move(*net.place("conv1"))
    near = net.page.locator(".edge.near").evaluate_all(
        "edges => edges.map(edge => [edge.dataset.from, edge.dataset.to])"
    )
    assert len(near) >= 2
    assert all(key in ends for ends in near)


@pytest.mark.parametrize("keep", ["click", "Enter", " "])
def test_a_box_is_kept_until_escape(net_page: Any, keep: str) -> None:
    net = net_page()
    net.page.keyboard.press("0")
    if keep == "click":
        net.page.mouse.click(*net.place("conv1"))
    else:
        net.box_of("conv1").focus()
        net.page.keyboard.press(keep)
    conv1_lines = net.lines()
    assert any('name: "conv1"' in text for text in conv1_lines)
    net.page.mouse.move(*net.place("prob"))
    assert net.lines() == conv1_lines
    net.page.keyboard.press("Escape")
    assert net.lines() == []
    net.page.mouse.move(*net.place("conv1"))
    net.page.mouse.move(*net.place("prob"))
    assert net.lines() not in ([], conv1_lines)


def quoted(text: str) -> str:
    """As the text format writes a string."""
    data = text.encode("utf-8", "surrogateescape")
    return "".join(f"\\{byte:03o}" if byte in b"\"\\'" else chr(byte) for byte in data)


def test_hostile_names_are_text(net_page: Any, tmp_path: Path) -> None:
    path = tmp_path / "hostile.prototxt"
    bottom, layers = "data", b""
    for at, name in enumerate(HOSTILE):
        text = quoted(name).encode("latin-1")
        top = text + str(at).encode()
        layers += b'layer { name: "%s" type: "ReLU" bottom: "%s" top: "%s" }\n' % (
            text, bottom.encode("latin-1"), top,
        )  # fmt: skip
        bottom = top.decode("latin-1")
    head = b'name: "%s"\ninput: "data" input_shape { dim: [1, 1, 4, 4] }\n'
    path.write_bytes(head % quoted(HOSTILE[1]).encode("latin-1") + layers)
    net = net_page(path)
    assert net.page.locator("h1").text_content() == HOSTILE[1]
    net.page.keyboard.press("0")
    for box in net.page.locator(".box").all():
        box.focus()
        net.shown.settled()
    net.page.get_by_role("searchbox").fill("<script>window")
    assert net.text("#count") == "1 found"
    assert net.layers_with("shown") == [HOSTILE[0]]
    assert net.page.locator("#about h2").all_text_contents() == [f"{HOSTILE[0]}, line 3"]
    assert HOSTILE[0] in net.lines()[0]
    assert net.page.evaluate("window.broken") is None
    assert net.page.evaluate("document.images.length") == 0
    assert net.page.evaluate("document.scripts.length") == 1


@pytest.fixture(params=LOOKS)
def net(request: pytest.FixtureRequest, net_page: Any) -> NetPage:
    page: NetPage = net_page(**LOOKS[request.param])
    return page


def test_no_rule_of_accessibility_is_broken(net: NetPage) -> None:
    assert violations(net.page) == []
    net.page.get_by_role("searchbox").fill("conv")
    assert violations(net.page) == []
    net.page.get_by_role("searchbox").fill("none of it")
    net.page.keyboard.press("Escape")
    net.page.get_by_role("button", name="All").click()
    assert violations(net.page) == []


def test_it_fits_its_width_and_has_the_scheme_s_colors(
    net: NetPage, request: pytest.FixtureRequest
) -> None:
    dark = "dark" in request.node.callspec.id
    scroll, room = net.page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert scroll <= room
    assert net.page.evaluate("document.documentElement.scrollHeight <= window.innerHeight")
    assert net.in_view(NetDefinition.read(DIGITS).layers[0].name)
    net.page.get_by_role("searchbox").fill("conv1")
    assert net.in_view("conv1")
    screen = Image.open(io.BytesIO(net.page.screenshot())).convert("RGB")
    left, top, width, height = map(int, net.shown.box("main"))
    for region in (
        (0, 0, 4, 4),
        (left + 1, top + height - 5, left + 5, top + height - 1),
    ):
        paper = np.asarray(screen.crop(region)).mean()
        assert paper < 60 if dark else paper > 220
    stage = np.asarray(screen.crop((left, top, left + width, top + height)))
    assert len(np.unique(stage.reshape(-1, 3), axis=0)) > 20
    small = [
        button.inner_text()
        for button in net.page.locator("button:visible").all()
        if (box := button.bounding_box()) is None or min(box["width"], box["height"]) < 24
    ]
    assert small == []  # WCAG 2.5.8


def test_tab_reaches_the_controls_and_shows_where_it_is(net_page: Any) -> None:
    net = net_page()
    where = """() => {
      const active = document.activeElement;
      const box = active.closest(".box");
      const style = getComputedStyle(box ? box.querySelector("rect") : active);
      const name = active.dataset.zoom || active.id || (box ? "box" : active.tagName);
      return [name, box ? parseFloat(style.strokeWidth) >= 2.5 : style.outlineStyle !== "none"];
    }"""
    stops = [
        "search",
        "out",
        "in",
        "fit",
        "whole",
        "MAIN",
        *["box"] * net.page.locator(".box").count(),
    ]
    for stop in stops:
        net.page.keyboard.press("Tab")
        assert net.page.evaluate(where) == [stop, True]
    net.page.keyboard.press("/")
    assert net.page.evaluate(where)[0] == "search"


def test_a_screen_reader_is_told(net_page: Any) -> None:
    net = net_page()
    tree = net.page.locator("body").aria_snapshot()
    for part in (
        '- heading "Digits" [level=1]',
        '- searchbox "Search"',
        '- group "Zoom":',
        '- button "Zoom in"',
        '- main "The net"',
        "- complementary",
    ):
        assert part in tree, tree
    named = net.page.locator("main").get_by_role("button")
    assert named.count() == net.page.locator(".box").count()
    assert net.page.locator("main").get_by_role("button", name="conv1").count() >= 1
