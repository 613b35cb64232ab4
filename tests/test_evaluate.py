"""Evaluation of the demo net on annotated pictures, against its maps looked at one by one here."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import netsurgery as ns
from netsurgery.cli import run
from netsurgery.errors import FormatError, NetError, OutputError, SettingsError
from netsurgery.training.annotations import read_annotations
from netsurgery.training.truth import IGNORED, label_map

RULES = ns.TruthRules(scale=(0.5, 1.4))
Box = tuple[float, float, float, float]


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory, repo_root: Path) -> Path:
    """A folder with the demo net over the whole canvas, three pictures, and their annotations."""
    folder = tmp_path_factory.mktemp("digits")
    net, model = "prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel"
    ns.convert(repo_root / net, repo_root / model, folder, input_size=(192, 288), engine="embedded")
    canvas = Image.open(repo_root / "examples" / "digits_canvas.png").convert("L")
    canvas.save(folder / "a.png")
    canvas.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(folder / "b.png")
    Image.new("L", (288, 192), 200).save(folder / "c.png")
    hits = json.loads((repo_root / "examples" / "digits_canvas.json").read_text())["digits"]
    plain = [(str(each["digit"]), tuple(each["box"])) for each in hits]
    turned = [(name, (288 - box[2], box[1], 288 - box[0], box[3])) for name, box in plain]
    write_coco(folder / "coco.json", {"a.png": plain, "b.png": turned, "c.png": []})
    return folder


@pytest.fixture(autouse=True)
def in_the_folder(digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(digits)
    monkeypatch.setenv("NETSURGERY_ENGINE", "embedded")


def write_coco(path: Path, pictures: dict[str, list[tuple[str, Any]]]) -> None:
    """Boxes grown by 4 pixels a side, which is nearer to the windows' 32; ids are not in order."""
    annotations = [
        {
            "image_id": 70 - number,
            "category_id": 10 * int(name) + 5,
            "bbox": [box[0] - 4, box[1] - 4, box[2] - box[0] + 8, box[3] - box[1] + 8],
        }
        for number, boxes in enumerate(pictures.values())
        for name, box in boxes
    ]
    images = [{"id": 70 - number, "file_name": name} for number, name in enumerate(pictures)]
    categories = [{"id": 10 * number + 5, "name": str(number)} for number in range(10)]
    record = {"images": images, "annotations": annotations, "categories": categories}
    path.write_text(json.dumps(record))


def settings(background: str | None = "10", **more: Any) -> ns.Settings:
    read = ns.read_settings("netsurgery.toml")
    return replace(read, background=background, engine="embedded", **more)


def shared(box_a: Sequence[float], box_b: Sequence[float]) -> float:
    across = max(0, min(box_a[2], box_b[2]) - max(box_a[0], box_b[0]))
    both = across * max(0, min(box_a[3], box_b[3]) - max(box_a[1], box_b[1]))
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (box_a, box_b)]
    return both / (sum(areas) - both)


