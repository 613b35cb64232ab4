"""What `inspect` returns."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from netsurgery.io.memory import size_text
from netsurgery.io.shape_text import shape_text
from netsurgery.io.short_repr import ShortRepr
from netsurgery.io.table import Column, Table
from netsurgery.io.terminal import joined
from netsurgery.io.wording import counted, plural
from netsurgery.net.cost import Total
from netsurgery.net.field import ReceptiveField
from netsurgery.net.layer_table import LayerSummary, layer_table
from netsurgery.net.net import Shape
from netsurgery.net.param_fit import ParamMismatch
from netsurgery.net.shapes import UnknownShapes
from netsurgery.net.state import NetState

if TYPE_CHECKING:
    from netsurgery.verbs.blob_statistics import BlobStatistics
    from netsurgery.verbs.inspect_tiles import TilesReport

__all__ = ["Inspection", "LayerReport"]


@dataclass(frozen=True)
class LayerReport(LayerSummary):
    """One layer. What is not known is None.

    statistics: one for each param in the weights, where they were asked for.
    """

    statistics: tuple[BlobStatistics, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The layer as plain values."""
        record: dict[str, Any] = {
            "name": self.name,
            "type": self.type,
            "bottoms": list(self.bottoms),
            "tops": list(self.tops),
            "shapes": [_listed(shape) for shape in self.shapes],
            "params": None if self.params is None else [list(shape) for shape in self.params],
            "count": None if self.params is None else self.count,
            "multiply_adds": self.multiply_adds,
            "bytes": self.memory,
        }
        if self.fields:
            record["fields"] = [_field(each) for each in self.fields]
        if self.statistics:
            record["statistics"] = [each.to_json() for each in self.statistics]
        return record


