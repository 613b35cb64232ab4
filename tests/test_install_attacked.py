"""`caffe install` among other users, other installs, kills, and packages that mean harm."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import signal
import stat
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from test_debian import Machine, machine, refused  # noqa: F401 - a fixture
from test_ownership import EVE, Give, give  # noqa: F401 - a fixture

from netsurgery.engines import apt, debian, discovery
from netsurgery.engines.discovery import candidates
from netsurgery.engines.probing import probe
from netsurgery.engines.unpacking import unpack
from netsurgery.errors import InstallError

pytestmark = pytest.mark.usefixtures("option_names")

# ruff: noqa: F811

PACKAGE = Path(apt.__file__).parents[2]


def calls(machine: Machine) -> str:
    try:
        return (machine.fake / "calls").read_text()
    except FileNotFoundError:
        return ""


def test_what_was_checked_is_reported(machine: Machine) -> None:
    lines: list[str] = []
    machine.install(report=lines.append)
    plan = (machine.fake / "plan").read_text().splitlines()[1:]
    digests = [line.rpartition(":")[2] for line in plan]
    assert lines == [
        f"index of bullseye on http://mirror.example/debian: signed by a key of {apt.KEYRINGS[0]}",
        f"base 1: SHA-256 {digests[0]}, as in the index",
        f"caffe-doc 1: SHA-256 {digests[1]}, as in the index",
    ]


def test_who_signed_is_reported(machine: Machine) -> None:
    from test_debian import script

    script(
        machine.bin / "gpgv",
        "#!/bin/sh\necho '[GNUPG:] GOODSIG 0E98 Debian Archive (11) <a@b>'\n"
        "echo '[GNUPG:] VALIDSIG 1F89983E0081FDE0 2021 0 4'\n",
    )
    lists = machine.prefix / ".downloads/lists"
    lists.mkdir(parents=True)
    (lists / "mirror_dists_bullseye_InRelease").touch()
    lines: list[str] = []
    machine.install(report=lines.append)
    assert lines[0].endswith(": Debian Archive (11) <a@b> (1F89983E0081FDE0)")


def test_a_file_that_is_not_the_indexs_is_not_unpacked(machine: Machine) -> None:
    """Whatever apt says of it."""
    plan = (machine.fake / "plan").read_text()
    first = plan.split("SHA256:")[1][:64]
    machine.say("plan", plan.replace(first, "0" * 64))
    assert refused(machine.install) == (
        "base_1_amd64.deb is not the file that the signed index of bullseye names: its SHA-256 "
        f"should be {'0' * 64}; try again, or name another mirror with --mirror"
    )
    assert not (machine.prefix / "install").exists()


def all_can_write(place: Path, give: Give) -> None:
    place.chmod(0o777)


def is_eves(place: Path, give: Give) -> None:
    give(place, EVE)


@pytest.mark.parametrize("whose", [all_can_write, is_eves])
@pytest.mark.parametrize("place", ["", ".downloads", "..", "install"])
def test_a_data_folder_that_others_can_change(
    machine: Machine, give: Give, whose: Callable[[Path, Give], None], place: str
) -> None:
    """Nothing is put there, and nothing of what is there is run."""
    folder = Path(os.path.abspath(machine.prefix / place))
    folder.mkdir(parents=True, exist_ok=True)
    if place == "install":
        script_of_eve(folder)
    whose(folder, give)
    message = refused(machine.install)
    assert message.startswith(f"{folder} ")
    assert message.endswith(
        ", and what is installed there is run later: choose another place with --prefix"
    )
    assert calls(machine) == ""


def script_of_eve(install: Path) -> None:
    (install / "root").mkdir(parents=True, exist_ok=True)
    (install / "stamp.json").write_text('{"suite": "bullseye"}')
    python = install / "python"
    python.write_text(f"#!/bin/sh\ntouch {install.parent}/ran\n")
    python.chmod(0o755)


@pytest.mark.parametrize("name", ["install", ".downloads"])
def test_a_planted_link_in_the_data_folder(machine: Machine, give: Give, name: str) -> None:
    eves = machine.fake.parent / "eves"
    eves.mkdir()
    machine.prefix.mkdir()
    (machine.prefix / name).symlink_to(eves)
    give(machine.prefix / name, EVE)
    assert f"{machine.prefix / name} belongs to another user" in refused(machine.install)
    assert os.listdir(eves) == []
    assert calls(machine) == ""


@pytest.mark.parametrize("whose", [all_can_write, is_eves])
@pytest.mark.parametrize("place", ["..", "", "install", "install/root", "install/python"])
def test_what_others_can_change_is_not_run(
    machine: Machine,
    give: Give,
    monkeypatch: pytest.MonkeyPatch,
    whose: Callable[[Path, Give], None],
    place: str,
) -> None:
    machine.install()
    script_of_eve(machine.prefix / "install")
    monkeypatch.setenv("NETSURGERY_CAFFE_PREFIX", str(machine.prefix))
    monkeypatch.delenv("NETSURGERY_CAFFE_PYTHON", raising=False)
    assert candidates()[-1].python == str(machine.prefix / "install/python")
    folder = Path(os.path.abspath(machine.prefix / place))
    whose(folder, give)
    candidate = candidates()[-1]
    assert (candidate.origin, candidate.python) == ("installed", None)
    assert candidate.reason.startswith(f"{folder} ")
    assert candidate.reason.endswith(", so it is not run; --caffe-python takes it all the same")
    assert debian.installed_python() is None
    assert debian.caffe_documentation() is None
    assert discovery.probe_all()[-1].caffe is None
    assert not (machine.prefix / "ran").exists()


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_a_planted_lock(machine: Machine, kind: str) -> None:
    precious = machine.fake / "precious"
    precious.write_text("years of work")
    machine.prefix.mkdir()
    lock = machine.prefix / ".lock"
    if kind == "link":
        lock.symlink_to(precious)
        assert "Too many levels of symbolic links" in refused(machine.install)
    else:
        os.mkfifo(lock)
        machine.install()
    assert precious.read_text() == "years of work"


def test_nobody_else_can_write_to_what_is_made(machine: Machine) -> None:
    umask = os.umask(0)
    try:
        machine.install(keep_downloads=True)
        assert os.umask(0) == 0
    finally:
        os.umask(umask)
    for path in [machine.prefix, *machine.prefix.rglob("*")]:
        assert path.is_symlink() or path.stat().st_mode & 0o022 == 0, path


INSTALL = """
import os, signal, sys
from pathlib import Path
from netsurgery.engines import apt, debian
apt.KEYRINGS = (Path(sys.argv[2]),)
debian.SPACE = 1000
left = int(sys.argv[3])
CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.chmod", "os.symlink", "os.link",
           "os.truncate", "subprocess.Popen"}
