"""Which bottoms and tops a layer may have: how many, and whether a top may be a bottom.

The numbers are those of Caffe 1.0's and the common forks' own definitions.
"""

from __future__ import annotations

from netsurgery.net.net import Layer
from netsurgery.net.windows import lrn_window

__all__ = ["check_blobs"]

Range = tuple[int, int]

#: As many as one likes.
_MANY = 2**31

_ONE_TO_ONE = """
    AbsVal ArgMax BNLL BatchNorm Clip Dropout ELU Embed Exp Flatten Im2col InnerProduct Interp LRN
    Log MVN Normalize PReLU Permute Power ReLU ReLU6 Reduction Reshape SPP ShuffleChannel Sigmoid
    Softmax Swish TanH Threshold Tile
"""

#: Type -> fewest and most bottoms, fewest and most tops.
_COUNTS: dict[str, tuple[Range, Range]] = {
    **dict.fromkeys(_ONE_TO_ONE.split(), ((1, 1), (1, 1))),
    **dict.fromkeys("Bias Scale Upsample".split(), ((1, 2), (1, 1))),
    **dict.fromkeys("BatchReindex Crop".split(), ((2, 2), (1, 1))),
    **dict.fromkeys("Slice Split".split(), ((1, 1), (1, _MANY))),
    "Axpy": ((3, 3), (1, 1)),
    "Concat": ((1, _MANY), (1, 1)),
    "DummyData": ((0, 0), (1, _MANY)),
    "Eltwise": ((2, _MANY), (1, 1)),
    "Parameter": ((0, 0), (1, 1)),
    "Silence": ((1, _MANY), (0, 0)),
}

_STATES = {"LSTM": 2, "RNN": 1}

#: Types that Caffe takes in place, and of whose bottom it then loses what it has yet to read.
_LOST_IN_PLACE = frozenset(
    "BatchReindex Convolution Deconvolution Eltwise InnerProduct LRN Pooling".split()
)


def check_blobs(layer: Layer) -> None:
    """Raise PrototxtError for bottoms and tops that the layer's type does not take."""
    _check_counts(layer)
    both = [top for top in layer.tops if top in layer.bottoms]
    if both and layer.type in _LOST_IN_PLACE and not _in_order(layer):
        raise layer.error(
            f"its top {both[0]!r} is its bottom too; Caffe would write into it before it has read "
            "it; give the top a name of its own"
        )


def _in_order(layer: Layer) -> bool:
    """Whether all of an element is read before it is written, which two kinds of these types do."""
    if layer.type == "LRN":
        return lrn_window(layer) is not None
    product = layer.param("eltwise_param").word("operation", "SUM") in ("PROD", "0")
    return layer.type == "Eltwise" and product and layer.tops[0] not in layer.bottoms[2:]


def _check_counts(layer: Layer) -> None:
    bottoms, tops = _counts(layer)
    for what, found, (low, high) in (
        ("bottom", len(layer.bottoms), bottoms),
        ("top", len(layer.tops), tops),
    ):
        if not low <= found <= high:
            most = f"to {high}" if high < _MANY else "or more"
            expected = str(low) if low == high else f"{low} {most}"
            raise layer.error(f"{found} {what}{'s' * (found != 1)}; it takes {expected}")


def _counts(layer: Layer) -> tuple[Range, Range]:
    many = (0, _MANY)
    if layer.type in ("Convolution", "Deconvolution", "DepthwiseConvolution"):
        return (1, _MANY), (len(layer.bottoms), len(layer.bottoms))
    if layer.type == "Pooling":
        # The second is the mask, of where the largest were.
        largest = layer.param("pooling_param").word("pool", "MAX") in ("MAX", "0")
        return (1, 1), (1, 2 if largest else 1)
    if layer.type in _STATES:
        exposed = layer.param("recurrent_param").boolean("expose_hidden", False)
        states = _STATES[layer.type] if exposed else 0
        return (2 + states, 3 + states), (1 + states, 1 + states)
    return _COUNTS.get(layer.type, (many, many))
