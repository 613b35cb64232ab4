"""What only looks: a net told, two nets set side by side, two nets run on the same inputs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from netsurgery.engines.contract import EngineOptions
from netsurgery.errors import NetError
from netsurgery.formats.settings import as_settings
from netsurgery.formats.weights import open_weights
from netsurgery.net.net import Shape
from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.net.state import TEST, NetState
from netsurgery.open_net.arguments import AnyPath

if TYPE_CHECKING:
    from netsurgery.formats.settings import Settings
    from netsurgery.maps.any_picture import AnyPicture
    from netsurgery.verbs.check import Check
    from netsurgery.verbs.diff import Comparison
    from netsurgery.verbs.inspection import Inspection
    from netsurgery.verbs.verify import Verification

__all__ = ["check", "diff", "inspect", "verify"]


def inspect(
    path: AnyPath,
    weights: AnyPath | None = None,
    *,
    sizes: Mapping[str, Shape] | None = None,
    input_shapes: Mapping[str, Shape] | None = None,
    state: NetState = TEST,
    fields: bool = False,
    statistics: bool = False,
) -> Inspection:
    """What is in a net, its weights, or both: layers, shapes, counts, costs.

    path: a prototxt, or weights alone; its content tells. sizes: input -> another shape, whole or
    (height, width). input_shapes: blob -> whole shape, (N, C, H, W) for pictures, for inputs and
    for tops that the net does not tell, such as a data layer's. state: phase, stages and level to
    read the net in. fields: what a cell of each blob
    sees of the input. statistics: minimum, maximum, mean, standard deviation, zeros, NaN and
    infinities of every param, for which all weights are read. Memory is in bytes, multiply-adds
    are those of one forward pass.

    Raises PrototxtError, NetError for a size that fits no input and for a shape of a blob that
    takes none, CaffemodelError.
    """
    from netsurgery.formats.prototxt import is_prototxt
    from netsurgery.verbs.inspection import InputSize, inspect_net, inspect_weights

    if weights is None and not is_prototxt(Path(path)):
        if sizes or input_shapes or fields:
            raise NetError(f"{path}: weights alone tell no sizes and fields; give a prototxt too")
        with open_weights(path) as alone:
            return inspect_weights(alone, with_statistics=statistics)
    given = [InputSize(name, tuple(dims)) for name, dims in (sizes or {}).items()]
    whole = {blob: tuple(shape) for blob, shape in (input_shapes or {}).items()}
    with NetWithWeights.open(path, weights, state) as model:
        return inspect_net(
            model,
            sizes=given,
            input_shapes=whole,
            with_fields=fields,
            with_statistics=statistics,
        )


def check(
    path: AnyPath,
    weights: AnyPath | None = None,
    *,
    input_shapes: Mapping[str, Shape] | None = None,
    state: NetState = TEST,
    trust_config: bool | None = None,
) -> Check:
    """Everything that can be known of a net, with its weights or without, unrun.

    The result's `findings` are errors (what no Caffe takes), warnings (what only a fork takes and
    is not understood here, shapes that cannot be known) and notes, each with its place; `ok` says
    that there is no error, `fits` whether the weights fit, `engines` which can run the net and why
    not. Without weights those that netsurgery.toml names for this net are checked. input_shapes:
    blob -> whole shape, for inputs that the net does not tell. state: phase, stages and level to
    read the net in. trust_config: True uses that netsurgery.toml even where other users can change
    it, False never; None reports such a one as a warning.

    Raises FormatError, PrototxtError and CaffemodelError for a file that cannot be read.
    """
    from netsurgery.verbs.check import check as checked

    given = None if weights is None else Path(weights)
    return checked(Path(path), given, state.at(input_shapes), trust_config=trust_config)


def diff(
    old: AnyPath | tuple[AnyPath, AnyPath],
    new: AnyPath | tuple[AnyPath, AnyPath],
    *,
    strict: bool = False,
    state: NetState = TEST,
) -> Comparison:
    """How a second net differs from a first: layers, their fields, their params.

    old, new: each is a prototxt, a file of weights, or (prototxt, weights); both of one kind. The
    result's `net` tells what was added, removed, renamed and changed, `params` whether each is
    equal, reshaped or different and by what norm; `same` says it in one word. strict: a field that
    is written out at its default is a difference. state: in which shapes are known, by which an
    axis counted from the end equals another; layers of every state are compared.

    Raises FormatError, PrototxtError, CaffemodelError, and NetError for two that are not of one
    kind.
    """
    from netsurgery.formats.prototxt import Prototxt
    from netsurgery.verbs.diff import compare_files

    (net, model), (other_net, other_model) = _pair(old), _pair(new)
    if (net is None) != (other_net is None) or (model is None) != (other_model is None):
        raise NetError("a net can be compared with a net, weights with weights, or both with both")
    nets = None
    if net is not None and other_net is not None:
        nets = Prototxt.read(net), Prototxt.read(other_net)
    models = None
    if model is not None and other_model is not None:
        models = model, other_model
    return compare_files(nets, models, strict, state)


def _pair(given: AnyPath | tuple[AnyPath, AnyPath]) -> tuple[Path | None, Path | None]:
    """Prototxt and weights, one of them None where only the other is given."""
    from netsurgery.formats.prototxt import is_prototxt

    if isinstance(given, tuple):
        return Path(given[0]), Path(given[1])
    path = Path(given)
    return (path, None) if is_prototxt(path) else (None, path)


def verify(
    old: tuple[AnyPath, AnyPath],
    new: tuple[AnyPath, AnyPath],
    *,
    images: AnyPicture | Iterable[AnyPicture] = (),
    random: int | None = None,
    seed: int = 0,
    settings: Settings | AnyPath | None = None,
    tolerance: float = 1e-5,
    engines: EngineOptions | tuple[EngineOptions, EngineOptions] | None = None,
    state: NetState = TEST,
) -> Verification:
    """Run two nets, (prototxt, weights) each, on the same inputs and compare what comes out.

    images: pictures to compare on, one or several of what `classify_map` takes, made ready as
    `settings` say. random: how many inputs of
    normal random numbers besides (default: 1, or none with images), drawn from `seed`. tolerance:
    the largest max|a-b| / max|a| over a blob that is no difference. engines: one for both nets, or
    one for each. If `new` is `old` made fully convolutional, every cell of its map of a larger
    input is compared with the classifier on that cell's window. state: phase, stages, level and
    shapes to read both nets in.

    The result's `same` says whether all that was compared agrees, `unchecked` names maps that
    could not be compared, `verified` says both in one; `outputs` and `maps` are the gaps, `departs`
    is the first blob that differs. Raises NetError where the nets' inputs or outputs cannot be set
    side by side, or there is nothing to compare on, FormatError, EngineError.
    """
    from netsurgery.verbs import verify as job
    from netsurgery.verbs.verify_inputs import make_samples

    given = as_settings(settings)
    chosen = engines if isinstance(engines, tuple) else (engines or EngineOptions(),)
    with NetWithWeights.open(*old, state) as one, NetWithWeights.open(*new, state) as other:
        samples = make_samples(one.net, images, given, random=random, seed=seed)
        return job.verify(one, other, samples, chosen, tolerance=tolerance)
