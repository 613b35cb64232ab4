"""Pictures of which only the class is known: folders of classes, and Caffe's lists."""

from __future__ import annotations

import json
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import netsurgery as ns
from netsurgery.cli import run
from netsurgery.errors import FormatError, NetError
from netsurgery.maps.transformer import Transformer
from netsurgery.training.annotations import read_annotations
from netsurgery.training.plan import checksums

NET, MODEL = "prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel"


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory, repo_root: Path) -> Path:
    """The demo net over maps, and the canvas's digits, some moved aside, in folders and a list."""
    folder = tmp_path_factory.mktemp("whole")
    ns.convert(repo_root / NET, repo_root / MODEL, folder, engine="embedded")
    canvas = np.asarray(Image.open(repo_root / "examples/digits_canvas.png").convert("L"))
    digits = json.loads((repo_root / "examples/digits_canvas.json").read_text())["digits"]
    lines = []
    for digit in digits:
        left, top, right, bottom = map(int, digit["box"])
        row, column = (top + bottom) // 2, (left + right) // 2
        for aside in (0, 6, 12):
            name = f"{digit['digit']}/{aside} of it.png"
            (folder / "by" / name).parent.mkdir(parents=True, exist_ok=True)
            first = min(max(0, column - 16 + aside), canvas.shape[1] - 32)
            pixels = canvas[max(0, row - 16) :][:32, first : first + 32]
            Image.fromarray(pixels).resize((48, 48)).save(folder / "by" / name)
            lines.append(f"/{name} {digit['digit']}\n")
    (folder / "list.txt").write_text("".join(lines))
    return folder


@pytest.fixture
def folder(made_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with the same."""
    shutil.copytree(made_once, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NETSURGERY_ENGINE", "embedded")
    return tmp_path


def likeliest(repo_root: Path) -> dict[str, int]:
    """By picture, what the classifier itself says of it."""
    pictures = sorted(Path("by").glob("*/*.png"))
    transformer = Transformer(1)
    feed = [transformer.blob(ns.read_picture(path), (32, 32))[0] for path in pictures]
    with ns.Net(repo_root / NET, repo_root / MODEL, engine="embedded") as net:
        scores = [net.forward(data=each)["prob"] for each in feed]
    return {str(path): int(np.argmax(each)) for path, each in zip(pictures, scores, strict=True)}


@pytest.mark.parametrize("source", ["by", "list.txt"])
def test_the_accuracy_is_the_classifiers(source: str, folder: Path, repo_root: Path) -> None:
    answers = likeliest(repo_root)
    right = sum(Path(path).parent.name == str(number) for path, number in answers.items())
    assert 10 <= right < len(answers) == 30
    result = ns.evaluate("by", "netsurgery.toml", annotations=source, size=(32, 32))
    assert result.accuracy == pytest.approx(right / 30)
    assert str(result) == f"30 pictures: {right} of 30 cells right"
    assert not result.notes
    # Of one class each: the first five count unasked.
    assert result.top_k == 5
    assert right / 30 < (result.top_k_accuracy or 0) < 1
    asked = ns.evaluate("by", "netsurgery.toml", annotations=source, size=(32, 32), top_k=5)
    assert asked.to_json() == result.to_json()


@pytest.fixture
def many_classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ns.Settings:
    """A net of 400 classes, by its fillers, and in the current folder a list of 20 pictures."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NETSURGERY_ENGINE", "embedded")
    Path("net.prototxt").write_text(
        'input: "data" input_shape { dim: [1, 3, 8, 8] }\n'
        'layer { name: "fc" type: "Convolution" bottom: "data" top: "fc" convolution_param '
        '{ num_output: 400 kernel_size: 8 weight_filler { type: "xavier" } } }\n'
        'layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }\n'
    )
    ns.init("net.prototxt", "net.caffemodel", seed=3)
    rng = np.random.default_rng(0)
    Path("many").mkdir()
    for number in range(20):
        Image.fromarray(rng.integers(0, 255, (8, 8, 3), np.uint8)).save(f"many/{number}.png")
    Path("many.txt").write_text("".join(f"{each}.png {each * 20}\n" for each in range(20)))
    return ns.Settings("net.prototxt", "net.caffemodel", raw_scale=255)


