"""`train plan`: the folder that it writes, what it says of the truth, and what it refuses."""

from __future__ import annotations

import io
import json
import os
import re
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import netsurgery as ns
from netsurgery.cli import run
from netsurgery.formats.labels import Labels
from netsurgery.formats.prototxt import Prototxt
from netsurgery.training.class_numbers import number_classes
from netsurgery.training.feed import open_plan
from netsurgery.training.objects import AnnotatedPicture
from netsurgery.training.plan import held_out, read_plan
from netsurgery.training.plan_folder import picture_files
from netsurgery.training.plan_lock import alone_with
from netsurgery.training.result_files import write_results
from netsurgery.training.truth_tally import TruthTally

NET, MODEL = "prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel"
RULES = ns.TruthRules(scale=(0.5, 1.2))


@pytest.fixture
def digits(bundled_nets: Path, repo_root: Path) -> dict[str, Any]:
    """In the current folder truth.json, of the demo's sheet and of an empty one."""
    Path("images").mkdir()
    canvas = repo_root / "examples/digits_canvas.png"
    for name in ("a.png", "b.png", "c.png"):
        (Path("images") / name).write_bytes(canvas.read_bytes())
    Image.new("L", (100, 70), 220).save("images/empty.png")
    record = json.loads(canvas.with_suffix(".json").read_text())
    boxes = [{"class": str(each["digit"]), "box": each["box"]} for each in record["digits"]]
    truth = {
        "classes": [str(digit) for digit in range(10)],
        "pictures": [
            {"file": name, "boxes": boxes, "width": 288, "height": 192}
            for name in ("a.png", "b.png", "c.png")
        ]
        + [{"file": "empty.png"}],
    }
    Path("truth.json").write_text(json.dumps(truth))
    return truth


@pytest.fixture
def color_net(bundled_nets: Path) -> tuple[str, str]:
    """A classifier of pictures in color, with its params by its fillers."""
    Path("color.prototxt").write_text(
        'input: "data" input_shape { dim: [1, 3, 20, 20] }\n'
        'layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param '
        '{ num_output: 4 kernel_size: 5 stride: 5 weight_filler { type: "xavier" } } }\n'
        'layer { name: "fc" type: "InnerProduct" bottom: "conv" top: "fc" inner_product_param '
        '{ num_output: 2 weight_filler { type: "xavier" } } }\n'
    )
    ns.init("color.prototxt", "color.caffemodel")
    return "color.prototxt", "color.caffemodel"


def plan(folder: str = "plan", **more: Any) -> ns.PlannedTraining:
    options = {"annotations": "truth.json", "images": "images", "background_class": "10"}
    return ns.train_plan(NET, MODEL, folder, **{**options, "rules": RULES, **more})


def test_the_folder_has_all_that_a_run_needs(digits: dict[str, Any]) -> None:
    result = plan(hold_out=0.25)
    assert sorted(os.listdir("plan")) == [
        "pictures", "plan.json", "solver.prototxt", "train.prototxt", "truth.npz",
    ]  # fmt: skip
    assert sorted(os.listdir("plan/pictures")) == ["a.png", "b.png", "c.png", "empty.png"]
    assert Path("plan/train.prototxt").read_text() == result.net.text
    assert Prototxt.parse(Path("plan/solver.prototxt").read_text()).root.string("net") == (
        "train.prototxt"
    )
    assert read_plan(Path("plan")) == result.plan
    assert result.outputs == 11
    assert result.plan.own_outputs == 11  # the net's own outputs are these
    assert result.classes == (*map(str, range(10)), "background")
    with np.load("plan/truth.npz") as truth:
        assert sorted(truth) == ["a.png", "b.png", "c.png", "empty.png"]
        counts = np.bincount(truth["a.png"].ravel() + 1)
        # Each digit of the demo's sheet lies in the middle of one cell.
        assert truth["a.png"].shape == (21, 33)
        assert counts[1:11].tolist() == [1] * 10
        for each in json.loads(Path("images/../truth.json").read_text())["pictures"][0]["boxes"]:
            left, top, right, bottom = each["box"]
            row, column = (
                (low + high) / 2 // 8 - 2 for low, high in ((top, bottom), (left, right))
            )
            assert truth["a.png"][int(row), int(column)] == int(each["class"])
        assert (truth["empty.png"] == 10).all()
    with zipfile.ZipFile("plan/truth.npz") as archive:
        assert all(each.compress_size < each.file_size / 4 for each in archive.infolist())
    record = result.to_json()
    assert record["empty"] == ["empty.png"]
    assert record["cells"]["3"] == record["objects"]["3"] == 3
    assert len(record["held_out"]) == 1


