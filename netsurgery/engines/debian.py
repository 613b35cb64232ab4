"""Real Caffe from Debian 11's packages: fetched, unpacked into one folder, and proved to run.

No root, no compiler, nothing installed into the system. A prefix looks like this:

    PREFIX/install/root/       the packages, unpacked
    PREFIX/install/python      the interpreter to use: a launcher on the folder's own libraries
    PREFIX/install/stamp.json  what was unpacked; written when all before it was proved
    PREFIX/.downloads/         apt's own folder, until the install is done
    PREFIX/.unpacking/         an install in the making

`install` is made elsewhere and renamed into place, so that it is there whole or not at all.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shlex
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from netsurgery import __version__
from netsurgery.engines.apt import (
    OnProgress,
    PrivateApt,
    Report,
    host_mirror,
    keyring,
    require_tools,
)
from netsurgery.engines.probing import NotUsable, guest_environment, probe
from netsurgery.engines.unpacking import unpack
from netsurgery.errors import InstallError
from netsurgery.io.argument_types import checks_arguments
from netsurgery.io.children import run
from netsurgery.io.cleanup import Undo, step
from netsurgery.io.locks import lock
from netsurgery.io.ownership import exposure
from netsurgery.io.user_folders import data_folder
from netsurgery.io.wording import argument

__all__ = [
    "caffe_documentation",
    "default_prefix",
    "install_caffe",
    "installed_python",
    "installed_suite",
    "why_not_installed",
]

PACKAGES = ("python3-caffe", "caffe", "caffe-doc", "libopenblas0-pthread")
SPACE = 1_000_000_000  # bytes: 180 MB of packages, 700 MB of files, and compiled Python

#: Where libraries are, under the tree, in the order they are searched; TRIPLET is the machine's
#: ("x86_64-linux-gnu"). The first is the BLAS that Debian's alternatives system would choose.
LIBRARY_FOLDERS = (
    "usr/lib/TRIPLET/openblas-pthread",
    "usr/lib/TRIPLET",
    "lib/TRIPLET",
    "usr/lib/TRIPLET/hdf5/serial",
    "usr/lib",
)

#: The dynamic loader gets the libraries' folders as an option: an exported LD_LIBRARY_PATH would
#: reach, and break, every program that this Python starts. The folder is found when it runs, since
#: the launcher is made in one place and moved to another. Python finds its own files from where it
#: lies; on PYTHONPATH this Caffe's packages go before the user's, which may be another Python's.
LAUNCHER = """\
#!/bin/sh
# Real Caffe's Python on its own libraries; made by `netsurgery caffe install`.
root=$(dirname "$(readlink -f "$0")")/root
unset LD_PRELOAD PYTHONHOME
export PYTHONNOUSERSITE=1 PYTHONUTF8=1
export PYTHONPATH="$root/usr/lib/python3/dist-packages${{PYTHONPATH:+:$PYTHONPATH}}"
exec "$root"/{loader} --library-path "{libraries}" "$root"/{python} "$@"
"""


def default_prefix() -> Path:
    """NETSURGERY_CAFFE_PREFIX, else `caffe` in the user's data folder. Raises InstallError."""
    prefix = os.environ.get("NETSURGERY_CAFFE_PREFIX")
    if prefix:
        with contextlib.suppress(RuntimeError):  # ~ where no home is known
            return Path(prefix).expanduser().absolute()
    elif folder := data_folder():
        return folder / "caffe"
    raise InstallError(
        "no home folder is known, and so no place for Caffe: set HOME, or name one with "
        f"{argument('--prefix')} or NETSURGERY_CAFFE_PREFIX"
    )


def installed_python(prefix: Path | None = None) -> str | None:
    """The launcher of a finished install under `prefix` that nobody else can change, or None."""
    return None if why_not_installed(prefix) else str(_home(prefix) / "python")


def why_not_installed(prefix: Path | None = None) -> str:
    """Why there is nothing to run under `prefix`, or ""."""
    home = _home(prefix)
    if not os.path.lexists(home):
        return "nothing installed there"
    for name in ("python", "root", "stamp.json"):
        if why := _exposed(home / name):
            return f"{why}, so it is not run; {argument('--caffe-python')} takes it all the same"
    finished = _stamp(prefix) and os.access(home / "python", os.X_OK)
    return "" if finished else "nothing finished is installed there"


def installed_suite(prefix: Path | None = None) -> str | None:
    """The Debian suite that was unpacked under `prefix`, or None."""
    return str(_stamp(prefix).get("suite")) if installed_python(prefix) else None


@checks_arguments()
def caffe_documentation(prefix: Path | None = None) -> Path | None:
    """caffe-doc's folder (BVLC's examples and models; some files gzipped), or None.

    >>> caffe_documentation(Path("nowhere")) is None
    True
    """
    folder = _home(prefix) / "root/usr/share/doc/caffe-doc"
    return folder if installed_python(prefix) and folder.is_dir() else None


