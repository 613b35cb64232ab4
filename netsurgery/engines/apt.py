"""A private apt: fetches packages of one Debian suite, signatures checked, for any user.

Nothing of the machine's own apt is touched, and of its settings only those for reaching the
network are used: sources, lists, cache and an empty list of what is installed are all in one
folder. Nothing is installed, so no maintainer script runs.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from netsurgery.errors import InstallError
from netsurgery.io.checksum import sha256_of
from netsurgery.io.children import run, start
from netsurgery.io.scratch import scratch_folder
from netsurgery.io.wording import argument

__all__ = [
    "OnProgress",
    "Package",
    "PrivateApt",
    "Report",
    "host_mirror",
    "keyring",
    "require_tools",
    "tied",
]

#: Called with what is being done and how much of it is, 0 to 1.
OnProgress = Callable[[str, float], None]
#: Called with a line on what was checked.
Report = Callable[[str], None]

TOOLS = ("apt-get", "apt-config", "dpkg", "dpkg-deb")
KEYRINGS = (
    Path("/usr/share/keyrings/debian-archive-keyring.gpg"),
    Path("/usr/share/keyrings/debian-archive-keyring.pgp"),
)
OS_RELEASE = Path("/etc/os-release")

#: The machine's settings that a private apt keeps: how to reach the network, and what is
#: thought of the clock. None of them can switch signatures off.
KEPT_SETTINGS = re.compile(
    r"Acquire::(https?(::|\s)|ForceIPv[46]|Check-Date|Check-Valid-Until|Max-FutureTime)", re.I
)
#: A mirror or suite goes into a line of apt's: a space or a bracket there could add options to it.
MIRROR = re.compile(r"[a-z][a-z0-9+.-]*:/[^\s\[\]]*")
SUITE = re.compile(r"[a-z][a-z0-9.-]*")

URI_LINE = re.compile(r"'[^']*' (\S+\.deb) (\d+) SHA256:([0-9a-f]{64})")
INRELEASE_LINE = re.compile(r"'([^']+)/dists/([^/']+)/InRelease' ")

#: What apt says -> what is wrong, in order: the first that is found in its output counts.
TROUBLES = (
    (r"No space left on device|enough free space in|Disk quota exceeded", "space"),
    (
        r"NO_PUBKEY|is not signed|not valid signature|BADSIG|EXPKEYSIG|REVKEYSIG|"
        r"couldn't be verified|Sub-process \S*(gpgv|sqv)\S* returned",
        "signature",
    ),
    (
        r"Temporary failure resolving|Could not resolve|Could not connect|Unable to connect|"
        r"Connection (failed|timed out|refused)|Network is unreachable|connection timed out|"
        r"Something wicked happened",
        "network",
    ),
    (
        r"doesn't support architecture|Unable to locate package|has no installation candidate",
        "architecture",
    ),
    (r"does not have a Release file|404  ?Not Found|File not found", "suite"),
)


@dataclass(frozen=True)
class Package:
    """One package file to fetch: its name, size in bytes, and SHA-256 in hexadecimal."""

    file: str
    size: int
    sha256: str

    @property
    def name(self) -> str:
        """The package: "caffe"."""
        return self.file.split("_")[0]

    @property
    def version(self) -> str:
        """Its version: "1.0.0-8"; a colon in it is written %3a in the file's name."""
        return unquote("".join(self.file.split("_")[1:2]))


def require_tools() -> None:
    """Raises InstallError where this is not a machine of the Debian family."""
    for tool in TOOLS:
        if shutil.which(tool) is None:
            raise InstallError(
                f"no {tool} on this machine: only on Debian and its relatives can Caffe be had "
                "this way; elsewhere build pycaffe, or take a packaged one, and name its Python "
                f"with {argument('--caffe-python')}"
            )


def tied() -> list[str]:
    """What to put before a command so that it ends when we do, even by SIGKILL.

    (A function to run between fork and exec could do it too, but is not safe beside threads.)
    """
    return ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []


def keyring() -> Path:
    """The keys that Debian signs with. Raises InstallError where they are not here."""
    for path in KEYRINGS:
        if path.is_file():
            return path
    raise InstallError(
        f"{KEYRINGS[0]} is missing, and without it the packages cannot be checked: "
        "install the package debian-archive-keyring"
    )


def host_mirror() -> str:
    """Where this machine's own apt gets Debian's main archive. Raises InstallError if nowhere."""
    targets = _ask("apt-get", "indextargets", "--format", "$(SITE)|$(LABEL)|$(COMPONENT)")
    for line in targets.splitlines():
        site, label, component = [*line.split("|"), "", ""][:3]
        if label == "Debian" and component == "main" and MIRROR.fullmatch(site):
            return site
    unlabelled = _mirror_before_first_update()
    if unlabelled is None:
        raise InstallError(
            "this machine's apt has no Debian archive to take a mirror from: "
            f"name a Debian mirror with {argument('--mirror URL')}"
        )
    return unlabelled


