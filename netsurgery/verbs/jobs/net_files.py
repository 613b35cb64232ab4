"""The net's files of a job at a URL, for machines that do not have them.

URL/net/SHA256.caffemodel   a file of the plan, by its checksum
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from netsurgery.errors import JobError
from netsurgery.io.checksum import sha256_of
from netsurgery.io.folders import make_folder
from netsurgery.verbs.jobs.plan import JobPlan
from netsurgery.verbs.jobs.store import NET, UrlStore

__all__ = ["send_files", "with_files", "without_copies"]

#: Of SHA-256; a plan may be a stranger's.
_CHECKSUM = re.compile("[0-9a-f]{64}")


def send_files(plan: JobPlan, store: UrlStore) -> None:
    """Have the plan's files in the store. Raises JobError."""
    copies = set(store.names(NET))
    for name, checksum in plan.files.items():
        copy = _copy_name(name, checksum)
        if copy not in copies:
            store.send(os.path.join(plan.folder, name), f"{NET}/{copy}")


def with_files(plan: JobPlan, store: UrlStore, folder: Path) -> JobPlan:
    """The plan with files that this machine has.

    Where its own are missing or others they are those of the store, which are fetched into a
    folder unless they are there. Raises JobError where those are not what was planned.
    """
    make_folder(str(folder))
    files = {
        Path(name): _present(Path(plan.folder, name), _copy_name(name, checksum), checksum, store,
                             folder)
        for name, checksum in plan.files.items()
    }  # fmt: skip

    def present(value: Any) -> Any:
        return files.get(value, value) if isinstance(value, Path) else value

    settings, look = plan.settings, plan.view.look
    members = ("prototxt", "weights", "mean", "labels")
    changed = {each: present(getattr(settings, each)) for each in members}
    font = None if look.font is None else present(Path(look.font))
    return replace(
        plan,
        settings=replace(settings, **changed),
        view=replace(plan.view, look=replace(look, font=font)),
    )


def without_copies(message: str, plan: JobPlan, folder: Path) -> str:
    """A message with the planned names of files in the place of those of their copies."""
    for name, checksum in plan.files.items():
        message = message.replace(str(folder / _copy_name(name, checksum)), name)
    return message


def _present(own: Path, copy: str, checksum: str, store: UrlStore, folder: Path) -> Path:
    """The file of this machine with a checksum."""
    if _has(own, checksum):
        return own
    place = folder / copy
    if not _has(place, checksum):
        store.fetch(f"{NET}/{copy}", folder)
    if not _has(place, checksum):
        raise JobError(
            f"{store.name}/{NET}/{copy}: is not the file that the job was planned with ({own}); "
            "plan another job"
        )
    return place


def _has(path: Path, checksum: str) -> bool:
    try:
        return sha256_of(path) == checksum
    except OSError:
        return False


def _copy_name(name: str, checksum: str) -> str:
    """The ending says what kind of file it is. Raises JobError for what is no checksum."""
    if not _CHECKSUM.fullmatch(checksum):
        raise JobError(f"{name}: the job's plan has no checksum of it; plan another job")
    return checksum + Path(name).suffix