def test_what_is_fed_is_the_plans(digits: dict[str, Any]) -> None:
    result = plan(hold_out=0.5, batch=2, pictures=0)
    feed = open_plan(Path("plan"))
    inputs = feed.inputs(5)
    assert {name: each.shape for name, each in inputs.items()} == {
        "data": (2, 1, 88, 88),
        "label": (2, 1, 8, 8),
    }
    again = open_plan(Path("plan")).inputs(5)
    assert all(inputs[name].tobytes() == again[name].tobytes() for name in inputs)
    whole = list(feed.held_out())
    assert [each.name for each in whole] == list(result.plan.held_out)
    assert len(whole) == 2
    with np.load("plan/truth.npz") as truth:
        for each in whole:
            assert np.array_equal(truth[each.name], each.labels)
            pixels = np.asarray(Image.open(f"images/{each.name}"), np.float32) / np.float32(255)
            assert np.array_equal(each.data[0, 0], pixels)
    learnt = {picture.name for picture in feed.batches.pictures}
    assert learnt | set(result.plan.held_out) == {"a.png", "b.png", "c.png", "empty.png"}
    assert not learnt & set(result.plan.held_out)


def test_a_net_that_knows_its_digits_finds_the_labels_right(digits: dict[str, Any]) -> None:
    """The demo's net says of every crop what its labels say: pixels and windows fit."""
    paths = ns.convert(NET, MODEL, "converted", input_size=(88, 88), engine="embedded").paths
    plan(background=1.0, hold_out=0.0, batch=16, pictures=0)
    inputs = open_plan(Path("plan")).inputs(0)
    labels = inputs["label"][:, 0]
    with ns.Net(paths.prototxt, paths.weights, engine="embedded") as net:
        answers = net.forward(data=inputs["data"])["prob"].argmax(axis=1)
    of_digits, counted = (labels >= 0) & (labels < 10), labels >= 0
    assert of_digits.sum() > 10
    assert (answers == labels)[of_digits].mean() > 0.95
    assert (answers == labels)[counted].mean() > 0.99


def test_the_same_plan_is_the_same_bytes(digits: dict[str, Any]) -> None:
    for folder in ("one", "two"):
        plan(folder, pictures=1)
    for path in sorted(Path("one").rglob("*.*")):
        assert path.read_bytes() == (Path("two") / path.relative_to("one")).read_bytes(), path


def test_other_classes_replace_the_last_layer(digits: dict[str, Any]) -> None:
    digits["classes"].append("ten")
    Path("truth.json").write_text(json.dumps(digits))
    result = plan(background_class="paper", balance=True, pictures=0)
    assert result.outputs == 12
    assert result.classes == (*map(str, range(10)), "ten", "paper")
    assert "replaced by one of 12 outputs that begins from scratch" in " ".join(result.notes)
    weights = result.plan.weights
    assert len(weights) == 12
    # Of 33 digits each, so they weigh alike; the background is common, "ten" is in no picture.
    assert len(set(weights[:11])) == 1
    assert weights[11] < weights[0] / 5
    inputs = open_plan(Path("plan")).inputs(0)
    matrix = inputs[result.net.infogain]
    assert np.allclose(np.diag(matrix[0, 0]), weights)
    assert np.count_nonzero(matrix) == 12


def test_background_weight_is_in_the_infogain_matrix(digits: dict[str, Any]) -> None:
    result = plan(background_weight=8, pictures=0)
    weights = result.plan.weights
    assert weights[10] == pytest.approx(8 * weights[0], rel=1e-4)
    assert len(set(weights[:10])) == 1
    matrix = open_plan(Path("plan")).inputs(0)[result.net.infogain]
    np.testing.assert_array_equal(matrix[0, 0], np.diag(np.array(weights, np.float32)))
    assert read_plan(Path("plan")).options.background_weight == 8
    assert plan("plain", pictures=0).plan.weights == ()


def test_labels_name_the_outputs() -> None:
    labels = Labels("l", ("n1 cat, puss", "n2 dog", "n3 ground"))
    numbers = number_classes(["dog", "puss"], 3, labels, "ground")
    assert numbers.own_outputs == 3
    assert numbers.numbers == {"dog": 1, "puss": 0}
    assert (numbers.names, numbers.background) == (("puss", "dog", "ground"), 2)
    # One class less, one more, another, and no background: none of these is the net's.
    for classes, background in (
        (["dog"], "ground"),
        (["dog", "cat", "cow"], "ground"),
        (["dog", "cow"], "ground"),
        (["dog", "cat"], None),
        (["dog", "cat"], "cat"),
    ):
        replaced = number_classes(classes, 3, labels, background)
        assert replaced.own_outputs == 0
        assert replaced.names[replaced.background] == (background or "background")
    mask = number_classes(["ground", "dog", "cat"], 3, labels, "ground")
    assert (mask.own_outputs, mask.background) == (3, 2)
    more = number_classes(["cat", "puss"], 2, Labels("l", ("cat, puss", "x")), "x")
    assert (more.names, more.own_outputs) == (("cat", "puss", "x"), 0)