def _mirror_before_first_update() -> str | None:
    """The same from the sources alone: a machine that never ran `apt-get update` has no labels."""
    try:
        facts = dict(
            line.split("=", 1) for line in OS_RELEASE.read_text().splitlines() if "=" in line
        )
    except OSError:
        return None
    codename = facts.get("VERSION_CODENAME", "").strip('"')
    if facts.get("ID", "").strip('"') != "debian" or not codename:
        return None
    with scratch_folder() as lists:
        uris = _ask("apt-get", "-o", f"Dir::State::lists={lists}", "--print-uris", "update")
    for site, suite in INRELEASE_LINE.findall(uris):
        if suite == codename and MIRROR.fullmatch(site):
            return str(site)
    return None


def _ask(*command: str) -> str:
    """What a command prints, or "" where it fails."""
    done = run(command, env=dict(os.environ, LC_ALL="C"))
    return done.stdout if done.returncode == 0 else ""


class PrivateApt:
    """An apt of our own in `folder`, for one suite of one mirror.

    Raises InstallError, from every method, with what apt found wrong and what to try. What was
    downloaded stays in `folder` and is used again, after its SHA-256 was compared.
    """

    def __init__(self, folder: Path, mirror: str, suite: str, progress: OnProgress) -> None:
        if not MIRROR.fullmatch(mirror):
            raise InstallError(f"{argument('--mirror')} {mirror!r} is not the URL of a mirror")
        if not SUITE.fullmatch(suite):
            raise InstallError(f"{argument('--suite')} {suite!r} is not the name of a Debian suite")
        # apt reads file: packages where they lie; copy: makes it put them into the cache.
        self.mirror = re.sub(r"^file:", "copy:", mirror)
        self.folder, self.suite, self.progress = folder, suite, progress
        self.archives = folder / "cache" / "archives"
        self.architecture = _ask("dpkg", "--print-architecture").strip()

    def prepare(self) -> None:
        """Write the settings and make the folders."""
        for path in ("lists/partial", "cache/archives/partial", "state", "empty/partial"):
            (self.folder / path).mkdir(parents=True, exist_ok=True)
        (self.folder / "status").write_text("")
        options = f"[arch={self.architecture} signed-by={keyring()}]"
        (self.folder / "sources.list").write_text(
            f"deb {options} {self.mirror} {self.suite} main\n"
        )
        (self.folder / "apt.conf").write_text(self._settings())

    def _settings(self) -> str:
        # APT_CONFIG is read before the machine's own files, so it cannot clear what they set
        # (hooks, pins): they are not read at all, and what is needed of them is copied.
        machine = [
            line
            for line in _ask("apt-config", "dump").splitlines()
            if KEPT_SETTINGS.match(line) and "AllowInsecure" not in line
        ]
        own = {
            "Dir::Etc::main": "/dev/null",
            "Dir::Etc::parts": "/dev/null",
            "Dir::Etc::sourcelist": f"{self.folder}/sources.list",
            "Dir::Etc::sourceparts": "/dev/null",
            "Dir::Etc::preferences": "/dev/null",
            "Dir::Etc::preferencesparts": "/dev/null",
            "Dir::Etc::trusted": "/dev/null",
            "Dir::Etc::trustedparts": "/dev/null",
            "Dir::State": f"{self.folder}/state",
            "Dir::State::lists": f"{self.folder}/lists",
            "Dir::State::status": f"{self.folder}/status",
            "Dir::Cache": f"{self.folder}/cache",
            "Dir::Log": f"{self.folder}/state",
            "APT::Architecture": self.architecture,
            "APT::Install-Recommends": "false",
            "APT::Get::Assume-Yes": "true",
            "APT::Update::Error-Mode": "any",
            # The user apt would change to when run by root cannot read a home folder.
            "APT::Sandbox::User": "root",
            "Acquire::Languages": "none",
            "Acquire::Retries": "3",
            "Acquire::http::Timeout": "30",
            "Acquire::https::Timeout": "30",
            # Old apts would have --print-uris give MD5.
            "Acquire::ForceHash": "SHA256",
        }
        return "\n".join([*machine, *(f'{key} "{value}";' for key, value in own.items()), ""])

    def update(self) -> None:
        """Fetch the suite's list of packages, and check who signed it."""
        self._run("reading the list of packages", "update")

    def signature(self) -> str:
        """Who signed the index, in a line: apt checked that; gpgv, where it is, says by whom."""
        checked = f"index of {self.suite} on {self.mirror}: signed by a key of {keyring()}"
        signed = next(self.folder.glob("lists/*InRelease"), None)
        if signed is None or not shutil.which("gpgv"):
            return checked
        words = ["gpgv", "--status-fd", "1", "--keyring", str(keyring()), str(signed)]
        status = run(words, env=dict(os.environ, LC_ALL="C")).stdout
        keys = re.findall(r"^\[GNUPG:\] VALIDSIG (\w+)", status, re.M)
        names = re.findall(r"^\[GNUPG:\] GOODSIG \w+ (.+)", status, re.M)
        pairs = [f"{name} ({key})" for name, key in zip(names, keys, strict=False)]
        return f"{checked}: {', '.join(pairs)}" if pairs else checked

    def plan(self, names: Sequence[str]) -> list[Package]:
        """The files of these packages and of all they depend on, whether here already or not."""
        output = self._run(
            "choosing packages", "install", "--print-uris", *names,
            options=(f"Dir::Cache::archives={self.folder}/empty",),
        )  # fmt: skip
        packages = [Package(f, int(n), digest) for f, n, digest in URI_LINE.findall(output)]
        if not packages:
            raise InstallError(f"apt-get names no file to fetch for {', '.join(names)}")
        return packages

    def present(self, packages: Sequence[Package]) -> int:
        """The bytes of `packages` that are here and whole; others of their name are removed.

        apt itself compares only the size of a file it has already.
        """
        total = 0
        for package in packages:
            path = self.archives / package.file
            if path.is_file():
                if sha256_of(path) == package.sha256:
                    total += package.size
                else:
                    path.unlink()
        return total

    def download(self, names: Sequence[str], packages: Sequence[Package]) -> list[Path]:
        """Fetch what `plan(names)` gave, but for what is here, and return the files."""
        self._run("downloading", "install", "--download-only", *names)
        files = [self.archives / package.file for package in packages]
        for file in files:
            if not file.is_file():
                raise InstallError(f"apt-get did not fetch {file.name}: try again")
        for file, package in zip(files, packages, strict=True):
            if sha256_of(file) != package.sha256:
                raise InstallError(
                    f"{file.name} is not the file that the signed index of {self.suite} names: its "
                    f"SHA-256 should be {package.sha256}; try again, or name another mirror with "
                    f"{argument('--mirror')}"
                )
        return files

    def _run(self, what: str, *arguments: str, options: Sequence[str] = ()) -> str:
        self.progress(what, 0.0)
        reader, writer = os.pipe()
        settings = [text for option in options for text in ("-o", option)]
        command = [
            *tied(),
            "apt-get",
            "-q",
            "-o",
            f"APT::Status-Fd={writer}",
            *settings,
            *arguments,
        ]
        with tempfile.TemporaryFile() as said, open(reader, errors="replace") as status:
            try:
                process, undo = start(
                    command,
                    env=dict(os.environ, LC_ALL="C", APT_CONFIG=f"{self.folder}/apt.conf"),
                    stdin=subprocess.DEVNULL,
                    stdout=said,
                    stderr=said,
                    pass_fds=(writer,),
                )
            finally:
                os.close(writer)
            try:
                for line in status:
                    self._report(what, line)
                code = process.wait()
            finally:
                undo()
                process.wait()
            said.seek(0)
            output = said.read().decode(errors="replace")
        if code != 0 or "\nW: Failed to fetch" in output:
            raise self._trouble(output, code)
        return output

    def _report(self, what: str, line: str) -> None:
        kind, _, rest = line.partition(":")
        if kind == "dlstatus":
            try:
                self.progress(what, min(1.0, float(rest.split(":")[1]) / 100))
            except (IndexError, ValueError):
                return

    def _trouble(self, output: str, code: int) -> InstallError:
        """One line on what went wrong, with apt's own words where they add something."""
        words = _complaint(output) or f"apt-get ended with {code} and said nothing"
        kind = next((kind for pattern, kind in TROUBLES if re.search(pattern, output)), "")
        what = {
            "space": f"no space left on the disk of {self.folder}: "
            f"free some, or choose another place with {argument('--prefix')}; what was downloaded "
            "is kept",
            "signature": f"{self.suite} on {self.mirror} is not signed as it should be: {words}",
            "network": f"{self.mirror} cannot be reached: {words}; look at the network and try "
            f"again, or name another mirror with {argument('--mirror')}",
            "architecture": f"{self.suite} on {self.mirror} has no Caffe for "
            f"{self.architecture}: {words}",
            "suite": f"{self.mirror} has no suite {self.suite}, or no longer: old ones move to "
            f"Debian's archive of past releases; name a mirror of that with {argument('--mirror')}",
        }
        return InstallError(what.get(kind, f"apt-get failed: {words}"))


def _complaint(output: str) -> str:
    """The first error in apt's output, else the first warning, without its letter."""
    lines = output.splitlines()
    for letter in ("E: ", "W: "):
        for line in lines:
            if line.startswith(letter):
                return line[len(letter) :].strip()
    return ""
