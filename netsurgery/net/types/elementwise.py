"""Types that look at one number at a time, and those that join bottoms number by number."""

from __future__ import annotations

from collections.abc import Callable

from netsurgery.io.wording import counted
from netsurgery.net import geometry
from netsurgery.net.geometry import ReceptiveField
from netsurgery.net.layer import Layer, Shape
from netsurgery.net.types.fields import alike, free, same
from netsurgery.net.types.record import (
    MANY,
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
    ShapeRule,
    Signs,
    Space,
    Values,
)
from netsurgery.net.types.seen import Seen, first_field, joining_field

__all__ = ["DROPOUT", "ELTWISE", "SCALING_DROPOUT", "TYPES", "adds", "no_edges", "passed_on"]


def _elementwise(
    name: str,
    message: str | None,
    values: Values,
    *,
    aliases: tuple[str, ...] = (),
    origin: str = "Caffe 1.0",
    fields: tuple[str, ...] = (),
    shapes: ShapeRule = same,
    in_place: InPlace = InPlace.ALLOWED,
    channels: Channels = Channels.ALIKE,
    params: KnownParams = NO_PARAMS,
    signs: Signs | Callable[[Layer], Signs] = Signs.ANY,
) -> LayerType:
    return LayerType(
        name=name,
        aliases=aliases,
        origin=origin,
        message=message,
        fields=fields,
        shapes=shapes,
        bottoms=(1, 1),
        tops=(1, 1),
        roles=(Role.VALUE,),
        in_place=in_place,
        space=Space.POINTWISE,
        window=None,
        field=first_field,
        edges=no_edges,
        channels=channels,
        values=values,
        signs=signs,
        source=InputSource.NONE,
        effects=NO_EFFECTS,
        params=params,
        layout=None,
        affine=None,
        multiply_adds=free,
        training=False,
        runs=True,
    )


def no_edges(layer: Layer, size: Shape) -> str:
    """Edge rule: an edge is treated as any other place."""
    return ""


def _prelu(layer: Layer, bottoms: list[Shape]) -> Result:
    shared = layer.param("prelu_param").boolean("channel_shared", False)
    # prelu_layer.cpp: the shared slope is a blob without axes, not one of one number.
    return [bottoms[0]], [() if shared else (bottoms[0][1],)]


def _relu6(layer: Layer, bottoms: list[Shape]) -> Result:
    for field in layer.param("relu_param").fields:
        raise layer.error(f"relu_param has a field {field.name}; expected none")
    return [bottoms[0]], []


def _relu_signs(layer: Layer) -> Signs:
    """With a negative slope it is no longer cut off at 0."""
    leaks = layer.param("relu_param").number("negative_slope", 0.0) != 0
    return Signs.ANY if leaks else Signs.NEVER


def passed_on(layer: Layer) -> float:
    """What a Dropout multiplies its numbers by in TEST: 1 unless ``scale_train: false``.

    Of these forks 1 - dropout_ratio: in TRAIN the numbers that stay are left as they are, where
    Caffe 1.0 divides them by as much. Raises PrototxtError for a ratio that is no probability.
    """
    message = layer.param("dropout_param")
    if message.boolean("scale_train", True):
        return 1.0
    ratio = message.number("dropout_ratio", 0.5)
    if not 0 <= ratio < 1:
        raise layer.error(f"dropout_ratio {ratio:g}; expected at least 0 and below 1")
    return 1 - ratio


def _dropout(layer: Layer, bottoms: list[Shape]) -> Result:
    passed_on(layer)
    return same(layer, bottoms)


def _eltwise(layer: Layer, bottoms: list[Shape]) -> Result:
    shape, message = alike(layer, bottoms), layer.param("eltwise_param")
    factors = len(message.scalars("coeff"))
    if factors and factors != len(bottoms):
        raise layer.error(f"{factors} coeff for {counted(len(bottoms), 'bottom')}")
    if factors and message.word("operation", "SUM") in ("PROD", "0"):
        raise layer.error("coeff is for SUM only")
    return [shape], []


def _eltwise_signs(layer: Layer) -> Signs:
    """A sum, a product, the largest of numbers that are not negative is not either."""
    coefficients = layer.param("eltwise_param").scalars("coeff")
    return Signs.KEPT if all(c.as_float() >= 0 for c in coefficients) else Signs.ANY


def _eltwise_in_place(layer: Layer) -> InPlace:
    """A product reads all of an element before it writes it, if what it writes comes early."""
    # eltwise_layer.cpp: SUM and MAX fill the top before they read a bottom; PROD begins with the
    # product of bottoms 0 and 1, and needs the others as they were.
    product = layer.param("eltwise_param").word("operation", "SUM") in ("PROD", "0")
    early = layer.tops and layer.tops[0] not in layer.bottoms[2:]
    return InPlace.ALLOWED if product and early else InPlace.LOSES


def adds(layer: Layer) -> bool:
    """Whether an Eltwise adds its bottoms, each with a factor or without."""
    return layer.param("eltwise_param").word("operation", "SUM") in ("SUM", "1")


