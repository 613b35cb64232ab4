"""A large picture of a job in bands, which workers take one by one, each by a lease of its own.

    parts/00012/0000312.bands/plan.json   which bands there are
                              00003.npy   rows of the map: a band that is done
                              00003.lease of the worker that is at a band

The worker that has the lease of the picture's chunk plans the bands, and makes the picture's
outputs of them when all are there. Meanwhile any worker may take bands.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netsurgery.errors import JobError
from netsurgery.verbs.jobs.store import JobLease, JobStore

if TYPE_CHECKING:
    from netsurgery.maps.bands import BandPlan

__all__ = ["BANDS", "BandFolder"]

#: The ending of the folder of a picture's bands.
BANDS = ".bands"

_PLAN = "plan.json"


@dataclass(frozen=True)
class BandFolder:
    """The bands of one picture, in a folder of a job's store."""

    store: JobStore
    folder: str

    @cached_property
    def plan(self) -> BandPlan | None:
        """Which bands there are; None where they are not planned, or not needed any more."""
        return self._plan_and_picture[0]

    def are_of(self, state: str) -> bool:
        """Whether they are of a picture in such a state, as it was at `begin`; "" is none."""
        return bool(state) and self.plan is not None and self._plan_and_picture[1] == state

    @cached_property
    def _plan_and_picture(self) -> tuple[BandPlan | None, str]:
        from netsurgery.maps.bands import Band, BandPlan

        name = f"{self.folder}/{_PLAN}"
        try:
            record = json.loads(self.store.read(name))
            height, width = record["size"]
            bands = tuple(Band(*each) for each in record["bands"])
            plan = BandPlan((height, width), record["height"], record["cells"], bands)
            return plan, record["picture"]
        except FileNotFoundError:
            return None, ""
        except (KeyError, TypeError, ValueError) as error:
            raise JobError(
                f"{self.store.name}/{name}: is no plan of bands ({error}); remove it"
            ) from error

    def begin(self, plan: BandPlan, state: str) -> BandFolder:
        """The folder with a plan of bands in it; state: of the picture.

        Raises JobError and OutputError.
        """
        record = {"picture": state, **asdict(plan)}
        self.store.write(f"{self.folder}/{_PLAN}", f"{json.dumps(record)}\n".encode())
        return BandFolder(self.store, self.folder)

    @property
    def count(self) -> int:
        """How many bands there are."""
        return 0 if self.plan is None else len(self.plan.bands)

    def left(self) -> list[int]:
        """The bands that are not done, in order; none where they are not needed any more."""
        names = set(self.store.names(self.folder))
        if _PLAN not in names:
            return []
        return [number for number in range(self.count) if _file(number) not in names]

    @contextmanager
    def making(self, number: int, scratch: Path | None) -> Iterator[str]:
        """The path at which to make a band, which is in place after it; scratch: as the store's."""
        with self.store.making(self.folder, [_file(number)], scratch) as place:
            yield str(place / _file(number))

    @contextmanager
    def fetched(self, scratch: Path | None) -> Iterator[list[str]]:
        """The paths of all bands, which are done, on this machine; scratch: as the store's."""
        names = [_file(number) for number in range(self.count)]
        with self.store.fetched(self.folder, names, scratch) as place:
            yield [str(place / name) for name in names]

    def take(self, number: int, note: dict[str, Any]) -> JobLease | None:
        """The lease of a band, or None where somebody has it, or the bands are over."""
        return self.store.take(self._lease(number), note, new_folder=False)

    def last_note(self, number: int) -> dict[str, Any]:
        """What the last lease of a band says that was not given back."""
        return self.store.note(self._lease(number))

    def held_by(self) -> list[dict[str, Any]]:
        """What the leases say of those who are at a band."""
        notes = {number: self.last_note(number) for number in self.left()}
        return [
            note
            for number, note in notes.items()
            if note and self.store.is_held(self._lease(number))
        ]

    def remove(self) -> None:
        """Remove all of it, once it is not needed; somebody may still be at a band."""
        self.store.discard(self.folder, _PLAN)

    def _lease(self, number: int) -> str:
        return f"{self.folder}/{number:05d}.lease"


def _file(number: int) -> str:
    return f"{number:05d}.npy"
