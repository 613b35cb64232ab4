"""Whether the params stored in weights are those of a net."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import NamedTuple

from netsurgery.errors import NetError
from netsurgery.formats.weights import WeightsBlob, WeightsLayer, stored_shape
from netsurgery.io.shape_text import shape_text
from netsurgery.io.wording import counted, plural
from netsurgery.net.net import NetDefinition, Shape

#: The shapes of a layer's params in order, None for one that is not known.
ParamShapes = tuple[Shape | None, ...]

#: How many layers a message names, and describes.
_NAMED, _SHOWN = 5, 3
#: How many layers do not fit before weights are said to be of another net.
_FEWEST = 3

__all__ = [
    "ParamFit",
    "ParamMismatch",
    "ParamShapes",
    "another_net",
    "lacking",
    "mismatch",
    "other_shape",
    "refuse_lacking",
]


class ParamMismatch(NamedTuple):
    """A layer whose params in the weights are not those of the net.

    net, model: their shapes in order, None for one that the net leaves open. wrong: which have
    another shape; none where there are more or fewer.
    """

    layer: str
    net: ParamShapes
    model: tuple[Shape, ...]
    wrong: tuple[int, ...] = ()

    def reasons(self, where: str = "the model") -> list[str]:
        """What is wrong: the number of params, or else each that has another shape."""
        if len(self.net) != len(self.model):
            has, expected = len(self.model), len(self.net)
            return [f"{where} has {counted(has, 'param')} for it, expected {expected}"]
        return [
            other_shape(index, self.model[index], self.net[index], where) for index in self.wrong
        ]


def other_shape(index: int, stored: Shape, expected: Shape | None, where: str = "the model") -> str:
    """What is wrong with a param that is stored in another shape."""
    known = "?" if expected is None else shape_text(expected)
    return f"param {index} is {shape_text(stored)} in {where}, expected {known}"


def mismatch(
    layer: str, blobs: Sequence[WeightsBlob], shapes: Sequence[Shape | None]
) -> ParamMismatch | None:
    """How the params stored for a layer differ from those that its net has; None if they fit.

    The one comparison of number and shapes: whatever computes from a layer's params, or gives
    them to an engine, asks it first.
    """
    wrong: tuple[int, ...] = ()
    if len(blobs) == len(shapes):
        wrong = tuple(
            index
            for index, (blob, shape) in enumerate(zip(blobs, shapes, strict=True))
            # By shape, as blob.cpp's ShapeEquals: as many numbers in another shape do not fit.
            if shape is not None and blob.shape != stored_shape(blob, shape)
        )
        if not wrong:
            return None
    return ParamMismatch(layer, tuple(shapes), tuple(blob.shape for blob in blobs), wrong)


def lacking(
    net: NetDefinition, counts: Mapping[str, int], stored: Container[str]
) -> tuple[str, ...]:
    """The layers whose params are in no weights that have those of the layers `stored`.

    counts: layer -> how many params it has. A layer that is not stored is no trouble where each of
    its params is shared with one that is. Caffe would leave the params of the others as its fillers
    made them, without a word: random numbers, or zeros.
    """
    sharing, held = net.sharing, net.sharing.stored_in(stored)
    return tuple(
        name
        for name, count in counts.items()
        if count
        and name not in stored
        and not all(sharing.owner((name, index)) in held for index in range(count))
    )


def refuse_lacking(
    net: NetDefinition,
    weights: str,
    expected: Mapping[str, ParamShapes],
    stored: Mapping[str, WeightsLayer],
) -> None:
    """Raise NetError for the layers that the weights lack, if there are any.

    Where most layers lack their params, or have others, it says that they are of another net.
    """
    if reason := another_net(net, weights, expected, stored):
        raise NetError(reason)
    layers = lacking(net, _counts(expected), stored)
    if layers:
        raise NetError(
            f"{weights}: no params for {plural('layer', len(layers))} "
            f"{_listed([repr(name) for name in layers], _NAMED)} of {net.prototxt.path}; "
            f"{_other_name(net, layers[0], expected[layers[0]], stored)}"
            "netsurgery init --missing fills them on purpose"
        )


def _other_name(
    net: NetDefinition, name: str, shapes: ParamShapes, stored: Mapping[str, WeightsLayer]
) -> str:
    """That the weights may have the layer `name` by another name; "" where none can be it."""
    from netsurgery.formats.prototxt import Prototxt  # these only where something is wrong
    from netsurgery.io.nearest import nearest

    if None in shapes:  # which fits any, and is no sign
        return ""
    fits = [
        each
        for each, layer in stored.items()
        if layer.blobs and mismatch(each, layer.blobs, shapes) is None
    ]
    # In the file's own text, as the net may be the part of it that is needed.
    own = net.prototxt.layer_names | Prototxt.parse(net.prototxt.original or "").layer_names
    fits = [each for each in fits if each not in own]
    if not fits:
        return ""
    similar = (*nearest(name, fits), *fits)[0]
    return (
        f"layer {similar!r}, which the net does not have, has params of its shapes: name it "
        f"{similar!r} if it is the same layer; "
    )


def another_net(
    net: NetDefinition,
    weights: str,
    expected: Mapping[str, ParamShapes],
    stored: Mapping[str, WeightsLayer],
) -> str:
    """That the weights are of another net, and what they have instead; "" where they are not.

    They are where at least three layers, and most of those with params, lack their params in the
    weights or have params of other shapes there. expected, stored: layer -> its params, of the net
    and of the weights. The one sentence of every command that fits a model to a net.
    """
    unfit = dict.fromkeys(lacking(net, _counts(expected), stored))
    for name, shapes in expected.items():
        if name in stored and mismatch(name, stored[name].blobs, shapes):
            unfit[name] = None
    count = sum(map(bool, expected.values()))
    if len(unfit) < _FEWEST or 2 * len(unfit) <= count:
        return ""
    types = {layer.name: layer.type for layer in net.layers}
    ours = [_described(name, types.get(name, ""), expected[name]) for name in unfit]
    theirs = [
        _described(name, layer.type, [blob.shape for blob in layer.blobs])
        for name, layer in stored.items()
        if name in unfit or name not in expected
    ]
    return (
        f"{weights} is of another net: of the {counted(count, 'layer')} with params of "
        f"{net.prototxt.path} it fits {count - len(unfit)}; instead of "
        f"{_listed(ours, _SHOWN)} it has {_listed(theirs, _SHOWN) or 'no params'}"
    )


def _described(name: str, kind: str, shapes: Sequence[Shape | None]) -> str:
    """ "conv1 (Convolution 96x3x11x11)", by the first param, where its shape is known."""
    first = next(iter(shapes), None)
    words = [kind] * bool(kind) + ([] if first is None else [shape_text(first)])
    return f"{name} ({' '.join(words)})" if words else name


def _counts(expected: Mapping[str, ParamShapes]) -> dict[str, int]:
    return {name: len(shapes) for name, shapes in expected.items()}


def _listed(names: Sequence[str], most: int) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{more}"


class ParamFit(NamedTuple):
    """How the weights of a model fit its net.

    expected: layer -> the shapes of its params, () for none; a layer whose
    number of params is unknown is not in it. missing: layers with params that the weights lack.
    sharing: others that they lack, but each of whose params is that of a layer that they have.
    mismatches: layer -> how its params in the weights differ from the net's.
    """

    expected: Mapping[str, ParamShapes]
    missing: tuple[str, ...]
    sharing: tuple[str, ...]
    mismatches: Mapping[str, ParamMismatch]
