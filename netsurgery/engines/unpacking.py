"""Debian packages unpacked into a folder, and nowhere else.

The packages are signed, and checked all the same: what is named by an absolute path or leads out
of the folder, by its name or through a link, and devices are refused. Links to absolute paths, of
which Debian has some, lead to the same place inside the folder. All belongs to the user, and no
program runs as its owner: an old `su` in a folder that nobody updates is a way in.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from netsurgery.engines.apt import tied
from netsurgery.errors import InstallError
from netsurgery.io.children import start

__all__ = ["unpack"]

#: What `_tamed` lets pass is to be made as it is; Python 3.14 would look at it again.
_AS_IT_IS: dict[str, Any] = (
    {"filter": "fully_trusted"} if hasattr(tarfile, "fully_trusted_filter") else {}
)


def unpack(package: Path, root: Path) -> None:
    """Unpack a package into the folder `root`. Raises InstallError and OSError."""
    whole = os.path.realpath(root)
    try:
        with _content(package) as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
            for member in tar:
                tar.extract(_tamed(member, whole, package.name), whole, **_AS_IT_IS)
    except tarfile.TarError as error:
        raise InstallError(f"{package.name} cannot be unpacked: {error}") from None


@contextlib.contextmanager
def _content(package: Path) -> Iterator[IO[bytes]]:
    """The tar of a package's files, as dpkg-deb takes it out."""
    command = [*tied(), "dpkg-deb", "--fsys-tarfile", str(package)]
    with tempfile.TemporaryFile() as said:
        process, undo = start(
            command,
            env=dict(os.environ, LC_ALL="C"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=said,
        )
        assert process.stdout is not None
        try:
            with process.stdout as stream:
                yield stream
                while stream.read(1 << 16):  # what pads the end
                    pass
            code = process.wait()
        except tarfile.TarError:
            if process.wait() == 0:
                raise
            code = process.returncode
        finally:
            undo()
            process.wait()
        said.seek(0)
        words = said.read().decode(errors="replace").strip().splitlines() or ["it said nothing"]
    if code != 0:
        raise InstallError(f"{package.name} cannot be unpacked: {words[-1]}")


def _tamed(member: tarfile.TarInfo, root: str, package: str) -> tarfile.TarInfo:
    """The member as it may be made under `root`. Raises InstallError for one that may not."""
    parts = member.name.split("/")
    if member.name.startswith("/") or ".." in parts:
        raise _refused(package, member, "its name leads out of the folder")
    folder = os.path.join(root, *parts[:-1])
    if not _inside(folder, root):
        raise _refused(package, member, "a link leads it out of the folder")
    if member.issym():
        if member.linkname.startswith("/"):
            target = os.path.join(root, member.linkname.lstrip("/"))
            member.linkname = os.path.relpath(target, os.path.realpath(folder))
        if not _inside(os.path.join(folder, member.linkname), root):
            raise _refused(package, member, f"it is a link out of the folder ({member.linkname})")
    elif member.islnk():
        if not _inside(os.path.join(root, member.linkname), root):
            raise _refused(package, member, f"it is a link out of the folder ({member.linkname})")
    elif not (member.isreg() or member.isdir()):
        raise _refused(package, member, "it is a device or a pipe")
    elif os.path.islink(os.path.join(folder, parts[-1])) and member.isreg():
        os.unlink(os.path.join(folder, parts[-1]))  # a file would be written through it
    member.mode = member.mode & 0o755 | (0o700 if member.isdir() else 0o600)
    member.uid, member.gid, member.uname, member.gname = os.geteuid(), os.getegid(), "", ""
    return member


def _inside(path: str, root: str) -> bool:
    real = os.path.realpath(path)
    return real == root or real.startswith(root + "/")


def _refused(package: str, member: tarfile.TarInfo, why: str) -> InstallError:
    return InstallError(f"{package}: {member.name!r} is not unpacked: {why}")
