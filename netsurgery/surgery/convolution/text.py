"""InnerProduct layers rewritten as Convolution layers: the prototxt.

All is done by splices over the author's text, so what is not named here stays byte for byte. Of
an InnerProduct that is split the first Convolution is the author's own layer, changed where it has
to be; the others are copies of it without a bias.
"""

from __future__ import annotations

from collections.abc import Mapping

from netsurgery.formats.prototxt import Prototxt, insert_field, quoted, remove_field
from netsurgery.formats.textformat import Edits, Message, Scalar, TextField
from netsurgery.net import types
from netsurgery.net.net import Layer
from netsurgery.net.shuffle import write_for_any_size
from netsurgery.net.state import rule_fields
from netsurgery.surgery.convolution.analysis import Analysis, Branch, ConvertedLayer, Split

__all__ = ["branch_names", "is_simple", "rewrite", "without_layers"]


def rewrite(prototxt: Prototxt, analysis: Analysis, suffix: str) -> tuple[str, dict[str, str]]:
    """The new text, its inputs as they were, and the blobs renamed on the way."""
    edits = prototxt.edits()
    _rename_net(edits, prototxt.root)
    for shuffle in analysis.shuffles:
        write_for_any_size(edits, shuffle)
    return _Rewriter(edits, analysis, suffix).layers(prototxt)


def without_layers(prototxt: Prototxt, layers: list[Layer]) -> tuple[str, dict[str, str]]:
    """The text without these layers, each of one bottom, whose readers read that bottom instead.

    Also the blobs renamed on the way: the layers' tops.
    """
    return _Rewriter(prototxt.edits(), Analysis(removed_flattens=layers), "").layers(prototxt)


def _rename_net(edits: Edits, root: Message) -> None:
    name = root.scalar("name")
    if name is not None:
        # As Caffe's own example of net surgery does, which makes CaffeNetConv of CaffeNet.
        edits.replace(name.start, name.end, quoted(name.as_string() + "Conv", name))


