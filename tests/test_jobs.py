"""Jobs: what many workers write is, byte for byte, what one process writes, whoever is killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Literal

import pytest
from killed_jobs import JOB, KilledJob

import netsurgery as ns
from netsurgery.cli import run
from netsurgery.engines.contract import EngineOptions
from netsurgery.verbs.jobs import plan as plan_module
from netsurgery.verbs.jobs.folder import JobFolder
from netsurgery.verbs.jobs.store import FolderStore, open_store
from netsurgery.verbs.jobs.worker import JobAssignment
from netsurgery.verbs.outputs.files import MapFiles

EMBEDDED = ["--engine", "embedded"]


@pytest.fixture(scope="module")
def job_made_once(tmp_path_factory: pytest.TempPathFactory) -> KilledJob:
    """A job of 24 pictures, one of which cannot be read, and what one process makes of them."""
    job = KilledJob(tmp_path_factory.mktemp("job"), 24, 0)
    (job.folder / job.names[5]).write_bytes(b"no picture")
    job.one_process()
    return job


@pytest.fixture
def job(job_made_once: KilledJob, tmp_path: Path) -> KilledJob:
    """That job in a folder of the test's own, not begun."""
    return job_made_once.copied_to(tmp_path)


@pytest.fixture
def pictures(converted_net: Path, repo_root: Path) -> Path:
    """A current folder with a converted net and two pictures."""
    for name in ("a.png", "b.png"):
        shutil.copy(repo_root / "examples/digits_canvas.png", name)
    return converted_net


def plan(*words: str, pictures: tuple[str, ...] = ("a.png", "b.png")) -> int:
    return run(["classify-map", *pictures, *EMBEDDED, "--job", JOB, "--workers", "1", *words])


