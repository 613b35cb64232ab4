"""What is to be said of a job's pictures, kept for whoever drives it: workers have no terminal.

    DIR/notes/0000312.json   of picture 312: kind -> a line

Of each kind the first picture that has it is named, as where one process maps all of them. So a
worker keeps what it would be the first to say, and of a million pictures there are a few files.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from netsurgery.verbs.jobs.store import JobStore

if TYPE_CHECKING:
    from netsurgery.maps.classmap import ClassMap
    from netsurgery.maps.mapper import Mapper

__all__ = ["NOTES", "NoteKeeper", "first_notes", "general_notes", "own_notes"]

#: The folder of notes in a job's.
NOTES = "notes"

_SUFFIX = ".json"
#: Kinds of a map's notes that depend on no picture, and are said when the job is planned; and the
#: one that is a fact of a run, as records leave it out.
_GENERAL, _OF_RUN = ("engine", "preprocess"), ("resume",)


def general_notes(mapper: Mapper) -> list[str]:
    """What a mapper's notes say of every picture, once its net is loaded."""
    return [note for note in (mapper.note, mapper.transformer.plain_note()) if note]


def own_notes(class_map: ClassMap) -> dict[str, str]:
    """What is to be said of a picture, by kind, and was not when the job was planned."""
    from netsurgery.maps.classmap import said_notes

    notes = said_notes(class_map)
    return {kind: notes[kind] for kind in notes if kind not in (*_GENERAL, *_OF_RUN)}


class NoteKeeper:
    """Keeps the notes on a worker's pictures, of each kind those on the first it has come to."""

    def __init__(self, store: JobStore) -> None:
        self._store = store
        #: Kind -> the first picture with such a note.
        self._first: dict[str, int] = {}

    def keep(self, index: int, notes: Mapping[str, str]) -> None:
        """Keep notes on picture `index`, by kind, but those that are said of an earlier one.

        Raises JobError and OutputError.
        """
        new = {kind: note for kind, note in notes.items() if index < self._earliest(kind, index)}
        if new:
            self._store.write(_name(index), f"{json.dumps(new)}\n".encode())
            self._first |= dict.fromkeys(new, index)

    def drop(self, index: int) -> None:
        """Forget what was kept of a picture that failed all the same."""
        kinds = [kind for kind, first in self._first.items() if first == index]
        if kinds:
            self._store.remove(_name(index))
        for kind in kinds:
            del self._first[kind]

    def _earliest(self, kind: str, index: int) -> int:
        return self._first.get(kind, index + 1)


def first_notes(store: JobStore) -> dict[str, str]:
    """Of each kind what is said of the first picture that has such a note, in their order.

    Of a file that no worker has written so, as after a power cut, nothing is said. Raises JobError.
    """
    first: dict[str, str] = {}
    for name in sorted(store.names(NOTES)):
        if name.endswith(_SUFFIX) and name.removesuffix(_SUFFIX).isdecimal():
            for kind, note in _read(store, f"{NOTES}/{name}").items():
                first.setdefault(kind, note)
    return first


def _read(store: JobStore, name: str) -> dict[str, str]:
    try:
        notes = json.loads(store.read(name))
    except (FileNotFoundError, ValueError):
        return {}
    is_notes = isinstance(notes, dict) and all(isinstance(each, str) for each in notes.values())
    return notes if is_notes else {}


def _name(index: int) -> str:
    return f"{NOTES}/{index:07d}{_SUFFIX}"
