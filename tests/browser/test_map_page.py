"""What the page of a map does in real Chromium: its numbers, pointing, keys, controls, exports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browsing import Shown
from pages import HOSTILE, Values, made_map, page_of, records, softmax
from PIL import Image
from playwright.sync_api import expect

import netsurgery as ns
from netsurgery.maps.classmap import ClassMap
from netsurgery.maps.color_scale import ColorScale
from netsurgery.maps.palette import CLASS_COLORS

RANDOM = np.random.default_rng(3)
LABELS = tuple(f"n{number:08d} thing {number}, other name" for number in range(200))


def blurred(classes: int, rows: int, columns: int) -> Any:
    coarse = RANDOM.normal(size=(classes, rows // 3 + 2, columns // 3 + 2)) * 6
    fine = coarse.repeat(3, axis=1).repeat(3, axis=2)
    return ((fine + np.roll(fine, 1, 1) + np.roll(fine, 1, 2)) / 3)[:, :rows, :columns]


MAP = made_map(softmax(blurred(200, 24, 30)), labels=LABELS, probability=True)
SCORES = made_map(blurred(80, 12, 16), name="other/dog.png")
#: Most cells show class 2.
GROUND = made_map(np.eye(3)[RANDOM.choice(3, (9, 9), p=[0.1, 0.1, 0.8])].transpose(2, 0, 1) * 0.9)


def middle(shown: ClassMap, row: int, column: int) -> tuple[float, float]:
    """The middle of a cell's tile, in pixels of the picture."""
    tiles = shown.geometry.tiles(*shown.shape)
    assert tiles is not None
    x0, y0, x1, y1 = tiles[row, column]
    return (x0 + x1) / 2, (y0 + y1) / 2


def name_of(shown: ClassMap, number: int) -> str:
    return f"class {number}" if shown.labels is None else shown.labels.split(number)[1]


def as_text(value: float, step: list[int]) -> str:
    """The value rounded to the step, with the step's digits."""
    mantissa, exponent = step[:2]
    size = mantissa * 10.0**exponent
    text = f"{round(value / size) * size:.{max(0, -exponent)}f}"
    return text.replace("-", "\u2212")


def transform(shown: Shown) -> Any:
    return shown.page.evaluate("() => document.getElementById('world').getBoundingClientRect()")


@pytest.mark.parametrize("shown_map", [MAP, SCORES], ids=["probabilities", "scores"])
def test_pointing_shows_the_map_s_numbers(visit: Any, shown_map: ClassMap) -> None:
    """For cells all over the map: the likeliest five in order, their values, and the window."""
    shown = visit(shown_map)
    (record,) = records(page_of(shown_map))
    top, windows = shown_map.top(5), shown_map.windows()
    assert windows is not None
    rows, columns = shown_map.shape
    for cell in RANDOM.choice(rows * columns, 40, replace=False):
        row, column = divmod(int(cell), columns)
        shown.point(*middle(shown_map, row, column))
        numbers = top[:, row, column]
        expected = [
            (
                name_of(shown_map, number),
                as_text(shown_map.values[number, row, column], record["step"]),
            )
            for number in numbers
        ]
        zero = as_text(0, record["step"])
        least = f"< {as_text(record['step'][0] * 10.0 ** record['step'][1], record['step'])}"
        if shown_map.is_probability:
            expected = [(name, least if text == zero else text) for name, text in expected]
        assert shown.scores() == expected
        x0, y0, x1, y1 = windows[row, column]
        corners = (*shown.at(x0, y0), *shown.at(x1, y1))
        left, upper, width, height = shown.box("#window")
        assert np.allclose(corners, (left, upper, left + width, upper + height), atol=1)
        place = (
            f"Row {row}, column {column} \u00b7 x {x0:.0f}\u2013{x1:.0f}, y {y0:.0f}\u2013{y1:.0f}"
        )
        assert shown.text("#cell-place") == place