def step(event, args):
    global left
    writes = event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR)
    if writes or event in CHANGES:
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        if event == "os.rename":
            renames.append(int(sys.argv[3]) - left)
        left -= 1
renames = []
sys.addaudithook(step)
debian.install_caffe(Path(sys.argv[1]), force=sys.argv[4] == "force")
print(int(sys.argv[3]) - left, *renames)
"""


def start_install(machine: Machine, kill_at: int, force: str = "") -> subprocess.Popen[str]:
    keys = str(apt.KEYRINGS[0])
    return subprocess.Popen(
        [sys.executable, "-B", "-c", INSTALL, str(machine.prefix), keys, str(kill_at), force],
        env=dict(os.environ, PYTHONPATH=str(PACKAGE)),
        stdout=subprocess.PIPE,
        text=True,
    )


def again_from(before: Path, machine: Machine) -> None:
    debian._remove(machine.prefix)
    shutil.copytree(before, machine.prefix, symlinks=True)


@pytest.mark.parametrize("force", ["", "force"])
def test_killed_at_any_step(machine: Machine, force: str) -> None:
    """There is no install, or a whole one, and the next one makes it whole without a trace."""
    before = machine.fake.parent / "before"
    before.mkdir()
    if force:
        machine.install()
        before.rmdir()
        machine.prefix.rename(before)
    again_from(before, machine)
    out, _ = start_install(machine, 1 << 30, force).communicate()
    steps, *renames = map(int, out.split())
    assert len(renames) >= 1 + bool(force)  # of an old one away, of the new one into its place
    at = {*range(0, steps, max(1, steps // 12)), *range(steps - 3, steps)}
    at |= {number + more for number in renames for more in (0, 1)}
    for kill_at in sorted(number for number in at if number < steps):
        again_from(before, machine)
        process = start_install(machine, kill_at, force)
        process.communicate()
        assert process.returncode == -signal.SIGKILL, kill_at
        python = debian.installed_python(machine.prefix)
        if python is not None:
            assert probe(python).version == "1.0.0", kill_at
        asked = calls(machine)
        again = machine.install()
        assert probe(str(again)).version == "1.0.0", kill_at
        if force:
            assert calls(machine) == asked, f"killed at {kill_at}, the old one was lost"
        left = {".lock", "install", ".downloads"}
        assert set(os.listdir(machine.prefix)) <= left, kill_at


def test_two_processes_at_once(machine: Machine) -> None:
    both = [start_install(machine, 1 << 30) for _ in range(2)]
    for process in both:
        process.communicate(timeout=60)
        assert process.returncode == 0
    assert machine.fetched() == ["base_1_amd64.deb", "caffe-doc_1_all.deb"]
    assert probe(str(machine.install())).version == "1.0.0"
    assert sorted(os.listdir(machine.prefix)) == [".lock", "install"]


def test_an_install_waits_for_one_that_is_killed(machine: Machine) -> None:
    machine.say("download.sleep", "")
    first = start_install(machine, 1 << 30)
    machine.sleeper()
    (machine.fake / "download.sleep").unlink()
    second = start_install(machine, 1 << 30)
    time.sleep(0.3)
    assert second.poll() is None
    first.kill()
    first.communicate()
    second.communicate(timeout=60)
    assert second.returncode == 0
    assert debian.installed_python(machine.prefix) is not None


def entry(
    name: str, kind: bytes = tarfile.REGTYPE, link: str = "", mode: int = 0o644
) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname, member.mode = kind, link, mode
    member.size = 5 if kind == tarfile.REGTYPE else 0
    member.uid = EVE
    return member


def packed(folder: Path, *members: tarfile.TarInfo) -> Path:
    path = folder / "evil_1_all.deb"
    with tarfile.open(path, "w") as tar:
        for member in members:
            tar.addfile(member, io.BytesIO(b"evil\n") if member.size else None)
    return path


EVIL = {
    "an absolute name": ([entry("/etc/evil")], "its name leads out of the folder"),
    "a name that goes up": ([entry("./usr/../../evil")], "its name leads out of the folder"),
    "a link up": (
        [entry("up", tarfile.SYMTYPE, "../..")],
        "it is a link out of the folder (../..)",
    ),
    "a chain of links": (
        [
            entry("a", tarfile.DIRTYPE, mode=0o755),
            entry("a/here", tarfile.SYMTYPE, "."),
            entry("a/out", tarfile.SYMTYPE, "here/../.."),
        ],
        "it is a link out of the folder (here/../..)",
    ),
    "a hard link": (
        [entry("hard", tarfile.LNKTYPE, "../precious")],
        "it is a link out of the folder (../precious)",
    ),
    "a device": ([entry("null", tarfile.CHRTYPE)], "it is a device or a pipe"),
    "a pipe": ([entry("fifo", tarfile.FIFOTYPE)], "it is a device or a pipe"),
}


@pytest.mark.parametrize("name", EVIL)
def test_a_package_that_leads_out_of_its_folder(
    machine: Machine, tmp_path: Path, name: str
) -> None:
    members, why = EVIL[name]
    (tmp_path / "root").mkdir()
    (tmp_path / "precious").write_text("years of work")
    package = packed(tmp_path, *members)
    before = sorted(os.listdir(tmp_path))
    message = refused(lambda: unpack(package, tmp_path / "root"))
    assert message == f"evil_1_all.deb: {members[-1].name!r} is not unpacked: {why}"
    assert sorted(os.listdir(tmp_path)) == before
    assert (tmp_path / "precious").read_text() == "years of work"


def test_a_link_that_leads_out_later(machine: Machine, tmp_path: Path) -> None:
    """Harmless when it is made, since nothing is there yet."""
    root = tmp_path / "root"
    root.mkdir()
    package = packed(
        tmp_path,
        entry("x", tarfile.SYMTYPE, "y/../../precious"),
        entry("d", tarfile.DIRTYPE, mode=0o755),
        entry("y", tarfile.SYMTYPE, "d"),
        entry("x", tarfile.REGTYPE),
    )
    (tmp_path / "precious").write_text("years of work")
    with contextlib.suppress(InstallError):
        unpack(package, root)
    assert (tmp_path / "precious").read_text() == "years of work"


def test_what_is_unpacked_is_ones_own_and_runs_as_nobody_else(
    machine: Machine, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    package = packed(
        tmp_path,
        entry("bin", tarfile.DIRTYPE, mode=0o7777),
        entry("bin/su", mode=0o6777),
        entry("bin/shut", mode=0),
        entry("usr/bin/link", tarfile.SYMTYPE, "/bin/su"),
        entry("bin/second", tarfile.LNKTYPE, "bin/su", mode=0o6777),
    )
    unpack(package, root)
    assert stat.S_IMODE((root / "bin").stat().st_mode) == 0o755
    assert stat.S_IMODE((root / "bin/su").stat().st_mode) == 0o755
    assert stat.S_IMODE((root / "bin/shut").stat().st_mode) == 0o600
    assert os.readlink(root / "usr/bin/link") == "../../bin/su"
    assert (root / "bin/second").samefile(root / "bin/su")
    for path in root.rglob("*"):
        assert path.lstat().st_uid == os.geteuid()
