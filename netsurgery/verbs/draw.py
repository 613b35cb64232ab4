"""``netsurgery.draw``: a net as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

from netsurgery.diagram.build import build_graph
from netsurgery.diagram.compare import changes_of, with_removed
from netsurgery.diagram.fold import fold as folded
from netsurgery.diagram.format_names import FormatName
from netsurgery.diagram.graph import NetGraph
from netsurgery.io.argument_types import checks_arguments
from netsurgery.net.net import NetDefinition, Shape
from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.net.shapes import infer
from netsurgery.net.state import TEST, NetState
from netsurgery.open_net.arguments import AnyPath
from netsurgery.open_net.models import open_net_and_weights
from netsurgery.surgery.difference.compare import NetDifference
from netsurgery.verbs.draw_result import NetDrawing
from netsurgery.verbs.inspect import inspect_net
from netsurgery.verbs.inspect_result import Inspection

if TYPE_CHECKING:
    from netsurgery.open_net.net import Net

__all__ = ["draw", "draw_difference"]


@checks_arguments()
def draw(
    net: Net | AnyPath,
    weights: AnyPath | None = None,
    output: AnyPath | None = None,
    *,
    format: FormatName | None = None,
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
    if format is not None:
        from netsurgery.diagram.formats import format_named

        format_named(format)  # refuses a wrong one before any work, and where nothing is written
    with ExitStack() as stack:
        model = open_net_and_weights(stack, net, weights, state)
        if input_shapes:
            model.net = model.net.at(input_shapes)
        inspection = inspect_net(model, with_fields=fields)
        graph = build_graph(model.net, inspection.layers, infer(model.net))
        drawing = _drawing(folded(graph) if fold else graph, inspection, model)
    if output is not None:
        drawing.save(output, format=format, force=force)
    return drawing


def _drawing(
    graph: NetGraph, inspection: Inspection, model: NetWithWeights, compared: str | None = None
) -> NetDrawing:
    another = (inspection.another_net,) if inspection.another_net else ()
    return NetDrawing(
        graph,
        model.net.prototxt.path,
        model.known_path,
        model.net.state,
        compared=compared,
        notes=(*another, *inspection.remarks()),
    )


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
    models = NetWithWeights(old), NetWithWeights(new)
    before, after = (inspect_net(model) for model in models)
    was = build_graph(old, before.layers, infer(old))
    graph = build_graph(new, after.layers, infer(new), changes_of(difference, params))
    return _drawing(with_removed(graph, was, difference), after, models[1], old.prototxt.path)
