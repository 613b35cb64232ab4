"""What a text is that holds no net: a solver, a label map, another program's settings."""

from __future__ import annotations

from netsurgery.errors import PrototxtError
from netsurgery.formats.textformat import Message

__all__ = ["check_is_net"]

#: The fields of Caffe's NetParameter.
_NET = frozenset(
    "debug_info force_backward input input_dim input_shape layer layers name state".split()
)

#: Fields of Caffe's SolverParameter that no fork's NetParameter has, and by which one is known.
_SOLVER = frozenset(
    """
    base_lr iter_size lr_policy max_iter net net_param solver_mode solver_type stepsize
    test_interval test_iter test_net test_net_param train_net train_net_param
    """.split()
)
_NAMED = ("net", "train_net", "test_net")
_INSIDE = ("net_param", "train_net_param", "test_net_param")


def check_is_net(root: Message, path: str) -> None:
    """Raise PrototxtError, saying what it is, for a text without a net.

    A net is layers, or inputs and nothing else. Fields at the top that a fork may have added do
    not make it another thing, as long as there are layers.
    """
    names = {field.name for field in root.fields}
    if names & _SOLVER:
        raise PrototxtError(f"is a solver, not a net; {_nets_of(root)}", path=path)
    if root.all("layer") or root.all("layers"):
        return
    strange = [field for field in root.fields if field.name not in _NET]
    if root.all("item"):
        what = "is a label map (item { ... }), not a net"
    elif strange:
        line = root.source.error("", strange[0].start).line
        what = f"is not a net: it has no layer, and {strange[0].name!r} in line {line}"
    elif root.all("input") and (root.all("input_shape") or root.all("input_dim")):
        return
    else:
        what = "is not a net: it has no layer" if root.fields else "is not a net: it is empty"
    raise PrototxtError(what, path=path)


def _nets_of(root: Message) -> str:
    """Where the net, or the nets, of a solver are."""
    files = [repr(each.as_string()) for name in _NAMED for each in root.scalars(name)]
    if files:
        return f"its net is {files[0]}" if len(files) == 1 else f"its nets are {', '.join(files)}"
    inside = [name for name in _INSIDE if root.all(name)]
    return f"its net is inside it, in {inside[0]} {{ ... }}" if inside else "it names no net"
