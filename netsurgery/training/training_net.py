"""The net that is trained: fully convolutional, with a loss over every cell of its map.

It is made of the author's text, of a net of training or of one in use: the data layers become
inputs, the InnerProducts Convolutions, and behind the scores stands a softmax loss over the map
against an input of labels, one a cell.

Requires: one input of pictures, and scores that are maps.
Ensures: `text` loads in Caffe in the phase TRAIN, `deploy_text` in TEST; their layers with params
are the same, under the same names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from netsurgery.errors import SurgeryError
from netsurgery.formats.prototxt import Prototxt, quoted
from netsurgery.formats.textformat import Edits
from netsurgery.io.shape_text import shape_text
from netsurgery.io.short_repr import ShortRepr
from netsurgery.io.wording import argument
from netsurgery.net import types
from netsurgery.net.field import fields
from netsurgery.net.inputs import declare_inputs, why_no_input
from netsurgery.net.layer import Shape
from netsurgery.net.net import NetDefinition
from netsurgery.net.shapes import infer
from netsurgery.net.types.training import INFOGAIN_LOSS, SOFTMAX_LOSS
from netsurgery.surgery.convolution.plan import ConvolutionPlan, plan_convolution, with_inputs
from netsurgery.surgery.convolution.poolings import find_poolings
from netsurgery.training.ends import Ends, Score, find_ends, is_loss, only_main, without_ends
from netsurgery.training.new_outputs import check_growth, find_classifier, give_outputs
from netsurgery.training.rates import check_learns, freeze_layers, set_batch_norms
from netsurgery.training.truth import IGNORED

__all__ = ["LOSSES", "Loss", "TrainingNet", "training_net"]

Loss: TypeAlias = Literal["softmax", "infogain"]
LOSSES: Mapping[Loss, str] = {"softmax": SOFTMAX_LOSS.name, "infogain": INFOGAIN_LOSS.name}


@dataclass(frozen=True, repr=False)
class TrainingNet(ShortRepr):
    """A net to be trained, and the one that it becomes.

    text: what Caffe trains. deploy_text: what is used afterwards, with a batch of one.
    data: the input of pictures and its shape, N x C x H x W. labels: the inputs of labels, each
    N x 1 x h x w: one a grid of scores, the main one last. infogain: the input of the infogain
    matrix, 1 x 1 x K x K, "" for a softmax loss. score: the blob with the main scores, N x K x h
    x w; scores: that of every loss, the main one last; losses: their blobs, in the same order.
    outputs: the number of classes. base: the net as it is read before it is converted, without its
    ends; plan: its conversion, None where there was nothing to convert. renamed: layer of the
    converted net -> its new name, where its outputs are new. grown: the layers that have new
    outputs behind their own. notes: what the user should know.
    """

    text: str
    deploy_text: str
    data: dict[str, Shape]
    labels: dict[str, Shape]
    infogain: str
    score: str
    scores: tuple[str, ...]
    losses: tuple[str, ...]
    outputs: int
    base: NetDefinition
    plan: ConvolutionPlan | None
    renamed: dict[str, str]
    grown: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def net(self) -> NetDefinition:
        """The net of `text`, as it is trained."""
        path = self.base.prototxt.path
        state = replace(self.base.state, phase="TRAIN", shapes=())
        return NetDefinition.of(Prototxt.parse(self.text, path), state)

    @property
    def deploy(self) -> NetDefinition:
        """The net of `deploy_text`."""
        path = self.base.prototxt.path
        return NetDefinition.of(Prototxt.parse(self.deploy_text, path))

    def __str__(self) -> str:
        ((data, shape),) = self.data.items()
        label = list(self.labels.items())[-1]
        return f"{data} {shape_text(shape)}, {label[0]} {shape_text(label[1])}"


def training_net(
    net: NetDefinition,
    *,
    size: tuple[int, int],
    batch: int = 8,
    outputs: int | None = None,
    own_outputs: int | None = None,
    loss: Loss = "softmax",
    keep_auxiliary: bool = False,
    freeze: Sequence[str] = (),
    train_batch_norm: bool = False,
) -> TrainingNet:
    """The net that trains `net` on maps of pictures of `size` (height, width).

    batch: pictures a step. outputs: the number of classes, None for those that the net has.
    own_outputs: how many of them, the first, are its own; None for all where it has as many, else
    none. Where it is 0 the layer that makes the scores begins from scratch, under a name that no
    weights have; otherwise that layer keeps its name and these, and grows. loss: "infogain" takes a
    matrix of K x K, by which a mistake counts more or less. keep_auxiliary: train the classifiers
    on the way, too. freeze: layers that stay as they are. train_batch_norm: take the statistics of
    each batch, not those stored.

    Raises SurgeryError, naming the layer, for a net without scores over classes or that cannot be
    made fully convolutional; NetError for a layer to freeze that is not there; PrototxtError.
    """
    read = _as_trained(net)
    ends = find_ends(read, keep_auxiliary=keep_auxiliary)
    base = _base(read, ends)
    converted, plan = _converted(base, size)
    body, renamed = _with_outputs(converted, ends.scores, outputs, own_outputs, plan)
    ends = replace(ends, scores=tuple(_renamed_score(score, plan) for score in ends.scores))
    data, shape = _picture(body, size)
    body = with_inputs(body, {data: (batch, *shape[1:])})
    moved = {move.layer: move.target for move in (plan.moves if plan else ())}
    names = {**renamed, **{old: renamed.get(new, new) for old, new in moved.items()}}
    known = {new: old for old, new in moved.items()}
    fresh = {new: known.get(old, old) for old, new in renamed.items()}
    ending = _Ending(body, ends, loss)
    return TrainingNet(
        text=ending.text(_with_rates(body, freeze, names, fresh, train=train_batch_norm)),
        deploy_text=_deployed(with_inputs(body, {data: (1, *shape[1:])}), ends),
        data={data: (batch, *shape[1:])},
        labels=ending.labels,
        infogain=ending.infogain,
        score=ends.scores[-1].blob,
        scores=tuple(score.blob for score in ends.scores),
        losses=tuple(ending.loss_blobs),
        outputs=ending.outputs,
        base=base,
        plan=plan,
        renamed={} if own_outputs else renamed,
        grown=tuple(renamed) if own_outputs else (),
        notes=(*base.notes, *ends.notes, *(plan.notes if plan else ())),
    )


def _as_trained(net: NetDefinition) -> NetDefinition:
    """The net in today's dialect, and in the phase in which it has its losses.

    Where that does not fit together, it is taken as it was read if all losses are there, too.
    """
    prototxt, notes = net.prototxt, net.notes
    if prototxt.generation != "V2" or prototxt.root.all("input"):
        # Only what is up to date has Input layers, and the labels need one.
        from netsurgery.formats.upgrade.text import plan_upgrade

        prototxt = replace(plan_upgrade(prototxt).result, original=prototxt.original)
    read = NetDefinition.of(prototxt, replace(net.state, phase="TRAIN"), wired=False)
    error = next(read.wiring_errors(), None)
    if error is not None:
        losses = {layer.index for layer in read.layers if is_loss(layer)}
        read = NetDefinition.of(prototxt, net.state)
        if not losses.issubset(layer.index for layer in read.layers):
            raise error
    return replace(read, notes=notes)


def _base(net: NetDefinition, ends: Ends) -> NetDefinition:
    """The net without its ends, and with inputs in place of its data layers."""
    prototxt = Prototxt.parse(without_ends(net, ends), net.prototxt.path)
    names = {top for layer in ends.layers for top in layer.tops}
    shapes = tuple(pair for pair in net.state.shapes if pair[0] in names)
    state = replace(net.state, phase="TEST", stages=(), shapes=shapes)
    bare = NetDefinition.of(prototxt, state)
    base = replace(declare_inputs(bare), notes=())
    if len(base.inputs) != 1 or not base.inputs[0].shape:
        why = why_no_input(bare) or f"; give it by {argument('--input-shape data=1x3x224x224')}"
        inputs = ", ".join(repr(each.name) for each in base.inputs) or "none"
        raise SurgeryError(
            f"{net.prototxt.path}: found the inputs {inputs}, expected one of a known shape{why}"
        )
    declared, shape = base.inputs[0], base.inputs[0].shape
    # The original batch is of no interest, so that no note need say what becomes of it.
    return with_inputs(base, {declared.name: (1, *(shape or ())[1:])})


def _converted(
    base: NetDefinition, size: tuple[int, int]
) -> tuple[NetDefinition, ConvolutionPlan | None]:
    shapes = infer(base)
    products = any(types.is_a(layer, types.INNER_PRODUCT) for layer in base.layers)
    if products or find_poolings(base, shapes).windows:
        plan = plan_convolution(base, input_size=size)
        return plan.new, plan
    return base, None


def _picture(net: NetDefinition, size: tuple[int, int]) -> tuple[str, Shape]:
    """The input of pictures and its shape at this size."""
    (declared,) = net.inputs
    shape = declared.shape
    if shape is None or len(shape) != 4:
        raise SurgeryError(
            f"{net.prototxt.path}: input {declared.name!r} is "
            f"{shape_text(shape or ())}, expected N x C x H x W"
        )
    return declared.name, (*shape[:2], *size)


def _renamed_score(score: Score, plan: ConvolutionPlan | None) -> Score:
    blob = plan.renames.get(score.blob, score.blob) if plan else score.blob
    return replace(score, blob=blob)


def _with_outputs(
    net: NetDefinition,
    scores: Sequence[Score],
    outputs: int | None,
    own_outputs: int | None,
    plan: ConvolutionPlan | None,
) -> tuple[NetDefinition, dict[str, str]]:
    """The net with this many classes; the names of the layers that have them, by their old ones."""
    if outputs in (None, own_outputs):
        return net, {}
    classifiers = [find_classifier(net, _renamed_score(score, plan).blob) for score in scores]
    changed = {
        each.layer: each
        for each in classifiers
        if own_outputs is not None or each.outputs != outputs
    }
    if not changed:
        return net, {}
    edits, renamed = net.prototxt.edits(), {}
    for each in changed.values():
        name = each.layer.name
        if own_outputs:
            check_growth(each, own_outputs)
        else:
            name = _free(f"{name}-{outputs}", net.prototxt.layer_names)
        give_outputs(edits, each, outputs, name)
        renamed[each.layer.name] = name
    return _edited(net, edits), renamed


def _free(name: str, taken: Mapping[str, object]) -> str:
    while name in taken:
        name += "_"
    return name


def _with_rates(
    net: NetDefinition,
    freeze: Sequence[str],
    names: Mapping[str, str],
    fresh: Mapping[str, str],
    *,
    train: bool,
) -> str:
    """The text with the rates that each layer is to have. fresh: as in `check_learns`."""
    edits = net.prototxt.edits()
    set_batch_norms(edits, net, freeze, train=train)
    # On the new text: a BatchNorm that is frozen has been written already.
    again = _edited(net, edits)
    shapes = infer(again)
    if freeze:
        edits = again.prototxt.edits()
        freeze_layers(edits, again, shapes, freeze, names)
        again = _edited(again, edits)
    check_learns(again, shapes, freeze, fresh)
    return again.prototxt.text


def _edited(net: NetDefinition, edits: Edits) -> NetDefinition:
    return NetDefinition.of(Prototxt.parse(edits.apply(), net.prototxt.path), net.state)


def _deployed(net: NetDefinition, ends: Ends) -> str:
    name, top = ends.softmax
    name = _free(name, net.prototxt.layer_names)
    top = top if top == ends.scores[-1].blob else _free(top, net.blob_names)
    layer = (
        f"layer {{ name: {quoted(name)} type: {quoted(types.SOFTMAX.name)} "
        f"bottom: {quoted(ends.scores[-1].blob)} top: {quoted(top)} }}"
    )
    text = _only_main(net, ends)
    return _appended(text, [layer])


def _only_main(net: NetDefinition, ends: Ends) -> str:
    """The net's text without the classifiers on the way."""
    if len(ends.scores) == 1:
        return net.prototxt.text
    return without_ends(net, only_main(net, ends))


