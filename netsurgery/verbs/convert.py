"""``netsurgery.convert``: a classifier made fully convolutional.

Outputs appear whole or not at all, inputs are never changed, and an output that exists is an error
without `force`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING

from netsurgery.engines.contract import AnyEngine, as_engine_options
from netsurgery.errors import SurgeryError
from netsurgery.formats.settings import Settings, as_settings
from netsurgery.io.argument_types import as_names, checks_arguments
from netsurgery.io.size import AnySize, as_size
from netsurgery.io.wording import argument
from netsurgery.net.net import Shape
from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.net.state import TEST, NetState
from netsurgery.open_net.arguments import AnyPath
from netsurgery.open_net.models import open_net_and_weights
from netsurgery.surgery.convolution.plan import plan_convolution
from netsurgery.surgery.convolution.size import TargetSize
from netsurgery.surgery.convolution.weights import WeightsMatch, match_weights
from netsurgery.verbs.convert_result import Conversion
from netsurgery.verbs.convert_settings import check_settings

if TYPE_CHECKING:
    from netsurgery.open_net.net import Net

__all__ = ["convert"]


@checks_arguments()
def convert(
    net: Net | AnyPath,
    weights: AnyPath | None = None,
    folder: AnyPath | None = None,
    *,
    prototxt_out: AnyPath | None = None,
    weights_out: AnyPath | None = None,
    draw: AnyPath | None = None,
    suffix: str = "-conv",
    layers: str | Iterable[str] | None = None,
    input_size: AnySize | None = None,
    map_size: AnySize | None = None,
    stride: int | None = None,
    input_shapes: Mapping[str, Shape] | None = None,
    keep_global_pooling: bool = False,
    before_pooling: bool = False,
    upsample: bool = False,
    skip: str | Iterable[str] = (),
    skip_refused: bool = False,
    settings: Settings | AnyPath | None = None,
    engine: AnyEngine = "auto",
    verify: bool = False,
    state: NetState = TEST,
    force: bool = False,
    dry_run: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Conversion:
    """Make a classifier fully convolutional: each InnerProduct a Convolution over its map.

    net: a prototxt (of V0 too, which is upgraded first), with its weights or without any; or an
    open net, whose present params count and whose own stay as they are. folder, prototxt_out,
    weights_out, draw: where the outputs go, see `Conversion.save`; without any nothing is written.
    suffix: appended to the names of the converted layers. layers: the InnerProduct layer or layers
    to convert, None for all. input_size: (height, width) of the new input in pixels, one number for
    a square; None to take what gives a map of `map_size` (rows, columns), 8 x 8 by default: old
    size + total stride x (cells - 1). Not both. stride: of the new map in pixels, for a finer one
    than the net's own: see `dense`; a map of 8 x 8 becomes 15 x 15 with half the stride, unless
    `map_size` says otherwise. input_shapes: blob -> shape, for inputs whose shape the prototxt does
    not say.
    keep_global_pooling: leave global Pooling layers alone; the map then has one cell.
    before_pooling: remove them: the map has a cell for each place that they pooled, and its mean is
    the classifier's score, before a Softmax (a class activation map). The input keeps its size
    unless `input_size` or `map_size` says otherwise; not with `keep_global_pooling`.
    upsample: interpolate the map to a score for each pixel of the input, by a Deconvolution of
    fixed weights and a Crop, as FCN-32s does. skip: the layer or layers whose finer maps are added
    on the way, as in FCN-16s and FCN-8s: by scores of zeros, to be trained; with `upsample` only.
    skip_refused: leave layers that cannot be converted, instead of refusing all. settings: the
    net's preprocessing and labels, which the new netsurgery.toml remembers. engine: what moves
    params into files (the numbers are the same) and verifies. verify: run both nets on the same
    input before anything appears; not with `skip`. state: in which a prototxt is read; an open net
    is in its own. force: replace files that exist. dry_run: write nothing all the same; not with
    verify. progress: see `Conversion.save`.

    >>> import netsurgery as ns
    >>> paths = "prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel"
    >>> with ns.convert(*paths, map_size=(4, 6)) as result, result.net as net:
    ...     print(result)
    ...     print(net.params["ip1-conv"][0].shape)
    ip1, ip2 fully convolutional; map prob: 1x11x4x6
    (96, 32, 2, 2)

    Raises SurgeryError naming each layer that stands in the way and why, or where the outputs
    differ; PrototxtError; NetError, also for weights that lack a layer's params; FormatError,
    OutputError, EngineError; TypeError for an open net with other weights. Nothing is written then.
    """
    if input_size is not None and map_size is not None:
        raise SurgeryError("input_size and map_size exclude each other; give one of them")
    if verify and dry_run:
        raise SurgeryError("verify and dry_run exclude each other; give one of them")
    if before_pooling and keep_global_pooling:
        pair = f"{argument('--before-pooling')} and {argument('--keep-global-pooling')}"
        raise SurgeryError(f"{pair} exclude each other; give one of them")
    skips = as_names(skip, "skip")
    if skips and not upsample:
        raise SurgeryError(
            f"{argument('--skip')} adds finer maps to the one of {argument('--upsample')}; give "
            "both"
        )
    names = None if layers is None else as_names(layers, "layers")
    if names == []:
        raise SurgeryError("layers: found none, expected one at least; None is all of them")
    # Until `pop_all` an error closes the input; from then on the result does.
    with ExitStack() as stack:
        model = open_net_and_weights(stack, net, weights, state, finite=True)
        cells = None if map_size is None else as_size(map_size, "map_size")
        target = TargetSize(
            None if input_size is None else as_size(input_size, "input_size"),
            cells if stride is None else None,
        )
        plan = plan_convolution(
            model.net,
            suffix=suffix,
            layers=names,
            input_size=None if before_pooling else target.input_size,
            map_size=None if before_pooling else target.map_size,
            input_shapes=input_shapes,
            keep_global_pooling=keep_global_pooling,
            before_pooling=before_pooling,
            skip_refused=skip_refused,
            instead=_instead(stride, upsample=upsample),
        )
        if before_pooling:
            from netsurgery.surgery.convolution.activation_map import without_pooling

            plan = without_pooling(plan, target)
        if stride is not None:
            # Most conversions keep the stride, and start without this.
            from netsurgery.surgery.dense.conversion import with_finer_maps

            plan = with_finer_maps(plan, stride, cells)
        if upsample:
            from netsurgery.surgery.dense.upsampling import with_upsampled_map

            plan = with_upsampled_map(plan, skips)
        options, chosen = as_engine_options(engine), as_settings(settings)
        # Only the plan has the channels and maps that the settings must fit.
        check_settings(plan, chosen)
        # The plan's net has Input layers where data layers of known shapes were.
        planned = NetWithWeights(plan.net, model.weights if model.has_weights else None)
        match = match_weights(plan, planned) if model.has_weights else WeightsMatch((), ())
        result = Conversion(
            plan, planned, match, stack.pop_all(), opened=model, settings=chosen, engine=options
        )
    places = {"prototxt_out": prototxt_out, "weights_out": weights_out, "draw": draw}
    # Nothing is to be written; `verify` runs the new net from a temporary file.
    if folder is None and not any(place is not None for place in places.values()):
        if verify:
            result.verify()
    elif dry_run:
        result.plan_outputs(folder, **places)
    else:
        result.save(folder, **places, force=force, verify=verify, progress=progress)
    return result


def _instead(stride: int | None, *, upsample: bool) -> str:
    """What does the same with a net that has nothing to be converted, the end of an error."""
    ways = ""
    if stride is not None:
        ways += f"; `netsurgery dense` makes its map finer ({argument(f'--stride {stride}')})"
    if upsample:
        option = argument("--upsample pixels")
        ways += f"; `netsurgery classify-map` interpolates its map ({option})"
    return ways
