"""The walk over a net whose strides are taken away: what each layer has to become.

Every question about a layer is asked of its type's record: what it does over height and width, and
by which window.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from netsurgery.io.shape_text import sides_text
from netsurgery.io.wording import argument
from netsurgery.net import types
from netsurgery.net.field import ReceptiveField, layer_fields
from netsurgery.net.finer import cells_for_one
from netsurgery.net.net import Layer, NetDefinition, Shape
from netsurgery.net.shapes import Shapes, givable
from netsurgery.net.shuffle import Shuffle, channel_shuffles
from netsurgery.net.types.record import Role, Signs, Space
from netsurgery.net.windows import Window, pool_out
from netsurgery.surgery.dense.cuts import MovedCut, moved_cuts
from netsurgery.surgery.plan import Refusal

__all__ = ["DenseLayer", "walk"]

_ONE = (1, 1)


@dataclass(frozen=True)
class DenseLayer:
    """A layer that changes: its window before and after; None of both where it has none.

    apart: whether it becomes layers of their own, as it is a pooling of windows with gaps. hangs:
    whether its last windows hung over the edge, farther than the new ones reach. shuffle: a channel
    shuffle that it ends. cuts: what becomes of the numbers of one that cuts off rows or columns.
    """

    layer: Layer
    old: Window | None
    new: Window | None
    apart: bool = False
    hangs: bool = False
    shuffle: Shuffle | None = None
    cuts: tuple[MovedCut, ...] = ()

    @property
    def name(self) -> str:
        """The layer's."""
        return self.layer.name

    @property
    def edge_note(self) -> str:
        """What becomes of last windows that hung over the edge, "" where they are all there."""
        if not self.hangs or self.new is None:
            return ""
        stride = self.new.stride
        last = "none does" if stride == _ONE else "the last begins before it"
        return (
            f"the last window of {self.name!r} hung over the edge, as Caffe rounds up; with stride "
            f"{sides_text(stride)} {last}: the map ends earlier there, and cells near that edge "
            "differ"
        )

    @property
    def what(self) -> str:
        """What becomes of it, in words."""
        if self.cuts:
            return ", ".join(cut.what for cut in self.cuts)
        if self.old is None or self.new is None:
            return "written for maps of any size"
        said = []
        for name, before, after in zip(Window._fields, self.old, self.new, strict=True):
            if before != after:
                became = f"{sides_text(before)} becomes " if before not in ((1, 1), (0, 0)) else ""
                said.append(f"{name} {became}{sides_text(after)}")
        return ", ".join(said) + (", as crops and what joins them" if self.apart else "")


def walk(net: NetDefinition, shapes: Shapes, stride: int) -> tuple[list[DenseLayer], list[Refusal]]:
    """The layers that change, in file order, and those that cannot."""
    walker = _DenseWalk(net, shapes, stride)
    for layer, tops in layer_fields(net, shapes):
        walker.step(layer, tops)
    return walker.layers, walker.refusals