def test_labels_that_are_more_or_fewer_name_nothing() -> None:
    for lines in (("cat",), ("cat", "dog", "cow", "page")):
        labels = Labels("l", lines)
        numbers = number_classes(["0", "1"], 3, labels, "2")
        assert (numbers.names, numbers.own_outputs) == (("0", "1", "background"), 3)
        assert "3 outputs, the" in number_classes(["cat", "dog"], 3, labels).notes[0]
        for classes in (["0", "1"], ["cat", "dog"]):  # kept and replaced
            note = number_classes(classes, 3, labels, "2").notes[-1]
            assert re.fullmatch(
                f"l: {len(lines)} labels?, but the net has 3 outputs: they are not used", note
            )


def test_a_background_given_by_number_has_a_name() -> None:
    """Of a net of other classes it would be the number of nothing."""
    assert number_classes(["3", "7"], 11, background="10").names == ("3", "7", "background")
    labels = Labels("l", ("n1 cat", "n2 dog", "n3 ground, soil"))
    numbers = number_classes(["cow"], 3, labels, "2")
    assert (numbers.names, numbers.background) == (("cow", "ground"), 1)


@pytest.mark.parametrize(
    ("names", "number", "said"),
    [
        (("cat", "ground"), 1, "ground"),
        (("1", "0"), 1, "1"),
        (("cat", "none"), 1, "1"),
        (("12", "cat", "11"), 2, "2"),
    ],
)
def test_the_settings_of_what_is_trained_find_the_background(
    digits: dict[str, Any], names: tuple[str, ...], number: int, said: str
) -> None:
    planned = plan(pictures=0)
    renamed = replace(planned.plan, names=names, background=number)
    write_results(Path("plan"), renamed, planned.net, lambda path: path.touch())
    settings = Path("plan/netsurgery.toml").read_text(encoding="utf-8")
    assert f'background = "{said}"' in settings


def test_a_label_that_is_a_number_is_the_label() -> None:
    labels = Labels("l", ("1", "2", "0"))
    assert number_classes(["1", "2"], 3, labels, "0").names == ("1", "2", "0")


def test_masks_have_their_own_background(bundled_nets: Path) -> None:
    Path("images").mkdir()
    Path("masks").mkdir()
    Image.new("L", (64, 48), 100).save("images/a.png")
    numbers = np.zeros((48, 64), np.uint8)
    numbers[:, 32:] = 1
    Image.fromarray(numbers).save("masks/a.png")
    Path("masks/classes.txt").write_text("ground\nroad\n")
    result = plan(annotations="masks", background_class="ground")
    assert result.classes == ("ground", "road")
    assert result.plan.background == 0
    with np.load("plan/truth.npz") as truth:
        assert np.unique(truth["a.png"]).tolist() == [0, 1]


def test_objects_that_no_cell_got_are_counted_by_why(digits: dict[str, Any]) -> None:
    boxes = [
        {"class": "1", "box": [10, 10, 90, 90]},
        {"class": "1", "box": [10, 10, 14, 14]},
        {"class": "2", "box": [0, 60, 20, 80]},
    ]
    digits["pictures"] = [
        {"file": "a.png", "boxes": boxes},
        {"file": "tiny.png", "boxes": boxes[1:2]},
    ]
    Path("truth.json").write_text(json.dumps(digits))
    Image.new("L", (20, 20)).save("images/tiny.png")
    result = plan()
    assert result.to_json()["missed"] == [
        {"class": "1", "reason": "in a picture smaller than a window", "objects": 1},
        {"class": "1", "reason": "too large", "objects": 1},
        {"class": "1", "reason": "too small", "objects": 1},
        {"class": "2", "reason": "too near the border", "objects": 1},
    ]
    assert result.to_json()["small"] == ["tiny.png"]
    assert os.listdir("plan/pictures") == ["a.png"]
    assert "1 object that no cell got: too large" in result.summary


