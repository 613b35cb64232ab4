"""Types that carry state from step to step: LSTM, RNN."""

from __future__ import annotations

from math import prod

from netsurgery.io.shape_text import shape_text
from netsurgery.io.wording import counted
from netsurgery.net.layer import Layer, Shape
from netsurgery.net.types.elementwise import no_edges
from netsurgery.net.types.fields import free, num_output
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
    ParamSpecs,
    Result,
    Role,
    Signs,
    Space,
    Values,
)

__all__ = ["TYPES"]


def _exposed(layer: Layer, states: int) -> int:
    """How many of its states are bottoms and tops."""
    return states if layer.param("recurrent_param").boolean("expose_hidden", False) else 0


def _has_static(layer: Layer, states: int) -> bool:
    """Whether a third bottom is weighed once and goes into every step."""
    # The 2 are x and the marks of where sequences go on; the exposed states come last.
    return len(layer.bottoms) > 2 + _exposed(layer, states)


def _lstm(layer: Layer, bottoms: list[Shape]) -> Result:
    return _recurrent(layer, bottoms, gates=4, states=2, output=False)


def _rnn(layer: Layer, bottoms: list[Shape]) -> Result:
    return _recurrent(layer, bottoms, gates=1, states=1, output=True)


def _recurrent(
    layer: Layer, bottoms: list[Shape], *, gates: int, states: int, output: bool
) -> Result:
    outputs = num_output(layer, layer.param("recurrent_param"))
    steps, streams = bottoms[0][:2]
    static = bottoms[2:3] if _has_static(layer, states) else []
    # Of the last step, for the next call to begin with; an LSTM's are h and c.
    hidden = (1, streams, outputs)
    if bottoms[1] != (steps, streams):
        marks, expected = shape_text(bottoms[1]), shape_text((steps, streams))
        raise layer.error(f"its second bottom is {marks}; expected {expected}, steps x streams")
    for shape in static:
        if shape[:1] != (streams,):
            bottom = f"a static bottom of {shape_text(shape)}"
            raise layer.error(f"{bottom} for {counted(streams, 'stream')}")
    for shape in bottoms[2 + len(static) :]:
        if shape != hidden:
            raise layer.error(f"a state of {shape_text(shape)}; expected {shape_text(hidden)}")
    # recurrent_layer.cpp unrolls itself to a net and takes that net's params, in the order of its
    # layers: of x, of the static input, of the state, and an RNN's of its output.
    params: list[Shape] = [(gates * outputs, prod(bottoms[0][2:])), (gates * outputs,)]
    params += [(gates * outputs, prod(shape[1:])) for shape in static]
    params.append((gates * outputs, outputs))
    if output:
        params += [(outputs, outputs), (outputs,)]
    return [(steps, streams, outputs), *[hidden] * (len(layer.tops) - 1)], params


def _lstm_unit(layer: Layer, bottoms: list[Shape]) -> Result:
    return [bottoms[0], bottoms[0]], []


_WEIGHT = ParamSpec(ParamRole.WEIGHT, "weight_filler", 0.0, linear=False)
_BIAS = ParamSpec(ParamRole.BIAS, "bias_filler", 0.0, linear=False)


def _lstm_params(layer: Layer) -> KnownParams:
    static = (_WEIGHT,) if _has_static(layer, 2) else ()
    return (_WEIGHT, _BIAS, *static, _WEIGHT)


def _rnn_params(layer: Layer) -> KnownParams:
    static = (_WEIGHT,) if _has_static(layer, 1) else ()
    return (_WEIGHT, _BIAS, *static, _WEIGHT, _WEIGHT, _BIAS)


def _lstm_bottoms(layer: Layer) -> Count:
    states = _exposed(layer, 2)
    return 2 + states, 3 + states


def _rnn_bottoms(layer: Layer) -> Count:
    states = _exposed(layer, 1)
    return 2 + states, 3 + states


def _lstm_tops(layer: Layer) -> Count:
    return 1 + _exposed(layer, 2), 1 + _exposed(layer, 2)


def _rnn_tops(layer: Layer) -> Count:
    return 1 + _exposed(layer, 1), 1 + _exposed(layer, 1)


def _lstm_cost(layer: Layer, blobs: ParamSpecs) -> int:
    return _cost(blobs, static=_has_static(layer, 2))


def _rnn_cost(layer: Layer, blobs: ParamSpecs) -> int:
    return _cost(blobs, static=_has_static(layer, 1))


def _cost(blobs: ParamSpecs, *, static: bool) -> int:
    """Every weight once a step and stream; a static input's once a stream."""
    steps, streams = blobs.bottoms[0][:2]
    once = prod(blobs.params[2]) if static else 0
    # Biases are those of one axis.
    weights = sum(prod(shape) for shape in blobs.params if len(shape) == 2) - once
    return streams * (steps * weights + once)


_LSTM = LayerType(
    name="LSTM",
    aliases=(),
    origin="Caffe 1.0",
    message="recurrent_param",
    fields=(),
    shapes=_lstm,
    bottoms=_lstm_bottoms,
    tops=_lstm_tops,
    roles=(Role.VALUE, Role.INDEX, Role.VALUE),
    in_place=InPlace.ALLOWED,
    space=Space.MIXING,
    window=None,
    field=None,
    edges=no_edges,
    channels=Channels.MIXING,
    values=Values.CHANGED,
    signs=Signs.ANY,
    source=InputSource.NONE,
    effects=NO_EFFECTS,
    params=_lstm_params,
    layout=None,
    affine=None,
    multiply_adds=_lstm_cost,
    training=False,
    runs=True,
)

_RNN = LayerType(
    name="RNN",
    aliases=(),
    origin="Caffe 1.0",
    message="recurrent_param",
    fields=(),
    shapes=_rnn,
    bottoms=_rnn_bottoms,
    tops=_rnn_tops,
    roles=(Role.VALUE, Role.INDEX, Role.VALUE),
    in_place=InPlace.ALLOWED,
    space=Space.MIXING,
    window=None,
    field=None,
    edges=no_edges,
    channels=Channels.MIXING,
    values=Values.CHANGED,
    signs=Signs.ANY,
    source=InputSource.NONE,
    effects=NO_EFFECTS,
    params=_rnn_params,
    layout=None,
    affine=None,
    multiply_adds=_rnn_cost,
    training=False,
    runs=True,
)

_LSTM_UNIT = LayerType(
    name="LSTMUnit",
    aliases=(),
    origin="Caffe 1.0",
    message=None,
    fields=(),
    shapes=_lstm_unit,
    bottoms=(3, 3),
    tops=(2, 2),
    roles=(Role.VALUE, Role.VALUE, Role.INDEX),
    in_place=InPlace.ALLOWED,
    space=Space.MIXING,
    window=None,
    field=None,
    edges=no_edges,
    channels=Channels.MIXING,
    values=Values.CHANGED,
    signs=Signs.ANY,
    source=InputSource.NONE,
    effects=NO_EFFECTS,
    params=NO_PARAMS,
    layout=None,
    affine=None,
    multiply_adds=free,
    training=False,
    runs=False,
)

TYPES = (_LSTM, _LSTM_UNIT, _RNN)
