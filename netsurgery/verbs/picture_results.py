"""What one net gives of pictures, one result after another, until it is closed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, TypeVar

from netsurgery.engines.contract import AnyEngine
from netsurgery.io.closeable import Closeable
from netsurgery.io.short_repr import short_repr

if TYPE_CHECKING:
    from netsurgery.maps.any_picture import AnyPicture
    from netsurgery.maps.image import Picture
    from netsurgery.maps.mapper import Mapper
    from netsurgery.net.net_with_weights import NetWithWeights
    from netsurgery.open_net.net import Net

__all__ = ["PictureResults", "only", "opened_model"]

T = TypeVar("T")


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
        notes: Sequence[str] = (),
    ) -> None:
        """opened: closes the mapper, and whatever else is open for it."""
        self.notes = [*mapper.source.net.notes, *notes]
        self._mapper, self._images, self._opened = mapper, images, opened
        # No method of this object: without a cycle it is closed as soon as nobody has it.
        self._results = _each_result(make, images, opened)

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

    def _inputs(self, images: Sequence[str]) -> list[str]:
        """The files that no output may replace: the net's, and those of `images`."""
        return [*self._mapper.source.model.files, *(image for image in images if image != "-")]

    def close(self) -> None:
        """Close the net and the engine."""
        self._opened.close()

    def __repr__(self) -> str:
        return short_repr(f"{type(self).__name__} of {self._mapper.source.net.prototxt.path}")


def _each_result(
    make: Callable[[Picture], T], images: AnyPicture | Iterable[AnyPicture], opened: ExitStack
) -> Iterator[T]:
    from netsurgery.maps.any_picture import each_picture
    from netsurgery.maps.large_file import open_picture

    with opened:
        for image, name in each_picture(images):
            picture = open_picture(image, name)
            yield make(picture)
