"""Types without bottoms, where numbers come from, and those without tops, where they go.

What a data layer's text says of the shapes of its tops is by Caffe 1.0's own setup. A MemoryData
says everything. ImageData and WindowData say height and width as the size that pictures are brought
to or cropped to, and OpenCV gives them three channels, or one to an ImageData of
``is_color: false``. A second top holds one label for each picture. What else there is stands in the
files that a layer reads.
"""

from __future__ import annotations

from collections.abc import Callable

from netsurgery.formats.textformat import Message
from netsurgery.io.shape_text import shape_text
from netsurgery.io.wording import counted
from netsurgery.net.effect import Effect
from netsurgery.net.layer import MAX_DIM, Layer, Shape
from netsurgery.net.types.elementwise import no_edges
from netsurgery.net.types.fields import free
from netsurgery.net.types.naming import by_text
from netsurgery.net.types.record import (
    MANY,
    NO_EFFECTS,
    NO_PARAMS,
    Channels,
    Count,
    Effects,
    InPlace,
    InputSource,
    KnownParams,
    LayerType,
    ParamRole,
    ParamSpec,
    Result,
    Role,
    ShapeRule,
    Signs,
    Space,
    Values,
)

__all__ = ["INPUT", "TYPES", "database", "images", "memory", "windows"]


def _source(
    name: str,
    message: str | None,
    shapes: ShapeRule | None,
    source: InputSource,
    *,
    effects: Effects | Callable[[Layer], Effects],
    origin: str = "Caffe 1.0",
    fields: tuple[str, ...] = (),
    tops: Count = (1, MANY),
    params: KnownParams = NO_PARAMS,
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
        signs=Signs.ANY,
        source=source,
        effects=effects,
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
        shapes = _legacy_shapes(layer, message)
    if len(shapes) == 1:
        shapes *= len(layer.tops)
    if len(shapes) != len(layer.tops):
        raise layer.error(f"{counted(len(shapes), 'shape')} for {counted(len(layer.tops), 'top')}")
    return shapes, []


def _legacy_shapes(layer: Layer, message: Message) -> list[Shape]:
    """The tops' shapes by num, channels, height and width: each is given once, or once for each."""
    columns = []
    for name in _LEGACY_DIMS:
        column = [scalar.as_int(0) for scalar in message.scalars(name)]
        if len(column) not in (1, len(layer.tops)):
            raise layer.error(f"{len(column)} {name} for {counted(len(layer.tops), 'top')}")
        columns.append(column * len(layer.tops) if len(column) == 1 else column)
    return list(zip(*columns, strict=True))


def _nothing(layer: Layer, bottoms: list[Shape]) -> Result:
    return [], []


INPUT = _source("Input", "input_param", _input, InputSource.INPUT, effects=NO_EFFECTS, runs=True)

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
    signs=Signs.ANY,
    source=InputSource.NONE,
    effects=(Effect.WRITES,),
    params=NO_PARAMS,
    layout=None,
    affine=None,
    multiply_adds=free,
    training=True,
    runs=False,
)


#: The shape of the first top, None where the text does not say it, and the batch size.
_Rule = Callable[[Layer, Message], tuple[Shape | None, int | None]]


def _with_labels(field: str, rule: _Rule) -> ShapeRule:
    """The shape rule of a layer of message `field`: one label for each picture in a second top.

    It raises PrototxtError for sizes that Caffe refuses.
    """

    def shapes(layer: Layer, bottoms: list[Shape]) -> Result:
        pictures, batch = rule(layer, layer.param(field))
        labels = None if batch is None else (batch,)
        tops: list[Shape | None] = [pictures, labels, *[None] * len(layer.tops)]
        return tops[: len(layer.tops)], []

    return shapes


