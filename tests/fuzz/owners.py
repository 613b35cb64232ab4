"""Settings among files of several owners, and a stranger who really tries to change them.

A case is a text: lines that make a tree, `--`, what a netsurgery.toml says, `--`, what the user's
configuration says.

    dir a/b 755 0             mode, and whose: 0 one's own, 1 the stranger's
    file a/netsurgery.toml 644 0
    link a/c ../x 0
    find a/c                  where the settings are looked for

What is used must not be the stranger's to change. As root, a process that becomes the stranger
tries; otherwise nobody else's files can be made, and only the refusals are looked at.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from netsurgery.formats.found_settings import with_found
from netsurgery.formats.settings import SETTINGS_NAME, Settings
from netsurgery.formats.user_config import trusted_places

__all__ = ["check_owners"]

_STRANGER = 4_000_000_123
_MOST = 40


def check_owners(data: bytes) -> None:
    """Raise AssertionError where the stranger can change what is used, SettingsError as it does."""
    tree, _, rest = data.decode("utf-8", "replace").partition("\n--\n")
    settings, _, configuration = rest.partition("\n--\n")
    with tempfile.TemporaryDirectory(prefix="owners-") as root, _configured(Path(root)):
        Path(root).chmod(0o755)
        texts = {SETTINGS_NAME: settings, "config.toml": configuration}
        start = _make(Path(root), tree.splitlines()[:_MOST], texts)
        completed = with_found(Settings(), start)
        if completed.path is None or trusted_places():
            return
        named = (completed.prototxt, completed.weights, completed.mean, completed.labels)
        relative = [each for each in named if isinstance(each, Path) and str(each).startswith(root)]
        for path in (completed.path, *relative):
            assert not _stranger_changes(path, root), f"a stranger changes {path}: {tree}"


@contextlib.contextmanager
def _configured(root: Path) -> Iterator[None]:
    before = os.environ.get("XDG_CONFIG_HOME")
    os.environ["XDG_CONFIG_HOME"] = str(root / "config")
    try:
        yield
    finally:
        if before is None:
            del os.environ["XDG_CONFIG_HOME"]
        else:
            os.environ["XDG_CONFIG_HOME"] = before


def _make(root: Path, lines: list[str], texts: dict[str, str]) -> Path:
    """Make what can be made of the tree; returns the folder to start from."""
    start, modes = root, []
    for line in lines:
        words = line.split()
        with contextlib.suppress(OSError, ValueError, IndexError):
            place = root / words[1].lstrip("/")
            if ".." in place.parts:
                continue
            if words[0] == "find":
                start = place
            elif words[0] == "link":
                place.symlink_to(words[2])
                _give(place, words[3])
            elif words[0] in ("dir", "file"):
                if words[0] == "dir":
                    place.mkdir()
                else:
                    place.write_text(texts.get(place.name, ""), encoding="utf-8")
                modes.append((place, int(words[2], 8) & 0o1777))
                _give(place, words[3])
    for place, mode in modes:
        if not place.is_symlink():
            place.chmod(mode)
    return start


def _give(place: Path, whose: str) -> None:
    if whose == "1" and os.geteuid() == 0:
        os.chown(place, _STRANGER, _STRANGER, follow_symlinks=False)


def _stranger_changes(path: Path, root: str) -> bool:
    """Whether another user can write to a file, or move something on the way to it."""
    if os.geteuid() != 0:
        return False
    child = os.fork()
    if not child:
        code = 0
        with contextlib.suppress(BaseException):
            os.setgroups([])
            os.setresgid(_STRANGER, _STRANGER, _STRANGER)
            os.setresuid(_STRANGER, _STRANGER, _STRANGER)
            code = int(_writes(path) or any(map(_moves, _steps(path, root))))
        os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0


def _steps(path: Path, root: str) -> list[str]:
    """Every name on the way, as it is written and as it really is."""
    names = [str(path), *map(str, path.parents)]
    real = [os.path.realpath(name) for name in names]
    return [name for name in (*names, *real) if name.startswith(root + "/")]


def _writes(path: Path) -> bool:
    with contextlib.suppress(OSError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o644))
        return True
    return False


def _moves(name: str) -> bool:
    with contextlib.suppress(OSError):
        os.rename(name, f"{name}.moved")
        return True
    return False