def _axpy(layer: Layer, bottoms: list[Shape]) -> Result:
    if len(bottoms) != 3:
        raise layer.error(
            f"{counted(len(bottoms), 'bottom')}; expected a factor for each channel, x and y"
        )
    factor, x, y = bottoms
    if x != y or factor[:2] != x[:2] or any(dim != 1 for dim in factor[2:]):
        raise layer.error(f"bottoms of {factor}, {x} and {y}; expected N x C, and two alike")
    return [x], []


def _axpy_field(seen: Seen, layer: Layer) -> ReceptiveField | None:
    """A factor for each channel, and two maps."""
    values, gate = seen.values(layer.bottoms[1:]), layer.bottoms[0]
    if values is None or not seen.depends(gate):
        return values
    return geometry.gated(values, seen.known.get(gate))


#: 0.25 is prelu_layer.cpp's own, where the text has no filler.
_SLOPE = (ParamSpec(ParamRole.SLOPE, "filler", 0.25, linear=False),)

DROPOUT = _elementwise(
    "Dropout",
    "dropout_param",
    Values.PASSED,
    fields=("scale_train",),
    shapes=_dropout,
    signs=Signs.KEPT,
)

#: ``scale_train: false``: also of CTPN, Greentea and Synopsys Caffe.
SCALING_DROPOUT = _elementwise(
    "Dropout (R-FCN)",
    "dropout_param",
    Values.CHANGED,
    origin="R-FCN",
    fields=("scale_train",),
    shapes=_dropout,
    signs=Signs.KEPT,
)

ELTWISE = LayerType(
    name="Eltwise",
    aliases=(),
    origin="Caffe 1.0",
    message="eltwise_param",
    fields=(),
    shapes=_eltwise,
    bottoms=(2, MANY),
    tops=(1, 1),
    roles=(Role.VALUE,),
    in_place=_eltwise_in_place,
    space=Space.JOINING,
    window=None,
    field=joining_field,
    edges=no_edges,
    channels=Channels.ALIKE,
    values=Values.CHANGED,
    signs=_eltwise_signs,
    source=InputSource.NONE,
    effects=NO_EFFECTS,
    params=NO_PARAMS,
    layout=None,
    affine=None,
    multiply_adds=free,
    training=False,
    runs=True,
)

_AXPY = LayerType(
    name="Axpy",
    aliases=(),
    origin="SENet",
    message=None,
    fields=(),
    shapes=_axpy,
    bottoms=(3, 3),
    tops=(1, 1),
    roles=(Role.GATE, Role.VALUE, Role.VALUE),
    in_place=InPlace.UNKNOWN,
    space=Space.JOINING,
    window=None,
    field=_axpy_field,
    edges=no_edges,
    channels=Channels.BY_CHANNEL,
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

TYPES = (
    _elementwise("AbsVal", None, Values.HIDDEN, in_place=InPlace.REFUSED, signs=Signs.NEVER),
    _elementwise("BNLL", None, Values.CHANGED, signs=Signs.NEVER),
    _elementwise("Clip", "clip_param", Values.HIDDEN),
    _elementwise("ELU", "elu_param", Values.CHANGED),
    _elementwise("Exp", "exp_param", Values.CHANGED),
    _elementwise(
        "HardSigmoid",
        "hard_sigmoid_param",
        Values.HIDDEN,
        origin="Synopsys Caffe",
        fields=("alpha", "beta"),
    ),
    _elementwise("HardSwish", None, Values.HIDDEN, origin="Synopsys Caffe"),
    _elementwise("Log", "log_param", Values.CHANGED),
    _elementwise("Mish", None, Values.CHANGED, origin="Synopsys Caffe"),
    _elementwise("Power", "power_param", Values.CHANGED),
    _elementwise(
        "PReLU",
        "prelu_param",
        Values.CHANGED,
        shapes=_prelu,
        channels=Channels.BY_CHANNEL,
        params=_SLOPE,
    ),
    _elementwise("ReLU", "relu_param", Values.HIDDEN, signs=_relu_signs),
    _elementwise(
        "ReLU6",
        "relu6_param",
        Values.HIDDEN,
        origin="MobileNet",
        shapes=_relu6,
        signs=Signs.NEVER,
    ),
    _elementwise(
        "SeLU",
        "selu_param",
        Values.CHANGED,
        aliases=("SELU", "SeLu"),
        origin="Synopsys Caffe",
        fields=("lambda", "alpha"),
    ),
    _elementwise("Sigmoid", "sigmoid_param", Values.HIDDEN, signs=Signs.NEVER),
    _elementwise("Softplus", None, Values.CHANGED, origin="Synopsys Caffe"),
    _elementwise("Softsign", None, Values.CHANGED, origin="Synopsys Caffe"),
    _elementwise("Swish", "swish_param", Values.CHANGED),
    _elementwise("TanH", "tanh_param", Values.HIDDEN),
    _elementwise("Threshold", "threshold_param", Values.HIDDEN),
    _AXPY,
    DROPOUT,
    ELTWISE,
    SCALING_DROPOUT,
)
