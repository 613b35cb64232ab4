"""What a worker does with the large pictures of a job: bands, which it shares with others."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from netsurgery.errors import JobError, NetsurgeryError, OutputError
from netsurgery.io.checksum import sha256_of, size_and_time
from netsurgery.io.files import Outputs
from netsurgery.verbs.jobs.held import held
from netsurgery.verbs.jobs.tries import Tries, given_up
from netsurgery.verbs.jobs.url_pictures import picture_at

if TYPE_CHECKING:
    from netsurgery.maps.any_picture import AnyPicture
    from netsurgery.maps.bands import BandRunner
    from netsurgery.maps.mapper import Mapper
    from netsurgery.verbs.jobs.bands import BandFolder
    from netsurgery.verbs.jobs.folder import Chunk

__all__ = ["BandWorker"]

#: Seconds between two looks for bands that others are at, at first.
_SHORT = 0.1


class BandWorker:
    """Plans the bands of large pictures, and does those that nobody is at.

    fail: has a picture fail, with an error, or what to say of it. scratch: a folder for temporary
    files, of a job at a URL.
    """

    def __init__(
        self,
        mapper: Mapper,
        tries: Tries,
        fail: Callable[[Chunk, int, NetsurgeryError | str], None],
        scratch: Path | None,
    ) -> None:
        self._mapper, self._tries, self._fail, self._scratch = mapper, tries, fail, scratch
        #: Pictures whose bands would have other bits with this worker's threads, or memory.
        self._unfit: set[int] = set()

    def opened(
        self, chunk: Chunk, index: int, picture: AnyPicture, *, begun: bool
    ) -> tuple[AnyPicture, BandFolder | None]:
        """A picture, and its bands if it is to be done in bands; begun: whether there may be any.

        One that cannot be opened is given as it is: doing it says why. So is one whose file changes
        meanwhile, which this worker does alone.
        """
        from netsurgery.maps.bands import plan_bands
        from netsurgery.maps.image import out_of_memory_named
        from netsurgery.maps.large_file import open_picture

        bands, seen = chunk.bands(index), _seen(picture)
        try:
            with out_of_memory_named(chunk.plan.pictures[index]):
                opened = open_picture(picture)
                if begun:
                    if bands.are_of(self._state(picture, seen)):
                        return opened, bands
                    bands.remove()  # the file has changed since
                plan = plan_bands(self._mapper, opened)
        except NetsurgeryError:
            return picture, None
        if plan is None:
            return opened, None
        state = self._state(picture, seen)
        return (opened, bands.begin(plan, state)) if state else (picture, None)

    def do_all(self, chunk: Chunk, index: int, bands: BandFolder, picture: AnyPicture) -> bool:
        """Do bands until all are done, by whomever, or the picture is over.

        False where they are not for this worker to do.
        """
        pause = _SHORT
        while index not in self._unfit and bands.left() and index in chunk.left():
            if self.do(chunk, index, bands, picture):
                pause = _SHORT
            else:  # others are at the last ones
                time.sleep(pause)
                pause = min(2 * pause, max(_SHORT, chunk.store.pause / 4))
        return index not in self._unfit

    def do(
        self, chunk: Chunk, index: int, bands: BandFolder, picture: AnyPicture | None = None
    ) -> bool:
        """Do the bands of a picture that nobody is at; whether there were any.

        picture: of which the bands are; None to open it if need be, and do none if it has changed.
        """
        done = False
        with ExitStack() as stack:

            @cache
            def runner() -> BandRunner | None:
                if picture is not None:
                    return self._runner(picture, bands)
                current = stack.enter_context(picture_at(chunk.plan.pictures[index], self._scratch))
                is_same = bands.are_of(self._state(current, _seen(current)))
                return self._runner(current, bands) if is_same else None

            for number in bands.left():
                if index not in self._unfit:
                    done |= self._do(chunk, index, bands, number, runner)
        return done

    def _do(
        self,
        chunk: Chunk,
        index: int,
        bands: BandFolder,
        number: int,
        runner: Callable[[], BandRunner | None],
    ) -> bool:
        """Do one band of a picture, or have the picture fail; False where nobody needs it, or it is
        not for this worker to do."""
        from netsurgery.maps.image import out_of_memory_named

        before = bands.last_note(number)
        with held(lambda: bands.take(number, before)) as lease:
            # It may be done since they were listed, and so may the picture.
            if lease is None or number not in bands.left() or index not in chunk.left():
                return False
            tries = self._tries.before(before, index)
            if error := given_up(tries):
                self._fail(chunk, index, error)
                return True
            self._tries.write(lease, index, tries + 1)
            try:
                with out_of_memory_named(chunk.plan.pictures[index]):
                    runs = runner()
                    if runs is None:
                        return False
                    if not runs.keeps_bits:
                        self._unfit.add(index)
                        return False
                    self._write(bands, number, runs)
            except (JobError, OutputError):  # a full disk is not the picture's fault
                if bands.left():  # else others took this worker for dead, and all is over
                    raise
            except NetsurgeryError as error:
                self._fail(chunk, index, error)
            return True

    def _write(self, bands: BandFolder, number: int, runner: BandRunner) -> None:
        from netsurgery.io.npy import write_npy

        assert bands.plan is not None
        values = runner.run(bands.plan.bands[number])
        with bands.making(number, self._scratch) as path, Outputs([path], force=True) as outputs:
            write_npy(outputs[path], values)

    def _runner(self, picture: AnyPicture, bands: BandFolder) -> BandRunner:
        from netsurgery.maps.bands import BandRunner
        from netsurgery.maps.large_file import open_picture

        assert bands.plan is not None
        return BandRunner(self._mapper, open_picture(picture), bands.plan)

    def _state(self, picture: AnyPicture, seen: str) -> str:
        """What a picture is known by; "" where its file is not as it was `seen` before it was read.

        Machines that share no folder may have copies of it, with times of their own. Their bytes
        are read for that, and so only of a picture that has bands.
        """
        if self._scratch is None or not seen:
            return seen
        try:
            state = sha256_of(_file(picture))
        except OSError:
            return ""
        return state if _seen(picture) == seen else ""


def _file(picture: AnyPicture) -> str:
    from netsurgery.maps.image import Picture, picture_file

    return picture_file(picture) if isinstance(picture, Picture) else str(picture)


def _seen(picture: AnyPicture) -> str:
    """What a picture's file looks like; "" where there is none, as opening it says."""
    try:
        return size_and_time(_file(picture))
    except OSError:
        return ""