def test_all_figures_are_those_of_the_maps() -> None:
    result = ns.evaluate(
        ".", settings(), annotations="coco.json", rules=RULES, boxes=ns.BoxRules(0.6, 0.2)
    )
    read = read_annotations(Path("coco.json"), Path())
    cells, scored, false = [], [], 0
    objects = [0] * 10
    for picture, row in zip(read.pictures, result.pictures, strict=True):
        mapped = ns.classify_map(picture.path, settings())
        numbers = {str(number): number for number in range(10)}
        labels = label_map(picture, mapped.geometry, mapped.shape, numbers, 10, RULES)
        pairs = list(zip(labels.ravel().tolist(), mapped.argmax().ravel().tolist(), strict=True))
        own = [pair for pair in pairs if pair[0] != IGNORED]
        cells += own
        record = row.to_json()
        assert record["counted"] == len(own)
        assert record["ignored"] == len(pairs) - len(own)
        assert record["false_finds"] == sum(is_ == 10 != got for is_, got in own)
        assert record["accuracy"] == sum(is_ == got for is_, got in own) / len(own)
        boxes = by_loop(mapped, 0.6, 0.2)
        assert record["boxes"]["found"] == len(boxes)
        taken: set[int] = set()
        for thing in picture.objects:
            objects[int(thing.label)] += 1
        for number, score, box in boxes:
            each = [
                (shared(box, thing.box), at)
                for at, thing in enumerate(picture.objects)
                if thing.label == str(number)
            ]
            most, at = max(each, default=(0.0, -1))
            scored.append((score, number, most >= 0.5 and at not in taken))
            false += most < 0.5
            if most >= 0.5:
                taken.add(at)
    record = result.to_json()
    assert record["accuracy"] == sum(is_ == got for is_, got in cells) / len(cells)
    for number, each in enumerate(record["classes"]):
        true = sum(is_ == number for is_, _ in cells)
        assigned = sum(got == number for _, got in cells)
        right = sum(is_ == got == number for is_, got in cells)
        assert (each["cells"]["true"], each["cells"]["given"]) == (true, assigned)
        assert each["cells"]["iou"] == right / (true + assigned - right)
        assert record["confusion"][number][number] == right
        if number < 10:
            hits = [hit for _, of, hit in sorted(scored, key=lambda it: -it[0]) if of == number]
            expected = area(hits, objects[number])
            assert each["boxes"]["average_precision"] == pytest.approx(expected)
    assert record["false_finds"] == false / 3
    assert record["mean_iou"] == pytest.approx(
        np.mean([each["cells"]["iou"] for each in record["classes"]])
    )
    assert false > 0  # or there was little to compare: mirrored digits are no digits
    assert not all(right for _, _, right in scored)


def test_a_class_among_the_k_that_score_most_counts() -> None:
    """Cell by cell, by the order of the map's scores; with background and masks alike."""
    masks(Path("masks"), ["paper", "4"])
    for source, classes in (("coco.json", {}), ("masks", {"paper": "10"})):
        more: dict[str, Any] = {"annotations": source, "classes": classes, "rules": RULES}
        result = ns.evaluate(".", settings(), top_k=2, **more)
        true, hits = [0] * 11, [0] * 11
        for picture, row in zip(
            read_annotations(Path(source), Path()).pictures, result.pictures, strict=True
        ):
            mapped = ns.classify_map(picture.path, settings())
            numbers = {**{str(number): number for number in range(10)}, "paper": 10}
            labels = label_map(picture, mapped.geometry, mapped.shape, numbers, 10, RULES)
            own = [0, 0]
            for at, label in np.ndenumerate(labels):
                if label != IGNORED:
                    order = np.sort(mapped.values[:, at[0], at[1]])[::-1]
                    hit = bool(mapped.values[label, at[0], at[1]] > order[2])
                    true[label], hits[label] = true[label] + 1, hits[label] + hit
                    own = [own[0] + 1, own[1] + hit]
            assert row.to_json()["top_k_accuracy"] == own[1] / own[0]
        record = result.to_json()
        assert (record["top_k"], record["top_k_accuracy"]) == (2, sum(hits) / sum(true))
        assert record["accuracy"] < record["top_k_accuracy"] < 1
        assert {each["class"]: each["in_top_k"] for each in record["classes"]} == {
            each["class"]: hits[each["class"]] for each in record["classes"]
        }
        assert f", top-2 accuracy {sum(hits) / sum(true):.3g}; " in next(result.lines())
        assert "top 2" in next(iter(result.table().lines())).split("  ")
        plain = ns.evaluate(".", settings(), **more).to_json()
        assert plain["top_k"] is plain["top_k_accuracy"] is plain["classes"][0]["in_top_k"] is None


