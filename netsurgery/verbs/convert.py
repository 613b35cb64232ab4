"""A classifier made fully convolutional: the plan, and the files it leads to.

Outputs appear whole or not at all, inputs are never changed, and an output that is there already
is an error without `force`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from netsurgery.engines.contract import EngineOptions
from netsurgery.formats.settings import as_settings
from netsurgery.net.net import NetDefinition, Shape
from netsurgery.net.state import TEST, NetState
from netsurgery.open_net.arguments import AnyPath, as_path
from netsurgery.open_net.net import Net
from netsurgery.surgery.convolution import plan as planning
from netsurgery.verbs.conversion import Conversion, output_paths, write_conversion

if TYPE_CHECKING:
    from netsurgery.formats.settings import Settings
    from netsurgery.surgery.convolution.plan import ConvolutionPlan

__all__ = ["convert", "plan_convolution"]


def plan_convolution(
    net: Net | AnyPath,
    *,
    suffix: str = "-conv",
    layers: str | Sequence[str] | None = None,
    input_size: tuple[int, int] | None = None,
    map_size: tuple[int, int] | None = None,
    input_shapes: Mapping[str, Shape] | None = None,
    keep_global_pooling: bool = False,
    skip_refused: bool = False,
    state: NetState = TEST,
) -> ConvolutionPlan:
    """What making a classifier fully convolutional would do: each InnerProduct a Convolution.

    net: an open net or a prototxt (of V0 too, which is upgraded first). suffix: put behind the
    names of the layers converted. layers: the InnerProduct layer or layers to convert, None for
    all. input_size: (height, width) of the new input in pixels; None to take what gives a map of
    `map_size` (rows, columns), 8 x 8 by default: old size + total stride x (cells - 1).
    input_shapes: blob -> shape, for inputs whose shape the prototxt does not tell.
    keep_global_pooling: leave global Pooling layers alone; the map then has one cell.
    skip_refused: leave layers that cannot be converted, instead of refusing all. state: in which a
    prototxt is read; an open net is in its own.

    The plan tells the new `text`, the `moves` of params with their shapes, the `inputs` that grow
    and the `maps` that come out, and `notes`. Raises SurgeryError naming each layer that stands in
    the way and why, PrototxtError, NetError.
    """
    return planning.plan_convolution(
        net.view if isinstance(net, Net) else NetDefinition.read(net, state),
        suffix=suffix,
        layers=[layers] if isinstance(layers, str) else layers,
        input_size=input_size,
        map_size=map_size,
        input_shapes=input_shapes,
        keep_global_pooling=keep_global_pooling,
        skip_refused=skip_refused,
    )


def convert(
    plan: ConvolutionPlan | AnyPath,
    weights: AnyPath,
    folder: AnyPath | None = None,
    *,
    prototxt_out: AnyPath | None = None,
    weights_out: AnyPath | None = None,
    settings: Settings | AnyPath | None = None,
    engine: EngineOptions | None = None,
    verify: bool = False,
    force: bool = False,
) -> Conversion:
    """Write a classifier made fully convolutional: prototxt, weights and netsurgery.toml.

    plan: from `plan_convolution`, or a prototxt to be planned as it does by default. folder: where
    ``DEPLOY_full_conv.prototxt`` and ``MODEL_full_conv.caffemodel`` go (default: the current one),
    unless prototxt_out and weights_out name them. settings: the net's preprocessing and labels,
    which the new netsurgery.toml remembers. engine: which one moves the params (the result is the
    same) and verifies. verify: run both nets on the same input before anything appears.

    The result's `paths` are the files, `engine` is what did it. Raises SurgeryError where the net
    cannot be converted, where net and weights do not fit or the outputs differ, OutputError,
    EngineError, FormatError; nothing is written then.
    """
    if isinstance(plan, (str, Path)):
        plan = plan_convolution(plan)
    paths = output_paths(
        Path(plan.net.prototxt.path),
        Path(weights),
        folder=as_path(folder),
        prototxt_out=as_path(prototxt_out),
        weights_out=as_path(weights_out),
    )
    return write_conversion(
        plan,
        Path(weights),
        paths,
        settings=as_settings(settings),
        engine=engine or EngineOptions(),
        force=force,
        verify=verify,
    )