class _Rewriter:
    """The layers, in file order, those of other phases and stages too: blobs are renamed in all."""

    def __init__(self, edits: Edits, analysis: Analysis, suffix: str) -> None:
        self.edits, self.suffix = edits, suffix
        self.converted = {id(each.layer.message): each for each in analysis.converted}
        self.splits = {id(split.layer.message): split for split in analysis.splits}
        self.windows = {id(each.layer.message): each for each in analysis.windows}
        self.averaged = {id(layer.message): layer for layer in analysis.averaged}
        self.flattens = {id(layer.message): layer for layer in analysis.removed_flattens}
        self.argmaxes = {id(layer.message) for layer in analysis.argmaxes}
        self.behind = {id(layer.message) for layer in analysis.behind}
        self.renames: dict[str, str] = {}

    def layers(self, prototxt: Prototxt) -> tuple[str, dict[str, str]]:
        # All states' layers, not only this net's: a renamed blob must be renamed for all of them.
        name = "layer" if prototxt.generation == "V2" else "layers"
        for field in prototxt.root.all(name):
            self.layer(field)
        return self.edits.apply(), self.renames

    def layer(self, field: TextField) -> None:
        message = field.value
        if isinstance(message, Scalar):
            return
        key = id(message)
        if key in self.flattens:
            gone = self.flattens[key]
            if len(gone.bottoms) == 1:  # else what joins, and is read by none that stays
                self.renames[gone.tops[0]] = self.renames.get(gone.bottoms[0], gone.bottoms[0])
            remove_field(self.edits, field)
            return
        if key in self.splits:
            self.split(field, self.splits[key])
            return
        # Bottoms by the renames before the layer, tops also by its own: in place the two differ.
        self.rename(message.scalars("bottom"))
        if key in self.converted:
            self.convolve(self.converted[key])
        elif key in self.windows:
            self.open_window(self.windows[key])
        elif key in self.averaged:
            self.average(self.averaged[key], ["global_pooling: true"])
        elif key in self.argmaxes:
            self.give_axis(message)
        elif key in self.behind:
            self.name_channels(message)
        self.rename(message.scalars("top"))

    def rename(self, blobs: list[Scalar]) -> None:
        for blob in blobs:
            name = blob.as_string()
            if name in self.renames:
                self.edits.replace(blob.start, blob.end, quoted(self.renames[name], blob))

    def convolve(self, each: ConvertedLayer) -> None:
        """An InnerProduct as a Convolution."""
        layer = each.layer
        # By convention a top has its layer's name; a top with another name keeps it.
        if layer.name in layer.tops:
            self.renames[layer.name] = layer.name + self.suffix
        _convolve(self.edits, layer.message, each.kernel, layer.name + self.suffix)

    def split(self, field: TextField, split: Split) -> None:
        """An InnerProduct as several Convolutions and their sum."""
        layer = split.layer
        _split_layer(self.edits, field, split, self.suffix, self.renames)
        if layer.name in layer.tops:
            self.renames[layer.name] = layer.name + self.suffix

    def open_window(self, each: ConvertedLayer) -> None:
        """A global pooling as one over a window of the size it had, stride 1."""
        if not types.is_a(each.layer, types.POOLING):
            self.average(each.layer, _kernel_fields(each.kernel))
            return
        message = each.layer.param("pooling_param")
        # Edit only what is there: the author's field, or sizes that differ from the window's.
        everything = message.single("global_pooling")
        if everything is not None and message.boolean("global_pooling", False):
            self.replace_field(everything, _kernel_fields(each.kernel))
            return
        written = [field for field in message.fields if field.name in _KERNEL]
        sizes = {field.name: message.integer(field.name, 0) for field in written}
        if any(sizes.get(name, size) != size for name, size in _sides(each.kernel)):
            self.replace_field(written[0], _kernel_fields(each.kernel))
            for field in written[1:]:
                remove_field(self.edits, field)
        # A stride of the map's size never moved the window; now it would pass over cells.
        for name in _STRIDE:
            _make_one(self.edits, message.scalar(name))

    def average(self, layer: Layer, lines: list[str]) -> None:
        """A Reduction to the mean over height and width as a Pooling; lines: its window."""
        kind, param = layer.message.scalar("type"), layer.message.single("reduction_param")
        message = layer.param("reduction_param")
        if kind is None or param is None:
            raise layer.error("reduction_param is missing")
        # A string: V1 has no Reduction.
        self.edits.replace(kind.start, kind.end, quoted(types.POOLING.name, kind))
        self.edits.replace(param.start, param.start + len(param.name), "pooling_param")
        for field in message.fields:
            if field.name == "operation":
                self.replace_field(field, ["pool: AVE"])
            elif field.name == "axis":
                self.replace_field(field, lines)
            else:
                remove_field(self.edits, field)

    def replace_field(self, field: TextField, lines: list[str]) -> None:
        self.edits.replace(field.start, field.end, " ".join(lines))

    def give_axis(self, message: Message) -> None:
        """An ArgMax over what was one vector: over the channels."""
        # Without an axis Caffe takes the largest of all C x H x W numbers (argmax_layer.cpp).
        param = message.message("argmax_param")
        if param is not None and param.fields:
            insert_field(self.edits, param.fields[-1], "axis: 1")
        elif param is not None:
            self.edits.insert(param.start + 1, " axis: 1 ")  # within the empty braces
        else:
            kind = message.single("type")
            if kind is not None:
                insert_field(self.edits, kind, "argmax_param { axis: 1 }")

    def name_channels(self, message: Message) -> None:
        """Axis -1, the channels of N x C, becomes 1, those of N x C x H x W."""
        for field in message.fields:
            if field.name.endswith("_param") and isinstance(field.value, Message):
                _make_one(self.edits, field.value.scalar("axis"))


def _convolve(edits: Edits, message: Message, kernel: tuple[int, int], target: str) -> None:
    """An InnerProduct's message as that of the Convolution `target`."""
    name, kind = message.scalar("name"), message.scalar("type")
    if name is not None and kind is not None:
        edits.replace(name.start, name.end, quoted(target, name))
        # V1 names a type by an enum's word, V2 by a string.
        word = quoted(types.CONVOLUTION.name, kind) if kind.kind == "string" else "CONVOLUTION"
        edits.replace(kind.start, kind.end, word)
    param = message.single("inner_product_param")
    if param is None or isinstance(param.value, Scalar):
        raise message.error("inner_product_param is missing")
    outputs = param.value.single("num_output")
    if outputs is None:
        raise message.error("num_output is missing")
    # The field's name alone: num_output, bias_term and the fillers mean the same in both.
    edits.replace(param.start, param.start + len(param.name), "convolution_param")
    for line in _kernel_fields(kernel):
        insert_field(edits, outputs, line)
    # A Convolution has no such field; the weight is transposed when it is copied.
    turned = param.value.single("transpose")
    if turned is not None:
        remove_field(edits, turned)
    _make_one(edits, param.value.scalar("axis"))


def _make_one(edits: Edits, number: Scalar | None) -> None:
    if number is not None and number.as_int() != 1:
        edits.replace(number.start, number.end, "1")


_KERNEL = ("kernel_size", "kernel_h", "kernel_w")
_STRIDE = ("stride", "stride_h", "stride_w")


