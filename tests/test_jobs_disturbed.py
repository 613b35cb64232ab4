"""What may happen to a job besides kills: its folder moves, the disk is full, a second driver."""

from __future__ import annotations

import errno
import os
import shutil
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from killed_jobs import JOB

import netsurgery as ns
from netsurgery.cli import run
from netsurgery.engines.contract import EngineOptions
from netsurgery.errors import JobError, OutputError
from netsurgery.io.lease import LEASE
from netsurgery.verbs.jobs.store import open_store
from netsurgery.verbs.jobs.worker import JobAssignment, JobWorker

ENGINE = EngineOptions("embedded", threads=1)
PICTURES = ["a.png", "b.png", "c.png"]


@pytest.fixture(autouse=True)
def folder(converted_net: Path, repo_root: Path) -> Path:
    """A current folder with a converted net and three pictures."""
    for name in PICTURES:
        shutil.copy(repo_root / "examples/digits_canvas.png", name)
    return converted_net


def planned(pictures: list[str] = PICTURES, place: str = JOB) -> ns.Job:
    settings = ns.Settings("digits_deploy_full_conv.prototxt", "digits_full_conv.caffemodel")
    outputs = {"npy": "maps/", "html": "maps.html"}
    return ns.plan_job(pictures, settings, place, outputs=outputs, engine=ENGINE)


def worker(place: str = JOB) -> JobWorker:
    return JobWorker(JobAssignment(place, ENGINE, "run", None, True))


@pytest.mark.parametrize("done", [0, 1])
def test_no_folder_without_a_plan_takes_the_place_of_one_that_moved(done: int) -> None:
    job = planned()
    with worker() as moved:
        for chunk in moved.folder.chunks[:done]:
            assert moved.do(chunk)
        Path(JOB).rename("elsewhere.job")
        with pytest.raises(JobError, match=f"^{JOB}: is not there any more; "):
            moved.do(moved.folder.chunks[done])
    with pytest.raises(JobError, match=f"^{JOB}: is not there any more; "):
        job._folder.chunks[done].fail(done, "an error")
    assert not Path(JOB).exists()
    resumed = ns.open_job("elsewhere.job")
    assert (resumed.status().done, resumed.resume(workers=1).done) == (done, 3)


def test_two_drivers_of_one_job_write_the_same_outputs() -> None:
    """The same command twice, begun before the outputs were there: neither is in the other's way,
    and what is not an output of the job is."""
    first, second, third = planned(), planned(), planned()
    first.resume(workers=1)
    written = first.merge().written
    assert second.resume(workers=1).done == 3
    before = {name: os.stat(name).st_mtime_ns for name in written}
    second.merge()
    assert {name: os.stat(name).st_mtime_ns for name in written} == before
    with pytest.raises(OutputError, match=r"a\.npy: exists already; "):
        ns.open_job(JOB).merge()
    Path("maps/b.npy").write_bytes(b"of somebody else")
    with pytest.raises(OutputError, match=r"b\.npy: exists already, with another content"):
        third.merge()


@pytest.mark.parametrize("root", ["", "file://"])
def test_a_lease_from_the_future_is_over(root: str, tmp_path: Path) -> None:
    """Of a holder on another machine that died before the clock of the files was set back."""
    store = open_store(f"{root}{tmp_path}/there")
    store.prepare()
    assert store.take("parts/0/lease", {}) is not None
    path = tmp_path / "there/parts/0/lease"
    for ahead, is_held in ((0, True), (LEASE / 2, True), (LEASE * 2, False)):
        path.write_text('{"place": "elsewhere", "pid": 1}')
        os.utime(path, (time.time() + ahead, time.time() + ahead))
        assert store.is_held("parts/0/lease") == is_held


@pytest.mark.parametrize(
    "note",
    ['{"x": 1}', '{"place": 3, "pid": 1}', '{"place": "x", "pid": null}', "[1]", "[" * 9999, ""],
)
def test_a_lease_that_names_nobody(note: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever wrote it: it is waited for as one that was just taken, and nobody is shown."""
    job = planned()
    lease = Path(JOB, "parts/00000/lease")
    lease.parent.mkdir(parents=True)
    lease.write_text(note)
    assert run(["job", "status", JOB]) == 0
    assert capsys.readouterr().out == f"{JOB}: 0 of 3 pictures done, 3 left\n"
    os.utime(lease, (0, 0))
    assert job.resume(workers=1).done == 3


@pytest.mark.parametrize("memory", ["1B", "10KiB"])
def test_memory_that_is_too_little_for_several(
    memory: str, capsys: pytest.CaptureFixture[str]
) -> None:
    planned()
    assert run(["job", "resume", JOB, "--max-memory", memory, "--workers", "2"]) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1, err
    assert err.endswith("; 2 workers share the memory, fewer (--workers) have more each\n")


@pytest.mark.parametrize("module", ["numpy", "PIL", "onnxruntime", "html", "tempfile"])
def test_no_module_beside_the_pictures_is_imported(module: str) -> None:
    job = planned()
    Path(f"{module}.py").write_text("open('imported', 'w')")
    assert job.resume(workers=1).done == 3
    assert not Path("imported").exists()


def test_no_room_for_a_copy_is_not_the_pictures_fault(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = import_module("fsspec.implementations.local").LocalFileSystem

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    picture, place = f"file://{folder}/a.png", f"file://{folder}/there/{JOB}"
    job = planned([picture], place)
    with monkeypatch.context() as patch:
        patch.setattr(local, "get_file", full)
        with worker(place) as of_job, pytest.raises(OutputError, match=r"^no room for a copy of "):
            of_job.do_all()
    assert job.status().to_json()["left"] == 1
    assert job.resume(workers=1).done == 1
