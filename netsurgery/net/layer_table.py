"""The layers of a net as a table: what `inspect` prints, and what a notebook shows of a net."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod

from netsurgery.formats.weights import WeightsLayer
from netsurgery.io.memory import size_text
from netsurgery.io.shape_text import shape_text
from netsurgery.io.table import Column, Table
from netsurgery.io.terminal import joined
from netsurgery.net.cost import costs
from netsurgery.net.field import ReceptiveField
from netsurgery.net.net import Layer, NetDefinition, Shape
from netsurgery.net.shapes import Shapes

__all__ = ["LayerSummary", "layer_table", "summarize"]

_COLUMNS = (
    Column("layer"),
    Column("type", 2),
    Column("bottoms", 6),
    Column("tops", 5),
    Column("shapes", 1),
    Column("params", 3),
    Column("count", 4, number=True),
    Column("multiply-adds", 7, number=True),
    Column("memory", 8, number=True),
)
_FIELDS = tuple(Column(title, 3, number=True) for title in ("field", "stride", "offset"))
#: What weights alone say nothing of.
_OF_NETS = ("shapes", "multiply-adds", "memory")


@dataclass(frozen=True)
class LayerSummary:
    """One layer. What is not known is None.

    shapes, fields: one for each top. params: the shape of each, by the prototxt, or by the weights
    where the prototxt does not determine them. multiply_adds, memory: see net.cost.
    """

    name: str
    type: str
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    shapes: tuple[Shape | None, ...] = ()
    params: tuple[Shape, ...] | None = None
    multiply_adds: int | None = None
    memory: int | None = None
    fields: tuple[ReceptiveField | None, ...] = ()

    @property
    def count(self) -> int:
        """Numbers in the layer's params."""
        return sum(map(prod, self.params or ()))


def summarize(
    net: NetDefinition,
    shapes: Shapes,
    stored: Mapping[str, WeightsLayer],
    fields: Mapping[str, ReceptiveField] | None = None,
) -> list[LayerSummary]:
    """A summary of each layer; `stored`: the params of the weights, where there are some."""
    result = []
    rest = dict(stored)  # the first layer of a name has the params that are stored for it
    for layer, cost in zip(net.layers, costs(net, shapes), strict=True):
        result.append(
            LayerSummary(
                name=layer.name,
                type=layer.type,
                bottoms=layer.bottoms,
                tops=layer.tops,
                shapes=tuple(shapes.blobs.get(top) for top in layer.tops),
                params=_params(layer, shapes, rest.pop(layer.name, None)),
                multiply_adds=cost.multiply_adds,
                memory=cost.memory,
                fields=() if fields is None else tuple(map(fields.get, layer.tops)),
            )
        )
    return result


def _params(layer: Layer, shapes: Shapes, stored: WeightsLayer | None) -> tuple[Shape, ...] | None:
    if shapes.params_of(layer):
        return shapes.params_of(layer)
    if stored is not None:
        return tuple(blob.shape for blob in stored.blobs)
    return None if shapes.why_no_params(layer) else ()


def layer_table(
    layers: Sequence[LayerSummary],
    inputs: Mapping[str, Shape | None] | None = None,
    *,
    alone: bool = False,
) -> Table:
    """The table. inputs: those of the net, of which it declares some without a layer.

    alone: the layers are those of weights without a net, which say nothing of shapes and costs.
    """
    fields = _FIELDS if any(layer.fields for layer in layers) else ()
    columns = [column for column in _COLUMNS if not (alone and column.title in _OF_NETS)]
    table = Table([*columns, *fields])
    for cells in _rows(layers, inputs or {}):
        if not alone:
            table.add(*cells, *[""] * (len(table.columns) - len(cells)))
            continue
        named = zip(_COLUMNS, cells, strict=True)
        table.add(*(text for column, text in named if column.title not in _OF_NETS))
    return table


def _rows(
    layers: Sequence[LayerSummary], inputs: Mapping[str, Shape | None]
) -> Iterable[Sequence[str]]:
    tops = {top for layer in layers for top in layer.tops}
    for name, shape in inputs.items():
        if name not in tops:  # an Input layer has a row of its own
            yield name, "(input)", "", name, _shape(shape), "", "", "", ""
    for layer in layers:
        params = None if layer.params is None else joined(list(map(shape_text, layer.params)))
        memory = None if layer.memory is None else size_text(layer.memory) if layer.memory else ""
        yield (
            layer.name,
            layer.type,
            joined(layer.bottoms),
            joined(layer.tops),
            joined(list(map(_shape, layer.shapes))),
            _known(params),
            f"{layer.count:,}" if layer.params else "",
            _known(None if layer.multiply_adds is None else _nonzero(layer.multiply_adds)),
            _known(memory),
            *_field_cells(layer),
        )


def _shape(shape: Shape | None) -> str:
    return "?" if shape is None else shape_text(shape)


def _known(text: str | None) -> str:
    return "?" if text is None else text


def _nonzero(value: int) -> str:
    return f"{value:,}" if value else ""


def _field_cells(layer: LayerSummary) -> Sequence[str]:
    """Size, stride and offset of the first top's field; a layer's tops have the same."""
    field = next(iter(layer.fields), None)
    if field is None:
        return ()
    size, stride, offset = (shape_text(pair) for pair in (field.size, field.stride, field.offset))
    return f"{size} whole" if field.whole else size, stride, offset