def by_loop(mapped: ns.ClassMap, threshold: float, overlap: float) -> list[tuple[int, float, Box]]:
    windows = mapped.windows()
    assert windows is not None
    height, width = mapped.picture.size
    hits = []
    for at, number in np.ndenumerate(mapped.argmax()):
        score = float(mapped.values[number, at[0], at[1]])
        left, top, right, bottom = windows[at].tolist()
        if number != 10 and score >= np.float32(threshold):
            box = max(0, left), max(0, top), min(width, right), min(height, bottom)
            hits.append((int(number), score, box))
    stays: list[tuple[int, float, Box]] = []
    for each in sorted(hits, key=lambda it: -it[1]):
        if all(shared(each[2], it[2]) <= overlap for it in stays if it[0] == each[0]):
            stays.append(each)
    return stays


def area(hits: list[bool], objects: int) -> float:
    """Below precision over recall, each precision the best from there on."""
    precision = [sum(hits[: at + 1]) / (at + 1) for at in range(len(hits))]
    return sum(max(precision[at:]) for at, hit in enumerate(hits) if hit) / objects


def test_results_for_coco_have_its_ids() -> None:
    result = ns.evaluate(
        ".", settings(), annotations="coco.json", rules=RULES, boxes=ns.BoxRules(),
        coco_results="results.json", force=True,
    )  # fmt: skip
    assert result.written == ("results.json",)
    written = json.loads(Path("results.json").read_text())
    assert len(written) == sum(each.to_json()["boxes"]["found"] for each in result.pictures)
    assert {each["image_id"] for each in written} == {70, 69}  # the empty one, 68, has no box
    three = next(each for each in written if each["category_id"] == 35 and each["image_id"] == 70)
    assert three == {"image_id": 70, "category_id": 35, "bbox": [16.0, 8.0, 32.0, 32.0],
                     "score": three["score"]}  # fmt: skip
    with pytest.raises(OutputError, match=r"^results\.json: exists already"):
        ns.evaluate(
            ".", settings(), annotations="coco.json", boxes=ns.BoxRules(),
            coco_results="results.json",
        )  # fmt: skip
    with pytest.raises(OutputError, match=r"^coco\.json: "):
        ns.evaluate(
            ".", settings(), annotations="coco.json", boxes=ns.BoxRules(), force=True,
            coco_results="coco.json",
        )  # fmt: skip


def test_results_for_other_annotations_are_numbered_in_their_order() -> None:
    truth = {
        "classes": ["3", "4"],
        "pictures": [{"file": "c.png"}, {"file": "a.png"}],
    }
    Path("own.json").write_text(json.dumps(truth))
    ns.evaluate(".", settings(), annotations="own.json", boxes=ns.BoxRules(0.9),
                coco_results="own_results.json", force=True)  # fmt: skip
    written = json.loads(Path("own_results.json").read_text())
    assert {(each["image_id"], each["category_id"]) for each in written} == {(2, 1), (2, 2)}


def test_boxes_of_several_scales_are_looked_for_together() -> None:
    small = Image.open("a.png").resize((144, 96))
    Path("small").mkdir(exist_ok=True)
    small.save("small/a.png")
    truth = {"classes": ["4"], "pictures": [
        {"file": "a.png", "boxes": [{"class": "4", "box": [68, 8, 84, 24]}]}]}  # fmt: skip
    Path("small.json").write_text(json.dumps(truth))

    def hits(*scales: float) -> dict[str, Any]:
        result = ns.evaluate("small", settings(), annotations="small.json", size="image",
                             boxes=ns.BoxRules(0.9), box_scales=scales)  # fmt: skip
        counts: dict[str, Any] = result.to_json()["classes"][0]["boxes"]
        return counts

    assert hits(1)["average_precision"] == 0  # at its own size a digit is half a window
    assert hits(2)["average_precision"] == 1
    both = hits(1, 2)
    assert both["right"] == 1
    assert both["found"] >= hits(2)["found"]


