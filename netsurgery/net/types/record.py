"""What is known of one layer type: a record that every package asks.

No field has a default: whoever adds a type answers every question, if only with "not known", and
whoever adds a question answers it for every type. An answer that depends on the layer's own
parameters is a function of the layer; `ask` takes either.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, TypeVar

from netsurgery.net.effect import Effect
from netsurgery.net.layer import Layer, Shape
from netsurgery.net.types.seen import FieldRule
from netsurgery.net.windows import Window

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Wide = NDArray[np.float64]

__all__ = [
    "MANY",
    "NO_EFFECTS",
    "NO_PARAMS",
    "Affine",
    "Channels",
    "CostRule",
    "Count",
    "EdgeRule",
    "Effects",
    "InPlace",
    "InputSource",
    "LayerType",
    "ParamRole",
    "ParamSpec",
    "ParamSpecs",
    "Result",
    "Role",
    "ShapeRule",
    "Signs",
    "Space",
    "Values",
    "WeightLayout",
    "ask",
]

T = TypeVar("T")

#: As many as one likes.
MANY = 2**31

#: (fewest, most) bottoms or tops.
Count: TypeAlias = tuple[int, int]

#: (shapes of the tops, None for one that files alone say, and shapes of the params).
Result: TypeAlias = tuple[Sequence[Shape | None], list[Shape]]

#: The layer and the shapes of its bottoms -> the shapes of its tops and params, by Caffe's own
#: arithmetic. Raises PrototxtError for what Caffe, or the fork, refuses.
ShapeRule: TypeAlias = Callable[[Layer, list[Shape]], Result]


class Role(Enum):
    """What a bottom is read for."""

    VALUE = "value"  #: its numbers are computed with
    SIZE = "size"  #: only its shape counts
    GATE = "gate"  #: one number for each channel (or cell) that others are multiplied by, or added
    INDEX = "index"  #: its numbers say which: words, rows, marks, boxes
    LABEL = "label"  #: what the values are compared with in training
    UNKNOWN = "not known"


class Space(Enum):
    """What a layer does over height and width."""

    POINTWISE = "pointwise"  #: a cell depends on the same cell of one bottom (and see ALONG)
    JOINING = "joining"  #: ... of all the bottoms
    SLIDING = "sliding"  #: a window slides over the bottom
    SPREADING = "spreading"  #: every cell is spread over a window
    RESAMPLING = "resampling"  #: cells are taken, repeated or interpolated on another grid
    WHOLE = "whole map"  #: a cell depends on the whole map
    MIXING = "mixing"  #: numbers go from position to position
    NOWHERE = "none"  #: it has no top, or reads no numbers
    UNKNOWN = "not known"


class Channels(Enum):
    """What a layer does over channels."""

    ALIKE = "alike"  #: every channel alike, whichever and however many there are
    BY_CHANNEL = "by channel"  #: every channel by itself, with params of its own
    #: It looks along the axis that its message names, which is meant to be the channels; along
    #: another one its cells are not what `space` says.
    ALONG = "along an axis"
    MIXING = "mixing"  #: a channel depends on others
    NONE = "none"  #: it has no top, or reads no numbers
    UNKNOWN = "not known"


class InPlace(Enum):
    """Whether a top may be the bottom."""

    ALLOWED = "yes"
    LOSES = "loses values"  #: Caffe takes it, and writes what it has yet to read
    REFUSED = "no"  #: Caffe refuses it
    UNKNOWN = "not known"


class Values(Enum):
    """What becomes of the numbers themselves, in TEST."""

    KEPT = "kept"  #: the same numbers, the same memory: under another name or shape
    PASSED = "passed"  #: the same numbers (Dropout)
    MOVED = "moved"  #: the same numbers at other places
    HIDDEN = "hidden"  #: different numbers can become one (ReLU, a saturated Softmax)
    CHANGED = "changed"
    NONE = "none"  #: it has no top, or reads no numbers
    UNKNOWN = "not known"


class Signs(Enum):
    """Whether numbers of its tops may be negative, in TEST."""

    NEVER = "never negative"
    KEPT = "negative where a bottom is"  #: only where it reads a negative number
    ANY = "any"  #: or not known


class InputSource(Enum):
    """Where a layer without bottoms has its numbers from."""

    NONE = "none"  #: it has bottoms
    INPUT = "input"  #: whoever runs the net
    DATA = "data"  #: files or memory of its own
    CONSTANT = "constant"  #: the prototxt, or a param
    UNKNOWN = "not known"


#: What a layer does outside the net, whatever its text says.
Effects: TypeAlias = tuple[Effect, ...]
NO_EFFECTS: Effects = ()


class ParamRole(Enum):
    """What a param is in the layer's formula."""

    WEIGHT = "weight"
    BIAS = "bias"
    MEAN = "mean"
    VARIANCE = "variance"
    FACTOR = "factor"  #: what the stored mean and variance are divided by
    SCALE = "scale"
    SHIFT = "shift"
    SLOPE = "slope"
    TABLE = "table"
    CONSTANT = "constant"