def test_a_click_pins_a_cell(visit: Any) -> None:
    shown = visit(MAP)
    assert shown.element("#pin").is_disabled()
    shown.point(*middle(MAP, 3, 4))
    shown.page.mouse.click(*shown.at(*middle(MAP, 3, 4)))
    shown.point(*middle(MAP, 9, 9))
    assert shown.text("#cell-place").startswith("Row 3, column 4 ")
    assert shown.element("#pin").get_attribute("aria-pressed") == "true"
    shown.page.mouse.click(*shown.at(*middle(MAP, 10, 12)))
    assert shown.text("#cell-place").startswith("Row 10, column 12 ")
    shown.page.mouse.click(*shown.at(*middle(MAP, 10, 12)))
    shown.point(*middle(MAP, 9, 9))
    assert shown.text("#cell-place").startswith("Row 9, column 9 ")
    shown.element("#pin").click()
    assert shown.text("#pin") == "Unpin"


def test_the_cells_are_painted_by_class_threshold_and_background(visit: Any) -> None:
    shown = visit(MAP)
    best = MAP.values.max(axis=0).reshape(-1)
    assert all(shown.painted())
    (record,) = records(page_of(MAP))
    values = Values(record)
    code = values.last // 2
    shown.slide("#threshold", code)
    level = (code - 1) * values.step
    assert shown.text("#threshold-value") == as_text(level, record["step"])
    assert (np.array(shown.painted()) > 0).tolist() == (best >= level - values.step / 2).tolist()
    shown.slide("#threshold", 0)
    commonest = MAP.summary()[0]
    shown.element("#classes input").nth(1).check(force=True)
    assert shown.text("#shown") == f"probability of {name_of(MAP, commonest.number)}"
    assert shown.element("#background").is_disabled()
    assert all(shown.painted())
    rare = record["classes"][-1][0]
    shown.element("#search").fill(f"n{rare:08d}")
    shown.page.keyboard.press("Enter")
    present = np.isfinite(values.values[rare])
    assert ((np.array(shown.painted()) > 0) == present).all()
    assert 0 < present.sum() < present.size


def test_the_background_is_left_free(visit: Any) -> None:
    shown = visit(GROUND)
    assert shown.element("#background option:checked").inner_text() == "class 2"
    background = (GROUND.argmax() == 2).reshape(-1)
    assert ((np.array(shown.painted()) == 0) == background).all()
    shown.element("#background").select_option(label="none")
    assert all(shown.painted())


def test_the_background_has_no_color_and_is_named(visit: Any) -> None:
    """As in the legend of its picture: what has a color there is painted in it."""
    shown = visit(GROUND)

    def has_color(number: int) -> bool:
        shown.settled()
        line = shown.page.locator("#classes label", has_text=f"class {number}")
        color = line.locator(".chip").evaluate("chip => getComputedStyle(chip).backgroundColor")
        return bool(color != "rgba(0, 0, 0, 0)")

    assert [has_color(number) for number in range(3)] == [True, True, False]
    assert shown.text("#shown") == "likeliest class of each cell; not painted: class 2"
    shown.press("ArrowDown")
    row = shown.page.locator("#cell-classes .score:visible", has_text="class 2")
    assert row.locator(".chip").evaluate("chip => chip.classList.contains('open')")
    shown.element("#background").select_option(label="class 1")
    assert [has_color(number) for number in range(3)] == [True, False, True]
    assert shown.text("#shown").endswith("; not painted: class 1")
    shown.element("#background").select_option(label="none")
    assert all(has_color(number) for number in range(3))
    assert shown.text("#shown") == "likeliest class of each cell"
    shown.element("#background").select_option(label="class 2")
    shown.element("#classes input").nth(1).check(force=True)
    assert all(has_color(number) for number in range(3))  # those of the scale of its color


def test_classes_have_the_colors_of_the_picture(visit: Any) -> None:
    """The background takes none of them: with it the first class would have the second color."""
    shown = visit(GROUND)
    numbers = [row.number for row in GROUND.foreground()]
    assert len(numbers) == 2
    for rank, number in enumerate(numbers):
        line = shown.page.locator("#classes label", has_text=f"class {number}")
        color = line.locator(".chip").evaluate("chip => getComputedStyle(chip).backgroundColor")
        assert color == f"rgb{CLASS_COLORS[rank]}"


