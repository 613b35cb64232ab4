"""Getting Caffe, without a network: scripts stand in for apt-get and for the packages."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import io
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from processes import alive

from netsurgery.engines import apt, debian
from netsurgery.engines.probing import probe
from netsurgery.errors import InstallError

#: Messages are compared as the command words them.
pytestmark = pytest.mark.usefixtures("option_names")

MIRROR = "http://mirror.example/debian"

APT_GET = r"""#!/bin/sh
echo "$*" >> "$FAKE/calls"
case "$*" in
*indextargets*) cat "$FAKE/targets"; exit 0;;
*--print-uris*update*) cat "$FAKE/uris"; exit 0;;
*--print-uris*) cat "$FAKE/plan"; exit 0;;
*--download-only*)
  cache=$(sed -n 's/^Dir::Cache "\(.*\)";$/\1/p' "$APT_CONFIG")
  for file in "$FAKE"/debs/*.deb; do
    [ -e "$cache/archives/${file##*/}" ] || { echo "$file" >> "$FAKE/fetched"; cp "$file" "$cache/archives/"; }
  done
  step=download;;
*) step=update;;
esac
if [ -e "$FAKE/$step.sleep" ]; then echo $$ > "$FAKE/pid"; exec sleep 30; fi
if [ -e "$FAKE/$step.fails" ]; then cat "$FAKE/$step.fails"; exit 100; fi
"""  # noqa: E501

DPKG_DEB = """#!/bin/sh
if [ -e "$FAKE/unpack.fails" ]; then cat "$FAKE/unpack.fails" >&2; exit 2; fi
exec cat "$2"
"""

#: What the unpacked "python3" answers to whatever it is asked to run.
ANSWER = {
    "version": "1.0.0",
    "python_version": "3.9.2",
    "path": "/caffe",
    "blas": "OpenBLAS",
    "blas_path": "/lib/libopenblas.so.0",
    "cuda": False,
    "layer_types": ["Convolution", "InnerProduct"],
}
LOADER = """#!/bin/sh
libraries=$2
shift 2
export libraries
exec "$@"
"""


def script(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def pack(path: Path, files: dict[str, tuple[str, int]], links: dict[str, str]) -> None:
    """A tar that the fake dpkg-deb unpacks: name -> text, mode; name -> where it points."""
    with tarfile.open(path, "w") as tar:
        for name, (text, mode) in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(text.encode()), mode
            tar.addfile(entry, io.BytesIO(text.encode()))
        for name, target in links.items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            tar.addfile(entry)


class Machine:
    """A Debian machine whose apt-get is a script; what it says lies in files under `fake`."""

    def __init__(self, folder: Path) -> None:
        self.fake, self.bin = folder / "fake", folder / "bin"
        self.prefix = folder / "place of caffe"
        (self.fake / "debs").mkdir(parents=True)
        for name, text in {
            "apt-get": APT_GET,
            "dpkg-deb": DPKG_DEB,
            "dpkg": "#!/bin/sh\necho amd64\n",
            "apt-config": '#!/bin/sh\ncat "$FAKE/config" 2>/dev/null\nexit 0\n',
        }.items():
            script(self.bin / name, text)
        self.say("targets", f"{MIRROR}|Debian|main\n")
        self.answer(ANSWER)

    def say(self, name: str, text: str) -> None:
        (self.fake / name).write_text(text)

    def answer(self, facts: dict[str, object]) -> None:
        """Make packages whose Python answers so."""
        base = {
            "lib/fake-linux-gnu/ld-9.so": (LOADER, 0o755),
            "usr/lib/fake-linux-gnu/libfake.so": ("", 0o644),
            "usr/bin/python3.9": (
                '#!/bin/sh\n[ "$1 $2" != "-c import caffe" ] || : > "$0.compiled"\n'
                f"cat <<'END'\n{json.dumps(facts)}\nEND\n",
                0o755,
            ),
            "bin/su": ("", 0o4755),
        }
        pack(self.fake / "debs/base_1_amd64.deb", base, {"usr/bin/python3": "python3.9"})
        examples = {"usr/share/doc/caffe-doc/models/deploy.prototxt": ("name: 'x'\n", 0o644)}
        pack(self.fake / "debs/caffe-doc_1_all.deb", examples, {})
        plan = [
            f"'{MIRROR}/{f.name}' {f.name} {f.stat().st_size} "
            f"SHA256:{hashlib.sha256(f.read_bytes()).hexdigest()}\n"
            for f in sorted((self.fake / "debs").iterdir())
        ]
        self.say("plan", "Reading package lists...\n" + "".join(plan))

    def fetched(self) -> list[str]:
        try:
            return [Path(line).name for line in (self.fake / "fetched").read_text().split()]
        except FileNotFoundError:
            return []

    def sleeper(self) -> int:
        """The process id of an apt-get made to sleep, once it does."""
        until(lambda: (self.fake / "pid").exists() and (self.fake / "pid").read_text() != "")
        return int((self.fake / "pid").read_text())

    def install(self, **options: object) -> Path:
        return debian.install_caffe(self.prefix, **options)  # type: ignore[arg-type]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine(tmp_path)
    keyring = tmp_path / "debian-archive-keyring.gpg"
    keyring.write_text("")
    monkeypatch.setattr(apt, "KEYRINGS", (keyring,))
    monkeypatch.setattr(debian, "SPACE", 1000)
    monkeypatch.setenv("FAKE", str(machine.fake))
    monkeypatch.setenv("PATH", f"{machine.bin}:{os.environ['PATH']}")
    return machine


def refused(call: Callable[[], object]) -> str:
    with pytest.raises(InstallError) as error:
        call()
    return str(error.value)


def test_install_makes_a_launcher_that_runs(machine: Machine) -> None:
    python = machine.install()
    assert python == machine.prefix / "install/python"
    assert probe(str(python)).version == "1.0.0"
    assert debian.installed_python(machine.prefix) == str(python)
    assert debian.installed_suite(machine.prefix) == "bullseye"
    stamp = json.loads((machine.prefix / "install/stamp.json").read_text())
    assert stamp["packages"] == ["base_1_amd64.deb", "caffe-doc_1_all.deb"]
    assert (stamp["caffe"], stamp["python"]) == ("1.0.0", "3.9.2")


def test_modules_are_compiled_before_caffe_is_confined(machine: Machine) -> None:
    assert (machine.install().parent / "root/usr/bin/python3.9.compiled").exists()


def test_no_module_of_the_current_folder_is_compiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Importing Caffe there would run it."""
    monkeypatch.chdir(tmp_path)
    for name in ("caffe", "numpy"):
        (tmp_path / f"{name}.py").write_text(f"open('imported-{name}', 'w')")
    debian._compile(Path(sys.executable))
    assert sorted(os.listdir()) == ["caffe.py", "numpy.py"]


