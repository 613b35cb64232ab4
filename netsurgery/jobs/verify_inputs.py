"""What two nets are fed to compare them: pictures, or random numbers that the net can take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

from netsurgery.errors import NetError
from netsurgery.formats.settings import Settings
from netsurgery.jobs.verify_indices import draw_indices
from netsurgery.net.net import Net, Shape
from netsurgery.net.shapes import describe, remedy
from netsurgery.surgery.inputs import declare_inputs, why_no_input, with_own_shapes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from netsurgery.maps.image import Picture
    from netsurgery.maps.transformer import Transformer

    Array = NDArray[np.float32]
    Feed = dict[str, Array]

__all__ = ["Samples", "make_samples", "pair_inputs"]


@dataclass(frozen=True, eq=False)
class Samples:
    """Pictures, each made as large as the input, then `random` times normal random numbers.

    transformer: makes the pictures' blobs; needed where there are pictures. seed: for the random
    numbers, which are the same in every run.
    """

    pictures: Sequence[Picture] = ()
    transformer: Transformer | None = None
    random: int = 1
    seed: int = 0

    def __len__(self) -> int:
        return len(self.pictures) + self.random

    def feeds(self, net: Net, shapes: Mapping[str, Shape]) -> Iterator[Feed]:
        """The inputs of each sample, float32 of exactly `shapes`, C-contiguous.

        Raises NetError for a picture where the net takes several inputs or no picture.
        """
        yield from self._pictured(net, shapes)
        for number in range(self.random):
            yield _random(net, shapes, (self.seed, number))

    def large(self, net: Net, shapes: Mapping[str, Shape]) -> Iterator[Feed]:
        """Like `feeds`, for maps, of which each costs many windows: random numbers once at most."""
        if not self.pictures and self.random:
            yield _random(net, shapes, (self.seed, self.random))
        yield from self._pictured(net, shapes)

    def _pictured(self, net: Net, shapes: Mapping[str, Shape]) -> Iterator[Feed]:
        import numpy as np

        for picture in self.pictures:
            name, shape = _picture_input(net, shapes)
            assert self.transformer is not None
            blob, _ = self.transformer.blob(picture, (shape[2], shape[3]))
            yield {name: np.ascontiguousarray(np.broadcast_to(blob, shape))}


def make_samples(
    net: Net, images: Sequence[str], settings: Settings, *, random: int | None, seed: int
) -> Samples:
    """The pictures, read, and made ready as `settings` say; `random` times random numbers besides.

    random: None for once, or not at all where there are pictures. Raises NetError where that is
    nothing, or the net takes no picture; what is wrong with a picture or a setting.
    """
    count = int(not images) if random is None else random
    if count < 0 or not (images or count):
        raise NetError(f"{count} times random numbers: expected 1 or more, or a picture")
    if not images:
        return Samples(random=count, seed=seed)
    from netsurgery.maps.image import read_picture
    from netsurgery.maps.mapper import make_transformer

    net = declare_inputs(with_own_shapes(net))
    shape = next((one.shape for one in net.inputs), None)
    if shape is None or len(shape) != 4:
        raise NetError(
            f"{net.prototxt.path}: the net takes no picture; compare with random numbers"
        )
    transformer = make_transformer(settings, shape[1])
    return Samples([read_picture(image) for image in images], transformer, count, seed)


def _picture_input(net: Net, shapes: Mapping[str, Shape]) -> tuple[str, Shape]:
    if len(shapes) != 1:
        raise NetError(
            f"{net.prototxt.path}: the net has {len(shapes)} inputs, {', '.join(shapes)}; "
            "a picture can be fed to one only; compare with random numbers"
        )
    return next(iter(shapes.items()))


def _random(net: Net, shapes: Mapping[str, Shape], seed: tuple[int, int]) -> Feed:
    import numpy as np

    generator = np.random.default_rng(seed)
    made = {
        name: np.ascontiguousarray(generator.standard_normal(shape), np.float32)
        for name, shape in shapes.items()
    }
    for name, places, numbers in draw_indices(net, shapes, generator):
        made[name].reshape(-1)[places] = numbers
    return made


def pair_inputs(old: Net, new: Net) -> tuple[dict[str, str], dict[str, Shape]]:
    """Each input of `old` -> that of `new`; and the shape at which both are compared.

    Paired by name, or else in file order. The shape is on each axis the smaller of the two (batch,
    height and width; channels are equal), so that a net that was made larger takes what the other
    took. Raises NetError where the inputs cannot be the same.
    """
    if len(old.inputs) != len(new.inputs) or not old.inputs:
        counts = f"{_counted(old)}, {new.prototxt.path} {_counted(new, '')}"
        why = "".join(why_no_input(net) for net in (old, new) if not net.inputs)
        raise NetError(
            f"{old.prototxt.path} declares {counts}; the same input must go into both{why}"
        )
    here, there = ([one.name for one in net.inputs] for net in (old, new))
    names = dict(zip(here, here if set(here) == set(there) else there, strict=True))
    known = {one.name: one.shape for one in new.inputs}
    shapes = {}
    for one in old.inputs:
        other = known[names[one.name]]
        for net, shape in ((old, one.shape), (new, other)):
            if shape is None:
                name = one.name if net is old else names[one.name]
                raise NetError(
                    f"{net.prototxt.path}: no shape is declared for its input {name!r}; "
                    f"{remedy(name)}"
                )
        assert one.shape is not None
        assert other is not None
        if not _alike(one.shape, other):
            raise NetError(
                f"input {one.name!r} is {describe(one.shape)} in {old.prototxt.path}, "
                f"{describe(other)} in {new.prototxt.path}; the same input must go into both"
            )
        shapes[one.name] = tuple(map(min, one.shape, other))
    return names, shapes


def _alike(one: Shape, other: Shape) -> bool:
    """Whether only batch, height and width differ (of images), or nothing but the batch."""
    if len(one) != len(other) or 0 in (prod(one), prod(other)):
        return False
    return one[1:2] == other[1:2] if len(one) == 4 else one[1:] == other[1:]


def _counted(net: Net, noun: str = "inputs") -> str:
    return f"{len(net.inputs) or 'no'} {noun}".rstrip()