def test_opacity_scale_and_smoothness(visit: Any) -> None:
    shown = visit(MAP)
    shown.slide("#opacity", 35)
    style = "() => getComputedStyle(document.getElementById('heat'))"
    assert shown.page.evaluate(f"{style}") is not None
    assert shown.page.evaluate(f"({style})().opacity") == "0.35"
    assert shown.page.evaluate(f"({style})().imageRendering") == "pixelated"
    shown.element("#smooth").select_option(label="smooth")
    shown.settled()
    assert shown.page.evaluate(f"({style})().imageRendering") == "auto"
    assert shown.element("#scale-bar").is_hidden()
    shown.element("#classes input").nth(2).check(force=True)
    shots = set()
    for scale in shown.element("#scale option").all_inner_texts():
        shown.element("#scale").select_option(label=scale)
        shown.settled()
        assert shown.element("#scale-bar").is_visible()
        shots.add(shown.element("#stage").screenshot())
    assert len(shots) == 4


def test_classes_are_sorted_by_what_was_found_and_searched(visit: Any) -> None:
    shown = visit(MAP)
    names = [name_of(MAP, row.number) for row in MAP.summary()]
    assert shown.lines()[: len(names)] == names
    assert shown.text("#class-count") == f"{len(names)} of 200 found"
    shown.element("#search").fill("THING 1 n0000001")
    rows = [row for row in records(page_of(MAP))[0]["classes"] if row[1].startswith("n0000001")]
    assert sorted(shown.lines()) == sorted(row[2] for row in rows)
    shown.element("#search").fill("no such class")
    assert (shown.lines(), shown.text("#no-class")) == ([], "0 match")
    shown.page.keyboard.press("Escape")
    assert len(shown.lines()) > len(names)
    few = visit(made_map(RANDOM.random((300, 2, 2))))
    left = 300 - len(few.lines())
    assert few.text("#no-class").startswith(f"{left} classes are among the 20 likeliest of no cell")


def test_the_wheel_zooms_about_the_pointer(visit: Any) -> None:
    shown = visit(MAP)
    start = transform(shown)
    before = (600, 250)
    place = shown.under(*before)
    shown.page.mouse.move(*before)
    shown.page.mouse.wheel(0, -600)
    shown.settled()
    assert transform(shown)["width"] > 2 * start["width"]
    assert np.allclose(shown.at(*place), before, atol=1)
    shown.page.mouse.down()
    shown.page.mouse.move(before[0] + 90, before[1] + 40, steps=4)
    shown.page.mouse.up()
    shown.settled()
    assert np.allclose(shown.at(*place), (before[0] + 90, before[1] + 40), atol=1)
    assert shown.text("#pin") == "Pin"  # it was dragged, not clicked
    shown.page.mouse.wheel(0, 100_000)
    shown.settled()
    assert transform(shown)["width"] == pytest.approx(start["width"] / 2, abs=1)
    shown.element("#zoom-fit").click()
    shown.settled()
    assert transform(shown) == start


def test_what_is_fitted_stays_so(visit: Any) -> None:
    shown = visit(MAP)
    for size in ((900, 700), (1600, 600), (420, 800), (1280, 800)):
        shown.page.set_viewport_size({"width": size[0], "height": size[1]})
        shown.page.emulate_media(media="print")
        shown.settled()
        shown.page.emulate_media(media="screen")
        shown.settled()
        shown.settled()
        left, top, width, height = shown.box("#stage")
        x, y, across, down = shown.box("#world")
        assert max(across / width, down / height) == pytest.approx(1, abs=0.01)
        middles = x + across / 2, y + down / 2
        assert middles == pytest.approx((left + width / 2, top + height / 2), abs=0.5)


def test_zooming_by_buttons_keeps_the_cell_in_view(visit: Any) -> None:
    shown = visit(MAP)
    shown.page.mouse.click(*shown.at(*middle(MAP, 0, 29)))
    for _ in range(8):
        shown.element("#zoom-in").click()
    shown.settled()
    left, top, width, height = shown.box("#stage")
    x, y = shown.at(*middle(MAP, 0, 29))
    assert left < x < left + width
    assert top < y < top + height
    for _ in range(8):
        shown.element("#zoom-out").click()
    shown.settled()
    assert transform(shown)["width"] <= width


