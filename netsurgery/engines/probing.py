"""Asking one interpreter about its Caffe, in a process of its own.

Any folder named caffe imports as an empty package, and a broken build may crash or hang, so the
question is put by running caffe_probe.py under the interpreter: in an empty folder, with a time
limit, and without a core file of hundreds of MB when it aborts.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from netsurgery.engines.limits import no_limits
from netsurgery.engines.syscall_filter import syscall_filter
from netsurgery.engines.worker_log import how_it_ended
from netsurgery.errors import EngineMissing, OutputError
from netsurgery.io.children import run
from netsurgery.io.scratch import scratch_folder

__all__ = [
    "PATH_VARIABLE",
    "Caffe",
    "NotUsable",
    "caffe_path",
    "guest_environment",
    "own_path",
    "path_hint",
    "probe",
    "resolve_python",
]

PROBE = Path(__file__).with_name("caffe_probe.py")
PATH_VARIABLE = "NETSURGERY_CAFFE_PYTHONPATH"
TIMEOUT = 60.0  # seconds; `import caffe` takes 1.3 s here, minutes on a cold network disk


class NotUsable(EngineMissing):
    """This interpreter has no Caffe that works; the text is the reason alone."""


@dataclass(frozen=True)
class Caffe:
    """A Caffe that was tried and works.

    python: the interpreter to run, as given (a launcher or a virtual environment's link stays).
    version, python_version: "1.0.0", "3.9.2"; path: the folder of the caffe package.
    blas: "OpenBLAS", "MKL", ... or None if it is not known; blas_path: the library's file.
    cuda: whether GPU code is compiled in (not whether there is a GPU).
    layer_types: every type this build knows, sorted; empty in builds too old to list them.
    landlock: the version of Linux's Landlock, 0 for none. unconfined: for "writes", "reads",
    "calls" (system calls), "memory" and "processes" why its process is not confined in that here,
    or "".
    origin: "--caffe-python", "NETSURGERY_CAFFE_PYTHON", "this interpreter" or "installed".

    >>> caffe = Caffe("/usr/bin/python3", "1.0.0", "3.9.2", "caffe", None, None, False, ("ReLU",))
    >>> caffe.version, "ReLU" in caffe.layer_types
    ('1.0.0', True)
    """

    python: str
    version: str
    python_version: str
    path: str
    blas: str | None
    blas_path: str | None
    cuda: bool
    layer_types: tuple[str, ...]
    origin: str = ""
    landlock: int = 0
    unconfined: Mapping[str, str] = field(default_factory=dict)


def resolve_python(python: str) -> str:
    """An interpreter's absolute path from a path or a command name. Raises NotUsable.

    Links are kept: a virtual environment is known by where its link lies.
    """
    text = os.path.expanduser(python)
    if os.sep not in text:
        command = shutil.which(text)
        if command is None and not os.path.exists(text):
            raise NotUsable("no such file, and no such command on PATH")
        text = command or text
    path = os.path.abspath(text)
    if not os.path.exists(path):
        raise NotUsable("no such file")
    if os.path.isdir(path):
        raise NotUsable("this is a folder; give the Python interpreter itself")
    if not os.access(path, os.X_OK):
        raise NotUsable("not executable; give the Python interpreter itself")
    return path


def guest_environment(*, modules: bool = False) -> dict[str, str]:
    """This process's environment, for an interpreter of somebody else's started in another folder.

    What is meant for our own Python is none of its business: no variable PYTHON... is passed on.
    NETSURGERY_CAFFE_PYTHONPATH is its PYTHONPATH, and with `modules`, which nets may then import,
    our own PYTHONPATH is added: its relative entries made absolute, and empty ones, which mean the
    current folder, dropped. Logging below errors is off. Raises NotUsable for a relative entry of
    NETSURGERY_CAFFE_PYTHONPATH.
    """
    ours = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment = {"GLOG_minloglevel": "2", **ours}
    entries = caffe_path()
    if modules:
        entries += own_path()
    if entries:
        environment["PYTHONPATH"] = os.pathsep.join(entries)
    return environment


def caffe_path() -> list[str]:
    """The entries of NETSURGERY_CAFFE_PYTHONPATH, where Caffe's Python looks for modules first."""
    entries = [entry for entry in os.environ.get(PATH_VARIABLE, "").split(os.pathsep) if entry]
    for entry in entries:
        if not os.path.isabs(entry):
            raise NotUsable(f"{PATH_VARIABLE}: {entry!r} is relative; give the whole path")
    return entries


def own_path() -> list[str]:
    """The folders of our own PYTHONPATH, which do not reach Caffe's Python."""
    entries = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return [os.path.abspath(entry) for entry in entries if entry]


def path_hint() -> str:
    """What to add where no caffe is found and our own PYTHONPATH has one; "" where it has none."""
    place = next(
        (folder for folder in own_path() if os.path.isdir(os.path.join(folder, "caffe"))), None
    )
    return f"; for a caffe in {place} set {PATH_VARIABLE}, PYTHONPATH is not used" if place else ""


def probe(python: str, origin: str = "", timeout: float = TIMEOUT) -> Caffe:
    """Import caffe under `python` and say what it is. Raises NotUsable with the reason."""
    answer, trouble = _run(python, timeout)
    try:
        facts: dict[str, Any] = json.loads(answer)
        if "error" in facts:
            raise NotUsable(facts["error"] + path_hint())
        unconfined = {**facts.pop("unconfined", {}), "memory": no_limits()}
        return Caffe(
            python=python,
            unconfined=unconfined,
            origin=origin,
            layer_types=tuple(facts.pop("layer_types")),
            **facts,
        )
    except (ValueError, TypeError, KeyError):
        raise NotUsable(trouble or "it does not answer as a Python interpreter would") from None


def _run(python: str, timeout: float) -> tuple[str, str]:
    """What the probe printed, and a sentence on how it failed ("" where it did not)."""
    command = [python, str(PROBE), syscall_filter(0, gpu=False, allow=()).hex()]
    env = guest_environment()
    try:
        with scratch_folder() as scratch:
            env["TMPDIR"] = str(scratch)
            done = run(command, timeout=timeout, cwd=scratch, env=env)
    except OutputError as error:
        raise NotUsable(str(error)) from None
    except OSError as error:
        raise NotUsable(f"cannot be run: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise NotUsable(f"import caffe took longer than {timeout:g} s") from None
    return done.stdout, _failure(done.returncode, done.stderr)


def _failure(code: int, noise: str) -> str:
    if code == 0:
        return ""
    lines = [line.strip() for line in noise.splitlines() if line.strip()]
    said = f": {lines[-1]}" if lines else ""
    return f"import caffe {how_it_ended(code)}{said}"