def test_a_picture_takes_no_more_memory_for_more_classes(many_classes: ns.Settings) -> None:
    """Its counts by two classes would be megabytes for a net of ImageNet's classes."""
    result = ns.evaluate("many", many_classes, annotations="many.txt")
    assert sum(row.cells.counted for row in result.pictures if row.cells) == 20
    assert len(pickle.dumps(result.pictures)) < 20 * 1000 < result.cells.counts.nbytes / 10


def test_the_table_has_the_classes_that_say_something(many_classes: ns.Settings) -> None:
    """Of a thousand most may be of no picture, and no picture's."""
    result = ns.evaluate("many", many_classes, annotations="many.txt")
    counts = result.cells.counts
    true, assigned = (np.flatnonzero(counts.sum(axis=axis)).tolist() for axis in (1, 0))
    shown = [row[0] for row in result.table().rows]
    assert shown == [str(number) for number in sorted({*true, *assigned} - {len(counts) - 1})]
    assert set(map(str, true)) <= set(shown)
    assert 20 <= len(shown) <= 40
    line = f"not in the table: {381 - len(shown)} classes that nothing is or got"
    assert line in result.lines()
    assert len(result.to_json()["classes"]) == 381
    # Those that are missed say that they are.
    missed = ns.evaluate("many", many_classes, annotations="many.txt", size=32)
    assert missed.cells.counted == 0
    assert [row[0] for row in missed.table().rows] == [str(each * 20) for each in range(20)]


def test_windows_that_are_too_small_are_told(folder: Path) -> None:
    result = ns.evaluate("by", "netsurgery.toml", annotations="by", size="net")
    assert result.accuracy is None
    (note,) = result.notes
    assert note.endswith("; size=(32, 32) makes each as large as one"), note