def test_two_fingers_zoom_and_a_tap_pins(visit: Any) -> None:
    shown = visit(MAP, viewport={"width": 400, "height": 800}, has_touch=True, is_mobile=True)
    start = transform(shown)
    shown.page.touchscreen.tap(*shown.at(*middle(MAP, 5, 6)))
    shown.settled()
    assert shown.text("#cell-place").startswith("Row 5, column 6 ")
    assert shown.text("#pin") == "Unpin"
    fingers = shown.page.context.new_cdp_session(shown.page)
    x, y = start["left"] + start["width"] / 2, start["top"] + start["height"] / 2

    def touch(kind: str, *apart: float) -> None:
        points = [{"x": x + side, "y": y, "id": at} for at, side in enumerate(apart)]
        fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", -30)
    touch("touchStart", -30, 30)
    for step in range(1, 7):
        touch("touchMove", -30 - 10 * step, 30 + 10 * step)
    touch("touchEnd")
    shown.settled()
    assert transform(shown)["width"] == pytest.approx(3 * start["width"], rel=0.05)
    assert shown.text("#cell-place").startswith("Row 5, column 6 ")


def test_keys_do_all_that_a_pointer_does(visit: Any) -> None:
    shown = visit(MAP, SCORES)

    def place() -> str:
        text: str = shown.text("#cell-place")
        return text.partition(" \u00b7")[0]

    shown.press("ArrowDown")
    assert place() == "Row 11, column 14"
    shown.press("ArrowDown", "ArrowRight", "ArrowRight", "ArrowUp", "ArrowUp", "ArrowLeft")
    assert place() == "Row 10, column 15"
    said = shown.text("#said")
    assert said.startswith("Row 10, column 15: ")
    assert name_of(MAP, MAP.argmax()[10, 15]) in said
    for key, where in (("Home", "Row 10, column 0"), ("PageUp", "Row 0, column 0"),
                       ("End", "Row 0, column 29"), ("PageDown", "Row 23, column 29")):  # fmt: skip
        shown.press(key)
        assert place() == where
    shown.press("ArrowRight", "Enter")
    assert (place(), shown.text("#pin")) == ("Row 23, column 29", "Unpin")
    shown.press("Escape")
    assert shown.element("#window").is_hidden()
    start = transform(shown)
    shown.press("+", "+")
    zoomed = transform(shown)
    assert zoomed["width"] == pytest.approx(2.25 * start["width"], rel=1e-3)
    shown.press("Shift+ArrowRight", "Shift+ArrowDown")
    moved = transform(shown)
    assert (moved["left"], moved["top"]) == (zoomed["left"] - 60, zoomed["top"] - 60)
    shown.press("-", "0")
    assert transform(shown) == start
    shown.press("n")
    shown.titled("dog.png")
    shown.press("p")
    shown.titled("cat.png")
    shown.press("/")
    assert shown.page.evaluate("document.activeElement.id") == "search"


def test_a_link_restores_the_view(visit: Any) -> None:
    shown = visit(MAP, SCORES)
    shown.element("#pictures button").nth(1).click()
    shown.titled("dog.png")
    shown.element("#classes input").nth(3).check(force=True)
    shown.slide("#opacity", 41)
    shown.slide("#threshold", 700)
    shown.element("#scale").select_option("ice")
    shown.element("#smooth").select_option(label="smooth")
    left, top, width, height = shown.box("#stage")
    shown.page.mouse.move(left + width / 3, top + height / 3)
    shown.page.mouse.wheel(0, -500)
    shown.settled()
    shown.page.mouse.click(left + width / 2, top + height / 2)
    link = shown.link()

    def state(page: Shown) -> Any:
        page.settled()
        ids = ("opacity", "threshold", "scale", "smooth", "background")
        controls = [page.element(f"#{name}").input_value() for name in ids]
        chosen = page.page.evaluate("document.querySelector('#classes :checked').value")
        return [*controls, chosen, page.text("#shown"), page.text("#cell-place"), page.text("h1")]

    path = Path(link.partition("#")[0].removeprefix("file://"))
    again = visit(path, fragment="#" + link.partition("#")[2])
    assert state(again) == state(shown)
    assert "Unpin" in (shown.text("#pin"), again.text("#pin"))
    for first, second in zip(transform(shown).values(), transform(again).values(), strict=True):
        assert first == pytest.approx(second, abs=1.5)
    plain = visit(path)
    plain.page.evaluate("hash => { location.hash = hash; }", link.partition("#")[2])
    plain.titled("dog.png")
    assert state(plain) == state(shown)