@dataclass(frozen=True, repr=False)
class Inspection(ShortRepr):
    """What is in a net, its weights, or both.

    prototxt, weights: the files. inputs: blob -> shape. missing: layers with params that the
    weights do not have; extra: layers with params in the weights that the net does not have.
    differing: layers whose params are more, fewer or of other shapes. notes: about how the net was
    read. tiles: what a large input in tiles costs, where the fields were asked for.

    >>> import netsurgery as ns
    >>> result = ns.inspect("prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel")
    >>> result.fits, list(result.remarks())
    (True, [])
    """

    prototxt: str | None
    weights: str | None
    name: str
    generation: str
    state: NetState | None
    inputs: Mapping[str, Shape | None]
    outputs: tuple[str, ...]
    layers: tuple[LayerReport, ...]
    total: Total
    unknown: tuple[UnknownShapes, ...] = ()
    missing: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    differing: tuple[ParamMismatch, ...] = ()
    extra_statistics: Mapping[str, tuple[BlobStatistics, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    another_net: str = ""
    tiles: TilesReport | None = None

    @property
    def fits(self) -> bool | None:
        """Whether Caffe would load the weights into the net; None for one of them alone.

        Params of layers that the net does not have are no hindrance: Caffe skips them.
        """
        if self.prototxt is None or self.weights is None:
            return None
        return not self.missing and not self.differing

    def to_json(self) -> dict[str, Any]:
        """What `inspect --json` prints; None for what is not known, never NaN."""
        net = self.prototxt is not None
        return {
            "prototxt": self.prototxt,
            "weights": self.weights,
            "name": self.name,
            "generation": self.generation,
            **_state(self.state),
            "inputs": {name: _listed(shape) for name, shape in self.inputs.items()},
            "outputs": list(self.outputs),
            "layers": [layer.to_json() for layer in self.layers],
            "unknown": [
                {"reason": each.reason, "blobs": list(each.blobs)} for each in self.unknown
            ],
            "fits": self.fits,
            "layers_without_params": list(self.missing),
            "params_without_layer": list(self.extra),
            "differing": [
                {
                    "layer": each.layer,
                    "net": [_listed(shape) for shape in each.net],
                    "model": [list(shape) for shape in each.model],
                }
                for each in self.differing
            ],
            "another_net": self.another_net or None,
            **({} if self.tiles is None else {"tiles": self.tiles.to_json()}),
            "notes": list(self.notes),
            "extra_statistics": {
                name: [each.to_json() for each in several]
                for name, several in self.extra_statistics.items()
            },
            "total": {
                "layers": len(self.layers),
                "params": self.total.params,
                "param_bytes": self.total.param_memory,
                # Of weights alone these are unknown, not 0.
                "multiply_adds": self.total.multiply_adds if net else None,
                "bytes": self.total.memory if net else None,
                "complete": self.total.complete,
            },
        }

    def __str__(self) -> str:
        words = {None: "", True: "; the weights fit", False: "; the weights do not fit"}
        return f"{f'{self.name}: ' if self.name else ''}{self.totals}{words[self.fits]}"

    def _repr_html_(self) -> str:
        import html

        verdict = "; ".join(filter(None, (str(self), self.another_net)))
        return f"<p>{html.escape(verdict)}</p>\n{self.table().html()}"

    @property
    def totals(self) -> str:
        """Layers, params, multiply-adds and memory in a line."""
        some = any(layer.params is None for layer in self.layers)
        count = len(self.layers)
        parts = [
            counted(count, "layer"),
            f"{'at least ' * some}{counted(self.total.params, 'param', ',')} "
            f"({size_text(self.total.param_memory)})",
        ]
        if self.prototxt is not None:
            least = "" if self.total.complete else "at least "
            parts.append(f"{least}{self.total.multiply_adds:,} multiply-adds")
            parts.append(f"{least}{size_text(self.total.memory)} of blobs")
        return ", ".join(parts)

    def table(self) -> Table:
        """The layers."""
        return layer_table(self.layers, self.inputs, alone=self.prototxt is None)

    def statistics_table(self) -> Table | None:
        """The statistics of each param, where they were asked for."""
        table = Table(_STATISTICS)
        several = [(layer.name, layer.statistics) for layer in self.layers if layer.statistics]
        for name, statistics in [*several, *self.extra_statistics.items()]:
            for index, each in enumerate(statistics):
                values = (each.min, each.max, each.mean, each.std)
                counts = (each.zeros, each.nans, each.infs, each.bytes)
                cells = [*map(_value, values), *(f"{count:,}" for count in counts)]
                table.add(f"{name}[{index}]", *cells)
        return table if table.rows else None

    def remarks(self) -> Iterator[str]:
        """The notes; which shapes are not known and why; how the weights do not fit.

        Of many layers for the same the first few, and how many more.
        """
        yield from self.notes
        yield from map(str, self.unknown)
        missing, extra = (
            f"{plural('layer', len(names))} {joined([repr(name) for name in names])}"
            for names in (self.missing, self.extra)
        )
        if self.missing:
            yield f"the model has no params for {missing}"
        if self.extra:
            yield f"the model has params of {extra}, which the net does not have"
        for mismatch in self.differing[:_SHOWN]:
            net, model = (_shapes(shapes) for shapes in (mismatch.net, mismatch.model))
            yield f"params of layer {mismatch.layer!r}: {net} in the net, {model} in the model"
        if len(self.differing) > _SHOWN:
            yield f"params of {counted(len(self.differing) - _SHOWN, 'more layer')} differ"


#: How many of the layers whose params differ are described.
_SHOWN = 5

_STATISTICS = (
    Column("param"),
    Column("min", 1, number=True),
    Column("max", 1, number=True),
    Column("mean", 2, number=True),
    Column("std", 2, number=True),
    Column("zeros", 4, number=True),
    Column("NaN", 3, number=True),
    Column("Inf", 3, number=True),
    Column("bytes", 5, number=True),
)


def _state(state: NetState | None) -> dict[str, Any]:
    """What decided which layers are listed; None for weights alone."""
    if state is None:
        return dict.fromkeys(("phase", "level", "stages"))
    return {"phase": state.phase, "level": state.level, "stages": list(state.stages)}


def _listed(shape: Shape | None) -> list[int] | None:
    return None if shape is None else list(shape)


def _field(field: ReceptiveField | None) -> dict[str, Any] | None:
    if field is None:
        return None
    sizes = {key: list(map(float, getattr(field, key))) for key in ("size", "stride", "offset")}
    return {"input": field.input, **sizes, "whole": field.whole}


def _value(value: float) -> str:
    # NaN is for a param without a finite number.
    return "-" if math.isnan(value) else f"{value:.5g}"


def _shapes(shapes: Sequence[Shape | None]) -> str:
    return ", ".join("?" if shape is None else shape_text(shape) for shape in shapes) or "none"