def test_a_picture_without_a_map_is_not_held_out(digits: dict[str, Any]) -> None:
    Image.new("L", (20, 20)).save("images/tiny.png")
    truth = {**digits, "pictures": [{"file": "tiny.png"}, *digits["pictures"][:3]]}
    Path("truth.json").write_text(json.dumps(truth))
    pictures = [AnnotatedPicture("", name=each["file"]) for each in truth["pictures"]]
    seed = next(seed for seed in range(99) if "tiny.png" in held_out(pictures, 0.75, seed))
    result = plan(hold_out=0.75, solver=ns.SolverSettings(seed=seed), pictures=0)
    assert result.to_json()["small"] == ["tiny.png"]
    feed = open_plan(Path("plan"))
    assert tuple(each.name for each in feed.held_out()) == result.plan.held_out
    assert len(result.plan.held_out) == 2
    assert {picture.name for picture in feed.plan.learnt(feed.annotations)} >= {"tiny.png"}
    assert feed.inputs(0)["data"].shape[0] == 8


def test_a_truth_that_teaches_nothing_is_said(digits: dict[str, Any]) -> None:
    result = plan(rules=ns.TruthRules(scale=(3, 4)), pictures=0)
    assert [name for name, count in result.to_json()["cells"].items() if count] == ["background"]
    # Objects as large as the window are too small for that rule.
    assert result.notes[-1] == (
        "no cell is of an object: nothing but the background would be learnt; see pictures/, and "
        "near, scale or a larger size"
    )
    result = plan(rules=ns.TruthRules(scale=(0.1, 0.2)), pictures=0, force=True)
    assert result.notes[-1].endswith("near, scale or a smaller size")
    assert plan(force=True, pictures=0).notes == ()
    Path("truth.json").write_text(json.dumps({**digits, "pictures": digits["pictures"][:1]}))
    result = plan(rules=ns.TruthRules(9, 9, (0, 9)), force=True, pictures=0)
    assert "no cell is background" in result.notes[-1]


def test_classes_that_would_not_be_learnt_are_named(digits: dict[str, Any]) -> None:
    """Held out with all their pictures, or fitting no cell: a run would never see one."""
    first, *others = digits["pictures"]
    for each in others:
        each["boxes"] = [box for box in each.get("boxes", []) if box["class"] not in "27"]
    for box in first["boxes"]:
        if box["class"] == "4":  # in the first alone, others are as they were
            box["box"] = [0, 0, 190, 190]
    others[0]["boxes"] = others[1]["boxes"] = [
        box for box in others[0]["boxes"] if box["class"] != "4"
    ]
    Path("truth.json").write_text(json.dumps(digits))
    for seed in range(1, 9):
        solver = ns.SolverSettings(seed=seed)
        result = plan(hold_out=0.25, solver=solver, pictures=0, force=True)
        away = "a.png" in result.to_json()["held_out"]
        assert result.notes[0].startswith("would not be learnt: '4', of which no cell is; see ")
        assert [note for note in result.notes[1:] if "held out" in note] == [
            "would not be learnt: '2', '7', whose cells are all in pictures that are held out; "
            "another seed or hold_out holds out others"
        ] * away
        if away:
            break
    else:
        raise AssertionError
    assert [line for line in result.summary if "held out" in line] == ["1 picture held out"]


def test_where_no_picture_is_held_out_it_is_said(digits: dict[str, Any]) -> None:
    words = "no picture held out of 4 (hold_out 0.1): a run will not say how right the net is"
    assert words in plan(pictures=0).summary
    assert not [line for line in plan(hold_out=0.0, force=True).summary if "held" in line]


def test_drawings_show_classes_and_cells_that_do_not_count(digits: dict[str, Any]) -> None:
    plan(pictures=1)
    assert os.listdir("plan/pictures") == ["a.png"]
    image = Image.open("plan/pictures/a.png").convert("RGB")
    colors = {color for _, color in image.getcolors(image.width * image.height) or []}
    assert (230, 159, 0) in colors  # the first class's, in the legend
    assert (150, 90, 255) in colors  # and the tenth's
    assert (120, 124, 132) in colors


def test_names_of_drawings() -> None:
    names = ["x/a.jpg", "a.jpg", "b.png", "b.jpeg"]
    assert picture_files(names) == ["x/a.png", "a.png", "b.png.png", "b.jpeg.png"]
    # Of which two would be b.png.png.
    names.append("b.png.jpg")
    assert picture_files(names) == [f"{name}.png" for name in names]


def test_a_share_is_held_out_and_never_all() -> None:
    pictures = [AnnotatedPicture(f"{number}.png", name=str(number)) for number in range(20)]
    chosen = held_out(pictures, 0.25, 1)
    assert len(chosen) == 5
    assert list(chosen) == sorted(chosen, key=int)
    assert held_out(pictures, 0.25, 2) != chosen == held_out(pictures, 0.25, 1)
    assert len(held_out(pictures, 0.99, 1)) == 19
    assert held_out(pictures[:1], 0.5, 1) == ()