def test_the_link_is_copied(visit: Any) -> None:
    shown = visit(MAP, permissions=["clipboard-read", "clipboard-write"])
    shown.press("ArrowDown", "Enter")
    shown.element("#copy-link").click()
    expect(shown.element("#said")).to_have_text("Copied the link to this view")
    copied = shown.page.evaluate("() => navigator.clipboard.readText()")
    assert copied == shown.page.url
    assert "cell=11%2C14" in copied


@pytest.mark.parametrize(
    "fragment",
    [
        "#picture=9&class=999999&cell=-1,7&opacity=x&threshold=&scale=__proto__&background=foo",
        "#picture=-1&cell=1e9,1&view=0,0,0&opacity=1e99&threshold=-1e99&class=<script>",
        "#view=NaN,1,1&cell=1&%E0%A4%A&=&&",
    ],
)
def test_a_wrong_link_is_harmless(visit: Any, fragment: str) -> None:
    shown = visit(MAP, fragment=fragment)
    assert shown.text("h1") == "cat.png"
    assert shown.text("#shown") == "likeliest class of each cell"
    shown.point(*middle(MAP, 3, 4))
    assert len(shown.scores()) == 5


def test_the_view_is_saved_as_png(visit: Any, tmp_path: Path) -> None:
    shown = visit(MAP)
    shown.point(*middle(MAP, 12, 12))
    with shown.page.expect_download() as download:
        shown.element("#save-view").click()
    assert download.value.suggested_filename == "cat_map.png"
    download.value.save_as(tmp_path / "view.png")
    saved = Image.open(tmp_path / "view.png").convert("RGB")
    _, _, width, height = shown.box("#stage")
    assert saved.size == (round(2 * width), round(2 * (height + 30)))
    screen = tmp_path / "screen.png"
    shown.element("#stage").screenshot(path=screen)
    seen = np.asarray(Image.open(screen).convert("RGB"), float)
    part = saved.crop((0, 0, round(2 * width), round(2 * height)))
    exported = np.asarray(part.resize(seen.shape[1::-1], Image.Resampling.BOX), float)
    assert np.abs(seen - exported).mean() < 4


def test_a_cell_is_saved_as_json(visit: Any) -> None:
    shown = visit(MAP)
    shown.page.mouse.click(*shown.at(*middle(MAP, 7, 8)))
    with shown.page.expect_download() as download:
        shown.element("#save-cell").click()
    assert download.value.suggested_filename == "cat_7_8.json"
    record = json.loads(download.value.path().read_text())
    windows = MAP.windows()
    assert windows is not None
    assert record["window"] == pytest.approx(windows[7, 8].tolist())
    assert (record["image"], record["blob"], record["step"]) == ("folder/cat.png", "prob", 0.0001)
    numbers = [each["class"] for each in record["classes"]]
    assert numbers[:5] == MAP.top(5)[:, 7, 8].tolist()
    assert set(numbers) >= set(MAP.top(20)[:, 7, 8].tolist())
    for each in record["classes"]:
        value = MAP.values[each["class"], 7, 8]
        assert each["score"] == pytest.approx(value, abs=0.5001 * record["step"])
        assert each["label"] == LABELS[each["class"]]


def test_several_pictures_have_thumbnails(visit: Any) -> None:
    alone = visit(MAP)
    assert alone.element("#pictures").is_hidden()
    shown = visit(MAP, SCORES, GROUND)
    buttons = shown.element("#pictures button")
    assert buttons.all_inner_texts() == ["cat.png", "dog.png", "cat.png"]
    buttons.nth(1).click()
    shown.titled("dog.png")
    shown.settled()
    current = [button.get_attribute("aria-current") for button in buttons.all()]
    assert current == ["false", "true", "false"]
    assert shown.text("#facts").startswith("12 \u00d7 16 cells")


