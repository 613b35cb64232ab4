"""No output of a job's merge replaces a file that the job was planned from, however late it is."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from killed_jobs import JOB
from PIL import Image, ImageFont

import netsurgery as ns
from netsurgery.cli import run
from netsurgery.errors import OutputError
from netsurgery.verbs.outputs import file_outputs

#: What a job can write of one picture: the option, and the ending of its file.
OUTPUTS = {
    **{f"--{output.name}": output.suffix for output in file_outputs("of_map") if not output.signs},
    "--records": ".jsonl",
}
#: All that the job below is planned from, the picture first.
INPUTS = [
    "a.png", "list.txt", "net.prototxt", "net.caffemodel", "mean.npy", "labels.txt",
    "own.ttf", "netsurgery.toml",
]  # fmt: skip


@pytest.fixture(scope="module")
def planned_once(tmp_path_factory: pytest.TempPathFactory, repo_root: Path) -> Path:
    """A folder with a job of one picture, done, with every input and output that there can be."""
    folder = tmp_path_factory.mktemp("planned")
    ns.convert(
        repo_root / "prototxt/digits_deploy.prototxt",
        repo_root / "models/digits/digits.caffemodel",
        engine="embedded", prototxt_out=folder / "net.prototxt",
        weights_out=folder / "net.caffemodel",
    )  # fmt: skip
    font = ImageFont.load_default(10)
    assert isinstance(font, ImageFont.FreeTypeFont)
    (folder / "own.ttf").write_bytes(font.font_bytes)
    np.save(folder / "mean.npy", np.array([3.0]))
    (folder / "labels.txt").write_text("".join(f"digit {number}\n" for number in range(11)))
    Image.effect_noise((40, 40), 90).save(folder / "a.png")
    for name in ("list.txt", "alike.txt"):
        (folder / name).write_text("a.png\n")
    (folder / "netsurgery.toml").write_text(
        '[model]\nprototxt = "net.prototxt"\nweights = "net.caffemodel"\n'
        '[preprocess]\nmean = "mean.npy"\n[classes]\nlabels = "labels.txt"\n'
    )
    return folder


@pytest.fixture
def folder(planned_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(planned_once, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@contextmanager
def standard_input(fd: int) -> Iterator[None]:
    """This file is the process's standard input."""
    before = os.dup(0)
    os.dup2(fd, 0)
    try:
        yield
    finally:
        os.dup2(before, 0)
        os.close(before)


def plan(*words: str, job: str = JOB) -> int:
    outputs = [
        word for name, end in OUTPUTS.items() if end != ".jsonl" for word in (name, f"m{end}")
    ]
    call = ["classify-map", *words, *outputs, "--threshold", "0.5", "--font", "own.ttf"]
    return run([*call, "--engine", "embedded", "--job", job, "--workers", "1", "-q"])


@pytest.mark.parametrize("pictures", ["list.txt", "/dev/stdin"])
def test_no_output_replaces_what_the_job_was_planned_from(
    folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
    capsys: pytest.CaptureFixture[str],
    pictures: str,
) -> None:
    """From another folder, and by a name of the file that the plan does not know."""
    with open("list.txt", "rb") as redirected, standard_input(redirected.fileno()):
        assert plan("--from", pictures) == 0
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    os.chdir(elsewhere)
    before = {name: (folder / name).read_bytes() for name in INPUTS}
    for option, suffix in OUTPUTS.items():
        for number, name in enumerate(INPUTS):
            out = Path(f"out{suffix}")
            (os.link if number % 2 else os.symlink)(folder / name, out)
            assert run(["job", "merge", str(folder / JOB), option, str(out), "--force"]) == 1
            assert capsys.readouterr().err.startswith(f"error: {out}: is an input too ("), name
            assert out.samefile(folder / name)
            out.unlink()
    assert {name: (folder / name).read_bytes() for name in INPUTS} == before


def test_files_of_urls_are_not_replaced(folder: Path) -> None:
    """Of file://, whose pictures and whose job are files of this machine."""
    settings, url = ns.Settings("net.prototxt", "net.caffemodel"), f"file://{folder}/a.job"
    picture = f"file://{folder}/a.png"
    Path("out.npy").symlink_to("a.png")
    how: dict[str, Any] = {"engine": "embedded", "outputs": {"npy": "out.npy"}, "force": True}
    with pytest.raises(OutputError, match=r"^out\.npy: is an input too \(file:///"):
        ns.plan_job(picture, settings, url, **how)
    job = ns.plan_job(picture, settings, url, **{**how, "outputs": {"npy": "map.npy"}})
    job.resume(workers=1)
    with pytest.raises(OutputError, match=r"^out\.npy: is an input too \(/"):
        job.merge({"npy": "out.npy"}, force=True)
    copies = os.listdir("a.job/net")
    for name in ("plan.json", "parts/00000/0000000.npy", f"net/{copies[0]}"):
        with pytest.raises(OutputError, match="is for files of the job"):
            job.merge(records=f"a.job/{name}", force=True)


def test_records_and_an_output_are_two_files(folder: Path) -> None:
    settings = ns.Settings("net.prototxt", "net.caffemodel")
    job = ns.plan_job("a.png", settings, JOB, outputs={"npy": "a.npy"}, engine="embedded")
    job.resume(workers=1)
    with pytest.raises(OutputError, match=r"is the output .* too"):
        job.merge({"npy": "a.npy"}, records="./a.npy", force=True)
    assert not Path("a.npy").exists()


def test_the_same_pictures_of_another_list_are_another_job(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whose plan would not know that list; the same one, by another name, is."""
    assert plan("--from", "list.txt") == 0
    assert plan("--from", "./list.txt", "--force") == 0
    assert plan("--from", "alike.txt", "--force") == 1
    assert f"{JOB}: holds a job of another plan (its inputs)" in capsys.readouterr().err
