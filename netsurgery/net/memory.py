"""What memory running a net takes, estimated from its shapes before it runs.

Upper bounds: in Caffe up to 1.3 times what `python -m benchmarks.memory` measures for nets of some
hundred MiB, in the embedded engine, which joins layers, 1.1 to 4 times. What an engine takes
without any net, its libraries, is not in them.

Caffe keeps every blob of the net, and what a layer works with: for a Convolution the columns that
its product with the weights needs, kernel volume x channels x the top's cells. Loading takes the
params twice, as they are read and where they are kept.

The embedded engine keeps blobs until their last reader has run, and maps the weights from their
file, or from one of the user's cache; only small kernels, which it rewrites, and those that are
stored in another form are copied.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from math import prod

from netsurgery.net import types
from netsurgery.net.cost import NUMBER_BYTES, distinct_params
from netsurgery.net.layer import Layer, Shape
from netsurgery.net.net import NetDefinition
from netsurgery.net.shapes import Shapes
from netsurgery.net.types.record import Channels, Role, Space, Values

__all__ = [
    "REWRITTEN",
    "caffe_backward",
    "caffe_loading",
    "caffe_memory",
    "caffe_training",
    "embedded_memory",
    "embedded_work",
    "graph_memory",
    "is_laid_out",
    "is_rewritten",
    "largest_size",
]

#: Bytes of a Convolution's kernels up to which the embedded engine rewrites their layout. A run of
#: the layer then takes a sixth less of the processor's time, and the copying, 2 ms for each MB, is
#: won back within the first few runs (`python -m benchmarks.layouts`): not where kernels are
#: larger, with fewer cells for each number, such as those of an InnerProduct; these are laid out
#: once for all processes. It depends on the layer alone, so that the last digits of a result do
#: not depend on tiles or numbers of pictures.
REWRITTEN = 4 << 20

#: What an engine takes for any net: buffers of its threads (OpenBLAS has large ones), the net.
_CAFFE, _EMBEDDED = 96 << 20, 24 << 20
#: An LSTM's step keeps about this many numbers for each of its top's: gates, products, states.
_STEP = 24
#: A param that is trained: itself, its gradient, momentum, and twice more when it is saved.
_TRAINED = 5
#: Normalizing takes about this many operations one after another.
_STEPS = 6
#: A table is computed in float64 or whole numbers of 64 bits, copied, written, parsed and kept.
_COMPUTED = 16
#: ONNX Runtime's arena grows to the next power of two, and is cut into pieces.
_ARENA = 2.25
#: A param that is not mapped is read, written into the graph, parsed and kept.
_INLINE = 5

#: What computes nothing keeps nothing.
_SAME = (Values.KEPT, Values.PASSED, Values.MOVED, Values.NONE)


def caffe_memory(net: NetDefinition, shapes: Shapes, blobs: Collection[str] = ()) -> int:
    """Bytes that Caffe's process takes to load the net and run it at these shapes.

    blobs: those that are handed back. Blobs whose shapes are not known are not counted.
    """
    blob_numbers = sum(map(prod, shapes.blobs.values())) - _shared(net, shapes)
    work = sum(_caffe_work(layer, shapes) for layer in net.layers)
    handed = _numbers(shapes, [*(blob.name for blob in net.inputs), *blobs])
    params = distinct_params(net, shapes)
    running = NUMBER_BYTES * (params + blob_numbers + work + handed)
    # Loading and running follow each other: their peaks do not add up.
    return max(caffe_loading(net, shapes), _CAFFE + running)


def caffe_loading(net: NetDefinition, shapes: Shapes) -> int:
    """Bytes that Caffe takes to load the net: its params, as they are read and where they stay."""
    return _CAFFE + 2 * NUMBER_BYTES * distinct_params(net, shapes)


def caffe_training(net: NetDefinition, shapes: Shapes) -> int:
    """Bytes that Caffe's process takes to train the net at these shapes, and to save it.

    Blobs and params have gradients, params momentum besides; a caffemodel is made in memory.
    """
    blob_numbers = sum(map(prod, shapes.blobs.values()))
    work = sum(_caffe_work(layer, shapes) for layer in net.layers)
    params = distinct_params(net, shapes)
    return _CAFFE + NUMBER_BYTES * (_TRAINED * params + 2 * blob_numbers + 2 * work)


def caffe_backward(net: NetDefinition, shapes: Shapes, blobs: Collection[str] = ()) -> int:
    """Bytes that Caffe's process takes to run the net at these shapes, and then backward.

    Blobs, params and what layers work with have gradients. blobs: those that are handed back.
    """
    blob_numbers = sum(map(prod, shapes.blobs.values()))
    work = sum(_caffe_work(layer, shapes) for layer in net.layers)
    handed = _numbers(shapes, [*(blob.name for blob in net.inputs), *blobs])
    numbers = 2 * (distinct_params(net, shapes) + blob_numbers + work) + handed
    return max(caffe_loading(net, shapes), _CAFFE + NUMBER_BYTES * numbers)


def embedded_memory(
    net: NetDefinition, shapes: Shapes, blobs: Collection[str] = (), copied: int | None = 0
) -> int:
    """Bytes that the embedded engine takes to run the net up to `blobs` at these shapes.

    copied: how many numbers of params are not mapped from their file; None for all.
    """
    params = distinct_params(net, shapes) if copied is None else copied
    handed = _numbers(shapes, [*(blob.name for blob in net.inputs), *blobs])
    # What is rewritten is there twice, unless the net runs in the memory of the first.
    copies = _INLINE * params + 2 * distinct_params(net, shapes, is_rewritten)
    numbers = copies + int(_ARENA * _live(net, shapes, blobs)) + 2 * handed
    return _EMBEDDED + NUMBER_BYTES * numbers + graph_memory(net, shapes)


def embedded_work(net: NetDefinition, shapes: Shapes, blobs: Collection[str] = ()) -> int:
    """What of `embedded_memory` is free again when a run has ended and `blobs` are put elsewhere.

    Kept are an engine's own, params, tables, and the inputs, which the next run may not give.
    """
    inputs = _numbers(shapes, [blob.name for blob in net.inputs])
    return NUMBER_BYTES * (
        int(_ARENA * _live(net, shapes, blobs)) + inputs + 2 * _numbers(shapes, blobs)
    )


def is_rewritten(shape: Shape) -> bool:
    """Whether the embedded engine rewrites the layout of a Convolution's kernels of this shape."""
    return len(shape) == 4 and NUMBER_BYTES * prod(shape) <= REWRITTEN


