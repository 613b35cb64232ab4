"""Which layers treat every position of a map alike, so that they may stand behind one.

Behind an InnerProduct there was one vector for each image; behind the Convolution that takes its
place there is one for each cell. A layer may follow if it does to each cell what it did to the
one vector.
"""

from __future__ import annotations

from netsurgery.net.net import Layer

__all__ = ["why_not_behind"]

#: Layers that look at one number at a time, or at a channel by its number.
_POINTWISE = frozenset(
    """
    AbsVal BNLL BatchNorm Clip Dropout ELU Exp Log PReLU Power ReLU Sigmoid Silence Split Swish TanH
    Threshold
    """.split()
)

#: Layers that work along one axis, which has to be the channels: type -> its parameter message.
_ALONG_CHANNELS = {
    "ArgMax": "argmax_param",
    "Bias": "bias_param",
    "Concat": "concat_param",
    "Scale": "scale_param",
    "Slice": "slice_param",
    "Softmax": "softmax_param",
}

#: Layers whose bottoms must all be maps of one size.
_JOINING = frozenset({"Concat", "Eltwise"})

_LOSSES = ("Accuracy", "Data")


def why_not_behind(layer: Layer, cast_blobs: set[str]) -> str:
    """Why `layer`, some of whose bottoms become maps, cannot follow; "" if it can."""
    if layer.type in _JOINING and not cast_blobs.issuperset(layer.bottoms):
        other = next(bottom for bottom in layer.bottoms if bottom not in cast_blobs)
        return f"it joins a map with {other!r}, which does not become one"
    if layer.type in _POINTWISE or layer.type == "Eltwise":
        return ""
    if layer.type in _ALONG_CHANNELS:
        return _along_channels(layer)
    if layer.type.endswith("Loss") or layer.type in _LOSSES:
        return f"a {layer.type} is for training; give the deploy prototxt"
    return f"a {layer.type} may not treat every position of a map alike"


def _along_channels(layer: Layer) -> str:
    if len(layer.bottoms) > 1 and layer.type in ("Scale", "Bias"):
        return f"a {layer.type} of two bottoms may not treat every position of a map alike"
    message = layer.param(_ALONG_CHANNELS[layer.type])
    legacy = {"Concat": "concat_dim", "Slice": "slice_dim"}.get(layer.type, "")
    given = message.scalar("axis") or (message.scalar(legacy) if legacy else None)
    if given is None:
        if layer.type == "ArgMax":
            return "an ArgMax without an axis looks at the whole map at once; give it axis: 1"
        return ""
    # The blob had two axes, so -1 was its channels too; the rewrite makes it 1.
    axis = given.as_int()
    return "" if axis in (1, -1) else f"axis {axis}, expected 1, the channels"
