"""What the fields of a net mean, so that two spellings of one meaning are equal.

`spelled` writes enums and bools in one way. `meaning` goes on to leave out what says no more than
its absence: a field at its default, ``stride: 1`` and the like, whose default is in Caffe's code
and not in its schema, a filler of zeros. A window that is as high as wide has one number,
DeepLab's ``hole`` is a dilation, and an axis counted from the end is counted from the front where
the blob's axes are known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from netsurgery.formats.prototxt import quoted
from netsurgery.formats.schema.meaning import Known, known_fields
from netsurgery.net import types
from netsurgery.surgery.difference.fields import FieldValues, Tree, float_text

__all__ = ["LAYER", "NET", "LayerView", "layer_meaning", "meaning", "spelled"]

NET, LAYER = "NetParameter", "LayerParameter"

_BOOLS = {"1": "true", "0": "false"}

#: Fields whose absence is not their default: Caffe asks whether they are there.
_ASKED_FOR = {
    ("LossParameter", "normalization"),
    ("PReLUParameter", "filler"),
    ("ScaleParameter", "filler"),
}

#: Defaults that are in Caffe's code: a convolution's are repeated fields, which have none.
_REPEATED = {"pad": "0", "stride": "1", "dilation": "1"}
_OTHERS = {("ParamSpec", "share_mode"): "STRICT"}

_WINDOWS = ("ConvolutionParameter", "PoolingParameter")
_SIDES = {"kernel_size": "kernel", "stride": "stride", "pad": "pad"}

#: Older names of the axis; Caffe reads either.
_OLD_AXES = {"ConcatParameter": "concat_dim", "SliceParameter": "slice_dim"}
_AXES = ("axis", "end_axis")


@dataclass(frozen=True)
class LayerView:
    """What is to be known of a layer besides its fields.

    at: where it is in the text. axes: how many the first bottom of the layer at each place has,
    where that is known; worked out when it is first asked for.
    """

    type: str
    at: int
    axes: Callable[[], Mapping[int, int]]


def spelled(tree: Tree, message: str = LAYER) -> Tree:
    """The fields of a message of this name, with enums as words and bools as true and false."""
    known = known_fields(message)
    return {name: _spelled(values, known.get(name)) for name, values in tree.items()}


def _spelled(values: FieldValues, known: Known | None) -> FieldValues:
    if known is None:
        return values
    return [
        spelled(value, known.message) if isinstance(value, dict) else _word(value, known)
        for value in values
    ]


def _word(value: str, known: Known) -> str:
    if known.is_bool:
        return _BOOLS.get(value, value)
    return known.words.get(int(value), value) if known.words and value.isdigit() else value


def layer_meaning(tree: Tree, layer: LayerView) -> Tree:
    """What the fields of a layer mean; `tree` as `spelled` gives it."""
    meant = meaning(tree, LAYER, layer)
    record = types.record(layer.type)
    if record is not None and record.message == "batch_norm_param" and "param" in meant:
        # Caffe gives its params a learning rate of 0 where the net does not.
        meant["param"] = [_unless_still(value) for value in meant["param"]]
    weights = meant.get("loss_weight", [])
    # Caffe gives a loss's first top a weight of 1, any other 0.
    usual = ["1"] if layer.type.endswith("Loss") else ["0"] * len(weights)
    if weights == usual:
        meant.pop("loss_weight", None)
    return meant


def _unless_still(spec: str | Tree) -> str | Tree:
    still = isinstance(spec, dict) and spec.get("lr_mult") == ["0"] and "name" not in spec
    return {} if still else spec


def meaning(tree: Tree, message: str, layer: LayerView | None = None) -> Tree:
    """What the fields of a message of this name say beyond an empty one."""
    known = known_fields(message)
    meant: Tree = {}
    for name, values in tree.items():
        field = known.get(name)
        meant[name] = [
            meaning(value, field.message, layer) if field and isinstance(value, dict) else value
            for value in values
        ]
    _one_name(meant, message)
    if message == "ConvolutionParameter" and "dilation" not in meant:
        _dilation(meant)
    if layer is not None:
        _from_the_front(meant, message, layer)
    if message in _WINDOWS:
        _windows(meant)
    # Without coefficients each is 1 (eltwise_layer.cpp).
    if message == "EltwiseParameter" and set(map(str, meant.get("coeff", []))) == {"1"}:
        del meant["coeff"]
    # Of a shared param Caffe asks whether a rate is written: those that are have to agree.
    named = message == "ParamSpec" and "name" in meant
    return {
        name: values
        for name, values in meant.items()
        if named or not _is_default(message, name, values, known.get(name), layer)
    }


def _is_default(
    message: str, name: str, values: FieldValues, known: Known | None, layer: LayerView | None
) -> bool:
    if (message, name) in _ASKED_FOR or len(values) != 1 or known is None:
        return False
    value = values[0]
    if isinstance(value, dict):
        # One of several holds a place, as an empty param { } does before the bias's.
        return not value and not known.repeated
    if message == "ConvolutionParameter" and value == _REPEATED.get(name):
        return True
    default = _OTHERS.get((message, name)) or _text(known)
    if default is not None and name in _AXES and layer is not None:
        default = _counted(default, message, layer)
    return value == default and (not known.repeated or name in _REPEATED)


def _text(known: Known) -> str | None:
    """A default as the trees write values."""
    default = known.default
    if known.words:
        return None if default is None else str(default)
    if isinstance(default, bool):
        return "true" if default else "false"
    if isinstance(default, float):
        return float_text(default)
    if isinstance(default, int):
        return str(default)
    if isinstance(default, bytes):
        default = default.decode("utf-8", "surrogateescape")
    return None if default is None else quoted(default)


def _one_name(tree: Tree, message: str) -> None:
    """concat_dim and slice_dim as axis."""
    old = _OLD_AXES.get(message, "")
    if old in tree and "axis" not in tree:
        tree["axis"] = tree.pop(old)


def _dilation(tree: Tree) -> None:
    """DeepLab's hole, which is a dilation; of one side only it is left as it is."""
    sides = [*tree.get("hole_h", []), *tree.get("hole_w", [])]
    if "hole" in tree and not sides:
        tree["dilation"] = tree.pop("hole")
    elif len(sides) == 2 and "hole" not in tree:
        tree["dilation"] = sides
        del tree["hole_h"], tree["hole_w"]


