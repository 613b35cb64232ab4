"""Engines by name. An engine's module is imported when it is asked for, not before."""

from __future__ import annotations

import importlib
from collections.abc import Callable

from netsurgery.engines.contract import Engine, EngineOptions
from netsurgery.errors import EngineMissing

__all__ = ["open_engine"]

#: name -> (module, what makes it available). Each module has ``open_engine(options) -> Engine``.
ENGINES = {
    "caffe": ("netsurgery.engines.pycaffe", "netsurgery caffe install"),
    "embedded": ("netsurgery.engines.ort", "pip install onnxruntime"),
}


def open_engine(options: EngineOptions) -> Engine:
    """Start the engine that `options.choice` names.

    "auto" is Caffe if there is one, else the embedded engine. Raises EngineMissing when there is
    none, and whatever the engine itself raises when it cannot start.
    """
    if options.choice != "auto":
        return _open(options.choice, options)
    reasons = []
    for name in ENGINES:
        try:
            return _open(name, options)
        except EngineMissing as missing:
            reasons.append(str(missing))
    raise EngineMissing("; ".join(reasons))


def _open(name: str, options: EngineOptions) -> Engine:
    if name not in ENGINES:
        raise EngineMissing(f"no engine {name!r} here; there is {', '.join(ENGINES)}")
    module = importlib.import_module(ENGINES[name][0])
    opener: Callable[[EngineOptions], Engine] = module.open_engine
    return opener(options)