def test_weights_of_classes() -> None:
    tally = TruthTally(("a", "b", "ground"))
    tally.add(np.array([[0] * 10 + [1] * 40 + [2] * 1000 + [-1] * 7], np.int32), [], [])
    a, b, ground = tally.weights(2, 0.1, balance=True)
    # Cells times weight are the same of each class.
    assert a * 10 == pytest.approx(b * 40) == pytest.approx(ground * 100, rel=1e-4)
    # Pictures that are held out have no say in what is learnt.
    tally.add(np.array([[0] * 900], np.int32), [], [], learnt=False)
    assert tally.weights(2, 0.1, balance=True) == (a, b, ground)
    assert TruthTally(("a", "b")).weights(1, 0.5, balance=True) == (1, 1)


@pytest.mark.parametrize("balance", [False, True])
@pytest.mark.parametrize("times", [0.25, 1, 10])
def test_background_weight_is_times_as_much_and_the_mean_of_cells_stays(
    *, balance: bool, times: float
) -> None:
    tally = TruthTally(("a", "b", "ground"))
    tally.add(np.array([[0] * 10 + [1] * 40 + [2] * 1000 + [-1] * 7], np.int32), [], [])
    plain = tally.weights(2, 0.1, balance=balance)
    weights = tally.weights(2, 0.1, balance=balance, background_weight=times)
    assert weights[2] / weights[0] == pytest.approx(times * plain[2] / plain[0], rel=1e-4)
    assert weights[1] / weights[0] == pytest.approx(plain[1] / plain[0], rel=1e-4)
    cells = np.array([10, 40, 100])
    assert (cells * weights).sum() == pytest.approx(cells.sum(), rel=1e-4)


#: What is changed, and the one line that says what is wrong.
WRONG: list[tuple[Callable[[], dict[str, Any]], str]] = [
    (lambda: {"background": 1.5}, "background 1.5: expected a share of 1"),
    (lambda: {"hold_out": 1.0}, "hold_out 1: nothing would be left to learn from"),
    (
        lambda: {"background_weight": 0.0},
        "background_weight 0: expected a number from 0.01 to 100",
    ),
    (lambda: {"batch": 0}, "batch 0: expected a number from 1 on"),
    (lambda: {"pictures": -1}, "pictures -1: expected a number from 0 on"),
    (lambda: {"annotations": "none.json"}, "none.json: No such file or directory"),
    (lambda: {"images": "none"}, "none: is not a folder"),
    (lambda: {"folder": "missing/plan"}, "there is no folder missing"),
    (lambda: {"folder": "images"}, "images: holds an input"),
    (lambda: {"settings": ns.Settings(mean=np.zeros((1, 9, 9), np.float32))}, "mean picture is a"),
    (lambda: {"settings": ns.Settings(channel_swap="bgr")}, "channel"),
    (lambda: {"freeze": ["conv9"]}, "conv9"),
    (lambda: {"input_size": 8}, "8x8"),
    (
        lambda: {"settings": ns.Settings(window=(40, 40))},
        "window=(40, 40): the input of the classifier is 32x32; leave it out",
    ),
    (lambda: {"classes": ["a", "b"]}, "its classes are 0, 1"),
]


@pytest.mark.parametrize(("change", "words"), WRONG, ids=range(len(WRONG)))
def test_what_cannot_be_planned_is_one_line_and_nothing_is_written(
    change: Callable[[], dict[str, Any]], words: str, digits: dict[str, Any]
) -> None:
    before = sorted(os.listdir("."))
    with pytest.raises(ns.NetsurgeryError, match=re.escape(words)) as error:
        plan(**change())
    assert "\n" not in str(error.value)
    assert sorted(os.listdir(".")) == before


def test_what_is_not_a_net_or_its_weights_is_one_line(
    digits: dict[str, Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = Path(NET).read_bytes()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text)))
    Path("solver").write_text('net: "a.prototxt" max_iter: 2')
    renamed = Path(NET).read_text()
    for name in ("conv1", "conv2", "conv3", "ip1"):
        renamed = renamed.replace(f'"{name}"', f'"{name}_of_another"')
    Path("other").write_text(renamed)
    ns.init("other", "weights")
    Path("cut").write_bytes(Path(MODEL).read_bytes()[:-9])
    words = "-o new --annotations truth.json --images images"
    for files, expected in (
        (("solver", MODEL), "error: solver: is a solver, not a net; its net is 'a.prototxt'"),
        ((NET, "weights"), "error: weights is of another net: of the 5 layers with params"),
        ((NET, "cut"), "error: cut: "),
        ((NET, "none"), "error: none: No such file or directory"),
        ((NET, "images"), "error: images: is a folder, expected a caffemodel"),
        ((NET, NET), f"error: {NET}: "),
        (("-", MODEL), "error: a plan names its files: give a file, not standard input"),
    ):
        code = run(["train", "plan", *files, *words.split()])
        error = capsys.readouterr().err
        assert code == (2 if "-" in files else 1), error
        assert error.startswith(expected)
        assert error.count("\n") == 1
        assert not Path("new").exists()


