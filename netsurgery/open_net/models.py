"""A net with its weights as a verb takes it: files, or an open net.

`Net` is imported where there may be one: the commands, which have files, start without it.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from netsurgery.io.argument_types import checked_argument, shown
from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.net.state import NetState
from netsurgery.open_net.arguments import AnyPath

if TYPE_CHECKING:
    from typing_extensions import TypeIs

    from netsurgery.open_net.net import Net

__all__ = [
    "AnyModel",
    "check_model",
    "check_net",
    "is_net",
    "open_model",
    "open_net_and_weights",
]

#: An open net, whose present params count, or a prototxt and its weights.
AnyModel: TypeAlias = "Net | tuple[AnyPath, AnyPath | None]"


def is_net(value: object) -> TypeIs[Net]:
    """Whether this is an open net."""
    if isinstance(value, (str, Path, tuple)):
        return False
    from netsurgery.open_net.net import Net

    return isinstance(value, Net)


def check_net(net: object) -> None:
    """Raise TypeError for what is neither a prototxt nor an open net."""
    if not isinstance(net, (str, Path)) and not is_net(net):
        raise TypeError(f"found {shown(net)}, expected a prototxt or an open net")


def check_model(model: object) -> None:
    """Raise TypeError for what is no `AnyModel`."""
    if not (isinstance(model, tuple) and len(model) == 2) and not is_net(model):
        raise TypeError(f"found {shown(model)}, expected (prototxt, weights) or an open net")
    if isinstance(model, tuple):
        checked_argument("prototxt", model[0], "AnyPath")
        checked_argument("weights", model[1], "AnyPath | None")


def open_model(stack: ExitStack, model: AnyModel, state: NetState) -> NetWithWeights:
    """The net with its weights; what was opened for it is closed with `stack`.

    state: in which a prototxt is read; an open net is in its own.
    """
    check_model(model)
    if isinstance(model, tuple):
        return stack.enter_context(NetWithWeights.open(*model, state))
    return stack.enter_context(model.present_model())


def open_net_and_weights(
    stack: ExitStack,
    net: Net | AnyPath,
    weights: AnyPath | None,
    state: NetState,
    *,
    finite: bool = False,
) -> NetWithWeights:
    """The same of a verb's first two arguments: a prototxt and its weights, or an open net alone.

    finite: see `Net.present_model`. Raises TypeError for an open net with other weights.
    """
    check_net(net)
    if isinstance(net, (str, Path)):
        return stack.enter_context(NetWithWeights.open(net, weights, state))
    if weights is not None:
        raise TypeError("an open net has its weights; found others, expected none")
    return stack.enter_context(net.present_model(finite=finite))