def _silent(what: str, done: float) -> None:
    """No progress shown."""


def _unreported(line: str) -> None:
    """Nothing reported."""


@checks_arguments()
def install_caffe(
    prefix: Path | None = None,
    mirror: str | None = None,
    suite: str = "bullseye",
    progress: OnProgress = _silent,
    *,
    force: bool = False,
    keep_downloads: bool = False,
    report: Report = _unreported,
) -> Path:
    """Fetch and unpack Caffe under `prefix` (default: `default_prefix()`); return its Python.

    Does nothing where it is already, unless `force`. `mirror` is by default the one that this
    machine's own apt uses. An install that was cut short goes on from what it had downloaded.
    report: called with a line for the index's signature, and one for each package and its SHA-256.
    Raises InstallError, also where others could change what is run from `prefix` later.

    >>> python = install_caffe()  # doctest: +SKIP
    """
    prefix = _checked(prefix)
    with _disk_errors(prefix), _unshared(), _lock(prefix, progress):
        _put_back(prefix)
        present = installed_suite(prefix)
        if present is not None and not force:
            if present != suite:
                raise InstallError(
                    f"{prefix} holds Caffe from {present}, not {suite}: "
                    f"{argument('--force')} replaces it, {argument('--prefix')} puts it elsewhere"
                )
            _clear(prefix)
            return _home(prefix) / "python"
        _refuse_foreign(prefix)
        _clear(prefix)
        undo = Undo(lambda: _clear(prefix))
        try:
            _fetch_and_unpack(prefix, mirror, suite, progress, report)
            _commit(prefix)
        finally:
            undo()
        if not keep_downloads:
            _remove(prefix / ".downloads")
    return _home(prefix) / "python"


def _exposed(place: Path) -> str | None:
    """How others decide what is at `place`, which is named, or what of the way to it."""
    why = exposure(place)
    return f"{place}{why[2:]}" if why is not None and why.startswith("it ") else why


def _home(prefix: Path | None) -> Path:
    return (prefix or default_prefix()) / "install"


def _stamp(prefix: Path | None) -> dict[str, Any]:
    try:
        stamp = json.loads((_home(prefix) / "stamp.json").read_text())
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def _checked(prefix: Path | None) -> Path:
    """The prefix, absolute. The loader and apt give some characters a meaning of their own."""
    path = Path(os.path.abspath(prefix or default_prefix()))
    bad = sorted(set(str(path)) & set(':;$"\\\n'))
    if bad:
        raise InstallError(f"{path}: a prefix with {bad[0]!r} in it cannot work; choose another")
    _refuse_exposed(path)
    return path


def _refuse_exposed(prefix: Path) -> None:
    """Of what is not there yet, the folder that it will be made in counts."""
    places = [prefix, prefix / ".downloads", prefix / ".lock", _home(prefix)]
    nearest = next(place for place in (prefix, *prefix.parents) if os.path.lexists(place))
    for place in [nearest, *filter(os.path.lexists, places)]:
        if why := _exposed(place):
            raise InstallError(
                f"{why}, and what is installed there is run later: "
                f"choose another place with {argument('--prefix')}"
            )


@contextlib.contextmanager
def _disk_errors(prefix: Path) -> Iterator[None]:
    """Errors of the file system, in one line."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _no_space(prefix) from None
        place = error.filename or prefix
        raise InstallError(
            f"{place}: {error.strerror}; {argument('--prefix')} chooses another place to install to"
        ) from None


@contextlib.contextmanager
def _unshared() -> Iterator[None]:
    """Nobody else can write to what is made, whatever the umask."""
    umask = os.umask(0o022)
    os.umask(umask | 0o022)
    try:
        yield
    finally:
        os.umask(umask)


def _no_space(prefix: Path) -> InstallError:
    return InstallError(
        f"no space left on the disk of {prefix}: free some, or choose another place with "
        f"{argument('--prefix')}; what was downloaded is kept"
    )


@contextlib.contextmanager
def _lock(prefix: Path, progress: OnProgress) -> Iterator[None]:
    """Only one install at a time in a prefix; a second waits, and then finds the first's work."""
    prefix.mkdir(parents=True, exist_ok=True)
    _refuse_exposed(prefix)  # somebody else may have been first to make it
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
    with open(os.open(prefix / ".lock", flags, 0o644), "rb", buffering=0) as file:
        if lock(file.fileno(), wait=False) is False:
            progress("waiting for another install to finish", 0.0)
            lock(file.fileno(), wait=True)
        yield


