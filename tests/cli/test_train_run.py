"""`train run`: what it leaves in the folder, and that nothing which stops it changes that."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import netsurgery as ns
from netsurgery.cli import run
from netsurgery.training.snapshots import snapshots

pytestmark = pytest.mark.caffe

STEPS = 16
WORDS = ["--threads", "1", "--snapshot", "4", "--evaluate", "8"]


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory, repo_root: Path, caffe_python: str) -> Path:
    """A folder with a plan for the demo net, of the demo's sheet."""
    folder = tmp_path_factory.mktemp("planned")
    canvas = repo_root / "examples/digits_canvas.png"
    for name in ("a.png", "b.png"):
        shutil.copy(canvas, folder / name)
    digits = json.loads(canvas.with_suffix(".json").read_text())["digits"]
    boxes = [{"class": str(each["digit"]), "box": each["box"]} for each in digits]
    pictures = [{"file": name, "boxes": boxes} for name in ("a.png", "b.png")]
    classes = [str(digit) for digit in range(10)]
    (folder / "truth.json").write_text(json.dumps({"classes": classes, "pictures": pictures}))
    ns.train_plan(
        repo_root / "prototxt/digits_deploy.prototxt",
        repo_root / "models/digits/digits.caffemodel",
        folder / "plan",
        annotations=folder / "truth.json",
        images=folder,
        background_class="10",
        rules=ns.TruthRules(scale=(0.5, 1.2)),
        solver=ns.SolverSettings(rate=0.001, steps=STEPS),
        batch=2,
        hold_out=0.5,
        pictures=0,
    )
    return folder


@pytest.fixture(scope="module")
def whole(planned: Path) -> Path:
    """The plan run to its end."""
    folder = planned / "whole"
    shutil.copytree(planned / "plan", folder)
    assert run(["train", "run", str(folder), *WORDS, "-q"]) == 0
    return folder


@pytest.fixture
def plan(planned: Path, tmp_path: Path) -> Path:
    shutil.copytree(planned / "plan", tmp_path / "plan")
    return tmp_path / "plan"


