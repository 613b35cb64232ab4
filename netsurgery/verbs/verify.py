"""``netsurgery.verify``: whether two nets are the same function."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from netsurgery.engines.contract import AnyEngine, Engine, EngineOptions, as_engine_options
from netsurgery.engines.registry import open_engine
from netsurgery.errors import EngineError, NetError
from netsurgery.formats.settings import Settings, as_settings
from netsurgery.io.argument_types import checks_arguments
from netsurgery.io.wording import counted
from netsurgery.net.effects import harmless
from netsurgery.net.inputs import declare_inputs, split_shapes
from netsurgery.net.net import NetDefinition
from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.net.state import TEST, NetState
from netsurgery.open_net.arguments import AnyPath
from netsurgery.open_net.models import AnyModel, open_model
from netsurgery.surgery.difference.matching import pair_blobs, same_order
from netsurgery.verbs.diff import compare
from netsurgery.verbs.verify_inputs import Samples, make_samples, pair_inputs
from netsurgery.verbs.verify_interpolated import find_interpolated
from netsurgery.verbs.verify_means import plan_means
from netsurgery.verbs.verify_order import order_notes, with_reordered
from netsurgery.verbs.verify_outputs import hidden_notes, input_notes, pair_outputs
from netsurgery.verbs.verify_result import BlobDifference, MapDifference, Unchecked, Verification
from netsurgery.verbs.verify_run import NetPair

if TYPE_CHECKING:
    from netsurgery.maps.any_picture import AnyPicture

__all__ = ["TOLERANCE", "check_tolerance", "verify", "verify_models"]

#: The largest relative difference that rounding explains.
TOLERANCE = 1e-5


@checks_arguments("verify((prototxt, weights), (prototxt, weights))")
def verify(
    old: AnyModel,
    new: AnyModel,
    *,
    images: AnyPicture | Iterable[AnyPicture] = (),
    random: int | None = None,
    seed: int = 0,
    settings: Settings | AnyPath | None = None,
    tolerance: float = TOLERANCE,
    engine: AnyEngine | tuple[AnyEngine, AnyEngine] = "auto",
    state: NetState = TEST,
) -> Verification:
    """Run two nets on the same inputs and compare what comes out.

    old, new: (prototxt, weights) each, or an open net, whose present params count. images: pictures
    to compare on, one or several of what `classify_map` takes, preprocessed as `settings` say.
    random: how many inputs of normal random numbers besides (default: 1, or none with images),
    drawn from `seed`. tolerance: the largest max|a-b| / max|a| over a blob that is no difference.
    engine: one for both nets, or one for each. If `new` is `old` made fully convolutional, every
    cell of its map of a larger input is compared with the classifier on that cell's window. state:
    phase, stages, level and shapes to read prototxts in.

    The result's `same` is whether all that was compared agrees, `unchecked` names maps that could
    not be compared, `verified` is both in one; `outputs` and `maps` are the differences,
    `first_difference` is the first blob that differs.

    >>> net = "prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel"
    >>> print(verify(net, net, engine="embedded"))
    no difference in the outputs on 1 random input (tolerance 1e-05 relative)
    >>> import netsurgery as ns
    >>> with ns.edit(*net, operations="fold") as result:  # before anything is written
    ...     verify(net, result.net, engine="embedded").same
    True

    Raises NetError where the nets' inputs or outputs cannot be paired, there is nothing to compare
    on, or a number is negative, FormatError, EngineError.
    """
    each = engine if isinstance(engine, tuple) else (engine,)
    if len(each) not in (1, 2):
        raise EngineError(f"{counted(len(each), 'engine')}: expected one, or one for each net")
    check_tolerance(tolerance)
    with ExitStack() as stack:
        first, second = open_model(stack, old, state), open_model(stack, new, state)
        samples = make_samples(first.net, images, as_settings(settings), random=random, seed=seed)
        engines = list(map(as_engine_options, each))
        return verify_models(first, second, samples, engines, tolerance=tolerance)


def check_tolerance(tolerance: float) -> None:
    """Raise NetError for a negative one, and for NaN: no net would be the same as itself."""
    if not tolerance >= 0:
        raise NetError(f"tolerance {tolerance:g}: expected a number from 0")


def verify_models(
    old: NetWithWeights,
    new: NetWithWeights,
    samples: Samples,
    engines: Sequence[EngineOptions],
    *,
    tolerance: float = TOLERANCE,
) -> Verification:
    """Run both nets on the same inputs and compare.

    engines: one for both, or one for each. Raises NetError where the nets' inputs or outputs
    cannot be set side by side, what is wrong with a file, and what an engine raises.
    """
    nets = _read(old, new, frozenset().union(*(options.allow for options in engines)))
    inputs, shapes = pair_inputs(*nets)
    compared = compare((nets[0].prototxt, nets[1].prototxt), (old.weights, new.weights))
    pairs = pair_blobs(*nets, compared.net.blobs)
    paired = pair_outputs(nets, pairs)
    models = NetWithWeights(nets[0], old.weights), NetWithWeights(nets[1], new.weights)
    interpolated = find_interpolated(nets[0], models[1], inputs, shapes, paired)
    scores = interpolated.compared(paired)
    means = plan_means(nets, inputs, shapes, scores)
    outputs = means.left(scores)
    with ExitStack() as stack:
        opened = _opened(engines, models, stack)
        loaded = tuple(
            stack.enter_context(engine.load(model.net, Path(model.path)))
            for engine, model in zip(opened, models, strict=True)
        )
        runner = NetPair(nets, (loaded[0], loaded[1]), inputs, shapes, tolerance)
        differences = runner.outputs(samples, outputs, means.scores)
        first_difference, not_finite = runner.first(samples, same_order(*nets, pairs))
        # After all other runs: it leaves the nets reshaped.
        maps, unchecked = runner.maps(samples, outputs)
        params = with_reordered(models, compared.params)
    notes = (
        samples.note,
        *input_notes(
            nets,
            shapes,
            inputs,
            interpolated.written(paired),
            bool(maps or unchecked or means.scores),
        ),
        *hidden_notes(nets, paired),
        *interpolated.notes(nets[1], paired),
        *means.notes(nets[1], scores),
        *order_notes(params),
        *_blank(differences),
    )
    return Verification(
        engines=(opened[0].description, opened[1].description),
        inputs=shapes,
        pictures=len(samples.pictures),
        random=samples.random,
        tolerance=tolerance,
        outputs=tuple(differences),
        first_difference=first_difference,
        params=params,
        maps=tuple(each for each in maps if not each.difference.empty),
        # Without those that repeat: both files may be one.
        notes=tuple(dict.fromkeys(note for note in notes if note)),
        unchecked=(*unchecked, *_empty_maps(maps), *means.unchecked, *_empty(differences)),
        not_finite=not_finite,
        engine_notes=(opened[0].note, opened[1].note),
    )


def _read(
    old: NetWithWeights, new: NetWithWeights, allow: Collection[str]
) -> tuple[NetDefinition, NetDefinition]:
    """Both nets, with Input layers for data layers; shapes of the state go to who has the blob."""
    first, second = old.net, new.net
    # Read in one state, they have each other's shapes too.
    if first.state.shapes == second.state.shapes:
        first, second = split_shapes(first, second)
    return _compared(first, allow), _compared(second, allow)


def _compared(net: NetDefinition, allow: Collection[str]) -> NetDefinition:
    """The net, with Input layers for data layers.

    Where layers do more than is allowed, it is what the net makes of its inputs: what is only
    written somewhere, or read and passed to no layer, is not compared.
    """
    net = declare_inputs(net)
    tops = [top for layer in net.layers if layer.bottoms for top in layer.tops]
    return harmless(net, [*(each.name for each in net.inputs), *tops], allow)


def _opened(
    options: Sequence[EngineOptions], models: Sequence[NetWithWeights], stack: ExitStack
) -> tuple[Engine, Engine]:
    """An engine for each of the two models, or the same one twice."""
    each = [models] if len(options) == 1 else [[model] for model in models]
    engines = [
        stack.enter_context(open_engine(wish, run)) for wish, run in zip(options, each, strict=True)
    ]
    return engines[0], engines[-1]


def _blank(outputs: Sequence[BlobDifference]) -> list[str]:
    """Notes on outputs that agree because there is nothing in them."""
    return [
        f"{each.blob!r} is all zeros; does the first net have its weights?"
        for each in outputs
        if each.difference.largest == 0 == each.difference.absolute and not each.difference.empty
    ]


#: Why nothing of a blob could be compared.
_NOT_FINITE = "none of its numbers is finite in either net"


def _empty(outputs: Sequence[BlobDifference]) -> list[Unchecked]:
    """Outputs of which nothing could be compared."""
    return [
        Unchecked(each.blob, each.new_blob, _NOT_FINITE, "output")
        for each in outputs
        if each.difference.empty
    ]


def _empty_maps(maps: Sequence[MapDifference]) -> list[Unchecked]:
    """Maps of which nothing could be compared."""
    return [
        Unchecked(each.check.blob, each.check.new_blob, _NOT_FINITE)
        for each in maps
        if each.difference.empty
    ]