def test_what_was_chosen_holds_in_the_next_picture(visit: Any, tmp_path: Path) -> None:
    second = made_map(SCORES.values * 10, name="second.png")
    path = tmp_path / "chosen.html"
    path.write_text(page_of(SCORES, second, number=7))
    shown = visit(path)
    assert shown.text("#shown") == "score of class 7"
    shown.slide("#threshold", 500)
    level = float(shown.text("#threshold-value").replace("\u2212", "-"))
    shown.press("n")
    shown.titled("second.png")
    assert shown.text("#shown").startswith("score of class 7, from ")
    after = float(shown.text("#threshold-value").replace("\u2212", "-"))
    assert after == pytest.approx(level, abs=0.1)
    shown.element("#classes input").first.check(force=True)
    shown.press("p")
    shown.titled("dog.png")
    assert shown.text("#shown").startswith("likeliest class of each cell")


def test_hostile_names_are_text(visit: Any) -> None:
    values = np.tile(np.arange(len(HOSTILE))[::-1, None, None], (1, 4, 5)) / 10
    # Strings with a lone surrogate reach the screen with a replacement character.
    names = [name.replace("\udc80", "\ufffd") for name in HOSTILE]
    shown = visit(made_map(values, labels=HOSTILE, name=f"folder/{HOSTILE[0]}.png"))
    shown.point(*middle(made_map(values), 2, 2))
    texts = shown.element("#cell-classes .score:visible bdi").all_text_contents()
    assert [text.replace("\udc80", "\ufffd") for text in texts] == names[:5]
    listed = shown.element("#classes .name").all_text_contents()
    assert {text.replace("\udc80", "\ufffd") for text in listed} == set(names)
    assert shown.element("h1").text_content() == "script>.png"
    assert shown.page.evaluate("window.broken") is None
    assert shown.page.evaluate("document.images.length") == 1
    assert shown.page.evaluate("document.scripts.length") == 3


def test_the_policy_forbids_what_a_label_could_do(visit: Any) -> None:
    """Even where markup got into the page, nothing of it would run or be fetched."""
    shown = visit(MAP)
    shown.page.evaluate(
        """() => {
          const script = document.createElement("script");
          script.textContent = "window.broken = 1";
          document.body.append(script);
          const image = new Image();
          image.src = "file:///etc/hostname";
          document.body.append(image);
          const button = document.createElement("button");
          button.setAttribute("onclick", "window.broken = 2");
          document.body.append(button);
          button.click();
        }"""
    )
    shown.page.wait_for_timeout(200)
    assert shown.page.evaluate("window.broken") is None
    assert shown.page.evaluate("document.images[1].naturalWidth") == 0
    assert sum("Content Security Policy" in line for line in shown.problems) == 3
    assert shown.problems.pop() == "request: file:///etc/hostname"  # which was not carried out
    assert len(shown.problems) == 3
    shown.problems.clear()


def test_the_picture_asked_for_last_is_shown(visit: Any) -> None:
    shown = visit(MAP, SCORES, GROUND)
    buttons = "document.querySelectorAll('#pictures button')"
    shown.page.evaluate(f"() => [1, 2, 0, 1].forEach(at => {buttons}[at].click())")
    shown.titled("dog.png")
    shown.page.wait_for_timeout(300)
    assert shown.text("h1") == "dog.png"
    assert shown.text("#facts").startswith("12 \u00d7 16 cells")


def test_scores_all_alike_are_shown(visit: Any) -> None:
    alike = made_map(np.full((3, 4, 4), -7.25))
    shown = visit(alike)
    shown.point(*middle(alike, 1, 1))
    assert shown.scores() == [(f"class {number}", "\u22127.250000") for number in range(3)]
    assert shown.element("#classes label").nth(1).get_attribute("title").endswith("\u22127.250000")


def test_infinite_scores_are_shown(visit: Any) -> None:
    values = blurred(6, 6, 6)
    values[3, 2, 2], values[4, 2, 2] = np.inf, -np.inf
    infinite = made_map(values)
    shown = visit(infinite)
    shown.page.mouse.click(*shown.at(*middle(infinite, 2, 2)))
    shown.settled()
    assert shown.scores()[0] == ("class 3", "\u221e")


