"""What a cell of each blob sees of the net's input: the walk over the layers.

`net.geometry` has the arithmetic; here stands which of it each layer does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction

from netsurgery.net import geometry
from netsurgery.net.fork_rules import interp_crop, upsample_factors
from netsurgery.net.geometry import Field
from netsurgery.net.net import Layer, Net, Shape
from netsurgery.net.shape_rules import axis_of, cut_axis
from netsurgery.net.shapes import Shapes, givable, infer
from netsurgery.net.state import NetState
from netsurgery.net.windows import Window, conv_window, lrn_window, pool_window

__all__ = ["Field", "fields"]


def fields(
    net: Net, inputs: Mapping[str, Shape] | None = None, *, of: str | None = None
) -> dict[str, Field]:
    """The field of every blob whose cells depend on one input by windows that move evenly.

    of: the input in which the fields lie, as if the others were constants; None for all of them.
    A blob that mixes positions in a way no window describes (Reshape, Permute, layers that are
    not understood), or that meets another of different stride, is left out.
    """
    shapes = infer(net, inputs)
    walk = _Walk(shapes, net.state)
    for name in (*givable(net, shapes), *(inputs or {})):
        if len(shapes.blobs.get(name, ())) == 4 and of in (None, name):
            walk.known[name] = Field(name)
    for layer in net.layers:
        if layer.bottoms:
            walk.step(layer)
    return walk.known


@dataclass
class _Walk:
    """One pass over the layers, in file order.

    known: blob -> its field. lost: blobs that depend on the input in a way that is not known; a
    blob in neither depends on no picture. masks: blob of a Pooling's indices -> its window.
    """

    shapes: Shapes
    state: NetState
    known: dict[str, Field] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)
    masks: dict[str, Window] = field(default_factory=dict)

    def step(self, layer: Layer) -> None:
        """The fields of the layer's tops."""
        reads = [blob for blob in layer.bottoms if self.depends(blob)]
        if layer.type in _SIZE_ONLY:
            reads = []
        answered = all(blob in self.shapes.blobs for blob in (*layer.bottoms, *layer.tops))
        rule = _RULES.get(layer.type)
        made = rule(self, layer) if reads and answered and rule else None
        several = made if isinstance(made, list) else [made] * len(layer.tops)
        for top, one in zip(layer.tops, several, strict=True):
            self.known.pop(top, None)
            self.lost.discard(top)
            self.masks.pop(top, None)
            if one is not None:
                self.known[top] = one
            elif reads:
                self.lost.add(top)
        if layer.type == "Pooling" and len(layer.tops) > 1 and answered:
            self.masks[layer.tops[1]] = pool_window(layer, self.size(layer.bottoms[0]))

    def depends(self, blob: str) -> bool:
        """Whether the blob depends on the input."""
        return blob in self.known or blob in self.lost

    def size(self, blob: str) -> tuple[int, int]:
        """Rows and columns; one cell where the blob is no map."""
        shape = self.shapes.blobs[blob]
        return (shape[2], shape[3]) if len(shape) == 4 else (1, 1)

    def values(self, blobs: Sequence[str]) -> Field | None:
        """The field of what several blobs of the same cells are joined to."""
        return geometry.joined([self.known.get(blob) for blob in blobs if self.depends(blob)])

    def is_map(self, blob: str) -> bool:
        """Whether it is N x C x H x W."""
        return len(self.shapes.blobs[blob]) == 4


_Made = Field | list[Field | None] | None
_Rule = Callable[[_Walk, Layer], _Made]


def _first(walk: _Walk, layer: Layer) -> Field | None:
    return walk.known.get(layer.bottoms[0])


def _joining(walk: _Walk, layer: Layer) -> Field | None:
    return walk.values(layer.bottoms)


def _concat(walk: _Walk, layer: Layer) -> Field | None:
    along = cut_axis(layer, walk.shapes.blobs[layer.bottoms[0]])
    return walk.values(layer.bottoms) if along < 2 else None


