"""Which engine runs a net. An engine's module is imported when it is asked for, not before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from netsurgery.engines.contract import AnyEngine, Engine, EngineOptions, as_engine_options
from netsurgery.errors import (
    EffectRefused,
    EngineFailed,
    EngineMissing,
    EngineTimeout,
    PrototxtError,
)
from netsurgery.io.argument_types import checks_arguments
from netsurgery.net.net import NetDefinition
from netsurgery.net.net_with_weights import NetWithWeights

if TYPE_CHECKING:
    from netsurgery.engines.pycaffe import PycaffeEngine

__all__ = ["fall_back", "open_caffe", "open_engine"]

_INSTEAD = ": the embedded engine was used"


@checks_arguments()
def open_engine(engine: AnyEngine, models: Sequence[NetWithWeights] = ()) -> Engine:
    """Start an engine: "auto", "caffe", "embedded", or EngineOptions.

    "auto" is Caffe if there is one that knows and loads all of `models`, else the embedded engine,
    whose `note` then says what Caffe lacks, or gives its words. Raises EngineMissing when there is
    none, whatever the engine itself raises when it cannot start, and under "auto" what is wrong
    with `models` whatever runs them.

    >>> with open_engine("embedded") as engine:
    ...     engine.name
    'embedded'
    """
    options = as_engine_options(engine)
    note = missing = ""
    if options.choice != "embedded":
        try:
            caffe, note = open_caffe(options, models)
        except EngineMissing as error:
            if options.choice == "caffe":
                raise
            missing = str(error)
        else:
            note = note if caffe is None else _loads(caffe, options, models)
            if caffe is not None and not note:
                return caffe
    from netsurgery.engines import ort

    try:
        return ort.open_engine(options, note)
    except EngineMissing as error:
        raise EngineMissing("; ".join(filter(None, (missing, note, str(error))))) from None


def open_caffe(
    options: EngineOptions, models: Sequence[NetWithWeights] = (), outputs: Sequence[Path] = ()
) -> tuple[PycaffeEngine | None, str]:
    """Caffe; or None, where "auto" must not take it for `models`, and a note that says why.

    outputs: the files that it is to save to.

    That it dies, or takes too long, when it is started or asked what it knows is such a reason.
    Raises EngineMissing when there is none, and under "caffe" what it raises when it cannot start.
    """
    from netsurgery.engines import pycaffe
    from netsurgery.engines.caffe_gaps import what_caffe_lacks

    try:
        files = [Path(model.path) for model in models if model.has_weights]
        caffe = pycaffe.open_engine(options, files, outputs)
    except (EngineFailed, EngineTimeout) as error:
        if options.choice == "caffe":
            raise
        return None, f"{error}{_INSTEAD}"
    if options.choice == "caffe":
        return caffe, ""
    try:
        lacks = next(filter(None, (what_caffe_lacks(caffe, model) for model in models)), "")
    except (EngineFailed, EngineTimeout) as error:
        lacks = str(error)
    except BaseException:
        caffe.close()
        raise
    if not lacks:
        return caffe, ""
    caffe.close()
    return None, f"{lacks}{_INSTEAD}"


def _loads(caffe: PycaffeEngine, options: EngineOptions, models: Sequence[NetWithWeights]) -> str:
    """Have Caffe load the models, under "auto"; "" or why it does not, and then it is closed."""
    if options.choice != "auto":
        return ""
    try:
        for model in models:
            _check_effects(caffe, model.net)
        with fall_back(options) as notes:
            for model in models:
                weights = Path(model.path) if model.has_weights else None
                caffe.prepare(model.net, weights)
    except BaseException:
        caffe.close()
        raise
    if notes:
        caffe.close()
    return "".join(notes)


def _check_effects(caffe: PycaffeEngine, net: NetDefinition) -> None:
    """Raise EffectRefused for a net that Caffe must not be given, unless the other engine runs it.

    Then its refusal would say less: there is a way to run it, if the user allows it.
    """
    from netsurgery.export.layers import check_types

    try:
        caffe.permitted(net)
    except EffectRefused as refused:
        try:
            check_types(net)
        except PrototxtError:
            raise refused from None


@contextmanager
def fall_back(options: EngineOptions) -> Iterator[list[str]]:
    """Under "auto" a net that Caffe refuses to load ends the block, with a note in the list.

    So does one that it is not given for what its layers do by themselves, and a request that takes
    it too long. The note is for the user of the embedded engine,
    which has to do what is left to do. Under "caffe" both are raised as they are.
    """
    from netsurgery.engines.pycaffe import RefusedToLoad

    notes: list[str] = []
    try:
        yield notes
    except (EffectRefused, RefusedToLoad, EngineTimeout) as refused:
        if options.choice != "auto":
            raise
        notes.append(f"{refused}{_INSTEAD}")
