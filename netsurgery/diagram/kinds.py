"""What kind of layer a box is, by the records of layer types, and its colour.

The colours are those of Okabe and Ito, which people of every colour vision distinguish. None of
them has to carry a text: it stands on a pale tint of the colour, dark on light or light on dark.
"""

from __future__ import annotations

from enum import Enum

from netsurgery.net import types
from netsurgery.net.layer import Layer
from netsurgery.net.types.record import Channels, InputSource, ParamRole, Space, Values

__all__ = ["Kind", "kind_of"]


class Kind(Enum):
    """A kind of layer: what a legend calls it, and the colour of its box as #rrggbb."""

    INPUT = "input, data", "#000000"
    CONVOLUTION = "convolution", "#0072b2"
    INNER_PRODUCT = "inner product", "#cc79a7"
    POOLING = "pooling, resampling", "#d55e00"
    NORMALIZATION = "normalization", "#56b4e9"
    ELEMENTWISE = "activation", "#e69f00"
    JOINING = "joining, rearranging", "#009e73"
    TRAINING = "loss, accuracy", "#f0e442"
    OTHER = "other", "#999999"

    def __init__(self, label: str, color: str) -> None:
        self.label, self.color = label, color


def kind_of(layer: Layer) -> Kind:
    """The kind of a layer, whichever Caffe or fork its type is of.

    >>> import netsurgery as ns
    >>> net = ns.Net("prototxt/digits_deploy.prototxt")
    >>> [kind_of(layer).name for layer in net.layers[:4]]
    ['INPUT', 'CONVOLUTION', 'ELEMENTWISE', 'POOLING']
    """
    record = types.of(layer)
    if record is None:
        return Kind.OTHER
    if record.source in (InputSource.INPUT, InputSource.DATA, InputSource.CONSTANT):
        return Kind.INPUT
    if record.training:
        return Kind.TRAINING
    space = types.space(layer)
    if types.layout(layer) is not None:
        slides = space in (Space.SLIDING, Space.SPREADING)
        return Kind.CONVOLUTION if slides else Kind.INNER_PRODUCT
    return _without_weight(layer, space)


def _without_weight(layer: Layer, space: Space) -> Kind:
    values, channels = types.values(layer), types.channels(layer)
    if values in (Values.UNKNOWN, Values.NONE):
        return Kind.OTHER
    if values in (Values.KEPT, Values.MOVED):
        return Kind.POOLING if _resamples(space, channels) else Kind.JOINING
    if space is Space.JOINING:
        return Kind.JOINING
    if (values is not Values.CHANGED and space is not Space.POINTWISE) or space is Space.RESAMPLING:
        return Kind.POOLING if channels is not Channels.MIXING else Kind.OTHER
    slopes = any(param.role is ParamRole.SLOPE for param in types.params(layer) or ())
    if slopes or values is not Values.CHANGED or channels is Channels.ALIKE:
        return Kind.ELEMENTWISE
    return Kind.OTHER if space is Space.MIXING else Kind.NORMALIZATION


def _resamples(space: Space, channels: Channels) -> bool:
    return space is Space.RESAMPLING and channels is Channels.ALIKE