def test_launcher_works_through_a_link_and_after_a_move(machine: Machine, tmp_path: Path) -> None:
    machine.install()
    moved = tmp_path / "moved"
    machine.prefix.rename(moved)
    link = tmp_path / "link"
    link.symlink_to(moved / "install/python")
    assert probe(str(link)).python_version == "3.9.2"


def test_launcher_names_libraries_to_the_loader_and_not_to_its_children(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = machine.install()
    root = python.parent / "root"
    script(
        root / "usr/bin/python3.9", '#!/bin/sh\necho "$libraries|$PYTHONPATH|$LD_LIBRARY_PATH"\n'
    )
    monkeypatch.setenv("PYTHONPATH", "/own/layers")
    monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)
    said = subprocess.run([python], capture_output=True, text=True, check=True).stdout
    libraries = f"{root}/usr/lib/fake-linux-gnu:{root}/lib/fake-linux-gnu:{root}/usr/lib"
    assert said == f"{libraries}|{root}/usr/lib/python3/dist-packages:/own/layers|\n"


def test_documentation_is_there_after_an_install(machine: Machine) -> None:
    assert debian.caffe_documentation(machine.prefix) is None
    machine.install()
    folder = debian.caffe_documentation(machine.prefix)
    assert folder is not None
    assert (folder / "models/deploy.prototxt").read_text() == "name: 'x'\n"


def test_no_set_user_id_bits_are_left(machine: Machine) -> None:
    su = machine.install().parent / "root/bin/su"
    assert stat.S_IMODE(su.stat().st_mode) == 0o755


