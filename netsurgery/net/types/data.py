"""Types without bottoms, where numbers come from, and those without tops, where they go."""

from __future__ import annotations

from netsurgery.net.layer import Layer, Shape
from netsurgery.net.types import data_layers
from netsurgery.net.types.elementwise import no_edges
from netsurgery.net.types.fields import free
from netsurgery.net.types.record import (
    MANY,
    NO_PARAMS,
    Channels,
    Count,
    InPlace,
    LayerType,
    Param,
    ParamRole,
    Params,
    Result,
    Role,
    ShapeRule,
    Source,
    Space,
    Values,
)

__all__ = ["INPUT", "TYPES"]


def _source(
    name: str,
    message: str | None,
    shapes: ShapeRule | None,
    source: Source,
    *,
    origin: str = "Caffe 1.0",
    fields: tuple[str, ...] = (),
    tops: Count = (1, MANY),
    params: Params = NO_PARAMS,
    runs: bool = False,
) -> LayerType:
    return LayerType(
        name=name,
        aliases=(),
        origin=origin,
        message=message,
        fields=fields,
        shapes=shapes,
        bottoms=(0, 0),
        tops=tops,
        roles=(),
        in_place=InPlace.ALLOWED,
        space=Space.NOWHERE,
        window=None,
        field=None,
        edges=no_edges,
        channels=Channels.NONE,
        values=Values.NONE,
        source=source,
        params=params,
        layout=None,
        affine=None,
        multiply_adds=free,
        training=False,
        runs=runs,
    )


def _input(layer: Layer, bottoms: list[Shape]) -> Result:
    """Only where the net reads it as something else than an input: `Net.inputs` has its shapes."""
    shapes = [
        tuple(dim.as_int(0) for dim in shape.scalars("dim"))
        for shape in layer.param("input_param").messages("shape")
    ]
    return (shapes * len(layer.tops) if len(shapes) == 1 else shapes), []


def _parameter(layer: Layer, bottoms: list[Shape]) -> Result:
    message = layer.param("parameter_param").message("shape")
    shape = tuple(dim.as_int(0) for dim in message.scalars("dim")) if message else ()
    return [shape], [shape]


_LEGACY_DIMS = ("num", "channels", "height", "width")


def _dummy_data(layer: Layer, bottoms: list[Shape]) -> Result:
    message = layer.param("dummy_data_param")
    shapes = [tuple(d.as_int(0) for d in m.scalars("dim")) for m in message.messages("shape")]
    if not shapes:
        columns = [[s.as_int(0) for s in message.scalars(k)] for k in _LEGACY_DIMS]
        shapes = list(zip(*columns, strict=False))
    if len(shapes) == 1:
        shapes *= len(layer.tops)
    if len(shapes) != len(layer.tops):
        raise layer.error(f"{len(shapes)} shapes for {len(layer.tops)} tops")
    return shapes, []


def _nothing(layer: Layer, bottoms: list[Shape]) -> Result:
    return [], []


INPUT = _source("Input", "input_param", _input, Source.INPUT, runs=True)

_HDF5_OUTPUT = LayerType(
    name="HDF5Output",
    aliases=(),
    origin="Caffe 1.0",
    message="hdf5_output_param",
    fields=(),
    shapes=_nothing,
    bottoms=(2, 2),
    tops=(0, 0),
    roles=(Role.VALUE, Role.LABEL),
    in_place=InPlace.ALLOWED,
    space=Space.NOWHERE,
    window=None,
    field=None,
    edges=no_edges,
    channels=Channels.NONE,
    values=Values.NONE,
    source=Source.NONE,
    params=NO_PARAMS,
    layout=None,
    affine=None,
    multiply_adds=free,
    training=True,
    runs=False,
)

TYPES = (
    _source("AnnotatedData", "annotated_data_param", None, Source.DATA, origin="SSD"),
    _source("Data", "data_param", data_layers.database, Source.DATA, tops=(1, 2)),
    _source("DummyData", "dummy_data_param", _dummy_data, Source.CONSTANT, runs=True),
    _source("HDF5Data", "hdf5_data_param", None, Source.DATA),
    _HDF5_OUTPUT,
    _source("ImageData", "image_data_param", data_layers.images, Source.DATA, tops=(2, 2)),
    INPUT,
    _source("MemoryData", "memory_data_param", data_layers.memory, Source.DATA, tops=(2, 2)),
    _source(
        "Parameter",
        "parameter_param",
        _parameter,
        Source.CONSTANT,
        tops=(1, 1),
        params=(Param(ParamRole.CONSTANT, "", 0.0, linear=False),),
        runs=True,
    ),
    _source("WindowData", "window_data_param", data_layers.windows, Source.DATA, tops=(2, 2)),
)
