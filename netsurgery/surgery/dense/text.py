"""Layers with other windows: the prototxt. All is done by splices over the author's text."""

from __future__ import annotations

from netsurgery.net.net import NetDefinition
from netsurgery.net.shuffle import write_for_any_size
from netsurgery.surgery.dense.crops import CropNames, pooling_by_crops
from netsurgery.surgery.dense.walk import DenseLayer
from netsurgery.surgery.window_text import set_window

__all__ = ["rewrite"]


def rewrite(net: NetDefinition, layers: list[DenseLayer]) -> str:
    """The text of `net` with these layers changed."""
    edits, names = net.prototxt.edits(), CropNames(net)
    for each in layers:
        if each.cuts:
            for cut in each.cuts:
                edits.replace(cut.scalar.start, cut.scalar.end, str(cut.new))
        elif each.shuffle is not None:
            write_for_any_size(edits, each.shuffle)
        elif each.apart:
            field = net.prototxt.field_of(each.layer.message)
            edits.replace(field.start, field.end, pooling_by_crops(net, each, names))
        else:
            assert each.old is not None
            assert each.new is not None
            set_window(edits, each.layer, each.old, each.new)
    return edits.apply()
