"""Workers of a Ray cluster, local or not: the only module that knows Ray.

Ray is lent the work alone: each actor is a worker as any other, which takes pictures by leases in
the job's folder, on a file system that all machines share, or at its URL. So nothing of a job is
in Ray's object store, an actor or a machine that dies costs one picture, and the work is over as
soon as one actor finds none left, whether the others were ever given a CPU or not.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from netsurgery.errors import JobError
from netsurgery.io.children import kill_others
from netsurgery.io.cleanup import Undo
from netsurgery.io.wording import naming_options
from netsurgery.verbs.jobs.folder import JobFolder, Tally
from netsurgery.verbs.jobs.worker import JobAssignment, JobWorker

__all__ = ["do_all"]

#: Seconds until the cluster answers, and until an actor is at work, at first or again.
_CONNECT, _START = 10.0, 120.0
#: Seconds between two looks at whether somebody is at the job.
_LOOK = 5.0
#: Bytes of the path of a socket, and what Ray adds to its folder's.
_SOCKET, _SESSION = 107, 66
#: What Ray says where its server for a client did not start; how it noticed comes after that.
_NOT_STARTED = "Initialization failure from server"


class _Actor:
    """A worker in a process of Ray's."""

    def ready(self) -> None:
        """Answer."""

    def do_all(self, assignment: JobAssignment) -> None:
        """Take pictures until there are none. Raises what `JobWorker` does."""
        named = naming_options() if assignment.as_command else nullcontext()
        with named, JobWorker(assignment) as worker:
            worker.do_all()


def do_all(assignment: JobAssignment) -> None:
    """Have all pictures mapped by a cluster's actors. Raises JobError and what `JobWorker` does."""
    ray = _ray()
    threads = assignment.engine.threads or 1
    with _connected(ray, assignment):
        cpus = int(ray.cluster_resources().get("CPU", 0))
        count = assignment.workers or cpus // threads
        if cpus < threads or not count:
            raise JobError(f"the Ray cluster has {cpus} CPUs; a worker takes {threads}")
        # One that dies begins again, wherever there is a CPU.
        remote = ray.remote(num_cpus=threads, max_restarts=-1, max_task_retries=-1)(_Actor)
        actors = [remote.remote() for _ in range(count)]
        if not ray.wait([actor.ready.remote() for actor in actors], timeout=_START)[0]:
            free = ray.available_resources().get("CPU", 0)
            raise JobError(
                f"no worker has begun in {_START:g} s: of {cpus} CPUs the Ray cluster has {free:g} "
                f"free, and a worker takes {threads}"
            )
        engine = replace(assignment.engine, threads=threads)
        own = replace(assignment, on="", scratch="", engine=engine)
        try:
            ray.get(_first_ended(ray, [actor.do_all.remote(own) for actor in actors], own))
        except ray.exceptions.RayTaskError as error:
            raise error.cause from error
        except ray.exceptions.RayError as error:
            raise JobError(f"Ray: {_first_line(error)}") from error


def _first_ended(ray: Any, calls: list[Any], assignment: JobAssignment) -> list[Any]:
    """Wait for one of the calls to end. Raises JobError where nobody is at the job any more."""
    tally = Tally(JobFolder.open(assignment.folder))
    left, until = -1, 0.0
    while not (ended := ray.wait(calls, timeout=_LOOK)[0]):
        now, before = time.monotonic(), left
        left = tally.count().left
        if left != before or tally.working():
            until = now + _START
        elif now > until:
            raise JobError(f"no worker of the Ray cluster was at the job for {_START:g} s")
    return list(ended)


def _ray() -> Any:
    # Before the import, which reads them: no reports to its makers, and errors as errors.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise JobError("Ray is not installed; `pip install netsurgery[ray]` installs it") from None
    return ray


@contextmanager
def _connected(ray: Any, assignment: JobAssignment) -> Iterator[None]:
    """A cluster: the one that is named, that of RAY_ADDRESS, or one on this machine for as long."""
    quiet = {"log_to_driver": False, "configure_logging": False}
    local = assignment.on == "ray" and not os.environ.get("RAY_ADDRESS")
    if local and len(os.fsencode(assignment.scratch)) > _SOCKET - _SESSION:
        raise JobError(
            f"{assignment.scratch}: too long a name for Ray, whose sockets are in there; TMPDIR "
            "names a shorter one"
        )
    address = None if assignment.on == "ray" else assignment.on
    if address is not None:
        _check_answer(address)
    own = {"_temp_dir": assignment.scratch, "include_dashboard": False} if local else {}
    # What Ray starts here ends when it notices that we have, and writes to its folder until then.
    Undo(kill_others, early=True)
    try:
        _begin(ray, address, {**quiet, **own})
    except (ConnectionError, ImportError, RuntimeError, ValueError, TimeoutError) as error:
        where = address or os.environ.get("RAY_ADDRESS") or "on this machine"
        raise JobError(f"no Ray cluster {where}: {_first_line(error)}") from error
    try:
        yield
    finally:
        ray.shutdown()


def _begin(ray: Any, address: str | None, options: dict[str, Any]) -> None:
    """Connect; once more where the cluster's server for this client did not start.

    Ray looks for a free port some time before it takes it, and another cluster of the machine may
    be faster; the next server gets another port.
    """
    try:
        ray.init(address, **options)
    except ConnectionError as error:
        if _NOT_STARTED not in str(error):
            raise
        ray.init(address, **options)


def _check_answer(address: str) -> None:
    """Raise JobError where nothing is at the address; Ray itself would try for long."""
    parts = urlsplit(address)
    try:
        socket.create_connection((parts.hostname or "", parts.port or 10001), _CONNECT).close()
    except (OSError, ValueError) as error:
        raise JobError(f"no Ray cluster {address}: {error}") from error


def _first_line(error: BaseException) -> str:
    """Of a message that only announces a traceback its last line too, which has the reason."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    announces = lines[0].endswith(":") and len(lines) > 1
    return f"{lines[0]} {lines[-1].strip()}" if announces else lines[0]
