"""Which layers treat every position of a map alike, so that they may stand behind one.

Behind an InnerProduct there was one vector for each image; behind the Convolution that takes its
place there is one for each cell. A layer may follow if it does to each cell what it did to the
one vector.
"""

from __future__ import annotations

from collections.abc import Collection

from netsurgery.net.net import Layer

__all__ = ["compares_with_labels", "is_pointwise", "mixes_positions", "why_not_behind"]

#: Layers that look at one number at a time.
_POINTWISE = frozenset(
    """
    AbsVal BNLL Clip Dropout ELU Exp Log Power ReLU ReLU6 Sigmoid Silence Split Swish TanH Threshold
    """.split()
)

#: Layers that look at a number and at which channel it is in.
_BY_CHANNEL = frozenset({"BatchNorm", "PReLU"})

#: Layers that work along one axis, which has to be the channels: type -> its parameter message.
_ALONG_CHANNELS = {
    "Accuracy": "accuracy_param",
    "ArgMax": "argmax_param",
    "Bias": "bias_param",
    "Concat": "concat_param",
    "Scale": "scale_param",
    "Slice": "slice_param",
    "Softmax": "softmax_param",
    "SoftmaxWithLoss": "softmax_param",
}

#: Losses that compare number with number, so that maps are compared with maps.
_COMPARING = frozenset({"EuclideanLoss", "SigmoidCrossEntropyLoss"})

#: Layers whose bottoms must all be maps of one size.
_JOINING = frozenset({"Concat", "Eltwise"})


#: Layers that put the positions of a map elsewhere; no window slides over what they make.
_MIXING = frozenset("Im2col Permute Reduction Reshape Tile".split())


def mixes_positions(layer: Layer) -> bool:
    """Whether it moves numbers from position to position."""
    return layer.type in _MIXING


def compares_with_labels(layer: Layer) -> bool:
    """Whether it holds what it reads against labels of the same size."""
    return layer.type in _COMPARING or layer.type in ("Accuracy", "SoftmaxWithLoss")


def is_pointwise(layer: Layer, *, joining: bool = False) -> bool:
    """Whether it does the same to every number (`joining`: or to every pair, or puts in a row)."""
    return layer.type in _POINTWISE or (joining and layer.type in _JOINING)


def why_not_behind(layer: Layer, maps: Collection[str]) -> str:
    """Why `layer`, some of whose bottoms become maps, cannot follow; "" if it can."""
    if layer.type in _JOINING and not set(layer.bottoms).issubset(maps):
        other = next(bottom for bottom in layer.bottoms if bottom not in maps)
        return f"it joins a map with {other!r}, which does not become one"
    if layer.type in _POINTWISE | _BY_CHANNEL | _COMPARING or layer.type == "Eltwise":
        return ""
    if layer.type in _ALONG_CHANNELS:
        return _along_channels(layer)
    if layer.type == "Normalize":
        across = layer.param("norm_param").boolean("across_spatial", True)
        return "its norm is over all positions of a map (across_spatial)" if across else ""
    if layer.type.endswith("Loss"):
        return f"a {layer.type} is for training; give the deploy prototxt"
    return f"a {layer.type} may not treat every position of a map alike"


def _along_channels(layer: Layer) -> str:
    if len(layer.bottoms) > 1 and layer.type in ("Scale", "Bias"):
        return f"a {layer.type} of two bottoms may not treat every position of a map alike"
    message = layer.param(_ALONG_CHANNELS[layer.type])
    legacy = {"Concat": "concat_dim", "Slice": "slice_dim"}.get(layer.type, "")
    given = message.scalar("axis") or (message.scalar(legacy) if legacy else None)
    if given is None:
        if layer.type == "ArgMax" and message.boolean("out_max_val", False):
            return "an ArgMax without an axis gives pairs with out_max_val, with one it cannot"
        return ""
    # The blob had two axes, so -1 was its channels too; the rewrite makes it 1.
    axis = given.as_int()
    return "" if axis in (1, -1) else f"axis {axis}, expected 1, the channels"