def test_a_link_is_not_followed_and_inputs_are_not_outputs(digits: dict[str, Any]) -> None:
    before = Path("truth.json").read_bytes()
    for folder, words in (
        ("truth.json", "truth.json: "),
        ("images", "images: holds an input"),
        (".", "holds an input"),
    ):
        with pytest.raises(ns.OutputError, match=re.escape(words)):
            plan(folder, force=True)
    assert Path("truth.json").read_bytes() == before


def test_memory_is_claimed(digits: dict[str, Any]) -> None:
    """Of annotations, pictures and batches: what is too large is refused by its name."""
    Image.new("L", (3000, 2000)).save("images/empty.png")
    ns.set_max_memory("4MiB")
    try:
        with pytest.raises(ns.MemoryLimitError, match=r"images/empty.png: .* needs"):
            plan(pictures=0)
    finally:
        ns.set_max_memory(None)
    assert not Path("plan").exists()
    digits["pictures"] *= 20_000
    Path("truth.json").write_text(json.dumps(digits))
    ns.set_max_memory("60MiB")
    try:
        with pytest.raises(ns.MemoryLimitError, match=r"truth.json: its annotations needs"):
            plan()
    finally:
        ns.set_max_memory(None)


def test_a_broken_picture_leaves_nothing(digits: dict[str, Any]) -> None:
    Path("images/c.png").write_bytes(Path("images/c.png").read_bytes()[:500])
    with pytest.raises(ns.ImageError, match=r"images/c.png: broken picture"):
        plan()
    Image.new("L", (288, 190)).save("images/b.png")
    with pytest.raises(ns.FormatError, match=r"images/b.png: 190x288 pixels, but"):
        plan()
    assert not [name for name in os.listdir(".") if "plan" in name]


@pytest.fixture
def broken(digits: dict[str, Any]) -> list[str]:
    """The same with pictures that cannot be used, each for a reason of its own; the errors."""
    boxes = digits["pictures"][0]["boxes"]
    digits["pictures"] += [
        {"file": name, "boxes": boxes, "width": 288, "height": 192}
        for name in ("cut.png", "gone.png", "small.png", "text.png")
    ]
    Path("truth.json").write_text(json.dumps(digits))
    Path("images/cut.png").write_bytes(Path("images/c.png").read_bytes()[:500])
    Image.new("L", (288, 190)).save("images/small.png")
    Path("images/text.png").write_text("no picture")
    return [
        "images/cut.png: broken picture",
        "truth.json: pictures[5].file: images/gone.png: No such file or directory",
        "images/small.png: 190x288 pixels, but its annotations are of a picture of 192x288",
        "images/text.png: not a picture of a kind that can be read",
    ]


