"""Every command on a machine that lacks something: it does its work, or says in one line why not.

Each fault is a real one: a full or read-only file system and missing parts of the machine are
mounts that only the command's own process sees. Each command has some of the faults; `make sweeps`
has all of them for all.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from dealt import dealt
from every_command import COMMANDS, GOOD, make_good

from netsurgery.cli import run
from netsurgery.errors import CaffemodelError
from netsurgery.io.reader import Reader
from netsurgery.io.segments import FileSource

ROOT = Path(__file__).resolve().parent.parent
NETSURGERY = [sys.executable, "-m", "netsurgery"]

#: Those whose outputs are files; the others print.
WRITERS = (
    *("convert", "classify-map", "dense", "draw", "init", "edit", "export", "train"),
    *("transplant", "upgrade", "features", "setup"),
)


@dataclass(frozen=True)
class Done:
    """How a command ended, and what lay in its folder then."""

    code: int
    out: str
    err: str
    files: set[str]


def _namespace() -> list[str]:
    """What gives a process mounts of its own; empty where it cannot be had."""
    for command in (["unshare", "-m"], ["unshare", "-rm"]):
        mount = [*command, "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
        try:
            if subprocess.run(mount, capture_output=True, check=False).returncode == 0:
                return command
        except FileNotFoundError:
            break
    return []


NAMESPACE = _namespace()


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of `every_command`."""
    folder = tmp_path_factory.mktemp("inputs")
    make_good(128, folder)
    return folder


def suffer(folder: Path, inputs: Path, fault: str, words: list[str], **env: str | None) -> Done:
    """Run a command in a folder of its own, a file system of 2 MiB, after the shell did `fault`."""
    if not NAMESPACE:
        pytest.skip("no mounts of one's own can be had here")
    work = folder / "inside"
    work.mkdir()
    script = f"""
        exec 3>{shlex.quote(str(folder / "listing"))}
        mount -t tmpfs -o size=2m tmpfs inside && cp {shlex.quote(str(inputs))}/* inside || exit 99
        cd inside
        ( {fault}
        exec "$@" 3>&- ); code=$?
        ls -A >&3; exit $code
    """
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("NETSURGERY_")}
    merged = {**inherited, "PYTHONPATH": str(ROOT), "NETSURGERY_ENGINE": "embedded", **env}
    done = subprocess.run(
        [*NAMESPACE, "sh", "-c", script, "sh", *NETSURGERY, *words],
        cwd=folder,
        env={name: value for name, value in merged.items() if value is not None},
        capture_output=True,
        timeout=60,
        check=False,
    )
    files = set((folder / "listing").read_text().splitlines())
    out, err = (text.decode("utf-8", "backslashreplace") for text in (done.stdout, done.stderr))
    return Done(done.returncode, out, err, files - set(os.listdir(inputs)))


def words_of(name: str) -> list[str]:
    return [name, *COMMANDS[name][-1].replace("NET", "good.prototxt").split()]


#: What is missing -> what the shell does first.
HARMLESS = {
    "16 descriptors, no home, no /dev/shm, no /proc": """
        ulimit -n 16; unset HOME
        mount -t tmpfs -o ro tmpfs /dev/shm; mount -t tmpfs -o ro tmpfs /proc""",
    "no standard streams": "exec <&- >&- 2>&-",
}


@pytest.mark.parametrize(("name", "fault"), dealt(COMMANDS, HARMLESS, 2))
def test_what_a_command_can_do_without(tmp_path: Path, inputs: Path, fault: str, name: str) -> None:
    done = suffer(tmp_path, inputs, HARMLESS[fault], words_of(name))
    assert (done.code, done.err) == (0, "")
    assert bool(done.files) == (name in WRITERS)


