"""A caffemodel from a prototxt's own fillers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from netsurgery.formats.caffemodel_new import Chunks, NewBlob, NewLayer
from netsurgery.formats.weights import write_weights
from netsurgery.io.files import Outputs
from netsurgery.net.net import Layer, NetDefinition, Shape
from netsurgery.net.state import TEST, NetState
from netsurgery.open_net.arguments import AnyPath
from netsurgery.surgery.fillers import fill
from netsurgery.surgery.initial_params import InitialParam, InitialPlan, plan_initial_params

__all__ = ["init", "initialize"]


def init(
    prototxt: AnyPath,
    weights_out: AnyPath,
    *,
    seed: int = 0,
    input_shapes: Mapping[str, Shape] | None = None,
    as_caffe: bool = False,
    state: NetState = TEST,
    force: bool = False,
    dry_run: bool = False,
) -> InitialPlan:
    """Write weights as the prototxt's own fillers give them; returns which filled what.

    weights_out: HDF5 if its name ends in .h5, else a caffemodel. seed: from 0; the same one gives
    the same numbers on every machine. input_shapes: blob -> shape, (N, C, H, W) for pictures, for
    inputs and data layers' tops whose shape the prototxt does not tell. as_caffe: begin the
    statistics of a BatchNorm with Caffe's zeros, not with ones, with which the net can be run.
    state: phase, stages and level to read the net in. Raises SurgeryError naming each layer whose
    params cannot be filled, PrototxtError, NetError (for a shape of a blob that takes none, too),
    OutputError.
    """
    plan = plan_initial_params(NetDefinition.read(prototxt, state), input_shapes, as_caffe=as_caffe)
    if not dry_run:
        initialize(plan, Path(weights_out), seed=seed, force=force)
    return plan


def initialize(
    plan: InitialPlan,
    weights: Path,
    *,
    seed: int,
    force: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Write the params that `plan` tells to `weights`, HDF5 if it ends in .h5; returns its bytes.

    weights: "-" is standard output. seed: the same one gives the same file. progress: called with
    the number of bytes written. A file that holds these params already is left as it is; another
    is replaced by `force` alone. Raises OutputError; nothing is written then.
    """
    # A second layer of a name, which has no params, would be loaded into the first too.
    first = {layer.name: layer for layer in reversed(plan.net.layers)}
    kept = [layer for layer in plan.net.layers if first[layer.name] is layer]
    params: dict[str, list[InitialParam]] = {}
    for param in plan.params:
        params.setdefault(param.layer, []).append(param)
    layers = [_layer(layer, params.get(layer.name, ()), seed) for layer in kept]
    inputs = [plan.net.prototxt.path]
    with Outputs([weights], inputs=inputs, force=force, stdout=True, repeatable=True) as outputs:
        return write_weights(outputs[weights], layers, net_name=plan.net.name, progress=progress)


def _layer(layer: Layer, params: Sequence[InitialParam], seed: int) -> NewLayer:
    blobs = tuple(NewBlob(param.shape, _chunks(param, seed)) for param in params)
    return NewLayer(layer.name, layer.type, layer.bottoms, layer.tops, blobs)


def _chunks(param: InitialParam, seed: int) -> Chunks:
    def chunks() -> Iterator[memoryview]:
        for piece in fill(param.filler, param.shape, seed, param.key):
            yield piece.astype("<f4", copy=False).data.cast("B")

    return chunks
