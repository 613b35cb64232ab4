"""Types that shift and scale: BatchNorm, Scale, Bias, MVN, Softmax, Normalize."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from netsurgery.errors import SurgeryError
from netsurgery.io.shape_text import shape_text
from netsurgery.io.wording import counted
from netsurgery.net.geometry import ReceptiveField
from netsurgery.net.layer import Layer, Shape
from netsurgery.net.types.axes import axis_of
from netsurgery.net.types.elementwise import no_edges
from netsurgery.net.types.fields import free, same
from netsurgery.net.types.record import (
    NO_EFFECTS,
    NO_PARAMS,
    Channels,
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
from netsurgery.net.types.seen import Seen, along_field, first_field, gated_field, kept_whole_field

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Wide = NDArray[np.float64]
    Read = Callable[[int], Wide]

__all__ = ["BATCH_NORM", "NORMALIZE", "SCALE", "SOFTMAX", "TYPES", "normalizing"]

#: Caffe fills the statistics with zeros, whatever the prototxt says.
_STATISTICS = (
    ParamSpec(ParamRole.MEAN, "", 0.0, linear=False),
    ParamSpec(ParamRole.VARIANCE, "", 0.0, linear=False),
    ParamSpec(ParamRole.FACTOR, "", 0.0, linear=False),
)
_SCALE = ParamSpec(ParamRole.SCALE, "filler", 1.0, linear=False)
_SHIFT = ParamSpec(ParamRole.SHIFT, "bias_filler", 0.0, linear=False)
_BIAS = ParamSpec(ParamRole.SHIFT, "filler", 0.0, linear=False)


def _batch_norm(layer: Layer, bottoms: list[Shape]) -> Result:
    # batch_norm_layer.cpp counts one channel in a blob of one axis, and then looks for axis 1.
    channels = bottoms[0][1]
    return [bottoms[0]], [(channels,), (channels,), (1,)]


def _stored(layer: Layer) -> bool:
    """Whether a BatchNorm uses its stored statistics."""
    # batch_norm_layer.cpp: by default as the phase has it, which is asked for in TEST here.
    return layer.param("batch_norm_param").boolean("use_global_stats", True)


def _batch_norm_space(layer: Layer) -> Space:
    return Space.POINTWISE if _stored(layer) else Space.WHOLE


def _batch_norm_affine(layer: Layer, read: Read, channels: int) -> tuple[Wide, Wide]:
    """(x - mean) / sqrt(variance + eps), both divided by the third param; 0 there means 0."""

    if not _stored(layer):
        raise SurgeryError("use_global_stats: false: its statistics are each batch's own")
    mean, variance, stored = read(0), read(1), float(read(2)[0])
    scale = 0.0 if stored == 0 else 1 / stored
    eps = layer.param("batch_norm_param").number("eps", 1e-5)
    factor = normalizing(variance * scale, eps)
    return factor, -mean * scale * factor


def normalizing(variance: Wide, eps: float) -> Wide:
    """1 / sqrt(variance + eps). Raises SurgeryError where that is not a number."""
    import numpy as np

    with np.errstate(all="ignore"):  # looked at below; Caffe itself would go on with inf or nan
        factor: Wide = 1 / np.sqrt(variance + eps)
    if not np.isfinite(factor).all():
        channel = int(np.flatnonzero(~np.isfinite(factor))[0])
        raise SurgeryError(f"variance + eps of channel {channel} is not above 0")
    return factor


def _scale(layer: Layer, bottoms: list[Shape]) -> Result:
    message = layer.param("scale_param")
    params = _operand(layer, "scale_param", bottoms)
    if message.boolean("bias_term", False):
        # scale_layer.cpp: the bias is shaped as the factor, whichever brings that.
        params.append(params[0] if params else bottoms[1])
    return [bottoms[0]], params


def _bias(layer: Layer, bottoms: list[Shape]) -> Result:
    return [bottoms[0]], _operand(layer, "bias_param", bottoms)


def _operand(layer: Layer, field: str, bottoms: list[Shape]) -> list[Shape]:
    """The shape of the param that Scale multiplies by and Bias adds, unless a bottom brings it."""
    message = layer.param(field)
    if len(bottoms) > 1:
        # A scalar goes with every number, whatever the axis says (scale_layer.cpp, Reshape).
        axis = axis_of(layer, message, bottoms[0], 1) if bottoms[1] else 0
        own = bottoms[0][axis : axis + len(bottoms[1])]
        if own != bottoms[1]:
            what = f"from axis {axis} on its first bottom is {shape_text(own)}"
            raise layer.error(f"{what}, its second {shape_text(bottoms[1])}; expected the same")
        return []
    axis = axis_of(layer, message, bottoms[0], 1)
    axes = message.integer("num_axes", 1, -1)
    end = len(bottoms[0]) if axes == -1 else axis + axes
    if end > len(bottoms[0]):
        raise layer.error(f"num_axes {axes} from axis {axis} of {counted(len(bottoms[0]), 'axis')}")
    return [bottoms[0][axis:end]]


def _scale_params(layer: Layer) -> KnownParams:
    shift = (_SHIFT,) if layer.param("scale_param").boolean("bias_term", False) else ()
    return ((_SCALE,) if len(layer.bottoms) == 1 else ()) + shift


def _bias_params(layer: Layer) -> KnownParams:
    return (_BIAS,) if len(layer.bottoms) == 1 else ()


def _along_or_gated(layer: Layer) -> Space:
    return Space.POINTWISE if len(layer.bottoms) < 2 else Space.JOINING


def _scale_affine(layer: Layer, read: Read, channels: int) -> tuple[Wide, Wide]:
    import numpy as np

    _one_axis(layer, "scale_param")
    shifted = layer.param("scale_param").boolean("bias_term", False)
    return read(0), read(1) if shifted else np.zeros(channels)


def _bias_affine(layer: Layer, read: Read, channels: int) -> tuple[Wide, Wide]:
    import numpy as np

    _one_axis(layer, "bias_param")
    return np.ones(channels), read(0)


def _one_axis(layer: Layer, field: str) -> None:
    """An axis from the end is the caller's to look at: it has the bottom's axes."""
    axes = layer.param(field).integer("num_axes", 1, -1)
    axis = layer.param(field).integer("axis", 1, -(2**31))
    if axes != 1 or (axis != 1 and axis >= 0):
        raise SurgeryError(f"axis {axis}, num_axes {axes}; only axis 1 alone can be folded")


def _mvn(layer: Layer, bottoms: list[Shape]) -> Result:
    (shape,) = bottoms[:1]
    if len(shape) > 4:
        raise layer.error(f"its bottom has {counted(len(shape), 'axis')}; MVN takes at most 4")
    # mvn_layer.cpp reshapes by num(), channels(), height() and width(): to four axes always.
    return [(*shape, *[1] * (4 - len(shape)))], []


def _mvn_channels(layer: Layer) -> Channels:
    across = layer.param("mvn_param").boolean("across_channels", False)
    return Channels.MIXING if across else Channels.ALIKE


def _normalize(layer: Layer, bottoms: list[Shape]) -> Result:
    channels = bottoms[0][1]
    shared = layer.param("norm_param").boolean("channel_shared", True)
    return [bottoms[0]], [() if shared else (channels,)]


def _normalize_space(layer: Layer) -> Space:
    across = layer.param("norm_param").boolean("across_spatial", True)
    return Space.WHOLE if across else Space.POINTWISE


def _normalize_field(seen: Seen, layer: Layer) -> ReceptiveField | None:
    across = layer.param("norm_param").boolean("across_spatial", True)
    return kept_whole_field(seen, layer) if across else first_field(seen, layer)


def _batch_norm_field(seen: Seen, layer: Layer) -> ReceptiveField | None:
    """In training the statistics are those of the batch."""
    stored = layer.param("batch_norm_param").boolean("use_global_stats", not seen.training)
    return first_field(seen, layer) if stored else kept_whole_field(seen, layer)


BATCH_NORM = LayerType(
    name="BatchNorm",
    aliases=(),
    origin="Caffe 1.0",
    message="batch_norm_param",
    fields=(),
    shapes=_batch_norm,
    bottoms=(1, 1),
    tops=(1, 1),
    roles=(Role.VALUE,),
    in_place=InPlace.ALLOWED,
    space=_batch_norm_space,
    window=None,
    field=_batch_norm_field,
    edges=no_edges,
    channels=Channels.BY_CHANNEL,
    values=Values.CHANGED,
    signs=Signs.ANY,
    source=InputSource.NONE,
    effects=NO_EFFECTS,
    params=_STATISTICS,
    layout=None,
    affine=_batch_norm_affine,
    multiply_adds=free,
    training=False,
    runs=True,
)

SCALE = LayerType(
    name="Scale",
    aliases=(),
    origin="Caffe 1.0",
    message="scale_param",
    fields=(),
    shapes=_scale,
    bottoms=(1, 2),
    tops=(1, 1),
    roles=(Role.VALUE, Role.GATE),
    in_place=InPlace.ALLOWED,
    space=_along_or_gated,
    window=None,
    field=gated_field,
    edges=no_edges,
    channels=Channels.ALONG,
    values=Values.CHANGED,
    signs=Signs.ANY,
    source=InputSource.NONE,
    effects=NO_EFFECTS,
    params=_scale_params,
    layout=None,
    affine=_scale_affine,
    multiply_adds=free,
    training=False,
    runs=True,
)

_BIAS_TYPE = LayerType(
    name="Bias",
    aliases=(),
    origin="Caffe 1.0",
    message="bias_param",
    fields=(),
    shapes=_bias,
    bottoms=(1, 2),
    tops=(1, 1),
    roles=(Role.VALUE, Role.GATE),
    in_place=InPlace.ALLOWED,
    space=_along_or_gated,
    window=None,
    field=gated_field,
    edges=no_edges,
    channels=Channels.ALONG,
    values=Values.CHANGED,
    signs=Signs.ANY,
    source=InputSource.NONE,
    effects=NO_EFFECTS,
    params=_bias_params,
    layout=None,
    affine=_bias_affine,
    multiply_adds=free,
    training=False,
    runs=True,
)

_MVN = LayerType(
    name="MVN",
    aliases=(),
    origin="Caffe 1.0",
    message="mvn_param",
    fields=(),
    shapes=_mvn,
    bottoms=(1, 1),
    tops=(1, 1),
    roles=(Role.VALUE,),
    in_place=InPlace.ALLOWED,
    space=Space.WHOLE,
    window=None,
    field=kept_whole_field,
    edges=no_edges,
    channels=_mvn_channels,
    values=Values.CHANGED,
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

SOFTMAX = LayerType(
    name="Softmax",
    aliases=(),
    origin="Caffe 1.0",
    message="softmax_param",
    fields=(),
    shapes=same,
    bottoms=(1, 1),
    tops=(1, 1),
    roles=(Role.VALUE,),
    in_place=InPlace.ALLOWED,
    space=Space.POINTWISE,
    window=None,
    field=along_field("softmax_param"),
    edges=no_edges,
    channels=Channels.ALONG,
    values=Values.HIDDEN,
    signs=Signs.NEVER,
    source=InputSource.NONE,
    effects=NO_EFFECTS,
    params=NO_PARAMS,
    layout=None,
    affine=None,
    multiply_adds=free,
    training=False,
    runs=True,
)

NORMALIZE = LayerType(
    name="Normalize",
    aliases=(),
    origin="SSD",
    message="norm_param",
    fields=("across_spatial", "scale_filler", "channel_shared", "eps"),
    shapes=_normalize,
    bottoms=(1, 1),
    tops=(1, 1),
    roles=(Role.VALUE,),
    in_place=InPlace.UNKNOWN,
    space=_normalize_space,
    window=None,
    field=_normalize_field,
    edges=no_edges,
    channels=Channels.MIXING,
    values=Values.CHANGED,
    signs=Signs.ANY,
    source=InputSource.NONE,
    effects=NO_EFFECTS,
    params=(ParamSpec(ParamRole.SCALE, "scale_filler", 1.0, linear=False),),
    layout=None,
    affine=None,
    multiply_adds=free,
    training=False,
    runs=True,
)

TYPES = (BATCH_NORM, _BIAS_TYPE, _MVN, NORMALIZE, SCALE, SOFTMAX)
