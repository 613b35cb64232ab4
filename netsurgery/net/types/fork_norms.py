"""Normalizations of forks: BN of SegNet and PSPNet, NVCaffe's BatchNorm, the face forks' Normalize.

Forks have given one name to several layers. The text of a layer says which it is, by the fields of
its message (`meant_name`, of any type); where it says nothing, the type is not known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from netsurgery.errors import PrototxtError, SurgeryError
from netsurgery.formats.textformat import Message
from netsurgery.net.geometry import ReceptiveField
from netsurgery.net.layer import Layer, Shape
from netsurgery.net.types.elementwise import DROPOUT, SCALING_DROPOUT, no_edges
from netsurgery.net.types.fields import as_image, free, images
from netsurgery.net.types.normalization import BATCH_NORM, NORMALIZE, normalizing
from netsurgery.net.types.record import (
    NO_EFFECTS,
    NO_PARAMS,
    Channels,
    Count,
    InPlace,
    InputSource,
    KnownParams,
    LayerType,
    ParamRole,
    ParamSpec,
    Result,
    Role,
    Signs,
    Space,
    Values,
)
from netsurgery.net.types.seen import Seen, first_field, kept_whole_field

if TYPE_CHECKING:
    from netsurgery.net.types.normalization import Read, Wide

__all__ = ["TYPES", "added_to_variance", "face_norm_type", "learns", "meant_name", "nvcaffe_eps"]

_OF_SEGNET = ("scale_filler", "shift_filler", "bn_mode")
_OF_PSPNET = ("slope_filler", "bias_filler", "momentum", "eps", "frozen", "engine")
_SCALES = ("scale_filler", "bias_filler", "scale_bias")
_OF_NVCAFFE = (*_SCALES, "engine")
_OF_FACE = ("normalize_type", "fix_gradient", "bp_norm")

#: cuDNN's and NVCaffe's least eps.
_LEAST_EPS = 1e-5


def learns(layer: Layer) -> bool:
    """Whether SegNet's BN measures each batch, in TEST too: unless bn_mode is INFERENCE."""
    mode = layer.param("bn_param").word("bn_mode", "LEARN")
    if mode not in ("LEARN", "0", "INFERENCE", "1"):
        raise layer.error(f"bn_mode {mode}; expected LEARN or INFERENCE")
    return mode in ("LEARN", "0")


def _segnet(layer: Layer, bottoms: list[Shape]) -> Result:
    learns(layer)
    image = as_image(layer, bottoms[0])
    channel = (1, image[1], 1, 1)
    return [image, channel, channel][: len(layer.tops)], [channel, channel]


def _segnet_tops(layer: Layer) -> Count:
    """Of a batch that is measured the mean and the variance may be had too."""
    return 1, 3 if learns(layer) else 1


def _segnet_space(layer: Layer) -> Space:
    return Space.WHOLE if learns(layer) else Space.POINTWISE


def _segnet_field(seen: Seen, layer: Layer) -> ReceptiveField | None:
    return kept_whole_field(seen, layer) if learns(layer) else first_field(seen, layer)


def _segnet_affine(layer: Layer, read: Read, channels: int) -> tuple[Wide, Wide]:
    """A factor and a shift for each channel."""
    if learns(layer):
        raise SurgeryError("bn_mode is not INFERENCE: its statistics are each batch's own")
    return read(0), read(1)


def _pspnet(layer: Layer, bottoms: list[Shape]) -> Result:
    image = as_image(layer, bottoms[0])
    return [bottoms[0]], [(1, image[1], 1, 1)] * 4


def _frozen(layer: Layer) -> bool:
    return layer.param("bn_param").boolean("frozen", False)


def _pspnet_params(layer: Layer) -> KnownParams:
    return (
        ParamSpec(ParamRole.SCALE, "slope_filler", 0.0, linear=False),
        ParamSpec(ParamRole.SHIFT, "bias_filler", 0.0, linear=False),
        ParamSpec(ParamRole.MEAN, "", 0.0, linear=False),
        ParamSpec(ParamRole.VARIANCE, "", 1.0 if _frozen(layer) else 0.0, linear=False),
    )


def _pspnet_field(seen: Seen, layer: Layer) -> ReceptiveField | None:
    measured = seen.training and not _frozen(layer)
    return kept_whole_field(seen, layer) if measured else first_field(seen, layer)


def _pspnet_affine(layer: Layer, read: Read, channels: int) -> tuple[Wide, Wide]:
    """slope (x - mean) / sqrt(variance + eps) + bias."""
    eps = layer.param("bn_param").number("eps", 1e-5)
    factor = normalizing(read(3), eps) * read(0)
    return factor, read(1) - read(2) * factor