def _slice(walk: _Walk, layer: Layer) -> _Made:
    first = _first(walk, layer)
    along = cut_axis(layer, walk.shapes.blobs[layer.bottoms[0]])
    if first is None or along < 2:
        return first
    made: list[Field | None] = []
    start = 0
    for top in layer.tops:
        made.append(geometry.cropped(first, (start, 0) if along == 2 else (0, start)))
        start += walk.shapes.blobs[top][along]
    return made


def _along(message: str) -> _Rule:
    """A layer that works along one axis; along height or width it sees all of it."""

    def rule(walk: _Walk, layer: Layer) -> Field | None:
        shape, first = walk.shapes.blobs[layer.bottoms[0]], _first(walk, layer)
        if first is None or axis_of(layer, layer.param(message), shape, 1) < 2:
            return first
        return geometry.whole(first, walk.size(layer.bottoms[0]), kept=True)

    return rule


def _argmax(walk: _Walk, layer: Layer) -> Field | None:
    first, message = _first(walk, layer), layer.param("argmax_param")
    shape = walk.shapes.blobs[layer.bottoms[0]]
    if first is None or not message.scalar("axis"):
        return first and geometry.whole(first, walk.size(layer.bottoms[0]))
    return first if axis_of(layer, message, shape, 0) < 2 else None


def _kept_whole(walk: _Walk, layer: Layer) -> Field | None:
    first = _first(walk, layer)
    return first and geometry.whole(first, walk.size(layer.bottoms[0]), kept=True)


def _normalize(walk: _Walk, layer: Layer) -> Field | None:
    across = layer.param("norm_param").boolean("across_spatial", True)
    return _kept_whole(walk, layer) if across else _first(walk, layer)


def _batch_norm(walk: _Walk, layer: Layer) -> Field | None:
    """In training the statistics are those of the batch."""
    stored = layer.param("batch_norm_param").boolean("use_global_stats", walk.state.phase == "TEST")
    return _first(walk, layer) if stored else _kept_whole(walk, layer)


def _whole(walk: _Walk, layer: Layer) -> Field | None:
    first = _first(walk, layer)
    return first and geometry.whole(first, walk.size(layer.bottoms[0]))


def _inner_product(walk: _Walk, layer: Layer) -> Field | None:
    shape = walk.shapes.blobs[layer.bottoms[0]]
    axis = axis_of(layer, layer.param("inner_product_param"), shape, 1)
    return _whole(walk, layer) if axis < 3 else None


def _reduction(walk: _Walk, layer: Layer) -> Field | None:
    shape = walk.shapes.blobs[layer.bottoms[0]]
    axis = axis_of(layer, layer.param("reduction_param"), shape, 0)
    return _whole(walk, layer) if axis < 3 else None


def _sliding(walk: _Walk, layer: Layer) -> _Made:
    """Every top is of the bottom at its place."""
    if axis_of(layer, layer.param("convolution_param"), walk.shapes.blobs[layer.bottoms[0]], 1) > 1:
        return None
    act = geometry.spread if layer.type == "Deconvolution" else geometry.slid
    window = conv_window(layer, 2) if walk.is_map(layer.bottoms[0]) else None
    known = [walk.known.get(bottom) for bottom in layer.bottoms]
    return [one and act(one, window) if window else None for one in known]


def _pooling(walk: _Walk, layer: Layer) -> Field | None:
    first = _first(walk, layer)
    if first is None:
        return None
    made = geometry.slid(first, pool_window(layer, walk.size(layer.bottoms[0])))
    seen = layer.param("pooling_param").boolean("global_pooling", False)
    return replace(made, whole=first.whole or seen)


def _lrn(walk: _Walk, layer: Layer) -> Field | None:
    first, window = _first(walk, layer), lrn_window(layer)
    return first and (geometry.slid(first, window) if window else first)


def _crop(walk: _Walk, layer: Layer) -> Field | None:
    """Its second bottom gives the size alone."""
    first, message = _first(walk, layer), layer.param("crop_param")
    axis = axis_of(layer, message, walk.shapes.blobs[layer.bottoms[0]], 2)
    given = [offset.as_int(0) for offset in message.scalars("offset")] or [0]
    if first is None or len(given) not in (1, 4 - axis):
        return None
    each = given * (4 - axis) if len(given) == 1 else given
    rows, columns = ([0] * axis + each)[2:]
    return geometry.cropped(first, (rows, columns))