def test_a_second_install_does_nothing(machine: Machine) -> None:
    machine.install()
    calls = (machine.fake / "calls").read_text()
    inode = (machine.prefix / "install").stat().st_ino
    assert machine.install() == machine.prefix / "install/python"
    assert (machine.fake / "calls").read_text() == calls
    assert (machine.prefix / "install").stat().st_ino == inode


def test_force_installs_again(machine: Machine) -> None:
    python = machine.install()
    machine.answer(ANSWER | {"version": "1.0.1"})
    machine.install(force=True)
    assert probe(str(python)).version == "1.0.1"
    assert sorted(os.listdir(machine.prefix)) == [".lock", "install"]


def test_a_failed_force_leaves_the_old_one(machine: Machine) -> None:
    python = machine.install()
    machine.answer({"error": "import caffe: libglog.so.0 is missing"})
    assert refused(lambda: machine.install(force=True)) == (
        "the unpacked Caffe does not work: import caffe: libglog.so.0 is missing"
    )
    assert probe(str(python)).version == "1.0.0"


def test_another_suite_is_not_taken_for_the_one_asked_for(machine: Machine) -> None:
    machine.install()
    assert refused(lambda: machine.install(suite="buster")) == (
        f"{machine.prefix} holds Caffe from bullseye, not buster: "
        "--force replaces it, --prefix puts it elsewhere"
    )


def test_one_that_does_not_run_is_not_installed(machine: Machine) -> None:
    machine.answer({"error": "import caffe: No module named 'caffe'"})
    assert refused(machine.install) == (
        "the unpacked Caffe does not work: import caffe: No module named 'caffe'"
    )
    assert debian.installed_python(machine.prefix) is None
    assert sorted(os.listdir(machine.prefix)) == [".downloads", ".lock"]


def test_downloads_go_after_success_unless_they_are_wanted(machine: Machine) -> None:
    machine.install(keep_downloads=True)
    assert sorted(os.listdir(machine.prefix)) == [".downloads", ".lock", "install"]
    machine.install(force=True)
    assert machine.fetched() == ["base_1_amd64.deb", "caffe-doc_1_all.deb"]
    assert sorted(os.listdir(machine.prefix)) == [".lock", "install"]


def test_what_was_downloaded_is_used_again_and_what_is_damaged_is_not(machine: Machine) -> None:
    machine.say("download.fails", "E: Failed to fetch x  Connection timed out\n")
    assert refused(machine.install).startswith(f"{MIRROR} cannot be reached: ")
    damaged = machine.prefix / ".downloads/cache/archives/base_1_amd64.deb"
    whole = damaged.read_bytes()
    damaged.write_bytes(b"\0" * len(whole))  # the same size: apt would not notice
    (machine.fake / "download.fails").unlink()
    machine.install()
    assert machine.fetched() == ["base_1_amd64.deb", "caffe-doc_1_all.deb", "base_1_amd64.deb"]


def test_leftovers_of_a_killed_install_are_removed(machine: Machine) -> None:
    left = machine.prefix / ".unpacking/root/usr"
    left.mkdir(parents=True)
    (left / "file").write_text("half")
    left.chmod(0o500)
    machine.install()
    assert sorted(os.listdir(machine.prefix)) == [".lock", "install"]
    assert not (machine.prefix / "install/root/usr/file").exists()


def test_kill_in_the_middle_leaves_nothing_that_looks_installed(machine: Machine) -> None:
    machine.say("download.sleep", "")
    code = (
        "import sys; from pathlib import Path; from netsurgery.engines import apt, debian;"
        "apt.KEYRINGS = (Path(sys.argv[2]),); debian.SPACE = 1000;"
        "debian.install_caffe(Path(sys.argv[1]))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(machine.prefix), str(apt.KEYRINGS[0])],
        env=dict(os.environ, PYTHONPATH=str(Path(apt.__file__).parents[2])),
    )
    pid = machine.sleeper()
    process.kill()
    process.wait()
    if apt.tied():
        until(lambda: not alive(pid))
    assert debian.installed_python(machine.prefix) is None
    (machine.fake / "download.sleep").unlink()
    machine.install()
    assert machine.fetched() == ["base_1_amd64.deb", "caffe-doc_1_all.deb"]


