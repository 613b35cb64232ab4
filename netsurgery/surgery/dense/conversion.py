"""A conversion whose maps are given a finer stride as well."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from netsurgery.net.net import NetDefinition, Shape
from netsurgery.net.shapes import ShapesAt
from netsurgery.surgery.convolution.map_size import MapOf, size_for_cells
from netsurgery.surgery.convolution.plan import ConvolutionPlan, with_inputs
from netsurgery.surgery.convolution.size import Resize
from netsurgery.surgery.dense.plan import DensePlan, plan_dense

__all__ = ["with_finer_maps"]


def with_finer_maps(
    plan: ConvolutionPlan, stride: int, map_size: tuple[int, int] | None = None
) -> ConvolutionPlan:
    """The conversion with maps of a total stride of `stride` pixels.

    map_size: (H, W) of the map; None for the inputs of `plan`, whose maps become finer. Raises what
    `plan_dense` raises, and SurgeryError where no input near by gives `map_size` cells.
    """
    dense = plan_dense(plan.new, stride)
    inputs = [each._replace(stride=(Fraction(stride),) * 2) for each in plan.inputs]
    if map_size is not None:
        inputs = [_resized(dense, each, map_size) for each in inputs]
    sizes: dict[str, Shape] = {each.name: each.new for each in inputs}
    new = with_inputs(dense.new, sizes)
    notes = [*plan.notes, *_notes(dense)]
    if plan.activation_maps:
        notes.append("that mean is one over the cells that the map has without a finer stride")
    return replace(plan, new=new, inputs=tuple(inputs), maps=_maps(new), notes=tuple(notes))


def _resized(dense: DensePlan, resize: Resize, cells: tuple[int, int]) -> Resize:
    """The input at the size that gives the last map its cells."""
    output, stride = dense.maps[-1].blob, Fraction(dense.stride)
    of = MapOf(ShapesAt(dense.new), resize.name, output, {resize.name: resize.new})
    size = size_for_cells(of, resize.size, (stride, stride), cells)
    return resize._replace(new=(*resize.new[:2], *size))


def _maps(net: NetDefinition) -> dict[str, Shape]:
    shapes = ShapesAt(net)().blobs
    return {blob: shapes[blob] for blob in net.outputs if shapes.get(blob)}


def _notes(dense: DensePlan) -> list[str]:
    """What changes besides the classifier, a line a layer."""
    changes = [f"layer {each.name!r} ({each.layer.type}): {each.what}" for each in dense.layers]
    return [*changes, *dense.edge_notes]