def _appended(text: str, layers: Sequence[str]) -> str:
    newline = "\r\n" if "\r\n" in text else "\n"
    if not text.endswith("\n"):
        text += newline
    return text + "".join(layer + newline for layer in layers)


class _Ending:
    """The inputs of labels and the losses that end the text of a training net."""

    def __init__(self, net: NetDefinition, ends: Ends, loss: Loss) -> None:
        self._net, self._ends, self._loss = net, ends, loss
        self._shapes = infer(net).blobs
        self._fields = fields(net)
        main = self._map(ends.scores[-1])
        self.outputs = main[1]
        self._taken = {**net.blob_names}
        self.infogain = self._name("infogain") if loss == "infogain" else ""
        self._names: dict[object, str] = {}
        self.labels: dict[str, Shape] = {}
        self._of_score: dict[str, str] = {}
        # The main labels have the plain name, and are named last.
        for score in reversed(ends.scores):
            shape = self._map(score)
            grid = self._grid(score)
            if grid not in self._names:
                first = not self._names
                self._names[grid] = self._name("label" if first else f"label-{score.loss}")
                self.labels[self._names[grid]] = (shape[0], 1, *shape[2:])
            self._of_score[score.blob] = self._names[grid]
        self.labels = dict(reversed(self.labels.items()))
        self.loss_blobs = [self._name(score.loss) for score in ends.scores]

    def _name(self, name: str) -> str:
        name = _free(name, {**self._taken, **self._net.prototxt.layer_names})
        self._taken[name] = None
        return name

    def _map(self, score: Score) -> Shape:
        shape = self._shapes.get(score.blob)
        if shape is None or len(shape) != 4:
            size = "of unknown shape" if shape is None else shape_text(shape)
            raise SurgeryError(
                f"{self._net.prototxt.path}: the scores {score.blob!r} are {size}, expected a map "
                "of N x K x h x w"
            )
        return shape

    def _grid(self, score: Score) -> object:
        """What two maps have in common whose labels are the same."""
        field = self._fields.get(score.blob)
        cells = self._map(score)[2:]
        return (cells, score.blob) if field is None else (cells, field.stride, field.offset)

    def text(self, body: str) -> str:
        """`body` with the inputs of labels and the losses."""
        layers = [self._input(name, shape) for name, shape in self.labels.items()]
        if self.infogain:
            layers.append(self._input(self.infogain, (1, 1, self.outputs, self.outputs)))
        layers += [
            self._loss_layer(score, name)
            for score, name in zip(self._ends.scores, self.loss_blobs, strict=True)
        ]
        return _appended(body, layers)

    def _input(self, name: str, shape: Shape) -> str:
        dims = " ".join(f"dim: {dim}" for dim in shape)
        return (
            f"layer {{ name: {quoted(name)} type: {quoted(types.INPUT.name)} top: {quoted(name)} "
            f"input_param {{ shape {{ {dims} }} }} }}"
        )

    def _loss_layer(self, score: Score, name: str) -> str:
        bottoms = [score.blob, self._of_score[score.blob], *filter(None, [self.infogain])]
        lines = [
            f"  name: {quoted(name)}",
            f"  type: {quoted(LOSSES[self._loss])}",
            *(f"  bottom: {quoted(bottom)}" for bottom in bottoms),
            f"  top: {quoted(name)}",
            f"  loss_weight: {score.weight:.9g}",
            # The mean is over the cells that count, however many these are.
            f"  loss_param {{ ignore_label: {IGNORED} normalization: VALID }}",
        ]
        return "\n".join(["layer {", *lines, "}"])