def test_ctrl_c_stops_apt_and_keeps_the_downloads(machine: Machine) -> None:
    machine.say("download.sleep", "")
    pids: list[int] = []

    def interrupt() -> None:
        pids.append(machine.sleeper())
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        machine.install()
    thread.join()
    assert not alive(pids[0])
    assert sorted(os.listdir(machine.prefix)) == [".downloads", ".lock"]
    (machine.fake / "download.sleep").unlink()
    machine.install()
    assert machine.fetched() == ["base_1_amd64.deb", "caffe-doc_1_all.deb"]


def test_two_installs_at_once_wait_for_each_other(machine: Machine) -> None:
    machine.prefix.mkdir()
    steps: list[str] = []
    waiting = threading.Event()

    def progress(what: str, done: float) -> None:
        steps.append(what)
        waiting.set()

    with open(machine.prefix / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        thread = threading.Thread(target=lambda: machine.install(progress=progress))
        thread.start()
        assert waiting.wait(20)
        assert steps == ["waiting for another install to finish"]
        assert debian.installed_python(machine.prefix) is None
    thread.join(20)
    assert debian.installed_python(machine.prefix) is not None


def test_progress_follows_apt(machine: Machine) -> None:
    script(
        machine.bin / "apt-get",
        APT_GET.replace(
            "*--download-only*)",
            '*--download-only*)\n  fd=$(echo "$*" | sed "s/.*Status-Fd=\\([0-9]*\\).*/\\1/")\n'
            '  printf "dlstatus:1:37.5:Retrieving file 1 of 2\\nodd\\n" > /dev/fd/$fd',
        ),
    )
    seen: list[tuple[str, float]] = []
    machine.install(progress=lambda what, done: seen.append((what, done)))
    assert ("downloading", 0.375) in seen
    assert list(dict.fromkeys(what for what, _ in seen)) == [
        "reading the list of packages",
        "choosing packages",
        "downloading",
        "unpacking",
        "trying it",
    ]


def test_no_apt_get(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    (machine.bin / "apt-get").unlink()
    monkeypatch.setenv("PATH", str(machine.bin))
    assert refused(machine.install) == (
        "no apt-get on this machine: only on Debian and its relatives can Caffe be had this way; "
        "elsewhere build pycaffe, or take a packaged one, and name its Python with --caffe-python"
    )


def test_no_keyring(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apt, "KEYRINGS", (Path("/no/such/keyring.gpg"),))
    assert refused(machine.install) == (
        "/no/such/keyring.gpg is missing, and without it the packages cannot be checked: "
        "install the package debian-archive-keyring"
    )


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (
            "Err:1 x\nE: Failed to fetch x  Temporary failure resolving 'mirror.example'\n",
            f"{MIRROR} cannot be reached: Failed to fetch x  Temporary failure resolving "
            "'mirror.example'; look at the network and try again, or name another mirror with "
            "--mirror",
        ),
        (
            "E: The repository 'x bullseye Release' does not have a Release file.\n",
            f"{MIRROR} has no suite bullseye, or no longer: old ones move to Debian's archive of "
            "past releases; name a mirror of that with --mirror",
        ),
        (
            "W: GPG error: x: NO_PUBKEY 0E98404D386FA1D9\nE: The repository 'x' is not signed.\n",
            f"bullseye on {MIRROR} is not signed as it should be: The repository 'x' is not "
            "signed.",
        ),
        (
            "E: Unable to locate package python3-caffe\n",
            f"bullseye on {MIRROR} has no Caffe for amd64: Unable to locate package python3-caffe",
        ),
        ("E: Something new\nE: And more\n", "apt-get failed: Something new"),
        ("", "apt-get failed: apt-get ended with 100 and said nothing"),
    ],
)
def test_what_apt_says_becomes_one_line(machine: Machine, said: str, message: str) -> None:
    machine.say("update.fails", said)
    assert refused(machine.install) == message


def test_a_warning_that_apt_lets_pass_is_an_error(machine: Machine) -> None:
    text = APT_GET.replace("*) step=update;;", "*) cat $FAKE/warning; exit 0;;")
    script(machine.bin / "apt-get", text)
    machine.say("warning", "Ign:1 x\nW: Failed to fetch x  Could not connect to x:80\n")
    assert refused(machine.install).startswith(
        f"{MIRROR} cannot be reached: Failed to fetch x  Could not connect to x:80; "
    )


