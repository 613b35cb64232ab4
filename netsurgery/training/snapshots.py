"""Snapshots of a training run: the weights and the solver's state, whole or not at all.

    snapshots/step-00000400.caffemodel
    snapshots/step-00000400.solverstate
    snapshots/step-00000400.json         what the others hold; written last

The first two are Caffe's own. The newest two are kept, so that one that is damaged later is not
all there is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netsurgery.errors import OutputError, TrainingError
from netsurgery.io.checksum import sha256_of
from netsurgery.io.cleanup import step as undisturbed
from netsurgery.io.files import Outputs

__all__ = ["FOLDER", "Snapshot", "newest", "save_snapshot", "snapshots"]

FOLDER = "snapshots"
_KEPT = 2
_NAME = re.compile(r"step-(\d{8,10})\.json")
_LONGEST = 1 << 16


@dataclass(frozen=True)
class Snapshot:
    """The snapshot after `step` steps, in the folder of a run."""

    folder: Path
    step: int

    def _path(self, ending: str) -> Path:
        return self.folder / FOLDER / f"step-{self.step:08d}.{ending}"

    @property
    def model(self) -> Path:
        """The weights."""
        return self._path("caffemodel")

    @property
    def state(self) -> Path:
        """Momentum, and the step's number."""
        return self._path("solverstate")

    @property
    def record(self) -> Path:
        """What the two hold."""
        return self._path("json")

    @property
    def files(self) -> tuple[Path, Path, Path]:
        """All of it; what says that the others are whole is the last to come, and goes first."""
        return self.model, self.state, self.record

    def why_not(self, identity: str) -> str:
        """Why a run of this identity cannot go on from it; "" if it can."""
        try:
            if self.record.stat().st_size > _LONGEST:
                return "its record is too long"
            record: Any = json.loads(self.record.read_bytes())
            if record["run"] != identity:
                return "it is of another plan"
            for path in (self.model, self.state):
                if sha256_of(path) != record[path.suffix[1:]]:
                    return f"{path.name} is not what was written"
        except OSError as error:
            return str(error.strerror)
        except (ValueError, KeyError, TypeError):
            return f"{self.record.name} is damaged"
        return ""

    def remove(self) -> None:
        """Delete it."""
        for path in reversed(self.files):
            with suppress(OSError):
                path.unlink()


def snapshots(folder: Path) -> list[Snapshot]:
    """Those in the folder of a run, the newest first, whether whole or not."""
    try:
        names = [path.name for path in (folder / FOLDER).iterdir()]
    except OSError:
        return []
    steps = [int(match[1]) for name in names if (match := _NAME.fullmatch(name))]
    return [Snapshot(folder, step) for step in sorted(steps, reverse=True)]


def newest(folder: Path, identity: str) -> tuple[Snapshot | None, list[str]]:
    """The newest snapshot that a run can go on from, and what there is to say of newer ones.

    Raises TrainingError where there are some, and none is of the same plan.
    """
    notes: list[str] = []
    saved = snapshots(folder)
    for snapshot in saved:
        why = snapshot.why_not(identity)
        if not why:
            return snapshot, notes
        notes.append(f"the snapshot of step {snapshot.step} is left out: {why}")
    if saved:
        raise TrainingError(f"{folder}: {notes[0]}; there is no other to go on from")
    return None, notes


def save_snapshot(snapshot: Snapshot, identity: str, write: Callable[[Path, Path], None]) -> None:
    """Save the newest snapshot of a run, and remove all but it and the one before.

    write: gets the paths to write the weights and the state to. Raises OutputError, and what
    `write` raises; what was there before stays then.
    """
    try:
        snapshot.record.parent.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(f"{snapshot.record.parent}: {error.strerror}") from None
    # A signal that ends the run waits until it is in place.
    with undisturbed, Outputs(snapshot.files, force=True) as outputs:
        model, state = (Path(outputs[path].temporary) for path in snapshot.files[:2])
        write(model, state)
        record = {
            "run": identity,
            "step": snapshot.step,
            "caffemodel": sha256_of(model),
            "solverstate": sha256_of(state),
        }
        outputs[snapshot.record].write(json.dumps(record, indent=1).encode() + b"\n")
    saved = snapshots(snapshot.folder)
    at = saved.index(snapshot)
    # Later ones are those that the run could not go on from.
    for each in [*saved[:at], *saved[at + _KEPT :]]:
        each.remove()
