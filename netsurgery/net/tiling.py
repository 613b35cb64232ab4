"""A large input in tiles whose maps are those of the whole, cell for cell.

Along each axis a tile begins at a pixel that is a multiple of the total stride, so that every
window of every layer lies in it as it lies in the whole. It is of size T = the whole's size (modulo
that stride): all tiles are of one shape, the last begins on a multiple too, and it ends as the
whole ends, with the same padding and the same rounded-up poolings.

At an edge of the tile that is no edge of the whole, layers see padding where the whole has pixels.
A cell is right if its receptive field does not reach there: neither over the edge, nor over the
end of any blob before it, which Crop or a Slice may move into the tile. What is left of a tile are
its own cells; the rest is the overlap, as large whatever the tile's size.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil, floor, lcm

from netsurgery.errors import PrototxtError
from netsurgery.io.shape_text import shape_text
from netsurgery.net.field import ReceptiveField, layer_fields
from netsurgery.net.layer import Layer, Shape
from netsurgery.net.needed import needed
from netsurgery.net.net import NetDefinition
from netsurgery.net.shapes import Shapes, infer
from netsurgery.net.tiles import AxisTiles, MapAxis, Tiling

__all__ = ["Untileable", "WalkedNet", "find_tiling", "walk_net"]

Size = tuple[int, int]


@dataclass(frozen=True)
class Untileable:
    """Why a net gives other numbers in tiles: a layer, and what it does.

    >>> print(Untileable("fc6", "InnerProduct", "looks at the whole map"))
    layer 'fc6' (InnerProduct) looks at the whole map
    """

    layer: str
    kind: str
    reason: str

    def __str__(self) -> str:
        return f"layer {self.layer!r} ({self.kind}) {self.reason}"


def find_tiling(
    net: NetDefinition, input: str, shape: Shape, size: Size, blobs: Sequence[str]
) -> Tiling | Untileable:
    """How an input of `size` can be cut into tiles for `blobs` of the net, or why it cannot.

    input: the blob the picture is fed to, of `shape`, N x C x H x W, in the prototxt. The whole is
    not inferred: it may be larger than Caffe counts. Raises PrototxtError and NetError as `infer`.

    >>> import netsurgery as ns
    >>> net = NetDefinition.read("prototxt/digits_deploy.prototxt")
    >>> of_pool2 = find_tiling(net, "data", (1, 1, 32, 32), (1001, 1503), ["pool2"])
    >>> of_pool2.stride, of_pool2.overlap, of_pool2.smallest_exact
    ((4, 4), (9, 11), (41, 43))
    >>> plan = of_pool2.plan(of_pool2.largest(512))
    >>> plan.tile, plan.starts, plan.maps
    ((505, 511), ((0, 496), (0, 500, 992)), {'pool2': (249, 374)})
    >>> print(find_tiling(net, "data", (1, 1, 32, 32), (1001, 1503), ["prob"]))
    layer 'ip1' (InnerProduct) looks at the whole map
    """
    walked = walk_net(net, input, shape, size, blobs)
    if isinstance(walked, Untileable):
        return walked
    return walked.tiling(net, (input, shape[1]), blobs)


def walk_net(
    net: NetDefinition, input: str, shape: Shape, size: Size, blobs: Sequence[str]
) -> WalkedNet | Untileable:
    """What `find_tiling` finds the tiles by, of the net and of its parts behind cuts."""
    walk = _BlobWalk(net, input, shape[1], blobs)
    declared = walk.at((shape[2], shape[3]))
    if isinstance(declared, Untileable):
        return declared
    axes = []
    for axis in range(2):
        probe = _probe(declared, axis, size[axis])
        sides = [
            (side, shape[3]) if axis == 0 else (shape[2], side) for side in (probe.size, probe.more)
        ]
        seen, larger = map(walk.tried, sides)
        if isinstance(seen, Untileable):
            return seen
        if isinstance(larger, Untileable):
            return larger
        refused = _uneven(seen, larger, axis, probe.stride)
        if refused is not None:
            return refused
        axes.append(_WalkedAxis(axis, size[axis], probe, seen))
    return WalkedNet(net, (axes[0], axes[1]))


@dataclass(frozen=True)
class WalkedNet:
    """A net that can be run in tiles, walked over at sizes that stand for the whole.

    All that is behind a cut depends on it alone, and so its fields in the map of the cut follow
    from those in the input: a part of the net need not be walked over again.
    """

    net: NetDefinition
    axes: tuple[_WalkedAxis, _WalkedAxis]

    def tiling(self, part: NetDefinition, input: tuple[str, int], blobs: Sequence[str]) -> Tiling:
        """How a part of the net, or all of it, is run in tiles for `blobs`.

        input: a cut that the part begins at, or the net's input, and its channels.
        """
        layers, _ = needed(self.net, blobs, input[0])
        read = {*blobs, *(bottom for layer in layers for bottom in layer.bottoms)}
        indices = {layer.index for layer in layers}
        axes = [axis.behind(input[0], indices, read) for axis in self.axes]
        rows, columns = (axis.tiles(blobs) for axis in axes)
        least = _least(part, input, axes, (rows.smallest, columns.smallest))
        counts = [axis.counts() for axis in axes]
        return Tiling(
            (replace(rows, least=least[0]), replace(columns, least=least[1])),
            {blob: (counts[0][blob], counts[1][blob]) for blob in counts[0]},
        )


@dataclass(frozen=True)
class _WalkedBlob:
    """A blob behind a layer (None of the input): its field, and its rows and columns."""

    layer: Layer | None
    blob: str
    field: ReceptiveField
    cells: Size


@dataclass(frozen=True)
class _WalkedAxis:
    """The blobs of a net along one axis, at the probe's size; size: of the whole's input."""

    axis: int
    size: int
    probe: _ProbeSizes
    seen: Sequence[_WalkedBlob]

    def behind(self, start: str, layers: Collection[int], read: Collection[str]) -> _WalkedAxis:
        """Those that layers of these numbers make and that are read, as the blob `start` has them.

        What it does not read is its own: `start` is the input then, or a cut.
        """
        axis = self.axis
        first = self.seen[0]
        if start != first.blob:
            first = [each for each in self.seen if each.blob == start][-1]
        behind = [
            replace(each, field=_within(each.field, first))
            for each in self.seen
            if each.layer is not None and each.layer.index in layers and each.blob in read
        ]
        begin = _WalkedBlob(None, start, ReceptiveField(start), first.cells)
        size, _ = _counted(first, axis, self.size - self.probe.size)
        probe = _ProbeSizes(first.cells[axis], _stride([begin, *behind], axis))
        return _WalkedAxis(axis, size, probe, [begin, *behind])

    def tiles(self, blobs: Sequence[str]) -> AxisTiles:
        """What tiles keep to."""
        return _axis(self.seen, self.axis, self.size, self.probe, blobs)

    def counts(self) -> dict[str, tuple[int, Fraction]]:
        """Of each blob the whole's cells, and how far they are apart."""
        more = self.size - self.probe.size
        return {each.blob: _counted(each, self.axis, more) for each in self.seen}


