"""LSTM and RNN, unrolled over their steps as Caffe itself does.

Caffe keeps the state at the end of a forward for the next one; `cont` says, for every step and
stream, whether the state before it counts (1) or a new sequence begins (0). A graph has no memory,
so the first row of `cont` must be 0, which is checked on the values it has, unless the state
before is given as bottoms (expose_hidden).
"""

from __future__ import annotations

from math import prod

from netsurgery.export.layer_context import Converter, LayerContext

__all__ = ["EMITTERS"]


def _recurrent(site: LayerContext) -> list[str]:
    message = site.layer.param("recurrent_param")
    outputs, exposed = message.integer("num_output", 0, 1), message.boolean("expose_hidden", False)
    steps, streams = site.shape[:2]
    states = 2 if site.layer.type == "LSTM" else 1
    given = site.bottoms[-states:] if exposed else []
    static = len(site.bottoms) - len(given) > 2
    if not given:
        _watch(site, steps, streams)
    inputs = _from_inputs(site, static)
    conts = _by_step(site, site.bottoms[1], (steps, streams, 1))
    flat = [site.reshape(state, (streams, outputs)) for state in given]
    cell = _lstm if site.layer.type == "LSTM" else _rnn
    made, last = cell(site, inputs, conts, flat, 3 if static else 2)
    tops = [site.op("Concat", *[site.reshape(h, (1, streams, outputs)) for h in made], axis=0)]
    return tops + ([site.reshape(h, (1, streams, outputs)) for h in last] if exposed else [])


def _watch(site: LayerContext, steps: int, streams: int) -> None:
    """Have the first row of cont looked at whenever the graph is run."""
    rows = site.reshape(site.bottoms[1], (steps, streams))
    first = site.op("Slice", rows, site.ints([0]), site.ints([1]), site.ints([0]))
    site.graph.starts[first] = (site.layer.name, (1, streams))


def _by_step(site: LayerContext, value: str, shape: tuple[int, ...]) -> list[str]:
    """`value` seen as of `shape`, steps first, cut into its steps."""
    whole = site.reshape(value, shape)
    if shape[0] == 1:
        return [site.reshape(whole, shape[1:])]
    parts = site.several("Split", [whole], shape[0], axis=0, num_outputs=shape[0])
    return [site.reshape(part, shape[1:]) for part in parts]


def _from_inputs(site: LayerContext, static: bool) -> list[str]:
    """What each step's input (and the static one, the same for all steps) adds to the gates."""
    steps, streams = site.shape[:2]
    gates, width = site.params[0].shape
    rows = site.reshape(site.bottom, (steps * streams, width))
    made = site.op("Gemm", rows, site.param(0), site.param(1), transB=1)
    parts = _by_step(site, made, (steps, streams, gates))
    if not static:
        return parts
    fixed = site.reshape(site.bottoms[2], (streams, prod(site.shapes[2][1:])))
    added = site.op("Gemm", fixed, site.param(2), transB=1)
    return [site.op("Add", part, added) for part in parts]


def _lstm(
    site: LayerContext, inputs: list[str], conts: list[str], given: list[str], first: int
) -> tuple[list[str], list[str]]:
    """Gates input, forget, output and candidate, in Caffe's order of rows."""
    weight = site.param(first)
    h, c = given or ("", "")
    made = []
    for entering, cont in zip(inputs, conts, strict=True):
        gates = entering
        if h:
            gates = site.op("Gemm", site.op("Mul", h, cont), weight, entering, transB=1)
        i, f, o, g = site.several("Split", [gates], 4, axis=1, num_outputs=4)
        i, f, o = (site.op("Sigmoid", gate) for gate in (i, f, o))
        new = site.op("Mul", i, site.op("Tanh", g))
        if c:
            kept = site.op("Mul", site.op("Mul", f, c), cont)
            new = site.op("Add", kept, new)
        c = new
        h = site.op("Mul", o, site.op("Tanh", c))
        made.append(h)
    return made, [h, c]


def _rnn(
    site: LayerContext, inputs: list[str], conts: list[str], given: list[str], first: int
) -> tuple[list[str], list[str]]:
    """h = tanh(W h' + inputs), output = tanh(V h + b)."""
    weight, out, bias = (site.param(first + i) for i in range(3))
    h = given[0] if given else ""
    made = []
    for entering, cont in zip(inputs, conts, strict=True):
        gates = entering
        if h:
            gates = site.op("Gemm", site.op("Mul", h, cont), weight, entering, transB=1)
        h = site.op("Tanh", gates)
        made.append(site.op("Tanh", site.op("Gemm", h, out, bias, transB=1)))
    return made, [h]


EMITTERS: dict[str, Converter] = {"LSTM": _recurrent, "RNN": _recurrent}
