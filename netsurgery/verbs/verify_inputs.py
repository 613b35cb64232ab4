"""What two nets are fed to compare them: pictures, or random numbers that the net can take.

Parts of an input may be read as indices: an LSTM's marks, an Embed's words, a slice of an input or
several inputs joined and reshaped. Which number of an input comes to which place is seen by sending
places through the layers between, which move numbers and change none, in the embedded engine.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, NamedTuple

from netsurgery.errors import NetError, NetsurgeryError
from netsurgery.formats.settings import Settings
from netsurgery.io.memory import Claim, empty
from netsurgery.io.shape_text import shape_text
from netsurgery.io.wording import counted
from netsurgery.net import types
from netsurgery.net.inputs import declare_inputs, why_no_input, with_own_shapes
from netsurgery.net.net import Layer, NetDefinition, NetInput, Shape
from netsurgery.net.shapes import Shapes, infer, remedy
from netsurgery.net.types.indices import Indices, indices
from netsurgery.net.types.record import Role, Values

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from netsurgery.maps.any_picture import AnyPicture
    from netsurgery.maps.image import Picture
    from netsurgery.maps.transformer import Transformer

    Array = NDArray[np.float32]
    Feed = dict[str, Array]
    Places = NDArray[np.intp]

__all__ = ["Samples", "draw_indices", "make_samples", "pair_inputs"]


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

    @property
    def note(self) -> str:
        """What to know of how the pictures are made ready; "" for nothing."""
        return "" if self.transformer is None else self.transformer.plain_note()

    def __len__(self) -> int:
        return len(self.pictures) + self.random

    def feeds(self, net: NetDefinition, shapes: Mapping[str, Shape]) -> Iterator[Feed]:
        """The inputs of each sample, float32 of exactly `shapes`, C-contiguous.

        Raises NetError for a picture where the net takes several inputs or no picture.
        """
        yield from self._pictured(net, shapes)
        for number in range(self.random):
            yield _random(net, shapes, (self.seed, number))

    def large(self, net: NetDefinition, shapes: Mapping[str, Shape]) -> Iterator[Feed]:
        """Like `feeds`, for maps, of which each costs many windows: random numbers once at most."""
        if not self.pictures and self.random:
            # A stream of its own: `feeds` has those of the numbers below.
            yield _random(net, shapes, (self.seed, self.random))
        yield from self._pictured(net, shapes)

    def _pictured(self, net: NetDefinition, shapes: Mapping[str, Shape]) -> Iterator[Feed]:
        for picture in self.pictures:
            name, shape = _picture_input(net, shapes)
            assert self.transformer is not None
            blob, _ = self.transformer.blob(picture, (shape[2], shape[3]))
            array = empty(shape, "f4", f"input {name!r} of {shape_text(shape)}")
            # Broadcast: each picture of a fixed batch is this one.
            array[...] = blob
            yield {name: array}


def make_samples(
    net: NetDefinition,
    images: AnyPicture | Iterable[AnyPicture],
    settings: Settings,
    *,
    random: int | None,
    seed: int,
) -> Samples:
    """The pictures, read, and made ready as `settings` say; `random` times random numbers besides.

    images: pictures as `as_picture` takes them. random: None for once, or not at all where there
    are pictures. Raises NetError where that is nothing, `seed` is negative, or the net takes no
    picture; what is wrong with a picture or a setting.
    """
    if seed < 0:
        raise NetError(f"seed {seed}: expected a whole number from 0")
    several = _several(images)
    count = int(not several) if random is None else random
    if count < 0 or not (several or count):
        raise NetError(f"{counted(count, 'time')} random numbers: expected 1 or more, or a picture")
    if not several:
        return Samples(random=count, seed=seed)
    from netsurgery.maps.any_picture import as_picture
    from netsurgery.maps.from_settings import make_transformer

    net = declare_inputs(with_own_shapes(net))
    shape = next((each.shape for each in net.inputs), None)
    if shape is None or len(shape) != 4:
        raise NetError(
            f"{net.prototxt.path}: the net takes no picture; compare with random numbers"
        )
    transformer = make_transformer(settings, shape[1])
    return Samples([as_picture(*image) for image in several], transformer, count, seed)


def _several(images: AnyPicture | Iterable[AnyPicture]) -> list[tuple[AnyPicture, str]]:
    if isinstance(images, (list, tuple)) and not images:
        return []  # and Pillow is not imported
    from netsurgery.maps.any_picture import each_picture

    return list(each_picture(images))


def _picture_input(net: NetDefinition, shapes: Mapping[str, Shape]) -> tuple[str, Shape]:
    if len(shapes) != 1:
        raise NetError(
            f"{net.prototxt.path}: the net has "
            f"{counted(len(shapes), 'input')}, {', '.join(shapes)}; "
            "a picture can be fed to one only; compare with random numbers"
        )
    return next(iter(shapes.items()))


def _random(net: NetDefinition, shapes: Mapping[str, Shape], seed: tuple[int, int]) -> Feed:
    import numpy as np

    # A stream for each sample: more samples do not change those before.
    generator = np.random.default_rng(seed)
    feed = {name: _normal(generator, name, shape) for name, shape in shapes.items()}
    for name, places, numbers in draw_indices(net, shapes, generator):
        feed[name].reshape(-1)[places] = numbers
    return feed


def _normal(generator: np.random.Generator, name: str, shape: Shape) -> NDArray[np.float32]:
    """Normal random numbers, drawn in float64."""
    what = f"input {name!r} of {shape_text(shape)}"
    with Claim(8 * prod(shape), what):
        array: NDArray[np.float32] = empty(shape, "f4", what)
        array[...] = generator.standard_normal(shape)
    return array


def pair_inputs(old: NetDefinition, new: NetDefinition) -> tuple[dict[str, str], dict[str, Shape]]:
    """Each input of `old` -> that of `new`; and the shape at which both are compared.

    Paired by name, or else in file order. The shape is on each axis the smaller of the two (batch,
    height and width; channels are equal), so that a net that was made larger takes what the other
    took; but the batches of one, where a layer of it is made for no other. Raises NetError where
    the inputs cannot be the same.
    """
    if len(old.inputs) != len(new.inputs) or not old.inputs:
        why = "".join(dict.fromkeys(why_no_input(net) for net in (old, new) if not net.inputs))
        says = (
            f"{old.prototxt.path} declares {_counted(old)}, {new.prototxt.path} {len(new.inputs)}"
        )
        if not old.inputs or not new.inputs:
            says = f"{(new if old.inputs else old).prototxt.path} declares no input"
        raise NetError(f"{says}; the same input must go into both nets{why}")
    own, partners = ([each.name for each in net.inputs] for net in (old, new))
    names = dict(zip(own, own if set(own) == set(partners) else partners, strict=True))
    known = {each.name: each.shape for each in new.inputs}
    shapes = {}
    for each in old.inputs:
        new_shape = known[names[each.name]]
        for net, shape in ((old, each.shape), (new, new_shape)):
            if shape is None:
                name = each.name if net is old else names[each.name]
                raise NetError(
                    f"{net.prototxt.path}: no shape is declared for its input {name!r}; "
                    f"{remedy(name)}"
                )
        assert each.shape is not None
        assert new_shape is not None
        if not _alike(each.shape, new_shape):
            raise NetError(
                f"input {each.name!r} is {shape_text(each.shape)} in {old.prototxt.path}, "
                f"{shape_text(new_shape)} in {new.prototxt.path}; the same input must go into both"
            )
        shapes[each.name] = tuple(map(min, each.shape, new_shape))
    return names, _at_batches(old, new, names, shapes)


def _at_batches(
    old: NetDefinition, new: NetDefinition, names: Mapping[str, str], shapes: dict[str, Shape]
) -> dict[str, Shape]:
    """`shapes`, or at the batches that one net declares where only those go through both."""
    declared = [{each.name: each.shape or () for each in net.inputs} for net in (old, new)]
    own = {name: declared[0][name][:1] for name in names}
    partners = {name: declared[1][partner][:1] for name, partner in names.items()}
    tries = [shapes]
    tries += [
        {name: (*batches[name], *shape[1:]) for name, shape in shapes.items()}
        for batches in (own, partners)
    ]
    if tries[1] == tries[2]:
        return shapes
    goes = (
        each
        for each in tries
        if _infers(old, each) and _infers(new, {names[name]: each[name] for name in names})
    )
    return next(goes, shapes)


def _infers(net: NetDefinition, shapes: Mapping[str, Shape]) -> bool:
    try:
        infer(net, shapes)
    except NetsurgeryError:
        return False
    return True


def _alike(a: Shape, b: Shape) -> bool:
    """Whether only batch, height and width differ (of images), or nothing but the batch."""
    # On inputs without numbers any two nets agree.
    if len(a) != len(b) or 0 in (prod(a), prod(b)):
        return False
    return a[1:2] == b[1:2] if len(a) == 4 else a[1:] == b[1:]


def _counted(net: NetDefinition) -> str:
    return counted(len(net.inputs), "input")


_MOVING = (Values.KEPT, Values.PASSED, Values.MOVED)
#: float32 counts to 2**24; places are sent in two parts.
_PART = 1 << 12
#: Bytes that finding the places of a number takes: it and its place, in whole numbers and floats.
_PLACES = 80


class _Read(NamedTuple):
    """A blob that `layer` reads as indices."""

    layer: Layer
    blob: str
    takes: Indices


def draw_indices(
    net: NetDefinition, shapes: Mapping[str, Shape], random: np.random.Generator
) -> Iterator[tuple[str, Places, NDArray[np.float64]]]:
    """(input, places in it, counted row by row, the numbers to put there).

    The last one counts where places are read twice: those that take least, marks last.
    """
    if not any(Role.INDEX in types.roles(layer) for layer in net.layers):
        return  # and a net made for one size needs no shapes at another
    at = infer(net, shapes)
    reads = sorted(_reads(net, at), key=lambda read: (read.takes.marks, -read.takes.below))
    for read in reads:
        count = prod(at.of(read.blob)) + sum(map(prod, shapes.values()))
        with Claim(_PLACES * count, f"the places of the indices in blob {read.blob!r}"):
            yield from _drawn(net, at, read, random)


def _drawn(
    net: NetDefinition, at: Shapes, read: _Read, random: np.random.Generator
) -> Iterator[tuple[str, Places, NDArray[np.float64]]]:
    numbers = _draw(read.takes, at.of(read.blob), random).reshape(-1)
    for name, (places, targets) in _origins(net, at, read).items():
        yield name, places, numbers[targets]


def _reads(net: NetDefinition, at: Shapes) -> Iterator[_Read]:
    for layer in net.layers:
        if any(bottom not in at.blobs for bottom in layer.bottoms):
            continue
        takes = indices(layer, [at.of(bottom) for bottom in layer.bottoms])
        for bottom, role in zip(layer.bottoms, types.roles(layer), strict=True):
            if role is Role.INDEX and takes is not None:
                yield _Read(layer, bottom, takes)


def _draw(takes: Indices, shape: Shape, random: np.random.Generator) -> NDArray[np.float64]:
    import numpy as np

    if takes.picture is not None and shape[1:2] == (5,):
        return _boxes(takes, shape, random)
    if not takes.marks:
        return random.integers(0, takes.below, shape).astype("f8")
    marks = np.ones(shape)
    marks[:1] = 0  # a sequence begins with the first step
    return marks


def _boxes(takes: Indices, shape: Shape, random: np.random.Generator) -> NDArray[np.float64]:
    import numpy as np

    height, width = takes.picture or (1, 1)
    rows = np.zeros((shape[0], 5))
    # A row is n, x0, y0, x1, y1; x0 <= x1 and y0 <= y1.
    rows[:, 0] = random.integers(0, takes.below, shape[0])
    for column, size in ((1, width), (2, height)):
        corners = random.integers(0, max(1, int(size)), (shape[0], 2))
        rows[:, [column, column + 2]] = np.sort(corners, axis=1)
    return np.broadcast_to(rows.reshape(*rows.shape, *[1] * (len(shape) - 2)), shape)


def _origins(net: NetDefinition, at: Shapes, read: _Read) -> dict[str, tuple[Places, Places]]:
    """Input -> the places in it, and the places of the blob, that hold the same numbers."""
    import numpy as np

    part, names = _moving_part(net, at, read)
    if not names:
        return {}
    if not part.layers:
        # The blob is the input itself.
        every = np.arange(np.prod(at.of(read.blob), dtype=np.intp))
        return dict.fromkeys(names, (every, every))
    try:
        return _sent(part, at, read.blob, names)
    except NetsurgeryError:  # of a type that this engine does not run: no place is known
        return {}


def _moving_part(net: NetDefinition, at: Shapes, read: _Read) -> tuple[NetDefinition, list[str]]:
    """The layers before it that move what the blob holds, and which of the net's inputs they read.

    The part's inputs are what its first layers read, computed or not. No input is named where a
    blob is read both before and after a layer has changed it in place.
    """
    needed, layers, computed = {read.blob}, list[Layer](), set[str]()
    for layer in reversed(net.layers):
        own = needed.intersection(layer.tops)
        if layer.index >= read.layer.index or types.is_input(layer) or not own:
            continue
        needed.difference_update(layer.tops)
        if _moves(layer):
            needed.update(layer.bottoms)
            layers.append(layer)
        else:
            computed |= own
    inputs = tuple(NetInput(name, at.of(name), ()) for name in sorted(needed | computed))
    part = replace(net, inputs=inputs, layers=tuple(layers[::-1]))
    if needed & computed:
        return part, []
    return part, [each.name for each in net.inputs if each.name in needed]


def _moves(layer: Layer) -> bool:
    return types.values(layer) in _MOVING and Role.INDEX not in types.roles(layer)


def _sent(
    part: NetDefinition, at: Shapes, blob: str, names: Sequence[str]
) -> dict[str, tuple[Places, Places]]:
    import numpy as np

    from netsurgery.engines.contract import EngineOptions
    from netsurgery.engines.ort import open_engine

    result = {}
    zeros = {each.name: np.zeros(at.of(each.name), np.float32) for each in part.inputs}
    with open_engine(EngineOptions()) as engine, engine.load(part) as loaded:
        for name in names:
            every = np.arange(zeros[name].size).reshape(zeros[name].shape)
            high, low, arrived = (
                loaded.forward({**zeros, name: sent.astype(np.float32)}, [blob])[blob]
                for sent in (every // _PART, every % _PART, np.ones_like(every))
            )
            # Where ones arrive the input's numbers do; the zeros are of other inputs.
            targets = np.flatnonzero(arrived == 1)
            places = high.astype(np.intp) * _PART + low.astype(np.intp)
            result[name] = (places.reshape(-1)[targets], targets)
    return result