def test_a_page_of_classes_explained(visit: Any, repo_root: Path, tmp_path: Path) -> None:
    """No class is the likeliest of a cell; each is shown as heat, the first named first."""
    settings = ns.Settings(
        repo_root / "prototxt/digits_deploy.prototxt", repo_root / "models/digits/digits.caffemodel"
    )
    explanation = ns.classify_map(
        repo_root / "examples/digits_canvas.png", settings, explain=ns.Occlusion(8, 4, "3,10"),
        engine="embedded",
    )  # fmt: skip
    assert isinstance(explanation, ns.Explanation)
    path = tmp_path / "why.html"
    path.write_text(explanation.to_html())
    shown = visit(path, fragment="#class=max")
    assert shown.text("#facts") == "7 \u00d7 7 cells, 2 classes explained"
    assert shown.text("#class-count") == "2 explained"
    lines = shown.element("#classes label").all_inner_texts()
    expected = [
        f"class {number}\n{', '.join(explanation.facts(plane))}"
        for plane, number in enumerate((3, 10))
    ]
    assert lines == expected
    assert shown.text("#shown") == "fall of the probability of class 3"
    shown.element("#classes label").nth(1).click()
    assert shown.text("#shown") == "fall of the probability of class 10"
    shown.point(*middle(explanation, 3, 3))
    with shown.page.expect_download() as saved:
        shown.element("#save-cell").click()
    record = json.loads(Path(saved.value.path()).read_text())
    values = {row["class"]: row["value"] for row in record["classes"]}
    for plane, number in enumerate((3, 10)):
        assert abs(values[number] - explanation.values[plane, 3, 3]) <= record["step"]


def test_the_page_in_a_notebook(visit: Any, tmp_path: Path) -> None:
    path = tmp_path / "notebook.html"
    text = made_map(MAP.values, probability=True)._repr_html_()
    path.write_text(f"<!doctype html><html data-ready='true'><body>{text}</body></html>")
    shown = visit(path)
    frame = shown.page.frame_locator("iframe")
    frame.locator("html[data-ready]").wait_for()
    assert frame.locator("h1").inner_text() == "cat.png"
    assert frame.locator("#copy-link").is_hidden()
    frame.locator("#stage").click()
    expect(frame.locator("#pin")).to_have_text("Unpin")
    frame.locator("#opacity").fill("20")
    shown.page.wait_for_timeout(500)


def test_values_about_zero_have_the_colors_of_the_picture(visit: Any) -> None:
    """0 is white, between blue and red; unasked only where a class has values on both sides."""
    values = np.stack([np.linspace(-2, 3, 54).reshape(6, 9), np.full((6, 9), 1.5)])
    shown = visit(made_map(values), MAP, fragment="#class=0")
    scale, zero, bar = (shown.element(f"#scale{part}") for part in ("", "-zero", "-colors"))
    assert scale.input_value() == "signed"
    pixels = np.array(shown.page.evaluate(
        "() => [...document.getElementById('heat').getContext('2d').getImageData(0, 0, 9, 6).data]"
    )).reshape(6, 9, 4)  # fmt: skip
    expected = ColorScale.of(values)
    # What is read of a canvas has been multiplied by its alpha and divided again.
    np.testing.assert_allclose(pixels[:, :, :3], expected.colors(values[0]), atol=3)
    strengths = 0.3 + 0.7 * expected.strengths(values[0])
    np.testing.assert_allclose(pixels[:, :, 3] / 255, strengths, atol=0.01)
    expect(zero).to_be_visible()
    mark, whole = zero.bounding_box(), bar.bounding_box()
    assert mark is not None
    assert whole is not None
    middle_of_mark = mark["x"] + mark["width"] / 2
    assert abs(middle_of_mark - (whole["x"] + 0.4 * whole["width"])) < 2
    # A class with values on one side alone has heat, as on its picture; one may ask for the other.
    shown.page.locator("#classes label", has_text="class 1").click()
    shown.settled()
    assert scale.input_value() == "heat"
    expect(zero).to_be_hidden()
    scale.select_option("signed")
    shown.page.locator("#classes label", has_text="class 0").click()
    shown.settled()
    assert (scale.input_value(), "scale=signed" in shown.link()) == ("signed", True)
    # Probabilities have no such scale.
    shown.element("#pictures button").nth(1).click()
    shown.titled("cat.png")
    assert (scale.input_value(), "signed" in scale.inner_html()) == ("heat", False)