@pytest.mark.parametrize(
    ("closed", "numbers"),
    [("<&-", [0]), (">&-", [1]), ("2>&-", [2]), ("<&- >&- 2>&-", [0, 1, 2])],
)
def test_no_file_gets_the_number_of_a_standard_stream(
    tmp_path: Path, inputs: Path, closed: str, numbers: list[int]
) -> None:
    """What a library in C prints would go into it."""
    printing = tmp_path / "sitecustomize.py"
    printing.write_text(
        "import ctypes, os, netsurgery.io.segments as segments\n"
        "real = segments._Writer.flush\n"
        "def flush(writer):\n"
        "    libc = ctypes.CDLL(None)\n"
        "    for number in range(3): libc.write(number, b'PRINTED', 7)\n"
        f"    for number in {numbers}:\n"
        "        assert os.path.samestat(os.fstat(number), os.stat(os.devnull))\n"
        "    real(writer)\n"
        "segments._Writer.flush = flush\n"
    )
    words = ["edit", "good.prototxt", "good.caffemodel", "-o", str(tmp_path / "out.caffemodel")]
    env = {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    done = suffer(tmp_path, inputs, f"exec {closed}", [*words, "conv[0]*=2"], **env)
    assert done.code == 0
    assert b"PRINTED" not in (tmp_path / "out.caffemodel").read_bytes()


#: What a command cannot write with -> what the shell does first, and the reason that is given.
HARMFUL = {
    "a full disk": ("cat /dev/zero >fill 2>&-", "No space left on device"),
    "a read-only folder": ("mount -o remount,ro .", "Read-only file system"),
    "a limit on files": ("ulimit -f 0", "File too large"),
}


@pytest.mark.parametrize(("name", "fault"), dealt(WRITERS, HARMFUL, 3))
def test_what_no_output_can_be_written_with(
    tmp_path: Path, inputs: Path, fault: str, name: str
) -> None:
    before, reason = HARMFUL[fault]
    done = suffer(tmp_path, inputs, before, words_of(name))
    assert done.code == 1
    assert done.err.startswith("error: netsurgery.toml" if name == "setup" else "error: out")
    assert done.err.endswith(f": {reason}\n")
    assert done.err.count("\n") == 1
    assert done.files - {"fill"} == set()


#: One starts an engine's process, and one has its engine in its own.
FEW = {
    "convert": "INPUTS/good.prototxt INPUTS/good.caffemodel -o out -q --engine caffe "
    f"--caffe-python {sys.executable}",
    "features": "INPUTS/grey.png --prototxt INPUTS/good.prototxt --weights INPUTS/good.caffemodel "
    "--blob fc -o out.npz -q --engine embedded",
}


@pytest.mark.parametrize(("limit", "name"), dealt(range(5, 17), FEW, 2))
def test_however_few_descriptors(tmp_path: Path, inputs: Path, limit: int, name: str) -> None:
    """What cannot be opened then is a library's file, an input or an output."""
    words = [name, *FEW[name].replace("INPUTS", str(inputs)).split()]
    done = subprocess.run(
        ["sh", "-c", f'ulimit -n {limit}; exec "$@"', "sh", *NETSURGERY, *words],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1 or (done.returncode == 0 and limit > 8 and name == "features")
    assert done.stderr.startswith("error: ") or not done.returncode
    assert done.stderr.count("\n") == done.returncode, done.stderr
    assert done.returncode == 0 or os.listdir(tmp_path) == []


#: A locale of ASCII alone, which Python takes for UTF-8 unless it is asked not to.
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
LOCALES = {"UTF-8": {}, "ASCII": ASCII}


@pytest.mark.parametrize(("name", "locale"), dealt(COMMANDS, LOCALES, 2))
def test_names_that_are_not_of_the_locale(
    tmp_path: Path, inputs: Path, name: str, locale: str
) -> None:
    """Files and folders whose names are not UTF-8, and a net whose layer's is not ASCII."""
    folder = tmp_path / os.fsdecode(b"folder \xfe")
    folder.mkdir()
    net, weights = os.fsdecode(b"net \xff.prototxt"), os.fsdecode(b"\xfd.caffemodel")
    (folder / net).write_text(GOOD.replace('"fc"', '"Ĺayer"'), "utf-8")
    assert run(["init", str(folder / net), "-q", "-o", str(folder / weights)]) == 0
    for plain in ("grey.png", "good.json"):
        shutil.copy(inputs / plain, folder)
    files = {"NET": net, "good.prototxt": net, "good.caffemodel": weights}
    words = [files.get(word, word) for word in COMMANDS[name][-1].split()]
    done = subprocess.run(
        [*NETSURGERY, name, *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **LOCALES[locale]},
        capture_output=True,
        timeout=60,
        check=False,
    )
    if name == "setup":  # whose file could not name them, which TOML holds as UTF-8
        assert done.returncode == 1
        assert done.stderr.startswith(b"error: ")
        assert b"not a name that netsurgery.toml can hold (not UTF-8)" in done.stderr
        assert not (folder / "netsurgery.toml").exists()
        return
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_toml_that_names_files_beyond_the_locale(tmp_path: Path, inputs: Path) -> None:
    shutil.copy(inputs / "good.prototxt", tmp_path / "é.prototxt")
    shutil.copy(inputs / "good.caffemodel", tmp_path / "é.caffemodel")
    toml = tmp_path / "netsurgery.toml"
    toml.write_text('[model]\nprototxt = "é.prototxt"\nweights = "é.caffemodel"\n', "utf-8")
    grey = str(inputs / "grey.png")
    for words in (["-o", "out.npz"], ["-o", "no.npz", "--mean", "é.npy"]):
        done = subprocess.run(
            [*NETSURGERY, "features", grey, "--blob", "fc", *words],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT), **ASCII, "NETSURGERY_ENGINE": "embedded"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        missing = "error: \\xc3\\xa9.npy: No such file or directory\n"
        assert done.stderr.endswith(missing if "--mean" in words else ".toml)\n")
        assert done.returncode == ("--mean" in words)


#: A user of whom the system knows nothing.
HOMELESS = """
    unset HOME XDG_DATA_HOME XDG_CONFIG_HOME; set -- unshare -U --map-user=54321 "$@\""""


def test_a_user_without_a_home_installs_where_he_says(tmp_path: Path, inputs: Path) -> None:
    done = suffer(tmp_path, inputs, HOMELESS, ["caffe", "install"])
    assert (done.code, done.files) == (1, set())
    assert done.err == (
        "error: no home folder is known, and so no place for Caffe: set HOME, or name one with "
        "--prefix or NETSURGERY_CAFFE_PREFIX\n"
    )


def test_a_user_without_a_home_has_no_caffe_there(tmp_path: Path, inputs: Path) -> None:
    done = suffer(tmp_path, inputs, HOMELESS, ["caffe", "info"])
    assert (done.err, done.files) == ("", set())
    assert "installed: nowhere\n  not usable: no home folder is known" in done.out


NOWHERE = "mount -t tmpfs -o ro tmpfs /tmp; mount -t tmpfs -o ro tmpfs /var/tmp; export TMPDIR=/no"


@pytest.mark.parametrize(
    ("fault", "code", "err"),
    [
        (NOWHERE, 0, ""),  # the current folder will do
        (
            f"{NOWHERE}; mount --bind . /mnt; cd /mnt; mount -o remount,ro,bind /mnt",
            1,
            "error: no folder for temporary files: No usable temporary directory found in "
            "['/no', '/tmp', '/var/tmp', '/usr/tmp', '/mnt']; TMPDIR names another\n",
        ),
    ],
    ids=["no TMPDIR", "no TMPDIR and a read-only folder"],
)
def test_without_a_folder_for_temporary_files(
    inputs: Path, fault: str, code: int, err: str
) -> None:
    """Such as an output to standard output is put into first."""
    folder = Path(tempfile.mkdtemp(dir="/dev/shm"))
    try:
        words = ["init", "good.prototxt", "-q", "-o", "-"]
        done = suffer(folder, inputs, fault, words)
    finally:
        shutil.rmtree(folder)
    assert (done.code, done.err, done.files) == (code, err, set())


#: A module that is imported as the command starts: a file that was mapped loses its content.
SHRINKING = """
import os
from netsurgery.engines import ort_session
from netsurgery.io import segments
real_map, real_run = segments.FileSource.map, ort_session.Session.run
def map(source):
    made = real_map(source)
    if source.path == "fc.npy":
        os.truncate(source.path, 0)
    return made
def run(session, feed):
    os.truncate("good.caffemodel", 0)
    return real_run(session, feed)
segments.FileSource.map, ort_session.Session.run = map, run
"""
_NET = "good.prototxt good.caffemodel"


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (f"edit {_NET} fc[0]=npy:fc.npy -o out.caffemodel", "fc.npy"),
        (f"verify {_NET} {_NET}", "good.caffemodel"),
        (
            "features grey.png --prototxt good.prototxt --weights good.caffemodel --blob fc "
            "-o out.npz",
            "good.caffemodel",
        ),
    ],
)
def test_a_mapped_file_that_becomes_shorter(
    tmp_path: Path, inputs: Path, words: str, name: str
) -> None:
    """The system ends such a process by SIGBUS, in the middle of a sum."""
    (tmp_path / "sitecustomize.py").write_text(SHRINKING)
    np.save(tmp_path / "fc.npy", np.ones((3, 72), "f4"))
    env = {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    done = suffer(tmp_path, inputs, f"cp {tmp_path}/fc.npy .", words.split(), **env)
    assert (done.code, done.files - {"fc.npy"}) == (1, set())
    assert done.err == (
        f"error: {tmp_path}/inside/{name}: became shorter while it was being read\n"
    )


@pytest.mark.parametrize(
    "use",
    [
        "np.frombuffer(mapped, np.uint8).sum()",
        "np.frombuffer(mapped, np.float32).dot(np.ones(1 << 22, np.float32))",
        "bytes(mapped)",
        "threading.Thread(target=lambda: bytes(mapped)).start(); time.sleep(20)",
        "outputs['out'].write(mapped)",
        "source.close(); bytes(mapped)",
        "os.unlink('big'); bytes(mapped)",
    ],
)
def test_whatever_is_done_with_a_mapped_file_then(tmp_path: Path, use: str) -> None:
    (tmp_path / "big").write_bytes(bytes(1 << 24))
    code = f"""
import os, threading, time
import numpy as np
from netsurgery import __main__ as command
from netsurgery.io.files import Outputs
from netsurgery.io.mapping import guard
from netsurgery.io.segments import FileSource
guard(command.end_by_lost_files)
with Outputs(["out"]) as outputs:
    source = FileSource("big")
    mapped = source.map()
    os.truncate("big", 1 << 20)
    {use}
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    message = done.stderr.splitlines()[-1].partition(": ")[2]
    gone = "unlink" in use
    assert message == (
        "cannot be read any more: {0}" if gone else "{0}: became shorter while it was being read"
    ).format(tmp_path / "big")
    assert os.listdir(tmp_path) == ([] if gone else ["big"])


def test_a_file_that_became_shorter_before_it_was_mapped(tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.write_bytes(bytes(8192))
    reader = Reader(FileSource(path))
    os.truncate(path, 4096)
    with pytest.raises(CaffemodelError, match="cannot be mapped: it became shorter"):
        reader.floats(0, (2048,))
