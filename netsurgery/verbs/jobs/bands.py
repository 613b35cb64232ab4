"""A large picture of a job in bands, which workers take one by one, each by a lease of its own.

    parts/00012/0000312.bands/plan.json   which bands there are
                              00003.npy   rows of the map: a band that is done
                              00003.lease of the worker that is at a band

The worker that has the lease of the picture's chunk plans the bands, and makes the picture's
outputs of them when all are there. Meanwhile any worker may take bands.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netsurgery.errors import JobError
from netsurgery.io.checksum import size_and_time
from netsurgery.io.files import Outputs
from netsurgery.io.folders import make_folder
from netsurgery.io.lease import Lease, is_held, read_lease

if TYPE_CHECKING:
    from netsurgery.maps.bands import BandPlan

__all__ = ["BANDS", "OVER", "BandFolder", "picture_state"]

#: The endings of the folder of a picture's bands, and of one that is being removed.
BANDS, OVER = ".bands", ".over"

_PLAN = "plan.json"


def picture_state(name: str) -> str:
    """What a picture's file is known by; "" where there is none, as opening it says."""
    try:
        return size_and_time(name)
    except OSError:
        return ""


@dataclass(frozen=True)
class BandFolder:
    """The bands of one picture, in a folder."""

    path: Path

    @cached_property
    def plan(self) -> BandPlan | None:
        """Which bands there are; None where they are not planned, or not needed any more."""
        return self._plan_and_picture[0]

    def are_of(self, state: str) -> bool:
        """Whether they are of a picture in such a state, as `picture_state` gives it."""
        return self._plan_and_picture[1] == state

    @cached_property
    def _plan_and_picture(self) -> tuple[BandPlan | None, str]:
        from netsurgery.maps.bands import Band, BandPlan

        path = self.path / _PLAN
        try:
            record = json.loads(path.read_bytes())
            height, width = record["size"]
            bands = tuple(Band(*each) for each in record["bands"])
            plan = BandPlan((height, width), record["height"], record["cells"], bands)
            return plan, record["picture"]
        except (FileNotFoundError, NotADirectoryError):
            return None, ""
        except OSError as error:
            raise JobError(f"{path}: {error.strerror}") from error
        except (KeyError, TypeError, ValueError) as error:
            raise JobError(f"{path}: is no plan of bands ({error}); remove it") from error

    def begin(self, plan: BandPlan, state: str) -> BandFolder:
        """The folder with a plan of bands in it; state: of the picture. Raises OutputError."""
        path = self.path / _PLAN
        make_folder(str(self.path))
        record = {"picture": state, **asdict(plan)}
        with Outputs([path], force=True) as outputs:
            outputs[path].write(f"{json.dumps(record)}\n".encode())
        return BandFolder(self.path)

    def file(self, number: int) -> str:
        """The path of a band that is done."""
        return str(self.path / f"{number:05d}.npy")

    @property
    def files(self) -> list[str]:
        """The paths of all bands."""
        return [self.file(number) for number in range(self.count)]

    @property
    def count(self) -> int:
        """How many bands there are."""
        return 0 if self.plan is None else len(self.plan.bands)

    def left(self) -> list[int]:
        """The bands that are not done, in order."""
        try:
            names = set(os.listdir(self.path))
        except FileNotFoundError:
            return []
        return [each for each in range(self.count) if f"{each:05d}.npy" not in names]

    def take(self, number: int, note: dict[str, Any]) -> Lease | None:
        """The lease of a band, or None where somebody has it, or the bands are over."""
        try:
            return Lease.take(self._lease(number), note)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise JobError(f"{self.path}: {error.strerror}") from error

    def last_note(self, number: int) -> dict[str, Any]:
        """What the last lease of a band says that was not given back."""
        return read_lease(self._lease(number))

    def held_by(self) -> list[dict[str, Any]]:
        """What the leases say of those who are at a band."""
        notes = {number: self.last_note(number) for number in self.left()}
        return [note for number, note in notes.items() if note and is_held(self._lease(number))]

    def remove(self) -> None:
        """Remove all of it, once it is not needed; somebody may still be at a band."""
        over = self.path.with_suffix(OVER)
        shutil.rmtree(over, ignore_errors=True)  # of a worker that died while it removed it
        try:
            os.rename(self.path, over)
        except OSError:  # somebody else has
            return
        shutil.rmtree(over, ignore_errors=True)

    def _lease(self, number: int) -> Path:
        return self.path / f"{number:05d}.lease"
