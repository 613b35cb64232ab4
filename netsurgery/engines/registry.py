"""Which engine runs a net. An engine's module is imported when it is asked for, not before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from netsurgery.engines.contract import Engine, EngineOptions
from netsurgery.errors import EngineMissing
from netsurgery.net.model import Model

if TYPE_CHECKING:
    from netsurgery.engines.pycaffe import PycaffeEngine

__all__ = ["open_caffe", "open_engine"]

ENGINES = ("caffe", "embedded")


def open_engine(options: EngineOptions, models: Sequence[Model] = ()) -> Engine:
    """Start the engine that `options.choice` names.

    "auto" is Caffe if there is one that knows all of `models`, else the embedded engine, whose
    `note` then says what Caffe lacks. Raises EngineMissing when there is none, and whatever the
    engine itself raises when it cannot start.
    """
    if options.choice not in ("auto", *ENGINES):
        raise EngineMissing(f"no engine {options.choice!r} here; there is {', '.join(ENGINES)}")
    note = missing = ""
    if options.choice != "embedded":
        try:
            caffe, note = open_caffe(options, models)
        except EngineMissing as error:
            if options.choice == "caffe":
                raise
            missing = str(error)
        else:
            if caffe is not None:
                return caffe
    from netsurgery.engines import ort

    try:
        return ort.open_engine(options, note)
    except EngineMissing as error:
        raise EngineMissing("; ".join(filter(None, (missing, note, str(error))))) from None


def open_caffe(
    options: EngineOptions, models: Sequence[Model] = ()
) -> tuple[PycaffeEngine | None, str]:
    """Caffe; or None, where "auto" must not take it for `models`, and a note that says why.

    Raises EngineMissing when there is none, and what it raises when it cannot start.
    """
    from netsurgery.engines import pycaffe
    from netsurgery.engines.caffe_gaps import what_caffe_lacks

    caffe = pycaffe.open_engine(options)
    if options.choice == "caffe":
        return caffe, ""
    try:
        lacks = next(filter(None, (what_caffe_lacks(caffe, model) for model in models)), "")
    except BaseException:
        caffe.close()
        raise
    if not lacks:
        return caffe, ""
    caffe.close()
    return None, f"{lacks}: the embedded engine was used"