def _within(field: ReceptiveField, cut: _WalkedBlob) -> ReceptiveField:
    """The field of a blob in the cells of a cut, which all of it depends on, in place of pixels."""
    origin = cut.field
    axes = range(2)
    stride = [field.stride[i] / origin.stride[i] for i in axes]
    offset = [(field.offset[i] - origin.offset[i]) / origin.stride[i] for i in axes]
    size = [(field.size[i] - origin.size[i]) / origin.stride[i] + 1 for i in axes]
    return ReceptiveField(
        cut.blob, (stride[0], stride[1]), (offset[0], offset[1]), (size[0], size[1])
    )


@dataclass(frozen=True)
class _BlobWalk:
    """Walks over what some blobs of a net depend on, at sizes of its input."""

    net: NetDefinition
    input: str
    channels: int
    blobs: Sequence[str]

    def shapes(self, size: Size) -> Shapes:
        """At an input of that size. Raises PrototxtError where the net does not take it."""
        return infer(self.net, {self.input: (1, self.channels, *size)})

    def at(self, size: Size) -> list[_WalkedBlob] | Untileable:
        """Every blob on the way, the input first; or the first layer that forbids tiles."""
        shapes = self.shapes(size)
        layers, _ = needed(self.net, self.blobs)
        read = {*self.blobs, *(bottom for layer in layers for bottom in layer.bottoms)}
        indices = {layer.index for layer in layers}
        seen = [_WalkedBlob(None, self.input, ReceptiveField(self.input), size)]
        for layer, tops in layer_fields(self.net, shapes):
            for top, field in tops.items():
                if layer.index not in indices or top not in read:
                    continue
                shape = shapes.blobs.get(top, ())
                reason = _forbids(field, shape)
                if reason or field is None:
                    return Untileable(layer.name, layer.type, reason)
                seen.append(_WalkedBlob(layer, top, field, (shape[2], shape[3])))
        met = {each.blob for each in seen}
        for blob in self.blobs:
            if blob not in met:
                maker = next(each for each in reversed(self.net.layers) if blob in each.tops)
                return Untileable(
                    maker.name, maker.type, "gives cells whose places in the input are not known"
                )
        return seen

    def tried(self, size: Size) -> list[_WalkedBlob] | Untileable:
        """`at` a size of the remainder of the whole's, which has to be as good as that."""
        try:
            return self.at(size)
        except PrototxtError as error:
            before = [each for each in self.net.layers if each.error("").line <= error.line]
            if not before:
                raise
            layer = before[-1]
            return Untileable(layer.name, layer.type, f"takes no input of {shape_text(size)}")


