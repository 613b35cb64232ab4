"""What one net gives of pictures, one result after another, until it is closed.

All verbs of many pictures take them through one pipeline (`results_of`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence, Sized
from contextlib import ExitStack
from typing import TYPE_CHECKING, TypeVar

from netsurgery.engines.contract import AnyEngine
from netsurgery.errors import NetsurgeryError
from netsurgery.io.closeable import Closeable
from netsurgery.io.short_repr import short_repr
from netsurgery.verbs.pipeline import Pipeline

if TYPE_CHECKING:
    from netsurgery.maps.any_picture import AnyPicture
    from netsurgery.maps.image import Picture
    from netsurgery.maps.mapper import Mapper
    from netsurgery.net.net_with_weights import NetWithWeights
    from netsurgery.open_net.arguments import AnyPath
    from netsurgery.open_net.net import Net

    #: A picture's number, the picture, and its name.
    _Numbered = tuple[int, tuple[AnyPicture, str]]

__all__ = ["PictureResults", "only", "opened_model", "results_of"]

T = TypeVar("T")
Ran = TypeVar("Ran")


def opened_model(
    stack: ExitStack, net: Net | None, engine: AnyEngine
) -> tuple[NetWithWeights | None, AnyEngine]:
    """An open net's model as it is now, closed with the stack, and what is to run it."""
    if net is None:
        return None, engine
    # The net's own engine counts only where this call asks for none.
    own = engine == "auto" and net.engine_options.choice != "auto"
    return stack.enter_context(net.present_model()), net.engine_options if own else engine


def only(image: AnyPicture) -> Iterator[Picture]:
    """One picture, read when it is asked for; it has no number, as each of several has."""
    from netsurgery.maps.large_file import open_picture

    yield open_picture(image)


class PictureResults(Closeable, Iterator[T]):
    """A result for each picture, made when it is asked for; a context manager.

    The last result closes it, and so does the first picture that fails. notes: what to know of the
    net, before any picture.
    """

    def __init__(
        self,
        mapper: Mapper,
        make: Callable[[Picture], T],
        images: AnyPicture | Iterable[AnyPicture],
        opened: ExitStack,
        files: Sequence[str],
        notes: Sequence[str] = (),
    ) -> None:
        """opened: closes the mapper, and whatever else is open for it. files: the settings'."""
        self.notes = [*mapper.source.net.notes, *notes]
        self._mapper, self._images, self._opened = mapper, images, opened
        self._files = files
        # No method of this object: without a cycle it is closed as soon as nobody has it.
        self._results = _each_result(mapper, make, images, opened)

    @property
    def engine(self) -> str:
        """What ran the net last, in a line; "" before the first picture."""
        return self._mapper.engine

    def __next__(self) -> T:
        return next(self._results)

    def _pictures(self) -> list[tuple[AnyPicture, str]]:
        """All the pictures, not read yet, and what each is called."""
        from netsurgery.maps.any_picture import each_picture, picture_name

        pictures = each_picture(self._images)
        return [(image, picture_name(image, name)) for image, name in pictures]

    def _inputs(self, names: Iterable[AnyPath]) -> list[str]:
        """The files that no output may replace: the net's, the settings' and those of `names`."""
        named = (name for name in map(str, names) if name != "-")
        return [*self._mapper.source.model.files, *self._files, *named]

    def close(self) -> None:
        """Close the net and the engine."""
        self._opened.close()

    def __repr__(self) -> str:
        return short_repr(f"{type(self).__name__} of {self._mapper.source.net.prototxt.path}")


def results_of(
    mapper: Mapper,
    pictures: Iterable[tuple[AnyPicture, str]],
    run: Callable[[int, Picture], Ran],
    finish: Callable[[Ran], T],
    failed: Callable[[str, NetsurgeryError], T],
    *,
    held: bool,
    worth_a_thread: bool = True,
) -> Generator[T, None, None]:
    """A result for each picture, in order, while the next are read and the last are finished.

    pictures: each with its name, "" for its own. run: uses the net on a picture, of which there is
    its number. finish: makes the result of what that gives, in another thread where that is worth
    it. failed: the result of a picture by the name, and the error; whichever stage lacks memory,
    it has the picture's name. held: whether arrays and the like stay as they are after the next
    picture is asked for; files are read ahead in any case.
    """
    from netsurgery.maps.any_picture import picture_name
    from netsurgery.maps.image import out_of_memory_named
    from netsurgery.maps.large_file import open_picture

    def read(item: _Numbered) -> tuple[int, Picture]:
        number, named = item
        with out_of_memory_named(picture_name(*named)):
            picture = open_picture(*named)
            if mapper.ahead is not None:
                mapper.make_input(picture)
            return number, picture

    def run_over(numbered: tuple[int, Picture], alone: bool) -> tuple[str, Ran]:
        name = numbered[1].name
        mapper.alone = alone
        try:
            with out_of_memory_named(name):
                return name, run(*numbered)
        finally:
            mapper.alone = True

    def finish_named(ran: tuple[str, Ran]) -> T:
        with out_of_memory_named(ran[0]):
            return finish(ran[1])

    pipeline = Pipeline(
        read,
        run_over,
        finish_named,
        lambda item, error: failed(picture_name(*item[1]), error),
        is_kept=lambda item: _can_be_read_later(item[1][0], held),
        worth_a_thread=worth_a_thread,
        make_room=mapper.unload,
        at_once=lambda: 1 if mapper.ahead is None else mapper.ahead.at_once,
    )
    count = len(pictures) if isinstance(pictures, Sized) else None
    if count != 1:
        from netsurgery.maps.ahead import Ahead

        mapper.ahead = Ahead(mapper, count)
    return pipeline.results(enumerate(pictures))


def _can_be_read_later(image: AnyPicture, held: bool) -> bool:
    """Whether a picture stays as it is, and can be read twice, as a pipe cannot."""
    from netsurgery.maps.image import Picture

    if isinstance(image, (str, os.PathLike)):
        return image != "-" and os.path.isfile(image)
    return isinstance(image, bytes) or (
        held and (isinstance(image, Picture) or hasattr(image, "__array__"))
    )


def _each_result(
    mapper: Mapper,
    make: Callable[[Picture], T],
    images: AnyPicture | Iterable[AnyPicture],
    opened: ExitStack,
) -> Iterator[T]:
    from netsurgery.maps.any_picture import each_picture

    def run(number: int, picture: Picture) -> T:
        return make(picture)

    def failed(name: str, error: NetsurgeryError) -> T:
        raise error

    def as_made(result: T) -> T:
        return result

    held = isinstance(images, (list, tuple)) or hasattr(images, "__array__")
    pictures = each_picture(images)
    with opened:
        yield from results_of(
            mapper,
            [*pictures] if held else pictures,
            run,
            as_made,
            failed,
            held=held,
            worth_a_thread=False,
        )