def test_without_a_background_only_objects_count() -> None:
    result = ns.evaluate(".", settings("none"), annotations="coco.json", rules=RULES)
    record = result.to_json()
    assert (record["background"], record["false_finds"]) == (None, None)
    assert [each["class"] for each in record["classes"]] == list(range(10))
    # Cells of a digit that got the background's class are in the last column.
    assigned = sum(each["cells"]["given"] for each in record["classes"])
    assert assigned + sum(row[-1] for row in record["confusion"]) == record["cells"]["counted"]
    assert any("--background" in note or "background" in note for note in record["notes"])


def test_objects_that_no_cell_got_are_those_that_a_plan_names(
    tmp_path: Path, repo_root: Path
) -> None:
    """An accuracy of cells of the background alone says nothing of them."""
    result = ns.evaluate(".", settings(), annotations="coco.json", rules=RULES, size=(96, 144))
    net, model = "prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel"
    plan = ns.train_plan(
        repo_root / net, repo_root / model, tmp_path / "plan", annotations="coco.json",
        images=".", background_class="10", rules=RULES, size=(96, 144), pictures=0,
    )  # fmt: skip
    figures = {each.names: each.cells.true for each in result.classes if each.names}
    missed = {name for (name, _), count in result.missed.items() if count == 2}
    assert missed == {name for (name,), cells in figures.items() if cells == 0} != set()
    record = result.to_json()["missed"]
    assert record == plan.to_json()["missed"] != []
    objects = sum(each["objects"] for each in record)
    lines = [line for line in result.lines() if "that no cell got" in line]
    assert lines == [line for line in plan.summary if "that no cell got" in line]
    assert sum(int(line.split()[0]) for line in lines) == objects
    # What is not to count is not missed either.
    none = {str(number): "none" for number in range(1, 10)}
    only = ns.evaluate(
        ".", settings(), annotations="coco.json", rules=RULES, size=(96, 144), classes=none
    )
    assert only.to_json()["missed"] == [each for each in record if each["class"] == "0"]


def test_classes_that_do_not_count_are_left_out() -> None:
    result = ns.evaluate(
        ".", settings(), annotations="coco.json", rules=RULES,
        classes={str(number): "none" for number in range(9)},
    )  # fmt: skip
    assert [(each.number, each.names) for each in result.classes] == [(9, ("9",)), (10, ())]
    with pytest.raises(FormatError, match=r"^coco\.json: no class 'x', of classes; its classes"):
        ns.evaluate(".", settings(), annotations="coco.json", classes={"x": "1"})


def masks(folder: Path, names: list[str] | None) -> None:
    """a.png: the upper half is class 1, the lower 0, but for what does not count on the right."""
    folder.mkdir(exist_ok=True)
    pixels = np.zeros((192, 288), np.uint8)
    pixels[:96], pixels[:, 250:] = 1, 255
    Image.fromarray(pixels).save(folder / "a.png")
    if names is not None:
        (folder / "classes.txt").write_text("\n".join(names))


def test_masks_are_compared_pixel_by_pixel() -> None:
    masks(Path("masks"), ["paper", "4"])
    result = ns.evaluate(".", settings(), annotations="masks", classes={"paper": "10"})
    mapped = ns.classify_map("a.png", settings())
    assigned, pixels = mapped.argmax(), np.asarray(Image.open("masks/a.png"))
    windows = mapped.windows()
    assert windows is not None
    y, x = windows[:, 0, [1, 3]].mean(axis=1), windows[0, :, [0, 2]].mean(axis=0)
    expected = {(is_, got): 0 for is_ in (10, 4) for got in range(11)}
    for row in range(192):
        nearest = assigned[abs(y - row - 0.5).argmin()]
        for column in range(250):
            got = int(nearest[abs(x - column - 0.5).argmin()])
            expected[10 if pixels[row, column] == 0 else 4, got] += 1
    assert result.pixels is not None
    assert (result.pixels.counted, result.pixels.ignored) == (192 * 250, 192 * 38)
    both = expected[10, 10]
    either = sum(n for (is_, got), n in expected.items() if 10 in (is_, got))
    paper = result.to_json()["classes"][1]
    assert paper["names"] == ["paper"]
    assert paper["pixels"]["iou"] == both / either
    four = result.to_json()["classes"][0]["pixels"]["iou"]
    assert result.mean_iou == pytest.approx((both / either + four) / 2)
    assert any("the masks' pixels" in line for line in result.lines())