def is_laid_out(shape: Shape) -> bool:
    """Whether the embedded engine has kernels of this shape, of one group, laid out once for all.

    Larger ones than it rewrites, of as many channels as fill blocks of 8 or 16, and not on a GPU.
    """
    whole = len(shape) == 4 and all(count % 16 == 0 for count in shape[:2])
    return whole and not is_rewritten(shape)


def graph_memory(net: NetDefinition, shapes: Shapes) -> int:
    """Bytes of what an ONNX graph of the net has besides params: tables, blobs that are constant.

    As they are computed, and as they are written.
    """
    return NUMBER_BYTES * sum(_constants(layer, shapes) for layer in net.layers)


def largest_size(fits: Callable[[tuple[int, int]], bool], size: tuple[int, int]) -> tuple[int, int]:
    """The largest (height, width) of about the proportions of `size` that `fits`; (0, 0) if none.

    Of sizes that are a fifth apart it is the largest; within that, fewer pixels are taken to need
    no more memory. In tiles they may: what a tile takes depends on the remainder of the size.
    """
    height, width = size
    low = high = max(size)
    while low and not fits(_scaled(height, width, low)):
        low, high = low * 4 // 5, low - 1
    while low < high:
        side = (low + high + 1) // 2
        if fits(_scaled(height, width, side)):
            low = side
        else:
            high = side - 1
    return _scaled(height, width, low) if low else (0, 0)