def nvcaffe_eps(layer: Layer) -> float:
    """What NVCaffe adds to the variance: eps, but not less than 1e-5."""
    return max(layer.param("batch_norm_param").number("eps", _LEAST_EPS), _LEAST_EPS)


def added_to_variance(layer: Layer) -> float:
    """The eps of PSPNet's BN and of NVCaffe's BatchNorm."""
    if meant_name(layer) == _NVCAFFE_BATCH_NORM.name:
        return nvcaffe_eps(layer)
    return layer.param("bn_param").number("eps", _LEAST_EPS)


def _scales(layer: Layer) -> bool:
    """Whether NVCaffe's has a scale and a bias: where it says so, or gives a filler for one."""
    message = layer.param("batch_norm_param")
    filled = any(message.all(name) for name in ("scale_filler", "bias_filler"))
    return filled or message.boolean("scale_bias", False)


def _nvcaffe(layer: Layer, bottoms: list[Shape]) -> Result:
    channel = (images(layer, bottoms[0])[1],)
    more = [channel, channel] if _scales(layer) else []
    return [bottoms[0]], [channel, channel, (1,), *more]


_STATISTICS = (
    ParamSpec(ParamRole.MEAN, "", 0.0, linear=False),
    ParamSpec(ParamRole.VARIANCE, "", 0.0, linear=False),
    ParamSpec(ParamRole.FACTOR, "", 1.0, linear=False),
)
_SCALE_AND_BIAS = (
    ParamSpec(ParamRole.SCALE, "scale_filler", 1.0, linear=False),
    ParamSpec(ParamRole.SHIFT, "bias_filler", 0.0, linear=False),
)


def _nvcaffe_params(layer: Layer) -> KnownParams:
    return _STATISTICS + (_SCALE_AND_BIAS if _scales(layer) else ())


def _nvcaffe_field(seen: Seen, layer: Layer) -> ReceptiveField | None:
    """In TEST the statistics are the stored ones, whatever use_global_stats says."""
    return kept_whole_field(seen, layer) if seen.training else first_field(seen, layer)


def _nvcaffe_affine(layer: Layer, read: Read, channels: int) -> tuple[Wide, Wide]:
    """scale (x - mean) / sqrt(variance + eps) + bias; nothing is divided by the third param."""
    stored = float(read(2)[0])
    # Caffe 1.0 has the sum of its decayed batches here, which nears 1000 in training.
    if stored != 1:
        raise SurgeryError(
            f"its param 2 is {stored:g}, expected 1: Caffe 1.0 divides the statistics by it, and "
            "NVCaffe, whose layer this is, does not"
        )
    factor = normalizing(read(1), nvcaffe_eps(layer))
    if not _scales(layer):
        return factor, -read(0) * factor
    return factor * read(3), read(4) - read(0) * factor * read(3)


def face_norm_type(layer: Layer) -> str:
    """L2 or L1. Raises PrototxtError."""
    kind = layer.param("normalize_param").string("normalize_type", "L2")
    if kind not in ("L2", "L1"):
        raise layer.error(f"normalize_type {kind!r}; expected L2 or L1")
    return kind


def _face(layer: Layer, bottoms: list[Shape]) -> Result:
    face_norm_type(layer)
    image = as_image(layer, bottoms[0])
    return [image, (image[0], 1, *image[2:])][: len(layer.tops)], []


_SEGNET_BN = LayerType(
    name="BN (SegNet)",
    aliases=(),
    origin="SegNet",
    message="bn_param",
    fields=_OF_SEGNET,
    shapes=_segnet,
    bottoms=(1, 1),
    tops=_segnet_tops,
    roles=(Role.VALUE,),
    in_place=InPlace.ALLOWED,
    space=_segnet_space,
    window=None,
    field=_segnet_field,
    edges=no_edges,
    channels=Channels.BY_CHANNEL,
    values=Values.CHANGED,
    signs=Signs.ANY,
    source=InputSource.NONE,
    effects=NO_EFFECTS,
    params=(
        ParamSpec(ParamRole.SCALE, "scale_filler", 0.0, linear=False),
        ParamSpec(ParamRole.SHIFT, "shift_filler", 0.0, linear=False),
    ),
    layout=None,
    affine=_segnet_affine,
    multiply_adds=free,
    training=False,
    runs=True,
)

