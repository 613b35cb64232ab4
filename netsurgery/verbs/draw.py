"""``netsurgery.draw``: a net as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

from netsurgery.diagram.build import build_graph
from netsurgery.diagram.compare import changes_of, with_removed
from netsurgery.diagram.fold import fold as folded
from netsurgery.diagram.graph import Changed, NetGraph
from netsurgery.net.field import fields as receptive_fields
from netsurgery.net.layer_table import summarize
from netsurgery.net.net import NetDefinition, Shape
from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.net.shapes import Shapes, infer
from netsurgery.net.state import TEST, NetState
from netsurgery.open_net.arguments import AnyPath
from netsurgery.open_net.models import open_net_and_weights
from netsurgery.surgery.difference.compare import NetDifference
from netsurgery.verbs.draw_result import NetDrawing
from netsurgery.verbs.inspect_result import unknown_shapes

if TYPE_CHECKING:
    from netsurgery.open_net.net import Net

__all__ = ["draw", "draw_difference"]


def draw(
    net: Net | AnyPath,
    weights: AnyPath | None = None,
    output: AnyPath | None = None,
    *,
    format: str | None = None,
    input_shapes: Mapping[str, Shape] | None = None,
    state: NetState = TEST,
    fields: bool = False,
    fold: bool = False,
    force: bool = False,
) -> NetDrawing:
    """Draw a net: its layers as boxes, its blobs as edges with their shapes.

    net: a prototxt, or an open net. weights: whose params are counted where the prototxt alone does
    not say how many there are. output: the file to write, in the form that its ending says (.svg,
    .png, .html, .mmd, .dot) or that `format` names, see `NetDrawing.save`; without one nothing is
    written. input_shapes: blob -> whole shape, (N, C, H, W) for pictures. state: phase, stages and
    level to read a prototxt in. fields: what a cell of each box's last top sees of the input. fold:
    draw blocks that repeat once. force: replace a file that exists.

    >>> import netsurgery as ns
    >>> ns.draw("prototxt/digits_deploy.prototxt", output="digits.svg").written
    'digits.svg'

    Raises PrototxtError, NetError, CaffemodelError, OutputError; TypeError for an open net with
    other weights; NetsurgeryError where the library that lays drawings out is not installed.
    Nothing is written then.
    """
    with ExitStack() as stack:
        model = open_net_and_weights(stack, net, weights, state)
        definition = model.net.at(input_shapes)
        shapes = infer(definition)
        graph = _graph(definition, shapes, model, fields=fields)
        own = model.has_weights and not model.is_scratch
        drawing = NetDrawing(
            folded(graph) if fold else graph,
            definition.prototxt.path,
            model.path if own else None,
            definition.state,
            unknown=unknown_shapes(shapes),
            notes=definition.notes,
        )
        model.check_unchanged()
    if output is not None:
        drawing.save(output, format=format, force=force)
    return drawing


def _graph(
    net: NetDefinition,
    shapes: Shapes,
    model: NetWithWeights | None = None,
    changes: Mapping[str, Changed] | None = None,
    *,
    fields: bool = False,
) -> NetGraph:
    stored = {} if model is None else model.stored
    seen = receptive_fields(net, shapes=shapes) if fields else None
    return build_graph(net, summarize(net, shapes, stored, seen), shapes, changes)


def draw_difference(
    old: NetDefinition,
    new: NetDefinition,
    difference: NetDifference,
    params: Mapping[str, Sequence[str]] | None = None,
) -> NetDrawing:
    """Draw the new net, with what was added to the old one, changed in it, and removed from it.

    difference: of their prototxts. params: layer of the new net -> what differs in its params.
    Layers of other states than the nets' are not drawn.
    """
    shapes = infer(new)
    graph = _graph(new, shapes, changes=changes_of(difference, params))
    before = _graph(old, infer(old))
    return NetDrawing(
        with_removed(graph, before, difference),
        new.prototxt.path,
        None,
        new.state,
        compared=old.prototxt.path,
        unknown=unknown_shapes(shapes),
        notes=new.notes,
    )