class WeightLayout(Enum):
    """How a linear layer's weight is laid out."""

    OUTPUTS_FIRST = "outputs x inputs"
    INPUTS_FIRST = "inputs x outputs of a group"  #: Deconvolution
    TURNED = "inputs x outputs"  #: InnerProduct of transpose: true


class ParamSpec(NamedTuple):
    """One param.

    filler: the field of the layer's message that says how to fill it, "" for none. fills: the
    constant that it is filled with where that is left out. linear: the layer's output is linear in
    it, row by row, so that it can take up a factor for each output.
    """

    role: ParamRole
    filler: str
    fills: float
    linear: bool


#: The params that a layer of this type has, whatever its bottoms' shapes. None: not known.
KnownParams: TypeAlias = "tuple[ParamSpec, ...] | None"
NO_PARAMS: tuple[ParamSpec, ...] = ()


class ParamSpecs(NamedTuple):
    """The shapes of a layer's bottoms, tops and params, all known."""

    bottoms: tuple[Shape, ...]
    tops: tuple[Shape, ...]
    params: tuple[Shape, ...]


#: Multiply-adds of one forward pass.
CostRule: TypeAlias = Callable[[Layer, ParamSpecs], int]

#: The window over a bottom of (height, width).
WindowRule: TypeAlias = Callable[[Layer, Shape], Window]

#: How the layer treats the edge of a bottom of (height, width) in a way of its own; "": not at all.
EdgeRule: TypeAlias = Callable[[Layer, Shape], str]

#: (layer, param index -> its values as a vector, channels) -> factor and shift of each channel.
Affine: TypeAlias = "Callable[[Layer, Callable[[int], Wide], int], tuple[Wide, Wide]]"


@dataclass(frozen=True, kw_only=True, eq=False)
class LayerType:
    """All that any package asks of a layer type.

    name: as prototxts write it; aliases: other names of the same thing.
    origin: "Caffe 1.0", or the fork that defines it.
    message: the field of a layer with its parameters, None for none.
    fields: fields of that message that `origin` lacks but that are understood here.
    shapes: the shape rule, None where it is not known.
    bottoms, tops: how many. roles: what each bottom is read for; the last is that of all others.
    in_place: whether a top may be a bottom.
    space: over height and width. window: of SLIDING and SPREADING; None for others.
    field: what a cell of its tops sees of the net's input; None: not known.
    edges: how it treats the edge of its bottom; None: not known.
    channels: over channels.
    values: what becomes of the numbers.
    signs: whether they may be negative.
    source: where numbers come from without bottoms.
    effects: what it does to files and modules; `naming.by_text` where its fields say so.
    params: in order, None where they are not known. layout: of the weight, None where it has none.
    affine: y = factor x + shift by channel, worked out from the params; None where it is not so.
    multiply_adds: None: not known.
    training: whether it is for training: losses, accuracy.
    runs: whether export/ has a converter for it.
    """

    name: str
    aliases: tuple[str, ...]
    origin: str
    message: str | None
    fields: tuple[str, ...]
    shapes: ShapeRule | None
    bottoms: Count | Callable[[Layer], Count]
    tops: Count | Callable[[Layer], Count]
    roles: tuple[Role, ...] | Callable[[Layer], tuple[Role, ...]]
    in_place: InPlace | Callable[[Layer], InPlace]
    space: Space | Callable[[Layer], Space]
    window: WindowRule | None
    field: FieldRule | None
    edges: EdgeRule | None
    channels: Channels | Callable[[Layer], Channels]
    values: Values | Callable[[Layer], Values]
    signs: Signs | Callable[[Layer], Signs]
    source: InputSource
    effects: Effects | Callable[[Layer], Effects]
    params: KnownParams | Callable[[Layer], KnownParams]
    layout: WeightLayout | Callable[[Layer], WeightLayout] | None
    affine: Affine | None
    multiply_adds: CostRule | None
    training: bool
    runs: bool


def ask(answer: T | Callable[[Layer], T], layer: Layer) -> T:
    """An answer of a record for this layer: itself, or what it says of the layer."""
    return answer(layer) if callable(answer) else answer