_PSPNET_BN = LayerType(
    name="BN (PSPNet)",
    aliases=(),
    origin="PSPNet",
    message="bn_param",
    fields=_OF_PSPNET,
    shapes=_pspnet,
    bottoms=(1, 1),
    tops=(1, 1),
    roles=(Role.VALUE,),
    in_place=InPlace.ALLOWED,
    space=Space.POINTWISE,
    window=None,
    field=_pspnet_field,
    edges=no_edges,
    channels=Channels.BY_CHANNEL,
    values=Values.CHANGED,
    signs=Signs.ANY,
    source=InputSource.NONE,
    effects=NO_EFFECTS,
    params=_pspnet_params,
    layout=None,
    affine=_pspnet_affine,
    multiply_adds=free,
    training=False,
    runs=True,
)

_NVCAFFE_BATCH_NORM = LayerType(
    name="BatchNorm (NVCaffe)",
    aliases=(),
    origin="NVCaffe",
    message="batch_norm_param",
    fields=_OF_NVCAFFE,
    shapes=_nvcaffe,
    bottoms=(1, 1),
    tops=(1, 1),
    roles=(Role.VALUE,),
    in_place=InPlace.ALLOWED,
    space=Space.POINTWISE,
    window=None,
    field=_nvcaffe_field,
    edges=no_edges,
    channels=Channels.BY_CHANNEL,
    values=Values.CHANGED,
    signs=Signs.ANY,
    source=InputSource.NONE,
    effects=NO_EFFECTS,
    params=_nvcaffe_params,
    layout=None,
    affine=_nvcaffe_affine,
    multiply_adds=free,
    training=False,
    runs=True,
)

_FACE_NORMALIZE = LayerType(
    name="Normalize (face)",
    aliases=(),
    origin="caffe-windows",
    message="normalize_param",
    fields=_OF_FACE,
    shapes=_face,
    bottoms=(1, 1),
    tops=(1, 2),
    roles=(Role.VALUE,),
    in_place=InPlace.ALLOWED,
    space=Space.POINTWISE,
    window=None,
    field=first_field,
    edges=no_edges,
    channels=Channels.MIXING,
    values=Values.HIDDEN,
    signs=Signs.ANY,
    source=InputSource.NONE,
    effects=NO_EFFECTS,
    params=NO_PARAMS,
    layout=None,
    affine=None,
    multiply_adds=free,
    training=False,
    runs=True,
)


def _field_names(layer: Layer, name: str) -> set[str]:
    """The names of the fields that are written in the layer's message `name`."""
    messages = [each.value for each in layer.message.all(name)]
    return {field.name for m in messages if isinstance(m, Message) for field in m.fields}


def _bn(layer: Layer) -> str | None:
    """By the fields of one fork; without any by the number of its ``param { }``."""
    names = _field_names(layer, "bn_param")
    segnet, pspnet = names & set(_OF_SEGNET), names & set(_OF_PSPNET)
    if segnet or pspnet:
        return None if segnet and pspnet else (_SEGNET_BN if segnet else _PSPNET_BN).name
    return {2: _SEGNET_BN.name, 4: _PSPNET_BN.name}.get(len(layer.message.all("param")))


def _batch_norm(layer: Layer) -> str:
    """NVCaffe's where its text says whether it has a scale and a bias."""
    ours = _field_names(layer, "batch_norm_param") & set(_SCALES)
    return (_NVCAFFE_BATCH_NORM if ours else BATCH_NORM).name


def _normalize(layer: Layer) -> str:
    """SSD's has a norm_param, and a param for its factors; the face forks' has neither."""
    return (NORMALIZE if layer.message.all("norm_param") else _FACE_NORMALIZE).name


def _dropout(layer: Layer) -> str:
    """One of ``scale_train: false`` multiplies its numbers in TEST."""
    try:
        usual = layer.param("dropout_param").boolean("scale_train", True)
    except PrototxtError:
        return DROPOUT.name  # whose shape rule says what is wrong with it
    return (DROPOUT if usual else SCALING_DROPOUT).name


_WHICH = {"BN": _bn, "BatchNorm": _batch_norm, "Dropout": _dropout, "Normalize": _normalize}


def meant_name(layer: Layer) -> str | None:
    """The name of the layer's type; of several that share it that which the layer's text means.

    None where the text does not say.
    """
    choose = _WHICH.get(layer.type)
    return choose(layer) if choose else layer.type


TYPES = (_FACE_NORMALIZE, _NVCAFFE_BATCH_NORM, _PSPNET_BN, _SEGNET_BN)
