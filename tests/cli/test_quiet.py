"""-q: a command that succeeds prints nothing at all, not even notes."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
from command_tree import every_command
from every_command import COMMANDS, make_good
from fakes import Terminal
from PIL import Image

import netsurgery
from netsurgery.cli import run

#: Runs with something to note: a squeezed picture without preprocessing, a V0 net, a
#: netsurgery.toml that is there already.
NOTED: dict[str, list[str]] = {
    "classify-map": [
        "wide.png --prototxt good.prototxt --weights good.caffemodel --blob conv --npy out.npy "
        "--engine embedded"
    ],
    "convert": ["good.prototxt good.caffemodel -o kept --engine embedded"],
    "features": [
        "wide.png --prototxt good.prototxt --weights good.caffemodel --blob conv --force "
        "-o out.npz --engine embedded"
    ],
    "inspect": ["v0.prototxt", "good.caffemodel --stats"],
    "check": ["v0.prototxt"],
    "diff": ["v0.prototxt v0.prototxt --text"],
    "presets": [""],
    "cache": [""],
    "job status": ["grey.job"],
    "job resume": ["grey.job"],
    "job merge": ["grey.job --npy merged.npy --force"],
    "evaluate": [
        ". --annotations truth.json --classes a=1 --blob conv --prototxt good.prototxt "
        "--weights good.caffemodel --engine embedded"
    ],
    "train plan": [
        "good.prototxt good.caffemodel --annotations truth.json --images . -o plan --force"
    ],
    "train report": ["plan"],
    "caffe info": [""],
    "caffe use": ["embedded"],
    "caffe forget": [""],
}


V0 = """input: "x" input_dim: [1, 1, 8, 8]
layers { layer { name: "conv" type: "conv" num_output: 2 kernelsize: 3 } bottom: "x" top: "conv" }
"""


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the commands are given, made once; the job's files keep their place here."""
    folder = tmp_path_factory.mktemp("inputs")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        make_inputs()
    return folder


def make_inputs() -> None:
    make_good(0)
    Path("v0.prototxt").write_text(V0)
    Path("kept").mkdir()
    Path("kept/netsurgery.toml").write_text("[preprocess]\nraw_scale = 1.0\n")
    Image.new("L", (30, 9)).save("wide.png")
    settings = netsurgery.Settings("good.prototxt", "good.caffemodel")
    job = netsurgery.plan_job(
        "grey.png", settings, "grey.job", outputs={"npy": "grey.npy"}, blob="conv",
        engine="embedded",
    )  # fmt: skip
    job.resume(workers=1)
    truth = {"classes": ["a"], "pictures": [{"file": "grey.png"}]}
    Path("truth.json").write_text(json.dumps(truth))
    words = "good.prototxt good.caffemodel --annotations truth.json --images . -o plan -q"
    assert run(["train", "plan", *words.split()]) == 0
    Path("plan/log.jsonl").write_text('{"step": 1, "losses": {"loss": 0.5}, "cells": 3}\n')


@pytest.fixture
def folder(inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(inputs, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path


EVERY = [
    (command, words.replace("NET", "good.prototxt"))
    for source in (COMMANDS, NOTED)
    for command, several in source.items()
    for words in several
]


@pytest.mark.parametrize(("command", "words"), EVERY, ids=lambda words: words.replace(" ", "_"))
def test_quiet_is_silent(
    command: str, words: str, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code = run([*command.split(), *words.split(), "-q"])
    assert capfd.readouterr() == ("", "")
    assert code == 0


@pytest.mark.parametrize(("command", "words"), EVERY, ids=lambda words: words.replace(" ", "_"))
def test_quiet_is_silent_on_a_terminal(
    command: str, words: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where progress and questions would show."""
    streams = {"stdout": Terminal(), "stderr": Terminal()}
    for name, stream in streams.items():
        monkeypatch.setattr(sys, name, stream)
    assert run([*command.split(), *words.split(), "-q"]) == 0
    assert [stream.getvalue() for stream in streams.values()] == ["", ""]


def test_every_command_that_takes_it_is_run() -> None:
    quiet = {
        name
        for name, command in every_command().items()
        if any(param.name == "quiet" for param in command.params)
    }
    # The one needs the network, the other real Caffe: test_train_run.py has it.
    run_here = {"train plan" if command == "train" else command for command, _ in EVERY}
    assert run_here == quiet - {"caffe install", "train run"}