def _interp(walk: _Walk, layer: Layer) -> Field | None:
    first, (before, behind) = _first(walk, layer), interp_crop(layer)
    (rows, columns), made = walk.size(layer.bottoms[0]), walk.size(layer.tops[0])
    size = (rows - before - behind, columns - before - behind)
    return first and geometry.resampled(geometry.cropped(first, (before, before)), size, made)


def _upsample(walk: _Walk, layer: Layer) -> Field | None:
    """Values are repeated, or put back to where a Pooling took them from, says the second bottom.

    Where that Pooling is not known, nor are the cells that can reach one.
    """
    if len(layer.bottoms) == 1:
        first, factors = _first(walk, layer), upsample_factors(layer)
        return first and geometry.spread(first, Window(factors, factors, (0, 0), (1, 1)))
    window, read = walk.masks.get(layer.bottoms[1]), walk.values(layer.bottoms)
    return read and (geometry.spread(read, window) if window else None)


def _gated(walk: _Walk, layer: Layer) -> Field | None:
    """Scale and Bias of two bottoms; Axpy of a factor for each channel and two maps."""
    gate = 0 if layer.type == "Axpy" else 1
    values = walk.values([blob for i, blob in enumerate(layer.bottoms) if i != gate])
    blob = layer.bottoms[gate] if len(layer.bottoms) > 1 else ""
    if not walk.depends(blob):
        return values
    shape = walk.shapes.blobs[layer.bottoms[0]]
    message = layer.param("scale_param" if layer.type == "Scale" else "bias_param")
    axis = 0 if gate == 0 else axis_of(layer, message, shape, 1)
    if gate and axis + len(walk.shapes.blobs[blob]) > 2:  # a factor for each position
        return walk.values(layer.bottoms) if walk.is_map(blob) else None
    return values and geometry.gated(values, walk.known.get(blob))


def _tile(walk: _Walk, layer: Layer) -> Field | None:
    """Repeats: one row or column becomes many that look at the same."""
    first, shape = _first(walk, layer), walk.shapes.blobs[layer.bottoms[0]]
    axis = axis_of(layer, layer.param("tile_param"), shape, 1)
    if first is None or axis < 2:
        return first
    if len(shape) != 4 or shape[axis] != 1:
        return None
    height, width = first.stride
    stand = (Fraction(0), width) if axis == 2 else (height, Fraction(0))
    return replace(first, stride=stand)


def _same_shape(walk: _Walk, layer: Layer) -> Field | None:
    """Reshape, Flatten: the same map where the shape is. In place the old shape is not known."""
    same = (
        not layer.in_place
        and walk.shapes.blobs[layer.bottoms[0]] == walk.shapes.blobs[layer.tops[0]]
    )
    return _first(walk, layer) if same else None


#: Layers whose tops hold nothing of their bottoms but the sizes.
_SIZE_ONLY = frozenset({"PriorBox"})

_POINTWISE = """
    AbsVal BNLL BatchReindex Clip Dropout ELU Exp Log PReLU Power ReLU ReLU6 ShuffleChannel Sigmoid
    Split Swish TanH Threshold
"""

_RULES: dict[str, _Rule] = {
    **dict.fromkeys(_POINTWISE.split(), _first),
    **dict.fromkeys(("Scale", "Bias", "Axpy"), _gated),
    **dict.fromkeys(
        ("Convolution", "DepthwiseConvolution", "Im2col", "Deconvolution"), _sliding
    ),
    **dict.fromkeys(("Reshape", "Flatten"), _same_shape),
    "ArgMax": _argmax,
    "BatchNorm": _batch_norm,
    "Concat": _concat,
    "Crop": _crop,
    "Eltwise": _joining,
    "InnerProduct": _inner_product,
    "Interp": _interp,
    "LRN": _lrn,
    "MVN": _kept_whole,
    "Normalize": _normalize,
    "Pooling": _pooling,
    "Reduction": _reduction,
    "SPP": _whole,
    "Slice": _slice,
    "Softmax": _along("softmax_param"),
    "Tile": _tile,
    "Upsample": _upsample,
}  # fmt: skip