def test_all_broken_pictures_are_named_in_one_run(
    broken: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(os.listdir("."))
    with pytest.raises(ns.BrokenImages) as raised:
        plan()
    assert all(map(str.startswith, map(str, raised.value.errors), broken))
    assert str(raised.value).startswith(broken[0])
    for error in raised.value.errors:  # whose calls would keep the pictures
        assert error.__traceback__ is None
    words = f"train plan {NET} {MODEL} --annotations truth.json --images images -o plan"
    for more in ("", "--json", "-q"):
        assert run([*words.split(), *more.split()]) == 1
        printed = capsys.readouterr()
        *lines, last = printed.err.splitlines()
        assert len(lines) == len(broken)
        assert all(map(str.startswith, lines, (f"error: {each}" for each in broken)))
        assert last == "error: 4 of 8 pictures cannot be used; --skip-broken leaves them out"
        if more == "--json":
            error = json.loads(printed.out)["error"]
            assert (error["type"], error["file"]) == ("BrokenImages", "images/cut.png")
        else:
            assert printed.out == ""
    assert sorted(os.listdir(".")) == before


def test_broken_pictures_are_left_out_where_they_are_to_be(
    broken: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """All else is as if they were not annotated, and the plan says which they are."""
    names = ["cut.png", "gone.png", "small.png", "text.png"]
    words = f"train plan {NET} {MODEL} --annotations truth.json --images images --hold-out 0"
    words += " --background-class 10 --scale 0.5-1.2 --batch 2 --skip-broken -o plan"
    assert run(words.split()) == 0
    printed = capsys.readouterr()
    assert "\n4 pictures left out, such as cut.png\n" in printed.out
    lines = [line for line in printed.err.splitlines() if line.startswith("warning: ")]
    assert all(map(str.startswith, lines, (f"warning: left out: {each}" for each in broken)))
    assert list(read_plan(Path("plan")).left_out) == names
    feed = open_plan(Path("plan"))
    assert [each.name for each in feed.batches.pictures] == [
        "a.png", "b.png", "c.png", "empty.png",
    ]  # fmt: skip
    assert sorted(os.listdir("plan/pictures")) == ["a.png", "b.png", "c.png", "empty.png"]
    assert run([*words.split(), "--force", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert [each["image"] for each in record["left_out"]] == names
    assert all(map(str.startswith, [each["error"] for each in record["left_out"]], broken))
    truth = json.loads(Path("truth.json").read_text())
    del truth["pictures"][4:]
    Path("truth.json").write_text(json.dumps(truth))
    whole = plan("whole", hold_out=0, batch=2)
    assert {**whole.to_json(), "folder": "plan", "left_out": record["left_out"]} == {
        **record,
        "next": whole.next,
    }
    expected = open_plan(Path("whole")).inputs(3)
    assert all(np.array_equal(expected[name], each) for name, each in feed.inputs(3).items())


def test_held_out_pictures_that_are_broken_are_none(broken: list[str]) -> None:
    for seed in range(4):
        result = plan(
            f"plan{seed}", hold_out=0.5, skip_broken=True, pictures=0,
            solver=ns.SolverSettings(seed=seed),
        )  # fmt: skip
        assert not set(result.plan.held_out) & set(result.plan.left_out)
        held_out = [each.name for each in open_plan(Path(f"plan{seed}")).held_out()]
        assert held_out == list(result.plan.held_out)


def test_something_has_to_be_left_to_learn_from(digits: dict[str, Any]) -> None:
    Path("images/a.png").write_text("no picture")
    del digits["pictures"][1:]
    Path("truth.json").write_text(json.dumps(digits))
    for skip_broken in (False, True):
        with pytest.raises(ns.BrokenImages, match=r"1 of 1 picture cannot be used; nothing would"):
            plan(skip_broken=skip_broken)
    assert not Path("plan").exists()


def test_pictures_that_went_away_since_are_named_by_a_run(digits: dict[str, Any]) -> None:
    plan(pictures=0)
    Path("images/b.png").unlink()
    Path("images/c.png").unlink()
    with pytest.raises(ns.BrokenImages, match=r"images/b.png: No such file") as raised:
        open_plan(Path("plan"))
    assert len(raised.value.errors) == 2
    assert raised.value.summary == "2 of 4 pictures cannot be used; plan again"


def test_a_plan_is_replaced_with_force_alone(digits: dict[str, Any]) -> None:
    plan(pictures=1)
    with pytest.raises(ns.OutputError, match=r"plan: exists already; force=True replaces it"):
        plan()
    plan(force=True, pictures=0)
    assert not Path("plan/pictures").exists()
    Path("mine").mkdir()
    with pytest.raises(ns.OutputError, match=r"found none of plan.json in it"):
        plan("mine", force=True)


def test_a_plan_that_is_being_run_is_neither_run_nor_replaced(digits: dict[str, Any]) -> None:
    """Else its run would end in the folder of another plan."""
    plan(pictures=0)
    calls: list[Callable[[], object]] = [
        lambda: plan(pictures=0, hold_out=0.5, force=True),
        lambda: ns.train("plan"),
        lambda: ns.train("plan", force=True),
    ]
    before = Path("plan/plan.json").read_bytes()
    with alone_with(Path("plan")):
        for call in calls:
            with pytest.raises(
                ns.TrainingError, match=r"^plan: another process runs this training$"
            ):
                call()
    assert Path("plan/plan.json").read_bytes() == before
    assert [name for name in os.listdir(".") if "plan" in name] == ["plan"]
    plan(pictures=0, hold_out=0.5, force=True)
    assert Path("plan/plan.json").read_bytes() != before


def test_a_plan_whose_files_changed_is_refused(digits: dict[str, Any]) -> None:
    plan(pictures=0)
    Path("truth.json").write_text(json.dumps(digits) + " ")
    with pytest.raises(ns.FormatError, match=r"truth.json: has changed since .*; plan again"):
        open_plan(Path("plan"))
    for text, words in (
        ("{", "is not a training plan"),
        ("[]", "is not a training plan"),
        ('{"netsurgery": "0.0.1", "format": 1}', "of netsurgery 0.0.1"),
        (
            f'{{"netsurgery": "{ns.__version__}", "format": 1}}',
            "of format 1, expected 3; plan again",
        ),
        (f'{{"netsurgery": "{ns.__version__}", "format": 3}}', "is not a training plan"),
    ):
        Path("plan/plan.json").write_text(text)
        with pytest.raises(ns.FormatError, match=words):
            read_plan(Path("plan"))
    with pytest.raises(ns.FormatError, match=r"holds no training plan \(no plan.json\)"):
        read_plan(Path("images"))


def test_the_command(digits: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    words = f"train plan {NET} {MODEL} --annotations truth.json --images images --scale 0.5-1.2"
    assert run([*words.split(), "-o", "plan", "--background-class", "10"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"^7 +3 +3 +0$", out, re.MULTILINE)
    assert "trains data 8x1x88x88" in out
    assert "1 picture without an object, such as empty.png" in out
    assert "wrote plan/plan.json" in out
    assert out.endswith("\nnext: netsurgery train run plan\n")
    assert run([*words.split(), "-o", "plan"]) == 1
    assert capsys.readouterr().err == "error: plan: exists already; --force replaces it\n"
    for wrong in ("--scale 3", "--near x", "--background 2", "--rate 0", "--hold-out 1"):
        assert run([*words.split(), "-o", "other", *wrong.split()]) == 2
    assert run([*words.split(), "-o", "other", "--near", "0.5"]) == 1
    assert "near 0.5, far 0.3: expected 0 <= near <= far" in capsys.readouterr().err
    assert not Path("other").exists()


def test_options_have_the_defaults_of_the_library(
    digits: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    words = f"train plan {NET} {MODEL} --annotations truth.json --images images --pictures 0 -o one"
    assert run([*words.split(), "-q"]) == 0
    ns.train_plan(NET, MODEL, "two", annotations="truth.json", images="images", pictures=0)
    assert Path("one/plan.json").read_text() == Path("two/plan.json").read_text()


def test_preprocessing_is_kept(digits: dict[str, Any], color_net: tuple[str, str]) -> None:
    """In plan.json, a mean by its path."""
    np.save("mean.npy", np.full((3, 20, 20), 9, np.float32))
    settings = ns.Settings(raw_scale=255, channel_swap="bgr", mean="mean.npy", input_scale=0.5)
    truth = {"classes": ["a"], "pictures": [{"file": "a.png"}]}
    Path("truth.json").write_text(json.dumps(truth))
    result = ns.train_plan(
        *color_net, "plan", annotations="truth.json", images="images", settings=settings
    )
    assert read_plan(Path("plan")) == result.plan
    assert result.plan.settings["mean"] == str(Path("mean.npy").absolute())
    assert "no preprocessing" not in " ".join(result.notes)
    data = open_plan(Path("plan")).inputs(0)["data"]
    pixels = data / 0.5 + 9
    assert -1e-3 < pixels.min() < pixels.max() < 255.01
    np.save("mean.npy", np.zeros((3, 20, 20), np.float32))
    with pytest.raises(ns.FormatError, match=r"mean.npy: has changed since"):
        open_plan(Path("plan"))


def test_a_color_net_without_preprocessing_is_noted(
    digits: dict[str, Any], color_net: tuple[str, str]
) -> None:
    """As by all that run one; the demo's is fed grey."""
    truth = {"classes": ["a"], "pictures": [{"file": "a.png"}]}
    Path("truth.json").write_text(json.dumps(truth))
    words = {"annotations": "truth.json", "images": "images", "pictures": 0}
    result = ns.train_plan(*color_net, "plan", **words)  # type: ignore[arg-type]
    assert [note for note in result.notes if "the net is fed RGB of 0..1" in note]
    grey = ns.train_plan(NET, MODEL, "grey", **words)  # type: ignore[arg-type]
    assert "no preprocessing" not in " ".join(grey.notes)


def test_settings_of_this_net_are_taken(
    digits: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """From netsurgery.toml, where it names the net; a fully convolutional one's window too."""
    ns.convert(NET, MODEL, ".", engine="embedded", settings=ns.Settings(raw_scale=2))
    net, model = "digits_deploy_full_conv.prototxt", "digits_full_conv.caffemodel"
    words = "--annotations truth.json --images images --background-class 10 --pictures 0 -q"
    for each, folder in (((net, model), "own"), ((NET, MODEL), "plain")):
        assert run(["train", "plan", *each, "-o", folder, *words.split()]) == 0
    own, plain = (read_plan(Path(folder)) for folder in ("own", "plain"))
    assert (own.settings, plain.settings) == ({"raw_scale": 2.0}, {})
    assert own.window == plain.window == (32, 32)
    with np.load("own/truth.npz") as first, np.load("plain/truth.npz") as second:
        assert all(np.array_equal(first[name], second[name]) for name in first)