def _sides(kernel: tuple[int, int]) -> list[tuple[str, int]]:
    """What each field of a kernel has to say, where it is there."""
    height, width = kernel
    # kernel_size is for both sides, so it is right only where each equals it.
    both = [("kernel_size", height), ("kernel_size", width)]
    return [*both, ("kernel_h", height), ("kernel_w", width)]


def _kernel_fields(kernel: tuple[int, int]) -> list[str]:
    height, width = kernel
    # Either or: Caffe refuses kernel_size beside kernel_h and kernel_w (base_conv_layer.cpp).
    if height == width:
        return [f"kernel_size: {height}"]
    return [f"kernel_h: {height}", f"kernel_w: {width}"]


#: What stands once for each param, the weight's first.
_PER_PARAM = ("param", "blobs_lr", "weight_decay", "blob_share_mode")


def branch_names(split: Split, suffix: str) -> list[str]:
    """The names of the Convolutions and of what they make."""
    name = split.layer.name + suffix
    return [f"{name}_{number}" for number in range(1, len(split.branches) + 1)]


def _split_layer(
    edits: Edits, field: TextField, split: Split, suffix: str, blobs: Mapping[str, str]
) -> None:
    """Write `field`, the layer, as its branches and their sum.

    blobs: flattened blob -> the map it holds. The sum's top has the layer's own name where the
    layer's top had, with the suffix.
    """
    source, message = edits.source.text, field.value
    assert isinstance(message, Message)
    names = branch_names(split, suffix)
    # Copies start from the author's text, so comments and unknown fields are in each branch.
    copy = source[field.start : field.end]
    first, *others = zip(split.branches, names, strict=True)
    _branch(edits, message, *first, blobs)
    for branch, name in others:
        root = Prototxt.parse(copy, edits.source.path).root
        own = Edits(root.source)
        inner = root.fields[0].value
        assert isinstance(inner, Message)
        _branch(own, inner, branch, name, blobs)
        _without_bias(own, inner)
        insert_field(edits, field, own.apply())
    insert_field(edits, field, _sum(field, message, split, suffix, names))


def _branch(
    edits: Edits, message: Message, branch: Branch, name: str, blobs: Mapping[str, str]
) -> None:
    _convolve(edits, message, branch.kernel, name)
    (bottom,), (top, *_) = message.scalars("bottom"), message.scalars("top")
    source = blobs.get(branch.bottom, branch.bottom)
    edits.replace(bottom.start, bottom.end, quoted(source, bottom))
    edits.replace(top.start, top.end, quoted(name, top))
    outputs = _param(message).single("num_output")
    if branch.stride != (1, 1) and outputs is not None:
        height, width = branch.stride
        lines = [f"stride: {height}"]
        if height != width:
            lines = [f"stride_h: {height}", f"stride_w: {width}"]
        for line in lines:
            insert_field(edits, outputs, line)


def _param(message: Message) -> Message:
    param = message.message("inner_product_param")
    assert param is not None
    return param


def _without_bias(edits: Edits, message: Message) -> None:
    """The first branch alone has the bias."""
    param = _param(message)
    term, outputs = param.scalar("bias_term"), param.single("num_output")
    if term is not None:
        edits.replace(term.start, term.end, "false")
    elif outputs is not None:
        insert_field(edits, outputs, "bias_term: false")
    # The second of each is the bias's, which only the first branch has.
    for name in _PER_PARAM:
        for field in message.all(name)[1:]:
            remove_field(edits, field)
    for field in param.all("bias_filler"):
        remove_field(edits, field)


def _sum(field: TextField, message: Message, split: Split, suffix: str, names: list[str]) -> str:
    source = message.source.text
    kind = message.scalar("type")
    word = '"Eltwise"' if kind is None or kind.kind == "string" else "ELTWISE"
    tops = [top for top in split.layer.tops if top != split.layer.name]
    top = tops[0] if tops else split.layer.name + suffix
    fields = [
        f"name: {quoted(split.layer.name + suffix)}",
        f"type: {word}",
        *(f"bottom: {quoted(name)}" for name in names),
        f"top: {quoted(top)}",
        # The sum belongs to the same phases and stages as what it adds.
        *(source[rule.start : rule.end] for rule in rule_fields(message)),
        "eltwise_param { operation: SUM }",
    ]
    return f"{field.name} {{ {' '.join(fields)} }}"


def is_simple(message: Message) -> bool:
    """Whether what stands once for each param is written field by field, so that it can go."""
    return not any(field.in_list for name in _PER_PARAM for field in message.all(name))
