"""InnerProduct layers rewritten as Convolution layers: the plan.

An InnerProduct over the C x H x W map of a bottom is a Convolution whose kernel is that whole
map: its O x (C*H*W) weights and the O x C x H x W weights of the Convolution are the same
row-major numbers. On a larger input it gives the classifier's answer for every window of the
input, total stride apart. A global Pooling at the net's end is the same thing over the values it
pools, and becomes a window of the size it had.

Requires: known blob shapes. Of each InnerProduct: axis 1, and a bottom that is a map,
or a map flattened, or that an InnerProduct converted before it made. Of the layers behind: that
they treat every position alike.
Ensures: at the original input size every blob has the values' count it had, and its shape but
for flattened maps and 1 x 1 after an InnerProduct; every other param keeps its shape, and no
param's shape changes with the new input size.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from netsurgery.errors import SurgeryError
from netsurgery.formats.prototxt import Prototxt, quoted
from netsurgery.formats.textformat import Scalar
from netsurgery.io.shape_text import shape_text
from netsurgery.io.short_repr import ShortRepr
from netsurgery.io.terminal import joined
from netsurgery.io.wording import plural
from netsurgery.net import types
from netsurgery.net.inputs import declare_inputs
from netsurgery.net.net import Layer, NetDefinition, Shape
from netsurgery.net.order import Order, as_map
from netsurgery.net.param_sources import check_own_names
from netsurgery.net.shapes import Shapes, ShapesAt, infer
from netsurgery.surgery.convolution.analysis import Analysis, ConvertedLayer
from netsurgery.surgery.convolution.branches import on_one_grid
from netsurgery.surgery.convolution.checks import (
    check_names,
    ensure_same,
    fork_layers,
    unknown_types,
)
from netsurgery.surgery.convolution.poolings import Poolings, find_poolings, unknown_poolings
from netsurgery.surgery.convolution.positions import is_map, whole_map_layers
from netsurgery.surgery.convolution.size import Resize, TargetSize, resize
from netsurgery.surgery.convolution.text import branch_names, rewrite
from netsurgery.surgery.convolution.walk import analyze
from netsurgery.surgery.plan import Refusal, namesake, refuse

if TYPE_CHECKING:
    from netsurgery.surgery.dense.interpolation import Upsampling
    from netsurgery.surgery.dense.skips import Fusion

__all__ = ["ConvolutionPlan", "ParamMove", "Resize", "plan_convolution"]


class ParamMove(NamedTuple):
    """The params of one InnerProduct and where they go.

    ``old`` and ``new`` are the shapes of its one or two params, weight first. ``transpose`` says
    that the weight is stored K x O and is transposed when it is copied. ``columns`` is the order
    of the columns where they have to be permuted to C, H, W, or where the layer is split: then
    ``first`` is the first column of this part, whose Convolution has this ``stride``, and only the
    first part has the bias.
    """

    layer: str
    target: str
    old: tuple[Shape, ...]
    new: tuple[Shape, ...]
    transpose: bool
    columns: Order | None = None
    first: int = 0
    stride: tuple[int, int] = (1, 1)


@dataclass(frozen=True, repr=False)
class ConvolutionPlan(ShortRepr):
    """All that converting a net would do.

    new: the new net. shapes: those of the old one. windows: global Pooling layer -> (H, W) of the
    window it becomes. removed: the layers taken out. inputs: those that grow; none where data
    layers make the input. maps: every output of the new net and its shape at those inputs, as far
    as known. renames: blob -> its new name (for what a removed layer made: what it had read).
    notes: what the user should know. activation_maps: blobs whose mean over all cells is what the
    old net gives, where global poolings are removed. upsampling: the layer that makes the map as
    large as the input. fusions: the finer maps that are added to it before, coarsest first.

    >>> import netsurgery as ns
    >>> plan = ns.convert("prototxt/digits_deploy.prototxt", map_size=(4, 6)).plan
    >>> [(move.layer, move.target) for move in plan.moves], plan.maps
    ([('ip1', 'ip1-conv'), ('ip2', 'ip2-conv')], {'prob': (1, 11, 4, 6)})
    """

    net: NetDefinition
    new: NetDefinition
    shapes: Shapes
    moves: tuple[ParamMove, ...]
    windows: dict[str, tuple[int, int]]
    removed: tuple[str, ...]
    inputs: tuple[Resize, ...]
    maps: dict[str, Shape]
    renames: dict[str, str]
    notes: tuple[str, ...]
    activation_maps: tuple[str, ...] = ()
    upsampling: Upsampling | None = None
    fusions: tuple[Fusion, ...] = ()

    @property
    def text(self) -> str:
        """The new prototxt."""
        return self.new.prototxt.text

    def __str__(self) -> str:
        names = [move.layer for move in self.moves] or list(self.windows) or list(self.removed)
        maps = (f"map {blob}: {shape_text(shape)}" for blob, shape in self.maps.items())
        return "; ".join([f"{', '.join(names)} fully convolutional", *maps])


def plan_convolution(
    net: NetDefinition,
    *,
    suffix: str = "-conv",
    layers: Sequence[str] | None = None,
    input_size: tuple[int, int] | None = None,
    map_size: tuple[int, int] | None = None,
    input_shapes: Mapping[str, Shape] | None = None,
    keep_global_pooling: bool = False,
    before_pooling: bool = False,
    skip_refused: bool = False,
    instead: str = "",
) -> ConvolutionPlan:
    """What converting `net` would do.

    suffix: appended to the names of the converted layers.
    layers: the InnerProduct layers to convert; None for all.
    input_size: (H, W) of the new input; None to take what gives a map of `map_size` cells
    (default 8 x 8): original size + total stride x (cells - 1).
    input_shapes: blob -> shape, for inputs whose shape the prototxt leaves open.
    keep_global_pooling: leave global Pooling layers as they are; the map then has one cell.
    before_pooling: a window of the whole map is global, too; `without_pooling` removes all of them.
    skip_refused: leave InnerProduct layers that cannot be converted, instead of refusing all.
    instead: what does what is wanted of a net that is convolutional, the end of an error.

    Raises SurgeryError naming each layer that stands in the way and why, PrototxtError where the
    net contradicts itself or layers with params bear one name, NetError for a shape of a blob that
    takes none.
    """
    net = declare_inputs(net.at(input_shapes))
    check_own_names(net)
    shapes = infer(net)
    poolings = find_poolings(net, shapes, sliding=before_pooling)
    chosen = _chosen(net, layers, poolings)
    if not keep_global_pooling:
        chosen += poolings.windows if before_pooling else poolings.sized_windows(net, shapes)
    analysis, notes = _analyzed(net, chosen, shapes, poolings, skip_refused, suffix)
    if not analysis.changed:
        refuse(net.prototxt.path, [] if keep_global_pooling else unknown_poolings(net, shapes))
        raise SurgeryError(
            f"{net.prototxt.path}: {_why_nothing(net, keep_global_pooling, instead)}"
        )
    check_names(net, analysis, suffix)
    # From here on the new text itself is asked: what the analysis overlooked shows in its shapes.
    text, renames = rewrite(net.prototxt, analysis, suffix)
    new_net = NetDefinition.of(Prototxt.parse(text, net.prototxt.path), net.state)
    shapes_at = ShapesAt(new_net)
    ensure_same(net, shapes_at, analysis, shapes, renames)
    resizes, size_notes = resize(net, shapes_at, analysis, shapes, TargetSize(input_size, map_size))
    new = {resized.name: resized.new for resized in resizes}
    blobs = shapes_at(new).blobs
    return ConvolutionPlan(
        net=net,
        new=with_inputs(new_net, new),
        shapes=shapes,
        moves=tuple(_moves(analysis, suffix, shapes)),
        windows={each.layer.name: each.kernel for each in analysis.windows},
        removed=tuple(layer.name for layer in analysis.removed_flattens),
        inputs=tuple(resizes),
        # A loss is one number, of shape (): no map.
        maps={blob: blobs[blob] for blob in new_net.outputs if blobs.get(blob)},
        renames=renames,
        notes=(
            *net.notes,
            *notes,
            *unknown_types(net),
            *fork_layers(net),
            *([] if before_pooling else _opened(analysis.windows)),
            *_changes(analysis, shapes),
            *_whole_maps(whole_map_layers(net, analysis.changed, shapes)),
            *size_notes,
            *_stages(net),
        ),
    )


def _analyzed(
    net: NetDefinition,
    chosen: list[Layer],
    shapes: Shapes,
    poolings: Poolings,
    skip_refused: bool,
    suffix: str,
) -> tuple[Analysis, list[str]]:
    """The analysis and notes; a refused layer is skipped with a note, or all is refused."""
    notes: list[str] = []
    while (analysis := _analyze(net, chosen, shapes, poolings, suffix)).refusals:
        rest = _without_refused(net, chosen, analysis) if skip_refused else chosen
        # Nothing left to convert, or nobody to blame: another round would change nothing.
        if len(rest) in (0, len(chosen)):
            refuse(net.prototxt.path, analysis.refusals)
        notes += [f"left as it is: {refusal}" for refusal in analysis.refusals]
        chosen = rest
    return analysis, notes


def _analyze(
    net: NetDefinition, chosen: list[Layer], shapes: Shapes, poolings: Poolings, suffix: str
) -> Analysis:
    """The analysis, with the strides of the branches of every split InnerProduct."""
    analysis = analyze(net, chosen, shapes, poolings)
    names = [layer.name for layer in analysis.renamed]
    analysis.refusals += [why for name in names if (why := namesake(net, name))]
    # Written again for each: a split brought to its grid changes the strides of those behind it.
    for index, split in enumerate(analysis.splits if not analysis.refusals else ()):
        check_names(net, analysis, suffix)
        text, renames = rewrite(net.prototxt, analysis, suffix)
        new_net = NetDefinition.of(Prototxt.parse(text, net.prototxt.path), net.state)
        aligned = on_one_grid(new_net, split, renames)
        if isinstance(aligned, Refusal):
            analysis.refusals.append(aligned)
        else:
            analysis.splits[index] = aligned
    return analysis


def _without_refused(net: NetDefinition, chosen: list[Layer], analysis: Analysis) -> list[Layer]:
    """`chosen` without those that are refused, or, if none is, that lead to a refused layer."""
    refused = {refusal.layer for refusal in analysis.refusals}
    blamed = {layer for layer in chosen if layer.name in refused}
    if not blamed:
        needed: set[str] = set()
        for layer in reversed(net.layers):
            if layer in chosen and needed.intersection(layer.tops):
                blamed.add(layer)  # the nearest; what comes before it may stay a map
            elif layer.name in refused or needed.intersection(layer.tops):
                needed.update(layer.bottoms)
    return [layer for layer in chosen if layer not in blamed]


def _opened(windows: list[ConvertedLayer]) -> list[str]:
    """The global poolings that become windows."""
    become = "global pooling {!r} becomes a window of {}"
    notes = [become.format(each.layer.name, shape_text(each.kernel)) for each in windows]
    return [*notes, *_poolings_of(each.layer for each in windows)]


def _poolings_of(layers: Iterable[Layer]) -> list[str]:
    return [
        f"Reduction {layer.name!r}, the mean over a map, becomes a Pooling"
        for layer in layers
        if not types.is_a(layer, types.POOLING)
    ]


def _changes(analysis: Analysis, shapes: Shapes) -> list[str]:
    """What is changed besides the InnerProduct layers and the global poolings."""
    notes = _poolings_of(analysis.averaged)
    notes += [
        f"layer {layer.name!r} only {_does(layer, shapes)} and is taken out"
        for layer in analysis.removed_flattens
    ]
    for split in analysis.splits:
        names = " and ".join(repr(branch.bottom) for branch in split.branches)
        notes.append(
            f"InnerProduct {split.layer.name!r} looks at maps of different sizes, {names}: it "
            "becomes a Convolution over each, and their sum"
        )
        if any(branch.stride != (1, 1) for branch in split.branches):
            notes.append("inputs have to be larger by whole strides, or these maps part")
    notes += [
        f"the columns of {each.layer.name!r} are put into the order of channels, rows and columns"
        for each in analysis.converted
        if each.columns is not None
    ]
    notes += [
        f"the channel shuffle of {' and '.join(repr(layer.name) for layer in shuffle.layers)} is "
        "written for maps of any size"
        for shuffle in analysis.shuffles
    ]
    notes += [f"ArgMax {layer.name!r} is given axis 1" for layer in analysis.argmaxes]
    if analysis.gates:
        stay = "stays: what it pools" if len(analysis.gates) == 1 else "stay: what they pool"
        notes.append(
            f"{_named('global pooling', [layer.name for layer in analysis.gates])} {stay} is "
            "joined with the map again, so every cell depends on the whole picture"
        )
    readers: dict[Layer, list[str]] = {}
    for layer, reader in analysis.products.items():
        readers.setdefault(reader, []).append(repr(layer.name))
    notes += [
        f"InnerProduct {' and '.join(names)} stay{'s' if len(names) == 1 else ''}: what comes of "
        f"it scales a map in layer {reader.name!r}, and classifies nothing"
        for reader, names in readers.items()
    ]
    return notes


def _does(layer: Layer, shapes: Shapes) -> str:
    if len(layer.bottoms) > 1:
        return "joins what was flattened"
    if types.is_a(layer, types.PERMUTE):
        return "permutes the axes"
    shape = shapes.blobs.get(layer.tops[0], ())
    return "makes a map again of what was flattened" if is_map(shape) else "flattens"


def _whole_maps(layers: Iterable[Layer]) -> list[str]:
    """Of those before what is converted that keep a map, and look at all of it for each cell."""
    by_type: dict[str, list[str]] = {}
    for layer in layers:
        by_type.setdefault(layer.type, []).append(layer.name)
    return [
        f"{_named('layer', names)} ({kind}) {'looks' if len(names) == 1 else 'look'} at the whole "
        "map, so every cell depends on the whole picture"
        for kind, names in by_type.items()
    ]


def _named(noun: str, names: Sequence[str]) -> str:
    """The noun, for one or several, and the names; of many the first."""
    return f"{plural(noun, len(names))} {joined([repr(name) for name in names])}"


def _stages(net: NetDefinition) -> list[str]:
    """The stages that the new net needs again: its text does not say that they were given."""
    return [
        f"the new net too has to be given the stage {stage!r}, or state {{ stage: "
        f"{quoted(stage)} }} in its prototxt"
        for stage in net.given_stages
    ]


def with_inputs(net: NetDefinition, shapes: Mapping[str, Shape]) -> NetDefinition:
    """The net with its inputs declared at these shapes. Raises PrototxtError."""
    spellings: dict[Scalar, str] = {}
    for declared in net.inputs:
        for dim, size in zip(declared.dims, shapes.get(declared.name, ()), strict=False):
            # One number of the text may stand for several inputs: it has one new value.
            if spellings.setdefault(dim, str(size)) != str(size):
                raise dim.error(f"{size} for input {declared.name!r}, {spellings[dim]} for another")
    changed = {dim: text for dim, text in spellings.items() if dim.as_int() != int(text)}
    return NetDefinition.of(net.prototxt.respelled(changed), net.state) if changed else net


def _chosen(net: NetDefinition, names: Sequence[str] | None, poolings: Poolings) -> list[Layer]:
    """The InnerProduct layers to convert, in file order; those of gates only where named."""
    products = [layer for layer in net.layers if types.is_a(layer, types.INNER_PRODUCT)]
    for name in names or ():
        if net.layer(name) not in products:
            raise SurgeryError(
                f"{net.prototxt.path}: layer {name!r} is of type {net.layer(name).type}, expected "
                f"InnerProduct; there are {', '.join(layer.name for layer in products) or 'none'}"
            )
    if names is None:
        return [layer for layer in products if layer not in poolings.products]
    return [layer for layer in products if layer.name in names]


def _why_nothing(net: NetDefinition, keep_global_pooling: bool, instead: str) -> str:
    dense = any(types.is_a(layer, types.CONVOLUTION) for layer in net.layers)
    already = "it is already convolutional" if dense else "there is nothing to convert"
    exception = " but for the global Pooling that is kept" if keep_global_pooling else ""
    hint = net.hint(lambda layer: types.is_a(layer, types.INNER_PRODUCT))
    return f"the net has no InnerProduct layer; {already}{exception}{instead * dense}{hint}"


def _moves(analysis: Analysis, suffix: str, shapes: Shapes) -> Iterator[ParamMove]:
    """In file order; of a split layer one a branch, the first with the bias."""
    moves = [(each.layer.index, _move(each, suffix, shapes)) for each in analysis.converted]
    for split in analysis.splits:
        layer = split.layer
        old, transpose = shapes.params[layer.name], types.keeps_turned(layer)
        outputs = old[0][1] if transpose else old[0][0]
        for branch, name in zip(split.branches, branch_names(split, suffix), strict=True):
            weight = (outputs, *(as_map(branch.columns) or ()))
            # The branches are summed, so the bias comes in once.
            new = (weight, *old[1:]) if branch.first == 0 else (weight,)
            move = ParamMove(layer.name, name, old[: len(new)], new, transpose, branch.columns)
            moves.append((layer.index, move._replace(first=branch.first, stride=branch.stride)))
    yield from (move for _, move in sorted(moves, key=lambda pair: pair[0]))


def _move(each: ConvertedLayer, suffix: str, shapes: Shapes) -> ParamMove:
    name, transpose = each.layer.name, types.keeps_turned(each.layer)
    old = shapes.params[name]
    inputs, outputs = old[0] if transpose else old[0][::-1]
    weight = (outputs, inputs // (each.kernel[0] * each.kernel[1]), *each.kernel)
    return ParamMove(name, name + suffix, old, (weight, *old[1:]), transpose, each.columns)