def test_a_picture_is_as_large_as_a_window_where_nobody_says(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked, unasked, cropped = (
        ns.evaluate("by", "netsurgery.toml", annotations="by", size=size)
        for size in ((32, 32), None, ns.PictureOptions(fit="crop"))
    )
    assert unasked.to_json() == asked.to_json()
    assert cropped.size == unasked.size == (32, 32)
    words = ["evaluate", "by", "--annotations", "by"]
    assert run(words) == 0
    assert "each picture is an input of 32x32\n" in capsys.readouterr().out
    monkeypatch.setenv("NETSURGERY_SIZE", "image")
    assert run([*words, "--json", "-q"]) == 0
    assert json.loads(capsys.readouterr().out)["size"] == "image"


def test_pictures_of_objects_are_as_large_as_ever(folder: Path, repo_root: Path) -> None:
    boxes = {"classes": ["3"], "pictures": [{"file": "3/0 of it.png"}]}
    Path("boxes.json").write_text(json.dumps(boxes))
    more = {"annotations": "boxes.json", "images": "by", "pictures": 0}
    assert ns.evaluate("by", "netsurgery.toml", annotations="boxes.json").size == (88, 88)
    plan = ns.train_plan(repo_root / NET, repo_root / MODEL, "plan", **more)  # type: ignore[arg-type]
    assert (plan.size, plan.input_size) == ("image", (88, 88))


@pytest.mark.parametrize("window", [None, (12, 12), (4, 4)])
def test_a_net_that_always_had_a_map_sees_its_own_input(
    window: tuple[int, int] | None, many_classes: ns.Settings
) -> None:
    """A window that gives several cells is not its input, and what may be inferred is no window."""
    text = Path("net.prototxt").read_text().replace("dim: [1, 3, 8, 8]", "dim: [1, 3, 12, 12]")
    Path("net.prototxt").write_text(text.replace("kernel_size: 8", "kernel_size: 8 pad: 2"))
    settings = replace(many_classes, window=window)
    result = ns.evaluate("many", settings, annotations="many.txt")
    assert result.size == ((4, 4) if window == (4, 4) else (12, 12))
    if window is None:
        assert result.notes[-1].startswith("pictures are larger than the windows of their map")


@pytest.mark.parametrize(
    ("net", "more", "expected"),
    [
        ("deploy", {}, ((32, 32), (32, 32))),
        ("full_conv", {}, ((88, 88), (88, 88))),
        ("full_conv", {"settings": True}, ((32, 32), (32, 32))),
        ("deploy", {"input_size": 64}, ((32, 32), (64, 64))),
        ("full_conv", {"settings": True, "size": "net"}, ((32, 32), (32, 32))),
        ("full_conv", {"size": "net", "input_size": 64}, ((64, 64), (64, 64))),
        ("deploy", {"size": "image"}, ("image", (32, 32))),
    ],
)
def test_a_plan_trains_one_cell_of_each(
    net: str, more: dict[str, object], expected: object, folder: Path, repo_root: Path
) -> None:
    """Of a classifier, and of what `convert` made of it where its settings say the window."""
    files = (repo_root / NET, repo_root / MODEL)
    if net == "full_conv":
        files = (Path("digits_deploy_full_conv.prototxt"), Path("digits_full_conv.caffemodel"))
    if more.pop("settings", False):
        more["settings"] = ns.Settings(window=(32, 32))
    more |= {"annotations": "by", "images": "by", "pictures": 0}
    plan = ns.train_plan(*files, "plan", **more)  # type: ignore[arg-type]
    assert (plan.size, plan.input_size) == expected
    size = plan.to_json()["size"]
    assert size == (expected[0] if expected[0] == "image" else list(expected[0]))
    words = "its own size" if plan.size == "image" else f"{plan.size[0]}x{plan.size[1]}"
    assert f"each picture is an input of {words}" in plan.summary
    if plan.size == plan.input_size == (32, 32):
        assert sum(plan.tally.cells.values()) == plan.tally.pictures
        assert not plan.tally.missed


def test_the_numbers_of_a_list_are_the_nets_whatever_its_labels(folder: Path) -> None:
    Path("labels.txt").write_text("".join(f"{9 - number}\n" for number in range(10)) + "none\n")
    settings = replace(ns.read_settings("netsurgery.toml"), labels=Path("labels.txt"))
    right = [
        ns.evaluate("by", settings, annotations=source, size=(32, 32)).accuracy
        for source in ("list.txt", "by")
    ]
    assert (
        right[0] == ns.evaluate("by", "netsurgery.toml", annotations="by", size=(32, 32)).accuracy
    )
    assert right[1] != right[0]  # names of folders are labels
    Path("list.txt").write_text("3/0 of it.png 11\n")
    with pytest.raises(NetError, match="11"):
        ns.evaluate("by", settings, annotations="list.txt", size=(32, 32))


def test_a_plan_learns_the_classes_of_folders(folder: Path, repo_root: Path) -> None:
    words = [str(repo_root / NET), str(repo_root / MODEL), "--images", "by", "-o", "plan", "-q"]
    words += ["--size", "net"]
    for digit in range(2, 10):
        shutil.rmtree(f"by/{digit}")
    Path("by/1").rename("by/one")
    assert run(["train", "plan", *words, "--annotations", "by", "--hold-out", "0"]) == 0
    plan = json.loads(Path("plan/plan.json").read_text())
    assert plan["names"] == ["0", "one", "background"]
    assert plan["input_size"] == [32, 32]
    with np.load("plan/truth.npz") as truth:
        assert sorted(truth) == [
            f"{name}/{n} of it.png" for name in ("0", "one") for n in (0, 12, 6)
        ]
        assert {name: truth[name].tolist() for name in truth if "one" in name} == {
            f"one/{n} of it.png": [[1]] for n in (0, 6, 12)
        }


def test_another_picture_is_another_training(folder: Path) -> None:
    before = checksums(["by"], "by")
    Path("by/3/0 of it.png").rename("by/4/another.png")
    assert checksums(["by"], "by") != before


def test_the_order_of_the_classes_may_be_said(folder: Path) -> None:
    assert read_annotations(Path("by"), Path("by")).classes == tuple(map(str, range(10)))
    Path("by/classes.txt").write_text("".join(f"{9 - number}\n" for number in range(10)))
    read = read_annotations(Path("by"), Path("."))
    assert read.classes == tuple(str(9 - number) for number in range(10))
    assert [each.name for each in read.pictures][:2] == ["by/0/0 of it.png", "by/0/12 of it.png"]
    assert (read.of_wholes, read.numbered) == (True, False)


def test_pictures_in_folders_of_a_class_are_of_it(folder: Path) -> None:
    Path("by/3/more").mkdir()
    shutil.copy("by/3/0 of it.png", "by/3/more/a.png")
    Path("by/.cache").mkdir()
    read = read_annotations(Path("by"), Path("by"))
    assert [each.whole for each in read.pictures if each.name == "3/more/a.png"] == ["3"]


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: Path("by/new").mkdir(), "by/new: holds no picture; looked for .jpg"),
        (
            lambda: Path("by/classes.txt").write_text("0\n1\n"),
            "by: no class '2', of the folder of that name; its classes are 0, 1",
        ),
        (
            lambda: shutil.copytree("by", "elsewhere"),
            "elsewhere: has folders of classes with the pictures in them, which do not lie below",
        ),
    ],
)
def test_folders_that_cannot_be_classes_are_refused(make: object, error: str, folder: Path) -> None:
    assert callable(make)
    make()
    source = Path("elsewhere" if Path("elsewhere").exists() else "by")
    with pytest.raises(FormatError) as raised:
        read_annotations(source, Path("by"))
    assert str(raised.value).startswith(error)


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("3/0 of it.png", "list.txt:2: found '3/0 of it.png', expected a picture's name and the"),
        ("a.png x", "list.txt:2: found 'a.png x', expected a picture's name and the number"),
        ("a.png -1", "list.txt:2: found 'a.png -1', expected a picture's name and the number"),
        ("a.png 1.5", "list.txt:2: found 'a.png 1.5', expected a picture's name and the number"),
        ("a.png 1000000", "list.txt:2: found 'a.png 1000000', expected a picture's name"),
        ("7", "list.txt:2: found '7', expected a picture's name and the number of its class"),
        ("none.png 3", "list.txt:2: by/none.png: No such file"),
        ("../by/3/0 of it.png 3", "list.txt:2: the picture '../by/3/0 of it.png' would not lie"),
        ("3/0 of it.png 4", "list.txt: the picture by/3/0 of it.png is annotated 2 times"),
    ],
)
def test_lines_that_cannot_be_read_are_refused(line: str, error: str, folder: Path) -> None:
    Path("list.txt").write_text(f"/3/0 of it.png 3\n{line}\n")
    with pytest.raises(FormatError) as raised:
        read_annotations(Path("list.txt"), Path("by"))
    assert str(raised.value).startswith(error)


def test_a_list_of_nothing_is_refused(folder: Path) -> None:
    Path("list.txt").write_text("\n \n")
    with pytest.raises(FormatError, match=r"^list\.txt: is empty, expected a list of pictures"):
        read_annotations(Path("list.txt"), Path("by"))


def test_the_classes_of_a_list_are_all_up_to_the_last(folder: Path) -> None:
    """So that a class which no picture is of does not move those behind it."""
    Path("list.txt").write_text("3/0 of it.png 3\r\n\r\n1/0 of it.png 1\r\n")
    read = read_annotations(Path("list.txt"), Path("by"))
    assert (read.classes, read.numbered) == (("0", "1", "2", "3"), True)
    assert [(each.name, each.whole) for each in read.pictures] == [
        ("3/0 of it.png", "3"), ("1/0 of it.png", "1")
    ]  # fmt: skip
