"""What a job says of its net and its pictures is what one process says of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import netsurgery as ns
from netsurgery.cli import run
from netsurgery.engines import ort
from netsurgery.engines.contract import EngineOptions
from netsurgery.maps import net_runner
from netsurgery.verbs.jobs.notes import NoteKeeper, first_notes
from netsurgery.verbs.jobs.store import open_store

#: Of V0, which is noted; its blob joins maps of two strides, so that its cells have no windows.
TWO_STRIDES = """
name: "two" input: "data" input_dim: 1 input_dim: 3 input_dim: 12 input_dim: 12
layers { bottom: "data" top: "a" layer {
  name: "a" type: "conv" num_output: 2 kernelsize: 5 weight_filler { type: "xavier" } } }
layers { bottom: "data" top: "b" layer {
  name: "b" type: "conv" num_output: 2 kernelsize: 2 stride: 2 pad: 2
  weight_filler { type: "xavier" } } }
layers { bottom: "a" bottom: "b" top: "both" layer { name: "both" type: "concat" } }
"""
CLASSES = """
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 1 dim: 3 dim: 12 dim: 12 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 3 kernel_size: 5 weight_filler { type: "xavier" } } }
layer { name: "prob" type: "Softmax" bottom: "conv" top: "prob" }
"""
PICTURES = ["a.png", "b.png", "none.png", "c.png", "d.png"]

#: Of which net, with which words, by how many workers, and what begins each of the notes.
CASES = {
    "pictures": (
        ["--prototxt", "two", "--weights", "two.caffemodel", "--mean", "mean.npy", "--json"],
        (1, 2),
        ("the net is of Caffe's first generation", "for a reason", "the mean is 9x9",
         "the total stride of", "a picture of 16x40 is made 12x12"),
    ),
    "no records": (
        ["--prototxt", "two", "--weights", "two.caffemodel", "--raw-scale", "1"],
        (1,),
        ("the net is of Caffe's first generation", "for a reason",
         "a picture of 16x40 is made 12x12"),
    ),
    "tiles": (
        ["--prototxt", "classes", "--weights", "classes.caffemodel", "--boxes", "{}.json",
         "--threshold", "0.9", "--size", "image", "--tile", "24", "--json"],
        (2,),
        ("no class of the net is said to be", "for a reason", "no preprocessing: the net is fed",
         "the net was run in 2 tiles"),
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two nets of three channels with weights, a mean of another size, and pictures."""
    folder = tmp_path_factory.mktemp("notes")
    for name, text in (("two", TWO_STRIDES), ("classes", CLASSES)):
        (folder / name).write_text(text)
        ns.init(folder / name, seed=0).save(folder / f"{name}.caffemodel")
    np.save(folder / "mean.npy", np.full((3, 9, 9), 100, np.float32))
    sizes = [(16, 16), (16, 40), (40, 16), (16, 90)]
    for name, size in zip([name for name in PICTURES if name != "none.png"], sizes, strict=True):
        Image.fromarray(np.zeros((*size, 3), np.uint8)).save(folder / name)
    return folder


@pytest.fixture
def folder(made_once: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A current folder with links to the same, and an engine that was not the first choice."""
    for path in made_once.iterdir():
        (tmp_path / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)

    def fall_back(options: EngineOptions, *_: object) -> ort.EmbeddedEngine:
        return ort.open_engine(options, "for a reason")

    monkeypatch.setattr(net_runner, "open_engine", fall_back)
    return tmp_path


def said(capsys: pytest.CaptureFixture[str], *words: str, code: int = 1) -> tuple[list[str], str]:
    """The notes that a command prints, and its output."""
    capsys.readouterr()
    assert run([*words]) == code
    out, err = capsys.readouterr()
    notes = [line.removeprefix("note: ") for line in err.splitlines() if line.startswith("note: ")]
    return notes, out


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("case", CASES)
def test_a_job_says_what_one_process_says(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    words, crews, beginnings = CASES[case]
    expected, records = said(capsys, "classify-map", *PICTURES, *(w.format(0) for w in words))
    assert len(expected) == len(beginnings)
    for beginning in beginnings:
        assert any(note.startswith(beginning) for note in expected), beginning
    for workers in crews:
        job = [w.format(workers) for w in (*words, "--job", "job{}", "--workers", "{}")]
        notes, out = said(capsys, "classify-map", *PICTURES, *job)
        assert sorted(notes) == sorted(expected), workers
        if "--json" in words:
            assert out == records


@pytest.mark.usefixtures("folder")
def test_notes_stay_with_the_pictures(capsys: pytest.CaptureFixture[str]) -> None:
    words, *_ = CASES["pictures"]
    expected, _ = said(capsys, "classify-map", *PICTURES, *words, "--job", "job", "--workers", "1")
    of_net = ["the net is of Caffe's first generation", "for a reason"]
    of_pictures = [note for note in expected if not note.startswith(tuple(of_net))]
    with_records = ["job", "merge", "job", "--records", "a.jsonl"]
    assert sorted(said(capsys, *with_records, code=0)[0]) == sorted(of_pictures)
    windows = "the total stride of"
    resumed, _ = said(capsys, "job", "resume", "job")
    assert resumed == [note for note in of_pictures if not note.startswith(windows)]
    job = ns.open_job("job")
    assert job.notes == []
    assert sorted(job.picture_notes()) == ["mean", "shape", "windows"]
    for quiet in (["job", "resume", "job", "-q"], [*with_records, "--force", "-q"]):
        assert said(capsys, *quiet, code=int("resume" in quiet)) == ([], "")


def test_why_it_is_this_engine_does_not_make_another_job(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = ns.Settings("classes", "classes.caffemodel", raw_scale=1)
    assert ns.plan_job("a.png", settings, "job").notes == ["for a reason"]
    monkeypatch.setattr(net_runner, "open_engine", lambda options, _: ort.open_engine(options))
    assert ns.plan_job("a.png", settings, "job").notes == []
    assert json.loads((folder / "job/plan.json").read_text())["engine_note"] == "for a reason"


@pytest.mark.parametrize("root", ["", "file://"])
def test_of_each_kind_the_first_picture_is_named(root: str, tmp_path: Path) -> None:
    """By whichever worker, in whichever order: few files say so."""
    store = open_store(f"{root}{tmp_path}")
    first, second = NoteKeeper(store), NoteKeeper(store)
    for index in (7, 8, 2, 9, 3):
        first.keep(index, {"shape": f"shape {index}", **({"mean": "mean 9"} if index == 9 else {})})
    second.keep(5, {"mean": "mean 5", "scales": "scales 5"})
    assert sorted(store.names("notes")) == [f"000000{index}.json" for index in (2, 5, 7, 9)]
    assert first_notes(store) == {"shape": "shape 2", "mean": "mean 5", "scales": "scales 5"}
    second.drop(5)
    first.drop(8)
    assert first_notes(store) == {"shape": "shape 2", "mean": "mean 9"}
    second.keep(6, {"mean": "mean 6"})
    assert first_notes(store)["mean"] == "mean 6"
    # As after a power cut, by hand, or in work.
    (tmp_path / "notes/0000006.json").write_bytes(b"")
    (tmp_path / "notes/0000001.json").write_text('{"shape": 1}')
    (tmp_path / "notes/0000000.json.netsurgery-tmp").write_text('{"shape": "half"}')
    assert first_notes(store) == {"shape": "shape 2", "mean": "mean 9"}
    assert first_notes(open_store(f"{root}{tmp_path}/none")) == {}
