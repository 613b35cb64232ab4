"""Jobs whose workers, machines and drivers are killed: what they leave is what one process writes.

    python tests/killed_jobs.py FOLDER --pictures 200 --side 6000 --seed 0 [--s3]

Of the pictures one is large, and is mapped in tiles, in bands. The job runs on a Ray cluster of
three nodes on this machine; in one run a worker, a node and the driver are killed at random
moments, and the job is resumed. Then the outputs have to be, byte for byte, those of one process,
and no more pictures and bands may have been begun twice than workers were killed. With --s3 the job
is not in the folder but at the URL of an S3 server of this machine.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import logging
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from processes import alive
from s3_server import BUCKET, s3_server

import netsurgery as ns
from netsurgery.io.children import kill_others
from netsurgery.io.scratch import scratch_folder

__all__ = ["NETSURGERY", "KilledJob", "ray_cluster"]

ROOT = Path(__file__).resolve().parent.parent
NETSURGERY = [sys.executable, "-m", "netsurgery"]
JOB = "digits.job"

#: Loaded by every Python that starts: workers write down which picture they begin, or which band of
#: one, and take their time; at the picture or band that POISON names they kill themselves.
SITE = """
import os, signal, sys, time
if os.environ.get("BEGUN"):
    from netsurgery.verbs.jobs import band_worker, worker

    def logged(do, name):
        def begin(self, *words):
            log = os.open(os.environ["BEGUN"], os.O_APPEND | os.O_CREAT | os.O_WRONLY)
            os.write(log, f"{os.getpid()} {name(*words)}\\n".encode())
            os.close(log)
            time.sleep(float(os.environ.get("SLOWLY", "0")))
            if os.environ.get("POISON") == name(*words):
                os.kill(os.getpid(), signal.SIGKILL)
            do(self, *words)

        return begin

    of_picture = lambda chunk, index, *_: str(index)
    of_band = lambda bands, number, _: f"{int(bands.folder[-13:-6])} {number}"
    worker.JobWorker._do = logged(worker.JobWorker._do, of_picture)
    band_worker.BandWorker._write = logged(band_worker.BandWorker._write, of_band)