def _refuse_foreign(prefix: Path) -> None:
    """A finished install has a stamp: anything else of that name is somebody's own."""
    home = _home(prefix)
    if os.path.lexists(home) and not _stamp(prefix):
        raise InstallError(
            f"{home} is there and was not made by `netsurgery caffe install`: "
            f"remove it, or choose another place with {argument('--prefix')}"
        )


def _fetch_and_unpack(
    prefix: Path, mirror: str | None, suite: str, progress: OnProgress, report: Report
) -> None:
    require_tools()
    keyring()
    apt = PrivateApt(prefix / ".downloads", mirror or host_mirror(), suite, progress)
    apt.prepare()
    _require_space(prefix, SPACE - _size_of(apt.archives))
    apt.update()
    report(apt.signature())
    packages = apt.plan(PACKAGES)
    apt.present(packages)
    files = apt.download(PACKAGES, packages)
    for package in packages:
        report(f"{package.name} {package.version}: SHA-256 {package.sha256}, as in the index")
    making = prefix / ".unpacking"
    _unpack(files, making / "root", progress)
    write_launcher(making)
    progress("trying it", 0.0)
    _compile(making / "python")
    try:
        caffe = probe(str(making / "python"))
    except NotUsable as error:
        raise InstallError(f"the unpacked Caffe does not work: {error}") from None
    stamp = {
        "caffe": caffe.version,
        "python": caffe.python_version,
        "suite": suite,
        "architecture": apt.architecture,
        "made_by": f"netsurgery {__version__}",
        "packages": sorted(package.file for package in packages),
        "sha256": {package.file: package.sha256 for package in packages},
    }
    (making / "stamp.json").write_text(json.dumps(stamp, indent=1) + "\n")


def _compile(python: Path) -> None:
    """Have Python leave the compiled modules of Caffe in the tree: confined, it never can."""
    with contextlib.suppress(OSError):  # the probe says what is wrong
        # Where it is started is the first place that it looks for modules in.
        run([str(python), "-c", "import caffe"], env=guest_environment(), cwd="/")


def _size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.deb"))


def _require_space(prefix: Path, needed: int) -> None:
    disk = os.statvfs(prefix)
    free = disk.f_bavail * disk.f_frsize
    if free < needed:
        raise InstallError(
            f"{prefix} has {free // 1_000_000} MB free and Caffe needs {needed // 1_000_000} MB "
            f"while it is unpacked: free some, or choose another place with {argument('--prefix')}"
        )


def _unpack(files: Sequence[Path], root: Path, progress: OnProgress) -> None:
    root.mkdir(mode=0o755, parents=True)
    for number, file in enumerate(files):
        progress("unpacking", number / len(files))
        unpack(file, root)


def write_launcher(home: Path) -> None:
    """Write `home`/python for the tree in `home`/root; its loader and Python are found there."""
    root = home / "root"
    loaders = [
        path
        for path in sorted([*root.glob("lib/*/ld-*.so*"), *root.glob("usr/lib/*/ld-*.so*")])
        if path.is_file() and not path.is_symlink()
    ]
    python = (root / "usr/bin/python3").resolve()
    if not loaders or not python.is_file():
        missing = "Python" if loaders else "dynamic loader"
        raise InstallError(f"the unpacked packages have no {missing}: is this a Debian suite?")
    triplet = loaders[0].parent.name
    folders = [text.replace("TRIPLET", triplet) for text in LIBRARY_FOLDERS]
    launcher = home / "python"
    launcher.write_text(
        LAUNCHER.format(
            loader=shlex.quote(str(loaders[0].relative_to(root))),
            libraries=":".join(f"$root/{text}" for text in folders if (root / text).is_dir()),
            python=shlex.quote(str(python.relative_to(root.resolve()))),
        )
    )
    launcher.chmod(0o755)


def _commit(prefix: Path) -> None:
    """Put the new install in the old one's place."""
    # Written to the disk first: after a power cut a file with a name may still have no bytes.
    os.sync()
    home = _home(prefix)
    with step:
        if home.exists():
            home.rename(prefix / ".replaced")
        (prefix / ".unpacking").rename(home)


def _put_back(prefix: Path) -> None:
    """The old install, where one that was to replace it ended between two renames."""
    old = prefix / ".replaced"
    if (old / "stamp.json").is_file() and not os.path.lexists(_home(prefix)):
        old.rename(_home(prefix))


def _clear(prefix: Path) -> None:
    """Remove what an install that was cut short, or this one, leaves beside the finished one."""
    _put_back(prefix)
    for name in (".unpacking", ".replaced"):
        _remove(prefix / name)


def _remove(folder: Path) -> None:
    if folder.is_symlink():
        folder.unlink()
    if not folder.is_dir():
        return
    for path, _, _ in os.walk(folder):
        os.chmod(path, 0o700)  # packages may hold folders that cannot be emptied
    shutil.rmtree(folder)