def _memory(layer: Layer, message: Message) -> tuple[Shape | None, int | None]:
    sizes = [
        message.integer(name, 0, 0, MAX_DIM)
        for name in ("batch_size", "channels", "height", "width")
    ]
    if 0 in sizes:
        raise layer.error(
            "batch_size, channels, height and width of memory_data_param must all be given, and "
            "be positive"
        )
    return tuple(sizes), sizes[0]


def _images(layer: Layer, message: Message) -> tuple[Shape | None, int | None]:
    height, width = (message.integer(f"new_{side}", 0, 0, MAX_DIM) for side in ("height", "width"))
    if (height == 0) != (width == 0):
        raise layer.error("new_height and new_width of image_data_param must both be given")
    # Of the data layers' messages only this one has a default, 1.
    batch, crop = _batch(layer, message, default=1), _crop(layer, message)
    if height and crop > min(height, width):
        raise layer.error(f"crop_size {crop} of pictures of {shape_text((height, width))}")
    if crop:
        # data_transformer.cpp makes a square, of pictures whose size nobody needs to say.
        height = width = crop
    if not height:
        return None, batch
    channels = 3 if message.boolean("is_color", True) else 1
    return (batch, channels, height, width), batch


def _windows(layer: Layer, message: Message) -> tuple[Shape | None, int | None]:
    batch, crop = _batch(layer, message), _crop(layer, message)
    if not crop:
        raise layer.error("crop_size of transform_param is missing; a WindowData needs it")
    return (batch, 3, crop, crop), batch


def _database(layer: Layer, message: Message) -> tuple[Shape | None, int | None]:
    return None, message.integer("batch_size", 0, 0, MAX_DIM) or None


def _batch(layer: Layer, message: Message, default: int = 0) -> int:
    batch = message.integer("batch_size", default, 0, MAX_DIM)
    if not batch:
        raise layer.error("batch_size must be positive")
    return batch


def _crop(layer: Layer, message: Message) -> int:
    """The size of the crop, 0 for none. A layer of V1 has it in its own message, which wins."""
    own = message.integer("crop_size", 0, 0, MAX_DIM) if _of_v1(layer) else 0
    return own or layer.param("transform_param").integer("crop_size", 0, 0, MAX_DIM)


def _of_v1(layer: Layer) -> bool:
    kind = layer.message.scalar("type")
    return kind is not None and kind.kind != "string"  # V1's types are bare words


database = _with_labels("data_param", _database)
images = _with_labels("image_data_param", _images)
memory = _with_labels("memory_data_param", _memory)
windows = _with_labels("window_data_param", _windows)


_FILES: Effects = (Effect.READS,)

#: LEVELDB and LMDB keep a log or a lock beside what they read.
_DATABASE: Effects = (Effect.READS, Effect.WRITES)

TYPES = (
    _source(
        "AnnotatedData",
        "annotated_data_param",
        None,
        InputSource.DATA,
        origin="SSD",
        effects=_DATABASE,
    ),
    _source("Data", "data_param", database, InputSource.DATA, effects=_DATABASE, tops=(1, 2)),
    _source(
        "DummyData",
        "dummy_data_param",
        _dummy_data,
        InputSource.CONSTANT,
        effects=NO_EFFECTS,
        runs=True,
    ),
    _source("HDF5Data", "hdf5_data_param", None, InputSource.DATA, effects=_FILES),
    _HDF5_OUTPUT,
    _source("ImageData", "image_data_param", images, InputSource.DATA, effects=_FILES, tops=(2, 2)),
    INPUT,
    _source(
        "MemoryData", "memory_data_param", memory, InputSource.DATA, effects=by_text, tops=(2, 2)
    ),
    _source(
        "Parameter",
        "parameter_param",
        _parameter,
        InputSource.CONSTANT,
        effects=NO_EFFECTS,
        tops=(1, 1),
        params=(ParamSpec(ParamRole.CONSTANT, "", 0.0, linear=False),),
        runs=True,
    ),
    _source(
        "WindowData", "window_data_param", windows, InputSource.DATA, effects=_FILES, tops=(2, 2)
    ),
)
