"""Jobs on a Ray cluster of this machine; `make cluster` does more of the same (killed_jobs.py)."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from killed_jobs import KilledJob

import netsurgery as ns
from netsurgery.engines.contract import EngineOptions
from netsurgery.errors import JobError
from netsurgery.verbs.jobs import on_ray
from netsurgery.verbs.jobs.worker import JobAssignment

TESTS = Path(__file__).resolve().parent
SHORT = "/tmp" if Path("/tmp").is_dir() else None


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short name: Ray has sockets in it."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="j-", dir=SHORT) as name:
        yield Path(name)


def assignment(on: str, folder: str = "nowhere") -> JobAssignment:
    return JobAssignment(folder, EngineOptions("embedded"), "run", None, True, on, None, "")


def test_a_worker_a_node_and_the_driver_are_killed(folder: Path) -> None:
    """In a process and session of its own, in which Ray's cluster is."""
    command = [sys.executable, str(TESTS / "killed_jobs.py"), str(folder)]
    done = subprocess.run(
        [*command, "--pictures", "24", "--side", "1500", "--seed", "3"], capture_output=True,
        text=True, env={**os.environ, "PYTHONPATH": str(TESTS.parent)}, timeout=300, check=False,
        start_new_session=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert re.search(r"^seed 3: 25 pictures, killed: ", done.stdout, re.MULTILINE)


def test_ray_of_this_machine_begins_and_ends_with_the_job(folder: Path) -> None:
    job = KilledJob(folder, 12, 0)
    job.one_process()
    done = job.run(*job.plan("--on", "ray", "--json"))
    assert (done.returncode, done.stdout) == (0, (folder / "one.jsonl").read_text()), done.stderr
    job.check(deaths=0)
    assert remaining(folder) == ""


def test_ctrl_c_ends_ray_too(folder: Path) -> None:
    job = KilledJob(folder, 40, 0, slowly=0.3)
    driver = job.start(*job.plan("--on", "ray", "-q"))
    job.wait_until_begun(2)
    driver.send_signal(signal.SIGINT)
    assert driver.communicate(timeout=30) == ("", "")
    assert driver.returncode == 130
    assert job.workers() == []
    assert os.listdir(job.temporary) == []
    assert remaining(folder) == ""


def remaining(folder: Path) -> str:
    """What of Ray still runs for a job in `folder`, whose name is in its command lines."""
    done = subprocess.run(
        ["pgrep", "-af", str(folder)], capture_output=True, text=True, check=False
    )
    return done.stdout


def test_ray_that_is_missing_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(JobError, match=r"^Ray is not installed; `pip install netsurgery\[ray\]`"):
        on_ray.do_all(assignment("ray"))


def test_a_cluster_that_does_not_answer_is_one_line(folder: Path) -> None:
    job = KilledJob(folder, 2, 0)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    done = job.run(*job.plan("--on", f"ray://127.0.0.1:{port}", "-q"))
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: no Ray cluster ray://127.0.0.1:{port}: ")
    assert done.stderr.count("\n") == 1


class FewCpus:
    """What of Ray is asked before any work, of a cluster whose one CPU is not free."""

    def init(self, *_: object, **__: object) -> None:
        """Always there."""

    shutdown = init

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 1.0}

    def available_resources(self) -> dict[str, float]:
        return {}

    def remote(self, **_: object) -> Any:
        return lambda actor: mock.MagicMock()

    def wait(self, calls: list[object], timeout: float) -> tuple[list[object], list[object]]:
        assert timeout > 0
        return [], calls


@pytest.mark.parametrize(
    ("threads", "error"),
    [
        (2, "the Ray cluster has 1 CPUs; a worker takes 2"),
        (1, "no worker has begun in 120 s: of 1 CPUs the Ray cluster has 0 free, and a worker"),
    ],
)
def test_workers_that_get_no_cpu_are_an_error_not_a_wait(
    threads: int, error: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_ray, "_ray", FewCpus)
    monkeypatch.setattr(on_ray, "Undo", lambda *_, **__: None)
    asked = assignment("ray")
    with pytest.raises(JobError, match=error):
        on_ray.do_all(replace(asked, engine=EngineOptions("embedded", threads=threads)))


class NoServer(FewCpus):
    """A cluster whose server for a client does not start, so many times."""

    failures = 0
    reason = ""

    def init(self, *_: object, **__: object) -> None:
        if self.failures:
            type(self).failures -= 1
            raise ConnectionError(
                "Initialization failure from server:\nTraceback (most recent call last):\n"
                f"{self.reason}\n"
            )


@pytest.mark.parametrize(
    "reason",
    [
        "RuntimeError: Starting Ray client server failed. See its log.",
        "psutil.ZombieProcess: PID still exists but it's a zombie (pid=3291)",
    ],
)
@pytest.mark.parametrize(
    ("failures", "error"),
    [
        (1, "no worker has begun in 120 s"),
        (2, "no Ray cluster on this machine: Initialization failure from server: "),
    ],
)
def test_a_server_that_did_not_start_is_tried_once_more(
    failures: int, error: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(NoServer, "failures", failures)
    monkeypatch.setattr(NoServer, "reason", reason)
    monkeypatch.setattr(on_ray, "_ray", NoServer)
    monkeypatch.setattr(on_ray, "Undo", lambda *_, **__: None)
    with pytest.raises(JobError, match=error) as raised:
        on_ray.do_all(assignment("ray"))
    assert str(raised.value).endswith(reason) == (failures == 2)


class NoWorker(FewCpus):
    """A cluster whose actors were given a CPU, and have died since."""

    exceptions = mock.MagicMock(RayTaskError=KeyError, RayError=OSError)

    def get(self, calls: list[object]) -> None:
        assert calls

    def wait(self, calls: list[object], timeout: float) -> tuple[list[object], list[object]]:
        return (calls, []) if timeout > 1 else ([], calls)


def test_a_cluster_without_workers_is_an_error_not_a_wait(
    tmp_path: Path, repo_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, model = repo_root / "prototxt/digits_deploy.prototxt", repo_root / "models/digits"
    settings = ns.Settings(net, model / "digits.caffemodel")
    ns.plan_job("a.png", settings, tmp_path / "job", blob="conv1", engine="embedded")
    monkeypatch.setattr(on_ray, "_ray", NoWorker)
    monkeypatch.setattr(on_ray, "Undo", lambda *_, **__: None)
    monkeypatch.setattr(on_ray, "_LOOK", 0.01)
    monkeypatch.setattr(on_ray, "_START", 1.5)
    with pytest.raises(JobError, match=r"no worker of the Ray cluster was at the job for 1.5 s"):
        on_ray.do_all(assignment("ray", str(tmp_path / "job")))