def test_masks_without_names_are_named_by_the_caller() -> None:
    masks(Path("unnamed"), None)
    with pytest.raises(FormatError, match="the masks' numbers have no names"):
        ns.evaluate(".", settings(), annotations="unnamed")
    result = ns.evaluate(".", settings(), annotations="unnamed",
                         classes={"paper": "10", "four": "4"})  # fmt: skip
    assert [each.names for each in result.classes] == [("four",), ("paper",)]


def test_boxes_are_not_compared_with_masks_or_points() -> None:
    masks(Path("masks"), ["paper", "4"])
    with pytest.raises(FormatError, match=r"^masks: a\.png is annotated by a mask, with which"):
        ns.evaluate(".", settings(), annotations="masks", boxes=ns.BoxRules())
    points = {"classes": ["4"], "pictures": [
        {"file": "a.png", "points": [{"class": "4", "at": [152, 32]}]}]}  # fmt: skip
    Path("points.json").write_text(json.dumps(points))
    with pytest.raises(FormatError, match=r"^points\.json: a\.png is annotated by points"):
        ns.evaluate(".", settings(), annotations="points.json", boxes=ns.BoxRules())
    assert ns.evaluate(".", settings(), annotations="points.json").accuracy is not None


def test_a_broken_picture_is_a_row_with_its_error(capsys: pytest.CaptureFixture[str]) -> None:
    Path("broken.png").write_bytes(Path("a.png").read_bytes()[:200])
    truth = {"classes": ["4"], "pictures": [
        {"file": "broken.png"}, {"file": "a.png"}, {"file": "b.png", "height": 5, "width": 9},
    ]}  # fmt: skip
    Path("broken.json").write_text(json.dumps(truth))
    words = ["evaluate", ".", "--annotations", "broken.json", "--background", "10"]
    assert run(words) == 1
    printed = capsys.readouterr()
    assert printed.out.startswith("class ")
    assert "error: broken.png: " in printed.err
    assert "b.png: 192x288 pixels, but its annotations are of a picture of 5x9" in printed.err
    assert "2 of 3 images failed" in printed.err
    assert run([*words, "--json", "-q"]) == 1
    record = json.loads(capsys.readouterr().out)
    assert (record["images"], record["failed"]) == (3, 2)
    assert set(record["pictures"][0]) == {"image", "error"}
    good = {"classes": ["4"], "pictures": [{"file": "a.png"}]}
    Path("good.json").write_text(json.dumps(good))
    alone = ns.evaluate(".", settings(), annotations="good.json").to_json()
    assert record["confusion"] == alone["confusion"]
    assert record["pictures"][1] == alone["pictures"][0]


def test_a_picture_that_is_not_there_is_a_row_with_its_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    truth = {"classes": ["4"], "pictures": [
        {"file": "gone.png"}, {"file": "a.png"}, {"file": "away.png"}, {"file": "b.png"},
    ]}  # fmt: skip
    Path("gone.json").write_text(json.dumps(truth))
    assert run(["evaluate", ".", "--annotations", "gone.json", "--background", "10"]) == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if "failed" not in line]
    assert [line.partition("No such")[0] for line in errors[-2:]] == [
        "error: gone.json: pictures[0].file: gone.png: ",
        "error: gone.json: pictures[2].file: away.png: ",
    ]
    record = ns.evaluate(".", settings(), annotations="gone.json").to_json()
    assert [each["image"] for each in record["pictures"]] == [
        "gone.png", "a.png", "away.png", "b.png",
    ]  # fmt: skip
    assert record["failed"] == 2
    present = {"classes": ["4"], "pictures": [{"file": "a.png"}, {"file": "b.png"}]}
    Path("present.json").write_text(json.dumps(present))
    alone = ns.evaluate(".", settings(), annotations="present.json").to_json()
    assert record["pictures"][1::2] == alone["pictures"]
    assert record["confusion"] == alone["confusion"]


