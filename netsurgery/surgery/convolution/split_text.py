"""A split InnerProduct in the prototxt: a Convolution for each branch, and their sum.

The first Convolution is the author's own layer, changed where it has to be; the others are copies
of it without a bias.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from netsurgery.formats.prototxt import Prototxt, insert_field, quoted, remove_field
from netsurgery.formats.textformat import Edits, Field, Message
from netsurgery.surgery.convolution.survey import Branch, Split

__all__ = ["branch_names", "is_simple", "split_layer"]

#: Writes an InnerProduct's message as a Convolution's: its edits, the message, kernel and name.
Convolve = Callable[[Edits, Message, tuple[int, int], str], None]

#: What stands once for each param, the weight's first.
_PER_PARAM = ("param", "blobs_lr", "weight_decay", "blob_share_mode")
_RULES = ("include", "exclude")


def branch_names(split: Split, suffix: str) -> list[str]:
    """The names of the Convolutions and of what they make."""
    name = split.layer.name + suffix
    return [f"{name}_{number}" for number in range(1, len(split.branches) + 1)]


def split_layer(
    edits: Edits,
    field: Field,
    split: Split,
    suffix: str,
    blobs: Mapping[str, str],
    convolve: Convolve,
) -> None:
    """Write `field`, the layer, as its branches and their sum.

    blobs: flattened blob -> the map it holds. The sum's top has the layer's own name where the
    layer's top had, with the suffix.
    """
    source, message = edits.source.text, field.value
    assert isinstance(message, Message)
    names = branch_names(split, suffix)
    copy = source[field.start : field.end]
    first, *others = zip(split.branches, names, strict=True)
    _branch(edits, message, *first, blobs, convolve)
    for branch, name in others:
        root = Prototxt.parse(copy, edits.source.path).root
        own = Edits(root.source)
        inner = root.fields[0].value
        assert isinstance(inner, Message)
        _branch(own, inner, branch, name, blobs, convolve)
        _without_bias(own, inner)
        insert_field(edits, field, own.apply())
    insert_field(edits, field, _sum(field, message, split, suffix, names))


def _branch(
    edits: Edits,
    message: Message,
    branch: Branch,
    name: str,
    blobs: Mapping[str, str],
    convolve: Convolve,
) -> None:
    convolve(edits, message, branch.kernel, name)
    (bottom,), (top, *_) = message.scalars("bottom"), message.scalars("top")
    source = blobs.get(branch.bottom, branch.bottom)
    edits.replace(bottom.start, bottom.end, quoted(source, bottom))
    edits.replace(top.start, top.end, quoted(name, top))
    outputs = _param(message).one("num_output")
    if branch.stride != (1, 1) and outputs is not None:
        height, width = branch.stride
        lines = [f"stride: {height}"]
        if height != width:
            lines = [f"stride_h: {height}", f"stride_w: {width}"]
        for line in lines:
            insert_field(edits, outputs, line)


def _param(message: Message) -> Message:
    found = message.message("inner_product_param")
    assert found is not None
    return found


def _without_bias(edits: Edits, message: Message) -> None:
    """The first branch alone has the bias."""
    param = _param(message)
    term, outputs = param.scalar("bias_term"), param.one("num_output")
    if term is not None:
        edits.replace(term.start, term.end, "false")
    elif outputs is not None:
        insert_field(edits, outputs, "bias_term: false")
    for name in _PER_PARAM:
        for field in message.all(name)[1:]:
            remove_field(edits, field)
    for field in param.all("bias_filler"):
        remove_field(edits, field)


def _sum(field: Field, message: Message, split: Split, suffix: str, names: list[str]) -> str:
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
        *(source[f.start : f.end] for name in _RULES for f in message.all(name)),
        "eltwise_param { operation: SUM }",
    ]
    return f"{field.name} {{ {' '.join(fields)} }}"


def is_simple(message: Message) -> bool:
    """Whether what stands once for each param is written field by field, so that it can go."""
    return not any(field.in_list for name in _PER_PARAM for field in message.all(name))
