"""Types for training: losses and accuracy."""

from __future__ import annotations

from collections.abc import Callable

from netsurgery.net.layer import Layer, Shape
from netsurgery.net.types.axes import axis_of
from netsurgery.net.types.elementwise import no_edges
from netsurgery.net.types.fields import free, scalars
from netsurgery.net.types.naming import by_text
from netsurgery.net.types.record import (
    NO_EFFECTS,
    NO_PARAMS,
    Channels,
    Count,
    Effects,
    InPlace,
    InputSource,
    LayerType,
    Result,
    Role,
    ShapeRule,
    Signs,
    Space,
    Values,
)

__all__ = ["ACCURACY", "INFOGAIN_LOSS", "MULTINOMIAL_LOSS", "SOFTMAX_LOSS", "TYPES"]


def _loss(
    name: str,
    message: str | None,
    shapes: ShapeRule,
    *,
    bottoms: Count = (2, 2),
    tops: Count = (0, 1),  # net.cpp adds the top that a loss lacks (AutoTopBlobs)
    roles: tuple[Role, ...] = (Role.VALUE, Role.LABEL),
    space: Space = Space.WHOLE,
    channels: Channels,
    effects: Effects | Callable[[Layer], Effects] = NO_EFFECTS,
) -> LayerType:
    return LayerType(
        name=name,
        aliases=(),
        origin="Caffe 1.0",
        message=message,
        fields=(),
        shapes=shapes,
        bottoms=bottoms,
        tops=tops,
        roles=roles,
        in_place=InPlace.ALLOWED,
        space=space,
        window=None,
        field=None,
        edges=no_edges,
        channels=channels,
        values=Values.HIDDEN,
        signs=Signs.ANY,
        source=InputSource.NONE,
        effects=effects,
        params=NO_PARAMS,
        layout=None,
        affine=None,
        multiply_adds=free,
        training=True,
        runs=False,
    )


def _with_values(layer: Layer, bottoms: list[Shape]) -> Result:
    """The loss; and, as a second top, what it was computed from."""
    return [(), bottoms[0]][: len(layer.tops)], []


def _accuracy(layer: Layer, bottoms: list[Shape]) -> Result:
    axis = axis_of(layer, layer.param("accuracy_param"), bottoms[0], 1)
    return [(), (bottoms[0][axis],)][: len(layer.tops)], []  # the second is of each class by itself


ACCURACY = _loss(
    "Accuracy",
    "accuracy_param",
    _accuracy,
    tops=(1, 2),
    space=Space.JOINING,
    channels=Channels.ALONG,
)
INFOGAIN_LOSS = _loss(
    "InfogainLoss",
    "infogain_loss_param",
    scalars,
    bottoms=(2, 3),
    tops=(0, 2),
    channels=Channels.MIXING,
    effects=by_text,
)
MULTINOMIAL_LOSS = _loss("MultinomialLogisticLoss", None, scalars, channels=Channels.MIXING)
SOFTMAX_LOSS = _loss(
    "SoftmaxWithLoss",
    "softmax_param",
    _with_values,
    bottoms=(2, 3),
    tops=(0, 2),
    space=Space.JOINING,
    channels=Channels.ALONG,
)

TYPES = (
    ACCURACY,
    _loss(
        "ContrastiveLoss",
        "contrastive_loss_param",
        scalars,
        bottoms=(3, 3),
        roles=(Role.VALUE, Role.VALUE, Role.LABEL),
        channels=Channels.MIXING,
    ),
    _loss("EuclideanLoss", None, scalars, space=Space.JOINING, channels=Channels.ALIKE),
    _loss("HingeLoss", "hinge_loss_param", scalars, channels=Channels.MIXING),
    INFOGAIN_LOSS,
    MULTINOMIAL_LOSS,
    _loss(
        "SigmoidCrossEntropyLoss",
        None,
        _with_values,
        tops=(0, 2),
        space=Space.JOINING,
        channels=Channels.ALIKE,
    ),
    SOFTMAX_LOSS,
)
