"""The field of a blob's cells, and what each way of looking at a map does to it.

Along one axis cell i of a blob depends on the pixels [offset + stride x i, offset + stride x i +
size) of the net's input, padding included, and on no others. Where a cell depends on fewer at some
places than at others (after a deconvolution, or a resampling) this is the smallest such interval
that holds for every i, so stride, offset and size may be fractions. The middle of the interval is
the place of the cell: offset + size / 2 + stride x i.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from netsurgery.net.windows import Window

__all__ = [
    "Pair",
    "ReceptiveField",
    "cropped",
    "gated",
    "joined",
    "resampled",
    "slid",
    "spread",
    "whole",
]

#: Along height and along width; exact, since the strides of maps that meet are compared.
Pair = tuple[Fraction, Fraction]

_ZERO, _ONE = Fraction(0), Fraction(1)


@dataclass(frozen=True)
class ReceptiveField:
    """The field of a blob's cells; each member is (along height, along width), in input pixels.

    ``input`` names the net's input it lies in. ``whole`` says that some layer on the way looks at
    the whole map at once (InnerProduct, global pooling, within-map normalization, the gate of a
    squeeze and excitation): every cell then depends on all of the picture, and stride, offset and
    size are those of the windows alone. A stride of 0: every cell looks at the same place.

    >>> import netsurgery as ns
    >>> field = ns.Net("prototxt/digits_deploy.prototxt").fields()["pool1"]
    >>> [float(side) for side in field.size], [float(step) for step in field.stride]
    ([6.0, 6.0], [2.0, 2.0])
    """

    input: str
    stride: Pair = (_ONE, _ONE)
    offset: Pair = (_ZERO, _ZERO)
    size: Pair = (_ONE, _ONE)
    whole: bool = False

    @property
    def middle(self) -> Pair:
        """The place of cell (0, 0): the middle of its field."""
        return _pair(self.offset[i] + self.size[i] / 2 for i in range(2))

    def _shifted(
        self, before: Sequence[Fraction], more: Sequence[Fraction], stride: Pair
    ) -> ReceptiveField:
        """Another field: `before` cells further on, `more` cells larger, of another stride."""
        return replace(
            self,
            stride=stride,
            offset=_pair(self.offset[i] + self.stride[i] * before[i] for i in range(2)),
            size=_pair(self.size[i] + self.stride[i] * more[i] for i in range(2)),
        )


def slid(field: ReceptiveField, window: Window) -> ReceptiveField:
    """After a convolution or pooling, of extent e, stride s and padding p.

    stride' = stride x s, offset' = offset - p x stride, size' = size + (e - 1) x stride.
    """
    return field._shifted(
        [Fraction(-pad) for pad in window.pad],
        [Fraction(extent - 1) for extent in window.extent],
        _pair(field.stride[i] * window.stride[i] for i in range(2)),
    )


def spread(field: ReceptiveField, window: Window) -> ReceptiveField:
    """After a deconvolution, which spreads every cell over e cells, s apart, and cuts p off.

    Its cell j is reached by the cells from (j + p - e + 1) / s to (j + p) / s: stride' =
    stride / s, offset' = offset + (p - e + 1) x stride', size' = size + (e - 1) x stride'.
    """
    axes = range(2)
    extent, stride, pad = window.extent, window.stride, window.pad
    return field._shifted(
        [Fraction(pad[i] - extent[i] + 1, stride[i]) for i in axes],
        [Fraction(extent[i] - 1, stride[i]) for i in axes],
        _pair(field.stride[i] / stride[i] for i in axes),
    )


def cropped(field: ReceptiveField, before: tuple[int, int]) -> ReceptiveField:
    """Without the first `before` cells (Crop, a Slice along height), or with so many more (< 0)."""
    return field._shifted([Fraction(cells) for cells in before], [_ZERO, _ZERO], field.stride)


def resampled(
    field: ReceptiveField, size: tuple[int, int], new_size: tuple[int, int]
) -> ReceptiveField:
    """After a bilinear interpolation to another size, with the corner cells kept in place.

    Cell j reads at r x j, r = (size - 1) / (new_size - 1): two cells, or the one that lies there.
    """
    rates = [
        # To or from one cell there is no step: all read the same (DeepLab's interp.cpp).
        Fraction(size[i] - 1, new_size[i] - 1) if min(size[i], new_size[i]) > 1 else _ZERO
        for i in range(2)
    ]
    # r x j lies at most this far after the one cell it reads, and before the other.
    between = [1 - Fraction(1, rate.denominator) for rate in rates]
    return field._shifted(
        [-part for part in between],
        [2 * part for part in between],
        _pair(field.stride[i] * rates[i] for i in range(2)),
    )


def whole(
    field: ReceptiveField, size: tuple[int, int], *, keeps_size: bool = False
) -> ReceptiveField:
    """After a layer that looks at the whole map, of `size` cells.

    It makes one cell of it, whose window is the whole map, or, with `keeps_size`, the same map.
    """
    window = Window((1, 1) if keeps_size else size, (1, 1), (0, 0), (1, 1))
    return replace(slid(field, window), whole=True)


def gated(field: ReceptiveField, gate: ReceptiveField | None) -> ReceptiveField:
    """The field of a map whose channels are multiplied by a gate, numbers of the whole map.

    gate: the field of these, None where it is not known: they are taken to depend on everything.
    """
    # A gate made of another input depends on no pixel of this one.
    foreign = gate is not None and gate.input != field.input
    return field if foreign else replace(field, whole=True)


def joined(fields: Sequence[ReceptiveField | None]) -> ReceptiveField | None:
    """The field of a map that several are joined to: the hull, where their strides agree.

    A map whose cells are all the same look at the whole picture (a global pooling brought to the
    size of the others) adds that, and does not move the hull. Of several inputs it names the
    first. None where the field of one is not known, or the strides differ.
    """
    known = [field for field in fields if field is not None]
    if not known or len(known) != len(fields):
        return None
    moving = [field for field in known if not (field.whole and field.stride == (_ZERO, _ZERO))]
    hull = moving or known
    if len({field.stride for field in hull}) != 1:
        return None
    axes = range(2)
    start = _pair(min(f.offset[i] for f in hull) for i in axes)
    end = [max(f.offset[i] + f.size[i] for f in hull) for i in axes]
    size = _pair(end[i] - start[i] for i in axes)
    return ReceptiveField(hull[0].input, hull[0].stride, start, size, any(f.whole for f in known))


def _pair(values: Iterable[Fraction]) -> Pair:
    height, width = values
    return height, width
