"""A net with its weights as a verb takes it: files, or an open net."""

from __future__ import annotations

from contextlib import ExitStack

from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.net.state import NetState
from netsurgery.open_net.arguments import AnyPath
from netsurgery.open_net.net import Net

__all__ = ["AnyModel", "check_model", "open_model"]

#: An open net, whose present params count, or a prototxt and its weights.
AnyModel = Net | tuple[AnyPath, AnyPath | None]


def check_model(model: object) -> None:
    """Raise TypeError for what is neither."""
    if not isinstance(model, Net) and not (isinstance(model, tuple) and len(model) == 2):
        raise TypeError(f"found {model!r}, expected (prototxt, weights) or an open net")


def open_model(stack: ExitStack, model: AnyModel, state: NetState) -> NetWithWeights:
    """The net with its weights; what was opened for it is closed with `stack`.

    state: in which a prototxt is read; an open net is in its own.
    """
    check_model(model)
    if isinstance(model, Net):
        return stack.enter_context(model.present_model())
    return stack.enter_context(NetWithWeights.open(*model, state))