def test_where_all_fail_nothing_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    Path("broken.png").write_bytes(b"no picture")
    truth = {"classes": ["4"], "pictures": [{"file": "broken.png"}]}
    Path("none.json").write_text(json.dumps(truth))
    words = ["evaluate", ".", "--annotations", "none.json", "--boxes", "--coco-results", "no.json"]
    assert run(words) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.splitlines()[-1].startswith("error: broken.png: ")
    assert not Path("no.json").exists()


def test_the_command_says_all_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["evaluate", ".", "--annotations", "coco.json", "--background", "10", "--boxes"]
    assert run([*words, "--scale", "0.5-1.4", "--threshold", "0.6", "--overlap", "0.2"]) == 0
    out = capsys.readouterr().out
    result = ns.evaluate(
        ".", settings(), annotations="coco.json", rules=RULES, boxes=ns.BoxRules(0.6, 0.2)
    )
    assert out.splitlines() == [*result.table().lines(), *result.lines()]
    assert str(result).startswith("3 pictures: ")
    assert result._repr_html_().count("<tr>") == 12
    assert run([*words, "-q"]) == 0
    assert capsys.readouterr() == ("", "")


def test_the_order_of_the_pictures_does_not_matter() -> None:
    record = json.loads(Path("coco.json").read_text())
    record["images"].reverse()
    Path("reversed.json").write_text(json.dumps(record))
    first, second = (
        ns.evaluate(".", settings(), annotations=path, rules=RULES, boxes=ns.BoxRules()).to_json()
        for path in ("coco.json", "reversed.json")
    )
    assert first["classes"] == second["classes"]
    assert first["confusion"] == second["confusion"]
    assert first["pictures"] == second["pictures"][::-1]


def test_scores_need_a_threshold() -> None:
    layers = ns.Net("digits_deploy_full_conv.prototxt", "digits_full_conv.caffemodel")
    with layers as net:
        blob = next(name for name in net.blobs if name.startswith("ip2"))
    with pytest.raises(NetError, match="has scores, not probabilities"):
        ns.evaluate(".", settings(), annotations="coco.json", blob=blob, boxes=ns.BoxRules())
    result = ns.evaluate(".", settings(), annotations="coco.json", blob=blob, rules=RULES,
                         boxes=ns.BoxRules(10))  # fmt: skip
    assert result.accuracy is not None


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: ns.evaluate(".", annotations="coco.json", coco_results="x.json"),
            "coco_results: a file of boxes, but none are asked for (boxes)",
        ),
        (
            lambda: ns.evaluate(".", settings(), annotations="coco.json", top_k=12),
            "top_k 12: expected 1 to 11, as the net has 11 classes",
        ),
        (
            lambda: ns.evaluate(".", settings(), annotations="coco.json", top_k=0),
            "top_k 0: expected 1 to 11, as the net has 11 classes",
        ),
        (
            lambda: ns.evaluate(".", annotations="coco.json", box_scales=[1, 0]),
            "box_scales: found 1, 0, expected factors of the input's size, 0.01 to 100",
        ),
        (
            lambda: ns.evaluate(".", annotations="coco.json", box_scales=[float("nan")]),
            "box_scales: found nan, expected factors of the input's size, 0.01 to 100",
        ),
    ],
)
def test_options_that_cannot_be_are_refused(call: Callable[[], object], message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        call()
    assert str(caught.value) == message


@pytest.mark.parametrize("text", ["a", "=3", "a=", " =3"])
def test_a_class_without_a_label_is_wrong_usage(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["evaluate", ".", "--annotations", "coco.json", "--classes", text]) == 2
    assert "is not NAME=LABEL, as in person=pedestrian" in capsys.readouterr().err