def test_too_little_space_is_known_before_anything_is_fetched(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(debian, "SPACE", 1_000_000_000)
    free = SimpleNamespace(f_bavail=12_000, f_frsize=1000)
    monkeypatch.setattr(os, "statvfs", lambda path: free)
    assert refused(machine.install) == (
        f"{machine.prefix} has 12 MB free and Caffe needs 1000 MB while it is unpacked: "
        "free some, or choose another place with --prefix"
    )
    assert "update" not in (machine.fake / "calls").read_text()


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ("download", "E: You don't have enough free space in /x/.\n"),
        ("download", "E: Write error - write (28: No space left on device)\n"),
    ],
)
def test_a_disk_that_fills_up(machine: Machine, step: str, said: str) -> None:
    machine.say(f"{step}.fails", said)
    message = refused(machine.install)
    assert message.startswith("no space left on the disk of ")
    assert message.endswith(
        ": free some, or choose another place with --prefix; what was downloaded is kept"
    )
    assert sorted(os.listdir(machine.prefix)) == [".downloads", ".lock"]


def test_a_disk_that_fills_up_with_what_is_unpacked(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(package: Path, root: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(root))

    monkeypatch.setattr(debian, "unpack", full)
    assert refused(machine.install).startswith(f"no space left on the disk of {machine.prefix}")
    assert sorted(os.listdir(machine.prefix)) == [".downloads", ".lock"]


def test_a_package_that_cannot_be_unpacked(machine: Machine) -> None:
    machine.say("unpack.fails", "dpkg-deb: error: unexpected end of file\n")
    assert refused(machine.install) == (
        "base_1_amd64.deb cannot be unpacked: dpkg-deb: error: unexpected end of file"
    )


def test_a_file_that_apt_did_not_fetch(machine: Machine) -> None:
    (machine.fake / "debs/base_1_amd64.deb").unlink()
    assert refused(machine.install) == "apt-get did not fetch base_1_amd64.deb: try again"


def test_a_plan_without_files(machine: Machine) -> None:
    machine.say("plan", "Reading package lists...\n")
    assert refused(machine.install) == (
        "apt-get names no file to fetch for python3-caffe, caffe, caffe-doc, libopenblas0-pthread"
    )


def test_a_prefix_that_is_somebody_elses(machine: Machine) -> None:
    (machine.prefix / "install").mkdir(parents=True)
    (machine.prefix / "install/thesis.tex").write_text("years of work")
    assert refused(lambda: machine.install(force=True)) == (
        f"{machine.prefix}/install is there and was not made by `netsurgery caffe install`: "
        "remove it, or choose another place with --prefix"
    )
    assert (machine.prefix / "install/thesis.tex").read_text() == "years of work"


def test_a_prefix_that_cannot_be_made(machine: Machine) -> None:
    machine.prefix.write_text("a file")
    assert refused(machine.install) == (
        f"{machine.prefix}: File exists; --prefix chooses another place to install to"
    )


@pytest.mark.parametrize("character", [":", ";", "$", '"'])
def test_a_prefix_that_the_loader_would_misread(tmp_path: Path, character: str) -> None:
    prefix = tmp_path / f"a{character}b"
    assert refused(lambda: debian.install_caffe(prefix)) == (
        f"{prefix}: a prefix with {character!r} in it cannot work; choose another"
    )


@pytest.mark.parametrize("mirror", ["[trusted=yes] http://x/", "http://x y", "nonsense", ""])
def test_a_mirror_cannot_bring_options(machine: Machine, mirror: str) -> None:
    if mirror:
        message = f"--mirror {mirror!r} is not the URL of a mirror"
        assert refused(lambda: machine.install(mirror=mirror)) == message
    else:
        machine.install(mirror=mirror)  # empty is not given
        assert debian.installed_python(machine.prefix) is not None


@pytest.mark.parametrize("suite", ["bullseye main contrib", "./", "-x"])
def test_a_suite_is_a_name(machine: Machine, suite: str) -> None:
    message = f"--suite {suite!r} is not the name of a Debian suite"
    assert refused(lambda: machine.install(suite=suite)) == message


def test_the_mirror_is_the_one_that_serves_debians_main_archive(machine: Machine) -> None:
    machine.say(
        "targets",
        "http://security.example/debian-security|Debian-Security|main\n"
        "http://other.example/repo|Other|main\n"
        "http://firmware.example/debian|Debian|non-free-firmware\n"
        f"{MIRROR}|Debian|main\n",
    )
    assert apt.host_mirror() == MIRROR


def test_the_mirror_before_the_first_update(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = tmp_path / "os-release"
    release.write_text('ID=debian\nVERSION_CODENAME="bookworm"\n')
    monkeypatch.setattr(apt, "OS_RELEASE", release)
    machine.say("targets", "")
    machine.say(
        "uris",
        "'http://security.example/debian-security/dists/bookworm-security/InRelease' a 0 \n"
        f"'{MIRROR}/dists/bookworm/InRelease' b 0 \n",
    )
    assert apt.host_mirror() == MIRROR


def test_a_machine_that_is_not_debian_needs_a_mirror(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = tmp_path / "os-release"
    release.write_text("ID=ubuntu\nVERSION_CODENAME=noble\n")
    monkeypatch.setattr(apt, "OS_RELEASE", release)
    machine.say("targets", "http://ubuntu.example/ubuntu|Ubuntu|main\n")
    assert refused(machine.install) == (
        "this machine's apt has no Debian archive to take a mirror from: "
        "name a Debian mirror with --mirror URL"
    )
    assert machine.install(mirror=MIRROR) == machine.prefix / "install/python"


def test_only_network_settings_of_the_machine_are_kept(machine: Machine) -> None:
    machine.say(
        "config",
        'Acquire::http::Proxy "http://proxy.example:3128";\n'
        'Acquire::AllowInsecureRepositories "1";\n'
        'Acquire::https::AllowInsecureRepositories "1";\n'
        'APT::Get::AllowUnauthenticated "1";\n'
        'DPkg::Post-Invoke:: "rm -rf /";\n'
        'Dir::Etc::preferences "preferences";\n',
    )
    machine.install(keep_downloads=True)
    settings = (machine.prefix / ".downloads/apt.conf").read_text()
    assert settings.startswith('Acquire::http::Proxy "http://proxy.example:3128";\nDir::Etc::main')
    assert "Insecure" not in settings
    assert "Unauthenticated" not in settings
    assert "Invoke" not in settings
    sources = (machine.prefix / ".downloads/sources.list").read_text()
    assert sources == f"deb [arch=amd64 signed-by={apt.KEYRINGS[0]}] {MIRROR} bullseye main\n"


def apt_is_here() -> bool:
    return any(Path(path).is_file() for path in DEBIAN_KEYRINGS) and bool(shutil.which("apt-get"))


DEBIAN_KEYRINGS = apt.KEYRINGS


@pytest.mark.skipif(not apt_is_here(), reason="no apt-get or no Debian archive keyring here")
def test_real_apt_refuses_an_unsigned_archive(tmp_path: Path) -> None:
    release = tmp_path / "mirror/dists/bullseye/Release"
    packages = release.parent / "main/binary-amd64/Packages"
    packages.parent.mkdir(parents=True)
    packages.write_text("")
    release.write_text(
        "Origin: Debian\nSuite: bullseye\nCodename: bullseye\nComponents: main\n"
        "Architectures: amd64\nDate: Sat, 31 Aug 2024 09:00:00 UTC\nSHA256:\n"
        f" {hashlib.sha256(b'').hexdigest()} 0 main/binary-amd64/Packages\n"
    )
    mirror = f"file:{tmp_path}/mirror"
    message = refused(lambda: debian.install_caffe(tmp_path / "caffe", mirror=mirror))
    assert message.startswith(f"bullseye on copy:{tmp_path}/mirror is not signed as it should be: ")
    assert debian.installed_python(tmp_path / "caffe") is None


@pytest.mark.skipif(not apt_is_here(), reason="no apt-get or no Debian archive keyring here")
def test_real_apt_says_when_a_suite_is_gone(tmp_path: Path) -> None:
    mirror = f"file:{tmp_path}/mirror"
    assert refused(lambda: debian.install_caffe(tmp_path / "caffe", mirror=mirror)) == (
        f"copy:{tmp_path}/mirror has no suite bullseye, or no longer: old ones move to Debian's "
        "archive of past releases; name a mirror of that with --mirror"
    )


def until(happened: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)