def _from_the_front(tree: Tree, message: str, layer: LayerView) -> None:
    for name in _AXES:
        if name in tree:
            tree[name] = [
                _counted(value, message, layer) if isinstance(value, str) else value
                for value in tree[name]
            ]


def _counted(value: str, message: str, layer: LayerView) -> str:
    """An axis counted from the front, where it can be."""
    if not value.startswith("-") or not value[1:].isdigit():
        return value
    axes = layer.axes().get(layer.at)
    if axes is None:
        return value
    # Reshape's names a place between axes, of which there is one more.
    place = int(value) + axes + (message == "ReshapeParameter")
    return str(place) if place >= 0 else value


def _windows(tree: Tree) -> None:
    """One number where height and width are equal, two where they differ."""
    for name, side in _SIDES.items():
        height, width = f"{side}_h", f"{side}_w"
        both = [tree.get(height), tree.get(width)]
        if name not in tree and both[0] is not None and both[0] == both[1]:
            tree[name] = both[0]
            tree.pop(height, None)
            tree.pop(width, None)
        values = tree.get(name, [])
        if len(values) == 2 and values[0] != values[1] and height not in tree and width not in tree:
            tree[height], tree[width] = values[:1], values[1:]
            del tree[name]
    for name in (*_SIDES, "dilation"):
        values = tree.get(name, [])
        if len(values) > 1 and all(value == values[0] for value in values):
            tree[name] = values[:1]
