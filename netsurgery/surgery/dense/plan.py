"""What giving a net's maps a finer stride would do: the surgery called à trous.

Where a blob's own total stride would be coarser than the one wanted, the strides before it are
taken away, and d cells come to lie where it had one (`net.finer`). A window behind it looks at
every d-th cell: it sees what it saw, and the windows between see what they would have seen of the
picture moved by less than the old stride. No param changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from netsurgery.errors import NetError, PrototxtError, SurgeryError
from netsurgery.formats.prototxt import Prototxt
from netsurgery.io.shape_text import shape_text, stride_text
from netsurgery.io.short_repr import ShortRepr
from netsurgery.net.field import ReceptiveField, fields
from netsurgery.net.finer import cells_for_one, check_finer
from netsurgery.net.inputs import declare_inputs, why_no_input
from netsurgery.net.net import NetDefinition, Shape
from netsurgery.net.shapes import Shapes, infer
from netsurgery.surgery.dense.text import rewrite
from netsurgery.surgery.dense.walk import DenseLayer, walk
from netsurgery.surgery.plan import Refusal, refuse

__all__ = ["DenseMap", "DensePlan", "plan_dense"]


@dataclass(frozen=True)
class DenseMap:
    """A map of the net, at the inputs that its prototxt declares: its shape and total stride."""

    blob: str
    old: Shape
    new: Shape
    old_stride: tuple[float, float]
    new_stride: tuple[float, float]


@dataclass(frozen=True, repr=False)
class DensePlan(ShortRepr):
    """All that giving a net's maps a finer stride would do.

    new: the new net. stride: the one wanted, in input pixels. layers: those that change, in file
    order. maps: the outputs that become finer. notes: what the user should know.

    >>> import netsurgery as ns
    >>> net, model = "prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel"
    >>> with ns.convert(net, model).net as converted, ns.dense(converted, stride=4) as result:
    ...     print(result.plan)
    ...     [(layer.name, layer.what) for layer in result.plan.layers][:2]
    map prob: 15x15, every 4 x 4 pixels
    [('pool3', 'stride 2 becomes 1'), ('ip1-conv', 'dilation 2')]
    """

    net: NetDefinition
    new: NetDefinition
    stride: int
    layers: tuple[DenseLayer, ...]
    maps: tuple[DenseMap, ...]
    edge_notes: tuple[str, ...]

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know."""
        return (*self.net.notes, *self.edge_notes)

    @property
    def text(self) -> str:
        """The new prototxt."""
        return self.new.prototxt.text

    def __str__(self) -> str:
        return "; ".join(
            f"map {each.blob}: {shape_text(each.new[2:])}, every "
            f"{stride_text(each.new_stride)} pixels"
            for each in self.maps
        )


def plan_dense(
    net: NetDefinition, stride: int, input_shapes: Mapping[str, Shape] | None = None
) -> DensePlan:
    """What giving the maps of `net` a total stride of `stride` pixels would do.

    input_shapes: blob -> shape, for inputs whose shape the prototxt leaves open.

    Raises SurgeryError naming each layer that stands in the way and why, or where no output is a
    map; NetError with the strides that there are, where `stride` is none; PrototxtError where the
    net contradicts itself.
    """
    net = declare_inputs(net.at(input_shapes))
    shapes = infer(net)
    known = fields(net, shapes=shapes)
    maps = _coarser(net, shapes, known, stride)
    layers, refusals = walk(net, shapes, stride)
    refuse(net.prototxt.path, refusals)
    text = rewrite(net, layers)
    new = NetDefinition.of(Prototxt.parse(text, net.prototxt.path), net.state)
    return DensePlan(
        net=net,
        new=new,
        stride=stride,
        layers=tuple(layers),
        maps=tuple(_dense_maps(net, new, shapes, {blob: known[blob] for blob in maps}, stride)),
        edge_notes=tuple(layer.edge_note for layer in layers if layer.edge_note),
    )


def _coarser(
    net: NetDefinition, shapes: Shapes, known: Mapping[str, ReceptiveField], stride: int
) -> list[str]:
    """The outputs that are maps of a coarser stride, all of which `stride` divides."""
    path = net.prototxt.path
    maps = [
        blob
        for blob in net.outputs
        if blob in known and len(shapes.blobs[blob]) == 4 and all(known[blob].stride)
    ]
    if not maps:
        for blob in reversed(net.outputs):
            _check_known(net, shapes, blob)
        why = why_no_input(net) or (
            "; a classifier becomes fully convolutional by `netsurgery convert`"
        )
        raise SurgeryError(f"{path}: no output is a map whose total stride is known{why}")
    coarser = [blob for blob in maps if cells_for_one(known[blob].stride, stride) != (1, 1)]
    for blob in coarser or maps[-1:]:
        check_finer(path, blob, known[blob].stride, stride)
    return coarser


def _check_known(net: NetDefinition, shapes: Shapes, blob: str) -> None:
    """Raise what `Shapes.of` raises for a blob of unknown shape, with the prototxt's name."""
    try:
        shapes.of(blob)
    except NetError as error:
        raise NetError(f"{net.prototxt.path}: {error}") from None


def _dense_maps(
    net: NetDefinition,
    new: NetDefinition,
    shapes: Shapes,
    old: Mapping[str, ReceptiveField],
    stride: int,
) -> list[DenseMap]:
    """The maps, held against the new text itself: what the walk overlooked shows here."""
    path = net.prototxt.path
    try:
        after = infer(new)
    except PrototxtError as error:
        words = f"its finer maps do not fit the declared input: {error.what}"
        raise SurgeryError(f"{path}: {words}") from None
    known = fields(new, shapes=after)
    maps = []
    for blob, field in old.items():
        finer, writer = known.get(blob), net.last_writer(blob)
        name = "" if writer is None else writer.name
        if finer is None or (finer.offset, finer.size) != (field.offset, field.size):
            refuse(path, [Refusal(name, "its cells would not see what they saw")])
        elif set(finer.stride) != {stride}:
            refuse(path, [Refusal(name, f"its stride would be {stride_text(finer.stride)}")])
        else:
            strides = [(float(a), float(b)) for a, b in (field.stride, finer.stride)]
            maps.append(DenseMap(blob, shapes.blobs[blob], after.blobs[blob], *strides))
    changed = [
        Refusal(layer, "its params would change their shape")
        for layer, params in shapes.params.items()
        if after.params.get(layer) != params
    ]
    refuse(path, changed)
    return maps
