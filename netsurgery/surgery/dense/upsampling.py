"""A conversion whose map is interpolated to a score for each pixel of the input, as FCN-32s does.

Before that the map may be added to finer ones, stage by stage, as in FCN-16s and FCN-8s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from netsurgery.errors import PrototxtError, SurgeryError
from netsurgery.formats.prototxt import Prototxt, insert_field, quoted
from netsurgery.io.shape_text import shape_text
from netsurgery.net import types
from netsurgery.net.field import ReceptiveField, fields
from netsurgery.net.net import Layer, NetDefinition
from netsurgery.net.shapes import infer
from netsurgery.surgery.convolution.plan import ConvolutionPlan
from netsurgery.surgery.dense.crops import CropNames, rules_beside
from netsurgery.surgery.dense.interpolation import GridPlacement, interpolated
from netsurgery.surgery.dense.skips import Fusion, Skip, find_skips, fused
from netsurgery.surgery.plan import Refusal, refuse

__all__ = ["with_upsampled_map"]


def with_upsampled_map(plan: ConvolutionPlan, skips: Sequence[str] = ()) -> ConvolutionPlan:
    """The conversion with its map at every pixel of the input.

    Scores are interpolated, and a Softmax or an ArgMax behind them is taken of each pixel. skips:
    layers whose scores, of zeros at first, are added on the way. Raises SurgeryError naming the
    layer that stands in the way and why.
    """
    net, path = plan.new, plan.new.prototxt.path
    writer, blob = _map_of(plan)
    if net.prototxt.generation == "V1":
        refuse(path, [Refusal(
            writer.name,
            "a Crop behind it has no name in a prototxt of V1",
            "`netsurgery upgrade` brings it up to date",
        )])  # fmt: skip
    inferred = infer(net)
    shapes, all_fields = inferred.blobs, fields(net, shapes=inferred)
    known = all_fields.get(blob)
    if known is None or len(plan.inputs) != 1 or known.input != plan.inputs[0].name:
        refuse(path, [Refusal(writer.name, f"where the cells of {blob!r} lie is not known")])
    assert known is not None
    joined = find_skips(net, skips, writer, known, shapes, all_fields)
    last = joined[-1] if joined else Skip(writer.name, blob, shapes[blob], known)
    why = _why_not(last.field, last.blob)
    refuse(path, [Refusal(last.name, why)] if why else [])
    names, rules = CropNames(net), rules_beside(net, writer)
    fusions, written = fused(joined, blob, shapes[blob], known, names, rules)
    size = shapes[known.input][2:]
    placement = GridPlacement.of(last.field.stride, last.field.middle, last.shape[2:], size)
    upsampling, layers = interpolated(
        fusions[-1].blob if fusions else blob,
        known.input,
        (f"{blob}_spread", f"{blob}_upsampled"),
        shapes[blob][1],
        placement,
        names,
        rules,
    )
    text = _behind(net, writer, blob, upsampling.blob, [*written, *layers])
    new = NetDefinition.of(Prototxt.parse(text, path), net.state)
    try:
        after = infer(new).blobs
    except PrototxtError as error:
        # Its place is one in the new text, which nobody has.
        raise SurgeryError(f"{path}: with a score for each pixel: {error.what}") from None
    note = (
        f"{blob!r} is interpolated to the {shape_text(size)} pixels of "
        f"{known.input!r} by Deconvolution {upsampling.layer!r}"
    )
    if any(placement.pad) or any(fusion.padded for fusion in fusions):
        note += "; beyond the middles of the outermost cells' windows the scores fall to 0"
    return replace(
        plan,
        new=new,
        maps={name: after[name] for name in new.outputs if after.get(name)},
        notes=(*plan.notes, note, *map(_fusion_note, fusions)),
        upsampling=upsampling,
        fusions=fusions,
    )


def _fusion_note(fusion: Fusion) -> str:
    """What to know of a skip."""
    return (
        f"on the way the scores of {fusion.skip.name!r} are added, by Convolution "
        f"{fusion.scores.layer!r}: zeros until it is trained"
    )


def _map_of(plan: ConvolutionPlan) -> tuple[Layer, str]:
    """The blob of scores to interpolate, and the layer that writes it last."""
    net = plan.new
    outputs = plan.activation_maps or tuple(plan.maps or net.outputs)
    if not outputs:
        raise SurgeryError(f"{net.prototxt.path}: the net has no output to interpolate")
    blob = outputs[-1]
    writer = net.last_writer(blob)
    assert writer is not None
    # Scores may be interpolated; probabilities and classes are made of them, pixel by pixel.
    while _made_of_scores(writer) and not writer.in_place:
        blob = writer.bottoms[0]
        before = net.producer(writer, blob)
        if before is None:
            raise SurgeryError(f"{net.prototxt.path}: no layer makes {blob!r}")
        writer = before
    if _made_of_scores(writer):
        refuse(net.prototxt.path, [Refusal(writer.name, "it works in place on the scores")])
    return writer, blob


def _made_of_scores(layer: Layer) -> bool:
    return types.is_a(layer, types.SOFTMAX) or types.is_a(layer, types.ARGMAX)


def _why_not(known: ReceptiveField, blob: str) -> str:
    """Why cells of this field cannot be interpolated to pixels, "" where they can."""
    if any(stride.denominator != 1 or stride < 1 for stride in known.stride):
        return f"the total stride of {blob!r} is no whole number of pixels"
    if set(known.stride) == {1}:
        return f"{blob!r} has a cell for each pixel already"
    if any(middle.denominator > 2 for middle in known.middle):
        return f"the cells of {blob!r} lie neither on pixels nor halfway between"
    return ""


def _behind(net: NetDefinition, writer: Layer, blob: str, pixels: str, written: list[str]) -> str:
    """The text with layers behind `writer`, whose last top is read by all that read the blob."""
    edits = net.prototxt.edits()
    # In place or not: what comes behind the last writer reads the pixels.
    for layer in net.layers:
        for bottom in layer.message.scalars("bottom") if layer.index > writer.index else ():
            if bottom.as_string() == blob:
                edits.replace(bottom.start, bottom.end, quoted(pixels, bottom))
    insert_field(edits, net.prototxt.field_of(writer.message), "\n".join(written))
    return edits.apply()