def test_the_folder_has_a_net_that_maps(
    whole: Path, tmp_path: Path, repo_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert [each.step for each in snapshots(whole)] == [16, 12]
    settings = ns.read_settings(whole / "netsurgery.toml")
    assert settings.window == (32, 32)
    canvas = repo_root / "examples/digits_canvas.png"
    mapped = ns.classify_map(canvas, settings, size="image", engine="embedded")
    truth = json.loads(canvas.with_suffix(".json").read_text())["digits"]
    best = mapped.argmax()
    assert [best[tuple(each["cell"])] for each in truth] == [each["digit"] for each in truth]
    # A run that is finished is gone on with, and there is nothing left to do.
    capsys.readouterr()
    before = (whole / "model.caffemodel").read_bytes()
    assert run(["train", "run", str(whole), *WORDS, "--resume", "--loss-map"]) == 0
    out = capsys.readouterr().out
    assert f"{whole}: 16 of 16 steps; cells of the held-out pictures right: " in out
    assert "found before" in out
    assert f"wrote {whole}/deploy.prototxt" in out
    # The pictures were learnt from at their own size, at which the map is then made.
    assert out.endswith(f"\nnext: cd {whole} && netsurgery classify-map IMAGE --size image\n")
    assert (whole / "model.caffemodel").read_bytes() == before
    held_out = json.loads((whole / "plan.json").read_text())["held_out"]
    assert os.listdir(whole / "loss") == held_out
    with Image.open(whole / "loss" / held_out[0]) as drawn:
        assert drawn.size[0] > 288


def test_a_net_of_pixels_is_trained_by_masks(
    tmp_path: Path, repo_root: Path, caffe_python: str
) -> None:
    """Of `convert --upsample --skip`: each pixel has its mask's class, and the skip learns."""
    canvas = repo_root / "examples/digits_canvas.png"
    mask = np.full((192, 288), 10, np.uint8)
    for each in json.loads(canvas.with_suffix(".json").read_text())["digits"]:
        left, top, right, bottom = each["box"]
        mask[top:bottom, left:right] = each["digit"]
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    shutil.copy(canvas, tmp_path / "images/a.png")
    Image.fromarray(mask).save(tmp_path / "masks/a.png")
    (tmp_path / "masks/classes.txt").write_text("\n".join(map(str, range(11))))
    net, model = "prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel"
    paths = ns.convert(
        repo_root / net, repo_root / model, tmp_path / "net", upsample=True, skip=["pool1"],
        input_size=(64, 64),
    ).paths  # fmt: skip
    upsampled = paths.prototxt, paths.weights
    ns.train_plan(
        *upsampled, tmp_path / "plan", annotations=tmp_path / "masks", images=tmp_path / "images",
        background_class="10", batch=2, pictures=0, solver=ns.SolverSettings(steps=2),
    )  # fmt: skip
    with np.load(tmp_path / "plan/truth.npz") as truth:
        assert np.array_equal(truth["a.png"], mask)
    ns.train(tmp_path / "plan", engine=ns.EngineOptions("caffe", threads=1))
    trained = tmp_path / "plan/deploy.prototxt", tmp_path / "plan/model.caffemodel"
    with ns.Net(*upsampled) as before, ns.Net(*trained) as after:
        assert after.blobs["prob"].shape == (1, 11, 64, 64)
        for name in ("score_pool1", "ip2-conv", "conv1"):
            assert not np.array_equal(after.params[name][0], before.params[name][0]), name
        for name in ("ip2-conv_spread", "upscore_pool1"):  # bilinear, and they stay so
            assert np.array_equal(after.params[name][0], before.params[name][0]), name


def started(plan: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "netsurgery", "train", "run", str(plan), *WORDS, *more]
    return subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
        # A shell in the background has it ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip


def steps(plan: Path) -> int:
    log = plan / "log.jsonl"
    return log.read_text().count('"losses"') if log.exists() else 0


def wait_for(process: subprocess.Popen[str], reached: Callable[[], bool]) -> None:
    until = time.monotonic() + 120
    while not reached():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < until
        time.sleep(0.002)


def test_a_run_that_was_interrupted_and_killed_ends_as_one_that_was_not(
    whole: Path, plan: Path
) -> None:
    process = started(plan)
    wait_for(process, lambda: steps(plan) >= 2)
    process.send_signal(signal.SIGINT)
    words = process.communicate()[1]
    saved = snapshots(plan)[0].step
    assert process.returncode == 130
    assert 2 <= saved < STEPS
    assert words == (
        f"saved after step {saved} of 16; `netsurgery train run {plan} --evaluate 8 --snapshot 4 "
        "--threads 1 --resume` goes on\n"
    )
    process = started(plan, "--resume", "-q")
    wait_for(process, lambda: steps(plan) > saved + 1)
    process.kill()
    assert process.communicate()[1] == ""
    assert run(["train", "run", str(plan), *WORDS, "--resume", "-q"]) == 0
    for name in ("model.caffemodel", "log.jsonl", "deploy.prototxt"):
        assert (plan / name).read_bytes() == (whole / name).read_bytes(), name
    left = [name for name in os.listdir(plan / "snapshots") if name.startswith(".")]
    assert left == []


def test_drawing_losses_can_be_interrupted(whole: Path, plan: Path) -> None:
    shutil.rmtree(plan)
    shutil.copytree(whole, plan)
    script = """
import sys, time
from netsurgery.__main__ import main
from netsurgery.verbs import train

def draw(folder, feed, scores):
    (folder / "drawing").touch()
    time.sleep(100)

train.write_losses = draw
sys.argv = ["netsurgery", *sys.argv[1:]]
main()
"""
    words = ["train", "run", str(plan), *WORDS, "-q", "--resume", "--loss-map"]
    process = subprocess.Popen(
        [sys.executable, "-c", script, *words], stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    try:
        wait_for(process, (plan / "drawing").exists)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=50)[1]
    finally:
        process.kill()
    assert process.returncode == 130
    assert said == (
        f"saved after step 16 of 16; `netsurgery train run {plan} --evaluate 8 --snapshot 4 "
        "--loss-map --threads 1 --resume` goes on\n"
    )


def test_what_cannot_be_run_is_said_in_one_line(
    whole: Path, plan: Path, planned: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["train", "run", str(planned)]) == 1
    assert "holds no training plan" in capsys.readouterr().err
    assert run(["train", "run", str(whole)]) == 1
    assert capsys.readouterr().err == (
        f"error: {whole}: holds a run that is at step 16; --resume goes on with it, --force begins "
        "from scratch\n"
    )
    assert run(["train", "run", str(whole), "--resume", "--force"]) == 1
    assert "--resume and --force exclude each other" in capsys.readouterr().err
    picture = planned / "a.png"
    content = picture.read_bytes()
    try:
        Image.fromarray(np.zeros((50, 50), np.uint8)).save(picture)
        assert run(["train", "run", str(plan), "-q"]) == 1
    finally:
        picture.write_bytes(content)
    assert str(picture) in capsys.readouterr().err
    assert not (plan / "model.caffemodel").exists()


def test_what_needs_pictures_that_are_held_out_is_refused_without_any(
    planned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before a step is done: at the end there would be an empty folder, or nothing at all."""
    record = json.loads((planned / "plan/plan.json").read_text())
    record["held_out"] = []
    (tmp_path / "plan.json").write_text(json.dumps(record))
    for option in (["--loss-map"], ["--evaluate", "2"]):
        assert run(["train", "run", str(tmp_path), *option]) == 1
        assert capsys.readouterr().err == (
            f"error: {option[0]}: no picture of {tmp_path} is held out; leave it out, or plan "
            "again with a larger --hold-out\n"
        )
    assert os.listdir(tmp_path) == ["plan.json"]


def test_a_run_stays_where_there_is_no_caffe_to_begin_another(
    whole: Path, plan: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(plan)
    shutil.copytree(whole, plan)
    words = ["--force", "--caffe-python", str(plan / "nowhere"), "-q"]
    assert run(["train", "run", str(plan), *words]) != 0
    assert "nowhere" in capsys.readouterr().err
    assert [each.step for each in snapshots(plan)] == [16, 12]
    assert (plan / "log.jsonl").read_bytes() == (whole / "log.jsonl").read_bytes()


def test_numbers_that_run_away_are_an_error_with_the_layer(
    planned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = json.loads((planned / "plan/plan.json").read_text())
    record["solver"]["rate"] = 1e30
    (tmp_path / "plan.json").write_text(json.dumps(record))
    assert run(["train", "run", str(tmp_path), *WORDS, "-q"]) == 1
    err = capsys.readouterr().err
    assert "numbers are not finite any more, first " in err
    assert "of layer '" in err
    assert err.count("\n") == 1
    assert "nothing was saved yet; try a lower --rate" in err