"""


class KilledJob:
    """Pictures in a folder, what one process makes of them, and a job that is killed."""

    def __init__(
        self, folder: Path, count: int, side: int, *, width: int = 0, slowly: float = 0.05
    ) -> None:
        """side: pixels of the large picture, 0 for none; width: its columns if they are others.

        `place` is where the job is to be: a folder below this one, or a URL.
        """
        self._move_to(folder, slowly)
        self.place = JOB
        self.temporary.mkdir()
        (folder / "site").mkdir()
        (folder / "site" / "sitecustomize.py").write_text(SITE)
        pictures = folder / "pictures"
        pictures.mkdir()
        numbers = np.random.default_rng(0)
        for number in range(count):
            pixels = numbers.integers(0, 256, (40 + number % 7, 48), np.uint8)
            Image.fromarray(pixels).save(pictures / f"{number:04d}.png")
        if side:
            pixels = numbers.integers(0, 256, (side, width or side), np.uint8)
            Image.fromarray(pixels).save(pictures / "large.png")
        self.count = count + bool(side)
        self.names = [f"pictures/{name}" for name in sorted(os.listdir(pictures))]
        self.options = ["--engine", "embedded", "--size", "image", "--tile", "1024"]
        net, model = ROOT / "prototxt/digits_deploy.prototxt", ROOT / "models/digits"
        weights = str(model / "digits.caffemodel")
        done = self.run("convert", str(net), weights, "--engine", "embedded", "-q", BEGUN="")
        assert done.returncode == 0, done.stderr

    def _move_to(self, folder: Path, slowly: float) -> None:
        self.folder, self.log, self.temporary = folder, folder / "begun", folder / "tmp"
        path = os.pathsep.join([str(folder / "site"), str(ROOT)])
        self.env = {
            **os.environ, "BEGUN": str(self.log), "SLOWLY": str(slowly), "PYTHONPATH": path,
            "TMPDIR": str(self.temporary), "RAY_USAGE_STATS_ENABLED": "0",
        }  # fmt: skip

    def copied_to(self, folder: Path) -> KilledJob:
        """The same in another folder: what one process makes need not be made again."""
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)
        job = copy.copy(self)
        job._move_to(folder, float(self.env["SLOWLY"]))
        return job

    def one_process(self) -> None:
        """Have one process make what the job is to make."""
        words = ["classify-map", *self.names, *self.options, "--npy", "one/", "--html", "one.html"]
        done = self.run(*words, "--json")
        assert done.stdout.count("\n") == self.count, done.stderr
        (self.folder / "one.jsonl").write_text(done.stdout)

    def run(self, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            [*NETSURGERY, *words], cwd=self.folder, env={**self.env, **env}, check=False,
            capture_output=True, text=True, timeout=600,
        )  # fmt: skip

    def start(self, *words: str, **env: str) -> subprocess.Popen[str]:
        """Start a command, and leave it to itself."""
        return subprocess.Popen(
            [*NETSURGERY, *words], cwd=self.folder, env={**self.env, **env}, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def plan(self, *words: str) -> list[str]:
        """The words of the command that plans and does the job."""
        outputs = ["--npy", "many/", "--html", "many.html"]
        return ["classify-map", *self.names, *self.options, *outputs, "--job", self.place, *words]

    def begun(self) -> list[tuple[int, int]]:
        """Process and picture of all pictures, and of all bands, that were begun, in order."""
        return [(pid, index) for pid, index, *_ in self._log()]

    def begun_bands(self) -> list[tuple[int, int]]:
        """Process and number of the bands that were begun, in order."""
        return [(pid, band[0]) for pid, _, *band in self._log() if band]

    def _log(self) -> list[list[int]]:
        text = self.log.read_text() if self.log.exists() else ""
        return [[int(word) for word in line.split()] for line in text.splitlines()]

    def wait_until_begun(
        self, count: int, seconds: float = 60, driver: subprocess.Popen[str] | None = None
    ) -> None:
        """Wait until so many pictures and bands were begun; driver: who is to live until then."""
        until = time.monotonic() + seconds
        while len(self.begun()) < count:
            if driver is not None and driver.poll() is not None and len(self.begun()) < count:
                out, err = driver.communicate()
                raise AssertionError(f"the driver ended with {driver.returncode}: {out}{err}")
            assert time.monotonic() < until, f"only {len(self.begun())} of {count} begun"
            time.sleep(0.02)

    def workers(self) -> list[int]:
        """Those that have begun something, and are alive."""
        return sorted({pid for pid, _ in self.begun() if alive(pid)})

    def kill_a_worker(self, choose: Callable[[list[int]], int] = max) -> int:
        """Kill one of the workers that are alive; returns its number."""
        pid = choose(self.workers())
        os.kill(pid, signal.SIGKILL)
        return pid

    def begun_twice(self) -> int:
        """How many pictures and bands were begun in vain."""
        return sum(count - 1 for count in Counter(tuple(what) for _, *what in self._log()).values())

    def check(self, deaths: int) -> None:
        """The outputs are those of one process, and no death cost more than a picture or a band."""
        merging = ns.open_job(self.folder / JOB if self.place == JOB else self.place)
        merging.merge(force=True)
        merging.merge(records=self.folder / "many.jsonl")
        for name in ("one.jsonl", "one.html"):
            expected = (self.folder / name).read_bytes().splitlines(keepends=True)
            lines = (
                (self.folder / name.replace("one", "many")).read_bytes().splitlines(keepends=True)
            )
            for number, (line, merged) in enumerate(zip(expected, lines, strict=True), 1):
                assert line == merged, f"{name}:{number}"
        single, many = self.folder / "one", self.folder / "many"
        assert sorted(os.listdir(single)) == sorted(os.listdir(many))
        for name in os.listdir(single):
            assert (many / name).read_bytes() == (single / name).read_bytes(), name
        assert self.begun_twice() <= deaths, f"{self.begun_twice()} begun twice, {deaths} killed"
        assert os.listdir(self.temporary) == []


@contextlib.contextmanager
def ray_cluster(nodes: int, env: dict[str, str]) -> Iterator[tuple[Any, str, list[Any]]]:
    """A Ray cluster on this machine, of a head that takes no work and nodes of one CPU.

    With it the address of its server for clients, ray://HOST:PORT.
    """
    with (
        tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp") as temporary,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name, value in {**env, "RAY_TMPDIR": temporary}.items():
            patch.setenv(name, value)
        from ray.cluster_utils import Cluster

        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        head = {"num_cpus": 0, "include_dashboard": False, "ray_client_server_port": port}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        try:
            address = f"ray://127.0.0.1:{port}"
            yield cluster, address, [cluster.add_node(num_cpus=1) for _ in range(nodes)]
        finally:
            cluster.shutdown()  # type: ignore[no-untyped-call]
            # Workers of nodes end when they notice, and write until then.
            kill_others()


def killed_on_ray(job: KilledJob, seed: int) -> str:
    """Kill a worker, a node and the driver in one run, and resume; what happened, in a line."""
    random.seed(seed)
    moments = sorted(random.sample(range(3, job.count - 3), 3))
    with ray_cluster(3, job.env) as (cluster, client, nodes):
        address = {"RAY_ADDRESS": cluster.address}
        # Ray keeps the workers of a driver that is gone for so long; its default is 30 s.
        driver = job.start(*job.plan("--on", client), RAY_CLIENT_RECONNECT_GRACE_PERIOD="1")
        kills = ["worker", "node", "driver"]
        random.shuffle(kills)
        for moment, kill in zip(moments, kills, strict=True):
            job.wait_until_begun(moment, 180, driver)
            if kill == "worker":
                job.kill_a_worker(random.choice)
            elif kill == "node":
                cluster.remove_node(nodes.pop(), allow_graceful=False)
            else:
                driver.kill()
                driver.communicate()
                driver = job.start("job", "resume", job.place, "--on", "ray", **address)
        out, err = driver.communicate(timeout=600)
        assert driver.returncode == 0, out + err
    if job.place != JOB:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tempfile, "tempdir", str(job.temporary))
            with scratch_folder():  # the next worker of a machine removes what killed ones left
                pass
    # The driver's workers, one a node, die with it.
    deaths = 1 + 1 + len(nodes) + 1
    job.check(deaths)
    story = ", ".join(f"{kill} at {moment}" for moment, kill in zip(moments, kills, strict=True))
    return f"{job.count} pictures, killed: {story}; {job.begun_twice()} of them begun twice"


def main() -> None:
    """Kill a job as the command line says."""
    parser = argparse.ArgumentParser(description="Jobs whose workers are killed.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--side", type=int, default=6000, help="of the large picture")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--s3", action="store_true", help="the job is at a URL")
    words = parser.parse_args()
    seed = words.seed if words.seed is not None else random.randrange(1000)
    words.folder.mkdir(exist_ok=True)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # which would print each request
    with s3_server() if words.s3 else contextlib.nullcontext():
        job = KilledJob(words.folder, words.pictures, words.side)
        job.place = f"s3://{BUCKET}/digits.job" if words.s3 else JOB
        job.one_process()
        print(f"seed {seed}: {killed_on_ray(job, seed)}")


if __name__ == "__main__":
    main()
