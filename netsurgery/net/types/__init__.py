"""What is known of every layer type: one record each, Caffe's own beside those of its forks.

    of(layer)     its type's record, None for a type that is not known
    record(name)  the same by name

The functions here answer, for one layer, what several packages ask; a type that is not known gives
each enum's UNKNOWN. How to add a type: docs/architecture.md.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from netsurgery.net.layer import Layer
from netsurgery.net.types import (
    data,
    elementwise,
    fork_norms,
    linear,
    normalization,
    pooling,
    reducing,
    shaping,
)
from netsurgery.net.types.data import INPUT
from netsurgery.net.types.elementwise import ELTWISE, SCALING_DROPOUT, adds
from netsurgery.net.types.fork_norms import added_to_variance, meant_name
from netsurgery.net.types.linear import CONVOLUTION, INNER_PRODUCT
from netsurgery.net.types.normalization import BATCH_NORM, SCALE, SOFTMAX
from netsurgery.net.types.pooling import POOLING, pooled_by
from netsurgery.net.types.record import (
    Channels,
    Count,
    InPlace,
    InputSource,
    LayerType,
    ParamSpec,
    Role,
    Signs,
    Space,
    Values,
    WeightLayout,
    ask,
)
from netsurgery.net.types.reducing import ARGMAX, REDUCTION, map_mean
from netsurgery.net.types.shaping import PERMUTE, SHUFFLE, permutation, transposition

__all__ = [
    "ARGMAX",
    "BATCH_NORM",
    "CONVOLUTION",
    "ELTWISE",
    "INNER_PRODUCT",
    "INPUT",
    "PERMUTE",
    "POOLING",
    "RECORDS",
    "REDUCTION",
    "SCALE",
    "SCALING_DROPOUT",
    "SHUFFLE",
    "SOFTMAX",
    "STOCK",
    "added_to_variance",
    "adds",
    "axis_order",
    "channels",
    "counts",
    "hides_values",
    "in_place",
    "interpolates",
    "is_a",
    "is_for_training",
    "is_input",
    "is_stock",
    "is_whole",
    "keeps_turned",
    "keeps_values",
    "layout",
    "map_mean",
    "message_of",
    "of",
    "params",
    "permutation",
    "pooled_by",
    "record",
    "reorders_axes",
    "reshapes",
    "roles",
    "signs",
    "source",
    "space",
    "takes_dilation",
    "values",
]

STOCK = "Caffe 1.0"


def _by_every_name(records: Iterable[LayerType]) -> dict[str, LayerType]:
    return {name: each for each in records for name in (each.name, *each.aliases)}


#: The records that most nets need; the others are imported when a name is not among them.
_NAMES = _by_every_name(
    (
        *data.TYPES,
        *elementwise.TYPES,
        *fork_norms.TYPES,
        *linear.TYPES,
        *normalization.TYPES,
        *pooling.TYPES,
        *reducing.TYPES,
        *shaping.TYPES,
    )
)

if TYPE_CHECKING:
    #: Every record, by name.
    RECORDS: dict[str, LayerType]


def __getattr__(name: str) -> Any:
    if name != "RECORDS":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    _import_all()
    # By identity: a record with aliases is there under each of its names.
    records = sorted({id(each): each for each in _NAMES.values()}.values(), key=lambda r: r.name)
    globals()[name] = {each.name: each for each in records}
    return globals()[name]


@functools.cache
def _import_all() -> None:
    from netsurgery.net.types import (
        detection,
        rearranging,
        recurrent,
        resampling,
        training,
    )

    _NAMES.update(
        _by_every_name(
            (
                *detection.TYPES,
                *rearranging.TYPES,
                *recurrent.TYPES,
                *resampling.TYPES,
                *training.TYPES,
            )
        )
    )


def record(name: str) -> LayerType | None:
    """The record of the type that is called `name`; None for one that is not known.

    Types of several forks that prototxts call alike have the fork in their names here.
    """
    if name not in _NAMES:
        _import_all()
    return _NAMES.get(name)


def of(layer: Layer) -> LayerType | None:
    """The record of the layer's type; None for one that is not known."""
    return record(meant_name(layer) or "")


def is_a(layer: Layer, kind: LayerType) -> bool:
    """Whether the layer is of the type, by whichever of its names."""
    return of(layer) is kind


def is_input(layer: Layer) -> bool:
    """Whether the layer's tops are inputs of the net."""
    return of(layer) is INPUT


def is_stock(layer: Layer) -> bool:
    """Whether Caffe 1.0 itself has the layer's type."""
    record = of(layer)
    return record is not None and record.origin == STOCK