@pytest.fixture(scope="module")
def job_done_once(tmp_path_factory: pytest.TempPathFactory, repo_root: Path) -> Path:
    """A folder with a converted net, two pictures, and a job of them that is done."""
    folder = tmp_path_factory.mktemp("done")
    net = repo_root / "prototxt/digits_deploy.prototxt"
    ns.convert(net, repo_root / "models/digits/digits.caffemodel", folder, engine="embedded")
    for name in ("a.png", "b.png"):
        shutil.copy(repo_root / "examples/digits_canvas.png", folder / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert plan() == 0
    return folder


@pytest.fixture
def done(job_done_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with the same, as if it had been done there."""
    shutil.copytree(job_done_once, tmp_path, dirs_exist_ok=True)
    path = tmp_path / JOB / "plan.json"
    path.write_text(path.read_text().replace(str(job_done_once), str(tmp_path)))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def ended(job: KilledJob, seconds: float = 10) -> bool:
    until = time.monotonic() + seconds
    while job.workers() and time.monotonic() < until:
        time.sleep(0.05)
    return not job.workers()


def test_what_a_job_read_is_not_replaced(done: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As of every command: tests/test_inputs_kept.py."""
    net = ["digits_deploy_full_conv.prototxt", "digits_full_conv.caffemodel", "netsurgery.toml"]
    for name in ("a.png", *net):
        Path("out").unlink(missing_ok=True)
        Path("out").symlink_to(name)
        assert run(["job", "merge", JOB, "--records", "out", "--force"]) == 1
        assert capsys.readouterr().err.startswith("error: out: is an input too (")


def test_two_workers_write_what_one_process_writes(job: KilledJob) -> None:
    done = job.run(*job.plan("--workers", "2", "--json"))
    assert done.returncode == 1  # as one process ends
    assert done.stdout == (job.folder / "one.jsonl").read_text()
    assert done.stderr.splitlines()[-1] == "1 of 24 images failed"
    assert len({pid for pid, _ in job.begun()}) == 2
    job.check(deaths=0)
    status = json.loads(job.run("job", "status", JOB, "--json").stdout)
    (error,) = status.pop("errors")
    assert error["image"] == job.names[5]
    assert status == {
        "folder": JOB, "pictures": 24, "done": 23, "failed": 1, "left": 0, "workers": [],
        "bands": [],
    }  # fmt: skip


def test_killed_workers_cost_a_picture_each(job: KilledJob) -> None:
    driver = job.start(*job.plan("--workers", "2"))
    for moment in (3, 9, 15):
        job.wait_until_begun(moment)
        job.kill_a_worker()
    _, errors = driver.communicate(timeout=60)
    assert driver.returncode == 1, errors
    job.check(deaths=3)
    assert {index for _, index in job.begun()} == set(range(24))


def test_a_worker_that_has_just_taken_its_lease_is_not_named(done: Path) -> None:
    record = done / JOB / "parts/00000/0000000.json"
    record.unlink()
    (record.parent / "lease").touch()  # made, and not written yet
    status = ns.open_job(JOB).status()
    assert (status.left, status.workers) == (1, ())


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_driver_that_ends_takes_its_workers_along(job: KilledJob, number: int) -> None:
    driver = job.start(*job.plan("--workers", "2", "-q"))
    job.wait_until_begun(6)
    driver.send_signal(number)
    out, errors = driver.communicate(timeout=20)
    assert (driver.returncode, out, errors) == (
        (130 if number == signal.SIGINT else -number), "", ""
    )  # fmt: skip
    assert ended(job)
    assert os.listdir(job.temporary) == []
    status = json.loads(job.run("job", "status", JOB, "--json").stdout)
    assert 0 < status["left"] < 24
    assert status["workers"] == []
    resumed = job.run("job", "resume", JOB, "--workers", "2")
    assert resumed.stdout == f"{JOB}: 23 of 24 pictures done, 1 failed\n"
    job.check(deaths=2)


def test_two_drivers_share_a_job(job: KilledJob) -> None:
    first = job.start(*job.plan("--workers", "1"), SLOWLY="0.5")
    job.wait_until_begun(2)
    second = job.run("job", "resume", JOB, "--workers", "1")
    first.communicate(timeout=60)
    assert (first.returncode, second.returncode) == (1, 1)
    assert len({pid for pid, _ in job.begun()}) == 2
    job.check(deaths=0)


def test_a_picture_that_kills_its_workers_fails(job: KilledJob) -> None:
    done = job.run(*job.plan("--workers", "2"), POISON="3")
    assert done.returncode == 1
    assert f"error: {job.names[3]}: the worker died at it 3 times" in done.stderr
    assert done.stderr.splitlines()[-1] == "2 of 24 images failed"
    # It can be tried again, where it was the machine's fault.
    (job.folder / job.names[5]).unlink()
    shutil.copy(job.folder / job.names[6], job.folder / job.names[5])
    again = job.run("job", "resume", JOB, "--retry")
    assert (again.returncode, again.stdout) == (0, f"{JOB}: 24 of 24 pictures done\n")


def test_workers_that_only_die_are_an_error(job: KilledJob) -> None:
    site = job.folder / "site" / "sitecustomize.py"
    site.write_text(
        "import os, signal, sys\nif '-c' in sys.orig_argv: os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = job.run(*job.plan("--workers", "2"))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        "error: workers die, 5 in a row and no picture done: the last by signal 9"
    )


def test_the_same_command_goes_on(pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert plan("--npy", "maps/") == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"{JOB}: 2 pictures, 2 files written"
    records = sorted(pictures.glob(f"{JOB}/parts/*/*.json"))
    times = [path.stat().st_mtime_ns for path in records]
    records[1].unlink()
    assert plan("--npy", "maps/", "--force") == 0
    assert records[0].stat().st_mtime_ns == times[0]
    assert records[1].exists()


def test_another_command_does_not(done: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert plan("--size", "image") == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error == (
        f"error: {JOB}: holds a job of another plan (its size); name another folder, or "
        f"`netsurgery job resume {JOB}` goes on with that one"
    )
    Path("full").mkdir()
    Path("full/file").touch()
    assert run(["classify-map", "a.png", *EMBEDDED, "--job", "full"]) == 1
    assert "full: is not empty and holds no job" in capsys.readouterr().err


def test_a_picture_has_no_more_pixels_than_the_plan_allows(
    pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    error = "a.png: 192x288 is more than 55295 pixels (--max-pixels); scale it down first"
    assert plan("--max-pixels", "55295", pictures=("a.png",)) == 1
    assert f"error: {error}\n" in capsys.readouterr().err


def test_a_net_that_has_changed_is_refused(done: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path(next(done.glob(f"{JOB}/parts/00001/*.json"))).unlink()
    with open("digits_full_conv.caffemodel", "ab") as file:
        file.write(b"more")
    capsys.readouterr()
    assert run(["job", "resume", JOB]) == 1
    model = done / "digits_full_conv.caffemodel"
    assert capsys.readouterr().err == (
        f"error: {model}: has changed since the job was planned; plan another job for it\n"
    )


def test_the_engine_is_the_planned_one(
    done: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = done / JOB / "plan.json"
    Path(next(done.glob(f"{JOB}/parts/00001/*.json"))).unlink()
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "engine": "embedded (ONNX Runtime 0.1)"}))
    capsys.readouterr()
    assert run(["job", "resume", JOB]) == 1
    assert "which gives all of its pictures" in capsys.readouterr().err
    monkeypatch.setattr(plan_module, "__version__", "99")
    assert run(["job", "resume", JOB]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"error: {JOB}/plan.json: of netsurgery {ns.__version__}; this is 99")


@pytest.mark.parametrize(
    "change",
    [
        {"pictures": 3}, {"pictures": [3]}, {"size": {"size": "large"}}, {"state": []},
        {"folder": None}, {"folder": "a\0"}, {"chunk": 0}, {"max_pixels": "2"}, {"outputs": 3},
        {"outputs": {"all": "a"}}, {"outputs": {"npy": 3}}, {"settings": {"preprocess": [3]}},
    ],
    ids=str,
)  # fmt: skip
def test_a_plan_that_is_none_is_refused(
    done: Path, change: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    path = done / JOB / "plan.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    capsys.readouterr()
    assert run(["job", "status", JOB]) == 1
    assert capsys.readouterr().err.startswith(f"error: {JOB}/plan.json: is not a job's plan (")


@pytest.mark.parametrize(
    ("kind", "suffix", "content"),
    [
        ("npy", "npy", None), ("npy", "npy", b""), ("html", "html", b"\xff"),
        ("parquet", "parquet", None), ("parquet", "parquet", b"3"), ("boxes", "json", b"3"),
        ("boxes", "json", b"["),
    ],
)  # fmt: skip
def test_a_part_that_no_worker_has_written_is_named(
    kind: str, suffix: str, content: bytes | None, done: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As after a power cut."""
    path = done / JOB / "plan.json"
    plan = {**json.loads(path.read_text()), "outputs": {kind: f"x.{suffix}"}}
    path.write_text(json.dumps({**plan, "pictures": ["a.png"]}))
    if content is not None:
        part = "boxes" if kind == "boxes" else suffix
        (done / JOB / f"parts/00000/0000000.{part}").write_bytes(content)
    capsys.readouterr()
    assert run(["job", "merge", JOB]) == 1
    where = ": a .html of its pictures is" if kind == "html" else "/parts/00000/0000000.*:"
    assert capsys.readouterr().err.startswith(f"error: {JOB}{where} not as a worker has written")
    assert not (done / f"x.{suffix}").exists()


def test_a_record_that_no_worker_has_written_is_named(
    done: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = done / JOB / "parts/00000/0000000.json"
    record.write_bytes(b"{")
    capsys.readouterr()
    error = f"error: {JOB}/parts/00000/0000000.*: not as a worker has written them ("
    assert run(["job", "merge", JOB, "--records", "-"]) == 1
    assert capsys.readouterr().err.startswith(error)
    record.rename(record.with_suffix(".error"))
    assert run(["job", "status", JOB]) == 1
    assert capsys.readouterr().err.startswith(error)


def test_what_a_plan_says_is_read_back(pictures: Path) -> None:
    """Every setting and option that the command line can give."""
    Path("labels.txt").write_text("".join(f"class {number}\n" for number in range(11)))
    words = [
        "--size", "40x44", "--fit", "pad", "--window", "8x8", "--raw-scale", "255", "--tile", "64",
        "--mean", "104.5", "--labels", "labels.txt", "--background", "3", "--class", "3",
        "--picture", "maps/x/", "--layout", "map", "--range", "0,2", "--top-k",
        "2", "--width", "300", "--stage", "s", "--level", "2",
    ]  # fmt: skip
    Path("maps").mkdir()
    assert plan(*words) == 0
    job = ns.open_job(JOB)
    path = pictures / JOB / "plan.json"
    record = json.loads(path.read_text())
    read = plan_module.read_plan(open_store(JOB))
    assert read is not None
    assert json.loads(json.dumps(read.to_json())) == record
    assert record["settings"]["mean"] == [104.5]
    assert record["view"]["look"]["range"] == [0, 2]
    assert job.status().left == 0


def test_merging_waits_for_the_last_picture(
    pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = ns.read_settings("netsurgery.toml")
    job = ns.plan_job(
        ["a.png", "b.png"], settings, JOB, engine="embedded", outputs={"npy": "maps/"}
    )
    assert run(["job", "merge", JOB]) == 1
    assert capsys.readouterr().err == (
        f"error: {JOB}: of 2 pictures 2 are left; `netsurgery job resume {JOB}` goes on\n"
    )
    assert not Path("maps").exists()
    seen: list[tuple[int, int]] = []
    job.resume(workers=1, progress=lambda over, count: seen.append((over, count)))
    assert seen[-1] == (2, 2)
    assert run(["job", "merge", JOB, "--html", "page.html"]) == 1
    assert "has no html output; it was planned with npy" in capsys.readouterr().err
    assert run(["job", "merge", JOB, "--npy", "others/", "--records", "all.jsonl"]) == 0
    assert capsys.readouterr().out == f"{JOB}: 2 pictures, 3 files written\n"
    assert sorted(os.listdir("others")) == ["a.npy", "b.npy"]
    assert not Path("maps").exists()
    assert run(["job", "merge", JOB]) == 0
    assert run(["job", "merge", JOB]) == 1
    assert "--force replaces it" in capsys.readouterr().err
    capsys.readouterr()
    assert run(["job", "merge", JOB, "--records", "-"]) == 0
    assert capsys.readouterr().out == Path("all.jsonl").read_text()


KINDS = ("--npy", "maps/", "--html", "page.html", "--parquet", "cells.parquet")


def break_off_merging(after: int) -> None:
    """Do a job, and die after so many pictures' files are in place."""
    write = MapFiles.write

    def dying(files: MapFiles, index: int, contents: Any) -> Any:
        if index == after:
            raise SystemExit(137)
        return write(files, index, contents)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MapFiles, "write", dying)
        with pytest.raises(SystemExit):
            plan(*KINDS)


@pytest.mark.parametrize("after", [0, 1])
def test_the_same_command_goes_on_with_merging(
    after: int, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    break_off_merging(after)
    left = {path: path.stat().st_ino for path in Path("maps").glob("*")}
    assert len(left) == after
    capsys.readouterr()
    assert plan(*KINDS) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"{JOB}: 2 pictures, 4 files written"
    assert {path: path.stat().st_ino for path in left} == left
    merged = {path: path.read_bytes() for path in (*Path("maps").glob("*"), Path("page.html"))}
    assert plan(*KINDS) == 1  # all is done
    assert "maps/a.npy: exists already; --force replaces it" in capsys.readouterr().err
    assert plan(*KINDS, "--force") == 0
    assert {path: path.read_bytes() for path in merged} == merged


def test_merging_goes_on_over_nothing_else(
    pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    break_off_merging(1)
    Path("cells.parquet").write_bytes(b"another's")
    Path("others").mkdir()
    Path("others/a.npy").write_bytes(b"another's")
    capsys.readouterr()
    assert plan(*KINDS) == 1
    assert "cells.parquet: exists already, with another content" in capsys.readouterr().err
    assert run(["job", "merge", JOB, "--npy", "others/"]) == 1  # not the places of before
    assert "others/a.npy: exists already; --force" in capsys.readouterr().err
    assert Path("cells.parquet").read_bytes() == Path("others/a.npy").read_bytes() == b"another's"


def test_a_job_that_may_only_be_read_is_merged(done: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(store: FolderStore, name: str, *_: object, **__: object) -> None:
        raise ns.OutputError(f"{name}: Read-only file system")

    monkeypatch.setattr(FolderStore, "write", refuse)
    assert run(["job", "merge", JOB, "--records", "all.jsonl"]) == 0


def test_merging_from_another_folder(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one picture's output goes into a folder that is yet to be made, as the plan says."""
    settings = ns.read_settings("netsurgery.toml")
    job = ns.plan_job("a.png", settings, "one.job", engine="embedded", outputs={"npy": "maps/"})
    job.resume(workers=1)
    Path("elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    assert run(["job", "merge", "../one.job", "-q"]) == 0
    assert os.listdir(pictures / "maps") == ["a.npy"]


def test_outputs_replace_nothing_of_the_job(done: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = {path: path.read_bytes() for path in Path(JOB).rglob("*") if path.is_file()}
    Path("link").symlink_to(JOB)
    for place in (f"{JOB}/plan.json", f"{done}/{JOB}/parts/00000/0000000.json", "link/notes/a"):
        assert run(["job", "merge", JOB, "--records", place, "--force"]) == 1
        assert capsys.readouterr().err.splitlines()[-1] == (
            f"error: {place}: is for files of the job {JOB}; name another place"
        )
    assert plan("--npy", f"{JOB}/parts/", "--force") == 1
    assert {path: path.read_bytes() for path in Path(JOB).rglob("*") if path.is_file()} == files
    assert run(["job", "merge", JOB, "--records", f"{JOB}/all.jsonl"]) == 0


def test_a_job_is_where_it_was_when_the_current_folder_changes(
    pictures: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = ns.read_settings("netsurgery.toml")
    job = ns.plan_job("a.png", settings, JOB, engine="embedded", outputs={"npy": "a.npy"})
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    with pytest.raises(ns.JobError, match="of 1 picture 1 is left"):
        job.merge()
    assert str(job.resume(workers=1)) == f"{JOB}: 1 of 1 picture done"
    job.merge()
    assert (pictures / "a.npy").exists()


def test_what_merging_cannot_write_is_refused_before_it_writes(pictures: Path) -> None:
    settings = ns.read_settings("netsurgery.toml")
    job = ns.plan_job("a.png", settings, JOB, engine="embedded", outputs={"npy": "map.npy"})
    job.resume(workers=1)
    Path("all.jsonl").touch()
    with pytest.raises(ns.OutputError, match=r"^all\.jsonl: exists already; force=True"):
        job.merge({"npy": "map.npy"}, records="all.jsonl")
    with pytest.raises(ns.OutputError, match="an output of a job goes to a file or folder"):
        job.merge({"npy": "-"})
    assert not Path("map.npy").exists()
    assert job.merge().written == ("map.npy",)


def test_a_job_without_outputs_has_records(
    pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert plan() == 0
    assert capsys.readouterr().out == f"{JOB}: 2 of 2 pictures done\n"
    assert run(["job", "merge", JOB]) == 1
    assert "was planned without outputs; --records FILE takes" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["job", "status", "nowhere"], "nowhere: holds no job (no plan.json)"),
        (["classify-map", "-", *EMBEDDED, "--job", JOB], "every worker of a job reads its files"),
        (["classify-map", "a.png", "--npy", "-", "--job", JOB], "--npy -: an output of a job goes"),
        (["classify-map", "a.png", "--job", "a.png"], "is a file"),
        (["classify-map", "a.png", "--job", JOB, "--on", "dask"], "found 'dask', expected ray or"),
    ],
)
def test_what_cannot_be_a_job_is_refused(
    pictures: Path, words: list[str], error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(words) in (1, 2)
    shown = capsys.readouterr().err.splitlines()[-1]
    assert error in shown
    assert not Path(JOB).exists()


def test_a_picture_that_can_be_read_once_is_refused(
    pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A worker would wait for it: at /dev/stdin each process has another file, or a pipe."""
    os.mkfifo("pipe")
    assert plan(pictures=("a.png", "pipe")) == 1
    assert capsys.readouterr().err.splitlines()[-1] == (
        "error: pipe: the pictures of a job are files, which every worker can read"
    )
    os.rename("pipe", "kept")
    Path("pipe").touch()
    job = ns.plan_job("pipe", ns.read_settings("netsurgery.toml"), JOB, engine="embedded")
    os.rename("kept", "pipe")
    assert job.resume(workers=1).errors[0]["error"] == "pipe: is not a regular file"


@pytest.mark.parametrize("is_at_url", [False, True])
def test_drivers_that_plan_at_the_same_moment_have_one_job(
    is_at_url: bool, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As those of a command that a cluster starts on several machines at once."""
    settings, find = ns.read_settings("netsurgery.toml"), JobFolder.find
    place = f"file://{pictures}/{JOB}" if is_at_url else JOB

    def planned(size: Literal["net", "image"]) -> ns.Job:
        """By a driver that sees no plan when it first looks."""
        looks = iter([lambda _: None, find])
        monkeypatch.setattr(JobFolder, "find", lambda store: next(looks)(store))
        return ns.plan_job("a.png", settings, place, size=size, engine="embedded")

    first = planned("net")
    assert str(planned("net")) == str(first)
    with pytest.raises(ns.JobError, match="holds a job of another plan"):
        planned("image")


def test_a_driver_that_was_killed_while_it_planned_is_not_in_the_way(pictures: Path) -> None:
    Path(JOB).mkdir()
    left = Path(JOB, f".plan.json.{12 * 'a'}.netsurgery-tmp")
    left.write_bytes(b"{")
    ns.plan_job("a.png", ns.read_settings("netsurgery.toml"), JOB, engine="embedded")
    assert os.listdir(JOB) == ["plan.json"]


def test_a_full_disk_is_named(done: Path) -> None:
    """Once the last of what is written is."""
    record = len(Path(JOB, "parts/00000/0000000.json").read_bytes())
    script = (
        "import resource, sys; from netsurgery.__main__ import main; "
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({record}, {record})); main()"
    )
    words = ["job", "merge", JOB, "--records", "all.jsonl"]
    merged = subprocess.run(
        [sys.executable, "-c", script, *words], capture_output=True, text=True, check=False
    )
    assert (merged.returncode, merged.stderr) == (1, "error: all.jsonl: File too large\n")
    assert not Path("all.jsonl").exists()


def test_memory_that_workers_share_is_named(
    pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--size", "2000x2000", "--tile", "none", "--max-memory", "100MiB"]
    command = ["classify-map", "a.png", *EMBEDDED, *words, "--job", JOB, "--workers", "2"]
    assert run(command) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert "; 50.0 MiB may be used (--max-memory)" in error
    assert error.endswith("; 2 workers share the memory, fewer (--workers) have more each")
    lacking = ns.MemoryLimitError("a.png needs 9 bytes", what="a.png", needed=9, allowed=1, left=1)
    for memory, workers in ((100, 1), (None, 2)):  # one has all, of Ray each its machine's
        alone = JobAssignment(JOB, EngineOptions(), "run", memory, True, workers=workers)
        assert alone.reason(lacking) == "a.png needs 9 bytes"


def test_a_call_takes_files_alone(pictures: Path) -> None:
    settings = ns.Settings(
        "digits_deploy_full_conv.prototxt", "digits_full_conv.caffemodel", labels=["x"] * 11
    )
    with pytest.raises(ns.JobError, match="labels are files"):
        ns.plan_job("a.png", settings, JOB, engine="embedded")
    settings = ns.read_settings("netsurgery.toml")
    job = ns.plan_job("a.png", settings, JOB, engine="embedded")
    with pytest.raises(ns.JobError, match="on='dask': expected ray"):
        job.resume(on="dask")
    with pytest.raises(ns.JobError, match="workers=0"):
        job.resume(workers=0)
    assert repr(job) == f"<Job: {JOB}: 0 of 1 picture done, 1 left>"


def test_a_workers_error_is_the_jobs(done: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder that is not there on another machine, say."""
    Path(next(done.glob(f"{JOB}/parts/00001/*.json"))).unlink()
    path = done / JOB / "plan.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "folder": "/nowhere"}))
    capsys.readouterr()
    assert run(["job", "resume", JOB]) == 1
    assert capsys.readouterr().err == (
        "error: /nowhere: No such file or directory; the folder that the job was planned in has to "
        "be there on every machine\n"
    )