def _forbids(field: ReceptiveField | None, shape: Shape) -> str:
    """What a layer does to a top of this field and shape that no tile can do; "" if nothing."""
    if field is not None and field.whole:
        return "looks at the whole map"
    if field is None or len(shape) != 4:
        return "moves numbers to places that are not known"
    return "" if all(field.stride) else "gives cells that all look at the same place"


@dataclass(frozen=True)
class _ProbeSizes:
    """Two sizes, a stride apart, at which the net is looked at in the place of the whole."""

    size: int
    stride: int

    @property
    def more(self) -> int:
        return self.size + self.stride


def _probe(seen: Sequence[_WalkedBlob], axis: int, size: int) -> _ProbeSizes:
    """Sizes that share the remainder of `size`, and are large enough for the widest field.

    A tile that begins at p pixels begins at p / stride cells of each blob: that is a whole number
    for multiples of every numerator, whatever the denominators that a Deconvolution makes.
    """
    stride = _stride(seen, axis)
    reach = ceil(max(each.field.size[axis] + abs(each.field.offset[axis]) for each in seen))
    least = max(reach, seen[0].cells[axis])
    return _ProbeSizes(least + (size - least) % stride, stride)


def _stride(seen: Sequence[_WalkedBlob], axis: int) -> int:
    return lcm(*(each.field.stride[axis].numerator for each in seen))


def _uneven(
    seen: Sequence[_WalkedBlob], larger: Sequence[_WalkedBlob], axis: int, stride: int
) -> Untileable | None:
    """The first layer that treats inputs of two sizes, `stride` apart, in two ways."""
    for smaller, grown in zip(seen, larger, strict=True):
        reason = ""
        if smaller.field != grown.field:
            reason = "scales maps of different sizes by different factors"
        elif grown.cells[axis] - smaller.cells[axis] != stride / smaller.field.stride[axis]:
            reason = "gives a map that does not grow with the input"
        if reason:
            assert smaller.layer is not None
            return Untileable(smaller.layer.name, smaller.layer.type, reason)
    return None


def _axis(
    seen: Sequence[_WalkedBlob], axis: int, size: int, probe: _ProbeSizes, blobs: Sequence[str]
) -> AxisTiles:
    """What tiles keep to along an axis, by what was seen of an input of the probe's size."""
    # The cells before and behind each blob, which are padding in a tile and pixels in the whole.
    before = max(each.field.offset[axis] - each.field.stride[axis] for each in seen)
    behind = min(_end(each, axis, each.cells[axis]) for each in seen)
    last = {each.blob: each for each in seen}  # behind the last layer that writes it
    maps = {blob: _right(last[blob], axis, size, probe, (before, behind)) for blob in blobs}
    own = min((each.last - each.first + 1) * each.step for each in maps.values())
    return AxisTiles(
        size, probe.stride, probe.size - floor(own / probe.stride) * probe.stride, maps
    )


def _least(
    part: NetDefinition, input: tuple[str, int], axes: Sequence[_WalkedAxis], smallest: Size
) -> Size:
    """The smallest tile, from `smallest` on, that all of a part takes; input: with its channels.

    Layers that no blob asked for depends on are run too, where others share params with them.
    """
    blob, channels = input

    def taken(tile: Size) -> bool:
        try:
            infer(part, {blob: (1, channels, *tile)})
        except PrototxtError:
            return False
        return True

    if taken(smallest):
        return smallest
    # What a layer takes along one axis has nothing to do with the other.
    height, width = (axis.probe.size for axis in axes)
    rows, columns = (
        range(side, max(side, axis.probe.size) + 1, axis.probe.stride)
        for side, axis in zip(smallest, axes, strict=True)
    )
    return (
        next((side for side in rows if taken((side, width))), rows[-1]),
        next((side for side in columns if taken((height, side))), columns[-1]),
    )


def _end(blob: _WalkedBlob, axis: int, cell: int) -> Fraction:
    """Where the field of a cell ends."""
    field = blob.field
    return field.offset[axis] + field.stride[axis] * cell + field.size[axis]


def _right(
    blob: _WalkedBlob, axis: int, size: int, probe: _ProbeSizes, false: tuple[Fraction, Fraction]
) -> MapAxis:
    """The cells of the probe whose fields lie in it, and do not reach what is false around it.

    false: where the fields of the cells before begin, and of those behind end.
    """
    field = blob.field
    step, offset, end = field.stride[axis], field.offset[axis], _end(blob, axis, 0)
    first = max(ceil(-offset / step), floor((false[0] - offset) / step) + 1)
    last = min(floor((probe.size - end) / step), ceil((false[1] - end) / step) - 1)
    cells, _ = _counted(blob, axis, size - probe.size)
    return MapAxis(step, cells, first, last, probe.size)


def _counted(blob: _WalkedBlob, axis: int, more: int) -> tuple[int, Fraction]:
    """How many cells the blob has with `more` pixels than were seen, and how far they are apart."""
    step = blob.field.stride[axis]
    return blob.cells[axis] + int(more / step), step