def hides_values(layer: Layer) -> bool:
    """Whether other numbers can give the same: a saturated Softmax answers 1 whatever it reads."""
    return values(layer) is Values.HIDDEN


def keeps_values(layer: Layer) -> bool:
    """Whether it passes on the same numbers in the same order."""
    return values(layer) in (Values.KEPT, Values.PASSED)


def interpolates(layer: Layer) -> bool:
    """Whether it computes cells between those of its bottom."""
    return space(layer) is Space.RESAMPLING and values(layer) is Values.CHANGED


def reshapes(layer: Layer) -> bool:
    """Whether it gives the same numbers in the same order, and may give them another shape."""
    return space(layer) is Space.MIXING and values(layer) is Values.KEPT


def message_of(layer: Layer) -> str | None:
    """The field with the layer's own parameters; None where it has none, or is not known."""
    record = of(layer)
    return record.message if record else None


def counts(layer: Layer) -> tuple[Count, Count] | None:
    """How many bottoms and tops it may have; None where its type is not known."""
    record = of(layer)
    return (ask(record.bottoms, layer), ask(record.tops, layer)) if record else None


def is_for_training(layer: Layer) -> bool:
    """Whether it is a loss, an accuracy or the like; of an unknown type its name says so."""
    known = of(layer)
    # Caffe's losses all end in Loss.
    return layer.type.endswith("Loss") if known is None else known.training


def is_whole(layer: Layer) -> bool:
    """Whether it has as many bottoms and tops as its type takes; False for an unknown type."""
    known = counts(layer)
    if known is None:
        return False
    bottoms, tops = known
    fits = bottoms[0] <= len(layer.bottoms) <= bottoms[1]
    return fits and tops[0] <= len(layer.tops) <= tops[1]


def roles(layer: Layer) -> tuple[Role, ...]:
    """What each of its bottoms is read for."""
    record = of(layer)
    known = ask(record.roles, layer) if record else (Role.UNKNOWN,)
    known = known or (Role.UNKNOWN,)  # a type that should have no bottoms
    more = len(layer.bottoms) - len(known)
    return (*known, *known[-1:] * more)[: len(layer.bottoms)]


def in_place(layer: Layer) -> InPlace:
    """Whether a top of it may be its bottom."""
    record = of(layer)
    return ask(record.in_place, layer) if record else InPlace.UNKNOWN


def space(layer: Layer) -> Space:
    """What it does over height and width."""
    record = of(layer)
    return ask(record.space, layer) if record else Space.UNKNOWN


def takes_dilation(layer: Layer) -> bool:
    """Whether its window may have gaps. Of forks' depthwise layers not all code knows dilation."""
    return is_stock(layer) and message_of(layer) == CONVOLUTION.message


def channels(layer: Layer) -> Channels:
    """What it does over channels."""
    record = of(layer)
    return ask(record.channels, layer) if record else Channels.UNKNOWN


def values(layer: Layer) -> Values:
    """What becomes of the numbers it reads."""
    record = of(layer)
    return ask(record.values, layer) if record else Values.UNKNOWN


def signs(layer: Layer) -> Signs:
    """Whether numbers of its tops may be negative."""
    record = of(layer)
    return ask(record.signs, layer) if record else Signs.ANY


def source(layer: Layer) -> InputSource:
    """Where its numbers come from, if it has no bottoms."""
    record = of(layer)
    return record.source if record else InputSource.UNKNOWN


def params(layer: Layer) -> tuple[ParamSpec, ...] | None:
    """Its params, in order; None where they are not known."""
    record = of(layer)
    return ask(record.params, layer) if record else None


_ORDERS = {"Permute": permutation, "Transpose": transposition}


def reorders_axes(layer: Layer) -> bool:
    """Whether all it does is to put its bottom's axes in another order: see `axis_order`."""
    record = of(layer)
    return record is not None and record.name in _ORDERS


def axis_order(layer: Layer, axes: int) -> tuple[int, ...]:
    """The order in which a layer that `reorders_axes` puts those of a bottom of so many."""
    record = of(layer)
    assert record is not None
    return _ORDERS[record.name](layer, axes)


def keeps_turned(layer: Layer) -> bool:
    """Whether it keeps its weight as inputs x outputs: an InnerProduct of ``transpose: true``."""
    return layout(layer) is WeightLayout.TURNED


def layout(layer: Layer) -> WeightLayout | None:
    """How its weight is laid out; None where it has none of a linear layer."""
    record = of(layer)
    return ask(record.layout, layer) if record else None
