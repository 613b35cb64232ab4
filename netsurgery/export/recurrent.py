"""LSTM and RNN, unrolled over their steps as Caffe itself does.

Caffe keeps the state at the end of a forward for the next one; `cont` says, for every step and
stream, whether the state before it counts (1) or a new sequence begins (0). A graph has no memory,
so the first row of `cont` must be 0, which is checked on the values it has, unless the state
before is given as bottoms (expose_hidden).
"""

from __future__ import annotations

from math import prod

from netsurgery.export.layer_context import Converter, LayerContext

__all__ = ["CONVERTERS"]


def _recurrent(ctx: LayerContext) -> list[str]:
    message = ctx.layer.param("recurrent_param")
    outputs, exposed = message.integer("num_output", 0, 1), message.boolean("expose_hidden", False)
    steps, streams = ctx.shape[:2]
    states = 2 if ctx.layer.type == "LSTM" else 1
    # Bottoms: the input, cont, the static input if any, then the states.
    initial = ctx.bottoms[-states:] if exposed else []
    static = len(ctx.bottoms) - len(initial) > 2
    if not initial:
        _watch(ctx, steps, streams)
    inputs = _from_inputs(ctx, static)
    conts = _by_step(ctx, ctx.bottoms[1], (steps, streams, 1))
    flat = [ctx.reshape(state, (streams, outputs)) for state in initial]
    cell = _lstm if ctx.layer.type == "LSTM" else _rnn
    steps_out, last = cell(ctx, inputs, conts, flat, 3 if static else 2)
    tops = [ctx.op("Concat", *[ctx.reshape(h, (1, streams, outputs)) for h in steps_out], axis=0)]
    return tops + ([ctx.reshape(h, (1, streams, outputs)) for h in last] if exposed else [])


def _watch(ctx: LayerContext, steps: int, streams: int) -> None:
    """Have the first row of cont looked at whenever the graph is run."""
    rows = ctx.reshape(ctx.bottoms[1], (steps, streams))
    first = ctx.op("Slice", rows, ctx.ints([0]), ctx.ints([1]), ctx.ints([0]))
    ctx.graph.starts[first] = (ctx.layer.name, (1, streams))


def _by_step(ctx: LayerContext, value: str, shape: tuple[int, ...]) -> list[str]:
    """`value` seen as of `shape`, steps first, cut into its steps."""
    whole = ctx.reshape(value, shape)
    if shape[0] == 1:
        return [ctx.reshape(whole, shape[1:])]
    parts = ctx.several("Split", [whole], shape[0], axis=0, num_outputs=shape[0])
    return [ctx.reshape(part, shape[1:]) for part in parts]


def _from_inputs(ctx: LayerContext, static: bool) -> list[str]:
    """What each step's input (and the static one, the same for all steps) adds to the gates."""
    steps, streams = ctx.shape[:2]
    gates, width = ctx.params[0].shape
    rows = ctx.reshape(ctx.bottom, (steps * streams, width))
    product = ctx.op("Gemm", rows, ctx.param(0), ctx.param(1), transB=1)
    parts = _by_step(ctx, product, (steps, streams, gates))
    if not static:
        return parts
    fixed = ctx.reshape(ctx.bottoms[2], (streams, prod(ctx.shapes[2][1:])))
    added = ctx.op("Gemm", fixed, ctx.param(2), transB=1)
    return [ctx.op("Add", part, added) for part in parts]


def _lstm(
    ctx: LayerContext, inputs: list[str], conts: list[str], initial: list[str], first: int
) -> tuple[list[str], list[str]]:
    """Gates input, forget, output and candidate, in Caffe's order of rows."""
    weight = ctx.param(first)
    # Without a state the first step's terms are 0 (its cont has to be), and are left out.
    h, c = initial or ("", "")
    hidden = []
    for entering, cont in zip(inputs, conts, strict=True):
        gates = entering
        if h:
            gates = ctx.op("Gemm", ctx.op("Mul", h, cont), weight, entering, transB=1)
        i, f, o, g = ctx.several("Split", [gates], 4, axis=1, num_outputs=4)
        i, f, o = (ctx.op("Sigmoid", gate) for gate in (i, f, o))
        new = ctx.op("Mul", i, ctx.op("Tanh", g))
        if c:
            remembered = ctx.op("Mul", ctx.op("Mul", f, c), cont)
            new = ctx.op("Add", remembered, new)
        c = new
        h = ctx.op("Mul", o, ctx.op("Tanh", c))
        hidden.append(h)
    return hidden, [h, c]


def _rnn(
    ctx: LayerContext, inputs: list[str], conts: list[str], initial: list[str], first: int
) -> tuple[list[str], list[str]]:
    """h = tanh(W h' + inputs), output = tanh(V h + b)."""
    weight, out, bias = (ctx.param(first + i) for i in range(3))
    h = initial[0] if initial else ""
    outputs = []
    for entering, cont in zip(inputs, conts, strict=True):
        gates = entering
        if h:
            gates = ctx.op("Gemm", ctx.op("Mul", h, cont), weight, entering, transB=1)
        h = ctx.op("Tanh", gates)
        outputs.append(ctx.op("Tanh", ctx.op("Gemm", h, out, bias, transB=1)))
    return outputs, [h]


CONVERTERS: dict[str, Converter] = {"LSTM": _recurrent, "RNN": _recurrent}