def _scaled(height: int, width: int, side: int) -> tuple[int, int]:
    """The size whose longer side is `side`."""
    longer = max(height, width)
    return max(1, height * side // longer), max(1, width * side // longer)


def _numbers(shapes: Shapes, blobs: Collection[str]) -> int:
    return sum(prod(shapes.blobs.get(blob, (0,))) for blob in blobs)


def _shared(net: NetDefinition, shapes: Shapes) -> int:
    """The numbers of blobs that share another's memory (Flatten, Reshape, Split)."""
    tops = {
        top for layer in net.layers if types.values(layer) is Values.KEPT for top in layer.new_tops
    }
    return _numbers(shapes, tops)


def _caffe_work(layer: Layer, shapes: Shapes) -> int:
    """How many numbers a layer of Caffe's keeps for itself."""
    columns = _columns(layer, shapes)
    if columns is not None:
        return columns
    space, channels = types.space(layer), types.channels(layer)
    if types.values(layer) in _SAME:
        return 0
    if types.message_of(layer) == "recurrent_param":
        return _STEP * _numbers(shapes, layer.tops)
    if space is Space.SLIDING and channels is Channels.ALIKE:
        return _numbers(shapes, layer.tops)  # which cell was the largest
    if channels is Channels.ALIKE and space in (Space.POINTWISE, Space.JOINING):
        return 0
    return 2 * _numbers(shapes, [*layer.bottoms, *layer.new_tops])


def _columns(layer: Layer, shapes: Shapes) -> int | None:
    """The columns of a Convolution or Deconvolution; None for others."""
    spreads = types.space(layer) is Space.SPREADING
    params = shapes.params_of(layer)
    if (
        not params
        or types.layout(layer) is None
        or not (spreads or types.space(layer) is Space.SLIDING)
    ):
        return None
    # The side that windows slide over, and the cells they are put at.
    over = shapes.blobs.get(layer.tops[0] if spreads else layer.bottoms[0], ())
    at = shapes.blobs.get(layer.bottoms[0] if spreads else layer.tops[0], ())
    kernel = params[0][2:]
    # Caffe skips im2col for a 1 x 1 kernel with stride 1 and no padding.
    if prod(kernel) == 1 and over[2:] == at[2:]:
        return 0
    return prod(over[1:2]) * prod(kernel) * prod(at[2:])


def _constants(layer: Layer, shapes: Shapes) -> int:
    """What `graph_memory` counts of one layer, in numbers."""
    if types.is_input(layer):
        return 0
    tops = _numbers(shapes, layer.tops)
    roles = types.roles(layer)
    if all(role is Role.SIZE for role in roles):  # a DummyData, a PriorBox
        return _COMPUTED * tops
    if types.space(layer) is Space.RESAMPLING and Role.INDEX in roles:
        return _COMPUTED * tops  # zeros, where others are put
    if types.space(layer) is Space.SLIDING and types.layout(layer) is None:
        # Divisors of a Pooling, places of an Im2col: the same for every channel.
        channels = prod(shapes.blobs.get(layer.bottoms[0], ())[1:2])
        return _COMPUTED * tops // max(1, channels)
    return 0


def _live(net: NetDefinition, shapes: Shapes, blobs: Collection[str]) -> int:
    """The most numbers in blobs at once, each from its maker to its last reader."""
    last = {blob: index for index, layer in enumerate(net.layers) for blob in layer.bottoms}
    results = set(blobs) or set(net.outputs)
    live: dict[str, int] = {}
    most = 0
    for index, layer in enumerate(net.layers):
        bottoms = _numbers(shapes, set(layer.bottoms))
        for top in layer.tops:
            live[top] = _numbers(shapes, [top])
        most = max(most, sum(live.values()) + _embedded_work(layer, shapes, bottoms))
        for blob in {*layer.bottoms, *layer.tops}:
            if last.get(blob, -1) <= index and blob not in results:
                live.pop(blob, None)
    return most


def _embedded_work(layer: Layer, shapes: Shapes, bottoms: int) -> int:
    """How many numbers the operations of a layer make between its bottoms and its tops."""
    if types.message_of(layer) == "recurrent_param":
        return _STEP * _numbers(shapes, layer.tops)
    record = types.of(layer)
    if types.layout(layer) is not None or types.values(layer) in _SAME:
        return 0
    channels = types.channels(layer)
    if channels is Channels.ALIKE:
        return 0
    if channels is Channels.BY_CHANNEL or (record is not None and record.affine is not None):
        return bottoms if layer.in_place else 0  # in place in Caffe alone
    return _STEPS * bottoms