class _DenseWalk:
    """cells: blob -> how many cells come to lie where it had one, along height and width.

    known: blob -> its field. unsigned: the blobs without negative numbers. Of all what is behind
    the layers walked so far, and no blob that depends on no input.
    """

    def __init__(self, net: NetDefinition, shapes: Shapes, stride: int) -> None:
        self.net, self.shapes, self.stride = net, shapes, stride
        self.in_v1 = net.prototxt.generation == "V1"
        self.shuffles = {each.layers[2]: each for each in channel_shuffles(net, shapes)}
        self.known: dict[str, ReceptiveField] = {}
        self.cells = dict.fromkeys(givable(net, shapes), _ONE)
        self.unsigned: set[str] = set()
        self.layers: list[DenseLayer] = []
        self.refusals: list[Refusal] = []

    def step(self, layer: Layer, tops: Mapping[str, ReceptiveField | None]) -> None:
        shuffle = self.shuffles.get(layer)
        reads = (shuffle.bottom,) if shuffle else self._read(layer)
        before = {blob: self.cells.get(blob, _ONE) for blob in reads}
        after = {
            top: cells_for_one(field.stride, self.stride) if field else _ONE
            for top, field in tops.items()
        }
        if {*before.values(), *after.values()} != {_ONE}:
            change = self._change(layer, shuffle, before, tops, after)
            if isinstance(change, Refusal):
                self.refusals.append(change)
            elif change is not None:
                self.layers.append(change)
        unsigned = self._never_negative(layer, shuffle)
        for top, field in tops.items():
            (self.unsigned.add if unsigned else self.unsigned.discard)(top)
            self.cells[top] = after[top]
            self.known.pop(top, None)
            if field is not None:
                self.known[top] = field

    def _never_negative(self, layer: Layer, shuffle: Shuffle | None) -> bool:
        """Whether its tops hold no negative number, whatever the picture."""
        if shuffle is not None:
            return shuffle.bottom in self.unsigned
        roles = zip(layer.bottoms, types.roles(layer), strict=True)
        reads = {bottom for bottom, role in roles if role is not Role.SIZE}
        signs = types.signs(layer)
        return signs is Signs.NEVER or (signs is Signs.KEPT and self.unsigned.issuperset(reads))

    def _read(self, layer: Layer) -> tuple[str, ...]:
        """The bottoms whose numbers count and that depend on an input."""
        roles = zip(layer.bottoms, types.roles(layer), strict=True)
        return tuple(b for b, role in roles if role is not Role.SIZE and b in self.cells)

    def _change(
        self,
        layer: Layer,
        shuffle: Shuffle | None,
        before: Mapping[str, tuple[int, int]],
        tops: Mapping[str, ReceptiveField | None],
        after: Mapping[str, tuple[int, int]],
    ) -> DenseLayer | Refusal | None:
        """What becomes of a layer that reads or makes finer maps; None where nothing does."""
        if shuffle is not None:
            return None if shuffle.free else DenseLayer(layer, None, None, shuffle=shuffle)
        if Role.LABEL in types.roles(layer):
            return Refusal(
                layer.name,
                f"{layer.type} compares the map with labels, which have no finer map",
                "take the deploy prototxt",
            )
        space = types.space(layer)
        narrows = space is Space.WHOLE or any(
            field is not None and field.whole and not self._sees_all(before)
            for field in tops.values()
        )
        if narrows:
            return Refusal(
                layer.name,
                f"{layer.type} looks at the whole map, and would see more cells of a finer one",
                "a classifier becomes fully convolutional by `netsurgery convert`"
                if types.is_a(layer, types.INNER_PRODUCT)
                else _at_run_time(),
            )
        if None in tops.values():
            return self._cannot(layer, "moves cells to places that are not known")
        cuts = None
        if layer.bottoms and layer.bottoms[0] in before:
            of = layer.bottoms[0]
            cuts = moved_cuts(self.net, layer, self.shapes.blobs[of], before[of])
        if cuts is not None:
            return self._cut(layer, cuts, after)
        if space is Space.SLIDING:
            return self._slide(layer, before, after)
        if space in (Space.POINTWISE, Space.JOINING):
            return self._pass_on(layer, before, after)
        return self._cannot(layer, f"is of the kind {space.value!r}, which has no dilation")

    def _sees_all(self, blobs: Mapping[str, tuple[int, int]]) -> bool:
        return any(blob in self.known and self.known[blob].whole for blob in blobs)

    def _cannot(self, layer: Layer, reason: str, remedy: str = "") -> Refusal:
        return Refusal(layer.name, f"{layer.type} {reason}", remedy or _at_run_time())

    def _cut(
        self, layer: Layer, cuts: tuple[MovedCut, ...], after: Mapping[str, tuple[int, int]]
    ) -> DenseLayer | Refusal | None:
        """What cuts rows or columns off, to the size of another map perhaps."""
        if len({*after.values(), *(self.cells.get(blob, _ONE) for blob in layer.bottoms)}) > 1:
            return self._cannot(layer, "cuts a map to the size of one of another stride")
        return DenseLayer(layer, None, None, cuts=cuts) if cuts else None

    def _pass_on(
        self,
        layer: Layer,
        before: Mapping[str, tuple[int, int]],
        after: Mapping[str, tuple[int, int]],
    ) -> Refusal | None:
        """A layer of cell by cell takes finer maps as it is, if it cuts and joins none."""
        sizes = {self.shapes.blobs[blob][2:] for blob in (*before, *layer.tops)}
        # A gate is one number a channel: N x C, or N x C x 1 x 1.
        if len({size for size in sizes if size not in ((), (1, 1))}) > 1:
            return self._cannot(layer, "cuts or joins rows or columns by numbers of the old map")
        if len({*before.values(), *after.values()} - {_ONE}) > 1:
            return self._cannot(layer, "joins maps of different strides")
        return None

    def _slide(
        self,
        layer: Layer,
        before: Mapping[str, tuple[int, int]],
        after: Mapping[str, tuple[int, int]],
    ) -> DenseLayer | Refusal | None:
        """A window: of another stride, and over every d-th cell of a map that became finer."""
        record, bottom = types.of(layer), layer.bottoms[0]
        assert record is not None
        assert record.window is not None
        size, top = self.shapes.blobs[bottom][2:], layer.tops[0]
        old, cells = record.window(layer, size), before[bottom]
        if len(set(before.values())) > 1 or len(set(after.values())) > 1:
            return self._cannot(layer, "slides over maps of different strides")
        new = Window(
            old.kernel,
            # One old step was `cells` of the finer bottom, and is `after` of the finer top.
            tuple(s * d // a for s, d, a in zip(old.stride, cells, after[top], strict=True)),
            tuple(pad * d for pad, d in zip(old.pad, cells, strict=True)),
            tuple(
                dilation * d if kernel > 1 else dilation
                for dilation, d, kernel in zip(old.dilation, cells, old.kernel, strict=True)
            ),
        )
        if types.takes_dilation(layer):
            return None if new == old else DenseLayer(layer, old, new)
        if types.is_a(layer, types.POOLING):
            return self._pool(layer, size, old, new, finer=cells != _ONE)
        if new == old:
            return None
        return self._cannot(layer, "slides a window that takes no dilation")

    def _pool(
        self, layer: Layer, size: tuple[int, ...], old: Window, new: Window, *, finer: bool
    ) -> DenseLayer | Refusal | None:
        """Caffe's pooling has no dilation: one of windows with gaps is written as crops.

        finer: whether the map that it reads becomes finer.
        """
        bottom, how = layer.bottoms[0], types.pooled_by(layer)
        # Rounded up, its last windows would be others than those of the old map.
        if finer and new.stride != _ONE:
            return self._cannot(layer, "keeps a stride behind a map that becomes finer")
        if new == old:
            return None
        if len(layer.tops) > 1:
            return self._cannot(layer, "gives the places of its maxima, which are of the old map")
        hangs = _ends_earlier(layer, size, old, new.stride)
        if new.dilation == _ONE and new.pad == old.pad:
            return DenseLayer(layer, old, new, hangs=hangs)
        if how is None:
            return self._cannot(layer, "pools neither by MAX nor by AVE")
        # Crops cannot pad, and Im2col pads with 0: a mean adds that, but it may be the largest.
        if any(new.pad) and how == "MAX" and bottom not in self.unsigned:
            return self._cannot(
                layer,
                f"pads {bottom!r}, which may be negative: zeros around its finer map would count",
            )
        if self.in_v1:
            return self._cannot(
                layer,
                "would be written as Crop layers, which a prototxt of V1 cannot name",
                "`netsurgery upgrade` brings it up to date",
            )
        return DenseLayer(layer, old, new, apart=True, hangs=hangs)


def _at_run_time() -> str:
    """What gives a finer map of a net that cannot be written."""
    return f"`netsurgery classify-map` with {argument('--stride')} does it at run time"


def _ends_earlier(layer: Layer, size: tuple[int, ...], old: Window, stride: Shape) -> bool:
    """Whether the last window of another stride, of rows or columns, begins before the old last.

    Only one that hung over the edge, by Caffe's rounding up, can be lost.
    """
    counts = (pool_out(layer, window, size) for window in (old, old._replace(stride=stride)))
    axes = zip(*counts, old.stride, stride, strict=True)
    return any((before - 1) * s > (after - 1) * t for before, after, s, t in axes)
